/* SPDX-License-Identifier: MIT */
/* Why TLS is refused: each reason with its code for logs and its text for people. */
#ifndef SLUICE_TPROXY_TLS_FAULT_H
#define SLUICE_TPROXY_TLS_FAULT_H

enum tls_fault {
	TLS_FAULT_INTERNAL = 0, /* memory, randomness, a library that did what it should not */
	TLS_FAULT_OK,
	TLS_FAULT_IO,           /* the socket failed */
	TLS_FAULT_EOF,          /* the peer went away during the handshake */
	TLS_FAULT_TRUNCATED,    /* ... later, without close_notify */
	TLS_FAULT_NOT_TLS,
	TLS_FAULT_PROTOCOL,
	TLS_FAULT_OLD_VERSION,
	TLS_FAULT_NO_CIPHER,
	TLS_FAULT_NO_ALPN,
	TLS_FAULT_BAD_RECORD,
	TLS_FAULT_RENEGOTIATION,
	TLS_FAULT_NO_CERTIFICATE,
	TLS_FAULT_BAD_CERTIFICATE,
	TLS_FAULT_LARGE_CERTIFICATE,
	TLS_FAULT_LONG_CHAIN,
	TLS_FAULT_SELF_SIGNED,
	TLS_FAULT_UNKNOWN_CA,
	TLS_FAULT_MISSING_ISSUER,
	TLS_FAULT_NOT_CA,
	TLS_FAULT_EXPIRED,
	TLS_FAULT_NOT_YET_VALID,
	TLS_FAULT_WRONG_HOST,
	TLS_FAULT_WRONG_PIN,
	TLS_FAULT_WRONG_USAGE,
	TLS_FAULT_WEAK_KEY,
	TLS_FAULT_WEAK_SIGNATURE,
	TLS_FAULT_BAD_SIGNATURE,
	/* Of settings only */
	TLS_FAULT_NO_TLS,       /* built without a library, or with one that cannot do this */
	TLS_FAULT_MISSING,      /* must be there and is not */
	TLS_FAULT_BAD_PEM,
	TLS_FAULT_BAD_KEY,
	TLS_FAULT_KEY_MISMATCH,
	TLS_FAULT_BAD_NAME,
	TLS_FAULTS,
	/* The peer refused: this and the number of its alert (RFC 8446 6). */
	TLS_FAULT_ALERT = 256,
};

const char *tls_fault_code(enum tls_fault f); /* "tls-wrong-host" */
const char *tls_fault_text(enum tls_fault f); /* "the certificate is for other names" */

/* What is wrong with settings. */
struct tls_problem {
	enum tls_fault fault;
	const char *object; /* which of the settings: "ca", "certificate", "private-key", ... */
	unsigned nth;       /* which of its certificates or names, from 1; 0: not one of many */
};

#endif
