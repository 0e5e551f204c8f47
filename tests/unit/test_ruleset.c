/* SPDX-License-Identifier: MIT */
/* init/ruleset*.c and init/set.c: which rules there are for every kind of [capture] section, and what their sets hold. */
/* LINK: init/ruleset_pass.c init/ruleset_pod.c init/ruleset_proxy.c init/ruleset_router.c init/udp.c init/message.c rules/addr.c */
#include "init/ruleset.c"
#include "init/set.c"

#include "capture_policy.h"
#include "rules/capture.h"

static const struct ruleset_config config = {.secret = 0x12345678, .uid = 1337, .port = 15001, .egress_hook = true};
static const struct link two_links[] = {{"br0", true, true, ""}, {"eth0", false, true, ""}};

/* ---- sets ---- */

static void test_prefixes(void **state)
{
	static const struct { const char *in[6]; enum set_id set; const char *out; } rows[] = {
		{{"10.0.0.0/8"}, SET_EXCLUDE_IPV4, "10.0.0.0/8"},
		{{"10.0.0.0/8"}, SET_EXCLUDE_IPV6, ""},
		{{"fd00::/8"}, SET_EXCLUDE_IPV4, ""},
		{{"fd00::/8"}, SET_EXCLUDE_IPV6, "fd00::/8"},
		{{"0.0.0.0/0"}, SET_EXCLUDE_IPV4, "0.0.0.0/0"},
		{{"::/0"}, SET_EXCLUDE_IPV6, "::/0"},
		{{"::/0"}, SET_EXCLUDE_IPV4, ""},
		{{"10.0.0.0/8", "10.1.0.0/16"}, SET_EXCLUDE_IPV4, "10.0.0.0/8"},
		{{"10.0.0.0/8", "10.0.0.0/16", "10.255.255.255"}, SET_EXCLUDE_IPV4, "10.0.0.0/8"},
		{{"10.0.0.0/8", "11.0.0.0/8"}, SET_EXCLUDE_IPV4, "10.0.0.0/7"},
		{{"11.0.0.0/8", "12.0.0.0/8"}, SET_EXCLUDE_IPV4, "11.0.0.0-12.255.255.255"},
		{{"10.0.0.0/8", "12.0.0.0/8"}, SET_EXCLUDE_IPV4, "10.0.0.0/8 12.0.0.0/8"},
		{{"192.0.2.1", "192.0.2.2", "192.0.2.4"}, SET_EXCLUDE_IPV4, "192.0.2.1-192.0.2.2 192.0.2.4"},
		{{"255.255.255.254", "255.255.255.255"}, SET_EXCLUDE_IPV4, "255.255.255.254/31"},
		{{"::", "10.0.0.0/8", "2001:db8::/32", "2001:db8:1::/48", "fd00::/8"}, SET_EXCLUDE_IPV6, ":: 2001:db8::/32 fd00::/8"},
		{{"::", "10.0.0.0/8", "2001:db8::/32", "2001:db8:1::/48", "fd00::/8"}, SET_EXCLUDE_IPV4, "10.0.0.0/8"},
		{{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, SET_EXCLUDE_IPV6,
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512] = "", one[SET_TEXT];
		struct ruleset r = {0};
		struct element e;
		uint32_t at = 0;

		fake_clear();
		for (int j = 0; j < 6 && rows[i].in[j] != NULL; j++)
			fake_cidr(rows[i].in[j]);
		r.capture = fake.capture;
		while (set_next(&r, rows[i].set, &at, &e)) {
			set_format(sets[rows[i].set].key, &e, one);
			strcat(strcat(text, text[0] ? " " : ""), one);
		}
		if (strcmp(text, rows[i].out) != 0)
			fail_msg("row %zu: %s, not %s", i, text, rows[i].out);
	}
}

static void test_formats(void **state)
{
	static const struct { enum set_key key; uint8_t first[SET_KEY_MAX], last[SET_KEY_MAX]; const char *text; } rows[] = {
		{SET_KEY_PORT, {0, 80}, {0, 80}, "80"},
		{SET_KEY_PORT, {0, 1}, {255, 255}, "1-65535"},
		{SET_KEY_UID, {0xff, 0xff, 0xff, 0xfe}, {0xff, 0xff, 0xff, 0xfe}, "4294967294"},
		{SET_KEY_GID, {0, 0, 0, 0}, {0, 0, 3, 232}, "0-1000"},
		{SET_KEY_ICMPV6, {143}, {143}, "143"},
		{SET_KEY_IFNAME, "fifteen-letters", "fifteen-letters", "fifteen-letters"},
		{SET_KEY_IPV4, {10, 0, 0, 1}, {10, 0, 255, 255}, "10.0.0.1-10.0.255.255"},
		{SET_KEY_IPV4, {10, 0, 1, 0}, {10, 0, 2, 255}, "10.0.1.0-10.0.2.255"},
		{SET_KEY_IPV4, {10, 0, 2, 0}, {10, 0, 3, 255}, "10.0.2.0/23"},
		{SET_KEY_IPV4, {0, 0, 0, 0}, {127, 255, 255, 255}, "0.0.0.0/1"},
		{SET_KEY_IPV6, {0x20, 0x01}, {0x20, 0x01}, "2001::"},
		{SET_KEY_UDP4, {10, 0, 0, 0, 192, 0, 2, 1, 0, 123}, {10, 255, 255, 255, 192, 0, 2, 1, 0, 123},
		 "10.0.0.0/8 . 192.0.2.1 . 123"},
		{SET_KEY_UDP4, {0, 0, 0, 0, 192, 0, 2, 1, 1, 0}, {255, 255, 255, 254, 192, 0, 2, 2, 1, 0},
		 "0.0.0.0-255.255.255.254 . 192.0.2.1-192.0.2.2 . 256"},
		{SET_KEY_UDP6, {0xfd, [16] = 0x20, 0x01, [33] = 53}, {0xfd, [15] = 1, 0x20, 0x01, [33] = 53},
		 "fd00::/127 . 2001:: . 53"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[SET_TEXT];
		struct element e;

		memcpy(e.first, rows[i].first, SET_KEY_MAX);
		memcpy(e.last, rows[i].last, SET_KEY_MAX);
		set_format(rows[i].key, &e, text);
		if (strcmp(text, rows[i].text) != 0)
			fail_msg("row %zu: %s, not %s", i, text, rows[i].text);
	}
}

static void test_names(void **state)
{
	struct ruleset r = {0};
	struct element e;
	uint32_t at = 0;

	(void)state;
	fake_clear();
	fake_name("eth1");
	fake_name("fifteen-letters");
	r.capture = fake.capture;
	assert_true(set_next(&r, SET_EXCLUDE_INTERFACES, &at, &e));
	assert_memory_equal(e.first, "eth1\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_true(set_next(&r, SET_EXCLUDE_INTERFACES, &at, &e));
	assert_memory_equal(e.first, "fifteen-letters", 16);
	assert_false(set_next(&r, SET_EXCLUDE_INTERFACES, &at, &e));
}

/* ---- what is refused ---- */

static void test_refused(void **state)
{
	static struct link many[RULESET_LINKS + 1];
	static const struct { int scope, method; const char *name, *inside; uint32_t links; const char *why; } rows[] = {
		{POLICY_SCOPE_ROUTER, 0, "eth0", NULL, 1, "interfaces: a router's scope takes some"},
		{POLICY_SCOPE_BOTH, 0, "eth0", NULL, 1, "interfaces: a router's scope takes some"},
		{POLICY_SCOPE_BOTH, 0, "eth0", "sixteen-letters!", 1, "interfaces: a name is too long"},
		{POLICY_SCOPE_BOTH, 0, "eth0", "fifteen-letters", 1, NULL},
		{POLICY_SCOPE_ROUTER, 0, "eth0", "br-lan", 1, NULL},
		{7, 0, "eth0", "br-lan", 1, "scope"},
		{0, 2, "eth0", NULL, 1, "method"},
		{0, 0, "sixteen-letters!", NULL, 1, "exclude-interfaces"},
		{0, 0, "eth0", NULL, RULESET_LINKS + 1, "256 interfaces"},
		{0, 0, "eth0", NULL, RULESET_LINKS, NULL},
		{0, 0, "fifteen-letters", NULL, 1, NULL},
		/* of a router's own packets none are judged, so it has no egress chains */
		{POLICY_SCOPE_ROUTER, 0, "eth0", "br-lan", RULESET_LINKS + 1, NULL},
	};

	(void)state;
	for (uint32_t i = 0; i <= RULESET_LINKS; i++)
		snprintf(many[i].name, sizeof(many[i].name), "veth%u", i);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ruleset r;
		const char *why;
		int result;

		fake_clear();
		fake.capture.scope = rows[i].scope;
		fake.capture.method = rows[i].method;
		fake_name(rows[i].name);
		if (rows[i].inside != NULL)
			fake_inside(rows[i].inside);
		result = ruleset_init(&r, &fake.policy, &config, many, rows[i].links, &why);
		assert_int_equal(result, rows[i].why == NULL ? 0 : -1);
		if (rows[i].why != NULL && strstr(why, rows[i].why) == NULL)
			fail_msg("row %zu: %s", i, why);
	}
}

/* ---- what holds of every ruleset ---- */

static bool is_verdict(enum item_kind kind)
{
	return kind >= ITEM_REJECT_RESET || kind == ITEM_REDIRECT;
}

static void check_rule(const struct ruleset *r, const struct rule *rule)
{
	size_t n = 0;

	while (n < RULESET_ITEMS && rule->item[n].kind != ITEM_END)
		n++;
	assert_true(n > 0 && n < RULESET_ITEMS); /* so that ITEM_END is there too */
	assert_true(strlen(rule->comment) > 0 && strlen(rule->comment) < 128);
	assert_null(strpbrk(rule->comment, "\"\\\n"));
	assert_true(r->chains[rule->chain].used);
	for (size_t i = 0; i < n; i++) {
		const struct item *item = &rule->item[i];

		/* matches first, a verdict last; what nft takes for a port needs the protocol in front */
		assert_true(i == 0 || item->kind > ITEM_ARP || rule->item[i - 1].kind <= ITEM_ARP);
		assert_true(!is_verdict(item->kind) || i == n - 1);
		if (item->kind == ITEM_DPORT || item->kind == ITEM_DPORT_IN || item->kind == ITEM_TCP_SYN)
			assert_true(i > 0 && rule->item[i - 1].kind == ITEM_L4 && !rule->item[i - 1].not);
		if (item->not)
			assert_true(item->kind == ITEM_IIFNAME || item->kind == ITEM_OIFNAME ||
				    item->kind == ITEM_IIFNAME_IN || item->kind == ITEM_L4);
		if (item->kind == ITEM_JUMP)
			assert_true(item->value < rule->chain && r->chains[item->value].hook == CHAIN_NO_HOOK);
	}
}

static bool accepts_everything(const struct rule *rule)
{
	return rule->item[0].kind == ITEM_ACCEPT ||
	       (rule->item[0].kind > ITEM_ARP && rule->item[1].kind == ITEM_ACCEPT);
}

/* The guard and the egress chains drop by policy and by their last rule, and what they accept is named. */
static void check_containment(const struct ruleset *r)
{
	static const enum chain_id closed[] = {
		CHAIN_GUARD, CHAIN_EGRESS, CHAIN_EGRESS_LOWER, CHAIN_EGRESS_UPPER};
	bool pod = r->capture.scope != POLICY_SCOPE_ROUTER, router = r->capture.scope != POLICY_SCOPE_POD;

	for (size_t c = 0; c < sizeof(closed) / sizeof(closed[0]); c++) {
		const struct rule *last = NULL;

		assert_true(r->chains[closed[c]].drop);
		for (uint32_t i = 0; i < r->n_rules; i++)
			if (r->rules[i].chain == closed[c])
				last = &r->rules[i];
		if (last == NULL)
			continue;
		assert_int_equal(last->item[0].kind, ITEM_COUNTER);
		assert_int_equal(last->item[1].kind, ITEM_DROP);
	}
	for (uint32_t i = 0; i < r->n_rules; i++)
		assert_false(accepts_everything(&r->rules[i]));
	assert_int_equal(r->chains[CHAIN_GUARD].used, pod);
	assert_int_equal(r->chains[CHAIN_GUARD].hook, NF_INET_POST_ROUTING);
	assert_int_equal(r->chains[CHAIN_FORWARD].used, router);
	assert_int_equal(r->chains[CHAIN_SOURCE].used, router);
	assert_true(r->chains[CHAIN_FORWARD].drop);
}

static void check_used(const struct ruleset *r)
{
	bool used[SETS] = {false};

	for (uint32_t i = 0; i < r->n_rules; i++) {
		check_rule(r, &r->rules[i]);
		for (int j = 0; j < RULESET_ITEMS; j++) {
			const struct item *item = &r->rules[i].item[j];

			if (item_is_set(item->kind))
				used[item->value] = true;
			used[SET_UDP_FLOWS4] |= item->kind == ITEM_COUNT_FLOWS4;
			used[SET_UDP_FLOWS6] |= item->kind == ITEM_COUNT_FLOWS6;
		}
	}
	for (int i = 0; i < SETS; i++)
		assert_int_equal(used[i], r->sets[i].used);
}

/* Bits of n: method, udp, other, dns, whether each list has something, dns again, UDP services; and two for the scope. */
enum { EVERY = 3 << 13 };
static void fake_from(unsigned n)
{
	fake_clear();
	fake.capture.scope = n >> 13;
	fake.capture.method = n & 1 ? POLICY_REDIRECT : POLICY_TPROXY;
	fake.capture.udp = n & 2 ? POLICY_ALLOW : POLICY_REJECT;
	fake.capture.other = n & 4 ? POLICY_ALLOW : POLICY_REJECT;
	fake.capture.dns = n & 2048 ? POLICY_CAPTURE : n & 8 ? POLICY_ALLOW : POLICY_REJECT;
	fake.capture.ports = n & 16 ? fake_range(1, 65535) : fake_range(80, 443);
	if (n & 32)
		fake.capture.exclude_ports = fake_range(22, 22);
	if (n & 64)
		fake.capture.exempt_uids = fake_range(1, 2);
	if (n & 128)
		fake.capture.exempt_gids = fake_range(1, 2);
	if (n & 256)
		fake_cidr("10.0.0.0/8");
	if (n & 512)
		fake_cidr("fd00::/8");
	if (n & 1024)
		fake_name("eth0");
	if (n & 4096)
		fake_service(123, n & 8 ? "192.0.2.0/24 2001:db8::/32" : NULL, NULL, NULL);
	if (fake.capture.scope != POLICY_SCOPE_POD)
		fake_inside("br-lan");
}

static void test_every_ruleset(void **state)
{
	uint32_t most = 0;

	(void)state;
	for (unsigned n = 0; n < EVERY; n++) {
		bool pod = n >> 13 != POLICY_SCOPE_ROUTER;
		struct ruleset r;
		const char *why;

		fake_from(n);
		assert_int_equal(ruleset_init(&r, &fake.policy, &config, two_links, 2, &why), 0);
		check_used(&r);
		check_containment(&r);
		assert_int_equal(r.n_links, !pod ? 0 : n & 1024 ? 1 : 2);
		assert_int_equal(r.sets[SET_UDP4].used, (n & 4096) != 0);
		assert_int_equal(r.sets[SET_UDP_STATIC6].used, (n & 4096) != 0 && (n & 8) != 0);
		assert_int_equal(r.chains[CHAIN_DIVERT].used, (n & 1) == 0);
		assert_int_equal(r.sets[SET_PORTS].used, (n & 16) == 0);
		if (r.n_rules > most)
			most = r.n_rules;
		ruleset_fini(&r);
	}
	assert_true(most < RULESET_RULES);
}

/* The secret is in the rules that need it, and conntrack marks never hold it. */
static void test_secret(void **state)
{
	struct ruleset r;
	const char *why;
	int proxy = 0, passed = 0;

	(void)state;
	fake_from(0);
	assert_int_equal(ruleset_init(&r, &fake.policy, &config, two_links, 2, &why), 0);
	for (uint32_t i = 0; i < r.n_rules; i++) {
		for (int j = 0; j < RULESET_ITEMS; j++) {
			const struct item *item = &r.rules[i].item[j];

			if ((item->value & ~3u) != config.secret)
				continue;
			assert_true(item->kind == ITEM_MARK || item->kind == ITEM_SET_MARK);
			proxy += item->value == CAPTURE_MARK_PROXY(config.secret);
			passed += item->value == CAPTURE_MARK_PASS(config.secret);
		}
	}
	assert_int_equal(proxy, 2);
	assert_int_equal(passed, 3);
}

static void test_no_hook(void **state)
{
	struct ruleset_config without = config;
	struct ruleset r;
	const char *why;

	(void)state;
	without.egress_hook = false;
	fake_from(0);
	assert_int_equal(ruleset_init(&r, &fake.policy, &without, two_links, 2, &why), 0);
	assert_int_equal(r.n_links, 0);
	assert_false(r.chains[CHAIN_EGRESS].used || r.chains[CHAIN_EGRESS_UPPER].used);
	assert_int_equal(ruleset_init(&r, &fake.policy, &config, NULL, 0, &why), 0);
	assert_false(r.chains[CHAIN_EGRESS].used || r.chains[CHAIN_EGRESS_UPPER].used);
}

/* Inside is not egress: neither `interfaces` nor the ports of a bridge among them have a chain. */
static void test_inside(void **state)
{
	static const struct link links[] = {
		{"br-lan", true, true, ""}, {"eth0", false, true, ""}, {"lan1", false, true, "br-lan"},
		{"lan2", false, true, "br-lan"}, {"br-wan", true, true, ""}, {"wan1", false, true, "br-wan"},
	};
	static const char *const rest[] = {"eth0", "br-wan", "wan1"};
	struct ruleset r;
	const char *why;

	(void)state;
	fake_from(POLICY_SCOPE_BOTH << 13);
	assert_int_equal(ruleset_init(&r, &fake.policy, &config, links, 6, &why), 0);
	assert_int_equal(r.n_links, 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(r.links[i].name, rest[i]);
	fake_from(0);
	fake_inside("br-lan"); /* scope = pod: nothing is inside */
	assert_int_equal(ruleset_init(&r, &fake.policy, &config, links, 6, &why), 0);
	assert_int_equal(r.n_links, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_ruleset),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_no_hook),
		cmocka_unit_test(test_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
