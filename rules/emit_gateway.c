/* SPDX-License-Identifier: MIT */
/* GATEWAYS, SUBSETS, ROUTES, DESTINATIONS and ROUTE_HOSTS. */
#include "rules/emit.h"

#include <stdlib.h>
#include <string.h>

/* ---- one order ---- */

static int compare_gateways(const void *a, const void *b)
{
	const struct model_gateway *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int compare_subsets(const void *a, const void *b)
{
	const struct model_subset *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static bool sort_gateway(struct emit *w, struct model_gateway *g)
{
	const char *what = model_text(g->name, strlen(g->name));

	emit_sort(g->subsets.v, g->subsets.n, sizeof(*g->subsets.v), compare_subsets);
	for (size_t i = 1; i < g->subsets.n; i++)
		if (compare_subsets(&g->subsets.v[i - 1], &g->subsets.v[i]) == 0)
			return emit_fail(w, "gateway %s has two subsets %s", what,
					 g->subsets.v[i].name);
	return emit_sort_ports(w, "gateway", what, &g->servers) &&
	       emit_sort_cidrs(w, &g->proxy_from);
}

bool emit_sort_gateways(struct emit *w)
{
	struct model_gateways *list = &w->m->gateways;

	emit_sort(list->v, list->n, sizeof(*list->v), compare_gateways);
	for (size_t i = 0; i < list->n; i++) {
		if (i > 0 && compare_gateways(&list->v[i - 1], &list->v[i]) == 0)
			return emit_fail(w, "there are two gateways %s", list->v[i].name);
		if (!sort_gateway(w, &list->v[i]))
			return false;
	}
	/* The weight of a destination that is alone says nothing. */
	for (size_t i = 0; i < w->m->routes.n; i++)
		if (w->m->routes.v[i].to.n == 1)
			w->m->routes.v[i].to.v[0].weight = 1;
	return true;
}

/* ---- strings and lists ---- */

static void add_text(struct emit *w, const char *s)
{
	if (s != NULL)
		pool_add_string(&w->strings, s);
}

static void add_endpoints(struct emit *w, const struct model_endpoints *list)
{
	for (size_t i = 0; i < list->n; i++)
		add_text(w, list->v[i].name);
}

/* As strings, each with its NUL. */
static void take_keys(struct model_strings *out, const struct model_hosts *hosts)
{
	for (size_t i = 0; i < hosts->n; i++)
		model_push(out)->s = model_text(hosts->v[i].key, hosts->v[i].len);
}

static void collect_gateway(struct emit *w, size_t i)
{
	const struct model_gateway *g = &w->m->gateways.v[i];

	add_text(w, g->name);
	take_keys(&w->gateway_keys[i], &g->hosts);
	emit_add_strings(w, &w->gateway_keys[i]);
	add_endpoints(w, &g->addresses);
	for (size_t j = 0; j < g->subsets.n; j++) {
		add_text(w, g->subsets.v[j].name);
		add_endpoints(w, &g->subsets.v[j].endpoints);
	}
}

static int compare_route_hosts(const void *a, const void *b)
{
	const struct emit_route_host *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order != 0 ? order : (x->route > y->route) - (x->route < y->route);
}

static void collect_route_hosts(struct emit *w)
{
	const struct model_routes *routes = &w->m->routes;
	size_t n = 0;

	for (size_t i = 0; i < routes->n; i++)
		n += routes->v[i].hosts.n;
	w->route_hosts = emit_alloc(n, sizeof(*w->route_hosts));
	for (size_t i = 0; i < routes->n; i++)
		for (size_t j = 0; j < routes->v[i].hosts.n; j++) {
			const struct model_host *h = &routes->v[i].hosts.v[j];
			const char *key = model_text(h->key, h->len);

			add_text(w, key);
			w->route_hosts[w->n_route_hosts++] =
				(struct emit_route_host){key, (uint32_t)i};
		}
	emit_sort(w->route_hosts, n, sizeof(*w->route_hosts), compare_route_hosts);
}

void emit_collect_gateway_strings(struct emit *w)
{
	const struct model *m = w->m;

	w->gateway_keys = emit_alloc(m->gateways.n, sizeof(*w->gateway_keys));
	for (size_t i = 0; i < m->gateways.n; i++)
		collect_gateway(w, i);
	for (size_t i = 0; i < m->routes.n; i++) {
		add_text(w, m->routes.v[i].name);
		emit_collect_rule(w, &w->m->routes.v[i].rule);
		for (size_t j = 0; j < m->routes.v[i].to.n; j++)
			if (m->routes.v[i].to.v[j].gateway == NULL)
				add_text(w, m->routes.v[i].to.v[j].host);
	}
	collect_route_hosts(w);
}

void emit_collect_gateway_lists(struct emit *w)
{
	size_t n = w->m->gateways.n;

	w->gateway_hosts = emit_alloc(n, sizeof(*w->gateway_hosts));
	for (size_t i = 0; i < n; i++)
		w->gateway_hosts[i] = emit_string_list(w, &w->gateway_keys[i], true);
	for (size_t i = 0; i < w->m->routes.n; i++)
		emit_collect_rule_lists(w, &w->m->routes.v[i].rule);
}

/* ---- sections ---- */

static uint32_t text_ref(const struct emit *w, const char *s)
{
	return s != NULL ? pool_string(&w->strings, s) : 0;
}

static void write_subsets(struct emit *w, uint8_t *run, const struct model_subsets *subsets)
{
	emit_put_run(run, w->records[FORMAT_SUBSETS], subsets->n);
	for (size_t i = 0; i < subsets->n; i++) {
		uint8_t *r = emit_record(w, FORMAT_SUBSETS, SUBSET_SIZE);

		put_le32(r + SUBSET_NAME, text_ref(w, subsets->v[i].name));
		emit_endpoints(w, r + SUBSET_ENDPOINTS, &subsets->v[i].endpoints);
	}
}

static void write_gateway(struct emit *w, size_t i)
{
	const struct model_gateway *g = &w->m->gateways.v[i];
	uint8_t *r = emit_record(w, FORMAT_GATEWAYS, GATEWAY_SIZE);

	put_le32(r + GATEWAY_NAME, text_ref(w, g->name));
	put_le32(r + GATEWAY_HOSTS, pool_list(&w->lists, w->gateway_hosts[i]));
	r[GATEWAY_VIA] = (uint8_t)g->via;
	emit_ports(w, r + GATEWAY_SERVERS, &g->servers);
	emit_endpoints(w, r + GATEWAY_ENDPOINTS, &g->addresses);
	write_subsets(w, r + GATEWAY_SUBSETS, &g->subsets);
	emit_cidrs(w, r + GATEWAY_PROXY_FROM, &g->proxy_from);
	emit_gateway_traffic(w, r, g);
}

/* The indices, plus 1, of a destination's gateway and subset. */
static bool find_gateway(struct emit *w, const struct model_route *r,
			 const struct model_destination *d, uint32_t *gateway, uint32_t *subset)
{
	const struct model_gateways *list = &w->m->gateways;
	uint32_t before = 0;
	size_t i = 0, j = 0;

	while (i < list->n && strcmp(list->v[i].name, d->gateway) != 0)
		before += (uint32_t)list->v[i++].subsets.n;
	if (i == list->n)
		return emit_fail(w, "route %s leads to gateway %s, which is not there", r->name,
				 d->gateway);
	*gateway = (uint32_t)i + 1;
	if (d->subset == NULL)
		return true;
	while (j < list->v[i].subsets.n && strcmp(list->v[i].subsets.v[j].name, d->subset) != 0)
		j++;
	if (j == list->v[i].subsets.n)
		return emit_fail(w, "route %s leads to subset %s of gateway %s, which is not there",
				 r->name, d->subset, d->gateway);
	*subset = before + (uint32_t)j + 1;
	return true;
}

static bool write_destination(struct emit *w, const struct model_route *r,
			      const struct model_destination *d)
{
	uint32_t gateway = 0, subset = 0;
	uint8_t *b;

	if (d->gateway != NULL && !find_gateway(w, r, d, &gateway, &subset))
		return false;
	b = emit_record(w, FORMAT_DESTINATIONS, DESTINATION_SIZE);
	put_le32(b + DESTINATION_GATEWAY, gateway);
	put_le32(b + DESTINATION_SUBSET, subset);
	put_le32(b + DESTINATION_WEIGHT, d->weight);
	if (d->gateway != NULL)
		return true;
	put_le32(b + DESTINATION_HOST, text_ref(w, d->host));
	put_le16(b + DESTINATION_PORT, d->port);
	return true;
}

static bool write_route(struct emit *w, uint32_t i)
{
	const struct model_route *m = &w->m->routes.v[i];
	uint8_t *r = emit_record(w, FORMAT_ROUTES, ROUTE_SIZE);
	uint32_t first = 0;
	uint64_t weight = 0;

	while (first < w->n_route_hosts && w->route_hosts[first].route != i)
		first++;
	put_le32(r + ROUTE_NAME, text_ref(w, m->name));
	put_le32(r + ROUTE_FIRST_HOST, first);
	put_le16(r + ROUTE_PORT, m->port);
	put_le32(r + ROUTE_RULE, emit_rule(w, &w->m->routes.v[i].rule));
	emit_put_run(r + ROUTE_DESTINATIONS, w->records[FORMAT_DESTINATIONS], m->to.n);
	for (size_t j = 0; j < m->to.n; j++) {
		if (!write_destination(w, m, &m->to.v[j]))
			return false;
		weight += m->to.v[j].weight;
	}
	if ((weight == 0 && m->rule.redirect.code == 0 && m->rule.status == 0) ||
	    weight > UINT32_MAX)
		return emit_fail(w, "route %s: the weights add up to 0, or to 2^32 or more",
				 m->name);
	put_le32(r + ROUTE_WEIGHT, (uint32_t)weight);
	return true;
}

bool emit_write_gateways(struct emit *w)
{
	for (size_t i = 0; i < w->m->gateways.n; i++)
		write_gateway(w, i);
	for (size_t i = 0; i < w->m->routes.n; i++)
		if (!write_route(w, (uint32_t)i))
			return false;
	for (size_t i = 0; i < w->n_route_hosts; i++) {
		const struct emit_route_host *h = &w->route_hosts[i];
		uint8_t *r = emit_record(w, FORMAT_ROUTE_HOSTS, ROUTE_HOST_SIZE);

		put_le32(r + ROUTE_HOST_KEY, text_ref(w, h->key));
		put_le32(r + ROUTE_HOST_ROUTE, h->route);
	}
	return true;
}

void emit_fini_gateways(struct emit *w)
{
	for (size_t i = 0; w->gateway_keys != NULL && i < w->m->gateways.n; i++)
		free(w->gateway_keys[i].v);
	free(w->gateway_keys);
	free(w->gateway_hosts);
	free(w->route_hosts);
}
