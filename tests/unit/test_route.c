/* SPDX-License-Identifier: MIT */
/*
 * rules/route.c: Istio's own table of what sidecars do with unknown traffic, and the order of the
 * decision row by row.
 */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "rules/route.c"

#include "policy_model.h"

struct compiled {
	struct model model;
	struct policy policy;
	uint8_t *bytes;
};

static void compile(struct compiled *c)
{
	struct policy_error e;
	size_t len;

	c->bytes = model_bytes(&c->model, &len);
	assert_int_equal(policy_open_bytes(&c->policy, c->bytes, len, &e), 0);
}

static void compiled_fini(struct compiled *c)
{
	policy_close(&c->policy);
	model_free(&c->model);
	free(c->bytes);
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (addr_parse(&a, text, strlen(text)) != 0)
		fail_msg("%s does not parse", text);
	return a;
}

/* ---- Istio's table ---- */

/*
 * TestPassthroughTraffic of Istio's sidecar_simulation_test.go: one ServiceEntry istio.io,
 * resolution DNS, with seven ports, with and without an address (VIP 1.2.3.4); five calls, all
 * to 1.3.3.7 with Host or SNI "foo". Its third mode, ALLOW_ANY_DYNAMIC_DNS, is none of ours, which
 * leaves 140 of its 210 cells.
 *
 * '5': 502 (block_all), 'B': closed (BlackHoleCluster), 'S': taken by istio.io.
 *
 * We differ on purpose in how HTTP is refused, not in whether: where Istio closes the connection of
 * an HTTP client because no HTTP filter chain took it, the proxy here has seen that it is HTTP and
 * answers 502 on every port. Both are ROUTE_DENY.
 */
static const struct {
	enum policy_protocol protocol;
	uint16_t port;
	const char *no_vip,
		*vip; /* by call: HTTP, raw TCP, TLS, TLS with ALPN http/1.1, TLS with ALPN h2 */
} oracle[] = {
	{POLICY_PROTO_HTTP, 80, "5BBBB", "5BBBB"},
	{POLICY_PROTO_AUTO, 81, "5SSSS", "BBBBB"},
	{POLICY_PROTO_TCP, 82, "SSSSS", "BBBBB"},
	{POLICY_PROTO_TLS, 83, "BBBBB", "BBBBB"},
	{POLICY_PROTO_HTTPS, 84, "BBBBB", "BBBBB"},
	{POLICY_PROTO_GRPC, 85, "5BBBB", "5BBBB"},
	{POLICY_PROTO_HTTP2, 86, "5BBBB", "5BBBB"},
};
#define ORACLE (sizeof(oracle) / sizeof(oracle[0]))

static void oracle_model(struct model *m, bool vip, enum policy_outbound outbound)
{
	struct model_service *s;

	model_init(m);
	m->outbound = outbound;
	s = push_service(m, "istio", POLICY_DNS);
	push_host(&s->hosts, "istio.io");
	if (vip)
		push_cidr(&s->addresses, "1.2.3.4");
	for (size_t i = 0; i < ORACLE; i++)
		push_port(&s->ports, oracle[i].protocol, oracle[i].port, oracle[i].port);
}

/* Asks as the proxy does: first with nothing seen, then with what was. */
static void ask(const struct policy *p, struct route_query *q, enum route_seen seen,
		struct route *r)
{
	struct route_query first = {.dst = q->dst, .port = q->port};

	route_find(p, &first, r);
	if (r->verdict != ROUTE_SNIFF)
		return;
	q->seen = seen;
	route_find(p, q, r);
	assert_int_not_equal(r->verdict, ROUTE_SNIFF);
}

