/* SPDX-License-Identifier: MIT */
/*
 * A network of namespaces, nobody else's, that ends with the process: `node`, where rules can be
 * tried, `peer`, which is all that lies beyond, and perhaps `client`, for which the node is the
 * router. The addresses are those for documentation.
 */
#ifndef SLUICE_INIT_SCRATCH_H
#define SLUICE_INIT_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/addr.h"

#define SCRATCH_LINK "sluice0"

struct scratch {
	int node, peer, client; /* descriptors of the namespaces; client: -1 */
	int node_index;        /* of SCRATCH_LINK in the node */
	bool v6;
};
extern const uint8_t scratch_mac_node[6], scratch_mac_peer[6];
/* Text of the node's, the peer's, a far one behind the peer, and the client's: IPv4, IPv6. */
extern const char *const scratch_own[2], *const scratch_near[2], *const scratch_far[2];
extern const char *const scratch_client[2];
#define SCRATCH_LINK_LOCAL "fe80::2" /* the peer's; nobody has it, but frames to it go out */

/*
 * Makes it, and leaves the process in `node`. 0, or a sysexits code after a message: EX_NOPERM
 * without CAP_SYS_ADMIN, EX_UNAVAILABLE when the kernel lacks namespaces or veth.
 */
int scratch_open(struct scratch *s);
/*
 * Adds a client, at an interface of that name of the node, which forwards from now on. The process
 * is in `node` again. The same.
 */
int scratch_add_client(struct scratch *s, const char *interface);
/* Sockets belong to the namespace that the process is in when it makes them. 0, or -1 with errno. */
int scratch_enter(int space);

#endif
