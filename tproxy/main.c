/* SPDX-License-Identifier: MIT */
/* sluice-tproxy: from the command line to a running proxy, in the order privilege asks for. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "rules/capture.h"
#include "rules/gateway.h"
#include "tproxy/control.h"
#include "tproxy/ctl.h"
#include "tproxy/endpoint.h"
#include "tproxy/fd.h"
#include "tproxy/limit.h"
#include "tproxy/jail.h"
#include "tproxy/log.h"
#include "tproxy/secure.h"

#define GO_ON     (-1) /* a step's result; else the exit status */
#define PATH_SIZE 4096
#define CONNS_MIN 16u
/* Descriptors besides those of workers: the control thread, admin clients, the policy, reloading. */
#define PROCESS_FDS 40u
/* Of a worker besides those of connections: listeners, epoll, the sockets of DNS, the holder. */
#define WORKER_FDS 30u

static const char *capability_hint(int error, const char *step)
{
	if (error != EPERM && error != EACCES)
		return "";
	if (strstr(step, "port 53"))
		return ": dns = capture with method tproxy needs the capability CAP_NET_BIND_SERVICE";
	if (strstr(step, ": port "))
		return ": ports below 1024 need the capability CAP_NET_BIND_SERVICE";
	if (strstr(step, "TRANSPARENT"))
		return ": method tproxy needs the capability CAP_NET_ADMIN (or CAP_NET_RAW)";
	if (strstr(step, "MARK"))
		return ": the capability CAP_NET_RAW is needed (CAP_NET_ADMIN before Linux 5.17)";
	return "";
}

static int fail(int status, const char *what, const char *object)
{
	int e = errno;

	log_error("%s: %s: %s%s", what, object, strerror(e), capability_hint(e, object));
	return e == EPERM || e == EACCES ? EX_NOPERM : status;
}

/*
 * Descriptors 0 to 2 must not become sockets. What else a parent has left open is nobody's here:
 * it would only take the place of connections.
 */
static int open_standard(struct control *c)
{
	unsigned keep = c->options.ready_fd < 0 ? 2 : (unsigned)c->options.ready_fd;

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return fail(EX_OSERR, "open", "/dev/null");
	if (keep > 3)
		fd_close_range(3, keep - 1);
	fd_close_range(keep + 1, UINT_MAX);
	return GO_ON;
}

static int policy_status(int error)
{
	switch (error) {
	case EBADMSG: return EX_DATAERR;
	case EIO:     return EX_IOERR;
	case ENOMEM: case EMFILE: case ENFILE: case ENOSYS: return EX_OSERR;
	default:      return EX_NOINPUT;
	}
}

static int open_policy(struct control *c)
{
	struct policy_capture capture;
	struct policy_error e;

	c->policy = malloc(sizeof(*c->policy));
	if (!c->policy)
		return fail(EX_OSERR, "policy", "memory");
	if (policy_open(c->policy, c->options.policy, &e) < 0) {
		int status = policy_status(errno);
		log_error("policy: %s: %s", c->options.policy, e.text);
		return status;
	}
	c->options.workers.state = c->options.state;
	c->options.workers.uid = c->options.uid;
	policy_capture(c->policy, &capture);
	c->options.workers.transparent = capture.method == POLICY_TPROXY;
	return GO_ON;
}

/* As many descriptors as the hard limit gives, and no more connections than these suffice for. */
static int raise_limits(struct control *c)
{
	struct workers_config *w = &c->options.workers;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return fail(EX_OSERR, "limits", "RLIMIT_NOFILE");
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		return fail(EX_OSERR, "limits", "RLIMIT_NOFILE");
	uint64_t servers = policy_own_servers(c->policy).n;
	uint64_t fixed = PROCESS_FDS + (uint64_t)w->n * (WORKER_FDS + 2 * (w->pipes + servers) +
	                                                 w->idle_max);
	uint64_t fit = l.rlim_max > fixed ? (l.rlim_max - fixed) / 2 / w->n : 0;
	if (fit >= w->max_conns)
		return GO_ON;
	if (fit < CONNS_MIN) {
		log_error("limits: %llu descriptors are too few: %llu at least",
		          (unsigned long long)l.rlim_max,
		          (unsigned long long)(fixed + 2 * (uint64_t)CONNS_MIN * w->n));
		return EX_OSERR;
	}
	log_warn("limits: %llu descriptors suffice for %u connections per worker, not %u",
	         (unsigned long long)l.rlim_max, (unsigned)fit, (unsigned)w->max_conns);
	w->max_conns = (uint32_t)fit;
	return GO_ON;
}

