/* SPDX-License-Identifier: MIT */
/* Service binding records (RFC 9460), made anew for clients. Pure; the record is hostile. */
#ifndef SLUICE_TPROXY_DNS_SERVICE_H
#define SLUICE_TPROXY_DNS_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ares.h>

#define DNS_SERVICE_MAX 512 /* bytes of a record's data, as far as we write one */

/*
 * Writes the data of an HTTPS or SVCB record of a canonical name anew, keeping the priority, the
 * target and the parameters alpn, no-default-alpn and port (and mandatory, if it names no other).
 * ECH configurations, addresses and all else go. registered() says of a canonical name whether the
 * client may ask for it: other targets cost the record. Returns the length, or 0: no record.
 */
size_t dns_service_write(const ares_dns_rr_t *rr, const char *name,
                         bool (*registered)(void *ctx, const char *name, size_t len), void *ctx,
                         uint8_t out[static DNS_SERVICE_MAX]);

#endif
