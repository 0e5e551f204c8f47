/* SPDX-License-Identifier: MIT */
/*
 * The memory that c-ares uses: one account for the process, since c-ares has one allocator for it.
 *
 * c-ares 1.34 does not survive every failed allocation: an answer for which there is no memory
 * leaves its query behind, with a pointer to a connection that is freed. So lookups are refused
 * while there is still memory for those under way, and after a refused allocation all queries are
 * cancelled before anything else is done.
 */
#ifndef SLUICE_TPROXY_DNS_HEAP_H
#define SLUICE_TPROXY_DNS_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* For each resolver: what is enough to begin nothing new, and what is never exceeded. */
#define DNS_HEAP_TIGHT (1024 * 1024)
#define DNS_HEAP_MAX   (4 * 1024 * 1024)

/* Starts c-ares, or adds one more resolver's share. 0, or -1. Not thread-safe, as c-ares is not. */
int dns_heap_open(void);
void dns_heap_close(void);

size_t dns_heap_used(void);
bool dns_heap_tight(void);
/* How many allocations have failed so far. */
unsigned dns_heap_refusals(void);

#endif
