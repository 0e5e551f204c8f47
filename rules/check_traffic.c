/* SPDX-License-Identifier: MIT */
/* Checks of how connections are made: limits, health, and the keys of TLS. */
#include "rules/check.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct key { enum language_key key; const char *word; };

static const struct key client_keys[] = {
	{ KEY_CA, "ca" }, { KEY_CERTIFICATE, "certificate" }, { KEY_PRIVATE_KEY, "private-key" },
	{ KEY_SNI, "sni" }, { KEY_SUBJECT_ALT_NAMES, "subject-alt-names" }, { KEY_PINS, "pins" },
	{ KEY_TLS_MIN, "tls-min" } };
static const struct key server_keys[] = {
	{ KEY_SERVER_CERTIFICATE, "server-certificate" },
	{ KEY_SERVER_PRIVATE_KEY, "server-private-key" }, { KEY_SERVER_TLS_MIN, "server-tls-min" },
	{ KEY_CLIENT_CA, "client-ca" }, { KEY_CLIENT_SUBJECT_ALT_NAMES, "client-subject-alt-names" } };
static const struct key health_keys[] = {
	{ KEY_HEALTH_INTERVAL, "health-interval" }, { KEY_HEALTH_TIMEOUT, "health-timeout" },
	{ KEY_UNHEALTHY_THRESHOLD, "unhealthy-threshold" },
	{ KEY_HEALTHY_THRESHOLD, "healthy-threshold" } };

void check_traffic(struct check *c, const struct policy_traffic *t,
		   const struct source_marks *marks, const char *who)
{
	if (source_is_bad(marks, KEY_HEALTH_CHECK))
		return;
	for (size_t i = 0; i < COUNT(health_keys) && t->health == POLICY_HEALTH_NONE; i++)
		if (marks->line[health_keys[i].key] != 0)
			diag_error(c->diag, source_at(marks, health_keys[i].key),
				   "%s: %s needs health-check = tcp or http:/PATH", who,
				   health_keys[i].word);
	if (t->health != POLICY_HEALTH_NONE && t->health_timeout > t->health_interval &&
	    !source_is_bad(marks, KEY_HEALTH_INTERVAL) && !source_is_bad(marks, KEY_HEALTH_TIMEOUT))
		diag_error(c->diag, source_at(marks, KEY_HEALTH_TIMEOUT),
			   "%s: health-timeout is longer than health-interval", who);
}

static void check_count(struct check *c, const struct source_marks *marks, enum language_key key,
			size_t n, const char *who, const char *word)
{
	if (n > FORMAT_MAX_ITEMS)
		diag_error(c->diag, source_at(marks, key), "%s: %s: %zu of them; %d at most", who,
			   word, n, FORMAT_MAX_ITEMS);
}

void check_tls(struct check *c, const struct model_tls *t, enum model_tls_mode mode,
	       const struct source_marks *marks, const struct check_tls_words *words)
{
	struct model_at at = source_at(marks, words->key);

	if (source_is_bad(marks, words->key))
		return;
	for (size_t i = 0; i < COUNT(client_keys) && mode == MODEL_TLS_NONE; i++)
		if (marks->line[client_keys[i].key] != 0)
			diag_error(c->diag, source_at(marks, client_keys[i].key),
				   "%s: %s needs %s = %s or mutual", words->who, client_keys[i].word,
				   words->word, words->simple);
	if (mode == MODEL_TLS_NONE)
		return;
	if (t->ca.path == NULL && !source_is_bad(marks, KEY_CA))
		diag_error(c->diag, at,
			   "%s: %s = %s and mutual need ca: who the %s is would go unchecked",
			   words->who, words->word, words->simple, words->peer);
	if (mode == MODEL_TLS_MUTUAL && !source_is_bad(marks, KEY_CERTIFICATE) &&
	    !source_is_bad(marks, KEY_PRIVATE_KEY) &&
	    (t->certificate.path == NULL || t->private_key.path == NULL))
		diag_error(c->diag, at, "%s: %s = mutual needs certificate and private-key",
			   words->who, words->word);
	if (mode == MODEL_TLS_SIMPLE &&
	    (t->certificate.path != NULL || t->private_key.path != NULL))
		diag_error(c->diag, at, "%s: certificate and private-key need %s = mutual",
			   words->who, words->word);
	check_count(c, marks, KEY_SUBJECT_ALT_NAMES, t->alt_names.n, words->who,
		    "subject-alt-names");
	check_count(c, marks, KEY_PINS, t->pins.n, words->who, "pins");
	check_pair(c, &t->certificate, &t->private_key);
	check_bundle(c, &t->ca);
}

/* ---- a gateway's own listeners ---- */

