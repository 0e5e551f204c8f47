/* SPDX-License-Identifier: MIT */
/*
 * The compiled policy, byte by byte (sluice-policy-format(5) is the same in prose).
 *
 * All integers are little-endian and read through the accessors below; nothing is
 * overlaid. A file is the header, the section table, then the sections in the order
 * of enum format_section, each starting at the next multiple of 8 with zero bytes
 * between, the last ending at the end of the file. One policy has one encoding.
 *
 * To change the format: raise FORMAT_VERSION, describe the new bytes here and in the
 * man page, teach verify.c, emit.c and show.c, and add the old version to the
 * foreign-version test. There is no reading of older versions: policies are compiled anew.
 */
#ifndef SLUICE_RULES_FORMAT_H
#define SLUICE_RULES_FORMAT_H

#include <stdint.h>

#define FORMAT_MAGIC    "\211SLP\r\n\032\n" /* 8 bytes; broken by any text-mode transfer */
#define FORMAT_VERSION  2
#define FORMAT_MAX_SIZE (256u << 20)

#define FORMAT_MAX_PROBES      255 /* longest probe run in the host table */
#define FORMAT_MAX_SERVICES    255 /* services on one list: of a host key, of an address */
#define FORMAT_MAX_STRING      255 /* bytes of a string, without its NUL */
#define FORMAT_MAX_NAMESERVERS 8
#define FORMAT_MAX_ALPN        16 /* strings on a list of ALPN or alternative names */

/* Header: 64 bytes. */
enum {
	HEADER_MAGIC = 0,     /* 8 bytes */
	HEADER_VERSION = 8,   /* u16 FORMAT_VERSION */
	HEADER_SIZE_AT = 10,  /* u16 64 */
	HEADER_LENGTH = 12,   /* u32 bytes in the file */
	HEADER_CRC = 16,      /* u32 CRC32C of the file with these four bytes zero */
	HEADER_SECTIONS = 20, /* u32 FORMAT_SECTIONS */
	HEADER_SEQUENCE = 24, /* u64 the policy's sequence */
	HEADER_PROBES = 32,   /* u32 longest probe run in the host table, from 1 (0: no keys) */
	HEADER_ZERO = 36,     /* 28 zero bytes */
	HEADER_SIZE = 64,
};

/* Section table: FORMAT_SECTIONS entries of {u32 offset, u32 bytes, u32 records, u32 zero}. */
enum {
	SECTION_OFFSET = 0, SECTION_BYTES = 4, SECTION_RECORDS = 8, SECTION_ZERO = 12,
	SECTION_SIZE = 16,
};

enum format_section {
	FORMAT_META,      /* 1 record of META_SIZE */
	FORMAT_CAPTURE,   /* 1 record of CAPTURE_SIZE */
	FORMAT_STRINGS,   /* NUL-ended strings, the empty one first; sorted, no two equal, each
	                     used. Records: strings */
	FORMAT_LISTS,     /* u32 words: a list is a count and that many items; the empty list first;
	                     by count, then by items; no two equal, each used. Records: words */
	FORMAT_SERVICES,  /* SERVICE_SIZE each, by name */
	FORMAT_PORTS,     /* PORT_SIZE each; a service owns a run, by number, TCP before UDP, one of
	                     each at most; then each gateway: its servers */
	FORMAT_ENDPOINTS, /* ENDPOINT_SIZE each; a service owns a run, in source order; then each
	                     gateway, and after it each of its subsets */
	FORMAT_CIDRS,     /* CIDR_SIZE each; the capture record owns a run, then each service two:
	                     addresses, clients; a run is by address and bits */
	FORMAT_RANGES,    /* RANGE_SIZE each {u32 first, u32 last}; the capture record's four runs,
	                     each ascending, disjoint, not adjacent */
	FORMAT_GATEWAYS,  /* GATEWAY_SIZE each, by name: the node's own, and those its routes lead to */
	FORMAT_SUBSETS,   /* SUBSET_SIZE each; a gateway owns a run, by name */
	FORMAT_ROUTES,    /* ROUTE_SIZE each: those of the node, in source order */
	FORMAT_DESTINATIONS, /* DESTINATION_SIZE each; a route owns a run, in source order */
	FORMAT_ROUTE_HOSTS, /* ROUTE_HOST_SIZE each: the routes' host keys, by key, then by route */
	FORMAT_ADDRESSES, /* ADDRESS_SIZE each, ascending: :: and each address where a service's
	                     prefix begins or has just ended; empty when no service has a prefix */
	FORMAT_BY_PORT,   /* BY_PORT_SIZE each, ascending by port: each port that a service has */
	FORMAT_HOSTS,     /* HOST_SIZE each: the open-addressed host table. Records: slots */
	FORMAT_NAMES,     /* host keys as {u8 length, bytes}, in slot order. Records: keys */
	FORMAT_SECTIONS,
};

