/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_image.c
 *	  From a row's JSON, as json.c writes it, back to the row; and realtime.row_image(). See policy.h.
 *
 * The text is valid JSON (type json); it is walked over without building anything, and only the
 * columns asked for become values. A value is read by its type's input function, below domains and
 * without a length: it has been a value of the column already.
 *
 * What JSON does not tell:
 *	- whether a json column's null is SQL's or JSON's. Told in json_nulls, for columns themselves; inside
 *	  arrays and rows it makes the image ambiguous.
 *	- where the elements of an array begin when they are arrays themselves, as json and domains over
 *	  arrays may be: ambiguous.
 *	- lower bounds of arrays: they are 1 (0 for the vectors of catalogs).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "policy.h"

PG_FUNCTION_INFO_V1(realtime_row_image);

typedef enum ImageKind
{
	IMAGE_SCALAR,				/* by the input function */
	IMAGE_JSON,					/* json, jsonb: the value is the text */
	IMAGE_ARRAY,
	IMAGE_COMPOSITE
} ImageKind;

/* How the values of a type are read. */
typedef struct ImageType
{
	ImageKind	kind;
	Oid			typid;			/* below domains */
	FmgrInfo	input;
	Oid			ioparam;
	struct ImageType *element;	/* IMAGE_ARRAY */
	int16		typlen;			/* of the element */
	bool		typbyval;
	char		typalign;
	TupleDesc	desc;			/* IMAGE_COMPOSITE */
	struct ImageField *fields;
	int			nfields;
} ImageType;

/* One column or field. */
typedef struct ImageField
{
	int			index;			/* in values */
	const char *name;
	int			name_len;
	ImageType  *type;
} ImageField;

struct RealtimeImageReader
{
	ImageType	row;
	bool		needs_settings;	/* an input function depends on the session's settings */
};

static ImageType *type_new(Oid typid, bool *needs_settings);
static Datum read_value(RealtimeScanner *scan, ImageType *type, const char *start, bool *isnull);

/* ---------- types ---------- */

/* Whether a type's input function depends on no setting for what json.c writes. */
static bool
is_plain(Oid typid)
{
	switch (typid)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case BYTEAOID:
		case UUIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
		case JSONOID:
		case JSONBOID:
			return true;
		default:
			return false;
	}
}

/* Describes the columns of a row type, all or those of a set. */
static void
row_init(ImageType *type, TupleDesc desc, const Bitmapset *columns, bool *needs_settings)
{
	type->kind = IMAGE_COMPOSITE;
	type->desc = desc;
	type->fields = palloc0(sizeof(ImageField) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		ImageField *field = &type->fields[type->nfields];

		if (attr->attisdropped || compat_is_virtual(attr)
			|| (columns != NULL && !bms_is_member(i + 1, columns)))
			continue;
		field->index = i;
		field->name = NameStr(attr->attname);
		field->name_len = strlen(field->name);
		field->type = type_new(attr->atttypid, needs_settings);
		type->nfields++;
	}
}

/* Describes a type in the current context. */
static ImageType *
type_new(Oid typid, bool *needs_settings)
{
	ImageType  *type = palloc0(sizeof(ImageType));
	Oid			element;
	Oid			input;

	check_stack_depth();
	type->typid = getBaseType(typid);
	element = get_element_type(type->typid);
	if (realtime_type_has_json_cast(type->typid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("values of type %s cannot be read back from events",
						format_type_be(type->typid)),
				 errdetail("They are written by the type's own cast to json."),
				 errhint("Keep what policies read in a column of another type.")));
	if (OidIsValid(element))
	{
		type->kind = IMAGE_ARRAY;
		type->element = type_new(element, needs_settings);
		get_typlenbyvalalign(element, &type->typlen, &type->typbyval, &type->typalign);
		return type;
	}
	if (type_is_rowtype(type->typid))
	{
		TupleDesc	shared = lookup_rowtype_tupdesc(type->typid, -1);

		row_init(type, CreateTupleDescCopy(shared), NULL, needs_settings);
		ReleaseTupleDesc(shared);
		return type;
	}
	type->kind = type->typid == JSONOID || type->typid == JSONBOID ? IMAGE_JSON : IMAGE_SCALAR;
	getTypeInputInfo(type->typid, &input, &type->ioparam);
	fmgr_info(input, &type->input);
	*needs_settings |= !is_plain(type->typid);
	return type;
}

RealtimeImageReader *
realtime_image_reader_new(TupleDesc desc, const Bitmapset *columns)
{
	RealtimeImageReader *reader = palloc0(sizeof(RealtimeImageReader));
	Bitmapset  *none = bms_make_singleton(0);	/* no column's number: NULL would mean all */

	row_init(&reader->row, desc, columns ? columns : none, &reader->needs_settings);
	return reader;
}

/* ---------- values ---------- */

