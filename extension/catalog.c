/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catalog.c
 *	  The extension's own tables: low-level access, registrations, topics and grants.
 *
 * Knows relations, tuples and indexes. Every SQL function here checks the caller's rights itself,
 * because the tables are read and written past privileges. See catalog.h.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "compat.h"
#include "doorbell.h"
#include "entity.h"
#include "pending.h"

#define NAME_LENGTH 128			/* bytes of a feature or entity; two fit a NOTIFY header */
#define MAX_EVENTS 60				/* defined for one table; their matches are bits of a uint64 */

PG_FUNCTION_INFO_V1(realtime_register);
PG_FUNCTION_INFO_V1(realtime_unregister);
PG_FUNCTION_INFO_V1(realtime_settings_of);
PG_FUNCTION_INFO_V1(realtime_names_of);
PG_FUNCTION_INFO_V1(realtime_lock_relation);
PG_FUNCTION_INFO_V1(realtime_check_action);
PG_FUNCTION_INFO_V1(realtime_register_topic);
PG_FUNCTION_INFO_V1(realtime_drop_topic);
PG_FUNCTION_INFO_V1(realtime_grant_subscribe);
PG_FUNCTION_INFO_V1(realtime_grant_emit);
PG_FUNCTION_INFO_V1(realtime_revoke_subscribe);
PG_FUNCTION_INFO_V1(realtime_revoke_emit);
PG_FUNCTION_INFO_V1(realtime_ignore_replicated);

/* ------------------------------------------------------------------------------------------------
 * Tables
 * ------------------------------------------------------------------------------------------------
 */

Relation
realtime_table_open(const char *name, LOCKMODE mode)
{
	Oid			namespace = get_namespace_oid("realtime", true);
	Oid			relid = OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table realtime.%s does not exist", name),
				 errhint("Run CREATE EXTENSION realtime in this database.")));
	return table_open(relid, mode);
}

AttrNumber
realtime_table_attnum(Relation table, const char *column)
{
	TupleDesc	desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), column) == 0)
			return attr->attnum;
	}
	elog(ERROR, "realtime: table %s has no column %s", RelationGetRelationName(table), column);
	return InvalidAttrNumber;
}

Datum
realtime_table_get(Relation table, HeapTuple tuple, const char *column, bool *isnull)
{
	return heap_getattr(tuple, realtime_table_attnum(table, column), RelationGetDescr(table), isnull);
}

