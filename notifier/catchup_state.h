/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup_state.h
 *	  The insides of catching up, for the files that make it up: catchup.c (states, joining), catchup_feed.c (from
 *	  the content to the queue), snapshot.c (rows of now), replay.c and replay_log.c (transactions of the past).
 *	  Others use catchup.h.
 */
#ifndef RT_CATCHUP_STATE_H
#define RT_CATCHUP_STATE_H

#include "session_state.h"

enum content_kind
{
	CONTENT_FRAME,
	CONTENT_GAP,
	CONTENT_OWN,				/* of this transaction some get something else, from their own contents */
	CONTENT_RIGHTS				/* rights change here: who began before that gets no more of it */
};

/* Something that waits for its turn. */
struct content
{
	struct frame *frame;		/* of CONTENT_FRAME */
	const char *gap;			/* of CONTENT_GAP: the reason */
	uint64_t	xid;			/* 0: of a snapshot */
	unsigned	nevents;
	unsigned char kind;			/* enum content_kind */
	unsigned char priority;		/* enum priority */
};

struct contents
{
	struct content *at;
	unsigned	n;
	unsigned	room;
	size_t		bytes;
};

/*
 * What a replay has for a view, once for all that resume in it: each takes what its own position does not
 * cover. It grows while the replay plays and does not change afterwards.
 */
struct past
{
	unsigned	refs;			/* the replay's, and one of each subscription */
	struct view *view;			/* kept by view->unsettled; NULL once the replay is over */
	struct subscriptions subscriptions;	/* that wait for it, while it plays */
	struct contents contents;
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
	bool		is_resume;		/* since is what it resumes from */
	bool		had_since;		/* it was, if only to find that history is gone */
	bool		wants_snapshot;
	bool		is_cut;			/* rights changed in what was replayed, or while joining: the rest is left out, a gap is due */
	bool		is_again;		/* the snapshot begins again, after a gap */
	bool		is_waiting;		/* for its rights, or for the gap to be told, before it does */
	bool		is_begun;		/* while it waits: something had been sent, a gap is due */
	struct position since;		/* of a resumption: covered, too, when the join is there */
	char	   *since_text;
	struct batch *at;			/* the stream's position when the subscription began */
	struct position join;
	uint64_t	limit;
	struct message_order *order;
	unsigned	norder;
	struct past *past;			/* of a resumption; fed first */
	unsigned	past_fed;
	struct contents content;	/* a snapshot's parts, or what of a past is for this subscription alone */
	unsigned	fed;
	struct contents held;
	const char *gap;			/* told after the content: commits could not be held */
	struct snapshot *snapshot;	/* job that it waits for */
	struct replay *replay;
	struct subscription *next_feeding;	/* while it is in that list */
	struct subscription *previous_feeding;
	bool		is_listed;		/* in that list */
};

struct catchups
{
	struct worker *worker;
	struct snapshot *snapshots;	/* to which subscriptions may be added */
	struct subscriptions joining;
	struct subscriptions resuming;	/* gathered */
	struct subscriptions starting;	/* a snapshot, when the read, or the next one, has ended */
	struct loop_timer *gather;
	struct replay *replay;		/* read of the log under way; others wait */
	struct replay *cached;		/* replay from the recent batches under way; others wait */
	struct subscription *feeding;	/* whose turn it is to be fed, first to last */
	struct subscription *last_feeding;
	struct loop_task *feed;
	struct loop_timer *feed_later;	/* when a read is under way, or feeding rests */
	int64_t		busy_us;		/* that feeding has taken since its last rest */
};

/* Adds to a list; takes a reference to the frame, which may be NULL. */
struct content *contents_add(struct contents *contents, enum content_kind kind, struct frame *frame,
							 uint64_t xid);

/* What the hub has for a subscription. */
void		contents_add_delivery(struct contents *contents, const struct delivery *delivery);
void		contents_release(struct contents *contents);

/* Removes a subscription from a list, if it is there. */
void		subscriptions_remove(struct subscriptions *list, const struct subscription *subscription);

/* A gap for one subscription, now. */
void		catchup_tell_gap(struct worker *worker, struct subscription *subscription,
							 const char *reason);

void		past_unref(struct past *past);

/* Whether a transaction is among what the subscription has when its content was fed. */
bool		catchup_has(const struct catchup *catchup, uint64_t xid);

/*
 * catchup_feed.c: the content is complete, as of catchup->join. It is fed into the queue in turns that others' transactions
 * go before.
 */
void		catchup_begin_feeding(struct worker *worker, struct subscription *subscription);

/* No more turns. */
void		catchup_end_feeding(struct catchups *all, struct subscription *subscription);

/* A turn of those who are being fed; arg is the worker. */
void		catchups_feed_turn(void *arg);

/* The content is in the queue: what was held follows, and the stream. */
void		catchup_fed(struct worker *worker, struct subscription *subscription);

/* snapshot.c: adds a subscription to a snapshot that has not arrived, or starts one. */
void		snapshot_start(struct worker *worker, struct subscription *subscription);

/* No subscription joins it any more. */
void		snapshot_close(struct snapshot *snapshot);

/* The subscription does not wait for it any more. */
void		snapshot_drop(struct snapshot *snapshot, const struct subscription *subscription);

/* replay.c: serves the resumptions that have come. arg is the worker. */
void		replay_gather(void *arg);

/* The worker ends: so does a read of the log that is still to be played. Nobody waits for it any more. */
void		replay_end(struct catchups *catchups);
void		replay_drop(struct replay *replay, struct subscription *subscription);

#endif
