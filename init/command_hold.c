/* SPDX-License-Identifier: MIT */
/* hold: applies the rules and stays, with the program that runs under them. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "init/capability.h"
#include "init/child.h"
#include "init/command.h"
#include "init/hold.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/orders.h"
#include "rules/notify.h"

enum { AGAIN_MS = 1000 };
enum { FD_SIGNAL, FD_FILTER, FD_ROUTE, FD_ORDERS, FDS = FD_ORDERS + ORDERS_FDS };

/* Too large for a small board's stack. */
static struct {
	struct hold hold;
	struct child child;
	struct orders orders;
	struct notify notify;
	int signals;
	bool ending;
} self;

static int fail(int code, const char *what)
{
	return message(code, "%s: %s", what, strerror(errno));
}

/* ---- start-up, in the order that privilege asks for ---- */

static int open_signals(void)
{
	static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGCHLD};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)sigaddset(&set, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &set, &self.child.mask) != 0)
		return fail(EX_OSERR, "signals");
	(void)signal(SIGPIPE, SIG_IGN);
	self.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return self.signals >= 0 ? 0 : fail(EX_OSERR, "signals");
}

/* The lock is for the time of changing; who asks later is told by the kernel or the socket. */
static int open_rules(const struct options *o)
{
	struct session *s = self.hold.session;
	int other, code;

	s->state.dir = o->state;
	code = state_lock(&s->state);
	if (code != 0)
		return code;
	other = capture_holder(o->state);
	if (other > 0)
		return message(EX_TEMPFAIL, "process %d holds the rules already", other);
	code = session_begin(s, o, true);
	if (code == 0 && watch_open(&self.hold.watch, mnl_socket_get_portid(s->filter.socket),
		mnl_socket_get_portid(s->route.socket)) != 0)
		return fail(EX_OSERR, "netlink: listening");
	return code == 0 ? hold_begin(&self.hold) : code;
}

static int open_orders(const struct options *o)
{
	const char *step;

	if (orders_open(&self.orders, o->state, o->uid, &step) != 0)
		return message(EX_CANTCREAT, "%s/" CAPTURE_ORDER_FILE ": %s: %s", o->state, step,
			strerror(errno));
	state_unlock(&self.hold.session->state);
	return 0;
}

static int start(const struct options *o)
{
	bool child = o->program != NULL;

	self.child.argv = o->program;
	if (capability_drop(child) != 0)
		return fail(EX_OSERR, "capabilities");
	if (child && child_start(&self.child) != 0)
		return fail(EX_OSERR, "fork");
	(void)message(0, "holding the rules of %s%s", o->policy,
		self.hold.flags == 0 ? ", which others can change" : "");
	if (!child && notify_open(&self.notify, -1) == 0)
		notify_ready(&self.notify);
	return 0;
}

/* ---- the loop ---- */

static void take_signal(int number)
{
	switch (number) {
	case SIGHUP:
		(void)hold_reload(&self.hold);
		child_signal(&self.child, SIGHUP);
		break;
	case SIGCHLD:
		if (child_reap(&self.child) && !self.ending)
			(void)message(0, "%s ended with status %d: started again in %u ms",
				self.child.argv[0], self.child.status, self.child.pause);
		break;
	default:
		self.ending = true;
		child_signal(&self.child, SIGTERM);
		break;
	}
}

static void read_signals(void)
{
	struct signalfd_siginfo info;

	while (read(self.signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		take_signal((int)info.ssi_signo);
}

static bool take_order(void *ctx, const struct capture_order *order)
{
	return hold_order(ctx, order);
}

static int timeout(void)
{
	int wait = child_wait(&self.child);

	if (self.ending)
		wait = -1;
	if ((self.hold.again || self.orders.left == 0) && (wait < 0 || wait > AGAIN_MS))
		return AGAIN_MS;
	return wait;
}

static void turn(void)
{
	struct watch_news news = {.tables = false};
	struct pollfd fds[FDS] = {
		[FD_SIGNAL] = {.fd = self.signals, .events = POLLIN},
		[FD_FILTER] = {.fd = self.hold.watch.filter, .events = POLLIN},
		[FD_ROUTE] = {.fd = self.hold.watch.route, .events = POLLIN},
	};

	orders_poll(&self.orders, &fds[FD_ORDERS], child_clock());
	if (poll(fds, FDS, timeout()) < 0 && errno != EINTR)
		return;
	read_signals();
	watch_read(&self.hold.watch, &news);
	if (news.tables || news.chains || news.links || news.routes || self.hold.again)
		hold_look(&self.hold, &news);
	orders_read(&self.orders, &fds[FD_ORDERS], take_order, &self.hold);
	if (!self.ending && child_wait(&self.child) == 0 && child_start(&self.child) != 0)
		self.child.again = child_clock() + AGAIN_MS;
}

int command_hold(const struct options *o)
{
	int code;

	self.hold.options = o;
	self.hold.session = &session;
	self.hold.flags = o->owner ? NFT_HELD : 0;
	code = open_signals();
	if (code == 0)
		code = open_rules(o);
	if (code == 0)
		code = open_orders(o);
	if (code == 0)
		code = start(o);
	if (code != 0)
		return code;
	while (!self.ending || self.child.pid != 0)
		turn();
	orders_close(&self.orders);
	return self.child.status;
}
