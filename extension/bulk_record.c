/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk_record.c
 *	  What is written about a bulk operation: its row and its events.
 *
 * The row says that an operation is under way and whose it is; it goes in the transaction that adds
 * the operation's last event.  Whoever deletes it locks it first without waiting: of several that
 * would end an operation one does, the others go on.  The row does not follow progress, which
 * would cost a dead tuple four times a second; after a crash the counts are not known any more.
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "bulk_record.h"
#include "compat.h"
#include "entity.h"
#include "event.h"
#include "json.h"
#include "pending.h"

#define BULK_TABLE "bulk_operation"

/* The word that bulk_failed carries. */
static const char *
failure_reason(RealtimeBulkFailure failure)
{
	return failure == REALTIME_BULK_ABORTED ? "aborted" : "session ended";
}

/* A boolean member of a settings object; the default when there is none. */
static bool
settings_bool(Jsonb *settings, const char *key, bool otherwise)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&settings->root, key, strlen(key), &buffer);

	return value != NULL && value->type == jbvBool ? value->val.boolean : otherwise;
}

/*
 * Takes priority and notification settings from a registration, NULL: the defaults.  Counts hold no
 * row data, so they are notified unless the owner forbids data; what a caller puts into results may
 * be anything, so it is notified only if the owner allows data.
 */
void
realtime_bulk_record_set_registration(RealtimeBulkRecord *record,
									  const RealtimeRegistration *registration)
{
	char	   *priority = NULL;
	char	   *notify = NULL;

	record->notify_counts = record->notify_results = false;
	if (registration != NULL)
	{
		priority = realtime_settings_text(registration->settings, "priority");
		notify = realtime_settings_text(registration->settings, "notify");
		record->notify_counts = settings_bool(registration->settings, "notify_data", true);
		record->notify_results = settings_bool(registration->settings, "notify_data", false);
	}
	record->priority = priority == NULL ? -1 : realtime_priority_from_name(priority);
	if (record->priority < 0)
		record->priority = REALTIME_PRIORITY_NORMAL;
	if (notify != NULL && strcmp(notify, "always") == 0)
		record->notify = REALTIME_NOTIFY_ALWAYS;
	else if (notify != NULL && strcmp(notify, "never") == 0)
		record->notify = REALTIME_NOTIFY_NEVER;
	else
		record->notify = REALTIME_NOTIFY_AUTO;
}

/* Begins a member of data; false when the caller's results (may be NULL) have one of that name. */
static bool
begin_member(RealtimeEvent *event, Jsonb *results, const char *key)
{
	if (results != NULL &&
		getKeyJsonValueFromContainer(&results->root, key, strlen(key), NULL) != NULL)
		return false;
	if (event->text.data[event->text.len - 1] != '{')
		appendStringInfoChar(&event->text, ',');
	appendStringInfo(&event->text, "\"%s\":", key);
	return true;
}

/* Appends a number of items, null when it is not known. */
static void
append_count(RealtimeEvent *event, Jsonb *results, const char *key, int64 count)
{
	if (!begin_member(event, results, key))
		return;
	if (count < 0)
		appendStringInfoString(&event->text, "null");
	else
		appendStringInfo(&event->text, INT64_FORMAT, count);
}

/* Begins an event with the members of data that all have: operationId, operation, total. */
static void
begin_event(RealtimeEvent *event, const RealtimeBulkRecord *record, const char *action,
			Jsonb *results)
{
	char		id[REALTIME_BULK_ID_SIZE + 2];

	snprintf(id, sizeof(id), "\"%s\"", record->id_text);
	realtime_event_init(event, record->feature, record->entity, action, id);
	event->priority = record->priority;
	event->notify = record->notify;
	event->notify_data = record->notify_counts;
	appendStringInfoString(&event->text, ",\"data\":{");
	if (begin_member(event, results, "operationId"))
		appendStringInfoString(&event->text, id);
	if (begin_member(event, results, "operation"))
		realtime_json_append_string(&event->text, record->operation, strlen(record->operation));
	append_count(event, results, "total", record->total);
}

/* Closes data and gives the event to the transaction. */
static void
end_event(RealtimeEvent *event)
{
	appendStringInfoChar(&event->text, '}');
	realtime_pending_add_event(event);
}

/* Adds bulk_started. */
void
realtime_bulk_emit_started(const RealtimeBulkRecord *record)
{
	RealtimeEvent event;

	begin_event(&event, record, "bulk_started", NULL);
	end_event(&event);
}

/*
 * Adds bulk_progress.  percentage is rounded and 100 at the end only; percentage and estimatedTimeRemaining (seconds, as if the rest went at the
 * average pace so far) count failed items as done; double is exact enough for both.
 */
