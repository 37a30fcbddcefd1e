/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_inspect.c
 *	  What an expression depends on besides its row: relations, claims, the time. See policy.h.
 *
 * Knows parse trees. When in doubt, more is said than is true: a function that cannot be looked into
 * reads any claim, and is named. The bodies of SQL functions are looked into as they would be run: with
 * their settings, and those of SECURITY DEFINER as their owner.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/functions.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "compat.h"
#include "policy.h"

/* What is known of one function. */
typedef struct FunctionTraits
{
	Oid			oid;
	bool		is_done;		/* else it is being looked into */
	RealtimeTraits traits;
} FunctionTraits;

struct RealtimeInspector
{
	MemoryContext context;
	List	   *functions;		/* of FunctionTraits */
};

/* What the walker knows. */
typedef struct InspectState
{
	RealtimeInspector *inspector;
	RealtimeTraits *traits;
} InspectState;

RealtimeInspector *
realtime_inspector_new(void)
{
	RealtimeInspector *inspector = palloc0(sizeof(RealtimeInspector));

	inspector->context = CurrentMemoryContext;
	return inspector;
}

/* ---------- traits ---------- */

/* Adds a name to a list of names unless it is there. */
static List *
add_name(List *names, const char *name)
{
	ListCell   *cell;

	foreach(cell, names)
		if (strcmp(lfirst(cell), name) == 0)
			return names;
	return lappend(names, pstrdup(name));
}

/* Adds what a part has to what the whole has. */
static void
add_traits(RealtimeTraits *whole, const RealtimeTraits *part)
{
	ListCell   *cell;

	whole->reads = list_concat_unique_oid(whole->reads, part->reads);
	whole->opaque = list_concat_unique_oid(whole->opaque, part->opaque);
	foreach(cell, part->claims)
		whole->claims = add_name(whole->claims, lfirst(cell));
	foreach(cell, part->settings)
		whole->settings = add_name(whole->settings, lfirst(cell));
	whole->is_all_claims |= part->is_all_claims;
	whole->is_all_settings |= part->is_all_settings;
	whole->is_frozen |= part->is_frozen;
	whole->is_time |= part->is_time;
	whole->is_volatile |= part->is_volatile;
}

/* Marks a function as one that cannot be looked into. */
static void
add_opaque(RealtimeTraits *traits, Oid function)
{
	traits->opaque = list_append_unique_oid(traits->opaque, function);
	traits->is_all_claims = true;
	traits->is_all_settings = true;
}

/* ---------- functions ---------- */

/* The parse trees of a SQL function's body, rewritten, as the current user. */
static List *
parse_body(HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	SQLFunctionParseInfoPtr pinfo = prepare_sql_fn_parse_info(tuple, NULL, InvalidOid);
	List	   *queries = NIL;
	Datum		body;
	bool		isnull;
	ListCell   *cell;

	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &isnull);
	if (!isnull)
	{
		Node	   *node = stringToNode(TextDatumGetCString(body));
		List	   *parsed = IsA(node, List) ? linitial_node(List, castNode(List, node))
			: list_make1(node);

		foreach(cell, parsed)
		{
			Query	   *query = lfirst_node(Query, cell);

			AcquireRewriteLocks(query, true, false);
			queries = list_concat(queries, pg_rewrite_query(query));
		}
		return queries;
	}
	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	if (isnull)
		elog(ERROR, "realtime: function %u has no body", form->oid);
	foreach(cell, pg_parse_query(TextDatumGetCString(body)))
		queries = list_concat(queries,
							  compat_analyze_and_rewrite(lfirst_node(RawStmt, cell),
														 TextDatumGetCString(body),
														 (ParserSetupHook) sql_fn_parser_setup,
														 pinfo));
	return queries;
}

/* Looks into the body of a SQL function, with its settings and as whom it runs. */
static void
inspect_body(RealtimeInspector *inspector, HeapTuple tuple, RealtimeTraits *traits)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	int			guc_level = NewGUCNestLevel();
	Oid			user;
	int			sec_context;
	Datum		config;
	bool		isnull;
	ListCell   *cell;

	GetUserIdAndSecContext(&user, &sec_context);
	if (form->prosecdef)
		SetUserIdAndSecContext(form->proowner, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	config = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proconfig, &isnull);
	if (!isnull)
		ProcessGUCArray(DatumGetArrayTypeP(config), superuser() ? PGC_SUSET : PGC_USERSET,
						PGC_S_SESSION, GUC_ACTION_SAVE);
	foreach(cell, parse_body(tuple))
		realtime_inspect(inspector, lfirst(cell), traits);
	SetUserIdAndSecContext(user, sec_context);
	AtEOXact_GUC(true, guc_level);
}

/*
 * Looks into the body of a SQL function. A body that is not valid now is opaque: whether it is ever
 * run is not known here.
 */
