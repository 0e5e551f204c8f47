/* SPDX-License-Identifier: MIT */
/*
 * Where access-log lines go. Several workers write to one sink; nothing may block, and no line may
 * be torn by another worker's: a file opened for appending takes a batch in one write, pipes and
 * stream sockets take up to ACCESS_LINE_MAX bytes in one piece or not at all, and datagrams are a
 * line each.
 */
#include "tproxy/access_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tproxy/fd.h"
#include "tproxy/log.h"

#define SYSLOG_PATH "/dev/log"
#define DAEMON_INFO 30 /* RFC 3164 4.1.1: facility 3, severity 6 */
#define OPEN_FLAGS  (O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

enum sink_type { SINK_OFF = 0, SINK_FILE, SINK_PIPE, SINK_STREAM, SINK_DATAGRAM, SINK_SYSLOG };

struct access_sink {
	_Atomic(enum sink_type) type;
	int fd;                       /* never changes: reopening puts another file behind it */
	bool inherited;               /* the open file description is others' too: it may block */
	atomic_int_least64_t retry_s; /* syslog: not to be looked for again before */
	atomic_bool connected;
	pthread_mutex_t lock;         /* of an inherited descriptor, from asking it to writing */
	struct log_limit limit;
	size_t prefix_len;
	char prefix[48];              /* of syslog lines */
	char kind[];
};

static enum sink_type type_of(int fd)
{
	static const enum sink_type types[] = {
		[FD_OTHER] = SINK_PIPE,
		[FD_FILE] = SINK_FILE,
		[FD_STREAM] = SINK_STREAM,
		[FD_DATAGRAM] = SINK_DATAGRAM,
	};
	return types[fd_kind(fd)];
}

static int open_inherited(struct access_sink *s, int number)
{
	s->fd = fd_open_again(number);
	if (s->fd < 0) {
		s->fd = fcntl(number, F_DUPFD_CLOEXEC, 0);
		s->inherited = true;
	}
	if (s->fd < 0)
		return -1;
	s->type = type_of(s->fd);
	/* Another's offset would write over what others append. */
	if (s->inherited && s->type == SINK_FILE)
		return fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_APPEND);
	return 0;
}

static int open_path(struct access_sink *s)
{
	s->fd = open(s->kind, OPEN_FLAGS | O_CREAT, 0640);
	if (s->fd < 0)
		return -1;
	s->type = type_of(s->fd);
	return 0;
}

static bool syslog_connect(struct access_sink *s)
{
	static const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = SYSLOG_PATH };
	int64_t now = clock_monotonic_ms() / 1000, retry = s->retry_s;

	if (now < retry || !atomic_compare_exchange_strong(&s->retry_s, &retry, now + 1))
		return false;
	if (connect(s->fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
		log_limited(&s->limit, "access log: %s: %s", SYSLOG_PATH, strerror(errno));
		return false;
	}
	s->connected = true;
	return true;
}

static int open_syslog(struct access_sink *s)
{
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -1;
	s->type = SINK_SYSLOG;
	s->prefix_len = (size_t)snprintf(s->prefix, sizeof(s->prefix),
	                                 "<%d>sluice-tproxy[%ld]: ", DAEMON_INFO, (long)getpid());
	/* At boot syslogd may come after us. */
	(void)syslog_connect(s);
	return 0;
}

static int open_kind(struct access_sink *s)
{
	s->fd = -1;
	s->inherited = false;
	if (!strcmp(s->kind, "off"))
		return 0;
	if (!strcmp(s->kind, "syslog"))
		return open_syslog(s);
	if (!strcmp(s->kind, "/dev/stdout"))
		return open_inherited(s, STDOUT_FILENO);
	if (!strcmp(s->kind, "/dev/stderr"))
		return open_inherited(s, STDERR_FILENO);
	return open_path(s);
}

struct access_sink *access_sink_open(const char *kind)
{
	size_t len = strlen(kind) + 1;
	struct access_sink *s = calloc(1, sizeof(*s) + len);

	if (!s)
		return NULL;
	memcpy(s->kind, kind, len);
	pthread_mutex_init(&s->lock, NULL);
	if (open_kind(s) == 0)
		return s;
	int e = errno;
	access_sink_close(s);
	errno = e;
	return NULL;
}