static bool has_mode(const struct model_gateway *g, enum policy_server_tls mode)
{
	for (size_t i = 0; i < g->servers.n; i++)
		if (g->servers.v[i].tls == mode)
			return true;
	return false;
}

static void check_modes(struct check *c, struct model_gateway *g, const char *who)
{
	for (size_t i = 0; i < g->servers.n; i++) {
		struct model_port *p = &g->servers.v[i];

		if (policy_protocol_is_tls(p->protocol) && p->protocol != POLICY_PROTO_AUTO) {
			if (p->tls == POLICY_SERVER_NONE)
				p->tls = POLICY_SERVER_PASSTHROUGH;
		} else if (p->tls != POLICY_SERVER_NONE) {
			diag_error(c->diag, p->at,
				   "%s: servers: %s:%u %s: only https and tls have a TLS mode", who,
				   policy_protocol_name(p->protocol), p->number,
				   policy_server_tls_name(p->tls));
			p->tls = POLICY_SERVER_NONE;
		}
	}
}

void check_server_tls(struct check *c, struct model_gateway *g, const struct source_marks *marks,
		      const char *who)
{
	const struct model_tls *t = &g->server_tls;
	struct model_at at = source_at(marks, KEY_SERVERS);
	bool mutual, ends;

	check_modes(c, g, who);
	if (source_is_bad(marks, KEY_SERVERS))
		return;
	mutual = has_mode(g, POLICY_SERVER_MUTUAL);
	ends = mutual || has_mode(g, POLICY_SERVER_SIMPLE);
	for (size_t i = 0; i < COUNT(server_keys); i++)
		if (marks->line[server_keys[i].key] != 0 && !(i < 3 ? ends : mutual))
			diag_warning(c->diag, source_at(marks, server_keys[i].key),
				     "%s: %s is used by no server: none is %smutual", who,
				     server_keys[i].word, i < 3 ? "simple or " : "");
	if (!ends)
		return;
	if ((t->certificate.path == NULL && !source_is_bad(marks, KEY_SERVER_CERTIFICATE)) ||
	    (t->private_key.path == NULL && !source_is_bad(marks, KEY_SERVER_PRIVATE_KEY)))
		diag_error(c->diag, at,
			   "%s: simple and mutual servers need server-certificate and server-private-key",
			   who);
	if (mutual && t->ca.path == NULL && !source_is_bad(marks, KEY_CLIENT_CA))
		diag_error(c->diag, at,
			   "%s: mutual servers need client-ca: who the clients are would go unchecked",
			   who);
	check_count(c, marks, KEY_CLIENT_SUBJECT_ALT_NAMES, t->alt_names.n, who,
		    "client-subject-alt-names");
	check_pair(c, &t->certificate, &t->private_key);
	if (mutual)
		check_bundle(c, &t->ca);
}

/* ---- TLS to a service whose clients speak none ---- */

void check_origination(struct check *c, const struct model_service *s,
		       const struct source_marks *marks)
{
	char who[64];
	struct check_tls_words words = { who, KEY_TLS, "tls", "simple", "server" };
	bool taken = false;

	snprintf(who, sizeof(who), "service %s", s->name);
	check_traffic(c, &s->traffic, marks, who);
	if (s->traffic.health != POLICY_HEALTH_NONE && s->endpoints.n == 0 &&
	    (s->resolution == POLICY_NONE || s->resolution == POLICY_DYNAMIC_DNS))
		diag_error(c->diag, source_at(marks, KEY_HEALTH_CHECK),
			   "%s: health-check: with resolution = %s there is nothing to check", who,
			   policy_resolution_name(s->resolution));
	check_tls(c, &s->tls, s->tls_mode, marks, &words);
	for (size_t i = 0; i < s->ports.n && s->tls_mode != MODEL_TLS_NONE; i++) {
		const struct model_port *p = &s->ports.v[i];

		if (p->protocol == POLICY_PROTO_AUTO)
			diag_error(c->diag, p->at,
				"%s: tls: auto:%u may be TLS already: name the protocol", who,
				p->number);
		else if (policy_protocol_is_http(p->protocol) && p->target == 80)
			diag_warning(c->diag, p->at,
				"%s: tls: port 80 is dialled with TLS: write %s:%u->443 for another",
				who, policy_protocol_name(p->protocol), p->number);
		taken |= policy_protocol_is_http(p->protocol) || policy_protocol_is_tcp(p->protocol);
	}
	if (s->tls_mode != MODEL_TLS_NONE && !taken && s->ports.n > 0)
		diag_error(c->diag, source_at(marks, KEY_TLS),
			"%s: tls: its clients speak TLS themselves: it needs a port such as http:80->443",
			who);
}
