/* SPDX-License-Identifier: MIT */
/* What the libraries do not tell of a certificate, read from its DER (RFC 5280 4.1). */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "tproxy/tls_der.h"

enum {
	BOOLEAN = 0x01,
	INTEGER = 0x02,
	BIT_STRING = 0x03,
	OCTET_STRING = 0x04,
	OID = 0x06,
	UTC_TIME = 0x17,
	GENERALIZED_TIME = 0x18,
	SEQUENCE = TLS_DER_SEQUENCE,
	VERSION = 0xa0, /* of TBSCertificate */
	ISSUER_ID = 0x81,
	SUBJECT_ID = 0x82,
	EXTENSIONS = 0xa3,
	NAME_DNS = 0x82, /* of GeneralName */
	NAME_URI = 0x86,
	NAME_ADDRESS = 0x87,
};

bool tls_der_take(struct tls_bytes *rest, uint8_t tag, struct tls_bytes *inner,
                  struct tls_bytes *whole)
{
	const uint8_t *at = rest->at;
	size_t head = 2, len;

	if (rest->len < 2 || at[0] != tag)
		return false;
	len = at[1];
	if (len > 0x80) {
		size_t n = len - 0x80;
		if (n > 3 || rest->len - 2 < n || at[2] == 0)
			return false;
		for (len = 0; head < 2 + n; head++)
			len = len << 8 | at[head];
		if (len < 0x80)
			return false;
	}
	if (at[1] == 0x80 || len > rest->len - head)
		return false;
	if (inner)
		*inner = (struct tls_bytes){ at + head, len };
	if (whole)
		*whole = (struct tls_bytes){ at, head + len };
	*rest = (struct tls_bytes){ at + head + len, rest->len - head - len };
	return true;
}

/* Takes whatever element comes. */
static bool element_take(struct tls_bytes *rest, uint8_t *tag, struct tls_bytes *inner)
{
	*tag = rest->len > 0 ? *(const uint8_t *)rest->at : 0;
	return tls_der_take(rest, *tag, inner, NULL);
}

static bool same(struct tls_bytes a, const void *at, size_t len)
{
	return a.len == len && memcmp(a.at, at, len) == 0;
}

/* Two decimal digits, or -1. */
static int two_digits(const uint8_t *c)
{
	if (c[0] < '0' || c[0] > '9' || c[1] < '0' || c[1] > '9')
		return -1;
	return (c[0] - '0') * 10 + c[1] - '0';
}

