/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_filter.c
 *	  Filters on rows, against PostgreSQL's answers (test/vectors/filters.json) and simple models.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "filter.h"
#include "memory.h"
#include "vectors.h"

/* A case of the file. */
struct fixture
{
	const json_t *types;
	const json_t *enums;
	const json_t *domains;
};

static int
type_of(const void *arg, const char *column)
{
	const struct fixture *fixture = arg;
	const json_t *type = json_object_get(fixture->types, column);

	return type ? (int) vectors_type(json_string_value(type), fixture->enums, fixture->domains) : -1;
}

/* A row's answer, the same with the members in another order and with the terms sorted. */
static enum filter_result
match(const struct filter *filter, const char *text)
{
	struct row	row = {0, 0, NULL, NULL};
	struct row	turned = {0, 0, NULL, NULL};
	struct buffer scratch;
	enum filter_result result;

	buffer_init(&scratch);
	assert_true(row_read(&row, slice_of(text)));
	result = filter_match(filter, &row, &scratch);
	row_copy(&turned, &row);
	for (unsigned i = 0; i < row.n; i++)
	{
		turned.names[i] = row.names[row.n - 1 - i];
		turned.values[i] = row.values[row.n - 1 - i];
	}
	assert_int_equal(filter_match(filter, &turned, &scratch), result);
	buffer_release(&scratch);
	row_release(&row);
	row_release(&turned);
	return result;
}

/* Every filter of a case says of every row what PostgreSQL says. */
static unsigned
check_filters(const struct fixture *fixture, const json_t *one)
{
	const json_t *expected;
	const json_t *text;
	unsigned	n = 0;
	size_t		i;
	size_t		r;

	json_array_foreach(json_object_get(one, "filters"), i, expected)
	{
		const char *constants = json_string_value(json_object_get(expected, "constants"));
		struct message message;
		struct filter filter;
		struct buffer print;

		assert_non_null(constants);
		assert_int_equal(vectors_parse_filter(&message, json_object_get(expected, "filter")), RT_OK);
		if (vectors_make_filter(&filter, &message, type_of, fixture, constants) < 0)
			fail_msg("refused: %s", json_dumps(expected, 0));
		buffer_init(&print);
		for (int pass = 0; pass < 2; pass++)
		{
			json_array_foreach(json_object_get(one, "rows"), r, text)
			{
				const json_t *answer = json_array_get(json_object_get(expected, "matches"), r);
				enum filter_result got = match(&filter, json_string_value(text));

				assert_non_null(answer);
				if (got != (json_is_true(answer) ? FILTER_YES : FILTER_NO))
					fail_msg("%s: %s of %s: %d", json_string_value(json_object_get(one, "name")),
							 json_dumps(json_object_get(expected, "filter"), 0), json_string_value(text),
							 got);
				n++;
			}
			filter_normalize(&filter, &print);
		}
		buffer_release(&print);
		filter_release(&filter);
		protocol_release(&message);
	}
	return n;
}

/* What must be refused is refused, or left to PostgreSQL, which refuses it. */
static void
check_refused(const struct fixture *fixture, const json_t *one)
{
	const json_t *refused;
	size_t		i;

	json_array_foreach(json_object_get(one, "refused"), i, refused)
	{
		struct message message;
		struct filter filter;
		bool		is_taken = false;

		if (vectors_parse_filter(&message, json_object_get(refused, "filter")) == RT_OK
			&& vectors_make_filter(&filter, &message, type_of, fixture, NULL) == RT_OK)
		{
			is_taken = true;
			filter_release(&filter);
			/* Unless a value is PostgreSQL's to judge. */
			for (unsigned k = 0; k < message.terms[0].nvalues && is_taken; k++)
			{
				struct buffer key;

				buffer_init(&key);
				is_taken = filter_constant_key((enum filter_type) type_of(fixture, message.terms[0].column),
											   &message.terms[0].values[k], &key) > 0;
				buffer_release(&key);
			}
		}
		if (is_taken)
			fail_msg("taken: %s", json_dumps(refused, 0));
		protocol_release(&message);
	}
}

static void
test_vectors(void **state)
{
	json_t	   *file = vectors_load("filters.json");
	json_t	   *one;
	unsigned	n = 0;
	size_t		i;

	(void) state;
	json_array_foreach(json_object_get(file, "cases"), i, one)
	{
		struct fixture fixture = {json_object_get(one, "types"), json_object_get(file, "enums"),
			json_object_get(file, "domains")};

		n += check_filters(&fixture, one);
		check_refused(&fixture, one);
	}
	assert_true(n > 2000);
	json_decref(file);
}

