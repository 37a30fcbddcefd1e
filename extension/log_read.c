/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * log_read.c
 *	  realtime.read(): one poll of the commit log.
 *
 * Model
 * 1. In this order: wait for a commit; lock the log's children, so that until the end of the transaction prune cannot
 *	  empty any; ask whether the log still has all that the position has not seen; take a new snapshot; read with it;
 *	  flush the WAL as far as what was read needs. So when the first row comes all is known: history is whole, what comes
 *	  is durable, and the snapshot is the position from which the next poll reads.
 * 2. As SQL these are three statements, each with a plan to be set up and ended. Here is one, and the usual read of no
 *	  or one row needs no sort.
 * 3. What a position has not seen is xid >= xmax OR xid = ANY (xip). Ids below xmax by little are read with one scan
 *	  from the lowest of them on; those far below, of transactions that run for long, are looked up each.
 * 4. Rows go through a sort and a store that spill at work_mem, with their events as they are in the table:
 *	  pointers to TOAST, mostly, where they are large.
 * 5. What a snapshot sees is durable, but for commits with synchronous_commit = off. Of those PostgreSQL keeps, beside
 *	  the status, how far the WAL must be flushed. Of what else has been inserted nothing is flushed: a flush of it would
 *	  compete with those of the commits to come.
 * 6. Who may execute the function may read the log: tables are opened past privileges (catalog.h).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
#include "utils/xid8.h"

#include "catalog.h"
#include "commit_log.h"
#include "compat.h"
#include "position.h"
#include "waiter.h"

#define NEAR 256				/* transaction ids below xmax that are read with what follows it */
#define FIRST_LSN 1				/* before that of every row */
#define UNIX_EPOCH_US (((int64) POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(realtime_read);

/* The columns of the result. */
enum
{
	OUT_POSITION, OUT_GAP, OUT_WAITED, OUT_XID, OUT_PART, OUT_IS_LAST, OUT_AT, OUT_EVENTS, OUT_COLUMNS
};

/* The columns of the log, as sorted and as put out. */
enum
{
	LOG_LSN, LOG_XID, LOG_PART, LOG_AT, LOG_EVENTS, LOG_COLUMNS
};
static const char *const log_columns[LOG_COLUMNS] = {"lsn", "xid", "part", "at", "events"};

/* One read. */
typedef struct Reading
{
	const RealtimePosition *since;
	uint64		first;			/* 0: none */
	uint64		flush_group;	/* of transaction ids that were looked at last, plus one; 0: none */
	XLogRecPtr	flush_to;		/* the WAL that what was taken needs */
	TupleDesc	desc;			/* of the log */
	AttrNumber	attnums[LOG_COLUMNS];
	HeapTuple	only;			/* the one row so far */
	Tuplesortstate *sort;		/* since there are two */
	TupleTableSlot *unsorted;
	Tuplestorestate *out;
	TupleDesc	out_desc;
} Reading;

/* Begins a sort by (lsn, xid, part). */
static void
begin_sort(Reading *reading)
{
	Oid			operators[3];
	Oid			collations[3] = {InvalidOid, InvalidOid, InvalidOid};
	bool		nulls_first[3] = {false, false, false};

	for (int i = 0; i < lengthof(operators); i++)
		operators[i] = lookup_type_cache(TupleDescAttr(reading->desc, reading->attnums[i] - 1)->atttypid,
										 TYPECACHE_LT_OPR)->lt_opr;
	reading->sort = tuplesort_begin_heap(reading->desc, lengthof(operators), reading->attnums, operators,
										 collations, nulls_first, work_mem, NULL, 0);
	reading->unsorted = MakeSingleTupleTableSlot(reading->desc, &TTSOpsVirtual);
}

/* The transaction of a deformed row. */
static uint64
row_xid(const Reading *reading, const Datum *values)
{
	return U64FromFullTransactionId(DatumGetFullTransactionId(values[reading->attnums[LOG_XID] - 1]));
}

/* Gives a row to the sort. */
static void
sort_row(Reading *reading, HeapTuple tuple)
{
	TupleTableSlot *slot = reading->unsorted;

	ExecClearTuple(slot);
	heap_deform_tuple(tuple, reading->desc, slot->tts_values, slot->tts_isnull);
	if (row_xid(reading, slot->tts_values) == reading->first)
		slot->tts_values[reading->attnums[LOG_LSN] - 1] = LSNGetDatum(FIRST_LSN);
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(reading->sort, slot);
}

