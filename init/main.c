/* SPDX-License-Identifier: MIT */
/* sluice-init: installs, checks, prints or removes what captures and contains a node's traffic. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "autoconf.h"
#include "init/dump.h"
#include "init/link.h"
#include "init/message.h"
#include "init/nft.h"
#include "init/print.h"
#include "init/route.h"
#include "init/ruleset.h"
#include "init/state.h"
#include "rules/capture.h"

enum { EX_DIFFERENT = 1, APPLY_TRIES = 5 };

struct options {
	const char *policy, *state, *form;
	uint32_t uid, gid, mark;
	uint16_t port;
	bool has_mark, egress_hook;
};

/* Too large for a small board's stack; there is one run of one command per process. */
static struct {
	struct netlink route, filter;
	struct link_list links;
	struct policy policy;
	struct ruleset ruleset;
	struct bytecode bytecode;
	struct state state;
} run;

/* ---- what every command begins with ---- */

static int open_policy(const struct options *o)
{
	struct policy_error e;
	int code;

	if (o->policy == NULL)
		return message(EX_USAGE, "--policy FILE is missing");
	if (policy_open(&run.policy, o->policy, &e) == 0)
		return 0;
	code = errno == EBADMSG ? EX_DATAERR : errno == EIO ? EX_IOERR : EX_NOINPUT;
	return message(code, "policy: %s: %s", o->policy, e.text);
}

static int open_netlink(struct netlink *nl, int bus, const char *name)
{
	if (netlink_open(nl, bus) == 0)
		return 0;
	return message(errno == EPROTONOSUPPORT ? EX_UNAVAILABLE : EX_OSERR, "netlink: %s: %s",
		name, strerror(errno));
}

static int build(const struct options *o)
{
	struct ruleset_config config = {
		.secret = run.state.secret, .uid = o->uid, .port = o->port,
		.egress_hook = o->egress_hook,
	};
	const char *why;
	int err = link_list_read(&run.links, &run.route);

	if (err != 0)
		return message(EX_OSERR, "interfaces: %s", strerror(err));
	err = ruleset_init(&run.ruleset, &run.policy, &config, run.links.link, run.links.n, &why);
	if (err != 0)
		return message(EX_CONFIG, "policy: %s: [capture] %s", o->policy, why);
	return 0;
}

static int begin(const struct options *o, bool filter)
{
	int code = open_policy(o);

	run.state = (struct state){.dir = o->state, .uid = o->uid, .gid = o->gid};
	if (code == 0 && o->has_mark)
		run.state.secret = o->mark;
	else if (code == 0)
		code = state_read(&run.state);
	if (code == 0)
		code = open_netlink(&run.route, NETLINK_ROUTE, "rtnetlink");
	if (code == 0 && filter)
		code = open_netlink(&run.filter, NETLINK_NETFILTER, "nf_tables");
	if (code == 0)
		code = build(o);
	if (code == 0 && filter)
		bytecode_init(&run.bytecode, &run.ruleset);
	return code;
}

/* ---- reading what there is ---- */

struct present {
	unsigned tables, routes, ours;
	uint32_t differences; /* of the tables */
};

static int complain_read(const char *what, int err)
{
	return message(err == EPERM ? EX_NOPERM : EX_OSERR, "%s: %s", what,
		err == EPERM ? "needs CAP_NET_ADMIN" : strerror(err));
}

static int read_present(struct present *p, const struct ruleset *r, bool say)
{
	int err = dump_tables(&run.filter, &p->tables);

	if (err == 0 && r != NULL)
		err = dump_compare(&run.filter, r, &run.bytecode, say, &p->differences);
	if (err == EOPNOTSUPP)
		return message(EX_UNAVAILABLE, "the kernel lacks nf_tables (CONFIG_NF_TABLES)");
	if (err != 0)
		return complain_read("nf_tables", err);
	err = route_read(&run.route, &p->routes, &p->ours);
	return err == 0 ? 0 : complain_read("routing", err);
}

static unsigned routes_wanted(void)
{
	return run.ruleset.capture.method == POLICY_TPROXY ? route_needed() : 0;
}

/* ---- commands ---- */

