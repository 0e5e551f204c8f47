/* SPDX-License-Identifier: MIT */
/* The stub resolver: what is asked, what the policy says, what is answered. */
#include "tproxy/stub.h"

#include <string.h>

#include <ares.h>

#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/dns_heap.h"
#include "tproxy/dns_service.h"
#include "tproxy/learn.h"
#include "tproxy/stub_name.h"

#define TTL_MAX      3600
#define TTL_FIXED    30   /* seconds, as Istio has it */
#define TTL_STALE    5    /* soon there may be a better answer */
#define TTL_NEGATIVE 60   /* of what is refused here */
#define HOLDER_MS    250  /* that an answer waits for the holder of the rules */
#define PREFIX       2    /* a length, before messages over TCP */

static const struct policy *current(const struct worker *w)
{
	return w->policies[w->policy].shared->policy;
}

/* An answer on its way: where to, and room for it. */
struct out {
	const struct stub_peer *peer;
	struct dns_reply reply;
	uint8_t bytes[PREFIX + DNS_REPLY_MAX];
};

static void start(struct out *o, const struct stub_peer *peer, const struct dns_question *q,
                  unsigned rcode)
{
	o->peer = peer;
	dns_reply_start(&o->reply, o->bytes + PREFIX,
	                peer->conn == NONE ? q->room : DNS_REPLY_MAX, q, rcode);
}

static void finish(struct worker *w, struct out *o, enum dns_result result)
{
	size_t len = dns_reply_end(&o->reply);

	stat_add(&w->stats.dns_result[result], 1);
	if (o->reply.truncated)
		worker_count(w, STAT_DNS_TRUNCATED, 1);
	if (o->peer->conn == NONE)
		stub_udp_send(w, o->peer, o->bytes + PREFIX, len);
	else
		stub_tcp_send(w, o->peer, o->bytes + PREFIX, len);
}

/* An answer without records but, for what does not exist, how long that is so. */
static void answer_nothing(struct worker *w, const struct stub_peer *peer,
                           const struct dns_question *q, unsigned rcode, uint32_t ttl,
                           enum dns_result result)
{
	struct out o;

	start(&o, peer, q, rcode);
	if (ttl)
		dns_reply_add_negative(&o.reply, ttl);
	finish(w, &o, result);
}

static const char *type_text(uint16_t type, char text[static 10])
{
	const char *known = ares_dns_rec_type_tostr((ares_dns_rec_type_t)type);

	if (strcmp(known, "UNKNOWN") != 0)
		return known;
	memcpy(text, "TYPE", 4);
	size_t n = 4;
	for (unsigned scale = 10000; scale; scale /= 10)
		if (type >= scale || scale == 1)
			text[n++] = (char)('0' + type / scale % 10);
	text[n] = '\0';
	return text;
}

/* A line for what is refused, or let through by audit alone. */
static void log_name(struct worker *w, const struct stub_peer *peer, const struct dns_question *q,
                     const char *name, const char *why, bool audited)
{
	char type[10];
	struct access_record r = {
		.start_ms = w->loop.now_ms + w->wall_offset_ms, .service_ms = -1,
		.protocol = "DNS", .flag = audited ? FLAG_NONE : FLAG_UH,
		.details = why, .route_name = audited ? "audit" : "block_all",
		.cluster = audited ? "PassthroughCluster" : "BlackHoleCluster",
		.authority = { name, strlen(name) },
		.down_local = peer->dst, .down_local_port = peer->dport,
		.down_remote = peer->src, .down_remote_port = peer->sport,
	};

	r.method.s = type_text(q->type, type);
	r.method.len = strlen(r.method.s);
	conn_finish_record(w, &r);
}

/* Addresses */

/* Adds one to those already there; what the question is not about is left out. */
static void add(struct out *o, const struct addr *a, uint32_t ttl)
{
	if (o->reply.q->type == (addr_is_v4(a) ? ARES_REC_TYPE_A : ARES_REC_TYPE_AAAA))
		dns_reply_add_address(&o->reply, a, ttl);
}

/* Says for how long there is nothing, if there is nothing. */
static bool complete(struct out *o, uint32_t ttl)
{
	if (o->reply.answers || o->reply.truncated)
		return true;
	dns_reply_add_negative(&o->reply, ttl);
	return false;
}

