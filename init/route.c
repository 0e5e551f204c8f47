/* SPDX-License-Identifier: MIT */
/* Policy routing for method = tproxy, through rtnetlink. */
#include "init/route.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "init/message.h"
#include "rules/capture.h"

enum { ROUTE_BITS = 4 };

static const struct {
	unsigned bit;
	uint8_t family;
	bool rule;
	const char *name;
} parts[ROUTE_BITS] = {
	{ROUTE_RULE4, AF_INET, true, "ip rule"},
	{ROUTE_ROUTE4, AF_INET, false, "ip route"},
	{ROUTE_RULE6, AF_INET6, true, "ip -6 rule"},
	{ROUTE_ROUTE6, AF_INET6, false, "ip -6 route"},
};

struct found {
	uint8_t family;
	unsigned present, ours;
};

const char *route_name(unsigned bit)
{
	for (int i = 0; i < ROUTE_BITS; i++)
		if (parts[i].bit == bit)
			return parts[i].name;
	return "routing";
}

unsigned route_needed(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", O_RDONLY | O_CLOEXEC);
	bool v6;
	char c;

	if (fd < 0)
		return ROUTE_RULE4 | ROUTE_ROUTE4;
	v6 = read(fd, &c, 1) == 1 && c == '0';
	(void)close(fd);
	return ROUTE_RULE4 | ROUTE_ROUTE4 | (v6 ? ROUTE_RULE6 | ROUTE_ROUTE6 : 0u);
}

static uint32_t u32_of(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) == sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

static void take_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct fib_rule_hdr *hdr = mnl_nlmsg_get_payload(nlh);
	uint32_t mark = 0, mask = UINT32_MAX, table, priority = 0;
	struct found *f = data;
	const struct nlattr *attr;
	uint8_t protocol = 0;
	bool narrow;

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*hdr) ||
		hdr->family != f->family)
		return;
	table = hdr->table;
	narrow = hdr->src_len != 0 || hdr->dst_len != 0 || hdr->tos != 0 ||
		(hdr->flags & FIB_RULE_INVERT) != 0;
	mnl_attr_for_each(attr, nlh, sizeof(*hdr)) {
		switch (mnl_attr_get_type(attr)) {
		case FRA_FWMARK: mark = u32_of(attr); break;
		case FRA_FWMASK: mask = u32_of(attr); break;
		case FRA_TABLE: table = u32_of(attr); break;
		case FRA_PRIORITY: priority = u32_of(attr); break;
		case FRA_PROTOCOL: protocol = mnl_attr_get_u8(attr); break;
		case FRA_IIFNAME:
		case FRA_OIFNAME:
		case FRA_IP_PROTO:
		case FRA_SPORT_RANGE:
		case FRA_DPORT_RANGE:
		case FRA_UID_RANGE: narrow = true; break;
		default: break;
		}
	}
	if (mark != CAPTURE_MARK || mask != UINT32_MAX || table != CAPTURE_ROUTE_TABLE ||
		priority != CAPTURE_RULE_PRIORITY || hdr->action != FR_ACT_TO_TBL || narrow)
		return;
	f->present |= f->family == AF_INET ? ROUTE_RULE4 : ROUTE_RULE6;
	if (protocol == ROUTE_PROTOCOL)
		f->ours |= f->family == AF_INET ? ROUTE_RULE4 : ROUTE_RULE6;
}

static void take_route(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct found *f = data;
	uint32_t table, oif = 0;

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
		rtm->rtm_family != f->family)
		return;
	table = rtm->rtm_table;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm)) {
		if (mnl_attr_get_type(attr) == RTA_TABLE)
			table = u32_of(attr);
		else if (mnl_attr_get_type(attr) == RTA_OIF)
			oif = u32_of(attr);
	}
	if (table != CAPTURE_ROUTE_TABLE || rtm->rtm_type != RTN_LOCAL || rtm->rtm_dst_len != 0 ||
		rtm->rtm_src_len != 0 || oif == 0 || oif != if_nametoindex("lo"))
		return;
	f->present |= f->family == AF_INET ? ROUTE_ROUTE4 : ROUTE_ROUTE6;
	if (rtm->rtm_protocol == ROUTE_PROTOCOL)
		f->ours |= f->family == AF_INET ? ROUTE_ROUTE4 : ROUTE_ROUTE6;
}

