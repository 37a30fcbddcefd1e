/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * worker.h
 *	  One thread with its sessions, views and connections. Workers share nothing but batches and frames.
 *
 * Model
 * 1. The source parses a batch once; each worker gets a reference, matches it against its own views and
 *	  writes to its own sessions. So there are no locks, and the order of everything in a worker is the
 *	  order in its thread.
 * 2. The worker's position is that of the last complete read. Subscriptions begin between reads.
 * 3. Sessions that have something to send are dirty; they are flushed at the end of a batch, or of
 *	  whatever else made them dirty.
 * 4. The last batches are kept (history_cache) for clients that come back.
 */
#ifndef RT_WORKER_H
#define RT_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access.h"
#include "auth.h"
#include "batch.h"
#include "catchup.h"
#include "db.h"
#include "evaluator.h"
#include "hold.h"
#include "hub.h"
#include "loop.h"
#include "options.h"
#include "reach.h"
#include "source.h"
#include "users.h"

#define LONE_GROUP 0x80000000u

struct inspector;
struct server;
struct session;

/* What workers share; set up before they start. Options are replaced whole at SIGHUP, in each thread. */
struct shared
{
	struct db  *db;
	struct auth *auth;
	struct users *users;
	struct source *source;
	const struct source_class *source_class;
	struct inspector *inspector;
	unsigned char id_key[16];	/* of the ids of views */
};

/* Sessions that have something to send; NULL where one was taken out. */
struct dirty
{
	struct session **at;
	unsigned	n;
	unsigned	room;
};

struct worker
{
	struct loop *loop;
	const struct options *options;
	const struct shared *shared;
	struct server *server;		/* NULL: the companion's */
	/*
	 * Sessions that have a view whose policy PostgreSQL must evaluate live in a second worker of the same
	 * thread, whose batches come through an evaluator, later.
	 */
	struct worker *companion;	/* of a worker with connections: that one; of that one: the other */
	struct evaluator *evaluator;	/* of the second one; else NULL */
	struct hub *hub;
	struct hub_stream *live;
	struct access *access;
	struct catchups *catchups;

	/* the stream */
	struct batch *last;			/* the last complete read's last batch; NULL before the first */
	const char *position;		/* its position's text, or "" */
	struct frame *position_frame;
	const char *gap_position;	/* what gaps of the batch at hand tell */
	bool		is_inside;		/* a read has begun and not ended */
	const struct chunk *chunk;	/* what is being given to the views; else NULL */
	unsigned	group;			/* of the transaction at hand */
	unsigned	lone_group;		/* of what comes between its parts, with LONE_GROUP set */

	/* recent batches, oldest first; a ring */
	struct batch **cache;
	unsigned	cache_head;
	unsigned	cache_count;
	unsigned	cache_room;
	size_t		cache_bytes;
	struct batch *cache_base;	/* whose position everything in the cache is after */

	struct reach reach;			/* what was asked beside the stream and is of later */
	struct holds holds;

	/* sessions */
	struct session *sessions;
	struct dirty dirty;
	struct dirty late;			/* of these, being flushed between batches; others come first */
	struct session *syncing;	/* have syncs that wait */
	struct session *inspected;	/* the next that inspector.c looks at; NULL: none */
	struct loop_timer *tick;	/* every second */
	struct loop_timer *flush;	/* soon, when a session was touched outside a batch */
	struct loop_timer *sync_timer;
	unsigned	ticks;
	unsigned	nsyncs;			/* syncs that wait */
	bool		is_flushing;	/* worker_flush() follows: no timer for it */
	size_t		gathered;		/* bytes of batches taken in since the last flush */
	uint64_t	session_number;
};

struct worker *worker_new(struct loop *loop, const struct options *options,
						  const struct shared *shared);

/* Hands a batch to the worker and to its companion. */
void		worker_take(struct worker *worker, struct batch *batch);
void		worker_free(struct worker *worker);

/* A batch from the source, borrowed; in the worker's thread. */
void		worker_batch(struct worker *worker, struct batch *batch);

/* New options, which outlive the worker. */
void		worker_reload(struct worker *worker, const struct options *options);

/* The session has something to send, or its end is due: it is looked at by worker_flush(). */
void		worker_touch(struct worker *worker, struct session *session);
void		worker_forget(struct worker *worker, struct session *session);

/* What a role may see is known to be this: its views and sessions go by it. */
void		worker_role_changed(struct worker *worker, struct role_access *now);

/* The stream is to be read now, and again until nobody waits for a transaction or a position. */
void		worker_read_soon(struct worker *worker);

/* Gives every dirty session's peer what is ready. Never from within a session_*() call of the server. */
void		worker_flush(struct worker *worker);

/* Whether a token's role may read metrics and the inspector. */
bool		worker_is_admin(struct worker *worker, const char *token, size_t len);

#endif
