/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_slow.c
 *	  Readers too slow: merging and gaps, by readers that apply what they get and compare with one that got
 *	  everything.
 *
 * Links also: slow
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "session_state.h"
#include "vectors.h"

#define VIEWS 3
#define IDS 5

/* Whether a list of names has one. */
static bool
names_have(const json_t *list, const char *name)
{
	const json_t *one;
	size_t		i;

	json_array_foreach(list, i, one)
		if (strcmp(json_string_value(one), name) == 0)
			return true;
	return false;
}

/*
 * Applies an event to a list of rows by id, as the protocol's page tells clients to. A value that was left
 * out is kept; it is "?" when it is not known, as it has changed or the row is new.
 */
static void
apply(json_t *rows, const json_t *event)
{
	const char *action = json_string_value(json_object_get(event, "action"));
	const char *id = json_string_value(json_object_get(event, "id"));
	const json_t *omitted = json_object_get(json_object_get(event, "meta"), "omitted");
	json_t	   *known;
	json_t	   *row;
	size_t		i;
	json_t	   *name;

	if (strcmp(action, "truncated") == 0)
	{
		json_object_clear(rows);
		return;
	}
	if (strcmp(action, "deleted") == 0 || strcmp(action, "left") == 0)
	{
		json_object_del(rows, id);
		return;
	}
	if (strcmp(action, "created") != 0 && strcmp(action, "updated") != 0 && strcmp(action, "entered") != 0)
		return;
	known = json_object_get(rows, id);
	row = json_deep_copy(json_object_get(event, "data"));
	json_array_foreach(omitted, i, name)
	{
		const char *column = json_string_value(name);
		json_t	   *value = json_object_get(known, column);

		assert_null(json_object_get(row, column));
		if (value == NULL || json_object_get(json_object_get(event, "old"), column) != NULL)
			json_object_set_new(row, column, json_string("?"));
		else
			json_object_set(row, column, value);
	}
	json_object_set_new(rows, id, row);
}

static void
apply_all(json_t *rows, const json_t *events)
{
	const json_t *event;
	size_t		i;

	json_array_foreach(events, i, event)
		apply(rows, event);
}

/* One view of the test, and its reader. */
struct side
{
	struct view view;
	struct subscription subscription;
	json_t	   *full;			/* the rows, everything applied */
	json_t	   *got;			/* the rows as the reader has them */
	uint64_t	tx;				/* the last one that was pushed */
	uint64_t	got_tx;
	uint64_t	open_tx;		/* of which parts are to come */
	unsigned	part;
	unsigned	nmerged;
};

struct run
{
	struct options options;
	struct worker worker;
	struct session session;
	struct side sides[VIEWS];
	uint64_t	random;
	uint64_t	tx;
	unsigned	group;
	unsigned	number;			/* of positions and replies */
	struct
	{
		json_t	   *rows[VIEWS];	/* at a position, or before a reply */
		uint64_t	tx[VIEWS];
	}			marks[1000];
};

static char *all_actions[] = {"created", "updated", "deleted", "truncated"};
static char *more_actions[] = {"created", "updated", "deleted", "truncated", "status_changed"};

static struct run *
run_new(uint64_t seed)
{
	struct run *run = memory_alloc_zeroed(sizeof(*run));

	run->random = seed * 7919 + 1;
	run->options.max_queue = 1 << 30;
	run->worker.options = &run->options;
	run->session.worker = &run->worker;
	run->session.address = "test";
	outqueue_init(&run->session.queue);
	for (unsigned i = 0; i < VIEWS; i++)
	{
		struct side *side = &run->sides[i];

		snprintf(side->view.id, VIEW_ID_SIZE, "view%u", i);
		side->view.actions = i == 2 ? more_actions : all_actions;	/* the last one is never merged */
		side->view.nactions = i == 2 ? 5 : 4;
		side->subscription.view = &side->view;
		side->subscription.session = &run->session;
		side->subscription.next = run->session.subscriptions;
		run->session.subscriptions = &side->subscription;
		side->full = json_object();
		side->got = json_object();
	}
	return run;
}

