/* SPDX-License-Identifier: MIT */
/* The control thread's loop. */
#include "tproxy/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "rules/gateway.h"
#include "tproxy/clock.h"
#include "tproxy/log.h"
#include "tproxy/secure.h"

#define DRAIN_GRACE_MS 2000 /* beyond the drain time, before workers that hang are left behind */

enum source { SOURCE_SIGNAL, SOURCE_WORKERS, SOURCE_ADMIN };

int control_open(struct control *c)
{
	sigset_t set;

	c->started_s = c->loaded_s = clock_real_ms() / 1000;
	c->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	c->epfd = epoll_create1(EPOLL_CLOEXEC);
	return c->signal_fd < 0 || c->epfd < 0 ? -1 : 0;
}

/* ---- reloading ---- */

static bool same_servers(const struct policy *a, const struct policy *b)
{
	struct policy_run of_a = policy_own_servers(a), of_b = policy_own_servers(b);
	struct policy_port port_a, port_b;

	for (uint32_t i = 0; i < of_a.n && of_a.n == of_b.n; i++) {
		policy_port(a, of_a.first + i, &port_a);
		policy_port(b, of_b.first + i, &port_b);
		if (port_a.number != port_b.number)
			return false;
	}
	return of_a.n == of_b.n;
}

/* What a running proxy cannot follow. NULL: nothing. */
static const char *obstacle(const struct control *c, const struct policy *next)
{
	struct policy_capture old, new;

	policy_capture(c->policy, &old);
	policy_capture(next, &new);
	if (old.method != new.method)
		return "method changed: restart needed";
	if (!same_servers(c->policy, next))
		return "what the node listens on as a gateway changed: restart needed";
	if (next->sequence < c->policy->sequence)
		return "its sequence is lower than that of the policy in use";
	return NULL;
}

/* The next policy's sink: the same one, opened anew in place, or another. NULL: text says why. */
static struct access_sink *next_sink(struct control *c, const struct policy *next, char *text,
                                     size_t size)
{
	struct policy_meta m;

	policy_meta(next, &m);
	if (strcmp(m.access_log, access_sink_kind(c->sink)) == 0) {
		if (access_sink_reopen(c->sink) < 0)
			log_warn("access log: %s: %s: the old file stays in use", m.access_log,
			         strerror(errno));
		return c->sink;
	}
	struct access_sink *sink = access_sink_open(m.access_log);
	if (!sink)
		snprintf(text, size, "access log: %s: %s", m.access_log, strerror(errno));
	return sink;
}

static bool use_policy(struct control *c, struct policy *next, char *text, size_t size)
{
	const char *why = obstacle(c, next);

	if (why) {
		snprintf(text, size, "%s: %s", c->options.policy, why);
		return false;
	}
	struct secure_set *secure = secure_open(next, text, size);
	struct access_sink *sink = secure ? next_sink(c, next, text, size) : NULL;
	if (!sink) {
		secure_close(secure);
		return false;
	}
	if (workers_reload(c->workers, next, secure, sink) < 0) {
		snprintf(text, size, "workers: %s", strerror(errno));
		secure_close(secure);
		if (sink != c->sink)
			access_sink_close(sink);
		return false;
	}
	c->policy = next;
	c->sink = sink;
	return true;
}

static bool load(struct control *c, char *text, size_t size)
{
	struct policy *next = malloc(sizeof(*next));
	struct policy_error e;

	if (!next) {
		snprintf(text, size, "%s", strerror(errno));
		return false;
	}
	if (policy_open(next, c->options.policy, &e) < 0) {
		snprintf(text, size, "%s: %s", c->options.policy, e.text);
	} else {
		if (use_policy(c, next, text, size))
			return true;
		policy_close(next);
	}
	free(next);
	return false;
}

bool control_reload(struct control *c, char *text, size_t size)
{
	struct policy_meta m;
	bool loaded = false;

	notify_reloading(&c->notify);
	if (c->state == CONTROL_RUN)
		loaded = load(c, text, size);
	else
		snprintf(text, size, "draining");
	if (loaded) {
		policy_meta(c->policy, &m);
		c->reloads++;
		c->loaded_s = clock_real_ms() / 1000;
		snprintf(text, size, "policy %s, sequence %llu", m.name,
		         (unsigned long long)c->policy->sequence);
		log_info("reloaded: %s", text);
	} else {
		c->reload_failures++;
		log_error("reload refused, the old policy stays: %s", text);
	}
	notify_status(&c->notify, text);
	notify_ready(&c->notify);
	return loaded;
}

