/* SPDX-License-Identifier: MIT */
/* How a session by BearSSL starts and ends, and what is kept of it. */
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "tproxy/tls_bearssl.h"

/* A session under that key becomes the engine's. */
static bool kept_find(struct tls_session *s, const uint8_t key[TLS_KEY_SIZE],
                      br_ssl_session_parameters *session)
{
	struct tls_kept_session k;
	bool found = tls_cache_find(&s->config->common.cache, key, s->chain.now, &k, sizeof(k)) ==
	             sizeof(k);

	if (found) {
		*session = k.session;
		memcpy(s->chain.peer, k.peer, sizeof(k.peer));
	}
	explicit_bzero(&k, sizeof(k));
	return found;
}

void tls_session_keep(struct tls_session *s, const uint8_t key[TLS_KEY_SIZE],
                      const br_ssl_session_parameters *session)
{
	struct tls_kept_session k = { .session = *session };

	memcpy(k.peer, s->chain.peer, sizeof(k.peer));
	tls_cache_keep(&s->config->common.cache, key, s->chain.now, s->chain.not_after, &k, sizeof(k));
	explicit_bzero(&k, sizeof(k));
}

static struct tls_session *session_of(const br_ssl_session_cache_class **cache)
{
	return (struct tls_session *)((char *)cache - offsetof(struct tls_session, cache));
}

static void cache_save(const br_ssl_session_cache_class **cache, br_ssl_server_context *server,
                       const br_ssl_session_parameters *session)
{
	(void)server;
	tls_session_keep(session_of(cache), session->session_id, session);
}

static int cache_load(const br_ssl_session_cache_class **cache, br_ssl_server_context *server,
                      br_ssl_session_parameters *session)
{
	struct tls_session *s = session_of(cache);
	(void)server;

	s->resumed = kept_find(s, session->session_id, session);
	return s->resumed;
}

static const br_ssl_session_cache_class cache_class = {
	.context_size = sizeof(br_ssl_session_cache_class *),
	.save = cache_save,
	.load = cache_load,
};

static const br_hash_class *const hashes[] = { &br_sha256_vtable, &br_sha384_vtable,
	                                       &br_sha512_vtable };

/* AES first where the processor has it; ECDSA and RSA are the certificate's choice. */
static void suites_set(br_ssl_engine_context *e)
{
	static const uint16_t suites[] = {
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	};

	br_ssl_engine_set_suites(e, suites + (br_aes_x86ni_ctr_get_vtable() ? 2 : 0), 6);
}

static void engine_setup(struct tls_session *s)
{
	br_ssl_engine_context *e = &s->br.engine;
	const struct tls_common *c = &s->config->common;
	uint8_t seed[32];

	br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
	suites_set(e);
	for (int i = 0; i < 3; i++)
		br_ssl_engine_set_hash(e, br_sha256_ID + i, hashes[i]);
	br_ssl_engine_set_prf_sha256(e, br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(e, br_tls12_sha384_prf);
	br_ssl_engine_set_default_aes_gcm(e);
	br_ssl_engine_set_default_chapol(e);
	br_ssl_engine_set_default_ecdsa(e);
	br_ssl_engine_set_default_rsavrfy(e);
	br_ssl_engine_add_flags(e, BR_OPT_NO_RENEGOTIATION | BR_OPT_FAIL_ON_ALPN_MISMATCH);
	if (c->n_alpn > 0)
		br_ssl_engine_set_protocol_names(e, c->alpn, c->n_alpn);
	br_ssl_engine_set_buffers_bidi(e, s->in, sizeof(s->in), s->out, sizeof(s->out));
	/* The small buffer is for what goes out; the peer's records need not be small. */
	e->max_frag_len = 16384;
	e->log_max_frag_len = 14;
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		tls_session_fail(s, TLS_FAULT_INTERNAL);
	br_ssl_engine_inject_entropy(e, seed, sizeof(seed));
	explicit_bzero(seed, sizeof(seed));
}

static void x509_setup(struct tls_session *s)
{
	const br_ssl_engine_context *e = &s->br.engine;
	br_x509_minimal_context *m = &s->minimal;

	br_x509_minimal_init(m, &br_sha256_vtable, s->config->anchors, s->config->n_anchors);
	br_x509_minimal_set_rsa(m, e->irsavrfy);
	br_x509_minimal_set_ecdsa(m, e->iec, e->iecdsa);
	for (int i = 0; i < 3; i++)
		br_x509_minimal_set_hash(m, br_sha256_ID + i, hashes[i]);
	br_x509_minimal_set_minrsa(m, 2048 / 8);
	/* BearSSL counts from the year 0. */
	br_x509_minimal_set_time(m, (uint32_t)(s->chain.now / 86400 + 719528),
	                         (uint32_t)(s->chain.now % 86400));
	s->x509 = &tls_chain_class;
	br_ssl_engine_set_x509(&s->br.engine, &s->x509);
}

static void server_setup(struct tls_session *s)
{
	struct tls_config *c = s->config;
	const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&c->key);

	br_ssl_server_zero(&s->br.server);
	engine_setup(s);
	br_ssl_engine_add_flags(&s->br.engine, BR_OPT_ENFORCE_SERVER_PREFERENCES);
	if (rsa)
		br_ssl_server_set_single_rsa(&s->br.server, c->chain, c->n_chain, rsa, BR_KEYTYPE_SIGN,
		                             br_rsa_private_get_default(),
		                             br_rsa_pkcs1_sign_get_default());
	else
		br_ssl_server_set_single_ec(&s->br.server, c->chain, c->n_chain,
		                            br_skey_decoder_get_ec(&c->key), BR_KEYTYPE_SIGN,
		                            c->issuer_key, br_ec_get_default(),
		                            br_ecdsa_sign_asn1_get_default());
	if (c->n_anchors > 0) {
		x509_setup(s);
		br_ssl_server_set_trust_anchor_names_alt(&s->br.server, c->anchors, c->n_anchors);
	}
	s->cache = &cache_class;
	if (c->common.cache.n_sets > 0)
		br_ssl_server_set_cache(&s->br.server, &s->cache);
	if (!br_ssl_server_reset(&s->br.server))
		tls_session_check(s);
}

