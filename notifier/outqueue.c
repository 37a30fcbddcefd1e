/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * outqueue.c
 *	  See outqueue.h. Pure.
 */
#include "outqueue.h"

#include <string.h>

#include "memory.h"

void
outqueue_init(struct outqueue *queue)
{
	memset(queue, 0, sizeof(*queue));
}

/* The entry so far behind the head. */
static struct outqueue_entry *
at(const struct outqueue *queue, unsigned i)
{
	return &queue->entries[(queue->head + i) & (queue->room - 1)];
}

/* Frees the memory of an empty queue; the count of seals goes on, owners remember it. */
static void
forget_memory(struct outqueue *queue)
{
	memory_free(queue->entries);
	queue->entries = NULL;
	queue->head = queue->room = queue->sealed = 0;
	queue->bytes = 0;
}

void
outqueue_release(struct outqueue *queue)
{
	for (unsigned i = 0; i < queue->count; i++)
		if (at(queue, i)->frame != NULL)
			frame_unref(at(queue, i)->frame);
	queue->count = 0;
	forget_memory(queue);
}

/* Doubles the ring. */
static void
grow(struct outqueue *queue)
{
	unsigned	room = queue->room ? queue->room * 2 : 4;
	struct outqueue_entry *entries = memory_alloc(sizeof(struct outqueue_entry) * room);

	for (unsigned i = 0; i < queue->count; i++)
		entries[i] = *at(queue, i);
	memory_free(queue->entries);
	queue->entries = entries;
	queue->room = room;
	queue->head = 0;
}

static struct outqueue_entry *
add(struct outqueue *queue, struct frame *frame)
{
	struct outqueue_entry *entry;

	if (queue->count == queue->room)
		grow(queue);
	entry = at(queue, queue->count++);
	memset(entry, 0, sizeof(*entry));
	entry->frame = frame_ref(frame);
	queue->bytes += frame_payload(frame).len;
	return entry;
}

/* Replies that were pushed within a group come after it: frames of a transaction are adjacent. */
static struct outqueue_entry *
close_up(struct outqueue *queue, struct outqueue_entry *entry, unsigned group)
{
	unsigned	end = queue->count - 1;
	unsigned	to = end;
	struct outqueue_entry added = *entry;

	while (to > queue->sealed && at(queue, to - 1)->is_reply)
		to--;
	if (to == end || to == queue->sealed || at(queue, to - 1)->group != group)
		return entry;
	for (unsigned i = end; i > to; i--)
		*at(queue, i) = *at(queue, i - 1);
	*at(queue, to) = added;
	return at(queue, to);
}

void
outqueue_push(struct outqueue *queue, struct frame *frame, struct outqueue_owner *owner, uint64_t tx,
			  unsigned group, enum priority priority)
{
	struct outqueue_entry *entry = close_up(queue, add(queue, frame), group);

	entry->owner = owner;
	entry->tx = tx;
	entry->group = group;
	entry->priority = (unsigned char) priority;
}

void
outqueue_push_position(struct outqueue *queue, struct frame *frame)
{
	add(queue, frame);
}

void
outqueue_push_reply(struct outqueue *queue, struct frame *frame)
{
	add(queue, frame)->is_reply = true;
}

static bool
is_position(const struct outqueue_entry *entry)
{
	return frame_kind(entry->frame) == FRAME_POSITION;
}

/* First entry after i that belongs to another group, at most end. */
static unsigned
group_end(const struct outqueue *queue, unsigned i, unsigned end)
{
	unsigned	group = at(queue, i)->group;

	while (i < end && at(queue, i)->group == group)
		i++;
	return i;
}

/*
 * The rank of a group, 0 first: of its highest priority, but not before an earlier group of one of its
 * owners. Those that have ended count as one.
 */
static unsigned
rank_group(struct outqueue *queue, unsigned from, unsigned end, struct outqueue_owner *ended)
{
	unsigned	rank = PRIORITY_CRITICAL;

	for (unsigned i = from; i < end; i++)
		if ((unsigned) PRIORITY_CRITICAL - at(queue, i)->priority < rank)
			rank = (unsigned) PRIORITY_CRITICAL - at(queue, i)->priority;
	for (unsigned i = from; i < end; i++)
	{
		const struct outqueue_owner *owner = at(queue, i)->owner ? at(queue, i)->owner : ended;

		if (owner->seal == queue->seals && owner->rank > rank)
			rank = owner->rank;
	}
	for (unsigned i = from; i < end; i++)
	{
		struct outqueue_owner *owner = at(queue, i)->owner ? at(queue, i)->owner : ended;

		owner->seal = queue->seals;
		owner->rank = rank;
	}
	return rank;
}

