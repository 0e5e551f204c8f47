/* SPDX-License-Identifier: MIT */
/* A rule as the kernel's expressions: the very ones that nft makes of print.c's text. */
#include "init/bytecode.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "init/message.h"

/* What lies where in a packet (RFC 791, 8200, 9293, 768; Ethernet II). */
enum {
	OFFSET_SADDR4 = 12, OFFSET_DADDR4 = 16, OFFSET_HOPLIMIT = 7, OFFSET_SADDR6 = 8,
	OFFSET_DADDR6 = 24, OFFSET_DPORT = 2,
	OFFSET_TCP_FLAGS = 13, OFFSET_ICMPV6_TYPE = 0, OFFSET_ETHER_TYPE = 12,
	FLAG_FIN = 1, FLAG_SYN = 2, FLAG_RST = 4, FLAG_ACK = 16,
	LINK_ETHERNET = 1, ETHER_ARP = 0x0806,
};

static struct nftnl_expr *expr(struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e == NULL)
		message_out_of_memory();
	nftnl_rule_add_expr(rule, e);
	return e;
}

static void set_data(struct nftnl_expr *e, uint16_t attr, const void *data, size_t len)
{
	if (nftnl_expr_set(e, attr, data, (uint32_t)len) != 0)
		message_out_of_memory();
}

static void load_meta(struct nftnl_rule *rule, uint32_t key)
{
	struct nftnl_expr *e = expr(rule, "meta");

	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void load_ct(struct nftnl_rule *rule, uint32_t key)
{
	struct nftnl_expr *e = expr(rule, "ct");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

static void load_payload_to(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
	uint32_t reg)
{
	struct nftnl_expr *e = expr(rule, "payload");

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void load_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len)
{
	load_payload_to(rule, base, offset, len, NFT_REG_1);
}

static void compare(struct nftnl_rule *rule, bool not, const void *data, size_t len)
{
	struct nftnl_expr *e = expr(rule, "cmp");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, not ? NFT_CMP_NEQ : NFT_CMP_EQ);
	set_data(e, NFTNL_EXPR_CMP_DATA, data, len);
}

static void compare_u8(struct nftnl_rule *rule, bool not, uint8_t v)
{
	compare(rule, not, &v, sizeof(v));
}

static void compare_u16(struct nftnl_rule *rule, uint16_t v)
{
	v = htons(v);
	compare(rule, false, &v, sizeof(v));
}

/* Marks and user ids: the processor's byte order. */
static void compare_u32(struct nftnl_rule *rule, bool not, uint32_t v)
{
	compare(rule, not, &v, sizeof(v));
}

static void mask(struct nftnl_rule *rule, const void *bits, uint32_t len)
{
	static const uint8_t zero[4];
	struct nftnl_expr *e = expr(rule, "bitwise");

	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	set_data(e, NFTNL_EXPR_BITWISE_MASK, bits, len);
	set_data(e, NFTNL_EXPR_BITWISE_XOR, zero, len);
}

static void any_of(struct nftnl_rule *rule, uint32_t bits)
{
	mask(rule, &bits, sizeof(bits));
	compare_u32(rule, true, 0);
}

static void look_up(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	const uint32_t set = i->value;
	struct nftnl_expr *e;

	/* Intervals need an order that memcmp understands. */
	if (r->sets[set].key == SET_KEY_UID || r->sets[set].key == SET_KEY_GID) {
		e = expr(rule, "byteorder");
		nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
		nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_LEN, 4);
		nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SIZE, 4);
	}
	e = expr(rule, "lookup");
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, i->not ? NFT_LOOKUP_F_INV : 0);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, r->sets[set].name) != 0)
		message_out_of_memory();
}

static void immediate(struct nftnl_rule *rule, const void *data, size_t len)
{
	struct nftnl_expr *e = expr(rule, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	set_data(e, NFTNL_EXPR_IMM_DATA, data, len);
}

static void verdict(struct nftnl_rule *rule, int code, const char *chain)
{
	struct nftnl_expr *e = expr(rule, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain != NULL && nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain) != 0)
		message_out_of_memory();
}

