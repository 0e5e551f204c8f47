/* SPDX-License-Identifier: MIT */
/* The rules of a node, chosen by its policy's [capture] section. */
#include "init/ruleset.h"

#include <linux/netfilter.h>
#include <string.h>

#include "rules/capture.h"

/* Items: without a value, with one, with a name; and those that are turned round. */
#define JUST(k)     {.kind = ITEM_##k}
#define WITH(k, v)  {.kind = ITEM_##k, .value = (v)}
#define NAMED(k, s) {.kind = ITEM_##k, .text = (s)}
#define NOT(k, v)   {.kind = ITEM_##k, .not = true, .value = (v)}
#define NOT_NAMED(k, s) {.kind = ITEM_##k, .not = true, .text = (s)}
#define ADD(r, chain, comment, ...) \
	add(r, chain, comment, (const struct item[]){__VA_ARGS__, {.kind = ITEM_END}})

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

/*
 * Conntrack runs at -200, so marks can be set from -160 on; source NAT is done at 100, so 300 sees
 * what really leaves.
 */
static const struct chain chains[CHAINS] = {
	[CHAIN_PASS] = {.name = "pass", .hook = CHAIN_NO_HOOK},
	[CHAIN_GUARD] = {.name = "guard", .hook = NF_INET_POST_ROUTING, .priority = 300,
			 .drop = true},
	[CHAIN_OWN] = {.name = "own", .hook = NF_INET_LOCAL_OUT, .priority = -160},
	[CHAIN_CAPTURE] = {.name = "capture", .hook = NF_INET_LOCAL_OUT, .priority = -150,
			   .type = CHAIN_ROUTE},
	[CHAIN_REFUSE] = {.name = "refuse", .hook = NF_INET_LOCAL_OUT, .priority = 0},
	[CHAIN_INBOUND] = {.name = "inbound", .hook = NF_INET_PRE_ROUTING, .priority = -160},
	[CHAIN_DIVERT] = {.name = "divert", .hook = NF_INET_PRE_ROUTING, .priority = -150},
	[CHAIN_INPUT] = {.name = "input", .hook = NF_INET_LOCAL_IN, .priority = 0},
	[CHAIN_EGRESS] = {.name = "egress", .hook = NF_NETDEV_EGRESS, .drop = true},
	[CHAIN_EGRESS_UPPER] = {.name = "egress_upper", .hook = NF_NETDEV_EGRESS, .drop = true},
	[CHAIN_LOCKDOWN] = {.name = "lockdown", .hook = NF_INET_POST_ROUTING, .priority = 300,
			    .drop = true},
};

bool chain_is_netdev(enum chain_id chain)
{
	return chain == CHAIN_EGRESS || chain == CHAIN_EGRESS_UPPER;
}

/*
 * A set and a chain exist when a rule names them. Neither a rule's items nor the rules can be more
 * than fit: which there are is written below, and tests build them all.
 */
static void add(struct ruleset *r, enum chain_id chain, const char *comment,
	const struct item *items)
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

/*
 * Neighbour discovery and MLD keep the link alive, and cannot leave it: by scope, by hop limit, or
 * since the kernel itself sends them.
 */
static void add_pass_link(struct ruleset *r)
{
	ADD(r, CHAIN_PASS, "multicast listener reports",
		WITH(ICMPV6_IN, SET_MLD), WITH(HOPLIMIT, 1), JUST(ACCEPT));
	ADD(r, CHAIN_PASS, "neighbour discovery on the link",
		WITH(ICMPV6_IN, SET_ND), WITH(HOPLIMIT, 255), JUST(LINK_MULTICAST), JUST(ACCEPT));
	ADD(r, CHAIN_PASS, "unicast neighbour discovery is not a process's business",
		WITH(ICMPV6_IN, SET_ND), JUST(OWNED), JUST(RETURN));
	ADD(r, CHAIN_PASS, "unicast neighbour discovery from the kernel",
		WITH(ICMPV6_IN, SET_ND), WITH(HOPLIMIT, 255), JUST(ACCEPT));
}

