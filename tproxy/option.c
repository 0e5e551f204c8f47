/* SPDX-License-Identifier: MIT */
/* The command line: one table says what there is, what it is called and what it means. */
#include "tproxy/option.h"

#include <getopt.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "autoconf.h"

#define WORKERS_MAX 16
#define HOUR_MS     3600000u
#define DAY_MS      (24 * HOUR_MS)
#define LENGTH(a)   (sizeof(a) / sizeof((a)[0]))

/* ---- values ---- */

static int refuse(const char *option, const char *value, const char *reason)
{
	log_error("%s: %s: %s", option, value, reason);
	return EX_USAGE;
}

/* A plain decimal number. */
static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *v)
{
	*v = 0;
	if (!*text || strlen(text) > 18)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*v = *v * 10 + (uint64_t)(*text - '0');
	}
	return *v >= min && *v <= max;
}

static int number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *v)
{
	char reason[64];

	if (parse_number(text, min, max, v))
		return -1;
	snprintf(reason, sizeof(reason), "not a number from %llu to %llu", (unsigned long long)min,
	         (unsigned long long)max);
	return refuse(option, text, reason);
}

/* What --set changes. */
static const struct tunable {
	const char *name;
	size_t offset; /* of a uint32_t in struct workers_config */
	uint32_t min, max, standard;
	const char *help;
} tunables[] = {
#define ENTRY(name, field, ...) { name, offsetof(struct workers_config, field), __VA_ARGS__ }
	ENTRY("sniff", sniff_ms, 1, HOUR_MS, 5000, "ms for the first request head or ClientHello"),
	ENTRY("head", head_ms, 1, HOUR_MS, 10000, "ms for a later request head"),
	ENTRY("connect", connect_ms, 1, HOUR_MS, 10000, "ms to reach an upstream, all attempts"),
	ENTRY("response", response_ms, 1, DAY_MS, 300000, "ms until the response head"),
	ENTRY("idle", idle_ms, 1, DAY_MS, HOUR_MS, "ms without progress of a tunnel or body"),
	ENTRY("half-closed", half_closed_ms, 1, DAY_MS, 60000,
	      "ms without progress once one side has said all"),
	ENTRY("keepalive", keepalive_ms, 1, DAY_MS, 60000, "ms between two requests of a client"),
	ENTRY("upstream-idle", upstream_idle_ms, 1, DAY_MS, 60000,
	      "ms that an unused upstream connection is kept"),
	ENTRY("max-conns", max_conns, 16, 1048576, CONFIG_MAX_CONNS, "connections per worker"),
	ENTRY("client-conns", client_conns, 0, 1048576, 0,
	      "of them for one client address; 0: all in a pod, else half"),
	ENTRY("buffers", buffers, 8, 65536, CONFIG_BUFFERS, "buffers per worker"),
	ENTRY("pipes", pipes, 0, 4096, CONFIG_PIPES, "pipes per worker"),
	ENTRY("max-tls", max_tls, 0, 1048576, CONFIG_MAX_TLS, "TLS sessions per worker"),
	ENTRY("max-http", max_http, 16, 1048576, CONFIG_MAX_HTTP, "HTTP exchanges per worker"),
	ENTRY("idle-max", idle_max, 0, 65536, CONFIG_UPSTREAM_IDLE,
	      "unused upstream connections kept per worker"),
	ENTRY("dns-cache", dns_entries, 16, 65536, CONFIG_DNS_CACHE,
	      "names in the DNS cache per worker"),
	ENTRY("min-rate", min_rate, 0, 1u << 30, 0, "bytes per second of an HTTP body; 0: any"),
#undef ENTRY
};

static uint32_t *tunable_at(struct options *o, const struct tunable *t)
{
	return (uint32_t *)(void *)((char *)&o->workers + t->offset);
}

