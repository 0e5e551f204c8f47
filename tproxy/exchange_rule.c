/* SPDX-License-Identifier: MIT */
/* What a route says of a request's path, fields and answer, carried out. */
#include "tproxy/exchange_rule.h"

#include <string.h>
#include <strings.h>

#include "tproxy/conn.h"
#include "tproxy/http_head.h"
#include "tproxy/http_path.h"

/* ---- which route ---- */

struct asked { const char *head; const struct http_request *rq; };

/* What is not passed on is no field of the request; but Host is, though written anew. */
static const char *header(const void *user, const char *name, uint32_t n, size_t *len)
{
	const struct asked *a = user;
	size_t name_len = strlen(name);
	uint64_t dropped = strcmp(name, "host") == 0 ? 0 : a->rq->dropped;

	for (unsigned i = 0; i < a->rq->n_fields; i++) {
		const struct http_field *f = &a->rq->fields[i];

		if (dropped >> i & 1 || f->name.len != name_len ||
		    strncasecmp(a->head + f->name.at, name, name_len) != 0 || n--)
			continue;
		*len = f->value.len;
		return a->head + f->value.at;
	}
	return NULL;
}

/* The path as it goes out. */
static const char *path_of(const char *head, const struct http_request *rq, size_t *len)
{
	const char *s = head + rq->target.at, *query = memchr(s, '?', rq->target.len);

	*len = query ? (size_t)(query - s) : rq->target.len;
	if (*len)
		return s;
	*len = 1;
	return "/";
}

bool exchange_find_route(struct worker *w, struct conn *c, struct exchange *x,
                         struct route_query *q, struct route *r)
{
	struct asked asked = { exchange_bytes(w, x), &x->rq };
	bool by_path = false;
	struct policy_http http = {
		.method = asked.head + x->rq.method.at, .method_len = x->rq.method.len,
		.header = header, .user = &asked, .by_path = &by_path,
	};

	http.path = path_of(asked.head, &x->rq, &http.path_len);
	q->http = &http;
	conn_find_route(w, c, q, r);
	q->http = NULL;
	return !by_path || http_path_is_plain(http.path, http.path_len);
}

/* ---- changes of heads ---- */

/* What is removed or set anew of a head's fields. */
static void drop(const struct policy *p, struct policy_run run, const char *head,
                 const struct http_field *fields, unsigned n, uint64_t *dropped)
{
	struct policy_header_change change;

	for (uint32_t i = 0; i < run.n; i++) {
		policy_header_change(p, run.first + i, &change);
		size_t len = strlen(change.name);
		for (unsigned k = 0; k < n && change.change != POLICY_ADD; k++)
			if (fields[k].name.len == len &&
			    strncasecmp(head + fields[k].name.at, change.name, len) == 0)
				*dropped |= (uint64_t)1 << k;
	}
}

/* What is set or added, to a head of n bytes. Its length then, or 0. */
static size_t append(const struct policy *p, struct policy_run run, char *out, size_t n,
                     size_t room)
{
	struct policy_header_change change;

	if (!n || !run.n)
		return n;
	/* In the place of the empty line. */
	struct http_out o = { .at = out + n - 2, .end = out + room };
	for (uint32_t i = 0; i < run.n; i++) {
		policy_header_change(p, run.first + i, &change);
		if (change.change == POLICY_REMOVE)
			continue;
		http_put_text(&o, change.name);
		http_put_text(&o, ": ");
		http_put(&o, change.value, change.value_len);
		http_put_text(&o, "\r\n");
	}
	http_put_text(&o, "\r\n");
	return o.full ? 0 : (size_t)(o.at - out);
}

size_t exchange_write_request(struct worker *w, const struct conn *c, struct exchange *x, char *out,
                              size_t room)
{
	const struct policy *p = conn_policy(w, c);
	const char *head = exchange_bytes(w, x);
	struct http_rewrite to = { .authority = NULL };
	struct policy_route_http h = { .request.n = 0 };

	if (x->route != NONE) {
		size_t len;
		const char *path = path_of(head, &x->rq, &len);
		policy_route_http(p, x->route, &h);
		to.authority = h.rewrite_authority;
		to.uri = h.rewrite_uri;
		if (to.uri)
			to.replaced = policy_route_rewrites(p, x->route, path, len);
	}
	size_t n = http_request_write(head, &x->rq, x->rq.host_port, x->upgrade, &to, out, room);
	return append(p, h.request, out, n, room);
}

