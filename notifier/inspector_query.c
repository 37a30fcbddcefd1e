/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_query.c
 *	  See inspector_query.h.
 */
#include "inspector_query.h"

#include <string.h>

#include "http.h"

#define ROWS_DEFAULT 50

/* A whole number of at most max, digits only. */
static bool
read_number(struct slice text, uint64_t max, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < text.len; i++)
	{
		unsigned	digit = (unsigned char) text.at[i] - (unsigned) '0';

		if (digit > 9 || *number > (max - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return text.len > 0;
}

static bool
read_rows(struct slice text, unsigned *rows)
{
	uint64_t	number;

	if (!read_number(text, INSPECTOR_ROWS_MAX, &number))
		return false;
	*rows = (unsigned) number;
	return true;
}

static bool
read_sort(struct slice text, enum inspector_sort *sort)
{
	static const char *const names[] = {"queue", "subscriptions", "oldest", "newest"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_equals(text, names[i]))
		{
			*sort = (enum inspector_sort) i;
			return true;
		}
	return false;
}

/* KEY.TIE; the key may be negative. */
static bool
read_after(struct slice text, struct inspector_query *query)
{
	bool		is_negative = text.len > 0 && *text.at == '-';
	struct slice key = {text.at + is_negative, text.len - is_negative};
	const char *point = key.len > 0 ? memchr(key.at, '.', key.len) : NULL;
	struct slice tie;
	uint64_t	number;

	if (point == NULL)
		return false;
	tie = (struct slice) {point + 1, key.len - (size_t) (point - key.at) - 1};
	key.len = (size_t) (point - key.at);
	if (!read_number(key, INT64_MAX, &number) || !read_number(tie, UINT64_MAX, &query->after_tie))
		return false;
	query->after_key = is_negative ? -(int64_t) number : (int64_t) number;
	query->has_after = true;
	return true;
}

static bool
read_find(struct slice text, struct inspector_query *query)
{
	long		len;

	if (text.len > sizeof(query->find))	/* decoding makes it no longer */
		return false;
	len = http_decode(text, true, query->find);
	if (len < 0)
		return false;
	query->find_len = (size_t) len;
	return true;
}

int
inspector_query_parse(struct inspector_query *query, struct slice text, const char **why)
{
	enum {SESSIONS, VIEWS, SORT, AFTER, FIND, COUNT};
	static const char *const names[COUNT] = {"sessions", "views", "sort", "after", "find"};
	bool		is_given[COUNT] = {false};
	struct slice name;
	struct slice value;

	memset(query, 0, sizeof(*query));
	query->sessions = query->views = ROWS_DEFAULT;
	while (http_next_parameter(&text, &name, &value))
	{
		unsigned	i = 0;
		bool		is_good = false;

		while (i < COUNT && !slice_equals(name, names[i]))
			i++;
		if (i == COUNT || is_given[i])
		{
			*why = i == COUNT ? "an unknown parameter" : "a parameter is given twice";
			return RT_MALFORMED;
		}
		is_given[i] = true;
		switch (i)
		{
			case SESSIONS: is_good = read_rows(value, &query->sessions); break;
			case VIEWS: is_good = read_rows(value, &query->views); break;
			case SORT: is_good = read_sort(value, &query->sort); break;
			case AFTER: is_good = read_after(value, query); break;
			case FIND: is_good = read_find(value, query); break;
		}
		if (!is_good)
		{
			*why = "a parameter's value is no good";
			return RT_MALFORMED;
		}
	}
	return RT_OK;
}
