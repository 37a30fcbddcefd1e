/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk_worker.c
 *	  The background worker of a job; the model is in bulk.c, the states are in bulk_slot.h.
 *
 * One transaction per thing to do, because an event's meta names the actor of its transaction.  An
 * error ends the worker: the log shows it, the job notices and goes on without, and rows that are
 * left are ended by realtime.bulk_reap().  The worker runs as the bootstrap superuser and executes
 * no user code: the tables that it writes have no triggers that fire.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "bulk_worker.h"
#include "compat.h"

/* Kept after the last operation, for a job that runs several; DROP DATABASE waits as long. */
#define LINGER_MS 5000
/* At least so often the worker looks whether the job still lives. */
#define JOB_CHECK_MS 10000

/* Registers a worker for the shared memory of a segment; NULL when there is no room for one. */
BackgroundWorkerHandle *
realtime_bulk_worker_launch(dsm_segment *segment)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "realtime bulk worker for PID %d", MyProcPid);
	snprintf(worker.bgw_type, BGW_MAXLEN, "realtime bulk worker");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "realtime");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "realtime_bulk_worker_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

/* The worker's process ends, by error or not: tells the job. */
static void
on_detach(dsm_segment *segment, Datum shared)
{
	(void) realtime_bulk_shared_leave_worker((RealtimeBulkShared *) DatumGetPointer(shared), false);
}

/* Makes the events of the next commit name an actor; NULL: none. */
static void
set_actor(const char *user, const char *session)
{
	SetConfigOption("realtime.user", user == NULL ? "" : user, PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("realtime.session", session == NULL ? "" : session, PGC_USERSET,
					PGC_S_SESSION);
}

/*
 * Defaults of the database or of the superuser are not meant for this process.  The lock timeout
 * breaks a deadlock that nobody sees: the job waits for the worker, and its transaction may hold a
 * lock on the extension's tables (LOCK TABLE, ALTER EXTENSION).
 */
static void
set_options(void)
{
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_deferrable", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", "3s", PGC_USERSET, PGC_S_SESSION);
}

static void
begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Makes the transaction of one thing to do. */
static void
perform(RealtimeBulkShared *shared, const RealtimeBulkWork *work)
{
	const RealtimeBulkSlot *slot = work->slot;
	const RealtimeBulkRecord *record = &slot->record;
	const char *session = slot->session[0] == '\0' ? NULL : slot->session;

	begin("writing the events of a bulk operation");
	set_actor(slot->user, session);
	switch (work->kind)
	{
		case REALTIME_BULK_WORK_START:
			realtime_bulk_row_insert(record, shared->job_pid, shared->job_start, slot->user,
									 session);
			realtime_bulk_emit_started(record);
			break;
		case REALTIME_BULK_WORK_PROGRESS:
			realtime_bulk_emit_progress(record, work->counts);
			break;
		case REALTIME_BULK_WORK_FAIL:
			if (realtime_bulk_row_delete(&record->id))
				realtime_bulk_emit_failed(record, work->counts, work->failure);
			break;
	}
	commit();
}

/* Ends operations of sessions that are gone, one a transaction. */
static void
reap(void)
{
	int			n;

	do
	{
		begin("ending dead bulk operations");
		n = realtime_bulk_row_reap(1, set_actor);
		commit();
	} while (n > 0);
}

/*
 * Whether the worker should leave, having nothing to do: when the job is gone, or has had no
 * operation for a while.  *idle_since is 0 while there are operations.
 */
static bool
should_leave(RealtimeBulkShared *shared, TimestampTz now, TimestampTz *idle_since)
{
	if (!realtime_bulk_shared_is_idle(shared))
	{
		*idle_since = 0;
		return false;
	}
	if (shared->is_job_gone)
		return true;
	if (*idle_since == 0 || *idle_since > now)
		*idle_since = now;
	return now >= *idle_since + LINGER_MS * INT64CONST(1000);
}

/* Sleeps until the job says something, something is due, or the linger time is over. */
static void
wait_for_work(TimestampTz now, TimestampTz due, TimestampTz idle_since)
{
	TimestampTz until = now + JOB_CHECK_MS * INT64CONST(1000);

	until = Min(until, due);
	if (idle_since != 0)
		until = Min(until, idle_since + LINGER_MS * INT64CONST(1000));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) (Max(until - now, 0) / 1000 + 1), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* The worker's entry; returning ends the process. */
void
realtime_bulk_worker_main(Datum handle)
{
	dsm_segment *segment;
	RealtimeBulkShared *shared;
	TimestampTz idle_since = 0;
	bool		has_reaped = false;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	segment = dsm_attach(DatumGetUInt32(handle));
	if (segment == NULL)
		return;					/* the job is gone already */
	shared = dsm_segment_address(segment);
	on_dsm_detach(segment, on_detach, PointerGetDatum(shared));
	realtime_bulk_shared_attach_worker(shared, MyLatch);
	BackgroundWorkerInitializeConnectionByOid(shared->database, InvalidOid, 0);
	set_options();

	for (;;)
	{
		RealtimeBulkWork work;
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz due;

		if (realtime_bulk_work_take(shared, now, &work, &due))
		{
			perform(shared, &work);
			realtime_bulk_work_done(shared, &work);
			continue;
		}
		if (!has_reaped)
		{
			has_reaped = true;
			reap();
			continue;
		}
		/* exits detach the memory and so tell this process; should one not, its PGPROC is gone */
		if (!shared->is_job_gone && BackendPidGetProc(shared->job_pid) == NULL)
		{
			realtime_bulk_shared_leave_job(shared);
			continue;
		}
		if (should_leave(shared, now, &idle_since) &&
			realtime_bulk_shared_leave_worker(shared, true))
			return;
		wait_for_work(now, due, idle_since);
	}
}
