/* SPDX-License-Identifier: MIT */
/* A byte of what to do, then any bytes: as a gateway's answer, or as the PROXY header of a node. */
/* LINK: tproxy/http.c tproxy/http_head.c tproxy/clock.c rules/name.c rules/addr.c rules/crc32c.c */
#include "tests/fuzz/fuzz.h"
#include "tproxy/hop.c"
#include "tproxy/hop_proxy.c"

enum { PART = 0x0f, WHAT = 0x30, TO_CONNECT = 0x00, TO_METHOD = 0x10, TO_REPLY = 0x20 };

struct outcome {
	enum hop_result result;
	size_t used;
	const char *reason;
};

/* The bytes in pieces of step, until the request of SOCKS5 is due or it is over. */
static struct outcome feed(uint8_t what, const uint8_t *data, size_t len, size_t step)
{
	struct hop_target t = { .name = "allowed.test", .name_len = 12, .port = 443 };
	struct outcome o = { .reason = "" };
	uint8_t out[HOP_OUT_MAX];
	struct hop h;
	size_t n, used;

	must(hop_begin(&h, what == TO_CONNECT ? POLICY_VIA_CONNECT : POLICY_VIA_SOCKS5, &t, out,
	               sizeof(out), &n) == HOP_MORE && n > 0);
	if (what == TO_REPLY)
		must(hop_feed(&h, &t, (const uint8_t *)"\5\0", 2, &used, out, sizeof(out), &n) ==
		     HOP_MORE && used == 2 && n == 19);
	while (o.used < len && o.result == HOP_MORE) {
		size_t part = len - o.used < step ? len - o.used : step;
		uint8_t *copy = fuzz_copy(data + o.used, part);

		o.result = hop_feed(&h, &t, copy, part, &used, out, sizeof(out), &n);
		free(copy);
		must(used <= part && (o.result != HOP_MORE || used == part));
		must(n == 0 || (what == TO_METHOD && o.result == HOP_MORE && n == 19));
		o.used += used;
		if (n > 0)
			break;
	}
	if (o.result == HOP_FAILED) {
		o.reason = hop_reason(&h);
		must(strncmp(o.reason, what == TO_CONNECT ? "connect_" : "socks_", 6) == 0);
	}
	return o;
}

/* However it is cut, it says the same; but a choice of method has to be the last that is there. */
static void answer(uint8_t what, const uint8_t *data, size_t len, size_t step)
{
	struct outcome whole, parts;

	if (what == TO_METHOD && len > 2)
		len = 2;
	whole = feed(what, data, len, len > 0 ? len : 1);
	parts = feed(what, data, len, step);
	must(whole.result == parts.result && whole.used == parts.used);
	must(strcmp(whole.reason, parts.reason) == 0);
	if (what == TO_CONNECT)
		must(whole.used <= CONFIG_HTTP_HEAD_MAX + 1);
	if (whole.result == HOP_DONE)
		must(feed(what, data, whole.used - 1, step).result == HOP_MORE);
}

static void same(const struct hop_proxy *a, const struct hop_proxy *b)
{
	must(addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst));
	must(a->sport == b->sport && a->dport == b->dport && strcmp(a->name, b->name) == 0);
	must(a->alpn_len == b->alpn_len && memcmp(a->alpn, b->alpn, a->alpn_len) == 0);
}

static void proxy(const uint8_t *data, size_t len)
{
	uint8_t *copy = fuzz_copy(data, len), out[HOP_PROXY_MAX];
	struct hop_proxy p, again;
	long n = hop_proxy_read(copy, len, &p);

	must(n >= HOP_PROXY_NAME && n <= (long)len && n <= HOP_PROXY_MAX);
	for (size_t part = len / 2; part < len; part++) {
		long r = hop_proxy_read(copy, part, &again);

		must(r == n || (r == 0 && (n <= 0 || part < (size_t)n)));
	}
	if (n > 0 && !p.local) {
		struct hop_target t = {
			.name = p.name, .name_len = p.name_len, .src = p.src, .dst = p.dst,
			.sport = p.sport, .dport = p.dport, .alpn = p.alpn,
			.alpn_len = (uint8_t)(p.alpn_len <= 255 ? p.alpn_len : 0),
		};
		size_t written = hop_proxy_write(&t, out, sizeof(out));

		must(p.name_len == strlen(p.name) && written > 0);
		must(hop_proxy_read(out, written, &again) == (long)written);
		if (again.alpn_len == p.alpn_len && p.alpn_len > 0)
			same(&p, &again);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	uint8_t what = data[0] & WHAT;

	if (what <= TO_REPLY)
		answer(what, data + 1, len - 1, 1u + (data[0] & PART));
	else
		proxy(data + 1, len - 1);
	return 0;
}
