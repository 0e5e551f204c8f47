/* SPDX-License-Identifier: MIT */
/* What is behind a descriptor that others opened, and how to write to it without blocking. */
#ifndef SLUICE_TPROXY_FD_H
#define SLUICE_TPROXY_FD_H

enum fd_kind {
	FD_OTHER = 0, /* pipes, terminals, devices; also what cannot be looked at */
	FD_FILE,      /* a regular file */
	FD_STREAM,    /* a stream socket */
	FD_DATAGRAM,  /* any other socket */
};
enum fd_kind fd_kind(int fd);

/*
 * Opens what is behind descriptor number once more, for appending: a non-blocking open file
 * description that no other process shares. -1 with errno where that cannot be (sockets; no /proc;
 * not permitted).
 */
int fd_open_again(int number);
/* Closes all from first to last; nothing happens before Linux 5.9. */
void fd_close_range(unsigned first, unsigned last);

#endif
