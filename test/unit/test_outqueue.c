/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_outqueue.c
 *	  Frames as bytes on the wire; the order in which a queue gives them out, against a slow model.
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
#include "outqueue.h"
#include "vectors.h"

/* The header of a payload length, as RFC 6455 has it. */
static void
check_header(size_t len, const unsigned char *header, size_t header_len)
{
	char	   *payload = memory_alloc_zeroed(len + 1);
	struct frame *frame = frame_new(FRAME_COMMIT, payload, len);
	struct slice wire = frame_wire(frame);

	assert_int_equal(wire.len, header_len + len);
	assert_memory_equal(wire.at, header, header_len);
	assert_ptr_equal(frame_payload(frame).at, wire.at + header_len);
	assert_int_equal(frame_kind(frame), FRAME_COMMIT);
	frame_unref(frame);
	memory_free(payload);
}

static void
test_headers(void **state)
{
	(void) state;
	check_header(0, (const unsigned char *) "\x81\x00", 2);
	check_header(125, (const unsigned char *) "\x81\x7d", 2);
	check_header(126, (const unsigned char *) "\x81\x7e\x00\x7e", 4);
	check_header(65535, (const unsigned char *) "\x81\x7e\xff\xff", 4);
	check_header(65536, (const unsigned char *) "\x81\x7f\0\0\0\0\0\x01\0\0", 10);
}

static struct frame *
new_frame(enum frame_kind kind, const char *text)
{
	return frame_new(kind, text, strlen(text));
}

/* Adds "name" as a commit of a group. */
static void
push(struct outqueue *queue, struct outqueue_owner *owner, unsigned group, enum priority priority,
	 const char *name)
{
	struct frame *frame = new_frame(FRAME_COMMIT, name);

	outqueue_push(queue, frame, owner, group, group, priority);
	frame_unref(frame);
}

static void
push_position(struct outqueue *queue, const char *name)
{
	struct frame *frame = new_frame(FRAME_POSITION, name);

	outqueue_push_position(queue, frame);
	frame_unref(frame);
}

static void
push_reply(struct outqueue *queue, const char *name)
{
	struct frame *frame = new_frame(FRAME_REPLY, name);

	outqueue_push_reply(queue, frame);
	frame_unref(frame);
}

/* What may be sent is this: names with spaces. */
static void
check_pending(struct outqueue *queue, unsigned open_group, const char *expected)
{
	struct frame *frames[64];
	unsigned	n = outqueue_pending(queue, frames, 64, open_group);
	char		got[1000] = "";

	for (unsigned i = 0; i < n; i++)
		sprintf(got + strlen(got), "%s%.*s", i ? " " : "", (int) frame_payload(frames[i]).len,
				frame_payload(frames[i]).at);
	assert_string_equal(got, expected);
}

static void
test_priorities(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct outqueue_owner b = {0, 0};
	struct outqueue_owner c = {0, 0};

	(void) state;
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_LOW, "a1");
	push(&queue, &b, 2, PRIORITY_NORMAL, "b2");
	push(&queue, &a, 3, PRIORITY_CRITICAL, "a3");	/* not before a1 */
	push(&queue, &c, 4, PRIORITY_HIGH, "c4");
	push(&queue, &b, 5, PRIORITY_CRITICAL, "b5");	/* not before b2 */
	check_pending(&queue, 0, "c4 b2 b5 a1 a3");
	/* What comes later waits for what is sealed, whatever its priority. */
	push(&queue, &c, 6, PRIORITY_CRITICAL, "c6");
	check_pending(&queue, 0, "c4 b2 b5 a1 a3");
	outqueue_sent(&queue, 4);
	check_pending(&queue, 0, "a3");
	outqueue_sent(&queue, 1);
	check_pending(&queue, 0, "c6");
	outqueue_sent(&queue, 1);
	assert_true(outqueue_is_empty(&queue));
	assert_null(queue.entries);
	check_pending(&queue, 0, "");
	outqueue_release(&queue);
}

