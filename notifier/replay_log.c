/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * replay_log.c
 *	  What a replay asks the database: whether positions are good, and the log since them. Slices of the log go
 *	  to the worker as they come.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "replay_state.h"

#define SLICE_BYTES (1024 * 1024)	/* of the log, handed to the worker at a time */

/* Chunks on their way to the worker. */
struct slice_of_log
{
	struct replay *replay;
	unsigned	n;
	struct chunk **chunks;
};

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
	if (replay->is_too_large || replay->is_cancelled)
		return;
	if (atomic_load_explicit(&replay->is_left, memory_order_relaxed))
	{
		replay->is_cancelled = true;
		db_cancel(replay->job);
		return;
	}
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

void
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
	replay->job = db_submit(replay->worker->shared->db, DB_LONG, statements, 3, replay_row, replay_done, replay);
	memory_free((char *) params[1]);
	memory_free(sinces);
}

void
replay_check(struct replay *replay)
{
	char	   *sinces = since_array(replay);
	const char *params[] = {sinces};
	const struct db_statement statement = {check_sql, 1, params};

	replay->is_checking = true;
	replay->job = db_submit(replay->worker->shared->db, DB_LONG, &statement, 1, replay_row, replay_done, replay);
	memory_free(sinces);
}
