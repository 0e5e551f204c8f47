/* SPDX-License-Identifier: MIT */
/*
 * The stub's UDP sockets. Method tproxy: questions keep the address that the client meant, and
 * answers leave from that address and port 53 through a socket whose port is 53 and whose own
 * address nobody has, so that it is never asked anything; the kernel takes the source from each
 * message, as the socket is transparent. Method redirect: questions come to an address of this
 * machine and answers go back from it, through the same socket; the kernel turns them round.
 */
#include "tproxy/stub.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/listen.h"
#include "tproxy/log.h"
#include "tproxy/worker_state.h"

#define DRAIN_MS     2000 /* less than LISTEN_WAIT_MS, which whoever comes next waits */
#define BATCH        32   /* datagrams read at a time */
#define DATAGRAM_MAX 1500 /* a question of 259 bytes, and options that nobody reads */
#define NOBODY_V4    "192.0.0.8" /* RFC 7600: never an address of anything */
#define NOBODY_V6    "100::35"   /* RFC 6666: discard-only */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage storage;
};

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct sockaddr_in6)) +
	              CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct setting { int level, name; const char *step; };

static int set(int fd, const struct setting *s, const char **step)
{
	const int one = 1;

	*step = s->step;
	return setsockopt(fd, s->level, s->name, &one, sizeof(one));
}

