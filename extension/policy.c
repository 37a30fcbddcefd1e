/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy.c
 *	  realtime.access_policy(): how row-level security decides on row images for a reader. See policy.h
 *	  for the model.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "catalog.h"
#include "compat.h"
#include "entity.h"
#include "json.h"
#include "policy.h"

PG_FUNCTION_INFO_V1(realtime_access_policy);

/* ---------- arguments ---------- */

Relation
realtime_policy_relation(Oid relid)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relation->rd_rel->relkind != RELKIND_RELATION
		&& relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a table", RelationGetRelationName(relation))));
	return relation;
}

Oid
realtime_policy_role(const char *name)
{
	Oid			role = get_role_oid(name, false);

	if (InLocalUserIdChange())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot set role within security-definer function")));
	if (!compat_may_set_role(role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set role \"%s\"", name)));
	return role;
}

/* ---------- access_policy ---------- */

/* What access_policy() found out. */
typedef struct Answer
{
	RealtimeRls rls;
	RealtimeFilter filter;
	const RealtimeTraits *traits;
	List	   *absent;			/* settings that the policies read and the claims do not have */
} Answer;

/* How the relation's events write numbers. */
static RealtimeNumeric
numeric_mode(Oid relid)
{
	RealtimeRegistration registration;
	char	   *mode;

	if (!realtime_registration_of_relation(relid, &registration))
		return REALTIME_NUMERIC_AUTO;
	mode = realtime_settings_text(registration.settings, "numeric");
	return mode && strcmp(mode, "string") == 0 ? REALTIME_NUMERIC_STRING : REALTIME_NUMERIC_AUTO;
}

/*
 * Compiles the policies as the reader. An error in a part that is computed beforehand is not the
 * policy's yet, which may never reach that part: then nothing is said but that they must be evaluated.
 */
static RealtimeFilter
compile(Relation relation, Oid role)
{
	volatile RealtimeFilter filter = {NIL, false};
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		RealtimeFilter compiled;

		compiled = realtime_policy_compile(realtime_inspector_new(), RelationGetDescr(relation),
										   realtime_policy_qual(relation, role),
										   numeric_mode(RelationGetRelid(relation)));
		filter.any = compiled.any;
		filter.is_exact = compiled.is_exact;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION
			|| ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES)
			ReThrowError(error);
		FreeErrorData(error);
		filter.any = list_make1(NIL);
		filter.is_exact = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return (RealtimeFilter) {filter.any, filter.is_exact};
}

/* Raises an error when policies read columns that the relation's events do not have. */
static void
check_columns(Relation relation, const Bitmapset *columns)
{
	RealtimeLeaf *leaf = realtime_leaf_get(relation);
	int			column = -1;

	if (leaf == NULL)
		return;
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		bool		is_captured = false;

		for (int i = 0; i < leaf->entity->ncolumns; i++)
			is_captured |= leaf->attnums[i] == column;
		if (!is_captured)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("policies of %s read column \"%s\", which its events do not have",
							RelationGetRelationName(relation),
							NameStr(TupleDescAttr(RelationGetDescr(relation), column - 1)->attname)),
					 errhint("Capture the column: see \"columns\" and \"exclude\" of realtime.enable().")));
	}
}

/* Finds out how the policies of a relation decide for a reader. */
static void
find_answer(Answer *answer, Relation relation, Oid role, const char *claims)
{
	RealtimePolicyPlan *plan;
	RealtimeReader reader;
	char	   *names;

	(void) realtime_claims_parse(claims);
	answer->rls = realtime_policy_find(relation, role, &names);
	if (answer->rls != REALTIME_RLS_SOME)
		return;
	plan = realtime_policy_plan_get(relation, role, names, claims);
	answer->traits = realtime_policy_plan_traits(plan);
	answer->absent = realtime_reader_absent(claims, answer->traits->settings);
	realtime_reader_enter(&reader, role, claims, answer->traits->settings,
						  answer->traits->is_all_settings);
	answer->filter = compile(relation, role);
	realtime_reader_leave(&reader);
	if (answer->filter.any == NIL)
		answer->rls = REALTIME_RLS_NONE;
	else if (answer->filter.is_exact && realtime_filter_is_all(&answer->filter))
		answer->rls = REALTIME_RLS_ALL;
	else
		check_columns(relation, realtime_policy_plan_columns(plan));
}

