/* SPDX-License-Identifier: MIT */
/* rules/value.c and rules/item.c: each parser, with what it makes of good text and what it says of bad. */
/* LINK: rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/diag.c rules/model.c rules/name.c rules/addr.c rules/addr_class.c rules/policy.c rules/verify.c rules/verify_record.c rules/verify_table.c rules/crc32c.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c */
#include "rules/value.c"
#include "rules/item.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard.h"

/* What is read lives until the process ends (model_text()). */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static const struct value_word words[] = { { "no", 0 }, { "yes", 1 }, { "perhaps", 7 }, { NULL, 0 } };
static const struct value_span ports = { "port", 1, 65535, true }, ids = { "id", 0, 4294967294, false };

/* A field of any type, as text. */
typedef bool parse_value(const struct value *v, void *field);

union field {
	int word;
	bool flag;
	uint64_t sequence;
	uint16_t port;
	const char *text;
	struct model_strings strings;
	struct model_ranges ranges;
	struct model_cidrs cidrs;
	struct model_hosts hosts;
	struct model_ports ports;
	struct model_endpoints endpoints;
	struct model_destinations destinations;
};

static void print_endpoint(const struct model_endpoint *e, char *out, size_t size)
{
	char text[ADDR_TEXT];

	snprintf(out, size, "%s %s %u %u", e->name != NULL ? "name" : "addr", e->name != NULL ? e->name : addr_format(&e->addr, text),
		 e->port, e->weight);
}

static void print_destination(const struct model_destination *d, char *out, size_t size)
{
	snprintf(out, size, "%s/%s %s:%u %u", d->gateway != NULL ? d->gateway : "-", d->subset != NULL ? d->subset : "-",
		 d->host != NULL ? d->host : "-", d->port, d->weight);
}

static void print_field(parse_value *parse, const union field *f, char *out, size_t size)
{
	char text[ADDR_TEXT];

	if (parse == value_word)
		snprintf(out, size, "%d", f->word);
	else if (parse == value_flag)
		snprintf(out, size, "%d", f->flag);
	else if (parse == value_sequence)
		snprintf(out, size, "%llu", (unsigned long long)f->sequence);
	else if (parse == value_port_number)
		snprintf(out, size, "%u", f->port);
	else if (parse == value_range)
		snprintf(out, size, "%u-%u", f->ranges.v[0].first, f->ranges.v[0].last);
	else if (parse == value_cidr)
		snprintf(out, size, "%s", cidr_format(&f->cidrs.v[0].cidr, text));
	else if (parse == value_host)
		snprintf(out, size, "%s (%u) %u", f->hosts.v[0].key, f->hosts.v[0].len, f->hosts.v[0].line);
	else if (parse == value_port)
		snprintf(out, size, "%s %u %u", policy_protocol_name(f->ports.v[0].protocol), f->ports.v[0].number, f->ports.v[0].target);
	else if (parse == value_endpoint)
		print_endpoint(&f->endpoints.v[0], out, size);
	else if (parse == value_destination)
		print_destination(&f->destinations.v[0], out, size);
	else if (parse == value_label || parse == value_access_log || parse == value_host_name)
		snprintf(out, size, "%s", f->text);
	else
		snprintf(out, size, "%s", f->strings.v[0].s);
}

