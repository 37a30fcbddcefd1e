/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_loop.c
 *	  What is posted to a loop: its order, what is urgent, and whether more waits; tasks and alarms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop.h"

struct note
{
	struct loop *loop;
	char		seen[16];		/* a letter for each post that ran: capital when more waited */
	unsigned	n;
};

static void
note_one(void *arg)
{
	struct note *note = arg;

	note->seen[note->n++] = loop_has_posts(note->loop) ? 'M' : 'l';
}

/* Posts another, which waits for the next turn, but waits. */
static void
note_and_post(void *arg)
{
	struct note *note = arg;

	loop_post(note->loop, note_one, note);
	note_one(note);
}

static void
test_more_waits(void **state)
{
	struct note note = {.loop = loop_new()};

	(void) state;
	assert_false(loop_has_posts(note.loop));
	loop_post(note.loop, note_one, &note);
	loop_post(note.loop, note_one, &note);
	assert_true(loop_has_posts(note.loop));
	assert_true(loop_drain(note.loop));
	assert_string_equal(note.seen, "Ml");
	assert_false(loop_has_posts(note.loop));
	assert_false(loop_drain(note.loop));
	loop_free(note.loop);
}

static void
test_posted_meanwhile(void **state)
{
	struct note note = {.loop = loop_new()};

	(void) state;
	loop_post(note.loop, note_and_post, &note);
	assert_true(loop_drain(note.loop));
	assert_string_equal(note.seen, "M");
	assert_true(loop_drain(note.loop));
	assert_string_equal(note.seen, "Ml");
	loop_free(note.loop);
}

static void
note_urgent(void *arg)
{
	struct note *note = arg;

	note->seen[note->n++] = loop_has_urgent(note->loop) ? 'U' : 'u';
}

/* Is at work for long: what is urgent comes in between. */
static void
note_around(void *arg)
{
	struct note *note = arg;

	note_one(note);
	loop_post_urgent(note->loop, note_urgent, note);
	loop_run_urgent(note->loop);
	note->seen[note->n++] = '.';
}

/* What is urgent runs first, in its order, between two pieces of work and where it is called for. */
static void
test_urgent(void **state)
{
	struct note note = {.loop = loop_new()};

	(void) state;
	loop_post(note.loop, note_around, &note);
	loop_post_urgent(note.loop, note_urgent, &note);
	loop_post(note.loop, note_one, &note);
	loop_post_urgent(note.loop, note_urgent, &note);
	assert_true(loop_has_urgent(note.loop));
	assert_true(loop_drain(note.loop));
	assert_string_equal(note.seen, "UuMu.l");
	assert_false(loop_has_posts(note.loop));
	loop_free(note.loop);
}

struct turns
{
	struct loop *loop;
	struct loop_task *task;
	struct loop_alarm *alarm;
	unsigned	turns;
	unsigned	posts;
	int64_t		rang_us;
};

static void
count_post(void *arg)
{
	struct turns *turns = arg;

	turns->posts++;
}

/* Starts itself again and again; what it posts runs between its turns. */
static void
take_turn(void *arg)
{
	struct turns *turns = arg;

	assert_int_equal(turns->posts, turns->turns);
	loop_post(turns->loop, count_post, turns);
	if (++turns->turns == 100)
		loop_stop(turns->loop);
	else
		loop_task_start(turns->task);
}

static void
test_task(void **state)
{
	struct turns turns = {.loop = loop_new()};

	(void) state;
	turns.task = loop_task_new(turns.loop, take_turn, &turns);
	loop_task_start(turns.task);
	loop_task_start(turns.task);
	loop_run(turns.loop);
	assert_int_equal(turns.turns, 100);
	assert_int_equal(turns.posts, 100);
	loop_task_free(turns.task);
	loop_free(turns.loop);
}

static void
stop_it(void *arg)
{
	struct turns *turns = arg;

	turns->rang_us = loop_clock_us();
	loop_stop(turns->loop);
}

/* An alarm rings once, not before its time; starting again replaces it, stopped it does not ring. */
static void
test_alarm(void **state)
{
	struct turns turns = {.loop = loop_new()};
	struct loop_alarm *other = loop_alarm_new(turns.loop, count_post, &turns);
	int64_t		began_us;

	(void) state;
	turns.alarm = loop_alarm_new(turns.loop, stop_it, &turns);
	loop_alarm_start(other, 100);
	loop_alarm_stop(other);
	loop_alarm_start(turns.alarm, 1);
	began_us = loop_clock_us();
	loop_alarm_start(turns.alarm, 1500);
	loop_run(turns.loop);
	assert_true(turns.rang_us - began_us >= 1500);
	assert_int_equal(turns.posts, 0);
	loop_alarm_start(turns.alarm, 0);	/* at once */
	loop_run(turns.loop);
	loop_alarm_free(turns.alarm);
	loop_alarm_free(other);
	loop_free(turns.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_waits),
		cmocka_unit_test(test_posted_meanwhile),
		cmocka_unit_test(test_urgent),
		cmocka_unit_test(test_task),
		cmocka_unit_test(test_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
