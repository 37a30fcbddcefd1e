/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * position.c
 *	  Positions (epoch and snapshot), what the log still holds of them, and the WAL flush.
 *
 * Model
 * 1. A position is a snapshot: new is what the present snapshot sees and that one did not. The
 *	  reader's predicate is xid >= xmax OR xid = ANY (xip).
 * 2. Transaction ids are used again after a crash that lost unflushed WAL, after a promotion and
 *	  after a restore. So a position carries an epoch: the WAL timeline and a random value in an
 *	  unlogged table, which each of these empties.
 * 3. Prune records the highest transaction it dropped and a snapshot of then. A position covers the
 *	  loss when everything dropped is visible in it.
 */
#include "postgres.h"

#include "access/clog.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "catalog.h"
#include "compat.h"
#include "position.h"

#define POSITION_LIMIT (16 * 1024)	/* bytes of a client's; some 800 transactions in flight */

PG_FUNCTION_INFO_V1(realtime_position);
PG_FUNCTION_INFO_V1(realtime_settled_position);
PG_FUNCTION_INFO_V1(realtime_current_epoch);
PG_FUNCTION_INFO_V1(realtime_new_epoch);
PG_FUNCTION_INFO_V1(realtime_position_error);
PG_FUNCTION_INFO_V1(realtime_flush);

/* Raises an error on a standby, whose snapshots leave out running transactions. */
static void
check_primary(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("Positions are taken on the primary only.")));
}

/* The random half of the epoch, copied; NULL when there is none yet. */
static char *
read_epoch(void)
{
	Relation	table = realtime_table_open("epoch", AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	char	   *value = NULL;

	realtime_table_beginscan(&scan, table);
	if ((tuple = realtime_table_next(&scan)) != NULL)
		value = realtime_table_get_text(table, tuple, "value");
	realtime_table_endscan(&scan);
	table_close(table, AccessShareLock);
	return value;
}

/*
 * Replaces the epoch by a new random value. The lock keeps two sessions from making two; who waited
 * for it finds the other's value and, unless forced, keeps that.
 */
static char *
make_epoch(bool is_forced)
{
	Relation	table;
	RealtimeScan scan;
	HeapTuple	tuple;
	uint64		random;
	char	   *value;

	PreventCommandIfReadOnly("making a realtime epoch");
	table = realtime_table_open("epoch", ExclusiveLock);
	value = is_forced ? NULL : read_epoch();
	if (value == NULL)
	{
		RealtimeValue values[2];

		if (!pg_strong_random(&random, sizeof(random)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random epoch")));
		value = psprintf("%016llx", (unsigned long long) random);
		realtime_table_beginscan(&scan, table);
		while ((tuple = realtime_table_next(&scan)) != NULL)
			realtime_table_delete(table, tuple);
		realtime_table_endscan(&scan);
		CommandCounterIncrement();
		values[0] = (RealtimeValue) {"id", Int32GetDatum(0), false};
		values[1] = (RealtimeValue) {"value", CStringGetTextDatum(value), false};
		realtime_table_insert(table, values, 2);
		CommandCounterIncrement();
	}
	table_close(table, NoLock);
	return value;
}

/* The epoch's text, in the current context. */
static char *
epoch_text(const char *value)
{
	return psprintf("%X-%s", compat_insertion_timeline(), value);
}

char *
realtime_position_epoch(void)
{
	char	   *value;

	check_primary();
	value = read_epoch();
	if (value == NULL)
		value = make_epoch(false);
	return epoch_text(value);
}

/* SQL: current_epoch() */
Datum
realtime_current_epoch(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(realtime_position_epoch()));
}

/* SQL: new_epoch() */
Datum
realtime_new_epoch(PG_FUNCTION_ARGS)
{
	check_primary();
	PG_RETURN_TEXT_P(cstring_to_text(epoch_text(make_epoch(true))));
}

char *
realtime_position_text(const char *epoch)
{
	return psprintf("%s/%s", epoch,
					OidOutputFunctionCall(F_PG_SNAPSHOT_OUT, OidFunctionCall0(F_PG_CURRENT_SNAPSHOT)));
}

/* SQL: position() */
Datum
realtime_position(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(realtime_position_text(realtime_position_epoch())));
}

/*
 * A transaction is visible to snapshots a moment before it has told other sessions which of their cached catalog rows
 * are void; its lock is released after that. Waits for those that the snapshot sees and that are within this moment.
 */
static void
wait_for_invalidations(Snapshot snapshot)
{
	LockData   *locks = GetLockStatusData();

	for (int i = 0; i < locks->nelements; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];
		TransactionId xid = (TransactionId) lock->locktag.locktag_field1;

		if (lock->locktag.locktag_type == LOCKTAG_TRANSACTION
			&& (lock->holdMask & LOCKBIT_ON(ExclusiveLock)) != 0
			&& !TransactionIdIsCurrentTransactionId(xid) && !XidInMVCCSnapshot(xid, snapshot))
			XactLockTableWait(xid, NULL, NULL, XLTW_None);
	}
	AcceptInvalidationMessages();
}

/* SQL: settled_position() */
Datum
realtime_settled_position(PG_FUNCTION_ARGS)
{
	char	   *position = realtime_position_text(realtime_position_epoch());

	wait_for_invalidations(GetActiveSnapshot());
	PG_RETURN_TEXT_P(cstring_to_text(position));
}

