/* SPDX-License-Identifier: MIT */
/*
 * Sessions by BearSSL: TLS 1.2, all of a session in the caller's memory. The engine does no I/O; it
 * gets records and gives records. What of a record was read but not decrypted is in `in`, what was
 * encrypted but not sent in `out`. Input is fed only when no output waits.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tproxy/tls_bearssl.h"

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };
enum moved { MOVED_FAILED = -1, MOVED_BLOCKED = 0, MOVED_ALL = 1 };

size_t tls_session_size(void)
{
	return sizeof(struct tls_session);
}

/* What to say to a peer that is refused; 0: nothing. */
static uint8_t fault_alert(enum tls_fault f)
{
	static const uint8_t alerts[TLS_FAULTS] = {
		[TLS_FAULT_INTERNAL] = 80,
		[TLS_FAULT_PROTOCOL] = 10,
		[TLS_FAULT_OLD_VERSION] = 70,
		[TLS_FAULT_NO_CIPHER] = 40,
		[TLS_FAULT_NO_CERTIFICATE] = 40,
		[TLS_FAULT_BAD_CERTIFICATE] = 42,
		[TLS_FAULT_LARGE_CERTIFICATE] = 42,
		[TLS_FAULT_LONG_CHAIN] = 42,
		[TLS_FAULT_SELF_SIGNED] = 48,
		[TLS_FAULT_UNKNOWN_CA] = 48,
		[TLS_FAULT_MISSING_ISSUER] = 48,
		[TLS_FAULT_NOT_CA] = 42,
		[TLS_FAULT_EXPIRED] = 45,
		[TLS_FAULT_NOT_YET_VALID] = 45,
		[TLS_FAULT_WRONG_HOST] = 42,
		[TLS_FAULT_WRONG_PIN] = 42,
		[TLS_FAULT_WRONG_USAGE] = 42,
		[TLS_FAULT_WEAK_KEY] = 42,
		[TLS_FAULT_WEAK_SIGNATURE] = 42,
		[TLS_FAULT_BAD_SIGNATURE] = 51,
	};

	return (unsigned)f < TLS_FAULTS ? alerts[f] : 0;
}

/*
 * BearSSL ends without a word when it refuses a certificate, and the other side's log would not say
 * why. While nothing is encrypted yet an alert is seven bytes; if they do not go out, so be it.
 */
