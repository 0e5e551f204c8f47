/* SPDX-License-Identifier: MIT */
/*
 * The stub's two kinds of hostile bytes. The first byte says which: 0, a client's question, which
 * is answered in ways that the rest of that byte chooses; 1, a name server's answer, whose service
 * records are written anew. Whatever is written can be read, fits, and holds nothing that was not
 * to be passed on.
 */
/* LINK: rules/addr.c rules/name.c */
#include "tests/fuzz/fuzz.h"
#include "tproxy/dns_question.c"
#include "tproxy/dns_reply.c"
#include "tproxy/dns_service.c"
#include "tproxy/stub_name.c"

static bool some(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	must(strlen(name) == len && len <= NAME_MAX_LEN);
	return len % 2;
}

/* Reads a reply again, as a client would. */
static ares_dns_record_t *read_back(const struct dns_reply *r)
{
	ares_dns_record_t *m = NULL;
	uint8_t *copy = fuzz_copy(r->bytes, r->len);

	must(ares_dns_parse(copy, r->len, 0, &m) == ARES_SUCCESS);
	free(copy);
	return m;
}

static void ask(const uint8_t *data, size_t len, unsigned how)
{
	struct dns_question q;
	struct dns_reply r;
	char name[NAME_SIZE], again[NAME_SIZE], canonical[NAME_SIZE];
	int error = dns_question_read(&q, name, data, len);

	must(error >= -1 && error <= 16);
	if (error < 0)
		return;
	must(q.room >= DNS_UDP_MIN && q.room <= DNS_UDP_MAX && q.wire_len <= DNS_QUESTION_MAX);
	if (!error) {
		size_t n = dns_question_name(&q, again);
		must(n == strlen(name) && memcmp(name, again, n + 1) == 0);
		must(name_canon(canonical, name, n) == (int)n && strcmp(canonical, name) == 0);
		stub_name(name, n);
	}
	uint8_t *room = malloc(q.room);
	must(room);
	dns_reply_start(&r, room, q.room, &q, (unsigned)error);
	for (unsigned i = 0; !error && i < how % 64; i++) {
		struct addr a = { { [15] = (uint8_t)i } };
		if (i % 3)
			a.b[10] = a.b[11] = 0xff;
		dns_reply_add_address(&r, &a, i);
	}
	if (how & 64)
		dns_reply_add_negative(&r, how);
	must(dns_reply_end(&r) <= q.room);
	if (q.wire_len) {
		ares_dns_record_t *m = read_back(&r);
		must(ares_dns_record_get_id(m) == q.id);
		must(ares_dns_record_query_cnt(m) == 1);
		must(ares_dns_record_rr_cnt(m, ARES_SECTION_ADDITIONAL) == q.edns);
		ares_dns_record_destroy(m);
	}
	free(room);
}

static void check_service(const ares_dns_rr_t *rr)
{
	struct keys k = keys_of(rr);
	size_t n = ares_dns_rr_get_opt_cnt(rr, k.params);
	char name[NAME_SIZE];
	const char *target = ares_dns_rr_get_str(rr, k.target);

	for (size_t i = 0; i < n; i++) {
		const unsigned char *v;
		size_t len;
		must(ares_dns_rr_get_opt(rr, k.params, i, &v, &len) <= KEY_PORT);
	}
	must(target);
	if (*target) {
		int len = name_canon(name, target, strlen(target));
		must(len > 0 && some(NULL, name, (size_t)len));
	} else {
		must(ares_dns_rr_get_u16(rr, k.priority) > 0);
	}
}

static void answer(const uint8_t *data, size_t len)
{
	static const struct dns_question q = { .room = DNS_UDP_MIN, .wire_len = 12,
		                               .wire = "\1a\4test\0\0\x41\0\1" };
	uint8_t out[DNS_SERVICE_MAX], bytes[DNS_REPLY_MAX];
	ares_dns_record_t *m = NULL;
	struct dns_reply r;

	if (ares_dns_parse(data, len, 0, &m) != ARES_SUCCESS)
		return;
	dns_reply_start(&r, bytes, sizeof(bytes), &q, 0);
	for (size_t i = 0; i < ares_dns_record_rr_cnt(m, ARES_SECTION_ANSWER); i++) {
		const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(m, ARES_SECTION_ANSWER, i);
		ares_dns_rec_type_t type = ares_dns_rr_get_type(rr);
		if (type != ARES_REC_TYPE_HTTPS && type != ARES_REC_TYPE_SVCB)
			continue;
		size_t n = dns_service_write(rr, "a.test", some, NULL, out);
		must(n <= sizeof(out));
		if (n)
			dns_reply_add(&r, type, 60, out, n);
	}
	dns_reply_end(&r);
	ares_dns_record_destroy(m);
	m = read_back(&r);
	for (size_t i = 0; i < ares_dns_record_rr_cnt(m, ARES_SECTION_ANSWER); i++)
		check_service(ares_dns_record_rr_get_const(m, ARES_SECTION_ANSWER, i));
	ares_dns_record_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	uint8_t *copy = fuzz_copy(data + 1, len - 1);
	if (data[0] & 1)
		answer(copy, len - 1);
	else
		ask(copy, len - 1, data[0] >> 1);
	free(copy);
	return 0;
}