/* Orders the groups among the entries from..end, in which there are no positions and replies. */
static void
order_groups(struct outqueue *queue, unsigned from, unsigned end)
{
	unsigned	n = end - from;
	struct outqueue_owner ended = {0, 0};
	struct outqueue_entry *sorted;
	unsigned char *ranks;
	unsigned	to = 0;
	bool		is_sorted = true;

	if (n < 2 || group_end(queue, from, end) == end)
		return;
	queue->seals++;
	ranks = memory_alloc(n);
	for (unsigned i = from; i < end;)
	{
		unsigned	next = group_end(queue, i, end);
		unsigned	rank = rank_group(queue, i, next, &ended);

		if (i > from && rank < ranks[i - from - 1])
			is_sorted = false;
		for (; i < next; i++)
			ranks[i - from] = (unsigned char) rank;
	}
	if (!is_sorted)
	{
		sorted = memory_alloc(sizeof(struct outqueue_entry) * n);
		for (unsigned rank = 0; rank <= PRIORITY_CRITICAL; rank++)
			for (unsigned i = 0; i < n; i++)
				if (ranks[i] == rank)
					sorted[to++] = *at(queue, from + i);
		for (unsigned i = 0; i < n; i++)
			*at(queue, from + i) = sorted[i];
		memory_free(sorted);
	}
	memory_free(ranks);
}

/* Drops the positions of from..end but the last, which goes to the end of what it covers. */
static unsigned
seal_run(struct outqueue *queue, unsigned from, unsigned end)
{
	unsigned	last = end;
	unsigned	to = from;

	for (unsigned i = from; i < end; i++)
		if (is_position(at(queue, i)))
			last = i;
	if (last == end)
	{
		order_groups(queue, from, end);
		return end;
	}
	for (unsigned i = from; i < end; i++)
	{
		struct outqueue_entry *entry = at(queue, i);

		if (i < last && is_position(entry))
		{
			queue->bytes -= frame_payload(entry->frame).len;
			frame_unref(entry->frame);
			continue;
		}
		if (i == last)
			order_groups(queue, from, to);
		*at(queue, to++) = *entry;
	}
	for (unsigned i = from; i < to; i++)
		if (is_position(at(queue, i)))
			order_groups(queue, i + 1, to);
	return to;
}

/* Makes the order of the first limit entries final. */
static void
seal(struct outqueue *queue, unsigned limit)
{
	unsigned	from = 0;

	for (unsigned i = 0; i <= limit; i++)
	{
		unsigned	to;

		if (i < limit && !at(queue, i)->is_reply)
			continue;
		to = seal_run(queue, from, i);
		if (to < i)				/* close the hole that dropped positions left */
		{
			for (unsigned k = i; k < queue->count; k++)
				*at(queue, k - (i - to)) = *at(queue, k);
			limit -= i - to;
			queue->count -= i - to;
			i = to;
		}
		from = i + 1;
	}
	queue->sealed = limit;
}

/* How many entries come before the first of a group. */
static unsigned
count_before(const struct outqueue *queue, unsigned group)
{
	unsigned	i = 0;

	while (i < queue->count && (group == 0 || at(queue, i)->group != group))
		i++;
	return i;
}

unsigned
outqueue_pending(struct outqueue *queue, struct frame **frames, unsigned max, unsigned open_group)
{
	unsigned	n;

	if (queue->sealed == 0 && queue->count > 0)
		seal(queue, count_before(queue, open_group));
	for (n = 0; n < queue->sealed && n < max; n++)
		frames[n] = at(queue, n)->frame;
	return n;
}

void
outqueue_sent(struct outqueue *queue, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
	{
		struct outqueue_entry *entry = at(queue, i);

		queue->bytes -= frame_payload(entry->frame).len;
		frame_unref(entry->frame);
	}
	queue->head = queue->room ? (queue->head + n) & (queue->room - 1) : 0;
	queue->count -= n;
	queue->sealed -= n;
	if (queue->count == 0)
		forget_memory(queue);
}

void
outqueue_disown(struct outqueue *queue, const struct outqueue_owner *owner)
{
	for (unsigned i = 0; i < queue->count; i++)
		if (at(queue, i)->owner == owner)
			at(queue, i)->owner = NULL;
}

struct outqueue_entry *
outqueue_unsealed(struct outqueue *queue, unsigned i)
{
	return queue->sealed + i < queue->count ? at(queue, queue->sealed + i) : NULL;
}

void
outqueue_replace(struct outqueue *queue, struct outqueue_entry *entry, struct frame *frame)
{
	queue->bytes -= frame_payload(entry->frame).len;
	frame_unref(entry->frame);
	entry->frame = frame;
	if (frame != NULL)
		queue->bytes += frame_payload(frame).len;
}

void
outqueue_replace_by(struct outqueue *queue, unsigned i, struct frame **frames, unsigned n)
{
	unsigned	place = queue->sealed + i;
	struct outqueue_entry like;

	outqueue_replace(queue, at(queue, place), n > 0 ? frames[0] : NULL);
	if (n < 2)
		return;
	while (queue->count + n - 1 > queue->room)
		grow(queue);
	for (unsigned k = queue->count; k > place + 1; k--)
		*at(queue, k + n - 2) = *at(queue, k - 1);
	queue->count += n - 1;
	like = *at(queue, place);
	for (unsigned k = 1; k < n; k++)
	{
		like.frame = frames[k];
		*at(queue, place + k) = like;
		queue->bytes += frame_payload(frames[k]).len;
	}
}

void
outqueue_compact(struct outqueue *queue)
{
	unsigned	to = queue->sealed;

	for (unsigned i = queue->sealed; i < queue->count; i++)
		if (at(queue, i)->frame != NULL)
			*at(queue, to++) = *at(queue, i);
	queue->count = to;
	if (queue->count == 0)
		forget_memory(queue);
}
