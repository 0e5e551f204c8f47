/* SPDX-License-Identifier: MIT */
/* Other programs, run without a shell. */
#include "init/program.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init/message.h"

enum { IN, OUT, ERR, PIPES, CHUNK = 1 << 16, CANNOT_RUN = 127, NAP = 64 /* ms */ };

/* Our ends of the pipes, -1 when closed. */
struct run {
	int fd[PIPES];
	pid_t pid;
	const char *input;
	size_t left; /* of the input */
	char *out;
	size_t n_out, room;
	char err[CHUNK];
	size_t n_err;
	int64_t end; /* of its time */
};

bool program_find(const char *name, char path[static PROGRAM_PATH])
{
	static const char *const directories[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin"};
	struct stat st;

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		int n = snprintf(path, PROGRAM_PATH, "%s/%s", directories[i], name);

		if (n > 0 && n < PROGRAM_PATH && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
			(st.st_mode & 0111) != 0)
			return true;
	}
	return false;
}

static void close_pipe(struct run *r, int which)
{
	if (r->fd[which] >= 0)
		(void)close(r->fd[which]);
	r->fd[which] = -1;
}

/* In the child; what is not 0, 1 or 2 closes itself. */
static void become(const char *path, const char *const argv[], const int fd[PIPES])
{
	static const char *const environment[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};

	for (int i = 0; i < PIPES; i++)
		if (dup2(fd[i], i) < 0)
			_exit(CANNOT_RUN);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve(path, (char *const *)argv, (char *const *)environment);
	_exit(CANNOT_RUN);
}

/* 0 or an errno. No pipe's number is below 3, or dup2() would lose one: see open_standard(). */
static int start(struct run *r, const char *path, const char *const argv[])
{
	int theirs[PIPES] = {-1, -1, -1}, err = 0;

	for (int i = 0; i < PIPES && err == 0; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) != 0) {
			err = errno;
			break;
		}
		r->fd[i] = ends[i == IN];
		theirs[i] = ends[i != IN];
		if (fcntl(r->fd[i], F_SETFL, O_NONBLOCK) != 0)
			err = errno;
	}
	if (err == 0) {
		r->pid = fork();
		if (r->pid == 0)
			become(path, argv, theirs);
		err = r->pid < 0 ? errno : 0;
	}
	for (int i = 0; i < PIPES; i++)
		if (theirs[i] >= 0)
			(void)close(theirs[i]);
	return err;
}

/* A caller may have closed standard input, output or error. 0 or an errno. */
static int open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd < PIPES);
	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static void feed(struct run *r)
{
	ssize_t n = write(r->fd[IN], r->input, r->left);

	if (n > 0) {
		r->input += n;
		r->left -= (size_t)n;
	}
	if (r->left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_pipe(r, IN); /* it has what it wants: its exit status says the rest */
}

/* 0 or an errno. */
static int drain(struct run *r)
{
	ssize_t n;

	if (r->room - r->n_out < CHUNK + 1u) {
		size_t room = r->room * 2 + 2 * CHUNK;
		char *out = room > PROGRAM_OUTPUT ? NULL : realloc(r->out, room);

		if (out == NULL)
			return room > PROGRAM_OUTPUT ? EFBIG : ENOMEM;
		r->out = out;
		r->room = room;
	}
	n = read(r->fd[OUT], r->out + r->n_out, CHUNK);
	if (n > 0)
		r->n_out += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_pipe(r, OUT);
	r->out[r->n_out] = '\0';
	return 0;
}

/* What is past the beginning is read and forgotten. */
static void listen_to(struct run *r)
{
	char more[CHUNK];
	bool full = r->n_err == sizeof(r->err);
	ssize_t n = read(r->fd[ERR], full ? more : r->err + r->n_err,
		full ? sizeof(more) : sizeof(r->err) - r->n_err);

	if (n > 0 && !full)
		r->n_err += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_pipe(r, ERR);
}

static int64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until it has closed its output. 0 or an errno. */
static int talk(struct run *r)
{
	int err = 0;

	while (err == 0 && (r->fd[OUT] >= 0 || r->fd[ERR] >= 0)) {
		struct pollfd p[PIPES] = {
			{r->fd[IN], POLLOUT, 0}, {r->fd[OUT], POLLIN, 0}, {r->fd[ERR], POLLIN, 0}};
		int64_t left = r->end - now();

		if (left <= 0)
			return ETIMEDOUT;
		if (poll(p, PIPES, (int)left) < 0 && errno != EINTR)
			return errno;
		if (r->fd[IN] >= 0 && p[IN].revents != 0)
			feed(r);
		if (r->fd[OUT] >= 0 && p[OUT].revents != 0)
			err = drain(r);
		if (r->fd[ERR] >= 0 && p[ERR].revents != 0)
			listen_to(r);
	}
	return err;
}

/*
 * Waits for it, and kills it when it went wrong or its time is over: it may go on without its output.
 * What is not known to have gone well did not.
 */
static void finish(struct run *r, struct program_result *result)
{
	int status = 0;
	pid_t pid = 0;

	for (int nap = 1; pid != r->pid; nap = nap < NAP ? nap * 2 : NAP) {
		if (result->err == 0 && now() >= r->end)
			result->err = ETIMEDOUT;
		if (result->err != 0)
			(void)kill(r->pid, SIGKILL);
		pid = waitpid(r->pid, &status, result->err != 0 ? 0 : WNOHANG);
		if (pid == 0)
			(void)nanosleep(&(struct timespec){.tv_nsec = nap * 1000000L}, NULL);
		if (pid >= 0 || errno == EINTR)
			continue;
		result->err = result->err != 0 ? result->err : errno;
		return;
	}
	result->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (result->err == 0 && result->status == CANNOT_RUN)
		result->err = ENOEXEC;
}

/* The first line that says something, made fit for a message. */
static void take_line(const struct run *r, char line[static PROGRAM_LINE])
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_err && n < PROGRAM_LINE - 1; i++) {
		char c = r->err[i];

		if (c == '\n' && n > 0)
			break;
		if (n > 0 || !isspace((unsigned char)c))
			line[n++] = isprint((unsigned char)c) ? c : '?';
	}
	line[n] = '\0';
}

void program_run(const char *path, const char *const argv[], const char *input,
	struct program_result *result)
{
	static struct run run;

	run = (struct run){.fd = {-1, -1, -1}, .input = input, .left = strlen(input),
		.end = now() + PROGRAM_SECONDS * 1000};
	memset(result, 0, sizeof(*result));
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit status away */
	result->err = open_standard();
	if (result->err == 0)
		result->err = start(&run, path, argv);
	if (result->err == 0)
		result->err = talk(&run);
	for (int i = 0; i < PIPES; i++)
		close_pipe(&run, i);
	if (run.pid > 0)
		finish(&run, result);
	take_line(&run, result->line);
	if (result->err == ENOMEM)
		message_out_of_memory();
	if (result->err != 0) {
		free(run.out);
		run.out = NULL;
	}
	result->out = run.out;
}
