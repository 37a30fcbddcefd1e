/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_hold.c
 *	  Windows: what is held, when and how it is given on. How events are merged: test_merge.c.
 *
 * The session's and the worker's part is this test's: positions and touches are counted.
 *
 * Links also: hold
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hold.h"
#include "loop.h"
#include "memory.h"
#include "session_state.h"
#include "stats.h"
#include "vectors.h"

/* One session with three subscriptions: windows of a minute, of some milliseconds, and the same view again. */
struct desk
{
	struct loop *loop;
	struct worker worker;
	struct session session;
	struct view views[2];
	struct subscription slow;
	struct subscription fast;
	unsigned	positions;
	unsigned	touches;
	unsigned	stop_at;		/* positions */
	bool		is_open;		/* of the last transaction more is to come */
};

static struct desk *desk;

void
session_push_position(struct session *session)
{
	assert_ptr_equal(session, &desk->session);
	if (session->hold != NULL)
		return;
	desk->positions++;
	if (desk->positions == desk->stop_at)
		loop_stop(desk->loop);
}

bool
hub_stream_is_inside(const struct hub_stream *stream)
{
	(void) stream;
	return desk->is_open;
}

void
worker_touch(struct worker *worker, struct session *session)
{
	assert_ptr_equal(worker, &desk->worker);
	assert_ptr_equal(session, &desk->session);
	desk->touches++;
}

static void
add(struct subscription *subscription, struct view *view, const char *id, unsigned window_ms)
{
	snprintf(view->id, sizeof(view->id), "%s", id);
	subscription->view = view;
	subscription->session = &desk->session;
	subscription->window_ms = window_ms;
	subscription->next = desk->session.subscriptions;
	desk->session.subscriptions = subscription;
}

static int
set_up(void **state)
{
	(void) state;
	desk = memory_alloc_zeroed(sizeof(*desk));
	desk->loop = loop_new();
	desk->session.worker = &desk->worker;
	outqueue_init(&desk->session.queue);
	holds_init(&desk->worker.holds, desk->loop, &desk->worker);
	add(&desk->slow, &desk->views[0], "slow", 60000);
	add(&desk->fast, &desk->views[1], "fast", 20);
	return 0;
}

/* Nothing is left: every byte that was counted is counted off. */
static int
tear_down(void **state)
{
	(void) state;
	hold_drop(&desk->session);
	stats_add(STAT_QUEUE_BYTES, -(int64_t) desk->session.queue.bytes);
	assert_int_equal(stats_get(STAT_QUEUE_BYTES), 0);
	outqueue_release(&desk->session.queue);
	holds_release(&desk->worker.holds);
	loop_turn(desk->loop);
	loop_free(desk->loop);
	memory_free(desk);
	return 0;
}

/* A transaction that updates row 1 comes for a subscription; whether it is held. */
static bool
come(struct subscription *subscription, uint64_t tx)
{
	struct delivery delivery = {NULL, tx, PRIORITY_NORMAL, 1, NULL};
	struct buffer out;
	char		text[300];
	bool		is_held;

	desk->worker.group++;
	buffer_init(&out);
	protocol_begin_commit(&out, subscription->view->id, tx, 0, true, false);
	snprintf(text, sizeof(text), "{\"event\":\"f.e.updated\",\"feature\":\"f\",\"entity\":\"e\",\"action\":\"updated\","
			 "\"id\":\"1\",\"data\":{\"n\":%u},\"old\":{\"n\":%u},\"meta\":{\"tx\":\"%u\",\"seq\":0}}",
			 (unsigned) tx, (unsigned) tx - 1, (unsigned) tx);
	buffer_puts(&out, text);
	protocol_end_list(&out);
	delivery.frame = frame_new(FRAME_COMMIT, out.at, out.len);
	is_held = hold_takes(&desk->session, subscription, &delivery);
	frame_unref(delivery.frame);
	buffer_release(&out);
	return is_held;
}

