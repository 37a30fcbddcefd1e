/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_filter.c
 *	  A filter of a hostile client on a hostile row. Input: types of columns, one byte each up to a line
 *	  feed, by the order of the terms; a subscribe message; a line feed; the row.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "memory.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

/* The next line of the input. */
static struct slice
next_line(struct slice *rest)
{
	const char *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;
	struct slice line = {rest->at, end ? (size_t) (end - rest->at) : rest->len};

	rest->at += line.len + (end != NULL);
	rest->len -= line.len + (end != NULL);
	return line;
}

/* Makes a term; false when it must be refused. */
static bool
make_term(struct filter_term *term, const struct message_term *from, enum filter_type type)
{
	term->column.at = memory_copy_string(from->column, strlen(from->column));
	term->column.len = strlen(from->column);
	term->op = from->op;
	term->is_negated = from->is_negated;
	term->type = type;
	if (filter_check_operator(term->op, type) != NULL)
		return false;
	term->keys = memory_alloc_zeroed(sizeof(struct slice) * (from->nvalues + 1));
	for (unsigned i = 0; i < from->nvalues; i++)
	{
		struct slice text = {from->values[i].text, strlen(from->values[i].text)};
		struct buffer key;
		int			result;

		buffer_init(&key);
		result = filter_constant_key(type, &from->values[i], &key);
		if (result == 0)
			buffer_put_slice(&key, text);
		term->keys[i].len = key.len;
		term->keys[i].at = buffer_take(&key);
		term->nkeys++;
		if (result < 0
			|| ((term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE) && !filter_is_pattern(text)))
			return false;
	}
	return true;
}

/* A term and its negation are not both true; only what is missing is omitted. */
static void
check_match(const struct filter *filter, const struct row *row)
{
	struct buffer scratch;

	buffer_init(&scratch);
	for (unsigned i = 0; i < filter->nterms; i++)
	{
		struct filter_term term = filter->terms[i];
		struct filter one = {1, &term};
		enum filter_result result = filter_match(&one, row, &scratch);

		term.is_negated = !term.is_negated;
		check((result == FILTER_OMITTED) == (row_find(row, term.column) == NULL));
		check(result != FILTER_YES || filter_match(&one, row, &scratch) == FILTER_NO);
		check(result == FILTER_NO || filter_match(filter, row, &scratch) != FILTER_YES
			  || result == FILTER_YES);
	}
	(void) filter_match(filter, row, &scratch);
	buffer_release(&scratch);
}

/* Sorting is done once and for all. */
static void
check_normal(struct filter *filter)
{
	struct buffer texts[2];

	for (int i = 0; i < 2; i++)
	{
		buffer_init(&texts[i]);
		filter_normalize(filter, &texts[i]);
	}
	check(slice_is_same(buffer_slice(&texts[0]), buffer_slice(&texts[1])));
	buffer_release(&texts[0]);
	buffer_release(&texts[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = memory_alloc(size + 1);
	struct slice rest = {copy, size};
	struct slice types;
	struct slice text;
	struct message message;
	struct filter filter = {0, NULL};
	struct row	row = {0, 0, NULL, NULL};
	const char *code;
	const char *why;
	bool		is_good = true;

	memcpy(copy, data, size);
	types = next_line(&rest);
	text = next_line(&rest);
	if (protocol_parse(&message, text.at, text.len, &code, &why) == RT_OK && message.nterms > 0)
	{
		filter.terms = memory_alloc_zeroed(sizeof(struct filter_term) * message.nterms);
		for (unsigned i = 0; i < message.nterms && is_good; i++)
		{
			unsigned char type = i < types.len ? (unsigned char) types.at[i] : 0;

			filter.nterms++;
			is_good = make_term(&filter.terms[i], &message.terms[i],
								(enum filter_type) (type % (FILTER_TYPE_ENUM + 1)));
		}
		if (is_good && row_read(&row, rest))
		{
			check_match(&filter, &row);
			check_normal(&filter);
			check_match(&filter, &row);
		}
	}
	filter_release(&filter);
	row_release(&row);
	protocol_release(&message);
	memory_free(copy);
	return 0;
}
