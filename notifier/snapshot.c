/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * snapshot.c
 *	  Rows of now for subscriptions that begin: see catchup.h.
 *
 * A snapshot is a job of the pool that serves several subscriptions. It owns what crosses to the pool's
 * thread and back; subscriptions that end meanwhile are taken out of it.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "catchup_state.h"
#include "log.h"
#include "memory.h"
#include "snapshot_sql.h"
#include "stats.h"

#define ENTER_STEP 2			/* of the job's statements: takes on the role */
#define ROWS_STEP 3
#define UNDEFINED_COLUMN "42703"
#define UNDEFINED_TABLE "42P01"

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
	unsigned	nparams;
	char	  **params;			/* its own */
	bool		is_closed;		/* nobody may join it any more */
	bool		is_fresh;		/* on a connection that has had no job */
	bool		is_repeated;	/* it must be */
	struct subscriptions subscriptions;
	size_t		max_bytes;
	uint64_t	max_together;	/* bytes of all snapshots in memory */
	atomic_bool is_left;		/* nobody waits for it any more */

	/* in the pool's thread, until it is handed over */
	struct db_job *job;
	char	   *position;
	struct buffer part;
	struct contents content;
	unsigned	nparts;
	unsigned	nrows;
	bool		is_too_large;
	bool		is_too_much;	/* with all others that are in memory */
	bool		is_cancelled;	/* for being left */
	enum db_outcome outcome;
	char		sqlstate[6];
};

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
	contents_add(&snapshot->content, CONTENT_FRAME, frame, 0);
	frame_unref(frame);
	snapshot->part.len = 0;
}

static void
snapshot_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct snapshot *snapshot = arg;
	size_t		row_len = 0;
	size_t		from;

	for (unsigned i = 0; i < nfields; i++)
		row_len += fields[i].len;
	if (step == 1)
		snapshot->position = memory_copy_string(fields[0].at, fields[0].len);
	if (step != ROWS_STEP || snapshot->is_too_large || snapshot->is_too_much || snapshot->is_cancelled)
		return;
	if (snapshot->part.len > 0 && snapshot->part.len + row_len + 64 > PROTOCOL_PART_FILL)
		end_part(snapshot, false);
	snapshot->is_too_large = snapshot->content.bytes + snapshot->part.len > snapshot->max_bytes;
	snapshot->is_too_much = (uint64_t) stats_get(STAT_SNAPSHOT_BYTES) + snapshot->part.len > snapshot->max_together;
	snapshot->is_cancelled = atomic_load_explicit(&snapshot->is_left, memory_order_relaxed);
	if (snapshot->is_too_large || snapshot->is_too_much || snapshot->is_cancelled)
	{
		contents_release(&snapshot->content);
		db_cancel(snapshot->job);
		return;
	}
	if (snapshot->part.len > 0)
		buffer_puts(&snapshot->part, ",");
	from = snapshot->part.len;
	view_write_row(snapshot->entity, fields + 1, fields[0], &snapshot->part);
	for (size_t i = from; i < snapshot->part.len; i++)	/* as in chunks: no line breaks */
		if (snapshot->part.at[i] == '\n' || snapshot->part.at[i] == '\r')
			snapshot->part.at[i] = ' ';
	snapshot->nrows++;
}

static void
snapshot_free(struct snapshot *snapshot)
{
	snapshot->view->unsettled--;
	hub_release(snapshot->worker->hub, snapshot->view);
	role_access_unref(snapshot->role);
	memory_free(snapshot->subscriptions.at);
	for (unsigned i = 0; i < snapshot->nparams; i++)
		memory_free(snapshot->params[i]);
	memory_free(snapshot->params);
	memory_free(snapshot->key);
	memory_free(snapshot->position);
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
	else if (snapshot->is_too_much)
		why = "too many snapshots are being sent: try again later";
	else if (snapshot->outcome == DB_FAILED && strcmp(snapshot->sqlstate, "42501") == 0)
	{
		code = CODE_FORBIDDEN;
		why = "the role may not read this entity";
	}
	else if (snapshot->outcome == DB_FAILED && (strcmp(snapshot->sqlstate, UNDEFINED_COLUMN) == 0
												|| strcmp(snapshot->sqlstate, UNDEFINED_TABLE) == 0))
		why = "the table is not what it was any more: subscribe again";
	else if (snapshot->outcome == DB_FAILED)
	{
		code = CODE_INTERNAL;
		why = "the snapshot could not be read";
	}
	session_fail_subscription(session, subscription, code, why);
}

static void submit_snapshot(struct snapshot *snapshot);

/* In the worker's thread: a snapshot is complete, or failed. */
static void
snapshot_arrived(void *arg)
{
	struct snapshot *snapshot = arg;
	struct worker *worker = snapshot->worker;
	struct snapshot **at = &worker->catchups->snapshots;
	struct position join;
	bool		is_good = snapshot->outcome == DB_DONE && !snapshot->is_too_large && !snapshot->is_too_much
		&& snapshot->position != NULL;

	if (snapshot->is_repeated && snapshot->subscriptions.n > 0)
	{
		submit_snapshot(snapshot);
		return;
	}
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
			bool		is_other = strcmp(catchup->at->position.epoch, join.epoch) != 0;

			position_release(&join);
			if (is_other)
			{
				/* After a crash it may come before the stream does; again and again would not be sooner. */
				subscriptions_add(&worker->catchups->starting, subscription);
				worker->shared->source_class->poke(worker->shared->source);
				continue;
			}
			batch_unref(catchup->at);
			catchup->at = batch_ref(worker->last);
			snapshot_start(worker, subscription);
			continue;
		}
		if (catchup->join.epoch != NULL)
			position_release(&catchup->join);
		catchup->join = join;
		for (unsigned i = 0; i < snapshot->content.n; i++)
			contents_add(&catchup->content, CONTENT_FRAME, snapshot->content.at[i].frame, 0);
		stats_add(STAT_SNAPSHOTS, 1);
		stats_add(STAT_SNAPSHOT_ROWS, snapshot->nrows);
		catchup_begin_feeding(worker, subscription);
	}
	snapshot_free(snapshot);
}

