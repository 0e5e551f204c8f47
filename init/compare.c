/* SPDX-License-Identifier: MIT */
/* The kernel's tables held against the ruleset, in people's words. */
#include "init/compare.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "init/nft.h"

struct compare {
	const struct ruleset *r;
	const struct bytecode *code;
	struct kernel *k;
	compare_say *say;
	unsigned table; /* what is being looked at: NFT_INET, NFT_NETDEV */
	struct compare_result result;
};

static void __attribute__((format(printf, 2, 3))) differ(struct compare *c, const char *format, ...)
{
	char text[256];
	va_list args;

	c->result.differences++;
	c->result.tables |= c->table;
	if (c->say == NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	c->say(text);
}

/* ---- tables ---- */

static void compare_table(struct compare *c, unsigned bit, bool wanted, const char *family)
{
	uint32_t flags = c->k->flags[bit == NFT_NETDEV] & ~(uint32_t)NFT_HELD;

	c->table = bit;
	if (wanted && !(c->k->present & bit))
		differ(c, "table %s " RULESET_TABLE ": missing", family);
	else if (!wanted && (c->k->present & bit))
		differ(c, "table %s " RULESET_TABLE ": should not be there", family);
	else if (wanted && flags != 0)
		differ(c, "table %s " RULESET_TABLE ": has flags 0x%x%s", family, flags,
			flags & NFT_TABLE_F_DORMANT ? " (dormant)" : "");
}

/* ---- what makes a chain ---- */

static const char *const *devices_of(const struct nftnl_chain *chain)
{
	static const char *const none[] = {NULL};

	return nftnl_chain_is_set(chain, NFTNL_CHAIN_DEVICES)
		? nftnl_chain_get_array(chain, NFTNL_CHAIN_DEVICES)
		: none;
}

static void compare_devices(struct compare *c, const struct nftnl_chain *chain,
	enum chain_id id)
{
	const char *const *devices = devices_of(chain);
	const struct ruleset *r = c->r;
	const char *name = r->chains[id].name;

	for (uint32_t i = 0; i < r->n_links; i++) {
		size_t d = 0;

		while (devices[d] != NULL && strcmp(devices[d], r->links[i].name) != 0)
			d++;
		if (chain_of(&r->links[i]) == id && devices[d] == NULL)
			differ(c, "chain %s: interface %s is missing", name, r->links[i].name);
	}
	for (size_t d = 0; devices[d] != NULL; d++) {
		uint32_t i = 0;

		while (i < r->n_links &&
			(chain_of(&r->links[i]) != id ||
				strcmp(devices[d], r->links[i].name) != 0))
			i++;
		/* Since Linux 6.16 a chain keeps the names of interfaces that are gone. */
		if (i == r->n_links && if_nametoindex(devices[d]) != 0)
			differ(c, "chain %s: interface %s should not be there", name, devices[d]);
	}
}

static void compare_hook(struct compare *c, const struct nftnl_chain *k, const struct chain *chain)
{
	static const char *const types[] = {
		[CHAIN_FILTER] = "filter", [CHAIN_ROUTE] = "route", [CHAIN_NAT] = "nat"};
	bool is_base = nftnl_chain_is_set(k, NFTNL_CHAIN_HOOKNUM), drops;

	if (chain->hook == CHAIN_NO_HOOK || !is_base) {
		if (is_base != (chain->hook != CHAIN_NO_HOOK))
			differ(c, "chain %s: %s", chain->name,
				is_base ? "should have no hook" : "has no hook");
		return;
	}
	if (nftnl_chain_get_u32(k, NFTNL_CHAIN_HOOKNUM) != (uint32_t)chain->hook ||
	    strcmp(nftnl_chain_get_str(k, NFTNL_CHAIN_TYPE), types[chain->type]) != 0)
		differ(c, "chain %s: has another type or hook", chain->name);
	if (nftnl_chain_get_s32(k, NFTNL_CHAIN_PRIO) != chain->priority)
		differ(c, "chain %s: has priority %d, should have %d", chain->name,
			nftnl_chain_get_s32(k, NFTNL_CHAIN_PRIO), chain->priority);
	drops = nftnl_chain_get_u32(k, NFTNL_CHAIN_POLICY) == NF_DROP;
	if (drops != chain->drop)
		differ(c, "chain %s: has policy %s, should have %s", chain->name,
			drops ? "drop" : "accept", chain->drop ? "drop" : "accept");
}

/* ---- sets ---- */

/* By key; where one interval ends and the next begins at the same key, the end comes first. */
static int order(const void *a, const void *b)
{
	const struct kernel_key *x = a, *y = b;
	int by_key = memcmp(x->b, y->b, sizeof(x->b));

	return by_key != 0 ? by_key : y->end - x->end;
}

static void key_before(const uint8_t *key, uint8_t *out, uint32_t len)
{
	memcpy(out, key, len);
	for (uint32_t i = len; i-- > 0;)
		if (out[i]-- != 0)
			break;
}

/*
 * The kernel's next element, as the ruleset's are; an end without a start (nft adds one at zero) is
 * nothing.
 */
static bool kernel_next(const struct kernel_keys *keys, const struct set *set, size_t *at,
	struct element *e)
{
	uint32_t len = set_key_len(set->key);

	memset(e, 0, sizeof(*e));
	if (nft_set_flags(set) & NFT_SET_CONCAT) {
		if (*at >= keys->n)
			return false;
		memcpy(e->first, keys->v[*at].b, len);
		memcpy(e->last, keys->v[*at].has_last ? keys->v[*at].last : e->first, len);
		(*at)++;
		return true;
	}
	while (*at < keys->n && keys->v[*at].end)
		(*at)++;
	if (*at >= keys->n)
		return false;
	memcpy(e->first, keys->v[(*at)++].b, len);
	memcpy(e->last, e->first, len);
	if (!set->interval)
		return true;
	if (*at < keys->n && keys->v[*at].end)
		key_before(keys->v[(*at)++].b, e->last, len);
	else if (*at < keys->n)
		key_before(keys->v[*at].b, e->last, len);
	else
		memset(e->last, 0xff, len);
	return true;
}

static int element_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct element));
}