static void check_oracle(bool vip, enum policy_outbound outbound)
{
	static const enum route_seen seen[] = {ROUTE_SEEN_HTTP, ROUTE_SEEN_OTHER, ROUTE_SEEN_TLS,
					       ROUTE_SEEN_TLS, ROUTE_SEEN_TLS};
	struct compiled c;

	oracle_model(&c.model, vip, outbound);
	compile(&c);
	for (size_t i = 0; i < ORACLE; i++)
		for (size_t call = 0; call < 5; call++) {
			struct route_query q = {.dst = addr_of("1.3.3.7"), .port = oracle[i].port};
			char cell = (vip ? oracle[i].vip : oracle[i].no_vip)[call];
			enum route_verdict want = cell == 'S'                    ? ROUTE_SERVICE
						  : outbound == POLICY_ALLOW_ANY ? ROUTE_PASSTHROUGH
										 : ROUTE_DENY;
			struct route r;

			if (seen[call] != ROUTE_SEEN_OTHER) {
				q.name = "foo";
				q.name_len = 3;
			}
			ask(&c.policy, &q, seen[call], &r);
			if (r.verdict != want)
				fail_msg("port %u, call %zu, %s VIP: verdict %d, not %d", q.port,
					 call, vip ? "with" : "no", r.verdict, want);
			if (want == ROUTE_SERVICE)
				assert_int_equal(r.port.number, q.port);
			if (want == ROUTE_PASSTHROUGH)
				assert_int_equal(r.reason, ROUTE_WHY_ALLOW_ANY);
		}
	compiled_fini(&c);
}

static void test_oracle(void **state)
{
	(void)state;
	check_oracle(false, POLICY_REGISTRY_ONLY);
	check_oracle(true, POLICY_REGISTRY_ONLY);
	check_oracle(false, POLICY_ALLOW_ANY);
	check_oracle(true, POLICY_ALLOW_ANY);
}

/*
 * The same calls for the name that is listed: by name where the protocol has names, whatever the
 * address.
 */
static void test_oracle_listed(void **state)
{
	struct compiled c;

	(void)state;
	oracle_model(&c.model, true, POLICY_REGISTRY_ONLY);
	compile(&c);
	for (size_t i = 0; i < ORACLE; i++) {
		struct route_query q = {.dst = addr_of("1.3.3.7"),
					.port = oracle[i].port,
					.name = "istio.io",
					.name_len = 8};
		struct route r;

		ask(&c.policy, &q, ROUTE_SEEN_HTTP, &r);
		assert_int_equal(r.verdict, policy_protocol_is_http(oracle[i].protocol)
						    ? ROUTE_SERVICE
						    : ROUTE_DENY);
		ask(&c.policy, &q, ROUTE_SEEN_TLS, &r);
		assert_int_equal(r.verdict, policy_protocol_is_tls(oracle[i].protocol)
						    ? ROUTE_SERVICE
						    : ROUTE_DENY);
	}
	compiled_fini(&c);
}

/* ---- row by row ---- */

/* Services by index, in name order. */
enum { AUTO_ALL, AUTO_VIP, EXACT, MIXED_TCP, NARROW, SUFFIX, SUFFIX_LONG, TCP_ALL, WEB_VIP, WIDE };

static void rows_model(struct model *m)
{
	struct model_service *s;

	model_init(m);
	s = push_service(m, "auto-all", POLICY_DNS);
	push_host(&s->hosts, "auto.test");
	push_port(&s->ports, POLICY_PROTO_AUTO, 7000, 7000);
	s = push_service(m, "auto-vip", POLICY_NONE);
	push_host(&s->hosts, "vip.test");
	push_port(&s->ports, POLICY_PROTO_AUTO, 7001, 7001);
	push_cidr(&s->addresses, "192.0.2.7");
	s = push_service(m, "exact", POLICY_DNS);
	push_host(&s->hosts, "www.a.test");
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 8080);
	s = push_service(m, "suffix", POLICY_DNS);
	push_host(&s->hosts, "*.test");
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 80);
	push_port(&s->ports, POLICY_PROTO_TLS, 443, 443);
	push_port(&s->ports, POLICY_PROTO_UDP, 5353, 5353);
	push_port(&s->ports, POLICY_PROTO_UDP, 53, 53);
	s = push_service(m, "suffix-long", POLICY_DNS);
	push_host(&s->hosts, "*.a.test");
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	push_port(&s->ports, POLICY_PROTO_HTTP, 8000, 8000);
	s = push_service(m, "mixed-tcp", POLICY_NONE);
	push_host(&s->hosts, "mixed.test");
	push_port(&s->ports, POLICY_PROTO_TCP, 8000, 8000);
	push_port(&s->ports, POLICY_PROTO_TCP, 443, 443);
	s = push_service(m, "narrow", POLICY_NONE);
	push_host(&s->hosts, "narrow.test");
	push_port(&s->ports, POLICY_PROTO_TCP, 9000, 9000);
	push_cidr(&s->addresses, "198.51.100.128/25");
	s = push_service(m, "wide", POLICY_NONE);
	push_host(&s->hosts, "wide.test");
	push_port(&s->ports, POLICY_PROTO_TCP, 9000, 9009);
	push_port(&s->ports, POLICY_PROTO_TCP, 9001, 9001);
	push_port(&s->ports, POLICY_PROTO_TCP, 80, 80);
	push_port(&s->ports, POLICY_PROTO_MYSQL, 587, 587);
	push_cidr(&s->addresses, "198.51.100.0/24");
	s = push_service(m, "tcp-all", POLICY_NONE);
	push_host(&s->hosts, "tcp.test");
	push_port(&s->ports, POLICY_PROTO_MYSQL, 3306, 3306);
	push_port(&s->ports, POLICY_PROTO_UDP, 3306, 3306);
	s = push_service(m, "web-vip", POLICY_NONE);
	push_host(&s->hosts, "web.example");
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 80);
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	push_cidr(&s->addresses, "203.0.113.9");
}

