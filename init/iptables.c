/* SPDX-License-Identifier: MIT */
/* The rules as text for iptables-restore and ip6tables-restore. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "init/print.h"

/*
 * Where a chain goes. The built-in chains are shared with others, so ours are put in front, the
 * last one named first.
 */
static const struct place { enum chain_id chain; const char *table, *hook, *name; } places[] = {
	{CHAIN_GUARD, "mangle", "POSTROUTING", "SLUICE_GUARD"},
	{CHAIN_CAPTURE, "mangle", "OUTPUT", "SLUICE_CAPTURE"},
	{CHAIN_OWN, "mangle", "OUTPUT", "SLUICE_OWN"},
	{CHAIN_DIVERT, "mangle", "PREROUTING", "SLUICE_DIVERT"},
	{CHAIN_INBOUND, "mangle", "PREROUTING", "SLUICE_INBOUND"},
	{CHAIN_CAPTURE, "nat", "OUTPUT", "SLUICE_CAPTURE"},
	{CHAIN_REFUSE, "filter", "OUTPUT", "SLUICE_REFUSE"},
	{CHAIN_INPUT, "filter", "INPUT", "SLUICE_INPUT"},
};
enum { PLACES = sizeof(places) / sizeof(places[0]) };
#define PASS_NAME "SLUICE_PASS"

static bool is_placed(const struct ruleset *r, const struct place *p, const char *table)
{
	const struct chain *chain = &r->chains[p->chain];

	return chain->used && strcmp(p->table, table) == 0 &&
		(p->chain != CHAIN_CAPTURE ||
			(chain->type == CHAIN_NAT) == (strcmp(table, "nat") == 0));
}

static bool is_set(enum item_kind kind)
{
	return kind == ITEM_OIFNAME_IN || kind == ITEM_UID_IN || kind == ITEM_GID_IN ||
		kind == ITEM_DPORT_IN || kind == ITEM_DADDR4_IN || kind == ITEM_DADDR6_IN ||
		kind == ITEM_ICMPV6_IN;
}

/* One element of a set stands for the set. */
static void print_element(const struct ruleset *r, const struct item *i, const struct element *e)
{
	bool range = memcmp(e->first, e->last, sizeof(e->first)) != 0;
	char text[SET_TEXT], *dash;

	set_format(r->sets[i->value].key, e, text);
	dash = strchr(text, '-');
	switch (i->kind) {
	case ITEM_OIFNAME_IN: printf(" -o %s", text); break;
	case ITEM_UID_IN: printf(" -m owner --uid-owner %s", text); break;
	case ITEM_GID_IN: printf(" -m owner --gid-owner %s", text); break;
	case ITEM_ICMPV6_IN: printf(" -p ipv6-icmp -m icmp6 --icmpv6-type %s", text); break;
	case ITEM_DPORT_IN:
		if (range && dash != NULL)
			*dash = ':';
		printf(" --dport %s", text);
		break;
	default: /* addresses */
		printf(dash != NULL ? " -m iprange --dst-range %s" : " -d %s", text);
		break;
	}
}

static void print_match(const struct item *i)
{
	const char *not = i->not ? " !" : "";

	switch (i->kind) {
	case ITEM_IIFNAME: printf("%s -i %s", not, i->text); break;
	case ITEM_OIFNAME: printf("%s -o %s", not, i->text); break;
	case ITEM_MARK: printf(" -m mark --mark 0x%08x", i->value); break;
	case ITEM_UID: printf(" -m owner --uid-owner %u", i->value); break;
	case ITEM_OWNED: printf(" -m owner --uid-owner 0-%u", RULESET_NOBODY - 1); break;
	case ITEM_CT_MARK: printf(" -m connmark --mark 0x%08x", i->value); break;
	case ITEM_CT_NEW: fputs(" -m conntrack --ctstate NEW", stdout); break;
	case ITEM_CT_UNKNOWN: fputs(" -m conntrack --ctstate INVALID,UNTRACKED", stdout); break;
	case ITEM_CT_ORIGINAL: fputs(" -m conntrack --ctdir ORIGINAL", stdout); break;
	case ITEM_CT_REPLY: fputs(" -m conntrack --ctdir REPLY", stdout); break;
	case ITEM_CT_DNAT: fputs(" -m conntrack --ctstate DNAT", stdout); break;
	case ITEM_TO_LOCAL: fputs(" -m addrtype --dst-type LOCAL", stdout); break;
	case ITEM_FROM_LOCAL: fputs(" -m addrtype --src-type LOCAL", stdout); break;
	case ITEM_L4: printf("%s -p %s", not, i->value == IPPROTO_TCP ? "tcp" : "udp"); break;
	case ITEM_TCP_SYN: fputs(" -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", stdout); break;
	case ITEM_DPORT: printf(" --dport %u", i->value); break;
	case ITEM_HOPLIMIT: printf(" -m hl --hl-eq %u", i->value); break;
	case ITEM_LINK_MULTICAST: fputs(" -d ff02::/16", stdout); break;
	default: break;
	}
}

