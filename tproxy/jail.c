/* SPDX-License-Identifier: MIT */
/* Least privilege. */
#include "tproxy/jail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tproxy/jail_part.h"

/* Sanitizers look at their own process and make calls of their own: they get the identity alone. */
#if !defined(JAIL_WHOLE) && defined(__has_feature)
#if __has_feature(address_sanitizer)
#define JAIL_WHOLE false
#endif
#endif
#if !defined(JAIL_WHOLE) && defined(__SANITIZE_ADDRESS__)
#define JAIL_WHOLE false
#endif
#if !defined(JAIL_WHOLE)
#define JAIL_WHOLE true
#endif

#define CAP_BIT(c) (UINT64_C(1) << (c))

struct caps { uint64_t effective, permitted, inheritable; };

static int caps_get(struct caps *c)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -1;
	c->effective = d[0].effective | (uint64_t)d[1].effective << 32;
	c->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	c->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	return 0;
}

static int caps_set(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ .effective = (uint32_t)effective, .permitted = (uint32_t)permitted },
		{ .effective = (uint32_t)(effective >> 32),
		  .permitted = (uint32_t)(permitted >> 32) },
	};
	return (int)syscall(SYS_capset, &h, d);
}

/* Without CAP_SETPCAP the bounding set stays; no_new_privs makes it void then. */
static int empty_bounding_set(const struct caps *c)
{
	if (!(c->effective & CAP_BIT(CAP_SETPCAP)))
		return 0;
	for (unsigned cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && cap > 0)
			return 0;
		return -1;
	}
	return 0;
}

static int become(uid_t uid, gid_t gid, const struct caps *c, const char **step)
{
	uid_t u[3];
	gid_t g[3];

	*step = "setgroups";
	if (c->effective & CAP_BIT(CAP_SETGID) && setgroups(0, NULL) < 0)
		return -1;
	*step = "setresgid";
	if (setresgid(gid, gid, gid) < 0)
		return -1;
	*step = "setresuid";
	if (setresuid(uid, uid, uid) < 0)
		return -1;
	*step = "identity";
	if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
		return -1;
	if (u[0] == uid && u[1] == uid && u[2] == uid && g[0] == gid && g[1] == gid && g[2] == gid)
		return 0;
	errno = EPERM;
	return -1;
}

static bool can_mark(void)
{
	const uint32_t mark = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool can = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;

	if (fd >= 0)
		close(fd);
	return can;
}

/* Keeps the weakest capability that SO_MARK is content with, or none. */
static int keep_caps(const struct caps *before, bool mark, const char **step)
{
	static const unsigned enough[] = { CAP_NET_RAW, CAP_NET_ADMIN };
	const uint64_t both = CAP_BIT(CAP_NET_RAW) | CAP_BIT(CAP_NET_ADMIN);

	*step = "capset";
	for (size_t i = 0; mark && i < sizeof(enough) / sizeof(enough[0]); i++) {
		uint64_t cap = CAP_BIT(enough[i]);
		if (!(before->permitted & cap))
			continue;
		if (caps_set(cap, before->permitted & both) < 0)
			return -1;
		if (can_mark())
			return caps_set(cap, cap);
	}
	if (caps_set(0, 0) < 0)
		return -1;
	*step = "SO_MARK";
	errno = EPERM;
	return mark ? -1 : 0;
}

static int no_traces(const char **step)
{
	const struct rlimit none = { 0, 0 };

	*step = "PR_SET_DUMPABLE";
	if (JAIL_WHOLE && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	*step = "RLIMIT_CORE";
	return setrlimit(RLIMIT_CORE, &none);
}

int jail_drop(uid_t uid, gid_t gid, bool mark, const char **step)
{
	struct caps before;

	*step = "capget";
	if (caps_get(&before) < 0)
		return -1;
	*step = "PR_CAPBSET_DROP";
	if (empty_bounding_set(&before) < 0)
		return -1;
	*step = "PR_SET_KEEPCAPS";
	if (prctl(PR_SET_KEEPCAPS, mark, 0, 0, 0) < 0)
		return -1;
	if (become(uid, gid, &before, step) < 0)
		return -1;
	*step = "PR_CAP_AMBIENT";
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -1;
	if (keep_caps(&before, mark, step) < 0)
		return -1;
	return no_traces(step);
}

int jail_seal(const struct jail_paths *p, bool *landlock, const char **step)
{
	*landlock = false;
	*step = "PR_SET_NO_NEW_PRIVS";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (!JAIL_WHOLE)
		return 0;
	int r = jail_landlock(p, step);
	if (r < 0)
		return -1;
	*landlock = r;
	*step = "seccomp";
	return jail_seccomp();
}
