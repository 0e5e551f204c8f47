/* SPDX-License-Identifier: MIT */
/*
 * Tables of fixed size: memory is reserved once, pages are touched as entries are first used,
 * entries are named by index.
 */
#ifndef SLUICE_TPROXY_SLAB_H
#define SLUICE_TPROXY_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_NONE UINT32_MAX

struct slab {
	uint8_t *base;
	size_t size;   /* bytes of an entry; its first four link free entries */
	uint32_t cap;
	uint32_t used; /* entries out */
	uint32_t high; /* entries ever out: above it nothing was touched */
	uint32_t free; /* head of the free list */
};

int slab_init(struct slab *s, size_t size, uint32_t cap); /* 0, or -1 with errno */
void slab_fini(struct slab *s);
/*
 * An entry's index, or SLAB_NONE when all are out. Entries keep their old content but for the first
 * four bytes; new ones are zero.
 */
uint32_t slab_take(struct slab *s);
void slab_give(struct slab *s, uint32_t i);
/* With nothing out: gives the memory back to the kernel. */
void slab_trim(struct slab *s);

static inline void *slab_at(const struct slab *s, uint32_t i)
{
	return s->base + (size_t)i * s->size;
}

static inline uint32_t slab_index(const struct slab *s, const void *entry)
{
	return (uint32_t)((size_t)((const uint8_t *)entry - s->base) / s->size);
}

static inline bool slab_owns(const struct slab *s, const void *p)
{
	return (uintptr_t)p - (uintptr_t)s->base < (uintptr_t)s->size * s->cap;
}

#endif
