/* SPDX-License-Identifier: MIT */
/* Listening sockets of a worker. */
#ifndef SLUICE_TPROXY_LISTEN_H
#define SLUICE_TPROXY_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One socket per family on port, any address, with SO_REUSEPORT, TCP_NODELAY (inherited by what is
 * accepted), IP_TRANSPARENT when transparent, non-blocking, close-on-exec. IPv6 is V6ONLY; a
 * machine without IPv6 gives *fd6 = -1. 0, or -1 with errno and *step naming the call that failed.
 * With TPROXY the accepted socket's local address is the original destination.
 */
int listen_open(uint16_t port, bool transparent, int *fd4, int *fd6, const char **step);

#endif
