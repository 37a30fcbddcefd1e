/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup.c
 *	  See catchup.h.
 *
 * A catch-up is of one subscription; a snapshot or a replay is a job that serves several. Jobs own what
 * crosses to the pool's thread and back; subscriptions that end meanwhile are taken out of their job.
 */
#include "catchup.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "session_state.h"
#include "snapshot_sql.h"
#include "stats.h"

#define GATHER_MS 5				/* resumptions that come within this are served together */
#define SLICE_BYTES (1024 * 1024)	/* of the log, handed to the worker at a time */

/* A frame that waits for its turn. */
struct content
{
	struct frame *frame;		/* NULL: a gap */
	const char *gap;
	uint64_t	xid;
	enum priority priority;
};

struct contents
{
	struct content *at;
	unsigned	n;
	unsigned	room;
	size_t		bytes;
};

enum catchup_state
{
	CATCHUP_FETCHING,			/* the content is on its way */
	CATCHUP_FEEDING,			/* into the queue */
	CATCHUP_JOINING				/* until the stream has passed the join */
};

struct catchup
{
	enum catchup_state state;
	bool		is_resume;
	bool		is_covered;		/* the since of a resumption is a join of its own, see begin_feeding() */
	bool		wants_snapshot;
	struct position since;		/* of a resumption */
	char	   *since_text;
	struct batch *at;			/* the stream's position when the subscription began */
	struct position join;
	uint64_t	limit;
	struct message_order *order;
	unsigned	norder;
	struct contents content;
	unsigned	fed;
	struct contents held;
	const char *gap;			/* told after the content: commits could not be held */
	struct snapshot *snapshot;	/* job that it waits for */
	struct replay *replay;
};

/* One query for all that want the same rows at about the same time. */
struct snapshot
{
	struct snapshot *next;
	struct worker *worker;
	struct view *view;			/* kept by view->unsettled */
	struct role_access *role;	/* keeps entity */
	const struct entity_access *entity;
	char		view_id[VIEW_ID_SIZE];
	char	   *key;			/* the statement */
	struct subscriptions subscriptions;
	size_t		max_bytes;

	/* in the pool's thread, until it is handed over */
	struct db_job *job;
	char	   *position;
	struct row	row;
	struct buffer part;
	struct contents content;
	unsigned	nparts;
	unsigned	nrows;
	bool		is_too_large;
	enum db_outcome outcome;
	char		sqlstate[6];
};

/* One read of the log for all that resume from positions that the recent batches do not reach. */
struct replay
{
	struct worker *worker;
	struct subscriptions subscriptions;
	bool		is_checking;	/* first the positions are checked, then the log is read */
	struct hub_stream *stream;
	size_t		max_bytes;
	struct chunk **kept;		/* what is replayed at once: from memory, or after an evaluation */
	unsigned	nkept;
	unsigned	kept_room;

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

struct catchups
{
	struct worker *worker;
	struct snapshot *snapshots;	/* to which subscriptions may be added */
	struct subscriptions joining;
	struct subscriptions resuming;	/* gathered */
	struct loop_timer *gather;
	struct replay *replay;		/* under way; others wait */
	struct loop_timer *retry;
};

static void gather_resumes(void *arg);
static void start_snapshot(struct worker *worker, struct subscription *subscription);
static void begin_feeding(struct worker *worker, struct subscription *subscription);

static void
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

static void
contents_release(struct contents *contents)
{
	for (unsigned i = 0; i < contents->n; i++)
		if (contents->at[i].frame != NULL)
			frame_unref(contents->at[i].frame);
	memory_free(contents->at);
	memset(contents, 0, sizeof(*contents));
}

/* Removes a subscription from a list, if it is there. */
static void
list_remove(struct subscriptions *list, const struct subscription *subscription)
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

	list_remove(&all->joining, subscription);
	list_remove(&all->resuming, subscription);
	list_remove(&subscription->view->replayers, subscription);
	if (catchup->snapshot != NULL)
		list_remove(&catchup->snapshot->subscriptions, subscription);
	if (catchup->replay != NULL)
		list_remove(&catchup->replay->subscriptions, subscription);
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

/* A gap for one subscription, now. */
static void
tell_gap(struct worker *worker, struct subscription *subscription, const char *reason)
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
		tell_gap(worker, subscription, catchup->gap);
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
	while (catchup->fed < catchup->content.n
		   && session->queue.bytes < worker->options->max_queue / 2)
	{
		const struct content *one = &catchup->content.at[catchup->fed];
		struct delivery delivery = {one->frame, one->xid, one->priority, 0, one->gap};

		if (one->xid == 0 || catchup->fed == 0 || one[-1].xid != one->xid)
			worker->group++;
		session_push(session, subscription, &delivery, worker->group);
		catchup->fed++;
	}
	if (catchup->fed == catchup->content.n)
		release_held(worker, subscription);
}

