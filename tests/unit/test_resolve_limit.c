/* SPDX-License-Identifier: MIT */
/* What happens when there is no room, no memory, no privilege, no server; and that nothing stays
 * behind. */
/* LINK: tests/unit/dns_bench.c tests/unit/dns_server.c */
/* LINK: tproxy/resolve.c tproxy/resolve_lookup.c tproxy/dns_cache.c tproxy/dns_answer.c */
/* LINK: tproxy/dns_socket.c tproxy/slab.c rules/addr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* An allocator that fails from a certain call on, once or for good, and knows what was never given
 * back. */
struct block_head {
	struct block_head *next, **link;
	size_t size, pad;
};
static struct block_head *live;
static size_t most; /* bytes at one time */
static long calls, fail_from = LONG_MAX, fail_until;

static size_t counted_size(void *p)
{
	return ((struct block_head *)p - 1)->size;
}

static void counted_free(void *p)
{
	if (!p)
		return;
	struct block_head *h = (struct block_head *)p - 1;
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	free(h);
}

static void *counted_realloc(void *p, size_t size)
{
	calls++;
	if (calls > fail_from && calls <= fail_until)
		return NULL;
	struct block_head *h = malloc(sizeof(*h) + size);
	assert_non_null(h);
	*h = (struct block_head){ .next = live, .link = &live, .size = size };
	if (live)
		live->link = &h->next;
	live = h;
	size_t all = 0;
	for (const struct block_head *l = live; l; l = l->next)
		all += l->size;
	most = all > most ? all : most;
	if (p)
		memcpy(h + 1, p, counted_size(p) < size ? counted_size(p) : size);
	counted_free(p);
	return h + 1;
}

#define malloc_usable_size counted_size
#define realloc            counted_realloc
#define free               counted_free
#include "tproxy/dns_heap.c"
#undef malloc_usable_size
#undef realloc
#undef free

static void forget_leaks(void)
{
	while (live)
		heap_give(live + 1);
}

#include "tests/unit/dns_bench.h"

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_full_tables_refuse_the_newest(void **state)
{
	struct resolve_answer a;
	struct bench b;
	char name[32];
	(void)state;

	bench_start(&b, "hold", "hold");
	b.config.entries = 2;
	b.config.waiters = 3;
	bench_restart(&b);
	assert_int_equal(bench_ask(&b, "a.test", &a), 0);
	assert_int_equal(bench_ask(&b, "b.test", &a), 0);
	assert_int_equal(bench_ask(&b, "c.test", &a), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(bench_ask(&b, "a.test", &a), 0);
	assert_int_equal(bench_ask(&b, "b.test", &a), -1);
	assert_int_equal(b.r->stats.refused_full, 2);
	assert_int_equal(b.r->stats.waiting, 3);
	/* A waiter less is room for one, but both names are still being asked for. */
	resolver_cancel(b.r, 2);
	assert_int_equal(bench_ask(&b, "c.test", &a), -1);
	assert_int_equal(bench_ask(&b, "b.test", &a), 0);
	bench_turn(&b);
	while (b.server.n_held)
		dns_release(&b.server, 0, b.server.held[0].type == 1 ? A1 : NULL);
	bench_expect(&b, 3, "ok 192.0.2.1");
	b.zone[1].a = A2;
	b.zone[1].aaaa = NULL;
	assert_string_equal(bench_text(bench_resolve(&b, "c.test")), "ok 192.0.2.2");
	bench_close(&b);

	bench_start(&b, "hold", "hold");
	b.config.entries = RESOLVE_LOOKUPS_MAX + 2;
	bench_restart(&b);
	for (int k = 0; k <= RESOLVE_LOOKUPS_MAX; k++) {
		snprintf(name, sizeof(name), "n%d.test", k);
		assert_int_equal(bench_ask(&b, name, &a), k < RESOLVE_LOOKUPS_MAX ? 0 : -1);
		bench_turn(&b);
	}
	assert_int_equal(b.server.n_held, 2 * RESOLVE_LOOKUPS_MAX);
	while (b.server.n_held)
		dns_release(&b.server, b.server.n_held - 1,
		            b.server.held[b.server.n_held - 1].type == 1 ? A1 : NULL);
	bench_expect(&b, RESOLVE_LOOKUPS_MAX, "ok 192.0.2.1");
	bench_close(&b);
}

static void test_without_room_a_stale_answer_is_better_than_none(void **state)
{
	struct resolve_answer a;
	struct bench b;
	(void)state;

	bench_start(&b, A1, NULL);
	b.config.waiters = 1;
	bench_restart(&b);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	b.now_ms += 60000;
	b.zone[0].a = b.zone[1].a = "hold";
	assert_int_equal(bench_ask(&b, "other.test", &a), 0);
	bench_expect_now(&b, "ok! 192.0.2.1");
	bench_close(&b);
}

static void test_nothing_stays_open_once_all_is_answered(void **state)
{
	struct resolve_answer a;
	struct bench b;
	char name[32];
	(void)state;

	bench_start(&b, "hold", "tc;hold");
	unsigned files = open_files();
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 50; k++) {
			snprintf(name, sizeof(name), "n%d-%d.test", k, round);
			assert_int_equal(bench_ask(&b, name, &a), 0);
		}
		bench_turn(&b);
		assert_true(open_files() >= files + 50);
		while (b.server.n_held)
			dns_release(&b.server, 0, b.server.held[0].type == 1 ? A1 : AAAA1);
		bench_expect(&b, 50 * (unsigned)(round + 1), "ok 2001:db8::1 192.0.2.1");
		if (b.server.stream >= 0)
			close(b.server.stream);
		b.server.stream = -1;
		assert_int_equal(open_files(), files);
		assert_int_equal(resolver_timeout(b.r, b.now_ms), -1);
	}
	struct resolver_stats s;
	resolver_stats(b.r, &s);
	assert_int_equal(s.entries, 64);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(s.asked, 150);
	assert_int_equal(s.queries, 300);
	bench_close(&b);
}

