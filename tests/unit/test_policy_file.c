/* SPDX-License-Identifier: MIT */
/* policy_open(): which files it takes, and that what it opens is a copy that nobody can change. */
/* LINK: rules/emit_gateway.c rules/gateway.c rules/verify_gateway.c rules/word.c */
/* LINK: rules/http_rule.c rules/traffic.c */
/* LINK: rules/addr.c rules/addr_class.c rules/address_table.c rules/crc32c.c rules/emit.c */
/* LINK: rules/host_table.c rules/model.c rules/name.c rules/pool.c rules/port_table.c */
/* LINK: rules/verify.c rules/verify_record.c rules/verify_table.c */
/* LINK: rules/verify_rule.c rules/verify_traffic.c rules/base64.c rules/emit_rule.c */
/* LINK: rules/emit_traffic.c */
#include "rules/policy.c"

#include "policy_model.h"

static char directory[] = "/tmp/test-policy-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void expect_open_fails(const char *name, int error, const char *text)
{
	struct policy_error e = {.text = ""};
	struct policy p;

	errno = 0;
	assert_int_equal(policy_open(&p, path_of(name), &e), -1);
	if (errno != error || strstr(e.text, text) == NULL)
		fail_msg("%s: errno %d \"%s\", not %d \"%s\"", name, errno, e.text, error, text);
	assert_true(p.fd == -1 && p.base == NULL);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_file_kinds(void **state)
{
	struct model m;
	size_t len;
	uint8_t *bytes;
	int before = open_descriptors(), fd;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	write_file("good", bytes, len);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(symlinkat("nowhere", fd, "dangling"), 0);
	assert_int_equal(symlinkat("loop", fd, "loop"), 0);
	close(fd);
	assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
	write_file("empty", "", 0);
	write_file("short", bytes, HEADER_SIZE - 1);
	write_file("cut", bytes, len - 1);
	write_file("large", "", 0);
	assert_int_equal(truncate(path_of("large"), (off_t)4 << 30), 0);
	expect_open_fails("missing", ENOENT, "open: No such file or directory");
	expect_open_fails("dangling", ENOENT, "open: No such file or directory");
	expect_open_fails("loop", ELOOP, "open: ");
	expect_open_fails("pipe", EINVAL, "neither a regular file nor a block device");
	expect_open_fails(".", EISDIR, "neither a regular file nor a block device");
	expect_open_fails("empty", EBADMSG, "too short for a policy");
	expect_open_fails("short", EBADMSG, "too short for a policy");
	expect_open_fails("cut", EBADMSG, "but the header says");
	expect_open_fails("large", EBADMSG, "too large for a policy");
	bytes[2] = 'x';
	write_file("foreign", bytes, len);
	expect_open_fails("foreign", EBADMSG, "not a compiled policy");
	assert_int_equal(open_descriptors(), before);
	model_free(&m);
	free(bytes);
}

/* What has been opened is a copy that nobody can change, and needs the file no more. */
static void test_file_copy(void **state)
{
	struct model m;
	struct policy_error e;
	struct policy p;
	size_t len;
	uint8_t *bytes;
	int before = open_descriptors(), seals;

	(void)state;
	model_full(&m);
	bytes = model_bytes(&m, &len);
	write_file("policy", bytes, len);
	assert_int_equal(policy_open(&p, path_of("policy"), &e), 0);
	assert_int_equal(truncate(path_of("policy"), 0), 0);
	assert_int_equal(p.len, len);
	assert_memory_equal(p.base, bytes, len);
	seals = fcntl(p.fd, F_GET_SEALS);
	assert_int_equal(seals & 15, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pwrite(p.fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(p.fd, 0), -1);
	policy_close(&p);
	assert_true(p.fd == -1 && p.base == NULL);
	policy_close(&p);
	assert_int_equal(open_descriptors(), before);
	model_free(&m);
	free(bytes);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {"good",  "dangling", "loop",  "pipe",    "empty",
					    "short", "cut",      "large", "foreign", "policy"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_kinds),
		cmocka_unit_test(test_file_copy),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
