/* SPDX-License-Identifier: MIT */
/* The rules of a node, chosen by its policy's [capture] section. */
#include "init/ruleset.h"

#include <linux/netfilter.h>
#include <string.h>

#include "rules/capture.h"

#define ITEMS(...) ((const struct item[]){__VA_ARGS__, {.kind = ITEM_END}})

static const struct set sets[SETS] = {
	[SET_PORTS] = {.name = "ports", .key = SET_KEY_PORT, .interval = true},
	[SET_EXCLUDE_PORTS] = {.name = "exclude_ports", .key = SET_KEY_PORT, .interval = true},
	[SET_EXCLUDE_IPV4] = {.name = "exclude_ipv4", .key = SET_KEY_IPV4, .interval = true},
	[SET_EXCLUDE_IPV6] = {.name = "exclude_ipv6", .key = SET_KEY_IPV6, .interval = true},
	[SET_EXCLUDE_INTERFACES] = {.name = "exclude_interfaces", .key = SET_KEY_IFNAME},
	[SET_EXEMPT_UIDS] = {.name = "exempt_uids", .key = SET_KEY_UID, .interval = true},
	[SET_EXEMPT_GIDS] = {.name = "exempt_gids", .key = SET_KEY_GID, .interval = true},
	[SET_MLD] = {.name = "mld", .key = SET_KEY_ICMPV6},
	[SET_ND] = {.name = "nd", .key = SET_KEY_ICMPV6},
};

/* Conntrack runs at -200, so marks can be set from -160 on; source NAT is done at 100, so 300 sees what really leaves. */
static const struct chain chains[CHAINS] = {
	[CHAIN_PASS] = {.name = "pass", .hook = CHAIN_NO_HOOK},
	[CHAIN_GUARD] = {.name = "guard", .hook = NF_INET_POST_ROUTING, .priority = 300, .drop = true},
	[CHAIN_OWN] = {.name = "own", .hook = NF_INET_LOCAL_OUT, .priority = -160},
	[CHAIN_CAPTURE] = {.name = "capture", .hook = NF_INET_LOCAL_OUT, .type = CHAIN_ROUTE, .priority = -150},
	[CHAIN_REFUSE] = {.name = "refuse", .hook = NF_INET_LOCAL_OUT, .priority = 0},
	[CHAIN_INBOUND] = {.name = "inbound", .hook = NF_INET_PRE_ROUTING, .priority = -160},
	[CHAIN_DIVERT] = {.name = "divert", .hook = NF_INET_PRE_ROUTING, .priority = -150},
	[CHAIN_INPUT] = {.name = "input", .hook = NF_INET_LOCAL_IN, .priority = 0},
	[CHAIN_EGRESS] = {.name = "egress", .hook = NF_NETDEV_EGRESS, .priority = 0, .drop = true},
	[CHAIN_EGRESS_UPPER] = {.name = "egress_upper", .hook = NF_NETDEV_EGRESS, .priority = 0, .drop = true},
};

bool chain_is_netdev(enum chain_id chain)
{
	return chain == CHAIN_EGRESS || chain == CHAIN_EGRESS_UPPER;
}

/* A set and a chain exist when a rule names them; a rule never has more items than fit (test_ruleset builds them all). */
static void add(struct ruleset *r, enum chain_id chain, const char *comment, const struct item *items)
{
	struct rule *rule = &r->rules[r->n_rules++];

	rule->chain = chain;
	rule->comment = comment;
	r->chains[chain].used = true;
	for (size_t i = 0; items[i].kind != ITEM_END; i++) {
		rule->item[i] = items[i];
		switch (items[i].kind) {
		case ITEM_OIFNAME_IN: case ITEM_UID_IN: case ITEM_GID_IN: case ITEM_DPORT_IN:
		case ITEM_DADDR4_IN: case ITEM_DADDR6_IN: case ITEM_ICMPV6_IN:
			r->sets[items[i].value].used = true;
			break;
		default:
			break;
		}
	}
}

static bool has_elements(const struct ruleset *r, enum set_id set)
{
	struct element e;
	uint32_t at = 0;

	return set_next(r, set, &at, &e);
}