static int install(struct present *p)
{
	for (int tries = 0; tries < APPLY_TRIES; tries++) {
		int code;

		if (p->differences == 0)
			return 0;
		code = nft_apply(&run.filter, &run.ruleset, &run.bytecode, p->tables);
		if (code != EX_TEMPFAIL)
			return code;
		code = read_present(p, &run.ruleset, false);
		if (code != 0)
			return code;
	}
	return message(EX_TEMPFAIL, "nf_tables: somebody else keeps changing our tables");
}

/*
 * What is there already stays untouched, so that applying again disturbs no flow. The routes come
 * before the rules that need them; without those rules they do nothing.
 */
static int apply(const struct options *o)
{
	struct present p = {0};
	unsigned wanted, missing;
	bool fresh;
	int code = state_lock(o->state);

	if (code == 0)
		code = begin(o, true);
	if (code == 0)
		code = read_present(&p, &run.ruleset, false);
	if (code != 0)
		return code;
	wanted = routes_wanted();
	missing = wanted & ~p.routes;
	fresh = !run.state.kept && p.tables == 0;
	if (!run.state.kept)
		code = state_write(&run.state);
	if (code == 0)
		code = route_add(&run.route, missing);
	if (code == 0)
		code = install(&p);
	if (code != 0) {
		(void)route_delete(&run.route, missing);
		if (fresh)
			(void)state_remove(o->state);
		return code;
	}
	return route_delete(&run.route, p.ours & ~wanted);
}

static int check(const struct options *o)
{
	struct present p = {0};
	unsigned wanted, wrong;
	bool different = false;
	int code = begin(o, true);

	if (code != 0)
		return code;
	wanted = routes_wanted();
	if (!run.state.kept) {
		printf("state: %s/" CAPTURE_MARK_FILE ": missing, or not the proxy's\n", o->state);
		different = true;
	}
	code = read_present(&p, &run.ruleset, true);
	if (code != 0)
		return code;
	wrong = (wanted & ~p.routes) | (p.ours & ~wanted);
	for (unsigned bit = 1; bit <= wrong; bit <<= 1)
		if (wrong & bit)
			printf("%s for table %d: %s\n", route_name(bit), CAPTURE_ROUTE_TABLE,
			       wanted & bit ? "missing" : "should not be there");
	different |= wrong != 0 || p.differences > 0;
	return different ? EX_DIFFERENT : 0;
}

static int remove_all(const struct options *o)
{
	struct present p = {0};
	int code = open_netlink(&run.route, NETLINK_ROUTE, "rtnetlink");

	if (code == 0)
		code = open_netlink(&run.filter, NETLINK_NETFILTER, "nf_tables");
	if (code == 0)
		code = read_present(&p, NULL, false);
	if (code == 0 && p.tables != 0)
		code = nft_remove(&run.filter, p.tables);
	if (code == 0)
		code = route_delete(&run.route, p.ours);
	if (code != 0)
		return code;
	return state_remove(o->state);
}

static const char *const forms[] = {"nft", "iptables", "ip6tables"};

static int print(const struct options *o)
{
	const char *unfit;
	size_t form = 0;
	int code;

	while (form < 3 && (o->form == NULL || strcmp(o->form, forms[form]) != 0))
		form++;
	if (form == 3)
		return message(EX_USAGE, "print: %s: not nft, iptables or ip6tables",
			o->form == NULL ? "(nothing)" : o->form);
	code = begin(o, false);
	if (code != 0)
		return code;
	unfit = print_unfit(&run.ruleset);
	if (unfit != NULL)
		return message(EX_DATAERR, "print: interface %s: not a name that can be written",
			unfit);
	printf("# sluice-init: policy %s, mark %08x%s\n", o->policy, run.state.secret,
		o->has_mark || run.state.kept ? "" : " (drawn, and not in the state directory)");
	print_routes(&run.ruleset, form != 2, form != 1);
	if (form == 0)
		print_nft(&run.ruleset);
	else
		print_iptables(&run.ruleset, form == 1);
	return 0;
}

static const struct command {
	const char *name, *arguments;
	int (*function)(const struct options *o);
	const char *help;
} commands[] = {
	{"apply", "", apply, "install the rules, or bring them up to date (the default)"},
	{"check", "", check, "say what differs from the policy; exit status 1 if anything does"},
	{"remove", "", remove_all, "take away what apply installed"},
	{"print", "nft|iptables|ip6tables", print, "write the rules as text"},
};

/* ---- the command line ---- */

enum { OPTION_EGRESS = 256, OPTION_MARK, OPTION_VERSION };

