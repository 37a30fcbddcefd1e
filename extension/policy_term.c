/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_term.c
 *	  A column compared with a constant as a term of notifiers' filters: which types, operators and
 *	  collations have the same meaning there. See policy.h and "filter" in doc/protocol.md.
 *
 * Terms compare by value: 1.0 equals 1.00, -0 equals 0, NaN equals NaN and is the greatest. Text compares
 * by its bytes. What a term says must be what the operator says for every value of the column, so
 * anything not listed here is no term.
 */
#include "postgres.h"

#include <math.h>

#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "compat.h"
#include "policy.h"

/* Whether a type's values can be compared in terms: for equality, or for order, too. */
typedef enum TypeMeaning
{
	MEANING_NONE,
	MEANING_EQUALITY,
	MEANING_ORDER
} TypeMeaning;

/* ---------- columns ---------- */

/* Whether a cast between types keeps every value, so that comparing after it is comparing before it. */
static bool
keeps_value(Oid from, Oid to)
{
	switch (from)
	{
		case INT2OID:
			return to == INT4OID || to == INT8OID || to == NUMERICOID || to == FLOAT8OID;
		case INT4OID:
			return to == INT8OID || to == NUMERICOID || to == FLOAT8OID;
		case INT8OID:
			return to == NUMERICOID;
		case FLOAT4OID:
			return to == FLOAT8OID;
		case VARCHAROID:
		case NAMEOID:
			return to == TEXTOID;
		case TEXTOID:
			return to == VARCHAROID;
		default:
			return false;
	}
}

/* Whether a node is a cast that keeps every value of its argument; sets *arg. */
static bool
is_harmless_cast(Node *node, Node **arg)
{
	Oid			from;
	Oid			to;

	if (IsA(node, RelabelType))
		*arg = (Node *) ((RelabelType *) node)->arg;
	else if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 1
			 && ((FuncExpr *) node)->funcid < FirstNormalObjectId
			 && (((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST
				 || ((FuncExpr *) node)->funcformat == COERCE_EXPLICIT_CAST))
		*arg = linitial(((FuncExpr *) node)->args);
	else
		return false;
	from = getBaseType(exprType(*arg));
	to = getBaseType(exprType(node));
	return (from == to && IsA(node, RelabelType)) || keeps_value(from, to);
}

Var *
realtime_term_column(Node *node)
{
	Node	   *arg;

	while (is_harmless_cast(node, &arg))
		node = arg;
	if (IsA(node, Var) && ((Var *) node)->varno == 1 && ((Var *) node)->varlevelsup == 0
		&& ((Var *) node)->varattno > 0)
		return (Var *) node;
	return NULL;
}

/* ---------- types and operators ---------- */

/* What terms can say of a type's values. */
static TypeMeaning
meaning_of_type(Oid base, int32 typmod)
{
	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case TEXTOID:
		case VARCHAROID:
		case NAMEOID:
		case UUIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case BYTEAOID:
			return MEANING_ORDER;
		case BOOLOID:
			return MEANING_EQUALITY;
		case BPCHAROID:
			/* with a length all values are padded to it; without, equal ones are written differently */
			return typmod > (int32) VARHDRSZ ? MEANING_EQUALITY : MEANING_NONE;
		default:
			return type_is_enum(base) && !realtime_type_has_json_cast(base)
				? MEANING_EQUALITY : MEANING_NONE;
	}
}

/*
 * Whether an operator compares values of a type under a collation as terms do: texts by bytes. PostgreSQL
 * refuses to compare texts whose collation it could not determine.
 */
static bool
is_bytewise(Oid typid, Oid collation, RealtimeTermOp op)
{
	if (!type_is_collatable(typid))
		return true;
	if (!OidIsValid(collation))
		return false;
	if (op == REALTIME_TERM_EQ || op == REALTIME_TERM_NEQ)
		return get_collation_isdeterministic(collation);
	return compat_collation_is_c(collation)
		&& (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII);
}

/* The operator that means the same with its operands exchanged. */
static RealtimeTermOp
commute(RealtimeTermOp op)
{
	switch (op)
	{
		case REALTIME_TERM_LT:
			return REALTIME_TERM_GT;
		case REALTIME_TERM_LTE:
			return REALTIME_TERM_GTE;
		case REALTIME_TERM_GT:
			return REALTIME_TERM_LT;
		case REALTIME_TERM_GTE:
			return REALTIME_TERM_LTE;
		default:
			return op;
	}
}

