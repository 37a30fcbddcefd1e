/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * waiter.c
 *	  Sessions that wait in the server for the next commit with events.
 *
 * Model
 * 1. A reader that polls waits at the beginning of its read (log_read.c): the server waits, not the reader, and the
 *	  read begins as soon as a commit is to be seen. It is a matter of time only: what must not be missed is the
 *	  doorbell's and the position's, so a wake-up may be lost, or come for nothing.
 * 2. A waiter is a slot in shared memory. WATCHING: a commit that comes turns it to WOKEN and sets the session's
 *	  latch; one commit does, the others see WOKEN and pass. The wait ends on WOKEN, and leaves WATCHING: the
 *	  snapshot of the read is taken after it, so what that does not see finds the slot WATCHING, and the next wait
 *	  ends at once.
 * 3. A writer wakes after its transaction has become visible, and holds nothing. When nobody watches it reads one
 *	  word of shared memory for each slot ever used.
 * 4. The slots are a few hundred bytes of the shared memory that PostgreSQL keeps in reserve, taken by the first
 *	  session that asks, so the library need not be preloaded. Without them nobody can wait.
 * 5. Notifications that come in end a wait, too: they are sent to the client only after the transaction. PostgreSQL
 *	  does not say on which channel, so of a busy one they end it no more than every NOTIFY_MS.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "compat.h"
#include "guc.h"
#include "waiter.h"

#define WAITER_SLOTS 16
#define WAIT_MAX_MS 10000
#define NOTIFY_MS 25

PG_FUNCTION_INFO_V1(realtime_wake);

typedef enum WaiterState
{
	WAITER_FREE,
	WAITER_TAKEN,				/* by a session that has not waited yet */
	WAITER_WATCHING,
	WAITER_WOKEN
} WaiterState;

/* The fields but state belong to the session that took it; others read them after they found it WATCHING. */
typedef struct RealtimeWaiter
{
	pg_atomic_uint32 state;
	Oid			database;
	int			pid;
	PGPROC	   *proc;
} RealtimeWaiter;

typedef struct RealtimeWaiters
{
	pg_atomic_uint32 used;		/* slots below are free, the others never were taken */
	RealtimeWaiter slots[WAITER_SLOTS];
} RealtimeWaiters;

static RealtimeWaiters *waiters = NULL;
static bool has_looked = false; /* for the shared memory; once in a session */
static RealtimeWaiter *mine = NULL;
static bool has_appended = false;

/* Finds or makes the slots. No memory for them is no error: there is nobody to wake then. */
static void
attach(void)
{
	MemoryContext context = CurrentMemoryContext;

	has_looked = true;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	PG_TRY();
	{
		bool		found;
		RealtimeWaiters *shared = ShmemInitStruct("realtime waiters", sizeof(RealtimeWaiters), &found);

		if (!found)
		{
			pg_atomic_init_u32(&shared->used, 0);
			for (int i = 0; i < WAITER_SLOTS; i++)
				pg_atomic_init_u32(&shared->slots[i].state, WAITER_FREE);
		}
		waiters = shared;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();		/* the error has let go of the lock's; releasing it counts down */
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	LWLockRelease(AddinShmemInitLock);
}

/* Exit callback. */
static void
give_up_slot(int code, Datum arg)
{
	(void) pg_atomic_exchange_u32(&mine->state, WAITER_FREE);
}

/* Takes a slot for this session, if one is left. */
static void
take_slot(void)
{
	if (waiters == NULL)
		return;
	for (uint32 i = 0; i < WAITER_SLOTS; i++)
	{
		RealtimeWaiter *slot = &waiters->slots[i];
		uint32		expected = WAITER_FREE;
		uint32		used;

		if (!pg_atomic_compare_exchange_u32(&slot->state, &expected, WAITER_TAKEN))
			continue;
		mine = slot;
		slot->database = MyDatabaseId;
		slot->pid = MyProcPid;
		slot->proc = MyProc;
		before_shmem_exit(give_up_slot, (Datum) 0);
		used = pg_atomic_read_u32(&waiters->used);
		while (used <= i && !pg_atomic_compare_exchange_u32(&waiters->used, &used, i + 1))
			;
		return;
	}
}

/* Wakes a waiter that watches; whether it did. */
static bool
wake(RealtimeWaiter *slot)
{
	uint32		expected = WAITER_WATCHING;

	if (pg_atomic_read_u32(&slot->state) != WAITER_WATCHING
		|| !pg_atomic_compare_exchange_u32(&slot->state, &expected, WAITER_WOKEN))
		return false;
	SetLatch(&slot->proc->procLatch);	/* read now: the owner's or, if it has ended meanwhile, its successor's */
	return true;
}

void
realtime_waiter_note_append(void)
{
	if (!has_looked)
		attach();
	has_appended = true;
}

/* Transaction callback. At COMMIT the transaction is visible to all. */
static void
on_transaction(XactEvent event, void *arg)
{
	uint32		used;

	if (!has_appended || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	has_appended = false;
	if (event != XACT_EVENT_COMMIT || waiters == NULL || !realtime_doorbell)
		return;
	used = pg_atomic_read_u32(&waiters->used);
	for (uint32 i = 0; i < used; i++)
		if (waiters->slots[i].database == MyDatabaseId)
			(void) wake(&waiters->slots[i]);
}

/* Waits until woken, or so many milliseconds; returns microseconds. */
static int64
wait_for_commit(int milliseconds)
{
	instr_time	began;
	instr_time	now;

	INSTR_TIME_SET_CURRENT(began);
	for (;;)
	{
		long		elapsed;
		long		left;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, began);
		elapsed = (long) INSTR_TIME_GET_MILLISEC(now);
		left = milliseconds - elapsed;
		if (notifyInterruptPending)
			left = Min(left, NOTIFY_MS - elapsed);
		if (left <= 0 || pg_atomic_read_u32(&mine->state) != WAITER_WATCHING)
			return (int64) INSTR_TIME_GET_MICROSEC(now);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, PG_WAIT_EXTENSION);
	}
}

int64
realtime_waiter_wait(int milliseconds)
{
	int64		waited;

	if (milliseconds < 0 || milliseconds > WAIT_MAX_MS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot wait for %d milliseconds", milliseconds),
				 errhint("Give 0 to %d.", WAIT_MAX_MS)));
	if (!has_looked)
		attach();
	if (mine == NULL)
		take_slot();
	if (mine == NULL)
		return -1;
	waited = wait_for_commit(milliseconds);
	realtime_waiter_watch();
	return waited;
}

void
realtime_waiter_watch(void)
{
	if (mine != NULL)
		(void) pg_atomic_exchange_u32(&mine->state, WAITER_WATCHING);	/* a barrier */
}

/* SQL: wake(pid) */
Datum
realtime_wake(PG_FUNCTION_ARGS)
{
	int			pid = PG_GETARG_INT32(0);
	uint32		used;

	if (!has_looked)
		attach();
	used = waiters ? pg_atomic_read_u32(&waiters->used) : 0;
	for (uint32 i = 0; i < used; i++)
		if (waiters->slots[i].pid == pid && waiters->slots[i].database == MyDatabaseId)
			PG_RETURN_BOOL(wake(&waiters->slots[i]));
	PG_RETURN_BOOL(false);
}

/* Registers the callback. */
void
realtime_waiter_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
}
