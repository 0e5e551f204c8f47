/* SPDX-License-Identifier: MIT */
/*
 * Gateways and routes from the source on: what each node's policy holds, which route is found, what
 * show and explain say of it. compile refuses some of it (check_able()), so they are made here.
 */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/ask.c rules/auto_address.c */
/* LINK: rules/check.c rules/check_able.c rules/check_bypass.c rules/check_capture.c */
/* LINK: rules/check_chain.c rules/check_gateway.c rules/check_node.c rules/check_route.c */
/* LINK: rules/check_service.c rules/check_udp.c rules/compile.c rules/crc32c.c rules/diag.c */
/* LINK: rules/emit.c rules/emit_gateway.c rules/explain.c rules/explain_dns.c rules/file.c */
/* LINK: rules/explain_gateway.c rules/explain_limit.c rules/explain_udp.c rules/gateway.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/host_table.c rules/hosts.c rules/ini.c rules/item.c rules/language.c rules/lookup.c */
/* LINK: rules/model.c rules/name.c rules/policy.c rules/pool.c rules/port_table.c rules/route.c */
/* LINK: rules/show.c rules/show_gateway.c rules/source.c rules/text.c rules/value.c rules/verify.c */
/* LINK: rules/route_gateway.c */
/* LINK: rules/verify_gateway.c rules/verify_record.c rules/verify_table.c rules/word.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c rules/check_key.c rules/check_rule.c rules/check_traffic.c */
/* LINK: rules/value_rule.c rules/value_traffic.c rules/show_rule.c rules/show_traffic.c */
/* LINK: rules/explain_rule.c rules/explain_option.c */
/* LINK: rules/key.c */
#include <getopt.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy_model.h"
#include "rules/check.h"
#include "rules/command.h"
#include "rules/explain.h"
#include "rules/route.h"
#include "rules/show.h"

int command_usage(const char *name)
{
	(void)name;
	return EX_USAGE;
}

static const char plant[] =
	"[service wikipedia]\nhosts = www.wikipedia.org\nports = http:80, https:443\n"
	"resolution = dns\n"
	"[service shop]\nhosts = *.shop.example, a.b.shop.example\nports = https:443\n"
	"resolution = dns\nendpoints = front.example\n"
	"[service db]\nhosts = db.example\nports = tcp:5432\nresolution = static\n"
	"endpoints = 203.0.113.5\naddresses = 198.51.100.0/24\n"
	"[service direct]\nhosts = direct.example\nports = https:443\nresolution = dns\n"
	"[service api]\nhosts = api.example\nports = http:80\nresolution = dns\n"
	"[gateway egress]\naddress = egress.example, 203.0.113.7:8080 weight 2\n"
	"servers = http:80, tls:443, tcp:5432\n"
	"hosts = www.wikipedia.org, *.shop.example, db.example, api.example\n"
	"subset wikipedia =\nsubset spare = 203.0.113.8\n"
	"[gateway far]\naddress = far.example:9443\nservers = tls:443\nhosts = *.shop.example\n"
	"via = tls\nca = /etc/far.pem\n"
	"[gateway unused]\naddress = unused.example\nservers = tls:443\nhosts = a.example\n"
	"[route wide]\nhosts = *.shop.example\nport = 443\nto = egress/spare weight 1, far weight 3\n"
	"[route narrow]\nhosts = a.b.shop.example\nport = 443\nto = far\n"
	"[route narrow-all]\nhosts = a.b.shop.example\nto = egress\n"
	"[route wikipedia]\nhosts = www.wikipedia.org\nport = 80\nfrom = mesh\n"
	"to = egress/wikipedia weight 100\n"
	"[route db]\nhosts = db.example\nto = egress\n"
	"[route wikipedia-out]\nhosts = www.wikipedia.org\nport = 80\nfrom = egress\n"
	"to = www.wikipedia.org:80\n"
	"[route api-old]\nhosts = api.example\npath = /old*\nredirect = scheme https, code 308\n"
	"response-set x-why = old\n"
	"[route api]\nhosts = api.example\nport = 80\nmethod = POST\nheader x-kind = red\n"
	"to = egress\ntimeout = 5s\nretries = 1\nretry-on = 503\nrequest-set x-a = b\n"
	"rewrite-uri = /v2\n"
	"[route shop-out]\nhosts = *.shop.example\nfrom = egress\nto = far\n";

