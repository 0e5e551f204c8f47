/* SPDX-License-Identifier: MIT */
/* One transaction of nf_tables: its bytes, what each message is about, and the kernel's answers. */
#include "init/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "init/message.h"

enum { ELEMENT_SIZE = 48 };

/* Bytes that hold the rules and every element with its end. */
static size_t room_for(const struct ruleset *r)
{
	size_t len = 4 * BATCH_MESSAGE_MAX;
	struct element e;

	for (int id = 0; r != NULL && id < SETS; id++)
		for (uint32_t at = 0; set_next(r, id, &at, &e);)
			len += 2 * ELEMENT_SIZE;
	return len;
}

void batch_init(struct batch *b, const struct ruleset *r, const struct bytecode *code,
	size_t n_learned)
{
	size_t len = room_for(r) + n_learned * ELEMENT_MAX;

	b->r = r;
	b->code = code;
	b->flags = 0;
	b->learned = NULL;
	b->n = 0;
	b->at = b->start = malloc(len);
	if (b->start == NULL)
		message_out_of_memory();
	b->end = b->start + len;
}

void batch_fini(struct batch *b)
{
	free(b->start);
	b->start = b->at = b->end = NULL;
}

struct nlmsghdr *batch_start(struct batch *b, struct part part, uint16_t type, uint16_t flags)
{
	if (b->end - b->at < BATCH_MESSAGE_MAX || b->n == BATCH_PARTS)
		return NULL;
	b->part[b->n] = part;
	return nftnl_nlmsg_build_hdr(b->at, type, part.family, flags | NLM_F_ACK, b->n++);
}

void batch_finish(struct batch *b, const struct nlmsghdr *nlh)
{
	b->at += MNL_ALIGN(nlh->nlmsg_len);
}

/* ---- what the kernel said ---- */

static const char *feature_of(const struct ruleset *r, struct part part)
{
	if (part.family == NFPROTO_NETDEV)
		return "the egress hook (Linux 5.16, CONFIG_NETFILTER_EGRESS); --no-egress-hook "
		       "leaves packet sockets unwatched";
	if (part.kind == PART_CHAIN && r->chains[part.index].type == CHAIN_NAT)
		return "nft_chain_nat: use method = tproxy";
	if (part.kind == PART_SET && (nft_set_flags(&r->sets[part.index]) & NFT_SET_CONCAT))
		return "sets of ranges of several fields (Linux 5.6), which UDP services take";
	if (part.kind != PART_RULE)
		return "nf_tables (CONFIG_NF_TABLES_INET)";
	for (size_t i = 0; i < RULESET_ITEMS; i++) {
		enum item_kind kind = r->rules[part.index].item[i].kind;

		if (kind == ITEM_TPROXY)
			return "nft_tproxy: use method = redirect";
		if (kind == ITEM_REDIRECT)
			return "nft_redir: use method = tproxy";
		if (kind == ITEM_TO_LOCAL || kind == ITEM_FROM_LOCAL || kind == ITEM_SOURCE_ASTRAY)
			return "nft_fib_inet, which dns = capture and a router's scope take";
		if (kind == ITEM_COUNT_FLOWS4 || kind == ITEM_COUNT_FLOWS6)
			return "nft_connlimit, which UDP services take";
		if (kind == ITEM_REJECT_RESET || kind == ITEM_REJECT_PORT ||
			kind == ITEM_REJECT_ADMIN)
			return "nft_reject_inet";
		if ((kind >= ITEM_CT_MARK && kind <= ITEM_CT_DNAT) || kind == ITEM_SET_CT_MARK)
			return "nft_ct (with CONFIG_NF_CONNTRACK_MARK)";
	}
	return "nf_tables";
}

static uint32_t position_of(const struct ruleset *r, uint16_t index)
{
	uint32_t position = 1;

	for (uint16_t i = 0; i < index; i++)
		position += r->rules[i].chain == r->rules[index].chain;
	return position;
}

int batch_complain(const struct batch *b, struct part part, int err)
{
	const char *family = part.family == NFPROTO_NETDEV ? "netdev" : "inet";
	const struct ruleset *r = b->r;
	char what[128];

	if ((err == EEXIST || err == ENOENT) && part.kind == PART_TABLE)
		return EX_TEMPFAIL;
	if (err == EPERM && part.kind == PART_BEGIN)
		return message(EX_NOPERM, "nf_tables: needs CAP_NET_ADMIN");
	if (part.kind == PART_TABLE && b->flags != 0 && (err == EOPNOTSUPP || err == EINVAL))
		return NFT_NO_OWNER;
	if (part.kind == PART_RULE)
		snprintf(what, sizeof(what), "chain %s: rule %u (%s)",
			r->chains[r->rules[part.index].chain].name, position_of(r, part.index),
			r->rules[part.index].comment);
	else if (part.kind == PART_CHAIN || part.kind == PART_SET)
		snprintf(what, sizeof(what), "%s %s", part.kind == PART_CHAIN ? "chain" : "set",
			part.kind == PART_CHAIN ? r->chains[part.index].name
						: r->sets[part.index].name);
	else
		snprintf(what, sizeof(what), "table %s " RULESET_TABLE, family);
	if (err == EPERM)
		return message(EX_NOPERM,
			"%s: it belongs to another process, or this one lacks CAP_NET_ADMIN", what);
	if (err == ENOENT || err == EOPNOTSUPP || err == EPROTONOSUPPORT || err == EAFNOSUPPORT ||
		(err == EINVAL && part.kind == PART_SET))
		return message(EX_UNAVAILABLE, "%s: the kernel lacks %s", what,
			feature_of(r, part));
	return message(EX_OSERR, "%s: %s", what, strerror(err));
}

void batch_take(const struct batch *b, const char *buf, size_t len, struct answer *a)
{
	int left = (int)len;

	for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(nlh, left);
		nlh = mnl_nlmsg_next(nlh, &left)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

		if (nlh->nlmsg_type != NLMSG_ERROR ||
			mnl_nlmsg_get_payload_len(nlh) < sizeof(int) || nlh->nlmsg_seq >= b->n)
			continue;
		if (e->error == 0) {
			a->acks++;
		} else if (a->err == 0 || nlh->nlmsg_seq < a->failed) {
			a->err = -e->error;
			a->failed = nlh->nlmsg_seq;
		}
	}
}

/*
 * The kernel answers while it is being sent to, so what it has to say is there when sending is
 * done.
 */
int batch_commit(struct batch *b, struct netlink *nl)
{
	struct answer a = {0};
	int size = (int)(b->at - b->start) + BATCH_MESSAGE_MAX, fd = mnl_socket_get_fd(nl->socket);
	ssize_t n;

	if (size > 100000) { /* the usual limits are 208 KiB */
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	}
	if (mnl_socket_sendto(nl->socket, b->start, (size_t)(b->at - b->start)) < 0)
		return message(errno == EPERM ? EX_NOPERM : EX_OSERR,
			"netlink: sending the rules: %s", strerror(errno));
	while ((n = recv(fd, nl->reply, sizeof(nl->reply), MSG_DONTWAIT)) > 0)
		batch_take(b, nl->reply, (size_t)n, &a);
	if (a.err != 0)
		return batch_complain(b, b->part[a.failed], a.err);
	if (n == 0 || errno != EAGAIN || a.acks != b->n - 2)
		return message(EX_OSERR, "netlink: %u of %u messages acknowledged: %s", a.acks,
			b->n - 2, strerror(errno));
	return 0;
}
