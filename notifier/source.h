/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * source.h
 *	  Where transactions come from. The commit log is one source (source_log.c); others may follow.
 *
 * A source runs in its own loop's thread, connects for ever, and after any interruption goes on from
 * its last position. It tells every transaction once, in an order that keeps dependencies, and only
 * when it is durable.
 */
#ifndef RT_SOURCE_H
#define RT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "batch.h"
#include "loop.h"

struct source;

/* The next batch, borrowed: take a reference to keep it. Called in the source's thread. */
typedef void (*source_batch_fn) (void *arg, struct batch *batch);

/* The connection to the database is up or down. Called in the source's thread. */
typedef void (*source_state_fn) (void *arg, bool is_up);

struct source_config
{
	const char *conninfo;
	unsigned	poll_min_ms;	/* pause between polls under load */
	unsigned	poll_max_ms;	/* fallback poll at rest */
	size_t		in_flight_max;	/* bytes delivered and not yet released by source_release() */
	source_batch_fn on_batch;
	source_state_fn on_state;
	void	   *arg;
};

/* The operations of one kind of source. */
struct source_class
{
	const char *name;
	struct source *(*create) (struct loop *loop, const struct source_config *config);
	void		(*start) (struct source *source);

	/* Stops and frees; in the loop's thread. */
	void		(*destroy) (struct source *source);

	/* Reads now: a batch with a position of now or later follows. Thread-safe, cheap, coalesced. */
	void		(*poke) (struct source *source);

	/* The consumers are done with so many bytes (batch_memory). Thread-safe. */
	void		(*release) (struct source *source, size_t bytes);
};

extern const struct source_class source_log;

/*
 * The statement that reads history, for jobs of the pool: the rows of log transactions that a position
 * (two parameters: xmax, and xip as '{1,2}') does not cover, in the stream's order. Columns: position
 * (in the first row only, whose other fields are null), xid, part, is_last ('t'/'f'), commit_us, events.
 */
extern const char *const source_log_history_sql;

#endif
