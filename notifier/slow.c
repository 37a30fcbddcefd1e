/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * slow.c
 *	  Readers too slow: what to do with a queue over its limit.
 *
 * First the updates of one row are merged, in views of plain row state (no defined and custom actions): the
 * commits of such a view that still wait become one commit of the last transaction, marked merged, in which
 * each row stands once as it was last; twice when it left the view and came back (merge.h). If that is not enough,
 * all commits that wait are dropped and each view gets a gap when the queue has drained. What is sealed (being sent)
 * is left alone; so are views that are still being caught up, and whatever stands before the last reply.
 */
#include <string.h>

#include "log.h"
#include "merge.h"
#include "session_state.h"
#include "stats.h"

static struct subscription *
subscription_of(struct outqueue_owner *owner)
{
	return (struct subscription *) owner;	/* its first member */
}

/* Whether all that a view gets are changes of rows. */
static bool
is_plain_view(const struct view *view)
{
	static const char *const plain[] = {"created", "updated", "deleted", "entered", "left", "truncated"};

	for (unsigned i = 0; i < view->nactions; i++)
	{
		bool		is_plain = false;

		for (unsigned k = 0; k < sizeof(plain) / sizeof(plain[0]) && !is_plain; k++)
			is_plain = strcmp(view->actions[i], plain[k]) == 0;
		if (!is_plain)
			return false;
	}
	return view->nactions > 0;
}

/* First unsealed entry behind the last reply. */
static unsigned
first_free(struct outqueue *queue)
{
	unsigned	first = 0;
	struct outqueue_entry *entry;

	for (unsigned i = 0; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
		if (entry->is_reply)
			first = i + 1;
	return first;
}

/* Positions between what was merged would claim too early what stands behind them now. */
static void
drop_positions(struct outqueue *queue, unsigned from)
{
	struct outqueue_entry *entry;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
		if (entry->frame != NULL && frame_kind(entry->frame) == FRAME_POSITION)
			outqueue_replace(queue, entry, NULL);
}

/* Drops what waits; each view that loses something is to get a gap. */
static void
drop_commits(struct session *session, unsigned from)
{
	struct outqueue *queue = &session->queue;
	struct outqueue_entry *entry;

	for (unsigned i = from; (entry = outqueue_unsealed(queue, i)) != NULL; i++)
	{
		struct subscription *subscription = entry->owner ? subscription_of(entry->owner) : NULL;

		if (entry->frame == NULL || entry->is_reply)
			continue;
		if (subscription != NULL && subscription->catchup != NULL)
			continue;
		if (subscription != NULL && subscription->gap == NULL)
		{
			subscription->gap = "slow";
			session->ngaps++;
		}
		outqueue_replace(queue, entry, NULL);
	}
}

void
session_relieve(struct session *session, size_t limit)
{
	struct outqueue *queue = &session->queue;
	size_t		before = queue->bytes;
	unsigned	from = first_free(queue);
	bool		is_merged = false;

	for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		if (s->catchup == NULL && s->gap == NULL && is_plain_view(s->view))
			is_merged |= merge_commits(queue, s, from, MERGE_STATE, NULL, NULL);
	if (is_merged)
	{
		drop_positions(queue, from);
		session->has_news = true;	/* the position of the batch at hand follows */
		stats_add(STAT_SLOW_MERGES, 1);
	}
	if (queue->bytes > limit / 2)
	{
		drop_commits(session, from);
		stats_add(STAT_SLOW_GAPS, 1);
		log_write(LOG_LEVEL_INFO, "slow_reader", "address=%s bytes=%zu", session->address, before);
	}
	outqueue_compact(queue);
	stats_add(STAT_QUEUE_BYTES, (int64_t) queue->bytes - (int64_t) before);
}
