/* SPDX-License-Identifier: MIT */
/* Chunked bodies: decoded strictly (RFC 9112 7.1), framed anew. */
#include <string.h>

#include "tproxy/http_body.h"
#include "tproxy/http_error.h"
#include "tproxy/token.h"

/* Where in the trailer section. */
enum {
	NOT_IN_TRAILER = 0,
	LINE_START,
	NAME,
	VALUE,
	LINE_END,    /* after a field line's CR */
	SECTION_END, /* after the empty line's CR */
};

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct http_chunked *c = parser->data;

	memcpy(c->out + c->used, at, len);
	c->used += len;
	return 0;
}

/* Behind the last chunk the parser's work ends: it looks for a meaning in trailer fields, and here
 * they have none. */
static int on_chunk_header(llhttp_t *parser)
{
	struct http_chunked *c = parser->data;

	if (parser->content_length > UINT32_MAX)
		return HPE_USER;
	if (parser->content_length > 0)
		return 0;
	c->trailer = LINE_START;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
};

void http_chunked_init(struct http_chunked *c, bool response)
{
	static const char request_head[] = "PUT / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n";
	static const char response_head[] = "HTTP/1.1 200\r\ntransfer-encoding:chunked\r\n\r\n";

	memset(c, 0, sizeof(*c));
	llhttp_init(&c->parser, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
	if (response)
		llhttp_execute(&c->parser, response_head, sizeof(response_head) - 1);
	else
		llhttp_execute(&c->parser, request_head, sizeof(request_head) - 1);
}

/* One byte of the trailer section. 0, or -1: it may not stand there. */
static int trailer_step(struct http_chunked *c, char byte)
{
	bool control = (uint8_t)byte < 0x20 || byte == 0x7f;

	switch (c->trailer) {
	case LINE_START:
		c->trailer = byte == '\r' ? SECTION_END : NAME;
		return byte == '\r' || token_byte(byte) ? 0 : -1;
	case NAME:
		if (byte == ':')
			c->trailer = VALUE;
		return byte == ':' || token_byte(byte) ? 0 : -1;
	case VALUE:
		if (byte == '\r')
			c->trailer = LINE_END;
		return byte == '\r' || byte == '\t' || !control ? 0 : -1;
	case LINE_END:
		c->trailer = LINE_START;
		return byte == '\n' ? 0 : -1;
	default:
		c->done = byte == '\n';
		return c->done ? 0 : -1;
	}
}

/* Decodes to c->out. Returns bytes consumed or HTTP_CHUNK. */
static long decode(struct http_chunked *c, const char *in, size_t len)
{
	size_t at = len, before;

	if (c->trailer == NOT_IN_TRAILER) {
		llhttp_errno_t error = llhttp_execute(&c->parser, in, len);

		if (error == HPE_PAUSED)
			at = (size_t)(llhttp_get_error_pos(&c->parser) - in);
		else if (error != HPE_OK)
			return HTTP_CHUNK;
	} else {
		at = 0;
	}
	before = c->used > 0 ? at : 0;
	while (c->trailer != NOT_IN_TRAILER && !c->done && at < len)
		if (trailer_step(c, in[at++]) != 0)
			return HTTP_CHUNK;
	/* Extensions and trailers without end are not data. */
	c->idle = (uint32_t)(c->used > 0 ? at - before : c->idle + at);
	return c->idle > CONFIG_HTTP_HEAD_MAX ? HTTP_CHUNK : (long)at;
}

static unsigned hex_digits(size_t n)
{
	unsigned digits = 1;

	while (n >>= 4)
		digits++;
	return digits;
}

size_t http_chunk_header(size_t data_len, char *out)
{
	unsigned digits = hex_digits(data_len);

	for (unsigned i = digits; i > 0; data_len >>= 4)
		out[--i] = "0123456789abcdef"[data_len & 15];
	memcpy(out + digits, "\r\n", 2);
	return digits + 2;
}

long http_chunked_feed(struct http_chunked *c, const char *in, size_t len, bool reframe,
                       char *out, size_t room, size_t *out_len)
{
	size_t fit = room > HTTP_CHUNK_SLACK ? room - HTTP_CHUNK_SLACK : 0;
	size_t header, n = 0;
	long used;

	*out_len = 0;
	if (len > fit)
		len = fit;
	if (c->done || len == 0)
		return 0;
	/* All data of one call becomes one chunk, behind room for the longest header that it can have. */
	header = reframe ? hex_digits(len) + 2 : 0;
	c->parser.data = c;
	c->out = out + header;
	c->used = 0;
	used = decode(c, in, len);
	if (used < 0)
		return used;
	n = c->used;
	if (reframe && n > 0) {
		size_t exact = http_chunk_header(n, out);

		if (exact < header)
			memmove(out + exact, out + header, n);
		n += exact;
		memcpy(out + n, "\r\n", 2);
		n += 2;
	}
	if (reframe && c->done) {
		memcpy(out + n, "0\r\n\r\n", 5);
		n += 5;
	}
	*out_len = n;
	return used;
}
