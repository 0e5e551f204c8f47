/* SPDX-License-Identifier: MIT */
/*
 * The verification of BLOBS, TRAFFIC, TLS, RULES, MATCHES and CHANGES, and of what points there: files
 * that are well-formed, have their right checksum, and say one thing wrong.
 */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/base64.c rules/crc32c.c */
/* LINK: rules/emit.c rules/emit_gateway.c rules/emit_rule.c rules/emit_traffic.c rules/gateway.c */
/* LINK: rules/host_table.c rules/http_rule.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/traffic.c rules/verify.c rules/verify_gateway.c */
/* LINK: rules/verify_record.c rules/verify_rule.c rules/verify_table.c rules/verify_traffic.c */
/* LINK: rules/word.c */
#include "policy_parts.h"

static uint8_t *record(struct parts *p, enum format_section section, size_t i, size_t size)
{
	return p->b[section] + i * size;
}

/* ---- TRAFFIC ---- */

static void traffic_twice(struct parts *p)
{
	insert(p, FORMAT_TRAFFIC, 0, p->b[FORMAT_TRAFFIC], TRAFFIC_SIZE, 1);
}

static void traffic_spare(struct parts *p)
{
	uint8_t r[TRAFFIC_SIZE];

	memcpy(r, record(p, FORMAT_TRAFFIC, p->records[FORMAT_TRAFFIC] - 1, TRAFFIC_SIZE),
	       sizeof(r));
	r[0] = 255;
	insert(p, FORMAT_TRAFFIC, p->n[FORMAT_TRAFFIC], r, sizeof(r), 1);
}

static void traffic_default(struct parts *p)
{
	uint8_t r[TRAFFIC_SIZE] = {0};

	put_le32(r + TRAFFIC_CONNECT, POLICY_CONNECT_TIMEOUT);
	put_le32(r + TRAFFIC_IDLE, POLICY_IDLE_TIMEOUT);
	insert(p, FORMAT_TRAFFIC, 0, r, sizeof(r), 1);
}

static void traffic_nowhere(struct parts *p)
{
	put_le32(p->b[FORMAT_SERVICES] + SERVICE_TRAFFIC, 9);
}

/* ---- TLS ---- */

static void tls_spare(struct parts *p)
{
	uint8_t r[TLS_SIZE];

	memcpy(r, record(p, FORMAT_TLS, p->records[FORMAT_TLS] - 1, TLS_SIZE), sizeof(r));
	r[0] = 255;
	r[TLS_FLAGS] &= (uint8_t)~TLS_FLAG_CA;
	insert(p, FORMAT_TLS, p->n[FORMAT_TLS], r, sizeof(r), 1);
}

/* Which record has a role. */
static uint8_t *tls_of(struct parts *p, uint8_t role)
{
	for (size_t i = 0; i < p->records[FORMAT_TLS]; i++)
		if (record(p, FORMAT_TLS, i, TLS_SIZE)[TLS_ROLE] == role)
			return record(p, FORMAT_TLS, i, TLS_SIZE);
	fail_msg("no record of TLS has role %u", role);
	return NULL;
}

static void tls_no_ca(struct parts *p)
{
	uint8_t *r = tls_of(p, TLS_ROLE_MUTUAL);

	put_le32(r + TLS_CA, 0);
}

static void tls_no_key(struct parts *p)
{
	uint8_t *r = tls_of(p, TLS_ROLE_MUTUAL);

	put_le32(r + TLS_PRIVATE_KEY, 0);
	r[TLS_FLAGS] &= (uint8_t)~TLS_FLAG_PRIVATE_KEY;
}

static void tls_client_key(struct parts *p)
{
	memcpy(tls_of(p, TLS_ROLE_CLIENT) + TLS_PRIVATE_KEY, tls_of(p, TLS_ROLE_SERVER) + TLS_PRIVATE_KEY, 4);
}

static void tls_server_sni(struct parts *p)
{
	memcpy(tls_of(p, TLS_ROLE_SERVER) + TLS_SNI, tls_of(p, TLS_ROLE_MUTUAL) + TLS_SNI, 4);
}

static void tls_server_pins(struct parts *p)
{
	memcpy(tls_of(p, TLS_ROLE_SERVER) + TLS_PINS, tls_of(p, TLS_ROLE_CLIENT) + TLS_PINS, 4);
}

static void tls_odd_pins(struct parts *p)
{
	put_le32(tls_of(p, TLS_ROLE_CLIENT) + TLS_PINS,
		 get_le32(tls_of(p, TLS_ROLE_CLIENT) + TLS_CA) + 1);
}

static void tls_pin_order(struct parts *p)
{
	uint32_t at = get_le32(tls_of(p, TLS_ROLE_CLIENT) + TLS_PINS) - 1;

	memset(p->b[FORMAT_BLOBS] + at + 4, 0xff, POLICY_PIN_SIZE);
}

