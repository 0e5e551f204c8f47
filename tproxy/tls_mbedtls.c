/* SPDX-License-Identifier: MIT */
/* Sessions by mbedTLS: TLS 1.2 and 1.3. The library takes its memory from the heap. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tproxy/tls_mbedtls.h"

size_t tls_session_size(void)
{
	return sizeof(struct tls_session);
}

void tls_session_fail(struct tls_session *s, enum tls_fault fault)
{
	if (s->fault == TLS_FAULT_OK)
		s->fault = fault;
}

/* Who refuses us says why and closes, perhaps while we write: what it said can still be read. */
static int out_fail(struct tls_session *s)
{
	uint8_t alert[7];
	bool told = !s->established &&
	            recv(s->fd, alert, sizeof(alert), MSG_DONTWAIT) == sizeof(alert) &&
	            alert[0] == MBEDTLS_SSL_MSG_ALERT && alert[4] == 2;

	tls_session_fail(s, told ? (enum tls_fault)(TLS_FAULT_ALERT + alert[6]) : TLS_FAULT_IO);
	return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int out_send(void *session, const unsigned char *bytes, size_t len)
{
	struct tls_session *s = session;
	ssize_t n;

	do
		n = send(s->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	s->alerted |= s->established && !s->closing && len > 0 && bytes[0] == MBEDTLS_SSL_MSG_ALERT;
	if (n >= 0)
		return (int)n;
	s->blocked = errno == EAGAIN;
	return s->blocked ? MBEDTLS_ERR_SSL_WANT_WRITE : out_fail(s);
}

static int in_receive(void *session, unsigned char *to, size_t room)
{
	struct tls_session *s = session;
	ssize_t n;

	if (s->early.len > 0) {
		n = (ssize_t)(room < s->early.len ? room : s->early.len);
		memcpy(to, s->early.at, (size_t)n);
		s->early.at = (const char *)s->early.at + n;
		s->early.len -= (size_t)n;
	} else {
		do
			n = recv(s->fd, to, room, MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
	}
	for (ssize_t i = 0; i < n && s->n_first < sizeof(s->first); i++)
		s->first[s->n_first++] = to[i];
	if (n >= 0)
		return (int)n;
	s->blocked = errno == EAGAIN;
	if (!s->blocked)
		tls_session_fail(s, TLS_FAULT_IO);
	return s->blocked ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static enum tls_fault error_fault(const struct tls_session *s, int error)
{
	switch (error) {
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		return (enum tls_fault)(TLS_FAULT_ALERT + s->ssl.in_msg[1]);
	case MBEDTLS_ERR_SSL_CONN_EOF:
		return s->established ? TLS_FAULT_TRUNCATED : TLS_FAULT_EOF;
	case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
		return TLS_FAULT_OLD_VERSION;
	case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
		return TLS_FAULT_NO_CIPHER;
	case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
		return TLS_FAULT_NO_ALPN;
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		return TLS_FAULT_NO_CERTIFICATE;
	case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
		return TLS_FAULT_BAD_CERTIFICATE;
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		return TLS_FAULT_BAD_RECORD;
	case MBEDTLS_ERR_SSL_INVALID_RECORD:
	case MBEDTLS_ERR_SSL_UNEXPECTED_RECORD:
		return s->established ? TLS_FAULT_BAD_RECORD : TLS_FAULT_PROTOCOL;
	case MBEDTLS_ERR_X509_FATAL_ERROR:
		return TLS_FAULT_LONG_CHAIN;
	case MBEDTLS_ERR_SSL_ALLOC_FAILED:
	case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
	case MBEDTLS_ERR_SSL_NO_RNG:
		return TLS_FAULT_INTERNAL;
	default:
		/* What X.509 makes of a certificate, with what ASN.1 makes of it in the lower bits. */
		return error <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE &&
				       error > MBEDTLS_ERR_X509_FATAL_ERROR ?
		               TLS_FAULT_BAD_CERTIFICATE :
		               TLS_FAULT_PROTOCOL;
	}
}

/* The peer's first bytes are not a record's. */
static bool not_tls(const struct tls_session *s)
{
	return (s->n_first > 0 && (s->first[0] < 20 || s->first[0] > 23)) ||
	       (s->n_first > 1 && s->first[1] != 3);
}

static void session_fail(struct tls_session *s, int error)
{
	bool ended = error == MBEDTLS_ERR_SSL_CONN_EOF;

	tls_session_fail(s, !ended && not_tls(s) ? TLS_FAULT_NOT_TLS : error_fault(s, error));
}

static bool waits(int error)
{
	return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static enum tls_status handshake_done(struct tls_session *s)
{
	mbedtls_ssl_session session;

	s->established = true;
	if (s->config->common.server)
		return TLS_DONE;
	s->resumed = s->chain.n == 0;
	if (s->resumed || s->config->common.cache.n_sets == 0 || tls_version(s) != 0x303)
		return TLS_DONE;
	mbedtls_ssl_session_init(&session);
	if (mbedtls_ssl_get_session(&s->ssl, &session) == 0)
		(void)tls_session_keep(s, s->key, &session);
	mbedtls_ssl_session_free(&session);
	return TLS_DONE;
}

enum tls_status tls_handshake(struct tls_session *s)
{
	if (s->fault != TLS_FAULT_OK || s->established)
		return s->fault == TLS_FAULT_OK ? TLS_DONE : TLS_FAILED;
	tls_session_current = s;
	mbedtls_ssl_set_bio(&s->ssl, s, out_send, in_receive, NULL);
	int error;
	do {
		s->blocked = false;
		error = mbedtls_ssl_handshake(&s->ssl);
	} while (waits(error) && !s->blocked);
	tls_session_current = NULL;
	if (error == MBEDTLS_ERR_SSL_WANT_READ)
		return TLS_WANT_READ;
	if (error == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (error == 0 && s->fault == TLS_FAULT_OK)
		return handshake_done(s);
	session_fail(s, error);
	return TLS_FAILED;
}

/* TLS 1.3 hands out sessions after the handshake. */
static void ticket_keep(struct tls_session *s)
{
	mbedtls_ssl_session session;

	mbedtls_ssl_session_init(&session);
	if (mbedtls_ssl_get_session(&s->ssl, &session) == 0)
		(void)tls_session_keep(s, s->key, &session);
	mbedtls_ssl_session_free(&session);
}

long tls_read(struct tls_session *s, void *to, size_t room)
{
	size_t len = 0;

	s->blocked = false;
	while (len < room && s->fault == TLS_FAULT_OK && !s->peer_ended && !s->blocked) {
		int n = mbedtls_ssl_read(&s->ssl, (uint8_t *)to + len, room - len);
		if (n > 0)
			len += (size_t)n;
		else if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
			s->peer_ended = true;
		else if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
			ticket_keep(s);
		else if (!waits(n))
			session_fail(s, n == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : n);
		/* What the library answers in passing is that it does not renegotiate. */
		if (s->alerted)
			tls_session_fail(s, TLS_FAULT_RENEGOTIATION);
	}
	if (len > 0)
		return (long)len;
	if (s->fault != TLS_FAULT_OK)
		return TLS_BROKEN;
	return s->peer_ended ? TLS_CLOSED : TLS_AGAIN;
}

/* With something to send the library sends that, whatever it is given. */
static int out_flush(struct tls_session *s)
{
	int error = s->fault == TLS_FAULT_OK ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;

	while (error == 0 && s->ssl.out_left > 0)
		error = mbedtls_ssl_write(&s->ssl, (const unsigned char *)"", 0);
	if (waits(error))
		return 0;
	if (error < 0)
		tls_session_fail(s, TLS_FAULT_IO);
	return error < 0 ? TLS_BROKEN : 1;
}

int tls_flush(struct tls_session *s)
{
	int flushed = out_flush(s);

	if (flushed == 1 && s->closing && !s->ended) {
		s->ended = true;
		int error = mbedtls_ssl_close_notify(&s->ssl);
		if (error < 0 && !waits(error))
			tls_session_fail(s, TLS_FAULT_IO);
		flushed = out_flush(s);
	}
	return flushed;
}

long tls_write(struct tls_session *s, const void *from, size_t len)
{
	size_t done = 0;
	int flushed = s->closing ? TLS_BROKEN : out_flush(s);

	while (done < len && flushed == 1) {
		int room = mbedtls_ssl_get_max_out_record_payload(&s->ssl);
		size_t n = room > 0 && (size_t)room < len - done ? (size_t)room : len - done;
		int error = mbedtls_ssl_write(&s->ssl, (const uint8_t *)from + done, n);
		if (error < 0 && !waits(error)) {
			tls_session_fail(s, TLS_FAULT_IO);
			return TLS_BROKEN;
		}
		/* What it could not send it has encrypted, and out_flush() sends it. */
		done += error > 0 ? (size_t)error : n;
		flushed = out_flush(s);
	}
	return flushed < 0 ? TLS_BROKEN : (long)done;
}

bool tls_pending(const struct tls_session *s)
{
	return mbedtls_ssl_check_pending(&s->ssl) != 0;
}

void tls_close_notify(struct tls_session *s)
{
	if (!s->established)
		return;
	s->closing = true;
	tls_flush(s);
}

enum tls_fault tls_session_fault(const struct tls_session *s)
{
	return s->fault;
}

const char *tls_alpn(const struct tls_session *s)
{
	return mbedtls_ssl_get_alpn_protocol(&s->ssl);
}

const char *tls_sni(const struct tls_session *s)
{
	return s->sni;
}

const char *tls_peer(const struct tls_session *s)
{
	return s->established ? s->chain.peer : "";
}

bool tls_resumed(const struct tls_session *s)
{
	return s->resumed;
}

unsigned tls_version(const struct tls_session *s)
{
	return (unsigned)mbedtls_ssl_get_version_number(&s->ssl);
}
