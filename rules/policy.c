/* SPDX-License-Identifier: MIT */
/* The compiled policy: opening it, and looking things up in one that has been verified. */
#include "rules/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/name.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

/* ---- opening ---- */

static int fail(struct policy_error *e, int error, const char *text)
{
	snprintf(e->text, sizeof(e->text), "%s", text);
	errno = error;
	return -1;
}

static int fail_errno(struct policy_error *e, const char *what)
{
	int error = errno;

	snprintf(e->text, sizeof(e->text), "%s: %s", what, strerror(error));
	errno = error;
	return -1;
}

static int size_check(uint64_t len, struct policy_error *e)
{
	if (len < HEADER_SIZE)
		return fail(e, EBADMSG, "too short for a policy");
	if (len > FORMAT_MAX_SIZE)
		return fail(e, EBADMSG, "too large for a policy");
	return 0;
}

/* A block device is as long as the partition; how long the policy in it is says its header. */
static int device_size(int fd, uint64_t *len, struct policy_error *e)
{
	uint8_t header[HEADER_SIZE];
	ssize_t n = pread(fd, header, sizeof(header), 0);

	if (n < 0)
		return fail_errno(e, "read");
	if (n != sizeof(header) || memcmp(header, FORMAT_MAGIC, 8) != 0)
		return fail(e, EBADMSG, "the device holds no policy");
	*len = get_le32(header + HEADER_LENGTH);
	return 0;
}

static int source_size(int fd, uint64_t *len, struct policy_error *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fail_errno(e, "fstat");
	if (S_ISBLK(st.st_mode)) {
		if (device_size(fd, len, e) != 0)
			return -1;
	} else if (S_ISREG(st.st_mode)) {
		*len = (uint64_t)st.st_size;
	} else {
		return fail(e, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
			    "neither a regular file nor a block device");
	}
	return size_check(*len, e);
}

