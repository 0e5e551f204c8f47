/* SPDX-License-Identifier: MIT */
/* The memory that c-ares may use. */
#include "tproxy/dns_heap.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <ares.h>

/* c-ares wants 128 KiB for each socket that it reads from, and touches only the first pages. */
#define BUFFER_SIZE (160 * 1024)
#define BUFFER_COST 4096

static atomic_size_t used, limit;
static atomic_uint refusals;

static size_t charge(size_t size)
{
	return size > BUFFER_COST && size <= BUFFER_SIZE ? BUFFER_COST : size;
}

static size_t charge_of(void *p)
{
	return p ? charge(malloc_usable_size(p)) : 0;
}

static void *heap_resize(void *old, size_t size)
{
	size_t before = charge_of(old);
	bool fits = atomic_load(&used) - before + charge(size) <= atomic_load(&limit);
	void *p = fits ? realloc(old, size) : NULL;

	if (p)
		atomic_fetch_add(&used, charge_of(p) - before);
	else
		atomic_fetch_add(&refusals, 1);
	return p;
}

static void *heap_take(size_t size)
{
	return heap_resize(NULL, size ? size : 1);
}

static void heap_give(void *p)
{
	atomic_fetch_sub(&used, charge_of(p));
	free(p);
}

int dns_heap_open(void)
{
	if (ares_library_init_mem(ARES_LIB_INIT_ALL, heap_take, heap_give, heap_resize) != 0)
		return -1;
	atomic_fetch_add(&limit, DNS_HEAP_MAX);
	return 0;
}

void dns_heap_close(void)
{
	atomic_fetch_sub(&limit, DNS_HEAP_MAX);
	ares_library_cleanup();
}

size_t dns_heap_used(void)
{
	return atomic_load(&used);
}

bool dns_heap_tight(void)
{
	return atomic_load(&used) > atomic_load(&limit) / (DNS_HEAP_MAX / DNS_HEAP_TIGHT);
}

unsigned dns_heap_refusals(void)
{
	return atomic_load(&refusals);
}