/*
 * Runs are {u32 first, u32 count}; the runs of one section follow each other in the order of their
 * owners, without gap or overlap, so that an empty run has the first of the next. A prefix never
 * spans both families: ::/0 is IPv6 alone, so the IPv4-mapped addresses cut it in two.
 *
 * The host table. A key is a canonical name, ".name" for *.name, or empty for *. Its home is
 * home(hash), the hash being name_hash(FORMAT_HASH_START, key) of name.h. Keys lie in the order of
 * (hash, bytes), each in the first slot from its home on that is behind the key before it. So a
 * look-up starts at the home and ends at an empty slot, or after HEADER_PROBES slots. With k keys
 * there are format_homes(k) homes and PROBES - 1 further slots, so that no run wraps round.
 */
#define FORMAT_HASH_START 0u

static inline uint32_t format_homes(uint32_t keys)
{
	return keys == 0 ? 0 : keys + keys / 2 + 1;
}

static inline uint32_t format_home(uint32_t hash, uint32_t homes)
{
	return (uint32_t)((uint64_t)hash * homes >> 32);
}

/* META */
enum {
	META_NAME = 0,         /* u32 string */
	META_NAMESPACE = 4,    /* u32 string */
	META_NODE = 8,         /* u32 string */
	META_ACCESS_LOG = 12,  /* u32 string: "off", "syslog" or an absolute path */
	META_NAMESERVERS = 16, /* u32 list of strings: addresses in source order; empty:
	                          /etc/resolv.conf */
	META_OUTBOUND = 20,    /* u8 enum policy_outbound */
	META_ENFORCEMENT = 21, /* u8 enum policy_enforcement */
	META_LOG_FORMAT = 22,  /* u8 enum policy_log_format */
	META_ZERO = 23,        /* zero to the end */
	META_SIZE = 32,
};

/* CAPTURE */
enum {
	/* u8 each: */
	CAPTURE_SCOPE = 0, CAPTURE_METHOD = 1, CAPTURE_UDP = 2, CAPTURE_OTHER = 3, CAPTURE_DNS = 4,
	CAPTURE_TAMPER = 5,              /* u8 enum policy_tamper */
	CAPTURE_ACCEPT = 6,              /* u8 POLICY_ACCEPT_* */
	CAPTURE_ZERO = 7,                /* 1 zero byte */
	CAPTURE_INTERFACES = 8,          /* u32 list of strings, ascending */
	CAPTURE_EXCLUDE_INTERFACES = 12, /* u32 list of strings, ascending */
	CAPTURE_PORTS = 16,              /* run of RANGES: TCP ports captured */
	CAPTURE_EXCLUDE_PORTS = 24,      /* run of RANGES */
	CAPTURE_EXEMPT_UIDS = 32,        /* run of RANGES */
	CAPTURE_EXEMPT_GIDS = 40,        /* run of RANGES */
	CAPTURE_EXCLUDE_CIDRS = 48,      /* run of CIDRS */
	CAPTURE_UDP_FLOWS = 56,          /* u32 1 to 65535: UDP flows per client address */
	CAPTURE_SIZE = 60,
};

/* SERVICE */
enum {
	SERVICE_NAME = 0,        /* u32 string */
	SERVICE_EXPORT_TO = 4,   /* u32 list of strings, ascending, never empty */
	SERVICE_RESOLUTION = 8,  /* u8 enum policy_resolution */
	SERVICE_LOCATION = 9,    /* u8 enum policy_location */
	SERVICE_ENFORCEMENT = 10,/* u8 enum policy_enforcement */
	SERVICE_FLAGS = 11,      /* u8 SERVICE_FLAG_* */
	SERVICE_HOSTS = 12,      /* u32 number of host keys that name this service */
	SERVICE_PORTS = 16,      /* run of PORTS, never empty */
	SERVICE_ENDPOINTS = 24,  /* run of ENDPOINTS */
	SERVICE_CIDRS = 32,      /* run of CIDRS: addresses */
	SERVICE_FIRST_HOST = 40, /* u32 offset in NAMES of its alphabetically first key, for logs
	                            (0 in an empty NAMES) */
	SERVICE_CLIENTS = 44,    /* run of CIDRS: sources that may use it; empty: all */
	SERVICE_ALPN = 52,       /* u32 list of strings, ascending: what a ClientHello may offer;
	                            empty: anything */
	SERVICE_SIZE = 56,
};
enum {
	SERVICE_FLAG_WEBSOCKET = 1, SERVICE_FLAG_ALLOW_PRIVATE = 2,
	SERVICE_FLAG_AUTO_ADDRESS = 4, /* its addresses are synthetic */
	SERVICE_FLAG_NO_ECH = 8,
	SERVICE_FLAG_SCRUB = 16, SERVICE_FLAG_NO_ALT_SVC = 32,
	SERVICE_FLAGS_KNOWN = 63,
};

