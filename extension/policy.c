/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy.c
 *	  The SQL functions of row-level security on row images: realtime.access_policy() and
 *	  realtime.visible_images(). See policy.h for the model.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "compat.h"
#include "entity.h"
#include "json.h"
#include "policy.h"

PG_FUNCTION_INFO_V1(realtime_access_policy);
PG_FUNCTION_INFO_V1(realtime_visible_images);
PG_FUNCTION_INFO_V1(realtime_visible_images_of_many);

/* An image with more json columns that are null than this is not tried in all ways. */
static const int MaxJsonNulls = 4;

/* ---------- arguments ---------- */

/* Opens the relation argument; it stays locked until the transaction ends. */
static Relation
open_relation(Oid relid)
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

/* The role argument; whoever may not become it may not ask about it. */
static Oid
get_reader_role(const char *name)
{
	Oid			role = get_role_oid(name, false);

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
	appendStringInfoChar(out, '}');
}

/* SQL: access_policy(relation, role, claims) */
Datum
realtime_access_policy(PG_FUNCTION_ARGS)
{
	Relation	relation = open_relation(PG_GETARG_OID(0));
	Oid			role = get_reader_role(NameStr(*PG_GETARG_NAME(1)));
	char	   *claims = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Answer		answer = {0};
	StringInfoData out;

	find_answer(&answer, relation, role, claims);
	initStringInfo(&out);
	if (answer.rls == REALTIME_RLS_ALL)
		appendStringInfoString(&out, "{\"mode\":\"all\"}");
	else if (answer.rls == REALTIME_RLS_NONE)
		appendStringInfoString(&out, "{\"mode\":\"none\"}");
	else if (answer.filter.is_exact)
	{
		appendStringInfoString(&out, "{\"mode\":\"filter\",\"any\":");
		append_filter(&out, &answer.filter);
		appendStringInfoChar(&out, '}');
	}
	else
		append_evaluate(&out, &answer);
	relation_close(relation, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* ---------- visible_images ---------- */

/* Images as rows: those of image i are [first[i], first[i + 1]), none when it cannot be decided. */
typedef struct Rows
{
	Tuplestorestate *store;
	int		   *first;
	int			nimages;
	int			nrows;
} Rows;

/*
 * Adds the row of an image; for every way to read its json columns that are null, when policies may tell
 * SQL's null and JSON's apart.
 */
static int
add_rows(Rows *rows, TupleDesc desc, Datum *values, bool *nulls, Bitmapset *json_nulls)
{
	int			column = bms_next_member(json_nulls, -1);
	Bitmapset  *others;
	Oid			base;
	int			n;

	if (column < 0)
	{
		tuplestore_putvalues(rows->store, desc, values, nulls);
		return 1;
	}
	others = bms_del_member(bms_copy(json_nulls), column);
	nulls[column - 1] = true;
	n = add_rows(rows, desc, values, nulls, others);
	base = getBaseType(TupleDescAttr(desc, column - 1)->atttypid);
	values[column - 1] = base == JSONOID ? PointerGetDatum(cstring_to_text("null"))
		: DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	nulls[column - 1] = false;
	return n + add_rows(rows, desc, values, nulls, others);
}

/* Images while they are read. */
typedef struct Reading
{
	RealtimeImageReader *reader;
	TupleDesc	desc;
	Datum	   *images;
	bool	   *is_null;
	Datum	   *values;
	bool	   *nulls;
	MemoryContext context;		/* of one image */
} Reading;

/* Makes the rows of one image. */
static void
read_image(Rows *rows, Reading *reading, Datum image)
{
	text	   *json = DatumGetTextPP(image);
	Bitmapset  *json_nulls = NULL;

	if (realtime_image_read(reading->reader, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json),
							reading->values, reading->nulls, &json_nulls) == REALTIME_IMAGE_WHOLE
		&& bms_num_members(json_nulls) <= MaxJsonNulls)
		rows->nrows += add_rows(rows, reading->desc, reading->values, reading->nulls, json_nulls);
}

/*
 * Makes rows of images from *next on. An image with a value that its column's type does not know (the
 * type has changed since) has none: its error is swallowed, and *next is the one after it.
 */
static void
read_some_images(Rows *rows, Reading *reading, volatile int *next)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		while (*next < rows->nimages)
		{
			int			i = (*next)++;

			rows->first[i] = rows->nrows;
			MemoryContextSwitchTo(reading->context);
			if (!reading->is_null[i])
				read_image(rows, reading, reading->images[i]);
			MemoryContextReset(reading->context);
		}
		MemoryContextSwitchTo(caller);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		{
			CurrentResourceOwner = owner;
			ReThrowError(error);
		}
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

/* Makes rows of images. */
static void
read_images(Rows *rows, ArrayType *images, TupleDesc desc, const Bitmapset *columns)
{
	Reading		reading = {0};
	volatile int next = 0;

	reading.reader = realtime_image_reader_new(desc, columns);
	reading.desc = desc;
	reading.values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	reading.nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	reading.context = AllocSetContextCreate(CurrentMemoryContext, "realtime images",
											ALLOCSET_DEFAULT_SIZES);
	deconstruct_array(images, JSONOID, -1, false, TYPALIGN_INT, &reading.images, &reading.is_null,
					  &rows->nimages);
	rows->first = palloc(sizeof(int) * (rows->nimages + 1));
	rows->nrows = 0;
	rows->store = tuplestore_begin_heap(false, false, work_mem);
	while (next < rows->nimages)
		read_some_images(rows, &reading, &next);
	rows->first[rows->nimages] = rows->nrows;
	MemoryContextDelete(reading.context);
}

/* Turns what was decided on rows into what is decided on images: null where rows differ or there are none. */
static void
decide(const Rows *rows, const bool *is_visible, Datum *results, bool *nulls)
{
	for (int i = 0; i < rows->nimages; i++)
	{
		int			first = rows->first[i];

		nulls[i] = first == rows->first[i + 1];
		results[i] = BoolGetDatum(!nulls[i] && is_visible[first]);
		for (int row = first + 1; row < rows->first[i + 1]; row++)
			nulls[i] |= is_visible[row] != is_visible[first];
	}
}

/* Evaluates for each of n readers of a role what it may see of images: n times as many results. */
static void
evaluate(Relation relation, Oid role, char **claims, int n, ArrayType *images, const char *names,
		 Datum *results, bool *nulls)
{
	RealtimePolicyPlan *plan = realtime_policy_plan_get(relation, role, names, claims[0]);
	Rows		rows;
	bool	   *is_visible;

	read_images(&rows, images, RelationGetDescr(relation), realtime_policy_plan_columns(plan));
	is_visible = palloc(sizeof(bool) * Max(rows.nrows, 1));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "realtime: SPI_connect failed");
	realtime_policy_plan_open(plan, relation, rows.store, rows.nrows);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		realtime_policy_plan_execute(plan, claims[i], is_visible, rows.nrows);
		decide(&rows, is_visible, results + i * rows.nimages, nulls + i * rows.nimages);
	}
	SPI_finish();
	tuplestore_end(rows.store);
}