/* Whichever allocation fails, once or from then on: whoever waits hears once, and then all is well
 * again. */
static void test_memory_that_is_refused_costs_an_answer_and_no_more(void **state)
{
	unsigned failed = 0, worked = 0;
	struct resolve_answer a;
	struct bench b;
	(void)state;

	for (int once = 0; once < 2; once++)
		for (long k = 0, all = 1; k < all; k++) {
			bench_start(&b, "tc;" A1, AAAA1);
			calls = 0;
			fail_from = k;
			fail_until = once ? k + 1 : LONG_MAX;
			assert_int_equal(bench_ask(&b, "name.test", &a), 0);
			bench_turn(&b);
			all = calls;
			if (b.r->sick)
				assert_int_equal(bench_ask(&b, "other.test", &a), -1);
			fail_from = LONG_MAX;
			b.now_ms += 100;
			resolver_run(b.r, b.now_ms);
			assert_int_equal(b.n, 1);
			failed += b.answers[0].a.status == RESOLVE_FAIL;
			worked += b.answers[0].a.status == RESOLVE_OK;
			b.now_ms += 60000;
			assert_string_equal(bench_text(bench_resolve(&b, "name.test")),
			                    "ok 2001:db8::1 192.0.2.1");
			assert_int_equal(b.r->lookups.used, 0);
			assert_int_equal(b.r->stats.waiting, 0);
			resolver_close(b.r);
			dns_server_close(&b.server);
			/* c-ares forgets the response that it was about to hand over. */
			assert_in_range(dns_heap_used(), 0, 2048);
			forget_leaks();
		}
	assert_true(failed > 10 && worked > 10);
}