/* Neighbour discovery and MLD keep the link alive, and cannot leave it: by scope, by hop limit, or since the kernel itself sends them. */
static void add_pass_link(struct ruleset *r)
{
	add(r, CHAIN_PASS, "multicast listener reports", ITEMS(
		{.kind = ITEM_ICMPV6_IN, .value = SET_MLD}, {.kind = ITEM_HOPLIMIT, .value = 1}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_PASS, "neighbour discovery on the link", ITEMS(
		{.kind = ITEM_ICMPV6_IN, .value = SET_ND}, {.kind = ITEM_HOPLIMIT, .value = 255}, {.kind = ITEM_LINK_MULTICAST},
		{.kind = ITEM_ACCEPT}));
	add(r, CHAIN_PASS, "unicast neighbour discovery is not a process's business", ITEMS(
		{.kind = ITEM_ICMPV6_IN, .value = SET_ND}, {.kind = ITEM_OWNED}, {.kind = ITEM_RETURN}));
	add(r, CHAIN_PASS, "unicast neighbour discovery from the kernel", ITEMS(
		{.kind = ITEM_ICMPV6_IN, .value = SET_ND}, {.kind = ITEM_HOPLIMIT, .value = 255}, {.kind = ITEM_ACCEPT}));
}

static void add_pass(struct ruleset *r)
{
	const struct policy_capture *c = &r->capture;

	add(r, CHAIN_PASS, "the proxy's and exempt users' flows", ITEMS(
		{.kind = ITEM_CT_MARK, .value = RULESET_CT_OWN}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_PASS, "replies to flows from outside", ITEMS(
		{.kind = ITEM_CT_MARK, .value = RULESET_CT_INBOUND}, {.kind = ITEM_CT_REPLY}, {.kind = ITEM_ACCEPT}));
	if (has_elements(r, SET_EXCLUDE_INTERFACES))
		add(r, CHAIN_PASS, "exclude-interfaces", ITEMS(
			{.kind = ITEM_OIFNAME_IN, .value = SET_EXCLUDE_INTERFACES}, {.kind = ITEM_ACCEPT}));
	add_pass_link(r);
	add(r, CHAIN_PASS, "nothing that conntrack does not know", ITEMS({.kind = ITEM_CT_UNKNOWN}, {.kind = ITEM_RETURN}));
	if (has_elements(r, SET_EXCLUDE_IPV4))
		add(r, CHAIN_PASS, "exclude-cidrs", ITEMS({.kind = ITEM_DADDR4_IN, .value = SET_EXCLUDE_IPV4}, {.kind = ITEM_ACCEPT}));
	if (has_elements(r, SET_EXCLUDE_IPV6))
		add(r, CHAIN_PASS, "exclude-cidrs", ITEMS({.kind = ITEM_DADDR6_IN, .value = SET_EXCLUDE_IPV6}, {.kind = ITEM_ACCEPT}));
	if (has_elements(r, SET_EXCLUDE_PORTS))
		add(r, CHAIN_PASS, "exclude-ports", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
			{.kind = ITEM_DPORT_IN, .value = SET_EXCLUDE_PORTS}, {.kind = ITEM_ACCEPT}));
	if (c->dns == POLICY_ALLOW)
		add(r, CHAIN_PASS, "dns = allow", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
			{.kind = ITEM_DPORT, .value = 53}, {.kind = ITEM_ACCEPT}));
	if (c->dns == POLICY_ALLOW || c->udp == POLICY_ALLOW)
		add(r, CHAIN_PASS, c->dns == POLICY_ALLOW ? "dns = allow" : "dns = reject", ITEMS(
			{.kind = ITEM_L4, .value = IPPROTO_UDP}, {.kind = ITEM_DPORT, .value = 53},
			{.kind = c->dns == POLICY_ALLOW ? ITEM_ACCEPT : ITEM_RETURN}));
	if (c->udp == POLICY_ALLOW)
		add(r, CHAIN_PASS, "udp = allow", ITEMS({.kind = ITEM_L4, .value = IPPROTO_UDP}, {.kind = ITEM_ACCEPT}));
	if (c->other == POLICY_ALLOW)
		add(r, CHAIN_PASS, "other = allow", ITEMS({.kind = ITEM_L4, .not = true, .value = IPPROTO_TCP},
			{.kind = ITEM_L4, .not = true, .value = IPPROTO_UDP}, {.kind = ITEM_ACCEPT}));
}

