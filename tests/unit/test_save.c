/* SPDX-License-Identifier: MIT */
/* init/save.c: what iptables-save says, in the words of its versions, and what differs. */
#include "init/save.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* LINK: init/message.c rules/addr.c */

struct row { const char *a, *b; };

/* Two ways to write one rule. */
static const struct row same[] = {
	{"-p tcp --dport 22 -j RETURN", "-p tcp --dport 22 -j RETURN"},
	/* order of clauses */
	{"! -i lo -m conntrack --ctstate NEW ! -p tcp -j X",
	 "! -i lo ! -p tcp -m conntrack --ctstate NEW -j X"},
	{"-p ipv6-icmp -m icmp6 --icmpv6-type 133 -m hl --hl-eq 255 -d ff02::/16 -j RETURN",
	 "-d ff02::/16 -p ipv6-icmp -m icmp6 --icmpv6-type 133 -m hl --hl-eq 255 -j RETURN"},
	/* quotes and escapes */
	{"-m comment --comment \"ports\" -j X", "-m comment --comment ports -j X"},
	{"-m comment --comment \"the proxy's\" -j X", "-m comment --comment \"the proxy\\'s\" -j X"},
	{"-m comment --comment \"ports = *\" -j X", "-m  comment --comment \"ports = *\"  -j X "},
	/* what is written or not */
	{"-p tcp -m tcp -j X", "-p tcp -j X"},
	{"-d 0.0.0.0/0 -j X", "-j X"},
	{"-d ::/0 -j X", "-j X"},
	{"-j X -m udp", "-j X"},
	/* addresses */
	{"-d 2001:db8:0:1:1:1:1:1/128 -j X", "-d 2001:db8::1:1:1:1:1/128 -j X"},
	{"-m iprange --dst-range 2001:db8:0:0::1-2001:db8::0:5 -j X",
	 "-m iprange --dst-range 2001:db8::1-2001:db8::5 -j X"},
	{"", ""},
};

/* Rules that must not be taken for one another. */
static const struct row other[] = {
	{"-j RETURN", "-j ACCEPT"},
	{"-j SLUICE_GUARD", "-g SLUICE_GUARD"},
	{"-i lo -j X", "! -i lo -j X"},
	{"-i lo -j X", "-o lo -j X"},
	{"-m mark --mark 0x1 -j X", "-m mark ! --mark 0x1 -j X"},
	{"-m mark --mark 0x1 -j X", "-m mark --mark 0x1/0xf -j X"},
	{"-m mark --mark 0x1 -j X", "-m connmark --mark 0x1 -j X"},
	{"-p tcp -m tcp --dport 22 -j X", "-p tcp -m tcp --dport 22:23 -j X"},
	{"-p tcp -m tcp --dport 22 -j X", "-p tcp -m tcp --sport 22 -j X"},
	{"-p tcp -m tcp --dport 22 -j X", "-p udp -m udp --dport 22 -j X"},
	{"-d 10.0.0.0/8 -j X", "-d 10.0.0.0/9 -j X"},
	{"-d 10.0.0.0/8 -j X", "-s 10.0.0.0/8 -j X"},
	{"-d 10.0.0.0/8 -j X", "! -d 10.0.0.0/8 -j X"},
	{"-d ::/0 -j X", "! -d ::/0 -j X"},
	{"-m tcp -j X", "-m tcp --syn -j X"},
	/* words in quotes are no clauses */
	{"-m comment --comment \"-p tcp\" -j X", "-m comment --comment -p tcp -j X"},
	{"-m comment --comment \"a -j X\"", "-m comment --comment a -j X"},
	{"-m comment --comment \"-j\" X", "-m comment --comment -j X"},
	{"-j X -m limit --limit 1/sec", "-j X"},
	{"-j MARK --set-xmark 0x0/0xffffffff", "-j MARK --set-xmark 0x0/0xff"},
	/* an interface of that name */
	{"-i a -j X", "-i a\2-j\1X"},
	{"-i a -j X", "-i\1a -j X"},
};

static void rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		char *a = canonical(same[i].a), *b = canonical(same[i].b);

		if (strcmp(a, b) != 0)
			fail_msg("%s: not %s", same[i].a, same[i].b);
		free(a);
		free(b);
	}
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		char *a = canonical(other[i].a), *b = canonical(other[i].b);

		if (strcmp(a, b) == 0)
			fail_msg("%s: the same as %s", other[i].a, other[i].b);
		free(a);
		free(b);
	}
}

/* More words than any rule of ours has: as it is written. */
static void long_rules(void **state)
{
	char a[TOKENS * 5 + 8] = "", b[TOKENS * 5 + 8] = "", *canon_a, *canon_b;

	(void)state;
	for (int i = 0; i < TOKENS; i++)
		strcat(a, "-p a ");
	memcpy(b, a, sizeof(a));
	strcat(a, "-j X");
	strcat(b, "-j Y");
	canon_a = canonical(a);
	canon_b = canonical(b);
	assert_string_equal(canon_a, a);
	assert_string_not_equal(canon_a, canon_b);
	free(canon_a);
	free(canon_b);
}

