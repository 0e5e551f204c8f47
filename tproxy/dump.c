/* SPDX-License-Identifier: MIT */
/* Lists live connections: the control thread asks, each worker writes, here it is gathered. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tproxy/conn.h"
#include "tproxy/exchange.h"
#include "tproxy/worker_pool.h"

#define LINE_MAX_LEN 1024

struct dump {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned refs, left;
	char *text;
	size_t len, room;
	bool failed;
};

static void drop(struct dump *d)
{
	pthread_mutex_lock(&d->lock);
	bool last = --d->refs == 0;
	pthread_mutex_unlock(&d->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->answered);
	free(d->text);
	free(d);
}

static const char *state_name(const struct conn *c)
{
	static const char *const names[] = {
		[CONN_FREE] = "free", [CONN_SNIFF] = "sniff", [CONN_DIAL] = "dial",
		[CONN_RELAY] = "relay", [CONN_HTTP] = "http", [CONN_LINGER] = "linger",
		[CONN_DNS] = "dns",
	};
	return c->state == CONN_HTTP && c->exchange == NONE ? "keepalive" : names[c->state];
}

static int write_line(struct worker *w, const struct conn *c, char *out, size_t room)
{
	char src[ADDR_PORT_TEXT], dst[ADDR_PORT_TEXT], up[ADDR_PORT_TEXT] = "-";
	struct access_text name = conn_name(w, c);
	struct access_record r;

	if (c->exchange != NONE) {
		const struct exchange *x = exchange_of(w, c);
		name = (struct access_text){ x->rq.host, x->rq.host_len };
	}
	conn_describe(w, c, &r);
	addr_port_format(&c->src, c->sport, src);
	addr_port_format(&c->dst, c->dport, dst);
	if (c->up != NONE)
		addr_port_format(&r.up_addr, r.up_port, up);
	return snprintf(out, room,
	                "%u.%" PRIu32 " %s %s %s %.*s %s %s|%u|%s|%s%.*s"
	                " %" PRIu64 " %" PRIu64 " %" PRId64 "\n",
	                w->number, slab_index(&w->conns, c), state_name(c), src, dst,
	                name.len ? (int)name.len : 1, name.len ? name.s : "-", up,
	                r.cluster ? r.cluster : "outbound", r.cluster_port,
	                r.cluster_subset ? r.cluster_subset : "", r.cluster_wildcard ? "*" : "", (int)r.cluster_host.len,
	                r.cluster_host.len ? r.cluster_host.s : "",
	                c->flow[UPWARD].bytes, c->flow[DOWNWARD].bytes, r.duration_ms);
}

static bool make_room(struct dump *d)
{
	if (d->room - d->len >= LINE_MAX_LEN)
		return true;
	size_t room = d->room ? d->room * 2 : 16 * LINE_MAX_LEN;
	char *text = realloc(d->text, room);
	if (!text)
		return false;
	d->text = text;
	d->room = room;
	return true;
}

void dump_answer(struct worker *w, struct dump *d)
{
	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < w->conns.high && !d->failed; i++) {
		const struct conn *c = conn_at(w, i);
		if (c->state == CONN_FREE)
			continue;
		if (!make_room(d)) {
			d->failed = true;
			break;
		}
		int n = write_line(w, c, d->text + d->len, LINE_MAX_LEN);
		if (n > 0 && n < LINE_MAX_LEN)
			d->len += (size_t)n;
	}
	d->left--;
	pthread_cond_signal(&d->answered);
	pthread_mutex_unlock(&d->lock);
	drop(d);
}

static void order(struct workers *all, struct dump *d)
{
	for (unsigned i = 0; i < workers_count(all); i++) {
		struct worker *w = workers_at(all, i);
		pthread_mutex_lock(&w->mail_lock);
		bool ended = atomic_load(&w->done);
		struct dump *missed = w->mail_dump;
		w->mail_dump = ended ? NULL : d;
		pthread_mutex_unlock(&w->mail_lock);
		if (missed)
			drop(missed);
		if (ended)
			dump_answer(w, d);
		else
			worker_wake(w);
	}
}

char *workers_connections(struct workers *all, size_t *len, uint32_t timeout_ms)
{
	struct dump *d = calloc(1, sizeof(*d));
	pthread_condattr_t monotonic;
	struct timespec until;
	char *text = NULL;
	int e = 0;

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&d->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	d->left = workers_count(all);
	d->refs = d->left + 1;
	order(all, d);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	while (d->left && e != ETIMEDOUT)
		e = pthread_cond_timedwait(&d->answered, &d->lock, &until);
	if (!d->left && !d->failed) {
		text = d->text ? d->text : calloc(1, 1);
		*len = d->len;
		d->text = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	drop(d);
	return text;
}
