/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * pgconn.c
 *	  See pgconn.h. The one file that knows libpq.
 *
 * Invariants
 * - queue holds what was sent and not yet answered, in libpq's order; its head is set to single-row mode
 *	 before libpq parses a byte of the answer, else libpq would collect the rows.
 * - generation changes when the connection is dropped; whoever called back compares it before going on.
 * - While depth > 0 a callback is under way and the struct stays; pgconn_free() then only marks it.
 */
#include "pgconn.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "log.h"
#include "memory.h"

#define CANCEL_LOOK_MS 2		/* how often the end of a request to cancel is looked for */
#define LOG_EVERY 20			/* attempts to connect between two log lines */
#define UP_LONG_US 5000000		/* so long up, and the next attempt comes soon again */

enum state
{
	STATE_DOWN,					/* waiting for the timer, or not started */
	STATE_CONNECTING,
	STATE_SETTING,
	STATE_UP
};

/* One thing that was sent. */
struct sent
{
	unsigned	tag;
	bool		is_sync;
	bool		is_ours;		/* of the settings: no callbacks */
};

/* A request to cancel; its thread blocks in libpq. Whoever is the second to let go frees it. */
enum cancel_state
{
	CANCEL_RUNS,
	CANCEL_DONE,				/* the thread has let go */
	CANCEL_ORPHAN				/* the connection has let go */
};

struct cancel
{
	PGcancel   *request;
	atomic_int	state;
};

struct pgconn
{
	struct loop *loop;
	struct pgconn_config config;
	pgconn_unreachable_fn unreachable;	/* NULL: failures are logged */
	char	   *conninfo;
	char	   *name;
	PGconn	   *pg;
	enum state	state;
	struct loop_watch *watch;
	struct loop_timer *timer;	/* what it means depends on the state: on_timer() */
	struct loop_timer *cancel_timer;
	struct cancel *cancel;
	struct sent *queue;			/* a ring */
	unsigned	head;
	unsigned	count;
	unsigned	room;			/* a power of two */
	unsigned	attempts;		/* to connect, since it was up for UP_LONG_US */
	int64_t		up_at;
	unsigned	seed;
	unsigned	generation;
	unsigned	depth;
	bool		is_paused;
	bool		is_broken;		/* sending failed; told by the timer */
	bool		is_freed;
	bool		has_settings_failed;
};

static void connect_begin(struct pgconn *conn);
static void drop(struct pgconn *conn);
static void process(struct pgconn *conn);

/* Frees the struct when nobody is inside. */
static void
leave(struct pgconn *conn)
{
	if (--conn->depth > 0 || !conn->is_freed)
		return;
	memory_free(conn->queue);
	memory_free(conn->conninfo);
	memory_free(conn->name);
	memory_free(conn);
}

/* A random number of at most max. */
static unsigned
random_upto(struct pgconn *conn, unsigned max)
{
	return (unsigned) (((uint64_t) (unsigned) rand_r(&conn->seed) * (max + 1)) / ((uint64_t) RAND_MAX + 1));
}

/* Connects again after a pause: full jitter, so that many clients of a restarted server spread. */
static void
retry(struct pgconn *conn)
{
	unsigned	most = PGCONN_RETRY_MIN_MS;

	for (unsigned i = 0; i < conn->attempts && most < PGCONN_RETRY_MAX_MS; i++)
		most *= 2;
	if (most > PGCONN_RETRY_MAX_MS)
		most = PGCONN_RETRY_MAX_MS;
	loop_timer_start(conn->timer, random_upto(conn, most));
}

/* The connection failed or was lost. Of the message the first line is logged. */
static void
go_down(struct pgconn *conn, const char *sqlstate, const char *message)
{
	bool		was_up = conn->state == STATE_UP;
	char	   *line = memory_copy_string(message, strcspn(message, "\n"));
	bool		is_told = !was_up && conn->unreachable != NULL;

	if (was_up && loop_clock_us() - conn->up_at > UP_LONG_US)
		conn->attempts = 0;
	if (is_told)
		conn->unreachable(conn->config.arg, line);
	else if (was_up || conn->attempts % LOG_EVERY == 0)
		log_write(LOG_LEVEL_WARNING, was_up ? "database_lost" : "database_unreachable",
				  "connection=%s attempt=%d sqlstate=%s message=%s", conn->name, (int) conn->attempts,
				  sqlstate, line);
	memory_free(line);
	drop(conn);
	retry(conn);
	conn->attempts++;
	if (was_up)
		conn->config.on_down(conn->config.arg);
}

