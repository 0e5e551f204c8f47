/* SPDX-License-Identifier: MIT */
/*
 * The verification: files that are well-formed, have their right checksum, and say one thing wrong.
 */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/policy.c rules/pool.c */
/* LINK: rules/port_table.c rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "policy_parts.h"

static uint8_t *service_at(struct parts *p, size_t i)
{
	return p->b[FORMAT_SERVICES] + i * SERVICE_SIZE;
}

/* Which record of ADDRESSES begins at an address. */
static size_t address_index(struct parts *p, const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text, strlen(text)), 0);
	for (size_t i = 0; i < p->records[FORMAT_ADDRESSES]; i++)
		if (memcmp(p->b[FORMAT_ADDRESSES] + i * ADDRESS_SIZE, a.b, 16) == 0)
			return i;
	fail_msg("no interval begins at %s", text);
	return 0;
}

static void spare_string(struct parts *p)
{
	insert(p, FORMAT_STRINGS, p->n[FORMAT_STRINGS], "zzz", 4, 1);
}

static void endless_string(struct parts *p)
{
	p->n[FORMAT_STRINGS]--;
}

static void second_string(struct parts *p)
{
	insert(p, FORMAT_STRINGS, p->n[FORMAT_STRINGS], "wlan0", 6, 1);
}

static void spare_list(struct parts *p)
{
	static const uint8_t list[36] = {8};

	insert(p, FORMAT_LISTS, p->n[FORMAT_LISTS], list, 36, 9);
}

static void endless_list(struct parts *p)
{
	cut(p, FORMAT_LISTS, p->n[FORMAT_LISTS] - 4, 4);
}

/* Two lists that say the same, both used. */
static void second_list(struct parts *p)
{
	uint8_t *service = service_at(p, 0), copy[8];

	memcpy(copy, p->b[FORMAT_LISTS] + 4 * (size_t)get_le32(service + SERVICE_EXPORT_TO), 8);
	assert_int_equal(get_le32(copy), 1);
	put_le32(service + SERVICE_EXPORT_TO, p->records[FORMAT_LISTS]);
	insert(p, FORMAT_LISTS, p->n[FORMAT_LISTS], copy, 8, 2);
}

static void host_bits(struct parts *p)
{
	p->b[FORMAT_CIDRS][CIDR_ADDR + 15] = 1;
}

static void spare_cidr(struct parts *p)
{
	static const uint8_t cidr[CIDR_SIZE] = {0xff, [CIDR_BITS] = 8};

	insert(p, FORMAT_CIDRS, p->n[FORMAT_CIDRS], cidr, CIDR_SIZE, 1);
}

/* What web takes by ALPN: http/1.1 and h2, ascending. */
static uint8_t *alpn_of_web(struct parts *p)
{
	return p->b[FORMAT_LISTS] + 4 * (size_t)get_le32(service_at(p, 3) + SERVICE_ALPN);
}

static void alpn_order(struct parts *p)
{
	swap_words(alpn_of_web(p) + 4, alpn_of_web(p) + 8);
}

/* As many as a list may have, and one. */
static void alpn_long(struct parts *p)
{
	uint8_t list[4 + 4 * (FORMAT_MAX_ITEMS + 1)] = {FORMAT_MAX_ITEMS + 1};

	put_le32(service_at(p, 3) + SERVICE_ALPN, p->records[FORMAT_LISTS]);
	insert(p, FORMAT_LISTS, p->n[FORMAT_LISTS], list, sizeof(list), FORMAT_MAX_ITEMS + 2);
}

/* web's string "h2", in place, is something that no source can say. */
static void alpn_comma(struct parts *p)
{
	uint8_t *s = p->b[FORMAT_STRINGS] + get_le32(alpn_of_web(p) + 4);

	assert_memory_equal(s, "h2", 3);
	s[1] = ',';
}

static void alpn_nowhere(struct parts *p)
{
	put_le32(service_at(p, 3) + SERVICE_ALPN, p->records[FORMAT_LISTS]);
}

static void port_order(struct parts *p)
{
	static const uint8_t port[PORT_SIZE] = {443 & 0xff, 443 >> 8, 1, 0, POLICY_PROTO_UDP};

	insert(p, FORMAT_PORTS, p->n[FORMAT_PORTS], port, PORT_SIZE, 1);
	add_to(service_at(p, 3) + SERVICE_PORTS + 4, 1);
}

static void service_order(struct parts *p)
{
	swap_words(service_at(p, 0) + SERVICE_NAME, service_at(p, 1) + SERVICE_NAME);
}

