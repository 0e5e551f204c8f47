/* SPDX-License-Identifier: MIT */
/* TRAFFIC and TLS: records that several services and gateways may share. */
#include "rules/emit.h"

#include <stdlib.h>
#include <string.h>

#include "rules/base64.h"

static uint32_t text_ref(const struct emit *w, const char *s)
{
	return s != NULL ? pool_string(&w->strings, s) : 0;
}

/* ---- records ---- */

static void put_traffic(const struct emit *w, const struct policy_traffic *t,
			uint8_t r[TRAFFIC_SIZE])
{
	memset(r, 0, TRAFFIC_SIZE);
	put_le32(r + TRAFFIC_CONNECT,
		 t->connect_timeout != 0 ? t->connect_timeout : POLICY_CONNECT_TIMEOUT);
	put_le32(r + TRAFFIC_IDLE, t->idle_timeout != 0 ? t->idle_timeout : POLICY_IDLE_TIMEOUT);
	put_le32(r + TRAFFIC_KEEPALIVE, t->keepalive_s);
	put_le32(r + TRAFFIC_CONNECTIONS, t->max_connections);
	put_le32(r + TRAFFIC_REQUESTS, t->max_requests);
	r[TRAFFIC_BALANCE] = (uint8_t)t->balance;
	if (t->outliers) {
		put_le32(r + TRAFFIC_5XX, t->consecutive_5xx);
		put_le32(r + TRAFFIC_GATEWAY, t->consecutive_gateway);
		put_le32(r + TRAFFIC_LOCAL, t->consecutive_local);
		put_le32(r + TRAFFIC_INTERVAL, t->outlier_interval);
		put_le32(r + TRAFFIC_EJECTION, t->base_ejection);
		put_le32(r + TRAFFIC_MAX_EJECTION, t->max_ejection);
		put_le32(r + TRAFFIC_MIN_HEALTH, t->min_health);
	}
	if (t->health == POLICY_HEALTH_NONE)
		return;
	r[TRAFFIC_HEALTH] = (uint8_t)t->health;
	put_le32(r + TRAFFIC_HEALTH_PATH, text_ref(w, t->health_path));
	put_le32(r + TRAFFIC_HEALTH_INTERVAL, t->health_interval);
	put_le32(r + TRAFFIC_HEALTH_TIMEOUT, t->health_timeout);
	put_le32(r + TRAFFIC_UNHEALTHY, t->unhealthy);
	put_le32(r + TRAFFIC_HEALTHY, t->healthy);
}

static void put_pem(const struct emit *w, const struct model_pem *pem, unsigned k, uint8_t *r)
{
	uint8_t *ref = r + TLS_CA + (size_t)4 * k;

	if (pem->bytes == NULL) {
		put_le32(ref, text_ref(w, pem->path));
		return;
	}
	put_le32(ref, pool_blob(&w->blobs, pem->bytes, pem->len) - 1);
	r[TLS_FLAGS] |= (uint8_t)(1u << k);
}

static int compare_pins(const void *a, const void *b)
{
	return memcmp(a, b, POLICY_PIN_SIZE);
}

/* Their sums in order. The caller frees them. */
static uint8_t *take_pins(const struct model_strings *pins)
{
	uint8_t *sums = emit_alloc(pins->n, POLICY_PIN_SIZE);

	for (size_t i = 0; i < pins->n; i++)
		base64_decode(strchr(pins->v[i].s, '/') + 1, sums + i * POLICY_PIN_SIZE,
			      POLICY_PIN_SIZE);
	emit_sort(sums, pins->n, POLICY_PIN_SIZE, compare_pins);
	return sums;
}

static void put_tls(struct emit *w, const struct model_tls *t, unsigned role, uint8_t r[TLS_SIZE])
{
	memset(r, 0, TLS_SIZE);
	r[TLS_ROLE] = (uint8_t)role;
	r[TLS_FLAGS] = t->only_13 ? TLS_FLAG_ONLY_13 : 0;
	if (!t->no_ca)
		put_pem(w, &t->ca, 0, r);
	put_pem(w, &t->certificate, 1, r);
	put_pem(w, &t->private_key, 2, r);
	put_le32(r + TLS_SNI, text_ref(w, t->sni));
	if (!t->no_ca)
		put_le32(r + TLS_ALT_NAMES, emit_string_list_ref(w, &t->alt_names));
	if (t->pins.n > 0) {
		uint8_t *sums = take_pins(&t->pins);

		put_le32(r + TLS_PINS, pool_blob(&w->blobs, sums, t->pins.n * POLICY_PIN_SIZE));
		free(sums);
	}
}

