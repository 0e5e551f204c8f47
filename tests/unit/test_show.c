/* SPDX-License-Identifier: MIT */
/* rules/show.c: what it prints, and that compiling what it prints gives the same bytes. */
/* LINK: rules/show_gateway.c */
/* LINK: rules/check_able.c rules/check_chain.c */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/diag.c */
/* LINK: rules/emit.c rules/host_table.c rules/ini.c rules/item.c rules/language.c */
/* LINK: rules/model.c rules/name.c rules/policy.c rules/pool.c rules/port_table.c */
/* LINK: rules/source.c rules/text.c rules/value.c rules/verify.c rules/verify_record.c */
/* LINK: rules/verify_table.c rules/auto_address.c rules/hosts.c rules/check.c rules/check_bypass.c */
/* LINK: rules/check_capture.c rules/check_gateway.c rules/check_node.c rules/check_route.c */
/* LINK: rules/check_service.c rules/check_udp.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c rules/check_key.c rules/check_rule.c rules/check_traffic.c */
/* LINK: rules/value_rule.c rules/value_traffic.c */
/* LINK: rules/key.c rules/show_rule.c rules/show_traffic.c */
#include "rules/show.c"

#include "policy_model.h"
#include "rules/auto_address.h"
#include "rules/source.h"

#define A20 "aaaaaaaaaaaaaaaaaaaa"
#define A60 A20 A20 A20

static char *show(const uint8_t *bytes, size_t bytes_len, size_t *len)
{
	struct policy_error e;
	struct policy p;
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	assert_non_null(out);
	assert_int_equal(policy_open_bytes(&p, bytes, bytes_len, &e), 0);
	assert_int_equal(show_policy(&p, out), 0);
	fclose(out);
	return text;
}

