/* SPDX-License-Identifier: MIT */
/* A network of two namespaces that ends with the process. */
#include "init/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include "init/message.h"
#include "init/netlink.h"

const uint8_t scratch_mac_node[6] = {0x02, 's', 'l', 'u', 0, 1};
const uint8_t scratch_mac_peer[6] = {0x02, 's', 'l', 'u', 0, 2};
const char *const scratch_own[2] = {"192.0.2.1", "2001:db8::1"};
const char *const scratch_near[2] = {"192.0.2.2", "2001:db8::2"};
const char *const scratch_far[2] = {"198.51.100.7", "2001:db8:7::7"};
const char *const scratch_client[2] = {"203.0.113.2", "2001:db8:3::2"};
static const char *const router[2] = {"203.0.113.1", "2001:db8:3::1"};

enum side { NODE, PEER, CLIENT, ROUTER /* the node, towards the client */ };

static int families(bool v6)
{
	return v6 ? 2 : 1;
}

int scratch_enter(int space)
{
	return setns(space, CLONE_NEWNET);
}

/* ---- rtnetlink ---- */

/* Puts the address after the attribute's header, 4 or 16 bytes of it. */
static void put_addr(struct nlmsghdr *nlh, uint16_t type, const char *text)
{
	struct addr a;

	if (addr_parse(&a, text, strlen(text)) == 0)
		mnl_attr_put(nlh, type, addr_is_v4(&a) ? 4 : 16, a.b + (addr_is_v4(&a) ? 12 : 0));
}

static int put_veth(struct netlink *nl, const char *name, int peer)
{
	struct nlmsghdr *nlh =
		netlink_start(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *info, *data, *other;

	(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, scratch_mac_node);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, SCRATCH_LINK);
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, scratch_mac_peer);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)peer);
	mnl_attr_nest_end(nlh, other);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return netlink_talk(nl, nlh);
}

