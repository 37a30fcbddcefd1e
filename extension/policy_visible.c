/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_visible.c
 *	  realtime.visible_images(): which row images a reader may see. See policy.h for the model.
 *
 * Images are made rows once, whoever reads them; then the plan is executed for each reader.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "policy.h"

PG_FUNCTION_INFO_V1(realtime_visible_images);
PG_FUNCTION_INFO_V1(realtime_visible_images_of_many);

/* An image with more json columns that are null than this is not tried in all ways. */
static const int MaxJsonNulls = 4;

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

/*
 * Makes rows of images. Input functions may run checks of domains (in a range over one), which are somebody's
 * code: they run as the role, with no way to another, and leave no settings.
 */
static void
read_images(Rows *rows, Oid role, ArrayType *images, TupleDesc desc, const Bitmapset *columns)
{
	Reading		reading = {0};
	volatile int next = 0;
	int			guc_level = NewGUCNestLevel();
	Oid			user;
	int			sec_context;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(role, sec_context | SECURITY_LOCAL_USERID_CHANGE);
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
	SetUserIdAndSecContext(user, sec_context);
	AtEOXact_GUC(false, guc_level);
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

	read_images(&rows, role, images, RelationGetDescr(relation), realtime_policy_plan_columns(plan));
	is_visible = palloc(sizeof(bool) * Max(rows.nrows, 1));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "realtime: SPI_connect failed");
	realtime_policy_plan_open(plan, relation, rows.store, rows.nrows);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		realtime_policy_plan_execute(plan, relation, claims[i], is_visible, rows.nrows);
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
	Relation	relation = realtime_policy_relation(relid);
	Oid			role = realtime_policy_role(role_name);
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
