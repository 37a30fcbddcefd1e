/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jsondoc.h
 *	  A JSON text that decides about access - a token's header and claims, a key set - parsed strictly.
 *
 * Nothing is left to interpretation: valid UTF-8, one value, no member twice, no \u0000. Numbers are
 * doubles. Values are borrowed from the document they were found in.
 */
#ifndef RT_JSONDOC_H
#define RT_JSONDOC_H

#include <stdbool.h>
#include <stddef.h>

struct jsondoc;

/* Parses len bytes; NULL when they are not JSON in that sense. */
struct jsondoc *jsondoc_parse(const char *text, size_t len);
void		jsondoc_free(struct jsondoc *doc);

bool		jsondoc_is_object(const struct jsondoc *value);
bool		jsondoc_is_array(const struct jsondoc *value);

/* A member of an object; NULL when there is none, or value is NULL or no object. */
const struct jsondoc *jsondoc_member(const struct jsondoc *value, const char *name);

/* Length of an array and its elements; 0 and NULL when value is no array. */
size_t		jsondoc_length(const struct jsondoc *value);
const struct jsondoc *jsondoc_element(const struct jsondoc *value, size_t index);

/* The text of a string, NULL when value is NULL or no string. */
const char *jsondoc_string(const struct jsondoc *value);

/* Whether value is a number, and which. */
bool		jsondoc_number(const struct jsondoc *value, double *number);

#endif
