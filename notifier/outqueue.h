/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * outqueue.h
 *	  What one session still has to send: frames in order, bounded by bytes and count.
 *
 * Model
 * 1. First in, first out: a position frame never overtakes what it covers. Priorities order the
 *	  frames of one batch before they are put here.
 * 2. A full queue refuses: the caller says what happens to a reader too slow. Nothing is dropped here.
 * 3. A partly sent frame stays at the head with the number of bytes that are gone.
 */
#ifndef RT_OUTQUEUE_H
#define RT_OUTQUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "frame.h"

struct outqueue
{
	struct frame **frames;		/* a ring */
	unsigned	head;
	unsigned	count;
	unsigned	room;			/* a power of two, 0 until the first frame */
	size_t		bytes;			/* of the wire, still to send */
	size_t		sent;			/* of the head frame */
};

void		outqueue_init(struct outqueue *queue);
void		outqueue_release(struct outqueue *queue);

/* Adds a frame and takes a reference: RT_TOO_LARGE when that would pass max_bytes. */
int			outqueue_push(struct outqueue *queue, struct frame *frame, size_t max_bytes) RT_MUST_CHECK;

/* Up to max slices of what is to send, in order; returns how many. Valid until the next change. */
size_t		outqueue_peek(const struct outqueue *queue, struct slice *slices, size_t max);

/* Counts bytes as sent, dropping the frames that are done. */
void		outqueue_advance(struct outqueue *queue, size_t bytes);

/* Drops all but a frame that is partly sent; returns how many frames went. */
unsigned	outqueue_drop(struct outqueue *queue);

static inline bool
outqueue_is_empty(const struct outqueue *queue)
{
	return queue->count == 0;
}

#endif