char *
realtime_table_get_text(Relation table, HeapTuple tuple, const char *column)
{
	bool		isnull;
	Datum		value = realtime_table_get(table, tuple, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* Inserts a formed tuple and its index entries; no index here has expressions or predicates. */
void
realtime_table_insert_tuple(Relation table, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(table);
	List	   *indexes;
	ListCell   *cell;

	heap_insert(table, tuple, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL, NULL);
	indexes = RelationGetIndexList(table);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);
		IndexInfo  *info = BuildIndexInfo(index);
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		for (int i = 0; i < info->ii_NumIndexAttrs; i++)
			values[i] = heap_getattr(tuple, info->ii_IndexAttrNumbers[i], desc, &nulls[i]);
		index_insert(index, values, nulls, &tuple->t_self, table,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
		index_close(index, RowExclusiveLock);
	}
	list_free(indexes);
}

void
realtime_table_insert(Relation table, const RealtimeValue *values, int n)
{
	TupleDesc	desc = RelationGetDescr(table);
	Datum	   *datums = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	HeapTuple	tuple;

	memset(nulls, true, sizeof(bool) * desc->natts);
	for (int i = 0; i < n; i++)
	{
		AttrNumber	attnum = realtime_table_attnum(table, values[i].column);

		datums[attnum - 1] = values[i].value;
		nulls[attnum - 1] = values[i].isnull;
	}
	tuple = heap_form_tuple(desc, datums, nulls);
	realtime_table_insert_tuple(table, tuple);
	heap_freetuple(tuple);
	pfree(datums);
	pfree(nulls);
}

/* Without a replica identity, a deletion decodes to nothing a subscriber is sent. */
void
realtime_table_delete(Relation table, HeapTuple tuple)
{
	simple_heap_delete(table, &tuple->t_self);
}

void
realtime_table_beginscan(RealtimeScan *scan, Relation table)
{
	scan->table = table;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = table_beginscan(table, scan->snapshot, 0, NULL);
}

HeapTuple
realtime_table_next(RealtimeScan *scan)
{
	return heap_getnext(scan->scan, ForwardScanDirection);
}

void
realtime_table_endscan(RealtimeScan *scan)
{
	table_endscan(scan->scan);
	UnregisterSnapshot(scan->snapshot);
}

/* ------------------------------------------------------------------------------------------------
 * Registrations
 * ------------------------------------------------------------------------------------------------
 */

/* Copies a registration out of a tuple into the current context. */
static void
copy_registration(Relation table, HeapTuple tuple, RealtimeRegistration *out)
{
	bool		isnull;
	Datum		value;

	out->feature = realtime_table_get_text(table, tuple, "feature");
	out->entity = realtime_table_get_text(table, tuple, "entity");
	value = realtime_table_get(table, tuple, "relation", &isnull);
	out->relid = isnull ? InvalidOid : DatumGetObjectId(value);
	out->owner = DatumGetObjectId(realtime_table_get(table, tuple, "owner", &isnull));
	value = realtime_table_get(table, tuple, "settings", &isnull);
	out->settings = DatumGetJsonbPCopy(value);
}

/*
 * Finds a registration by relation (when valid) or by name, and removes it when asked to.
 * The table holds one row per registered table: a scan costs less than keeping index code.
 */
static bool
find_registration(Oid relid, const char *feature, const char *entity, RealtimeRegistration *out,
				  bool remove)
{
	Relation	table = realtime_table_open("registration",
											remove ? RowExclusiveLock : AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	bool		is_found = false;

	realtime_table_beginscan(&scan, table);
	while (!is_found && (tuple = realtime_table_next(&scan)) != NULL)
	{
		RealtimeRegistration found;

		if (OidIsValid(relid))
		{
			bool		isnull;
			Datum		value = realtime_table_get(table, tuple, "relation", &isnull);

			if (isnull || DatumGetObjectId(value) != relid)
				continue;
		}
		copy_registration(table, tuple, &found);
		if (!OidIsValid(relid)
			&& (strcmp(found.feature, feature) != 0 || strcmp(found.entity, entity) != 0))
			continue;
		is_found = true;
		if (out)
			*out = found;
		if (remove)
			realtime_table_delete(table, tuple);
	}
	realtime_table_endscan(&scan);
	table_close(table, remove ? NoLock : AccessShareLock);
	return is_found;
}

bool
realtime_registration_of_relation(Oid relid, RealtimeRegistration *out)
{
	/* any user may ask for the relation 0, which stands for topics in find_registration() */
	return OidIsValid(relid) && find_registration(relid, NULL, NULL, out, false);
}

bool
realtime_registration_of_name(const char *feature, const char *entity, RealtimeRegistration *out)
{
	return find_registration(InvalidOid, feature, entity, out, false);
}

/* Makes every session forget what it cached of a relation and of its members, at commit. */
static void
invalidate_members(Oid relid)
{
	List	   *members;
	ListCell   *cell;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	members = find_all_inheritors(relid, AccessShareLock, NULL);
	foreach(cell, members)
		CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
	list_free(members);
}

/* Deletes grants of (feature, entity): one, or all when privilege is NULL. Returns how many. */
static int
delete_grants(const char *feature, const char *entity, Oid role, const char *privilege)
{
	Relation	table = realtime_table_open("topic_grant", RowExclusiveLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	int			n = 0;

	realtime_table_beginscan(&scan, table);
	while ((tuple = realtime_table_next(&scan)) != NULL)
	{
		bool		isnull;

		if (strcmp(realtime_table_get_text(table, tuple, "feature"), feature) != 0
			|| strcmp(realtime_table_get_text(table, tuple, "entity"), entity) != 0)
			continue;
		if (privilege
			&& (strcmp(realtime_table_get_text(table, tuple, "privilege"), privilege) != 0
				|| DatumGetObjectId(realtime_table_get(table, tuple, "role", &isnull)) != role))
			continue;
		realtime_table_delete(table, tuple);
		n++;
	}
	realtime_table_endscan(&scan);
	table_close(table, NoLock);
	CommandCounterIncrement();
	return n;
}

bool
realtime_registration_remove(Oid relid)
{
	RealtimeRegistration registration;

	if (!find_registration(relid, NULL, NULL, &registration, true))
		return false;
	delete_grants(registration.feature, registration.entity, InvalidOid, NULL);
	invalidate_members(relid);
	return true;
}

void
realtime_registration_replace(Oid relid, const char *feature, const char *entity, Oid owner,
							  Jsonb *settings)
{
	Relation	table;
	RealtimeValue values[] = {
		{"feature", CStringGetTextDatum(feature), false},
		{"entity", CStringGetTextDatum(entity), false},
		{"relation", ObjectIdGetDatum(relid), !OidIsValid(relid)},
		{"owner", ObjectIdGetDatum(owner), false},
		{"settings", JsonbPGetDatum(settings), false},
	};

	RealtimeRegistration before;

	if (!OidIsValid(relid))
		find_registration(InvalidOid, feature, entity, NULL, true);
	else if (find_registration(relid, NULL, NULL, &before, true)
			 && (strcmp(before.feature, feature) != 0 || strcmp(before.entity, entity) != 0))
		delete_grants(before.feature, before.entity, InvalidOid, NULL);	/* of whoever is next */
	CommandCounterIncrement();
	table = realtime_table_open("registration", RowExclusiveLock);
	realtime_table_insert(table, values, lengthof(values));
	table_close(table, NoLock);
	CommandCounterIncrement();
	if (OidIsValid(relid))
		invalidate_members(relid);
}

List *
realtime_registered_relations(void)
{
	Relation	table = realtime_table_open("registration", AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	List	   *relations = NIL;

	realtime_table_beginscan(&scan, table);
	while ((tuple = realtime_table_next(&scan)) != NULL)
	{
		bool		isnull;
		Datum		value = realtime_table_get(table, tuple, "relation", &isnull);

		if (!isnull)
			relations = lappend_oid(relations, DatumGetObjectId(value));
	}
	realtime_table_endscan(&scan);
	table_close(table, AccessShareLock);
	return relations;
}

char *
realtime_settings_text(Jsonb *settings, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&settings->root, key, strlen(key), &buffer);

	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* ------------------------------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------------------------------
 */

void
realtime_check_name(const char *what, const char *name)
{
	size_t		len = strlen(name);
	bool		is_valid = len >= 1 && len <= NAME_LENGTH && strcmp(name, "*") != 0;

	for (size_t i = 0; is_valid && i < len; i++)
		is_valid = (unsigned char) name[i] >= 0x20 && name[i] != 0x7f;
	if (!is_valid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid %s \"%s\"", what, name),
				 errhint("Use 1 to %d bytes without control characters; \"*\" is reserved.",
						 NAME_LENGTH)));
}

void
realtime_check_action_name(const char *action)
{
	static const char *const reserved[] = {
		"created", "updated", "deleted", "truncated", "status_changed", "bulk_started",
		"bulk_progress", "bulk_completed", "bulk_failed", "bulk_created", "bulk_updated",
		"bulk_deleted", "resync", "gap", "entered", "left", "access_changed"
	};
	size_t		len = strlen(action);

	if (len < 1 || len > 63 ||
		strspn(action, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid action \"%s\"", action),
				 errhint("Use 1 to 63 letters, digits, \"_\", \"-\" and \".\".")));
	for (int i = 0; i < lengthof(reserved); i++)
		if (strcmp(action, reserved[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_RESERVED_NAME),
					 errmsg("action \"%s\" is reserved", action),
					 errdetail("Actions of row changes and bulk operations are emitted by the "
							   "database alone."),
					 errhint("Choose another action.")));
}

/* Whether a member of settings is an array whose elements are all of a type. */
static bool
is_array_of(const JsonbValue *value, enum jbvType type)
{
	JsonbContainer *array = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (array == NULL || !JsonContainerIsArray(array))
		return false;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
		if (getIthJsonbValueFromContainer(array, i)->type != type)
			return false;
	return true;
}

/*
 * Raises invalid_parameter_value unless settings (or one of their events) have the form that
 * realtime.enable() and realtime.define_event() give them: all who read the registry rely on it,
 * and any owner of a table can call realtime.register().
 */
static void
check_settings(JsonbContainer *object, bool is_event)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue	key;
	JsonbValue	value;
	char	   *name = NULL;
	bool		is_valid = JsonContainerIsObject(object);
	bool		has_action = !is_event;

	(void) JsonbIteratorNext(&iterator, &value, true);
	while (is_valid && JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		char	   *text = NULL;

		(void) JsonbIteratorNext(&iterator, &value, true);
		name = pnstrdup(key.val.string.val, key.val.string.len);
		if (value.type == jbvString)
			text = pnstrdup(value.val.string.val, value.val.string.len);
		if (strcmp(name, "priority") == 0)
			is_valid = text && realtime_priority_from_name(text) >= 0;
		else if (strcmp(name, "columns") == 0)
			is_valid = is_array_of(&value, jbvString);
		else if (is_event && strcmp(name, "action") == 0)
		{
			is_valid = has_action = text != NULL;
			if (text)
				realtime_check_action_name(text);
		}
		else if (is_event)
			is_valid = text && (strcmp(name, "status") == 0 || strcmp(name, "condition") == 0);
		else if (strcmp(name, "key") == 0 || strcmp(name, "exclude") == 0
				 || strcmp(name, "affects") == 0)
			is_valid = is_array_of(&value, jbvString);
		else if (strcmp(name, "notify") == 0)
			is_valid = text && realtime_notify_from_name(text) >= 0;
		else if (strcmp(name, "numeric") == 0)
			is_valid = text && (strcmp(text, "auto") == 0 || strcmp(text, "string") == 0);
		else if (strcmp(name, "status_column") == 0)
			is_valid = text != NULL;
		else if (strcmp(name, "notify_data") == 0 || strcmp(name, "coalesce") == 0)
			is_valid = value.type == jbvBool;
		else if (strcmp(name, "bulk_threshold") == 0)
			is_valid = value.type == jbvNumeric
				&& strspn(numeric_normalize(value.val.numeric), "0123456789")
				== strlen(numeric_normalize(value.val.numeric));
		else if (strcmp(name, "events") == 0)
		{
			is_valid = is_array_of(&value, jbvBinary)
				&& JsonContainerSize(value.val.binary.data) <= MAX_EVENTS;
			for (uint32 i = 0; is_valid && i < JsonContainerSize(value.val.binary.data); i++)
				check_settings(getIthJsonbValueFromContainer(value.val.binary.data,
															 i)->val.binary.data, true);
		}
		else
			is_valid = false;
	}
	if (!is_valid || !has_action)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid settings of %s", is_event ? "an event" : "a table"),
				 name && !is_valid ? errdetail("The member \"%s\" is unknown or of a wrong type.", name) : 0,
				 errhint("Use realtime.enable() and realtime.define_event().")));
}

