/* SPDX-License-Identifier: MIT */
/* The complete check of a compiled policy: what passes is the one encoding of some policy. */
#include "rules/verify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "rules/crc32c.h"
#include "rules/name.h"

#define LABEL_MAX     63 /* RFC 1123 2.1 */
#define INTERFACE_MAX 15 /* IFNAMSIZ less its NUL */

static bool fail(struct verify *v, const char *text)
{
	snprintf(v->e->text, sizeof(v->e->text), "%s", text);
	return false;
}

bool verify_fail(struct verify *v, enum format_section section, uint32_t i, const char *text)
{
	static const char *const names[] = {
		[FORMAT_META] = "META",           [FORMAT_CAPTURE] = "CAPTURE",
		[FORMAT_STRINGS] = "STRINGS",     [FORMAT_LISTS] = "LISTS",
		[FORMAT_SERVICES] = "SERVICES",   [FORMAT_PORTS] = "PORTS",
		[FORMAT_ENDPOINTS] = "ENDPOINTS", [FORMAT_CIDRS] = "CIDRS",
		[FORMAT_RANGES] = "RANGES",       [FORMAT_GATEWAYS] = "GATEWAYS",
		[FORMAT_BLOBS] = "BLOBS",         [FORMAT_TRAFFIC] = "TRAFFIC",
		[FORMAT_TLS] = "TLS",             [FORMAT_RULES] = "RULES",
		[FORMAT_MATCHES] = "MATCHES",     [FORMAT_CHANGES] = "CHANGES",
		[FORMAT_SUBSETS] = "SUBSETS",     [FORMAT_ROUTES] = "ROUTES",
		[FORMAT_DESTINATIONS] = "DESTINATIONS",
		[FORMAT_ROUTE_HOSTS] = "ROUTE_HOSTS",
		[FORMAT_ADDRESSES] = "ADDRESSES",
		[FORMAT_BY_PORT] = "BY_PORT",     [FORMAT_HOSTS] = "HOSTS",
		[FORMAT_NAMES] = "NAMES",
	};

	snprintf(v->e->text, sizeof(v->e->text), "section %s: record %u: %s", names[section], i,
		 text);
	return false;
}

bool verify_zero(const uint8_t *p, size_t len)
{
	while (len > 0)
		if (p[--len] != 0)
			return false;
	return true;
}

/* ---- header and section table ---- */

static bool check_header(struct verify *v)
{
	static const uint8_t zero[4];
	struct policy *p = v->p;
	const uint8_t *b = p->base;
	uint16_t version = get_le16(b + HEADER_VERSION);
	uint32_t crc;

	if (memcmp(b + HEADER_MAGIC, FORMAT_MAGIC, 8) != 0)
		return fail(v, "not a compiled policy");
	if (version != FORMAT_VERSION) {
		snprintf(v->e->text, sizeof(v->e->text), "policy format %u; this program reads %d",
			 version, FORMAT_VERSION);
		return false;
	}
	if (get_le16(b + HEADER_SIZE_AT) != HEADER_SIZE ||
	    get_le32(b + HEADER_SECTIONS) != FORMAT_SECTIONS)
		return fail(v, "the header has another size");
	if (get_le32(b + HEADER_LENGTH) != p->len) {
		snprintf(v->e->text, sizeof(v->e->text), "%zu bytes, but the header says %u",
			 p->len, get_le32(b + HEADER_LENGTH));
		return false;
	}
	crc = crc32c(0, b, HEADER_CRC);
	crc = crc32c(crc, zero, sizeof(zero));
	crc = crc32c(crc, b + HEADER_CRC + 4, p->len - HEADER_CRC - 4);
	if (crc != get_le32(b + HEADER_CRC))
		return fail(v, "the checksum is wrong: the file is damaged");
	if (!verify_zero(b + HEADER_ZERO, HEADER_SIZE - HEADER_ZERO))
		return fail(v, "the header's reserved bytes are not zero");
	p->sequence = get_le64(b + HEADER_SEQUENCE);
	p->probes = get_le32(b + HEADER_PROBES);
	return true;
}

