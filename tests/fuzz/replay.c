/* SPDX-License-Identifier: MIT */
/* Gives every seed in the directories named to a fuzz target once, and prints TAP. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The copy is exactly as large as the seed, so that AddressSanitizer sees one byte of over-read. */
static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t len;

	if (file == NULL || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) {
		printf("# %s: %s\n", path, file == NULL ? strerror(errno) : "not a file");
		if (file != NULL)
			fclose(file);
		return -1;
	}
	len = (size_t)st.st_size;
	data = malloc(len > 0 ? len : 1);
	if (data == NULL)
		abort();
	if (fread(data, 1, len, file) != len) {
		printf("# %s: cannot be read\n", path);
		len = SIZE_MAX;
	}
	fclose(file);
	if (len != SIZE_MAX)
		LLVMFuzzerTestOneInput(data, len);
	free(data);
	return len != SIZE_MAX ? 0 : -1;
}

/* Returns how many seeds were replayed, and adds those that could not be to *failed. */
static int replay_directory(const char *directory, int *failed)
{
	struct dirent **entries;
	char path[4096];
	int n = scandir(directory, &entries, visible, alphasort);

	if (n < 0) {
		fprintf(stderr, "replay: %s: %s\n", directory, strerror(errno));
		exit(66);
	}
	for (int i = 0; i < n; i++) {
		int bad;

		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		bad = replay_file(path) != 0;
		printf("%sok - %s\n", bad ? "not " : "", entries[i]->d_name);
		fflush(stdout);
		*failed += bad;
		free(entries[i]);
	}
	free(entries);
	return n;
}

int main(int argc, char **argv)
{
	int failed = 0;
	int n = 1;

	if (argc < 2) {
		fprintf(stderr, "usage: replay DIRECTORY...\n");
		return 64;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("ok - nothing at all\n");
	for (int i = 1; i < argc; i++)
		n += replay_directory(argv[i], &failed);
	printf("1..%d\n", n);
	return failed > 0;
}