static int copy_bytes(int from, int to, size_t len, struct policy_error *e)
{
	uint8_t buffer[16384];

	while (len > 0) {
		ssize_t n = read(from, buffer, len < sizeof(buffer) ? len : sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(e, "read");
		if (n == 0)
			return fail(e, EBADMSG, "ends before its length");
		if (write(to, buffer, (size_t)n) != n)
			return fail_errno(e, "copy in memory");
		len -= (size_t)n;
	}
	return 0;
}

static int memory_open(void)
{
	int fd = memfd_create("policy", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

/* Copies the source into p->fd, which nobody can change any more, and maps it. */
static int copy_map(struct policy *p, int source, size_t len, struct policy_error *e)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	void *base;

	p->fd = memory_open();
	if (p->fd < 0)
		return fail_errno(e, "memfd_create");
	if (copy_bytes(source, p->fd, len, e) != 0)
		return -1;
	if (fcntl(p->fd, F_ADD_SEALS, seals) != 0)
		return fail_errno(e, "sealing the copy");
	base = mmap(NULL, len, PROT_READ, MAP_SHARED, p->fd, 0);
	if (base == MAP_FAILED)
		return fail_errno(e, "mmap");
	p->base = base;
	p->len = len;
	return 0;
}

typedef int verify_fn(struct policy *p, struct policy_error *e);

static int open_path(struct policy *p, const char *path, verify_fn *verify, struct policy_error *e)
{
	int source = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint64_t len = 0;
	int error;

	*p = (struct policy){.fd = -1};
	if (source < 0)
		return fail_errno(e, "open");
	if (source_size(source, &len, e) == 0 && copy_map(p, source, (size_t)len, e) == 0 &&
	    verify(p, e) == 0) {
		close(source);
		return 0;
	}
	error = errno;
	close(source);
	policy_close(p);
	errno = error;
	return -1;
}

int policy_open(struct policy *p, const char *path, struct policy_error *e)
{
	return open_path(p, path, policy_verify, e);
}

int policy_open_direct(struct policy *p, const char *path, struct policy_error *e)
{
	return open_path(p, path, policy_verify_direct, e);
}

bool policy_is_direct(const struct policy *p)
{
	return (p->n[FORMAT_GATEWAYS] | p->n[FORMAT_ROUTES] | p->n[FORMAT_ROUTE_HOSTS] |
		p->n[FORMAT_TRAFFIC] | p->n[FORMAT_TLS]) == 0;
}

int policy_open_bytes(struct policy *p, const void *bytes, size_t len, struct policy_error *e)
{
	*p = (struct policy){.fd = -1};
	if (size_check(len, e) != 0)
		return -1;
	p->base = bytes;
	p->len = len;
	if (policy_verify(p, e) == 0)
		return 0;
	*p = (struct policy){.fd = -1};
	return -1;
}

void policy_close(struct policy *p)
{
	if (p->fd >= 0) {
		if (p->base != NULL)
			munmap((void *)(uintptr_t)p->base, p->len);
		close(p->fd);
	}
	*p = (struct policy){.fd = -1};
}

/* ---- records ---- */

const char *policy_string(const struct policy *p, uint32_t ref)
{
	return (const char *)p->at[FORMAT_STRINGS] + ref;
}

struct policy_list policy_list(const struct policy *p, uint32_t ref)
{
	const uint8_t *word = p->at[FORMAT_LISTS] + (size_t)ref * 4;

	return (struct policy_list){word + 4, get_le32(word)};
}

uint32_t policy_item(struct policy_list l, uint32_t i)
{
	return get_le32(l.words + (size_t)i * 4);
}

static struct policy_run run(const uint8_t *r)
{
	return (struct policy_run){get_le32(r), get_le32(r + 4)};
}

static const uint8_t *record(const struct policy *p, enum format_section section, uint32_t i,
			     size_t size)
{
	return p->at[section] + (size_t)i * size;
}

static struct addr addr_at(const uint8_t *b)
{
	struct addr a;

	memcpy(a.b, b, sizeof(a.b));
	return a;
}

void policy_meta(const struct policy *p, struct policy_meta *m)
{
	const uint8_t *r = p->at[FORMAT_META];

	m->name = policy_string(p, get_le32(r + META_NAME));
	m->namespace_ = policy_string(p, get_le32(r + META_NAMESPACE));
	m->node = policy_string(p, get_le32(r + META_NODE));
	m->access_log = policy_string(p, get_le32(r + META_ACCESS_LOG));
	m->nameservers = policy_list(p, get_le32(r + META_NAMESERVERS));
	m->outbound = (enum policy_outbound)r[META_OUTBOUND];
	m->enforcement = (enum policy_enforcement)r[META_ENFORCEMENT];
	m->log_format = (enum policy_log_format)r[META_LOG_FORMAT];
}

void policy_capture(const struct policy *p, struct policy_capture *c)
{
	const uint8_t *r = p->at[FORMAT_CAPTURE];

	c->scope = (enum policy_scope)r[CAPTURE_SCOPE];
	c->method = (enum policy_method)r[CAPTURE_METHOD];
	c->udp = (enum policy_action)r[CAPTURE_UDP];
	c->other = (enum policy_action)r[CAPTURE_OTHER];
	c->dns = (enum policy_action)r[CAPTURE_DNS];
	c->tamper = (enum policy_tamper)r[CAPTURE_TAMPER];
	c->accept = r[CAPTURE_ACCEPT];
	c->udp_flows = get_le32(r + CAPTURE_UDP_FLOWS);
	c->interfaces = policy_list(p, get_le32(r + CAPTURE_INTERFACES));
	c->exclude_interfaces = policy_list(p, get_le32(r + CAPTURE_EXCLUDE_INTERFACES));
	c->ports = run(r + CAPTURE_PORTS);
	c->exclude_ports = run(r + CAPTURE_EXCLUDE_PORTS);
	c->exempt_uids = run(r + CAPTURE_EXEMPT_UIDS);
	c->exempt_gids = run(r + CAPTURE_EXEMPT_GIDS);
	c->exclude_cidrs = run(r + CAPTURE_EXCLUDE_CIDRS);
}

void policy_service(const struct policy *p, uint32_t i, struct policy_service *s)
{
	const uint8_t *r = record(p, FORMAT_SERVICES, i, SERVICE_SIZE);

	s->name = policy_string(p, get_le32(r + SERVICE_NAME));
	s->export_to = policy_list(p, get_le32(r + SERVICE_EXPORT_TO));
	s->resolution = (enum policy_resolution)r[SERVICE_RESOLUTION];
	s->location = (enum policy_location)r[SERVICE_LOCATION];
	s->enforcement = (enum policy_enforcement)r[SERVICE_ENFORCEMENT];
	s->websocket = (r[SERVICE_FLAGS] & SERVICE_FLAG_WEBSOCKET) != 0;
	s->allow_private = (r[SERVICE_FLAGS] & SERVICE_FLAG_ALLOW_PRIVATE) != 0;
	s->no_ech = (r[SERVICE_FLAGS] & SERVICE_FLAG_NO_ECH) != 0;
	s->scrub = (r[SERVICE_FLAGS] & SERVICE_FLAG_SCRUB) != 0;
	s->no_alt_svc = (r[SERVICE_FLAGS] & SERVICE_FLAG_NO_ALT_SVC) != 0;
	s->auto_address = (r[SERVICE_FLAGS] & SERVICE_FLAG_AUTO_ADDRESS) != 0;
	s->n_hosts = get_le32(r + SERVICE_HOSTS);
	s->ports = run(r + SERVICE_PORTS);
	s->endpoints = run(r + SERVICE_ENDPOINTS);
	s->cidrs = run(r + SERVICE_CIDRS);
	s->clients = run(r + SERVICE_CLIENTS);
	s->alpn = policy_list(p, get_le32(r + SERVICE_ALPN));
	s->first_host =
		s->n_hosts > 0 ? p->at[FORMAT_NAMES] + get_le32(r + SERVICE_FIRST_HOST) : NULL;
}

void policy_port(const struct policy *p, uint32_t i, struct policy_port *port)
{
	const uint8_t *r = record(p, FORMAT_PORTS, i, PORT_SIZE);

	port->number = get_le16(r + PORT_NUMBER);
	port->target = get_le16(r + PORT_TARGET);
	port->protocol = (enum policy_protocol)r[PORT_PROTOCOL];
}

void policy_endpoint(const struct policy *p, uint32_t i, struct policy_endpoint *e)
{
	const uint8_t *r = record(p, FORMAT_ENDPOINTS, i, ENDPOINT_SIZE);
	uint32_t name = get_le32(r + ENDPOINT_NAME);

	e->name = name != 0 ? policy_string(p, name) : NULL;
	e->addr = addr_at(r + ENDPOINT_ADDR);
	e->weight = get_le32(r + ENDPOINT_WEIGHT);
	e->port = get_le16(r + ENDPOINT_PORT);
}

void policy_cidr(const struct policy *p, uint32_t i, struct cidr *c)
{
	const uint8_t *r = record(p, FORMAT_CIDRS, i, CIDR_SIZE);

	c->addr = addr_at(r + CIDR_ADDR);
	c->bits = r[CIDR_BITS];
}

void policy_range(const struct policy *p, uint32_t i, uint32_t *first, uint32_t *last)
{
	const uint8_t *r = record(p, FORMAT_RANGES, i, RANGE_SIZE);

	*first = get_le32(r + RANGE_FIRST);
	*last = get_le32(r + RANGE_LAST);
}

/* ---- look-ups ---- */

/* The slot of a key, or NULL. */
static const uint8_t *slot_find(const struct policy *p, uint32_t hash, const char *key, size_t len)
{
	const uint8_t *slot = record(p, FORMAT_HOSTS, format_home(hash, p->homes), HOST_SIZE);

	for (uint32_t i = 0; i < p->probes; i++, slot += HOST_SIZE) {
		uint32_t name = get_le32(slot + HOST_NAME);
		const uint8_t *at;

		if (name == 0)
			return NULL;
		at = p->at[FORMAT_NAMES] + name - 1;
		if (at[0] == len && memcmp(at + 1, key, len) == 0)
			return slot;
	}
	return NULL;
}

struct policy_list policy_find_host(const struct policy *p, const char *name, size_t len,
				    uint32_t *at, const uint8_t **key)
{
	uint32_t state = FORMAT_HASH_START;
	size_t i = *at;

	if (p->homes == 0 || i > len)
		return (struct policy_list){NULL, 0};
	for (size_t j = len; j > i; j--)
		state = name_hash_step(state, (unsigned char)name[j - 1]);
	for (; i <= len; i++) {
		/* The whole name, what begins with a dot, and nothing: what a key can be. */
		if (i == 0 || i == len || name[i] == '.') {
			const uint8_t *slot =
				slot_find(p, name_hash_final(state), name + i, len - i);

			if (slot != NULL) {
				*at = (uint32_t)i + 1;
				if (key != NULL)
					*key = p->at[FORMAT_NAMES] + get_le32(slot + HOST_NAME) - 1;
				return policy_list(p, get_le32(slot + HOST_LIST));
			}
		}
		if (i < len)
			state = name_hash_unstep(state, (unsigned char)name[i]);
	}
	*at = (uint32_t)len + 1;
	return (struct policy_list){NULL, 0};
}

struct policy_list policy_find_addr(const struct policy *p, const struct addr *a)
{
	uint32_t low = 0, high = p->n[FORMAT_ADDRESSES];

	/* The last record that does not lie behind a; the first is ::, so there is one. */
	if (high == 0)
		return (struct policy_list){NULL, 0};
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(record(p, FORMAT_ADDRESSES, middle, ADDRESS_SIZE) + ADDRESS_START, a->b,
			   16) <= 0)
			low = middle;
		else
			high = middle;
	}
	return policy_list(p,
			   get_le32(record(p, FORMAT_ADDRESSES, low, ADDRESS_SIZE) + ADDRESS_LIST));
}

