/* SPDX-License-Identifier: MIT */
/* The secret mark in the state directory. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "init/message.h"
#include "rules/capture.h"

int state_draw(uint32_t *secret)
{
	do {
		ssize_t n = getrandom(secret, sizeof(*secret), 0);

		if (n < 0 && errno != EINTR)
			return -1;
		*secret = n == (ssize_t)sizeof(*secret) ? *secret & ~3u : 0;
	} while (*secret == 0 || *secret == (CAPTURE_MARK & ~3u));
	return 0;
}

static bool is_proxys(const struct state *s)
{
	struct stat st;
	int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (dir < 0)
		return false;
	err = fstatat(dir, CAPTURE_MARK_FILE, &st, AT_SYMLINK_NOFOLLOW);
	(void)close(dir);
	return err == 0 && st.st_uid == s->uid && st.st_gid == s->gid &&
		(st.st_mode & 07777) == 0400;
}

/*
 * A file that cannot be read (root without CAP_DAC_OVERRIDE cannot) or holds nothing of use is
 * replaced.
 */
int state_read(struct state *s)
{
	if (capture_mark_read(s->dir, &s->secret) == 0) {
		s->kept = is_proxys(s);
		return 0;
	}
	s->kept = false;
	if (state_draw(&s->secret) != 0)
		return message(EX_OSERR, "getrandom: %s", strerror(errno));
	return 0;
}

int state_lock(struct state *s)
{
	const char *dir = s->dir;

	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return message(EX_CANTCREAT, "%s: %s", dir, strerror(errno));
	s->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->lock < 0)
		return message(EX_CANTCREAT, "%s: %s", dir, strerror(errno));
	while (flock(s->lock, LOCK_EX) != 0)
		if (errno != EINTR)
			return message(EX_IOERR, "%s: cannot be locked: %s", dir, strerror(errno));
	return 0;
}

void state_unlock(struct state *s)
{
	(void)close(s->lock);
	s->lock = -1;
}

int state_write(struct state *s)
{
	if (capture_mark_write(s->dir, s->secret, s->uid, s->gid) != 0)
		return message(errno == EPERM || errno == EACCES ? EX_NOPERM : EX_CANTCREAT,
			"%s/" CAPTURE_MARK_FILE ": %s%s", s->dir, strerror(errno),
			errno == EPERM ? " (giving it to the proxy's user takes CAP_CHOWN)" : "");
	s->kept = true;
	return 0;
}

/* Opens the directory: -1 with *code set if there is none (0) or it cannot be (a message). */
static int open_directory(const char *dir, int *code)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*code = at >= 0 || errno == ENOENT ? 0
					   : message(EX_IOERR, "%s: %s", dir, strerror(errno));
	return at;
}

static int delete_file(int at, const char *dir, const char *name)
{
	if (unlinkat(at, name, 0) != 0 && errno != ENOENT)
		return message(EX_IOERR, "%s/%s: %s", dir, name, strerror(errno));
	return 0;
}

int state_note_iptables(const char *dir)
{
	int code, at, fd;

	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		return message(EX_CANTCREAT, "%s: %s", dir, strerror(errno));
	at = open_directory(dir, &code);
	if (at < 0)
		return code;
	fd = openat(at, STATE_IPTABLES_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		code = message(EX_CANTCREAT, "%s/" STATE_IPTABLES_FILE ": %s", dir,
			strerror(errno));
	else
		(void)close(fd);
	(void)close(at);
	return code;
}

int state_forget_iptables(const char *dir)
{
	int code, at = open_directory(dir, &code);

	if (at < 0)
		return code;
	code = delete_file(at, dir, STATE_IPTABLES_FILE);
	(void)close(at);
	return code;
}

bool state_has_iptables(const char *dir)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	bool has = at >= 0 && fstatat(at, STATE_IPTABLES_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (at >= 0)
		(void)close(at);
	return has;
}

int state_remove(const char *dir)
{
	int code, at = open_directory(dir, &code);

	if (at < 0)
		return code;
	code = delete_file(at, dir, CAPTURE_MARK_FILE);
	if (code == 0)
		code = delete_file(at, dir, STATE_IPTABLES_FILE);
	(void)close(at);
	return code;
}