/* Takes a row that the snapshot sees. */
static void
take_row(Reading *reading, HeapTuple tuple)
{
	if (reading->sort == NULL && reading->only == NULL)
	{
		reading->only = heap_copytuple(tuple);
		return;
	}
	if (reading->sort == NULL)
	{
		begin_sort(reading);
		sort_row(reading, reading->only);
	}
	sort_row(reading, tuple);
}

/* Puts a row out. */
static void
put_row(Reading *reading, const Datum *row, bool is_last)
{
	Datum		values[OUT_COLUMNS] = {0};
	bool		nulls[OUT_COLUMNS] = {true, true, true};

	values[OUT_XID] = row[reading->attnums[LOG_XID] - 1];
	values[OUT_PART] = row[reading->attnums[LOG_PART] - 1];
	values[OUT_IS_LAST] = BoolGetDatum(is_last);
	values[OUT_AT] = Int64GetDatum(DatumGetTimestampTz(row[reading->attnums[LOG_AT] - 1]) + UNIX_EPOCH_US);
	values[OUT_EVENTS] = row[reading->attnums[LOG_EVENTS] - 1];
	tuplestore_putvalues(reading->out, reading->out_desc, values, nulls);
}

/* Puts the one row out. */
static void
put_only(Reading *reading)
{
	Datum	   *values = palloc(sizeof(Datum) * reading->desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * reading->desc->natts);

	heap_deform_tuple(reading->only, reading->desc, values, nulls);
	put_row(reading, values, true);
}

/* Puts all rows out in order. A row is the last of its transaction when the next one is another's. */
static void
put_sorted(Reading *reading)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(reading->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *next = MakeSingleTupleTableSlot(reading->desc, &TTSOpsMinimalTuple);
	bool		has_next;

	tuplesort_performsort(reading->sort);
	has_next = tuplesort_gettupleslot(reading->sort, true, true, next, NULL);
	while (has_next)
	{
		TupleTableSlot *spare = row;

		CHECK_FOR_INTERRUPTS();
		row = next;
		next = spare;
		slot_getallattrs(row);
		has_next = tuplesort_gettupleslot(reading->sort, true, true, next, NULL);
		if (has_next)
			slot_getallattrs(next);
		put_row(reading, row->tts_values, !has_next || row_xid(reading, row->tts_values)
				!= row_xid(reading, next->tts_values));
	}
	ExecDropSingleTupleTableSlot(row);
	ExecDropSingleTupleTableSlot(next);
	ExecDropSingleTupleTableSlot(reading->unsorted);
	tuplesort_end(reading->sort);
}

/* For bsearch(). */
static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* Whether the position covers a transaction. */
static bool
is_covered(const RealtimePosition *position, uint64 xid)
{
	return xid < position->xmax
		&& bsearch(&xid, position->xip, position->nxip, sizeof(uint64), compare_xids) == NULL;
}

/* Notes how far the WAL must be flushed before a transaction is shown. */
static void
note_commit(Reading *reading, uint64 xid)
{
	uint64		group = xid / COMMIT_LSN_GROUP + 1;

	if (group == reading->flush_group)
		return;
	reading->flush_group = group;
	reading->flush_to = Max(reading->flush_to, realtime_position_commit_lsn(xid));
}

/* Takes what a scan of a child finds and the position does not cover. */
static void
scan_child(Reading *reading, Relation log, Relation index, ScanKey key)
{
	SysScanDesc scan = systable_beginscan_ordered(log, index, GetActiveSnapshot(), 1, key);
	AttrNumber	attnum = reading->attnums[LOG_XID];
	HeapTuple	tuple;

	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		uint64		xid = U64FromFullTransactionId(DatumGetFullTransactionId(
									heap_getattr(tuple, attnum, reading->desc, &isnull)));

		CHECK_FOR_INTERRUPTS();
		if (is_covered(reading->since, xid))
			continue;
		note_commit(reading, xid);
		take_row(reading, tuple);
	}
	systable_endscan_ordered(scan);
}

