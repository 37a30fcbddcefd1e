/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server_feed.h
 *	  What server_feed.c and server_poll.c share about a connection that gets frames over plain HTTP.
 */
#ifndef RT_SERVER_FEED_H
#define RT_SERVER_FEED_H

#include "peer.h"

struct feed_state
{
	struct buffer cors;			/* header lines, with a terminating zero */
	int64_t		opened_us;
	bool		is_over;		/* everything is answered; only the large frame may still be going */
	bool		has_error;		/* the session has said why it ends */
	struct buffer error;		/* and this is its message, with a terminating zero */

	/* a poll's */
	int64_t		due_us;			/* when the answer is given even without news, */
	int64_t		fails_us;		/* and when it is given up if it cannot be given */
	int64_t		look_us;		/* when that is looked at next */
	bool		has_moved;		/* frames were streamed since that was last looked at */
	bool		is_streaming;	/* its answer has begun */
	bool		is_first;		/* no frame was streamed yet */
	bool		has_news;		/* frames other than the usual first ones */
	bool		is_inside;		/* there were such as a position must follow, and none has */
	bool		has_position;	/* a position frame came */
	unsigned	asked;			/* subscriptions */
	unsigned	refused;		/* of them, with an error */
	struct buffer position;		/* JSON text of what to ask with next; empty: none yet */
	struct frame **frames;		/* collected */
	unsigned	count;
	size_t		bytes;
};

/* server_feed.c */

/* The position of a frame that has one, as JSON text. */
bool		feed_find_position(struct frame *frame, struct slice *position);

/* Whether a frame is the error that ends the session: keeps what it says. */
bool		feed_is_end(struct feed_state *state, struct frame *frame);

/* Writes as many of the frames as fit in one go; returns how many, 0: the first one is too large. */
unsigned	feed_send_some(struct peer *peer, struct frame **frames, unsigned n);

/* Starts a frame that does not fit into the scratch buffer, and sends pieces while the socket takes them. */
void		feed_start_large(struct peer *peer, struct frame *frame);
void		feed_send_large(struct peer *peer);

/* Ends the stream or the streamed answer. */
void		feed_end_stream(struct peer *peer);

/* server_poll.c */

/* Takes frames for a poll's answer. */
void		poll_flush(struct peer *peer);

/* Whether an answer now would leave nothing out that its position covers. */
bool		poll_is_whole(const struct peer *peer);

/* Ends a poll with what there is; the second when its answer is not being sent yet, the third when it is. */
void		poll_end(struct peer *peer);
void		poll_answer(struct peer *peer);
void		poll_end_stream(struct peer *peer);

/* Time is over: answers if that can be, or gives up; true: waits on until look_us. */
bool		poll_goes_on(struct peer *peer, int64_t now);

#endif
