/* SPDX-License-Identifier: MIT */
/* The table of commands: usage, help and look-up all read it. */
#include "init/command.h"

const struct command commands[] = {
	{"apply", "", command_apply, "install the rules, or bring them up to date (the default)",
	 command_iptables_apply},
	{"check", "", command_check,
	 "say what differs from the policy; exit status 1 if anything does", command_iptables_check},
	{"hold", "[-- PROGRAM [ARG]...]", command_hold,
	 "apply, stay, and keep the rules; run PROGRAM under them", NULL},
	{"lockdown", "", command_lockdown, "close everything until apply; needs no policy",
	 command_iptables_lockdown},
	{"verify", "", command_verify, "try the ways out, and say what came of each", NULL},
	{"remove", "", command_remove, "take away what apply installed", command_iptables_remove},
	{"print", "nft|iptables|ip6tables", command_print, "write the rules as text", NULL},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