/* The results for n readers of a role, one after the other. */
static void
find_visible(Oid relid, const char *role_name, char **claims, int n, ArrayType *images,
			 Datum *results, bool *nulls)
{
	Relation	relation = open_relation(relid);
	Oid			role = get_reader_role(role_name);
	int			nimages = ArrayGetNItems(ARR_NDIM(images), ARR_DIMS(images));
	char	   *names;
	RealtimeRls rls = realtime_policy_find(relation, role, &names);

	if (rls == REALTIME_RLS_SOME)
		evaluate(relation, role, claims, n, images, names, results, nulls);
	else
	{
		for (int i = 0; i < n; i++)
			(void) realtime_claims_parse(claims[i]);
		for (int i = 0; i < n * nimages; i++)
		{
			results[i] = BoolGetDatum(rls == REALTIME_RLS_ALL);
			nulls[i] = false;
		}
	}
	relation_close(relation, NoLock);
}

/* SQL: visible_images(relation, role, claims, images) */
Datum
realtime_visible_images(PG_FUNCTION_ARGS)
{
	char	   *claims = text_to_cstring(PG_GETARG_TEXT_PP(2));
	ArrayType  *images = PG_GETARG_ARRAYTYPE_P(3);
	int			nimages = ArrayGetNItems(ARR_NDIM(images), ARR_DIMS(images));
	Datum	   *results = palloc(sizeof(Datum) * Max(nimages, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(nimages, 1));
	int			lower = 1;

	find_visible(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)), &claims, 1, images, results, nulls);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(results, nulls, 1, &nimages, &lower, BOOLOID, 1, true,
											 TYPALIGN_CHAR));
}

/* SQL: visible_images(relation, role, claims[], images): a row of results for each of the claims */
Datum
realtime_visible_images_of_many(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(2);
	ArrayType  *images = PG_GETARG_ARRAYTYPE_P(3);
	int			nimages = ArrayGetNItems(ARR_NDIM(images), ARR_DIMS(images));
	int			lower[2] = {1, 1};
	int			dims[2] = {0, nimages};
	Datum	   *elements;
	bool	   *is_null;
	char	  **claims;
	Datum	   *results;
	bool	   *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &is_null, &dims[0]);
	if (dims[0] == 0 || nimages == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(BOOLOID));
	claims = palloc(sizeof(char *) * dims[0]);
	for (int i = 0; i < dims[0]; i++)
	{
		if (is_null[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("claims must not be null")));
		claims[i] = TextDatumGetCString(elements[i]);
	}
	results = palloc_extended(sizeof(Datum) * dims[0] * nimages, MCXT_ALLOC_HUGE);
	nulls = palloc_extended(sizeof(bool) * dims[0] * nimages, MCXT_ALLOC_HUGE);
	find_visible(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)), claims, dims[0], images, results,
				 nulls);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(results, nulls, 2, dims, lower, BOOLOID, 1, true,
											 TYPALIGN_CHAR));
}