/* The egress hook asks for a mark that only the guard sets; on its way to lo the proxy's mark is taken off, so that nobody can read it there. */
static void add_guard(struct ruleset *r, const struct ruleset_config *config)
{
	add(r, CHAIN_GUARD, "the proxy's mark stays secret", ITEMS({.kind = ITEM_OIFNAME, .text = "lo"},
		{.kind = ITEM_MARK, .value = CAPTURE_MARK_PROXY(config->secret)}, {.kind = ITEM_SET_MARK, .value = 0}));
	add(r, CHAIN_GUARD, "loopback", ITEMS({.kind = ITEM_OIFNAME, .text = "lo"}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_GUARD, "what passes may go through egress", ITEMS(
		{.kind = ITEM_SET_MARK, .value = CAPTURE_MARK_PASS(config->secret)}));
	add(r, CHAIN_GUARD, "what may pass", ITEMS({.kind = ITEM_JUMP, .value = CHAIN_PASS}));
	add(r, CHAIN_GUARD, "all else", ITEMS({.kind = ITEM_COUNTER}, {.kind = ITEM_DROP}));
}

/*
 * Every packet of a socket is judged by its owner, and the flow remembers the verdict, since what the kernel still sends
 * after close() has no owner any more. A stranger's packet in a remembered flow makes it forget.
 */
static void add_own(struct ruleset *r, const struct ruleset_config *config)
{
	add(r, CHAIN_OWN, "the proxy: its user and the secret mark", ITEMS({.kind = ITEM_UID, .value = config->uid},
		{.kind = ITEM_MARK, .value = CAPTURE_MARK_PROXY(config->secret)},
		{.kind = ITEM_SET_CT_MARK, .value = RULESET_CT_OWN}, {.kind = ITEM_ACCEPT}));
	if (has_elements(r, SET_EXEMPT_UIDS))
		add(r, CHAIN_OWN, "exempt-uids", ITEMS({.kind = ITEM_UID_IN, .value = SET_EXEMPT_UIDS},
			{.kind = ITEM_SET_CT_MARK, .value = RULESET_CT_OWN}, {.kind = ITEM_ACCEPT}));
	if (has_elements(r, SET_EXEMPT_GIDS))
		add(r, CHAIN_OWN, "exempt-gids", ITEMS({.kind = ITEM_GID_IN, .value = SET_EXEMPT_GIDS},
			{.kind = ITEM_SET_CT_MARK, .value = RULESET_CT_OWN}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_OWN, "a stranger in such a flow", ITEMS({.kind = ITEM_CT_MARK, .value = RULESET_CT_OWN},
		{.kind = ITEM_OWNED}, {.kind = ITEM_SET_CT_MARK, .value = 0}));
}

static bool is_every_port(const struct ruleset *r)
{
	uint32_t first, last;

	if (r->capture.ports.n != 1)
		return false;
	policy_range(r->policy, r->capture.ports.first, &first, &last);
	return first <= 1 && last == UINT16_MAX;
}

static void add_capture(struct ruleset *r, const struct ruleset_config *config)
{
	bool tproxy = r->capture.method == POLICY_TPROXY;
	const struct item turn = {
		.kind = tproxy ? ITEM_SET_MARK : ITEM_REDIRECT, .value = tproxy ? CAPTURE_MARK : config->port,
	};

	add(r, CHAIN_CAPTURE, "loopback", ITEMS({.kind = ITEM_OIFNAME, .text = "lo"}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_CAPTURE, "what may pass", ITEMS({.kind = ITEM_JUMP, .value = CHAIN_PASS}));
	if (is_every_port(r))
		add(r, CHAIN_CAPTURE, "ports = *", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP}, {.kind = ITEM_COUNTER}, turn));
	else
		add(r, CHAIN_CAPTURE, "ports", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
			{.kind = ITEM_DPORT_IN, .value = SET_PORTS}, {.kind = ITEM_COUNTER}, turn));
	if (!tproxy)
		return;
	add(r, CHAIN_DIVERT, "captured TCP, to the proxy", ITEMS({.kind = ITEM_IIFNAME, .text = "lo"},
		{.kind = ITEM_MARK, .value = CAPTURE_MARK}, {.kind = ITEM_L4, .value = IPPROTO_TCP},
		{.kind = ITEM_TPROXY, .value = config->port}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_DIVERT, "no proxy, no connection", ITEMS({.kind = ITEM_IIFNAME, .text = "lo"},
		{.kind = ITEM_MARK, .value = CAPTURE_MARK}, {.kind = ITEM_COUNTER}, {.kind = ITEM_DROP}));
}

/* Refusing early is a courtesy: clients fail at once rather than time out. The guard does not rely on it. */
static void add_refuse(struct ruleset *r)
{
	add(r, CHAIN_REFUSE, "loopback", ITEMS({.kind = ITEM_OIFNAME, .text = "lo"}, {.kind = ITEM_ACCEPT}));
	if (r->capture.method == POLICY_TPROXY)
		add(r, CHAIN_REFUSE, "captured", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
			{.kind = ITEM_MARK, .value = CAPTURE_MARK}, {.kind = ITEM_ACCEPT}));
	else
		add(r, CHAIN_REFUSE, "captured", ITEMS({.kind = ITEM_CT_DNAT}, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_REFUSE, "what may pass", ITEMS({.kind = ITEM_JUMP, .value = CHAIN_PASS}));
	add(r, CHAIN_REFUSE, "TCP that cannot be captured", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
		{.kind = ITEM_COUNTER}, {.kind = ITEM_REJECT_RESET}));
	add(r, CHAIN_REFUSE, "UDP", ITEMS({.kind = ITEM_L4, .value = IPPROTO_UDP}, {.kind = ITEM_COUNTER}, {.kind = ITEM_REJECT_PORT}));
	add(r, CHAIN_REFUSE, "other protocols", ITEMS({.kind = ITEM_COUNTER}, {.kind = ITEM_REJECT_ADMIN}));
}

