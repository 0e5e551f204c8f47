/* SPDX-License-Identifier: MIT */
/* init/nft.c and init/batch.c: the batch, byte by byte, and what is made of the kernel's answers. */
/* LINK: init/batch.c init/bytecode.c init/element.c init/expression.c init/ruleset.c init/ruleset_pass.c init/ruleset_pod.c init/ruleset_proxy.c init/ruleset_router.c init/set.c init/udp.c init/netlink.c init/message.c rules/addr.c */
#include "init/nft.c"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture_policy.h"
#include "rules/capture.h"

static const struct ruleset_config config = {.secret = 0x12345678, .uid = 1337, .port = 15001, .egress_hook = true};
static const struct link one_link[] = {{"eth0", false, true, ""}};
static struct ruleset ruleset;
static struct bytecode bytecode;

/* The batch that nft_apply would send, tables and all. */
static void make(unsigned present)
{
	const char *why;

	assert_int_equal(ruleset_init(&ruleset, &fake.policy, &config, one_link, 1, &why), 0);
	bytecode_init(&bytecode, &ruleset);
	batch_fini(&batch);
	batch_init(&batch, &ruleset, &bytecode, 0);
	assert_int_equal(put_edge(&batch, true), 0);
	if (present & NFT_INET)
		assert_int_equal(put_no_table(&batch, NFPROTO_INET), 0);
	assert_int_equal(put_all(&batch, NFPROTO_INET), 0);
	assert_int_equal(put_all(&batch, NFPROTO_NETDEV), 0);
	assert_int_equal(put_edge(&batch, false), 0);
	bytecode_fini(&bytecode);
	ruleset_fini(&ruleset);
}

/* ---- the batch ---- */

static uint32_t count_attributes(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;
	uint32_t n = 0;

	mnl_attr_for_each_nested(attr, nest)
		n += mnl_attr_get_type(attr) == type;
	return n;
}

/* Sequence numbers count from 0, everything between the edges wants an answer, and messages end where the next begins. */
static uint32_t walk(uint32_t *elements)
{
	int left = (int)(batch.at - batch.start);
	uint32_t n = 0;

	*elements = 0;
	for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)batch.start; left > 0; nlh = mnl_nlmsg_next(nlh, &left)) {
		bool edge = nlh->nlmsg_type == NFNL_MSG_BATCH_BEGIN || nlh->nlmsg_type == NFNL_MSG_BATCH_END;
		const struct nlattr *attr;

		assert_true(mnl_nlmsg_ok(nlh, left));
		assert_true(nlh->nlmsg_len < BATCH_MESSAGE_MAX);
		assert_int_equal(nlh->nlmsg_seq, n++);
		assert_int_equal((nlh->nlmsg_flags & NLM_F_ACK) != 0, !edge);
		if ((nlh->nlmsg_type & 0xff) != NFT_MSG_NEWSETELEM || edge)
			continue;
		mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
			if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
				*elements += count_attributes(attr, NFTA_LIST_ELEM);
	}
	assert_int_equal(left, 0);
	assert_int_equal(n, batch.n);
	return n;
}

static void test_batch(void **state)
{
	uint32_t elements, n;

	(void)state;
	fake_clear();
	fake.capture.ports = fake_range(80, 443);
	make(0);
	n = walk(&elements);
	assert_int_equal(elements, 2 + 3 + 3); /* ports: start and end; mld; nd */
	make(NFT_INET);
	assert_int_equal(walk(&elements), n + 1);
}

/* What reaches the highest key has no end. */
static void test_open_end(void **state)
{
	static const struct { uint32_t first, last, elements; } rows[] = {
		{1, 65535, 6}, {80, 65535, 7}, {65535, 65535, 7}, {0, 0, 8}, {65534, 65534, 8},
	};
	uint32_t elements;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fake_clear();
		fake.capture.ports = fake_range(rows[i].first, rows[i].last);
		make(0);
		(void)walk(&elements);
		assert_int_equal(elements, rows[i].elements); /* `ports = *` has no set */
	}
}

