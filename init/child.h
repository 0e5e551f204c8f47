/* SPDX-License-Identifier: MIT */
/* The program that runs under the rules, started again whenever it dies. */
#ifndef SLUICE_INIT_CHILD_H
#define SLUICE_INIT_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	char *const *argv;   /* NULL: there is none to run */
	sigset_t mask;       /* the signal mask that it starts with */
	pid_t pid;           /* 0: not running */
	int status;          /* its last exit status; 128 + n: killed by signal n */
	uint64_t since;      /* when it was started, in ms of the monotonic clock */
	uint64_t again;      /* when it is to be started again */
	uint32_t pause;      /* ms to wait before that */
};

uint64_t child_clock(void);
/* Starts it. 0, or -1 with errno; that the program cannot be executed shows as its status 127. */
int child_start(struct child *c);
/* Collects every process that ended, ours or left to us. True: ours did, and is to come again. */
bool child_reap(struct child *c);
/* Ms until it is to be started again; -1: not waiting for that. */
int child_wait(const struct child *c);
void child_signal(const struct child *c, int number);

#endif