/* What an operator of a type's default order means; false when it is none of it. */
static bool
operator_meaning(Oid operator, Oid typid, RealtimeTermOp *op)
{
	Oid			opclass = GetDefaultOpClass(typid, BTREE_AM_OID);
	int			strategy;

	if (operator >= FirstNormalObjectId || !OidIsValid(opclass)
		|| !compat_operator_strategy(operator, get_opclass_family(opclass), &strategy))
		return false;
	switch (strategy)
	{
		case 1:
			*op = REALTIME_TERM_LT;
			return true;
		case 2:
			*op = REALTIME_TERM_LTE;
			return true;
		case 3:
			*op = REALTIME_TERM_EQ;
			return true;
		case 4:
			*op = REALTIME_TERM_GTE;
			return true;
		case 5:
			*op = REALTIME_TERM_GT;
			return true;
		default:
			*op = REALTIME_TERM_NEQ;	/* the negator of equality */
			return true;
	}
}

/* Whether values of another type can be told apart from, or be, the column's values. */
static bool
is_convertible(Oid from, Oid to)
{
	if (from == to)
		return true;
	switch (to)
	{
		case INT2OID:
		case INT4OID:
			return from == INT2OID || from == INT4OID || from == INT8OID || from == NUMERICOID
				|| from == FLOAT8OID;
		case INT8OID:
			return from == INT2OID || from == INT4OID || from == NUMERICOID;
		case FLOAT4OID:
			return from == FLOAT8OID;
		case FLOAT8OID:
			return from == FLOAT4OID;
		case TEXTOID:
		case VARCHAROID:
		case NAMEOID:
			return from == TEXTOID || from == VARCHAROID || from == NAMEOID;
		default:
			return false;
	}
}

bool
realtime_term_understand(RealtimeComparison *comparison, Oid operator, Oid collation, Node *side,
						 bool is_left, Oid other)
{
	Oid			left;
	Oid			right;
	Oid			mine;
	TypeMeaning meaning;

	comparison->column = realtime_term_column(side);
	if (comparison->column == NULL)
		return false;
	comparison->typmod = comparison->column->vartypmod;
	comparison->base = getBaseTypeAndTypmod(comparison->column->vartype, &comparison->typmod);
	comparison->other = getBaseType(other);
	meaning = meaning_of_type(comparison->base, comparison->typmod);
	op_input_types(operator, &left, &right);
	mine = is_left ? left : right;
	if (mine == ANYENUMOID)
		mine = comparison->base;
	if (meaning == MEANING_NONE || !operator_meaning(operator, mine, &comparison->op)
		|| (mine != comparison->base && !keeps_value(comparison->base, mine)
			&& !(mine == TEXTOID && comparison->base == VARCHAROID))
		|| !is_convertible(comparison->other, comparison->base)
		|| !is_bytewise(mine, collation, comparison->op))
		return false;
	if (!is_left)
		comparison->op = commute(comparison->op);
	return meaning == MEANING_ORDER || comparison->op == REALTIME_TERM_EQ
		|| comparison->op == REALTIME_TERM_NEQ;
}

bool
realtime_type_has_json_cast(Oid typid)
{
	Oid			function;

	return typid >= FirstNormalObjectId && !OidIsValid(get_element_type(typid))
		&& !type_is_rowtype(typid)
		&& find_coercion_pathway(JSONOID, typid, COERCION_EXPLICIT, &function) == COERCION_PATH_FUNC;
}

bool
realtime_term_has_sure_nulls(Oid typid)
{
	Oid			base = getBaseType(typid);

	/* json has a null of its own; IS NULL of a row is about its fields */
	return base != JSONOID && base != JSONBOID && !type_is_rowtype(base)
		&& !realtime_type_has_json_cast(base);
}

/* ---------- conversion ---------- */

/* A whole number out of any number; false when it is none, or too large. */
static bool
to_integer(Oid from, Datum value, int64 *out)
{
	Datum		whole;
	float8		number;

	switch (from)
	{
		case INT2OID:
			*out = DatumGetInt16(value);
			return true;
		case INT4OID:
			*out = DatumGetInt32(value);
			return true;
		case INT8OID:
			*out = DatumGetInt64(value);
			return true;
		case FLOAT8OID:
			number = DatumGetFloat8(value);
			if (!(number >= -9e15 && number <= 9e15) || number != rint(number))
				return false;
			*out = (int64) number;
			return true;
		default:
			if (numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value)))
				return false;
			whole = DirectFunctionCall2(numeric_trunc, value, Int32GetDatum(0));
			if (!DatumGetBool(DirectFunctionCall2(numeric_eq, whole, value))
				|| !DatumGetBool(DirectFunctionCall2(numeric_le, whole,
													 NumericGetDatum(int64_to_numeric(PG_INT64_MAX))))
				|| !DatumGetBool(DirectFunctionCall2(numeric_ge, whole,
													 NumericGetDatum(int64_to_numeric(PG_INT64_MIN)))))
				return false;
			*out = DatumGetInt64(DirectFunctionCall1(numeric_int8, whole));
			return true;
	}
}

