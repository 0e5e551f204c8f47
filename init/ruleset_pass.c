/* SPDX-License-Identifier: MIT */
/* The rules for what may pass: neither captured nor refused. */
#include "init/ruleset_part.h"

/*
 * Neighbour discovery and MLD keep the link alive. Only the kernel itself may send them: whatever
 * their scope and hop limit, a raw socket's would carry what it likes to the link.
 */
static void add_pass_link(struct ruleset *r)
{
	ADD(r, CHAIN_PASS, "listener reports are not a process's business",
		WITH(ICMPV6_IN, SET_MLD), JUST(OWNED), JUST(RETURN));
	ADD(r, CHAIN_PASS, "listener reports from the kernel",
		WITH(ICMPV6_IN, SET_MLD), WITH(HOPLIMIT, 1), JUST(LINK_MULTICAST), JUST(ACCEPT));
	ADD(r, CHAIN_PASS, "neighbour discovery is not a process's business",
		WITH(ICMPV6_IN, SET_ND), JUST(OWNED), JUST(RETURN));
	ADD(r, CHAIN_PASS, "neighbour discovery from the kernel",
		WITH(ICMPV6_IN, SET_ND), WITH(HOPLIMIT, 255), JUST(ACCEPT));
}

static void add_pass_excluded(struct ruleset *r)
{
	if (ruleset_has(r, SET_EXCLUDE_IPV4))
		ADD(r, CHAIN_PASS, "exclude-cidrs",
			WITH(DADDR4_IN, SET_EXCLUDE_IPV4), JUST(ACCEPT));
	if (ruleset_has(r, SET_EXCLUDE_IPV6))
		ADD(r, CHAIN_PASS, "exclude-cidrs",
			WITH(DADDR6_IN, SET_EXCLUDE_IPV6), JUST(ACCEPT));
	if (ruleset_has(r, SET_EXCLUDE_PORTS))
		ADD(r, CHAIN_PASS, "exclude-ports",
			WITH(L4, IPPROTO_TCP), WITH(DPORT_IN, SET_EXCLUDE_PORTS), JUST(ACCEPT));
}

static void add_pass_allowed(struct ruleset *r)
{
	const struct policy_capture *c = &r->capture;

	if (c->dns == POLICY_ALLOW) {
		ADD(r, CHAIN_PASS, "dns = allow",
			WITH(L4, IPPROTO_TCP), WITH(DPORT, 53), JUST(ACCEPT));
		ADD(r, CHAIN_PASS, "dns = allow",
			WITH(L4, IPPROTO_UDP), WITH(DPORT, 53), JUST(ACCEPT));
	} else if (c->dns == POLICY_REJECT && c->udp == POLICY_ALLOW) {
		ADD(r, CHAIN_PASS, "dns = reject",
			WITH(L4, IPPROTO_UDP), WITH(DPORT, 53), JUST(RETURN));
	}
	if (c->udp == POLICY_ALLOW)
		ADD(r, CHAIN_PASS, "udp = allow", WITH(L4, IPPROTO_UDP), JUST(ACCEPT));
	if (c->other == POLICY_ALLOW)
		ADD(r, CHAIN_PASS, "other = allow",
			NOT(L4, IPPROTO_TCP), NOT(L4, IPPROTO_UDP), JUST(ACCEPT));
}

/* Behind what is not ours to judge, and before all that the policy lets out. */
static void add_pass_no_dns(struct ruleset *r)
{
	if (r->capture.dns != POLICY_CAPTURE)
		return;
	ADD(r, CHAIN_PASS, "dns = capture: to whatever server",
		WITH(L4, IPPROTO_UDP), WITH(DPORT, 53), JUST(RETURN));
	ADD(r, CHAIN_PASS, "dns = capture: to whatever server",
		WITH(L4, IPPROTO_TCP), WITH(DPORT, 53), JUST(RETURN));
}

/*
 * A flow is counted when it is first met, and remembers that: every packet of it asks here, more
 * than once. One that is not counted, or one too many, does not pass.
 */
static void add_pass_udp(struct ruleset *r)
{
	static const struct { enum item_kind kind; enum set_id set; bool always; } matches[] = {
		{ITEM_UDP4_IN, SET_UDP_STATIC4, false}, {ITEM_UDP6_IN, SET_UDP_STATIC6, false},
		{ITEM_UDP4_IN, SET_UDP4, true}, {ITEM_UDP6_IN, SET_UDP6, true},
	};

	if (!r->has_udp)
		return;
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		const struct item match = {.kind = matches[i].kind, .value = matches[i].set};

		if (matches[i].always || ruleset_has(r, matches[i].set))
			ADD(r, CHAIN_PASS, "UDP services", match, WITH(JUMP, CHAIN_COUNT));
	}
	ADD(r, CHAIN_COUNT, "counted already", WITH(CT_MARK, RULESET_CT_UDP), JUST(ACCEPT));
	ADD(r, CHAIN_COUNT, "one too many", WITH(CT_MARK, RULESET_CT_TOO_MANY), JUST(RETURN));
	ADD(r, CHAIN_COUNT, "no more than udp-flows of a client",
		WITH(COUNT_FLOWS4, r->capture.udp_flows), WITH(SET_CT_MARK, RULESET_CT_UDP),
		JUST(ACCEPT));
	ADD(r, CHAIN_COUNT, "no more than udp-flows of a client",
		WITH(COUNT_FLOWS6, r->capture.udp_flows), WITH(SET_CT_MARK, RULESET_CT_UDP),
		JUST(ACCEPT));
	ADD(r, CHAIN_COUNT, "one too many: whoever asks next need not count",
		WITH(SET_CT_MARK, RULESET_CT_TOO_MANY));
}

void ruleset_add_pass(struct ruleset *r)
{
	if (ruleset_is_pod(r))
		ADD(r, CHAIN_PASS, "the proxy's and exempt users' flows",
			WITH(CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	ADD(r, CHAIN_PASS, "replies to flows from outside",
		WITH(CT_MARK, RULESET_CT_INBOUND), JUST(CT_REPLY), JUST(ACCEPT));
	if (ruleset_has(r, SET_EXCLUDE_INTERFACES))
		ADD(r, CHAIN_PASS, "exclude-interfaces",
			WITH(OIFNAME_IN, SET_EXCLUDE_INTERFACES), JUST(ACCEPT));
	if (ruleset_is_pod(r))
		add_pass_link(r);
	ADD(r, CHAIN_PASS, "nothing that conntrack does not know", JUST(CT_UNKNOWN), JUST(RETURN));
	add_pass_no_dns(r);
	add_pass_excluded(r);
	add_pass_udp(r);
	add_pass_allowed(r);
}