static void spare_interval(struct parts *p)
{
	size_t at = address_index(p, "198.51.100.0") * ADDRESS_SIZE;
	uint8_t r[ADDRESS_SIZE];

	memcpy(r, p->b[FORMAT_ADDRESSES] + at, ADDRESS_SIZE);
	r[15] = 3; /* 198.51.100.3 */
	insert(p, FORMAT_ADDRESSES, at + ADDRESS_SIZE, r, ADDRESS_SIZE, 1);
}

static void spare_empty_interval(struct parts *p)
{
	size_t at = address_index(p, "::ffff:0:0") * ADDRESS_SIZE;
	uint8_t r[ADDRESS_SIZE];

	memcpy(r, p->b[FORMAT_ADDRESSES] + at, ADDRESS_SIZE);
	r[12] = 8; /* 8.0.0.0 */
	insert(p, FORMAT_ADDRESSES, at + ADDRESS_SIZE, r, ADDRESS_SIZE, 1);
}

/* Where 198.51.100.7 begins, in a list that the wider prefix of its service is on, too. */
static void lost_beginning(struct parts *p)
{
	cut(p, FORMAT_ADDRESSES, address_index(p, "198.51.100.7") * ADDRESS_SIZE, ADDRESS_SIZE);
}

static void lost_end(struct parts *p)
{
	cut(p, FORMAT_ADDRESSES, address_index(p, "198.51.100.8") * ADDRESS_SIZE, ADDRESS_SIZE);
}

static void lost_addresses(struct parts *p)
{
	p->n[FORMAT_ADDRESSES] = p->records[FORMAT_ADDRESSES] = 0;
}

static void lost_port(struct parts *p)
{
	cut(p, FORMAT_BY_PORT, 0, BY_PORT_SIZE); /* 80, which nobody takes whole */
}

static void spare_port(struct parts *p)
{
	static const uint8_t r[BY_PORT_SIZE] = {1, 0, POLICY_PORT_HTTP};

	insert(p, FORMAT_BY_PORT, 0, r, BY_PORT_SIZE, 1);
}

static uint8_t *destination_at(struct parts *p, size_t i)
{
	return p->b[FORMAT_DESTINATIONS] + i * DESTINATION_SIZE;
}

static void other_gateway(struct parts *p)
{
	put_le32(destination_at(p, 2) + DESTINATION_GATEWAY, 3);
}

static void other_subset(struct parts *p)
{
	put_le32(destination_at(p, 0) + DESTINATION_SUBSET, 3);
}

/* A subset, but of another gateway. */
static void others_subset(struct parts *p)
{
	put_le32(destination_at(p, 0) + DESTINATION_GATEWAY, 1);
}

static void both_ways(struct parts *p)
{
	memcpy(destination_at(p, 2) + DESTINATION_HOST, destination_at(p, 3) + DESTINATION_HOST, 4);
}

static void other_sum(struct parts *p)
{
	add_to(p->b[FORMAT_ROUTES] + ROUTE_WEIGHT, 1);
}

static void weightless_sum(struct parts *p)
{
	add_to(destination_at(p, 0) + DESTINATION_WEIGHT, 1);
}

static void alone_with_weight(struct parts *p)
{
	put_le32(destination_at(p, 4) + DESTINATION_WEIGHT, 7);
	put_le32(p->b[FORMAT_ROUTES] + ROUTE_SIZE + ROUTE_WEIGHT, 7);
}

static void spare_destination(struct parts *p)
{
	insert(p, FORMAT_DESTINATIONS, p->n[FORMAT_DESTINATIONS], destination_at(p, 4),
	       DESTINATION_SIZE, 1);
}

static void spare_subset(struct parts *p)
{
	insert(p, FORMAT_SUBSETS, p->n[FORMAT_SUBSETS], p->b[FORMAT_SUBSETS], SUBSET_SIZE, 1);
}

static void other_first_host(struct parts *p)
{
	put_le32(p->b[FORMAT_ROUTES] + ROUTE_FIRST_HOST, 2);
}

static void far_first_host(struct parts *p)
{
	put_le32(p->b[FORMAT_ROUTES] + ROUTE_FIRST_HOST, UINT32_MAX);
}

static void far_route(struct parts *p)
{
	put_le32(p->b[FORMAT_ROUTE_HOSTS] + p->n[FORMAT_ROUTE_HOSTS] - 4, 9);
}

static void route_host_order(struct parts *p)
{
	uint8_t *last = p->b[FORMAT_ROUTE_HOSTS] + p->n[FORMAT_ROUTE_HOSTS] - ROUTE_HOST_SIZE;

	swap_words(last + ROUTE_HOST_ROUTE, last - ROUTE_HOST_SIZE + ROUTE_HOST_ROUTE);
}

static void gateway_order(struct parts *p)
{
	memcpy(p->b[FORMAT_GATEWAYS] + GATEWAY_SIZE, p->b[FORMAT_GATEWAYS], 4);
}

