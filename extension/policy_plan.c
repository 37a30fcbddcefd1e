/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_plan.c
 *	  The policies of a relation as a plan over rows that are in no table. See policy.h.
 *
 * Model
 * 1. The plan is that of "SELECT policy FROM images": images is a tuplestore with the relation's row
 *	  type, as the transition tables of triggers are; policy is not looked up but put in by a hook of
 *	  the parser. So sub-selects are planned, and get the row-level security of their relations, as
 *	  in any query of the role, and PostgreSQL's plan cache knows when to do it anew.
 * 2. A plan is kept for a relation, a role and the policies that apply to it. It is dropped when
 *	  PostgreSQL says that it is no longer valid, when other policies apply, and when any function or
 *	  role has changed: what was learnt of functions' bodies may be wrong then.
 * 3. Readers of a role share a plan, whatever their claims; unless a function that depends on them is
 *	  labelled IMMUTABLE, so that the planner computes it once. Then it is made anew for other claims.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "rewrite/rewriteManip.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "policy.h"

#define IMAGES_NAME "images"
#define POLICY_NAME "policy"

/* The planner cannot know how many images there will be; few enough to prefer indexes. */
static const double EstimatedImages = 20;

typedef struct PlanKey
{
	Oid			relid;
	Oid			role;
} PlanKey;

struct RealtimePolicyPlan
{
	PlanKey		key;			/* hash key */
	SPIPlanPtr	plan;			/* NULL: not made */
	char	   *names;			/* of the policies */
	uint64		changes;		/* when it was made */
	char	   *claims;			/* that it was planned with; NULL: not yet, or it does not matter */
	Bitmapset  *columns;
	RealtimeTraits traits;
	MemoryContext context;		/* of the above, child of CacheMemoryContext */
};

/* For the backend's life. */
static HTAB *plans = NULL;
static uint64 changes = 0;		/* of functions and roles so far */

