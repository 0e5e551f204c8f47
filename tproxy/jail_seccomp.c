/* SPDX-License-Identifier: MIT */
/*
 * The system calls that a running proxy makes, and nothing else: whatever is not named here kills
 * the process. What has no conditions comes first and in the shape that kernels from 5.11 on keep a
 * bitmap for, so that it costs nothing.
 */
#include "tproxy/jail_part.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tproxy/jail_calls.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define KILL SECCOMP_RET_KILL_PROCESS
#define X32_BIT 0x40000000u

static const int plain_calls[] = {
	/* payload, each time */
	SYS_epoll_wait, SYS_epoll_pwait, SYS_recvfrom, SYS_sendto, SYS_recvmsg, SYS_sendmsg,
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_splice, SYS_epoll_ctl, SYS_close,
	SYS_accept4, SYS_connect, SYS_shutdown, SYS_getsockname, SYS_getpeername, SYS_getsockopt,
	SYS_pipe2, SYS_fcntl, SYS_fcntl64, SYS_clock_gettime, SYS_clock_gettime32,
	SYS_clock_gettime64, SYS_futex, SYS_futex_time64,
	/* memory, threads, the end */
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_getrandom, SYS_gettid, SYS_getpid,
	SYS_set_robust_list, SYS_rseq, SYS_sched_yield, SYS_rt_sigaction, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_sigreturn, SYS_restart_syscall, SYS_nanosleep, SYS_exit,
	SYS_exit_group,
	/* control: reloading, log files, admin pages */
	SYS_poll, SYS_ppoll, SYS_ppoll_time64, SYS_epoll_create1, SYS_eventfd2, SYS_memfd_create,
	SYS_ftruncate, SYS_ftruncate64, SYS_pread64, SYS_lseek, SYS__llseek, SYS_fstat, SYS_fstat64,
	SYS_newfstatat, SYS_fstatat64, SYS_statx, SYS_dup3, SYS_getrusage,
};

/* Of argument arg, the bits in mask must have this value. mask 0: no condition. */
struct condition { uint8_t arg; uint32_t mask, value; };
/* All conditions must hold; a call may have several rules. */
struct rule { int call; struct condition when[3]; };

#define IS(arg, value)         { arg, UINT32_MAX, value }
#define BITS(arg, mask, value) { arg, mask, value }
#define TYPE(value)            BITS(1, 0xf, value) /* SOCK_NONBLOCK and SOCK_CLOEXEC lie above */
#define OPTION(level, name)    { SYS_setsockopt, { IS(1, level), IS(2, name) } }
#define CLONE_MASK             (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)
#define OPEN_MASK              (O_ACCMODE | O_CREAT | O_TRUNC | O_PATH)
#define APPEND_MASK            (O_ACCMODE | O_APPEND | O_TRUNC)

static const struct rule rules[] = {
	/* TCP to upstreams, UDP and TCP to name servers, datagrams to syslogd */
	{ SYS_socket, { IS(0, AF_INET), TYPE(SOCK_STREAM), IS(2, 0) } },
	{ SYS_socket, { IS(0, AF_INET6), TYPE(SOCK_STREAM), IS(2, 0) } },
	{ SYS_socket, { IS(0, AF_INET), TYPE(SOCK_DGRAM), IS(2, 0) } },
	{ SYS_socket, { IS(0, AF_INET6), TYPE(SOCK_DGRAM), IS(2, 0) } },
	{ SYS_socket, { IS(0, AF_INET), TYPE(SOCK_STREAM), IS(2, IPPROTO_TCP) } },
	{ SYS_socket, { IS(0, AF_INET6), TYPE(SOCK_STREAM), IS(2, IPPROTO_TCP) } },
	{ SYS_socket, { IS(0, AF_INET), TYPE(SOCK_DGRAM), IS(2, IPPROTO_UDP) } },
	{ SYS_socket, { IS(0, AF_INET6), TYPE(SOCK_DGRAM), IS(2, IPPROTO_UDP) } },
	{ SYS_socket, { IS(0, AF_UNIX), TYPE(SOCK_DGRAM), IS(2, 0) } },
	/* and orders to the holder of the rules */
	{ SYS_socket, { IS(0, AF_UNIX), TYPE(SOCK_SEQPACKET), IS(2, 0) } },
	OPTION(SOL_SOCKET, SO_MARK),
	OPTION(SOL_SOCKET, SO_LINGER),
	OPTION(SOL_SOCKET, SO_KEEPALIVE),
	OPTION(SOL_SOCKET, SO_SNDBUF),
	OPTION(SOL_SOCKET, SO_RCVBUF),
	OPTION(SOL_SOCKET, SO_RCVLOWAT),
	OPTION(IPPROTO_TCP, TCP_NODELAY),
	OPTION(IPPROTO_TCP, TCP_QUICKACK),
	OPTION(IPPROTO_TCP, TCP_CORK),
	OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
	OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
	OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
	OPTION(IPPROTO_TCP, TCP_KEEPCNT),
	OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
	/* no code is made or loaded */
	{ SYS_mmap, { BITS(2, PROT_EXEC, 0) } },
	{ SYS_mmap2, { BITS(2, PROT_EXEC, 0) } },
	{ SYS_mprotect, { BITS(2, PROT_EXEC, 0) } },
	/* threads, never processes */
	{ SYS_clone, { BITS(0, CLONE_MASK, CLONE_MASK) } },
	{ SYS_prctl, { IS(0, PR_SET_NAME) } },
	/* files are read, or appended to */
	{ SYS_open, { BITS(1, OPEN_MASK, O_RDONLY) } },
	{ SYS_open, { BITS(1, APPEND_MASK, O_WRONLY | O_APPEND) } },
	{ SYS_openat, { BITS(2, OPEN_MASK, O_RDONLY) } },
	{ SYS_openat, { BITS(2, APPEND_MASK, O_WRONLY | O_APPEND) } },
};