static void
run_free(struct run *run)
{
	outqueue_release(&run->session.queue);
	for (unsigned i = 0; i < VIEWS; i++)
	{
		json_decref(run->sides[i].full);
		json_decref(run->sides[i].got);
	}
	for (unsigned n = 0; n < run->number; n++)
		for (unsigned i = 0; i < VIEWS; i++)
			json_decref(run->marks[n].rows[i]);
	memory_free(run);
}

/* Queues events of a transaction for a view, as a part; takes them over. */
static void
run_push(struct run *run, unsigned which, json_t *events, unsigned part, bool is_last)
{
	struct side *side = &run->sides[which];
	char	   *text = json_dumps(events, JSON_COMPACT | JSON_PRESERVE_ORDER);
	struct buffer out;
	struct frame *frame;

	buffer_init(&out);
	protocol_begin_commit(&out, side->view.id, run->tx, part, is_last, false);
	buffer_put(&out, text + 1, strlen(text) - 2);
	protocol_end_list(&out);
	frame = frame_new(FRAME_COMMIT, out.at, out.len);
	outqueue_push(&run->session.queue, frame, &side->subscription.owner, run->tx, run->group,
				  (enum priority) random_below(&run->random, 4));
	frame_unref(frame);
	buffer_release(&out);
	free(text);
	apply_all(side->full, events);
	side->tx = run->tx;
	json_decref(events);
}

/* Queues a position or a reply with a number, and notes what stands before it. */
static void
run_mark(struct run *run, bool is_reply)
{
	char		text[40];
	struct frame *frame;

	if (run->number == sizeof(run->marks) / sizeof(run->marks[0]))
		return;
	snprintf(text, sizeof(text), "%u ", run->number);
	for (unsigned i = 0; i < VIEWS; i++)
	{
		run->marks[run->number].rows[i] = json_deep_copy(run->sides[i].full);
		run->marks[run->number].tx[i] = run->sides[i].tx;
	}
	run->number++;
	frame = frame_new(is_reply ? FRAME_REPLY : FRAME_POSITION, text, strlen(text));
	if (is_reply)
		outqueue_push_reply(&run->session.queue, frame);
	else
		outqueue_push_position(&run->session.queue, frame);
	frame_unref(frame);
}

/* What the updates of a merged frame say of their rows' old values, before they are applied. */
static void
check_old(const struct side *side, const json_t *events)
{
	const json_t *event;
	size_t		i;

	json_array_foreach(events, i, event)
	{
		const char *id = json_string_value(json_object_get(event, "id"));
		json_t	   *row = json_object_get(side->got, id ? id : "");
		json_t	   *old = json_object_get(event, "old");
		const char *name;
		json_t	   *value;

		if (strcmp(json_string_value(json_object_get(event, "action")), "updated") != 0)
			continue;
		assert_non_null(row);
		assert_non_null(old);
		json_object_foreach(old, name, value)
		{
			json_t	   *before = json_object_get(row, name);

			if (before != NULL && !json_equal(before, value) && strcmp(json_string_value(before), "?") != 0)
				fail_msg("old %s of %s is not %s", name, json_dumps(event, 0), json_dumps(before, JSON_ENCODE_ANY));
		}
		json_object_foreach(json_object_get(event, "data"), name, value)
		{
			json_t	   *before = json_object_get(row, name);

			if (before != NULL && !json_equal(before, value) && json_object_get(old, name) == NULL
				&& !(json_is_string(before) && strcmp(json_string_value(before), "?") == 0))
				fail_msg("%s changed without an old value: %s", name, json_dumps(event, 0));
		}
	}
}

/* The reader takes a commit. */
static void
receive_commit(struct run *run, const char *text, size_t len)
{
	json_t	   *frame = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *events = json_object_get(frame, "events");
	bool		is_merged = json_object_get(frame, "merged") != NULL;
	bool		is_last = json_is_true(json_object_get(frame, "last"));
	struct side *side;
	uint64_t	tx;

	if (frame == NULL)
		fail_msg("no JSON: %.*s", (int) len, text);
	side = &run->sides[json_string_value(json_object_get(frame, "view"))[4] - '0'];
	tx = strtoull(json_string_value(json_object_get(frame, "tx")), NULL, 10);
	assert_true(json_array_size(events) > 0);
	assert_true(len <= PROTOCOL_PART_MAX || json_array_size(events) <= 2);
	if (side->open_tx == 0)
	{
		side->part = 0;
		assert_true(tx > side->got_tx);
	}
	else
		assert_int_equal(tx, side->open_tx);
	assert_int_equal(json_integer_value(json_object_get(frame, "part")), side->part++);
	if (is_merged)
	{
		assert_true(json_is_true(json_object_get(frame, "merged")));
		assert_true(side != &run->sides[2]);
		check_old(side, events);
		side->nmerged++;
	}
	side->open_tx = is_last ? 0 : tx;
	side->got_tx = tx;
	apply_all(side->got, events);
	json_decref(frame);
}

