/* SPDX-License-Identifier: MIT */
/* The parts that jail_seal() is made of. */
#ifndef SLUICE_TPROXY_JAIL_PART_H
#define SLUICE_TPROXY_JAIL_PART_H

#include "tproxy/jail.h"

/* System calls: the allow-list, for this thread and those it starts. 0, or -1 with errno. */
int jail_seccomp(void);
/* Files: only what is under p. 1, 0 where the kernel lacks Landlock, or -1 with errno and *step. */
int jail_landlock(const struct jail_paths *p, const char **step);

#endif
