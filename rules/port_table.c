/* SPDX-License-Identifier: MIT */
/* BY_PORT: which kinds of service a port has, and which takes it whole. */
#include "rules/emit.h"

static uint8_t port_flag(enum policy_protocol protocol)
{
	switch (protocol) {
	case POLICY_PROTO_HTTP:
	case POLICY_PROTO_HTTP2:
	case POLICY_PROTO_GRPC:
		return POLICY_PORT_HTTP;
	case POLICY_PROTO_HTTPS:
	case POLICY_PROTO_TLS:
		return POLICY_PORT_TLS;
	case POLICY_PROTO_UDP:
		return POLICY_PORT_UDP;
	case POLICY_PROTO_AUTO:
		return POLICY_PORT_AUTO;
	default:
		return POLICY_PORT_TCP;
	}
}

bool emit_collect_ports(struct emit *w)
{
	const struct model_services *services = &w->m->services;

	w->ports = emit_alloc(65536, sizeof(*w->ports));
	for (size_t i = 0; i < services->n; i++) {
		const struct model_service *s = &services->v[i];

		for (size_t j = 0; j < s->ports.n; j++) {
			const struct model_port *port = &s->ports.v[j];
			struct emit_port *p = &w->ports[port->number];

			p->flags |= port_flag(port->protocol);
			if (!policy_protocol_is_tcp(port->protocol) || s->addresses.n > 0)
				continue;
			if (p->taker != 0)
				return emit_fail(
					w, "services %s and %s both take the whole of port %u",
					services->v[p->taker - 1].name, s->name, port->number);
			p->taker = (uint32_t)i + 1;
		}
	}
	for (size_t i = 0; i < 65536; i++) {
		struct emit_port *p = &w->ports[i];
		uint32_t service = p->taker - 1;

		if (p->flags != 0)
			p->list = pool_add_list(&w->lists, &service, p->taker != 0);
	}
	return true;
}

void emit_write_ports(struct emit *w)
{
	for (size_t i = 0; i < 65536; i++) {
		const struct emit_port *p = &w->ports[i];
		uint8_t *r;

		if (p->flags == 0)
			continue;
		r = bytes_add(&w->sections[FORMAT_BY_PORT], BY_PORT_SIZE);
		put_le16(r + BY_PORT_NUMBER, (uint16_t)i);
		r[BY_PORT_FLAGS] = p->flags;
		put_le32(r + BY_PORT_LIST, pool_list(&w->lists, p->list));
		w->records[FORMAT_BY_PORT]++;
	}
}
