/* SPDX-License-Identifier: MIT */
/*
 * Files of certificates and keys, and the certificates in them. Each object is no longer than what
 * it was made of; what is read of a certificate lies within it, and is the same when it is read
 * again; no certificate is for the empty name.
 */
/* LINK: tproxy/tls_pem.c tproxy/tls_der.c */
#include "tests/fuzz/fuzz.h"
#include "tproxy/tls_der.h"
#include "tproxy/tls_pem.h"

static void within(struct tls_bytes part, struct tls_bytes whole)
{
	const char *at = part.at, *from = whole.at;

	must(!at || (at >= from && part.len <= whole.len - (size_t)(at - from)));
}

static void certificate(const uint8_t *at, size_t len)
{
	struct tls_bytes der = { fuzz_copy(at, len), len };
	struct tls_der_cert cert, again;
	char peer[TLS_PEER_SIZE];
	bool fine = tls_der_cert(&cert, der);

	must(tls_der_cert(&again, der) == fine);
	if (fine) {
		within(cert.issuer, der);
		within(cert.subject, der);
		within(cert.key, der);
		within(cert.alt_names, der);
		within(cert.purposes, der);
		tls_der_peer(&cert, peer);
		must(strlen(peer) < sizeof(peer));
		must(!tls_der_names(&cert, ""));
		(void)tls_der_purpose(&cert, true);
		must(tls_der_self_issued(&cert) == tls_der_self_issued(&again));
	}
	free((void *)der.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *file = fuzz_copy(data, len), *to = malloc(len > 0 ? len : 1);
	struct tls_bytes rest = { file, len };
	enum tls_pem_kind kind;
	long n;

	if (!to)
		abort();
	certificate(data, len);
	for (size_t before = len; (n = tls_pem_next(&rest, &kind, to)) > 0; before = rest.len) {
		must((size_t)n <= len && rest.len < before);
		within(rest, (struct tls_bytes){ file, len });
		if (kind == TLS_PEM_CERTIFICATE || kind == TLS_PEM_DER)
			certificate(to, (size_t)n);
	}
	must(n == 0 || n == -1);
	free(file);
	free(to);
	return 0;
}
