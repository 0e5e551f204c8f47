/* SPDX-License-Identifier: MIT */
/* The pages of the admin interface. */
#ifndef SLUICE_TPROXY_ENDPOINT_H
#define SLUICE_TPROXY_ENDPOINT_H

#include "tproxy/admin.h"

/* ctx is the struct control. For struct admin_config. */
void endpoint_answer(void *ctx, const struct admin_request *q, struct admin_answer *a);
/* Whether a page wants POST, since asking for it does something. */
bool endpoint_is_order(const char *path);

#endif
