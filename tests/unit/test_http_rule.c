/* SPDX-License-Identifier: MIT */
/*
 * Traffic, TLS and HTTP rules from the source on: what is read of them, which route a request gets,
 * and that what is shown is compiled to the same.
 */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/auto_address.c */
/* LINK: rules/base64.c rules/check.c rules/check_bypass.c rules/check_capture.c */
/* LINK: rules/check_chain.c rules/check_gateway.c rules/check_key.c rules/check_node.c */
/* LINK: rules/check_route.c rules/check_rule.c rules/check_service.c rules/check_traffic.c */
/* LINK: rules/check_udp.c rules/crc32c.c rules/diag.c rules/emit.c rules/emit_gateway.c */
/* LINK: rules/emit_rule.c rules/emit_traffic.c rules/gateway.c rules/host_table.c rules/hosts.c */
/* LINK: rules/http_rule.c rules/ini.c rules/item.c rules/language.c rules/model.c rules/name.c */
/* LINK: rules/policy.c rules/pool.c rules/port_table.c rules/route.c rules/show.c */
/* LINK: rules/show_gateway.c rules/show_rule.c rules/show_traffic.c rules/source.c rules/text.c */
/* LINK: rules/traffic.c rules/value.c rules/value_rule.c rules/value_traffic.c rules/verify.c */
/* LINK: rules/verify_gateway.c rules/verify_record.c rules/verify_rule.c rules/verify_table.c */
/* LINK: rules/verify_traffic.c rules/word.c */
/* LINK: rules/key.c */
#include "policy_model.h"
#include "rules/check.h"
#include "rules/route.h"
#include "rules/show.h"

static struct source source;

static uint8_t *compile_text(const char *text, size_t text_len, const char *node, struct policy *p,
			     size_t *len)
{
	struct policy_error e;
	uint8_t *bytes;

	source = (struct source){.file = NULL};
	source_read_bytes(&source, "plant", text, text_len);
	check_source(&source, node);
	if (source.diag.errors != 0) {
		diag_print(&source.diag, "plant", stderr);
		fail_msg("the source has errors");
	}
	bytes = model_bytes(&source.model, len);
	if (policy_open_bytes(p, bytes, *len, &e) != 0)
		fail_msg("%s", e.text);
	return bytes;
}

static const char plant[] =
	"[service web]\nhosts = www.example, *.wide.example, mail.wide.example\n"
	"ports = http:80, https:443, http:8080\nresolution = dns\nendpoints = front.example\n"
	"load-balancer = random\nconnect-timeout = 1m30s250ms\nconsecutive-gateway-errors = 7\n"
	"keepalive = 2m\nhealth-check = http:/ok\n"
	"[service old]\nhosts = old.example\nports = http:80->443\nresolution = dns\n"
	"tls = mutual\nca = /etc/ca.pem\ncertificate = /etc/n.pem\nprivate-key = /etc/n.key\n"
	"pins = " PIN_A ", " PIN_B "\ntls-min = 1.3\nsubject-alt-names = b.example, a.example\n"
	"[gateway egress]\naddress = egress.example\nhosts = *\n"
	"servers = http:80, http:8080, https:443 mutual, tls:8443 auto-passthrough, tls:9443\n"
	"via = tls\nca = /etc/plant.pem\nmax-connections = 10\nproxy-protocol-from = 192.0.2.0/24\n"
	"server-certificate = /etc/e.pem\nserver-private-key = /etc/e.key\nclient-ca = /etc/c.pem\n"
	"client-subject-alt-names = spiffe://plant/node\n"
	"[route exact]\nhosts = www.example\nport = 80\nto = egress\npath = /exact, /exact/*\n"
	"rewrite-uri = /new\nrewrite-authority = Other.Example:8080\n"
	"[route head]\nhosts = www.example\nport = 80\nto = egress\nmethod = HEAD, GET\n"
	"header X-Kind = red, green\nheader user-agent = curl/*\nheader accept = *\n"
	"timeout = 5s\nretries = 0\n"
	"[route moved]\nhosts = www.example\nport = 80\npath = /old*\n"
	"redirect = scheme https, authority new.example, code 307\nresponse-set x-why = moved\n"
	"[route no]\nhosts = www.example\nport = 80\npath = /secret*\n"
	"direct-response = 403\ndirect-response-body = not for you, never\n"
	"[route post]\nhosts = www.example\nport = 80\nto = egress\nmethod = POST\n"
	"retry-on = reset, 503, 429\nper-try-timeout = 1500ms\nrequest-set X-A = b\n"
	"request-add x-c = d; e\nrequest-remove = Cookie, x-b\nresponse-remove = server\n"
	"[route rest]\nhosts = www.example\nport = 8080\nto = egress\n"
	"[route mail]\nhosts = mail.wide.example\npath = /mail\nto = egress\n"
	"[route wide]\nhosts = *.wide.example\nto = egress\n"
	"[route out]\nhosts = www.example\nfrom = egress\nport = 80\nto = www.example\n"
	"[route old-out]\nhosts = old.example\nfrom = egress\nport = 80\nto = old.example\n";

