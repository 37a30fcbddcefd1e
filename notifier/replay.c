/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * replay.c
 *	  Transactions of the past for subscriptions that resume: see catchup.h.
 *
 * Resumptions that come at about the same time are served together: from the worker's recent batches, or by
 * one read of the log, which first asks whether their positions are good and asks again afterwards. What was
 * read is kept until it is complete, then played through the hub in turns, between transactions of
 * the live stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catchup_state.h"
#include "log.h"
#include "memory.h"
#include "stats.h"

#define GATHER_MS 5				/* resumptions that come within this are served together */
#define SLICE_BYTES (1024 * 1024)	/* of the log, handed to the worker at a time */
#define TURN_BYTES (2 * 1024 * 1024)	/* played before others have their turn */

/* One read of the log for all that resume from positions that the recent batches do not reach. */
struct replay
{
	struct worker *worker;
	struct subscriptions subscriptions;
	bool		is_checking;	/* first the positions are checked, then the log is read */
	size_t		max_bytes;
	struct chunk **kept;		/* what is replayed */
	unsigned	nkept;
	unsigned	kept_room;
	unsigned	played;			/* of them */
	struct hub_stream *stream;	/* while they are played in turns */
	struct loop_timer *wait;	/* for the live stream's transaction to end */

	/* in the pool's thread */
	struct db_job *job;
	struct chunk **chunks;
	unsigned	nchunks;
	unsigned	room;
	size_t		slice_bytes;
	size_t		bytes;
	char	   *position;
	char	  **errors;			/* of the positions, in the order of the subscriptions when it was sent */
	unsigned	nerrors;
	bool		is_too_large;
	enum db_outcome outcome;
};

/* Chunks on their way to the worker. */
struct slice_of_log
{
	struct replay *replay;
	unsigned	n;
	struct chunk **chunks;
};

/* History does not reach back: a gap, then the snapshot if it is wanted. */
static void
give_up_resume(struct worker *worker, struct subscription *subscription, const char *reason)
{
	struct catchup *catchup = subscription->catchup;

	subscriptions_remove(&subscription->view->replayers, subscription);
	catchup->replay = NULL;
	catchup->is_resume = false;
	contents_release(&catchup->content);
	catchup_tell_gap(worker, subscription, reason);
	if (catchup->wants_snapshot)
	{
		/* What was held stays: the snapshot must include all that came before the holding began. */
		snapshot_start(worker, subscription);
		return;
	}
	position_release(&catchup->since);
	memset(&catchup->since, 0, sizeof(catchup->since));
	/* Of what was held, that is told which the gap's position does not cover. */
	if (catchup->join.epoch != NULL)
		position_release(&catchup->join);
	if (position_parse(&catchup->join, worker->last->position_text,
					   strlen(worker->last->position_text)) < 0)
		memset(&catchup->join, 0, sizeof(catchup->join));
	catchup_begin_feeding(worker, subscription);
}