static void reject(struct nftnl_rule *rule, uint32_t type, uint8_t code)
{
	struct nftnl_expr *e = expr(rule, "reject");

	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}

static void of_family(struct nftnl_rule *rule, uint8_t family)
{
	load_meta(rule, NFT_META_NFPROTO);
	compare_u8(rule, false, family);
}

static void name(struct nftnl_rule *rule, uint32_t key, const struct item *i)
{
	char text[IF_NAMESIZE] = {0};

	memcpy(text, i->text, strnlen(i->text, sizeof(text) - 1));
	load_meta(rule, key);
	compare(rule, i->not, text, sizeof(text));
}

static void of_protocol(struct nftnl_rule *rule, bool not, uint8_t protocol)
{
	load_meta(rule, NFT_META_L4PROTO);
	compare_u8(rule, not, protocol);
}

static void daddr(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	bool v4 = i->kind == ITEM_DADDR4_IN;

	of_family(rule, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	if (v4)
		load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, OFFSET_DADDR4, 4);
	else
		load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, OFFSET_DADDR6, 16);
	look_up(rule, r, i);
}

static void load_saddr(struct nftnl_rule *rule, bool v4)
{
	load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, v4 ? OFFSET_SADDR4 : OFFSET_SADDR6,
		v4 ? 4 : 16);
}

/* A concatenation lies in registers one behind the other; the kernel names the aligned ones so. */
static void udp(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	bool v4 = i->kind == ITEM_UDP4_IN;

	of_family(rule, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	of_protocol(rule, false, IPPROTO_UDP);
	load_saddr(rule, v4);
	load_payload_to(rule, NFT_PAYLOAD_NETWORK_HEADER, v4 ? OFFSET_DADDR4 : OFFSET_DADDR6,
		v4 ? 4 : 16, v4 ? NFT_REG32_01 : NFT_REG_2);
	load_payload_to(rule, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_DPORT, 2,
		v4 ? NFT_REG32_02 : NFT_REG_3);
	look_up(rule, r, i);
}

static void count_flows(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	bool v4 = i->kind == ITEM_COUNT_FLOWS4;
	struct nftnl_expr *e, *limit = nftnl_expr_alloc("connlimit");

	if (limit == NULL)
		message_out_of_memory();
	nftnl_expr_set_u32(limit, NFTNL_EXPR_CONNLIMIT_COUNT, i->value);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_CONNLIMIT_FLAGS, 0);
	of_family(rule, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	load_saddr(rule, v4);
	e = expr(rule, "dynset");
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_ADD);
	set_data(e, NFTNL_EXPR_DYNSET_EXPR, limit, 0);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME,
		    r->sets[v4 ? SET_UDP_FLOWS4 : SET_UDP_FLOWS6].name) != 0)
		message_out_of_memory();
}

static void ask_routes(struct nftnl_rule *rule, uint32_t flags, uint32_t result, uint32_t wanted)
{
	struct nftnl_expr *e = expr(rule, "fib");

	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, flags);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, result);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	compare_u32(rule, false, wanted);
}

/*
 * The Ethernet type is read from the frame: what the sender of a raw frame calls its protocol
 * proves nothing.
 */
static void arp(struct nftnl_rule *rule)
{
	uint16_t ether = LINK_ETHERNET;

	load_meta(rule, NFT_META_OIFTYPE);
	compare(rule, false, &ether, sizeof(ether));
	load_payload(rule, NFT_PAYLOAD_LL_HEADER, OFFSET_ETHER_TYPE, 2);
	compare_u16(rule, ETHER_ARP);
}

