/* SPDX-License-Identifier: MIT */
/* Upstream connections. */
#include "tproxy/upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/secure.h"

void fd_reset(int fd)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 };
	/* Failing to set it only makes the end a FIN. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

void io_events(uint8_t *io, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		*io |= IO_READ;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		*io |= IO_WRITE;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		*io |= IO_RDHUP;
	if (events & (EPOLLHUP | EPOLLERR))
		*io |= IO_ERROR;
}

void io_arm(struct worker *w, int fd, uint8_t *io, uint64_t data)
{
	if ((*io & IO_WRITE) || (*io & IO_ARMED))
		return;
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = data,
	};
	if (epoll_ctl(w->loop.epfd, EPOLL_CTL_MOD, fd, &e) == 0)
		*io |= IO_ARMED;
}

static int begin(struct worker *w, int fd, const struct addr *a, uint16_t port)
{
	struct sockaddr_storage ss, own;
	socklen_t len = addr_to_sockaddr(a, port, &ss), own_len = sizeof(own);
	int one = 1;
	uint32_t mark = w->config->mark;
	struct addr self;
	uint16_t self_port;

	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -1;
	/*
	 * The kernel answers for its own addresses from themselves: a connection to this machine
	 * has equal ends.
	 */
	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0)
		return -1;
	if (addr_from_sockaddr(&self, &self_port, &own) == 0 && addr_equal(&self, a)) {
		errno = EADDRINUSE;
		return -1;
	}
	return 0;
}

int up_connect(struct worker *w, const struct addr *a, uint16_t port)
{
	int fd = socket(addr_is_v4(a) ? AF_INET : AF_INET6,
	                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || begin(w, fd, a, port) == 0)
		return fd;
	int e = errno;
	fd_reset(fd);
	errno = e;
	return -1;
}

void up_turn(struct worker *w, struct up *u, enum up_state state)
{
	_Static_assert((int)UP_CONNECTING == TARGET_CONNECTING && (int)UP_IDLE == TARGET_IDLE &&
	               (int)UP_GREETING == TARGET_GREETING, "one is the other");
	for (int i = 0; i < 2; i++)
		balance_use(&w->balance, u->target[i], (enum target_use)u->state,
		            (enum target_use)state);
	u->state = (uint8_t)state;
}

void up_count(struct worker *w, uint32_t i, uint16_t endpoint, uint16_t address)
{
	struct up *u = up_at(w, i);

	u->target[0] = endpoint;
	u->target[1] = address;
	for (int k = 0; k < 2; k++)
		balance_use(&w->balance, u->target[k], TARGET_FREE, (enum target_use)u->state);
}

uint32_t up_open(struct worker *w, uint32_t conn, const struct addr *a, uint16_t port)
{
	uint32_t i = slab_take(&w->ups);
	if (i == NONE) {
		errno = ENOBUFS;
		return NONE;
	}
	int fd = up_connect(w, a, port);
	if (fd < 0) {
		int e = errno;
		slab_give(&w->ups, i);
		worker_count(w, STAT_UP_CX_FAILED, 1);
		errno = e;
		return NONE;
	}
	struct up *u = up_at(w, i);
	u->link = NONE;
	u->timer.link = NULL;
	u->addr = *a;
	u->port = port;
	u->fd = fd;
	u->conn = conn;
	u->target[0] = u->target[1] = TARGET_NONE;
	u->idle_ms = w->config->idle_ms;
	u->requests = 0;
	u->state = UP_CONNECTING;
	u->io = 0;
	u->reused = u->single = false;
	u->tls = NULL;
	u->config = NULL;
	u->peer = NONE;
	worker_count(w, STAT_UP_CX_TOTAL, 1);
	worker_count(w, STAT_UP_CX_ACTIVE, 1);
	return i;
}

int up_watch(struct worker *w, uint32_t i, bool connected)
{
	struct up *u = up_at(w, i);
	uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;

	if (!connected) {
		events |= EPOLLOUT;
		u->io |= IO_ARMED;
	}
	return loop_add(&w->loop, u->fd, events, loop_data(EVENT_UP, u->generation, i));
}

void up_close(struct worker *w, uint32_t i, bool reset)
{
	struct up *u = up_at(w, i);

	timer_unset(&u->timer);
	secure_end(w, &u->tls, !reset);
	if (reset)
		fd_reset(u->fd);
	else
		close(u->fd);
	u->fd = -1;
	up_turn(w, u, UP_FREE);
	u->generation++;
	slab_give(&w->ups, i);
	worker_count(w, STAT_UP_CX_ACTIVE, -1);
}

static uint32_t *idle_chain(struct worker *w, const struct addr *a, uint16_t port)
{
	uint32_t h = port * 2654435761u;
	for (int i = 0; i < 16; i++)
		h = (h ^ a->b[i]) * 16777619u;
	return &w->idle[h >> 24];
}

void up_keep(struct worker *w, uint32_t i)
{
	struct up *u = up_at(w, i);

	u->conn = NONE;
	if (w->draining || u->single || w->n_idle >= w->config->idle_max || (u->io & (IO_RDHUP | IO_ERROR))) {
		up_close(w, i, false);
		return;
	}
	uint32_t *chain = idle_chain(w, &u->addr, u->port);
	up_turn(w, u, UP_IDLE);
	u->link = *chain;
	*chain = i;
	w->n_idle++;
	worker_count(w, STAT_UP_IDLE, 1);
	timer_set(&w->loop, &u->timer, u->idle_ms < w->config->upstream_idle_ms
	                               ? u->idle_ms : w->config->upstream_idle_ms);
}

static void unchain(struct worker *w, struct up *u, uint32_t *at)
{
	*at = u->link;
	u->link = NONE;
	timer_unset(&u->timer);
	w->n_idle--;
	worker_count(w, STAT_UP_IDLE, -1);
}

/* The link that points at such a kept connection, or at the end of its chain. */
static uint32_t *find_idle(struct worker *w, const struct up_key *k)
{
	uint32_t *at = idle_chain(w, &k->addr, k->port);

	while (*at != NONE) {
		struct up *u = up_at(w, *at);
		if (u->port == k->port && u->config == k->config && u->peer == k->peer &&
		    addr_equal(&u->addr, &k->addr))
			break;
		at = &u->link;
	}
	return at;
}

bool up_has_idle(struct worker *w, const struct up_key *k)
{
	return *find_idle(w, k) != NONE;
}

uint32_t up_reuse(struct worker *w, uint32_t conn, const struct up_key *k)
{
	uint32_t *at = find_idle(w, k), i = *at;

	if (i == NONE)
		return NONE;
	struct up *u = up_at(w, i);
	unchain(w, u, at);
	u->conn = conn;
	up_turn(w, u, UP_ACTIVE);
	u->reused = true;
	worker_count(w, STAT_UP_REUSED, 1);
	return i;
}

void up_expire(struct worker *w, struct up *u)
{
	uint32_t i = slab_index(&w->ups, u), *at = idle_chain(w, &u->addr, u->port);

	while (*at != NONE && *at != i)
		at = &up_at(w, *at)->link;
	if (*at == i)
		unchain(w, u, at);
	up_close(w, i, false);
}

void up_close_idle(struct worker *w)
{
	for (unsigned h = 0; h < sizeof(w->idle) / sizeof(*w->idle); h++)
		while (w->idle[h] != NONE)
			up_expire(w, up_at(w, w->idle[h]));
}
