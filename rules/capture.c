/* SPDX-License-Identifier: MIT */
/* The secret mark: how sluice-init hands it to sluice-tproxy. */
#include "rules/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_LEN 9 /* eight digits and a newline */
#define NEW_FILE CAPTURE_MARK_FILE ".new"

static const char digits[] = "0123456789abcdef";

static bool is_drawn(uint32_t secret)
{
	return secret != 0 && (secret & 3) == 0 && secret != (CAPTURE_MARK & ~3u);
}

static int open_dir(const char *dir)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Closes without losing errno. Returns -1. */
static int give_up(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

static int text_parse(const char *text, size_t len, uint32_t *secret)
{
	uint32_t v = 0;

	errno = EBADMSG;
	if (len != TEXT_LEN || text[TEXT_LEN - 1] != '\n')
		return -1;
	for (size_t i = 0; i < TEXT_LEN - 1; i++) {
		const char *digit = memchr(digits, text[i], 16);

		if (digit == NULL)
			return -1;
		v = v << 4 | (uint32_t)(digit - digits);
	}
	if (!is_drawn(v))
		return -1;
	*secret = v;
	return 0;
}

static int file_read(int fd, uint32_t *secret)
{
	char text[TEXT_LEN + 1]; /* one byte more than there may be */
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EBADMSG;
		return -1;
	}
	n = read(fd, text, sizeof(text));
	return n < 0 ? -1 : text_parse(text, (size_t)n, secret);
}

int capture_mark_read(const char *dir, uint32_t *secret)
{
	int at = open_dir(dir), fd;

	if (at < 0)
		return -1;
	fd = openat(at, CAPTURE_MARK_FILE,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return give_up(at);
	close(at);
	if (file_read(fd, secret) != 0)
		return give_up(fd);
	close(fd);
	return 0;
}

static int file_write(int fd, uint32_t secret, uint32_t uid, uint32_t gid)
{
	char text[TEXT_LEN];
	ssize_t n;

	for (int i = 0; i < TEXT_LEN - 1; i++)
		text[i] = digits[secret >> (28 - 4 * i) & 15];
	text[TEXT_LEN - 1] = '\n';
	/*
	 * Given away before it holds anything, and last: the mode of another's file takes
	 * CAP_FOWNER to change.
	 */
	if (fchmod(fd, 0400) != 0 || fchown(fd, uid, gid) != 0)
		return -1;
	n = write(fd, text, sizeof(text));
	if (n >= 0 && n != (ssize_t)sizeof(text))
		errno = ENOSPC;
	return n == (ssize_t)sizeof(text) ? fsync(fd) : -1;
}

/* Makes the new file and puts it in the place of the old one. */
static int file_replace(int dir, uint32_t secret, uint32_t uid, uint32_t gid)
{
	int fd = openat(dir, NEW_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);

	if (fd < 0)
		return -1;
	if (file_write(fd, secret, uid, gid) != 0)
		return give_up(fd);
	if (close(fd) != 0 || renameat(dir, NEW_FILE, dir, CAPTURE_MARK_FILE) != 0)
		return -1;
	return fsync(dir);
}

int capture_mark_write(const char *dir, uint32_t secret, uint32_t uid, uint32_t gid)
{
	int at, error;

	if (!is_drawn(secret)) {
		errno = EINVAL;
		return -1;
	}
	at = open_dir(dir);
	if (at < 0)
		return -1;
	/* What a writer that was cut off left behind. */
	if (unlinkat(at, NEW_FILE, 0) != 0 && errno != ENOENT)
		return give_up(at);
	if (file_replace(at, secret, uid, gid) != 0) {
		error = errno;
		unlinkat(at, NEW_FILE, 0);
		errno = error;
		return give_up(at);
	}
	close(at);
	return 0;
}
