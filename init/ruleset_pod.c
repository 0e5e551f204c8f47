/* SPDX-License-Identifier: MIT */
/* The rules for what this node itself sends: capture, refusal, guard and egress. */
#include "init/ruleset_part.h"

#include "rules/capture.h"

/*
 * Inside is not egress: DHCP, router advertisements and answers to clients are a router's own
 * business.
 */
static void add_inside(struct ruleset *r, enum chain_id chain)
{
	if (ruleset_is_router(r))
		ADD(r, chain, "inside", WITH(OIFNAME_IN, SET_INTERFACES), JUST(ACCEPT));
}

/*
 * The egress hook asks for a mark that only the guard sets; on its way to lo the proxy's mark is
 * taken off, so that nobody can read it there. What is forwarded was judged in forward, if it was
 * ours to judge; the kernel's own IGMP looks the same here, since it names its interface beforehand.
 */
static void add_guard(struct ruleset *r, const struct ruleset_config *config)
{
	ADD(r, CHAIN_GUARD, "the proxy's mark stays secret", NAMED(OIFNAME, "lo"),
		WITH(MARK, CAPTURE_MARK_PROXY(config->secret)), WITH(SET_MARK, 0));
	ADD(r, CHAIN_GUARD, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	ADD(r, CHAIN_GUARD, "what passes may go through egress",
		WITH(SET_MARK, CAPTURE_MARK_PASS(config->secret)));
	add_inside(r, CHAIN_GUARD);
	if (ruleset_is_router(r))
		ADD(r, CHAIN_GUARD, "forwarded",
			JUST(FORWARDED), NOT(L4, IPPROTO_IGMP), JUST(ACCEPT));
	ADD(r, CHAIN_GUARD, "what may pass", WITH(JUMP, CHAIN_PASS));
	ADD(r, CHAIN_GUARD, "all else", JUST(COUNTER), JUST(DROP));
}

/*
 * Every packet of a socket is judged by its owner, and the flow remembers the verdict, since what
 * the kernel still sends after close() has no owner any more. A stranger's packet in a remembered
 * flow makes it forget. The proxy's answers to captured clients are in the clients' own flows, which
 * must never pass.
 */
static void add_own(struct ruleset *r, const struct ruleset_config *config)
{
	ADD(r, CHAIN_OWN, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	add_inside(r, CHAIN_OWN);
	ADD(r, CHAIN_OWN, "the proxy: its user and the secret mark", WITH(UID, config->uid),
		WITH(MARK, CAPTURE_MARK_PROXY(config->secret)),
		WITH(SET_CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	if (ruleset_has(r, SET_EXEMPT_UIDS))
		ADD(r, CHAIN_OWN, "exempt-uids", WITH(UID_IN, SET_EXEMPT_UIDS),
			WITH(SET_CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	if (ruleset_has(r, SET_EXEMPT_GIDS))
		ADD(r, CHAIN_OWN, "exempt-gids", WITH(GID_IN, SET_EXEMPT_GIDS),
			WITH(SET_CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	ADD(r, CHAIN_OWN, "a stranger in such a flow",
		WITH(CT_MARK, RULESET_CT_OWN), JUST(OWNED), WITH(SET_CT_MARK, 0));
}

/*
 * An answer goes to wherever the question says it is from. With tproxy divert asks the same, where
 * no mark of a process's gets around it.
 */
static void add_capture_dns(struct ruleset *r, const struct item turn)
{
	const struct item l4 = WITH(L4, IPPROTO_UDP), port = WITH(DPORT, 53);

	if (r->capture.method == POLICY_REDIRECT)
		ADD(r, CHAIN_CAPTURE, "dns = capture",
			JUST(FROM_LOCAL), l4, port, JUST(COUNTER), turn);
	else
		ADD(r, CHAIN_CAPTURE, "dns = capture", l4, port, JUST(COUNTER), turn);
	if (!ruleset_has_every_port(r))
		ADD(r, CHAIN_CAPTURE, "dns = capture",
			WITH(L4, IPPROTO_TCP), WITH(DPORT, 53), JUST(COUNTER), turn);
}

static void add_capture(struct ruleset *r, const struct ruleset_config *config)
{
	const struct item mark = WITH(SET_MARK, CAPTURE_MARK), nat = WITH(REDIRECT, config->port);
	const struct item turn = r->capture.method == POLICY_TPROXY ? mark : nat;

	ADD(r, CHAIN_CAPTURE, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	add_inside(r, CHAIN_CAPTURE);
	ADD(r, CHAIN_CAPTURE, "what may pass", WITH(JUMP, CHAIN_PASS));
	if (r->capture.dns == POLICY_CAPTURE)
		add_capture_dns(r, turn);
	if (ruleset_has_every_port(r)) {
		ADD(r, CHAIN_CAPTURE, "ports = *", WITH(L4, IPPROTO_TCP), JUST(COUNTER), turn);
		return;
	}
	ADD(r, CHAIN_CAPTURE, "ports",
		WITH(L4, IPPROTO_TCP), WITH(DPORT_IN, SET_PORTS), JUST(COUNTER), turn);
}

static void add_refuse_captured(struct ruleset *r)
{
	if (r->capture.method != POLICY_TPROXY) {
		ADD(r, CHAIN_REFUSE, "captured", JUST(CT_DNAT), JUST(ACCEPT));
		return;
	}
	ADD(r, CHAIN_REFUSE, "captured",
		WITH(L4, IPPROTO_TCP), WITH(MARK, CAPTURE_MARK), JUST(ACCEPT));
	if (r->capture.dns == POLICY_CAPTURE)
		ADD(r, CHAIN_REFUSE, "captured", WITH(L4, IPPROTO_UDP), WITH(DPORT, 53),
			WITH(MARK, CAPTURE_MARK), JUST(ACCEPT));
}

/*
 * Refusing early is a courtesy: clients fail at once rather than time out. The guard does not rely
 * on it.
 */
static void add_refuse(struct ruleset *r)
{
	ADD(r, CHAIN_REFUSE, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	add_inside(r, CHAIN_REFUSE);
	add_refuse_captured(r);
	ADD(r, CHAIN_REFUSE, "what may pass", WITH(JUMP, CHAIN_PASS));
	ADD(r, CHAIN_REFUSE, "TCP that cannot be captured",
		WITH(L4, IPPROTO_TCP), JUST(COUNTER), JUST(REJECT_RESET));
	ADD(r, CHAIN_REFUSE, "UDP", WITH(L4, IPPROTO_UDP), JUST(COUNTER), JUST(REJECT_PORT));
	ADD(r, CHAIN_REFUSE, "other protocols", JUST(COUNTER), JUST(REJECT_ADMIN));
}

void ruleset_add_pod(struct ruleset *r, const struct ruleset_config *config)
{
	add_guard(r, config);
	add_own(r, config);
	add_capture(r, config);
	add_refuse(r);
}

/*
 * The mark is taken off before packet sockets see the packet, or they could read and use it. An
 * upper interface (a VLAN, a bridge) must leave it on for the next one. Who guesses it is told
 * apart by the route, where that is left to see. ARP is the kernel's business, and never a
 * process's.
 */
void ruleset_add_egress(struct ruleset *r, enum chain_id chain, const struct ruleset_config *config)
{
	const struct item pass = WITH(MARK, CAPTURE_MARK_PASS(config->secret));

	if (chain == CHAIN_EGRESS)
		ADD(r, chain, "passed by the guard", pass, JUST(ROUTED), WITH(SET_MARK, 0),
			JUST(ACCEPT));
	else if (chain == CHAIN_EGRESS_LOWER)
		ADD(r, chain, "passed by the guard", pass, WITH(SET_MARK, 0), JUST(ACCEPT));
	else
		ADD(r, chain, "passed by the guard", pass, JUST(ACCEPT));
	ADD(r, chain, "packet sockets", JUST(OWNED), JUST(COUNTER), JUST(DROP));
	ADD(r, chain, "ARP from the kernel", JUST(ARP), JUST(ACCEPT));
	ADD(r, chain, "all else", JUST(COUNTER), JUST(DROP));
}
