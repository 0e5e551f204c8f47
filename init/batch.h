/* SPDX-License-Identifier: MIT */
/* One transaction of nf_tables: its bytes, what each message is about, and the kernel's answers. */
#ifndef SLUICE_INIT_BATCH_H
#define SLUICE_INIT_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "init/nft.h"

/*
 * A message is at most BATCH_MESSAGE_MAX, so that much is kept free at the end; a message of set
 * elements ends before its u16 attribute length does.
 */
enum { BATCH_MESSAGE_MAX = 65536, BATCH_PARTS = 8192 };

enum part_kind { PART_BEGIN, PART_TABLE, PART_SET, PART_CHAIN, PART_RULE, PART_END };

/* What each message of the batch is about, by sequence number. */
struct part { uint8_t kind, family; uint16_t index; };

struct batch {
	const struct ruleset *r;
	const struct bytecode *code;
	uint32_t flags; /* of the tables that are made */
	const struct learned *learned;
	uint64_t now;
	char *start, *at, *end;
	uint32_t n;
	struct part part[BATCH_PARTS];
};

/* Room for the rules and every element of their sets. */
void batch_init(struct batch *b, const struct ruleset *r, const struct bytecode *code,
	size_t n_learned);
void batch_fini(struct batch *b);

/* Starts a message. NULL: the batch is full. */
struct nlmsghdr *batch_start(struct batch *b, struct part part, uint16_t type, uint16_t flags);
void batch_finish(struct batch *b, const struct nlmsghdr *nlh);

/* Sends it. 0, or as nft_apply(). */
int batch_commit(struct batch *b, struct netlink *nl);

/* What was acknowledged, and the first message that was refused. */
struct answer { uint32_t acks, failed; int err; };
void batch_take(const struct batch *b, const char *buf, size_t len, struct answer *a);
/* Says what the kernel refused. Returns a sysexits code, or as nft_apply(). */
int batch_complain(const struct batch *b, struct part part, int err);

#endif
