/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * session_state.h
 *	  A session's insides, for the files that make it up: session.c (messages, delivery, time),
 *	  subscribe.c (from a request to a subscription), catchup.c (snapshot and resumption), slow.c (readers
 *	  too slow). Others use session.h.
 */
#ifndef RT_SESSION_STATE_H
#define RT_SESSION_STATE_H

#include "auth.h"
#include "outqueue.h"
#include "protocol.h"
#include "session.h"
#include "subscription.h"
#include "worker.h"

/* A message that waits until the one before it is done, or the read has ended. */
struct session_message
{
	struct session_message *next;
	size_t		len;
	char		text[];
};

/* A sync that waits for its transaction. */
struct session_sync
{
	struct session_sync *next;
	uint64_t	tx;
	char	   *ref;			/* JSON text; NULL: none */
};

struct subscribing;				/* subscribe.c: a request that waits for the database */

struct session
{
	/* What each delivery looks at comes first: among thousands of sessions nothing is in a cache. */
	struct worker *worker;
	struct peer *peer;
	struct outqueue queue;
	struct subscribing *subscribing;
	struct session_message *messages;
	struct session_sync *syncs;
	struct hold *hold;			/* what windows hold; NULL: nothing */
	struct batch *told;			/* in the half that it moved from, to whose position the new one has not come yet; NULL: none */
	unsigned	last_group;		/* of the last commit taken in */
	unsigned	dirty_at;		/* place in worker->dirty or late, from 1; 0: not there */
	unsigned	ngaps;			/* subscriptions whose gap is still to be told */
	unsigned	ncatchups;		/* subscriptions that are catching up */
	unsigned	nrechecks;		/* those whose rights are being looked up anew */
	unsigned	progress_tick;	/* when bytes last went out, or the queue was empty */
	unsigned	told_tick;		/* when a position was last sent */
	bool		is_closing;
	bool		is_late;		/* its place is in worker->late */
	bool		is_going_on;	/* session_go_on() runs */
	bool		is_busy;		/* a message is being worked on elsewhere */
	bool		is_syncing;
	bool		has_news;		/* got something in this batch: a position follows */
	bool		has_expiry_notice;
	unsigned char transport;	/* enum transport */

	struct session *previous;	/* of the worker */
	struct session *next;
	char	   *address;
	struct identity *identity;	/* NULL until there is one */
	struct identity *candidate;	/* whose role is being asked for */
	char	   *candidate_ref;	/* of the auth message; NULL: from the handshake */
	struct role_access *role;	/* of identity; NULL until it is known */
	struct subscription *subscriptions;
	struct session *next_syncing;	/* in the worker's list of those with syncs */
	uint64_t	number;
	int64_t		opened_us;
	size_t		messages_bytes;
	unsigned	nsubscriptions;
	unsigned	nsyncs;
	unsigned	bad_frames;
	unsigned	inspection;		/* the last that saw it (inspector.c) */
};

/* Queues an answer. Takes the frame over. */
void		session_reply(struct session *session, struct frame *frame);

/* Answers with an error; counts it, and logs what matters to security. */
void		session_error(struct session *session, struct slice ref, const char *code,
						  const char *message, const char *view);

/* Errors, then closes. */
void		session_end(struct session *session, const char *code, const char *message,
						unsigned close);

/* The message at hand is done: go on with the next. */
void		session_go_on(struct session *session);

/* Queues frames of a subscription. */
void		session_push(struct session *session, struct subscription *subscription,
						 const struct delivery *delivery, unsigned group);

/* What the live stream has for a subscription. */
void		session_deliver(void *worker, struct subscription *subscription,
							const struct delivery *delivery);

/* Queues the current position if nothing withholds it, and the syncs that it settles. */
void		session_push_position(struct session *session);

/*
 * Moves a session to the worker's companion, where policies are evaluated. Its live subscriptions go on there
 * without loss or double. False: not now, something is under way; try again when the read has ended.
 */
bool		session_move(struct session *session);

/* Ends a subscription: takes it out of everything and frees it. */
void		session_drop_subscription(struct session *session, struct subscription *subscription);

/* Ends a subscription with an error that names its view. `code` and `why` are copied. */
void		session_fail_subscription(struct session *session, struct subscription *subscription,
									  const char *code, const char *why);

/* Every second. */
void		session_tick(struct session *session, int64_t now_s);

/* The user that a subscription is for. */
const char *session_user_of(const struct subscription *subscription);

/* subscribe.c: the message is taken over. */
void		session_subscribe(struct session *session, struct message *message);
void		subscribing_cancel(struct session *session);

/* The read that a request waited for has ended. */
void		subscribing_read_ended(struct session *session);

/* slow.c: the queue is over its limit. Merges, or drops and marks a gap. */
void		session_relieve(struct session *session, size_t limit);

#endif
