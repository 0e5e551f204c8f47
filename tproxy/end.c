/* SPDX-License-Identifier: MIT */
/* One end of a connection: a socket, in the clear or under TLS. */
#include "tproxy/end.h"

#include <errno.h>
#include <sys/socket.h>

static bool would_block(int e)
{
	return e == EAGAIN || e == EWOULDBLOCK || e == EINTR;
}

static ssize_t tls_result(long n)
{
	if (n > 0 || n == TLS_CLOSED)
		return n > 0 ? n : 0;
	errno = n == TLS_AGAIN ? EAGAIN : EPROTO;
	return -1;
}

ssize_t end_read(struct end e, void *to, size_t room)
{
	ssize_t n = e.tls ? tls_result(tls_read(e.tls, to, room))
	            : recv(e.fd, to, room, MSG_DONTWAIT);

	if (n < 0 && would_block(errno)) {
		errno = EAGAIN;
		*e.io &= (uint8_t)~IO_READ;
	}
	/* A short read has emptied the socket; only an end seen earlier needs another. */
	if (n > 0 && (size_t)n < room && !e.tls && !(*e.io & IO_RDHUP))
		*e.io &= (uint8_t)~IO_READ;
	return n;
}

ssize_t end_write(struct end e, const void *from, size_t len)
{
	ssize_t n = e.tls ? tls_result(tls_write(e.tls, from, len))
	            : send(e.fd, from, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && would_block(errno))
		n = 0;
	if (n >= 0 && ((size_t)n < len || (e.tls && tls_flush(e.tls) == 0)))
		*e.io &= (uint8_t)~IO_WRITE;
	return n;
}

int end_flush(struct end e)
{
	int r = e.tls ? tls_flush(e.tls) : 1;

	if (r == 0)
		*e.io &= (uint8_t)~IO_WRITE;
	if (r < 0)
		errno = EPROTO;
	return r < 0 ? -1 : r;
}

void end_shut(struct end e)
{
	if (e.tls) {
		tls_close_notify(e.tls);
		(void)tls_flush(e.tls);
	}
	(void)shutdown(e.fd, SHUT_WR);
}
