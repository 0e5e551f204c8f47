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
#define FORMAT_VERSION  3
#define FORMAT_MAX_SIZE (256u << 20)

#define FORMAT_MAX_PROBES      255 /* longest probe run in the host table */
#define FORMAT_MAX_SERVICES    255 /* services on one list: of a host key, of an address */
#define FORMAT_MAX_STRING      255 /* bytes of a string, without its NUL */
#define FORMAT_MAX_NAMESERVERS 8
#define FORMAT_MAX_ITEMS       16 /* strings on a list of ALPN, alternative names, paths, methods */
#define FORMAT_MAX_BLOB        (1u << 20)
#define FORMAT_MAX_BODY        4096 /* bytes of an answer's body */
#define FORMAT_MAX_TIME        604800000 /* ms: a week */
#define FORMAT_MAX_NUMBER      1000000   /* connections, requests, failures */

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
	FORMAT_BLOBS,     /* {u32 length, bytes, NUL} each; by length, then by bytes; no two equal,
	                     each used. Records: blobs */
	FORMAT_SERVICES,  /* SERVICE_SIZE each, by name */
	FORMAT_PORTS,     /* PORT_SIZE each; a service owns a run, by number, TCP before UDP, one of
	                     each at most; then each gateway: its servers */
	FORMAT_ENDPOINTS, /* ENDPOINT_SIZE each; a service owns a run, in source order; then each
	                     gateway, and after it each of its subsets */
	FORMAT_CIDRS,     /* CIDR_SIZE each; the capture record owns a run, then each service two:
	                     addresses, clients; then each gateway: whose connections begin with a
	                     PROXY header; a run is by address and bits */
	FORMAT_RANGES,    /* RANGE_SIZE each {u32 first, u32 last}; the capture record's four runs,
	                     each ascending, disjoint, not adjacent */
	FORMAT_TRAFFIC,   /* TRAFFIC_SIZE each, by bytes; no two equal, each used */
	FORMAT_TLS,       /* TLS_SIZE each, by bytes; no two equal, each used */
	FORMAT_GATEWAYS,  /* GATEWAY_SIZE each, by name: the node's own, and those its routes lead to */
	FORMAT_SUBSETS,   /* SUBSET_SIZE each; a gateway owns a run, by name */
	FORMAT_ROUTES,    /* ROUTE_SIZE each: those of the node, in source order */
	FORMAT_RULES,     /* RULE_SIZE each: what routes say of HTTP, in their order, of those alone that
	                     say something */
	FORMAT_MATCHES,   /* MATCH_SIZE each; a rule owns a run, by field */
	FORMAT_CHANGES,   /* CHANGE_SIZE each; a rule owns two runs: of the request, of the response; a
	                     run is by kind, then by field */
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
	SERVICE_TRAFFIC = 56,    /* u32 index in TRAFFIC plus 1; 0: the defaults */
	SERVICE_TLS = 60,        /* u32 index in TLS plus 1, of a client's; 0: none */
	SERVICE_SIZE = 64,
};
enum {
	SERVICE_FLAG_WEBSOCKET = 1, SERVICE_FLAG_ALLOW_PRIVATE = 2,
	SERVICE_FLAG_AUTO_ADDRESS = 4, /* its addresses are synthetic */
	SERVICE_FLAG_NO_ECH = 8,
	SERVICE_FLAG_SCRUB = 16, SERVICE_FLAG_NO_ALT_SVC = 32,
	SERVICE_FLAGS_KNOWN = 63,
};

/*
 * PORT: u16 number, u16 target, u8 enum policy_protocol, u8 enum policy_server_tls (0 but for the
 * servers of the node's own gateway that are https or tls), 2 zero
 */
enum {
	PORT_NUMBER = 0, PORT_TARGET = 2, PORT_PROTOCOL = 4, PORT_TLS = 5, PORT_ZERO = 6,
	PORT_SIZE = 8,
};

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

/*
 * TRAFFIC: how connections are made. All but two are u32; times are in ms. A record that says only
 * the defaults is none.
 */
enum {
	TRAFFIC_CONNECT = 0,       /* 1 to FORMAT_MAX_TIME */
	TRAFFIC_IDLE = 4,          /* the same */
	TRAFFIC_KEEPALIVE = 8,     /* seconds, 0 to 32767 */
	TRAFFIC_CONNECTIONS = 12,  /* 0 to FORMAT_MAX_NUMBER; 0: no limit */
	TRAFFIC_REQUESTS = 16,     /* the same */
	TRAFFIC_5XX = 20,          /* consecutive failures, 0 to FORMAT_MAX_NUMBER; 0: not counted */
	TRAFFIC_GATEWAY = 24, TRAFFIC_LOCAL = 28,
	TRAFFIC_INTERVAL = 32,     /* 1 to FORMAT_MAX_TIME, or 0: no outlier detection; then all */
	TRAFFIC_EJECTION = 36,     /* of 5XX to MIN_HEALTH are 0 */
	TRAFFIC_MAX_EJECTION = 40, TRAFFIC_MIN_HEALTH = 44, /* per cent, 0 to 100 */
	TRAFFIC_HEALTH_INTERVAL = 48, TRAFFIC_HEALTH_TIMEOUT = 52, /* 1 to FORMAT_MAX_TIME */
	TRAFFIC_UNHEALTHY = 56, TRAFFIC_HEALTHY = 60,              /* 1 to FORMAT_MAX_NUMBER */
	TRAFFIC_HEALTH_PATH = 64,  /* string; 0 but with POLICY_HEALTH_HTTP */
	TRAFFIC_HEALTH = 68,       /* u8 enum policy_health; with 0 the five before are 0 */
	TRAFFIC_BALANCE = 69,      /* u8 enum policy_balance */
	TRAFFIC_ZERO = 70,         /* zero to the end */
	TRAFFIC_SIZE = 72,
};

