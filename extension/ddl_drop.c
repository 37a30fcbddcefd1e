/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * ddl_drop.c
 *	  Event triggers before and after DROP: dropped tables unregister themselves, a dropped part of
 *	  a registered table is told. See ddl.c for the model.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_trigger.h"
#include "nodes/parsenodes.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "catalog.h"
#include "ddl.h"
#include "pending.h"

PG_FUNCTION_INFO_V1(realtime_ddl_start);
PG_FUNCTION_INFO_V1(realtime_ddl_drop);

/* A member of registered tables, noted before a DROP. */
typedef struct Member
{
	Oid			relid;			/* hash key */
	bool		is_partition;
	List	   *roots;			/* Oids of the registered tables above it, itself excluded */
} Member;

/*
 * Notes of ddl_start for ddl_drop: relid -> Member. Lives in TopTransactionContext, whose reset
 * callback clears the pointer. Notes of several commands of a transaction add up, because commands
 * nest (an event trigger may drop things); an old note that is wrong by now costs at most a marker
 * for a table that had one already when the member left it.
 */
static HTAB *members = NULL;

/* Reset callback of the context that members is in. */
static void
forget_members(void *arg)
{
	members = NULL;
}

/* Makes the hash table of notes for this transaction. */
static void
create_members(void)
{
	HASHCTL		control = {0};
	MemoryContextCallback *callback = MemoryContextAlloc(TopTransactionContext,
														 sizeof(MemoryContextCallback));

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(Member);
	control.hcxt = TopTransactionContext;
	members = hash_create("realtime members", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	callback->func = forget_members;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
}

/* Notes that a relation is below a registered one. */
static void
note_member(Oid relid, Oid root)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	bool		is_found;
	Member	   *member = hash_search(members, &relid, HASH_ENTER, &is_found);

	if (!is_found)
		member->roots = NIL;
	member->is_partition = get_rel_relispartition(relid);
	member->roots = list_append_unique_oid(member->roots, root);
	MemoryContextSwitchTo(old);
}

/*
 * Whether a command drops temporary tables only. Programs that make and drop them often should not
 * pay for a look at every registered tree.
 */
static bool
drops_temporary_only(const Node *command)
{
	const DropStmt *stmt = (const DropStmt *) command;
	ListCell   *cell;

	if (!IsA(command, DropStmt) || stmt->removeType != OBJECT_TABLE
		|| stmt->behavior != DROP_RESTRICT)
		return false;
	foreach(cell, stmt->objects)
	{
		RangeVar   *name = makeRangeVarFromNameList((List *) lfirst(cell));
		Oid			relid = RangeVarGetRelid(name, NoLock, true);

		if (OidIsValid(relid) && get_rel_persistence(relid) != RELPERSISTENCE_TEMP)
			return false;
	}
	return true;
}

/*
 * Marks the root of a partition that is about to be detached concurrently. That takes two
 * transactions; the rows are out of sight after the first, and the second may never come.
 */
static void
mark_detach_concurrently(const AlterTableStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, cell);
		Oid			relid;

		if (cmd->subtype != AT_DetachPartition || !castNode(PartitionCmd, cmd->def)->concurrent)
			continue;
		relid = RangeVarGetRelid(stmt->relation, NoLock, true);
		if (OidIsValid(relid) && realtime_ddl_is_table(relid))
			realtime_ddl_mark(realtime_ddl_roots(relid, false), DDL_REASON_DETACHED);
	}
}