static void tls_relative(struct parts *p)
{
	uint8_t *r = tls_of(p, TLS_ROLE_MUTUAL);

	put_le32(r + TLS_CERTIFICATE, get_le32(r + TLS_SNI));
}

static void tls_other_role(struct parts *p)
{
	size_t role = (size_t)(tls_of(p, TLS_ROLE_SERVER) - p->b[FORMAT_TLS]) / TLS_SIZE;

	for (size_t i = 0; i < p->records[FORMAT_GATEWAYS]; i++) {
		uint8_t *g = record(p, FORMAT_GATEWAYS, i, GATEWAY_SIZE);

		if (get_le32(g + GATEWAY_TLS) != 0)
			put_le32(g + GATEWAY_TLS, (uint32_t)role + 1);
	}
}

/* ---- the gateways ---- */

/* The node's own, or the other. */
static uint8_t *gateway(struct parts *p, bool own)
{
	uint8_t *g = p->b[FORMAT_GATEWAYS]; /* egress; next */

	return own ? g : g + GATEWAY_SIZE;
}

static void own_traffic(struct parts *p)
{
	put_le32(gateway(p, true) + GATEWAY_TRAFFIC, 1);
}

static void others_server(struct parts *p)
{
	memcpy(gateway(p, false) + GATEWAY_SERVER_TLS, gateway(p, true) + GATEWAY_SERVER_TLS, 4);
}

static void others_proxy(struct parts *p)
{
	put_le32(gateway(p, true) + GATEWAY_PROXY_FROM + 4, 1);
	add_to(gateway(p, false) + GATEWAY_PROXY_FROM, (uint32_t)-1);
	put_le32(gateway(p, false) + GATEWAY_PROXY_FROM + 4, 1);
}

static uint8_t *server(struct parts *p, size_t i, bool own)
{
	return p->b[FORMAT_PORTS] +
	       (get_le32(gateway(p, own) + GATEWAY_SERVERS) + i) * PORT_SIZE;
}

static void no_mode(struct parts *p)
{
	server(p, 1, true)[PORT_TLS] = POLICY_SERVER_NONE;
}

static void http_mode(struct parts *p)
{
	server(p, 0, true)[PORT_TLS] = POLICY_SERVER_PASSTHROUGH;
}

static void unknown_mode(struct parts *p)
{
	server(p, 1, true)[PORT_TLS] = POLICY_SERVER_AUTO_PASSTHROUGH + 1;
}

static void others_mode(struct parts *p)
{
	server(p, 1, false)[PORT_TLS] = POLICY_SERVER_PASSTHROUGH;
}

static void nobody_mutual(struct parts *p)
{
	server(p, 1, true)[PORT_TLS] = POLICY_SERVER_SIMPLE;
}

static void nobody_ends(struct parts *p)
{
	server(p, 1, true)[PORT_TLS] = POLICY_SERVER_PASSTHROUGH;
}

static void service_mode(struct parts *p)
{
	p->b[FORMAT_PORTS][PORT_TLS] = POLICY_SERVER_PASSTHROUGH;
}

/* ---- BLOBS ---- */

static void blob_spare(struct parts *p)
{
	uint8_t b[105] = {100};

	insert(p, FORMAT_BLOBS, p->n[FORMAT_BLOBS], b, sizeof(b), 1);
}

static void blob_order(struct parts *p)
{
	uint8_t b[6] = {1};

	insert(p, FORMAT_BLOBS, p->n[FORMAT_BLOBS], b, sizeof(b), 1);
}

static void blob_endless(struct parts *p)
{
	p->b[FORMAT_BLOBS][p->n[FORMAT_BLOBS] - 1] = 'x';
}

static void blob_long(struct parts *p)
{
	put_le32(p->b[FORMAT_BLOBS], UINT32_MAX);
}

static void blob_short(struct parts *p)
{
	p->n[FORMAT_BLOBS] -= 1;
}

static void blob_count(struct parts *p)
{
	p->records[FORMAT_BLOBS]++;
}

static void blob_control(struct parts *p)
{
	/* Of the shortest, which is a value. */
	p->b[FORMAT_BLOBS][4] = '\n';
}

/* ---- RULES ---- */

static void rule_spare(struct parts *p)
{
	insert(p, FORMAT_RULES, p->n[FORMAT_RULES], p->b[FORMAT_RULES] + RULE_SIZE, RULE_SIZE, 1);
}

static void rule_shared(struct parts *p)
{
	put_le32(p->b[FORMAT_ROUTES] + ROUTE_SIZE + ROUTE_RULE, 1);
}

static void rule_nowhere(struct parts *p)
{
	put_le32(p->b[FORMAT_ROUTES] + ROUTE_RULE, UINT32_MAX);
}

