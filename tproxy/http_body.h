/* SPDX-License-Identifier: MIT */
/* Chunked bodies: decoded strictly, framed anew. */
#ifndef SLUICE_TPROXY_HTTP_BODY_H
#define SLUICE_TPROXY_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

struct http_chunked {
	llhttp_t parser;
	char *out;       /* during a feed: where data goes */
	size_t used;     /* bytes of it */
	uint32_t idle;   /* bytes since the last data: extensions and trailers */
	uint8_t trailer; /* state within the trailer section, 0 before it */
	bool done;
};

#define HTTP_CHUNK_SLACK 64 /* out needs room for the input plus this */

void http_chunked_init(struct http_chunked *c, bool response);
/*
 * Decodes in[len] and writes the data to out: as one chunk of our own when reframe (and the
 * last-chunk at the end), bare otherwise. Extensions and trailers are dropped. Returns bytes
 * consumed, or enum http_error; *out_len: bytes written. Consumed is less than len only behind the
 * end (c->done) and when room is less than len + HTTP_CHUNK_SLACK.
 */
long http_chunked_feed(struct http_chunked *c, const char *in, size_t len, bool reframe,
                       char *out, size_t room, size_t *out_len);
/* Frames bytes as one chunk: writes the header to out (room >= 20); data and CRLF follow. Returns
 * the header's length. */
size_t http_chunk_header(size_t data_len, char *out);

#endif