static void test_full(void **state)
{
	static const char want[] =
		"; compiled for node egress\n"
		"[policy]\n"
		"name        = plant-7\n"
		"sequence    = 1311768467463790320\n"
		"outbound    = allow-any\n"
		"enforcement = audit\n"
		"namespace   = line-2\n"
		"access-log  = /var/log/sluice.log\n"
		"log-format  = json\n"
		"nameservers = 192.0.2.53, 2001:db8::53\n"
		"\n"
		"[capture]\n"
		"scope              = both\n"
		"method             = redirect\n"
		"interfaces         = br-lan, wlan0\n"
		"ports              = 80, 8000-8100\n"
		"exclude-ports      = 22\n"
		"exclude-cidrs      = ::/0, 10.0.0.0/8\n"
		"exclude-interfaces = tun0\n"
		"exempt-uids        = 0, 2-4\n"
		"exempt-gids        = 65534-4294967294\n"
		"udp                = allow\n"
		"udp-flows          = 65535\n"
		"other              = allow\n"
		"dns                = capture\n"
		"tamper             = log\n"
		"accept             = packet-sockets\n"
		"\n"
		"[service any]\n"
		"hosts         = any.example.org\n"
		"ports         = tcp:5000\n"
		"resolution    = none\n"
		"location      = external\n"
		"addresses     = ::/0, 198.51.100.0/25\n"
		"\n"
		"[service db]\n"
		"hosts         = db.example.com, www.example.com\n"
		"ports         = mysql:3306, tcp:4000\n"
		"resolution    = none\n"
		"location      = internal\n"
		"export-to     = ., line-3\n"
		"addresses     = 198.51.100.0/24, 198.51.100.7, 2001:db8:5::/48\n"
		"clients       = 192.168.1.0/24, 2001:db8:1::/48\n"
		"\n"
		"[service queue]\n"
		"hosts         = mq.example.org\n"
		"ports         = mqtt:1883, redis:6379\n"
		"resolution    = static\n"
		"location      = external\n"
		"auto-address  = yes\n"
		"endpoints     = 192.0.2.9\n"
		"connect-timeout = 250ms\n"
		"health-check  = tcp\n"
		"health-interval = 3ms\n"
		"health-timeout = 2ms\n"
		"unhealthy-threshold = 1\n"
		"healthy-threshold = 1\n"
		"tls           = simple\n"
		"; ca: 8 bytes in the policy\n"
		"pins          = sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,\n"
		"\tsha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
		"tls-min       = 1.3\n"
		"\n"
		"[service web]\n"
		"hosts         = *, *.example.com, www.example.com\n"
		"ports         = http:80, https:443->8443, udp:443, auto:7000\n"
		"resolution    = dns\n"
		"location      = external\n"
		"enforcement   = audit\n"
		"endpoints     = b.example.net weight 3, 192.0.2.1:8080, 2001:db8::1 weight 1000000\n"
		"upgrade       = websocket\n"
		"allow-private = yes\n"
		"alpn          = h2, http/1.1\n"
		"ech           = deny\n"
		"scrub         = yes\n"
		"alt-svc       = strip\n"
		"load-balancer = consistent-hash\n"
		"connect-timeout = 250ms\n"
		"idle-timeout  = 1m1s\n"
		"keepalive     = 1m15s\n"
		"max-connections = 100\n"
		"max-requests-per-connection = 7\n"
		"consecutive-5xx-errors = 3\n"
		"consecutive-gateway-errors = 4\n"
		"consecutive-local-origin-failures = 0\n"
		"outlier-interval = 9s\n"
		"base-ejection-time = 31s\n"
		"max-ejection-percent = 100\n"
		"min-health-percent = 50\n"
		"health-check  = http:/healthz\n"
		"health-interval = 5s\n"
		"health-timeout = 5s\n"
		"unhealthy-threshold = 2\n"
		"healthy-threshold = 1\n"
		"\n"
		"[gateway egress]\n"
		"address           = 2001:db8::9\n"
		"servers           = http:80, https:443 mutual, tls:8443 auto-passthrough\n"
		"hosts             = *.example.com, www.example.com\n"
		"via               = plain\n"
		"server-certificate = /etc/egress.pem\n"
		"server-private-key = /etc/egress.key\n"
		"; client-ca: 8 bytes in the policy\n"
		"client-subject-alt-names = spiffe://plant/node\n"
		"proxy-protocol-from = 10.1.0.0/16, 192.0.2.0/24\n"
		"\n"
		"[gateway next]\n"
		"address           = next.example.net, 203.0.113.9:8443 weight 2\n"
		"servers           = http:80, tls:443\n"
		"hosts             = *\n"
		"via               = mutual\n"
		"ca                = /etc/ca.pem\n"
		"certificate       = /etc/node.pem\n"
		"; private-key: 5 bytes in the policy\n"
		"sni               = next.example.net\n"
		"subject-alt-names = next.example.net, spiffe://plant/next\n"
		"load-balancer     = consistent-hash\n"
		"connect-timeout   = 250ms\n"
		"idle-timeout      = 1m1s\n"
		"keepalive         = 1m15s\n"
		"max-connections   = 100\n"
		"max-requests-per-connection = 7\n"
		"consecutive-5xx-errors = 3\n"
		"consecutive-gateway-errors = 4\n"
		"consecutive-local-origin-failures = 0\n"
		"outlier-interval  = 9s\n"
		"base-ejection-time = 31s\n"
		"max-ejection-percent = 100\n"
		"min-health-percent = 50\n"
		"health-check      = http:/healthz\n"
		"health-interval   = 5s\n"
		"health-timeout    = 5s\n"
		"unhealthy-threshold = 2\n"
		"healthy-threshold = 1\n"
		"subset half       = half.example.net\n"
		"subset whole      =\n"
		"\n"
		"[route web]\n"
		"hosts = *.example.com, www.example.com\n"
		"port  = 80\n"
		"from  = egress\n"
		"path  = /a*, /exact\n"
		"method = GET, HEAD\n"
		"header accept = *\n"
		"header user-agent = curl/*\n"
		"header x-kind = red, or green\n"
		"timeout = 5s\n"
		"retries = 5\n"
		"per-try-timeout = 1s\n"
		"retry-on = connect-failure, reset, 429, 503\n"
		"rewrite-uri = /b\n"
		"rewrite-authority = other.example:8080\n"
		"request-remove = trailes, x-secret\n"
		"request-set x-plant = 7\n"
		"request-add via = 1.1 plant\n"
		"response-remove = server\n"
		"response-set x-plant = 7\n"
		"to    = next/half weight 3, next/whole weight 0, next weight 1, www.example.com:443 weight 1000000\n"
		"\n"
		"[route db]\n"
		"hosts = db.example.com, www.example.com\n"
		"from  = egress\n"
		"to    = next\n"
		"\n"
		"[route moved]\n"
		"hosts = a.example.com\n"
		"from  = egress\n"
		"path  = /old\n"
		"redirect = scheme https, authority b.example.com, uri /new, port 8443, code 308\n"
		"\n"
		"[route denied]\n"
		"hosts = a.example.com\n"
		"from  = egress\n"
		"direct-response = 403\n"
		"direct-response-body = not from here\n"
		"response-add x-why = policy\n";
	struct model m;
	size_t len, text_len;
	uint8_t *bytes;
	char *text;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	text = show(bytes, len, &text_len);
	assert_string_equal(text, want);
	free(text);
	free(bytes);
	model_free(&m);
}

