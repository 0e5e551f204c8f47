/* SPDX-License-Identifier: MIT */
/* PEM and DER files, row by row; each input ends where its memory ends. */
/* LINK: tproxy/tls_pem.c tproxy/tls_der.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/tls_pem.h"

#define CERT "-----BEGIN CERTIFICATE-----\n"
#define END_CERT "-----END CERTIFICATE-----\n"
#define KEY "-----BEGIN PRIVATE KEY-----\n"
#define END_KEY "-----END PRIVATE KEY-----\n"

struct object {
	enum tls_pem_kind kind;
	const char *bytes; /* NULL: not looked at */
};

static const struct row {
	const char *file;
	int n; /* objects before the end; then the last answer */
	struct object objects[3];
	long last;
} rows[] = {
	{ "", 0, { { 0 } }, 0 },
	{ "nothing here\n", 0, { { 0 } }, 0 },
	{ CERT "TWFu\n" END_CERT, 1, { { TLS_PEM_CERTIFICATE, "Man" } }, 0 },
	{ CERT "TWE=\n" END_CERT, 1, { { TLS_PEM_CERTIFICATE, "Ma" } }, 0 },
	{ CERT "TQ==\n" END_CERT, 1, { { TLS_PEM_CERTIFICATE, "M" } }, 0 },
	{ CERT "T\nW\nF\nu\n" END_CERT, 1, { { TLS_PEM_CERTIFICATE, "Man" } }, 0 },
	{ CERT "TWFuTWFu  \r\n" END_CERT, 1, { { TLS_PEM_CERTIFICATE, "ManMan" } }, 0 },
	{ "text\n" CERT "TWFu\n" END_CERT "text\n" KEY "TWE=\n" END_KEY "text", 2,
	  { { TLS_PEM_CERTIFICATE, "Man" }, { TLS_PEM_KEY, "Ma" } }, 0 },
	{ CERT "TWFu\n-----END CERTIFICATE-----", 1, { { TLS_PEM_CERTIFICATE, "Man" } }, 0 },
	{ "-----BEGIN EC PARAMETERS-----\nanything at all\n-----END EC PARAMETERS-----\n" KEY
	  "TWFu\n" END_KEY, 2, { { TLS_PEM_OTHER, NULL }, { TLS_PEM_KEY, "Man" } }, 0 },
	{ "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nTWFu\n"
	  "-----END RSA PRIVATE KEY-----\n", 1, { { TLS_PEM_OTHER, NULL } }, 0 },
	/* damaged */
	{ CERT "TWFu\n", 0, { { 0 } }, -1 },
	{ CERT "TWF\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "TW!u\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "TW u\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "T===\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "====\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "TQ=u\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "TQ==TWFu\n" END_CERT, 0, { { 0 } }, -1 },
	{ CERT "TR==\n" END_CERT, 0, { { 0 } }, -1 }, /* bits that are none of the byte's */
	{ CERT END_CERT, 0, { { 0 } }, -1 },
	{ CERT "TWFu\n" END_KEY, 0, { { 0 } }, -1 },
	{ CERT CERT "TWFu\n" END_CERT, 0, { { 0 } }, -1 },
	{ " " CERT "TWFu\n" END_CERT, 0, { { 0 } }, 0 },
	/* DER, its length in one byte or more */
	{ "\x30\x02hi", 1, { { TLS_PEM_DER, "\x30\x02hi" } }, 0 },
	{ "\x30\x02hi\x30\x01x", 2, { { TLS_PEM_DER, "\x30\x02hi" }, { TLS_PEM_DER, "\x30\x01x" } },
	  0 },
	{ "\x30\x03hi", 0, { { 0 } }, -1 },
	{ "\x30", 0, { { 0 } }, -1 },
	{ "\x30\x80hi", 0, { { 0 } }, -1 },
	{ "\x30\x81\x02hi", 0, { { 0 } }, -1 },
	{ "\x30\x84\x01\x01\x01\x01hi", 0, { { 0 } }, -1 },
};

static struct guard guard;

static void check_row(const struct row *r)
{
	size_t len = strlen(r->file);
	struct tls_bytes rest = { guard_copy(&guard, r->file, len), len };
	uint8_t *to = malloc(len + 1);
	enum tls_pem_kind kind;
	long got;

	assert_non_null(to);
	for (int k = 0; k < r->n; k++) {
		got = tls_pem_next(&rest, &kind, to);
		assert_true(got > 0);
		assert_int_equal(kind, r->objects[k].kind);
		if (r->objects[k].bytes) {
			assert_int_equal(got, strlen(r->objects[k].bytes));
			assert_memory_equal(to, r->objects[k].bytes, (size_t)got);
		}
	}
	assert_int_equal(tls_pem_next(&rest, &kind, to), r->last);
	free(to);
}

static void test_rows(void **state)
{
	(void)state;
	guard_init(&guard, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("# row %zu\n", i);
		check_row(&rows[i]);
	}
	guard_fini(&guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
