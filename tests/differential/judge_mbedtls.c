/* SPDX-License-Identifier: MIT */
/*
 * A judge of ClientHellos: an mbedTLS server that gets no other byte. It answers as judge_gnutls
 * does. It cannot read a hello that is spread over several records, and knows TLS up to 1.2.
 *
 * usage: judge_mbedtls CERTIFICATE KEY
 */
/* LIBS: -lmbedtls -lmbedx509 -lmbedcrypto */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <stdbool.h>

#include "tests/differential/frame.h"

struct wire {
	const uint8_t *in;
	size_t len;
	bool answered; /* the first record that it sent is a handshake's */
	bool sent;
	uint8_t name[512];
	size_t name_len;
};

static int pull(void *ptr, unsigned char *to, size_t room)
{
	struct wire *w = ptr;
	size_t n = w->len < room ? w->len : room;

	if (n == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	memcpy(to, w->in, n);
	w->in += n;
	w->len -= n;
	return (int)n;
}

static int push(void *ptr, const unsigned char *from, size_t len)
{
	struct wire *w = ptr;

	if (!w->sent && len > 0)
		w->answered = from[0] == 22;
	w->sent = w->sent || len > 0;
	return (int)len;
}

static int on_name(void *ptr, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len)
{
	struct wire *w = ptr;

	(void)ssl;
	if (len > sizeof(w->name))
		return -1;
	memcpy(w->name, name, len);
	w->name_len = len;
	return 0;
}

static void must(int code)
{
	if (code != 0)
		frame_die("mbedTLS: cannot be set up");
}

static void judge(struct answer *a, const uint8_t *bytes, size_t len, mbedtls_ssl_config *conf)
{
	struct wire w = { .in = bytes, .len = len };
	mbedtls_ssl_context ssl;
	int error;

	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_conf_sni(conf, on_name, &w);
	must(mbedtls_ssl_setup(&ssl, conf));
	mbedtls_ssl_set_bio(&ssl, &w, push, pull, NULL);
	error = mbedtls_ssl_handshake(&ssl);
	if (w.answered && error == MBEDTLS_ERR_SSL_WANT_READ) {
		answer_text(a, "accept ");
		answer_hex(a, w.name, w.name_len);
		answer_text(a, "\n");
	} else if (error == MBEDTLS_ERR_SSL_WANT_READ) {
		answer_text(a, "more\n");
	} else {
		answer_text(a, "refuse -0x%04x\n", (unsigned)-error);
	}
	mbedtls_ssl_free(&ssl);
}

int main(int argc, char **argv)
{
	static struct answer a;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_ssl_config conf;
	mbedtls_x509_crt certificate;
	mbedtls_pk_context key;
	uint8_t *bytes;
	size_t len;

	if (argc != 3)
		frame_die("usage: judge_mbedtls CERTIFICATE KEY");
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_ssl_config_init(&conf);
	mbedtls_x509_crt_init(&certificate);
	mbedtls_pk_init(&key);
	must(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
	must(mbedtls_x509_crt_parse_file(&certificate, argv[1]));
	must(mbedtls_pk_parse_keyfile(&key, argv[2], NULL));
	must(mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
	                                 MBEDTLS_SSL_PRESET_DEFAULT));
	mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &random);
	must(mbedtls_ssl_conf_own_cert(&conf, &certificate, &key));
	while ((bytes = frame_read(&len)) != NULL) {
		a.len = 0;
		judge(&a, bytes, len, &conf);
		answer_send(&a);
		free(bytes);
	}
	mbedtls_ssl_config_free(&conf);
	mbedtls_pk_free(&key);
	mbedtls_x509_crt_free(&certificate);
	mbedtls_ctr_drbg_free(&random);
	mbedtls_entropy_free(&entropy);
	return 0;
}
