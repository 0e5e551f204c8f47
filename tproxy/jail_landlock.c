/* SPDX-License-Identifier: MIT */
/* Landlock: only the policy's directory, to read, and the access log's, to append to. */
#include "tproxy/jail_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Kernel headers may be older than the kernel: the interface as of ABI 6. */
enum {
	FS_EXECUTE = 1 << 0, FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
	FS_MAKE_REG = 1 << 8,
	FS_ABI_1 = (1 << 13) - 1,
	FS_REFER = 1 << 13,            /* ABI 2 */
	FS_TRUNCATE = 1 << 14,         /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15,        /* ABI 5 */
	NET_BIND_TCP = 1 << 0,         /* ABI 4 */
	SCOPE_ABSTRACT_UNIX = 1 << 0,  /* ABI 6 */
	SCOPE_SIGNAL = 1 << 1,         /* ABI 6 */
	RULE_PATH_BENEATH = 1,
	CREATE_RULESET_VERSION = 1,
};

struct ruleset { uint64_t fs, net, scoped; };
struct path_beneath { uint64_t access; int32_t parent; } __attribute__((packed));

static int allow(int ruleset, const char *path, uint64_t access)
{
	struct path_beneath b = { .access = access, .parent = open(path, O_PATH | O_CLOEXEC) };

	if (b.parent < 0)
		return -1;
	long r = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &b, 0);
	int e = errno;
	close(b.parent);
	errno = e;
	return (int)r;
}

static int add_rules(int ruleset, const struct jail_paths *p)
{
	for (unsigned i = 0; i < p->n_read; i++)
		if (allow(ruleset, p->read[i], FS_READ_FILE) < 0)
			return -1;
	for (unsigned i = 0; i < p->n_write; i++)
		if (allow(ruleset, p->write[i], FS_WRITE_FILE | FS_MAKE_REG) < 0)
			return -1;
	return 0;
}

/* Everything that this kernel can forbid, and how much of the structure it knows. */
static size_t handled(int abi, struct ruleset *r)
{
	*r = (struct ruleset){ .fs = FS_ABI_1 };
	if (abi >= 2)
		r->fs |= FS_REFER;
	if (abi >= 3)
		r->fs |= FS_TRUNCATE;
	if (abi >= 5)
		r->fs |= FS_IOCTL_DEV;
	if (abi >= 4)
		r->net = NET_BIND_TCP;
	if (abi >= 6)
		r->scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	if (abi < 4)
		return offsetof(struct ruleset, net);
	return abi < 6 ? offsetof(struct ruleset, scoped) : sizeof(*r);
}

int jail_landlock(const struct jail_paths *p, const char **step)
{
	struct ruleset r;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	*step = "landlock_create_ruleset";
	if (abi < 1)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
	size_t size = handled((int)abi, &r);
	int fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return -1;
	*step = "landlock_add_rule";
	int result = add_rules(fd, p);
	if (result == 0) {
		*step = "landlock_restrict_self";
		result = (int)syscall(SYS_landlock_restrict_self, fd, 0);
	}
	int e = errno;
	close(fd);
	errno = e;
	return result < 0 ? -1 : 1;
}
