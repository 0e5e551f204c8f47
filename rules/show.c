/* SPDX-License-Identifier: MIT */
/*
 * A compiled policy as source again: every key that has a value, every list in its canonical order.
 */
#include "rules/show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 120 /* a line is broken before it gets longer, unless by one item alone */

static const char *const outbounds[] = {"registry-only", "allow-any"};
static const char *const enforcements[] = {"enforce", "audit"};
static const char *const log_formats[] = {"text", "json"};
static const char *const scopes[] = {"pod", "router", "both"};
static const char *const methods[] = {"tproxy", "redirect"};
static const char *const actions[] = {"reject", "allow", "capture"};
static const char *const tampers[] = {"lockdown", "repair", "log"};
static const char *const locations[] = {"external", "internal"};

/* ---- lines ---- */

void show_key(struct show *s, const char *key)
{
	s->column = (size_t)fprintf(s->out, "%-*s =", s->width, key);
	s->started = false;
}

void show_word(struct show *s, const char *key, const char *word)
{
	show_key(s, key);
	fprintf(s->out, " %s\n", word);
}

/* An item of the list whose key was written last. */
void show_item(struct show *s, const char *item)
{
	size_t len = strlen(item);

	if (s->started) {
		fputc(',', s->out);
		s->column++;
	}
	if (s->started && s->column + 1 + len + 1 > LINE_MAX_LEN) {
		fputs("\n\t", s->out);
		s->column = 1;
	} else {
		fputc(' ', s->out);
		s->column++;
	}
	fputs(item, s->out);
	s->column += len;
	s->started = true;
}

void show_end(struct show *s)
{
	fputc('\n', s->out);
}

/* ---- lists ---- */

void show_strings(struct show *s, const char *key, struct policy_list l)
{
	if (l.n == 0)
		return;
	show_key(s, key);
	for (uint32_t i = 0; i < l.n; i++)
		show_item(s, policy_string(s->p, policy_item(l, i)));
	show_end(s);
}

static void show_ranges(struct show *s, const char *key, struct policy_run run, bool all)
{
	char item[SHOW_ITEM];

	show_key(s, key);
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		uint32_t first, last;

		policy_range(s->p, i, &first, &last);
		if (all && first == 1 && last == UINT16_MAX)
			snprintf(item, sizeof(item), "*");
		else if (first == last)
			snprintf(item, sizeof(item), "%u", first);
		else
			snprintf(item, sizeof(item), "%u-%u", first, last);
		show_item(s, item);
	}
	show_end(s);
}

void show_cidrs(struct show *s, const char *key, struct policy_run run)
{
	char item[ADDR_TEXT];

	if (run.n == 0)
		return;
	show_key(s, key);
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct cidr c;

		policy_cidr(s->p, i, &c);
		show_item(s, cidr_format(&c, item));
	}
	show_end(s);
}

void show_ports(struct show *s, const char *key, struct policy_run run)
{
	char item[SHOW_ITEM];

	show_key(s, key);
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		enum policy_server_tls mode;
		struct policy_port port;

		policy_port(s->p, i, &port);
		mode = policy_server_tls(s->p, i);
		if (mode != POLICY_SERVER_NONE)
			snprintf(item, sizeof(item), "%s:%u %s",
				 policy_protocol_name(port.protocol), port.number,
				 policy_server_tls_name(mode));
		else if (port.target == port.number)
			snprintf(item, sizeof(item), "%s:%u", policy_protocol_name(port.protocol),
				 port.number);
		else
			snprintf(item, sizeof(item), "%s:%u->%u",
				 policy_protocol_name(port.protocol), port.number, port.target);
		show_item(s, item);
	}
	show_end(s);
}