/* The reader takes a position or a reply: what came before it is there. */
static void
receive_mark(struct run *run, unsigned number, bool is_position)
{
	for (unsigned i = 0; i < VIEWS; i++)
	{
		struct side *side = &run->sides[i];

		if (side->subscription.gap != NULL)
			continue;
		assert_int_equal(side->open_tx, 0);
		if (is_position && !json_equal(side->got, run->marks[number].rows[i]))
			fail_msg("at position %u view %u has %s, not %s", number, i, json_dumps(side->got, 0),
					 json_dumps(run->marks[number].rows[i], 0));
		/* What was merged to nothing does not come. */
		if (!is_position && !json_equal(side->got, run->marks[number].rows[i]))
			assert_true(side->got_tx > run->marks[number].tx[i]);
	}
}

/* Some frames go out. */
static void
run_send(struct run *run, unsigned max)
{
	struct frame *frames[64];
	unsigned	n = outqueue_pending(&run->session.queue, frames, max > 64 ? 64 : max, 0);

	for (unsigned i = 0; i < n; i++)
	{
		struct slice payload = frame_payload(frames[i]);

		if (frame_kind(frames[i]) == FRAME_COMMIT)
			receive_commit(run, payload.at, payload.len);
		else
			receive_mark(run, (unsigned) strtoul(payload.at, NULL, 10),
						 frame_kind(frames[i]) == FRAME_POSITION);
	}
	outqueue_sent(&run->session.queue, n);
}

/* What a change is to a view: a row of the table, and whether the view has it. */
struct table
{
	json_t	   *rows[IDS];		/* NULL: there is none */
	bool		is_in[IDS][VIEWS];
};

static json_t *
new_event(struct run *run, const char *action, unsigned id, json_t *data, json_t *old, const json_t *omitted)
{
	char		text[24];
	json_t	   *event;
	json_t	   *meta = json_pack("{s:i,s:s,s:I}", "seq", 0, "priority", "normal", "n", (json_int_t) run->tx);

	snprintf(text, sizeof(text), "%u", id);
	if (json_array_size(omitted) > 0)
		json_object_set(meta, "omitted", (json_t *) omitted);
	event = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o*,s:o*,s:o}", "event", "f.e.x", "feature", "f", "entity", "e\\\"",
					  "action", action, "id", text, "data", data, "old", old, "meta", meta);
	assert_non_null(event);
	return event;
}

/* Changes some columns of a row: the values left out, and the old values. */
static void
change_row(struct run *run, json_t *row, json_t *old, json_t *omitted)
{
	static const char *const columns[] = {"a", "b", "x"};

	for (unsigned c = 0; c < 3; c++)
	{
		bool		is_changed = random_below(&run->random, 2);
		bool		is_large = c == 2 && random_below(&run->random, 2);

		if (is_changed)
		{
			json_t	   *before = json_object_get(row, columns[c]);

			if (before != NULL && strcmp(json_string_value(before), "large") != 0)
				json_object_set(old, columns[c], before);
			json_object_set_new(row, columns[c], is_large ? json_string("large")
								: json_sprintf("v%llu.%u", (unsigned long long) run->tx, random_below(&run->random, 3)));
		}
		/* A large value is left out, an unchanged one may be. */
		if (c == 2 && (strcmp(json_string_value(json_object_get(row, "x")), "large") == 0
					   || (!is_changed && random_below(&run->random, 2))))
			json_array_append_new(omitted, json_string("x"));
	}
}

/* The row without the values that are left out. */
static json_t *
without(const json_t *row, const json_t *omitted)
{
	json_t	   *data = json_deep_copy(row);

	if (names_have(omitted, "x"))
		json_object_del(data, "x");
	return data;
}