static void answer_fixed(struct worker *w, const struct stub_peer *peer,
                         const struct dns_question *q, const struct lookup *l)
{
	struct lookup_cursor at = { 0, 0 };
	struct addr a;
	struct out o;

	start(&o, peer, q, ARES_RCODE_NOERROR);
	while (lookup_address(current(w), l, &at, &a))
		add(&o, &a, TTL_FIXED);
	complete(&o, TTL_FIXED);
	finish(w, &o, DNS_RESULT_FIXED);
}

static void answer_loopback(struct worker *w, const struct stub_peer *peer,
                            const struct dns_question *q)
{
	static const struct addr loopback[] = {
		{ { [10] = 0xff, 0xff, 127, 0, 0, 1 } }, { { [15] = 1 } },
	};
	struct out o;

	start(&o, peer, q, ARES_RCODE_NOERROR);
	for (int i = 0; i < 2; i++)
		add(&o, &loopback[i], TTL_FIXED);
	complete(&o, TTL_FIXED);
	finish(w, &o, DNS_RESULT_FIXED);
}

static uint32_t ttl_of(const struct resolve_answer *a)
{
	if (a->stale)
		return TTL_STALE;
	return a->ttl < 1 ? 1 : a->ttl > TTL_MAX ? TTL_MAX : a->ttl;
}

/* What the address rules let pass, and only that: the proxy would dial nothing else. */
static void answer_found(struct worker *w, const struct stub_peer *peer,
                         const struct dns_question *q, const char *name, const struct lookup *l,
                         const struct resolve_answer *a)
{
	unsigned refused = 0;
	struct out o;

	start(&o, peer, q, ARES_RCODE_NOERROR);
	for (unsigned i = 0; i < a->n; i++) {
		if (dial_allowed(&a->addrs[i], l->allow_private))
			add(&o, &a->addrs[i], ttl_of(a));
		else
			refused++;
	}
	worker_count(w, STAT_ADDR_REFUSED, refused);
	if (complete(&o, ttl_of(a))) {
		finish(w, &o, DNS_RESULT_FOUND);
		return;
	}
	if (refused)
		log_name(w, peer, q, name, "address_refused", false);
	finish(w, &o, refused ? DNS_RESULT_ADDRESS_REFUSED : DNS_RESULT_NEGATIVE);
}

/* What the resolver found */

/*
 * Whoever is told an address may send to it at once: not before the kernel lets that pass. True:
 * the answer waits.
 */
static bool postpone(struct worker *w, const struct stub_peer *peer, const struct dns_question *q,
                     const struct lookup *l, const struct resolve_answer *a)
{
	struct stub_query *s = learn_answer(w, l, a) ? stub_hold(w, peer, q) : NULL;

	if (!s)
		return false;
	s->learning = true;
	s->order = w->learn.sent;
	s->until_ms = w->loop.now_ms + HOLDER_MS;
	s->answer = *a;
	if (!timer_is_set(&w->stub.timer))
		timer_set(&w->loop, &w->stub.timer, HOLDER_MS);
	return true;
}

static void answer_resolved(struct worker *w, const struct stub_peer *peer,
                            const struct dns_question *q, const char *name,
                            const struct lookup *l, const struct resolve_answer *a)
{
	switch (a->status) {
	case RESOLVE_OK:
		if (!postpone(w, peer, q, l, a))
			answer_found(w, peer, q, name, l, a);
		return;
	case RESOLVE_NXDOMAIN:
		answer_nothing(w, peer, q, ARES_RCODE_NXDOMAIN, ttl_of(a), DNS_RESULT_NEGATIVE);
		return;
	case RESOLVE_NODATA:
		answer_nothing(w, peer, q, ARES_RCODE_NOERROR, ttl_of(a), DNS_RESULT_NEGATIVE);
		return;
	case RESOLVE_FAIL:
	default:
		answer_nothing(w, peer, q, ARES_RCODE_SERVFAIL, 0, DNS_RESULT_FAILED);
		return;
	}
}

static bool is_service(uint16_t type)
{
	return type == ARES_REC_TYPE_HTTPS || type == ARES_REC_TYPE_SVCB;
}

