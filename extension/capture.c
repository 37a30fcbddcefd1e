/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * capture.c
 *	  The triggers, and realtime.emit(): where changes come from.
 *
 * The row trigger does as little as it can: find the leaf, find the command that made the row
 * version, keep the tuples. Everything else waits for the commit.
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "compat.h"
#include "entity.h"
#include "guc.h"
#include "pending.h"

PG_FUNCTION_INFO_V1(realtime_capture);
PG_FUNCTION_INFO_V1(realtime_capture_truncate);
PG_FUNCTION_INFO_V1(realtime_emit);

/* Raises an error unless called as an AFTER trigger of the wanted level. */
static TriggerData *
check_trigger(FunctionCallInfo fcinfo, bool is_row)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event)
		|| (TRIGGER_FIRED_FOR_ROW(data->tg_event) != 0) != is_row)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("realtime trigger functions must be fired AFTER, as realtime.enable() "
						"creates them")));
	return data;
}

/* Whether the owner or a superuser has switched capture off (realtime.enabled). */
static bool
is_switched_off(Oid relid)
{
	return !realtime_enabled && compat_owns_relation(relid, GetUserId());
}

/*
 * The command that made a row version. cmin is asked of versions of this transaction only. A tuple
 * that COPY FREEZE made says it is of no transaction: its raw command id is right until a nested
 * trigger changes the row; then it is the changer's, and the one before it puts them in order.
 */
static CommandId
command_of_new(HeapTupleHeader tuple)
{
	CommandId	cid = HeapTupleHeaderGetRawCommandId(tuple);

	if (tuple->t_infomask & HEAP_COMBOCID)
		return HeapTupleHeaderGetCmin(tuple);
	if (HeapTupleHeaderXminFrozen(tuple) && !(tuple->t_infomask & HEAP_XMAX_INVALID)
		&& !HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask) && cid > 0)
		cid--;
	return cid;
}

/*
 * A tuple with its out-of-line values taken in, where it is applied for replication: an applied
 * TRUNCATE passes no utility hook, so nothing could fetch them in time. Other tuples stay as they are.
 */
static void
take_values_in(HeapTupleData *tuple, const RealtimeLeaf *leaf)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA && tuple->t_data
		&& HeapTupleHasExternal(tuple))
		*tuple = *toast_flatten_tuple(tuple, leaf->tupdesc);
}

/* SQL: trigger capture() */
Datum
realtime_capture(PG_FUNCTION_ARGS)
{
	TriggerData *data = check_trigger(fcinfo, true);
	RealtimeLeaf *leaf = realtime_leaf_get(data->tg_relation);
	RealtimeChange change = {0};
	CommandId	cid = 0;
	bool		is_moved = false;

	if (leaf == NULL)
		return PointerGetDatum(NULL);
	if (!realtime_enabled && is_switched_off(leaf->entity->root))
	{
		realtime_pending_add_resync(leaf->entity->root, "capture switched off");
		return PointerGetDatum(NULL);
	}
	if (!leaf->is_heap)
		cid = GetCurrentCommandId(false);
	change.derived = ~UINT64CONST(0);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
	{
		change.op = REALTIME_OP_INSERT;
		change.new_leaf = leaf;
		change.new_tuple = *data->tg_trigtuple;
		if (leaf->entity->has_conditions)
			change.derived = realtime_leaf_conditions(leaf, NULL, data->tg_trigtuple);
	}
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		change.op = REALTIME_OP_UPDATE;
		change.old_leaf = change.new_leaf = leaf;
		change.old_tuple = *data->tg_trigtuple;
		change.new_tuple = *data->tg_newtuple;
		if (leaf->entity->has_conditions)
			change.derived = realtime_leaf_conditions(leaf, data->tg_trigtuple, data->tg_newtuple);
	}
	else
	{
		change.op = REALTIME_OP_DELETE;
		change.old_leaf = leaf;
		change.old_tuple = *data->tg_trigtuple;
		if (leaf->is_heap)
		{
			cid = HeapTupleHeaderGetCmax(change.old_tuple.t_data);
			is_moved = HeapTupleHeaderIndicatesMovedPartitions(change.old_tuple.t_data);
		}
	}
	if (leaf->is_heap && change.op != REALTIME_OP_DELETE)
		cid = command_of_new(change.new_tuple.t_data);
	take_values_in(&change.old_tuple, leaf);
	take_values_in(&change.new_tuple, leaf);
	realtime_pending_add_change(&change, cid, is_moved);
	return PointerGetDatum(NULL);
}

/* The last TRUNCATE of a registered root: of which, by which command. For the backend's life. */
static struct
{
	Oid			root;
	TransactionId xid;
	CommandId	cid;
}			last_truncate;

/*
 * Whether rows of a truncated table's inheritance children may be left, as TRUNCATE ONLY does: a
 * child that was truncated, too, has no blocks when the triggers fire.
 */
