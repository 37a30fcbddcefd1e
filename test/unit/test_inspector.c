/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_inspector.c
 *	  What the inspector is asked, and the first few of many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inspector_query.h"
#include "inspector_top.h"
#include "memory.h"

/* Parses; fails unless it goes as told (why NULL: well). */
static struct inspector_query
parse(const char *text, const char *expected)
{
	struct inspector_query query;
	const char *why = NULL;
	int			result = inspector_query_parse(&query, (struct slice) {text, strlen(text)}, &why);

	if (expected == NULL)
		assert_int_equal(result, RT_OK);
	else
	{
		assert_int_equal(result, RT_MALFORMED);
		assert_string_equal(why, expected);
	}
	return query;
}

static void
test_query(void **state)
{
	static const char value[] = "a parameter's value is no good";
	struct inspector_query query = parse("", NULL);

	(void) state;
	assert_int_equal(query.sessions, 50);
	assert_int_equal(query.views, 50);
	assert_int_equal(query.sort, INSPECTOR_BY_QUEUE);
	assert_false(query.has_after);
	assert_int_equal(query.find_len, 0);
	query = parse("sessions=0&views=100&sort=newest&after=-12.18446744073709551615&find=a%20b%c3%b6+c", NULL);
	assert_int_equal(query.sessions, 0);
	assert_int_equal(query.views, 100);
	assert_int_equal(query.sort, INSPECTOR_NEWEST);
	assert_true(query.has_after);
	assert_int_equal(query.after_key, -12);
	assert_true(query.after_tie == UINT64_MAX);
	assert_int_equal(query.find_len, 7);
	assert_memory_equal(query.find, "a b\xc3\xb6 c", 7);
	query = parse("after=9223372036854775807.0", NULL);
	assert_true(query.after_key == INT64_MAX);

	(void) parse("sessions=101", value);
	(void) parse("sessions=-1", value);
	(void) parse("sessions=", value);
	(void) parse("sessions=1x", value);
	(void) parse("views=99999999999999999999999", value);
	(void) parse("sort=", value);
	(void) parse("sort=queu", value);
	(void) parse("after=1", value);
	(void) parse("after=.1", value);
	(void) parse("after=1.", value);
	(void) parse("after=-.1", value);
	(void) parse("after=9223372036854775808.0", value);
	(void) parse("after=0.18446744073709551616", value);
	(void) parse("after=", value);
	(void) parse("find=%zz", value);
	(void) parse("find=%00", value);
	(void) parse("find=0123456789012345678901234567890123456789012345678901234567890123456789"
				 "0123456789012345678901234567890", value);
	(void) parse("token=abc", "an unknown parameter");
	(void) parse("=", "an unknown parameter");
	(void) parse("views=1&views=1", "a parameter is given twice");
}

static unsigned freed;

static void
free_number(void *item)
{
	freed++;
	memory_free(item);
}

/* Offers a number, as its users do. */
static void
offer(struct inspector_top *top, int64_t key, uint64_t tie)
{
	if (inspector_top_wants(top, key, tie))
		inspector_top_add(top, key, tie, memory_alloc(1));
}

/* Against sorting all of them, for random keys of which many are alike. */
static void
test_top(void **state)
{
	(void) state;
	srand(7);
	for (unsigned round = 0; round < 200; round++)
	{
		enum {COUNT = 60};
		unsigned	max = (unsigned) rand() % 12;
		int64_t		keys[COUNT];
		struct inspector_top top;

		inspector_top_init(&top, max, free_number);
		freed = 0;
		for (unsigned i = 0; i < COUNT; i++)
		{
			keys[i] = rand() % 20 - 10;
			offer(&top, keys[i], i);
		}
		assert_int_equal(top.n, max < COUNT ? max : COUNT);
		assert_true(top.is_cut);
		for (unsigned i = 0; i < top.n; i++)
		{
			unsigned	before = 0;

			assert_true(top.at[i].key == keys[top.at[i].tie]);
			for (unsigned k = 0; k < COUNT; k++)
				before += inspector_top_is_after(top.at[i].key, top.at[i].tie, keys[k], k);
			assert_int_equal(before, i);
		}
		inspector_top_release(&top);
		assert_true(freed >= max && freed <= COUNT);
	}
}

static void
test_top_that_fits(void **state)
{
	struct inspector_top top;

	(void) state;
	inspector_top_init(&top, 3, free_number);
	offer(&top, 1, 1);
	offer(&top, 2, 1);
	offer(&top, 1, 0);
	assert_false(top.is_cut);
	assert_int_equal(top.n, 3);
	assert_true(top.at[0].key == 2 && top.at[1].tie == 0 && top.at[2].tie == 1);
	offer(&top, 0, 0);
	assert_true(top.is_cut);
	assert_int_equal(top.n, 3);
	inspector_top_release(&top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_top_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
