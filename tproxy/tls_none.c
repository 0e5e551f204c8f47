/* SPDX-License-Identifier: MIT */
/* No TLS: every configuration is refused, so that no session can be. */
#include "tproxy/tls.h"

struct tls_config *tls_config_open(const struct tls_settings *set, struct tls_problem *problem)
{
	(void)set;
	*problem = (struct tls_problem){ TLS_FAULT_NO_TLS, "tls", 0 };
	return NULL;
}

struct tls_config *tls_config_take(struct tls_config *c)
{
	return c;
}

void tls_config_close(struct tls_config *c)
{
	(void)c;
}

size_t tls_session_size(void)
{
	return 0;
}

/* Without a configuration nobody gets as far as this. */
void tls_session_start(struct tls_session *s, struct tls_config *c, const struct tls_start *how)
{
	(void)s;
	(void)c;
	(void)how;
}

void tls_session_end(struct tls_session *s)
{
	(void)s;
}

enum tls_status tls_handshake(struct tls_session *s)
{
	(void)s;
	return TLS_FAILED;
}

long tls_read(struct tls_session *s, void *to, size_t room)
{
	(void)s;
	(void)to;
	(void)room;
	return TLS_BROKEN;
}

long tls_write(struct tls_session *s, const void *from, size_t len)
{
	(void)s;
	(void)from;
	(void)len;
	return TLS_BROKEN;
}

int tls_flush(struct tls_session *s)
{
	(void)s;
	return TLS_BROKEN;
}

bool tls_pending(const struct tls_session *s)
{
	(void)s;
	return false;
}

void tls_close_notify(struct tls_session *s)
{
	(void)s;
}

enum tls_fault tls_session_fault(const struct tls_session *s)
{
	(void)s;
	return TLS_FAULT_NO_TLS;
}

const char *tls_alpn(const struct tls_session *s)
{
	(void)s;
	return NULL;
}

const char *tls_sni(const struct tls_session *s)
{
	(void)s;
	return "";
}

const char *tls_peer(const struct tls_session *s)
{
	(void)s;
	return "";
}

bool tls_resumed(const struct tls_session *s)
{
	(void)s;
	return false;
}

unsigned tls_version(const struct tls_session *s)
{
	(void)s;
	return 0;
}