/*
 * TLS: of a client, or of the servers of the node's own gateway. The first three are a string, or with
 * their flag the offset of a blob.
 */
enum {
	TLS_CA = 0, TLS_CERTIFICATE = 4, TLS_PRIVATE_KEY = 8,
	TLS_SNI = 12,       /* u32 string: a canonical name, or empty */
	TLS_ALT_NAMES = 16, /* u32 list of strings, ascending */
	TLS_PINS = 20,      /* u32 offset in BLOBS plus 1, or 0: SHA-256 sums, ascending */
	TLS_ROLE = 24,      /* u8 */
	TLS_FLAGS = 25,     /* u8 */
	TLS_ZERO = 26,      /* zero to the end */
	TLS_SIZE = 28,
};
enum { TLS_ROLE_CLIENT = 0, TLS_ROLE_MUTUAL, TLS_ROLE_SERVER };
enum {
	TLS_FLAG_CA = 1, TLS_FLAG_CERTIFICATE = 2, TLS_FLAG_PRIVATE_KEY = 4, /* blobs */
	TLS_FLAG_ONLY_13 = 8, TLS_FLAGS_KNOWN = 15,
};

/* GATEWAY */
enum {
	GATEWAY_NAME = 0,         /* u32 string */
	GATEWAY_HOSTS = 4,        /* u32 list of strings, ascending, never empty: host keys */
	GATEWAY_TRAFFIC = 8,      /* as of a service */
	GATEWAY_TLS = 12,         /* the same; never 0 with via = tls and mutual, else 0 */
	GATEWAY_SERVER_TLS = 16,  /* u32 index in TLS plus 1, of a server's; never 0 where some server
	                             ends TLS, else 0 */
	GATEWAY_SERVERS = 20,     /* run of PORTS, never empty */
	GATEWAY_ENDPOINTS = 28,   /* run of ENDPOINTS, never empty */
	GATEWAY_SUBSETS = 36,     /* run of SUBSETS */
	GATEWAY_PROXY_FROM = 44,  /* run of CIDRS; empty but for the node's own */
	GATEWAY_VIA = 52,         /* u8 enum policy_via; 0 for the node's own */
	GATEWAY_ZERO = 53,        /* zero to the end */
	GATEWAY_SIZE = 56,
};

/* SUBSET: u32 string, run of ENDPOINTS (empty: all that the gateway has) */
enum { SUBSET_NAME = 0, SUBSET_ENDPOINTS = 4, SUBSET_SIZE = 12 };

/* ROUTE */
enum {
	ROUTE_NAME = 0,         /* u32 string */
	ROUTE_FIRST_HOST = 4,   /* u32 index in ROUTE_HOSTS of its first */
	ROUTE_DESTINATIONS = 8, /* run of DESTINATIONS; empty where its rule answers */
	ROUTE_WEIGHT = 16,      /* u32 their weights' sum, from 1; 0 of none */
	ROUTE_RULE = 20,        /* u32 index in RULES plus 1, or 0 */
	ROUTE_PORT = 24,        /* u16, 0: any */
	ROUTE_ZERO = 26,        /* zero to the end */
	ROUTE_SIZE = 28,
};

/* RULE. One that says nothing is none; one that answers has the defaults of what it does not forward. */
enum {
	RULE_PATHS = 0,      /* u32 list of strings, ascending: /exact or /prefix*; empty: any */
	RULE_METHODS = 4,    /* u32 list of strings, ascending; empty: any */
	RULE_MATCHES = 8,    /* run of MATCHES */
	RULE_REQUEST = 16,   /* run of CHANGES */
	RULE_RESPONSE = 24,  /* run of CHANGES */
	RULE_TIMEOUT = 32,   /* u32 ms, 0: none */
	RULE_PER_TRY = 36,   /* u32 ms, 0: none; 0 without retries */
	RULE_STATUSES = 40,  /* u32 offset in BLOBS plus 1, or 0: u32 each, 100 to 599, ascending; 0
	                        without retries */
	RULE_RETRIES = 44,   /* u8, to 100; the default is 2 */
	RULE_RETRY_ON = 45,  /* u8 POLICY_RETRY_*; the default is 15; 0 without retries */
	RULE_ACTION = 46,    /* u8 enum policy_http_action */
	RULE_HTTPS = 47,     /* u8, 1: the redirect's scheme is https */
	RULE_URI = 48,       /* u32 string: to rewrite or redirect to; 0: not said */
	RULE_AUTHORITY = 52, /* the same */
	RULE_BODY = 56,      /* u32 offset in BLOBS plus 1, or 0: of the answer */
	RULE_CODE = 60,      /* u16 status of the answer or the redirect; else 0 */
	RULE_PORT = 62,      /* u16 of the redirect, or 0 */
	RULE_SIZE = 64,
};

/* MATCH: u32 string: a field's name; u32 offset of a blob plus 1 (0: any value); u8 prefix; 3 zero */
enum { MATCH_NAME = 0, MATCH_VALUE = 4, MATCH_PREFIX = 8, MATCH_ZERO = 9, MATCH_SIZE = 12 };

/* CHANGE: u32 string: a field's name; u32 offset of a blob plus 1 (0: to remove); u8 kind; 3 zero */
enum { CHANGE_NAME = 0, CHANGE_VALUE = 4, CHANGE_KIND = 8, CHANGE_ZERO = 9, CHANGE_SIZE = 12 };

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
