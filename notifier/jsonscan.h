/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jsonscan.h
 *	  Finding the members of JSON text without building anything.
 *
 * Events pass through the notifier as bytes: a number of 400 digits, a string with \u0000 or a
 * value nested 10,000 deep must reach the browser as PostgreSQL wrote it, and must not stop the
 * source.  So values are slices of the text.  Nothing here allocates; slices borrow the text.
 */
#ifndef RT_JSONSCAN_H
#define RT_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* A piece of text that somebody else owns. */
struct slice
{
	const char *at;
	size_t		len;
};

static inline bool
slice_is_empty(struct slice s)
{
	return s.len == 0;
}

/* Whether a slice has exactly these bytes. */
bool		slice_equals(struct slice s, const char *text);
bool		slice_is_same(struct slice a, struct slice b);

/* Reads an object's members or an array's elements one by one. */
struct jsonscan
{
	const char *at;
	const char *end;
	char		close;			/* '}' or ']'; 0 once it has been read */
	bool		is_first;
};

/*
 * Starts reading a slice that must hold an object ('{') or array ('['), spaces around it allowed.
 * Fails with RT_MALFORMED when it is something else.
 */
int			jsonscan_open(struct jsonscan *scan, struct slice text, char open) RT_MUST_CHECK;

/*
 * Next member (key without quotes, as written; value whole) or element (key empty): 1, 0 at the end,
 * RT_MALFORMED. After an error the scan stays at its end.
 */
int			jsonscan_next(struct jsonscan *scan, struct slice *key, struct slice *value) RT_MUST_CHECK;

/*
 * The value of a member by its key, written without escapes: 1 found, 0 not, RT_MALFORMED. When a key
 * stands twice the last one counts, as in JavaScript.
 */
int			jsonscan_find(struct slice object, const char *key, struct slice *value) RT_MUST_CHECK;

/* What a value is, by its first byte. */
enum json_kind
{
	JSON_KIND_NONE,				/* empty or not JSON */
	JSON_KIND_NULL,
	JSON_KIND_BOOL,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_OBJECT,
	JSON_KIND_ARRAY
};
enum json_kind jsonscan_kind(struct slice value);

/* The inside of a string value, escapes as written. */
struct slice jsonscan_inside(struct slice string);

/*
 * Resolves the escapes of a string's inside into out (room of at least inside.len bytes, which always
 * suffices) and returns the length; RT_MALFORMED for a bad escape or a lone surrogate.
 */
long		jsonscan_unescape(struct slice inside, char *out) RT_MUST_CHECK;

#endif
