/* SPDX-License-Identifier: MIT */
/* The ruleset through the board's own iptables programs. */
#include "init/xtables.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include <linux/capability.h>

#include "init/message.h"
#include "init/print.h"
#include "init/program.h"
#include "init/save.h"

/*
 * A kernel without nf_tables is why these programs are used at all, so those that say that they do
 * without it come first; boards have the plain name only.
 */
static const char *const kinds[] = {"-legacy", ""};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), TRIES = 5, NAME = 32, LACK = 96, LISTED = 4096 };
enum { FAILED_RESOURCE = 4 }; /* of iptables' exit statuses: the lock, or no permission */

struct family {
	bool v6;
	const char *name; /* "iptables" */
	char restore[PROGRAM_PATH], save[PROGRAM_PATH];
};

/* What there should be, what there is, and how many differences each table has. */
struct view {
	char *should_text, *is_text;
	struct save should, is;
	uint32_t differences[SAVE_TABLES], total;
};

/* ---- the programs ---- */

static bool find_kind(struct family *f, bool v6, const char *kind)
{
	char name[NAME];

	f->v6 = v6;
	f->name = v6 ? "ip6tables" : "iptables";
	snprintf(name, sizeof(name), "%s%s-restore", f->name, kind);
	if (!program_find(name, f->restore))
		return false;
	snprintf(name, sizeof(name), "%s%s-save", f->name, kind);
	return program_find(name, f->save);
}

static int find_programs(struct family *f, bool v6)
{
	for (int i = 0; i < KINDS; i++)
		if (find_kind(f, v6, kinds[i]))
			return 0;
	return message(EX_UNAVAILABLE,
		"%s-restore and %s-save: not found in " PROGRAM_DIRECTORIES ": install iptables%s",
		f->name, f->name, v6 ? ", or start the kernel with ipv6.disable=1" : "");
}

/*
 * Anything but a plain no is a yes: what is there must be closed. The kernel itself says no with
 * ipv6.disable=1. A socket that is refused is none: systemd does that for whom it restricts. Where
 * there is nothing to ask, IPv6 was never built or is a module that could not be loaded just now.
 */
static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 || errno != EAFNOSUPPORT;
	static bool said;
	char disabled = '0';

	if (fd >= 0)
		(void)close(fd);
	if (has)
		return true;
	fd = open("/sys/module/ipv6/parameters/disable", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (!said)
			(void)message(0, "the kernel has no IPv6 now, and nothing is closed for "
				"it: if it can be loaded later, load it first, or start with "
				"ipv6.disable=1");
		said = true;
		return false;
	}
	has = read(fd, &disabled, 1) != 1 || disabled == '0';
	(void)close(fd);
	return has;
}

/* IPv6 first: something is missing there, if anywhere, and then nothing has changed yet. */
static int find_families(struct family families[static 2], int *n)
{
	int code = 0;

	*n = 0;
	if (has_ipv6())
		code = find_programs(&families[(*n)++], true);
	return code != 0 ? code : find_programs(&families[(*n)++], false);
}

/*
 * Without these some versions of iptables-save show nothing, with success; they pass to a program
 * that root starts.
 */
static int check_privilege(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	const uint32_t need = 1u << CAP_NET_ADMIN | 1u << CAP_NET_RAW;

	if (geteuid() == 0 && syscall(SYS_capget, &header, data) == 0 &&
		(data[0].effective & need) == need)
		return 0;
	return message(EX_NOPERM, "iptables: needs root with CAP_NET_RAW, and needs CAP_NET_ADMIN");
}

/* ---- what went wrong ---- */