static struct nlmsghdr *start(struct netlink *nl, int part, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = netlink_start(nl, type, flags);

	if (parts[part].rule) {
		struct fib_rule_hdr *hdr = mnl_nlmsg_put_extra_header(nlh, sizeof(*hdr));

		hdr->family = parts[part].family;
	} else {
		struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

		rtm->rtm_family = parts[part].family;
	}
	return nlh;
}

int route_read(struct netlink *nl, unsigned *present, unsigned *ours)
{
	struct found f = {0};

	for (int i = 0; i < ROUTE_BITS; i++) {
		int err = EINTR;

		f.family = parts[i].family;
		for (int tries = 0; err == EINTR && tries < NETLINK_TRIES; tries++)
			err = netlink_dump(nl,
				start(nl, i, parts[i].rule ? RTM_GETRULE : RTM_GETROUTE, 0),
				parts[i].rule ? take_rule : take_route, &f);
		/* A kernel without IPv6, or without policy routing for it, has nothing to show. */
		if (err != 0 &&
			!(parts[i].family == AF_INET6 &&
				(err == EAFNOSUPPORT || err == EOPNOTSUPP)))
			return err;
	}
	*present = f.present;
	*ours = f.ours;
	return 0;
}

/* The whole of one part, the same for adding and deleting. */
static struct nlmsghdr *whole(struct netlink *nl, int part, bool add)
{
	struct nlmsghdr *nlh;

	if (parts[part].rule) {
		struct fib_rule_hdr *hdr;

		nlh = start(nl, part, add ? RTM_NEWRULE : RTM_DELRULE,
			add ? NLM_F_CREATE | NLM_F_EXCL : 0);
		hdr = mnl_nlmsg_get_payload(nlh);
		hdr->action = FR_ACT_TO_TBL;
		hdr->table = CAPTURE_ROUTE_TABLE;
		mnl_attr_put_u32(nlh, FRA_PRIORITY, CAPTURE_RULE_PRIORITY);
		mnl_attr_put_u32(nlh, FRA_FWMARK, CAPTURE_MARK);
		mnl_attr_put_u32(nlh, FRA_FWMASK, UINT32_MAX);
		mnl_attr_put_u32(nlh, FRA_TABLE, CAPTURE_ROUTE_TABLE);
		mnl_attr_put_u8(nlh, FRA_PROTOCOL, ROUTE_PROTOCOL);
	} else {
		struct rtmsg *rtm;

		nlh = start(nl, part, add ? RTM_NEWROUTE : RTM_DELROUTE,
			add ? NLM_F_CREATE | NLM_F_EXCL : 0);
		rtm = mnl_nlmsg_get_payload(nlh);
		rtm->rtm_table = CAPTURE_ROUTE_TABLE;
		rtm->rtm_protocol = ROUTE_PROTOCOL;
		rtm->rtm_scope = parts[part].family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
		rtm->rtm_type = RTN_LOCAL;
		mnl_attr_put_u32(nlh, RTA_OIF, if_nametoindex("lo"));
	}
	return nlh;
}

static int complain(int part, int err)
{
	switch (err) {
	case EPERM:
		return message(EX_NOPERM, "%s: needs CAP_NET_ADMIN", parts[part].name);
	case ENETDOWN:
		return message(EX_OSERR, "%s: interface lo is down", parts[part].name);
	case EAFNOSUPPORT: case EOPNOTSUPP:
		return message(EX_UNAVAILABLE,
			"%s: the kernel has no policy routing (%s): use method = redirect",
			parts[part].name,
			parts[part].family == AF_INET ? "CONFIG_IP_MULTIPLE_TABLES"
						      : "CONFIG_IPV6_MULTIPLE_TABLES");
	case EEXIST:
		return message(EX_OSERR, "%s: table %d has another default already",
			parts[part].name, CAPTURE_ROUTE_TABLE);
	default:
		return message(EX_OSERR, "%s: %s", parts[part].name, strerror(err));
	}
}

int route_add(struct netlink *nl, unsigned missing)
{
	for (int i = 0; i < ROUTE_BITS; i++) {
		int err = missing & parts[i].bit ? netlink_talk(nl, whole(nl, i, true)) : 0;

		if (err != 0)
			return complain(i, err);
	}
	return 0;
}

int route_delete(struct netlink *nl, unsigned ours)
{
	int code = 0;

	for (int i = 0; i < ROUTE_BITS; i++) {
		int err = ours & parts[i].bit ? netlink_talk(nl, whole(nl, i, false)) : 0;

		if (err != 0 && err != ENOENT && err != ESRCH)
			code = complain(i, err);
	}
	return code;
}