static void resolve(struct worker *w, const struct stub_peer *peer, const struct dns_question *q,
                    const char *name, size_t len, const struct lookup *l)
{
	struct stub_query *s;
	struct resolve_answer a;
	int r = -1;

	if (q->type != ARES_REC_TYPE_A && q->type != ARES_REC_TYPE_AAAA && !is_service(q->type)) {
		answer_nothing(w, peer, q, ARES_RCODE_NOERROR, TTL_NEGATIVE, DNS_RESULT_EMPTY);
		return;
	}
	s = stub_hold(w, peer, q);
	if (s && is_service(q->type)) {
		r = resolver_ask_record(w->resolver, name, len, q->type, stub_waiter(w, s),
		                        w->loop.now_ms);
	} else if (s) {
		r = resolver_ask(w->resolver, name, len, stub_waiter(w, s), w->loop.now_ms, &a);
	}
	if (s && r != 0)
		stub_release(w, s);
	if (r < 0)
		answer_nothing(w, peer, q, ARES_RCODE_SERVFAIL, 0, DNS_RESULT_FULL);
	else if (r > 0)
		answer_resolved(w, peer, q, name, l, &a);
}

/* Questions */

/*
 * Not REFUSED: on that, C libraries ask the next server or wait for a better answer, instead of
 * going on with the next name of their search list.
 */
static void refuse(struct worker *w, const struct stub_peer *peer, const struct dns_question *q)
{
	answer_nothing(w, peer, q, ARES_RCODE_NXDOMAIN, TTL_NEGATIVE, DNS_RESULT_REFUSED);
}

static void count_type(struct worker *w, uint16_t type)
{
	enum dns_type t = type == ARES_REC_TYPE_A       ? DNS_TYPE_A
	                  : type == ARES_REC_TYPE_AAAA  ? DNS_TYPE_AAAA
	                  : type == ARES_REC_TYPE_HTTPS ? DNS_TYPE_HTTPS
	                  : type == ARES_REC_TYPE_SVCB  ? DNS_TYPE_SVCB
	                  : type == ARES_REC_TYPE_PTR   ? DNS_TYPE_PTR : DNS_TYPE_OTHER;

	stat_add(&w->stats.dns_type[t], 1);
}

/* Answers what the policy alone can say; true: name servers have to. */
static bool decide(struct worker *w, const struct stub_peer *peer, const struct dns_question *q,
                   const char *name, size_t len, struct lookup *l)
{
	lookup_find(current(w), name, len, &peer->src, l);
	if (l->verdict == LOOKUP_RESOLVE)
		return true;
	if (l->verdict == LOOKUP_FIXED || l->verdict == LOOKUP_SYNTHETIC) {
		answer_fixed(w, peer, q, l);
		return false;
	}
	log_name(w, peer, q, name, route_reason_code(l->reason), false);
	refuse(w, peer, q);
	return false;
}

static void answer(struct worker *w, const struct stub_peer *peer, const struct dns_question *q,
                   const char *name)
{
	size_t len = strlen(name);
	struct lookup l;

	switch (stub_name(name, len)) {
	case STUB_NAME_LOOPBACK: answer_loopback(w, peer, q); return;
	case STUB_NAME_NONE: refuse(w, peer, q); return;
	case STUB_NAME_ORDINARY: break;
	}
	if (!decide(w, peer, q, name, len, &l))
		return;
	if (l.reason == ROUTE_WHY_AUDIT) {
		worker_count(w, STAT_AUDITED, 1);
		log_name(w, peer, q, name, route_reason_code(l.denied), true);
	}
	resolve(w, peer, q, name, len, &l);
}

void stub_receive(struct worker *w, const struct stub_peer *peer, const uint8_t *bytes, size_t len)
{
	struct dns_question q;
	char name[NAME_SIZE];

	worker_count(w, peer->conn == NONE ? STAT_DNS_UDP : STAT_DNS_TCP, 1);
	/* Reading a message takes memory of c-ares', too. */
	int error = dns_heap_tight() ? DNS_QUESTION_DROP : dns_question_read(&q, name, bytes, len);
	if (error == DNS_QUESTION_DROP) {
		stat_add(&w->stats.dns_result[DNS_RESULT_MALFORMED], 1);
		if (peer->conn != NONE)
			stub_tcp_drop(w, peer);
	} else if (error) {
		uint32_t ttl = error == ARES_RCODE_NXDOMAIN ? TTL_NEGATIVE : 0;
		answer_nothing(w, peer, &q, (unsigned)error, ttl, DNS_RESULT_MALFORMED);
	} else {
		count_type(w, q.type);
		answer(w, peer, &q, name);
	}
}

