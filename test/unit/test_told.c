/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_told.c
 *	  Rows told by a read that broke off are skipped by the next; those of the present one are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "told.h"

static void
test_told(void **state)
{
	struct told told = {0};

	(void) state;
	told_clear(&told);
	told_restart(&told);
	assert_false(told_has(&told, 1, 0));
	/* in the log's order, which is not that of xids */
	for (unsigned i = 0; i < 1000; i++)
		told_add(&told, 5000 - i, 0, true);
	told_add(&told, 9, 0, false);
	told_add(&told, 9, 1, false);
	assert_int_equal(told.open_xid, 9);
	assert_false(told_has(&told, 9, 0));	/* of the present read */
	told_restart(&told);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(told_has(&told, 5000 - i, 0));
	assert_false(told_has(&told, 4000, 0));
	assert_false(told_has(&told, 5001, 0));
	assert_false(told_has(&told, 5000, 1));
	assert_true(told_has(&told, 9, 1));
	assert_false(told_has(&told, 9, 2));
	assert_int_equal(told.open_xid, 9);

	/* The second read breaks off as well. */
	told_add(&told, 9, 2, true);
	told_add(&told, 6000, 0, true);
	assert_int_equal(told.open_xid, 0);
	assert_false(told_has(&told, 9, 2));
	told_restart(&told);
	assert_true(told_has(&told, 9, 2));
	assert_true(told_has(&told, 9, 0));
	assert_true(told_has(&told, 6000, 0));
	told_clear(&told);
	assert_int_equal(told.n, 0);
	assert_false(told_has(&told, 9, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told),
	};

	return cmocka_run_group_tests_name("told", tests, NULL, NULL);
}
