/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * ddl_access.c
 *	  Event triggers: what DDL does to who may see the rows of registered tables. See ddl.c for DDL that
 *	  changes the rows themselves.
 *
 * 1. A command on a relation's privileges, owner, schema, policies or row-level security logs one
 *	  access_changed event for each registered table whose access depends on the relation.
 * 2. The access of a table depends on itself, on the relations that its policies read (as PostgreSQL
 *	  records it, through views and those relations' own policies), on the functions its policies
 *	  call, and on the registered tables that name it in affects.
 * 3. No event trigger tells of GRANT of a role, ALTER ROLE and REASSIGN OWNED.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "compat.h"
#include "ddl.h"
#include "entity.h"
#include "event.h"
#include "pending.h"

PG_FUNCTION_INFO_V1(realtime_ddl_access);

/* ---------- markers ---------- */

/* Logs the event of one registered table. */
static void
mark_one(Oid relid)
{
	RealtimeRegistration registration;
	RealtimeEvent event;
	char	   *notify;

	if (!realtime_registration_of_relation(relid, &registration))
		return;
	realtime_event_init(&event, registration.feature, registration.entity, "access_changed", NULL);
	notify = realtime_settings_text(registration.settings, "notify");
	if (notify && realtime_notify_from_name(notify) >= 0)
		event.notify = realtime_notify_from_name(notify);
	appendStringInfoString(&event.text, ",\"data\":null");
	event.notify_data = true;
	realtime_pending_add_event(&event);
	pfree(event.text.data);
	pfree(event.extra.data);
}

/* Logs the events of registered tables, in the order they were created in; the list is consumed. */
static void
mark(List *relids)
{
	ListCell   *cell;

	list_sort(relids, list_oid_cmp);
	foreach(cell, relids)
		mark_one(lfirst_oid(cell));
}

/* ---------- what depends on what ---------- */

/* The table of a policy, or the view of a rule; InvalidOid when it is gone. */
static Oid
relation_of(Oid catalog, Oid object, Oid index, AttrNumber key_column, AttrNumber relid_column)
{
	Relation	table = table_open(catalog, AccessShareLock);
	ScanKeyData key[1];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;

	ScanKeyInit(&key[0], key_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(table, index, true, NULL, 1, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		relid = DatumGetObjectId(heap_getattr(tuple, relid_column, RelationGetDescr(table), &isnull));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return relid;
}

/* Adds the relations whose policies, or whose rows as views, depend on an object. */
static List *
add_dependents(List *relids, Oid classid, Oid objid)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(classid));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(objid));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		Oid			relid = InvalidOid;

		if (form->classid == PolicyRelationId)
			relid = relation_of(PolicyRelationId, form->objid, PolicyOidIndexId, Anum_pg_policy_oid,
								Anum_pg_policy_polrelid);
		else if (form->classid == RewriteRelationId)
			relid = relation_of(RewriteRelationId, form->objid, RewriteOidIndexId,
								Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class);
		if (OidIsValid(relid))
			relids = list_append_unique_oid(relids, relid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return relids;
}

/* Adds the relations that a registered one names in affects. */
static List *
add_affected(List *relids, Oid relid)
{
	RealtimeRegistration registration;
	JsonbValue	buffer;
	JsonbValue *value;
	JsonbContainer *array;

	if (!realtime_registration_of_relation(relid, &registration))
		return relids;
	value = getKeyJsonValueFromContainer(&registration.settings->root, "affects", strlen("affects"),
										 &buffer);
	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return relids;
	array = value->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(array, i);
		Oid			affected;

		if (name->type != jbvString)
			continue;
		affected = RangeVarGetRelid(makeRangeVarFromNameList(compat_qualified_name(
			pnstrdup(name->val.string.val, name->val.string.len))), NoLock, true);
		if (OidIsValid(affected))
			relids = list_append_unique_oid(relids, affected);
	}
	return relids;
}

/* Marks the registered tables whose access depends on relations; the list is consumed. */
static void
mark_dependents(List *relids)
{
	List	   *registered = realtime_ddl_registered();

	if (registered == NIL)
		return;
	/* the list grows while it is walked over */
	for (int i = 0; i < list_length(relids); i++)
	{
		relids = add_dependents(relids, RelationRelationId, list_nth_oid(relids, i));
		relids = add_affected(relids, list_nth_oid(relids, i));
	}
	mark(realtime_ddl_intersection(registered, relids));
}

/* Marks every registered table: what changed cannot be told. */
static void
mark_all(void)
{
	mark(realtime_ddl_registered());
}

