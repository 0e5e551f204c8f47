/* SPDX-License-Identifier: MIT */
/* All host patterns of a policy's services in one table, for what takes too long pair by pair. */
#ifndef SLUICE_RULES_HOSTS_H
#define SLUICE_RULES_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/source.h"

struct hosts_entry {
	const struct model_host *host;
	uint32_t service;
	uint32_t next; /* index plus 1 of the next entry with the same key; 0: none */
};
struct hosts_slot { uint32_t first, last; }; /* indices plus 1 of the entries with one key; 0: empty */

/* Entries by service and as written, and an open-addressed table of their keys. */
struct hosts {
	struct hosts_entry *v;
	struct hosts_slot *slots;
	size_t n, mask;
};

/* Indexes the services for which use[service] is set. */
void hosts_open(struct hosts *h, const struct model *m, const bool *use);
void hosts_close(struct hosts *h);

/* Findings: a host twice in a service; a host with the same port in two services. */
void hosts_check(const struct hosts *h, struct source *s);

/*
 * Calls each() for the entries whose pattern covers the key, the most specific first, then for those that it covers, until
 * each() returns true; says whether one did.
 */
bool hosts_find(const struct hosts *h, const struct model_host *key, bool (*each)(const struct hosts_entry *e, void *user), void *user);

/* Whether every name that b stands for matches the pattern a. */
bool hosts_cover(const struct model_host *a, const struct model_host *b);
bool hosts_same(const struct model_host *a, const struct model_host *b);
bool hosts_overlap(const struct model_host *a, const struct model_host *b);
/* As written: "*.example.com" for ".example.com". Returns out. */
#define HOSTS_TEXT 256
char *hosts_text(const struct model_host *h, char out[static HOSTS_TEXT]);

#endif
