/* SPDX-License-Identifier: MIT */
/* ClientHellos, legal and crafted, through sniff_tls(). */
/* LINK: rules/name.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/guard.h"
#include "tproxy/sniff_tls.c"

#define ALPN_HEX "0009 08 687474702f312e31"

enum {
	ROOM = 128 * 1024,
	PADDED = 170, /* bytes of the plain hello with an empty padding extension */
};

/* A growing message; every vector is closed by writing its length where it began. */
struct bytes {
	uint8_t b[ROOM];
	size_t n;
};

static void put8(struct bytes *m, unsigned v)
{
	assert_true(m->n < sizeof(m->b));
	m->b[m->n++] = (uint8_t)v;
}

static void put16(struct bytes *m, unsigned v)
{
	put8(m, v >> 8);
	put8(m, v & 0xff);
}

static void put_fill(struct bytes *m, unsigned v, size_t n)
{
	while (n-- > 0)
		put8(m, v);
}

static void put_bytes(struct bytes *m, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put8(m, ((const uint8_t *)p)[i]);
}

/* "16 03 01": spaces are for the eye. */
static void put_hex(struct bytes *m, const char *hex)
{
	unsigned v;
	int used;

	for (; hex && sscanf(hex, " %2x%n", &v, &used) == 1; hex += used)
		put8(m, v);
}

static size_t open16(struct bytes *m)
{
	put16(m, 0);
	return m->n;
}

/* lie is added to the true length. */
static void close16(struct bytes *m, size_t start, int lie)
{
	unsigned n = (unsigned)((int)(m->n - start) + lie);

	m->b[start - 2] = (uint8_t)(n >> 8);
	m->b[start - 1] = (uint8_t)n;
}

/* A ClientHello as a difference from the plain one: zero leaves everything as it should be. */
struct row {
	const char *title;
	const char *sni;          /* NULL: allowed.test */
	size_t sni_len;           /* of sni with a NUL in it */
	bool no_sni, no_extensions, no_extension_bytes;
	const char *sni_data;     /* hex: the whole server_name extension's data */
	const char *before_sni, *after_sni; /* hex: more extensions */
	const char *alpn;         /* hex: the whole ALPN extension's data; NULL: http/1.1 */
	bool no_alpn;
	const char *names;        /* hex: more entries behind the name */
	unsigned name_type;
	int lie_name, lie_list, lie_sni, lie_extensions, lie_handshake;
	unsigned handshake_type;  /* plus 1 */
	unsigned version;         /* 0: 3.3 */
	unsigned record_version;  /* 0: 3.1 */
	unsigned session_id;      /* its length, plus 1; 0: 32 */
	unsigned ciphers;         /* bytes, plus 1; 0: 32 */
	unsigned compression;     /* bytes, plus 1; 0: 1 */
	unsigned padding;         /* bytes of a padding extension before server_name */
	unsigned key_share;       /* bytes of a key_share extension before server_name */
	unsigned extensions;      /* so many empty ones of types 1000 and up */
	unsigned record;          /* bytes of each record; 0: all in one */
	const char *tail;         /* hex: behind the hello in the handshake stream */
	const char *first;        /* hex: before the first record */
	const char *between;      /* hex: behind the first record */
	const char *after;        /* hex: behind the last record */
	long want;                /* 0: accepted */
	const char *name;         /* accepted: the name; NULL: allowed.test */
	bool ech, early_data;
};

static void put_extension(struct bytes *m, unsigned type, unsigned len)
{
	put16(m, type);
	put16(m, len);
	put_fill(m, 0x5a, len);
}

static void put_server_name(struct bytes *m, const struct row *row)
{
	const char *sni = row->sni ? row->sni : "allowed.test";
	size_t extension, list, name;

	put16(m, 0);
	extension = open16(m);
	if (row->sni_data) {
		put_hex(m, row->sni_data);
	} else {
		list = open16(m);
		put8(m, row->name_type);
		name = open16(m);
		put_bytes(m, sni, row->sni_len ? row->sni_len : strlen(sni));
		close16(m, name, row->lie_name);
		put_hex(m, row->names);
		close16(m, list, row->lie_list);
	}
	close16(m, extension, row->lie_sni);
}

static void put_alpn(struct bytes *m, const char *hex)
{
	size_t extension;

	put16(m, 16);
	extension = open16(m);
	put_hex(m, hex);
	close16(m, extension, 0);
}

