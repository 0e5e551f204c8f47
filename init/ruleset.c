/* SPDX-License-Identifier: MIT */
/* The rules of a node, chosen by its policy's [capture] section. */
#include "init/ruleset_part.h"

#include <linux/netfilter.h>
#include <string.h>

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
	[SET_INTERFACES] = {.name = "interfaces", .key = SET_KEY_IFNAME},
	[SET_UDP_STATIC4] = {.name = "udp_static_ipv4", .key = SET_KEY_UDP4, .interval = true},
	[SET_UDP_STATIC6] = {.name = "udp_static_ipv6", .key = SET_KEY_UDP6, .interval = true},
	[SET_UDP4] = {.name = "udp_ipv4", .key = SET_KEY_UDP4, .interval = true, .timeout = true},
	[SET_UDP6] = {.name = "udp_ipv6", .key = SET_KEY_UDP6, .interval = true, .timeout = true},
	[SET_UDP_FLOWS4] = {.name = "udp_flows_ipv4", .key = SET_KEY_IPV4, .dynamic = true},
	[SET_UDP_FLOWS6] = {.name = "udp_flows_ipv6", .key = SET_KEY_IPV6, .dynamic = true},
};

/*
 * Conntrack runs at -200, so marks can be set from -160 on; source NAT is done at 100, so 300 sees
 * what really leaves. forward is the last there too, whatever others do to a packet before.
 */
static const struct chain chains[CHAINS] = {
	[CHAIN_COUNT] = {.name = "count", .hook = CHAIN_NO_HOOK},
	[CHAIN_PASS] = {.name = "pass", .hook = CHAIN_NO_HOOK},
	[CHAIN_GUARD] = {.name = "guard", .hook = NF_INET_POST_ROUTING, .priority = 300,
			 .drop = true},
	[CHAIN_OWN] = {.name = "own", .hook = NF_INET_LOCAL_OUT, .priority = -160},
	[CHAIN_CAPTURE] = {.name = "capture", .hook = NF_INET_LOCAL_OUT, .priority = -150,
			   .type = CHAIN_ROUTE},
	[CHAIN_REFUSE] = {.name = "refuse", .hook = NF_INET_LOCAL_OUT, .priority = 0},
	[CHAIN_FORWARD] = {.name = "forward", .hook = NF_INET_FORWARD, .priority = 300,
			   .drop = true},
	[CHAIN_INBOUND] = {.name = "inbound", .hook = NF_INET_PRE_ROUTING, .priority = -160},
	[CHAIN_SOURCE] = {.name = "source", .hook = NF_INET_PRE_ROUTING, .priority = -155},
	[CHAIN_TURN] = {.name = "turn", .hook = NF_INET_PRE_ROUTING, .priority = -151},
	[CHAIN_DIVERT] = {.name = "divert", .hook = NF_INET_PRE_ROUTING, .priority = -150},
	[CHAIN_INPUT] = {.name = "input", .hook = NF_INET_LOCAL_IN, .priority = 0},
	[CHAIN_EGRESS] = {.name = "egress", .hook = NF_NETDEV_EGRESS, .drop = true},
	[CHAIN_EGRESS_LOWER] = {.name = "egress_lower", .hook = NF_NETDEV_EGRESS, .drop = true},
	[CHAIN_EGRESS_UPPER] = {.name = "egress_upper", .hook = NF_NETDEV_EGRESS, .drop = true},
	[CHAIN_LOCKDOWN] = {.name = "lockdown", .hook = NF_INET_POST_ROUTING, .priority = 300,
			    .drop = true},
};

bool chain_is_netdev(enum chain_id chain)
{
	return chain >= CHAIN_EGRESS && chain <= CHAIN_EGRESS_UPPER;
}

enum chain_id chain_of(const struct link *link)
{
	return link->upper ? CHAIN_EGRESS_UPPER : link->routed ? CHAIN_EGRESS : CHAIN_EGRESS_LOWER;
}

/*
 * A set and a chain exist when a rule names them. Neither a rule's items nor the rules can be more
 * than fit: which there are is written down, and tests build them all.
 */
void ruleset_add(struct ruleset *r, enum chain_id chain, const char *comment,
	const struct item *items)
{
	struct rule *rule = &r->rules[r->n_rules++];

	rule->chain = chain;
	rule->comment = comment;
	r->chains[chain].used = true;
	for (size_t i = 0; items[i].kind != ITEM_END; i++) {
		rule->item[i] = items[i];
		if (item_is_set(items[i].kind))
			r->sets[items[i].value].used = true;
		else if (items[i].kind == ITEM_COUNT_FLOWS4)
			r->sets[SET_UDP_FLOWS4].used = true;
		else if (items[i].kind == ITEM_COUNT_FLOWS6)
			r->sets[SET_UDP_FLOWS6].used = true;
	}
}

bool item_is_set(enum item_kind kind)
{
	switch (kind) {
	case ITEM_IIFNAME_IN: case ITEM_OIFNAME_IN: case ITEM_UID_IN: case ITEM_GID_IN:
	case ITEM_DPORT_IN: case ITEM_DADDR4_IN: case ITEM_DADDR6_IN: case ITEM_UDP4_IN:
	case ITEM_UDP6_IN: case ITEM_ICMPV6_IN:
		return true;
	default:
		return false;
	}
}