/* Size of a section's records; 1 where they have none of their own. */
static uint32_t record_size(enum format_section section)
{
	static const uint8_t sizes[] = {
		[FORMAT_META] = META_SIZE,
		[FORMAT_CAPTURE] = CAPTURE_SIZE,
		[FORMAT_LISTS] = 4,
		[FORMAT_SERVICES] = SERVICE_SIZE,
		[FORMAT_PORTS] = PORT_SIZE,
		[FORMAT_ENDPOINTS] = ENDPOINT_SIZE,
		[FORMAT_CIDRS] = CIDR_SIZE,
		[FORMAT_RANGES] = RANGE_SIZE,
		[FORMAT_TRAFFIC] = TRAFFIC_SIZE,
		[FORMAT_TLS] = TLS_SIZE,
		[FORMAT_GATEWAYS] = GATEWAY_SIZE,
		[FORMAT_SUBSETS] = SUBSET_SIZE,
		[FORMAT_ROUTES] = ROUTE_SIZE,
		[FORMAT_RULES] = RULE_SIZE,
		[FORMAT_MATCHES] = MATCH_SIZE,
		[FORMAT_CHANGES] = CHANGE_SIZE,
		[FORMAT_DESTINATIONS] = DESTINATION_SIZE,
		[FORMAT_ROUTE_HOSTS] = ROUTE_HOST_SIZE,
		[FORMAT_ADDRESSES] = ADDRESS_SIZE,
		[FORMAT_BY_PORT] = BY_PORT_SIZE,
		[FORMAT_HOSTS] = HOST_SIZE,
		[FORMAT_STRINGS] = 0,
		[FORMAT_BLOBS] = 0,
		[FORMAT_NAMES] = 0,
	};

	return sizes[section];
}

uint32_t verify_bytes(const struct verify *v, enum format_section section)
{
	return get_le32(v->p->base + HEADER_SIZE + (size_t)section * SECTION_SIZE + SECTION_BYTES);
}

/* Where each section lies follows from the sizes alone; what the table says must be that. */
static bool check_sections(struct verify *v)
{
	struct policy *p = v->p;
	size_t end = HEADER_SIZE + FORMAT_SECTIONS * SECTION_SIZE;

	if (p->len < end)
		return fail(v, "too short for its section table");
	for (uint32_t i = 0; i < FORMAT_SECTIONS; i++) {
		const uint8_t *entry = p->base + HEADER_SIZE + (size_t)i * SECTION_SIZE;
		uint32_t bytes = get_le32(entry + SECTION_BYTES),
			 records = get_le32(entry + SECTION_RECORDS);
		uint32_t size = record_size((enum format_section)i);
		size_t start = (end + 7) & ~(size_t)7;

		if (start > p->len || get_le32(entry + SECTION_OFFSET) != start ||
		    bytes > p->len - start || get_le32(entry + SECTION_ZERO) != 0)
			return verify_fail(v, (enum format_section)i, 0,
					   "the section lies elsewhere");
		if (size > 0 ? records != bytes / size || bytes % size != 0 : records > bytes)
			return verify_fail(v, (enum format_section)i, records,
					   "the section has another size");
		if (!verify_zero(p->base + end, start - end))
			return verify_fail(v, (enum format_section)i, 0,
					   "the bytes before it are not zero");
		p->at[i] = p->base + start;
		p->n[i] = records;
		end = start + bytes;
	}
	if (end != p->len)
		return fail(v, "bytes behind the last section");
	if (p->n[FORMAT_META] != 1 || p->n[FORMAT_CAPTURE] != 1)
		return fail(v, "META and CAPTURE have one record each");
	return true;
}

