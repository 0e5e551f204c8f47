/* SPDX-License-Identifier: MIT */
/* Reading what routes say of HTTP, of a policy that has been verified. */
#include "rules/http_rule.h"

#include <string.h>

void policy_route_http(const struct policy *p, uint32_t route, struct policy_route_http *h)
{
	(void)p;
	(void)route;
	*h = (struct policy_route_http){.retries = POLICY_RETRIES, .retry_on = POLICY_RETRY_DEFAULT};
}
