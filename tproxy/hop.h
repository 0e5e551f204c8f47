/* SPDX-License-Identifier: MIT */
/*
 * What a node says to a gateway between connect() and the client's payload, and what a gateway
 * reads before it: HTTP CONNECT (RFC 9110 9.3.6), SOCKS5 (RFC 1928, without authentication) and the
 * PROXY protocol, version 2. Pure functions: bytes in, bytes out; no I/O and no allocation. Every
 * string is static.
 */
#ifndef SLUICE_TPROXY_HOP_H
#define SLUICE_TPROXY_HOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"
#include "rules/gateway.h"
#include "rules/name.h"

/* Room for whatever hop_begin() and hop_feed() write. */
#define HOP_OUT_MAX 576
/*
 * A PROXY header is read and written up to this: it has to fit into one segment of the least MSS
 * (576 - 40, RFC 9293 3.7.1), so that it arrives at once.
 */
#define HOP_PROXY_MAX 536

/* Where the gateway is asked to go, and whose connection it is. */
struct hop_target {
	const char *name;        /* canonical; need not end in NUL */
	size_t name_len;         /* 0: no name; the gateway is asked for addr instead */
	struct addr addr;
	uint16_t port;           /* of name or addr */
	struct addr src, dst;    /* of the client's connection; for POLICY_VIA_PROXY_V2 only */
	uint16_t sport, dport;
	const uint8_t *alpn;     /* for POLICY_VIA_PROXY_V2: told as it is, unless it does not fit */
	uint8_t alpn_len;        /* 0: nothing is told */
};

enum hop_result {
	HOP_MORE = 0, /* nothing of the client's may be sent yet: the gateway has to answer */
	HOP_DONE,     /* what follows is payload, both ways */
	HOP_FAILED,   /* the connection to the gateway is of no use: hop_reason() says why */
};

/* All that is remembered from one answer to the next; zeroed by hop_begin(). */
struct hop {
	uint8_t via, state, error;
	uint8_t at;              /* in the status line, or of the SOCKS reply */
	uint16_t seen;           /* bytes of CONNECT's heads */
	uint16_t value;          /* status so far; bytes that are left of the SOCKS reply */
};

/*
 * The first bytes to send: *n of them, with HOP_MORE as with HOP_DONE. HOP_DONE with *n 0: via says
 * nothing before the payload (plain, tls, mutual). HOP_FAILED: it does not fit into room. t has to
 * be the same in all calls.
 */
enum hop_result hop_begin(struct hop *h, enum policy_via via, const struct hop_target *t,
                          uint8_t *out, size_t room, size_t *n);

/*
 * Reads what the gateway answered. *used bytes are read for good and must not be given again: with
 * HOP_MORE all of them, with HOP_DONE those of the answer (what is behind them is payload). So the
 * caller peeks, and then takes *used; or it reads, and keeps the rest. *n bytes in out are to be
 * sent, before the next call. An end of the connection, or a deadline, is for the caller to name.
 */
enum hop_result hop_feed(struct hop *h, const struct hop_target *t, const uint8_t *in, size_t len,
                         size_t *used, uint8_t *out, size_t room, size_t *n);

/* "connect_403", "socks_not_allowed", ...: for logs, after HOP_FAILED. */
const char *hop_reason(const struct hop *h);
/*
 * The same as a status: CONNECT's; of SOCKS 403, where it is not allowed or understood, and else
 * 503. 0: it gave no proper answer.
 */
int hop_status(const struct hop *h);

/*
 * The header for t's connection, as hop_begin() writes it: of IPv6 unless both addresses are IPv4.
 * Returns its length, or 0 when it does not fit.
 */
size_t hop_proxy_write(const struct hop_target *t, uint8_t *out, size_t room);

/* What a PROXY header says of a connection. */
struct hop_proxy {
	bool local;              /* of the sender itself, a health check: no addresses */
	struct addr src, dst;
	uint16_t sport, dport;
	char name[NAME_SIZE];    /* canonical authority */
	uint16_t name_len;       /* 0: none was said */
	const uint8_t *alpn;     /* in the bytes that were read */
	uint16_t alpn_len;       /* 0: none was said */
};

/* Why a PROXY header is refused. */
enum hop_proxy_error {
	HOP_PROXY_SIGNATURE = -1, /* not a header of version 2; version 1 is none */
	HOP_PROXY_COMMAND = -2,   /* neither LOCAL nor PROXY */
	HOP_PROXY_FAMILY = -3,    /* PROXY, but not TCP over IPv4 or IPv6 */
	HOP_PROXY_LENGTH = -4,    /* longer than HOP_PROXY_MAX, or too short for its addresses */
	HOP_PROXY_TLV = -5,       /* a TLV that does not fit, or one of ours twice */
	HOP_PROXY_CRC = -6,       /* its CRC32C is another */
	HOP_PROXY_NAME = -7,      /* the authority is no host name */
};

/*
 * Reads the header that a connection begins with. > 0: its length, payload follows; 0: need more;
 * < 0: enum hop_proxy_error, and nothing in p is valid. Is called again with all bytes so far.
 */
long hop_proxy_read(const uint8_t *in, size_t len, struct hop_proxy *p);
const char *hop_proxy_reason(long error); /* "proxy_crc", ...: for logs */

#endif
