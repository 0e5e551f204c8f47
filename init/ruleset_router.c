/* SPDX-License-Identifier: MIT */
/* The rules for what is forwarded from the policy's `interfaces`. */
#include "init/ruleset_part.h"

#include "rules/capture.h"

/*
 * Answers to an address that is not behind the interface would leave by another one, and with them
 * whatever the sender wants carried out. Without an address yet a client can only ask for one: what
 * comes from :: is never forwarded, and DHCP's 0.0.0.0 the kernel itself lets be.
 */
static void add_source(struct ruleset *r)
{
	ADD(r, CHAIN_SOURCE, "no address yet", JUST(SADDR6_NONE), JUST(ACCEPT));
	ADD(r, CHAIN_SOURCE, "a source that is not behind the interface",
		WITH(IIFNAME_IN, SET_INTERFACES), JUST(SOURCE_ASTRAY), JUST(COUNTER), JUST(DROP));
}

/*
 * What is for this router itself is let be, but for DNS. The interface by which a packet would leave
 * is not known yet.
 */
static void add_turn(struct ruleset *r, const struct ruleset_config *config)
{
	const struct item mark = WITH(SET_MARK, CAPTURE_MARK), nat = WITH(REDIRECT, config->port);
	const struct item turn = r->capture.method == POLICY_TPROXY ? mark : nat;

	ADD(r, CHAIN_TURN, "not from inside", NOT(IIFNAME_IN, SET_INTERFACES), JUST(ACCEPT));
	ADD(r, CHAIN_TURN, "what may pass", WITH(JUMP, CHAIN_PASS));
	if (r->capture.dns == POLICY_CAPTURE) {
		ADD(r, CHAIN_TURN, "dns = capture",
			WITH(L4, IPPROTO_UDP), WITH(DPORT, 53), JUST(COUNTER), turn);
		ADD(r, CHAIN_TURN, "dns = capture",
			WITH(L4, IPPROTO_TCP), WITH(DPORT, 53), JUST(COUNTER), turn);
	}
	ADD(r, CHAIN_TURN, "for this router", JUST(TO_LOCAL), JUST(ACCEPT));
	if (ruleset_has_every_port(r))
		ADD(r, CHAIN_TURN, "ports = *", WITH(L4, IPPROTO_TCP), JUST(COUNTER), turn);
	else
		ADD(r, CHAIN_TURN, "ports",
			WITH(L4, IPPROTO_TCP), WITH(DPORT_IN, SET_PORTS), JUST(COUNTER), turn);
}

/*
 * Every packet is judged, of old flows too. What keeps a link alive and may therefore pass cannot
 * come by: its hop limit is one less here, and ff02::/16 is never forwarded.
 */
static void add_forward(struct ruleset *r)
{
	ADD(r, CHAIN_FORWARD, "not from inside", NOT(IIFNAME_IN, SET_INTERFACES), JUST(ACCEPT));
	ADD(r, CHAIN_FORWARD, "what may pass", WITH(JUMP, CHAIN_PASS));
	ADD(r, CHAIN_FORWARD, "nothing that conntrack does not know",
		JUST(CT_UNKNOWN), JUST(COUNTER), JUST(DROP));
	ADD(r, CHAIN_FORWARD, "TCP that cannot be captured",
		WITH(L4, IPPROTO_TCP), JUST(COUNTER), JUST(REJECT_RESET));
	ADD(r, CHAIN_FORWARD, "UDP", WITH(L4, IPPROTO_UDP), JUST(COUNTER), JUST(REJECT_PORT));
	ADD(r, CHAIN_FORWARD, "other protocols", JUST(COUNTER), JUST(REJECT_ADMIN));
}

void ruleset_add_router(struct ruleset *r, const struct ruleset_config *config)
{
	add_source(r);
	add_turn(r, config);
	add_forward(r);
}
