/* SPDX-License-Identifier: MIT */
/* Checks of certificates and keys: in the policy, and of the device where they are here as well. */
#include "rules/check.h"

#include <stdlib.h>

#include "rules/key.h"
#include "rules/value.h"

/* The bytes of a file that is in the policy, or is here; NULL: neither, which is said. */
static const uint8_t *read_pem(struct check *c, const struct model_pem *pem, uint8_t **read,
			       size_t *len)
{
	const char *why;

	*read = NULL;
	*len = pem->len;
	if (pem->bytes != NULL)
		return pem->bytes;
	*read = value_read_file(pem->path, len, &why);
	if (*read == NULL)
		diag_warning(c->diag, pem->at, "%s: %s here: it is not checked", pem->path, why);
	return *read;
}

static bool report(struct check *c, const struct model_pem *pem, const char *why)
{
	if (why != NULL)
		diag_error(c->diag, pem->at, "%s %s", pem->path, why);
	return why == NULL;
}

void check_pair(struct check *c, const struct model_pem *certificate, const struct model_pem *key)
{
	uint8_t *read[2] = { NULL, NULL };
	const uint8_t *public = NULL, *private = NULL;
	size_t public_len = 0, private_len = 0;

	if (certificate->path != NULL)
		public = read_pem(c, certificate, &read[0], &public_len);
	if (key->path != NULL)
		private = read_pem(c, key, &read[1], &private_len);
	if (public != NULL && !report(c, certificate, key_check_certificates(public, public_len)))
		public = NULL;
	if (private != NULL && !report(c, key, key_check_private(private, private_len)))
		private = NULL;
	if (public != NULL && private != NULL)
		report(c, key, key_check_pair(public, public_len, private, private_len));
	free(read[0]);
	free(read[1]);
}

void check_bundle(struct check *c, const struct model_pem *ca)
{
	const uint8_t *bytes;
	uint8_t *read;
	size_t len;

	if (ca->path == NULL)
		return;
	bytes = read_pem(c, ca, &read, &len);
	if (bytes != NULL)
		report(c, ca, key_check_certificates(bytes, len));
	free(read);
}

static void check_secret(struct diag *d, const struct model_pem *key, bool used, bool *secret)
{
	if (key->bytes == NULL || !used)
		return;
	*secret = true;
	if (d != NULL)
		diag_warning(d, key->at,
			     "%s becomes a part of the policy: the compiled file is a secret",
			     key->path);
}

bool check_secrets(const struct model *m, struct diag *d)
{
	bool secret = false;

	for (size_t i = 0; i < m->services.n; i++)
		check_secret(d, &m->services.v[i].tls.private_key,
			     m->services.v[i].tls_mode == MODEL_TLS_MUTUAL, &secret);
	for (size_t i = 0; i < m->gateways.n; i++) {
		const struct model_gateway *g = &m->gateways.v[i];
		bool ends = false;

		for (size_t k = 0; k < g->servers.n; k++)
			ends |= g->servers.v[k].tls == POLICY_SERVER_SIMPLE ||
				g->servers.v[k].tls == POLICY_SERVER_MUTUAL;
		check_secret(d, &g->tls.private_key, g->via == POLICY_VIA_MUTUAL, &secret);
		check_secret(d, &g->server_tls.private_key, ends, &secret);
	}
	return secret;
}
