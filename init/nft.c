/* SPDX-License-Identifier: MIT */
/* The ruleset as one netlink batch. */
#include "init/nft.h"

#include <string.h>
#include <sysexits.h>

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "init/batch.h"
#include "init/message.h"

enum { ELEMENTS_MAX = 48000, COMMENT_MAX = 250 };

static struct batch batch;

uint8_t nft_family(enum chain_id chain)
{
	return chain_is_netdev(chain) ? NFPROTO_NETDEV : NFPROTO_INET;
}

uint32_t nft_key_type(enum set_key key)
{
	/* A concatenation's has six bits for each. */
	static const uint32_t type[SET_KEYS] = {
		[SET_KEY_PORT] = 13, [SET_KEY_IPV4] = 7, [SET_KEY_IPV6] = 8, [SET_KEY_IFNAME] = 41,
		[SET_KEY_UID] = 24, [SET_KEY_GID] = 25, [SET_KEY_ICMPV6] = 29,
		[SET_KEY_UDP4] = 7 << 12 | 7 << 6 | 13, [SET_KEY_UDP6] = 8 << 12 | 8 << 6 | 13,
	};

	return type[key];
}

uint32_t nft_set_flags(const struct set *set)
{
	uint8_t len[SET_PARTS];

	return (set->interval ? NFT_SET_INTERVAL : 0u) | (set->timeout ? NFT_SET_TIMEOUT : 0u) |
		(set->dynamic ? NFT_SET_EVAL : 0u) |
		(set_key_parts(set->key, len) > 1 ? NFT_SET_CONCAT : 0u);
}

static int put_table(struct batch *b, uint8_t family, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = batch_start(b, (struct part){PART_TABLE, family, 0}, type, flags);
	struct nftnl_table *t = nftnl_table_alloc();

	if (nlh == NULL || t == NULL ||
		nftnl_table_set_str(t, NFTNL_TABLE_NAME, RULESET_TABLE) != 0)
		return -1;
	if (type == NFT_MSG_NEWTABLE && b->flags != 0)
		nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, b->flags);
	nftnl_table_nlmsg_build_payload(nlh, t);
	nftnl_table_free(t);
	batch_finish(b, nlh);
	return 0;
}

static int put_no_table(struct batch *b, uint8_t family)
{
	return put_table(b, family, NFT_MSG_DELTABLE, 0);
}

static int put_set(struct batch *b, uint16_t id)
{
	const struct set *set = &b->r->sets[id];
	struct nlmsghdr *nlh = batch_start(b, (struct part){PART_SET, NFPROTO_INET, id}, NFT_MSG_NEWSET,
		NLM_F_CREATE | NLM_F_EXCL);
	/*
	 * What nft cannot see (its SET_KEYBYTEORDER): names are in the processor's order, intervals
	 * always in the network's.
	 */
	const uint32_t host = 1, network = 2, order = set->key == SET_KEY_IFNAME ? host : network;
	uint8_t userdata[2 + sizeof(order)] = {0, sizeof(order)};
	struct nftnl_set *s = nftnl_set_alloc();
	uint8_t len[SET_PARTS];
	uint32_t parts = set_key_parts(set->key, len);

	if (nlh == NULL || s == NULL || nftnl_set_set_str(s, NFTNL_SET_TABLE, RULESET_TABLE) != 0 ||
	    nftnl_set_set_str(s, NFTNL_SET_NAME, set->name) != 0)
		return -1;
	nftnl_set_set_u32(s, NFTNL_SET_ID, id + 1u);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, nft_key_type(set->key));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, set_key_len(set->key));
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, nft_set_flags(set));
	if (set->dynamic)
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, SET_FLOWS_MAX);
	if (parts > 1 && nftnl_set_set_data(s, NFTNL_SET_DESC_CONCAT, len, parts) != 0)
		return -1;
	memcpy(userdata + 2, &order, sizeof(order));
	if (nftnl_set_set_data(s, NFTNL_SET_USERDATA, userdata, sizeof(userdata)) != 0)
		return -1;
	nftnl_set_nlmsg_build_payload(nlh, s);
	nftnl_set_free(s);
	batch_finish(b, nlh);
	return 0;
}

static void put_key(struct nlmsghdr *nlh, uint16_t type, const uint8_t *key, uint32_t len)
{
	struct nlattr *value = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(nlh, value);
}

static void put_box(struct nlmsghdr *nlh, const struct element *e, uint32_t len)
{
	struct nlattr *element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	put_key(nlh, NFTA_SET_ELEM_KEY, e->first, len);
	put_key(nlh, NFTA_SET_ELEM_KEY_END, e->last, len);
	mnl_attr_nest_end(nlh, element);
}

