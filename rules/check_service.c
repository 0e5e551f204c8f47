/* SPDX-License-Identifier: MIT */
/* Checks of a service alone, and of services against each other. */
#include "rules/check.h"

#include <stdlib.h>
#include <string.h>

static bool is_wild(const struct model_host *h)
{
	return h->len == 0 || h->key[0] == '.';
}

/* "*.com": nothing but a wildcard and a top-level label. */
static bool is_broad(const struct model_host *h)
{
	return h->len > 0 && h->key[0] == '.' &&
	       memchr(h->key + 1, '.', (size_t)h->len - 1) == NULL;
}

static bool is_name_kind(enum policy_protocol p)
{
	return p != POLICY_PROTO_AUTO && (policy_protocol_is_http(p) || policy_protocol_is_tls(p));
}

/* UDP has no need of names: it goes where the client sends it. */
static bool is_not_name_kind(enum policy_protocol p)
{
	return !is_name_kind(p) && p != POLICY_PROTO_UDP;
}

static void check_hosts(struct check *c, const struct model_service *s,
			const struct source_marks *marks)
{
	bool bad = source_is_bad(marks, KEY_HOSTS) || source_is_bad(marks, KEY_HOSTS_FILE);
	char text[HOSTS_TEXT];

	if (s->hosts.n == 0 && !bad)
		diag_error(c->diag, s->at, "service %s needs hosts (hosts or hosts-file)", s->name);
	for (size_t i = 0; i < s->hosts.n; i++) {
		const struct model_host *h = &s->hosts.v[i];

		if (h->len == 0)
			diag_error(c->diag, source_host_at(c->source, h),
				   "service %s: host * is every name: list names or *.SUFFIX",
				   s->name);
		else if (is_broad(h))
			diag_warning(c->diag, source_host_at(c->source, h),
				     "service %s: %s is every name under a top-level domain",
				     s->name, hosts_text(h, text));
	}
}

static void check_ports(struct check *c, const struct model_service *s,
			const struct source_marks *marks)
{
	if (s->ports.n == 0 && !source_is_bad(marks, KEY_PORTS))
		diag_error(c->diag, s->at, "service %s needs ports", s->name);
	for (size_t i = 1; i < s->ports.n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct model_port *p = &s->ports.v[i], *other = &s->ports.v[j];

			if (p->number != other->number ||
			    (p->protocol == POLICY_PROTO_UDP) !=
				    (other->protocol == POLICY_PROTO_UDP))
				continue;
			diag_error(c->diag, p->at, "service %s: port %u is listed twice", s->name,
				   p->number);
			break;
		}
	if (s->hosts.n > 1 && s->resolution != POLICY_NONE &&
	    check_has_protocol(&s->ports, is_not_name_kind))
		diag_error(c->diag, source_at(marks, KEY_PORTS),
			"service %s: several hosts need ports whose traffic says a name (http, http2, grpc, https, tls)",
			s->name);
	if (s->websocket && s->ports.n > 0 &&
	    !check_has_protocol(&s->ports, policy_protocol_is_http))
		diag_warning(c->diag, source_at(marks, KEY_UPGRADE),
			     "service %s: upgrade is of no use without an http port", s->name);
}

static void check_export(struct check *c, const struct model_service *s,
			 const struct source_marks *marks)
{
	bool here = false, named = false;

	if (s->export_to.n == 0 && !source_is_bad(marks, KEY_EXPORT_TO))
		diag_error(c->diag, source_at(marks, KEY_EXPORT_TO),
			   "service %s: export-to needs \".\", \"*\" or a namespace", s->name);
	for (size_t i = 0; i < s->export_to.n; i++) {
		const struct model_string *to = &s->export_to.v[i];

		if (strcmp(to->s, "*") == 0 && s->export_to.n > 1)
			diag_error(c->diag, to->at,
				"service %s: export-to: \"*\" is all namespaces: nothing stands beside it",
				s->name);
		here = here || strcmp(to->s, ".") == 0;
		named = named || strcmp(to->s, c->model->namespace_) == 0;
	}
	if (here && named)
		diag_error(c->diag, source_at(marks, KEY_EXPORT_TO),
			   "service %s: export-to: \".\" and %s are the same namespace", s->name,
			   c->model->namespace_);
}

