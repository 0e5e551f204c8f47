/* SPDX-License-Identifier: MIT */
/* A name server inside a test. */
#include "tests/unit/dns_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct dns_message {
	uint8_t b[65536];
	size_t len;
	uint16_t counts[4];
};

static void dns_put(struct dns_message *m, const void *bytes, size_t len)
{
	assert(len <= sizeof(m->b) - m->len);
	memcpy(m->b + m->len, bytes, len);
	m->len += len;
}

static void dns_put16(struct dns_message *m, unsigned v)
{
	dns_put(m, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

static void dns_put32(struct dns_message *m, uint32_t v)
{
	dns_put16(m, v >> 16);
	dns_put16(m, v & 0xffff);
}

static void dns_put_name(struct dns_message *m, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		dns_put(m, (uint8_t[]){ (uint8_t)n }, 1);
		dns_put(m, name, n);
		name += n + (name[n] == '.');
	}
	dns_put(m, "", 1);
}

/* owner: NULL means the name asked for, by compression pointer. */
static void dns_put_record(struct dns_message *m, int section, const char *owner, unsigned type,
                           unsigned class, uint32_t ttl, const void *data, size_t len)
{
	if (owner)
		dns_put_name(m, owner);
	else
		dns_put16(m, 0xc00c);
	dns_put16(m, type);
	dns_put16(m, class);
	dns_put32(m, ttl);
	dns_put16(m, (unsigned)len);
	dns_put(m, data, len);
	m->counts[section]++;
}

static void dns_put_named(struct dns_message *m, const char *owner, uint32_t ttl,
                          const char *target)
{
	struct dns_message name = { .len = 0 };

	dns_put_name(&name, target);
	dns_put_record(m, 1, owner, 5, 1, ttl, name.b, name.len);
}

static void dns_put_soa(struct dns_message *m, uint32_t ttl, uint32_t minimum)
{
	uint8_t data[22] = { 0 };

	data[18] = (uint8_t)(minimum >> 24);
	data[19] = (uint8_t)(minimum >> 16);
	data[20] = (uint8_t)(minimum >> 8);
	data[21] = (uint8_t)minimum;
	dns_put_record(m, 2, "test", 6, 1, ttl, data, sizeof(data));
}

struct dns_script {
	unsigned flags, class, id;
	const char *question;
	bool tc, loss, hold;
	const char *raw;
};

/* One record statement: "a [NAME@]TTL ADDRESS" and its like. */
static bool dns_record_statement(struct dns_message *m, const struct dns_script *s, const char *st)
{
	static const struct {
		const char *word;
		unsigned type;
		int family;
		size_t len;
	} kinds[] = { { "a ", 1, AF_INET, 4 },
		      { "aaaa ", 28, AF_INET6, 16 },
		      { "cname ", 5, 0, 0 } };
	char owner[256] = "", text[256];
	uint8_t addr[16];
	unsigned ttl;

	for (size_t k = 0; k < 3; k++) {
		size_t n = strlen(kinds[k].word);
		if (strncmp(st, kinds[k].word, n) != 0)
			continue;
		if (sscanf(st + n, "%255[^@ ]@%u %255s", owner, &ttl, text) != 3) {
			owner[0] = '\0';
			assert(sscanf(st + n, "%u %255s", &ttl, text) == 2);
		}
		if (kinds[k].type == 5) {
			dns_put_named(m, owner[0] ? owner : NULL, ttl, text);
			return true;
		}
		assert(inet_pton(kinds[k].family, text, addr) == 1);
		dns_put_record(m, 1, owner[0] ? owner : NULL, kinds[k].type, s->class, ttl, addr,
		               kinds[k].len);
		return true;
	}
	return false;
}

static void dns_statement(struct dns_message *m, struct dns_script *s, char *st)
{
	unsigned a, b;
	char name[256], text[64];
	uint8_t addr[4];

	if (dns_record_statement(m, s, st))
		return;
	if (sscanf(st, "soa %u %u", &a, &b) == 2) {
		dns_put_soa(m, a, b);
	} else if (sscanf(st, "extra %255s %u %63s", name, &a, text) == 3) {
		assert(inet_pton(AF_INET, text, addr) == 1);
		dns_put_record(m, 3, name, 1, 1, a, addr, 4);
	} else if (sscanf(st, "many %u", &a) == 1) {
		for (b = 0; b < a; b++)
			dns_put_record(m, 1, NULL, 1, 1, 60,
			               (uint8_t[]){ 10, (uint8_t)(b >> 16), (uint8_t)(b >> 8),
			                            (uint8_t)b },
			               4);
	} else if (sscanf(st, "rcode %u", &a) == 1) {
		s->flags = (s->flags & ~0xfu) | a;
	} else if (sscanf(st, "class %u", &a) == 1) {
		s->class = a;
	} else if (strncmp(st, "question ", 9) == 0) {
		s->question = st + 9;
	} else if (strcmp(st, "id") == 0) {
		s->id = 1;
	} else if (strcmp(st, "tc") == 0) {
		s->tc = true;
	} else if (strcmp(st, "loss") == 0) {
		s->loss = true;
	} else if (strcmp(st, "hold") == 0) {
		s->hold = true;
	} else if (strncmp(st, "raw ", 4) == 0) {
		s->raw = st + 4;
	} else {
		fprintf(stderr, "dns_server: %s?\n", st);
		abort();
	}
}

static void dns_send(const struct dns_question *q, struct dns_message *m)
{
	uint8_t len[2] = { (uint8_t)(m->len >> 8), (uint8_t)m->len };

	if (!q->tcp) {
		sendto(q->fd, m->b, m->len, MSG_NOSIGNAL, (const struct sockaddr *)&q->peer,
		       q->peer_len);
		return;
	}
	/* In two pieces, so that the length is never taken for granted. */
	send(q->fd, len, 1, MSG_NOSIGNAL);
	send(q->fd, len + 1, 1, MSG_NOSIGNAL);
	send(q->fd, m->b, m->len, MSG_NOSIGNAL);
}

/* What is bad about a response is fixed by its text; what is not said is right. */
void dns_answer(struct dns_server *d, const struct dns_question *q, const char *text)
{
	static struct dns_message m, records;
	struct dns_script s = { .flags = 0x8180, .class = 1 };
	char copy[8192], *save = NULL;

	records = (struct dns_message){ .len = 0 };
	snprintf(copy, sizeof(copy), "%s", text ? text : "soa 300 300");
	for (char *st = strtok_r(copy, ";", &save); st; st = strtok_r(NULL, ";", &save))
		dns_statement(&records, &s, st + strspn(st, " "));
	if (s.hold) {
		assert(d->n_held < DNS_HELD_MAX);
		d->held[d->n_held++] = *q;
		return;
	}
	if (s.loss && !q->tcp)
		return;
	m.len = 0;
	dns_put16(&m, q->id ^ s.id);
	dns_put16(&m, s.flags | (s.tc && !q->tcp ? 0x200 : 0));
	dns_put16(&m, 1);
	bool cut = s.tc && !q->tcp;
	for (int k = 1; k < 4; k++)
		dns_put16(&m, cut ? 0 : records.counts[k]);
	if (s.question) {
		dns_put_name(&m, s.question);
		dns_put16(&m, q->type);
		dns_put16(&m, 1);
	} else {
		dns_put(&m, q->wire, q->wire_len);
	}
	if (!cut)
		dns_put(&m, records.b, records.len);
	if (s.raw) {
		m.len = s.raw[0] == '+' ? m.len : 2;
		for (const char *h = s.raw + (s.raw[0] == '+'); h[0] && h[1]; h += 2) {
			unsigned byte;
			assert(sscanf(h, "%2x", &byte) == 1);
			dns_put(&m, (uint8_t[]){ (uint8_t)byte }, 1);
		}
	}
	dns_send(q, &m);
}

static void dns_handle(struct dns_server *d, struct dns_question *q, const uint8_t *b, size_t len)
{
	size_t at = 12, out = 0;

	assert(len > 12 && b[5] == 1);
	q->id = (uint16_t)(b[0] << 8 | b[1]);
	while (b[at]) {
		memcpy(q->name + out, b + at + 1, b[at]);
		out += b[at];
		q->name[out++] = '.';
		at += b[at] + 1u;
		assert(at < len && out < sizeof(q->name));
	}
	q->name[out ? out - 1 : 0] = '\0';
	q->type = (uint16_t)(b[at + 1] << 8 | b[at + 2]);
	q->wire_len = at + 5 - 12;
	memcpy(q->wire, b + 12, q->wire_len);
	assert(q->type == 1 || q->type == 28);
	d->asked[q->type == 28]++;
	d->asked_tcp += q->tcp;
	for (const struct dns_zone *z = d->zone; z->name; z++)
		if (strcasecmp(z->name, q->name) == 0 || strcmp(z->name, "*") == 0) {
			dns_answer(d, q, q->type == 28 ? z->aaaa : z->a);
			return;
		}
	dns_answer(d, q, "rcode 3; soa 300 300");
}

/* False: nothing came. */
static bool dns_serve_stream(struct dns_server *d)
{
	ssize_t n = recv(d->stream, d->stream_bytes + d->stream_len,
	                 sizeof(d->stream_bytes) - d->stream_len, 0);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		close(d->stream);
		d->stream = -1;
		return true;
	}
	d->stream_len += (size_t)n;
	while (d->stream_len >= 2) {
		size_t len = (size_t)(d->stream_bytes[0] << 8 | d->stream_bytes[1]);
		if (len > d->stream_len - 2)
			break;
		struct dns_question q = { .fd = d->stream, .tcp = true };
		dns_handle(d, &q, d->stream_bytes + 2, len);
		d->stream_len -= len + 2;
		memmove(d->stream_bytes, d->stream_bytes + len + 2, d->stream_len);
	}
	return true;
}

