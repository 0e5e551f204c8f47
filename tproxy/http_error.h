/* SPDX-License-Identifier: MIT */
/* Why an HTTP/1 message is refused. */
#ifndef SLUICE_TPROXY_HTTP_ERROR_H
#define SLUICE_TPROXY_HTTP_ERROR_H

enum http_error {
	HTTP_OK = 0,
	HTTP_LINE_END = -1,      /* bare CR or LF, NUL or another control byte */
	HTTP_START_LINE = -2,    /* method, target, or the form of the line */
	HTTP_VERSION = -3,       /* neither 1.0 nor 1.1 */
	HTTP_FIELD = -4,         /* field name or value; obs-fold; space before the colon */
	HTTP_TOO_MANY = -5,      /* more than HTTP_FIELDS_MAX fields */
	HTTP_TOO_LARGE = -6,     /* head over CONFIG_HTTP_HEAD_MAX */
	HTTP_HOST_MISSING = -7,
	HTTP_HOST_DUPLICATE = -8,
	HTTP_HOST_INVALID = -9,  /* not a canonical name or address, a list, userinfo */
	HTTP_HOST_PORT = -10,    /* a port that is not the destination's */
	HTTP_HOST_TARGET = -11,  /* Host differs from the target's authority */
	HTTP_LENGTH = -12,       /* Content-Length: not one plain decimal up to 2^53 */
	HTTP_CODING = -13,       /* Transfer-Encoding: not one "chunked" in HTTP/1.1 */
	HTTP_LENGTH_AND_CODING = -14,
	HTTP_METHOD = -15,       /* CONNECT, TRACE, PRI */
	HTTP_CHUNK = -16,        /* chunk framing */
	HTTP_STATUS = -17,       /* status line of a response, or a status nobody asked for */
	HTTP_UPGRADE = -18,      /* an upgrade to WebSocket with a body */
	HTTP_EXPECT = -19,       /* Expect: not just 100-continue */
	HTTP_PATH = -20,         /* servers differ in what the path means, and routes go by it */
};
#define HTTP_ERRORS 21

const char *http_error_text(int error);
const char *http_error_code(int error); /* "http-host-duplicate": for logs and metrics */
int http_error_status(int error);       /* what a client is told: 400, 417 or 431 */

#endif