static void
test_groups(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct outqueue_owner b = {0, 0};
	struct outqueue_owner c = {0, 0};

	(void) state;
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_NORMAL, "a1");
	push(&queue, &b, 2, PRIORITY_LOW, "b2");
	push(&queue, &c, 2, PRIORITY_HIGH, "c2");		/* takes b2 with it */
	push(&queue, &a, 3, PRIORITY_CRITICAL, "a3.0");
	push(&queue, &a, 3, PRIORITY_LOW, "a3.1");
	check_pending(&queue, 0, "b2 c2 a1 a3.0 a3.1");
	outqueue_release(&queue);

	/* One group binds two owners: what follows either follows both. */
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_LOW, "a1");
	push(&queue, &a, 2, PRIORITY_HIGH, "a2");
	push(&queue, &b, 2, PRIORITY_HIGH, "b2");
	push(&queue, &b, 3, PRIORITY_CRITICAL, "b3");
	push(&queue, &c, 4, PRIORITY_NORMAL, "c4");
	check_pending(&queue, 0, "c4 a1 a2 b2 b3");
	outqueue_release(&queue);
}

static void
test_positions(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct outqueue_owner b = {0, 0};

	(void) state;
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_LOW, "a1");
	push_position(&queue, "p1");
	push(&queue, &b, 2, PRIORITY_HIGH, "b2");
	push_position(&queue, "p2");
	push(&queue, &b, 3, PRIORITY_LOW, "b3");
	push(&queue, &a, 4, PRIORITY_HIGH, "a4");
	check_pending(&queue, 0, "b2 a1 p2 a4 b3");
	assert_int_equal(queue.bytes, 10);
	outqueue_sent(&queue, 5);
	push_position(&queue, "p3");
	push_position(&queue, "p4");
	push_reply(&queue, "r");
	push_position(&queue, "p5");
	push_position(&queue, "p6");
	check_pending(&queue, 0, "p4 r p6");
	outqueue_release(&queue);
}

static void
test_replies(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct outqueue_owner b = {0, 0};

	(void) state;
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_LOW, "a1");
	push_reply(&queue, "r1");
	push(&queue, &a, 2, PRIORITY_LOW, "a2");
	push(&queue, &b, 3, PRIORITY_CRITICAL, "b3");
	push_reply(&queue, "r2");
	push_reply(&queue, "r3");
	push(&queue, &b, 4, PRIORITY_LOW, "b4");
	check_pending(&queue, 0, "a1 r1 b3 a2 r2 r3 b4");
	outqueue_release(&queue);
}

/* A transaction that is not complete waits, and all behind it; a reply does not stand within one. */
static void
test_open_group(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct outqueue_owner b = {0, 0};

	(void) state;
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_LOW, "a1");
	push(&queue, &b, 2, PRIORITY_CRITICAL, "b2.0");
	check_pending(&queue, 2, "a1");
	push_reply(&queue, "r1");
	push_reply(&queue, "r2");
	push(&queue, &b, 2, PRIORITY_CRITICAL, "b2.1");
	check_pending(&queue, 2, "a1");
	outqueue_sent(&queue, 1);
	check_pending(&queue, 2, "");
	push_position(&queue, "p");
	check_pending(&queue, 0, "b2.0 b2.1 r1 r2 p");
	outqueue_release(&queue);
	outqueue_init(&queue);
	push(&queue, &a, 7, PRIORITY_LOW, "a7");
	check_pending(&queue, 7, "");
	check_pending(&queue, 0, "a7");
	outqueue_release(&queue);
}

/* What an ended subscription left keeps its order. */
static void
test_disown(void **state)
{
	struct outqueue queue;
	struct outqueue_owner *a = memory_alloc_zeroed(sizeof(*a));
	struct outqueue_owner b = {0, 0};

	(void) state;
	outqueue_init(&queue);
	push(&queue, a, 1, PRIORITY_LOW, "a1");
	push(&queue, &b, 2, PRIORITY_NORMAL, "b2");
	push(&queue, a, 3, PRIORITY_CRITICAL, "a3");
	outqueue_disown(&queue, a);
	memory_free(a);
	check_pending(&queue, 0, "b2 a1 a3");
	outqueue_release(&queue);
}

