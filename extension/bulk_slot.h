/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk_slot.h
 *	  The memory that a job and its worker share: slots of operations and their states.
 *
 *	  free --open--> starting --done--> running --complete--> completing --release--> free
 *						|				  |	  ^					  |
 *						|				  |	  +------resume-------+
 *						+------fail-------+-----------------------+----> failed --done--> free
 *
 * The job makes every transition but the two named done, which are the worker's.  A slot that the
 * worker's transaction is about is busy: the job waits for its end before it completes the
 * operation, so that no bulk_progress commits after bulk_completed.
 * No function here allocates, waits or fails: transaction and exit callbacks may call all of them.
 */
#ifndef REALTIME_BULK_SLOT_H
#define REALTIME_BULK_SLOT_H

#include "storage/latch.h"
#include "storage/spin.h"

#include "bulk_record.h"

/*
 * Operations of one session whose progress is live; a job has one, seldom some.  A completed one is
 * kept until its transaction ends.
 */
#define REALTIME_BULK_SLOTS 64
/* Bytes of an actor's text with terminator: OpenID Connect limits sub to 255. */
#define REALTIME_BULK_ACTOR_SIZE 256
/* Between two bulk_progress events of one operation. */
#define REALTIME_BULK_PROGRESS_MS 250

/* Whether an event said the same: nothing to say. */
static inline bool
realtime_bulk_counts_equal(RealtimeBulkCounts a, RealtimeBulkCounts b)
{
	return a.completed == b.completed && a.failed == b.failed;
}

/*
 * Whether it is too early for a bulk_progress after the last one (0: none).  A clock that was set
 * back does not silence the operation.
 */
static inline bool
realtime_bulk_is_in_pause(TimestampTz sent_at, TimestampTz now)
{
	return sent_at != 0 && now >= sent_at
		&& now < sent_at + REALTIME_BULK_PROGRESS_MS * INT64CONST(1000);
}

typedef enum RealtimeBulkState
{
	REALTIME_BULK_FREE,
	REALTIME_BULK_STARTING,		/* the worker is to write the row and bulk_started */
	REALTIME_BULK_RUNNING,
	REALTIME_BULK_COMPLETING,	/* completed by a transaction of the job that has not ended */
	REALTIME_BULK_FAILED		/* the worker is to delete the row and write bulk_failed */
} RealtimeBulkState;

typedef struct RealtimeBulkSlot
{
	/* written by the job while the slot is free */
	RealtimeBulkRecord record;
	char		user[REALTIME_BULK_ACTOR_SIZE];
	char		session[REALTIME_BULK_ACTOR_SIZE];	/* empty: none */
	/* under the mutex */
	RealtimeBulkState state;
	RealtimeBulkFailure failure;
	RealtimeBulkCounts counts;
	bool		is_changed;		/* counts may differ from what the last event said */
	bool		is_busy;
	/* the worker's */
	RealtimeBulkCounts sent;
	TimestampTz sent_at;		/* of the last bulk_progress; 0: none */
} RealtimeBulkSlot;

typedef struct RealtimeBulkShared
{
	slock_t		mutex;
	Oid			database;
	int			job_pid;
	TimestampTz job_start;
	Latch	   *job_latch;
	Latch	   *worker_latch;	/* NULL until the worker is there */
	bool		is_job_gone;
	bool		is_worker_gone;
	RealtimeBulkSlot slots[REALTIME_BULK_SLOTS];
} RealtimeBulkShared;

/* A transaction for the worker to make. */
typedef enum RealtimeBulkWorkKind
{
	REALTIME_BULK_WORK_START,
	REALTIME_BULK_WORK_PROGRESS,
	REALTIME_BULK_WORK_FAIL
} RealtimeBulkWorkKind;

typedef struct RealtimeBulkWork
{
	RealtimeBulkWorkKind kind;
	RealtimeBulkSlot *slot;
	RealtimeBulkCounts counts;
	RealtimeBulkFailure failure;
} RealtimeBulkWork;

/* The job's side. Makes the shared memory for the calling session, which becomes the job. */
extern void realtime_bulk_shared_init(RealtimeBulkShared *shared);
/* Takes over the operations that the worker of old, which is gone, has left. */
extern void realtime_bulk_shared_inherit(RealtimeBulkShared *shared, RealtimeBulkShared *old);
extern bool realtime_bulk_shared_has_worker(RealtimeBulkShared *shared);
extern bool realtime_bulk_shared_is_attached(RealtimeBulkShared *shared);
/* The job's session ends: every operation under way has failed. */
extern void realtime_bulk_shared_leave_job(RealtimeBulkShared *shared);

/* Opens a slot, its index or -1 when all are taken or the worker is gone; texts fit, not NULL. */
extern int	realtime_bulk_slot_open(RealtimeBulkShared *shared, const RealtimeBulkRecord *record,
									const char *user, const char *session);
extern RealtimeBulkState realtime_bulk_slot_state(RealtimeBulkShared *shared, int i);
/* Closes a slot whose start the worker has not begun; false when it has. */
extern bool realtime_bulk_slot_withdraw(RealtimeBulkShared *shared, int i);
/* The row is there though the worker could not say so any more. */
extern void realtime_bulk_slot_set_running(RealtimeBulkShared *shared, int i);
extern void realtime_bulk_slot_set_counts(RealtimeBulkShared *shared, int i,
										  RealtimeBulkCounts counts);
extern void realtime_bulk_slot_complete(RealtimeBulkShared *shared, int i);
extern bool realtime_bulk_slot_is_busy(RealtimeBulkShared *shared, int i);
extern void realtime_bulk_slot_resume(RealtimeBulkShared *shared, int i);
extern void realtime_bulk_slot_release(RealtimeBulkShared *shared, int i);
extern void realtime_bulk_slot_fail(RealtimeBulkShared *shared, int i, RealtimeBulkFailure failure);

/* The worker's side. */
extern void realtime_bulk_shared_attach_worker(RealtimeBulkShared *shared, Latch *latch);
/*
 * Takes what is to be done now; when there is nothing, false, and *due is when there will be
 * (infinity: nothing until the job says so).
 */
extern bool realtime_bulk_work_take(RealtimeBulkShared *shared, TimestampTz now,
									RealtimeBulkWork *work, TimestampTz *due);
extern void realtime_bulk_work_done(RealtimeBulkShared *shared, const RealtimeBulkWork *work);
extern bool realtime_bulk_shared_is_idle(RealtimeBulkShared *shared);
/* The worker leaves, unless asked for only when idle and an operation has come: false then. */
extern bool realtime_bulk_shared_leave_worker(RealtimeBulkShared *shared, bool only_when_idle);

#endif
