/* SPDX-License-Identifier: MIT */
/* Listening sockets of a worker. */
#ifndef SLUICE_TPROXY_LISTEN_H
#define SLUICE_TPROXY_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "rules/policy.h"

/* How a port is shared with the other workers: only sockets of one owner may share one. */
struct listen_share {
	bool shared;      /* there are others */
	uint32_t owner;   /* LISTEN_ANYONE: whoever we are */
	int64_t until_ms; /* of the monotonic clock: how long a port in use is waited for */
};
#define LISTEN_ANYONE UINT32_MAX

/*
 * For n workers. The owner of shared sockets is a user that nobody else is: not who starts us, not
 * uid, and none that the policy exempts, since what these sockets send is not to be let out.
 */
struct listen_share listen_share(unsigned n, uint32_t uid, const struct policy *p);

/* Of the share's owner, non-blocking, close-on-exec, not bound. -1 with errno and *step. */
int listen_socket(int family, int type, const struct listen_share *s, const char **step);

/*
 * As bind(2), but a proxy before us that is draining has time to let go of the port: LISTEN_WAIT_MS
 * for all sockets of a start together.
 */
#define LISTEN_WAIT_MS 5000
int listen_bind(int fd, const struct sockaddr *at, socklen_t len, const struct listen_share *s);

/*
 * One socket per family on port, any address, with TCP_NODELAY (inherited by what is accepted),
 * IP_TRANSPARENT when transparent. IPv6 is V6ONLY; a machine without IPv6 gives *fd6 = -1. 0, or -1
 * with errno and *step naming the call that failed. With TPROXY the accepted socket's local address
 * is the original destination.
 */
int listen_open(uint16_t port, bool transparent, const struct listen_share *s, int *fd4, int *fd6,
                const char **step);

#endif