static void
test_replace(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct outqueue_entry *entry;
	unsigned	n = 0;

	(void) state;
	outqueue_init(&queue);
	push(&queue, &a, 1, PRIORITY_LOW, "a1");
	check_pending(&queue, 0, "a1");
	push(&queue, &a, 2, PRIORITY_LOW, "a2");
	push_position(&queue, "p2");
	push(&queue, &a, 3, PRIORITY_LOW, "a3");
	for (; (entry = outqueue_unsealed(&queue, n)) != NULL; n++)
		assert_int_equal(entry->tx, n == 1 ? 0 : n == 0 ? 2 : 3);
	assert_int_equal(n, 3);
	outqueue_replace(&queue, outqueue_unsealed(&queue, 0), NULL);
	assert_int_equal(queue.bytes, 6);
	outqueue_replace(&queue, outqueue_unsealed(&queue, 2), new_frame(FRAME_COMMIT, "merged"));
	assert_int_equal(queue.bytes, 10);
	outqueue_compact(&queue);
	check_pending(&queue, 0, "a1");
	outqueue_sent(&queue, 1);
	check_pending(&queue, 0, "p2 merged");
	outqueue_sent(&queue, 2);
	push_position(&queue, "p");
	outqueue_replace(&queue, outqueue_unsealed(&queue, 0), NULL);
	outqueue_compact(&queue);
	assert_true(outqueue_is_empty(&queue));
	assert_null(queue.entries);
	assert_int_equal(queue.bytes, 0);
	outqueue_release(&queue);
}

/*
 * The model: what was pushed and has not been sent, as a plain list; seal() works out the order from
 * scratch.
 */
#define OWNERS 4
#define ENDED OWNERS			/* all owners that have ended are one */
#define ITEMS_MAX 4096

struct item
{
	unsigned	id;				/* its payload */
	char		kind;			/* c, p, r: commit, position, reply */
	unsigned	owner;
	unsigned	group;
	unsigned	priority;
};

struct model
{
	struct item items[ITEMS_MAX];
	unsigned	n;
	unsigned	sealed;
	unsigned	next_id;
};

static void
model_insert(struct model *model, unsigned at, struct item item)
{
	assert_true(model->n < ITEMS_MAX);
	memmove(&model->items[at + 1], &model->items[at], sizeof(item) * (model->n - at));
	model->items[at] = item;
	model->n++;
}

static void
model_remove(struct model *model, unsigned at)
{
	model->n--;
	memmove(&model->items[at], &model->items[at + 1], sizeof(struct item) * (model->n - at));
}

/* The rank of the group that begins at an item: of its highest priority, or its owners' earlier groups. */
static unsigned
model_rank(const struct model *model, const unsigned *ranks, unsigned from, unsigned first, unsigned end)
{
	unsigned	rank = PRIORITY_CRITICAL;

	for (unsigned i = first; i < end; i++)
		if (model->items[i].group == model->items[first].group
			&& PRIORITY_CRITICAL - model->items[i].priority < rank)
			rank = PRIORITY_CRITICAL - model->items[i].priority;
	for (unsigned i = first; i < end; i++)
		for (unsigned k = from; k < first && model->items[i].group == model->items[first].group; k++)
			if (model->items[k].owner == model->items[i].owner && ranks[k] > rank)
				rank = ranks[k];
	return rank;
}

/* Orders the commits from..end. */
static void
model_order(struct model *model, unsigned from, unsigned end)
{
	static unsigned ranks[ITEMS_MAX];
	static struct item sorted[ITEMS_MAX];
	unsigned	n = 0;

	for (unsigned i = from; i < end; i++)
		ranks[i] = i > from && model->items[i].group == model->items[i - 1].group ? ranks[i - 1]
			: model_rank(model, ranks, from, i, end);
	for (unsigned rank = 0; rank <= PRIORITY_CRITICAL; rank++)
		for (unsigned i = from; i < end; i++)
			if (ranks[i] == rank)
				sorted[n++] = model->items[i];
	memcpy(&model->items[from], sorted, sizeof(struct item) * n);
}