/* Whether /proc/net/ip_tables_matches, or _targets, has the name; or there is no such list. */
static bool is_listed(const struct family *f, bool match, const char *name)
{
	char list[LISTED], line[NAME + 2];
	ssize_t n;
	int fd;

	snprintf(list, sizeof(list), "/proc/net/ip%s_tables_%s", f->v6 ? "6" : "",
		match ? "matches" : "targets");
	fd = open(list, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	list[0] = '\n';
	n = read(fd, list + 1, sizeof(list) - 2);
	(void)close(fd);
	list[n > 0 ? n + 1 : 1] = '\0';
	snprintf(line, sizeof(line), "\n%s\n", name);
	return n <= 0 || save_find(list, line) != NULL;
}

/* What the rules need and the kernel does not list even after it was asked for; "" if nothing. */
static void find_lack(const struct family *f, const struct save *should, char out[static LACK])
{
	static const char *const own[] = {"RETURN", "DROP", "ACCEPT", NULL};

	*out = '\0';
	for (size_t i = 0; i < should->n_rules && *out == '\0'; i++) {
		char name[NAME];
		const char *p = should->rules[i].canon;

		while (*out == '\0' && (p = save_extension(p, name, sizeof(name))) != NULL) {
			bool match = name[0] >= 'a';
			bool known = strncmp(name, SAVE_PREFIX, sizeof(SAVE_PREFIX) - 1) == 0;

			for (int k = 0; own[k] != NULL; k++)
				known |= strcmp(name, own[k]) == 0;
			if (!known && !is_listed(f, match, name))
				snprintf(out, LACK, "%s %s%s", match ? "match" : "target", name,
					strcmp(name, "TPROXY") == 0 ? ": use method = redirect"
					: strcmp(name, "REDIRECT") == 0 ? ": use method = tproxy"
									: "");
		}
	}
}

static int complain(const struct family *f, const char *path, const struct program_result *result,
	const struct save *should)
{
	const char *line = result->line[0] != '\0' ? result->line : "failed, and does not say why";
	char lack[LACK] = "";

	if (result->err == ETIMEDOUT)
		return message(EX_TEMPFAIL, "%s: did not end within %d s", path, PROGRAM_SECONDS);
	if (result->err == ENOEXEC)
		return message(EX_UNAVAILABLE, "%s: cannot be executed", path);
	if (result->err != 0)
		return message(EX_OSERR, "%s: %s", path, strerror(result->err));
	if (result->status >= 128)
		return message(EX_UNAVAILABLE, "%s: ended by signal %d", path,
			result->status - 128);
	if (save_find(line, "Permission denied") != NULL)
		return message(EX_NOPERM, "%s: %s", path, line);
	if (result->status == FAILED_RESOURCE && save_find(line, "lock") != NULL)
		return message(EX_TEMPFAIL, "%s: %s", path, line);
	if (should != NULL && save_find(line, "nf_tables") == NULL)
		find_lack(f, should, lack);
	if (lack[0] != '\0')
		return message(EX_UNAVAILABLE, "%s: the kernel lacks %s", path, lack);
	return message(EX_UNAVAILABLE, "%s: %s", path, line);
}

/* ---- reading ---- */

static void view_fini(struct view *v)
{
	save_fini(&v->should);
	save_fini(&v->is);
	free(v->should_text);
	free(v->is_text);
	memset(v, 0, sizeof(*v));
}

/* A text that is written, and its end. */
static FILE *open_text(char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);

	if (out == NULL)
		message_out_of_memory();
	return out;
}

static void close_text(FILE *out)
{
	bool bad = ferror(out) != 0;

	if (fclose(out) != 0 || bad)
		message_out_of_memory();
}

static void run_save(const struct family *f, struct program_result *result)
{
	const char *const argv[] = {f->save, NULL};

	program_run(f->save, argv, "", result);
}

/* What there is and, with a ruleset, what there should be. A program's failure is in *result. */
static bool view_read(struct view *v, const struct family *f, const struct ruleset *r,
	struct program_result *result)
{
	size_t size;

	memset(v, 0, sizeof(*v));
	run_save(f, result);
	v->is_text = result->out;
	if (result->err != 0 || result->status != 0)
		return false;
	save_read(&v->is, v->is_text);
	if (r != NULL) {
		FILE *out = open_text(&v->should_text, &size);

		print_iptables(out, r, !f->v6);
		close_text(out);
		save_read(&v->should, v->should_text);
	}
	return true;
}

