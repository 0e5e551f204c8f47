/* SPDX-License-Identifier: MIT */
/* Checks of [capture]: what gets past the proxy. */
#include "rules/check.h"

#include <string.h>

#include "autoconf.h"

static const struct model_range *find_range(const struct model_ranges *list, uint32_t n)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].first <= n && n <= list->v[i].last)
			return &list->v[i];
	return NULL;
}

static void check_scope(struct check *c)
{
	const struct model_capture *k = &c->model->capture;
	const struct source_marks *marks = &c->source->capture;

	if (source_is_bad(marks, KEY_SCOPE))
		return;
	if (k->scope == POLICY_SCOPE_POD && k->interfaces.n > 0)
		diag_error(c->diag, source_at(marks, KEY_INTERFACES),
			   "interfaces needs scope = router or both");
	if (k->scope != POLICY_SCOPE_POD && k->interfaces.n == 0 &&
	    !source_is_bad(marks, KEY_INTERFACES))
		diag_error(c->diag, source_at(marks, KEY_SCOPE), "scope = %s needs interfaces",
			   k->scope == POLICY_SCOPE_BOTH ? "both" : "router");
	for (size_t i = 0; i < k->interfaces.n; i++)
		for (size_t j = 0; j < k->exclude_interfaces.n; j++)
			if (strcmp(k->interfaces.v[i].s, k->exclude_interfaces.v[j].s) == 0)
				diag_error(c->diag, k->exclude_interfaces.v[j].at,
					   "exclude-interfaces: %s is one of interfaces, line %d",
					   k->exclude_interfaces.v[j].s,
					   k->interfaces.v[i].at.line);
}

static void check_exempt(struct check *c, const struct model_ranges *list, const char *key,
			 const char *noun, uint32_t proxy)
{
	if (list->n > 0 && c->model->capture.scope == POLICY_SCOPE_ROUTER)
		diag_warning(c->diag, list->v[0].at,
			     "%s: scope = router leaves the processes here alone: of no effect", key);
	const struct model_range *root = find_range(list, 0), *own = find_range(list, proxy);

	if (root != NULL)
		diag_warning(c->diag, root->at,
			     "%s: 0 is root: whatever runs as root goes past the proxy", key);
	if (own != NULL)
		diag_warning(c->diag, own->at,
			"%s: %u is the proxy's own %s: anything that runs with it goes past the proxy",
			key, proxy, noun);
}

/* Ports of services that the proxy will not see, or that everybody may use. */
static void check_service_ports(struct check *c, const struct model_service *s)
{
	const struct model_capture *k = &c->model->capture;
	bool ports_bad = source_is_bad(&c->source->capture, KEY_PORTS);

	for (size_t i = 0; i < s->ports.n; i++) {
		const struct model_port *p = &s->ports.v[i];
		const struct model_range *excluded = find_range(&k->exclude_ports, p->number);

		if (p->protocol == POLICY_PROTO_UDP)
			continue;
		if (excluded != NULL)
			diag_warning(c->diag, excluded->at,
				"exclude-ports: port %u of service %s is open to every destination",
				p->number, s->name);
		else if (find_range(&k->ports, p->number) == NULL && !ports_bad)
			diag_warning(c->diag, p->at,
				"service %s: port %u is not captured ([capture] ports): refused",
				s->name, p->number);
	}
}

static bool is_everything(const struct cidr *c)
{
	return c->bits <= (addr_is_v4(&c->addr) ? 96 : 0);
}

static bool holds_service(const struct cidr *excluded, const struct model_service *s)
{
	for (size_t i = 0; i < s->addresses.n; i++) {
		const struct cidr *cidr = &s->addresses.v[i].cidr;

		if (cidr_contains(excluded, &cidr->addr) || cidr_contains(cidr, &excluded->addr))
			return true;
	}
	for (size_t i = 0; i < s->endpoints.n; i++)
		if (s->endpoints.v[i].name == NULL &&
		    cidr_contains(excluded, &s->endpoints.v[i].addr))
			return true;
	return false;
}

static void check_service_addresses(struct check *c, const struct model_service *s)
{
	const struct model_cidrs *excluded = &c->model->capture.exclude_cidrs;
	char text[ADDR_TEXT];

	for (size_t i = 0; i < excluded->n; i++) {
		const struct model_cidr *e = &excluded->v[i];

		if (!is_everything(&e->cidr) && holds_service(&e->cidr, s))
			diag_warning(c->diag, e->at,
				"exclude-cidrs: addresses of service %s in %s are open on every port",
				s->name, cidr_format(&e->cidr, text));
	}
}

static void check_exclude_cidrs(struct check *c)
{
	const struct model_cidrs *list = &c->model->capture.exclude_cidrs;
	char text[ADDR_TEXT];

	for (size_t i = 0; i < list->n; i++) {
		const struct model_cidr *e = &list->v[i];

		if (is_everything(&e->cidr))
			diag_warning(c->diag, e->at,
				     "exclude-cidrs: %s is everything: nothing is captured",
				     cidr_format(&e->cidr, text));
		for (size_t j = 0; j < i; j++)
			if (e->cidr.bits == list->v[j].cidr.bits &&
			    addr_equal(&e->cidr.addr, &list->v[j].cidr.addr)) {
				diag_error(c->diag, e->at, "exclude-cidrs: %s is listed twice",
					   cidr_format(&e->cidr, text));
				break;
			}
	}
}

static void check_actions(struct check *c)
{
	const struct model_capture *k = &c->model->capture;
	const struct source_marks *marks = &c->source->capture;

	if (k->udp == POLICY_ALLOW)
		diag_warning(c->diag, source_at(marks, KEY_UDP),
			     "udp = allow: all UDP goes out, QUIC included");
	if (k->other == POLICY_ALLOW)
		diag_warning(c->diag, source_at(marks, KEY_OTHER),
			     "other = allow: everything that is neither TCP nor UDP goes out");
	if (k->dns == POLICY_ALLOW)
		diag_warning(c->diag, source_at(marks, KEY_DNS),
			     "dns = allow: anything can be tunnelled in queries and answers");
	if (k->tamper == POLICY_TAMPER_LOG)
		diag_warning(c->diag, source_at(marks, KEY_TAMPER),
			     "tamper = log: what another process does to the rules stays done");
	if ((k->accept & POLICY_ACCEPT_PACKET_SOCKETS) != 0)
		diag_warning(c->diag, source_at(marks, KEY_ACCEPT),
			     "accept = packet-sockets: where they cannot be closed, whatever has CAP_NET_RAW gets past the proxy");
}

void check_capture(struct check *c)
{
	const struct model_capture *k = &c->model->capture;

	check_scope(c);
	check_actions(c);
	check_exempt(c, &k->exempt_uids, "exempt-uids", "uid", CONFIG_PROXY_UID);
	check_exempt(c, &k->exempt_gids, "exempt-gids", "gid", CONFIG_PROXY_GID);
	check_exclude_cidrs(c);
	if (k->ports.n == 0 && !source_is_bad(&c->source->capture, KEY_PORTS))
		diag_error(c->diag, source_at(&c->source->capture, KEY_PORTS),
			   "ports needs at least one port, or *");
	for (size_t i = 0; i < c->model->services.n; i++) {
		if (!c->used[i])
			continue;
		check_service_ports(c, &c->model->services.v[i]);
		check_service_addresses(c, &c->model->services.v[i]);
	}
}
