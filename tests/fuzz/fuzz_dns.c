/* SPDX-License-Identifier: MIT */
/*
 * The resolver with a network made of the input: what servers say, when, and what is asked and
 * cancelled meanwhile. Whoever waits hears once at most, never after a cancel, and gets addresses
 * only with an answer that says so.
 *
 * The input is a list of steps, one byte each, with arguments:
 *   0 HOW LEN LEN BYTES
 *      A message for who asked last (HOW & 8: before that), over UDP or TCP, whatever it was asked
 *      over; with the id that was asked with unless HOW & 1; with the question after the header
 *      unless HOW & 2; without a length before it, as a piece of a stream, if HOW & 4.
 *   1 TENTHS   time passes
 *   2 NAME     asks
 *   3 WAITER   cancels
 *   4          the next connect() or sendto() fails
 */
/* LINK: tproxy/resolve_lookup.c tproxy/dns_cache.c tproxy/dns_answer.c tproxy/dns_heap.c */
/* LINK: tproxy/slab.c rules/addr.c */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ares.h>

#include "tests/fuzz/fuzz.h"
#include "tproxy/dns_heap.h"

#define FD_EPOLL 1000
#define FD_FIRST 1001
#define SOCKETS  64
#define WAITERS  32

struct sock {
	int type; /* 0: free */
	uint32_t events;
	uint8_t in[70000];
	size_t in_len;
};

struct asked {
	int fd;
	uint8_t bytes[600]; /* without a stream's length */
	size_t len;
};

static struct sock socks[SOCKETS];
static struct asked last[2]; /* the last query, and the one before */
static bool fail_next;
static bool waiting[WAITERS];
static unsigned n_waiting;

static struct sock *sock_of(int fd)
{
	must(fd >= FD_FIRST && fd < FD_FIRST + SOCKETS && socks[fd - FD_FIRST].type);
	return &socks[fd - FD_FIRST];
}

static int net_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)protocol;
	for (int k = 0; k < SOCKETS; k++)
		if (!socks[k].type) {
			socks[k].type = type & 0xf;
			socks[k].events = 0;
			socks[k].in_len = 0;
			return FD_FIRST + k;
		}
	errno = EMFILE;
	return -1;
}

static int net_close(int fd)
{
	if (fd != FD_EPOLL)
		sock_of(fd)->type = 0;
	return 0;
}

static int net_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	(void)to;
	(void)len;
	errno = fail_next ? ECONNREFUSED : EINPROGRESS;
	return sock_of(fd)->type == SOCK_STREAM || fail_next ? (fail_next = false, -1) : 0;
}

static ssize_t net_sendto(int fd, const void *bytes, size_t len, int flags,
                          const struct sockaddr *to, socklen_t to_len)
{
	struct sock *s = sock_of(fd);
	size_t skip = s->type == SOCK_STREAM ? 2 : 0;
	(void)flags;
	(void)to;
	(void)to_len;

	if (fail_next) {
		fail_next = false;
		errno = ENETUNREACH;
		return -1;
	}
	last[1] = last[0];
	last[0].fd = fd;
	last[0].len = len - skip < sizeof(last->bytes) ? len - skip : sizeof(last->bytes);
	memcpy(last[0].bytes, (const uint8_t *)bytes + skip, last[0].len);
	return (ssize_t)len;
}

static ssize_t net_recv(int fd, void *to, size_t room, int flags)
{
	struct sock *s = sock_of(fd);
	size_t n = s->in_len < room ? s->in_len : room;
	(void)flags;

	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(to, s->in, n);
	memmove(s->in, s->in + n, s->in_len - n);
	s->in_len -= n;
	return (ssize_t)n;
}

/* Datagrams lie in the buffer with their length before them. */
static ssize_t net_recvfrom(int fd, void *to, size_t room, int flags, struct sockaddr *from,
                            socklen_t *from_len)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sock *s = sock_of(fd);
	uint8_t head[2];

	if (net_recv(fd, head, 2, flags) != 2)
		return -1;
	size_t len = (size_t)head[0] << 8 | head[1], n = len < room ? len : room;
	memcpy(to, s->in, n);
	memmove(s->in, s->in + len, s->in_len - len);
	s->in_len -= len;
	memcpy(from, &in, sizeof(in));
	*from_len = sizeof(in);
	return (ssize_t)n;
}

static int net_epoll_create(int flags)
{
	(void)flags;
	return FD_EPOLL;
}

static int net_epoll_ctl(int epoll, int op, int fd, struct epoll_event *ev)
{
	(void)epoll;
	if (op == EPOLL_CTL_ADD && sock_of(fd)->events) {
		errno = EEXIST;
		return -1;
	}
	sock_of(fd)->events = op == EPOLL_CTL_DEL ? 0 : ev->events;
	return 0;
}

static int net_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
	int n = 0;
	(void)epoll;
	(void)timeout;

	for (int k = 0; k < SOCKETS && n < room; k++) {
		uint32_t got = socks[k].type ? socks[k].events &
		                                       ((socks[k].in_len ? EPOLLIN : 0) | EPOLLOUT)
		                             : 0;
		if (got)
			events[n++] =
				(struct epoll_event){ .events = got, .data.fd = FD_FIRST + k };
	}
	return n;
}