static bool scratch_open(struct verify *v)
{
	const struct policy *p = v->p;
	size_t words = p->n[FORMAT_LISTS], services = p->n[FORMAT_SERVICES],
	       strings = verify_bytes(v, FORMAT_STRINGS), blobs = verify_bytes(v, FORMAT_BLOBS);

	v->scratch_len = words * 10 + services * 8 + strings * 2 + 65536 + blobs +
			 p->n[FORMAT_TRAFFIC] + p->n[FORMAT_TLS];
	v->scratch = mmap(NULL, v->scratch_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (v->scratch == MAP_FAILED)
		return false;
	v->list_slots = v->scratch;
	v->list_first = v->list_slots + words;
	v->service_hosts = v->list_first + words;
	v->service_first = v->service_hosts + services;
	v->string_flags = (uint16_t *)(v->service_first + services);
	v->list_flags = v->string_flags + strings;
	v->port_flags = (uint8_t *)(v->list_flags + words);
	v->blob_flags = v->port_flags + 65536;
	v->traffic_used = v->blob_flags + blobs;
	v->tls_used = v->traffic_used + p->n[FORMAT_TRAFFIC];
	return true;
}

/* ---- strings ---- */

static bool check_strings(struct verify *v)
{
	const char *start = (const char *)v->p->at[FORMAT_STRINGS], *before = NULL;
	uint32_t bytes = verify_bytes(v, FORMAT_STRINGS), n = 0;

	for (uint32_t at = 0; at < bytes; n++) {
		const char *s = start + at;
		size_t len = strnlen(s, bytes - at);

		if (len == bytes - at)
			return verify_fail(v, FORMAT_STRINGS, n, "does not end");
		if (len > FORMAT_MAX_STRING)
			return verify_fail(v, FORMAT_STRINGS, n, "is too long");
		for (size_t i = 0; i < len; i++)
			if (s[i] <= ' ' || s[i] > '~')
				return verify_fail(v, FORMAT_STRINGS, n,
						   "holds a byte that is not printable ASCII");
		if (before == NULL ? len != 0 : strcmp(before, s) >= 0)
			return verify_fail(v, FORMAT_STRINGS, n, "is out of order");
		v->string_flags[at] = VERIFY_STRING_START;
		before = s;
		at += (uint32_t)len + 1;
	}
	if (n == 0 || n != v->p->n[FORMAT_STRINGS])
		return verify_fail(v, FORMAT_STRINGS, n,
				   "the section has another number of strings");
	return true;
}

static bool is_label(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
		      (s[i] == '-' && i > 0 && i < len - 1)))
			return false;
	return len > 0 && len <= LABEL_MAX;
}

static bool is_address(const char *s, size_t len)
{
	char text[ADDR_TEXT];
	struct addr a;

	return addr_parse(&a, s, len) == 0 && strcmp(addr_format(&a, text), s) == 0;
}

static bool string_fits(const char *s, enum verify_string kind)
{
	size_t len = strlen(s);

	switch (kind) {
	case VERIFY_STRING_LABEL:
		return is_label(s, len);
	case VERIFY_STRING_LOG:
		return s[0] == '/' || strcmp(s, "off") == 0 || strcmp(s, "syslog") == 0;
	case VERIFY_STRING_ADDRESS:
		return is_address(s, len);
	case VERIFY_STRING_INTERFACE:
		return len > 0 && len <= INTERFACE_MAX && strpbrk(s, "/:;#,*\"") == NULL &&
		       strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
	case VERIFY_STRING_EXPORT:
		return strcmp(s, ".") == 0 || strcmp(s, "*") == 0 || is_label(s, len);
	case VERIFY_STRING_HOST:
		return len > 0 && s[0] != '.' && name_key_valid((const uint8_t *)s, len);
	case VERIFY_STRING_KEY:
		return name_key_valid((const uint8_t *)s, len);
	case VERIFY_STRING_ITEM:
		return len > 0 && strpbrk(s, ",;#\"") == NULL;
	case VERIFY_STRING_START:
		break;
	}
	return false;
}

