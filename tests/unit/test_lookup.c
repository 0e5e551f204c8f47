/* SPDX-License-Identifier: MIT */
/* rules/lookup.c: what each name is answered with, for whom, and which UDP ports it opens. */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "rules/lookup.c"

#include "policy_model.h"

/* Services by index, in name order. */
enum {
	ADDRESSED, AUTO, AUTO_MORE, INTERNAL, LAN, NAMED, NET, NTP, NTP_LAN, PAIR_DNS, PAIR_STATIC,
	POOL, POOL_EMPTY, SUFFIX, WEB, WEB_VIP,
};

static struct model_service *push(struct model *m, const char *name, const char *host,
				  enum policy_resolution resolution, enum policy_protocol protocol,
				  uint16_t port)
{
	struct model_service *s = push_service(m, name, resolution);

	push_host(&s->hosts, host);
	push_port(&s->ports, protocol, port, port);
	return s;
}

static void push_resolved(struct model *m)
{
	struct model_service *s;

	push(m, "web", "www.test", POLICY_DNS, POLICY_PROTO_HTTPS, 443);
	s = push(m, "suffix", "*.wide.test", POLICY_DYNAMIC_DNS, POLICY_PROTO_UDP, 5000);
	push_port(&s->ports, POLICY_PROTO_HTTP, 80, 80);
	push_port(&s->ports, POLICY_PROTO_UDP, 4000, 4000);
	s = push(m, "ntp", "ntp.test", POLICY_DNS, POLICY_PROTO_UDP, 123);
	s->allow_private = true;
	s = push(m, "ntp-lan", "ntp.test", POLICY_DNS_ROUND_ROBIN, POLICY_PROTO_UDP, 124);
	push_cidr(&s->clients, "192.168.1.0/24");
	s = push(m, "lan", "www.lan.wide.test", POLICY_DNS, POLICY_PROTO_HTTP, 80);
	push_cidr(&s->clients, "192.168.1.0/24");
	s = push(m, "internal", "int.test", POLICY_DNS, POLICY_PROTO_HTTP, 80);
	s->location = POLICY_INTERNAL;
	s = push(m, "named", "named.test", POLICY_DNS, POLICY_PROTO_HTTP, 80);
	push_endpoint(&s->endpoints, "192.0.2.1", 0, 1);
	push_endpoint(&s->endpoints, "real.test", 0, 1);
	s = push(m, "net", "net.test", POLICY_STATIC, POLICY_PROTO_TCP, 5000);
	push_cidr(&s->addresses, "198.51.100.0/24");
	push_endpoint(&s->endpoints, "192.0.2.2", 0, 1);
}

static void push_answered(struct model *m)
{
	struct model_service *s;

	s = push(m, "auto", "auto.test", POLICY_DNS, POLICY_PROTO_TCP, 7000);
	push_cidr(&s->addresses, "240.240.1.2");
	push_cidr(&s->addresses, "2001:2::f0f0:102");
	s->auto_address = true;
	s = push(m, "auto-more", "auto.test", POLICY_DNS, POLICY_PROTO_TCP, 7001);
	push_cidr(&s->addresses, "240.240.1.2");
	push_cidr(&s->addresses, "2001:2::f0f0:102");
	s->auto_address = true;
	push_cidr(&s->clients, "192.168.1.0/24");
	s = push(m, "addressed", "vip.test", POLICY_NONE, POLICY_PROTO_TCP, 7002);
	push_port(&s->ports, POLICY_PROTO_UDP, 7002, 7002);
	push_cidr(&s->addresses, "198.51.101.0/24");
	push_cidr(&s->addresses, "198.51.102.7");
	push_cidr(&s->addresses, "2001:db8::7");
	s = push(m, "web-vip", "vip.test", POLICY_DNS, POLICY_PROTO_HTTP, 80);
	push_port(&s->ports, POLICY_PROTO_UDP, 7003, 7003);
	s = push(m, "pool", "pool.test", POLICY_STATIC, POLICY_PROTO_HTTP, 80);
	push_endpoint(&s->endpoints, "203.0.113.2", 0, 1);
	push_endpoint(&s->endpoints, "203.0.113.1", 8080, 1);
	push_endpoint(&s->endpoints, "203.0.113.2", 8081, 1);
	push(m, "pool-empty", "none.test", POLICY_STATIC, POLICY_PROTO_HTTP, 80);
	s = push(m, "pair-static", "pair.test", POLICY_STATIC, POLICY_PROTO_HTTP, 80);
	push_endpoint(&s->endpoints, "203.0.113.9", 0, 1);
	push(m, "pair-dns", "pair.test", POLICY_DNS, POLICY_PROTO_HTTPS, 443);
}