/* The queue's commits in short: view, transaction, + when merged. */
static void
check_queue(const char *expected)
{
	struct buffer got;
	const struct outqueue_entry *entry;

	buffer_init(&got);
	for (unsigned i = 0; (entry = outqueue_unsealed(&desk->session.queue, i)) != NULL; i++)
	{
		struct slice payload = frame_payload(entry->frame);
		json_t	   *frame = json_loadb(payload.at, payload.len, JSON_REJECT_DUPLICATES, NULL);

		buffer_puts(&got, i ? " " : "");
		buffer_puts(&got, json_string_value(json_object_get(frame, "view")));
		buffer_puts(&got, json_string_value(json_object_get(frame, "tx")));
		buffer_puts(&got, json_object_get(frame, "merged") ? "+" : "");
		assert_int_equal(entry->tx, strtoul(json_string_value(json_object_get(frame, "tx")), NULL, 10));
		json_decref(frame);
	}
	buffer_put(&got, "", 1);
	assert_string_equal(got.at, expected);
	buffer_release(&got);
}

/* The shortest window ends all that is held, and a position follows. */
static void
test_window(void **state)
{
	int64_t		merged = stats_get(STAT_COALESCED);
	int64_t		windows = stats_get(STAT_WINDOWS);

	(void) state;
	assert_true(come(&desk->slow, 1));
	assert_true(come(&desk->slow, 2));
	assert_true(come(&desk->fast, 2));
	assert_true(come(&desk->slow, 3));
	check_queue("");
	desk->stop_at = 1;
	loop_run(desk->loop);
	check_queue("fast2 slow3+");
	assert_null(desk->session.hold);
	assert_true(desk->session.has_news);
	assert_true(desk->touches > 0);
	assert_int_equal(stats_get(STAT_COALESCED) - merged, 2);
	assert_int_equal(stats_get(STAT_WINDOWS) - windows, 1);

	/* And the next one. */
	assert_true(come(&desk->fast, 4));
	desk->stop_at = 2;
	loop_run(desk->loop);
	check_queue("fast2 slow3+ fast4");
}

/* A window does not end within a read. */
static void
test_within_read(void **state)
{
	(void) state;
	assert_true(come(&desk->fast, 1));
	desk->worker.is_inside = true;
	for (unsigned i = 0; i < 100; i++)
		loop_turn(desk->loop);
	check_queue("");
	desk->worker.is_inside = false;
	desk->stop_at = 1;
	loop_run(desk->loop);
	check_queue("fast1");
}

/* What must not wait: gaps, who catches up, a session that waits for a sync. */
static void
test_not_held(void **state)
{
	struct delivery gap = {NULL, 1, PRIORITY_NORMAL, 0, "bulk"};
	struct session_sync sync = {.tx = 9};

	(void) state;
	assert_false(hold_takes(&desk->session, &desk->fast, &gap));
	desk->session.ncatchups = 1;
	assert_false(come(&desk->fast, 1));
	desk->session.ncatchups = 0;
	desk->session.syncs = &sync;
	assert_false(come(&desk->fast, 2));
	desk->session.syncs = NULL;
	assert_null(desk->session.hold);
	assert_true(come(&desk->fast, 3));
	assert_non_null(desk->session.hold);
}

/* When a transaction is asked for that is held, nothing is merged. */
static void
test_asked(void **state)
{
	(void) state;
	for (uint64_t tx = 1; tx <= 3; tx++)
		assert_true(come(&desk->slow, tx));
	assert_true(come(&desk->fast, 2));
	hold_end(&desk->session, 2);
	check_queue("slow1 slow2 slow3 fast2");
	assert_int_equal(desk->positions, 0);	/* the caller's */
	hold_end(&desk->session, 2);	/* nothing is held */
	check_queue("slow1 slow2 slow3 fast2");

	/* One that is not held. */
	for (uint64_t tx = 4; tx <= 6; tx++)
		assert_true(come(&desk->slow, tx));
	hold_end(&desk->session, 9);
	check_queue("slow1 slow2 slow3 fast2 slow6+");
}

/* A transaction of a writer; NULL: of nobody. */
static bool
come_from(const char *writer, uint64_t tx)
{
	struct event event = {.user = {writer, writer != NULL ? strlen(writer) : 0}};
	struct chunk chunk = {.nevents = 1, .events = &event};
	bool		is_held;

	desk->worker.chunk = &chunk;
	is_held = come(&desk->slow, tx);
	desk->worker.chunk = NULL;
	return is_held;
}