/* Adds a random change of the table to what each view gets of the transaction. */
static void
random_change(struct run *run, struct table *table, json_t **events)
{
	unsigned	id = random_below(&run->random, IDS);
	unsigned	what = random_below(&run->random, 40);
	json_t	   *old = json_object();
	json_t	   *omitted = json_array();

	if (what == 0)				/* truncated */
	{
		for (unsigned i = 0; i < IDS; i++)
		{
			json_decref(table->rows[i]);
			table->rows[i] = NULL;
			memset(table->is_in[i], 0, sizeof(table->is_in[i]));
		}
		for (unsigned v = 0; v < VIEWS; v++)
		{
			json_t	   *event = new_event(run, "truncated", 0, NULL, NULL, NULL);

			json_object_set_new(event, "id", json_null());
			json_array_append_new(events[v], event);
		}
	}
	else if (table->rows[id] == NULL)
	{
		table->rows[id] = vectors_text("{'a':'','b':'','x':''}");
		change_row(run, table->rows[id], old, omitted);
		for (unsigned v = 0; v < VIEWS; v++)
			if ((table->is_in[id][v] = random_below(&run->random, 3) > 0))
				json_array_append_new(events[v], new_event(run, "created", id, without(table->rows[id], omitted), NULL, omitted));
	}
	else if (what < 8)
	{
		for (unsigned v = 0; v < VIEWS; v++)
			if (table->is_in[id][v])
				json_array_append_new(events[v], new_event(run, "deleted", id, json_deep_copy(table->rows[id]), NULL, NULL));
		json_decref(table->rows[id]);
		table->rows[id] = NULL;
		memset(table->is_in[id], 0, sizeof(table->is_in[id]));
	}
	else
	{
		change_row(run, table->rows[id], old, omitted);
		for (unsigned v = 0; v < VIEWS; v++)
		{
			bool		was_in = table->is_in[id][v];
			bool		is_in = random_below(&run->random, 4) > 0;

			table->is_in[id][v] = is_in;
			if (was_in && is_in)
				json_array_append_new(events[v], new_event(run, "updated", id, without(table->rows[id], omitted),
														   json_deep_copy(old), omitted));
			else if (is_in)
				json_array_append_new(events[v], new_event(run, "entered", id, without(table->rows[id], omitted), NULL, omitted));
			else if (was_in)
				json_array_append_new(events[v], new_event(run, "left", id, NULL, NULL, NULL));
		}
	}
	json_decref(old);
	json_decref(omitted);
}

/* A transaction of some changes. */
static void
random_transaction(struct run *run, struct table *table)
{
	json_t	   *events[VIEWS];

	run->tx++;
	run->group++;
	for (unsigned v = 0; v < VIEWS; v++)
		events[v] = json_array();
	for (unsigned i = random_below(&run->random, 3) + 1; i > 0; i--)
		random_change(run, table, events);
	for (unsigned v = 0; v < VIEWS; v++)
	{
		size_t		n = json_array_size(events[v]);

		if (n > 1 && random_below(&run->random, 4) == 0)
		{
			json_t	   *first = json_array();

			json_array_append(first, json_array_get(events[v], 0));
			json_array_remove(events[v], 0);
			run_push(run, v, first, 0, false);
			run_push(run, v, events[v], 1, true);
		}
		else if (n > 0)
			run_push(run, v, events[v], 0, true);
		else
			json_decref(events[v]);
	}
}

/* The queue's account of its bytes is right. */
static void
check_bytes(const struct outqueue *queue)
{
	size_t		bytes = 0;

	for (unsigned i = 0; i < queue->count; i++)
	{
		assert_non_null(queue->entries[(queue->head + i) & (queue->room - 1)].frame);
		bytes += frame_payload(queue->entries[(queue->head + i) & (queue->room - 1)].frame).len;
	}
	assert_int_equal(bytes, queue->bytes);
}

