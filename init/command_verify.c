/* SPDX-License-Identifier: MIT */
/* verify: tries the ways out, on this machine, and says what came of each. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "init/command.h"
#include "init/foreign.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/probe.h"
#include "init/scratch.h"
#include "init/session.h"
#include "init/sniffer.h"
#include "init/xdp.h"

enum { ECHO_PORT = 7, ANSWER_MS = 2000, STRANGER = 65533 };

static const char *const test_net[2] = {"192.0.2.1", "2001:db8::1"};

/* Too large for a small board's stack. */
static struct {
	struct scratch scratch;
	struct probe_place place;
	struct sniffer sniffer;
	int proxy, far_end;              /* the proxy's socket out; who listens far away */
	int listener[2];                 /* at the proxy's port: TCP, UDP */
	int space;                       /* where probes are tried, if not here: or -1 */
	uint32_t right, wrong, untried;
} self;

/* ---- what came of one ---- */

struct outcome { enum probe_result expected, got; int error; };

static bool is_right(const struct outcome *o)
{
	return o->got == o->expected ||
		(o->expected == PROBE_CLOSED && o->got < PROBE_OUT);
}

/* Without an answer by then there is none. Returns whether `fd` has something to say. */
static bool wait_for(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, ms) > 0;
}

static bool was_captured(int ms)
{
	struct pollfd p[2] = {{.fd = self.listener[0], .events = POLLIN},
		{.fd = self.listener[1], .events = POLLIN}};
	char data[64];
	int fd;

	if (poll(p, 2, ms) <= 0)
		return false;
	if (p[1].revents != 0)
		return recv(p[1].fd, data, sizeof(data), 0) >= 0;
	fd = accept4(p[0].fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static int error_of(int fd)
{
	socklen_t len = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : 0;
}

/* With a reset, and what that sends is not the next one's doing. */
static void end(int fd, bool scratch)
{
	const struct linger now = {1, 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
	if (scratch)
		(void)sniffer_fence(&self.sniffer, self.proxy, scratch_near[0]);
}

static int try_there(const struct probe *p, int family, int *error, bool *untried)
{
	int fd = -1;

	*untried = true;
	if (self.space < 0)
		return probe_try(&self.place, p, family, error, untried);
	if (scratch_enter(self.space) == 0)
		fd = probe_try(&self.place, p, family, error, untried);
	else
		*error = errno;
	(void)scratch_enter(self.scratch.node);
	return fd;
}

static void try_one(const struct probe *p, int family, struct outcome *o)
{
	bool untried, scratch = self.proxy >= 0;
	int fd = try_there(p, family, &o->error, &untried), heard;

	o->got = PROBE_UNTRIED;
	if (untried)
		return;
	if (scratch)
		heard = sniffer_fence(&self.sniffer, self.proxy, scratch_near[0]);
	else
		heard = sniffer_count(&self.sniffer, test_net);
	if (o->error == 0 && o->expected == PROBE_REFUSED)
		(void)wait_for(fd, POLLERR, ANSWER_MS);
	if (o->error == 0)
		o->error = error_of(fd);
	if (heard > 0)
		o->got = PROBE_OUT;
	else if (heard < 0)
		o->error = ETIMEDOUT;
	else if (was_captured(o->expected == PROBE_CAPTURED ? ANSWER_MS : 0))
		o->got = PROBE_CAPTURED;
	else if (scratch || (o->error != ENETUNREACH && o->error != EHOSTUNREACH))
		o->got = o->error != 0 ? PROBE_REFUSED : PROBE_CLOSED;
	end(fd, scratch);
}

/* ---- the table ---- */

static void print_row(const struct probe *p, const char *families, const struct outcome *o)
{
	printf("%-36s %-4s %-9s %-9s %s%s%s\n", p->name, families, probe_result_name(o->expected),
		probe_result_name(o->got),
		is_right(o) ? "ok"
		: o->got == PROBE_UNTRIED ? "-"
		: o->got == PROBE_OUT     ? "LEAK"
					  : "WRONG",
		o->got == PROBE_UNTRIED ? " " : "", o->got == PROBE_UNTRIED ? strerror(o->error) : "");
}

static void count(const struct outcome *o)
{
	if (o->got == PROBE_UNTRIED)
		self.untried++;
	else if (is_right(o))
		self.right++;
	else
		self.wrong++;
}

static bool is_same(const struct outcome *a, const struct outcome *b)
{
	return a->expected == b->expected && a->got == b->got &&
		(a->got != PROBE_UNTRIED || a->error == b->error);
}

/* In place another proxy may be there, or none: what counts is the wire. */
static enum probe_result expect(const struct session *s, const struct probe *p, int family)
{
	enum probe_result r = probe_expect(&s->ruleset, &self.place, p, family);

	return self.proxy >= 0 || r == PROBE_OUT ? r : PROBE_CLOSED;
}

/* One line for both families where there is nothing between them. */
static void try_row(const struct session *s, const struct probe *p, bool v6)
{
	static const char *const one[2] = {"4", "6"};
	unsigned families = p->families & (v6 ? 3u : 1u);
	struct outcome o[2];

	for (int f = 0; f < 2; f++) {
		if (!(families >> f & 1))
			continue;
		o[f].expected = expect(s, p, f);
		try_one(p, f, &o[f]);
		count(&o[f]);
	}
	if (families == 3 && is_same(&o[0], &o[1])) {
		print_row(p, "4, 6", &o[0]);
		return;
	}
	for (int f = 0; f < 2; f++)
		if (families >> f & 1)
			print_row(p, one[f], &o[f]);
}

static void try_all(const struct session *s, const char *title, unsigned as, bool v6)
{
	printf("%-36s %-4s %-9s %s\n", title, "IP", "EXPECTED", "GOT");
	for (size_t i = 0; i < probe_count; i++)
		if ((probes[i].as & as) == as)
			try_row(s, &probes[i], v6);
}

/* No hook sees what these send: that is for those to know who give out CAP_NET_RAW. */
static void note_xdp(void)
{
	if (xdp_is_there())
		puts("note: AF_XDP sockets get past every rule: leave nobody CAP_NET_RAW");
}

static int summary(void)
{
	note_xdp();
	printf("%u as expected, %u not, %u not tried\n", self.right, self.wrong, self.untried);
	return self.wrong > 0 ? EX_DIFFERENT : self.right == 0 ? EX_TEMPFAIL : 0;
}

/* ---- in namespaces of its own ---- */

static int listen_at(uint16_t port, bool v6, int type, bool transparent)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int zero = 0, one = 1;

	if (fd < 0)
		return -1;
	if (v6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (transparent)
		(void)setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one));
	if (bind(fd, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four,
		    v6 ? sizeof(six) : sizeof(four)) == 0 &&
		(type == SOCK_DGRAM || listen(fd, 16) == 0))
		return fd;
	(void)close(fd);
	return -1;
}

/* A connection that is open before there are rules. */
static int open_old(int family)
{
	struct sockaddr_storage ss;
	struct addr a;
	int fd = socket(family == 0 ? AF_INET : AF_INET6,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), end;

	if (fd < 0 || addr_parse(&a, scratch_far[family], strlen(scratch_far[family])) != 0)
		return -1;
	(void)connect(fd, (struct sockaddr *)&ss, addr_to_sockaddr(&a, ECHO_PORT, &ss));
	end = wait_for(self.far_end, POLLIN, ANSWER_MS)
		? accept4(self.far_end, NULL, NULL, SOCK_CLOEXEC)
		: -1;
	if (end >= 0 && wait_for(fd, POLLOUT, ANSWER_MS) && error_of(fd) == 0)
		return fd; /* the far end stays open until the process ends */
	(void)close(fd);
	return -1;
}

/* One rule that asks for it sets conntrack going. */
static int track(struct session *s)
{
	static struct ruleset r;
	struct nft_request q = {.which = NFT_INET};
	struct bytecode code = {0};
	int result;

	r.chains[CHAIN_OWN] = s->ruleset.chains[CHAIN_OWN];
	r.chains[CHAIN_OWN].used = true;
	r.n_rules = 1;
	r.rules[0] = (struct rule){CHAIN_OWN, "tracking", {{.kind = ITEM_CT_NEW},
		{.kind = ITEM_COUNTER}}};
	bytecode_init(&code, &r);
	result = nft_apply(&s->filter, &r, &code, &q);
	bytecode_fini(&code);
	return result;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		(void)close(fd);
	}
}