void
realtime_bulk_emit_progress(const RealtimeBulkRecord *record, RealtimeBulkCounts counts)
{
	RealtimeEvent event;
	double		total = (double) record->total;
	double		done = (double) counts.completed + (double) counts.failed;
	double		elapsed = (double) (GetCurrentTimestamp() - record->started_at) / USECS_PER_SEC;

	begin_event(&event, record, "bulk_progress", NULL);
	append_count(&event, NULL, "completed", counts.completed);
	append_count(&event, NULL, "failed", counts.failed);
	begin_member(&event, NULL, "percentage");
	if (record->total < 0)
		appendStringInfoString(&event.text, "null");
	else if (done >= total)
		appendStringInfoString(&event.text, "100");
	else
		appendStringInfo(&event.text, "%d", Min((int) floor(100 * done / total + 0.5), 99));
	begin_member(&event, NULL, "estimatedTimeRemaining");
	if (record->total < 0 || (done <= 0 && total > 0))
		appendStringInfoString(&event.text, "null");
	else if (done >= total)
		appendStringInfoString(&event.text, "0");
	else
		appendStringInfo(&event.text, "%.0f", ceil(Max(elapsed, 0) * (total - done) / done));
	end_event(&event);
}

/* Adds bulk_completed; members of results, an object or NULL, replace those of the same name. */
void
realtime_bulk_emit_completed(const RealtimeBulkRecord *record, RealtimeBulkCounts counts,
							 Jsonb *results)
{
	RealtimeEvent event;
	TimestampTz elapsed = Max(GetCurrentTimestamp() - record->started_at, 0);

	begin_event(&event, record, "bulk_completed", results);
	append_count(&event, results, "completed", counts.completed);
	append_count(&event, results, "failed", counts.failed);
	append_count(&event, results, "successful", counts.completed);
	if (begin_member(&event, results, "duration"))
		appendStringInfo(&event.text, "%.3f", (double) elapsed / USECS_PER_SEC);
	if (begin_member(&event, results, "errors"))
		appendStringInfoString(&event.text, "[]");
	if (results != NULL && JB_ROOT_COUNT(results) > 0)
	{
		StringInfoData members;

		event.notify_data = record->notify_results;
		initStringInfo(&members);
		JsonbToCString(&members, &results->root, VARSIZE(results));
		if (event.text.data[event.text.len - 1] != '{')
			appendStringInfoChar(&event.text, ',');
		appendBinaryStringInfo(&event.text, members.data + 1, members.len - 2);
		pfree(members.data);
	}
	end_event(&event);
}

/* Adds bulk_failed. */
void
realtime_bulk_emit_failed(const RealtimeBulkRecord *record, RealtimeBulkCounts counts,
						  RealtimeBulkFailure failure)
{
	RealtimeEvent event;

	begin_event(&event, record, "bulk_failed", NULL);
	append_count(&event, NULL, "completed", counts.completed);
	append_count(&event, NULL, "failed", counts.failed);
	begin_member(&event, NULL, "reason");
	appendStringInfo(&event.text, "\"%s\"", failure_reason(failure));
	end_event(&event);
}

/* A column's value from text that may be NULL. */
static RealtimeValue
text_value(const char *column, const char *text)
{
	RealtimeValue value = {column, (Datum) 0, text == NULL};

	if (text != NULL)
		value.value = CStringGetTextDatum(text);
	return value;
}

/* Writes the row of an operation of the session (pid, backend_start). */
void
realtime_bulk_row_insert(const RealtimeBulkRecord *record, int pid, TimestampTz backend_start,
						 const char *user, const char *session)
{
	Relation	table = realtime_table_open(BULK_TABLE, RowExclusiveLock);
	RealtimeValue values[] = {
		{"id", UUIDPGetDatum(&record->id), false},
		text_value("feature", record->feature),
		text_value("entity", record->entity),
		text_value("operation", record->operation),
		{"total", Int64GetDatum(record->total), record->total < 0},
		{"pid", Int32GetDatum(pid), false},
		{"backend_start", TimestampTzGetDatum(backend_start), false},
		{"started_at", TimestampTzGetDatum(record->started_at), false},
		text_value("user_id", user),
		text_value("session_id", session)
	};

	realtime_table_insert(table, values, lengthof(values));
	table_close(table, NoLock);
}

/*
 * Deletes a row of the table unless another transaction has deleted it or may: false then.  The
 * lock does not wait, because the other may be a prepared transaction.
 */
static bool
delete_tuple(Relation table, HeapTuple tuple)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(table, &tuple->t_self, SnapshotAny, slot, GetCurrentCommandId(true),
							  LockTupleExclusive, LockWaitSkip, 0, &failure);
	ExecDropSingleTupleTableSlot(slot);
	if (result != TM_Ok)
		return false;
	realtime_table_delete(table, tuple);
	return true;
}

/*
 * Begins a scan of the rows that are committed now and the transaction's own.  Not a snapshot of
 * the usual kind, because a serializable transaction would take a predicate lock on the table with
 * it, and two jobs that complete at the same time would fail for each other.
 */
static TableScanDesc
begin_scan(Relation table)
{
	return table_beginscan(table, SnapshotSelf, 0, NULL);
}