/* ---- which route ---- */

/* Fields as "name: value" lines. */
static const char *find_line(const void *user, const char *name, uint32_t n, size_t *len)
{
	const char *const *lines = user;
	size_t size = strlen(name);

	for (; *lines != NULL; lines++)
		if (strncmp(*lines, name, size) == 0 && (*lines)[size] == ':' && n-- == 0) {
			*len = strlen(*lines + size + 1);
			return *lines + size + 1;
		}
	return NULL;
}

struct request {
	const char *host;
	uint16_t port;
	const char *method, *path, *lines[5], *route; /* route: "-" none, "!" refused */
};

#define ALL "x-kind:red, green", "user-agent:curl/8.1", "accept:"
static const struct request requests[] = {
	{"www.example", 80, "PUT", "/exact", {NULL}, "exact"},
	{"www.example", 80, "PUT", "/exact/", {NULL}, "exact"},
	{"www.example", 80, "PUT", "/exact/a/b", {NULL}, "exact"},
	{"www.example", 80, "PUT", "/exactly", {NULL}, "!"},
	{"www.example", 80, "PUT", "/Exact", {NULL}, "!"},
	{"www.example", 80, "PUT", "/exac", {NULL}, "!"},
	{"www.example", 80, "PUT", "", {NULL}, "!"},
	{"www.example", 80, "GET", "/", {ALL}, "head"},
	{"www.example", 80, "HEAD", "/", {ALL}, "head"},
	{"www.example", 80, "HEA", "/", {ALL}, "!"},
	{"www.example", 80, "HEADS", "/", {ALL}, "!"},
	{"www.example", 80, "get", "/", {ALL}, "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, green", "user-agent:curl/8.1"}, "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, gree", "user-agent:curl/8", "accept:"}, "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, greens", "user-agent:curl/8", "accept:"}, "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, green", "user-agent:curl", "accept:a"}, "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, green", "user-agent:curl/", "accept:a"}, "head"},
	{"www.example", 80, "GET", "/", {"x-kind:", "user-agent:curl/", "accept:a"}, "!"},
	/* Several lines are one, with commas. */
	{"www.example", 80, "GET", "/", {"x-kind:red", "x-kind: green", "user-agent:curl/", "accept:a"},
	 "head"},
	{"www.example", 80, "GET", "/", {"x-kind:red", "x-kind:green", "user-agent:curl/", "accept:a"}, "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, green", "x-kind:", "user-agent:curl/", "accept:a"},
	 "!"},
	{"www.example", 80, "GET", "/", {"x-kind:red, green", "user-agent:curl/1", "user-agent:x", "accept:a"},
	 "head"},
	{"www.example", 80, "GET", "/", {"x-kind:red, green", "user-agent:x", "user-agent:curl/1", "accept:a"},
	 "!"},
	{"www.example", 80, "GET", "/", {"x-kind:re", "x-kind:, green", "user-agent:curl/", "accept:a"},
	 "!"},
	{"www.example", 80, "GET", "/oldest", {NULL}, "moved"},
	{"www.example", 80, "GET", "/secret", {NULL}, "no"},
	{"www.example", 80, "POST", "/", {NULL}, "post"},
	{"www.example", 80, "POST", "/secret", {NULL}, "no"},
	{"www.example", 8080, "PUT", "/", {NULL}, "rest"},
	{"www.example", 81, "PUT", "/", {NULL}, "-"},
	{"other.example", 80, "PUT", "/", {NULL}, "-"},
	/* The key that is the most specific, and has routes with the port, is the last. */
	{"mail.wide.example", 80, "GET", "/mail", {NULL}, "mail"},
	{"mail.wide.example", 80, "GET", "/", {NULL}, "!"},
	{"a.wide.example", 80, "GET", "/", {NULL}, "wide"},
	/* What is not HTTP. */
	{"www.example", 80, NULL, NULL, {NULL}, "!"},
	{"www.example", 8080, NULL, NULL, {NULL}, "rest"},
	{"mail.wide.example", 443, NULL, NULL, {NULL}, "!"},
	{"a.wide.example", 443, NULL, NULL, {NULL}, "wide"},
	{"www.example", 443, NULL, NULL, {NULL}, "-"},
};

