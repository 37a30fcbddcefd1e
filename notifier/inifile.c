/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inifile.c
 *	  See inifile.h. The one file that knows inih.
 *
 * inih cuts lines over 200 bytes in pieces and tells a continuation like a second entry of the same
 * name. So lines are handed to it one by one by a reader that refuses the former and notes the latter;
 * an entry is told when the next one begins.
 */
#include "inifile.h"

#include <stdbool.h>
#include <string.h>

#include <ini.h>

#include "memory.h"

struct reading
{
	const char *at;
	const char *end;
	unsigned	line;			/* the one inih has, from 1 */
	bool		is_indented;	/* that line begins with white space */

	char	   *name;			/* the entry that is being gathered; NULL: none */
	char	   *value;
	unsigned	name_line;

	inifile_fn	fn;
	void	   *arg;
	int			result;
	const char *why;
	unsigned	why_line;
};

/* Notes the first thing that is wrong. */
static void
fail(struct reading *reading, const char *why)
{
	if (reading->result == RT_OK)
	{
		reading->result = RT_MALFORMED;
		reading->why = why;
		reading->why_line = reading->line;
	}
}

/* Tells the gathered entry. */
static void
finish_entry(struct reading *reading)
{
	if (reading->name != NULL && reading->result == RT_OK)
		reading->result = reading->fn(reading->arg, reading->name_line, reading->name, reading->value);
	memory_free(reading->name);
	memory_free(reading->value);
	reading->name = reading->value = NULL;
}

/* inih's fgets: the next line with its end, NULL at the end of the text or after a failure. */
static char *
next_line(char *to, int size, void *arg)
{
	struct reading *reading = arg;
	const char *newline;
	size_t		len;

	if (reading->at == reading->end || reading->result != RT_OK)
		return NULL;
	reading->line++;
	newline = memchr(reading->at, '\n', (size_t) (reading->end - reading->at));
	len = (size_t) ((newline ? newline + 1 : reading->end) - reading->at);
	if (len >= (size_t) size)
	{
		fail(reading, "the line is too long: continue it on the next one, indented");
		return NULL;
	}
	if (memchr(reading->at, '\0', len) != NULL)
	{
		fail(reading, "the line holds a null byte");
		return NULL;
	}
	memcpy(to, reading->at, len);
	to[len] = '\0';
	reading->at += len;
	reading->is_indented = *to == ' ' || *to == '\t';
	if (to[strspn(to, " \t")] == '[')
		finish_entry(reading);	/* nothing after it continues what is above */
	return to;
}

/* inih's handler. Returns whether all is well. */
static int
got_entry(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *reading = arg;

	(void) section;
	if (reading->name != NULL && reading->is_indented && strcmp(reading->name, name) == 0)
	{
		size_t		old = strlen(reading->value);
		size_t		more = strlen(value) + 1;
		size_t		gap = old > 0 ? 1 : 0;

		reading->value = memory_resize(reading->value, old + gap + more);
		if (gap > 0)
			reading->value[old] = ' ';
		memcpy(reading->value + old + gap, value, more);
		return 1;
	}
	finish_entry(reading);
	if (reading->result != RT_OK)
		return 0;
	if (*name == '\0')
	{
		fail(reading, "there is no name before the =");
		return 0;
	}
	reading->name = memory_copy_string(name, strlen(name));
	reading->value = memory_copy_string(value, strlen(value));
	reading->name_line = reading->line;
	return 1;
}

int
inifile_parse(const char *text, size_t len, inifile_fn fn, void *arg, unsigned *line,
			  const char **why)
{
	struct reading reading = {.at = text, .end = text + len, .fn = fn, .arg = arg};
	int			bad_line = ini_parse_stream(next_line, &reading, got_entry, &reading);

	if (bad_line > 0 && reading.result == RT_OK)
	{
		reading.line = (unsigned) bad_line;
		fail(&reading, "the line is not \"name = value\"");
	}
	finish_entry(&reading);
	*why = reading.why;
	*line = reading.why_line;
	return reading.result;
}
