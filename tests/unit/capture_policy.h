/* SPDX-License-Identifier: MIT */
/* Stands in for a policy's [capture] section: what the reader would say of it. */
#ifndef TESTS_UNIT_CAPTURE_POLICY_H
#define TESTS_UNIT_CAPTURE_POLICY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rules/policy.h"

static struct {
	struct policy_capture capture;
	uint32_t range[64][2], n_ranges;
	struct cidr cidr[20000];
	uint32_t n_cidrs;
	const char *name[8];
	uint32_t n_names;
	struct policy_service service[4];
	struct policy_port port[8];
	struct policy_endpoint endpoint[8];
	uint32_t n_ports, n_endpoints;
	struct policy policy;
} fake;

void policy_service(const struct policy *p, uint32_t i, struct policy_service *s)
{
	assert_true(i < p->n[FORMAT_SERVICES]);
	*s = fake.service[i];
}

void policy_port(const struct policy *p, uint32_t i, struct policy_port *port)
{
	(void)p;
	assert_true(i < fake.n_ports);
	*port = fake.port[i];
}

void policy_endpoint(const struct policy *p, uint32_t i, struct policy_endpoint *e)
{
	(void)p;
	assert_true(i < fake.n_endpoints);
	*e = fake.endpoint[i];
}

bool policy_service_goes_by_name(const struct policy_service *s)
{
	return s->resolution == POLICY_DNS;
}

bool policy_service_serves(const struct policy *p, uint32_t service, const struct addr *client)
{
	struct policy_run clients = fake.service[service].clients;

	assert_true(service < p->n[FORMAT_SERVICES]);
	for (uint32_t i = 0; i < clients.n; i++)
		if (cidr_contains(&fake.cidr[clients.first + i], client))
			return true;
	return clients.n == 0;
}

void policy_capture(const struct policy *p, struct policy_capture *c)
{
	(void)p;
	*c = fake.capture;
}

void policy_range(const struct policy *p, uint32_t i, uint32_t *first, uint32_t *last)
{
	(void)p;
	assert_true(i < fake.n_ranges);
	*first = fake.range[i][0];
	*last = fake.range[i][1];
}

void policy_cidr(const struct policy *p, uint32_t i, struct cidr *c)
{
	(void)p;
	assert_true(i < fake.n_cidrs);
	*c = fake.cidr[i];
}

uint32_t policy_item(struct policy_list l, uint32_t i)
{
	assert_true(i < l.n);
	return l.words == (const uint8_t *)&fake.name[7] ? 7 : i;
}

const char *policy_string(const struct policy *p, uint32_t ref)
{
	(void)p;
	assert_true(ref < fake.n_names || ref == 7);
	return fake.name[ref];
}

static inline void fake_clear(void)
{
	memset(&fake.capture, 0, sizeof(fake.capture));
	fake.n_ranges = fake.n_cidrs = fake.n_names = fake.n_ports = fake.n_endpoints = 0;
	fake.policy.n[FORMAT_SERVICES] = 0;
	fake.capture.udp_flows = 128;
}

static inline struct policy_run fake_range(uint32_t first, uint32_t last)
{
	struct policy_run run = {fake.n_ranges, 1};

	assert_true(fake.n_ranges < 64);
	fake.range[fake.n_ranges][0] = first;
	fake.range[fake.n_ranges++][1] = last;
	return run;
}

/* Adds to exclude-cidrs; prefixes are to come in ascending order. */
static inline void fake_cidr(const char *text)
{
	bool masked;

	assert_int_equal(cidr_parse(&fake.cidr[fake.n_cidrs], text, strlen(text), &masked), 0);
	fake.capture.exclude_cidrs = (struct policy_run){0, ++fake.n_cidrs};
}

/* "10.0.0.0/8 fd00::/8": a run of prefixes that is not exclude-cidrs. */
static inline struct policy_run fake_cidrs(const char *text)
{
	struct policy_run run = {fake.n_cidrs, 0};

	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, " ");
		bool masked;

		assert_int_equal(cidr_parse(&fake.cidr[fake.n_cidrs++], text, len, &masked), 0);
		run.n++;
		text += len + (text[len] == ' ');
	}
	return run;
}

/* A service with one port, UDP if it is not another. Ends: one address, or NULL. */
static inline struct policy_service *fake_service(uint16_t port, const char *addresses, const char *clients,
						  const char *end)
{
	struct policy_service *s = &fake.service[fake.policy.n[FORMAT_SERVICES]++];

	assert_true(fake.policy.n[FORMAT_SERVICES] <= 4);
	memset(s, 0, sizeof(*s));
	s->cidrs = fake_cidrs(addresses);
	s->clients = fake_cidrs(clients);
	s->ports = (struct policy_run){fake.n_ports, 1};
	fake.port[fake.n_ports++] = (struct policy_port){port, port, POLICY_PROTO_UDP};
	s->endpoints = (struct policy_run){fake.n_endpoints, end != NULL};
	if (end != NULL) {
		struct policy_endpoint *e = &fake.endpoint[fake.n_endpoints++];

		memset(e, 0, sizeof(*e));
		assert_int_equal(addr_parse(&e->addr, end, strlen(end)), 0);
	}
	return s;
}

/* One of `interfaces`: at most one, and after the names. */
static inline void fake_inside(const char *name)
{
	fake.name[7] = name;
	fake.capture.interfaces = (struct policy_list){(const uint8_t *)&fake.name[7], 1};
}

static inline void fake_name(const char *name)
{
	fake.name[fake.n_names++] = name;
	fake.capture.exclude_interfaces.n = fake.n_names;
}

#endif
