/* SPDX-License-Identifier: MIT */
/*
 * The admin interface: HTTP/1 on a Unix socket, for root and the proxy's own user. A client has one
 * request, ADMIN_DEADLINE_MS for all of it, and ADMIN_REQUEST_MAX bytes to say it in. Nothing
 * blocks: the control thread calls admin_run() when admin_fd() is readable.
 */
#ifndef SLUICE_TPROXY_ADMIN_H
#define SLUICE_TPROXY_ADMIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tproxy/page.h"

#define ADMIN_CLIENTS     8
#define ADMIN_REQUEST_MAX 4096
#define ADMIN_DEADLINE_MS 2000
#define ADMIN_PATH_SIZE   128

struct admin_request {
	bool post;                  /* else GET or HEAD */
	char path[ADMIN_PATH_SIZE]; /* without the query */
};

struct admin_answer {
	int status;                 /* 200 when answer() does not change it */
	const char *type;           /* content-type; text/plain likewise */
	const char *allow;          /* with status 405 */
	struct page body;
};

struct admin_config {
	const char *path;
	uid_t uid;                  /* the proxy's: owns the socket, and is served besides root */
	gid_t gid;
	void (*answer)(void *ctx, const struct admin_request *q, struct admin_answer *a);
	void *ctx;
};

struct admin;

/*
 * Binds the socket, mode 0600. A socket in the way is removed if nobody answers there, else
 * EADDRINUSE; anything else in the way is EEXIST. NULL with errno and *step.
 */
struct admin *admin_open(const struct admin_config *c, const char **step);
void admin_close(struct admin *a);
int admin_fd(const struct admin *a);
/* Milliseconds until admin_run() wants to be called, or -1. */
int admin_timeout(const struct admin *a, int64_t now_ms);
void admin_run(struct admin *a, int64_t now_ms);

#endif
