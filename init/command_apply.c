/* SPDX-License-Identifier: MIT */
/* apply and remove: the rules come and go. */
#include "init/command.h"
#include "init/nft.h"
#include "init/route.h"
#include "init/session.h"

/* What is there already stays untouched, so that applying again disturbs no flow. */
int command_apply(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	bool fresh;
	int code;

	s->state.dir = o->state;
	code = state_lock(&s->state);
	if (code == 0)
		code = session_begin(s, o, true);
	if (code == 0)
		code = session_compare(s, &p, NULL);
	if (code != 0)
		return code;
	fresh = !s->state.kept && p.tables.present == 0 && !state_has_iptables(o->state);
	if (!s->state.kept)
		code = state_write(&s->state);
	if (code == 0)
		code = session_apply(s, &p, 0);
	if (code != 0 && fresh)
		(void)state_remove(o->state);
	return code;
}

int command_remove(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	int code;

	if (state_has_iptables(o->state))
		return command_iptables_remove(o);
	code = session_open(s, true);
	s->state.dir = o->state;
	if (code == 0)
		code = session_read(s, &p);
	if (code == 0)
		code = session_foreign(s, &p);
	if (code == 0 && p.tables.present != 0)
		code = nft_remove(&s->filter, p.tables.present);
	if (code == 0)
		code = route_delete(&s->route, p.ours);
	return code == 0 ? state_remove(o->state) : code;
}
