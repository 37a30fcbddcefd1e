/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * slow.c
 *	  Readers too slow: what to do with a queue over its limit.
 *
 * First the updates of one row are merged, in views of plain row state (no defined and custom actions): the
 * commits of such a view that still wait become one commit of the last transaction, marked merged, in which
 * each row stands once as it was last; twice when it left the view and came back. If that is not enough, all commits that wait are dropped and each view
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
	bool		has_come;		/* created or entered since */
	bool		has_gone;		/* deleted or left since */
	struct event come;			/* the last such events */
	struct event gone;
	struct event last;
	struct row	data;			/* when last leaves out values that came before: all; else empty */
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
		row_release(&row->data);
		row_release(&row->old);
		memory_free(row);
	}
}

/* Puts an update's old values under those that the row has already: the first is what the client knows. */
static void
merge_old(struct merged_row *row, const struct row *old)
{
	struct row	both = {0, 0, NULL, NULL};

	row_copy(&both, old);
	row_overlay(&both, &row->old);
	row_copy(&row->old, &both);
	row_release(&both);
}

/* Whether an event leaves out values of the row. */
static bool
has_omitted(const struct event *event)
{
	struct slice list;

	return jsonscan_find(event->meta, "omitted", &list) > 0;
}

/*
 * Keeps what earlier events of the row said of values that an update leaves out. One that it changed is
 * not known any more.
 */
static void
merge_data(struct merged_row *row, const struct event *event, const struct row *old)
{
	struct row	now = {0, 0, NULL, NULL};
	unsigned	to = 0;

	if (!has_omitted(event) || !row_read(&now, event->data)
		|| (row->data.n == 0 && !row_read(&row->data, row->last.data)))
	{
		row->data.n = 0;
		row_release(&now);
		return;
	}
	for (unsigned i = 0; i < row->data.n; i++)
	{
		if (row_find(old, row->data.names[i]) != NULL)
			continue;
		row->data.names[to] = row->data.names[i];
		row->data.values[to++] = row->data.values[i];
	}
	row->data.n = to;
	row_overlay(&row->data, &now);
	row_release(&now);
}

/* Adds an update of a row that is in the view before and after. */
static void
merge_update(struct merged_row *row, const struct event *event, bool is_first)
{
	struct row	old = {0, 0, NULL, NULL};

	if (!row_read(&old, event->old))
		old.n = 0;
	merge_old(row, &old);
	if (!is_first)
		merge_data(row, event, &old);
	row_release(&old);
}

