/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_compile.c
 *	  Partial evaluation of a policy: from an expression to a disjunction of conjunctions of terms. See
 *	  policy.h.
 *
 * Model
 * 1. What depends on the reader alone is made constants first (policy_compute.c).
 * 2. A boolean expression is true, false or null for a row. compile() gives the rows for which it is
 *	  one of two of these or one alone (Want), so that NOT, IS NOT TRUE and COALESCE are exact.
 * 3. What terms cannot say becomes "all rows, not exact". Sets are only united and intersected, so a
 *	  set that is not exact is too large, never too small: a necessary condition.
 * 4. Sets are filters: policy_filter.c.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "policy.h"

static const int MaxValues = 100;	/* of an "in" */
static const int MaxSteps = 10000;

/* For which rows: those that make the expression this. */
typedef enum Want
{
	WANT_TRUE,
	WANT_FALSE,
	WANT_NOT_TRUE,				/* false or null */
	WANT_NOT_FALSE				/* true or null */
} Want;

typedef struct CompileState
{
	TupleDesc	desc;
	RealtimeNumeric numeric;
	int			steps;			/* so far: COALESCE and CASE look at their arguments several times */
} CompileState;

static RealtimeFilter compile(CompileState *state, Node *node, Want want);

/* ---------- leaves ---------- */

/* The rows in which a column is null, or is not. */
static RealtimeFilter
set_null(CompileState *state, AttrNumber column, bool is_null)
{
	return realtime_filter_term(realtime_term_write(state->desc, column,
										is_null ? REALTIME_TERM_NULL : REALTIME_TERM_NOT_NULL,
										NULL, 0, state->numeric));
}

/* The operator that holds when another does not, the column not being null. */
static RealtimeTermOp
negate(RealtimeTermOp op)
{
	static const RealtimeTermOp negators[] = {
		REALTIME_TERM_NEQ, REALTIME_TERM_EQ, REALTIME_TERM_GTE, REALTIME_TERM_GT, REALTIME_TERM_LTE,
		REALTIME_TERM_LT, REALTIME_TERM_NOT_IN, REALTIME_TERM_IN
	};

	return negators[op];
}

/*
 * The rows for which a comparison of a column with values is as wanted, given that it is null exactly
 * for nulls in the column. No values: it is false for the others.
 */
static RealtimeFilter
set_comparison(CompileState *state, AttrNumber column, RealtimeTermOp op, const Datum *values,
			   int n, Want want)
{
	RealtimeFilter result;

	if (want == WANT_FALSE || want == WANT_NOT_TRUE)
		op = negate(op);
	if (n > 0)
		result = realtime_filter_term(realtime_term_write(state->desc, column, op, values, n, state->numeric));
	else if (op == REALTIME_TERM_NEQ || op == REALTIME_TERM_NOT_IN)
		result = set_null(state, column, false);
	else
		result = realtime_filter_none();
	if (want == WANT_NOT_TRUE || want == WANT_NOT_FALSE)
		result = realtime_filter_union(result, set_null(state, column, true));
	return result;
}

/* A boolean column. */
static RealtimeFilter
compile_column(CompileState *state, Var *column, Want want)
{
	Datum		value = BoolGetDatum(want == WANT_TRUE || want == WANT_NOT_FALSE);
	RealtimeFilter result;

	if (column->varno != 1 || column->varlevelsup != 0 || column->varattno <= 0
		|| getBaseType(column->vartype) != BOOLOID)
		return realtime_filter_all(false);
	result = realtime_filter_term(realtime_term_write(state->desc, column->varattno, REALTIME_TERM_EQ, &value, 1,
										  state->numeric));
	if (want == WANT_NOT_TRUE || want == WANT_NOT_FALSE)
		result = realtime_filter_union(result, set_null(state, column->varattno, true));
	return result;
}

/* A boolean constant. */
static RealtimeFilter
compile_const(const Const *constant, Want want)
{
	bool		is_true = !constant->constisnull && DatumGetBool(constant->constvalue);
	bool		is_false = !constant->constisnull && !DatumGetBool(constant->constvalue);

	switch (want)
	{
		case WANT_TRUE:
			return realtime_filter_bool(is_true);
		case WANT_FALSE:
			return realtime_filter_bool(is_false);
		case WANT_NOT_TRUE:
			return realtime_filter_bool(!is_true);
		default:
			return realtime_filter_bool(!is_false);
	}
}

