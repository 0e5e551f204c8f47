/* SPDX-License-Identifier: MIT */
/* Two bytes that say how to cut it, then any bytes as a chunked body. */
#include "tests/fuzz/fuzz.h"
#include "tproxy/http_body.c"

enum { ROOM = 1 << 20 };

struct body {
	char *bytes;
	size_t len, used;
	long error;
	bool done;
};

/* Decodes in pieces of step bytes. */
static void decode_all(struct body *b, const char *in, size_t len, size_t step, bool response,
                       bool reframe)
{
	struct http_chunked c;

	b->len = b->used = 0;
	b->error = 0;
	http_chunked_init(&c, response);
	while (b->used < len && !c.done && b->error == 0) {
		size_t part = len - b->used < step ? len - b->used : step, n;
		char *piece = fuzz_copy(in + b->used, part), *out = malloc(part + HTTP_CHUNK_SLACK);
		long used;

		must(out != NULL);
		used = http_chunked_feed(&c, piece, part, reframe, out, part + HTTP_CHUNK_SLACK, &n);
		must(used < 0 || (size_t)used == part || c.done);
		must(n <= ROOM - b->len);
		memcpy(b->bytes + b->len, out, n);
		b->len += n;
		b->error = used < 0 ? used : 0;
		b->used += used < 0 ? 0 : (size_t)used;
		free(out);
		free(piece);
	}
	b->done = c.done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char memory[4][ROOM];
	struct body whole = { .bytes = memory[0] }, cut = { .bytes = memory[1] };
	struct body framed = { .bytes = memory[2] }, again = { .bytes = memory[3] };
	const char *in = (const char *)data + 2;
	size_t step;

	if (len < 2 || len > 65536)
		return 0;
	len -= 2;
	step = (size_t)data[1] + 1;
	decode_all(&whole, in, len, len + 1, data[0] & 1, false);
	decode_all(&cut, in, len, step, !(data[0] & 1), false);
	/* How much may go by without data is counted by feeds. */
	if (len < CONFIG_HTTP_HEAD_MAX) {
		must(whole.error == cut.error && whole.done == cut.done);
		must(whole.error || (whole.used == cut.used && whole.len == cut.len));
	}
	must(memcmp(whole.bytes, cut.bytes, whole.len < cut.len ? whole.len : cut.len) == 0);
	decode_all(&framed, in, len, step, false, true);
	must(framed.done == cut.done && framed.error == cut.error);
	decode_all(&again, framed.bytes, framed.len, 7, true, false);
	must(again.error == 0 && again.done == framed.done && again.used == framed.len);
	must(again.len == cut.len && memcmp(again.bytes, cut.bytes, cut.len) == 0);
	return 0;
}
