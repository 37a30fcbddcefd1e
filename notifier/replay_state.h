/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * replay_state.h
 *	  A replay's insides, for replay.c (who resumes, playing) and replay_log.c (asking the database).
 */
#ifndef RT_REPLAY_STATE_H
#define RT_REPLAY_STATE_H

#include <stdatomic.h>

#include "catchup_state.h"

/* One pass over the past for all that resume together. */
struct replay
{
	struct worker *worker;
	struct subscriptions subscriptions;
	struct past **pasts;		/* of their views, from the first turn of playing on */
	unsigned	npasts;
	bool		is_cached;		/* from the recent batches; else one read of the log */
	bool		is_checking;	/* first the positions are checked, then the log is read */
	size_t		max_bytes;
	struct chunk **kept;		/* what is replayed */
	unsigned	nkept;
	unsigned	kept_room;
	unsigned	played;			/* of them */
	struct hub_stream *stream;	/* while they are played */
	struct loop_task *turn;		/* the next */
	struct loop_timer *wait;	/* for it, while a transaction of the live stream is incomplete */
	char	   *position;		/* everything up to it is among what is replayed */

	atomic_bool is_left;		/* nobody waits for it any more */

	/* in the pool's thread */
	struct db_job *job;
	struct chunk **chunks;
	unsigned	nchunks;
	unsigned	room;
	size_t		slice_bytes;
	size_t		bytes;
	char	  **errors;			/* of the positions, in the order of the subscriptions when it was sent */
	unsigned	nerrors;
	bool		is_too_large;
	bool		is_cancelled;
	enum db_outcome outcome;
};

/* Keeps a chunk, with its reference, to be replayed. In the worker's thread. */
void		replay_keep(struct replay *replay, struct chunk *chunk);

/* The database has answered, or not: replay->outcome. In the worker's thread; arg is the replay. */
void		replay_arrived(void *arg);

/* replay_log.c: are the positions good? Reading the log from a bad one could be reading all of it. */
void		replay_check(struct replay *replay);

/* They are: the log is read; then they are checked again. */
void		replay_read(struct replay *replay);

#endif