/* Whether one of an operator's operands is a column and the other a constant. */
static bool
understand_operands(const OpExpr *expr, RealtimeComparison *comparison, Const **constant)
{
	Node	   *left;
	Node	   *right;

	if (list_length(expr->args) != 2)
		return false;
	left = linitial(expr->args);
	right = lsecond(expr->args);
	if (IsA(right, Const))
	{
		*constant = (Const *) right;
		return realtime_term_understand(comparison, expr->opno, expr->inputcollid, left, true,
										exprType(right));
	}
	if (!IsA(left, Const))
		return false;
	*constant = (Const *) left;
	return realtime_term_understand(comparison, expr->opno, expr->inputcollid, right, false,
									exprType(left));
}

/* column op constant */
static RealtimeFilter
compile_operator(CompileState *state, const OpExpr *expr, Want want)
{
	RealtimeComparison comparison;
	Const	   *constant;
	Datum		value;

	if (!understand_operands(expr, &comparison, &constant))
		return realtime_filter_all(false);
	if (constant->constisnull)
		return realtime_filter_bool(want == WANT_NOT_TRUE || want == WANT_NOT_FALSE);
	if (realtime_term_convert(&comparison, constant->constvalue, &value))
		return set_comparison(state, comparison.column->varattno, comparison.op, &value, 1, want);
	if (comparison.op == REALTIME_TERM_EQ || comparison.op == REALTIME_TERM_NEQ)
		return set_comparison(state, comparison.column->varattno, comparison.op, NULL, 0, want);
	return realtime_filter_all(false);
}

/* column IS DISTINCT FROM constant: never null. */
static RealtimeFilter
compile_distinct(CompileState *state, const DistinctExpr *expr, Want want)
{
	RealtimeComparison comparison;
	Const	   *constant;
	Datum		value;
	bool		is_distinct = want == WANT_TRUE || want == WANT_NOT_FALSE;
	AttrNumber	column;

	if (!understand_operands(expr, &comparison, &constant) || comparison.op != REALTIME_TERM_EQ)
		return realtime_filter_all(false);
	column = comparison.column->varattno;
	if (constant->constisnull)
		return set_null(state, column, !is_distinct);
	if (!realtime_term_convert(&comparison, constant->constvalue, &value))
		return realtime_filter_bool(is_distinct);
	return set_comparison(state, column, REALTIME_TERM_EQ, &value, 1,
						  is_distinct ? WANT_NOT_TRUE : WANT_TRUE);
}

/* The elements of a constant array in the column's type: those that can be. False: too many. */
static bool
convert_elements(const RealtimeComparison *comparison, const Const *constant, Datum **values, int *n,
				 bool *has_nulls, bool *is_empty)
{
	ArrayType  *array = DatumGetArrayTypeP(constant->constvalue);
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign, &elements, &nulls,
					  &nelements);
	*values = palloc(sizeof(Datum) * Max(nelements, 1));
	*n = 0;
	*has_nulls = false;
	*is_empty = nelements == 0;
	for (int i = 0; i < nelements; i++)
	{
		if (nulls[i])
			*has_nulls = true;
		else if (realtime_term_convert(comparison, elements[i], &(*values)[*n]))
			(*n)++;
	}
	return *n <= MaxValues;
}

