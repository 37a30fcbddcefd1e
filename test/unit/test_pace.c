/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_pace.c
 *	  The pace of polling, on a clock of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pace.h"

/* A simulated source: polls when it would, armed when it would be. */
struct simulation
{
	struct pace pace;
	int64_t		now;
	bool		is_armed;
	int64_t		took_us;		/* by a poll */
	unsigned	polls;
	unsigned	bells;
	unsigned	armings;
};

/* Commits come in every so many microseconds, for a while. */
static void
simulate(struct simulation *s, int64_t every_us, int64_t duration_us)
{
	int64_t		end = s->now + duration_us;
	int64_t		next = s->now + every_us;

	while (s->now < end)
	{
		unsigned	commits = 0;

		if (s->is_armed)
		{
			if (every_us == 0 || next >= end)
			{
				s->now = end;
				break;
			}
			s->now = next;
			s->bells++;
			pace_rung(&s->pace);
		}
		else
			s->now += pace_pause(&s->pace) + s->took_us;
		for (; every_us > 0 && next <= s->now; next += every_us)
			commits++;
		s->polls++;
		pace_polled(&s->pace, s->now, s->took_us, commits);
		if (pace_is_busy(&s->pace))
			s->is_armed = false;
		else if (pace_is_calm(&s->pace) && !s->is_armed)
		{
			s->is_armed = true;
			s->armings++;
		}
	}
}

static void
start(struct simulation *s)
{
	*s = (struct simulation) {.now = 1000000, .took_us = 300};
	pace_init(&s->pace, 0, s->now);
	assert_int_equal(pace_pause(&s->pace), PACE_LEAST_US);
}

/* Nothing happens: armed after a few polls, within some 10 ms. */
static void
test_silence(void **state)
{
	struct simulation s;

	(void) state;
	start(&s);
	simulate(&s, 0, 1000000);
	assert_true(s.is_armed);
	assert_int_equal(s.polls, PACE_EMPTY_POLLS);
}

/* Lone events: one bell and one poll each, armed all the time. */
static void
test_lone_events(void **state)
{
	struct simulation s;

	(void) state;
	start(&s);
	simulate(&s, 0, 100000);
	s.polls = 0;
	simulate(&s, 100000, 60000000);
	assert_true(s.is_armed);
	assert_int_equal(s.armings, 1);
	assert_in_range(s.bells, 590, 600);
	assert_int_equal(s.polls, s.bells);
}

/* A storm: few bells, polls at the least pause; afterwards armed again within some two seconds. */
static void
test_storm(void **state)
{
	struct simulation s;

	(void) state;
	start(&s);
	simulate(&s, 0, 100000);
	simulate(&s, 200, 1000000);
	assert_false(s.is_armed);
	assert_in_range(s.bells, 1, PACE_BUSY + 2);
	assert_int_equal(pace_pause(&s.pace), s.took_us);
	simulate(&s, 0, 1500000);
	assert_true(s.is_armed);
	assert_int_equal(s.armings, 2);
}

/* Where the server waits, a poll rests before it only when commits come faster than polls. */
static void
test_rest(void **state)
{
	struct simulation s;

	(void) state;
	start(&s);
	simulate(&s, 20000, 5000000);
	assert_int_equal(pace_rest(&s.pace), 0);
	simulate(&s, 200, 1000000);
	assert_int_equal(pace_rest(&s.pace), PACE_REST * s.took_us);
	s.took_us = 5000;
	simulate(&s, 200, 1000000);
	assert_int_equal(pace_rest(&s.pace), PACE_REST_MAX_US);
	s.took_us = 300;
	simulate(&s, 3000, 1000000);
	assert_int_equal(pace_rest(&s.pace), 0);

	/* as configured, however rare they are */
	pace_init(&s.pace, 50, s.now);
	pace_polled(&s.pace, s.now, s.took_us, 0);
	assert_int_equal(pace_rest(&s.pace), 50000);
}

/* A trickle above the rate: polled, not rung for, with pauses that stay short. */
static void
test_trickle(void **state)
{
	struct simulation s;

	(void) state;
	start(&s);
	simulate(&s, 20000, 5000000);
	s.bells = s.polls = 0;
	simulate(&s, 20000, 10000000);
	assert_false(s.is_armed);
	assert_int_equal(s.bells, 0);
	assert_in_range(s.polls, 3000, 6000);
	assert_true(pace_pause(&s.pace) <= PACE_PAUSE_US);
}

/*
 * The pause follows the commits: some four polls for each when they are rare, half of the time when they are dense,
 * never less than what a poll takes or the configuration says.
 */
static void
test_pause(void **state)
{
	static const struct
	{
		unsigned	min_ms;
		int64_t		took_us;
		int64_t		every_us;
		int64_t		from_us;
		int64_t		to_us;
	}			cases[] = {
		{0, 200, 1000, 200, 400},
		{0, 200, 200, 200, 200},
		{0, 20, 50, PACE_LEAST_US, PACE_LEAST_US},
		{0, 200, 6000, 1000, PACE_PAUSE_US},
		{0, 200, 30000, PACE_PAUSE_US, PACE_PAUSE_US},
		{1, 200, 1000, 1000, 1000},
		{5, 200, 1000, 5000, 5000},
		{0, 50000, 1000, PACE_LEAST_US, 20000},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct simulation s;

		start(&s);
		s.took_us = cases[i].took_us;
		pace_init(&s.pace, cases[i].min_ms, s.now);
		simulate(&s, cases[i].every_us, 3000000);
		assert_in_range(pace_pause(&s.pace), cases[i].from_us, cases[i].to_us);
		assert_true(pace_least(&s.pace) <= pace_pause(&s.pace));
	}
}

/* Bells for nothing count like commits; the pause of a source that cannot arm grows to a bound. */
static void
test_false_bells(void **state)
{
	struct pace pace;
	int64_t		now = 0;

	(void) state;
	pace_init(&pace, 0, now);
	for (int i = 0; i < 15; i++)
	{
		pace_rung(&pace);
		pace_polled(&pace, now += 1000, 300, 0);
	}
	assert_true(pace_is_busy(&pace));
	for (int i = 0; i < 400; i++)
		pace_polled(&pace, now += pace_pause(&pace), 300, 0);
	assert_true(pace_is_calm(&pace));
	assert_int_equal(pace_pause(&pace), PACE_IDLE_US);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_lone_events),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_trickle),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_false_bells),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
