/* SPDX-License-Identifier: MIT */
/* Other tables' chains that see packets before ours. */
#include "init/foreign.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "init/message.h"
#include "init/ruleset.h"

enum { OURS_FIRST = -160 }; /* the least priority of a chain of ours */

struct list {
	int n;
	void (*say)(const char *text);
};

static const char *family_of(uint32_t family)
{
	switch (family) {
	case NFPROTO_IPV4: return "ip";
	case NFPROTO_IPV6: return "ip6";
	case NFPROTO_INET: return "inet";
	default: return NULL;
	}
}

/* Chains that change where packets go do so whatever their priority. */
static bool is_before(const struct nftnl_chain *c)
{
	uint32_t hook = nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM);
	const char *type = nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE);

	if (hook != NF_INET_PRE_ROUTING && hook != NF_INET_LOCAL_OUT)
		return false;
	return nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO) < OURS_FIRST ||
		(type != NULL && strcmp(type, "filter") != 0);
}

static void take(const struct nlmsghdr *nlh, void *data)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct list *l = data;
	char text[256];

	if (c == NULL)
		message_out_of_memory();
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 && nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM)) {
		const char *family = family_of(nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY));
		const char *table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE);

		if (family != NULL && is_before(c) &&
			!(strcmp(family, "inet") == 0 && strcmp(table, RULESET_TABLE) == 0)) {
			snprintf(text, sizeof(text), "%s %s %s", family, table,
				nftnl_chain_get_str(c, NFTNL_CHAIN_NAME));
			l->n++;
			if (l->say != NULL)
				l->say(text);
		}
	}
	nftnl_chain_free(c);
}

int foreign_list(struct netlink *nl, void (*say)(const char *text))
{
	struct list l = {0, say};
	int err = netlink_dump(nl, nftnl_nlmsg_build_hdr(nl->request, NFT_MSG_GETCHAIN,
		NFPROTO_UNSPEC, 0, ++nl->seq), take, &l);

	return err == 0 ? l.n : -err;
}

static char first[256];

static void keep_first(const char *text)
{
	if (first[0] == '\0')
		snprintf(first, sizeof(first), "%s", text);
}

void foreign_warn(struct netlink *nl)
{
	static int before;
	int n;

	first[0] = '\0';
	n = foreign_list(nl, keep_first);
	if (n > 0 && n != before)
		(void)message(0, "%d chains of others see packets before ours, the first %s: they "
			"can let nothing out, but can keep it from being captured", n, first);
	if (n >= 0)
		before = n;
}