static int set_tunable(struct options *o, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);

	for (size_t i = 0; i < LENGTH(tunables); i++) {
		const struct tunable *t = &tunables[i];
		uint64_t v;
		if (strlen(t->name) != len || memcmp(t->name, text, len) != 0)
			continue;
		if (!equals)
			return refuse("--set", text, "no value (NAME=NUMBER)");
		int r = number("--set", equals + 1, t->min, t->max, &v);
		*tunable_at(o, t) = (uint32_t)v;
		return r;
	}
	return refuse("--set", text, "no such name (--help lists them)");
}

/* ---- options ---- */

static int set_policy(struct options *o, const char *v) { o->policy = v; return -1; }
static int set_state(struct options *o, const char *v) { o->state = v; return -1; }
static int set_ctl(struct options *o, const char *v) { o->ctl = v; return -1; }
static int set_limits(struct options *o, const char *v) { (void)v; o->limits = true; return -1; }
static int set_check(struct options *o, const char *v) { (void)v; o->check = true; return -1; }

static int set_admin(struct options *o, const char *v)
{
	o->admin = strcmp(v, "none") ? v : "";
	return -1;
}

static int set_mark(struct options *o, const char *v)
{
	if (strcmp(v, "none"))
		return refuse("--mark", v, "only \"none\" is understood");
	o->mark = false;
	return -1;
}

static int set_port(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--port", v, 1, 65535, &n);
	o->workers.port = (uint16_t)n;
	return r;
}

static int set_dns_port(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--nameserver-port", v, 1, 65535, &n);
	o->workers.dns_port = (uint16_t)n;
	return r;
}

static int set_workers(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--workers", v, 0, WORKERS_MAX, &n);
	o->workers.n = (unsigned)n;
	return r;
}

/* root would keep what is to be dropped. */
static int set_uid(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--uid", v, 1, UINT32_MAX - 1, &n);
	o->uid = (uid_t)n;
	return r;
}

static int set_gid(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--gid", v, 1, UINT32_MAX - 1, &n);
	o->gid = (gid_t)n;
	return r;
}

static int set_ready_fd(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--ready-fd", v, 3, 1048576, &n);
	o->ready_fd = (int)n;
	return r;
}

static int set_drain(struct options *o, const char *v)
{
	uint64_t n;
	int r = number("--drain", v, 0, 86400, &n);
	o->drain_ms = (uint32_t)n * 1000;
	return r;
}

static int set_level(struct options *o, const char *v)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	for (size_t i = 0; i < LENGTH(names); i++) {
		if (strcmp(v, names[i]) == 0) {
			o->level = (enum log_level)i;
			return -1;
		}
	}
	return refuse("--log-level", v, "not one of error, warn, info, debug");
}

static int show_version(struct options *o, const char *v)
{
	(void)o;
	(void)v;
	puts("sluice-tproxy " SLUICE_VERSION);
	return 0;
}

static int show_help(struct options *o, const char *v);

static const struct option_row {
	char letter;       /* 0: none */
	const char *name, *argument, *help;
	int (*set)(struct options *o, const char *value); /* -1: go on; else the exit status */
} rows[] = {
	{ 'p', "policy", "FILE", "the compiled policy (required)", set_policy },
	{ 0, "port", "N", "port that captured connections are handed to", set_port },
	{ 0, "workers", "N", "worker threads; 0: one per core", set_workers },
	{ 0, "uid", "N", "user to become", set_uid },
	{ 0, "gid", "N", "group to become", set_gid },
	{ 0, "state", "DIR", "where sluice-init left the mark", set_state },
	{ 0, "mark", "none", "run without the mark of sluice-init", set_mark },
	{ 0, "admin", "PATH", "admin socket (DIR/admin.sock), or none", set_admin },
	{ 0, "ready-fd", "N", "write a newline to this descriptor when ready", set_ready_fd },
	{ 0, "drain", "SECONDS", "how long SIGTERM lets connections finish (30)", set_drain },
	{ 0, "log-level", "LEVEL", "error, warn, info (standard) or debug", set_level },
	{ 0, "set", "NAME=NUMBER", "a deadline or size; see below", set_tunable },
	{ 0, "nameserver-port", "N", "port of the name servers (53)", set_dns_port },
	{ 0, "limits", NULL, "print what memory the tables may take, then exit", set_limits },
	{ 'n', "check", NULL, "check policy and options, then exit", set_check },
	{ 0, "ctl", "PATH", "ask a running proxy's admin socket for PAGE", set_ctl },
	{ 'h', "help", NULL, "this text", show_help },
	{ 'V', "version", NULL, "the version", show_version },
};

