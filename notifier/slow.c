/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * slow.c
 *	  Readers too slow: what to do with a queue over its limit.
 *
 * First the updates of one row are merged, in views of plain row state (no defined and custom actions): the
 * commits of such a view that still wait become one commit of the last transaction, marked merged, in which
 * each row stands once as it was last. If that is not enough, all commits that wait are dropped and each view
 * gets a gap when the queue has drained. What is sealed (being sent) is left alone; so are views that are
 * still being caught up, and whatever stands before the last reply.
 */
#include <string.h>
#include <uthash.h>

#include "log.h"
#include "memory.h"
#include "session_state.h"
#include "stats.h"

/* A row in what is merged. */
struct merged_row
{
	UT_hash_handle hh;
	struct slice id;			/* key, JSON text */
	bool		was_in;			/* in the view before the first of its events */
	bool		is_in;
	struct event first;			/* its action names the row's coming */
	struct event last;
	struct row	old;			/* first old value of each changed column */
};

struct merge
{
	struct merged_row *rows;
	bool		is_truncated;
	struct event truncated;
	uint64_t	tx;
	enum priority priority;
	unsigned	nframes;
	bool		has_failed;		/* something that cannot be merged */
};

static struct subscription *
subscription_of(struct outqueue_owner *owner)
{
	return (struct subscription *) owner;	/* its first member */
}

/* Whether all that a view gets are changes of rows. */
static bool
is_plain_view(const struct view *view)
{
	static const char *const plain[] = {"created", "updated", "deleted", "entered", "left", "truncated"};

	for (unsigned i = 0; i < view->nactions; i++)
	{
		bool		is_plain = false;

		for (unsigned k = 0; k < sizeof(plain) / sizeof(plain[0]) && !is_plain; k++)
			is_plain = strcmp(view->actions[i], plain[k]) == 0;
		if (!is_plain)
			return false;
	}
	return view->nactions > 0;
}

static void
merge_release(struct merge *merge)
{
	struct merged_row *row;
	struct merged_row *next;

	HASH_ITER(hh, merge->rows, row, next)
	{
		HASH_DEL(merge->rows, row);
		row_release(&row->old);
		memory_free(row);
	}
}

/* Puts an update's old values under those that the row has already: the first is what the client knows. */
static void
merge_old(struct merged_row *row, const struct event *event)
{
	struct row	old = {0, 0, NULL, NULL};

	if (!row_read(&old, event->old))
		return;
	row_overlay(&old, &row->old);
	row_copy(&row->old, &old);
	row_release(&old);
}

/* Adds one event. */
static void
merge_event(struct merge *merge, const struct event *event)
{
	struct merged_row *row;
	bool		is_coming = event->kind == EVENT_CREATED || slice_equals(event->action, "entered");
	bool		is_going = event->kind == EVENT_DELETED || slice_equals(event->action, "left");

	if (event->kind == EVENT_TRUNCATED)
	{
		merge_release(merge);
		merge->is_truncated = true;
		merge->truncated = *event;
		return;
	}
	if (!is_coming && !is_going && event->kind != EVENT_UPDATED)
	{
		merge->has_failed = true;
		return;
	}
	HASH_FIND(hh, merge->rows, event->id.at, event->id.len, row);
	if (row == NULL)
	{
		row = memory_alloc_zeroed(sizeof(*row));
		row->id = event->id;
		row->was_in = !is_coming;
		row->first = *event;
		HASH_ADD_KEYPTR(hh, merge->rows, row->id.at, row->id.len, row);
	}
	else							/* stands where its last change stood */
	{
		HASH_DEL(merge->rows, row);
		HASH_ADD_KEYPTR(hh, merge->rows, row->id.at, row->id.len, row);
	}
	if (event->kind == EVENT_UPDATED && !is_coming)
		merge_old(row, event);
	row->is_in = !is_going;
	row->last = *event;
}

/* Adds the events of a commit frame. */
static void
merge_frame(struct merge *merge, const struct outqueue_entry *entry)
{
	struct slice events;
	struct slice key;
	struct slice text;
	struct jsonscan scan;
	struct event event;

	if (frame_kind(entry->frame) != FRAME_COMMIT
		|| jsonscan_find(frame_payload(entry->frame), "events", &events) <= 0
		|| jsonscan_open(&scan, events, '[') < 0)
	{
		merge->has_failed = true;
		return;
	}
	while (jsonscan_next(&scan, &key, &text) > 0)
	{
		if (event_parse(&event, text) < 0)
			merge->has_failed = true;
		else
			merge_event(merge, &event);
	}
	merge->tx = entry->tx;
	merge->nframes++;
	if (entry->priority > merge->priority)
		merge->priority = (enum priority) entry->priority;
}

/* Appends {"event":…,"action":…} with another action than the event's own. */
static void
put_names(struct buffer *out, const struct event *event, struct slice action)
{
	buffer_puts(out, "{\"event\":\"");
	buffer_put_slice(out, event->feature);
	buffer_puts(out, ".");
	buffer_put_slice(out, event->entity);
	buffer_puts(out, ".");
	buffer_put_slice(out, action);
	buffer_puts(out, "\",\"feature\":\"");
	buffer_put_slice(out, event->feature);
	buffer_puts(out, "\",\"entity\":\"");
	buffer_put_slice(out, event->entity);
	buffer_puts(out, "\",\"action\":\"");
	buffer_put_slice(out, action);
	buffer_puts(out, "\",\"id\":");
	buffer_put_slice(out, event->id);
}

