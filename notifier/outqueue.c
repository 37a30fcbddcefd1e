/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * outqueue.c
 *	  See outqueue.h. Pure. An idle session's queue owns no memory.
 */
#include "outqueue.h"

#include <string.h>

#include "memory.h"

void
outqueue_init(struct outqueue *queue)
{
	memset(queue, 0, sizeof(*queue));
}

void
outqueue_release(struct outqueue *queue)
{
	for (unsigned i = 0; i < queue->count; i++)
		frame_unref(queue->frames[(queue->head + i) & (queue->room - 1)]);
	memory_free(queue->frames);
	outqueue_init(queue);
}

/* Doubles the ring. */
static void
grow(struct outqueue *queue)
{
	unsigned	room = queue->room ? queue->room * 2 : 4;
	struct frame **frames = memory_alloc(sizeof(struct frame *) * room);

	for (unsigned i = 0; i < queue->count; i++)
		frames[i] = queue->frames[(queue->head + i) & (queue->room - 1)];
	memory_free(queue->frames);
	queue->frames = frames;
	queue->room = room;
	queue->head = 0;
}

int
outqueue_push(struct outqueue *queue, struct frame *frame, size_t max_bytes)
{
	size_t		len = frame_wire(frame).len;

	if (len > max_bytes || queue->bytes > max_bytes - len)
		return RT_TOO_LARGE;
	if (queue->count == queue->room)
		grow(queue);
	queue->frames[(queue->head + queue->count) & (queue->room - 1)] = frame_ref(frame);
	queue->count++;
	queue->bytes += len;
	return RT_OK;
}

size_t
outqueue_peek(const struct outqueue *queue, struct slice *slices, size_t max)
{
	size_t		n = 0;

	for (; n < queue->count && n < max; n++)
		slices[n] = frame_wire(queue->frames[(queue->head + n) & (queue->room - 1)]);
	if (n > 0)
	{
		slices[0].at += queue->sent;
		slices[0].len -= queue->sent;
	}
	return n;
}

void
outqueue_advance(struct outqueue *queue, size_t bytes)
{
	queue->bytes -= bytes;
	queue->sent += bytes;
	while (queue->count > 0)
	{
		struct frame *frame = queue->frames[queue->head];
		size_t		len = frame_wire(frame).len;

		if (queue->sent < len)
			break;
		queue->sent -= len;
		frame_unref(frame);
		queue->head = (queue->head + 1) & (queue->room - 1);
		queue->count--;
	}
	if (queue->count == 0)
	{
		memory_free(queue->frames);
		outqueue_init(queue);
	}
}

unsigned
outqueue_drop(struct outqueue *queue)
{
	unsigned	keep = queue->sent > 0 ? 1 : 0;
	unsigned	dropped = queue->count > keep ? queue->count - keep : 0;

	for (unsigned i = keep; i < queue->count; i++)
		frame_unref(queue->frames[(queue->head + i) & (queue->room - 1)]);
	queue->count -= dropped;
	queue->bytes = keep ? frame_wire(queue->frames[queue->head]).len - queue->sent : 0;
	if (queue->count == 0)
	{
		memory_free(queue->frames);
		outqueue_init(queue);
	}
	return dropped;
}