/* Days from 1970 to a date of the Gregorian calendar; the year begins in March. */
static int64_t date_days(int64_t year, int month, int day)
{
	year -= month <= 2;
	return 365 * year + year / 4 - year / 100 + year / 400 +
	       (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
}

/* RFC 5280 4.1.2.5: always to the second, always in UTC. */
static bool time_take(struct tls_bytes *rest, int64_t *seconds)
{
	struct tls_bytes text;
	uint8_t tag;
	int part[6], century = 0, year;

	if (!element_take(rest, &tag, &text) || (tag != UTC_TIME && tag != GENERALIZED_TIME))
		return false;
	const uint8_t *c = text.at;
	if (text.len != (tag == UTC_TIME ? 13u : 15u) || c[text.len - 1] != 'Z')
		return false;
	if (tag == GENERALIZED_TIME) {
		century = two_digits(c);
		c += 2;
	}
	for (int i = 0; i < 6; i++, c += 2)
		if ((part[i] = two_digits(c)) < 0)
			return false;
	year = tag == GENERALIZED_TIME ? century * 100 + part[0] :
	                                 part[0] + (part[0] < 50 ? 2000 : 1900);
	if (century < 0 || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 ||
	    part[3] > 23 || part[4] > 59 || part[5] > 60)
		return false;
	*seconds = ((date_days(year, part[1], part[2]) * 24 + part[3]) * 60 + part[4]) * 60 + part[5];
	return true;
}

static bool extension_read(struct tls_der_cert *cert, struct tls_bytes ext)
{
	static const uint8_t alt_name[] = { 0x55, 0x1d, 0x11 }, key_purpose[] = { 0x55, 0x1d, 0x25 },
	                     constraints[] = { 0x55, 0x1d, 0x13 };
	struct tls_bytes oid, value, ca;

	if (!tls_der_take(&ext, OID, &oid, NULL))
		return false;
	tls_der_take(&ext, BOOLEAN, NULL, NULL); /* critical */
	if (!tls_der_take(&ext, OCTET_STRING, &value, NULL) || ext.len > 0)
		return false;
	if (same(oid, alt_name, sizeof(alt_name)))
		return cert->alt_names.at == NULL &&
		       tls_der_take(&value, SEQUENCE, &cert->alt_names, NULL) && value.len == 0;
	if (same(oid, key_purpose, sizeof(key_purpose))) {
		cert->any_purpose = false;
		return cert->purposes.at == NULL &&
		       tls_der_take(&value, SEQUENCE, &cert->purposes, NULL) && value.len == 0;
	}
	if (same(oid, constraints, sizeof(constraints)) &&
	    tls_der_take(&value, SEQUENCE, &ca, NULL) && tls_der_take(&ca, BOOLEAN, &value, NULL))
		cert->ca = same(value, "\xff", 1);
	return true;
}

static bool extensions_read(struct tls_der_cert *cert, struct tls_bytes all)
{
	struct tls_bytes list, one;

	if (!tls_der_take(&all, SEQUENCE, &list, NULL) || all.len > 0)
		return false;
	while (list.len > 0)
		if (!tls_der_take(&list, SEQUENCE, &one, NULL) || !extension_read(cert, one))
			return false;
	return true;
}

bool tls_der_cert(struct tls_der_cert *cert, struct tls_bytes der)
{
	struct tls_bytes whole, tbs, dates, extensions;

	*cert = (struct tls_der_cert){ .any_purpose = true };
	if (!tls_der_take(&der, SEQUENCE, &whole, NULL) || der.len > 0 ||
	    !tls_der_take(&whole, SEQUENCE, &tbs, NULL))
		return false;
	tls_der_take(&tbs, VERSION, NULL, NULL);
	if (!tls_der_take(&tbs, INTEGER, NULL, NULL) || !tls_der_take(&tbs, SEQUENCE, NULL, NULL) ||
	    !tls_der_take(&tbs, SEQUENCE, NULL, &cert->issuer) ||
	    !tls_der_take(&tbs, SEQUENCE, &dates, NULL) || !time_take(&dates, &cert->not_before) ||
	    !time_take(&dates, &cert->not_after) || dates.len > 0 ||
	    !tls_der_take(&tbs, SEQUENCE, NULL, &cert->subject) ||
	    !tls_der_take(&tbs, SEQUENCE, NULL, &cert->key))
		return false;
	tls_der_take(&tbs, ISSUER_ID, NULL, NULL);
	tls_der_take(&tbs, SUBJECT_ID, NULL, NULL);
	if (tls_der_take(&tbs, EXTENSIONS, &extensions, NULL) && !extensions_read(cert, extensions))
		return false;
	return tbs.len == 0 && tls_der_take(&whole, SEQUENCE, NULL, NULL) &&
	       tls_der_take(&whole, BIT_STRING, NULL, NULL) && whole.len == 0;
}

bool tls_der_self_issued(const struct tls_der_cert *cert)
{
	return same(cert->issuer, cert->subject.at, cert->subject.len);
}

bool tls_der_purpose(const struct tls_der_cert *cert, bool server)
{
	/* id-kp-serverAuth and id-kp-clientAuth differ in the last byte. */
	static const uint8_t any[] = { 0x55, 0x1d, 0x25, 0 };
	uint8_t wanted[] = { 0x2b, 6, 1, 5, 5, 7, 3, server ? 1 : 2 };
	struct tls_bytes rest = cert->purposes, oid;

	if (cert->any_purpose)
		return true;
	while (tls_der_take(&rest, OID, &oid, NULL))
		if (same(oid, any, sizeof(any)) || same(oid, wanted, sizeof(wanted)))
			return true;
	return false;
}

/* A star stands for one label, the whole first one, and never for the last but one. */
static bool dns_matches(struct tls_bytes dns, const char *name, size_t len)
{
	const char *at = dns.at;

	if (dns.len > 0 && at[dns.len - 1] == '.')
		dns.len--;
	if (dns.len > 2 && at[0] == '*' && at[1] == '.') {
		const char *dot = memchr(name, '.', len);
		if (!dot || dot == name || !memchr(at + 2, '.', dns.len - 2))
			return false;
		at++;
		dns.len--;
		len -= (size_t)(dot - name);
		name = dot;
	}
	return dns.len == len && len > 0 && strncasecmp(at, name, len) == 0;
}

size_t tls_der_address(const char *name, uint8_t address[16])
{
	if (inet_pton(AF_INET, name, address) == 1)
		return 4;
	return inet_pton(AF_INET6, name, address) == 1 ? 16 : 0;
}

bool tls_der_names(const struct tls_der_cert *cert, const char *name)
{
	struct tls_bytes rest = cert->alt_names, one;
	uint8_t tag, address[16];
	size_t len = strlen(name), address_len = tls_der_address(name, address);
	bool uri = strstr(name, "://") != NULL;

	while (element_take(&rest, &tag, &one))
		if (address_len > 0 ? tag == NAME_ADDRESS && same(one, address, address_len) :
		    uri             ? tag == NAME_URI && same(one, name, len) :
		                      tag == NAME_DNS && dns_matches(one, name, len))
			return true;
	return false;
}

static bool printable(struct tls_bytes text)
{
	const uint8_t *c = text.at;

	for (size_t i = 0; i < text.len; i++)
		if (c[i] <= ' ' || c[i] > '~')
			return false;
	return text.len > 0;
}

void tls_der_peer(const struct tls_der_cert *cert, char peer[TLS_PEER_SIZE])
{
	struct tls_bytes rest = cert->alt_names, one;
	uint8_t tag, found = 0;

	peer[0] = '\0';
	while (found != NAME_URI && element_take(&rest, &tag, &one)) {
		if ((tag != NAME_URI && (tag != NAME_DNS || found)) || one.len >= TLS_PEER_SIZE ||
		    !printable(one))
			continue;
		found = tag;
		memcpy(peer, one.at, one.len);
		peer[one.len] = '\0';
	}
}
