/* SPDX-License-Identifier: MIT */
/*
 * What routes say of HTTP: the requests that they are for, and what becomes of these. Of a policy
 * that was opened as gateway.h says.
 */
#ifndef SLUICE_RULES_HTTP_RULE_H
#define SLUICE_RULES_HTTP_RULE_H

#include "rules/policy.h"

/*
 * A request as routes look at it. The path is without query and fragment, as it will go out: who
 * asks has dealt with its dot segments. header() gives the value of the nth line, from 0, of the
 * field with a name, which is in lower case; NULL: there are no more. Several are matched joined by
 * commas, as Envoy does.
 */
struct policy_http {
	const char *path;
	size_t path_len;
	const char *method;
	size_t method_len;
	const char *(*header)(const void *user, const char *name, uint32_t n, size_t *len);
	const void *user;
	bool *by_path; /* set where a route's paths were looked at; NULL: nobody wants to know */
};

enum policy_http_action {
	POLICY_HTTP_FORWARD = 0, /* to the route's destinations */
	POLICY_HTTP_REDIRECT, POLICY_HTTP_DIRECT, /* answered here; the route has no destinations */
};

/* What is tried again; gRPC's own are UNAVAILABLE and CANCELLED. */
enum {
	POLICY_RETRY_CONNECT_FAILURE = 1, POLICY_RETRY_REFUSED_STREAM = 2,
	POLICY_RETRY_UNAVAILABLE = 4, POLICY_RETRY_CANCELLED = 8, POLICY_RETRY_RESET = 16,
	POLICY_RETRY_GATEWAY_ERROR = 32, /* 502, 503, 504 */
	POLICY_RETRY_5XX = 64,           /* any of them, or no answer */
	POLICY_RETRY_KNOWN = 127,
	POLICY_RETRY_DEFAULT = 15,
};
#define POLICY_RETRIES 2 /* unless the route says otherwise; also where there is no route */

struct policy_redirect { /* not said: as in the request; the port with an authority: none */
	bool https;
	const char *authority, *uri; /* NULL: not said; the uri replaces the path, not the query */
	uint16_t port;               /* 0: not said */
	uint16_t code;               /* 301, 302, 303, 307, 308 */
};

struct policy_route_http {
	enum policy_http_action action;
	bool conditional;             /* some requests are not for this route */
	uint32_t timeout, per_try;    /* ms; 0: none */
	uint32_t retries;             /* besides the first try */
	uint32_t retry_on;            /* POLICY_RETRY_*; 0 without retries */
	struct policy_list retry_statuses; /* numbers (policy_item()), besides retry_on */
	const char *rewrite_uri, *rewrite_authority; /* NULL: not said */
	struct policy_redirect redirect; /* with POLICY_HTTP_REDIRECT */
	uint16_t status;              /* with POLICY_HTTP_DIRECT: 200 to 599 */
	const char *body;             /* with POLICY_HTTP_DIRECT; NULL: none */
	uint32_t body_len;
	struct policy_run request, response; /* policy_header_change() */
};
/* Of any route: what is not said has the default. */
void policy_route_http(const struct policy *p, uint32_t route, struct policy_route_http *h);
/*
 * How many bytes of a path that the route matched its rewrite-uri replaces: the prefix (the longest
 * that matches), or all of it where it matched exactly; 1 where the route is for any path.
 */
size_t policy_route_rewrites(const struct policy *p, uint32_t route, const char *path, size_t len);

/*
 * A change of a message's head: to set a field (the only one with its name then), to add one, to
 * remove all with the name. No field that frames a message or is for one hop alone is among them.
 * No two changes of a run have the same name and kind; removals come first.
 */
enum policy_change { POLICY_REMOVE = 0, POLICY_SET, POLICY_ADD };
struct policy_header_change {
	enum policy_change change;
	const char *name;  /* lower case */
	const char *value; /* NULL with POLICY_REMOVE; printable ASCII and blanks */
	uint32_t value_len;
};
void policy_header_change(const struct policy *p, uint32_t i, struct policy_header_change *c);

/* Conditions, for people: a request must meet one path, one method, and all header conditions. */
struct policy_header_match {
	const char *name;  /* lower case */
	const char *value; /* NULL: any */
	uint32_t value_len;
	bool prefix;       /* what begins with the value */
};
struct policy_conditions {
	struct policy_list paths;   /* strings; with * at the end: what begins so. Empty: any */
	struct policy_list methods; /* strings. Empty: any */
	struct policy_run headers;  /* policy_header_match() */
};
void policy_conditions(const struct policy *p, uint32_t route, struct policy_conditions *c);
void policy_header_match(const struct policy *p, uint32_t i, struct policy_header_match *m);

/*
 * Whether a request is for the route. What is not HTTP (NULL) is for one that neither has
 * conditions nor answers.
 */
bool policy_route_meets(const struct policy *p, uint32_t route, const struct policy_http *http);
/* Whether a name is a field's, in lower case; and whether no policy may change that field. */
bool policy_is_field(const char *name);
bool policy_is_fixed_field(const char *name);
/* The name of one bit of retry_on. */
const char *policy_retry_name(uint32_t bit);

#endif