static void test_many_elements(void **state)
{
	uint32_t elements;

	(void)state;
	fake_clear();
	for (int i = 0; i < 20000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 14, i >> 6 & 255, i << 2 & 255);
		fake_cidr(text);
	}
	make(0);
	(void)walk(&elements);
	assert_int_equal(elements, 40000 + 6);
}

/* A box is one element with a last key, and no end; the rest of the sets is the kernel's and others'. */
static void test_boxes(void **state)
{
	uint32_t elements;

	(void)state;
	fake_clear();
	fake_service(123, "192.0.2.1 2001:db8::/32", NULL, NULL);
	fake_service(124, "192.0.2.1", "10.0.0.0/8", NULL);
	make(0);
	(void)walk(&elements);
	assert_int_equal(elements, 6 + 2 + 1); /* mld, nd; the first service's, cut nowhere; the second's */
}

/* ---- the answers ---- */

/* Standard error meanwhile goes into text. */
static int say(struct part part, int err, char text[static 512])
{
	FILE *file = tmpfile();
	int code, saved = dup(STDERR_FILENO);
	size_t n;

	assert_non_null(file);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	code = batch_complain(&batch, part, err);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	n = fread(text, 1, 511, file);
	text[n] = '\0';
	fclose(file);
	return code;
}

/* The rule's number in the ruleset. */
static uint16_t rule_of(enum chain_id chain, const char *comment)
{
	for (uint16_t i = 0; i < ruleset.n_rules; i++)
		if (ruleset.rules[i].chain == chain && strcmp(ruleset.rules[i].comment, comment) == 0)
			return i;
	fail_msg("no rule %s", comment);
	return 0;
}

