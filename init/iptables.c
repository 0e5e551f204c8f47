/* SPDX-License-Identifier: MIT */
/* The rules as text for iptables-restore and ip6tables-restore. */
#include <stdio.h>
#include <string.h>

#include "init/iptables.h"
#include "init/print.h"

/*
 * Where a chain goes. The built-in chains are shared with others, so ours are put in front, the
 * last one named first; and `accept` is written as RETURN, so that what others say of a packet is
 * heard as well. A chain that is called cannot tell its caller yes or no: who asks `pass` has its
 * rules inside, and goes on in a chain of its own where they say no.
 */
static const struct place {
	enum chain_id chain;
	const char *table, *hook, *name;
} places[] = {
	{CHAIN_GUARD, "mangle", "POSTROUTING", "SLUICE_GUARD"},
	{CHAIN_CAPTURE, "mangle", "OUTPUT", "SLUICE_CAPTURE"},
	{CHAIN_OWN, "mangle", "OUTPUT", "SLUICE_OWN"},
	{CHAIN_FORWARD, "mangle", "FORWARD", "SLUICE_FORWARDED"},
	{CHAIN_DIVERT, "mangle", "PREROUTING", "SLUICE_DIVERT"},
	{CHAIN_TURN, "mangle", "PREROUTING", "SLUICE_TURN"},
	{CHAIN_SOURCE, "mangle", "PREROUTING", "SLUICE_SOURCE"},
	{CHAIN_INBOUND, "mangle", "PREROUTING", "SLUICE_INBOUND"},
	{CHAIN_CAPTURE, "nat", "OUTPUT", "SLUICE_CAPTURE"},
	{CHAIN_TURN, "nat", "PREROUTING", "SLUICE_TURN"},
	{CHAIN_FORWARD, "filter", "FORWARD", "SLUICE_FORWARD"},
	{CHAIN_REFUSE, "filter", "OUTPUT", "SLUICE_REFUSE"},
	{CHAIN_INPUT, "filter", "INPUT", "SLUICE_INPUT"},
	{CHAIN_LOCKDOWN, "mangle", "POSTROUTING", "SLUICE_LOCKDOWN"},
};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

static bool is_nat(const char *table)
{
	return strcmp(table, "nat") == 0;
}

static bool is_mark_of_forwarded(const struct place *p)
{
	return p->chain == CHAIN_FORWARD && strcmp(p->table, "mangle") == 0;
}

static bool is_placed(const struct ruleset *r, const struct place *p, const char *table)
{
	const struct chain *chain = &r->chains[p->chain];

	if (!chain->used || strcmp(p->table, table) != 0)
		return false;
	if (p->chain == CHAIN_CAPTURE || p->chain == CHAIN_TURN)
		return (chain->type == CHAIN_NAT) == is_nat(table);
	return !is_mark_of_forwarded(p) || r->chains[CHAIN_GUARD].used;
}

static void name_chain(const struct iptables_writer *w, const char *suffix,
	char out[static IPTABLES_NAME])
{
	snprintf(out, IPTABLES_NAME, "%s%s", w->name, suffix);
}

/* From here on lines are for this chain of the place. */
static void enter(struct iptables_writer *w, const char *suffix)
{
	name_chain(w, suffix, w->chain);
	if (w->declare)
		fprintf(w->out, ":%s - [0:0]\n", w->chain);
}

/* What matches nothing before goes to another chain of the place. */
static void put_go(const struct iptables_writer *w, const char *suffix)
{
	if (!w->declare)
		fprintf(w->out, "-A %s -g %s%s\n", w->chain, w->name, suffix);
}

/* ---- chains ---- */

/* "interface is none of these: accept": those that are one go on in another chain. */
static void put_inside(struct iptables_writer *w, const struct rule *rule)
{
	struct element e;
	uint32_t at = 0;

	while (!w->declare && set_next(w->r, rule->item[0].value, &at, &e)) {
		fprintf(w->out, "-A %s", w->chain);
		iptables_put_element(w, &rule->item[0], &e);
		fprintf(w->out, " -g %s_IN\n", w->name);
	}
	if (!w->declare)
		fprintf(w->out, "-A %s -m comment --comment \"%s\" -j RETURN\n", w->chain,
			rule->comment);
	enter(w, "_IN");
}

/* The chain that counts flows: what is not counted goes on with the rest of pass. */
static void put_counter(struct iptables_writer *w)
{
	put_go(w, "_REST");
	enter(w, "_COUNT");
	for (uint32_t i = 0; i < w->r->n_rules; i++)
		if (w->r->rules[i].chain == CHAIN_COUNT)
			(void)iptables_put_rule(w, &w->r->rules[i]);
	put_go(w, "_REST");
	enter(w, "_REST");
}

static bool is_counted(const struct rule *rule)
{
	return rule->item[0].kind == ITEM_UDP4_IN || rule->item[0].kind == ITEM_UDP6_IN;
}

