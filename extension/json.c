/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * json.c
 *	  Datum -> JSON text: the encoder of event values, old images and snapshot rows, and
 *	  realtime.row_json().
 *
 * Invariants:
 *	- The output is a function of the value and the numeric mode only, never of a session setting:
 *	  what depends on one is written inside a GUC nest level that pins them all.
 *	- A RealtimeJsonType owns all it points to, in the context it is made in.  What a composite
 *	  looks like is resolved when a value is written and cached below its type, keyed by the
 *	  identity of the row type, so that ALTER TABLE is seen by the next value.
 *	- Detoasted copies and text outputs are freed as soon as they are written.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "json.h"

PG_FUNCTION_INFO_V1(realtime_row_json);

/* How the values of a type are written. */
typedef enum JsonKind
{
	JSON_KIND_BOOL,
	JSON_KIND_INT2,
	JSON_KIND_INT4,
	JSON_KIND_INT8,
	JSON_KIND_OID,
	JSON_KIND_FLOAT4,
	JSON_KIND_FLOAT8,
	JSON_KIND_NUMERIC,
	JSON_KIND_TEXT,				/* varlena whose bytes are its text */
	JSON_KIND_NAME,
	JSON_KIND_BYTEA,
	JSON_KIND_UUID,
	JSON_KIND_DATETIME,			/* date, timestamp, timestamptz */
	JSON_KIND_JSON,
	JSON_KIND_JSONB,
	JSON_KIND_ARRAY,
	JSON_KIND_COMPOSITE,
	JSON_KIND_CAST,				/* a user-defined cast to json */
	JSON_KIND_PLAIN_OUTPUT,		/* output function that depends on no setting */
	JSON_KIND_OUTPUT			/* output function under the fixed settings */
} JsonKind;

/* One written column of a row type. */
typedef struct RowField
{
	int			index;			/* in the deformed values */
	int			key_len;
	char	   *key;			/* the escaped name with a leading comma and the colon */
	RealtimeJsonType *type;
} RowField;

/* The columns of a row type; lives in a context of its own. */
typedef struct RowEncoder
{
	MemoryContext context;
	Oid			typid;
	int32		typmod;
	uint64		identity;		/* of assign_record_type_identifier() */
	int			users;			/* values being written with it now */
	TupleDesc	desc;			/* own copy, with the missing values of added columns */
	int			nfields;
	RowField	fields[FLEXIBLE_ARRAY_MEMBER];
} RowEncoder;

/* The row encoder last used by a composite type: apart, because a type is const to a writer. */
typedef struct RowCache
{
	MemoryContext parent;		/* of the encoder's context */
	RowEncoder *encoder;		/* NULL until the first value */
} RowCache;

struct RealtimeJsonType
{
	JsonKind	kind;
	RealtimeNumeric numeric;
	Oid			typid;			/* base type of a domain */
	bool		varlena;
	FmgrInfo   *output;			/* text output function */
	FmgrInfo   *cast;			/* JSON_KIND_CAST */
	RealtimeJsonType *element;	/* JSON_KIND_ARRAY; NULL for anyarray */
	RowCache   *row;			/* JSON_KIND_COMPOSITE */
};

/* What realtime.row_json() keeps in fn_extra: a record encoder for each numeric mode. */
typedef struct RowJsonState
{
	RealtimeJsonType *types[REALTIME_NUMERIC_STRING + 1];
} RowJsonState;

