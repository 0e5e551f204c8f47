/* SPDX-License-Identifier: MIT */
/* print: the rules as text. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "init/command.h"
#include "init/message.h"
#include "init/print.h"
#include "init/session.h"

static const char *const forms[] = {"nft", "iptables", "ip6tables"};

int command_print(const struct options *o)
{
	struct session *s = &session;
	const char *unfit;
	size_t form = 0;
	int code;

	while (form < 3 && (o->form == NULL || strcmp(o->form, forms[form]) != 0))
		form++;
	if (form == 3)
		return message(EX_USAGE, "print: %s: not nft, iptables or ip6tables",
			o->form == NULL ? "(nothing)" : o->form);
	code = session_begin(s, o, false);
	if (code != 0)
		return code;
	unfit = print_unfit(&s->ruleset);
	if (unfit != NULL)
		return message(EX_DATAERR, "print: interface %s: not a name that can be written",
			unfit);
	printf("# sluice-init: policy %s, mark %08x%s\n", o->policy, s->state.secret,
		o->has_mark || s->state.kept ? "" : " (drawn, and not in the state directory)");
	print_routes(&s->ruleset, form != 2, form != 1);
	if (form == 0)
		print_nft(&s->ruleset);
	else
		print_iptables(stdout, &s->ruleset, form == 1);
	return 0;
}