static void put_extensions(struct bytes *m, const struct row *row)
{
	size_t block = open16(m);

	if (!row->no_extensions) {
		put_hex(m, "0a0a 0000"); /* GREASE */
		put_hex(m, row->before_sni);
		if (row->padding)
			put_extension(m, 21, row->padding);
		if (row->key_share)
			put_extension(m, 51, row->key_share);
		if (!row->no_sni)
			put_server_name(m, row);
		put_hex(m, "0017 0000  000a 0004 0002 001d");
		if (!row->no_alpn)
			put_alpn(m, row->alpn ? row->alpn : ALPN_HEX);
		for (unsigned i = 0; i < row->extensions; i++)
			put_extension(m, 1000 + i, 0);
		put_hex(m, row->after_sni);
		put_hex(m, "1a1a 0001 00");
	}
	close16(m, block, row->lie_extensions);
}

static void put_hello(struct bytes *m, const struct row *row)
{
	size_t n, start;

	put8(m, row->handshake_type ? row->handshake_type - 1 : 1);
	put_fill(m, 0, 3);
	start = m->n;
	put16(m, row->version ? row->version : 0x0303);
	put_fill(m, 0xc3, 32);
	n = row->session_id ? row->session_id - 1 : 32;
	put8(m, (unsigned)n);
	put_fill(m, 0x55, n);
	n = row->ciphers ? row->ciphers - 1 : 32;
	put16(m, (unsigned)n);
	put_fill(m, 0x13, n);
	n = row->compression ? row->compression - 1 : 1;
	put8(m, (unsigned)n);
	put_fill(m, 0, n);
	if (!row->no_extension_bytes)
		put_extensions(m, row);
	n = (size_t)((long)(m->n - start) + row->lie_handshake);
	m->b[start - 3] = (uint8_t)(n >> 16);
	m->b[start - 2] = (uint8_t)(n >> 8);
	m->b[start - 1] = (uint8_t)n;
	put_hex(m, row->tail);
}

/* Returns the length of the records that hold the hello. */
static size_t put_records(struct bytes *out, const struct row *row)
{
	static struct bytes m;
	size_t at = 0, end;

	m.n = 0;
	put_hello(&m, row);
	put_hex(out, row->first);
	while (at < m.n) {
		size_t n = row->record && row->record < m.n - at ? row->record : m.n - at;

		put8(out, 22);
		put16(out, row->record_version ? row->record_version : 0x0301);
		put16(out, (unsigned)n);
		put_bytes(out, m.b + at, n);
		if (at == 0)
			put_hex(out, row->between);
		at += n;
	}
	end = out->n;
	put_hex(out, row->after);
	return end;
}

static const char long_name[] = /* 253 bytes in labels of 63, 63, 63 and 61 */
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
	"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc."
	"ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
#define LABEL64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ALLOWED_HEX "616c6c6f7765642e74657374" /* allowed.test */
#define EVIL_SNI_HEX "0000 000e 000c 00 0009 6576696c2e74657374"
#define FILL_4   " 01 01 01 01"
#define FILL_32  FILL_4 FILL_4 FILL_4 FILL_4 FILL_4 FILL_4 FILL_4 FILL_4
#define FILL_254 FILL_32 FILL_32 FILL_32 FILL_32 FILL_32 FILL_32 FILL_32 FILL_4 FILL_4 FILL_4 FILL_4 \
	FILL_4 FILL_4 FILL_4 " 01 01"
#define ECH_HEX "fe0d 000e 00 0001 0001 2a 0000 0004 deadbeef"