/* Adds one event. */
static void
merge_event(struct merge *merge, const struct event *event)
{
	struct merged_row *row;
	bool		is_coming = event->kind == EVENT_CREATED || slice_equals(event->action, "entered");
	bool		is_going = event->kind == EVENT_DELETED || slice_equals(event->action, "left");
	bool		is_first;

	if (event->kind == EVENT_TRUNCATED)
	{
		merge_release(merge);
		merge->is_truncated = true;
		merge->truncated = *event;
		return;
	}
	if ((!is_coming && !is_going && event->kind != EVENT_UPDATED) || event->id.len == 0
		|| (!is_going && event->data.len == 0))
	{
		merge->has_failed = true;
		return;
	}
	HASH_FIND(hh, merge->rows, event->id.at, event->id.len, row);
	is_first = row == NULL;
	if (is_first)
	{
		row = memory_alloc_zeroed(sizeof(*row));
		row->id = event->id;
		row->was_in = !is_coming;
	}
	else
		HASH_DEL(merge->rows, row);	/* stands where its last change stood */
	HASH_ADD_KEYPTR(hh, merge->rows, row->id.at, row->id.len, row);
	if (!is_coming && !is_going)
		merge_update(row, event, is_first);
	else if (is_coming)
	{
		row->has_come = true;
		row->come = *event;
		row->data.n = 0;
	}
	else
	{
		row->has_gone = true;
		row->gone = *event;
	}
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

/* Appends a row's members as an object. */
static void
put_members(struct buffer *out, const struct row *row)
{
	buffer_puts(out, "{");
	for (unsigned i = 0; i < row->n; i++)
	{
		buffer_puts(out, i ? ",\"" : "\"");
		buffer_put_slice(out, row->names[i]);
		buffer_puts(out, "\":");
		buffer_put_slice(out, row->values[i]);
	}
	buffer_puts(out, "}");
}

/* Appends the names of a list that a row has no value of; nothing when it has all. */
static void
put_omitted(struct buffer *out, struct slice list, const struct row *row)
{
	struct jsonscan scan;
	struct slice key;
	struct slice name;
	bool		is_first = true;

	if (jsonscan_open(&scan, list, '[') < 0)
		return;
	while (jsonscan_next(&scan, &key, &name) > 0)
	{
		if (jsonscan_kind(name) != JSON_KIND_STRING || row_find(row, jsonscan_inside(name)) != NULL)
			continue;
		buffer_puts(out, is_first ? ",\"omitted\":[" : ",");
		buffer_put_slice(out, name);
		is_first = false;
	}
	if (!is_first)
		buffer_puts(out, "]");
}

/* Appends an event's meta; what the row has a value of is not left out. */
static void
put_meta(struct buffer *out, const struct event *event, const struct row *row)
{
	struct row	meta = {0, 0, NULL, NULL};
	struct slice omitted = {NULL, 0};
	unsigned	to = 0;

	if (row->n == 0 || !row_read(&meta, event->meta))
	{
		buffer_put_slice(out, event->meta);
		return;
	}
	for (unsigned i = 0; i < meta.n; i++)
	{
		if (slice_equals(meta.names[i], "omitted"))
		{
			omitted = meta.values[i];
			continue;
		}
		meta.names[to] = meta.names[i];
		meta.values[to++] = meta.values[i];
	}
	meta.n = to;
	put_members(out, &meta);
	out->len--;					/* the brace */
	put_omitted(out, omitted, row);
	buffer_puts(out, "}");
	row_release(&meta);
}

/* Appends what is left of a row's events: what it was to the view before, and is now. */
static void
put_row(struct buffer *out, const struct merged_row *row)
{
	static const struct slice updated = {"updated", 7};

	if (!row->is_in)
	{
		buffer_put_slice(out, row->gone.text);
		return;
	}
	if (row->has_come && row->was_in && row->has_gone)
	{
		buffer_put_slice(out, row->gone.text);
		buffer_puts(out, ",");
	}
	event_write_head(&row->last, row->has_come ? row->come.action : updated, out);
	buffer_puts(out, ",\"data\":");
	if (row->data.n > 0)
		put_members(out, &row->data);
	else
		buffer_put_slice(out, row->last.data);
	if (!row->has_come)
	{
		buffer_puts(out, ",\"old\":");
		put_members(out, &row->old);
	}
	buffer_puts(out, ",\"meta\":");
	put_meta(out, &row->last, &row->data);
	buffer_puts(out, "}");
}

/* The frames that stand for all that was merged: parts of one transaction. */
struct merged_frames
{
	const struct view *view;
	uint64_t	tx;
	struct buffer text;			/* of the part at hand */
	struct frame **at;
	unsigned	n;
};

/* Ends a part. */
static void
end_part(struct merged_frames *frames, bool is_last)
{
	struct buffer out;

	if (frames->text.len == 0)
		return;
	buffer_init(&out);
	protocol_begin_commit(&out, frames->view->id, frames->tx, frames->n, is_last, true);
	buffer_put_slice(&out, buffer_slice(&frames->text));
	protocol_end_list(&out);
	frames->at = memory_resize(frames->at, sizeof(struct frame *) * (frames->n + 1));
	frames->at[frames->n++] = frame_new(FRAME_COMMIT, out.at, out.len);
	buffer_release(&out);
	frames->text.len = 0;
}

/* Adds events to the part at hand, or begins another. */
static void
add_to_part(struct merged_frames *frames, struct slice events)
{
	if (frames->text.len > 0 && frames->text.len + 1 + events.len > PROTOCOL_PART_FILL)
		end_part(frames, false);
	if (frames->text.len > 0)
		buffer_puts(&frames->text, ",");
	buffer_put_slice(&frames->text, events);
}

/* Builds the frames; none when nothing is left. */
static void
build_merged(struct merge *merge, struct merged_frames *frames)
{
	struct merged_row *row;
	struct merged_row *next;
	struct buffer one;

	buffer_init(&one);
	frames->tx = merge->tx;
	if (merge->is_truncated)
		add_to_part(frames, merge->truncated.text);
	HASH_ITER(hh, merge->rows, row, next)
	{
		if (!row->was_in && !row->is_in)
			continue;			/* came and went unseen */
		one.len = 0;
		put_row(&one, row);
		add_to_part(frames, buffer_slice(&one));
	}
	end_part(frames, true);
	buffer_release(&one);
	buffer_release(&frames->text);
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
	struct merged_frames frames = {.view = subscription->view};
	struct outqueue_entry *entry;
	unsigned	last = 0;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL && !merge.has_failed; i++)
		if (entry->owner == &subscription->owner)
		{
			merge_frame(&merge, entry);
			last = i;
		}
	if (merge.has_failed || merge.nframes < 2)
	{
		merge_release(&merge);
		return false;
	}
	build_merged(&merge, &frames);
	for (unsigned i = from; i < last; i++)
	{
		entry = outqueue_unsealed(queue, i);
		if (entry->owner == &subscription->owner)
		{
			outqueue_replace(queue, entry, NULL);
			entry->owner = NULL;
		}
	}
	outqueue_unsealed(queue, last)->priority = (unsigned char) merge.priority;
	outqueue_replace_by(queue, last, frames.at, frames.n);
	merge_release(&merge);
	memory_free(frames.at);
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
session_relieve(struct session *session, size_t limit)
{
	struct outqueue *queue = &session->queue;
	size_t		before = queue->bytes;
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
	if (queue->bytes > limit / 2)
	{
		drop_commits(session, from);
		stats_add(STAT_SLOW_GAPS, 1);
		log_write(LOG_LEVEL_INFO, "slow_reader", "address=%s bytes=%zu", session->address, before);
	}
	outqueue_compact(queue);
	stats_add(STAT_QUEUE_BYTES, (int64_t) queue->bytes - (int64_t) before);
}
