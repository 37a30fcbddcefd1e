/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * filter.h
 *	  Conditions on a row, evaluated on the JSON of an event.
 *
 * Model
 * 1. A filter is a list of terms that must all be true; a comparison with null is unknown, as in SQL.
 * 2. Values are compared by *keys*: the bytes of a value in a form in which equality by the column's type
 *	  is equality of bytes (numerics without trailing zeros, char(n) without trailing blanks, strings
 *	  unescaped). Constants are converted to the column's type once, at subscription.
 * 3. Order is the type's; text is ordered by code points (collation "C"), like the snapshot's SQL.
 * 4. A value that the event leaves out (meta.omitted) makes the result FILTER_OMITTED unless another term
 *	  is not true.
 *
 * Pure. Filters are immutable after they are made.
 */
#ifndef RT_FILTER_H
#define RT_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"
#include "event.h"
#include "protocol.h"

enum filter_type
{
	FILTER_TYPE_OTHER,			/* only is null */
	FILTER_TYPE_BOOL,
	FILTER_TYPE_INT2,
	FILTER_TYPE_INT4,
	FILTER_TYPE_INT8,
	FILTER_TYPE_OID,
	FILTER_TYPE_NUMERIC,
	FILTER_TYPE_FLOAT,
	FILTER_TYPE_TEXT,			/* text, varchar, name */
	FILTER_TYPE_BPCHAR,
	FILTER_TYPE_UUID,
	FILTER_TYPE_DATE,			/* date, timestamp, timestamptz */
	FILTER_TYPE_TIME,
	FILTER_TYPE_BYTEA,
	FILTER_TYPE_ENUM			/* equality only */
};

enum filter_result
{
	FILTER_NO,					/* false or unknown */
	FILTER_YES,
	FILTER_OMITTED				/* cannot be told: a value was left out, or a pattern takes too long */
};

/* The columns of a row as slices, found once and used by all filters. */
struct row
{
	unsigned	n;
	unsigned	room;
	struct slice *names;		/* insides of JSON strings */
	struct slice *values;
};

struct filter_term
{
	struct slice column;		/* as inside a JSON string; owned */
	enum operator op;
	bool		is_negated;
	enum filter_type type;
	unsigned	nkeys;
	struct slice *keys;			/* constants, each owned; of "in" sorted by bytes */
};

struct filter
{
	unsigned	nterms;
	struct filter_term *terms;
};

/* The type of a column by the name that PostgreSQL gives its base type (pg_type.typname). */
enum filter_type filter_type_of(const char *typname, bool is_enum);

/* Why an operator cannot be used with a type, static text; NULL when it can. */
const char *filter_check_operator(enum operator op, enum filter_type type);

/*
 * The key of a constant that needs no database: integers, text, uuid, boolean. 1: key is set (malloc'd by
 * the caller's buffer), 0: ask PostgreSQL to convert it, RT_MALFORMED: no value of the type.
 */
int			filter_constant_key(enum filter_type type, const struct message_value *value,
								struct buffer *key) RT_MUST_CHECK;

/* The key of a JSON value (not null) of the type; *scratch may be used for its bytes. */
struct slice filter_value_key(enum filter_type type, struct slice value, struct buffer *scratch);

/* Order of two keys: negative, 0, positive. */
int			filter_compare_keys(enum filter_type type, struct slice a, struct slice b);

/* Whether a pattern is a LIKE pattern: it must not end with a lone backslash. */
bool		filter_is_pattern(struct slice pattern);
bool		filter_like(struct slice text, struct slice pattern, bool ignores_case);

/* Sorts the terms so that equal filters have equal text, and appends that text to out. */
void		filter_normalize(struct filter *filter, struct buffer *out);
void		filter_release(struct filter *filter);

enum filter_result filter_match(const struct filter *filter, const struct row *row,
								struct buffer *scratch);

/* Reads an object's members into the row, which keeps its memory between uses; false for no object. */
bool		row_read(struct row *row, struct slice object);

/* Puts other values over a row's, as "old" over "data". */
void		row_overlay(struct row *row, const struct row *over);

/* Adds the members of another row that it lacks or replaces; copies slices only. */
void		row_copy(struct row *row, const struct row *from);
const struct slice *row_find(const struct row *row, struct slice column);
void		row_release(struct row *row);

#endif
