/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jsonscan.c
 *	  See jsonscan.h. Knows bytes only.
 *
 * Strings and structure are checked, scalars only by their alphabet: what PostgreSQL wrote is valid,
 * and what a peer wrote is parsed strictly elsewhere. Depth costs a counter, not the stack.
 */
#include "jsonscan.h"

#include <stdint.h>
#include <string.h>

bool
slice_equals(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

bool
slice_is_same(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* First byte that is not white space. */
static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* The byte after a string's closing quote, p being behind the opening one; NULL when it has none. */
static const char *
skip_string(const char *p, const char *end)
{
	while (p < end)
	{
		const char *quote = memchr(p, '"', (size_t) (end - p));
		const char *slash;

		if (quote == NULL)
			return NULL;
		slash = memchr(p, '\\', (size_t) (quote - p));
		if (slash == NULL)
			return quote + 1;
		if (slash + 1 >= end)
			return NULL;
		p = slash + 2;
	}
	return NULL;
}

/* The byte after an object or array, p being behind its opening bracket; NULL when it has no end. */
static const char *
skip_nested(const char *p, const char *end)
{
	size_t		depth = 1;

	while (p < end)
	{
		switch (*p++)
		{
			case '"':
				p = skip_string(p, end);
				if (p == NULL)
					return NULL;
				break;
			case '{':
			case '[':
				depth++;
				break;
			case '}':
			case ']':
				if (--depth == 0)
					return p;
				break;
			default:
				break;
		}
	}
	return NULL;
}

/* The byte after a value, NULL when there is no whole one. */
static const char *
skip_value(const char *p, const char *end)
{
	const char *from = p;

	if (p >= end)
		return NULL;
	if (*p == '"')
		return skip_string(p + 1, end);
	if (*p == '{' || *p == '[')
		return skip_nested(p + 1, end);
	while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-'
					   || *p == '+' || *p == '.' || *p == 'E'))
		p++;
	return p == from ? NULL : p;
}

int
jsonscan_open(struct jsonscan *scan, struct slice text, char open)
{
	const char *end = text.len > 0 ? text.at + text.len : text.at;
	const char *p = skip_space(text.at, end);

	scan->at = scan->end = end;
	scan->close = 0;
	scan->is_first = true;
	if (p >= end || *p != open)
		return RT_MALFORMED;
	scan->at = p + 1;
	scan->close = open == '{' ? '}' : ']';
	return RT_OK;
}

/* Ends a scan with an error. */
static int
fail(struct jsonscan *scan)
{
	scan->at = scan->end;
	scan->close = 0;
	return RT_MALFORMED;
}

int
jsonscan_next(struct jsonscan *scan, struct slice *key, struct slice *value)
{
	const char *p = skip_space(scan->at, scan->end);
	const char *after;

	key->at = p;
	key->len = 0;
	if (scan->close == 0)
		return 0;
	if (p >= scan->end)
		return fail(scan);
	if (*p == scan->close)
	{
		scan->at = p + 1;
		scan->close = 0;
		return 0;
	}
	if (!scan->is_first)
	{
		if (*p != ',')
			return fail(scan);
		p = skip_space(p + 1, scan->end);
	}
	scan->is_first = false;
	if (scan->close == '}')
	{
		if (p >= scan->end || *p != '"' || (after = skip_string(p + 1, scan->end)) == NULL)
			return fail(scan);
		key->at = p + 1;
		key->len = (size_t) (after - p) - 2;
		p = skip_space(after, scan->end);
		if (p >= scan->end || *p != ':')
			return fail(scan);
		p = skip_space(p + 1, scan->end);
	}
	after = skip_value(p, scan->end);
	if (after == NULL)
		return fail(scan);
	value->at = p;
	value->len = (size_t) (after - p);
	scan->at = after;
	return 1;
}

int
jsonscan_find(struct slice object, const char *key, struct slice *value)
{
	struct jsonscan scan;
	struct slice k;
	struct slice v;
	int			found = 0;
	int			result = jsonscan_open(&scan, object, '{');

	if (result < 0)
		return result;
	while ((result = jsonscan_next(&scan, &k, &v)) > 0)
		if (slice_equals(k, key))
		{
			*value = v;
			found = 1;
		}
	return result < 0 ? result : found;
}

enum json_kind
jsonscan_kind(struct slice value)
{
	if (value.len == 0)
		return JSON_KIND_NONE;
	switch (value.at[0])
	{
		case '"':
			return JSON_KIND_STRING;
		case '{':
			return JSON_KIND_OBJECT;
		case '[':
			return JSON_KIND_ARRAY;
		case 'n':
			return JSON_KIND_NULL;
		case 't':
		case 'f':
			return JSON_KIND_BOOL;
		default:
			return value.at[0] == '-' || (value.at[0] >= '0' && value.at[0] <= '9')
				? JSON_KIND_NUMBER : JSON_KIND_NONE;
	}
}

struct slice
jsonscan_inside(struct slice string)
{
	struct slice inside = {string.at + 1, string.len >= 2 ? string.len - 2 : 0};

	return inside;
}

/* Reads four hexadecimal digits; -1 when they are not. */
static long
read_hex4(const char *p, const char *end)
{
	long		code = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = p[i];

		code <<= 4;
		if (c >= '0' && c <= '9')
			code |= c - '0';
		else if (c >= 'a' && c <= 'f')
			code |= c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			code |= c - 'A' + 10;
		else
			return -1;
	}
	return code;
}

/* Writes a code point as UTF-8, returns the byte after it. */
static char *
put_utf8(char *out, uint32_t code)
{
	if (code < 0x80)
		*out++ = (char) code;
	else if (code < 0x800)
	{
		*out++ = (char) (0xC0 | (code >> 6));
		*out++ = (char) (0x80 | (code & 0x3F));
	}
	else if (code < 0x10000)
	{
		*out++ = (char) (0xE0 | (code >> 12));
		*out++ = (char) (0x80 | ((code >> 6) & 0x3F));
		*out++ = (char) (0x80 | (code & 0x3F));
	}
	else
	{
		*out++ = (char) (0xF0 | (code >> 18));
		*out++ = (char) (0x80 | ((code >> 12) & 0x3F));
		*out++ = (char) (0x80 | ((code >> 6) & 0x3F));
		*out++ = (char) (0x80 | (code & 0x3F));
	}
	return out;
}

long
jsonscan_unescape(struct slice inside, char *out)
{
	const char *p = inside.at;
	const char *end = p + inside.len;
	char	   *o = out;

	while (p < end)
	{
		static const char from[] = "\"\\/bfnrt";
		static const char to[] = "\"\\/\b\f\n\r\t";
		const char *known;
		long		code;

		if (*p != '\\')
		{
			*o++ = *p++;
			continue;
		}
		if (end - p < 2)
			return RT_MALFORMED;
		if (p[1] != 'u')
		{
			known = p[1] == '\0' ? NULL : strchr(from, p[1]);
			if (known == NULL)
				return RT_MALFORMED;
			*o++ = to[known - from];
			p += 2;
			continue;
		}
		code = read_hex4(p + 2, end);
		if (code < 0 || (code >= 0xDC00 && code < 0xE000))
			return RT_MALFORMED;
		p += 6;
		if (code >= 0xD800 && code < 0xDC00)
		{
			long		low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? read_hex4(p + 2, end) : -1;

			if (low < 0xDC00 || low >= 0xE000)
				return RT_MALFORMED;
			code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
			p += 6;
		}
		o = put_utf8(o, (uint32_t) code);
	}
	return (long) (o - out);
}
