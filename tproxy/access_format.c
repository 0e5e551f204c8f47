/* SPDX-License-Identifier: MIT */
/*
 * The lines of the access log, without stdio. There are no checks of room below: access_format()
 * first bounds what all texts together can become, and everything else has a fixed largest length.
 */
#include <stdbool.h>
#include <string.h>

#include "tproxy/access.h"

#define TEXT_CUT  1024u /* of client texts, escaped */
#define TEXT_CUT2 256u  /* the same, in a line that could become too long */
#define WORD_CUT  96u   /* of our own words */
#define ELLIPSIS  3u
/*
 * What a line can hold besides client texts: JSON's keys with their quotes, colons and commas
 * (480); six words of ours; four addresses; five numbers of at most 20 digits, the status and the
 * time; and 8 bytes of scratch behind the end. A test formats the longest line of all.
 */
#define FIXED_MAX (480u + 7 * (WORD_CUT + ELLIPSIS) + 4 * ADDR_PORT_TEXT + 5 * 20 + 10 + 32 + 8)
#define TEXTS     9u

_Static_assert(FIXED_MAX + TEXTS * (TEXT_CUT2 + ELLIPSIS) <= ACCESS_LINE_MAX,
               "the longest line does not fit");

enum escape {
	ESCAPE_TEXT,  /* \xNN, inside double quotes */
	ESCAPE_WORD,  /* the same, and spaces become underscores: the field is not quoted */
	ESCAPE_JSON,  /* \u00NN */
};

#define put_literal(at, literal) put_bytes(at, literal, sizeof(literal) - 1)

static inline char *put_bytes(char *at, const char *s, size_t len)
{
	memcpy(at, s, len);
	return at + len;
}

/* v / 10. Compilers that save space divide, and small ARM cores have no instruction for that. */
static inline uint32_t tenth(uint32_t v)
{
	return (uint32_t)(v * UINT64_C(0xcccccccd) >> 35);
}

static char *put_u32(char *at, uint32_t v)
{
	char digits[10];
	size_t n = sizeof(digits);

	do {
		uint32_t q = tenth(v);
		digits[--n] = (char)('0' + (v - q * 10));
		v = q;
	} while (v);
	return put_bytes(at, digits + n, sizeof(digits) - n);
}

static char *put_u64(char *at, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	if (v <= UINT32_MAX)
		return put_u32(at, (uint32_t)v);
	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	return put_bytes(at, digits + n, sizeof(digits) - n);
}

/* Times never are negative but when the clock was set back. */
static char *put_ms(char *at, int64_t ms)
{
	return put_u64(at, ms < 0 ? 0 : (uint64_t)ms);
}

static inline bool is_plain(unsigned char c)
{
	return c - 0x20u < 0x5f && c != '"' && c != '\\';
}

