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

/* Appends one row: a JSON array of events, as a text datum, of the current top-level transaction. */
extern void realtime_log_append(int part, TimestampTz at, XLogRecPtr lsn,
								const struct varlena *events);

extern void realtime_log_init(void);

#endif
