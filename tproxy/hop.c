/* SPDX-License-Identifier: MIT */
/* What a node says to a gateway before the payload. */
#include "tproxy/hop.h"

#include <string.h>

#include "tproxy/http_head.h"
#include "tproxy/token.h"

enum state {
	ENDED = 0,    /* nothing is awaited, so whatever comes is wrong */
	/* CONNECT: what the next byte is of. */
	STATUS,       /* "HTTP/1.x ddd", and what ends it */
	TEXT,         /* a reason, or a field's value */
	LINE_END,     /* LF */
	FIELD,        /* a field's name, its first one; or CR, of the empty line */
	FIELD_NAME,
	HEAD_END,     /* LF */
	/* SOCKS5 */
	METHOD,       /* VER, METHOD */
	CHOSEN,       /* none: the request is to be sent */
	REPLY,        /* VER, REP, RSV, ATYP */
	REPLY_LENGTH, /* of the bound name */
	REPLY_REST,   /* the bound address and port */
};

/* RFC 1928. */
enum {
	VERSION = 5, METHODS = 1, NO_AUTHENTICATION = 0, NO_METHOD = 0xff,
	COMMAND_CONNECT = 1, RESERVED = 0,
	TYPE_V4 = 1, TYPE_NAME = 3, TYPE_V6 = 4,
};

static const uint16_t statuses[] = { 400, 401, 403, 404, 405, 407, 429, 500, 502, 503, 504 };
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]), REPLIES = 8 };

/* Places in reasons. */
enum {
	OVERFLOW = 0, CONNECT_MALFORMED, CONNECT_OVERSIZE, CONNECT_REFUSED, CONNECT_STATUS,
	SOCKS_MALFORMED = CONNECT_STATUS + STATUSES, SOCKS_METHOD, SOCKS_REFUSED,
	SOCKS_REPLY, /* REP 1 */
};

static const char reasons[] =
	"hop_overflow\0connect_malformed\0connect_oversize\0connect_refused\0"
	"connect_400\0connect_401\0connect_403\0connect_404\0connect_405\0connect_407\0connect_429\0"
	"connect_500\0connect_502\0connect_503\0connect_504\0"
	"socks_malformed\0socks_no_method\0socks_refused\0"
	"socks_failure\0socks_not_allowed\0socks_network_unreachable\0socks_host_unreachable\0"
	"socks_connection_refused\0socks_ttl_expired\0socks_no_such_command\0socks_no_such_address";

const char *hop_reason(const struct hop *h)
{
	const char *reason = reasons;

	for (unsigned i = h->error; i > 0; i--)
		reason += strlen(reason) + 1;
	return reason;
}

int hop_status(const struct hop *h)
{
	if (h->error < CONNECT_REFUSED || h->error == SOCKS_MALFORMED)
		return 0;
	if (h->error < SOCKS_MALFORMED)
		return h->value;
	return h->error == SOCKS_REPLY || (h->error > SOCKS_REPLY + 1 && h->error < SOCKS_REPLY + 6)
	       ? 503 : 403;
}

static enum hop_result refuse(struct hop *h, unsigned error)
{
	h->error = (uint8_t)error;
	h->state = ENDED;
	return HOP_FAILED;
}

static enum hop_result await(struct hop *h, enum state state)
{
	h->state = (uint8_t)state;
	h->at = 0;
	h->value = 0;
	return HOP_MORE;
}

static enum hop_result done(struct hop *h)
{
	h->state = ENDED;
	return HOP_DONE;
}

/* RFC 9110 9.3.6: any 2xx is a tunnel; what comes before 101 would be another protocol. */
static enum hop_result status_read(struct hop *h, uint8_t end)
{
	if ((end != ' ' && end != '\r') || h->value < 100 || h->value > 599 || h->value == 101)
		return refuse(h, CONNECT_MALFORMED);
	h->state = end == ' ' ? TEXT : LINE_END;
	if (h->value < 300)
		return HOP_MORE;
	for (unsigned i = 0; i < STATUSES; i++)
		if (statuses[i] == h->value)
			return refuse(h, CONNECT_STATUS + i);
	return refuse(h, CONNECT_REFUSED);
}

static enum hop_result status_byte(struct hop *h, uint8_t c)
{
	static const char form[] = "HTTP/1.x ddd";
	unsigned digit = c - '0', at = h->at++;

	if (at == sizeof(form) - 1)
		return status_read(h, c);
	switch (form[at]) {
	case 'x':
		return digit <= 1 ? HOP_MORE : refuse(h, CONNECT_MALFORMED);
	case 'd':
		h->value = (uint16_t)(h->value * 10 + digit);
		return digit <= 9 ? HOP_MORE : refuse(h, CONNECT_MALFORMED);
	default:
		return c == form[at] ? HOP_MORE : refuse(h, CONNECT_MALFORMED);
	}
}

/* RFC 9112 4 and 5, with no line end but CRLF and no folded lines. Content-Length means nothing. */
static enum hop_result connect_byte(struct hop *h, uint8_t c)
{
	bool good = false;

	if (++h->seen > CONFIG_HTTP_HEAD_MAX)
		return refuse(h, CONNECT_OVERSIZE);
	switch (h->state) {
	case STATUS:
		return status_byte(h, c);
	case TEXT:
		good = c == '\t' || (c >= ' ' && c != 0x7f);
		if (c == '\r')
			return h->state = LINE_END, HOP_MORE;
		break;
	case LINE_END:
		good = c == '\n';
		h->state = FIELD;
		break;
	case FIELD:
		good = token_byte((char)c);
		if (c == '\r')
			return h->state = HEAD_END, HOP_MORE;
		h->state = FIELD_NAME;
		break;
	case FIELD_NAME:
		good = token_byte((char)c);
		if (c == ':')
			return h->state = TEXT, HOP_MORE;
		break;
	case HEAD_END:
		if (c == '\n') /* behind an interim response comes another */
			return h->value < 200 ? await(h, STATUS) : done(h);
		break;
	}
	return good ? HOP_MORE : refuse(h, CONNECT_MALFORMED);
}

