/* SPDX-License-Identifier: MIT */
/* The socket over which the proxy sends its orders (rules/capture.h). */
#ifndef SLUICE_INIT_ORDERS_H
#define SLUICE_INIT_ORDERS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rules/capture.h"
#include "rules/policy.h"

/* Clients at once: each worker of the proxy is one; orders that are read in a second: what comes beyond waits in the sockets. */
enum { ORDERS_CLIENTS = 18, ORDERS_RATE = 100, ORDERS_FDS = ORDERS_CLIENTS + 1 };

struct orders {
	const char *dir;
	uid_t uid;                    /* besides root */
	int listener, client[ORDERS_CLIENTS];
	uint32_t left;                /* of this second's orders */
	uint64_t second;
	uint64_t refused;
};

/* Makes DIR/hold.sock, for uid alone. 0, or -1 with errno and *step. */
int orders_open(struct orders *o, const char *dir, uid_t uid, const char **step);
void orders_close(struct orders *o);

/* What to poll: ORDERS_FDS entries; those that need no attention have fd -1. */
void orders_poll(struct orders *o, struct pollfd *p, uint64_t now);
/*
 * Takes in new clients and reads. One that sends what is no order is let go. Every order is handed
 * to `take`, which says whether it was followed.
 */
void orders_read(struct orders *o, const struct pollfd *p,
	bool (*take)(void *ctx, const struct capture_order *order), void *ctx);

/*
 * Whether this policy could have meant the order, else what is wrong with it. Then *service is its
 * service, and *seconds within what is sensible: 60 s to a day.
 */
const char *orders_judge(const struct policy *p, const struct capture_order *order,
	struct policy_service *service, uint32_t *seconds);

#endif
