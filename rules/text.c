/* SPDX-License-Identifier: MIT */
/* Text files: read whole, handed out line by line, each line's bytes checked. */
#include "rules/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static int read_all(struct text *t, int fd, size_t room)
{
	for (;;) {
		ssize_t n;

		if (t->len + 1 >= room) {
			char *bytes;

			if (room > TEXT_FILE_MAX) {
				errno = EFBIG;
				return -1;
			}
			room *= 2;
			bytes = realloc(t->bytes, room);
			if (bytes == NULL)
				return -1;
			t->bytes = bytes;
		}
		n = read(fd, t->bytes + t->len, room - t->len - 1);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			t->len += (size_t)n;
	}
}

int text_open(struct text *t, const char *path)
{
	struct stat st;
	size_t room = 4096;
	int error = 0, fd;

	*t = (struct text){ .file = path };
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0) {
		error = errno;
	} else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)) {
		error = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	} else if (st.st_size > TEXT_FILE_MAX) {
		error = EFBIG;
	} else {
		if (S_ISREG(st.st_mode))
			room += (size_t)st.st_size;
		t->bytes = malloc(room);
		if (t->bytes == NULL || read_all(t, fd, room) < 0)
			error = errno;
	}
	close(fd);
	if (error == 0)
		return 0;
	text_close(t);
	errno = error;
	return -1;
}

void text_open_bytes(struct text *t, const char *file, const void *bytes, size_t len)
{
	*t = (struct text){ .file = file, .bytes = malloc(len + 1), .len = len };
	if (t->bytes == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	if (len > 0)
		memcpy(t->bytes, bytes, len);
}

void text_close(struct text *t)
{
	free(t->bytes);
	t->bytes = NULL;
	t->len = t->pos = 0;
}

/* Bytes of the UTF-8 character at s (RFC 3629), 0: not one, or a control character U+0080 to U+009F. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
	size_t n = s[0] >= 0xc2 && s[0] <= 0xdf	  ? 2
		   : s[0] >= 0xe0 && s[0] <= 0xef ? 3
		   : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
						  : 0;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* What is wrong with the line's bytes, or NULL. */
static const char *line_fault(const unsigned char *s, size_t len, bool first)
{
	if (first && len >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
		return "a byte order mark";
	for (size_t i = 0; i < len;) {
		size_t n = 1;

		if (s[i] == '\0')
			return "a NUL byte";
		if (s[i] == '\r')
			return "a carriage return that does not end the line";
		if ((s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			return "a control character";
		if (s[i] >= 0x80)
			n = utf8_length(s + i, len - i);
		if (n == 0)
			return "bytes that are not UTF-8 text";
		i += n;
	}
	return NULL;
}

bool text_next(struct text *t, struct diag *d, char **line, size_t *len)
{
	char *start = t->bytes + t->pos;
	size_t left = t->len - t->pos;
	char *end;
	const char *fault = NULL;

	if (left == 0)
		return false;
	end = memchr(start, '\n', left);
	*len = end != NULL ? (size_t)(end - start) : left;
	t->pos += *len + (end != NULL);
	t->line++;
	if (end != NULL && *len > 0 && start[*len - 1] == '\r')
		(*len)--;
	start[*len] = '\0';
	*line = start;
	if (*len > TEXT_LINE_MAX)
		diag_error(d, (struct model_at){ t->file, t->line },
			   "the line is longer than %d bytes", TEXT_LINE_MAX);
	else if ((fault = line_fault((const unsigned char *)start, *len, t->line == 1)) != NULL)
		diag_error(d, (struct model_at){ t->file, t->line }, "the line holds %s", fault);
	else
		return true;
	*start = '\0';
	*len = 0;
	return true;
}