static void test_complaints(void **state)
{
	char text[512];

	(void)state;
	fake_clear();
	fake.capture.ports = fake_range(80, 443);
	make(0);
	const struct { struct part part; int err, code; const char *text; } rows[] = {
		{{PART_BEGIN, NFPROTO_UNSPEC, 0}, EPERM, EX_NOPERM, "sluice-init: nf_tables: needs CAP_NET_ADMIN\n"},
		{{PART_BEGIN, NFPROTO_UNSPEC, 0}, EOPNOTSUPP, EX_UNAVAILABLE, "the kernel lacks nf_tables"},
		{{PART_TABLE, NFPROTO_INET, 0}, EAFNOSUPPORT, EX_UNAVAILABLE, "table inet sluice: the kernel lacks nf_tables"},
		{{PART_TABLE, NFPROTO_NETDEV, 0}, EOPNOTSUPP, EX_UNAVAILABLE, "table netdev sluice: the kernel lacks the egress hook"},
		{{PART_CHAIN, NFPROTO_NETDEV, CHAIN_EGRESS}, ENOENT, EX_UNAVAILABLE, "chain egress: the kernel lacks the egress hook"},
		{{PART_CHAIN, NFPROTO_NETDEV, CHAIN_EGRESS}, EOPNOTSUPP, EX_UNAVAILABLE, "--no-egress-hook"},
		{{PART_TABLE, NFPROTO_INET, 0}, EEXIST, EX_TEMPFAIL, ""},
		{{PART_TABLE, NFPROTO_INET, 0}, ENOENT, EX_TEMPFAIL, ""},
		{{PART_TABLE, NFPROTO_INET, 0}, EPERM, EX_NOPERM, "table inet sluice: it belongs to another process"},
		{{PART_SET, NFPROTO_INET, SET_PORTS}, ENOMEM, EX_OSERR, "sluice-init: set ports: "},
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_DIVERT, "captured TCP, to the proxy")}, ENOENT, EX_UNAVAILABLE,
		 "sluice-init: chain divert: rule 1 (captured TCP, to the proxy): the kernel lacks nft_tproxy: use method = redirect\n"},
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_REFUSE, "UDP")}, ENOENT, EX_UNAVAILABLE,
		 "chain refuse: rule 5 (UDP): the kernel lacks nft_reject_inet"},
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_INBOUND, "other flows from outside")}, EOPNOTSUPP, EX_UNAVAILABLE, "nft_ct"},
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_GUARD, "all else")}, EINVAL, EX_OSERR, "chain guard: rule 5 (all else): "},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(say(rows[i].part, rows[i].err, text), rows[i].code);
		if (strstr(text, rows[i].text) == NULL || (rows[i].text[0] == '\0' && text[0] != '\0'))
			fail_msg("row %zu: %s", i, text);
	}
	fake.capture.scope = POLICY_SCOPE_BOTH;
	fake.capture.dns = POLICY_CAPTURE;
	fake_inside("br-lan");
	fake_service(123, "192.0.2.1", NULL, NULL);
	make(0);
	const struct { struct part part; int err; const char *text; } lacks[] = {
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_TURN, "for this router")}, ENOENT, "nft_fib_inet"},
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_SOURCE, "a source that is not behind the interface")}, ENOENT, "nft_fib_inet"},
		{{PART_RULE, NFPROTO_INET, rule_of(CHAIN_COUNT, "no more than udp-flows of a client")}, ENOENT, "nft_connlimit"},
		{{PART_SET, NFPROTO_INET, SET_UDP4}, EINVAL, "set udp_ipv4: the kernel lacks sets of ranges of several fields"},
	};
	for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
		assert_int_equal(say(lacks[i].part, lacks[i].err, text), EX_UNAVAILABLE);
		if (strstr(text, lacks[i].text) == NULL)
			fail_msg("row %zu: %s", i, text);
	}
	fake.capture.scope = POLICY_SCOPE_POD;
	fake.capture.method = POLICY_REDIRECT;
	make(0);
	assert_int_equal(say((struct part){PART_RULE, NFPROTO_INET, rule_of(CHAIN_CAPTURE, "ports")}, ENOENT, text), EX_UNAVAILABLE);
	assert_non_null(strstr(text, "the kernel lacks nft_redir: use method = tproxy"));
	assert_int_equal(say((struct part){PART_CHAIN, NFPROTO_INET, CHAIN_CAPTURE}, ENOENT, text), EX_UNAVAILABLE);
	assert_non_null(strstr(text, "chain capture: the kernel lacks nft_chain_nat: use method = tproxy"));
}

static size_t put_answer(char *at, uint32_t seq, int err)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(at);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof(*e));

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = seq;
	e->error = -err;
	return nlh->nlmsg_len;
}

/* Answers come in any order; the first message that failed is the one that counts, and foreign ones do not. */
static void test_answers(void **state)
{
	_Alignas(struct nlmsghdr) char buf[1024];
	struct answer a = {0};
	size_t n = 0;

	(void)state;
	fake_clear();
	make(0);
	n += put_answer(buf + n, 5, 0);
	n += put_answer(buf + n, 9, EINVAL);
	n += put_answer(buf + n, 7, ENOENT);
	n += put_answer(buf + n, 8, EEXIST);
	n += put_answer(buf + n, batch.n, EPERM);
	n += put_answer(buf + n, 6, 0);
	batch_take(&batch, buf, n, &a);
	assert_int_equal(a.acks, 2);
	assert_int_equal(a.err, ENOENT);
	assert_int_equal(a.failed, 7);
	for (size_t cut = 0; cut < n; cut++) {
		struct answer part = {0};
		char *end = malloc(cut);

		assert_non_null(end);
		memcpy(end, buf, cut);
		batch_take(&batch, end, cut, &part);
		assert_true(part.acks <= 2);
		free(end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_open_end),
		cmocka_unit_test(test_many_elements),
		cmocka_unit_test(test_boxes),
		cmocka_unit_test(test_complaints),
		cmocka_unit_test(test_answers),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	batch_fini(&batch);
	return failed;
}
