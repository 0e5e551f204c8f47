/* SPDX-License-Identifier: MIT */
/* Takes HTTP/1 heads apart with llhttp, and puts them together again. */
#include "tproxy/http_head.h"

#include <string.h>

#include "tproxy/token.h"

#define CONNECTION_OPTIONS_MAX 16
#define LENGTH_MAX             ((uint64_t)1 << 53) /* what every reader can count to */

enum {
	HOP = 1,       /* for this connection only: never passed on */
	PROTECTED = 2, /* Connection may not name it */
	EXACT = 4,     /* no look-alike with '_' in the place of '-' */
};

static const struct {
	const char *name;
	uint8_t len, flags;
} known_fields[HTTP_KNOWN] = {
	[HTTP_KNOWN_TE] = { "te", 2, HOP },
	[HTTP_KNOWN_HOST] = { "host", 4, HOP | PROTECTED | EXACT },
	[HTTP_KNOWN_COOKIE] = { "cookie", 6, PROTECTED },
	[HTTP_KNOWN_EXPECT] = { "expect", 6, EXACT },
	[HTTP_KNOWN_TRAILER] = { "trailer", 7, HOP },
	[HTTP_KNOWN_UPGRADE] = { "upgrade", 7, HOP | EXACT },
	[HTTP_KNOWN_CONNECTION] = { "connection", 10, HOP | EXACT },
	[HTTP_KNOWN_KEEP_ALIVE] = { "keep-alive", 10, HOP },
	[HTTP_KNOWN_USER_AGENT] = { "user-agent", 10, 0 },
	[HTTP_KNOWN_X_REQUEST_ID] = { "x-request-id", 12, 0 },
	[HTTP_KNOWN_AUTHORIZATION] = { "authorization", 13, PROTECTED },
	[HTTP_KNOWN_CONTENT_LENGTH] = { "content-length", 14, HOP | PROTECTED | EXACT },
	[HTTP_KNOWN_HTTP2_SETTINGS] = { "http2-settings", 14, HOP | EXACT },
	[HTTP_KNOWN_X_FORWARDED_FOR] = { "x-forwarded-for", 15, 0 },
	[HTTP_KNOWN_PROXY_CONNECTION] = { "proxy-connection", 16, HOP | EXACT },
	[HTTP_KNOWN_SEC_WEBSOCKET_KEY] = { "sec-websocket-key", 17, EXACT },
	[HTTP_KNOWN_TRANSFER_ENCODING] = { "transfer-encoding", 17, HOP | PROTECTED | EXACT },
	[HTTP_KNOWN_PROXY_AUTHENTICATE] = { "proxy-authenticate", 18, HOP },
	[HTTP_KNOWN_PROXY_AUTHORIZATION] = { "proxy-authorization", 19, HOP },
};
enum { KNOWN_LEN_MAX = 19 };

/* The first of each length in the table, which is sorted by it. */
static const uint8_t known_of_length[KNOWN_LEN_MAX + 1] = {
	[2] = HTTP_KNOWN_TE,
	[4] = HTTP_KNOWN_HOST,
	[6] = HTTP_KNOWN_COOKIE,
	[7] = HTTP_KNOWN_TRAILER,
	[10] = HTTP_KNOWN_CONNECTION,
	[12] = HTTP_KNOWN_X_REQUEST_ID,
	[13] = HTTP_KNOWN_AUTHORIZATION,
	[14] = HTTP_KNOWN_CONTENT_LENGTH,
	[15] = HTTP_KNOWN_X_FORWARDED_FOR,
	[16] = HTTP_KNOWN_PROXY_CONNECTION,
	[17] = HTTP_KNOWN_SEC_WEBSOCKET_KEY,
	[18] = HTTP_KNOWN_PROXY_AUTHENTICATE,
	[19] = HTTP_KNOWN_PROXY_AUTHORIZATION,
};

bool http_equal(const char *s, size_t len, const char *lower)
{
	for (size_t i = 0; i < len; i++)
		if ((s[i] | 0x20) != lower[i])
			return false;
	return lower[len] == '\0';
}