static void other_via(struct parts *p)
{
	p->b[FORMAT_GATEWAYS][GATEWAY_VIA] = POLICY_VIA_PROXY_V2 + 1;
}

static void less_via(struct parts *p)
{
	p->b[FORMAT_GATEWAYS][GATEWAY_SIZE + GATEWAY_VIA] = POLICY_VIA_TLS;
}

static void no_endpoints(struct parts *p)
{
	uint8_t *gateway = p->b[FORMAT_GATEWAYS], *next = gateway + GATEWAY_SIZE;

	put_le32(gateway + GATEWAY_ENDPOINTS + 4, 0);
	put_le32(next + GATEWAY_ENDPOINTS, get_le32(gateway + GATEWAY_ENDPOINTS));
	put_le32(next + GATEWAY_ENDPOINTS + 4, get_le32(next + GATEWAY_ENDPOINTS + 4) + 1);
}

static void lost_slot(struct parts *p)
{
	cut(p, FORMAT_HOSTS, p->n[FORMAT_HOSTS] - HOST_SIZE, HOST_SIZE);
}

static void spare_name(struct parts *p)
{
	insert(p, FORMAT_NAMES, p->n[FORMAT_NAMES], "\001a", 2, 0);
}

static void more_probes(struct parts *p)
{
	static const uint8_t slot[HOST_SIZE];

	add_to(p->header + HEADER_PROBES, 1);
	insert(p, FORMAT_HOSTS, p->n[FORMAT_HOSTS], slot, HOST_SIZE, 1);
}

static void test_crafted(void **state)
{
	static const struct craft rows[] = {
		{spare_string, "a string that nothing uses"},
		{endless_string, "does not end"},
		{second_string, "is out of order"},
		{spare_list, "a list that nothing uses"},
		{endless_list, "the list does not end"},
		{second_list, "the list is out of order"},
		{host_bits, "not a prefix"},
		{spare_cidr, "belongs to nothing"},
		{alpn_order, "the strings are out of order or repeat"},
		{alpn_long, "points at a list that is too long"},
		{alpn_comma, "points at a string of another kind"},
		{alpn_nowhere, "section SERVICES: record 3: points at no list"},
		{port_order, "section PORTS: record 9: out of order"},
		{service_order, "section SERVICES: record 1: out of order"},
		{spare_interval, "no prefix begins or ends here"},
		{spare_empty_interval, "no prefix begins or ends here"},
		{lost_beginning, "section ADDRESSES"},
		{lost_end, "lists a service beyond its addresses"},
		{lost_addresses, "ADDRESSES has no record where it begins"},
		{lost_port, "section BY_PORT: record 8: not what the services say"},
		{spare_port, "not what the services say of this port"},
		{other_gateway, "section DESTINATIONS: record 2: leads to no gateway"},
		{other_subset, "section DESTINATIONS: record 0: leads to no subset"},
		{others_subset, "section DESTINATIONS: record 0: leads to no subset"},
		{both_ways, "section DESTINATIONS: record 2: leads to no gateway"},
		{other_sum, "has another sum of weights"},
		{weightless_sum, "has another sum of weights"},
		{alone_with_weight, "section DESTINATIONS: record 4: not a destination"},
		{spare_destination, "section DESTINATIONS: record 5: belongs to nothing"},
		{spare_subset, "section SUBSETS: record 2: belongs to nothing"},
		{other_first_host, "section ROUTE"},
		{far_first_host, "section ROUTES: record 0: has no hosts"},
		{far_route, "section ROUTE_HOSTS: record 5: not the first of its route"},
		{route_host_order, "section ROUTE_HOSTS: record 5: out of order"},
		{gateway_order, "section GATEWAYS: record 1: out of order"},
		{other_via, "section GATEWAYS: record 0: holds an unknown value"},
		{less_via, "section GATEWAYS: record 1: points at no such record of TLS"},
		{no_endpoints, "section GATEWAYS: record 0: has no endpoints"},
		{lost_slot, "the table has another size"},
		{spare_name, "not the keys of the host table"},
		{more_probes, "not the keys of the host table"},
	};

	(void)state;
	expect_crafted(rows, sizeof(rows) / sizeof(rows[0]));
}

/* Taking a file apart and putting it together changes nothing. */
static void test_parts(void **state)
{
	struct model m;
	struct parts parts;
	size_t len, len_again;
	uint8_t *bytes, *again;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	parts_init(&parts, bytes);
	again = parts_join(&parts, &len_again);
	assert_int_equal(len_again, len);
	assert_memory_equal(again, bytes, len);
	free(again);
	free(bytes);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_crafted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
