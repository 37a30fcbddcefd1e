/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * outqueue.h
 *	  What one session still has to send.
 *
 * Model
 * 1. Frames are put in in the order of the stream: the commits of transactions (a group is what one
 *	  transaction has for this session), positions, replies.
 * 2. They leave in that order unless they pile up. When the transport asks for more, all that is there is
 *	  *sealed*: between replies, groups are ordered by priority, never past an earlier group of one of
 *	  their owners (views), frames of a group together; of several positions only the last is kept, at the
 *	  end of what it covers. A sealed batch is finite, so no priority starves.
 * 3. Bytes and frames are counted; what to do with a queue too long is the session's policy.
 *
 * An idle queue owns no memory.
 */
#ifndef RT_OUTQUEUE_H
#define RT_OUTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "frame.h"

/* Whose order must be kept; embedded in a subscription. Zeroed at first. */
struct outqueue_owner
{
	unsigned	seal;			/* scratch of sealing */
	unsigned	rank;
};

struct outqueue_entry
{
	struct frame *frame;
	struct outqueue_owner *owner;	/* NULL: none (replies, positions, ended subscriptions) */
	uint64_t	tx;				/* of a commit; 0 otherwise */
	unsigned	group;
	unsigned char priority;		/* enum priority */
	bool		is_reply;		/* nothing passes it */
};

struct outqueue
{
	struct outqueue_entry *entries;	/* a ring */
	unsigned	head;
	unsigned	count;
	unsigned	room;			/* a power of two, 0 until the first frame */
	unsigned	sealed;			/* entries at the head whose order is final */
	unsigned	seals;
	size_t		bytes;			/* of the payloads */
};

void		outqueue_init(struct outqueue *queue);
void		outqueue_release(struct outqueue *queue);

/* Adds a reference to a frame of an owner: part of a group (one transaction). */
void		outqueue_push(struct outqueue *queue, struct frame *frame, struct outqueue_owner *owner,
						  uint64_t tx, unsigned group, enum priority priority);

/* Adds a reference to a position or a reply. */
void		outqueue_push_position(struct outqueue *queue, struct frame *frame);
void		outqueue_push_reply(struct outqueue *queue, struct frame *frame);

/*
 * Up to max frames in final order; they stay in the queue. open_group: a transaction of which more is to
 * come, which waits until it is whole; 0: none.
 */
unsigned	outqueue_pending(struct outqueue *queue, struct frame **frames, unsigned max,
							 unsigned open_group);

/* The first n of them are gone. */
void		outqueue_sent(struct outqueue *queue, unsigned n);

/* An owner ends; its frames stay. */
void		outqueue_disown(struct outqueue *queue, const struct outqueue_owner *owner);

/* An entry that is not sealed yet, by number from 0; NULL at the end. Its frame may be replaced. */
struct outqueue_entry *outqueue_unsealed(struct outqueue *queue, unsigned i);

/* Replaces an entry's frame, taking the new one's reference over; NULL removes it at the next compaction. */
void		outqueue_replace(struct outqueue *queue, struct outqueue_entry *entry, struct frame *frame);
void		outqueue_compact(struct outqueue *queue);

/*
 * Puts n frames, whose references it takes over, in the place of the frame of an unsealed entry, as entries
 * like it. Entries move: pointers to them are void.
 */
void		outqueue_replace_by(struct outqueue *queue, unsigned i, struct frame **frames, unsigned n);

static inline bool
outqueue_is_empty(const struct outqueue *queue)
{
	return queue->count == 0;
}

#endif
