/* SPDX-License-Identifier: MIT */
/* The access log: lines byte by byte, what hostile texts become, and how rings and sinks pass lines
 * on. */
/* LINK: rules/addr.c tproxy/clock.c tproxy/fd.c tproxy/log.c tproxy/stats.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tproxy/access_format.c"
#include "tproxy/access_sink.c"
#include "tproxy/access.c"

#include "tests/unit/guard.h"

#define T(literal) { literal, sizeof(literal) - 1 }

static struct addr address(const char *text)
{
	struct addr a;
	assert_int_equal(addr_parse(&a, text, strlen(text)), 0);
	return a;
}

/* 2026-09-28T07:46:27.295Z */
#define AT 1790581587295

static struct access_record blocked_http(void)
{
	return (struct access_record){
		.start_ms = AT,
		.service_ms = -1,
		.method = T("GET"),
		.path = T("/"),
		.authority = T("example.com"),
		.user_agent = T("curl/8.11.1"),
		.protocol = "HTTP/1.1",
		.status = 502,
		.details = "direct_response",
		.down_local = address("104.20.23.154"),
		.down_local_port = 80,
		.down_remote = address("10.244.0.27"),
		.down_remote_port = 35284,
		.route_name = "block_all",
	};
}

static struct access_record blocked_tls(void)
{
	return (struct access_record){
		.start_ms = AT + 68,
		.service_ms = -1,
		.flag = FLAG_UH,
		.cluster = "BlackHoleCluster",
		.down_local = address("104.20.23.154"),
		.down_local_port = 443,
		.down_remote = address("10.244.0.27"),
		.down_remote_port = 49692,
	};
}

static struct access_record allowed_tls(void)
{
	return (struct access_record){
		.start_ms = AT,
		.service_ms = -1,
		.received = 844,
		.sent = 5214,
		.duration_ms = 95,
		.up_addr = address("209.85.200.147"),
		.up_port = 443,
		.cluster_host = T("www.google.com"),
		.cluster_port = 443,
		.up_local = address("10.8.1.35"),
		.up_local_port = 38416,
		.down_local = address("209.85.200.147"),
		.down_local_port = 443,
		.down_remote = address("10.8.1.35"),
		.down_remote_port = 38412,
		.sni = T("www.google.com"),
	};
}

static struct access_record allowed_http(void)
{
	return (struct access_record){
		.start_ms = 0,
		.service_ms = 477,
		.duration_ms = 480,
		.method = T("POST"),
		.path = T("/a?b=\"c\"\\d\x01\xff"),
		.authority = T("[2001:db8::1]"),
		.user_agent = T("a b\nc"),
		.x_forwarded_for = T("1.2.3.4"),
		.request_id = T("00000000-0000"),
		.protocol = "HTTP/1.0",
		.status = 200,
		.details = "via_upstream",
		.termination = "two words",
		.failure = "delayed connect error: 111",
		.received = UINT64_MAX,
		.sent = 4294967296,
		.up_addr = address("2001:db8::1"),
		.up_port = 80,
		.up_local = address("2001:db8::2"),
		.up_local_port = 65535,
		.down_local = address("255.255.255.255"),
		.down_local_port = 1,
		.down_remote = address("0.0.0.0"),
		.down_remote_port = 9,
		.cluster_host = T("x.test"),
		.cluster_port = 80,
		.route_name = "default",
		.flag = FLAG_DPE,
	};
}

static const char *line(const struct access_record *r, enum policy_log_format format)
{
	static char out[ACCESS_LINE_MAX + 1];
	size_t len = access_format(r, format, NULL, out, ACCESS_LINE_MAX);

	assert_in_range(len, 1, ACCESS_LINE_MAX);
	assert_int_equal(out[len - 1], '\n');
	out[len] = '\0';
	return out;
}

