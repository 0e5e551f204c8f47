/* SPDX-License-Identifier: MIT */
/* The PROXY protocol, version 2: its header written, and read. */
#include <string.h>

#include "rules/crc32c.h"
#include "tproxy/hop.h"

/*
 * header    signature(12), version and command(1), family and transport(1), length(2), then that
 *           many bytes: addresses, and TLVs
 * addresses source, destination, 4 or 16 bytes each; source port(2), destination port(2)
 * TLV       type(1), length(2), then that many bytes
 */
enum {
	SIGNATURE_SIZE = 12, AT_COMMAND = 12, AT_FAMILY = 13, AT_LENGTH = 14, HEADER = 16,
	LOCAL = 0x20, PROXY = 0x21,
	TCP_V4 = 0x11, TCP_V6 = 0x21,
	TLV_HEADER = 3, TLV_ALPN = 1, TLV_AUTHORITY = 2, TLV_CRC32C = 3, TLV_SSL = 0x20,
	CRC_SIZE = 4, SSL_HEADER = 5,
};

static const uint8_t signature[SIGNATURE_SIZE] = "\r\n\r\n\0\r\nQUIT\n";

static uint8_t *put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static unsigned get_be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Of a header whose checksum lies at p + at, as if that were zero. */
static uint32_t checksum(const uint8_t *p, size_t at, size_t len)
{
	static const uint8_t zero[CRC_SIZE];
	uint32_t crc = crc32c(crc32c(0, p, at), zero, sizeof(zero));

	return crc32c(crc, p + at + CRC_SIZE, len - at - CRC_SIZE);
}

static uint8_t *put_tlv(uint8_t *p, uint8_t type, const void *value, size_t len)
{
	*p++ = type;
	p = put_be16(p, len);
	memcpy(p, value, len);
	return p + len;
}

size_t hop_proxy_write(const struct hop_target *t, uint8_t *out, size_t room)
{
	bool v4 = addr_is_v4(&t->src) && addr_is_v4(&t->dst);
	size_t skip = v4 ? 12 : 0, size = 16 - skip;
	size_t len = HEADER + 2 * size + 4 + TLV_HEADER + CRC_SIZE;
	size_t alpn = t->alpn_len;
	uint8_t *p = out + HEADER;

	if (t->name_len > NAME_MAX_LEN)
		return 0;
	if (t->name_len > 0)
		len += TLV_HEADER + t->name_len;
	if (alpn > 0 && alpn <= HOP_PROXY_MAX - TLV_HEADER - len)
		len += TLV_HEADER + alpn;
	else
		alpn = 0;
	if (len > room)
		return 0;
	memcpy(out, signature, sizeof(signature));
	out[AT_COMMAND] = PROXY;
	out[AT_FAMILY] = v4 ? TCP_V4 : TCP_V6;
	put_be16(out + AT_LENGTH, len - HEADER);
	memcpy(p, t->src.b + skip, size);
	memcpy(p + size, t->dst.b + skip, size);
	p = put_be16(put_be16(p + 2 * size, t->sport), t->dport);
	if (t->name_len > 0)
		p = put_tlv(p, TLV_AUTHORITY, t->name, t->name_len);
	if (alpn > 0)
		p = put_tlv(p, TLV_ALPN, t->alpn, alpn);
	p = put_tlv(p, TLV_CRC32C, signature, CRC_SIZE);
	uint32_t crc = checksum(out, len - CRC_SIZE, len);
	put_be16(put_be16(p - CRC_SIZE, crc >> 16), crc & 0xffff);
	return len;
}

struct tlv {
	const uint8_t *value;
	size_t len;
	uint8_t type;
};

/* Takes the TLV at *at. False: it reaches beyond end. */
static bool tlv_take(const uint8_t **at, const uint8_t *end, struct tlv *t)
{
	const uint8_t *p = *at;

	if (end - p < TLV_HEADER)
		return false;
	t->type = p[0];
	t->len = get_be16(p + 1);
	t->value = p + TLV_HEADER;
	if (t->len > (size_t)(end - t->value))
		return false;
	*at = t->value + t->len;
	return true;
}

