/* SPDX-License-Identifier: MIT */
/* BearSSL's credentials and sessions, between tls_bearssl.c and tls_bearssl_config.c. */
#ifndef SLUICE_TPROXY_TLS_BEARSSL_H
#define SLUICE_TPROXY_TLS_BEARSSL_H

#include <bearssl.h>

#include "tproxy/tls_common.h"

struct tls_config {
	struct tls_common common;
	br_x509_trust_anchor *anchors;
	size_t n_anchors;
	br_x509_certificate *chain; /* own, leaf first */
	size_t n_chain;
	unsigned issuer_key;        /* kind of the key that signed the leaf */
	br_skey_decoder_context key;
};

struct tls_kept_session {
	br_ssl_session_parameters session;
	char peer[TLS_PEER_SIZE];
};

/* A record of 16 KiB, as peers send them; what is sent goes out in records of 8 KiB. */
#define TLS_IN_SIZE  (16384 + 325)
#define TLS_OUT_SIZE (8192 + 85)

struct tls_session {
	union {
		br_ssl_engine_context engine;
		br_ssl_client_context client;
		br_ssl_server_context server;
	} br;
	br_x509_minimal_context minimal;
	const br_x509_class *x509;               /* what the engine calls: minimal, and chain */
	const br_ssl_session_cache_class *cache;
	struct tls_chain chain;
	struct tls_config *config;
	int fd;
	enum tls_fault fault;
	size_t cert_len;                         /* of the certificate that is coming */
	const br_sslrec_in_class *in_class;      /* the engine's, behind ours */
	bool established, resumed, peer_ended, ended, closing;
	uint8_t key[TLS_KEY_SIZE];               /* client: of the session to be resumed */
	char name[TLS_PEER_SIZE];
	uint8_t in[TLS_IN_SIZE];
	/* Holds a certificate as well, while nothing waits to be sent. */
	uint8_t out[TLS_OUT_SIZE];
};

/* The first fault stays. */
void tls_session_fail(struct tls_session *s, enum tls_fault fault);
/* Whether the session goes on; if not, fault says why. */
bool tls_session_check(struct tls_session *s);
/* Keeps it for who has the key. */
void tls_session_keep(struct tls_session *s, const uint8_t key[TLS_KEY_SIZE],
                      const br_ssl_session_parameters *session);
void tls_session_sha256(uint8_t out[32], struct tls_bytes in);
/* The chain of a session, as the engine's X.509 validator. */
extern const br_x509_class tls_chain_class;

#endif
