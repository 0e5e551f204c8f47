/* SPDX-License-Identifier: MIT */
/*
 * rules/emit.c and the tables: what is written is read back, in whatever order it came, and what
 * cannot be written is refused.
 */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "policy_model.h"

/* Of model_full()'s encoding. */
#define FULL_LENGTH 3804
#define FULL_CRC    0xe07ea179

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % n;
}

static void test_round_trip(void **state)
{
	struct model m, again;
	struct policy_error e;
	struct policy p;
	size_t len, len_again;
	uint8_t *bytes, *bytes_again;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	model_read(&again, &p);
	bytes_again = model_bytes(&again, &len_again);
	assert_int_equal(len_again, len);
	assert_memory_equal(bytes_again, bytes, len);
	model_free(&m);
	model_free(&again);
	policy_close(&p);
	free(bytes);
	free(bytes_again);
}

static void check_service_web(const struct policy *p, uint32_t i)
{
	struct policy_endpoint e;
	struct policy_service s;
	struct policy_port port;
	char text[ADDR_TEXT];

	policy_service(p, i, &s);
	assert_string_equal(s.name, "web");
	assert_int_equal(s.resolution, POLICY_DNS);
	assert_int_equal(s.location, POLICY_EXTERNAL);
	assert_int_equal(s.enforcement, POLICY_AUDIT);
	assert_true(s.websocket && s.allow_private && s.no_ech);
	assert_true(s.scrub && s.no_alt_svc);
	assert_int_equal(s.alpn.n, 2);
	assert_string_equal(policy_string(p, policy_item(s.alpn, 0)), "h2");
	assert_string_equal(policy_string(p, policy_item(s.alpn, 1)), "http/1.1");
	assert_int_equal(s.n_hosts, 3);
	assert_int_equal(s.first_host[0], 0); /* "*" comes first */
	assert_int_equal(s.ports.n, 4);
	policy_port(p, s.ports.first, &port);
	assert_true(port.number == 80 && port.target == 80 && port.protocol == POLICY_PROTO_HTTP);
	policy_port(p, s.ports.first + 1, &port);
	assert_true(port.number == 443 && port.target == 8443 &&
		    port.protocol == POLICY_PROTO_HTTPS);
	policy_port(p, s.ports.first + 2, &port);
	assert_true(port.number == 443 && port.protocol == POLICY_PROTO_UDP);
	assert_true(policy_service_port(p, i, 443, &port) >= 0 &&
		    port.protocol == POLICY_PROTO_HTTPS);
	assert_true(policy_service_port(p, i, 444, &port) < 0);
	assert_true(policy_service_port(p, i, 79, &port) < 0);
	assert_true(policy_service_port(p, i, 7001, &port) < 0);
	assert_int_equal(s.endpoints.n, 3);
	policy_endpoint(p, s.endpoints.first, &e);
	assert_string_equal(e.name, "b.example.net");
	assert_true(e.port == 0 && e.weight == 3);
	policy_endpoint(p, s.endpoints.first + 1, &e);
	assert_null(e.name);
	assert_string_equal(addr_format(&e.addr, text), "192.0.2.1");
	assert_true(e.port == 8080 && e.weight == 1);
}