static void test_nothing_is_begun_when_memory_is_tight(void **state)
{
	struct resolve_answer a;
	struct bench b;
	(void)state;

	bench_start(&b, A1, NULL);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "ok 192.0.2.1");
	b.now_ms += 60000;
	void *taken[DNS_HEAP_TIGHT / BUFFER_COST + 1];
	size_t n = 0;
	while (!dns_heap_tight()) {
		taken[n] = heap_take(BUFFER_COST);
		assert_non_null(taken[n++]);
	}
	assert_int_equal(bench_ask(&b, "other.test", &a), -1);
	assert_int_equal(errno, ENOBUFS);
	bench_expect_now(&b, "ok! 192.0.2.1");
	while (n > 0)
		heap_give(taken[--n]);
	assert_string_equal(bench_text(bench_resolve(&b, "other.test")), "ok 192.0.2.1");
	bench_close(&b);
}

static void test_counts_that_lie_cost_no_memory(void **state)
{
	/* 65535 records in each section, in a message that has none; over TCP, where nothing looks
	 * before c-ares does. */
	static const char lie[] = "tc;raw 81800001ffffffffffff046e616d6504746573740000010001";
	struct bench b;
	(void)state;

	bench_start(&b, lie, AAAA1);
	b.zone[1].a = A2;
	most = 0;
	bench_expect_waiting(&b);
	bench_turn(&b);
	assert_int_equal(b.n, 1);
	assert_string_equal(bench_text(&b.answers[0].a), "ok 2001:db8::1");
	assert_in_range(most, 1, DNS_HEAP_MAX);
	b.zone[0].a = A1;
	b.now_ms += 60000;
	assert_string_equal(bench_text(bench_resolve(&b, "name.test")), "ok 2001:db8::1 192.0.2.1");
	bench_close(&b);
}

static void test_the_heap_has_an_end(void **state)
{
	static void *all[DNS_HEAP_MAX / BUFFER_COST + 1];
	unsigned before = dns_heap_refusals();
	size_t n = 0;
	(void)state;

	assert_int_equal(dns_heap_open(), 0);
	while ((all[n] = heap_take(n % 2 ? BUFFER_COST : 32 * BUFFER_COST)))
		n++;
	assert_int_equal(n, DNS_HEAP_MAX / BUFFER_COST);
	assert_int_equal(dns_heap_refusals(), before + 1);
	assert_int_equal(dns_heap_used(), DNS_HEAP_MAX);
	assert_null(heap_take(1));
	/* What is larger than any buffer for reading counts in full. */
	for (size_t k = 0; k < 100; k++)
		heap_give(all[--n]);
	assert_null(heap_take(100 * BUFFER_COST + 1));
	all[n++] = heap_take(99 * BUFFER_COST);
	assert_non_null(all[n - 1]);
	all[n++] = heap_take(BUFFER_COST);
	assert_null(heap_take(1));
	heap_give(all[--n]);
	all[n] = heap_take(16);
	assert_non_null(all[n]);
	/* Growing counts by what is added; what cannot grow stays. */
	assert_null(heap_take(BUFFER_COST));
	all[n] = heap_resize(all[n], 2 * BUFFER_COST);
	assert_non_null(all[n]);
	assert_int_equal(dns_heap_used(), DNS_HEAP_MAX);
	for (size_t k = 0; k <= n; k++)
		heap_give(all[k]);
	assert_int_equal(dns_heap_used(), 0);
	dns_heap_close();
}

static int in_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int ask_with_mark(void)
{
	struct bench b;

	/* Without privilege no mark can be set, and what cannot be marked is not sent. */
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		return 2;
	bench_start(&b, A1, NULL);
	b.config.mark = 0x51;
	bench_restart(&b);
	bench_expect_waiting(&b);
	bench_expect(&b, 1, "fail");
	return bench_asked(&b) == 0 ? 0 : 1;
}

static void test_what_cannot_be_marked_is_not_sent(void **state)
{
	struct bench b;
	uint32_t mark = 0;
	socklen_t len = sizeof(mark);
	(void)state;

	assert_int_equal(in_child(ask_with_mark), 0);
	if (geteuid() != 0) {
		print_message("# the mark itself is seen only as root\n");
		return;
	}
	bench_start(&b, "hold", "hold");
	b.config.mark = 0x51;
	bench_restart(&b);
	bench_expect_waiting(&b);
	unsigned marked = 0;
	for (int fd = 0; fd < 64; fd++)
		marked += getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len) == 0 && mark == 0x51;
	assert_int_equal(marked, 1);
	bench_close(&b);
}

