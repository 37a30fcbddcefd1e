/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * ddl.c
 *	  Event triggers: what DDL does to registered tables past their row triggers.
 *
 * Knows parse trees of DDL; registrations through catalog.h alone, since event triggers run as
 * whoever issues the DDL. DROP is in ddl_drop.c, what both share in ddl_common.c.
 *
 * 1. DDL that changes what readers of a registered table see, or stops its capture, logs one resync
 *	  marker for the table (the root), whichever member (partition, inheritance child) it names.
 * 2. A new member gets the triggers, a former member loses them.
 * 3. A renamed column is renamed in the settings. After that, and after every ALTER TABLE, the
 *	  registration must fit the table, or the error refuses the DDL.
 * 4. When objects are gone, their place in a tree is gone too: ddl_start notes who belongs to whom
 *	  before a DROP, ddl_drop uses it.
 * 5. Rows of temporary tables are nobody else's business: they cause nothing.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "catalog.h"
#include "compat.h"
#include "ddl.h"
#include "entity.h"
#include "pending.h"

PG_FUNCTION_INFO_V1(realtime_ddl_end);

/* ------------------------------------------------------------------------------------------------
 * Triggers of new and former members
 * ------------------------------------------------------------------------------------------------
 */

/*
 * Gives a new member of a registered tree, and what is below it, the triggers. A root without its
 * trigger is mended first: a partition's own trigger would be in the way of the inherited one. Its
 * capture starts anew then, which is told.
 */
static void
add_triggers(Oid relid, Oid root)
{
	bool		is_intact = OidIsValid(get_trigger_oid(root, DDL_TRIGGER_CAPTURE, true));

	realtime_execute_as_owner(psprintf("SELECT realtime.add_triggers('%u'::pg_catalog.regclass)",
									   is_intact ? relid : root));
	if (!is_intact)
		realtime_pending_add_resync(root, DDL_REASON_TRIGGERS_ENABLED);
}

/* Drops a trigger if the relation has it, unseen by event triggers. */
static void
drop_trigger(Oid relid, const char *name)
{
	ObjectAddress trigger;
	Oid			oid = get_trigger_oid(relid, name, true);

	if (!OidIsValid(oid))
		return;
	ObjectAddressSet(trigger, TriggerRelationId, oid);
	performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

/* Takes the triggers from a former member and what is below it, where nothing is registered now. */
static void
drop_triggers(Oid relid)
{
	ListCell   *cell;

	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
	{
		Oid			member = lfirst_oid(cell);

		if (!realtime_ddl_is_table(member) || OidIsValid(realtime_registered_root(member)))
			continue;
		drop_trigger(member, DDL_TRIGGER_CAPTURE);
		drop_trigger(member, DDL_TRIGGER_TRUNCATE);
	}
}

/* A table became part of another: its rows are there without having been created. */
static void
member_joined(Oid relid, Oid parent, const char *reason)
{
	Oid			root = OidIsValid(parent) ? realtime_registered_root(parent) : InvalidOid;

	if (!OidIsValid(relid) || !OidIsValid(root))
		return;
	realtime_pending_add_resync(root, reason);
	add_triggers(relid, root);
}

/* A table is no longer part of another: its rows are gone there without having been deleted. */
static void
member_left(Oid relid, Oid parent, const char *reason)
{
	Oid			root = OidIsValid(parent) ? realtime_registered_root(parent) : InvalidOid;

	if (!OidIsValid(root))
		return;
	realtime_pending_add_resync(root, reason);
	if (OidIsValid(relid))
		drop_triggers(relid);
}

/* ------------------------------------------------------------------------------------------------
 * End of a command: ALTER
 * ------------------------------------------------------------------------------------------------
 */

/* The table that a command named, or InvalidOid when it is none or gone. */
static Oid
table_of(RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	return OidIsValid(relid) && realtime_ddl_is_table(relid) ? relid : InvalidOid;
}

/* Why a subcommand changes rows, or their capture, past the triggers; NULL when it does not. */
static const char *
reason_of(const AlterTableCmd *cmd)
{
	if (compat_at_changes_rows(cmd->subtype))
		return DDL_REASON_COLUMNS;
	switch (cmd->subtype)
	{
		case AT_DisableTrig:
		case AT_EnableReplicaTrig:
			return realtime_ddl_is_trigger_name(cmd->name) ? DDL_REASON_TRIGGERS_DISABLED : NULL;
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
			return DDL_REASON_TRIGGERS_DISABLED;
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
			return realtime_ddl_is_trigger_name(cmd->name) ? DDL_REASON_TRIGGERS_ENABLED : NULL;
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
			return DDL_REASON_TRIGGERS_ENABLED;
		default:
			return NULL;
	}
}

/* ALTER TABLE and ALTER FOREIGN TABLE, other than renaming. */
static void
alter_table(const AlterTableStmt *stmt)
{
	Oid			relid = table_of(stmt->relation);
	List	   *roots;
	ListCell   *cell;
	bool		is_type_changed = false;

	if (!OidIsValid(relid) || realtime_ddl_registered() == NIL)
		return;
	roots = realtime_ddl_roots(relid, stmt->relation->inh);
	foreach(cell, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, cell);
		const char *reason;

		switch (cmd->subtype)
		{
			case AT_AttachPartition:
				member_joined(table_of(castNode(PartitionCmd, cmd->def)->name), relid,
							  DDL_REASON_ATTACHED);
				break;
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				member_left(table_of(castNode(PartitionCmd, cmd->def)->name), relid,
							DDL_REASON_DETACHED);
				break;
			case AT_AddInherit:
				member_joined(relid, table_of(castNode(RangeVar, cmd->def)),
							  DDL_REASON_INHERITANCE);
				break;
			case AT_DropInherit:
				member_left(relid, table_of(castNode(RangeVar, cmd->def)),
							DDL_REASON_INHERITANCE);
				break;
			default:
				reason = reason_of(cmd);
				if (reason)
					realtime_ddl_mark(roots, reason);
				is_type_changed |= compat_at_changes_rows(cmd->subtype);
		}
	}
	realtime_ddl_check(roots);
	if (is_type_changed)
		realtime_ddl_type_changed(get_rel_type_id(relid));
}

