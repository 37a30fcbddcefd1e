/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * doorbell.c
 *	  NOTIFY only when somebody waits for it.
 *
 * Model
 * 1. A commit that NOTIFYs holds a cluster-wide lock until its WAL is flushed: notifying commits
 *	  come one at a time. So a commit notifies only when a notifier is at rest.
 * 2. A notifier at rest is armed: its session holds ShareLock on the doorbell's lock tag, an
 *	  advisory lock that the SQL functions for advisory locks cannot reach (field4 = 3).
 * 3. A committing writer asks for RowExclusiveLock on the tag without waiting. Refused: somebody is
 *	  armed, or waits to be; it rings. Granted: nobody needs a bell; the lock stays to the end of
 *	  its transaction.
 * 4. arm() therefore waits exactly for the writers that were told not to ring. Once it has the
 *	  lock they have committed, so one more poll sees what they wrote; later ones ring.
 * 5. A dead notifier's lock goes with its session. A full lock table rings instead of failing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "compat.h"
#include "doorbell.h"

PG_FUNCTION_INFO_V1(realtime_arm);
PG_FUNCTION_INFO_V1(realtime_disarm);
PG_FUNCTION_INFO_V1(realtime_is_armed);

/* Fills a lock tag of this extension in this database. */
void
realtime_lock_tag(LOCKTAG *tag, RealtimeLock key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) key, 0, 3);
}

/* Whether this session holds the doorbell armed. */
static bool
is_armed(void)
{
	LOCKTAG		tag;

	realtime_lock_tag(&tag, REALTIME_LOCK_DOORBELL);
	return compat_lock_is_held(&tag, ShareLock);
}

bool
realtime_doorbell_is_wanted(void)
{
	LOCKTAG		tag;

	/* A session's own lock refuses it nothing: an armed one rings for itself, as for all others. */
	if (is_armed())
		return true;
	realtime_lock_tag(&tag, REALTIME_LOCK_DOORBELL);
	return compat_lock_try(&tag, RowExclusiveLock) == LOCKACQUIRE_NOT_AVAIL;
}

/* SQL: arm() */
Datum
realtime_arm(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	PreventCommandDuringRecovery("realtime.arm()");
	realtime_lock_tag(&tag, REALTIME_LOCK_DOORBELL);
	if (!is_armed())
		(void) LockAcquire(&tag, ShareLock, true, false);
	PG_RETURN_BOOL(true);
}

/* SQL: disarm() */
Datum
realtime_disarm(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	realtime_lock_tag(&tag, REALTIME_LOCK_DOORBELL);
	if (!is_armed())
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(LockRelease(&tag, ShareLock, true));
}

/* SQL: is_armed() */
Datum
realtime_is_armed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_armed());
}
