/* SPDX-License-Identifier: MIT */
/*
 * TLS by whichever library is linked: tls_bearssl.c, tls_mbedtls.c, or tls_none.c, which refuses
 * all. Peers are always verified; a failed verification is a failed handshake, and nothing is read
 * or written before TLS_DONE.
 *
 * A session owns no descriptor, but reads and writes its socket; one thread at a time uses it.
 * Sessions suit edge-triggered events: whoever is told to wait has drained or filled the socket.
 * Only ECDHE with AEAD, TLS 1.2 and up, RSA from 2048 bits and SHA-256 from; no renegotiation, no
 * early data, no compression.
 */
#ifndef SLUICE_TPROXY_TLS_H
#define SLUICE_TPROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tproxy/tls_fault.h"

#define TLS_CHAIN_MAX 8      /* certificates that a peer may show */
#define TLS_CERT_MAX  8192   /* bytes of one */
#define TLS_PIN_SIZE  32
#define TLS_PEER_SIZE 256
#define TLS_RESUME_S  3600   /* a session is resumed for so long */

struct tls_bytes { const void *at; size_t len; };

/* All that is pointed to is copied. Names are canonical (rules/name.h). */
struct tls_settings {
	bool server;
	bool tls13;                   /* nothing below TLS 1.3; not with BearSSL */
	struct tls_bytes ca;          /* client: must be. Server: clients must show a certificate */
	struct tls_bytes certificate; /* own chain, leaf first; server: must be */
	struct tls_bytes private_key; /* of the leaf; RSA or P-256, P-384, not encrypted */
	const char *sni;              /* client: NULL: the session's name, unless an address */
	/*
	 * What the peer's certificate has to say, one of: DNS name, address, or URI (with "://").
	 * None: client: the session's name; server: whatever the CA signed.
	 */
	const char *const *alt_names;
	size_t n_alt_names;
	const uint8_t (*pins)[TLS_PIN_SIZE]; /* SHA-256 of its SubjectPublicKeyInfo, one of; n 0: any */
	size_t n_pins;
	const char *const *alpn; /* by preference; a peer that wants only others is refused */
	size_t n_alpn;
	unsigned sessions; /* kept for resumption, about 500 bytes each; 0: none */
};

/* Credentials, read once, shared by threads. Its memory is in no core file and wiped at the end. */
struct tls_config;
/* PEM or DER. NULL: what is wrong, and with what, is in problem. */
struct tls_config *tls_config_open(const struct tls_settings *set, struct tls_problem *problem);
struct tls_config *tls_config_take(struct tls_config *c); /* one more reference; returns c */
void tls_config_close(struct tls_config *c); /* one less, the last frees; NULL: nothing */

struct tls_session;
size_t tls_session_size(void); /* of the caller's memory for one, aligned as for malloc() */

struct tls_start {
	int fd;            /* connected, non-blocking */
	const char *name;  /* client: whom it calls, a canonical name or an address; NUL-terminated */
	uint32_t target;   /* client: sessions are resumed with equal name and target only */
	int64_t now;       /* seconds since 1970, for dates */
	struct tls_bytes early; /* server: what was read from fd already, at most a whole hello */
};
/* Takes a reference to c. What is wrong already tls_handshake() will say. */
void tls_session_start(struct tls_session *s, struct tls_config *c, const struct tls_start *how);
void tls_session_end(struct tls_session *s); /* wipes it; sends nothing */

enum tls_status { TLS_FAILED = 0, TLS_WANT_READ, TLS_WANT_WRITE, TLS_DONE };
enum tls_status tls_handshake(struct tls_session *s);

enum { TLS_AGAIN = 0, TLS_CLOSED = -1, TLS_BROKEN = -2 };
/*
 * Bytes read, TLS_AGAIN, TLS_CLOSED (close_notify came; writing may go on), or TLS_BROKEN: an end
 * without close_notify is a failure.
 */
long tls_read(struct tls_session *s, void *to, size_t room);
/* Bytes accepted, which may wait for tls_flush(); TLS_AGAIN: until writable; TLS_BROKEN. */
long tls_write(struct tls_session *s, const void *from, size_t len);
int tls_flush(struct tls_session *s);          /* 1: all is sent; 0: until writable; TLS_BROKEN */
bool tls_pending(const struct tls_session *s); /* tls_read() has bytes without the socket */
/* Says that no more is written; tls_flush() says when it was. What comes can still be read. */
void tls_close_notify(struct tls_session *s);

/* Why it failed, and errno with TLS_FAULT_IO. */
enum tls_fault tls_session_fault(const struct tls_session *s);

/* After TLS_DONE. */
const char *tls_alpn(const struct tls_session *s); /* NULL: none was agreed on */
const char *tls_sni(const struct tls_session *s);  /* server: as sent, "" without */
const char *tls_peer(const struct tls_session *s); /* its first URI, else DNS name; "" without */
bool tls_resumed(const struct tls_session *s);
unsigned tls_version(const struct tls_session *s); /* 0x303, 0x304 */

#endif