/* PORT: u16 number, u16 target, u8 enum policy_protocol, 3 zero */
enum { PORT_NUMBER = 0, PORT_TARGET = 2, PORT_PROTOCOL = 4, PORT_ZERO = 5, PORT_SIZE = 8 };

/*
 * ENDPOINT: a name (string > 0, address zero) or an address (string 0); port 0: the service port's
 * target
 */
enum {
	ENDPOINT_NAME = 0, ENDPOINT_ADDR = 4, ENDPOINT_WEIGHT = 20, ENDPOINT_PORT = 24,
	ENDPOINT_ZERO = 26, ENDPOINT_SIZE = 28,
};

/* CIDR: 16 bytes address (network order, IPv4 mapped), u8 bits, 3 zero */
enum { CIDR_ADDR = 0, CIDR_BITS = 16, CIDR_ZERO = 17, CIDR_SIZE = 20 };

enum { RANGE_FIRST = 0, RANGE_LAST = 4, RANGE_SIZE = 8 };

/* GATEWAY */
enum {
	GATEWAY_NAME = 0,         /* u32 string */
	GATEWAY_HOSTS = 4,        /* u32 list of strings, ascending, never empty: host keys */
	GATEWAY_ALT_NAMES = 8,    /* u32 list of strings, ascending */
	GATEWAY_CA = 12,          /* u32 string each, empty where there is none; so are the three: */
	GATEWAY_CERTIFICATE = 16, GATEWAY_PRIVATE_KEY = 20,
	GATEWAY_SNI = 24,         /* a canonical name */
	GATEWAY_SERVERS = 28,     /* run of PORTS, never empty */
	GATEWAY_ENDPOINTS = 36,   /* run of ENDPOINTS, never empty */
	GATEWAY_SUBSETS = 44,     /* run of SUBSETS */
	GATEWAY_VIA = 52,         /* u8 enum policy_via */
	GATEWAY_ZERO = 53,        /* zero to the end */
	GATEWAY_SIZE = 56,
};

/* SUBSET: u32 string, run of ENDPOINTS (empty: all that the gateway has) */
enum { SUBSET_NAME = 0, SUBSET_ENDPOINTS = 4, SUBSET_SIZE = 12 };

/* ROUTE */
enum {
	ROUTE_NAME = 0,         /* u32 string */
	ROUTE_FIRST_HOST = 4,   /* u32 index in ROUTE_HOSTS of its first */
	ROUTE_DESTINATIONS = 8, /* run of DESTINATIONS, never empty */
	ROUTE_WEIGHT = 16,      /* u32 their weights' sum, from 1 */
	ROUTE_PORT = 20,        /* u16, 0: any */
	ROUTE_ZERO = 22,        /* zero to the end */
	ROUTE_SIZE = 24,
};

/*
 * DESTINATION: a gateway (its index plus 1; subset: index in SUBSETS plus 1, or 0 for all; string
 * and port 0) or a host (gateway and subset 0; a canonical name and a port that a service has). The
 * weight is 1 where there is no other destination.
 */
enum {
	DESTINATION_GATEWAY = 0, DESTINATION_SUBSET = 4, DESTINATION_HOST = 8,
	DESTINATION_WEIGHT = 12, DESTINATION_PORT = 16, DESTINATION_ZERO = 18,
	DESTINATION_SIZE = 20,
};

/* ROUTE_HOST: u32 string: a host key, u32 route */
enum { ROUTE_HOST_KEY = 0, ROUTE_HOST_ROUTE = 4, ROUTE_HOST_SIZE = 8 };

/*
 * ADDRESS: from this address up to the next record's: u32 list of services, narrowest prefix first,
 * then by index
 */
enum { ADDRESS_START = 0, ADDRESS_LIST = 16, ADDRESS_SIZE = 20 };

/*
 * BY_PORT: u16 port, u8 POLICY_PORT_* flags, u8 zero, u32 list of TCP-family services without
 * addresses on it (0 or 1 service)
 */
enum {
	BY_PORT_NUMBER = 0, BY_PORT_FLAGS = 2, BY_PORT_ZERO = 3, BY_PORT_LIST = 4,
	BY_PORT_SIZE = 8,
};

/* HOST slot: u32 offset in NAMES plus 1 (0: empty slot), u32 list of services */
enum { HOST_NAME = 0, HOST_LIST = 4, HOST_SIZE = 8 };

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static inline void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
	put_le16(p, (uint16_t)v);
	put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

#endif
