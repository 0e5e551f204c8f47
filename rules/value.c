/* SPDX-License-Identifier: MIT */
/* Single values: words, numbers, names, paths. */
#include "rules/value.h"

#include <string.h>

#include "rules/name.h"

bool value_is_name(const char *s, size_t len, size_t max)
{
	if (len == 0 || len > max || s[0] == '-' || s[len - 1] == '-')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") >= len;
}

bool value_number(const char *s, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (len == 0 || (len > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(unsigned char)s[i] - '0';

		if (digit > 9 || n > max / 10 || n * 10 > max - digit)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

/* The words of a table as "a, b, c". */
static void list_words(const struct value_word *words, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (; words->word != NULL && len + strlen(words->word) + 3 < size; words++) {
		if (len > 0)
			len = strlen(strcat(out, ", "));
		len = strlen(strcat(out, words->word));
	}
}

static bool find_word(const struct value *v, int *value)
{
	struct diag_guess guess = { .word = v->text };
	char all[256];

	for (const struct value_word *w = v->arg; w->word != NULL; w++) {
		if (strcmp(w->word, v->text) == 0) {
			*value = w->value;
			return true;
		}
		diag_guess(&guess, w->word);
	}
	list_words(v->arg, all, sizeof(all));
	diag_error(v->diag, v->at, "%s: \"%s\" is not one of: %s%s", v->key, v->text, all,
		   diag_guess_text(&guess));
	return false;
}

bool value_word(const struct value *v, void *field)
{
	int value;

	_Static_assert(sizeof(enum policy_outbound) == sizeof(int), "enums are set as ints");
	if (!find_word(v, &value))
		return false;
	memcpy(field, &value, sizeof(value));
	return true;
}

bool value_flag(const struct value *v, void *field)
{
	int value;

	if (!find_word(v, &value))
		return false;
	*(bool *)field = value != 0;
	return true;
}

bool value_bit(const struct value *v, void *field)
{
	unsigned *bits = field;
	int value;

	if (!find_word(v, &value))
		return false;
	if ((*bits & (unsigned)value) != 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is listed twice", v->key, v->text);
		return false;
	}
	*bits |= (unsigned)value;
	return true;
}

bool value_sequence(const struct value *v, void *field)
{
	if (value_number(v->text, v->len, UINT64_MAX, field))
		return true;
	diag_error(v->diag, v->at,
		   "%s: \"%s\" is not a whole number from 0 to 18446744073709551615", v->key,
		   v->text);
	return false;
}

bool value_count(const struct value *v, void *field)
{
	const struct value_span *span = v->arg;
	uint64_t n;

	if (!value_number(v->text, v->len, span->last, &n) || n < span->first) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a %s from %u to %u", v->key, v->text,
			   span->noun, span->first, span->last);
		return false;
	}
	*(uint32_t *)field = (uint32_t)n;
	return true;
}

bool value_port_number(const struct value *v, void *field)
{
	uint64_t n;

	if (!value_number(v->text, v->len, UINT16_MAX, &n) || n == 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a port number from 1 to 65535",
			   v->key, v->text);
		return false;
	}
	*(uint16_t *)field = (uint16_t)n;
	return true;
}

bool value_label(const struct value *v, void *field)
{
	if (!value_is_name(v->text, v->len, VALUE_LABEL_MAX)) {
		diag_error(v->diag, v->at,
			"%s: \"%s\" is not a name of 1 to %d letters a-z, digits and inner dashes",
			v->key, v->text, VALUE_LABEL_MAX);
		return false;
	}
	*(const char **)field = model_text(v->text, v->len);
	return true;
}

