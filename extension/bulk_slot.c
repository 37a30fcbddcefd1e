/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk_slot.c
 *	  The memory that a job and its worker share; states are in bulk_slot.h.
 *
 * One mutex guards all: it is held for a few assignments, by two processes.  A slot's record and
 * actor are written before its state leaves free and read after, so they need no mutex.
 * Latches belong to PGPROCs and outlive the processes: setting one of a process that is gone wakes
 * its successor for nothing, which every latch user must bear.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "bulk_slot.h"

/* Wakes the worker if there is one. */
static void
wake_worker(RealtimeBulkShared *shared)
{
	Latch	   *latch;

	SpinLockAcquire(&shared->mutex);
	latch = shared->is_worker_gone ? NULL : shared->worker_latch;
	SpinLockRelease(&shared->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

/* Wakes the job if it is there. */
static void
wake_job(RealtimeBulkShared *shared)
{
	Latch	   *latch;

	SpinLockAcquire(&shared->mutex);
	latch = shared->is_job_gone ? NULL : shared->job_latch;
	SpinLockRelease(&shared->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

/* Makes a slot failed, or free when nothing was written yet; under the mutex. */
static void
fail_slot(RealtimeBulkSlot *slot, RealtimeBulkFailure failure)
{
	if (slot->state == REALTIME_BULK_FREE || slot->state == REALTIME_BULK_FAILED)
		return;
	if (slot->state == REALTIME_BULK_STARTING && !slot->is_busy)
		slot->state = REALTIME_BULK_FREE;
	else
	{
		slot->state = REALTIME_BULK_FAILED;
		slot->failure = failure;
	}
}

/* Whether all slots are free; under the mutex. */
static bool
is_idle(const RealtimeBulkShared *shared)
{
	for (int i = 0; i < REALTIME_BULK_SLOTS; i++)
		if (shared->slots[i].state != REALTIME_BULK_FREE)
			return false;
	return true;
}

/* Makes the shared memory for the calling session. */
void
realtime_bulk_shared_init(RealtimeBulkShared *shared)
{
	memset(shared, 0, sizeof(*shared));
	SpinLockInit(&shared->mutex);
	shared->database = MyDatabaseId;
	shared->job_pid = MyProcPid;
	shared->job_start = MyStartTimestamp;
	shared->job_latch = &MyProc->procLatch;
}

/*
 * Takes over the operations that the worker of old has left.  It is gone, so nobody else is at old
 * any more; a start that it may have committed is settled by the job (is_busy went with it).
 */
void
realtime_bulk_shared_inherit(RealtimeBulkShared *shared, RealtimeBulkShared *old)
{
	memcpy(shared->slots, old->slots, sizeof(shared->slots));
}

/* Whether a worker is there or may still come. */
bool
realtime_bulk_shared_has_worker(RealtimeBulkShared *shared)
{
	bool		is_gone;

	SpinLockAcquire(&shared->mutex);
	is_gone = shared->is_worker_gone;
	SpinLockRelease(&shared->mutex);
	return !is_gone;
}

/* Whether the worker has ever been there. */
bool
realtime_bulk_shared_is_attached(RealtimeBulkShared *shared)
{
	bool		is_attached;

	SpinLockAcquire(&shared->mutex);
	is_attached = shared->worker_latch != NULL;
	SpinLockRelease(&shared->mutex);
	return is_attached;
}

/* The job's session ends: every operation under way has failed. */
void
realtime_bulk_shared_leave_job(RealtimeBulkShared *shared)
{
	SpinLockAcquire(&shared->mutex);
	shared->is_job_gone = true;
	for (int i = 0; i < REALTIME_BULK_SLOTS; i++)
		fail_slot(&shared->slots[i], REALTIME_BULK_SESSION_ENDED);
	SpinLockRelease(&shared->mutex);
	wake_worker(shared);
}

/* Opens a slot, its index or -1 when all are taken or the worker is gone. */
int
realtime_bulk_slot_open(RealtimeBulkShared *shared, const RealtimeBulkRecord *record,
						const char *user, const char *session)
{
	RealtimeBulkSlot *slot = NULL;
	bool		is_open = false;
	int			i;

	SpinLockAcquire(&shared->mutex);
	for (i = 0; i < REALTIME_BULK_SLOTS; i++)
	{
		if (shared->slots[i].state == REALTIME_BULK_FREE)
		{
			slot = &shared->slots[i];
			break;
		}
	}
	SpinLockRelease(&shared->mutex);
	if (slot == NULL)
		return -1;

	/* free slots are the job's: nobody else takes or reads this one meanwhile */
	memset(slot, 0, sizeof(*slot));
	slot->record = *record;
	strlcpy(slot->user, user, sizeof(slot->user));
	strlcpy(slot->session, session, sizeof(slot->session));

	SpinLockAcquire(&shared->mutex);
	if (!shared->is_worker_gone)
	{
		slot->state = REALTIME_BULK_STARTING;
		is_open = true;
	}
	SpinLockRelease(&shared->mutex);
	if (is_open)
		wake_worker(shared);
	return is_open ? i : -1;
}

RealtimeBulkState
realtime_bulk_slot_state(RealtimeBulkShared *shared, int i)
{
	RealtimeBulkState state;

	SpinLockAcquire(&shared->mutex);
	state = shared->slots[i].state;
	SpinLockRelease(&shared->mutex);
	return state;
}

/* Closes a slot whose start the worker has not begun or died of; false when it is at it. */
bool
realtime_bulk_slot_withdraw(RealtimeBulkShared *shared, int i)
{
	RealtimeBulkSlot *slot = &shared->slots[i];
	bool		is_withdrawn = false;

	SpinLockAcquire(&shared->mutex);
	if (slot->state == REALTIME_BULK_STARTING && !slot->is_busy)
	{
		slot->state = REALTIME_BULK_FREE;
		is_withdrawn = true;
	}
	SpinLockRelease(&shared->mutex);
	return is_withdrawn;
}

/* The row is there though the worker could not say so any more. */
void
realtime_bulk_slot_set_running(RealtimeBulkShared *shared, int i)
{
	SpinLockAcquire(&shared->mutex);
	if (shared->slots[i].state == REALTIME_BULK_STARTING)
		shared->slots[i].state = REALTIME_BULK_RUNNING;
	SpinLockRelease(&shared->mutex);
}

/* Sets the counts; wakes the worker only if it has sent what was set before. */
void
realtime_bulk_slot_set_counts(RealtimeBulkShared *shared, int i, RealtimeBulkCounts counts)
{
	RealtimeBulkSlot *slot = &shared->slots[i];
	bool		must_wake = false;

	SpinLockAcquire(&shared->mutex);
	if (!realtime_bulk_counts_equal(slot->counts, counts))
	{
		slot->counts = counts;
		must_wake = !slot->is_changed;
		slot->is_changed = true;
	}
	SpinLockRelease(&shared->mutex);
	if (must_wake)
		wake_worker(shared);
}

/* A transaction of the job completes the operation: the worker begins nothing more about it. */
void
realtime_bulk_slot_complete(RealtimeBulkShared *shared, int i)
{
	SpinLockAcquire(&shared->mutex);
	shared->slots[i].state = REALTIME_BULK_COMPLETING;
	SpinLockRelease(&shared->mutex);
}

/* Whether a transaction of the worker is about the slot. */
bool
realtime_bulk_slot_is_busy(RealtimeBulkShared *shared, int i)
{
	bool		is_busy;

	SpinLockAcquire(&shared->mutex);
	is_busy = shared->slots[i].is_busy && !shared->is_worker_gone;
	SpinLockRelease(&shared->mutex);
	return is_busy;
}

/* The completing (sub)transaction has aborted: the operation runs on. */
void
realtime_bulk_slot_resume(RealtimeBulkShared *shared, int i)
{
	SpinLockAcquire(&shared->mutex);
	shared->slots[i].state = REALTIME_BULK_RUNNING;
	SpinLockRelease(&shared->mutex);
	wake_worker(shared);
}

/* The operation has ended, the job's transaction said so. */
void
realtime_bulk_slot_release(RealtimeBulkShared *shared, int i)
{
	SpinLockAcquire(&shared->mutex);
	shared->slots[i].state = REALTIME_BULK_FREE;
	SpinLockRelease(&shared->mutex);
	wake_worker(shared);
}

/* The operation has failed; the worker is to say so if anything was said of it. */
void
realtime_bulk_slot_fail(RealtimeBulkShared *shared, int i, RealtimeBulkFailure failure)
{
	SpinLockAcquire(&shared->mutex);
	fail_slot(&shared->slots[i], failure);
	SpinLockRelease(&shared->mutex);
	wake_worker(shared);
}

/* The worker is there. */
void
realtime_bulk_shared_attach_worker(RealtimeBulkShared *shared, Latch *latch)
{
	SpinLockAcquire(&shared->mutex);
	shared->worker_latch = latch;
	SpinLockRelease(&shared->mutex);
	wake_job(shared);
}

/*
 * What is to be done about one slot, under the mutex.  A change within the pause after the last
 * bulk_progress lowers *due to the pause's end.
 */
static bool
take_slot(RealtimeBulkSlot *slot, TimestampTz now, RealtimeBulkWork *work, TimestampTz *due)
{
	switch (slot->state)
	{
		case REALTIME_BULK_STARTING:
			work->kind = REALTIME_BULK_WORK_START;
			return true;
		case REALTIME_BULK_FAILED:
			work->kind = REALTIME_BULK_WORK_FAIL;
			return true;
		case REALTIME_BULK_RUNNING:
			if (!slot->is_changed)
				return false;
			if (realtime_bulk_is_in_pause(slot->sent_at, now))
			{
				*due = Min(*due, slot->sent_at + REALTIME_BULK_PROGRESS_MS * INT64CONST(1000));
				return false;
			}
			slot->is_changed = false;
			if (realtime_bulk_counts_equal(slot->counts, slot->sent))
				return false;
			work->kind = REALTIME_BULK_WORK_PROGRESS;
			slot->sent = slot->counts;
			slot->sent_at = now;
			return true;
		case REALTIME_BULK_FREE:
		case REALTIME_BULK_COMPLETING:
			break;
	}
	return false;
}

/* Takes what is to be done now, marking its slot busy; false when there is nothing. */
bool
realtime_bulk_work_take(RealtimeBulkShared *shared, TimestampTz now, RealtimeBulkWork *work,
						TimestampTz *due)
{
	bool		is_taken = false;

	*due = DT_NOEND;
	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < REALTIME_BULK_SLOTS && !is_taken; i++)
	{
		RealtimeBulkSlot *slot = &shared->slots[i];

		is_taken = take_slot(slot, now, work, due);
		if (is_taken)
		{
			slot->is_busy = true;
			work->slot = slot;
			work->counts = slot->counts;
			work->failure = slot->failure;
		}
	}
	SpinLockRelease(&shared->mutex);
	return is_taken;
}

/* The transaction has committed: acknowledges it. */
void
realtime_bulk_work_done(RealtimeBulkShared *shared, const RealtimeBulkWork *work)
{
	RealtimeBulkSlot *slot = work->slot;

	SpinLockAcquire(&shared->mutex);
	slot->is_busy = false;
	if (work->kind == REALTIME_BULK_WORK_START && slot->state == REALTIME_BULK_STARTING)
		slot->state = REALTIME_BULK_RUNNING;
	else if (work->kind == REALTIME_BULK_WORK_FAIL)
		slot->state = REALTIME_BULK_FREE;
	SpinLockRelease(&shared->mutex);
	wake_job(shared);
}

/* Whether no operation is under way. */
bool
realtime_bulk_shared_is_idle(RealtimeBulkShared *shared)
{
	bool		result;

	SpinLockAcquire(&shared->mutex);
	result = is_idle(shared);
	SpinLockRelease(&shared->mutex);
	return result;
}

/* The worker leaves; false when it asked to only when idle and it is not. */
bool
realtime_bulk_shared_leave_worker(RealtimeBulkShared *shared, bool only_when_idle)
{
	bool		may_leave;

	SpinLockAcquire(&shared->mutex);
	may_leave = !only_when_idle || is_idle(shared);
	if (may_leave)
	{
		shared->is_worker_gone = true;
		for (int i = 0; i < REALTIME_BULK_SLOTS; i++)
			shared->slots[i].is_busy = false;
	}
	SpinLockRelease(&shared->mutex);
	if (may_leave)
		wake_job(shared);
	return may_leave;
}