static void test_records(void **state)
{
	struct model m;
	struct policy_capture c;
	struct policy_error e;
	struct policy_meta meta;
	struct policy p;
	struct cidr cidr;
	uint32_t first, last;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	policy_meta(&p, &meta);
	assert_string_equal(meta.name, "plant-7");
	assert_string_equal(meta.namespace_, "line-2");
	assert_string_equal(meta.node, "egress");
	assert_string_equal(meta.access_log, "/var/log/sluice.log");
	assert_int_equal(p.sequence, UINT64_C(0x123456789abcdef0));
	assert_true(meta.outbound == POLICY_ALLOW_ANY && meta.enforcement == POLICY_AUDIT &&
		    meta.log_format == POLICY_LOG_JSON);
	assert_int_equal(meta.nameservers.n, 2);
	assert_string_equal(policy_string(&p, policy_item(meta.nameservers, 1)), "2001:db8::53");
	policy_capture(&p, &c);
	assert_true(c.scope == POLICY_SCOPE_BOTH && c.method == POLICY_REDIRECT &&
		    c.udp == POLICY_ALLOW);
	assert_true(c.other == POLICY_ALLOW && c.dns == POLICY_CAPTURE);
	assert_string_equal(policy_string(&p, policy_item(c.interfaces, 0)), "br-lan");
	assert_string_equal(policy_string(&p, policy_item(c.exclude_interfaces, 0)), "tun0");
	assert_int_equal(c.ports.n, 2);
	policy_range(&p, c.ports.first, &first, &last);
	assert_true(first == 80 && last == 80);
	policy_range(&p, c.exempt_gids.first, &first, &last);
	assert_true(first == 65534 && last == UINT32_MAX - 1);
	assert_int_equal(c.exclude_cidrs.n, 2);
	policy_cidr(&p, c.exclude_cidrs.first + 1, &cidr);
	assert_int_equal(cidr.bits, 104);
	assert_int_equal(p.n[FORMAT_SERVICES], 4);
	check_service_web(&p, 3);
	model_free(&m);
	free(bytes);
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

static void test_sizes(void **state)
{
	struct model m;
	size_t len;

	(void)state;
	fill_hosts(&m, 10);
	free(model_bytes(&m, &len));
	assert_true(len <= 4096);
	model_free(&m);
	/* Per host, so that a million of 22 bytes are at most 40 MB. */
	fill_hosts(&m, 20000);
	free(model_bytes(&m, &len));
	assert_true(len <= 20000 * 40);
	model_free(&m);
	model_init(&m);
	free(model_bytes(&m, &len));
	assert_true(len <= 640);
	model_free(&m);
}

#define SHUFFLE(list) \
	for (size_t i_ = (list)->n; i_ > 1; i_--) { \
		size_t j_ = random_below((uint32_t)i_); \
		__typeof__(*(list)->v) kept_ = (list)->v[i_ - 1]; \
		(list)->v[i_ - 1] = (list)->v[j_]; \
		(list)->v[j_] = kept_; \
	}

/* The order of sections and of lists that are sets does not show. */
static void test_order(void **state)
{
	struct model m;
	size_t len, len_again;
	uint8_t *bytes, *again;

	(void)state;
	random_state = 1;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	for (int round = 0; round < 50; round++) {
		SHUFFLE(&m.services);
		SHUFFLE(&m.gateways);
		SHUFFLE(&m.capture.interfaces);
		SHUFFLE(&m.capture.ports);
		SHUFFLE(&m.capture.exempt_uids);
		SHUFFLE(&m.capture.exclude_cidrs);
		for (size_t i = 0; i < m.services.n; i++) {
			SHUFFLE(&m.services.v[i].hosts);
			SHUFFLE(&m.services.v[i].ports);
			SHUFFLE(&m.services.v[i].addresses);
			SHUFFLE(&m.services.v[i].export_to);
		}
		again = model_bytes(&m, &len_again);
		assert_int_equal(len_again, len);
		assert_memory_equal(again, bytes, len);
		free(again);
	}
	model_free(&m);
	free(bytes);
}

/* Ranges that touch or overlap are one. */
static void test_merge(void **state)
{
	static const uint32_t ranges[][2] = {{90, 95}, {80, 80}, {81, 85},       {83, 89},
					     {92, 93}, {97, 97}, {65535, 65535}, {97, 97}};
	struct policy_capture c;
	struct policy_error e;
	struct policy p;
	struct model m;
	uint32_t first, last;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_init(&m);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		push_range(&m.capture.exclude_ports, ranges[i][0], ranges[i][1]);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	policy_capture(&p, &c);
	assert_int_equal(c.exclude_ports.n, 3);
	policy_range(&p, c.exclude_ports.first, &first, &last);
	assert_true(first == 80 && last == 95);
	policy_range(&p, c.exclude_ports.first + 1, &first, &last);
	assert_true(first == 97 && last == 97);
	model_free(&m);
	free(bytes);
}

/* Known bytes, so that every machine that runs this writes the same. */
static void test_same_everywhere(void **state)
{
	struct model m;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(len, FULL_LENGTH);
	assert_int_equal(get_le32(bytes + HEADER_CRC), FULL_CRC);
	model_free(&m);
	free(bytes);
}

/* ---- what cannot be written ---- */

static void add_gateway(struct model *m)
{
	push_gateway(m, "next", POLICY_VIA_PLAIN);
}

static void add_bare_gateway(struct model *m)
{
	push_gateway(m, "a", POLICY_VIA_PLAIN);
}

static void add_subset(struct model *m)
{
	model_push(&m->gateways.v[0].subsets)->name = "half";
}

static void add_server(struct model *m)
{
	push_port(&m->gateways.v[0].servers, POLICY_PROTO_TLS, 80, 80);
}

static void add_udp_server(struct model *m)
{
	push_port(&m->gateways.v[0].servers, POLICY_PROTO_UDP, 53, 53);
}

static void add_targeted_server(struct model *m)
{
	push_port(&m->gateways.v[0].servers, POLICY_PROTO_TLS, 853, 854);
}

static void lose_ca(struct model *m)
{
	m->gateways.v[0].tls.ca = pem_path(NULL);
}

static void lose_key(struct model *m)
{
	m->gateways.v[0].tls.private_key = pem_path(NULL);
}

static void own_via(struct model *m)
{
	m->gateways.v[1].via = POLICY_VIA_TLS; /* the node itself */
	m->gateways.v[1].tls.ca = pem_path("/a.pem");
}

static void spoil_path(struct model *m)
{
	m->gateways.v[0].tls.ca = pem_path("/a;b");
}

static void lose_gateway(struct model *m)
{
	m->routes.v[1].to.v[0].gateway = "nowhere";
}

static void lose_subset(struct model *m)
{
	m->routes.v[0].to.v[0].subset = "third";
}

static void lead_home(struct model *m)
{
	m->routes.v[1].to.v[0].gateway = "egress";
}

static void lose_host(struct model *m)
{
	m->routes.v[0].to.v[3].host = "unlisted.example.com";
	m->routes.v[0].to.v[3].port = 4000; /* db has it, for other hosts */
}

static void lose_port(struct model *m)
{
	m->routes.v[0].to.v[3].port = 444;
}

static void lose_weights(struct model *m)
{
	m->routes.v[0].to.n = 2;
	m->routes.v[0].to.v[0].weight = 0;
}

static void add_weight(struct model *m)
{
	m->routes.v[0].to.v[3].weight++;
}

static void lose_destinations(struct model *m)
{
	m->routes.v[0].to.n = 0;
}

static void lose_hosts(struct model *m)
{
	m->routes.v[1].hosts.n = 0;
}

static void repeat_host(struct model *m)
{
	push_host(&m->routes.v[1].hosts, "db.example.com");
}

static void add_service(struct model *m)
{
	push_port(&push_service(m, "db", POLICY_DNS)->ports, POLICY_PROTO_HTTP, 80, 80);
}

static void add_portless(struct model *m)
{
	push_service(m, "none", POLICY_DNS);
}

static void add_port(struct model *m)
{
	push_port(&m->services.v[0].ports, POLICY_PROTO_TLS, 80, 81);
}

static void add_host(struct model *m)
{
	push_host(&m->services.v[0].hosts, "*.example.com");
}

static void add_cidr(struct model *m)
{
	push_cidr(&m->services.v[1].addresses, "198.51.100.0/24");
}

static void add_taker(struct model *m)
{
	push_port(&push_service(m, "taker", POLICY_DNS)->ports, POLICY_PROTO_TCP, 7000, 7000);
}

static void add_blank(struct model *m)
{
	m->access_log = "/var/log/my sluice.log";
}

static void add_accent(struct model *m)
{
	push_string(&m->capture.interfaces, "b\xc3\xbc" "ro");
}

static void add_key(struct model *m)
{
	*model_push(&m->services.v[0].hosts) =
		(struct model_host){.key = "WWW.example.org", .len = 15};
}

static void add_numeric_key(struct model *m)
{
	*model_push(&m->services.v[0].hosts) = (struct model_host){.key = "10.0.0.1", .len = 8};
}

static void add_light_endpoint(struct model *m)
{
	push_endpoint(&m->services.v[0].endpoints, "192.0.2.2", 0, 0);
}

static void add_heavy_endpoint(struct model *m)
{
	push_endpoint(&m->services.v[0].endpoints, "192.0.2.2", 0, 1000001);
}

static void add_heavy_endpoints(struct model *m)
{
	for (int i = 0; i < 4295; i++)
		push_endpoint(&m->services.v[0].endpoints, "192.0.2.2", 0, 1000000);
}

static bool replace_text(const char **text, const char *good, const char *bad)
{
	if (*text == NULL || strcmp(*text, good) != 0)
		return false;
	*text = bad;
	return true;
}

static bool replace_in(struct model_strings *list, const char *good, const char *bad)
{
	for (size_t i = 0; i < list->n; i++)
		if (replace_text(&list->v[i].s, good, bad))
			return true;
	return false;
}

static void replace_string(struct model *m, const char *good, const char *bad)
{
	bool done = replace_text(&m->name, good, bad) || replace_text(&m->namespace_, good, bad) ||
		    replace_text(&m->node, good, bad) || replace_text(&m->access_log, good, bad) ||
		    replace_in(&m->nameservers, good, bad) ||
		    replace_in(&m->capture.interfaces, good, bad);

	for (size_t i = 0; i < m->services.n; i++) {
		struct model_service *s = &m->services.v[i];

		done = done || replace_text(&s->name, good, bad) ||
		       replace_in(&s->export_to, good, bad);
		for (size_t j = 0; j < s->endpoints.n; j++)
			done = done || replace_text(&s->endpoints.v[j].name, good, bad);
	}
	assert_true(done);
}

/* Strings of every kind that are none. */
static void test_string_kinds(void **state)
{
	static const struct { const char *good, *bad; } rows[] = {
		{"plant-7", "Plant-7"}, {"plant-7", "-plant"}, {"plant-7", "plant-"},
		{"plant-7", "pla.nt"}, {"plant-7", ""},
		{"line-2", "line_2"}, {"line-2", "line--2-"}, {"egress", "eg*ess"},
		{"plant-7", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"/var/log/sluice.log", "stdout"}, {"/var/log/sluice.log", "Off"},
		{"/var/log/sluice.log", ""},
		{"192.0.2.53", "192.0.2.053"}, {"192.0.2.53", "::ffff:192.0.2.53"},
		{"192.0.2.53", "2001:DB8::53"},
		{"192.0.2.53", "dns.example"}, {"wlan0", "wlan/0"}, {"wlan0", "wlan:0"},
		{"wlan0", "."}, {"wlan0", ".."}, {"wlan0", ""},
		{"wlan0", "#wlan0"}, {"wlan0", "wlan0123456789ab"}, {"web", "Web"}, {"web", "w.eb"},
		{"line-3", "Line"}, {"line-3", "**"},
		{"b.example.net", "B.example.net"}, {"b.example.net", ".example.net"},
		{"b.example.net", "10.0.0.1"},
		{"b.example.net", "b.example.net."}, {"b.example.net", "*.example.net"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_error e = {.text = ""};
		struct model m;
		size_t len;

		model_full(&m);
		replace_string(&m, rows[i].good, rows[i].bad);
		if (model_emit(&m, &len, &e) != NULL ||
		    strstr(e.text, "points at a string of another kind") == NULL)
			fail_msg("\"%s\": \"%s\"", rows[i].bad, e.text);
		model_free(&m);
	}
}

static void add_nameservers(struct model *m)
{
	for (int i = 0; i < FORMAT_MAX_NAMESERVERS; i++) {
		char text[ADDR_TEXT];
		int len = snprintf(text, sizeof(text), "192.0.2.%d", 100 + i);

		push_string(&m->nameservers, model_text(text, (size_t)len));
	}
}

static void add_many(struct model *m)
{
	for (int i = 0; i < 256; i++) {
		char text[16];
		int len = snprintf(text, sizeof(text), "s%d", i);
		struct model_service *s =
			push_service(m, model_text(text, (size_t)len), POLICY_DNS);

		push_host(&s->hosts, "shared.example");
		push_port(&s->ports, POLICY_PROTO_HTTP, (uint16_t)(10000 + i), 80);
	}
}

static void add_many_cidrs(struct model *m)
{
	add_many(m);
	for (size_t i = 4; i < m->services.n; i++) {
		m->services.v[i].hosts.n = 0;
		push_cidr(&m->services.v[i].addresses, "203.0.113.0/24");
	}
}

static void test_emit_refuses(void **state)
{
	static const struct { void (*spoil)(struct model *m); const char *text; } rows[] = {
		{add_gateway, "there are two gateways next"},
		{add_bare_gateway, "section GATEWAYS: record 0: points at the empty list"},
		{add_subset, "gateway next has two subsets half"},
		{add_server, "gateway next lists port 80 twice"},
		{add_udp_server, "is not for gateways"},
		{add_targeted_server, "is not for gateways"},
		{lose_ca, "section TLS: record 0: has other keys than it needs"},
		{lose_key, "section TLS: record 0: has other keys than it needs"},
		{own_via, "has other keys than its via needs"},
		{spoil_path, "points at a string of another kind"},
		{lose_gateway, "route db leads to gateway nowhere, which is not there"},
		{lose_subset, "route web leads to subset third of gateway next, which is not"},
		{lead_home, "leads to the node itself"},
		{lose_host, "leads to no service"},
		{lose_port, "leads to no service"},
		{lose_weights, "route web: the weights add up to 0"},
		{add_weight, "not a destination"},
		{lose_destinations, "route web: the weights add up to 0"},
		{lose_hosts, "section ROUTES: record 1: has no hosts"},
		{repeat_host, "section ROUTE_HOSTS: record 4: out of order"},
		{add_service, "there are two services db"},
		{add_portless, "a service without ports"},
		{add_port, "service web lists port 80 twice"},
		{add_host, "service web lists *.example.com twice"},
		{add_cidr, "198.51.100.0/24 is listed twice"},
		{add_taker, "services taker and web both take the whole of port 7000"},
		{add_blank, "not printable ASCII"},
		{add_accent, "not printable ASCII"},
		{add_key, "its name is not a canonical host"},
		{add_numeric_key, "its name is not a canonical host"},
		{add_light_endpoint, "not an endpoint"},
		{add_heavy_endpoint, "not an endpoint"},
		{add_heavy_endpoints, "the weights add up to 2^32 or more"},
		{add_nameservers, "points at a list that is too long"},
		{add_many, "host shared.example is in more than 255 services"},
		{add_many_cidrs, "an address belongs to more than 255 services"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_error e = {.text = ""};
		struct model m;
		size_t len;

		model_full(&m);
		rows[i].spoil(&m);
		assert_null(model_emit(&m, &len, &e));
		if (strstr(e.text, rows[i].text) == NULL)
			fail_msg("\"%s\", not \"%s\"", e.text, rows[i].text);
		model_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_same_everywhere),
		cmocka_unit_test(test_emit_refuses),
		cmocka_unit_test(test_string_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