/* Reads a child, which is locked. */
static void
read_child(Reading *reading, Relation log)
{
	const RealtimePosition *since = reading->since;
	List	   *indexes;
	Relation	index;
	ScanKeyData key;
	int			far = 0;

	if (RelationGetNumberOfBlocks(log) == 0)
		return;
	indexes = RelationGetIndexList(log);
	if (indexes == NIL)
		elog(ERROR, "realtime: table %s has no index", RelationGetRelationName(log));
	index = index_open(linitial_oid(indexes), AccessShareLock);
	while (far < since->nxip && since->xip[far] + NEAR < since->xmax)
		far++;
	if (far > 0)
	{
		Datum	   *xids = palloc(sizeof(Datum) * far);
		ArrayType  *array;

		for (int i = 0; i < far; i++)
			xids[i] = FullTransactionIdGetDatum(FullTransactionIdFromU64(since->xip[i]));
		array = construct_array(xids, far, XID8OID, sizeof(FullTransactionId), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
		ScanKeyEntryInitialize(&key, SK_SEARCHARRAY, reading->attnums[LOG_XID], BTEqualStrategyNumber, XID8OID,
							   InvalidOid, F_XID8EQ, PointerGetDatum(array));
		scan_child(reading, log, index, &key);
	}
	ScanKeyInit(&key, reading->attnums[LOG_XID], BTGreaterEqualStrategyNumber, F_XID8GE,
				FullTransactionIdGetDatum(FullTransactionIdFromU64(far < since->nxip ? since->xip[far] : since->xmax)));
	scan_child(reading, log, index, &key);
	index_close(index, NoLock);
	list_free(indexes);
}

/* The result's store, in the memory of the query. */
static void
begin_result(FunctionCallInfo fcinfo, Reading *reading)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (result == NULL || !IsA(result, ReturnSetInfo) || (result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("realtime.read() returns a set"),
				 errhint("Call it in FROM.")));
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &reading->out_desc) != TYPEFUNC_COMPOSITE
		|| reading->out_desc->natts != OUT_COLUMNS)
		elog(ERROR, "realtime: read must return a record of %d columns", OUT_COLUMNS);
	reading->out = tuplestore_begin_heap(false, false, work_mem);
	result->returnMode = SFRM_Materialize;
	result->setResult = reading->out;
	result->setDesc = reading->out_desc;
	MemoryContextSwitchTo(old);
}

/* Puts out the first row. */
static void
put_first(Reading *reading, const char *position, const char *gap, int64 waited)
{
	Datum		values[OUT_COLUMNS] = {0};
	bool		nulls[OUT_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[OUT_POSITION] = CStringGetTextDatum(position);
	nulls[OUT_POSITION] = false;
	if (gap != NULL)
	{
		values[OUT_GAP] = CStringGetTextDatum(gap);
		nulls[OUT_GAP] = false;
	}
	if (waited >= 0)
	{
		values[OUT_WAITED] = Int64GetDatum(waited);
		nulls[OUT_WAITED] = false;
	}
	tuplestore_putvalues(reading->out, reading->out_desc, values, nulls);
}

/* SQL: read(since, first, wait) */
Datum
realtime_read(PG_FUNCTION_ARGS)
{
	Reading		reading = {0};
	RealtimePosition since;
	Relation	children[LOG_CHILDREN];
	const char *gap = NULL;
	char	   *position;
	char	   *epoch;
	int64		waited = 0;

	begin_result(fcinfo, &reading);
	if (!PG_ARGISNULL(0) && !realtime_position_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &since))
		gap = "malformed";
	if (!PG_ARGISNULL(1))
		reading.first = U64FromFullTransactionId(PG_GETARG_FULLTRANSACTIONID(1));
	if (PG_ARGISNULL(2))
		realtime_waiter_watch();
	else
		waited = realtime_waiter_wait(PG_GETARG_INT32(2));

	for (int i = 0; i < LOG_CHILDREN; i++)
		children[i] = table_open(realtime_log_child(i), AccessShareLock);
	epoch = realtime_position_epoch();
	if (!PG_ARGISNULL(0) && gap == NULL)
		gap = realtime_position_gap(&since, epoch);
	PushActiveSnapshot(GetLatestSnapshot());
	position = realtime_position_text(epoch);
	if (!PG_ARGISNULL(0) && gap == NULL)
	{
		reading.since = &since;
		reading.desc = RelationGetDescr(children[0]);
		for (int i = 0; i < LOG_COLUMNS; i++)
			reading.attnums[i] = realtime_table_attnum(children[0], log_columns[i]);
		for (int i = 0; i < LOG_CHILDREN; i++)
			read_child(&reading, children[i]);
	}
	XLogFlush(reading.flush_to);
	put_first(&reading, position, gap, waited);
	if (reading.sort != NULL)
		put_sorted(&reading);
	else if (reading.only != NULL)
		put_only(&reading);
	PopActiveSnapshot();
	for (int i = 0; i < LOG_CHILDREN; i++)
		table_close(children[i], NoLock);
	PG_RETURN_NULL();
}