/* Stands in for /etc/resolv.conf in a mount namespace of its own. */
static int with_resolv_conf(const char *text)
{
	char path[] = "/tmp/resolv.conf.XXXXXX";
	int fd = mkstemp(path);
	int user = geteuid() == 0 ? 0 : CLONE_NEWUSER;

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || unshare(CLONE_NEWNS | user) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0) {
		perror("# resolv.conf");
		return -1;
	}
	unlink(path);
	return 0;
}

static int without_servers(void)
{
	struct bench b;

	bench_start(&b, A1, NULL);
	b.config.n_nameservers = 0;
	if (with_resolv_conf("search example.org\noptions ndots:5 timeout:1\n") < 0)
		return 2;
	return resolver_open(&b.config, 0) == NULL && errno == EDESTADDRREQ ? 0 : 1;
}

static int with_servers(void)
{
	struct bench b;

	bench_start(&b, A1, NULL);
	resolver_close(b.r);
	b.config.n_nameservers = 0;
	if (with_resolv_conf("# comment\nsearch example.org test\nnameserver 127.0.0.1\noptions "
	                     "ndots:15 timeout:1 rotate\n") < 0)
		return 2;
	b.r = resolver_open(&b.config, b.now_ms);
	if (!b.r)
		return 3;
	if (strcmp(bench_text(bench_resolve(&b, "name.test")), "ok 192.0.2.1") != 0)
		return 4;
	b.zone[1].a = b.zone[1].aaaa = "rcode 3";
	/* No search list: neither name.example.org nor name.test. */
	if (strcmp(bench_text(bench_resolve(&b, "name")), "nxdomain") != 0)
		return 5;
	return bench_asked(&b) == 4 ? 0 : 6;
}

static void test_servers_come_from_resolv_conf_or_there_are_none(void **state)
{
	(void)state;

	assert_int_equal(in_child(without_servers), 0);
	assert_int_equal(in_child(with_servers), 0);
}

static void test_configurations_that_cannot_be_are_refused(void **state)
{
	struct addr many[RESOLVE_NAMESERVERS_MAX + 1] = { 0 };
	struct bench b;
	(void)state;

	bench_start(&b, A1, NULL);
	static const size_t fields[] = { offsetof(struct resolve_config, entries),
		                         offsetof(struct resolve_config, waiters) };
	for (size_t k = 0; k < 2; k++)
		for (uint32_t v = 0; v != 1; v = v ? 1 : UINT32_MAX) {
			struct resolve_config c = b.config;
			memcpy((char *)&c + fields[k], &v, sizeof(v));
			if (v == 0 || k == 1)
				assert_null(resolver_open(&c, 0));
		}
	struct resolve_config c = b.config;
	c.nameservers = many;
	c.n_nameservers = RESOLVE_NAMESERVERS_MAX + 1;
	assert_null(resolver_open(&c, 0));
	c = b.config;
	c.done = NULL;
	assert_null(resolver_open(&c, 0));
	bench_close(&b);
	resolver_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_tables_refuse_the_newest),
		cmocka_unit_test(test_without_room_a_stale_answer_is_better_than_none),
		cmocka_unit_test(test_nothing_stays_open_once_all_is_answered),
		cmocka_unit_test(test_memory_that_is_refused_costs_an_answer_and_no_more),
		cmocka_unit_test(test_nothing_is_begun_when_memory_is_tight),
		cmocka_unit_test(test_counts_that_lie_cost_no_memory),
		cmocka_unit_test(test_the_heap_has_an_end),
		cmocka_unit_test(test_what_cannot_be_marked_is_not_sent),
		cmocka_unit_test(test_servers_come_from_resolv_conf_or_there_are_none),
		cmocka_unit_test(test_configurations_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