static void check_clients(struct check *c, const struct model_service *s,
			  const struct source_marks *marks)
{
	char text[ADDR_TEXT];

	if (marks->line[KEY_CLIENTS] == 0)
		return;
	if (s->clients.n == 0 && !source_is_bad(marks, KEY_CLIENTS))
		diag_error(c->diag, source_at(marks, KEY_CLIENTS),
			   "service %s: clients is empty, so nobody could use it; without the key all may",
			   s->name);
	for (size_t i = 1; i < s->clients.n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct model_cidr *a = &s->clients.v[i], *b = &s->clients.v[j];

			if (a->cidr.bits != b->cidr.bits ||
			    !addr_equal(&a->cidr.addr, &b->cidr.addr))
				continue;
			diag_error(c->diag, a->at, "service %s: clients: %s is listed twice",
				   s->name, cidr_format(&a->cidr, text));
			break;
		}
	if (c->model->capture.scope == POLICY_SCOPE_POD)
		diag_warning(c->diag, source_at(marks, KEY_CLIENTS),
			     "service %s: clients: with scope = pod the only clients are this machine's own addresses",
			     s->name);
}

/* A restriction that nothing enforces is an error. */
static void check_enforced(struct check *c, const struct model_service *s, struct model_at at,
			   const char *what, bool (*by)(enum policy_protocol), const char *needs)
{
	if (s->ports.n > 0 && !check_has_protocol(&s->ports, by))
		diag_error(c->diag, at, "service %s: %s needs a port %s", s->name, what, needs);
}

static void check_hello(struct check *c, const struct model_service *s,
			const struct source_marks *marks)
{
	static const char needs[] = "whose ClientHellos are looked at (https, tls, auto)";
	struct model_at at = source_at(marks, KEY_ALPN);

	if (s->no_ech)
		check_enforced(c, s, source_at(marks, KEY_ECH), "ech = deny",
			       policy_protocol_is_tls, needs);
	if (marks->line[KEY_ALPN] == 0 || source_is_bad(marks, KEY_ALPN))
		return;
	if (s->alpn.n == 0)
		diag_error(c->diag, at,
			   "service %s: alpn is empty, so no ClientHello would do; without the key any does",
			   s->name);
	if (s->alpn.n > FORMAT_MAX_ITEMS)
		diag_error(c->diag, at, "service %s: alpn: at most %d protocols", s->name,
			   FORMAT_MAX_ITEMS);
	check_enforced(c, s, at, "alpn", policy_protocol_is_tls, needs);
}

static void check_messages(struct check *c, const struct model_service *s,
			   const struct source_marks *marks)
{
	static const char needs[] = "whose requests are read (http, auto)";

	if (s->scrub)
		check_enforced(c, s, source_at(marks, KEY_SCRUB), "scrub = yes",
			       policy_protocol_is_http, needs);
	if (s->no_alt_svc)
		check_enforced(c, s, source_at(marks, KEY_ALT_SVC), "alt-svc = strip",
			       policy_protocol_is_http, needs);
}

static void check_addresses(struct check *c, const struct model_service *s)
{
	for (size_t i = 0; i < s->addresses.n; i++) {
		const struct model_cidr *a = &s->addresses.v[i];
		const struct cidr *cidr = &a->cidr;
		bool v4 = addr_is_v4(&cidr->addr);
		enum addr_class class = addr_classify(&cidr->addr);
		char text[ADDR_TEXT];

		cidr_format(cidr, text);
		if (policy_is_auto_address(&cidr->addr) && !s->auto_address &&
		    c->model->capture.dns == POLICY_CAPTURE)
			diag_error(c->diag, a->at,
				"service %s: addresses: %s lies in 240.240.0.0/16 or 2001:2::/48, where dns = capture takes synthetic addresses from",
				s->name, text);
		if (cidr->bits < 128 && s->resolution != POLICY_NONE &&
		    s->resolution != POLICY_STATIC && s->resolution != POLICY_DYNAMIC_DNS)
			diag_error(c->diag, a->at,
				"service %s: addresses: prefix %s needs resolution = none or static",
				s->name, text);
		if (cidr->bits < (v4 ? 96 + 8 : 16))
			diag_warning(c->diag, a->at,
				     "service %s: addresses: %s is a large part of the Internet",
				     s->name, text);
		else if (s->resolution == POLICY_NONE && class == ADDR_REFUSED)
			diag_warning(c->diag, a->at,
				     "service %s: addresses: %s is %s: never dialled", s->name,
				     text, addr_class_name(&cidr->addr));
		else if (s->resolution == POLICY_NONE && class == ADDR_PRIVATE &&
			 s->location == POLICY_EXTERNAL && !s->allow_private)
			diag_warning(c->diag, a->at,
				"service %s: addresses: %s is private, and an external service dials private addresses only with "
				"allow-private = yes",
				s->name, text);
	}
}