static const struct row rows[] = {
	/* Legal, however unusual. */
	{ .title = "a plain hello" },
	{ .title = "records of one byte (T-03)", .record = 1 },
	{ .title = "a record of one byte, then the rest (T-03)", .record = 4 },
	{ .title = "records of seven bytes (T-03)", .record = 7 },
	{ .title = "records cut inside the name (T-03)", .record = 131 },
	{ .title = "a fake server_name in the padding's tail, five inner headers before it (T-04)",
	  .before_sni = "0015 0040 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
	                "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a " EVIL_SNI_HEX, .record = 25 },
	{ .title = "a post-quantum key share, name last, records of 512 bytes (T-06)",
	  .key_share = 1900, .record = 512 },
	{ .title = "a post-quantum key share (T-06)", .key_share = 1900 },
	{ .title = "eight kilobytes (T-06)", .padding = 8000 },
	{ .title = "the largest hello (T-06)", .padding = CONFIG_TLS_HELLO_MAX - PADDED },
	{ .title = "the largest hello in two records", .padding = CONFIG_TLS_HELLO_MAX - PADDED,
	  .record = 9000 },
	{ .title = "upper case (T-10)", .sni = "ALLowed.TEST" },
	{ .title = "a final dot (T-11)", .sni = "allowed.test." },
	{ .title = "an underscore", .sni = "_sip.allowed.test", .name = "_sip.allowed.test" },
	{ .title = "a single label", .sni = "localhost", .name = "localhost" },
	{ .title = "an A-label (T-15)", .sni = "xn--bcher-kva.test", .name = "xn--bcher-kva.test" },
	{ .title = "a name of 253 bytes (T-16)", .sni = long_name, .name = long_name },
	{ .title = "no server_name (T-13)", .no_sni = true, .name = "" },
	{ .title = "no extensions (T-13)", .no_extension_bytes = true, .name = "" },
	{ .title = "an empty extension block", .no_extensions = true, .name = "" },
	{ .title = "ESNI without server_name (T-24)", .no_sni = true, .name = "",
	  .after_sni = "ffce 0002 0000" },
	{ .title = "encrypted_client_hello (T-23)", .after_sni = ECH_HEX, .ech = true },
	{ .title = "record version 3.0 (T-18)", .record_version = 0x0300 },
	{ .title = "record version 3.4 (T-18)", .record_version = 0x0304 },
	{ .title = "record version 3.255 (T-18)", .record_version = 0x03ff },
	{ .title = "client version TLS 1.0", .version = 0x0301 },
	{ .title = "client version TLS 1.1", .version = 0x0302 },
	{ .title = "client version 3.4 (T-18)", .version = 0x0304 },
	{ .title = "client version 3.5 (T-18)", .version = 0x0305 },
	{ .title = "no session id", .session_id = 1 },
	{ .title = "one cipher suite", .ciphers = 3 },
	{ .title = "several compression methods", .compression = 4 },
	{ .title = "many extensions", .extensions = 122 },
	{ .title = "early data announced (T-25)", .after_sni = "002a 0000", .early_data = true },
	{ .title = "early data (T-25)", .after_sni = "002a 0000", .early_data = true,
	  .after = "17 0303 0002 abcd  17 0303 0001 ab" },
	{ .title = "ChangeCipherSpec and early data (T-25)", .after_sni = "002a 0000",
	  .early_data = true,
	  .after = "14 0303 0001 01  17 0303 0002 abcd" },
	{ .title = "the start of early data (T-25)", .after_sni = "002a 0000", .early_data = true,
	  .after = "17 0303 4100 abcd" },

	/* ALPN: T-27. */
	{ .title = "no ALPN (T-27)", .no_alpn = true },
	{ .title = "h2 and http/1.1 (T-27)", .alpn = "000c 02 6832 08 687474702f312e31" },
	{ .title = "a name of one byte (T-27)", .alpn = "0002 01 00" },
	{ .title = "a name of 254 bytes (T-27)", .alpn = "00ff fe" FILL_254 },
	{ .title = "many names (T-27)", .alpn = "00fe" FILL_254 },
	{ .title = "an empty ALPN (T-27)", .alpn = "", .want = TLS_ALPN },
	{ .title = "half an ALPN (T-27)", .alpn = "00", .want = TLS_ALPN },
	{ .title = "an empty ALPN list (T-27)", .alpn = "0000", .want = TLS_ALPN },
	{ .title = "an ALPN list with a byte behind it (T-27)", .alpn = "0000 00", .want = TLS_ALPN },
	{ .title = "an empty name in ALPN (T-27)", .alpn = "0001 00", .want = TLS_ALPN },
	{ .title = "two empty names in ALPN (T-27)", .alpn = "0002 00 00", .want = TLS_ALPN },
	{ .title = "an empty name behind h2 (T-27)", .alpn = "0004 02 6832 00", .want = TLS_ALPN },
	{ .title = "an empty name before h2 (T-27)", .alpn = "0004 00 02 6832", .want = TLS_ALPN },
	{ .title = "an ALPN name one too long (T-27)", .alpn = "0003 03 6832", .want = TLS_ALPN },
	{ .title = "an ALPN name far too long (T-27)", .alpn = "0003 ff 6832", .want = TLS_ALPN },
	{ .title = "an ALPN list one too long (T-27)", .alpn = "0004 02 6832", .want = TLS_ALPN },
	{ .title = "an ALPN list one too short (T-27)", .alpn = "0002 02 6832", .want = TLS_ALPN },
	{ .title = "256 bytes of ALPN names (T-27)", .alpn = "0100 01 00" FILL_254, .want = TLS_ALPN },
	{ .title = "two ALPN (T-27)", .after_sni = "0010 0005 0003 02 6832", .want = TLS_DUPLICATE },

	/* Records: T-18, T-19, T-28. */
	{ .title = "record version 4.1 (T-18)", .record_version = 0x0401, .want = TLS_RECORD },
	{ .title = "record version 2.0 (T-18)", .record_version = 0x0200, .want = TLS_RECORD },
	{ .title = "an empty record first (T-19)", .first = "16 0301 0000", .want = TLS_RECORD },
	{ .title = "an empty record between (T-19)", .record = 50, .between = "16 0301 0000",
	  .want = TLS_RECORD },
	{ .title = "an alert first (T-19)", .first = "15 0301 0002 0100", .want = TLS_RECORD },
	{ .title = "ChangeCipherSpec first (T-19)", .first = "14 0301 0001 01", .want = TLS_RECORD },
	{ .title = "application data first (T-19)", .first = "17 0301 0001 00", .want = TLS_RECORD },
	{ .title = "a heartbeat first (T-19)", .first = "18 0301 0003 010000", .want = TLS_RECORD },
	{ .title = "ChangeCipherSpec between (T-19)", .record = 50, .between = "14 0301 0001 01",
	  .want = TLS_RECORD },
	{ .title = "an alert between (T-19)", .record = 50, .between = "15 0301 0002 0100",
	  .want = TLS_RECORD },
	{ .title = "a HelloRequest first (T-19)", .first = "16 0301 0004 00000000",
	  .want = TLS_HANDSHAKE },
	{ .title = "a ServerHello", .handshake_type = 3, .want = TLS_HANDSHAKE },
	{ .title = "a record of 2^14 + 1 bytes", .first = "16 0301 4001", .want = TLS_RECORD },
	{ .title = "HTTP (T-28)", .first = "474554202f20485454502f312e31", .want = TLS_RECORD },
	{ .title = "an SSLv2 hello (T-17)", .first = "80 2e 01 03 01 0015 0000 0010",
	  .want = TLS_SSLV2 },
	{ .title = "client version SSLv3 (T-18)", .version = 0x0300, .want = TLS_VERSION },
	{ .title = "client version 2.0", .version = 0x0002, .want = TLS_VERSION },
	{ .title = "client version DTLS 1.2", .version = 0xfefd, .want = TLS_VERSION },

	/* What surrounds the hello: T-05, T-06, T-20, T-21. */
	{ .title = "one byte too large (T-06)", .padding = CONFIG_TLS_HELLO_MAX - PADDED + 1,
	  .record = 9000,
	  .want = TLS_OVERSIZE },
	{ .title = "twenty kilobytes (T-06)", .padding = 20000, .record = 16384, .want = TLS_OVERSIZE },
	{ .title = "sixteen megabytes announced", .first = "16 0301 0004 01ffffff",
	  .want = TLS_OVERSIZE },
	{ .title = "a second hello in the record (T-21)", .tail = "01 000000", .want = TLS_TRAILING },
	{ .title = "a byte behind the hello in the record (T-21)", .tail = "00", .want = TLS_TRAILING },
	{ .title = "a byte behind the hello in its last record", .tail = "00", .record = 50,
	  .want = TLS_TRAILING },
	{ .title = "a handshake length one too small (T-20)", .lie_handshake = -1,
	  .want = TLS_TRAILING },
	{ .title = "a handshake length far too small", .lie_handshake = -100, .want = TLS_TRAILING },
	{ .title = "a handshake length one too large (T-20)", .lie_handshake = 1, .tail = "00",
	  .want = TLS_NESTING },
	{ .title = "a second hello in the next record (T-21)", .after = "16 0301 0004 01000000",
	  .want = TLS_TRAILING },
	{ .title = "data behind the hello (T-21)", .after = "17 0303 0002 abcd", .want = TLS_TRAILING },
	{ .title = "ChangeCipherSpec behind the hello", .after = "14 0303 0001 01",
	  .want = TLS_TRAILING },
	{ .title = "a byte behind the hello", .after = "00", .want = TLS_TRAILING },
	{ .title = "a second hello before early data (T-21)", .after_sni = "002a 0000",
	  .after = "16 0301 0004 01000000", .want = TLS_TRAILING },
	{ .title = "a second hello behind early data (T-21)", .after_sni = "002a 0000",
	  .after = "17 0303 0002 abcd 16 0301 0004 01000000", .want = TLS_TRAILING },
	{ .title = "an odd ChangeCipherSpec with early data", .after_sni = "002a 0000",
	  .after = "14 0303 0001 02", .want = TLS_TRAILING },
	{ .title = "a long ChangeCipherSpec with early data", .after_sni = "002a 0000",
	  .after = "14 0303 0002 0101", .want = TLS_TRAILING },
	{ .title = "empty early data", .after_sni = "002a 0000", .after = "17 0303 0000",
	  .want = TLS_TRAILING },
	{ .title = "oversize early data", .after_sni = "002a 0000", .after = "17 0303 4101",
	  .want = TLS_TRAILING },
	{ .title = "early data of version 4", .after_sni = "002a 0000", .after = "17 0403 0001 00",
	  .want = TLS_TRAILING },

	/* Lengths: T-20. */
	{ .title = "a session id of 33 bytes (T-20)", .session_id = 34, .want = TLS_NESTING },
	{ .title = "a session id of 255 bytes", .session_id = 256, .want = TLS_NESTING },
	{ .title = "no cipher suite", .ciphers = 1, .want = TLS_NESTING },
	{ .title = "half a cipher suite", .ciphers = 4, .want = TLS_NESTING },
	{ .title = "no compression method", .compression = 1, .want = TLS_NESTING },
	{ .title = "an extension block one too short (T-20)", .lie_extensions = -1,
	  .want = TLS_NESTING },
	{ .title = "an extension block one too long (T-20)", .lie_extensions = 1, .want = TLS_NESTING },
	{ .title = "server_name behind the extension block (T-20)", .no_sni = true,
	  .tail = EVIL_SNI_HEX,
	  .lie_handshake = 18, .want = TLS_NESTING },
	{ .title = "an extension without its length", .after_sni = "7a7a 0004 0000",
	  .want = TLS_NESTING },
	{ .title = "server_name one too long (T-20)", .lie_sni = 1, .want = TLS_NESTING },
	{ .title = "server_name one too short (T-20)", .lie_sni = -1, .want = TLS_NESTING },
	{ .title = "server_name far too long", .lie_sni = 1000, .want = TLS_NESTING },
	{ .title = "a name list one too long (T-20)", .lie_list = 1, .want = TLS_NESTING },
	{ .title = "a name list one too short (T-20)", .lie_list = -1, .want = TLS_NESTING },
	{ .title = "a name one too long (T-20)", .lie_name = 1, .want = TLS_SERVER_NAME },
	{ .title = "a name one too short (T-20)", .lie_name = -1, .want = TLS_SERVER_NAME },
	{ .title = "a name of 65535 bytes", .lie_name = 65535 - 12, .want = TLS_SERVER_NAME },

	/* Extensions: T-07. */
	{ .title = "two server_names, evil first (T-07)", .before_sni = EVIL_SNI_HEX,
	  .want = TLS_DUPLICATE },
	{ .title = "two server_names, evil last (T-07)", .after_sni = EVIL_SNI_HEX,
	  .want = TLS_DUPLICATE },
	{ .title = "two equal server_names (T-07)", .want = TLS_DUPLICATE,
	  .after_sni = "0000 0011 000f 00 000c " ALLOWED_HEX },
	{ .title = "two unknown extensions of a type", .before_sni = "abcd 0000",
	  .after_sni = "abcd 0000",
	  .want = TLS_DUPLICATE },
	{ .title = "too many extensions", .extensions = 124, .want = TLS_OVERSIZE },

	/* Names: T-08, T-09, T-12 to T-16. */
	{ .title = "two names (T-08)", .names = "00 0009 6576696c2e74657374", .want = TLS_SERVER_NAME },
	{ .title = "the same name twice (T-08)", .names = "00 000c " ALLOWED_HEX,
	  .want = TLS_SERVER_NAME },
	{ .title = "a name of another type behind it (T-08)", .names = "01 0001 61",
	  .want = TLS_SERVER_NAME },
	{ .title = "a name of another type (T-08)", .name_type = 1, .want = TLS_SERVER_NAME },
	{ .title = "a name of another type first (T-08)", .want = TLS_SERVER_NAME,
	  .sni_data = "0013 01 0001 61 00 000c " ALLOWED_HEX },
	{ .title = "empty server_name (T-13)", .sni_data = "", .want = TLS_SERVER_NAME },
	{ .title = "an empty name list (T-13)", .sni_data = "0000", .want = TLS_SERVER_NAME },
	{ .title = "a name without its length", .sni_data = "0001 00", .want = TLS_SERVER_NAME },
	{ .title = "an empty name (T-13)", .sni_data = "0003 00 0000", .want = TLS_SERVER_NAME },
	{ .title = "a NUL and more (T-09)", .sni = "allowed.test\0.evil.test", .sni_len = 23,
	  .want = TLS_SERVER_NAME },
	{ .title = "a final NUL (T-09)", .sni = "allowed.test", .sni_len = 13,
	  .want = TLS_SERVER_NAME },
	{ .title = "a NUL in front (T-09)", .sni = "\0allowed.test", .sni_len = 13,
	  .want = TLS_SERVER_NAME },
	{ .title = "two final dots (T-11)", .sni = "allowed.test..", .want = TLS_SERVER_NAME },
	{ .title = "a dot in front", .sni = ".allowed.test", .want = TLS_SERVER_NAME },
	{ .title = "nothing but a dot", .sni = ".", .want = TLS_SERVER_NAME },
	{ .title = "a line feed (T-12)", .sni = "allowed.test\n", .want = TLS_SERVER_NAME },
	{ .title = "a space (T-12)", .sni = "allowed.test ", .want = TLS_SERVER_NAME },
	{ .title = "a slash (T-12)", .sni = "allowed.test/x", .want = TLS_SERVER_NAME },
	{ .title = "a port (T-12)", .sni = "allowed.test:443", .want = TLS_SERVER_NAME },
	{ .title = "userinfo", .sni = "a@allowed.test", .want = TLS_SERVER_NAME },
	{ .title = "a dotted quad (T-14)", .sni = "192.0.2.1", .want = TLS_SERVER_NAME },
	{ .title = "a short quad (T-14)", .sni = "127.1", .want = TLS_SERVER_NAME },
	{ .title = "a hexadecimal address (T-14)", .sni = "0x7f000001", .want = TLS_SERVER_NAME },
	{ .title = "an IPv6 address (T-14)", .sni = "2001:db8::1", .want = TLS_SERVER_NAME },
	{ .title = "an IPv6 address in brackets (T-14)", .sni = "[::1]", .want = TLS_SERVER_NAME },
	{ .title = "UTF-8 (T-15)", .sni = "b\xc3\xbc" "cher.test", .want = TLS_SERVER_NAME },
	{ .title = "byte ff (T-15)", .sni = "\xff.test", .want = TLS_SERVER_NAME },
	{ .title = "a wildcard (T-15)", .sni = "*.allowed.test", .want = TLS_SERVER_NAME },
	{ .title = "a label of 64 bytes (T-16)", .sni = LABEL64 ".test", .want = TLS_SERVER_NAME },
	{ .title = "a name of 254 bytes (T-16)", .want = TLS_SERVER_NAME, .sni =
	  "e.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
	  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb."
	  "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc."
	  "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd" },
	{ .title = "a name of 320 bytes (T-16)", .want = TLS_SERVER_NAME, .sni =
	  LABEL64 LABEL64 LABEL64 LABEL64 LABEL64 },
};

