/* SPDX-License-Identifier: MIT */
/* Requests: whom one is for, what it is framed by, and how it goes upstream. */
#include <string.h>

#include "tproxy/http_head.h"

struct authority {
	char name[NAME_SIZE];
	uint16_t name_len;
	uint16_t port;
	bool is_addr;
	struct addr addr;
};

/* 1*5DIGIT without leading zeros; 0: it is none. */
static uint16_t port_parse(const char *s, size_t len)
{
	uint32_t n = 0;

	if (len == 0 || len > 5 || s[0] == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		n = n * 10 + (uint32_t)(s[i] - '0');
	}
	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

/*
 * uri-host [ ":" port ] (RFC 9110 7.2), but only a dotted quad, a bracketed IPv6 address or a name.
 * a is valid as soon as the host is, so that a wrong port can be logged with the host.
 */
static int authority_parse(struct authority *a, const char *s, size_t len, uint16_t port)
{
	const char *colon = memchr(s, ':', len);
	size_t host = colon ? (size_t)(colon - s) : len;
	int name_len;

	memset(a, 0, sizeof(*a));
	if (len > 0 && s[0] == '[') {
		const char *bracket = memchr(s, ']', len);

		if (!bracket || !colon || colon > bracket)
			return HTTP_HOST_INVALID;
		host = (size_t)(bracket - s) + 1;
		if (addr_parse(&a->addr, s + 1, host - 2) != 0)
			return HTTP_HOST_INVALID;
		if (host < len && s[host] != ':')
			return HTTP_HOST_INVALID;
		a->is_addr = true;
	} else if (addr_parse(&a->addr, s, host) == 0) {
		a->is_addr = true;
	} else {
		name_len = name_canon(a->name, s, host);
		if (name_len <= 0) {
			a->name[0] = '\0';
			return HTTP_HOST_INVALID;
		}
		a->name_len = (uint16_t)name_len;
	}
	a->port = port ? port : 80;
	if (host == len)
		return HTTP_OK;
	a->port = port_parse(s + host + 1, len - host - 1);
	return a->port && (!port || a->port == port) ? HTTP_OK : HTTP_HOST_PORT;
}

static bool authority_equal(const struct authority *a, const struct authority *b)
{
	if (a->port != b->port)
		return false;
	if (a->is_addr || b->is_addr)
		return a->is_addr && b->is_addr && addr_equal(&a->addr, &b->addr);
	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

static int host_read(struct http_request *r, const struct http_head *h, uint16_t port,
                     struct authority *host)
{
	int error;

	if (!http_head_has(h, HTTP_KNOWN_HOST))
		return HTTP_HOST_MISSING;
	if (h->twice >> HTTP_KNOWN_HOST & 1)
		return HTTP_HOST_DUPLICATE;
	r->authority = http_head_value(h, HTTP_KNOWN_HOST);
	error = authority_parse(host, h->text + r->authority.at, r->authority.len, port);
	memcpy(r->host, host->name, (size_t)host->name_len + 1);
	r->host_len = host->name_len;
	r->host_is_addr = host->is_addr;
	r->host_addr = host->addr;
	r->host_port = host->port;
	return error;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/*
 * Is each '%' of the path followed by two digits, and by others than 00 (RFC 3986 2.1)? Servers
 * decode paths, and differ in what they make of anything else. Queries are left as they are.
 */
static bool is_path(const char *s, size_t len)
{
	for (size_t i = 0; i < len && s[i] != '?'; i++) {
		if (s[i] != '%')
			continue;
		if (len - i < 3 || !is_hex(s[i + 1]) || !is_hex(s[i + 2]))
			return false;
		if (s[i + 1] == '0' && s[i + 2] == '0')
			return false;
	}
	return true;
}

/* The forms of RFC 9112 3.2, brought to origin-form. */
static int target_read(struct http_request *r, const struct http_head *h, uint16_t port,
                       const struct authority *host)
{
	const char *s = h->text + h->target.at, *authority;
	size_t len = h->target.len, at, start = sizeof("http://") - 1;
	struct authority named;
	int error;

	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '#' || s[i] == '\\')
			return HTTP_START_LINE;
	if (len > 0 && s[0] == '/')
		return is_path(s, len) ? HTTP_OK : HTTP_START_LINE;
	if (len == 1 && s[0] == '*')
		return h->parser.method == HTTP_OPTIONS ? HTTP_OK : HTTP_START_LINE;
	if (len < start || !http_equal(s, 4, "http") || memcmp(s + 4, "://", 3) != 0)
		return HTTP_START_LINE;
	authority = s + start;
	for (at = start; at < len && s[at] != '/' && s[at] != '?'; at++)
		;
	error = authority_parse(&named, authority, at - start, port);
	if (error)
		return error;
	if (!authority_equal(&named, host))
		return HTTP_HOST_TARGET;
	if (!is_path(s + at, len - at))
		return HTTP_START_LINE;
	/* Without a path the last slash of "http://" is the path. */
	if (at == len)
		r->target = (struct http_slice){ (uint16_t)(h->target.at + start - 1), 1 };
	else
		r->target = (struct http_slice){ (uint16_t)(h->target.at + at), (uint16_t)(len - at) };
	return HTTP_OK;
}

static int method_read(struct http_request *r, const struct http_head *h)
{
	if (h->method.len == 0)
		return HTTP_OK;
	switch (h->parser.method) {
	case HTTP_CONNECT:
	case HTTP_TRACE:
	case HTTP_PRI:
		return HTTP_METHOD;
	case HTTP_HEAD:
		r->head = true;
		r->idempotent = true;
		return HTTP_OK;
	case HTTP_GET:
	case HTTP_OPTIONS:
	case HTTP_PUT:
	case HTTP_DELETE:
		r->idempotent = true;
		return HTTP_OK;
	default:
		return HTTP_OK;
	}
}

static int upgrade_read(struct http_request *r, const struct http_head *h)
{
	bool has_key = http_head_value(h, HTTP_KNOWN_SEC_WEBSOCKET_KEY).len > 0 &&
	               !(h->twice >> HTTP_KNOWN_SEC_WEBSOCKET_KEY & 1) &&
	               !(h->dropped >> h->at[HTTP_KNOWN_SEC_WEBSOCKET_KEY] & 1);

	if (!http_head_websocket(h))
		return HTTP_OK;
	if (r->framing == HTTP_BODY_CHUNKED || r->length > 0)
		return HTTP_UPGRADE;
	r->websocket = has_key && h->parser.method == HTTP_GET && h->minor == 1;
	return HTTP_OK;
}

/* RFC 9110 10.1.1. In HTTP/1.0, or without a body to wait for, it means nothing and is dropped. */
static int expect_read(struct http_request *r, const struct http_head *h)
{
	struct http_slice v = http_head_value(h, HTTP_KNOWN_EXPECT);

	if (!http_head_has(h, HTTP_KNOWN_EXPECT))
		return HTTP_OK;
	if (h->twice >> HTTP_KNOWN_EXPECT & 1 || !http_equal(h->text + v.at, v.len, "100-continue"))
		return HTTP_EXPECT;
	r->expect_continue = h->minor == 1 && (r->framing == HTTP_BODY_CHUNKED || r->length > 0);
	if (!r->expect_continue)
		r->dropped |= (uint64_t)1 << h->at[HTTP_KNOWN_EXPECT];
	return HTTP_OK;
}

int http_request_parse(const char *head, size_t len, uint16_t port, struct http_request *r)
{
	struct http_head h;
	struct authority host;
	int error, fields_error, host_error;

	memset(r, 0, offsetof(struct http_request, fields));
	error = http_head_read(&h, head, len, HTTP_REQUEST, r->fields);
	r->method = h.method;
	r->target = h.target;
	r->minor = h.minor;
	r->n_fields = h.n_fields;
	/* Also after an error, for the log: what came before it may say whom the request was for. */
	fields_error = http_head_read_fields(&h);
	host_error = host_read(r, &h, port, &host);
	if (method_read(r, &h))
		return HTTP_METHOD;
	if (error || fields_error)
		return error ? error : fields_error;
	r->user_agent = http_head_value(&h, HTTP_KNOWN_USER_AGENT);
	r->x_forwarded_for = http_head_value(&h, HTTP_KNOWN_X_FORWARDED_FOR);
	r->x_request_id = http_head_value(&h, HTTP_KNOWN_X_REQUEST_ID);
	r->dropped = h.dropped;
	r->keep_alive = !h.close && (h.minor == 1 || h.keep_alive);
	if (!host_error)
		host_error = target_read(r, &h, port, &host);
	if (host_error)
		return host_error;
	error = http_head_read_framing(&h, &r->framing, &r->length);
	if (!error)
		error = upgrade_read(r, &h);
	if (!error)
		error = expect_read(r, &h);
	return error;
}

void http_put_host(struct http_out *o, const struct http_request *r, uint16_t port)
{
	char text[ADDR_TEXT];

	if (!r->host_is_addr)
		http_put(o, r->host, r->host_len);
	else if (addr_is_v4(&r->host_addr))
		http_put_text(o, addr_format(&r->host_addr, text));
	else {
		http_put_text(o, "[");
		http_put_text(o, addr_format(&r->host_addr, text));
		http_put_text(o, "]");
	}
	if (port != 80) {
		http_put_text(o, ":");
		http_put_decimal(o, port);
	}
}

size_t http_request_write(const char *head, const struct http_request *r, uint16_t port,
                          bool upgrade, const struct http_rewrite *to, char *out, size_t room)
{
	struct http_out o = { .at = out, .end = out + room };
	const char *target = head + r->target.at;
	size_t skip = 0;

	http_put(&o, head + r->method.at, r->method.len);
	http_put_text(&o, " ");
	if (to && to->uri && target[0] != '*') {
		http_put_text(&o, to->uri);
		skip = target[0] == '?' ? 0 : to->replaced;
	} else if (target[0] == '?') {
		http_put_text(&o, "/");
	}
	http_put(&o, target + skip, r->target.len - skip);
	http_put_text(&o, " HTTP/1.1\r\nhost: ");
	if (to && to->authority)
		http_put_text(&o, to->authority);
	else
		http_put_host(&o, r, port);
	http_put_text(&o, "\r\n");
	http_put_fields(&o, head, r->fields, r->n_fields, r->dropped);
	if (upgrade && r->websocket) {
		http_put_text(&o, "connection: upgrade\r\nupgrade: websocket\r\n");
	} else if (r->framing == HTTP_BODY_CHUNKED) {
		http_put_text(&o, "transfer-encoding: chunked\r\n");
	} else if (r->framing == HTTP_BODY_LENGTH) {
		http_put_text(&o, "content-length: ");
		http_put_decimal(&o, r->length);
		http_put_text(&o, "\r\n");
	}
	http_put_text(&o, "\r\n");
	return o.full ? 0 : (size_t)(o.at - out);
}

/*
 * A name that is lower, or begins as lower does up to its '*', to servers that make '_' of whatever
 * is neither letter nor digit.
 */
static bool is_name(const char *s, size_t len, const char *lower)
{
	size_t at = 0;

	while (at < len && lower[at] != '*' && http_field_fold(s[at]) == lower[at])
		at++;
	return lower[at] == '*' || (at == len && lower[at] == '\0');
}

void http_request_scrub(const char *head, struct http_request *r)
{
	static const char names[][21] = {
		"forwarded", "x-forwarded*", "x-original-*", "x-rewrite-*", "x-host",
		"x-http-host-override",
	};

	for (unsigned i = 0; i < r->n_fields; i++)
		for (unsigned k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			if (is_name(head + r->fields[i].name.at, r->fields[i].name.len, names[k]))
				r->dropped |= (uint64_t)1 << i;
}