static void match_ct(struct nftnl_rule *rule, const struct item *i)
{
	switch (i->kind) {
	case ITEM_CT_MARK:
		load_ct(rule, NFT_CT_MARK);
		compare_u32(rule, i->not, i->value);
		break;
	case ITEM_CT_NEW:
		load_ct(rule, NFT_CT_STATE);
		any_of(rule, NF_CT_STATE_BIT(IP_CT_NEW));
		break;
	case ITEM_CT_UNKNOWN:
		load_ct(rule, NFT_CT_STATE);
		any_of(rule, NF_CT_STATE_INVALID_BIT | NF_CT_STATE_UNTRACKED_BIT);
		break;
	case ITEM_CT_DNAT:
		load_ct(rule, NFT_CT_STATUS);
		any_of(rule, IPS_DST_NAT);
		break;
	default: /* direction */
		load_ct(rule, NFT_CT_DIRECTION);
		compare_u8(rule, false,
			i->kind == ITEM_CT_REPLY ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL);
		break;
	}
}

static void match_packet(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	static const uint8_t link_multicast[2] = {0xff, 0x02}, none[16];
	static const uint8_t flags = FLAG_FIN | FLAG_SYN | FLAG_RST | FLAG_ACK;

	switch (i->kind) {
	case ITEM_TO_LOCAL: case ITEM_FROM_LOCAL:
		ask_routes(rule, i->kind == ITEM_TO_LOCAL ? NFTA_FIB_F_DADDR : NFTA_FIB_F_SADDR,
			NFT_FIB_RESULT_ADDRTYPE, RTN_LOCAL);
		break;
	case ITEM_SOURCE_ASTRAY:
		ask_routes(rule, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT,
			NFT_FIB_RESULT_OIF, 0);
		break;
	case ITEM_L4:
		of_protocol(rule, i->not, (uint8_t)i->value);
		break;
	case ITEM_TCP_SYN:
		load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_TCP_FLAGS, 1);
		mask(rule, &flags, sizeof(flags));
		compare_u8(rule, false, FLAG_SYN);
		break;
	case ITEM_DPORT:
		load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_DPORT, 2);
		compare_u16(rule, (uint16_t)i->value);
		break;
	case ITEM_DPORT_IN:
		load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_DPORT, 2);
		look_up(rule, r, i);
		break;
	case ITEM_DADDR4_IN: case ITEM_DADDR6_IN:
		daddr(rule, r, i);
		break;
	case ITEM_SADDR6_NONE:
		of_family(rule, NFPROTO_IPV6);
		load_saddr(rule, false);
		compare(rule, false, none, sizeof(none));
		break;
	case ITEM_UDP4_IN: case ITEM_UDP6_IN:
		udp(rule, r, i);
		break;
	case ITEM_ICMPV6_IN:
		of_family(rule, NFPROTO_IPV6);
		of_protocol(rule, false, IPPROTO_ICMPV6);
		load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_ICMPV6_TYPE, 1);
		look_up(rule, r, i);
		break;
	case ITEM_HOPLIMIT:
		load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, OFFSET_HOPLIMIT, 1);
		compare_u8(rule, false, (uint8_t)i->value);
		break;
	case ITEM_LINK_MULTICAST:
		load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, OFFSET_DADDR6, 2);
		compare(rule, false, link_multicast, sizeof(link_multicast));
		break;
	default:
		arp(rule);
		break;
	}
}

