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

#include <stdint.h>

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

#endif
