/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * commit_log.c
 *	  realtime.commit_log: appending, rotation and pruning, forgetting.
 *
 * Model
 * 1. The log is an inheritance parent with LOG_CHILDREN children; one is current and takes all rows.
 *	  realtime.log_state says which, and since when and until when the others were.
 * 2. A writer caches the current child. Rotation invalidates the parent's relcache entry; a writer
 *	  looks again after it locked the child, so that no row goes to a child that was left before.
 * 3. A child is emptied whole by new files, when all in it is older than realtime.retention or the
 *	  log is over realtime.max_log_size. The lock is asked for without waiting: a child in use is
 *	  skipped, writers never wait (they use another child, or hold the lock themselves). Only the
 *	  worker of housekeeping.c waits, for a moment, for the oldest of a log that is too large.
 * 4. Emptying is visible to every snapshot at once. Under the lock prune therefore records the
 *	  highest transaction it drops and a snapshot; a reader asks realtime.position_error() in a new
 *	  statement after reading, or realtime.read() before it, which locks the children.
 * 5. Neither rows nor emptying are decoded logically.
 * 6. Who prunes, and when: housekeeping.c.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "bulk.h"
#include "catalog.h"
#include "commit_log.h"
#include "compat.h"
#include "doorbell.h"
#include "entity.h"
#include "guc.h"
#include "housekeeping.h"
#include "waiter.h"
#include "json.h"

PG_FUNCTION_INFO_V1(realtime_prune);
PG_FUNCTION_INFO_V1(realtime_forget);

/* The columns that a row is made of, in the order of their numbers in target.attnums. */
static const char *const log_columns[] = {"xid", "part", "at", "lsn", "events"};

/* One index of the current child. */
typedef struct TargetIndex
{
	Oid			relid;
	IndexInfo  *info;
} TargetIndex;

/*
 * The current child as this backend knows it, for its life; invalidated with the parent or the child.
 * What appending needs of it is kept, too: looking it up anew for each transaction took as long as
 * half of an insert.
 */
static struct
{
	bool		is_valid;
	Oid			parent;
	Oid			child;
	TimestampTz filled_from;
	MemoryContext context;		/* of all below; NULL before the first row */
	bool		is_described;
	AttrNumber	attnums[lengthof(log_columns)];
	Datum	   *values;			/* of all columns; unknown ones stay null */
	bool	   *nulls;
	TargetIndex *indexes;
	int			nindexes;
}			target;

/* ------------------------------------------------------------------------------------------------
 * Appending
 * ------------------------------------------------------------------------------------------------
 */

/* Relcache callback. */
static void
invalidate(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == target.parent || relid == target.child)
		target.is_valid = false;
}

Oid
realtime_log_child(int child)
{
	char		name[NAMEDATALEN];
	Oid			relid;

	snprintf(name, sizeof(name), "commit_log_%d", child);
	relid = get_relname_relid(name, get_namespace_oid("realtime", false));
	if (!OidIsValid(relid))
		elog(ERROR, "realtime: table %s is missing", name);
	return relid;
}