/* The far end, and who listens on the wire to it. */
static int open_peer(void)
{
	if (scratch_enter(self.scratch.peer) != 0)
		return -1;
	self.far_end = listen_at(ECHO_PORT, self.scratch.v6, SOCK_STREAM, false);
	return sniffer_open(&self.sniffer, (int)if_nametoindex(SCRATCH_LINK));
}

static int apply_rules(struct session *s, const struct options *o)
{
	struct present p = {0};
	int code = session_open(s, true);

	if (code == 0 && link_list_read(&s->links, &s->route) != 0)
		return message(EX_OSERR, "scratch interfaces: cannot be read");
	if (code == 0)
		code = session_build(s, o, &s->policy);
	for (int f = 0; code == 0 && f < 2; f++)
		self.place.old[f][0] = f == 0 || self.scratch.v6 ? open_old(f) : -1;
	if (code == 0)
		code = track(s);
	for (int f = 0; code == 0 && f < 2; f++)
		self.place.old[f][1] = f == 0 || self.scratch.v6 ? open_old(f) : -1;
	if (code == 0)
		code = session_compare(s, &p, NULL);
	return code == 0 ? session_apply(s, &p, 0) : code;
}

static void fill_place(const struct session *s, const struct options *o)
{
	self.place = (struct probe_place){
		.proxy_uid = o->uid, .proxy_gid = o->gid, .secret = s->state.secret,
		.port = o->port, .egress_hook = o->egress_hook,
		.own = scratch_own, .far = scratch_far,
		.old = {{-1, -1}, {-1, -1}},
	};
}