/* LIKE as it is defined, one character after the other; slow. */
static bool
is_like(const char *text, const char *pattern)
{
	size_t		len = 1;

	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '%')
	{
		if (is_like(text, pattern + 1))
			return true;
		if (*text == '\0')
			return false;
		while (((unsigned char) text[len] & 0xC0) == 0x80)
			len++;
		return is_like(text + len, pattern);
	}
	if (*text == '\0')
		return false;
	if (*pattern == '_')
	{
		while (((unsigned char) text[len] & 0xC0) == 0x80)
			len++;
		return is_like(text + len, pattern + 1);
	}
	if (*pattern == '\\')
		pattern++;
	return *text == *pattern && is_like(text + 1, pattern + 1);
}

/* The same without regard to the case of ASCII letters. */
static bool
is_ilike(const char *text, const char *pattern)
{
	char	   *t = memory_copy_string(text, strlen(text));
	char	   *p = memory_copy_string(pattern, strlen(pattern));
	bool		result;

	for (char *c = t; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char) (*c | 32);
	for (char *c = p; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char) (*c | 32);
	result = is_like(t, p);
	memory_free(t);
	memory_free(p);
	return result;
}

/* Text of up to n pieces. */
static void
random_text(uint64_t *random, const char *const *pieces, unsigned npieces, unsigned n, char *out)
{
	*out = '\0';
	for (unsigned i = random_below(random, n + 1); i > 0; i--)
		strcat(out, pieces[random_below(random, npieces)]);
}

static void
test_like(void **state)
{
	static const char *const letters[] = {"a", "\xf0\x9f\x98\x80", "b", "A", "%", "_", "\\", "\xc3\xa4",
		"\xc3\xb6", "\n"};
	static const char *const parts[] = {"a", "%", "_", "_", "\xf0\x9f\x98\x80", "b", "A", "%", "\\%", "\\_",
		"\\\\", "\\a", "\xc3\xa4", "\\\xc3\xa4", "\n"};
	uint64_t	random = 42;
	unsigned	matches = 0;

	(void) state;
	for (int i = 0; i < 60000; i++)
	{
		char		text[64];
		char		pattern[64];
		char	   *t;
		char	   *p;
		bool		expected;

		/* Few kinds of pieces meet more often. */
		random_text(&random, letters, i % 2 ? 2 : sizeof(letters) / sizeof(letters[0]), 7, text);
		random_text(&random, parts, i % 2 ? 5 : sizeof(parts) / sizeof(parts[0]), 7, pattern);
		/* Of the exact size: a read behind the end is seen. */
		t = malloc(strlen(text) + 1);
		p = malloc(strlen(pattern) + 1);
		memcpy(t, text, strlen(text));
		memcpy(p, pattern, strlen(pattern));
		t = realloc(t, strlen(text) ? strlen(text) : 1);
		p = realloc(p, strlen(pattern) ? strlen(pattern) : 1);
		expected = is_like(text, pattern);
		matches += expected;
		assert_true(filter_is_pattern(slice_of(pattern)));
		if (filter_like((struct slice) {t, strlen(text)}, (struct slice) {p, strlen(pattern)}, false) != expected)
			fail_msg("'%s' like '%s': %d", text, pattern, !expected);
		expected = is_ilike(text, pattern);
		if (filter_like((struct slice) {t, strlen(text)}, (struct slice) {p, strlen(pattern)}, true) != expected)
			fail_msg("'%s' ilike '%s': %d", text, pattern, !expected);
		free(t);
		free(p);
	}
	assert_in_range(matches, 1000, 59000);
	assert_false(filter_is_pattern(slice_of("\\")));
	assert_false(filter_is_pattern(slice_of("a\\\\\\")));
	assert_true(filter_is_pattern(slice_of("a\\\\")));
	assert_true(filter_is_pattern(slice_of("")));
}

/* A pattern of many % costs no more than text times pattern. */
static void
test_like_cost(void **state)
{
	char	   *text = memory_alloc(100001);
	char	   *pattern = memory_alloc(4097);

	(void) state;
	memset(text, 'a', 100000);
	text[100000] = '\0';
	for (int i = 0; i < 4096; i++)
		pattern[i] = i % 2 ? 'a' : '%';
	pattern[4095] = 'b';
	pattern[4096] = '\0';
	assert_false(filter_like(slice_of(text), slice_of(pattern), false));
	memory_free(text);
	memory_free(pattern);
}

