/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * db.c
 *	  See db.h. Knows SQL transaction control only.
 *
 * Ownership: a job belongs to the inbox (under the mutex), then to the queue, then to the connection that
 * runs it; whoever has it calls finish(), which calls on_done and frees it. Other threads touch the inbox
 * and the counters only. A post that is still to come keeps the pool's memory: see take_inbox().
 */
#include "db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "pgconn.h"
#include "stats.h"

#define TAG_ROLLBACK 0xFFFFFFFFu	/* no step has this number, nor the next */
#define TAG_FIRST 0xFFFFFFFEu
#define FIRST_RETRY_MS 1000		/* after first_sql failed */
#define LONG_MS 20				/* a long job that has run for so long does not keep others waiting */

struct db_job
{
	struct db_job *next;
	struct db  *db;
	struct db_conn *conn;		/* that runs it */
	struct db_statement *statements;
	unsigned	n;
	db_row_fn	on_row;
	db_done_fn	on_done;
	void	   *arg;
	int64_t		entered_us;
	enum db_kind kind;
	int64_t		began_us;
	bool		is_cancelled;
	bool		has_failed;
	unsigned	step;
	char		sqlstate[6];
	char	   *message;
};

struct db_queue
{
	struct db_job *first;		/* oldest first */
	struct db_job **end;
	unsigned	n;
};

struct db_conn
{
	struct db  *db;
	struct pgconn *pgconn;
	struct db_job *job;
	bool		is_ready;		/* for jobs: connected, and first_sql is done */
	bool		is_refused;		/* first_sql has failed, */
	bool		has_failed;		/* and that was logged */
	bool		is_used;		/* has had a job */
	bool		is_cleaning;	/* a rollback is under way */
};

struct db
{
	struct loop *loop;
	struct db_config config;
	char	   *conninfo;
	char	   *name;
	char		timeout[16];
	const char *settings[24];
	struct db_conn *conns;
	unsigned	nconns;
	struct db_queue shorts;		/* waiting */
	struct db_queue longs;
	unsigned	nfresh;			/* of the latter, for connections that have had no job */
	struct loop_timer *timer;	/* when the oldest has waited long enough */
	struct loop_timer *company; /* looks whether long jobs that wait may join those that run */
	pthread_mutex_t lock;		/* protects the inbox */
	struct db_job *inbox;
	struct db_job **inbox_end;
	bool		is_posted;		/* under the lock: take_inbox() will come */
	bool		is_closed;		/* in the loop's thread */
	bool		is_freed;
	atomic_uint nup;
};

/* Ends a job: tells its owner and frees it. */
static void
finish(struct db_job *job, enum db_outcome outcome)
{
	struct db_error error = {.outcome = outcome};

	if (job->is_cancelled)
		error.outcome = DB_CANCELLED;
	if (error.outcome == DB_FAILED)
	{
		memcpy(error.sqlstate, job->sqlstate, sizeof(error.sqlstate));
		error.step = job->step;
		error.message = job->message;
	}
	if (error.outcome == DB_FAILED || error.outcome == DB_UNAVAILABLE)
		stats_add(STAT_DB_FAILURES, 1);
	job->on_done(job->arg, &error);
	for (unsigned i = 0; i < job->n; i++)
	{
		for (unsigned p = 0; p < job->statements[i].nparams; p++)
			memory_free((char *) (uintptr_t) job->statements[i].params[p]);
		memory_free((char *) (uintptr_t) job->statements[i].sql);
		memory_free((void *) (uintptr_t) job->statements[i].params);
	}
	memory_free(job->statements);
	memory_free(job->message);
	memory_free(job);
}

/* Takes a waiting job out of its queue, given where it hangs. */
static struct db_job *
unqueue(struct db *db, struct db_queue *queue, struct db_job **at)
{
	struct db_job *job = *at;

	*at = job->next;
	if (*at == NULL)
		queue->end = at;
	queue->n--;
	db->nfresh -= job->kind == DB_LONG_FRESH;
	stats_add(STAT_DB_QUEUE, -1);
	job->next = NULL;
	return job;
}