/* wanted NULL: refused, with a finding that says this much. */
static const struct { parse_value *parse; const void *arg; const char *text, *wanted, *finding; } rows[] = {
	{ value_word, words, "perhaps", "7", NULL },
	{ value_word, words, "Yes", NULL, "(did you mean \"yes\"?)" },
	{ value_word, words, "never", NULL, "not one of: no, yes, perhaps" },
	{ value_word, words, "y", NULL, "not one of" },
	{ value_flag, words, "yes", "1", NULL },
	{ value_flag, words, "no", "0", NULL },
	{ value_flag, words, "1", NULL, "not one of" },

	{ value_sequence, NULL, "0", "0", NULL },
	{ value_sequence, NULL, "18446744073709551615", "18446744073709551615", NULL },
	{ value_sequence, NULL, "18446744073709551616", NULL, "whole number" },
	{ value_sequence, NULL, "18446744073709551620", NULL, "whole number" },
	{ value_sequence, NULL, "99999999999999999999", NULL, "whole number" },
	{ value_sequence, NULL, "00", NULL, "whole number" },
	{ value_sequence, NULL, "-1", NULL, "whole number" },
	{ value_sequence, NULL, "+1", NULL, "whole number" },
	{ value_sequence, NULL, "0x1", NULL, "whole number" },
	{ value_sequence, NULL, "1 2", NULL, "whole number" },
	{ value_port_number, NULL, "1", "1", NULL },
	{ value_port_number, NULL, "65535", "65535", NULL },
	{ value_port_number, NULL, "65536", NULL, "port number" },
	{ value_port_number, NULL, "0", NULL, "port number" },

	{ value_label, NULL, "a", "a", NULL },
	{ value_label, NULL, "plant-7", "plant-7", NULL },
	{ value_label, NULL, "123456789012345678901234567890123456789012345678901234567890123",
	  "123456789012345678901234567890123456789012345678901234567890123", NULL },
	{ value_label, NULL, "1234567890123456789012345678901234567890123456789012345678901234", NULL, "1 to 63" },
	{ value_label, NULL, "-", NULL, "1 to 63" },
	{ value_label, NULL, "a-", NULL, "1 to 63" },
	{ value_label, NULL, "A", NULL, "1 to 63" },
	{ value_label, NULL, "a.b", NULL, "1 to 63" },
	{ value_label, NULL, "\xc3\xa9", NULL, "1 to 63" },
	{ value_access_log, NULL, "off", "off", NULL },
	{ value_access_log, NULL, "syslog", "syslog", NULL },
	{ value_access_log, NULL, "/dev/stdout", "/dev/stdout", NULL },
	{ value_access_log, NULL, "stdout", NULL, "absolute path" },
	{ value_host_name, NULL, "GW.example.", "gw.example", NULL },
	{ value_host_name, NULL, "*.example", NULL, "not a host name" },

	{ value_nameserver, NULL, "10.0.0.53", "10.0.0.53", NULL },
	{ value_nameserver, NULL, "2001:DB8:0::35", "2001:db8::35", NULL },
	{ value_nameserver, NULL, "10.0.0.53:53", NULL, "not an IP address" },
	{ value_nameserver, NULL, "dns.example", NULL, "not an IP address" },
	{ value_interface, NULL, "br-lan.100", "br-lan.100", NULL },
	{ value_interface, NULL, "123456789012345", "123456789012345", NULL },
	{ value_interface, NULL, "1234567890123456", NULL, "interface" },
	{ value_interface, NULL, "a/b", NULL, "interface" },
	{ value_interface, NULL, "a b", NULL, "interface" },
	{ value_interface, NULL, "..", NULL, "interface" },
	{ value_interface, NULL, "eth*", NULL, "interface" },
	{ value_export, NULL, ".", ".", NULL },
	{ value_export, NULL, "*", "*", NULL },
	{ value_export, NULL, "prod", "prod", NULL },
	{ value_export, NULL, "~", NULL, "namespace" },
	{ value_from, NULL, "mesh", "mesh", NULL },
	{ value_from, NULL, "istio-system/gw", NULL, "gateway" },
	{ value_alt_name, NULL, "spiffe://plant/gw", "spiffe://plant/gw", NULL },
	{ value_alt_name, NULL, "a b", NULL, "subject" },

	{ value_range, &ports, "*", "1-65535", NULL },
	{ value_range, &ports, "80", "80-80", NULL },
	{ value_range, &ports, "80-80", "80-80", NULL },
	{ value_range, &ports, "1-65535", "1-65535", NULL },
	{ value_range, &ports, "0", NULL, "port" },
	{ value_range, &ports, "0-5", NULL, "port" },
	{ value_range, &ports, "5-65536", NULL, "port" },
	{ value_range, &ports, "81-80", NULL, "port" },
	{ value_range, &ports, "-", NULL, "port" },
	{ value_range, &ports, "1-", NULL, "port" },
	{ value_range, &ports, "-1", NULL, "port" },
	{ value_range, &ports, "1 - 2", NULL, "port" },
	{ value_range, &ids, "0-4294967294", "0-4294967294", NULL },
	{ value_range, &ids, "4294967295", NULL, "id" },
	{ value_range, &ids, "*", NULL, "id" },
	{ value_cidr, NULL, "192.0.2.1", "192.0.2.1", NULL },
	{ value_cidr, NULL, "192.192.192.192/24", "192.192.192.0/24", "means 192.192.192.0/24" },
	{ value_cidr, NULL, "2001:db8::/32", "2001:db8::/32", NULL },
	{ value_cidr, NULL, "192.0.2.0/33", NULL, "prefix" },
	{ value_cidr, NULL, "192.0.2/24", NULL, "prefix" },

	{ value_host, NULL, "WWW.Example.", "www.example (11) 12", NULL },
	{ value_host, NULL, "*.example", ".example (8) 12", NULL },
	{ value_host, NULL, "*", " (0) 12", NULL },
	{ value_host, NULL, "intranet", "intranet (8) 12", NULL },
	{ value_host, NULL, "*example", NULL, "whole first label" },
	{ value_host, NULL, "a.*.example", NULL, "whole first label" },
	{ value_host, NULL, "192.0.2.1", NULL, "is an address" },
	{ value_host, NULL, "::1", NULL, "is an address" },
	{ value_host, NULL, "0x7f.1", NULL, "not a host name" },
	{ value_host, NULL, "a..b", NULL, "not a host name" },
	{ value_host, NULL, "www.example:80", NULL, "not a host name" },
	{ value_host, NULL, "b\xc3\xbc.example", NULL, "not a host name" },

	{ value_port, NULL, "http:80", "http 80 80", NULL },
	{ value_port, NULL, "https:443->8443", "https 443 8443", NULL },
	{ value_port, NULL, "mongo:27018", "mongo 27018 27018", NULL },
	{ value_port, NULL, "udp:1", "udp 1 1", NULL },
	{ value_port, NULL, "HTTP:80", NULL, "did you mean \"http\"" },
	{ value_port, NULL, "smtp:25", NULL, "not a protocol" },
	{ value_port, NULL, "none:25", NULL, "not a protocol" },
	{ value_port, NULL, ":25", NULL, "not a protocol" },
	{ value_port, NULL, "80", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http:", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http:80:81", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http:80->", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http:->80", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "->http:80", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http:80->81->82", NULL, "PROTOCOL:PORT" },
	{ value_port, NULL, "http: 80", NULL, "PROTOCOL:PORT" },

	{ value_endpoint, NULL, "192.0.2.1", "addr 192.0.2.1 0 1", NULL },
	{ value_endpoint, NULL, "192.0.2.1:80", "addr 192.0.2.1 80 1", NULL },
	{ value_endpoint, NULL, "192.0.2.1:80 weight 3", "addr 192.0.2.1 80 3", NULL },
	{ value_endpoint, NULL, "192.0.2.1\tweight \t1000000", "addr 192.0.2.1 0 1000000", NULL },
	{ value_endpoint, NULL, "2001:db8::1", "addr 2001:db8::1 0 1", NULL },
	{ value_endpoint, NULL, "[2001:db8::1]", "addr 2001:db8::1 0 1", NULL },
	{ value_endpoint, NULL, "[2001:db8::1]:443", "addr 2001:db8::1 443 1", NULL },
	{ value_endpoint, NULL, "Front.example:8080", "name front.example 8080 1", NULL },
	{ value_endpoint, NULL, "*.example", NULL, "host name" },
	{ value_endpoint, NULL, "192.0.2.1:0", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "192.0.2.1:", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "[192.0.2.1]:80", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "[front.example]:80", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "[2001:db8::1", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "[2001:db8::1]80", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "[", NULL, "[IPv6]:PORT" },
	{ value_endpoint, NULL, "192.0.2.256", NULL, "neither" },
	{ value_endpoint, NULL, "fe80::1%eth0", NULL, "neither" },
	{ value_endpoint, NULL, "a weight", NULL, "weight N" },
	{ value_endpoint, NULL, "a weight ", NULL, "weight" },
	{ value_endpoint, NULL, "a weight 0", NULL, "from 1" },
	{ value_endpoint, NULL, "a weight 1000001", NULL, "from 1" },
	{ value_endpoint, NULL, "a weight 1 2", NULL, "from 1" },
	{ value_endpoint, NULL, "a weighty 1", NULL, "weight N" },
	{ value_endpoint, NULL, "a b", NULL, "weight N" },

	{ value_destination, NULL, "egress/wikipedia weight 100", "egress/wikipedia -:0 100", NULL },
	{ value_destination, NULL, "egress", "egress/- egress:0 1", NULL },
	{ value_destination, NULL, "www.example", "-/- www.example:0 1", NULL },
	{ value_destination, NULL, "www.example:80 weight 0", "-/- www.example:80 0", NULL },
	{ value_destination, NULL, "intranet:80", "-/- intranet:80 1", NULL },
	{ value_destination, NULL, "egress/", NULL, "GATEWAY" },
	{ value_destination, NULL, "/wikipedia", NULL, "GATEWAY" },
	{ value_destination, NULL, "a/b/c", NULL, "GATEWAY" },
	{ value_destination, NULL, "www.example:", NULL, "HOST" },
	{ value_destination, NULL, "192.0.2.1", NULL, "HOST" },
	{ value_destination, NULL, "*.example", NULL, "HOST" },
	{ value_destination, NULL, "egress weight x", NULL, "weight" },
};

static void test_rows(void **state)
{
	struct guard g;

	(void)state;
	guard_init(&g, 2000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].text);
		struct diag d = { 0 };
		union field field;
		struct value v = {
			.text = (char *)guard_copy(&g, rows[i].text, len + 1), .len = len, .key = "key", .at = { "f.ini", 12 },
			.arg = rows[i].arg, .diag = &d,
		};
		char got[300] = "refused";

		memset(&field, 0, sizeof(field));
		print_message("# %s\n", rows[i].text);
		if (rows[i].parse(&v, &field))
			print_field(rows[i].parse, &field, got, sizeof(got));
		assert_string_equal(got, rows[i].wanted != NULL ? rows[i].wanted : "refused");
		assert_int_equal(d.errors, rows[i].wanted == NULL);
		assert_int_equal(d.n, rows[i].finding != NULL);
		if (rows[i].finding != NULL) {
			if (strstr(d.v[0].text, rows[i].finding) == NULL)
				fail_msg("\"%s\" does not say \"%s\"", d.v[0].text, rows[i].finding);
			assert_int_equal(strncmp(d.v[0].text, "key: ", 5), 0);
			assert_int_equal(d.v[0].at.line, 12);
			if (rows[i].wanted == NULL && len > 0 && rows[i].parse != value_port && strstr(rows[i].text, "weight") == NULL)
				assert_non_null(strchr(d.v[0].text, '"'));
		}
		free(d.v);
		if (rows[i].wanted != NULL && rows[i].parse != value_word && rows[i].parse != value_flag &&
		    rows[i].parse != value_sequence && rows[i].parse != value_port_number && rows[i].parse != value_label &&
		    rows[i].parse != value_access_log && rows[i].parse != value_host_name)
			free(field.strings.v);
	}
	guard_fini(&g);
}

