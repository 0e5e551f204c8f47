/* SPDX-License-Identifier: MIT */
/* Text files as people write them: read whole, handed out line by line, each line's bytes checked. */
#ifndef SLUICE_RULES_TEXT_H
#define SLUICE_RULES_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/diag.h"

#define TEXT_LINE_MAX 1000       /* bytes of a line, without its ending */
#define TEXT_FILE_MAX (1u << 30) /* bytes of a file */

struct text {
	const char *file; /* for findings */
	char *bytes;      /* malloc'ed */
	size_t len, pos;
	int line;         /* number of the line that was handed out last */
};

/* Reads the file. 0, or -1 with errno (EFBIG: over TEXT_FILE_MAX; EINVAL: neither a file nor a pipe). */
int text_open(struct text *t, const char *path);
/* The same on bytes in memory, which are copied. */
void text_open_bytes(struct text *t, const char *file, const void *bytes, size_t len);
void text_close(struct text *t);

/*
 * The next line, its ending (LF or CRLF) replaced by a NUL; false: no more. What no text file should hold (a NUL, a
 * control byte other than tab, CR elsewhere, a byte order mark, bytes that are not UTF-8, too long a line) becomes a finding, and
 * the line is handed out empty.
 */
bool text_next(struct text *t, struct diag *d, char **line, size_t *len);

#endif
