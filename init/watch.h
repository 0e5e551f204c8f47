/* SPDX-License-Identifier: MIT */
/* What others do to tables, interfaces and routing, as the kernel tells it. */
#ifndef SLUICE_INIT_WATCH_H
#define SLUICE_INIT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
	int filter, route;               /* descriptors, to poll */
	uint32_t own_filter, own_route;  /* netlink ports whose doings are our own */
	bool touched;                    /* the transaction that is being told has to do with us */
};

/* What to look at again, and for the tables whose doing it was. */
struct watch_news {
	bool tables, chains, links, routes; /* ours; others' base chains; ... */
	bool lost;                          /* some of it was never told */
	int pid;                            /* 0: unknown */
	char name[16];
};

/* Listens from now on. 0, or -1 with errno. */
int watch_open(struct watch *w, uint32_t own_filter, uint32_t own_route);
/* Adds all that there is to hear by now, without waiting. */
void watch_read(struct watch *w, struct watch_news *n);

#endif
