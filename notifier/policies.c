/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policies.c
 *	  See policies.h.
 */
#include "policies.h"

#include <string.h>

#include "log.h"
#include "memory.h"

static const char policies_sql[] =
"SELECT r.feature, r.entity, p.policy, (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(f.feature, f.entity)"
"  ORDER BY f.feature COLLATE \"C\", f.entity COLLATE \"C\")"
"  FROM realtime.registration f WHERE f.relation IS NOT NULL AND (f.relation::oid IN ("
"   SELECT pg_catalog.to_regclass(t)::oid FROM pg_catalog.json_array_elements_text("
"    CASE WHEN pg_catalog.json_typeof(p.policy -> 'reads') = 'array' THEN p.policy -> 'reads' END) t)"
"   OR r.relation::oid IN (SELECT pg_catalog.to_regclass(t)::oid"
"    FROM pg_catalog.jsonb_array_elements_text(f.settings -> 'affects') t)))"
" FROM realtime.registration r JOIN pg_catalog.pg_class c ON c.oid = r.relation"
" CROSS JOIN LATERAL (SELECT realtime.access_policy(r.relation, $1::name, $2) AS policy OFFSET 0) p"
" WHERE c.relrowsecurity AND ($3::text IS NULL OR r.feature = $3)"
" AND ($4::text IS NULL OR r.entity = $4)"
" ORDER BY r.feature COLLATE \"C\", r.entity COLLATE \"C\"";

struct policies_question
{
	struct loop *loop;
	struct role_access *role;
	char	   *claims;
	struct reach *reach;
	char	   *position;		/* taken first */
	struct position until;		/* what the answer may have seen; epoch NULL: unknown */
	bool		is_waiting;		/* for the stream to reach that */
	policies_fn fn;				/* NULL: cancelled */
	void	   *arg;
	struct policy **policies;
	unsigned	n;
	enum policies_outcome outcome;
};

bool
policies_are_needed(const struct role_access *role, const char *feature, const char *entity)
{
	for (unsigned i = 0; i < role->nentities; i++)
		if (role->entities[i].has_policies && role->entities[i].can_read
			&& (feature == NULL || strcmp(feature, role->entities[i].feature) == 0)
			&& (entity == NULL || strcmp(entity, role->entities[i].entity) == 0))
			return true;
	return false;
}

/* In the pool's thread, which reads the role only. */
static void
question_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct policies_question *question = arg;
	const struct entity_access *entity;
	struct policy *policy;

	(void) nfields;
	if (step == 0)
	{
		question->position = memory_copy_string(fields[0].at, fields[0].len);
		return;
	}
	if (step == 2)
	{
		if (position_parse(&question->until, fields[0].at, fields[0].len) < 0)
			memset(&question->until, 0, sizeof(question->until));
		return;
	}
	entity = role_access_find(question->role, fields[0], fields[1]);
	if (entity == NULL || !entity->can_read)
		return;
	policy = policy_parse(entity, fields[2],
						  (struct slice) {question->claims, strlen(question->claims)}, fields[3]);
	if (policy == NULL)
	{
		question->outcome = POLICIES_FAILED;
		log_write(LOG_LEVEL_ERROR, "policy_unreadable", "feature=%s entity=%s", entity->feature,
				  entity->entity);
		return;
	}
	if (position_parse(&policy->position, question->position, strlen(question->position)) < 0)
		memset(&policy->position, 0, sizeof(policy->position));
	question->policies = memory_resize(question->policies,
									   sizeof(struct policy *) * (question->n + 1));
	question->policies[question->n++] = policy;
}

static void
question_free(struct policies_question *question)
{
	for (unsigned i = 0; i < question->n; i++)
		policy_unref(question->policies[i]);
	memory_free(question->policies);
	role_access_unref(question->role);
	memory_free(question->claims);
	memory_free(question->position);
	if (question->until.epoch != NULL)
		position_release(&question->until);
	memory_free(question);
}

static void
answer(void *arg)
{
	struct policies_question *question = arg;

	question->is_waiting = false;	/* policies_cancel() is not to free it */
	if (question->fn != NULL)
		question->fn(question->arg, question->outcome, question->policies, question->n);
	question_free(question);
}

/* In the asker's thread. */
static void
question_answered(void *arg)
{
	struct policies_question *question = arg;

	if (question->fn == NULL || reach_has(question->reach, &question->until))
	{
		answer(question);
		return;
	}
	question->is_waiting = true;
	reach_wait(question->reach, &question->until, answer, question);
}

static void
question_done(void *arg, const struct db_error *error)
{
	struct policies_question *question = arg;

	if (error->outcome == DB_FAILED)
	{
		question->outcome = POLICIES_FAILED;
		/* the message may quote a claim */
		log_write(LOG_LEVEL_ERROR, "policy_failed", "role=%s sqlstate=%s", question->role->role,
				  error->sqlstate);
	}
	else if (error->outcome != DB_DONE)
		question->outcome = POLICIES_UNAVAILABLE;
	loop_post(question->loop, question_answered, question);
}

struct policies_question *
policies_ask(struct loop *loop, struct db *db, struct reach *reach, struct role_access *role,
			 const char *claims, const char *feature, const char *entity, policies_fn fn, void *arg)
{
	struct policies_question *question = memory_alloc_zeroed(sizeof(*question));
	const char *params[] = {role->role, claims, feature, entity};
	const struct db_statement statements[] = {
		{"SELECT realtime.position()", 0, NULL},
		{policies_sql, 4, params},
		{"SELECT realtime.position()", 0, NULL},
	};

	question->loop = loop;
	question->reach = reach;
	question->role = role_access_ref(role);
	question->claims = memory_copy_string(claims, strlen(claims));
	question->fn = fn;
	question->arg = arg;
	db_submit(db, DB_SHORT, statements, 3, question_row, question_done, question);
	return question;
}

void
policies_cancel(struct policies_question *question)
{
	if (question == NULL)
		return;
	question->fn = NULL;
	if (!question->is_waiting)
		return;					/* the pool still has it */
	reach_cancel(question->reach, question);
	question_free(question);
}
