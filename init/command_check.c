/* SPDX-License-Identifier: MIT */
/* check: what is installed against what the policy says. */
#include <stdio.h>

#include "init/command.h"
#include "init/route.h"
#include "init/session.h"
#include "rules/capture.h"

static void say(const char *text)
{
	puts(text);
}

int command_check(const struct options *o)
{
	struct session *s = &session;
	struct present p = {0};
	unsigned wanted, wrong;
	bool different = false;
	int code;

	code = session_begin(s, o, true);
	if (code != 0)
		return code;
	wanted = session_routes(s);
	if (!s->state.kept) {
		printf("state: %s/" CAPTURE_MARK_FILE ": missing, or not the proxy's\n", o->state);
		different = true;
	}
	if (state_has_iptables(o->state)) {
		puts("the rules of the iptables backend are there as well");
		different = true;
	}
	code = session_compare(s, &p, say);
	if (code != 0)
		return code;
	wrong = p.wrong.lockdown ? 0 : (wanted & ~p.routes) | (p.ours & ~wanted);
	for (unsigned bit = 1; bit <= wrong; bit <<= 1)
		if (wrong & bit)
			printf("%s for table %d: %s\n", route_name(bit), CAPTURE_ROUTE_TABLE,
			       wanted & bit ? "missing" : "should not be there");
	different |= wrong != 0 || p.wrong.differences > 0;
	return different ? EX_DIFFERENT : 0;
}