/* ---- strings and blobs ---- */

static void collect_pem(struct emit *w, const struct model_pem *pem)
{
	if (pem->bytes != NULL)
		pool_add_blob(&w->blobs, pem->bytes, pem->len);
	else if (pem->path != NULL)
		pool_add_string(&w->strings, pem->path);
}

static void collect_tls(struct emit *w, const struct model_tls *t)
{
	if (!t->no_ca)
		collect_pem(w, &t->ca);
	collect_pem(w, &t->certificate);
	collect_pem(w, &t->private_key);
	if (t->sni != NULL)
		pool_add_string(&w->strings, t->sni);
	if (!t->no_ca)
		emit_add_strings(w, &t->alt_names);
	if (t->pins.n > 0) {
		uint8_t *sums = take_pins(&t->pins);

		pool_add_blob(&w->blobs, sums, t->pins.n * POLICY_PIN_SIZE);
		free(sums);
	}
}

/* Which record of TLS each has; -1: none. */
static int service_role(const struct model_service *s)
{
	return s->tls_mode == MODEL_TLS_NONE	 ? -1
	       : s->tls_mode == MODEL_TLS_MUTUAL ? TLS_ROLE_MUTUAL
						 : TLS_ROLE_CLIENT;
}

static int gateway_role(const struct model_gateway *g)
{
	return g->via == POLICY_VIA_MUTUAL ? TLS_ROLE_MUTUAL
	       : g->via == POLICY_VIA_TLS  ? TLS_ROLE_CLIENT
					   : -1;
}

static int server_role(const struct model_gateway *g)
{
	for (size_t i = 0; i < g->servers.n; i++)
		if (g->servers.v[i].tls == POLICY_SERVER_SIMPLE ||
		    g->servers.v[i].tls == POLICY_SERVER_MUTUAL)
			return TLS_ROLE_SERVER;
	return -1;
}

void emit_collect_traffic(struct emit *w)
{
	const struct model *m = w->m;

	for (size_t i = 0; i < m->services.n; i++) {
		const struct model_service *s = &m->services.v[i];

		if (s->traffic.health_path != NULL)
			pool_add_string(&w->strings, s->traffic.health_path);
		if (service_role(s) >= 0)
			collect_tls(w, &s->tls);
	}
	for (size_t i = 0; i < m->gateways.n; i++) {
		const struct model_gateway *g = &m->gateways.v[i];

		if (g->traffic.health_path != NULL)
			pool_add_string(&w->strings, g->traffic.health_path);
		if (gateway_role(g) >= 0)
			collect_tls(w, &g->tls);
		if (server_role(g) >= 0)
			collect_tls(w, &g->server_tls);
	}
}

void emit_collect_traffic_lists(struct emit *w)
{
	const struct model *m = w->m;

	for (size_t i = 0; i < m->services.n; i++)
		if (service_role(&m->services.v[i]) >= 0)
			emit_string_list(w, &m->services.v[i].tls.alt_names, true);
	for (size_t i = 0; i < m->gateways.n; i++) {
		const struct model_gateway *g = &m->gateways.v[i];

		if (gateway_role(g) >= 0)
			emit_string_list(w, &g->tls.alt_names, true);
		if (server_role(g) >= 0 && !g->server_tls.no_ca)
			emit_string_list(w, &g->server_tls.alt_names, true);
	}
}

/* ---- sections ---- */

static int compare_traffic(const void *a, const void *b)
{
	return memcmp(a, b, TRAFFIC_SIZE);
}

static int compare_tls(const void *a, const void *b)
{
	return memcmp(a, b, TLS_SIZE);
}