/* The content is complete, as of the join. */
static void
begin_feeding(struct worker *worker, struct subscription *subscription)
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

/*
 * Snapshots
 */

/* In the pool's thread: ends a part. */
static void
end_part(struct snapshot *snapshot, bool is_last)
{
	struct buffer head;
	struct frame *frame;
	char	   *to;

	buffer_init(&head);
	protocol_begin_snapshot(&head, snapshot->view_id, snapshot->nparts++, is_last);
	frame = frame_new_empty(head.len + snapshot->part.len + 2);
	to = frame_payload_at(frame);
	memcpy(to, head.at, head.len);
	if (snapshot->part.len > 0)
		memcpy(to + head.len, snapshot->part.at, snapshot->part.len);
	memcpy(to + head.len + snapshot->part.len, "]}", 2);
	frame_finish(frame, FRAME_SNAPSHOT, head.len + snapshot->part.len + 2);
	buffer_release(&head);
	contents_add(&snapshot->content, frame, NULL, 0, PRIORITY_NORMAL);
	frame_unref(frame);
	snapshot->part.len = 0;
}

static void
snapshot_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct snapshot *snapshot = arg;

	(void) nfields;
	if (step == 1)
		snapshot->position = memory_copy_string(fields[0].at, fields[0].len);
	if (step != 3 || snapshot->is_too_large)
		return;
	if (snapshot->part.len > 0 && snapshot->part.len + fields[0].len > PROTOCOL_PART_MAX)
		end_part(snapshot, false);
	if (snapshot->content.bytes + snapshot->part.len > snapshot->max_bytes)
	{
		snapshot->is_too_large = true;
		contents_release(&snapshot->content);
		db_cancel(snapshot->job);
		return;
	}
	if (snapshot->part.len > 0)
		buffer_puts(&snapshot->part, ",");
	row_read(&snapshot->row, fields[0]);
	{
		size_t		from = snapshot->part.len;

		view_write_row(snapshot->entity, &snapshot->row, fields[0], &snapshot->part);
		for (size_t i = from; i < snapshot->part.len; i++)	/* as in chunks: no line breaks */
			if (snapshot->part.at[i] == '\n' || snapshot->part.at[i] == '\r')
				snapshot->part.at[i] = ' ';
	}
	snapshot->nrows++;
}

static void
snapshot_free(struct snapshot *snapshot)
{
	snapshot->view->unsettled--;
	hub_release(snapshot->worker->hub, snapshot->view);
	role_access_unref(snapshot->role);
	memory_free(snapshot->subscriptions.at);
	memory_free(snapshot->key);
	memory_free(snapshot->position);
	row_release(&snapshot->row);
	buffer_release(&snapshot->part);
	contents_release(&snapshot->content);
	memory_free(snapshot);
}

/* A subscription whose snapshot failed ends with an error. */
static void
fail_snapshot(struct subscription *subscription, const struct snapshot *snapshot)
{
	struct session *session = subscription->session;
	const char *code = CODE_UNAVAILABLE;
	const char *why = "the database cannot be asked now";

	if (snapshot->is_too_large)
	{
		code = CODE_TOO_LARGE;
		why = "the snapshot is too large: use limit, a filter or fewer columns";
	}
	else if (snapshot->outcome == DB_FAILED && strcmp(snapshot->sqlstate, "42501") == 0)
	{
		code = CODE_FORBIDDEN;
		why = "the role may not read this entity";
	}
	else if (snapshot->outcome == DB_FAILED)
	{
		code = CODE_INTERNAL;
		why = "the snapshot could not be read";
	}
	session_error(session, (struct slice) {NULL, 0}, code, why, subscription->view->id);
	session_drop_subscription(session, subscription);
}