static struct guard guard;

/* What was offered comes out as it was written, but for the list's length. */
static void check_alpn(const struct row *row, const struct tls_hello *h)
{
	static struct bytes m;

	m.n = 0;
	if (!row->no_alpn && !row->no_extensions && !row->no_extension_bytes)
		put_hex(&m, row->alpn ? row->alpn : ALPN_HEX);
	assert_int_equal(h->alpn_len, m.n ? m.n - 2 : 0);
	if (m.n)
		assert_memory_equal(h->alpn, m.b + 2, h->alpn_len);
}

static void check_full(const struct row *row, const struct bytes *m, size_t end)
{
	struct tls_hello h;
	long got = sniff_tls(guard_copy(&guard, m->b, m->n), m->n, &h);
	long want = row->want ? row->want : (long)end;

	if (got != want)
		fail_msg("%s: %ld instead of %ld", row->title, got, want);
	if (got > 0) {
		assert_string_equal(h.name, row->name ? row->name : "allowed.test");
		assert_int_equal(h.name_len, strlen(h.name));
		check_alpn(row, &h);
		assert_int_equal(h.ech, row->ech);
		assert_int_equal(h.early_data, row->early_data);
	}
}

/* Cut anywhere, a hello is never accepted early and never refused for another reason. */
static void check_cut(const struct row *row, const struct bytes *m, size_t end)
{
	size_t step = m->n > 2000 ? 61 : 1;

	for (size_t len = 0; len < m->n; len += step) {
		struct tls_hello h;
		long got = sniff_tls(guard_copy(&guard, m->b, len), len, &h);

		if (got > 0 && len >= end && (got == (long)end))
			continue;
		if (got != 0 && got != row->want)
			fail_msg("%s: cut at %zu: %ld", row->title, len, got);
		if (got == 0 && len >= end)
			fail_msg("%s: cut at %zu: more wanted", row->title, len);
		if (got == TLS_OK)
			assert_string_equal(h.name, "");
	}
}

