/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_reach.c
 *	  Who waits for a position is called once, when the stream has it, in order; who takes it back is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reach.h"

struct desk
{
	struct reach reach;
	struct position now;
	char		called[32];
	unsigned	asked;			/* how often the stream was to be read */
};

struct visitor
{
	struct desk *desk;
	struct position position;
	char		name;
	struct visitor *next;		/* comes when this one is called */
	struct visitor *victim;		/* is taken back when this one is called */
};

static void
count_asked(void *arg)
{
	((struct desk *) arg)->asked++;
}

static struct desk *
open_desk(struct desk *desk)
{
	memset(desk, 0, sizeof(*desk));
	desk->reach.begun = count_asked;
	desk->reach.arg = desk;
	return desk;
}

static void
parse(struct position *position, const char *text)
{
	assert_int_equal(position_parse(position, text, strlen(text)), 0);
}

static void
called(void *arg)
{
	struct visitor *visitor = arg;
	struct desk *desk = visitor->desk;

	desk->called[strlen(desk->called)] = visitor->name;
	if (visitor->next != NULL)
		reach_wait(&desk->reach, &visitor->next->position, called, visitor->next);
	if (visitor->victim != NULL)
		reach_cancel(&desk->reach, visitor->victim);
}

static void
come(struct visitor *visitor, struct desk *desk, char name, const char *position)
{
	*visitor = (struct visitor) {.desk = desk, .name = name};
	parse(&visitor->position, position);
	reach_wait(&desk->reach, &visitor->position, called, visitor);
}

static void
advance(struct desk *desk, const char *position)
{
	if (desk->now.epoch != NULL)
		position_release(&desk->now);
	parse(&desk->now, position);
	desk->reach.now = &desk->now;
	reach_advance(&desk->reach);
}

static void
test_has(void **state)
{
	struct desk desk;
	struct position position;
	const struct position unknown = {.epoch = NULL};

	(void) state;
	open_desk(&desk);
	parse(&position, "a/10:12:10");
	assert_true(reach_has(&desk.reach, &position));	/* nothing is known of the stream */
	advance(&desk, "a/9:11:9,10");
	assert_false(reach_has(&desk.reach, &position));
	assert_true(reach_has(&desk.reach, &unknown));
	advance(&desk, "a/10:12:10");
	assert_true(reach_has(&desk.reach, &position));
	advance(&desk, "a/11:11:");
	assert_false(reach_has(&desk.reach, &position));	/* 11 was over for the one who waits */
	advance(&desk, "a/12:12:");
	assert_true(reach_has(&desk.reach, &position));
	advance(&desk, "b/1:1:");
	assert_true(reach_has(&desk.reach, &position));	/* the stream has begun anew */
	position_release(&position);
	position_release(&desk.now);
}

static void
test_order(void **state)
{
	struct desk desk;
	struct visitor v[4];

	(void) state;
	advance(open_desk(&desk), "a/5:5:");
	come(&v[0], &desk, '0', "a/9:9:");
	come(&v[1], &desk, '1', "a/7:7:");
	come(&v[2], &desk, '2', "a/8:8:");
	come(&v[3], &desk, '3', "a/6:6:");
	assert_int_equal(desk.asked, 4);
	advance(&desk, "a/5:6:5");
	assert_string_equal(desk.called, "");
	advance(&desk, "a/8:8:");
	assert_string_equal(desk.called, "123");
	advance(&desk, "a/8:8:");
	assert_string_equal(desk.called, "123");
	advance(&desk, "b/2:2:");
	assert_string_equal(desk.called, "1230");
	assert_null(desk.reach.waits);
	for (int i = 0; i < 4; i++)
		position_release(&v[i].position);
	position_release(&desk.now);
}

/* Whoever is called may wait again, and may take others back. */
static void
test_within(void **state)
{
	struct desk desk;
	struct visitor v[4];
	struct visitor late = {.desk = &desk, .name = 'l'};
	struct visitor soon = {.desk = &desk, .name = 's'};

	(void) state;
	advance(open_desk(&desk), "a/5:5:");
	parse(&late.position, "a/20:20:");
	parse(&soon.position, "a/4:4:");
	for (int i = 0; i < 4; i++)
		come(&v[i], &desk, (char) ('0' + i), "a/6:6:");
	v[0].next = &late;
	v[1].victim = &v[2];
	v[3].next = &soon;
	advance(&desk, "a/6:6:");
	assert_string_equal(desk.called, "013s");
	assert_non_null(desk.reach.waits);
	reach_cancel(&desk.reach, &late);
	assert_null(desk.reach.waits);
	position_release(&v[2].position);
	come(&v[2], &desk, '2', "a/30:30:");
	reach_release(&desk.reach);		/* nobody is called; nothing leaks, say the sanitizers */
	assert_string_equal(desk.called, "013s");
	for (int i = 0; i < 4; i++)
		position_release(&v[i].position);
	position_release(&late.position);
	position_release(&soon.position);
	position_release(&desk.now);
}

/* Who comes after the last one was taken back, or called, is behind those who are left. */
static void
test_end(void **state)
{
	struct desk desk;
	struct visitor v[6];

	(void) state;
	advance(open_desk(&desk), "a/5:5:");
	come(&v[0], &desk, '0', "a/9:9:");
	come(&v[1], &desk, '1', "a/9:9:");
	reach_cancel(&desk.reach, &v[1]);
	come(&v[2], &desk, '2', "a/7:7:");
	advance(&desk, "a/7:7:");
	assert_string_equal(desk.called, "2");
	come(&v[3], &desk, '3', "a/9:9:");
	reach_cancel(&desk.reach, &v[0]);
	reach_cancel(&desk.reach, &v[3]);
	assert_null(desk.reach.waits);
	come(&v[4], &desk, '4', "a/9:9:");
	come(&v[5], &desk, '5', "a/9:9:");
	advance(&desk, "a/9:9:");
	assert_string_equal(desk.called, "245");
	for (int i = 0; i < 6; i++)
		position_release(&v[i].position);
	position_release(&desk.now);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_within),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