/* Applying what was merged gives what applying everything gives, at every position and at the end. */
static void
test_merging(void **state)
{
	unsigned	nmerged = 0;

	(void) state;
	for (unsigned seed = 1; seed <= 150; seed++)
	{
		struct run *run = run_new(seed);
		struct table table;

		memset(&table, 0, sizeof(table));
		for (unsigned step = 0; step < 250; step++)
		{
			unsigned	what = random_below(&run->random, 100);

			if (what < 60)
				random_transaction(run, &table);
			else if (what < 75)
				run_mark(run, false);
			else if (what < 75 + seed % 4)
				run_mark(run, true);
			else if (what < 90)
				run_send(run, 1 + random_below(&run->random, 5));
			else
				session_relieve(&run->session, run->session.worker->options->max_queue);
			check_bytes(&run->session.queue);
		}
		run_mark(run, false);
		while (!outqueue_is_empty(&run->session.queue))
			run_send(run, 64);
		for (unsigned v = 0; v < VIEWS; v++)
		{
			assert_null(run->sides[v].subscription.gap);
			if (!json_equal(run->sides[v].got, run->sides[v].full))
				fail_msg("view %u has %s, not %s", v, json_dumps(run->sides[v].got, 0),
						 json_dumps(run->sides[v].full, 0));
			nmerged += run->sides[v].nmerged;
		}
		for (unsigned i = 0; i < IDS; i++)
			json_decref(table.rows[i]);
		run_free(run);
	}
	assert_true(nmerged > 500);
}

/* Queues one event for view 0. */
static void
push_one(struct run *run, const char *action, const char *id, const char *data, const char *old, const char *more)
{
	char		text[1000];

	snprintf(text, sizeof(text), "[{'event':'f.e.%s','feature':'f','entity':'e','action':'%s','id':%s%s%s%s%s,"
			 "'meta':{'seq':%u%s}}]", action, action, id, data ? ",'data':" : "", data ? data : "",
			 old ? ",'old':" : "", old ? old : "", (unsigned) run->tx, more);
	run->tx++;
	run->group++;
	run_push(run, 0, vectors_text(text), 0, true);
}

/* The only frame that waits has these events. */
static void
check_merged(struct run *run, const char *expected)
{
	struct frame *frames[2];
	struct slice payload;
	json_t	   *frame;
	json_t	   *wanted = vectors_text(expected);

	session_relieve(&run->session, run->session.worker->options->max_queue);
	assert_int_equal(outqueue_pending(&run->session.queue, frames, 2, 0), 1);
	payload = frame_payload(frames[0]);
	frame = json_loadb(payload.at, payload.len, 0, NULL);
	assert_non_null(frame);
	if (!json_equal(json_object_get(frame, "events"), wanted))
		fail_msg("%s", json_dumps(json_object_get(frame, "events"), 0));
	assert_int_equal(strtoull(json_string_value(json_object_get(frame, "tx")), NULL, 10), run->tx);
	json_decref(frame);
	json_decref(wanted);
	run_free(run);
}

#define NAMES(action) "'event':'f.e." action "','feature':'f','entity':'e','action':'" action "',"