static void
model_seal(struct model *model, unsigned open_group)
{
	unsigned	from = 0;
	unsigned	limit = 0;

	while (limit < model->n && (open_group == 0 || model->items[limit].group != open_group))
		limit++;
	while (from < limit)
	{
		unsigned	end = from;

		while (end < limit && model->items[end].kind != 'r')
			end++;
		for (unsigned i = from; i < end; i++)
			for (unsigned k = i + 1; k < end && model->items[i].kind == 'p'; k++)
				if (model->items[k].kind == 'p')
				{
					model_remove(model, i--);
					end--;
					limit--;
					break;
				}
		for (unsigned i = from; i <= end; i++)
			if (i == end || model->items[i].kind == 'p')
			{
				model_order(model, from, i);
				from = i + 1;
			}
		from = end + 1;
	}
	model->sealed = limit;
}

struct run
{
	struct outqueue queue;
	struct model model;
	struct outqueue_owner *owners[OWNERS];
	uint64_t	random;
	unsigned	group;
	bool		is_open;		/* the group has more to come */

	/* of what was sent */
	unsigned	last_of_owner[OWNERS + 1];
	unsigned	last_reply;
	unsigned	last_group;
	unsigned	nsent;
};

static void
run_push(struct run *run, char kind, unsigned owner)
{
	char		text[64];
	struct item item = {++run->model.next_id, kind, owner, kind == 'c' ? run->group : 0,
		random_below(&run->random, 4)};
	unsigned	at = run->model.n;
	struct frame *frame;

	snprintf(text, sizeof(text), "%u %.*s", item.id, (int) random_below(&run->random, 20), "                    ");
	frame = new_frame(kind == 'c' ? FRAME_COMMIT : kind == 'p' ? FRAME_POSITION : FRAME_REPLY, text);
	if (kind == 'c')
		outqueue_push(&run->queue, frame, run->owners[owner], 1000 + item.group, item.group,
					  (enum priority) item.priority);
	else if (kind == 'p')
		outqueue_push_position(&run->queue, frame);
	else
		outqueue_push_reply(&run->queue, frame);
	frame_unref(frame);
	/* A reply in the middle of a transaction comes after it. */
	while (kind == 'c' && at > run->model.sealed && run->model.items[at - 1].kind == 'r')
		at--;
	if (at == run->model.sealed || run->model.items[at - 1].group != item.group)
		at = run->model.n;
	model_insert(&run->model, at, item);
}

/* What holds of everything sent, whatever the model says. */
static void
check_sent(struct run *run, const struct item *item)
{
	run->nsent++;
	if (item->kind == 'c')
	{
		if (item->owner != ENDED)
			assert_true(item->id > run->last_of_owner[item->owner]);
		run->last_of_owner[item->owner] = item->id;
		/* A group that was left is not come back to. */
		if (item->group != run->last_group)
			for (unsigned i = 0; i < run->model.n; i++)
				assert_true(run->model.items[i].group != run->last_group || run->last_group == 0);
		run->last_group = item->group;
	}
	else if (item->kind == 'p')
		for (unsigned i = 0; i < run->model.n; i++)
			assert_true(run->model.items[i].id > item->id);	/* covers all that came before */
	else
	{
		assert_true(item->id > run->last_reply);
		run->last_reply = item->id;
	}
}

/* Asks for some frames and sends some of them. */
static void
run_send(struct run *run)
{
	struct frame *frames[40];
	unsigned	max = 1 + random_below(&run->random, 40);
	unsigned	open_group = run->is_open ? run->group : 0;
	unsigned	n = outqueue_pending(&run->queue, frames, max, open_group);
	unsigned	send = n ? random_below(&run->random, n + 1) : 0;

	if (run->model.sealed == 0)
		model_seal(&run->model, open_group);
	assert_int_equal(n, run->model.sealed < max ? run->model.sealed : max);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(strtoul(frame_payload(frames[i]).at, NULL, 10), run->model.items[i].id);
	outqueue_sent(&run->queue, send);
	for (unsigned i = 0; i < send; i++)
	{
		struct item item = run->model.items[0];

		model_remove(&run->model, 0);
		run->model.sealed--;
		check_sent(run, &item);
	}
}

