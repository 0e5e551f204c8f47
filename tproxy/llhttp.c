/* SPDX-License-Identifier: MIT */
/*
 * That part of llhttp's interface which is used, and what calls back from its state machine.
 *
 * The library's own, linked as one piece, brings the names of all methods, statuses and errors:
 * 6 KB that nobody here asks for. In a static link this takes its place; a further function of
 * llhttp.h makes the linker say that there are duplicates: then it is to be added here.
 */
#include <llhttp.h>

#include <string.h>

/* The state machine sees all but the settings through the same struct by another name. */
static const llhttp_settings_t *settings_of(const llhttp_t *p)
{
	return p->settings;
}

/* A callback of a stretch of bytes may have said what is wrong by a code of its own. */
static int call_span(llhttp_t *p, llhttp_data_cb call, const char *from, const char *to)
{
	int err = call ? call(p, from, (size_t)(to - from)) : 0;

	return err == -1 ? HPE_USER : err;
}

static int call_event(llhttp_t *p, llhttp_cb call)
{
	return call ? call(p) : 0;
}

#define SPAN(name) \
	int llhttp__##name(llhttp_t *p, const char *from, const char *to); \
	int llhttp__##name(llhttp_t *p, const char *from, const char *to) \
	{ \
		return call_span(p, settings_of(p)->name, from, to); \
	}

#define EVENT(name) \
	int llhttp__##name(llhttp_t *p, const char *from, const char *to); \
	int llhttp__##name(llhttp_t *p, const char *from, const char *to) \
	{ \
		(void)from; \
		(void)to; \
		return call_event(p, settings_of(p)->name); \
	}

EVENT(on_message_begin)
SPAN(on_url)
EVENT(on_url_complete)
SPAN(on_status)
EVENT(on_status_complete)
SPAN(on_method)
EVENT(on_method_complete)
SPAN(on_version)
EVENT(on_version_complete)
SPAN(on_header_field)
EVENT(on_header_field_complete)
SPAN(on_header_value)
EVENT(on_header_value_complete)
EVENT(on_headers_complete)
EVENT(on_message_complete)
SPAN(on_body)
EVENT(on_chunk_header)
SPAN(on_chunk_extension_name)
EVENT(on_chunk_extension_name_complete)
SPAN(on_chunk_extension_value)
EVENT(on_chunk_extension_value_complete)
EVENT(on_chunk_complete)
EVENT(on_reset)

void llhttp_settings_init(llhttp_settings_t *settings)
{
	memset(settings, 0, sizeof(*settings));
}

void llhttp_init(llhttp_t *p, llhttp_type_t type, const llhttp_settings_t *settings)
{
	llhttp__internal_init(p);
	p->type = (uint8_t)type;
	p->settings = (void *)settings;
}

llhttp_errno_t llhttp_execute(llhttp_t *p, const char *data, size_t len)
{
	return (llhttp_errno_t)llhttp__internal_execute(p, data, data + len);
}

const char *llhttp_get_error_pos(const llhttp_t *p)
{
	return p->error_pos;
}

uint8_t llhttp_get_method(llhttp_t *p)
{
	return p->method;
}