bool verify_string(struct verify *v, uint32_t ref, enum verify_string kind,
		   enum format_section section, uint32_t i)
{
	if (ref >= verify_bytes(v, FORMAT_STRINGS) || v->string_flags[ref] == 0)
		return verify_fail(v, section, i, "points at no string");
	if ((v->string_flags[ref] & kind) != 0)
		return true;
	if (!string_fits(policy_string(v->p, ref), kind))
		return verify_fail(v, section, i, "points at a string of another kind");
	v->string_flags[ref] |= (uint16_t)kind;
	return true;
}

/* ---- lists ---- */

/* By count, then by items. */
static int list_compare(struct policy_list a, struct policy_list b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	for (uint32_t i = 0; i < a.n; i++)
		if (policy_item(a, i) != policy_item(b, i))
			return policy_item(a, i) < policy_item(b, i) ? -1 : 1;
	return 0;
}

static bool check_lists(struct verify *v)
{
	struct policy_list before = {NULL, 0};
	uint32_t words = v->p->n[FORMAT_LISTS], at = 0;

	while (at < words) {
		struct policy_list l = policy_list(v->p, at);

		if (l.n > words - at - 1)
			return verify_fail(v, FORMAT_LISTS, at, "the list does not end");
		if (at == 0 ? l.n != 0 : list_compare(before, l) >= 0)
			return verify_fail(v, FORMAT_LISTS, at, "the list is out of order");
		v->list_flags[at] = VERIFY_LIST_START;
		before = l;
		at += l.n + 1;
	}
	return words > 0 || verify_fail(v, FORMAT_LISTS, 0, "the empty list is missing");
}

static bool check_list_strings(struct verify *v, struct policy_list l, uint32_t ref,
			       enum verify_string kind)
{
	for (uint32_t i = 0; i < l.n; i++) {
		uint32_t first = kind == VERIFY_STRING_ADDRESS ? 0 : i > 0 ? i - 1 : i;

		if (!verify_string(v, policy_item(l, i), kind, FORMAT_LISTS, ref))
			return false;
		for (uint32_t j = first; j < i; j++)
			if (kind == VERIFY_STRING_ADDRESS ? policy_item(l, j) == policy_item(l, i)
							  : policy_item(l, j) >= policy_item(l, i))
				return verify_fail(v, FORMAT_LISTS, ref,
						   "the strings are out of order or repeat");
	}
	return true;
}

static bool check_list_services(struct verify *v, struct policy_list l, uint32_t ref,
				bool ascending)
{
	if (l.n > FORMAT_MAX_SERVICES)
		return verify_fail(v, FORMAT_LISTS, ref, "too many services on one list");
	for (uint32_t i = 0; i < l.n; i++) {
		if (policy_item(l, i) >= v->p->n[FORMAT_SERVICES])
			return verify_fail(v, FORMAT_LISTS, ref,
					   "holds a service that does not exist");
		if (ascending && i > 0 && policy_item(l, i) <= policy_item(l, i - 1))
			return verify_fail(v, FORMAT_LISTS, ref, "the services are out of order");
	}
	return true;
}

