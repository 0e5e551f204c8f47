/* SPDX-License-Identifier: MIT */
/* What reading and writing requests and responses have in common. For http_*.c, and hop.c. */
#ifndef SLUICE_TPROXY_HTTP_HEAD_H
#define SLUICE_TPROXY_HTTP_HEAD_H

#include "tproxy/http.h"

/* Fields with a meaning to a proxy. */
enum http_known {
	HTTP_KNOWN_NONE = 0,
	HTTP_KNOWN_TE,
	HTTP_KNOWN_HOST,
	HTTP_KNOWN_COOKIE,
	HTTP_KNOWN_EXPECT,
	HTTP_KNOWN_TRAILER,
	HTTP_KNOWN_UPGRADE,
	HTTP_KNOWN_CONNECTION,
	HTTP_KNOWN_KEEP_ALIVE,
	HTTP_KNOWN_USER_AGENT,
	HTTP_KNOWN_X_REQUEST_ID,
	HTTP_KNOWN_AUTHORIZATION,
	HTTP_KNOWN_CONTENT_LENGTH,
	HTTP_KNOWN_HTTP2_SETTINGS,
	HTTP_KNOWN_X_FORWARDED_FOR,
	HTTP_KNOWN_PROXY_CONNECTION,
	HTTP_KNOWN_SEC_WEBSOCKET_KEY,
	HTTP_KNOWN_TRANSFER_ENCODING,
	HTTP_KNOWN_PROXY_AUTHENTICATE,
	HTTP_KNOWN_PROXY_AUTHORIZATION,
	HTTP_KNOWN,
};

/* One head, taken apart. */
struct http_head {
	const char *text;
	llhttp_t parser;
	struct http_slice method, target, version, reason;
	struct http_field *fields; /* HTTP_FIELDS_MAX */
	uint8_t n_fields;
	uint8_t minor;
	bool field_open;           /* the last field's name may go on */
	int error;

	/* From here on: what http_head_read_fields() found. */
	uint8_t known[HTTP_FIELDS_MAX]; /* enum http_known of each field */
	uint8_t at[HTTP_KNOWN];         /* index of the first such field, where seen */
	uint32_t seen, twice;           /* bits by enum http_known */
	uint64_t dropped;               /* fields that are not passed on, by index */
	bool close, keep_alive, upgrade; /* Connection options */
};

/*
 * Checks line ends, runs llhttp over one complete head and checks the start line's form. 0 or enum
 * http_error; on an error what was found until then is there. fields: HTTP_FIELDS_MAX of them.
 */
int http_head_read(struct http_head *h, const char *text, size_t len, llhttp_type_t type,
                   struct http_field *fields);
/* What is known, what Connection says, what is dropped. 0 or enum http_error. */
int http_head_read_fields(struct http_head *h);
/*
 * Content-Length and Transfer-Encoding: HTTP_BODY_LENGTH with *length, HTTP_BODY_CHUNKED, or
 * HTTP_BODY_NONE when there is neither. 0 or enum http_error.
 */
int http_head_read_framing(const struct http_head *h, enum http_framing *framing,
                           uint64_t *length);
/* Is there exactly one Upgrade field, with just "websocket" in it, and "upgrade" in Connection? */
bool http_head_websocket(const struct http_head *h);

static inline bool http_head_has(const struct http_head *h, enum http_known known)
{
	return h->seen >> known & 1;
}

/* Value of the first such field; empty when there is none. */
struct http_slice http_head_value(const struct http_head *h, enum http_known known);
/* Is s[len] lower but for case? lower: lower-case letters, digits and '-'; s: no control bytes. */
bool http_equal(const char *s, size_t len, const char *lower);
/* A letter in lower case, a digit, or '-' for whatever else. */
char http_field_fold(char c);

/* A bounded text that remembers when something did not fit. */
struct http_out {
	char *at, *end;
	bool full;
};
void http_put(struct http_out *o, const char *s, size_t len);
void http_put_text(struct http_out *o, const char *s);
void http_put_decimal(struct http_out *o, uint64_t n);
/* The request's own Host, canonical, with ":port" unless it is 80. */
void http_put_host(struct http_out *o, const struct http_request *r, uint16_t port);
/* The fields that dropped does not name. */
void http_put_fields(struct http_out *o, const char *head, const struct http_field *fields,
                     unsigned n, uint64_t dropped);

#endif
