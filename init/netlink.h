/* SPDX-License-Identifier: MIT */
/* A netlink socket, one request at a time. */
#ifndef SLUICE_INIT_NETLINK_H
#define SLUICE_INIT_NETLINK_H

#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

enum { NETLINK_REQUEST = 4096, NETLINK_REPLY = 65536, NETLINK_TRIES = 5 };

struct netlink {
	struct mnl_socket *socket;
	uint32_t seq;
	_Alignas(struct nlmsghdr) char request[NETLINK_REQUEST];
	_Alignas(struct nlmsghdr) char reply[NETLINK_REPLY];
};

/* bus: NETLINK_ROUTE, NETLINK_NETFILTER. 0, or -1 with errno. */
int netlink_open(struct netlink *nl, int bus);
void netlink_close(struct netlink *nl);

/* Starts a request in nl->request; the caller puts what follows the header. */
struct nlmsghdr *netlink_start(struct netlink *nl, uint16_t type, uint16_t flags);
/* Sends it and waits for the acknowledgement. 0, or the errno that the kernel (or the socket) gave.
 */
int netlink_talk(struct netlink *nl, struct nlmsghdr *request);
/*
 * Sends it and hands each message of the answer to cb. 0 or an errno; EINTR: the tables changed
 * meanwhile, ask again.
 */
int netlink_dump(struct netlink *nl, struct nlmsghdr *request,
	void (*cb)(const struct nlmsghdr *nlh, void *data), void *data);

#endif
