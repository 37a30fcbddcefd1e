/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * ddl_common.c
 *	  What the event triggers share: which registered tables a relation or a type concerns. See
 *	  ddl.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "ddl.h"
#include "entity.h"
#include "pending.h"

/* ------------------------------------------------------------------------------------------------
 * Relations and their registered roots
 * ------------------------------------------------------------------------------------------------
 */

EventTriggerData *
realtime_ddl_trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "realtime: not called by the event trigger manager");
	return (EventTriggerData *) fcinfo->context;
}

List *
realtime_ddl_registered(void)
{
	Oid			schema = get_namespace_oid("realtime", true);

	if (!OidIsValid(schema) || !OidIsValid(get_relname_relid("registration", schema)))
		return NIL;
	return realtime_registered_relations();
}

bool
realtime_ddl_is_table(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	switch (((Form_pg_class) GETSTRUCT(tuple))->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
			result = ((Form_pg_class) GETSTRUCT(tuple))->relpersistence != RELPERSISTENCE_TEMP;
			break;
		default:
			result = false;
	}
	ReleaseSysCache(tuple);
	return result;
}

List *
realtime_ddl_roots(Oid relid, bool recurses)
{
	List	   *roots = NIL;
	List	   *registered = realtime_ddl_registered();
	Oid			root;
	ListCell   *cell;

	if (registered == NIL)
		return NIL;
	root = realtime_registered_root(relid);
	if (OidIsValid(root))
		roots = lappend_oid(roots, root);
	if (recurses)
		foreach(cell, find_all_inheritors(relid, NoLock, NULL))
			if (list_member_oid(registered, lfirst_oid(cell)))
				roots = list_append_unique_oid(roots, lfirst_oid(cell));
	return roots;
}

List *
realtime_ddl_intersection(List *a, List *b)
{
	List	   *both = NIL;
	ListCell   *cell;

	foreach(cell, a)
		if (list_member_oid(b, lfirst_oid(cell)))
			both = lappend_oid(both, lfirst_oid(cell));
	return both;
}

void
realtime_ddl_mark(List *roots, const char *reason)
{
	ListCell   *cell;

	foreach(cell, roots)
		realtime_pending_add_resync(lfirst_oid(cell), reason);
}

/*
 * Error context of a check: the error may come from anywhere in the parser, with a position in the
 * condition's text, which is not the command's.
 */
static void
explain_refusal(void *arg)
{
	if (geterrcode() == ERRCODE_SUCCESSFUL_COMPLETION)
		return;					/* not an error */
	errposition(0);
	errhint("Change the registration first: realtime.enable() states it anew, "
			"realtime.define_event() and realtime.drop_event() its events.");
	errcontext("realtime registration of table %s", get_rel_name(*(Oid *) arg));
}

void
realtime_ddl_check(List *roots)
{
	ListCell   *cell;

	foreach(cell, roots)
	{
		Oid			relid = lfirst_oid(cell);
		ErrorContextCallback callback = {error_context_stack, explain_refusal, &relid};

		error_context_stack = &callback;
		realtime_entity_check(relid);
		error_context_stack = callback.previous;
	}
}

List *
realtime_ddl_list_objects(const char *query)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *objects = NIL;

	SPI_connect();
	if (SPI_execute(query, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "realtime: could not list the objects of a command");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		RealtimeDdlObject *object = palloc0(sizeof(RealtimeDdlObject));
		bool		isnull;

		object->classid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		object->objid = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull));
		object->objsubid = DatumGetInt32(SPI_getbinval(tuple, desc, 3, &isnull));
		for (int n = 0; n < 3; n++)
			object->names[n] = SPI_getvalue(tuple, desc, 4 + n);
		objects = lappend(objects, object);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return objects;
}

bool
realtime_ddl_is_trigger_name(const char *name)
{
	return strcmp(name, DDL_TRIGGER_CAPTURE) == 0 || strcmp(name, DDL_TRIGGER_TRUNCATE) == 0;
}

/* ------------------------------------------------------------------------------------------------
 * Types of columns
 * ------------------------------------------------------------------------------------------------
 */

/*
 * Adds to *relids the relations that have a column whose values contain values of a type: itself,
 * or through arrays, domains, ranges, multiranges and composite types. visited keeps types met.
 */
static void
collect_type_users(Oid typid, List **relids, List **visited)
{
	Relation	depend;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *types = NIL;
	ListCell   *cell;

	check_stack_depth();
	if (!OidIsValid(typid) || list_member_oid(*visited, typid))
		return;
	*visited = lappend_oid(*visited, typid);
	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(typid));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == TypeRelationId)
			types = lappend_oid(types, form->objid);
		else if (form->classid == RelationRelationId && form->objsubid > 0)
		{
			/* a column; a table's rows may be values in turn */
			*relids = list_append_unique_oid(*relids, form->objid);
			types = lappend_oid(types, get_rel_type_id(form->objid));
		}
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	foreach(cell, types)
		collect_type_users(lfirst_oid(cell), relids, visited);
}

void
realtime_ddl_type_changed(Oid typid)
{
	List	   *registered = realtime_ddl_registered();
	List	   *relids = NIL;
	List	   *visited = NIL;
	List	   *roots;

	if (registered == NIL)
		return;
	collect_type_users(typid, &relids, &visited);
	roots = realtime_ddl_intersection(registered, relids);
	realtime_ddl_mark(roots, DDL_REASON_TYPE);
	realtime_ddl_check(roots);
}

List *
realtime_ddl_typed_tables(Oid typid)
{
	List	   *tables = NIL;
	ListCell   *cell;

	foreach(cell, realtime_ddl_registered())
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(cell)));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (((Form_pg_class) GETSTRUCT(tuple))->reloftype == typid)
			tables = lappend_oid(tables, lfirst_oid(cell));
		ReleaseSysCache(tuple);
	}
	return tables;
}
