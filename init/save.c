/* SPDX-License-Identifier: MIT */
/* What iptables-save says. */
#include "init/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init/message.h"
#include "rules/addr.h"

/*
 * A rule has at most TOKENS words, all of them text. Those that have more, or other characters, are
 * strange: nobody asks what they mean. The words of a clause are kept apart by JOIN, clauses by
 * CLAUSE.
 */
enum { TOKENS = 48, JOIN = 1, CLAUSE = 2 };

struct token { const char *text; bool quoted; };

const char *save_table_name(enum save_table table)
{
	static const char *const names[SAVE_TABLES] = {"mangle", "nat", "filter"};

	return names[table];
}

/* strstr() of the C library is made for long texts, and large. */
const char *save_find(const char *text, const char *part)
{
	size_t len = strlen(part);

	while (*text != '\0' && strncmp(text, part, len) != 0)
		text++;
	return *text != '\0' ? text : NULL;
}

static void *grow(void *v, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0 && n != 0) /* room doubles */
		return v;
	v = realloc(v, (n == 0 ? 1 : n * 2) * size);
	if (v == NULL)
		message_out_of_memory();
	return v;
}

/*
 * Cuts a line into words in place. iptables-save quotes with ", and escapes with \ inside quotes.
 * Returns their number; TOKENS + 1 if there are more.
 */
static int split(char *line, struct token tokens[static TOKENS])
{
	char *to = line;
	int n = 0;

	for (char *from = line; *from != '\0';) {
		bool inside = false;

		while (*from == ' ')
			from++;
		if (*from == '\0')
			break;
		if (n == TOKENS)
			return TOKENS + 1;
		tokens[n] = (struct token){to, false};
		for (; *from != '\0' && (inside || *from != ' '); from++) {
			if (*from == '"') {
				inside = !inside;
				tokens[n].quoted = true;
				continue;
			}
			if (*from == '\\' && from[1] != '\0')
				from++;
			*to++ = *from;
		}
		if (*from == ' ')
			from++;
		*to++ = '\0';
		n++;
	}
	return n;
}

static bool is_any(const char *text, const char *const *words)
{
	while (*words != NULL && strcmp(text, *words) != 0)
		words++;
	return *words != NULL;
}

/* Words of one kind begin a clause: addresses, interfaces, protocol, matches, target. */
static bool begins(const struct token *t, int n, int i)
{
	static const char *const starts[] = {
		"-s", "-d", "-i", "-o", "-p", "-f", "-m", "-j", "-g", NULL};

	if (t[i].quoted)
		return false;
	if (i > 0 && !t[i - 1].quoted && strcmp(t[i - 1].text, "!") == 0)
		return false;
	if (strcmp(t[i].text, "!") == 0)
		return i + 1 < n && is_any(t[i + 1].text, starts);
	return is_any(t[i].text, starts);
}

/* Libraries differ in how they write the addresses of IPv6. */
static const char *tidy(const char *word, char out[static ADDR_TEXT])
{
	struct addr address;

	if (strchr(word, ':') == NULL || addr_parse(&address, word, strlen(word)) != 0)
		return word;
	return addr_format(&address, out);
}

/* A prefix, a range of addresses, or any other word. */
static char *put_word(char *to, char *word)
{
	size_t end = strcspn(word, "/-");
	char text[ADDR_TEXT], after = word[end];

	word[end] = '\0';
	to = stpcpy(to, tidy(word, text));
	word[end] = after;
	if (after == '-' && strchr(word, ':') != NULL) {
		*to++ = '-';
		return stpcpy(to, tidy(word + end + 1, text));
	}
	return stpcpy(to, word + end);
}

