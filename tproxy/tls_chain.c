/* SPDX-License-Identifier: MIT */
/* What is asked of a peer's chain beyond what the library asks: dates, names, uses, pins. */
#include <string.h>

#include "tproxy/tls_common.h"

void tls_chain_start(struct tls_chain *chain, const struct tls_common *c, const char *name,
                     int64_t now)
{
	*chain = (struct tls_chain){ .common = c,
		                     .name = name,
		                     .now = now,
		                     .not_after = INT64_MAX,
		                     .fault = TLS_FAULT_NO_CERTIFICATE };
}

static bool named(const struct tls_chain *chain, const struct tls_der_cert *cert)
{
	const struct tls_common *c = chain->common;

	if (c->n_alt_names == 0)
		return c->server || tls_der_names(cert, chain->name);
	for (size_t i = 0; i < c->n_alt_names; i++)
		if (tls_der_names(cert, c->alt_names[i]))
			return true;
	return false;
}

static bool pinned(const struct tls_common *c, const struct tls_der_cert *cert,
                   void (*sha256)(uint8_t out[TLS_PIN_SIZE], struct tls_bytes in))
{
	uint8_t hash[TLS_PIN_SIZE];

	if (c->n_pins == 0)
		return true;
	sha256(hash, cert->key);
	for (size_t i = 0; i < c->n_pins; i++)
		if (memcmp(hash, c->pins[i], TLS_PIN_SIZE) == 0)
			return true;
	return false;
}

/* What any certificate has to be. */
static enum tls_fault cert_fault(struct tls_chain *chain, const struct tls_der_cert *cert)
{
	if (cert->not_after < chain->not_after)
		chain->not_after = cert->not_after;
	if (chain->now < cert->not_before)
		return TLS_FAULT_NOT_YET_VALID;
	return chain->now > cert->not_after ? TLS_FAULT_EXPIRED : TLS_FAULT_OK;
}

static enum tls_fault leaf_fault(const struct tls_chain *chain, const struct tls_der_cert *cert,
                                 void (*sha256)(uint8_t out[TLS_PIN_SIZE], struct tls_bytes in))
{
	if (!named(chain, cert))
		return TLS_FAULT_WRONG_HOST;
	if (!pinned(chain->common, cert, sha256))
		return TLS_FAULT_WRONG_PIN;
	return tls_der_purpose(cert, !chain->common->server) ? TLS_FAULT_OK : TLS_FAULT_WRONG_USAGE;
}

void tls_chain_add(struct tls_chain *chain, struct tls_bytes der,
                   void (*sha256)(uint8_t out[TLS_PIN_SIZE], struct tls_bytes in))
{
	struct tls_der_cert cert = { 0 };
	bool leaf = chain->n++ == 0;
	enum tls_fault fault = TLS_FAULT_OK;

	if (leaf)
		chain->fault = TLS_FAULT_OK;
	if (chain->n > TLS_CHAIN_MAX)
		fault = TLS_FAULT_LONG_CHAIN;
	else if (der.len > TLS_CERT_MAX)
		fault = TLS_FAULT_LARGE_CERTIFICATE;
	else if (!tls_der_cert(&cert, der))
		fault = TLS_FAULT_BAD_CERTIFICATE;
	else
		fault = cert_fault(chain, &cert);
	/* An issuer that may not be one explains more than what comes after it. */
	if (cert.key.len > 0 && chain->untrusted != TLS_FAULT_NOT_CA)
		chain->untrusted = !leaf && !cert.ca           ? TLS_FAULT_NOT_CA :
		                   !tls_der_self_issued(&cert) ? TLS_FAULT_MISSING_ISSUER :
		                   leaf                        ? TLS_FAULT_SELF_SIGNED :
		                                                 TLS_FAULT_UNKNOWN_CA;
	chain->issuer = cert.issuer;
	if (fault == TLS_FAULT_OK && leaf) {
		tls_der_peer(&cert, chain->peer);
		fault = leaf_fault(chain, &cert, sha256);
	}
	if (chain->fault == TLS_FAULT_OK)
		chain->fault = fault;
}