static void view_compare(struct view *v, const struct family *f, bool say)
{
	v->total = 0;
	save_compare(&v->should, &v->is, f->name, say, v->differences);
	for (int i = 0; i < SAVE_TABLES; i++)
		v->total += v->differences[i];
}

static int view_open(struct view *v, const struct family *f, const struct ruleset *r, bool say)
{
	struct program_result result;

	if (!view_read(v, f, r, &result)) {
		int code = complain(f, f->save, &result, NULL);

		view_fini(v);
		return code;
	}
	view_compare(v, f, say);
	return 0;
}

/* ---- writing ---- */

/*
 * One table: chains that are there are emptied, and all becomes valid at its COMMIT, so that there
 * is no moment without rules.
 */
static void put_table(FILE *out, const struct view *v, enum save_table table)
{
	fprintf(out, "*%s\n", save_table_name(table));
	for (size_t i = 0; i < v->should.n_chains; i++)
		if (v->should.chains[i].table == table)
			fprintf(out, ":%s - [0:0]\n", v->should.chains[i].name);
	for (size_t i = 0; i < v->is.n_chains; i++)
		if (v->is.chains[i].table == table &&
			!save_has_chain(&v->should, table, v->is.chains[i].name))
			fprintf(out, ":%s - [0:0]\n", v->is.chains[i].name);
	for (size_t i = 0; i < v->is.n_rules; i++)
		if (v->is.rules[i].table == table && !v->is.rules[i].ours)
			fprintf(out, "-D %s %s\n", v->is.rules[i].chain, v->is.rules[i].spec);
	for (size_t i = 0; i < v->should.n_rules; i++)
		if (v->should.rules[i].table == table)
			fprintf(out, "-%c %s %s\n", v->should.rules[i].ours ? 'A' : 'I',
				v->should.rules[i].chain, v->should.rules[i].spec);
	for (size_t i = 0; i < v->is.n_chains; i++)
		if (v->is.chains[i].table == table &&
			!save_has_chain(&v->should, table, v->is.chains[i].name))
			fprintf(out, "-X %s\n", v->is.chains[i].name);
	fputs("COMMIT\n", out);
}

/*
 * Loads the tables that differ. Any may be the last that is loaded. What is forwarded is judged in
 * filter if there is such a chain, and else in mangle with all that leaves: the table that is to
 * judge it comes before the one that no longer does.
 */
static void load(const struct family *f, const struct view *v, struct program_result *result)
{
	static const enum save_table orders[2][SAVE_TABLES] = {
		{SAVE_MANGLE, SAVE_NAT, SAVE_FILTER}, {SAVE_FILTER, SAVE_MANGLE, SAVE_NAT}};
	const char *const argv[] = {f->restore, "--noflush", "--wait=30", NULL};
	const enum save_table *order =
		orders[save_has_chain(&v->should, SAVE_FILTER, "SLUICE_FORWARD")];
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	for (int i = 0; i < SAVE_TABLES; i++)
		if (v->differences[order[i]] > 0)
			put_table(out, v, order[i]);
	close_text(out);
	program_run(f->restore, argv, text, result);
	free(text);
}

/*
 * What a program says that it did is not believed but read back. Others may change the tables
 * between reading and writing: then it fails, or the result is not the wanted one.
 */
static int install(const struct family *f, struct view *v, const struct ruleset *r)
{
	int code = 0;

	for (int tries = 0; code == 0 && v->total > 0 && tries < TRIES; tries++) {
		struct program_result result;
		bool failed;

		load(f, v, &result);
		free(result.out);
		failed = result.err != 0 || result.status != 0;
		if (failed && tries > 0)
			return complain(f, f->restore, &result, &v->should);
		view_fini(v);
		code = view_open(v, f, r, false);
	}
	if (code != 0 || v->total == 0)
		return code;
	view_compare(v, f, true);
	return message(EX_TEMPFAIL, "%s: is not what was loaded: somebody else changes our rules, "
		"or %s is of a kind that is not known here", f->restore, f->save);
}