void access_sink_close(struct access_sink *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *access_sink_kind(const struct access_sink *s)
{
	return s->kind;
}

bool access_sink_is_off(const struct access_sink *s)
{
	return !s || s->type == SINK_OFF;
}

int access_sink_reopen(struct access_sink *s)
{
	if (s->kind[0] != '/' || !strcmp(s->kind, "/dev/stdout") || !strcmp(s->kind, "/dev/stderr"))
		return 0;
	int fd = open(s->kind, OPEN_FLAGS | O_CREAT, 0640);
	if (fd < 0)
		return -1;
	enum sink_type type = type_of(fd);
	int r = dup3(fd, s->fd, O_CLOEXEC);
	int e = errno;
	close(fd);
	if (r < 0) {
		errno = e;
		return -1;
	}
	s->type = type;
	return 0;
}

int access_sink_own(struct access_sink *s, uid_t uid, gid_t gid)
{
	if (s->kind[0] != '/' || s->inherited || s->type != SINK_FILE)
		return 0;
	if (!strcmp(s->kind, "/dev/stdout") || !strcmp(s->kind, "/dev/stderr"))
		return 0;
	return fchown(s->fd, uid, gid);
}

/* The largest number of bytes up to limit that ends with a line. */
static size_t whole_lines(const struct iovec piece[2], size_t limit)
{
	if (piece[0].iov_len + piece[1].iov_len <= limit)
		return piece[0].iov_len + piece[1].iov_len;
	for (int i = 1; i >= 0; i--) {
		size_t before = i ? piece[0].iov_len : 0;
		if (limit <= before)
			continue;
		size_t len = limit - before < piece[i].iov_len ? limit - before : piece[i].iov_len;
		const char *end = memrchr(piece[i].iov_base, '\n', len);
		if (end)
			return before + (size_t)(end - (const char *)piece[i].iov_base) + 1;
	}
	return limit;
}

static size_t first_line(const struct iovec piece[2])
{
	const char *end = memchr(piece[0].iov_base, '\n', piece[0].iov_len);

	if (end)
		return (size_t)(end - (const char *)piece[0].iov_base) + 1;
	end = piece[1].iov_len ? memchr(piece[1].iov_base, '\n', piece[1].iov_len) : NULL;
	return piece[0].iov_len +
	       (end ? (size_t)(end - (const char *)piece[1].iov_base) + 1 : piece[1].iov_len);
}

/* The first len bytes of both pieces. Returns how many pieces that are. */
static int take(struct iovec out[2], const struct iovec piece[2], size_t len)
{
	out[0] = piece[0];
	out[1] = piece[1];
	if (len <= piece[0].iov_len) {
		out[0].iov_len = len;
		return 1;
	}
	out[1].iov_len = len - piece[0].iov_len;
	return 2;
}

static ssize_t send_pieces(int fd, struct iovec *v, int n)
{
	const struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n };
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t write_file(struct access_sink *s, const struct iovec piece[2])
{
	struct iovec v[2];
	return writev(s->fd, v, take(v, piece, piece[0].iov_len + piece[1].iov_len));
}

static ssize_t write_pipe(struct access_sink *s, const struct iovec piece[2])
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	struct iovec v[2];
	int n = take(v, piece, whole_lines(piece, ACCESS_LINE_MAX));

	if (!s->inherited)
		return writev(s->fd, v, n);
	if (pthread_mutex_trylock(&s->lock) != 0) {
		errno = EAGAIN;
		return -1;
	}
	ssize_t r = -1;
	errno = EAGAIN;
	if (poll(&p, 1, 0) == 1)
		r = writev(s->fd, v, n);
	int e = errno;
	pthread_mutex_unlock(&s->lock);
	errno = e;
	return r;
}

static ssize_t write_stream(struct access_sink *s, const struct iovec piece[2])
{
	struct iovec v[2];
	int n = take(v, piece, whole_lines(piece, ACCESS_LINE_MAX));
	return send_pieces(s->fd, v, n);
}

static ssize_t write_datagram(struct access_sink *s, const struct iovec piece[2])
{
	struct iovec v[2];
	int n = take(v, piece, first_line(piece));
	return send_pieces(s->fd, v, n);
}

static ssize_t write_syslog(struct access_sink *s, const struct iovec piece[2])
{
	struct iovec v[3] = { { .iov_base = s->prefix, .iov_len = s->prefix_len } };
	size_t line = first_line(piece);
	int n = take(v + 1, piece, line);

	errno = EAGAIN;
	if (!s->connected && !syslog_connect(s))
		return -1;
	v[n].iov_len--; /* the newline */
	if (send_pieces(s->fd, v, n + 1) >= 0)
		return (ssize_t)line;
	if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
		s->connected = false;
	return -1;
}

size_t access_sink_write(struct access_sink *s, const struct iovec piece[2])
{
	static ssize_t (*const writers[])(struct access_sink *, const struct iovec *) = {
		[SINK_FILE] = write_file, [SINK_PIPE] = write_pipe, [SINK_STREAM] = write_stream,
		[SINK_DATAGRAM] = write_datagram, [SINK_SYSLOG] = write_syslog,
	};
	enum sink_type type = s->type;

	if (type == SINK_OFF)
		return piece[0].iov_len + piece[1].iov_len;
	ssize_t n = writers[type](s, piece);
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOBUFS)
		log_limited(&s->limit, "access log: %s: %s", s->kind, strerror(errno));
	return 0;
}