/* A number as one of an integer type; false when it is out of its range. */
static bool
convert_integer(Oid from, Datum value, Oid to, Datum *out)
{
	int64		number;

	if (!to_integer(from, value, &number))
		return false;
	switch (to)
	{
		case INT2OID:
			*out = Int16GetDatum((int16) number);
			return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
		case INT4OID:
			*out = Int32GetDatum((int32) number);
			return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
		default:
			*out = Int64GetDatum(number);
			return true;
	}
}

/* A text as a name; false when it is too long for one. */
static bool
convert_name(Oid from, Datum value, Datum *out)
{
	char	   *name = from == NAMEOID ? NameStr(*DatumGetName(value)) : TextDatumGetCString(value);

	if (strlen(name) >= NAMEDATALEN)
		return false;
	*out = DirectFunctionCall1(namein, CStringGetDatum(name));
	return true;
}

/* A char(n) padded as the column's values are; one that is longer than they can be stays. */
static Datum
convert_bpchar(Datum value, int32 typmod)
{
	text	   *t = DatumGetTextPP(value);
	int			len = bpchartruelen(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	text	   *trimmed = cstring_to_text_with_len(VARDATA_ANY(t), len);

	if (pg_mbstrlen_with_len(VARDATA_ANY(t), len) > typmod - (int32) VARHDRSZ)
		return PointerGetDatum(trimmed);
	return DirectFunctionCall3(bpchar, PointerGetDatum(trimmed), Int32GetDatum(typmod),
							   BoolGetDatum(false));
}

/* A numeric with the column's number of decimals, if that is the same number. */
static Datum
convert_numeric(Datum value, int32 typmod)
{
	int			scale = typmod >= (int32) VARHDRSZ ? ((typmod - VARHDRSZ) & 0x7ff) : -1;
	Datum		rounded;

	if (scale < 0 || scale > 1000 || numeric_is_nan(DatumGetNumeric(value))
		|| numeric_is_inf(DatumGetNumeric(value)))
		return value;
	rounded = DirectFunctionCall2(numeric_round, value, Int32GetDatum(scale));
	return DatumGetBool(DirectFunctionCall2(numeric_eq, rounded, value)) ? rounded : value;
}

bool
realtime_term_convert(const RealtimeComparison *comparison, Datum value, Datum *out)
{
	Oid			from = comparison->other;

	*out = value;
	switch (comparison->base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return convert_integer(from, value, comparison->base, out);
		case FLOAT4OID:
			if (from == FLOAT8OID)
			{
				float8		number = DatumGetFloat8(value);

				*out = Float4GetDatum((float4) number);
				return isnan(number) || (float8) (float4) number == number;
			}
			return true;
		case FLOAT8OID:
			if (from == FLOAT4OID)
				*out = Float8GetDatum((float8) DatumGetFloat4(value));
			return true;
		case NUMERICOID:
			*out = convert_numeric(value, comparison->typmod);
			return true;
		case BPCHAROID:
			*out = convert_bpchar(value, comparison->typmod);
			return true;
		case NAMEOID:
			return convert_name(from, value, out);
		case TEXTOID:
		case VARCHAROID:
			if (from == NAMEOID)
				*out = CStringGetTextDatum(NameStr(*DatumGetName(value)));
			return true;
		default:
			return true;
	}
}

/* ---------- writing ---------- */

char *
realtime_term_write(TupleDesc desc, AttrNumber column, RealtimeTermOp op, const Datum *values, int n,
					RealtimeNumeric numeric)
{
	static const char *const names[] = {
		"eq", "neq", "lt", "lte", "gt", "gte", "in", "not.in", "is", "not.is"
	};
	Form_pg_attribute attr = TupleDescAttr(desc, column - 1);
	StringInfoData out;
	RealtimeJsonWriter writer;
	RealtimeJsonType *type = realtime_json_type(attr->atttypid, numeric);
	bool		is_list = op == REALTIME_TERM_IN || op == REALTIME_TERM_NOT_IN;

	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	realtime_json_append_string(&out, NameStr(attr->attname), strlen(NameStr(attr->attname)));
	appendStringInfo(&out, ",\"%s\",", names[op]);
	realtime_json_begin(&writer, &out);
	if (is_list)
		appendStringInfoChar(&out, '[');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(&out, ',');
		realtime_json_append_datum(&writer, type, values[i]);
	}
	if (is_list)
		appendStringInfoChar(&out, ']');
	if (op == REALTIME_TERM_NULL || op == REALTIME_TERM_NOT_NULL)
		appendStringInfoString(&out, "null");
	realtime_json_end(&writer);
	appendStringInfoChar(&out, ']');
	return out.data;
}