/* A pattern that nearly fits at every place of a long text is given up: it cannot be told. */
static void
test_like_budget(void **state)
{
	struct buffer json = {0};
	struct buffer scratch = {0};
	char		pattern[4001];
	struct slice key = {pattern, 4000};
	struct filter_term term = {.column = {"name", 4}, .op = OPERATOR_LIKE, .type = FILTER_TYPE_TEXT, .keys = &key, .nkeys = 1};
	struct filter filter = {.terms = &term, .nterms = 1};
	struct row	row = {0};

	(void) state;
	memset(pattern, 'a', sizeof(pattern));
	pattern[0] = '%';
	pattern[3999] = 'b';
	buffer_puts(&json, "{\"name\":\"");
	for (int i = 0; i < 100000; i++)
		buffer_puts(&json, "a");
	buffer_puts(&json, "\"}");
	assert_true(row_read(&row, buffer_slice(&json)));
	assert_int_equal(filter_match(&filter, &row, &scratch), FILTER_OMITTED);
	term.is_negated = true;
	assert_int_equal(filter_match(&filter, &row, &scratch), FILTER_OMITTED);
	key.len = 5;				/* few steps at each place */
	assert_int_equal(filter_match(&filter, &row, &scratch), FILTER_NO);
	row_release(&row);
	buffer_release(&json);
	buffer_release(&scratch);
}

/* Values in ascending order compare so, pair by pair, and equal themselves. */
static void
check_order(enum filter_type type, const char *const *values, unsigned n)
{
	struct buffer scratch[2];

	buffer_init(&scratch[0]);
	buffer_init(&scratch[1]);
	for (unsigned a = 0; a < n; a++)
		for (unsigned b = 0; b < n; b++)
		{
			struct slice x = filter_value_key(type, slice_of(values[a]), &scratch[0]);
			struct slice y = filter_value_key(type, slice_of(values[b]), &scratch[1]);
			int			result = filter_compare_keys(type, x, y);

			if ((result > 0) - (result < 0) != (a > b) - (a < b))
				fail_msg("%s and %s: %d", values[a], values[b], result);
			assert_int_equal(slice_is_same(x, y), a == b);
		}
	buffer_release(&scratch[0]);
	buffer_release(&scratch[1]);
}

#define CHECK_ORDER(type, ...) \
	do \
	{ \
		static const char *const values[] = {__VA_ARGS__}; \
		check_order(type, values, sizeof(values) / sizeof(values[0])); \
	} while (0)

