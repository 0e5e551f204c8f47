/* SPDX-License-Identifier: MIT */
/*
 * What a running program spends, counted by stepping through it, and how long starts take.
 *
 *   step count PID
 *        Steps all threads of PID until the end of stdin, then prints how many instructions.
 *   step ready COMMAND...
 *        Runs COMMAND with its readiness descriptor 3 (s6: one newline); prints the microseconds
 *        until it is ready and its PID, and ends it with SIGTERM when stdin ends.
 *   step time N COMMAND...
 *        Runs COMMAND N times; prints the median microseconds, and the last one's status.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_FD 3
#define RUNS_MAX 1000
#define THREADS_MAX 64

static volatile sig_atomic_t ticked;

static void die(const char *what)
{
	fprintf(stderr, "step: %s: %s\n", what, strerror(errno));
	exit(70);
}

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

/* Counting */

static unsigned seize_all(pid_t pid, pid_t threads[THREADS_MAX])
{
	char path[64];
	unsigned n = 0;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		die(path);
	while ((entry = readdir(dir))) {
		pid_t thread = (pid_t)atoi(entry->d_name);
		if (thread <= 0 || n == THREADS_MAX)
			continue;
		if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0 ||
		    ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0)
			die("ptrace");
		threads[n++] = thread;
	}
	closedir(dir);
	return n;
}

/* Whether the trap of its last step is still to be delivered to a stopped thread. */
static bool trap_pending(pid_t thread)
{
	char path[64], line[128];
	unsigned long long pending = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "SigPnd: %llx", &pending) == 1)
			break;
	if (f)
		fclose(f);
	return pending >> (SIGTRAP - 1) & 1;
}

/* Lets a thread go on as if nothing had been: a trap after the detaching would kill it. */
static void release(pid_t thread)
{
	int status;

	if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0)
		return;
	while (waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status)) {
		if (status >> 16 == PTRACE_EVENT_STOP && !trap_pending(thread)) {
			ptrace(PTRACE_DETACH, thread, 0, 0);
			return;
		}
		if (status >> 16 != PTRACE_EVENT_STOP)
			ptrace(PTRACE_INTERRUPT, thread, 0, 0);
		ptrace(PTRACE_CONT, thread, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
	}
}

static void tick(int signal)
{
	(void)signal;
	ticked = 1;
}

/* Looked at ten times a second. */
static bool stdin_ended(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char byte;

	if (!ticked)
		return false;
	ticked = 0;
	return poll(&in, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

static int count(pid_t pid)
{
	struct sigaction action = { .sa_handler = tick };
	struct itimerval tenth = { { 0, 100000 }, { 0, 100000 } };
	long instructions = 0;
	pid_t threads[THREADS_MAX];
	int status;

	unsigned n = seize_all(pid, threads);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &tenth, NULL);
	printf("stepping\n");
	fflush(stdout);
	while (!stdin_ended()) {
		pid_t thread = waitpid(-1, &status, __WALL);
		if (thread < 0 && errno != EINTR)
			die("waitpid");
		if (thread < 0 || !WIFSTOPPED(status))
			continue;
		bool step = WSTOPSIG(status) == SIGTRAP;
		if (step && !(status >> 16))
			instructions++;
		/* Signals of its own are handed on. */
		ptrace(PTRACE_SINGLESTEP, thread, 0, step ? 0 : WSTOPSIG(status));
	}
	for (unsigned i = 0; i < n; i++)
		release(threads[i]);
	printf("%ld\n", instructions);
	return 0;
}

/* Timing */

static pid_t launch(char **command, int ready)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (ready >= 0 && ready != READY_FD)
			dup2(ready, READY_FD);
		execvp(command[0], command);
		_exit(127);
	}
	if (pid < 0)
		die("fork");
	return pid;
}

static int ready(char **command)
{
	int ends[2], status;
	char byte;

	/* READY_FD itself stays free for the child. */
	while (fcntl(READY_FD, F_GETFD) < 0 && open("/dev/null", O_RDONLY | O_CLOEXEC) < READY_FD)
		;
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	long start = now_us();
	pid_t pid = launch(command, ends[1]);
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1)
		die(command[0]);
	printf("%ld %d\n", now_us() - start, (int)pid);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return x < y ? -1 : x > y;
}

static int measure(int n, char **command)
{
	static long took[RUNS_MAX];
	int status = 0;

	for (int i = 0; i < n && i < RUNS_MAX; i++) {
		long start = now_us();
		pid_t pid = launch(command, -1);
		waitpid(pid, &status, 0);
		took[i] = now_us() - start;
	}
	qsort(took, (size_t)n, sizeof(took[0]), compare);
	printf("%ld %d\n", took[n / 2], WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "count") == 0)
		return count((pid_t)atoi(argv[2]));
	if (argc > 2 && strcmp(argv[1], "ready") == 0)
		return ready(argv + 2);
	int runs = argc > 3 ? atoi(argv[2]) : 0;
	if (runs > 0 && runs <= RUNS_MAX && strcmp(argv[1], "time") == 0)
		return measure(runs, argv + 3);
	fprintf(stderr, "usage: step count|ready|time ...: see the top of step.c\n");
	return 64;
}
