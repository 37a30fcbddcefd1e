/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * filter.c
 *	  See filter.h. Pure.
 */
#include "filter.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* What matching a pattern may cost: far more than patterns that are meant as such need. */
#define LIKE_STEPS 1000000
#define LIKE_STEPS_PER_BYTE 4

enum filter_type
filter_type_of(const char *typname, bool is_enum)
{
	static const struct
	{
		const char *name;
		enum filter_type type;
	}			types[] = {
		{"bool", FILTER_TYPE_BOOL},
		{"int2", FILTER_TYPE_INT2},
		{"int4", FILTER_TYPE_INT4},
		{"int8", FILTER_TYPE_INT8},
		{"oid", FILTER_TYPE_OID},
		{"numeric", FILTER_TYPE_NUMERIC},
		{"float4", FILTER_TYPE_FLOAT},
		{"float8", FILTER_TYPE_FLOAT},
		{"text", FILTER_TYPE_TEXT},
		{"varchar", FILTER_TYPE_TEXT},
		{"name", FILTER_TYPE_TEXT},
		{"bpchar", FILTER_TYPE_BPCHAR},
		{"uuid", FILTER_TYPE_UUID},
		{"date", FILTER_TYPE_DATE},
		{"timestamp", FILTER_TYPE_DATE},
		{"timestamptz", FILTER_TYPE_DATE},
		{"time", FILTER_TYPE_TIME},
		{"bytea", FILTER_TYPE_BYTEA},
	};

	if (is_enum)
		return FILTER_TYPE_ENUM;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, typname) == 0)
			return types[i].type;
	return FILTER_TYPE_OTHER;
}

const char *
filter_check_operator(enum operator op, enum filter_type type)
{
	switch (op)
	{
		case OPERATOR_IS_NULL:
			return NULL;
		case OPERATOR_IS_TRUE:
		case OPERATOR_IS_FALSE:
			return type == FILTER_TYPE_BOOL ? NULL : "is true and is false need a boolean column";
		case OPERATOR_EQ:
		case OPERATOR_NEQ:
		case OPERATOR_IN:
			return type != FILTER_TYPE_OTHER ? NULL : "the column's type cannot be compared; use is null";
		case OPERATOR_LT:
		case OPERATOR_LTE:
		case OPERATOR_GT:
		case OPERATOR_GTE:
			return type != FILTER_TYPE_OTHER && type != FILTER_TYPE_ENUM ? NULL
				: "the column's type has no order here";
		case OPERATOR_LIKE:
		case OPERATOR_ILIKE:
			return type == FILTER_TYPE_TEXT || type == FILTER_TYPE_BPCHAR ? NULL
				: "like and ilike need a text column";
	}
	return "unknown operator";
}

/* Removes blanks around a slice. */
static struct slice
trim(struct slice text)
{
	while (text.len > 0 && strchr(" \t\n\r\f\v", text.at[0]))
		text.at++, text.len--;
	while (text.len > 0 && strchr(" \t\n\r\f\v", text.at[text.len - 1]))
		text.len--;
	return text;
}

/* An integer's key: its digits. Underscores and other bases are PostgreSQL's to read. */
static int
integer_key(enum filter_type type, struct slice text, struct buffer *key)
{
	char		digits[32];
	char	   *end;
	long long	n;

	text = trim(text);
	if (text.len == 0 || text.len >= sizeof(digits))
		return text.len == 0 ? RT_MALFORMED : 0;
	memcpy(digits, text.at, text.len);
	digits[text.len] = '\0';
	for (size_t i = digits[0] == '-' || digits[0] == '+'; i < text.len; i++)
		if (digits[i] < '0' || digits[i] > '9')
			return 0;
	errno = 0;
	n = strtoll(digits, &end, 10);
	if (errno != 0 || *end != '\0' || end == digits)
		return 0;
	if ((type == FILTER_TYPE_INT2 && (n < SHRT_MIN || n > SHRT_MAX))
		|| (type == FILTER_TYPE_INT4 && (n < INT_MIN || n > INT_MAX))
		|| (type == FILTER_TYPE_OID && (n < 0 || n > UINT_MAX)))
		return RT_MALFORMED;
	buffer_put_number(key, n);
	return 1;
}

