/* SPDX-License-Identifier: MIT */
/*
 * A judge of ClientHellos: a GnuTLS server that gets no other byte. "accept NAME" (NAME in
 * hexadecimal, "-" without one) when it answers with its own hello, "more" when it waits, else
 * "refuse WHY".
 *
 * usage: judge_gnutls CERTIFICATE KEY
 */
/* LIBS: -lgnutls */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "tests/differential/frame.h"

struct wire {
	gnutls_session_t session;
	const uint8_t *in;
	size_t len;
	bool answered; /* the first record that it sent is a handshake's */
	bool sent;
	char name[512];
	size_t name_len;
};

static ssize_t pull(gnutls_transport_ptr_t ptr, void *to, size_t room)
{
	struct wire *w = ptr;
	size_t n = w->len < room ? w->len : room;

	if (n == 0) {
		gnutls_transport_set_errno(w->session, EAGAIN);
		return -1;
	}
	memcpy(to, w->in, n);
	w->in += n;
	w->len -= n;
	return (ssize_t)n;
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *from, size_t len)
{
	struct wire *w = ptr;

	if (!w->sent && len > 0)
		w->answered = *(const uint8_t *)from == 22;
	w->sent = w->sent || len > 0;
	return (ssize_t)len;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	const struct wire *w = ptr;

	(void)ms;
	return w->len > 0;
}

static void must(int code)
{
	if (code < 0)
		frame_die(gnutls_strerror(code));
}

static void judge(struct answer *a, const uint8_t *bytes, size_t len,
                  gnutls_certificate_credentials_t credentials)
{
	struct wire w = { .in = bytes, .len = len };
	unsigned type = 0;
	int error;

	must(gnutls_init(&w.session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL));
	must(gnutls_priority_set_direct(w.session, "LEGACY", NULL));
	must(gnutls_credentials_set(w.session, GNUTLS_CRD_CERTIFICATE, credentials));
	gnutls_transport_set_ptr(w.session, &w);
	gnutls_transport_set_pull_function(w.session, pull);
	gnutls_transport_set_push_function(w.session, push);
	gnutls_transport_set_pull_timeout_function(w.session, pull_timeout);
	/* It says "again" for each part of a hello. */
	do
		error = gnutls_handshake(w.session);
	while (error < 0 && !gnutls_error_is_fatal(error) &&
	       (error != GNUTLS_E_AGAIN || (w.len > 0 && !w.sent)));
	w.name_len = sizeof(w.name);
	if (gnutls_server_name_get(w.session, w.name, &w.name_len, &type, 0) != 0)
		w.name_len = 0;
	if (w.answered && error == GNUTLS_E_AGAIN) {
		answer_text(a, "accept ");
		answer_hex(a, w.name, w.name_len);
		answer_text(a, "\n");
	} else if (error == GNUTLS_E_AGAIN) {
		answer_text(a, "more\n");
	} else {
		answer_text(a, "refuse %s\n", gnutls_strerror_name(error));
	}
	gnutls_deinit(w.session);
}

int main(int argc, char **argv)
{
	static struct answer a;
	gnutls_certificate_credentials_t credentials;
	uint8_t *bytes;
	size_t len;

	if (argc != 3)
		frame_die("usage: judge_gnutls CERTIFICATE KEY");
	must(gnutls_certificate_allocate_credentials(&credentials));
	must(gnutls_certificate_set_x509_key_file(credentials, argv[1], argv[2],
	                                          GNUTLS_X509_FMT_PEM));
	while ((bytes = frame_read(&len)) != NULL) {
		a.len = 0;
		judge(&a, bytes, len, credentials);
		answer_send(&a);
		free(bytes);
	}
	gnutls_certificate_free_credentials(credentials);
	return 0;
}
