/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_jsonscan.c
 *	  JSON text read as slices: whatever jansson takes, the scanner reads alike.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "jsonscan.h"
#include "memory.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

/* Whether a string's inside says the same. */
static bool
is_text(struct slice inside, const char *text, size_t len)
{
	char	   *out = memory_alloc(inside.len);
	long		n = jsonscan_unescape(inside, out);
	bool		is_same = n >= 0 && (size_t) n == len && memcmp(out, text, len) == 0;

	memory_free(out);
	return is_same;
}

/* A value is what jansson says; so are its members, down to a depth. */
static void
compare(struct slice value, const json_t *json, unsigned depth)
{
	struct jsonscan scan;
	struct slice key;
	struct slice member;
	size_t		n = 0;
	int			result;

	if (depth > 50)
		return;
	switch (json_typeof(json))
	{
		case JSON_OBJECT:
			check(jsonscan_kind(value) == JSON_KIND_OBJECT && jsonscan_open(&scan, value, '{') == RT_OK);
			while ((result = jsonscan_next(&scan, &key, &member)) > 0)
			{
				char	   *name = memory_alloc(key.len + 1);
				long		len = jsonscan_unescape(key, name);

				check(len >= 0);
				name[len] = '\0';
				check(json_object_get(json, name) != NULL);
				compare(member, json_object_get(json, name), depth + 1);
				memory_free(name);
				n++;
			}
			check(result == 0 && n == json_object_size(json));
			break;
		case JSON_ARRAY:
			check(jsonscan_kind(value) == JSON_KIND_ARRAY && jsonscan_open(&scan, value, '[') == RT_OK);
			while ((result = jsonscan_next(&scan, &key, &member)) > 0)
				compare(member, json_array_get(json, n++), depth + 1);
			check(result == 0 && n == json_array_size(json));
			break;
		case JSON_STRING:
			check(jsonscan_kind(value) == JSON_KIND_STRING);
			check(is_text(jsonscan_inside(value), json_string_value(json), json_string_length(json)));
			break;
		case JSON_TRUE:
		case JSON_FALSE:
			check(jsonscan_kind(value) == JSON_KIND_BOOL && slice_equals(value, json_is_true(json) ? "true" : "false"));
			break;
		case JSON_NULL:
			check(jsonscan_kind(value) == JSON_KIND_NULL && slice_equals(value, "null"));
			break;
		default:
			check(jsonscan_kind(value) == JSON_KIND_NUMBER);
	}
}

/* Reads whatever it is, wherever it ends. */
static void
read_all(struct slice text, char open, unsigned depth)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;

	if (depth > 20 || jsonscan_open(&scan, text, open) < 0)
		return;
	while (jsonscan_next(&scan, &key, &value) > 0)
	{
		check(key.len == 0 || (key.at >= text.at && key.at + key.len <= text.at + text.len));
		check(value.len > 0 && value.at >= text.at && value.at + value.len <= text.at + text.len);
		if (jsonscan_kind(value) == JSON_KIND_OBJECT)
			read_all(value, '{', depth + 1);
		else if (jsonscan_kind(value) == JSON_KIND_ARRAY)
			read_all(value, '[', depth + 1);
	}
	check(jsonscan_next(&scan, &key, &value) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = memory_alloc(size);
	char	   *out = memory_alloc(size);
	struct slice text = {copy, size};
	json_error_t error;
	json_t	   *json;

	memcpy(copy, data, size);
	read_all(text, '{', 0);
	read_all(text, '[', 0);
	check(jsonscan_unescape(text, out) <= (long) size);
	json = json_loadb(copy, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (json != NULL && memchr(copy, '\0', size) == NULL)	/* jansson overlooks some zeros */
	{
		while (text.len > 0 && strchr(" \t\r\n", text.at[0]) != NULL)
			text.at++, text.len--;
		while (text.len > 0 && strchr(" \t\r\n", text.at[text.len - 1]) != NULL)
			text.len--;
		compare(text, json, 0);
	}
	json_decref(json);
	memory_free(copy);
	memory_free(out);
	return 0;
}
