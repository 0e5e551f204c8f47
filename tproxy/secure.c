/* SPDX-License-Identifier: MIT */
/* TLS of our own for connections. */
#include "tproxy/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rules/gateway.h"
#include "rules/traffic.h"
#include "tproxy/conn.h"
#include "tproxy/dial.h"
#include "tproxy/exchange.h"

#define FILE_SIZE_MAX (256u * 1024) /* of a bundle */
#define NAMES_MAX     16u
#define SESSIONS_KEPT 64            /* for resumption, of one peer's configuration */

struct secure_set {
	uint32_t gateways, n;          /* of the configs, the first so many; all */
	struct tls_config *server[2];  /* without, with a client's certificate */
	struct tls_config *configs[];  /* of each gateway, then of each service; NULL: none */
};

/* What is read of files while a configuration is made. */
struct material {
	char *text;
	size_t size;
	void *held[3];
	size_t lens[3];
	unsigned n;
};

static bool complain(struct material *m, const char *path, const char *why)
{
	snprintf(m->text, m->size, "%s: %s", path, why);
	return false;
}

static bool read_file(struct material *m, const char *path, struct tls_bytes *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *bytes = fd < 0 ? NULL : malloc(FILE_SIZE_MAX);
	size_t len = 0;
	ssize_t n = -1;

	while (bytes && len < FILE_SIZE_MAX &&
	       (n = read(fd, bytes + len, FILE_SIZE_MAX - len)) > 0)
		len += (size_t)n;
	int e = errno;
	if (fd >= 0)
		close(fd);
	if (bytes) {
		m->held[m->n] = bytes;
		m->lens[m->n++] = len;
	}
	if (!bytes || n < 0)
		return complain(m, path, strerror(e));
	if (len == FILE_SIZE_MAX)
		return complain(m, path, "larger than 256 KiB");
	*out = (struct tls_bytes){ bytes, len };
	return true;
}

static bool take(struct material *m, const struct policy_pem *pem, struct tls_bytes *out)
{
	if (pem->path)
		return read_file(m, pem->path, out);
	*out = (struct tls_bytes){ pem->bytes, pem->len };
	return true;
}

/* Keys are not left behind in freed memory. */
static void drop(struct material *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		explicit_bzero(m->held[i], m->lens[i]);
		free(m->held[i]);
	}
	m->n = 0;
}

static struct tls_config *make(struct material *m, const char *whose, struct tls_settings *set,
                               const struct policy *p, struct policy_list alt_names)
{
	const char *names[NAMES_MAX];
	struct tls_problem problem;
	char why[128];

	for (; set->n_alt_names < alt_names.n && set->n_alt_names < NAMES_MAX; set->n_alt_names++)
		names[set->n_alt_names] =
			policy_string(p, policy_item(alt_names, (uint32_t)set->n_alt_names));
	set->alt_names = names;
	set->sessions = SESSIONS_KEPT;
	struct tls_config *c = tls_config_open(set, &problem);
	if (!c) {
		snprintf(why, sizeof(why), "%s: %s", problem.object,
		         tls_fault_text(problem.fault));
		(void)complain(m, whose, why);
	}
	return c;
}

static struct tls_config *client(const struct policy *p, const char *whose,
                                 const struct policy_tls *t, char *text, size_t size)
{
	struct material m = { .text = text, .size = size };
	struct tls_settings set = {
		.tls13 = t->only_13, .sni = t->sni, .n_pins = t->n_pins,
		.pins = (const uint8_t (*)[TLS_PIN_SIZE])t->pins,
	};
	bool read = take(&m, &t->ca, &set.ca) &&
	            (!t->mutual || (take(&m, &t->certificate, &set.certificate) &&
	                            take(&m, &t->private_key, &set.private_key)));
	struct tls_config *c = read ? make(&m, whose, &set, p, t->alt_names) : NULL;

	drop(&m);
	return c;
}

static struct tls_config *server(const struct policy *p, const char *whose,
                                 const struct policy_server *s, bool mutual, char *text,
                                 size_t size)
{
	struct material m = { .text = text, .size = size };
	struct tls_settings set = { .server = true, .tls13 = s->only_13 };
	struct policy_list none = { NULL, 0 };
	bool read = take(&m, &s->certificate, &set.certificate) &&
	            take(&m, &s->private_key, &set.private_key) &&
	            (!mutual || take(&m, &s->client_ca, &set.ca));
	struct tls_config *c =
		read ? make(&m, whose, &set, p, mutual ? s->alt_names : none) : NULL;

	drop(&m);
	return c;
}

