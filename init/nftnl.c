/* SPDX-License-Identifier: MIT */
/*
 * That part of libnftnl's tables, chains, sets and rules which is used, under libnftnl's names.
 *
 * The library's own can print, list and compare each of some seventy attributes; a static link
 * takes all of a file or none: 35 KB of 245. These know what nft.c writes and what dump.c and
 * foreign.c look at. The expressions of the rules are the library's, by its two inner functions
 * that are declared here. Whoever uses another function of libnftnl's four headers is told of
 * duplicates by the linker: then it is to be added here, as a wrapper or as a field.
 */
#include <stdlib.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "init/message.h"
#include "init/object.h"

struct nftnl_table { struct object o; };
struct nftnl_chain { struct object o; };
struct nftnl_set { struct object o; };
struct nftnl_rule { struct object o; struct nftnl_expr **expr; size_t n; };

void nftnl_expr_build_payload(struct nlmsghdr *nlh, struct nftnl_expr *expr);
struct nftnl_expr *nftnl_expr_parse(struct nlattr *attr);

enum { EXPRS_STEP = 16 };

/* Room for an object of a kind; each kind's struct begins with it. */
static void *object_new(const struct object_kind *kind, size_t size)
{
	struct object *o = calloc(1, size);

	if (o != NULL)
		o->kind = kind;
	return o;
}

/* ---- tables ---- */

struct nftnl_table *nftnl_table_alloc(void)
{
	static const struct object_kind kind = {4, {
		{NFTNL_TABLE_NAME, FIELD_TEXT, NFTA_TABLE_NAME, 0},
		{NFTNL_TABLE_FLAGS, FIELD_NUMBER, NFTA_TABLE_FLAGS, 0},
		{NFTNL_TABLE_OWNER, FIELD_NUMBER, NFTA_TABLE_OWNER, 0},
		{NFTNL_TABLE_FAMILY, FIELD_FAMILY, 0, 0},
	}};

	return object_new(&kind, sizeof(struct nftnl_table));
}

void nftnl_table_free(const struct nftnl_table *t)
{
	object_clear((struct object *)&t->o);
	free((void *)t);
}

int nftnl_table_set_str(struct nftnl_table *t, uint16_t attr, const char *str)
{
	return object_set_bytes(&t->o, attr, str, strlen(str));
}

void nftnl_table_set_u32(struct nftnl_table *t, uint16_t attr, uint32_t data)
{
	object_set_number(&t->o, attr, data);
}

const char *nftnl_table_get_str(const struct nftnl_table *t, uint16_t attr)
{
	return object_bytes(&t->o, attr);
}

uint32_t nftnl_table_get_u32(const struct nftnl_table *t, uint16_t attr)
{
	return object_number(&t->o, attr);
}

void nftnl_table_nlmsg_build_payload(struct nlmsghdr *nlh, const struct nftnl_table *t)
{
	object_put(nlh, &t->o);
}

int nftnl_table_nlmsg_parse(const struct nlmsghdr *nlh, struct nftnl_table *t)
{
	return object_take(&t->o, nlh);
}

/* ---- chains ---- */

struct nftnl_chain *nftnl_chain_alloc(void)
{
	static const struct object_kind kind = {8, {
		{NFTNL_CHAIN_TABLE, FIELD_TEXT, NFTA_CHAIN_TABLE, 0},
		{NFTNL_CHAIN_NAME, FIELD_TEXT, NFTA_CHAIN_NAME, 0},
		{NFTNL_CHAIN_HOOKNUM, FIELD_NUMBER, NFTA_HOOK_HOOKNUM, NFTA_CHAIN_HOOK},
		{NFTNL_CHAIN_PRIO, FIELD_NUMBER, NFTA_HOOK_PRIORITY, NFTA_CHAIN_HOOK},
		{NFTNL_CHAIN_DEVICES, FIELD_NAMES, NFTA_HOOK_DEVS, NFTA_CHAIN_HOOK},
		{NFTNL_CHAIN_POLICY, FIELD_NUMBER, NFTA_CHAIN_POLICY, 0},
		{NFTNL_CHAIN_TYPE, FIELD_TEXT, NFTA_CHAIN_TYPE, 0},
		{NFTNL_CHAIN_FAMILY, FIELD_FAMILY, 0, 0},
	}};

