/* SPDX-License-Identifier: MIT */
/* How rings and sinks pass the access log's lines on: whole, in order, never blocking. */
/* LINK: rules/addr.c tproxy/clock.c tproxy/fd.c tproxy/log.c tproxy/stats.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tproxy/access_format.c"
#include "tproxy/access_sink.c"
#include "tproxy/access.c"

/* A file that lines can be read back from. */
struct place { char path[64]; };

static void place_make(struct place *p)
{
	strcpy(p->path, "/tmp/sluice-access-XXXXXX");
	int fd = mkstemp(p->path);
	assert_true(fd >= 0);
	close(fd);
}

static size_t place_read(const struct place *p, char *out, size_t room)
{
	int fd = open(p->path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, out, room - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(fd);
	return (size_t)n;
}

static void put_path(struct access_log *l, const char *path, int expect)
{
	struct access_record r = { .service_ms = -1, .path = { path, strlen(path) } };
	assert_int_equal(access_put(l, &r), expect);
}

static void files_take_all_and_rotate(void **state)
{
	struct place p, moved;
	static char text[1 << 16];

	(void)state;
	place_make(&p);
	place_make(&moved);
	struct access_sink *s = access_sink_open(p.path);
	assert_non_null(s);
	assert_int_equal(s->type, SINK_FILE);
	struct access_log *l = access_log_open(s, POLICY_LOG_TEXT, 8192);
	/* Several times round the ring. */
	for (int i = 0; i < 200; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/%d", i);
		put_path(l, path, 0);
		if (i % 7 == 0)
			assert_int_equal(access_flush(l), 0);
	}
	assert_int_equal(access_flush(l), 0);
	place_read(&p, text, sizeof(text));
	char *at = text;
	for (int i = 0; i < 200; i++) {
		char expect[64];
		snprintf(expect, sizeof(expect), "[1970-01-01T00:00:00.000Z] \"- /%d -\" 0 ", i);
		assert_memory_equal(at, expect, strlen(expect));
		at = strchr(at, '\n') + 1;
	}
	assert_int_equal(*at, '\0');
	/* The old file goes on until it is reopened. */
	assert_int_equal(rename(p.path, moved.path), 0);
	put_path(l, "/old", 0);
	access_flush(l);
	assert_int_equal(access_sink_reopen(s), 0);
	put_path(l, "/new", 0);
	access_flush(l);
	place_read(&p, text, sizeof(text));
	assert_non_null(strstr(text, "/new"));
	assert_null(strstr(text, "/old"));
	place_read(&moved, text, sizeof(text));
	assert_non_null(strstr(text, "/old"));
	access_log_close(l);
	access_sink_close(s);
	unlink(p.path);
	unlink(moved.path);
}

static void failed_reopening_keeps_the_old_file(void **state)
{
	char dir[] = "/tmp/sluice-access-XXXXXX", path[64], moved[64];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(moved, sizeof(moved), "%s.log", dir);
	struct access_sink *s = access_sink_open(path);
	struct access_log *l = access_log_open(s, POLICY_LOG_TEXT, 8192);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(access_sink_reopen(s), -1);
	assert_int_equal(errno, ENOENT);
	put_path(l, "/still", 0);
	assert_int_equal(access_flush(l), 0);
	assert_int_equal(stat(moved, &st), 0);
	assert_true(st.st_size > 0);
	assert_int_equal(st.st_mode & 07777 & ~(mode_t)0640, 0);
	unlink(moved);
	access_log_close(l);
	access_sink_close(s);
}

/* Puts lines of many sizes until the reader's side is full, then reads: what was accepted comes out
 * whole, in order, nothing else. */
static void check_backpressure(struct access_sink *s, int reader, bool datagrams)
{
	struct access_log *a = access_log_open(s, POLICY_LOG_TEXT, 8192),
			  *b = access_log_open(s, POLICY_LOG_TEXT, 16384);
	static char got[1 << 22];
	size_t n = 0;
	unsigned put[2] = { 0, 0 }, dropped = 0;
	char path[1100];

	fcntl(reader, F_SETFL, O_NONBLOCK);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3000; i++) {
			int which = i & 1;
			int len = snprintf(path, sizeof(path), "/%c%u.", 'a' + which, put[which]);
			memset(path + len, 'x', (size_t)(i * 37 % 1000));
			struct access_record r = { .service_ms = -1,
				                   .path = { path, (size_t)len + (size_t)(i * 37 %
				                                                          1000) } };
			if (access_put(which ? b : a, &r) == 0)
				put[which]++;
			else
				dropped++;
			if (i % 3 == 0)
				access_flush(which ? b : a);
		}
		for (;;) {
			size_t left = access_flush(a) + access_flush(b);
			ssize_t r = read(reader, got + n, sizeof(got) - n);
			if (r > 0 && datagrams)
				assert_ptr_equal(memchr(got + n, '\n', (size_t)r), got + n + r - 1);
			if (r <= 0 && !left)
				break;
			n += r > 0 ? (size_t)r : 0;
		}
	}
	assert_true(dropped > 0);
	assert_true(put[0] > 10 && put[1] > 10);
	unsigned seen[2] = { 0, 0 };
	for (char *at = got; at < got + n;) {
		char *end = memchr(at, '\n', (size_t)(got + n - at));
		assert_non_null(end);
		char which;
		unsigned number;
		assert_int_equal(
			sscanf(at, "[1970-01-01T00:00:00.000Z] \"- /%c%u.", &which, &number), 2);
		assert_int_equal(number, seen[which - 'a']++);
		assert_memory_equal(end - 4, " - - ", 4);
		at = end + 1;
	}
	assert_int_equal(seen[0], put[0]);
	assert_int_equal(seen[1], put[1]);
	access_log_close(a);
	access_log_close(b);
}

