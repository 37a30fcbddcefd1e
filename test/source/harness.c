/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * harness.c
 *	  See harness.h.
 */
#include "harness.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "memory.h"

struct sql
{
	PGconn	   *pg;
	PGresult   *result;
	char		sqlstate[6];
};

/* Formats a query, malloc'd. */
static char *
format_text(const char *format, va_list args)
{
	va_list		again;
	size_t		room;
	char	   *text;

	va_copy(again, args);
	room = (size_t) vsnprintf(NULL, 0, format, again) + 1;
	va_end(again);
	text = memory_alloc(room);
	vsnprintf(text, room, format, args);
	return text;
}

/* Keeps the result and notes its SQLSTATE. */
static const char *
keep(struct sql *sql, PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	PQclear(sql->result);
	sql->result = result;
	snprintf(sql->sqlstate, sizeof(sql->sqlstate), "%s", sqlstate ? sqlstate : "");
	if (sql->sqlstate[0] == '\0' && PQstatus(sql->pg) == CONNECTION_BAD)
		snprintf(sql->sqlstate, sizeof(sql->sqlstate), "08006");
	return sql->sqlstate;
}

struct sql *
sql_open(const char *conninfo)
{
	struct sql *sql = memory_alloc_zeroed(sizeof(*sql));

	sql->pg = PQconnectdb(conninfo);
	if (PQstatus(sql->pg) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(sql->pg));
	keep(sql, PQexec(sql->pg, "SET client_min_messages = error"));
	return sql;
}

void
sql_close(struct sql *sql)
{
	if (sql == NULL)
		return;
	PQclear(sql->result);
	PQfinish(sql->pg);
	memory_free(sql);
}

/* Runs a query; ends the test when it fails. */
static void
must(struct sql *sql, const char *query)
{
	if (keep(sql, PQexec(sql->pg, query))[0] != '\0')
		fail_msg("%s: %s", query, PQerrorMessage(sql->pg));
}

void
sql_run(struct sql *sql, const char *format, ...)
{
	va_list		args;
	char	   *query;

	va_start(args, format);
	query = format_text(format, args);
	va_end(args);
	must(sql, query);
	memory_free(query);
}

const char *
sql_value(struct sql *sql, const char *format, ...)
{
	va_list		args;
	char	   *query;

	va_start(args, format);
	query = format_text(format, args);
	va_end(args);
	must(sql, query);
	if (PQntuples(sql->result) < 1)
		fail_msg("no row: %s", query);
	memory_free(query);
	return PQgetisnull(sql->result, 0, 0) ? NULL : PQgetvalue(sql->result, 0, 0);
}

bool
sql_is(struct sql *sql, const char *query)
{
	const char *value = sql_value(sql, "%s", query);

	return value != NULL && strcmp(value, "t") == 0;
}

const char *
sql_try(struct sql *sql, const char *format, ...)
{
	va_list		args;
	char	   *query;

	va_start(args, format);
	query = format_text(format, args);
	va_end(args);
	keep(sql, PQexec(sql->pg, query));
	memory_free(query);
	return sql->sqlstate;
}

void
sql_send(struct sql *sql, const char *query)
{
	if (!PQsendQuery(sql->pg, query))
		fail_msg("%s", PQerrorMessage(sql->pg));
}

const char *
sql_finish(struct sql *sql)
{
	PGresult   *result;
	char		first[6] = "";

	while ((result = PQgetResult(sql->pg)) != NULL)
		if (keep(sql, result)[0] != '\0' && first[0] == '\0')
			memcpy(first, sql->sqlstate, sizeof(first));
	memcpy(sql->sqlstate, first, sizeof(first));
	return sql->sqlstate;
}

size_t
sql_row_ids(struct sql *sql, const char *query, struct row_id **rows)
{
	size_t		n;

	must(sql, query);
	n = (size_t) PQntuples(sql->result);
	*rows = memory_alloc(sizeof(**rows) * n);
	for (size_t i = 0; i < n; i++)
	{
		(*rows)[i].xid = strtoull(PQgetvalue(sql->result, (int) i, 0), NULL, 10);
		(*rows)[i].part = (unsigned) atoi(PQgetvalue(sql->result, (int) i, 1));
	}
	return n;
}

