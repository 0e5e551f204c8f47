/* SPDX-License-Identifier: MIT */
/* The program that runs under the rules. */
#include "init/child.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init/message.h"

enum { PAUSE_MIN = 100, PAUSE_MAX = 10000, STATUS_NO_PROGRAM = 127 };

uint64_t child_clock(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Our descriptors are all closed on exec; what is ignored would stay so, hence the default. */
static void become(const struct child *c)
{
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
	(void)execvp(c->argv[0], c->argv);
	_exit(message(STATUS_NO_PROGRAM, "%s: %s", c->argv[0], strerror(errno)));
}

int child_start(struct child *c)
{
	pid_t pid = fork();

	if (pid == 0)
		become(c);
	c->since = child_clock();
	c->again = 0;
	c->pid = pid > 0 ? pid : 0;
	return pid > 0 ? 0 : -1;
}

/* One that ran for longer than the longest pause is started again soon. */
static void ended(struct child *c, int status)
{
	uint64_t now = child_clock();

	c->pid = 0;
	c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (c->pause == 0 || now - c->since > PAUSE_MAX)
		c->pause = PAUSE_MIN;
	else
		c->pause = c->pause * 2 < PAUSE_MAX ? c->pause * 2 : PAUSE_MAX;
	c->again = now + c->pause;
}

bool child_reap(struct child *c)
{
	bool ours = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != c->pid)
			continue;
		ended(c, status);
		ours = true;
	}
	return ours;
}

int child_wait(const struct child *c)
{
	uint64_t now = child_clock();

	if (c->argv == NULL || c->pid != 0)
		return -1;
	return c->again > now ? (int)(c->again - now) : 0;
}

void child_signal(const struct child *c, int number)
{
	if (c->pid > 0 && kill(c->pid, number) != 0)
		(void)message(0, "%s (process %d): signal %d: %s", c->argv[0], (int)c->pid, number,
			strerror(errno));
}