/* The same with what libpq says. */
static void
go_down_pq(struct pgconn *conn)
{
	go_down(conn, "", PQerrorMessage(conn->pg));
}

/* What to wait for: always answers unless paused, room to write while libpq has bytes left. */
static void
update_watch(struct pgconn *conn)
{
	int			left;

	if (conn->state < STATE_SETTING || conn->is_broken)
		return;
	left = PQflush(conn->pg);
	if (left < 0)
	{
		conn->is_broken = true;
		loop_timer_start(conn->timer, 0);
		return;
	}
	loop_watch_set(conn->watch, !conn->is_paused, left > 0);
}

/* Sets libpq to hand out the rows of the statement whose answer comes next one by one. */
static void
open_head(struct pgconn *conn)
{
	if (conn->count > 0 && !conn->queue[conn->head].is_sync)
		(void) PQsetSingleRowMode(conn->pg);
}

/* Remembers what was sent; a failure of libpq ends the connection soon. */
static void
push(struct pgconn *conn, struct sent sent, int is_sent)
{
	if (!is_sent)
	{
		conn->is_broken = true;
		loop_timer_start(conn->timer, 0);
		return;
	}
	if (conn->count == conn->room)
	{
		unsigned	room = conn->room ? conn->room * 2 : 16;
		struct sent *queue = memory_alloc(sizeof(*queue) * room);

		for (unsigned i = 0; i < conn->count; i++)
			queue[i] = conn->queue[(conn->head + i) & (conn->room - 1)];
		memory_free(conn->queue);
		conn->queue = queue;
		conn->room = room;
		conn->head = 0;
	}
	conn->queue[(conn->head + conn->count++) & (conn->room - 1)] = sent;
	if (conn->count == 1)
		open_head(conn);
}

/* The head has been answered. */
static void
pop(struct pgconn *conn)
{
	conn->head = (conn->head + 1) & (conn->room - 1);
	conn->count--;
	open_head(conn);
}

/* Sends the session's settings, each as a statement of its own, as one group. */
static void
send_settings(struct pgconn *conn)
{
	static const char sql[] = "SELECT pg_catalog.set_config($1, $2, false)";

	conn->has_settings_failed = false;
	for (const char *const *s = conn->config.settings; s != NULL && *s != NULL; s += 2)
		push(conn, (struct sent) {.is_ours = true},
			 PQsendQueryParams(conn->pg, sql, 2, NULL, s, NULL, NULL, 0));
	push(conn, (struct sent) {.is_ours = true, .is_sync = true}, PQpipelineSync(conn->pg));
}

/* A group ended; the settings' own makes the connection usable. */
static void
end_group(struct pgconn *conn, struct sent sent)
{
	if (!sent.is_ours)
		conn->config.on_sync(conn->config.arg);
	else if (conn->has_settings_failed)
		pgconn_restart(conn, PGCONN_RETRY_MAX_MS);
	else
	{
		loop_timer_stop(conn->timer);
		if (conn->attempts > 0)
			log_write(LOG_LEVEL_INFO, "database_up", "connection=%s attempts=%d", conn->name,
					  (int) conn->attempts);
		conn->up_at = loop_clock_us();
		conn->state = STATE_UP;
		conn->config.on_up(conn->config.arg);
	}
}

/* A statement failed; the connection may be lost with it. */
static void
end_failed(struct pgconn *conn, struct sent sent, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	struct pgconn_error error = {sqlstate ? sqlstate : "",
		message ? message : PQresultErrorMessage(result)};

	if (PQstatus(conn->pg) == CONNECTION_BAD)
		go_down(conn, error.sqlstate, error.message);
	else if (!sent.is_ours)
		conn->config.on_end(conn->config.arg, sent.tag, &error);
	else
	{
		conn->has_settings_failed = true;
		log_write(LOG_LEVEL_ERROR, "database_setting_refused", "connection=%s sqlstate=%s message=%s",
				  conn->name, error.sqlstate, error.message);
	}
}