/* A copy of the row of an operation, NULL when there is none. */
static HeapTuple
find_tuple(Relation table, const pg_uuid_t *id)
{
	TableScanDesc scan = begin_scan(table);
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		Datum		value = realtime_table_get(table, tuple, "id", &isnull);

		if (!isnull && memcmp(DatumGetUUIDP(value), id, sizeof(*id)) == 0)
		{
			tuple = heap_copytuple(tuple);
			break;
		}
	}
	table_endscan(scan);
	return tuple;
}

/* Whether an operation has a row. */
bool
realtime_bulk_row_exists(const pg_uuid_t *id)
{
	Relation	table = realtime_table_open(BULK_TABLE, AccessShareLock);
	bool		exists = find_tuple(table, id) != NULL;

	table_close(table, NoLock);
	return exists;
}

/* Deletes the row of an operation; false when it is gone or another transaction is at it. */
bool
realtime_bulk_row_delete(const pg_uuid_t *id)
{
	Relation	table = realtime_table_open(BULK_TABLE, RowExclusiveLock);
	HeapTuple	tuple = find_tuple(table, id);
	bool		is_deleted = tuple != NULL && delete_tuple(table, tuple);

	table_close(table, NoLock);
	return is_deleted;
}

/*
 * Whether a session lives.  The entries of other backends are read into a copy that may be older
 * than the row in hand, and a session that it lacks would seem dead: the caller clears it between
 * reading the rows and asking.
 */
static bool
is_session_alive(int pid, TimestampTz backend_start)
{
	int			n;

	if (BackendPidGetProc(pid) == NULL)
		return false;
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *entry = compat_backend_status(i);

		if (entry != NULL && entry->backendStatus.st_procpid == pid &&
			entry->backendStatus.st_proc_start_timestamp == backend_start)
			return true;
	}
	return false;
}

/* Copies a text column into a field of a record of that size. */
static void
read_text(Relation table, HeapTuple tuple, const char *column, char *field, Size size)
{
	char	   *text = realtime_table_get_text(table, tuple, column);

	strlcpy(field, text == NULL ? "" : text, size);
}

/* Reads the record of a row; the settings are those of now, a registration may be gone. */
static void
read_record(Relation table, HeapTuple tuple, RealtimeBulkRecord *record)
{
	RealtimeRegistration registration;
	bool		isnull;
	Datum		value;

	memset(record, 0, sizeof(*record));
	record->id = *DatumGetUUIDP(realtime_table_get(table, tuple, "id", &isnull));
	strlcpy(record->id_text, DatumGetCString(DirectFunctionCall1(uuid_out,
																 UUIDPGetDatum(&record->id))),
			sizeof(record->id_text));
	read_text(table, tuple, "feature", record->feature, sizeof(record->feature));
	read_text(table, tuple, "entity", record->entity, sizeof(record->entity));
	read_text(table, tuple, "operation", record->operation, sizeof(record->operation));
	value = realtime_table_get(table, tuple, "total", &isnull);
	record->total = isnull ? -1 : DatumGetInt64(value);
	record->started_at =
		DatumGetTimestampTz(realtime_table_get(table, tuple, "started_at", &isnull));
	realtime_bulk_record_set_registration(record,
										  realtime_registration_of_name(record->feature,
																		record->entity,
																		&registration) ?
										  &registration : NULL);
}

/* Ends at most limit operations whose session is gone, each with bulk_failed; returns how many. */
int
realtime_bulk_row_reap(int limit, RealtimeBulkReapCallback callback)
{
	const RealtimeBulkCounts unknown = {-1, -1};
	Relation	table = realtime_table_open(BULK_TABLE, RowExclusiveLock);
	TableScanDesc scan = begin_scan(table);
	HeapTuple	tuple;
	List	   *tuples = NIL;
	ListCell   *cell;
	int			n = 0;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		tuples = lappend(tuples, heap_copytuple(tuple));
	table_endscan(scan);
	if (tuples != NIL)
		pgstat_clear_backend_activity_snapshot();
	foreach(cell, tuples)
	{
		RealtimeBulkRecord record;
		bool		isnull;
		int			pid;
		TimestampTz backend_start;

		if (n >= limit)
			break;
		tuple = (HeapTuple) lfirst(cell);
		pid = DatumGetInt32(realtime_table_get(table, tuple, "pid", &isnull));
		backend_start =
			DatumGetTimestampTz(realtime_table_get(table, tuple, "backend_start", &isnull));
		if (is_session_alive(pid, backend_start) || !delete_tuple(table, tuple))
			continue;
		if (callback != NULL)
			callback(realtime_table_get_text(table, tuple, "user_id"),
					 realtime_table_get_text(table, tuple, "session_id"));
		read_record(table, tuple, &record);
		realtime_bulk_emit_failed(&record, unknown, REALTIME_BULK_SESSION_ENDED);
		n++;
	}
	table_close(table, NoLock);
	return n;
}
