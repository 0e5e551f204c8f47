/* SPDX-License-Identifier: MIT */
/* What sluice-init can be told to do. */
#ifndef SLUICE_INIT_COMMAND_H
#define SLUICE_INIT_COMMAND_H

#include <stddef.h>

struct options;

struct command {
	const char *name, *arguments;
	/* Returns the exit status, after messages. */
	int (*function)(const struct options *o);
	const char *help;
	/* The same with --backend iptables; NULL: it cannot be done so. */
	int (*iptables)(const struct options *o);
};

/* command.c: all of them; the first is the default. */
extern const struct command commands[];
extern const size_t command_count;

int command_apply(const struct options *o);  /* command_apply.c */
int command_remove(const struct options *o);
int command_check(const struct options *o);  /* command_check.c */
int command_iptables_apply(const struct options *o); /* command_iptables.c */
int command_iptables_check(const struct options *o);
int command_iptables_remove(const struct options *o);
int command_iptables_lockdown(const struct options *o);
int command_print(const struct options *o);  /* command_print.c */
int command_hold(const struct options *o);   /* command_hold.c */
int command_lockdown(const struct options *o); /* command_lockdown.c */
int command_verify(const struct options *o); /* command_verify.c */

#endif