/* Bytes and counts are those of what is there. */
static void
check_accounts(struct run *run)
{
	size_t		bytes = 0;

	assert_int_equal(run->queue.count, run->model.n);
	for (unsigned i = 0; i < run->queue.count; i++)
		bytes += frame_payload(run->queue.entries[(run->queue.head + i) & (run->queue.room - 1)].frame).len;
	assert_int_equal(run->queue.bytes, bytes);
	if (run->model.n == 0)
		assert_null(run->queue.entries);
}

/* An owner ends and another takes its place. */
static void
run_disown(struct run *run)
{
	unsigned	owner = random_below(&run->random, OWNERS);

	outqueue_disown(&run->queue, run->owners[owner]);
	memory_free(run->owners[owner]);
	run->owners[owner] = memory_alloc_zeroed(sizeof(struct outqueue_owner));
	for (unsigned i = 0; i < run->model.n; i++)
		if (run->model.items[i].owner == owner)
			run->model.items[i].owner = ENDED;
	run->last_of_owner[owner] = 0;
}

static void
run_step(struct run *run, unsigned reader)
{
	unsigned	what = random_below(&run->random, 100);

	if (what < 40)
	{
		if (!run->is_open)
			run->group++;
		run->is_open = random_below(&run->random, 3) == 0;
		for (unsigned i = 0; i <= random_below(&run->random, 3); i++)
			run_push(run, 'c', random_below(&run->random, OWNERS));
	}
	else if (what < 50 && !run->is_open)
		run_push(run, 'p', ENDED);
	else if (what < 58)
		run_push(run, 'r', ENDED);
	else if (what < 60)
		run_disown(run);
	else if (what < 60 + reader)
		run_send(run);
	check_accounts(run);
}

/* Random pushes and sends by readers of all speeds; then all is sent. */
static void
test_model(void **state)
{
	(void) state;
	for (unsigned seed = 1; seed <= 300; seed++)
	{
		struct run *run = memory_alloc_zeroed(sizeof(*run));

		run->random = seed * 7919;
		outqueue_init(&run->queue);
		for (int i = 0; i < OWNERS; i++)
			run->owners[i] = memory_alloc_zeroed(sizeof(struct outqueue_owner));
		for (int i = 0; i < 400; i++)
			run_step(run, 1 + seed % 40);
		run->is_open = false;
		for (int i = 0; i < 100000 && run->model.n > 0; i++)
		{
			run_send(run);
			check_accounts(run);
		}
		assert_int_equal(run->model.n, 0);
		assert_true(run->nsent > 50);
		assert_null(run->queue.entries);
		outqueue_release(&run->queue);
		for (int i = 0; i < OWNERS; i++)
			memory_free(run->owners[i]);
		memory_free(run);
	}
}

/* A queue that is released with frames in it, sealed and not. */
static void
test_release(void **state)
{
	struct outqueue queue;
	struct outqueue_owner a = {0, 0};
	struct frame *frame = new_frame(FRAME_COMMIT, "x");
	struct frame *frames[2];

	(void) state;
	outqueue_init(&queue);
	for (int i = 0; i < 9; i++)
		outqueue_push(&queue, frame, &a, 1, 1, PRIORITY_LOW);
	frame_unref(frame);
	assert_int_equal(outqueue_pending(&queue, frames, 2, 0), 2);
	outqueue_sent(&queue, 1);
	assert_int_equal(queue.bytes, 8);
	outqueue_release(&queue);
	assert_true(outqueue_is_empty(&queue));
	assert_int_equal(queue.bytes, 0);
	outqueue_release(&queue);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_open_group),
		cmocka_unit_test(test_disown),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_release),
	};

	return cmocka_run_group_tests_name("outqueue", tests, NULL, NULL);
}
