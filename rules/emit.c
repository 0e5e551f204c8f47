/* SPDX-License-Identifier: MIT */
/*
 * A model as the one canonical encoding: collect strings and lists, then write the sections, then
 * lay them out.
 */
#include "rules/emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "rules/crc32c.h"

void *emit_alloc(size_t n, size_t size)
{
	void *memory = calloc(n > 0 ? n : 1, size);

	if (memory == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	return memory;
}

bool emit_fail(struct emit *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->e->text, sizeof(w->e->text), format, args);
	va_end(args);
	return false;
}

/* ---- one order ---- */

static int compare_services(const void *a, const void *b)
{
	const struct model_service *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int compare_ports(const void *a, const void *b)
{
	const struct model_port *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->protocol == POLICY_PROTO_UDP) - (y->protocol == POLICY_PROTO_UDP);
}

static int compare_cidrs(const void *a, const void *b)
{
	const struct model_cidr *x = a, *y = b;
	int order = addr_compare(&x->cidr.addr, &y->cidr.addr);

	return order != 0 ? order : x->cidr.bits - y->cidr.bits;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct model_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

#define SORT(list, compare) emit_sort((list)->v, (list)->n, sizeof(*(list)->v), compare)

void emit_sort(void *v, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 0)
		qsort(v, n, size, compare);
}

/* Ranges that touch or overlap become one. */
static void merge(struct model_ranges *r)
{
	size_t n = 0;

	SORT(r, compare_ranges);
	for (size_t i = 0; i < r->n; i++) {
		struct model_range *before = n > 0 ? &r->v[n - 1] : NULL;

		if (before == NULL ||
		    (r->v[i].first > before->last && r->v[i].first - before->last > 1))
			r->v[n++] = r->v[i];
		else if (r->v[i].last > before->last)
			before->last = r->v[i].last;
	}
	r->n = n;
}

bool emit_sort_cidrs(struct emit *w, struct model_cidrs *list)
{
	char text[ADDR_TEXT];

	SORT(list, compare_cidrs);
	for (size_t i = 1; i < list->n; i++)
		if (compare_cidrs(&list->v[i - 1], &list->v[i]) == 0)
			return emit_fail(w, "%s is listed twice",
					 cidr_format(&list->v[i].cidr, text));
	return true;
}

bool emit_sort_ports(struct emit *w, const char *what, const char *name, struct model_ports *ports)
{
	SORT(ports, compare_ports);
	for (size_t i = 1; i < ports->n; i++)
		if (compare_ports(&ports->v[i - 1], &ports->v[i]) == 0)
			return emit_fail(w, "%s %s lists port %u twice", what, name,
					 ports->v[i].number);
	return true;
}

static bool sort_service(struct emit *w, struct model_service *s)
{
	return emit_sort_ports(w, "service", s->name, &s->ports) &&
	       emit_sort_cidrs(w, &s->addresses) && emit_sort_cidrs(w, &s->clients);
}

static bool sort_model(struct emit *w)
{
	struct model *m = w->m;
	struct model_capture *c = &m->capture;

	SORT(&m->services, compare_services);
	for (size_t i = 1; i < m->services.n; i++)
		if (compare_services(&m->services.v[i - 1], &m->services.v[i]) == 0)
			return emit_fail(w, "there are two services %s", m->services.v[i].name);
	for (size_t i = 0; i < m->services.n; i++)
		if (!sort_service(w, &m->services.v[i]))
			return false;
	merge(&c->ports);
	merge(&c->exclude_ports);
	merge(&c->exempt_uids);
	merge(&c->exempt_gids);
	return emit_sort_cidrs(w, &c->exclude_cidrs) && emit_sort_gateways(w);
}

/* ---- strings and lists ---- */

void emit_add_strings(struct emit *w, const struct model_strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		pool_add_string(&w->strings, s->v[i].s);
}

static void collect_strings(struct emit *w)
{
	const struct model *m = w->m;

	pool_add_string(&w->strings, "");
	pool_add_string(&w->strings, m->name);
	pool_add_string(&w->strings, m->namespace_);
	pool_add_string(&w->strings, m->node);
	pool_add_string(&w->strings, m->access_log);
	emit_add_strings(w, &m->nameservers);
	emit_add_strings(w, &m->capture.interfaces);
	emit_add_strings(w, &m->capture.exclude_interfaces);
	for (size_t i = 0; i < m->services.n; i++) {
		const struct model_service *s = &m->services.v[i];

		pool_add_string(&w->strings, s->name);
		emit_add_strings(w, &s->export_to);
		emit_add_strings(w, &s->alpn);
		for (size_t j = 0; j < s->endpoints.n; j++)
			if (s->endpoints.v[j].name != NULL)
				pool_add_string(&w->strings, s->endpoints.v[j].name);
	}
	emit_collect_gateway_strings(w);
	emit_collect_traffic(w);
	pool_sort_strings(&w->strings);
	pool_sort_blobs(&w->blobs);
}