/* The built-in types that are not written by kind of type. */
static const struct
{
	Oid			typid;
	JsonKind	kind;
}			KnownTypes[] =
{
	{BOOLOID, JSON_KIND_BOOL},
	{INT2OID, JSON_KIND_INT2},
	{INT4OID, JSON_KIND_INT4},
	{INT8OID, JSON_KIND_INT8},
	{OIDOID, JSON_KIND_OID},
	{FLOAT4OID, JSON_KIND_FLOAT4},
	{FLOAT8OID, JSON_KIND_FLOAT8},
	{NUMERICOID, JSON_KIND_NUMERIC},
	{TEXTOID, JSON_KIND_TEXT},
	{VARCHAROID, JSON_KIND_TEXT},
	{BPCHAROID, JSON_KIND_TEXT},
	{NAMEOID, JSON_KIND_NAME},
	{BYTEAOID, JSON_KIND_BYTEA},
	{UUIDOID, JSON_KIND_UUID},
	{DATEOID, JSON_KIND_DATETIME},
	{TIMESTAMPOID, JSON_KIND_DATETIME},
	{TIMESTAMPTZOID, JSON_KIND_DATETIME},
	{JSONOID, JSON_KIND_JSON},
	{JSONBOID, JSON_KIND_JSONB},
	{ANYARRAYOID, JSON_KIND_ARRAY},
	{CHAROID, JSON_KIND_PLAIN_OUTPUT},
	{TIMEOID, JSON_KIND_PLAIN_OUTPUT},
	{TIMETZOID, JSON_KIND_PLAIN_OUTPUT},
	{INETOID, JSON_KIND_PLAIN_OUTPUT},
	{CIDROID, JSON_KIND_PLAIN_OUTPUT},
	{MACADDROID, JSON_KIND_PLAIN_OUTPUT},
	{MACADDR8OID, JSON_KIND_PLAIN_OUTPUT},
	{BITOID, JSON_KIND_PLAIN_OUTPUT},
	{VARBITOID, JSON_KIND_PLAIN_OUTPUT},
	{XIDOID, JSON_KIND_PLAIN_OUTPUT},
	{XID8OID, JSON_KIND_PLAIN_OUTPUT},
	{CIDOID, JSON_KIND_PLAIN_OUTPUT},
	{TIDOID, JSON_KIND_PLAIN_OUTPUT},
	{PG_LSNOID, JSON_KIND_PLAIN_OUTPUT},
	{TSVECTOROID, JSON_KIND_PLAIN_OUTPUT},
	{TSQUERYOID, JSON_KIND_PLAIN_OUTPUT},
	{JSONPATHOID, JSON_KIND_PLAIN_OUTPUT},
	{INT4RANGEOID, JSON_KIND_PLAIN_OUTPUT},
	{INT8RANGEOID, JSON_KIND_PLAIN_OUTPUT},
	{NUMRANGEOID, JSON_KIND_PLAIN_OUTPUT},
	{INT4MULTIRANGEOID, JSON_KIND_PLAIN_OUTPUT},
	{INT8MULTIRANGEOID, JSON_KIND_PLAIN_OUTPUT},
	{NUMMULTIRANGEOID, JSON_KIND_PLAIN_OUTPUT},
};

/* Every setting that a text output depends on.  With this search_path reg* are qualified. */
static const struct
{
	const char *name;
	const char *value;
}			FixedSettings[] =
{
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"lc_monetary", "C"},
	{"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog"},
};

/* What follows the backslash of an escaped control character. */
static const char ControlEscapes[] = "uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";

static const char HexDigits[] = "0123456789abcdef";

/* The greatest integer below which a double is exact: as int64, and as digits. */
static const int64 MaxExactInteger = INT64CONST(9007199254740992);
static const char MaxExactDigits[] = "9007199254740992";

/* A double keeps this many decimal digits, down to 1e-307. */
static const int ExactDigits = 15;
static const int MaxFractionZeros = 290;

/* 0001-01-01, in microseconds since 2000. */
static const int64 FirstTimestampOfEra = -730119 * USECS_PER_DAY;

static void append_array(RealtimeJsonWriter *writer, const RealtimeJsonType *type, Datum value);
static void append_composite(RealtimeJsonWriter *writer, const RealtimeJsonType *type,
							 Datum value);

/* ---------- encoders of types ---------- */

