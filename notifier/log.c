/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * log.c
 *	  See log.h. Knows the C library only.
 *
 * A line is built in the caller's thread and written by one write(), so that lines of several threads
 * do not mix. What cannot be written is dropped: a log never stops the program.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"

#define STRING_MAX 1000			/* bytes of a string that are printed */

static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* Text that grows. */
struct line
{
	char	   *text;
	size_t		len;
	size_t		room;
	bool		is_json;
};

void
log_set_level(enum log_level level)
{
	current_level = level;
}

void
log_set_format(enum log_format format)
{
	current_format = format;
}

bool
log_is_on(enum log_level level)
{
	return (int) level <= current_level;
}

static void
add_bytes(struct line *line, const char *bytes, size_t len)
{
	if (len == 0)
		return;
	if (line->room - line->len < len)
	{
		line->room = (line->room + len) * 2;
		line->text = memory_resize(line->text, line->room);
	}
	memcpy(line->text + line->len, bytes, len);
	line->len += len;
}

static void
add_text(struct line *line, const char *text)
{
	add_bytes(line, text, strlen(text));
}

/* Length of the valid UTF-8 character at p (no overlong form, no surrogate), 0 when there is none. */
static size_t
character_length(const unsigned char *p)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((p[0] & 0xf0) == 0xe0)
	{
		if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
			return 0;
		return (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 ? 3 : 0;
	}
	if (p[0] >= 0xf0 && p[0] <= 0xf4)
	{
		if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
			return 0;
		return (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
	}
	return 0;
}

/* One character inside quotes: what JSON wants escaped is, and whatever a terminal might obey. */
static size_t
add_character(struct line *line, const unsigned char *p)
{
	size_t		len = character_length(p);
	char		escaped[8];

	if (len == 0)
	{
		add_text(line, "\\ufffd");
		return 1;
	}
	if (*p == '"' || *p == '\\')
	{
		escaped[0] = '\\';
		escaped[1] = (char) *p;
		add_bytes(line, escaped, 2);
	}
	else if (*p == '\n')
		add_text(line, "\\n");
	else if (*p < 0x20 || *p == 0x7f)
	{
		snprintf(escaped, sizeof(escaped), "\\u%04x", *p);
		add_text(line, escaped);
	}
	else if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0)
	{
		snprintf(escaped, sizeof(escaped), "\\u%04x", p[1]);
		add_text(line, escaped);
	}
	else
		add_bytes(line, (const char *) p, len);
	return len;
}

/* A string: quoted in JSON, and in text when it is not one plain word. */
static void
add_string(struct line *line, const char *string)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@+-";
	const unsigned char *p = (const unsigned char *) string;
	const unsigned char *end;

	if (string == NULL)
	{
		add_text(line, "null");
		return;
	}
	if (!line->is_json && *string != '\0' && strcmp(string, "null") != 0
		&& strspn(string, plain) == strnlen(string, STRING_MAX + 1)
		&& strnlen(string, STRING_MAX + 1) <= STRING_MAX)
	{
		add_text(line, string);
		return;
	}
	add_text(line, "\"");
	end = p + STRING_MAX;
	while (*p != '\0' && p < end)
		p += add_character(line, p);
	if (*p != '\0')
		add_text(line, "\xe2\x80\xa6");
	add_text(line, "\"");
}

/* The value of one conversion; returns the text behind it, NULL when log.h does not know it. */
static const char *
add_value(struct line *line, const char *spec, va_list *args)
{
	char		number[64];
	long long	as_signed;

	if (spec[0] == 's')
	{
		add_string(line, va_arg(*args, const char *));
		return spec + 1;
	}
	if (strncmp(spec, ".3f", 3) == 0)
	{
		double		value = va_arg(*args, double);

		/* JSON knows no infinity; and no field has 60 digits */
		if (value > -1e15 && value < 1e15)
			snprintf(number, sizeof(number), "%.3f", value);
		else
			snprintf(number, sizeof(number), "null");
		add_text(line, number);
		return spec + 3;
	}
	if (spec[0] == 'd')
		as_signed = va_arg(*args, int);
	else if (spec[0] == 'u')
		as_signed = va_arg(*args, unsigned);
	else if (strncmp(spec, "ld", 2) == 0)
		as_signed = va_arg(*args, long);
	else if (strncmp(spec, "lld", 3) == 0)
		as_signed = va_arg(*args, long long);
	else
	{
		unsigned long long value;

		if (strncmp(spec, "lu", 2) == 0)
			value = va_arg(*args, unsigned long);
		else if (strncmp(spec, "llu", 3) == 0)
			value = va_arg(*args, unsigned long long);
		else if (strncmp(spec, "zu", 2) == 0)
			value = va_arg(*args, size_t);
		else
			return NULL;
		snprintf(number, sizeof(number), "%llu", value);
		add_text(line, number);
		return strchr(spec, 'u') + 1;
	}
	snprintf(number, sizeof(number), "%lld", as_signed);
	add_text(line, number);
	return spec + strcspn(spec, "du") + 1;
}

/* All fields, "name=%x" separated by spaces. A format that is not so ends the line early. */
static void
add_fields(struct line *line, const char *fields, va_list *args)
{
	while (fields != NULL && *fields != '\0')
	{
		size_t		len = strcspn(fields, "=");

		if (fields[len] != '=' || fields[len + 1] != '%')
			return;
		add_text(line, line->is_json ? ",\"" : " ");
		add_bytes(line, fields, len);
		add_text(line, line->is_json ? "\":" : "=");
		fields = add_value(line, fields + len + 2, args);
		if (fields != NULL)
			fields += strspn(fields, " ");
	}
}

/* Time, level and event, which every line begins with. */
static void
add_head(struct line *line, enum log_level level, const char *event)
{
	struct timespec now;
	struct tm	utc;
	char		date[32];
	char		head[160];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(head, sizeof(head),
			 line->is_json ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\""
			 : "%s.%03ldZ %s %s",
			 date, now.tv_nsec / 1000000, level_names[level], event);
	add_text(line, head);
}

void
log_write(enum log_level level, const char *event, const char *fields, ...)
{
	struct line line = {.is_json = current_format == LOG_FORMAT_JSON};
	va_list		args;
	size_t		done = 0;
	int			saved_errno = errno;

	if (!log_is_on(level))
		return;
	add_head(&line, level, event);
	va_start(args, fields);
	add_fields(&line, fields, &args);
	va_end(args);
	add_text(&line, line.is_json ? "}\n" : "\n");
	while (done < line.len)
	{
		ssize_t		n = write(STDERR_FILENO, line.text + done, line.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t) n;
	}
	memory_free(line.text);
	errno = saved_errno;
}
