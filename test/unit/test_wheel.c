/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_wheel.c
 *	  Deadlines in a wheel against a plain list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wheel.h"

#define ENTRIES 500

struct model
{
	struct wheel wheel;
	struct wheel_entry entries[ENTRIES];
	uint64_t	due[ENTRIES];		/* 0: not set */
	unsigned	fired;
	uint32_t	random;
};

static uint32_t
next_random(struct model *model)
{
	model->random = model->random * 1664525u + 1013904223u;
	return model->random >> 8;
}

/* Sets or removes a random entry in both. */
static void
change(struct model *model)
{
	unsigned	i = next_random(model) % ENTRIES;

	if (next_random(model) % 4 == 0)
	{
		wheel_remove(&model->wheel, &model->entries[i]);
		model->due[i] = 0;
	}
	else
	{
		uint64_t	ticks = next_random(model) % 3 == 0 ? next_random(model) % 1000 : next_random(model) % 20;

		wheel_set(&model->wheel, &model->entries[i], ticks);
		model->due[i] = model->wheel.now + (ticks ? ticks : 1);
	}
}

static void
fired(struct wheel_entry *entry, void *arg)
{
	struct model *model = arg;
	long		i = entry - model->entries;

	assert_int_equal(model->due[i], model->wheel.now);
	model->due[i] = 0;
	model->fired++;
	if (next_random(model) % 2)
		change(model);			/* of entries that are due now, too */
}

static void
test_wheel(void **state)
{
	static struct model model;
	unsigned	set = 0;

	(void) state;
	model.random = 42;
	for (unsigned tick = 0; tick < 20000; tick++)
	{
		for (unsigned n = next_random(&model) % 4; n > 0; n--)
			change(&model);
		wheel_advance(&model.wheel, fired, &model);
		for (unsigned i = 0; i < ENTRIES; i++)
			assert_false(model.due[i] != 0 && model.due[i] <= model.wheel.now);
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		set += model.due[i] != 0;
	assert_int_equal(model.wheel.count, set);
	assert_true(model.fired > 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wheel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
