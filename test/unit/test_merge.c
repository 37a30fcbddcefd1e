/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_merge.c
 *	  What a window makes of the commits that it held: each rule, and random histories. Merging for slow readers:
 *	  test_slow.c.
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
#include "merge.h"
#include "vectors.h"

/* Commits of one view in a queue. */
struct pile
{
	struct view view;
	struct subscription subscription;
	struct outqueue queue;
	unsigned	tx;
};

static void
pile_init(struct pile *pile)
{
	memset(pile, 0, sizeof(*pile));
	strcpy(pile->view.id, "7");
	pile->subscription.view = &pile->view;
	outqueue_init(&pile->queue);
}

/* Queues a list of events as a part of the transaction at hand. */
static void
push(struct pile *pile, const json_t *events, unsigned part, bool is_last)
{
	char	   *text = json_dumps(events, JSON_COMPACT | JSON_PRESERVE_ORDER);
	struct buffer out;
	struct frame *frame;

	buffer_init(&out);
	protocol_begin_commit(&out, pile->view.id, pile->tx, part, is_last, false);
	buffer_put(&out, text + 1, strlen(text) - 2);
	protocol_end_list(&out);
	frame = frame_new(FRAME_COMMIT, out.at, out.len);
	outqueue_push(&pile->queue, frame, &pile->subscription.owner, pile->tx, pile->tx, PRIORITY_NORMAL);
	frame_unref(frame);
	buffer_release(&out);
	free(text);
}

/* An event of feature f; its meta has tx, and more. */
static json_t *
event(unsigned tx, const char *entity, const char *action, const char *id, const char *members, const char *more)
{
	char		text[1000];
	char		number[20];
	json_t	   *made;

	snprintf(number, sizeof(number), "%u", tx);
	snprintf(text, sizeof(text), "{'event':'f.%s.%s','feature':'f','entity':'%s','action':'%s','id':%s%s,"
			 "'meta':{'tx':'%s','seq':0%s}}", entity, action, entity, action, id, members, number, more);
	made = vectors_text(text);
	return made;
}

/* A transaction of one event. */
static void
one(struct pile *pile, const char *action, const char *id, const char *members, const char *more)
{
	json_t	   *events = json_array();

	pile->tx++;
	json_array_append_new(events, event(pile->tx, "e", action, id, members, more));
	push(pile, events, 0, true);
	json_decref(events);
}

/* All events that the queue has, and that its frames are parts of one merged commit. */
static json_t *
take_events(struct pile *pile)
{
	json_t	   *events = json_array();
	const struct outqueue_entry *entry;

	for (unsigned i = 0; (entry = outqueue_unsealed(&pile->queue, i)) != NULL; i++)
	{
		struct slice payload = frame_payload(entry->frame);
		json_t	   *frame = json_loadb(payload.at, payload.len, JSON_REJECT_DUPLICATES, NULL);

		if (frame == NULL)
			fail_msg("no JSON: %.*s", (int) payload.len, payload.at);
		assert_true(json_is_true(json_object_get(frame, "merged")));
		assert_int_equal(json_integer_value(json_object_get(frame, "part")), i);
		assert_int_equal(json_is_true(json_object_get(frame, "last")), i + 1 == pile->queue.count);
		assert_int_equal(strtoul(json_string_value(json_object_get(frame, "tx")), NULL, 10), pile->tx);
		assert_true(json_array_size(json_object_get(frame, "events")) > 0);
		assert_true(payload.len <= PROTOCOL_PART_MAX || json_array_size(json_object_get(frame, "events")) == 1);
		json_array_extend(events, json_object_get(frame, "events"));
		json_decref(frame);
	}
	return events;
}

/* What was queued becomes this, with so many events less. */
static void
check(struct pile *pile, unsigned ngone, const char *expected)
{
	json_t	   *wanted = vectors_text(expected);
	json_t	   *got;
	unsigned	n = 99;

	assert_true(merge_commits(&pile->queue, &pile->subscription, 0, MERGE_WINDOW, NULL, &n));
	outqueue_compact(&pile->queue);
	got = take_events(pile);
	if (!json_equal(got, wanted))
		fail_msg("%s\n  is not\n%s", json_dumps(got, 0), json_dumps(wanted, 0));
	assert_int_equal(n, ngone);
	json_decref(got);
	json_decref(wanted);
	outqueue_release(&pile->queue);
	pile_init(pile);
}

