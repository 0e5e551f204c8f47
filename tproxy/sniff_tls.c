/* SPDX-License-Identifier: MIT */
/* Reads a TLS ClientHello as strictly as a server would, wherever the records cut it. */
#include "tproxy/sniff.h"

#include <string.h>

/*
 * record    type(1) = 22, version(2) = 3.x, length(2) = 1..2^14, then that many bytes of the
 *           handshake stream
 * handshake type(1) = 1, length(3), then ClientHello (RFC 8446 4.1.2):
 *           legacy_version(2), random(32), session_id<0..32>, cipher_suites<2..2^16-2>,
 *           compression_methods<1..2^8-1>, and optionally extensions<0..2^16-1>, each of
 *           type(2), data<0..2^16-1>
 */
enum {
	RECORD_HEADER = 5,
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION_DATA = 23,
	RECORD_MAX = 1 << 14,
	RECORD_CIPHERTEXT_MAX = RECORD_MAX + 256,
	HANDSHAKE_HEADER = 4,
	HANDSHAKE_CLIENT_HELLO = 1,
	RANDOM_SIZE = 32,
	SESSION_ID_MAX = 32,
	EXTENSIONS_MAX = 128, /* browsers send fewer than 20 */
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	EXT_EARLY_DATA = 42,
	EXT_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
	NAME_TYPE_HOST = 0,
};

/* Walks the handshake stream. Every record that it meets was found whole and valid by measure(). */
struct cursor {
	const uint8_t *at;
	size_t record; /* bytes left in this record */
	size_t left;   /* bytes left of the ClientHello; who reads has looked at it */
};

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void next_record(struct cursor *c)
{
	c->record = be16(c->at + 3);
	c->at += RECORD_HEADER;
}

static unsigned get8(struct cursor *c)
{
	if (c->record == 0)
		next_record(c);
	c->record--;
	c->left--;
	return *c->at++;
}

static unsigned get16(struct cursor *c)
{
	unsigned high = get8(c);

	return high << 8 | get8(c);
}

/* Copies n bytes to dst, or steps over them when dst is NULL. */
static void take(struct cursor *c, void *dst, size_t n)
{
	uint8_t *to = dst;

	c->left -= n;
	while (n > 0) {
		size_t part;

		if (c->record == 0)
			next_record(c);
		part = n < c->record ? n : c->record;
		if (to) {
			memcpy(to, c->at, part);
			to += part;
		}
		c->at += part;
		c->record -= part;
		n -= part;
	}
}

/*
 * Checks the record headers up to the end of the ClientHello. > 0: bytes of the records that hold
 * it, *stream its bytes with the handshake header; 0: more is needed; < 0: enum tls_error.
 */
static long measure(const uint8_t *buf, size_t len, size_t *stream)
{
	uint8_t head[HANDSHAKE_HEADER];
	size_t pos = 0, payload = 0, seen = 0, total = 0;

	for (;;) {
		const uint8_t *record = buf + pos;
		size_t here = len - pos, n;

		if (here == 0)
			return 0;
		if (record[0] != RECORD_HANDSHAKE)
			return pos == 0 && record[0] & 0x80 ? TLS_SSLV2 : TLS_RECORD;
		if (here > 1 && record[1] != 3)
			return TLS_RECORD;
		if (here < RECORD_HEADER)
			return 0;
		n = be16(record + 3);
		if (n == 0 || n > RECORD_MAX)
			return TLS_RECORD;
		here -= RECORD_HEADER;
		for (size_t i = 0; seen < sizeof(head) && i < n && i < here; i++)
			head[seen++] = record[RECORD_HEADER + i];
		if (seen > 0 && head[0] != HANDSHAKE_CLIENT_HELLO)
			return TLS_HANDSHAKE;
		if (seen == sizeof(head)) {
			total = sizeof(head) + ((size_t)head[1] << 16 | be16(head + 2));
			if (total > CONFIG_TLS_HELLO_MAX)
				return TLS_OVERSIZE;
			if (n > total - payload)
				return TLS_TRAILING;
		}
		if (here < n)
			return 0;
		payload += n;
		pos += RECORD_HEADER + n;
		if (seen == sizeof(head) && payload == total) {
			*stream = total;
			return (long)pos;
		}
	}
}

