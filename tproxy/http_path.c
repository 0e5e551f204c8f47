/* SPDX-License-Identifier: MIT */
/* What a path may mean to a server besides itself. */
#include "tproxy/http_path.h"

#include <string.h>

static unsigned digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Does a server decode this and find something else than what was compared? */
static bool is_disguised(unsigned c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c && strchr("-._~/\\%;?", (int)c));
}

bool http_path_is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		size_t left = len - i - 1, dots = 0;

		if (s[i] == '%' && (left < 2 || is_disguised(digit(s[i + 1]) << 4 | digit(s[i + 2]))))
			return false;
		if (s[i] != '/' || !left)
			continue;
		while (dots < left && dots < 3 && s[i + 1 + dots] == '.')
			dots++;
		/* Some servers take what follows ';' out of a segment. */
		if (dots < 3 && (dots == left || s[i + 1 + dots] == '/' || s[i + 1 + dots] == ';'))
			return false;
	}
	return true;
}
