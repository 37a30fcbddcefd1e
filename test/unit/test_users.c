/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_users.c
 *	  Sessions counted by user, from several threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "users.h"

static void
test_limit(void **state)
{
	struct users *users = users_new();

	(void) state;
	assert_true(users_enter(users, "ann", 2));
	assert_true(users_enter(users, "ann", 2));
	assert_false(users_enter(users, "ann", 2));
	assert_true(users_enter(users, "bob", 2));
	users_leave(users, "ann");
	assert_true(users_enter(users, "ann", 2));
	assert_true(users_enter(users, "ann", 0));	/* no limit now */
	assert_false(users_enter(users, "ann", 3));
	users_free(users);
}

static void
test_nobody(void **state)
{
	struct users *users = users_new();

	(void) state;
	assert_true(users_enter(users, NULL, 1));
	assert_true(users_enter(users, NULL, 1));
	users_leave(users, NULL);
	users_leave(users, "unknown");
	users_free(users);
}

static void *
come_and_go(void *arg)
{
	for (int i = 0; i < 2000; i++)
		if (users_enter(arg, "ann", 3))
			users_leave(arg, "ann");
	return NULL;
}

static void
test_threads(void **state)
{
	struct users *users = users_new();
	pthread_t	threads[4];

	(void) state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, users), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(users_enter(users, "ann", 1));	/* nobody was left over */
	assert_false(users_enter(users, "ann", 1));
	users_free(users);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
