/* SPDX-License-Identifier: MIT */
/* Reading how connections are made, of a policy that has been verified. */
#include "rules/traffic.h"

#include <string.h>

void policy_traffic_defaults(struct policy_traffic *t)
{
	*t = (struct policy_traffic){.connect_timeout = 10000, .idle_timeout = 3600000};
}

void policy_gateway_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t)
{
	(void)p;
	(void)i;
	policy_traffic_defaults(t);
}

void policy_service_traffic(const struct policy *p, uint32_t i, struct policy_traffic *t)
{
	(void)p;
	(void)i;
	policy_traffic_defaults(t);
}

static const char *text_at(const struct policy *p, const uint8_t *r)
{
	return get_le32(r) != 0 ? policy_string(p, get_le32(r)) : NULL;
}

bool policy_gateway_tls(const struct policy *p, uint32_t i, struct policy_tls *t)
{
	const uint8_t *r = p->at[FORMAT_GATEWAYS] + (size_t)i * GATEWAY_SIZE;

	*t = (struct policy_tls){.ca.path = text_at(p, r + GATEWAY_CA),
				 .certificate.path = text_at(p, r + GATEWAY_CERTIFICATE),
				 .private_key.path = text_at(p, r + GATEWAY_PRIVATE_KEY),
				 .sni = text_at(p, r + GATEWAY_SNI),
				 .alt_names = policy_list(p, get_le32(r + GATEWAY_ALT_NAMES))};
	t->mutual = t->certificate.path != NULL;
	return t->ca.path != NULL;
}