static enum http_known known_find(const char *name, size_t len)
{
	unsigned i = len <= KNOWN_LEN_MAX ? known_of_length[len] : HTTP_KNOWN_NONE;

	for (; i > 0 && i < HTTP_KNOWN && known_fields[i].len == len; i++)
		if (http_equal(name, len, known_fields[i].name))
			return (enum http_known)i;
	return HTTP_KNOWN_NONE;
}

char http_field_fold(char c)
{
	char lower = c | 0x20;

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ? lower : '-';
}

/*
 * Do servers that turn '-' into '_' (RFC 3875 4.1.18), and some with it whatever is neither letter
 * nor digit, mistake this name for one that matters?
 */
static bool is_look_alike(const char *name, size_t len)
{
	char plain[KNOWN_LEN_MAX];
	size_t at = 0;

	while (at < len && (name[at] == '-' || http_field_fold(name[at]) != '-'))
		at++;
	if (at == len)
		return false;
	while (len > 0 && http_field_fold(name[0]) == '-')
		name++, len--;
	while (len > 0 && http_field_fold(name[len - 1]) == '-')
		len--;
	if (len > sizeof(plain))
		return false;
	for (size_t i = 0; i < len; i++)
		plain[i] = http_field_fold(name[i]);
	return known_fields[known_find(plain, len)].flags & EXACT;
}

static struct http_slice slice(const struct http_head *h, const char *at, size_t len)
{
	return (struct http_slice){ (uint16_t)(at - h->text), (uint16_t)len };
}

static int refuse(struct http_head *h, int error)
{
	h->error = error;
	return HPE_USER;
}

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;

	h->method = slice(h, at, len);
	return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;

	h->target = slice(h, at, len);
	return 0;
}

static int on_version(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;

	h->version = slice(h, at, len);
	return 0;
}

static int on_status(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;

	h->reason = slice(h, at, len);
	return 0;
}

/* The head lies in memory whole, so each name and value comes in one piece; another is refused. */
static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;

	if (h->field_open)
		return refuse(h, HTTP_FIELD);
	if (h->n_fields == HTTP_FIELDS_MAX)
		return refuse(h, HTTP_TOO_MANY);
	h->fields[h->n_fields++] = (struct http_field){ .name = slice(h, at, len) };
	h->field_open = true;
	return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;
	struct http_field *field;

	if (!h->field_open)
		return refuse(h, HTTP_FIELD);
	field = &h->fields[h->n_fields - 1];
	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	field->value = slice(h, at, len);
	h->field_open = false;
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_method = on_method,
	.on_url = on_url,
	.on_version = on_version,
	.on_status = on_status,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

static int parser_error(const struct http_head *h, llhttp_errno_t error)
{
	switch (error) {
	case HPE_USER:
		return h->error;
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
		/* The flag of the field at hand is not set yet. */
		return h->parser.flags & F_TRANSFER_ENCODING ? HTTP_LENGTH_AND_CODING : HTTP_LENGTH;
	case HPE_INVALID_TRANSFER_ENCODING:
		return h->parser.flags & F_CONTENT_LENGTH ? HTTP_LENGTH_AND_CODING : HTTP_CODING;
	case HPE_INVALID_VERSION:
	case HPE_PAUSED_H2_UPGRADE:
		return HTTP_VERSION;
	case HPE_INVALID_STATUS:
		return HTTP_STATUS;
	case HPE_INVALID_HEADER_TOKEN:
	case HPE_UNEXPECTED_SPACE:
		return HTTP_FIELD;
	default:
		return h->version.len > 0 ? HTTP_FIELD : HTTP_START_LINE;
	}
}

