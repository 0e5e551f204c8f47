/* SPDX-License-Identifier: MIT */
/*
 * What sluice-init and sluice-tproxy agree on: marks, the proxy's identity and the state directory.
 *
 * The kernel lets a packet of the proxy out only if its socket has the proxy's uid *and* carries
 * the secret mark. The mark is drawn at random by sluice-init, once per boot (or pod), and handed
 * over in STATE_DIR/mark: eight lower-case hex digits and a newline, mode 0400, owned by the
 * proxy's uid. Either half alone (an application run with that uid, or one that may use SO_MARK)
 * gets nowhere.
 */
#ifndef SLUICE_RULES_CAPTURE_H
#define SLUICE_RULES_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"

/*
 * Not secret: turns captured packets round through lo (method tproxy): `fwmark MARK lookup TABLE`,
 * `local default dev lo table TABLE`.
 */
#define CAPTURE_MARK          0x736c7563u /* "sluc" */
#define CAPTURE_ROUTE_TABLE   133         /* Istio's */
#define CAPTURE_RULE_PRIORITY 133

/* From the secret, whose two low bits are zero and which is never 0 or CAPTURE_MARK & ~3. */
#define CAPTURE_MARK_PROXY(secret) ((secret))     /* SO_MARK of the proxy's own sockets */
#define CAPTURE_MARK_PASS(secret)  ((secret) | 2) /* packets past the guard, for the egress hook */

#define CAPTURE_MARK_FILE "mark"

/*
 * capture.c. Reads DIR/mark. 0, or -1 with errno (EBADMSG: not eight hex digits, or a value that is
 * never drawn).
 */
int capture_mark_read(const char *dir, uint32_t *secret);
/* Writes DIR/mark atomically, mode 0400, owned by uid:gid. 0, or -1 with errno. */
int capture_mark_write(const char *dir, uint32_t secret, uint32_t uid, uint32_t gid);

/*
 * Orders: what the proxy asks of the process that holds the rules (sluice-init hold), one record
 * each over the SOCK_SEQPACKET socket DIR/hold.sock. Each is answered, in order, with one byte once
 * the kernel has it: 1 followed, 0 refused. The holder believes nothing: it looks in its own policy
 * whether it could have meant this.
 *
 *   0 magic "slo1"   4 kind   5 zero (3)   8 the policy's sequence (u64)   16 service (u32)
 *  20 port (u16)    22 zero (2)   24 address (IPv4-mapped)   40 seconds (u32)   44 zero (4)
 *
 * All numbers are little-endian.
 */
#define CAPTURE_ORDER_FILE "hold.sock"
enum { CAPTURE_ORDER_LEN = 48 };

enum capture_order_kind {
	CAPTURE_ORDER_NONE = 0,
	CAPTURE_ORDER_UDP, /* the service's UDP port may be reached at the address, for so long */
};
struct capture_order {
	enum capture_order_kind kind;
	uint64_t sequence;
	uint32_t service, seconds; /* the service's index in that policy */
	uint16_t port;
	struct addr addr;
};

/* capture_order.c */
void capture_order_encode(const struct capture_order *o, uint8_t out[static CAPTURE_ORDER_LEN]);
/* False: not such a record, byte for byte. */
bool capture_order_decode(struct capture_order *o, const uint8_t *bytes, size_t len);
/* Connects to DIR/hold.sock without waiting. A descriptor, or -1 with errno: nobody holds. */
int capture_order_connect(const char *dir);
/*
 * Sends without waiting. 0; or -1 with errno: EAGAIN drops this order, anything else means that
 * the holder is gone, and the descriptor is of no more use.
 */
int capture_order_send(int fd, const struct capture_order *o);
/* The process that holds the rules, or -1. */
int capture_holder(const char *dir);

#endif
