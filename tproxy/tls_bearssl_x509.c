/* SPDX-License-Identifier: MIT */
/* A peer's chain: BearSSL says whether it is trusted, tls_chain.c all else. */
#include <string.h>

#include "tproxy/tls_bearssl.h"

static struct tls_session *session_of(const br_x509_class *const *x509)
{
	return (struct tls_session *)((uintptr_t)x509 - offsetof(struct tls_session, x509));
}

void tls_session_sha256(uint8_t out[32], struct tls_bytes in)
{
	br_sha256_context c;

	br_sha256_init(&c);
	br_sha256_update(&c, in.at, in.len);
	br_sha256_out(&c, out);
}

static void start_chain(const br_x509_class **x509, const char *server_name)
{
	struct tls_session *s = session_of(x509);
	(void)server_name; /* BearSSL would take a common name as well */

	s->resumed = false;
	tls_chain_start(&s->chain, &s->config->common, s->name, s->chain.now);
	s->minimal.vtable->start_chain(&s->minimal.vtable, NULL);
}

static void start_cert(const br_x509_class **x509, uint32_t len)
{
	struct tls_session *s = session_of(x509);
	size_t waits;

	s->cert_len = 0;
	/* Who sends this before it was asked for could have it overwrite what waits to be sent. */
	if (br_ssl_engine_sendrec_buf(&s->br.engine, &waits))
		s->fault = TLS_FAULT_PROTOCOL;
	s->minimal.vtable->start_cert(&s->minimal.vtable, len);
}

_Static_assert(TLS_CERT_MAX <= TLS_OUT_SIZE, "a certificate has to fit");

static void append(const br_x509_class **x509, const unsigned char *bytes, size_t len)
{
	struct tls_session *s = session_of(x509);

	if (s->fault == TLS_FAULT_OK && s->cert_len <= TLS_CERT_MAX &&
	    len <= sizeof(s->out) - s->cert_len)
		memcpy(s->out + s->cert_len, bytes, len);
	s->cert_len += len;
	s->minimal.vtable->append(&s->minimal.vtable, bytes, len);
}

/* Whose issuer is in the bundle and who is not trusted has a signature of somebody else's. */
static void issuer_find(struct tls_session *s)
{
	const struct tls_config *c = s->config;
	struct tls_bytes issuer = s->chain.issuer;

	for (size_t i = 0; s->chain.untrusted == TLS_FAULT_MISSING_ISSUER && i < c->n_anchors; i++)
		if (c->anchors[i].dn.len == issuer.len &&
		    memcmp(c->anchors[i].dn.data, issuer.at, issuer.len) == 0)
			s->chain.untrusted = TLS_FAULT_BAD_SIGNATURE;
}

static void end_cert(const br_x509_class **x509)
{
	struct tls_session *s = session_of(x509);

	if (s->fault == TLS_FAULT_OK) {
		tls_chain_add(&s->chain, (struct tls_bytes){ s->out, s->cert_len },
		              tls_session_sha256);
		issuer_find(s);
	}
	s->minimal.vtable->end_cert(&s->minimal.vtable);
}

static enum tls_fault minimal_fault(const struct tls_session *s, unsigned error)
{
	switch (error) {
	case 0:
		return s->chain.fault;
	case BR_ERR_X509_EMPTY_CHAIN:
		return TLS_FAULT_NO_CERTIFICATE;
	case BR_ERR_X509_NOT_TRUSTED:
		return s->chain.untrusted;
	case BR_ERR_X509_DN_MISMATCH:
		return TLS_FAULT_MISSING_ISSUER;
	case BR_ERR_X509_EXPIRED:
		return s->chain.fault != TLS_FAULT_OK ? s->chain.fault : TLS_FAULT_EXPIRED;
	case BR_ERR_X509_WEAK_PUBLIC_KEY:
		return TLS_FAULT_WEAK_KEY;
	case BR_ERR_X509_UNSUPPORTED:
		return TLS_FAULT_WEAK_SIGNATURE;
	case BR_ERR_X509_BAD_SIGNATURE:
		return TLS_FAULT_BAD_SIGNATURE;
	case BR_ERR_X509_NOT_CA:
	case BR_ERR_X509_FORBIDDEN_KEY_USAGE:
		return TLS_FAULT_NOT_CA;
	default:
		return TLS_FAULT_BAD_CERTIFICATE;
	}
}

static unsigned end_chain(const br_x509_class **x509)
{
	struct tls_session *s = session_of(x509);
	unsigned error = s->minimal.vtable->end_chain(&s->minimal.vtable);
	enum tls_fault fault = s->fault != TLS_FAULT_OK            ? s->fault :
	                       s->chain.fault == TLS_FAULT_LONG_CHAIN ||
					       s->chain.fault == TLS_FAULT_LARGE_CERTIFICATE ?
	                                                             s->chain.fault :
	                                                             minimal_fault(s, error);

	s->fault = fault;
	if (fault == TLS_FAULT_OK)
		return 0;
	return error != 0 ? error : BR_ERR_X509_BAD_SERVER_NAME;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *x509, unsigned *usages)
{
	struct tls_session *s = session_of(x509);

	return s->fault != TLS_FAULT_OK ? NULL : s->minimal.vtable->get_pkey(&s->minimal.vtable, usages);
}

const br_x509_class tls_chain_class = {
	.context_size = sizeof(br_x509_class *),
	.start_chain = start_chain,
	.start_cert = start_cert,
	.append = append,
	.end_cert = end_cert,
	.end_chain = end_chain,
	.get_pkey = get_pkey,
};
