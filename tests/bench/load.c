/* SPDX-License-Identifier: MIT */
/*
 * The load of the bench, from both ends: a client and a server that do nothing but move bytes.
 *
 *   load serve PORT:MODE...
 *        On all addresses. MODE reply: 64 bytes after the first that came, then close; hold: the
 *        same, and stays open; bulk: sends until the client goes.
 *   load rate FILE PORT N SECONDS ADDRESS...
 *        N connections at a time, each sends FILE and reads to the end.
 *   load each FILE PORT N ADDRESS...
 *        The same one after the other, N of them in all.
 *   load hold FILE PORT N ADDRESS...
 *        Opens N, reads one reply from each, says "held N", waits for the end of stdin.
 *   load bulk FILE PORT N SECONDS ADDRESS...
 *        N streams for so long.
 *
 * rate, each and bulk print "served closed failed median-us bytes ns": connections that brought
 * bytes, that were closed or reset without one, that never came about; the median time of one;
 * bytes received; and how long it took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS    256
#define ADDRESSES 64
#define REPLY     64
#define CHUNK     (256 * 1024)
#define SAMPLES   65536
#define FDS       65536
#define EACH_SECONDS 100

enum mode { MODE_NONE = 0, MODE_LISTEN, MODE_REPLY, MODE_HOLD, MODE_BULK };

struct peer {
	enum mode mode;  /* of a listener: MODE_LISTEN, and what it accepts is `accepts` */
	enum mode accepts;
	long start_ns;
	size_t bytes;
};

struct load {
	char hello[16384];
	size_t hello_len;
	struct sockaddr_in to[ADDRESSES];
	unsigned n_to, next;
	int epoll;
	long served, closed, failed, bytes, opened;
	unsigned samples;
	long took_us[SAMPLES];
};

static struct peer peers[FDS];
static char chunk[CHUNK];

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(70);
}

static long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (fd >= FDS || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

/* The server */

static void listen_on(int epoll, const char *spec)
{
	char *end;
	long port = strtol(spec, &end, 10);
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 4096) < 0)
		die(spec);
	watch(epoll, fd, EPOLLIN);
	peers[fd].mode = MODE_LISTEN;
	peers[fd].accepts = strcmp(end, ":hold") == 0   ? MODE_HOLD
	                    : strcmp(end, ":bulk") == 0 ? MODE_BULK : MODE_REPLY;
}

static void accept_all(int epoll, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		peers[fd].mode = peers[listener].accepts;
		watch(epoll, fd, EPOLLIN);
	}
}

static void serve_one(int epoll, int fd, uint32_t events)
{
	struct peer *p = &peers[fd];
	ssize_t n = 1;

	if (p->mode == MODE_BULK && (events & EPOLLOUT)) {
		while ((n = send(fd, chunk, CHUNK, MSG_NOSIGNAL)) > 0)
			;
		if (errno != EAGAIN)
			close(fd);
		return;
	}
	n = recv(fd, chunk, CHUNK, 0);
	bool fine = n > 0;
	if (fine && p->mode != MODE_BULK)
		fine = send(fd, chunk, REPLY, MSG_NOSIGNAL) == REPLY;
	if (!fine || p->mode == MODE_REPLY) {
		close(fd);
		return;
	}
	if (p->mode == MODE_BULK) {
		struct epoll_event e = { .events = EPOLLOUT, .data.fd = fd };
		epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &e);
	}
}

static _Noreturn void serve(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < argc; i++)
		listen_on(epoll, argv[i]);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (peers[fd].mode == MODE_LISTEN)
				accept_all(epoll, fd);
			else
				serve_one(epoll, fd, events[i].events);
		}
	}
}

/* The client */

static void open_load(struct load *l, const char *file, const char *port, char **address, int n)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, l->hello, sizeof(l->hello));

	if (len <= 0)
		die(file);
	close(fd);
	l->hello_len = (size_t)len;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < n && i < ADDRESSES; i++) {
		l->to[i].sin_family = AF_INET;
		l->to[i].sin_port = htons((uint16_t)atoi(port));
		if (inet_pton(AF_INET, address[i], &l->to[i].sin_addr) != 1)
			die(address[i]);
		l->n_to++;
	}
}