void show_endpoints(struct show *s, const char *key, struct policy_run run)
{
	char item[SHOW_ITEM], text[ADDR_PORT_TEXT];

	show_key(s, key);
	for (uint32_t i = run.first; i < run.first + run.n; i++) {
		struct policy_endpoint e;
		size_t n;

		policy_endpoint(s->p, i, &e);
		if (e.name == NULL)
			n = (size_t)snprintf(item, sizeof(item), "%s",
					     e.port != 0 ? addr_port_format(&e.addr, e.port, text)
							 : addr_format(&e.addr, text));
		else if (e.port != 0)
			n = (size_t)snprintf(item, sizeof(item), "%s:%u", e.name, e.port);
		else
			n = (size_t)snprintf(item, sizeof(item), "%s", e.name);
		if (e.weight != 1)
			snprintf(item + n, sizeof(item) - n, " weight %u", e.weight);
		show_item(s, item);
	}
	show_end(s);
}

/* ---- hosts ---- */

static int compare_keys(const void *a, const void *b)
{
	const uint8_t *x = *(const uint8_t *const *)a, *y = *(const uint8_t *const *)b;
	int order = memcmp(x + 1, y + 1, x[0] < y[0] ? x[0] : y[0]);

	return order != 0 ? order : x[0] - y[0];
}

/*
 * The host table names services by key; here keys are wanted by service. Returns where each
 * service's keys end, or NULL.
 */
static size_t *collect_hosts(struct show *s)
{
	const struct policy *p = s->p;
	uint32_t services = p->n[FORMAT_SERVICES];
	size_t *ends = calloc((size_t)services + 1, sizeof(*ends)), n = 0;

	if (ends == NULL)
		return NULL;
	for (uint32_t i = 0; i < services; i++) {
		struct policy_service service;

		policy_service(p, i, &service);
		ends[i] = n;
		n += service.n_hosts;
	}
	s->keys = calloc(n + 1, sizeof(*s->keys));
	if (s->keys == NULL) {
		free(ends);
		return NULL;
	}
	for (uint32_t i = 0; i < p->n[FORMAT_HOSTS]; i++) {
		const uint8_t *slot = p->at[FORMAT_HOSTS] + (size_t)i * HOST_SIZE;
		struct policy_list l = policy_list(p, get_le32(slot + HOST_LIST));

		for (uint32_t j = 0; j < l.n; j++)
			s->keys[ends[policy_item(l, j)]++] =
				p->at[FORMAT_NAMES] + get_le32(slot + HOST_NAME) - 1;
	}
	return ends;
}

static void show_hosts(struct show *s, const uint8_t **keys, size_t n)
{
	char item[SHOW_ITEM];

	if (n == 0)
		return;
	qsort(keys, n, sizeof(*keys), compare_keys);
	show_key(s, "hosts");
	for (size_t i = 0; i < n; i++) {
		const uint8_t *key = keys[i];
		bool wild = key[0] == 0 || key[1] == '.';

		snprintf(item, sizeof(item), "%s%.*s", wild ? "*" : "", key[0],
			 (const char *)key + 1);
		show_item(s, item);
	}
	show_end(s);
}

/* ---- sections ---- */

void show_number(struct show *s, const char *key, unsigned long long n)
{
	show_key(s, key);
	fprintf(s->out, " %llu\n", n);
}

static void show_meta(struct show *s)
{
	struct policy_meta m;

	policy_meta(s->p, &m);
	if (strcmp(m.node, "mesh") != 0)
		fprintf(s->out, "; compiled for node %s\n", m.node);
	fputs("[policy]\n", s->out);
	s->width = (int)strlen("enforcement");
	show_word(s, "name", m.name);
	show_number(s, "sequence", s->p->sequence);
	show_word(s, "outbound", outbounds[m.outbound]);
	show_word(s, "enforcement", enforcements[m.enforcement]);
	show_word(s, "namespace", m.namespace_);
	show_word(s, "access-log", m.access_log);
	show_word(s, "log-format", log_formats[m.log_format]);
	show_strings(s, "nameservers", m.nameservers);
}

