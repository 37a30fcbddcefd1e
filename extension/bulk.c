/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk.c
 *	  Bulk operations whose progress is seen before their transaction commits: the job's side, that
 *	  is the SQL functions and what the ends of transactions and of the session mean.
 *
 * Model
 * 1. A transaction cannot show anything before it commits, so another process speaks for it: a
 *	  background worker in the same database, one per job session, launched by the first
 *	  bulk_start() and kept for some seconds after the last operation (bulk_worker.c).  Job and
 *	  worker share a small memory segment of slots, one per operation (bulk_slot.c).
 * 2. The worker writes in transactions of its own, through the same pending list and commit log as
 *	  everybody: the row of realtime.bulk_operation with bulk_started, for which bulk_start() waits;
 *	  bulk_progress when the counts have changed, at most every 250 ms per operation; bulk_failed
 *	  with the deletion of the row (bulk_record.c).
 * 3. bulk_complete() works in the job's transaction: it deletes the row and adds bulk_completed, so
 *	  both happen if and only if that transaction commits; otherwise the operation runs on.  It
 *	  waits for a bulk_progress under way; the last counts it says itself.
 * 4. An operation fails when the (sub)transaction that started it aborts; a released savepoint
 *	  hands it to its parent.  After that transaction's commit only bulk_complete() or the end of
 *	  the session ends it.  Whoever ends an operation deletes its row: each ends exactly once.
 *	  A prepared transaction is no longer the session's: an operation started in it runs on, one
 *	  completed in it is over if it commits, and dies with the session (6) if it is rolled back.
 * 5. When the session ends, its detaching from the segment tells the worker, which outlives it to
 *	  write bulk_failed.
 * 6. Rows that nobody speaks for any more, after a crash of the server or of a worker, are ended by
 *	  realtime_bulk_reap_dead() when the session that they name is gone: called by bulk_reap(),
 *	  prune() and each new worker.
 * 7. Without a worker (none to be had, slots full, it died) a NOTICE says so once per operation,
 *	  and events go to the job's transaction: seen at commit, not at all after an abort.  An
 *	  operation started so has no row: it lives in this backend's memory, and if the session ends
 *	  without completing it, nobody is left to say so.  One that lost its worker keeps its row, and
 *	  the worker that a later bulk_start() launches takes it over.
 *
 * Operations live in TopMemoryContext from bulk_start() to their end.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "bulk.h"
#include "bulk_record.h"
#include "bulk_slot.h"
#include "bulk_worker.h"
#include "catalog.h"
#include "compat.h"
#include "flush.h"

PG_FUNCTION_INFO_V1(realtime_bulk_start);
PG_FUNCTION_INFO_V1(realtime_bulk_progress);
PG_FUNCTION_INFO_V1(realtime_bulk_complete);
PG_FUNCTION_INFO_V1(realtime_bulk_reap);

/* For a worker to begin an operation: process start and connection take some 10 ms at rest. */
#define START_TIMEOUT_MS 5000
/* Between looks whether a worker that never came has died; its start and end set the latch too. */
#define WORKER_CHECK_MS 200

typedef struct BulkOperation
{
	dlist_node	node;
	RealtimeBulkRecord record;
	RealtimeBulkCounts counts;
	int			slot;			/* in shared, or -1: known to this backend only */
	int			start_level;	/* nest level of the transaction that started it; 0: committed */
	int			complete_level; /* … that completed it; 0: not completed */
	bool		is_noticed;		/* the user knows that events come at commit */
	RealtimeBulkCounts sent;	/* of the last bulk_progress by this transaction's pending list */
	TimestampTz sent_at;		/* 0: none */
} BulkOperation;

/* This session's operations and its worker; for the backend's life. */
static dlist_head operations = DLIST_STATIC_INIT(operations);
static dsm_segment *segment = NULL;
static RealtimeBulkShared *shared = NULL;	/* in segment */
static BackgroundWorkerHandle *worker = NULL;

/* ------------------------------------------------------------------------------------------------
 * The worker
 * ------------------------------------------------------------------------------------------------
 */

/* The session ends, or replaces its segment. */
static void
on_detach(dsm_segment *detached, Datum arg)
{
	realtime_bulk_shared_leave_job((RealtimeBulkShared *) DatumGetPointer(arg));
	if (detached == segment)
	{
		segment = NULL;
		shared = NULL;
	}
}

/* Whether the worker is there or coming; that one died before it attached, its handle knows. */
static bool
has_worker(void)
{
	pid_t		pid;

	if (shared == NULL || !realtime_bulk_shared_has_worker(shared))
		return false;
	return realtime_bulk_shared_is_attached(shared)
		|| GetBackgroundWorkerPid(worker, &pid) != BGWH_STOPPED;
}