static bool open_server(struct secure_set *set, const struct policy *p, char *text, size_t size)
{
	struct policy_run servers = policy_own_servers(p);
	int64_t own = policy_own_gateway(p);
	struct policy_server s;
	struct policy_gateway g;

	if (own < 0 || !policy_server(p, (uint32_t)own, &s))
		return true;
	policy_gateway(p, (uint32_t)own, &g);
	for (uint32_t i = 0; i < servers.n; i++) {
		enum policy_server_tls mode = policy_server_tls(p, servers.first + i);
		bool mutual = mode == POLICY_SERVER_MUTUAL;

		if ((mode != POLICY_SERVER_SIMPLE && !mutual) || set->server[mutual])
			continue;
		set->server[mutual] = server(p, g.name, &s, mutual, text, size);
		if (!set->server[mutual])
			return false;
	}
	return true;
}

struct secure_set *secure_open(const struct policy *p, char *text, size_t size)
{
	uint32_t gateways = p->n[FORMAT_GATEWAYS], n = gateways + p->n[FORMAT_SERVICES];
	struct secure_set *set = calloc(1, sizeof(*set) + n * sizeof(*set->configs));
	struct policy_gateway g;
	struct policy_service s;
	struct policy_tls t;

	if (!set) {
		snprintf(text, size, "%s", strerror(errno));
		return NULL;
	}
	set->gateways = gateways;
	set->n = n;
	bool good = open_server(set, p, text, size);
	for (uint32_t i = 0; i < gateways && good; i++) {
		policy_gateway(p, i, &g);
		if ((int64_t)i == policy_own_gateway(p) || !policy_gateway_tls(p, i, &t))
			continue;
		set->configs[i] = client(p, g.name, &t, text, size);
		good = set->configs[i] != NULL;
	}
	for (uint32_t i = gateways; i < n && good; i++) {
		if (!policy_service_tls(p, i - gateways, &t))
			continue;
		policy_service(p, i - gateways, &s);
		set->configs[i] = client(p, s.name, &t, text, size);
		good = set->configs[i] != NULL;
	}
	if (good)
		return set;
	secure_close(set);
	return NULL;
}

void secure_close(struct secure_set *set)
{
	if (!set)
		return;
	for (uint32_t i = 0; i < set->n; i++)
		tls_config_close(set->configs[i]);
	tls_config_close(set->server[0]);
	tls_config_close(set->server[1]);
	free(set);
}

static bool add_directory(struct jail_paths *paths, const struct policy_pem *pem)
{
	const char *slash = pem->path ? strrchr(pem->path, '/') : NULL;
	size_t len = slash ? (size_t)(slash - pem->path) : 0;

	if (!slash)
		return true;
	for (unsigned i = 0; i < paths->n_read; i++)
		if (strlen(paths->read[i]) == len && memcmp(paths->read[i], pem->path, len) == 0)
			return true;
	char *copy = paths->n_read < sizeof(paths->read) / sizeof(*paths->read)
	             ? strndup(len ? pem->path : "/", len ? len : 1) : NULL;
	if (copy)
		paths->read[paths->n_read++] = copy;
	return copy != NULL;
}

bool secure_directories(const struct policy *p, struct jail_paths *paths)
{
	uint32_t gateways = p->n[FORMAT_GATEWAYS], n = gateways + p->n[FORMAT_SERVICES];
	int64_t own = policy_own_gateway(p);
	struct policy_server s;
	struct policy_tls t;
	bool fits = true;

	for (uint32_t i = 0; i < n; i++) {
		if (i < gateways ? !policy_gateway_tls(p, i, &t)
		                 : !policy_service_tls(p, i - gateways, &t))
			continue;
		fits = add_directory(paths, &t.ca) && add_directory(paths, &t.certificate) &&
		       add_directory(paths, &t.private_key) && fits;
	}
	if (own >= 0 && policy_server(p, (uint32_t)own, &s))
		fits = add_directory(paths, &s.certificate) &&
		       add_directory(paths, &s.private_key) &&
		       add_directory(paths, &s.client_ca) && fits;
	return fits;
}

/* Whom connections call */

