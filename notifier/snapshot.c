/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * snapshot.c
 *	  Rows of now for subscriptions that begin: see catchup.h.
 *
 * A snapshot is a job of the pool that serves several subscriptions. It owns what crosses to the pool's
 * thread and back; subscriptions that end meanwhile are taken out of it.
 */
#include <stdio.h>
#include <string.h>

#include "catchup_state.h"
#include "log.h"
#include "memory.h"
#include "snapshot_sql.h"
#include "stats.h"

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
	struct buffer part;
	struct contents content;
	unsigned	nparts;
	unsigned	nrows;
	bool		is_too_large;
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
	contents_add(&snapshot->content, frame, NULL, 0, PRIORITY_NORMAL);
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
	if (step != 4 || snapshot->is_too_large)
		return;
	if (snapshot->part.len > 0 && snapshot->part.len + row_len + 64 > PROTOCOL_PART_FILL)
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
			snapshot_start(worker, subscription);
			continue;
		}
		if (catchup->join.epoch != NULL)
			position_release(&catchup->join);
		catchup->join = join;
		for (unsigned i = 0; i < snapshot->content.n; i++)
			contents_add(&catchup->content, snapshot->content.at[i].frame, NULL, 0, PRIORITY_NORMAL);
		stats_add(STAT_SNAPSHOTS, 1);
		stats_add(STAT_SNAPSHOT_ROWS, snapshot->nrows);
		catchup_begin_feeding(worker, subscription);
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
		/* the message may quote a row, when a policy failed */
		log_write(LOG_LEVEL_WARNING, "snapshot_failed", "role=%s sqlstate=%s", snapshot->role->role,
				  error->sqlstate);
	if (error->outcome == DB_DONE)
		end_part(snapshot, true);
	loop_post(snapshot->worker->loop, snapshot_arrived, snapshot);
}

/*
 * Each claim as a setting of its own, as realtime.visible_images() has them: of names that differ in case
 * only the one in lower case counts.
 */
static const char claims_sql[] =
"SELECT pg_catalog.set_config('request.jwt.claim.' || c.key, c.value OPERATOR(pg_catalog.#>>) '{}', true)"
" FROM (SELECT key, value FROM pg_catalog.json_each($1::json)"
"  WHERE key ~ '^[A-Za-z_][A-Za-z0-9_]{0,62}$' AND pg_catalog.json_typeof(value) <> 'null'"
"  ORDER BY key = pg_catalog.lower(key) OFFSET 0) c";

/* Sends the job. Its first statement after BEGIN takes the snapshot, with the daemon's own rights. */
static void
submit_snapshot(struct snapshot *snapshot, const char *sql, const char **params, unsigned nparams)
{
	const char *role[] = {snapshot->role->role, snapshot->view->claims};
	const char *claims[] = {snapshot->view->claims};
	const struct db_statement statements[] = {
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL},
		{"SELECT realtime.position()", 0, NULL},
		{claims_sql, 1, claims},
		{"SELECT pg_catalog.set_config('role', $1, true),"
		" pg_catalog.set_config('request.jwt.claims', $2, true)", 2, role},
		{sql, nparams, params},
		{"COMMIT", 0, NULL},
		{"SELECT realtime.flush()", 0, NULL},
	};

	snapshot->job = db_submit(snapshot->worker->shared->db, statements, 7, snapshot_row,
							  snapshot_done, snapshot);
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
snapshot_drop(struct snapshot *snapshot, const struct subscription *subscription)
{
	subscriptions_remove(&snapshot->subscriptions, subscription);
}
