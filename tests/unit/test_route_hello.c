/* SPDX-License-Identifier: MIT */
/* rules/route.c: services that do not take every ClientHello. */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/route.c rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "policy_model.h"
#include "rules/route.h"

/* Services by index, in name order. */
enum { ANY, AUDITED, AUTO, H2, MQTT, OPEN, PLAIN, WEB };

static void hello_model(struct model *m)
{
	struct model_service *s;

	model_init(m);
	s = push_service(m, "any", POLICY_DNS);
	push_host(&s->hosts, "*.test");
	push_port(&s->ports, POLICY_PROTO_TLS, 443, 443);
	s = push_service(m, "audited", POLICY_DNS);
	push_host(&s->hosts, "audited.test");
	push_port(&s->ports, POLICY_PROTO_TLS, 443, 443);
	push_string(&s->alpn, "h2");
	s->enforcement = POLICY_AUDIT;
	s->no_ech = true;
	s = push_service(m, "auto", POLICY_NONE);
	push_host(&s->hosts, "auto.test");
	push_port(&s->ports, POLICY_PROTO_AUTO, 7000, 7000);
	push_string(&s->alpn, "h2");
	s->no_ech = true;
	s = push_service(m, "h2", POLICY_DNS);
	push_host(&s->hosts, "h2.test");
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	push_string(&s->alpn, "h2");
	s = push_service(m, "mqtt", POLICY_NONE);
	push_host(&s->hosts, "mqtt.test");
	push_port(&s->ports, POLICY_PROTO_TLS, 8883, 8883);
	push_port(&s->ports, POLICY_PROTO_TCP, 1883, 1883);
	push_string(&s->alpn, "mqtt");
	s = push_service(m, "open", POLICY_DNS);
	push_host(&s->hosts, "open.test");
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	s = push_service(m, "plain", POLICY_DNS);
	push_host(&s->hosts, "plain.test");
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	s->no_ech = true;
	s = push_service(m, "web", POLICY_DNS);
	push_host(&s->hosts, "www.test");
	push_port(&s->ports, POLICY_PROTO_HTTPS, 443, 443);
	push_string(&s->alpn, "http/1.1");
	push_string(&s->alpn, "h2");
}

