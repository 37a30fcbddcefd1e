/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * merge.c
 *	  See merge.h. Slices point into the frames that are merged, which stay until the new ones are built.
 */
#include "merge.h"

#include <string.h>
#include <uthash.h>

#include "buffer.h"
#include "filter.h"
#include "memory.h"
#include "protocol.h"

/* What becomes of events: of one row, or an event that stays as it is. In the order in which they are told. */
struct item
{
	UT_hash_handle hh;			/* of rows that the next event may be merged with */
	struct item *previous;
	struct item *next;
	bool		is_row;
	bool		is_open;		/* in the hash */
	bool		was_in;			/* in the view before the first of its events */
	bool		is_in;
	bool		has_come;		/* created or entered since */
	bool		has_gone;		/* deleted or left since */
	unsigned	nevents;
	struct event come;			/* the last such events */
	struct event gone;
	struct event last;
	struct row	data;			/* when last leaves out values that came before: all; else empty */
	struct row	old;			/* first old value of each changed column */
	size_t		key_len;
	char		key[];			/* feature, entity, id */
};

struct merge
{
	enum merge_kind kind;
	struct item *rows;			/* hash of those that are open */
	struct item *first;
	struct item *last;
	struct buffer key;			/* scratch */
	unsigned	nevents;
	bool		has_failed;		/* something that cannot be merged */
};

static void
append(struct merge *merge, struct item *item)
{
	item->previous = merge->last;
	item->next = NULL;
	if (merge->last != NULL)
		merge->last->next = item;
	else
		merge->first = item;
	merge->last = item;
}

static void
unlink_item(struct merge *merge, struct item *item)
{
	if (item->previous != NULL)
		item->previous->next = item->next;
	else
		merge->first = item->next;
	if (item->next != NULL)
		item->next->previous = item->previous;
	else
		merge->last = item->previous;
}

/* What follows of the row begins anew. */
static void
close_row(struct merge *merge, struct item *item)
{
	if (!item->is_open)
		return;
	HASH_DEL(merge->rows, item);
	item->is_open = false;
}

static void
close_rows(struct merge *merge)
{
	struct item *item;
	struct item *next;

	HASH_ITER(hh, merge->rows, item, next)
		close_row(merge, item);
}

/* Drops all that was taken in. */
static void
clear(struct merge *merge)
{
	close_rows(merge);
	while (merge->first != NULL)
	{
		struct item *item = merge->first;

		merge->first = item->next;
		row_release(&item->data);
		row_release(&item->old);
		memory_free(item);
	}
	merge->last = NULL;
}

/* Puts an update's old values under those that the row has already: the first is what the client knows. */
static void
merge_old(struct item *row, const struct row *old)
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
merge_data(struct item *row, const struct event *event, const struct row *old)
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
merge_update(struct item *row, const struct event *event)
{
	struct row	old = {0, 0, NULL, NULL};

	if (!row_read(&old, event->old))
		old.n = 0;
	merge_old(row, &old);
	if (row->nevents > 0)
		merge_data(row, event, &old);
	row_release(&old);
}

/* The row of an event as far as it is open; NULL when nothing of it is. Its key is in the scratch buffer then. */
static struct item *
find_row(struct merge *merge, const struct event *event)
{
	struct item *row;

	merge->key.len = 0;
	buffer_put_slice(&merge->key, event->feature);
	buffer_put(&merge->key, "\"", 1);	/* which no name has inside */
	buffer_put_slice(&merge->key, event->entity);
	buffer_put(&merge->key, "\"", 1);
	buffer_put_slice(&merge->key, event->id);
	HASH_FIND(hh, merge->rows, merge->key.at, merge->key.len, row);
	return row;
}

/* An event that stays as it is. What has no id may be of any row. */
static void
add_other(struct merge *merge, const struct event *event)
{
	struct item *item = memory_alloc_zeroed(sizeof(*item));

	if (event->id.len > 0 && !slice_equals(event->id, "null"))
	{
		struct item *row = find_row(merge, event);

		if (row != NULL)
			close_row(merge, row);
	}
	else
		close_rows(merge);
	item->last = *event;
	append(merge, item);
}

/* An event of another kind than a row's. */
static void
take_other(struct merge *merge, const struct event *event)
{
	if (merge->kind == MERGE_WINDOW)
		add_other(merge, event);
	else if (event->kind == EVENT_TRUNCATED)
	{
		clear(merge);
		add_other(merge, event);
	}
	else
		merge->has_failed = true;
}

/* A new item for an event's row, whose key is in the scratch buffer. */
static struct item *
new_row(struct merge *merge, bool was_in)
{
	struct item *row = memory_alloc_zeroed(sizeof(*row) + merge->key.len);

	row->is_row = row->is_open = true;
	row->was_in = was_in;
	row->key_len = merge->key.len;
	memcpy(row->key, merge->key.at, merge->key.len);
	HASH_ADD_KEYPTR(hh, merge->rows, row->key, row->key_len, row);
	append(merge, row);
	return row;
}