/* Sets without intervals are not in order in the policy (names of interfaces). */
static struct element *elements_of(const struct ruleset *r, enum set_id id, size_t *n)
{
	struct element *v, e;
	uint32_t at = 0;

	*n = 0;
	while (set_next(r, id, &at, &e))
		(*n)++;
	v = calloc(*n + 1, sizeof(*v));
	at = 0;
	for (size_t i = 0; v != NULL && i < *n; i++)
		(void)set_next(r, id, &at, &v[i]);
	if (v != NULL)
		qsort(v, *n, sizeof(*v), element_order);
	return v;
}

static void differ_element(struct compare *c, enum set_id id, const struct element *e,
	const char *how)
{
	char text[SET_TEXT];

	set_format(c->r->sets[id].key, e, text);
	differ(c, "set %s: %s %s", c->r->sets[id].name, text, how);
}

static void compare_elements(struct compare *c, enum set_id id)
{
	struct kernel_keys *keys = &c->k->keys[id];
	const struct set *set = &c->r->sets[id];
	size_t at = 0, i = 0, n;
	struct element *wanted = elements_of(c->r, id, &n), e;
	bool more;

	if (wanted == NULL || keys->strange) {
		differ(c, "set %s: holds what was never put there", set->name);
		free(wanted);
		return;
	}
	if (keys->n > 0)
		qsort(keys->v, keys->n, sizeof(*keys->v), order);
	more = kernel_next(keys, set, &at, &e);
	while (more || i < n) {
		int way = !more ? 1 : i == n ? -1 : element_order(&e, &wanted[i]);

		if (way > 0)
			differ_element(c, id, &wanted[i], "is missing");
		else if (way < 0)
			differ_element(c, id, &e, "should not be there");
		i += way >= 0;
		if (way <= 0)
			more = kernel_next(keys, set, &at, &e);
	}
	free(wanted);
}

static const char *set_name(const struct kernel *k, size_t i)
{
	return nftnl_set_get_str(k->sets.v[i], NFTNL_SET_NAME);
}

