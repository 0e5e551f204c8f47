/* SPDX-License-Identifier: MIT */
/* What the libraries do not tell of a certificate, from its DER (RFC 5280 4.1). Pure functions. */
#ifndef SLUICE_TPROXY_TLS_DER_H
#define SLUICE_TPROXY_TLS_DER_H

#include "tproxy/tls.h"

#define TLS_DER_SEQUENCE 0x30

/*
 * Takes an element with that tag off rest. inner: its contents, whole: with tag and length; either
 * may be NULL. False: it is another or damaged, and rest stays.
 */
bool tls_der_take(struct tls_bytes *rest, uint8_t tag, struct tls_bytes *inner,
                  struct tls_bytes *whole);

/* A certificate; all slices point into it. */
struct tls_der_cert {
	struct tls_bytes issuer, subject, key; /* whole elements; key: SubjectPublicKeyInfo */
	struct tls_bytes alt_names;            /* GeneralName elements; none: len 0 */
	struct tls_bytes purposes;             /* extended key usage, OBJECT IDENTIFIER elements */
	bool any_purpose;                      /* has no such extension */
	bool ca;
	int64_t not_before, not_after;         /* seconds since 1970 */
};
/* False: damaged. */
bool tls_der_cert(struct tls_der_cert *cert, struct tls_bytes der);
bool tls_der_self_issued(const struct tls_der_cert *cert);
/* Whether it may be a TLS server's, or a client's. */
bool tls_der_purpose(const struct tls_der_cert *cert, bool server);
/* Bytes of the address that a name is, 4 or 16; 0: it is none. */
size_t tls_der_address(const char *name, uint8_t address[16]);
/*
 * Whether one of its alternative names is that one: an address, a URI (with "://"), or a DNS name,
 * where the certificate's first label may be "*" (RFC 6125 6.4.3). A common name is never one.
 */
bool tls_der_names(const struct tls_der_cert *cert, const char *name);
/* Its first URI, else its first DNS name; "" without one or where it does not fit or print. */
void tls_der_peer(const struct tls_der_cert *cert, char peer[TLS_PEER_SIZE]);

#endif
