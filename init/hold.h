/* SPDX-License-Identifier: MIT */
/*
 * The rules in the hands of a process that stays: kept as they should be, whoever changes them.
 *
 * Where the kernel can (Linux 6.9), the tables belong to this process's netlink socket and nobody
 * else can change them; when the process ends they stay as they are, and the next one takes them
 * over. Elsewhere it only watches, and puts right what others did.
 */
#ifndef SLUICE_INIT_HOLD_H
#define SLUICE_INIT_HOLD_H

#include "init/learned.h"
#include "init/session.h"
#include "init/watch.h"
#include "rules/capture.h"

struct hold {
	const struct options *options;
	struct session *session;
	struct learned learned;
	struct watch watch;
	uint32_t flags;     /* NFT_HELD, or 0: only watching */
	bool locked;        /* tampering was answered by closing everything */
	bool again;         /* something could not be put right, and is to be tried again */
	uint64_t tampered;  /* times */
};

/* Installs or takes over the rules. 0, or a sysexits code after a message. */
int hold_begin(struct hold *h);
/* Looks at what the news are about, and puts it right. */
void hold_look(struct hold *h, const struct watch_news *n);
/*
 * Reads the policy again and applies it; if it is not valid, or there are no rules for it, all stays
 * as it was. True: it was taken up.
 */
bool hold_reload(struct hold *h);
/* Follows an order of the proxy's; false: refused, with a message. */
bool hold_order(struct hold *h, const struct capture_order *order);

#endif
