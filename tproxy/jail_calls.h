/* SPDX-License-Identifier: MIT */
/* System calls that some architectures lack, as -1 there, and which architecture this is. */
#ifndef SLUICE_TPROXY_JAIL_CALLS_H
#define SLUICE_TPROXY_JAIL_CALLS_H

#include <linux/audit.h>
#include <sys/syscall.h>

#if defined(__x86_64__) && !defined(__ILP32__)
#define JAIL_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define JAIL_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARM_EABI__)
#define JAIL_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define JAIL_ARCH AUDIT_ARCH_RISCV64
#else
#error "the system calls of this architecture are not known"
#endif

#ifndef SYS_epoll_wait
#define SYS_epoll_wait -1
#endif
#ifndef SYS_poll
#define SYS_poll -1
#endif
#ifndef SYS_open
#define SYS_open -1
#endif
#ifndef SYS_mmap
#define SYS_mmap -1
#endif
#ifndef SYS_mmap2
#define SYS_mmap2 -1
#endif
#ifndef SYS_fstat
#define SYS_fstat -1
#endif
#ifndef SYS_fstat64
#define SYS_fstat64 -1
#endif
#ifndef SYS_newfstatat
#define SYS_newfstatat -1
#endif
#ifndef SYS_fstatat64
#define SYS_fstatat64 -1
#endif
#ifndef SYS_statx
#define SYS_statx -1
#endif
#ifndef SYS_fcntl
#define SYS_fcntl -1
#endif
#ifndef SYS_fcntl64
#define SYS_fcntl64 -1
#endif
#ifndef SYS_lseek
#define SYS_lseek -1
#endif
#ifndef SYS__llseek
#define SYS__llseek -1
#endif
#ifndef SYS_ftruncate
#define SYS_ftruncate -1
#endif
#ifndef SYS_ftruncate64
#define SYS_ftruncate64 -1
#endif
#ifndef SYS_sigreturn
#define SYS_sigreturn -1
#endif
#ifndef SYS_clock_gettime
#define SYS_clock_gettime -1
#endif
#ifndef SYS_clock_gettime32
#define SYS_clock_gettime32 -1
#endif
#ifndef SYS_clock_gettime64
#define SYS_clock_gettime64 -1
#endif
#ifndef SYS_futex
#define SYS_futex -1
#endif
#ifndef SYS_futex_time64
#define SYS_futex_time64 -1
#endif
#ifndef SYS_ppoll
#define SYS_ppoll -1
#endif
#ifndef SYS_ppoll_time64
#define SYS_ppoll_time64 -1
#endif
#ifndef SYS_rseq
#define SYS_rseq -1
#endif
#ifndef SYS_clone3
#define SYS_clone3 -1
#endif

#endif