/* ALTER TYPE of a composite type's attributes. */
static void
alter_type(const AlterTableStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	Oid			typid = OidIsValid(relid) ? get_rel_type_id(relid) : InvalidOid;
	List	   *tables;

	if (!OidIsValid(typid) || realtime_ddl_registered() == NIL)
		return;
	tables = realtime_ddl_typed_tables(typid);
	realtime_ddl_mark(tables, DDL_REASON_COLUMNS);
	realtime_ddl_check(tables);
	realtime_ddl_type_changed(typid);
}

/* ALTER TYPE ... RENAME VALUE: rows show the new label from now on. */
static void
alter_enum(const AlterEnumStmt *stmt)
{
	if (stmt->oldVal != NULL)
		realtime_ddl_type_changed(typenameTypeId(NULL, makeTypeNameFromNameList(stmt->typeName)));
}

/* ------------------------------------------------------------------------------------------------
 * End of a command: RENAME
 * ------------------------------------------------------------------------------------------------
 */

/*
 * A copy of settings with a column renamed where columns are named: key, columns, exclude,
 * status_column, and columns of events. *is_changed tells whether it was named anywhere.
 */
static Jsonb *
rename_in_settings(Jsonb *settings, const char *from, const char *to, bool *is_changed)
{
	JsonbIterator *iterator = JsonbIteratorInit(&settings->root);
	JsonbParseState *state = NULL;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *result = NULL;
	int			depth = 0;			/* of objects */
	bool		is_in_events = false;
	bool		is_column = false;	/* strings are names of columns here */

	*is_changed = false;
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT)
			depth++;
		else if (token == WJB_END_OBJECT)
			depth--;
		else if (token == WJB_KEY)
		{
			char	   *key = pnstrdup(value.val.string.val, value.val.string.len);

			if (depth == 1)
			{
				is_in_events = strcmp(key, "events") == 0;
				is_column = strcmp(key, "key") == 0 || strcmp(key, "columns") == 0
					|| strcmp(key, "exclude") == 0 || strcmp(key, "status_column") == 0;
			}
			else
				is_column = depth == 2 && is_in_events && strcmp(key, "columns") == 0;
			pfree(key);
		}
		else if ((token == WJB_VALUE || token == WJB_ELEM) && is_column && value.type == jbvString
				 && value.val.string.len == strlen(from)
				 && memcmp(value.val.string.val, from, value.val.string.len) == 0)
		{
			value.val.string.val = pstrdup(to);
			value.val.string.len = strlen(to);
			*is_changed = true;
		}
		/* containers are pushed by their tokens alone */
		result = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}

