/* SPDX-License-Identifier: MIT */
/*
 * A text that grows: the body of an admin answer. Memory running out is remembered, so that only
 * the end has to ask.
 */
#ifndef SLUICE_TPROXY_PAGE_H
#define SLUICE_TPROXY_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page {
	char *s;      /* malloc'ed; not NUL-ended */
	size_t len, room;
	bool failed;  /* no memory: what is there is incomplete */
};

void page_init(struct page *p);
void page_fini(struct page *p);
void page_bytes(struct page *p, const char *s, size_t len);
void page_text(struct page *p, const char *s);
void page_u64(struct page *p, uint64_t v);
void page_format(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In double quotes, escaped for JSON (RFC 8259 7); bytes outside ASCII as \u00NN. */
void page_json(struct page *p, const char *s, size_t len);
/* In double quotes, escaped as a Prometheus label value. */
void page_label(struct page *p, const char *s);

#endif
