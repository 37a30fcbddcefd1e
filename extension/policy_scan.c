/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_scan.c
 *	  Walking over the JSON text of a row image without building anything. See policy.h.
 *
 * The text is valid JSON (type json); what is checked is that it is of the expected kind, and that the
 * walk stays inside.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "policy.h"

/* Raises the error for text that is not what it must be. */
void
realtime_scan_malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("a row image is not what realtime.row_json() writes")));
}

/* The next character that is no space; 0 at the end. Does not go past it. */
char
realtime_scan_peek(RealtimeScanner *scan)
{
	while (scan->at < scan->end
		   && (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
	return scan->at < scan->end ? *scan->at : '\0';
}

/* Goes past a character that must be there. */
void
realtime_scan_expect(RealtimeScanner *scan, char c)
{
	if (realtime_scan_peek(scan) != c)
		realtime_scan_malformed();
	scan->at++;
}

/* Goes past a string; what is inside the quotes is [*start, *start + *len). */
void
realtime_scan_string(RealtimeScanner *scan, const char **start, int *len)
{
	realtime_scan_expect(scan, '"');
	*start = scan->at;
	while (scan->at < scan->end && *scan->at != '"')
		scan->at += *scan->at == '\\' ? 2 : 1;
	if (scan->at >= scan->end)
		realtime_scan_malformed();
	*len = scan->at - *start;
	scan->at++;
}

/* Goes past a value of any kind. */
void
realtime_scan_skip(RealtimeScanner *scan)
{
	const char *start;
	int			len;
	int			depth = 0;

	do
	{
		switch (realtime_scan_peek(scan))
		{
			case '\0':
				realtime_scan_malformed();
				break;
			case '"':
				realtime_scan_string(scan, &start, &len);
				break;
			case '{':
			case '[':
				depth++;
				scan->at++;
				break;
			case '}':
			case ']':
				depth--;
				scan->at++;
				break;
			case ',':
			case ':':
				if (depth == 0)
					realtime_scan_malformed();
				scan->at++;
				break;
			default:
				while (scan->at < scan->end && strchr(" \t\r\n,:{}[]\"", *scan->at) == NULL)
					scan->at++;
		}
	} while (depth > 0);
	if (depth < 0)
		realtime_scan_malformed();
}

/* Four hexadecimal digits. */
static pg_wchar
hex4(const char *s)
{
	pg_wchar	value = 0;

	for (int i = 0; i < 4; i++)
	{
		int			c = (unsigned char) s[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value * 16 + ((c | 0x20) - 'a' + 10);
		else
			realtime_scan_malformed();
	}
	return value;
}

/* The character of a \u escape, which may take two; *s is at its first digit and goes past it. */
static pg_wchar
unescape_unicode(const char **s, const char *end)
{
	pg_wchar	c;
	pg_wchar	low;

	if (end - *s < 4)
		realtime_scan_malformed();
	c = hex4(*s);
	*s += 4;
	if (!is_utf16_surrogate_first(c))
		return c;
	if (end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u')
		realtime_scan_malformed();
	low = hex4(*s + 2);
	if (!is_utf16_surrogate_second(low))
		realtime_scan_malformed();
	*s += 6;
	return surrogate_pair_to_codepoint(c, low);
}

/* The text of a string's inside, palloc'd. */
char *
realtime_scan_unescape(const char *s, int len)
{
	const char *end = s + len;
	StringInfoData out;

	if (memchr(s, '\\', len) == NULL)
		return pnstrdup(s, len);
	initStringInfo(&out);
	while (s < end)
	{
		unsigned char buffer[MAX_UNICODE_EQUIVALENT_STRING + 1];
		pg_wchar	c;

		if (*s != '\\')
		{
			appendStringInfoCharMacro(&out, *s++);
			continue;
		}
		s++;
		switch (*s++)
		{
			case 'b':
				appendStringInfoChar(&out, '\b');
				break;
			case 'f':
				appendStringInfoChar(&out, '\f');
				break;
			case 'n':
				appendStringInfoChar(&out, '\n');
				break;
			case 'r':
				appendStringInfoChar(&out, '\r');
				break;
			case 't':
				appendStringInfoChar(&out, '\t');
				break;
			case 'u':
				c = unescape_unicode(&s, end);
				if (c == 0)
					realtime_scan_malformed();	/* no text has it */
				pg_unicode_to_server(c, buffer);
				appendStringInfoString(&out, (char *) buffer);
				break;
			default:
				appendStringInfoChar(&out, s[-1]);
		}
	}
	return out.data;
}

/* Whether a value, perhaps after spaces, is null. */
bool
realtime_scan_is_null(const char *start, const char *end)
{
	while (start < end && (*start == ' ' || *start == '\t' || *start == '\n' || *start == '\r'))
		start++;
	return end - start >= 4 && memcmp(start, "null", 4) == 0;
}