static bool same_endpoint(const struct model_endpoint *a, const struct model_endpoint *b)
{
	if (a->port != b->port || (a->name == NULL) != (b->name == NULL))
		return false;
	return a->name != NULL ? strcmp(a->name, b->name) == 0 : addr_equal(&a->addr, &b->addr);
}

static void check_endpoint(struct check *c, const struct model_service *s,
			   const struct model_endpoint *e)
{
	char text[ADDR_TEXT];

	check_dialled(c, e, "endpoints");
	if (e->name != NULL && s->resolution == POLICY_STATIC)
		diag_error(c->diag, e->at,
			   "service %s: endpoint %s is a name: resolution = static takes addresses",
			   s->name, e->name);
	if (e->name == NULL && addr_classify(&e->addr) == ADDR_PRIVATE &&
	    s->location == POLICY_EXTERNAL && !s->allow_private)
		diag_warning(c->diag, e->at,
			"service %s: endpoint %s is private, and an external service dials private addresses only with "
			"allow-private = yes",
			s->name, addr_format(&e->addr, text));
	for (const struct model_endpoint *other = s->endpoints.v; other < e; other++) {
		if (!same_endpoint(other, e))
			continue;
		diag_error(c->diag, e->at,
			   "service %s: the endpoint is already in line %d: use weight", s->name,
			   other->at.line);
		break;
	}
}

static void check_dynamic(struct check *c, const struct model_service *s,
			  const struct source_marks *marks)
{
	char text[HOSTS_TEXT];

	for (size_t i = 0; i < s->hosts.n; i++) {
		const struct model_host *h = &s->hosts.v[i];

		if (is_wild(h))
			continue;
		diag_error(c->diag, source_host_at(c->source, h),
			   "service %s: host %s: resolution = dynamic-dns takes wildcards", s->name,
			   hosts_text(h, text));
		break;
	}
	if (s->addresses.n > 0)
		diag_error(c->diag, s->addresses.v[0].at,
			   "service %s: resolution = dynamic-dns takes no addresses", s->name);
	if (s->endpoints.n > 0)
		diag_error(c->diag, s->endpoints.v[0].at,
			   "service %s: resolution = dynamic-dns takes no endpoints", s->name);
	if (check_has_protocol(&s->ports, is_not_name_kind))
		diag_error(c->diag, source_at(marks, KEY_PORTS),
			"service %s: resolution = dynamic-dns needs ports whose traffic says a name (http, http2, grpc, https, tls)",
			s->name);
}

static void check_dns(struct check *c, const struct model_service *s)
{
	char text[HOSTS_TEXT];

	for (size_t i = 0; i < s->hosts.n && s->endpoints.n == 0; i++) {
		const struct model_host *h = &s->hosts.v[i];

		if (!is_wild(h))
			continue;
		diag_error(c->diag, source_host_at(c->source, h),
			"service %s: %s cannot be resolved: give endpoints, or use resolution = dynamic-dns",
			s->name, hosts_text(h, text));
		break;
	}
	if (s->resolution == POLICY_DNS_ROUND_ROBIN && s->endpoints.n > 1)
		diag_error(c->diag, s->endpoints.v[1].at,
			   "service %s: resolution = dns-round-robin takes one endpoint at most",
			   s->name);
}

static void check_resolution(struct check *c, const struct model_service *s,
			     const struct source_marks *marks)
{
	struct model_at at = source_at(marks, KEY_RESOLUTION);

	switch (s->resolution) {
	case POLICY_NONE:
		diag_warning(c->diag, at,
			"service %s: resolution = none%s trusts the address that the client chose, whatever name it says",
			s->name, marks->line[KEY_RESOLUTION] == 0 ? ", the default," : "");
		if (s->endpoints.n > 0)
			diag_error(c->diag, s->endpoints.v[0].at,
				   "service %s: resolution = none takes no endpoints", s->name);
		break;
	case POLICY_STATIC:
		if (s->endpoints.n == 0 && !source_is_bad(marks, KEY_ENDPOINTS))
			diag_warning(c->diag, at,
				"service %s: resolution = static without endpoints: nothing can be dialled",
				s->name);
		break;
	case POLICY_DNS:
	case POLICY_DNS_ROUND_ROBIN:
		if (!source_is_bad(marks, KEY_ENDPOINTS))
			check_dns(c, s);
		break;
	case POLICY_DYNAMIC_DNS:
		check_dynamic(c, s, marks);
		break;
	}
}

