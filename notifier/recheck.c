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

struct recheck
{
	struct worker *worker;
	struct subscription *subscription;	/* NULL: it has ended */
	struct policies_question *question;
	bool		is_suspended;
	bool		is_again;		/* something changed while it was looked up: once more */
};

static void start(struct recheck *recheck);

static void
recheck_free(struct recheck *recheck)
{
	policies_cancel(recheck->question);
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
	bool		is_gap = recheck->is_suspended || is_changed;

	if (recheck->is_again)
	{
		recheck->is_again = false;
		recheck->is_suspended = is_gap;
		start(recheck);
		return;
	}
	subscription->recheck = NULL;
	subscription->is_suspended = false;
	recheck_free(recheck);
	if (!is_gap)
		return;
	if (subscription->catchup != NULL)
		catchup_drop(worker, subscription);
	if (subscription->gap == NULL)
	{
		subscription->gap = "access";	/* told between reads, when the queue is empty */
		session->ngaps++;
	}
	worker_touch(worker, session);
}

/* The role may not read this any more, or it cannot be told: the subscription ends. */
static void
end(struct recheck *recheck, const char *code, const char *why)
{
	struct subscription *subscription = recheck->subscription;
	struct session *session = subscription->session;

	session_error(session, (struct slice) {NULL, 0}, code, why, subscription->view->id);
	session_drop_subscription(session, subscription);	/* frees the recheck */
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
		end(recheck, CODE_UNAVAILABLE, "the database cannot be asked now");
	else if (outcome == POLICIES_FAILED)
		end(recheck, CODE_INTERNAL, "row-level security of the table could not be worked out");
	else if (needs_evaluation && worker->evaluator == NULL)
		end(recheck, CODE_UNAVAILABLE,
			"a policy of the table must be evaluated for each row now: subscribe anew");
	else
		finish(recheck, move(recheck->subscription, policies, n));
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
		end(recheck, CODE_UNAVAILABLE, "the database cannot be asked now");
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
	recheck->question = policies_ask(recheck->worker->loop, recheck->worker->shared->db, role,
									 session->identity->claims, view->feature, view->entity_name,
									 policies_arrived, recheck);
}

static void
start(struct recheck *recheck)
{
	access_request(recheck->worker->access, recheck->subscription->session->role->role, true,
				   role_arrived, recheck);
}

void
recheck_subscription(struct worker *worker, struct subscription *subscription, bool is_suspended)
{
	struct recheck *recheck = subscription->recheck;

	if (is_suspended)
	{
		subscription->is_suspended = true;
		if (subscription->catchup != NULL)
			catchup_drop(worker, subscription);	/* fetched with the old rights */
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
	start(recheck);
}
