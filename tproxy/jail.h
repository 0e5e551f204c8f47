/* SPDX-License-Identifier: MIT */
/*
 * Least privilege: identity and capabilities, then no_new_privs, Landlock and seccomp. Order:
 * jail_drop() once all privileged descriptors are open, jail_seal() when everything else is.
 */
#ifndef SLUICE_TPROXY_JAIL_H
#define SLUICE_TPROXY_JAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Becomes uid:gid with no supplementary groups; keeps only the capability that SO_MARK needs, when
 * mark is true: CAP_NET_RAW where the kernel takes it (5.17), else CAP_NET_ADMIN; bounding,
 * inheritable and ambient sets are emptied; dumpable off, RLIMIT_CORE 0. A process that is already
 * uid:gid stays so. 0, or -1 with errno and *step.
 */
int jail_drop(uid_t uid, gid_t gid, bool mark, const char **step);

struct jail_paths {
	const char *read[8];  /* directories whose files may be read (the policy's) */
	const char *write[8]; /* directories to make files in and append to (the log's) */
	unsigned n_read, n_write;
};
/*
 * no_new_privs, Landlock (skipped with *landlock = false where the kernel lacks it), seccomp
 * allow-list for all threads that follow; anything else kills the process. 0, or -1 with errno and
 * *step. Builds with sanitizers get no_new_privs only.
 */
int jail_seal(const struct jail_paths *p, bool *landlock, const char **step);

#endif
