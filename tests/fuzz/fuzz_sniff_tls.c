/* SPDX-License-Identifier: MIT */
/* Any bytes as a connection's first ones. */
/* LINK: tproxy/sniff_http.c rules/name.c */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tproxy/sniff_tls.c"

/* The same handshake bytes in records of another size say the same. */
static void recut(const uint8_t *data, size_t end, const struct tls_hello *want, size_t size)
{
	static uint8_t stream[CONFIG_TLS_HELLO_MAX], cut[6 * CONFIG_TLS_HELLO_MAX];
	size_t len = 0, n = 0;
	struct tls_hello h;

	for (size_t at = 0; at < end;) {
		size_t part = be16(data + at + 3);

		must(part <= sizeof(stream) - len);
		memcpy(stream + len, data + at + RECORD_HEADER, part);
		len += part;
		at += RECORD_HEADER + part;
	}
	for (size_t at = 0; at < len;) {
		size_t part = len - at < size ? len - at : size;
		const uint8_t header[RECORD_HEADER] = { 22, 3, 3, (uint8_t)(part >> 8), (uint8_t)part };

		memcpy(cut + n, header, sizeof(header));
		memcpy(cut + n + sizeof(header), stream + at, part);
		n += sizeof(header) + part;
		at += part;
	}
	must(sniff_tls(cut, n, &h) == (long)n);
	must(strcmp(h.name, want->name) == 0 && h.name_len == want->name_len);
	must(h.ech == want->ech && h.early_data == want->early_data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tls_hello h, again;
	enum sniff_kind kind = sniff_kind(data, len);
	long end = sniff_tls(data, len, &h);

	must(kind != SNIFF_MORE || len < 256);
	must(strlen(h.name) == h.name_len && (end > 0 || h.name_len == 0));
	must(end > -TLS_ERRORS && end <= (long)len);
	if (end >= 0 && len > 1)
		must(kind == SNIFF_TLS);
	/* A part is not accepted unless it holds the whole hello, and not refused for another reason. */
	for (size_t n = len / 2; n < len && n > len / 2 - 2; n--) {
		long half = sniff_tls(data, n, &again);

		if (half > 0)
			must(half == end || end == TLS_TRAILING);
		else
			must(half == 0 || half == end);
	}
	if (end <= 0)
		return 0;
	must(sniff_tls(data, (size_t)end - 1, &again) == 0);
	recut(data, (size_t)end, &h, 1);
	recut(data, (size_t)end, &h, 16384);
	return 0;
}