static void
test_forms(void **state)
{
	struct run *run;

	(void) state;
	run = run_new(1);			/* several updates are one, with the first old values */
	push_one(run, "updated", "'1'", "{'a':2,'b':1}", "{'a':1}", "");
	push_one(run, "updated", "'1'", "{'a':3,'b':5}", "{'a':2,'b':1}", "");
	push_one(run, "updated", "'1'", "{'a':4,'b':5}", "{'a':3}", ",'n':7");
	check_merged(run, "[{" NAMES("updated") "'id':'1','data':{'a':4,'b':5},'old':{'a':1,'b':1},'meta':{'seq':2,'n':7,'merged':true}}]");

	run = run_new(1);			/* created and updated is created */
	push_one(run, "created", "'1'", "{'a':1}", NULL, "");
	push_one(run, "updated", "'1'", "{'a':2}", "{'a':1}", "");
	check_merged(run, "[{" NAMES("created") "'id':'1','data':{'a':2},'meta':{'seq':1,'merged':true}}]");

	run = run_new(1);			/* entered and updated is entered */
	push_one(run, "entered", "'1'", "{'a':1}", NULL, "");
	push_one(run, "updated", "'1'", "{'a':2}", "{'a':1}", "");
	check_merged(run, "[{" NAMES("entered") "'id':'1','data':{'a':2},'meta':{'seq':1,'merged':true}}]");

	run = run_new(1);			/* updated and deleted is deleted */
	push_one(run, "updated", "'1'", "{'a':2}", "{'a':1}", "");
	push_one(run, "deleted", "'1'", "{'a':2}", NULL, "");
	check_merged(run, "[{" NAMES("deleted") "'id':'1','data':{'a':2},'meta':{'seq':1,'merged':true}}]");

	run = run_new(1);			/* what left and came back says both: its old values are not known */
	push_one(run, "updated", "'1'", "{'a':2}", "{'a':1}", "");
	push_one(run, "left", "'1'", NULL, NULL, "");
	push_one(run, "entered", "'1'", "{'a':9}", NULL, "");
	push_one(run, "updated", "'1'", "{'a':10}", "{'a':9}", "");
	check_merged(run, "[{" NAMES("left") "'id':'1','meta':{'seq':1}},"
				 "{" NAMES("entered") "'id':'1','data':{'a':10},'meta':{'seq':3,'merged':true}}]");

	run = run_new(1);			/* truncated drops what was before */
	push_one(run, "updated", "'1'", "{'a':2}", "{'a':1}", "");
	push_one(run, "truncated", "null", "null", NULL, "");
	push_one(run, "created", "'1'", "{'a':3}", NULL, "");
	check_merged(run, "[{" NAMES("truncated") "'id':null,'data':null,'meta':{'seq':1}},"
				 "{" NAMES("created") "'id':'1','data':{'a':3},'meta':{'seq':2}}]");

	run = run_new(1);			/* a value that was left out later is the one that came before */
	push_one(run, "updated", "'1'", "{'a':2,'x':'new'}", "{'x':'old'}", "");
	push_one(run, "updated", "'1'", "{'a':3}", "{'a':2}", ",'omitted':['x','y']");
	check_merged(run, "[{" NAMES("updated") "'id':'1','data':{'a':3,'x':'new'},'old':{'x':'old','a':2},"
				 "'meta':{'seq':1,'omitted':['y'],'merged':true}}]");

	run = run_new(1);			/* unless it changed */
	push_one(run, "updated", "'1'", "{'a':2,'x':'new'}", "{'x':'old'}", "");
	push_one(run, "updated", "'1'", "{'a':2}", "{'x':'new'}", ",'omitted':['x']");
	check_merged(run, "[{" NAMES("updated") "'id':'1','data':{'a':2},'old':{'x':'old'},"
				 "'meta':{'seq':1,'omitted':['x'],'merged':true}}]");

	run = run_new(1);			/* keys of several columns */
	push_one(run, "updated", "{'p':'1','w':'n'}", "{'a':2}", "{'a':1}", "");
	push_one(run, "updated", "{'p':'1','w':'s'}", "{'a':7}", "{'a':6}", "");
	push_one(run, "updated", "{'p':'1','w':'n'}", "{'a':3}", "{'a':2}", "");
	check_merged(run, "[{" NAMES("updated") "'id':{'p':'1','w':'s'},'data':{'a':7},'old':{'a':6},'meta':{'seq':1}},"
				 "{" NAMES("updated") "'id':{'p':'1','w':'n'},'data':{'a':3},'old':{'a':1},'meta':{'seq':2,'merged':true}}]");
}

/* What came and went leaves nothing, and nothing of the queue stays but a reply before it. */
static void
test_nothing_left(void **state)
{
	struct run *run = run_new(1);
	struct frame *frames[4];

	(void) state;
	push_one(run, "updated", "'7'", "{'a':1}", "{'a':0}", "");
	push_one(run, "updated", "'7'", "{'a':2}", "{'a':1}", "");
	run_mark(run, true);
	push_one(run, "created", "'1'", "{'a':1}", NULL, "");
	run_mark(run, false);
	push_one(run, "deleted", "'1'", "{'a':1}", NULL, "");
	run_mark(run, false);
	session_relieve(&run->session, run->session.worker->options->max_queue);
	assert_true(run->session.has_news);	/* a position follows */
	assert_int_equal(outqueue_pending(&run->session.queue, frames, 4, 0), 3);	/* what stands before the reply is not touched */
	assert_int_equal(frame_kind(frames[2]), FRAME_REPLY);
	assert_int_equal(run->session.queue.count, 3);
	run_free(run);
}

