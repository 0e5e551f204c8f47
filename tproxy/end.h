/* SPDX-License-Identifier: MIT */
/* One end of a connection: a socket, in the clear or under TLS. */
#ifndef SLUICE_TPROXY_END_H
#define SLUICE_TPROXY_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tproxy/tls.h"

/* What is known of a descriptor since the last edge. */
enum {
	IO_READ = 1, IO_WRITE = 2,
	IO_RDHUP = 4,  /* the peer sent FIN */
	IO_ERROR = 8,  /* reset, or both directions over */
	IO_ARMED = 16, /* registered for EPOLLOUT too */
};

struct end {
	int fd;
	uint8_t *io;
	struct tls_session *tls; /* NULL: in the clear */
};

/*
 * As recv(2): 0 is the end. -1 with EAGAIN: nothing is there, and IO_READ is gone; so it is after a
 * read that has emptied the socket.
 */
ssize_t end_read(struct end e, void *to, size_t room);
/* Bytes that were taken; fewer, or 0: it is full, and IO_WRITE is gone; -1: errno. */
ssize_t end_write(struct end e, const void *from, size_t len);
/* What was taken is on its way. 1; 0: it is full, and IO_WRITE is gone; -1: errno. */
int end_flush(struct end e);
/* No more will be written. */
void end_shut(struct end e);

#endif