/* What says nothing, and is written by some and left out by others. */
static bool is_idle(const char *clause)
{
	static const char *const idle[] = {
		"-m\1tcp", "-m\1udp", "-s\1" "0.0.0.0/0", "-s\1::/0", "-d\1" "0.0.0.0/0",
		"-d\1::/0", NULL};

	return is_any(clause, idle);
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of interfaces may hold the characters that keep words and clauses apart. */
static bool is_text(const char *spec)
{
	while ((unsigned char)*spec >= ' ')
		spec++;
	return *spec == '\0';
}

/* The clauses of a rule in one order: matches have no side effects, so that it does not matter. */
static char *canonical(const char *spec)
{
	size_t len = strlen(spec) + 1, n_clauses = 0;
	char *line = malloc(len), *work = malloc(2 * len + TOKENS * ADDR_TEXT), *out, *to;
	char *clause[TOKENS];
	struct token tokens[TOKENS];
	int n;

	if (line == NULL || work == NULL)
		message_out_of_memory();
	memcpy(line, spec, len);
	n = is_text(spec) ? split(line, tokens) : TOKENS + 1;
	to = work;
	for (int i = 0; i < n && n <= TOKENS; i++) {
		bool first = i == 0 || begins(tokens, n, i);

		if (first && n_clauses > 0 && is_idle(clause[n_clauses - 1]))
			n_clauses--;
		if (first)
			clause[n_clauses++] = to;
		else
			to[-1] = JOIN;
		to = put_word(to, (char *)tokens[i].text) + 1;
	}
	if (n_clauses > 0 && is_idle(clause[n_clauses - 1]))
		n_clauses--;
	qsort(clause, n_clauses, sizeof(clause[0]), order);
	out = malloc((size_t)(to - work) + len + TOKENS);
	if (out == NULL)
		message_out_of_memory();
	to = n > TOKENS ? stpcpy(out, spec) : out;
	*to = '\0';
	for (size_t i = 0; i < n_clauses; i++) {
		to = stpcpy(to, clause[i]);
		*to++ = CLAUSE;
		*to = '\0';
	}
	free(line);
	free(work);
	return out;
}

/* Where a rule says that it leads to a chain of ours, or NULL. */
static const char *ours_in(const char *canon)
{
	static const char jump[] = "-j\1" SAVE_PREFIX, go[] = "-g\1" SAVE_PREFIX;
	const char *found = save_find(canon, jump);

	return found != NULL ? found : save_find(canon, go);
}

static bool is_ours(const char *chain)
{
	return strncmp(chain, SAVE_PREFIX, sizeof(SAVE_PREFIX) - 1) == 0;
}

static void take_chain(struct save *s, enum save_table table, char *line)
{
	line[strcspn(line, " ")] = '\0';
	if (!is_ours(line))
		return;
	s->chains = grow(s->chains, s->n_chains, sizeof(*s->chains));
	s->chains[s->n_chains++] = (struct save_chain){table, line};
}

/* -I puts a rule in front of those of its chain; -A behind them. */
static void take_rule(struct save *s, enum save_table table, char *line, bool front,
	uint32_t position)
{
	struct save_rule rule = {.table = table, .chain = line, .position = position};
	size_t end = strcspn(line, " ");

	rule.spec = line[end] == '\0' ? "" : line + end + 1;
	line[end] = '\0';
	rule.ours = is_ours(line);
	if (!rule.ours && save_find(rule.spec, SAVE_PREFIX) == NULL)
		return;
	rule.canon = canonical(rule.spec);
	if (!rule.ours && ours_in(rule.canon) == NULL) {
		free(rule.canon);
		return;
	}
	for (size_t i = 0; front && i < s->n_rules; i++)
		if (s->rules[i].table == table && strcmp(s->rules[i].chain, line) == 0)
			s->rules[i].position++;
	s->rules = grow(s->rules, s->n_rules, sizeof(*s->rules));
	s->rules[s->n_rules++] = rule;
}

void save_read(struct save *s, char *text)
{
	enum save_table table = SAVE_TABLES;
	char last[32] = "";
	uint32_t position = 0;

	memset(s, 0, sizeof(*s));
	for (char *line = text, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (*line == '*') {
			table = SAVE_MANGLE;
			while (table < SAVE_TABLES && strcmp(line + 1, save_table_name(table)) != 0)
				table++;
			last[0] = '\0';
		} else if (table == SAVE_TABLES) {
			continue;
		} else if (*line == ':') {
			take_chain(s, table, line + 1);
		} else if (strncmp(line, "-A ", 3) == 0) {
			size_t len = strcspn(line + 3, " ");
			bool same = strlen(last) == len && strncmp(last, line + 3, len) == 0;

			position = same ? position + 1 : 1;
			snprintf(last, sizeof(last), "%.*s", (int)len, line + 3);
			take_rule(s, table, line + 3, false, position);
		} else if (strncmp(line, "-I ", 3) == 0) {
			take_rule(s, table, line + 3, true, 1);
		}
	}
}

void save_fini(struct save *s)
{
	for (size_t i = 0; i < s->n_rules; i++)
		free(s->rules[i].canon);
	free(s->rules);
	free(s->chains);
	memset(s, 0, sizeof(*s));
}

bool save_has_chain(const struct save *s, enum save_table table, const char *name)
{
	for (size_t i = 0; i < s->n_chains; i++)
		if (s->chains[i].table == table && strcmp(s->chains[i].name, name) == 0)
			return true;
	return false;
}

const char *save_extension(const char *canon, char *out, size_t size)
{
	for (const char *p = canon; *p != '\0'; p += strcspn(p, "\2"), p += *p != '\0') {
		if (strncmp(p, "-m\1", 3) != 0 && strncmp(p, "-j\1", 3) != 0)
			continue;
		p += 3;
		snprintf(out, size, "%.*s", (int)strcspn(p, "\1\2"), p);
		return p;
	}
	return NULL;
}

void save_option(const struct save_rule *rule, const char *option, char *out, size_t size)
{
	size_t len = strlen(option);
	const char *p = rule->canon;

	*out = '\0';
	while ((p = save_find(p, option)) != NULL) {
		if (p[len] == JOIN) {
			p += len + 1;
			snprintf(out, size, "%.*s", (int)strcspn(p, "\1\2"), p);
			return;
		}
		p += len;
	}
}

/* ---- one held against the other ---- */

struct compare {
	const struct save *should, *is;
	const char *prefix;
	bool say;
	uint32_t *differences;
};

/* "iptables: mangle: chain OUTPUT: " and what is the matter. */
static void differ(struct compare *c, enum save_table table, const char *chain, const char *what,
	const char *object, const char *verdict)
{
	c->differences[table]++;
	if (c->say)
		printf("%s: %s: chain %s: %s%s%s\n", c->prefix, save_table_name(table), chain, what,
			object, verdict);
}

/* The next rule of the chain at or after *at, or NULL. */
static const struct save_rule *next_rule(const struct save *s, enum save_table table,
	const char *chain, size_t *at)
{
	while (*at < s->n_rules) {
		const struct save_rule *rule = &s->rules[(*at)++];

		if (rule->table == table && strcmp(rule->chain, chain) == 0)
			return rule;
	}
	return NULL;
}

static void say_missing(struct compare *c, const struct save_rule *rule)
{
	char what[32], comment[128];

	save_option(rule, "--comment", comment, sizeof(comment));
	snprintf(what, sizeof(what), "rule %u (", rule->position);
	differ(c, rule->table, rule->chain, what, comment, "): missing");
}

/* How many rules of `is` come before one that is as `rule`; or -1: there is none. */
static long distance(const struct save *is, const struct save_rule *rule, size_t at)
{
	const struct save_rule *other;

	for (long n = 0; (other = next_rule(is, rule->table, rule->chain, &at)) != NULL; n++)
		if (strcmp(other->canon, rule->canon) == 0)
			return n;
	return -1;
}

static void compare_rules(struct compare *c, const struct save_chain *chain)
{
	size_t at = 0, is_at = 0;
	const struct save_rule *rule, *other;
	char number[32];

	while ((rule = next_rule(c->should, chain->table, chain->name, &at)) != NULL) {
		long n = distance(c->is, rule, is_at);

		snprintf(number, sizeof(number), "%u", rule->position);
		for (long i = 0; i < n; i++) {
			differ(c, chain->table, chain->name, "a rule before rule ", number,
				" should not be there");
			(void)next_rule(c->is, chain->table, chain->name, &is_at);
		}
		if (n < 0)
			say_missing(c, rule);
		else
			(void)next_rule(c->is, chain->table, chain->name, &is_at);
	}
	while ((other = next_rule(c->is, chain->table, chain->name, &is_at)) != NULL) {
		snprintf(number, sizeof(number), "%u", other->position);
		differ(c, chain->table, chain->name, "rule ", number, " should not be there");
	}
}

/* A rule of somebody else's chain, the same in `other`, or NULL. */
static const struct save_rule *find_jump(const struct save *other, const struct save_rule *rule)
{
	for (size_t i = 0; i < other->n_rules; i++) {
		const struct save_rule *r = &other->rules[i];

		if (!r->ours && r->table == rule->table && strcmp(r->chain, rule->chain) == 0 &&
			strcmp(r->canon, rule->canon) == 0)
			return r;
	}
	return NULL;
}

static void differ_jump(struct compare *c, const struct save_rule *rule, const char *what,
	const char *verdict)
{
	const char *target = ours_in(rule->canon) + 3;
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(target, "\1\2"), target);
	differ(c, rule->table, rule->chain, what, name, verdict);
}