static bool is_kind(const struct nftnl_set *s, const struct set *set)
{
	return nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN) == set_key_len(set->key) &&
		nftnl_set_get_u32(s, NFTNL_SET_FLAGS) == nft_set_flags(set);
}

static void compare_sets(struct compare *c)
{
	const struct ruleset *r = c->r;
	const struct kernel *k = c->k;

	for (int id = 0; id < SETS; id++) {
		size_t i = 0;

		if (!r->sets[id].used)
			continue;
		while (i < k->sets.n && strcmp(set_name(k, i), r->sets[id].name) != 0)
			i++;
		if (i == k->sets.n)
			differ(c, "set %s: missing", r->sets[id].name);
		else if (!is_kind(k->sets.v[i], &r->sets[id]))
			differ(c, "set %s: is of another kind", r->sets[id].name);
		else if (!r->sets[id].dynamic)
			compare_elements(c, id);
	}
	for (size_t i = 0; i < k->sets.n; i++) {
		const char *name = set_name(k, i);
		int id = 0;

		while (id < SETS && (!r->sets[id].used || strcmp(name, r->sets[id].name) != 0))
			id++;
		if (id == SETS)
			differ(c, "set %s: should not be there", name);
	}
}

/* ---- rules ---- */

/* The kernel names the time-out of a set's new elements, though there is none. */
static void forget_timeout(char *text)
{
	static const char none[] = "timeout 0ms ";
	char *at = strstr(text, none);

	if (at != NULL)
		memmove(at, at + sizeof(none) - 1, strlen(at + sizeof(none) - 1) + 1);
}

static bool expr_same(const struct nftnl_expr *a, const struct nftnl_expr *b)
{
	const char *name = nftnl_expr_get_str(a, NFTNL_EXPR_NAME);
	char x[256], y[256];

	if (strcmp(name, nftnl_expr_get_str(b, NFTNL_EXPR_NAME)) != 0)
		return false;
	if (strcmp(name, "counter") == 0)
		return true;
	if (nftnl_expr_snprintf(x, sizeof(x), a, NFTNL_OUTPUT_DEFAULT, 0) >= (int)sizeof(x) ||
	    nftnl_expr_snprintf(y, sizeof(y), b, NFTNL_OUTPUT_DEFAULT, 0) >= (int)sizeof(y))
		return false;
	if (strcmp(name, "dynset") == 0) {
		forget_timeout(x);
		forget_timeout(y);
	}
	return strcmp(x, y) == 0;
}

enum { EXPRS = RULESET_ITEMS * 8 };

struct exprs { size_t n; struct nftnl_expr *v[EXPRS]; };

static int take_expr(struct nftnl_expr *e, void *data)
{
	struct exprs *l = data;

	if (l->n < EXPRS)
		l->v[l->n] = e;
	l->n++;
	return 0;
}

static bool rule_same(struct nftnl_rule *a, struct nftnl_rule *b)
{
	struct exprs x = {.n = 0}, y = {.n = 0};

	if (nftnl_expr_foreach(a, take_expr, &x) < 0 || nftnl_expr_foreach(b, take_expr, &y) < 0 ||
		x.n != y.n || x.n > EXPRS)
		return false;
	for (size_t i = 0; i < x.n; i++)
		if (!expr_same(x.v[i], y.v[i]))
			return false;
	return true;
}

/* The kernel's next rule of a chain from *at on, or NULL. */
static struct nftnl_rule *rule_next(const struct compare *c, enum chain_id id, size_t *at)
{
	for (; *at < c->k->rules.n; (*at)++) {
		struct nftnl_rule *rule = c->k->rules.v[*at];

		if (nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY) == nft_family(id) &&
		    strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), c->r->chains[id].name) == 0)
			return rule;
	}
	return NULL;
}

static bool is_rule(const struct compare *c, struct nftnl_rule *kernel, uint32_t index)
{
	return rule_same(c->code->rule[index], kernel);
}

static uint32_t index_next(const struct ruleset *r, enum chain_id id, uint32_t i)
{
	while (i < r->n_rules && r->rules[i].chain != id)
		i++;
	return i;
}

