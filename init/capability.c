/* SPDX-License-Identifier: MIT */
/* Least privilege of a process that stays. */
#include "init/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(c) (UINT64_C(1) << (c))
#define OF_CHILD                                                                         \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_KILL) | BIT(CAP_NET_ADMIN) |   \
		BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW) | BIT(CAP_SETGID) |         \
		BIT(CAP_SETPCAP) | BIT(CAP_SETUID) | BIT(CAP_SYS_RESOURCE))

/*
 * With no_new_privs a program of root's gets the permitted set of who executes it and no more, so
 * what the child is to have is kept there.
 */
int capability_drop(bool child)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	uint64_t own = BIT(CAP_NET_ADMIN) | (child ? BIT(CAP_KILL) : 0);
	uint64_t permitted = own | (child ? OF_CHILD : 0);

	if (syscall(SYS_capget, &h, d) != 0)
		return -1;
	permitted &= d[0].permitted | (uint64_t)d[1].permitted << 32;
	own &= permitted;
	for (int i = 0; i < 2; i++) {
		d[i].permitted = (uint32_t)(permitted >> 32 * i);
		d[i].effective = (uint32_t)(own >> 32 * i);
		d[i].inheritable = 0;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL))
		return -1;
	return (int)syscall(SYS_capset, &h, d);
}
