/* SPDX-License-Identifier: MIT */
/*
 * Active health checks over socket pairs, with a clock that only the tests move: what is checked,
 * when, what a result means, and what a reload keeps.
 */
/* LINK: tproxy/loop.c tproxy/stats.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tproxy/health.c"

enum { MAX = HEALTH_CHECKS + 200 };

/* A policy of one gateway with endpoints, or of one service. */
static struct policy policy;
static struct policy_traffic traffic;
static uint32_t n_endpoints;
static const char *name_of[MAX];
static uint16_t port_of[MAX];
static enum policy_via via;
static bool is_service, with_tls, refuse_addr;

void policy_destination(const struct policy *p, uint32_t i, struct policy_destination *d)
{
	(void)p;
	/* The second leads to the same endpoints, the third to a host. */
	*d = (struct policy_destination){ .endpoints = { 0, n_endpoints } };
	if (i == 2) {
		d->host = "other.example";
		d->gateway = 7;
	}
}

void policy_gateway(const struct policy *p, uint32_t i, struct policy_gateway *g)
{
	(void)p;
	assert_int_equal(i, 0);
	*g = (struct policy_gateway){ .name = "egress", .via = via, .servers = { 5, 1 } };
}

void policy_service(const struct policy *p, uint32_t i, struct policy_service *s)
{
	(void)p;
	assert_int_equal(i, 0);
	*s = (struct policy_service){
		.name = "web", .endpoints = { 0, is_service ? n_endpoints : 0 }, .ports = { 7, 1 },
		.first_host = (const uint8_t *)"\13www.example",
	};
}

void policy_port(const struct policy *p, uint32_t i, struct policy_port *port)
{
	(void)p;
	*port = (struct policy_port){ .number = i == 5 ? 80 : 1, .target = i == 5 ? 1 : 8080 };
}

void policy_endpoint(const struct policy *p, uint32_t i, struct policy_endpoint *e)
{
	(void)p;
	*e = (struct policy_endpoint){ .name = name_of[i], .port = port_of[i], .weight = 1 };
	e->addr.b[15] = (uint8_t)i;
}

void policy_gateway_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t)
{
	(void)p;
	assert_int_equal(i, 0);
	*t = traffic;
}

void policy_service_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t)
{
	(void)p;
	assert_int_equal(i, 0);
	*t = traffic;
}

bool policy_service_tls(const struct policy *p, uint32_t i, struct policy_tls *t)
{
	(void)p;
	(void)i;
	(void)t;
	return with_tls;
}

/* The world: what is dialled, and the far ends of it. */
static struct { int fd; struct addr addr; uint16_t port; } dialled[MAX];
static uint32_t n_dialled;
static int dial_errno;
static uint64_t asked[MAX];
static uint32_t n_asked, n_cancelled;
static struct resolve_answer answer;
static int resolver_says;
static char logged[512];
static uint32_t n_logged;

