/* SPDX-License-Identifier: MIT */
/* The command line of sluice-init. */
#ifndef SLUICE_INIT_OPTION_H
#define SLUICE_INIT_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "init/command.h"

struct options {
	const char *policy, *state, *form;
	char *const *program;
	uint32_t uid, gid, mark;
	uint16_t port;
	bool has_mark, egress_hook, owner, in_place;
	bool iptables; /* the backend; else nft */
};

/*
 * Fills o and finds the command, the first of the table when none is named. -1: run it; else the
 * exit status, after a message, a help text or the version.
 */
int option_parse(struct options *o, const struct command **command, int argc, char *argv[]);

#endif
