/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * setting.c
 *	  See setting.h. Knows the C library only.
 */
#include "setting.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* A unit of times or sizes. */
struct unit
{
	const char *name;
	unsigned long long factor;
};

/* The first of each list is the kind's own: plain numbers are in it. */
static const struct unit ms_units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit second_units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};
static const struct unit size_units[] = {
	{"B", 1}, {"kB", SETTING_KB}, {"MB", SETTING_MB}, {"GB", SETTING_GB}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const char *const switch_names[] = {"off", "on", NULL};

static const struct unit *
units_of(enum setting_kind kind)
{
	switch (kind)
	{
		case SETTING_MS:
			return ms_units;
		case SETTING_SECONDS:
			return second_units;
		case SETTING_SIZE:
			return size_units;
		default:
			return no_units;
	}
}

static const char *const *
names_of(const struct setting *setting)
{
	return setting->kind == SETTING_SWITCH ? switch_names : setting->choices;
}

void
setting_format_number(enum setting_kind kind, unsigned long long number, char *text, size_t size)
{
	const struct unit *best = units_of(kind);

	for (const struct unit *unit = best; unit->name != NULL && number > 0; unit++)
		if (number % unit->factor == 0)
			best = unit;
	snprintf(text, size, "%llu%s", number / best->factor, number > 0 ? best->name : "");
}

char *
setting_get(const struct setting *setting, const void *at)
{
	const void *member = (const char *) at + setting->offset;
	const char *text;
	char		number[32];

	switch (setting->kind)
	{
		case SETTING_TEXT:
			text = *(char *const *) member;
			break;
		case SETTING_SWITCH:
			text = switch_names[*(const bool *) member];
			break;
		case SETTING_CHOICE:
			text = setting->choices[*(const unsigned *) member];
			break;
		default:
			setting_format_number(setting->kind,
								  setting->kind == SETTING_SIZE ? *(const size_t *) member
								  : *(const unsigned *) member,
								  number, sizeof(number));
			text = number;
			break;
	}
	return text ? memory_copy_string(text, strlen(text)) : NULL;
}

/* Reads a number with its unit; RT_MALFORMED when it is none, RT_TOO_LARGE when it is out of range. */
static int
parse_number(const struct setting *setting, const char *text, unsigned long long *number)
{
	const struct unit *unit = units_of(setting->kind);
	const struct unit *found = NULL;
	char	   *end;

	if (!isdigit((unsigned char) *text))
		return RT_MALFORMED;
	errno = 0;
	*number = strtoull(text, &end, 10);
	if (errno != 0)
		return RT_TOO_LARGE;
	end += strspn(end, " ");
	if (*end == '\0')
		found = unit;
	for (; unit->name != NULL && found == NULL; unit++)
		if (strcmp(end, unit->name) == 0)
			found = unit;
	if (found == NULL)
		return RT_MALFORMED;
	if (*number > ULLONG_MAX / found->factor)
		return RT_TOO_LARGE;
	*number *= found->factor;
	return *number < setting->min || *number > setting->max ? RT_TOO_LARGE : RT_OK;
}

void
setting_print_expected(const struct setting *setting, FILE *out)
{
	const char *const *names = names_of(setting);
	const struct unit *units = units_of(setting->kind);
	char		low[32];
	char		high[32];

	switch (setting->kind)
	{
		case SETTING_TEXT:
			fputs("text that is not empty", out);
			break;
		case SETTING_SWITCH:
		case SETTING_CHOICE:
			for (int i = 0; names[i] != NULL; i++)
				fprintf(out, "%s%s", i == 0 ? "" : " or ", names[i]);
			break;
		default:
			setting_format_number(setting->kind, setting->min, low, sizeof(low));
			setting_format_number(setting->kind, setting->max, high, sizeof(high));
			fprintf(out, "a whole number from %s to %s", low, high);
			for (int i = 0; units != no_units && units[i].name != NULL; i++)
				fprintf(out, "%s%s", i == 0 ? ", in " : ", ", units[i].name);
			break;
	}
}

/* Index of a text in a list that ends with NULL, -1 when it is not in it. */
static int
find_name(const char *const *names, const char *text)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return -1;
}

/* Puts text into its member; only where there is no default, or an empty one, it may be empty. */
static int
set_text(const struct setting *setting, char **member, const char *value)
{
	if (*value == '\0' && setting->initial != NULL && *setting->initial != '\0')
		return RT_MALFORMED;
	memory_free(*member);
	*member = *value == '\0' && setting->initial == NULL ? NULL
		: memory_copy_string(value, strlen(value));
	return RT_OK;
}

int
setting_set(const struct setting *setting, void *at, const char *value)
{
	void	   *member = (char *) at + setting->offset;
	unsigned long long number = 0;
	int			index;
	int			result;

	switch (setting->kind)
	{
		case SETTING_TEXT:
			return set_text(setting, member, value);
		case SETTING_SWITCH:
		case SETTING_CHOICE:
			index = find_name(names_of(setting), value);
			if (index < 0)
				return RT_MALFORMED;
			if (setting->kind == SETTING_SWITCH)
				*(bool *) member = index == 1;
			else
				*(unsigned *) member = (unsigned) index;
			return RT_OK;
		default:
			result = parse_number(setting, value, &number);
			if (result == RT_OK && setting->kind == SETTING_SIZE)
				*(size_t *) member = (size_t) number;
			else if (result == RT_OK)
				*(unsigned *) member = (unsigned) number;
			return result;
	}
}

void
setting_release(const struct setting *setting, void *at)
{
	char	  **member = (void *) ((char *) at + setting->offset);

	if (setting->kind == SETTING_TEXT)
	{
		memory_free(*member);
		*member = NULL;
	}
}
