/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * frame.h
 *	  One message to peers: bytes built once, shared by every session that gets them.
 *
 * A frame holds the payload and, right before it, the header of an unmasked WebSocket text frame, so
 * that a WebSocket session sends frame_wire() as it is and other transports take the payload. The
 * count of references is atomic: sessions live on several threads. The bytes never change.
 */
#ifndef RT_FRAME_H
#define RT_FRAME_H

#include <stddef.h>

#include "jsonscan.h"

struct frame;

/* What a frame says, for transports that treat some apart and for counting. */
enum frame_kind
{
	FRAME_REPLY,				/* an answer to the peer's own message */
	FRAME_COMMIT,
	FRAME_SNAPSHOT,
	FRAME_GAP,
	FRAME_POSITION
};

/* A frame with a copy of the payload and one reference, the caller's. */
struct frame *frame_new(enum frame_kind kind, const char *payload, size_t len);

/* A frame to write into: payload_max bytes at frame_payload_at(); finish before sharing. */
struct frame *frame_new_empty(size_t payload_max);
char	   *frame_payload_at(struct frame *frame);
void		frame_finish(struct frame *frame, enum frame_kind kind, size_t len);

struct frame *frame_ref(struct frame *frame);
void		frame_unref(struct frame *frame);

enum frame_kind frame_kind(const struct frame *frame);
struct slice frame_payload(const struct frame *frame);
struct slice frame_wire(const struct frame *frame);

#endif
