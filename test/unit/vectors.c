/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * vectors.c
 *	  See vectors.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "vectors.h"

/* Tests run in notifier/. */
#define DIRECTORY "../test/vectors/"

json_t *
vectors_load(const char *name)
{
	char		path[200];
	json_error_t error;
	json_t	   *json;

	snprintf(path, sizeof(path), DIRECTORY "%s", name);
	json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (json == NULL)
		fail_msg("%s: %s", path, error.text);
	return json;
}

enum filter_type
vectors_type(const char *name, const json_t *enums, const json_t *domains)
{
	static const char *const names[][2] = {
		{"boolean", "bool"}, {"smallint", "int2"}, {"integer", "int4"}, {"bigint", "int8"},
		{"real", "float4"}, {"double precision", "float8"}, {"character varying", "varchar"},
		{"character", "bpchar"}, {"timestamp without time zone", "timestamp"},
		{"timestamp with time zone", "timestamptz"}, {"time without time zone", "time"},
		{"time with time zone", "timetz"}
	};
	const json_t *base = json_object_get(domains, name);
	char		plain[64];

	if (base != NULL)
		return vectors_type(json_string_value(base), enums, domains);
	snprintf(plain, sizeof(plain), "%s", name);
	if (strchr(plain, '(') != NULL)
		*strchr(plain, '(') = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(plain, names[i][0]) == 0)
			return filter_type_of(names[i][1], false);
	return filter_type_of(plain, json_object_get(enums, name) != NULL);
}

int
vectors_parse_filter(struct message *message, const json_t *filter)
{
	json_t	   *object = json_pack("{s:s,s:s,s:s,s:O}", "op", "subscribe", "feature", "orders", "entity",
								   "order", "filter", filter);
	char	   *text = json_dumps(object, JSON_COMPACT);
	const char *code;
	const char *why;
	int			result = protocol_parse(message, text, strlen(text), &code, &why);

	if (result < 0)
		assert_string_equal(code, CODE_BAD_REQUEST);
	free(text);
	json_decref(object);
	return result;
}

/* The key of one value; what PostgreSQL makes of it, unless at is NULL. */
static int
make_key(const struct filter_term *term, const struct message_value *value,
		 const struct slice *converted, struct slice *key)
{
	struct buffer own;
	struct buffer scratch;
	int			result = 1;

	buffer_init(&own);
	buffer_init(&scratch);
	if (term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE)
	{
		buffer_puts(&own, value->text);
		if (!filter_is_pattern(buffer_slice(&own)))
			result = RT_MALFORMED;
	}
	else
	{
		result = filter_constant_key(term->type, value, &own);
		if (result == 0)
			own.len = 0;
		if (converted != NULL && result >= 0)
		{
			struct slice asked = filter_value_key(term->type, *converted, &scratch);

			if (result == 1 && !slice_is_same(buffer_slice(&own), asked))
				fail_msg("%s: the key is %.*s, PostgreSQL's %.*s", value->text, (int) own.len, own.at,
						 (int) asked.len, asked.at);
			if (result == 0)
				buffer_put_slice(&own, asked);
		}
		else if (result == 0)
			buffer_put_slice(&own, filter_value_key(term->type, slice_of(value->text), &scratch));
	}
	key->len = own.len;
	key->at = buffer_take(&own);
	buffer_release(&scratch);
	return result < 0 ? result : RT_OK;
}

int
vectors_make_filter(struct filter *filter, const struct message *message, vectors_type_fn type_of,
					const void *arg, const char *constants)
{
	struct row	row = {0, 0, NULL, NULL};
	unsigned	next = 0;
	int			result = RT_OK;

	memset(filter, 0, sizeof(*filter));
	if (constants != NULL)
		assert_true(row_read(&row, slice_of(constants)));
	filter->terms = memory_alloc_zeroed(sizeof(struct filter_term) * (message->nterms + 1));
	for (unsigned t = 0; t < message->nterms && result == RT_OK; t++)
	{
		const struct message_term *from = &message->terms[t];
		struct filter_term *term = &filter->terms[filter->nterms++];
		int			type = type_of(arg, from->column);
		struct buffer name;

		buffer_init(&name);
		buffer_puts_json(&name, from->column);
		term->column.at = memory_copy_string(name.at + 1, name.len - 2);
		term->column.len = name.len - 2;
		buffer_release(&name);
		term->op = from->op;
		term->is_negated = from->is_negated;
		term->type = type < 0 ? FILTER_TYPE_OTHER : (enum filter_type) type;
		if (type < 0 || filter_check_operator(term->op, term->type) != NULL)
		{
			result = RT_MALFORMED;
			break;
		}
		term->keys = memory_alloc_zeroed(sizeof(struct slice) * (from->nvalues + 1));
		term->nkeys = from->nvalues;
		for (unsigned k = 0; k < from->nvalues && result == RT_OK; k++)
		{
			if (constants != NULL)
				assert_true(next < row.n);
			result = make_key(term, &from->values[k], constants ? &row.values[next++] : NULL,
							  &term->keys[k]);
		}
	}
	if (constants != NULL && result == RT_OK)
		assert_int_equal(next, row.n);
	if (result < 0)
		filter_release(filter);
	row_release(&row);
	return result;
}

json_t *
vectors_text(const char *text)
{
	char	   *copy = memory_copy_string(text, strlen(text));
	json_error_t error;
	json_t	   *value;

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	value = json_loads(copy, JSON_DECODE_ANY, &error);
	if (value == NULL)
		fail_msg("%s: %s", copy, error.text);
	memory_free(copy);
	return value;
}