/* Adds one event. */
static void
take_event(struct merge *merge, const struct event *event)
{
	struct item *row;
	bool		is_coming = event->kind == EVENT_CREATED || slice_equals(event->action, "entered");
	bool		is_going = event->kind == EVENT_DELETED || slice_equals(event->action, "left");

	merge->nevents++;
	if ((!is_coming && !is_going && event->kind != EVENT_UPDATED) || event->id.len == 0
		|| (!is_going && event->data.len == 0))
	{
		take_other(merge, event);
		return;
	}
	row = find_row(merge, event);
	if (row != NULL && merge->kind == MERGE_WINDOW && (!row->is_in || is_coming))
	{
		close_row(merge, row);
		row = NULL;
	}
	if (row == NULL)
		row = new_row(merge, !is_coming);
	else
	{
		unlink_item(merge, row);	/* stands where its last change stood */
		append(merge, row);
	}
	if (!is_coming && !is_going)
		merge_update(row, event);
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
	row->nevents++;
}

/* Adds the events of a frame. */
static void
take_frame(struct merge *merge, struct frame *frame)
{
	struct slice events;
	struct slice key;
	struct slice text;
	struct jsonscan scan;
	struct event event;

	if (frame_kind(frame) != FRAME_COMMIT
		|| jsonscan_find(frame_payload(frame), "events", &events) <= 0
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
			take_event(merge, &event);
	}
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

/* Appends the names of a list that a row has no value of, as a member; nothing when it has all. */
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
		buffer_puts(out, is_first ? "\"omitted\":[" : ",");
		buffer_put_slice(out, name);
		is_first = false;
	}
	if (!is_first)
		buffer_puts(out, "],");
}

/* Appends the meta of what stands for several events; what data has a value of is not left out. */
static void
put_meta(struct buffer *out, const struct item *row)
{
	struct row	meta = {0, 0, NULL, NULL};
	struct slice old_id;

	if (row->nevents < 2 || !row_read(&meta, row->last.meta))
	{
		buffer_put_slice(out, row->last.meta);
		row_release(&meta);
		return;
	}
	buffer_puts(out, "{");
	for (unsigned i = 0; i < meta.n; i++)
	{
		if (row->data.n > 0 && slice_equals(meta.names[i], "omitted"))
		{
			put_omitted(out, meta.values[i], &row->data);
			continue;
		}
		if (slice_equals(meta.names[i], "merged"))
			continue;			/* it stood for several already */
		buffer_puts(out, "\"");
		buffer_put_slice(out, meta.names[i]);
		buffer_puts(out, "\":");
		buffer_put_slice(out, meta.values[i]);
		buffer_puts(out, ",");
	}
	if (row->is_in && row->has_come && row->last.kind == EVENT_UPDATED
		&& jsonscan_find(row->come.meta, "oldId", &old_id) > 0)
	{
		buffer_puts(out, "\"oldId\":");	/* where it came from is still true */
		buffer_put_slice(out, old_id);
		buffer_puts(out, ",");
	}
	buffer_puts(out, "\"merged\":true}");
	row_release(&meta);
}

/* Appends what went, for all that was before it. */
static void
put_gone(struct buffer *out, const struct item *row)
{
	event_write_head(&row->last, row->last.action, out);
	if (row->last.data.len > 0)
	{
		buffer_puts(out, ",\"data\":");
		buffer_put_slice(out, row->last.data);
	}
	buffer_puts(out, ",\"meta\":");
	put_meta(out, row);
	buffer_puts(out, "}");
}