/* The policy's exemptions are known only when it is open. */
static void choose_stranger(const struct session *s)
{
	struct policy_capture c;

	policy_capture(&s->policy, &c);
	self.place.uid = probe_stranger(&s->policy, c.exempt_uids, STRANGER);
	self.place.gid = probe_stranger(&s->policy, c.exempt_gids, STRANGER);
}

/* The node, the far end, the rules, and who stands in for the proxy. */
static int build(struct session *s, const struct options *o)
{
	struct policy_capture c;
	int code = scratch_open(&self.scratch);

	if (code != 0)
		return code;
	self.place.index = self.scratch.node_index;
	if (open_peer() != 0 || scratch_enter(self.scratch.node) != 0)
		return message(errno == EPERM ? EX_NOPERM : EX_OSERR, "sniffer: %s",
			errno == EPERM ? "needs CAP_NET_RAW" : strerror(errno));
	policy_capture(&s->policy, &c);
	if (c.scope != POLICY_SCOPE_POD && c.interfaces.n > 0)
		code = scratch_add_client(&self.scratch,
			policy_string(&s->policy, policy_item(c.interfaces, 0)));
	if (code != 0)
		return code;
	write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	code = apply_rules(s, o);
	for (int i = 0; i < 2; i++)
		self.listener[i] = listen_at(o->port, self.scratch.v6,
			i == 0 ? SOCK_STREAM : SOCK_DGRAM, true);
	self.proxy = probe_proxy(&self.place, 0, SOCK_DGRAM);
	if (code == 0 && (self.proxy < 0 || self.listener[0] < 0 || self.listener[1] < 0))
		return message(errno == EPERM ? EX_NOPERM : EX_OSERR, "sockets: %s",
			strerror(errno));
	return code;
}

static int verify_scratch(struct session *s, const struct options *o)
{
	int code;

	if (state_draw(&s->state.secret) != 0)
		return message(EX_OSERR, "getrandom: %s", strerror(errno));
	fill_place(s, o);
	choose_stranger(s);
	code = build(s, o);
	if (code != 0)
		return code;
	if (sniffer_fence(&self.sniffer, self.proxy, scratch_near[0]) < 0)
		return message(EX_DIFFERENT, "the proxy's own packets do not get out");
	self.space = -1;
	if (s->ruleset.capture.scope != POLICY_SCOPE_ROUTER)
		try_all(s, "THIS NODE", 0, self.scratch.v6);
	self.space = self.scratch.client;
	self.place.own = scratch_client;
	if (self.space >= 0)
		try_all(s, "A CLIENT BEHIND IT", PROBE_CLIENT, self.scratch.v6);
	return summary();
}

/* ---- in place ---- */

static void say(const char *text)
{
	puts(text);
}

static void say_foreign(const char *text)
{
	printf("chain %s: another's, sees packets before ours\n", text);
}

/* The interfaces are in use, so only what harms nobody is sent, to addresses for documentation. */
static int verify_in_place(const struct options *o)
{
	struct session *s = &session;
	int code = command_check(o), tried;

	if (code != 0 && code != EX_DIFFERENT)
		return code;
	say(code == 0 ? "the rules in force are the policy's" : "the rules in force are not the policy's");
	(void)foreign_list(&s->filter, say_foreign);
	if (s->ruleset.capture.scope == POLICY_SCOPE_ROUTER)
		return code; /* what this node sends is nobody's business */
	fill_place(s, o);
	choose_stranger(s);
	self.place.far = test_net;
	self.proxy = self.listener[0] = self.listener[1] = self.space = -1;
	if (sniffer_open(&self.sniffer, 0) != 0)
		return message(EX_NOPERM, "sniffer: %s",
			errno == EPERM ? "needs CAP_NET_RAW" : strerror(errno));
	try_all(s, "THIS NODE", PROBE_IN_PLACE, true);
	tried = summary();
	return code != 0 ? code : tried;
}

int command_verify(const struct options *o)
{
	cpu_set_t one;
	int code;

	/* What one processor sends in order arrives in order. */
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
	if (o->in_place)
		return verify_in_place(o);
	code = session_policy(&session, o);
	if (code == 0)
		code = verify_scratch(&session, o);
	if (code == EX_NOPERM)
		(void)message(0, "verify --in-place tries what takes fewer privileges");
	return code;
}
