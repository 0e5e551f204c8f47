/* SPDX-License-Identifier: MIT */
/* The words for why TLS is refused. */
#include <stddef.h>

#include "tproxy/tls_fault.h"

struct words {
	const char *code, *text;
};

static const struct words faults[TLS_FAULTS] = {
	[TLS_FAULT_INTERNAL] = { "tls-internal", "out of memory or randomness" },
	[TLS_FAULT_OK] = { "tls-ok", "no error" },
	[TLS_FAULT_IO] = { "tls-io", "the connection failed" },
	[TLS_FAULT_EOF] = { "tls-eof", "the peer ended the connection in the handshake" },
	[TLS_FAULT_TRUNCATED] = { "tls-truncated", "the connection ended without close_notify" },
	[TLS_FAULT_NOT_TLS] = { "tls-not-tls", "the peer does not speak TLS" },
	[TLS_FAULT_PROTOCOL] = { "tls-protocol", "a message that TLS does not allow there" },
	[TLS_FAULT_OLD_VERSION] = { "tls-old-version", "no version of TLS in common" },
	[TLS_FAULT_NO_CIPHER] = { "tls-no-cipher", "no strong cipher suite in common" },
	[TLS_FAULT_NO_ALPN] = { "tls-no-alpn", "no application protocol in common" },
	[TLS_FAULT_BAD_RECORD] = { "tls-bad-record", "a record is damaged" },
	[TLS_FAULT_RENEGOTIATION] = { "tls-renegotiation", "the peer wants to renegotiate" },
	[TLS_FAULT_NO_CERTIFICATE] = { "tls-no-certificate", "the peer has no certificate" },
	[TLS_FAULT_BAD_CERTIFICATE] = { "tls-bad-certificate", "a certificate cannot be understood" },
	[TLS_FAULT_LARGE_CERTIFICATE] = { "tls-large-certificate", "a certificate is too large" },
	[TLS_FAULT_LONG_CHAIN] = { "tls-long-chain", "more certificates than are looked at" },
	[TLS_FAULT_SELF_SIGNED] = { "tls-self-signed", "the certificate is signed by itself" },
	[TLS_FAULT_UNKNOWN_CA] = { "tls-unknown-ca", "the chain ends at a CA that is not trusted" },
	[TLS_FAULT_MISSING_ISSUER] = { "tls-missing-issuer",
	                               "neither the chain nor the CA bundle has a certificate's issuer" },
	[TLS_FAULT_NOT_CA] = { "tls-not-ca", "an issuer may not issue certificates" },
	[TLS_FAULT_EXPIRED] = { "tls-expired", "a certificate has expired" },
	[TLS_FAULT_NOT_YET_VALID] = { "tls-not-yet-valid", "a certificate is not valid yet" },
	[TLS_FAULT_WRONG_HOST] = { "tls-wrong-host", "the certificate is for other names" },
	[TLS_FAULT_WRONG_PIN] = { "tls-wrong-pin", "the certificate's key is not one that is pinned" },
	[TLS_FAULT_WRONG_USAGE] = { "tls-wrong-usage", "the certificate is for other uses" },
	[TLS_FAULT_WEAK_KEY] = { "tls-weak-key", "a certificate's key is too weak" },
	[TLS_FAULT_WEAK_SIGNATURE] = { "tls-weak-signature",
	                               "a certificate's signature is of a weak or unknown kind" },
	[TLS_FAULT_BAD_SIGNATURE] = { "tls-bad-signature", "a signature does not verify" },
	[TLS_FAULT_NO_TLS] = { "tls-none", "this program was built without it" },
	[TLS_FAULT_MISSING] = { "tls-missing", "missing" },
	[TLS_FAULT_BAD_PEM] = { "tls-bad-pem", "neither PEM nor DER" },
	[TLS_FAULT_BAD_KEY] = { "tls-bad-key", "not an unencrypted RSA or EC key that can be used" },
	[TLS_FAULT_KEY_MISMATCH] = { "tls-key-mismatch", "the key is not the certificate's" },
	[TLS_FAULT_BAD_NAME] = { "tls-bad-name", "not a name that a certificate can hold" },
};

/* What peers say of us most often (RFC 8446 6). */
static const struct {
	unsigned number;
	struct words words;
} alerts[] = {
	{ 10, { "tls-alert-unexpected-message", "the peer: unexpected_message" } },
	{ 40, { "tls-alert-handshake-failure", "the peer: handshake_failure" } },
	{ 42, { "tls-alert-bad-certificate", "the peer: bad_certificate" } },
	{ 43, { "tls-alert-unsupported-certificate", "the peer: unsupported_certificate" } },
	{ 44, { "tls-alert-certificate-revoked", "the peer: certificate_revoked" } },
	{ 45, { "tls-alert-certificate-expired", "the peer: certificate_expired" } },
	{ 46, { "tls-alert-certificate-unknown", "the peer: certificate_unknown" } },
	{ 47, { "tls-alert-illegal-parameter", "the peer: illegal_parameter" } },
	{ 48, { "tls-alert-unknown-ca", "the peer: unknown_ca" } },
	{ 49, { "tls-alert-access-denied", "the peer: access_denied" } },
	{ 70, { "tls-alert-protocol-version", "the peer: protocol_version" } },
	{ 71, { "tls-alert-insufficient-security", "the peer: insufficient_security" } },
	{ 80, { "tls-alert-internal-error", "the peer: internal_error" } },
	{ 112, { "tls-alert-unrecognized-name", "the peer: unrecognized_name" } },
	{ 116, { "tls-alert-certificate-required", "the peer: certificate_required" } },
	{ 120, { "tls-alert-no-application-protocol", "the peer: no_application_protocol" } },
};

static const struct words *fault_words(enum tls_fault f)
{
	static const struct words other = { "tls-alert", "the peer refused" };

	if ((unsigned)f < TLS_FAULTS)
		return &faults[f];
	for (size_t i = 0; i < sizeof(alerts) / sizeof(*alerts); i++)
		if (alerts[i].number + TLS_FAULT_ALERT == (unsigned)f)
			return &alerts[i].words;
	return &other;
}

const char *tls_fault_code(enum tls_fault f)
{
	return fault_words(f)->code;
}

const char *tls_fault_text(enum tls_fault f)
{
	return fault_words(f)->text;
}