static void
test_order(void **state)
{
	(void) state;
	CHECK_ORDER(FILTER_TYPE_INT2, "-32768", "-100", "-99", "-9", "0", "9", "10", "32767");
	CHECK_ORDER(FILTER_TYPE_INT8, "\"-9223372036854775808\"", "\"-9223372036854775807\"", "-1", "0", "1",
				"9007199254740991", "9007199254740992", "\"9007199254740993\"", "\"9223372036854775807\"");
	CHECK_ORDER(FILTER_TYPE_OID, "0", "1", "4294967295");
	CHECK_ORDER(FILTER_TYPE_NUMERIC, "\"-Infinity\"", "\"-12345678901234567890.51\"",
				"\"-12345678901234567890.5\"", "-2.1", "-2", "-1.95", "-1.9", "-0.1", "-0.09", "0", "0.001",
				"0.01", "0.09", "0.1", "0.1000000001", "0.5", "1.00", "1.9", "1.95", "2", "9.99", "10", "10.1",
				"\"12345678901234567890.5\"", "\"12345678901234567890.51\"",
				"\"100000000000000000000000000000000000000000\"", "\"Infinity\"", "\"NaN\"");
	CHECK_ORDER(FILTER_TYPE_FLOAT, "\"-Infinity\"", "-1.7976931348623157e+308", "-1e+22", "-3", "-0.1", "-1e-07",
				"-5e-324", "0", "5e-324", "1e-07", "0.1", "0.30000000000000004", "3", "1e+15", "1e+22",
				"1.7976931348623157e+308", "\"Infinity\"", "\"NaN\"");
	CHECK_ORDER(FILTER_TYPE_DATE, "\"-infinity\"", "\"4713-01-01 BC\"", "\"0045-12-31 BC\"", "\"0044-03-14 BC\"",
				"\"0044-03-15 BC\"", "\"0001-12-31 BC\"", "\"0001-01-01\"", "\"0044-03-15\"", "\"1999-12-31\"",
				"\"2000-01-01\"", "\"9999-12-31\"", "\"10000-01-01\"", "\"5874897-12-31\"", "\"infinity\"");
	CHECK_ORDER(FILTER_TYPE_DATE, "\"-infinity\"", "\"0044-03-15T11:59:59 BC\"", "\"0044-03-15T12:00:00 BC\"",
				"\"0044-03-15T12:00:00.000001 BC\"", "\"0044-03-15T12:00:00.00001 BC\"",
				"\"0044-03-15T12:00:00.5 BC\"", "\"0044-03-15T12:00:01 BC\"", "\"0044-03-15T12:00:00\"",
				"\"2026-03-05T12:00:00\"", "\"2026-03-05T12:00:00.000001\"", "\"2026-03-05T12:00:00.1\"",
				"\"2026-03-05T12:00:00.11\"", "\"2026-03-05T12:00:01\"", "\"294276-12-31T23:59:59.999999\"",
				"\"infinity\"");
	CHECK_ORDER(FILTER_TYPE_DATE, "\"0044-03-15T12:00:00+00:00 BC\"", "\"0044-03-15T12:00:00.5+00:00 BC\"",
				"\"2026-03-05T12:00:00+00:00\"", "\"2026-03-05T12:00:00.000001+00:00\"",
				"\"2026-03-05T12:00:00.1+00:00\"", "\"2026-03-05T12:00:00.11+00:00\"", "\"infinity\"");
	CHECK_ORDER(FILTER_TYPE_TIME, "\"00:00:00\"", "\"12:34:56\"", "\"12:34:56.7\"", "\"12:34:56.789\"",
				"\"12:34:57\"", "\"24:00:00\"");
	CHECK_ORDER(FILTER_TYPE_TEXT, "\"\"", "\"\\u0001\"", "\"\\t\"", "\" \"", "\"A\"", "\"Z\"", "\"a\"", "\"aa\"", "\"b\"",
				"\"\\u00e4\"", "\"\xef\xbd\x9e\"", "\"\xf0\x9f\x98\x80\"");
	CHECK_ORDER(FILTER_TYPE_BPCHAR, "\"   \"", "\"a  \"", "\"a\\t \"", "\"ab\"");
	CHECK_ORDER(FILTER_TYPE_BYTEA, "\"\\\\x\"", "\"\\\\x00\"", "\"\\\\x0000\"", "\"\\\\x01\"", "\"\\\\xff\"");
	CHECK_ORDER(FILTER_TYPE_BOOL, "false", "true");
}

/* Values that are written differently and are equal. */
static void
test_equal(void **state)
{
	static const struct
	{
		enum filter_type type;
		const char *values[2];
	}			pairs[] = {
		{FILTER_TYPE_FLOAT, {"-0", "0"}},
		{FILTER_TYPE_FLOAT, {"1.0", "1"}},
		{FILTER_TYPE_NUMERIC, {"0.000", "0"}},
		{FILTER_TYPE_NUMERIC, {"-0.0", "0"}},
		{FILTER_TYPE_NUMERIC, {"\"1.50\"", "1.5"}},
		{FILTER_TYPE_NUMERIC, {"100.00", "100"}},
		{FILTER_TYPE_INT8, {"\"42\"", "42"}},
		{FILTER_TYPE_TEXT, {"\"\\u00e4\\/\"", "\"\xc3\xa4/\""}},
		{FILTER_TYPE_BPCHAR, {"\"ab   \"", "\"ab\""}},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		struct buffer scratch[2];
		struct slice keys[2];

		for (int k = 0; k < 2; k++)
		{
			buffer_init(&scratch[k]);
			keys[k] = filter_value_key(pairs[i].type, slice_of(pairs[i].values[k]), &scratch[k]);
		}
		if (!slice_is_same(keys[0], keys[1])
			|| filter_compare_keys(pairs[i].type, keys[0], keys[1]) != 0)
			fail_msg("%s and %s", pairs[i].values[0], pairs[i].values[1]);
		buffer_release(&scratch[0]);
		buffer_release(&scratch[1]);
	}
}