static bool
has_rows_left(Relation root)
{
	List	   *members;
	ListCell   *cell;
	bool		has_any = false;

	if (root->rd_rel->relkind != RELKIND_RELATION || !root->rd_rel->relhassubclass)
		return false;
	members = find_all_inheritors(RelationGetRelid(root), AccessShareLock, NULL);
	foreach(cell, members)
	{
		Relation	member = table_open(lfirst_oid(cell), NoLock);

		/* temporary rows are nobody's business; of foreign ones nothing is known */
		if (member->rd_rel->relpersistence != RELPERSISTENCE_TEMP)
			has_any |= member->rd_rel->relkind != RELKIND_RELATION
				|| RelationGetNumberOfBlocks(member) > 0;
		table_close(member, NoLock);
	}
	list_free(members);
	return has_any;
}

/* SQL: trigger capture_truncate() */
Datum
realtime_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *data = check_trigger(fcinfo, false);
	Oid			relid = RelationGetRelid(data->tg_relation);
	Oid			root = realtime_registered_root(relid);
	RealtimeRegistration registration;
	RealtimeEvent event;
	char	   *text;

	if (!OidIsValid(root))
		return PointerGetDatum(NULL);
	/* TRUNCATE of the root fires its own trigger, then its members': they say no more. */
	if (root != relid && last_truncate.root == root
		&& last_truncate.xid == GetTopTransactionIdIfAny()
		&& last_truncate.cid == GetCurrentCommandId(false))
		return PointerGetDatum(NULL);
	if (root != relid || is_switched_off(root))
	{
		realtime_pending_add_resync(root, root != relid ? "part truncated" : "capture switched off");
		return PointerGetDatum(NULL);
	}
	last_truncate.root = root;
	last_truncate.xid = GetTopTransactionIdIfAny();
	last_truncate.cid = GetCurrentCommandId(false);
	if (has_rows_left(data->tg_relation))
	{
		realtime_pending_add_resync(root, "part truncated");
		return PointerGetDatum(NULL);
	}
	if (!realtime_registration_of_relation(root, &registration))
		return PointerGetDatum(NULL);
	realtime_event_init(&event, registration.feature, registration.entity, "truncated", NULL);
	appendStringInfoString(&event.text, ",\"data\":null");
	text = realtime_settings_text(registration.settings, "priority");
	if (text && realtime_priority_from_name(text) >= 0)
		event.priority = realtime_priority_from_name(text);
	text = realtime_settings_text(registration.settings, "notify");
	if (text && realtime_notify_from_name(text) >= 0)
		event.notify = realtime_notify_from_name(text);
	event.notify_data = true;
	realtime_pending_add_event(&event);
	return PointerGetDatum(NULL);
}

/* A text argument as a C string, or NULL. */
static char *
optional_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* SQL: emit(feature, entity, action, data, id, priority, to_user) */
Datum
realtime_emit(PG_FUNCTION_ARGS)
{
	char	   *feature = optional_text(fcinfo, 0);
	char	   *entity = optional_text(fcinfo, 1);
	char	   *action = optional_text(fcinfo, 2);
	char	   *id = optional_text(fcinfo, 4);
	char	   *priority = optional_text(fcinfo, 5);
	char	   *to_user = optional_text(fcinfo, 6);
	RealtimeRegistration registration;
	RealtimeEvent event;
	StringInfoData id_json;
	JsonbValue	buffer;
	JsonbValue *notify_data;
	char	   *notify;

	if (!feature || !entity || !action)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("feature, entity and action must not be null")));
	PreventCommandIfReadOnly("realtime.emit()");
	PreventCommandIfParallelMode("realtime.emit()");
	PreventCommandDuringRecovery("realtime.emit()");
	realtime_check_action_name(action);
	if (!realtime_registration_of_name(feature, entity, &registration))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s.%s is not registered", feature, entity),
				 errhint("Call realtime.enable() for a table or realtime.register_topic().")));
	realtime_check_emit(&registration);
	if (priority == NULL)
		priority = realtime_settings_text(registration.settings, "priority");
	if (priority && realtime_priority_from_name(priority) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid priority \"%s\"", priority),
				 errhint("Use low, normal, high or critical.")));
	initStringInfo(&id_json);
	if (id)
		realtime_json_append_string(&id_json, id, strlen(id));
	realtime_event_init(&event, feature, entity, action, id ? id_json.data : NULL);
	appendStringInfoString(&event.text, ",\"data\":");
	if (PG_ARGISNULL(3))
		appendStringInfoString(&event.text, "null");
	else
	{
		Jsonb	   *data = PG_GETARG_JSONB_P(3);

		(void) JsonbToCString(&event.text, &data->root, VARSIZE(data));
	}
	if (priority)
		event.priority = realtime_priority_from_name(priority);
	notify = realtime_settings_text(registration.settings, "notify");
	if (notify && realtime_notify_from_name(notify) >= 0)
		event.notify = realtime_notify_from_name(notify);
	notify_data = getKeyJsonValueFromContainer(&registration.settings->root, "notify_data",
											   strlen("notify_data"), &buffer);
	event.notify_data = notify_data && notify_data->type == jbvBool && notify_data->val.boolean
		&& to_user == NULL;
	if (to_user)
	{
		appendStringInfoString(&event.extra, ",\"toUser\":");
		realtime_json_append_string(&event.extra, to_user, strlen(to_user));
	}
	realtime_pending_add_event(&event);
	PG_RETURN_VOID();
}