/* A uuid's key: lower case with hyphens; other spellings are PostgreSQL's to read. */
static int
uuid_key(struct slice text, struct buffer *key)
{
	char		out[36];

	if (text.len != 36)
		return 0;
	for (int i = 0; i < 36; i++)
	{
		char		c = text.at[i];
		bool		is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;

		if (c >= 'A' && c <= 'F')
			c = (char) (c + ('a' - 'A'));
		if (is_hyphen ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return 0;
		out[i] = c;
	}
	buffer_put(key, out, sizeof(out));
	return 1;
}

int
filter_constant_key(enum filter_type type, const struct message_value *value, struct buffer *key)
{
	struct slice text = {value->text, strlen(value->text)};

	switch (type)
	{
		case FILTER_TYPE_INT2:
		case FILTER_TYPE_INT4:
		case FILTER_TYPE_INT8:
		case FILTER_TYPE_OID:
			return integer_key(type, text, key);
		case FILTER_TYPE_TEXT:
			buffer_put_slice(key, text);
			return 1;
		case FILTER_TYPE_BPCHAR:
			while (text.len > 0 && text.at[text.len - 1] == ' ')
				text.len--;
			buffer_put_slice(key, text);
			return 1;
		case FILTER_TYPE_UUID:
			return uuid_key(text, key);
		case FILTER_TYPE_BOOL:
			if (!slice_equals(text, "true") && !slice_equals(text, "false"))
				return 0;
			buffer_put_slice(key, text);
			return 1;
		default:
			return 0;
	}
}

/* A number without exponent and without what does not change its value: 1.50 is 1.5, -0 is 0. */
static struct slice
numeric_key(struct slice text)
{
	if (memchr(text.at, '.', text.len) != NULL)
	{
		while (text.len > 0 && text.at[text.len - 1] == '0')
			text.len--;
		if (text.len > 0 && text.at[text.len - 1] == '.')
			text.len--;
	}
	if (text.len == 2 && text.at[0] == '-' && text.at[1] == '0')
		text.at++, text.len--;
	return text;
}

struct slice
filter_value_key(enum filter_type type, struct slice value, struct buffer *scratch)
{
	if (jsonscan_kind(value) == JSON_KIND_STRING)
	{
		value = jsonscan_inside(value);
		if (memchr(value.at, '\\', value.len) != NULL)
		{
			char	   *at = buffer_reserve(scratch, value.len);
			long		len = jsonscan_unescape(value, at);

			value.at = at;
			value.len = len < 0 ? 0 : (size_t) len;
		}
	}
	if (type == FILTER_TYPE_NUMERIC
		|| (type == FILTER_TYPE_FLOAT && memchr(value.at, 'e', value.len) == NULL))
		return numeric_key(value);
	if (type == FILTER_TYPE_BPCHAR)
		while (value.len > 0 && value.at[value.len - 1] == ' ')
			value.len--;
	return value;
}

static int
compare_bytes(struct slice a, struct slice b)
{
	size_t		len = a.len < b.len ? a.len : b.len;
	int			result = len > 0 ? memcmp(a.at, b.at, len) : 0;

	return result != 0 ? result : (a.len > b.len) - (a.len < b.len);
}

/* Where a number stands: -infinity, finite, infinity, NaN, which PostgreSQL takes as the greatest. */
static int
number_class(struct slice n)
{
	if (slice_equals(n, "NaN"))
		return 2;
	if (slice_equals(n, "Infinity"))
		return 1;
	return slice_equals(n, "-Infinity") ? -1 : 0;
}

/* Compares decimal numbers of any length by their digits; no leading zeros, no exponent. */
static int
compare_decimals(struct slice a, struct slice b)
{
	bool		is_negative = a.len > 0 && a.at[0] == '-';
	int			class = number_class(a);
	const char *dot;
	size_t		whole_a;
	size_t		whole_b;
	int			result;

	if (class != 0 || number_class(b) != 0)
		return class - number_class(b);
	if (is_negative != (b.len > 0 && b.at[0] == '-'))
		return is_negative ? -1 : 1;
	if (is_negative)
	{
		struct slice swap = {a.at + 1, a.len - 1};

		a.at = b.at + 1;
		a.len = b.len - 1;
		b = swap;
	}
	dot = memchr(a.at, '.', a.len);
	whole_a = dot ? (size_t) (dot - a.at) : a.len;
	dot = memchr(b.at, '.', b.len);
	whole_b = dot ? (size_t) (dot - b.at) : b.len;
	if (whole_a != whole_b)
		return whole_a < whole_b ? -1 : 1;
	result = memcmp(a.at, b.at, whole_a);
	if (result != 0)
		return result;
	a.at += whole_a, a.len -= whole_a;
	b.at += whole_b, b.len -= whole_b;
	return compare_bytes(a, b);	/* fractions without trailing zeros, both with the dot or without */
}

static double
to_double(struct slice text)
{
	char		copy[64];

	if (text.len >= sizeof(copy))
		text.len = sizeof(copy) - 1;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	return strtod(copy, NULL);
}

static int
compare_doubles(struct slice a, struct slice b)
{
	int			class_a = number_class(a);
	int			class_b = number_class(b);
	double		x;
	double		y;

	if (class_a != 0 || class_b != 0)
		return class_a - class_b;
	x = to_double(a);
	y = to_double(b);
	return (x > y) - (x < y);
}

/* A date's or timestamp's year (BC counted down) and what stands after it; infinities far away. */
static long
split_date(struct slice *text)
{
	long		year = 0;
	bool		is_bc = text->len > 3 && memcmp(text->at + text->len - 3, " BC", 3) == 0;

	if (slice_equals(*text, "infinity") || slice_equals(*text, "-infinity"))
	{
		year = text->at[0] == '-' ? LONG_MIN : LONG_MAX;
		text->len = 0;
		return year;
	}
	while (text->len > 0 && text->at[0] >= '0' && text->at[0] <= '9' && year < 10000000)
	{
		year = year * 10 + (text->at[0] - '0');
		text->at++, text->len--;
	}
	return is_bc ? 1 - year : year;
}

/* Within a year the text orders: '+', '.' and 'T' stand right between digits. */
static int
compare_dates(struct slice a, struct slice b)
{
	long		year_a = split_date(&a);
	long		year_b = split_date(&b);

	if (year_a != year_b)
		return year_a < year_b ? -1 : 1;
	return compare_bytes(a, b);
}

int
filter_compare_keys(enum filter_type type, struct slice a, struct slice b)
{
	switch (type)
	{
		case FILTER_TYPE_INT2:
		case FILTER_TYPE_INT4:
		case FILTER_TYPE_INT8:
		case FILTER_TYPE_OID:
		case FILTER_TYPE_NUMERIC:
			return compare_decimals(a, b);
		case FILTER_TYPE_FLOAT:
			return compare_doubles(a, b);
		case FILTER_TYPE_DATE:
			return compare_dates(a, b);
		default:
			return compare_bytes(a, b);
	}
}

bool
filter_is_pattern(struct slice pattern)
{
	for (size_t i = 0; i < pattern.len; i++)
		if (pattern.at[i] == '\\' && ++i >= pattern.len)
			return false;
	return true;
}

/* One byte, folded when case does not matter: ASCII letters only, as in collation "C". */
static unsigned char
fold(char c, bool ignores_case)
{
	return (unsigned char) (ignores_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Bytes of the UTF-8 character at i; bytes that start none count alone. */
static size_t
character_len(struct slice text, size_t i)
{
	size_t		n = 1;

	if ((unsigned char) text.at[i] >= 0xC0)
		while (i + n < text.len && ((unsigned char) text.at[i + n] & 0xC0) == 0x80)
			n++;
	return n;
}

/*
 * Whether a text is like a pattern: FILTER_OMITTED when that took more than so many steps. Goes back to the last
 * % when what follows it does not fit, which may take text times pattern steps.
 */
static enum filter_result
match_like(struct slice text, struct slice pattern, bool ignores_case, uint64_t steps)
{
	size_t		t = 0;
	size_t		p = 0;
	size_t		retry_t = 0;
	size_t		retry_p = SIZE_MAX;

	while (t < text.len || p < pattern.len)
	{
		if (steps-- == 0)
			return FILTER_OMITTED;
		if (p < pattern.len && pattern.at[p] == '%')
		{
			retry_p = ++p;
			retry_t = t;
			continue;
		}
		if (p < pattern.len && t < text.len)
		{
			size_t		literal = pattern.at[p] == '\\' ? p + 1 : p;

			if (pattern.at[p] == '_')
			{
				t += character_len(text, t);
				p++;
				continue;
			}
			if (literal < pattern.len
				&& fold(pattern.at[literal], ignores_case) == fold(text.at[t], ignores_case))
			{
				t++;
				p = literal + 1;
				continue;
			}
		}
		if (retry_p == SIZE_MAX || retry_t >= text.len)
			return FILTER_NO;
		retry_t += character_len(text, retry_t);
		t = retry_t;
		p = retry_p;
	}
	return FILTER_YES;
}

bool
filter_like(struct slice text, struct slice pattern, bool ignores_case)
{
	return match_like(text, pattern, ignores_case, UINT64_MAX) == FILTER_YES;
}

/* Whether a comparison holds between the value's key and the constants. */
static bool
compare(const struct filter_term *term, struct slice key)
{
	switch (term->op)
	{
		case OPERATOR_EQ:
			return slice_is_same(key, term->keys[0]);
		case OPERATOR_NEQ:
			return !slice_is_same(key, term->keys[0]);
		case OPERATOR_IN:
			for (unsigned i = 0; i < term->nkeys; i++)
				if (slice_is_same(key, term->keys[i]))
					return true;
			return false;
		case OPERATOR_LT:
			return filter_compare_keys(term->type, key, term->keys[0]) < 0;
		case OPERATOR_LTE:
			return filter_compare_keys(term->type, key, term->keys[0]) <= 0;
		case OPERATOR_GT:
			return filter_compare_keys(term->type, key, term->keys[0]) > 0;
		case OPERATOR_GTE:
			return filter_compare_keys(term->type, key, term->keys[0]) >= 0;
		case OPERATOR_IS_TRUE:
			return slice_equals(key, "true");
		case OPERATOR_IS_FALSE:
			return slice_equals(key, "false");
		case OPERATOR_LIKE:		/* match_pattern() */
		case OPERATOR_ILIKE:
		case OPERATOR_IS_NULL:
			break;
	}
	return false;
}

/* LIKE sees char(n) with its blanks; equality and order do not. */
static enum filter_type
key_type(const struct filter_term *term)
{
	return term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE ? FILTER_TYPE_TEXT : term->type;
}

/* A pattern is a stranger's, and so may be the text: nobody waits for it longer than for many others together. */
static enum filter_result
match_pattern(const struct filter_term *term, struct slice text)
{
	enum filter_result result = match_like(text, term->keys[0], term->op == OPERATOR_ILIKE,
										   LIKE_STEPS + (uint64_t) text.len * LIKE_STEPS_PER_BYTE);

	if (result == FILTER_OMITTED)
		return result;
	return (result == FILTER_YES) != term->is_negated ? FILTER_YES : FILTER_NO;
}

static enum filter_result
match_term(const struct filter_term *term, const struct row *row, struct buffer *scratch)
{
	const struct slice *value = row_find(row, term->column);
	bool		is_true;

	if (value == NULL)
		return FILTER_OMITTED;
	if (jsonscan_kind(*value) == JSON_KIND_NULL)
	{
		/* IS is never unknown, every comparison with null is. */
		if (term->op < OPERATOR_IS_NULL)
			return FILTER_NO;
		is_true = term->op == OPERATOR_IS_NULL;
	}
	else if (term->op == OPERATOR_IS_NULL)
		is_true = false;
	else if (term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE)
		return match_pattern(term, filter_value_key(key_type(term), *value, scratch));
	else
		is_true = compare(term, filter_value_key(key_type(term), *value, scratch));
	return is_true != term->is_negated ? FILTER_YES : FILTER_NO;
}

enum filter_result
filter_match(const struct filter *filter, const struct row *row, struct buffer *scratch)
{
	enum filter_result result = FILTER_YES;

	for (unsigned i = 0; i < filter->nterms; i++)
	{
		enum filter_result one = match_term(&filter->terms[i], row, scratch);

		if (one == FILTER_NO)
			return FILTER_NO;
		if (one == FILTER_OMITTED)
			result = FILTER_OMITTED;
	}
	return result;
}

static int
compare_key_slices(const void *a, const void *b)
{
	return compare_bytes(*(const struct slice *) a, *(const struct slice *) b);
}

static int
compare_terms(const void *a, const void *b)
{
	const struct filter_term *x = a;
	const struct filter_term *y = b;
	int			result = compare_bytes(x->column, y->column);

	if (result == 0)
		result = (int) x->op - (int) y->op;
	if (result == 0)
		result = (int) x->is_negated - (int) y->is_negated;
	if (result == 0)
		result = (x->nkeys > y->nkeys) - (x->nkeys < y->nkeys);
	for (unsigned i = 0; result == 0 && i < x->nkeys; i++)
		result = compare_bytes(x->keys[i], y->keys[i]);
	return result;
}

void
filter_normalize(struct filter *filter, struct buffer *out)
{
	for (unsigned i = 0; i < filter->nterms; i++)
		if (filter->terms[i].nkeys > 1)
			qsort(filter->terms[i].keys, filter->terms[i].nkeys, sizeof(struct slice),
				  compare_key_slices);
	if (filter->nterms > 1)
		qsort(filter->terms, filter->nterms, sizeof(struct filter_term), compare_terms);
	for (unsigned i = 0; i < filter->nterms; i++)
	{
		const struct filter_term *term = &filter->terms[i];

		buffer_put_json(out, term->column.at, term->column.len);
		buffer_put_number(out, (int) term->op * 2 + term->is_negated);
		for (unsigned k = 0; k < term->nkeys; k++)
			buffer_put_json(out, term->keys[k].at, term->keys[k].len);
		buffer_puts(out, ";");
	}
}

void
filter_release(struct filter *filter)
{
	for (unsigned i = 0; i < filter->nterms; i++)
	{
		memory_free((char *) filter->terms[i].column.at);
		for (unsigned k = 0; k < filter->terms[i].nkeys; k++)
			memory_free((char *) filter->terms[i].keys[k].at);
		memory_free(filter->terms[i].keys);
	}
	memory_free(filter->terms);
	filter->terms = NULL;
	filter->nterms = 0;
}

/* Adds a column to a row. */
static void
row_add(struct row *row, struct slice name, struct slice value)
{
	if (row->values == NULL || row->n == row->room)
	{
		row->room = row->room ? row->room * 2 : 16;
		row->names = memory_resize(row->names, sizeof(struct slice) * row->room);
		row->values = memory_resize(row->values, sizeof(struct slice) * row->room);
	}
	row->names[row->n] = name;
	row->values[row->n++] = value;
}

bool
row_read(struct row *row, struct slice object)
{
	struct jsonscan scan;
	struct slice name;
	struct slice value;
	int			result;

	row->n = 0;
	if (jsonscan_kind(object) != JSON_KIND_OBJECT || jsonscan_open(&scan, object, '{') < 0)
		return false;
	while ((result = jsonscan_next(&scan, &name, &value)) > 0)
		row_add(row, name, value);
	return result == 0;
}

const struct slice *
row_find(const struct row *row, struct slice column)
{
	for (unsigned i = 0; i < row->n; i++)
		if (slice_is_same(row->names[i], column))
			return &row->values[i];
	return NULL;
}

void
row_overlay(struct row *row, const struct row *over)
{
	for (unsigned i = 0; i < over->n; i++)
	{
		struct slice *value = (struct slice *) row_find(row, over->names[i]);

		if (value != NULL)
			*value = over->values[i];
		else
			row_add(row, over->names[i], over->values[i]);
	}
}

void
row_copy(struct row *row, const struct row *from)
{
	row->n = 0;
	for (unsigned i = 0; i < from->n; i++)
		row_add(row, from->names[i], from->values[i]);
}

void
row_release(struct row *row)
{
	memory_free(row->names);
	memory_free(row->values);
	memset(row, 0, sizeof(*row));
}
