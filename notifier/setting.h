/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * setting.h
 *	  One row of a table of options: its kinds of values, from text and back to text.
 *
 * A setting describes a member of some struct; "at" is always the address of that struct. Knows neither
 * which settings there are nor where text comes from.
 */
#ifndef RT_SETTING_H
#define RT_SETTING_H

#include <stddef.h>
#include <stdio.h>

#include "error.h"

enum setting_kind
{
	SETTING_TEXT,				/* char *, malloc'd; NULL for none */
	SETTING_COUNT,				/* unsigned */
	SETTING_MS,					/* unsigned, milliseconds; "1500", "1500ms", "2s" */
	SETTING_SECONDS,			/* unsigned, seconds; "25", "25s", "5min", "1h", "1d" */
	SETTING_SIZE,				/* size_t, bytes; "65536", "64kB", "4MB", "1GB" */
	SETTING_SWITCH,				/* bool; on, off */
	SETTING_CHOICE				/* an enum from 0; one of the names in choices */
};

#define SETTING_KB 1024ULL
#define SETTING_MB (1024 * SETTING_KB)
#define SETTING_GB (1024 * SETTING_MB)

struct setting
{
	const char *name;			/* lower case, words joined by "-" */
	enum setting_kind kind;
	size_t		offset;			/* of the member */
	const char *initial;		/* default as text; NULL: none; "": a text that may be empty */
	const char *argument;		/* what the value is called in --help; NULL for switches */
	unsigned	marks;			/* the table's own */
	unsigned long long min;		/* of numbers, in the kind's own unit */
	unsigned long long max;
	const char *const *choices;	/* ends with NULL */
	const char *help;
};

/*
 * Reads a value into the struct. Empty text is none where there is no default. RT_MALFORMED or
 * RT_TOO_LARGE (out of range) when it is no good; the member stays as it was.
 */
int			setting_set(const struct setting *setting, void *at, const char *value) RT_MUST_CHECK;

/* The value as setting_set() takes it, malloc'd; NULL for none. */
char	   *setting_get(const struct setting *setting, const void *at);

/* Prints what a value may be: "a whole number from 1 to 10", "off or on". */
void		setting_print_expected(const struct setting *setting, FILE *out);

/* A number with the largest unit of its kind that leaves no rest: 65536 bytes are 64kB. */
void		setting_format_number(enum setting_kind kind, unsigned long long number, char *text,
								  size_t size);

/* Frees what the struct owns through this setting. */
void		setting_release(const struct setting *setting, void *at);

#endif