/* Hands out a row. */
static void
tell_row(struct pgconn *conn, struct sent sent, const PGresult *result)
{
	struct slice few[16];
	struct slice *fields = few;
	int			n = PQnfields(result);

	if (sent.is_ours)
		return;
	if (n > (int) (sizeof(few) / sizeof(few[0])))
		fields = memory_alloc(sizeof(*fields) * (size_t) n);
	for (int i = 0; i < n; i++)
	{
		fields[i].at = PQgetisnull(result, 0, i) ? NULL : PQgetvalue(result, 0, i);
		fields[i].len = fields[i].at ? (size_t) PQgetlength(result, 0, i) : 0;
	}
	conn->config.on_row(conn->config.arg, sent.tag, fields, (unsigned) n);
	if (fields != few)
		memory_free(fields);
}

/* Takes one result of libpq; false when there is none now. May change everything but the struct. */
static bool
read_one(struct pgconn *conn)
{
	struct sent sent;
	PGresult   *result;

	if (conn->count == 0)
		return false;
	sent = conn->queue[conn->head];
	if ((sent.is_sync && conn->cancel != NULL) || PQisBusy(conn->pg))
		return false;
	result = PQgetResult(conn->pg);
	if (result == NULL)
	{
		pop(conn);
		return true;
	}
	switch (PQresultStatus(result))
	{
		case PGRES_SINGLE_TUPLE:
			tell_row(conn, sent, result);
			break;
		case PGRES_TUPLES_OK:
		case PGRES_COMMAND_OK:
		case PGRES_EMPTY_QUERY:
			if (!sent.is_ours)
				conn->config.on_end(conn->config.arg, sent.tag, NULL);
			break;
		case PGRES_PIPELINE_SYNC:
			pop(conn);
			end_group(conn, sent);
			break;
		case PGRES_PIPELINE_ABORTED:
			break;
		case PGRES_FATAL_ERROR:
			end_failed(conn, sent, result);
			break;
		default:				/* COPY: not spoken here */
			go_down(conn, "", "unexpected kind of result");
			break;
	}
	PQclear(result);
	return true;
}

/* Tells what libpq has. */
static void
process(struct pgconn *conn)
{
	unsigned	generation = conn->generation;
	unsigned	n = 0;
	PGnotify   *notify;

	while (!conn->is_paused && read_one(conn))
		if (conn->generation != generation)
			return;
	while ((notify = PQnotifies(conn->pg)) != NULL)
	{
		PQfreemem(notify);
		n++;
	}
	if (n > 0 && conn->state == STATE_UP)
		conn->config.on_notify(conn->config.arg, n);
	if (conn->generation == generation)
		update_watch(conn);
}

/* The socket of a connection that is made can be read or written. */
static void
on_ready(void *arg, bool is_readable, bool is_writable)
{
	struct pgconn *conn = arg;

	(void) is_writable;
	conn->depth++;
	if (is_readable && !PQconsumeInput(conn->pg))
	{
		unsigned	generation = conn->generation;

		/* What came before the end still counts, the server's reason among it. */
		process(conn);
		if (conn->generation == generation)
			go_down_pq(conn);
	}
	else
		process(conn);
	leave(conn);
}

/* libpq has connected: pipeline mode, settings. */
static void
connect_end(struct pgconn *conn)
{
	conn->state = STATE_SETTING;
	if (PQsetnonblocking(conn->pg, 1) != 0 || !PQenterPipelineMode(conn->pg))
	{
		go_down_pq(conn);
		return;
	}
	conn->watch = loop_watch_new(conn->loop, PQsocket(conn->pg), on_ready, conn);
	send_settings(conn);
	update_watch(conn);
}