int up_connect(struct worker *w, const struct addr *a, uint16_t port)
{
	int pair[2];

	(void)w;
	assert_true(n_dialled < MAX);
	dialled[n_dialled].addr = *a;
	dialled[n_dialled].port = port;
	dialled[n_dialled].fd = -1;
	if (dial_errno) {
		n_dialled++;
		errno = dial_errno;
		return -1;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	dialled[n_dialled++].fd = pair[1];
	return pair[0];
}

bool dial_allowed(const struct addr *a, bool allow_private)
{
	(void)a;
	assert_true(allow_private == !is_service);
	return !refuse_addr;
}

int resolver_ask(struct resolver *r, const char *name, size_t len, uint64_t waiter, int64_t now_ms,
                 struct resolve_answer *a)
{
	(void)r;
	(void)now_ms;
	assert_int_equal(len, strlen(name));
	asked[n_asked++] = waiter;
	if (resolver_says == 1)
		*a = answer;
	return resolver_says;
}

void resolver_cancel(struct resolver *r, uint64_t waiter)
{
	(void)r;
	(void)waiter;
	n_cancelled++;
}

uint32_t worker_random(struct worker *w)
{
	w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(w->random >> 32);
}

static void __attribute__((format(printf, 1, 0))) note(const char *format, va_list ap)
{
	vsnprintf(logged, sizeof(logged), format, ap);
	n_logged++;
}

void log_warn(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(format, ap);
	va_end(ap);
}

static struct worker w;
static struct shared_policy shared[2];
static uint64_t keys[2][MAX];
static uint8_t bytes[2][MAX];

static int start(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	memset(&policy, 0, sizeof(policy));
	memset(bytes, 0, sizeof(bytes));
	memset(name_of, 0, sizeof(name_of));
	memset(port_of, 0, sizeof(port_of));
	assert_int_equal(loop_init(&w.loop), 0);
	w.loop.base_ms = w.loop.now_ms = 1000000;
	w.loop.tick = 0;
	for (int s = 0; s < 2; s++) {
		shared[s] = (struct shared_policy){ .policy = &policy, .keys = keys[s],
		                                    .health = bytes[s] };
		w.policies[s].shared = &shared[s];
		for (uint32_t i = 0; i < MAX; i++)
			keys[s][i] = i + 100;
	}
	policy.n[FORMAT_DESTINATIONS] = 3;
	policy.n[FORMAT_SERVICES] = 1;
	traffic = (struct policy_traffic){
		.health = POLICY_HEALTH_TCP, .health_interval = 8000, .health_timeout = 1000,
		.unhealthy = 3, .healthy = 2, .health_path = "/ok",
	};
	n_endpoints = 1;
	via = POLICY_VIA_PLAIN;
	is_service = with_tls = refuse_addr = false;
	n_dialled = n_asked = n_cancelled = n_logged = 0;
	dial_errno = resolver_says = 0;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	health_end(&w);
	for (uint32_t i = 0; i < n_dialled; i++)
		if (dialled[i].fd >= 0)
			close(dialled[i].fd);
	loop_fini(&w.loop);
	return 0;
}

static void fire(void *ctx, struct timer *t)
{
	assert_ptr_equal(t, &w.health.timer);
	health_timeout(ctx);
}

/* What the loop would do in so much time, but for descriptors. */
static void pass(int64_t ms)
{
	for (int64_t end = w.loop.now_ms + ms; w.loop.now_ms < end;) {
		w.loop.now_ms += LOOP_TICK_MS;
		loop_run_timers(&w.loop, fire, &w);
	}
}

/* Which probe has the last socket that was dialled. */
static struct probe *probe_at(uint32_t check)
{
	for (uint32_t i = 0; i < HEALTH_PROBES; i++)
		if (w.health.probes[i].busy && w.health.probes[i].check == check)
			return &w.health.probes[i];
	fail_msg("no probe of check %u", check);
	return NULL;
}

static void ready(uint32_t check, uint32_t events)
{
	struct probe *q = probe_at(check);

	health_ready(&w, (uint32_t)(q - w.health.probes), q->generation & 0x0fffffff, events);
}

static uint32_t busy(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HEALTH_PROBES; i++)
		n += w.health.probes[i].busy;
	return n;
}

/* One round: whether the endpoint takes the connection. */
static void round_of(bool up)
{
	uint32_t before = n_dialled;

	dial_errno = up ? 0 : ECONNREFUSED;
	for (int i = 0; i < 9000 / LOOP_TICK_MS + 3 && n_dialled == before; i++)
		pass(LOOP_TICK_MS);
	assert_int_equal(n_dialled, before + 1);
	if (up)
		ready(0, EPOLLOUT);
	assert_int_equal(busy(), 0);
}

static void thresholds(void **state)
{
	/* u: up, d: down; and what is published after each. */
	static const struct { const char *rounds, *then; uint32_t logs; } rows[] = {
		{ "u", "h", 0 }, { "d", "u", 1 },
		{ "uddud", "hhhhh", 0 }, { "uddd", "hhhu", 1 }, { "duu", "uuh", 2 },
		{ "dududuu", "uuuuuuh", 2 }, { "udddudduu", "hhhuuuuuh", 2 },
	};
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		start(state);
		health_policy(&w);
		for (size_t i = 0; rows[r].rounds[i]; i++) {
			round_of(rows[r].rounds[i] == 'u');
			assert_int_equal(bytes[0][0], rows[r].then[i] == 'h' ? TARGET_HEALTHY
			                                                     : TARGET_UNHEALTHY);
			assert_int_equal(stat_get(&w.stats.v[STAT_UNHEALTHY]),
			                 rows[r].then[i] != 'h');
		}
		assert_int_equal(n_logged, rows[r].logs);
		assert_int_equal(stat_get(&w.stats.v[STAT_HEALTH_CHECKS]), strlen(rows[r].rounds));
		stop(state);
	}
	start(state);
}