/* As the checks do, of which nothing else is wanted here. */
static void draw_addresses(struct source *s)
{
	bool *used = malloc(s->model.services.n + 1);
	struct hosts hosts = {0};

	assert_non_null(used);
	memset(used, 1, s->model.services.n + 1);
	hosts_open(&hosts, &s->model, used);
	auto_address_draw(s, used, &hosts);
	assert_int_equal(s->diag.errors, 0);
	hosts_close(&hosts);
	free(used);
}

/* Shows, reads what was shown, compiles that, and compares. Returns the text. */
static char *check_again(const uint8_t *bytes, size_t len, const char *node)
{
	static struct source s;
	size_t text_len, again_len;
	char *text = show(bytes, len, &text_len);
	uint8_t *again;

	source_read_bytes(&s, "shown", text, text_len);
	if (s.diag.errors != 0) {
		diag_print(&s.diag, "shown", stderr);
		fail_msg("what is shown is not accepted:\n%s", text);
	}
	draw_addresses(&s);
	for (size_t i = 0; i < s.model.routes.n; i++)
		for (size_t j = 0; j < s.model.routes.v[i].to.n; j++)
			if (s.model.routes.v[i].to.v[j].gateway != NULL) /* as the checks settle it */
				s.model.routes.v[i].to.v[j].host = NULL;
	s.model.node = node;
	again = model_bytes(&s.model, &again_len);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, bytes, len);
	free(again);
	return text;
}

static void check_model(struct model *m)
{
	size_t len;
	uint8_t *bytes = model_bytes(m, &len);

	free(check_again(bytes, len, m->node));
	free(bytes);
	model_free(m);
}

static void test_defaults(void **state)
{
	struct model m;
	size_t len, text_len;
	uint8_t *bytes;
	char *text;

	(void)state;
	model_init(&m);
	bytes = model_bytes(&m, &len);
	text = show(bytes, len, &text_len);
	assert_string_equal(text, "[policy]\n"
				  "name        = default\n"
				  "sequence    = 0\n"
				  "outbound    = registry-only\n"
				  "enforcement = enforce\n"
				  "namespace   = default\n"
				  "access-log  = /dev/stdout\n"
				  "log-format  = text\n"
				  "\n"
				  "[capture]\n"
				  "scope              = pod\n"
				  "method             = tproxy\n"
				  "ports              = *\n"
				  "udp                = reject\n"
				  "udp-flows          = 128\n"
				  "other              = reject\n"
				  "dns                = capture\n"
				  "tamper             = repair\n");
	free(text);
	free(bytes);
	model_free(&m);
}

static void file(struct model_pem *pem)
{
	if (pem->bytes != NULL)
		*pem = (struct model_pem){ .path = "/etc/some.pem" };
}

/* What is in the policy is not shown, so files have to stand for it. */
static void test_full_again(void **state)
{
	struct model m;

	(void)state;
	model_full(&m);
	for (size_t i = 0; i < m.services.n; i++) {
		file(&m.services.v[i].tls.ca);
		file(&m.services.v[i].tls.certificate);
		file(&m.services.v[i].tls.private_key);
	}
	for (size_t i = 0; i < m.gateways.n; i++) {
		struct model_tls *of[] = { &m.gateways.v[i].tls, &m.gateways.v[i].server_tls };

		for (int k = 0; k < 2; k++) {
			file(&of[k]->ca);
			file(&of[k]->certificate);
			file(&of[k]->private_key);
		}
	}
	check_model(&m);
}

static void test_defaults_again(void **state)
{
	struct model m;

	(void)state;
	model_init(&m);
	check_model(&m);
	/* A list that is empty where the default is not. */
	model_init(&m);
	m.capture.ports.n = 0;
	check_model(&m);
}