/* Sends all of a job's statements as one group. */
static void
run(struct db_conn *conn, struct db_job *job)
{
	conn->job = job;
	conn->is_used = true;
	job->conn = conn;
	job->began_us = loop_clock_us();
	stats_add(STAT_DB_JOBS, 1);
	for (unsigned i = 0; i < job->n; i++)
		pgconn_query(conn->pgconn, i, job->statements[i].sql, job->statements[i].nparams,
					 job->statements[i].params);
	pgconn_sync(conn->pgconn);
}

/* A row; not for those who gave up. */
static void
on_row(void *arg, unsigned tag, const struct slice *fields, unsigned nfields)
{
	struct db_conn *conn = arg;

	if (conn->job != NULL && !conn->job->is_cancelled)
		conn->job->on_row(conn->job->arg, tag, fields, nfields);
}

/* A statement ended: its error is the job's. */
static void
on_end(void *arg, unsigned tag, const struct pgconn_error *error)
{
	struct db_conn *conn = arg;
	struct db_job *job = conn->job;

	if (error == NULL)
		return;
	if (tag == TAG_FIRST)
	{
		if (!conn->has_failed)
			log_write(LOG_LEVEL_WARNING, "database_not_ready", "sqlstate=%s message=%s", error->sqlstate,
					  error->message);
		conn->has_failed = conn->is_refused = true;
	}
	else if (tag == TAG_ROLLBACK)
		log_write(LOG_LEVEL_ERROR, "database_rollback_failed", "sqlstate=%s message=%s",
				  error->sqlstate, error->message);
	else if (job != NULL && !job->has_failed)
	{
		job->has_failed = true;
		job->step = tag;
		snprintf(job->sqlstate, sizeof(job->sqlstate), "%s", error->sqlstate);
		job->message = memory_copy_string(error->message, strlen(error->message));
	}
}

static void dispatch(struct db *db);

/* The connection takes jobs from now on. */
static void
be_ready(struct db_conn *conn)
{
	conn->is_ready = true;
	conn->has_failed = false;
	atomic_fetch_add(&conn->db->nup, 1);
	stats_add(STAT_DB_UP, 1);
	dispatch(conn->db);
}

/* It takes no more. */
static void
be_unready(struct db_conn *conn)
{
	if (!conn->is_ready)
		return;
	conn->is_ready = false;
	atomic_fetch_sub(&conn->db->nup, 1);
	stats_add(STAT_DB_UP, -1);
}

/* first_sql is through. Where it cannot be executed, jobs could not either: a standby, say. */
static void
first_done(struct db_conn *conn)
{
	if (conn->is_refused)
		pgconn_restart(conn->pgconn, FIRST_RETRY_MS);
	else
		be_ready(conn);
}

/* A job's statements, or the rollback after it, are through. */
static void
on_sync(void *arg)
{
	struct db_conn *conn = arg;
	struct db  *db = conn->db;
	struct db_job *job = conn->job;

	if (!conn->is_ready)
	{
		first_done(conn);
		return;
	}
	conn->job = NULL;
	conn->is_cleaning = pgconn_is_in_transaction(conn->pgconn) && job != NULL;
	if (conn->is_cleaning)
	{
		pgconn_query(conn->pgconn, TAG_ROLLBACK, "ROLLBACK", 0, NULL);
		pgconn_sync(conn->pgconn);
	}
	if (job != NULL)
		finish(job, job->has_failed ? DB_FAILED : DB_DONE);
	dispatch(db);
}

/* The connection works. */
static void
on_up(void *arg)
{
	struct db_conn *conn = arg;

	conn->is_used = conn->is_refused = false;
	if (conn->db->config.first_sql == NULL)
	{
		be_ready(conn);
		return;
	}
	pgconn_query(conn->pgconn, TAG_FIRST, "BEGIN READ WRITE", 0, NULL);
	pgconn_query(conn->pgconn, TAG_FIRST, conn->db->config.first_sql, 0, NULL);
	pgconn_query(conn->pgconn, TAG_FIRST, "COMMIT", 0, NULL);
	pgconn_sync(conn->pgconn);
}