/* The rules of a chain that is asked: RETURN is yes, and no goes on in _END. */
static void put_question(struct iptables_writer *w, enum chain_id chain)
{
	unsigned counted = 0;

	name_chain(w, "_END", w->otherwise);
	for (uint32_t i = 0; i < w->r->n_rules; i++) {
		const struct rule *rule = &w->r->rules[i];

		if (rule->chain != chain)
			continue;
		if (counted > 0 && !is_counted(rule)) {
			put_counter(w);
			counted = 0;
		}
		if (is_counted(rule))
			counted += iptables_put_rule(w, rule);
		else
			(void)iptables_put_rule(w, rule);
	}
	if (counted > 0)
		put_counter(w);
	w->otherwise[0] = '\0';
	put_go(w, "_END");
	enter(w, "_END");
}

/*
 * The guard's mark for the egress hook, which iptables has not, tells here what was forwarded: the
 * interface that a packet came by is not known in postrouting.
 */
static void put_mark(struct iptables_writer *w, const struct rule *rule)
{
	if (!w->r->chains[CHAIN_FORWARD].used)
		return;
	w->marks = rule;
	if (!w->declare)
		fprintf(w->out, "-A %s -m mark --mark 0x%x -m comment --comment \"forwarded\" "
			"-g %s_PAST\n", w->chain, rule->item[0].value, w->name);
}

/* What nobody may learn from a packet socket is taken off, whatever the interface. */
static void put_secret(struct iptables_writer *w, const struct rule *rule)
{
	struct rule any = *rule;

	memmove(any.item, any.item + 1, sizeof(any.item) - sizeof(any.item[0]));
	(void)iptables_put_rule(w, &any);
}

static void put_any(struct iptables_writer *w, const struct rule *rule)
{
	const struct item *i = rule->item;

	if (i[0].kind == ITEM_JUMP)
		put_question(w, i[0].value);
	else if (i[0].kind == ITEM_IIFNAME_IN && i[0].not && i[1].kind == ITEM_ACCEPT)
		put_inside(w, rule);
	else if (rule->chain == CHAIN_GUARD && i[0].kind == ITEM_SET_MARK)
		put_mark(w, rule);
	else if (rule->chain == CHAIN_GUARD && i[1].kind == ITEM_MARK)
		put_secret(w, rule);
	else if (i[0].kind != ITEM_FORWARDED)
		(void)iptables_put_rule(w, rule);
}

/* Chains that rules before lead to. */
static void put_annexes(struct iptables_writer *w)
{
	struct element e;
	uint32_t at = 0;

	if (w->marks != NULL) {
		enter(w, "_PAST");
		if (!w->declare)
			fprintf(w->out, "-A %s -j MARK --set-xmark 0x0/0xffffffff\n", w->chain);
	}
	if (w->outside == NULL)
		return;
	enter(w, "_OUT");
	while (!w->declare && set_next(w->r, SET_INTERFACES, &at, &e)) {
		const struct item inside = {.kind = ITEM_IIFNAME_IN, .value = SET_INTERFACES};

		fprintf(w->out, "-A %s", w->chain);
		iptables_put_element(w, &inside, &e);
		fputs(" -j RETURN\n", w->out);
	}
	if (!w->declare)
		fprintf(w->out, "-A %s -m comment --comment \"%s\" -j DROP\n", w->chain,
			w->outside->comment);
}

/* mangle FORWARD: see put_mark(). */
static void put_forwarded(struct iptables_writer *w)
{
	for (uint32_t i = 0; i < w->r->n_rules && !w->declare; i++) {
		const struct rule *rule = &w->r->rules[i];

		if (rule->chain == CHAIN_GUARD && rule->item[0].kind == ITEM_SET_MARK)
			fprintf(w->out, "-A %s -j MARK --set-xmark 0x%x/0xffffffff\n", w->chain,
				rule->item[0].value);
	}
}

static void put_chain(struct iptables_writer *w, const struct place *p)
{
	w->hook = p->hook;
	w->name = p->name;
	w->outside = w->marks = NULL;
	enter(w, "");
	if (is_mark_of_forwarded(p)) {
		put_forwarded(w);
		return;
	}
	for (uint32_t i = 0; i < w->r->n_rules; i++)
		if (w->r->rules[i].chain == p->chain)
			put_any(w, &w->r->rules[i]);
	put_annexes(w);
}

static void put_table(struct iptables_writer *w, const char *table)
{
	bool any = false;

	for (int i = 0; i < PLACES; i++)
		any |= is_placed(w->r, &places[i], table);
	if (!any)
		return;
	fprintf(w->out, "*%s\n", table);
	for (int pass = 0; pass < 2; pass++) {
		w->declare = pass == 0;
		for (int i = 0; i < PLACES; i++)
			if (is_placed(w->r, &places[i], table))
				put_chain(w, &places[i]);
	}
	for (int i = 0; i < PLACES; i++)
		if (is_placed(w->r, &places[i], table))
			fprintf(w->out, "-I %s -j %s\n", places[i].hook, places[i].name);
	fputs("COMMIT\n", w->out);
}

void print_iptables(FILE *out, const struct ruleset *r, bool v4)
{
	struct iptables_writer w = {.out = out, .r = r, .v4 = v4};

	fputs("# Packet sockets are not watched: iptables has no egress hook.\n"
	      "# Loaded twice, the jumps are there twice.\n", out);
	if (r->has_udp)
		fputs("# UDP services pass by the addresses that the policy lists.\n", out);
	put_table(&w, "mangle");
	put_table(&w, "nat");
	put_table(&w, "filter");
}