static void answer_leads(struct parts *p)
{
	uint8_t *r = p->b[FORMAT_RULES];

	r[RULE_ACTION] = POLICY_HTTP_DIRECT;
}

static void match_order(struct parts *p)
{
	swap_words(p->b[FORMAT_MATCHES], p->b[FORMAT_MATCHES] + MATCH_SIZE);
}

static void change_order(struct parts *p)
{
	swap_words(p->b[FORMAT_CHANGES], p->b[FORMAT_CHANGES] + CHANGE_SIZE);
}

static void change_spare(struct parts *p)
{
	insert(p, FORMAT_CHANGES, p->n[FORMAT_CHANGES], p->b[FORMAT_CHANGES], CHANGE_SIZE, 1);
}

static void change_host(struct parts *p)
{
	/* The string of "trailes", which is removed, becomes one of the same length and place. */
	uint8_t *name = p->b[FORMAT_STRINGS] + get_le32(p->b[FORMAT_CHANGES] + CHANGE_NAME);

	assert_string_equal((char *)name, "trailes");
	memcpy(name, "trailer", 7);
}

static void test_crafted(void **state)
{
	static const struct craft rows[] = {
		{traffic_twice, "section TRAFFIC: record 1: out of order"},
		{traffic_spare, "section TRAFFIC: record 2: is used by nothing"},
		{traffic_default, "section TRAFFIC: record 0: holds an unknown value"},
		{traffic_nowhere, "section SERVICES: record 0: points at no record"},
		{tls_spare, "section TLS: record 3"},
		{tls_no_ca, "has other keys than it needs"},
		{tls_no_key, "has other keys than it needs"},
		{tls_client_key, "has other keys than it needs"},
		{tls_server_sni, "has other keys than it needs"},
		{tls_server_pins, "has other keys than it needs"},
		{tls_odd_pins, "points at what are not pins"},
		{tls_pin_order, "has pins that are out of order"},
		{tls_relative, "names no absolute path"},
		{tls_other_role, "points at no such record of TLS"},
		{own_traffic, "has other keys than its via needs"},
		{others_server, "has other keys than its via needs"},
		{others_proxy, "takes PROXY headers elsewhere"},
		{no_mode, "is not for gateways"},
		{http_mode, "is not for gateways"},
		{unknown_mode, "is not for gateways"},
		{others_mode, "is not for gateways"},
		{nobody_mutual, "has other keys than its servers need"},
		{nobody_ends, "has other keys than its servers need"},
		{service_mode, "section PORTS: record 0: not a port"},
		{blob_spare, "section BLOBS: record 10: belongs to nothing"},
		{blob_order, "out of order"},
		{blob_endless, "not a blob"},
		{blob_long, "section BLOBS: record 0: not a blob"},
		{blob_short, "not a blob"},
		{blob_count, "the section has another number of blobs"},
		{blob_control, "points at what is not a line of text"},
		{rule_spare, "section RULES: record 3: belongs to nothing"},
		{rule_shared, "section ROUTES: record 1: has not the next rule"},
		{rule_nowhere, "section ROUTES: record 0: has not the next rule"},
		{answer_leads, "section RULES: record 0: says nothing, or what does not go"},
		{match_order, "section MATCHES: record 1: not a condition, or out of order"},
		{change_order, "section CHANGES: record 1: not a change, or out of order"},
		{change_spare, "section CHANGES: record 7: belongs to nothing"},
		{change_host, "is of a field that stays"},
	};

	(void)state;
	expect_crafted(rows, sizeof(rows) / sizeof(rows[0]));
}