/* Puts the records of a section in order, each once. */
static void settle(struct emit *w, enum format_section section, size_t size,
		   int (*compare)(const void *, const void *))
{
	struct bytes *b = &w->sections[section];
	size_t records = w->records[section], n = 0;

	emit_sort(b->v, records, size, compare);
	for (size_t i = 0; i < records; i++)
		if (n == 0 || compare(b->v + (n - 1) * size, b->v + i * size) != 0)
			memmove(b->v + n++ * size, b->v + i * size, size);
	b->n = n * size;
	w->records[section] = (uint32_t)n;
}

static bool is_default(const struct emit *w, const struct policy_traffic *t,
		       uint8_t r[TRAFFIC_SIZE])
{
	uint8_t none[TRAFFIC_SIZE];

	put_traffic(w, &(struct policy_traffic){.connect_timeout = 0}, none);
	put_traffic(w, t, r);
	return memcmp(r, none, TRAFFIC_SIZE) == 0;
}

static void add_traffic(struct emit *w, const struct policy_traffic *t)
{
	uint8_t r[TRAFFIC_SIZE];

	if (!is_default(w, t, r))
		memcpy(emit_record(w, FORMAT_TRAFFIC, TRAFFIC_SIZE), r, TRAFFIC_SIZE);
}

static void add_tls(struct emit *w, const struct model_tls *t, int role)
{
	uint8_t r[TLS_SIZE];

	if (role < 0)
		return;
	put_tls(w, t, (unsigned)role, r);
	memcpy(emit_record(w, FORMAT_TLS, TLS_SIZE), r, TLS_SIZE);
}

void emit_write_traffic(struct emit *w)
{
	const struct model *m = w->m;

	for (size_t i = 0; i < m->services.n; i++) {
		const struct model_service *s = &m->services.v[i];

		add_traffic(w, &s->traffic);
		add_tls(w, &s->tls, service_role(s));
	}
	for (size_t i = 0; i < m->gateways.n; i++) {
		const struct model_gateway *g = &m->gateways.v[i];

		add_traffic(w, &g->traffic);
		add_tls(w, &g->tls, gateway_role(g));
		add_tls(w, &g->server_tls, server_role(g));
	}
	settle(w, FORMAT_TRAFFIC, TRAFFIC_SIZE, compare_traffic);
	settle(w, FORMAT_TLS, TLS_SIZE, compare_tls);
}

/* The index plus 1 of a record that is there. */
static uint32_t find(const struct emit *w, enum format_section section, const uint8_t *r,
		     size_t size, int (*compare)(const void *, const void *))
{
	const uint8_t *start = w->sections[section].v;
	const uint8_t *found = bsearch(r, start, w->records[section], size, compare);

	return found != NULL ? (uint32_t)((size_t)(found - start) / size) + 1 : UINT32_MAX;
}

static uint32_t traffic_ref(struct emit *w, const struct policy_traffic *t)
{
	uint8_t r[TRAFFIC_SIZE];

	return is_default(w, t, r) ? 0 : find(w, FORMAT_TRAFFIC, r, TRAFFIC_SIZE, compare_traffic);
}

static uint32_t tls_ref(struct emit *w, const struct model_tls *t, int role)
{
	uint8_t r[TLS_SIZE];

	if (role < 0)
		return 0;
	put_tls(w, t, (unsigned)role, r);
	return find(w, FORMAT_TLS, r, TLS_SIZE, compare_tls);
}

void emit_service_traffic(struct emit *w, uint8_t *r, const struct model_service *s)
{
	put_le32(r + SERVICE_TRAFFIC, traffic_ref(w, &s->traffic));
	put_le32(r + SERVICE_TLS, tls_ref(w, &s->tls, service_role(s)));
}

void emit_gateway_traffic(struct emit *w, uint8_t *r, const struct model_gateway *g)
{
	put_le32(r + GATEWAY_TRAFFIC, traffic_ref(w, &g->traffic));
	put_le32(r + GATEWAY_TLS, tls_ref(w, &g->tls, gateway_role(g)));
	put_le32(r + GATEWAY_SERVER_TLS, tls_ref(w, &g->server_tls, server_role(g)));
}