static void pipes_take_whole_lines(void **state)
{
	char dir[] = "/tmp/sluice-access-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	struct access_sink *s = access_sink_open(path);
	assert_non_null(s);
	assert_int_equal(s->type, SINK_PIPE);
	check_backpressure(s, reader, false);
	access_sink_close(s);
	close(reader);
	assert_null(access_sink_open(path));
	assert_int_equal(errno, ENXIO);
	unlink(path);
	rmdir(dir);
}

/* Descriptor 1 is a pipe or socket for as long as f runs. */
static void with_stdout(int fd, struct access_sink **s)
{
	int keep;

	fflush(stdout);
	keep = dup(1);
	assert_int_equal(dup2(fd, 1), 1);
	*s = access_sink_open("/dev/stdout");
	assert_int_equal(dup2(keep, 1), 1);
	close(keep);
	assert_non_null(*s);
}

static void stdout_may_be_anything(void **state)
{
	int p[2];
	struct access_sink *s;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	with_stdout(p[1], &s);
	assert_false(s->inherited);
	assert_int_equal(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
	check_backpressure(s, p[0], false);
	/* A pipe that cannot be opened again: whoever shares it must not meet O_NONBLOCK, and still
	 * nothing blocks. */
	s->inherited = true;
	assert_int_equal(fcntl(s->fd, F_SETFL, O_WRONLY), 0);
	check_backpressure(s, p[0], false);
	access_sink_close(s);
	close(p[0]);
	close(p[1]);
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		assert_int_equal(socketpair(AF_UNIX, type, 0, p), 0);
		with_stdout(p[1], &s);
		assert_true(s->inherited);
		assert_int_equal(s->type, type == SOCK_STREAM ? SINK_STREAM : SINK_DATAGRAM);
		assert_int_equal(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
		check_backpressure(s, p[0], type == SOCK_DGRAM);
		access_sink_close(s);
		close(p[0]);
		close(p[1]);
	}
}

static void off_costs_nothing(void **state)
{
	struct access_sink *s = access_sink_open("off");
	struct access_log *l = access_log_open(s, POLICY_LOG_TEXT, 8192);
	struct access_log *none = access_log_open(NULL, POLICY_LOG_TEXT, 8192);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		put_path(l, "/x", 0);
		put_path(none, "/x", 0);
	}
	assert_int_equal(access_flush(l), 0);
	assert_int_equal(l->tail, 0);
	assert_int_equal(access_flush(none), 0);
	access_log_close(l);
	access_log_close(none);
	access_sink_close(s);
}