#define N ROUTE_SEEN_NOTHING
#define H ROUTE_SEEN_HTTP
#define T ROUTE_SEEN_TLS
#define O ROUTE_SEEN_OTHER

static const struct row {
	const char *dst;
	uint16_t port;
	enum route_seen seen;
	const char *name, *host; /* host: a Host that is an address */
	enum route_verdict verdict;
	enum route_reason reason;
	int service;
	const char *key;
} rows[] = {
	/* 1: by address, narrowest first; the port counts */
	{"198.51.100.200", 9000, N, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, NARROW, NULL},
	{"198.51.100.1", 9000, N, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, WIDE, NULL},
	{"198.51.100.200", 9001, N, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, WIDE, NULL},
	{"198.51.100.200", 80, N, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, WIDE, NULL},
	{"198.51.100.200", 80, H, "www.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, WIDE, NULL},
	{"198.51.101.0", 9000, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"198.51.101.0", 9000, O, NULL, NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED_ADDR, 0, NULL},
	{"198.51.100.200", 9002, O, NULL, NULL, ROUTE_DENY, ROUTE_WHY_OTHER_PORT, 0, NULL},
	/* 2: a port that is a TCP service's alone */
	{"8.8.8.8", 3306, N, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, TCP_ALL, NULL},
	{"8.8.8.8", 3306, H, "evil.test", NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, TCP_ALL, NULL},
	/* 3: by name */
	{"8.8.8.8", 80, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"8.8.8.8", 80, H, "www.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, EXACT, "www.a.test"},
	{"8.8.8.8", 80, H, "x.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, SUFFIX,
	 ".test"}, /* *.a.test lacks 80 */
	{"8.8.8.8", 443, T, "x.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, SUFFIX_LONG,
	 ".a.test"},
	{"8.8.8.8", 443, T, "www.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, SUFFIX_LONG,
	 ".a.test"},
	{"8.8.8.8", 443, T, "a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, SUFFIX, ".test"},
	{"8.8.8.8", 443, T, "x.y.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, SUFFIX_LONG,
	 ".a.test"},
	{"8.8.8.8", 80, H, "test", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	{"8.8.8.8", 80, H, "evil.example", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	{"8.8.8.8", 80, T, "www.a.test", NULL, ROUTE_DENY, ROUTE_WHY_OTHER_PORT, 0, NULL},
	{"8.8.8.8", 9999, H, "www.a.test", NULL, ROUTE_DENY, ROUTE_WHY_OTHER_PORT, 0, NULL},
	{"8.8.8.8", 5353, T, "www.a.test", NULL, ROUTE_DENY, ROUTE_WHY_OTHER_PORT, 0,
	 NULL}, /* a UDP port is none */
	/* 3: a Host that is an address; the destination's own does not stand in for it */
	{"8.8.8.8", 80, H, NULL, "203.0.113.9", ROUTE_SERVICE, ROUTE_WHY_ADDRESS, WEB_VIP, NULL},
	{"203.0.113.9", 80, H, NULL, "203.0.113.10", ROUTE_DENY, ROUTE_WHY_UNLISTED_ADDR, 0, NULL},
	{"203.0.113.9", 8000, H, NULL, "203.0.113.9", ROUTE_DENY, ROUTE_WHY_OTHER_PORT, 0, NULL},
	{"203.0.113.9", 80, H, "evil.example", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	/* No name: TLS services are found by name alone */
	{"203.0.113.9", 443, T, NULL, NULL, ROUTE_DENY, ROUTE_WHY_NO_NAME, 0, NULL},
	{"203.0.113.9", 80, H, NULL, NULL, ROUTE_DENY, ROUTE_WHY_NO_NAME, 0, NULL},
	/*
	 * 4: HTTP and TCP on one port: what is HTTP goes by name alone, the rest to the TCP service
	 */
	{"8.8.8.8", 8000, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"8.8.8.8", 8000, H, "x.a.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, SUFFIX_LONG,
	 ".a.test"},
	{"8.8.8.8", 8000, H, "evil.example", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	{"8.8.8.8", 8000, O, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, MIXED_TCP, NULL},
	{"8.8.8.8", 8000, T, "evil.example", NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, MIXED_TCP, NULL},
	/*
	 * 4: TLS and TCP on one port: TLS goes by name alone, HTTP and the rest to the TCP service
	 */
	{"8.8.8.8", 443, T, "evil.example", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	{"8.8.8.8", 443, T, NULL, NULL, ROUTE_DENY, ROUTE_WHY_NO_NAME, 0, NULL},
	{"8.8.8.8", 443, O, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, MIXED_TCP, NULL},
	{"8.8.8.8", 443, H, "evil.example", NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, MIXED_TCP, NULL},
	/* 4: auto: HTTP by name alone; TLS by name, else as TCP; with addresses, only there */
	{"8.8.8.8", 7000, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"8.8.8.8", 7000, H, "auto.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, AUTO_ALL,
	 "auto.test"},
	{"8.8.8.8", 7000, H, "evil.example", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	{"8.8.8.8", 7000, T, "auto.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, AUTO_ALL,
	 "auto.test"},
	{"8.8.8.8", 7000, T, "evil.example", NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, AUTO_ALL, NULL},
	{"8.8.8.8", 7000, O, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_PORT, AUTO_ALL, NULL},
	{"192.0.2.7", 7001, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"192.0.2.7", 7001, O, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, AUTO_VIP, NULL},
	{"192.0.2.7", 7001, T, "evil.example", NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, AUTO_VIP,
	 NULL},
	{"192.0.2.7", 7001, H, "evil.example", NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED, 0, NULL},
	{"192.0.2.8", 7001, O, NULL, NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED_ADDR, 0, NULL},
	{"192.0.2.8", 7001, T, "vip.test", NULL, ROUTE_SERVICE, ROUTE_WHY_NAME, AUTO_VIP,
	 "vip.test"},
	/* Server-first ports that nobody has are not waited on; others are sniffed, for the log */
	{"8.8.8.8", 25, N, NULL, NULL, ROUTE_DENY, ROUTE_WHY_SERVER_FIRST, 0, NULL},
	{"8.8.8.8", 53, N, NULL, NULL, ROUTE_DENY, ROUTE_WHY_SERVER_FIRST, 0,
	 NULL}, /* only UDP has it */
	{"198.51.100.1", 22, N, NULL, NULL, ROUTE_DENY, ROUTE_WHY_SERVER_FIRST, 0, NULL},
	{"198.51.100.1", 587, N, NULL, NULL, ROUTE_SERVICE, ROUTE_WHY_ADDRESS, WIDE, NULL},
	{"8.8.8.8", 587, N, NULL, NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED_ADDR, 0, NULL},
	{"8.8.8.8", 12345, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"8.8.8.8", 5353, N, NULL, NULL, ROUTE_SNIFF, ROUTE_WHY_NONE, 0, NULL},
	{"8.8.8.8", 12345, O, NULL, NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED_ADDR, 0, NULL},
	{"8.8.8.8", 0, O, NULL, NULL, ROUTE_DENY, ROUTE_WHY_UNLISTED_ADDR, 0, NULL},
};
#undef N
#undef H
#undef T
#undef O

static void check_row(const struct compiled *c, const struct row *row, size_t i)
{
	struct route_query q = {
		.dst = addr_of(row->dst), .port = row->port, .seen = row->seen, .name = row->name};
	enum route_verdict verdict = row->verdict;
	enum route_reason reason = row->reason, denied = ROUTE_WHY_NONE;
	struct addr host;
	struct route r;

	q.name_len = row->name != NULL ? strlen(row->name) : 0;
	if (row->host != NULL) {
		host = addr_of(row->host);
		q.host = &host;
	}
	if (verdict == ROUTE_DENY &&
	    (c->model.outbound == POLICY_ALLOW_ANY || c->model.enforcement == POLICY_AUDIT)) {
		verdict = ROUTE_PASSTHROUGH;
		denied = c->model.outbound == POLICY_ALLOW_ANY ? ROUTE_WHY_NONE : reason;
		reason = c->model.outbound == POLICY_ALLOW_ANY ? ROUTE_WHY_ALLOW_ANY
							       : ROUTE_WHY_AUDIT;
	}
	memset(&r, 0xff, sizeof(r));
	route_find(&c->policy, &q, &r);
	if (r.verdict != verdict || r.reason != reason || r.denied != denied)
		fail_msg("row %zu: verdict %d %s, not %d %s", i, r.verdict,
			 route_reason_code(r.reason), verdict, route_reason_code(reason));
	if (verdict == ROUTE_SERVICE &&
	    ((int)r.service != row->service || r.port.number != row->port))
		fail_msg("row %zu: service %u", i, r.service);
	if ((r.key != NULL) != (row->key != NULL) ||
	    (r.key != NULL &&
	     (r.key[0] != strlen(row->key) || memcmp(r.key + 1, row->key, r.key[0]) != 0)))
		fail_msg("row %zu: another key", i);
}

static void check_rows(enum policy_outbound outbound, enum policy_enforcement enforcement)
{
	struct compiled c;

	rows_model(&c.model);
	c.model.outbound = outbound;
	c.model.enforcement = enforcement;
	compile(&c);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&c, &rows[i], i);
	compiled_fini(&c);
}

static void test_rows(void **state)
{
	(void)state;
	check_rows(POLICY_REGISTRY_ONLY, POLICY_ENFORCE);
}

static void test_rows_allow_any(void **state)
{
	(void)state;
	check_rows(POLICY_ALLOW_ANY, POLICY_ENFORCE);
}

static void test_rows_audit(void **state)
{
	(void)state;
	check_rows(POLICY_REGISTRY_ONLY, POLICY_AUDIT);
}

/* The port of the service comes along, with its target. */
static void test_target(void **state)
{
	struct route_query q = {.dst = addr_of("8.8.8.8"),
				.port = 80,
				.seen = ROUTE_SEEN_HTTP,
				.name = "www.a.test",
				.name_len = 10};
	struct compiled c;
	struct route r;

	(void)state;
	rows_model(&c.model);
	compile(&c);
	route_find(&c.policy, &q, &r);
	assert_true(r.verdict == ROUTE_SERVICE && r.port.target == 8080 &&
		    r.port.protocol == POLICY_PROTO_HTTP);
	compiled_fini(&c);
}

/* ---- clients ---- */

enum { ONE, OTHER_SUFFIX, PORT_ONE, TWO, VIP_ONE };

static void clients_model(struct model *m)
{
	struct model_service *s;

	model_init(m);
	s = push_service(m, "one", POLICY_DNS);
	push_host(&s->hosts, "www.a.test");
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 80);
	push_cidr(&s->clients, "192.168.1.0/24");
	push_cidr(&s->clients, "2001:db8:1::/48");
	s = push_service(m, "two", POLICY_DNS);
	push_host(&s->hosts, "www.a.test");
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 8080);
	push_cidr(&s->clients, "192.168.2.7");
	s = push_service(m, "other-suffix", POLICY_DNS);
	push_host(&s->hosts, "*.a.test");
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 80);
	push_cidr(&s->clients, "192.168.3.0/24");
	s = push_service(m, "port-one", POLICY_STATIC);
	push_host(&s->hosts, "port.test");
	push_port(&s->ports, POLICY_PROTO_TCP, 9000, 9000);
	push_cidr(&s->clients, "192.168.1.0/24");
	s = push_service(m, "vip-one", POLICY_STATIC);
	push_host(&s->hosts, "vip.test");
	push_port(&s->ports, POLICY_PROTO_TCP, 9001, 9001);
	push_cidr(&s->addresses, "192.0.2.9");
	push_cidr(&s->clients, "192.168.1.0/24");
}

static void test_clients(void **state)
{
	static const struct {
		const char *src, *dst;
		uint16_t port;
		enum route_seen seen;
		const char *name;
		int service; /* -1: denied for the reason */
		enum route_reason reason;
	} asked[] = {
		{"192.168.1.5", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "www.a.test", ONE, ROUTE_WHY_NAME},
		{"2001:db8:1::5", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "www.a.test", ONE,
		 ROUTE_WHY_NAME},
		{"192.168.2.7", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "www.a.test", TWO, ROUTE_WHY_NAME},
		{"192.168.2.8", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "www.a.test", -1,
		 ROUTE_WHY_OTHER_CLIENT},
		{"192.168.3.1", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "www.a.test", OTHER_SUFFIX,
		 ROUTE_WHY_NAME},
		{"::", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "www.a.test", -1, ROUTE_WHY_OTHER_CLIENT},
		{"192.168.2.8", "8.8.8.8", 80, ROUTE_SEEN_HTTP, "b.test", -1, ROUTE_WHY_UNLISTED},
		{"192.168.1.5", "8.8.8.8", 9000, ROUTE_SEEN_NOTHING, NULL, PORT_ONE,
		 ROUTE_WHY_PORT},
		{"192.168.2.5", "8.8.8.8", 9000, ROUTE_SEEN_OTHER, NULL, -1,
		 ROUTE_WHY_OTHER_CLIENT},
		{"192.168.1.5", "192.0.2.9", 9001, ROUTE_SEEN_NOTHING, NULL, VIP_ONE,
		 ROUTE_WHY_ADDRESS},
		{"192.168.2.5", "192.0.2.9", 9001, ROUTE_SEEN_OTHER, NULL, -1,
		 ROUTE_WHY_OTHER_CLIENT},
	};
	struct compiled c;

	(void)state;
	clients_model(&c.model);
	compile(&c);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct route_query q = {.src = addr_of(asked[i].src),
					.dst = addr_of(asked[i].dst),
					.port = asked[i].port,
					.seen = asked[i].seen,
					.name = asked[i].name};
		struct route r;

		q.name_len = q.name != NULL ? strlen(q.name) : 0;
		route_find(&c.policy, &q, &r);
		if (r.reason != asked[i].reason ||
		    (r.verdict == ROUTE_SERVICE ? (int)r.service : -1) != asked[i].service)
			fail_msg("row %zu: verdict %d %s, service %u", i, r.verdict,
				 route_reason_code(r.reason), r.service);
	}
	compiled_fini(&c);
}

/* With nothing in the policy, everything is refused. */
static void test_empty(void **state)
{
	struct compiled c;

	(void)state;
	model_init(&c.model);
	compile(&c);
	for (enum route_seen seen = ROUTE_SEEN_HTTP; seen <= ROUTE_SEEN_OTHER; seen++)
		for (unsigned port = 0; port < 65536; port += 251) {
			struct route_query q = {.dst = addr_of("8.8.8.8"),
						.port = (uint16_t)port,
						.seen = seen,
						.name = "a.test",
						.name_len = 6};
			struct route r;

			route_find(&c.policy, &q, &r);
			assert_int_equal(r.verdict, ROUTE_DENY);
			assert_int_not_equal(r.reason, ROUTE_WHY_NONE);
		}
	compiled_fini(&c);
}

static void test_words(void **state)
{
	(void)state;
	for (int i = 0; i < ROUTE_REASONS; i++) {
		assert_non_null(route_reason_text((enum route_reason)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(route_reason_code((enum route_reason)i),
						route_reason_code((enum route_reason)j));
	}
	assert_string_equal(route_reason_code(ROUTE_REASONS), "none");
	assert_true(route_server_first(3306) && route_server_first(22) &&
		    !route_server_first(443) && !route_server_first(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle),
		cmocka_unit_test(test_oracle_listed),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_rows_allow_any),
		cmocka_unit_test(test_rows_audit),
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
