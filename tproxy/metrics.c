/* SPDX-License-Identifier: MIT */
/* Figures as text. */
#include "tproxy/metrics.h"

#include <inttypes.h>
#include <stddef.h>

#define PREFIX "sluice_"

void metrics_add(struct stats *sum, const struct stats *worker)
{
	for (int i = 0; i < STAT_COUNT; i++)
		sum->v[i] += stat_get(&worker->v[i]);
	for (int i = 0; i < ROUTE_REASONS; i++)
		sum->reason[i] += stat_get(&worker->reason[i]);
	for (int i = 0; i < TLS_ERRORS; i++)
		sum->tls[i] += stat_get(&worker->tls[i]);
	for (int i = 0; i < HTTP_ERRORS; i++)
		sum->http[i] += stat_get(&worker->http[i]);
	for (int i = 0; i < DNS_TYPES; i++)
		sum->dns_type[i] += stat_get(&worker->dns_type[i]);
	for (int i = 0; i < DNS_RESULTS; i++)
		sum->dns_result[i] += stat_get(&worker->dns_result[i]);
	for (int i = 0; i < FLAGS; i++)
		sum->flag[i] += stat_get(&worker->flag[i]);
}

/* How one of the two formats begins a metric and writes its values. */
struct style {
	void (*head)(struct page *out, const char *name, const char *help, bool gauge);
	void (*value)(struct page *out, const char *name, const char *label,
	              const char *label_value);
};

static void prometheus_head(struct page *out, const char *name, const char *help, bool gauge)
{
	page_format(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name,
	            gauge ? "gauge" : "counter");
}

static void prometheus_value(struct page *out, const char *name, const char *label,
                             const char *label_value)
{
	page_format(out, PREFIX "%s", name);
	if (label) {
		page_format(out, "{%s=", label);
		page_label(out, label_value);
		page_text(out, "}");
	}
	page_text(out, " ");
}

static void plain_head(struct page *out, const char *name, const char *help, bool gauge)
{
	(void)out;
	(void)name;
	(void)help;
	(void)gauge;
}

static void plain_value(struct page *out, const char *name, const char *label,
                        const char *label_value)
{
	page_text(out, name);
	if (label)
		page_format(out, ".%s", label_value);
	page_text(out, ": ");
}

static const struct style prometheus = { prometheus_head, prometheus_value };
static const struct style plain = { plain_head, plain_value };

static void put_number(struct page *out, const struct style *s, const char *name, const char *help,
                       bool gauge, uint64_t v)
{
	s->head(out, name, help, gauge);
	s->value(out, name, NULL, NULL);
	page_u64(out, v);
	page_text(out, "\n");
}

static void put_labelled(struct page *out, const struct style *s, const char *name,
                         const char *label, const char *label_value, uint64_t v)
{
	s->value(out, name, label, label_value);
	page_u64(out, v);
	page_text(out, "\n");
}

static void put_counters(const struct metrics *m, const struct style *s, struct page *out)
{
	for (int i = 0; i < STAT_COUNT; i++) {
		const struct stat_info *info = stat_info((enum stat_id)i);
		put_number(out, s, info->name, info->help, info->gauge, m->stats.v[i]);
	}
	s->head(out, "decisions_total", "Decisions of the policy by reason", false);
	for (int i = ROUTE_WHY_NONE + 1; i < ROUTE_REASONS; i++)
		put_labelled(out, s, "decisions_total", "reason",
		             route_reason_code((enum route_reason)i), m->stats.reason[i]);
	s->head(out, "tls_refused_total", "ClientHellos refused by what was wrong with them",
	        false);
	for (int i = 1; i < TLS_ERRORS; i++)
		put_labelled(out, s, "tls_refused_total", "reason", tls_error_code(-i),
		             m->stats.tls[i]);
	s->head(out, "http_refused_total", "HTTP messages refused by what was wrong with them",
	        false);
	for (int i = 1; i < HTTP_ERRORS; i++)
		put_labelled(out, s, "http_refused_total", "reason", http_error_code(-i),
		             m->stats.http[i]);
	s->head(out, "finished_total", "Finished connections and requests by response flag", false);
	for (int i = 0; i < FLAGS; i++)
		put_labelled(out, s, "finished_total", "flag",
		             access_flag_name((enum access_flag)i), m->stats.flag[i]);
}

