/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * field.c
 *	  See field.h.
 */
#include "field.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

char *
field_text(struct slice object, const char *name)
{
	struct slice value;
	char	   *text;
	long		len;

	if (jsonscan_find(object, name, &value) != 1 || jsonscan_kind(value) != JSON_KIND_STRING)
		return NULL;
	value = jsonscan_inside(value);
	text = memory_alloc(value.len + 1);
	len = jsonscan_unescape(value, text);
	if (len < 0)
	{
		memory_free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

long long
field_number(struct slice object, const char *name, long long fallback)
{
	struct slice value;
	char		digits[24];

	if (jsonscan_find(object, name, &value) != 1)
		return fallback;
	if (jsonscan_kind(value) == JSON_KIND_STRING)
		value = jsonscan_inside(value);
	if (value.len == 0 || value.len >= sizeof(digits))
		return fallback;
	memcpy(digits, value.at, value.len);
	digits[value.len] = '\0';
	return strtoll(digits, NULL, 10);
}
