/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * entity.c
 *	  The backend's cache of registered tables and their members; see entity.h.
 *
 * Two hash tables by Oid, leaves and entities. A relcache invalidation only marks entries stale:
 * it may come at any moment. A stale entry is replaced when it is asked for, and its memory is
 * freed when no transaction's pending changes can point to it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "compat.h"
#include "entity.h"

PG_FUNCTION_INFO_V1(realtime_check_condition);
PG_FUNCTION_INFO_V1(realtime_registered_root_sql);

const char *const realtime_priority_names[] = {"low", "normal", "high", "critical"};

/* One cached leaf; the definition is NULL for a relation that belongs to no registered table. */
typedef struct LeafEntry
{
	Oid			relid;			/* hash key */
	RealtimeLeaf *leaf;
	MemoryContext context;		/* of leaf, child of CacheMemoryContext; or NULL */
	bool		is_valid;
} LeafEntry;

typedef struct EntityEntry
{
	Oid			root;			/* hash key */
	RealtimeEntity *entity;
	MemoryContext context;
	bool		is_valid;
} EntityEntry;

/* For the backend's life. */
static HTAB *leaves = NULL;
static HTAB *entities = NULL;
static List *retired = NIL;		/* MemoryContexts of replaced definitions, in TopMemoryContext */
static uint64 invalidations = 0;	/* so far: one that comes while a definition is built counts */

int
realtime_priority_from_name(const char *name)
{
	for (int i = 0; i < lengthof(realtime_priority_names); i++)
		if (strcmp(name, realtime_priority_names[i]) == 0)
			return i;
	return -1;
}

int
realtime_notify_from_name(const char *name)
{
	static const char *const names[] = {"auto", "always", "never"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

/* ------------------------------------------------------------------------------------------------
 * Settings (JSON) -> definition
 * ------------------------------------------------------------------------------------------------
 */

/* Member of an object, or NULL when missing or null. */
static JsonbValue *
get_member(JsonbContainer *object, const char *key, JsonbValue *buffer)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), buffer);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

/* A boolean member; the default when missing. */
static bool
get_bool(JsonbContainer *object, const char *key, bool otherwise)
{
	JsonbValue	buffer;
	JsonbValue *value = get_member(object, key, &buffer);

	return value && value->type == jbvBool ? value->val.boolean : otherwise;
}

/* An array member of strings as a List of C strings; NIL when missing. */
static List *
get_strings(JsonbContainer *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = get_member(object, key, &buffer);
	JsonbContainer *array;
	List	   *strings = NIL;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NIL;
	array = value->val.binary.data;
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (element && element->type == jbvString)
			strings = lappend(strings, pnstrdup(element->val.string.val, element->val.string.len));
	}
	return strings;
}

/* A string member of a nested object, copied, or NULL. */
static char *
get_string(JsonbContainer *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = get_member(object, key, &buffer);

	return value && value->type == jbvString
		? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

/* Whether a list of C strings has one. */
static bool
has_string(List *strings, const char *s)
{
	ListCell   *cell;

	foreach(cell, strings)
		if (strcmp(lfirst(cell), s) == 0)
			return true;
	return false;
}

/* Index of a captured column by name; an error with hint when there is none. */
static int
column_index(const RealtimeEntity *entity, const char *name)
{
	for (int i = 0; i < entity->ncolumns; i++)
		if (strcmp(entity->columns[i].name, name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table %s is used by realtime", name,
					get_rel_name(entity->root)),
			 errdetail("It is not a captured column of the table."),
			 errhint("Change the registration first: realtime.enable() states it anew, "
					 "realtime.drop_event() removes a defined event.")));
	return -1;
}

/* Escapes s as the inside of a JSON string, without the quotes. */
static char *
escape_inside(const char *s)
{
	StringInfoData buf;

	initStringInfo(&buf);
	realtime_json_append_string(&buf, s, strlen(s));
	return pnstrdup(buf.data + 1, buf.len - 2);
}

/* Whether values of a type are encoded without running a function that could read tables. */
static bool
is_plain_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
		case BYTEAOID:
			return true;
		default:
			return false;
	}
}