static enum hop_result method_byte(struct hop *h, uint8_t c)
{
	if (h->at++ == 0)
		return c == VERSION ? HOP_MORE : refuse(h, SOCKS_MALFORMED);
	if (c == NO_AUTHENTICATION)
		return await(h, CHOSEN);
	return refuse(h, c == NO_METHOD ? SOCKS_METHOD : SOCKS_MALFORMED);
}

static enum hop_result reply_byte(struct hop *h, uint8_t c)
{
	switch (h->at++) {
	case 0:
		return c == VERSION ? HOP_MORE : refuse(h, SOCKS_MALFORMED);
	case 1:
		if (c == 0)
			return HOP_MORE;
		return refuse(h, c <= REPLIES ? SOCKS_REPLY + c - 1u : SOCKS_REFUSED);
	case 2:
		return c == RESERVED ? HOP_MORE : refuse(h, SOCKS_MALFORMED);
	default:
		h->value = c == TYPE_V6 ? 16 + 2 : 4 + 2;
		h->state = c == TYPE_NAME ? REPLY_LENGTH : REPLY_REST;
		return c == TYPE_V4 || c == TYPE_NAME || c == TYPE_V6 ? HOP_MORE
		       : refuse(h, SOCKS_MALFORMED);
	}
}

static enum hop_result socks_byte(struct hop *h, uint8_t c)
{
	switch (h->state) {
	case METHOD:
		return method_byte(h, c);
	case REPLY:
		return reply_byte(h, c);
	case REPLY_LENGTH:
		h->value = c + 2;
		h->state = REPLY_REST;
		return HOP_MORE;
	case REPLY_REST:
		return --h->value > 0 ? HOP_MORE : done(h);
	default: /* also what comes behind the method, before it can have seen the request */
		return refuse(h, SOCKS_MALFORMED);
	}
}

static void put_authority(struct http_out *o, const struct hop_target *t)
{
	char text[ADDR_PORT_TEXT];

	if (t->name_len == 0) {
		http_put_text(o, addr_port_format(&t->addr, t->port, text));
		return;
	}
	http_put(o, t->name, t->name_len);
	http_put_text(o, ":");
	http_put_decimal(o, t->port);
}

static void put_connect(struct http_out *o, const struct hop_target *t)
{
	http_put_text(o, "CONNECT ");
	put_authority(o, t);
	http_put_text(o, " HTTP/1.1\r\nHost: ");
	put_authority(o, t);
	http_put_text(o, "\r\n\r\n");
}

static void put_socks(struct http_out *o, const struct hop_target *t)
{
	bool v4 = addr_is_v4(&t->addr);
	char head[] = { VERSION, COMMAND_CONNECT, RESERVED, v4 ? TYPE_V4 : TYPE_V6, (char)t->name_len };
	const char port[] = { (char)(t->port >> 8), (char)t->port };

	if (t->name_len > 0) {
		head[3] = TYPE_NAME;
		http_put(o, head, 5);
		http_put(o, t->name, t->name_len);
	} else {
		http_put(o, head, 4);
		http_put(o, (const char *)t->addr.b + (v4 ? 12 : 0), v4 ? 4 : 16);
	}
	http_put(o, port, sizeof(port));
}

static enum hop_result written(struct hop *h, const struct http_out *o, uint8_t *out, size_t *n)
{
	if (o->full)
		return refuse(h, OVERFLOW);
	*n = (size_t)((uint8_t *)o->at - out);
	return HOP_MORE;
}

enum hop_result hop_begin(struct hop *h, enum policy_via via, const struct hop_target *t,
                          uint8_t *out, size_t room, size_t *n)
{
	struct http_out o = { .at = (char *)out, .end = (char *)out + room };

	memset(h, 0, sizeof(*h));
	h->via = (uint8_t)via;
	*n = 0;
	if (t->name_len > NAME_MAX_LEN)
		return refuse(h, OVERFLOW);
	switch (via) {
	case POLICY_VIA_CONNECT:
		h->state = STATUS;
		put_connect(&o, t);
		return written(h, &o, out, n);
	case POLICY_VIA_SOCKS5:
		h->state = METHOD;
		http_put(&o, (const char[]){ VERSION, METHODS, NO_AUTHENTICATION }, 3);
		return written(h, &o, out, n);
	case POLICY_VIA_PROXY_V2:
		*n = hop_proxy_write(t, out, room);
		return *n > 0 ? HOP_DONE : refuse(h, OVERFLOW);
	default:
		return HOP_DONE;
	}
}

enum hop_result hop_feed(struct hop *h, const struct hop_target *t, const uint8_t *in, size_t len,
                         size_t *used, uint8_t *out, size_t room, size_t *n)
{
	struct http_out o = { .at = (char *)out, .end = (char *)out + room };
	enum hop_result r = HOP_MORE;
	size_t i = 0;

	*n = 0;
	while (i < len && r == HOP_MORE) {
		r = h->via == POLICY_VIA_CONNECT ? connect_byte(h, in[i]) : socks_byte(h, in[i]);
		i++;
	}
	*used = i;
	if (r != HOP_MORE || h->state != CHOSEN)
		return r;
	put_socks(&o, t);
	await(h, REPLY);
	return written(h, &o, out, n);
}