/* SQL: check_action(action) */
Datum
realtime_check_action(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("action must not be null")));
	realtime_check_action_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* Raises insufficient_privilege unless the current user owns the relation. */
static void
check_owns_relation(Oid relid)
{
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!compat_owns_relation(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid)),
				 errhint("Call it as the table's owner or a superuser.")));
}

/* Raises insufficient_privilege unless the current user owns the table or topic. */
static void
check_owns_registration(const RealtimeRegistration *registration)
{
	if (OidIsValid(registration->relid))
		check_owns_relation(registration->relid);
	else if (!has_privs_of_role(GetUserId(), registration->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of topic %s.%s", registration->feature,
						registration->entity)));
}

/* Whether a role, or PUBLIC, was granted a privilege on (feature, entity). */
static bool
is_granted(const char *feature, const char *entity, const char *privilege, Oid user)
{
	Relation	table = realtime_table_open("topic_grant", AccessShareLock);
	RealtimeScan scan;
	HeapTuple	tuple;
	bool		is_found = false;

	realtime_table_beginscan(&scan, table);
	while (!is_found && (tuple = realtime_table_next(&scan)) != NULL)
	{
		bool		isnull;
		Oid			role = DatumGetObjectId(realtime_table_get(table, tuple, "role", &isnull));

		is_found = strcmp(realtime_table_get_text(table, tuple, "privilege"), privilege) == 0
			&& strcmp(realtime_table_get_text(table, tuple, "feature"), feature) == 0
			&& strcmp(realtime_table_get_text(table, tuple, "entity"), entity) == 0
			&& (role == ACL_ID_PUBLIC || has_privs_of_role(user, role));
	}
	realtime_table_endscan(&scan);
	table_close(table, AccessShareLock);
	return is_found;
}

