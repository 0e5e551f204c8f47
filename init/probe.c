/* SPDX-License-Identifier: MIT */
/* Ways out that a process may try, and what a policy says of each. */
#include "init/probe.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "init/xdp.h"

enum { V4 = 1, V6 = 2, BOTH = 3, ECHO_PORT = 7, HTTPS = 443, OTHER_PORT = 4433, DNS = 53 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

const struct probe probes[] = {
	{"TCP", PROBE_TCP, BOTH, HTTPS, PROBE_WHERE},
	{"TCP to port 22", PROBE_TCP, BOTH, 22, PROBE_WHERE},
	{"TCP to port 53", PROBE_TCP, BOTH, DNS, PROBE_WHERE},
	{"TCP bound to the interface", PROBE_TCP, BOTH, HTTPS, PROBE_DEVICE},
	{"TCP of the proxy's user", PROBE_TCP, BOTH, HTTPS, PROBE_UID},
	{"TCP of the proxy's group", PROBE_TCP, BOTH, HTTPS, PROBE_GID},
	{"TCP with the capture mark", PROBE_TCP, BOTH, HTTPS, PROBE_CAPTURE},
	{"TCP with it, bound to the interface", PROBE_TCP, BOTH, HTTPS, PROBE_CAPTURE | PROBE_DEVICE},
	{"TCP with the proxy's mark", PROBE_TCP, BOTH, HTTPS, PROBE_SECRET},
	{"TCP, proxy's user, a guessed mark", PROBE_TCP, BOTH, HTTPS, PROBE_UID | PROBE_GUESS},
	{"TCP Fast Open", PROBE_TCP, BOTH, HTTPS, PROBE_FAST_OPEN | PROBE_CLIENT},
	{"MPTCP", PROBE_TCP, BOTH, HTTPS, PROBE_MPTCP | PROBE_CLIENT},
	{"TCP, open before, idle", PROBE_OLD, BOTH, 0, 0},
	{"TCP, open before, tracked", PROBE_OLD, BOTH, 1, 0},
	{"the proxy's port on loopback", PROBE_LOCAL, BOTH, 0, 0},
	{"the proxy's port on any address", PROBE_LOCAL, BOTH, 1, 0},
	{"the proxy's port on an own address", PROBE_LOCAL, BOTH, 2, 0},
	{"UDP", PROBE_UDP, BOTH, OTHER_PORT, PROBE_WHERE},
	{"QUIC", PROBE_UDP, BOTH, HTTPS, PROBE_WHERE},
	{"DNS", PROBE_UDP, BOTH, DNS, PROBE_WHERE},
	{"UDP bound to the interface", PROBE_UDP, BOTH, OTHER_PORT, PROBE_DEVICE},
	{"UDP with the capture mark", PROBE_UDP, BOTH, OTHER_PORT, PROBE_CAPTURE},
	{"UDP of the proxy's user", PROBE_UDP, BOTH, OTHER_PORT, PROBE_UID},
	{"UDP to a link-local address", PROBE_UDP, V6, OTHER_PORT, PROBE_LINK_LOCAL},
	{"ICMP echo, ping socket", PROBE_PING, BOTH, 0, PROBE_IN_PLACE},
	{"ICMP echo, raw", PROBE_IP, V4, IPPROTO_ICMP, PROBE_WHERE},
	{"ICMPv6 echo, raw", PROBE_IP, V6, IPPROTO_ICMPV6, PROBE_WHERE},
	{"SCTP", PROBE_IP, BOTH, IPPROTO_SCTP, PROBE_WHERE},
	{"GRE", PROBE_IP, BOTH, IPPROTO_GRE, PROBE_WHERE},
	{"protocol 253", PROBE_IP, BOTH, 253, PROBE_WHERE},
	{"raw SYN", PROBE_SEGMENT, BOTH, SYN, PROBE_CLIENT},
	{"raw RST with payload", PROBE_SEGMENT, BOTH, RST, PROBE_WHERE},
	{"raw FIN with payload", PROBE_SEGMENT, BOTH, FIN, PROBE_CLIENT},
	{"raw ACK with payload", PROBE_SEGMENT, BOTH, PSH | ACK, PROBE_CLIENT},
	{"raw segment without flags", PROBE_SEGMENT, BOTH, 0, PROBE_CLIENT},
	{"raw RST, proxy's mark", PROBE_SEGMENT, BOTH, RST, PROBE_SECRET},
	{"first fragment, IP_NODEFRAG", PROBE_FRAGMENT, V4, 0x2000, 0},
	{"later fragment, IP_NODEFRAG", PROBE_FRAGMENT, V4, 8, 0},
	{"packet socket", PROBE_FRAME, V4, ETHERTYPE_IP, 0},
	{"packet socket, past the queue", PROBE_FRAME, V4, ETHERTYPE_IP, PROBE_NO_QUEUE},
	{"packet socket, proxy's user", PROBE_FRAME, V4, ETHERTYPE_IP, PROBE_UID},
	{"packet socket, proxy's mark", PROBE_FRAME, V4, ETHERTYPE_IP, PROBE_SECRET},
	{"packet socket, the guard's mark", PROBE_FRAME, V4, ETHERTYPE_IP, PROBE_PASSED},
	{"packet socket, ARP", PROBE_FRAME, V4, ETHERTYPE_ARP, 0},
	{"packet socket, unknown type", PROBE_FRAME, V4, 0x88b5, 0},
	{"AF_XDP socket", PROBE_XDP, V4, ETHERTYPE_IP, 0},
};
const size_t probe_count = sizeof(probes) / sizeof(probes[0]);

const char *probe_result_name(enum probe_result r)
{
	static const char *const names[] = {
		[PROBE_CLOSED] = "closed", [PROBE_REFUSED] = "refused",
		[PROBE_CAPTURED] = "captured", [PROBE_OUT] = "out", [PROBE_UNTRIED] = "not tried",
	};

	return names[r];
}

/* ---- what the policy says ---- */

static bool in_ranges(const struct policy *p, struct policy_run ranges, uint32_t v)
{
	for (uint32_t i = 0; i < ranges.n; i++) {
		uint32_t first, last;

		policy_range(p, ranges.first + i, &first, &last);
		if (v >= first && v <= last)
			return true;
	}
	return false;
}

uint32_t probe_stranger(const struct policy *p, struct policy_run ranges, uint32_t id)
{
	while (id > 0 && in_ranges(p, ranges, id))
		id--;
	return id;
}

static bool is_excluded(const struct ruleset *r, const char *text)
{
	struct addr a;

	if (addr_parse(&a, text, strlen(text)) != 0)
		return false;
	for (uint32_t i = 0; i < r->capture.exclude_cidrs.n; i++) {
		struct cidr c;

		policy_cidr(r->policy, r->capture.exclude_cidrs.first + i, &c);
		if (cidr_contains(&c, &a))
			return true;
	}
	return false;
}

static bool tcp_passes(const struct ruleset *r, uint16_t port)
{
	if (port == DNS && r->capture.dns == POLICY_CAPTURE)
		return false;
	return in_ranges(r->policy, r->capture.exclude_ports, port) ||
		(r->capture.dns == POLICY_ALLOW && port == DNS);
}

static enum probe_result expect_tcp(const struct ruleset *r, const struct probe *p)
{
	if (tcp_passes(r, p->detail))
		return PROBE_OUT;
	if (p->as & (PROBE_DEVICE | PROBE_CAPTURE))
		return PROBE_CLOSED;
	if (in_ranges(r->policy, r->capture.ports, p->detail) ||
		(r->capture.dns == POLICY_CAPTURE && p->detail == DNS))
		return PROBE_CAPTURED;
	return (p->as & ~PROBE_WHERE) == 0 ? PROBE_REFUSED : PROBE_CLOSED;
}

static enum probe_result expect_udp(const struct ruleset *r, const struct probe *p)
{
	const struct policy_capture *c = &r->capture;
	bool plain = (p->as & ~PROBE_WHERE) == 0;