/* Answers */

struct asker { struct worker *w; const struct addr *client; };

static bool registered(void *ctx, const char *name, size_t len)
{
	const struct asker *a = ctx;
	struct lookup l;

	lookup_find(current(a->w), name, len, a->client, &l);
	return l.verdict != LOOKUP_DENY;
}

static void answer_services(struct worker *w, const struct stub_peer *peer,
                            const struct dns_question *q, const char *name,
                            const struct ares_dns_record *m)
{
	struct asker asker = { w, &peer->src };
	uint8_t data[DNS_SERVICE_MAX];
	struct out o;
	size_t n = ares_dns_record_rr_cnt(m, ARES_SECTION_ANSWER);

	start(&o, peer, q, ARES_RCODE_NOERROR);
	for (size_t i = 0; i < n; i++) {
		const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(m, ARES_SECTION_ANSWER, i);
		if (!rr || ares_dns_rr_get_type(rr) != (ares_dns_rec_type_t)q->type)
			continue;
		size_t len = dns_service_write(rr, name, registered, &asker, data);
		uint32_t ttl = ares_dns_rr_get_ttl(rr);
		if (len)
			dns_reply_add(&o.reply, q->type, ttl > TTL_MAX ? TTL_MAX : ttl, data, len);
	}
	bool any = complete(&o, TTL_NEGATIVE);
	finish(w, &o, any ? DNS_RESULT_FOUND : DNS_RESULT_NEGATIVE);
}

/* Takes a query off the table: who asked, what, and what the policy says of it by now. */
static bool take(struct worker *w, uint64_t waiter, struct stub_query *copy,
                 char name[static NAME_SIZE], struct lookup *l)
{
	struct stub_query *s = stub_query_of(w, waiter);

	if (!s)
		return false;
	*copy = *s;
	stub_release(w, s);
	size_t len = dns_question_name(&copy->question, name);
	return decide(w, &copy->peer, &copy->question, name, len, l);
}

void stub_record(void *worker, uint64_t waiter, const struct ares_dns_record *response)
{
	struct worker *w = worker;
	struct stub_query s;
	char name[NAME_SIZE];
	struct lookup l;

	if (!take(w, waiter, &s, name, &l))
		return;
	ares_dns_rcode_t rcode =
		response ? ares_dns_record_get_rcode(response) : ARES_RCODE_SERVFAIL;
	if (rcode == ARES_RCODE_NOERROR)
		answer_services(w, &s.peer, &s.question, name, response);
	else if (rcode == ARES_RCODE_NXDOMAIN)
		answer_nothing(w, &s.peer, &s.question, rcode, TTL_NEGATIVE, DNS_RESULT_NEGATIVE);
	else
		answer_nothing(w, &s.peer, &s.question, ARES_RCODE_SERVFAIL, 0, DNS_RESULT_FAILED);
}

void stub_resolved(struct worker *w, uint64_t waiter, const struct resolve_answer *a)
{
	struct stub_query s;
	char name[NAME_SIZE];
	struct lookup l;

	if (take(w, waiter, &s, name, &l))
		answer_resolved(w, &s.peer, &s.question, name, &l, a);
}

void stub_learned(struct worker *w)
{
	bool waits = false;

	for (uint32_t i = 0; i < w->stub.queries.high; i++) {
		struct stub_query s, *at = slab_at(&w->stub.queries, i);
		char name[NAME_SIZE];
		struct lookup l;
		if (!at->live || !at->learning)
			continue;
		if ((int32_t)(w->learn.done - at->order) < 0 && w->loop.now_ms < at->until_ms) {
			waits = true;
			continue;
		}
		if (take(w, stub_waiter(w, at), &s, name, &l))
			answer_found(w, &s.peer, &s.question, name, &l, &s.answer);
	}
	if (!waits)
		timer_unset(&w->stub.timer);
	else if (!timer_is_set(&w->stub.timer))
		timer_set(&w->loop, &w->stub.timer, HOLDER_MS);
}
