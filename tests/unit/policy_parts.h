/* SPDX-License-Identifier: MIT */
/* A compiled policy taken apart, to be put together again with something else in it. */
#ifndef TESTS_UNIT_POLICY_PARTS_H
#define TESTS_UNIT_POLICY_PARTS_H

#include "policy_model.h"
#include "rules/crc32c.h"

static inline void fix_crc(uint8_t *b, size_t len)
{
	put_le32(b + HEADER_CRC, 0);
	put_le32(b + HEADER_CRC, crc32c(0, b, len));
}

struct parts {
	uint8_t *b[FORMAT_SECTIONS];
	size_t n[FORMAT_SECTIONS];
	uint32_t records[FORMAT_SECTIONS];
	uint8_t header[HEADER_SIZE];
};

static inline void parts_init(struct parts *p, const uint8_t *bytes)
{
	memcpy(p->header, bytes, HEADER_SIZE);
	for (size_t i = 0; i < FORMAT_SECTIONS; i++) {
		const uint8_t *entry = bytes + HEADER_SIZE + i * SECTION_SIZE;

		p->n[i] = get_le32(entry + SECTION_BYTES);
		p->records[i] = get_le32(entry + SECTION_RECORDS);
		p->b[i] = malloc(p->n[i] + 256);
		assert_non_null(p->b[i]);
		memcpy(p->b[i], bytes + get_le32(entry + SECTION_OFFSET), p->n[i]);
	}
}

static inline uint8_t *parts_join(struct parts *p, size_t *len)
{
	size_t end = HEADER_SIZE + FORMAT_SECTIONS * SECTION_SIZE, room = end;
	uint8_t *b;

	for (size_t i = 0; i < FORMAT_SECTIONS; i++)
		room += p->n[i] + 7;
	b = calloc(1, room);
	assert_non_null(b);
	memcpy(b, p->header, HEADER_SIZE);
	for (size_t i = 0; i < FORMAT_SECTIONS; i++) {
		uint8_t *entry = b + HEADER_SIZE + i * SECTION_SIZE;

		end = (end + 7) & ~(size_t)7;
		put_le32(entry + SECTION_OFFSET, (uint32_t)end);
		put_le32(entry + SECTION_BYTES, (uint32_t)p->n[i]);
		put_le32(entry + SECTION_RECORDS, p->records[i]);
		memcpy(b + end, p->b[i], p->n[i]);
		end += p->n[i];
		free(p->b[i]);
	}
	put_le32(b + HEADER_LENGTH, (uint32_t)end);
	fix_crc(b, end);
	*len = end;
	return b;
}

static inline void insert(struct parts *p, enum format_section section, size_t at, const void *bytes,
		   size_t len, uint32_t records)
{
	memmove(p->b[section] + at + len, p->b[section] + at, p->n[section] - at);
	memcpy(p->b[section] + at, bytes, len);
	p->n[section] += len;
	p->records[section] += records;
}

static inline void cut(struct parts *p, enum format_section section, size_t at, size_t len)
{
	memmove(p->b[section] + at, p->b[section] + at + len, p->n[section] - at - len);
	p->n[section] -= len;
	p->records[section]--;
}

static inline void add_to(uint8_t *word, uint32_t n)
{
	put_le32(word, get_le32(word) + n);
}

static inline void swap_words(uint8_t *a, uint8_t *b)
{
	uint32_t kept = get_le32(a);

	put_le32(a, get_le32(b));
	put_le32(b, kept);
}

struct craft { void (*craft)(struct parts *p); const char *text; };

/* That what each row makes of model_full() is refused with its text. */
static inline void expect_crafted(const struct craft *rows, size_t n)
{
	struct model m;
	size_t len;
	uint8_t *bytes;

	model_full(&m);
	bytes = model_bytes(&m, &len);
	for (size_t i = 0; i < n; i++) {
		struct policy_error e = {.text = ""};
		struct policy p;
		struct parts parts;
		size_t crafted_len;
		uint8_t *crafted;

		parts_init(&parts, bytes);
		rows[i].craft(&parts);
		crafted = parts_join(&parts, &crafted_len);
		if (policy_open_bytes(&p, crafted, crafted_len, &e) != -1 ||
		    strstr(e.text, rows[i].text) == NULL)
			fail_msg("row %zu: \"%s\", not \"%s\"", i, e.text, rows[i].text);
		free(crafted);
	}
	model_free(&m);
	free(bytes);
}

#endif