/* A TCP flow counts as opened from outside only by its SYN: conntrack also picks up flows in the middle, and those may be our own old ones. */
static void add_inbound(struct ruleset *r, const struct ruleset_config *config)
{
	const struct item from_capture = r->capture.method == POLICY_TPROXY ?
		(struct item){.kind = ITEM_MARK, .value = CAPTURE_MARK} : (struct item){.kind = ITEM_CT_DNAT};

	add(r, CHAIN_INBOUND, "TCP opened from outside", ITEMS({.kind = ITEM_IIFNAME, .not = true, .text = "lo"},
		{.kind = ITEM_CT_NEW}, {.kind = ITEM_L4, .value = IPPROTO_TCP}, {.kind = ITEM_TCP_SYN},
		{.kind = ITEM_SET_CT_MARK, .value = RULESET_CT_INBOUND}));
	add(r, CHAIN_INBOUND, "other flows from outside", ITEMS({.kind = ITEM_IIFNAME, .not = true, .text = "lo"},
		{.kind = ITEM_CT_NEW}, {.kind = ITEM_L4, .not = true, .value = IPPROTO_TCP},
		{.kind = ITEM_SET_CT_MARK, .value = RULESET_CT_INBOUND}));
	add(r, CHAIN_INPUT, "the proxy's port from outside", ITEMS({.kind = ITEM_IIFNAME, .not = true, .text = "lo"},
		{.kind = ITEM_L4, .value = IPPROTO_TCP}, {.kind = ITEM_DPORT, .value = config->port}, {.kind = ITEM_CT_ORIGINAL},
		{.kind = ITEM_COUNTER}, {.kind = ITEM_DROP}));
	add(r, CHAIN_INPUT, "captured", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
		{.kind = ITEM_DPORT, .value = config->port}, from_capture, {.kind = ITEM_ACCEPT}));
	add(r, CHAIN_INPUT, "the proxy's port, not by capture", ITEMS({.kind = ITEM_L4, .value = IPPROTO_TCP},
		{.kind = ITEM_DPORT, .value = config->port}, {.kind = ITEM_CT_ORIGINAL},
		{.kind = ITEM_COUNTER}, {.kind = ITEM_REJECT_RESET}));
}

