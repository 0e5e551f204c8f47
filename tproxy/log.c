/* SPDX-License-Identifier: MIT */
/* Diagnostics on stderr. */
#include "tproxy/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tproxy/clock.h"
#include "tproxy/fd.h"

#define LINE_SIZE 1024
#define PROGRAM "sluice-tproxy: "

enum style {
	STYLE_PLAIN, /* before log_init(): a message of the command line */
	STYLE_TIMED,
	STYLE_JOURNAL, /* the journal adds the time, and reads the level from "<N>" */
};

/* The process has one stderr. Set once, before there are threads. */
static struct {
	enum log_level level;
	enum style style;
	int fd;
	bool socket, blocks;
} out = { .level = LOG_LEVEL_INFO, .style = STYLE_PLAIN, .fd = STDERR_FILENO, .blocks = false };

static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	char *end;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	return strtoull(stream, &end, 10) == st.st_dev && *end == ':' &&
	       strtoull(end + 1, &end, 10) == st.st_ino && !*end;
}

void log_init(enum log_level level)
{
	enum fd_kind kind = fd_kind(STDERR_FILENO);

	out.level = level;
	out.style = is_journal() ? STYLE_JOURNAL : STYLE_TIMED;
	out.socket = kind == FD_STREAM || kind == FD_DATAGRAM;
	if (kind != FD_OTHER)
		return;
	int fd = fd_open_again(STDERR_FILENO);
	if (fd >= 0)
		out.fd = fd;
	else
		out.blocks = true;
}

static void emit(const char *line, size_t len)
{
	if (out.socket) {
		(void)!send(out.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	struct pollfd p = { .fd = out.fd, .events = POLLOUT };
	if (out.blocks && poll(&p, 1, 0) != 1)
		return;
	(void)!write(out.fd, line, len);
}

static void print(enum log_level level, unsigned suppressed, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void print(enum log_level level, unsigned suppressed, const char *format, va_list ap)
{
	static const char *const names[] = { "error: ", "warning: ", "", "debug: " };
	static const char priorities[] = "3467";
	char line[LINE_SIZE];
	int e = errno, at = 0, n;

	if (out.style == STYLE_TIMED) {
		clock_text(clock_real_ms(), line);
		line[CLOCK_TEXT_LEN] = ' ';
		at = CLOCK_TEXT_LEN + 1;
	}
	if (out.style == STYLE_JOURNAL)
		at = snprintf(line, sizeof(line), "<%c>", priorities[level]);
	at += snprintf(line + at, sizeof(line) - (size_t)at, "%s%s", PROGRAM,
	               out.style == STYLE_PLAIN ? "" : names[level]);
	/* What cannot be held is cut; the last bytes stay for the count and the newline. */
	size_t room = sizeof(line) - (size_t)at - 40;
	n = vsnprintf(line + at, room, format, ap);
	at += n < 0 ? 0 : (size_t)n < room ? n : (int)room - 1;
	/* Names that clients sent may stand in here. */
	for (char *c = line; c < line + at; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	if (suppressed)
		at += snprintf(line + at, sizeof(line) - (size_t)at, " (and %u more)", suppressed);
	line[at++] = '\n';
	emit(line, (size_t)at);
	errno = e;
}

#define LOG_FUNCTION(name, at_level)            \
	void name(const char *format, ...)      \
	{                                       \
		va_list ap;                     \
		if (out.level < (at_level))     \
			return;                 \
		va_start(ap, format);           \
		print(at_level, 0, format, ap); \
		va_end(ap);                     \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

void log_limited(struct log_limit *l, const char *format, ...)
{
	int64_t now = clock_monotonic_ms() / 1000 + 1; /* never 0, which a fresh budget has */
	int64_t last = __atomic_load_n(&l->last_s, __ATOMIC_RELAXED);
	va_list ap;

	if (out.level < LOG_LEVEL_WARN)
		return;
	if (last == now || !__atomic_compare_exchange_n(&l->last_s, &last, now, false,
	                                                __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&l->suppressed, 1, __ATOMIC_RELAXED);
		return;
	}
	va_start(ap, format);
	print(LOG_LEVEL_WARN, __atomic_exchange_n(&l->suppressed, 0, __ATOMIC_RELAXED), format, ap);
	va_end(ap);
}