/* What llhttp lets pass: several spaces, line ends first, other versions than 1.0 and 1.1, RTSP. */
static int start_line_check(struct http_head *h, llhttp_type_t type)
{
	const char *text = h->text, *at = text;
	const char *version = text + h->version.at;

	if (h->version.len != 3)
		return HTTP_VERSION;
	if (type == HTTP_REQUEST) {
		at += h->method.at + h->method.len;
		if (h->target.len == 0 || *at++ != ' ' || at != text + h->target.at)
			return HTTP_START_LINE;
		at += h->target.len;
		if (*at++ != ' ')
			return HTTP_START_LINE;
	}
	if (version - at != 5 || memcmp(at, "HTTP/", 5) != 0)
		return HTTP_START_LINE;
	if (version[0] != '1' || version[1] != '.' || (version[2] != '0' && version[2] != '1'))
		return HTTP_VERSION;
	h->minor = version[2] == '1';
	if (type == HTTP_REQUEST && version[3] != '\r')
		return HTTP_START_LINE;
	return HTTP_OK;
}

int http_head_read(struct http_head *h, const char *text, size_t len, llhttp_type_t type,
                   struct http_field *fields)
{
	size_t scanned = 0, skip = 0;
	llhttp_errno_t error;
	long length;

	memset(h, 0, offsetof(struct http_head, known));
	h->text = text;
	h->fields = fields;
	length = http_head_length(text, len, &scanned);
	if (length < 0)
		return (int)length;
	if ((size_t)length != len || len == 0)
		return HTTP_START_LINE;
	if (type == HTTP_REQUEST && text[0] == '\r')
		skip = 2;
	llhttp_init(&h->parser, type, &settings);
	h->parser.data = h;
	error = llhttp_execute(&h->parser, text + skip, len - skip);
	if (error != HPE_PAUSED)
		return parser_error(h, error);
	if (llhttp_get_error_pos(&h->parser) != text + len)
		return HTTP_LINE_END;
	return start_line_check(h, type);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Marks the fields that Connection names as dropped, and notes the options that mean something else
 * (RFC 9110 7.6.1). */
static int connection_option(struct http_head *h, const char *s, size_t len)
{
	enum http_known known = known_find(s, len);

	if (http_equal(s, len, "close"))
		h->close = true;
	if (known == HTTP_KNOWN_KEEP_ALIVE)
		h->keep_alive = true;
	if (known == HTTP_KNOWN_UPGRADE)
		h->upgrade = true;
	if (known_fields[known].flags & PROTECTED)
		return HTTP_FIELD;
	for (unsigned i = 0; i < h->n_fields; i++) {
		const struct http_slice *name = &h->fields[i].name;
		size_t at = 0;

		if (name->len != len)
			continue;
		while (at < len && lower(s[at]) == lower(h->text[name->at + at]))
			at++;
		if (at == len)
			h->dropped |= (uint64_t)1 << i;
	}
	return HTTP_OK;
}

static int connection_read(struct http_head *h, struct http_slice value, unsigned *options)
{
	const char *s = h->text + value.at, *end = s + value.len;

	while (s < end) {
		const char *start = s;
		int error;

		while (s < end && token_byte(*s))
			s++;
		if (s > start) {
			if (++*options > CONNECTION_OPTIONS_MAX)
				return HTTP_FIELD;
			error = connection_option(h, start, (size_t)(s - start));
			if (error)
				return error;
		}
		while (s < end && (*s == ' ' || *s == '\t'))
			s++;
		if (s < end && *s++ != ',')
			return HTTP_FIELD;
		while (s < end && (*s == ' ' || *s == '\t'))
			s++;
	}
	return HTTP_OK;
}

int http_head_read_fields(struct http_head *h)
{
	unsigned options = 0;

	h->seen = h->twice = 0;
	h->dropped = 0;
	h->close = h->keep_alive = h->upgrade = false;
	for (unsigned i = 0; i < h->n_fields; i++) {
		struct http_slice name = h->fields[i].name;
		enum http_known known = known_find(h->text + name.at, name.len);

		h->known[i] = (uint8_t)known;
		if (known == HTTP_KNOWN_NONE) {
			if (is_look_alike(h->text + name.at, name.len))
				return HTTP_FIELD;
			continue;
		}
		if (!http_head_has(h, known))
			h->at[known] = (uint8_t)i;
		h->twice |= h->seen & (uint32_t)1 << known;
		h->seen |= (uint32_t)1 << known;
		if (known_fields[known].flags & HOP)
			h->dropped |= (uint64_t)1 << i;
	}
	if (!http_head_has(h, HTTP_KNOWN_CONNECTION))
		return HTTP_OK;
	for (unsigned i = h->at[HTTP_KNOWN_CONNECTION]; i < h->n_fields; i++) {
		int error = HTTP_OK;

		if (h->known[i] == HTTP_KNOWN_CONNECTION)
			error = connection_read(h, h->fields[i].value, &options);
		if (error)
			return error;
	}
	return HTTP_OK;
}

struct http_slice http_head_value(const struct http_head *h, enum http_known known)
{
	return http_head_has(h, known) ? h->fields[h->at[known]].value : (struct http_slice){ 0, 0 };
}

/* 1*DIGIT, the one way to write it. */
static int length_read(const char *s, size_t len, uint64_t *length)
{
	uint64_t n = 0;

	if (len == 0 || len > 16 || (s[0] == '0' && len > 1))
		return HTTP_LENGTH;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return HTTP_LENGTH;
		n = n * 10 + (uint64_t)(s[i] - '0');
	}
	if (n > LENGTH_MAX)
		return HTTP_LENGTH;
	*length = n;
	return HTTP_OK;
}