/* Fills entity->columns with what the settings capture. */
static void
build_columns(RealtimeEntity *entity, Relation root, Jsonb *settings)
{
	TupleDesc	desc = RelationGetDescr(root);
	List	   *keys = get_strings(&settings->root, "key");
	List	   *columns = get_strings(&settings->root, "columns");
	List	   *exclude = get_strings(&settings->root, "exclude");
	char	   *numeric = realtime_settings_text(settings, "numeric");
	RealtimeNumeric mode = numeric && strcmp(numeric, "string") == 0
		? REALTIME_NUMERIC_STRING : REALTIME_NUMERIC_AUTO;
	ListCell   *cell;

	entity->columns = palloc0(sizeof(RealtimeColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		char	   *name = NameStr(attr->attname);
		RealtimeColumn *column = &entity->columns[entity->ncolumns];
		StringInfoData prefix;

		if (attr->attisdropped || compat_is_virtual(attr))
			continue;
		if (!has_string(keys, name)
			&& (has_string(exclude, name) || (columns != NIL && !has_string(columns, name))))
			continue;
		initStringInfo(&prefix);
		realtime_json_append_string(&prefix, name, strlen(name));
		appendStringInfoChar(&prefix, ':');
		column->name = pstrdup(name);
		column->prefix = prefix.data;
		column->prefix_len = prefix.len;
		column->attnum = attr->attnum;
		column->typlen = attr->attlen;
		column->typbyval = attr->attbyval;
		column->json = realtime_json_type(attr->atttypid, mode);
		entity->needs_snapshot |= !is_plain_type(attr->atttypid);
		entity->ncolumns++;
	}
	entity->keys = palloc(sizeof(int) * Max(list_length(keys), 1));
	foreach(cell, keys)
	{
		int			i = column_index(entity, lfirst(cell));

		entity->keys[entity->nkeys++] = i;
		entity->columns[i].is_needed = true;
	}
	if (entity->nkeys == 0)
		elog(ERROR, "realtime: registration of %s has no key", RelationGetRelationName(root));
	foreach(cell, columns)
		(void) column_index(entity, lfirst(cell));
}

/* Fills entity->derived. */
static void
build_derived(RealtimeEntity *entity, Jsonb *settings)
{
	JsonbValue	buffer;
	JsonbValue *value = get_member(&settings->root, "events", &buffer);
	JsonbContainer *array;
	int			n;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return;
	array = value->val.binary.data;
	n = Min(JsonContainerSize(array), 64);
	entity->derived = palloc0(sizeof(RealtimeDerived) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);
		RealtimeDerived *derived = &entity->derived[entity->nderived];
		JsonbContainer *object;
		List	   *columns;
		ListCell   *cell;
		char	   *priority;

		if (element->type != jbvBinary)
			continue;
		object = element->val.binary.data;
		derived->action = get_string(object, "action");
		if (derived->action == NULL)
			continue;
		derived->status = get_string(object, "status");
		if (derived->status && entity->status < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("event \"%s\" of table %s needs a status column", derived->action,
							get_rel_name(entity->root)),
					 errhint("Name it in realtime.enable(), or call realtime.drop_event() first.")));
		derived->condition = get_string(object, "condition");
		priority = get_string(object, "priority");
		derived->priority = priority ? realtime_priority_from_name(priority) : entity->priority;
		if (derived->priority < 0)
			derived->priority = entity->priority;
		columns = get_strings(object, "columns");
		derived->columns = palloc(sizeof(int) * Max(list_length(columns), 1));
		foreach(cell, columns)
			derived->columns[derived->ncolumns++] = column_index(entity, lfirst(cell));
		entity->has_conditions |= derived->condition != NULL;
		entity->nderived++;
	}
}

/*
 * Whether everybody may read all of the table, so that its rows may be in NOTIFY payloads, which
 * any role can listen to. The table's privileges are worth nothing without those of its schema.
 */
