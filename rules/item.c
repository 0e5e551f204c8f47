/* SPDX-License-Identifier: MIT */
/* Structured items of lists: ranges, prefixes, hosts, ports, endpoints, destinations. */
#include "rules/value.h"

#include <stdlib.h>
#include <string.h>

#include "rules/name.h"

#define BLANKS " \t"

bool value_range(const struct value *v, void *field)
{
	const struct value_span *span = v->arg;
	struct model_ranges *list = field;
	struct model_range *range;
	const char *dash = strchr(v->text, '-');
	size_t len = dash != NULL ? (size_t)(dash - v->text) : v->len;
	uint64_t first = span->first, last = span->last;
	bool good = true;

	if (!span->all || strcmp(v->text, "*") != 0)
		good = value_number(v->text, len, span->last, &first) && first >= span->first;
	if (good && dash != NULL)
		good = value_number(dash + 1, v->len - len - 1, span->last, &last) && last >= first;
	else if (good && strcmp(v->text, "*") != 0)
		last = first;
	if (!good) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a %s or range of them, %u to %u",
			   v->key, v->text, span->noun, span->first, span->last);
		return false;
	}
	range = model_push(list);
	*range = (struct model_range){ .first = (uint32_t)first,
				       .last = (uint32_t)last,
				       .at = v->at };
	return true;
}

bool value_cidr(const struct value *v, void *field)
{
	struct model_cidrs *list = field;
	struct model_cidr *c;
	struct cidr cidr;
	char text[ADDR_TEXT];
	bool masked;

	if (cidr_parse(&cidr, v->text, v->len, &masked) < 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is neither an IP address nor a prefix",
			   v->key, v->text);
		return false;
	}
	if (masked)
		diag_warning(v->diag, v->at, "%s: %s means %s", v->key, v->text,
			     cidr_format(&cidr, text));
	c = model_push(list);
	c->cidr = cidr;
	c->at = v->at;
	return true;
}

bool value_host(const struct value *v, void *field)
{
	struct model_hosts *list = field;
	struct model_host *h;
	struct addr a;
	char key[NAME_SIZE];
	int len = name_canon_pattern(key, v->text, v->len);

	if (len < 0) {
		if (addr_parse(&a, v->text, v->len) == 0)
			diag_error(v->diag, v->at,
				   "%s: \"%s\" is an address: list it under addresses", v->key,
				   v->text);
		else if (len == NAME_WILDCARD)
			diag_error(v->diag, v->at,
				"%s: \"%s\": a wildcard is the whole first label, as in *.example.com",
				v->key, v->text);
		else
			diag_error(v->diag, v->at, "%s: \"%s\" is not a host name: %s", v->key,
				   v->text, name_strerror(len));
		return false;
	}
	h = model_push(list);
	*h = (struct model_host){
		.key = model_text(key, (size_t)len),
		.line = (uint32_t)v->at.line,
		.file = v->file,
		.len = (uint8_t)len,
	};
	return true;
}

static bool find_protocol(const struct value *v, const char *word, enum policy_protocol *out)
{
	struct diag_guess guess = { .word = word };
	char all[160] = "";

	for (int p = POLICY_PROTO_NONE + 1; p < POLICY_PROTOCOLS; p++) {
		const char *name = policy_protocol_name((enum policy_protocol)p);

		if (strcmp(name, word) == 0) {
			*out = (enum policy_protocol)p;
			return true;
		}
		diag_guess(&guess, name);
		if (strlen(all) + strlen(name) + 2 < sizeof(all))
			strcat(strcat(all, *all != '\0' ? " " : ""), name);
	}
	diag_error(v->diag, v->at, "%s: \"%s\" is not a protocol%s; known: %s", v->key, word,
		   diag_guess_text(&guess), all);
	return false;
}

bool value_port(const struct value *v, void *field)
{
	struct model_ports *list = field;
	struct model_port *p, port = { .at = v->at };
	char *colon = strchr(v->text, ':');
	char *arrow = strstr(v->text, "->");
	uint64_t number = 0, target = 0;
	bool good = colon != NULL;

	if (arrow != NULL)
		*arrow = '\0';
	if (good)
		good = value_number(colon + 1, strlen(colon + 1), UINT16_MAX, &number) &&
		       number > 0;
	target = number;
	if (good && arrow != NULL)
		good = value_number(arrow + 2, strlen(arrow + 2), UINT16_MAX, &target) &&
		       target > 0;
	if (arrow != NULL)
		*arrow = '-';
	if (!good) {
		diag_error(v->diag, v->at,
			"%s: \"%s\" is not PROTOCOL:PORT or PROTOCOL:PORT->TARGET with ports 1 to 65535",
			v->key, v->text);
		return false;
	}
	*colon = '\0';
	if (!find_protocol(v, v->text, &port.protocol))
		return false;
	port.number = (uint16_t)number;
	port.target = (uint16_t)target;
	p = model_push(list);
	*p = port;
	return true;
}

