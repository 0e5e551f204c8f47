/* SPDX-License-Identifier: MIT */
/* HTTP/1: where a head ends, what its errors are called, and responses of our own. */
#include "tproxy/http.h"

#include "rules/format.h"
#include "tproxy/clock.h"
#include "tproxy/http_head.h"

/* Which of eight bytes are control bytes? The lowest bit set belongs to the first one. */
static uint64_t controls(const char *p)
{
	const uint64_t ones = ~(uint64_t)0 / 255, tops = ones << 7;
	uint64_t v = get_le64((const uint8_t *)p), del = v ^ ones * 0x7f;

	return (((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & tops;
}

static bool is_control(char c)
{
	return (uint8_t)c < 0x20 || c == 0x7f;
}

/* Position of the first control byte but HTAB from at on, or len. */
static size_t control_find(const char *buf, size_t at, size_t len)
{
	while (len - at >= 8) {
		uint64_t found = controls(buf + at);

		at += found ? (size_t)__builtin_ctzll(found) / 8 : 8;
		if (found && buf[at] != '\t')
			return at;
		at += found != 0;
	}
	while (at < len && (!is_control(buf[at]) || buf[at] == '\t'))
		at++;
	return at;
}

long http_head_length(const char *buf, size_t len, size_t *scanned)
{
	size_t limit = len < CONFIG_HTTP_HEAD_MAX ? len : CONFIG_HTTP_HEAD_MAX;
	size_t at = *scanned;

	for (;;) {
		at = control_find(buf, at, limit);
		if (at == limit || (buf[at] == '\r' && at + 1 == limit))
			break;
		if (buf[at] != '\r' || buf[at + 1] != '\n')
			return HTTP_LINE_END;
		/* An empty line ends the head, unless there was no line before it. */
		if (at > 0 && buf[at - 1] == '\n')
			return at == 2 ? HTTP_START_LINE : (long)at + 2;
		at += 2;
	}
	*scanned = at;
	return limit < CONFIG_HTTP_HEAD_MAX ? 0 : HTTP_TOO_LARGE;
}

static const struct {
	const char *code, *text;
	int status;
} errors[HTTP_ERRORS] = {
	[-HTTP_OK] = { "http-ok", "no error", 200 },
	[-HTTP_LINE_END] = { "http-line-end", "a bare CR or LF, or another control byte", 400 },
	[-HTTP_START_LINE] = { "http-start-line", "a malformed first line, or an unknown method", 400 },
	[-HTTP_VERSION] = { "http-version", "a version other than HTTP/1.0 and HTTP/1.1", 400 },
	[-HTTP_FIELD] = { "http-field", "a malformed header field", 400 },
	[-HTTP_TOO_MANY] = { "http-too-many", "too many header fields", 431 },
	[-HTTP_TOO_LARGE] = { "http-too-large", "the head is too large", 431 },
	[-HTTP_HOST_MISSING] = { "http-host-missing", "no Host field", 400 },
	[-HTTP_HOST_DUPLICATE] = { "http-host-duplicate", "more than one Host field", 400 },
	[-HTTP_HOST_INVALID] = { "http-host-invalid", "Host is neither a name nor an address", 400 },
	[-HTTP_HOST_PORT] = { "http-host-port", "Host has another port than the connection", 400 },
	[-HTTP_HOST_TARGET] = { "http-host-target", "Host differs from the target's host", 400 },
	[-HTTP_LENGTH] = { "http-length", "Content-Length is not one plain number", 400 },
	[-HTTP_CODING] = { "http-coding", "Transfer-Encoding is not just \"chunked\"", 400 },
	[-HTTP_LENGTH_AND_CODING] = { "http-length-and-coding",
	                              "both Content-Length and Transfer-Encoding", 400 },
	[-HTTP_METHOD] = { "http-method", "a method that is never forwarded", 400 },
	[-HTTP_CHUNK] = { "http-chunk", "a malformed chunk", 400 },
	[-HTTP_STATUS] = { "http-status", "a malformed or unexpected status", 400 },
	[-HTTP_UPGRADE] = { "http-upgrade", "an upgrade request with a body", 400 },
	[-HTTP_EXPECT] = { "http-expect", "an expectation other than 100-continue", 417 },
	[-HTTP_PATH] = { "http-path", "a path that not all servers read alike", 400 },
};

static size_t error_index(int error)
{
	return error <= 0 && error > -HTTP_ERRORS ? (size_t)-error : (size_t)-HTTP_START_LINE;
}

const char *http_error_text(int error)
{
	return errors[error_index(error)].text;
}

const char *http_error_code(int error)
{
	return errors[error_index(error)].code;
}

int http_error_status(int error)
{
	return errors[error_index(error)].status;
}

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} reasons[] = {
		{ 200, "OK" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return "";
}

/* IMF-fixdate, RFC 9110 5.6.7. */
static void put_date(struct http_out *o, int64_t now)
{
	static const char days[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, ";
	static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
	const uint64_t second = now > 0 ? (uint64_t)now : 0;
	char text[CLOCK_DATE_LEN];

	clock_date((int64_t)second, text);
	http_put(o, days + second / 86400 % 7 * 5, 5);
	http_put(o, text + 8, 2);
	http_put(o, months + ((text[5] - '0') * 10 + text[6] - '0' - 1) * 5, 5);
	http_put(o, text, 4);
	http_put(o, " ", 1);
	http_put(o, text + 11, 8);
}

size_t http_direct_response(int status, bool close, int64_t now, uint32_t length, char *out,
                            size_t room)
{
	struct http_out o = { .at = out, .end = out + room };

	http_put_text(&o, "HTTP/1.1 ");
	http_put_decimal(&o, (unsigned)status);
	http_put(&o, " ", 1);
	http_put_text(&o, reason_phrase(status));
	http_put_text(&o, "\r\ndate: ");
	put_date(&o, now);
	http_put_text(&o, " GMT\r\nserver: sluice\r\n");
	if (close)
		http_put_text(&o, "connection: close\r\n");
	http_put_text(&o, "content-length: ");
	http_put_decimal(&o, length);
	http_put_text(&o, "\r\n\r\n");
	return o.full ? 0 : (size_t)(o.at - out);
}
