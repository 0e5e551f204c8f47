/* SPDX-License-Identifier: MIT */
/* What commands begin with. */
#include "init/session.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "init/child.h"
#include "init/dump.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/route.h"
#include "init/xtables.h"
#include "rules/capture.h"

enum { APPLY_TRIES = 5 };

struct session session;

int session_policy(struct session *s, const struct options *o)
{
	struct policy_error e;
	int code;

	if (o->policy == NULL)
		return message(EX_USAGE, "--policy FILE is missing");
	if (policy_open_direct(&s->policy, o->policy, &e) == 0)
		return 0;
	code = errno == EBADMSG ? EX_DATAERR : errno == EIO ? EX_IOERR : EX_NOINPUT;
	return message(code, "policy: %s: %s", o->policy, e.text);
}

static int open_netlink(struct netlink *nl, int bus, const char *name)
{
	if (netlink_open(nl, bus) == 0)
		return 0;
	return message(errno == EPROTONOSUPPORT ? EX_UNAVAILABLE : EX_OSERR, "netlink: %s: %s",
		name, strerror(errno));
}

int session_open(struct session *s, bool filter)
{
	int code = open_netlink(&s->route, NETLINK_ROUTE, "rtnetlink");

	return code == 0 && filter ? open_netlink(&s->filter, NETLINK_NETFILTER, "nf_tables")
				   : code;
}

int session_build(struct session *s, const struct options *o, const struct policy *policy)
{
	struct ruleset_config config = {
		.secret = s->state.secret, .uid = o->uid, .port = o->port,
		.egress_hook = o->egress_hook,
	};
	static struct ruleset next; /* a policy that there are no rules for changes nothing */
	const char *why;

	if (ruleset_init(&next, policy, &config, s->links.link, s->links.n, &why) != 0) {
		ruleset_fini(&next);
		return message(EX_CONFIG, "policy: %s: [capture] %s", o->policy, why);
	}
	ruleset_fini(&s->ruleset);
	s->ruleset = next;
	bytecode_fini(&s->bytecode);
	bytecode_init(&s->bytecode, &s->ruleset);
	return 0;
}

static int read_links(struct session *s, bool egress_hook)
{
	int err = link_list_read(&s->links, &s->route);

	if (err == 0 && s->links.blind && egress_hook)
		(void)message(0, "interfaces: /proc is not mounted: the egress chains go by the "
			"mark alone, since the kernel may not be able to tell routes");
	return err == 0 ? 0 : message(EX_OSERR, "interfaces: %s", strerror(err));
}

int session_begin(struct session *s, const struct options *o, bool filter)
{
	int code = session_policy(s, o);

	s->state.dir = o->state;
	s->state.uid = o->uid;
	s->state.gid = o->gid;
	if (code == 0 && o->has_mark)
		s->state.secret = o->mark;
	else if (code == 0)
		code = state_read(&s->state);
	if (code == 0)
		code = session_open(s, filter);
	if (code == 0)
		code = read_links(s, filter && o->egress_hook);
	if (code == 0)
		code = session_build(s, o, &s->policy);
	return code;
}

int session_complain(const char *what, int err)
{
	return message(err == EPERM ? EX_NOPERM : EX_OSERR, "%s: %s", what,
		err == EPERM ? "needs CAP_NET_ADMIN" : strerror(err));
}

int session_read(struct session *s, struct present *p)
{
	int err = dump_tables(&s->filter, &p->tables);

	if (err == EOPNOTSUPP)
		return message(EX_UNAVAILABLE, "the kernel lacks nf_tables (CONFIG_NF_TABLES)");
	if (err != 0)
		return session_complain("nf_tables", err);
	err = route_read(&s->route, &p->routes, &p->ours);
	return err == 0 ? 0 : session_complain("routing", err);
}

unsigned session_routes(const struct session *s)
{
	return s->ruleset.capture.method == POLICY_TPROXY ? route_needed() : 0;
}

