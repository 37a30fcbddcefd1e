/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * pgconn.h
 *	  One asynchronous connection to PostgreSQL that comes back for ever. Knows no SQL but its settings.
 *
 * Model
 * 1. pgconn_start() connects, applies the settings and calls on_up; after a failure or a loss it calls
 *	  on_down and tries again with full jitter, PGCONN_RETRY_MIN_MS doubling to PGCONN_RETRY_MAX_MS.
 * 2. Statements are sent in pipeline mode and answered in order. pgconn_sync() ends a group: without a
 *	  transaction block of its own a group is one transaction, and after its first error the rest of it is
 *	  skipped (no on_end). What was sent when the connection goes down is never answered.
 * 3. Rows come one by one and are not collected; a paused connection stops reading its socket.
 * 4. Callbacks may call any function of the connection, pgconn_free() included. Sending while the
 *	  connection is not up does nothing.
 * 5. Everything happens in the loop's thread, but for looking up host names, which libpq does while
 *	  connecting and waits for, and requests to cancel, which block and so have a thread of their own.
 */
#ifndef RT_PGCONN_H
#define RT_PGCONN_H

#include <stdbool.h>

#include "jsonscan.h"
#include "loop.h"

#define PGCONN_RETRY_MIN_MS 50
#define PGCONN_RETRY_MAX_MS 5000
#define PGCONN_CONNECT_TIMEOUT_MS 10000

struct pgconn;

/* What the server, or libpq, says of a failure; valid during the callback. */
struct pgconn_error
{
	const char *sqlstate;		/* empty when there is none */
	const char *message;
};

struct pgconn_config
{
	const char *conninfo;
	const char *name;			/* application_name, and who it is in log lines */
	const char *const *settings;	/* name, value, ..., NULL: of the session; borrowed for ever */
	void	   *arg;
	void		(*on_up) (void *arg);
	void		(*on_down) (void *arg);	/* it was up */

	/* A row of a statement: fields as text, a null field has at == NULL. */
	void		(*on_row) (void *arg, unsigned tag, const struct slice *fields, unsigned nfields);

	/* A statement ended; error is NULL when it succeeded. */
	void		(*on_end) (void *arg, unsigned tag, const struct pgconn_error *error);

	/* A group ended. Not while a request to cancel is under way: what is sent from here is safe of it. */
	void		(*on_sync) (void *arg);

	/* One or more notifications came. */
	void		(*on_notify) (void *arg, unsigned n);
};

struct pgconn *pgconn_new(struct loop *loop, const struct pgconn_config *config);
void		pgconn_free(struct pgconn *conn);
void		pgconn_start(struct pgconn *conn);

/* Drops the connection without on_down and connects again after so many milliseconds, with jitter. */
void		pgconn_restart(struct pgconn *conn, unsigned ms);

/* Calls fn, in place of a log line, whenever connecting fails. */
typedef void (*pgconn_unreachable_fn) (void *arg, const char *message);
void		pgconn_on_unreachable(struct pgconn *conn, pgconn_unreachable_fn fn);

bool		pgconn_is_up(const struct pgconn *conn);

/* The process id of the server's end; 0 when there is none. */
int			pgconn_pid(const struct pgconn *conn);

/* Whether a transaction block is open, failed ones included; asked in on_sync. */
bool		pgconn_is_in_transaction(const struct pgconn *conn);

/* Sending; the tag names the statement in callbacks. Parameters are text, NULL is null. */
void		pgconn_prepare(struct pgconn *conn, unsigned tag, const char *name, const char *sql);
void		pgconn_execute(struct pgconn *conn, unsigned tag, const char *name, unsigned nparams,
						   const char *const *params);
void		pgconn_query(struct pgconn *conn, unsigned tag, const char *sql, unsigned nparams,
						 const char *const *params);
void		pgconn_sync(struct pgconn *conn);

void		pgconn_pause(struct pgconn *conn);
void		pgconn_resume(struct pgconn *conn);

/* Asks the server to give up the statement that runs. */
void		pgconn_cancel(struct pgconn *conn);

#endif
