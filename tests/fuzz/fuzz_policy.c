/* SPDX-License-Identifier: MIT */
/* Any bytes as a compiled policy, length and checksum put right; look-ups in what is accepted. */
/* LINK: rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/verify.c rules/verify_record.c rules/verify_table.c rules/crc32c.c rules/name.c */
/* LINK: rules/addr.c rules/addr_class.c rules/capture.c rules/lookup.c rules/route.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c */
#include "rules/crc32c.h"
#include "rules/gateway.h"
#include "rules/lookup.h"
#include "rules/policy.c"
#include "rules/route.h"
#include "tests/fuzz/fuzz.h"

/* libFuzzer's; not there when seeds are replayed. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t room, unsigned seed);

static void mend(uint8_t *data, size_t len)
{
	if (len < HEADER_SIZE)
		return;
	memcpy(data + HEADER_MAGIC, FORMAT_MAGIC, 8);
	put_le16(data + HEADER_VERSION, FORMAT_VERSION);
	put_le32(data + HEADER_LENGTH, (uint32_t)len);
	put_le32(data + HEADER_CRC, 0);
	put_le32(data + HEADER_CRC, crc32c(0, data, len));
}

/* Half of the time whole records are hit rather than bytes: one small number becomes another. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t room, unsigned seed)
{
	if (seed & 1 && len > HEADER_SIZE + 4) {
		size_t at = (seed >> 8) % (len - 4) & ~(size_t)3;

		put_le32(data + at, get_le32(data + at) + (uint32_t)(seed >> 1 & 7) - 3);
	} else {
		len = LLVMFuzzerMutate(data, len, room);
	}
	mend(data, len);
	return len;
}

static volatile uint64_t sink;

static void take_text(const char *text)
{
	if (text)
		sink += strlen(text);
}

static void take_strings(const struct policy *p, struct policy_list list)
{
	for (uint32_t i = 0; i < list.n; i++)
		take_text(policy_string(p, policy_item(list, i)));
}

static void take_ranges(const struct policy *p, struct policy_run run)
{
	uint32_t first, last;

	for (uint32_t i = 0; i < run.n; i++) {
		policy_range(p, run.first + i, &first, &last);
		must(first <= last);
	}
}

static void take_cidrs(const struct policy *p, struct policy_run run)
{
	struct cidr c;

	for (uint32_t i = 0; i < run.n; i++) {
		policy_cidr(p, run.first + i, &c);
		must(c.bits <= 128);
	}
}

static void take_meta(const struct policy *p)
{
	struct policy_meta m;
	struct policy_capture c;

	policy_meta(p, &m);
	take_text(m.name);
	take_text(m.namespace_);
	take_text(m.node);
	take_text(m.access_log);
	take_strings(p, m.nameservers);
	policy_capture(p, &c);
	take_strings(p, c.interfaces);
	take_strings(p, c.exclude_interfaces);
	take_ranges(p, c.ports);
	take_ranges(p, c.exclude_ports);
	take_ranges(p, c.exempt_uids);
	take_ranges(p, c.exempt_gids);
	take_cidrs(p, c.exclude_cidrs);
}

static void take_bytes(const void *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sink += ((const uint8_t *)bytes)[i];
}

static void take_traffic(const struct policy_traffic *t)
{
	must(t->connect_timeout > 0 && t->idle_timeout > 0);
	must(!t->outliers || (t->outlier_interval > 0 && t->max_ejection <= 100));
	must(t->health == POLICY_HEALTH_NONE ||
	     (t->health_timeout > 0 && t->health_timeout <= t->health_interval && t->healthy > 0));
	must((t->health == POLICY_HEALTH_HTTP) == (t->health_path != NULL));
	take_text(t->health_path);
	take_text(policy_balance_name(t->balance));
}

static void take_pem(const struct policy_pem *pem, bool said)
{
	must(!said || (pem->path == NULL) != (pem->bytes == NULL));
	take_text(pem->path);
	if (pem->bytes != NULL)
		must(pem->bytes[pem->len] == '\0');
	take_bytes(pem->bytes, pem->len);
}

static void take_tls(const struct policy *p, const struct policy_tls *t, bool said)
{
	if (!said)
		return;
	take_pem(&t->ca, true);
	take_pem(&t->certificate, t->mutual);
	take_pem(&t->private_key, t->mutual);
	take_text(t->sni);
	take_strings(p, t->alt_names);
	take_bytes(t->pins, t->n_pins * POLICY_PIN_SIZE);
}

static void take_changes(const struct policy *p, struct policy_run run)
{
	for (uint32_t i = 0; i < run.n; i++) {
		struct policy_header_change c;

		policy_header_change(p, run.first + i, &c);
		must(policy_is_field(c.name) && !policy_is_fixed_field(c.name));
		must((c.value == NULL) == (c.change == POLICY_REMOVE));
		take_bytes(c.value, c.value_len);
	}
}

static const char *no_header(const void *user, const char *name, uint32_t n, size_t *len)
{
	(void)user;
	*len = n;
	return n < 3 ? name : NULL;
}

/* Says whether the route answers. */
static bool take_rule(const struct policy *p, uint32_t i)
{
	static const struct policy_http http = { .path = "/a/b", .path_len = 4, .method = "GET",
						 .method_len = 3, .header = no_header };
	struct policy_conditions c;
	struct policy_route_http h;

	policy_conditions(p, i, &c);
	take_strings(p, c.paths);
	take_strings(p, c.methods);
	for (uint32_t k = 0; k < c.headers.n; k++) {
		struct policy_header_match m;

		policy_header_match(p, c.headers.first + k, &m);
		take_text(m.name);
		take_bytes(m.value, m.value_len);
	}
	policy_route_http(p, i, &h);
	must(h.conditional == (c.paths.n + c.methods.n + c.headers.n > 0));
	must(!policy_route_meets(p, i, NULL) ==
	     (h.conditional || h.action != POLICY_HTTP_FORWARD));
	must(h.conditional || policy_route_meets(p, i, &http));
	must(policy_route_rewrites(p, i, http.path, http.path_len) <= http.path_len);
	for (uint32_t k = 0; k < h.retry_statuses.n; k++)
		must(policy_item(h.retry_statuses, k) - 100 < 500);
	take_changes(p, h.request);
	take_changes(p, h.response);
	take_text(h.rewrite_uri);
	take_text(h.rewrite_authority);
	take_text(h.redirect.uri);
	take_text(h.redirect.authority);
	take_bytes(h.body, h.body_len);
	return h.action != POLICY_HTTP_FORWARD;
}