static int show_help(struct options *o, const char *v)
{
	(void)o;
	(void)v;
	puts("usage: sluice-tproxy --policy FILE [OPTION...]\n"
	     "       sluice-tproxy --ctl PATH [PAGE]\n");
	for (size_t i = 0; i < LENGTH(rows); i++) {
		const struct option_row *r = &rows[i];
		char left[40];
		snprintf(left, sizeof(left), "--%s%s%s", r->name, r->argument ? " " : "",
		         r->argument ? r->argument : "");
		printf("  %c%c%c %-22s %s\n", r->letter ? '-' : ' ', r->letter ? r->letter : ' ',
		       r->letter ? ',' : ' ', left, r->help);
	}
	puts("\nNAME=NUMBER for --set (standard value):");
	for (size_t i = 0; i < LENGTH(tunables); i++)
		printf("      %-22s %s (%u)\n", tunables[i].name, tunables[i].help,
		       (unsigned)tunables[i].standard);
	return 0;
}

static void set_standards(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->state = CONFIG_STATE_DIR;
	o->mark = true;
	o->uid = CONFIG_PROXY_UID;
	o->gid = CONFIG_PROXY_GID;
	o->ready_fd = -1;
	o->level = LOG_LEVEL_INFO;
	o->drain_ms = 30000;
	o->workers.n = CONFIG_WORKERS;
	o->workers.port = CONFIG_PROXY_PORT;
	for (size_t i = 0; i < LENGTH(tunables); i++)
		*tunable_at(o, &tunables[i]) = tunables[i].standard;
}

static unsigned cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	unsigned n = (unsigned)CPU_COUNT(&set);
	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : n;
}

/* getopt's own tables, from ours. */
static void fill(struct option *longs, char *letters)
{
	*letters++ = ':';
	for (size_t i = 0; i < LENGTH(rows); i++) {
		longs[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].argument ? required_argument : no_argument,
			.val = 256 + (int)i,
		};
		if (!rows[i].letter)
			continue;
		*letters++ = rows[i].letter;
		if (rows[i].argument)
			*letters++ = ':';
	}
	*letters = '\0';
	longs[LENGTH(rows)] = (struct option){ .name = NULL };
}

static const struct option_row *row_of(int c)
{
	if (c >= 256)
		return &rows[c - 256];
	for (size_t i = 0; i < LENGTH(rows); i++)
		if (rows[i].letter == c)
			return &rows[i];
	return NULL;
}

static int parse_rest(struct options *o, int argc, char **argv)
{
	if (o->ctl && optind < argc)
		o->page = argv[optind++];
	if (optind < argc)
		return refuse("arguments", argv[optind], "not expected");
	if (!o->ctl && !o->policy) {
		log_error("--policy is required (--help tells more)");
		return EX_USAGE;
	}
	if (o->workers.n == 0)
		o->workers.n = cores();
	return -1;
}

int option_parse(struct options *o, int argc, char **argv)
{
	struct option longs[LENGTH(rows) + 1];
	char letters[2 * LENGTH(rows) + 2];
	int c;

	set_standards(o);
	fill(longs, letters);
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct option_row *row = row_of(c);
		if (!row)
			return refuse("options", argv[optind - 1],
			              c == ':' ? "needs a value" : "not known (--help lists them)");
		int r = row->set(o, optarg);
		if (r >= 0)
			return r;
	}
	return parse_rest(o, argc, argv);
}
