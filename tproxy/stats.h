/* SPDX-License-Identifier: MIT */
/* Counters. Each worker writes its own block; the control thread reads them all, without locks. */
#ifndef SLUICE_TPROXY_STATS_H
#define SLUICE_TPROXY_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/route.h"
#include "tproxy/http.h"
#include "tproxy/sniff.h"

/* Envoy's response flags, as far as they apply. */
enum access_flag {
	FLAG_NONE = 0, /* - */
	FLAG_UH,       /* no healthy upstream */
	FLAG_UF,       /* upstream connection failure */
	FLAG_NR,       /* no route */
	FLAG_UO,       /* overflow: a table is full */
	FLAG_UT,       /* upstream request timeout */
	FLAG_UR,       /* upstream remote reset */
	FLAG_UC,       /* upstream connection termination */
	FLAG_DC,       /* downstream connection termination */
	FLAG_DF,       /* DNS resolution failure */
	FLAG_DT,       /* downstream: a deadline of ours passed (duration timeout) */
	FLAG_DPE,      /* downstream protocol error */
	FLAG_UPE,      /* upstream protocol error */
	FLAG_URX,      /* tried as often as the route says; and why the last try failed: */
	FLAG_UF_URX, FLAG_UT_URX, FLAG_UC_URX, FLAG_UPE_URX,
	FLAGS,
};
const char *access_flag_name(enum access_flag f);

enum stat_id { /* not "stat": that is a struct of the system's */
	STAT_CX_TOTAL,          /* downstream connections accepted */
	STAT_CX_ACTIVE,         /* gauge */
	STAT_CX_OVERFLOW,       /* refused: the connection table is full */
	STAT_CX_CLIENT,         /* refused: the client has its share */
	STAT_CX_LOOP,           /* refused: the proxy's own port or a local address */
	STAT_CX_NOFD,           /* refused: no descriptor left */
	STAT_CX_SNIFF_TIMEOUT,
	STAT_CX_IDLE_TIMEOUT,
	STAT_RQ_TOTAL,          /* HTTP requests */
	STAT_RQ_ACTIVE,         /* gauge: HTTP exchanges */
	STAT_RQ_BLOCKED,        /* 502 by policy */
	STAT_CX_BLOCKED,        /* closed by policy */
	STAT_AUDITED,           /* let through only because of audit */
	STAT_ADDR_REFUSED,      /* addresses that the address rules refused */
	STAT_UP_CX_TOTAL,       /* upstream connections begun */
	STAT_UP_CX_ACTIVE,      /* gauge */
	STAT_UP_CX_FAILED,
	STAT_UP_CX_TIMEOUT,
	STAT_TLS_TOTAL,         /* sessions of TLS that we ended or began */
	STAT_TLS_ACTIVE,        /* gauge */
	STAT_UP_REUSED,         /* requests sent over a kept-alive connection */
	STAT_UP_IDLE,           /* gauge: kept-alive connections waiting */
	STAT_OUTLIERS,          /* endpoints ejected */
	STAT_HEALTH_CHECKS,
	STAT_HEALTH_FAILURES,
	STAT_UNHEALTHY,         /* gauge: endpoints, by these checks */
	STAT_BYTES_UP,          /* client to upstream, payload */
	STAT_BYTES_DOWN,
	STAT_BYTES_SPLICED,     /* of both, moved by splice(2) */
	STAT_BUFFERS,           /* gauges: pool use */
	STAT_SMALLS,
	STAT_PIPES,
	STAT_NAMES,
	STAT_BUFFER_STARVED,    /* times a flow had to wait for a buffer */
	STAT_ACCESS_DROPPED,    /* access-log lines lost because the log was slow */
	STAT_DNS_UDP,           /* questions from clients */
	STAT_DNS_TCP,
	STAT_DNS_ACTIVE,        /* gauge: questions that wait for name servers */
	STAT_DNS_TRUNCATED,
	STAT_DNS_STRAY,         /* datagrams that were not captured */
	STAT_DNS_UNSENT,        /* answers that could not be sent */
	STAT_LEARN_ORDERS,      /* UDP addresses handed to the holder of the rules */
	STAT_LEARN_LOST,        /* that could not be handed on */
	STAT_COUNT,
};

/* Questions from clients by what they ask for, and by what became of them. */
enum dns_type {
	DNS_TYPE_A = 0, DNS_TYPE_AAAA, DNS_TYPE_HTTPS, DNS_TYPE_SVCB, DNS_TYPE_PTR, DNS_TYPE_OTHER,
	DNS_TYPES,
};
enum dns_result {
	DNS_RESULT_FOUND = 0,       /* records from name servers */
	DNS_RESULT_FIXED,           /* addresses of the policy */
	DNS_RESULT_NEGATIVE,        /* name servers know nothing */
	DNS_RESULT_EMPTY,           /* a type that is not asked for */
	DNS_RESULT_REFUSED,         /* not in the policy, for this client */
	DNS_RESULT_ADDRESS_REFUSED, /* nothing was left by the address rules */
	DNS_RESULT_MALFORMED,
	DNS_RESULT_FAILED,          /* no name server answered */
	DNS_RESULT_FULL,            /* a table is full */
	DNS_RESULTS,
};
const char *dns_type_name(enum dns_type t);
const char *dns_result_name(enum dns_result r);

/* How a counter is shown: without the prefix "sluice_". */
struct stat_info { const char *name, *help; bool gauge; };
const struct stat_info *stat_info(enum stat_id s);

struct stats {
	uint64_t v[STAT_COUNT];
	uint64_t reason[ROUTE_REASONS]; /* decisions by reason */
	uint64_t tls[TLS_ERRORS];       /* refused ClientHellos by -error */
	uint64_t http[HTTP_ERRORS];     /* refused requests by -error */
	uint64_t dns_type[DNS_TYPES];
	uint64_t dns_result[DNS_RESULTS];
	uint64_t flag[FLAGS];           /* finished connections and requests by response flag */
};

static inline void stat_add(uint64_t *v, int64_t n)
{
	__atomic_store_n(v, *v + (uint64_t)n, __ATOMIC_RELAXED);
}

static inline uint64_t stat_get(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

#endif