static int set_family(int fd, int family, bool transparent, const char **step)
{
	static const struct setting rows[2][4] = {
		{ { IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO" },
		  { IPPROTO_IP, IP_TRANSPARENT, "IP_TRANSPARENT" },
		  { IPPROTO_IP, IP_RECVORIGDSTADDR, "IP_RECVORIGDSTADDR" } },
		{ { IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO" },
		  { IPPROTO_IPV6, IPV6_TRANSPARENT, "IPV6_TRANSPARENT" },
		  { IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, "IPV6_RECVORIGDSTADDR" },
		  { IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY" } },
	};
	const struct setting *s = rows[family == AF_INET6];

	for (int i = 0; i < 4; i++)
		if (s[i].step && (transparent || i == 0 || i == 3) && set(fd, &s[i], step) < 0)
			return -1;
	return 0;
}

static int prepare(int fd, int family, const struct workers_config *c, const char **step)
{
	if (set_family(fd, family, c->transparent, step) < 0)
		return -1;
	*step = "SO_MARK";
	return c->mark ? setsockopt(fd, SOL_SOCKET, SO_MARK, &c->mark, sizeof(c->mark)) : 0;
}

static int open_at(const union address *at, const struct workers_config *c,
                   const struct listen_share *share, const char **step)
{
	int fd = listen_socket(at->any.sa_family, SOCK_DGRAM, share, step);
	if (fd < 0)
		return -1;
	if (prepare(fd, at->any.sa_family, c, step) == 0) {
		*step = "bind (UDP)";
		if (listen_bind(fd, &at->any,
		                at->any.sa_family == AF_INET6 ? sizeof(at->v6) : sizeof(at->v4),
		                share) == 0)
			return fd;
	}
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

/* On port of any address, or of nobody's. */
static void place(union address *at, int family, const char *text, uint16_t port)
{
	struct addr a = { { 0 } };

	memset(at, 0, sizeof(*at));
	at->any.sa_family = (sa_family_t)family;
	if (text && addr_parse(&a, text, strlen(text)) == 0)
		addr_to_sockaddr(&a, port, &at->storage);
	else if (family == AF_INET6)
		at->v6.sin6_port = htons(port);
	else
		at->v4.sin_port = htons(port);
}

static int open_family(struct worker *w, int i, const struct listen_share *share,
                       const char **step)
{
	static const char *const nobody[] = { NOBODY_V4, NOBODY_V6 };
	const struct workers_config *c = w->config;
	struct stub *s = &w->stub;
	int family = i ? AF_INET6 : AF_INET;
	union address at;

	place(&at, family, NULL, c->port);
	s->udp[i] = open_at(&at, c, share, step);
	if (s->udp[i] < 0)
		return -1;
	if (!c->transparent) {
		s->from[i] = s->udp[i];
	} else {
		place(&at, family, nobody[i], STUB_PORT);
		s->from[i] = open_at(&at, c, share, step);
		if (s->from[i] < 0) {
			*step = "bind to port 53";
			return -1;
		}
	}
	return loop_add(&w->loop, s->udp[i], EPOLLIN, loop_data(EVENT_STUB, 0, (uint32_t)i));
}

static void close_family(struct stub *s, int i)
{
	int e = errno;

	if (s->from[i] >= 0 && s->from[i] != s->udp[i])
		close(s->from[i]);
	if (s->udp[i] >= 0)
		close(s->udp[i]);
	s->udp[i] = s->from[i] = -1;
	errno = e;
}

int stub_udp_open(struct worker *w, bool needed, const char **step)
{
	struct listen_share share = w->config->share;

	if (!needed)
		share.until_ms = 0;
	for (int i = 0; i < 2; i++) {
		if (open_family(w, i, &share, step) == 0)
			continue;
		close_family(&w->stub, i);
		if (needed && !(i && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)))
			return -1;
	}
	return 0;
}

void stub_fini(struct stub *s)
{
	for (int i = 0; i < 2; i++)
		close_family(s, i);
	slab_fini(&s->queries);
}

/* What the client asked, from what the kernel says of a datagram. */
static void read_control(struct msghdr *m, bool transparent, struct stub_peer *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
		struct in_pktinfo v4;
		struct in6_pktinfo v6;
		bool original = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) ||
		                (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR);
		if (original) {
			memcpy(&ss, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
			addr_from_sockaddr(&p->dst, &p->dport, &ss);
		} else if (!transparent && c->cmsg_level == IPPROTO_IP &&
		           c->cmsg_type == IP_PKTINFO) {
			memcpy(&v4, CMSG_DATA(c), sizeof(v4));
			p->dst = (struct addr){ { [10] = 0xff, 0xff } };
			memcpy(p->dst.b + 12, &v4.ipi_addr, 4);
			p->dport = STUB_PORT;
		} else if (!transparent && c->cmsg_level == IPPROTO_IPV6 &&
		           c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&v6, CMSG_DATA(c), sizeof(v6));
			memcpy(p->dst.b, &v6.ipi6_addr, 16);
			p->dport = STUB_PORT;
		}
	}
}

/* One datagram; false: there is none. */
static bool receive(struct worker *w, uint32_t i, bool capture)
{
	uint8_t bytes[DATAGRAM_MAX];
	union control control;
	union address from;
	struct iovec io = { bytes, sizeof(bytes) };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct stub_peer p = { .conn = NONE, .socket = (uint8_t)i };

	memset(&from, 0, sizeof(from));
	ssize_t n = recvmsg(w->stub.udp[i], &m, MSG_DONTWAIT);
	if (n < 0)
		return errno != EAGAIN && errno != EWOULDBLOCK;
	read_control(&m, w->config->transparent, &p);
	/* Not captured: somebody sent to our own port. */
	if (!capture || p.dport != STUB_PORT || addr_from_sockaddr(&p.src, &p.sport, &from.storage) < 0 ||
	    !p.sport) {
		worker_count(w, STAT_DNS_STRAY, 1);
		return true;
	}
	if (i)
		p.scope = from.v6.sin6_scope_id;
	stub_receive(w, &p, bytes, m.msg_flags & MSG_TRUNC ? 0 : (size_t)n);
	return true;
}

void stub_udp_ready(struct worker *w, uint32_t i)
{
	bool capture = w->policies[w->policy].shared->dns_capture;

	for (int k = 0; k < BATCH && !w->stub.deaf && w->stub.udp[i] >= 0; k++)
		if (!receive(w, i, capture))
			return;
}

bool stub_udp_is_open(const struct stub *s)
{
	return s->udp[0] >= 0 || s->udp[1] >= 0;
}

void stub_udp_drain(struct worker *w)
{
	struct stub *s = &w->stub;

	for (uint32_t i = 0; i < 2 && !s->deaf; i++) {
		if (s->udp[i] < 0)
			continue;
		stub_udp_ready(w, i);
		loop_remove(&w->loop, s->udp[i]);
	}
	if (!s->deaf)
		s->close_ms = w->loop.now_ms + DRAIN_MS;
	s->deaf = true;
	for (int i = 0; i < 2 && (!s->queries.used || w->loop.now_ms >= s->close_ms); i++)
		close_family(s, i);
}

static void put_control(struct msghdr *m, const struct stub_peer *to)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	if (to->socket) {
		struct in6_pktinfo v6 = { .ipi6_ifindex = to->scope };
		memcpy(&v6.ipi6_addr, to->dst.b, 16);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(v6));
		memcpy(CMSG_DATA(c), &v6, sizeof(v6));
		m->msg_controllen = CMSG_SPACE(sizeof(v6));
	} else {
		struct in_pktinfo v4 = { .ipi_ifindex = 0 };
		memcpy(&v4.ipi_spec_dst, to->dst.b + 12, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(v4));
		memcpy(CMSG_DATA(c), &v4, sizeof(v4));
		m->msg_controllen = CMSG_SPACE(sizeof(v4));
	}
}

void stub_udp_send(struct worker *w, const struct stub_peer *to, const uint8_t *bytes, size_t len)
{
	union control control;
	union address at;
	struct iovec io = { (void *)bytes, len };
	struct msghdr m = {
		.msg_name = &at, .msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	memset(&control, 0, sizeof(control));
	m.msg_namelen = addr_to_sockaddr(&to->src, to->sport, &at.storage);
	if (to->socket)
		at.v6.sin6_scope_id = to->scope;
	put_control(&m, to);
	/* What cannot be sent, or comes after draining, is lost, as datagrams are: it is asked again. */
	if (sendmsg(w->stub.from[to->socket], &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		worker_count(w, STAT_DNS_UNSENT, 1);
}
