/* SPDX-License-Identifier: MIT */
/* Credentials for BearSSL. */
#include <string.h>

#include "tproxy/tls_bearssl.h"

#define RSA_BITS_MIN 2048

static bool copy(struct tls_config *c, unsigned char **to, const void *from, size_t len)
{
	*to = tls_take(&c->common, len);
	if (*to)
		memcpy(*to, from, len);
	return *to != NULL;
}

static enum tls_fault cert_decode(br_x509_decoder_context *x, struct tls_bytes der)
{
	br_x509_decoder_init(x, NULL, NULL);
	br_x509_decoder_push(x, der.at, der.len);
	return br_x509_decoder_get_pkey(x) ? TLS_FAULT_OK : TLS_FAULT_BAD_CERTIFICATE;
}

/* Without the zeros that may stand before a number. */
static struct tls_bytes number(const unsigned char *at, size_t len)
{
	while (len > 0 && *at == 0) {
		at++;
		len--;
	}
	return (struct tls_bytes){ at, len };
}

static enum tls_fault public_key_check(const br_x509_pkey *key)
{
	if (key->key_type == BR_KEYTYPE_EC)
		return TLS_FAULT_OK;
	struct tls_bytes n = number(key->key.rsa.n, key->key.rsa.nlen);
	return n.len * 8 < RSA_BITS_MIN ? TLS_FAULT_WEAK_KEY : TLS_FAULT_OK;
}

static enum tls_fault anchor_take(void *ctx, struct tls_bytes der)
{
	struct tls_config *c = ctx;
	struct tls_der_cert cert;
	br_x509_decoder_context x;
	br_x509_trust_anchor *a = &c->anchors[c->n_anchors++];
	enum tls_fault fault = tls_der_cert(&cert, der) ? cert_decode(&x, der) :
	                                                  TLS_FAULT_BAD_CERTIFICATE;
	if (fault != TLS_FAULT_OK)
		return fault;
	const br_x509_pkey *key = br_x509_decoder_get_pkey(&x);
	a->flags = br_x509_decoder_isCA(&x) ? BR_X509_TA_CA : 0;
	a->dn.len = cert.subject.len;
	a->pkey = *key;
	fault = public_key_check(key);
	if (fault != TLS_FAULT_OK)
		return fault;
	if (!copy(c, &a->dn.data, cert.subject.at, cert.subject.len))
		return TLS_FAULT_INTERNAL;
	if (key->key_type == BR_KEYTYPE_EC)
		return copy(c, &a->pkey.key.ec.q, key->key.ec.q, key->key.ec.qlen) ?
		               TLS_FAULT_OK :
		               TLS_FAULT_INTERNAL;
	return copy(c, &a->pkey.key.rsa.n, key->key.rsa.n, key->key.rsa.nlen) &&
			       copy(c, &a->pkey.key.rsa.e, key->key.rsa.e, key->key.rsa.elen) ?
	               TLS_FAULT_OK :
	               TLS_FAULT_INTERNAL;
}

static enum tls_fault chain_take(void *ctx, struct tls_bytes der)
{
	struct tls_config *c = ctx;
	br_x509_certificate *cert = &c->chain[c->n_chain++];

	cert->data_len = der.len;
	return copy(c, &cert->data, der.at, der.len) ? TLS_FAULT_OK : TLS_FAULT_INTERNAL;
}

static enum tls_fault key_take(void *ctx, struct tls_bytes der)
{
	struct tls_config *c = ctx;

	if (br_skey_decoder_key_type(&c->key))
		return TLS_FAULT_BAD_KEY;
	br_skey_decoder_init(&c->key);
	br_skey_decoder_push(&c->key, der.at, der.len);
	return br_skey_decoder_key_type(&c->key) ? TLS_FAULT_OK : TLS_FAULT_BAD_KEY;
}

static enum tls_fault nothing_take(void *ctx, struct tls_bytes der)
{
	(void)ctx;
	(void)der;
	return TLS_FAULT_OK;
}