void
realtime_check_emit(const RealtimeRegistration *registration)
{
	bool		is_owner;

	if (OidIsValid(registration->relid))
		is_owner = compat_owns_relation(registration->relid, GetUserId());
	else
		is_owner = has_privs_of_role(GetUserId(), registration->owner);
	if (!is_owner && !is_granted(registration->feature, registration->entity, "emit", GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to emit for %s.%s", registration->feature,
						registration->entity),
				 errhint("Its owner can grant it: SELECT realtime.grant_emit(%s, %s, %s).",
						 quote_literal_cstr(registration->feature),
						 quote_literal_cstr(registration->entity),
						 quote_literal_cstr(GetUserNameFromId(GetUserId(), false)))));
}

void
realtime_execute_as_owner(const char *sql)
{
	Oid			user;
	int			context;
	int			guc_level;
	Oid			namespace = get_namespace_oid("realtime", false);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	Oid			owner;
	bool		isnull;

	owner = DatumGetObjectId(SysCacheGetAttr(NAMESPACEOID, tuple, Anum_pg_namespace_nspowner,
											 &isnull));
	ReleaseSysCache(tuple);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "realtime: could not execute \"%s\"", sql);
	SPI_finish();
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, context);
}

/* ------------------------------------------------------------------------------------------------
 * SQL functions
 * ------------------------------------------------------------------------------------------------
 */

