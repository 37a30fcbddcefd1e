/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * hold.c
 *	  See hold.h.
 */
#include "hold.h"

#include <string.h>

#include "memory.h"
#include "session_state.h"
#include "stats.h"

struct hold
{
	struct wheel_entry entry;	/* first: found by it */
	struct session *session;
	struct outqueue queue;		/* never sealed; no positions and replies */
	bool		is_own;			/* of transactions of the session's user; else of others */
};

/* The clock in ticks. */
static uint64_t
now_ticks(void)
{
	return (uint64_t) loop_clock_us() / (HOLD_TICK_MS * 1000);
}

/* A window ends. */
static void
end_due(struct wheel_entry *entry, void *arg)
{
	struct session *session = ((struct hold *) entry)->session;

	(void) arg;
	hold_end_told(session, 0);
}

/* Time goes on, perhaps several ticks at once. */
static void
tick(void *arg)
{
	struct holds *holds = arg;
	uint64_t	now = now_ticks();

	if (holds->worker->is_inside)
	{
		loop_timer_start(holds->timer, 1);	/* the rest of the read comes first, with its position */
		return;
	}
	while (holds->wheel.now < now && holds->wheel.count > 0)
		wheel_advance(&holds->wheel, end_due, NULL);
	merge_forget(&holds->memo);
	if (holds->wheel.count > 0)
		loop_timer_start(holds->timer, HOLD_TICK_MS);
}

void
holds_init(struct holds *holds, struct loop *loop, struct worker *worker)
{
	memset(holds, 0, sizeof(*holds));
	holds->worker = worker;
	holds->timer = loop_timer_new(loop, tick, holds);
}

void
holds_release(struct holds *holds)
{
	merge_forget(&holds->memo);
	loop_timer_free(holds->timer);
}

/* Ends a hold with a window at the next multiple of it, unless it ends sooner. */
static void
set_deadline(struct holds *holds, struct hold *hold, unsigned window_ms)
{
	uint64_t	window = window_ms > HOLD_TICK_MS ? window_ms / HOLD_TICK_MS : 1;
	uint64_t	now = now_ticks();
	uint64_t	due = (now / window + 1) * window;

	if (hold->entry.link != NULL && hold->entry.tick <= due)
		return;
	if (holds->wheel.count == 0)
	{
		holds->wheel.now = now;
		loop_timer_start(holds->timer, HOLD_TICK_MS);
	}
	wheel_set(&holds->wheel, &hold->entry, due - holds->wheel.now);
}

/* Whether the transaction at hand is one of the session's user, as its first event says. */
static bool
is_own(const struct session *session)
{
	const struct chunk *chunk = session->worker->chunk;
	const char *user = session->identity != NULL ? session->identity->user : NULL;
	struct slice writer;
	char	   *plain;
	long		len;
	bool		is_same;

	if (user == NULL || chunk == NULL || chunk->nevents == 0 || chunk->events[0].user.at == NULL)
		return false;
	writer = chunk->events[0].user;
	if (memchr(writer.at, '\\', writer.len) == NULL)
		return slice_equals(writer, user);
	plain = memory_alloc(writer.len);
	len = jsonscan_unescape(writer, plain);
	is_same = len >= 0 && slice_equals((struct slice) {plain, (size_t) len}, user);
	memory_free(plain);
	return is_same;
}

bool
hold_takes(struct session *session, struct subscription *subscription, const struct delivery *delivery)
{
	struct holds *holds = &session->worker->holds;
	struct hold *hold;
	bool		is_users;

	if (delivery->gap != NULL || session->ncatchups > 0 || session->syncs != NULL)
		return false;			/* then nothing is held already: hold_end() was called */
	is_users = is_own(session);
	if (session->hold != NULL && session->hold->is_own != is_users)
		hold_end(session, 0);
	hold = session->hold;
	if (hold == NULL)
	{
		hold = session->hold = memory_alloc_zeroed(sizeof(*hold));
		hold->session = session;
		hold->is_own = is_users;
		outqueue_init(&hold->queue);
	}
	set_deadline(holds, hold, subscription->window_ms);
	outqueue_push(&hold->queue, delivery->frame, &subscription->owner, delivery->xid,
				  session->worker->group, delivery->priority);
	stats_add(STAT_QUEUE_BYTES, (int64_t) frame_payload(delivery->frame).len);
	return true;
}