static bool
is_public(Relation root)
{
	NameData	everybody;

	if (root->rd_rel->relrowsecurity)
		return false;
	namestrcpy(&everybody, "public");
	return DatumGetBool(OidFunctionCall3(F_HAS_TABLE_PRIVILEGE_NAME_OID_TEXT,
										 NameGetDatum(&everybody),
										 ObjectIdGetDatum(RelationGetRelid(root)),
										 CStringGetTextDatum("SELECT")))
		&& DatumGetBool(OidFunctionCall3(F_HAS_SCHEMA_PRIVILEGE_NAME_OID_TEXT,
										 NameGetDatum(&everybody),
										 ObjectIdGetDatum(RelationGetNamespace(root)),
										 CStringGetTextDatum("USAGE")));
}

/* Where the search for the columns that a policy reads stands. */
typedef struct PolicySearch
{
	RealtimeEntity *entity;
	int			level;			/* queries deep */
} PolicySearch;

/* Walker: marks the columns of the policy's own table as needed, also in its subqueries. */
static bool
mark_policy_columns(Node *node, PolicySearch *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		const Var  *var = (const Var *) node;

		for (int i = 0; i < search->entity->ncolumns; i++)
			if (var->varlevelsup == search->level && var->varno == 1
				&& (var->varattno == search->entity->columns[i].attnum
					|| var->varattno == InvalidAttrNumber))	/* the whole row */
				search->entity->columns[i].is_needed = true;
		return false;
	}
	if (IsA(node, Query))
	{
		bool		result;

		search->level++;
		result = query_tree_walker((Query *) node, mark_policy_columns, search, 0);
		search->level--;
		return result;
	}
	return expression_tree_walker(node, mark_policy_columns, search);
}

/*
 * Marks the columns that row-level security reads: without their values nobody could say who may see
 * an image. A changed policy invalidates the relation, and with it the definition.
 */
static void
need_policy_columns(RealtimeEntity *entity, Relation root)
{
	PolicySearch search = {entity, 0};
	ListCell   *cell;

	if (!root->rd_rel->relrowsecurity || root->rd_rsdesc == NULL)
		return;
	foreach(cell, root->rd_rsdesc->policies)
	{
		const RowSecurityPolicy *policy = lfirst(cell);

		(void) mark_policy_columns((Node *) policy->qual, &search);
	}
}

/* Builds the definition of a registered relation in the current context. */
static RealtimeEntity *
build_entity(Relation root, const RealtimeRegistration *registration)
{
	RealtimeEntity *entity = palloc0(sizeof(RealtimeEntity));
	Jsonb	   *settings = registration->settings;
	char	   *feature = escape_inside(registration->feature);
	char	   *name = escape_inside(registration->entity);
	char	   *text;
	JsonbValue	buffer;
	JsonbValue *value;

	entity->root = RelationGetRelid(root);
	entity->feature = pstrdup(registration->feature);
	entity->entity = pstrdup(registration->entity);
	entity->event_prefix = psprintf("{\"event\":\"%s.%s.", feature, name);
	entity->event_prefix_len = strlen(entity->event_prefix);
	entity->names = psprintf("\",\"feature\":\"%s\",\"entity\":\"%s\",\"action\":\"", feature, name);
	entity->names_len = strlen(entity->names);
	text = realtime_settings_text(settings, "priority");
	entity->priority = text ? realtime_priority_from_name(text) : -1;
	if (entity->priority < 0)
		entity->priority = REALTIME_PRIORITY_NORMAL;
	text = realtime_settings_text(settings, "notify");
	entity->notify = text ? realtime_notify_from_name(text) : -1;
	if (entity->notify < 0)
		entity->notify = REALTIME_NOTIFY_AUTO;
	entity->notify_data = get_bool(&settings->root, "notify_data", is_public(root));
	entity->coalesce = get_bool(&settings->root, "coalesce", false);
	value = get_member(&settings->root, "bulk_threshold", &buffer);
	entity->bulk_threshold = value && value->type == jbvNumeric
		? DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric))) : -1;
	build_columns(entity, root, settings);
	text = realtime_settings_text(settings, "status_column");
	entity->status = text ? column_index(entity, text) : -1;
	if (entity->status >= 0)
		entity->columns[entity->status].is_needed = true;
	need_policy_columns(entity, root);
	build_derived(entity, settings);
	entity->needs_snapshot |= entity->has_conditions;
	return entity;
}

/* ------------------------------------------------------------------------------------------------
 * Conditions
 * ------------------------------------------------------------------------------------------------
 */