/* A past transaction's frame for a subscription that resumes: unless it knows it. */
static void
replay_deliver(void *arg, struct subscription *subscription, const struct delivery *delivery)
{
	struct catchup *catchup = subscription->catchup;

	(void) arg;
	if (!catchup->is_void && !position_covers(&catchup->since, delivery->xid))
		contents_add(&catchup->content, delivery->frame, delivery->gap, delivery->xid,
					 delivery->priority);
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
	if (view == NULL || view->replayers.n == 0)
		return;
	is_known = view->role->position.epoch != NULL && position_covers(&view->role->position, xid);
	for (unsigned i = 0; i < view->npolicies; i++)
		is_known &= view->policies[i]->position.epoch != NULL
			&& position_covers(&view->policies[i]->position, xid);
	for (unsigned i = 0; i < view->replayers.n && !is_known; i++)
	{
		struct catchup *catchup = view->replayers.at[i]->catchup;

		if (!position_covers(&catchup->at->position, xid))
			catchup->is_void = true;
	}
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

static void
replay_free(struct replay *replay)
{
	for (unsigned i = 0; i < replay->nchunks; i++)
		chunk_unref(replay->chunks[i]);
	for (unsigned i = 0; i < replay->nerrors; i++)
		memory_free(replay->errors[i]);
	for (unsigned i = 0; i < replay->nkept; i++)
		chunk_unref(replay->kept[i]);
	memory_free(replay->kept);
	memory_free(replay->errors);
	memory_free(replay->chunks);
	memory_free(replay->position);
	memory_free(replay->subscriptions.at);
	hub_stream_free(replay->stream);
	loop_timer_free(replay->wait);
	memory_free(replay);
}

/* Keeps a chunk, with its reference. */
static void
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

/* Replays the chunks that were kept. */
static void
play(struct replay *replay)
{
	struct hub_stream *stream = hub_stream_new(replay->worker->hub, true, replay_deliver,
											   replay->worker);
	struct subscriptions *list = &replay->subscriptions;

	hub_stream_on_access(stream, replay_access);
	for (unsigned i = 0; i < list->n; i++)
		subscriptions_add(&list->at[i]->view->replayers, list->at[i]);
	for (unsigned i = 0; i < replay->nkept && list->n > 0; i++)
		hub_stream_chunk(stream, replay->kept[i]);
	hub_stream_free(stream);
	for (unsigned i = 0; i < list->n; i++)
		subscriptions_remove(&list->at[i]->view->replayers, list->at[i]);
}

/* What came from the recent batches is complete. */
static void
finish_cached(struct replay *replay)
{
	struct worker *worker = replay->worker;

	while (replay->subscriptions.n > 0)
	{
		struct subscription *subscription = replay->subscriptions.at[0];
		struct catchup *catchup = subscription->catchup;

		subscriptions_remove_at(&replay->subscriptions, 0);
		catchup->replay = NULL;
		/* Up to here all is replayed; what the stream brings later may be covered by since. */
		catchup->join = catchup->since;
		memset(&catchup->since, 0, sizeof(catchup->since));
		contents_release(&catchup->held);	/* is among it, too */
		stats_add(STAT_RESUMES_CACHE, 1);
		catchup_begin_feeding(worker, subscription);
	}
	replay_free(replay);
}

/* The evaluator ends before its round. */
static void
drop_replay(void *arg)
{
	replay_free(arg);
}

/* The evaluator's round for a replay from the recent batches has come. */
static void
cached_round(void *arg)
{
	struct replay *replay = arg;

	take_cached(replay);
	for (unsigned i = 0; i < replay->nkept; i++)
		evaluator_add_chunk(replay->worker->evaluator, replay->kept[i]);
}

static void
cached_evaluated(void *arg)
{
	play(arg);
	finish_cached(arg);
}

/* One pass over the recent batches for those whose positions they reach. Takes the list over. */
static void
replay_cache(struct worker *worker, struct subscriptions list)
{
	struct replay *replay = memory_alloc_zeroed(sizeof(*replay));

	replay->worker = worker;
	replay->subscriptions = list;
	for (unsigned i = 0; i < list.n; i++)
		list.at[i]->catchup->replay = replay;
	if (worker->evaluator != NULL)
	{
		evaluator_replay(worker->evaluator, cached_round, cached_evaluated, drop_replay, replay);
		return;
	}
	take_cached(replay);
	play(replay);
	finish_cached(replay);
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

static void replay_read(struct replay *replay);

/* The next that wait, if any. */
static void
replay_ended(struct worker *worker, struct replay *replay)
{
	replay_free(replay);
	worker->catchups->replay = NULL;
	if (worker->catchups->resuming.n > 0)
		loop_timer_start(worker->catchups->gather, GATHER_MS);
	worker_flush(worker);
}

/* The database could not be asked: those who wait are served when it can. */
static void
replay_later(struct worker *worker, struct replay *replay)
{
	for (unsigned i = 0; i < replay->subscriptions.n; i++)
	{
		struct subscription *subscription = replay->subscriptions.at[i];

		subscriptions_remove(&subscription->view->replayers, subscription);
		contents_release(&subscription->catchup->content);
		subscription->catchup->replay = NULL;
		subscriptions_add(&worker->catchups->resuming, subscription);
	}
	replay_free(replay);
	worker->catchups->replay = NULL;
	loop_timer_start(worker->catchups->gather, 500);
	worker_flush(worker);
}

/* The log has been read, and is what it was: the content is complete. */
static void
replay_complete(struct worker *worker, struct replay *replay)
{
	while (replay->subscriptions.n > 0)
	{
		struct subscription *subscription = replay->subscriptions.at[0];
		struct catchup *catchup = subscription->catchup;

		subscriptions_remove_at(&replay->subscriptions, 0);
		catchup->replay = NULL;
		subscriptions_remove(&subscription->view->replayers, subscription);
		if (catchup->join.epoch != NULL)
			position_release(&catchup->join);
		if (position_parse(&catchup->join, replay->position, strlen(replay->position)) < 0)
		{
			memset(&catchup->join, 0, sizeof(catchup->join));
			give_up_resume(worker, subscription, "epoch");
			continue;
		}
		/* The reader may be ahead of the log that was read: from another notifier, by moments. */
		if (!position_is_within(&catchup->since, &catchup->join))
		{
			give_up_resume(worker, subscription, "epoch");
			continue;
		}
		stats_add(STAT_RESUMES_LOG, 1);
		catchup_begin_feeding(worker, subscription);
	}
	replay_ended(worker, replay);
}

/*
 * Plays some of what was read of the log; the rest has its turn after whatever else waits. Between turns the
 * views do not know who resumes: another replay may play meanwhile.
 */
static void
play_turn(void *arg)
{
	struct replay *replay = arg;
	struct subscriptions *list = &replay->subscriptions;
	size_t		bytes = 0;

	if (hub_stream_is_inside(replay->worker->live))
	{
		loop_timer_start(replay->wait, GATHER_MS);	/* views collect for one transaction at a time */
		return;
	}
	for (unsigned i = 0; i < list->n; i++)
		subscriptions_add(&list->at[i]->view->replayers, list->at[i]);
	while (replay->played < replay->nkept && list->n > 0
		   && (bytes < TURN_BYTES || hub_stream_is_inside(replay->stream)))
	{
		bytes += chunk_memory(replay->kept[replay->played]);
		hub_stream_chunk(replay->stream, replay->kept[replay->played++]);
	}
	for (unsigned i = 0; i < list->n; i++)
		subscriptions_remove(&list->at[i]->view->replayers, list->at[i]);
	if (replay->played < replay->nkept && replay->subscriptions.n > 0)
		loop_timer_start(replay->wait, 0);
	else
		replay_complete(replay->worker, replay);
}

/* The evaluator's round for what was read of the log has come. */
static void
log_round(void *arg)
{
	struct replay *replay = arg;

	for (unsigned i = 0; i < replay->nkept; i++)
		evaluator_add_chunk(replay->worker->evaluator, replay->kept[i]);
}

static void
log_evaluated(void *arg)
{
	struct replay *replay = arg;

	play(replay);
	replay_complete(replay->worker, replay);
}

/* In the worker's thread: the positions were checked, or the log has been read. */
static void
replay_arrived(void *arg)
{
	struct replay *replay = arg;
	struct worker *worker = replay->worker;

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
		evaluator_replay(worker->evaluator, log_round, log_evaluated, NULL, replay);
	else
	{
		replay->stream = hub_stream_new(worker->hub, true, replay_deliver, worker);
		hub_stream_on_access(replay->stream, replay_access);
		replay->wait = loop_timer_new(worker->loop, play_turn, replay);
		play_turn(replay);
	}
}

/* In the worker's thread: a slice of the log. */
static void
slice_arrived(void *arg)
{
	struct slice_of_log *slice = arg;

	for (unsigned i = 0; i < slice->n; i++)
		replay_keep(slice->replay, slice->chunks[i]);
	memory_free(slice->chunks);
	memory_free(slice);
}

/* In the pool's thread: hands over what was read, if a transaction is complete. */
static void
hand_over(struct replay *replay)
{
	struct slice_of_log *slice = memory_alloc(sizeof(*slice));

	slice->replay = replay;
	slice->n = replay->nchunks;
	slice->chunks = replay->chunks;
	replay->chunks = NULL;
	replay->nchunks = replay->room = 0;
	replay->slice_bytes = 0;
	loop_post(replay->worker->loop, slice_arrived, slice);
}

/* A row of the history: the position first, then parts of transactions. */
static void
history_row(struct replay *replay, const struct slice *fields)
{
	char		number[24];
	struct chunk *chunk;
	uint64_t	values[3];
	static const unsigned columns[] = {1, 2, 4};

	if (fields[0].at != NULL)
	{
		replay->position = memory_copy_string(fields[0].at, fields[0].len);
		return;
	}
	if (replay->is_too_large)
		return;
	for (unsigned i = 0; i < 3; i++)
	{
		snprintf(number, sizeof(number), "%.*s", (int) fields[columns[i]].len, fields[columns[i]].at);
		values[i] = strtoull(number, NULL, 10);
	}
	chunk = chunk_new(values[0], (unsigned) values[1], slice_equals(fields[3], "t"),
					  (int64_t) values[2], fields[5].at, fields[5].len);
	if (replay->nchunks == replay->room)
	{
		replay->room = replay->room ? replay->room * 2 : 64;
		replay->chunks = memory_resize(replay->chunks, sizeof(struct chunk *) * replay->room);
	}
	replay->chunks[replay->nchunks++] = chunk;
	replay->slice_bytes += fields[5].len;
	replay->bytes += fields[5].len;
	if (replay->bytes > replay->max_bytes)
	{
		replay->is_too_large = true;
		db_cancel(replay->job);
		return;
	}
	if (replay->slice_bytes > SLICE_BYTES && chunk->is_last)
		hand_over(replay);
}

/* A row of the check: position and error. */
static void
check_row(struct replay *replay, const struct slice *fields)
{
	replay->errors = memory_resize(replay->errors, sizeof(char *) * (replay->nerrors + 2));
	replay->errors[replay->nerrors++] = memory_copy_string(fields[0].at, fields[0].len);
	replay->errors[replay->nerrors++] = fields[1].at
		? memory_copy_string(fields[1].at, fields[1].len) : NULL;
}

static void
replay_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct replay *replay = arg;

	if (nfields == 2)
		check_row(replay, fields);
	else if (nfields >= 6)
		history_row(replay, fields);
	(void) step;
}

static void
replay_done(void *arg, const struct db_error *error)
{
	struct replay *replay = arg;

	replay->outcome = error->outcome;
	if (error->outcome == DB_FAILED)
		log_write(LOG_LEVEL_WARNING, "history_failed", "sqlstate=%s message=%s", error->sqlstate,
				  error->message);
	if (error->outcome == DB_DONE && replay->nchunks > 0)
		hand_over(replay);
	loop_post(replay->worker->loop, replay_arrived, replay);
}

static const char check_sql[] =
"SELECT p, realtime.position_error(p) FROM pg_catalog.unnest($1::text[]) p";

/* The distinct positions of a replay as an array's text. Positions need no quoting. */
static char *
since_array(const struct replay *replay)
{
	struct buffer text;

	buffer_init(&text);
	buffer_puts(&text, "{");
	for (unsigned i = 0; i < replay->subscriptions.n; i++)
	{
		const char *since = replay->subscriptions.at[i]->catchup->since_text;
		bool		is_known = false;

		for (unsigned k = i > 50 ? i - 50 : 0; k < i && !is_known; k++)
			is_known = strcmp(since, replay->subscriptions.at[k]->catchup->since_text) == 0;
		if (is_known)
			continue;
		if (text.len > 1)
			buffer_puts(&text, ",");
		buffer_puts_json(&text, since);
	}
	buffer_puts(&text, "}");
	return buffer_take(&text);
}

static int
compare_xids(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

/* What at least one of the positions does not cover: from xmax on, and these. */
static void
meet(const struct replay *replay, char *xmax_text, size_t size, struct buffer *xip)
{
	uint64_t	xmax = UINT64_MAX;
	uint64_t   *xids = NULL;
	size_t		n = 0;

	for (unsigned i = 0; i < replay->subscriptions.n; i++)
		if (replay->subscriptions.at[i]->catchup->since.xmax < xmax)
			xmax = replay->subscriptions.at[i]->catchup->since.xmax;
	for (unsigned i = 0; i < replay->subscriptions.n; i++)
	{
		const struct position *since = &replay->subscriptions.at[i]->catchup->since;

		xids = memory_resize(xids, sizeof(uint64_t) * (n + since->nxip));
		for (size_t k = 0; k < since->nxip; k++)
			if (since->xip[k] < xmax)
				xids[n++] = since->xip[k];
	}
	if (n > 1)
		qsort(xids, n, sizeof(uint64_t), compare_xids);
	snprintf(xmax_text, size, "%llu", (unsigned long long) xmax);
	buffer_puts(xip, "{");
	for (size_t i = 0; i < n; i++)
	{
		if (i > 0 && xids[i] == xids[i - 1])
			continue;
		if (xip->len > 1)
			buffer_puts(xip, ",");
		buffer_put_number(xip, (int64_t) xids[i]);
	}
	buffer_puts(xip, "}");
	memory_free(xids);
}

/* Second step: the positions are good, the log is read; then they are checked again. */
static void
replay_read(struct replay *replay)
{
	char		xmax[24];
	struct buffer xip;
	char	   *sinces = since_array(replay);
	const char *params[2];
	const char *check_params[] = {sinces};
	struct db_statement statements[] = {
		{source_log_history_sql, 2, params},
		{check_sql, 1, check_params},
		{"SELECT realtime.flush()", 0, NULL},
	};

	buffer_init(&xip);
	meet(replay, xmax, sizeof(xmax), &xip);
	params[0] = xmax;
	params[1] = buffer_take(&xip);
	replay->is_checking = false;
	replay->job = db_submit(replay->worker->shared->db, statements, 3, replay_row, replay_done, replay);
	memory_free((char *) params[1]);
	memory_free(sinces);
}

/* First step: are the positions good? Reading the log from a bad one could be reading all of it. */
static void
replay_check(struct replay *replay)
{
	char	   *sinces = since_array(replay);
	const char *params[] = {sinces};
	const struct db_statement statement = {check_sql, 1, params};

	replay->is_checking = true;
	replay->job = db_submit(replay->worker->shared->db, &statement, 1, replay_row, replay_done, replay);
	memory_free(sinces);
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
	if (cached.n > 0)
		replay_cache(worker, cached);
	if (later.n > 0 && all->replay != NULL)
	{
		for (unsigned i = 0; i < later.n; i++)
			subscriptions_add(&all->resuming, later.at[i]);
		memory_free(later.at);
	}
	else if (later.n > 0)
	{
		struct replay *replay = memory_alloc_zeroed(sizeof(*replay));

		replay->worker = worker;
		replay->max_bytes = worker->options->max_snapshot;
		replay->subscriptions = later;
		for (unsigned i = 0; i < later.n; i++)
			later.at[i]->catchup->replay = replay;
		all->replay = replay;
		replay_check(replay);
	}
	worker_flush(worker);
}

void
replay_drop(struct replay *replay, const struct subscription *subscription)
{
	subscriptions_remove(&replay->subscriptions, subscription);
}

void
replay_end(struct catchups *catchups)
{
	if (catchups->replay != NULL)
		replay_free(catchups->replay);
	catchups->replay = NULL;
}