/* The C library tries this one first and falls back to clone(), whose flags a filter can see. */
static const int absent_calls[] = { SYS_clone3 };

#define RULE_ROOM 12 /* instructions of the longest rule */
#define ROOM \
	(8 + 2 * LENGTH(plain_calls) + 2 * LENGTH(absent_calls) + RULE_ROOM * LENGTH(rules) + 1)

struct program { struct sock_filter *at; };

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	*p->at++ = (struct sock_filter){ .code = code, .k = k, .jt = yes, .jf = no };
}

static void load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct program *p, uint32_t verdict)
{
	emit(p, BPF_RET | BPF_K, verdict, 0, 0);
}

static void emit_call(struct program *p, int call, uint32_t verdict)
{
	if (call < 0)
		return;
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
	answer(p, verdict);
}

/* The half of an argument that holds an int. */
static size_t low_half(unsigned arg)
{
	size_t half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
	return offsetof(struct seccomp_data, args) + 8 * arg + half;
}

static void emit_rule(struct program *p, const struct rule *r)
{
	struct sock_filter *start = p->at;

	if (r->call < 0)
		return;
	load(p, offsetof(struct seccomp_data, nr));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->call, 0, 0);
	for (size_t i = 0; i < LENGTH(r->when) && r->when[i].mask; i++) {
		load(p, low_half(r->when[i].arg));
		if (r->when[i].mask != UINT32_MAX)
			emit(p, BPF_ALU | BPF_AND | BPF_K, r->when[i].mask, 0, 0);
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, r->when[i].value, 0, 0);
	}
	answer(p, SECCOMP_RET_ALLOW);
	/* What does not match goes on behind the rule. */
	for (struct sock_filter *f = start; f < p->at; f++)
		if (BPF_CLASS(f->code) == BPF_JMP)
			f->jf = (uint8_t)(p->at - f - 1);
}

static unsigned short build(struct sock_filter *code)
{
	struct program p = { .at = code };

	load(&p, offsetof(struct seccomp_data, arch));
	emit(&p, BPF_JMP | BPF_JEQ | BPF_K, JAIL_ARCH, 1, 0);
	answer(&p, KILL);
	load(&p, offsetof(struct seccomp_data, nr));
	/* x32 calls come with the architecture of x86_64; elsewhere no number is that high. */
	emit(&p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	answer(&p, KILL);
	for (size_t i = 0; i < LENGTH(plain_calls); i++)
		emit_call(&p, plain_calls[i], SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < LENGTH(absent_calls); i++)
		emit_call(&p, absent_calls[i], SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = 0; i < LENGTH(rules); i++)
		emit_rule(&p, &rules[i]);
	answer(&p, KILL);
	return (unsigned short)(p.at - code);
}

int jail_seccomp(void)
{
	struct sock_filter code[ROOM];
	struct sock_fprog program = { .filter = code, .len = build(code) };

	/* No foreign code runs in here that speculation barriers, which slow all down, would stop. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	            &program) == 0)
		return 0;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