#define CONDITION_PREFIX "SELECT ("

/* Error context of parsing: a position in our query becomes one in the condition, its argument. */
static void
explain_condition(void *arg)
{
	const char *condition = arg;
	int			position = geterrposition() - (int) strlen(CONDITION_PREFIX);

	if (geterrposition() <= 0)
		return;
	errposition(0);
	if (position < 1 || position > pg_mbstrlen(condition))
		return;
	internalerrposition(position);
	internalerrquery(condition);
}

/*
 * Parses a condition over the rows OLD and NEW of a relation, as CREATE TRIGGER does with WHEN.
 * In the result OLD is the inner and NEW the outer tuple. Names are looked up in pg_catalog alone,
 * when registered as when compiled by a writer: no writer's search_path can change the meaning, nor
 * can types in pg_temp, which comes first unless it is named.
 */
static Node *
parse_condition(Relation relation, const char *condition)
{
	char	   *query = psprintf(CONDITION_PREFIX "%s)", condition);
	ErrorContextCallback callback = {error_context_stack, explain_condition,
		unconstify(char *, condition)};
	List	   *parsed;
	SelectStmt *select;
	ResTarget  *target;
	ParseState *state;
	ParseNamespaceItem *item;
	Node	   *node;
	int			guc_level;

	error_context_stack = &callback;
	parsed = raw_parser(query, RAW_PARSE_DEFAULT);
	if (list_length(parsed) != 1
		|| !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("condition is not one expression")));
	select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	if (list_length(select->targetList) != 1 || select->fromClause || select->whereClause
		|| select->groupClause || select->havingClause || select->sortClause || select->limitCount
		|| select->limitOffset || select->lockingClause || select->withClause
		|| select->distinctClause || select->intoClause || select->windowClause
		|| select->op != SETOP_NONE)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("condition is not one expression")));
	target = linitial_node(ResTarget, select->targetList);
	if (target->name || target->indirection)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("condition is not one expression")));
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	state = make_parsestate(NULL);
	state->p_sourcetext = query;
	item = addRangeTableEntryForRelation(state, relation, AccessShareLock, makeAlias("old", NIL),
										 false, false);
	addNSItemToQuery(state, item, false, true, true);
	item = addRangeTableEntryForRelation(state, relation, AccessShareLock, makeAlias("new", NIL),
										 false, false);
	addNSItemToQuery(state, item, false, true, true);
	node = transformWhereClause(state, target->val, EXPR_KIND_TRIGGER_WHEN, "condition");
	assign_expr_collations(state, node);
	free_parsestate(state);
	AtEOXact_GUC(true, guc_level);
	error_context_stack = callback.previous;
	ChangeVarNodes(node, PRS2_OLD_VARNO, INNER_VAR, 0);
	ChangeVarNodes(node, PRS2_NEW_VARNO, OUTER_VAR, 0);
	return node;
}

/* SQL: check_condition(relation, condition) */
Datum
realtime_check_condition(PG_FUNCTION_ARGS)
{
	Relation	relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(0))));
	(void) parse_condition(relation, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	relation_close(relation, AccessShareLock);
	PG_RETURN_VOID();
}

/* Compiles the conditions of a leaf's derived events in the current context. */
static void
compile_conditions(RealtimeLeaf *leaf, Relation relation)
{
	RealtimeEntity *entity = leaf->entity;

	leaf->estate = CreateExecutorState();
	leaf->conditions = palloc0(sizeof(ExprState *) * entity->nderived);
	for (int i = 0; i < entity->nderived; i++)
	{
		Node	   *node;
		MemoryContext old;

		if (entity->derived[i].condition == NULL)
			continue;
		old = MemoryContextSwitchTo(leaf->estate->es_query_cxt);
		node = parse_condition(relation, entity->derived[i].condition);
		leaf->conditions[i] = ExecPrepareQual(make_ands_implicit((Expr *) node), leaf->estate);
		MemoryContextSwitchTo(old);
	}
	leaf->old_slot = MakeSingleTupleTableSlot(leaf->tupdesc, &TTSOpsHeapTuple);
	leaf->new_slot = MakeSingleTupleTableSlot(leaf->tupdesc, &TTSOpsHeapTuple);
}

