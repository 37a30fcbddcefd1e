/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_event.c
 *	  Events, as views with and without columns write them, and merged for a slow reader: what was an event
 *	  stays one. Input: events as the log has them, a list.
 *
 * Links also: slow
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "memory.h"
#include "session_state.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

/* An event as a view writes it is an event, and what its columns are is all that it has of the row. */
static void
check_written(const struct view *view, const struct event *event, enum edge edge, bool has_row,
			  bool is_without_keys)
{
	struct buffer out;
	struct event again;
	struct row	row = {0, 0, NULL, NULL};

	buffer_init(&out);
	view_write_event(view, event, edge, has_row, is_without_keys, &out);
	check(event_parse(&again, buffer_slice(&out)) == RT_OK);
	check(slice_is_same(again.feature, event->feature) && slice_is_same(again.entity, event->entity)
		  && again.seq == event->seq);
	if (edge == EDGE_LEFT)
		check(again.data.len == 0 && again.old.len == 0 && slice_equals(again.action, "left"));
	if (edge == EDGE_ENTERED)
		check(again.old.len == 0 && slice_equals(again.action, "entered"));
	if (view->is_projected && has_row && !is_without_keys && row_read(&row, again.data))
		for (unsigned i = 0; i < row.n; i++)
			check(view_shows(view, row.names[i]));
	row_release(&row);
	buffer_release(&out);
}

/* Queues each event as a transaction of its own. */
static void
push_all(struct session *session, struct subscription *subscription, const struct chunk *chunk)
{
	for (unsigned i = 0; i < chunk->nevents; i++)
	{
		struct buffer out;
		struct frame *frame;

		buffer_init(&out);
		protocol_begin_commit(&out, subscription->view->id, i + 1, 0, true, false);
		buffer_put_slice(&out, chunk->events[i].text);
		protocol_end_list(&out);
		frame = frame_new(FRAME_COMMIT, out.at, out.len);
		outqueue_push(&session->queue, frame, &subscription->owner, i + 1, i + 1, chunk->events[i].priority);
		frame_unref(frame);
		buffer_release(&out);
	}
}

/* Merged frames are lists of events; what cannot be merged stays. */
static void
check_merged(const struct chunk *chunk)
{
	static char *actions[] = {"created", "updated"};
	struct options *options = memory_alloc_zeroed(sizeof(*options));
	struct worker *worker = memory_alloc_zeroed(sizeof(*worker));
	struct session session;
	struct view view;
	struct subscription subscription;
	struct frame *frames[64];
	unsigned	n;

	memset(&session, 0, sizeof(session));
	memset(&view, 0, sizeof(view));
	memset(&subscription, 0, sizeof(subscription));
	worker->options = options;
	strcpy(view.id, "1");
	view.actions = actions;
	view.nactions = 2;
	subscription.view = &view;
	subscription.session = &session;
	session.worker = worker;
	session.subscriptions = &subscription;
	outqueue_init(&session.queue);
	push_all(&session, &subscription, chunk);
	session_relieve(&session, SIZE_MAX / 4);
	while ((n = outqueue_pending(&session.queue, frames, 64, 0)) > 0)
	{
		for (unsigned i = 0; i < n; i++)
		{
			struct slice events;
			struct slice key;
			struct slice text;
			struct jsonscan scan;
			struct event event;
			int			result;

			check(jsonscan_find(frame_payload(frames[i]), "events", &events) == 1);
			check(jsonscan_open(&scan, events, '[') == RT_OK);
			while ((result = jsonscan_next(&scan, &key, &text)) > 0)
				check(event_parse(&event, text) == RT_OK);
			check(result == 0);
		}
		outqueue_sent(&session.queue, n);
	}
	check(session.queue.bytes == 0);
	outqueue_release(&session.queue);
	memory_free(worker);
	memory_free(options);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct slice visible[] = {{"a", 1}, {"\\u00e4", 6}};
	struct view views[2];
	char	   *copy = memory_alloc(size);
	struct chunk *chunk;

	memcpy(copy, data, size);
	chunk = chunk_new(1, 0, true, 0, copy, size);
	memory_free(copy);
	memset(views, 0, sizeof(views));
	views[1].is_projected = true;
	views[1].visible = visible;
	views[1].nvisible = 2;
	check(!chunk->is_broken || chunk->nevents == 0);
	for (unsigned i = 0; i < chunk->nevents; i++)
		for (unsigned v = 0; v < 2; v++)
			for (unsigned edge = EDGE_SAME; edge <= EDGE_LEFT; edge++)
			{
				check_written(&views[v], &chunk->events[i], (enum edge) edge, true, false);
				check_written(&views[v], &chunk->events[i], (enum edge) edge, false, false);
				check_written(&views[v], &chunk->events[i], (enum edge) edge, false, true);
			}
	if (chunk->nevents > 0)
		check_merged(chunk);
	chunk_unref(chunk);
	return 0;
}
