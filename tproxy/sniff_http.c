/* SPDX-License-Identifier: MIT */
/* Tells HTTP, HTTP/2, TLS and everything else apart by the first bytes of a connection. */
#include "tproxy/sniff.h"

#include <string.h>

#include "tproxy/token.h"

#define WINDOW 256 /* bytes without a decision, after which text counts as a damaged request */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_alpha(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26;
}

/*
 * A TLS record of any type: "alert first" and the like are for sniff_tls() to refuse. Binary
 * protocols whose first byte happens to be a record type are told apart by the major version.
 */
static enum sniff_kind tls_kind(const uint8_t *buf, size_t len)
{
	if (buf[0] < 0x14 || buf[0] > 0x18)
		return SNIFF_OTHER;
	if (len < 2)
		return SNIFF_MORE;
	return buf[1] == 3 ? SNIFF_TLS : SNIFF_OTHER;
}

/* CLIENT-HELLO behind a two-byte header, of version 2 or upwards (RFC 5246 appendix E.2). */
static enum sniff_kind sslv2_kind(const uint8_t *buf, size_t len)
{
	if (!(buf[0] & 0x80) || (len > 2 && buf[2] != 1))
		return SNIFF_OTHER;
	if (len < 5)
		return SNIFF_MORE;
	return buf[3] == 3 || (buf[3] == 0 && buf[4] == 2) ? SNIFF_TLS : SNIFF_OTHER;
}

static enum sniff_kind undecided(size_t len)
{
	return len < WINDOW ? SNIFF_MORE : SNIFF_HTTP;
}

/*
 * Letters, '-' and '_' and then white space: that is how every registered method looks, and what
 * follows does not matter. Another token ("SSH-2.0-OpenSSH_9.2p1 Debian-2", "cpu.load 0.7") needs
 * something like a target after the space. White space that lenient servers skip or take for a
 * space is taken for one here too, so that such a request is refused by the request parser instead
 * of being judged by its address. When in doubt it is HTTP, and ends with 400.
 */
static enum sniff_kind http_kind(const uint8_t *buf, size_t len)
{
	size_t at = 0, start;
	bool letters = true;

	if (len > WINDOW)
		len = WINDOW;
	while (at < len && is_space(buf[at]))
		at++;
	for (start = at; at < len && token_byte((char)buf[at]); at++)
		letters = letters && (is_alpha(buf[at]) || buf[at] == '-' || buf[at] == '_');
	if (at == len)
		return undecided(len);
	if (at == start || !is_space(buf[at]) || buf[at] == '\n')
		return SNIFF_OTHER;
	if (buf[at] == '\r') {
		if (++at == len)
			return undecided(len);
		if (buf[at] == '\n')
			return SNIFF_OTHER;
		at--;
	}
	if (letters)
		return SNIFF_HTTP;
	while (at < len && is_space(buf[at]))
		at++;
	if (at == len)
		return undecided(len);
	return buf[at] == '/' || buf[at] == '*' || (buf[at] | 0x20) == 'h' ? SNIFF_HTTP : SNIFF_OTHER;
}

enum sniff_kind sniff_kind(const uint8_t *buf, size_t len)
{
	size_t n = len < sizeof(preface) - 1 ? len : sizeof(preface) - 1;
	enum sniff_kind kind;

	if (len == 0)
		return SNIFF_MORE;
	if (memcmp(buf, preface, n) == 0)
		return n == sizeof(preface) - 1 ? SNIFF_HTTP2 : SNIFF_MORE;
	kind = tls_kind(buf, len);
	if (kind == SNIFF_OTHER)
		kind = sslv2_kind(buf, len);
	if (kind == SNIFF_OTHER)
		kind = http_kind(buf, len);
	return kind;
}
