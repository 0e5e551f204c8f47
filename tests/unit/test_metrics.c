/* SPDX-License-Identifier: MIT */
/* Pages and figures: escaping, sums, and that every counter has a name of its own in Prometheus'
 * format. */
/* LINK: rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/route.c rules/policy.c rules/verify.c rules/verify_record.c */
/* LINK: rules/verify_table.c rules/name.c rules/crc32c.c */
/* LINK: tproxy/sniff_tls.c tproxy/http.c tproxy/http_head.c tproxy/clock.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tproxy/metrics.c"
#include "tproxy/page.c"
#include "tproxy/stats.c"

static const char *text_of(struct page *p)
{
	assert_false(p->failed);
	page_bytes(p, "", 1);
	p->len--;
	return p->s ? p->s : "";
}

static void pages_grow(void **state)
{
	struct page p;

	(void)state;
	page_init(&p);
	for (int i = 0; i < 10000; i++)
		page_u64(&p, (uint64_t)i * 12345678901);
	page_text(&p, "end");
	size_t len = 0;
	for (int i = 0; i < 10000; i++) {
		char number[24];
		size_t n = (size_t)snprintf(number, sizeof(number), "%" PRIu64,
		                            (uint64_t)i * 12345678901);
		assert_memory_equal(p.s + len, number, n);
		len += n;
	}
	assert_int_equal(p.len, len + 3);
	page_fini(&p);
	page_u64(&p, UINT64_MAX);
	page_text(&p, " ");
	page_u64(&p, 0);
	assert_int_equal(p.len, 22);
	assert_memory_equal(p.s, "18446744073709551615 0", 22);
	page_fini(&p);
}

static void failure_is_remembered(void **state)
{
	struct page p;
	char *longer = malloc(2000);

	(void)state;
	memset(longer, 'x', 1999);
	longer[1999] = '\0';
	page_init(&p);
	page_format(&p, "%s", longer);
	assert_true(p.failed);
	page_text(&p, "more");
	assert_int_equal(p.len, 0);
	page_fini(&p);
	page_init(&p);
	assert_false(make_room(&p, SIZE_MAX - 10));
	assert_true(p.failed);
	page_fini(&p);
	free(longer);
}

static void texts_are_escaped(void **state)
{
	static const struct { const char *in; size_t len; const char *json, *label;
	} rows[] = {
		{ "", 0, "\"\"", "\"\"" },
		{ "plant-7", 7, "\"plant-7\"", "\"plant-7\"" },
		{ "a\"b\\c\nd", 7, "\"a\\\"b\\\\c\\u000ad\"", "\"a\\\"b\\\\c\\nd\"" },
		{ "\x01\x7f\xc3\xa4", 4, "\"\\u0001\\u007f\\u00c3\\u00a4\"",
		  "\"\x01\x7f\xc3\xa4\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct page p;
		page_init(&p);
		page_json(&p, rows[i].in, rows[i].len);
		assert_string_equal(text_of(&p), rows[i].json);
		page_fini(&p);
		page_label(&p, rows[i].in);
		assert_string_equal(text_of(&p), rows[i].label);
		page_fini(&p);
	}
}

static void every_counter_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < STAT_COUNT; i++) {
		const struct stat_info *info = stat_info((enum stat_id)i);
		assert_non_null(info->name);
		assert_non_null(info->help);
		size_t len = strlen(info->name);
		bool total = len > 6 && strcmp(info->name + len - 6, "_total") == 0;
		assert_int_equal(total, !info->gauge);
		assert_int_equal(strspn(info->name, "abcdefghijklmnopqrstuvwxyz_"), len);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(info->name, stat_info((enum stat_id)k)->name);
	}
	for (int i = 0; i < FLAGS; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(access_flag_name((enum access_flag)i),
			                        access_flag_name((enum access_flag)k));
	assert_string_equal(access_flag_name(FLAG_NONE), "-");
	assert_string_equal(access_flag_name(FLAGS), "-");
}

static void fill(struct stats *s, uint64_t from)
{
	for (int i = 0; i < STAT_COUNT; i++)
		s->v[i] = from++;
	for (int i = 0; i < ROUTE_REASONS; i++)
		s->reason[i] = from++;
	for (int i = 0; i < TLS_ERRORS; i++)
		s->tls[i] = from++;
	for (int i = 0; i < HTTP_ERRORS; i++)
		s->http[i] = from++;
	for (int i = 0; i < DNS_TYPES; i++)
		s->dns_type[i] = from++;
	for (int i = 0; i < DNS_RESULTS; i++)
		s->dns_result[i] = from++;
	for (int i = 0; i < FLAGS; i++)
		s->flag[i] = from++;
}

static void workers_are_summed(void **state)
{
	struct stats a, b, sum;
	const uint64_t *v = (const uint64_t *)&sum;

	(void)state;
	memset(&sum, 0, sizeof(sum));
	fill(&a, 1000);
	fill(&b, 50000);
	metrics_add(&sum, &a);
	metrics_add(&sum, &b);
	for (size_t i = 0; i < sizeof(sum) / sizeof(*v); i++)
		assert_int_equal(v[i], 51000 + 2 * i);
	/* A gauge is a sum of what came and went, possibly in different order. */
	struct stats up = { .v = { [STAT_CX_ACTIVE] = 3 } },
		     down = { .v = { [STAT_CX_ACTIVE] = (uint64_t)-2 } };
	memset(&sum, 0, sizeof(sum));
	metrics_add(&sum, &up);
	metrics_add(&sum, &down);
	assert_int_equal(sum.v[STAT_CX_ACTIVE], 1);
}

