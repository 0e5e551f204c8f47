/* SPDX-License-Identifier: MIT */
/* Readiness: the sd_notify protocol (NOTIFY_SOCKET), and --ready-fd (one newline, then close). */
#ifndef SLUICE_RULES_NOTIFY_H
#define SLUICE_RULES_NOTIFY_H

#include <stdint.h>

struct notify {
	int socket;
	int ready_fd;
	uint32_t watchdog_ms; /* within which the supervisor wants a sign of life; 0: never */
};

/*
 * Connects to $NOTIFY_SOCKET if set (before the sandbox), takes ready_fd (-1: none) and reads
 * $WATCHDOG_USEC. 0, or -1 with errno: then only ready_fd is told anything.
 */
int notify_open(struct notify *n, int ready_fd);
void notify_ready(struct notify *n);     /* READY=1 */
void notify_reloading(struct notify *n); /* RELOADING=1 with MONOTONIC_USEC */
void notify_stopping(struct notify *n);  /* STOPPING=1 */
void notify_status(struct notify *n, const char *text);
void notify_watchdog(struct notify *n);  /* WATCHDOG=1 */

#endif