static int only_check(struct control *c)
{
	struct policy_meta m;

	if (c->options.limits) {
		int status = raise_limits(c);
		return status == GO_ON ? limit_print(&c->options.workers, c->policy) : status;
	}
	if (!c->options.check)
		return GO_ON;
	policy_meta(c->policy, &m);
	printf("%s: valid: policy %s, sequence %llu, node %s\n", c->options.policy, m.name,
	       (unsigned long long)c->policy->sequence, m.node);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int read_mark(struct control *c)
{
	const struct options *o = &c->options;
	uint32_t secret;

	if (!o->mark)
		return GO_ON;
	if (capture_mark_read(o->state, &secret) == 0) {
		c->options.workers.mark = CAPTURE_MARK_PROXY(secret);
		return GO_ON;
	}
	if (errno == ENOENT)
		log_error("mark: %s/" CAPTURE_MARK_FILE
		          ": not there: has sluice-init run? (--mark none runs without)",
		          o->state);
	else
		log_error("mark: %s/" CAPTURE_MARK_FILE ": %s", o->state,
		          errno == EBADMSG ? "not a mark" : strerror(errno));
	return errno == EACCES ? EX_NOPERM : EX_CONFIG;
}

static int open_credentials(struct control *c)
{
	char text[256];

	c->secure = secure_open(c->policy, text, sizeof(text));
	if (c->secure)
		return GO_ON;
	log_error("TLS: %s", text);
	return EX_CONFIG;
}

static int open_access_log(struct control *c)
{
	struct policy_meta m;

	policy_meta(c->policy, &m);
	c->sink = access_sink_open(m.access_log);
	if (!c->sink) {
		log_error("access log: %s: %s", m.access_log, strerror(errno));
		return EX_CANTCREAT;
	}
	if (geteuid() == 0 && access_sink_own(c->sink, c->options.uid, c->options.gid) < 0)
		log_warn("access log: %s: chown: %s", m.access_log, strerror(errno));
	return GO_ON;
}

static int open_admin(struct control *c)
{
	const struct options *o = &c->options;
	char path[PATH_SIZE];
	struct admin_config a = {
		.path = path, .uid = o->uid, .gid = o->gid, .answer = endpoint_answer, .ctx = c
	};
	const char *step;

	if (o->admin && !*o->admin)
		return GO_ON;
	if (snprintf(path, sizeof(path), "%s%s", o->admin ? o->admin : o->state,
	             o->admin ? "" : "/admin.sock") >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return fail(EX_CANTCREAT, "admin", "path");
	}
	/* sluice-init makes it where it runs. */
	if (!o->mark && !o->admin && mkdir(o->state, 0755) < 0 && errno != EEXIST)
		return fail(EX_CANTCREAT, "state", o->state);
	c->admin = admin_open(&a, &step);
	if (c->admin)
		return GO_ON;
	if (errno == EADDRINUSE)
		log_error("admin: %s: another sluice-tproxy answers there", path);
	else
		log_error("admin: %s: %s: %s", path, step, strerror(errno));
	return EX_CANTCREAT;
}

static int open_notify(struct control *c)
{
	if (c->options.ready_fd >= 0 && fcntl(c->options.ready_fd, F_SETFD, FD_CLOEXEC) < 0)
		return fail(EX_USAGE, "--ready-fd", "descriptor");
	if (notify_open(&c->notify, c->options.ready_fd) < 0)
		log_warn("NOTIFY_SOCKET: %s", strerror(errno));
	return GO_ON;
}

static int open_workers(struct control *c)
{
	const char *step = "";

	if (control_open(c) < 0)
		return fail(EX_OSERR, "control", "signals");
	c->workers = workers_open(&c->options.workers, c->policy, c->secure, c->sink, &step);
	return c->workers ? GO_ON : fail(EX_OSERR, "workers", step);
}

static int drop_privilege(struct control *c)
{
	const char *step = "";

	log_init(c->options.level);
	if (jail_drop(c->options.uid, c->options.gid, c->options.workers.mark != 0, &step) < 0)
		return fail(EX_OSERR, "privilege", step);
	if (access(c->options.policy, R_OK) < 0)
		log_warn("policy: %s: user %u cannot read it: reloading will fail",
		         c->options.policy, (unsigned)c->options.uid);
	return GO_ON;
}

/* The directory that path lies in, into dir. */
static const char *directory(const char *path, char dir[static PATH_SIZE])
{
	const char *slash = strrchr(path, '/');

	if (!slash || (size_t)(slash - path) >= PATH_SIZE)
		return ".";
	size_t len = slash == path ? 1 : (size_t)(slash - path);
	memcpy(dir, path, len);
	dir[len] = '\0';
	return dir;
}

static int seal(struct control *c)
{
	char policy_dir[PATH_SIZE], log_dir[PATH_SIZE];
	struct jail_paths paths = {
		.read = { directory(c->options.policy, policy_dir) }, .n_read = 1
	};
	const char *log = access_sink_kind(c->sink), *step = "";
	bool landlock;

	if (!secure_directories(c->policy, &paths))
		log_warn("TLS: files in too many directories: reloading will not find all of them");
	if (log[0] == '/' && strncmp(log, "/dev/", 5) != 0)
		paths.write[paths.n_write++] = directory(log, log_dir);
	int sealed = jail_seal(&paths, &landlock, &step);
	/* The first is dir's; the others are what secure_directories() made. */
	for (unsigned i = 1; i < paths.n_read; i++)
		free((char *)paths.read[i]);
	if (sealed < 0)
		return fail(EX_OSERR, "sandbox", step);
	if (!landlock)
		log_info("sandbox: no Landlock here: files are guarded by their permissions alone");
	return GO_ON;
}

static int start_workers(struct control *c)
{
	const struct workers_config *w = &c->options.workers;
	struct policy_meta m;

	if (workers_start(c->workers) < 0)
		return fail(EX_OSERR, "workers", "thread");
	policy_meta(c->policy, &m);
	c->state = CONTROL_RUN;
	log_info("ready: policy %s, sequence %llu, port %u, %u workers of %u connections", m.name,
	         (unsigned long long)c->policy->sequence, w->port, w->n, (unsigned)w->max_conns);
	notify_ready(&c->notify);
	return control_run(c);
}

int main(int argc, char **argv)
{
	static int (*const steps[])(struct control *) = {
		open_standard, open_policy, only_check, read_mark, raise_limits, open_credentials, open_access_log,
		open_admin, open_notify, open_workers, drop_privilege, seal, start_workers,
	};
	/* The one state of the control thread; what the steps open ends with the process. */
	static struct control control;
	int status = option_parse(&control.options, argc, argv);

	if (status < 0 && control.options.ctl)
		status = ctl_run(control.options.ctl, control.options.page);
	for (size_t i = 0; status < 0; i++)
		status = steps[i](&control);
	return status;
}
