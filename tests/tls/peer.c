/* SPDX-License-Identifier: MIT */
/*
 * One side of TLS by tproxy/tls.h, for the suite: linked once with each backend.
 *
 * usage: peer client|server ADDRESS PORT [OPTION VALUE]...
 *   client: connects `count` times, one after the other. server: says "ready", serves `count`.
 *
 *   ca, cert, key FILE   name NAME   sni NAME   alt NAME   pin HEX   alpn NAME   sessions N
 *   now SECONDS   tls13 1   target N   count N
 *   early 1      server: reads the first bytes itself
 *   text TEXT    sends it, then reads to the end      send N   the same with N bytes
 *   echo 1       sends back what comes, to the end    hold N   reads no more while N bytes wait
 *   out FILE     what came is written there           half 1   close_notify after what is sent
 *   cut 1        ends without close_notify
 *
 * Prints a line of JSON for each connection, or for settings that are refused. All waiting is by
 * edge-triggered events: who says to wait without having drained its socket hangs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tproxy/tls.h"

#define LIST_MAX 8
#define BUF_SIZE 65536

static struct options {
	struct tls_settings set;
	const char *name, *text, *out;
	const char *alt[LIST_MAX], *alpn[LIST_MAX];
	uint8_t pins[LIST_MAX][TLS_PIN_SIZE];
	long now, target, count, early, send, echo, hold, half, cut;
} opt = { .count = 1, .hold = BUF_SIZE };

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(71);
}

static struct tls_bytes file_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *at;

	if (fd < 0 || fstat(fd, &st) != 0 || !(at = malloc((size_t)st.st_size + 1)))
		die(path);
	ssize_t n = read(fd, at, (size_t)st.st_size);
	close(fd);
	if (n != st.st_size)
		die(path);
	return (struct tls_bytes){ at, (size_t)n };
}

static void pin_take(const char *hex)
{
	for (size_t i = 0; i < TLS_PIN_SIZE; i++)
		sscanf(hex + 2 * i, "%2hhx", &opt.pins[opt.set.n_pins][i]);
	opt.set.n_pins++;
}

static void option_take(const char *key, const char *value)
{
	const struct { const char *key; long *to; } numbers[] = {
		{ "now", &opt.now }, { "target", &opt.target }, { "count", &opt.count },
		{ "early", &opt.early }, { "send", &opt.send }, { "echo", &opt.echo },
		{ "hold", &opt.hold }, { "half", &opt.half }, { "cut", &opt.cut },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (strcmp(key, numbers[i].key) == 0)
			*numbers[i].to = atol(value);
	if (strcmp(key, "ca") == 0)
		opt.set.ca = file_read(value);
	else if (strcmp(key, "cert") == 0)
		opt.set.certificate = file_read(value);
	else if (strcmp(key, "key") == 0)
		opt.set.private_key = file_read(value);
	else if (strcmp(key, "name") == 0)
		opt.name = value;
	else if (strcmp(key, "sni") == 0)
		opt.set.sni = value;
	else if (strcmp(key, "alt") == 0)
		opt.alt[opt.set.n_alt_names++] = value;
	else if (strcmp(key, "alpn") == 0)
		opt.alpn[opt.set.n_alpn++] = value;
	else if (strcmp(key, "pin") == 0)
		pin_take(value);
	else if (strcmp(key, "sessions") == 0)
		opt.set.sessions = (unsigned)atol(value);
	else if (strcmp(key, "tls13") == 0)
		opt.set.tls13 = true;
	else if (strcmp(key, "text") == 0)
		opt.text = value;
	else if (strcmp(key, "out") == 0)
		opt.out = value;
}

/* A connection, and what goes through it. */
struct talk {
	struct tls_session *s;
	int fd, epoll, out;
	uint8_t buf[BUF_SIZE]; /* waits to be written */
	size_t waits;
	long received, to_send;
	bool ended, told;
};

static void event_wait(const struct talk *t)
{
	struct epoll_event ev;

	if (epoll_wait(t->epoll, &ev, 1, 30000) == 0) {
		fprintf(stderr, "no event in 30 s\n");
		exit(75);
	}
}

/* Byte n of what `send` sends. */
static uint8_t pattern(long n)
{
	return (uint8_t)(n * 7 + (n >> 8) * 13 + (n >> 16));
}

static void talk_fill(struct talk *t)
{
	while (t->to_send > 0 && t->waits < BUF_SIZE)
		t->buf[t->waits++] = pattern(opt.send - t->to_send--);
}

/* > 0: moved something, 0: has to wait, < 0: failed. */
static int talk_write(struct talk *t)
{
	long n = 0;

	talk_fill(t);
	if (t->waits > 0 && (n = tls_write(t->s, t->buf, t->waits)) < 0)
		return -1;
	memmove(t->buf, t->buf + n, t->waits - (size_t)n);
	t->waits -= (size_t)n;
	if (t->waits == 0 && !t->told && (t->ended || (opt.half && t->to_send == 0))) {
		tls_close_notify(t->s);
		t->told = true;
	}
	return tls_flush(t->s) < 0 ? -1 : n > 0;
}

