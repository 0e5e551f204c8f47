/* SPDX-License-Identifier: MIT */
/*
 * What is judged: the proxy's own readers, without the proxy. A question is a letter and the
 * client's bytes: 'T' for a connection's first bytes, 'H' and a port in two bytes for requests. The
 * answer is a line, and behind it, for a request, what would be forwarded.
 */
/* LINK: tproxy/http.c tproxy/http_head.c tproxy/http_request.c tproxy/http_body.c */
/* LINK: tproxy/clock.c tproxy/sniff_tls.c tproxy/sniff_http.c rules/name.c rules/addr.c */
#include "tests/differential/frame.h"
#include "tproxy/http.h"
#include "tproxy/sniff.h"

/* "forward NAME", "refuse CODE", "more" or "other". */
static void answer_tls(struct answer *a, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct tls_hello h;
	enum sniff_kind kind;
	long n;

	if (!copy)
		frame_die("no memory");
	memcpy(copy, bytes, len);
	kind = sniff_kind(copy, len);
	n = sniff_tls(copy, len, &h);
	if (kind != SNIFF_TLS)
		answer_text(a, kind == SNIFF_MORE ? "more\n" : "other\n");
	else if (n > 0)
		answer_text(a, "forward %s\n", h.name_len ? h.name : "-");
	else if (n == 0)
		answer_text(a, "more\n");
	else
		answer_text(a, "refuse %s\n", tls_error_code((int)n));
	free(copy);
}

/* The body as it would go upstream. Bytes of it that were used; -1: there is more; HTTP_CHUNK. */
static long body_write(struct answer *a, const struct http_request *r, const char *bytes,
                       size_t len)
{
	static char out[FRAME_MAX];
	struct http_chunked c;
	size_t n;
	long used;

	if (r->framing == HTTP_BODY_NONE)
		return 0;
	if (r->framing == HTTP_BODY_LENGTH) {
		if (r->length > len)
			return -1;
		answer_put(a, bytes, (size_t)r->length);
		return (long)r->length;
	}
	http_chunked_init(&c, false);
	used = http_chunked_feed(&c, bytes, len, true, out, sizeof(out), &n);
	if (used < 0)
		return HTTP_CHUNK;
	answer_put(a, out, n);
	return c.done ? used : -1;
}

/* "forward HOST USED", "refuse CODE" or "more". */
static void answer_http(struct answer *a, const char *bytes, size_t len, uint16_t port)
{
	static struct answer forwarded;
	static char head[FRAME_MAX];
	struct http_request r;
	size_t scanned = 0, written;
	long n = http_head_length(bytes, len, &scanned), body;
	char text[ADDR_TEXT];
	int error = n < 0 ? (int)n : n > 0 ? http_request_parse(bytes, (size_t)n, port, &r) : 0;

	if (n == 0) {
		answer_text(a, "more\n");
		return;
	}
	if (error) {
		answer_text(a, "refuse %s\n", http_error_code(error));
		return;
	}
	forwarded.len = 0;
	written = http_request_write(bytes, &r, port, false, NULL, head, sizeof(head));
	if (!written)
		frame_die("no room for a head");
	answer_put(&forwarded, head, written);
	body = body_write(&forwarded, &r, bytes + n, len - (size_t)n);
	if (body < 0) {
		answer_text(a, body == -1 ? "more\n" : "refuse %s\n", http_error_code((int)body));
		return;
	}
	answer_text(a, "forward %s %zu\n",
	            r.host_is_addr ? addr_format(&r.host_addr, text) : r.host, (size_t)(n + body));
	answer_put(a, forwarded.bytes, forwarded.len);
}

int main(void)
{
	static struct answer a;
	uint8_t *bytes;
	size_t len;

	while ((bytes = frame_read(&len)) != NULL) {
		a.len = 0;
		if (len >= 1 && bytes[0] == 'T')
			answer_tls(&a, bytes + 1, len - 1);
		else if (len >= 3 && bytes[0] == 'H')
			answer_http(&a, (const char *)bytes + 3, len - 3,
			            (uint16_t)(bytes[1] << 8 | bytes[2]));
		else
			frame_die("neither T nor H");
		answer_send(&a);
		free(bytes);
	}
	return 0;
}