static const struct row {
	const char *name, *client;
	enum lookup_verdict verdict;
	int service; /* -1: denied, for the reason */
	enum route_reason reason;
	bool allow_private;
	const char *addresses, *udp; /* "service/port ..." */
} rows[] = {
	{"www.test", "10.0.0.1", LOOKUP_RESOLVE, WEB, ROUTE_WHY_NAME, false, "", ""},
	{"x.test", "10.0.0.1", LOOKUP_DENY, -1, ROUTE_WHY_UNLISTED, false, "", ""},
	{"wide.test", "10.0.0.1", LOOKUP_DENY, -1, ROUTE_WHY_UNLISTED, false, "", ""},
	{"test", "10.0.0.1", LOOKUP_DENY, -1, ROUTE_WHY_UNLISTED, false, "", ""},
	{"a.b.wide.test", "10.0.0.1", LOOKUP_RESOLVE, SUFFIX, ROUTE_WHY_NAME, false, "",
	 "13/4000 13/5000"},
	/* The narrower key serves one client; the others get the wider one. */
	{"www.lan.wide.test", "192.168.1.9", LOOKUP_RESOLVE, LAN, ROUTE_WHY_NAME, false, "", ""},
	{"www.lan.wide.test", "10.0.0.1", LOOKUP_RESOLVE, SUFFIX, ROUTE_WHY_NAME, false, "",
	 "13/4000 13/5000"},
	{"ntp.test", "10.0.0.1", LOOKUP_RESOLVE, NTP, ROUTE_WHY_NAME, true, "", "7/123"},
	{"ntp.test", "192.168.1.9", LOOKUP_RESOLVE, NTP, ROUTE_WHY_NAME, true, "", "7/123 8/124"},
	{"int.test", "10.0.0.1", LOOKUP_RESOLVE, INTERNAL, ROUTE_WHY_NAME, true, "", ""},
	{"named.test", "10.0.0.1", LOOKUP_RESOLVE, NAMED, ROUTE_WHY_NAME, false, "", ""},
	{"net.test", "10.0.0.1", LOOKUP_RESOLVE, NET, ROUTE_WHY_NAME, false, "", ""},
	/* Two services have the same addresses: each is answered once. */
	{"auto.test", "192.168.1.9", LOOKUP_SYNTHETIC, AUTO, ROUTE_WHY_NAME, false,
	 "240.240.1.2 2001:2::f0f0:102", ""},
	{"auto.test", "::1", LOOKUP_SYNTHETIC, AUTO, ROUTE_WHY_NAME, false,
	 "240.240.1.2 2001:2::f0f0:102", ""},
	{"vip.test", "10.0.0.1", LOOKUP_FIXED, ADDRESSED, ROUTE_WHY_NAME, false,
	 "198.51.102.7 2001:db8::7", ""},
	{"pool.test", "10.0.0.1", LOOKUP_FIXED, POOL, ROUTE_WHY_NAME, false,
	 "203.0.113.2 203.0.113.1", ""},
	{"none.test", "10.0.0.1", LOOKUP_FIXED, POOL_EMPTY, ROUTE_WHY_NAME, false, "", ""},
	{"pair.test", "10.0.0.1", LOOKUP_RESOLVE, PAIR_DNS, ROUTE_WHY_NAME, false, "", ""},
};

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text, strlen(text)), 0);
	return a;
}