/* A required text argument as a C string. */
static char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Keeps two sessions from registering one pair at a time; held to the end of the transaction. */
static void
lock_registrations(void)
{
	LOCKTAG		tag;

	PreventCommandIfReadOnly("realtime registration");
	realtime_lock_tag(&tag, REALTIME_LOCK_REGISTER);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* Raises duplicate_object when (feature, entity) belongs to another relation or topic. */
static void
check_name_is_free(const char *feature, const char *entity, Oid relid)
{
	RealtimeRegistration other;

	if (!realtime_registration_of_name(feature, entity, &other) || other.relid == relid)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("%s.%s is registered already", feature, entity),
			 OidIsValid(other.relid)
			 ? errdetail("It is table %s.", get_rel_name(other.relid) ? get_rel_name(other.relid) : "?")
			 : errdetail("It is a topic."),
			 errhint("Choose another feature or entity.")));
}

/* SQL: register(relation, feature, entity, settings) */
Datum
realtime_register(PG_FUNCTION_ARGS)
{
	Oid			relid;
	char	   *feature;
	char	   *entity;
	char		kind;
	RealtimeRegistration before;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation and settings must not be null")));
	relid = PG_GETARG_OID(0);
	feature = text_argument(fcinfo, 1, "feature");
	entity = text_argument(fcinfo, 2, "entity");
	check_owns_relation(relid);
	kind = get_rel_relkind(relid);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a table", get_rel_name(relid))));
	realtime_check_name("feature", feature);
	realtime_check_name("entity", entity);
	check_settings(&PG_GETARG_JSONB_P(3)->root, false);
	lock_registrations();
	check_name_is_free(feature, entity, relid);
	/* A trigger dropped by hand is about to come back: what changed meanwhile was not seen. */
	if (realtime_registration_of_relation(relid, &before)
		&& !OidIsValid(get_trigger_oid(relid, "realtime_capture", true)))
		realtime_pending_add_resync(relid, "triggers enabled");
	realtime_registration_replace(relid, feature, entity, GetUserId(), PG_GETARG_JSONB_P(3));
	realtime_entity_check(relid);
	PG_RETURN_VOID();
}