/* The session to resume is that of the same name and target. */
static bool client_resume(struct tls_session *s, uint32_t target)
{
	uint8_t what[TLS_PEER_SIZE + sizeof(target)] = { 0 };
	br_ssl_session_parameters session;

	strcpy((char *)what, s->name);
	memcpy(what + TLS_PEER_SIZE, &target, sizeof(target));
	tls_session_sha256(s->key, (struct tls_bytes){ what, sizeof(what) });
	if (!kept_find(s, s->key, &session))
		return false;
	br_ssl_engine_set_session_parameters(&s->br.engine, &session);
	explicit_bzero(&session, sizeof(session));
	return true;
}

static void client_setup(struct tls_session *s, uint32_t target)
{
	struct tls_config *c = s->config;
	uint8_t address[16];
	const char *sni = c->common.sni                            ? c->common.sni :
	                  tls_der_address(s->name, address) > 0 ? NULL :
	                                                          s->name;
	const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&c->key);

	br_ssl_client_zero(&s->br.client);
	engine_setup(s);
	br_ssl_client_set_default_rsapub(&s->br.client);
	x509_setup(s);
	if (c->n_chain > 0 && rsa)
		br_ssl_client_set_single_rsa(&s->br.client, c->chain, c->n_chain, rsa,
		                             br_rsa_pkcs1_sign_get_default());
	else if (c->n_chain > 0)
		br_ssl_client_set_single_ec(&s->br.client, c->chain, c->n_chain,
		                            br_skey_decoder_get_ec(&c->key), BR_KEYTYPE_SIGN,
		                            c->issuer_key, br_ec_get_default(),
		                            br_ecdsa_sign_asn1_get_default());
	if (!br_ssl_client_reset(&s->br.client, sni, client_resume(s, target)))
		tls_session_check(s);
}

/* What was read from the socket by others. The engine takes no more before it has answered. */
static void early_take(struct tls_session *s, struct tls_bytes early)
{
	unsigned char *at;
	size_t len, waits;

	while (early.len > 0 && tls_session_check(s) &&
	       !br_ssl_engine_sendrec_buf(&s->br.engine, &waits) &&
	       (at = br_ssl_engine_recvrec_buf(&s->br.engine, &len)) != NULL) {
		if (len > early.len)
			len = early.len;
		memcpy(at, early.at, len);
		early.at = (const char *)early.at + len;
		early.len -= len;
		br_ssl_engine_recvrec_ack(&s->br.engine, len);
	}
	if (early.len > 0)
		tls_session_fail(s, TLS_FAULT_PROTOCOL);
}

void tls_session_start(struct tls_session *s, struct tls_config *c, const struct tls_start *how)
{
	memset(s, 0, offsetof(struct tls_session, in));
	s->config = tls_config_take(c);
	s->fd = how->fd;
	s->fault = TLS_FAULT_OK;
	if (how->name && strlen(how->name) < sizeof(s->name))
		strcpy(s->name, how->name);
	tls_chain_start(&s->chain, &c->common, s->name, how->now);
	if (c->common.server)
		server_setup(s);
	else
		client_setup(s, how->target);
	early_take(s, how->early);
}

void tls_session_end(struct tls_session *s)
{
	struct tls_config *c = s->config;

	explicit_bzero(s, sizeof(*s));
	tls_config_close(c);
}
