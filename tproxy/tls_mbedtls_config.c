/* SPDX-License-Identifier: MIT */
/* Credentials for mbedTLS, and what it may agree to. */
#include <errno.h>
#include <sys/random.h>

#include <psa/crypto.h>

#include "tproxy/tls_mbedtls.h"

int tls_random(void *none, unsigned char *to, size_t len)
{
	(void)none;
	while (len > 0) {
		ssize_t n = getrandom(to, len, 0);
		if (n < 0 && errno != EINTR)
			return MBEDTLS_ERR_SSL_NO_RNG;
		to += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
	(void)context;
	*output_length = output_size;
	return tls_random(NULL, output, output_size) == 0 ? PSA_SUCCESS :
	                                                    PSA_ERROR_INSUFFICIENT_ENTROPY;
}

/* Nothing weaker than a CA of today: RSA from 2048 bits, SHA-256 up. */
static const mbedtls_x509_crt_profile profile = {
	.allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
	               MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
	               MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
	.allowed_pks = 0xfffffff,
	.allowed_curves = 0xfffffff,
	.rsa_min_bitlen = 2048,
};

static const int suites[] = {
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	0,
};

/*
 * RSA-PSS last: mbedTLS 3.6.6 offers it to a server of TLS 1.2 and then refuses it. TLS 1.3 knows
 * nothing else for RSA and is not held up by what comes before.
 */
static const uint16_t signatures[] = {
	MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
	MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,       MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
	MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,       MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
	MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
	MBEDTLS_TLS1_3_SIG_NONE,
};

static bool weak(const mbedtls_pk_context *key)
{
	return mbedtls_pk_can_do(key, MBEDTLS_PK_RSA) &&
	       mbedtls_pk_get_bitlen(key) < profile.rsa_min_bitlen;
}

static enum tls_fault cert_add(mbedtls_x509_crt *to, struct tls_bytes der)
{
	struct tls_der_cert cert;
	int error = mbedtls_x509_crt_parse_der(to, der.at, der.len);

	if (error == MBEDTLS_ERR_X509_ALLOC_FAILED)
		return TLS_FAULT_INTERNAL;
	return error == 0 && tls_der_cert(&cert, der) ? TLS_FAULT_OK : TLS_FAULT_BAD_CERTIFICATE;
}

static enum tls_fault ca_take(void *ctx, struct tls_bytes der)
{
	struct tls_config *c = ctx;
	enum tls_fault fault = cert_add(&c->ca, der);
	const mbedtls_x509_crt *last = &c->ca;

	while (last->next)
		last = last->next;
	return fault == TLS_FAULT_OK && weak(&last->pk) ? TLS_FAULT_WEAK_KEY : fault;
}

static enum tls_fault chain_take(void *ctx, struct tls_bytes der)
{
	struct tls_config *c = ctx;

	return cert_add(&c->chain, der);
}

static enum tls_fault key_take(void *ctx, struct tls_bytes der)
{
	struct tls_config *c = ctx;

	if (mbedtls_pk_get_type(&c->key) != MBEDTLS_PK_NONE ||
	    mbedtls_pk_parse_key(&c->key, der.at, der.len, NULL, 0, tls_random, NULL) != 0)
		return TLS_FAULT_BAD_KEY;
	return TLS_FAULT_OK;
}

static enum tls_fault key_check(struct tls_config *c)
{
	if (weak(&c->chain.pk))
		return TLS_FAULT_WEAK_KEY;
	return mbedtls_pk_check_pair(&c->chain.pk, &c->key, tls_random, NULL) == 0 ?
	               TLS_FAULT_OK :
	               TLS_FAULT_KEY_MISMATCH;
}

static bool credentials_read(struct tls_config *c, const struct tls_settings *set,
                             struct tls_problem *p)
{
	p->object = "ca";
	p->fault = set->ca.len == 0 ? TLS_FAULT_OK :
	                              tls_file_each(set->ca, TLS_PEM_CERTIFICATE, &p->nth, ca_take, c);
	if (p->fault != TLS_FAULT_OK || set->certificate.len == 0)
		return p->fault == TLS_FAULT_OK;
	p->object = "certificate";
	p->fault = tls_file_each(set->certificate, TLS_PEM_CERTIFICATE, &p->nth, chain_take, c);
	if (p->fault != TLS_FAULT_OK)
		return false;
	p->object = "private-key";
	p->fault = tls_file_each(set->private_key, TLS_PEM_KEY, &p->nth, key_take, c);
	p->nth = 0;
	if (p->fault == TLS_FAULT_OK)
		p->fault = key_check(c);
	return p->fault == TLS_FAULT_OK;
}

static bool library_setup(struct tls_config *c)
{
	mbedtls_ssl_config *ssl = &c->ssl;
	const struct tls_common *common = &c->common;

	if (mbedtls_ssl_config_defaults(
		    ssl, common->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
		    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
		return false;
	mbedtls_ssl_conf_min_tls_version(ssl, common->tls13 ? MBEDTLS_SSL_VERSION_TLS1_3 :
	                                                      MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_ciphersuites(ssl, suites);
	mbedtls_ssl_conf_sig_algs(ssl, signatures);
	mbedtls_ssl_conf_cert_profile(ssl, &profile);
	mbedtls_ssl_conf_rng(ssl, tls_random, NULL);
	mbedtls_ssl_conf_authmode(ssl, c->ca.version ? MBEDTLS_SSL_VERIFY_REQUIRED :
	                                               MBEDTLS_SSL_VERIFY_NONE);
	if (c->ca.version)
		mbedtls_ssl_conf_ca_chain(ssl, &c->ca, NULL);
	if (common->n_alpn > 0 && mbedtls_ssl_conf_alpn_protocols(ssl, common->alpn) != 0)
		return false;
	if (common->server) {
		mbedtls_ssl_conf_sni(ssl, tls_sni_take, NULL);
		if (common->cache.n_sets > 0)
			mbedtls_ssl_conf_session_tickets_cb(ssl, tls_ticket_write, tls_ticket_read, NULL);
	} else if (common->cache.n_sets > 0) {
		mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
			ssl, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	}
	return !c->chain.version || mbedtls_ssl_conf_own_cert(ssl, &c->chain, &c->key) == 0;
}

static void config_free(struct tls_config *c)
{
	mbedtls_ssl_config_free(&c->ssl);
	mbedtls_x509_crt_free(&c->ca);
	mbedtls_x509_crt_free(&c->chain);
	mbedtls_pk_free(&c->key);
	tls_common_free(&c->common);
}

struct tls_config *tls_config_open(const struct tls_settings *set, struct tls_problem *problem)
{
	struct tls_config *c =
		tls_common_open(set, sizeof(*c), 0, sizeof(struct tls_kept_session), problem);

	if (!c)
		return NULL;
	mbedtls_ssl_config_init(&c->ssl);
	mbedtls_x509_crt_init(&c->ca);
	mbedtls_x509_crt_init(&c->chain);
	mbedtls_pk_init(&c->key);
	bool fine = psa_crypto_init() == PSA_SUCCESS && credentials_read(c, set, problem);
	if (fine && library_setup(c))
		return c;
	if (fine || problem->fault == TLS_FAULT_OK)
		*problem = (struct tls_problem){ TLS_FAULT_INTERNAL, "tls", 0 };
	config_free(c);
	return NULL;
}

void tls_config_close(struct tls_config *c)
{
	if (c && tls_common_last(&c->common))
		config_free(c);
}
