/* SPDX-License-Identifier: MIT */
/* apply and remove: the rules come and go. */
#include <sysexits.h>

#include "init/command.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/route.h"
#include "init/session.h"

enum { APPLY_TRIES = 5 };

static int install(struct session *s, struct present *p)
{
	for (int tries = 0; tries < APPLY_TRIES; tries++) {
		int code;

		if (p->differences == 0)
			return 0;
		code = nft_apply(&s->filter, &s->ruleset, &s->bytecode, p->tables);
		if (code != EX_TEMPFAIL)
			return code;
		code = session_read(s, p, true, false);
		if (code != 0)
			return code;
	}
	return message(EX_TEMPFAIL, "nf_tables: somebody else keeps changing our tables");
}

/*
 * What is there already stays untouched, so that applying again disturbs no flow. The routes come
 * before the rules that need them; without those rules they do nothing.
 */
int command_apply(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	unsigned wanted, missing;
	bool fresh;
	int code = state_lock(o->state);

	if (code == 0)
		code = session_begin(s, o, true);
	if (code == 0)
		code = session_read(s, &p, true, false);
	if (code != 0)
		return code;
	wanted = session_routes(s);
	missing = wanted & ~p.routes;
	fresh = !s->state.kept && p.tables == 0;
	if (!s->state.kept)
		code = state_write(&s->state);
	if (code == 0)
		code = route_add(&s->route, missing);
	if (code == 0)
		code = install(s, &p);
	if (code != 0) {
		(void)route_delete(&s->route, missing);
		if (fresh)
			(void)state_remove(o->state);
		return code;
	}
	return route_delete(&s->route, p.ours & ~wanted);
}

int command_remove(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	int code = session_open(s, true);

	if (code == 0)
		code = session_read(s, &p, false, false);
	if (code == 0 && p.tables != 0)
		code = nft_remove(&s->filter, p.tables);
	if (code == 0)
		code = route_delete(&s->route, p.ours);
	return code == 0 ? state_remove(o->state) : code;
}
