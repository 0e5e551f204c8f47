/* SPDX-License-Identifier: MIT */
/* The network interfaces of this node. */
#include "init/link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

static const char *kind_of(const struct nlattr *linkinfo)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, linkinfo)
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
			mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			return mnl_attr_get_str(attr);
	return "";
}

/*
 * Interfaces give up a packet's route when they pass it on, unless they say that they need it.
 * These do; bonds for instance do not.
 */
static bool keeps_routes(const char *kind)
{
	static const char *const kinds[] = {"bridge", "macvlan", "vlan"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static int index_of(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) == sizeof(uint32_t) ? (int)mnl_attr_get_u32(attr) : 0;
}

static void take(const struct nlmsghdr *nlh, void *data)
{
	struct link_list *l = data;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const char *kind = "";
	bool foreign = false;
	const struct nlattr *attr;
	size_t len;

	if (nlh->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) ||
		(ifi->ifi_flags & IFF_LOOPBACK))
		return;
	if (l->n == LINK_MAX) {
		l->overflow = true;
		return;
	}
	memset(&l->link[l->n], 0, sizeof(l->link[0]));
	memset(&l->of[l->n], 0, sizeof(l->of[0]));
	l->of[l->n].index = ifi->ifi_index;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			len = mnl_attr_get_payload_len(attr);
			len = len < IF_NAMESIZE ? len : IF_NAMESIZE - 1;
			memcpy(l->link[l->n].name, mnl_attr_get_payload(attr), len);
			break;
		case IFLA_LINK:
			l->of[l->n].lower = index_of(attr);
			break;
		case IFLA_MASTER:
			l->of[l->n].master = index_of(attr);
			break;
		case IFLA_LINK_NETNSID:
			foreign = true;
			break;
		case IFLA_LINKINFO:
			kind = kind_of(attr);
			break;
		default:
			break;
		}
	}
	l->of[l->n].keeps = keeps_routes(kind);
	/* A veth's link is its peer, not an interface that its packets go through next. */
	if (strcmp(kind, "veth") == 0 || foreign || l->of[l->n].lower == ifi->ifi_index)
		l->of[l->n].lower = 0;
	l->n++;
}

static void find_masters(struct link_list *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		l->link[i].upper = l->of[i].lower != 0;
		for (uint32_t j = 0; j < l->n; j++) {
			if (l->of[j].master != l->of[i].index)
				continue;
			l->link[i].upper = true;
			memcpy(l->link[j].master, l->link[i].name, sizeof(l->link[j].master));
		}
	}
}

/* Whether one of those above has lost the routes by then, in one step; false: all is said. */
static bool lose_routes(struct link_list *l)
{
	bool lost = false;

	for (uint32_t i = 0; i < l->n; i++) {
		if (!l->link[i].upper || (l->link[i].routed && l->of[i].keeps))
			continue;
		for (uint32_t j = 0; j < l->n; j++) {
			if (!l->link[j].routed || (l->of[i].lower != l->of[j].index &&
				l->of[j].master != l->of[i].index))
				continue;
			l->link[j].routed = false;
			lost = true;
		}
	}
	return lost;
}

/*
 * The file is there if the kernel can tell (CONFIG_IP_ROUTE_CLASSID); under self it is with
 * subset=pid as well.
 */
static void find_routed(struct link_list *l)
{
	bool can_tell = access("/proc/self/net/rt_acct", F_OK) == 0;

	l->blind = !can_tell && access("/proc/self/net", F_OK) != 0;
	for (uint32_t i = 0; i < l->n; i++)
		l->link[i].routed = can_tell;
	while (can_tell && lose_routes(l))
		;
}

int link_list_read(struct link_list *l, struct netlink *nl)
{
	int err = EINTR;

	for (int tries = 0; err == EINTR && tries < NETLINK_TRIES; tries++) {
		struct nlmsghdr *nlh = netlink_start(nl, RTM_GETLINK, 0);
		struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

		ifi->ifi_family = AF_UNSPEC;
		l->n = 0;
		l->overflow = false;
		err = netlink_dump(nl, nlh, take, l);
	}
	if (err == 0 && l->overflow)
		err = E2BIG;
	find_masters(l);
	find_routed(l);
	return err;
}