/* What is large comes in parts, in the place of the last. */
static void
test_large(void **state)
{
	struct run *run = run_new(1);
	char	   *big = memory_alloc_zeroed(60001);
	struct frame *frames[128];
	unsigned	n;

	(void) state;
	memset(big, 'x', 60000);
	for (unsigned i = 0; i < 60; i++)
	{
		run->tx++;
		run->group++;
		run_push(run, 0, json_pack("[o]", new_event(run, i < 20 ? "created" : "updated", i % 20,
													json_pack("{s:s,s:i}", "big", big, "i", i),
													i < 20 ? NULL : json_pack("{s:i}", "i", i - 20), NULL)), 0, true);
		/* Another view's commit in the same transaction, and later ones. */
		run_push(run, 2, json_pack("[o]", new_event(run, "created", 100 + i, json_object(), NULL, NULL)), 0, true);
	}
	session_relieve(&run->session, run->session.worker->options->max_queue);
	check_bytes(&run->session.queue);
	n = outqueue_pending(&run->session.queue, frames, 128, 0);
	assert_int_equal(n, 60 + 5);
	while (!outqueue_is_empty(&run->session.queue))
		run_send(run, 64);
	assert_int_equal(run->sides[0].nmerged, 5);
	assert_int_equal(run->sides[0].open_tx, 0);
	for (unsigned v = 0; v < VIEWS; v++)
		assert_true(json_equal(run->sides[v].got, run->sides[v].full));
	memory_free(big);
	run_free(run);
}

/* When merging does not suffice, what waits is dropped, and each view that lost something is to get a gap. */
static void
test_gaps(void **state)
{
	struct run *run = run_new(1);
	struct frame *gap = frame_new(FRAME_GAP, "x", 1);
	struct frame *frames[8];

	(void) state;
	run->options.max_queue = 10;
	run_mark(run, false);
	push_one(run, "updated", "'1'", "{'a':1}", "{'a':0}", "");
	assert_int_equal(outqueue_pending(&run->session.queue, frames, 8, 0), 2);	/* sealed */
	push_one(run, "updated", "'1'", "{'a':2}", "{'a':1}", "");
	run_mark(run, true);
	push_one(run, "updated", "'1'", "{'a':3}", "{'a':2}", "");
	push_one(run, "updated", "'1'", "{'a':4}", "{'a':3}", "");
	outqueue_push(&run->session.queue, gap, &run->sides[2].subscription.owner, 9, ++run->group, PRIORITY_LOW);
	frame_unref(gap);
	run_mark(run, false);
	session_relieve(&run->session, run->session.worker->options->max_queue);
	check_bytes(&run->session.queue);
	/* What is sealed, and what stands before the last reply, stays. */
	assert_int_equal(run->session.queue.count, 4);
	assert_string_equal(run->sides[0].subscription.gap, "slow");
	assert_null(run->sides[1].subscription.gap);
	assert_string_equal(run->sides[2].subscription.gap, "slow");
	assert_int_equal(run->session.ngaps, 2);
	session_relieve(&run->session, run->session.worker->options->max_queue);
	assert_int_equal(run->session.ngaps, 2);
	run_free(run);
}

/* A view that is being caught up is left alone, and an ended one's frames are nobody's loss. */
static void
test_left_alone(void **state)
{
	struct run *run = run_new(1);
	struct frame *frames[8];

	(void) state;
	run->options.max_queue = 10;
	run->sides[0].subscription.catchup = (struct catchup *) &run->options;	/* not looked into */
	push_one(run, "updated", "'1'", "{'a':3}", "{'a':2}", "");
	push_one(run, "updated", "'1'", "{'a':4}", "{'a':3}", "");
	run->group++;
	run_push(run, 1, json_pack("[o]", new_event(run, "created", 1, json_object(), NULL, NULL)), 0, true);
	outqueue_disown(&run->session.queue, &run->sides[1].subscription.owner);
	session_relieve(&run->session, run->session.worker->options->max_queue);
	assert_int_equal(outqueue_pending(&run->session.queue, frames, 8, 0), 2);
	assert_int_equal(run->session.ngaps, 0);
	run_free(run);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_left_alone),
	};

	return cmocka_run_group_tests_name("slow", tests, NULL, NULL);
}