uint64
realtime_leaf_conditions(RealtimeLeaf *leaf, HeapTuple old_tuple, HeapTuple new_tuple)
{
	RealtimeEntity *entity = leaf->entity;
	ExprContext *context;
	volatile uint64 mask = 0;	/* set within PG_TRY */

	if (!entity->has_conditions)
		return ~UINT64CONST(0);
	if (leaf->is_evaluating)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a condition of an event of %s.%s changes the table itself", entity->feature,
						entity->entity)));
	context = GetPerTupleExprContext(leaf->estate);
	ResetPerTupleExprContext(leaf->estate);
	if (old_tuple)
		ExecStoreHeapTuple(old_tuple, leaf->old_slot, false);
	else
		ExecStoreAllNullTuple(leaf->old_slot);
	ExecStoreHeapTuple(new_tuple, leaf->new_slot, false);
	context->ecxt_innertuple = leaf->old_slot;
	context->ecxt_outertuple = leaf->new_slot;
	leaf->is_evaluating = true;
	PG_TRY();
	{
		for (int i = 0; i < entity->nderived; i++)
			if (leaf->conditions[i] == NULL || ExecQual(leaf->conditions[i], context))
				mask |= UINT64CONST(1) << i;
	}
	PG_FINALLY();
	{
		leaf->is_evaluating = false;
		ExecClearTuple(leaf->old_slot);
		ExecClearTuple(leaf->new_slot);
	}
	PG_END_TRY();
	return mask;
}

/* ------------------------------------------------------------------------------------------------
 * Cache
 * ------------------------------------------------------------------------------------------------
 */

/* Keeps a replaced definition's memory until no pending change can point to it. */
static void
retire(MemoryContext context)
{
	MemoryContext old;

	if (context == NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	retired = lappend(retired, context);
	MemoryContextSwitchTo(old);
}

void
realtime_entity_release_retired(void)
{
	ListCell   *cell;

	if (retired == NIL)
		return;
	foreach(cell, retired)
		MemoryContextDelete(lfirst(cell));
	list_free(retired);
	retired = NIL;
}

Oid
realtime_registered_root(Oid relid)
{
	RealtimeRegistration registration;
	Relation	inherits;
	Oid			parent = InvalidOid;
	SysScanDesc scan;
	ScanKeyData key[1];
	HeapTuple	tuple;
	List	   *parents = NIL;
	ListCell   *cell;

	check_stack_depth();
	if (realtime_registration_of_relation(relid, &registration))
		return relid;
	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, key);
	while ((tuple = systable_getnext(scan)) != NULL)
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	foreach(cell, parents)
	{
		parent = realtime_registered_root(lfirst_oid(cell));
		if (OidIsValid(parent))
			break;
	}
	list_free(parents);
	return parent;
}

/* SQL: registered_root(relation) */
Datum
realtime_registered_root_sql(PG_FUNCTION_ARGS)
{
	Oid			root = realtime_registered_root(PG_GETARG_OID(0));

	if (!OidIsValid(root))
		PG_RETURN_NULL();
	PG_RETURN_OID(root);
}

/* The definition of a registered relation from the cache, built when missing or stale. */
static RealtimeEntity *
get_entity(Oid root)
{
	bool		is_found;
	EntityEntry *entry = hash_search(entities, &root, HASH_ENTER, &is_found);
	RealtimeRegistration registration;
	Relation	relation;
	MemoryContext context;
	MemoryContext old;
	RealtimeEntity *entity;
	uint64		before = invalidations;

	if (!is_found)
	{
		entry->entity = NULL;
		entry->context = NULL;
		entry->is_valid = false;
	}
	if (entry->is_valid)
		return entry->entity;
	context = AllocSetContextCreate(CurrentMemoryContext, "realtime entity", ALLOCSET_SMALL_SIZES);
	relation = table_open(root, AccessShareLock);
	old = MemoryContextSwitchTo(context);
	if (!realtime_registration_of_relation(root, &registration))
		elog(ERROR, "realtime: relation %u is not registered", root);
	entity = build_entity(relation, &registration);
	MemoryContextSwitchTo(old);
	table_close(relation, AccessShareLock);
	entry = hash_search(entities, &root, HASH_ENTER, &is_found);
	retire(entry->context);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->entity = entity;
	entry->context = context;
	entry->is_valid = invalidations == before;
	return entity;
}