/* What the sender says of a client's TLS goes by unread, but has to be whole. */
static bool ssl_valid(const struct tlv *t)
{
	const uint8_t *at = t->value + SSL_HEADER, *end = t->value + t->len;
	struct tlv inner;

	if (t->len < SSL_HEADER)
		return false;
	while (at < end)
		if (!tlv_take(&at, end, &inner))
			return false;
	return true;
}

static int name_read(const struct tlv *t, struct hop_proxy *p)
{
	int n = name_canon(p->name, (const char *)t->value, t->len);

	if (n <= 0)
		return HOP_PROXY_NAME;
	p->name_len = (uint16_t)n;
	return 0;
}

static int tlvs_read(const uint8_t *in, const uint8_t *at, const uint8_t *end, struct hop_proxy *p)
{
	unsigned seen = 0;
	struct tlv t;
	int error = 0;

	while (at < end && !error) {
		if (!tlv_take(&at, end, &t))
			return HOP_PROXY_TLV;
		if (t.type >= TLV_ALPN && t.type <= TLV_CRC32C) {
			if (seen >> t.type & 1)
				return HOP_PROXY_TLV;
			seen |= 1u << t.type;
		}
		switch (t.type) {
		case TLV_ALPN:
			p->alpn = t.value;
			p->alpn_len = (uint16_t)t.len;
			break;
		case TLV_AUTHORITY:
			error = name_read(&t, p);
			break;
		case TLV_CRC32C:
			if (t.len != CRC_SIZE)
				return HOP_PROXY_TLV;
			if (checksum(in, (size_t)(t.value - in), (size_t)(end - in)) !=
			    ((uint32_t)get_be16(t.value) << 16 | get_be16(t.value + 2)))
				error = HOP_PROXY_CRC;
			break;
		case TLV_SSL:
			error = ssl_valid(&t) ? 0 : HOP_PROXY_TLV;
			break;
		}
	}
	return error;
}

static void addr_read(struct addr *a, const uint8_t *p, size_t size)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(a->b, mapped, sizeof(mapped));
	memcpy(a->b + sizeof(a->b) - size, p, size);
}

/* The whole header is there. */
static int body_read(const uint8_t *in, const uint8_t *end, struct hop_proxy *p)
{
	size_t size = in[AT_FAMILY] == TCP_V4 ? 4 : 16;
	const uint8_t *at = in + HEADER;

	if ((size_t)(end - at) < 2 * size + 4)
		return HOP_PROXY_LENGTH;
	addr_read(&p->src, at, size);
	addr_read(&p->dst, at + size, size);
	at += 2 * size;
	p->sport = (uint16_t)get_be16(at);
	p->dport = (uint16_t)get_be16(at + 2);
	return tlvs_read(in, at + 4, end, p);
}

long hop_proxy_read(const uint8_t *in, size_t len, struct hop_proxy *p)
{
	size_t total;
	int error;

	memset(p, 0, sizeof(*p));
	if (memcmp(in, signature, len < SIGNATURE_SIZE ? len : SIGNATURE_SIZE) != 0)
		return HOP_PROXY_SIGNATURE;
	if (len > AT_COMMAND && in[AT_COMMAND] != LOCAL && in[AT_COMMAND] != PROXY)
		return HOP_PROXY_COMMAND;
	if (len < HEADER)
		return 0;
	p->local = in[AT_COMMAND] == LOCAL;
	if (!p->local && in[AT_FAMILY] != TCP_V4 && in[AT_FAMILY] != TCP_V6)
		return HOP_PROXY_FAMILY;
	total = HEADER + get_be16(in + AT_LENGTH);
	if (total > HOP_PROXY_MAX)
		return HOP_PROXY_LENGTH;
	if (len < total)
		return 0;
	error = p->local ? 0 : body_read(in, in + total, p);
	return error ? error : (long)total;
}

const char *hop_proxy_reason(long error)
{
	static const char *const reasons[] = {
		"proxy_ok", "proxy_signature", "proxy_command", "proxy_family", "proxy_length",
		"proxy_tlv", "proxy_crc", "proxy_name",
	};

	return reasons[error <= 0 && error >= HOP_PROXY_NAME ? -error : 1];
}