/* Syscache callback. */
static void
count_change(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

/* Makes the cache. */
static void
create_plans(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(PlanKey);
	control.entrysize = sizeof(RealtimePolicyPlan);
	plans = hash_create("realtime policy plans", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterSyscacheCallback(PROCOID, count_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, count_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, count_change, (Datum) 0);
}

/* ---------- making a plan ---------- */

/* Parser hook: what the name "policy" stands for. */
static Node *
policy_column(ParseState *pstate, ColumnRef *column)
{
	const RealtimePolicyPlan *plan = pstate->p_ref_hook_state;
	Relation	relation;
	Node	   *qual;

	if (list_length(column->fields) != 1 || !IsA(linitial(column->fields), String)
		|| strcmp(strVal(linitial(column->fields)), POLICY_NAME) != 0)
		return NULL;
	relation = RelationIdGetRelation(plan->key.relid);
	if (relation == NULL)
		elog(ERROR, "realtime: relation %u does not exist", plan->key.relid);
	qual = realtime_policy_qual(relation, plan->key.role);
	RelationClose(relation);
	pstate->p_hasSubLinks |= checkExprHasSubLink(qual);
	return qual;
}

/* Parser setup: installs the hook. */
static void
setup_parser(ParseState *pstate, void *plan)
{
	pstate->p_ref_hook_state = plan;
	pstate->p_pre_columnref_hook = policy_column;
}

void
realtime_policy_plan_open(RealtimePolicyPlan *plan, Relation relation, Tuplestorestate *rows,
						  int nrows)
{
	EphemeralNamedRelation images = palloc0(sizeof(EphemeralNamedRelationData));

	images->md.name = IMAGES_NAME;
	images->md.reliddesc = RelationGetRelid(relation);
	images->md.enrtype = ENR_NAMED_TUPLESTORE;
	images->md.enrtuples = EstimatedImages;
	images->reldata = rows;
	if (SPI_register_relation(images) != SPI_OK_REL_REGISTER)
		elog(ERROR, "realtime: could not register the images");
}

/* Prepares the statement. The reader must be in force. */
static void
prepare(RealtimePolicyPlan *plan, Relation relation)
{
	SPIPrepareOptions options = {0};
	SPIPlanPtr	prepared;
	ListCell   *cell;
	ListCell   *query;
	MemoryContext old;
	RealtimeInspector *inspector = realtime_inspector_new();

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "realtime: SPI_connect failed");
	realtime_policy_plan_open(plan, relation, NULL, 0);
	options.parserSetup = setup_parser;
	options.parserSetupArg = plan;
	prepared = SPI_prepare_extended("SELECT " POLICY_NAME " FROM " IMAGES_NAME, &options);
	if (prepared == NULL)
		elog(ERROR, "realtime: could not prepare policies: %s",
			 SPI_result_code_string(SPI_result));
	old = MemoryContextSwitchTo(plan->context);
	foreach(cell, SPI_plan_get_plan_sources(prepared))
		foreach(query, ((CachedPlanSource *) lfirst(cell))->query_list)
			realtime_inspect(inspector, lfirst(query), &plan->traits);
	MemoryContextSwitchTo(old);
	SPI_keepplan(prepared);
	plan->plan = prepared;
	SPI_finish();
}

/* Forgets what a plan has. */
static void
reset(RealtimePolicyPlan *plan)
{
	MemoryContext context = plan->context;

	if (plan->plan)
		SPI_freeplan(plan->plan);
	plan->plan = NULL;
	plan->context = NULL;
	plan->columns = NULL;
	plan->names = NULL;
	plan->claims = NULL;
	memset(&plan->traits, 0, sizeof(plan->traits));
	if (context)
		MemoryContextDelete(context);
}

/* Makes a plan, as the role with these claims. */
static void
make(RealtimePolicyPlan *plan, Relation relation, const char *names, const char *claims)
{
	RealtimeReader reader;
	MemoryContext old;

	plan->context = AllocSetContextCreate(CacheMemoryContext, "realtime policy plan",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(plan->context);
	plan->names = pstrdup(names);
	plan->columns = realtime_policy_columns(realtime_policy_qual(relation, plan->key.role),
											RelationGetDescr(relation));
	MemoryContextSwitchTo(old);
	plan->changes = changes;
	realtime_reader_enter(&reader, plan->key.role, claims, NIL, true);
	prepare(plan, relation);
	realtime_reader_leave(&reader);
}

RealtimePolicyPlan *
realtime_policy_plan_get(Relation relation, Oid role, const char *names, const char *claims)
{
	PlanKey		key = {RelationGetRelid(relation), role};
	RealtimePolicyPlan *plan;
	bool		is_found;

	if (plans == NULL)
		create_plans();
	plan = hash_search(plans, &key, HASH_ENTER, &is_found);
	if (!is_found)
		memset((char *) plan + sizeof(PlanKey), 0, sizeof(RealtimePolicyPlan) - sizeof(PlanKey));
	if (plan->plan && plan->changes == changes && strcmp(plan->names, names) == 0
		&& SPI_plan_is_valid(plan->plan))
		return plan;
	reset(plan);
	make(plan, relation, names, claims);
	return plan;
}

const RealtimeTraits *
realtime_policy_plan_traits(const RealtimePolicyPlan *plan)
{
	return &plan->traits;
}

const Bitmapset *
realtime_policy_plan_columns(const RealtimePolicyPlan *plan)
{
	return plan->columns;
}

/* ---------- using it ---------- */

/* Sees to it that the plan is one for these claims. */
static void
bind_claims(RealtimePolicyPlan *plan, Relation relation, const char *claims)
{
	if (plan->claims && strcmp(plan->claims, claims) != 0)
	{
		char	   *names = pstrdup(plan->names);

		reset(plan);
		make(plan, relation, names, claims);
	}
	if (plan->claims == NULL)
		plan->claims = MemoryContextStrdup(plan->context, claims);
}

void
realtime_policy_plan_execute(RealtimePolicyPlan *plan, Relation relation, const char *claims,
							 bool *is_visible, int nrows)
{
	RealtimeReader reader;
	int			result;

	if (plan->traits.is_frozen)
		bind_claims(plan, relation, claims);
	realtime_reader_enter(&reader, plan->key.role, claims, plan->traits.settings,
						  plan->traits.is_all_settings);
	result = SPI_execute_plan(plan->plan, NULL, NULL, true, 0);
	if (result != SPI_OK_SELECT || SPI_processed != (uint64) nrows)
		elog(ERROR, "realtime: policies gave no answer (%d)", result);
	for (int i = 0; i < nrows; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		is_visible[i] = !isnull && DatumGetBool(value);
	}
	SPI_freetuptable(SPI_tuptable);
	realtime_reader_leave(&reader);
}