/* Appends what is left of an item: what the row was to the view before, and is now. */
static void
put_item(struct buffer *out, const struct item *item)
{
	static const struct slice updated = {"updated", 7};

	if (!item->is_row || item->nevents == 1)
	{
		buffer_put_slice(out, item->last.text);
		return;
	}
	if (!item->is_in)
	{
		put_gone(out, item);
		return;
	}
	if (item->has_come && item->was_in && item->has_gone)
	{
		buffer_put_slice(out, item->gone.text);
		buffer_puts(out, ",");
	}
	event_write_head(&item->last, item->has_come ? item->come.action : updated, out);
	buffer_puts(out, ",\"data\":");
	if (item->data.n > 0)
		put_members(out, &item->data);
	else
		buffer_put_slice(out, item->last.data);
	if (!item->has_come)
	{
		buffer_puts(out, ",\"old\":");
		put_members(out, &item->old);
	}
	buffer_puts(out, ",\"meta\":");
	put_meta(out, item);
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

/* Builds the frames; none when nothing is left. Returns how many events they have. */
static unsigned
build(const struct merge *merge, struct merged_frames *frames)
{
	struct buffer one;
	unsigned	n = 0;

	buffer_init(&one);
	for (const struct item *item = merge->first; item != NULL; item = item->next)
	{
		if (item->is_row && !item->was_in && !item->is_in && merge->kind == MERGE_STATE)
			continue;			/* came and went unseen */
		one.len = 0;
		put_item(&one, item);
		add_to_part(frames, buffer_slice(&one));
		n += item->is_row && item->is_in && item->has_come && item->was_in && item->has_gone ? 2 : 1;
	}
	end_part(frames, true);
	buffer_release(&one);
	buffer_release(&frames->text);
	return n;
}

void
merge_forget(struct merge_memo *memo)
{
	for (unsigned i = 0; i < memo->nbefore; i++)
		frame_unref(memo->before[i]);
	for (unsigned i = 0; i < memo->nafter; i++)
		frame_unref(memo->after[i]);
	memory_free(memo->before);
	memory_free(memo->after);
	memset(memo, 0, sizeof(*memo));
}

/* The commits of a subscription in a queue. */
struct found
{
	struct frame **frames;		/* borrowed of the queue */
	unsigned	n;
	unsigned	ntransactions;
	unsigned	last;			/* entry */
	uint64_t	tx;
	unsigned char priority;
};

static void
find_commits(struct found *found, struct outqueue *queue, const struct subscription *subscription,
			 unsigned from)
{
	const struct outqueue_entry *entry;
	unsigned	room = 0;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
	{
		if (entry->owner != &subscription->owner)
			continue;
		if (found->n == room)
		{
			room = room ? room * 2 : 16;
			found->frames = memory_resize(found->frames, sizeof(struct frame *) * room);
		}
		found->frames[found->n++] = entry->frame;
		if (found->ntransactions == 0 || found->tx != entry->tx)
			found->ntransactions++;
		found->tx = entry->tx;
		found->last = i;
		if (entry->priority > found->priority)
			found->priority = entry->priority;
	}
}

/* Merges frames into the memo; false when something cannot be merged. */
static bool
merge_frames(struct merge_memo *memo, const struct view *view, const struct found *found,
			 enum merge_kind kind)
{
	struct merge merge = {.kind = kind};
	struct merged_frames frames = {.view = view, .tx = found->tx};

	merge_forget(memo);
	for (unsigned i = 0; i < found->n && !merge.has_failed; i++)
		take_frame(&merge, found->frames[i]);
	if (!merge.has_failed)
	{
		memo->ngone = merge.nevents - build(&merge, &frames);
		memo->view = view;
		memo->after = frames.at;
		memo->nafter = frames.n;
		memo->before = memory_alloc(sizeof(struct frame *) * found->n);
		for (unsigned i = 0; i < found->n; i++)
			memo->before[memo->nbefore++] = frame_ref(found->frames[i]);
	}
	clear(&merge);
	buffer_release(&merge.key);
	return !merge.has_failed;
}

/* Puts the memo's frames in the place of the last that they stand for. */
static void
replace(struct outqueue *queue, const struct subscription *subscription, unsigned from,
		const struct found *found, const struct merge_memo *memo)
{
	struct frame **after = memory_alloc(sizeof(struct frame *) * (memo->nafter + 1));

	for (unsigned i = 0; i < memo->nafter; i++)
		after[i] = frame_ref(memo->after[i]);
	for (unsigned i = from; i < found->last; i++)
	{
		struct outqueue_entry *entry = outqueue_unsealed(queue, i);

		if (entry->owner != &subscription->owner)
			continue;
		outqueue_replace(queue, entry, NULL);
		entry->owner = NULL;
	}
	outqueue_unsealed(queue, found->last)->priority = found->priority;
	outqueue_replace_by(queue, found->last, after, memo->nafter);
	memory_free(after);
}

bool
merge_commits(struct outqueue *queue, struct subscription *subscription, unsigned from,
			  enum merge_kind kind, struct merge_memo *memo, unsigned *ngone)
{
	struct found found = {.priority = PRIORITY_LOW};
	struct merge_memo own = {.view = NULL};
	struct merge_memo *at = memo ? memo : &own;
	bool		is_merged = false;

	find_commits(&found, queue, subscription, from);
	if (found.n >= 2 && (kind == MERGE_STATE || found.ntransactions >= 2))
		is_merged = (at->view == subscription->view && at->nbefore == found.n
					 && memcmp(at->before, found.frames, sizeof(struct frame *) * found.n) == 0)
			|| merge_frames(at, subscription->view, &found, kind);
	if (is_merged)
	{
		replace(queue, subscription, from, &found, at);
		if (ngone != NULL)
			*ngone = at->ngone;
	}
	memory_free(found.frames);
	merge_forget(&own);
	return is_merged;
}
