/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup_state.h
 *	  The insides of catching up, for the files that make it up: catchup.c (states, feeding, joining),
 *	  snapshot.c (rows of now), replay.c (transactions of the past). Others use catchup.h.
 */
#ifndef RT_CATCHUP_STATE_H
#define RT_CATCHUP_STATE_H

#include "session_state.h"

/* A frame that waits for its turn. */
struct content
{
	struct frame *frame;		/* NULL: a gap */
	const char *gap;
	uint64_t	xid;
	enum priority priority;
};

struct contents
{
	struct content *at;
	unsigned	n;
	unsigned	room;
	size_t		bytes;
};

enum catchup_state
{
	CATCHUP_FETCHING,			/* the content is on its way */
	CATCHUP_FEEDING,			/* into the queue */
	CATCHUP_JOINING				/* until the stream has passed the join */
};

struct catchup
{
	enum catchup_state state;
	bool		is_resume;
	bool		is_covered;		/* the since of a resumption is a join of its own, see begin_feeding() */
	bool		wants_snapshot;
	bool		is_void;		/* what is replayed is later than a change of rights that the view does not know */
	struct position since;		/* of a resumption */
	char	   *since_text;
	struct batch *at;			/* the stream's position when the subscription began */
	struct position join;
	uint64_t	limit;
	struct message_order *order;
	unsigned	norder;
	struct contents content;
	unsigned	fed;
	struct contents held;
	const char *gap;			/* told after the content: commits could not be held */
	struct snapshot *snapshot;	/* job that it waits for */
	struct replay *replay;
};

struct catchups
{
	struct worker *worker;
	struct snapshot *snapshots;	/* to which subscriptions may be added */
	struct subscriptions joining;
	struct subscriptions resuming;	/* gathered */
	struct loop_timer *gather;
	struct replay *replay;		/* read of the log under way; others wait */
};

void		contents_add(struct contents *contents, struct frame *frame, const char *gap, uint64_t xid,
						 enum priority priority);
void		contents_release(struct contents *contents);

/* Removes a subscription from a list, if it is there. */
void		subscriptions_remove(struct subscriptions *list, const struct subscription *subscription);

/* A gap for one subscription, now. */
void		catchup_tell_gap(struct worker *worker, struct subscription *subscription,
							 const char *reason);

/* The content is complete, as of catchup->join: it is fed into the queue. */
void		catchup_begin_feeding(struct worker *worker, struct subscription *subscription);

/* snapshot.c: adds a subscription to a snapshot that has not arrived, or starts one. */
void		snapshot_start(struct worker *worker, struct subscription *subscription);

/* The subscription does not wait for it any more. */
void		snapshot_drop(struct snapshot *snapshot, const struct subscription *subscription);

/* replay.c: serves the resumptions that have come. arg is the worker. */
void		replay_gather(void *arg);

/* The worker ends: so does a read of the log that is still to be played. Nobody waits for it any more. */
void		replay_end(struct catchups *catchups);
void		replay_drop(struct replay *replay, const struct subscription *subscription);

#endif
