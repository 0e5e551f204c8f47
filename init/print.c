/* SPDX-License-Identifier: MIT */
/* The rules as text for nft, and the routes as comments. */
#include "init/print.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "init/route.h"
#include "rules/capture.h"

static bool is_fit(const char *name)
{
	static const char fit[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@";

	return name[strspn(name, fit)] == '\0';
}

const char *print_unfit(const struct ruleset *r)
{
	const struct policy_list lists[] = {r->capture.exclude_interfaces, r->capture.interfaces};

	for (uint32_t i = 0; i < r->n_links; i++)
		if (!is_fit(r->links[i].name))
			return r->links[i].name;
	for (int n = 0; n < 2; n++)
		for (uint32_t i = 0; i < lists[n].n; i++)
			if (!is_fit(policy_string(r->policy, policy_item(lists[n], i))))
				return policy_string(r->policy, policy_item(lists[n], i));
	return NULL;
}

void print_routes(const struct ruleset *r, bool v4, bool v6)
{
	if (r->capture.method != POLICY_TPROXY)
		return;
	puts("# Captured packets come back through lo, which takes besides:");
	for (int i = 0; i < 2; i++) {
		if (!(i == 0 ? v4 : v6))
			continue;
		printf("#   ip %srule add fwmark 0x%08x lookup %d priority %d protocol %d\n",
			i == 0 ? "" : "-6 ", CAPTURE_MARK, CAPTURE_ROUTE_TABLE,
			CAPTURE_RULE_PRIORITY, ROUTE_PROTOCOL);
		printf("#   ip %sroute add local default dev lo table %d protocol %d\n",
			i == 0 ? "" : "-6 ", CAPTURE_ROUTE_TABLE, ROUTE_PROTOCOL);
	}
}

static const char *protocol_name(uint32_t protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "igmp";
}

static void print_set(const struct ruleset *r, enum set_id id)
{
	static const char *const types[SET_KEYS] = {
		[SET_KEY_PORT] = "inet_service",
		[SET_KEY_IPV4] = "ipv4_addr",
		[SET_KEY_IPV6] = "ipv6_addr",
		[SET_KEY_IFNAME] = "ifname",
		[SET_KEY_UID] = "uid",
		[SET_KEY_GID] = "gid",
		[SET_KEY_ICMPV6] = "icmpv6_type",
		[SET_KEY_UDP4] = "ipv4_addr . ipv4_addr . inet_service",
		[SET_KEY_UDP6] = "ipv6_addr . ipv6_addr . inet_service",
	};
	const struct set *set = &r->sets[id];
	const char *quote = set->key == SET_KEY_IFNAME ? "\"" : "", *before = "\t\telements = { ";
	char text[SET_TEXT];
	struct element e;
	uint32_t at = 0;

	printf("\tset %s {\n\t\ttype %s\n", set->name, types[set->key]);
	if (set->dynamic)
		printf("\t\tsize %d\n\t\tflags dynamic\n", SET_FLOWS_MAX);
	if (set->interval)
		printf("\t\tflags interval%s\n", set->timeout ? ",timeout" : "");
	while (set_next(r, id, &at, &e)) {
		set_format(set->key, &e, text);
		printf("%s%s%s%s", before, quote, text, quote);
		before = ", ";
	}
	printf("%s\t}\n\n", *before == ',' ? " }\n" : "");
}

static void print_match(const struct ruleset *r, const struct item *i)
{
	const char *not = i->not ? "!= " : "";

	switch (i->kind) {
	case ITEM_IIFNAME: printf("iifname %s\"%s\" ", not, i->text); break;
	case ITEM_OIFNAME: printf("oifname %s\"%s\" ", not, i->text); break;
	case ITEM_IIFNAME_IN: printf("iifname %s@%s ", not, r->sets[i->value].name); break;
	case ITEM_OIFNAME_IN: printf("oifname %s@%s ", not, r->sets[i->value].name); break;
	case ITEM_FORWARDED: fputs("iif != 0 ", stdout); break;
	case ITEM_MARK: printf("meta mark 0x%08x ", i->value); break;
	case ITEM_UID: printf("meta skuid %u ", i->value); break;
	case ITEM_OWNED: printf("meta skuid != %u ", RULESET_NOBODY); break;
	case ITEM_ROUTED: printf("meta rtclassid != %u ", RULESET_NO_REALM); break;
	case ITEM_UID_IN: printf("meta skuid @%s ", r->sets[i->value].name); break;
	case ITEM_GID_IN: printf("meta skgid @%s ", r->sets[i->value].name); break;
	case ITEM_CT_MARK: printf("ct mark 0x%08x ", i->value); break;
	case ITEM_CT_NEW: fputs("ct state new ", stdout); break;
	case ITEM_CT_UNKNOWN: fputs("ct state invalid,untracked ", stdout); break;
	case ITEM_CT_ORIGINAL: fputs("ct direction original ", stdout); break;
	case ITEM_CT_REPLY: fputs("ct direction reply ", stdout); break;
	case ITEM_CT_DNAT: fputs("ct status dnat ", stdout); break;
	case ITEM_TO_LOCAL: fputs("fib daddr type local ", stdout); break;
	case ITEM_FROM_LOCAL: fputs("fib saddr type local ", stdout); break;
	case ITEM_SOURCE_ASTRAY: fputs("fib saddr . iif oif missing ", stdout); break;
	case ITEM_L4: /* a port that follows names the protocol itself */
		if (i[1].kind == ITEM_DPORT || i[1].kind == ITEM_DPORT_IN)
			printf("%s ", protocol_name(i->value));
		else if (i[1].kind != ITEM_TCP_SYN)
			printf("meta l4proto %s%s ", not, protocol_name(i->value));
		break;
	case ITEM_TCP_SYN: fputs("tcp flags & (fin|syn|rst|ack) == syn ", stdout); break;
	case ITEM_DPORT: printf("dport %u ", i->value); break;
	case ITEM_DPORT_IN: printf("dport @%s ", r->sets[i->value].name); break;
	case ITEM_DADDR4_IN: printf("ip daddr @%s ", r->sets[i->value].name); break;
	case ITEM_DADDR6_IN: printf("ip6 daddr @%s ", r->sets[i->value].name); break;
	case ITEM_SADDR6_NONE: fputs("ip6 saddr :: ", stdout); break;
	case ITEM_UDP4_IN:
		printf("ip saddr . ip daddr . udp dport @%s ", r->sets[i->value].name);
		break;
	case ITEM_UDP6_IN:
		printf("ip6 saddr . ip6 daddr . udp dport @%s ", r->sets[i->value].name);
		break;
	case ITEM_ICMPV6_IN: printf("icmpv6 type @%s ", r->sets[i->value].name); break;
	case ITEM_HOPLIMIT: printf("ip6 hoplimit %u ", i->value); break;
	case ITEM_LINK_MULTICAST: fputs("ip6 daddr ff02::/16 ", stdout); break;
	default: /* ITEM_ARP; `ether type` would ask for an input interface, which egress has not */
		fputs("meta oiftype ether @ll,96,16 0x0806 ", stdout);
		break;
	}
}

static void print_statement(const struct ruleset *r, const struct item *i)
{
	switch (i->kind) {
	case ITEM_COUNTER: fputs("counter ", stdout); break;
	case ITEM_COUNT_FLOWS4:
		printf("add @%s { ip saddr ct count %u } ", r->sets[SET_UDP_FLOWS4].name, i->value);
		break;
	case ITEM_COUNT_FLOWS6:
		printf("add @%s { ip6 saddr ct count %u } ", r->sets[SET_UDP_FLOWS6].name,
			i->value);
		break;
	case ITEM_SET_MARK: printf("meta mark set 0x%08x ", i->value); break;
	case ITEM_SET_CT_MARK: printf("ct mark set 0x%08x ", i->value); break;
	case ITEM_TPROXY: printf("tproxy to :%u ", i->value); break;
	case ITEM_REDIRECT: printf("redirect to :%u ", i->value); break;
	case ITEM_REJECT_RESET: fputs("reject with tcp reset ", stdout); break;
	case ITEM_REJECT_PORT: fputs("reject with icmpx port-unreachable ", stdout); break;
	case ITEM_REJECT_ADMIN: fputs("reject with icmpx admin-prohibited ", stdout); break;
	case ITEM_ACCEPT: fputs("accept ", stdout); break;
	case ITEM_RETURN: fputs("return ", stdout); break;
	case ITEM_JUMP: printf("jump %s ", r->chains[i->value].name); break;
	default: fputs("drop ", stdout); break;
	}
}

static void print_rule(const struct ruleset *r, const struct rule *rule)
{
	fputs("\t\t", stdout);
	for (size_t n = 0; n < RULESET_ITEMS && rule->item[n].kind != ITEM_END; n++) {
		if (rule->item[n].kind <= ITEM_ARP)
			print_match(r, &rule->item[n]);
		else
			print_statement(r, &rule->item[n]);
	}
	printf("comment \"%s\"\n", rule->comment);
}

static void print_chain(const struct ruleset *r, enum chain_id id)
{
	static const char *const types[] = {
		[CHAIN_FILTER] = "filter", [CHAIN_ROUTE] = "route", [CHAIN_NAT] = "nat"};
	static const char *const hooks[] = {
		"prerouting", "input", "forward", "output", "postrouting"};
	const struct chain *chain = &r->chains[id];
	const char *before = " devices = { ";

	printf("\tchain %s {\n", chain->name);
	if (chain->hook != CHAIN_NO_HOOK) {
		printf("\t\ttype %s hook %s", types[chain->type],
			chain_is_netdev(id) ? "egress" : hooks[chain->hook]);
		for (uint32_t i = 0; i < r->n_links && chain_is_netdev(id); i++) {
			if (chain_of(&r->links[i]) != id)
				continue;
			printf("%s\"%s\"", before, r->links[i].name);
			before = ", ";
		}
		printf("%s priority %d; policy %s;\n", chain_is_netdev(id) ? " }" : "",
			chain->priority, chain->drop ? "drop" : "accept");
	}
	for (uint32_t i = 0; i < r->n_rules; i++)
		if (r->rules[i].chain == id)
			print_rule(r, &r->rules[i]);
	puts("\t}");
}

static void print_table(const struct ruleset *r, bool netdev)
{
	const char *family = netdev ? "netdev" : "inet", *between = "";

	printf("table %s " RULESET_TABLE "\ndelete table %s " RULESET_TABLE
	       "\ntable %s " RULESET_TABLE " {\n",
		family, family, family);
	for (int i = 0; i < SETS && !netdev; i++)
		if (r->sets[i].used)
			print_set(r, i);
	for (int i = 0; i < CHAINS; i++) {
		if (!r->chains[i].used || chain_is_netdev(i) != netdev)
			continue;
		fputs(between, stdout);
		print_chain(r, i);
		between = "\n";
	}
	puts("}");
}

void print_nft(const struct ruleset *r)
{
	print_table(r, false);
	if (r->n_links > 0)
		print_table(r, true);
}