static void lines_are_envoys(void **state)
{
	(void)state;
	struct access_record r = blocked_http();
	assert_string_equal(
		line(&r, POLICY_LOG_TEXT),
		"[2026-09-28T07:46:27.295Z] \"GET / HTTP/1.1\" 502 - direct_response - \"-\" 0 0 0 - \"-\" \"curl/8.11.1\" \"-\" "
		"\"example.com\" \"-\" - - 104.20.23.154:80 10.244.0.27:35284 - block_all\n");
	r = blocked_tls();
	assert_string_equal(
		line(&r, POLICY_LOG_TEXT),
		"[2026-09-28T07:46:27.363Z] \"- - -\" 0 UH - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - "
		"104.20.23.154:443 10.244.0.27:49692 - -\n");
	r = allowed_tls();
	assert_string_equal(
		line(&r, POLICY_LOG_TEXT),
		"[2026-09-28T07:46:27.295Z] \"- - -\" 0 - - - \"-\" 844 5214 95 - \"-\" \"-\" \"-\" \"-\" \"209.85.200.147:443\" "
		"outbound|443||www.google.com 10.8.1.35:38416 209.85.200.147:443 10.8.1.35:38412 www.google.com -\n");
	r = allowed_http();
	assert_string_equal(
		line(&r, POLICY_LOG_TEXT),
		"[1970-01-01T00:00:00.000Z] \"POST /a?b=\\x22c\\x22\\x5cd\\x01\\xff HTTP/1.0\" 200 DPE via_upstream two_words "
		"\"delayed_connect_error:_111\" 18446744073709551615 4294967296 480 477 \"1.2.3.4\" \"a b\\x0ac\" \"00000000-0000\" "
		"\"[2001:db8::1]\" \"[2001:db8::1]:80\" outbound|80||x.test [2001:db8::2]:65535 255.255.255.255:1 0.0.0.0:9 - default\n");
}

static void json_has_the_24_keys(void **state)
{
	(void)state;
	struct access_record r = blocked_tls();
	assert_string_equal(
		line(&r, POLICY_LOG_JSON),
		"{\"start_time\":\"2026-09-28T07:46:27.363Z\",\"route_name\":null,\"method\":null,\"path\":null,\"protocol\":null,"
		"\"response_code\":0,\"response_flags\":\"UH\",\"response_code_details\":null,\"connection_termination_details\":null,"
		"\"bytes_received\":0,\"bytes_sent\":0,\"duration\":0,\"upstream_service_time\":null,\"x_forwarded_for\":null,"
		"\"user_agent\":null,\"request_id\":null,\"authority\":null,\"upstream_host\":null,\"upstream_cluster\":\"BlackHoleCluster\","
		"\"upstream_local_address\":null,\"downstream_local_address\":\"104.20.23.154:443\","
		"\"downstream_remote_address\":\"10.244.0.27:49692\",\"requested_server_name\":null,"
		"\"upstream_transport_failure_reason\":null}\n");
	r = allowed_http();
	assert_string_equal(
		line(&r, POLICY_LOG_JSON),
		"{\"start_time\":\"1970-01-01T00:00:00.000Z\",\"route_name\":\"default\",\"method\":\"POST\","
		"\"path\":\"/a?b=\\\"c\\\"\\\\d\\u0001\\u00ff\",\"protocol\":\"HTTP/1.0\",\"response_code\":200,\"response_flags\":\"DPE\","
		"\"response_code_details\":\"via_upstream\",\"connection_termination_details\":\"two words\","
		"\"bytes_received\":18446744073709551615,\"bytes_sent\":4294967296,\"duration\":480,\"upstream_service_time\":\"477\","
		"\"x_forwarded_for\":\"1.2.3.4\",\"user_agent\":\"a b\\u000ac\",\"request_id\":\"00000000-0000\","
		"\"authority\":\"[2001:db8::1]\",\"upstream_host\":\"[2001:db8::1]:80\",\"upstream_cluster\":\"outbound|80||x.test\","
		"\"upstream_local_address\":\"[2001:db8::2]:65535\",\"downstream_local_address\":\"255.255.255.255:1\","
		"\"downstream_remote_address\":\"0.0.0.0:9\",\"requested_server_name\":null,"
		"\"upstream_transport_failure_reason\":\"delayed connect error: 111\"}\n");
}