/*
 * Launches a worker with a new segment, which inherits what the last one left; false when there is
 * none to be had.
 */
static bool
launch_worker(void)
{
	dsm_segment *new_segment;
	RealtimeBulkShared *new_shared;
	BackgroundWorkerHandle *new_worker;
	MemoryContext old;

	if (!IsUnderPostmaster)
		return false;
	new_segment = dsm_create(sizeof(RealtimeBulkShared), DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (new_segment == NULL)
		return false;
	new_shared = dsm_segment_address(new_segment);
	realtime_bulk_shared_init(new_shared);
	if (shared != NULL)
		realtime_bulk_shared_inherit(new_shared, shared);

	old = MemoryContextSwitchTo(TopMemoryContext);
	on_dsm_detach(new_segment, on_detach, PointerGetDatum(new_shared));
	new_worker = realtime_bulk_worker_launch(new_segment);
	MemoryContextSwitchTo(old);
	if (new_worker == NULL)
	{
		dsm_detach(new_segment);
		return false;
	}
	dsm_pin_mapping(new_segment);
	if (segment != NULL)
		dsm_detach(segment);
	if (worker != NULL)
		pfree(worker);
	segment = new_segment;
	shared = new_shared;
	worker = new_worker;
	return true;
}

/* Waits for the latch, some time at most. */
static void
wait_for_worker(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WORKER_CHECK_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Waits until the worker has committed the start of an operation.  False when it has not and will
 * not, and the slot is free again.  A worker that is at it is waited for as long as it lives: it
 * gives up on locks by itself, and a commit may wait for a synchronous standby.
 */
static bool
wait_started(BulkOperation *operation)
{
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_TIMEOUT_MS);

	while (realtime_bulk_slot_state(shared, operation->slot) == REALTIME_BULK_STARTING)
	{
		if (!has_worker())
		{
			/* it may have committed just before it died */
			if (!realtime_bulk_row_exists(&operation->record.id))
				return !realtime_bulk_slot_withdraw(shared, operation->slot);
			realtime_bulk_slot_set_running(shared, operation->slot);
		}
		else if (GetCurrentTimestamp() >= deadline
				 && realtime_bulk_slot_withdraw(shared, operation->slot))
		{
			/* a worker that starts so late shall not linger */
			TerminateBackgroundWorker(worker);
			return false;
		}
		else
			wait_for_worker();
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------
 * Operations
 * ------------------------------------------------------------------------------------------------
 */

/* Tells the user once that an operation's events come late, and why. */
static void
notice_at_commit(BulkOperation *operation, const char *why)
{
	if (operation->is_noticed)
		return;
	operation->is_noticed = true;
	ereport(NOTICE,
			(errmsg("bulk progress will be delivered at commit"),
			 errdetail("%s", why),
			 errhint("Live progress needs a background worker for the session: see "
					 "max_worker_processes.")));
}

/*
 * Starts an operation through the worker; NULL, or why it cannot be.  Whatever fails in here, the
 * operation is in the list already and the transaction's abort ends it.
 */
static const char *
start_live(BulkOperation *operation)
{
	char	   *user;
	char	   *session;

	realtime_actor(&user, &session);
	if ((user != NULL && strlen(user) >= REALTIME_BULK_ACTOR_SIZE)
		|| (session != NULL && strlen(session) >= REALTIME_BULK_ACTOR_SIZE))
		return "The user's or the session's name is too long to be shared.";
	if (!has_worker() && !launch_worker())
		return "No background worker could be started.";
	operation->slot = realtime_bulk_slot_open(shared, &operation->record, user ? user : "",
											  session ? session : "");
	if (operation->slot < 0 && !realtime_bulk_shared_has_worker(shared))
	{
		/* the worker left at this moment, after its linger time */
		if (!launch_worker())
			return "No background worker could be started.";
		operation->slot = realtime_bulk_slot_open(shared, &operation->record, user ? user : "",
												  session ? session : "");
	}
	if (operation->slot < 0)
		return "Too many operations of this session are under way.";
	if (!wait_started(operation))
	{
		operation->slot = -1;
		return "The background worker did not start or failed; see the server's log.";
	}
	return NULL;
}

/* A version 4 UUID. */
static void
make_id(RealtimeBulkRecord *record)
{
	if (!pg_strong_random(&record->id, sizeof(record->id)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate an operation id")));
	record->id.data[6] = (record->id.data[6] & 0x0f) | 0x40;
	record->id.data[8] = (record->id.data[8] & 0x3f) | 0x80;
	strlcpy(record->id_text,
			DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&record->id))),
			sizeof(record->id_text));
}

/* Forgets an operation; callable from transaction callbacks. */
static void
forget(BulkOperation *operation)
{
	dlist_delete(&operation->node);
	pfree(operation);
}

/* An operation's (sub)transaction of start has aborted. */
static void
fail(BulkOperation *operation)
{
	if (operation->slot >= 0 && shared != NULL)
		realtime_bulk_slot_fail(shared, operation->slot,
								proc_exit_inprogress ? REALTIME_BULK_SESSION_ENDED :
								REALTIME_BULK_ABORTED);
	forget(operation);
}

/* An operation's (sub)transaction of completion has aborted. */
static void
resume(BulkOperation *operation)
{
	operation->complete_level = 0;
	if (operation->slot >= 0 && shared != NULL)
		realtime_bulk_slot_resume(shared, operation->slot);
}

/* An operation's transaction of completion has committed. */
static void
finish(BulkOperation *operation)
{
	if (operation->slot >= 0 && shared != NULL)
		realtime_bulk_slot_release(shared, operation->slot);
	forget(operation);
}

/* Decides on the operations of the ended transaction; model 4. */
static void
on_transaction(XactEvent event, void *arg)
{
	dlist_mutable_iter iter;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE && event != XACT_EVENT_ABORT)
		return;
	dlist_foreach_modify(iter, &operations)
	{
		BulkOperation *operation = dlist_container(BulkOperation, node, iter.cur);

		if (event == XACT_EVENT_ABORT)
		{
			if (operation->start_level > 0)
				fail(operation);
			else if (operation->complete_level > 0)
				resume(operation);
		}
		else if (operation->complete_level > 0)
			finish(operation);
		else
			operation->start_level = 0;
	}
}

/* The same for a subtransaction: its operations become its parent's, or fail. */
static void
on_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	dlist_foreach_modify(iter, &operations)
	{
		BulkOperation *operation = dlist_container(BulkOperation, node, iter.cur);

		if (event == SUBXACT_EVENT_COMMIT_SUB)
		{
			operation->start_level = Min(operation->start_level, level - 1);
			operation->complete_level = Min(operation->complete_level, level - 1);
		}
		else if (operation->start_level >= level)
			fail(operation);
		else if (operation->complete_level >= level)
			resume(operation);
	}
}

