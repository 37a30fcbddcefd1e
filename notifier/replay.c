/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * replay.c
 *	  Transactions of the past for subscriptions that resume: see catchup.h.
 *
 * Resumptions that come at about the same time are served together: from the worker's recent batches, or by
 * one read of the log (replay_log.c). One of each is under way, who comes meanwhile waits for the next. What is replayed
 * goes through the hub in turns, between transactions of the live stream, and is kept once for each view.
 */
#include <string.h>

#include "memory.h"
#include "replay_state.h"
#include "stats.h"

#define GATHER_MS 5				/* resumptions that come within this are served together */
#define INSIDE_MS 1				/* until the rest of a transaction has come */
#define LATER_MS 500			/* until the database is asked again */
#define TURN_BYTES ((size_t) 256 * 1024)	/* played before others have their turn */

/* History does not reach back: a gap, then the snapshot if it is wanted. */
static void
give_up_resume(struct worker *worker, struct subscription *subscription, const char *reason)
{
	struct catchup *catchup = subscription->catchup;

	catchup->replay = NULL;
	catchup->is_resume = false;
	if (catchup->past != NULL)
		past_unref(catchup->past);
	catchup->past = NULL;
	contents_release(&catchup->content);
	position_release(&catchup->since);
	memset(&catchup->since, 0, sizeof(catchup->since));
	catchup_tell_gap(worker, subscription, reason);
	if (catchup->wants_snapshot)
	{
		/* What was held stays: the snapshot must include all that came before the holding began. */
		snapshot_start(worker, subscription);
		return;
	}
	/* Of what was held, that is told which the gap's position does not cover. */
	if (catchup->join.epoch != NULL)
		position_release(&catchup->join);
	if (position_parse(&catchup->join, worker->last->position_text,
					   strlen(worker->last->position_text)) < 0)
		memset(&catchup->join, 0, sizeof(catchup->join));
	catchup_begin_feeding(worker, subscription);
}

/* What a past transaction has for all of a view that resume. */
static void
replay_deliver_all(void *arg, struct view *view, const struct delivery *delivery)
{
	(void) arg;
	if (delivery->frame == NULL && delivery->gap == NULL)
		contents_add(&view->past->contents, CONTENT_OWN, NULL, delivery->xid);
	else
		contents_add_delivery(&view->past->contents, delivery);
}

/* The same for one of them. */
static void
replay_deliver(void *arg, struct subscription *subscription, const struct delivery *delivery)
{
	(void) arg;
	contents_add_delivery(&subscription->catchup->content, delivery);
}

/*
 * A marker of changed rights is replayed. A subscription that began before the live stream came to it may not
 * know of it: nothing behind it is shown, until the live stream comes there and suspends the view.
 */
static void
replay_access(void *arg, struct view *view, uint64_t xid)
{
	bool		is_known;

	(void) arg;
	if (view == NULL || view->past == NULL)
		return;
	is_known = view->role->position.epoch != NULL && position_covers(&view->role->position, xid);
	for (unsigned i = 0; i < view->npolicies; i++)
		is_known &= view->policies[i]->position.epoch != NULL
			&& position_covers(&view->policies[i]->position, xid);
	if (!is_known)
		contents_add(&view->past->contents, CONTENT_RIGHTS, NULL, xid);
}

/* Who keeps the recent batches. */
static const struct worker *
cache_owner(const struct worker *worker)
{
	return worker->evaluator != NULL ? worker->companion : worker;
}

/* Whether the recent batches hold all that a position does not cover, up to the stream's own. */
static bool
is_in_cache(const struct worker *worker, const struct position *since)
{
	const struct worker *owner = cache_owner(worker);

	return owner->cache_base != NULL
		&& position_is_within(&owner->cache_base->position, since)
		&& since->xmax <= worker->last->position.xmax;
}

/* A replay for some subscriptions; takes the list over. */
static struct replay *
replay_new(struct worker *worker, struct subscriptions list, bool is_cached)
{
	struct replay *replay = memory_alloc_zeroed(sizeof(*replay));

	replay->worker = worker;
	replay->subscriptions = list;
	replay->is_cached = is_cached;
	replay->max_bytes = worker->options->max_snapshot;
	for (unsigned i = 0; i < list.n; i++)
		list.at[i]->catchup->replay = replay;
	return replay;
}

