/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * housekeeping.h
 *	  Who prunes the log, and when. See housekeeping.c.
 */
#ifndef REALTIME_HOUSEKEEPING_H
#define REALTIME_HOUSEKEEPING_H

#include "datatype/timestamp.h"

/* Counts what was appended; returns whether it is time to look at the log's size and age. */
extern bool realtime_housekeeping_is_look_due(bool is_first_part, uint64 xid, Size bytes);

/*
 * Pruning is due, since this child, current since then, is old (fill 0) or has its share of the limit so many times: has
 * a worker do it. Whether one can be had does not matter.
 */
extern void realtime_housekeeping_start(Oid child, TimestampTz filled_from, uint64 fill,
										TimestampTz now);

/* Locks a relation against everybody, waiting for so long at most; false when somebody else still has it. */
extern bool realtime_housekeeping_lock(Oid relid, int ms);

#endif
