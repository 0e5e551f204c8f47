/* SPDX-License-Identifier: MIT */
/* Names that the stub answers by itself. */
#include "tproxy/stub_name.h"

#include <string.h>

enum stub_name stub_name(const char *name, size_t len)
{
	static const struct { const char *suffix; enum stub_name what; } rows[] = {
		{ "localhost", STUB_NAME_LOOPBACK },
		{ "in-addr.arpa", STUB_NAME_NONE },
		{ "ip6.arpa", STUB_NAME_NONE },
		{ "use-application-dns.net", STUB_NAME_NONE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].suffix);
		if (len < n || memcmp(name + len - n, rows[i].suffix, n) != 0)
			continue;
		if (len == n || name[len - n - 1] == '.')
			return rows[i].what;
	}
	return STUB_NAME_ORDINARY;
}