static void
replay_free(struct replay *replay)
{
	for (unsigned i = 0; i < replay->npasts; i++)
	{
		struct past *past = replay->pasts[i];
		struct view *view = past->view;

		past->view = NULL;
		past_unref(past);
		view->unsettled--;
		hub_release(replay->worker->hub, view);
	}
	for (unsigned i = 0; i < replay->nchunks; i++)
		chunk_unref(replay->chunks[i]);
	for (unsigned i = 0; i < replay->nerrors; i++)
		memory_free(replay->errors[i]);
	for (unsigned i = 0; i < replay->nkept; i++)
		chunk_unref(replay->kept[i]);
	memory_free(replay->pasts);
	memory_free(replay->kept);
	memory_free(replay->errors);
	memory_free(replay->chunks);
	memory_free(replay->position);
	memory_free(replay->subscriptions.at);
	hub_stream_free(replay->stream);
	loop_task_free(replay->turn);
	loop_timer_free(replay->wait);
	memory_free(replay);
}

void
replay_keep(struct replay *replay, struct chunk *chunk)
{
	if (replay->nkept == replay->kept_room)
	{
		replay->kept_room = replay->kept_room ? replay->kept_room * 2 : 64;
		replay->kept = memory_resize(replay->kept, sizeof(struct chunk *) * replay->kept_room);
	}
	replay->kept[replay->nkept++] = chunk;
}

/* The oldest transaction that one of some positions does not cover, at least. */
static uint64_t
oldest_of(const struct subscriptions *list)
{
	uint64_t	oldest = UINT64_MAX;

	for (unsigned i = 0; i < list->n; i++)
		if (list->at[i]->catchup->since.xmin < oldest)
			oldest = list->at[i]->catchup->since.xmin;
	return oldest;
}

/* Puts the chunks of the recent batches from a transaction on into a replay, as far as the stream has come. */
static void
take_cached(struct replay *replay)
{
	const struct worker *worker = replay->worker;
	const struct worker *owner = cache_owner(worker);
	uint64_t	oldest = oldest_of(&replay->subscriptions);

	for (unsigned i = 0; i < owner->cache_count; i++)
	{
		const struct batch *batch = owner->cache[(owner->cache_head + i) & (owner->cache_room - 1)];

		for (unsigned c = 0; c < batch->nchunks; c++)
			if (batch->chunks[c]->xid >= oldest
				&& position_covers(&worker->last->position, batch->chunks[c]->xid))
				replay_keep(replay, chunk_ref(batch->chunks[c]));
	}
}

/* Makes one past for all that resume in a view. */
static void
make_pasts(struct replay *replay)
{
	const struct subscriptions *list = &replay->subscriptions;
	unsigned	room = 0;

	for (unsigned i = 0; i < list->n; i++)
	{
		struct view *view = list->at[i]->view;
		struct past *past = view->past;

		if (past == NULL)
		{
			past = memory_alloc_zeroed(sizeof(*past));
			past->refs = 1;
			past->view = view;
			view->unsettled++;
			view->past = past;
			if (replay->npasts == room)
			{
				room = room ? room * 2 : 8;
				replay->pasts = memory_resize(replay->pasts, sizeof(struct past *) * room);
			}
			replay->pasts[replay->npasts++] = past;
		}
		past->refs++;
		list->at[i]->catchup->past = past;
		subscriptions_add(&past->subscriptions, list->at[i]);
	}
	for (unsigned i = 0; i < replay->npasts; i++)
		replay->pasts[i]->view->past = NULL;
}

/* Tells the views who resumes. Between turns they do not know it: another replay may play meanwhile. */
static void
show_pasts(const struct replay *replay, bool is_shown)
{
	for (unsigned i = 0; i < replay->npasts; i++)
	{
		struct past *past = replay->pasts[i];

		past->view->past = is_shown ? past : NULL;
		past->view->replayers = is_shown ? &past->subscriptions : NULL;
	}
}

/* Plays some of the chunks that were kept, in whole transactions: so many bytes or, for a turn, less if others wait. */
static void
play(struct replay *replay, bool is_turn)
{
	struct worker *worker = replay->worker;
	size_t		bytes = 0;

	if (replay->stream == NULL)
	{
		make_pasts(replay);
		replay->stream = hub_replay_new(worker->hub, replay_deliver_all, replay_deliver, worker);
		hub_stream_on_access(replay->stream, replay_access);
	}
	show_pasts(replay, true);
	while (replay->played < replay->nkept && replay->subscriptions.n > 0
		   && (!is_turn || hub_stream_is_inside(replay->stream)
			   || (bytes < TURN_BYTES && (bytes == 0 || !loop_has_posts(worker->loop)))))
	{
		bytes += chunk_memory(replay->kept[replay->played]);
		hub_stream_chunk(replay->stream, replay->kept[replay->played++]);
	}
	show_pasts(replay, false);
}

