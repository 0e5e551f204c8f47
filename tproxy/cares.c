/* SPDX-License-Identifier: MIT */
/*
 * What is left out of c-ares: its cache of answers, its servers as URIs, and 4 KB besides.
 *
 * dns_cache.c is the cache here and c-ares's is switched off, but it would still copy each answer
 * before it finds that out. A name server is an address, in resolv.conf as in a policy: "dns://..."
 * is known to c-ares alone, and is one more form of input. In a static link these take the place of
 * two of the library's files; what another version asks of those besides makes the linker say that
 * there are duplicates. The last two functions are weak in the library that is built here
 * (CARES_OWN in board/deps.mk).
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <ares.h>
#include <ares_dns_record.h>

struct apattern;
struct ares_buf;
struct ares_query;
struct ares_qcache;
struct ares_rand_state;
struct ares_timeval;
struct ares_uri;

ares_status_t ares_qcache_create(struct ares_rand_state *rand, unsigned max_ttl,
                                 struct ares_qcache **out);
void ares_qcache_destroy(struct ares_qcache *cache);
void ares_qcache_flush(struct ares_qcache *cache);
ares_status_t ares_qcache_insert(ares_channel_t *channel, const struct ares_timeval *now,
                                 const struct ares_query *query, const ares_dns_record_t *answer);
ares_status_t ares_qcache_fetch(ares_channel_t *channel, const struct ares_timeval *now,
                                const ares_dns_record_t *question,
                                const ares_dns_record_t **answer);
ares_status_t ares_uri_parse_buf(struct ares_uri **out, struct ares_buf *text);
struct ares_uri *ares_uri_create(void);
void ares_uri_destroy(struct ares_uri *uri);
ares_status_t ares_parse_sortlist(struct apattern **list, size_t *n, const char *text);
ares_status_t ares_buf_append(struct ares_buf *buf, const unsigned char *data, size_t len);
ares_status_t ares_buf_load_file(const char *path, struct ares_buf *buf);

/* ---- no cache ---- */

ares_status_t ares_qcache_create(struct ares_rand_state *rand, unsigned max_ttl,
                                 struct ares_qcache **out)
{
	(void)rand;
	(void)max_ttl;
	*out = NULL;
	return ARES_SUCCESS;
}

void ares_qcache_destroy(struct ares_qcache *cache)
{
	(void)cache;
}

void ares_qcache_flush(struct ares_qcache *cache)
{
	(void)cache;
}

ares_status_t ares_qcache_insert(ares_channel_t *channel, const struct ares_timeval *now,
                                 const struct ares_query *query, const ares_dns_record_t *answer)
{
	(void)channel;
	(void)now;
	(void)query;
	(void)answer;
	return ARES_ENOTIMP;
}

ares_status_t ares_qcache_fetch(ares_channel_t *channel, const struct ares_timeval *now,
                                const ares_dns_record_t *question,
                                const ares_dns_record_t **answer)
{
	(void)channel;
	(void)now;
	(void)question;
	(void)answer;
	return ARES_ENOTFOUND;
}

/* ---- no URIs ---- */

ares_status_t ares_uri_parse_buf(struct ares_uri **out, struct ares_buf *text)
{
	(void)text;
	*out = NULL;
	return ARES_EBADSTR;
}

struct ares_uri *ares_uri_create(void)
{
	return NULL;
}

void ares_uri_destroy(struct ares_uri *uri)
{
	(void)uri;
}

/* There is no URI to pass to any of these. */
static void never(void)
{
	abort();
}

#define NEVER(name) void name(void) __attribute__((alias("never")))
NEVER(ares_uri_get_scheme);
NEVER(ares_uri_get_host);
NEVER(ares_uri_get_port);
NEVER(ares_uri_get_query_key);
NEVER(ares_uri_set_scheme);
NEVER(ares_uri_set_host);
NEVER(ares_uri_set_port);
NEVER(ares_uri_set_query_key);
NEVER(ares_uri_write_buf);

/* ---- resolv.conf ---- */

/* Only what is not linked would sort addresses by it. */
ares_status_t ares_parse_sortlist(struct apattern **list, size_t *n, const char *text)
{
	(void)list;
	(void)n;
	(void)text;
	return ARES_SUCCESS;
}

/* Without stdio, of which nothing else here reads. */
ares_status_t ares_buf_load_file(const char *path, struct ares_buf *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ares_status_t status = ARES_SUCCESS;
	unsigned char piece[512];
	ssize_t n = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ESRCH ? ARES_ENOTFOUND : ARES_EFILE;
	while (status == ARES_SUCCESS && (n = read(fd, piece, sizeof(piece))) > 0)
		status = ares_buf_append(buf, piece, (size_t)n);
	close(fd);
	return n < 0 ? ARES_EFILE : status;
}