/* Appends a row's event: what it was to the view before, and is now. */
static void
put_row(struct buffer *out, const struct merged_row *row)
{
	static const struct slice updated = {"updated", 7};
	struct slice action = row->was_in ? updated : row->first.action;

	if (!row->is_in)
	{
		buffer_put_slice(out, row->last.text);
		return;
	}
	put_names(out, &row->last, action);
	buffer_puts(out, ",\"data\":");
	buffer_put_slice(out, row->last.data);
	if (row->was_in)
	{
		buffer_puts(out, ",\"old\":{");
		for (unsigned i = 0; i < row->old.n; i++)
		{
			buffer_puts(out, i ? ",\"" : "\"");
			buffer_put_slice(out, row->old.names[i]);
			buffer_puts(out, "\":");
			buffer_put_slice(out, row->old.values[i]);
		}
		buffer_puts(out, "}");
	}
	buffer_puts(out, ",\"meta\":");
	buffer_put_slice(out, row->last.meta);
	buffer_puts(out, "}");
}

/* The frame that stands for all that was merged; NULL when nothing is left of it. */
static struct frame *
build_merged(struct merge *merge, const struct view *view)
{
	struct buffer out;
	struct merged_row *row;
	struct merged_row *next;
	struct frame *frame = NULL;
	bool		is_first = true;

	buffer_init(&out);
	protocol_begin_commit(&out, view->id, merge->tx, 0, true, true);
	if (merge->is_truncated)
	{
		buffer_put_slice(&out, merge->truncated.text);
		is_first = false;
	}
	HASH_ITER(hh, merge->rows, row, next)
	{
		if (!row->was_in && !row->is_in)
			continue;			/* came and went unseen */
		if (!is_first)
			buffer_puts(&out, ",");
		put_row(&out, row);
		is_first = false;
	}
	protocol_end_list(&out);
	if (!is_first)
		frame = frame_new(FRAME_COMMIT, out.at, out.len);
	buffer_release(&out);
	return frame;
}

/* First unsealed entry behind the last reply. */
static unsigned
first_free(struct outqueue *queue)
{
	unsigned	first = 0;
	struct outqueue_entry *entry;

	for (unsigned i = 0; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
		if (entry->is_reply)
			first = i + 1;
	return first;
}

/* Merges what waits for one subscription, from an entry on. */
static bool
merge_subscription(struct outqueue *queue, struct subscription *subscription, unsigned from)
{
	struct merge merge = {.priority = PRIORITY_LOW};
	struct outqueue_entry *entry;
	struct outqueue_entry *last = NULL;
	struct frame *frame;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL && !merge.has_failed; i++)
		if (entry->owner == &subscription->owner)
		{
			merge_frame(&merge, entry);
			last = entry;
		}
	if (merge.has_failed || merge.nframes < 2)
	{
		merge_release(&merge);
		return false;
	}
	frame = build_merged(&merge, subscription->view);
	merge_release(&merge);
	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
		if (entry->owner == &subscription->owner && entry != last)
		{
			outqueue_replace(queue, entry, NULL);
			entry->owner = NULL;
		}
	last->priority = (unsigned char) merge.priority;
	outqueue_replace(queue, last, frame);
	return true;
}

/* Positions between what was merged would claim too early what stands behind them now. */
static void
drop_positions(struct outqueue *queue, unsigned from)
{
	struct outqueue_entry *entry;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
		if (entry->frame != NULL && frame_kind(entry->frame) == FRAME_POSITION)
			outqueue_replace(queue, entry, NULL);
}

/* Drops what waits; each view that loses something is to get a gap. */
static void
drop_commits(struct session *session, unsigned from)
{
	struct outqueue *queue = &session->queue;
	struct outqueue_entry *entry;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
	{
		struct subscription *subscription = entry->owner ? subscription_of(entry->owner) : NULL;

		if (entry->frame == NULL || entry->is_reply)
			continue;
		if (subscription != NULL && subscription->catchup != NULL)
			continue;
		if (subscription != NULL && subscription->gap == NULL)
		{
			subscription->gap = "slow";
			session->ngaps++;
		}
		outqueue_replace(queue, entry, NULL);
	}
}

void
session_relieve(struct session *session)
{
	struct outqueue *queue = &session->queue;
	size_t		before = queue->bytes;
	size_t		max = session->worker->options->max_queue;
	unsigned	from = first_free(queue);
	bool		is_merged = false;

	for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		if (s->catchup == NULL && s->gap == NULL && is_plain_view(s->view))
			is_merged |= merge_subscription(queue, s, from);
	if (is_merged)
	{
		drop_positions(queue, from);
		session->has_news = true;	/* the position of the batch at hand follows */
		stats_add(STAT_SLOW_MERGES, 1);
	}
	if (queue->bytes > max / 2)
	{
		drop_commits(session, from);
		stats_add(STAT_SLOW_GAPS, 1);
		log_write(LOG_LEVEL_INFO, "slow_reader", "address=%s bytes=%zu", session->address, before);
	}
	outqueue_compact(queue);
	stats_add(STAT_QUEUE_BYTES, (int64_t) queue->bytes - (int64_t) before);
}