/* What the worker's stream has come to. */
static void
set_end(struct replay *replay)
{
	const char *text = replay->worker->last->position_text;

	replay->position = memory_copy_string(text, strlen(text));
	take_cached(replay);
}

/* The evaluator's round for a replay from the recent batches has come. */
static void
cached_round(void *arg)
{
	struct replay *replay = arg;
	struct worker *worker = replay->worker;

	/* Batches may have left memory since it was asked for: who needs those waits for the log. */
	for (unsigned i = 0; i < replay->subscriptions.n;)
	{
		struct subscription *subscription = replay->subscriptions.at[i];

		if (is_in_cache(worker, &subscription->catchup->since))
		{
			i++;
			continue;
		}
		subscription->catchup->replay = NULL;
		subscriptions_remove_at(&replay->subscriptions, i);
		subscriptions_add(&worker->catchups->resuming, subscription);
	}
	set_end(replay);
	for (unsigned i = 0; i < replay->nkept; i++)
		evaluator_add_chunk(replay->worker->evaluator, replay->kept[i]);
}

static void replay_complete(struct worker *worker, struct replay *replay);
static void play_in_turns(struct replay *replay);

static void
evaluated(void *arg)
{
	struct replay *replay = arg;

	play(replay, false);
	replay_complete(replay->worker, replay);
}

/* One pass over the recent batches for those whose positions they reach. Takes the list over. */
static void
replay_cache(struct worker *worker, struct subscriptions list)
{
	struct replay *replay = replay_new(worker, list, true);

	worker->catchups->cached = replay;
	if (worker->evaluator != NULL)
	{
		evaluator_replay(worker->evaluator, cached_round, evaluated, replay);
		return;
	}
	set_end(replay);
	play_in_turns(replay);
}

/* The reason that a peer is told for what position_error() says. */
static const char *
gap_reason(const char *error)
{
	return strcmp(error, "history") == 0 ? "history" : "epoch";
}

/* Those whose positions are void get a gap; the list keeps the others, in order. */
static void
sort_out(struct worker *worker, struct replay *replay)
{
	struct subscriptions good = {NULL, 0, 0};

	for (unsigned i = 0; i < replay->subscriptions.n; i++)
	{
		struct subscription *subscription = replay->subscriptions.at[i];
		const char *error = "history";

		for (unsigned k = 0; k < replay->nerrors; k += 2)
			if (strcmp(replay->errors[k], subscription->catchup->since_text) == 0)
				error = replay->errors[k + 1];
		if (error == NULL)
			subscriptions_add(&good, subscription);
		else
			give_up_resume(worker, subscription, gap_reason(error));
	}
	memory_free(replay->subscriptions.at);
	replay->subscriptions = good;
	for (unsigned i = 0; i < replay->nerrors; i++)
		memory_free(replay->errors[i]);
	replay->nerrors = 0;
}

/* The next that wait, if any. */
static void
replay_ended(struct worker *worker, struct replay *replay)
{
	if (replay->is_cached)
		worker->catchups->cached = NULL;
	else
		worker->catchups->replay = NULL;
	replay_free(replay);
	if (worker->catchups->resuming.n > 0 && !loop_timer_is_active(worker->catchups->gather))
		loop_timer_start(worker->catchups->gather, GATHER_MS);
}

/* The database could not be asked: those who wait are served when it can. */
static void
replay_later(struct worker *worker, struct replay *replay)
{
	for (unsigned i = 0; i < replay->subscriptions.n; i++)
	{
		struct subscription *subscription = replay->subscriptions.at[i];

		subscription->catchup->replay = NULL;
		subscriptions_add(&worker->catchups->resuming, subscription);
	}
	replay_free(replay);
	worker->catchups->replay = NULL;
	loop_timer_start(worker->catchups->gather, LATER_MS);
}

/*
 * All is replayed: the content is complete. The reader may be ahead of it, from another notifier, by moments: what is
 * still to come is known to him then.
 */
static void
replay_complete(struct worker *worker, struct replay *replay)
{
	while (replay->subscriptions.n > 0)
	{
		struct subscription *subscription = replay->subscriptions.at[replay->subscriptions.n - 1];
		struct catchup *catchup = subscription->catchup;

		subscriptions_remove_at(&replay->subscriptions, replay->subscriptions.n - 1);
		catchup->replay = NULL;
		if (catchup->join.epoch != NULL)
			position_release(&catchup->join);
		if (position_parse(&catchup->join, replay->position, strlen(replay->position)) < 0
			|| strcmp(catchup->join.epoch, catchup->since.epoch) != 0)
		{
			give_up_resume(worker, subscription, "epoch");
			continue;
		}
		stats_add(replay->is_cached ? STAT_RESUMES_CACHE : STAT_RESUMES_LOG, 1);
		catchup_begin_feeding(worker, subscription);
	}
	replay_ended(worker, replay);
}

