/* SPDX-License-Identifier: MIT */
/* sluice-rules defaults: what holds where a policy says nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "rules/command.h"
#include "rules/model.h"
#include "rules/show.h"

/* Sections that there are none of by default, as comments. */
static const char more[] =
	"\n"
	"; A service without clients serves all; auto-address is yes where it can be.\n"
	"; In each [service NAME]:\n"
	";resolution    = none\n"
	";location      = external\n"
	";enforcement   = enforce\n"
	";export-to     = *\n"
	";addresses     =\n"
	";endpoints     =\n"
	";upgrade       = none\n"
	";allow-private = no\n"
	";ech           = allow\n"
	";scrub         = no\n"
	";alt-svc       = keep\n"
	"\n"
	"; In each [gateway NAME]:\n"
	";via           = plain\n"
	"\n"
	"; In each [route NAME]:\n"
	";from          = mesh\n";

int command_defaults(int argc, char **argv)
{
	static struct model m; /* what it refers to lives as long */
	struct policy_error e;
	struct policy p;
	uint8_t *bytes;
	size_t len;
	int code = EX_OK;

	if (argc != 1)
		return command_usage(argv[0]);
	model_init(&m);
	bytes = model_emit(&m, &len, &e);
	if (bytes == NULL || policy_open_bytes(&p, bytes, len, &e) < 0) {
		fprintf(stderr, "sluice-rules: defaults: %s\n", e.text);
		return EX_SOFTWARE;
	}
	if (show_policy(&p, stdout) < 0 || fputs(more, stdout) < 0) {
		fprintf(stderr, "sluice-rules: defaults: %s\n", strerror(errno));
		code = EX_IOERR;
	}
	policy_close(&p);
	free(bytes);
	return code;
}