static void
snapshot_done(void *arg, const struct db_error *error)
{
	struct snapshot *snapshot = arg;

	snapshot->outcome = error->outcome;
	snprintf(snapshot->sqlstate, sizeof(snapshot->sqlstate), "%s",
			 error->outcome == DB_FAILED ? error->sqlstate : "");
	snapshot->is_repeated = error->outcome == DB_FAILED && error->step == ENTER_STEP
		&& strcmp(error->sqlstate, "22012") == 0 && !snapshot->is_fresh;
	if (error->outcome == DB_FAILED && !snapshot->is_repeated)
		/* the message may quote a row, when a policy failed */
		log_write(LOG_LEVEL_WARNING, "snapshot_failed", "role=%s sqlstate=%s", snapshot->role->role,
				  error->sqlstate);
	if (error->outcome == DB_DONE)
		end_part(snapshot, true);
	loop_post(snapshot->worker->loop, snapshot_arrived, snapshot);
}

/*
 * Takes on role and claims. Claims that the policies read as settings and that the token lacks must be null,
 * which no statement can make of a setting that the session once had: then it divides by zero, and the snapshot
 * is taken on a connection that never had it, where nothing is asked.
 */
static char *
enter_sql(const struct view *view, bool is_fresh)
{
	bool		is_guarded = false;
	struct buffer sql;

	buffer_init(&sql);
	buffer_puts(&sql, "SELECT realtime.become($1::name, $2)");
	for (unsigned p = 0; p < view->npolicies && !is_fresh; p++)
		for (unsigned i = 0; i < view->policies[p]->nabsent; i++)
		{
			buffer_puts(&sql, is_guarded ? ", " : ", 1 OPERATOR(pg_catalog./) CASE WHEN coalesce(");
			buffer_puts(&sql, "pg_catalog.current_setting('request.jwt.claim.");
			buffer_puts(&sql, view->policies[p]->absent[i]);
			buffer_puts(&sql, "', true)");
			is_guarded = true;
		}
	if (is_guarded)
		buffer_puts(&sql, ") IS NULL THEN 1 ELSE 0 END");
	return buffer_take(&sql);
}

/*
 * Sends the job. Its first statement after BEGIN takes the snapshot, with the daemon's own rights; then the
 * role is taken on for good, since policies are somebody's code, and what they set is rolled back.
 */
static void
submit_snapshot(struct snapshot *snapshot)
{
	const char *role[] = {snapshot->role->role, snapshot->view->claims};
	bool		is_fresh = snapshot->is_repeated;
	char	   *enter = enter_sql(snapshot->view, is_fresh);
	const struct db_statement statements[] = {
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL},
		{"SELECT realtime.position()", 0, NULL},
		{enter, 2, role},
		{snapshot->key, snapshot->nparams, (const char *const *) snapshot->params},
		{"ROLLBACK", 0, NULL},
		{"SELECT realtime.flush()", 0, NULL},
	};
	unsigned	n = sizeof(statements) / sizeof(statements[0]);
	struct db  *db = snapshot->worker->shared->db;

	snapshot->is_fresh = is_fresh;
	snapshot->is_repeated = false;
	memory_free(snapshot->position);
	snapshot->position = NULL;
	snapshot->job = db_submit(db, is_fresh ? DB_LONG_FRESH : DB_LONG, statements, n, snapshot_row, snapshot_done,
							  snapshot);
	memory_free(enter);
}

void
snapshot_start(struct worker *worker, struct subscription *subscription)
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
		if (snapshot->view == view && !snapshot->is_closed && strcmp(snapshot->key, text) == 0)
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
		snapshot->max_together = worker->options->total_memory;
		snapshot->next = worker->catchups->snapshots;
		worker->catchups->snapshots = snapshot;
		snapshot->nparams = nparams;
		snapshot->params = memory_alloc_zeroed(sizeof(char *) * (nparams + 1));
		for (unsigned i = 0; i < nparams; i++)
			snapshot->params[i] = memory_copy_string(params[i], strlen(params[i]));
		submit_snapshot(snapshot);
	}
	else
		memory_free(text);
	memory_free(params);
	catchup->snapshot = snapshot;
	catchup->state = CATCHUP_FETCHING;
	subscriptions_add(&snapshot->subscriptions, subscription);
}

void
snapshot_close(struct snapshot *snapshot)
{
	snapshot->is_closed = true;
}

void
snapshot_drop(struct snapshot *snapshot, const struct subscription *subscription)
{
	subscriptions_remove(&snapshot->subscriptions, subscription);
	if (snapshot->subscriptions.n > 0)
		return;
	snapshot->is_closed = true;
	atomic_store_explicit(&snapshot->is_left, true, memory_order_relaxed);
}