/* Whether routes were asked for by the path: only then does it matter what it means. */
static void test_by_path(void **state)
{
	static const struct {
		const char *host, *path;
		uint16_t port;
		bool by_path;
	} rows[] = {
		{"www.example", "/exact", 80, true},
		{"www.example", "/none", 80, true},
		{"www.example", "/", 8080, false},
		{"a.wide.example", "/", 80, false},
		{"mail.wide.example", "/mail", 80, true},
		{"other.example", "/", 80, false},
	};
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_text(plant, strlen(plant), "mesh", &p, &len);
	const char *none[] = {NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool by_path = false;
		struct policy_http http = {.path = rows[i].path, .path_len = strlen(rows[i].path),
					   .method = "PUT", .method_len = 3, .header = find_line,
					   .user = none, .by_path = &by_path};

		policy_find_route(&p, rows[i].host, strlen(rows[i].host), rows[i].port, &http);
		if (by_path != rows[i].by_path)
			fail_msg("row %zu", i);
	}
	free(bytes);
}

static void test_requests(void **state)
{
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_text(plant, strlen(plant), "mesh", &p, &len);

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct request *q = &requests[i];
		struct policy_http http = {.header = find_line, .user = q->lines};
		struct policy_route r = {.name = "-"};
		int64_t found;

		if (q->method != NULL) {
			http.method = q->method;
			http.method_len = strlen(q->method);
			http.path = q->path;
			http.path_len = strlen(q->path);
		}
		found = policy_find_route(&p, q->host, strlen(q->host), q->port,
					  q->method != NULL ? &http : NULL);
		if (found >= 0)
			policy_route(&p, (uint32_t)found, &r);
		else if (found == POLICY_ROUTE_REFUSED)
			r.name = "!";
		if (strcmp(r.name, q->route) != 0)
			fail_msg("row %zu: %s, not %s", i, r.name, q->route);
	}
	free(bytes);
}

