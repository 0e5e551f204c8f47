/* SPDX-License-Identifier: MIT */
/* What others do to tables, interfaces and routing: netlink's multicast groups. */
#include "init/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "init/ruleset.h"
#include "rules/capture.h"

enum { NEWS_SIZE = 16384 }; /* the kernel's messages are at most a page, or two */

/* Binding would forget the groups, so it comes first. */
static int listen_to(int bus, const int *groups, size_t n)
{
	struct sockaddr_nl at = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, bus);

	int err = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&at, sizeof(at));

	for (size_t i = 0; err == 0 && i < n; i++)
		err = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			sizeof(groups[i]));
	if (err == 0)
		return fd;
	err = errno;
	if (fd >= 0)
		(void)close(fd);
	errno = err;
	return -1;
}

int watch_open(struct watch *w, uint32_t own_filter, uint32_t own_route)
{
	static const int tables[] = {NFNLGRP_NFTABLES};
	static const int routing[] = {RTNLGRP_LINK, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};

	*w = (struct watch){-1, -1, own_filter, own_route, false};
	w->filter = listen_to(NETLINK_NETFILTER, tables, 1);
	if (w->filter >= 0)
		w->route = listen_to(NETLINK_ROUTE, routing, sizeof(routing) / sizeof(routing[0]));
	return w->route < 0 ? -1 : 0;
}

/* Attribute 1 of every message about tables and what is in them is the table's name. */
static bool is_ours(const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (nfg->nfgen_family != NFPROTO_INET && nfg->nfgen_family != NFPROTO_NETDEV)
		return false;
	mnl_attr_for_each(attr, nlh, sizeof(*nfg))
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			return mnl_attr_get_payload_len(attr) == sizeof(RULESET_TABLE) &&
				memcmp(mnl_attr_get_payload(attr), RULESET_TABLE,
					sizeof(RULESET_TABLE)) == 0;
	return false;
}

/* The end of a transaction says who did it. */
static void take_generation(const struct nlmsghdr *nlh, struct watch_news *n)
{
	const struct nlattr *attr;
	size_t len;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		len = mnl_attr_get_payload_len(attr);
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_PID && len == sizeof(uint32_t))
			n->pid = (int)ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) != NFTA_GEN_PROC_NAME)
			continue;
		memset(n->name, 0, sizeof(n->name));
		memcpy(n->name, mnl_attr_get_payload(attr),
			len < sizeof(n->name) ? len : sizeof(n->name) - 1);
	}
}

static void take_filter(struct watch *w, const struct nlmsghdr *nlh, struct watch_news *n)
{
	unsigned type = nlh->nlmsg_type & 0xff;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
		mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return;
	if (type == NFT_MSG_NEWGEN) {
		if (w->touched && nlh->nlmsg_pid != w->own_filter) {
			n->tables = true;
			take_generation(nlh, n);
		}
		w->touched = false;
	} else if (is_ours(nlh)) {
		w->touched = true;
	} else if (type == NFT_MSG_NEWCHAIN || type == NFT_MSG_DELCHAIN) {
		n->chains = true;
	}
}

static bool is_our_table(const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	uint32_t table;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return false;
	table = rtm->rtm_table;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm))
		if (mnl_attr_get_type(attr) == RTA_TABLE &&
			mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			table = mnl_attr_get_u32(attr);
	return table == CAPTURE_ROUTE_TABLE;
}

static void take_route(struct watch *w, const struct nlmsghdr *nlh, struct watch_news *n)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK: case RTM_DELLINK:
		n->links = true;
		break;
	case RTM_NEWRULE: case RTM_DELRULE:
		n->routes |= nlh->nlmsg_pid != w->own_route;
		break;
	case RTM_NEWROUTE: case RTM_DELROUTE:
		n->routes |= nlh->nlmsg_pid != w->own_route && is_our_table(nlh);
		break;
	default:
		break;
	}
}

/* Only the kernel is believed: it sends from port 0. */
static void drain(struct watch *w, int fd, struct watch_news *n)
{
	_Alignas(struct nlmsghdr) static char news[NEWS_SIZE];

	for (;;) {
		struct sockaddr_nl from = {.nl_pid = 1};
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(fd, news, sizeof(news), MSG_TRUNC,
			(struct sockaddr *)&from, &size);
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			n->lost |= errno == ENOBUFS;
			if (errno == ENOBUFS)
				continue;
			return;
		}
		if ((size_t)got > sizeof(news)) {
			n->lost = true;
			continue;
		}
		for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)news;
			from.nl_pid == 0 && mnl_nlmsg_ok(nlh, left);
			nlh = mnl_nlmsg_next(nlh, &left)) {
			if (fd == w->filter)
				take_filter(w, nlh, n);
			else
				take_route(w, nlh, n);
		}
	}
}

void watch_read(struct watch *w, struct watch_news *n)
{
	drain(w, w->filter, n);
	drain(w, w->route, n);
	if (n->lost)
		n->tables = n->chains = n->links = n->routes = true;
}
