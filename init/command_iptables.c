/* SPDX-License-Identifier: MIT */
/* apply, check and remove with `--backend iptables`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "init/command.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/print.h"
#include "init/route.h"
#include "init/session.h"
#include "init/udp.h"
#include "init/xtables.h"
#include "rules/capture.h"

/*
 * That there are no nf_tables, which only the kernel's own words for it mean: netfilter's netlink is
 * missing, or the part of it.
 */
static bool is_lacking(int err)
{
	return err == EPROTONOSUPPORT || err == EOPNOTSUPP || err == EINVAL;
}

/* What there is besides: routing and, where the kernel knows nf_tables, tables of that backend. */
static int read_rest(struct session *s, struct present *p)
{
	int err = netlink_open(&s->filter, NETLINK_NETFILTER) == 0
		? dump_tables(&s->filter, &p->tables) : errno;

	if (err != 0 && !is_lacking(err))
		return session_complain("nf_tables", err);
	if (err != 0)
		p->tables = (struct dump_tables){0};
	err = route_read(&s->route, &p->routes, &p->ours);
	return err == 0 ? 0 : session_complain("routing", err);
}

/* The rules that there should be, if these programs can do them. */
static int begin(struct session *s, const struct options *o, struct present *p)
{
	const char *why, *service;
	int code = session_begin(s, o, false);

	if (code != 0)
		return code;
	why = xtables_refusal(&s->ruleset);
	if (why == NULL && print_unfit(&s->ruleset) != NULL)
		why = "interfaces: a name that iptables cannot read";
	if (why != NULL)
		return message(EX_CONFIG, "policy: %s: [capture] %s", o->policy, why);
	service = udp_learned_service(s->ruleset.policy);
	if (service != NULL)
		return message(EX_CONFIG, "policy: %s: service %s: UDP addresses that names resolve to "
			"cannot be opened with iptables: give it addresses, with resolution = "
			"none or static", o->policy, service);
	return read_rest(s, p);
}

/* Tables of the other backend go when the rules that take their place are there. */
static int replace(struct session *s, const struct present *p, uint32_t differences)
{
	int code = differences > 0 ? xtables_apply(&s->ruleset) : 0;

	if (code != 0 || p->tables.present == 0)
		return code;
	code = nft_remove(&s->filter, p->tables.present);
	if (code == 0)
		(void)message(0, "the nftables rules are replaced by iptables rules");
	return code;
}

/*
 * That there are such rules is noted before there are any, so that a later run finds them. What a
 * failed run has installed stays: it opens nothing.
 */
int command_iptables_apply(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	uint32_t differences;
	unsigned wanted;
	int code;

	s->state.dir = o->state;
	code = state_lock(&s->state);

	if (code == 0)
		code = begin(s, o, &p);
	if (code == 0)
		code = session_foreign(s, &p);
	if (code == 0)
		code = xtables_compare(&s->ruleset, false, &differences);
	if (code == 0 && !s->state.kept)
		code = state_write(&s->state);
	if (code == 0)
		code = state_note_iptables(o->state);
	if (code != 0)
		return code;
	wanted = session_routes(s);
	code = route_add(&s->route, wanted & ~p.routes);
	if (code == 0)
		code = replace(s, &p, differences);
	return code == 0 ? route_delete(&s->route, p.ours & ~wanted) : code;
}

int command_iptables_check(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	uint32_t differences;
	unsigned wanted, wrong;
	bool noted = state_has_iptables(o->state);
	int code = begin(s, o, &p);

	if (code == 0)
		code = xtables_compare(&s->ruleset, true, &differences);
	if (code != 0)
		return code;
	if (!s->state.kept)
		printf("state: %s/" CAPTURE_MARK_FILE ": missing, or not the proxy's\n", o->state);
	if (!noted)
		printf("state: %s/" STATE_IPTABLES_FILE ": missing\n", o->state);
	if (p.tables.present != 0)
		puts("the tables of the nft backend are there as well");
	wanted = session_routes(s);
	wrong = (wanted & ~p.routes) | (p.ours & ~wanted);
	for (unsigned bit = 1; bit <= wrong; bit <<= 1)
		if (wrong & bit)
			printf("%s for table %d: %s\n", route_name(bit), CAPTURE_ROUTE_TABLE,
				wanted & bit ? "missing" : "should not be there");
	return differences > 0 || wrong != 0 || !s->state.kept || !noted || p.tables.present != 0
		? EX_DIFFERENT : 0;
}

int command_iptables_remove(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	int code;

	s->state.dir = o->state;
	code = session_open(s, false);
	if (code == 0)
		code = read_rest(s, &p);
	if (code == 0)
		code = session_foreign(s, &p);
	if (code == 0)
		code = xtables_remove();
	if (code == 0 && p.tables.present != 0)
		code = nft_remove(&s->filter, p.tables.present);
	if (code == 0)
		code = route_delete(&s->route, p.ours);
	return code == 0 ? state_remove(o->state) : code;
}

/*
 * There is no policy to accept what iptables cannot close, hence the option. The note of it is for
 * later runs, and can be written by apply as well.
 */
int command_iptables_lockdown(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	int code;

	if (o->egress_hook)
		return message(EX_USAGE, "lockdown: packet sockets cannot be watched by iptables: "
			"needs --no-egress-hook");
	s->state.dir = o->state;
	code = session_open(s, false);
	if (code == 0)
		code = read_rest(s, &p);
	if (code == 0)
		code = session_foreign(s, &p);
	if (code != 0)
		return code;
	(void)ruleset_lockdown(&s->ruleset, NULL, 0, false);
	(void)state_note_iptables(o->state);
	return replace(s, &p, 1);
}