static struct source source;

/* As compile does, but for what it refuses to do yet. */
static uint8_t *compile_text(const char *text, size_t text_len, const char *node, size_t *len)
{
	source = (struct source){.file = NULL};
	source_read_bytes(&source, "plant", text, text_len);
	check_source(&source, node);
	if (source.diag.errors != 0) {
		diag_print(&source.diag, "plant", stderr);
		fail_msg("the source has errors");
	}
	return model_bytes(&source.model, len);
}

static uint8_t *compile_plant(const char *node, struct policy *p, size_t *len)
{
	struct policy_error e;
	uint8_t *bytes = compile_text(plant, strlen(plant), node, len);

	if (policy_open_bytes(p, bytes, *len, &e) != 0)
		fail_msg("%s", e.text);
	return bytes;
}

/* ---- what the nodes hold ---- */

static char *names(const struct policy *p, char out[256])
{
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++) {
		struct policy_service s;

		policy_service(p, i, &s);
		n += (size_t)snprintf(out + n, 256 - n, "%s ", s.name);
	}
	n += (size_t)snprintf(out + n, 256 - n, "| ");
	for (uint32_t i = 0; i < p->n[FORMAT_GATEWAYS]; i++) {
		struct policy_gateway g;

		policy_gateway(p, i, &g);
		n += (size_t)snprintf(out + n, 256 - n, "%s:%u ", g.name, g.subsets.n);
	}
	n += (size_t)snprintf(out + n, 256 - n, "| ");
	for (uint32_t i = 0; i < p->n[FORMAT_ROUTES]; i++) {
		struct policy_route r;

		policy_route(p, i, &r);
		n += (size_t)snprintf(out + n, 256 - n, "%s ", r.name);
	}
	return out;
}