/* In mangle, `accept` must not keep a packet from our next chain of the same hook. */
static void print_target(const struct item *i, const struct rule *rule, bool v4)
{
	switch (i->kind) {
	case ITEM_SET_MARK: printf(" -j MARK --set-mark 0x%08x", i->value); break;
	case ITEM_SET_CT_MARK: printf(" -j CONNMARK --set-mark 0x%08x", i->value); break;
	case ITEM_TPROXY: printf(" -j TPROXY --on-port %u", i->value); break;
	case ITEM_REDIRECT: printf(" -j REDIRECT --to-ports %u", i->value); break;
	case ITEM_REJECT_RESET: fputs(" -j REJECT --reject-with tcp-reset", stdout); break;
	case ITEM_REJECT_PORT:
		printf(" -j REJECT --reject-with %s",
			v4 ? "icmp-port-unreachable" : "icmp6-port-unreachable");
		break;
	case ITEM_REJECT_ADMIN:
		printf(" -j REJECT --reject-with %s",
			v4 ? "icmp-admin-prohibited" : "icmp6-adm-prohibited");
		break;
	case ITEM_ACCEPT:
		fputs(rule->chain == CHAIN_OWN ? " -j RETURN" : " -j ACCEPT", stdout);
		break;
	case ITEM_RETURN: fputs(" -j RETURN", stdout); break;
	case ITEM_JUMP: fputs(" -j " PASS_NAME, stdout); break;
	default: fputs(" -j DROP", stdout); break;
	}
}

static void print_line(const struct ruleset *r, const struct rule *rule, const char *name,
	const struct element *e, const struct item *target, bool v4)
{
	printf("-A %s", name);
	for (const struct item *i = rule->item; i->kind <= ITEM_ARP; i++) {
		if (is_set(i->kind))
			print_element(r, i, e);
		else if (i->kind != ITEM_L4 || !i->not || i[1].kind != ITEM_L4)
			print_match(i);
	}
	printf(" -m comment --comment \"%s\"", rule->comment);
	print_target(target, rule, v4);
	putchar('\n');
}

/* One line for each element of its set and each statement: iptables has one target a rule. */
static void print_rule(const struct ruleset *r, const struct rule *rule, const char *name, bool v4)
{
	const struct item *set = NULL, *target;
	struct element e;
	uint32_t at = 0;
	bool more = true;

	for (target = rule->item; target->kind <= ITEM_ARP; target++) {
		if ((v4 && (target->kind == ITEM_DADDR6_IN || target->kind == ITEM_ICMPV6_IN)) ||
			(!v4 && target->kind == ITEM_DADDR4_IN))
			return;
		if (is_set(target->kind))
			set = target;
		/*
		 * Two protocols cannot be negated in one rule; at the end of a chain leaving it
		 * does the same.
		 */
		if (target->kind == ITEM_L4 && target->not && target[1].kind == ITEM_L4)
			printf("-A %s -p %s -j RETURN\n", name,
				target->value == IPPROTO_TCP ? "tcp" : "udp");
	}
	if (set != NULL)
		more = set_next(r, set->value, &at, &e);
	while (more) {
		for (const struct item *t = target; t->kind != ITEM_END; t++)
			if (t->kind != ITEM_COUNTER &&
				!(t->kind == ITEM_ACCEPT && t[-1].kind == ITEM_TPROXY))
				print_line(r, rule, name, &e, t, v4);
		more = set != NULL && set_next(r, set->value, &at, &e);
	}
}

static void print_chain(const struct ruleset *r, enum chain_id id, const char *name, bool v4)
{
	for (uint32_t i = 0; i < r->n_rules; i++) {
		const struct rule *rule = &r->rules[i];
		/* The mark for the egress hook, which iptables has not. */
		bool pass_mark = id == CHAIN_GUARD && rule->item[0].kind == ITEM_SET_MARK;

		if (rule->chain == id && !pass_mark)
			print_rule(r, rule, name, v4);
	}
}

static void print_table(const struct ruleset *r, const char *table, bool v4)
{
	bool any = false;

	for (int i = 0; i < PLACES; i++)
		any |= is_placed(r, &places[i], table);
	if (!any)
		return;
	printf("*%s\n:" PASS_NAME " - [0:0]\n", table);
	for (int i = 0; i < PLACES; i++)
		if (is_placed(r, &places[i], table))
			printf(":%s - [0:0]\n", places[i].name);
	print_chain(r, CHAIN_PASS, PASS_NAME, v4);
	for (int i = 0; i < PLACES; i++)
		if (is_placed(r, &places[i], table))
			print_chain(r, places[i].chain, places[i].name, v4);
	for (int i = 0; i < PLACES; i++)
		if (is_placed(r, &places[i], table))
			printf("-I %s -j %s\n", places[i].hook, places[i].name);
	puts("COMMIT");
}

const char *print_iptables_unfit(const struct ruleset *r)
{
	if (r->capture.scope != POLICY_SCOPE_POD)
		return "scope = router";
	return r->has_udp ? "services with UDP ports" : NULL;
}

void print_iptables(const struct ruleset *r, bool v4)
{
	puts("# Packet sockets are not watched: iptables has no egress hook.");
	puts("# Loaded twice, the jumps are there twice.");
	print_table(r, "mangle", v4);
	print_table(r, "nat", v4);
	print_table(r, "filter", v4);
}
