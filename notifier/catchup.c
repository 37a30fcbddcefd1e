/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup.c
 *	  See catchup.h: the states of catching up, what is held meanwhile, joining the stream.
 */
#include "catchup_state.h"

#include <string.h>

#include "memory.h"
#include "recheck.h"

#define GATHER_MS 5				/* resumptions that come within this are served together */

struct content *
contents_add(struct contents *contents, enum content_kind kind, struct frame *frame, uint64_t xid)
{
	struct content *one;

	if (contents->n == contents->room)
	{
		contents->room = contents->room ? contents->room * 2 : 8;
		contents->at = memory_resize(contents->at, sizeof(struct content) * contents->room);
	}
	one = &contents->at[contents->n++];
	memset(one, 0, sizeof(*one));
	one->kind = (unsigned char) kind;
	one->frame = frame ? frame_ref(frame) : NULL;
	one->xid = xid;
	one->priority = PRIORITY_NORMAL;
	contents->bytes += frame ? frame_payload(frame).len : 0;
	return one;
}

void
contents_add_delivery(struct contents *contents, const struct delivery *delivery)
{
	struct content *one = contents_add(contents, delivery->gap ? CONTENT_GAP : CONTENT_FRAME,
									   delivery->frame, delivery->xid);

	one->gap = delivery->gap;
	one->nevents = delivery->nevents;
	one->priority = (unsigned char) delivery->priority;
}

void
contents_release(struct contents *contents)
{
	for (unsigned i = 0; i < contents->n; i++)
		if (contents->at[i].frame != NULL)
			frame_unref(contents->at[i].frame);
	memory_free(contents->at);
	memset(contents, 0, sizeof(*contents));
}

void
subscriptions_remove(struct subscriptions *list, const struct subscription *subscription)
{
	for (unsigned i = 0; i < list->n; i++)
		if (list->at[i] == subscription)
		{
			subscriptions_remove_at(list, i);
			return;
		}
}

void
past_unref(struct past *past)
{
	if (--past->refs > 0)
		return;
	contents_release(&past->contents);
	memory_free(past->subscriptions.at);
	memory_free(past);
}

bool
catchup_has(const struct catchup *catchup, uint64_t xid)
{
	return position_covers(&catchup->join, xid)
		|| (catchup->is_resume && position_covers(&catchup->since, xid));
}

/* Drops what was fetched and held, and who fetches: the subscription stands at its beginning. */
static void
clear_catchup(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;
	struct catchups *all = worker->catchups;

	subscriptions_remove(&all->joining, subscription);
	subscriptions_remove(&all->resuming, subscription);
	subscriptions_remove(&all->starting, subscription);
	catchup_end_feeding(all, subscription);
	if (catchup->snapshot != NULL)
		snapshot_drop(catchup->snapshot, subscription);
	if (catchup->replay != NULL)
		replay_drop(catchup->replay, subscription);
	if (catchup->past != NULL)
		past_unref(catchup->past);
	contents_release(&catchup->content);
	contents_release(&catchup->held);
	if (catchup->since.epoch != NULL)
		position_release(&catchup->since);
	if (catchup->join.epoch != NULL)
		position_release(&catchup->join);
	memset(&catchup->since, 0, sizeof(catchup->since));
	memset(&catchup->join, 0, sizeof(catchup->join));
	catchup->snapshot = NULL;
	catchup->replay = NULL;
	catchup->past = NULL;
	catchup->past_fed = catchup->fed = 0;
	catchup->gap = NULL;
	catchup->is_resume = catchup->is_cut = false;
	catchup->state = CATCHUP_FETCHING;
}

/* Frees a catch-up: the subscription is live, or ends. */
static void
end_catchup(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	clear_catchup(worker, subscription);
	for (unsigned i = 0; i < catchup->norder; i++)
		memory_free((char *) catchup->order[i].column);
	memory_free(catchup->order);
	memory_free(catchup->since_text);
	if (catchup->at != NULL)
		batch_unref(catchup->at);
	memory_free(catchup);
	subscription->catchup = NULL;
	subscription->session->ncatchups--;
}

void
catchup_drop(struct worker *worker, struct subscription *subscription)
{
	end_catchup(worker, subscription);
}

