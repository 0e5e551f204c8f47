/* SPDX-License-Identifier: MIT */
/* Policies and access logs that several workers use: whoever is the last closes them. */
#include <stdlib.h>

#include "rules/gateway.h"
#include "tproxy/access_sink.h"
#include "tproxy/balance.h"
#include "tproxy/secure.h"
#include "tproxy/worker_pool.h"

void shared_sink_drop(struct shared_sink *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	if (s->sink)
		access_sink_close(s->sink);
	free(s);
}

void shared_policy_drop(struct shared_policy *p)
{
	if (atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	secure_close(p->secure);
	policy_close(p->policy);
	free(p->policy);
	shared_sink_drop(p->sink);
	free(p);
}

struct shared_policy *shared_policy_new(struct policy *policy, struct secure_set *secure,
                                        struct access_sink *sink, struct shared_policy *like)
{
	size_t n = policy->n[FORMAT_ENDPOINTS];
	struct shared_policy *p =
		calloc(1, sizeof(*p) + n * (sizeof(*p->keys) + sizeof(*p->health)));
	struct policy_capture capture;

	if (!p)
		return NULL;
	if (like && like->sink->sink == sink) {
		p->sink = like->sink;
		atomic_fetch_add(&p->sink->refs, 1);
	} else {
		p->sink = calloc(1, sizeof(*p->sink));
		if (!p->sink) {
			free(p);
			return NULL;
		}
		p->sink->sink = sink;
		p->sink->off = !sink || access_sink_is_off(sink);
		atomic_init(&p->sink->refs, 1);
	}
	p->policy = policy;
	p->keys = (uint64_t *)(p + 1);
	p->health = (uint8_t *)(p->keys + n);
	balance_keys(policy, p->keys);
	p->secure = secure;
	policy_meta(policy, &p->meta);
	policy_capture(policy, &capture);
	p->gateway = policy_own_gateway(policy);
	p->dns_capture = capture.dns == POLICY_CAPTURE && p->gateway < 0;
	atomic_init(&p->refs, 1);
	return p;
}