/* Whether a function belongs to a superuser. */
static bool
is_superusers(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result = HeapTupleIsValid(tuple)
		&& superuser_arg(((Form_pg_proc) GETSTRUCT(tuple))->proowner);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/*
 * Looks up the function of a user-defined cast to json, as row_to_json does (hstore has one).
 * Returns InvalidOid for built-in types and for types without such a function.
 *
 * It must be a superuser's: rows are written at commit, by whoever commits (a superuser who took on a role for
 * a while, the transaction of an ANALYZE whose index expressions wrote), and for the notifier's login.
 */
static Oid
json_cast_function(Oid typid)
{
	Oid			function = InvalidOid;

	if (typid < FirstNormalObjectId)
		return InvalidOid;
	if (find_coercion_pathway(JSONOID, typid, COERCION_EXPLICIT, &function) !=
		COERCION_PATH_FUNC || !is_superusers(function))
		return InvalidOid;
	return function;
}

/*
 * Tells how the values of a base type are written.  *cast is set to the cast function of
 * JSON_KIND_CAST.
 */
static JsonKind
kind_of_type(Oid typid, Oid *cast)
{
	*cast = InvalidOid;
	for (int i = 0; i < lengthof(KnownTypes); i++)
	{
		if (KnownTypes[i].typid == typid)
			return KnownTypes[i].kind;
	}
	if (OidIsValid(get_element_type(typid)))
		return JSON_KIND_ARRAY;
	if (type_is_rowtype(typid))
		return JSON_KIND_COMPOSITE;
	*cast = json_cast_function(typid);
	if (OidIsValid(*cast))
		return JSON_KIND_CAST;
	return type_is_enum(typid) ? JSON_KIND_PLAIN_OUTPUT : JSON_KIND_OUTPUT;
}

/*
 * Makes a callable function in the current context, where the function also keeps its own state.
 */
static FmgrInfo *
make_function(Oid function)
{
	FmgrInfo   *result = palloc(sizeof(FmgrInfo));

	fmgr_info_cxt(function, result, CurrentMemoryContext);
	return result;
}

/*
 * Builds the encoder of a type in the current context, which frees it.  Raises an error for a
 * type that does not exist or is a shell.
 */
RealtimeJsonType *
realtime_json_type(Oid typid, RealtimeNumeric numeric)
{
	RealtimeJsonType *type = palloc0(sizeof(RealtimeJsonType));
	Oid			output;
	Oid			cast;

	check_stack_depth();

	type->typid = getBaseType(typid);
	type->numeric = numeric;
	type->kind = kind_of_type(type->typid, &cast);
	getTypeOutputInfo(type->typid, &output, &type->varlena);
	type->output = make_function(output);

	if (type->kind == JSON_KIND_CAST)
		type->cast = make_function(cast);
	else if (type->kind == JSON_KIND_ARRAY && type->typid != ANYARRAYOID)
		type->element = realtime_json_type(get_element_type(type->typid), numeric);
	else if (type->kind == JSON_KIND_COMPOSITE)
	{
		type->row = palloc0(sizeof(RowCache));
		type->row->parent = CurrentMemoryContext;
	}
	return type;
}

/*
 * Copies the description of a row type and the keys and encoders of its columns into the current
 * context.  Dropped columns and virtual generated ones, which no stored row has, are left out.
 */
static RowEncoder *
make_row_encoder(Oid typid, int32 typmod, RealtimeNumeric numeric)
{
	TupleDesc	shared = lookup_rowtype_tupdesc(typid, typmod);
	TupleDesc	desc = CreateTupleDescCopyConstr(shared);
	RowEncoder *row = palloc0(offsetof(RowEncoder, fields) + desc->natts * sizeof(RowField));

	ReleaseTupleDesc(shared);
	row->desc = desc;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		RowField   *field = &row->fields[row->nfields];
		StringInfoData key;

		if (attr->attisdropped || attr->attgenerated == 'v')
			continue;

		initStringInfo(&key);
		appendStringInfoChar(&key, ',');
		realtime_json_append_string(&key, NameStr(attr->attname), strlen(NameStr(attr->attname)));
		appendStringInfoChar(&key, ':');

		field->index = i;
		field->key_len = key.len;
		field->key = pnstrdup(key.data, key.len);
		field->type = realtime_json_type(attr->atttypid, numeric);
		pfree(key.data);
		row->nfields++;
	}
	return row;
}

/*
 * Builds a row encoder in a context of its own and puts it into the cache in place of the former.
 * The former is freed, unless a value is being written with it further up the stack: then it
 * stays until the type goes.
 */
static RowEncoder *
build_row_encoder(RowCache *cache, Oid typid, int32 typmod, uint64 identity,
				  RealtimeNumeric numeric)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "realtime row encoder",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	RowEncoder *row = make_row_encoder(typid, typmod, numeric);

	MemoryContextSwitchTo(caller);
	row->context = context;
	row->typid = typid;
	row->typmod = typmod;
	row->identity = identity;

	/* From here on nothing fails: the context moves under the type that owns it. */
	MemoryContextSetParent(context, cache->parent);
	if (cache->encoder != NULL && cache->encoder->users == 0)
		MemoryContextDelete(cache->encoder->context);
	cache->encoder = row;
	return row;
}

/* ---------- writing sessions ---------- */

/* Starts a writing session that appends to out. */
void
realtime_json_begin(RealtimeJsonWriter *writer, StringInfo out)
{
	writer->out = out;
	writer->guc_level = 0;
}

/* Ends a writing session: the session's own settings are in force again. */
void
realtime_json_end(RealtimeJsonWriter *writer)
{
	if (writer->guc_level == 0)
		return;
	AtEOXact_GUC(true, writer->guc_level);
	writer->guc_level = 0;
}

/*
 * Puts the fixed settings in force for the rest of the writing session.  A setting that already
 * has its value, as most defaults do, is left alone: that is the cheaper way.
 */