static void the_log_says_why(void **state)
{
	health_policy(&w);
	round_of(false);
	assert_string_equal(logged, "health: egress: :: port 80: Connection refused");
	stop(state);
	start(state);
	name_of[0] = "gw.example";
	port_of[0] = 3128;
	resolver_says = -1;
	health_policy(&w);
	pass(100);
	assert_string_equal(logged, "health: egress: gw.example port 3128: its name is not found");
	stop(state);
	start(state);
	refuse_addr = true;
	health_policy(&w);
	pass(100);
	assert_int_equal(n_dialled, 0);
	assert_string_equal(logged, "health: egress: :: port 80: its address is refused");
	stop(state);
	start(state);
	health_policy(&w);
	pass(2000);
	assert_non_null(strstr(logged, strerror(ETIMEDOUT)));
}

/* The first at once, the others in their interval, give or take an eighth. */
static void intervals(void **state)
{
	int64_t low = INT64_MAX, high = 0;

	(void)state;
	health_policy(&w);
	pass(2 * LOOP_TICK_MS);
	assert_int_equal(n_dialled, 1);
	for (int i = 0; i < 200; i++) {
		ready(0, EPOLLOUT);
		int64_t wait = w.health.checks[0].due_ms - w.loop.now_ms;
		uint32_t before = n_dialled;
		assert_in_range(wait, 7000, 9000);
		pass(wait - LOOP_TICK_MS);
		assert_int_equal(n_dialled, before);
		pass(3 * LOOP_TICK_MS);
		assert_int_equal(n_dialled, before + 1);
		low = wait < low ? wait : low;
		high = wait > high ? wait : high;
	}
	assert_in_range(low, 7000, 7400);
	assert_in_range(high, 8600, 9000);
}

static void a_few_at_a_time(void **state)
{
	(void)state;
	n_endpoints = 3 * HEALTH_PROBES;
	health_policy(&w);
	assert_int_equal(w.health.n, n_endpoints);
	pass(100);
	assert_int_equal(n_dialled, HEALTH_PROBES);
	ready(3, EPOLLOUT);
	pass(2 * LOOP_TICK_MS);
	assert_int_equal(n_dialled, HEALTH_PROBES + 1);
	/* Who does not answer in time makes room as well. */
	pass(1000);
	assert_int_equal(n_dialled, 2 * HEALTH_PROBES + 1);
	pass(1000);
	pass(1000);
	pass(1000);
	assert_int_equal(n_dialled, n_endpoints);
	assert_int_equal(busy(), 0);
	for (uint32_t i = 0; i < n_endpoints; i++)
		assert_int_equal(bytes[0][i], i == 3 ? TARGET_HEALTHY : TARGET_UNHEALTHY);
	for (uint32_t i = 0; i < HEALTH_PROBES; i++)
		assert_false(w.health.probes[i].open);
}

static void more_than_there_is_room_for(void **state)
{
	(void)state;
	n_endpoints = MAX;
	health_policy(&w);
	assert_int_equal(w.health.n, HEALTH_CHECKS);
	assert_int_equal(n_logged, 1);
}

static void what_is_not_checked(void **state)
{
	traffic.health = POLICY_HEALTH_NONE;
	health_policy(&w);
	assert_int_equal(w.health.n, 0);
	assert_false(timer_is_set(&w.health.timer));
	stop(state);
	start(state);
	w.number = 1;
	health_policy(&w);
	assert_int_equal(w.health.n, 0);
}