static void take_service(const struct policy *p, uint32_t i)
{
	struct policy_service s;
	struct policy_traffic traffic;
	struct policy_tls t;
	struct policy_port port;
	struct policy_endpoint e;

	policy_service(p, i, &s);
	policy_service_traffic(p, i, &traffic);
	take_traffic(&traffic);
	take_tls(p, &t, policy_service_tls(p, i, &t));
	take_text(s.name);
	take_strings(p, s.export_to);
	take_cidrs(p, s.cidrs);
	take_cidrs(p, s.clients);
	if (s.first_host)
		sink += s.first_host[s.first_host[0]];
	for (uint32_t k = 0; k < s.ports.n; k++) {
		policy_port(p, s.ports.first + k, &port);
		take_text(policy_protocol_name(port.protocol));
		sink += (uint64_t)policy_service_port(p, i, port.number, &port);
	}
	for (uint32_t k = 0; k < s.endpoints.n; k++) {
		policy_endpoint(p, s.endpoints.first + k, &e);
		take_text(e.name);
	}
}

static void take_endpoints(const struct policy *p, struct policy_run run)
{
	struct policy_endpoint e;

	for (uint32_t k = 0; k < run.n; k++) {
		policy_endpoint(p, run.first + k, &e);
		take_text(e.name);
	}
}

static void take_gateway(const struct policy *p, uint32_t i)
{
	struct policy_gateway g;
	struct policy_traffic traffic;
	struct policy_tls t;
	struct policy_server server;
	struct policy_subset s;
	struct policy_port port;

	policy_gateway(p, i, &g);
	take_text(g.name);
	take_text(policy_via_name(g.via));
	take_strings(p, g.hosts);
	must(g.endpoints.n > 0 && g.servers.n > 0);
	must((g.via == POLICY_VIA_TLS || g.via == POLICY_VIA_MUTUAL) ==
	     policy_gateway_tls(p, i, &t));
	take_tls(p, &t, g.via == POLICY_VIA_TLS || g.via == POLICY_VIA_MUTUAL);
	if (policy_server(p, i, &server)) {
		take_pem(&server.certificate, true);
		take_pem(&server.private_key, true);
		take_pem(&server.client_ca, false);
		take_strings(p, server.alt_names);
	}
	policy_gateway_traffic(p, i, &traffic);
	take_traffic(&traffic);
	take_cidrs(p, g.proxy_from);
	take_endpoints(p, g.endpoints);
	for (uint32_t k = 0; k < g.servers.n; k++) {
		policy_port(p, g.servers.first + k, &port);
		must(port.protocol != POLICY_PROTO_UDP);
		take_text(policy_server_tls_name(policy_server_tls(p, g.servers.first + k)));
	}
	for (uint32_t k = 0; k < g.subsets.n; k++) {
		policy_subset(p, g.subsets.first + k, &s);
		take_text(s.name);
		take_endpoints(p, s.endpoints);
	}
	sink += policy_gateway_accepts(p, i, "www.wikipedia.org", 17);
}