bool dns_serve(struct dns_server *d)
{
	bool some = false;
	uint8_t b[1024];

	for (;;) {
		struct dns_question q = { .fd = d->udp, .peer_len = sizeof(q.peer) };
		ssize_t n = d->udp < 0 ? -1
		                       : recvfrom(d->udp, b, sizeof(b), 0,
		                                  (struct sockaddr *)&q.peer, &q.peer_len);
		if (n < 0)
			break;
		some = true;
		dns_handle(d, &q, b, (size_t)n);
	}
	int fd = d->listener < 0 ? -1
	                         : accept4(d->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		some = true;
		if (d->stream >= 0)
			close(d->stream);
		d->stream = fd;
		d->stream_len = 0;
	}
	if (d->stream >= 0)
		some |= dns_serve_stream(d);
	return some;
}

void dns_release(struct dns_server *d, unsigned i, const char *text)
{
	struct dns_question q = d->held[i];

	memmove(d->held + i, d->held + i + 1, (d->n_held - i - 1) * sizeof(*d->held));
	d->n_held--;
	dns_answer(d, &q, text);
}

static socklen_t dns_address(const struct dns_server *d, struct sockaddr_storage *ss)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_port = htons(d->port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		                    .sin6_port = htons(d->port),
		                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	memset(ss, 0, sizeof(*ss));
	if (d->family == AF_INET)
		memcpy(ss, &in, sizeof(in));
	else
		memcpy(ss, &in6, sizeof(in6));
	return d->family == AF_INET ? sizeof(in) : sizeof(in6);
}

static bool dns_listen(struct dns_server *d)
{
	struct sockaddr_storage ss;
	socklen_t len = dns_address(d, &ss);
	int one = 1;

	d->udp = socket(d->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	d->listener = socket(d->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(d->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(d->udp, (struct sockaddr *)&ss, len) < 0)
		return false;
	getsockname(d->udp, (struct sockaddr *)&ss, &len);
	if (bind(d->listener, (struct sockaddr *)&ss, len) < 0 || listen(d->listener, 8) < 0)
		return false;
	d->port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
	return true;
}

void dns_server_close(struct dns_server *d)
{
	for (int k = 0; k < 3; k++) {
		int *fd = k == 0 ? &d->udp : k == 1 ? &d->listener : &d->stream;
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
}

void dns_server_open(struct dns_server *d, int family, uint16_t port, const struct dns_zone *zone)
{
	memset(d, 0, sizeof(*d));
	d->family = family;
	d->zone = zone;
	d->stream = -1;
	for (int tries = 0;; tries++) {
		d->port = port;
		if (dns_listen(d))
			return;
		dns_server_close(d);
		if (tries == 100) {
			perror("dns_server_open");
			abort();
		}
	}
}
