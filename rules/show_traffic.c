/* SPDX-License-Identifier: MIT */
/* How connections are made, and what is in the policy for TLS, as source again. */
#include "rules/show.h"

#include <string.h>

#include "rules/base64.h"
#include "rules/gateway.h"

/* ---- values ---- */

void show_duration(struct show *s, const char *key, uint32_t ms)
{
	static const struct { const char *word; uint32_t ms; } units[] = {
		{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
	char text[48];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ms / units[i].ms > 0)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%u%s", ms / units[i].ms,
					      units[i].word);
		ms %= units[i].ms;
	}
	show_word(s, key, n > 0 ? text : "0");
}

static void show_count(struct show *s, const char *key, uint32_t n, uint32_t unsaid)
{
	if (n != unsaid)
		show_number(s, key, n);
}

/* ---- traffic ---- */

static void show_outliers(struct show *s, const struct policy_traffic *t)
{
	show_number(s, "consecutive-5xx-errors", t->consecutive_5xx);
	show_number(s, "consecutive-gateway-errors", t->consecutive_gateway);
	show_number(s, "consecutive-local-origin-failures", t->consecutive_local);
	show_duration(s, "outlier-interval", t->outlier_interval);
	show_duration(s, "base-ejection-time", t->base_ejection);
	show_number(s, "max-ejection-percent", t->max_ejection);
	show_number(s, "min-health-percent", t->min_health);
}

static void show_health(struct show *s, const struct policy_traffic *t)
{
	char text[SHOW_ITEM] = "tcp";

	if (t->health == POLICY_HEALTH_HTTP)
		snprintf(text, sizeof(text), "http:%s", t->health_path);
	show_word(s, "health-check", text);
	show_duration(s, "health-interval", t->health_interval);
	show_duration(s, "health-timeout", t->health_timeout);
	show_number(s, "unhealthy-threshold", t->unhealthy);
	show_number(s, "healthy-threshold", t->healthy);
}

void show_traffic(struct show *s, const struct policy_traffic *t)
{
	if (t->balance != POLICY_LEAST_REQUEST)
		show_word(s, "load-balancer", policy_balance_name(t->balance));
	if (t->connect_timeout != POLICY_CONNECT_TIMEOUT)
		show_duration(s, "connect-timeout", t->connect_timeout);
	if (t->idle_timeout != POLICY_IDLE_TIMEOUT)
		show_duration(s, "idle-timeout", t->idle_timeout);
	if (t->keepalive_s != 0)
		show_duration(s, "keepalive", t->keepalive_s * 1000);
	show_count(s, "max-connections", t->max_connections, 0);
	show_count(s, "max-requests-per-connection", t->max_requests, 0);
	if (t->outliers)
		show_outliers(s, t);
	if (t->health != POLICY_HEALTH_NONE)
		show_health(s, t);
}

/* ---- TLS ---- */

/* What is in the policy cannot be written as source, and a key is not shown to anybody. */
static void show_pem(struct show *s, const char *key, const struct policy_pem *pem)
{
	if (pem->path != NULL)
		show_word(s, key, pem->path);
	else if (pem->bytes != NULL)
		fprintf(s->out, "; %s: %u bytes in the policy\n", key, pem->len);
}

static void show_pins(struct show *s, const struct policy_tls *t)
{
	char item[SHOW_ITEM] = "sha256/";

	if (t->n_pins == 0)
		return;
	show_key(s, "pins");
	for (uint32_t i = 0; i < t->n_pins; i++) {
		base64_encode(item + strlen("sha256/"), t->pins + (size_t)i * POLICY_PIN_SIZE,
			      POLICY_PIN_SIZE);
		show_item(s, item);
	}
	show_end(s);
}

void show_tls(struct show *s, const struct policy_tls *t)
{
	show_pem(s, "ca", &t->ca);
	show_pem(s, "certificate", &t->certificate);
	show_pem(s, "private-key", &t->private_key);
	if (t->sni != NULL)
		show_word(s, "sni", t->sni);
	show_strings(s, "subject-alt-names", t->alt_names);
	show_pins(s, t);
	if (t->only_13)
		show_word(s, "tls-min", "1.3");
}

void show_server_tls(struct show *s, const struct policy_server *t)
{
	show_pem(s, "server-certificate", &t->certificate);
	show_pem(s, "server-private-key", &t->private_key);
	show_pem(s, "client-ca", &t->client_ca);
	show_strings(s, "client-subject-alt-names", t->alt_names);
	if (t->only_13)
		show_word(s, "server-tls-min", "1.3");
}