bool verify_list(struct verify *v, uint32_t ref, enum verify_list kind, enum format_section section,
		 uint32_t i)
{
	struct policy_list l;
	bool good = true;

	if (ref >= v->p->n[FORMAT_LISTS] || v->list_flags[ref] == 0)
		return verify_fail(v, section, i, "points at no list");
	if ((v->list_flags[ref] & kind) != 0)
		return true;
	l = policy_list(v->p, ref);
	if (l.n == 0 && (kind & (VERIFY_LIST_EXPORT | VERIFY_LIST_HOST | VERIFY_LIST_KEYS)) != 0)
		return verify_fail(v, section, i, "points at the empty list");
	if ((kind == VERIFY_LIST_PORT && l.n > 1) ||
	    (kind == VERIFY_LIST_NAMESERVERS && l.n > FORMAT_MAX_NAMESERVERS) ||
	    (kind == VERIFY_LIST_ITEMS && l.n > FORMAT_MAX_ITEMS))
		return verify_fail(v, section, i, "points at a list that is too long");
	if (kind == VERIFY_LIST_EXPORT)
		good = check_list_strings(v, l, ref, VERIFY_STRING_EXPORT);
	else if (kind == VERIFY_LIST_INTERFACES)
		good = check_list_strings(v, l, ref, VERIFY_STRING_INTERFACE);
	else if (kind == VERIFY_LIST_NAMESERVERS)
		good = check_list_strings(v, l, ref, VERIFY_STRING_ADDRESS);
	else if (kind == VERIFY_LIST_ITEMS)
		good = check_list_strings(v, l, ref, VERIFY_STRING_ITEM);
	else if (kind == VERIFY_LIST_KEYS)
		good = check_list_strings(v, l, ref, VERIFY_STRING_KEY);
	else
		good = check_list_services(v, l, ref, kind != VERIFY_LIST_ADDRESS);
	v->list_flags[ref] |= (uint16_t)kind;
	return good;
}

/* A string or list that nothing points at would be a second encoding of the same policy. */
static bool check_used(struct verify *v)
{
	uint32_t bytes = verify_bytes(v, FORMAT_STRINGS), words = v->p->n[FORMAT_LISTS];

	for (uint32_t i = 1; i < bytes; i++)
		if (v->string_flags[i] == VERIFY_STRING_START)
			return verify_fail(v, FORMAT_STRINGS, i, "a string that nothing uses");
	for (uint32_t i = 1; i < words; i++)
		if (v->list_flags[i] == VERIFY_LIST_START)
			return verify_fail(v, FORMAT_LISTS, i, "a list that nothing uses");
	return true;
}

/* What a run of some section left over would be, too. */
static bool check_taken(struct verify *v)
{
	static const uint8_t owned[] = {FORMAT_PORTS,   FORMAT_ENDPOINTS, FORMAT_CIDRS,
					FORMAT_RANGES,  FORMAT_SUBSETS,   FORMAT_DESTINATIONS,
					FORMAT_BLOBS,   FORMAT_RULES,     FORMAT_MATCHES,
					FORMAT_CHANGES};

	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		if (v->taken[owned[i]] != v->p->n[owned[i]])
			return verify_fail(v, (enum format_section)owned[i], v->taken[owned[i]],
					   "belongs to nothing");
	return true;
}

static bool check_all(struct verify *v)
{
	return verify_traffic(v) && verify_gateways(v) && verify_traffic_used(v) &&
	       check_taken(v) && check_used(v);
}

/* Only gateways, routes and how connections are made can tell what is theirs. */
static bool check_direct(struct verify *v)
{
	return !policy_is_direct(v->p) || (check_taken(v) && check_used(v));
}

static int verify(struct policy *p, bool (*rest)(struct verify *v), struct policy_error *e)
{
	struct verify v = {.p = p, .e = e, .scratch = MAP_FAILED};
	bool good;

	if (!check_header(&v) || !check_sections(&v)) {
		errno = EBADMSG;
		return -1;
	}
	if (!scratch_open(&v)) {
		int error = errno;

		snprintf(e->text, sizeof(e->text), "memory to verify it: %s", strerror(error));
		errno = error;
		return -1;
	}
	good = check_strings(&v) && check_lists(&v) && verify_records(&v) &&
	       verify_by_port(&v) && verify_addresses(&v) && verify_hosts(&v) && rest(&v);
	munmap(v.scratch, v.scratch_len);
	errno = EBADMSG;
	return good ? 0 : -1;
}

int policy_verify(struct policy *p, struct policy_error *e)
{
	return verify(p, check_all, e);
}

int policy_verify_direct(struct policy *p, struct policy_error *e)
{
	return verify(p, check_direct, e);
}