/* In the worker's thread: a snapshot is complete, or failed. */
static void
snapshot_arrived(void *arg)
{
	struct snapshot *snapshot = arg;
	struct worker *worker = snapshot->worker;
	struct snapshot **at = &worker->catchups->snapshots;
	struct position join;
	bool		is_good = snapshot->outcome == DB_DONE && !snapshot->is_too_large
		&& snapshot->position != NULL;

	while (*at != NULL && *at != snapshot)
		at = &(*at)->next;
	if (*at != NULL)
		*at = snapshot->next;
	while (snapshot->subscriptions.n > 0)
	{
		struct subscription *subscription = snapshot->subscriptions.at[0];
		struct catchup *catchup = subscription->catchup;

		subscriptions_remove_at(&snapshot->subscriptions, 0);
		catchup->snapshot = NULL;
		if (!is_good || position_parse(&join, snapshot->position, strlen(snapshot->position)) < 0)
		{
			fail_snapshot(subscription, snapshot);
			continue;
		}
		/* One that came after the snapshot was taken may miss commits between: it gets another. */
		if (!position_is_within(&catchup->at->position, &join))
		{
			position_release(&join);
			batch_unref(catchup->at);
			catchup->at = batch_ref(worker->last);
			start_snapshot(worker, subscription);
			continue;
		}
		if (catchup->join.epoch != NULL)
			position_release(&catchup->join);
		catchup->join = join;
		for (unsigned i = 0; i < snapshot->content.n; i++)
			contents_add(&catchup->content, snapshot->content.at[i].frame, NULL, 0, PRIORITY_NORMAL);
		stats_add(STAT_SNAPSHOTS, 1);
		stats_add(STAT_SNAPSHOT_ROWS, snapshot->nrows);
		begin_feeding(worker, subscription);
	}
	snapshot_free(snapshot);
	worker_flush(worker);
}

static void
snapshot_done(void *arg, const struct db_error *error)
{
	struct snapshot *snapshot = arg;

	snapshot->outcome = error->outcome;
	snprintf(snapshot->sqlstate, sizeof(snapshot->sqlstate), "%s",
			 error->outcome == DB_FAILED ? error->sqlstate : "");
	if (error->outcome == DB_FAILED)
		log_write(LOG_LEVEL_WARNING, "snapshot_failed", "sqlstate=%s message=%s", error->sqlstate,
				  error->message);
	if (error->outcome == DB_DONE)
		end_part(snapshot, true);
	loop_post(snapshot->worker->loop, snapshot_arrived, snapshot);
}

/* Sends the job. Its first statement after BEGIN takes the snapshot, with the daemon's own rights. */
static void
submit_snapshot(struct snapshot *snapshot, const char *sql, const char **params, unsigned nparams)
{
	const char *role[] = {snapshot->role->role, snapshot->view->claims};
	const struct db_statement statements[] = {
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL},
		{"SELECT realtime.position()", 0, NULL},
		{"SELECT pg_catalog.set_config('role', $1, true),"
		" pg_catalog.set_config('request.jwt.claims', $2, true)", 2, role},
		{sql, nparams, params},
		{"COMMIT", 0, NULL},
		{"SELECT realtime.flush()", 0, NULL},
	};

	snapshot->job = db_submit(snapshot->worker->shared->db, statements, 6, snapshot_row,
							  snapshot_done, snapshot);
}

/* Adds a subscription to a snapshot that has not arrived, or starts one. */
static void
start_snapshot(struct worker *worker, struct subscription *subscription)
{
	struct catchup *catchup = subscription->catchup;
	struct view *view = subscription->view;
	struct snapshot *snapshot;
	struct buffer sql;
	const char **params;
	unsigned	nparams;
	char	   *text;

	buffer_init(&sql);
	snapshot_sql(view, catchup->order, catchup->norder, catchup->limit, &sql, &params, &nparams);
	text = buffer_take(&sql);
	for (snapshot = worker->catchups->snapshots; snapshot != NULL; snapshot = snapshot->next)
		if (snapshot->view == view && strcmp(snapshot->key, text) == 0)
			break;
	if (snapshot == NULL)
	{
		snapshot = memory_alloc_zeroed(sizeof(*snapshot));
		snapshot->worker = worker;
		snapshot->view = view;
		view->unsettled++;
		snapshot->role = role_access_ref(view->role);
		snapshot->entity = view->entity;
		memcpy(snapshot->view_id, view->id, sizeof(view->id));
		snapshot->key = text;
		snapshot->max_bytes = worker->options->max_snapshot;
		snapshot->next = worker->catchups->snapshots;
		worker->catchups->snapshots = snapshot;
		submit_snapshot(snapshot, text, params, nparams);
	}
	else
		memory_free(text);
	memory_free(params);
	catchup->snapshot = snapshot;
	catchup->state = CATCHUP_FETCHING;
	subscriptions_add(&snapshot->subscriptions, subscription);
}