static void match_meta(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	switch (i->kind) {
	case ITEM_IIFNAME: case ITEM_OIFNAME:
		name(rule, i->kind == ITEM_IIFNAME ? NFT_META_IIFNAME : NFT_META_OIFNAME, i);
		break;
	case ITEM_IIFNAME_IN: case ITEM_OIFNAME_IN:
		load_meta(rule, i->kind == ITEM_IIFNAME_IN ? NFT_META_IIFNAME : NFT_META_OIFNAME);
		look_up(rule, r, i);
		break;
	case ITEM_FORWARDED:
		load_meta(rule, NFT_META_IIF);
		compare_u32(rule, true, 0);
		break;
	case ITEM_MARK: case ITEM_UID:
		load_meta(rule, i->kind == ITEM_MARK ? NFT_META_MARK : NFT_META_SKUID);
		compare_u32(rule, i->not, i->value);
		break;
	case ITEM_OWNED:
		load_meta(rule, NFT_META_SKUID);
		compare_u32(rule, true, RULESET_NOBODY);
		break;
	case ITEM_ROUTED: /* what has none has no realm to be compared either */
		load_meta(rule, NFT_META_RTCLASSID);
		compare_u32(rule, true, RULESET_NO_REALM);
		break;
	default: /* ITEM_UID_IN, ITEM_GID_IN */
		load_meta(rule, i->kind == ITEM_UID_IN ? NFT_META_SKUID : NFT_META_SKGID);
		look_up(rule, r, i);
		break;
	}
}

static void to_proxy(struct nftnl_rule *rule, const struct item *i)
{
	uint16_t port = htons((uint16_t)i->value);
	struct nftnl_expr *e;

	immediate(rule, &port, sizeof(port));
	if (i->kind == ITEM_TPROXY) {
		e = expr(rule, "tproxy");
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_FAMILY, NFPROTO_UNSPEC);
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
	} else {
		e = expr(rule, "redir");
		nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_REG_PROTO_MAX, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
	}
}

static void state(struct nftnl_rule *rule, const struct ruleset *r, const struct item *i)
{
	struct nftnl_expr *e;

	switch (i->kind) {
	case ITEM_COUNTER:
		(void)expr(rule, "counter");
		break;
	case ITEM_COUNT_FLOWS4: case ITEM_COUNT_FLOWS6:
		count_flows(rule, r, i);
		break;
	case ITEM_SET_MARK:
		immediate(rule, &i->value, sizeof(i->value));
		e = expr(rule, "meta");
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
		break;
	case ITEM_SET_CT_MARK:
		immediate(rule, &i->value, sizeof(i->value));
		e = expr(rule, "ct");
		nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
		nftnl_expr_set_u32(e, NFTNL_EXPR_CT_SREG, NFT_REG_1);
		break;
	case ITEM_TPROXY: case ITEM_REDIRECT:
		to_proxy(rule, i);
		break;
	case ITEM_REJECT_RESET: reject(rule, NFT_REJECT_TCP_RST, 0); break;
	case ITEM_REJECT_PORT:
		reject(rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
		break;
	case ITEM_REJECT_ADMIN:
		reject(rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
		break;
	case ITEM_ACCEPT: verdict(rule, NF_ACCEPT, NULL); break;
	case ITEM_RETURN: verdict(rule, NFT_RETURN, NULL); break;
	case ITEM_JUMP: verdict(rule, NFT_JUMP, r->chains[i->value].name); break;
	default: verdict(rule, NF_DROP, NULL); break;
	}
}

static struct nftnl_rule *translate(const struct ruleset *r, const struct rule *rule)
{
	struct nftnl_rule *out = nftnl_rule_alloc();

	if (out == NULL)
		message_out_of_memory();
	for (size_t n = 0; n < RULESET_ITEMS && rule->item[n].kind != ITEM_END; n++) {
		const struct item *i = &rule->item[n];

		if (i->kind <= ITEM_GID_IN)
			match_meta(out, r, i);
		else if (i->kind <= ITEM_CT_DNAT)
			match_ct(out, i);
		else if (i->kind <= ITEM_ARP)
			match_packet(out, r, i);
		else
			state(out, r, i);
	}
	return out;
}

void bytecode_init(struct bytecode *b, const struct ruleset *r)
{
	for (b->n = 0; b->n < r->n_rules; b->n++)
		b->rule[b->n] = translate(r, &r->rules[b->n]);
}

void bytecode_fini(struct bytecode *b)
{
	while (b->n > 0)
		nftnl_rule_free(b->rule[--b->n]);
}