static void show_capture(struct show *s)
{
	struct policy_capture c;

	policy_capture(s->p, &c);
	fputs("\n[capture]\n", s->out);
	s->width = (int)strlen("exclude-interfaces");
	show_word(s, "scope", scopes[c.scope]);
	show_word(s, "method", methods[c.method]);
	show_strings(s, "interfaces", c.interfaces);
	show_ranges(s, "ports", c.ports, true);
	if (c.exclude_ports.n > 0)
		show_ranges(s, "exclude-ports", c.exclude_ports, false);
	show_cidrs(s, "exclude-cidrs", c.exclude_cidrs);
	show_strings(s, "exclude-interfaces", c.exclude_interfaces);
	if (c.exempt_uids.n > 0)
		show_ranges(s, "exempt-uids", c.exempt_uids, false);
	if (c.exempt_gids.n > 0)
		show_ranges(s, "exempt-gids", c.exempt_gids, false);
	show_word(s, "udp", actions[c.udp]);
	show_number(s, "udp-flows", c.udp_flows);
	show_word(s, "other", actions[c.other]);
	show_word(s, "dns", actions[c.dns]);
	show_word(s, "tamper", tampers[c.tamper]);
	if ((c.accept & POLICY_ACCEPT_PACKET_SOCKETS) != 0)
		show_word(s, "accept", "packet-sockets");
}

/* Only where a source that says nothing might get another answer. */
static void show_auto_address(struct show *s, const struct policy_service *v, const uint8_t *key)
{
	struct policy_capture c;
	bool tcp = false;

	policy_capture(s->p, &c);
	for (uint32_t i = 0; i < v->ports.n; i++) {
		struct policy_port port;

		policy_port(s->p, v->ports.first + i, &port);
		tcp |= policy_protocol_is_tcp(port.protocol);
	}
	if (v->auto_address)
		show_word(s, "auto-address", "yes");
	else if (c.dns == POLICY_CAPTURE && tcp && v->cidrs.n == 0 && v->n_hosts == 1 &&
		 key[0] > 0 && key[1] != '.' && v->resolution != POLICY_NONE)
		show_word(s, "auto-address", "no");
}

static void show_service(struct show *s, uint32_t i, size_t keys_end)
{
	const uint8_t **keys;
	struct policy_traffic traffic;
	struct policy_service v;
	struct policy_tls tls;

	policy_service(s->p, i, &v);
	keys = s->keys + keys_end - v.n_hosts;
	fprintf(s->out, "\n[service %s]\n", v.name);
	s->width = (int)strlen("allow-private");
	show_hosts(s, keys, v.n_hosts);
	show_ports(s, "ports", v.ports);
	show_word(s, "resolution", policy_resolution_name(v.resolution));
	show_word(s, "location", locations[v.location]);
	if (v.enforcement != POLICY_ENFORCE)
		show_word(s, "enforcement", enforcements[v.enforcement]);
	if (v.export_to.n != 1 ||
	    strcmp(policy_string(s->p, policy_item(v.export_to, 0)), "*") != 0)
		show_strings(s, "export-to", v.export_to);
	if (!v.auto_address)
		show_cidrs(s, "addresses", v.cidrs);
	show_auto_address(s, &v, keys[0]);
	if (v.endpoints.n > 0)
		show_endpoints(s, "endpoints", v.endpoints);
	if (v.websocket)
		show_word(s, "upgrade", "websocket");
	if (v.allow_private)
		show_word(s, "allow-private", "yes");
	show_cidrs(s, "clients", v.clients);
	show_strings(s, "alpn", v.alpn);
	if (v.no_ech)
		show_word(s, "ech", "deny");
	if (v.scrub)
		show_word(s, "scrub", "yes");
	if (v.no_alt_svc)
		show_word(s, "alt-svc", "strip");
	policy_service_traffic(s->p, i, &traffic);
	show_traffic(s, &traffic);
	if (policy_service_tls(s->p, i, &tls)) {
		show_word(s, "tls", tls.mutual ? "mutual" : "simple");
		show_tls(s, &tls);
	}
}

int show_policy(const struct policy *p, FILE *out)
{
	struct show s = {.p = p, .out = out};
	size_t *ends = collect_hosts(&s);

	if (ends == NULL)
		return -1;
	show_meta(&s);
	show_capture(&s);
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES]; i++)
		show_service(&s, i, ends[i]);
	show_gateways(&s);
	free(ends);
	free(s.keys);
	if (fflush(out) != 0)
		return -1;
	if (ferror(out)) {
		errno = EIO;
		return -1;
	}
	return 0;
}