/* ------------------------------------------------------------------------------------------------
 * SQL functions
 * ------------------------------------------------------------------------------------------------
 */

/* Raises an error where no event could be written. */
static void
check_may_write(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	PreventCommandDuringRecovery(function);
}

/* Raises an error for a null argument. */
static void
check_not_null(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/* A number of items, not negative; otherwise when null. */
static int64
count_argument(FunctionCallInfo fcinfo, int i, const char *name, int64 otherwise)
{
	int64		count;

	if (PG_ARGISNULL(i))
		return otherwise;
	count = PG_GETARG_INT64(i);
	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name)));
	return count;
}

/* Raises an error unless the text may name an operation: it is shown to people. */
static void
check_operation(const char *operation)
{
	size_t		len = strlen(operation);
	bool		is_valid = len >= 1 && len < REALTIME_BULK_OPERATION_SIZE;

	for (size_t i = 0; is_valid && i < len; i++)
		is_valid = (unsigned char) operation[i] >= 0x20 && operation[i] != 0x7f;
	if (!is_valid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid operation \"%s\"", operation),
				 errhint("Use 1 to %d bytes without control characters.",
						 REALTIME_BULK_OPERATION_SIZE - 1)));
}

/* The operation of an id argument that this session runs and has not completed. */
static BulkOperation *
operation_argument(FunctionCallInfo fcinfo, int i)
{
	char	   *id;
	dlist_iter	iter;

	check_not_null(fcinfo, i, "id");
	id = text_to_cstring(PG_GETARG_TEXT_PP(i));
	dlist_foreach(iter, &operations)
	{
		BulkOperation *operation = dlist_container(BulkOperation, node, iter.cur);

		if (operation->complete_level == 0 && pg_strcasecmp(operation->record.id_text, id) == 0)
			return operation;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("no bulk operation \"%s\" is under way in this session", id),
			 errhint("Use an id that realtime.bulk_start() returned to this session; an operation "
					 "ends when it is completed or when the transaction that started it aborts.")));
	return NULL;				/* not reached */
}

