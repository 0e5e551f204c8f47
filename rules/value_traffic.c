/* SPDX-License-Identifier: MIT */
/* Values of how connections are made: times, health checks, servers, certificates and pins. */
#include "rules/value.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/base64.h"
#include "rules/model.h"

#define BLANKS " \t"
#define INLINE "inline:"

/* ---- times ---- */

/* Whole numbers of h, m, s and ms, each once and in this order, up to a most of ms. */
static bool parse_duration(const char *s, uint64_t most, uint64_t *ms)
{
	static const struct { const char *word; uint32_t ms; } units[] = {
		{ "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	size_t unit = 0;

	*ms = 0;
	if (strcmp(s, "0") == 0)
		return true;
	while (*s != '\0') {
		size_t digits = strspn(s, "0123456789"), word = strspn(s + digits, "hms");
		uint64_t n;

		while (unit < 4 && (strlen(units[unit].word) != word ||
				    memcmp(units[unit].word, s + digits, word) != 0))
			unit++;
		if (unit == 4 || !value_number(s, digits, most / units[unit].ms, &n) ||
		    *ms + n * units[unit].ms > most)
			return false;
		*ms += n * units[unit].ms;
		s += digits + word;
		unit++;
	}
	return unit > 0;
}

bool value_duration(const struct value *v, void *field)
{
	const struct value_span *span = v->arg;
	uint64_t ms;

	if (!parse_duration(v->text, span->last, &ms) || ms < span->first) {
		diag_error(v->diag, v->at,
			   "%s: \"%s\" is not a time such as 250ms, 10s, 1m30s or 1h, from %s to %uh",
			   v->key, v->text, span->noun, span->last / 3600000);
		return false;
	}
	*(uint32_t *)field = (uint32_t)ms;
	return true;
}

bool value_seconds(const struct value *v, void *field)
{
	uint32_t ms;

	if (!value_duration(v, &ms))
		return false;
	if (ms % 1000 != 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a whole number of seconds", v->key,
			   v->text);
		return false;
	}
	*(uint32_t *)field = ms / 1000;
	return true;
}

bool value_health(const struct value *v, void *field)
{
	struct policy_traffic *t = field;

	if (strcmp(v->text, "none") == 0) {
		t->health = POLICY_HEALTH_NONE;
	} else if (strcmp(v->text, "tcp") == 0) {
		t->health = POLICY_HEALTH_TCP;
	} else if (strncmp(v->text, "http:/", 6) == 0 && value_is_item(v)) {
		t->health = POLICY_HEALTH_HTTP;
		t->health_path = model_text(v->text + 5, v->len - 5);
	} else {
		diag_error(v->diag, v->at, "%s: \"%s\" is neither none, tcp nor http:/PATH", v->key,
			   v->text);
		return false;
	}
	return true;
}

/* ---- servers ---- */

bool value_server(const struct value *v, void *field)
{
	char *text = strdupa(v->text), *end = text + strcspn(text, BLANKS);
	const char *mode = end + strspn(end, BLANKS);
	struct value port = *v;
	struct model_ports *list = field;
	enum policy_server_tls tls = POLICY_SERVER_NONE;

	if (*mode != '\0') {
		for (tls = POLICY_SERVER_PASSTHROUGH; tls <= POLICY_SERVER_AUTO_PASSTHROUGH; tls++)
			if (strcmp(mode, policy_server_tls_name(tls)) == 0)
				break;
		if (tls > POLICY_SERVER_AUTO_PASSTHROUGH) {
			diag_error(v->diag, v->at,
				"%s: \"%s\" is not one of: passthrough, simple, mutual, auto-passthrough",
				v->key, mode);
			return false;
		}
	}
	*end = '\0';
	port.text = text;
	port.len = strlen(text);
	if (!value_port(&port, field))
		return false;
	list->v[list->n - 1].tls = tls;
	return true;
}

/* ---- certificates, keys, pins ---- */

const char *value_beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	size_t len = slash != NULL ? (size_t)(slash + 1 - file) : 0;
	char joined[PATH_MAX];

	if (path[0] == '/' || len == 0 || len + strlen(path) >= sizeof(joined))
		return model_text(path, strlen(path));
	memcpy(joined, file, len);
	strcpy(joined + len, path);
	return model_text(joined, strlen(joined));
}

/* NULL: why. */
static uint8_t *read_whole(int fd, size_t *len, const char **why)
{
	struct stat st;
	uint8_t *bytes = NULL;
	ssize_t n = 0;

	*why = "not a regular file of 1 byte to 1 MiB";
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > FORMAT_MAX_BLOB)
		return NULL;
	bytes = malloc((size_t)st.st_size);
	for (*len = 0; bytes != NULL && *len < (size_t)st.st_size; *len += (size_t)n) {
		n = read(fd, bytes + *len, (size_t)st.st_size - *len);
		if (n > 0)
			continue;
		*why = n < 0 ? strerror(errno) : "it became shorter while it was read";
		free(bytes);
		return NULL;
	}
	return bytes;
}

uint8_t *value_read_file(const char *path, size_t *len, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *bytes;

	if (fd < 0) {
		*why = strerror(errno);
		return NULL;
	}
	bytes = read_whole(fd, len, why);
	close(fd);
	return bytes;
}

bool value_pem(const struct value *v, void *field)
{
	struct model_pem *pem = field, read = { .at = v->at };
	bool embed = strncmp(v->text, INLINE, strlen(INLINE)) == 0;
	const char *path = v->text + (embed ? strlen(INLINE) : 0), *why;

	if (!value_is_item(v) || *path == '\0' || (!embed && *path != '/')) {
		diag_error(v->diag, v->at,
			"%s: \"%s\" is neither an absolute path of the device's nor inline:PATH, of at most %d printable bytes without , ; # and \"",
			v->key, v->text, FORMAT_MAX_STRING);
		return false;
	}
	read.path = embed ? value_beside(v->at.file, path) : model_text(path, strlen(path));
	if (embed) {
		read.bytes = value_read_file(read.path, &read.len, &why);
		if (read.bytes == NULL) {
			diag_error(v->diag, v->at, "%s: %s: %s", v->key, read.path, why);
			return false;
		}
	}
	*pem = read;
	return true;
}

bool value_pin(const struct value *v, void *field)
{
	uint8_t sum[POLICY_PIN_SIZE];

	if (strncmp(v->text, "sha256/", 7) != 0 || !base64_decode(v->text + 7, sum, sizeof(sum))) {
		diag_error(v->diag, v->at,
			"%s: \"%s\" is not sha256/ and the base64 of the SHA-256 of a public key (SubjectPublicKeyInfo)",
			v->key, v->text);
		return false;
	}
	return value_push(v, v->text, field);
}
