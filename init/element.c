/* SPDX-License-Identifier: MIT */
/* Learned destinations as elements of the kernel's sets. */
#include "init/element.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "init/ruleset.h"

enum { V4_AT = 12, ADDR_LEN = 16, KEY_MAX = 2 * ADDR_LEN + 4 };

bool element_is_v4(const struct learned_entry *e)
{
	return addr_is_v4(&e->destination);
}

/* Each field of a concatenation is padded to four bytes. */
static void put_key(struct nlmsghdr *nlh, uint16_t type, const struct learned_entry *e,
	const struct addr *client)
{
	struct nlattr *value = mnl_attr_nest_start(nlh, type);
	size_t skip = element_is_v4(e) ? V4_AT : 0, len = ADDR_LEN - skip;
	uint8_t key[KEY_MAX] = {0};
	uint16_t port = htons(e->port);

	memcpy(key, client->b + skip, len);
	memcpy(key + len, e->destination.b + skip, len);
	memcpy(key + 2 * len, &port, sizeof(port));
	mnl_attr_put(nlh, NFTA_DATA_VALUE, 2 * len + 4, key);
	mnl_attr_nest_end(nlh, value);
}

static void put(struct nlmsghdr *nlh, const struct learned_entry *e, uint64_t ms)
{
	struct nlattr *element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	put_key(nlh, NFTA_SET_ELEM_KEY, e, &e->first);
	put_key(nlh, NFTA_SET_ELEM_KEY_END, e, &e->last);
	if (ms > 0)
		mnl_attr_put_u64(nlh, NFTA_SET_ELEM_TIMEOUT, htobe64(ms));
	mnl_attr_nest_end(nlh, element);
}

void element_put(struct nlmsghdr *nlh, const struct learned_entry *e, uint64_t now)
{
	put(nlh, e, e->until > now ? e->until - now : 1);
}

static struct nlmsghdr *start(char **at, uint16_t type, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh =
		nftnl_nlmsg_build_hdr(*at, type, NFPROTO_INET, flags | NLM_F_ACK, seq);

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RULESET_TABLE);
	return nlh;
}

static void put_message(char **at, bool comes, const struct learned_entry *e, size_t n,
	uint64_t now, uint32_t seq)
{
	struct nlmsghdr *nlh = start(at, comes ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
		comes ? NLM_F_CREATE | NLM_F_EXCL : 0, seq);
	struct nlattr *list;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET,
		element_is_v4(e) ? ELEMENT_SET4 : ELEMENT_SET6);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < n; i++) {
		if (comes)
			element_put(nlh, &e[i], now);
		else
			put(nlh, &e[i], 0);
	}
	mnl_attr_nest_end(nlh, list);
	*at += MNL_ALIGN(nlh->nlmsg_len);
}

/* The first thing that went wrong, as the kernel says it. */
static int answer(struct netlink *nl)
{
	int fd = mnl_socket_get_fd(nl->socket), err = 0;
	ssize_t n;

	while ((n = recv(fd, nl->reply, sizeof(nl->reply), MSG_DONTWAIT)) > 0) {
		int left = (int)n;

		for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->reply;
			mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

			if (nlh->nlmsg_type == NLMSG_ERROR && err == 0 &&
				mnl_nlmsg_get_payload_len(nlh) >= sizeof(int))
				err = -e->error;
		}
	}
	return err;
}

int element_change(struct netlink *nl, const struct learned_change *c, uint64_t now)
{
	/* Two edges, and LEARNED_SWAP + 1 elements in two messages. */
	_Alignas(struct nlmsghdr) static char batch[(LEARNED_SWAP + 4) * ELEMENT_MAX];
	char *at = batch;

	if (c->n_gone == 0 && !c->comes)
		return 0;
	at += MNL_ALIGN(nftnl_batch_begin(at, 0)->nlmsg_len);
	if (c->n_gone > 0)
		put_message(&at, false, c->gone, c->n_gone, now, 1);
	if (c->comes)
		put_message(&at, true, &c->entry, 1, now, 2);
	at += MNL_ALIGN(nftnl_batch_end(at, 3)->nlmsg_len);
	if (mnl_socket_sendto(nl->socket, batch, (size_t)(at - batch)) < 0)
		return errno;
	return answer(nl);
}
