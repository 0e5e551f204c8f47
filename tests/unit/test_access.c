/* SPDX-License-Identifier: MIT */
/* The access log's lines, byte by byte, and what hostile texts become in them. */
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
