/* SPDX-License-Identifier: MIT */
/* What really goes over a wire. */
#ifndef SLUICE_INIT_SNIFFER_H
#define SLUICE_INIT_SNIFFER_H

#include <stdint.h>

struct sniffer {
	int fd;
	uint32_t fences;
};

/*
 * Hears what comes in at the interface of that index; with 0, what goes out at any but lo, of which
 * it counts only what is addressed to `only`. 0, or -1 with errno (EPERM: needs CAP_NET_RAW).
 */
int sniffer_open(struct sniffer *s, int index);

/* How many packets there are by now, but for the link's upkeep. */
int sniffer_count(struct sniffer *s, const char *const *only);
/*
 * The same up to a datagram that is sent now over `proxy`, a socket that may reach port 9 of the other
 * end: what was sent before it has arrived before it. -1: it never arrived.
 */
int sniffer_fence(struct sniffer *s, int proxy, const char *to);

#endif
