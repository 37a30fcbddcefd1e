/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jsondoc.c
 *	  See jsondoc.h. A thin cover of jansson; a struct jsondoc is a json_t.
 */
#include "jsondoc.h"

#include <jansson.h>

static const json_t *
value_of(const struct jsondoc *doc)
{
	return (const json_t *) (const void *) doc;
}

static const struct jsondoc *
doc_of(const json_t *value)
{
	return (const struct jsondoc *) (const void *) value;
}

struct jsondoc *
jsondoc_parse(const char *text, size_t len)
{
	/* Integers as doubles: a claim of 20 digits is none of our business, but must not be an error. */
	return (struct jsondoc *) (void *) json_loadb(text, len,
												  JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL
												  | JSON_DECODE_ANY, NULL);
}

void
jsondoc_free(struct jsondoc *doc)
{
	json_decref((json_t *) (void *) doc);
}

bool
jsondoc_is_object(const struct jsondoc *value)
{
	return json_is_object(value_of(value));
}

bool
jsondoc_is_array(const struct jsondoc *value)
{
	return json_is_array(value_of(value));
}

const struct jsondoc *
jsondoc_member(const struct jsondoc *value, const char *name)
{
	return doc_of(json_object_get(value_of(value), name));
}

size_t
jsondoc_length(const struct jsondoc *value)
{
	return json_array_size(value_of(value));
}

const struct jsondoc *
jsondoc_element(const struct jsondoc *value, size_t index)
{
	return doc_of(json_array_get(value_of(value), index));
}

const char *
jsondoc_string(const struct jsondoc *value)
{
	return json_string_value(value_of(value));
}

bool
jsondoc_number(const struct jsondoc *value, double *number)
{
	if (!json_is_number(value_of(value)))
		return false;
	*number = json_number_value(value_of(value));
	return true;
}
