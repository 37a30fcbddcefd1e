/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk_record.h
 *	  What is written about a bulk operation: its row in realtime.bulk_operation and its events.
 *	  Knows nothing of workers and slots; every function works in the caller's transaction.
 */
#ifndef REALTIME_BULK_RECORD_H
#define REALTIME_BULK_RECORD_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "catalog.h"

/* Bytes of a feature or entity with its terminator: no less than realtime_check_name allows. */
#define REALTIME_BULK_NAME_SIZE 129
/* Bytes of an operation's text with its terminator: as long as PostgreSQL's names. */
#define REALTIME_BULK_OPERATION_SIZE 64
/* Bytes of a UUID's text with its terminator. */
#define REALTIME_BULK_ID_SIZE 37

/* What does not change while an operation lives; without pointers, because it is shared. */
typedef struct RealtimeBulkRecord
{
	pg_uuid_t	id;
	char		id_text[REALTIME_BULK_ID_SIZE];
	char		feature[REALTIME_BULK_NAME_SIZE];
	char		entity[REALTIME_BULK_NAME_SIZE];
	char		operation[REALTIME_BULK_OPERATION_SIZE];
	int64		total;			/* items; -1: unknown */
	TimestampTz started_at;
	int			priority;		/* RealtimePriority */
	int			notify;			/* RealtimeNotify */
	bool		notify_counts;	/* NOTIFY payloads may carry names and counts */
	bool		notify_results; /* … and the caller's results */
} RealtimeBulkRecord;

typedef struct RealtimeBulkCounts
{
	int64		completed;		/* items done successfully; -1: not known any more */
	int64		failed;
} RealtimeBulkCounts;

typedef enum RealtimeBulkFailure
{
	REALTIME_BULK_ABORTED,
	REALTIME_BULK_SESSION_ENDED
} RealtimeBulkFailure;

/* Takes priority and notification settings from a registration; NULL: the defaults. */
extern void realtime_bulk_record_set_registration(RealtimeBulkRecord *record,
												  const RealtimeRegistration *registration);

/* Adds one event to the transaction. */
extern void realtime_bulk_emit_started(const RealtimeBulkRecord *record);
extern void realtime_bulk_emit_progress(const RealtimeBulkRecord *record,
										RealtimeBulkCounts counts);
extern void realtime_bulk_emit_completed(const RealtimeBulkRecord *record,
										 RealtimeBulkCounts counts, Jsonb *results);
extern void realtime_bulk_emit_failed(const RealtimeBulkRecord *record, RealtimeBulkCounts counts,
									  RealtimeBulkFailure failure);

/* Writes the row of an operation of the session (pid, backend_start); user, session may be NULL. */
extern void realtime_bulk_row_insert(const RealtimeBulkRecord *record, int pid,
									 TimestampTz backend_start, const char *user,
									 const char *session);
extern bool realtime_bulk_row_exists(const pg_uuid_t *id);

/* Deletes the row; false, without waiting, when it is gone or another transaction is at it. */
extern bool realtime_bulk_row_delete(const pg_uuid_t *id);

/* Told of each operation that is being ended, before its event is added. */
typedef void (*RealtimeBulkReapCallback) (const char *user, const char *session);

/*
 * Ends at most limit operations whose session is gone, each with bulk_failed; returns how many.
 * Rows that another transaction is ending are left to it.
 */
extern int	realtime_bulk_row_reap(int limit, RealtimeBulkReapCallback callback);

#endif
