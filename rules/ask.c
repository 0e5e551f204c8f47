/* SPDX-License-Identifier: MIT */
/* Targets of `sluice-rules explain`. */
#include "rules/ask.h"

#include <string.h>
#include <strings.h>

#include "rules/value.h"

#define AUTHORITY_MAX 512

static int parse_authority(struct ask *a, char *authority, const char **why)
{
	char *host = authority, *port = strrchr(authority, ':');
	uint64_t n;
	int len;

	*why = "neither a URL, HOST:PORT nor ADDRESS:PORT";
	if (*host == '[') {
		char *end = strchr(host, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return -1;
		port = end[1] == ':' ? end + 1 : NULL;
		*end = '\0';
		host++;
		if (strchr(host, ':') == NULL)
			return -1;
	} else if (port != NULL && strchr(host, ':') != port) {
		*why = "an IPv6 address needs brackets: [ADDRESS]:PORT";
		return -1;
	}
	if (port != NULL) {
		*port++ = '\0';
		if (!value_number(port, strlen(port), UINT16_MAX, &n) || n == 0) {
			*why = "the port is not a number from 1 to 65535";
			return -1;
		}
		a->port = (uint16_t)n;
	} else if (a->port == 0) {
		*why = "a port is needed: HOST:PORT";
		return -1;
	}
	if (addr_parse(&a->addr, host, strlen(host)) == 0)
		return 0;
	len = name_canon(a->name, host, strlen(host));
	if (len < 0) {
		*why = name_strerror(len);
		return -1;
	}
	a->name_len = (size_t)len;
	return 0;
}

/* What a URL's scheme says. False: nothing. */
static bool take_scheme(struct ask *a, const char *scheme, size_t len)
{
	static const struct {
		const char *word;
		enum ask_kind kind;
		enum route_seen seen;
		uint16_t port;
	} schemes[] = {
		{ "http", ASK_TCP, ROUTE_SEEN_HTTP, 80 },
		{ "https", ASK_TCP, ROUTE_SEEN_TLS, 443 },
		{ "udp", ASK_UDP, ROUTE_SEEN_NOTHING, 0 },
		{ "dns", ASK_DNS, ROUTE_SEEN_NOTHING, 53 },
	};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strlen(schemes[i].word) != len || strncasecmp(scheme, schemes[i].word, len) != 0)
			continue;
		a->kind = schemes[i].kind;
		a->seen = schemes[i].seen;
		a->port = schemes[i].port;
		return true;
	}
	return false;
}

int ask_parse_alpn(struct ask *a, const char *text, const char **why)
{
	size_t at = 0;

	for (;;) {
		size_t len = strcspn(text, ",");

		if (len == 0 || len >= sizeof(a->alpn) - at) {
			*why = "not a list of ALPN protocols, such as h2,http/1.1";
			return -1;
		}
		a->alpn[at++] = (uint8_t)len;
		memcpy(a->alpn + at, text, len);
		at += len;
		a->alpn_len = at;
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

static const char *find_header(const void *user, const char *name, uint32_t n, size_t *len)
{
	const struct ask *a = user;
	size_t size = strlen(name);

	for (size_t i = 0; i < a->n_headers; i++) {
		const char *text = a->headers[i];

		if (strcspn(text, "=") != size || strncasecmp(text, name, size) != 0 || n-- > 0)
			continue;
		*len = strlen(text + size + 1);
		return text + size + 1;
	}
	return NULL;
}

struct policy_http ask_http(const struct ask *a)
{
	return (struct policy_http){ .path = a->path,
				     .path_len = a->path_len,
				     .method = a->method,
				     .method_len = strlen(a->method),
				     .header = find_header,
				     .user = a };
}

int ask_parse(struct ask *a, const char *text, const char **why)
{
	const char *scheme_end = strstr(text, "://");
	char authority[AUTHORITY_MAX];
	size_t len;

	*a = (struct ask){ .seen = ROUTE_SEEN_NOTHING, .method = "GET" };
	if (scheme_end != NULL) {
		if (!take_scheme(a, text, (size_t)(scheme_end - text))) {
			*why = "only http, https, udp and dns URLs; for others give HOST:PORT";
			return -1;
		}
		text = scheme_end + 3;
	}
	len = scheme_end != NULL ? strcspn(text, "/?#") : strlen(text);
	if (len >= sizeof(authority) || memchr(text, '@', len) != NULL) {
		*why = len >= sizeof(authority) ? "too long" : "a user name in a URL is refused";
		return -1;
	}
	memcpy(authority, text, len);
	authority[len] = '\0';
	a->path = scheme_end != NULL && text[len] == '/' ? text + len : "/";
	a->path_len = strcspn(a->path, "?#");
	if (parse_authority(a, authority, why) < 0)
		return -1;
	if (a->kind == ASK_DNS && (a->name_len == 0 || a->port != 53)) {
		*why = "a DNS question is about a name: dns://NAME";
		return -1;
	}
	return 0;
}