/* Connecting takes a step. libpq may change the socket meanwhile: the watch is made anew. */
static void
on_connecting(void *arg, bool is_readable, bool is_writable)
{
	struct pgconn *conn = arg;
	PostgresPollingStatusType next;

	(void) is_readable;
	(void) is_writable;
	conn->depth++;
	loop_watch_free(conn->watch);
	conn->watch = NULL;
	next = PQconnectPoll(conn->pg);
	if (next == PGRES_POLLING_OK)
		connect_end(conn);
	else if (next == PGRES_POLLING_FAILED)
		go_down_pq(conn);
	else
	{
		conn->watch = loop_watch_new(conn->loop, PQsocket(conn->pg), on_connecting, conn);
		loop_watch_set(conn->watch, next == PGRES_POLLING_READING, next == PGRES_POLLING_WRITING);
	}
	leave(conn);
}

/* Notices are for people at a terminal. */
static void
ignore_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/* Starts to connect. Settings before dbname can be overridden by the connection string. */
static void
connect_begin(struct pgconn *conn)
{
	const char *const names[] = {"application_name", "keepalives_idle", "keepalives_interval",
		"keepalives_count", "tcp_user_timeout", "dbname", "client_encoding", NULL};
	const char *const values[] = {conn->name, "10", "5", "3", "25000", conn->conninfo, "UTF8", NULL};

	conn->pg = PQconnectStartParams(names, values, 1);
	conn->state = STATE_CONNECTING;
	if (conn->pg == NULL)
		go_down(conn, "", "out of memory");
	else if (PQstatus(conn->pg) == CONNECTION_BAD)
		go_down_pq(conn);
	else
	{
		PQsetNoticeReceiver(conn->pg, ignore_notice, NULL);
		loop_timer_start(conn->timer, PGCONN_CONNECT_TIMEOUT_MS);
		conn->watch = loop_watch_new(conn->loop, PQsocket(conn->pg), on_connecting, conn);
		loop_watch_set(conn->watch, false, true);
	}
}

/* Time to connect; or connecting took too long; or libpq refused to send; or reading goes on. */
static void
on_timer(void *arg)
{
	struct pgconn *conn = arg;

	conn->depth++;
	if (conn->is_broken)
		go_down_pq(conn);
	else if (conn->state == STATE_DOWN)
		connect_begin(conn);
	else if (conn->state != STATE_UP)
		go_down(conn, "", "timeout while connecting");
	else
		process(conn);
	leave(conn);
}

/* One of the two lets go of a request to cancel. */
static void
let_go(struct cancel *cancel, enum cancel_state state)
{
	if (atomic_exchange(&cancel->state, (int) state) == CANCEL_RUNS)
		return;
	PQfreeCancel(cancel->request);
	memory_free(cancel);
}

/* Forgets a request to cancel, done or not. */
static void
end_cancel(struct pgconn *conn)
{
	if (conn->cancel == NULL)
		return;
	loop_timer_stop(conn->cancel_timer);
	let_go(conn->cancel, CANCEL_ORPHAN);
	conn->cancel = NULL;
}

/* Looks whether the request to cancel has reached the server; then goes on. */
static void
on_cancel_timer(void *arg)
{
	struct pgconn *conn = arg;

	if (atomic_load(&conn->cancel->state) == CANCEL_RUNS)
	{
		loop_timer_start(conn->cancel_timer, CANCEL_LOOK_MS);
		return;
	}
	conn->depth++;
	end_cancel(conn);
	if (conn->state >= STATE_SETTING)
		process(conn);
	leave(conn);
}

/* The thread of a request to cancel. */
static void *
run_cancel(void *arg)
{
	struct cancel *cancel = arg;
	char		error[256];

	(void) PQcancel(cancel->request, error, sizeof(error));
	let_go(cancel, CANCEL_DONE);
	return NULL;
}

/* Closes the connection and forgets what was sent. */
static void
drop(struct pgconn *conn)
{
	conn->generation++;
	loop_timer_stop(conn->timer);
	loop_watch_free(conn->watch);
	conn->watch = NULL;
	end_cancel(conn);
	PQfinish(conn->pg);
	conn->pg = NULL;
	conn->state = STATE_DOWN;
	conn->count = conn->head = 0;
	conn->is_paused = conn->is_broken = false;
}

