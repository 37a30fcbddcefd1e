/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_loop.c
 *	  What is posted to a loop: its order, and whether more waits.
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_waits),
		cmocka_unit_test(test_posted_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
