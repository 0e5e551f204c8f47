/* SPDX-License-Identifier: MIT */
/*
 * What iptables-save or ip6tables-save says, or print_iptables: of the tables mangle, nat and
 * filter our chains (their names begin with SLUICE_), and the rules of others' that lead into them.
 */
#ifndef SLUICE_INIT_SAVE_H
#define SLUICE_INIT_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAVE_PREFIX "SLUICE_"

enum save_table { SAVE_MANGLE, SAVE_NAT, SAVE_FILTER, SAVE_TABLES };

struct save_rule {
	enum save_table table;
	bool ours;         /* in a chain of ours; else it leads to one */
	const char *chain;
	uint32_t position; /* in the chain, from 1 */
	const char *spec;  /* as it was written, after the chain's name */
	char *canon;       /* the same for all rules that mean the same; to compare, not to read */
};
struct save_chain { enum save_table table; const char *name; };
struct save {
	struct save_rule *rules; /* in order, chain by chain */
	struct save_chain *chains;
	size_t n_rules, n_chains;
};

/* Reads the text, which it changes and goes on using. */
void save_read(struct save *s, char *text);
/* Forgets all but the text. */
void save_fini(struct save *s);

/* Where the text has the part, which is not empty; or NULL. */
const char *save_find(const char *text, const char *part);
const char *save_table_name(enum save_table table);
bool save_has_chain(const struct save *s, enum save_table table, const char *name);
/*
 * The next match or target that the rule (canon, or what the call before returned) names, in `out`;
 * NULL: no more.
 */
const char *save_extension(const char *canon, char *out, size_t size);
/* The value of a rule's option, in `out`: "" if it has none. */
void save_option(const struct save_rule *rule, const char *option, char *out, size_t size);
/*
 * Prints what differs in `is` from `should`, each difference a line on standard output after
 * `prefix`, if `say`. Returns their number for each table.
 */
void save_compare(const struct save *should, const struct save *is, const char *prefix, bool say,
	uint32_t differences[static SAVE_TABLES]);
#endif
