/* SPDX-License-Identifier: MIT */
/* Any bytes as a request head: what is accepted says, written and read again, the same. */
/* LINK: tproxy/http.c tproxy/http_head.c tproxy/clock.c rules/name.c rules/addr.c */
#include <strings.h>

#include "tests/fuzz/fuzz.h"
#include "tproxy/http_request.c"

/* Found byte by byte, the head ends where it ends when it comes at once. */
static void check_steps(const char *data, size_t len, long want)
{
	size_t scanned = 0;
	long got = 0;

	for (size_t n = 0; n <= len && got == 0; n++)
		got = http_head_length(data, n, &scanned);
	must(got == want || (want == HTTP_TOO_LARGE && got < 0));
}

/* Nothing of this hop is left in the head, and nothing that another reader takes otherwise. */
static void check_text(const char *out, size_t len, const struct http_request *r)
{
	static const char *const gone[] = { "keep-alive", "proxy-connection", "te", "trailer",
	                                    "http2-settings" };

	for (size_t i = 0; i < len; i++) {
		must(out[i] != '\0' && (out[i] != '\r' || out[i + 1] == '\n'));
		must(out[i] != '\n' || (i > 0 && out[i - 1] == '\r'));
	}
	for (unsigned i = 0; i < r->n_fields; i++)
		for (size_t k = 0; k < sizeof(gone) / sizeof(gone[0]); k++)
			must(r->fields[i].name.len != strlen(gone[k]) ||
			     strncasecmp(out + r->fields[i].name.at, gone[k], strlen(gone[k])) != 0);
}

static void check_again(const char *head, const struct http_request *r, uint16_t port, bool upgrade)
{
	static char out[2 * CONFIG_HTTP_HEAD_MAX + 512];
	struct http_request again;
	size_t n = http_request_write(head, r, port, upgrade, NULL, out, sizeof(out)), scanned = 0;

	must(n > 0);
	if (n > CONFIG_HTTP_HEAD_MAX)
		return;
	must(http_head_length(out, n, &scanned) == (long)n);
	must(http_request_parse(out, n, port, &again) == HTTP_OK);
	must(strcmp(again.host, r->host) == 0 && again.host_is_addr == r->host_is_addr);
	must(addr_equal(&again.host_addr, &r->host_addr));
	must(again.framing == (r->websocket && upgrade ? HTTP_BODY_NONE : r->framing));
	must(again.length == r->length && again.head == r->head && again.minor == 1);
	must(again.websocket == (r->websocket && upgrade));
	must(again.method.len == r->method.len);
	must(again.target.len == r->target.len + (head[r->target.at] == '?'));
	check_text(out, n, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_request r;
	size_t scanned = 0;
	long n = http_head_length((const char *)data, len, &scanned);
	uint16_t port = len > 0 && data[len - 1] == '1' ? 8080 : 80;
	char *head;
	int error;

	must(n <= (long)len && n > -HTTP_ERRORS);
	check_steps((const char *)data, len, n);
	head = fuzz_copy(data, n > 0 ? (size_t)n : len);
	error = http_request_parse(head, n > 0 ? (size_t)n : len, port, &r);
	must(error > -HTTP_ERRORS && error <= 0);
	must(strlen(r.host) == r.host_len);
	must(n > 0 || error != HTTP_OK);
	if (error == HTTP_OK) {
		must(r.host_is_addr != (r.host_len > 0));
		check_again(head, &r, port, false);
		check_again(head, &r, port, true);
	}
	free(head);
	return 0;
}