static const struct option long_options[] = {
	{"policy", required_argument, NULL, 'p'},
	{"state", required_argument, NULL, 's'},
	{"uid", required_argument, NULL, 'u'},
	{"gid", required_argument, NULL, 'g'},
	{"port", required_argument, NULL, 'P'},
	{"no-egress-hook", no_argument, NULL, OPTION_EGRESS},
	{"mark", required_argument, NULL, OPTION_MARK},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static int usage(FILE *out)
{
	fputs("usage: " MESSAGE_PROGRAM " [COMMAND] [OPTION]...\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-6s %-23s %s\n", commands[i].name, commands[i].arguments,
			commands[i].help);
	fprintf(out,
	        "\n  -p, --policy FILE  the compiled policy\n"
	        "  --state DIR        where the proxy finds its mark (" CONFIG_STATE_DIR ")\n"
	        "  --uid N, --gid N   the proxy's user and group (%d, %d)\n"
	        "  --port N           the proxy's port (%d)\n"
	        "  --no-egress-hook   apply, check, print: leave packet sockets unwatched\n"
	        "  --mark HEX         print: with this mark\n"
	        "  --help, --version\n",
	        CONFIG_PROXY_UID, CONFIG_PROXY_GID, CONFIG_PROXY_PORT);
	return out == stdout ? 0 : EX_USAGE;
}

/* Digits only, in the given base, from min to max. */
static int number(const char *name, const char *text, int base, uint32_t min, uint32_t max,
	uint32_t *out)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	unsigned long long v;

	errno = 0;
	v = strtoull(text, NULL, base);
	if (*text == '\0' || text[strspn(text, base == 16 ? digits : "0123456789")] != '\0' ||
		errno != 0 || v < min || v > max)
		return message(EX_USAGE, "--%s: %s: not a number from %u to %u", name, text, min,
			max);
	*out = (uint32_t)v;
	return 0;
}

static int read_mark(struct options *o, const char *text)
{
	int code = number("mark", text, 16, 4, UINT32_MAX, &o->mark);

	if (code == 0 && ((o->mark & 3) != 0 || o->mark == (CAPTURE_MARK & ~3u)))
		return message(EX_USAGE, "--mark: %s: not a mark of the proxy's", text);
	o->has_mark = true;
	return code;
}

/* Sets one option. 0, or EX_USAGE after a message. */
static int take_option(struct options *o, int option)
{
	uint32_t v;
	int code = 0;

	switch (option) {
	case 'p': o->policy = optarg; return 0;
	case 's': o->state = optarg; return 0;
	case 'u': return number("uid", optarg, 10, 1, UINT32_MAX - 1, &o->uid);
	case 'g': return number("gid", optarg, 10, 1, UINT32_MAX - 1, &o->gid);
	case 'P':
		code = number("port", optarg, 10, 1, UINT16_MAX, &v);
		o->port = code == 0 ? (uint16_t)v : 0;
		return code;
	case OPTION_EGRESS: o->egress_hook = false; return 0;
	case OPTION_MARK: return read_mark(o, optarg);
	default: return usage(stderr);
	}
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int main(int argc, char *argv[])
{
	struct options o = {
		.state = CONFIG_STATE_DIR, .uid = CONFIG_PROXY_UID, .gid = CONFIG_PROXY_GID,
		.port = CONFIG_PROXY_PORT, .egress_hook = true,
	};
	const struct command *command;
	int option, code;

	while ((option = getopt_long(argc, argv, "p:", long_options, NULL)) != -1) {
		if (option == 'h')
			return usage(stdout);
		if (option == OPTION_VERSION)
			return puts(MESSAGE_PROGRAM " " SLUICE_VERSION) < 0 ? EX_IOERR : 0;
		code = take_option(&o, option);
		if (code != 0)
			return code;
	}
	command = optind < argc ? find_command(argv[optind++]) : &commands[0];
	if (command == NULL)
		return message(EX_USAGE, "%s: unknown command", argv[optind - 1]);
	if (command->function == print && optind < argc)
		o.form = argv[optind++];
	if (optind < argc)
		return message(EX_USAGE, "%s: one argument too many", argv[optind]);
	code = command->function(&o);
	if (fflush(stdout) != 0)
		return message(EX_IOERR, "standard output: %s", strerror(errno));
	return code;
}