struct pgconn *
pgconn_new(struct loop *loop, const struct pgconn_config *config)
{
	struct pgconn *conn = memory_alloc_zeroed(sizeof(*conn));

	conn->loop = loop;
	conn->config = *config;
	conn->conninfo = memory_copy_string(config->conninfo, strlen(config->conninfo));
	conn->name = memory_copy_string(config->name, strlen(config->name));
	conn->timer = loop_timer_new(loop, on_timer, conn);
	conn->cancel_timer = loop_timer_new(loop, on_cancel_timer, conn);
	if (getentropy(&conn->seed, sizeof(conn->seed)) != 0)
		conn->seed = (unsigned) loop_clock_us();
	return conn;
}

void
pgconn_free(struct pgconn *conn)
{
	if (conn == NULL)
		return;
	conn->depth++;
	drop(conn);
	loop_timer_free(conn->timer);
	loop_timer_free(conn->cancel_timer);
	conn->is_freed = true;
	leave(conn);
}

void
pgconn_start(struct pgconn *conn)
{
	loop_timer_start(conn->timer, 0);
}

void
pgconn_restart(struct pgconn *conn, unsigned ms)
{
	drop(conn);
	loop_timer_start(conn->timer, ms / 2 + random_upto(conn, ms / 2));
}

void
pgconn_on_unreachable(struct pgconn *conn, pgconn_unreachable_fn fn)
{
	conn->unreachable = fn;
}

bool
pgconn_is_up(const struct pgconn *conn)
{
	return conn->state == STATE_UP && !conn->is_broken;
}

int
pgconn_pid(const struct pgconn *conn)
{
	return conn->state == STATE_UP ? PQbackendPID(conn->pg) : 0;
}

bool
pgconn_is_in_transaction(const struct pgconn *conn)
{
	return conn->state == STATE_UP && PQtransactionStatus(conn->pg) != PQTRANS_IDLE;
}

void
pgconn_prepare(struct pgconn *conn, unsigned tag, const char *name, const char *sql)
{
	if (pgconn_is_up(conn))
		push(conn, (struct sent) {.tag = tag}, PQsendPrepare(conn->pg, name, sql, 0, NULL));
}

void
pgconn_execute(struct pgconn *conn, unsigned tag, const char *name, unsigned nparams,
			   const char *const *params)
{
	if (pgconn_is_up(conn))
		push(conn, (struct sent) {.tag = tag},
			 PQsendQueryPrepared(conn->pg, name, (int) nparams, params, NULL, NULL, 0));
}

void
pgconn_query(struct pgconn *conn, unsigned tag, const char *sql, unsigned nparams,
			 const char *const *params)
{
	if (pgconn_is_up(conn))
		push(conn, (struct sent) {.tag = tag},
			 PQsendQueryParams(conn->pg, sql, (int) nparams, NULL, params, NULL, NULL, 0));
}

void
pgconn_sync(struct pgconn *conn)
{
	if (!pgconn_is_up(conn))
		return;
	push(conn, (struct sent) {.is_sync = true}, PQpipelineSync(conn->pg));
	update_watch(conn);
}

void
pgconn_pause(struct pgconn *conn)
{
	if (conn->state != STATE_UP || conn->is_paused)
		return;
	conn->is_paused = true;
	update_watch(conn);
}

void
pgconn_resume(struct pgconn *conn)
{
	if (!conn->is_paused)
		return;
	conn->is_paused = false;
	loop_timer_start(conn->timer, 0);	/* goes on with what libpq has read already */
}

void
pgconn_cancel(struct pgconn *conn)
{
	struct cancel *cancel;
	pthread_t	thread;

	if (conn->state != STATE_UP || conn->cancel != NULL)
		return;
	cancel = memory_alloc_zeroed(sizeof(*cancel));
	cancel->request = PQgetCancel(conn->pg);
	atomic_init(&cancel->state, CANCEL_RUNS);
	if (cancel->request == NULL || pthread_create(&thread, NULL, run_cancel, cancel) != 0)
	{
		PQfreeCancel(cancel->request);
		memory_free(cancel);
		return;
	}
	pthread_detach(thread);
	conn->cancel = cancel;
	loop_timer_start(conn->cancel_timer, CANCEL_LOOK_MS);
}