/* Renames a column in the settings of registered relations where it was renamed just now. */
static void
rename_column(List *roots, const char *from, const char *to)
{
	ListCell   *cell;

	foreach(cell, roots)
	{
		Oid			relid = lfirst_oid(cell);
		RealtimeRegistration registration;
		Jsonb	   *settings;
		bool		is_changed;

		/* a child's own column is no column of the registered table */
		if (get_attnum(relid, to) == InvalidAttrNumber
			|| get_attnum(relid, from) != InvalidAttrNumber
			|| !realtime_registration_of_relation(relid, &registration))
			continue;
		settings = rename_in_settings(registration.settings, from, to, &is_changed);
		if (is_changed)
			realtime_registration_replace(relid, registration.feature, registration.entity,
										  registration.owner, settings);
		realtime_pending_add_resync(relid, DDL_REASON_COLUMNS);
		realtime_ddl_check(list_make1_oid(relid));
	}
}

/* ALTER TABLE ... RENAME COLUMN, ALTER TYPE ... RENAME ATTRIBUTE, ALTER TRIGGER ... RENAME. */
static void
rename_object(const RenameStmt *stmt)
{
	Oid			relid;

	if (stmt->relation == NULL || realtime_ddl_registered() == NIL)
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	switch (stmt->renameType)
	{
		case OBJECT_COLUMN:
			if (!realtime_ddl_is_table(relid))
				return;
			rename_column(realtime_ddl_roots(relid, true), stmt->subname, stmt->newname);
			realtime_ddl_type_changed(get_rel_type_id(relid));
			break;
		case OBJECT_ATTRIBUTE:
			rename_column(realtime_ddl_typed_tables(get_rel_type_id(relid)), stmt->subname,
						  stmt->newname);
			realtime_ddl_type_changed(get_rel_type_id(relid));
			break;
		case OBJECT_TRIGGER:
			/* under another name the trigger would be added again, and each event come twice */
			if (realtime_ddl_is_table(relid) && realtime_ddl_is_trigger_name(stmt->subname)
				&& OidIsValid(realtime_registered_root(relid)))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("cannot rename trigger \"%s\" of table %s", stmt->subname,
								get_rel_name(relid)),
						 errdetail("The table is registered with realtime, which knows its "
								   "triggers by their names."),
						 errhint("realtime.disable() removes the triggers.")));
			break;
		default:
			break;
	}
}

/* ------------------------------------------------------------------------------------------------
 * End of a command: CREATE
 * ------------------------------------------------------------------------------------------------
 */

/* Gives the tables that a command created below registered ones their triggers. */
static void
create_tables(void)
{
	List	   *objects;
	ListCell   *cell;

	if (realtime_ddl_registered() == NIL)
		return;
	objects = realtime_ddl_list_objects("SELECT classid, objid, objsubid, NULL, NULL, NULL"
										" FROM pg_catalog.pg_event_trigger_ddl_commands()");
	foreach(cell, objects)
	{
		const RealtimeDdlObject *object = lfirst(cell);
		Oid			root;

		if (object->classid != RelationRelationId || !realtime_ddl_is_table(object->objid)
			|| !has_superclass(object->objid))
			continue;
		root = realtime_registered_root(object->objid);
		if (OidIsValid(root))
			add_triggers(object->objid, root);
	}
}

/* SQL: ddl_end(), after a command. Which commands come here is said with the event trigger. */
Datum
realtime_ddl_end(PG_FUNCTION_ARGS)
{
	Node	   *command = realtime_ddl_trigger_data(fcinfo)->parsetree;

	switch (nodeTag(command))
	{
		case T_AlterTableStmt:
			if (castNode(AlterTableStmt, command)->objtype == OBJECT_TYPE)
				alter_type(castNode(AlterTableStmt, command));
			else
				alter_table(castNode(AlterTableStmt, command));
			break;
		case T_AlterEnumStmt:
			alter_enum(castNode(AlterEnumStmt, command));
			break;
		case T_RenameStmt:
			rename_object(castNode(RenameStmt, command));
			break;
		case T_CreateStmt:
			if (castNode(CreateStmt, command)->inhRelations != NIL)
				create_tables();
			break;
		case T_CreateForeignTableStmt:
			if (((CreateForeignTableStmt *) command)->base.inhRelations != NIL)
				create_tables();
			break;
		case T_CreateSchemaStmt:
			if (castNode(CreateSchemaStmt, command)->schemaElts != NIL)
				create_tables();
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}
