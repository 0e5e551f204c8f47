/* SPDX-License-Identifier: MIT */
/* A byte of flags, then any bytes as a response head. */
/* LINK: tproxy/http.c tproxy/http_head.c tproxy/clock.c rules/addr.c */
#include "tests/fuzz/fuzz.h"
#include "tproxy/http_response.c"

enum { TO_HEAD = 1, TO_WEBSOCKET = 2, OLD_CLIENT = 4, CLOSE = 8 };

static void check_again(const char *head, const struct http_response *r, uint8_t flags)
{
	static char out[2 * CONFIG_HTTP_HEAD_MAX + 512];
	enum http_framing framing;
	struct http_response again;
	uint8_t minor = !(flags & OLD_CLIENT);
	size_t n = http_response_write(head, r, minor, flags & CLOSE, &framing, out, sizeof(out));

	must(n > 0);
	must(framing != HTTP_BODY_CHUNKED || minor == 1);
	must((framing == HTTP_BODY_NONE) == (r->framing == HTTP_BODY_NONE));
	/* Framing and Connection of our own come on top. */
	if (n > CONFIG_HTTP_HEAD_MAX || r->n_fields > HTTP_FIELDS_MAX - 2)
		return;
	must(http_response_parse(out, n, flags & TO_HEAD, flags & TO_WEBSOCKET, &again) == HTTP_OK);
	must(again.status == r->status && again.framing == framing);
	must(again.websocket == r->websocket && again.length_known == r->length_known);
	must(!again.length_known || again.length == r->length);
	if (r->status >= 200 && (flags & CLOSE || framing == HTTP_BODY_CLOSE))
		must(!again.keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_response r;
	size_t scanned = 0;
	uint8_t flags;
	char *head;
	long n;
	int error;

	if (len == 0)
		return 0;
	flags = *data++;
	n = http_head_length((const char *)data, --len, &scanned);
	if (n > 0)
		len = (size_t)n;
	head = fuzz_copy(data, len);
	error = http_response_parse(head, len, flags & TO_HEAD, flags & TO_WEBSOCKET, &r);
	must(error > -HTTP_ERRORS && error <= 0);
	if (error == HTTP_OK) {
		must(n > 0 && r.status >= 100 && r.status <= 599);
		must(r.status != 101 || (r.websocket && flags & TO_WEBSOCKET));
		must(r.framing != HTTP_BODY_CLOSE || !r.keep_alive);
		check_again(head, &r, flags);
	}
	free(head);
	return 0;
}
