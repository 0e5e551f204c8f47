/* SPDX-License-Identifier: MIT */
/* The rules for what comes in: flows from outside, and captured packets on their way to the proxy. */
#include "init/ruleset_part.h"

#include "rules/capture.h"

/*
 * A TCP flow counts as opened from outside only by its SYN: conntrack also picks up flows in the
 * middle, and those may be our own old ones. A flow from inside is judged as one, and may carry a
 * mark already.
 */
static void add_inbound(struct ruleset *r)
{
	if (ruleset_is_router(r))
		ADD(r, CHAIN_INBOUND, "from inside",
			WITH(IIFNAME_IN, SET_INTERFACES), JUST(ACCEPT));
	ADD(r, CHAIN_INBOUND, "TCP opened from outside",
		NOT_NAMED(IIFNAME, "lo"), JUST(CT_NEW), WITH(L4, IPPROTO_TCP), JUST(TCP_SYN),
		WITH(SET_CT_MARK, RULESET_CT_INBOUND));
	ADD(r, CHAIN_INBOUND, "other flows from outside",
		NOT_NAMED(IIFNAME, "lo"), JUST(CT_NEW), NOT(L4, IPPROTO_TCP),
		WITH(SET_CT_MARK, RULESET_CT_INBOUND));
}

/*
 * Without a listener the tproxy statement lets packets go on, hence the drop behind it. A process may
 * mark what it sends as captured, and then the kernel takes any source for its own: the answer to a
 * question would leave for there. What comes from inside has been asked where it is from.
 */
static void add_divert(struct ruleset *r, const struct ruleset_config *config, bool inside)
{
	const struct item lo = NAMED(IIFNAME, "lo"), set = WITH(IIFNAME_IN, SET_INTERFACES);
	const struct item from = inside ? set : lo, mark = WITH(MARK, CAPTURE_MARK);
	const struct item l4 = WITH(L4, IPPROTO_UDP), port = WITH(DPORT, 53);
	const struct item turn = WITH(TPROXY, config->port);

	ADD(r, CHAIN_DIVERT, "captured TCP, to the proxy",
		from, mark, WITH(L4, IPPROTO_TCP), turn, JUST(ACCEPT));
	if (r->capture.dns == POLICY_CAPTURE && inside)
		ADD(r, CHAIN_DIVERT, "captured DNS, to the proxy",
			from, mark, l4, port, turn, JUST(ACCEPT));
	else if (r->capture.dns == POLICY_CAPTURE)
		ADD(r, CHAIN_DIVERT, "captured DNS, to the proxy",
			from, mark, JUST(FROM_LOCAL), l4, port, turn, JUST(ACCEPT));
	ADD(r, CHAIN_DIVERT, "no proxy, no connection", from, mark, JUST(COUNTER), JUST(DROP));
}

/*
 * tproxy leaves a packet's port as it is, and no captured UDP is for any but 53: nothing that is
 * captured has the proxy's.
 */
static void add_input(struct ruleset *r, const struct ruleset_config *config, uint32_t protocol)
{
	const struct item port = WITH(DPORT, config->port), l4 = WITH(L4, protocol);
	const struct item mark = WITH(MARK, CAPTURE_MARK), nat = JUST(CT_DNAT);
	const struct item reset = JUST(REJECT_RESET), unreachable = JUST(REJECT_PORT);
	bool tproxy = r->capture.method == POLICY_TPROXY, tcp = protocol == IPPROTO_TCP;

	if (ruleset_is_router(r))
		ADD(r, CHAIN_INPUT, "the proxy's port from outside", NOT_NAMED(IIFNAME, "lo"),
			NOT(IIFNAME_IN, SET_INTERFACES), l4, port, JUST(CT_ORIGINAL),
			JUST(COUNTER), JUST(DROP));
	else
		ADD(r, CHAIN_INPUT, "the proxy's port from outside", NOT_NAMED(IIFNAME, "lo"),
			l4, port, JUST(CT_ORIGINAL), JUST(COUNTER), JUST(DROP));
	if (tcp || !tproxy)
		ADD(r, CHAIN_INPUT, "captured", l4, port, tproxy ? mark : nat, JUST(ACCEPT));
	ADD(r, CHAIN_INPUT, "the proxy's port, not by capture", l4, port, JUST(CT_ORIGINAL),
		JUST(COUNTER), tcp ? reset : unreachable);
}

void ruleset_add_proxy(struct ruleset *r, const struct ruleset_config *config)
{
	add_inbound(r);
	if (r->capture.method == POLICY_TPROXY && ruleset_is_pod(r))
		add_divert(r, config, false);
	if (r->capture.method == POLICY_TPROXY && ruleset_is_router(r))
		add_divert(r, config, true);
	add_input(r, config, IPPROTO_TCP);
	if (r->capture.dns == POLICY_CAPTURE)
		add_input(r, config, IPPROTO_UDP);
}