static void put_questions(const struct metrics *m, const struct style *s, struct page *out)
{
	s->head(out, "dns_questions_total", "DNS questions of clients by type", false);
	for (int i = 0; i < DNS_TYPES; i++)
		put_labelled(out, s, "dns_questions_total", "type",
		             dns_type_name((enum dns_type)i), m->stats.dns_type[i]);
	s->head(out, "dns_results_total", "DNS questions of clients by what became of them", false);
	for (int i = 0; i < DNS_RESULTS; i++)
		put_labelled(out, s, "dns_results_total", "result",
		             dns_result_name((enum dns_result)i), m->stats.dns_result[i]);
}

struct row {
	const char *name, *help;
	bool gauge;
	uint64_t v;
};

static void put_resolver(const struct resolver_stats *r, const struct style *s, struct page *out)
{
	const struct row rows[] = {
		{ "dns_asked_total", "Names that were asked for", false, r->asked },
		{ "dns_hits_total", "Answers from the cache", false, r->hits },
		{ "dns_negative_hits_total",
		  "Answers from the cache that a name does not exist or has no address", false,
		  r->negative_hits },
		{ "dns_stale_served_total", "Answers out of date, because no name server answered",
		  false, r->stale_served },
		{ "dns_queries_total", "Queries sent", false, r->queries },
		{ "dns_timeouts_total", "Queries without an answer", false, r->timeouts },
		{ "dns_failures_total", "Look-ups that failed", false, r->failures },
		{ "dns_refused_full_total", "Look-ups refused because a table was full", false,
		  r->refused_full },
		{ "dns_entries", "Names in the cache", true, r->entries },
		{ "dns_waiting", "Look-ups under way", true, r->waiting },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_number(out, s, rows[i].name, rows[i].help, rows[i].gauge, rows[i].v);
}

static void put_process(const struct metrics *m, const struct style *s, struct page *out)
{
	const struct row rows[] = {
		{ "policy_sequence", "Sequence of the policy in use", true, m->policy->sequence },
		{ "policy_services", "Services in the policy in use", true,
		  m->policy->n[FORMAT_SERVICES] },
		{ "policy_hosts", "Host patterns in the policy in use", true,
		  m->policy->n[FORMAT_NAMES] },
		{ "policy_bytes", "Size of the policy in use", true, m->policy->len },
		{ "policy_loaded_timestamp_seconds", "When the policy in use was loaded", true,
		  (uint64_t)m->loaded_s },
		{ "reload_total", "Policies loaded after the first", false, m->reloads },
		{ "reload_failed_total", "Reloads that left the old policy in use", false,
		  m->reload_failures },
		{ "workers", "Worker threads", true, m->workers },
		{ "draining", "1 while the process waits for its last connections", true,
		  m->draining },
		{ "process_start_time_seconds", "When the process started", true,
		  (uint64_t)m->started_s },
		{ "process_resident_memory_bytes", "Resident memory", true, m->resident_bytes },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_number(out, s, rows[i].name, rows[i].help, rows[i].gauge, rows[i].v);
	s->head(out, "process_cpu_seconds_total", "Time on the processor", false);
	s->value(out, "process_cpu_seconds_total", NULL, NULL);
	page_format(out, "%" PRIu64 ".%06" PRIu64 "\n", m->cpu_us / 1000000, m->cpu_us % 1000000);
}

static void put_policy_info(const struct metrics *m, struct page *out)
{
	struct policy_meta meta;

	policy_meta(m->policy, &meta);
	const struct { const char *label, *value; } rows[] = {
		{ "name", meta.name }, { "namespace", meta.namespace_ }, { "node", meta.node },
		{ "outbound", meta.outbound == POLICY_ALLOW_ANY ? "allow-any" : "registry-only" },
		{ "enforcement", meta.enforcement == POLICY_AUDIT ? "audit" : "enforce" },
	};
	prometheus_head(out, "policy_info", "The policy in use", true);
	page_text(out, PREFIX "policy_info{");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		page_format(out, "%s%s=", i ? "," : "", rows[i].label);
		page_label(out, rows[i].value);
	}
	page_format(out, ",sequence=\"%" PRIu64 "\"} 1\n", m->policy->sequence);
	prometheus_head(out, "build_info", "This program", true);
	page_text(out, PREFIX "build_info{version=\"" SLUICE_VERSION "\"} 1\n");
}

static void put_all(const struct metrics *m, const struct style *s, struct page *out)
{
	put_process(m, s, out);
	put_counters(m, s, out);
	put_questions(m, s, out);
	put_resolver(&m->resolver, s, out);
}

void metrics_prometheus(const struct metrics *m, struct page *out)
{
	put_policy_info(m, out);
	put_all(m, &prometheus, out);
}

void metrics_plain(const struct metrics *m, struct page *out)
{
	put_all(m, &plain, out);
}
