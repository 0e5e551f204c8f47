/* SPDX-License-Identifier: MIT */
/* How a session by mbedTLS starts and ends, what its peer has to be, and what is kept of it. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <string.h>
#include <strings.h>

#include <mbedtls/sha256.h>

#include "tproxy/tls_mbedtls.h"

_Thread_local struct tls_session *tls_session_current;

static void sha256(uint8_t out[TLS_PIN_SIZE], struct tls_bytes in)
{
	mbedtls_sha256(in.at, in.len, out, 0);
}

/* The issuer's name is in the bundle, but the signature is another's. */
static bool issuer_known(const struct tls_session *s)
{
	struct tls_bytes issuer = s->chain.issuer;

	for (const mbedtls_x509_crt *ca = &s->config->ca; ca; ca = ca->next)
		if (ca->subject_raw.len == issuer.len &&
		    memcmp(ca->subject_raw.p, issuer.at, issuer.len) == 0)
			return true;
	return false;
}

static enum tls_fault flags_fault(struct tls_session *s, uint32_t flags)
{
	const struct tls_chain *chain = &s->chain;

	if (chain->fault == TLS_FAULT_LONG_CHAIN || chain->fault == TLS_FAULT_LARGE_CERTIFICATE)
		return chain->fault;
	if (flags & MBEDTLS_X509_BADCERT_BAD_KEY)
		return TLS_FAULT_WEAK_KEY;
	if (flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK))
		return TLS_FAULT_WEAK_SIGNATURE;
	if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
		return chain->untrusted == TLS_FAULT_MISSING_ISSUER && issuer_known(s) ?
		               TLS_FAULT_BAD_SIGNATURE :
		               chain->untrusted;
	if (flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE))
		return TLS_FAULT_WRONG_USAGE;
	return flags != 0 ? TLS_FAULT_BAD_CERTIFICATE : chain->fault;
}

/*
 * Called from the top of the chain that the library found to the leaf, which comes last. The name
 * is looked at in tls_chain.c: the library would take a common name for one.
 */
int tls_chain_verify(void *session, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
	struct tls_session *s = session;

	if (depth == 0)
		*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
	s->flags |= *flags;
	if (depth > 0)
		return 0;
	s->resumed = false;
	tls_chain_start(&s->chain, &s->config->common, s->name, s->chain.now);
	for (const mbedtls_x509_crt *c = cert; c; c = c->next)
		tls_chain_add(&s->chain, (struct tls_bytes){ c->raw.p, c->raw.len }, sha256);
	enum tls_fault fault = flags_fault(s, s->flags);
	if (fault != TLS_FAULT_OK) {
		tls_session_fail(s, fault);
		/* The flags that were there make the alert; one is needed at the least. */
		*flags |= fault == TLS_FAULT_EXPIRED || fault == TLS_FAULT_NOT_YET_VALID ?
		                  MBEDTLS_X509_BADCERT_EXPIRED :
		          s->flags == 0 ? MBEDTLS_X509_BADCERT_CN_MISMATCH :
		                          0;
	}
	return 0;
}

int tls_sni_take(void *none, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len)
{
	struct tls_session *s = mbedtls_ssl_get_user_data_p(ssl);
	(void)none;

	if (len >= sizeof(s->sni) || memchr(name, '\0', len))
		return -1;
	memcpy(s->sni, name, len);
	s->sni[len] = '\0';
	return 0;
}

int tls_session_keep(struct tls_session *s, const uint8_t key[TLS_KEY_SIZE],
                     const mbedtls_ssl_session *session)
{
	struct tls_kept_session kept = { 0 };
	mbedtls_ssl_session bare = *session;
	size_t len;

	bare.peer_cert = NULL; /* it was verified, and its name is kept */
	memcpy(kept.peer, s->chain.peer, sizeof(kept.peer));
	int error = mbedtls_ssl_session_save(&bare, kept.bytes, sizeof(kept.bytes), &len);
	if (error == 0)
		tls_cache_keep(&s->config->common.cache, key, s->chain.now, s->chain.not_after, &kept,
		               sizeof(kept.peer) + len);
	explicit_bzero(&kept, sizeof(kept));
	explicit_bzero(&bare, sizeof(bare));
	return error;
}

