/* SPDX-License-Identifier: MIT */
/* The command line of sluice-tproxy. */
#ifndef SLUICE_TPROXY_OPTION_H
#define SLUICE_TPROXY_OPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tproxy/log.h"
#include "tproxy/worker.h"

struct options {
	const char *policy, *state;
	const char *admin;       /* NULL: in state; "": none */
	const char *ctl, *page;  /* client mode: the socket, and the page asked for */
	bool mark;               /* read STATE/mark */
	bool limits;
	bool check;
	uid_t uid;
	gid_t gid;
	int ready_fd;            /* -1: none */
	enum log_level level;
	uint32_t drain_ms;
	struct workers_config workers; /* without transparent and mark, which others know */
};

/*
 * Fills o from the command line and the defaults of the build. Returns -1 to go on, or the exit
 * status: 0 after --help and --version, EX_USAGE after a message.
 */
int option_parse(struct options *o, int argc, char **argv);

#endif