/* SQL: ddl_start(), before a command that may drop tables, and ALTER TABLE. */
Datum
realtime_ddl_start(PG_FUNCTION_ARGS)
{
	Node	   *command = realtime_ddl_trigger_data(fcinfo)->parsetree;
	ListCell   *cell;
	ListCell   *below;

	if (IsA(command, AlterTableStmt))
		mark_detach_concurrently(castNode(AlterTableStmt, command));
	if (!IsA(command, DropStmt) && !IsA(command, DropOwnedStmt))
		PG_RETURN_NULL();
	if (drops_temporary_only(command))
		PG_RETURN_NULL();
	foreach(cell, realtime_ddl_registered())
	{
		Oid			root = lfirst_oid(cell);
		List	   *tree = find_all_inheritors(root, NoLock, NULL);

		foreach(below, tree)
		{
			Oid			relid = lfirst_oid(below);

			if (relid == root || !realtime_ddl_is_table(relid))
				continue;
			if (members == NULL)
				create_members();
			note_member(relid, root);
		}
		list_free(tree);
	}
	PG_RETURN_NULL();
}

/* Removes the registrations of dropped tables with a last marker each. */
static void
unregister_dropped(List *objects, List *registered)
{
	ListCell   *cell;

	foreach(cell, objects)
	{
		const RealtimeDdlObject *object = lfirst(cell);
		RealtimeRegistration registration;

		if (object->classid != RelationRelationId || object->objsubid != 0
			|| !list_member_oid(registered, object->objid)
			|| !realtime_registration_of_relation(object->objid, &registration))
			continue;
		realtime_registration_remove(object->objid);
		realtime_pending_add_resync_of(&registration, DDL_REASON_TABLE_DROPPED);
	}
}

/* Marks the registered tables, still there, that a dropped table was a part of. */
static void
member_dropped(Oid relid, List *registered)
{
	Member	   *member = members ? hash_search(members, &relid, HASH_FIND, NULL) : NULL;

	if (member == NULL)
		return;
	realtime_ddl_mark(realtime_ddl_intersection(registered, member->roots),
					  member->is_partition ? DDL_REASON_PARTITION_DROPPED
					  : DDL_REASON_INHERITANCE);
}

/* Marks the registered table that a trigger of ours was dropped from by hand. */
static void
trigger_dropped(const RealtimeDdlObject *trigger)
{
	Oid			schema;
	Oid			relid;

	if (trigger->names[2] == NULL || !realtime_ddl_is_trigger_name(trigger->names[2]))
		return;
	schema = get_namespace_oid(trigger->names[0], true);
	relid = OidIsValid(schema) ? get_relname_relid(trigger->names[1], schema) : InvalidOid;
	if (OidIsValid(relid))
		realtime_ddl_mark(realtime_ddl_roots(relid, false), DDL_REASON_TRIGGERS_DROPPED);
}

/* SQL: ddl_drop(), after a command that dropped something. */
Datum
realtime_ddl_drop(PG_FUNCTION_ARGS)
{
	List	   *registered = realtime_ddl_registered();
	List	   *objects;
	List	   *changed = NIL;
	ListCell   *cell;

	(void) realtime_ddl_trigger_data(fcinfo);
	if (registered == NIL)
		PG_RETURN_NULL();
	objects = realtime_ddl_list_objects("SELECT classid, objid, objsubid,"
										" address_names[1], address_names[2], address_names[3]"
										" FROM pg_catalog.pg_event_trigger_dropped_objects()"
										" WHERE NOT is_temporary");
	unregister_dropped(objects, registered);
	registered = realtime_ddl_registered();
	foreach(cell, objects)
	{
		const RealtimeDdlObject *object = lfirst(cell);

		if (object->classid == TriggerRelationId)
			trigger_dropped(object);
		else if (object->classid == PolicyRelationId)
			realtime_ddl_policy_dropped(object);
		else if (object->classid != RelationRelationId)
			continue;
		else if (object->objsubid == 0)
			member_dropped(object->objid, registered);
		else if (realtime_ddl_is_table(object->objid))
			/* also DROP TYPE ... CASCADE and the like drop columns */
			changed = list_concat_unique_oid(changed, realtime_ddl_roots(object->objid, false));
	}
	realtime_ddl_mark(changed, DDL_REASON_COLUMNS);
	realtime_ddl_check(changed);
	PG_RETURN_NULL();
}