int xtables_apply(const struct ruleset *r)
{
	struct family families[2];
	struct view views[2] = {{0}};
	int n, code = check_privilege();

	if (code == 0)
		code = find_families(families, &n);
	if (code != 0)
		return code;
	for (int i = 0; i < n && code == 0; i++)
		code = view_open(&views[i], &families[i], r, false);
	for (int i = 0; i < n && code == 0; i++) {
		code = install(&families[i], &views[i], r);
		if (code != 0 && i > 0)
			(void)message(code, "the rules for IPv6 are in place, those for IPv4 are "
				"not: apply again, or remove");
	}
	for (int i = 0; i < 2; i++)
		view_fini(&views[i]);
	return code;
}

int xtables_compare(const struct ruleset *r, bool say, uint32_t *differences)
{
	struct family families[2];
	int n, code = check_privilege();

	*differences = 0;
	if (code == 0)
		code = find_families(families, &n);
	for (int i = 0; code == 0 && i < n; i++) {
		struct view v;

		code = view_open(&v, &families[i], r, say);
		if (code != 0)
			return code;
		*differences += v.total;
		view_fini(&v);
	}
	return code;
}

/* 0, or a sysexits code after a message. *unreadable: the program says that it cannot. */
static int remove_from(const struct family *f, bool *unreadable)
{
	struct program_result result;
	struct view v;
	int code = 0;

	*unreadable = false;
	for (int tries = 0; tries < TRIES; tries++) {
		bool failed, read = view_read(&v, f, NULL, &result);

		if (read)
			view_compare(&v, f, false);
		if (!read || v.total == 0) {
			if (!read)
				code = complain(f, f->save, &result, NULL);
			*unreadable = code == EX_UNAVAILABLE && tries == 0 && result.err == 0 &&
				result.status < 128;
			view_fini(&v);
			return code;
		}
		load(f, &v, &result);
		free(result.out);
		failed = result.err != 0 || result.status != 0;
		view_fini(&v);
		if (failed && tries > 0)
			return complain(f, f->restore, &result, NULL);
	}
	return message(EX_TEMPFAIL, "%s: somebody else keeps putting our rules back", f->restore);
}

/*
 * A kind that cannot be read is that of the other part of the kernel, which is not there, if the
 * other kind can be: its rules cannot be there either.
 */
static int remove_family(bool v6)
{
	int unread = 0;
	bool any = false;

	for (int i = 0; i < KINDS; i++) {
		struct family f;
		bool unreadable;
		int code;

		if (!find_kind(&f, v6, kinds[i]))
			continue;
		code = remove_from(&f, &unreadable);
		if (code != 0 && !unreadable)
			return code;
		any |= code == 0;
		unread = code != 0 ? code : unread;
	}
	return any ? 0 : unread;
}

int xtables_remove(void)
{
	int code = check_privilege();

	if (code == 0)
		code = remove_family(true);
	return code == 0 ? remove_family(false) : code;
}

/* ---- what there is no way to do ---- */

/* A name that ends with + would stand for every interface whose name begins so. */
static bool is_wildcard(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && name[len - 1] == '+';
}

const char *xtables_refusal(const struct ruleset *r)
{
	static const char *const why[] = {
		"exclude-interfaces: a name that ends with + is more than one to iptables",
		"interfaces: a name that ends with + is more than one to iptables"};
	const struct policy_list lists[] = {r->capture.exclude_interfaces, r->capture.interfaces};

	if (r->capture.scope != POLICY_SCOPE_ROUTER &&
		(r->capture.accept & POLICY_ACCEPT_PACKET_SOCKETS) == 0)
		return "packet sockets cannot be watched by iptables: needs "
		       "`accept = packet-sockets`";
	for (int n = 0; n < 2; n++)
		for (uint32_t i = 0; i < lists[n].n; i++)
			if (is_wildcard(policy_string(r->policy, policy_item(lists[n], i))))
				return why[n];
	return NULL;
}