/* SQL: unregister(relation) */
Datum
realtime_unregister(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	check_owns_relation(relid);
	lock_registrations();
	PG_RETURN_BOOL(realtime_registration_remove(relid));
}

/* SQL: lock_relation(relation) */
Datum
realtime_lock_relation(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	check_owns_relation(relid);
	PreventCommandIfReadOnly("realtime registration");
	LockRelationOid(relid, ShareRowExclusiveLock);
	PG_RETURN_VOID();
}

/* SQL: settings_of(relation) */
Datum
realtime_settings_of(PG_FUNCTION_ARGS)
{
	RealtimeRegistration registration;

	if (!realtime_registration_of_relation(PG_GETARG_OID(0), &registration))
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(registration.settings);
}

/* SQL: names_of(relation) */
Datum
realtime_names_of(PG_FUNCTION_ARGS)
{
	RealtimeRegistration registration;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "realtime: names_of must return a record");
	if (!realtime_registration_of_relation(PG_GETARG_OID(0), &registration))
		PG_RETURN_NULL();
	values[0] = CStringGetTextDatum(registration.feature);
	values[1] = CStringGetTextDatum(registration.entity);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Appends "key": "value" to a JSON object under construction. */
static void
push_pair(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue	name;

	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

/* The settings object of a topic. */
static Jsonb *
topic_settings(const char *priority, const char *notify, bool notify_data)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	value.type = jbvString;
	value.val.string.val = unconstify(char *, priority);
	value.val.string.len = strlen(priority);
	push_pair(&state, "priority", &value);
	value.val.string.val = unconstify(char *, notify);
	value.val.string.len = strlen(notify);
	push_pair(&state, "notify", &value);
	value.type = jbvBool;
	value.val.boolean = notify_data;
	push_pair(&state, "notify_data", &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* SQL: register_topic(feature, entity, priority, notify, notify_data) */
Datum
realtime_register_topic(PG_FUNCTION_ARGS)
{
	char	   *feature = text_argument(fcinfo, 0, "feature");
	char	   *entity = text_argument(fcinfo, 1, "entity");
	char	   *priority = text_argument(fcinfo, 2, "priority");
	char	   *notify = text_argument(fcinfo, 3, "notify");
	bool		notify_data = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	RealtimeRegistration existing;
	Oid			owner = GetUserId();

	realtime_check_name("feature", feature);
	realtime_check_name("entity", entity);
	if (realtime_priority_from_name(priority) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid priority \"%s\"", priority),
				 errhint("Use low, normal, high or critical.")));
	if (realtime_notify_from_name(notify) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for notify: \"%s\"", notify),
				 errhint("Use auto, always or never.")));
	lock_registrations();
	check_name_is_free(feature, entity, InvalidOid);
	if (realtime_registration_of_name(feature, entity, &existing))
	{
		check_owns_registration(&existing);
		owner = existing.owner;
	}
	realtime_registration_replace(InvalidOid, feature, entity, owner,
								  topic_settings(priority, notify, notify_data));
	PG_RETURN_VOID();
}

