/* SPDX-License-Identifier: MIT */
/* The look-ups: what the model says is found, by name, address and port, and at what cost. */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/pool.c rules/port_table.c */
/* LINK: rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "rules/format.h"

/* How often policy.c reads a word: what a look-up costs, without a clock. */
static unsigned long words_read;

static inline uint32_t count_le32(const uint8_t *p)
{
	words_read++;
	return get_le32(p);
}

#define get_le32 count_le32
#include "rules/policy.c"
#undef get_le32

#include "policy_model.h"

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % n;
}

static void fill_hosts(struct model *m, size_t n)
{
	struct model_service *s;
	char name[64];

	model_init(m);
	s = push_service(m, "hosts", POLICY_DNS);
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "h%06zu.site%03zu.local", i, i % 1000);
		push_host(&s->hosts, name);
	}
}

static void test_find_host(void **state)
{
	/*
	 * Each row: a name, then the keys it matches in order, as {service, key}. "db" is 1, "web"
	 * is 3 ("any" 0, "queue" 2).
	 */
	static const struct { const char *name; const char *keys[5]; } rows[] = {
		{"www.example.com", {"www.example.com", ".example.com", "", NULL}},
		{"db.example.com", {"db.example.com", ".example.com", "", NULL}},
		{"a.example.com", {".example.com", "", NULL}},
		{"a.b.example.com", {".example.com", "", NULL}},
		{"a.www.example.com", {".example.com", "", NULL}},
		{"example.com", {"", NULL}},
		{"evilexample.com", {"", NULL}},
		{"www.example.com.evil", {"", NULL}},
		{"com", {"", NULL}},
	};
	struct model m;
	struct policy_error e;
	struct policy p;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t at = 0;

		for (const char *const *key = rows[i].keys; *key != NULL; key++) {
			const uint8_t *found;
			struct policy_list l = policy_find_host(&p, rows[i].name,
								strlen(rows[i].name), &at, &found);

			if (l.n == 0 || found[0] != strlen(*key) ||
			    memcmp(found + 1, *key, found[0]) != 0)
				fail_msg("%s does not match *%s", rows[i].name, *key);
			if (strcmp(*key, "www.example.com") == 0)
				assert_true(l.n == 2 && policy_item(l, 0) == 1 &&
					    policy_item(l, 1) == 3);
			else
				assert_true(l.n == 1 &&
					    policy_item(l, 0) ==
						    (strcmp(*key, "db.example.com") == 0 ? 1 : 3));
		}
		/* No more, however often it is asked. */
		assert_int_equal(
			policy_find_host(&p, rows[i].name, strlen(rows[i].name), &at, NULL).n, 0);
		assert_int_equal(
			policy_find_host(&p, rows[i].name, strlen(rows[i].name), &at, NULL).n, 0);
	}
	model_free(&m);
	free(bytes);
}

