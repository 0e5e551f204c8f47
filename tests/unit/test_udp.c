/* SPDX-License-Identifier: MIT */
/* init/udp.c: which boxes of sources and destinations UDP services make, and that none overlap. */
/* LINK: init/set.c init/message.c rules/addr.c */
#include "init/udp.c"

#include <stdlib.h>

#include "init/ruleset.h"

#include "capture_policy.h"

struct service { uint16_t port; const char *addresses, *clients, *end; };

static void lines(bool v4, char *text, size_t room)
{
	struct udp_list l;

	udp_list_init(&l, &fake.policy, v4);
	text[0] = '\0';
	for (size_t i = 0; i < l.n; i++) {
		char one[SET_TEXT];

		set_format(v4 ? SET_KEY_UDP4 : SET_KEY_UDP6, &l.v[i], one);
		assert_true(strlen(text) + strlen(one) + 3 < room);
		strcat(strcat(text, text[0] ? ", " : ""), one);
	}
	udp_list_fini(&l);
}

static const struct { struct service s[4]; const char *v4, *v6; } rows[] = {
	{{{0, NULL, NULL, NULL}}, "", ""},
	{{{123, NULL, NULL, NULL}}, "", ""},
	{{{123, "192.0.2.1", NULL, NULL}}, "0.0.0.0/0 . 192.0.2.1 . 123", ""},
	{{{123, "2001:db8::1", NULL, NULL}}, "", "::/0 . 2001:db8::1 . 123"},
	{{{123, "192.0.2.1 2001:db8::1", NULL, NULL}}, "0.0.0.0/0 . 192.0.2.1 . 123", "::/0 . 2001:db8::1 . 123"},
	{{{123, NULL, NULL, "192.0.2.9"}}, "0.0.0.0/0 . 192.0.2.9 . 123", ""},
	/* a service for clients of one family is not for any of the other */
	{{{123, "192.0.2.1 2001:db8::1", "10.0.0.0/8", NULL}}, "10.0.0.0/8 . 192.0.2.1 . 123", ""},
	{{{123, "192.0.2.1 2001:db8::1", "::/0", NULL}}, "", "::/0 . 2001:db8::1 . 123"},
	{{{123, "192.0.2.1", "10.0.0.0/8 11.0.0.0/8", NULL}}, "10.0.0.0/7 . 192.0.2.1 . 123", ""},
	{{{123, "192.0.2.1", "0.0.0.0/1 128.0.0.0/1", NULL}}, "0.0.0.0/0 . 192.0.2.1 . 123", ""},
	{{{123, "192.0.2.1", "255.255.255.255", NULL}}, "255.255.255.255 . 192.0.2.1 . 123", ""},
	{{{123, "::/0", "ffff::/16", NULL}}, "", "ffff::/16 . ::/0 . 123"},
	/* destinations that lie in one another, touch, or are apart */
	{{{123, "192.0.2.0/24 192.0.2.7", NULL, NULL}}, "0.0.0.0/0 . 192.0.2.0/24 . 123", ""},
	{{{123, "192.0.2.0/25 192.0.2.128/25", NULL, NULL}}, "0.0.0.0/0 . 192.0.2.0/24 . 123", ""},
	{{{123, "0.0.0.0/0 192.0.2.1 255.255.255.255", NULL, NULL}}, "0.0.0.0/0 . 0.0.0.0/0 . 123", ""},
	{{{123, "192.0.2.1", NULL, NULL}, {124, "192.0.2.1", NULL, NULL}},
	 "0.0.0.0/0 . 192.0.2.1 . 123, 0.0.0.0/0 . 192.0.2.1 . 124", ""},
	{{{123, "192.0.2.1", NULL, NULL}, {123, "192.0.2.1", NULL, NULL}}, "0.0.0.0/0 . 192.0.2.1 . 123", ""},
	/* two services whose boxes would cross: the wider clients' has the narrower destination */
	{{{123, "192.0.2.7", NULL, NULL}, {123, "192.0.2.0/24", "10.0.0.0/8", NULL}},
	 "10.0.0.0/8 . 192.0.2.0/24 . 123, 0.0.0.0-9.255.255.255 . 192.0.2.7 . 123, "
	 "11.0.0.0-255.255.255.255 . 192.0.2.7 . 123", ""},
	{{{123, "192.0.2.7", "10.0.0.0/8", NULL}, {123, "192.0.2.7", "10.1.0.0/16", NULL}}, "10.0.0.0/8 . 192.0.2.7 . 123", ""},
};