static void add_pass_excluded(struct ruleset *r)
{
	if (has_elements(r, SET_EXCLUDE_IPV4))
		ADD(r, CHAIN_PASS, "exclude-cidrs",
			WITH(DADDR4_IN, SET_EXCLUDE_IPV4), JUST(ACCEPT));
	if (has_elements(r, SET_EXCLUDE_IPV6))
		ADD(r, CHAIN_PASS, "exclude-cidrs",
			WITH(DADDR6_IN, SET_EXCLUDE_IPV6), JUST(ACCEPT));
	if (has_elements(r, SET_EXCLUDE_PORTS))
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
	} else if (c->udp == POLICY_ALLOW) {
		ADD(r, CHAIN_PASS, "dns = reject",
			WITH(L4, IPPROTO_UDP), WITH(DPORT, 53), JUST(RETURN));
	}
	if (c->udp == POLICY_ALLOW)
		ADD(r, CHAIN_PASS, "udp = allow", WITH(L4, IPPROTO_UDP), JUST(ACCEPT));
	if (c->other == POLICY_ALLOW)
		ADD(r, CHAIN_PASS, "other = allow",
			NOT(L4, IPPROTO_TCP), NOT(L4, IPPROTO_UDP), JUST(ACCEPT));
}

static void add_pass(struct ruleset *r)
{
	ADD(r, CHAIN_PASS, "the proxy's and exempt users' flows",
		WITH(CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	ADD(r, CHAIN_PASS, "replies to flows from outside",
		WITH(CT_MARK, RULESET_CT_INBOUND), JUST(CT_REPLY), JUST(ACCEPT));
	if (has_elements(r, SET_EXCLUDE_INTERFACES))
		ADD(r, CHAIN_PASS, "exclude-interfaces",
			WITH(OIFNAME_IN, SET_EXCLUDE_INTERFACES), JUST(ACCEPT));
	add_pass_link(r);
	ADD(r, CHAIN_PASS, "nothing that conntrack does not know", JUST(CT_UNKNOWN), JUST(RETURN));
	add_pass_excluded(r);
	add_pass_allowed(r);
}

/*
 * The egress hook asks for a mark that only the guard sets; on its way to lo the proxy's mark is
 * taken off, so that nobody can read it there.
 */
static void add_guard(struct ruleset *r, const struct ruleset_config *config)
{
	ADD(r, CHAIN_GUARD, "the proxy's mark stays secret", NAMED(OIFNAME, "lo"),
		WITH(MARK, CAPTURE_MARK_PROXY(config->secret)), WITH(SET_MARK, 0));
	ADD(r, CHAIN_GUARD, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	ADD(r, CHAIN_GUARD, "what passes may go through egress",
		WITH(SET_MARK, CAPTURE_MARK_PASS(config->secret)));
	ADD(r, CHAIN_GUARD, "what may pass", WITH(JUMP, CHAIN_PASS));
	ADD(r, CHAIN_GUARD, "all else", JUST(COUNTER), JUST(DROP));
}

/*
 * Every packet of a socket is judged by its owner, and the flow remembers the verdict, since what
 * the kernel still sends after close() has no owner any more. A stranger's packet in a remembered
 * flow makes it forget.
 */
static void add_own(struct ruleset *r, const struct ruleset_config *config)
{
	ADD(r, CHAIN_OWN, "the proxy: its user and the secret mark", WITH(UID, config->uid),
		WITH(MARK, CAPTURE_MARK_PROXY(config->secret)),
		WITH(SET_CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	if (has_elements(r, SET_EXEMPT_UIDS))
		ADD(r, CHAIN_OWN, "exempt-uids", WITH(UID_IN, SET_EXEMPT_UIDS),
			WITH(SET_CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	if (has_elements(r, SET_EXEMPT_GIDS))
		ADD(r, CHAIN_OWN, "exempt-gids", WITH(GID_IN, SET_EXEMPT_GIDS),
			WITH(SET_CT_MARK, RULESET_CT_OWN), JUST(ACCEPT));
	ADD(r, CHAIN_OWN, "a stranger in such a flow",
		WITH(CT_MARK, RULESET_CT_OWN), JUST(OWNED), WITH(SET_CT_MARK, 0));
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
	const struct item mark = WITH(SET_MARK, CAPTURE_MARK), nat = WITH(REDIRECT, config->port);
	const struct item turn = r->capture.method == POLICY_TPROXY ? mark : nat;

	ADD(r, CHAIN_CAPTURE, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	ADD(r, CHAIN_CAPTURE, "what may pass", WITH(JUMP, CHAIN_PASS));
	if (is_every_port(r))
		ADD(r, CHAIN_CAPTURE, "ports = *", WITH(L4, IPPROTO_TCP), JUST(COUNTER), turn);
	else
		ADD(r, CHAIN_CAPTURE, "ports",
			WITH(L4, IPPROTO_TCP), WITH(DPORT_IN, SET_PORTS), JUST(COUNTER), turn);
}

/* Without a listener the tproxy statement lets packets go on, hence the drop behind it. */
static void add_divert(struct ruleset *r, const struct ruleset_config *config)
{
	ADD(r, CHAIN_DIVERT, "captured TCP, to the proxy", NAMED(IIFNAME, "lo"),
		WITH(MARK, CAPTURE_MARK), WITH(L4, IPPROTO_TCP), WITH(TPROXY, config->port),
		JUST(ACCEPT));
	ADD(r, CHAIN_DIVERT, "no proxy, no connection",
		NAMED(IIFNAME, "lo"), WITH(MARK, CAPTURE_MARK), JUST(COUNTER), JUST(DROP));
}

/*
 * Refusing early is a courtesy: clients fail at once rather than time out. The guard does not rely
 * on it.
 */
static void add_refuse(struct ruleset *r)
{
	ADD(r, CHAIN_REFUSE, "loopback", NAMED(OIFNAME, "lo"), JUST(ACCEPT));
	if (r->capture.method == POLICY_TPROXY)
		ADD(r, CHAIN_REFUSE, "captured",
			WITH(L4, IPPROTO_TCP), WITH(MARK, CAPTURE_MARK), JUST(ACCEPT));
	else
		ADD(r, CHAIN_REFUSE, "captured", JUST(CT_DNAT), JUST(ACCEPT));
	ADD(r, CHAIN_REFUSE, "what may pass", WITH(JUMP, CHAIN_PASS));
	ADD(r, CHAIN_REFUSE, "TCP that cannot be captured",
		WITH(L4, IPPROTO_TCP), JUST(COUNTER), JUST(REJECT_RESET));
	ADD(r, CHAIN_REFUSE, "UDP", WITH(L4, IPPROTO_UDP), JUST(COUNTER), JUST(REJECT_PORT));
	ADD(r, CHAIN_REFUSE, "other protocols", JUST(COUNTER), JUST(REJECT_ADMIN));
}

/*
 * A TCP flow counts as opened from outside only by its SYN: conntrack also picks up flows in the
 * middle, and those may be our own old ones.
 */
static void add_inbound(struct ruleset *r)
{
	ADD(r, CHAIN_INBOUND, "TCP opened from outside",
		NOT_NAMED(IIFNAME, "lo"), JUST(CT_NEW), WITH(L4, IPPROTO_TCP), JUST(TCP_SYN),
		WITH(SET_CT_MARK, RULESET_CT_INBOUND));
	ADD(r, CHAIN_INBOUND, "other flows from outside",
		NOT_NAMED(IIFNAME, "lo"), JUST(CT_NEW), NOT(L4, IPPROTO_TCP),
		WITH(SET_CT_MARK, RULESET_CT_INBOUND));
}

static void add_input(struct ruleset *r, const struct ruleset_config *config)
{
	const struct item mark = WITH(MARK, CAPTURE_MARK), nat = JUST(CT_DNAT);
	const struct item captured = r->capture.method == POLICY_TPROXY ? mark : nat;

	ADD(r, CHAIN_INPUT, "the proxy's port from outside", NOT_NAMED(IIFNAME, "lo"),
		WITH(L4, IPPROTO_TCP), WITH(DPORT, config->port), JUST(CT_ORIGINAL),
		JUST(COUNTER), JUST(DROP));
	ADD(r, CHAIN_INPUT, "captured",
		WITH(L4, IPPROTO_TCP), WITH(DPORT, config->port), captured, JUST(ACCEPT));
	ADD(r, CHAIN_INPUT, "the proxy's port, not by capture",
		WITH(L4, IPPROTO_TCP), WITH(DPORT, config->port), JUST(CT_ORIGINAL),
		JUST(COUNTER), JUST(REJECT_RESET));
}

/*
 * The mark is taken off before packet sockets see the packet, or they could read and use it. An
 * upper interface (a VLAN, a bridge) must leave it on for the next one. ARP is the kernel's
 * business, and never a process's.
 */
static void add_egress(struct ruleset *r, enum chain_id chain, const struct ruleset_config *config)
{
	const struct item pass = WITH(MARK, CAPTURE_MARK_PASS(config->secret));

	if (chain == CHAIN_EGRESS)
		ADD(r, chain, "passed by the guard", pass, WITH(SET_MARK, 0), JUST(ACCEPT));
	else
		ADD(r, chain, "passed by the guard", pass, JUST(ACCEPT));
	ADD(r, chain, "packet sockets", JUST(OWNED), JUST(COUNTER), JUST(DROP));
	ADD(r, chain, "ARP from the kernel", JUST(ARP), JUST(ACCEPT));
	ADD(r, chain, "all else", JUST(COUNTER), JUST(DROP));
}

static bool is_excluded(const struct ruleset *r, const char *name)
{
	struct policy_list l = r->capture.exclude_interfaces;

	for (uint32_t i = 0; i < l.n; i++)
		if (strcmp(policy_string(r->policy, policy_item(l, i)), name) == 0)
			return true;
	return false;
}

static int add_links(struct ruleset *r, const struct ruleset_config *config,
	const struct link *links, uint32_t n)
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

/* What there are no rules for, or NULL. The compiler refuses the same. */
static const char *refusal(const struct ruleset *r)
{
	const struct policy_capture *c = &r->capture;

	if (c->scope != POLICY_SCOPE_POD)
		return "scope: only pod can be installed";
	if (c->method != POLICY_TPROXY && c->method != POLICY_REDIRECT)
		return "method: unknown";
	if (c->dns == POLICY_CAPTURE)
		return "dns: capture cannot be installed";
	for (uint32_t i = 0; i < c->exclude_interfaces.n; i++) {
		const char *name = policy_string(r->policy, policy_item(c->exclude_interfaces, i));

		if (strlen(name) >= IF_NAMESIZE)
			return "exclude-interfaces: a name is too long for an interface";
	}
	return NULL;
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
	if (r->capture.method == POLICY_REDIRECT) {
		r->chains[CHAIN_CAPTURE].type = CHAIN_NAT;
		r->chains[CHAIN_CAPTURE].priority = -100;
	}
	add_pass(r);
	add_guard(r, config);
	add_own(r, config);
	add_capture(r, config);
	add_refuse(r);
	add_inbound(r);
	if (r->capture.method == POLICY_TPROXY)
		add_divert(r, config);
	add_input(r, config);
	if (add_links(r, config, links, n_links) != 0) {
		*why = "exclude-interfaces: must name some of more than 256 interfaces";
		return -1;
	}
	return 0;
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
	}
	r->n_links = n_links;
	ADD(r, CHAIN_EGRESS, "all", JUST(COUNTER), JUST(DROP));
	return 0;
}
