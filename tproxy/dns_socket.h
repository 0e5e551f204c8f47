/* SPDX-License-Identifier: MIT */
/* The sockets that c-ares asks through. */
#ifndef SLUICE_TPROXY_DNS_SOCKET_H
#define SLUICE_TPROXY_DNS_SOCKET_H

#include <stdint.h>

#include <ares.h>

struct dns_sockets {
	uint32_t mark;   /* SO_MARK; 0: none */
	uint32_t budget; /* datagrams that may still be read in this turn */
};

#define DNS_SOCKETS_BUDGET 64

/*
 * Makes the channel use non-blocking, close-on-exec sockets that carry the mark, or none at all.
 * Datagrams that cannot be a response to one question never reach c-ares. *s outlives the channel.
 * 0, or -1.
 */
int dns_sockets_use(ares_channel_t *channel, struct dns_sockets *s);

#endif