static bool ec_matches(const br_ec_private_key *own, const br_ec_public_key *public)
{
	unsigned char buf[BR_EC_KBUF_PUB_MAX_SIZE];
	br_ec_public_key pub;

	return own->curve == public->curve &&
	       br_ec_compute_pub(br_ec_get_default(), &pub, buf, own) == public->qlen &&
	       memcmp(pub.q, public->q, pub.qlen) == 0;
}

static bool rsa_matches(const br_rsa_private_key *own, const br_rsa_public_key *public)
{
	unsigned char n[BR_X509_BUFSIZE_KEY];
	br_rsa_compute_modulus modulus = br_rsa_compute_modulus_get_default();
	size_t len = modulus(NULL, own);
	struct tls_bytes theirs = number(public->n, public->nlen);

	if (len == 0 || len > sizeof(n) || modulus(n, own) != len)
		return false;
	struct tls_bytes ours = number(n, len);
	return ours.len == theirs.len && memcmp(ours.at, theirs.at, ours.len) == 0;
}

/* Whether the key is that of the leaf, and strong. */
static enum tls_fault key_check(struct tls_config *c)
{
	br_x509_decoder_context x;
	enum tls_fault fault = cert_decode(&x, (struct tls_bytes){ c->chain->data, c->chain->data_len });
	const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&c->key);
	const br_ec_private_key *ec = br_skey_decoder_get_ec(&c->key);

	if (fault != TLS_FAULT_OK)
		return fault;
	const br_x509_pkey *key = br_x509_decoder_get_pkey(&x);
	c->issuer_key = (unsigned)br_x509_decoder_get_signer_key_type(&x);
	if (public_key_check(key) != TLS_FAULT_OK)
		return TLS_FAULT_WEAK_KEY;
	if (key->key_type == BR_KEYTYPE_EC ? ec && ec_matches(ec, &key->key.ec) :
	                                     rsa && rsa_matches(rsa, &key->key.rsa))
		return TLS_FAULT_OK;
	return TLS_FAULT_KEY_MISMATCH;
}

/* How many certificates there are, and room for an array of them. */
static enum tls_fault array_take(struct tls_config *c, struct tls_bytes file, size_t size,
                                 void *array, unsigned *nth)
{
	enum tls_fault fault = tls_file_each(file, TLS_PEM_CERTIFICATE, nth, nothing_take, NULL);
	void *at = fault == TLS_FAULT_OK ? tls_take(&c->common, *nth * size) : NULL;

	memcpy(array, &at, sizeof(at));
	return fault == TLS_FAULT_OK && !at ? TLS_FAULT_INTERNAL : fault;
}

static bool credentials_read(struct tls_config *c, const struct tls_settings *set,
                             struct tls_problem *p)
{
	p->object = "ca";
	if (set->ca.len > 0) {
		p->fault = array_take(c, set->ca, sizeof(*c->anchors), &c->anchors, &p->nth);
		if (p->fault == TLS_FAULT_OK)
			p->fault = tls_file_each(set->ca, TLS_PEM_CERTIFICATE, &p->nth, anchor_take, c);
		if (p->fault != TLS_FAULT_OK)
			return false;
	}
	if (set->certificate.len == 0)
		return true;
	p->object = "certificate";
	p->fault = array_take(c, set->certificate, sizeof(*c->chain), &c->chain, &p->nth);
	if (p->fault == TLS_FAULT_OK)
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

struct tls_config *tls_config_open(const struct tls_settings *set, struct tls_problem *problem)
{
	/* What is kept of a certificate is less than its PEM; a page is for what surrounds it. */
	size_t more = 2 * (set->ca.len + set->certificate.len) + 4096;

	if (set->tls13) {
		*problem = (struct tls_problem){ TLS_FAULT_NO_TLS, "min-version", 0 };
		return NULL;
	}
	struct tls_config *c = tls_common_open(set, sizeof(*c), more,
	                                       sizeof(struct tls_kept_session), problem);
	if (c && !credentials_read(c, set, problem)) {
		tls_common_free(&c->common);
		return NULL;
	}
	return c;
}

void tls_config_close(struct tls_config *c)
{
	if (c && tls_common_last(&c->common))
		tls_common_free(&c->common);
}
