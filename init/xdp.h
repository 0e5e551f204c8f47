/* SPDX-License-Identifier: MIT */
/* Sockets of family AF_XDP, whose frames pass every hook (CONFIG_XDP_SOCKETS). */
#ifndef SLUICE_INIT_XDP_H
#define SLUICE_INIT_XDP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* Whether the kernel has them, for who has CAP_NET_RAW. */
bool xdp_is_there(void);
/*
 * Sends one frame of at most 2048 bytes by the interface's first queue. 0, or -1 with errno;
 * EOPNOTSUPP: that cannot be tried here.
 */
int xdp_send(int fd, int index, const void *frame, size_t len);

#endif