/* SQL: drop_topic(feature, entity) */
Datum
realtime_drop_topic(PG_FUNCTION_ARGS)
{
	char	   *feature = text_argument(fcinfo, 0, "feature");
	char	   *entity = text_argument(fcinfo, 1, "entity");
	RealtimeRegistration registration;

	lock_registrations();
	if (!realtime_registration_of_name(feature, entity, &registration))
		PG_RETURN_BOOL(false);
	if (OidIsValid(registration.relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s.%s is a table, not a topic", feature, entity),
				 errhint("Use realtime.disable().")));
	check_owns_registration(&registration);
	delete_grants(feature, entity, InvalidOid, NULL);
	find_registration(InvalidOid, feature, entity, NULL, true);
	PG_RETURN_BOOL(true);
}

/* Grants or revokes; the four SQL functions differ in this only. Returns whether it changed. */
static bool
change_grant(FunctionCallInfo fcinfo, const char *privilege, bool is_grant)
{
	char	   *feature = text_argument(fcinfo, 0, "feature");
	char	   *entity = text_argument(fcinfo, 1, "entity");
	char	   *name = text_argument(fcinfo, 2, "role");
	Oid			role = pg_strcasecmp(name, "public") == 0 ? ACL_ID_PUBLIC : get_role_oid(name, false);
	RealtimeRegistration registration;
	int			n;

	lock_registrations();
	if (!realtime_registration_of_name(feature, entity, &registration))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s.%s is not registered", feature, entity),
				 errhint("Call realtime.register_topic() or realtime.enable() first.")));
	check_owns_registration(&registration);
	if (OidIsValid(registration.relid) && strcmp(privilege, "subscribe") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s.%s is a table", feature, entity),
				 errhint("GRANT SELECT on the table decides who may subscribe.")));
	n = delete_grants(feature, entity, role, privilege);
	if (is_grant)
	{
		Relation	table = realtime_table_open("topic_grant", RowExclusiveLock);
		RealtimeValue values[] = {
			{"feature", CStringGetTextDatum(feature), false},
			{"entity", CStringGetTextDatum(entity), false},
			{"role", ObjectIdGetDatum(role), false},
			{"privilege", CStringGetTextDatum(privilege), false},
		};

		realtime_table_insert(table, values, lengthof(values));
		table_close(table, NoLock);
		CommandCounterIncrement();
	}
	return n > 0;
}

/* SQL: grant_subscribe(feature, entity, role) */
Datum
realtime_grant_subscribe(PG_FUNCTION_ARGS)
{
	(void) change_grant(fcinfo, "subscribe", true);
	PG_RETURN_VOID();
}

/* SQL: grant_emit(feature, entity, role) */
Datum
realtime_grant_emit(PG_FUNCTION_ARGS)
{
	(void) change_grant(fcinfo, "emit", true);
	PG_RETURN_VOID();
}

/* SQL: revoke_subscribe(feature, entity, role) */
Datum
realtime_revoke_subscribe(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(change_grant(fcinfo, "subscribe", false));
}

/* SQL: revoke_emit(feature, entity, role) */
Datum
realtime_revoke_emit(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(change_grant(fcinfo, "emit", false));
}

/* SQL: trigger ignore_replicated(): what a publisher's own log and settings say is not ours. */
Datum
realtime_ignore_replicated(PG_FUNCTION_ARGS)
{
	return PointerGetDatum(NULL);
}
