/* SPDX-License-Identifier: MIT */
/* Reaching a service. */
#include "tproxy/dial.h"

#include <errno.h>
#include <string.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "rules/gateway.h"
#include "tproxy/conn.h"
#include "tproxy/exchange_rule.h"
#include "tproxy/greet.h"
#include "tproxy/relay.h"
#include "tproxy/secure.h"
#include "tproxy/upstream.h"

#define ATTEMPT_DELAY_MS 250 /* RFC 8305 8: Connection Attempt Delay */
#define KEEPIDLE_MAX     32767 /* seconds, as Linux has it */

enum { NO_CONNECTION = -1, NO_ANSWER = 0 }; /* besides statuses */

static struct dial *dial_of(struct worker *w, const struct conn *c)
{
	return dial_at(w, c->dial);
}

uint64_t dial_waiter(struct worker *w, const struct conn *c)
{
	return (uint64_t)(c->generation & 0x0fffffff) << 32 | slab_index(&w->conns, c);
}

void dial_cancel(struct worker *w, struct conn *c)
{
	if (c->dial == NONE)
		return;
	struct dial *d = dial_of(w, c);
	if (d->waiting)
		resolver_cancel(w->resolver, dial_waiter(w, c));
	for (int i = 0; i < 2; i++)
		if (d->ups[i] != NONE)
			up_close(w, d->ups[i], true);
	slab_give(&w->dials, c->dial);
	c->dial = NONE;
}

static void fail(struct worker *w, struct conn *c, enum access_flag flag, const char *why)
{
	dial_cancel(w, c);
	conn_dial_failed(w, c, flag, why);
}

static const char *errno_reason(int e)
{
	switch (e) {
	case ECONNREFUSED: return "connection_refused";
	case ETIMEDOUT: return "connection_timeout";
	case EHOSTUNREACH: case ENETUNREACH: case EADDRNOTAVAIL: return "unreachable";
	case EADDRINUSE: return "own_address";
	case EMFILE: case ENFILE: case ENOBUFS: case ENOMEM: return "out_of_descriptors";
	case EPERM: case EACCES: return "refused_by_guard";
	default: return "connection_failure";
	}
}

/* What came of it, or a status, for who chooses next time. */
static void count(struct worker *w, const struct conn *c, const uint16_t target[2], int what)
{
	struct policy_traffic traffic, *t = dial_traffic(w, c, &traffic) ? &traffic : NULL;

	for (int i = 0; i < 2; i++)
		if (what > 0)
			balance_answered(&w->balance, target[i], t, what, w->loop.now_ms);
		else
			balance_failed(&w->balance, target[i], t, what == NO_CONNECTION,
			               w->loop.now_ms);
}

static void count_reached(struct worker *w, const struct up *u)
{
	for (int i = 0; i < 2; i++)
		balance_connected(&w->balance, u->target[i], w->loop.now_ms);
}

void dial_report(struct worker *w, const struct conn *c, int status)
{
	if (c->up != NONE)
		count(w, c, up_at(w, c->up)->target, status ? status : NO_ANSWER);
}

bool dial_is_worn(struct worker *w, const struct conn *c)
{
	uint32_t n = ++up_at(w, c->up)->requests;
	struct policy_traffic t;

	return dial_traffic(w, c, &t) && t.max_requests && n >= t.max_requests;
}

static void connected(struct worker *w, struct conn *c, uint32_t i)
{
	struct dial *d = dial_of(w, c);
	struct up *u = up_at(w, i);

	for (int k = 0; k < 2; k++)
		if (d->ups[k] == i)
			d->ups[k] = NONE;
	dial_cancel(w, c);
	if (u->state != UP_ACTIVE)
		count_reached(w, u);
	up_turn(w, u, UP_ACTIVE);
	c->up = i;
	if (c->state == CONN_DIAL)
		dial_report(w, c, 200);
	conn_connected(w, c);
}

/*
 * On short paths the handshake is already over: what can be sent now spares a wait. 1: bytes went
 * out, so it is connected; 0: not known; -1: errno. A gateway that has to be greeted gets nothing.
 */