void
catchup_snapshot(struct worker *worker, struct subscription *subscription,
				 const struct message *message)
{
	new_catchup(worker, subscription, message);
	start_snapshot(worker, subscription);
}

/*
 * Resumption
 */

/* History does not reach back: a gap, then the snapshot if it is wanted. */
static void
give_up_resume(struct worker *worker, struct subscription *subscription, const char *reason)
{
	struct catchup *catchup = subscription->catchup;

	list_remove(&subscription->view->replayers, subscription);
	catchup->replay = NULL;
	catchup->is_resume = false;
	contents_release(&catchup->content);
	tell_gap(worker, subscription, reason);
	if (catchup->wants_snapshot)
	{
		/* What was held stays: the snapshot must include all that came before the holding began. */
		start_snapshot(worker, subscription);
		return;
	}
	position_release(&catchup->since);
	memset(&catchup->since, 0, sizeof(catchup->since));
	/* What was held since the subscription began is told: the join covers nothing of it. */
	if (catchup->join.epoch != NULL)
		position_release(&catchup->join);
	if (position_parse(&catchup->join, catchup->at->position_text,
					   strlen(catchup->at->position_text)) < 0)
		memset(&catchup->join, 0, sizeof(catchup->join));
	begin_feeding(worker, subscription);
}

/* A past transaction's frame for a subscription that resumes: unless it knows it. */
static void
replay_deliver(void *arg, struct subscription *subscription, const struct delivery *delivery)
{
	struct catchup *catchup = subscription->catchup;

	(void) arg;
	if (!position_covers(&catchup->since, delivery->xid))
		contents_add(&catchup->content, delivery->frame, delivery->gap, delivery->xid,
					 delivery->priority);
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

	for (unsigned i = 0; i < list->n; i++)
		subscriptions_add(&list->at[i]->view->replayers, list->at[i]);
	for (unsigned i = 0; i < replay->nkept && list->n > 0; i++)
		hub_stream_chunk(stream, replay->kept[i]);
	hub_stream_free(stream);
	for (unsigned i = 0; i < list->n; i++)
		list_remove(&list->at[i]->view->replayers, list->at[i]);
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
		begin_feeding(worker, subscription);
	}
	replay_free(replay);
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
		evaluator_replay(worker->evaluator, cached_round, cached_evaluated, replay);
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

		list_remove(&subscription->view->replayers, subscription);
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
		list_remove(&subscription->view->replayers, subscription);
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
		begin_feeding(worker, subscription);
	}
	replay_ended(worker, replay);
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
		evaluator_replay(worker->evaluator, log_round, log_evaluated, replay);
	else
		replay_complete(worker, replay);
}

/* In the worker's thread: a slice of the log. No transaction of the live stream is open. */
static void
slice_arrived(void *arg)
{
	struct slice_of_log *slice = arg;
	struct replay *replay = slice->replay;

	if (hub_stream_is_inside(replay->worker->live))
	{
		loop_post(replay->worker->loop, slice_arrived, slice);
		return;
	}
	for (unsigned i = 0; i < slice->n; i++)
	{
		if (replay->worker->evaluator != NULL)
		{
			replay_keep(replay, slice->chunks[i]);
			continue;
		}
		if (replay->subscriptions.n > 0)
			hub_stream_chunk(replay->stream, slice->chunks[i]);
		chunk_unref(slice->chunks[i]);
	}
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
	for (unsigned i = 0; i < replay->subscriptions.n && replay->worker->evaluator == NULL; i++)
		subscriptions_add(&replay->subscriptions.at[i]->view->replayers, replay->subscriptions.at[i]);
	replay->stream = hub_stream_new(replay->worker->hub, true, replay_deliver, replay->worker);
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

/* Serves the resumptions that have come: from memory, or by a read of the log. */
static void
gather_resumes(void *arg)
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
	catchups->gather = loop_timer_new(worker->loop, gather_resumes, worker);
	return catchups;
}

void
catchups_free(struct catchups *catchups)
{
	loop_timer_free(catchups->gather);
	memory_free(catchups->joining.at);
	memory_free(catchups->resuming.at);
	memory_free(catchups);
}