static bool kept_load(struct tls_session *s, const uint8_t key[TLS_KEY_SIZE],
                      mbedtls_ssl_session *session)
{
	struct tls_kept_session kept;
	size_t len = tls_cache_find(&s->config->common.cache, key, s->chain.now, &kept, sizeof(kept));
	bool found = len > sizeof(kept.peer) &&
	             mbedtls_ssl_session_load(session, kept.bytes, len - sizeof(kept.peer)) == 0;

	if (found)
		memcpy(s->chain.peer, kept.peer, sizeof(kept.peer));
	explicit_bzero(&kept, sizeof(kept));
	return found;
}

/* A ticket is a number that nobody can guess; the session stays here. */
int tls_ticket_write(void *none, const mbedtls_ssl_session *session, unsigned char *start,
                     const unsigned char *end, size_t *len, uint32_t *lifetime)
{
	(void)none;
	if (!tls_session_current || end - start < TLS_KEY_SIZE)
		return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
	int error = tls_random(NULL, start, TLS_KEY_SIZE);
	if (error == 0)
		error = tls_session_keep(tls_session_current, start, session);
	*len = TLS_KEY_SIZE;
	*lifetime = TLS_RESUME_S;
	return error;
}

int tls_ticket_read(void *none, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
	struct tls_session *s = tls_session_current;
	(void)none;

	if (!s || len != TLS_KEY_SIZE || !kept_load(s, ticket, session))
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	s->resumed = true;
	return 0;
}

/* The session to resume is that of the same name and target. */
static void client_resume(struct tls_session *s, uint32_t target)
{
	uint8_t what[TLS_PEER_SIZE + sizeof(target)] = { 0 };
	mbedtls_ssl_session session;

	strcpy((char *)what, s->name);
	memcpy(what + TLS_PEER_SIZE, &target, sizeof(target));
	sha256(s->key, (struct tls_bytes){ what, sizeof(what) });
	mbedtls_ssl_session_init(&session);
	if (kept_load(s, s->key, &session) && mbedtls_ssl_set_session(&s->ssl, &session) != 0)
		tls_session_fail(s, TLS_FAULT_INTERNAL);
	mbedtls_ssl_session_free(&session);
}

static bool session_setup(struct tls_session *s, const struct tls_start *how)
{
	const char *sni = s->config->common.sni;
	uint8_t address[16];

	if (mbedtls_ssl_setup(&s->ssl, &s->config->ssl) != 0)
		return false;
	mbedtls_ssl_set_user_data_p(&s->ssl, s);
	mbedtls_ssl_set_verify(&s->ssl, tls_chain_verify, s);
	if (s->config->common.server)
		return true;
	if (!sni && tls_der_address(s->name, address) == 0)
		sni = s->name;
	if (mbedtls_ssl_set_hostname(&s->ssl, sni && *sni ? sni : NULL) != 0)
		return false;
	client_resume(s, how->target);
	return true;
}

void tls_session_start(struct tls_session *s, struct tls_config *c, const struct tls_start *how)
{
	memset(s, 0, sizeof(*s));
	s->config = tls_config_take(c);
	s->fd = how->fd;
	s->fault = TLS_FAULT_OK;
	if (how->name && strlen(how->name) < sizeof(s->name))
		strcpy(s->name, how->name);
	tls_chain_start(&s->chain, &c->common, s->name, how->now);
	mbedtls_ssl_init(&s->ssl);
	if (!session_setup(s, how)) {
		tls_session_fail(s, TLS_FAULT_INTERNAL);
		return;
	}
	s->early = how->early;
	if (how->early.len > 0)
		tls_handshake(s);
	if (s->early.len > 0)
		tls_session_fail(s, TLS_FAULT_PROTOCOL);
	s->early = (struct tls_bytes){ NULL, 0 };
}

void tls_session_end(struct tls_session *s)
{
	struct tls_config *c = s->config;

	mbedtls_ssl_free(&s->ssl);
	explicit_bzero(s, sizeof(*s));
	tls_config_close(c);
}