/* Addresses of a name one after the other, each with the time there is. */
static void one_address_is_enough(void **state)
{
	static const struct { uint32_t up; uint8_t n; bool waits; } rows[] = {
		{ 0, 3, false }, { 1, 3, false }, { 2, 3, true }, { 9, 3, true }, { 9, 0, true },
		{ 9, 0, false },
	};
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		start(state);
		name_of[0] = "gw.example";
		memset(&answer, 0, sizeof(answer));
		answer.status = rows[r].n ? RESOLVE_OK : RESOLVE_NXDOMAIN;
		answer.n = rows[r].n ? rows[r].n : 2; /* what is not OK says nothing */
		resolver_says = !rows[r].waits;
		health_policy(&w);
		pass(100);
		if (rows[r].waits) {
			assert_int_equal(n_dialled, 0);
			health_resolved(&w, asked[0] ^ UINT64_C(1) << 32, &answer);
			assert_int_equal(n_dialled, 0);
			health_resolved(&w, asked[0], &answer);
		}
		for (uint32_t i = 0; i < rows[r].n; i++) {
			assert_int_equal(n_dialled, i + 1);
			if (rows[r].up == i) {
				ready(0, EPOLLOUT);
				break;
			}
			pass(1000 + 2 * LOOP_TICK_MS);
		}
		assert_int_equal(busy(), 0);
		assert_int_equal(bytes[0][0], rows[r].up < 9 ? TARGET_HEALTHY : TARGET_UNHEALTHY);
		stop(state);
	}
	start(state);
}

static void no_answer_of_a_name(void **state)
{
	(void)state;
	name_of[0] = "gw.example";
	health_policy(&w);
	pass(100);
	assert_int_equal(n_asked, 1);
	pass(1000);
	assert_int_equal(n_cancelled, 1);
	assert_int_equal(bytes[0][0], TARGET_UNHEALTHY);
	/* One that comes later is not waited for. */
	answer = (struct resolve_answer){ .status = RESOLVE_OK, .n = 1 };
	health_resolved(&w, asked[0], &answer);
	assert_int_equal(n_dialled, 0);
}

static void http(void **state)
{
	static const struct { const char *says[3]; bool end; enum target_health then; } rows[] = {
		{ { "HTTP/1.1 200 OK\r\n" }, false, TARGET_HEALTHY },
		{ { "HTTP/1.0 200\r\n" }, false, TARGET_HEALTHY },
		{ { "H", "TTP/1.1 20", "0 OK" }, false, TARGET_HEALTHY },
		{ { "HTTP/1.1 20" }, false, TARGET_UNCHECKED },
		{ { "HTTP/1.1 20" }, true, TARGET_UNHEALTHY },
		{ { NULL }, true, TARGET_UNHEALTHY },
		{ { "HTTP/1.1 204 No Content\r\n" }, false, TARGET_UNHEALTHY },
		{ { "HTTP/1.1 503 Service Unavailable\r\n" }, false, TARGET_UNHEALTHY },
		{ { "HTTP/2.0 200 OK\r\n" }, false, TARGET_UNHEALTHY },
		{ { "HTTP/1.1  200 OK" }, false, TARGET_UNHEALTHY },
		{ { "SSH-2.0-OpenSSH_9.2" }, false, TARGET_UNHEALTHY },
	};
	char got[256];

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		start(state);
		traffic.health = POLICY_HEALTH_HTTP;
		health_policy(&w);
		pass(100);
		ready(0, EPOLLOUT);
		ssize_t n = recv(dialled[0].fd, got, sizeof(got) - 1, 0);
		got[n > 0 ? n : 0] = '\0';
		assert_string_equal(got, "GET /ok HTTP/1.1\r\nHost: egress\r\nUser-Agent: sluice\r\n"
		                         "Connection: close\r\n\r\n");
		for (int i = 0; i < 3 && rows[r].says[i]; i++) {
			size_t len = strlen(rows[r].says[i]);
			assert_int_equal(send(dialled[0].fd, rows[r].says[i], len, 0), len);
			ready(0, EPOLLIN);
		}
		if (rows[r].end) {
			shutdown(dialled[0].fd, SHUT_WR);
			ready(0, EPOLLIN | EPOLLRDHUP);
		}
		assert_int_equal(bytes[0][0], rows[r].then);
		if (rows[r].then == TARGET_UNHEALTHY)
			assert_non_null(strstr(logged, ": its answer is not 200"));
		stop(state);
	}
	start(state);
}

