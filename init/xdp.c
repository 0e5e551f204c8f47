/* SPDX-License-Identifier: MIT */
/* Sockets of family AF_XDP, whose frames pass every hook (CONFIG_XDP_SOCKETS). */
#include "init/xdp.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_xdp.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
enum { ENTRIES = 2, CHUNK = 2048 };

bool xdp_is_there(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static bool set(int fd, int option, const void *value, socklen_t len)
{
	return setsockopt(fd, SOL_XDP, option, value, len) == 0;
}

/* A socket takes frames from memory that is shared with the kernel, and all of its rings. */
static bool prepare(int fd, int index, const void *memory, size_t size)
{
	const struct xdp_umem_reg umem = {
		.addr = (uintptr_t)memory, .len = size, .chunk_size = CHUNK,
	};
	const struct sockaddr_xdp at = {
		.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY, .sxdp_ifindex = (uint32_t)index,
	};
	const int n = ENTRIES;

	return set(fd, XDP_UMEM_REG, &umem, sizeof(umem)) &&
		set(fd, XDP_UMEM_FILL_RING, &n, sizeof(n)) &&
		set(fd, XDP_UMEM_COMPLETION_RING, &n, sizeof(n)) &&
		set(fd, XDP_TX_RING, &n, sizeof(n)) &&
		bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0;
}

/* Puts the first chunk into the ring, and wakes the kernel. Before Linux 5.4 rings look different. */
static bool transmit(int fd, size_t len)
{
	struct xdp_mmap_offsets off;
	socklen_t off_len = sizeof(off);
	struct xdp_desc *desc;
	size_t size;
	char *ring;
	bool sent;

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &off_len) != 0)
		return false;
	if (off_len != sizeof(off)) {
		errno = EOPNOTSUPP;
		return false;
	}
	size = off.tx.desc + ENTRIES * sizeof(*desc);
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, XDP_PGOFF_TX_RING);
	if (ring == MAP_FAILED)
		return false;
	desc = (struct xdp_desc *)(void *)(ring + off.tx.desc);
	*desc = (struct xdp_desc){.len = (uint32_t)len};
	__atomic_store_n((uint32_t *)(void *)(ring + off.tx.producer), 1, __ATOMIC_RELEASE);
	sent = sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0;
	(void)munmap(ring, size);
	return sent;
}

int xdp_send(int fd, int index, const void *frame, size_t len)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool sent;
	int error;

	if (memory == MAP_FAILED)
		return -1;
	memcpy(memory, frame, len < CHUNK ? len : CHUNK);
	sent = prepare(fd, index, memory, size) && transmit(fd, len < CHUNK ? len : CHUNK);
	error = errno;
	(void)munmap(memory, size);
	errno = error;
	return sent ? 0 : -1;
}