	return object_new(&kind, sizeof(struct nftnl_chain));
}

void nftnl_chain_free(const struct nftnl_chain *c)
{
	object_clear((struct object *)&c->o);
	free((void *)c);
}

bool nftnl_chain_is_set(const struct nftnl_chain *c, uint16_t attr)
{
	return object_is_set(&c->o, attr);
}

int nftnl_chain_set_str(struct nftnl_chain *c, uint16_t attr, const char *str)
{
	return object_set_bytes(&c->o, attr, str, strlen(str));
}

void nftnl_chain_set_u32(struct nftnl_chain *c, uint16_t attr, uint32_t data)
{
	object_set_number(&c->o, attr, data);
}

void nftnl_chain_set_s32(struct nftnl_chain *c, uint16_t attr, int32_t data)
{
	object_set_number(&c->o, attr, (uint32_t)data);
}

int nftnl_chain_set_array(struct nftnl_chain *c, uint16_t attr, const char **data)
{
	return object_set_names(&c->o, attr, data);
}

const char *nftnl_chain_get_str(const struct nftnl_chain *c, uint16_t attr)
{
	return object_bytes(&c->o, attr);
}

uint32_t nftnl_chain_get_u32(const struct nftnl_chain *c, uint16_t attr)
{
	return object_number(&c->o, attr);
}

int32_t nftnl_chain_get_s32(const struct nftnl_chain *c, uint16_t attr)
{
	return (int32_t)object_number(&c->o, attr);
}

const char *const *nftnl_chain_get_array(const struct nftnl_chain *c, uint16_t attr)
{
	return object_bytes(&c->o, attr);
}

void nftnl_chain_nlmsg_build_payload(struct nlmsghdr *nlh, const struct nftnl_chain *c)
{
	object_put(nlh, &c->o);
}

int nftnl_chain_nlmsg_parse(const struct nlmsghdr *nlh, struct nftnl_chain *c)
{
	return object_take(&c->o, nlh);
}

/* ---- sets ---- */

struct nftnl_set *nftnl_set_alloc(void)
{
	static const struct object_kind kind = {10, {
		{NFTNL_SET_TABLE, FIELD_TEXT, NFTA_SET_TABLE, 0},
		{NFTNL_SET_NAME, FIELD_TEXT, NFTA_SET_NAME, 0},
		{NFTNL_SET_FLAGS, FIELD_NUMBER, NFTA_SET_FLAGS, 0},
		{NFTNL_SET_KEY_TYPE, FIELD_NUMBER, NFTA_SET_KEY_TYPE, 0},
		{NFTNL_SET_KEY_LEN, FIELD_NUMBER, NFTA_SET_KEY_LEN, 0},
		{NFTNL_SET_ID, FIELD_NUMBER, NFTA_SET_ID, 0},
		{NFTNL_SET_DESC_SIZE, FIELD_NUMBER, NFTA_SET_DESC_SIZE, NFTA_SET_DESC},
		{NFTNL_SET_DESC_CONCAT, FIELD_PARTS, NFTA_SET_DESC_CONCAT, NFTA_SET_DESC},
		{NFTNL_SET_USERDATA, FIELD_BYTES, NFTA_SET_USERDATA, 0},
		{NFTNL_SET_FAMILY, FIELD_FAMILY, 0, 0},
	}};

	return object_new(&kind, sizeof(struct nftnl_set));
}

void nftnl_set_free(const struct nftnl_set *s)
{
	object_clear((struct object *)&s->o);
	free((void *)s);
}

int nftnl_set_set_str(struct nftnl_set *s, uint16_t attr, const char *str)
{
	return object_set_bytes(&s->o, attr, str, strlen(str));
}

int nftnl_set_set_data(struct nftnl_set *s, uint16_t attr, const void *data, uint32_t len)
{
	return object_set_bytes(&s->o, attr, data, len);
}

void nftnl_set_set_u32(struct nftnl_set *s, uint16_t attr, uint32_t data)
{
	object_set_number(&s->o, attr, data);
}

const char *nftnl_set_get_str(const struct nftnl_set *s, uint16_t attr)
{
	return object_bytes(&s->o, attr);
}

uint32_t nftnl_set_get_u32(const struct nftnl_set *s, uint16_t attr)
{
	return object_number(&s->o, attr);
}

