/* SPDX-License-Identifier: MIT */
/*
 * The access log: Envoy's default text line or its 24 JSON keys, one line per HTTP request or
 * connection. Lines go into a ring owned by one worker and leave it by non-blocking writes, whole
 * lines only; when the ring is full the newest line is dropped, and the caller counts it. What the
 * client sent is escaped.
 */
#ifndef SLUICE_TPROXY_ACCESS_H
#define SLUICE_TPROXY_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rules/addr.h"
#include "rules/policy.h"
#include "tproxy/clock.h"
#include "tproxy/stats.h"

#define ACCESS_LINE_MAX 4096 /* bytes of any line, newline included: a pipe takes them as one */

struct access_text { const char *s; size_t len; }; /* len 0: "-" */

/*
 * Words of ours (const char *) are ASCII without quotes; NULL is "-". An address whose port is 0 is
 * not known, "-".
 */
struct access_record {
	int64_t start_ms;     /* CLOCK_REALTIME */
	int64_t duration_ms;
	int64_t service_ms;   /* until the first upstream response byte; -1: none */
	/* Of an HTTP request. */
	struct access_text method, path, authority, user_agent, x_forwarded_for, request_id;
	const char *protocol;    /* "HTTP/1.1" */
	unsigned status;         /* 0 for connections */
	enum access_flag flag;
	const char *details;     /* "via_upstream", "direct_response", a refusal's code */
	const char *termination; /* connection termination details */
	const char *failure;     /* upstream transport failure reason */
	uint64_t received, sent; /* body (HTTP) or payload bytes from and to the client */
	struct addr up_addr, up_local;        /* the upstream host, and our end towards it */
	struct addr down_local, down_remote;  /* where the client wanted to go, and the client */
	uint16_t up_port, up_local_port, down_local_port, down_remote_port;
	struct access_text sni;
	struct access_text peer; /* who the client's certificate says it is; len 0: not told at all */
	const char *route_name;  /* "block_all", "allow_any", "audit", "default" */
	const char *cluster;     /* "BlackHoleCluster" or the like; NULL: outbound|PORT|SUBSET|HOST */
	struct access_text cluster_host; /* HOST; len 0 with cluster NULL and no wildcard: "-" */
	const char *cluster_subset; /* NULL: none */
	bool cluster_wildcard;   /* "*" stands before cluster_host */
	uint16_t cluster_port;
};

struct access_log;

/* The place the lines go to: a descriptor, shared by the workers. */
struct access_sink;
/*
 * Kind is "off", "syslog" or a path as in the policy. NULL with errno. Files are opened with
 * O_APPEND|O_CREAT 0640; /dev/stdout and /dev/stderr mean the descriptors 1 and 2 as inherited,
 * given an open file description of their own where possible so that O_NONBLOCK does not leak;
 * syslog is an RFC 3164 datagram to /dev/log, facility daemon; a syslogd that is not there (any
 * more) is looked for again once a second.
 */
struct access_sink *access_sink_open(const char *kind);
void access_sink_close(struct access_sink *s);
/*
 * Opens a path anew, in place, after log rotation; the old descriptor stays on failure: -1 with
 * errno. Any thread may do so while workers write.
 */
int access_sink_reopen(struct access_sink *s);
const char *access_sink_kind(const struct access_sink *s); /* as given to access_sink_open() */
/* Gives a regular file to uid:gid, who may then open it again. 0, or -1 with errno. */
int access_sink_own(struct access_sink *s, uid_t uid, gid_t gid);

/*
 * A worker's ring. bytes: a power of two, at least ACCESS_LINE_MAX. NULL: no memory. sink may be
 * NULL (off): then access_put does nothing.
 */
struct access_log *access_log_open(struct access_sink *s, enum policy_log_format format,
                                   size_t bytes);
/* Lines that are still there are lost. */
void access_log_close(struct access_log *l);
/*
 * After a reload; takes effect for lines put from now on, and for those that the old sink does not
 * take at once. Called by the worker itself.
 */
void access_log_switch(struct access_log *l, struct access_sink *s, enum policy_log_format format);
/* Adds a line. 0, or -1: dropped. */
int access_put(struct access_log *l, const struct access_record *r);
/*
 * Writes what can be written without blocking. Returns the bytes left. Called once per turn of the
 * worker's loop.
 */
size_t access_flush(struct access_log *l);

/*
 * Formats one line, with its newline, into out; returns its length, at most ACCESS_LINE_MAX, or 0
 * when room is less than that. Escaped texts are cut at 1024 bytes, or at 256 when the line could
 * become too long, and end in "..." then. The date of the last line is kept in d
 * (zero-initialised), NULL: not.
 */
struct access_date { int64_t second; bool set; char text[CLOCK_DATE_LEN]; };
size_t access_format(const struct access_record *r, enum policy_log_format format,
                     struct access_date *d, char *out, size_t room);

#endif