static void put_element(struct nlmsghdr *nlh, const uint8_t *key, uint32_t len, bool end)
{
	struct nlattr *element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	put_key(nlh, NFTA_SET_ELEM_KEY, key, len);
	if (end)
		mnl_attr_put_u32(nlh, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	mnl_attr_nest_end(nlh, element);
}

/* An interval ends before the next key; one that reaches the highest key has no end. */
static bool next_key(uint8_t *key, const uint8_t *last, uint32_t len)
{
	memcpy(key, last, len);
	for (uint32_t i = len; i-- > 0;)
		if (++key[i] != 0)
			return true;
	return false;
}

static int put_elements(struct batch *b, uint16_t id)
{
	const struct set *set = &b->r->sets[id];
	bool box = (nft_set_flags(set) & NFT_SET_CONCAT) != 0;
	uint32_t at = 0, len = set_key_len(set->key);
	struct element e;
	bool more = set_next(b->r, id, &at, &e);

	while (more) {
		struct nlmsghdr *nlh = batch_start(b, (struct part){PART_SET, NFPROTO_INET, id},
			NFT_MSG_NEWSETELEM, NLM_F_CREATE);
		struct nlattr *list;
		uint8_t end[SET_KEY_MAX];

		if (nlh == NULL)
			return -1;
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RULESET_TABLE);
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set->name);
		mnl_attr_put_u32(nlh, NFTA_SET_ELEM_LIST_SET_ID, htonl(id + 1u));
		list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
		while (more && nlh->nlmsg_len < ELEMENTS_MAX) {
			if (box)
				put_box(nlh, &e, len);
			else
				put_element(nlh, e.first, len, false);
			if (!box && set->interval && next_key(end, e.last, len))
				put_element(nlh, end, len, true);
			more = set_next(b->r, id, &at, &e);
		}
		mnl_attr_nest_end(nlh, list);
		batch_finish(b, nlh);
	}
	return 0;
}

static bool has_set(const struct ruleset *r, const char *name)
{
	for (int id = 0; id < SETS; id++)
		if (r->sets[id].used && strcmp(r->sets[id].name, name) == 0)
			return true;
	return false;
}

/* What was learned outlives the table, in the same transaction. */
static int put_learned(struct batch *b, bool v4)
{
	const char *name = v4 ? ELEMENT_SET4 : ELEMENT_SET6;
	size_t n = b->learned != NULL && has_set(b->r, name) ? b->learned->n : 0;

	for (size_t i = 0; i < n;) {
		struct nlmsghdr *nlh = batch_start(b, (struct part){PART_TABLE, NFPROTO_INET, 0},
			NFT_MSG_NEWSETELEM, NLM_F_CREATE);
		struct nlattr *list;

		if (nlh == NULL)
			return -1;
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RULESET_TABLE);
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name);
		list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; i < n && nlh->nlmsg_len < ELEMENTS_MAX; i++)
			if (element_is_v4(&b->learned->entry[i]) == v4)
				element_put(nlh, &b->learned->entry[i], b->now);
		mnl_attr_nest_end(nlh, list);
		batch_finish(b, nlh);
	}
	return 0;
}

static int put_devices(struct nftnl_chain *c, const struct ruleset *r, enum chain_id chain)
{
	const char *devices[RULESET_LINKS + 1];
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_links; i++)
		if (chain_of(&r->links[i]) == chain)
			devices[n++] = r->links[i].name;
	devices[n] = NULL;
	return nftnl_chain_set_array(c, NFTNL_CHAIN_DEVICES, devices);
}

static int put_chain(struct batch *b, uint16_t id)
{
	static const char *const types[] = {
		[CHAIN_FILTER] = "filter", [CHAIN_ROUTE] = "route", [CHAIN_NAT] = "nat"};
	const struct chain *chain = &b->r->chains[id];
	struct nlmsghdr *nlh = batch_start(b, (struct part){PART_CHAIN, nft_family(id), id},
		NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (nlh == NULL || c == NULL ||
		nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, RULESET_TABLE) != 0 ||
		nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, chain->name) != 0)
		return -1;
	if (chain->hook != CHAIN_NO_HOOK) {
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, (uint32_t)chain->hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, chain->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, chain->drop ? NF_DROP : NF_ACCEPT);
		if (nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, types[chain->type]) != 0)
			return -1;
	}
	if (chain_is_netdev(id) && put_devices(c, b->r, id) != 0)
		return -1;
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nftnl_chain_free(c);
	batch_finish(b, nlh);
	return 0;
}