static void
enter_fixed_settings(RealtimeJsonWriter *writer)
{
	if (writer->guc_level != 0)
		return;

	writer->guc_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(FixedSettings); i++)
	{
		const char *name = FixedSettings[i].name;
		const char *value = FixedSettings[i].value;
		const char *current = GetConfigOption(name, false, false);

		if (current == NULL || strcmp(current, value) != 0)
			(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
									 true, 0, false);
	}
}

/* ---------- strings ---------- */

/* Tells whether a byte must be escaped inside a JSON string. */
static inline bool
needs_escape(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

/*
 * Tells whether any of 8 bytes must be escaped, without a loop: a byte below n borrows into its
 * top bit when n is subtracted, a byte equal to c is zero after XOR with c.
 */
static inline bool
word_needs_escape(uint64 word)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	const uint64 tops = UINT64CONST(0x8080808080808080);
	uint64		quote = word ^ (ones * '"');
	uint64		backslash = word ^ (ones * '\\');
	uint64		found;

	found = (word - ones * 0x20) & ~word;
	found |= (quote - ones) & ~quote;
	found |= (backslash - ones) & ~backslash;
	return (found & tops) != 0;
}

/* Returns the number of leading bytes of s that need no escape, at most len. */
static inline int
plain_run(const char *s, int len)
{
	int			n = 0;

	while (n + (int) sizeof(uint64) <= len)
	{
		uint64		word;

		memcpy(&word, s + n, sizeof(word));
		if (word_needs_escape(word))
			break;
		n += sizeof(word);
	}
	while (n < len && !needs_escape((unsigned char) s[n]))
		n++;
	return n;
}

/* Appends the escape of one byte that needs one. */
static void
append_escape(StringInfo out, unsigned char c)
{
	char		escape[6] = {'\\', (char) c, '0', '0', '0', '0'};
	int			len = 2;

	if (c < 0x20)
	{
		escape[1] = ControlEscapes[c];
		if (escape[1] == 'u')
		{
			escape[4] = HexDigits[c >> 4];
			escape[5] = HexDigits[c & 0xF];
			len = 6;
		}
	}
	appendBinaryStringInfo(out, escape, len);
}

/*
 * Appends a quoted, escaped JSON string of len bytes in the server encoding, all of which keep
 * ASCII bytes to themselves.
 */
void
realtime_json_append_string(StringInfo out, const char *s, int len)
{
	const char *end = s + len;
	int			run = plain_run(s, len);
	char	   *p;

	/* A string without escapes, the usual one, then needs no more space than this. */
	enlargeStringInfo(out, len + 2);
	p = out->data + out->len;
	*p++ = '"';
	memcpy(p, s, run);
	out->len += 1 + run;
	for (s += run; s < end; s += run)
	{
		append_escape(out, (unsigned char) *s++);
		run = plain_run(s, end - s);
		realtime_json_append_bytes(out, s, run);
	}
	appendStringInfoCharMacro(out, '"');
}

/* Appends bytes as they are, in quotes if told; they need no escape. */
static void
append_token(StringInfo out, const char *s, int len, bool quoted)
{
	char	   *p;

	if (len + 2 >= out->maxlen - out->len)
		enlargeStringInfo(out, len + 2);
	p = out->data + out->len;
	if (quoted)
		*p++ = '"';
	memcpy(p, s, len);
	p += len;
	if (quoted)
		*p++ = '"';
	*p = '\0';
	out->len = p - out->data;
}

/* ---------- scalars ---------- */

/* Frees a detoasted copy; does nothing to the stored value itself. */
static inline void
free_copy(void *copy, Datum value)
{
	if (copy != (void *) DatumGetPointer(value))
		pfree(copy);
}

/* Appends an integer in decimal digits, in quotes if told. */
static void
append_integer(StringInfo out, int64 value, bool quoted)
{
	char		digits[sizeof("-9223372036854775808")];

	append_token(out, digits, pg_lltoa(value, digits), quoted);
}

/* Appends a float8 in its shortest exact form; in quotes if told, and always if not finite. */
static void
append_float8(StringInfo out, float8 value, bool quoted)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];
	int			len = double_to_shortest_decimal_buf(value, digits);

	append_token(out, digits, len, quoted || !isfinite(value));
}

/* Appends a float4 in its shortest exact form; in quotes if told, and always if not finite. */
static void
append_float4(StringInfo out, float4 value, bool quoted)
{
	char		digits[FLOAT_SHORTEST_DECIMAL_LEN];
	int			len = float_to_shortest_decimal_buf(value, digits);

	append_token(out, digits, len, quoted || !isfinite(value));
}

/*
 * Tells whether a reader that keeps numbers in doubles gets back the number of a numeric's text:
 * at most 15 significant digits, or an integer up to 2^53.  NaN and infinities are none.
 */
