/* SPDX-License-Identifier: MIT */
/* How iptables.c has a rule written as lines of text. */
#ifndef SLUICE_INIT_IPTABLES_H
#define SLUICE_INIT_IPTABLES_H

#include <stdbool.h>
#include <stdio.h>

#include "init/ruleset.h"

enum { IPTABLES_NAME = 29 }; /* bytes of a chain's name */

/*
 * Chains have to be known before rules that name them, so all is gone through twice: first only the
 * chains are written, then only the rules.
 */
struct iptables_writer {
	FILE *out;
	const struct ruleset *r;
	bool v4, declare;
	const char *hook, *name;       /* the built-in chain, and our first one there */
	char chain[IPTABLES_NAME];     /* where lines go */
	char otherwise[IPTABLES_NAME]; /* where who is told `return` goes; empty: back */
	const struct rule *outside;    /* asks whether an interface is none of a set: NAME_OUT */
	const struct rule *marks;      /* tells what was forwarded: NAME_PAST */
};

/*
 * Writes a rule: one line for each element of its set and each statement. Returns for how many
 * elements.
 */
unsigned iptables_put_rule(struct iptables_writer *w, const struct rule *rule);
/* " -i br-lan": the element of the item's set. */
void iptables_put_element(const struct iptables_writer *w, const struct item *i,
	const struct element *e);
#endif