static void check_row(const struct policy *p, const struct row *row)
{
	struct addr client = addr_of(row->client), a;
	struct lookup_cursor at = {0, 0}, udp = {0, 0};
	char addresses[256] = "", ports[256] = "", text[ADDR_TEXT];
	uint32_t service;
	uint16_t port;
	struct lookup l;

	memset(&l, 0xff, sizeof(l));
	lookup_find(p, row->name, strlen(row->name), &client, &l);
	while (lookup_address(p, &l, &at, &a))
		snprintf(addresses + strlen(addresses), sizeof(addresses) - strlen(addresses),
			 "%s%s", addresses[0] != '\0' ? " " : "", addr_format(&a, text));
	while (lookup_udp(p, &l, &udp, &service, &port))
		snprintf(ports + strlen(ports), sizeof(ports) - strlen(ports), "%s%u/%u",
			 ports[0] != '\0' ? " " : "", service, port);
	if (l.verdict != row->verdict || l.reason != row->reason ||
	    l.allow_private != row->allow_private || (l.key != NULL) != (row->service >= 0) ||
	    (row->service >= 0 && (int)l.service != row->service))
		fail_msg("%s for %s: verdict %d, reason %d, service %u", row->name, row->client,
			 l.verdict, l.reason, l.service);
	if (strcmp(addresses, row->addresses) != 0 || strcmp(ports, row->udp) != 0)
		fail_msg("%s for %s: \"%s\", \"%s\"", row->name, row->client, addresses, ports);
}

static void check_rows(enum policy_outbound outbound, enum policy_enforcement enforcement)
{
	struct policy_error e;
	struct policy p;
	struct model m;
	size_t len;
	uint8_t *bytes;

	model_init(&m);
	m.capture.dns = POLICY_CAPTURE;
	m.outbound = outbound;
	m.enforcement = enforcement;
	push_resolved(&m);
	push_answered(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row row = rows[i];

		row.allow_private |= enforcement == POLICY_AUDIT;
		if (row.verdict == LOOKUP_DENY &&
		    (outbound == POLICY_ALLOW_ANY || enforcement == POLICY_AUDIT)) {
			row.verdict = LOOKUP_RESOLVE;
			row.reason = outbound == POLICY_ALLOW_ANY ? ROUTE_WHY_ALLOW_ANY
								  : ROUTE_WHY_AUDIT;
			row.allow_private = true;
		}
		check_row(&p, &row);
	}
	policy_close(&p);
	model_free(&m);
	free(bytes);
}

static void test_rows(void **state)
{
	(void)state;
	check_rows(POLICY_REGISTRY_ONLY, POLICY_ENFORCE);
	check_rows(POLICY_ALLOW_ANY, POLICY_ENFORCE);
	check_rows(POLICY_REGISTRY_ONLY, POLICY_AUDIT);
}

/* What is listed for others is not told, and under audit it is marked as that. */
static void test_other_client(void **state)
{
	struct addr client = addr_of("192.168.2.1");
	struct model_service *s;
	struct policy_error e;
	struct policy p;
	struct lookup l;
	struct model m;
	size_t len;
	uint8_t *bytes;

	(void)state;
	for (int audit = 0; audit < 2; audit++) {
		model_init(&m);
		m.enforcement = (enum policy_enforcement)audit;
		s = push(&m, "lan", "lan.test", POLICY_STATIC, POLICY_PROTO_TCP, 80);
		push_cidr(&s->addresses, "192.0.2.1");
		push_cidr(&s->clients, "192.168.1.0/24");
		bytes = model_bytes(&m, &len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
		lookup_find(&p, "lan.test", 8, &client, &l);
		assert_int_equal(l.verdict, audit ? LOOKUP_RESOLVE : LOOKUP_DENY);
		assert_int_equal(audit ? l.denied : l.reason, ROUTE_WHY_OTHER_CLIENT);
		assert_false(lookup_address(&p, &l, &(struct lookup_cursor){0, 0}, &client));
		policy_close(&p);
		model_free(&m);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_other_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