/* column = ANY (array), column <> ALL (array) */
static RealtimeFilter
compile_any(CompileState *state, const ScalarArrayOpExpr *expr, Want want)
{
	Const	   *constant = lsecond(expr->args);
	RealtimeComparison comparison;
	RealtimeTermOp op;
	Datum	   *values;
	int			n;
	bool		has_nulls;
	bool		is_empty;

	if (!IsA(constant, Const)
		|| !realtime_term_understand(&comparison, expr->opno, expr->inputcollid,
									 linitial(expr->args), true,
									 get_base_element_type(constant->consttype))
		|| comparison.op != (expr->useOr ? REALTIME_TERM_EQ : REALTIME_TERM_NEQ))
		return realtime_filter_all(false);
	if (constant->constisnull)
		return realtime_filter_bool(want == WANT_NOT_TRUE || want == WANT_NOT_FALSE);
	if (!convert_elements(&comparison, constant, &values, &n, &has_nulls, &is_empty))
		return realtime_filter_all(false);
	if (is_empty)
		return compile_const((Const *) makeBoolConst(!expr->useOr, false), want);
	if (has_nulls)
	{
		/* never false (ANY) or never true (ALL): a null element leaves it open */
		if (want == (expr->useOr ? WANT_FALSE : WANT_TRUE))
			return realtime_filter_none();
		if (want == (expr->useOr ? WANT_NOT_FALSE : WANT_NOT_TRUE))
			return realtime_filter_all(true);
	}
	if (n == 1)
		op = expr->useOr ? REALTIME_TERM_EQ : REALTIME_TERM_NEQ;
	else
		op = expr->useOr ? REALTIME_TERM_IN : REALTIME_TERM_NOT_IN;
	return set_comparison(state, comparison.column->varattno, op, values, n, want);
}

/* ---------- boolean structure ---------- */

/* AND and OR: of the rows for which each argument is as wanted, those of all or of any. */
static RealtimeFilter
compile_and_or(CompileState *state, const BoolExpr *expr, Want want)
{
	bool		is_and = expr->boolop == AND_EXPR;
	bool		is_every = is_and == (want == WANT_TRUE || want == WANT_NOT_FALSE);
	RealtimeFilter result = is_every ? realtime_filter_all(true) : realtime_filter_none();
	ListCell   *cell;

	foreach(cell, expr->args)
	{
		RealtimeFilter part = compile(state, lfirst(cell), want);

		result = is_every ? realtime_filter_intersection(result, part) : realtime_filter_union(result, part);
	}
	return result;
}

/* What NOT makes of what is wanted. */
static Want
want_of_negated(Want want)
{
	switch (want)
	{
		case WANT_TRUE:
			return WANT_FALSE;
		case WANT_FALSE:
			return WANT_TRUE;
		case WANT_NOT_TRUE:
			return WANT_NOT_FALSE;
		default:
			return WANT_NOT_TRUE;
	}
}

/* The rows for which an expression is null, or is not. */
static RealtimeFilter
compile_unknown(CompileState *state, Node *node, bool is_unknown)
{
	if (is_unknown)
		return realtime_filter_intersection(compile(state, node, WANT_NOT_TRUE),
								compile(state, node, WANT_NOT_FALSE));
	return realtime_filter_union(compile(state, node, WANT_TRUE), compile(state, node, WANT_FALSE));
}

/* IS [NOT] TRUE, FALSE, UNKNOWN: never null. */
static RealtimeFilter
compile_boolean_test(CompileState *state, const BooleanTest *test, Want want)
{
	bool		holds = want == WANT_TRUE || want == WANT_NOT_FALSE;
	Node	   *arg = (Node *) test->arg;

	switch (test->booltesttype)
	{
		case IS_TRUE:
			return compile(state, arg, holds ? WANT_TRUE : WANT_NOT_TRUE);
		case IS_NOT_TRUE:
			return compile(state, arg, holds ? WANT_NOT_TRUE : WANT_TRUE);
		case IS_FALSE:
			return compile(state, arg, holds ? WANT_FALSE : WANT_NOT_FALSE);
		case IS_NOT_FALSE:
			return compile(state, arg, holds ? WANT_NOT_FALSE : WANT_FALSE);
		case IS_UNKNOWN:
			return compile_unknown(state, arg, holds);
		default:
			return compile_unknown(state, arg, !holds);
	}
}

/* IS [NOT] NULL: never null. */
static RealtimeFilter
compile_null_test(CompileState *state, const NullTest *test, Want want)
{
	bool		holds = want == WANT_TRUE || want == WANT_NOT_FALSE;
	bool		is_null = holds == (test->nulltesttype == IS_NULL);
	Var		   *column = realtime_term_column((Node *) test->arg);

	if (test->argisrow)
		return realtime_filter_all(false);
	if (column && realtime_term_has_sure_nulls(column->vartype))
		return set_null(state, column->varattno, is_null);
	if (column == NULL && exprType((Node *) test->arg) == BOOLOID)
		return compile_unknown(state, (Node *) test->arg, is_null);
	return realtime_filter_all(false);
}

