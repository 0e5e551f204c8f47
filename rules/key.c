/* SPDX-License-Identifier: MIT */
/* Certificates and private keys, by BearSSL. */
#include "rules/key.h"

#include <bearssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ---- */

/* A walk through the objects of a file: a DER file is one object without a name. */
struct walk {
	const uint8_t *bytes;
	size_t len;
	br_pem_decoder_context pem;
	bool der, open, broken;
	char name[128];
	uint8_t *object; /* the last one */
	size_t object_len, room;
};

static void walk_init(struct walk *w, const uint8_t *bytes, size_t len)
{
	*w = (struct walk){ .bytes = bytes, .len = len, .der = len > 0 && bytes[0] == 0x30 };
	br_pem_decoder_init(&w->pem);
}

static void append(void *user, const void *bytes, size_t len)
{
	struct walk *w = user;

	if (w->object_len + len > w->room) {
		size_t room = 2 * (w->object_len + len);
		uint8_t *grown = realloc(w->object, room);

		if (grown == NULL) {
			w->broken = true;
			return;
		}
		w->object = grown;
		w->room = room;
	}
	memcpy(w->object + w->object_len, bytes, len);
	w->object_len += len;
}

/* The bytes to decode next; behind the file's last, a line's end. */
static size_t feed(struct walk *w)
{
	size_t n = w->len > 0 ? br_pem_decoder_push(&w->pem, w->bytes, w->len)
			      : br_pem_decoder_push(&w->pem, "\n", 1);

	if (w->len == 0)
		return 0;
	w->bytes += n;
	w->len -= n;
	return n;
}

/* The next object is w->object, and is called w->name. False: there are no more, or w->broken. */
static bool walk_next(struct walk *w)
{
	bool ended = false;

	w->object_len = 0;
	if (w->der) {
		w->name[0] = '\0';
		if (w->len == 0)
			return false;
		append(w, w->bytes, w->len);
		w->len = 0;
		return !w->broken;
	}
	while (!ended) {
		ended = feed(w) == 0;
		switch (br_pem_decoder_event(&w->pem)) {
		case BR_PEM_BEGIN_OBJ:
			snprintf(w->name, sizeof(w->name), "%s", br_pem_decoder_name(&w->pem));
			br_pem_decoder_setdest(&w->pem, append, w);
			w->open = true;
			ended = false;
			break;
		case BR_PEM_END_OBJ:
			w->open = false;
			return !w->broken;
		case BR_PEM_ERROR:
			w->broken = true;
			return false;
		}
	}
	w->broken |= w->open; /* what has no end was cut */
	return false;
}

static void walk_fini(struct walk *w)
{
	if (w->object != NULL)
		memset(w->object, 0, w->room);
	free(w->object);
}

/* ---- objects ---- */

static bool is_certificate(const struct walk *w)
{
	return w->name[0] == '\0' || strcmp(w->name, "CERTIFICATE") == 0 ||
	       strcmp(w->name, "X509 CERTIFICATE") == 0;
}

static bool is_private_key(const struct walk *w)
{
	return w->name[0] == '\0' || strcmp(w->name, "PRIVATE KEY") == 0 ||
	       strcmp(w->name, "RSA PRIVATE KEY") == 0 || strcmp(w->name, "EC PRIVATE KEY") == 0;
}

/* NULL: it cannot be read. What is returned lives in the decoder. */
static const br_x509_pkey *decode_certificate(br_x509_decoder_context *dc, const struct walk *w)
{
	br_x509_decoder_init(dc, NULL, NULL);
	br_x509_decoder_push(dc, w->object, w->object_len);
	return br_x509_decoder_last_error(dc) == 0 ? br_x509_decoder_get_pkey(dc) : NULL;
}