static void test_nodes(void **state)
{
	static const struct { const char *node; int own; const char *names; } rows[] = {
		{"mesh", -1, "api db direct shop wikipedia | egress:2 far:0 | wide narrow "
			     "narrow-all wikipedia db api-old api "},
		{"egress", 0, "wikipedia | egress:0 far:0 | wikipedia-out shop-out "},
		{"far", 0, "| far:0 | "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy p;
		char text[256];
		size_t len;
		uint8_t *bytes = compile_plant(rows[i].node, &p, &len);

		assert_string_equal(names(&p, text), rows[i].names);
		assert_int_equal(policy_own_gateway(&p), rows[i].own);
		assert_false(policy_is_direct(&p));
		free(bytes);
	}
}

/* ---- reading ---- */

static void test_records(void **state)
{
	struct policy_destination d;
	struct policy_endpoint e;
	struct policy_gateway g;
	struct policy_tls t;
	struct policy_route r;
	struct policy_port port;
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_plant("mesh", &p, &len);

	(void)state;
	policy_gateway(&p, 1, &g);
	assert_string_equal(g.name, "far");
	assert_int_equal(g.via, POLICY_VIA_TLS);
	assert_true(policy_gateway_tls(&p, 1, &t) && !policy_gateway_tls(&p, 0, &t));
	policy_gateway_tls(&p, 1, &t);
	assert_string_equal(t.ca.path, "/etc/far.pem");
	assert_true(t.certificate.path == NULL && t.sni == NULL && t.alt_names.n == 0);
	policy_route(&p, 0, &r);
	assert_string_equal(r.first_host, ".shop.example");
	assert_true(r.port == 443 && r.weight == 4 && r.destinations.n == 2);
	policy_destination(&p, r.destinations.first, &d);
	assert_true(d.host == NULL && d.gateway == 0 && d.weight == 1 && d.endpoints.n == 1);
	assert_string_equal(d.subset, "spare");
	policy_destination(&p, r.destinations.first + 1, &d);
	assert_true(d.gateway == 1 && d.subset == NULL && d.weight == 3 && d.endpoints.n == 1);
	policy_endpoint(&p, d.endpoints.first, &e);
	assert_string_equal(e.name, "far.example");
	assert_int_equal(e.port, 9443);
	policy_route(&p, 3, &r); /* weight 100, alone; an empty subset */
	policy_destination(&p, r.destinations.first, &d);
	assert_true(r.weight == 1 && d.weight == 1 && d.endpoints.n == 2);
	assert_string_equal(d.subset, "wikipedia");
	free(bytes);
	bytes = compile_plant("egress", &p, &len);
	policy_route(&p, 0, &r);
	policy_destination(&p, r.destinations.first, &d);
	assert_string_equal(d.host, "www.wikipedia.org");
	assert_int_equal(policy_destination_service(&p, &d, NULL, &port), 0);
	assert_true(port.number == 80 && port.protocol == POLICY_PROTO_HTTP);
	free(bytes);
}

static void test_find(void **state)
{
	static const struct { const char *key; uint16_t port; const char *route; } rows[] = {
		{"x.shop.example", 443, "wide"}, {"b.shop.example", 443, "wide"},
		{"x.b.shop.example", 443, "wide"}, {"x.shop.example", 80, NULL},
		{".shop.example", 443, "wide"}, {".x.shop.example", 443, "wide"},
		{"a.b.shop.example", 443, "narrow"}, {"a.b.shop.example", 80, "narrow-all"},
		{"c.a.b.shop.example", 443, "wide"}, {"shop.example", 443, NULL},
		{"xshop.example", 443, NULL}, {".example", 443, NULL}, {"", 443, NULL},
		{"www.wikipedia.org", 80, "wikipedia"}, {"www.wikipedia.org", 443, NULL},
		{"ww.wikipedia.org", 80, NULL}, {"www.wikipedia.orga", 80, NULL},
		{"db.example", 5432, "db"}, {"db.example", 1, "db"}, {"zz.example", 1, NULL},
	};
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_plant("mesh", &p, &len);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t found = policy_find_route(&p, rows[i].key, strlen(rows[i].key),
						  rows[i].port, NULL);
		struct policy_route r = {.name = NULL};

		if (found >= 0)
			policy_route(&p, (uint32_t)found, &r);
		if (rows[i].route == NULL ? found >= 0
					  : found < 0 || strcmp(r.name, rows[i].route) != 0)
			fail_msg("%s:%u: %s", rows[i].key, rows[i].port,
				 found >= 0 ? r.name : "none");
	}
	assert_true(policy_gateway_accepts(&p, 0, "x.shop.example", 14));
	assert_true(policy_gateway_accepts(&p, 0, "db.example", 10));
	assert_false(policy_gateway_accepts(&p, 0, "shop.example", 12));
	assert_false(policy_gateway_accepts(&p, 1, "db.example", 10));
	free(bytes);
}

/* ---- the decision ---- */