/* The connection is lost, and its job with it: what it had read is told already, so it is not tried again. */
static void
on_down(void *arg)
{
	struct db_conn *conn = arg;
	struct db_job *job = conn->job;

	conn->job = NULL;
	conn->is_cleaning = false;
	be_unready(conn);
	if (job != NULL)
		finish(job, DB_UNAVAILABLE);
}

/* Notifications are not listened to. */
static void
on_notify(void *arg, unsigned n)
{
	(void) arg;
	(void) n;
}

/* Opens one more connection. */
static void
open_connection(struct db *db)
{
	struct db_conn *conn = &db->conns[db->nconns++];
	struct pgconn_config config = {db->conninfo, db->name, db->settings, conn,
		on_up, on_down, on_row, on_end, on_sync, on_notify};

	conn->db = db;
	conn->pgconn = pgconn_new(db->loop, &config);
	pgconn_start(conn->pgconn);
}

/*
 * How many of the long jobs that wait may begin. Those that read little gain nothing from being many at once, and the
 * server's cores are also the stream's and the writers': so they wait for each other, up to LONG_MS, but for a quarter
 * of the connections. One connection is kept for short jobs, where there is more than one.
 */
static unsigned
count_startable(struct db *db)
{
	unsigned	most = db->config.connections_max > 1 ? db->config.connections_max - 1 : 1;
	unsigned	most_new = db->config.connections_max > 4 ? db->config.connections_max / 4 : 1;
	unsigned	nrunning = 0;
	unsigned	nnew = 0;
	unsigned	n;
	int64_t		since = loop_clock_us() - LONG_MS * 1000;

	for (unsigned i = 0; i < db->nconns; i++)
	{
		const struct db_job *job = db->conns[i].job;

		if (job == NULL || job->kind == DB_SHORT)
			continue;
		nrunning++;
		nnew += job->began_us > since;
	}
	if (nnew >= most_new || nrunning >= most)
		return 0;
	n = most_new - nnew < most - nrunning ? most_new - nnew : most - nrunning;
	return n < db->longs.n ? n : db->longs.n;
}

/* The oldest long job that a connection may run, given where it hangs; NULL when there is none. */
static struct db_job **
find_long(struct db *db, const struct db_conn *conn)
{
	struct db_job **at = &db->longs.first;

	while (*at != NULL && (*at)->kind == DB_LONG_FRESH && conn->is_used)
		at = &(*at)->next;
	return *at != NULL ? at : NULL;
}

/* Makes a free connection one that has had no job. */
static void
renew(struct db_conn *conn)
{
	be_unready(conn);
	pgconn_restart(conn->pgconn, 0);
}

/*
 * Gives waiting jobs to free connections, short ones first; opens connections for those left over that may begin.
 * Where there can be no more, a free one is opened anew when the oldest long job wants that, or all that are left,
 * unless enough are being opened.
 */
static void
dispatch(struct db *db)
{
	unsigned	startable = count_startable(db);
	unsigned	coming = 0;

	for (unsigned i = 0; i < db->nconns; i++)
		coming += !db->conns[i].is_ready;
	for (; startable > coming && db->nfresh > coming && db->nconns < db->config.connections_max; coming++)
		open_connection(db);
	for (unsigned i = 0; i < db->nconns && db->shorts.n + startable > 0; i++)
	{
		struct db_conn *conn = &db->conns[i];
		struct db_job **at = NULL;

		if (!conn->is_ready || conn->job != NULL || conn->is_cleaning)
			continue;
		if (db->shorts.first != NULL)
		{
			run(conn, unqueue(db, &db->shorts, &db->shorts.first));
			continue;
		}
		at = find_long(db, conn);
		if (at != NULL && (at == &db->longs.first || db->nfresh <= coming))
		{
			run(conn, unqueue(db, &db->longs, at));
			startable--;
		}
		else if (db->nfresh > coming && startable > coming)
		{
			renew(conn);
			coming++;
		}
	}
	for (; db->shorts.n + startable > coming && db->nconns < db->config.connections_max; coming++)
		open_connection(db);
	if (db->longs.n > 0 && !loop_timer_is_active(db->company))
		loop_timer_start(db->company, LONG_MS);
}