/* Each value of each enum, and each kind of endpoint. */
static void test_values_again(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		struct model m;
		struct model_service *s;

		model_init(&m);
		m.outbound = (enum policy_outbound)(i % 2);
		m.enforcement = (enum policy_enforcement)(i / 2 % 2);
		m.log_format = (enum policy_log_format)(i / 4 % 2);
		m.access_log = i % 3 == 0 ? "off" : i % 3 == 1 ? "syslog" : "/dev/stderr";
		m.capture.scope = (enum policy_scope)(i % 3);
		m.capture.method = (enum policy_method)(i % 2);
		m.capture.udp = (enum policy_action)(i % 2);
		m.capture.other = (enum policy_action)(i / 2 % 2);
		m.capture.dns = (enum policy_action)(i % 3);
		m.capture.tamper = (enum policy_tamper)(i % 3);
		m.capture.accept = i % 2 != 0 ? POLICY_ACCEPT_PACKET_SOCKETS : 0;
		m.capture.udp_flows = (uint32_t)(1 + i * 5957);
		s = push_service(&m, "s", (enum policy_resolution)(i % 5));
		s->location = (enum policy_location)(i % 2);
		s->enforcement = (enum policy_enforcement)(i / 2 % 2);
		s->websocket = i % 2;
		s->allow_private = i / 2 % 2;
		s->no_ech = i / 3 % 2;
		s->scrub = i / 4 % 2;
		s->no_alt_svc = i / 6 % 2;
		push_host(&s->hosts, "a.test");
		push_port(&s->ports, (enum policy_protocol)(i + 1), 80, (uint16_t)(80 + i));
		if (i + 1 != POLICY_PROTO_UDP)
			push_port(&s->ports, POLICY_PROTO_UDP, 80, 80);
		push_endpoint(&s->endpoints, "2001:db8::1", (uint16_t)(i % 2 * 8080),
			      (uint32_t)(1 + i));
		push_endpoint(&s->endpoints, "192.0.2.1", (uint16_t)(i % 2 * 8080),
			      (uint32_t)(1 + i % 2));
		push_endpoint(&s->endpoints, "e.test", (uint16_t)(i % 2 * 8080),
			      (uint32_t)(1 + i % 3));
		check_model(&m);
	}
}

/* Long lists go over many lines, none of which is longer than it needs to be. */
static void test_long_again(void **state)
{
	static const char longest_name[] = A60 "aaa." A60 "aaa." A60 "aaa." A60 "a"; /* 253 bytes */
	char name[64];
	struct model m;
	struct model_service *s;
	size_t len, longest = 0, lines = 0;
	uint8_t *bytes;
	char *text;

	(void)state;
	model_init(&m);
	s = push_service(&m, "long", POLICY_DNS);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "%s%x.example", i % 5 == 0 ? "*." : "", i * 7919);
		push_host(&s->hosts, name);
	}
	assert_int_equal(strlen(longest_name), NAME_MAX_LEN);
	push_host(&s->hosts, longest_name);
	push_endpoint(&s->endpoints, longest_name, 65535, 1000000);
	for (int i = 1; i <= 2000; i++) {
		push_port(&s->ports, POLICY_PROTO_HTTPS, (uint16_t)(i * 3), (uint16_t)i);
		push_range(&m.capture.exclude_ports, (uint32_t)i * 3, (uint32_t)i * 3 + 1);
	}
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "10.%d.%d.0/24", i / 250, i % 250);
		push_cidr(&s->addresses, name);
	}
	bytes = model_bytes(&m, &len);
	text = check_again(bytes, len, m.node);
	for (const char *line = text; *line != '\0'; lines++) {
		size_t n = strcspn(line, "\n");

		/* A line holds one name alone, or less than this. */
		if (n >= 200 && strstr(line, A60) == NULL)
			fail_msg("a line of %zu bytes", n);
		longest = n > longest ? n : longest;
		line += n + 1;
	}
	assert_true(lines > 300 && longest < 300);
	free(text);
	free(bytes);
	model_free(&m);
}

static void test_write_error(void **state)
{
	struct policy_error e;
	struct policy p;
	struct model m;
	size_t len;
	uint8_t *bytes;
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	model_full(&m);
	bytes = model_bytes(&m, &len);
	assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
	assert_int_equal(show_policy(&p, full), -1);
	assert_int_equal(errno, ENOSPC);
	fclose(full);
	free(bytes);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_full_again),
		cmocka_unit_test(test_defaults_again),
		cmocka_unit_test(test_values_again),
		cmocka_unit_test(test_long_again),
		cmocka_unit_test(test_write_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
