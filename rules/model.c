/* SPDX-License-Identifier: MIT */
/* The compiler's memory, and what a policy is before anything is written in it. */
#include "rules/model.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define CHUNK 65536

static void *need(void *memory)
{
	if (memory == NULL) {
		perror("sluice-rules");
		exit(EX_OSERR);
	}
	return memory;
}

void model_grow(void **v, size_t *n, size_t *room, size_t size)
{
	if (*n == *room) {
		size_t more = *room > 0 ? *room * 2 : 8;

		*v = need(more > SIZE_MAX / size ? NULL : realloc(*v, more * size));
		*room = more;
	}
	memset((char *)*v + *n * size, 0, size);
	++*n;
}

const char *model_text(const char *s, size_t len)
{
	static char *chunk;
	static size_t left;
	char *text;

	if (len >= CHUNK / 4) {
		text = need(malloc(len + 1));
	} else {
		if (left < len + 1) {
			chunk = need(malloc(CHUNK));
			left = CHUNK;
		}
		text = chunk;
		chunk += len + 1;
		left -= len + 1;
	}
	if (len > 0)
		memcpy(text, s, len);
	text[len] = '\0';
	return text;
}

void model_init(struct model *m)
{
	*m = (struct model){
		.name = "default",
		.namespace_ = "default",
		.node = "mesh",
		.access_log = "/dev/stdout",
		.capture = {.dns = POLICY_CAPTURE,
			    .tamper = POLICY_TAMPER_REPAIR,
			    .udp_flows = MODEL_UDP_FLOWS},
	};
	*model_push(&m->capture.ports) = (struct model_range){.first = 1, .last = UINT16_MAX};
}
