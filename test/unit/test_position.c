/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_position.c
 *	  Positions: the form, and what they cover.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "position.h"

static void
parse(struct position *position, const char *text)
{
	assert_int_equal(position_parse(position, text, strlen(text)), RT_OK);
}

static void
test_form(void **state)
{
	static const char *const good[] = {
		"e/1:1:", "1-ab/10:20:", "1-ab/10:20:10", "1-ab/10:20:10,15,19",
		"e/9999999999999999998:9999999999999999999:"
	};
	static const char *const bad[] = {
		"", "/1:1:", "e/", "e/1", "e/1:", "e/1:1", "e/0:1:", "e/2:1:", "e/01:2:", "e/1:2:1,", "e/1:2:,1",
		"e/1:5:3,2", "e/1:5:3,3", "e/2:5:1", "e/1:5:5", "e/1:5:x", "e/-1:5:", "e/1:5:2 ",
		"e/1:99999999999999999999:"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		struct position position;
		char	   *text;

		parse(&position, good[i]);
		text = position_format(&position);
		assert_string_equal(text, good[i]);
		memory_free(text);
		position_release(&position);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		struct position position;

		assert_int_equal(position_parse(&position, bad[i], strlen(bad[i])), RT_MALFORMED);
	}
}

static void
test_size(void **state)
{
	size_t		len = POSITION_MAX_LENGTH + 1;
	char	   *text = memory_alloc(len);
	struct position position;

	(void) state;
	memset(text, 'e', len);
	assert_int_equal(position_parse(&position, text, len), RT_TOO_LARGE);
	memory_free(text);
}

static void
test_covers(void **state)
{
	struct position position;

	(void) state;
	parse(&position, "e/10:20:10,12,19");
	assert_true(position_covers(&position, 9));
	assert_false(position_covers(&position, 10));
	assert_true(position_covers(&position, 11));
	assert_false(position_covers(&position, 12));
	assert_true(position_covers(&position, 18));
	assert_false(position_covers(&position, 19));
	assert_false(position_covers(&position, 20));
	assert_false(position_covers(&position, UINT64_MAX));
	position_release(&position);
}

/* Compares position_is_within with its definition over all small positions. */
static void
test_within(void **state)
{
	enum {N = 5};				/* transactions 1 to N */
	struct position positions[200];
	size_t		n = 0;

	(void) state;
	for (unsigned xmax = 1; xmax <= N; xmax++)
		for (unsigned running = 0; running < 1u << (xmax - 1); running++)
		{
			uint64_t   *xip = memory_alloc(sizeof(uint64_t) * N);
			struct position p = {memory_copy_string("e", 1), xmax, xmax, xip, 0};

			for (unsigned xid = 1; xid < xmax; xid++)
				if (running & (1u << (xid - 1)))
					xip[p.nxip++] = xid;
			p.xmin = p.nxip > 0 ? xip[0] : xmax;
			positions[n++] = p;
		}
	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < n; b++)
		{
			bool		expected = true;

			for (unsigned xid = 1; xid <= N + 1; xid++)
				if (position_covers(&positions[a], xid) && !position_covers(&positions[b], xid))
					expected = false;
			assert_int_equal(position_is_within(&positions[a], &positions[b]), expected);
		}
	positions[0].epoch[0] = 'f';
	assert_false(position_is_within(&positions[0], &positions[1]));
	for (size_t i = 0; i < n; i++)
		position_release(&positions[i]);
}

static void
test_hold_back(void **state)
{
	struct position position;
	struct position held;
	const uint64_t xids[] = {5, 12, 15};
	char	   *text;

	(void) state;
	parse(&position, "e/10:20:10,12");
	position_hold_back(&position, xids, 3, &held);
	text = position_format(&held);
	assert_string_equal(text, "e/5:20:5,10,12,15");
	memory_free(text);
	position_release(&held);
	position_release(&position);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_within),
		cmocka_unit_test(test_hold_back),
	};

	return cmocka_run_group_tests_name("position", tests, NULL, NULL);
}
