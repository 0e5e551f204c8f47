/* SPDX-License-Identifier: MIT */
/* Addresses of UDP services, handed to the holder of the rules. */
#include "tproxy/learn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rules/capture.h"
#include "tproxy/dial.h"
#include "tproxy/log.h"
#include "tproxy/worker_state.h"

#define RETRY_MS    1000
#define WARN_MS     60000
#define AT_ONCE     16  /* names that are looked up at a time */
#define STEP_MS     200 /* until the next of them */
#define REFRESH_MIN 30  /* seconds until a name is looked up again */
#define REFRESH_MAX 900

void learn_init(struct learn *l)
{
	l->fd = -1;
	l->warned_ms = INT64_MIN / 2;
}

void learn_fini(struct learn *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static const struct policy *current(const struct worker *w)
{
	return w->policies[w->policy].shared->policy;
}

/* Handing on */

static void gone(struct worker *w)
{
	struct learn *l = &w->learn;
	int e = errno;

	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->done = l->sent;
	l->retry_ms = w->loop.now_ms + RETRY_MS;
	if (w->loop.now_ms - l->warned_ms < WARN_MS)
		return;
	l->warned_ms = w->loop.now_ms;
	log_warn("holder: %s/" CAPTURE_ORDER_FILE ": %s: UDP services that go by name are not "
	         "reachable (is sluice-init hold running?)", w->config->state, strerror(e));
}

static bool connected(struct worker *w)
{
	struct learn *l = &w->learn;

	if (l->fd >= 0)
		return true;
	if (!w->config->state || w->loop.now_ms < l->retry_ms)
		return false;
	l->fd = capture_order_connect(w->config->state);
	if (l->fd < 0) {
		gone(w);
		return false;
	}
	if (loop_add(&w->loop, l->fd, EPOLLIN, loop_data(EVENT_LEARN, 0, 0)) < 0) {
		gone(w);
		return false;
	}
	/* Another holder knows nothing of what the last one was told: all of it is due again. */
	memset(l->memo, 0, sizeof(l->memo));
	memset(l->due_ms, 0, sizeof(l->due_ms));
	return true;
}

/* An order whose holder went away is tried once more, with the next. */
static bool hand_on(struct worker *w, const struct capture_order *o)
{
	for (int i = 0; i < 2 && connected(w); i++) {
		if (capture_order_send(w->learn.fd, o) == 0) {
			w->learn.sent++;
			worker_count(w, STAT_LEARN_ORDERS, 1);
			return true;
		}
		if (errno == EAGAIN)
			break;
		gone(w);
		w->learn.retry_ms = i ? w->learn.retry_ms : 0;
	}
	worker_count(w, STAT_LEARN_LOST, 1);
	return false;
}

/* Whether it was handed on lately; notes it as handed on if not. */
static bool remembered(struct worker *w, const struct capture_order *o, bool note)
{
	uint32_t what = name_hash(o->service << 16 ^ o->port, (const char *)o->addr.b,
	                          sizeof(o->addr.b)) | 1;
	int64_t now_ms = w->loop.now_ms;

	if (w->learn.memo[what % LEARN_MEMO].what == what &&
	    now_ms < w->learn.memo[what % LEARN_MEMO].until_ms)
		return true;
	if (note) {
		w->learn.memo[what % LEARN_MEMO].what = what;
		w->learn.memo[what % LEARN_MEMO].until_ms = now_ms + LEARN_AGAIN_S * 1000;
	}
	return false;
}

static void hand_on_all(struct worker *w, uint32_t service, uint16_t port,
                        const struct resolve_answer *a)
{
	const struct policy *p = current(w);
	struct policy_service s;

	policy_service(p, service, &s);
	for (unsigned i = 0; i < a->n; i++) {
		struct capture_order o = {
			.kind = CAPTURE_ORDER_UDP, .sequence = p->sequence, .service = service,
			.port = port, .addr = a->addrs[i],
			.seconds = a->ttl > LEARN_SECONDS ? a->ttl : LEARN_SECONDS,
		};
		/* Audit opens nothing: the holder judges likewise. */
		if (!dial_allowed(&o.addr, s.location == POLICY_INTERNAL || s.allow_private) ||
		    remembered(w, &o, false))
			continue;
		if (hand_on(w, &o))
			remembered(w, &o, true);
	}
}

bool learn_answer(struct worker *w, const struct lookup *l, const struct resolve_answer *a)
{
	struct lookup_cursor at = { 0, 0 };
	uint32_t service;
	uint16_t port;
	bool any = false;

	while (lookup_udp(current(w), l, &at, &service, &port)) {
		hand_on_all(w, service, port, a);
		any = true;
	}
	return any && w->learn.done != w->learn.sent;
}

void learn_ready(struct worker *w)
{
	struct learn *l = &w->learn;
	uint8_t followed;

	while (l->fd >= 0) {
		ssize_t n = recv(l->fd, &followed, 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			errno = n ? errno : ECONNRESET;
			gone(w);
			return;
		}
		l->done += l->done != l->sent;
		/* Its policy may be another for a moment: it is told again when somebody asks. */
		if (!followed)
			memset(l->memo, 0, sizeof(l->memo));
	}
}

/* Looking up */

static bool has_udp(const struct policy *p, uint32_t service)
{
	struct policy_service s;
	struct policy_port port;

	policy_service(p, service, &s);
	for (uint32_t i = 0; i < s.ports.n; i++) {
		policy_port(p, s.ports.first + i, &port);
		if (port.protocol == POLICY_PROTO_UDP)
			return true;
	}
	return false;
}

static bool any_udp(const struct policy *p, struct policy_list services)
{
	for (uint32_t i = 0; i < services.n; i++)
		if (has_udp(p, policy_item(services, i)))
			return true;
	return false;
}

static void collect(struct worker *w, const struct policy *p)
{
	struct learn *l = &w->learn;

	for (uint32_t i = 0; i < p->n[FORMAT_HOSTS]; i++) {
		const uint8_t *slot = p->at[FORMAT_HOSTS] + (size_t)i * HOST_SIZE;
		uint32_t name = get_le32(slot + HOST_NAME);
		if (!name)
			continue;
		const uint8_t *key = p->at[FORMAT_NAMES] + name - 1;
		/* Patterns are kept with a dot before them, or as nothing. */
		if (!key[0] || key[1] == '.' ||
		    !any_udp(p, policy_list(p, get_le32(slot + HOST_LIST))))
			continue;
		if (l->n_names == LEARN_NAMES) {
			log_warn("UDP services: only the first %d names are looked up unasked",
			         LEARN_NAMES);
			return;
		}
		l->due_ms[l->n_names] = 0;
		l->names[l->n_names++] = name - 1;
	}
}

void learn_policy(struct worker *w)
{
	const struct policy *p = current(w);
	struct learn *l = &w->learn;
	bool any = false;

	memset(l->memo, 0, sizeof(l->memo));
	if (w->number)
		return;
	learn_end(w);
	for (uint32_t i = 0; i < p->n[FORMAT_SERVICES] && !any; i++)
		any = has_udp(p, i);
	if (any)
		collect(w, p);
	if (l->n_names)
		timer_set(&w->loop, &l->timer, 0);
}

/* For each service as one of its clients would be answered. */
static void learn_name(struct worker *w, const uint8_t *key, const struct resolve_answer *a)
{
	const struct policy *p = current(w);
	uint32_t at = 0;
	struct policy_list services =
		policy_find_host(p, (const char *)key + 1, key[0], &at, NULL);

	for (uint32_t i = 0; i < services.n; i++) {
		struct policy_service s;
		struct cidr client = { .bits = 0 };
		struct lookup l;
		policy_service(p, policy_item(services, i), &s);
		if (s.clients.n)
			policy_cidr(p, s.clients.first, &client);
		lookup_find(p, (const char *)key + 1, key[0], &client.addr, &l);
		learn_answer(w, &l, a);
	}
}

static void learn_one(struct worker *w, uint32_t i, const struct resolve_answer *a)
{
	struct learn *l = &w->learn;
	uint32_t seconds = REFRESH_MIN;

	if (a->status == RESOLVE_OK) {
		learn_name(w, current(w)->at[FORMAT_NAMES] + l->names[i], a);
		if (a->ttl > REFRESH_MIN)
			seconds = a->ttl < REFRESH_MAX ? a->ttl : REFRESH_MAX;
	}
	l->due_ms[i] = w->loop.now_ms + (int64_t)seconds * 1000;
}

static uint64_t waiter_of(const struct learn *l, uint32_t i)
{
	return LEARN_WAITER | (uint64_t)(l->generation & 0x0fffffff) << 32 | i;
}

void learn_resolved(struct worker *w, uint64_t waiter, const struct resolve_answer *a)
{
	uint32_t i = (uint32_t)waiter;

	if (i < w->learn.n_names && waiter == waiter_of(&w->learn, i))
		learn_one(w, i, a);
}

static void look_up(struct worker *w, uint32_t i)
{
	struct learn *l = &w->learn;
	const uint8_t *key = current(w)->at[FORMAT_NAMES] + l->names[i];
	struct resolve_answer a;

	/* Until then there is an answer, or none is to be had. */
	l->due_ms[i] = w->loop.now_ms + REFRESH_MIN * 1000;
	if (resolver_ask(w->resolver, (const char *)key + 1, key[0], waiter_of(l, i),
	                 w->loop.now_ms, &a) == 1)
		learn_one(w, i, &a);
}

/* A holder never answers: what there is to read is that it went away. */
static void look_for_holder(struct worker *w)
{
	char c;

	if (w->learn.fd >= 0 && recv(w->learn.fd, &c, 1, MSG_DONTWAIT) == 0) {
		errno = ECONNRESET;
		gone(w);
	}
	(void)connected(w);
}

void learn_timeout(struct worker *w)
{
	struct learn *l = &w->learn;
	unsigned asked = 0;

	look_for_holder(w);
	for (uint32_t i = 0; i < l->n_names && asked < AT_ONCE; i++)
		if (w->loop.now_ms >= l->due_ms[i]) {
			look_up(w, i);
			asked++;
		}
	if (l->n_names)
		timer_set(&w->loop, &l->timer, asked == AT_ONCE ? STEP_MS : RETRY_MS);
}

void learn_end(struct worker *w)
{
	struct learn *l = &w->learn;

	timer_unset(&l->timer);
	for (uint32_t i = 0; i < l->n_names; i++)
		resolver_cancel(w->resolver, waiter_of(l, i));
	l->n_names = 0;
	l->generation++;
}
