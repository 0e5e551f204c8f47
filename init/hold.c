/* SPDX-License-Identifier: MIT */
/* The rules in the hands of a process that stays. */
#include "init/hold.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "init/child.h"
#include "init/element.h"
#include "init/foreign.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/orders.h"
#include "init/route.h"

/* What was found first, for the one line that is said. */
static struct { char first[256]; uint32_t more; } finding;

static void find(const char *text)
{
	if (finding.first[0] == '\0')
		snprintf(finding.first, sizeof(finding.first), "%s", text);
	else
		finding.more++;
}

static void find_routes(unsigned wrong, unsigned wanted)
{
	char text[64];

	for (unsigned bit = 1; bit <= wrong; bit <<= 1) {
		if (!(wrong & bit))
			continue;
		snprintf(text, sizeof(text), "%s for table %d: %s", route_name(bit),
			CAPTURE_ROUTE_TABLE, wanted & bit ? "missing" : "should not be there");
		find(text);
	}
}

/* Whoever keeps at it fills no log: so many lines in so many ms. */
static bool may_say(void)
{
	enum { LINES = 20, WINDOW = 10000 };
	static uint64_t window;
	static int left;
	uint64_t now = child_clock() / WINDOW;

	if (now != window)
		left = LINES;
	window = now;
	if (left == 0)
		return false;
	left--;
	return true;
}

/* ---- the rules ---- */

static int apply(struct hold *h, struct present *p)
{
	int code = session_apply(h->session, p, h->flags);

	if (code != NFT_NO_OWNER)
		return code;
	h->flags = 0;
	(void)message(0, "the kernel cannot give tables an owner (Linux 6.9): only watching them");
	return session_apply(h->session, p, 0);
}

static int lock(struct hold *h)
{
	struct session *s = h->session;
	int err;

	ruleset_fini(&s->ruleset);
	err = ruleset_lockdown(&s->ruleset, s->links.link, s->links.n,
		h->options->egress_hook);

	h->locked = true;
	bytecode_fini(&s->bytecode);
	bytecode_init(&s->bytecode, &s->ruleset);
	return err;
}

static int rebuild(struct hold *h)
{
	struct session *s = h->session;

	return h->locked ? lock(h) : session_build(s, h->options, &s->policy);
}

int hold_begin(struct hold *h)
{
	struct session *s = h->session;
	struct present p = {0};
	int code = session_compare(s, &p, NULL);

	s->learned = &h->learned;
	if (s->ruleset.has_udp) /* what another holder learned may have been for another policy */
		p.wrong.tables |= p.tables.present & NFT_INET;
	if (code == 0 && !s->state.kept)
		code = state_write(&s->state);
	if (code == 0)
		code = apply(h, &p);
	if (code == 0)
		foreign_warn(&s->filter);
	return code;
}

/* ---- what others did ---- */

static bool is_same_links(const struct link_list *a, const struct link_list *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (strcmp(a->link[i].name, b->link[i].name) != 0 ||
			strcmp(a->link[i].master, b->link[i].master) != 0 ||
			chain_of(&a->link[i]) != chain_of(&b->link[i]))
			return false;
	return true;
}

/* Interfaces come, go and change their names without anybody tampering. */
static bool relink(struct hold *h)
{
	static struct link_list fresh;
	int err = link_list_read(&fresh, &h->session->route);

	if (err != 0) {
		(void)message(0, "interfaces: %s", strerror(err));
		h->again = true;
		return false;
	}
	if (is_same_links(&fresh, &h->session->links))
		return false;
	h->session->links = fresh;
	h->again |= rebuild(h) != 0;
	return true;
}

static void say(const struct hold *h, const struct watch_news *n, const char *what)
{
	char by[64] = "", more[32] = "";

	if (!may_say())
		return;
	if (n->tables && n->pid != 0)
		snprintf(by, sizeof(by), " by %s (process %d)", n->name, n->pid);
	if (finding.more > 0)
		snprintf(more, sizeof(more), " (and %u more)", finding.more);
	(void)message(0, "tampered%s: %s%s: %s (%llu so far)", by, finding.first, more, what,
		(unsigned long long)h->tampered);
}

static void answer(struct hold *h, const struct watch_news *n, struct present *p)
{
	enum policy_tamper how = h->locked ? POLICY_TAMPER_REPAIR
					   : h->session->ruleset.capture.tamper;

	h->tampered++;
	if (how == POLICY_TAMPER_LOG) {
		say(h, n, "left as it is");
		return;
	}
	if (how == POLICY_TAMPER_LOCKDOWN) {
		say(h, n, "everything is closed until SIGHUP");
		h->again |= lock(h) != 0 || session_compare(h->session, p, NULL) != 0;
	}
	h->again |= apply(h, p) != 0;
	if (how == POLICY_TAMPER_REPAIR)
		say(h, n, h->again ? "not put right, to be tried again" : "put right");
}

/* Differences after interfaces came or went, and nobody touched anything, are only that. */
static void put_right(struct hold *h, const struct watch_news *n, struct present *p, bool quiet,
	bool retry)
{
	if (!quiet && !retry) {
		answer(h, n, p);
		return;
	}
	h->again |= apply(h, p) != 0;
	if (retry && !h->again)
		(void)message(0, "put right at last: %s", finding.first);
}