bool
hold_is_full(const struct session *session, size_t limit)
{
	return session->hold != NULL && session->hold->queue.bytes + session->queue.bytes > limit;
}

/* Frees a hold that the session has no more; its frames go. */
static void
free_hold(struct worker *worker, struct hold *hold)
{
	stats_add(STAT_QUEUE_BYTES, -(int64_t) hold->queue.bytes);
	outqueue_release(&hold->queue);
	wheel_remove(&worker->holds.wheel, &hold->entry);
	memory_free(hold);
}

/* Merges what a queue has for each subscription. */
static void
merge_all(struct session *session, struct outqueue *queue)
{
	for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
	{
		unsigned	ngone = 0;

		if (s->window_ms > 0
			&& merge_commits(queue, s, 0, MERGE_WINDOW, &session->worker->holds.memo, &ngone))
			stats_add(STAT_COALESCED, ngone);
	}
	outqueue_compact(queue);
}

/* Whether a transaction is among what is held. */
static bool
has_transaction(struct hold *hold, uint64_t tx)
{
	const struct outqueue_entry *entry;

	for (unsigned i = 0; (entry = outqueue_unsealed(&hold->queue, i)) != NULL; i++)
		if (entry->tx == tx)
			return true;
	return false;
}

/* Takes what is held out of the hold, but parts of a transaction of which more is to come: they stay together. */
static void
take(struct session *session, struct hold *hold, struct outqueue *to)
{
	struct worker *worker = session->worker;
	unsigned	open_group = hub_stream_is_inside(worker->live) ? worker->group : 0;
	struct outqueue_entry *entry;

	for (unsigned i = 0; (entry = outqueue_unsealed(&hold->queue, i)) != NULL; i++)
	{
		if (open_group != 0 && entry->group == open_group)
			continue;
		outqueue_push(to, entry->frame, entry->owner, entry->tx, entry->group,
					  (enum priority) entry->priority);
		outqueue_replace(&hold->queue, entry, NULL);
	}
	outqueue_compact(&hold->queue);
}

void
hold_end(struct session *session, uint64_t tx)
{
	struct worker *worker = session->worker;
	struct hold *hold = session->hold;
	const struct outqueue_entry *entry;
	struct outqueue queue;
	bool		is_asked;
	int64_t		before;

	if (hold == NULL)
		return;
	before = (int64_t) (session->queue.bytes + hold->queue.bytes);
	outqueue_init(&queue);
	is_asked = tx != 0 && has_transaction(hold, tx);
	take(session, hold, &queue);
	if (!is_asked)
		merge_all(session, &queue);
	for (unsigned i = 0; (entry = outqueue_unsealed(&queue, i)) != NULL; i++)
		outqueue_push(&session->queue, entry->frame, entry->owner, entry->tx, entry->group,
					  (enum priority) entry->priority);
	outqueue_release(&queue);
	stats_add(STAT_QUEUE_BYTES, (int64_t) (session->queue.bytes + hold->queue.bytes) - before);
	stats_add(STAT_WINDOWS, 1);
	if (outqueue_is_empty(&hold->queue))
		hold_drop(session);
	if (worker->holds.wheel.count == 0)
		merge_forget(&worker->holds.memo);
	session->has_news = true;	/* a position follows, at the latest with the next read */
	worker_touch(worker, session);
}

void
hold_end_told(struct session *session, uint64_t tx)
{
	if (session->hold == NULL)
		return;
	hold_end(session, tx);
	session_push_position(session);
}

void
hold_drop_subscription(struct session *session, struct subscription *subscription)
{
	struct hold *hold = session->hold;
	struct outqueue_entry *entry;
	size_t		before;

	if (hold == NULL)
		return;
	before = hold->queue.bytes;
	for (unsigned i = 0; (entry = outqueue_unsealed(&hold->queue, i)) != NULL; i++)
		if (entry->owner == &subscription->owner)
			outqueue_replace(&hold->queue, entry, NULL);
	outqueue_compact(&hold->queue);
	stats_add(STAT_QUEUE_BYTES, (int64_t) hold->queue.bytes - (int64_t) before);
	if (outqueue_is_empty(&hold->queue))
	{
		hold_drop(session);
		session_push_position(session);	/* which waited for it */
	}
}

void
hold_drop(struct session *session)
{
	struct hold *hold = session->hold;

	if (hold == NULL)
		return;
	session->hold = NULL;
	free_hold(session->worker, hold);
}
