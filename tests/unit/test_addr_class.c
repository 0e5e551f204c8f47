/* SPDX-License-Identifier: MIT */
/* rules/addr_class.c: which addresses may be dialled, those with another inside included. */
/* LINK: rules/addr.c */
#include "rules/addr_class.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
	const char *addr;
	enum addr_class class;
	const char *name;
} rows[] = {
	{"8.8.8.8", ADDR_PUBLIC, "public"},
	{"1.1.1.1", ADDR_PUBLIC, "public"},
	{"192.0.2.1", ADDR_PUBLIC, "public"},
	{"223.255.255.255", ADDR_PUBLIC, "public"},
	{"126.255.255.255", ADDR_PUBLIC, "public"},
	{"128.0.0.1", ADDR_PUBLIC, "public"},
	{"169.253.255.255", ADDR_PUBLIC, "public"},
	{"169.255.0.0", ADDR_PUBLIC, "public"},
	{"11.0.0.0", ADDR_PUBLIC, "public"},
	{"172.15.255.255", ADDR_PUBLIC, "public"},
	{"172.32.0.0", ADDR_PUBLIC, "public"},
	{"100.128.0.0", ADDR_PUBLIC, "public"},
	{"198.20.0.0", ADDR_PUBLIC, "public"},
	{"192.0.1.0", ADDR_PUBLIC, "public"},
	{"168.63.129.17", ADDR_PUBLIC, "public"},
	{"0.0.0.0", ADDR_REFUSED, "unspecified"},
	{"0.1.2.3", ADDR_REFUSED, "reserved"},
	{"127.0.0.1", ADDR_REFUSED, "loopback"},
	{"127.255.255.255", ADDR_REFUSED, "loopback"},
	{"169.254.169.254", ADDR_REFUSED, "link-local"},
	{"169.254.0.0", ADDR_REFUSED, "link-local"},
	{"224.0.0.1", ADDR_REFUSED, "multicast"},
	{"239.255.255.255", ADDR_REFUSED, "multicast"},
	{"240.0.0.1", ADDR_REFUSED, "reserved"},
	{"240.240.0.1", ADDR_REFUSED, "reserved"},
	{"255.255.255.255", ADDR_REFUSED, "broadcast"},
	{"192.0.0.192", ADDR_REFUSED, "reserved"},
	{"192.88.99.1", ADDR_REFUSED, "reserved"},
	{"100.100.100.200", ADDR_REFUSED, "metadata service"},
	{"168.63.129.16", ADDR_REFUSED, "metadata service"},
	{"10.0.0.1", ADDR_PRIVATE, "private"},
	{"172.16.0.1", ADDR_PRIVATE, "private"},
	{"172.31.255.255", ADDR_PRIVATE, "private"},
	{"192.168.255.1", ADDR_PRIVATE, "private"},
	{"100.64.0.1", ADDR_PRIVATE, "shared"},
	{"100.127.255.255", ADDR_PRIVATE, "shared"},
	{"198.18.0.1", ADDR_PRIVATE, "benchmarking"},
	{"198.19.255.255", ADDR_PRIVATE, "benchmarking"},
	{"2001:db8::1", ADDR_PUBLIC, "public"},
	{"2606:4700::1111", ADDR_PUBLIC, "public"},
	{"3fff::1", ADDR_PUBLIC, "public"},
	{"::", ADDR_REFUSED, "unspecified"},
	{"::1", ADDR_REFUSED, "loopback"},
	{"::2", ADDR_REFUSED, "reserved"},
	{"fe80::1", ADDR_REFUSED, "link-local"},
	{"febf::1", ADDR_REFUSED, "link-local"},
	{"fec0::1", ADDR_REFUSED, "site-local"},
	{"ff02::1", ADDR_REFUSED, "multicast"},
	{"fd00:ec2::254", ADDR_REFUSED, "metadata service"},
	{"fd00:ec2::253", ADDR_PRIVATE, "private"},
	{"fd20:ce::254", ADDR_REFUSED, "metadata service"},
	{"fd00:c1::a9fe:a9fe", ADDR_REFUSED, "metadata service"},
	{"fc00::1", ADDR_PRIVATE, "private"},
	{"fdff::1", ADDR_PRIVATE, "private"},
	{"2001:2::1", ADDR_PRIVATE, "benchmarking"},
	{"100::1", ADDR_REFUSED, "reserved"},
	{"4000::1", ADDR_REFUSED, "reserved"},
	{"1fff::1", ADDR_REFUSED, "reserved"},
	{"::ffff:0:7f00:1", ADDR_REFUSED, "reserved"},
	/*
	 * IPv4 inside: mapped, compatible, NAT64, 6to4, Teredo (client inverted; server),
	 * ISATAP
	 */
	{"::ffff:127.0.0.1", ADDR_REFUSED, "loopback"},
	{"::ffff:169.254.169.254", ADDR_REFUSED, "link-local"},
	{"::ffff:10.0.0.1", ADDR_PRIVATE, "private"},
	{"::ffff:8.8.8.8", ADDR_PUBLIC, "public"},
	{"::127.0.0.1", ADDR_REFUSED, "reserved"},
	{"::8.8.8.8", ADDR_REFUSED, "reserved"},
	{"64:ff9b::a9fe:a9fe", ADDR_REFUSED, "link-local"},
	{"64:ff9b::127.0.0.1", ADDR_REFUSED, "loopback"},
	{"64:ff9b::10.0.0.1", ADDR_PRIVATE, "private"},
	{"64:ff9b::8.8.8.8", ADDR_PUBLIC, "public"},
	{"64:ff9b:0:1::8.8.8.8", ADDR_REFUSED, "reserved"},
	{"64:ff9b:1::169.254.169.254", ADDR_REFUSED, "link-local"},
	{"64:ff9b:1::8.8.8.8", ADDR_PUBLIC, "public"},
	{"64:ff9b:1:a9fe:a9:fe00::", ADDR_REFUSED, "link-local"},
	{"64:ff9b:1:808:8:800::", ADDR_PUBLIC, "public"},
	{"64:ff9b:1:a9:fe:a9fe::", ADDR_REFUSED, "reserved"},
	{"64:ff9b:1:1:a9:fea9:fe00:0", ADDR_REFUSED, "reserved"},
	{"64:ff9b:1:1:1::169.254.169.254", ADDR_REFUSED, "link-local"},
	{"64:ff9b:1:0a00:0:100::", ADDR_REFUSED, "reserved"},
	{"2002:a9fe:a9fe::1", ADDR_REFUSED, "link-local"},
	{"2002:7f00:1::", ADDR_REFUSED, "loopback"},
	{"2002:a00:1::", ADDR_PRIVATE, "private"},
	{"2002:808:808::1", ADDR_PUBLIC, "public"},
	{"2001:0:808:808:0:0:5601:5601", ADDR_REFUSED, "link-local"},
	{"2001:0:808:808:0:0:80ff:fffe", ADDR_REFUSED, "loopback"},
	{"2001:0:808:808:0:0:f5ff:fffe", ADDR_PRIVATE, "private"},
	{"2001:0:a9fe:a9fe:0:0:f7f7:f7f7", ADDR_REFUSED, "link-local"},
	{"2001:0:808:808:0:0:f7f7:f7f7", ADDR_PUBLIC, "public"},
	{"2001:db8::5efe:169.254.169.254", ADDR_REFUSED, "link-local"},
	{"2001:db8::200:5efe:10.0.0.1", ADDR_PRIVATE, "private"},
	{"2001:db8::5efe:8.8.8.8", ADDR_PUBLIC, "public"},
	{"fd00::5efe:8.8.8.8", ADDR_PRIVATE, "private"},
	{"2001:db8::100:5efe:10.0.0.1", ADDR_PUBLIC, "public"},
};

static void test_classes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = rows[i].addr;
		struct addr a;

		assert_int_equal(addr_parse(&a, text, strlen(text)), 0);
		if (addr_classify(&a) != rows[i].class)
			fail_msg("%s has class %d, not %d", rows[i].addr, addr_classify(&a),
				 rows[i].class);
		if (strcmp(addr_class_name(&a), rows[i].name) != 0)
			fail_msg("%s is %s, not %s", rows[i].addr, addr_class_name(&a),
				 rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
