/* SPDX-License-Identifier: MIT */
/* What is installed, read back from the kernel: all that is in tables of our name. */
#include "init/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "init/compare.h"
#include "init/message.h"
#include "init/nft.h"

static void *grow(void *v, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return v;
	*capacity = *capacity == 0 ? 64 : *capacity * 2;
	v = realloc(v, *capacity * size);
	if (v == NULL)
		message_out_of_memory();
	return v;
}

static void list_put(struct kernel_list *l, void *object)
{
	l->v = grow(l->v, l->n, &l->capacity, sizeof(*l->v));
	l->v[l->n++] = object;
}

static bool is_ours(const char *table)
{
	return table != NULL && strcmp(table, RULESET_TABLE) == 0;
}

static void take_table(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct kernel *k = data;

	if (t == NULL)
		message_out_of_memory();
	if (nftnl_table_nlmsg_parse(nlh, t) == 0 &&
		is_ours(nftnl_table_get_str(t, NFTNL_TABLE_NAME))) {
		uint32_t family = nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY);
		uint32_t flags = nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS);

		if (family == NFPROTO_INET || family == NFPROTO_NETDEV) {
			k->present |= family == NFPROTO_INET ? NFT_INET : NFT_NETDEV;
			k->flags[family == NFPROTO_NETDEV] = flags;
			k->owner[family == NFPROTO_NETDEV] =
				nftnl_table_get_u32(t, NFTNL_TABLE_OWNER);
		}
	}
	nftnl_table_free(t);
}

static void take_chain(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct kernel *k = data;

	if (c == NULL)
		message_out_of_memory();
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 &&
		is_ours(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE)))
		list_put(&k->chains, c);
	else
		nftnl_chain_free(c);
}

static void take_set(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct kernel *k = data;

	if (s == NULL)
		message_out_of_memory();
	if (nftnl_set_nlmsg_parse(nlh, s) == 0 && is_ours(nftnl_set_get_str(s, NFTNL_SET_TABLE)))
		list_put(&k->sets, s);
	else
		nftnl_set_free(s);
}

static void take_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct kernel *k = data;

	if (rule == NULL)
		message_out_of_memory();
	/*
	 * One with an expression that we do not know fails to parse, but not before its table and
	 * chain are known: it counts as a rule.
	 */
	(void)nftnl_rule_nlmsg_parse(nlh, rule);
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, nfg->nfgen_family);
	if (is_ours(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE)) &&
		nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN) != NULL)
		list_put(&k->rules, rule);
	else
		nftnl_rule_free(rule);
}

/* False: not a key that fits. */
static bool take_key(uint8_t *key, const struct nlattr *nest)
{
	const struct nlattr *value;
	bool has_key = false;

	mnl_attr_for_each_nested(value, nest) {
		size_t len = mnl_attr_get_payload_len(value);

		has_key = mnl_attr_get_type(value) == NFTA_DATA_VALUE && len <= SET_KEY_MAX;
		if (has_key)
			memcpy(key, mnl_attr_get_payload(value), len);
	}
	return has_key;
}

/*
 * A key, and whether an interval ends before it or it has a last key; what has a time-out was not
 * put there by us, and goes by itself. Anything stranger marks the set as strange.
 */
static void take_element(struct kernel_keys *keys, const struct nlattr *element)
{
	struct kernel_key key = {.end = false};
	bool has_key = false, strange = false;
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, element) {
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			has_key = take_key(key.b, attr);
			break;
		case NFTA_SET_ELEM_KEY_END:
			key.has_last = take_key(key.last, attr);
			strange |= !key.has_last;
			break;
		case NFTA_SET_ELEM_FLAGS:
			key.end = mnl_attr_get_payload_len(attr) == 4 &&
				(mnl_attr_get_u32(attr) & htonl(NFT_SET_ELEM_INTERVAL_END)) != 0;
			break;
		case NFTA_SET_ELEM_USERDATA: case NFTA_SET_ELEM_PAD:
			break;
		case NFTA_SET_ELEM_TIMEOUT:
			return;
		default: /* an expression, data */
			strange = true;
			break;
		}
	}
	keys->strange |= strange || !has_key;
	keys->v = grow(keys->v, keys->n, &keys->capacity, sizeof(*keys->v));
	keys->v[keys->n++] = key;
}