static void test_boxes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[1024];

		fake_clear();
		for (int j = 0; j < 4 && rows[i].s[j].port != 0; j++)
			fake_service(rows[i].s[j].port, rows[i].s[j].addresses, rows[i].s[j].clients, rows[i].s[j].end);
		lines(true, text, sizeof(text));
		if (strcmp(text, rows[i].v4) != 0)
			fail_msg("row %zu: %s, not %s", i, text, rows[i].v4);
		lines(false, text, sizeof(text));
		if (strcmp(text, rows[i].v6) != 0)
			fail_msg("row %zu: %s, not %s", i, text, rows[i].v6);
	}
}

/* Only UDP ports count, synthetic addresses do not, and endpoints have ports of their own. */
static void test_kinds(void **state)
{
	struct policy_service *s;
	char text[256];

	(void)state;
	fake_clear();
	fake_service(123, "192.0.2.1", NULL, NULL);
	fake.port[0].protocol = POLICY_PROTO_TCP;
	assert_false(udp_is_used(&fake.policy));
	lines(true, text, sizeof(text));
	assert_string_equal(text, "");
	fake.port[0].protocol = POLICY_PROTO_UDP;
	assert_true(udp_is_used(&fake.policy));
	fake.service[0].auto_address = true;
	lines(true, text, sizeof(text));
	assert_string_equal(text, "");
	s = fake_service(5683, NULL, NULL, "192.0.2.9");
	fake.port[1].target = 5684;
	lines(true, text, sizeof(text));
	assert_string_equal(text, "0.0.0.0/0 . 192.0.2.9 . 5684");
	fake.endpoint[0].port = 5700;
	lines(true, text, sizeof(text));
	assert_string_equal(text, "0.0.0.0/0 . 192.0.2.9 . 5700");
	fake.endpoint[0].name = "a.example";
	lines(true, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(s->endpoints.n, 1);
}

/* Drawn services: each packet is in as many boxes as it should be, that is, in one or none. */
static void test_drawn(void **state)
{
	static const char *const clients[] = {NULL, "0.0.0.0/0", "0.0.0.0/1", "0.0.0.4/31", "0.0.0.0/29 128.0.0.0/1", "0.0.0.2"};
	static const char *const to[] = {"0.0.0.0/30", "0.0.0.1", "0.0.0.2/31 0.0.0.6", "0.0.0.0/29", "0.0.0.3 0.0.0.4", "0.0.0.7"};
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct udp_list l;

		fake_clear();
		for (int i = 0; i < 4; i++) {
			seed = seed * 1103515245 + 12345;
			fake_service((uint16_t)(1 + (seed >> 28 & 1)), to[(seed >> 16) % 6], clients[(seed >> 20) % 6], NULL);
		}
		udp_list_init(&l, &fake.policy, true);
		for (unsigned n = 0; n < 9 * 9 * 2; n++) {
			struct addr from = lowest4, dst = lowest4;
			uint16_t port = (uint16_t)(1 + n % 2);
			size_t in = 0;
			bool should = false;

			from.b[15] = (uint8_t)(n / 2 % 9);
			dst.b[15] = (uint8_t)(n / 18);
			for (uint32_t i = 0; i < 4; i++)
				for (uint32_t j = 0; j < fake.service[i].cidrs.n; j++)
					should |= fake.port[i].number == port && policy_service_serves(&fake.policy, i, &from) &&
						  cidr_contains(&fake.cidr[fake.service[i].cidrs.first + j], &dst);
			for (size_t i = 0; i < l.n; i++)
				in += from.b[15] >= l.v[i].first[3] && (l.v[i].last[0] > 0 || from.b[15] <= l.v[i].last[3]) &&
				      l.v[i].first[0] == 0 && dst.b[15] >= l.v[i].first[7] && dst.b[15] <= l.v[i].last[7] &&
				      l.v[i].first[9] == port;
			assert_int_equal(in, should);
		}
		udp_list_fini(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boxes),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
