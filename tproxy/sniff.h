/* SPDX-License-Identifier: MIT */
/*
 * What the first bytes of a connection are. Pure functions: bytes in, findings out; no I/O, no
 * allocation, no state. Each is called again with all bytes so far when it asked for more.
 */
#ifndef SLUICE_TPROXY_SNIFF_H
#define SLUICE_TPROXY_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/name.h"

enum sniff_kind {
	SNIFF_OTHER = 0, /* not HTTP, not TLS */
	SNIFF_MORE,      /* could still become HTTP or TLS */
	SNIFF_HTTP,      /* starts like an HTTP/1 request line, or like a damaged one */
	SNIFF_HTTP2,     /* the connection preface of RFC 9113 3.4 */
	SNIFF_TLS,       /* starts with a TLS record of any type, or an SSLv2 hello */
};
/*
 * Never SNIFF_MORE once there are 256 bytes. HTTP: white space, if any, then letters, '-' and '_'
 * and a space; or any other token, a space and something like a target; or nothing but token bytes
 * so far. What is doubtful is HTTP rather than OTHER, so that the request parser refuses it.
 */
enum sniff_kind sniff_kind(const uint8_t *buf, size_t len);

/* Why a ClientHello is refused. */
enum tls_error {
	TLS_OK = 0,
	TLS_RECORD = -1,      /* record type, version or length (RFC 8446 5.1) */
	TLS_HANDSHAKE = -2,   /* not a ClientHello, or its length */
	TLS_NESTING = -3,     /* an inner length does not fill its outer one exactly */
	TLS_DUPLICATE = -4,   /* an extension type twice */
	TLS_SERVER_NAME = -5, /* server_name: not exactly one host_name, or not a canonical name */
	TLS_TRAILING = -6,    /* bytes after the ClientHello that are not early data */
	TLS_OVERSIZE = -7,    /* more than CONFIG_TLS_HELLO_MAX bytes or 128 extensions */
	TLS_SSLV2 = -8,
	TLS_VERSION = -9,     /* legacy_version below TLS 1.0 or not 3.x */
	TLS_ALPN = -10,       /* ALPN: no name, an empty one, or more than 255 bytes of them */
};
#define TLS_ERRORS   11
#define TLS_ALPN_MAX 255

struct tls_hello {
	char name[NAME_SIZE]; /* canonical SNI; "" without one */
	size_t name_len;      /* 0: no server_name extension */
	bool ech;             /* encrypted_client_hello present (real or GREASE) */
	bool early_data;
	uint8_t alpn[TLS_ALPN_MAX]; /* offered: {length, bytes} one after the other (RFC 7301 3.1) */
	uint8_t alpn_len;           /* 0: no such extension */
};

/*
 * Reads a ClientHello spread over any number of records. > 0: bytes of the records that hold it;
 * 0: need more; < 0: enum tls_error, nothing in h is valid. An IP literal is TLS_SERVER_NAME. Only
 * early data may follow in buf, and the ChangeCipherSpec that goes with it.
 */
long sniff_tls(const uint8_t *buf, size_t len, struct tls_hello *h);
const char *tls_error_text(int error); /* "an extension appears twice" */
const char *tls_error_code(int error); /* "tls-duplicate": for logs and metrics */

#endif
