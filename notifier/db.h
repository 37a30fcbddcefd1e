/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * db.h
 *	  A pool of connections that run jobs: several statements on one connection, sent in one round trip.
 *
 * Model
 * 1. The pool lives in one loop's thread. db_submit() is thread-safe; callbacks run in the pool's
 *	  thread and hand over to others by loop_post().
 * 2. A job's statements are sent at once (libpq pipeline mode); the first that fails ends the job, and
 *	  an open transaction is rolled back. A job gets on_done exactly once, also when the pool is freed.
 * 3. Every connection is READ COMMITTED and READ ONLY by its own settings whatever the database's
 *	  defaults; a job that wants a snapshot opens a REPEATABLE READ transaction itself. Statements run
 *	  with a time limit (db_config.statement_timeout_ms).
 * 4. Rows arrive one by one (single-row mode); a job that cannot take more pauses its connection.
 * 5. Connections are opened when jobs wait, and again after a loss with backoff and jitter, for ever.
 *	  Jobs queue at most db_config.queue_max long and wait_max_ms; beyond, they end with DB_UNAVAILABLE.
 * 6. Short jobs pass long ones. Long ones begin few at a time as long as they are quick, and leave the last of several
 *	  connections to short ones (see count_startable()).
 *
 * Connections are pgconn.h's; libpq itself is known to pgconn.c only.
 */
#ifndef RT_DB_H
#define RT_DB_H

#include <stdbool.h>
#include <stddef.h>

#include "jsonscan.h"
#include "loop.h"

struct db;
struct db_job;					/* a job under way */

enum db_outcome
{
	DB_DONE,
	DB_FAILED,					/* the server refused: sqlstate and message are set */
	DB_UNAVAILABLE,				/* no connection, lost connection, or the queue is full */
	DB_CANCELLED				/* db_cancel(), or the pool ends */
};

struct db_error
{
	enum db_outcome outcome;
	char		sqlstate[6];
	unsigned	step;			/* the statement that failed */
	const char *message;		/* primary message; valid during the callback. Never sent to peers */
};

struct db_statement
{
	const char *sql;			/* copied */
	unsigned	nparams;
	const char *const *params;	/* text, NULL is null; copied */
};

/* One row of one statement: fields as text; a NULL field has at == NULL. Valid during the call. */
typedef void (*db_row_fn) (void *arg, unsigned step, const struct slice *fields, unsigned nfields);
typedef void (*db_done_fn) (void *arg, const struct db_error *error);

struct db_config
{
	const char *conninfo;
	const char *application_name;
	unsigned	connections_max;
	unsigned	queue_max;
	unsigned	wait_max_ms;
	unsigned	statement_timeout_ms;

	/* Executed first on each connection, read-write; as long as it fails the connection is of no use. NULL: none. */
	const char *first_sql;
};

struct db  *db_new(struct loop *loop, const struct db_config *config);

/* Ends all jobs as cancelled and closes the connections; in the loop's thread, not in a callback. */
void		db_free(struct db *db);

/* The first half of it: all jobs end, those to come, too. Whoever still submits can be let run out. */
void		db_close(struct db *db);

/* How much a job reads. */
enum db_kind
{
	DB_SHORT,					/* an answer that events or a session wait for; before all others */
	DB_LONG,					/* rows or history for one who comes: few at a time, as long as they are quick */
	DB_LONG_FRESH				/* the same on a connection that has had no job: opened anew, which costs a server process */
};

/* Queues a job. Thread-safe. The statements are copied. */
struct db_job *db_submit(struct db *db, enum db_kind kind, const struct db_statement *statements, unsigned n,
						 db_row_fn on_row, db_done_fn on_done, void *arg);

/*
 * In the pool's thread, for a job that has not had on_done: stop reading its rows, go on, or give it up
 * (its connection's statement is cancelled; on_done comes with DB_CANCELLED).
 */
void		db_pause(struct db_job *job);
void		db_resume(struct db_job *job);
void		db_cancel(struct db_job *job);

/* Whether at least one connection works. Thread-safe. */
bool		db_is_up(struct db *db);

struct loop *db_loop(struct db *db);

#endif
