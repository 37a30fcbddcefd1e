/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * commit_log.h
 *	  realtime.commit_log: appending, rotation and pruning, forgetting. See commit_log.c.
 */
#ifndef REALTIME_COMMIT_LOG_H
#define REALTIME_COMMIT_LOG_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#define LOG_CHILDREN 4

/* Appends one row: a JSON array of events, as a text datum, of the current top-level transaction. */
extern void realtime_log_append(int part, TimestampTz at, XLogRecPtr lsn,
								const struct varlena *events);

/*
 * Empties the children that are too old, or too much, and turns to the next when that is due; returns how many were
 * emptied. The oldest of a log that is too large is waited for so long at most. Sets is_behind when the log stayed
 * too large because somebody uses a child. Nothing is done while somebody else prunes.
 */
extern int	realtime_log_prune(int lock_ms, bool *is_behind);

/* Oid of a child by number, 0 to LOG_CHILDREN - 1. */
extern Oid	realtime_log_child(int child);

extern void realtime_log_init(void);

#endif
