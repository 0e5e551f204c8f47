/* SPDX-License-Identifier: MIT */
/* What the access log says of an exchange. */
#include "tproxy/conn.h"
#include "tproxy/exchange.h"

static struct access_text text_of(struct worker *w, const struct exchange *x, struct http_slice s)
{
	return (struct access_text){ exchange_bytes(w, x) + s.at, s.len };
}

void exchange_log(struct worker *w, struct conn *c, struct exchange *x, enum access_flag flag,
                  const char *details, const char *failure, const char *termination)
{
	struct access_record r;

	conn_describe(w, c, &r);
	r.start_ms = x->start_ms + w->wall_offset_ms;
	r.duration_ms = w->loop.now_ms - x->start_ms;
	if (x->first_byte_ms)
		r.service_ms = x->first_byte_ms - x->start_ms;
	r.protocol = x->rq.minor ? "HTTP/1.1" : "HTTP/1.0";
	r.method = text_of(w, x, x->rq.method);
	r.path = text_of(w, x, x->rq.target);
	r.authority = text_of(w, x, x->rq.authority);
	r.user_agent = text_of(w, x, x->rq.user_agent);
	r.x_forwarded_for = text_of(w, x, x->rq.x_forwarded_for);
	r.request_id = text_of(w, x, x->rq.x_request_id);
	r.status = x->status;
	r.flag = flag;
	r.details = details;
	r.failure = failure;
	r.termination = termination;
	r.received = x->rq_body.bytes;
	r.sent = x->rs_body.bytes;
	r.route_name = x->route_name;
	if (x->direct) {
		r.cluster = NULL;
		r.cluster_host.len = 0;
		r.cluster_wildcard = false;
		r.cluster_subset = NULL;
		r.up_port = r.up_local_port = 0;
	}
	conn_finish_record(w, &r);
	/* Counted as the bodies they were, not as the flows that carried them. */
	worker_count(w, STAT_BYTES_UP, (int64_t)r.received);
	worker_count(w, STAT_BYTES_DOWN, (int64_t)r.sent);
	c->flow[UPWARD].bytes = c->flow[DOWNWARD].bytes = 0;
}

void exchange_log_upgraded(struct worker *w, struct conn *c, enum access_flag flag,
                           const char *termination)
{
	struct exchange *x = exchange_of(w, c);

	x->rq_body.bytes = c->flow[UPWARD].bytes;
	x->rs_body.bytes = c->flow[DOWNWARD].bytes;
	exchange_log(w, c, x, flag, "via_upstream", NULL, termination);
}