/* RFC 6066 3: a list that holds exactly one name, of type host_name. n: bytes of the extension. */
static int server_name(struct cursor *c, size_t n, struct tls_hello *h)
{
	char name[NAME_MAX_LEN + 1]; /* with a final dot */
	int canonical;

	if (n < 5)
		return TLS_SERVER_NAME;
	if (get16(c) != n - 2)
		return TLS_NESTING;
	if (get8(c) != NAME_TYPE_HOST)
		return TLS_SERVER_NAME;
	/* A length that leaves room for another entry, or that reaches beyond the list. */
	if (get16(c) != n - 5)
		return TLS_SERVER_NAME;
	n -= 5;
	if (n > sizeof(name))
		return TLS_SERVER_NAME;
	take(c, name, n);
	canonical = name_canon(h->name, name, n);
	if (canonical <= 0)
		return TLS_SERVER_NAME;
	h->name_len = (size_t)canonical;
	return TLS_OK;
}

/* RFC 7301 3.1: a list that holds names, none of them empty. n: bytes of the extension. */
static int alpn(struct cursor *c, size_t n, struct tls_hello *h)
{
	size_t at = 0;

	if (n < 4 || get16(c) != n - 2 || n - 2 > TLS_ALPN_MAX)
		return TLS_ALPN;
	n -= 2;
	take(c, h->alpn, n);
	while (at < n) {
		if (h->alpn[at] == 0 || h->alpn[at] > n - at - 1)
			return TLS_ALPN;
		at += 1u + h->alpn[at];
	}
	h->alpn_len = (uint8_t)n;
	return TLS_OK;
}

static int extensions(struct cursor *c, struct tls_hello *h)
{
	uint16_t types[EXTENSIONS_MAX];
	uint64_t seen = 0; /* one bit for 1024 types: a clear one spares the search */
	size_t count = 0;

	while (c->left > 0) {
		unsigned type, n;
		uint64_t bit;

		if (c->left < 4)
			return TLS_NESTING;
		type = get16(c);
		n = get16(c);
		if (n > c->left)
			return TLS_NESTING;
		bit = (uint64_t)1 << ((type ^ type >> 6) & 63);
		for (size_t i = 0; seen & bit && i < count; i++)
			if (types[i] == type)
				return TLS_DUPLICATE;
		if (count == EXTENSIONS_MAX)
			return TLS_OVERSIZE;
		types[count++] = (uint16_t)type;
		seen |= bit;
		if (type == EXT_SERVER_NAME || type == EXT_ALPN) {
			int error = type == EXT_ALPN ? alpn(c, n, h) : server_name(c, n, h);

			if (error)
				return error;
			continue;
		}
		h->early_data = h->early_data || type == EXT_EARLY_DATA;
		h->ech = h->ech || type == EXT_ENCRYPTED_CLIENT_HELLO;
		take(c, NULL, n);
	}
	return TLS_OK;
}

/* Steps over a vector of n bytes. */
static int vector(struct cursor *c, size_t n, size_t least, size_t most)
{
	if (n < least || n > most || n > c->left)
		return TLS_NESTING;
	take(c, NULL, n);
	return TLS_OK;
}

