/* SPDX-License-Identifier: MIT */
/*
 * A name server inside the test, its answers written as text. On the loopback device what is sent has
 * arrived, so nothing need sleep and nothing depends on how fast the machine is.
 *
 * An answer is a list of statements separated by ';', in the order of the message's sections:
 *   a [NAME@]TTL ADDRESS   aaaa [NAME@]TTL ADDRESS   cname [NAME@]TTL TARGET
 *   many N                 that many A records, 10.x.y.z
 *   soa TTL MINIMUM        in the authority section
 *   extra NAME TTL ADDRESS an A record in the additional section
 *   class N   rcode N      of the records that follow; of the message
 *   question NAME   id     not the question, not the id that was asked
 *   tc   loss   hold       truncated over UDP, none over UDP, none until released
 *   raw HEX   raw +HEX     these bytes instead of all after the id; at the end
 */
#ifndef TESTS_UNIT_DNS_SERVER_H
#define TESTS_UNIT_DNS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define DNS_HELD_MAX 1024

struct dns_zone {
	const char *name, *a, *aaaa; /* NULL: no such record, with a SOA of 300 s */
};

struct dns_question {
	int fd; /* to answer through */
	bool tcp;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	uint16_t id, type;
	char name[256];
	uint8_t wire[300]; /* the question section */
	size_t wire_len;
};

struct dns_server {
	int udp, listener, stream;
	int family;
	uint16_t port;
	const struct dns_zone *zone; /* ends with a NULL name */
	unsigned asked[2];           /* A, AAAA */
	unsigned asked_tcp;
	struct dns_question held[DNS_HELD_MAX];
	unsigned n_held;
	size_t stream_len;
	uint8_t stream_bytes[1024];
};

/* On port of the loopback address; 0: one that is free for both UDP and TCP. Ends the program if
 * there is none. */
void dns_server_open(struct dns_server *d, int family, uint16_t port, const struct dns_zone *zone);
void dns_server_close(struct dns_server *d);
/* Answers what was asked meanwhile; false: nothing was. */
bool dns_serve(struct dns_server *d);
/* Answers one question, whatever the zone says; text as in a zone, NULL: no such record. */
void dns_answer(struct dns_server *d, const struct dns_question *q, const char *text);
/* The same for held question i, which is held no more. */
void dns_release(struct dns_server *d, unsigned i, const char *text);

#endif
