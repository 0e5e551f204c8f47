/* SPDX-License-Identifier: MIT */
/* What the access log says of a connection: the name it asked for, where it went, how it ended. */
#include <string.h>
#include <sys/socket.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/exchange.h"

/* Names */

void conn_set_name(struct worker *w, struct conn *c, const char *name, size_t len)
{
	const struct policy *p = conn_policy(w, c);

	if (c->flags & CONN_NAME_SLOT) {
		slab_give(&w->names, c->name);
		worker_count(w, STAT_NAMES, -1);
		c->flags &= (uint8_t)~CONN_NAME_SLOT;
	}
	c->name = NONE;
	if (!len)
		return;
	if (c->key != NONE) {
		const uint8_t *key = p->at[FORMAT_NAMES] + c->key;
		if (key[0] == len && memcmp(key + 1, name, len) == 0) {
			c->name = c->key;
			return;
		}
	}
	c->name = slab_take(&w->names);
	if (c->name == NONE)
		return;
	worker_count(w, STAT_NAMES, 1);
	c->flags |= CONN_NAME_SLOT;
	uint8_t *slot = slab_at(&w->names, c->name);
	slot[0] = (uint8_t)len;
	memcpy(slot + 1, name, len);
}

struct access_text conn_name(struct worker *w, const struct conn *c)
{
	if (c->name == NONE)
		return (struct access_text){ NULL, 0 };
	const uint8_t *at = c->flags & CONN_NAME_SLOT ? slab_at(&w->names, c->name)
	                    : conn_policy(w, c)->at[FORMAT_NAMES] + c->name;
	return (struct access_text){ (const char *)at + 1, at[0] };
}

/* Logging */

static void describe_upstream(struct worker *w, const struct conn *c, struct access_record *r)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	const struct up *u = up_at(w, c->up);

	r->up_addr = u->addr;
	r->up_port = u->port;
	if (!w->sink->off && getsockname(u->fd, (struct sockaddr *)&own, &len) == 0 &&
	    addr_from_sockaddr(&r->up_local, &r->up_local_port, &own) < 0)
		r->up_local_port = 0;
}

static struct access_text text(const char *s)
{
	return (struct access_text){ s, s ? strlen(s) : 0 };
}

static void describe_destination(const struct policy *p, const struct conn *c,
                                 struct access_record *r)
{
	struct policy_destination d;
	struct policy_gateway g;

	policy_destination(p, c->destination, &d);
	r->cluster_port = d.host ? d.port : c->dport;
	r->cluster_host = text(d.host);
	if (d.host)
		return;
	policy_gateway(p, d.gateway, &g);
	r->cluster_host = text(g.name);
	r->cluster_subset = d.subset;
}

static void describe_cluster(struct worker *w, const struct conn *c, struct access_record *r)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_service s;

	if (c->destination != NONE) {
		describe_destination(p, c, r);
		return;
	}
	if (c->service == NONE && c->at_gateway)
		return;
	if (c->service == NONE) {
		r->cluster = c->flags & CONN_PASSTHROUGH ? "PassthroughCluster"
		             : "BlackHoleCluster";
		return;
	}
	policy_service(p, c->service, &s);
	const uint8_t *key = c->key != NONE ? p->at[FORMAT_NAMES] + c->key : s.first_host;
	r->cluster_port = c->dport;
	if (!key)
		return;
	/* "*.suffix" is kept as ".suffix", and "*" as nothing. */
	r->cluster_host = (struct access_text){ (const char *)key + 1, key[0] };
	r->cluster_wildcard = !key[0] || key[1] == '.';
}

void conn_describe(struct worker *w, const struct conn *c, struct access_record *r)
{
	memset(r, 0, sizeof(*r));
	r->start_ms = c->start_ms + w->wall_offset_ms;
	r->duration_ms = w->loop.now_ms - c->start_ms;
	r->service_ms = -1;
	r->down_local = c->dst;
	r->down_local_port = c->dport;
	r->down_remote = c->src;
	r->down_remote_port = c->sport;
	if (c->up != NONE)
		describe_upstream(w, c, r);
	describe_cluster(w, c, r);
	if (c->tls)
		r->peer = text(tls_peer(c->tls));
}

void conn_finish_record(struct worker *w, struct access_record *r)
{
	stat_add(&w->stats.flag[r->flag], 1);
	if (access_put(w->log, r) < 0)
		worker_count(w, STAT_ACCESS_DROPPED, 1);
}

void conn_log(struct worker *w, struct conn *c, enum access_flag flag, const char *failure,
              const char *termination)
{
	struct access_record r;

	if (c->flags & CONN_UPGRADED) {
		exchange_log_upgraded(w, c, flag, termination);
		return;
	}
	if (w->sink->off) {
		stat_add(&w->stats.flag[flag], 1);
		return;
	}
	conn_describe(w, c, &r);
	r.flag = flag;
	r.failure = failure;
	r.termination = termination;
	r.received = c->flow[UPWARD].bytes;
	r.sent = c->flow[DOWNWARD].bytes;
	r.sni = conn_name(w, c);
	if (c->flags & CONN_AUDITED)
		r.route_name = "audit";
	else if (c->flags & CONN_PASSTHROUGH)
		r.route_name = "allow_any";
	conn_finish_record(w, &r);
}
