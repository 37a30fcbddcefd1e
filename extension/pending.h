/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * pending.h
 *	  The changes of the transaction under way, until it commits.
 *
 * Model
 * 1. A change is kept as its tuples plus the command id that made it. Nested AFTER triggers deliver
 *	  changes out of order; the command id puts them right, arrival decides among equals.
 * 2. Changes are appended to piles in which command ids never fall; as many piles as triggers nest.
 *	  A merge of the piles is the transaction's order. Over realtime.pending_memory piles go to disk.
 * 3. The first change in a subtransaction marks the piles' lengths; a rollback cuts them there.
 * 4. Before DDL that can change the meaning of a kept tuple, changes become text in place.
 * 5. At pre-commit (or pre-prepare) the merge is written to the commit log; see flush.c. A change
 *	  that arrives later (another extension's callback) is written at once as a further part.
 * 6. The reset callback of the transaction's memory context forgets it all: no end of a transaction
 *	  can leave a pointer behind.
 */
#ifndef REALTIME_PENDING_H
#define REALTIME_PENDING_H

#include "access/transam.h"

#include "event.h"

typedef struct RealtimePending RealtimePending;

/* Keeps one row change; copies the tuples. */
extern void realtime_pending_add_change(const RealtimeChange *change, CommandId cid, bool is_moved);

/* Keeps one event; copies it. */
extern void realtime_pending_add_event(const RealtimeEvent *event);

/* Logs one resync marker per relation and transaction for a registered root; reason is a word. */
extern void realtime_pending_add_resync(Oid root, const char *reason);
/* The same for a registration that may be gone already. */
struct RealtimeRegistration;
extern void realtime_pending_add_resync_of(const struct RealtimeRegistration *registration,
										   const char *reason);

/* What a transaction has written so far; lives as long as it. */
typedef struct RealtimeTransaction
{
	int64		seq;			/* of the next event */
	int			part;			/* of the next log row */
	XLogRecPtr	lsn;			/* 0 until the first flush */
	TimestampTz at;
	bool		is_flushed;
	bool		is_prepared;	/* no bell: PREPARE TRANSACTION forbids NOTIFY */
	int			notified;		/* NOTIFY payloads so far */
	int64		not_notified;	/* events beyond them */
} RealtimeTransaction;

/* An ordered reading of a set of pending changes. */
typedef struct RealtimeCursor RealtimeCursor;
extern RealtimeCursor *realtime_cursor_open(RealtimePending *pending);
/* Next change; REALTIME_OP_EVENT sets event instead. Valid until the next call. */
extern bool realtime_cursor_next(RealtimeCursor *cursor, RealtimeChange *change,
								 RealtimeEvent *event);
extern void realtime_cursor_close(RealtimeCursor *cursor);
/* Whether all changes are in memory: what the cursor returns then stays valid until it is closed. */
extern bool realtime_pending_is_in_memory(const RealtimePending *pending);
/* Row changes captured per entity root: the upper bound of what the cursor yields. */
extern int64 realtime_pending_count(const RealtimePending *pending, const RealtimeEntity *entity);
extern bool realtime_pending_may_coalesce(const RealtimePending *pending);
/* Whether some entity has more changes than its bulk threshold. */
extern bool realtime_pending_may_sum_up(const RealtimePending *pending);
/* Whether writing it may fetch out-of-line values or run functions. */
extern bool realtime_pending_needs_snapshot(const RealtimePending *pending);
/* The context of a set; ends with it. */
extern MemoryContext realtime_pending_context(const RealtimePending *pending);

extern void realtime_pending_init(void);

#endif