static bool
is_exact_in_double(const char *text, int len)
{
	const char *p = text + (*text == '-' ? 1 : 0);
	const char *end = text + len;
	const char *point = memchr(text, '.', len);
	int			digits;

	if (*p < '0' || *p > '9')
		return false;

	if (point != NULL)
	{
		while (end[-1] == '0')
			end--;
		if (end - 1 == point)
		{
			end = point;
			point = NULL;
		}
	}

	while (p < end && *p == '0')
		p++;
	if (p == point)
	{
		/* below one: the zeros after the point do not count, but lead to underflow */
		while (*++p == '0')
			;
		if (p - point > MaxFractionZeros)
			return false;
		return end - p <= ExactDigits;
	}

	digits = (end - p) - (point != NULL ? 1 : 0);
	if (digits <= ExactDigits)
		return true;
	return point == NULL && digits == strlen(MaxExactDigits) &&
		memcmp(p, MaxExactDigits, digits) <= 0;
}

/* Appends a numeric: a number while it is exact in a double, else (or if told) a string. */
static void
append_numeric(StringInfo out, Datum value, bool quoted)
{
	Numeric		number = DatumGetNumeric(value);
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	int			len = strlen(text);

	append_token(out, text, len, quoted || !is_exact_in_double(text, len));
	pfree(text);
	free_copy(number, value);
}

/*
 * Appends a value of one of the number kinds: in quotes if told, and always where a reader that
 * keeps numbers in doubles would not get it back.
 */
static void
append_number(StringInfo out, const RealtimeJsonType *type, Datum value, bool quoted)
{
	int64		integer;

	switch (type->kind)
	{
		case JSON_KIND_INT2:
			append_integer(out, DatumGetInt16(value), quoted);
			break;
		case JSON_KIND_INT4:
			append_integer(out, DatumGetInt32(value), quoted);
			break;
		case JSON_KIND_OID:
			append_integer(out, DatumGetObjectId(value), quoted);
			break;
		case JSON_KIND_INT8:
			integer = DatumGetInt64(value);
			append_integer(out, integer, quoted || integer > MaxExactInteger ||
						   integer < -MaxExactInteger);
			break;
		case JSON_KIND_FLOAT4:
			append_float4(out, DatumGetFloat4(value), quoted);
			break;
		case JSON_KIND_FLOAT8:
			append_float8(out, DatumGetFloat8(value), quoted);
			break;
		default:
			append_numeric(out, value, quoted);
			break;
	}
}