static void alert_send(struct tls_session *s)
{
	uint8_t record[] = { 21, 3, 3, 0, 2, 2, fault_alert(s->fault) };
	size_t waits;

	if (record[6] != 0 && s->br.engine.out.vtable == &br_sslrec_out_clear_vtable &&
	    !br_ssl_engine_sendrec_buf(&s->br.engine, &waits))
		(void)!send(s->fd, record, sizeof(record), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static enum tls_fault error_fault(const struct tls_session *s, int error)
{
	switch (error) {
	case BR_ERR_UNSUPPORTED_VERSION:
	case BR_ERR_BAD_VERSION:
		/* The record's header is still there: its type, and the version's first byte. */
		return s->in[0] < 20 || s->in[0] > 23 || s->in[1] != 3 ? TLS_FAULT_NOT_TLS :
		       s->established                                  ? TLS_FAULT_BAD_RECORD :
		                                                         TLS_FAULT_OLD_VERSION;
	case BR_ERR_BAD_MAC:
	case BR_ERR_BAD_LENGTH:
	case BR_ERR_TOO_LARGE:
		return TLS_FAULT_BAD_RECORD;
	case BR_ERR_NO_RANDOM:
	case BR_ERR_BAD_PARAM:
	case BR_ERR_BAD_STATE:
		return TLS_FAULT_INTERNAL;
	case BR_ERR_BAD_CIPHER_SUITE:
	case BR_ERR_INVALID_ALGORITHM:
	case BR_ERR_SEND_FATAL_ALERT + 40:
		return TLS_FAULT_NO_CIPHER;
	case BR_ERR_SEND_FATAL_ALERT + 70:
		return TLS_FAULT_OLD_VERSION;
	case BR_ERR_SEND_FATAL_ALERT + 120:
		return TLS_FAULT_NO_ALPN;
	case BR_ERR_NO_CLIENT_AUTH:
		return TLS_FAULT_NO_CERTIFICATE;
	case BR_ERR_BAD_SIGNATURE:
		return TLS_FAULT_BAD_SIGNATURE;
	case BR_ERR_WRONG_KEY_USAGE:
		return TLS_FAULT_WRONG_USAGE;
	default:
		if (error >= BR_ERR_RECV_FATAL_ALERT && error < BR_ERR_SEND_FATAL_ALERT)
			return (enum tls_fault)(TLS_FAULT_ALERT + error - BR_ERR_RECV_FATAL_ALERT);
		return TLS_FAULT_PROTOCOL;
	}
}

void tls_session_fail(struct tls_session *s, enum tls_fault fault)
{
	if (s->fault == TLS_FAULT_OK)
		s->fault = fault;
}

static int session_fail(struct tls_session *s, enum tls_fault fault)
{
	tls_session_fail(s, fault);
	return MOVED_FAILED;
}

bool tls_session_check(struct tls_session *s)
{
	int error = br_ssl_engine_last_error(&s->br.engine);

	if (error != BR_ERR_OK && s->fault == TLS_FAULT_OK)
		s->fault = error_fault(s, error);
	return s->fault == TLS_FAULT_OK;
}

static int in_move(struct tls_session *s);

/* Who refuses us says why and closes, perhaps while we write: what it said can still be read. */
static int out_fail(struct tls_session *s)
{
	int error = errno;

	while (!s->established && in_move(s) == MOVED_ALL)
		;
	errno = error;
	return session_fail(s, TLS_FAULT_IO);
}

static int out_move(struct tls_session *s)
{
	unsigned char *at;
	size_t len;

	while ((at = br_ssl_engine_sendrec_buf(&s->br.engine, &len)) != NULL) {
		ssize_t n = send(s->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? MOVED_BLOCKED : out_fail(s);
		br_ssl_engine_sendrec_ack(&s->br.engine, (size_t)n);
	}
	return tls_session_check(s) ? MOVED_ALL : MOVED_FAILED;
}

/* One read. MOVED_ALL: something came, or there is nothing that could. */
static int in_move(struct tls_session *s)
{
	size_t len;
	unsigned char *at = br_ssl_engine_recvrec_buf(&s->br.engine, &len);
	ssize_t n;

	if (!at)
		return session_fail(s, TLS_FAULT_PROTOCOL);
	do
		n = recv(s->fd, at, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? MOVED_BLOCKED : session_fail(s, TLS_FAULT_IO);
	if (n == 0)
		return session_fail(s, s->established ? TLS_FAULT_TRUNCATED : TLS_FAULT_EOF);
	br_ssl_engine_recvrec_ack(&s->br.engine, (size_t)n);
	return tls_session_check(s) ? MOVED_ALL : MOVED_FAILED;
}

static struct tls_session *session_of(const br_sslrec_in_class *const *in)
{
	return (struct tls_session *)((uintptr_t)in - offsetof(struct tls_session, br.engine.in));
}

static int watch_length(const br_sslrec_in_class *const *in, size_t len)
{
	return session_of(in)->in_class->check_length(in, len);
}

/*
 * The engine answers a close_notify with its own and takes no more to send, so that the rest of a
 * response would be lost; here the peer's end is one direction's. Any handshake message now asks
 * for another handshake.
 */
static unsigned char *watch_decrypt(const br_sslrec_in_class **in, int type, unsigned version,
                                    void *payload, size_t *len)
{
	struct tls_session *s = session_of(in);
	unsigned char *plain = s->in_class->decrypt(in, type, version, payload, len);

	if (!plain)
		return NULL;
	if (type == RECORD_HANDSHAKE)
		session_fail(s, TLS_FAULT_RENEGOTIATION);
	s->peer_ended = type == RECORD_ALERT && *len == 2 && plain[1] == 0;
	if (type == RECORD_HANDSHAKE || s->peer_ended)
		*len = 0;
	return plain;
}

static const br_sslrec_in_class watch_class = {
	.context_size = sizeof(br_sslrec_in_class *),
	.check_length = watch_length,
	.decrypt = watch_decrypt,
};

static enum tls_status handshake_done(struct tls_session *s)
{
	br_ssl_session_parameters session;

	s->established = true;
	s->in_class = s->br.engine.in.vtable;
	s->br.engine.in.vtable = &watch_class;
	if (s->config->common.server)
		return TLS_DONE;
	s->resumed = s->chain.n == 0;
	br_ssl_engine_get_session_parameters(&s->br.engine, &session);
	if (!s->resumed && session.session_id_len > 0)
		tls_session_keep(s, s->key, &session);
	explicit_bzero(&session, sizeof(session));
	return TLS_DONE;
}

enum tls_status tls_handshake(struct tls_session *s)
{
	int moved = tls_session_check(s) ? MOVED_ALL : MOVED_FAILED;
	size_t room;

	if (s->established)
		return s->fault == TLS_FAULT_OK ? TLS_DONE : TLS_FAILED;
	while (moved == MOVED_ALL) {
		moved = out_move(s);
		if (moved == MOVED_BLOCKED)
			return TLS_WANT_WRITE;
		if (moved == MOVED_ALL && br_ssl_engine_sendapp_buf(&s->br.engine, &room))
			return handshake_done(s);
		if (moved == MOVED_ALL)
			moved = in_move(s);
		if (moved == MOVED_BLOCKED)
			return TLS_WANT_READ;
	}
	alert_send(s);
	return TLS_FAILED;
}

/* Bytes that are decrypted; 0: none. */
static size_t plain_take(struct tls_session *s, uint8_t *to, size_t room)
{
	size_t len;
	unsigned char *at = br_ssl_engine_recvapp_buf(&s->br.engine, &len);

	if (!at)
		return 0;
	if (len > room)
		len = room;
	memcpy(to, at, len);
	br_ssl_engine_recvapp_ack(&s->br.engine, len);
	return len;
}

long tls_read(struct tls_session *s, void *to, size_t room)
{
	size_t len = 0;
	int moved = MOVED_ALL;

	while (len < room && moved == MOVED_ALL && s->fault == TLS_FAULT_OK) {
		size_t n = plain_take(s, (uint8_t *)to + len, room - len);
		len += n;
		if (n == 0 && s->peer_ended)
			break;
		if (n == 0)
			moved = in_move(s);
	}
	if (len > 0)
		return (long)len;
	if (s->fault != TLS_FAULT_OK)
		return TLS_BROKEN;
	return s->peer_ended ? TLS_CLOSED : TLS_AGAIN;
}

/* The engine's own close would throw away what still comes. */
static void notify_write(struct tls_session *s)
{
	size_t room;
	unsigned char *at = br_ssl_engine_sendapp_buf(&s->br.engine, &room);

	if (!at || room < 2)
		return;
	s->closing = false;
	s->ended = true;
	s->br.engine.record_type_out = RECORD_ALERT;
	at[0] = 1;
	at[1] = 0;
	br_ssl_engine_sendapp_ack(&s->br.engine, 2);
	br_ssl_engine_flush(&s->br.engine, 0);
	s->br.engine.record_type_out = RECORD_DATA;
}

int tls_flush(struct tls_session *s)
{
	int moved = s->fault == TLS_FAULT_OK ? MOVED_ALL : MOVED_FAILED;

	if (moved == MOVED_ALL) {
		br_ssl_engine_flush(&s->br.engine, 0);
		moved = out_move(s);
	}
	if (moved == MOVED_ALL && s->closing) {
		notify_write(s);
		moved = out_move(s);
	}
	return moved == MOVED_FAILED ? TLS_BROKEN : moved;
}

long tls_write(struct tls_session *s, const void *from, size_t len)
{
	size_t done = 0;
	int moved = s->fault != TLS_FAULT_OK || s->closing || s->ended ? MOVED_FAILED : MOVED_ALL;

	while (done < len && moved == MOVED_ALL) {
		size_t room;
		unsigned char *at;
		if ((moved = out_move(s)) != MOVED_ALL)
			break;
		at = br_ssl_engine_sendapp_buf(&s->br.engine, &room);
		if (!at)
			moved = session_fail(s, TLS_FAULT_PROTOCOL);
		if (!at)
			break;
		size_t n = room < len - done ? room : len - done;
		memcpy(at, (const uint8_t *)from + done, n);
		br_ssl_engine_sendapp_ack(&s->br.engine, n);
		br_ssl_engine_flush(&s->br.engine, 0);
		done += n;
		moved = out_move(s);
	}
	return moved == MOVED_FAILED ? TLS_BROKEN : (long)done;
}

bool tls_pending(const struct tls_session *s)
{
	size_t len;

	return br_ssl_engine_recvapp_buf(&s->br.engine, &len) != NULL;
}

void tls_close_notify(struct tls_session *s)
{
	if (s->ended || !s->established)
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
	uint16_t k = s->br.engine.selected_protocol; /* from 1 */

	return k > 0 && k <= s->config->common.n_alpn ? s->config->common.alpn[k - 1] : NULL;
}

const char *tls_sni(const struct tls_session *s)
{
	return br_ssl_engine_get_server_name(&s->br.engine);
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
	return br_ssl_engine_get_version(&s->br.engine);
}
