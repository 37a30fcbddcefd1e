/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_quals.c
 *	  Which policies apply to a role that selects from a relation, as PostgreSQL's rewriter finds them,
 *	  and their expression. See policy.h.
 *
 * The relation is the one whose events they are: for partitions and inheritance children that is the
 * root, whose policies alone count for a query on it.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "compat.h"
#include "policy.h"

/* Whether a policy is for a role: for PUBLIC, or for a role whose privileges it has. */
static bool
is_for_role(const RowSecurityPolicy *policy, Oid role)
{
	const Oid  *roles = (const Oid *) ARR_DATA_PTR(policy->roles);

	if (roles[0] == ACL_ID_PUBLIC)
		return true;
	for (int i = 0; i < ARR_DIMS(policy->roles)[0]; i++)
		if (has_privs_of_role(role, roles[i]))
			return true;
	return false;
}

/*
 * Adds those policies of a list that apply to a role's SELECT. One without USING says nothing about
 * which rows are seen.
 */
static void
add_policies(List *policies, Oid role, List **permissive, List **restrictive)
{
	ListCell   *cell;

	foreach(cell, policies)
	{
		RowSecurityPolicy *policy = lfirst(cell);

		if ((policy->polcmd != '*' && policy->polcmd != ACL_SELECT_CHR) || policy->qual == NULL
			|| !is_for_role(policy, role))
			continue;
		if (policy->permissive)
			*permissive = lappend(*permissive, policy);
		else
			*restrictive = lappend(*restrictive, policy);
	}
}

/* The policies that apply, borrowed from the relation, extensions' own included. */
static void
find_policies(Relation relation, Oid role, List **permissive, List **restrictive)
{
	*permissive = NIL;
	*restrictive = NIL;
	if (relation->rd_rsdesc)
		add_policies(relation->rd_rsdesc->policies, role, permissive, restrictive);
	if (row_security_policy_hook_restrictive)
		add_policies(row_security_policy_hook_restrictive(CMD_SELECT, relation), role, permissive,
					 restrictive);
	if (row_security_policy_hook_permissive)
		add_policies(row_security_policy_hook_permissive(CMD_SELECT, relation), role, permissive,
					 restrictive);
}

RealtimeRls
realtime_policy_find(Relation relation, Oid role, char **names)
{
	StringInfoData text;
	List	   *permissive;
	List	   *restrictive;
	ListCell   *cell;

	*names = "";
	if (check_enable_rls(RelationGetRelid(relation), role, true) != RLS_ENABLED)
		return REALTIME_RLS_ALL;
	find_policies(relation, role, &permissive, &restrictive);
	if (permissive == NIL)
		return REALTIME_RLS_NONE;
	initStringInfo(&text);
	foreach(cell, list_concat_copy(permissive, restrictive))
		appendStringInfo(&text, "%s;", quote_identifier(((RowSecurityPolicy *) lfirst(cell))->policy_name));
	*names = text.data;
	return REALTIME_RLS_SOME;
}

/* ---------- the expression ---------- */

/* What fix_expression() knows. */
typedef struct FixState
{
	Relation	relation;
	int			depth;			/* of queries around */
} FixState;

/* The constant that a system column is in all images; an error when it is none. */
static Node *
fix_system_column(Relation relation, const Var *var)
{
	if (var->varattno == TableOidAttributeNumber
		&& relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE
		&& find_inheritance_children(RelationGetRelid(relation), NoLock) == NIL)
		return (Node *) makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
								  ObjectIdGetDatum(RelationGetRelid(relation)), false, true);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a policy of %s reads a system column", RelationGetRelationName(relation)),
			 errdetail("Events do not have system columns.")));
	return NULL;
}

/*
 * Makes an expression fit for images. System columns become constants; current_setting() of a single
 * claim never gives '': that is what PostgreSQL gives for a missing claim when the session has had it
 * before, and null when it has not.
 */
static Node *
fix_expression(Node *node, FixState *state)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup == state->depth && var->varno == 1 && var->varattno < 0)
			return fix_system_column(state->relation, var);
		return (Node *) copyObject(var);
	}
	if (IsA(node, Query))
	{
		Query	   *query;

		state->depth++;
		query = query_tree_mutator((Query *) node, fix_expression, state, 0);
		state->depth--;
		return (Node *) query;
	}
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT_BOOL)
	{
		FuncExpr   *call = (FuncExpr *) node;
		Const	   *name = linitial(call->args);

		if (IsA(name, Const) && !name->constisnull
			&& pg_strncasecmp(TextDatumGetCString(name->constvalue), POLICY_CLAIM_PREFIX,
							  strlen(POLICY_CLAIM_PREFIX)) == 0)
		{
			NullIfExpr *expr = makeNode(NullIfExpr);

			expr->opno = TextEqualOperator;
			expr->opfuncid = F_TEXTEQ;
			expr->opresulttype = TEXTOID;
			expr->opcollid = call->funccollid;
			expr->inputcollid = call->funccollid;
			expr->args = list_make2(copyObject(call),
									makeConst(TEXTOID, -1, call->funccollid, -1,
											  CStringGetTextDatum(""), false, false));
			expr->location = -1;
			return (Node *) expr;
		}
	}
	return expression_tree_mutator(node, fix_expression, state);
}

Node *
realtime_policy_qual(Relation relation, Oid role)
{
	FixState	state = {relation, 0};
	List	   *permissive;
	List	   *restrictive;
	List	   *any = NIL;
	List	   *all = NIL;
	ListCell   *cell;
	Node	   *qual;

	find_policies(relation, role, &permissive, &restrictive);
	foreach(cell, restrictive)
		all = lappend(all, ((RowSecurityPolicy *) lfirst(cell))->qual);
	foreach(cell, permissive)
		any = lappend(any, ((RowSecurityPolicy *) lfirst(cell))->qual);
	if (any == NIL)
		return makeBoolConst(false, false);
	all = lappend(all, list_length(any) == 1 ? linitial(any) : makeBoolExpr(OR_EXPR, any, -1));
	qual = list_length(all) == 1 ? linitial(all) : (Node *) makeBoolExpr(AND_EXPR, all, -1);
	return fix_expression(compat_expand_generated(qual, relation), &state);
}

/* ---------- columns ---------- */

/* What collect_columns() knows. */
typedef struct ColumnsState
{
	int			depth;			/* of queries around */
	Bitmapset  *columns;
	bool		is_whole_row;
} ColumnsState;

/* Walks over an expression and the queries in it for Vars of the relation. */
static bool
collect_columns(Node *node, ColumnsState *state)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup == state->depth && var->varno == 1)
		{
			if (var->varattno > 0)
				state->columns = bms_add_member(state->columns, var->varattno);
			else
				state->is_whole_row = true;
		}
		return false;
	}
	if (IsA(node, Query))
	{
		bool		result;

		state->depth++;
		result = query_tree_walker((Query *) node, collect_columns, state, 0);
		state->depth--;
		return result;
	}
	return expression_tree_walker(node, collect_columns, state);
}

Bitmapset *
realtime_policy_columns(Node *qual, TupleDesc desc)
{
	ColumnsState state = {0};

	(void) collect_columns(qual, &state);
	if (state.is_whole_row)
		for (int i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped)
				state.columns = bms_add_member(state.columns, i + 1);
	return state.columns;
}
