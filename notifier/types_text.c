/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_text.c
 *	  See types_text.h.
 */
#include "types_text.h"

#include <stdio.h>

#include "utf8.h"

/* The length of the UTF-8 character at the start of some bytes and its code point; 0: there is none. */
static size_t
read_character(const char *at, size_t len, unsigned *point)
{
	const unsigned char *byte = (const unsigned char *) at;
	size_t		n = byte[0] < 0x80 ? 1 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;

	if (n > len || !utf8_is_valid(at, n))
		return 0;
	*point = n == 1 ? byte[0] : byte[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		*point = *point << 6 | (byte[i] & 0x3fu);
	return n;
}

/* Whether a character would end the line, or is not seen, or changes how what follows is seen. */
static bool
is_unseen(unsigned point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0xad || point == 0x61c
		|| (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e)
		|| (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || (point >= 0xe0000 && point < 0xe0080);
}

void
types_put_text(struct buffer *out, struct slice text)
{
	buffer_puts(out, "'");
	while (text.len > 0)
	{
		unsigned	point = 0;
		size_t		n = read_character(text.at, text.len, &point);
		char		escaped[16];

		if (n == 0 || is_unseen(point))
		{
			snprintf(escaped, sizeof(escaped), point > 0xffff ? "\\u{%x}" : "\\u%04x",
					 n == 0 ? 0xfffd : point);
			buffer_puts(out, escaped);
		}
		else
		{
			if (n == 1 && (*text.at == '\'' || *text.at == '\\'))
				buffer_puts(out, "\\");
			buffer_put(out, text.at, n);
		}
		n += n == 0;
		text.at += n;
		text.len -= n;
	}
	buffer_puts(out, "'");
}

/* ASCII alone: what else may stand in an identifier depends on the version of Unicode. */
static bool
is_identifier(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
	{
		char		c = name.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$'
			  || (i > 0 && c >= '0' && c <= '9')))
			return false;
	}
	return name.len > 0;
}

void
types_put_key(struct buffer *out, struct slice name, bool in_object)
{
	bool		is_computed = in_object && slice_equals(name, "__proto__");

	if (is_identifier(name) && !is_computed)
	{
		buffer_put_slice(out, name);
		return;
	}
	buffer_puts(out, is_computed ? "[" : "");
	types_put_text(out, name);
	buffer_puts(out, is_computed ? "]" : "");
}
