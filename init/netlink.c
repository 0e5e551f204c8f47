/* SPDX-License-Identifier: MIT */
/* A netlink socket, one request at a time. */
#include "init/netlink.h"

#include <errno.h>
#include <stdbool.h>

int netlink_open(struct netlink *nl, int bus)
{
	int one = 1;

	nl->seq = 0;
	nl->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (nl->socket == NULL)
		return -1;
	/*
	 * Without the request quoted back an acknowledgement is small; older kernels quote it,
	 * which is no harm.
	 */
	(void)mnl_socket_setsockopt(nl->socket, NETLINK_CAP_ACK, &one, sizeof(one));
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) != 0) {
		int saved = errno;

		netlink_close(nl);
		errno = saved;
		return -1;
	}
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->socket != NULL)
		(void)mnl_socket_close(nl->socket);
	nl->socket = NULL;
}

struct nlmsghdr *netlink_start(struct netlink *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(nl->request);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++nl->seq;
	return nlh;
}

static int error_of(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(int))
		return EBADMSG;
	return -e->error;
}

/* One datagram. Returns true when the answer is over, and *err says how it went. */
static bool take(struct netlink *nl, size_t len, void (*cb)(const struct nlmsghdr *, void *),
	void *data, bool *interrupted, int *err)
{
	int left = (int)len;

	for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->reply;
		mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		if (nlh->nlmsg_seq != nl->seq)
			continue;
		*interrupted |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
			*err = error_of(nlh);
			return true;
		}
		if (cb != NULL && nlh->nlmsg_type >= NLMSG_MIN_TYPE)
			cb(nlh, data);
	}
	return false;
}

static int transact(struct netlink *nl, struct nlmsghdr *request,
	void (*cb)(const struct nlmsghdr *, void *), void *data)
{
	bool interrupted = false;
	int err = 0;
	ssize_t n;

	if (mnl_socket_sendto(nl->socket, request, request->nlmsg_len) < 0)
		return errno;
	do {
		n = mnl_socket_recvfrom(nl->socket, nl->reply, sizeof(nl->reply));
		if (n < 0 && errno != EINTR)
			return errno;
	} while (n < 0 || !take(nl, (size_t)n, cb, data, &interrupted, &err));
	return err == 0 && interrupted ? EINTR : err;
}

int netlink_talk(struct netlink *nl, struct nlmsghdr *request)
{
	request->nlmsg_flags |= NLM_F_ACK;
	return transact(nl, request, NULL, NULL);
}

int netlink_dump(struct netlink *nl, struct nlmsghdr *request,
	void (*cb)(const struct nlmsghdr *, void *), void *data)
{
	request->nlmsg_flags |= NLM_F_DUMP;
	return transact(nl, request, cb, data);
}
