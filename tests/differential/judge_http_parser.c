/* SPDX-License-Identifier: MIT */
/*
 * A judge of requests: http-parser, strict. For each request that it finds complete a line
 * "request METHOD TARGET HOST BODY", the last three in hexadecimal, HOST once for each Host field
 * with commas between; then "end", or "error WHY" or "cut" for what does not end with a complete request.
 * Trailers are an error: none may go out.
 */
/* LIBS: -lhttp_parser */
#include <http_parser.h>
#include <stdbool.h>
#include <strings.h>

#include "tests/differential/frame.h"

#define TEXT_MAX (1u << 17)

struct text {
	char bytes[TEXT_MAX];
	size_t len;
};

/* One request as it is being read. */
static struct {
	struct answer *answer;
	struct text target, name, value, hosts, body;
	unsigned n_hosts;
	bool under_way, in_value, in_body, trailers;
} request;

static int text_add(struct text *t, const char *at, size_t len)
{
	if (len > sizeof(t->bytes) - t->len)
		frame_die("the request is too large");
	memcpy(t->bytes + t->len, at, len);
	t->len += len;
	return 0;
}

/* A field is over when the next one's name, or the head's end, comes. */
static void field_end(void)
{
	char hex[3];

	request.trailers = request.trailers || (request.in_value && request.in_body);
	if (request.in_value && request.name.len == 4 &&
	    strncasecmp(request.name.bytes, "host", 4) == 0) {
		if (request.n_hosts++ > 0)
			text_add(&request.hosts, ",", 1);
		for (size_t i = 0; i < request.value.len; i++) {
			snprintf(hex, sizeof(hex), "%02x", (uint8_t)request.value.bytes[i]);
			text_add(&request.hosts, hex, 2);
		}
	}
	if (request.in_value)
		request.name.len = request.value.len = 0;
	request.in_value = false;
}

static int on_begin(http_parser *p)
{
	(void)p;
	request.target.len = request.name.len = request.value.len = 0;
	request.hosts.len = request.body.len = request.n_hosts = 0;
	request.in_value = request.in_body = false;
	request.under_way = true;
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
	(void)p;
	return text_add(&request.target, at, len);
}

static int on_field(http_parser *p, const char *at, size_t len)
{
	(void)p;
	field_end();
	return text_add(&request.name, at, len);
}

static int on_value(http_parser *p, const char *at, size_t len)
{
	(void)p;
	request.in_value = true;
	return text_add(&request.value, at, len);
}

static int on_head(http_parser *p)
{
	(void)p;
	field_end();
	request.in_body = true;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	(void)p;
	return text_add(&request.body, at, len);
}

static int on_complete(http_parser *p)
{
	struct answer *a = request.answer;

	field_end();
	request.under_way = false;
	answer_text(a, "request %s ", http_method_str((enum http_method)p->method));
	answer_hex(a, request.target.bytes, request.target.len);
	answer_text(a, " ");
	if (request.n_hosts == 0)
		answer_text(a, "-");
	answer_put(a, request.hosts.bytes, request.hosts.len);
	answer_text(a, " ");
	answer_hex(a, request.body.bytes, request.body.len);
	answer_text(a, "\n");
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

static void judge(struct answer *a, const char *bytes, size_t len)
{
	http_parser p;
	size_t n;

	request.answer = a;
	request.under_way = request.trailers = false;
	http_parser_init(&p, HTTP_REQUEST);
	n = http_parser_execute(&p, &settings, bytes, len);
	if (HTTP_PARSER_ERRNO(&p) != HPE_OK)
		answer_text(a, "error %s\n", http_errno_name(HTTP_PARSER_ERRNO(&p)));
	else if (request.trailers)
		answer_text(a, "error trailers\n");
	else if (n != len)
		answer_text(a, "error %zu bytes more\n", len - n);
	else
		answer_text(a, request.under_way ? "cut\n" : "end\n");
}

int main(void)
{
	static struct answer a;
	uint8_t *bytes;
	size_t len;

	while ((bytes = frame_read(&len)) != NULL) {
		a.len = 0;
		judge(&a, (const char *)bytes, len);
		answer_send(&a);
		free(bytes);
	}
	return 0;
}