/* Words and bytes out of bounds. Record 0 of RULES forwards, 1 redirects, 2 answers. */
static void test_bounds(void **state)
{
	enum { WORD, HALF, BYTE };
	static const struct { enum format_section section; size_t at; int size; uint32_t value; } rows[] = {
		{FORMAT_TRAFFIC, TRAFFIC_CONNECT, WORD, 0},
		{FORMAT_TRAFFIC, TRAFFIC_CONNECT, WORD, FORMAT_MAX_TIME + 1},
		{FORMAT_TRAFFIC, TRAFFIC_IDLE, WORD, 0},
		{FORMAT_TRAFFIC, TRAFFIC_KEEPALIVE, WORD, 32768},
		{FORMAT_TRAFFIC, TRAFFIC_CONNECTIONS, WORD, FORMAT_MAX_NUMBER + 1},
		{FORMAT_TRAFFIC, TRAFFIC_REQUESTS, WORD, UINT32_MAX},
		{FORMAT_TRAFFIC, TRAFFIC_INTERVAL, WORD, FORMAT_MAX_TIME + 1},
		{FORMAT_TRAFFIC, TRAFFIC_MAX_EJECTION, WORD, 101},
		{FORMAT_TRAFFIC, TRAFFIC_MIN_HEALTH, WORD, 101},
		{FORMAT_TRAFFIC, TRAFFIC_HEALTH_INTERVAL, WORD, 0},
		{FORMAT_TRAFFIC, TRAFFIC_HEALTH_TIMEOUT, WORD, FORMAT_MAX_TIME},
		{FORMAT_TRAFFIC, TRAFFIC_HEALTHY, WORD, 0},
		{FORMAT_TRAFFIC, TRAFFIC_HEALTH, BYTE, POLICY_HEALTH_HTTP + 1},
		{FORMAT_TRAFFIC, TRAFFIC_BALANCE, BYTE, POLICY_CONSISTENT_HASH + 1},
		{FORMAT_TRAFFIC, TRAFFIC_ZERO, BYTE, 1},
		{FORMAT_TLS, TLS_ROLE, BYTE, TLS_ROLE_SERVER + 1},
		{FORMAT_TLS, TLS_FLAGS, BYTE, TLS_FLAGS_KNOWN + 1},
		{FORMAT_TLS, TLS_ZERO, BYTE, 1},
		{FORMAT_RULES, RULE_TIMEOUT, WORD, FORMAT_MAX_TIME + 1},
		{FORMAT_RULES, RULE_PER_TRY, WORD, FORMAT_MAX_TIME + 1},
		{FORMAT_RULES, RULE_RETRIES, BYTE, 101},
		{FORMAT_RULES, RULE_RETRIES, BYTE, 0}, /* but with why and how long */
		{FORMAT_RULES, RULE_RETRY_ON, BYTE, POLICY_RETRY_KNOWN + 1},
		{FORMAT_RULES, RULE_ACTION, BYTE, POLICY_HTTP_DIRECT + 1},
		{FORMAT_RULES, RULE_HTTPS, BYTE, 1},
		{FORMAT_RULES, RULE_CODE, HALF, 301},
		{FORMAT_RULES, RULE_PORT, HALF, 80},
		{FORMAT_RULES, RULE_SIZE + RULE_HTTPS, BYTE, 2},
		{FORMAT_RULES, RULE_SIZE + RULE_CODE, HALF, 300},
		{FORMAT_RULES, RULE_SIZE + RULE_CODE, HALF, 304},
		{FORMAT_RULES, RULE_SIZE + RULE_TIMEOUT, WORD, 1},
		{FORMAT_RULES, RULE_SIZE + RULE_RETRIES, BYTE, 3},
		{FORMAT_RULES, RULE_SIZE + RULE_RETRY_ON, BYTE, 1},
		{FORMAT_RULES, 2 * RULE_SIZE + RULE_CODE, HALF, 199},
		{FORMAT_RULES, 2 * RULE_SIZE + RULE_CODE, HALF, 600},
		{FORMAT_RULES, 2 * RULE_SIZE + RULE_CODE, HALF, 204}, /* with a body */
		{FORMAT_RULES, 2 * RULE_SIZE + RULE_PORT, HALF, 80},
		{FORMAT_RULES, 2 * RULE_SIZE + RULE_BODY, WORD, 3},
		{FORMAT_MATCHES, MATCH_PREFIX, BYTE, 1}, /* of no value */
		{FORMAT_MATCHES, MATCH_ZERO, BYTE, 1},
		{FORMAT_CHANGES, CHANGE_KIND, BYTE, POLICY_ADD + 1},
		{FORMAT_CHANGES, CHANGE_VALUE, WORD, 1}, /* of a removal */
		{FORMAT_CHANGES, CHANGE_ZERO, BYTE, 1},
	};
	struct model m;
	size_t len;
	uint8_t *bytes;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_error e = {.text = ""};
		struct policy p;
		struct parts parts;
		size_t crafted_len;
		uint8_t *crafted;

		parts_init(&parts, bytes);
		crafted = parts.b[rows[i].section] + rows[i].at;
		if (rows[i].section == FORMAT_TRAFFIC) /* the record that says all */
			crafted += (parts.records[FORMAT_TRAFFIC] - 1) * TRAFFIC_SIZE *
				   (parts.b[FORMAT_TRAFFIC][TRAFFIC_HEALTH] != POLICY_HEALTH_HTTP);
		if (rows[i].size == WORD)
			put_le32(crafted, rows[i].value);
		else if (rows[i].size == HALF)
			put_le16(crafted, (uint16_t)rows[i].value);
		else
			*crafted = (uint8_t)rows[i].value;
		crafted = parts_join(&parts, &crafted_len);
		if (policy_open_bytes(&p, crafted, crafted_len, &e) != -1 ||
		    strstr(e.text, "section ") == NULL)
			fail_msg("row %zu is taken", i);
		free(crafted);
	}
	model_free(&m);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crafted),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