/* Appends a varlena whose bytes are its text as a JSON string. */
static void
append_text(StringInfo out, Datum value)
{
	text	   *t = DatumGetTextPP(value);

	realtime_json_append_string(out, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	free_copy(t, value);
}

/* Appends a json value as it is stored. */
static void
append_json(StringInfo out, Datum value)
{
	text	   *t = DatumGetTextPP(value);

	appendBinaryStringInfo(out, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	free_copy(t, value);
}

/* Appends a jsonb value as JSON text. */
static void
append_jsonb(StringInfo out, Datum value)
{
	Jsonb	   *jb = DatumGetJsonbP(value);

	(void) JsonbToCString(out, &jb->root, VARSIZE(jb));
	free_copy(jb, value);
}

/* Appends a bytea as "\\x" and hex digits. */
static void
append_bytea(StringInfo out, Datum value)
{
	static const char prefix[] = "\"\\\\x";
	bytea	   *bytes = DatumGetByteaPP(value);
	int			len = VARSIZE_ANY_EXHDR(bytes);

	/* No overflow: a value is shorter than 1 GB.  The buffer refuses what is too long for it. */
	enlargeStringInfo(out, 2 * len + (int) sizeof(prefix));
	appendBinaryStringInfo(out, prefix, sizeof(prefix) - 1);
	out->len += (int) hex_encode(VARDATA_ANY(bytes), len, out->data + out->len);
	appendStringInfoChar(out, '"');
	free_copy(bytes, value);
}

/* Appends a uuid in its canonical form. */
static void
append_uuid(StringInfo out, const pg_uuid_t *uuid)
{
	char		text[36];
	char	   *p = text;

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = HexDigits[uuid->data[i] >> 4];
		*p++ = HexDigits[uuid->data[i] & 0xF];
	}
	append_token(out, text, sizeof(text), true);
}

/*
 * Writes the second of a finite timestamp (microseconds since 2000) as YYYY-MM-DDTHH:MM:SS; returns the
 * end of it and sets the microseconds that are left.
 */
static char *
write_second(char *p, int64 at, int *micros_left)
{
	int64		days = at / USECS_PER_DAY;
	int64		micros = at % USECS_PER_DAY;
	int			year;
	int			month;
	int			day;

	if (micros < 0)
	{
		micros += USECS_PER_DAY;
		days--;
	}
	j2date((int) days + POSTGRES_EPOCH_JDATE, &year, &month, &day);

	if (year < 0)
		*p++ = '-';
	p = pg_ultostr_zeropad(p, abs(year), 4);
	*p++ = '-';
	p = pg_ultostr_zeropad(p, month, 2);
	*p++ = '-';
	p = pg_ultostr_zeropad(p, day, 2);
	*p++ = 'T';
	p = pg_ultostr_zeropad(p, micros / USECS_PER_HOUR, 2);
	*p++ = ':';
	p = pg_ultostr_zeropad(p, micros / USECS_PER_MINUTE % MINS_PER_HOUR, 2);
	*p++ = ':';
	p = pg_ultostr_zeropad(p, micros / USECS_PER_SEC % SECS_PER_MINUTE, 2);
	*micros_left = micros % USECS_PER_SEC;
	return p;
}

/*
 * Appends a date, timestamp or timestamptz (in UTC) in ISO 8601 form, or "infinity". Timestamps of our
 * era, which most are, are written here, because PostgreSQL's function takes twice as long.
 */
static void
append_datetime(StringInfo out, Oid typid, Datum value)
{
	static const int utc = 0;
	char		text[MAXDATELEN + 1];
	char	   *p = text;
	int64		at = DatumGetInt64(value);
	int			micros;

	if (typid == DATEOID || at < FirstTimestampOfEra || TIMESTAMP_NOT_FINITE(at))
	{
		JsonEncodeDateTime(text, value, typid, &utc);
		append_token(out, text, strlen(text), true);
		return;
	}
	p = write_second(p, at, &micros);
	if (micros > 0)
	{
		*p++ = '.';
		p = pg_ultostr_zeropad(p, micros, 6);
		while (p[-1] == '0')
			p--;
	}
	if (typid == TIMESTAMPTZOID)
	{
		memcpy(p, "+00:00", 6);
		p += 6;
	}
	append_token(out, text, p - text, true);
}

/*
 * Appends a timestamptz (microseconds since 2000) in UTC with six digits of fraction.  Infinite
 * ones are written as in rows.
 */
void
realtime_json_append_timestamp(StringInfo out, int64 at)
{
	/* The second written last, for the backend's life: commits come many a second. */
	static int64 second = PG_INT64_MAX;
	static char text[MAXDATELEN + 1];
	static int	second_len;
	int			micros;

	if (TIMESTAMP_NOT_FINITE(at))
	{
		append_datetime(out, TIMESTAMPTZOID, Int64GetDatum(at));
		return;
	}
	if (at >= second && at - second < USECS_PER_SEC)
		micros = (int) (at - second);
	else
	{
		second_len = (int) (write_second(text, at, &micros) - text);
		text[second_len] = '.';
		text[second_len + 7] = 'Z';
		second = at - micros;
	}
	pg_ultostr_zeropad(text + second_len + 1, micros, 6);
	append_token(out, text, second_len + 8, true);
}

/*
 * Appends the text of a type's output function as a JSON string.  The value is detoasted here, not
 * in the function, so that a big copy is freed.
 */
static void
append_output(StringInfo out, const RealtimeJsonType *type, Datum value)
{
	Datum		plain = value;
	char	   *text;

	if (type->varlena)
		plain = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
	text = OutputFunctionCall(type->output, plain);
	realtime_json_append_string(out, text, strlen(text));
	pfree(text);
	if (type->varlena)
		free_copy(DatumGetPointer(plain), value);
}

/*
 * Appends what a user-defined cast to json returns, null for NULL.  Cast functions may take the
 * typmod (unknown: -1) and whether the cast is explicit as further arguments.
 */
static void
append_cast(StringInfo out, const RealtimeJsonType *type, Datum value)
{
	LOCAL_FCINFO(fcinfo, 3);
	Datum		json;

	InitFunctionCallInfoData(*fcinfo, type->cast, type->cast->fn_nargs, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = Int32GetDatum(-1);
	fcinfo->args[1].isnull = false;
	fcinfo->args[2].value = BoolGetDatum(true);
	fcinfo->args[2].isnull = false;

	json = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		appendBinaryStringInfo(out, "null", 4);
	else
		append_json(out, json);
}

/* ---------- arrays and composites ---------- */

/*
 * Appends one dimension of an array, and the dimensions below it, from an iterator that yields
 * the elements in storage order.
 */
static void
append_dimension(RealtimeJsonWriter *writer, const RealtimeJsonType *element,
				 ArrayIterator iterator, int ndims, const int *dims)
{
	appendStringInfoChar(writer->out, '[');
	for (int i = 0; i < dims[0]; i++)
	{
		Datum		value;
		bool		isnull;

		if (i > 0)
			appendStringInfoChar(writer->out, ',');
		if (ndims > 1)
			append_dimension(writer, element, iterator, ndims - 1, dims + 1);
		else if (!array_iterate(iterator, &value, &isnull))
			elog(ERROR, "array ends before its dimensions do");
		else if (isnull)
			appendBinaryStringInfo(writer->out, "null", 4);
		else
			realtime_json_append_datum(writer, element, value);
	}
	appendStringInfoChar(writer->out, ']');
}

/* Appends an array as nested JSON arrays; lower bounds are not kept. */
static void
append_array(RealtimeJsonWriter *writer, const RealtimeJsonType *type, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	const RealtimeJsonType *element = type->element;

	check_stack_depth();

	if (ARR_NDIM(array) == 0 || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == 0)
		appendBinaryStringInfo(writer->out, "[]", 2);
	else
	{
		ArrayIterator iterator = array_create_iterator(array, 0, NULL);

		/* anyarray, of pg_statistic: only the value knows */
		if (element == NULL)
			element = realtime_json_type(ARR_ELEMTYPE(array), type->numeric);
		append_dimension(writer, element, iterator, ARR_NDIM(array), ARR_DIMS(array));
		array_free_iterator(iterator);
	}
	free_copy(array, value);
}

/* Appends the columns of a deformed row as a JSON object. */
static void
append_fields(RealtimeJsonWriter *writer, const RowEncoder *row, const Datum *values,
			  const bool *nulls)
{
	StringInfo	out = writer->out;

	appendStringInfoChar(out, '{');
	for (int i = 0; i < row->nfields; i++)
	{
		const RowField *field = &row->fields[i];
		int			skip = i == 0 ? 1 : 0;	/* the comma */

		appendBinaryStringInfo(out, field->key + skip, field->key_len - skip);
		if (nulls[field->index])
			appendBinaryStringInfo(out, "null", 4);
		else
			realtime_json_append_datum(writer, field->type, values[field->index]);
	}
	appendStringInfoChar(out, '}');
}

/*
 * Appends a composite as a JSON object, with the row encoder of the type in the value's header.
 * After an error the encoder counts one user too many, so it is not freed by its successor but
 * with the type.
 */
static void
append_composite(RealtimeJsonWriter *writer, const RealtimeJsonType *type, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	Oid			typid = HeapTupleHeaderGetTypeId(header);
	int32		typmod = HeapTupleHeaderGetTypMod(header);
	uint64		identity;
	RowEncoder *row = type->row->encoder;
	HeapTupleData tuple;
	Datum	   *values;
	bool	   *nulls;

	check_stack_depth();

	identity = assign_record_type_identifier(typid, typmod);
	if (row == NULL || row->typid != typid || row->typmod != typmod || row->identity != identity)
		row = build_row_encoder(type->row, typid, typmod, identity, type->numeric);

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	values = palloc(row->desc->natts * (sizeof(Datum) + sizeof(bool)));
	nulls = (bool *) (values + row->desc->natts);
	heap_deform_tuple(&tuple, row->desc, values, nulls);

	row->users++;
	append_fields(writer, row, values, nulls);
	row->users--;

	pfree(values);
	free_copy(header, value);
}

/* ---------- datums ---------- */

/* Appends a non-null datum in its JSON form.  What it detoasts it frees. */
void
realtime_json_append_datum(RealtimeJsonWriter *writer, const RealtimeJsonType *type, Datum value)
{
	StringInfo	out = writer->out;

	switch (type->kind)
	{
		case JSON_KIND_BOOL:
			if (DatumGetBool(value))
				append_token(out, "true", 4, false);
			else
				append_token(out, "false", 5, false);
			break;
		case JSON_KIND_INT2:
		case JSON_KIND_INT4:
		case JSON_KIND_OID:
		case JSON_KIND_FLOAT4:
		case JSON_KIND_FLOAT8:
			append_number(out, type, value, false);
			break;
		case JSON_KIND_INT8:
		case JSON_KIND_NUMERIC:
			append_number(out, type, value, type->numeric == REALTIME_NUMERIC_STRING);
			break;
		case JSON_KIND_DATETIME:
			append_datetime(out, type->typid, value);
			break;
		case JSON_KIND_JSON:
			append_json(out, value);
			break;
		case JSON_KIND_JSONB:
			append_jsonb(out, value);
			break;
		case JSON_KIND_ARRAY:
			append_array(writer, type, value);
			break;
		case JSON_KIND_COMPOSITE:
			append_composite(writer, type, value);
			break;
		case JSON_KIND_CAST:
			enter_fixed_settings(writer);
			append_cast(out, type, value);
			break;
		default:
			realtime_json_append_as_text(writer, type, value);
			break;
	}
}

/*
 * Appends a non-null datum's text output as a JSON string: the form of event ids, and that of the
 * values of every type without a JSON form.  A bool is spelled out, as value::text is.
 */
void
realtime_json_append_as_text(RealtimeJsonWriter *writer, const RealtimeJsonType *type, Datum value)
{
	StringInfo	out = writer->out;

	switch (type->kind)
	{
		case JSON_KIND_BOOL:
			append_token(out, DatumGetBool(value) ? "true" : "false",
						 DatumGetBool(value) ? 4 : 5, true);
			break;
		case JSON_KIND_INT2:
		case JSON_KIND_INT4:
		case JSON_KIND_INT8:
		case JSON_KIND_OID:
		case JSON_KIND_FLOAT4:
		case JSON_KIND_FLOAT8:
		case JSON_KIND_NUMERIC:
			append_number(out, type, value, true);
			break;
		case JSON_KIND_TEXT:
		case JSON_KIND_JSON:
			append_text(out, value);
			break;
		case JSON_KIND_NAME:
			realtime_json_append_string(out, NameStr(*DatumGetName(value)),
										strlen(NameStr(*DatumGetName(value))));
			break;
		case JSON_KIND_BYTEA:
			append_bytea(out, value);
			break;
		case JSON_KIND_UUID:
			append_uuid(out, DatumGetUUIDP(value));
			break;
		case JSON_KIND_JSONB:
		case JSON_KIND_PLAIN_OUTPUT:
			append_output(out, type, value);
			break;
		default:
			/* interval needs but one setting, which usually is as it must be */
			if (type->typid != INTERVALOID || IntervalStyle != INTSTYLE_POSTGRES)
				enter_fixed_settings(writer);
			append_output(out, type, value);
			break;
	}
}

/* ---------- SQL ---------- */

/* Reads the "numeric" argument of realtime.row_json(); raises an error for an unknown one. */
static RealtimeNumeric
parse_numeric_mode(const text *mode)
{
	const char *s = VARDATA_ANY(mode);
	int			len = VARSIZE_ANY_EXHDR(mode);

	if (len == 4 && memcmp(s, "auto", 4) == 0)
		return REALTIME_NUMERIC_AUTO;
	if (len == 6 && memcmp(s, "string", 6) == 0)
		return REALTIME_NUMERIC_STRING;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown \"numeric\" mode \"%.*s\"", len, s),
			 errhint("Use 'auto' (numbers while they are exact in a double) or 'string'.")));
	return REALTIME_NUMERIC_AUTO;	/* not reached */
}