int session_compare(struct session *s, struct present *p, compare_say *say)
{
	int code = session_read(s, p), err;

	if (code != 0)
		return code;
	err = dump_compare(&s->filter, &s->ruleset, &s->bytecode, say, &p->wrong);
	return err == 0 ? 0 : session_complain("nf_tables", err);
}

static uint32_t port_of(const struct session *s)
{
	return mnl_socket_get_portid(s->filter.socket);
}

/* Nobody can take a table that is another's, and what has no difference need not be touched. */
int session_foreign(const struct session *s, const struct present *p)
{
	int pid;

	for (int i = 0; i < 2; i++) {
		uint32_t owner = p->tables.owner[i];

		if (owner == 0 || owner == port_of(s))
			continue;
		pid = capture_holder(s->state.dir);
		if (pid > 0)
			return message(EX_NOPERM,
				"process %d holds the rules (sluice-init hold): SIGHUP makes it "
				"read the policy again, SIGTERM makes it let go", pid);
		return message(EX_NOPERM, "table %s " RULESET_TABLE
			": belongs to another process (netlink port %u)",
			i == 0 ? "inet" : "netdev", owner);
	}
	return 0;
}

/* What is as it should be can be adopted; what is not, or can have no owner, is replaced. */
static void divide(const struct session *s, const struct present *p, uint32_t flags,
	struct nft_request *q, unsigned *adopt)
{
	*q = (struct nft_request){
		.which = p->wrong.tables, .present = p->tables.present, .flags = flags,
		.learned = s->learned, .now = child_clock(),
	};
	*adopt = 0;
	for (int i = 0; i < 2 && flags == NFT_HELD; i++) {
		unsigned bit = i == 0 ? NFT_INET : NFT_NETDEV;

		if (!(p->tables.present & bit) || (q->which & bit) ||
			p->tables.owner[i] == port_of(s))
			continue;
		if ((p->tables.flags[i] & NFT_HELD) == NFT_PERSIST)
			*adopt |= bit;
		else
			q->which |= bit;
	}
}

static int apply_tables(struct session *s, struct present *p, uint32_t flags)
{
	for (int tries = 0; tries < APPLY_TRIES; tries++) {
		struct nft_request q;
		unsigned adopt;
		int code = 0;

		divide(s, p, flags, &q, &adopt);
		if (q.which != 0 || adopt != 0)
			code = session_foreign(s, p);
		if (code == 0 && q.which != 0)
			code = nft_apply(&s->filter, &s->ruleset, &s->bytecode, &q);
		if (code == 0 && adopt != 0)
			code = nft_adopt(&s->filter, adopt);
		if (code != EX_TEMPFAIL)
			return code;
		code = session_compare(s, p, NULL);
		if (code != 0)
			return code;
	}
	return message(EX_TEMPFAIL, "nf_tables: somebody else keeps changing our tables");
}

/* The rules of the other backend go when those that take their place are there. */
static int leave_iptables(const struct session *s)
{
	int code = xtables_remove();

	if (code == 0)
		code = state_forget_iptables(s->state.dir);
	if (code == 0)
		(void)message(0, "the iptables rules are replaced by nftables rules");
	return code;
}

/*
 * The routes come before the rules that need them; without those rules they do nothing. What is in
 * force stays so when what it replaces cannot be taken away.
 */
int session_apply(struct session *s, struct present *p, uint32_t flags)
{
	unsigned wanted = s->ruleset.lockdown ? p->ours : session_routes(s);
	unsigned missing = wanted & ~p->routes;
	int code = route_add(&s->route, missing);

	if (code == 0)
		code = apply_tables(s, p, flags);
	if (code != 0) {
		(void)route_delete(&s->route, missing);
		return code;
	}
	if (state_has_iptables(s->state.dir))
		code = leave_iptables(s);
	return code == 0 ? route_delete(&s->route, p->ours & ~wanted) : code;
}
