/* SPDX-License-Identifier: MIT */
/* The command line of sluice-init. */
#include "init/option.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "autoconf.h"
#include "init/message.h"
#include "rules/capture.h"

enum {
	OPTION_EGRESS = 256, OPTION_BACKEND, OPTION_MARK, OPTION_OWNER, OPTION_PLACE, OPTION_VERSION,
};

static const struct option long_options[] = {
	{"policy", required_argument, NULL, 'p'},
	{"state", required_argument, NULL, 's'},
	{"uid", required_argument, NULL, 'u'},
	{"gid", required_argument, NULL, 'g'},
	{"port", required_argument, NULL, 'P'},
	{"backend", required_argument, NULL, OPTION_BACKEND},
	{"no-egress-hook", no_argument, NULL, OPTION_EGRESS},
	{"no-owner", no_argument, NULL, OPTION_OWNER},
	{"in-place", no_argument, NULL, OPTION_PLACE},
	{"mark", required_argument, NULL, OPTION_MARK},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static int usage(FILE *out)
{
	fputs("usage: " MESSAGE_PROGRAM " [COMMAND] [OPTION]...\n\n", out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "  %-8s %-23s %s\n", commands[i].name, commands[i].arguments,
			commands[i].help);
	fprintf(out,
	        "\n  -p, --policy FILE  the compiled policy\n"
	        "  --state DIR        where the proxy finds its mark (" CONFIG_STATE_DIR ")\n"
	        "  --uid N, --gid N   the proxy's user and group (%d, %d)\n"
	        "  --port N           the proxy's port (%d)\n"
	        "  --backend NAME     nft (the default) or iptables\n"
	        "  --no-egress-hook   apply, check, print: leave packet sockets unwatched\n"
	        "  --no-owner         hold: watch the tables, but leave them open to others\n"
	        "  --in-place         verify: the rules in force, with what harms nobody\n"
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

static int read_backend(struct options *o, const char *text)
{
	o->iptables = strcmp(text, "iptables") == 0;
	if (!o->iptables && strcmp(text, "nft") != 0)
		return message(EX_USAGE, "--backend: %s: not nft or iptables", text);
	return 0;
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
	case OPTION_BACKEND: return read_backend(o, optarg);
	case OPTION_EGRESS: o->egress_hook = false; return 0;
	case OPTION_OWNER: o->owner = false; return 0;
	case OPTION_PLACE: o->in_place = true; return 0;
	case OPTION_MARK: return read_mark(o, optarg);
	default: return usage(stderr);
	}
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int option_parse(struct options *o, const struct command **command, int argc, char *argv[])
{
	int option, code;

	*o = (struct options){
		.state = CONFIG_STATE_DIR, .uid = CONFIG_PROXY_UID, .gid = CONFIG_PROXY_GID,
		.port = CONFIG_PROXY_PORT, .egress_hook = true, .owner = true,
	};
	while ((option = getopt_long(argc, argv, "p:", long_options, NULL)) != -1) {
		if (option == 'h')
			return usage(stdout);
		if (option == OPTION_VERSION)
			return puts(MESSAGE_PROGRAM " " SLUICE_VERSION) < 0 ? EX_IOERR : 0;
		code = take_option(o, option);
		if (code != 0)
			return code;
	}
	*command = optind < argc ? find_command(argv[optind++]) : &commands[0];
	if (*command == NULL)
		return message(EX_USAGE, "%s: unknown command", argv[optind - 1]);
	if (o->iptables && (*command)->iptables == NULL)
		return message(EX_USAGE, "%s: works with --backend nft only", (*command)->name);
	if ((*command)->function == command_print && optind < argc)
		o->form = argv[optind++];
	if ((*command)->function == command_hold && optind < argc) {
		o->program = &argv[optind];
		optind = argc;
	}
	if (optind < argc)
		return message(EX_USAGE, "%s: one argument too many", argv[optind]);
	return -1;
}
