/* SPDX-License-Identifier: MIT */
/*
 * The ring that a worker's access-log lines wait in. head and tail count bytes from the start and
 * are never reduced; a byte's place is its count modulo the size. The ring holds whole lines, but
 * for the first when a file took only a part of it.
 */
#include "tproxy/access.h"

#include <stdlib.h>
#include <string.h>

#include "tproxy/access_sink.h"

struct access_log {
	struct access_sink *sink;
	enum policy_log_format format;
	size_t head, tail;  /* read from here; written up to here */
	size_t size;
	bool torn;          /* the byte at head is not the first of its line */
	struct access_date date;
	char ring[];
};

struct access_log *access_log_open(struct access_sink *s, enum policy_log_format format,
                                   size_t bytes)
{
	struct access_log *l = malloc(sizeof(*l) + bytes);

	if (!l)
		return NULL;
	memset(l, 0, sizeof(*l));
	l->sink = s;
	l->format = format;
	l->size = bytes;
	return l;
}

void access_log_close(struct access_log *l)
{
	free(l);
}

static size_t place(const struct access_log *l, size_t count)
{
	return count & (l->size - 1);
}

static void pieces(const struct access_log *l, struct iovec piece[2])
{
	size_t used = l->tail - l->head, at = place(l, l->head);
	size_t first = used < l->size - at ? used : l->size - at;

	piece[0] = (struct iovec){ .iov_base = (void *)(l->ring + at), .iov_len = first };
	piece[1] = (struct iovec){ .iov_base = (void *)l->ring, .iov_len = used - first };
}

size_t access_flush(struct access_log *l)
{
	while (l->head != l->tail) {
		struct iovec piece[2];
		if (access_sink_is_off(l->sink)) {
			l->head = l->tail;
			break;
		}
		pieces(l, piece);
		size_t n = access_sink_write(l->sink, piece);
		if (!n)
			break;
		l->head += n;
		l->torn = l->ring[place(l, l->head - 1)] != '\n';
	}
	return l->tail - l->head;
}

/* The rest of a line whose start another sink has. */
static void drop_torn(struct access_log *l)
{
	while (l->torn && l->head != l->tail)
		l->torn = l->ring[place(l, l->head++)] != '\n';
	l->torn = false;
}

void access_log_switch(struct access_log *l, struct access_sink *s, enum policy_log_format format)
{
	if (s != l->sink) {
		access_flush(l);
		drop_torn(l);
	}
	l->sink = s;
	l->format = format;
}

int access_put(struct access_log *l, const struct access_record *r)
{
	char line[ACCESS_LINE_MAX];
	size_t at = place(l, l->tail), left = l->size - (l->tail - l->head);

	if (access_sink_is_off(l->sink))
		return 0;
	/* Mostly the line can be made where it will lie. */
	if (left >= ACCESS_LINE_MAX && l->size - at >= ACCESS_LINE_MAX) {
		l->tail += access_format(r, l->format, &l->date, l->ring + at, ACCESS_LINE_MAX);
		return 0;
	}
	size_t len = access_format(r, l->format, &l->date, line, sizeof(line));
	if (len > left)
		return -1;
	size_t first = len < l->size - at ? len : l->size - at;
	memcpy(l->ring + at, line, first);
	memcpy(l->ring, line + first, len - first);
	l->tail += len;
	return 0;
}