static void reopen_logs(struct control *c)
{
	if (access_sink_reopen(c->sink) < 0)
		log_warn("access log: %s: %s: the old file stays in use", access_sink_kind(c->sink),
		         strerror(errno));
	else
		log_info("access log reopened");
}

/* ---- draining ---- */

void control_drain(struct control *c)
{
	uint32_t wait = c->state == CONTROL_DRAIN ? 0 : c->options.drain_ms;

	if (c->state != CONTROL_DRAIN) {
		notify_stopping(&c->notify);
		log_info("draining for at most %u s", (unsigned)wait / 1000);
	}
	c->state = CONTROL_DRAIN;
	c->drain_end_ms = clock_monotonic_ms() + wait;
	workers_drain(c->workers, wait);
}

/* ---- the loop ---- */

static void on_signal(struct control *c)
{
	struct signalfd_siginfo s;
	char text[256];

	while (read(c->signal_fd, &s, sizeof(s)) == sizeof(s)) {
		switch (s.ssi_signo) {
		case SIGHUP:
			(void)control_reload(c, text, sizeof(text));
			break;
		case SIGUSR1:
			reopen_logs(c);
			break;
		case SIGTERM:
		case SIGINT:
			control_drain(c);
			break;
		}
	}
}

/*
 * Workers end when they are told to, or when they cannot go on: then the rest goes too, and a
 * supervisor starts afresh.
 */
static void on_workers(struct control *c)
{
	uint64_t count;

	(void)!read(workers_event_fd(c->workers), &count, sizeof(count));
	if (c->state == CONTROL_DRAIN)
		return;
	log_error("a worker has ended");
	c->status = EX_SOFTWARE;
	c->state = CONTROL_DRAIN;
	c->drain_end_ms = clock_monotonic_ms();
	workers_drain(c->workers, 0);
}

static int sooner(int a, int64_t b)
{
	if (b < 0)
		b = 0;
	return a < 0 || b < a ? (int)b : a;
}

static int wait_time(const struct control *c, int64_t now)
{
	int wait = c->admin ? admin_timeout(c->admin, now) : -1;

	if (c->notify.watchdog_ms)
		wait = sooner(wait, c->sign_ms - now);
	if (c->state == CONTROL_DRAIN)
		wait = sooner(wait, c->drain_end_ms + DRAIN_GRACE_MS - now);
	return wait;
}

/* Silence towards the supervisor is how it learns that a worker hangs. */
static void sign_of_life(struct control *c, int64_t now)
{
	if (!c->notify.watchdog_ms || now < c->sign_ms)
		return;
	c->sign_ms = now + c->notify.watchdog_ms / 3;
	if (workers_alive(c->workers, c->notify.watchdog_ms / 2))
		notify_watchdog(&c->notify);
	else
		log_error("a worker hangs");
}

static int watch(struct control *c, int fd, enum source source)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = source };
	return epoll_ctl(c->epfd, EPOLL_CTL_ADD, fd, &e);
}

static bool turn(struct control *c)
{
	struct epoll_event events[4];
	int n = epoll_wait(c->epfd, events, 4, wait_time(c, clock_monotonic_ms()));
	int64_t now = clock_monotonic_ms();

	if (n < 0 && errno != EINTR) {
		log_error("epoll_wait: %s", strerror(errno));
		c->status = EX_OSERR;
		return false;
	}
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == SOURCE_SIGNAL)
			on_signal(c);
		else if (events[i].data.u32 == SOURCE_WORKERS)
			on_workers(c);
	}
	if (c->admin)
		admin_run(c->admin, now);
	sign_of_life(c, now);
	return c->state != CONTROL_DRAIN ||
	       (!workers_done(c->workers) && now < c->drain_end_ms + DRAIN_GRACE_MS);
}

int control_run(struct control *c)
{
	if (watch(c, c->signal_fd, SOURCE_SIGNAL) < 0 ||
	    watch(c, workers_event_fd(c->workers), SOURCE_WORKERS) < 0 ||
	    (c->admin && watch(c, admin_fd(c->admin), SOURCE_ADMIN) < 0)) {
		log_error("epoll_ctl: %s", strerror(errno));
		return EX_OSERR;
	}
	while (turn(c))
		;
	admin_close(c->admin);
	if (!workers_done(c->workers)) {
		log_error("a worker does not end");
		return EX_SOFTWARE;
	}
	workers_close(c->workers);
	log_info("ended");
	return c->status;
}