/* Whether a key, as written, is a name. */
static bool
is_key(const char *key, int len, const ImageField *field)
{
	char	   *text;
	bool		result;

	if (memchr(key, '\\', len) == NULL)
		return len == field->name_len && memcmp(key, field->name, len) == 0;
	text = realtime_scan_unescape(key, len);
	result = strcmp(text, field->name) == 0;
	pfree(text);
	return result;
}

/* A json or jsonb: all between the separators, spaces included. */
static Datum
read_json(RealtimeScanner *scan, ImageType *type, const char *start)
{
	char	   *text;
	Datum		value;

	realtime_scan_skip(scan);
	(void) realtime_scan_peek(scan);			/* spaces after it are the value's, too */
	text = pnstrdup(start, scan->at - start);
	value = InputFunctionCall(&type->input, text, type->ioparam, -1);
	pfree(text);
	return value;
}

/* A string, number or boolean as the input function reads it. */
static Datum
read_scalar(RealtimeScanner *scan, ImageType *type)
{
	const char *start;
	char	   *text;
	int			len;
	Datum		value;

	if (realtime_scan_peek(scan) == '"')
	{
		realtime_scan_string(scan, &start, &len);
		text = realtime_scan_unescape(start, len);
	}
	else
	{
		start = scan->at;
		if (*start == '{' || *start == '[')
			realtime_scan_malformed();
		realtime_scan_skip(scan);
		text = pnstrdup(start, scan->at - start);
	}
	value = InputFunctionCall(&type->input, text, type->ioparam, -1);
	pfree(text);
	return value;
}

/* The elements of an array while it is read. */
typedef struct Elements
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			room;
	int			ndims;
	int			dims[MAXDIM];	/* -1 until the first array of a depth has ended */
} Elements;

/* Adds one element. */
static void
add_element(Elements *elements, Datum value, bool isnull)
{
	if (elements->n == elements->room)
	{
		elements->room = elements->room ? elements->room * 2 : 16;
		elements->values = elements->values
			? repalloc(elements->values, elements->room * sizeof(Datum))
			: palloc(elements->room * sizeof(Datum));
		elements->nulls = elements->nulls
			? repalloc(elements->nulls, elements->room * sizeof(bool))
			: palloc(elements->room * sizeof(bool));
	}
	elements->values[elements->n] = value;
	elements->nulls[elements->n++] = isnull;
}

/* Whether values of a type may be written as JSON arrays, like another dimension of an array of them. */
static bool
may_be_array(const ImageType *type)
{
	return type->kind == IMAGE_JSON || type->kind == IMAGE_ARRAY;
}

/* Reads one dimension of an array, and those below it. */
static void
read_dimension(RealtimeScanner *scan, ImageType *type, Elements *elements, int depth)
{
	int			n = 0;

	check_stack_depth();
	if (depth >= MAXDIM)
		realtime_scan_malformed();
	if (depth == elements->ndims)
		elements->dims[elements->ndims++] = -1;
	realtime_scan_expect(scan, '[');
	while (realtime_scan_peek(scan) != ']')
	{
		const char *start;
		bool		isnull;
		Datum		value;

		if (n > 0)
			realtime_scan_expect(scan, ',');
		n++;
		start = scan->at;
		if (realtime_scan_peek(scan) == '[' && !may_be_array(type))
		{
			read_dimension(scan, type, elements, depth + 1);
			continue;
		}
		if (depth + 1 < elements->ndims)
			realtime_scan_malformed();
		if (realtime_scan_peek(scan) == '[' || (type->kind == IMAGE_JSON && realtime_scan_is_null(scan->at, scan->end)))
			scan->state = REALTIME_IMAGE_AMBIGUOUS;
		value = read_value(scan, type, start, &isnull);
		add_element(elements, value, isnull);
	}
	scan->at++;
	if (elements->dims[depth] >= 0 && elements->dims[depth] != n)
		realtime_scan_malformed();
	elements->dims[depth] = n;
}

/* An array. */
static Datum
read_array(RealtimeScanner *scan, ImageType *type)
{
	Elements	elements = {0};
	int			lower[MAXDIM];

	read_dimension(scan, type->element, &elements, 0);
	if (elements.n == 0)
		return PointerGetDatum(construct_empty_array(get_element_type(type->typid)));
	for (int i = 0; i < elements.ndims; i++)
		lower[i] = type->typid == INT2VECTOROID || type->typid == OIDVECTOROID ? 0 : 1;
	return PointerGetDatum(construct_md_array(elements.values, elements.nulls, elements.ndims,
											  elements.dims, lower, get_element_type(type->typid),
											  type->typlen, type->typbyval, type->typalign));
}

/*
 * Reads the fields of an object into values and nulls, the last of several alike; sets the numbers of
 * json columns that are written as null if told where. Returns how many fields were there.
 */