static void test_find_nothing(void **state)
{
	struct addr a = {{0}};
	struct model m;
	struct policy_error e;
	struct policy p;
	uint32_t at = 0;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_init(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	assert_int_equal(policy_find_host(&p, "a.test", 6, &at, NULL).n, 0);
	assert_int_equal(policy_find_addr(&p, &a).n, 0);
	assert_int_equal(policy_find_port(&p, 80).flags, 0);
	model_free(&m);
	free(bytes);
}

/*
 * Random policies of few labels and few prefixes, which nest and repeat, against plain searches
 * through the model.
 */
static void random_model(struct model *m)
{
	static const char *const labels[] = {"a", "b", "cc", "d-1", "ex"};
	uint32_t n = 1 + random_below(6);

	model_init(m);
	for (uint32_t i = 0; i < n; i++) {
		char text[64];
		int len = snprintf(text, sizeof(text), "s%u", i);
		struct model_service *s =
			push_service(m, model_text(text, (size_t)len), POLICY_DNS);

		push_port(&s->ports, random_below(2) == 0 ? POLICY_PROTO_HTTP : POLICY_PROTO_TLS,
			  (uint16_t)(1 + random_below(3)), 1);
		push_port(&s->ports, POLICY_PROTO_TCP, (uint16_t)(10 + i), 1);
		if (random_below(2) == 0)
			push_port(&s->ports, POLICY_PROTO_UDP, (uint16_t)(1 + random_below(3)), 1);
		for (uint32_t j = random_below(6); j > 0; j--) {
			size_t at = 0;
			bool twice = false;

			text[0] = '\0';
			if (random_below(3) == 0)
				at = (size_t)sprintf(text, "*.");
			for (uint32_t k = 1 + random_below(3); k > 0; k--)
				at += (size_t)sprintf(text + at, "%s%s", labels[random_below(5)],
						      k > 1 ? "." : "");
			push_host(&s->hosts, random_below(20) == 0 ? "*" : text);
			for (size_t k = 0; k + 1 < s->hosts.n; k++)
				twice |= s->hosts.v[k].len == s->hosts.v[s->hosts.n - 1].len &&
					 memcmp(s->hosts.v[k].key, s->hosts.v[s->hosts.n - 1].key,
						s->hosts.v[k].len) == 0;
			s->hosts.n -= twice;
		}
		for (uint32_t j = random_below(5); j > 0; j--) {
			bool twice = false;

			if (random_below(2) == 0)
				snprintf(text, sizeof(text), "10.%u.%u.0/%u", random_below(2) * 128,
					 random_below(2) * 128, random_below(33));
			else
				snprintf(text, sizeof(text), "%s%x::/%u",
					 random_below(2) == 0 ? "::" : "2001:db8:", random_below(4),
					 random_below(129));
			if (strncmp(text, "::", 2) == 0)
				snprintf(text, sizeof(text), "::/%u", random_below(129));
			push_cidr(&s->addresses, text);
			for (size_t k = 0; k + 1 < s->addresses.n; k++)
				twice |= memcmp(&s->addresses.v[k].cidr,
						&s->addresses.v[s->addresses.n - 1].cidr,
						sizeof(struct cidr)) == 0;
			s->addresses.n -= twice;
		}
	}
}

static bool key_matches(const struct model_host *h, const char *name, size_t len)
{
	if (h->len == 0)
		return true;
	if (h->key[0] == '.')
		return len > h->len && memcmp(name + len - h->len, h->key, h->len) == 0;
	return len == h->len && memcmp(name, h->key, len) == 0;
}

static void check_host(const struct policy *p, const struct model *m, const char *name)
{
	size_t len = strlen(name), matches = 0, found = 0;
	uint32_t at = 0;
	int before = NAME_SIZE;

	for (size_t i = 0; i < m->services.n; i++)
		for (size_t j = 0; j < m->services.v[i].hosts.n; j++)
			matches += key_matches(&m->services.v[i].hosts.v[j], name, len);
	for (;;) {
		const uint8_t *key;
		struct policy_list l = policy_find_host(p, name, len, &at, &key);

		if (l.n == 0)
			break;
		/* Exact first, then ever shorter suffixes. */
		assert_true(key[0] < before);
		before = key[0];
		for (uint32_t i = 0; i < l.n; i++) {
			const struct model_hosts *hosts = &m->services.v[policy_item(l, i)].hosts;
			bool listed = false;

			for (size_t j = 0; j < hosts->n; j++)
				listed |= hosts->v[j].len == key[0] &&
					  memcmp(hosts->v[j].key, key + 1, key[0]) == 0;
			assert_true(listed);
			found++;
		}
	}
	assert_int_equal(found, matches);
}

static void check_addr(const struct policy *p, const struct model *m, const struct addr *a)
{
	struct policy_list l = policy_find_addr(p, a);
	unsigned bits_before = 129;
	uint32_t before = 0, n = 0;

	for (uint32_t i = 0; i < m->services.n; i++) {
		const struct model_cidrs *cidrs = &m->services.v[i].addresses;
		bool in = false;

		for (size_t j = 0; j < cidrs->n; j++)
			in |= cidr_contains(&cidrs->v[j].cidr, a);
		n += in;
	}
	assert_int_equal(l.n, n);
	for (uint32_t i = 0; i < l.n; i++) {
		const struct model_cidrs *cidrs = &m->services.v[policy_item(l, i)].addresses;
		int bits = -1;

		for (size_t j = 0; j < cidrs->n; j++)
			if (cidr_contains(&cidrs->v[j].cidr, a) && cidrs->v[j].cidr.bits > bits)
				bits = cidrs->v[j].cidr.bits;
		assert_true(bits >= 0);
		assert_true((unsigned)bits < bits_before ||
			    ((unsigned)bits == bits_before && policy_item(l, i) > before));
		bits_before = (unsigned)bits;
		before = policy_item(l, i);
	}
}

/* Each service's ports, and what BY_PORT says of all. */
static void check_ports(const struct policy *p, const struct model *m)
{
	for (uint16_t number = 0; number < 20; number++) {
		struct policy_port_info info = policy_find_port(p, number);
		uint8_t udp = 0, other = 0;

		for (uint32_t i = 0; i < m->services.n; i++) {
			const struct model_ports *ports = &m->services.v[i].ports;
			struct policy_port found;
			bool tcp = false;

			for (size_t j = 0; j < ports->n; j++) {
				bool is_udp = ports->v[j].protocol == POLICY_PROTO_UDP;

				if (ports->v[j].number != number)
					continue;
				tcp |= !is_udp;
				*(is_udp ? &udp : &other) = 1;
			}
			assert_int_equal(policy_service_port(p, i, number, &found) >= 0, tcp);
			if (tcp)
				assert_true(found.number == number &&
					    found.protocol != POLICY_PROTO_UDP);
		}
		assert_int_equal((info.flags & POLICY_PORT_UDP) != 0, udp);
		assert_int_equal((info.flags & ~POLICY_PORT_UDP) != 0, other);
	}
}

/* The edges of every prefix and their neighbours. */
static void check_addrs(const struct policy *p, const struct model *m)
{
	for (size_t i = 0; i < m->services.n; i++)
		for (size_t j = 0; j < m->services.v[i].addresses.n; j++) {
			const struct cidr *c = &m->services.v[i].addresses.v[j].cidr;
			struct addr a = c->addr;

			check_addr(p, m, &a);
			for (int k = 15; k >= 0 && a.b[k]-- == 0; k--)
				;
			check_addr(p, m, &a);
			cidr_last(c, &a);
			check_addr(p, m, &a);
			addr_next(&a);
			check_addr(p, m, &a);
		}
}

static void test_find_random(void **state)
{
	static const char *const names[] = {
		"a",
		"b",
		"ex",
		"a.b",
		"b.a",
		"cc.a",
		"ex.d-1",
		"a.a.a",
		"cc.b.ex",
		"a.b.cc.d-1",
		"z.z.z.ex",
		"q",
		"d-1.cc.b.a.ex.a",
	};

	(void)state;
	random_state = 3;
	for (int round = 0; round < 2000; round++) {
		struct model m;
		struct policy_error e;
		struct policy p;
		size_t len;
		uint8_t *bytes;

		random_model(&m);
		bytes = model_bytes(&m, &len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			check_host(&p, &m, names[i]);
		check_addrs(&p, &m);
		check_ports(&p, &m);
		model_free(&m);
		free(bytes);
	}
}

/* A look-up costs a few slots for each label, and no more with many hosts than with few. */
static void test_cost(void **state)
{
	(void)state;
	for (size_t n = 10; n <= 100000; n *= 10) {
		struct model m;
		struct policy_error e;
		struct policy p;
		size_t len;
		uint8_t *bytes;
		unsigned long hits = 0, misses = 0;

		fill_hosts(&m, n);
		bytes = model_bytes(&m, &len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
		for (size_t i = 0; i < 1000; i++) {
			char name[64];
			uint32_t at = 0;
			size_t name_len = (size_t)snprintf(
				name, sizeof(name), "h%06zu.site%03zu.local", i % n, i % n % 1000);
			unsigned long before = words_read;

			assert_int_equal(policy_find_host(&p, name, name_len, &at, NULL).n, 1);
			hits += words_read - before;
			name[0] = 'x';
			at = 0;
			before = words_read;
			assert_int_equal(policy_find_host(&p, name, name_len, &at, NULL).n, 0);
			/* Four keys: the name, two suffixes, "*". */
			assert_true(words_read - before <= 4ul * p.probes);
			misses += words_read - before;
		}
		/*
		 * Two thirds full: two slots to find a key, five to miss one, eight where a name
		 * falls badly; and two words for the list.
		 */
		if (hits > 1000 * (3 + 2) || misses > 1000 * 4 * 8)
			fail_msg("%zu hosts: %lu words a thousand hits, %lu a thousand misses", n,
				 hits, misses);
		assert_true(p.probes <= 32);
		model_free(&m);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_host),
		cmocka_unit_test(test_find_nothing),
		cmocka_unit_test(test_find_random),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