	if (p->detail == DNS && c->dns == POLICY_CAPTURE)
		return plain ? PROBE_CAPTURED : PROBE_CLOSED;
	if (p->detail == DNS ? c->dns == POLICY_ALLOW : c->udp == POLICY_ALLOW)
		return PROBE_OUT;
	/* The error finds its way to a socket that is bound to nothing. */
	return plain ? PROBE_REFUSED : PROBE_CLOSED;
}

/* What exclude-cidrs open; captured DNS is captured all the same. */
static bool passes(const struct ruleset *r, const struct probe_place *place,
	const struct probe *p, int family)
{
	bool dns = (p->kind == PROBE_TCP || p->kind == PROBE_UDP) && p->detail == DNS &&
		r->capture.dns == POLICY_CAPTURE;

	return !dns && !(p->as & PROBE_LINK_LOCAL) && is_excluded(r, place->far[family]);
}

enum probe_result probe_expect(const struct ruleset *r, const struct probe_place *place,
	const struct probe *p, int family)
{
	bool excluded = passes(r, place, p, family);

	/* Turned round by a route before anybody asks whether it may pass. */
	if (r->capture.method == POLICY_TPROXY && (p->as & (PROBE_CAPTURE | PROBE_DEVICE)) ==
		PROBE_CAPTURE)
		return PROBE_CLOSED;
	switch ((enum probe_kind)p->kind) {
	case PROBE_TCP:
		return excluded ? PROBE_OUT : expect_tcp(r, p);
	case PROBE_UDP:
		return excluded ? PROBE_OUT : expect_udp(r, p);
	case PROBE_PING: case PROBE_IP:
		return excluded || r->capture.other == POLICY_ALLOW ? PROBE_OUT : PROBE_CLOSED;
	case PROBE_OLD:
		return excluded || tcp_passes(r, ECHO_PORT) ? PROBE_OUT : PROBE_CLOSED;
	case PROBE_SEGMENT: /* conntrack takes a flow up by SYN and by ACK, not by the others */
		return (p->detail & (SYN | ACK)) && (excluded || tcp_passes(r, HTTPS))
			? PROBE_OUT
			: PROBE_CLOSED;
	case PROBE_FRAME: /* the one link here lies under no other */
		return place->egress_hook &&
				(!(p->as & PROBE_PASSED) || r->chains[CHAIN_EGRESS].used)
			? PROBE_CLOSED
			: PROBE_OUT;
	case PROBE_XDP: /* there is no rule for it */
		return xdp_is_there() ? PROBE_OUT : PROBE_CLOSED;
	case PROBE_LOCAL:
		return PROBE_REFUSED;
	case PROBE_FRAGMENT:
		break;
	}
	return PROBE_CLOSED;
}