/* What has routes and none for it is denied, whatever the mode. */
static void test_denied(void **state)
{
	static const struct {
		uint16_t port;
		enum route_seen seen;
		enum policy_outbound outbound;
		enum policy_enforcement enforcement;
		const char *path;
		enum route_verdict verdict;
		enum route_reason reason;
	} rows[] = {
		{80, ROUTE_SEEN_HTTP, POLICY_REGISTRY_ONLY, POLICY_ENFORCE, "/exact", ROUTE_SERVICE,
		 ROUTE_WHY_NAME},
		{80, ROUTE_SEEN_HTTP, POLICY_REGISTRY_ONLY, POLICY_ENFORCE, "/", ROUTE_DENY,
		 ROUTE_WHY_NO_ROUTE},
		{80, ROUTE_SEEN_HTTP, POLICY_REGISTRY_ONLY, POLICY_ENFORCE, NULL, ROUTE_DENY,
		 ROUTE_WHY_NO_ROUTE},
		{80, ROUTE_SEEN_HTTP, POLICY_ALLOW_ANY, POLICY_ENFORCE, "/", ROUTE_DENY,
		 ROUTE_WHY_NO_ROUTE},
		{80, ROUTE_SEEN_HTTP, POLICY_REGISTRY_ONLY, POLICY_AUDIT, "/", ROUTE_DENY,
		 ROUTE_WHY_NO_ROUTE},
		{80, ROUTE_SEEN_TLS, POLICY_ALLOW_ANY, POLICY_AUDIT, NULL, ROUTE_DENY,
		 ROUTE_WHY_NO_ROUTE},
		{8080, ROUTE_SEEN_HTTP, POLICY_REGISTRY_ONLY, POLICY_ENFORCE, "/", ROUTE_SERVICE,
		 ROUTE_WHY_NAME},
		{443, ROUTE_SEEN_TLS, POLICY_REGISTRY_ONLY, POLICY_ENFORCE, NULL, ROUTE_SERVICE,
		 ROUTE_WHY_NAME},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const none[] = {NULL};
		struct policy_http http = {.path = rows[i].path, .method = "PUT", .method_len = 3,
					   .header = find_line, .user = none};
		struct route_query q = {.port = rows[i].port, .seen = rows[i].seen,
					.name = "www.example", .name_len = 11};
		struct policy_error e;
		struct policy p;
		struct route r;
		size_t len;
		uint8_t *bytes;

		free(compile_text(plant, strlen(plant), "mesh", &p, &len));
		source.model.outbound = rows[i].outbound;
		source.model.enforcement = rows[i].enforcement;
		bytes = model_bytes(&source.model, &len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
		if (rows[i].path != NULL) {
			http.path_len = strlen(rows[i].path);
			q.http = &http;
		}
		route_find(&p, &q, &r);
		if (r.verdict != rows[i].verdict || r.reason != rows[i].reason ||
		    (r.verdict == ROUTE_DENY && r.routed))
			fail_msg("row %zu: verdict %d, reason %d", i, r.verdict, r.reason);
		free(bytes);
	}
}

/* ---- what is read ---- */

static uint32_t route_named(const struct policy *p, const char *name)
{
	struct policy_route r;

	for (uint32_t i = 0; i < p->n[FORMAT_ROUTES]; i++) {
		policy_route(p, i, &r);
		if (strcmp(r.name, name) == 0)
			return i;
	}
	fail_msg("no route %s", name);
	return 0;
}

static void test_rules(void **state)
{
	struct policy_header_change c;
	struct policy_route_http h;
	struct policy_route r;
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_text(plant, strlen(plant), "mesh", &p, &len);
	uint32_t exact = route_named(&p, "exact");

	(void)state;
	policy_route_http(&p, exact, &h);
	assert_true(h.conditional && h.action == POLICY_HTTP_FORWARD && h.retries == 2);
	assert_true(h.retry_on == POLICY_RETRY_DEFAULT && h.timeout == 0);
	assert_string_equal(h.rewrite_uri, "/new");
	assert_string_equal(h.rewrite_authority, "other.example:8080");
	assert_int_equal(policy_route_rewrites(&p, exact, "/exact", 6), 6);
	assert_int_equal(policy_route_rewrites(&p, exact, "/exact/a", 8), 7);
	assert_int_equal(policy_route_rewrites(&p, route_named(&p, "rest"), "/exact/a", 8), 1);
	policy_route_http(&p, route_named(&p, "head"), &h);
	assert_true(h.timeout == 5000 && h.retries == 0 && h.retry_on == 0);
	policy_route_http(&p, route_named(&p, "moved"), &h);
	assert_true(h.action == POLICY_HTTP_REDIRECT && h.redirect.https && h.redirect.port == 0 &&
		    h.redirect.code == 307 && h.redirect.uri == NULL && h.response.n == 1);
	assert_string_equal(h.redirect.authority, "new.example");
	policy_route(&p, route_named(&p, "moved"), &r);
	assert_true(r.destinations.n == 0 && r.weight == 0);
	policy_route_http(&p, route_named(&p, "no"), &h);
	assert_true(h.action == POLICY_HTTP_DIRECT && h.status == 403 && h.body_len == 18);
	assert_string_equal(h.body, "not for you, never");
	policy_route_http(&p, route_named(&p, "post"), &h);
	assert_true(h.retries == 2 && h.per_try == 1500 && h.retry_on == POLICY_RETRY_RESET);
	assert_true(h.retry_statuses.n == 2 && policy_item(h.retry_statuses, 0) == 429 &&
		    policy_item(h.retry_statuses, 1) == 503);
	assert_true(h.request.n == 4 && h.response.n == 1);
	policy_header_change(&p, h.request.first, &c);
	assert_true(c.change == POLICY_REMOVE && c.value == NULL && strcmp(c.name, "cookie") == 0);
	policy_header_change(&p, h.request.first + 3, &c);
	assert_true(c.change == POLICY_ADD && strcmp(c.name, "x-c") == 0);
	assert_string_equal(c.value, "d; e");
	policy_route_http(&p, route_named(&p, "rest"), &h);
	assert_false(h.conditional);
	free(bytes);
}

static void test_traffic(void **state)
{
	struct policy_traffic t;
	struct policy_gateway g;
	struct policy_server s;
	struct policy_tls tls;
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_text(plant, strlen(plant), "mesh", &p, &len);

	(void)state;
	policy_service_traffic(&p, 1, &t); /* web */
	assert_true(t.balance == POLICY_RANDOM && t.connect_timeout == 90250 && t.keepalive_s == 120);
	assert_true(t.idle_timeout == POLICY_IDLE_TIMEOUT && t.max_connections == 0);
	assert_true(t.outliers && t.consecutive_5xx == 5 && t.consecutive_gateway == 7 &&
		    t.consecutive_local == 5 && t.outlier_interval == 10000 &&
		    t.base_ejection == 30000 && t.max_ejection == 10 && t.min_health == 0);
	assert_true(t.health == POLICY_HEALTH_HTTP && t.health_interval == 10000 &&
		    t.health_timeout == 5000 && t.unhealthy == 3 && t.healthy == 2);
	assert_string_equal(t.health_path, "/ok");
	assert_false(policy_service_tls(&p, 1, &tls));
	assert_true(policy_service_tls(&p, 0, &tls)); /* old */
	assert_true(tls.mutual && tls.only_13 && tls.n_pins == 2 && tls.alt_names.n == 2);
	assert_true(tls.pins[0] == 0 && tls.pins[POLICY_PIN_SIZE] == 0xe3);
	assert_string_equal(tls.private_key.path, "/etc/n.key");
	policy_gateway_traffic(&p, 0, &t);
	assert_true(t.max_connections == 10 && !t.outliers && t.health == POLICY_HEALTH_NONE);
	assert_true(policy_gateway_tls(&p, 0, &tls) && !tls.mutual && tls.n_pins == 0);
	assert_string_equal(tls.ca.path, "/etc/plant.pem");
	assert_false(policy_server(&p, 0, &s)); /* its own keys stay with it */
	policy_gateway(&p, 0, &g);
	assert_int_equal(g.proxy_from.n, 0);
	free(bytes);
	bytes = compile_text(plant, strlen(plant), "egress", &p, &len);
	policy_gateway(&p, 0, &g);
	assert_true(g.via == POLICY_VIA_PLAIN && g.proxy_from.n == 1);
	assert_false(policy_gateway_tls(&p, 0, &tls)); /* nor does it get those of others */
	assert_true(policy_server(&p, 0, &s) && !s.only_13 && s.alt_names.n == 1);
	assert_string_equal(s.client_ca.path, "/etc/c.pem");
	assert_int_equal(policy_server_tls(&p, g.servers.first), POLICY_SERVER_NONE); /* 80 */
	assert_int_equal(policy_server_tls(&p, g.servers.first + 1), POLICY_SERVER_MUTUAL);
	assert_int_equal(policy_server_tls(&p, g.servers.first + 3), POLICY_SERVER_AUTO_PASSTHROUGH);
	assert_int_equal(policy_server_tls(&p, g.servers.first + 4), POLICY_SERVER_PASSTHROUGH);
	free(bytes);
}

static void test_show_again(void **state)
{
	static const char *const nodes[] = {"mesh", "egress"};

	(void)state;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct policy p;
		size_t len, again_len, text_len;
		uint8_t *bytes = compile_text(plant, strlen(plant), nodes[i], &p, &len), *again;
		char *text = NULL;
		FILE *out = open_memstream(&text, &text_len);

		assert_non_null(out);
		assert_int_equal(show_policy(&p, out), 0);
		fclose(out);
		again = compile_text(text, text_len, nodes[i], &p, &again_len);
		if (again_len != len || memcmp(again, bytes, len) != 0)
			fail_msg("node %s: what is shown is compiled otherwise:\n%s", nodes[i], text);
		free(text);
		free(bytes);
		free(again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_by_path), cmocka_unit_test(test_denied),
		cmocka_unit_test(test_rules),    cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_show_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
