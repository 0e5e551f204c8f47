/* SPDX-License-Identifier: MIT */
/* Objects of nf_tables to netlink messages and back. */
#include "init/object.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

void object_clear(struct object *o)
{
	for (size_t i = 0; i < o->kind->n; i++)
		free(o->value[i].bytes);
}

static size_t index_of(const struct object *o, uint16_t attr)
{
	size_t i = 0;

	while (i < o->kind->n && o->kind->field[i].attr != attr)
		i++;
	if (i == o->kind->n)
		abort();
	return i;
}

bool object_is_set(const struct object *o, uint16_t attr)
{
	return (o->set >> index_of(o, attr) & 1) != 0;
}

uint32_t object_number(const struct object *o, uint16_t attr)
{
	return o->value[index_of(o, attr)].number;
}

const void *object_bytes(const struct object *o, uint16_t attr)
{
	return o->value[index_of(o, attr)].bytes;
}

static void set(struct object *o, size_t i, void *bytes, uint32_t number)
{
	free(o->value[i].bytes);
	o->value[i].bytes = bytes;
	o->value[i].number = number;
	o->set |= 1u << i;
}

void object_set_number(struct object *o, uint16_t attr, uint32_t v)
{
	set(o, index_of(o, attr), NULL, v);
}

static int set_bytes(struct object *o, size_t i, const void *data, size_t len)
{
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return -1;
	memcpy(copy, data, len);
	copy[len] = '\0';
	set(o, i, copy, (uint32_t)len);
	return 0;
}

int object_set_bytes(struct object *o, uint16_t attr, const void *data, size_t len)
{
	return set_bytes(o, index_of(o, attr), data, len);
}

/* The array and what it points to are one piece of memory. */
static int set_names(struct object *o, size_t i, const char *const *names, size_t n)
{
	size_t len = 0;
	char **copy, *at;

	for (size_t k = 0; k < n; k++)
		len += strlen(names[k]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + len);
	if (copy == NULL)
		return -1;
	at = (char *)&copy[n + 1];
	for (size_t k = 0; k < n; k++) {
		copy[k] = strcpy(at, names[k]);
		at += strlen(at) + 1;
	}
	copy[n] = NULL;
	set(o, i, copy, (uint32_t)n);
	return 0;
}

int object_set_names(struct object *o, uint16_t attr, const char *const *names)
{
	size_t n = 0;

	while (names[n] != NULL)
		n++;
	return set_names(o, index_of(o, attr), names, n);
}

/* ---- to a message ---- */

static void put_nested(struct nlmsghdr *nlh, const struct object *o, size_t i)
{
	const struct field *f = &o->kind->field[i];
	struct nlattr *list = mnl_attr_nest_start(nlh, f->nla);

	for (uint32_t k = 0; k < o->value[i].number; k++) {
		if (f->type == FIELD_NAMES) {
			char *const *names = o->value[i].bytes;

			mnl_attr_put_strz(nlh, NFTA_DEVICE_NAME, names[k]);
		} else {
			const uint8_t *parts = o->value[i].bytes;
			struct nlattr *part = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

			mnl_attr_put_u32(nlh, NFTA_SET_FIELD_LEN, htonl(parts[k]));
			mnl_attr_nest_end(nlh, part);
		}
	}
	mnl_attr_nest_end(nlh, list);
}

static void put(struct nlmsghdr *nlh, const struct object *o, size_t i)
{
	const struct field *f = &o->kind->field[i];

	switch (f->type) {
	case FIELD_NUMBER:
		mnl_attr_put_u32(nlh, f->nla, htonl(o->value[i].number));
		break;
	case FIELD_TEXT:
		mnl_attr_put_strz(nlh, f->nla, o->value[i].bytes);
		break;
	case FIELD_BYTES:
		mnl_attr_put(nlh, f->nla, o->value[i].number, o->value[i].bytes);
		break;
	default:
		put_nested(nlh, o, i);
		break;
	}
}

void object_put(struct nlmsghdr *nlh, const struct object *o)
{
	struct nlattr *nest = NULL;
	uint8_t inside = 0;

	for (size_t i = 0; i < o->kind->n; i++) {
		const struct field *f = &o->kind->field[i];

		if (!(o->set >> i & 1) || f->type == FIELD_FAMILY)
			continue;
		if (f->nest != inside) {
			if (inside != 0)
				mnl_attr_nest_end(nlh, nest);
			inside = f->nest;
			nest = inside != 0 ? mnl_attr_nest_start(nlh, inside) : NULL;
		}
		put(nlh, o, i);
	}
	if (inside != 0)
		mnl_attr_nest_end(nlh, nest);
}

/* ---- from a message ---- */

static int take_names(struct object *o, size_t i, const struct nlattr *list)
{
	const struct nlattr *attr;
	const char **names;
	size_t n = 0;
	int err;

	mnl_attr_for_each_nested(attr, list) {
		if (mnl_attr_get_type(attr) == NFTA_DEVICE_NAME &&
			mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			return -1;
		n++;
	}
	names = calloc(n + 1, sizeof(*names));
	if (names == NULL)
		return -1;
	n = 0;
	mnl_attr_for_each_nested(attr, list) {
		if (mnl_attr_get_type(attr) == NFTA_DEVICE_NAME)
			names[n++] = mnl_attr_get_str(attr);
	}
	err = set_names(o, i, names, n);
	free(names);
	return err;
}

static int take(struct object *o, size_t i, const struct nlattr *attr)
{
	size_t len = mnl_attr_get_payload_len(attr);

	switch (o->kind->field[i].type) {
	case FIELD_NUMBER:
		if (len != sizeof(uint32_t))
			return -1;
		set(o, i, NULL, ntohl(mnl_attr_get_u32(attr)));
		return 0;
	case FIELD_TEXT:
		if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			return -1;
		return set_bytes(o, i, mnl_attr_get_str(attr), strlen(mnl_attr_get_str(attr)));
	case FIELD_BYTES:
		return set_bytes(o, i, mnl_attr_get_payload(attr), len);
	case FIELD_NAMES:
		return take_names(o, i, attr);
	default:
		return 0;
	}
}

/* An attribute of the message itself, or one inside a nest. */
static int take_attr(struct object *o, uint8_t nest, const struct nlattr *attr)
{
	const uint16_t type = mnl_attr_get_type(attr);
	const struct nlattr *inner;

	for (size_t i = 0; i < o->kind->n; i++) {
		const struct field *f = &o->kind->field[i];

		if (f->type != FIELD_FAMILY && f->nest == nest && f->nla == type)
			return take(o, i, attr);
		if (nest != 0 || f->nest == 0 || f->nest != type)
			continue;
		mnl_attr_for_each_nested(inner, attr) {
			if (take_attr(o, f->nest, inner) != 0)
				return -1;
		}
		return 0;
	}
	return 0;
}

int object_take(struct object *o, const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	for (size_t i = 0; i < o->kind->n; i++)
		if (o->kind->field[i].type == FIELD_FAMILY)
			set(o, i, NULL, nfg->nfgen_family);
	mnl_attr_for_each(attr, nlh, sizeof(*nfg)) {
		if (take_attr(o, 0, attr) != 0)
			return -1;
	}
	return 0;
}