/* SQL: bulk_start(feature, entity, operation, total) */
Datum
realtime_bulk_start(PG_FUNCTION_ARGS)
{
	RealtimeRegistration registration;
	RealtimeBulkRecord record;
	BulkOperation *operation;
	char	   *feature;
	char	   *entity;
	char	   *name;
	const char *why;

	check_not_null(fcinfo, 0, "feature");
	check_not_null(fcinfo, 1, "entity");
	check_not_null(fcinfo, 2, "operation");
	feature = text_to_cstring(PG_GETARG_TEXT_PP(0));
	entity = text_to_cstring(PG_GETARG_TEXT_PP(1));
	name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	check_may_write("realtime.bulk_start()");
	check_operation(name);

	memset(&record, 0, sizeof(record));
	record.total = count_argument(fcinfo, 3, "total", -1);
	if (!realtime_registration_of_name(feature, entity, &registration))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s.%s is not registered", feature, entity),
				 errhint("Register a table with realtime.enable() or a topic with "
						 "realtime.register_topic() first.")));
	realtime_check_emit(&registration);
	if (strlen(feature) >= sizeof(record.feature) || strlen(entity) >= sizeof(record.entity))
		elog(ERROR, "name of %s.%s is too long", feature, entity);
	strlcpy(record.feature, feature, sizeof(record.feature));
	strlcpy(record.entity, entity, sizeof(record.entity));
	strlcpy(record.operation, name, sizeof(record.operation));
	realtime_bulk_record_set_registration(&record, &registration);
	record.started_at = GetCurrentTimestamp();
	make_id(&record);

	operation = MemoryContextAllocZero(TopMemoryContext, sizeof(BulkOperation));
	operation->record = record;
	operation->slot = -1;
	operation->start_level = GetCurrentTransactionNestLevel();
	dlist_push_tail(&operations, &operation->node);

	why = start_live(operation);
	if (why != NULL)
	{
		notice_at_commit(operation, why);
		realtime_bulk_emit_started(&operation->record);
	}
	PG_RETURN_TEXT_P(cstring_to_text(operation->record.id_text));
}

/* Adds bulk_progress to this transaction, at the same pace as the worker. */
static void
add_progress(BulkOperation *operation)
{
	TimestampTz now = GetCurrentTimestamp();

	if (realtime_bulk_counts_equal(operation->counts, operation->sent)
		|| realtime_bulk_is_in_pause(operation->sent_at, now))
		return;
	realtime_bulk_emit_progress(&operation->record, operation->counts);
	operation->sent = operation->counts;
	operation->sent_at = now;
}

/* SQL: bulk_progress(id, completed, failed) */
Datum
realtime_bulk_progress(PG_FUNCTION_ARGS)
{
	BulkOperation *operation;
	RealtimeBulkCounts counts;

	check_may_write("realtime.bulk_progress()");
	operation = operation_argument(fcinfo, 0);
	check_not_null(fcinfo, 1, "completed");
	counts.completed = count_argument(fcinfo, 1, "completed", 0);
	counts.failed = count_argument(fcinfo, 2, "failed", 0);
	operation->counts = counts;
	if (operation->slot >= 0)
	{
		realtime_bulk_slot_set_counts(shared, operation->slot, operation->counts);
		if (has_worker())
			PG_RETURN_VOID();
		notice_at_commit(operation, "The background worker is gone; see the server's log.");
	}
	add_progress(operation);
	PG_RETURN_VOID();
}

/* SQL: bulk_complete(id, results) */
Datum
realtime_bulk_complete(PG_FUNCTION_ARGS)
{
	BulkOperation *operation;
	Jsonb	   *results = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);

	check_may_write("realtime.bulk_complete()");
	operation = operation_argument(fcinfo, 0);
	if (results != NULL && !JB_ROOT_IS_OBJECT(results))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("results must be a JSON object"),
				 errhint("For example {\"successful\": 9, \"failed\": 1, \"errors\": []}.")));

	operation->complete_level = GetCurrentTransactionNestLevel();
	if (operation->slot >= 0)
	{
		realtime_bulk_slot_complete(shared, operation->slot);
		while (realtime_bulk_slot_is_busy(shared, operation->slot))
			wait_for_worker();
		if (!realtime_bulk_row_delete(&operation->record.id))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("bulk operation \"%s\" has been ended by another session",
							operation->record.id_text)));
	}
	realtime_bulk_emit_completed(&operation->record, operation->counts, results);
	PG_RETURN_VOID();
}

/* Ends operations whose session is gone with bulk_failed in this transaction; returns how many. */
int
realtime_bulk_reap_dead(void)
{
	return realtime_bulk_row_reap(INT_MAX, NULL);
}

/* SQL: bulk_reap() */
Datum
realtime_bulk_reap(PG_FUNCTION_ARGS)
{
	check_may_write("realtime.bulk_reap()");
	PG_RETURN_INT32(realtime_bulk_reap_dead());
}

/* Registers the transaction callbacks. */
void
realtime_bulk_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}