static void test_row(void **state)
{
	static struct bytes m;
	const struct row *row = *state;
	size_t end;

	m.n = 0;
	end = put_records(&m, row);
	check_full(row, &m, end);
	check_cut(row, &m, end);
}

/* Two records, cut at every offset. */
static void test_every_cut(void **state)
{
	static struct bytes m, two;
	const struct row plain = { .title = "two records" };
	size_t len;

	(void)state;
	m.n = 0;
	len = put_records(&m, &plain) - RECORD_HEADER;
	for (size_t cut = 1; cut < len; cut++) {
		two.n = 0;
		put_hex(&two, "16 0303");
		put16(&two, (unsigned)cut);
		put_bytes(&two, m.b + RECORD_HEADER, cut);
		put_hex(&two, "16 0301");
		put16(&two, (unsigned)(len - cut));
		put_bytes(&two, m.b + RECORD_HEADER + cut, len - cut);
		check_full(&plain, &two, two.n);
	}
}

/* Names that fill the list, none of them empty. */
static void check_names(const struct tls_hello *h)
{
	for (size_t at = 0; at < h->alpn_len; at += 1u + h->alpn[at]) {
		assert_int_not_equal(h->alpn[at], 0);
		assert_true(h->alpn[at] < h->alpn_len - at);
	}
}