/* Transactions of the session's user and of others are not merged with each other. */
static void
test_own(void **state)
{
	static const char *const writers[] = {"eve", NULL, "ad\\u0061", "ada", "adam", "ad", "ada", "\\u0061", "\\\\"};
	struct identity identity = {.user = "ada"};

	(void) state;
	desk->session.identity = &identity;
	for (unsigned i = 0; i < sizeof(writers) / sizeof(writers[0]); i++)
		assert_true(come_from(writers[i], i + 1));
	check_queue("slow2+ slow4+ slow6+ slow7");
	hold_end_told(&desk->session, 0);
	check_queue("slow2+ slow4+ slow6+ slow7 slow9+");
	assert_int_equal(desk->positions, 1);

	/* A part of his transaction follows: nothing ends, it stays whole. */
	assert_true(come_from("eve", 10));
	assert_true(come_from("ada", 11));
	desk->is_open = true;
	desk->worker.group--;
	assert_true(come_from("ada", 11));
	check_queue("slow2+ slow4+ slow6+ slow7 slow9+ slow10");
	desk->is_open = false;

	/* Who is nobody has no transactions of his own. */
	identity.user = NULL;
	hold_end(&desk->session, 0);
	assert_true(come_from("ada", 12));
	assert_true(come_from(NULL, 13));
	hold_end(&desk->session, 0);
	check_queue("slow2+ slow4+ slow6+ slow7 slow9+ slow10 slow11 slow11 slow13+");
	desk->session.identity = NULL;
}

/* A transaction of which more is to come stays whole, whatever ends before. */
static void
test_open(void **state)
{
	(void) state;
	assert_true(come(&desk->slow, 1));
	assert_true(come(&desk->slow, 2));
	assert_true(come(&desk->slow, 3));
	desk->is_open = true;
	hold_end(&desk->session, 0);
	check_queue("slow2+");
	assert_non_null(desk->session.hold);
	desk->worker.group--;		/* its next part */
	assert_true(come(&desk->slow, 3));
	hold_end_told(&desk->session, 0);
	check_queue("slow2+");
	assert_int_equal(desk->positions, 0);
	desk->is_open = false;
	assert_true(come(&desk->slow, 4));
	hold_end_told(&desk->session, 0);
	check_queue("slow2+ slow4+");
	assert_int_equal(desk->positions, 1);
	assert_null(desk->session.hold);
}

/* What is held counts as the queue does. */
static void
test_full(void **state)
{
	(void) state;
	assert_false(hold_is_full(&desk->session, 0));
	assert_true(come(&desk->slow, 1));
	assert_true(stats_get(STAT_QUEUE_BYTES) > 0);
	assert_true(hold_is_full(&desk->session, (size_t) stats_get(STAT_QUEUE_BYTES) - 1));
	assert_false(hold_is_full(&desk->session, (size_t) stats_get(STAT_QUEUE_BYTES)));
	desk->session.queue.bytes++;
	assert_true(hold_is_full(&desk->session, (size_t) stats_get(STAT_QUEUE_BYTES)));
	desk->session.queue.bytes--;
}

/* A subscription ends: nothing of it comes, others' stays; what waited for it alone waits no more. */
static void
test_drop_subscription(void **state)
{
	(void) state;
	assert_true(come(&desk->slow, 1));
	assert_true(come(&desk->fast, 1));
	assert_true(come(&desk->slow, 2));
	hold_drop_subscription(&desk->session, &desk->slow);
	assert_int_equal(desk->positions, 0);
	hold_drop_subscription(&desk->session, &desk->slow);
	desk->stop_at = 1;
	loop_run(desk->loop);
	check_queue("fast1");

	assert_true(come(&desk->slow, 3));
	hold_drop_subscription(&desk->session, &desk->slow);
	assert_null(desk->session.hold);
	assert_int_equal(desk->positions, 2);
	check_queue("fast1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_window, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_within_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_held, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_drop_subscription, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