/* Plays some of what was read; the rest has its turn after whatever else waits. */
static void
play_turn(void *arg)
{
	struct replay *replay = arg;

	if (hub_stream_is_inside(replay->worker->live))
	{
		loop_timer_start(replay->wait, INSIDE_MS);	/* views collect for one transaction at a time */
		return;
	}
	play(replay, true);
	if (replay->played < replay->nkept && replay->subscriptions.n > 0)
		loop_task_start(replay->turn);
	else
		replay_complete(replay->worker, replay);
}

static void
play_in_turns(struct replay *replay)
{
	struct loop *loop = replay->worker->loop;

	replay->turn = loop_task_new(loop, play_turn, replay);
	replay->wait = loop_timer_new(loop, play_turn, replay);
	loop_task_start(replay->turn);
}

/* The evaluator's round for what was read of the log has come. */
static void
log_round(void *arg)
{
	struct replay *replay = arg;

	for (unsigned i = 0; i < replay->nkept; i++)
		evaluator_add_chunk(replay->worker->evaluator, replay->kept[i]);
}

void
replay_arrived(void *arg)
{
	struct replay *replay = arg;
	struct worker *worker = replay->worker;

	if (replay->subscriptions.n == 0)
	{
		replay_ended(worker, replay);
		return;
	}
	if (replay->outcome != DB_DONE && !replay->is_too_large)
	{
		replay_later(worker, replay);
		return;
	}
	if (replay->is_too_large)
	{
		while (replay->subscriptions.n > 0)
		{
			struct subscription *subscription = replay->subscriptions.at[0];

			subscriptions_remove_at(&replay->subscriptions, 0);
			give_up_resume(worker, subscription, "history");
		}
		replay_ended(worker, replay);
		return;
	}
	sort_out(worker, replay);
	if (replay->subscriptions.n == 0)
		replay_ended(worker, replay);
	else if (replay->is_checking)
		replay_read(replay);
	else if (worker->evaluator != NULL)
		evaluator_replay(worker->evaluator, log_round, evaluated, replay);
	else
		play_in_turns(replay);
}

/* Those whose turn has not come. */
static void
wait_again(struct catchups *all, struct subscriptions *list)
{
	for (unsigned i = 0; i < list->n; i++)
		subscriptions_add(&all->resuming, list->at[i]);
	memory_free(list->at);
}

void
replay_gather(void *arg)
{
	struct worker *worker = arg;
	struct catchups *all = worker->catchups;
	struct subscriptions cached = {NULL, 0, 0};
	struct subscriptions later = {NULL, 0, 0};

	if (worker->is_inside)
	{
		loop_timer_start(all->gather, GATHER_MS);
		return;
	}
	while (all->resuming.n > 0)
	{
		struct subscription *subscription = all->resuming.at[0];
		const struct position *since = &subscription->catchup->since;

		subscriptions_remove_at(&all->resuming, 0);
		if (strcmp(since->epoch, worker->last->position.epoch) != 0)
			give_up_resume(worker, subscription, "epoch");
		else if (is_in_cache(worker, since))
			subscriptions_add(&cached, subscription);
		else
			subscriptions_add(&later, subscription);
	}
	if (cached.n > 0 && all->cached == NULL)
		replay_cache(worker, cached);
	else
		wait_again(all, &cached);
	if (later.n > 0 && all->replay == NULL)
	{
		all->replay = replay_new(worker, later, false);
		replay_check(all->replay);
	}
	else
		wait_again(all, &later);
}

void
replay_drop(struct replay *replay, struct subscription *subscription)
{
	subscriptions_remove(&replay->subscriptions, subscription);
	if (replay->subscriptions.n == 0)
		atomic_store_explicit(&replay->is_left, true, memory_order_relaxed);
	if (subscription->catchup->past != NULL)
		subscriptions_remove(&subscription->catchup->past->subscriptions, subscription);
}

void
replay_end(struct catchups *catchups)
{
	if (catchups->replay != NULL)
		replay_free(catchups->replay);
	if (catchups->cached != NULL)
		replay_free(catchups->cached);
	catchups->replay = catchups->cached = NULL;
}
