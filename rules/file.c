/* SPDX-License-Identifier: MIT */
/* Files replaced atomically. */
#include "rules/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_write(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_directory(const char *path, size_t len)
{
	char *directory = len == 0 ? strdup(".") : strndup(path, len);
	int fd, result;

	if (directory == NULL)
		return -1;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(directory);
	if (fd < 0)
		return -1;
	result = fsync(fd);
	close(fd);
	return result;
}

/* Writes the temporary file; closes fd in any case. */
static int fill(int fd, const void *bytes, size_t len, mode_t mode)
{
	mode_t mask = umask(0);
	int error = 0;

	umask(mask);
	if (fchmod(fd, mode & ~mask) < 0 || file_write(fd, bytes, len) < 0 || fsync(fd) < 0)
		error = errno;
	if (close(fd) < 0 && error == 0)
		error = errno;
	errno = error;
	return error == 0 ? 0 : -1;
}

int file_replace(const char *path, const void *bytes, size_t len, bool secret)
{
	const char *slash = strrchr(path, '/');
	size_t directory = slash != NULL ? (size_t)(slash + 1 - path) : 0;
	struct stat st;
	char *temporary;
	int error = 0, fd;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	if (asprintf(&temporary, "%.*s.%s.XXXXXX", (int)directory, path, path + directory) < 0)
		return -1;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		error = errno;
	} else if (fill(fd, bytes, len, secret ? 0600 : 0644) < 0 || rename(temporary, path) < 0) {
		error = errno;
		unlink(temporary);
	} else if (sync_directory(path, directory) < 0) {
		error = errno;
	}
	free(temporary);
	errno = error;
	return error == 0 ? 0 : -1;
}
