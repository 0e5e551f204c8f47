/* SPDX-License-Identifier: MIT */
/* The trying of probes: sockets and packets. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "init/probe.h"
#include "init/scratch.h"
#include "init/xdp.h"
#include "rules/capture.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
enum { NODEFRAG = 22, ECHO_PORT = 7, HTTPS = 443, TTL = 64 };

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* A socket belongs to whom the file-system identity says, and capabilities for the net stay. */
static int socket_as(uint32_t uid, uint32_t gid, int domain, int type, int protocol)
{
	int before_gid = setfsgid(gid), before_uid = setfsuid(uid), fd, error;

	fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	error = errno;
	(void)setfsuid((uid_t)before_uid);
	(void)setfsgid((gid_t)before_gid);
	errno = error;
	return fd;
}

static int domain_of(int family)
{
	return family == 0 ? AF_INET : AF_INET6;
}

int probe_proxy(const struct probe_place *place, int family, int type)
{
	int fd = socket_as(place->proxy_uid, place->proxy_gid, domain_of(family), type, 0);

	if (fd < 0 || set(fd, SOL_SOCKET, SO_MARK, (int)CAPTURE_MARK_PROXY(place->secret)))
		return fd;
	(void)close(fd);
	return -1;
}

/* The socket that the probe asks for, or -1 with errno. */
static int open_as(const struct probe_place *place, const struct probe *p, int domain, int type,
	int protocol)
{
	int fd = socket_as(p->as & PROBE_UID ? place->proxy_uid : place->uid,
		p->as & PROBE_GID ? place->proxy_gid : place->gid, domain, type, protocol);
	uint32_t mark = p->as & PROBE_CAPTURE ? CAPTURE_MARK
		: p->as & PROBE_SECRET        ? CAPTURE_MARK_PROXY(place->secret)
		: p->as & PROBE_PASSED        ? CAPTURE_MARK_PASS(place->secret)
		: p->as & PROBE_GUESS         ? CAPTURE_MARK_PROXY(place->secret) ^ 0x100
					      : 0;
	char name[IF_NAMESIZE] = "";

	if (fd < 0 || ((mark == 0 || set(fd, SOL_SOCKET, SO_MARK, (int)mark)) &&
		(!(p->as & PROBE_DEVICE) ||
			setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE,
				if_indextoname((unsigned)place->index, name) ? name : "",
				sizeof(name)) == 0)))
		return fd;
	int error = errno;

	(void)close(fd);
	errno = error;
	return -1;
}

static socklen_t address(struct sockaddr_storage *ss, const char *text, uint16_t port)
{
	struct addr a;

	return addr_parse(&a, text, strlen(text)) == 0 ? addr_to_sockaddr(&a, port, ss) : 0;
}

/* ---- by kind; each returns the socket, or -1 with errno, and *error is sending's ---- */

static int done(int fd, bool ok, int *error)
{
	*error = ok ? 0 : errno;
	return fd;
}