static void test_decision(void **state)
{
	static const struct {
		enum route_seen seen;
		const char *dst, *name;
		uint16_t port;
		enum policy_outbound outbound;
		enum route_verdict verdict;
		const char *route;
	} rows[] = {
		{ROUTE_SEEN_HTTP, "192.0.2.1", "www.wikipedia.org", 80, POLICY_REGISTRY_ONLY,
		 ROUTE_SERVICE, "wikipedia"},
		{ROUTE_SEEN_TLS, "192.0.2.1", "www.wikipedia.org", 443, POLICY_REGISTRY_ONLY,
		 ROUTE_SERVICE, NULL},
		{ROUTE_SEEN_TLS, "192.0.2.1", "a.b.shop.example", 443, POLICY_REGISTRY_ONLY,
		 ROUTE_SERVICE, "narrow"},
		{ROUTE_SEEN_TLS, "192.0.2.1", "direct.example", 443, POLICY_REGISTRY_ONLY,
		 ROUTE_SERVICE, NULL},
		/* By address, whatever is said: the service's host has the route. */
		{ROUTE_SEEN_NOTHING, "198.51.100.3", NULL, 5432, POLICY_REGISTRY_ONLY,
		 ROUTE_SERVICE, "db"},
		{ROUTE_SEEN_TLS, "198.51.100.3", "direct.example", 5432, POLICY_REGISTRY_ONLY,
		 ROUTE_SERVICE, "db"},
		/* Not listed so, but routed: never the original destination. */
		{ROUTE_SEEN_HTTP, "192.0.2.1", "db.example", 8080, POLICY_ALLOW_ANY,
		 ROUTE_PASSTHROUGH, "db"},
		{ROUTE_SEEN_HTTP, "192.0.2.1", "other.example", 8080, POLICY_ALLOW_ANY,
		 ROUTE_PASSTHROUGH, NULL},
		{ROUTE_SEEN_HTTP, "192.0.2.1", "db.example", 8080, POLICY_REGISTRY_ONLY,
		 ROUTE_DENY, NULL},
		{ROUTE_SEEN_NOTHING, "192.0.2.1", NULL, 80, POLICY_REGISTRY_ONLY, ROUTE_SNIFF,
		 NULL},
	};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct route_query q = {.port = rows[i].port, .seen = rows[i].seen,
					.name = rows[i].name};
		struct policy_route found = {.name = ""};
		struct policy_error e;
		struct policy p;
		struct route r;
		uint8_t *bytes;

		free(compile_text(plant, strlen(plant), "mesh", &len));
		source.model.outbound = rows[i].outbound;
		bytes = model_bytes(&source.model, &len);
		assert_int_equal(policy_open_bytes(&p, bytes, len, &e), 0);
		assert_int_equal(addr_parse(&q.dst, rows[i].dst, strlen(rows[i].dst)), 0);
		q.name_len = q.name != NULL ? strlen(q.name) : 0;
		route_find(&p, &q, &r);
		if (r.routed)
			policy_route(&p, r.route, &found);
		if (r.verdict != rows[i].verdict || r.routed != (rows[i].route != NULL) ||
		    (r.routed && strcmp(found.name, rows[i].route) != 0))
			fail_msg("row %zu: verdict %d, route \"%s\"", i, r.verdict, found.name);
		free(bytes);
	}
}

/* ---- show and explain ---- */

static void test_show_again(void **state)
{
	static const char *const nodes[] = {"mesh", "egress", "far"};

	(void)state;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct policy p;
		size_t len, again_len, text_len;
		uint8_t *bytes = compile_plant(nodes[i], &p, &len), *again;
		char *text = NULL;
		FILE *out = open_memstream(&text, &text_len);

		assert_non_null(out);
		assert_int_equal(show_policy(&p, out), 0);
		fclose(out);
		again = compile_text(text, text_len, nodes[i], &again_len);
		if (again_len != len || memcmp(again, bytes, len) != 0)
			fail_msg("node %s: what is shown is compiled otherwise:\n%s", nodes[i],
				 text);
		free(text);
		free(bytes);
		free(again);
	}
}

static char *explain(const char *node, const char *what, int *code, char out[2048])
{
	char path[] = "/tmp/test_gateway.XXXXXX";
	char *words[8] = {(char[]){"explain"}, path}, *kept_what = strdup(what), *word;
	int n = 2;
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_plant(node, &p, &len);
	int fd = mkstemp(path), kept = dup(STDOUT_FILENO);
	FILE *caught = tmpfile();

	assert_true(fd >= 0 && kept >= 0 && caught != NULL && kept_what != NULL);
	for (word = strtok(kept_what, " "); word != NULL; word = strtok(NULL, " "))
		words[n++] = word;
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
	fflush(stdout);
	assert_true(dup2(fileno(caught), STDOUT_FILENO) >= 0);
	optind = 0;
	*code = command_explain(n, words);
	fflush(stdout);
	assert_true(dup2(kept, STDOUT_FILENO) >= 0);
	close(kept);
	unlink(path);
	rewind(caught);
	out[fread(out, 1, 2047, caught)] = '\0';
	fclose(caught);
	free(kept_what);
	free(bytes);
	return out;
}

