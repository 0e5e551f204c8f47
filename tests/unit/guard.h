/* SPDX-License-Identifier: MIT */
/* Memory that ends at a page which may not be touched: a single byte of over-read or overrun faults. */
#ifndef TESTS_UNIT_GUARD_H
#define TESTS_UNIT_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
	uint8_t *map;	/* pages that may be used, then one that may not */
	size_t room;	/* bytes that may be used */
};

/* Room for at least len bytes. Ends the program when there is none. */
static inline void guard_init(struct guard *guard, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	guard->room = (len / page + 1) * page;
	guard->map = mmap(NULL, guard->room + page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guard->map == MAP_FAILED || mprotect(guard->map + guard->room, page, PROT_NONE) != 0) {
		perror("guard_init");
		abort();
	}
}

static inline void guard_fini(struct guard *guard)
{
	munmap(guard->map, guard->room + (size_t)sysconf(_SC_PAGESIZE));
	guard->map = NULL;
	guard->room = 0;
}

/* The last len bytes before the forbidden page: len may be 0, then the pointer may not be read at all. */
static inline uint8_t *guard_place(struct guard *guard, size_t len)
{
	if (len > guard->room) {
		fprintf(stderr, "guard_place: %zu bytes into %zu\n", len, guard->room);
		abort();
	}
	return guard->map + guard->room - len;
}

/* A copy of data, flush against the forbidden page. Lasts until the next copy or guard_fini. */
static inline uint8_t *guard_copy(struct guard *guard, const void *data, size_t len)
{
	uint8_t *place = guard_place(guard, len);
	size_t before = guard->room - len;

	/* What a look at the bytes before the input would see is neither zero nor an older input. */
	if (before > 64)
		before = 64;
	memset(place - before, 0xa5, before);
	if (len > 0)
		memcpy(place, data, len);
	return place;
}

/* A copy of a string's characters, without the NUL: code that looks for one faults. */
static inline char *guard_text(struct guard *guard, const char *text)
{
	return (char *)guard_copy(guard, text, strlen(text));
}

#endif
