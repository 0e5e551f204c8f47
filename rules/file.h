/* SPDX-License-Identifier: MIT */
/* Files written so that a reader sees the old one or the new one, whole, whatever happens in between. */
#ifndef SLUICE_RULES_FILE_H
#define SLUICE_RULES_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes a temporary file beside path, syncs it, renames it onto path and syncs the directory. 0; or -1 with errno, and
 * path as it was (EEXIST: path is there and not a regular file). What is secret is for its owner alone.
 */
int file_replace(const char *path, const void *bytes, size_t len, bool secret);
/* 0, or -1 with errno. */
int file_write(int fd, const void *bytes, size_t len);

#endif