static void test_explain(void **state)
{
	static const struct { const char *node, *what; int code; const char *text; } rows[] = {
		{"mesh", "http://www.wikipedia.org", 0,
		 "route:    wikipedia\n"
		 "to:       gateway egress, subset wikipedia, via plain, at egress.example:80, "
		 "203.0.113.7:8080 weight 2; weight 1 of 1\n"
		 "cluster:  outbound|80|wikipedia|egress\n"},
		{"mesh", "https://x.shop.example", 0,
		 "route:    wide\n"
		 "to:       gateway egress, subset spare, via plain, at 203.0.113.8:443; weight 1 "
		 "of 4\n"
		 "to:       gateway far, via tls, at far.example:9443; weight 3 of 4\n"
		 "tls:      to far: TLS 1.2 or 1.3, ca /etc/far.pem\n"
		 "cluster:  outbound|443|spare|egress\n"
		 "cluster:  outbound|443||far\n"},
		{"mesh", "https://direct.example", 0, "route:    direct, through no gateway\n"},
		{"mesh", "198.51.100.7:5432", 0, "route:    db\n"},
		{"mesh", "http://api.example/oldest?x", 0,
		 "route:    api-old\n"
		 "client:   HTTP/1.1 308, to scheme https\n"
		 "response: sets x-why: old\n"},
		{"mesh", "--method POST --header X-Kind=red http://api.example", 0,
		 "route:    api\n"
		 "timeout:  all 5s\n"
		 "retries:  1 on 503\n"
		 "rewrite:  the path's matched part becomes /v2\n"
		 "request:  sets x-a: b\n"
		 "to:       gateway egress, via plain, at egress.example:80, "},
		{"mesh", "--method POST api.example:80", 1,
		 "why:      no route has this host and port, or none of its routes is for this\n"
		 "service:  none\n"
		 "client:   HTTP/1.1 404 Not Found\n"
		 "cluster:  none (flag NR)\n"},
		{"mesh", "--method POST https://api.example", EX_USAGE, ""},
		{"mesh", "--header x http://api.example", EX_USAGE, ""},
		{"mesh", "--node mesh http://api.example", EX_USAGE, ""},
		{"egress", "http://www.wikipedia.org", 0,
		 "asked:    www.wikipedia.org, port 80, at gateway egress\n"
		 "verdict:  allowed\n"
		 "why:      the gateway accepts this host, and a route has it\n"
		 "server:   http:80\n"
		 "route:    wikipedia-out\n"
		 "to:       www.wikipedia.org:80, as service wikipedia has it; weight 1 of 1\n"
		 "cluster:  outbound|80||www.wikipedia.org\n"},
		{"egress", "http://direct.example", 1,
		 "why:      the gateway's hosts do not hold this host\n"
		 "client:   HTTP/1.1 404 Not Found\n"},
		{"egress", "https://www.wikipedia.org", 1,
		 "why:      no route has this host and port, or none of its routes is for this\n"
		 "client:   the connection is closed before a byte goes out\n"},
		{"egress", "www.wikipedia.org:81", 1,
		 "why:      no server of the gateway has this port and protocol\n"},
		{"egress", "192.0.2.1:80", 1, "why:      the client names no host\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[2048];
		int code;

		explain(rows[i].node, rows[i].what, &code, text);
		if (code != rows[i].code || strstr(text, rows[i].text) == NULL)
			fail_msg("%s: %s: exit status %d\n%s", rows[i].node, rows[i].what, code,
				 text);
	}
}

static void test_gateway_decision(void **state)
{
	static const struct {
		enum route_seen seen;
		const char *name;
		uint16_t port;
		enum route_verdict verdict;
		enum route_reason reason;
		const char *route;
	} rows[] = {
		{ROUTE_SEEN_NOTHING, NULL, 80, ROUTE_SNIFF, ROUTE_WHY_NONE, NULL},
		{ROUTE_SEEN_HTTP, "www.wikipedia.org", 80, ROUTE_ALONG, ROUTE_WHY_ROUTE,
		 "wikipedia-out"},
		{ROUTE_SEEN_TLS, "a.shop.example", 443, ROUTE_ALONG, ROUTE_WHY_ROUTE, "shop-out"},
		{ROUTE_SEEN_HTTP, "www.wikipedia.org", 443, ROUTE_DENY, ROUTE_WHY_NO_SERVER, NULL},
		{ROUTE_SEEN_TLS, "www.wikipedia.org", 80, ROUTE_DENY, ROUTE_WHY_NO_SERVER, NULL},
		{ROUTE_SEEN_OTHER, NULL, 80, ROUTE_DENY, ROUTE_WHY_NO_SERVER, NULL},
		{ROUTE_SEEN_HTTP, NULL, 80, ROUTE_DENY, ROUTE_WHY_NO_NAME, NULL},
		{ROUTE_SEEN_TLS, NULL, 443, ROUTE_DENY, ROUTE_WHY_NO_NAME, NULL},
		{ROUTE_SEEN_HTTP, "direct.example", 80, ROUTE_DENY, ROUTE_WHY_NO_HOST, NULL},
		{ROUTE_SEEN_HTTP, "wikipedia.org", 80, ROUTE_DENY, ROUTE_WHY_NO_HOST, NULL},
		{ROUTE_SEEN_TLS, "www.wikipedia.org", 443, ROUTE_DENY, ROUTE_WHY_NO_ROUTE, NULL},
		{ROUTE_SEEN_NOTHING, NULL, 81, ROUTE_DENY, ROUTE_WHY_NO_SERVER, NULL},
		/* Only a route that says the port has what says no name. */
		{ROUTE_SEEN_NOTHING, NULL, 5432, ROUTE_DENY, ROUTE_WHY_NO_ROUTE, NULL},
	};
	struct policy p;
	size_t len;
	uint8_t *bytes = compile_plant("egress", &p, &len);
	uint32_t own = (uint32_t)policy_own_gateway(&p);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct route_query q = {.port = rows[i].port, .seen = rows[i].seen,
					.name = rows[i].name};
		struct policy_route found = {.name = NULL};
		struct route r;

		q.name_len = q.name != NULL ? strlen(q.name) : 0;
		route_find_gateway(&p, own, &q, &r);
		if (r.routed)
			policy_route(&p, r.route, &found);
		if (r.verdict != rows[i].verdict || r.reason != rows[i].reason ||
		    r.routed != (rows[i].route != NULL) ||
		    (r.routed && strcmp(found.name, rows[i].route) != 0))
			fail_msg("row %zu: verdict %d, %s, route %s", i, r.verdict,
				 route_reason_code(r.reason), found.name);
	}
	free(bytes);
}

/* Only the last check keeps such from being compiled; all that routes say is done. */
static void test_refused(void **state)
{
	static const char undone[] =
		"[service a]\nhosts = a.example\nports = http2:80, grpc:81\nresolution = dns\n"
		"health-check = tcp\n"
		"[gateway g]\naddress = g.example\nservers = http2:80, tls:443 auto-passthrough\n"
		"hosts = *\n[route a]\nhosts = a.example\nto = g\n";
	size_t len;

	(void)state;
	free(compile_text(plant, strlen(plant), "mesh", &len));
	check_able(&source);
	assert_int_equal(source.diag.errors, 0);
	free(compile_text(undone, strlen(undone), "mesh", &len));
	check_able(&source);
	assert_int_equal(source.diag.errors, 4); /* a node does not need the server's passthrough */
	free(compile_text(undone, strlen(undone), "g", &len));
	check_able(&source);
	assert_int_equal(source.diag.errors, 2); /* nor a gateway services that it has no route to */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),      cmocka_unit_test(test_records),
		cmocka_unit_test(test_find),       cmocka_unit_test(test_decision),
		cmocka_unit_test(test_show_again), cmocka_unit_test(test_explain),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_gateway_decision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