void nftnl_set_nlmsg_build_payload(struct nlmsghdr *nlh, struct nftnl_set *s)
{
	object_put(nlh, &s->o);
}

int nftnl_set_nlmsg_parse(const struct nlmsghdr *nlh, struct nftnl_set *s)
{
	return object_take(&s->o, nlh);
}

/* ---- rules ---- */

struct nftnl_rule *nftnl_rule_alloc(void)
{
	static const struct object_kind kind = {4, {
		{NFTNL_RULE_TABLE, FIELD_TEXT, NFTA_RULE_TABLE, 0},
		{NFTNL_RULE_CHAIN, FIELD_TEXT, NFTA_RULE_CHAIN, 0},
		{NFTNL_RULE_USERDATA, FIELD_BYTES, NFTA_RULE_USERDATA, 0},
		{NFTNL_RULE_FAMILY, FIELD_FAMILY, 0, 0},
	}};

	return object_new(&kind, sizeof(struct nftnl_rule));
}

static void forget_exprs(struct nftnl_rule *r)
{
	while (r->n > 0)
		nftnl_expr_free(r->expr[--r->n]);
	free(r->expr);
	r->expr = NULL;
}

void nftnl_rule_free(const struct nftnl_rule *r)
{
	forget_exprs((struct nftnl_rule *)r);
	object_clear((struct object *)&r->o);
	free((void *)r);
}

int nftnl_rule_set_str(struct nftnl_rule *r, uint16_t attr, const char *str)
{
	return object_set_bytes(&r->o, attr, str, strlen(str));
}

int nftnl_rule_set_data(struct nftnl_rule *r, uint16_t attr, const void *data, uint32_t len)
{
	return object_set_bytes(&r->o, attr, data, len);
}

void nftnl_rule_set_u32(struct nftnl_rule *r, uint16_t attr, uint32_t data)
{
	object_set_number(&r->o, attr, data);
}

const char *nftnl_rule_get_str(const struct nftnl_rule *r, uint16_t attr)
{
	return object_bytes(&r->o, attr);
}

uint32_t nftnl_rule_get_u32(const struct nftnl_rule *r, uint16_t attr)
{
	return object_number(&r->o, attr);
}

void nftnl_rule_add_expr(struct nftnl_rule *r, struct nftnl_expr *expr)
{
	if (r->n % EXPRS_STEP == 0) {
		r->expr = realloc(r->expr, (r->n + EXPRS_STEP) * sizeof(struct nftnl_expr *));
		if (r->expr == NULL)
			message_out_of_memory();
	}
	r->expr[r->n++] = expr;
}

int nftnl_expr_foreach(struct nftnl_rule *r, int (*cb)(struct nftnl_expr *e, void *data),
	void *data)
{
	for (size_t i = 0; i < r->n; i++) {
		int ret = cb(r->expr[i], data);

		if (ret < 0)
			return ret;
	}
	return 0;
}

void nftnl_rule_nlmsg_build_payload(struct nlmsghdr *nlh, struct nftnl_rule *r)
{
	struct nlattr *list, *nest;

	object_put(nlh, &r->o);
	list = mnl_attr_nest_start(nlh, NFTA_RULE_EXPRESSIONS);
	for (size_t i = 0; i < r->n; i++) {
		nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
		nftnl_expr_build_payload(nlh, r->expr[i]);
		mnl_attr_nest_end(nlh, nest);
	}
	mnl_attr_nest_end(nlh, list);
}

/* All or none: without one that is unknown the rest may well be a rule of ours. */
static int take_exprs(struct nftnl_rule *r, const struct nlattr *list)
{
	struct nlattr *attr;

	mnl_attr_for_each_nested(attr, list) {
		struct nftnl_expr *e = mnl_attr_get_type(attr) == NFTA_LIST_ELEM
			? nftnl_expr_parse(attr)
			: NULL;

		if (e == NULL) {
			forget_exprs(r);
			return -1;
		}
		nftnl_rule_add_expr(r, e);
	}
	return 0;
}

int nftnl_rule_nlmsg_parse(const struct nlmsghdr *nlh, struct nftnl_rule *r)
{
	const struct nlattr *attr;
	int err = object_take(&r->o, nlh);

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (err == 0 && mnl_attr_get_type(attr) == NFTA_RULE_EXPRESSIONS)
			err = take_exprs(r, attr);
	}
	return err;
}