static int put_up(struct netlink *nl, int index)
{
	struct nlmsghdr *nlh = netlink_start(nl, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_index = index;
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	return netlink_talk(nl, nlh);
}

/* Without detection of duplicates it can be used at once. */
static int put_address(struct netlink *nl, int index, const char *text, uint8_t bits)
{
	struct nlmsghdr *nlh = netlink_start(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	ifa->ifa_family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;
	ifa->ifa_prefixlen = bits;
	ifa->ifa_flags = IFA_F_NODAD;
	ifa->ifa_index = (uint32_t)index;
	put_addr(nlh, IFA_LOCAL, text);
	put_addr(nlh, IFA_ADDRESS, text);
	return netlink_talk(nl, nlh);
}

static int put_neighbour(struct netlink *nl, int index, const char *text, const uint8_t *mac)
{
	struct nlmsghdr *nlh = netlink_start(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	ndm->ndm_family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;
	ndm->ndm_state = NUD_PERMANENT;
	ndm->ndm_ifindex = index;
	put_addr(nlh, NDA_DST, text);
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	return netlink_talk(nl, nlh);
}

static int put_default(struct netlink *nl, const char *gateway)
{
	struct nlmsghdr *nlh = netlink_start(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = strchr(gateway, ':') == NULL ? AF_INET : AF_INET6;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = RTPROT_STATIC;
	rtm->rtm_type = RTN_UNICAST;
	put_addr(nlh, RTA_GATEWAY, gateway);
	return netlink_talk(nl, nlh);
}

/* ---- the sides ---- */

/* What a side is called, who is at the other end, and by whom it reaches the rest. */
static const struct {
	const char *const *own, *const *other;
	const uint8_t *other_mac;
	bool gateway;
} sides[] = {
	[NODE] = {scratch_own, scratch_near, scratch_mac_peer, true},
	[PEER] = {scratch_near, scratch_own, scratch_mac_node, false},
	[CLIENT] = {scratch_client, router, scratch_mac_node, true},
	[ROUTER] = {router, scratch_client, scratch_mac_peer, false},
};

static int put_link_local(struct netlink *nl, int index)
{
	int err = put_address(nl, index, "fe80::1", 64);

	return err == 0 ? put_neighbour(nl, index, SCRATCH_LINK_LOCAL, scratch_mac_peer) : err;
}

/* Addresses, neighbours and the way to the other side; far addresses lie on the peer's lo. */
static int dress(struct netlink *nl, enum side side, const char *name, bool v6)
{
	int index = (int)if_nametoindex(name), lo = (int)if_nametoindex("lo");
	int err = put_up(nl, lo);

	if (err == 0)
		err = put_up(nl, index);
	for (int f = 0; err == 0 && f < families(v6); f++) {
		err = put_address(nl, index, sides[side].own[f], f == 0 ? 24 : 64);
		if (err == 0)
			err = put_neighbour(nl, index, sides[side].other[f],
				sides[side].other_mac);
		if (err == 0 && side == PEER)
			err = put_address(nl, lo, scratch_far[f], f == 0 ? 32 : 128);
		if (err == 0 && side == NODE && f == 1)
			err = put_link_local(nl, index);
		if (err == 0 && sides[side].gateway)
			err = put_default(nl, sides[side].other[f]);
	}
	return err;
}

static int dress_in(int space, enum side side, const char *name, bool v6)
{
	static struct netlink nl;
	int err;

	if (scratch_enter(space) != 0 || netlink_open(&nl, NETLINK_ROUTE) != 0)
		return errno;
	err = dress(&nl, side, name, v6);
	netlink_close(&nl);
	return err;
}

static int new_space(void)
{
	if (unshare(CLONE_NEWNET) != 0)
		return -1;
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* From the node, where the process is, to another namespace. */
static int make_veth(const char *name, int other)
{
	static struct netlink nl;
	int err;

	if (netlink_open(&nl, NETLINK_ROUTE) != 0)
		return errno;
	err = put_veth(&nl, name, other);
	netlink_close(&nl);
	return err;
}

static int complain_space(void)
{
	return message(errno == EPERM ? EX_NOPERM : EX_UNAVAILABLE, "scratch namespaces: %s",
		errno == EPERM    ? "need CAP_SYS_ADMIN"
		: errno == EINVAL ? "the kernel lacks CONFIG_NET_NS"
				  : strerror(errno));
}

static int complain_link(int err)
{
	return message(EX_UNAVAILABLE, "scratch interfaces: %s",
		err == EOPNOTSUPP ? "the kernel lacks CONFIG_VETH" : strerror(err));
}

int scratch_open(struct scratch *s)
{
	int err;

	s->client = -1;
	s->v6 = access("/proc/sys/net/ipv6/conf/lo", F_OK) == 0;
	s->peer = new_space();
	s->node = s->peer < 0 ? -1 : new_space();
	if (s->node < 0)
		return complain_space();
	err = make_veth(SCRATCH_LINK, s->peer);
	if (err != 0)
		return complain_link(err);
	err = dress_in(s->peer, PEER, SCRATCH_LINK, s->v6);
	if (err == 0)
		err = dress_in(s->node, NODE, SCRATCH_LINK, s->v6);
	s->node_index = (int)if_nametoindex(SCRATCH_LINK);
	return err == 0 ? 0 : message(EX_OSERR, "scratch network: %s", strerror(err));
}

static int forward(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = fd < 0 || write(fd, "1", 1) != 1;

	if (fd >= 0)
		(void)close(fd);
	return err != 0 ? message(EX_UNAVAILABLE, "%s: %s", path, strerror(errno)) : 0;
}

int scratch_add_client(struct scratch *s, const char *interface)
{
	int err, code;

	s->client = new_space();
	if (s->client < 0 || scratch_enter(s->node) != 0)
		return complain_space();
	err = make_veth(interface, s->client);
	if (err != 0)
		return complain_link(err);
	err = dress_in(s->client, CLIENT, SCRATCH_LINK, s->v6);
	if (err == 0)
		err = dress_in(s->node, ROUTER, interface, s->v6);
	if (err != 0)
		return message(EX_OSERR, "scratch network: %s", strerror(err));
	code = forward("/proc/sys/net/ipv4/ip_forward");
	return code == 0 && s->v6 ? forward("/proc/sys/net/ipv6/conf/all/forwarding") : code;
}