/* A connection that says its hello as soon as it stands. */
static int begin(struct load *l)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	peers[fd] = (struct peer){ .mode = MODE_REPLY, .start_ns = now_ns() };
	struct sockaddr_in *to = &l->to[l->next++ % l->n_to];
	if (connect(fd, (struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		die("connect");
	watch(l->epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET);
	l->opened++;
	return fd;
}

static void end(struct load *l, int fd, bool connected)
{
	struct peer *p = &peers[fd];

	if (p->bytes)
		l->served++;
	else if (connected)
		l->closed++;
	else
		l->failed++;
	if (l->samples < SAMPLES)
		l->took_us[l->samples++] = (now_ns() - p->start_ns) / 1000;
	close(fd);
}

/* True when the connection is over. */
static bool turn(struct load *l, int fd, uint32_t events)
{
	struct peer *p = &peers[fd];

	if (p->mode == MODE_REPLY && (events & EPOLLOUT)) {
		int error = 0;
		socklen_t len = sizeof(error);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error || send(fd, l->hello, l->hello_len, MSG_NOSIGNAL) < 0) {
			end(l, fd, !error || error == ECONNRESET);
			return true;
		}
		p->mode = MODE_HOLD;
	}
	if (p->mode != MODE_HOLD)
		return false;
	for (;;) {
		ssize_t n = recv(fd, chunk, CHUNK, MSG_TRUNC);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			end(l, fd, true);
			return true;
		}
		p->bytes += (size_t)n;
		l->bytes += n;
	}
}

/*
 * Turns for so many seconds with `keep` connections under way, or until `total` are over if that is
 * not 0. Returns nanoseconds taken.
 */
static long run(struct load *l, long keep, long seconds, long total)
{
	struct epoll_event events[EVENTS];
	long start = now_ns(), stop = start + seconds * 1000000000L, under_way = 0;

	while (under_way < keep) {
		begin(l);
		under_way++;
	}
	while (now_ns() < stop && !(total && l->served + l->closed + l->failed >= total)) {
		int n = epoll_wait(l->epoll, events, EVENTS, 100);
		for (int i = 0; i < n; i++) {
			bool over = turn(l, events[i].data.fd, events[i].events);
			if (over && (!total || l->opened < total))
				begin(l);
		}
	}
	return now_ns() - start;
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return x < y ? -1 : x > y;
}

static int hold(struct load *l, long want)
{
	struct epoll_event events[EVENTS];
	long waits = 0;
	char byte;

	while (l->bytes < want * REPLY) {
		/* A few at a time, so that no queue of listeners overflows. */
		while (l->opened < want && l->opened < l->bytes / REPLY + 64)
			begin(l);
		int n = epoll_wait(l->epoll, events, EVENTS, 100);
		for (int i = 0; i < n; i++)
			if (turn(l, events[i].data.fd, events[i].events))
				l->failed++;
		waits = n ? 0 : waits + 1;
		if (l->failed || waits > 50) {
			fprintf(stderr, "load: hold: %ld of %ld\n", l->bytes / REPLY, want);
			return 1;
		}
	}
	printf("held %ld\n", want);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}

static void report(struct load *l, long ns)
{
	qsort(l->took_us, l->samples, sizeof(l->took_us[0]), compare);
	printf("%ld %ld %ld %ld %ld %ld\n", l->served, l->closed, l->failed,
	       l->samples ? l->took_us[l->samples / 2] : 0, l->bytes, ns);
}

int main(int argc, char **argv)
{
	static struct load l;

	if (argc > 2 && strcmp(argv[1], "serve") == 0)
		serve(argc - 2, argv + 2);
	if (argc > 5 && strcmp(argv[1], "hold") == 0) {
		open_load(&l, argv[2], argv[3], argv + 5, argc - 5);
		return hold(&l, atol(argv[4]));
	}
	if (argc > 6 && (strcmp(argv[1], "rate") == 0 || strcmp(argv[1], "bulk") == 0)) {
		open_load(&l, argv[2], argv[3], argv + 6, argc - 6);
		report(&l, run(&l, atol(argv[4]), atol(argv[5]), 0));
		return 0;
	}
	if (argc > 5 && strcmp(argv[1], "each") == 0) {
		open_load(&l, argv[2], argv[3], argv + 5, argc - 5);
		report(&l, run(&l, 1, EACH_SECONDS, atol(argv[4])));
		return 0;
	}
	fprintf(stderr, "usage: load serve|rate|hold|bulk ...: see the top of load.c\n");
	return 64;
}