int http_head_read_framing(const struct http_head *h, enum http_framing *framing,
                           uint64_t *length)
{
	bool has_length = http_head_has(h, HTTP_KNOWN_CONTENT_LENGTH);
	bool has_coding = http_head_has(h, HTTP_KNOWN_TRANSFER_ENCODING);
	struct http_slice v;

	*framing = HTTP_BODY_NONE;
	if (has_length && has_coding)
		return HTTP_LENGTH_AND_CODING;
	if (has_coding) {
		v = http_head_value(h, HTTP_KNOWN_TRANSFER_ENCODING);
		if (h->twice >> HTTP_KNOWN_TRANSFER_ENCODING & 1 || h->minor == 0 ||
		    !http_equal(h->text + v.at, v.len, "chunked"))
			return HTTP_CODING;
		*framing = HTTP_BODY_CHUNKED;
	}
	if (has_length) {
		v = http_head_value(h, HTTP_KNOWN_CONTENT_LENGTH);
		if (h->twice >> HTTP_KNOWN_CONTENT_LENGTH & 1 || length_read(h->text + v.at, v.len, length))
			return HTTP_LENGTH;
		*framing = HTTP_BODY_LENGTH;
	}
	return HTTP_OK;
}

bool http_head_websocket(const struct http_head *h)
{
	struct http_slice v = http_head_value(h, HTTP_KNOWN_UPGRADE);

	return h->upgrade && !(h->twice >> HTTP_KNOWN_UPGRADE & 1) &&
	       http_equal(h->text + v.at, v.len, "websocket");
}

void http_put(struct http_out *o, const char *s, size_t len)
{
	if (o->full || len > (size_t)(o->end - o->at)) {
		o->full = true;
		return;
	}
	memcpy(o->at, s, len);
	o->at += len;
}

void http_put_text(struct http_out *o, const char *s)
{
	http_put(o, s, strlen(s));
}

void http_put_decimal(struct http_out *o, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	http_put(o, digits + at, sizeof(digits) - at);
}

void http_put_fields(struct http_out *o, const char *head, const struct http_field *fields,
                     unsigned n, uint64_t dropped)
{
	for (unsigned i = 0; i < n; i++) {
		struct http_slice name = fields[i].name, value = fields[i].value;

		if (dropped >> i & 1)
			continue;
		http_put(o, head + name.at, name.len);
		http_put(o, ": ", 2);
		http_put(o, head + value.at, value.len);
		http_put(o, "\r\n", 2);
	}
}
