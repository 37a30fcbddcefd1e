/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * harness.h
 *	  For tests against a server: SQL that must succeed, a source in a thread of its own whose stream is
 *	  held against the rules while it comes in, and waiting for conditions.
 *
 * The environment names the cluster (PGHOST ...), its programs (RT_BINDIR) and its directory (RT_PGDATA).
 */
#ifndef RT_TEST_HARNESS_H
#define RT_TEST_HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "position.h"
#include "source.h"

#define WAIT_MS 60000			/* until a test fails: far more than anything takes */

/* -- SQL: a connection that waits; any error ends the test. */

struct sql;

struct sql *sql_open(const char *conninfo);
void		sql_close(struct sql *sql);
void		sql_run(struct sql *sql, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first field of the first row; valid until the next call for this connection; NULL is null. */
const char *sql_value(struct sql *sql, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool		sql_is(struct sql *sql, const char *query);		/* whether it answers t */

/* The same, but errors are expected: returns the SQLSTATE, "" when there is none. */
const char *sql_try(struct sql *sql, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sends without waiting; sql_finish() waits. */
void		sql_send(struct sql *sql, const char *query);
const char *sql_finish(struct sql *sql);

/* (xid, part) of all rows of a query, in its order. */
struct row_id
{
	uint64_t	xid;
	unsigned	part;
};
size_t		sql_row_ids(struct sql *sql, const char *query, struct row_id **rows);

/* Runs a shell command that must succeed. */
void		shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until the query answers t; false when it does not in time. */
bool		wait_for_sql(struct sql *sql, unsigned ms, const char *query);
void		nap(unsigned ms);	/* between two looks at a condition */
int64_t		now_us(void);		/* monotonic */

/* -- A source and what it told. */

struct told_chunk
{
	struct row_id id;
	bool		is_last;
	unsigned	nevents;
	int64_t		arrived_us;
	int64_t		age_us;			/* since the clock was read at pre-commit */
};

struct stream
{
	pthread_t	thread;
	struct loop *loop;
	struct source *source;
	pthread_mutex_t lock;		/* protects the rest */
	pthread_cond_t changed;
	struct told_chunk *chunks;	/* since the last gap */
	size_t		nchunks;
	size_t		room;
	size_t		npositioned;	/* chunks that came before the last position */
	char	   *position_text;
	struct position position;	/* of a zeroed epoch when there is none yet */
	unsigned	npositions;
	unsigned	nbatches;
	unsigned	ngaps;
	char		gap[32];
	bool		is_up;
	unsigned	nups;
	size_t		bytes;			/* of batches */
	size_t		batch_max;
	bool		is_holding;		/* batches are counted but not released */
	size_t		held;
	unsigned	nbroken;		/* rules */
	char		broken[200];	/* the first of them */
};

struct stream *stream_start(const char *conninfo, unsigned poll_max_ms, size_t in_flight_max);
void		stream_stop(struct stream *stream);
void		stream_poke(struct stream *stream);
void		stream_hold(struct stream *stream, bool is_holding);	/* false: releases what was held */

typedef bool (*stream_fn) (struct stream *stream, void *arg);

/* Waits until the condition, asked under the lock, holds; false when it does not in time. */
bool		stream_wait(struct stream *stream, unsigned ms, stream_fn condition, void *arg);
bool		stream_wait_up(struct stream *stream);
bool		stream_wait_chunks(struct stream *stream, size_t n);
bool		stream_wait_gaps(struct stream *stream, unsigned n);

/* Waits until a position covers everything that is committed now (without a poke). */
bool		stream_wait_covered(struct stream *stream, struct sql *sql);

/* Checks that the rules were kept, and that the chunks are just the log's rows from an xid on. */
void		stream_check(struct stream *stream, struct sql *sql, uint64_t since);

#endif
