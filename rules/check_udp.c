/* SPDX-License-Identifier: MIT */
/* Checks of UDP ports: the kernel lets UDP by, to known addresses, and rewrites nothing. */
#include "rules/check.h"

/* Whether the kernel learns the service's addresses from what the DNS stub answers. */
static bool is_learned(const struct model_service *s, const struct source_marks *marks)
{
	return s->addresses.n == 0 && s->endpoints.n == 0 && s->resolution != POLICY_NONE &&
	       s->resolution != POLICY_STATIC && !source_is_bad(marks, KEY_ADDRESSES) &&
	       !source_is_bad(marks, KEY_ENDPOINTS);
}

static void check_port(struct check *c, const struct model_service *s, const struct model_port *p)
{
	if (p->target != p->number)
		diag_error(c->diag, p->at,
			   "service %s: udp:%u->%u: UDP is not rewritten: it goes to the port that the client chose",
			   s->name, p->number, p->target);
	if (p->number == 53 && c->model->capture.dns == POLICY_CAPTURE)
		diag_error(c->diag, p->at,
			   "service %s: udp:53: dns = capture answers all DNS itself, so none goes out",
			   s->name);
	if (p->number == 443)
		diag_warning(c->diag, p->at,
			     "service %s: udp:443 lets QUIC out, in which no name is seen: whatever is at these addresses is reached",
			     s->name);
}

static void check_endpoints(struct check *c, const struct model_service *s,
			    const struct model_port *p)
{
	for (size_t i = 0; i < s->endpoints.n; i++) {
		const struct model_endpoint *e = &s->endpoints.v[i];

		if (e->name != NULL)
			diag_error(c->diag, e->at,
				   "service %s: endpoint %s is a name, and udp:%u is not sent to endpoints but let by to addresses: give addresses",
				   s->name, e->name, p->number);
		else if (e->port != 0 && e->port != p->number)
			diag_error(c->diag, e->at,
				   "service %s: an endpoint with port %u, and UDP is not rewritten: udp:%u needs port %u or none",
				   s->name, e->port, p->number, p->number);
	}
}

static void check_source_of_addresses(struct check *c, const struct model_service *s,
				      const struct source_marks *marks, const struct model_port *p)
{
	enum policy_action dns = c->model->capture.dns;

	if (s->resolution == POLICY_NONE && s->addresses.n == 0 &&
	    !source_is_bad(marks, KEY_ADDRESSES))
		diag_error(c->diag, p->at,
			   "service %s: udp:%u with resolution = none needs addresses: it would be open to every destination",
			   s->name, p->number);
	if (is_learned(s, marks) && dns != POLICY_CAPTURE &&
	    c->model->capture.udp != POLICY_ALLOW)
		diag_warning(c->diag, p->at,
			     "service %s: udp:%u is open to what dns = capture answers for its hosts; with dns = %s nothing is learned: refused",
			     s->name, p->number, dns == POLICY_ALLOW ? "allow" : "reject");
}

struct answered {
	struct check *check;
	const struct model_service *service;
	const struct model_host *host;
};

/* Another service whose addresses are what the stub answers for the host. */
static bool see_answered(const struct hosts_entry *e, void *user)
{
	const struct answered *a = user;
	const struct model_service *s = &a->check->model->services.v[e->service];
	char text[HOSTS_TEXT];

	if (s == a->service || !hosts_cover(e->host, a->host))
		return false;
	if (!hosts_cover(a->host, e->host))
		return true; /* from here on wider ones */
	for (size_t i = 0; i < s->addresses.n; i++) {
		if (s->addresses.v[i].cidr.bits != 128)
			continue;
		diag_warning(a->check->diag, source_host_at(a->check->source, a->host),
			     "service %s: host %s is answered with the addresses of service %s, so nothing is learned for UDP",
			     a->service->name, hosts_text(a->host, text), s->name);
		return true;
	}
	return false;
}

void check_udp(struct check *c, const struct model_service *s, const struct source_marks *marks)
{
	bool udp = false;

	for (size_t i = 0; i < s->ports.n; i++) {
		const struct model_port *p = &s->ports.v[i];

		if (p->protocol != POLICY_PROTO_UDP)
			continue;
		udp = true;
		check_port(c, s, p);
		check_endpoints(c, s, p);
		if (!source_is_bad(marks, KEY_RESOLUTION))
			check_source_of_addresses(c, s, marks, p);
	}
	for (size_t i = 0; udp && is_learned(s, marks) && i < s->hosts.n; i++) {
		struct answered a = { .check = c, .service = s, .host = &s->hosts.v[i] };

		hosts_find(&c->hosts, a.host, see_answered, &a);
	}
}