static int compare_words(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint32_t emit_string_list(struct emit *w, const struct model_strings *s, bool ordered)
{
	uint32_t *refs = emit_alloc(s->n, sizeof(*refs)), list;

	for (size_t i = 0; i < s->n; i++)
		refs[i] = pool_string(&w->strings, s->v[i].s);
	if (ordered)
		emit_sort(refs, s->n, sizeof(*refs), compare_words);
	list = pool_add_list(&w->lists, refs, (uint32_t)s->n);
	free(refs);
	return list;
}

uint32_t emit_string_list_ref(struct emit *w, const struct model_strings *s)
{
	uint32_t *refs = emit_alloc(s->n, sizeof(*refs)), ref;

	for (size_t i = 0; i < s->n; i++)
		refs[i] = pool_string(&w->strings, s->v[i].s);
	emit_sort(refs, s->n, sizeof(*refs), compare_words);
	ref = pool_find_list(&w->lists, refs, (uint32_t)s->n);
	free(refs);
	return ref;
}

static bool collect_lists(struct emit *w)
{
	const struct model *m = w->m;

	pool_add_list(&w->lists, NULL, 0);
	w->nameservers = emit_string_list(w, &m->nameservers, false);
	w->interfaces = emit_string_list(w, &m->capture.interfaces, true);
	w->exclude_interfaces = emit_string_list(w, &m->capture.exclude_interfaces, true);
	w->export_lists = emit_alloc(m->services.n, sizeof(*w->export_lists));
	w->alpn_lists = emit_alloc(m->services.n, sizeof(*w->alpn_lists));
	for (size_t i = 0; i < m->services.n; i++) {
		w->export_lists[i] = emit_string_list(w, &m->services.v[i].export_to, true);
		w->alpn_lists[i] = emit_string_list(w, &m->services.v[i].alpn, true);
	}
	emit_collect_gateway_lists(w);
	emit_collect_traffic_lists(w);
	if (!emit_collect_ports(w) || !emit_collect_addresses(w) || !emit_collect_hosts(w))
		return false;
	pool_sort_lists(&w->lists);
	return true;
}

/* ---- sections ---- */

uint8_t *emit_record(struct emit *w, enum format_section section, size_t size)
{
	w->records[section]++;
	return bytes_add(&w->sections[section], size);
}

static uint32_t string_ref(const struct emit *w, const char *s)
{
	return pool_string(&w->strings, s);
}

static void write_pools(struct emit *w)
{
	for (size_t i = 0; i < w->strings.n; i++) {
		size_t size = strlen(w->strings.v[i]) + 1;

		memcpy(emit_record(w, FORMAT_STRINGS, size), w->strings.v[i], size);
	}
	for (size_t i = 0; i < w->lists.n; i++) {
		const struct pool_list *l = &w->lists.v[i];

		put_le32(emit_record(w, FORMAT_LISTS, 4), l->n);
		for (uint32_t j = 0; j < l->n; j++)
			put_le32(emit_record(w, FORMAT_LISTS, 4), w->lists.words[l->first + j]);
	}
	for (size_t i = 0; i < w->blobs.n; i++) {
		const struct pool_blob *blob = &w->blobs.v[i];
		uint8_t *b = emit_record(w, FORMAT_BLOBS, blob->len + 5);

		put_le32(b, (uint32_t)blob->len);
		memcpy(b + 4, blob->v, blob->len);
	}
}

static void write_meta(struct emit *w)
{
	const struct model *m = w->m;
	uint8_t *r = emit_record(w, FORMAT_META, META_SIZE);

	put_le32(r + META_NAME, string_ref(w, m->name));
	put_le32(r + META_NAMESPACE, string_ref(w, m->namespace_));
	put_le32(r + META_NODE, string_ref(w, m->node));
	put_le32(r + META_ACCESS_LOG, string_ref(w, m->access_log));
	put_le32(r + META_NAMESERVERS, pool_list(&w->lists, w->nameservers));
	r[META_OUTBOUND] = (uint8_t)m->outbound;
	r[META_ENFORCEMENT] = (uint8_t)m->enforcement;
	r[META_LOG_FORMAT] = (uint8_t)m->log_format;
}

void emit_put_run(uint8_t *r, uint32_t first, size_t n)
{
	put_le32(r, first);
	put_le32(r + 4, (uint32_t)n);
}

static void write_ranges(struct emit *w, uint8_t *run, const struct model_ranges *ranges)
{
	emit_put_run(run, w->records[FORMAT_RANGES], ranges->n);
	for (size_t i = 0; i < ranges->n; i++) {
		uint8_t *r = emit_record(w, FORMAT_RANGES, RANGE_SIZE);

		put_le32(r + RANGE_FIRST, ranges->v[i].first);
		put_le32(r + RANGE_LAST, ranges->v[i].last);
	}
}

void emit_cidrs(struct emit *w, uint8_t *run, const struct model_cidrs *cidrs)
{
	emit_put_run(run, w->records[FORMAT_CIDRS], cidrs->n);
	for (size_t i = 0; i < cidrs->n; i++) {
		uint8_t *r = emit_record(w, FORMAT_CIDRS, CIDR_SIZE);

		memcpy(r + CIDR_ADDR, cidrs->v[i].cidr.addr.b, 16);
		r[CIDR_BITS] = cidrs->v[i].cidr.bits;
	}
}

static void write_capture(struct emit *w)
{
	const struct model_capture *c = &w->m->capture;
	uint8_t *r = emit_record(w, FORMAT_CAPTURE, CAPTURE_SIZE);

	r[CAPTURE_SCOPE] = (uint8_t)c->scope;
	r[CAPTURE_METHOD] = (uint8_t)c->method;
	r[CAPTURE_UDP] = (uint8_t)c->udp;
	r[CAPTURE_OTHER] = (uint8_t)c->other;
	r[CAPTURE_DNS] = (uint8_t)c->dns;
	r[CAPTURE_TAMPER] = (uint8_t)c->tamper;
	r[CAPTURE_ACCEPT] = (uint8_t)c->accept;
	put_le32(r + CAPTURE_UDP_FLOWS, c->udp_flows);
	put_le32(r + CAPTURE_INTERFACES, pool_list(&w->lists, w->interfaces));
	put_le32(r + CAPTURE_EXCLUDE_INTERFACES, pool_list(&w->lists, w->exclude_interfaces));
	write_ranges(w, r + CAPTURE_PORTS, &c->ports);
	write_ranges(w, r + CAPTURE_EXCLUDE_PORTS, &c->exclude_ports);
	write_ranges(w, r + CAPTURE_EXEMPT_UIDS, &c->exempt_uids);
	write_ranges(w, r + CAPTURE_EXEMPT_GIDS, &c->exempt_gids);
	emit_cidrs(w, r + CAPTURE_EXCLUDE_CIDRS, &c->exclude_cidrs);
}

void emit_ports(struct emit *w, uint8_t *run, const struct model_ports *ports)
{
	emit_put_run(run, w->records[FORMAT_PORTS], ports->n);
	for (size_t i = 0; i < ports->n; i++) {
		uint8_t *r = emit_record(w, FORMAT_PORTS, PORT_SIZE);

		put_le16(r + PORT_NUMBER, ports->v[i].number);
		put_le16(r + PORT_TARGET, ports->v[i].target);
		r[PORT_PROTOCOL] = (uint8_t)ports->v[i].protocol;
		r[PORT_TLS] = (uint8_t)ports->v[i].tls;
	}
}

void emit_endpoints(struct emit *w, uint8_t *run, const struct model_endpoints *endpoints)
{
	emit_put_run(run, w->records[FORMAT_ENDPOINTS], endpoints->n);
	for (size_t i = 0; i < endpoints->n; i++) {
		const struct model_endpoint *e = &endpoints->v[i];
		uint8_t *r = emit_record(w, FORMAT_ENDPOINTS, ENDPOINT_SIZE);

		if (e->name != NULL)
			put_le32(r + ENDPOINT_NAME, string_ref(w, e->name));
		else
			memcpy(r + ENDPOINT_ADDR, e->addr.b, 16);
		put_le32(r + ENDPOINT_WEIGHT, e->weight);
		put_le16(r + ENDPOINT_PORT, e->port);
	}
}

/* What is known of hosts comes with the host table. */
static void write_service(struct emit *w, size_t i)
{
	const struct model_service *s = &w->m->services.v[i];
	uint8_t *r = emit_record(w, FORMAT_SERVICES, SERVICE_SIZE);

	put_le32(r + SERVICE_NAME, string_ref(w, s->name));
	put_le32(r + SERVICE_EXPORT_TO, pool_list(&w->lists, w->export_lists[i]));
	r[SERVICE_RESOLUTION] = (uint8_t)s->resolution;
	r[SERVICE_LOCATION] = (uint8_t)s->location;
	r[SERVICE_ENFORCEMENT] = (uint8_t)s->enforcement;
	r[SERVICE_FLAGS] = (uint8_t)((s->websocket ? SERVICE_FLAG_WEBSOCKET : 0) |
				     (s->allow_private ? SERVICE_FLAG_ALLOW_PRIVATE : 0) |
				     (s->auto_address ? SERVICE_FLAG_AUTO_ADDRESS : 0) |
				     (s->no_ech ? SERVICE_FLAG_NO_ECH : 0) |
				     (s->scrub ? SERVICE_FLAG_SCRUB : 0) |
				     (s->no_alt_svc ? SERVICE_FLAG_NO_ALT_SVC : 0));
	put_le32(r + SERVICE_HOSTS, w->n_hosts[i]);
	put_le32(r + SERVICE_FIRST_HOST, w->first_host[i]);
	emit_ports(w, r + SERVICE_PORTS, &s->ports);
	emit_endpoints(w, r + SERVICE_ENDPOINTS, &s->endpoints);
	emit_cidrs(w, r + SERVICE_CIDRS, &s->addresses);
	emit_cidrs(w, r + SERVICE_CLIENTS, &s->clients);
	put_le32(r + SERVICE_ALPN, pool_list(&w->lists, w->alpn_lists[i]));
	emit_service_traffic(w, r, s);
}

static bool write_sections(struct emit *w)
{
	size_t services = w->m->services.n;

	w->n_hosts = emit_alloc(services, sizeof(*w->n_hosts));
	w->first_host = emit_alloc(services, sizeof(*w->first_host));
	if (!emit_write_hosts(w))
		return false;
	write_pools(w);
	write_meta(w);
	write_capture(w);
	emit_write_traffic(w);
	for (size_t i = 0; i < services; i++)
		write_service(w, i);
	if (!emit_write_gateways(w))
		return false;
	emit_write_addresses(w);
	emit_write_ports(w);
	return true;
}

/* ---- the file ---- */

static void write_header(const struct emit *w, uint8_t *b, size_t len)
{
	memcpy(b + HEADER_MAGIC, FORMAT_MAGIC, 8);
	put_le16(b + HEADER_VERSION, FORMAT_VERSION);
	put_le16(b + HEADER_SIZE_AT, HEADER_SIZE);
	put_le32(b + HEADER_LENGTH, (uint32_t)len);
	put_le32(b + HEADER_SECTIONS, FORMAT_SECTIONS);
	put_le64(b + HEADER_SEQUENCE, w->m->sequence);
	put_le32(b + HEADER_PROBES, w->probes);
}

static uint8_t *lay_out(struct emit *w, size_t *len)
{
	size_t end = HEADER_SIZE + FORMAT_SECTIONS * SECTION_SIZE;
	size_t starts[FORMAT_SECTIONS];
	uint8_t *b;

	for (size_t i = 0; i < FORMAT_SECTIONS; i++) {
		starts[i] = (end + 7) & ~(size_t)7;
		end = starts[i] + w->sections[i].n;
	}
	if (end > FORMAT_MAX_SIZE) {
		emit_fail(w, "the policy would have %zu bytes; the most is %u", end,
			  FORMAT_MAX_SIZE);
		return NULL;
	}
	b = emit_alloc(end, 1);
	write_header(w, b, end);
	for (size_t i = 0; i < FORMAT_SECTIONS; i++) {
		uint8_t *entry = b + HEADER_SIZE + i * SECTION_SIZE;

		put_le32(entry + SECTION_OFFSET, (uint32_t)starts[i]);
		put_le32(entry + SECTION_BYTES, (uint32_t)w->sections[i].n);
		put_le32(entry + SECTION_RECORDS, w->records[i]);
		if (w->sections[i].n > 0)
			memcpy(b + starts[i], w->sections[i].v, w->sections[i].n);
	}
	put_le32(b + HEADER_CRC, crc32c(0, b, end));
	*len = end;
	return b;
}

static void emit_fini(struct emit *w)
{
	pool_fini_strings(&w->strings);
	pool_fini_lists(&w->lists);
	pool_fini_blobs(&w->blobs);
	for (size_t i = 0; i < FORMAT_SECTIONS; i++)
		free(w->sections[i].v);
	free(w->keys);
	free(w->key_lists);
	free(w->intervals);
	free(w->ports);
	free(w->export_lists);
	free(w->alpn_lists);
	free(w->n_hosts);
	free(w->first_host);
	emit_fini_gateways(w);
}

uint8_t *model_emit(struct model *m, size_t *len, struct policy_error *e)
{
	struct emit w = {.m = m, .e = e};
	struct policy p;
	uint8_t *bytes = NULL;

	if (sort_model(&w)) {
		collect_strings(&w);
		if (collect_lists(&w) && write_sections(&w))
			bytes = lay_out(&w, len);
	}
	emit_fini(&w);
	/*
	 * What the reader would refuse (an access-log path with a blank, say) never becomes a file.
	 */
	if (bytes != NULL && policy_open_bytes(&p, bytes, *len, e) != 0) {
		free(bytes);
		return NULL;
	}
	return bytes;
}