static void
inspect_sql_function(RealtimeInspector *inspector, HeapTuple tuple, RealtimeTraits *traits)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		inspect_body(inspector, tuple, traits);
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
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		FreeErrorData(error);
		add_opaque(traits, ((Form_pg_proc) GETSTRUCT(tuple))->oid);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/* Whether a function of PostgreSQL's own gives the time; stable ones must not be computed once. */
static bool
is_time_function(Oid function)
{
	switch (function)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_STATEMENT_TIMESTAMP:
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
		case F_DATE_IN:			/* 'today' */
		case F_TIME_IN:
		case F_TIMETZ_IN:
		case F_TIMESTAMP_IN:
		case F_TIMESTAMPTZ_IN:
			return true;
		default:
			return false;
	}
}

/* Whether a stable function of PostgreSQL's own gives what differs between transactions or sessions. */
static bool
is_state_function(Oid function)
{
	char	   *name;

	switch (function)
	{
		case F_TXID_CURRENT:
		case F_TXID_CURRENT_IF_ASSIGNED:
		case F_TXID_CURRENT_SNAPSHOT:
		case F_PG_CURRENT_XACT_ID:
		case F_PG_CURRENT_XACT_ID_IF_ASSIGNED:
		case F_PG_CURRENT_SNAPSHOT:
			return true;
		default:
			break;
	}
	/* statistics; tables as XML; who is connected from where */
	name = get_func_name(function);
	return name != NULL && (strncmp(name, "pg_stat", 7) == 0 || strstr(name, "_to_xml") != NULL
							|| strncmp(name, "inet_client", 11) == 0
							|| strncmp(name, "pg_backend", 10) == 0);
}

/*
 * Finds out what a function of somebody else depends on. IMMUTABLE is believed of C functions only: that
 * a function which tells the user is labelled so goes unnoticed where each query is planned anew.
 */
static void
inspect_foreign_function(RealtimeInspector *inspector, Oid function, char volatility,
						 RealtimeTraits *traits)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			language;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	if (volatility == PROVOLATILE_VOLATILE)
		traits->is_volatile = true;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	if (language == SQLlanguageId)
		inspect_sql_function(inspector, tuple, traits);
	else if (volatility != PROVOLATILE_IMMUTABLE
			 || (language != ClanguageId && language != INTERNALlanguageId))
		add_opaque(traits, function);
	if (volatility == PROVOLATILE_IMMUTABLE)
		traits->is_frozen = traits->is_all_claims || traits->claims != NIL || traits->reads != NIL
			|| traits->is_time || traits->is_volatile;
	ReleaseSysCache(tuple);
}

/* What a function depends on, looked into once. */
static const RealtimeTraits *
function_traits(RealtimeInspector *inspector, Oid function, char volatility)
{
	MemoryContext old = MemoryContextSwitchTo(inspector->context);
	FunctionTraits *entry;
	ListCell   *cell;

	check_stack_depth();
	foreach(cell, inspector->functions)
	{
		entry = lfirst(cell);
		if (entry->oid != function)
			continue;
		if (!entry->is_done)
			add_opaque(&entry->traits, function);	/* it calls itself */
		MemoryContextSwitchTo(old);
		return &entry->traits;
	}
	entry = palloc0(sizeof(FunctionTraits));
	entry->oid = function;
	inspector->functions = lappend(inspector->functions, entry);
	inspect_foreign_function(inspector, function, volatility, &entry->traits);
	entry->is_done = true;
	MemoryContextSwitchTo(old);
	return &entry->traits;
}

/* Callback of check_functions_in_node(): adds what a called function depends on. */
static bool
inspect_function(Oid function, void *arg)
{
	InspectState *state = arg;
	char		volatility = func_volatile(function);

	if (function >= FirstNormalObjectId)
		add_traits(state->traits, function_traits(state->inspector, function, volatility));
	else if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	else if (volatility == PROVOLATILE_VOLATILE || is_state_function(function))
	{
		state->traits->is_volatile = true;
		state->traits->is_all_claims = true;	/* query_to_xml() runs anything */
		state->traits->is_all_settings = true;
	}
	else if (is_time_function(function))
		state->traits->is_time = true;
	return false;
}

/* ---------- claims ---------- */

/* The text of a non-null constant, or NULL. */
static char *
const_text(Node *node)
{
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != TEXTOID)
		return NULL;
	return TextDatumGetCString(constant->constvalue);
}

/* The name of the setting that an expression reads, or NULL when it is no current_setting(). */
static char *
setting_name(Node *node)
{
	FuncExpr   *call = (FuncExpr *) node;

	if (!IsA(node, FuncExpr) || (call->funcid != F_CURRENT_SETTING_TEXT
								 && call->funcid != F_CURRENT_SETTING_TEXT_BOOL))
		return NULL;
	return const_text(linitial(call->args));
}

