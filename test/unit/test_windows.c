/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_windows.c
 *	  The list of entities' windows in the configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "windows.h"

static void
test_good(void **state)
{
	static const char text[] = "orders.order=250, a.b.c = 1s,prices.tick=60000,x.y=0,x.z=z=2ms,orders.order=9";

	(void) state;
	assert_int_equal(windows_check(NULL), RT_OK);
	assert_int_equal(windows_check(text), RT_OK);
	assert_int_equal(windows_find(text, "orders", "order"), 250);
	assert_int_equal(windows_find(text, "a", "b.c"), 1000);
	assert_int_equal(windows_find(text, "a.b", "c"), 1000);
	assert_int_equal(windows_find(text, "prices", "tick"), 60000);
	assert_int_equal(windows_find(text, "x", "y"), 0);
	assert_int_equal(windows_find(text, "x", "z=z"), 2);
	assert_int_equal(windows_find(text, "orders", "orde"), 0);
	assert_int_equal(windows_find(text, "order", "order"), 0);
	assert_int_equal(windows_find(text, "orders", NULL), 0);
	assert_int_equal(windows_find(text, NULL, "order"), 0);
	assert_int_equal(windows_find(NULL, "orders", "order"), 0);
}

static void
test_bad(void **state)
{
	static const char *const texts[] = {"", " ", ",", "orders.order", "orders.order=", "orders.order=x", "orders=250",
		"orders.=250", ".order=250", "=250", "orders.order=60001", "orders.order=2min", "orders.order=-1",
		"orders.order=1.5", "orders.order=250,,a.b=1", "a.b=1,", "a.b=1 2"};

	(void) state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (windows_check(texts[i]) != RT_MALFORMED)
			fail_msg("\"%s\" was taken", texts[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests_name("windows", tests, NULL, NULL);
}