/* Each address is asked anew; who has answered is hung up on. */
static void http_of_two(void **state)
{
	static const char bad[] = "HTTP/1.1 503 Unavailable\r\n", good[] = "HTTP/1.1 200 OK\r\n";
	char got[256];

	(void)state;
	traffic.health = POLICY_HEALTH_HTTP;
	name_of[0] = "gw.example";
	answer = (struct resolve_answer){ .status = RESOLVE_OK, .n = 2 };
	resolver_says = 1;
	health_policy(&w);
	pass(100);
	for (uint32_t i = 0; i < 2; i++) {
		const char *says = i ? good : bad;
		ready(0, EPOLLOUT);
		assert_true(recv(dialled[i].fd, got, sizeof(got), 0) > 20);
		assert_int_equal(send(dialled[i].fd, says, strlen(says), 0), strlen(says));
		ready(0, EPOLLIN);
		assert_int_equal(send(dialled[i].fd, says, strlen(says), MSG_NOSIGNAL), -1);
		assert_int_equal(n_dialled, 2);
	}
	assert_int_equal(bytes[0][0], TARGET_HEALTHY);
	assert_int_equal(n_logged, 0);
}

static void where_http_is_not_asked(void **state)
{
	for (int row = 0; row < 4; row++) {
		char got[256];
		start(state);
		traffic.health = POLICY_HEALTH_HTTP;
		via = row == 0 ? POLICY_VIA_TLS : row == 1 ? POLICY_VIA_CONNECT : POLICY_VIA_PLAIN;
		is_service = row >= 2;
		with_tls = row == 2;
		if (is_service)
			policy.n[FORMAT_DESTINATIONS] = 0;
		health_policy(&w);
		pass(100);
		ready(0, EPOLLOUT);
		assert_int_equal(bytes[0][0], row < 3 ? TARGET_HEALTHY : TARGET_UNCHECKED);
		if (row == 3) {
			assert_int_equal(dialled[0].port, 8080);
			ssize_t n = recv(dialled[0].fd, got, sizeof(got) - 1, 0);
			got[n > 0 ? n : 0] = '\0';
			assert_non_null(strstr(got, "\r\nHost: www.example\r\n"));
		}
		stop(state);
	}
	start(state);
}

/* What belongs to a probe that is over. */
static void late_events(void **state)
{
	(void)state;
	health_policy(&w);
	pass(100);
	struct probe *q = probe_at(0);
	uint32_t i = (uint32_t)(q - w.health.probes), generation = q->generation & 0x0fffffff;
	health_ready(&w, i, generation ^ 1, EPOLLOUT);
	assert_true(q->busy);
	health_ready(&w, i, generation, EPOLLIN);
	assert_true(q->busy);
	health_ready(&w, i, generation, EPOLLOUT);
	assert_false(q->busy);
	health_ready(&w, i, generation, EPOLLERR);
	assert_int_equal(bytes[0][0], TARGET_HEALTHY);
	/* Its place is taken by the next. */
	pass(9100);
	assert_true(q->busy);
	health_ready(&w, i, generation, EPOLLOUT);
	assert_true(q->busy);
}

static void a_reload_keeps_what_is_known(void **state)
{
	(void)state;
	n_endpoints = 3;
	health_policy(&w);
	dial_errno = ECONNREFUSED;
	pass(100);
	assert_int_equal(stat_get(&w.stats.v[STAT_UNHEALTHY]), 3);
	/* The second is now the first, the others are new. */
	keys[1][0] = keys[0][1];
	keys[1][1] = 7;
	keys[1][2] = 8;
	w.policy = 1;
	dial_errno = 0;
	health_policy(&w);
	assert_int_equal(bytes[1][0], TARGET_UNHEALTHY);
	assert_int_equal(bytes[1][1], TARGET_UNCHECKED);
	assert_int_equal(stat_get(&w.stats.v[STAT_UNHEALTHY]), 1);
	pass(100);
	assert_int_equal(n_dialled, 3 + 2);
	/* What was under way ends without a result. */
	assert_int_equal(busy(), 2);
	health_policy(&w);
	assert_int_equal(busy(), 0);
	pass(100);
	assert_int_equal(busy(), 2);
	assert_int_equal(stat_get(&w.stats.v[STAT_HEALTH_CHECKS]), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(thresholds),
		TEST(the_log_says_why),
		TEST(intervals),
		TEST(a_few_at_a_time),
		TEST(more_than_there_is_room_for),
		TEST(what_is_not_checked),
		TEST(one_address_is_enough),
		TEST(no_answer_of_a_name),
		TEST(http),
		TEST(http_of_two),
		TEST(where_http_is_not_asked),
		TEST(late_events),
		TEST(a_reload_keeps_what_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
