/* SPDX-License-Identifier: MIT */
/* The options of `sluice-rules explain`. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "rules/command.h"
#include "rules/explain.h"

#define HEADERS_MAX 32

static int refuse(const char *text, const char *why)
{
	fprintf(stderr, "sluice-rules: explain: %s: %s\n", text, why);
	return EX_USAGE;
}

/* One option's value into what is said so far. 0, or an exit code. */
static int take(struct explain_options *o, struct ask *said, int c, char *value)
{
	static char *headers[HEADERS_MAX];
	const char *why;

	switch (c) {
	case 'c':
		said->client_known = true;
		return addr_parse(&said->client, value, strlen(value)) == 0
			       ? EX_OK
			       : refuse(value, "not an IP address");
	case 'a':
		return ask_parse_alpn(said, value, &why) == 0 ? EX_OK : refuse(value, why);
	case 'e':
		said->ech = true;
		return EX_OK;
	case 'n':
		o->node = value;
		return EX_OK;
	case 'm':
		said->method = value;
		return EX_OK;
	default:
		if (value[0] == '=' || strchr(value, '=') == NULL || said->n_headers == HEADERS_MAX)
			return refuse(value, "not NAME=VALUE, or too many of them");
		said->headers = headers;
		headers[said->n_headers++] = value;
		return EX_OK;
	}
}

/* What was said goes with what is asked about. 0, or an exit code. */
static int join(struct ask *a, const struct ask *said, const char *text)
{
	bool hello = said->ech || said->alpn_len > 0,
	     request = said->method != NULL || said->n_headers > 0;

	if (hello && (a->kind != ASK_TCP || a->seen == ROUTE_SEEN_HTTP || request))
		return refuse(text, "--alpn and --ech are about TLS");
	if (request && (a->kind != ASK_TCP || a->seen == ROUTE_SEEN_TLS))
		return refuse(text, "--method and --header are about HTTP");
	if (hello)
		a->seen = ROUTE_SEEN_TLS;
	if (request)
		a->seen = ROUTE_SEEN_HTTP;
	if (said->method != NULL)
		a->method = said->method;
	a->headers = said->headers;
	a->n_headers = said->n_headers;
	a->client = said->client;
	a->client_known = said->client_known;
	a->ech = said->ech;
	a->alpn_len = said->alpn_len;
	memcpy(a->alpn, said->alpn, said->alpn_len);
	return EX_OK;
}

int explain_parse_options(struct explain_options *o, struct ask *a, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "client", required_argument, NULL, 'c' },
		{ "alpn", required_argument, NULL, 'a' },
		{ "ech", no_argument, NULL, 'e' },
		{ "node", required_argument, NULL, 'n' },
		{ "method", required_argument, NULL, 'm' },
		{ "header", required_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct ask said = { .client_known = false };
	const char *why;
	int c, code;

	*o = (struct explain_options){ .node = NULL };
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?')
			return command_usage(argv[0]);
		code = take(o, &said, c, optarg);
		if (code != EX_OK)
			return code;
	}
	if (argc - optind != 2)
		return command_usage(argv[0]);
	o->policy = argv[optind];
	if (ask_parse(a, argv[optind + 1], &why) < 0)
		return refuse(argv[optind + 1], why);
	return join(a, &said, argv[optind + 1]);
}
