/* SPDX-License-Identifier: MIT */
/* lockdown: closes everything, before there is a policy. */
#include <string.h>
#include <sysexits.h>

#include "init/command.h"
#include "init/message.h"
#include "init/session.h"

/* Needs no policy, no state directory and no interface: it is meant for the earliest boot. */
int command_lockdown(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	int code = session_open(s, true), err;

	s->state.dir = o->state;
	if (code != 0)
		return code;
	err = link_list_read(&s->links, &s->route);
	if (err != 0)
		return message(EX_OSERR, "interfaces: %s", strerror(err));
	if (ruleset_lockdown(&s->ruleset, s->links.link, s->links.n, o->egress_hook) != 0)
		return message(EX_UNAVAILABLE, "lockdown: more than %d interfaces: use "
			"--no-egress-hook", RULESET_LINKS);
	bytecode_init(&s->bytecode, &s->ruleset);
	code = session_compare(s, &p, NULL);
	return code == 0 ? session_apply(s, &p, 0) : code;
}