static int put_rule(struct batch *b, uint16_t index)
{
	const struct rule *rule = &b->r->rules[index];
	struct nlmsghdr *nlh = batch_start(b, (struct part){PART_RULE, nft_family(rule->chain), index},
	                             NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	struct nftnl_rule *out = b->code->rule[index];
	size_t len = strnlen(rule->comment, COMMENT_MAX);
	char userdata[2 + COMMENT_MAX + 1] = {0, (char)(len + 1)}; /* nft's RULE_COMMENT */

	memcpy(userdata + 2, rule->comment, len);
	if (nlh == NULL || nftnl_rule_set_str(out, NFTNL_RULE_TABLE, RULESET_TABLE) != 0 ||
	    nftnl_rule_set_str(out, NFTNL_RULE_CHAIN, b->r->chains[rule->chain].name) != 0 ||
	    nftnl_rule_set_data(out, NFTNL_RULE_USERDATA, userdata, (uint32_t)(len + 3)) != 0)
		return -1;
	nftnl_rule_nlmsg_build_payload(nlh, out);
	batch_finish(b, nlh);
	return 0;
}

static int put_all(struct batch *b, uint8_t family)
{
	if (put_table(b, family, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL) != 0)
		return -1;
	for (uint16_t i = 0; i < SETS && family == NFPROTO_INET; i++)
		if (b->r->sets[i].used && (put_set(b, i) != 0 || put_elements(b, i) != 0))
			return -1;
	if (family == NFPROTO_INET && (put_learned(b, true) != 0 || put_learned(b, false) != 0))
		return -1;
	for (uint16_t i = 0; i < CHAINS; i++)
		if (b->r->chains[i].used && nft_family(i) == family && put_chain(b, i) != 0)
			return -1;
	for (uint16_t i = 0; i < b->r->n_rules; i++)
		if (nft_family(b->r->rules[i].chain) == family && put_rule(b, i) != 0)
			return -1;
	return 0;
}

static int put_edge(struct batch *b, bool begin)
{
	if (b->end - b->at < BATCH_MESSAGE_MAX || b->n == BATCH_PARTS)
		return -1;
	b->part[b->n] = (struct part){begin ? PART_BEGIN : PART_END, NFPROTO_UNSPEC, 0};
	batch_finish(b, begin ? nftnl_batch_begin(b->at, b->n) : nftnl_batch_end(b->at, b->n));
	b->n++;
	return 0;
}

int nft_apply(struct netlink *nl, const struct ruleset *r, const struct bytecode *code,
	const struct nft_request *q)
{
	unsigned wanted = q->which & (r->n_links > 0 ? NFT_BOTH : NFT_INET);
	unsigned gone = q->which & q->present;
	int result;

	batch_init(&batch, r, code, q->learned != NULL ? q->learned->n : 0);
	batch.flags = q->flags;
	batch.learned = q->learned;
	batch.now = q->now;
	if (put_edge(&batch, true) != 0 ||
		((gone & NFT_INET) && put_no_table(&batch, NFPROTO_INET) != 0) ||
		((wanted & NFT_INET) && put_all(&batch, NFPROTO_INET) != 0) ||
		((gone & NFT_NETDEV) && put_no_table(&batch, NFPROTO_NETDEV) != 0) ||
		((wanted & NFT_NETDEV) && put_all(&batch, NFPROTO_NETDEV) != 0) ||
		put_edge(&batch, false) != 0)
		result = message(EX_CONFIG,
			"the policy's [capture] has more entries than one transaction can hold");
	else
		result = batch_commit(&batch, nl);
	batch_fini(&batch);
	return result;
}

int nft_remove(struct netlink *nl, unsigned present)
{
	int code;

	batch_init(&batch, NULL, NULL, 0);
	if (put_edge(&batch, true) != 0 ||
		((present & NFT_INET) && put_no_table(&batch, NFPROTO_INET) != 0) ||
		((present & NFT_NETDEV) && put_no_table(&batch, NFPROTO_NETDEV) != 0) ||
		put_edge(&batch, false) != 0)
		message_out_of_memory();
	code = batch_commit(&batch, nl);
	batch_fini(&batch);
	return code == EX_TEMPFAIL ? 0 : code; /* somebody else deleted them */
}

int nft_adopt(struct netlink *nl, unsigned which)
{
	int code;

	batch_init(&batch, NULL, NULL, 0);
	batch.flags = NFT_HELD;
	if (put_edge(&batch, true) != 0 ||
		((which & NFT_INET) && put_table(&batch, NFPROTO_INET, NFT_MSG_NEWTABLE, 0) != 0) ||
		((which & NFT_NETDEV) &&
			put_table(&batch, NFPROTO_NETDEV, NFT_MSG_NEWTABLE, 0) != 0) ||
		put_edge(&batch, false) != 0)
		message_out_of_memory();
	code = batch_commit(&batch, nl);
	batch_fini(&batch);
	return code;
}
