/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup_feed.c
 *	  See catchup.h: what was fetched goes into the sessions' queues, in turns.
 *
 * Thousands may catch up at once, each with megabytes, while others follow the live stream. So
 * 1. a session's queue gets little at a time (FEED_BYTES), and more when that is gone;
 * 2. those who have something to get and a socket that takes it stand in a list; a turn of the loop feeds some of
 *	  them and writes to their sockets, until TURN_BYTES are out or something else waits, such as a batch of the
 *	  live stream. Who is not through goes to the end of the list;
 * 3. after BUSY_US of turns comes a rest: half of the worker's time is for others, and for other programs.
 */
#include "catchup_state.h"

#include "server.h"
#include "stats.h"

#define FEED_BYTES ((size_t) 32 * 1024)		/* in a session's queue */
#define TURN_BYTES ((size_t) 256 * 1024)	/* of all sessions before others have their turn */
#define INSIDE_MS 1							/* until the rest of a read has come */
#define BUSY_US 1000						/* of turns, after which comes */
#define REST_MS 1							/* a rest */

/* Bytes that a queue may hold before it is fed no more. */
static size_t
feed_limit(const struct worker *worker)
{
	size_t		half = worker->options->max_queue / 2;

	return half < FEED_BYTES ? half : FEED_BYTES;
}

static void
list_feeding(struct catchups *all, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	if (catchup->is_listed)
		return;
	catchup->is_listed = true;
	catchup->next_feeding = NULL;
	catchup->previous_feeding = all->last_feeding;
	if (all->last_feeding != NULL)
		all->last_feeding->catchup->next_feeding = subscription;
	else
		all->feeding = subscription;
	all->last_feeding = subscription;
}

void
catchup_end_feeding(struct catchups *all, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;

	if (!catchup->is_listed)
		return;
	if (catchup->previous_feeding != NULL)
		catchup->previous_feeding->catchup->next_feeding = catchup->next_feeding;
	else
		all->feeding = catchup->next_feeding;
	if (catchup->next_feeding != NULL)
		catchup->next_feeding->catchup->previous_feeding = catchup->previous_feeding;
	else
		all->last_feeding = catchup->previous_feeding;
	catchup->is_listed = false;
}

void
catchup_begin_feeding(struct worker *worker, struct subscription *subscription)
{
	subscription->catchup->state = CATCHUP_FEEDING;
	list_feeding(worker->catchups, subscription);
	loop_task_start(worker->catchups->feed);
}

void
catchups_wake(struct session *session)
{
	struct catchups *all = session->worker->catchups;

	if (session->queue.bytes >= feed_limit(session->worker) / 2)
		return;
	for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		if (s->catchup != NULL && s->catchup->state == CATCHUP_FEEDING)
			list_feeding(all, s);
	if (all->feeding != NULL)
		loop_task_start(all->feed);
}

/* Queues one piece of content. */
static void
push(struct worker *worker, struct subscription *subscription, const struct content *one)
{
	struct delivery delivery = {one->frame, one->xid, one->priority, one->nevents, one->gap};

	session_push(subscription->session, subscription, &delivery, worker->group);
	stats_add(STAT_EVENTS_OUT, one->nevents);
}

/* The next transaction of what is shared, or what of it is for this subscription alone. */
static void
feed_past(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;
	const struct contents *past = &catchup->past->contents;
	uint64_t	xid = past->at[catchup->past_fed].xid;
	bool		is_known = position_covers(&catchup->since, xid);
	bool		has_own = false;

	worker->group++;
	for (; catchup->past_fed < past->n && past->at[catchup->past_fed].xid == xid; catchup->past_fed++)
	{
		const struct content *one = &past->at[catchup->past_fed];

		if (one->kind == CONTENT_RIGHTS && !position_covers(&catchup->at->position, xid))
		{
			/* The live stream suspends the view when it comes there, or has: the gap is told at the latest after it. */
			catchup->is_cut = true;
			catchup->past_fed = past->n;
			catchup->fed = catchup->content.n;
			return;
		}
		if (one->kind == CONTENT_OWN)
			for (; catchup->fed < catchup->content.n && catchup->content.at[catchup->fed].xid == xid;
				 catchup->fed++)
			{
				has_own = true;
				if (!is_known)
					push(worker, subscription, &catchup->content.at[catchup->fed]);
			}
		if (!is_known && (one->kind == CONTENT_GAP || (one->kind == CONTENT_FRAME && !has_own)))
			push(worker, subscription, one);
	}
}

/* Whether nothing is left to be fed. */
static bool
is_through(const struct catchup *catchup)
{
	if (catchup->past != NULL && catchup->past_fed < catchup->past->contents.n)
		return false;
	return catchup->past != NULL || catchup->fed == catchup->content.n;
}

/* Fills the queue; within a transaction there is no stop, other views' frames would come between its parts. */
static void
feed(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;
	struct session *session = subscription->session;
	size_t		limit = feed_limit(worker);

	while (!is_through(catchup) && session->queue.bytes < limit)
	{
		if (catchup->past != NULL)
			feed_past(worker, subscription);
		else
		{
			struct content *one = &catchup->content.at[catchup->fed++];

			worker->group++;
			push(worker, subscription, one);
			frame_unref(one->frame);
			one->frame = NULL;
		}
	}
	if (is_through(catchup))
		catchup_fed(worker, subscription);
}

void
catchups_feed_turn(void *arg)
{
	struct worker *worker = arg;
	struct catchups *all = worker->catchups;
	int64_t		began = loop_clock_us();
	size_t		bytes = 0;

	if (loop_timer_is_active(all->feed_later))
		return;
	if (worker->is_inside)
	{
		loop_timer_start(all->feed_later, INSIDE_MS);
		return;
	}
	do
	{
		struct subscription *subscription = all->feeding;
		struct session *session;
		size_t		before;

		if (subscription == NULL)
			return;
		session = subscription->session;
		before = session->queue.bytes;
		catchup_end_feeding(all, subscription);
		feed(worker, subscription);
		if (session->queue.bytes > before)
			bytes += session->queue.bytes - before;
		peer_flush(session->peer);
		if (session->ncatchups > 0)
			catchups_wake(session);
	} while (bytes < TURN_BYTES && !loop_has_posts(worker->loop));
	all->busy_us += loop_clock_us() - began;
	if (all->feeding == NULL)
		return;
	if (all->busy_us < BUSY_US)
		loop_task_start(all->feed);
	else
	{
		all->busy_us = 0;
		loop_timer_start(all->feed_later, REST_MS);
	}
}
