/* SPDX-License-Identifier: MIT */
/* mbedTLS's credentials and sessions, between the files of this backend. */
#ifndef SLUICE_TPROXY_TLS_MBEDTLS_H
#define SLUICE_TPROXY_TLS_MBEDTLS_H

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "tproxy/tls_common.h"

struct tls_config {
	struct tls_common common;
	mbedtls_ssl_config ssl;
	mbedtls_x509_crt ca, chain;
	mbedtls_pk_context key;
};

struct tls_session {
	mbedtls_ssl_context ssl;
	struct tls_chain chain;
	struct tls_config *config;
	struct tls_bytes early; /* read before, not yet taken */
	int fd;
	enum tls_fault fault;
	uint32_t flags;         /* what is wrong with the peer's chain, as the library says it */
	uint8_t first[5];       /* of what the peer sent */
	uint8_t n_first;
	/* alerted: a record that is an alert was sent, and not because this side ends */
	bool established, resumed, peer_ended, ended, closing, alerted;
	bool blocked; /* the socket, not just the library, said to wait */
	uint8_t key[TLS_KEY_SIZE]; /* client: of the session to be resumed */
	char name[TLS_PEER_SIZE], sni[TLS_PEER_SIZE];
};

/* A session that is kept: its peer, and what the library makes of it without certificates. */
struct tls_kept_session {
	char peer[TLS_PEER_SIZE];
	uint8_t bytes[1200];
};

/* The first fault stays. */
void tls_session_fail(struct tls_session *s, enum tls_fault fault);
/* Keeps a session for who has the key; 0, or the library's error. */
int tls_session_keep(struct tls_session *s, const uint8_t key[TLS_KEY_SIZE],
                     const mbedtls_ssl_session *session);
/* Whose turn it is in this thread: the library does not tell its ticket functions. */
extern _Thread_local struct tls_session *tls_session_current;

/* Functions that the library calls. */
int tls_random(void *none, unsigned char *to, size_t len);
int tls_chain_verify(void *session, mbedtls_x509_crt *cert, int depth, uint32_t *flags);
int tls_sni_take(void *none, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len);
int tls_ticket_write(void *none, const mbedtls_ssl_session *session, unsigned char *start,
                     const unsigned char *end, size_t *len, uint32_t *lifetime);
int tls_ticket_read(void *none, mbedtls_ssl_session *session, unsigned char *ticket, size_t len);

#endif