/* Looks up the current child; the first when nothing is recorded (a new or recovered server). */
static void
find_target(void)
{
	Relation	state = realtime_table_open("log_state", AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	int			child = 0;
	bool		isnull;

	target.parent = get_relname_relid("commit_log", get_namespace_oid("realtime", false));
	target.filled_from = 0;
	target.is_described = false;
	target.is_valid = true;		/* an invalidation from here on counts */
	realtime_table_beginscan(&scan, state);
	while ((tuple = realtime_table_next(&scan)) != NULL)
	{
		if (!DatumGetBool(realtime_table_get(state, tuple, "is_current", &isnull)))
			continue;
		child = DatumGetInt32(realtime_table_get(state, tuple, "child", &isnull));
		target.filled_from = DatumGetTimestampTz(realtime_table_get(state, tuple, "filled_from",
																	&isnull));
	}
	realtime_table_endscan(&scan);
	table_close(state, AccessShareLock);
	target.child = realtime_log_child(child);
}

/* Keeps what appending needs to know of the current child, which is open and locked. */
static void
describe_target(Relation log)
{
	int			natts = RelationGetDescr(log)->natts;
	List	   *indexes = RelationGetIndexList(log);
	MemoryContext old;
	ListCell   *cell;

	if (target.context == NULL)
		target.context = AllocSetContextCreate(TopMemoryContext, "realtime log",
											   ALLOCSET_SMALL_SIZES);
	MemoryContextReset(target.context);
	old = MemoryContextSwitchTo(target.context);
	target.values = palloc0(sizeof(Datum) * natts);
	target.nulls = palloc(sizeof(bool) * natts);
	memset(target.nulls, true, sizeof(bool) * natts);
	for (int i = 0; i < lengthof(log_columns); i++)
	{
		target.attnums[i] = realtime_table_attnum(log, log_columns[i]);
		target.nulls[target.attnums[i] - 1] = false;
	}
	target.indexes = palloc(sizeof(TargetIndex) * Max(list_length(indexes), 1));
	target.nindexes = 0;
	foreach(cell, indexes)
	{
		TargetIndex *index = &target.indexes[target.nindexes++];
		Relation	relation = index_open(lfirst_oid(cell), RowExclusiveLock);

		index->relid = lfirst_oid(cell);
		index->info = BuildIndexInfo(relation);
		index_close(relation, NoLock);
	}
	MemoryContextSwitchTo(old);
	list_free(indexes);
	target.is_described = true;
}

/* Opens the current child, locked; looks again when a rotation came in between. */
static Relation
open_target(void)
{
	for (;;)
	{
		Relation	log;

		if (!target.is_valid)
			find_target();
		log = table_open(target.child, RowExclusiveLock);
		if (target.is_valid && !target.is_described)
			describe_target(log);
		if (target.is_valid)
			return log;
		table_close(log, NoLock);
	}
}

/* Bytes of a child's rows, TOAST included; without indexes, so that an empty child has none. */
static uint64
child_size(Relation log)
{
	uint64		size = (uint64) RelationGetNumberOfBlocks(log) * BLCKSZ;

	if (size > 0 && OidIsValid(log->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(log->rd_rel->reltoastrelid, AccessShareLock);

		size += (uint64) RelationGetNumberOfBlocks(toast) * BLCKSZ;
		table_close(toast, AccessShareLock);
	}
	return size;
}

/* How many times its share of realtime.max_log_size a child that is not empty has: more than once, and it is full. */
static uint64
child_fill(uint64 size)
{
	return (size - 1) / ((uint64) realtime_max_log_size * 1024 * 1024 / LOG_CHILDREN);
}

/* Whether the current child, of a size, is full or old enough to turn to the next. */
static bool
is_rotation_due(uint64 size, TimestampTz filled_from, TimestampTz now)
{
	if (size == 0)
		return false;
	return child_fill(size) > 0
		|| now - filled_from > (int64) realtime_retention * USECS_PER_SEC / (LOG_CHILDREN - 1);
}

/* Starts house-keeping when the current child, which is open, is due: once for each share that it has. */
static void
look(Relation log, TimestampTz now)
{
	uint64		size = child_size(log);

	if (is_rotation_due(size, target.filled_from, now))
		realtime_housekeeping_start(target.child, target.filled_from, child_fill(size), now);
}

/*
 * Inserts the row in target.values with its index entries, as realtime_table_insert() would. The
 * indexes are locked like the table to the end of the transaction, which costs less than to unlock
 * them. While the table is locked its indexes and columns stay what they are in target.
 */
static void
insert_row(Relation log)
{
	TupleDesc	desc = RelationGetDescr(log);
	HeapTuple	tuple = heap_form_tuple(desc, target.values, target.nulls);

	heap_insert(log, tuple, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL, NULL);
	for (int i = 0; i < target.nindexes; i++)
	{
		IndexInfo  *info = target.indexes[i].info;
		Relation	index = index_open(target.indexes[i].relid, RowExclusiveLock);
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		for (int j = 0; j < info->ii_NumIndexAttrs; j++)
			values[j] = heap_getattr(tuple, info->ii_IndexAttrNumbers[j], desc, &nulls[j]);
		index_insert(index, values, nulls, &tuple->t_self, log,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
		index_close(index, NoLock);
	}
	heap_freetuple(tuple);
}

void
realtime_log_append(int part, TimestampTz at, XLogRecPtr lsn, const struct varlena *events)
{
	Relation	log = open_target();
	FullTransactionId xid = GetTopFullTransactionId();
	const Datum row[] = {
		FullTransactionIdGetDatum(xid), Int32GetDatum(part), TimestampTzGetDatum(at),
		LSNGetDatum(lsn), PointerGetDatum(events)
	};

	StaticAssertStmt(lengthof(row) == lengthof(log_columns), "a value for each column");
	for (int i = 0; i < lengthof(row); i++)
		target.values[target.attnums[i] - 1] = row[i];
	insert_row(log);
	realtime_waiter_note_append();
	if (realtime_housekeeping_is_look_due(part == 0, U64FromFullTransactionId(xid), VARSIZE(events))
		&& IsUnderPostmaster)
		look(log, at);
	table_close(log, NoLock);
}

/* ------------------------------------------------------------------------------------------------
 * Pruning
 * ------------------------------------------------------------------------------------------------
 */

/* One child as realtime.log_state has it. */
typedef struct Child
{
	bool		is_known;
	bool		is_current;
	TimestampTz filled_from;
	TimestampTz filled_to;
	uint64		size;			/* bytes, TOAST included */
} Child;

/* Reads the state and the sizes; returns the number of the current child. */
static int
read_children(Child *children, TimestampTz now)
{
	Relation	state = realtime_table_open("log_state", AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	int			current = -1;

	memset(children, 0, sizeof(Child) * LOG_CHILDREN);
	realtime_table_beginscan(&scan, state);
	while ((tuple = realtime_table_next(&scan)) != NULL)
	{
		bool		isnull;
		int			i = DatumGetInt32(realtime_table_get(state, tuple, "child", &isnull));
		Datum		filled_to;

		if (i < 0 || i >= LOG_CHILDREN)
			continue;
		children[i].is_known = true;
		children[i].is_current = DatumGetBool(realtime_table_get(state, tuple, "is_current",
																 &isnull));
		children[i].filled_from = DatumGetTimestampTz(realtime_table_get(state, tuple,
																		 "filled_from", &isnull));
		filled_to = realtime_table_get(state, tuple, "filled_to", &isnull);
		children[i].filled_to = isnull ? now : DatumGetTimestampTz(filled_to);
		if (children[i].is_current)
			current = i;
	}
	realtime_table_endscan(&scan);
	table_close(state, AccessShareLock);
	for (int i = 0; i < LOG_CHILDREN; i++)
	{
		Relation	log = table_open(realtime_log_child(i), AccessShareLock);

		children[i].size = child_size(log);
		table_close(log, AccessShareLock);
	}
	return current;
}

/* Replaces a child's row of realtime.log_state. */
static void
write_child(int i, const Child *child)
{
	Relation	state = realtime_table_open("log_state", RowExclusiveLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	bool		isnull;
	RealtimeValue values[] = {
		{"child", Int32GetDatum(i), false},
		{"is_current", BoolGetDatum(child->is_current), false},
		{"filled_from", TimestampTzGetDatum(child->filled_from), false},
		{"filled_to", TimestampTzGetDatum(child->filled_to), child->is_current},
	};

	realtime_table_beginscan(&scan, state);
	while ((tuple = realtime_table_next(&scan)) != NULL)
		if (DatumGetInt32(realtime_table_get(state, tuple, "child", &isnull)) == i)
			realtime_table_delete(state, tuple);
	realtime_table_endscan(&scan);
	CommandCounterIncrement();
	realtime_table_insert(state, values, lengthof(values));
	table_close(state, NoLock);
	CommandCounterIncrement();
}

/* The highest transaction that has a row in a child, 0 when none has. */
static uint64
highest_xid(Relation log)
{
	List	   *indexes = RelationGetIndexList(log);
	Relation	index;
	SysScanDesc scan;
	HeapTuple	tuple;
	uint64		xid = 0;
	bool		isnull;

	if (indexes == NIL)
		elog(ERROR, "realtime: table %s has no index", RelationGetRelationName(log));
	index = index_open(linitial_oid(indexes), AccessShareLock);
	scan = systable_beginscan_ordered(log, index, GetActiveSnapshot(), 0, NULL);
	if ((tuple = systable_getnext_ordered(scan, BackwardScanDirection)) != NULL)
		xid = U64FromFullTransactionId(DatumGetFullTransactionId(
							realtime_table_get(log, tuple, "xid", &isnull)));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	list_free(indexes);
	return xid;
}

/* Raises the floor of the history: xid was dropped under the active snapshot. */
static void
raise_floor(uint64 xid)
{
	Relation	floor = realtime_table_open("log_floor", RowExclusiveLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	bool		isnull;
	RealtimeValue values[] = {
		{"id", Int32GetDatum(0), false},
		{"dropped", (Datum) 0, false},
		{"snapshot", OidFunctionCall0(F_PG_CURRENT_SNAPSHOT), false},
	};

	realtime_table_beginscan(&scan, floor);
	while ((tuple = realtime_table_next(&scan)) != NULL)
	{
		uint64		before = U64FromFullTransactionId(DatumGetFullTransactionId(
								realtime_table_get(floor, tuple, "dropped", &isnull)));

		xid = Max(xid, before);
		realtime_table_delete(floor, tuple);
	}
	realtime_table_endscan(&scan);
	CommandCounterIncrement();
	values[1].value = FullTransactionIdGetDatum(FullTransactionIdFromU64(xid));
	realtime_table_insert(floor, values, lengthof(values));
	table_close(floor, NoLock);
	CommandCounterIncrement();
}

/* Empties a child unless somebody uses it, and still does after so long a wait; returns whether it did. */
static bool
empty_child(int i, int lock_ms)
{
	Oid			relid = realtime_log_child(i);
	Relation	log;
	Oid			toast;
	uint64		xid;
	ReindexParams params = {0};

	if (!realtime_housekeeping_lock(relid, lock_ms))
		return false;
	log = table_open(relid, NoLock);
	PushActiveSnapshot(GetLatestSnapshot());
	xid = highest_xid(log);
	if (xid > 0)
		raise_floor(xid);
	PopActiveSnapshot();
	CheckTableForSerializableConflictIn(log);
	compat_new_relation_file(log);
	toast = log->rd_rel->reltoastrelid;
	if (OidIsValid(toast))
	{
		Relation	toastrel = table_open(toast, AccessExclusiveLock);

		compat_new_relation_file(toastrel);
		table_close(toastrel, NoLock);
	}
	compat_reindex_relation(relid, REINDEX_REL_PROCESS_TOAST, &params);
	table_close(log, NoLock);
	return true;
}

/* The oldest child that is neither current nor empty nor skipped, or -1. */
static int
oldest_child(const Child *children, int current, const bool *is_skipped)
{
	int			oldest = -1;

	for (int i = 0; i < LOG_CHILDREN; i++)
		if (i != current && children[i].size > 0 && !is_skipped[i]
			&& (oldest < 0 || children[i].filled_to < children[oldest].filled_to))
			oldest = i;
	return oldest;
}

/* Total size of the log. */
static uint64
total_size(const Child *children)
{
	uint64		size = 0;

	for (int i = 0; i < LOG_CHILDREN; i++)
		size += children[i].size;
	return size;
}

/* Has writers look up the current child anew. */
static void
invalidate_targets(void)
{
	CacheInvalidateRelcacheByRelid(get_relname_relid("commit_log",
													 get_namespace_oid("realtime", false)));
}

/* Turns from the current child to an empty one when that is due and there is one. */
static void
rotate(Child *children, int current, TimestampTz now)
{
	Relation	log = table_open(realtime_log_child(current), AccessShareLock);
	bool		is_due = is_rotation_due(child_size(log), children[current].filled_from, now);

	table_close(log, AccessShareLock);
	for (int i = 1; is_due && i < LOG_CHILDREN; i++)
	{
		int			next = (current + i) % LOG_CHILDREN;

		if (children[next].size > 0)
			continue;
		children[current].is_current = false;
		children[current].filled_to = now;
		children[next].is_current = true;
		children[next].filled_from = now;
		write_child(current, &children[current]);
		write_child(next, &children[next]);
		invalidate_targets();
		break;
	}
}

/* Writes the state of a new server, or of one whose crash emptied the unlogged table: all is as if of now. */
static int
begin_state(Child *children, TimestampTz now)
{
	for (int i = 0; i < LOG_CHILDREN; i++)
	{
		children[i].is_current = i == 0;
		children[i].filled_from = children[i].filled_to = now;
		write_child(i, &children[i]);
	}
	invalidate_targets();
	return 0;
}

int
realtime_log_prune(int lock_ms, bool *is_behind)
{
	LOCKTAG		tag;
	Child		children[LOG_CHILDREN];
	bool		is_skipped[LOG_CHILDREN] = {false};
	TimestampTz now = GetCurrentTimestamp();
	int			current;
	int			oldest;
	int			emptied = 0;

	*is_behind = false;
	realtime_lock_tag(&tag, REALTIME_LOCK_PRUNE);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return 0;
	(void) realtime_bulk_reap_dead();
	current = read_children(children, now);
	if (current < 0)
		current = begin_state(children, now);
	while ((oldest = oldest_child(children, current, is_skipped)) >= 0)
	{
		bool		is_too_large = total_size(children) > (uint64) realtime_max_log_size * 1024 * 1024;

		if (!is_too_large
			&& now - children[oldest].filled_to <= (int64) realtime_retention * USECS_PER_SEC)
			break;
		is_skipped[oldest] = true;
		if (empty_child(oldest, is_too_large ? lock_ms : 0))
		{
			children[oldest].size = 0;
			emptied++;
		}
		else
			*is_behind |= is_too_large;
		lock_ms = 0;			/* who has emptied one waits for nobody: others may wait for it */
	}
	rotate(children, current, now);
	return emptied;
}

/* SQL: prune() */
Datum
realtime_prune(PG_FUNCTION_ARGS)
{
	bool		is_behind;

	PreventCommandIfReadOnly("realtime.prune()");
	PreventCommandDuringRecovery("realtime.prune()");
	PG_RETURN_INT32(realtime_log_prune(0, &is_behind));
}

/* ------------------------------------------------------------------------------------------------
 * Forgetting
 * ------------------------------------------------------------------------------------------------
 */

/* Rewrites one row's events without a record's: (new events or null, how many are gone). */
static const char *const forget_query =
	"SELECT '[' || coalesce(pg_catalog.string_agg(text, ',' ORDER BY n)"
	"              FILTER (WHERE NOT is_gone), '') || ']',"
	"       pg_catalog.count(*) FILTER (WHERE is_gone OR is_changed)"
	" FROM (SELECT n, mine AND (e -> 'id' OPERATOR(pg_catalog.=) $4"
	"                     OR e -> 'meta' -> 'oldId' OPERATOR(pg_catalog.=) $4"
	"                     OR e -> 'meta' -> 'newId' OPERATOR(pg_catalog.=) $4) IS TRUE AS is_gone,"
	"              has_key AS is_changed,"
	"              CASE WHEN has_key THEN pg_catalog.jsonb_set(e, '{data,keys}',"
	"                (SELECT coalesce(pg_catalog.jsonb_agg(k), '[]')"
	"                 FROM pg_catalog.jsonb_array_elements(e -> 'data' -> 'keys') k"
	"                 WHERE k OPERATOR(pg_catalog.<>) $4))::text ELSE raw::text END AS text"
	"       FROM (SELECT n, raw, e, mine, mine AND (e ->> 'action') LIKE 'bulk\\_%'"
	"                    AND pg_catalog.jsonb_typeof(e -> 'data' -> 'keys') OPERATOR(pg_catalog.=) 'array'"
	"                    AND (e -> 'data' -> 'keys') OPERATOR(pg_catalog.@>) pg_catalog.jsonb_build_array($4) AS has_key"
	"             FROM (SELECT n, raw, raw::jsonb AS e,"
	"                          raw ->> 'feature' OPERATOR(pg_catalog.=) $2"
	"                          AND raw ->> 'entity' OPERATOR(pg_catalog.=) $3 AS mine"
	"                   FROM pg_catalog.json_array_elements($1) WITH ORDINALITY AS x(raw, n)) a) b) c";

/* Forgets a record in one row of the log; returns how many events went. */
static int64
forget_in_row(Relation log, HeapTuple tuple, SPIPlanPtr plan, Datum *args)
{
	TupleDesc	desc = RelationGetDescr(log);
	int			nevents = realtime_table_attnum(log, "events") - 1;
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	bool		isnull;
	int64		gone;

	heap_deform_tuple(tuple, desc, values, nulls);
	args[0] = PointerGetDatum(PG_DETOAST_DATUM(values[nevents]));
	if (SPI_execute_plan(plan, args, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "realtime: could not search the log");
	gone = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (gone > 0)
	{
		HeapTuple	replacement;

		values[nevents] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		replacement = heap_form_tuple(desc, values, nulls);
		realtime_table_delete(log, tuple);
		realtime_table_insert_tuple(log, replacement);
		heap_freetuple(replacement);
	}
	SPI_freetuptable(SPI_tuptable);
	pfree(values);
	pfree(nulls);
	return gone;
}

/* SQL: forget(relation, id) */
Datum
realtime_forget(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	RealtimeRegistration registration;
	Oid			types[] = {JSONOID, TEXTOID, TEXTOID, JSONBOID};
	Datum		args[4];
	StringInfoData id_json;
	JsonbValue	buffer;
	JsonbValue *keys;
	SPIPlanPtr	plan;
	int			guc_level;
	int64		gone = 0;

	PreventCommandIfReadOnly("realtime.forget()");
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!compat_owns_relation(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the table to forget its records")));
	if (!realtime_registration_of_relation(relid, &registration))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s is not registered", get_rel_name(relid)),
				 errhint("Call realtime.enable() first.")));
	initStringInfo(&id_json);
	keys = getKeyJsonValueFromContainer(&registration.settings->root, "key", 3, &buffer);
	if (keys && keys->type == jbvBinary && JsonContainerSize(keys->val.binary.data) > 1)
		appendStringInfoString(&id_json, id);
	else
		realtime_json_append_string(&id_json, id, strlen(id));
	args[1] = CStringGetTextDatum(registration.feature);
	args[2] = CStringGetTextDatum(registration.entity);
	args[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(id_json.data));
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	plan = SPI_prepare(forget_query, lengthof(types), types);
	if (plan == NULL)
		elog(ERROR, "realtime: could not prepare the search of the log");
	for (int i = 0; i < LOG_CHILDREN; i++)
	{
		Relation	log = table_open(realtime_log_child(i), RowExclusiveLock);
		RealtimeScan scan;
		HeapTuple	tuple;

		realtime_table_beginscan(&scan, log);
		while ((tuple = realtime_table_next(&scan)) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			gone += forget_in_row(log, tuple, plan, args);
		}
		realtime_table_endscan(&scan);
		table_close(log, NoLock);
	}
	SPI_finish();
	AtEOXact_GUC(true, guc_level);
	CommandCounterIncrement();	/* the statement may call it again */
	PG_RETURN_INT64(gone);
}

/* Listens to invalidations. */
void
realtime_log_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}