void check_service(struct check *c, const struct model_service *s, const struct source_marks *marks)
{
	bool addressed = s->addresses.n > 0 || source_is_bad(marks, KEY_ADDRESSES);

	check_hosts(c, s, marks);
	check_ports(c, s, marks);
	check_export(c, s, marks);
	check_clients(c, s, marks);
	check_hello(c, s, marks);
	check_messages(c, s, marks);
	check_udp(c, s, marks);
	check_origination(c, s, marks);
	if (!source_is_bad(marks, KEY_RESOLUTION)) {
		check_addresses(c, s);
		for (size_t i = 0; i < s->endpoints.n; i++)
			check_endpoint(c, s, &s->endpoints.v[i]);
		check_resolution(c, s, marks);
	}
	if (s->enforcement == POLICY_AUDIT && c->model->enforcement == POLICY_ENFORCE)
		diag_warning(c->diag, source_at(marks, KEY_ENFORCEMENT),
			     "service %s: enforcement = audit: its refusals are only logged",
			     s->name);
	for (size_t i = 0; i < s->ports.n && !addressed; i++)
		if (policy_protocol_is_tcp(s->ports.v[i].protocol))
			diag_warning(c->diag, s->ports.v[i].at,
				     "service %s has no addresses: it takes all of TCP port %u%s",
				     s->name, s->ports.v[i].number,
				     s->resolution == POLICY_NONE
					     ? ", to any address that the client chooses"
					     : "");
}

/* What two services may not both have. */
struct taken {
	struct cidr cidr; /* zero: the whole port */
	bool udp;
	uint16_t port;
	uint32_t service;
	struct model_at at;
};

static int compare_what(const struct taken *x, const struct taken *y)
{
	int c = addr_compare(&x->cidr.addr, &y->cidr.addr);

	if (c != 0)
		return c;
	if (x->cidr.bits != y->cidr.bits)
		return x->cidr.bits < y->cidr.bits ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return (int)x->udp - (int)y->udp;
}

static int compare_taken(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;
	int c = compare_what(x, y);

	if (c != 0)
		return c;
	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	return x->at.line < y->at.line ? -1 : x->at.line > y->at.line;
}

struct taken_list {
	struct taken *v;
	size_t n, room;
};

static void report_taken(struct check *c, struct taken_list *list, bool addresses)
{
	char text[ADDR_TEXT];

	if (list->n > 0)
		qsort(list->v, list->n, sizeof(*list->v), compare_taken);
	for (size_t i = 1; i < list->n; i++) {
		const struct taken *t = &list->v[i], *other = &list->v[i - 1];
		const struct model_service *s = &c->model->services.v[t->service];
		const char *name = s->name, *first = c->model->services.v[other->service].name;

		if (compare_what(t, other) != 0)
			continue;
		if (t->service == other->service && addresses && t->port == s->ports.v[0].number)
			diag_error(c->diag, t->at, "service %s: addresses: %s is listed twice",
				   name, cidr_format(&t->cidr, text));
		else if (t->service != other->service && addresses)
			diag_error(c->diag, t->at,
				   "service %s: %s with port %u is already in service %s, %s:%d",
				   name, cidr_format(&t->cidr, text), t->port, first,
				   other->at.file, other->at.line);
		else if (t->service != other->service)
			diag_error(c->diag, t->at,
				"service %s: all of TCP port %u is already service %s's, %s:%d: give addresses",
				name, t->port, first, other->at.file, other->at.line);
	}
	free(list->v);
}

void check_conflicts(struct check *c)
{
	struct taken_list by_address = { NULL, 0, 0 }, by_port = { NULL, 0, 0 };

	for (size_t i = 0; i < c->model->services.n; i++) {
		const struct model_service *s = &c->model->services.v[i];
		bool addressed = s->addresses.n > 0 ||
				 source_is_bad(&c->source->services.v[i], KEY_ADDRESSES);

		for (size_t j = 0; j < s->ports.n && c->used[i]; j++) {
			const struct model_port *p = &s->ports.v[j];
			struct taken t = {
				.udp = p->protocol == POLICY_PROTO_UDP,
				.port = p->number,
				.service = (uint32_t)i,
				.at = p->at,
			};

			if (!addressed && policy_protocol_is_tcp(p->protocol))
				*model_push(&by_port) = t;
			/* Synthetic ones are as different as the hosts, which hosts_check() has seen to. */
			for (size_t k = 0; k < s->addresses.n && !s->auto_address; k++) {
				t.cidr = s->addresses.v[k].cidr;
				t.at = s->addresses.v[k].at;
				*model_push(&by_address) = t;
			}
		}
	}
	report_taken(c, &by_address, true);
	report_taken(c, &by_port, false);
}