/*
 * Walks both sides; where they part, one rule ahead on either side tells a missing rule from one
 * too many.
 */
static void compare_rules(struct compare *c, enum chain_id id)
{
	const char *name = c->r->chains[id].name;
	const struct ruleset *r = c->r;
	uint32_t i = index_next(r, id, 0), position = 1;
	size_t at = 0;

	for (;;) {
		struct nftnl_rule *kernel = rule_next(c, id, &at), *ahead = NULL;
		size_t at_ahead = at + 1;
		uint32_t i_ahead;

		if (kernel == NULL && i == r->n_rules)
			return;
		ahead = kernel != NULL ? rule_next(c, id, &at_ahead) : NULL;
		i_ahead = i < r->n_rules ? index_next(r, id, i + 1) : i;
		if (i == r->n_rules ||
			(ahead != NULL && !is_rule(c, kernel, i) && is_rule(c, ahead, i))) {
			differ(c, "chain %s: a rule before rule %u should not be there", name,
				position);
			at++;
			continue;
		}
		if (kernel == NULL ||
			(!is_rule(c, kernel, i) && i_ahead < r->n_rules &&
				is_rule(c, kernel, i_ahead))) {
			differ(c, "chain %s: rule %u (%s): missing", name, position,
				r->rules[i].comment);
		} else {
			if (!is_rule(c, kernel, i))
				differ(c, "chain %s: rule %u (%s): differs", name, position,
					r->rules[i].comment);
			at++;
		}
		i = i_ahead;
		position++;
	}
}

/* ---- chains ---- */

static const char *chain_name(const struct kernel *k, size_t i)
{
	return nftnl_chain_get_str(k->chains.v[i], NFTNL_CHAIN_NAME);
}

static bool is_chain(const struct nftnl_chain *c, const struct ruleset *r, enum chain_id id)
{
	return strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_NAME), r->chains[id].name) == 0 &&
		nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY) == nft_family(id);
}

static void compare_chains(struct compare *c)
{
	const struct ruleset *r = c->r;
	const struct kernel *k = c->k;

	for (int id = 0; id < CHAINS; id++) {
		size_t i = 0;

		c->table = chain_is_netdev(id) ? NFT_NETDEV : NFT_INET;
		if (!r->chains[id].used || !(k->present & c->table))
			continue;
		while (i < k->chains.n && !is_chain(k->chains.v[i], r, id))
			i++;
		if (i == k->chains.n) {
			differ(c, "chain %s: missing", r->chains[id].name);
			continue;
		}
		compare_hook(c, k->chains.v[i], &r->chains[id]);
		if (chain_is_netdev(id))
			compare_devices(c, k->chains.v[i], id);
		compare_rules(c, id);
	}
	for (size_t i = 0; i < k->chains.n; i++) {
		int id = 0;

		while (id < CHAINS && !(r->chains[id].used && is_chain(k->chains.v[i], r, id)))
			id++;
		c->table = nftnl_chain_get_u32(k->chains.v[i], NFTNL_CHAIN_FAMILY) == NFPROTO_NETDEV
			? NFT_NETDEV
			: NFT_INET;
		if (id == CHAINS)
			differ(c, "chain %s: should not be there", chain_name(k, i));
	}
}

static bool is_lockdown(const struct kernel *k)
{
	for (size_t i = 0; i < k->chains.n; i++)
		if (strcmp(chain_name(k, i), "lockdown") == 0)
			return true;
	return false;
}

struct compare_result compare_kernel(const struct ruleset *r, const struct bytecode *code,
	struct kernel *k, compare_say *say)
{
	struct compare c = {.r = r, .code = code, .k = k, .say = say};

	if (!r->lockdown && is_lockdown(k)) {
		differ(&c, "lockdown: everything is closed until apply");
		c.result.tables = NFT_BOTH;
		c.result.lockdown = true;
		return c.result;
	}
	compare_table(&c, NFT_INET, true, "inet");
	compare_table(&c, NFT_NETDEV, r->n_links > 0, "netdev");
	compare_chains(&c);
	c.table = NFT_INET;
	if (k->present & NFT_INET)
		compare_sets(&c);
	return c.result;
}
