/* SPDX-License-Identifier: MIT */
/* Tables of fixed size. */
#include "tproxy/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int slab_init(struct slab *s, size_t size, uint32_t cap)
{
	memset(s, 0, sizeof(*s));
	if (size < sizeof(uint32_t) || (cap && size > SIZE_MAX / cap)) {
		errno = EINVAL;
		return -1;
	}
	s->size = size;
	s->cap = cap;
	s->free = SLAB_NONE;
	if (!cap)
		return 0;
	void *m = mmap(NULL, size * cap, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -1;
	/* Huge pages would make one entry cost 2 MiB. */
	madvise(m, size * cap, MADV_NOHUGEPAGE);
	s->base = m;
	return 0;
}

void slab_fini(struct slab *s)
{
	if (s->base)
		munmap(s->base, s->size * s->cap);
	memset(s, 0, sizeof(*s));
}

uint32_t slab_take(struct slab *s)
{
	uint32_t i = s->free;
	if (i != SLAB_NONE)
		memcpy(&s->free, slab_at(s, i), sizeof(s->free));
	else if (s->high < s->cap)
		i = s->high++;
	else
		return SLAB_NONE;
	s->used++;
	return i;
}

void slab_give(struct slab *s, uint32_t i)
{
	memcpy(slab_at(s, i), &s->free, sizeof(s->free));
	s->free = i;
	s->used--;
}

void slab_trim(struct slab *s)
{
	if (s->used || !s->high)
		return;
	if (madvise(s->base, s->size * s->high, MADV_DONTNEED) < 0)
		return;
	s->high = 0;
	s->free = SLAB_NONE;
}
