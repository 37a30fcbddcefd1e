/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * doorbell.c
 *	  NOTIFY only when somebody waits for it.
 *
 * Model
 * 1. A commit that NOTIFYs holds a cluster-wide lock until its WAL is flushed: notifying commits
 *	  come one at a time. So a commit notifies only when a notifier is at rest.
 * 2. A notifier at rest is armed: its session holds ShareLock on the doorbell's lock tag. A
 *	  committing writer asks for RowExclusiveLock on the tag without waiting. Refused: somebody is
 *	  armed, or waits to be; it rings. Granted: nobody needs a bell; the lock stays to the end of
 *	  its transaction.
 * 3. arm() therefore waits exactly for the writers that were told not to ring. Once it has the
 *	  lock they have committed, so one more poll sees what they wrote; later ones ring.
 * 4. The tag is that of a relation which cannot exist, because only locks of relations have a fast
 *	  path: while nobody is armed a writer notes its lock in its own PGPROC and never meets another
 *	  writer in the shared lock table. arm() moves such notes to the table (that is how the lock
 *	  manager treats every strong lock) and waits for them there. No SQL command reaches the tag.
 * 5. A dead notifier's lock goes with its session; PostgreSQL does that for advisory locks only, so
 *	  a callback does it here. As with all standard locks of a session, it also goes when a
 *	  transaction aborts: an error disarms, is_armed() says so.
 * 6. A full lock table rings instead of failing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lock.h"

#include "compat.h"
#include "doorbell.h"

PG_FUNCTION_INFO_V1(realtime_arm);
PG_FUNCTION_INFO_V1(realtime_disarm);
PG_FUNCTION_INFO_V1(realtime_is_armed);

/*
 * The relation of the doorbell's tag. PostgreSQL's developers use the last OIDs below 10000 between
 * releases only, initdb and users get higher ones: no relation has it.
 */
#define DOORBELL_RELATION 9999

/* Whether this backend has ever been armed: most never are, and need not be asked about. */
static bool has_armed = false;

void
realtime_lock_tag(LOCKTAG *tag, RealtimeLock key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) key, 0, 3);
}

/* Fills the doorbell's tag in this database. */
static void
set_doorbell_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_RELATION(*tag, MyDatabaseId, DOORBELL_RELATION);
}

/* Whether this session holds the doorbell armed. */
static bool
is_armed(void)
{
	LOCKTAG		tag;

	if (!has_armed)
		return false;
	set_doorbell_tag(&tag);
	return compat_lock_is_held(&tag, ShareLock);
}

/* Gives up this session's armed lock; returns whether it had it. */
static bool
disarm(void)
{
	LOCKTAG		tag;

	if (!is_armed())
		return false;
	set_doorbell_tag(&tag);
	return LockRelease(&tag, ShareLock, true);
}

void
realtime_doorbell_disarm(void)
{
	(void) disarm();
}

bool
realtime_doorbell_is_wanted(void)
{
	LOCKTAG		tag;

	/* A session's own lock refuses it nothing: an armed one rings for itself, as for all others. */
	if (is_armed())
		return true;
	set_doorbell_tag(&tag);
	return compat_lock_try(&tag, RowExclusiveLock) == LOCKACQUIRE_NOT_AVAIL;
}

/* Exit callback: standard locks of a session that ends idle would stay for ever. */
static void
disarm_at_exit(int code, Datum arg)
{
	(void) disarm();
}

/* SQL: arm() */
Datum
realtime_arm(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	PreventCommandDuringRecovery("realtime.arm()");
	if (!has_armed)
		before_shmem_exit(disarm_at_exit, (Datum) 0);
	has_armed = true;
	set_doorbell_tag(&tag);
	if (!is_armed())
		(void) LockAcquire(&tag, ShareLock, true, false);
	PG_RETURN_BOOL(true);
}

/* SQL: disarm() */
Datum
realtime_disarm(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(disarm());
}

/* SQL: is_armed() */
Datum
realtime_is_armed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_armed());
}
