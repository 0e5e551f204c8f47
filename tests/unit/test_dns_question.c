/* SPDX-License-Identifier: MIT */
/* What is a question, what is answered with an error, and what is not answered at all. */
/* LINK: rules/name.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/dns_question.c"

#define HEAD(flags, n, rest) "\x12\x34" flags "\0" n rest
#define ONE                  "\1\0\0\0\0\0\0"
#define ONE_EDNS             "\1\0\0\0\0\0\1"
#define QUERY                HEAD("\1\0", ONE, "")
#define QUERY_EDNS           HEAD("\1\0", ONE_EDNS, "")
#define NAME                 "\3Www\7eXample\3ORG\0"
#define A_IN                 "\0\1\0\1"
#define OPT(size, version)   "\0\0\x29" size "\0" version "\x80\0\0\0"
#define RECORD               "\xc0\x0c" A_IN "\0\0\0\1\0\4\1\2\3\4"
#define L63                  "\77abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

#define L60 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwx"

#define DROP DNS_QUESTION_DROP

struct row {
	const char *what, *bytes;
	size_t len;
	int want;
	const char *name;
	uint16_t room;
};

#define ROW(what, bytes, ...) { what, bytes, sizeof(bytes) - 1, __VA_ARGS__ }

static const struct row rows[] = {
	ROW("a question", QUERY NAME A_IN, 0, "www.example.org", 512),
	ROW("with EDNS", QUERY_EDNS NAME A_IN OPT("\x04\xd0", "\0"), 0, "www.example.org", 1232),
	ROW("a small datagram", QUERY_EDNS NAME A_IN OPT("\0\0", "\0"), 0, "www.example.org", 512),
	ROW("a large datagram", QUERY_EDNS NAME A_IN OPT("\xff\xff", "\0"), 0, "www.example.org",
	    1232),
	ROW("700 bytes", QUERY_EDNS NAME A_IN OPT("\x02\xbc", "\0"), 0, "www.example.org", 700),
	ROW("a client subnet",
	    QUERY_EDNS NAME A_IN "\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\1\x18\0\xc0\0\2", 0,
	    "www.example.org", 1232),
	ROW("EDNS version 1", QUERY_EDNS NAME A_IN OPT("\x04\xd0", "\1"), 16, NULL, 1232),
	ROW("another type", QUERY NAME "\xff\x01\0\1", 0, "www.example.org", 512),
	ROW("class ANY", QUERY NAME "\0\1\0\xff", ARES_RCODE_REFUSED, NULL, 512),
	ROW("class CH", QUERY NAME "\0\x10\0\3", ARES_RCODE_REFUSED, NULL, 512),
	ROW("the root", QUERY "\0\0\2\0\1", ARES_RCODE_REFUSED, NULL, 512),
	ROW("a space", QUERY "\3a b\4test\0" A_IN, ARES_RCODE_NXDOMAIN, NULL, 512),
	ROW("a dot in a label", QUERY "\3a.b\4test\0" A_IN, ARES_RCODE_NXDOMAIN, NULL, 512),
	ROW("a NUL in a label", QUERY "\3a\0b\4test\0" A_IN, ARES_RCODE_NXDOMAIN, NULL, 512),
	ROW("bytes above ASCII", QUERY "\2\xc3\xa4\4test\0" A_IN, ARES_RCODE_NXDOMAIN, NULL, 512),
	ROW("an address", QUERY "\003127\1" "0\1" "0\1" "1\0" A_IN, ARES_RCODE_NXDOMAIN, NULL, 512),
	ROW("253 bytes", QUERY L63 L63 L63 "\75" L60 "y\0" A_IN, 0, NULL, 512),
	ROW("254 bytes", QUERY L63 L63 L63 "\76" L60 "yz\0" A_IN, ARES_RCODE_FORMERR, NULL, 512),
	ROW("a response", HEAD("\x81\0", ONE, "") NAME A_IN, DROP, NULL, 0),
	ROW("an update", HEAD("\x29\0", ONE, "") NAME A_IN, ARES_RCODE_NOTIMP, NULL, 512),
	ROW("a notification", HEAD("\x20\0", ONE, "") NAME A_IN, ARES_RCODE_NOTIMP, NULL, 512),
	ROW("no question", HEAD("\1\0", "\0\0\0\0\0\0\0", "") NAME A_IN, ARES_RCODE_FORMERR, NULL, 512),
	ROW("two questions", HEAD("\1\0", "\2\0\0\0\0\0\0", "") NAME A_IN NAME A_IN,
	    ARES_RCODE_FORMERR, NULL, 512),
	ROW("an answer", HEAD("\1\0", "\1\0\1\0\0\0\0", "") NAME A_IN RECORD,
	    ARES_RCODE_FORMERR, NULL, 512),
	ROW("authority", HEAD("\1\0", "\1\0\0\0\1\0\0", "") NAME A_IN RECORD,
	    ARES_RCODE_FORMERR, NULL, 512),
	ROW("additional, not OPT", QUERY_EDNS NAME A_IN RECORD,
	    ARES_RCODE_FORMERR, NULL, 512),
	ROW("two OPTs", HEAD("\1\0", "\1\0\0\0\0\0\2", "") NAME A_IN OPT("\2\0", "\0") OPT("\2\0", "\0"),
	    ARES_RCODE_FORMERR, NULL, 512),
	ROW("OPT with a name", QUERY_EDNS NAME A_IN "\1x" OPT("\2\0", "\0"), ARES_RCODE_FORMERR, NULL,
	    512),
	ROW("OPT cut", QUERY_EDNS NAME A_IN "\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\1",
	    ARES_RCODE_FORMERR, NULL, 512),
	ROW("a pointer to itself", QUERY "\xc0\x0c" A_IN, ARES_RCODE_FORMERR, NULL, 512),
	ROW("a pointer into the header", QUERY "\1a\xc0\x04" A_IN, ARES_RCODE_FORMERR, NULL, 512),
	ROW("a label of 64", QUERY "\100" L63 "x\0" A_IN, ARES_RCODE_FORMERR, NULL, 512),
	ROW("no type", QUERY NAME, ARES_RCODE_FORMERR, NULL, 512),
	ROW("half a class", QUERY NAME "\0\1\0", ARES_RCODE_FORMERR, NULL, 512),
	ROW("no end of the name", QUERY "\3www", ARES_RCODE_FORMERR, NULL, 512),
	ROW("a header", QUERY, ARES_RCODE_FORMERR, NULL, 512),
	ROW("half a header", "\x12\x34\1\0\0\1\0\0\0\0\0", DROP, NULL, 0),
	ROW("nothing", "", DROP, NULL, 0),
};

static struct guard guard;

static void test_row(void **state)
{
	const struct row *r = *state;
	struct dns_question q;
	char name[NAME_SIZE], again[NAME_SIZE];

	int got = dns_question_read(&q, name, guard_copy(&guard, r->bytes, r->len), r->len);
	assert_int_equal(got, r->want);
	if (got == DROP)
		return;
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.room, r->room);
	if (got)
		return;
	if (r->name)
		assert_string_equal(name, r->name);
	assert_int_equal(dns_question_name(&q, again), strlen(name));
	assert_string_equal(again, name);
	/* The case that the client chose goes back to it (0x20). */
	assert_memory_equal(q.wire, r->bytes + DNS_HEADER, q.wire_len);
}

/* Cut anywhere, a question is none. */
static void test_cut(void **state)
{
	static const char whole[] = QUERY_EDNS NAME A_IN OPT("\x04\xd0", "\0");
	struct dns_question q;
	char name[NAME_SIZE];

	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		assert_int_not_equal(dns_question_read(&q, name, guard_copy(&guard, whole, n), n), 0);
}

static void test_flags(void **state)
{
	static const char bytes[] = "\0\1\0\x10\0" ONE NAME A_IN;
	struct dns_question q;
	char name[NAME_SIZE];

	(void)state;
	assert_int_equal(dns_question_read(&q, name, guard_copy(&guard, bytes, sizeof(bytes) - 1),
	                                   sizeof(bytes) - 1), 0);
	assert_false(q.recursion);
	assert_true(q.unchecked);
	assert_false(q.edns);
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + 2];
	int failed;

	guard_init(&guard, 4096);
	for (size_t i = 0; i < ROWS; i++) {
		tests[i].name = rows[i].what;
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_cut);
	tests[ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(test_flags);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&guard);
	return failed;
}