/* Reads digits; false when there are none, too many, or a leading zero. */
static bool
parse_xid(const char **s, uint64 *xid)
{
	const char *p = *s;

	*xid = 0;
	while (*p >= '0' && *p <= '9')
	{
		if (p - *s >= 19)
			return false;
		*xid = *xid * 10 + (uint64) (*p++ - '0');
	}
	if (p == *s || (**s == '0' && p - *s > 1))
		return false;
	*s = p;
	return true;
}

bool
realtime_position_parse(const char *text, RealtimePosition *position)
{
	const char *slash = strchr(text, '/');
	const char *p;
	uint64		last = 0;

	if (slash == NULL || slash == text)
		return false;
	position->epoch = pnstrdup(text, slash - text);
	position->xip = palloc(sizeof(uint64) * (strlen(text) / 2 + 1));
	position->nxip = 0;
	p = slash + 1;
	if (!parse_xid(&p, &position->xmin) || *p++ != ':'
		|| !parse_xid(&p, &position->xmax) || *p++ != ':')
		return false;
	if (position->xmin == 0 || position->xmin > position->xmax)
		return false;
	while (*p != '\0')
	{
		uint64		xid;

		if (!parse_xid(&p, &xid) || xid <= last || xid < position->xmin || xid >= position->xmax)
			return false;
		position->xip[position->nxip++] = last = xid;
		if (*p == '\0')
			break;
		if (*p++ != ',' || *p == '\0')
			return false;
	}
	return true;
}

/* Whether the floor of the history is above what a position covers. */
static bool
is_below_floor(const RealtimePosition *position)
{
	Relation	table = realtime_table_open("log_floor", AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	bool		is_below = false;

	realtime_table_beginscan(&scan, table);
	if ((tuple = realtime_table_next(&scan)) != NULL)
	{
		bool		isnull;
		uint64		dropped = U64FromFullTransactionId(DatumGetFullTransactionId(
								realtime_table_get(table, tuple, "dropped", &isnull)));
		Datum		snapshot = realtime_table_get(table, tuple, "snapshot", &isnull);

		is_below = dropped >= position->xmax;
		for (int i = 0; !is_below && i < position->nxip && position->xip[i] <= dropped; i++)
		{
			/* Still running when prune looked: nothing of it was dropped. */
			is_below = DatumGetBool(OidFunctionCall2(F_PG_VISIBLE_IN_SNAPSHOT,
								FullTransactionIdGetDatum(
									FullTransactionIdFromU64(position->xip[i])), snapshot));
		}
	}
	realtime_table_endscan(&scan);
	table_close(table, AccessShareLock);
	return is_below;
}

const char *
realtime_position_gap(const RealtimePosition *position, const char *epoch)
{
	if (strcmp(position->epoch, epoch) != 0)
		return "epoch";
	if (position->xmax > U64FromFullTransactionId(ReadNextFullTransactionId()))
		return "future";
	if (is_below_floor(position))
		return "history";
	return NULL;
}

/* SQL: position_error(position) */
Datum
realtime_position_error(PG_FUNCTION_ARGS)
{
	text	   *argument = PG_GETARG_TEXT_PP(0);
	RealtimePosition position;
	const char *gap = "malformed";

	check_primary();
	if (VARSIZE_ANY_EXHDR(argument) <= POSITION_LIMIT
		&& realtime_position_parse(text_to_cstring(argument), &position))
	{
		char	   *value = read_epoch();

		gap = value == NULL ? "epoch" : realtime_position_gap(&position, epoch_text(value));
	}
	if (gap == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(gap));
}

/*
 * An insert position that XLogFlush can reach: at the start of a page the reported position is
 * behind the page's header, which nobody has written yet.
 */
static XLogRecPtr
reachable(XLogRecPtr lsn)
{
	uint32		offset = lsn % XLOG_BLCKSZ;

	if (offset == SizeOfXLogShortPHD
		|| (offset == SizeOfXLogLongPHD && XLogSegmentOffset(lsn, wal_segment_size) == offset))
		return lsn - offset;
	return lsn;
}

XLogRecPtr
realtime_position_commit_lsn(uint64 xid)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	TransactionId id = XidFromFullTransactionId(FullTransactionIdFromU64(xid));
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	if (next - xid > MaxTransactionId / 2)
		return lsn;				/* ids that far apart cannot be compared by 32 bits */
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (!TransactionIdPrecedes(id, compat_oldest_status()))
		(void) TransactionIdGetStatus(id, &lsn);
	LWLockRelease(XactTruncationLock);
	return lsn;
}

/* SQL: flush(upto) */
Datum
realtime_flush(PG_FUNCTION_ARGS)
{
	XLogRecPtr	inserted;
	XLogRecPtr	upto;

	check_primary();
	inserted = GetXLogInsertRecPtr();
	upto = PG_ARGISNULL(0) ? inserted : PG_GETARG_LSN(0);
	if (upto > inserted)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("WAL position %X/%X is not inserted yet", LSN_FORMAT_ARGS(upto)),
				 errhint("Sample it with pg_current_wal_insert_lsn() on this server.")));
	XLogFlush(reachable(upto));
	PG_RETURN_LSN(Max(upto, compat_flush_position()));
}