static void take_elements(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr, *element;
	struct kernel_keys *keys = data;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS) {
			mnl_attr_for_each_nested(element, attr) {
				take_element(keys, element);
			}
		}
	}
}

static struct nlmsghdr *start(struct netlink *nl, uint16_t type, uint8_t family)
{
	return nftnl_nlmsg_build_hdr(nl->request, type, family, 0, ++nl->seq);
}

static int read_family(struct netlink *nl, struct kernel *k, uint8_t family)
{
	struct nlmsghdr *nlh;
	int err = netlink_dump(nl, start(nl, NFT_MSG_GETCHAIN, family), take_chain, k);

	if (err != 0)
		return err;
	nlh = start(nl, NFT_MSG_GETSET, family);
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, RULESET_TABLE);
	err = netlink_dump(nl, nlh, take_set, k);
	if (err != 0)
		return err;
	nlh = start(nl, NFT_MSG_GETRULE, family);
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, RULESET_TABLE);
	return netlink_dump(nl, nlh, take_rule, k);
}

static int read_elements(struct netlink *nl, const struct ruleset *r, struct kernel *k)
{
	for (uint32_t id = 0; id < SETS; id++) {
		bool ours = r->sets[id].used && !r->sets[id].dynamic;

		for (size_t i = 0; ours && i < k->sets.n; i++) {
			struct nlmsghdr *nlh;
			int err;

			if (strcmp(nftnl_set_get_str(k->sets.v[i], NFTNL_SET_NAME),
				    r->sets[id].name) != 0 ||
				nftnl_set_get_u32(k->sets.v[i], NFTNL_SET_FAMILY) != NFPROTO_INET)
				continue;
			nlh = start(nl, NFT_MSG_GETSETELEM, NFPROTO_INET);
			mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RULESET_TABLE);
			mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, r->sets[id].name);
			err = netlink_dump(nl, nlh, take_elements, &k->keys[id]);
			if (err != 0)
				return err;
		}
	}
	return 0;
}

static int read_all(struct netlink *nl, const struct ruleset *r, struct kernel *k)
{
	int err = netlink_dump(nl, start(nl, NFT_MSG_GETTABLE, NFPROTO_UNSPEC), take_table, k);

	if (err == 0 && r != NULL && (k->present & NFT_INET))
		err = read_family(nl, k, NFPROTO_INET);
	if (err == 0 && r != NULL && (k->present & NFT_NETDEV))
		err = read_family(nl, k, NFPROTO_NETDEV);
	if (err == 0 && r != NULL)
		err = read_elements(nl, r, k);
	return err;
}

static void kernel_fini(struct kernel *k)
{
	for (size_t i = 0; i < k->chains.n; i++)
		nftnl_chain_free(k->chains.v[i]);
	for (size_t i = 0; i < k->sets.n; i++)
		nftnl_set_free(k->sets.v[i]);
	for (size_t i = 0; i < k->rules.n; i++)
		nftnl_rule_free(k->rules.v[i]);
	for (int i = 0; i < SETS; i++)
		free(k->keys[i].v);
	free(k->chains.v);
	free(k->sets.v);
	free(k->rules.v);
	memset(k, 0, sizeof(*k));
}

/* Objects vanish while they are read when somebody is changing them: then all is read again. */
static int read_settled(struct netlink *nl, const struct ruleset *r, struct kernel *k)
{
	int err = EINTR;

	for (int tries = 0; (err == EINTR || err == ENOENT) && tries < NETLINK_TRIES; tries++) {
		if (tries > 0)
			kernel_fini(k);
		err = read_all(nl, r, k);
	}
	return err;
}

int dump_tables(struct netlink *nl, struct dump_tables *t)
{
	struct kernel k = {0};
	int err = read_settled(nl, NULL, &k);

	t->present = k.present;
	memcpy(t->flags, k.flags, sizeof(t->flags));
	memcpy(t->owner, k.owner, sizeof(t->owner));
	kernel_fini(&k);
	return err;
}

int dump_compare(struct netlink *nl, const struct ruleset *r, const struct bytecode *code,
	compare_say *say, struct compare_result *result)
{
	struct kernel k = {0};
	int err = read_settled(nl, r, &k);

	*result = (struct compare_result){0};
	if (err == 0)
		*result = compare_kernel(r, code, &k, say);
	kernel_fini(&k);
	return err;
}
