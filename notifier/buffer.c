/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * buffer.c
 *	  See buffer.h. Pure.
 */
#include "buffer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

void
buffer_init(struct buffer *buffer)
{
	memset(buffer, 0, sizeof(*buffer));
}

void
buffer_release(struct buffer *buffer)
{
	memory_free(buffer->at);
	buffer_init(buffer);
}

char *
buffer_reserve(struct buffer *buffer, size_t more)
{
	if (buffer->room - buffer->len < more)
	{
		size_t		room = buffer->room ? buffer->room * 2 : 256;

		while (room - buffer->len < more)
			room *= 2;
		buffer->at = memory_resize(buffer->at, room);
		buffer->room = room;
	}
	return buffer->at + buffer->len;
}

void
buffer_put(struct buffer *buffer, const char *text, size_t len)
{
	if (len == 0)
		return;
	memcpy(buffer_reserve(buffer, len), text, len);
	buffer->len += len;
}

void
buffer_puts(struct buffer *buffer, const char *text)
{
	buffer_put(buffer, text, strlen(text));
}

void
buffer_put_slice(struct buffer *buffer, struct slice text)
{
	buffer_put(buffer, text.at, text.len);
}

void
buffer_put_number(struct buffer *buffer, int64_t number)
{
	char	   *at = buffer_reserve(buffer, 24);

	buffer->len += (size_t) snprintf(at, 24, "%" PRId64, number);
}

void
buffer_put_json(struct buffer *buffer, const char *text, size_t len)
{
	size_t		from = 0;

	buffer_put(buffer, "\"", 1);
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];
		char		escape[8];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buffer_put(buffer, text + from, i - from);
		from = i + 1;
		switch (c)
		{
			case '"':
				buffer_puts(buffer, "\\\"");
				break;
			case '\\':
				buffer_puts(buffer, "\\\\");
				break;
			case '\n':
				buffer_puts(buffer, "\\n");
				break;
			case '\r':
				buffer_puts(buffer, "\\r");
				break;
			case '\t':
				buffer_puts(buffer, "\\t");
				break;
			case '\b':
				buffer_puts(buffer, "\\b");
				break;
			case '\f':
				buffer_puts(buffer, "\\f");
				break;
			default:
				snprintf(escape, sizeof(escape), "\\u%04x", c);
				buffer_puts(buffer, escape);
		}
	}
	buffer_put(buffer, text + from, len - from);
	buffer_put(buffer, "\"", 1);
}

void
buffer_puts_json(struct buffer *buffer, const char *text)
{
	if (text == NULL)
		buffer_puts(buffer, "null");
	else
		buffer_put_json(buffer, text, strlen(text));
}

struct slice
buffer_slice(const struct buffer *buffer)
{
	struct slice slice = {buffer->at, buffer->len};

	return slice;
}

char *
buffer_take(struct buffer *buffer)
{
	char	   *text;

	*buffer_reserve(buffer, 1) = '\0';
	text = buffer->at;
	buffer_init(buffer);
	return text;
}