static int to_port(const struct probe_place *place, const struct probe *p, int family, int *error)
{
	static const char tag[] = PROBE_TAG;
	struct sockaddr_storage ss;
	const char *text = p->as & PROBE_LINK_LOCAL ? SCRATCH_LINK_LOCAL : place->far[family];
	socklen_t len = address(&ss, text, p->detail);
	bool udp = p->kind == PROBE_UDP;
	int fd = open_as(place, p, domain_of(family), udp ? SOCK_DGRAM : SOCK_STREAM,
		p->as & PROBE_MPTCP ? IPPROTO_MPTCP : 0);

	if (fd < 0)
		return -1;
	if (p->as & PROBE_LINK_LOCAL)
		((struct sockaddr_in6 *)&ss)->sin6_scope_id = (uint32_t)place->index;
	if (p->as & PROBE_FAST_OPEN)
		return done(fd, sendto(fd, tag, sizeof(tag), MSG_FASTOPEN | MSG_NOSIGNAL,
			(struct sockaddr *)&ss, len) >= 0 || errno == EINPROGRESS, error);
	if (connect(fd, (struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS)
		return done(fd, false, error);
	return done(fd, !udp || send(fd, tag, sizeof(tag), 0) >= 0, error);
}

static int to_local(const struct probe_place *place, const struct probe *p, int family, int *error)
{
	static const char *const by[2][2] = {{"127.0.0.1", "0.0.0.0"}, {"::1", "::"}};
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, p->detail == 2 ? place->own[family] : by[family][p->detail],
		place->port);
	int fd = open_as(place, p, domain_of(family), SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	return done(fd, connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS,
		error);
}

static int to_ip(const struct probe_place *place, const struct probe *p, int family,
	int type, int protocol, const void *data, size_t len, int *error)
{
	struct sockaddr_storage ss;
	socklen_t size = address(&ss, place->far[family], 0);
	int fd = open_as(place, p, domain_of(family), type, protocol);

	if (fd < 0)
		return -1;
	if (p->kind == PROBE_FRAGMENT && !set(fd, IPPROTO_IP, NODEFRAG, 1))
		return done(fd, false, error);
	return done(fd, sendto(fd, data, len, 0, (struct sockaddr *)&ss, size) >= 0, error);
}

/* Conntrack takes a flow up by INIT (RFC 9260 3.3.2), and by nothing else. */
static int sctp(const struct probe_place *place, const struct probe *p, int family, int *error)
{
	struct {
		uint16_t from, to;
		uint32_t tag, checksum;
		uint8_t type, flags;
		uint16_t len;
		uint32_t own_tag, window;
		uint16_t streams_out, streams_in;
		uint32_t sequence;
		char text[16];
	} packet = {
		.from = htons(45003), .to = htons(HTTPS), .type = 1, .len = htons(36),
		.own_tag = htonl(1), .window = htonl(65536), .streams_out = htons(1),
		.streams_in = htons(1), .text = PROBE_TAG,
	};

	return to_ip(place, p, family, SOCK_RAW, IPPROTO_SCTP, &packet, sizeof(packet), error);
}

static int echo(const struct probe_place *place, const struct probe *p, int family, int *error)
{
	struct { struct icmphdr head; char tag[sizeof(PROBE_TAG)]; } packet = {
		.head.type = family == 0 ? ICMP_ECHO : ICMP6_ECHO_REQUEST, .tag = PROBE_TAG,
	};
	int icmp = family == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	bool raw = p->kind == PROBE_IP;

	return to_ip(place, p, family, raw ? SOCK_RAW : SOCK_DGRAM, raw ? p->detail : icmp, &packet,
		sizeof(packet), error);
}

/* Checksums are not right: who judges on the way out does not look at them. */
static int segment(const struct probe_place *place, const struct probe *p, int family, int *error)
{
	struct {
		uint16_t from, to;
		uint32_t sequence, acknowledged;
		uint8_t offset, flags;
		uint16_t window, checksum, urgent;
		char tag[sizeof(PROBE_TAG)];
	} __attribute__((packed)) packet = {
		.from = htons((uint16_t)(45000 + p->detail + p->as)), .to = htons(HTTPS),
		.sequence = htonl(1000), .acknowledged = htonl(2000), .offset = 0x50,
		.flags = (uint8_t)p->detail, .window = htons(8192), .tag = PROBE_TAG,
	};

	return to_ip(place, p, family, SOCK_RAW, IPPROTO_TCP, &packet, sizeof(packet), error);
}

struct datagram { struct iphdr ip; struct { uint16_t from, to, len, sum; } udp; char tag[40]; };

static void datagram(const struct probe_place *place, uint16_t offset, struct datagram *d)
{
	*d = (struct datagram){
		.ip = {.version = 4, .ihl = 5, .id = htons(0x4242), .frag_off = htons(offset),
			.ttl = TTL, .protocol = IPPROTO_UDP, .tot_len = htons(sizeof(*d)),
			.saddr = inet_addr(place->own[0]), .daddr = inet_addr(place->far[0])},
		.udp = {htons(45002), htons(HTTPS), htons(sizeof(*d) - sizeof(d->ip)), 0},
		.tag = PROBE_TAG,
	};
}

static int fragment(const struct probe_place *place, const struct probe *p, int *error)
{
	struct datagram d;

	datagram(place, p->detail, &d);
	return to_ip(place, p, 0, SOCK_RAW, IPPROTO_RAW, &d, sizeof(d), error);
}

struct frame { struct ether_header head; struct datagram d; } __attribute__((packed));

static void make_frame(const struct probe_place *place, const struct probe *p, struct frame *f)
{
	struct datagram d;

	datagram(place, 0, &d);
	*f = (struct frame){.head.ether_type = htons(p->detail), .d = d};
	memcpy(f->head.ether_dhost, scratch_mac_peer, sizeof(scratch_mac_peer));
	memcpy(f->head.ether_shost, scratch_mac_node, sizeof(scratch_mac_node));
}

/* Where there are no such sockets, asking for one is all that can be tried. */
static int xdp(const struct probe_place *place, const struct probe *p, int *error, bool *untried)
{
	int fd = open_as(place, p, AF_XDP, SOCK_RAW, 0);
	struct frame f;

	*untried = fd < 0 && errno != EAFNOSUPPORT;
	if (fd < 0)
		return done(-1, false, error);
	make_frame(place, p, &f);
	if (xdp_send(fd, place->index, &f, sizeof(f)) != 0) {
		*error = errno;
		*untried = *error == EOPNOTSUPP;
	}
	if (!*untried)
		return fd;
	(void)close(fd);
	return -1;
}

static int frame(const struct probe_place *place, const struct probe *p, int *error)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(p->detail),
		.sll_ifindex = place->index};
	int fd = open_as(place, p, AF_PACKET, SOCK_RAW, 0);
	struct frame f;

	if (fd < 0)
		return -1;
	make_frame(place, p, &f);
	if ((p->as & PROBE_NO_QUEUE) && !set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1))
		return done(fd, false, error);
	return done(fd, sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) >= 0,
		error);
}

int probe_try(const struct probe_place *place, const struct probe *p, int family, int *error,
	bool *untried)
{
	int fd = -1, old = p->kind == PROBE_OLD ? place->old[family][p->detail] : -1;

	*error = 0;
	*untried = false;
	errno = ENOTCONN;
	switch ((enum probe_kind)p->kind) {
	case PROBE_TCP: case PROBE_UDP: fd = to_port(place, p, family, error); break;
	case PROBE_LOCAL: fd = to_local(place, p, family, error); break;
	case PROBE_PING: case PROBE_IP:
		fd = p->detail == IPPROTO_SCTP ? sctp(place, p, family, error)
					       : echo(place, p, family, error);
		break;
	case PROBE_SEGMENT: fd = segment(place, p, family, error); break;
	case PROBE_FRAGMENT: fd = fragment(place, p, error); break;
	case PROBE_FRAME: fd = frame(place, p, error); break;
	case PROBE_XDP: return xdp(place, p, error, untried);
	case PROBE_OLD:
		if (old < 0)
			break;
		return done(old, send(old, PROBE_TAG, sizeof(PROBE_TAG), MSG_NOSIGNAL) >= 0, error);
	}
	*untried = fd < 0;
	if (fd < 0)
		*error = errno;
	return fd;
}
