/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * recheck.c
 *	  See recheck.h.
 */
#include "recheck.h"

#include <string.h>

#include "memory.h"
#include "policies.h"
#include "session_state.h"

#define RETRY_MS 500

struct recheck
{
	struct worker *worker;
	struct subscription *subscription;	/* NULL: it has ended */
	struct policies_question *question;
	struct policy **policies;	/* found; kept while a round of evaluation is under way */
	unsigned	npolicies;
	bool		is_waiting;		/* for that round to end */
	struct loop_timer *retry;	/* when the database could not be asked */
	bool		is_suspended;
	bool		is_again;		/* something changed while it was looked up: once more */
};

static void start(struct recheck *recheck);

/* Forgets what was found. */
static void
release_policies(struct recheck *recheck)
{
	for (unsigned i = 0; i < recheck->npolicies; i++)
		policy_unref(recheck->policies[i]);
	memory_free(recheck->policies);
	recheck->policies = NULL;
	recheck->npolicies = 0;
	recheck->is_waiting = false;
}

static void
recheck_free(struct recheck *recheck)
{
	policies_cancel(recheck->question);
	release_policies(recheck);
	loop_timer_free(recheck->retry);
	memory_free(recheck);
}

void
recheck_drop(struct worker *worker, struct subscription *subscription)
{
	struct recheck *recheck = subscription->recheck;

	if (recheck == NULL)
		return;
	access_cancel(worker->access, recheck);
	subscription->recheck = NULL;
	subscription->session->nrechecks--;
	subscription->is_suspended = false;
	recheck_free(recheck);
}

/* The lookup is over: the subscription goes on, after a gap if it may have missed something. */
static void
finish(struct recheck *recheck, bool is_changed)
{
	struct worker *worker = recheck->worker;
	struct subscription *subscription = recheck->subscription;
	struct session *session = subscription->session;
	bool		is_gap = recheck->is_suspended || is_changed || subscription->has_missed;

	if (recheck->is_again)
	{
		recheck->is_again = false;
		recheck->is_suspended = is_gap;
		start(recheck);
		return;
	}
	subscription->recheck = NULL;
	session->nrechecks--;
	subscription->is_suspended = subscription->has_missed = false;
	recheck_free(recheck);
	worker_touch(worker, session);
	if (!is_gap)
	{
		session_push_position(session);	/* which was withheld */
		return;
	}
	if (!catchup_void(worker, subscription))
	{
		catchup_go_on(worker, subscription);	/* nothing of what was void had been sent */
		return;
	}
	if (subscription->gap == NULL)
	{
		subscription->gap = "access";	/* told between reads, when the queue is empty */
		session->ngaps++;
	}
}

/* The role may not read this any more, or it cannot be told: the subscription ends, and with it the recheck. */
static void
end(struct recheck *recheck, const char *code, const char *why)
{
	struct subscription *subscription = recheck->subscription;

	session_fail_subscription(subscription->session, subscription, code, why);
}

/* Moves a subscription to the view that has these policies; false when it has them already. */
static bool
move(struct subscription *subscription, struct policy *const *policies, unsigned n)
{
	struct session *session = subscription->session;
	struct worker *worker = session->worker;
	struct view *old = subscription->view;
	struct view *view;
	char	   *key = view_key_with(old, policies, n);

	if (strcmp(key, old->key) == 0)
	{
		memory_free(key);
		return false;
	}
	view = hub_find(worker->hub, key);
	if (view != NULL)
		memory_free(key);
	else
	{
		view = view_clone(old, key, session->role, policies, n, session->identity->claims);
		hub_add(worker->hub, view);
	}
	subscriptions_remove_at(&old->subscriptions, subscription->index);
	if (subscription->index < old->subscriptions.n)
		old->subscriptions.at[subscription->index]->index = subscription->index;
	subscription->view = view;
	subscription->index = view->subscriptions.n;
	subscriptions_add(&view->subscriptions, subscription);
	hub_release(worker->hub, old);
	return true;
}

static void
start_again(void *arg)
{
	start(arg);
}

/* The database cannot be asked now: the subscription stays as it is, suspended or not, until it can. */
static void
start_later(struct recheck *recheck)
{
	if (recheck->retry == NULL)
		recheck->retry = loop_timer_new(recheck->worker->loop, start_again, recheck);
	loop_timer_start(recheck->retry, RETRY_MS);
}