bool value_access_log(const struct value *v, void *field)
{
	if (strcmp(v->text, "off") != 0 && strcmp(v->text, "syslog") != 0 && v->text[0] != '/') {
		diag_error(v->diag, v->at, "%s: \"%s\" is neither off, syslog nor an absolute path",
			   v->key, v->text);
		return false;
	}
	for (size_t i = 0; i < v->len; i++)
		if (v->text[i] <= ' ' || v->text[i] > '~') {
			diag_error(v->diag, v->at, "%s: \"%s\" holds a byte that is not printable ASCII",
				   v->key, v->text);
			return false;
		}
	if (v->len > FORMAT_MAX_STRING) {
		diag_error(v->diag, v->at, "%s: a path of more than %d bytes", v->key,
			   FORMAT_MAX_STRING);
		return false;
	}
	*(const char **)field = model_text(v->text, v->len);
	return true;
}

bool value_is_item(const struct value *v)
{
	bool good = v->len <= FORMAT_MAX_STRING && strpbrk(v->text, ",;#\"") == NULL;

	for (size_t i = 0; i < v->len; i++)
		good = good && v->text[i] > ' ' && v->text[i] <= '~';
	return good;
}

bool value_host_name(const struct value *v, void *field)
{
	char name[NAME_SIZE];
	int len = name_canon(name, v->text, v->len);

	if (len < 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a host name: %s", v->key, v->text,
			   name_strerror(len));
		return false;
	}
	*(const char **)field = model_text(name, (size_t)len);
	return true;
}

bool value_push(const struct value *v, const char *text, struct model_strings *list)
{
	struct model_string *s;

	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->v[i].s, text) != 0)
			continue;
		diag_error(v->diag, v->at, "%s: \"%s\" is listed twice", v->key, text);
		return false;
	}
	s = model_push(list);
	s->s = model_text(text, strlen(text));
	s->at = v->at;
	return true;
}

bool value_nameserver(const struct value *v, void *field)
{
	char text[ADDR_TEXT];
	struct addr a;

	if (addr_parse(&a, v->text, v->len) < 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not an IP address", v->key, v->text);
		return false;
	}
	return value_push(v, addr_format(&a, text), field);
}

bool value_interface(const struct value *v, void *field)
{
	if (v->len > 15 || strpbrk(v->text, " \t/:;*\"") != NULL || strcmp(v->text, ".") == 0 ||
	    strcmp(v->text, "..") == 0) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not an interface's name", v->key,
			   v->text);
		return false;
	}
	return value_push(v, v->text, field);
}

bool value_export(const struct value *v, void *field)
{
	if (strcmp(v->text, ".") != 0 && strcmp(v->text, "*") != 0 &&
	    !value_is_name(v->text, v->len, VALUE_LABEL_MAX)) {
		diag_error(v->diag, v->at, "%s: \"%s\" is neither \".\", \"*\" nor a namespace",
			   v->key, v->text);
		return false;
	}
	return value_push(v, v->text, field);
}

bool value_from(const struct value *v, void *field)
{
	if (!value_is_name(v->text, v->len, VALUE_NAME_MAX)) {
		diag_error(v->diag, v->at, "%s: \"%s\" is neither \"mesh\" nor a gateway's name",
			   v->key, v->text);
		return false;
	}
	return value_push(v, v->text, field);
}

bool value_alt_name(const struct value *v, void *field)
{
	if (!value_is_item(v)) {
		diag_error(v->diag, v->at, "%s: \"%s\" is not a subject alternative name", v->key,
			   v->text);
		return false;
	}
	return value_push(v, v->text, field);
}

bool value_alpn(const struct value *v, void *field)
{
	bool good = v->len < FORMAT_MAX_STRING && strpbrk(v->text, ";#\"") == NULL;

	for (size_t i = 0; i < v->len; i++)
		good = good && v->text[i] > ' ' && v->text[i] <= '~';
	if (!good) {
		diag_error(v->diag, v->at,
			   "%s: \"%s\" is not an ALPN protocol's name, such as h2 or http/1.1", v->key,
			   v->text);
		return false;
	}
	return value_push(v, v->text, field);
}
