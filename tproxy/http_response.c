/* SPDX-License-Identifier: MIT */
/* Responses: how upstream frames one, and how it is framed for the client. */
#include <string.h>

#include "tproxy/http_head.h"

/* "HTTP/1.x 200", then a space or the end of the line. The version was checked before. */
static int status_read(struct http_response *r, const struct http_head *h)
{
	const char *s = h->text + h->version.at + h->version.len;

	if (s[0] != ' ' || (s[4] != ' ' && s[4] != '\r'))
		return HTTP_STATUS;
	for (int i = 1; i <= 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return HTTP_STATUS;
		r->status = (uint16_t)(r->status * 10 + (s[i] - '0'));
	}
	return r->status >= 100 && r->status <= 599 ? HTTP_OK : HTTP_STATUS;
}

/* RFC 9112 6.3. */
static int framing_read(struct http_response *r, const struct http_head *h, bool to_head)
{
	bool never = r->status < 200 || r->status == 204;
	int error = http_head_read_framing(h, &r->framing, &r->length);

	if (error)
		return error;
	r->length_known = r->framing == HTTP_BODY_LENGTH && !never;
	if (never || to_head || r->status == 304) {
		/* Framing where none may be: what comes next cannot be told from a body. */
		if (never && r->status >= 200 && (r->framing == HTTP_BODY_CHUNKED || r->length > 0))
			r->keep_alive = false;
		r->framing = HTTP_BODY_NONE;
	} else if (r->framing == HTTP_BODY_NONE) {
		r->framing = HTTP_BODY_CLOSE;
		r->keep_alive = false;
	}
	return HTTP_OK;
}

int http_response_parse(const char *head, size_t len, bool to_head, bool to_websocket,
                        struct http_response *r)
{
	struct http_head h;
	int error;

	memset(r, 0, offsetof(struct http_response, fields));
	error = http_head_read(&h, head, len, HTTP_RESPONSE, r->fields);
	r->n_fields = h.n_fields;
	if (!error)
		error = status_read(r, &h);
	if (!error)
		error = http_head_read_fields(&h);
	if (error)
		return error;
	r->reason = h.reason;
	r->minor = h.minor;
	r->dropped = h.dropped;
	r->keep_alive = !h.close && (h.minor == 1 || h.keep_alive);
	if (r->status == 101) {
		if (!to_websocket || h.minor == 0 || !http_head_websocket(&h))
			return HTTP_STATUS;
		r->websocket = true;
	}
	return framing_read(r, &h, to_head);
}

void http_response_strip(const char *head, struct http_response *r)
{
	for (unsigned i = 0; i < r->n_fields; i++)
		if (http_equal(head + r->fields[i].name.at, r->fields[i].name.len, "alt-svc"))
			r->dropped |= (uint64_t)1 << i;
}

static void put_framing(struct http_out *o, const struct http_response *r,
                        enum http_framing framing)
{
	if (framing == HTTP_BODY_CHUNKED) {
		http_put_text(o, "transfer-encoding: chunked\r\n");
	} else if (r->length_known) {
		http_put_text(o, "content-length: ");
		http_put_decimal(o, r->length);
		http_put_text(o, "\r\n");
	}
}

size_t http_response_write(const char *head, const struct http_response *r, uint8_t client_minor,
                           bool close, enum http_framing *framing, char *out, size_t room)
{
	struct http_out o = { .at = out, .end = out + room };

	*framing = r->framing;
	if (r->framing == HTTP_BODY_CHUNKED && client_minor == 0)
		*framing = HTTP_BODY_CLOSE;
	if (r->framing == HTTP_BODY_CLOSE && client_minor > 0 && !close)
		*framing = HTTP_BODY_CHUNKED;
	http_put_text(&o, "HTTP/1.1 ");
	http_put_decimal(&o, r->status);
	http_put_text(&o, " ");
	http_put(&o, head + r->reason.at, r->reason.len);
	http_put_text(&o, "\r\n");
	http_put_fields(&o, head, r->fields, r->n_fields, r->dropped);
	put_framing(&o, r, *framing);
	if (r->websocket)
		http_put_text(&o, "connection: upgrade\r\nupgrade: websocket\r\n");
	else if (r->status >= 200 && (close || *framing == HTTP_BODY_CLOSE))
		http_put_text(&o, "connection: close\r\n");
	else if (r->status >= 200 && client_minor == 0)
		http_put_text(&o, "connection: keep-alive\r\n");
	http_put_text(&o, "\r\n");
	return o.full ? 0 : (size_t)(o.at - out);
}
