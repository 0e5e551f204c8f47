/* SPDX-License-Identifier: MIT */
/*
 * The control thread: signals, reloading, draining, the watchdog and the admin interface. It never
 * stalls the workers.
 */
#ifndef SLUICE_TPROXY_CONTROL_H
#define SLUICE_TPROXY_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/policy.h"
#include "tproxy/access.h"
#include "tproxy/admin.h"
#include "rules/notify.h"
#include "tproxy/option.h"
#include "tproxy/worker.h"

enum control_state { CONTROL_START = 0, CONTROL_RUN, CONTROL_DRAIN };

struct control {
	struct options options;
	struct workers *workers;
	struct policy *policy;      /* the one in use; belongs to the workers once there are any */
	struct secure_set *secure;  /* its credentials; belong to the workers too */
	struct access_sink *sink;   /* likewise */
	struct admin *admin;        /* NULL: none */
	struct notify notify;
	int epfd, signal_fd;
	int statm_fd;               /* /proc/self/statm, opened before the sandbox; -1: not there */
	enum control_state state;
	int status;                 /* what the process will exit with */
	int64_t started_s, loaded_s; /* CLOCK_REALTIME */
	int64_t drain_end_ms;       /* CLOCK_MONOTONIC, with CONTROL_DRAIN */
	int64_t sign_ms;            /* when the watchdog is to hear from us next */
	uint64_t reloads, reload_failures;
};

/* Blocks the signals that the loop will read; before any thread is started. 0, or -1 with errno. */
int control_open(struct control *c);
/* Runs until all is over. Returns the exit status. */
int control_run(struct control *c);

/* Loads the policy anew. False: the old one stays, and the reason is in text (and in the log). */
bool control_reload(struct control *c, char *text, size_t size);
/*
 * Stops accepting; the loop ends when the last connection has, or after the drain time. A second
 * call ends at once.
 */
void control_drain(struct control *c);

#endif