/* Whether an expression is all the claims and nothing else, perhaps under casts, NULLIF or COALESCE. */
static bool
is_claims(Node *node)
{
	char	   *name = setting_name(node);

	check_stack_depth();
	if (name)
		return pg_strcasecmp(name, POLICY_CLAIMS_SETTING) == 0;
	if (IsA(node, RelabelType))
		return is_claims((Node *) ((RelabelType *) node)->arg);
	if (IsA(node, CoerceViaIO))
		return is_claims((Node *) ((CoerceViaIO *) node)->arg);
	if (IsA(node, NullIfExpr))
		return is_claims(linitial(((NullIfExpr *) node)->args))
			&& IsA(lsecond(((NullIfExpr *) node)->args), Const);
	if (IsA(node, CoalesceExpr))
	{
		ListCell   *cell;
		bool		result = false;

		foreach(cell, ((CoalesceExpr *) node)->args)
		{
			if (is_claims(lfirst(cell)))
				result = true;
			else if (!IsA(lfirst(cell), Const))
				return false;
		}
		return result;
	}
	return false;
}

/* The first element of a constant array of texts, or NULL. */
static char *
first_of_path(Node *node)
{
	Const	   *constant = (Const *) node;
	ArrayType  *array;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != TEXTARRAYOID)
		return NULL;
	array = DatumGetArrayTypeP(constant->constvalue);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	return n > 0 && !nulls[0] ? TextDatumGetCString(values[0]) : NULL;
}

/* The claim that an expression takes out of all the claims by ->, ->>, #> or #>>; NULL: it does not. */
static char *
claim_name(Node *node)
{
	Oid			function;
	List	   *args;

	if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		function = ((OpExpr *) node)->opfuncid;
		args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	else
		return NULL;
	switch (function)
	{
		case F_JSON_OBJECT_FIELD:
		case F_JSON_OBJECT_FIELD_TEXT:
		case F_JSONB_OBJECT_FIELD:
		case F_JSONB_OBJECT_FIELD_TEXT:
			return is_claims(linitial(args)) ? const_text(lsecond(args)) : NULL;
		case F_JSON_EXTRACT_PATH:
		case F_JSON_EXTRACT_PATH_TEXT:
		case F_JSONB_EXTRACT_PATH:
		case F_JSONB_EXTRACT_PATH_TEXT:
			return is_claims(linitial(args)) ? first_of_path(lsecond(args)) : NULL;
		default:
			return NULL;
	}
}

/* Notes which claims a setting tells; NULL: any setting. */
static void
add_setting(RealtimeTraits *traits, const char *name)
{
	if (name == NULL)
		traits->is_all_claims = traits->is_all_settings = true;
	else if (pg_strcasecmp(name, POLICY_CLAIMS_SETTING) == 0)
		traits->is_all_claims = true;
	else if (pg_strncasecmp(name, POLICY_CLAIM_PREFIX, strlen(POLICY_CLAIM_PREFIX)) == 0)
	{
		traits->claims = add_name(traits->claims, name + strlen(POLICY_CLAIM_PREFIX));
		traits->settings = add_name(traits->settings, name + strlen(POLICY_CLAIM_PREFIX));
	}
}

/* ---------- the walker ---------- */

/* Whether a type's text form may mean the time: 'now', 'today'. */
static bool
has_time_words(Oid typid)
{
	Oid			base = getBaseType(typid);
	Oid			element = get_element_type(base);
	char		category;
	bool		is_preferred;

	if (OidIsValid(element))
		return has_time_words(element);
	if (type_is_rowtype(base) || type_is_range(base) || type_is_multirange(base))
		return true;			/* may have such values inside */
	get_type_category_preferred(base, &category, &is_preferred);
	return category == TYPCATEGORY_DATETIME;
}

/* Walks over a parse tree and adds what it depends on. */
static bool
inspect_walker(Node *node, InspectState *state)
{
	char	   *name;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW)
			state->traits->reads = list_append_unique_oid(state->traits->reads, rte->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, inspect_walker, state, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, SQLValueFunction))
		state->traits->is_time |= ((SQLValueFunction *) node)->op <= SVFOP_LOCALTIMESTAMP_N;
	else if (IsA(node, NextValueExpr))
		state->traits->is_volatile = true;
	else if (IsA(node, CoerceViaIO))
		state->traits->is_time |= has_time_words(((CoerceViaIO *) node)->resulttype);
	else if ((name = claim_name(node)) != NULL)
	{
		state->traits->claims = add_name(state->traits->claims, name);
		return false;
	}
	else if (IsA(node, FuncExpr)
			 && (((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT
				 || ((FuncExpr *) node)->funcid == F_CURRENT_SETTING_TEXT_BOOL))
		add_setting(state->traits, setting_name(node));
	if (check_functions_in_node(node, inspect_function, state))
		return true;
	return expression_tree_walker(node, inspect_walker, state);
}

void
realtime_inspect(RealtimeInspector *inspector, Node *node, RealtimeTraits *traits)
{
	InspectState state = {inspector, traits};

	(void) inspect_walker(node, &state);
}