struct policy_port_info policy_find_port(const struct policy *p, uint16_t port)
{
	uint32_t low = 0, high = p->n[FORMAT_BY_PORT];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const uint8_t *r = record(p, FORMAT_BY_PORT, middle, BY_PORT_SIZE);
		uint16_t number = get_le16(r + BY_PORT_NUMBER);

		if (number == port)
			return (struct policy_port_info){
				r[BY_PORT_FLAGS], policy_list(p, get_le32(r + BY_PORT_LIST))};
		if (number < port)
			low = middle + 1;
		else
			high = middle;
	}
	return (struct policy_port_info){0, {NULL, 0}};
}

int64_t policy_service_port(const struct policy *p, uint32_t service, uint16_t number,
			    struct policy_port *port)
{
	struct policy_run ports =
		run(record(p, FORMAT_SERVICES, service, SERVICE_SIZE) + SERVICE_PORTS);
	uint32_t low = ports.first, high = ports.first + ports.n;

	/* UDP stands behind TCP, so the first record with the number is the one, if any is. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (get_le16(record(p, FORMAT_PORTS, middle, PORT_SIZE) + PORT_NUMBER) < number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == ports.first + ports.n)
		return -1;
	policy_port(p, low, port);
	return port->number == number && port->protocol != POLICY_PROTO_UDP ? (int64_t)low : -1;
}

bool policy_service_goes_by_name(const struct policy_service *s)
{
	return s->cidrs.n == 0 && s->endpoints.n == 0 && s->resolution != POLICY_NONE &&
	       s->resolution != POLICY_STATIC;
}

bool policy_service_serves(const struct policy *p, uint32_t service, const struct addr *client)
{
	struct policy_run clients =
		run(record(p, FORMAT_SERVICES, service, SERVICE_SIZE) + SERVICE_CLIENTS);

	for (uint32_t i = 0; i < clients.n; i++) {
		struct cidr c;

		policy_cidr(p, clients.first + i, &c);
		if (cidr_contains(&c, client))
			return true;
	}
	return clients.n == 0;
}