void
shell(const char *format, ...)
{
	va_list		args;
	char	   *command;

	va_start(args, format);
	command = format_text(format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
	memory_free(command);
}

void
nap(unsigned ms)
{
	struct timespec pause = {ms / 1000, (long) (ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

int64_t
now_us(void)
{
	return loop_clock_us();
}

bool
wait_for_sql(struct sql *sql, unsigned ms, const char *query)
{
	int64_t		end = now_us() + (int64_t) ms * 1000;

	while (!sql_is(sql, query))
	{
		if (now_us() > end)
			return false;
		nap(10);
	}
	return true;
}

/* -------------------------------------------------------------------------------------------------
 * The stream
 * ------------------------------------------------------------------------------------------------- */

/* Notes a broken rule; told by stream_check(). */
static void __attribute__((format(printf, 2, 3)))
broke(struct stream *stream, const char *format, ...)
{
	va_list		args;

	if (stream->nbroken++ > 0)
		return;
	va_start(args, format);
	vsnprintf(stream->broken, sizeof(stream->broken), format, args);
	va_end(args);
}

/* A chunk follows the one before, and is not one that the last position had covered. */
static void
check_chunk(struct stream *stream, const struct chunk *chunk)
{
	struct timespec clock;

	if (chunk->is_broken)
		broke(stream, "xid %" PRIu64 " part %u is broken", chunk->xid, chunk->part);
	if (stream->position_text == NULL)
		broke(stream, "a chunk before any position");
	else if (position_covers(&stream->position, chunk->xid))
		broke(stream, "xid %" PRIu64 " comes after %s", chunk->xid, stream->position_text);
	if (stream->nchunks > 0 && !stream->chunks[stream->nchunks - 1].is_last)
	{
		const struct told_chunk *before = &stream->chunks[stream->nchunks - 1];

		if (before->id.xid != chunk->xid || before->id.part >= chunk->part)
			broke(stream, "xid %" PRIu64 " part %u inside of %" PRIu64, chunk->xid, chunk->part,
				  before->id.xid);
	}
	if (stream->nchunks == stream->room)
	{
		stream->room = stream->room ? stream->room * 2 : 1024;
		stream->chunks = memory_resize(stream->chunks, sizeof(*stream->chunks) * stream->room);
	}
	clock_gettime(CLOCK_REALTIME, &clock);
	stream->chunks[stream->nchunks++] = (struct told_chunk) {
		{chunk->xid, chunk->part}, chunk->is_last, chunk->nevents, now_us(),
		(int64_t) clock.tv_sec * 1000000 + clock.tv_nsec / 1000 - chunk->commit_us};
}

/* A position is not behind the last one, and covers every chunk since. */
static void
check_position(struct stream *stream, const struct batch *batch)
{
	if (stream->position_text != NULL)
	{
		if (!position_is_within(&stream->position, &batch->position))
			broke(stream, "%.80s is behind %.80s", batch->position_text, stream->position_text);
		position_release(&stream->position);
		memory_free(stream->position_text);
	}
	stream->position_text = memory_copy_string(batch->position_text, strlen(batch->position_text));
	if (position_parse(&stream->position, batch->position_text, strlen(batch->position_text)) < 0)
		broke(stream, "malformed %s", batch->position_text);
	for (size_t i = stream->npositioned; i < stream->nchunks; i++)
		if (!position_covers(&stream->position, stream->chunks[i].id.xid))
			broke(stream, "%s does not cover %" PRIu64, batch->position_text,
				  stream->chunks[i].id.xid);
	if (stream->nchunks > 0 && !stream->chunks[stream->nchunks - 1].is_last)
		broke(stream, "%s cuts %" PRIu64, batch->position_text,
			  stream->chunks[stream->nchunks - 1].id.xid);
	stream->npositioned = stream->nchunks;
	stream->npositions++;
}

/* In the source's thread. */
static void
on_batch(void *arg, struct batch *batch)
{
	struct stream *stream = arg;
	size_t		size = batch_memory(batch);
	bool		is_released;

	pthread_mutex_lock(&stream->lock);
	stream->nbatches++;
	stream->bytes += size;
	if (size > stream->batch_max)
		stream->batch_max = size;
	if (batch->gap != NULL)
	{
		if (batch->nchunks > 0 || !batch->is_end)
			broke(stream, "a gap with chunks or without position");
		stream->ngaps++;
		snprintf(stream->gap, sizeof(stream->gap), "%s", batch->gap);
		stream->nchunks = stream->npositioned = 0;
		if (stream->position_text != NULL)
			position_release(&stream->position);
		memory_free(stream->position_text);
		stream->position_text = NULL;
	}
	for (unsigned i = 0; i < batch->nchunks; i++)
		check_chunk(stream, batch->chunks[i]);
	if (batch->is_end)
		check_position(stream, batch);
	is_released = !stream->is_holding;
	if (!is_released)
		stream->held += size;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->lock);
	if (is_released)
		source_log.release(stream->source, size);
}

/* In the source's thread. */
static void
on_state(void *arg, bool is_up)
{
	struct stream *stream = arg;

	pthread_mutex_lock(&stream->lock);
	if (stream->is_up == is_up)
		broke(stream, "the same state told twice");
	stream->is_up = is_up;
	stream->nups += is_up;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->lock);
}

static void *
run(void *arg)
{
	struct stream *stream = arg;

	loop_run(stream->loop);
	return NULL;
}

struct stream *
stream_start(const char *conninfo, unsigned poll_max_ms, size_t in_flight_max)
{
	struct stream *stream = memory_alloc_zeroed(sizeof(*stream));
	struct source_config config = {conninfo, 1, poll_max_ms, in_flight_max, on_batch, on_state, stream};

	pthread_mutex_init(&stream->lock, NULL);
	pthread_cond_init(&stream->changed, NULL);
	stream->loop = loop_new();
	stream->source = source_log.create(stream->loop, &config);
	source_log.start(stream->source);
	pthread_create(&stream->thread, NULL, run, stream);
	return stream;
}

/* Ends the source in its thread. */
static void
stop(void *arg)
{
	struct stream *stream = arg;

	source_log.destroy(stream->source);
	loop_stop(stream->loop);
}

void
stream_stop(struct stream *stream)
{
	loop_post(stream->loop, stop, stream);
	pthread_join(stream->thread, NULL);
	loop_free(stream->loop);
	if (stream->position_text != NULL)
		position_release(&stream->position);
	memory_free(stream->position_text);
	memory_free(stream->chunks);
	pthread_cond_destroy(&stream->changed);
	pthread_mutex_destroy(&stream->lock);
	memory_free(stream);
}

void
stream_poke(struct stream *stream)
{
	source_log.poke(stream->source);
}

void
stream_hold(struct stream *stream, bool is_holding)
{
	size_t		held;

	pthread_mutex_lock(&stream->lock);
	stream->is_holding = is_holding;
	held = is_holding ? 0 : stream->held;
	stream->held -= held;
	pthread_mutex_unlock(&stream->lock);
	if (held > 0)
		source_log.release(stream->source, held);
}

bool
stream_wait(struct stream *stream, unsigned ms, stream_fn condition, void *arg)
{
	struct timespec end;
	bool		holds;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += (long) (ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000)
	{
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&stream->lock);
	while (!(holds = condition(stream, arg)))
		if (pthread_cond_timedwait(&stream->changed, &stream->lock, &end) != 0)
		{
			holds = condition(stream, arg);
			break;
		}
	pthread_mutex_unlock(&stream->lock);
	return holds;
}

static bool
is_up_with_position(struct stream *stream, void *arg)
{
	(void) arg;
	return stream->is_up && stream->position_text != NULL;
}

bool
stream_wait_up(struct stream *stream)
{
	return stream_wait(stream, WAIT_MS, is_up_with_position, NULL);
}

static bool
has_chunks(struct stream *stream, void *arg)
{
	return stream->nchunks >= *(size_t *) arg;
}

bool
stream_wait_chunks(struct stream *stream, size_t n)
{
	return stream_wait(stream, WAIT_MS, has_chunks, &n);
}

static bool
has_gaps(struct stream *stream, void *arg)
{
	return stream->ngaps >= *(unsigned *) arg;
}

bool
stream_wait_gaps(struct stream *stream, unsigned n)
{
	return stream_wait(stream, WAIT_MS, has_gaps, &n);
}

static bool
covers(struct stream *stream, void *arg)
{
	return stream->position_text != NULL && position_is_within(arg, &stream->position);
}

bool
stream_wait_covered(struct stream *stream, struct sql *sql)
{
	struct position target;
	const char *text = sql_value(sql, "SELECT realtime.position()");
	bool		is_covered;

	assert_int_equal(position_parse(&target, text, strlen(text)), RT_OK);
	is_covered = stream_wait(stream, WAIT_MS, covers, &target);
	position_release(&target);
	return is_covered;
}

static int
compare_ids(const void *a, const void *b)
{
	const struct row_id *x = a;
	const struct row_id *y = b;

	if (x->xid != y->xid)
		return x->xid < y->xid ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

void
stream_check(struct stream *stream, struct sql *sql, uint64_t since)
{
	struct row_id *expected;
	struct row_id *actual;
	char		query[160];
	size_t		nexpected;
	size_t		n = 0;

	snprintf(query, sizeof(query), "SELECT xid, part FROM realtime.commit_log"
			 " WHERE xid >= '%" PRIu64 "' ORDER BY xid, part", since);
	nexpected = sql_row_ids(sql, query, &expected);
	pthread_mutex_lock(&stream->lock);
	actual = memory_alloc(sizeof(*actual) * stream->nchunks);
	for (size_t i = 0; i < stream->nchunks; i++)
		if (stream->chunks[i].id.xid >= since)
			actual[n++] = stream->chunks[i].id;
	if (stream->nbroken > 0)
		print_message("%u rules broken, first: %s\n", stream->nbroken, stream->broken);
	assert_int_equal(stream->nbroken, 0);
	pthread_mutex_unlock(&stream->lock);
	qsort(actual, n, sizeof(*actual), compare_ids);
	for (size_t i = 1; i < n; i++)
		if (compare_ids(&actual[i - 1], &actual[i]) == 0)
			fail_msg("xid %" PRIu64 " part %u came twice", actual[i].xid, actual[i].part);
	for (size_t i = 0; i < n && i < nexpected; i++)
		if (compare_ids(&actual[i], &expected[i]) != 0)
			fail_msg("row %zu: expected xid %" PRIu64 " part %u, there is %" PRIu64 " part %u", i,
					 expected[i].xid, expected[i].part, actual[i].xid, actual[i].part);
	assert_int_equal(n, nexpected);
	memory_free(expected);
	memory_free(actual);
}