static void switching_loses_nothing_but_torn_lines(void **state)
{
	struct place p, q;
	static char text[1 << 16];

	(void)state;
	place_make(&p);
	place_make(&q);
	struct access_sink *s = access_sink_open(p.path), *t = access_sink_open(q.path);
	struct access_log *l = access_log_open(s, POLICY_LOG_TEXT, 8192);
	put_path(l, "/one", 0);
	access_log_switch(l, s, POLICY_LOG_JSON);
	put_path(l, "/two", 0);
	access_flush(l);
	put_path(l, "/three", 0);
	access_log_switch(l, t, POLICY_LOG_TEXT);
	put_path(l, "/four", 0);
	access_flush(l);
	place_read(&p, text, sizeof(text));
	assert_non_null(strstr(text, "\"- /one -\""));
	assert_non_null(strstr(text, "\"path\":\"/two\""));
	assert_non_null(strstr(text, "\"path\":\"/three\""));
	assert_null(strstr(text, "/four"));
	place_read(&q, text, sizeof(text));
	assert_non_null(strstr(text, "\"- /four -\""));
	assert_null(strstr(text, "/three"));
	/* A disk that took half a line. */
	put_path(l, "/five", 0);
	put_path(l, "/six", 0);
	l->head += 10;
	l->torn = true;
	drop_torn(l);
	access_log_switch(l, s, POLICY_LOG_TEXT);
	access_flush(l);
	place_read(&q, text, sizeof(text));
	assert_null(strstr(text, "/five"));
	assert_non_null(strstr(text, "/six"));
	access_log_close(l);
	access_sink_close(s);
	access_sink_close(t);
	unlink(p.path);
	unlink(q.path);
}

static void syslog_lines_are_datagrams(void **state)
{
	struct access_sink *s = access_sink_open("syslog");
	struct access_log *l = access_log_open(s, POLICY_LOG_TEXT, 8192);
	char got[2048], expect[64];
	int p[2];

	(void)state;
	assert_non_null(s);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), 0);
	assert_int_equal(dup2(p[1], s->fd), s->fd);
	s->connected = true;
	put_path(l, "/one", 0);
	put_path(l, "/two", 0);
	assert_int_equal(access_flush(l), 0);
	snprintf(expect, sizeof(expect),
	         "<30>sluice-tproxy[%d]: [1970-01-01T00:00:00.000Z] \"- /one -\" 0 ",
	         (int)getpid());
	ssize_t n = recv(p[0], got, sizeof(got), MSG_DONTWAIT);
	assert_true(n > (ssize_t)strlen(expect));
	assert_memory_equal(got, expect, strlen(expect));
	assert_null(memchr(got, '\n', (size_t)n));
	assert_true(recv(p[0], got, sizeof(got), MSG_DONTWAIT) > 0);
	/* syslogd goes away: lines wait. */
	close(p[0]);
	put_path(l, "/three", 0);
	assert_true(access_flush(l) > 0);
	assert_false(s->connected);
	close(p[1]);
	access_log_close(l);
	access_sink_close(s);
}

static void ownership_goes_to_the_proxy(void **state)
{
	struct place p;
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	place_make(&p);
	struct access_sink *s = access_sink_open(p.path);
	assert_int_equal(access_sink_own(s, 1234, 5678), 0);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 5678);
	access_sink_close(s);
	unlink(p.path);
	s = access_sink_open("/dev/null");
	assert_non_null(s);
	assert_int_equal(access_sink_own(s, 1234, 5678), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_int_equal(st.st_uid, 0);
	access_sink_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_take_all_and_rotate),
		cmocka_unit_test(failed_reopening_keeps_the_old_file),
		cmocka_unit_test(pipes_take_whole_lines),
		cmocka_unit_test(stdout_may_be_anything),
		cmocka_unit_test(off_costs_nothing),
		cmocka_unit_test(switching_loses_nothing_but_torn_lines),
		cmocka_unit_test(syslog_lines_are_datagrams),
		cmocka_unit_test(ownership_goes_to_the_proxy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