static int talk_read(struct talk *t)
{
	uint8_t in[BUF_SIZE];
	size_t room = sizeof(in);

	if (opt.echo) {
		room = (size_t)opt.hold > t->waits ? (size_t)opt.hold - t->waits : 0;
		if (room > BUF_SIZE - t->waits)
			room = BUF_SIZE - t->waits;
	}
	if (room == 0 || t->ended)
		return 0;
	long n = tls_read(t->s, in, room);
	if (n == TLS_CLOSED)
		t->ended = true;
	if (n <= 0)
		return n == TLS_BROKEN ? -1 : n == TLS_CLOSED;
	t->received += n;
	if (opt.echo) {
		memcpy(t->buf + t->waits, in, (size_t)n);
		t->waits += (size_t)n;
	}
	if (t->out >= 0 && write(t->out, in, (size_t)n) != n)
		die(opt.out);
	return 1;
}

static const char *talk_run(struct talk *t)
{
	enum tls_status status;

	while ((status = tls_handshake(t->s)) != TLS_DONE) {
		if (status == TLS_FAILED)
			return "refused";
		event_wait(t);
	}
	t->to_send = opt.send;
	if (opt.text) {
		t->waits = strlen(opt.text);
		memcpy(t->buf, opt.text, t->waits);
	}
	for (;;) {
		int w = talk_write(t), r = w < 0 ? 0 : talk_read(t);
		if (w < 0 || r < 0)
			return "broken";
		if (opt.cut && t->waits == 0 && t->to_send == 0 && tls_flush(t->s) == 1)
			return "cut";
		if (t->ended && t->waits == 0 && t->told)
			return "closed";
		if (w == 0 && r == 0)
			event_wait(t);
	}
}

/* The first bytes as a proxy reads them, before it knows what to do. */
static struct tls_bytes early_read(int fd)
{
	static uint8_t first[16384];
	size_t n = 0, want = 5;

	while (n < want) {
		ssize_t got = recv(fd, first + n, want - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
		if (n == 5 && want == 5)
			want += (size_t)first[3] << 8 | first[4];
	}
	return (struct tls_bytes){ first, n };
}

static void talk_print(const struct talk *t, const char *end)
{
	enum tls_fault fault = tls_session_fault(t->s);
	const char *alpn = tls_alpn(t->s);

	printf("{\"end\": \"%s\", \"fault\": \"%s\", \"version\": \"%x\", \"alpn\": \"%s\", "
	       "\"peer\": \"%s\", \"sni\": \"%s\", \"resumed\": %s, \"received\": %ld, "
	       "\"size\": %zu}\n",
	       end, tls_fault_code(fault), tls_version(t->s), alpn ? alpn : "", tls_peer(t->s),
	       tls_sni(t->s), tls_resumed(t->s) ? "true" : "false", t->received,
	       tls_session_size());
	fflush(stdout);
}

static void talk_over(struct tls_config *c, int fd)
{
	static struct talk t;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	struct tls_start how = { .fd = fd,
		                 .name = opt.name,
		                 .target = (uint32_t)opt.target,
		                 .now = opt.now ? opt.now : time(NULL) };

	t = (struct talk){ .fd = fd, .out = -1, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	t.s = malloc(tls_session_size());
	if (opt.out)
		t.out = open(opt.out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (opt.early)
		how.early = early_read(fd);
	if (t.epoll < 0 || !t.s || (opt.out && t.out < 0) ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(t.epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("talk");
	tls_session_start(t.s, c, &how);
	const char *end = talk_run(&t);
	talk_print(&t, end);
	tls_session_end(t.s);
	free(t.s);
	close(t.epoll);
	close(fd);
	if (t.out >= 0)
		close(t.out);
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		die(address);
	return to;
}

static void client_run(struct tls_config *c, const struct sockaddr_in *to)
{
	for (long k = 0; k < opt.count; k++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
			die("connect");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		talk_over(c, fd);
	}
}

static void server_run(struct tls_config *c, const struct sockaddr_in *at)
{
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (const struct sockaddr *)at, sizeof(*at)) != 0 || listen(listener, 16) != 0)
		die("listen");
	puts("ready");
	fflush(stdout);
	for (long k = 0; k < opt.count; k++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			die("accept");
		talk_over(c, fd);
	}
	close(listener);
}

int main(int argc, char **argv)
{
	struct tls_problem problem;

	if (argc < 4 || argc % 2 != 0)
		return 64;
	for (int i = 4; i < argc; i += 2)
		option_take(argv[i], argv[i + 1]);
	opt.set.server = strcmp(argv[1], "server") == 0;
	opt.set.alt_names = opt.alt;
	opt.set.alpn = opt.alpn;
	opt.set.pins = (const uint8_t (*)[TLS_PIN_SIZE])opt.pins;
	struct tls_config *c = tls_config_open(&opt.set, &problem);
	if (!c) {
		printf("{\"end\": \"settings\", \"fault\": \"%s\", \"object\": \"%s\", \"nth\": %u}\n",
		       tls_fault_code(problem.fault), problem.object, problem.nth);
		return 78;
	}
	struct sockaddr_in address = address_of(argv[2], argv[3]);
	if (opt.set.server)
		server_run(c, &address);
	else
		client_run(c, &address);
	tls_config_close(c);
	free((void *)opt.set.ca.at);
	free((void *)opt.set.certificate.at);
	free((void *)opt.set.private_key.at);
	return 0;
}
