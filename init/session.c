/* SPDX-License-Identifier: MIT */
/* What commands begin with. */
#include "init/session.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "init/dump.h"
#include "init/message.h"
#include "init/route.h"

struct session session;

static int open_policy(struct session *s, const struct options *o)
{
	struct policy_error e;
	int code;

	if (o->policy == NULL)
		return message(EX_USAGE, "--policy FILE is missing");
	if (policy_open(&s->policy, o->policy, &e) == 0)
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

static int build(struct session *s, const struct options *o)
{
	struct ruleset_config config = {
		.secret = s->state.secret, .uid = o->uid, .port = o->port,
		.egress_hook = o->egress_hook,
	};
	const char *why;
	int err = link_list_read(&s->links, &s->route);

	if (err != 0)
		return message(EX_OSERR, "interfaces: %s", strerror(err));
	err = ruleset_init(&s->ruleset, &s->policy, &config, s->links.link, s->links.n, &why);
	if (err != 0)
		return message(EX_CONFIG, "policy: %s: [capture] %s", o->policy, why);
	return 0;
}

int session_begin(struct session *s, const struct options *o, bool filter)
{
	int code = open_policy(s, o);

	s->state = (struct state){.dir = o->state, .uid = o->uid, .gid = o->gid};
	if (code == 0 && o->has_mark)
		s->state.secret = o->mark;
	else if (code == 0)
		code = state_read(&s->state);
	if (code == 0)
		code = session_open(s, filter);
	if (code == 0)
		code = build(s, o);
	if (code == 0 && filter)
		bytecode_init(&s->bytecode, &s->ruleset);
	return code;
}

static int complain_read(const char *what, int err)
{
	return message(err == EPERM ? EX_NOPERM : EX_OSERR, "%s: %s", what,
		err == EPERM ? "needs CAP_NET_ADMIN" : strerror(err));
}

int session_read(struct session *s, struct present *p, bool compare, bool say)
{
	int err = dump_tables(&s->filter, &p->tables);

	if (err == 0 && compare)
		err = dump_compare(&s->filter, &s->ruleset, &s->bytecode, say, &p->differences);
	if (err == EOPNOTSUPP)
		return message(EX_UNAVAILABLE, "the kernel lacks nf_tables (CONFIG_NF_TABLES)");
	if (err != 0)
		return complain_read("nf_tables", err);
	err = route_read(&s->route, &p->routes, &p->ours);
	return err == 0 ? 0 : complain_read("routing", err);
}

unsigned session_routes(const struct session *s)
{
	return s->ruleset.capture.method == POLICY_TPROXY ? route_needed() : 0;
}