#define socket        net_socket
#define close         net_close
#define connect       net_connect
#define sendto        net_sendto
#define recv          net_recv
#define recvfrom      net_recvfrom
#define epoll_create1 net_epoll_create
#define epoll_ctl     net_epoll_ctl
#define epoll_wait    net_epoll_wait
#include "tproxy/dns_socket.c"
#include "tproxy/resolve.c"

static void check_answer(const struct resolve_answer *a)
{
	must(a->n <= RESOLVE_ADDRS_MAX && a->status <= RESOLVE_NODATA);
	must((a->status == RESOLVE_OK) == (a->n > 0));
	must(!a->stale || a->status == RESOLVE_OK);
	for (unsigned k = 1, ended = 0; k < a->n; k++) {
		/* Once a family comes twice in a row, the other has no more. */
		bool same = addr_is_v4(&a->addrs[k]) == addr_is_v4(&a->addrs[k - 1]);
		must(!ended || same);
		ended |= same;
	}
}

static void heard(void *ctx, uint64_t waiter, const struct resolve_answer *a)
{
	(void)ctx;
	must(waiter < WAITERS && waiting[waiter]);
	waiting[waiter] = false;
	n_waiting--;
	check_answer(a);
}

static void ask(struct resolver *r, uint8_t which, int64_t now_ms)
{
	static const char *const names[] = { "a.test", "b.test", "www.example.org", "x" };
	const char *name = names[which % 4];
	struct resolve_answer a;
	uint64_t w = 0;

	while (w < WAITERS && waiting[w])
		w++;
	if (w == WAITERS)
		return;
	int got = resolver_ask(r, name, strlen(name), w, now_ms, &a);
	if (got == 1)
		check_answer(&a);
	if (got == 0) {
		waiting[w] = true;
		n_waiting++;
	}
}

/* Takes a message's bytes off the input and puts them before the socket that asked. */
static size_t message(const uint8_t *data, size_t len)
{
	if (len < 3)
		return len;
	uint8_t how = data[0];
	size_t want = (size_t)data[1] << 8 | data[2], n = want < len - 3 ? want : len - 3;
	const struct asked *q = &last[how & 8 ? 1 : 0];
	struct sock *s = q->fd ? &socks[q->fd - FD_FIRST] : NULL;
	uint8_t m[66500];
	size_t used = 12, end = 12;

	data += 3;
	if (!s || !s->type || q->len < 12 || n < 12)
		return 3 + n;
	memcpy(m, data, 12);
	if (!(how & 1))
		memcpy(m, q->bytes, 2);
	while (end < q->len && q->bytes[end])
		end += q->bytes[end] + 1u;
	end += 5;
	if (!(how & 2) && end <= q->len) {
		memcpy(m + used, q->bytes + 12, end - 12);
		used = end;
	}
	size_t rest = n - 12 < 65535 - used ? n - 12 : 65535 - used;
	memcpy(m + used, data + 12, rest);
	used += rest;
	if (used + 2 > sizeof(s->in) - s->in_len)
		return 3 + n;
	if (s->type != SOCK_STREAM || !(how & 4)) {
		s->in[s->in_len++] = (uint8_t)(used >> 8);
		s->in[s->in_len++] = (uint8_t)used;
	}
	memcpy(s->in + s->in_len, m, used);
	s->in_len += used;
	return 3 + n;
}

static void steps(struct resolver *r, const uint8_t *data, size_t len)
{
	int64_t now_ms = 1000000;

	while (len > 0) {
		uint8_t op = *data++ % 5, arg = --len > 0 ? *data : 0;
		size_t n = 1;
		if (op == 0) {
			n = message(data, len);
		} else if (op == 1) {
			now_ms += arg < 128 ? arg * 100 : (int64_t)(arg - 127) * 60000;
		} else if (op == 2) {
			ask(r, arg, now_ms);
		} else if (op == 3) {
			resolver_cancel(r, arg % WAITERS);
			n_waiting -= waiting[arg % WAITERS];
			waiting[arg % WAITERS] = false;
		} else {
			fail_next = true;
			n = 0;
		}
		if (n > len)
			n = len;
		data += n;
		len -= n;
		must(resolver_timeout(r, now_ms) >= -1);
		resolver_run(r, now_ms);
		must(r->stats.waiting == n_waiting);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct addr server;
	struct resolve_config c = { .nameservers = &server,
		                    .n_nameservers = 1,
		                    .entries = 3,
		                    .waiters = WAITERS - 4,
		                    .done = heard,
		                    .negative_ttl_max = 60,
		                    .timeout_ms = 60000 };

	memset(last, 0, sizeof(last));
	memset(waiting, 0, sizeof(waiting));
	n_waiting = 0;
	fail_next = false;
	must(addr_parse(&server, "127.0.0.1", 9) == 0);
	struct resolver *r = resolver_open(&c, 1000000);
	must(r);
	steps(r, data, len);
	resolver_close(r);
	for (int k = 0; k < SOCKETS; k++)
		must(!socks[k].type);
	must(dns_heap_used() == 0);
	return 0;
}