static size_t escape_byte(char *out, unsigned char c, enum escape how)
{
	static const char hex[] = "0123456789abcdef";

	if (how == ESCAPE_JSON && (c == '"' || c == '\\')) {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	out[0] = '\\';
	if (how == ESCAPE_JSON) {
		memcpy(out + 1, "u00", 3);
		out[4] = hex[c >> 4];
		out[5] = hex[c & 15];
		return 6;
	}
	out[1] = 'x';
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

static inline uint64_t has_zero(uint64_t x)
{
	return (x - EACH_BYTE(0x01)) & ~x & EACH_BYTE(0x80);
}

/* Whether a byte of x has to be looked at on its own: one that is escaped, and a space in words. */
static inline bool has_special(uint64_t x, enum escape how)
{
	uint64_t low = (x - EACH_BYTE(how == ESCAPE_WORD ? 0x21 : 0x20)) & ~x;

	return (low | x) & EACH_BYTE(0x80) || has_zero(x ^ EACH_BYTE(0x7f)) ||
	       has_zero(x ^ EACH_BYTE('"')) || has_zero(x ^ EACH_BYTE('\\'));
}

/* One byte, escaped where it has to be; NULL: its form does not fit before end. */
static char *put_byte(char *at, const char *end, unsigned char c, enum escape how)
{
	char e[6];
	size_t n = is_plain(c) ? 1 : escape_byte(e, c, how);

	if (n > (size_t)(end - at))
		return NULL;
	if (n > 1)
		return put_bytes(at, e, n);
	*at++ = c == ' ' && how == ESCAPE_WORD ? '_' : (char)c;
	return at;
}

/*
 * Escaped, cut so that at most cut bytes and an ellipsis come out; an escape sequence is never cut
 * in two. May write up to 8 bytes behind what it returns.
 */
static char *put_escaped(char *at, const char *s, size_t len, enum escape how, size_t cut)
{
	const char *end = at + cut, *last = s + len;

	while (s < last) {
		size_t n = last - s < 8 ? (size_t)(last - s) : 8;
		uint64_t x = EACH_BYTE('a');
		if (n == 8)
			memcpy(&x, s, 8);
		else
			memcpy(&x, s, n);
		if (n <= (size_t)(end - at) && !has_special(x, how)) {
			memcpy(at, &x, 8);
			at += n;
			s += n;
			continue;
		}
		char *next = put_byte(at, end, (unsigned char)*s++, how);
		if (!next)
			return put_literal(at, "...");
		at = next;
	}
	return at;
}

static inline bool is_v4(const struct addr *a)
{
	uint64_t high;
	memcpy(&high, a->b, 8);
	return !high && !a->b[8] && !a->b[9] && a->b[10] == 0xff && a->b[11] == 0xff;
}

/* The general form costs ten times what the common one needs. */
static char *put_addr(char *at, const struct addr *a, uint16_t port)
{
	char text[ADDR_PORT_TEXT];

	if (!is_v4(a)) {
		addr_port_format(a, port, text);
		return put_bytes(at, text, strlen(text));
	}
	for (int i = 12; i < 16; i++) {
		uint32_t v = a->b[i], q = tenth(v), hundreds = tenth(q);
		if (hundreds)
			*at++ = (char)('0' + hundreds);
		if (q)
			*at++ = (char)('0' + (q - hundreds * 10));
		*at++ = (char)('0' + (v - q * 10));
		*at++ = i < 15 ? '.' : ':';
	}
	return put_u32(at, port);
}

static char *put_time(char *at, int64_t ms, struct access_date *d)
{
	int64_t second = ms / 1000 - (ms % 1000 < 0);
	uint32_t milli = (uint32_t)(ms - second * 1000);

	if (!d->set || d->second != second) {
		clock_date(second, d->text);
		d->second = second;
		d->set = true;
	}
	at = put_bytes(at, d->text, CLOCK_DATE_LEN);
	*at++ = (char)('0' + milli / 100);
	*at++ = (char)('0' + milli / 10 % 10);
	*at++ = (char)('0' + milli % 10);
	*at++ = 'Z';
	return at;
}

/* A client's text inside a quoted field. */
static char *put_quoted(char *at, struct access_text t, size_t cut)
{
	return t.len ? put_escaped(at, t.s, t.len, ESCAPE_TEXT, cut) : put_literal(at, "-");
}

/* A word of ours. */
static char *put_word(char *at, const char *s)
{
	return s ? put_escaped(at, s, strlen(s), ESCAPE_WORD, WORD_CUT) : put_literal(at, "-");
}

static char *put_host(char *at, const struct addr *a, uint16_t port)
{
	return port ? put_addr(at, a, port) : put_literal(at, "-");
}

static char *put_cluster(char *at, const struct access_record *r, enum escape how, size_t cut)
{
	if (r->cluster)
		return put_escaped(at, r->cluster, strlen(r->cluster), how, WORD_CUT);
	at = put_literal(at, "outbound|");
	at = put_u32(at, r->cluster_port);
	*at++ = '|';
	if (r->cluster_subset)
		at = put_escaped(at, r->cluster_subset, strlen(r->cluster_subset), how, WORD_CUT);
	*at++ = '|';
	if (r->cluster_wildcard)
		*at++ = '*';
	return put_escaped(at, r->cluster_host.s, r->cluster_host.len, how, cut);
}

static bool has_cluster(const struct access_record *r)
{
	return r->cluster || r->cluster_host.len || r->cluster_wildcard;
}

static char *text_request(char *at, const struct access_record *r, size_t cut)
{
	at = put_literal(at, "] \"");
	at = put_quoted(at, r->method, cut);
	*at++ = ' ';
	at = put_quoted(at, r->path, cut);
	*at++ = ' ';
	at = put_word(at, r->protocol);
	at = put_literal(at, "\" ");
	at = put_u32(at, r->status);
	*at++ = ' ';
	at = put_word(at, access_flag_name(r->flag));
	*at++ = ' ';
	at = put_word(at, r->details);
	*at++ = ' ';
	at = put_word(at, r->termination);
	at = put_literal(at, " \"");
	at = put_word(at, r->failure);
	at = put_literal(at, "\" ");
	at = put_u64(at, r->received);
	*at++ = ' ';
	at = put_u64(at, r->sent);
	*at++ = ' ';
	at = put_ms(at, r->duration_ms);
	*at++ = ' ';
	return r->service_ms < 0 ? put_literal(at, "-") : put_ms(at, r->service_ms);
}

/*
 * [START_TIME] "METHOD PATH PROTOCOL" RESPONSE_CODE RESPONSE_FLAGS RESPONSE_CODE_DETAILS
 * CONNECTION_TERMINATION_DETAILS "UPSTREAM_TRANSPORT_FAILURE_REASON" BYTES_RECEIVED BYTES_SENT
 * DURATION UPSTREAM_SERVICE_TIME "X_FORWARDED_FOR" "USER_AGENT" "REQUEST_ID" "AUTHORITY"
 * "UPSTREAM_HOST" UPSTREAM_CLUSTER UPSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS
 * DOWNSTREAM_REMOTE_ADDRESS REQUESTED_SERVER_NAME ROUTE_NAME
 */
static char *put_text_line(char *at, const struct access_record *r, struct access_date *d,
                           size_t cut)
{
	*at++ = '[';
	at = put_time(at, r->start_ms, d);
	at = text_request(at, r, cut);
	at = put_literal(at, " \"");
	at = put_quoted(at, r->x_forwarded_for, cut);
	at = put_literal(at, "\" \"");
	at = put_quoted(at, r->user_agent, cut);
	at = put_literal(at, "\" \"");
	at = put_quoted(at, r->request_id, cut);
	at = put_literal(at, "\" \"");
	at = put_quoted(at, r->authority, cut);
	at = put_literal(at, "\" \"");
	at = put_host(at, &r->up_addr, r->up_port);
	at = put_literal(at, "\" ");
	at = has_cluster(r) ? put_cluster(at, r, ESCAPE_WORD, cut) : put_literal(at, "-");
	*at++ = ' ';
	at = put_host(at, &r->up_local, r->up_local_port);
	*at++ = ' ';
	at = put_host(at, &r->down_local, r->down_local_port);
	*at++ = ' ';
	at = put_host(at, &r->down_remote, r->down_remote_port);
	*at++ = ' ';
	at = r->sni.len ? put_escaped(at, r->sni.s, r->sni.len, ESCAPE_WORD, cut)
	                : put_literal(at, "-");
	*at++ = ' ';
	at = put_word(at, r->route_name);
	if (r->peer.len) {
		at = put_literal(at, " \"");
		at = put_quoted(at, r->peer, cut);
		*at++ = '"';
	}
	*at++ = '\n';
	return at;
}

static char *json_text(char *at, struct access_text t, size_t cut)
{
	if (!t.len)
		return put_literal(at, "null");
	*at++ = '"';
	at = put_escaped(at, t.s, t.len, ESCAPE_JSON, cut);
	*at++ = '"';
	return at;
}

static char *json_word(char *at, const char *s)
{
	return json_text(at, (struct access_text){ s, s ? strlen(s) : 0 }, WORD_CUT);
}

static char *json_host(char *at, const struct addr *a, uint16_t port)
{
	if (!port)
		return put_literal(at, "null");
	*at++ = '"';
	at = put_addr(at, a, port);
	*at++ = '"';
	return at;
}

static char *json_request(char *at, const struct access_record *r, size_t cut)
{
	at = put_literal(at, "\",\"route_name\":");
	at = json_word(at, r->route_name);
	at = put_literal(at, ",\"method\":");
	at = json_text(at, r->method, cut);
	at = put_literal(at, ",\"path\":");
	at = json_text(at, r->path, cut);
	at = put_literal(at, ",\"protocol\":");
	at = json_word(at, r->protocol);
	at = put_literal(at, ",\"response_code\":");
	at = put_u32(at, r->status);
	at = put_literal(at, ",\"response_flags\":");
	at = json_word(at, access_flag_name(r->flag));
	at = put_literal(at, ",\"response_code_details\":");
	at = json_word(at, r->details);
	at = put_literal(at, ",\"connection_termination_details\":");
	at = json_word(at, r->termination);
	at = put_literal(at, ",\"bytes_received\":");
	at = put_u64(at, r->received);
	at = put_literal(at, ",\"bytes_sent\":");
	at = put_u64(at, r->sent);
	at = put_literal(at, ",\"duration\":");
	at = put_ms(at, r->duration_ms);
	at = put_literal(at, ",\"upstream_service_time\":");
	if (r->service_ms < 0)
		return put_literal(at, "null");
	/* A string, since to Envoy it is a header's value. */
	*at++ = '"';
	at = put_ms(at, r->service_ms);
	*at++ = '"';
	return at;
}

static char *put_json_line(char *at, const struct access_record *r, struct access_date *d,
                           size_t cut)
{
	at = put_literal(at, "{\"start_time\":\"");
	at = put_time(at, r->start_ms, d);
	at = json_request(at, r, cut);
	at = put_literal(at, ",\"x_forwarded_for\":");
	at = json_text(at, r->x_forwarded_for, cut);
	at = put_literal(at, ",\"user_agent\":");
	at = json_text(at, r->user_agent, cut);
	at = put_literal(at, ",\"request_id\":");
	at = json_text(at, r->request_id, cut);
	at = put_literal(at, ",\"authority\":");
	at = json_text(at, r->authority, cut);
	at = put_literal(at, ",\"upstream_host\":");
	at = json_host(at, &r->up_addr, r->up_port);
	at = put_literal(at, ",\"upstream_cluster\":");
	if (has_cluster(r)) {
		*at++ = '"';
		at = put_cluster(at, r, ESCAPE_JSON, cut);
		*at++ = '"';
	} else {
		at = put_literal(at, "null");
	}
	at = put_literal(at, ",\"upstream_local_address\":");
	at = json_host(at, &r->up_local, r->up_local_port);
	at = put_literal(at, ",\"downstream_local_address\":");
	at = json_host(at, &r->down_local, r->down_local_port);
	at = put_literal(at, ",\"downstream_remote_address\":");
	at = json_host(at, &r->down_remote, r->down_remote_port);
	at = put_literal(at, ",\"requested_server_name\":");
	at = json_text(at, r->sni, cut);
	at = put_literal(at, ",\"upstream_transport_failure_reason\":");
	at = json_word(at, r->failure);
	if (r->peer.len) {
		at = put_literal(at, ",\"downstream_peer\":");
		at = json_text(at, r->peer, cut);
	}
	return put_literal(at, "}\n");
}

/* Where to cut texts so that the line fits even if each of their bytes has to be escaped. */
static size_t cut_for(const struct access_record *r, size_t longest)
{
	const struct access_text *const texts[TEXTS] = {
		&r->method, &r->path, &r->authority, &r->user_agent,
		&r->x_forwarded_for, &r->request_id, &r->sni, &r->cluster_host,
		&r->peer,
	};
	size_t sum = FIXED_MAX;

	for (size_t i = 0; i < TEXTS; i++) {
		size_t len = texts[i]->len;
		sum += len > TEXT_CUT / longest ? TEXT_CUT + ELLIPSIS : len * longest;
	}
	return sum <= ACCESS_LINE_MAX ? TEXT_CUT : TEXT_CUT2;
}

size_t access_format(const struct access_record *r, enum policy_log_format format,
                     struct access_date *d, char *out, size_t room)
{
	struct access_date fresh = { .set = false };
	char *end;

	if (room < ACCESS_LINE_MAX)
		return 0;
	if (!d)
		d = &fresh;
	if (format == POLICY_LOG_JSON)
		end = put_json_line(out, r, d, cut_for(r, 6));
	else
		end = put_text_line(out, r, d, cut_for(r, 4));
	return (size_t)(end - out);
}