static void
on_company(void *arg)
{
	dispatch(arg);
}

/* Sets the timer to the end of the oldest waiting job's patience. */
static void
set_timer(struct db *db)
{
	const struct db_job *oldest = db->shorts.first;
	int64_t		left;

	if (oldest == NULL || (db->longs.first != NULL && db->longs.first->entered_us < oldest->entered_us))
		oldest = db->longs.first;
	if (oldest == NULL || loop_timer_is_active(db->timer))
		return;
	left = oldest->entered_us + (int64_t) db->config.wait_max_ms * 1000 - loop_clock_us();
	loop_timer_start(db->timer, left > 0 ? (unsigned) (left / 1000) + 1 : 0);
}

/* Ends the jobs of a queue that have waited too long or were given up while waiting. */
static void
expire(struct db *db, struct db_queue *queue)
{
	int64_t		since = loop_clock_us() - (int64_t) db->config.wait_max_ms * 1000;
	struct db_job **at = &queue->first;

	while (*at != NULL)
	{
		if ((*at)->is_cancelled || (*at)->entered_us <= since)
			finish(unqueue(db, queue, at), DB_UNAVAILABLE);
		else
			at = &(*at)->next;
	}
}

static void
on_timer(void *arg)
{
	struct db  *db = arg;

	expire(db, &db->shorts);
	expire(db, &db->longs);
	set_timer(db);
}

/* Empties the inbox under the lock. */
static struct db_job *
grab_inbox(struct db *db)
{
	struct db_job *first;

	pthread_mutex_lock(&db->lock);
	first = db->inbox;
	db->inbox = NULL;
	db->inbox_end = &db->inbox;
	db->is_posted = false;
	pthread_mutex_unlock(&db->lock);
	return first;
}

/* The pool's own memory, once no post can come any more. */
static void
release(struct db *db)
{
	pthread_mutex_destroy(&db->lock);
	memory_free(db->conns);
	memory_free(db->conninfo);
	memory_free(db->name);
	memory_free(db);
}

/* Queues what was submitted. The last act of a pool that was freed meanwhile. */
static void
take_inbox(void *arg)
{
	struct db  *db = arg;
	struct db_job *job = grab_inbox(db);

	while (job != NULL)
	{
		struct db_job *next = job->next;

		job->next = NULL;
		if (db->is_closed || job->is_cancelled)
			finish(job, DB_CANCELLED);
		else if (db->shorts.n + db->longs.n >= db->config.queue_max)
			finish(job, DB_UNAVAILABLE);
		else
		{
			struct db_queue *queue = job->kind == DB_SHORT ? &db->shorts : &db->longs;

			*queue->end = job;
			queue->end = &job->next;
			queue->n++;
			db->nfresh += job->kind == DB_LONG_FRESH;
			stats_add(STAT_DB_QUEUE, 1);
			dispatch(db);
		}
		job = next;
	}
	if (db->is_freed)
		release(db);
	else if (!db->is_closed)
		set_timer(db);
}

struct db *
db_new(struct loop *loop, const struct db_config *config)
{
	struct db  *db = memory_alloc_zeroed(sizeof(*db));
	const char *const settings[] = {
		"default_transaction_isolation", "read committed",
		"default_transaction_read_only", "on",
		"default_transaction_deferrable", "off",
		"statement_timeout", db->timeout,
		"idle_in_transaction_session_timeout", "60s",
		"search_path", "pg_catalog",	/* of our statements; policies have their own */
		/* How constants of filters are read, and keys written: as the log has them. */
		"TimeZone", "UTC",
		"DateStyle", "ISO, MDY",
		"IntervalStyle", "postgres",
		"bytea_output", "hex",
		"extra_float_digits", "1",
		NULL
	};

	db->loop = loop;
	db->config = *config;
	db->conninfo = memory_copy_string(config->conninfo, strlen(config->conninfo));
	db->name = memory_copy_string(config->application_name, strlen(config->application_name));
	snprintf(db->timeout, sizeof(db->timeout), "%u", config->statement_timeout_ms);
	memcpy(db->settings, settings, sizeof(settings));
	db->conns = memory_alloc_zeroed(sizeof(*db->conns) * config->connections_max);
	db->shorts.end = &db->shorts.first;
	db->longs.end = &db->longs.first;
	db->inbox_end = &db->inbox;
	db->timer = loop_timer_new(loop, on_timer, db);
	db->company = loop_timer_new(loop, on_company, db);
	pthread_mutex_init(&db->lock, NULL);
	open_connection(db);		/* one at once, to know whether the database is there */
	return db;
}