/* Appends a list of C strings as a JSON array. */
static void
append_strings(StringInfo out, const List *strings)
{
	ListCell   *cell;

	appendStringInfoChar(out, '[');
	foreach(cell, strings)
	{
		if (foreach_current_index(cell) > 0)
			appendStringInfoChar(out, ',');
		realtime_json_append_string(out, lfirst(cell), strlen(lfirst(cell)));
	}
	appendStringInfoChar(out, ']');
}

/* Appends a disjunction of conjunctions of terms as JSON arrays. */
static void
append_filter(StringInfo out, const RealtimeFilter *filter)
{
	ListCell   *outer;
	ListCell   *inner;

	appendStringInfoChar(out, '[');
	foreach(outer, filter->any)
	{
		appendStringInfoString(out, foreach_current_index(outer) > 0 ? ",[" : "[");
		foreach(inner, (List *) lfirst(outer))
			appendStringInfo(out, "%s%s", foreach_current_index(inner) > 0 ? "," : "",
							 (char *) lfirst(inner));
		appendStringInfoChar(out, ']');
	}
	appendStringInfoChar(out, ']');
}

/* The names of relations: registered ones by their root, as events tell them. */
static List *
relation_names(const List *relids)
{
	List	   *names = NIL;
	List	   *roots = NIL;
	ListCell   *cell;

	foreach(cell, relids)
	{
		Oid			root = realtime_registered_root(lfirst_oid(cell));

		roots = list_append_unique_oid(roots, OidIsValid(root) ? root : lfirst_oid(cell));
	}
	foreach(cell, roots)
		names = lappend(names, DatumGetCString(DirectFunctionCall1(regclassout,
																   ObjectIdGetDatum(lfirst_oid(cell)))));
	return names;
}

/* The signatures of functions. */
static List *
function_names(const List *functions)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, functions)
		names = lappend(names, DatumGetCString(DirectFunctionCall1(regprocedureout,
																   ObjectIdGetDatum(lfirst_oid(cell)))));
	return names;
}

/* Appends the answer for policies that must be evaluated. */
static void
append_evaluate(StringInfo out, const Answer *answer)
{
	const RealtimeTraits *traits = answer->traits;

	appendStringInfoString(out, "{\"mode\":\"evaluate\",\"claims\":");
	if (traits->is_all_claims)
		appendStringInfoString(out, "null");
	else
		append_strings(out, traits->claims);
	appendStringInfoString(out, ",\"reads\":");
	append_strings(out, relation_names(traits->reads));
	appendStringInfoString(out, ",\"functions\":");
	append_strings(out, function_names(traits->opaque));
	appendStringInfo(out, ",\"is_volatile\":%s",
					 traits->is_volatile || traits->is_time ? "true" : "false");
	if (!realtime_filter_is_all(&answer->filter))
	{
		appendStringInfoString(out, ",\"filter\":");
		append_filter(out, &answer->filter);
	}
}

/* SQL: access_policy(relation, role, claims) */
Datum
realtime_access_policy(PG_FUNCTION_ARGS)
{
	Relation	relation = realtime_policy_relation(PG_GETARG_OID(0));
	Oid			role = realtime_policy_role(NameStr(*PG_GETARG_NAME(1)));
	char	   *claims = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Answer		answer = {0};
	StringInfoData out;

	find_answer(&answer, relation, role, claims);
	initStringInfo(&out);
	if (answer.rls == REALTIME_RLS_ALL)
		appendStringInfoString(&out, "{\"mode\":\"all\"");
	else if (answer.rls == REALTIME_RLS_NONE)
		appendStringInfoString(&out, "{\"mode\":\"none\"");
	else if (answer.filter.is_exact)
	{
		appendStringInfoString(&out, "{\"mode\":\"filter\",\"any\":");
		append_filter(&out, &answer.filter);
	}
	else
		append_evaluate(&out, &answer);
	if (answer.absent != NIL)
	{
		appendStringInfoString(&out, ",\"absent\":");
		append_strings(&out, answer.absent);
	}
	appendStringInfoChar(&out, '}');
	relation_close(relation, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
