/* SPDX-License-Identifier: MIT */
/* sluice-init: installs, checks, prints or removes what captures and contains a node's traffic. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "init/command.h"
#include "init/message.h"
#include "init/option.h"

int main(int argc, char *argv[])
{
	const struct command *command;
	struct options o;
	int code = option_parse(&o, &command, argc, argv);

	if (code < 0)
		code = (o.iptables ? command->iptables : command->function)(&o);
	if (fflush(stdout) != 0)
		return message(EX_IOERR, "standard output: %s", strerror(errno));
	return code;
}