/* A catch-up for a new subscription, with what the message wants of a snapshot. */
static struct catchup *
new_catchup(struct worker *worker, struct subscription *subscription, const struct message *message)
{
	struct catchup *catchup = memory_alloc_zeroed(sizeof(*catchup));

	catchup->wants_snapshot = message->wants_snapshot;
	catchup->limit = message->limit;
	catchup->norder = message->norder;
	if (message->norder > 0)
		catchup->order = memory_alloc(sizeof(struct message_order) * message->norder);
	for (unsigned i = 0; i < message->norder; i++)
	{
		const char *column = message->order[i].column;

		catchup->order[i].column = memory_copy_string(column, strlen(column));
		catchup->order[i].is_descending = message->order[i].is_descending;
	}
	catchup->at = batch_ref(worker->last);
	subscription->catchup = catchup;
	subscription->session->ncatchups++;
	return catchup;
}

void
catchup_tell_gap(struct worker *worker, struct subscription *subscription, const char *reason)
{
	struct delivery delivery = {NULL, 0, PRIORITY_NORMAL, 0, reason};

	/* A transaction of the live stream may be incomplete: its group is not touched. */
	worker->lone_group++;
	worker->gap_position = worker->position;
	session_push(subscription->session, subscription, &delivery, worker->lone_group | LONE_GROUP);
}

/* The stream has passed the join, or there is none: the subscription is live. */
static void
go_live(struct worker *worker, struct subscription *subscription)
{
	struct session *session = subscription->session;
	bool		is_cut = subscription->catchup->is_cut;

	end_catchup(worker, subscription);
	if (is_cut)
		recheck_subscription(worker, subscription, true);	/* tells the gap */
	session_push_position(session);
	subscribing_read_ended(session);	/* a request may wait for all to be live */
}

bool
catchup_takes(struct subscription *subscription, const struct delivery *delivery)
{
	struct catchup *catchup = subscription->catchup;
	size_t		max = subscription->session->worker->options->max_queue;

	if (catchup->state == CATCHUP_JOINING)
		return catchup_has(catchup, delivery->xid);
	if (catchup->gap != NULL)
		return true;
	if (catchup->held.bytes > max)
	{
		contents_release(&catchup->held);
		catchup->gap = "slow";
		return true;
	}
	contents_add_delivery(&catchup->held, delivery);
	return true;
}

bool
catchup_withholds(const struct subscription *subscription)
{
	const struct catchup *catchup = subscription->catchup;

	return catchup->had_since || catchup->is_again || catchup->state != CATCHUP_FETCHING;
}

/* Whether the stream has passed all that the subscription has had. */
static bool
is_joined(const struct worker *worker, const struct catchup *catchup)
{
	return position_is_within(&catchup->join, &worker->last->position)
		&& (!catchup->is_resume || position_is_within(&catchup->since, &worker->last->position));
}

void
catchup_fed(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	for (unsigned i = 0; i < catchup->held.n; i++)
	{
		const struct content *one = &catchup->held.at[i];
		struct delivery delivery = {one->frame, one->xid, one->priority, 0, one->gap};

		if (catchup_has(catchup, one->xid))
			continue;
		if (i == 0 || catchup->held.at[i - 1].xid != one->xid)
			worker->group++;
		session_push(subscription->session, subscription, &delivery, worker->group);
	}
	contents_release(&catchup->held);
	if (catchup->gap != NULL)
		catchup_tell_gap(worker, subscription, catchup->gap);
	catchup->gap = NULL;
	catchup->state = CATCHUP_JOINING;
	if (is_joined(worker, catchup))
	{
		go_live(worker, subscription);
		return;
	}
	subscriptions_add(&worker->catchups->joining, subscription);
	worker->shared->source_class->poke(worker->shared->source);
}

void
catchup_join(struct worker *worker, struct subscription *subscription, const struct batch *at)
{
	struct catchup *catchup = memory_alloc_zeroed(sizeof(*catchup));

	catchup->state = CATCHUP_JOINING;
	catchup->at = batch_ref(worker->last);
	if (position_parse(&catchup->join, at->position_text, strlen(at->position_text)) < 0)
		memset(&catchup->join, 0, sizeof(catchup->join));
	subscription->catchup = catchup;
	subscription->session->ncatchups++;
	if (position_is_within(&catchup->join, &worker->last->position))
		end_catchup(worker, subscription);
	else
		subscriptions_add(&worker->catchups->joining, subscription);
}

void
catchup_snapshot(struct worker *worker, struct subscription *subscription,
				 const struct message *message)
{
	new_catchup(worker, subscription, message);
	snapshot_start(worker, subscription);
}

