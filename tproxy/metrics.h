/* SPDX-License-Identifier: MIT */
/* Figures as text: Prometheus' exposition format, and plain "name: value" lines. */
#ifndef SLUICE_TPROXY_METRICS_H
#define SLUICE_TPROXY_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/policy.h"
#include "tproxy/page.h"
#include "tproxy/resolve.h"
#include "tproxy/stats.h"

struct metrics {
	struct stats stats;             /* the sum over all workers */
	struct resolver_stats resolver; /* likewise */
	const struct policy *policy;
	unsigned workers;
	int64_t started_s, loaded_s;    /* CLOCK_REALTIME: the process; the policy */
	uint64_t cpu_us;                /* user and system */
	uint64_t resident_bytes;        /* 0: not known */
	uint64_t reloads, reload_failures;
	bool draining;
};

void metrics_add(struct stats *sum, const struct stats *worker);
void metrics_prometheus(const struct metrics *m, struct page *out);
void metrics_plain(const struct metrics *m, struct page *out);

#endif