/* A policy's meta record and strings, which is all that is looked at here. */
static struct policy policy_make(void)
{
	static uint8_t meta[META_SIZE];
	static const char strings[] = "\0na\"me\0default\0mesh\0off";
	struct policy p = { .sequence = 42, .len = 999 };

	put_le32(meta + META_NAME, 1);
	put_le32(meta + META_NAMESPACE, 7);
	put_le32(meta + META_NODE, 15);
	put_le32(meta + META_ACCESS_LOG, 20);
	meta[META_OUTBOUND] = POLICY_ALLOW_ANY;
	meta[META_ENFORCEMENT] = POLICY_AUDIT;
	p.at[FORMAT_META] = meta;
	p.at[FORMAT_STRINGS] = (const uint8_t *)strings;
	p.at[FORMAT_LISTS] = (const uint8_t *)"\0\0\0\0";
	p.n[FORMAT_SERVICES] = 7;
	p.n[FORMAT_NAMES] = 8;
	return p;
}

static void prometheus_says_all(void **state)
{
	static const char *const lines[] = {
		"\nsluice_policy_info{name=\"na\\\"me\",namespace=\"default\",node=\"mesh\",outbound=\"allow-any\",enforcement=\"audit\",sequence=\"42\"} 1\n",
		"\nsluice_build_info{version=\"" SLUICE_VERSION "\"} 1\n",
		"\n# HELP sluice_downstream_cx_total Client connections accepted\n# TYPE sluice_downstream_cx_total counter\nsluice_downstream_cx_total 100\n",
		"\n# TYPE sluice_downstream_cx_active gauge\nsluice_downstream_cx_active 101\n",
		"\nsluice_decisions_total{reason=\"unlisted\"} ",
		"\nsluice_tls_refused_total{reason=\"tls-duplicate\"} ",
		"\nsluice_http_refused_total{reason=\"http-host-missing\"} ",
		"\nsluice_finished_total{flag=\"UH\"} ",
		"\nsluice_dns_stale_served_total 9\n",
		"\nsluice_dns_waiting 10\n",
		"\nsluice_policy_services 7\n",
		"\nsluice_policy_hosts 8\n",
		"\nsluice_policy_bytes 999\n",
		"\nsluice_policy_sequence 42\n",
		"\nsluice_reload_total 3\n",
		"\nsluice_reload_failed_total 4\n",
		"\nsluice_workers 2\n",
		"\nsluice_draining 1\n",
		"\nsluice_process_start_time_seconds 5\n",
		"\nsluice_process_resident_memory_bytes 6\n",
		"\nsluice_process_cpu_seconds_total 1.000007\n",
	};
	struct policy policy = policy_make();
	struct metrics m = {
		.policy = &policy,
		.workers = 2,
		.started_s = 5,
		.cpu_us = 1000007,
		.resident_bytes = 6,
		.reloads = 3,
		.reload_failures = 4,
		.draining = true,
		.resolver = { .stale_served = 9, .waiting = 10 },
	};
	struct page p;

	(void)state;
	fill(&m.stats, 100);
	page_init(&p);
	metrics_prometheus(&m, &p);
	const char *text = text_of(&p);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(text, lines[i]))
			fail_msg("no %s in\n%s", lines[i], text);
	page_fini(&p);
	metrics_plain(&m, &p);
	text = text_of(&p);
	assert_non_null(strstr(text, "\ndownstream_cx_total: 100\n"));
	assert_non_null(strstr(text, "\ndecisions_total.unlisted: "));
	assert_null(strchr(text, '#'));
	page_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_grow),
		cmocka_unit_test(failure_is_remembered),
		cmocka_unit_test(texts_are_escaped),
		cmocka_unit_test(every_counter_has_a_name),
		cmocka_unit_test(workers_are_summed),
		cmocka_unit_test(prometheus_says_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