/*
 * The mark is taken off before packet sockets see the packet, or they could read and use it. An upper interface (a VLAN,
 * a bridge) must leave it on for the next one. ARP is the kernel's business, and never a process's.
 */
static void add_egress(struct ruleset *r, enum chain_id chain, const struct ruleset_config *config)
{
	const struct item pass = {.kind = ITEM_MARK, .value = CAPTURE_MARK_PASS(config->secret)};

	if (chain == CHAIN_EGRESS)
		add(r, chain, "passed by the guard", ITEMS(pass, {.kind = ITEM_SET_MARK, .value = 0}, {.kind = ITEM_ACCEPT}));
	else
		add(r, chain, "passed by the guard", ITEMS(pass, {.kind = ITEM_ACCEPT}));
	add(r, chain, "packet sockets", ITEMS({.kind = ITEM_OWNED}, {.kind = ITEM_COUNTER}, {.kind = ITEM_DROP}));
	add(r, chain, "ARP from the kernel", ITEMS({.kind = ITEM_ARP}, {.kind = ITEM_ACCEPT}));
	add(r, chain, "all else", ITEMS({.kind = ITEM_COUNTER}, {.kind = ITEM_DROP}));
}

static bool is_excluded(const struct ruleset *r, const char *name)
{
	for (uint32_t i = 0; i < r->capture.exclude_interfaces.n; i++)
		if (strcmp(policy_string(r->policy, policy_item(r->capture.exclude_interfaces, i)), name) == 0)
			return true;
	return false;
}

static int add_links(struct ruleset *r, const struct ruleset_config *config, const struct link *links, uint32_t n)
{
	bool has[2] = {false, false};

	for (uint32_t i = 0; i < n && config->egress_hook; i++) {
		if (is_excluded(r, links[i].name))
			continue;
		if (r->n_links == RULESET_LINKS)
			return -1;
		r->links[r->n_links++] = links[i];
		has[links[i].upper] = true;
	}
	if (has[false])
		add_egress(r, CHAIN_EGRESS, config);
	if (has[true])
		add_egress(r, CHAIN_EGRESS_UPPER, config);
	return 0;
}

int ruleset_init(struct ruleset *r, const struct policy *p, const struct ruleset_config *config,
                 const struct link *links, uint32_t n_links, const char **why)
{
	memset(r, 0, sizeof(*r));
	r->policy = p;
	policy_capture(p, &r->capture);
	memcpy(r->sets, sets, sizeof(sets));
	memcpy(r->chains, chains, sizeof(chains));
	*why = r->capture.scope != POLICY_SCOPE_POD ? "scope: only pod can be installed" :
	       r->capture.dns == POLICY_CAPTURE ? "dns: capture cannot be installed" :
	       r->capture.method != POLICY_TPROXY && r->capture.method != POLICY_REDIRECT ? "method: unknown" : NULL;
	for (uint32_t i = 0; i < r->capture.exclude_interfaces.n && *why == NULL; i++)
		if (strlen(policy_string(p, policy_item(r->capture.exclude_interfaces, i))) >= IF_NAMESIZE)
			*why = "exclude-interfaces: a name is too long for an interface";
	if (*why != NULL)
		return -1;
	if (r->capture.method == POLICY_REDIRECT) {
		r->chains[CHAIN_CAPTURE].type = CHAIN_NAT;
		r->chains[CHAIN_CAPTURE].priority = -100;
	}
	add_pass(r);
	add_guard(r, config);
	add_own(r, config);
	add_capture(r, config);
	add_refuse(r);
	add_inbound(r, config);
	if (add_links(r, config, links, n_links) != 0) {
		*why = "there are more interfaces than one chain can watch (256): name some in exclude-interfaces";
		return -1;
	}
	return 0;
}