/* ---------- commands ---------- */

/* A list with the relation of a name, NIL when there is none. */
static List *
relation_list(RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	return OidIsValid(relid) ? list_make1_oid(relid) : NIL;
}

/* The same for a relation that is in another schema now. */
static List *
relation_moved(const AlterObjectSchemaStmt *stmt)
{
	return relation_list(makeRangeVar(stmt->newschema, stmt->relation->relname, -1));
}

/* The registered tables in some schemas. */
static List *
registered_in_schemas(List *names)
{
	List	   *relids = NIL;
	ListCell   *cell;
	ListCell   *name;

	foreach(cell, realtime_ddl_registered())
		foreach(name, names)
			if (get_rel_namespace(lfirst_oid(cell)) == get_namespace_oid(strVal(lfirst(name)), true))
				relids = list_append_unique_oid(relids, lfirst_oid(cell));
	return relids;
}

/* GRANT and REVOKE on objects. */
static void
grant(const GrantStmt *stmt)
{
	List	   *relids = NIL;
	ListCell   *cell;

	if (stmt->targtype == ACL_TARGET_DEFAULTS)
		return;
	switch (stmt->objtype)
	{
		case OBJECT_TABLE:
			if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
				mark_all();		/* tables there that policies read may be anybody's */
			else
				foreach(cell, stmt->objects)
					relids = list_concat_unique_oid(relids, relation_list(lfirst_node(RangeVar, cell)));
			break;
		case OBJECT_SCHEMA:
			relids = registered_in_schemas(stmt->objects);
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
				mark_all();
			else
				foreach(cell, stmt->objects)
				{
					Oid			function = LookupFuncWithArgs(stmt->objtype,
															  lfirst_node(ObjectWithArgs, cell), true);

					if (OidIsValid(function))
						relids = add_dependents(relids, ProcedureRelationId, function);
				}
			break;
		default:
			break;
	}
	mark_dependents(relids);
}

/* ALTER TABLE: row-level security and the owner. */
static void
alter_table(const AlterTableStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->cmds)
	{
		switch (lfirst_node(AlterTableCmd, cell)->subtype)
		{
			case AT_EnableRowSecurity:
			case AT_DisableRowSecurity:
			case AT_ForceRowSecurity:
			case AT_NoForceRowSecurity:
			case AT_ChangeOwner:
				mark_dependents(relation_list(stmt->relation));
				return;
			default:
				break;
		}
	}
}

/* CREATE OR REPLACE FUNCTION, ALTER FUNCTION: policies that call it mean something else now. */
static void
change_functions(void)
{
	List	   *relids = NIL;
	ListCell   *cell;

	if (realtime_ddl_registered() == NIL)
		return;
	foreach(cell, realtime_ddl_list_objects("SELECT classid, objid, objsubid, NULL, NULL, NULL"
											" FROM pg_catalog.pg_event_trigger_ddl_commands()"))
	{
		const RealtimeDdlObject *object = lfirst(cell);

		if (object->classid == ProcedureRelationId)
			relids = add_dependents(relids, ProcedureRelationId, object->objid);
	}
	mark_dependents(relids);
}

void
realtime_ddl_policy_dropped(const RealtimeDdlObject *policy)
{
	if (policy->names[0] && policy->names[1])
		mark_dependents(relation_list(makeRangeVar(policy->names[0], policy->names[1], -1)));
}

/* SQL: ddl_access(), after a command. Which commands come here is said with the event trigger. */
Datum
realtime_ddl_access(PG_FUNCTION_ARGS)
{
	Node	   *command = realtime_ddl_trigger_data(fcinfo)->parsetree;

	switch (nodeTag(command))
	{
		case T_GrantStmt:
			grant(castNode(GrantStmt, command));
			break;
		case T_CreatePolicyStmt:
			mark_dependents(relation_list(castNode(CreatePolicyStmt, command)->table));
			break;
		case T_AlterPolicyStmt:
			mark_dependents(relation_list(castNode(AlterPolicyStmt, command)->table));
			break;
		case T_AlterTableStmt:
			alter_table(castNode(AlterTableStmt, command));
			break;
		case T_AlterObjectSchemaStmt:
			/* the privileges of another schema count */
			if (castNode(AlterObjectSchemaStmt, command)->relation)
				mark_dependents(relation_moved(castNode(AlterObjectSchemaStmt, command)));
			break;
		case T_CreateFunctionStmt:
		case T_AlterFunctionStmt:
		case T_AlterOwnerStmt:
			change_functions();
			break;
		case T_DropOwnedStmt:
			mark_all();
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}
