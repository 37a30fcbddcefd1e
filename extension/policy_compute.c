/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_compute.c
 *	  Computes the parts of a policy that read no row: what of them depends on the reader alone becomes
 *	  constants. See policy.h.
 *
 * A part is computed by the executor, as the current user, when it reads no column, no table, and
 * nothing that may change while the reader stays the same. Sub-selects may be in it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "tcop/tcopprot.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "policy.h"

/* The value of an expression that reads no row, as a constant. */
static Const *
compute(Node *expr)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			typid = exprType(expr);
	int32		typmod = exprTypmod(expr);
	Oid			collation = exprCollation(expr);
	Query	   *query = makeNode(Query);
	QueryDesc  *desc;
	TupleTableSlot *slot;
	int16		typlen;
	bool		typbyval;
	Datum		value;
	bool		isnull;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *) copyObject(expr), 1, "value", false));
	query->hasSubLinks = checkExprHasSubLink(expr);
	desc = CreateQueryDesc(pg_plan_query(query, "", 0, NULL), "", GetActiveSnapshot(),
						   InvalidSnapshot, None_Receiver, NULL, NULL, 0);
	(void) ExecutorStart(desc, 0);
	slot = ExecProcNode(desc->planstate);
	if (TupIsNull(slot))
		elog(ERROR, "realtime: an expression has no value");
	value = slot_getattr(slot, 1, &isnull);
	get_typlenbyval(typid, &typlen, &typbyval);
	MemoryContextSwitchTo(caller);
	if (!isnull)
		value = datumCopy(typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM(value)) : value,
						  typbyval, typlen);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	return makeConst(typid, typmod, collation, typlen, isnull ? (Datum) 0 : value, isnull, typbyval);
}

/* Whether an expression has a value of its own that may be computed now. */
static bool
is_computable(RealtimeInspector *inspector, Node *node)
{
	RealtimeTraits traits = {0};

	if (get_typtype(exprType(node)) == TYPTYPE_PSEUDO || contain_vars_of_level(node, 0))
		return false;
	realtime_inspect(inspector, node, &traits);
	return traits.reads == NIL && traits.opaque == NIL && !traits.is_time && !traits.is_volatile;
}

/*
 * x IN (SELECT ...) as x = ANY (array), when the sub-select can be computed; NULL when not. The array
 * has the sub-select's rows, so both are true, false and null alike.
 */
static Node *
fold_in(RealtimeInspector *inspector, SubLink *sublink)
{
	OpExpr	   *test = (OpExpr *) sublink->testexpr;
	ScalarArrayOpExpr *any;
	SubLink    *array;
	Node	   *param;
	Query	   *query = (Query *) sublink->subselect;

	if (sublink->subLinkType != ANY_SUBLINK || !IsA(test, OpExpr) || list_length(test->args) != 2)
		return NULL;
	param = lsecond(test->args);
	while (IsA(param, RelabelType))
		param = (Node *) ((RelabelType *) param)->arg;
	if (!IsA(param, Param) || contain_vars_of_level(linitial(test->args), 0) == false
		|| !OidIsValid(get_array_type(exprType(param))))
		return NULL;
	array = makeNode(SubLink);
	array->subLinkType = ARRAY_SUBLINK;
	array->subselect = (Node *) query;
	array->location = -1;
	if (!is_computable(inspector, (Node *) array))
		return NULL;
	set_opfuncid(test);
	any = makeNode(ScalarArrayOpExpr);
	any->opno = test->opno;
	any->opfuncid = test->opfuncid;
	any->useOr = true;
	any->inputcollid = test->inputcollid;
	any->args = list_make2(realtime_policy_fold(inspector, linitial(test->args)),
						   compute((Node *) array));
	any->location = -1;
	return (Node *) any;
}

/* Whether the parts of a node are values of their own, so that they can be replaced one by one. */
static bool
has_own_parts(Node *node)
{
	switch (nodeTag(node))
	{
		case T_BoolExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_FuncExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_NullTest:
		case T_BooleanTest:
		case T_CoalesceExpr:
		case T_CaseWhen:
		case T_ArrayExpr:
		case T_MinMaxExpr:
		case T_List:
			return true;
		case T_CaseExpr:
			return ((CaseExpr *) node)->arg == NULL;	/* else it is in a CaseTestExpr */
		default:
			return false;
	}
}

/* expression_tree_mutator()'s callback. */
static Node *
fold_mutator(Node *node, void *inspector)
{
	return realtime_policy_fold(inspector, node);
}

Node *
realtime_policy_fold(RealtimeInspector *inspector, Node *node)
{
	Node	   *folded;

	if (node == NULL || IsA(node, Const) || IsA(node, Var))
		return node;
	check_stack_depth();
	if (!IsA(node, List) && !IsA(node, CaseWhen) && is_computable(inspector, node))
		return (Node *) compute(node);
	if (IsA(node, SubLink) && (folded = fold_in(inspector, (SubLink *) node)) != NULL)
		return folded;
	if (!has_own_parts(node))
		return node;
	return expression_tree_mutator(node, fold_mutator, inspector);
}
