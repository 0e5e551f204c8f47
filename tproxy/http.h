/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1 messages: read strictly (RFC 9112), written anew from what was understood. Pure functions
 * over complete heads; llhttp does the parsing, the rules on top of it are ours. Field lists are
 * offsets into the head, which the caller keeps.
 */
#ifndef SLUICE_TPROXY_HTTP_H
#define SLUICE_TPROXY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/addr.h"
#include "rules/name.h"
#include "tproxy/http_body.h"
#include "tproxy/http_error.h"

#define HTTP_FIELDS_MAX 64

struct http_slice { uint16_t at, len; };                /* into the head */
struct http_field { struct http_slice name, value; };   /* value without surrounding white space */

enum http_framing { HTTP_BODY_NONE = 0, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_CLOSE };

struct http_request {
	struct http_slice method;
	struct http_slice target;     /* origin form: "/path?query", "*", or "?query" for "/?query" */
	uint8_t minor;                /* HTTP/1.minor */
	bool head;                    /* method HEAD */
	bool idempotent;              /* RFC 9110 9.2.2 */
	bool keep_alive;              /* the client wants to keep the connection */
	bool websocket;               /* a complete WebSocket upgrade request (RFC 6455 4.1) */
	bool expect_continue;
	enum http_framing framing;    /* NONE, LENGTH or CHUNKED */
	uint64_t length;
	char host[NAME_SIZE];         /* canonical name; "" when Host is an address */
	uint16_t host_len;
	bool host_is_addr;
	struct addr host_addr;
	uint16_t host_port;           /* the destination's; or what Host says, 80 without */
	struct http_slice authority;  /* Host as the client wrote it */
	struct http_slice user_agent, x_forwarded_for, x_request_id; /* for the log; len 0: absent */
	uint64_t dropped;             /* bit i: fields[i] is for this hop only, or written anew */
	uint8_t n_fields;
	struct http_field fields[HTTP_FIELDS_MAX];
};

struct http_response {
	uint16_t status;
	struct http_slice reason;
	uint8_t minor;
	bool keep_alive;           /* the upstream connection may be used again after this */
	enum http_framing framing; /* as upstream frames it, by request method and status too */
	uint64_t length;
	bool length_known;         /* had Content-Length; also NONE: answers to HEAD, and 304 */
	bool websocket;            /* 101 for websocket with a matching Upgrade field */
	uint64_t dropped;          /* as above */
	uint8_t n_fields;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/*
 * Length of the head that buf starts with, up to and with its empty line (at most one CRLF before
 * the start line counts in); 0: need more; < 0: enum http_error. Reads on from *scanned, which it
 * advances.
 */
long http_head_length(const char *buf, size_t len, size_t *scanned);

/*
 * Parses one complete head for destination port; 0: Host may have any. 0 or enum http_error. On error r->method and
 * r->host may be set, for the log; nothing else is valid then.
 */
int http_request_parse(const char *head, size_t len, uint16_t port, struct http_request *r);
/* What is written in the place of the request's own; NULL: nothing. */
struct http_rewrite {
	const char *authority; /* as Host */
	const char *uri;       /* for the first bytes of the path */
	size_t replaced;       /* that many */
};
/*
 * Writes the head for upstream: origin form, HTTP/1.1, one Host (canonical, with ":port" unless it
 * is 80), hop-by-hop fields gone (also those that Connection names, which may never name Host,
 * Content-Length, Transfer-Encoding, Authorization or Cookie), own framing; upgrade: keep
 * WebSocket's; to may be NULL. Returns its length, or 0 when room is too small.
 */
size_t http_request_write(const char *head, const struct http_request *r, uint16_t port,
                          bool upgrade, const struct http_rewrite *to, char *out, size_t room);

/*
 * Drops the fields in which servers and frameworks look for another host or target than the
 * request's: Forwarded, X-Host, X-HTTP-Host-Override, and those that begin with X-Forwarded,
 * X-Original- and X-Rewrite-; with any other sign in the place of '-', too.
 */
void http_request_scrub(const char *head, struct http_request *r);

/*
 * Parses one complete response head. to_head: the request was HEAD; to_websocket: it asked for the
 * upgrade. 0 or enum http_error.
 */
int http_response_parse(const char *head, size_t len, bool to_head, bool to_websocket,
                        struct http_response *r);
/* Drops Alt-Svc, which leads clients to other servers, and to QUIC (RFC 7838). */
void http_response_strip(const char *head, struct http_response *r);
/*
 * Writes it for the client (client_minor: its HTTP/1.minor). close: say "connection: close".
 * Framing: LENGTH as is; CHUNKED stays chunked for 1.1 clients, is close-delimited for 1.0; CLOSE
 * becomes chunked for 1.1 when !close, else close-delimited. *framing says what was promised; CLOSE
 * says "connection: close" by itself. Interim responses get neither. Returns length or 0.
 */
size_t http_response_write(const char *head, const struct http_response *r, uint8_t client_minor,
                           bool close, enum http_framing *framing, char *out, size_t room);

/*
 * The head of a response of our own: status, date, server: sluice, content-length, connection:
 * close if asked; room >= 256. now: seconds since 1970. Returns its length.
 */
size_t http_direct_response(int status, bool close, int64_t now, uint32_t length, char *out,
                            size_t room);

#endif
