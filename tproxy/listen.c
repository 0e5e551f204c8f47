/* SPDX-License-Identifier: MIT */
/* Listening sockets of a worker. */
#include "tproxy/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rules/addr.h"
#include "tproxy/clock.h"
#include "tproxy/log.h"

#define BACKLOG 65535 /* the kernel lowers it to net.core.somaxconn */
#define BIND_PAUSE_MS 20

struct setting {
	int level, name;
	const char *step;
};

static int set(int fd, const struct setting *s, size_t n, const char **step)
{
	const int one = 1;

	for (size_t i = 0; i < n; i++) {
		if (setsockopt(fd, s[i].level, s[i].name, &one, sizeof(one)) < 0) {
			*step = s[i].step;
			return -1;
		}
	}
	return 0;
}

static bool is_exempt(const struct policy *p, uint32_t uid)
{
	struct policy_capture capture;
	uint32_t first, last;

	policy_capture(p, &capture);
	for (uint32_t i = 0; i < capture.exempt_uids.n; i++) {
		policy_range(p, capture.exempt_uids.first + i, &first, &last);
		if (first <= uid && uid <= last)
			return true;
	}
	return false;
}

/* (uid_t)-1 changes nothing, and tells. */
static bool may_become(uint32_t user)
{
	int before = setfsuid(user);
	bool became = (uint32_t)setfsuid(LISTEN_ANYONE) == user;

	setfsuid((uid_t)before);
	return became;
}

struct listen_share listen_share(unsigned n, uint32_t uid, const struct policy *p)
{
	enum { FIRST = 0x8000, USERS = 0x7000 }; /* a user namespace has 65536 */
	struct listen_share s = { .shared = n > 1, .owner = LISTEN_ANYONE,
	                          .until_ms = clock_monotonic_ms() + LISTEN_WAIT_MS };
	uint32_t drawn;

	if (!s.shared)
		return s;
	if (getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn))
		drawn = 0;
	for (uint32_t i = 0; i < USERS && s.owner == LISTEN_ANYONE; i++) {
		uint32_t user = FIRST + (drawn % USERS + i) % USERS;

		if (user != uid && !is_exempt(p, user))
			s.owner = user;
	}
	if (!may_become(s.owner)) {
		log_warn("the workers' port is shared as user %u, and who runs as that may join it: "
		         "start as root, or with --workers 1", (unsigned)geteuid());
		s.owner = LISTEN_ANYONE;
	}
	return s;
}

int listen_socket(int family, int type, const struct listen_share *s, const char **step)
{
	const struct setting shared = { SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT" };

	*step = "socket";
	int before = setfsuid(s->owner);
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), e = errno;
	setfsuid((uid_t)before);
	if (fd >= 0 && s->shared && set(fd, &shared, 1, step) < 0) {
		e = errno;
		close(fd);
		fd = -1;
	}
	errno = e;
	return fd;
}

static int prepare(int fd, int family, bool transparent, const char **step)
{
	static const struct setting always[] = {
		{ SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR" },
		{ IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY" },
	};
	static const struct setting v6[] = {
		{ IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY" },
		{ IPPROTO_IPV6, IPV6_TRANSPARENT, "IPV6_TRANSPARENT" },
	};
	static const struct setting v4[] = {
		{ IPPROTO_IP, IP_TRANSPARENT, "IP_TRANSPARENT" },
	};

	if (set(fd, always, sizeof(always) / sizeof(always[0]), step) < 0)
		return -1;
	if (family == AF_INET6)
		return set(fd, v6, transparent ? 2 : 1, step);
	return set(fd, v4, transparent ? 1 : 0, step);
}

int listen_bind(int fd, const struct sockaddr *at, socklen_t len, const struct listen_share *s)
{
	const struct timespec pause = { .tv_nsec = BIND_PAUSE_MS * 1000000L };
	bool said = false;

	while (bind(fd, at, len) < 0) {
		if (errno != EADDRINUSE || clock_monotonic_ms() >= s->until_ms)
			return -1;
		if (!said)
			log_warn("port in use: waiting for whoever has it to let go, %d s at most",
			         LISTEN_WAIT_MS / 1000);
		said = true;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int listen_family(int family, uint16_t port, bool transparent,
                         const struct listen_share *s, const char **step)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at;
	socklen_t len = family == AF_INET6 ? sizeof(at.v6) : sizeof(at.v4);

	memset(&at, 0, sizeof(at));
	at.any.sa_family = (sa_family_t)family;
	if (family == AF_INET6)
		at.v6.sin6_port = htons(port);
	else
		at.v4.sin_port = htons(port);

	int fd = listen_socket(family, SOCK_STREAM, s, step);
	if (fd < 0)
		return -1;
	if (prepare(fd, family, transparent, step) == 0) {
		*step = "bind";
		if (listen_bind(fd, &at.any, len, s) == 0) {
			*step = "listen";
			if (listen(fd, BACKLOG) == 0)
				return fd;
		}
	}
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

int listen_open(uint16_t port, bool transparent, const struct listen_share *s, int *fd4, int *fd6,
                const char **step)
{
	*fd4 = *fd6 = -1;
	*fd4 = listen_family(AF_INET, port, transparent, s, step);
	if (*fd4 < 0)
		return -1;
	*fd6 = listen_family(AF_INET6, port, transparent, s, step);
	if (*fd6 >= 0 || errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)
		return 0;
	int e = errno;
	close(*fd4);
	*fd4 = -1;
	errno = e;
	return -1;
}