/* A round of evaluation knows nothing of a group that comes: the subscription moves when it has ended. */
static void
wait_for_round(struct recheck *recheck, struct policy *const *policies, unsigned n)
{
	recheck->policies = memory_alloc(sizeof(struct policy *) * n);
	for (unsigned i = 0; i < n; i++)
		recheck->policies[i] = policy_ref(policies[i]);
	recheck->npolicies = n;
	recheck->is_waiting = true;
}

/* Second step: how row-level security applies now. */
static void
policies_arrived(void *arg, enum policies_outcome outcome, struct policy *const *policies, unsigned n)
{
	struct recheck *recheck = arg;
	struct worker *worker = recheck->worker;
	bool		needs_evaluation = false;

	for (unsigned i = 0; i < n; i++)
		needs_evaluation |= policies[i]->mode == POLICY_EVALUATE;
	recheck->question = NULL;
	if (outcome == POLICIES_UNAVAILABLE)
		start_later(recheck);
	else if (outcome == POLICIES_FAILED)
		end(recheck, CODE_INTERNAL, "row-level security of the table could not be worked out");
	else if (needs_evaluation && worker->evaluator == NULL)
		end(recheck, CODE_UNAVAILABLE,
			"a policy of the table must be evaluated for each row now: subscribe anew");
	else if (needs_evaluation && evaluator_must_wait(worker->evaluator))
		wait_for_round(recheck, policies, n);
	else
		finish(recheck, move(recheck->subscription, policies, n));
}

void
recheck_round_ended(struct subscription *subscription)
{
	struct recheck *recheck = subscription->recheck;
	bool		is_moved;

	if (recheck == NULL || !recheck->is_waiting)
		return;
	is_moved = move(subscription, recheck->policies, recheck->npolicies);
	release_policies(recheck);
	finish(recheck, is_moved);
}

/* First step: what the role may see now. */
static void
role_arrived(void *arg, struct role_access *role)
{
	struct recheck *recheck = arg;
	struct subscription *subscription = recheck->subscription;
	struct view *view = subscription->view;
	struct session *session = subscription->session;

	if (role == NULL)
	{
		start_later(recheck);
		return;
	}
	if (view->feature != NULL && view->entity_name != NULL)
	{
		struct slice feature = {view->feature, strlen(view->feature)};
		struct slice name = {view->entity_name, strlen(view->entity_name)};
		const struct entity_access *entity = role_access_find(role, feature, name);

		if (!role->is_member || entity == NULL || !entity->can_read)
		{
			end(recheck, CODE_FORBIDDEN, "the role may not read this any more");
			return;
		}
	}
	if (!policies_are_needed(role, view->feature, view->entity_name))
	{
		finish(recheck, move(subscription, NULL, 0));
		return;
	}
	recheck->question = policies_ask(recheck->worker->loop, recheck->worker->shared->db,
									 &recheck->worker->reach, role, session->identity->claims,
									 view->feature, view->entity_name, policies_arrived, recheck);
}

static void
start(struct recheck *recheck)
{
	access_request(recheck->worker->access, recheck->subscription->session->role->role, true,
				   role_arrived, recheck);
}

void
recheck_quietly(struct worker *worker, struct subscription *subscription)
{
	recheck_subscription(worker, subscription, false);
	subscription->is_suspended = true;
}

void
recheck_subscription(struct worker *worker, struct subscription *subscription, bool is_suspended)
{
	struct recheck *recheck = subscription->recheck;

	if (is_suspended)
	{
		hold_end(subscription->session, 0);	/* of before */
		subscription->is_suspended = true;
		(void) catchup_void(worker, subscription);	/* fetched with the old rights; the gap is finish()'s */
	}
	if (recheck != NULL)
	{
		recheck->is_again = true;
		recheck->is_suspended |= is_suspended;
		return;
	}
	recheck = memory_alloc_zeroed(sizeof(*recheck));
	recheck->worker = worker;
	recheck->subscription = subscription;
	recheck->is_suspended = is_suspended;
	subscription->recheck = recheck;
	subscription->session->nrechecks++;
	start(recheck);
}