/*
 * Returns the record encoder of a numeric mode, built at the first call of a query in the context
 * of the function's own state.
 */
static const RealtimeJsonType *
row_json_type(FmgrInfo *flinfo, RealtimeNumeric numeric)
{
	RowJsonState *state = flinfo->fn_extra;

	if (state == NULL)
	{
		state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(RowJsonState));
		flinfo->fn_extra = state;
	}
	if (state->types[numeric] == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(flinfo->fn_mcxt);

		state->types[numeric] = realtime_json_type(RECORDOID, numeric);
		MemoryContextSwitchTo(caller);
	}
	return state->types[numeric];
}

/*
 * realtime.row_json(record [, "numeric" text]) returns json: the row as events and snapshots
 * write it.  Strict.
 */
Datum
realtime_row_json(PG_FUNCTION_ARGS)
{
	RealtimeNumeric numeric = REALTIME_NUMERIC_AUTO;
	RealtimeJsonWriter writer;
	StringInfoData out;

	if (PG_NARGS() > 1)
		numeric = parse_numeric_mode(PG_GETARG_TEXT_PP(1));

	/* The buffer becomes the result: room for the header of a varlena first. */
	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	realtime_json_begin(&writer, &out);
	realtime_json_append_datum(&writer, row_json_type(fcinfo->flinfo, numeric),
							   PG_GETARG_DATUM(0));
	realtime_json_end(&writer);

	SET_VARSIZE(out.data, out.len);
	PG_RETURN_POINTER(out.data);
}