static uint32_t differences(const char *should, const char *is)
{
	uint32_t found[SAVE_TABLES], sum = 0;
	char *texts[2] = {strdup(should), strdup(is)};
	struct save saves[2];

	for (int i = 0; i < 2; i++) {
		assert_non_null(texts[i]);
		save_read(&saves[i], texts[i]);
	}
	save_compare(&saves[0], &saves[1], "test", false, found);
	for (int i = 0; i < SAVE_TABLES; i++)
		sum += found[i];
	for (int i = 0; i < 2; i++) {
		save_fini(&saves[i]);
		free(texts[i]);
	}
	return sum;
}

#define SHOULD                                                                           \
	"*mangle\n:SLUICE_A - [0:0]\n:SLUICE_B - [0:0]\n-A SLUICE_A -p tcp -j RETURN\n" \
	"-A SLUICE_A -g SLUICE_B\n-A SLUICE_B -j DROP\n-I OUTPUT -j SLUICE_B\n"           \
	"-I OUTPUT -j SLUICE_A\nCOMMIT\n"
#define IS                                                                               \
	"# comment\n*raw\n:SLUICE_A - [0:0]\n-A OUTPUT -j SLUICE_A\nCOMMIT\n*mangle\n"    \
	":OUTPUT ACCEPT [0:0]\n:SLUICE_A - [0:0]\n:SLUICE_B - [0:0]\n"
#define RULES "-A SLUICE_A -p tcp -m tcp -j RETURN\n-A SLUICE_A -g SLUICE_B\n"

static const struct { const char *is; uint32_t n; } whole[] = {
	{SHOULD, 0},
	{"", 4}, /* two chains, two jumps */
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES "-A SLUICE_B -j DROP\nCOMMIT\n", 0},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES "-A SLUICE_B -j DROP", 0},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n-A OUTPUT -j MORE\n" RULES
	    "-A SLUICE_B -j DROP\nCOMMIT\n", 0},
	{IS "-A OUTPUT -j FIRST\n-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES
	    "-A SLUICE_B -j DROP\nCOMMIT\n", 2},
	{IS "-A OUTPUT -j SLUICE_B\n-A OUTPUT -j SLUICE_A\n" RULES "-A SLUICE_B -j DROP\nCOMMIT\n", 2},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n-A OUTPUT -j SLUICE_A\n" RULES
	    "-A SLUICE_B -j DROP\nCOMMIT\n", 1},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n-A OTHER -o x -g SLUICE_A\n" RULES
	    "-A SLUICE_B -j DROP\nCOMMIT\n", 1},
	{IS ":SLUICE_C - [0:0]\n-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES
	    "-A SLUICE_B -j DROP\nCOMMIT\n", 1},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES "COMMIT\n", 1},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES "-A SLUICE_B -j ACCEPT\nCOMMIT\n", 2},
	{IS "-A OUTPUT -j SLUICE_A\n-A OUTPUT -j SLUICE_B\n" RULES
	    "-A SLUICE_B -j RETURN\n-A SLUICE_B -j DROP\nCOMMIT\n", 1},
	/* a table that is not ours to read, twice the same table */
	{"*mangle\nCOMMIT\n" SHOULD, 0},
	{"garbage\n-A OUTPUT -j SLUICE_A\n*mangle", 4},
	{"*mangle\n-A\n-A \n:\n: \n*\n-I \n", 4},
};

static void texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		uint32_t n = differences(SHOULD, whole[i].is);

		if (n != whole[i].n)
			fail_msg("row %zu: %u differences, should be %u", i, n, whole[i].n);
	}
}

/* Whatever a program writes is read without harm. */
static void cut(void **state)
{
	(void)state;
	for (size_t len = 0; len <= strlen(SHOULD); len++) {
		char part[sizeof(SHOULD)];

		memcpy(part, SHOULD, len);
		part[len] = '\0';
		(void)differences(SHOULD, part);
		(void)differences(part, SHOULD);
	}
}

static void extensions(void **state)
{
	static const char *const names[] = {"connmark", "CONNMARK", "comment"};
	char *canon = canonical("-m connmark --mark 0x1 -m comment --comment \"-m no\" "
				"-j CONNMARK --set-xmark 0x0/0xffffffff"), name[32];
	const char *p = canon;
	unsigned seen = 0;

	(void)state;
	while ((p = save_extension(p, name, sizeof(name))) != NULL)
		for (unsigned i = 0; i < 3; i++)
			seen += strcmp(name, names[i]) == 0 ? 1u << 4 * i : 0;
	assert_int_equal(seen, 0x111);
	free(canon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(long_rules),
		cmocka_unit_test(texts),
		cmocka_unit_test(cut),
		cmocka_unit_test(extensions),
	};

	return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}
