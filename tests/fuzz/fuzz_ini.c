/* SPDX-License-Identifier: MIT */
/* Any bytes as a policy's source: what the checks accept compiles, and what compiles verifies. */
/* LINK: rules/check_able.c rules/check_chain.c */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/source.c rules/language.c rules/text.c rules/diag.c rules/value.c rules/item.c */
/* LINK: rules/auto_address.c rules/check.c rules/check_bypass.c rules/check_capture.c rules/check_gateway.c */
/* LINK: rules/check_node.c rules/check_route.c rules/check_service.c rules/hosts.c rules/emit.c */
/* LINK: rules/host_table.c rules/address_table.c rules/port_table.c rules/pool.c rules/name.c */
/* LINK: rules/addr.c rules/addr_class.c rules/crc32c.c rules/policy.c rules/capture.c */
/* LINK: rules/verify.c rules/verify_record.c rules/verify_table.c rules/check_udp.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c rules/check_key.c rules/check_rule.c rules/check_traffic.c */
/* LINK: rules/value_rule.c rules/value_traffic.c */
/* LINK: rules/key.c */
#include "rules/check.h"
#include "rules/ini.c"
#include "tests/fuzz/fuzz.h"

/* The compiler keeps what it reads until the process ends; here that is until the input ends. */
const char *model_text_kept(const char *s, size_t len);
#define model_text model_text_kept
#include "rules/model.c"
#undef model_text

const char *__asan_default_options(void);

/* Lists that a check drops from the model are lost. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

struct kept {
	struct kept *next;
	char text[];
};

static struct kept *kept;

const char *model_text(const char *s, size_t len)
{
	struct kept *k = malloc(sizeof(*k) + len + 1);

	must(k != NULL);
	k->next = kept;
	kept = k;
	if (len > 0)
		memcpy(k->text, s, len);
	k->text[len] = '\0';
	return k->text;
}

static void free_kept(void)
{
	while (kept) {
		struct kept *next = kept->next;

		free(kept);
		kept = next;
	}
}

static void free_pem(struct model_pem *pem)
{
	union { const uint8_t *from; void *to; } bytes = { pem->bytes };

	free(bytes.to);
}

static void free_tls(struct model_tls *t)
{
	free_pem(&t->ca);
	free_pem(&t->certificate);
	free_pem(&t->private_key);
	free(t->alt_names.v);
	free(t->pins.v);
}

static void free_changes(struct model_changes *c)
{
	free(c->set.v);
	free(c->add.v);
	free(c->remove.v);
}

static void free_rule(struct model_rule *r)
{
	free(r->paths.v);
	free(r->methods.v);
	free(r->headers.v);
	free(r->retry_on.statuses.v);
	free_changes(&r->request);
	free_changes(&r->response);
}

static void free_service(struct model_service *s)
{
	free(s->hosts.v);
	free(s->ports.v);
	free(s->export_to.v);
	free(s->addresses.v);
	free(s->clients.v);
	free(s->endpoints.v);
	free_tls(&s->tls);
}

static void free_gateway(struct model_gateway *g)
{
	for (size_t i = 0; i < g->subsets.n; i++)
		free(g->subsets.v[i].endpoints.v);
	free(g->addresses.v);
	free(g->servers.v);
	free(g->hosts.v);
	free(g->subsets.v);
	free_tls(&g->tls);
	free_tls(&g->server_tls);
	free(g->proxy_from.v);
}

static void free_source(struct source *s)
{
	struct model *m = &s->model;

	for (size_t i = 0; i < m->services.n; i++)
		free_service(&m->services.v[i]);
	for (size_t i = 0; i < m->gateways.n; i++)
		free_gateway(&m->gateways.v[i]);
	for (size_t i = 0; i < m->routes.n; i++) {
		free(m->routes.v[i].hosts.v);
		free(m->routes.v[i].from.v);
		free(m->routes.v[i].to.v);
		free_rule(&m->routes.v[i].rule);
	}
	free(m->services.v);
	free(m->gateways.v);
	free(m->routes.v);
	free(m->files.v);
	free(m->nameservers.v);
	free(m->capture.interfaces.v);
	free(m->capture.exclude_interfaces.v);
	free(m->capture.ports.v);
	free(m->capture.exclude_ports.v);
	free(m->capture.exempt_uids.v);
	free(m->capture.exempt_gids.v);
	free(m->capture.exclude_cidrs.v);
	free(s->services.v);
	free(s->gateways.v);
	free(s->routes.v);
	free(s->diag.v);
}

static void compile(struct source *s)
{
	struct policy_error e = { "" };
	struct policy p;
	size_t len;
	uint8_t *bytes = model_emit(&s->model, &len, &e);

	if (!bytes) {
		must(e.text[0] != '\0');
		return;
	}
	if (policy_open_bytes(&p, bytes, len, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	policy_close(&p);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct source s = { .file = NULL };

	/* A source may name files to be read, which is no business of a fuzzer's. */
	if (len > 65536 || memmem(data, len, "file", 4))
		return 0;
	source_read_bytes(&s, "fuzz.ini", data, len);
	check_source(&s, CHECK_MESH);
	for (size_t i = 0; i < s.diag.n; i++)
		must(s.diag.v[i].at.line >= 0 && s.diag.v[i].text[0] != '\0');
	if (s.diag.errors == 0)
		compile(&s);
	free_source(&s);
	free_kept();
	return 0;
}