static const struct row {
	uint16_t port;
	enum route_seen seen;
	const char *name;
	const char *alpn; /* "": none; "ech...": with encrypted_client_hello, and what follows */
	int service;      /* that takes it, or refuses it */
	enum route_reason why; /* refused for; ROUTE_WHY_NONE: taken */
} rows[] = {
	/* What is listed, in any order and number. */
	{443, ROUTE_SEEN_TLS, "www.test", "\002h2\010http/1.1", WEB, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "www.test", "\010http/1.1\002h2\002h2", WEB, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "www.test", "\002h2", WEB, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "h2.test", "\002h2", H2, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "any.test", "\003ssh", ANY, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "any.test", "", ANY, ROUTE_WHY_NONE},
	/* One that is not is enough; bytes count, and all of them. */
	{443, ROUTE_SEEN_TLS, "www.test", "\002h2\003ssh", WEB, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "www.test", "\003ssh\002h2", WEB, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "www.test", "\012acme-tls/1", WEB, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "www.test", "\002H2", WEB, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "www.test", "\001h", WEB, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "www.test", "\003h2c", WEB, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "www.test", "\002\x0a\x0a", WEB, ROUTE_WHY_ALPN},
	/* A length that leads out of what is offered. */
	{443, ROUTE_SEEN_TLS, "www.test", "\002h2\010http", WEB, ROUTE_WHY_ALPN},
	/* None is http/1.1. */
	{443, ROUTE_SEEN_TLS, "www.test", "", WEB, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "h2.test", "", H2, ROUTE_WHY_ALPN},
	{8883, ROUTE_SEEN_TLS, "mqtt.test", "", MQTT, ROUTE_WHY_ALPN},
	{8883, ROUTE_SEEN_TLS, "mqtt.test", "\004mqtt", MQTT, ROUTE_WHY_NONE},
	/* The service's other ports know no ClientHello. */
	{1883, ROUTE_SEEN_TLS, "mqtt.test", "\003ssh", MQTT, ROUTE_WHY_NONE},
	/* auto: TLS by name and by address or port, and what is not TLS. */
	{7000, ROUTE_SEEN_TLS, "auto.test", "\002h2", AUTO, ROUTE_WHY_NONE},
	{7000, ROUTE_SEEN_TLS, "auto.test", "\003ssh", AUTO, ROUTE_WHY_ALPN},
	{7000, ROUTE_SEEN_TLS, "evil.test", "\003ssh", AUTO, ROUTE_WHY_ALPN},
	{7000, ROUTE_SEEN_TLS, NULL, "\003ssh", AUTO, ROUTE_WHY_ALPN},
	{7000, ROUTE_SEEN_HTTP, "auto.test", "", AUTO, ROUTE_WHY_NONE},
	{7000, ROUTE_SEEN_OTHER, NULL, "", AUTO, ROUTE_WHY_NONE},
	/* ECH, whatever is offered besides. */
	{443, ROUTE_SEEN_TLS, "plain.test", "\002h2", PLAIN, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "plain.test", "ech\002h2", PLAIN, ROUTE_WHY_ECH},
	{443, ROUTE_SEEN_TLS, "plain.test", "ech", PLAIN, ROUTE_WHY_ECH},
	{443, ROUTE_SEEN_TLS, "open.test", "ech\002h2", OPEN, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "www.test", "ech\002h2", WEB, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "www.test", "ech\003ssh", WEB, ROUTE_WHY_ALPN},
	{7000, ROUTE_SEEN_TLS, "auto.test", "ech\003ssh", AUTO, ROUTE_WHY_ECH},
	{7000, ROUTE_SEEN_TLS, NULL, "ech\002h2", AUTO, ROUTE_WHY_ECH},
	/* Its own audit. */
	{443, ROUTE_SEEN_TLS, "audited.test", "\002h2", AUDITED, ROUTE_WHY_NONE},
	{443, ROUTE_SEEN_TLS, "audited.test", "\003ssh", AUDITED, ROUTE_WHY_ALPN},
	{443, ROUTE_SEEN_TLS, "audited.test", "ech\002h2", AUDITED, ROUTE_WHY_ECH},
};

static void check_row(const struct policy *p, const struct row *row, size_t i, bool audit)
{
	bool ech = strncmp(row->alpn, "ech", 3) == 0;
	const char *alpn = row->alpn + (ech ? 3 : 0);
	struct route_query q = {
		.port = row->port, .seen = row->seen, .name = row->name,
		.alpn = (const uint8_t *)alpn, .alpn_len = strlen(alpn), .ech = ech,
	};
	enum route_reason why = row->why;
	bool marked = why != ROUTE_WHY_NONE && (audit || row->service == AUDITED);
	struct route r;

	q.name_len = row->name != NULL ? strlen(row->name) : 0;
	if (addr_parse(&q.dst, "8.8.8.8", 7) != 0)
		fail();
	memset(&r, 0xff, sizeof(r));
	route_find(p, &q, &r);
	if (r.verdict != (why == ROUTE_WHY_NONE || marked ? ROUTE_SERVICE : ROUTE_DENY))
		fail_msg("row %zu: verdict %d, %s", i, r.verdict, route_reason_code(r.reason));
	if ((int)r.service != row->service || r.denied != why)
		fail_msg("row %zu: service %u, %s", i, r.service, route_reason_code(r.denied));
	if (why != ROUTE_WHY_NONE)
		assert_int_equal(r.reason, marked ? ROUTE_WHY_AUDIT : why);
}

/* allow-any lets through what no service has; these have one. */
static void test_rows(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct policy_error e;
		struct policy p;
		struct model m;
		size_t len;
		uint8_t *bytes;

		hello_model(&m);
		m.outbound = i % 2 ? POLICY_ALLOW_ANY : POLICY_REGISTRY_ONLY;
		m.enforcement = i / 2 ? POLICY_AUDIT : POLICY_ENFORCE;
		bytes = model_bytes(&m, &len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
		for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
			check_row(&p, &rows[row], row, i / 2);
		policy_close(&p);
		model_free(&m);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