static int client_hello(struct cursor *c, struct tls_hello *h)
{
	unsigned version, n;

	if (c->left < 2 + RANDOM_SIZE + 1)
		return TLS_NESTING;
	version = get16(c);
	if (version >> 8 != 3 || version == 0x0300)
		return TLS_VERSION;
	take(c, NULL, RANDOM_SIZE);
	if (vector(c, get8(c), 0, SESSION_ID_MAX) || c->left < 2)
		return TLS_NESTING;
	n = get16(c);
	if (n % 2 || vector(c, n, 2, 0xfffe) || c->left < 1)
		return TLS_NESTING;
	if (vector(c, get8(c), 1, 0xff))
		return TLS_NESTING;
	if (c->left == 0)
		return TLS_OK;
	if (c->left < 2 || get16(c) != c->left)
		return TLS_NESTING;
	return extensions(c, h);
}

/*
 * What may follow a ClientHello before the server has spoken: early data, and the ChangeCipherSpec
 * that a client sends before it for the sake of middleboxes (RFC 8446 D.4). Looks as far as there
 * are bytes.
 */
static int trailing(const uint8_t *p, size_t len, bool early_data)
{
	while (len > 0) {
		size_t n;

		if (!early_data || (len > 1 && p[1] != 3) ||
		    (p[0] != RECORD_APPLICATION_DATA && p[0] != RECORD_CHANGE_CIPHER_SPEC))
			return TLS_TRAILING;
		if (len < RECORD_HEADER)
			return TLS_OK;
		n = be16(p + 3);
		if (n == 0 || n > RECORD_CIPHERTEXT_MAX)
			return TLS_TRAILING;
		if (p[0] == RECORD_CHANGE_CIPHER_SPEC &&
		    (n != 1 || (len > RECORD_HEADER && p[RECORD_HEADER] != 1)))
			return TLS_TRAILING;
		if (n > len - RECORD_HEADER)
			return TLS_OK;
		p += RECORD_HEADER + n;
		len -= RECORD_HEADER + n;
	}
	return TLS_OK;
}

long sniff_tls(const uint8_t *buf, size_t len, struct tls_hello *h)
{
	size_t stream = 0;
	long end = measure(buf, len, &stream);
	struct cursor c = { .at = buf, .left = stream };
	int error;

	h->name[0] = '\0';
	h->name_len = 0;
	h->ech = h->early_data = false;
	h->alpn_len = 0;
	if (end <= 0)
		return end;
	take(&c, NULL, HANDSHAKE_HEADER);
	error = client_hello(&c, h);
	if (error == TLS_OK)
		error = trailing(buf + end, len - (size_t)end, h->early_data);
	if (error == TLS_OK)
		return end;
	h->name[0] = '\0';
	h->name_len = 0;
	return error;
}

static const struct {
	const char *code, *text;
} errors[TLS_ERRORS] = {
	[-TLS_OK] = { "tls-ok", "no error" },
	[-TLS_RECORD] = { "tls-record", "a record's type, version or length is not a handshake's" },
	[-TLS_HANDSHAKE] = { "tls-handshake", "the first handshake message is not a ClientHello" },
	[-TLS_NESTING] = { "tls-nesting", "a length does not fit the one around it" },
	[-TLS_DUPLICATE] = { "tls-duplicate", "an extension appears twice" },
	[-TLS_SERVER_NAME] = { "tls-server-name", "server_name does not hold exactly one host name" },
	[-TLS_TRAILING] = { "tls-trailing", "something other than early data follows the ClientHello" },
	[-TLS_OVERSIZE] = { "tls-oversize", "the ClientHello is too large or has too many extensions" },
	[-TLS_SSLV2] = { "tls-sslv2", "an SSL 2.0 ClientHello" },
	[-TLS_VERSION] = { "tls-version", "the client's version is not TLS 1.0 or later" },
	[-TLS_ALPN] = { "tls-alpn", "ALPN holds no protocol, an empty one, or too many bytes" },
};

static size_t error_index(int error)
{
	return error <= 0 && error > -TLS_ERRORS ? (size_t)-error : (size_t)-TLS_RECORD;
}

const char *tls_error_text(int error)
{
	return errors[error_index(error)].text;
}

const char *tls_error_code(int error)
{
	return errors[error_index(error)].code;
}