bool ruleset_has(const struct ruleset *r, enum set_id set)
{
	struct element e;
	uint32_t at = 0;

	return set_next(r, set, &at, &e);
}

bool ruleset_has_every_port(const struct ruleset *r)
{
	uint32_t first, last;

	if (r->capture.ports.n != 1)
		return false;
	policy_range(r->policy, r->capture.ports.first, &first, &last);
	return first <= 1 && last == UINT16_MAX;
}

static bool names(const struct ruleset *r, struct policy_list l, const char *name)
{
	for (uint32_t i = 0; i < l.n; i++)
		if (strcmp(policy_string(r->policy, policy_item(l, i)), name) == 0)
			return true;
	return false;
}

/* One of `interfaces`, or a port of one: what goes out there stays inside. */
static bool is_inside(const struct ruleset *r, const struct link *link)
{
	return ruleset_is_router(r) && (names(r, r->capture.interfaces, link->name) ||
		(link->master[0] != '\0' && names(r, r->capture.interfaces, link->master)));
}

static int add_links(struct ruleset *r, const struct ruleset_config *config,
	const struct link *links, uint32_t n)
{
	bool has[CHAINS] = {false};

	for (uint32_t i = 0; i < n && config->egress_hook && ruleset_is_pod(r); i++) {
		if (names(r, r->capture.exclude_interfaces, links[i].name) ||
			is_inside(r, &links[i]))
			continue;
		if (r->n_links == RULESET_LINKS)
			return -1;
		r->links[r->n_links++] = links[i];
		has[chain_of(&links[i])] = true;
	}
	for (int id = CHAIN_EGRESS; id <= CHAIN_EGRESS_UPPER; id++)
		if (has[id])
			ruleset_add_egress(r, id, config);
	return 0;
}

static bool has_long_name(const struct ruleset *r, struct policy_list l)
{
	for (uint32_t i = 0; i < l.n; i++)
		if (strlen(policy_string(r->policy, policy_item(l, i))) >= IF_NAMESIZE)
			return true;
	return false;
}

/* What there are no rules for, or NULL. The compiler refuses the same. */
static const char *refusal(const struct ruleset *r)
{
	const struct policy_capture *c = &r->capture;

	if (c->scope > POLICY_SCOPE_BOTH)
		return "scope: unknown";
	if (c->method != POLICY_TPROXY && c->method != POLICY_REDIRECT)
		return "method: unknown";
	if (ruleset_is_router(r) && c->interfaces.n == 0)
		return "interfaces: a router's scope takes some";
	if (ruleset_is_router(r) && has_long_name(r, c->interfaces))
		return "interfaces: a name is too long for an interface";
	if (has_long_name(r, c->exclude_interfaces))
		return "exclude-interfaces: a name is too long for an interface";
	return NULL;
}

/*
 * NAT chains of others are at -100: the first that translates a flow is the only one. A router's DNS
 * may well be turned elsewhere by one.
 */
static void init_redirect(struct ruleset *r)
{
	r->chains[CHAIN_CAPTURE].type = r->chains[CHAIN_TURN].type = CHAIN_NAT;
	r->chains[CHAIN_CAPTURE].priority = -100;
	r->chains[CHAIN_TURN].priority = -101;
}

int ruleset_init(struct ruleset *r, const struct policy *p, const struct ruleset_config *config,
	const struct link *links, uint32_t n_links, const char **why)
{
	memset(r, 0, sizeof(*r));
	r->policy = p;
	policy_capture(p, &r->capture);
	memcpy(r->sets, sets, sizeof(sets));
	memcpy(r->chains, chains, sizeof(chains));
	*why = refusal(r);
	if (*why != NULL)
		return -1;
	r->has_udp = udp_is_used(p);
	for (int i = 0; i < 2 && r->has_udp; i++)
		udp_list_init(&r->udp[i], p, i == 0);
	if (r->capture.method == POLICY_REDIRECT)
		init_redirect(r);
	ruleset_add_pass(r);
	if (ruleset_is_pod(r))
		ruleset_add_pod(r, config);
	if (ruleset_is_router(r))
		ruleset_add_router(r, config);
	ruleset_add_proxy(r, config);
	if (add_links(r, config, links, n_links) != 0) {
		*why = "exclude-interfaces: must name some of more than 256 interfaces";
		return -1;
	}
	return 0;
}

void ruleset_fini(struct ruleset *r)
{
	for (int i = 0; i < 2; i++)
		udp_list_fini(&r->udp[i]);
}

/* What is forwarded passes postrouting too. */
int ruleset_lockdown(struct ruleset *r, const struct link *links, uint32_t n_links, bool egress_hook)
{
	memset(r, 0, sizeof(*r));
	memcpy(r->sets, sets, sizeof(sets));
	memcpy(r->chains, chains, sizeof(chains));
	r->lockdown = true;
	ADD(r, CHAIN_LOCKDOWN, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	ADD(r, CHAIN_LOCKDOWN, "all else", JUST(COUNTER), JUST(DROP));
	if (!egress_hook || n_links == 0)
		return 0;
	if (n_links > RULESET_LINKS)
		return -1;
	for (uint32_t i = 0; i < n_links; i++) {
		r->links[i] = links[i];
		r->links[i].upper = false;
		r->links[i].routed = true;
	}
	r->n_links = n_links;
	ADD(r, CHAIN_EGRESS, "all", JUST(COUNTER), JUST(DROP));
	return 0;
}