/* Builds the leaf of a relation in the current context. */
static RealtimeLeaf *
build_leaf(Relation relation, RealtimeEntity *entity)
{
	RealtimeLeaf *leaf = palloc0(sizeof(RealtimeLeaf));

	leaf->relid = RelationGetRelid(relation);
	leaf->entity = entity;
	leaf->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(relation));
	leaf->is_heap = relation->rd_rel->relam == HEAP_TABLE_AM_OID;
	leaf->attnums = palloc(sizeof(AttrNumber) * Max(entity->ncolumns, 1));
	for (int i = 0; i < entity->ncolumns; i++)
	{
		leaf->attnums[i] = get_attnum(leaf->relid, entity->columns[i].name);
		if (leaf->attnums[i] == InvalidAttrNumber)
			elog(ERROR, "realtime: relation %s has no column %s", RelationGetRelationName(relation),
				 entity->columns[i].name);
	}
	if (entity->has_conditions)
		compile_conditions(leaf, relation);
	return leaf;
}

RealtimeLeaf *
realtime_leaf_get(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	bool		is_found;
	LeafEntry  *entry = hash_search(leaves, &relid, HASH_ENTER, &is_found);
	MemoryContext context;
	MemoryContext old;
	RealtimeLeaf *leaf = NULL;
	Oid			root;
	uint64		before = invalidations;

	if (is_found && entry->is_valid)
		return entry->leaf;
	if (!is_found)
	{
		entry->leaf = NULL;
		entry->context = NULL;
		entry->is_valid = false;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "realtime leaf", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	root = realtime_registered_root(relid);
	if (OidIsValid(root))
		leaf = build_leaf(relation, get_entity(root));
	MemoryContextSwitchTo(old);
	entry = hash_search(leaves, &relid, HASH_ENTER, &is_found);
	retire(entry->context);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->leaf = leaf;
	entry->context = context;
	entry->is_valid = invalidations == before;
	return leaf;
}

void
realtime_entity_check(Oid relid)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "realtime check",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Relation	relation = table_open(relid, AccessShareLock);
	RealtimeRegistration registration;

	if (realtime_registration_of_relation(relid, &registration))
	{
		RealtimeEntity *entity = build_entity(relation, &registration);

		for (int i = 0; i < entity->nderived; i++)
			if (entity->derived[i].condition)
				(void) parse_condition(relation, entity->derived[i].condition);
	}
	table_close(relation, AccessShareLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Relcache callback: marks what depends on a relation stale (InvalidOid: everything). */
static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	LeafEntry  *leaf;
	EntityEntry *entity;

	invalidations++;
	if (OidIsValid(relid))
	{
		leaf = hash_search(leaves, &relid, HASH_FIND, NULL);
		if (leaf)
			leaf->is_valid = false;
		entity = hash_search(entities, &relid, HASH_FIND, NULL);
		if (entity == NULL)
			return;
		entity->is_valid = false;
	}
	else
	{
		hash_seq_init(&status, entities);
		while ((entity = hash_seq_search(&status)) != NULL)
			entity->is_valid = false;
	}
	/* A leaf holds its entity: all leaves of a stale entity are stale. */
	hash_seq_init(&status, leaves);
	while ((leaf = hash_seq_search(&status)) != NULL)
		if (!OidIsValid(relid) || (leaf->leaf && leaf->leaf->entity->root == relid))
			leaf->is_valid = false;
}

/* Syscache callback: a schema's privileges may have changed, on which notify_data depends. */
static void
invalidate_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate((Datum) 0, InvalidOid);
}

/* Creates the caches and listens to invalidations. */
void
realtime_entity_init(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(LeafEntry);
	leaves = hash_create("realtime leaves", 32, &control, HASH_ELEM | HASH_BLOBS);
	control.entrysize = sizeof(EntityEntry);
	entities = hash_create("realtime entities", 32, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_schema, (Datum) 0);
}