void
catchup_resume(struct worker *worker, struct subscription *subscription, struct position *since,
			   const struct message *message)
{
	struct catchup *catchup = new_catchup(worker, subscription, message);

	catchup->is_resume = catchup->had_since = true;
	catchup->since = *since;
	catchup->since_text = memory_copy_string(message->since, strlen(message->since));
	subscriptions_add(&worker->catchups->resuming, subscription);
	if (!loop_timer_is_active(worker->catchups->gather))
		loop_timer_start(worker->catchups->gather, GATHER_MS);
}

static void start_snapshot(struct worker *worker, struct subscription *subscription);

void
catchups_advance(struct worker *worker)
{
	struct subscriptions *joining = &worker->catchups->joining;
	struct subscriptions *starting = &worker->catchups->starting;

	for (unsigned i = 0; i < joining->n;)
	{
		struct subscription *subscription = joining->at[i];

		if (is_joined(worker, subscription->catchup))
			go_live(worker, subscription);	/* takes itself out of the list */
		else
			i++;
	}
	if (joining->n > 0)
		worker->shared->source_class->poke(worker->shared->source);
	while (starting->n > 0)
	{
		struct subscription *subscription = starting->at[starting->n - 1];

		subscriptions_remove_at(starting, starting->n - 1);
		start_snapshot(worker, subscription);
	}
}

/* Whether a snapshot was asked for, or came in the place of a resumption, and is not all in the queue. */
static bool
owes_snapshot(const struct catchup *catchup)
{
	return catchup->wants_snapshot && !catchup->is_resume && catchup->state != CATCHUP_JOINING;
}

/* The subscription stands at its beginning and waits for catchup_go_on(). */
static void
begin_again(struct worker *worker, struct subscription *subscription)
{
	clear_catchup(worker, subscription);
	subscription->catchup->is_again = subscription->catchup->is_waiting = true;
}

/* Starts a snapshot that has seen all that the stream has come to. */
static void
start_snapshot(struct worker *worker, struct subscription *subscription)
{
	batch_unref(subscription->catchup->at);
	subscription->catchup->at = batch_ref(worker->last);
	snapshot_start(worker, subscription);
}

void
catchups_reset(struct worker *worker)
{
	for (struct session *session = worker->sessions; session != NULL; session = session->next)
		for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		{
			struct catchup *catchup = s->catchup;

			if (catchup == NULL)
				continue;
			if (!owes_snapshot(catchup) && !(catchup->is_resume && catchup->wants_snapshot))
			{
				end_catchup(worker, s);
				continue;
			}
			begin_again(worker, s);
			catchup_go_on(worker, s);
		}
}

bool
catchup_void(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	if (catchup == NULL)
		return true;
	if (catchup->state == CATCHUP_JOINING)
	{
		/* Its client is ahead of the stream: a gap now would lie before what it has had. */
		catchup->is_cut = true;
		return false;
	}
	if (!catchup->is_waiting)
	{
		struct snapshot *snapshot = catchup->snapshot;
		bool		is_begun = catchup->state == CATCHUP_FEEDING && catchup->fed > 0;

		if (!owes_snapshot(catchup))
		{
			end_catchup(worker, subscription);
			return true;
		}
		if (snapshot != NULL)
			snapshot_close(snapshot);	/* nobody else may join what was read with the old rights */
		begin_again(worker, subscription);
		catchup->is_begun = is_begun;
	}
	return catchup->is_begun;
}

void
catchup_go_on(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	if (catchup == NULL)
		return;
	if (catchup->is_cut)
		subscription->is_suspended = true;	/* go_live() has its rights looked up anew, and a gap told */
	if (!catchup->is_waiting)
		return;
	catchup->is_waiting = catchup->is_begun = false;
	/* What came while it was suspended was not held: the snapshot must have seen all of the present read. */
	if (worker->is_inside)
		subscriptions_add(&worker->catchups->starting, subscription);
	else
		start_snapshot(worker, subscription);
}

struct catchups *
catchups_new(struct worker *worker)
{
	struct catchups *catchups = memory_alloc_zeroed(sizeof(*catchups));

	catchups->worker = worker;
	catchups->gather = loop_timer_new(worker->loop, replay_gather, worker);
	catchups->feed = loop_task_new(worker->loop, catchups_feed_turn, worker);
	catchups->feed_later = loop_timer_new(worker->loop, catchups_feed_turn, worker);
	return catchups;
}

void
catchups_free(struct catchups *catchups)
{
	replay_end(catchups);
	loop_timer_free(catchups->gather);
	loop_task_free(catchups->feed);
	loop_timer_free(catchups->feed_later);
	memory_free(catchups->joining.at);
	memory_free(catchups->resuming.at);
	memory_free(catchups->starting.at);
	memory_free(catchups);
}
