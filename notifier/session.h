/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * session.h
 *	  One peer's side of the protocol realtime.v1: who it is, what it subscribed to, what it still has to
 *	  get. Knows no transport: server.c moves the bytes.
 *
 * All calls are made in the worker's thread.
 */
#ifndef RT_SESSION_H
#define RT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "frame.h"

struct session;
struct peer;
struct worker;

enum transport
{
	TRANSPORT_WEBSOCKET,
	TRANSPORT_SSE,
	TRANSPORT_POLL
};

struct peer_info
{
	struct peer *peer;
	enum transport transport;
	const char *address;		/* of the peer, for logs and limits; copied */
	const char *token;			/* from the Authorization header or subprotocol; NULL: none */
	size_t		token_len;
};

/*
 * Opens a session; its welcome is ready to be sent. NULL when the peer is refused: *status is the HTTP
 * status (401, 403, 429, 503) and *code the protocol's error code. Counted and logged here.
 */
struct session *session_open(struct worker *worker, const struct peer_info *info, unsigned *status,
							 const char **code);

/* A whole message of the peer (valid UTF-8, at most options.max_message bytes). */
void		session_receive(struct session *session, const char *text, size_t len);

/*
 * Up to max frames that can be sent now, in order; returns how many. They stay the session's until
 * session_sent() says that n of them are with the transport. Frames do not change in between, but more
 * may follow. n is 0 when bytes of a large frame moved that was counted before: the peer reads.
 */
unsigned	session_pending(struct session *session, struct frame **frames, unsigned max);
void		session_sent(struct session *session, unsigned n);

/* The peer is gone; frees the session. */
void		session_closed(struct session *session);

/* Whether every message is answered and every subscription has come to the present: a position says it all. */
bool		session_is_settled(const struct session *session);

/* Whether the session waits for a valid token (the transport's authentication time-out). */
bool		session_is_waiting_for_auth(const struct session *session);

#endif
