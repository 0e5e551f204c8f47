/* SPDX-License-Identifier: MIT */
/*
 * Ways out that a process may try, as a table; what a policy says of each; and the trying.
 */
#ifndef SLUICE_INIT_PROBE_H
#define SLUICE_INIT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/ruleset.h"
#include "rules/addr.h"

#define PROBE_TAG "sluice-probe" /* in all that can carry it */

enum probe_kind {
	PROBE_TCP, PROBE_UDP,       /* detail: port */
	PROBE_PING,                 /* a ping socket */
	PROBE_IP,                   /* detail: protocol, over a raw socket */
	PROBE_SEGMENT,              /* detail: TCP flags, over a raw socket */
	PROBE_FRAGMENT,             /* detail: offset and flags, past conntrack's defragmentation */
	PROBE_FRAME,                /* detail: Ethernet type, over a packet socket */
	PROBE_XDP,                  /* an AF_XDP socket */
	PROBE_OLD,                  /* a TCP connection from before the rules; detail: which */
	PROBE_LOCAL,                /* the proxy's port; detail: by which address */
};

/* As whom and with what: bits. */
enum {
	PROBE_DEVICE = 1,           /* bound to the interface */
	PROBE_UID = 2, PROBE_GID = 4,  /* the proxy's */
	PROBE_CAPTURE = 8,          /* with the capture mark, which is no secret */
	PROBE_SECRET = 16,          /* with the proxy's mark */
	PROBE_GUESS = 32,           /* with one bit of it wrong */
	PROBE_FAST_OPEN = 64, PROBE_MPTCP = 128, PROBE_LINK_LOCAL = 256, PROBE_NO_QUEUE = 512,
	PROBE_IN_PLACE = 1024,      /* does no harm on a network that is in use */
	PROBE_CLIENT = 2048,        /* for the clients of a router, too */
	PROBE_PASSED = 4096,        /* with the mark of what the guard has passed */
	PROBE_WHERE = PROBE_IN_PLACE | PROBE_CLIENT,
};
struct probe { const char *name; uint8_t kind, families; uint16_t detail, as; };
extern const struct probe probes[];
extern const size_t probe_count;

/* The kinds of end; PROBE_CLOSED stands for any but the wire and the proxy. */
enum probe_result {
	PROBE_CLOSED, PROBE_REFUSED, /* silence; an error at once */
	PROBE_CAPTURED, PROBE_OUT, PROBE_UNTRIED,
};
const char *probe_result_name(enum probe_result r);

/* Who tries, and where. */
struct probe_place {
	uint32_t uid, gid;           /* of a process that the policy exempts nothing for */
	uint32_t proxy_uid, proxy_gid, secret;
	uint16_t port;               /* the proxy's */
	int index;                   /* of the interface; 0: none is bound to */
	bool egress_hook;
	const char *const *own, *const *far; /* by family: IPv4, IPv6 */
	int old[2][2];               /* by family: idle, active; -1: none */
};

/* What the rules make of the probe. */
enum probe_result probe_expect(const struct ruleset *r, const struct probe_place *place,
	const struct probe *p, int family);
/* A user or group (from `id` down) that none of the ranges holds. */
uint32_t probe_stranger(const struct policy *p, struct policy_run ranges, uint32_t id);

/*
 * Tries it. A descriptor to look at for how it went on, or -1 with *error: 0 if there is none, what
 * sending ended with, or, with *untried, why there was nothing to try.
 */
int probe_try(const struct probe_place *place, const struct probe *p, int family, int *error,
	bool *untried);
/* A socket of the proxy's own: its user and its mark. -1 with errno. */
int probe_proxy(const struct probe_place *place, int family, int type);

#endif
