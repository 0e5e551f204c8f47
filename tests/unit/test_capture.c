/* SPDX-License-Identifier: MIT */
/*
 * rules/capture.c: the secret mark's file, written whole and private, and read only when it is
 * exactly right.
 */
#include "rules/capture.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static char directory[] = "/tmp/test-capture-XXXXXX";

static int open_at(const char *name, int flags)
{
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(dir, name, flags | O_CLOEXEC, 0600);

	assert_true(dir >= 0);
	close(dir);
	return fd;
}

static void write_mark(const char *text, size_t len)
{
	int fd = open_at(CAPTURE_MARK_FILE, O_WRONLY | O_CREAT | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void remove_mark(void)
{
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	unlinkat(dir, CAPTURE_MARK_FILE, 0);
	unlinkat(dir, NEW_FILE, 0);
	close(dir);
}

static void test_round_trip(void **state)
{
	static const uint32_t secrets[] = {4, 0x12345678, 0xfffffffc, 0xdeadbee0, 0x736c7564};
	struct stat st;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		uint32_t secret = 0;

		assert_int_equal(capture_mark_write(directory, secrets[i], getuid(), getgid()), 0);
		assert_int_equal(capture_mark_read(directory, &secret), 0);
		assert_int_equal(secret, secrets[i]);
	}
	fd = open_at(CAPTURE_MARK_FILE, O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(st.st_uid, getuid());
	assert_int_equal(st.st_size, 9);
	close(fd);
	assert_true(open_at(NEW_FILE, O_RDONLY) < 0);
	remove_mark();
}

/* What a writer left behind that was cut off neither stops the next one nor is read. */
static void test_left_over(void **state)
{
	uint32_t secret;
	int fd = open_at(NEW_FILE, O_WRONLY | O_CREAT);

	(void)state;
	assert_int_equal(write(fd, "1234", 4), 4);
	close(fd);
	assert_int_equal(capture_mark_read(directory, &secret), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(capture_mark_write(directory, 0x10, getuid(), getgid()), 0);
	assert_int_equal(capture_mark_read(directory, &secret), 0);
	assert_int_equal(secret, 0x10);
	remove_mark();
}

static void test_bad_text(void **state)
{
	static const struct { const char *text; size_t len; } rows[] = {
		{"", 0}, {"\n", 1}, {"1234567\n", 8}, {"12345678", 8}, {"123456780\n", 10},
		{"12345678\n\n", 10}, {"12345678 ", 9},
		{"1234567C\n", 9}, {"0x345678\n", 9}, {" 2345678\n", 9}, {"1234567g\n", 9},
		{"12345678\0", 9}, {"1234\0" "678\n", 9},
		{"00000000\n", 9}, {"12345679\n", 9}, {"1234567a\n", 9}, {"1234567b\n", 9},
		{"736c7560\n", 9}, {"00000003\n", 9},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t secret = 77;

		write_mark(rows[i].text, rows[i].len);
		errno = 0;
		if (capture_mark_read(directory, &secret) != -1 || errno != EBADMSG || secret != 77)
			fail_msg("row %zu is read as %08x, errno %d", i, secret, errno);
	}
	remove_mark();
}

static void test_bad_kinds(void **state)
{
	uint32_t secret;
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(capture_mark_read("/nonexistent", &secret), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(symlinkat("elsewhere", dir, CAPTURE_MARK_FILE), 0);
	assert_int_equal(capture_mark_read(directory, &secret), -1);
	assert_int_equal(errno, ELOOP);
	remove_mark();
	assert_int_equal(mkfifoat(dir, CAPTURE_MARK_FILE, 0600), 0);
	assert_int_equal(capture_mark_read(directory, &secret), -1);
	assert_int_equal(errno, EBADMSG);
	/* A symbolic link in the file's place is replaced, not followed. */
	remove_mark();
	assert_int_equal(symlinkat("elsewhere", dir, CAPTURE_MARK_FILE), 0);
	assert_int_equal(capture_mark_write(directory, 0x20, getuid(), getgid()), 0);
	assert_int_equal(capture_mark_read(directory, &secret), 0);
	assert_int_equal(faccessat(dir, "elsewhere", F_OK, 0), -1);
	remove_mark();
	close(dir);
}

static void test_not_written(void **state)
{
	static const uint32_t secrets[] = {0, 1, 2, 3, 0x12345679, 0x736c7560, 0x736c7563};

	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		assert_int_equal(capture_mark_write(directory, secrets[i], getuid(), getgid()), -1);
		assert_int_equal(errno, EINVAL);
	}
	assert_true(open_at(CAPTURE_MARK_FILE, O_RDONLY) < 0);
	assert_int_equal(capture_mark_write("/nonexistent", 0x40, getuid(), getgid()), -1);
	assert_int_equal(errno, ENOENT);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
	(void)state;
	remove_mark();
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_left_over),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_bad_kinds),
		cmocka_unit_test(test_not_written),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