static void times_are_right(void **state)
{
	static const struct { int64_t ms; const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ 951782399999, "2000-02-28T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 951868800000, "2000-03-01T00:00:00.000Z" },
		{ 1709164800000, "2024-02-29T00:00:00.000Z" },
		{ 1735689599001, "2024-12-31T23:59:59.001Z" },
		{ 1735689600010, "2025-01-01T00:00:00.010Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
		{ 4107542399000, "2100-02-28T23:59:59.000Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ 253402300800000, "9999-12-31T23:59:59.000Z" },
		{ -62167219200000, "0000-01-01T00:00:00.000Z" },
		{ -62162035200001, "0000-02-29T23:59:59.999Z" },
		{ -62162035200000, "0000-03-01T00:00:00.000Z" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[CLOCK_TEXT_LEN + 1] = "";
		clock_text(rows[i].ms, text);
		/* Beyond the last year only the date is pinned. */
		assert_memory_equal(text, rows[i].text,
		                    rows[i].ms > 253402300799999 ? CLOCK_DATE_LEN : CLOCK_TEXT_LEN);
	}
}

/* Every byte value, on its own, in every place that a client fills: one line, and what a parser
 * reads back is unambiguous. */
static void hostile_bytes_are_escaped(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		const char b[1] = { (char)c };
		struct access_text t = { b, 1 };
		struct access_record r = { .service_ms = -1,
			                   .method = t,
			                   .path = t,
			                   .authority = t,
			                   .user_agent = t,
			                   .x_forwarded_for = t,
			                   .request_id = t,
			                   .sni = t,
			                   .cluster_host = t };
		bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
		for (enum policy_log_format f = POLICY_LOG_TEXT; f <= POLICY_LOG_JSON; f++) {
			const char *l = line(&r, f);
			size_t quotes = 0;
			for (const char *p = l; *p; p++) {
				assert_true((*p >= 0x20 && *p <= 0x7e) || (*p == '\n' && !p[1]));
				if (*p == '\\' && f == POLICY_LOG_JSON)
					p++;
				else
					quotes += *p == '"';
			}
			assert_int_equal(quotes, f == POLICY_LOG_TEXT ? 14 : 2 * (24 + 10));
			assert_int_equal(strchr(l, '\\') != NULL, !plain);
		}
	}
}

static void long_texts_are_cut(void **state)
{
	static const struct {
		size_t path, others;
		unsigned char fill;
		size_t expect;
		bool cut;
	} rows[] = {
		{ 1023, 0, 'a', 1023, false },  { 1024, 0, 'a', 1024, false },
		{ 1025, 0, 'a', 1027, true },   { 8192, 0, 'a', 1027, true },
		{ 256, 0, 1, 1023, true },      { 170, 0, 1, 1020, false },
		{ 8192, 1024, 'a', 259, true }, { 256, 1024, 'a', 256, false },
		{ 43, 1024, 1, 255, true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guard g, out;
		guard_init(&g, 8192);
		guard_init(&out, ACCESS_LINE_MAX);
		char *texts = (char *)guard_place(
			&g, rows[i].path > rows[i].others ? rows[i].path : rows[i].others);
		memset(texts, rows[i].fill,
		       rows[i].path > rows[i].others ? rows[i].path : rows[i].others);
		struct access_text t = { texts, rows[i].others };
		struct access_record r = { .service_ms = -1,
			                   .path = { texts, rows[i].path },
			                   .user_agent = t,
			                   .authority = t,
			                   .sni = t };
		char *to = (char *)guard_place(&out, ACCESS_LINE_MAX);
		size_t len = access_format(&r, POLICY_LOG_JSON, NULL, to, ACCESS_LINE_MAX);
		assert_in_range(len, 1, ACCESS_LINE_MAX);
		to[len - 1] = '\0';
		char *path = strstr(to, "\"path\":\"");
		assert_non_null(path);
		path += 8;
		size_t got = (size_t)(strchr(path, '"') - path);
		assert_int_equal(got, rows[i].expect);
		assert_int_equal(!memcmp(path + got - 3, "...", 3), rows[i].cut);
		guard_fini(&g);
		guard_fini(&out);
	}
}

/* A record in which everything is as long as it can be, all texts being t and all words word. */
static struct access_record longest(struct access_text t, const char *word)
{
	struct addr a = address("2001:db8:1111:2222:3333:4444:5555:6666");

	return (struct access_record){
		.start_ms = AT, .duration_ms = INT64_MAX, .service_ms = INT64_MAX,
		.method = t, .path = t, .authority = t, .user_agent = t, .x_forwarded_for = t,
		.request_id = t, .sni = t, .cluster_host = t,
		.protocol = word, .details = word, .termination = word, .failure = word,
		.route_name = word,
		.status = UINT32_MAX, .flag = FLAG_DPE, .received = UINT64_MAX, .sent = UINT64_MAX,
		.up_addr = a, .up_local = a, .down_local = a, .down_remote = a,
		.up_port = 65535, .up_local_port = 65535, .down_local_port = 65535,
		.down_remote_port = 65535, .cluster_port = 65535, .cluster_wildcard = true,
	};
}

static void check_longest(const struct access_record *r, char *to)
{
	size_t json = access_format(r, POLICY_LOG_JSON, NULL, to, ACCESS_LINE_MAX);
	size_t text = access_format(r, POLICY_LOG_TEXT, NULL, to, ACCESS_LINE_MAX);

	assert_in_range(json, 1000, ACCESS_LINE_MAX);
	assert_in_range(text, 500, ACCESS_LINE_MAX);
	assert_int_equal(access_format(r, POLICY_LOG_TEXT, NULL, to, ACCESS_LINE_MAX - 1), 0);
	/* What is not text is within its bound, scratch space aside. */
	if (r->path.len == 1 && r->path.s[0] == 'a')
		assert_in_range(json, 0, FIXED_MAX - 8 + TEXTS);
}

/* Against a page that may not be touched. */
static void longest_line_fits(void **state)
{
	static const unsigned char fills[] = { 'a', '"', 0xff, ' ' };
	struct guard out;
	char word[200], texts[8192];

	(void)state;
	memset(word, '\\', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	guard_init(&out, ACCESS_LINE_MAX);
	char *to = (char *)guard_place(&out, ACCESS_LINE_MAX);
	for (size_t i = 0; i < sizeof(fills); i++) {
		memset(texts, fills[i], sizeof(texts));
		for (size_t len = 1; len <= sizeof(texts); len += len < 1200 ? 1 : 97) {
			struct access_text t = { texts + sizeof(texts) - len, len };
			struct access_record r = longest(t, word);
			check_longest(&r, to);
		}
	}
	guard_fini(&out);
}

static void addresses_are_as_elsewhere(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4 * 256; i++) {
		char expect[ADDR_PORT_TEXT + 2];
		struct access_record r = { .service_ms = -1, .down_local = address("1.20.30.255") };
		r.down_local.b[12 + i / 256] = (uint8_t)i;
		r.down_local_port = (uint16_t)(i * 64 + 1);
		expect[0] = ' ';
		addr_port_format(&r.down_local, r.down_local_port, expect + 1);
		strcat(expect, " ");
		assert_non_null(strstr(line(&r, POLICY_LOG_TEXT), expect));
	}
}

static void dates_are_kept_for_a_second(void **state)
{
	struct access_date d = { .set = false };
	char a[ACCESS_LINE_MAX], b[ACCESS_LINE_MAX];

	(void)state;
	for (int64_t ms = AT - 1500; ms < AT + 1500; ms += 77) {
		struct access_record r = { .start_ms = ms, .service_ms = -1 };
		size_t n = access_format(&r, POLICY_LOG_TEXT, &d, a, sizeof(a));
		assert_int_equal(access_format(&r, POLICY_LOG_TEXT, NULL, b, sizeof(b)), n);
		assert_memory_equal(a, b, n);
	}
}

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
		cmocka_unit_test(lines_are_envoys),
		cmocka_unit_test(json_has_the_24_keys),
		cmocka_unit_test(times_are_right),
		cmocka_unit_test(hostile_bytes_are_escaped),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(longest_line_fits),
		cmocka_unit_test(addresses_are_as_elsewhere),
		cmocka_unit_test(dates_are_kept_for_a_second),
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