/* Ours are the first in their chain, in our order, once each, and nowhere else. */
static void compare_jumps(struct compare *c)
{
	for (size_t i = 0; i < c->should->n_rules; i++) {
		const struct save_rule *rule = &c->should->rules[i], *found;

		if (rule->ours)
			continue;
		found = find_jump(c->is, rule);
		if (found == NULL || found->position != rule->position)
			differ_jump(c, rule, "the jump to ",
				found == NULL ? " is missing" : " is not in its place");
	}
	for (size_t i = 0; i < c->is->n_rules; i++) {
		const struct save_rule *rule = &c->is->rules[i];

		if (!rule->ours && (find_jump(c->should, rule) == NULL ||
					   find_jump(c->is, rule) != rule))
			differ_jump(c, rule, "a rule that leads to ", " should not be there");
	}
}

void save_compare(const struct save *should, const struct save *is, const char *prefix, bool say,
	uint32_t differences[static SAVE_TABLES])
{
	struct compare c = {should, is, prefix, say, differences};

	memset(differences, 0, SAVE_TABLES * sizeof(*differences));
	for (size_t i = 0; i < should->n_chains; i++) {
		const struct save_chain *chain = &should->chains[i];

		if (save_has_chain(is, chain->table, chain->name))
			compare_rules(&c, chain);
		else
			differ(&c, chain->table, chain->name, "missing", "", "");
	}
	for (size_t i = 0; i < is->n_chains; i++)
		if (!save_has_chain(should, is->chains[i].table, is->chains[i].name))
			differ(&c, is->chains[i].table, is->chains[i].name, "should not be there",
				"", "");
	compare_jumps(&c);
}
