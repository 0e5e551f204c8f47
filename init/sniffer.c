/* SPDX-License-Identifier: MIT */
/* What really goes over a wire: a packet socket. */
#include "init/sniffer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "init/child.h"
#include "init/probe.h"

enum { FENCE_MS = 2000, FENCE_PORT = 9, DESTINATION4 = 16, DESTINATION6 = 24, NEXT_HEADER = 6 };

int sniffer_open(struct sniffer *s, int index)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = index};
	int size = 1 << 20;

	s->fences = 0;
	s->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -1;
	(void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return bind(s->fd, (const struct sockaddr *)&at, sizeof(at));
}

struct packet {
	uint8_t data[2048];
	size_t len;
	struct sockaddr_ll from;
};

static bool next(const struct sniffer *s, struct packet *p)
{
	socklen_t size = sizeof(p->from);
	ssize_t n;

	do
		n = recvfrom(s->fd, p->data, sizeof(p->data), 0, (struct sockaddr *)&p->from, &size);
	while (n < 0 && errno == EINTR);
	p->len = n > 0 ? (size_t)n : 0;
	return n >= 0;
}

static bool holds(const struct packet *p, const char *text)
{
	return memmem(p->data, p->len, text, strlen(text)) != NULL;
}

/* ARP, neighbour discovery and MLD, unless they carry what a probe sent. */
static bool is_upkeep(const struct packet *p)
{
	uint16_t type = ntohs(p->from.sll_protocol);
	size_t at = 40;

	if (holds(p, PROBE_TAG))
		return false;
	if (type == ETHERTYPE_ARP)
		return true;
	if (type != ETHERTYPE_IPV6 || p->len < 49)
		return false;
	if (p->data[NEXT_HEADER] == IPPROTO_HOPOPTS)
		at = 48;
	else if (p->data[NEXT_HEADER] != IPPROTO_ICMPV6)
		return false;
	return (p->data[at] >= 130 && p->data[at] <= 136) || p->data[at] == 143;
}

static bool is_to(const struct packet *p, const char *const *only)
{
	struct addr a;
	uint16_t type = ntohs(p->from.sll_protocol);
	bool v4 = type == ETHERTYPE_IP;
	size_t at = v4 ? DESTINATION4 : DESTINATION6, len = v4 ? 4 : 16;

	return (v4 || type == ETHERTYPE_IPV6) && p->len >= at + len &&
		addr_parse(&a, only[!v4], strlen(only[!v4])) == 0 &&
		memcmp(p->data + at, a.b + sizeof(a.b) - len, len) == 0;
}

int sniffer_count(struct sniffer *s, const char *const *only)
{
	static struct packet p;
	int n = 0;

	while (next(s, &p))
		n += p.from.sll_pkttype == PACKET_OUTGOING && p.from.sll_hatype != ARPHRD_LOOPBACK &&
			is_to(&p, only);
	return n;
}

int sniffer_fence(struct sniffer *s, int proxy, const char *to)
{
	static struct packet p;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(FENCE_PORT),
		.sin_addr.s_addr = inet_addr(to)};
	struct pollfd wait = {.fd = s->fd, .events = POLLIN};
	uint64_t end = child_clock() + FENCE_MS;
	char text[32];
	int n = 0;

	snprintf(text, sizeof(text), "sluice-fence-%08x", ++s->fences);
	if (sendto(proxy, text, strlen(text), 0, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	while (child_clock() < end) {
		while (next(s, &p)) {
			if (p.from.sll_pkttype == PACKET_OUTGOING)
				continue;
			if (holds(&p, text))
				return n;
			n += !is_upkeep(&p) && !holds(&p, "sluice-fence-");
		}
		(void)poll(&wait, 1, FENCE_MS);
	}
	return -1;
}
