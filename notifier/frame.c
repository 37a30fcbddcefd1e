/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * frame.c
 *	  See frame.h.
 */
#include "frame.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"
#include "stats.h"

#define HEADER_MAX 10			/* RFC 6455: 2 bytes, or 4 from 126 bytes on, or 10 from 65,536 on */

struct frame
{
	atomic_uint refs;
	unsigned char header_len;
	unsigned char kind;			/* enum frame_kind */
	size_t		len;			/* of the payload */
	char		bytes[];		/* HEADER_MAX, then the payload; the header ends where that starts */
};

struct frame *
frame_new_empty(size_t payload_max)
{
	struct frame *frame = memory_alloc(sizeof(struct frame) + HEADER_MAX + payload_max);

	atomic_init(&frame->refs, 1);
	frame->header_len = 0;
	frame->kind = FRAME_REPLY;
	frame->len = 0;
	return frame;
}

char *
frame_payload_at(struct frame *frame)
{
	return frame->bytes + HEADER_MAX;
}

void
frame_finish(struct frame *frame, enum frame_kind kind, size_t len)
{
	unsigned char *payload = (unsigned char *) frame->bytes + HEADER_MAX;
	unsigned	header_len = len < 126 ? 2 : len < 65536 ? 4 : 10;
	unsigned char *header = payload - header_len;

	frame->len = len;
	frame->kind = (unsigned char) kind;
	frame->header_len = (unsigned char) header_len;
	if (kind == FRAME_SNAPSHOT)
		stats_add(STAT_SNAPSHOT_BYTES, (int64_t) len);
	header[0] = 0x81;			/* FIN, text */
	if (header_len == 2)
		header[1] = (unsigned char) len;
	else
	{
		header[1] = header_len == 4 ? 126 : 127;
		for (unsigned i = 0; i < header_len - 2; i++)
			header[header_len - 1 - i] = (unsigned char) ((uint64_t) len >> (8 * i));
	}
}

struct frame *
frame_new(enum frame_kind kind, const char *payload, size_t len)
{
	struct frame *frame = frame_new_empty(len);

	memcpy(frame_payload_at(frame), payload, len);
	frame_finish(frame, kind, len);
	return frame;
}

struct frame *
frame_ref(struct frame *frame)
{
	atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
	return frame;
}

void
frame_unref(struct frame *frame)
{
	if (atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (frame->kind == FRAME_SNAPSHOT)
		stats_add(STAT_SNAPSHOT_BYTES, -(int64_t) frame->len);
	memory_free(frame);
}

enum frame_kind
frame_kind(const struct frame *frame)
{
	return (enum frame_kind) frame->kind;
}

struct slice
frame_payload(const struct frame *frame)
{
	struct slice payload = {frame->bytes + HEADER_MAX, frame->len};

	return payload;
}

struct slice
frame_wire(const struct frame *frame)
{
	struct slice wire = {frame->bytes + HEADER_MAX - frame->header_len,
		frame->header_len + frame->len};

	return wire;
}