void hold_look(struct hold *h, const struct watch_news *n)
{
	bool retry = h->again && !n->tables && !n->routes, relinked;
	struct session *s = h->session;
	struct present p = {0};
	unsigned wanted, wrong;

	finding.first[0] = '\0';
	finding.more = 0;
	h->again = false;
	relinked = n->links && relink(h);
	if (session_compare(s, &p, find) != 0) {
		h->again = true;
		return;
	}
	if (n->tables && s->ruleset.has_udp && p.wrong.differences == 0) {
		/* What others put there for a time looks like what the proxy learned. */
		p.wrong.tables |= NFT_INET;
		find("set " ELEMENT_SET4 ", " ELEMENT_SET6 ": may hold what others put there");
	}
	wanted = h->locked ? p.ours : session_routes(s);
	wrong = (wanted & ~p.routes) | (p.ours & ~wanted);
	find_routes(wrong, wanted);
	if (finding.first[0] != '\0')
		put_right(h, n, &p, relinked && !n->tables && wrong == 0, retry);
	else if (n->chains)
		foreign_warn(&s->filter);
}

/* ---- what we are told ---- */

static bool is_other(const struct policy *a, const struct policy *b)
{
	return a->len != b->len || memcmp(a->base, b->base, a->len) != 0;
}

bool hold_reload(struct hold *h)
{
	struct session *s = h->session;
	struct policy before = s->policy, next;
	struct present p = {0};
	struct policy_error e;
	int code;
	bool was_locked = h->locked, had_udp = s->ruleset.has_udp;
	size_t n_learned = h->learned.n;

	if (policy_open_direct(&next, h->options->policy, &e) != 0) {
		(void)message(0, "policy: %s: %s: keeping the old one", h->options->policy, e.text);
		return false;
	}
	if (session_build(s, h->options, &next) != 0)
		goto keep;
	h->locked = false;
	code = session_compare(s, &p, NULL);
	/* What was learned for one policy says nothing for another: the proxy is to say it again. */
	if (is_other(&before, &next)) {
		h->learned.n = 0;
		p.wrong.tables |= had_udp ? NFT_INET : 0;
	}
	if (code != 0 || apply(h, &p) != 0) {
		h->locked = was_locked;
		h->learned.n = n_learned;
		(void)rebuild(h);
		goto keep;
	}
	s->policy = next;
	s->ruleset.policy = &s->policy;
	policy_close(&before);
	(void)message(0, "reloaded: policy %s, sequence %llu", h->options->policy,
		(unsigned long long)next.sequence);
	return true;
keep:
	policy_close(&next);
	(void)message(0, "policy: %s: keeping the old one", h->options->policy);
	return false;
}

static bool learn(struct hold *h, const struct learned_entry *e, uint64_t now)
{
	static struct learned_change c;
	int err;

	if (!learned_plan(&h->learned, e, now, &c)) {
		if (may_say())
			(void)message(0, "order: no room for another address: %d there are",
				LEARNED_MAX);
		return false;
	}
	err = element_change(&h->session->filter, &c, now);
	if (err == ENOENT && c.n_gone > 0) { /* its time ended just now */
		c.n_gone = 0;
		err = element_change(&h->session->filter, &c, now);
	}
	if (err == EEXIST || err == ENOTEMPTY) /* the policy's own elements cover it */
		return true;
	if (err != 0) {
		if (may_say())
			(void)message(0, "order: set: %s", strerror(err));
		return false;
	}
	learned_commit(&h->learned, &c);
	return true;
}

/* A prefix of IPv4 in IPv6 form, or of IPv6, as the range that it is. */
static void set_clients(struct learned_entry *e, const struct cidr *clients)
{
	e->first = clients->addr;
	cidr_last(clients, &e->last);
}

/* The service's own clients, whatever the order would like. False: one of them has no room. */
static bool learn_all(struct hold *h, const struct policy_service *s, struct learned_entry *e,
	uint64_t now)
{
	bool v4 = addr_is_v4(&e->destination), any = false;
	struct cidr all = {.bits = v4 ? 96 : 0};

	if (s->clients.n == 0) {
		if (v4)
			all.addr.b[10] = all.addr.b[11] = 0xff;
		set_clients(e, &all);
		return learn(h, e, now);
	}
	for (uint32_t i = 0; i < s->clients.n; i++) {
		struct cidr c;

		policy_cidr(&h->session->policy, s->clients.first + i, &c);
		if ((addr_is_v4(&c.addr) && c.bits >= 96) != v4)
			continue;
		set_clients(e, &c);
		any = true;
		if (!learn(h, e, now))
			return false;
	}
	return any;
}

bool hold_order(struct hold *h, const struct capture_order *order)
{
	struct learned_entry e = {.destination = order->addr, .port = order->port};
	uint64_t now = child_clock();
	struct policy_service service;
	char text[ADDR_PORT_TEXT];
	uint32_t seconds;
	const char *wrong = orders_judge(&h->session->policy, order, &service, &seconds);

	if (wrong != NULL) {
		if (may_say())
			(void)message(0, "order: %s: refused: it %s",
				addr_port_format(&order->addr, order->port, text), wrong);
		return false;
	}
	e.until = now + (uint64_t)seconds * 1000;
	return learn_all(h, &service, &e, now);
}