void
db_close(struct db *db)
{
	if (db->is_closed)
		return;
	db->is_closed = true;
	loop_timer_free(db->timer);
	loop_timer_free(db->company);
	for (unsigned i = 0; i < db->nconns; i++)
	{
		struct db_conn *conn = &db->conns[i];
		struct db_job *job = conn->job;

		if (conn->is_ready)
			stats_add(STAT_DB_UP, -1);
		pgconn_free(conn->pgconn);
		conn->job = NULL;
		if (job != NULL)
			finish(job, DB_CANCELLED);
	}
	while (db->shorts.first != NULL)
		finish(unqueue(db, &db->shorts, &db->shorts.first), DB_CANCELLED);
	while (db->longs.first != NULL)
		finish(unqueue(db, &db->longs, &db->longs.first), DB_CANCELLED);
}

void
db_free(struct db *db)
{
	bool		is_posted;

	if (db == NULL)
		return;
	db_close(db);
	db->is_freed = true;
	pthread_mutex_lock(&db->lock);
	is_posted = db->is_posted;
	pthread_mutex_unlock(&db->lock);
	if (!is_posted)
		release(db);
}

struct db_job *
db_submit(struct db *db, enum db_kind kind, const struct db_statement *statements, unsigned n, db_row_fn row_fn,
		  db_done_fn done_fn, void *arg)
{
	struct db_job *job = memory_alloc_zeroed(sizeof(*job));
	bool		must_post;

	job->db = db;
	job->n = n;
	job->kind = kind;
	job->on_row = row_fn;
	job->on_done = done_fn;
	job->arg = arg;
	job->entered_us = loop_clock_us();
	job->statements = memory_alloc_zeroed(sizeof(*job->statements) * n);
	for (unsigned i = 0; i < n; i++)
	{
		const struct db_statement *from = &statements[i];
		char	  **params = memory_alloc_zeroed(sizeof(*params) * from->nparams);

		for (unsigned p = 0; p < from->nparams; p++)
			if (from->params[p] != NULL)
				params[p] = memory_copy_string(from->params[p], strlen(from->params[p]));
		job->statements[i].sql = memory_copy_string(from->sql, strlen(from->sql));
		job->statements[i].nparams = from->nparams;
		job->statements[i].params = (const char *const *) params;
	}
	pthread_mutex_lock(&db->lock);
	*db->inbox_end = job;
	db->inbox_end = &job->next;
	must_post = !db->is_posted;
	db->is_posted = true;
	pthread_mutex_unlock(&db->lock);
	if (must_post)
		loop_post(db->loop, take_inbox, db);
	return job;
}

void
db_pause(struct db_job *job)
{
	if (job->conn != NULL)
		pgconn_pause(job->conn->pgconn);
}

void
db_resume(struct db_job *job)
{
	if (job->conn != NULL)
		pgconn_resume(job->conn->pgconn);
}

void
db_cancel(struct db_job *job)
{
	job->is_cancelled = true;
	if (job->conn != NULL)
	{
		pgconn_resume(job->conn->pgconn);
		pgconn_cancel(job->conn->pgconn);
	}
	else
		loop_timer_start(job->db->timer, 0);
}

bool
db_is_up(struct db *db)
{
	return atomic_load(&db->nup) > 0;
}

struct loop *
db_loop(struct db *db)
{
	return db->loop;
}