const char *key_check_certificates(const uint8_t *bytes, size_t len)
{
	const char *why = "holds no certificate";
	br_x509_decoder_context dc;
	struct walk w;
	size_t n = 0;

	walk_init(&w, bytes, len);
	while (walk_next(&w)) {
		if (!is_certificate(&w))
			why = "holds something that is no certificate";
		else if (decode_certificate(&dc, &w) == NULL)
			why = "holds a certificate that cannot be read";
		else
			why = NULL;
		n++;
		if (why != NULL)
			break;
	}
	if (w.broken)
		why = "is damaged: no end, or no base64";
	walk_fini(&w);
	return why;
}

/* The private key of a file, which is the only one. What is decoded lives in the decoder. */
static const char *find_key(struct walk *w, br_skey_decoder_context *dc)
{
	size_t n = 0;
	bool encrypted = false;

	br_skey_decoder_init(dc);
	while (walk_next(w)) {
		encrypted |= strcmp(w->name, "ENCRYPTED PRIVATE KEY") == 0;
		if (!is_private_key(w))
			continue; /* EC PARAMETERS, or the certificate */
		if (n++ == 0)
			br_skey_decoder_push(dc, w->object, w->object_len);
	}
	if (w->broken)
		return "is damaged: no end, or no base64";
	if (encrypted)
		return "holds a private key that is encrypted";
	if (n != 1)
		return n == 0 ? "holds no private key" : "holds more than one private key";
	return br_skey_decoder_last_error(dc) == 0 && br_skey_decoder_key_type(dc) != 0
		       ? NULL
		       : "holds a private key that cannot be read";
}

const char *key_check_private(const uint8_t *bytes, size_t len)
{
	br_skey_decoder_context dc;
	const char *why;
	struct walk w;

	walk_init(&w, bytes, len);
	why = find_key(&w, &dc);
	walk_fini(&w);
	memset(&dc, 0, sizeof(dc));
	return why;
}

/* ---- both ---- */

static bool same_number(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	for (; a_len > 0 && *a == 0; a_len--)
		a++;
	for (; b_len > 0 && *b == 0; b_len--)
		b++;
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool is_rsa_pair(const br_rsa_public_key *public, const br_rsa_private_key *private)
{
	br_rsa_compute_modulus modulus = br_rsa_compute_modulus_get_default();
	size_t len = modulus(NULL, private);
	uint8_t *n = malloc(len > 0 ? len : 1);
	bool same = n != NULL && len > 0 && modulus(n, private) == len &&
		    same_number(n, len, public->n, public->nlen);

	free(n);
	return same;
}

static bool is_ec_pair(const br_ec_public_key *public, const br_ec_private_key *private)
{
	uint8_t buffer[BR_EC_KBUF_PUB_MAX_SIZE];
	br_ec_public_key computed;

	return public->curve == private->curve &&
	       br_ec_compute_pub(br_ec_get_default(), &computed, buffer, private) > 0 &&
	       computed.qlen == public->qlen &&
	       memcmp(computed.q, public->q, computed.qlen) == 0;
}

const char *key_check_pair(const uint8_t *certificate, size_t certificate_len, const uint8_t *key,
			   size_t key_len)
{
	br_x509_decoder_context certificate_dc;
	br_skey_decoder_context key_dc;
	const br_x509_pkey *public;
	struct walk w, k;
	bool same = false;

	walk_init(&w, certificate, certificate_len);
	walk_init(&k, key, key_len);
	if (walk_next(&w) && find_key(&k, &key_dc) == NULL) {
		public = decode_certificate(&certificate_dc, &w);
		if (public != NULL && public->key_type == br_skey_decoder_key_type(&key_dc))
			same = public->key_type == BR_KEYTYPE_RSA
				       ? is_rsa_pair(&public->key.rsa, br_skey_decoder_get_rsa(&key_dc))
				       : is_ec_pair(&public->key.ec, br_skey_decoder_get_ec(&key_dc));
	}
	walk_fini(&w);
	walk_fini(&k);
	memset(&key_dc, 0, sizeof(key_dc));
	return same ? NULL : "is not the key of the certificate";
}