size_t exchange_write_response(struct worker *w, const struct conn *c, const struct exchange *x,
                               const char *head, struct http_response *rs, bool close,
                               enum http_framing *promised, char *out, size_t room)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_route_http h = { .response.n = 0 };

	if (x->route != NONE && (rs->status >= 200 || rs->status == 101)) {
		policy_route_http(p, x->route, &h);
		drop(p, h.response, head, rs->fields, rs->n_fields, &rs->dropped);
	}
	size_t n = http_response_write(head, rs, x->rq.minor, close, promised, out, room);
	return append(p, h.response, out, n, room);
}

void exchange_take_rule(struct worker *w, struct conn *c, struct exchange *x,
                        const struct route *r)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_route route;
	struct policy_route_http h;

	policy_route(p, r->route, &route);
	policy_route_http(p, r->route, &h);
	x->route = r->route;
	x->route_name = route.name;
	drop(p, h.request, exchange_bytes(w, x), x->rq.fields, x->rq.n_fields, &x->rq.dropped);
}

/* ---- answers ---- */

bool exchange_is_answered(const struct worker *w, const struct conn *c, const struct route *r)
{
	struct policy_route_http h;

	if (!r->routed)
		return false;
	policy_route_http(conn_policy(w, c), r->route, &h);
	return h.action != POLICY_HTTP_FORWARD;
}

void exchange_answer_rule(struct worker *w, struct conn *c, struct exchange *x,
                          const struct route *r)
{
	struct policy_route_http h;

	exchange_take_rule(w, c, x, r);
	policy_route_http(conn_policy(w, c), r->route, &h);
	x->answered = true;
	exchange_answer(w, c, x,
	                h.action == POLICY_HTTP_REDIRECT ? h.redirect.code : h.status, FLAG_NONE,
	                "direct_response", NULL, NULL);
}

/* As Envoy: the Host keeps its port, unless another is said. */
static void put_location(struct http_out *o, const char *head, const struct http_request *rq,
                         bool tls, const struct policy_redirect *to)
{
	const char *target = head + rq->target.at;
	size_t at = 0, len = rq->target.len;

	http_put_text(o, "location: ");
	http_put_text(o, to->https || tls ? "https://" : "http://");
	if (to->authority)
		http_put_text(o, to->authority);
	else
		http_put_host(o, rq, to->port || (tls && rq->host_port == 443) ? 80 : rq->host_port);
	if (to->port) {
		http_put_text(o, ":");
		http_put_decimal(o, to->port);
	}
	if (to->uri) {
		const char *query = memchr(target, '?', len);
		http_put_text(o, to->uri);
		at = query ? (size_t)(query - target) : len;
	} else if (target[0] != '/') {
		http_put_text(o, "/");
		at = target[0] == '*';
	}
	http_put(o, target + at, len - at);
	http_put_text(o, "\r\n");
}

/* A route's answer is changed as a server's would be. */
static size_t write_rule(struct worker *w, struct conn *c, struct exchange *x, int status,
                         bool close, int64_t now)
{
	char *head = (char *)w->scratch, *out = (char *)w->scratch2;
	struct policy_route_http h;
	struct http_response rs;
	enum http_framing promised;

	policy_route_http(conn_policy(w, c), x->route, &h);
	size_t n = http_direct_response(status, false, now, h.body_len, head, SCRATCH_SIZE);
	struct http_out o = { .at = head + n - 2, .end = head + SCRATCH_SIZE };
	if (h.action == POLICY_HTTP_REDIRECT)
		put_location(&o, exchange_bytes(w, x), &x->rq, c->tls != NULL, &h.redirect);
	if (h.body_len)
		http_put_text(&o, "content-type: text/plain\r\n");
	http_put_text(&o, "\r\n");
	if (o.full || http_response_parse(head, (size_t)(o.at - head), x->rq.head, false, &rs))
		return 0;
	n = exchange_write_response(w, c, x, head, &rs, close, &promised, out, BUFFER_SIZE);
	if (!n || x->rq.head || h.body_len > BUFFER_SIZE - n)
		return x->rq.head ? n : 0;
	memcpy(out + n, h.body_len ? h.body : "", h.body_len);
	x->rs_body.bytes = h.body_len;
	return n + h.body_len;
}

size_t exchange_write_answer(struct worker *w, struct conn *c, struct exchange *x, int status,
                             bool close)
{
	int64_t now = (w->loop.now_ms + w->wall_offset_ms) / 1000;

	return x->answered ? write_rule(w, c, x, status, close, now)
	       : http_direct_response(status, close, now, 0, (char *)w->scratch2, SCRATCH_SIZE);
}