static int send_early(struct worker *w, struct conn *c, struct up *u)
{
	struct flow *f = &c->flow[UPWARD];
	uint32_t before = f->len;
	int sent = 0;

	if (greet_needed(w, c))
		return 0;
	u->io |= IO_WRITE;
	if (c->state == CONN_HTTP)
		sent = exchange_send_early(w, c, u);
	else if (before)
		sent = flow_flush(w, f, flow_end(u));
	if (sent >= 0)
		sent = sent > 0 ? before || c->state == CONN_HTTP : f->len < before;
	if (!sent)
		u->io = 0;
	return sent;
}

/* What the policy says of a connection for as long as it lives. */
static void condition(struct worker *w, const struct conn *c, struct up *u)
{
	struct policy_traffic t;
	int on = 1, idle;

	if (!dial_traffic(w, c, &t))
		return;
	if (t.idle_timeout != POLICY_IDLE_TIMEOUT)
		u->idle_ms = t.idle_timeout;
	if (!t.keepalive_s)
		return;
	/* Where it can't be had, the idle time ends the connection. */
	idle = t.keepalive_s < KEEPIDLE_MAX ? (int)t.keepalive_s : KEEPIDLE_MAX;
	(void)setsockopt(u->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(u->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(u->fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
}

/* One candidate. 1: connected (c may be gone); 0: under way; -1: failed. */
static int attempt(struct worker *w, struct conn *c, struct dial *d, uint8_t at)
{
	if (!dial_candidate_allowed(w, c, d, at))
		return -1;
	d->dialled = true;
	uint32_t i = up_open(w, slab_index(&w->conns, c), &d->addrs[at], d->ports[at]);
	if (i == NONE) {
		d->last_errno = errno;
		d->fail = errno == ENOBUFS || errno == EMFILE || errno == ENFILE ? FLAG_UO
		          : FLAG_UF;
		if (d->fail == FLAG_UF)
			count(w, c, d->targets[at], NO_CONNECTION);
		return -1;
	}
	up_count(w, i, d->targets[at][0], d->targets[at][1]);
	condition(w, c, up_at(w, i));
	up_at(w, i)->place = d->from[at];
	int sent = send_early(w, c, up_at(w, i));
	if (sent < 0) {
		d->last_errno = errno;
		d->fail = FLAG_UF;
		count(w, c, d->targets[at], NO_CONNECTION);
		up_close(w, i, true);
		worker_count(w, STAT_UP_CX_FAILED, 1);
		return -1;
	}
	if (up_watch(w, i, sent > 0) < 0) {
		d->last_errno = errno;
		d->fail = FLAG_UO;
		up_close(w, i, true);
		return -1;
	}
	if (sent) {
		connected(w, c, i);
		return 1;
	}
	d->ups[d->ups[0] == NONE ? 0 : 1] = i;
	return 0;
}

static bool reuse(struct worker *w, struct conn *c, struct dial *d)
{
	if (!d->pooled)
		return false;
	for (uint8_t k = d->next; k < d->n; k++) {
		struct secure_peer peer;

		secure_peer(w, c, d->from[k], &d->addrs[k], &peer);
		struct up_key key = { d->addrs[k], d->ports[k], peer.config, peer.key };
		if ((peer.config ? peer.key == NONE : greet_needed(w, c)) || !up_has_idle(w, &key) ||
		    !dial_candidate_allowed(w, c, d, k))
			continue;
		uint32_t i = up_reuse(w, slab_index(&w->conns, c), &key);
		up_at(w, i)->place = d->from[k];
		connected(w, c, i);
		return true;
	}
	return false;
}

static void set_timer(struct worker *w, struct conn *c, struct dial *d, bool race)
{
	int64_t left = d->deadline_ms - w->loop.now_ms;
	if (d->greeting && d->greet_ms < d->deadline_ms)
		left = d->greet_ms - w->loop.now_ms;
	if (race && left > ATTEMPT_DELAY_MS)
		left = ATTEMPT_DELAY_MS;
	timer_set(&w->loop, &c->timer, left > 0 ? (uint32_t)left : 0);
}

/* Nothing is left to try, or the deadline passed. */
static void give_up(struct worker *w, struct conn *c, struct dial *d)
{
	struct policy_destination gateway;
	bool lost = dial_to_gateway(w, c, &gateway) && d->fail == FLAG_UF;

	if (!d->dialled && d->refused)
		fail(w, c, FLAG_UH, "address_refused");
	else if (d->fail == FLAG_DF)
		fail(w, c, FLAG_DF, "dns_resolution_failure");
	else if (d->fail == FLAG_UO)
		fail(w, c, FLAG_UO, d->last_errno ? errno_reason(d->last_errno)
		                    : d->why ? d->why : "dns_overflow");
	else if (!d->dialled)
		fail(w, c, FLAG_UH, "no_healthy_upstream");
	else if (d->why)
		fail(w, c, FLAG_UF, d->why);
	else
		/* Not one of the gateway's endpoints is there, and nothing goes round it. */
		fail(w, c, lost ? FLAG_UH : FLAG_UF, errno_reason(d->last_errno));
}

/* Whether another candidate, or endpoint, may run beside the attempt under way. */
static bool may_race(const struct dial *d)
{
	return !d->greeting && (d->ups[0] == NONE || d->ups[1] == NONE) &&
	       (d->next < d->n || (d->used < d->n_order && !d->waiting));
}

/* Starts attempts until one is under way, connected, or nothing is left. */
static void proceed(struct worker *w, struct conn *c, const struct policy_port *port,
                    const char *name, size_t len)
{
	struct dial *d = dial_of(w, c);

	for (;;) {
		if (reuse(w, c, d))
			return;
		while (d->next < d->n && d->ups[1] == NONE && d->ups[0] == NONE) {
			int r = attempt(w, c, d, d->next++);
			if (r > 0)
				return;
		}
		if (d->ups[0] != NONE || d->ups[1] != NONE) {
			set_timer(w, c, d, may_race(d));
			return;
		}
		int r = dial_more(w, c, d, port, name, len);
		if (r == 0) {
			set_timer(w, c, d, false);
			return;
		}
		if (r < 0) {
			give_up(w, c, d);
			return;
		}
	}
}

/* The policy's, or where it has the default, ours. */
static uint32_t connect_time(const struct worker *w, const struct conn *c)
{
	struct policy_traffic t;

	return dial_traffic(w, c, &t) && t.connect_timeout != POLICY_CONNECT_TIMEOUT
	       ? t.connect_timeout : w->config->connect_ms;
}

void dial_start(struct worker *w, struct conn *c, const struct policy_port *port, const char *name,
                size_t len, bool pooled)
{
	c->dial = slab_take(&w->dials);
	if (c->dial == NONE) {
		conn_dial_failed(w, c, FLAG_UO, "overflow");
		return;
	}
	struct policy_destination gateway;
	struct dial *d = dial_of(w, c);
	memset(d, 0, sizeof(*d));
	d->ups[0] = d->ups[1] = NONE;
	d->pooled = pooled && !greet_single(w, c);
	d->port = c->service == NONE || !port || dial_to_gateway(w, c, &gateway) ? c->dport
	          : port->target;
	uint32_t ms = connect_time(w, c);
	if (c->exchange != NONE)
		ms = exchange_limit(w, exchange_of(w, c), ms);
	d->deadline_ms = w->loop.now_ms + ms;
	dial_begin(w, c, d);
	proceed(w, c, port, name, len);
}

/* The first attempt is slow: the next candidate runs beside it, or the faster of two. */
static void race(struct worker *w, struct conn *c, struct dial *d)
{
	if (may_race(d) && d->next == d->n)
		(void)dial_more(w, c, d, NULL, NULL, 0);
	if (may_race(d) && d->next < d->n && attempt(w, c, d, d->next++) > 0)
		return;
	set_timer(w, c, d, may_race(d));
}

void dial_resolved(struct worker *w, struct conn *c, const struct resolve_answer *a)
{
	struct dial *d = dial_of(w, c);

	d->waiting = false;
	if (a->status == RESOLVE_OK)
		dial_add_answer(w, c, d, a, d->target);
	else
		d->fail = FLAG_DF;
	if (d->ups[0] != NONE || d->ups[1] != NONE)
		race(w, c, d);
	else
		proceed(w, c, NULL, NULL, 0);
}

/* What a gateway answered, or did not: the next candidate, where that was the end. */
static void greeted(struct worker *w, struct conn *c, struct dial *d, uint32_t i, int result)
{
	if (result > 0) {
		up_at(w, i)->io |= IO_READ | IO_WRITE;
		connected(w, c, i);
		return;
	}
	if (!result) {
		set_timer(w, c, d, false);
		return;
	}
	d->greeting = false;
	d->ups[0] = NONE;
	d->fail = FLAG_UF;
	worker_count(w, STAT_UP_CX_FAILED, 1);
	/* Who answers is there, whatever the answer. */
	struct up *u = up_at(w, i);
	int status = hop_status(&d->hop);
	if (status)
		count_reached(w, u);
	count(w, c, u->target, status ? status : NO_CONNECTION);
	up_close(w, i, true);
	proceed(w, c, NULL, NULL, 0);
}

/* The first that is connected is greeted; a gateway that is silent leaves time for another. */
static void greet(struct worker *w, struct conn *c, struct dial *d, uint32_t i)
{
	struct up *u = up_at(w, i);
	uint32_t other = d->ups[d->ups[0] == i ? 1 : 0];

	if (other != NONE)
		up_close(w, other, true);
	d->ups[0] = i;
	d->ups[1] = NONE;
	d->greeting = true;
	d->greet_ms = w->loop.now_ms + (d->deadline_ms - w->loop.now_ms) / 2;
	up_turn(w, u, UP_GREETING);
	greeted(w, c, d, i, greet_begin(w, c, d, u));
}

void dial_ready(struct worker *w, struct conn *c, struct up *u, uint32_t events)
{
	struct dial *d = dial_of(w, c);
	uint32_t i = slab_index(&w->ups, u);
	int error = 0;
	socklen_t len = sizeof(error);

	if (d->greeting) {
		greeted(w, c, d, i, greet_continue(w, c, d, u));
		return;
	}
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	if (getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error) {
		io_events(&u->io, events);
		u->io |= IO_WRITE;
		if (greet_needed(w, c))
			greet(w, c, d, i);
		else
			connected(w, c, i);
		return;
	}
	d->last_errno = error;
	d->fail = FLAG_UF;
	worker_count(w, STAT_UP_CX_FAILED, 1);
	count(w, c, u->target, NO_CONNECTION);
	d->ups[d->ups[0] == i ? 0 : 1] = NONE;
	up_close(w, i, true);
	/* A failure does not wait for the delay. */
	if (d->next < d->n && attempt(w, c, d, d->next++) > 0)
		return;
	proceed(w, c, NULL, NULL, 0);
}

void dial_timeout(struct worker *w, struct conn *c)
{
	struct dial *d = dial_of(w, c);

	if (w->loop.now_ms >= d->deadline_ms) {
		worker_count(w, STAT_UP_CX_TIMEOUT, 1);
		d->last_errno = ETIMEDOUT;
		if (d->waiting)
			d->fail = FLAG_DF;
		else if (d->fail != FLAG_UO)
			d->fail = FLAG_UF;
		if (d->greeting)
			d->why = "gateway_timeout";
		for (int i = 0; i < 2; i++)
			if (d->ups[i] != NONE)
				count(w, c, up_at(w, d->ups[i])->target, NO_CONNECTION);
		give_up(w, c, d);
		return;
	}
	if (d->greeting && w->loop.now_ms >= d->greet_ms) {
		d->why = "gateway_timeout";
		greeted(w, c, d, d->ups[0], -1);
		return;
	}
	race(w, c, d);
}