static void take_route(const struct policy *p, uint32_t i)
{
	struct policy_destination d;
	struct policy_route r;
	struct policy_port port;
	uint64_t sum = 0;
	bool answers;

	policy_route(p, i, &r);
	take_text(r.name);
	take_text(r.first_host);
	answers = take_rule(p, i);
	must(answers == (r.destinations.n == 0));
	must(policy_find_route(p, r.first_host, strlen(r.first_host), r.port, NULL) !=
	     POLICY_ROUTE_NONE);
	for (uint32_t k = 0; k < r.destinations.n; k++) {
		policy_destination(p, r.destinations.first + k, &d);
		sum += d.weight;
		take_text(d.subset);
		if (d.host != NULL)
			must(policy_destination_service(p, &d, NULL, &port) >= 0);
		else
			must(d.gateway < p->n[FORMAT_GATEWAYS] && d.endpoints.n > 0 &&
			     d.gateway != policy_own_gateway(p));
		take_endpoints(p, d.endpoints);
	}
	must(sum == r.weight && (sum > 0) != answers);
}

static void take_services(const struct policy *p, struct policy_list list)
{
	for (uint32_t i = 0; i < list.n; i++)
		must(policy_item(list, i) < p->n[FORMAT_SERVICES]);
}

static void look_up(const struct policy *p, const char *name, const struct addr *client)
{
	struct lookup_cursor at = { 0, 0 }, udp = { 0, 0 };
	struct addr a;
	uint32_t service, n = 0;
	uint16_t port;
	struct lookup l;

	lookup_find(p, name, strlen(name), client, &l);
	must(l.reason != ROUTE_WHY_NONE);
	must(l.reason != ROUTE_WHY_NAME || policy_service_serves(p, l.service, client));
	while (n++ < 64 && lookup_address(p, &l, &at, &a))
		must(l.verdict == LOOKUP_FIXED || l.verdict == LOOKUP_SYNTHETIC);
	while (lookup_udp(p, &l, &udp, &service, &port))
		must(port > 0 && l.verdict == LOOKUP_RESOLVE && policy_service_serves(p, service, client));
}

static void ask(const struct policy *p, const char *name, const struct addr *a, uint16_t port)
{
	const uint8_t *key;
	struct policy_list list;
	struct route r;
	uint32_t at = 0;
	unsigned steps = 0;

	while (name && (list = policy_find_host(p, name, strlen(name), &at, &key)).n > 0) {
		take_services(p, list);
		must(key && key[0] <= NAME_MAX_LEN + 1 && ++steps < 300);
	}
	if (name)
		look_up(p, name, a);
	take_services(p, policy_find_addr(p, a));
	take_services(p, policy_find_port(p, port).services);
	for (int seen = ROUTE_SEEN_NOTHING; seen <= ROUTE_SEEN_OTHER; seen++) {
		const struct route_query q = {
			.src = *a, .dst = *a, .port = port, .seen = (enum route_seen)seen,
			.name = name, .name_len = name ? strlen(name) : 0, .host = name ? NULL : a,
		};

		route_find(p, &q, &r);
		must(r.verdict != ROUTE_SERVICE || r.service < p->n[FORMAT_SERVICES]);
		must(r.verdict != ROUTE_SNIFF || seen == ROUTE_SEEN_NOTHING);
		must(!r.routed || (r.route < p->n[FORMAT_ROUTES] && r.verdict >= ROUTE_SERVICE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const names[] = { "www.wikipedia.org", "wikipedia.org", "a.b.example.com",
	                                     "a", NULL };
	static const struct addr addrs[] = {
		{ { 0 } }, { { [10] = 0xff, 0xff, 10, 0, 0, 1 } }, { { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
	};
	static const uint16_t ports[] = { 0, 80, 443, 3306, 65535 };
	uint8_t *bytes = fuzz_copy(data, len);
	struct policy_error e = { "" };
	struct policy p;

	if (policy_open_bytes(&p, bytes, len, &e) != 0) {
		must(e.text[0] != '\0' && strlen(e.text) < sizeof(e.text));
		free(bytes);
		return 0;
	}
	take_meta(&p);
	for (uint32_t i = 0; i < p.n[FORMAT_SERVICES]; i++)
		take_service(&p, i);
	for (uint32_t i = 0; i < p.n[FORMAT_GATEWAYS]; i++)
		take_gateway(&p, i);
	for (uint32_t i = 0; i < p.n[FORMAT_ROUTES]; i++)
		take_route(&p, i);
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		for (size_t a = 0; a < sizeof(addrs) / sizeof(addrs[0]); a++)
			for (size_t k = 0; k < sizeof(ports) / sizeof(ports[0]); k++)
				ask(&p, names[n], &addrs[a], ports[k]);
	policy_close(&p);
	free(bytes);
	return 0;
}