/* Cuts " weight N" off the text. False: a finding was made. */
static bool cut_weight(const struct value *v, uint32_t least, uint32_t *weight)
{
	char *end = v->text + strcspn(v->text, BLANKS);
	char *word = end + strspn(end, BLANKS);
	uint64_t n = 0;

	*weight = 1;
	if (*word == '\0')
		return true;
	if (strncmp(word, "weight", 6) == 0 && strchr(BLANKS, word[6]) != NULL && word[6] != '\0') {
		const char *digits = word + 6 + strspn(word + 6, BLANKS);

		if (!value_number(digits, strlen(digits), VALUE_WEIGHT_MAX, &n) || n < least) {
			diag_error(v->diag, v->at,
				   "%s: weight \"%s\" is not a whole number from %u to %d", v->key,
				   digits, least, VALUE_WEIGHT_MAX);
			return false;
		}
		*weight = (uint32_t)n;
		*end = '\0';
		return true;
	}
	diag_error(v->diag, v->at, "%s: \"%s\": only \"weight N\" may follow", v->key, v->text);
	return false;
}

/* Splits "HOST:PORT", "[v6]:PORT", "HOST", "v6"; port is NULL when there is none. False: malformed. */
static bool split_port(char *text, char **host, char **port)
{
	char *colon = strchr(text, ':');

	*host = text;
	*port = NULL;
	if (*text == '[') {
		char *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		if (end[1] == ':')
			*port = end + 2;
		*end = '\0';
		*host = text + 1;
		return strchr(*host, ':') != NULL;
	}
	if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		*colon = '\0';
		*port = colon + 1;
	}
	return true;
}

bool value_endpoint(const struct value *v, void *field)
{
	struct model_endpoints *list = field;
	struct model_endpoint *e, endpoint = { .at = v->at };
	char name[NAME_SIZE], *text, *host, *port;
	uint64_t n = 0;
	int len;

	if (!cut_weight(v, 1, &endpoint.weight))
		return false;
	text = strdupa(v->text);
	if (!split_port(text, &host, &port) ||
	    (port != NULL && (!value_number(port, strlen(port), UINT16_MAX, &n) || n == 0))) {
		diag_error(v->diag, v->at,
			"%s: \"%s\" is not ADDRESS, NAME, ADDRESS:PORT, NAME:PORT or [IPv6]:PORT",
			v->key, v->text);
		return false;
	}
	endpoint.port = (uint16_t)n;
	if (addr_parse(&endpoint.addr, host, strlen(host)) < 0) {
		len = name_canon(name, host, strlen(host));
		if (len < 0) {
			diag_error(v->diag, v->at,
				   "%s: \"%s\" is neither an IP address nor a host name: %s",
				   v->key, v->text, name_strerror(len));
			return false;
		}
		endpoint.name = model_text(name, (size_t)len);
	}
	e = model_push(list);
	*e = endpoint;
	return true;
}

static bool parse_gateway(const struct value *v, char *text, struct model_destination *d)
{
	char *slash = strchr(text, '/');

	if (slash != NULL)
		*slash = '\0';
	if (!value_is_name(text, strlen(text), VALUE_NAME_MAX) ||
	    (slash != NULL && !value_is_name(slash + 1, strlen(slash + 1), VALUE_NAME_MAX))) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not GATEWAY or GATEWAY/SUBSET", v->key,
			   v->text);
		return false;
	}
	d->gateway = model_text(text, strlen(text));
	if (slash != NULL)
		d->subset = model_text(slash + 1, strlen(slash + 1));
	return true;
}

static bool parse_host(const struct value *v, char *text, struct model_destination *d)
{
	char name[NAME_SIZE], *host, *port;
	uint64_t n = 0;
	int len = NAME_BYTE;

	if (split_port(text, &host, &port) &&
	    (port == NULL || (value_number(port, strlen(port), UINT16_MAX, &n) && n > 0)))
		len = name_canon(name, host, strlen(host));
	if (len < 0) {
		diag_error(v->diag, v->at,
			   "%s: \"%s\" is not GATEWAY, GATEWAY/SUBSET, HOST or HOST:PORT", v->key,
			   v->text);
		return false;
	}
	d->host = model_text(name, (size_t)len);
	d->port = (uint16_t)n;
	return true;
}

bool value_destination(const struct value *v, void *field)
{
	struct model_destinations *list = field;
	struct model_destination *to, d = { .at = v->at };
	char *text;

	if (!cut_weight(v, 0, &d.weight))
		return false;
	text = strdupa(v->text);
	if (strchr(text, '/') != NULL) {
		if (!parse_gateway(v, text, &d))
			return false;
	} else {
		if (value_is_name(text, strlen(text), VALUE_NAME_MAX))
			d.gateway = model_text(text, strlen(text));
		if (!parse_host(v, text, &d))
			return false;
	}
	to = model_push(list);
	*to = d;
	return true;
}
