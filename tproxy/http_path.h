/* SPDX-License-Identifier: MIT */
/* What a path may mean to a server besides itself. */
#ifndef SLUICE_TPROXY_HTTP_PATH_H
#define SLUICE_TPROXY_HTTP_PATH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Do all servers read a path (without query) alike? Not with empty or dot segments, nor where
 * something is percent-encoded that a server may take for a letter, a separator, or a '%'.
 */
bool http_path_is_plain(const char *path, size_t len);

#endif
