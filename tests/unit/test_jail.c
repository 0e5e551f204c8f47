/* SPDX-License-Identifier: MIT */
/* The jail, seen from inside: each forbidden system call really kills, each needed one works.
 * Everything happens in children. */
/* LINK: tproxy/jail_landlock.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define JAIL_WHOLE true
#include "tproxy/jail.c"
#include "tproxy/jail_seccomp.c"

enum fate { KILLED, LIVES, NOSYS };

static char passwd[] = "/etc/passwd", appended[] = "/dev/null", page_[8192], name_[] = "worker";
static const int one = 1;
#define P(x) (long)(uintptr_t)(x)

struct row { const char *what; enum fate fate; long call, a[6]; };
static const int fd_marker = -100; /* argument: a TCP socket that was open before */

#define ROW(fate, call, ...) { #call "(" #__VA_ARGS__ ")", fate, SYS_##call, { __VA_ARGS__ } }

static const struct row *rows(size_t *n)
{
	static struct row table[] = {
		ROW(LIVES, socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
		ROW(LIVES, socket, AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
		ROW(LIVES, socket, AF_INET, SOCK_STREAM, IPPROTO_TCP),
		ROW(LIVES, socket, AF_INET, SOCK_DGRAM, 0),
		ROW(LIVES, socket, AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
		ROW(LIVES, socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
		ROW(KILLED, socket, AF_INET, SOCK_RAW, IPPROTO_ICMP),
		ROW(KILLED, socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
		ROW(KILLED, socket, AF_INET6, SOCK_RAW, IPPROTO_RAW),
		ROW(KILLED, socket, AF_INET, SOCK_STREAM, 132),
		ROW(KILLED, socket, AF_INET, SOCK_STREAM, 262),
		ROW(KILLED, socket, AF_UNIX, SOCK_STREAM, 0),
		ROW(KILLED, socket, AF_NETLINK, SOCK_RAW, 0),
		ROW(KILLED, socket, AF_PACKET, SOCK_RAW, 0),
		ROW(KILLED, socket, AF_PACKET, SOCK_DGRAM, 0),
		ROW(KILLED, socket, 40, SOCK_STREAM, 0),
		ROW(KILLED, socket, 38, SOCK_STREAM, 0),
		ROW(KILLED, socketpair, AF_UNIX, SOCK_STREAM, 0, 0),
		ROW(LIVES, setsockopt, fd_marker, SOL_SOCKET, SO_LINGER, P(page_), 8),
		ROW(LIVES, setsockopt, fd_marker, IPPROTO_TCP, TCP_NODELAY, P(&one), 4),
		ROW(LIVES, setsockopt, fd_marker, IPPROTO_TCP, TCP_QUICKACK, P(&one), 4),
		ROW(KILLED, setsockopt, fd_marker, SOL_SOCKET, SO_BINDTODEVICE, P(page_), 4),
		ROW(KILLED, setsockopt, fd_marker, SOL_SOCKET, SO_ATTACH_FILTER, P(page_), 16),
		ROW(KILLED, setsockopt, fd_marker, SOL_SOCKET, SO_REUSEPORT, P(&one), 4),
		ROW(KILLED, setsockopt, fd_marker, IPPROTO_IP, IP_TRANSPARENT, P(&one), 4),
		ROW(KILLED, setsockopt, fd_marker, IPPROTO_IP, SO_MARK, P(&one), 4),
		ROW(KILLED, setsockopt, fd_marker, IPPROTO_TCP, 31, P(page_), 4),
		ROW(KILLED, bind, fd_marker, P(page_), 16),
		ROW(KILLED, listen, fd_marker, 1),
		ROW(LIVES, connect, -1, P(page_), 16),
		ROW(LIVES, accept4, -1, 0, 0, 0),
		ROW(KILLED, accept, -1, 0, 0),
		ROW(LIVES, splice, -1, 0, -1, 0, 1, 0),
		ROW(LIVES, mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0),
		ROW(KILLED, mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0),
		ROW(LIVES, mprotect, P(page_), 0, PROT_READ | PROT_WRITE),
		ROW(KILLED, mprotect, P(page_), 0, PROT_READ | PROT_EXEC),
		ROW(LIVES, openat, AT_FDCWD, P(passwd), O_RDONLY | O_CLOEXEC | O_NOFOLLOW),
		ROW(LIVES, openat, AT_FDCWD, P(appended),
		    O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0640),
		ROW(KILLED, openat, AT_FDCWD, P(appended), O_WRONLY),
		ROW(KILLED, openat, AT_FDCWD, P(appended), O_RDWR | O_APPEND),
		ROW(KILLED, openat, AT_FDCWD, P(appended), O_WRONLY | O_APPEND | O_TRUNC),
		ROW(KILLED, openat, AT_FDCWD, P(passwd), O_RDONLY | O_CREAT),
		ROW(KILLED, openat, AT_FDCWD, P(passwd), O_PATH),
		ROW(KILLED, openat, AT_FDCWD, P(passwd), 3),
		ROW(KILLED, openat2, AT_FDCWD, P(passwd), P(page_), 24),
		ROW(KILLED, unlinkat, AT_FDCWD, P(name_), 0),
		ROW(KILLED, renameat2, AT_FDCWD, P(name_), AT_FDCWD, P(name_), 0),
		ROW(KILLED, fchmodat, AT_FDCWD, P(name_), 0),
		ROW(KILLED, fchownat, AT_FDCWD, P(name_), 0, 0, 0),
		ROW(KILLED, execve, P(passwd), 0, 0),
		ROW(KILLED, execveat, AT_FDCWD, P(passwd), 0, 0, 0),
		ROW(KILLED, clone, SIGCHLD, 0, 0, 0, 0),
		ROW(KILLED, clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0),
		ROW(KILLED, clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
		ROW(NOSYS, clone3, P(page_), 88),
		ROW(KILLED, unshare, CLONE_NEWNET),
		ROW(KILLED, setns, -1, 0),
		ROW(KILLED, kill, 0, 0),
		ROW(KILLED, tgkill, 0, 0, 0),
		ROW(KILLED, ptrace, 0, 0, 0, 0),
		ROW(KILLED, process_vm_readv, 0, 0, 0, 0, 0, 0),
		ROW(KILLED, setresuid, 0, 0, 0),
		ROW(KILLED, capset, 0, 0),
		ROW(LIVES, prctl, PR_SET_NAME, P(name_)),
		ROW(KILLED, prctl, PR_SET_DUMPABLE, 1),
		ROW(KILLED, prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN),
		ROW(KILLED, seccomp, 0, 0, 0),
		ROW(KILLED, bpf, 0, 0, 0),
		ROW(KILLED, io_uring_setup, 0, 0),
		ROW(KILLED, userfaultfd, 0),
		ROW(KILLED, perf_event_open, 0, 0, 0, 0, 0),
		ROW(KILLED, keyctl, 0),
		ROW(KILLED, ioctl, -1, 0, 0),
		ROW(KILLED, mount, 0, 0, 0, 0, 0),
		ROW(KILLED, chroot, P(passwd)),
		ROW(KILLED, personality, 0xffffffff),
		ROW(KILLED, init_module, 0, 0, 0),
		ROW(LIVES, memfd_create, P(name_), 0),
		ROW(LIVES, getrandom, P(page_), 8, 0),
		ROW(LIVES, pread64, -1, P(page_), 1, 0),
		ROW(LIVES, dup3, -1, 100, O_CLOEXEC),
		{ "a number beyond the last call", KILLED, 5000, { 0 } },
		{ "an x32 call", KILLED, X32_BIT | SYS_getpid, { 0 } },
	};
	*n = LENGTH(table);
	return table;
}

/* Only system calls from here on: the C library and the sanitizer have not been told of the jail.
 */
static void child_calls(const struct row *r, int fd)
{
	long a[6];

	for (int i = 0; i < 6; i++)
		a[i] = r->a[i] == fd_marker && i == 0 &&
		                       (r->call == SYS_setsockopt || r->call == SYS_bind ||
		                        r->call == SYS_listen)
		               ? fd
		               : r->a[i];
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || jail_seccomp() < 0)
		syscall(SYS_exit_group, 100);
	errno = 0;
	long result = syscall(r->call, a[0], a[1], a[2], a[3], a[4], a[5]);
	syscall(SYS_exit_group, result == -1 && errno == ENOSYS ? 38 : 0);
}

static int outcome(void (*f)(const void *), const void *arg)
{
	int status;

	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		f(arg);
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void run_row(const void *arg)
{
	child_calls(arg, socket(AF_INET, SOCK_STREAM, 0));
}

static void calls_meet_their_fate(void **state)
{
	size_t n;
	const struct row *r = rows(&n);
	bool failed = false;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		int status = outcome(run_row, &r[i]);
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
		bool as_said = r[i].fate == KILLED
		                       ? killed
		                       : WIFEXITED(status) && WEXITSTATUS(status) ==
		                                                      (r[i].fate == NOSYS ? 38 : 0);
		if (as_said)
			continue;
		print_error("%s: status %#x\n", r[i].what, status);
		failed = true;
	}
	assert_false(failed);
}

/* A call by the numbers of 32-bit x86, which this kernel may have been built without. */
static void run_int80(const void *arg)
{
	long r = 20;

	(void)arg;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (jail_seccomp() < 0)
		syscall(SYS_exit_group, 100);
#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
#endif
	syscall(SYS_exit_group, r == 20);
}

static void other_architectures_are_refused(void **state)
{
	(void)state;
	if (JAIL_ARCH != AUDIT_ARCH_X86_64)
		skip();
	assert_true(WIFSIGNALED(outcome(run_int80, NULL)));
}

/* In the child that f runs in: says what failed and ends. */
#define CHECK(x)                                                                    \
	do {                                                                        \
		if (!(x)) {                                                         \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #x, \
			        strerror(errno));                                   \
			_exit(1);                                                   \
		}                                                                   \
	} while (0)

static bool status_has(const char *line)
{
	static char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	if (strstr(text, line))
		return true;
	fprintf(stderr, "no \"%s\" in:\n%s", line, text);
	return false;
}

static void run_drop(const void *arg)
{
	const bool mark = *(const bool *)arg;
	const char *step = "";
	const uint32_t value = 77;
	struct rlimit core;

	CHECK(jail_drop(1234, 5678, mark, &step) == 0);
	CHECK(status_has("\nUid:\t1234\t1234\t1234\t1234\n"));
	CHECK(status_has("\nGid:\t5678\t5678\t5678\t5678\n"));
	CHECK(status_has("\nGroups:\t \n"));
	/* CAP_NET_RAW suffices for SO_MARK from 5.17 on. */
	CHECK(status_has(mark ? "\nCapPrm:\t0000000000002000\n" : "\nCapPrm:\t0000000000000000\n"));
	CHECK(status_has(mark ? "\nCapEff:\t0000000000002000\n" : "\nCapEff:\t0000000000000000\n"));
	CHECK(status_has("\nCapInh:\t0000000000000000\n"));
	CHECK(status_has("\nCapBnd:\t0000000000000000\n"));
	CHECK(status_has("\nCapAmb:\t0000000000000000\n"));
	CHECK(setresuid(0, 0, 0) < 0 && setresgid(0, 0, 0) < 0 && setgroups(0, NULL) < 0);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK((setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof(value)) == 0) == mark);
	/* Once more, already being that user: the same with less, and no way to more. */
	CHECK(jail_drop(1234, 5678, mark, &step) == 0);
	CHECK(jail_drop(1235, 5678, false, &step) < 0 && !strcmp(step, "setresuid"));
	CHECK(jail_drop(1234, 5678, false, &step) == 0);
	CHECK(jail_drop(1234, 5678, true, &step) < 0 && !strcmp(step, "SO_MARK") && errno == EPERM);
	_exit(0);
}

static void dropping_leaves_one_capability(void **state)
{
	static const bool marks[] = { true, false };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(outcome(run_drop, &marks[0]), 0);
	assert_int_equal(outcome(run_drop, &marks[1]), 0);
}

static bool opens(const char *dir, const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, flags, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

struct dirs { char read[32], write[32]; };

static void run_landlock(const void *arg)
{
	const struct dirs *d = arg;
	struct jail_paths p = {
		.read = { d->read }, .write = { d->write }, .n_read = 1, .n_write = 1
	};
	const char *step = "";
	char path[64];

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	int r = jail_landlock(&p, &step);
	if (r == 0)
		_exit(77);
	CHECK(r == 1);
	CHECK(opens(d->read, "a", O_RDONLY));
	CHECK(!opens(d->read, "a", O_WRONLY) && errno == EACCES);
	CHECK(!opens(d->read, "new", O_WRONLY | O_CREAT) && errno == EACCES);
	CHECK(opens(d->write, "a", O_WRONLY | O_APPEND));
	CHECK(opens(d->write, "new", O_WRONLY | O_APPEND | O_CREAT));
	CHECK(!opens(d->write, "a", O_RDONLY) && errno == EACCES);
	CHECK(!opens("/etc", "passwd", O_RDONLY) && errno == EACCES);
	CHECK(!opens("/proc/self", "status", O_RDONLY) && errno == EACCES);
	snprintf(path, sizeof(path), "%s/a", d->write);
	CHECK(unlink(path) < 0 && errno == EACCES);
	CHECK(mkdir(d->read, 0700) < 0);
	_exit(0);
}

static void landlock_leaves_two_directories(void **state)
{
	struct dirs d = { "/tmp/sluice-jail-XXXXXX", "/tmp/sluice-jail-XXXXXX" };
	char command[128];

	(void)state;
	assert_non_null(mkdtemp(d.read));
	assert_non_null(mkdtemp(d.write));
	assert_true(opens(d.read, "a", O_WRONLY | O_CREAT));
	assert_true(opens(d.write, "a", O_WRONLY | O_CREAT));
	int status = outcome(run_landlock, &d);
	snprintf(command, sizeof(command), "rm -r %s %s", d.read, d.write);
	assert_int_equal(system(command), 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("# this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void run_seal(const void *arg)
{
	struct jail_paths p = { .read = { "/nonexistent" }, .n_read = 1 };
	const char *step = "";
	bool landlock;

	(void)arg;
	int r = jail_seal(&p, &landlock, &step);
	if (r == 0 && !landlock)
		_exit(77);
	CHECK(r < 0 && errno == ENOENT && !strcmp(step, "landlock_add_rule"));
	_exit(0);
}

static void sealing_says_what_failed(void **state)
{
	(void)state;
	int status = outcome(run_seal, NULL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_meet_their_fate),
		cmocka_unit_test(other_architectures_are_refused),
		cmocka_unit_test(dropping_leaves_one_capability),
		cmocka_unit_test(landlock_leaves_two_directories),
		cmocka_unit_test(sealing_says_what_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
