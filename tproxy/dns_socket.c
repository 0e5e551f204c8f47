/* SPDX-License-Identifier: MIT */
/* The sockets that c-ares asks through. */
#include "tproxy/dns_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER         12 /* bytes; RFC 1035 4.1 */
#define QUESTION_MIN   5
#define RECORD_MIN     11
#define DATAGRAM_MAX   4096  /* we say 1232 in EDNS */
#define STREAM_AT_ONCE 16384 /* less than c-ares has room for, or it reads on */

static ares_socket_t sock_open(int domain, int type, int protocol, void *ctx)
{
	const struct dns_sockets *s = ctx;
	int fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd >= 0 && s->mark &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &s->mark, sizeof(s->mark)) < 0) {
		int e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static int sock_close(ares_socket_t fd, void *ctx)
{
	(void)ctx;
	return close(fd);
}

/* Sizes, devices and TCP Fast Open: none of them is wanted. */
static int sock_option(ares_socket_t fd, ares_socket_opt_t option, const void *value,
                       ares_socklen_t len, void *ctx)
{
	(void)fd;
	(void)option;
	(void)value;
	(void)len;
	(void)ctx;
	errno = ENOSYS;
	return -1;
}

static int sock_connect(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                        unsigned int flags, void *ctx)
{
	(void)flags;
	(void)ctx;
	return connect(fd, to, len);
}

static ares_ssize_t sock_send(ares_socket_t fd, const void *bytes, size_t len, int flags,
                              const struct sockaddr *to, ares_socklen_t to_len, void *ctx)
{
	(void)ctx;
	return sendto(fd, bytes, len, flags | MSG_NOSIGNAL, to, to_len);
}

static size_t get_be16(const uint8_t *b)
{
	return (size_t)(b[0] << 8 | b[1]);
}

/*
 * A response (QR) to a standard query (opcode 0) with one question, and with no more records than
 * there is room for: c-ares takes memory for as many as the header says.
 */
static bool plausible(const uint8_t *b, ares_ssize_t len)
{
	if (len < HEADER + QUESTION_MIN || len > DATAGRAM_MAX || (b[2] & 0xf8) != 0x80 ||
	    get_be16(b + 4) != 1)
		return false;
	return (get_be16(b + 6) + get_be16(b + 8) + get_be16(b + 10)) * RECORD_MIN <=
	       (size_t)len - HEADER - QUESTION_MIN;
}

/*
 * c-ares reads until it is told that there is no more, and takes an empty datagram for one of
 * undefined length.
 */
static ares_ssize_t sock_receive(ares_socket_t fd, void *to, size_t room, int flags,
                                 struct sockaddr *from, ares_socklen_t *from_len, void *ctx)
{
	struct dns_sockets *s = ctx;

	if (!from)
		return recv(fd, to, room < STREAM_AT_ONCE ? room : STREAM_AT_ONCE, flags);
	ares_socklen_t from_room = *from_len;
	while (s->budget > 0) {
		s->budget--;
		*from_len = from_room;
		ares_ssize_t n = recvfrom(fd, to, room, flags, from, from_len);
		if (n < 0 || plausible(to, n))
			return n;
	}
	errno = EAGAIN;
	return -1;
}

int dns_sockets_use(ares_channel_t *channel, struct dns_sockets *s)
{
	static const struct ares_socket_functions_ex functions = {
		.version = 1,
		.flags = ARES_SOCKFUNC_FLAG_NONBLOCKING,
		.asocket = sock_open,
		.aclose = sock_close,
		.asetsockopt = sock_option,
		.aconnect = sock_connect,
		.arecvfrom = sock_receive,
		.asendto = sock_send,
	};

	s->budget = DNS_SOCKETS_BUDGET;
	return ares_set_socket_functions_ex(channel, &functions, s) == ARES_SUCCESS ? 0 : -1;
}