/* The endpoint's name, or the address: what the gateway's certificate has to be for. */
static void name_gateway(const struct policy *p, const struct policy_destination *d,
                         uint16_t endpoint, const struct addr *a, char name[NAME_SIZE])
{
	struct policy_endpoint e = { .name = NULL };

	if (endpoint < d->endpoints.n)
		policy_endpoint(p, d->endpoints.first + endpoint, &e);
	if (e.name)
		snprintf(name, NAME_SIZE, "%s", e.name);
	else
		addr_format(a, name);
}

/* The host that is asked of a service: what a route made of it, or what the client said. */
static void name_service(struct worker *w, const struct conn *c, struct secure_peer *peer)
{
	const struct policy *p = conn_policy(w, c);
	struct policy_destination d = { .host = NULL };

	if (c->destination != NONE)
		policy_destination(p, c->destination, &d);
	if (d.host) {
		snprintf(peer->name, NAME_SIZE, "%s", d.host);
		peer->key = c->destination;
		return;
	}
	struct access_text name = conn_name(w, c);
	if (c->exchange != NONE) {
		const struct exchange *x = exchange_of(w, c);
		name = (struct access_text){ x->rq.host, x->rq.host_len };
	}
	const uint8_t *key = c->key == NONE ? NULL : p->at[FORMAT_NAMES] + c->key;
	if (name.len >= NAME_SIZE)
		name.len = 0;
	memcpy(peer->name, name.len ? name.s : "", name.len);
	peer->name[name.len] = '\0';
	/* An exact key is one name; what a wildcard stands for is not remembered. */
	if (key && key[0] == name.len && memcmp(key + 1, name.s, name.len) == 0)
		peer->key = p->n[FORMAT_DESTINATIONS] + c->key;
}

void secure_peer(struct worker *w, const struct conn *c, uint16_t endpoint, const struct addr *a,
                 struct secure_peer *peer)
{
	const struct secure_set *set = w->policies[c->policy].shared->secure;
	struct policy_destination d;

	*peer = (struct secure_peer){ .config = NULL, .key = NONE };
	if (dial_to_gateway(w, c, &d)) {
		peer->config = set->configs[d.gateway];
		if (!peer->config)
			return;
		name_gateway(conn_policy(w, c), &d, endpoint, a, peer->name);
		peer->key = c->destination;
	} else if (c->service != NONE && set->configs[set->gateways + c->service]) {
		peer->config = set->configs[set->gateways + c->service];
		name_service(w, c, peer);
	}
}

bool secure_wanted(const struct worker *w, const struct conn *c)
{
	const struct secure_set *set = w->policies[c->policy].shared->secure;
	struct policy_destination d;

	if (dial_to_gateway(w, c, &d))
		return set->configs[d.gateway] != NULL;
	return c->service != NONE && set->configs[set->gateways + c->service] != NULL;
}

/* Sessions */

static struct tls_session *start(struct worker *w, struct tls_config *config,
                                 const struct tls_start *how)
{
	uint32_t i = slab_take(&w->sessions);

	if (i == NONE)
		return NULL;
	struct tls_session *s = slab_at(&w->sessions, i);
	tls_session_start(s, config, how);
	worker_count(w, STAT_TLS_ACTIVE, 1);
	worker_count(w, STAT_TLS_TOTAL, 1);
	return s;
}

/* No clock at boot: it is never earlier than the version. */
static int64_t date(const struct worker *w)
{
	int64_t wall = (w->loop.now_ms + w->wall_offset_ms) / 1000;

	return wall > SLUICE_RELEASED ? wall : SLUICE_RELEASED;
}

bool secure_call(struct worker *w, struct up *u, const struct secure_peer *peer)
{
	struct tls_start how = {
		.fd = u->fd, .name = peer->name, .target = peer->key, .now = date(w),
	};

	u->tls = start(w, peer->config, &how);
	return u->tls != NULL;
}

bool secure_answer(struct worker *w, struct conn *c, bool mutual)
{
	struct tls_config *config = w->policies[c->policy].shared->secure->server[mutual];
	struct tls_start how = { .fd = c->fd, .now = date(w) };

	c->tls = config ? start(w, config, &how) : NULL;
	return c->tls != NULL;
}

void secure_end(struct worker *w, struct tls_session **s, bool graceful)
{
	if (!*s)
		return;
	if (graceful) {
		tls_close_notify(*s);
		(void)tls_flush(*s);
	}
	tls_session_end(*s);
	slab_give(&w->sessions, slab_index(&w->sessions, *s));
	worker_count(w, STAT_TLS_ACTIVE, -1);
	*s = NULL;
}