#define HEAD(action) "{'event':'f.e." action "','feature':'f','entity':'e','action':'" action "',"
#define ROW(data) ",'data':" data
#define UPDATE(data, before) ",'data':" data ",'old':" before
#define META(tx) "'meta':{'tx':'" tx "','seq':0}}"
#define MERGED(tx) "'meta':{'tx':'" tx "','seq':0,'merged':true}}"

/* Events of a row that is in the view. */
static void
test_rows(void **state)
{
	struct pile pile;

	(void) state;
	pile_init(&pile);			/* the last state, with the first old values */
	one(&pile, "updated", "'1'", UPDATE("{'a':2,'b':1}", "{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':3,'b':5}", "{'a':2,'b':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':4,'b':5}", "{'a':3}"), "");
	check(&pile, 2, "[" HEAD("updated") "'id':'1','data':{'a':4,'b':5},'old':{'a':1,'b':1}," MERGED("3") "]");

	one(&pile, "created", "'1'", ROW("{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	check(&pile, 1, "[" HEAD("created") "'id':'1','data':{'a':2}," MERGED("2") "]");

	/* rows stand where their last change stood */
	one(&pile, "created", "'1'", ROW("{'a':1}"), "");
	one(&pile, "created", "'2'", ROW("{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	check(&pile, 1, "[" HEAD("created") "'id':'2','data':{'a':1}," META("2") ","
		  HEAD("created") "'id':'1','data':{'a':2}," MERGED("3") "]");

	/* keys of several columns */
	one(&pile, "updated", "{'p':'1','w':'n'}", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "updated", "{'p':'1','w':'s'}", UPDATE("{'a':7}", "{'a':6}"), "");
	one(&pile, "updated", "{'p':'1','w':'n'}", UPDATE("{'a':3}", "{'a':2}"), "");
	check(&pile, 1, "[" HEAD("updated") "'id':{'p':'1','w':'s'},'data':{'a':7},'old':{'a':6}," META("2") ","
		  HEAD("updated") "'id':{'p':'1','w':'n'},'data':{'a':3},'old':{'a':1}," MERGED("3") "]");
}

/* What went is always told, and ends what is merged. */
static void
test_deletes(void **state)
{
	struct pile pile;

	(void) state;
	pile_init(&pile);
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "deleted", "'1'", ROW("{'a':2}"), "");
	check(&pile, 1, "[" HEAD("deleted") "'id':'1','data':{'a':2}," MERGED("2") "]");

	one(&pile, "created", "'1'", ROW("{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "deleted", "'1'", ROW("{'a':2}"), "");
	check(&pile, 2, "[" HEAD("deleted") "'id':'1','data':{'a':2}," MERGED("3") "]");

	one(&pile, "deleted", "'1'", ROW("{'a':1}"), "");
	one(&pile, "created", "'1'", ROW("{'a':5}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':6}", "{'a':5}"), "");
	one(&pile, "deleted", "'1'", ROW("{'a':6}"), "");
	one(&pile, "created", "'1'", ROW("{'a':9}"), "");
	check(&pile, 2, "[" HEAD("deleted") "'id':'1','data':{'a':1}," META("1") ","
		  HEAD("deleted") "'id':'1','data':{'a':6}," MERGED("4") ","
		  HEAD("created") "'id':'1','data':{'a':9}," META("5") "]");

	/* a key that changes: where the row came from stays */
	one(&pile, "deleted", "'1'", ROW("{'a':1}"), ",'newId':'2'");
	one(&pile, "created", "'2'", ROW("{'a':1}"), ",'oldId':'1'");
	one(&pile, "updated", "'2'", UPDATE("{'a':2}", "{'a':1}"), "");
	check(&pile, 1, "[" HEAD("deleted") "'id':'1','data':{'a':1},'meta':{'tx':'1','seq':0,'newId':'2'}},"
		  HEAD("created") "'id':'2','data':{'a':2},'meta':{'tx':'3','seq':0,'oldId':'1','merged':true}}]");
}

/* The edges of filtered views. */
static void
test_edges(void **state)
{
	struct pile pile;

	(void) state;
	pile_init(&pile);
	one(&pile, "entered", "'1'", ROW("{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	check(&pile, 1, "[" HEAD("entered") "'id':'1','data':{'a':2}," MERGED("2") "]");

	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "left", "'1'", "", "");
	check(&pile, 1, "[" HEAD("left") "'id':'1'," MERGED("2") "]");

	one(&pile, "left", "'1'", "", "");
	one(&pile, "entered", "'1'", ROW("{'a':4}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':5}", "{'a':4}"), "");
	check(&pile, 1, "[" HEAD("left") "'id':'1'," META("1") "," HEAD("entered") "'id':'1','data':{'a':5}," MERGED("3") "]");

	one(&pile, "entered", "'1'", ROW("{'a':4}"), "");
	one(&pile, "left", "'1'", "", "");
	check(&pile, 1, "[" HEAD("left") "'id':'1'," MERGED("2") "]");
}

/* Values that events leave out. */
static void
test_omitted(void **state)
{
	struct pile pile;

	(void) state;
	pile_init(&pile);			/* unchanged since: the one that came before */
	one(&pile, "updated", "'1'", UPDATE("{'a':2,'x':'new'}", "{'x':'old'}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':3}", "{'a':2}"), ",'omitted':['x','y']");
	check(&pile, 1, "[" HEAD("updated") "'id':'1','data':{'a':3,'x':'new'},'old':{'x':'old','a':2},"
		  "'meta':{'tx':'2','seq':0,'omitted':['y'],'merged':true}}]");

	one(&pile, "created", "'1'", ROW("{'a':1,'x':'new'}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), ",'omitted':['x']");
	one(&pile, "updated", "'1'", UPDATE("{'a':3}", "{'a':2}"), ",'omitted':['x']");
	check(&pile, 2, "[" HEAD("created") "'id':'1','data':{'a':3,'x':'new'}," MERGED("3") "]");

	/* changed: not known any more */
	one(&pile, "updated", "'1'", UPDATE("{'a':2,'x':'new'}", "{'x':'old'}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'x':'new'}"), ",'omitted':['x']");
	check(&pile, 1, "[" HEAD("updated") "'id':'1','data':{'a':2},'old':{'x':'old'},"
		  "'meta':{'tx':'2','seq':0,'omitted':['x'],'merged':true}}]");

	/* what left and came back: what was known before it left is not carried over */
	one(&pile, "updated", "'1'", UPDATE("{'a':2,'x':'new'}", "{'x':'old'}"), "");
	one(&pile, "left", "'1'", "", "");
	one(&pile, "entered", "'1'", ROW("{'a':3}"), ",'omitted':['x']");
	check(&pile, 1, "[" HEAD("left") "'id':'1'," MERGED("2") ","
		  HEAD("entered") "'id':'1','data':{'a':3},'meta':{'tx':'3','seq':0,'omitted':['x']}}]");
}

/* All other events stay, in their place. */
static void
test_others(void **state)
{
	struct pile pile;

	(void) state;
	pile_init(&pile);			/* an event of the row: nothing of the row is merged across it */
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':3}", "{'a':2}"), "");
	one(&pile, "status_changed", "'1'", ROW("{'old_status':'p','new_status':'q'}"), "");
	one(&pile, "updated", "'2'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':4}", "{'a':3}"), "");
	one(&pile, "updated", "'2'", UPDATE("{'a':3}", "{'a':2}"), "");
	one(&pile, "approved", "'1'", ROW("{'a':4}"), "");
	check(&pile, 2, "[" HEAD("updated") "'id':'1','data':{'a':3},'old':{'a':1}," MERGED("2") ","
		  HEAD("status_changed") "'id':'1','data':{'old_status':'p','new_status':'q'}," META("3") ","
		  HEAD("updated") "'id':'1','data':{'a':4},'old':{'a':3}," META("5") ","
		  HEAD("updated") "'id':'2','data':{'a':3},'old':{'a':1}," MERGED("6") ","
		  HEAD("approved") "'id':'1','data':{'a':4}," META("7") "]");

	/* one without row: of no row */
	one(&pile, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&pile, "news", "null", ROW("{'n':1}"), "");
	one(&pile, "news", "null", ROW("{'n':1}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':3}", "{'a':2}"), "");
	one(&pile, "bulk_updated", "null", ROW("{'count':9,'keys':null}"), "");
	one(&pile, "updated", "'1'", UPDATE("{'a':4}", "{'a':3}"), "");
	one(&pile, "truncated", "null", ROW("null"), "");
	one(&pile, "created", "'1'", ROW("{'a':5}"), "");
	check(&pile, 0, "[" HEAD("updated") "'id':'1','data':{'a':2},'old':{'a':1}," META("1") ","
		  HEAD("news") "'id':null,'data':{'n':1}," META("2") "," HEAD("news") "'id':null,'data':{'n':1}," META("3") ","
		  HEAD("updated") "'id':'1','data':{'a':3},'old':{'a':2}," META("4") ","
		  HEAD("bulk_updated") "'id':null,'data':{'count':9,'keys':null}," META("5") ","
		  HEAD("updated") "'id':'1','data':{'a':4},'old':{'a':3}," META("6") ","
		  HEAD("truncated") "'id':null,'data':null," META("7") "," HEAD("created") "'id':'1','data':{'a':5}," META("8") "]");
}

/* With wildcards, rows of two entities with one id are two rows. */
static void
test_entities(void **state)
{
	struct pile pile;
	json_t	   *events;
	unsigned	ngone;

	(void) state;
	pile_init(&pile);
	for (pile.tx = 1; pile.tx <= 4; pile.tx++)
	{
		events = json_array();
		json_array_append_new(events, event(pile.tx, pile.tx % 2 ? "e" : "e2", "updated", "'1'",
											UPDATE("{'a':2}", "{'a':1}"), ""));
		push(&pile, events, 0, true);
		json_decref(events);
	}
	pile.tx = 4;
	assert_true(merge_commits(&pile.queue, &pile.subscription, 0, MERGE_WINDOW, NULL, &ngone));
	outqueue_compact(&pile.queue);
	assert_int_equal(ngone, 2);
	events = take_events(&pile);
	assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "entity")), "e");
	assert_string_equal(json_string_value(json_object_get(json_array_get(events, 1), "entity")), "e2");
	json_decref(events);
	outqueue_release(&pile.queue);
}

/* A transaction alone stays as it is, in all its parts; so does what is not the subscription's. */
static void
test_alone(void **state)
{
	struct pile pile;
	struct subscription other = {.view = NULL};
	struct frame *frame = frame_new(FRAME_COMMIT, "{}", 2);
	json_t	   *events = vectors_text("[{'event':'f.e.created','feature':'f','entity':'e','action':'created','id':'1','data':{},'meta':{'tx':'1','seq':0}}]");

	(void) state;
	pile_init(&pile);
	pile.tx = 1;
	push(&pile, events, 0, false);
	push(&pile, events, 1, true);
	outqueue_push(&pile.queue, frame, &other.owner, 2, 2, PRIORITY_LOW);
	assert_false(merge_commits(&pile.queue, &pile.subscription, 0, MERGE_WINDOW, NULL, NULL));
	assert_int_equal(pile.queue.count, 3);
	pile.tx = 3;
	push(&pile, events, 0, true);
	assert_true(merge_commits(&pile.queue, &pile.subscription, 0, MERGE_WINDOW, NULL, NULL));
	outqueue_compact(&pile.queue);
	assert_int_equal(pile.queue.count, 2);
	assert_ptr_equal(outqueue_unsealed(&pile.queue, 0)->frame, frame);
	frame_unref(frame);
	json_decref(events);
	outqueue_release(&pile.queue);
}

/* Rows of a megabyte come in parts of their own. */
static void
test_large(void **state)
{
	struct pile pile;
	size_t		size = 1024 * 1024;
	char	   *body = memory_alloc(size + 1);
	unsigned	ngone;
	json_t	   *events;

	(void) state;
	memset(body, 'x', size);
	body[size] = '\0';
	pile_init(&pile);
	for (unsigned i = 0; i < 6; i++)
	{
		json_t	   *made = event(++pile.tx, "e", i < 2 ? "created" : "updated", i % 2 ? "'1'" : "'2'", "", "");

		events = json_array();
		body[0] = (char) ('0' + i);
		json_object_set_new(made, "data", json_pack("{s:s,s:i}", "body", body, "n", i));
		if (i >= 2)
			json_object_set_new(made, "old", json_pack("{s:i}", "n", i - 2));
		json_array_append_new(events, made);
		push(&pile, events, 0, true);
		json_decref(events);
	}
	assert_true(merge_commits(&pile.queue, &pile.subscription, 0, MERGE_WINDOW, NULL, &ngone));
	outqueue_compact(&pile.queue);
	assert_int_equal(ngone, 4);
	assert_int_equal(pile.queue.count, 2);
	events = take_events(&pile);
	assert_int_equal(json_array_size(events), 2);
	for (unsigned i = 0; i < 2; i++)
	{
		const json_t *data = json_object_get(json_array_get(events, i), "data");

		assert_int_equal(json_integer_value(json_object_get(data, "n")), 4 + i);
		body[0] = (char) ('4' + i);
		assert_string_equal(json_string_value(json_object_get(data, "body")), body);
	}
	json_decref(events);
	memory_free(body);
	outqueue_release(&pile.queue);
}

/* The rows of a history by id, as a reader keeps them: text of their data. */
static void
apply(json_t *rows, const json_t *made)
{
	const char *action = json_string_value(json_object_get(made, "action"));
	const char *id = json_string_value(json_object_get(made, "id"));

	if (strcmp(action, "truncated") == 0)
		json_object_clear(rows);
	else if (strcmp(action, "deleted") == 0 || strcmp(action, "left") == 0)
		json_object_del(rows, id);
	else if (json_object_get(made, "data") != NULL && id != NULL && strcmp(action, "approved") != 0)
		json_object_set(rows, id, json_object_get(made, "data"));
}

/* What a reader sees at each event that is none of a row's state, and each delete: the row that it is of, or all rows. */
static json_t *
tell(const json_t *events)
{
	json_t	   *rows = json_object();
	json_t	   *told = json_array();
	const json_t *made;
	size_t		i;

	json_array_foreach(events, i, made)
	{
		const char *action = json_string_value(json_object_get(made, "action"));
		const char *id = json_string_value(json_object_get(made, "id"));
		const char *tx = json_string_value(json_object_get(json_object_get(made, "meta"), "tx"));

		apply(rows, made);
		if (strcmp(action, "approved") == 0)
			json_array_append_new(told, json_pack("[s,s,O*]", tx, action, json_object_get(rows, id)));
		else if (strcmp(action, "news") == 0 || strcmp(action, "truncated") == 0)
			json_array_append_new(told, json_pack("[s,s,o]", tx, action, json_deep_copy(rows)));
	}
	json_array_append_new(told, rows);
	return told;
}

/* The deletes of a history by row, in order. */
static json_t *
deletes(const json_t *events)
{
	json_t	   *by_id = json_object();
	const json_t *made;
	size_t		i;

	json_array_foreach(events, i, made)
	{
		const char *id = json_string_value(json_object_get(made, "id"));

		if (strcmp(json_string_value(json_object_get(made, "action")), "deleted") != 0)
			continue;
		if (json_object_get(by_id, id) == NULL)
			json_object_set_new(by_id, id, json_array());
		json_array_append(json_object_get(by_id, id), json_object_get(made, "data"));
	}
	return by_id;
}

/* A random event that fits the rows, which it changes. */
static json_t *
random_event(uint64_t *random, unsigned tx, json_t *rows)
{
	unsigned	what = random_below(random, 30);
	char		id[8];
	char		members[100];
	unsigned	n = random_below(random, 4);

	snprintf(id, sizeof(id), "'%u'", n);
	if (what == 0)
		return event(tx, "e", "truncated", "null", ",'data':null", "");
	if (what < 3)
		return event(tx, "e", "news", "null", ",'data':{'n':1}", "");
	if (what < 6)
		return event(tx, "e", "approved", id, ",'data':{'n':1}", "");
	id[0] = (char) ('0' + n);
	id[1] = '\0';
	if (json_object_get(rows, id) == NULL)
	{
		snprintf(id, sizeof(id), "'%u'", n);
		snprintf(members, sizeof(members), ",'data':{'v':%u}", tx);
		return event(tx, "e", what % 2 ? "created" : "entered", id, members, "");
	}
	snprintf(members, sizeof(members), ",'data':{'v':%u},'old':{'v':%lld}", tx,
			 (long long) json_integer_value(json_object_get(json_object_get(rows, id), "v")));
	snprintf(id, sizeof(id), "'%u'", n);
	if (what < 8)
		return event(tx, "e", "left", id, "", "");
	if (what < 11)
	{
		*strstr(members, ",'old'") = '\0';
		return event(tx, "e", "deleted", id, members, "");
	}
	return event(tx, "e", "updated", id, members, "");
}

/* What is told of random histories: every delete, every other event with the rows that stood then, the end. */
static void
test_histories(void **state)
{
	unsigned	total = 0;

	(void) state;
	for (unsigned seed = 1; seed <= 400; seed++)
	{
		uint64_t	random = seed * 104729;
		struct pile pile;
		json_t	   *rows = json_object();
		json_t	   *all = json_array();
		json_t	   *got;
		unsigned	ngone = 0;
		json_t	   *before;
		json_t	   *after;

		pile_init(&pile);
		for (unsigned i = 2 + random_below(&random, 40); i > 0; i--)
		{
			json_t	   *events = json_array();

			pile.tx++;
			for (unsigned k = random_below(&random, 3) + 1; k > 0; k--)
			{
				json_t	   *made = random_event(&random, pile.tx, rows);

				apply(rows, made);
				json_array_append_new(events, made);
			}
			json_array_extend(all, events);
			push(&pile, events, 0, true);
			json_decref(events);
		}
		assert_true(merge_commits(&pile.queue, &pile.subscription, 0, MERGE_WINDOW, NULL, &ngone));
		outqueue_compact(&pile.queue);
		got = take_events(&pile);
		assert_int_equal(json_array_size(got) + ngone, json_array_size(all));
		before = tell(all);
		after = tell(got);
		if (!json_equal(before, after))
			fail_msg("seed %u: %s\n  is not\n%s", seed, json_dumps(after, 0), json_dumps(before, 0));
		json_decref(before);
		json_decref(after);
		before = deletes(all);
		after = deletes(got);
		assert_true(json_equal(before, after));
		json_decref(before);
		json_decref(after);
		total += ngone;
		json_decref(got);
		json_decref(all);
		json_decref(rows);
		outqueue_release(&pile.queue);
	}
	assert_true(total > 1000);
}

/* Who holds the same frames gets the same that were made for another. */
static void
test_memo(void **state)
{
	struct pile a;
	struct pile b;
	struct merge_memo memo = {.view = NULL};
	unsigned	ngone;

	(void) state;
	pile_init(&a);
	pile_init(&b);
	b.subscription.view = &a.view;
	one(&a, "updated", "'1'", UPDATE("{'a':2}", "{'a':1}"), "");
	one(&a, "updated", "'1'", UPDATE("{'a':3}", "{'a':2}"), "");
	for (unsigned i = 0; i < 2; i++)
	{
		struct outqueue_entry *entry = outqueue_unsealed(&a.queue, i);

		outqueue_push(&b.queue, entry->frame, &b.subscription.owner, entry->tx, entry->group, PRIORITY_LOW);
	}
	assert_true(merge_commits(&a.queue, &a.subscription, 0, MERGE_WINDOW, &memo, &ngone));
	assert_true(merge_commits(&b.queue, &b.subscription, 0, MERGE_WINDOW, &memo, &ngone));
	assert_int_equal(ngone, 1);
	outqueue_compact(&a.queue);
	outqueue_compact(&b.queue);
	assert_ptr_equal(outqueue_unsealed(&a.queue, 0)->frame, outqueue_unsealed(&b.queue, 0)->frame);

	/* Other frames: not from memory. */
	one(&a, "updated", "'1'", UPDATE("{'a':4}", "{'a':3}"), "");
	assert_true(merge_commits(&a.queue, &a.subscription, 0, MERGE_WINDOW, &memo, &ngone));
	outqueue_compact(&a.queue);
	assert_ptr_not_equal(outqueue_unsealed(&a.queue, 0)->frame, outqueue_unsealed(&b.queue, 0)->frame);
	merge_forget(&memo);
	outqueue_release(&a.queue);
	outqueue_release(&b.queue);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_deletes),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_omitted),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_entities),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_histories),
		cmocka_unit_test(test_memo),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
