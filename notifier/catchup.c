/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup.c
 *	  See catchup.h: the states of catching up, feeding the content into the queue, joining the stream.
 */
#include "catchup_state.h"

#include <string.h>

#include "memory.h"

#define GATHER_MS 5				/* resumptions that come within this are served together */

void
contents_add(struct contents *contents, struct frame *frame, const char *gap, uint64_t xid,
			 enum priority priority)
{
	struct content *one;

	if (contents->n == contents->room)
	{
		contents->room = contents->room ? contents->room * 2 : 8;
		contents->at = memory_resize(contents->at, sizeof(struct content) * contents->room);
	}
	one = &contents->at[contents->n++];
	one->frame = frame ? frame_ref(frame) : NULL;
	one->gap = gap;
	one->xid = xid;
	one->priority = priority;
	contents->bytes += frame ? frame_payload(frame).len : 0;
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

/* Frees a catch-up: the subscription is live, or ends. */
static void
end_catchup(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;
	struct catchups *all = worker->catchups;

	subscriptions_remove(&all->joining, subscription);
	subscriptions_remove(&all->resuming, subscription);
	subscriptions_remove(&subscription->view->replayers, subscription);
	if (catchup->snapshot != NULL)
		snapshot_drop(catchup->snapshot, subscription);
	if (catchup->replay != NULL)
		replay_drop(catchup->replay, subscription);
	contents_release(&catchup->content);
	contents_release(&catchup->held);
	if (catchup->since.epoch != NULL)
		position_release(&catchup->since);
	if (catchup->join.epoch != NULL)
		position_release(&catchup->join);
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

	worker->gap_position = worker->position;
	session_push(subscription->session, subscription, &delivery, ++worker->group);
}

/* The stream has passed the join, or there is none: the subscription is live. */
static void
go_live(struct worker *worker, struct subscription *subscription)
{
	struct session *session = subscription->session;

	end_catchup(worker, subscription);
	session_push_position(session);
	subscribing_read_ended(session);	/* a request may wait for all to be live */
}

bool
catchup_takes(struct subscription *subscription, const struct delivery *delivery)
{
	struct catchup *catchup = subscription->catchup;
	size_t		max = subscription->session->worker->options->max_queue;

	if (catchup->state == CATCHUP_JOINING)
		return position_covers(&catchup->join, delivery->xid);
	if (catchup->gap != NULL)
		return true;
	if (catchup->held.bytes > max)
	{
		contents_release(&catchup->held);
		catchup->gap = "slow";
		return true;
	}
	contents_add(&catchup->held, delivery->frame, delivery->gap, delivery->xid, delivery->priority);
	return true;
}

bool
catchup_withholds(const struct subscription *subscription)
{
	return subscription->catchup->is_resume || subscription->catchup->state != CATCHUP_FETCHING;
}

/* The content is in the queue: what was held follows, but for what the join covers. */
static void
release_held(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	for (unsigned i = 0; i < catchup->held.n; i++)
	{
		const struct content *one = &catchup->held.at[i];
		struct delivery delivery = {one->frame, one->xid, one->priority, 0, one->gap};

		if (position_covers(&catchup->join, one->xid))
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
	if (position_is_within(&catchup->join, &worker->last->position))
	{
		go_live(worker, subscription);
		return;
	}
	subscriptions_add(&worker->catchups->joining, subscription);
	worker->shared->source_class->poke(worker->shared->source);
}

void
catchup_feed(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;
	struct session *session = subscription->session;

	if (catchup->state != CATCHUP_FEEDING || worker->is_inside)
		return;
	while (catchup->fed < catchup->content.n)
	{
		const struct content *one = &catchup->content.at[catchup->fed];
		struct delivery delivery = {one->frame, one->xid, one->priority, 0, one->gap};

		if (one->xid == 0 || catchup->fed == 0 || one[-1].xid != one->xid)
		{
			/* Within a transaction there is no stop: other views' frames would come between its parts. */
			if (session->queue.bytes >= worker->options->max_queue / 2)
				break;
			worker->group++;
		}
		session_push(session, subscription, &delivery, worker->group);
		catchup->fed++;
	}
	if (catchup->fed == catchup->content.n)
		release_held(worker, subscription);
}

void
catchup_begin_feeding(struct worker *worker, struct subscription *subscription)
{
	subscription->catchup->state = CATCHUP_FEEDING;
	worker_touch(worker, subscription->session);
	catchup_feed(worker, subscription);
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

	catchup->is_resume = true;
	catchup->since = *since;
	catchup->since_text = memory_copy_string(message->since, strlen(message->since));
	subscriptions_add(&worker->catchups->resuming, subscription);
	if (!loop_timer_is_active(worker->catchups->gather))
		loop_timer_start(worker->catchups->gather, GATHER_MS);
}

void
catchups_advance(struct worker *worker)
{
	struct subscriptions *joining = &worker->catchups->joining;

	for (unsigned i = 0; i < joining->n;)
	{
		struct subscription *subscription = joining->at[i];

		if (position_is_within(&subscription->catchup->join, &worker->last->position))
			go_live(worker, subscription);	/* takes itself out of the list */
		else
			i++;
	}
	if (joining->n > 0)
		worker->shared->source_class->poke(worker->shared->source);
}

void
catchups_reset(struct worker *worker)
{
	for (struct session *session = worker->sessions; session != NULL; session = session->next)
		for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
			if (s->catchup != NULL)
				end_catchup(worker, s);
}

struct catchups *
catchups_new(struct worker *worker)
{
	struct catchups *catchups = memory_alloc_zeroed(sizeof(*catchups));

	catchups->worker = worker;
	catchups->gather = loop_timer_new(worker->loop, replay_gather, worker);
	return catchups;
}

void
catchups_free(struct catchups *catchups)
{
	replay_end(catchups);
	loop_timer_free(catchups->gather);
	memory_free(catchups->joining.at);
	memory_free(catchups->resuming.at);
	memory_free(catchups);
}
