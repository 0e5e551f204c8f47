/* SPDX-License-Identifier: MIT */
/*
 * The stub resolver that clients talk to whatever server they address (dns = capture). Names that
 * the policy does not list end here; of the others the worker's resolver asks, by name and type,
 * and the answer is written anew. What waits for an upstream answer holds a stub_query; both
 * tables of these, a worker's and a client's share of it, are bounded.
 *
 * The verdict is asked for again when an answer comes, so that a query holds no policy: after a
 * reload the new one decides.
 */
#ifndef SLUICE_TPROXY_STUB_H
#define SLUICE_TPROXY_STUB_H

#include "rules/addr.h"
#include "tproxy/dns_question.h"
#include "tproxy/dns_reply.h"
#include "tproxy/loop.h"
#include "tproxy/resolve.h"
#include "tproxy/slab.h"

struct worker;
struct conn;

#define STUB_QUERIES    128 /* that wait, per worker: half of what the resolver looks up at once */
#define STUB_PER_CLIENT 64  /* of these, for one client; clients that share a bucket share it */
#define STUB_BUCKETS    256
#define STUB_WAITER     (UINT64_C(1) << 63) /* marks the stub's waiters at the resolver */
#define STUB_PORT       53

/* Who asked, and as what the answer has to come. */
struct stub_peer {
	struct addr src, dst;
	uint16_t sport, dport;
	uint32_t scope;            /* of a link-local address */
	uint32_t conn, generation; /* the TCP connection; conn SLAB_NONE: UDP */
	uint8_t socket;            /* of UDP: index in stub.udp */
};

struct stub_query {
	uint32_t link;             /* of the slab */
	uint32_t generation;
	bool live;
	uint8_t bucket;
	struct stub_peer peer;
	struct dns_question question;
	/* Of an answer that is told when the holder of the rules has opened its addresses. */
	bool learning;
	uint32_t order;            /* learn.sent then */
	int64_t until_ms;
	struct resolve_answer answer;
};

struct stub {
	struct slab queries;
	int udp[2], from[2];       /* IPv4, IPv6: questions; what answers are sent from */
	bool deaf;                 /* draining: nothing more is read */
	int64_t close_ms;          /* then: when the sockets are closed, whoever waits */
	struct timer timer;        /* while something waits for the holder */
	uint8_t clients[STUB_BUCKETS]; /* queries of each bucket's clients */
};

/* Sockets and table. 0, or -1 with errno and *step. stub_fini() may follow either way. */
int stub_init(struct worker *w, bool needed, const char **step);
void stub_fini(struct stub *s);

/*
 * A message from a client. It is answered before this returns, or later, or never; peer->conn may
 * be gone afterwards.
 */
void stub_receive(struct worker *w, const struct stub_peer *peer, const uint8_t *bytes, size_t len);
void stub_resolved(struct worker *w, uint64_t waiter, const struct resolve_answer *a);
void stub_learned(struct worker *w); /* the holder has answered, or took too long */
void stub_record(void *worker, uint64_t waiter, const struct ares_dns_record *response);
void stub_end(struct worker *w); /* forgets all that waits */

/* stub_query.c: NULL when the table or the client's share of it is full. */
struct stub_query *stub_hold(struct worker *w, const struct stub_peer *peer,
                             const struct dns_question *q);
void stub_release(struct worker *w, struct stub_query *s);
uint64_t stub_waiter(struct worker *w, const struct stub_query *s);
struct stub_query *stub_query_of(struct worker *w, uint64_t waiter); /* NULL: gone meanwhile */

/* stub_udp.c: sockets. */
int stub_udp_open(struct worker *w, bool needed, const char **step);
void stub_udp_ready(struct worker *w, uint32_t i);
void stub_udp_send(struct worker *w, const struct stub_peer *to, const uint8_t *bytes, size_t len);
/*
 * Before the end: no more is heard, and the sockets are closed when nothing waits for an answer, or
 * after two seconds, so that another process can have the port. To be called in each turn.
 */
void stub_udp_drain(struct worker *w);
bool stub_udp_is_open(const struct stub *s);

/*
 * stub_tcp.c: connections in state CONN_DNS (RFC 7766). Each may end c. A message is sent with its
 * length in the two bytes before it.
 */
void stub_tcp_begin(struct worker *w, struct conn *c);
void stub_tcp_turn(struct worker *w, struct conn *c);
void stub_tcp_timeout(struct worker *w, struct conn *c);
void stub_tcp_send(struct worker *w, const struct stub_peer *to, uint8_t *bytes, size_t len);
/* What it said is no question. */
void stub_tcp_drop(struct worker *w, const struct stub_peer *peer);

#endif