/* COALESCE of booleans: the first argument decides, the others where it is null. */
static RealtimeFilter
compile_coalesce(CompileState *state, List *args, int first, Want want)
{
	Node	   *arg;
	Want		decided = want;

	if (first >= list_length(args))
		return realtime_filter_bool(want == WANT_NOT_TRUE || want == WANT_NOT_FALSE);
	arg = list_nth(args, first);
	if (want == WANT_NOT_TRUE)
		decided = WANT_FALSE;
	else if (want == WANT_NOT_FALSE)
		decided = WANT_TRUE;
	return realtime_filter_union(compile(state, arg, decided),
					 realtime_filter_intersection(compile_unknown(state, arg, true),
									  compile_coalesce(state, args, first + 1, want)));
}

/* CASE WHEN: each result where its condition is true and those before are not. */
static RealtimeFilter
compile_case(CompileState *state, const CaseExpr *expr, Want want)
{
	RealtimeFilter result = realtime_filter_none();
	RealtimeFilter rest = realtime_filter_all(true);
	ListCell   *cell;

	if (expr->arg != NULL)
		return realtime_filter_all(false);
	foreach(cell, expr->args)
	{
		CaseWhen   *when = lfirst_node(CaseWhen, cell);

		result = realtime_filter_union(result,
						   realtime_filter_intersection(rest,
											realtime_filter_intersection(compile(state, (Node *) when->expr, WANT_TRUE),
															 compile(state, (Node *) when->result, want))));
		rest = realtime_filter_intersection(rest, compile(state, (Node *) when->expr, WANT_NOT_TRUE));
	}
	if (expr->defresult == NULL)
		return realtime_filter_union(result,
						 realtime_filter_intersection(rest, realtime_filter_bool(want == WANT_NOT_TRUE
														 || want == WANT_NOT_FALSE)));
	return realtime_filter_union(result, realtime_filter_intersection(rest, compile(state, (Node *) expr->defresult, want)));
}

/* The rows for which a boolean expression is as wanted. */
static RealtimeFilter
compile(CompileState *state, Node *node, Want want)
{
	check_stack_depth();
	if (++state->steps > MaxSteps)
		return realtime_filter_all(false);
	switch (nodeTag(node))
	{
		case T_Const:
			return compile_const((Const *) node, want);
		case T_Var:
			return compile_column(state, (Var *) node, want);
		case T_RelabelType:
			/* a domain over boolean */
			return compile(state, (Node *) ((RelabelType *) node)->arg, want);
		case T_OpExpr:
			return compile_operator(state, (OpExpr *) node, want);
		case T_DistinctExpr:
			return compile_distinct(state, (DistinctExpr *) node, want);
		case T_ScalarArrayOpExpr:
			return compile_any(state, (ScalarArrayOpExpr *) node, want);
		case T_NullTest:
			return compile_null_test(state, (NullTest *) node, want);
		case T_BooleanTest:
			return compile_boolean_test(state, (BooleanTest *) node, want);
		case T_CoalesceExpr:
			return compile_coalesce(state, ((CoalesceExpr *) node)->args, 0, want);
		case T_CaseExpr:
			return compile_case(state, (CaseExpr *) node, want);
		case T_BoolExpr:
			if (((BoolExpr *) node)->boolop == NOT_EXPR)
				return compile(state, linitial(((BoolExpr *) node)->args), want_of_negated(want));
			return compile_and_or(state, (BoolExpr *) node, want);
		default:
			return realtime_filter_all(false);
	}
}

RealtimeFilter
realtime_policy_compile(RealtimeInspector *inspector, TupleDesc desc, Node *qual,
						RealtimeNumeric numeric)
{
	CompileState state = {desc, numeric, 0};

	/* before: SQL functions become expressions; after: constants decide ANDs and ORs */
	qual = eval_const_expressions(NULL, qual);
	qual = realtime_policy_fold(inspector, qual);
	qual = eval_const_expressions(NULL, qual);
	return compile(&state, qual, WANT_TRUE);
}