/* Random decimals compare as the numbers that they are. */
static void
test_decimals(void **state)
{
	uint64_t	random = 7;

	(void) state;
	for (int i = 0; i < 50000; i++)
	{
		long		n[2];
		char		text[2][40];
		struct slice key[2];
		struct buffer scratch;
		int			result;

		for (int k = 0; k < 2; k++)
		{
			unsigned	zeros = random_below(&random, 3);

			n[k] = (long) random_below(&random, 200001) - 100000;
			if (random_below(&random, 2))
				n[k] /= 1000;	/* many small and equal ones */
			snprintf(text[k], sizeof(text[k]), "%s%ld.%03ld%.*s", n[k] < 0 ? "-" : "", labs(n[k]) / 1000,
					 labs(n[k]) % 1000, (int) zeros, "00");
		}
		buffer_init(&scratch);
		key[0] = filter_value_key(FILTER_TYPE_NUMERIC, slice_of(text[0]), &scratch);
		key[1] = filter_value_key(FILTER_TYPE_NUMERIC, slice_of(text[1]), &scratch);
		result = filter_compare_keys(FILTER_TYPE_NUMERIC, key[0], key[1]);
		if ((result > 0) - (result < 0) != (n[0] > n[1]) - (n[0] < n[1])
			|| slice_is_same(key[0], key[1]) != (n[0] == n[1]))
			fail_msg("%s and %s: %d", text[0], text[1], result);
		buffer_release(&scratch);
	}
}

/* What stands in custom events may be anything: no order to check, but no read beyond its end. */
static void
test_nonsense(void **state)
{
	static const char *const pieces[] = {"-", "0", "00", "1", "9", ".", "e", "+", " ", " BC", "NaN", "Infinity", "-infinity",
		"infinity", "T", ":", "\"", "\\", "\\u00e4", "\\u0000", "\\ud800", "{", "}", "[", "]", "null", "true",
		"1111111111111111111111111111111111111111111111111111111111111111111111"};
	uint64_t	random = 99;

	(void) state;
	for (int i = 0; i < 40000; i++)
	{
		enum filter_type type = (enum filter_type) random_below(&random, FILTER_TYPE_ENUM + 1);
		struct buffer scratch[2];
		struct slice key[2];
		char	   *copy[2];

		for (int k = 0; k < 2; k++)
		{
			char		text[600];

			do
				random_text(&random, pieces, sizeof(pieces) / sizeof(pieces[0]), 6, text);
			while (text[0] == '\0' || (text[0] == '"' && (text[1] == '\0' || text[strlen(text) - 1] != '"')));
			copy[k] = malloc(strlen(text));
			memcpy(copy[k], text, strlen(text));
			buffer_init(&scratch[k]);
			key[k] = filter_value_key(type, (struct slice) {copy[k], strlen(text)}, &scratch[k]);
		}
		if (filter_compare_keys(type, key[0], key[1]) < 0)
			assert_false(slice_is_same(key[0], key[1]));
		for (int k = 0; k < 2; k++)
		{
			buffer_release(&scratch[k]);
			free(copy[k]);
		}
	}
}

static int
all_integers(const void *arg, const char *column)
{
	(void) arg;
	return column[0] == 't' ? FILTER_TYPE_TEXT : FILTER_TYPE_INT4;
}

static struct filter
filter_of(const char *json)
{
	json_t	   *value = json_loads(json, 0, NULL);
	struct message message;
	struct filter filter;

	assert_non_null(value);
	assert_int_equal(vectors_parse_filter(&message, value), RT_OK);
	assert_int_equal(vectors_make_filter(&filter, &message, all_integers, NULL, NULL), RT_OK);
	protocol_release(&message);
	json_decref(value);
	return filter;
}

/* Whether two filters have the same normalized text. */
static bool
is_same_print(const char *a, const char *b)
{
	struct filter filters[2] = {filter_of(a), filter_of(b)};
	struct buffer print[2];
	bool		is_same;

	for (int i = 0; i < 2; i++)
	{
		buffer_init(&print[i]);
		filter_normalize(&filters[i], &print[i]);
	}
	is_same = slice_is_same(buffer_slice(&print[0]), buffer_slice(&print[1]));
	for (int i = 0; i < 2; i++)
	{
		buffer_release(&print[i]);
		filter_release(&filters[i]);
	}
	return is_same;
}

