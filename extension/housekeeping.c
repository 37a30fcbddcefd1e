/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * housekeeping.c
 *	  Who prunes the log, and when: needs no daemon. Knows nothing of children but their numbers.
 *
 * Model
 * 1. A backend looks at the log's size and age at every 64th transaction, and after each 64th of the limit that it
 *	  wrote itself: few large transactions must not outrun many looks at small ones.
 * 2. When the child it writes to is full or old it starts a worker: once for each share of the limit that is in the
 *	  child, so at any rate of writing; again after a while if that has not helped. A pause by the clock alone would let
 *	  the log grow by what is written meanwhile.
 * 3. The worker keeps at it while the log stays too large because somebody reads a child. At first it
 *	  asks for the lock without waiting; then it waits in the lock's queue, twice as long each time: several readers
 *	  leave no gap between them. Those who come later wait as long as the longest read under way, LOCK_MAX_MS at most.
 *	  Writers use another child.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "commit_log.h"
#include "compat.h"
#include "doorbell.h"
#include "guc.h"
#include "housekeeping.h"

#define LOOK_EVERY 64			/* transactions, and shares of the limit, between two looks */
#define START_PAUSE 5			/* s between two workers that one backend starts for the same fill */
#define WORKER_SECONDS 5		/* that a worker keeps at it */
#define WORKER_PAUSE 10			/* ms between its tries */
#define LOCK_MIN_MS 250			/* that it waits for a child, and readers behind it */
#define LOCK_MAX_MS 1000

PGDLLEXPORT void realtime_prune_worker_main(Datum database);

/* Bytes appended since the last look, for the backend's life. */
static uint64 unlooked = 0;

bool
realtime_housekeeping_is_look_due(bool is_first_part, uint64 xid, Size bytes)
{
	unlooked += bytes;
	if (!(is_first_part && xid % LOOK_EVERY == 0)
		&& unlooked < (uint64) realtime_max_log_size * 1024 * 1024 / LOOK_EVERY)
		return false;
	unlooked = 0;
	return true;
}

/* Whether somebody prunes at this moment. */
static bool
is_being_pruned(void)
{
	LOCKTAG		tag;

	realtime_lock_tag(&tag, REALTIME_LOCK_PRUNE);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ExclusiveLock, false);
	return false;
}

void
realtime_housekeeping_start(Oid child, TimestampTz filled_from, uint64 fill, TimestampTz now)
{
	static struct
	{
		Oid			child;
		TimestampTz filled_from;
		uint64		fill;
		TimestampTz at;
	}			last;			/* for the backend's life */
	BackgroundWorker worker = {0};

	if (child == last.child && filled_from == last.filled_from && fill <= last.fill
		&& !TimestampDifferenceExceeds(last.at, now, START_PAUSE * 1000))
		return;
	if (is_being_pruned())
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	strlcpy(worker.bgw_library_name, "realtime", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "realtime_prune_worker_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "realtime prune", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "realtime prune", BGW_MAXLEN);
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		return;					/* no slot: the next look may find one */
	last.child = child;
	last.filled_from = filled_from;
	last.fill = fill;
	last.at = now;
}

/* Waits for a lock in a subtransaction, which the end of the wait aborts. */
static bool
wait_for_lock(Oid relid, int ms)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			guc_level = NewGUCNestLevel();
	char		timeout[16];
	volatile bool has_it = false;

	snprintf(timeout, sizeof(timeout), "%d", ms);
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		LockRelationOid(relid, AccessExclusiveLock);
		ReleaseCurrentSubTransaction();
		has_it = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	AtEOXact_GUC(true, guc_level);
	return has_it;
}

bool
realtime_housekeeping_lock(Oid relid, int ms)
{
	return ConditionalLockRelationOid(relid, AccessExclusiveLock)
		|| (ms > 0 && wait_for_lock(relid, ms));
}

/* Prunes in a transaction; returns whether the log stayed too large because somebody uses a child. */
static bool
prune(int lock_ms)
{
	bool		is_behind = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "realtime.prune()");
	if (OidIsValid(get_namespace_oid("realtime", true)))
		(void) realtime_log_prune(lock_ms, &is_behind);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	return is_behind;
}

/* Entry point of the worker that prunes a database. */
void
realtime_prune_worker_main(Datum database)
{
	TimestampTz start = GetCurrentTimestamp();
	int			lock_ms = 0;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	while (prune(lock_ms)
		   && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), WORKER_SECONDS * 1000))
	{
		lock_ms = Min(Max(lock_ms * 2, LOCK_MIN_MS), LOCK_MAX_MS);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WORKER_PAUSE,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
