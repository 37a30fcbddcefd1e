/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * websocket.h
 *	  RFC 6455 on the bytes of a peer, the server's side: what arrives becomes messages and control
 *	  frames; anything the RFC forbids becomes a close code. Knows no sockets.
 *
 * Invariants
 * 1. Text is checked for UTF-8 as it arrives, across fragments, so a bad message fails early.
 * 2. A message that lies whole in the bytes given is not copied; others are collected, up to max.
 * 3. After an error the reader must not be used again.
 */
#ifndef RT_WEBSOCKET_H
#define RT_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "utf8.h"

#define WEBSOCKET_CONTROL_MAX 125	/* bytes in a control frame */
#define WEBSOCKET_REASON_MAX 123	/* bytes of a close frame's reason */

enum websocket_code
{
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL_ERROR = 1002,
	WEBSOCKET_UNSUPPORTED = 1003,
	WEBSOCKET_NO_CODE = 1005,	/* a close frame without a code; never sent */
	WEBSOCKET_BAD_TEXT = 1007,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_LARGE = 1009,
	WEBSOCKET_RESTART = 1012
};

enum websocket_event
{
	WEBSOCKET_NEED_MORE,		/* all bytes are used up */
	WEBSOCKET_TEXT,				/* a whole message */
	WEBSOCKET_PING,
	WEBSOCKET_PONG,
	WEBSOCKET_CLOSE,			/* code tells which */
	WEBSOCKET_ERROR				/* code and why tell the close frame to send */
};

struct websocket
{
	size_t		max;			/* bytes of a message */
	uint64_t	remaining;		/* payload bytes of the current frame still to come */
	struct buffer message;		/* collected so far */
	struct utf8 utf8;
	unsigned char header[14];
	unsigned char header_len;
	unsigned char header_need;	/* 0: between frames */
	unsigned char mask[4];
	unsigned char mask_at;
	unsigned char opcode;
	unsigned char control_len;
	bool		is_in_payload;
	bool		is_final;
	bool		is_in_message;	/* a fragmented one */
	bool		is_delivered;	/* the collected message was given out: to be dropped at the next call */
	unsigned char control[WEBSOCKET_CONTROL_MAX];
};

/* What websocket_read() found. The payload is valid until the next call. */
struct websocket_result
{
	enum websocket_event event;
	const char *payload;
	size_t		len;
	unsigned	code;
	const char *why;
};

void		websocket_init(struct websocket *websocket, size_t max);
void		websocket_release(struct websocket *websocket);

/*
 * Reads from *bytes, moves it forward and shortens *len. The bytes are unmasked where they are. Call it
 * until it says NEED_MORE.
 */
struct websocket_result websocket_read(struct websocket *websocket, unsigned char **bytes, size_t *len);

/* Writes a control frame (opcode 8, 9 or 10) of at most 125 bytes; returns its length. */
size_t		websocket_control(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], unsigned opcode,
							  const void *payload, size_t len);

/* Writes a close frame; a longer reason is cut between two characters. */
size_t		websocket_close_frame(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], unsigned code,
								  const char *reason);

#endif
