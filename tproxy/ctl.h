/* SPDX-License-Identifier: MIT */
/* The client of the admin interface: sluice-tproxy --ctl PATH [PAGE]. */
#ifndef SLUICE_TPROXY_CTL_H
#define SLUICE_TPROXY_CTL_H

/*
 * Asks the socket for a page ("ready" or "/ready"; NULL: the index) and writes it to stdout; a page
 * that is an order goes out as POST. Returns the exit status: 0 after a 200; EX_UNAVAILABLE when
 * nobody answers or the answer is another; EX_PROTOCOL when it is not a whole one.
 */
int ctl_run(const char *socket_path, const char *page);

#endif
