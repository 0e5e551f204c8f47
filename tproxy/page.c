/* SPDX-License-Identifier: MIT */
/* A text that grows. */
#include "tproxy/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_FIRST 4096u

void page_init(struct page *p)
{
	memset(p, 0, sizeof(*p));
}

void page_fini(struct page *p)
{
	free(p->s);
	page_init(p);
}

static bool make_room(struct page *p, size_t len)
{
	if (p->failed)
		return false;
	if (len <= p->room - p->len)
		return true;
	size_t room = p->room ? p->room : PAGE_FIRST;
	while (room - p->len < len && room <= SIZE_MAX / 2)
		room *= 2;
	char *s = room - p->len < len ? NULL : realloc(p->s, room);
	if (!s) {
		p->failed = true;
		return false;
	}
	p->s = s;
	p->room = room;
	return true;
}

void page_bytes(struct page *p, const char *s, size_t len)
{
	if (!len || !make_room(p, len))
		return;
	memcpy(p->s + p->len, s, len);
	p->len += len;
}

void page_text(struct page *p, const char *s)
{
	page_bytes(p, s, strlen(s));
}

void page_u64(struct page *p, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	page_bytes(p, digits + at, sizeof(digits) - at);
}

void page_format(struct page *p, const char *format, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		p->failed = true;
	else
		page_bytes(p, line, (size_t)n);
}

void page_json(struct page *p, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	page_text(p, "\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\') {
			page_bytes(p, (char[]){ '\\', (char)c }, 2);
		} else if (c < 0x20 || c > 0x7e) {
			page_bytes(p, (char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
		} else {
			page_bytes(p, &s[i], 1);
		}
	}
	page_text(p, "\"");
}

void page_label(struct page *p, const char *s)
{
	page_text(p, "\"");
	for (; *s; s++) {
		if (*s == '\n')
			page_text(p, "\\n");
		else if (*s == '"' || *s == '\\')
			page_bytes(p, (char[]){ '\\', *s }, 2);
		else
			page_bytes(p, s, 1);
	}
	page_text(p, "\"");
}