/* Refusing leaves the field as it was; a list takes no item twice. */
static void test_field(void **state)
{
	char first[] = "eth0", again[] = "eth0", bad[] = "a/b", second[] = "eth1";
	struct diag d = { 0 };
	struct model_strings list = { NULL, 0, 0 };
	struct value v = { .key = "interfaces", .at = { "f.ini", 1 }, .diag = &d };
	uint16_t port = 7;

	(void)state;
	v.text = first, v.len = 4;
	assert_true(value_interface(&v, &list));
	v.text = again;
	assert_false(value_interface(&v, &list));
	v.text = bad, v.len = 3;
	assert_false(value_interface(&v, &list));
	assert_false(value_port_number(&v, &port));
	v.text = second, v.len = 4;
	assert_true(value_interface(&v, &list));
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[1].s, "eth1");
	assert_int_equal(port, 7);
	assert_int_equal(d.errors, 3);
	free(list.v);
	free(d.v);
}

/* No parser reads past a text of any one or two bytes, or fails without a finding. */
static void test_small(void **state)
{
	static parse_value *const parsers[] = {
		value_range, value_cidr, value_host, value_port, value_endpoint, value_destination, value_nameserver, value_interface,
		value_label, value_access_log, value_sequence, value_from, value_export, value_host_name,
	};
	struct guard g;

	(void)state;
	guard_init(&g, 16);
	for (size_t p = 0; p < sizeof(parsers) / sizeof(parsers[0]); p++)
		for (unsigned i = 1; i < 0x10000; i += i < 0x100 ? 1 : 3) {
			char text[3] = { (char)i, (char)(i >> 8), '\0' };
			struct diag d = { 0 };
			union field field;
			struct value v = {
				.text = (char *)guard_copy(&g, text, strlen(text) + 1), .len = strlen(text), .key = "key",
				.at = { "f.ini", 1 }, .arg = &ports, .diag = &d,
			};
			bool list = parsers[p] != value_label && parsers[p] != value_access_log && parsers[p] != value_sequence &&
				    parsers[p] != value_host_name;

			if (v.len == 0)
				continue;
			memset(&field, 0, sizeof(field));
			assert_int_equal(parsers[p](&v, &field), d.errors == 0);
			free(d.v);
			if (list)
				free(field.strings.v);
		}
	guard_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