static void
test_normalize(void **state)
{
	(void) state;
	assert_true(is_same_print("[[\"a\",\"eq\",1],[\"b\",\"lt\",2]]", "[[\"b\",\"lt\",\"2\"],[\"a\",\"eq\",\" +01 \"]]"));
	assert_true(is_same_print("[[\"a\",\"in\",[3,1,2]]]", "[[\"a\",\"in\",[1,2,3]]]"));
	assert_true(is_same_print("[[\"a\",\"in\",[3,1,2]],[\"a\",\"in\",[5,4]]]",
							  "[[\"a\",\"in\",[4,5]],[\"a\",\"in\",[1,2,3]]]"));
	assert_true(is_same_print("[]", "[]"));
	assert_false(is_same_print("[[\"a\",\"in\",[3,1]]]", "[[\"a\",\"in\",[1,2,3]]]"));
	assert_false(is_same_print("[[\"a\",\"eq\",1]]", "[[\"a\",\"neq\",1]]"));
	assert_false(is_same_print("[[\"a\",\"eq\",1]]", "[[\"a\",\"not.eq\",1]]"));
	assert_false(is_same_print("[[\"a\",\"eq\",1]]", "[[\"b\",\"eq\",1]]"));
	assert_false(is_same_print("[[\"t\",\"eq\",\"x\\\";\"]]", "[[\"t\",\"eq\",\"x\"]]"));
	assert_false(is_same_print("[[\"t\",\"in\",[\"a\",\"b\"]]]", "[[\"t\",\"in\",[\"a\\\"\\\"b\"]]]"));
	assert_false(is_same_print("[[\"t\",\"like\",\"a\"]]", "[[\"t\",\"ilike\",\"a\"]]"));
	assert_false(is_same_print("[[\"a\",\"eq\",1]]", "[]"));
}

/* A value that was left out decides only when nothing else does. */
static void
test_omitted(void **state)
{
	struct filter filter = filter_of("[[\"a\",\"eq\",1],[\"t\",\"eq\",\"x\"]]");
	struct filter other = filter_of("[[\"t\",\"not.is\",null]]");

	(void) state;
	assert_int_equal(match(&filter, "{\"a\":1}"), FILTER_OMITTED);
	assert_int_equal(match(&filter, "{\"a\":2}"), FILTER_NO);
	assert_int_equal(match(&filter, "{\"a\":null}"), FILTER_NO);
	assert_int_equal(match(&filter, "{\"t\":\"y\"}"), FILTER_NO);
	assert_int_equal(match(&filter, "{\"t\":\"x\"}"), FILTER_OMITTED);
	assert_int_equal(match(&filter, "{}"), FILTER_OMITTED);
	assert_int_equal(match(&filter, "{\"a\":1,\"t\":\"\\u0078\"}"), FILTER_YES);
	assert_int_equal(match(&other, "{}"), FILTER_OMITTED);
	filter_release(&filter);
	filter_release(&other);
}

/* Rows: reading, what is no object, laying over. */
static void
test_rows(void **state)
{
	struct row	row = {0, 0, NULL, NULL};
	struct row	old = {0, 0, NULL, NULL};
	struct row	copy = {0, 0, NULL, NULL};
	char		wide[2000] = "{";

	(void) state;
	assert_false(row_read(&row, (struct slice) {NULL, 0}));
	assert_false(row_read(&row, slice_of("null")));
	assert_false(row_read(&row, slice_of("[1]")));
	assert_false(row_read(&row, slice_of("{\"a\":1")));
	assert_true(row_read(&row, slice_of("{\"a\":1,\"b\":{\"a\":2},\"c\":null}")));
	assert_true(row_read(&old, slice_of("{\"b\":7,\"d\":8}")));
	row_copy(&copy, &row);
	row_overlay(&copy, &old);
	assert_int_equal(copy.n, 4);
	assert_true(slice_equals(*row_find(&copy, slice_of("a")), "1"));
	assert_true(slice_equals(*row_find(&copy, slice_of("b")), "7"));
	assert_true(slice_equals(*row_find(&copy, slice_of("d")), "8"));
	assert_true(slice_equals(*row_find(&row, slice_of("b")), "{\"a\":2}"));
	assert_null(row_find(&row, slice_of("d")));
	for (int i = 0; i < 100; i++)
		sprintf(wide + strlen(wide), "%s\"c%d\":%d", i ? "," : "", i, i);
	strcat(wide, "}");
	assert_true(row_read(&row, slice_of(wide)));
	assert_int_equal(row.n, 100);
	assert_true(slice_equals(*row_find(&row, slice_of("c99")), "99"));
	row_release(&row);
	row_release(&old);
	row_release(&copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_like),
		cmocka_unit_test(test_like_cost),
		cmocka_unit_test(test_like_budget),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_normalize),
		cmocka_unit_test(test_omitted),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