static void test_every_byte_changed(void **state)
{
	static struct bytes m;
	const struct row plain = { .title = "a changed byte" };

	(void)state;
	for (unsigned v = 0; v < 256; v += 15) {
		for (size_t at = 0; at < 400; at++) {
			struct tls_hello h;

			m.n = 0;
			put_records(&m, &plain);
			if (at >= m.n)
				break;
			m.b[at] = (uint8_t)v;
			if (sniff_tls(guard_copy(&guard, m.b, m.n), m.n, &h) > 0) {
				assert_int_equal(h.name_len, strlen(h.name));
				check_names(&h);
			}
		}
	}
}

static void test_texts(void **state)
{
	(void)state;
	for (int e = 0; e > -TLS_ERRORS; e--) {
		assert_non_null(tls_error_text(e));
		assert_memory_equal(tls_error_code(e), "tls-", 4);
	}
	assert_string_equal(tls_error_code(TLS_DUPLICATE), "tls-duplicate");
	assert_non_null(tls_error_text(1));
	assert_non_null(tls_error_text(-TLS_ERRORS));
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct CMUnitTest tests[ROWS + 3];
	int failed;

	guard_init(&guard, ROOM);
	for (size_t i = 0; i < ROWS; i++) {
		tests[i].name = rows[i].title;
		tests[i].test_func = test_row;
		tests[i].initial_state = (void *)(uintptr_t)&rows[i];
	}
	tests[ROWS] = (struct CMUnitTest)cmocka_unit_test(test_every_cut);
	tests[ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(test_every_byte_changed);
	tests[ROWS + 2] = (struct CMUnitTest)cmocka_unit_test(test_texts);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_fini(&guard);
	return failed;
}