static int
read_fields(RealtimeScanner *scan, ImageType *type, Datum *values, bool *nulls, Bitmapset **json_nulls)
{
	int			found = 0;
	int			next = 0;		/* row_json keeps the order of columns */
	bool		is_first = true;
	bool	   *is_seen = palloc0(sizeof(bool) * Max(type->nfields, 1));

	memset(nulls, true, sizeof(bool) * type->desc->natts);
	memset(values, 0, sizeof(Datum) * type->desc->natts);
	realtime_scan_expect(scan, '{');
	while (realtime_scan_peek(scan) != '}')
	{
		const char *key;
		const char *start;
		int			key_len;
		int			i;
		ImageField *field = NULL;

		if (!is_first)
			realtime_scan_expect(scan, ',');
		is_first = false;
		(void) realtime_scan_peek(scan);
		realtime_scan_string(scan, &key, &key_len);
		realtime_scan_expect(scan, ':');
		start = scan->at;
		for (i = 0; i < type->nfields && field == NULL; i++)
			if (is_key(key, key_len, &type->fields[(next + i) % type->nfields]))
				field = &type->fields[(next + i) % type->nfields];
		if (field == NULL)
		{
			realtime_scan_skip(scan);
			continue;
		}
		next = (next + i) % type->nfields;
		if (!is_seen[field - type->fields])
			found++;
		is_seen[field - type->fields] = true;
		if (json_nulls)
			*json_nulls = bms_del_member(*json_nulls, field->index + 1);
		if (field->type->kind == IMAGE_JSON && realtime_scan_is_null(start, scan->end))
		{
			if (json_nulls)
				*json_nulls = bms_add_member(*json_nulls, field->index + 1);
			else
				scan->state = REALTIME_IMAGE_AMBIGUOUS;
		}
		values[field->index] = read_value(scan, field->type, start, &nulls[field->index]);
	}
	scan->at++;
	pfree(is_seen);
	return found;
}

/* A composite value. */
static Datum
read_composite(RealtimeScanner *scan, ImageType *type)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(type->desc->natts, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(type->desc->natts, 1));

	check_stack_depth();
	(void) read_fields(scan, type, values, nulls, NULL);
	return HeapTupleGetDatum(heap_form_tuple(type->desc, values, nulls));
}

/* A value of any type; start is right after the separator before it. */
static Datum
read_value(RealtimeScanner *scan, ImageType *type, const char *start, bool *isnull)
{
	*isnull = realtime_scan_is_null(start, scan->end);
	if (*isnull)
	{
		realtime_scan_skip(scan);
		return (Datum) 0;
	}
	switch (type->kind)
	{
		case IMAGE_JSON:
			return read_json(scan, type, start);
		case IMAGE_ARRAY:
			return read_array(scan, type);
		case IMAGE_COMPOSITE:
			return read_composite(scan, type);
		default:
			return read_scalar(scan, type);
	}
}

/* Sets what input functions depend on as json.c has it when it writes. */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"lc_monetary", "C"},
		{"search_path", "pg_catalog"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

RealtimeImageState
realtime_image_read(RealtimeImageReader *reader, const char *image, int len, Datum *values,
					bool *nulls, Bitmapset **json_nulls)
{
	RealtimeScanner scan = {image, image + len, REALTIME_IMAGE_WHOLE};
	int			guc_level = 0;
	int			found;

	*json_nulls = NULL;
	if (reader->needs_settings)
	{
		guc_level = NewGUCNestLevel();
		fix_settings();
	}
	found = read_fields(&scan, &reader->row, values, nulls, json_nulls);
	if (guc_level)
		AtEOXact_GUC(true, guc_level);
	if (scan.state == REALTIME_IMAGE_WHOLE && found < reader->row.nfields)
		return REALTIME_IMAGE_LACKING;
	return scan.state;
}

/* ---------- SQL ---------- */

/* SQL: row_image(anyelement, json): the row that row_json() wrote; the first argument tells its type. */
Datum
realtime_row_image(PG_FUNCTION_ARGS)
{
	Oid			typid = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, 0));
	text	   *image;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	Bitmapset  *json_nulls;
	RealtimeImageReader *reader;
	Bitmapset  *all = NULL;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (!type_is_rowtype(typid) || typid == RECORDOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the first argument must have a table's row type"),
				 errhint("Write realtime.row_image(NULL::my_table, ...).")));
	image = PG_GETARG_TEXT_PP(1);
	desc = lookup_rowtype_tupdesc_copy(typid, -1);
	for (int i = 0; i < desc->natts; i++)
		all = bms_add_member(all, i + 1);
	reader = realtime_image_reader_new(desc, all);
	values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	if (realtime_image_read(reader, VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), values, nulls,
							&json_nulls) == REALTIME_IMAGE_AMBIGUOUS)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("several rows are written like this one"),
				 errdetail("JSON does not tell apart the nulls, or the dimensions, of some arrays and "
						   "rows with json values inside.")));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
