/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_source.c
 *	  The commit log as a source, against a server: every row once, positions that tell the truth, rest
 *	  and doorbell, interruptions of every kind.
 *
 * "test_source follow CONNINFO" is the process that test_stopped_process stops.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "log.h"
#include "memory.h"
#include "stats.h"
#include "writers.h"

#define IN_FLIGHT (16 * 1024 * 1024)
#define ARMED "SELECT (realtime.status() ->> 'armed')::int > 0"
#define BACKENDS "FROM pg_stat_activity WHERE application_name ~ '^realtime-notifier'" \
	" AND datname = current_database()"

/* AddressSanitizer keeps freed memory for a while, which test_large would take for ours. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

static struct sql *control;		/* for all tests: opened by setup() */
static char *program;

/* The xid from which a test's rows count. */
static uint64_t
next_xid(void)
{
	return strtoull(sql_value(control, "SELECT pg_snapshot_xmax(pg_current_snapshot())"), NULL, 10);
}

static void
restart_server(const char *mode)
{
	sql_close(control);
	control = NULL;
	shell("env -u PGHOST -u PGPORT -u PGUSER -u PGPASSWORD $RT_BINDIR/pg_ctl -D $RT_PGDATA -m %s"
		  " -l $RT_PGDATA/server.log -w -s restart </dev/null", mode);
	control = sql_open("");
}

/* A writer whose server went away does not know of a transaction that was prepared just then. */
static void
end_prepared(void)
{
	char		gid[100];

	while (strcmp(sql_value(control, "SELECT count(*) FROM pg_prepared_xacts"), "0") != 0)
	{
		snprintf(gid, sizeof(gid), "%s", sql_value(control, "SELECT gid FROM pg_prepared_xacts"));
		(void) sql_try(control, "ROLLBACK PREPARED '%s'", gid);
	}
}

static int
setup(void **state)
{
	(void) state;
	control = sql_open("");
	end_prepared();
	sql_run(control, "CREATE EXTENSION IF NOT EXISTS realtime");
	sql_run(control, "CREATE TABLE IF NOT EXISTS source_t (id int PRIMARY KEY, pad text, n int DEFAULT 0)");
	sql_run(control, "SELECT realtime.enable('source_t')");
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	sql_close(control);
	return 0;
}

/* Waits until the source is at rest. */
static void
wait_armed(struct stream *stream)
{
	assert_true(stream_wait_up(stream));
	assert_true(wait_for_sql(control, WAIT_MS, ARMED));
}

/* A lone event: one bell, and at most two polls; one that waits for it has been counted before. */
static void
test_lone_event(void **state)
{
	struct stream *stream = stream_start("", 60000, IN_FLIGHT);
	uint64_t	since = next_xid();
	int64_t		polls;
	int64_t		bells;

	(void) state;
	wait_armed(stream);
	sql_run(control, "INSERT INTO source_t VALUES (1, 'warm') ON CONFLICT (id) DO UPDATE SET n = source_t.n + 1");
	assert_true(stream_wait_chunks(stream, 1));
	nap(1000);					/* the bucket of pace.h is empty again */
	polls = stats_get(STAT_POLLS);
	bells = stats_get(STAT_DOORBELLS);
	sql_run(control, "UPDATE source_t SET n = n + 1 WHERE id = 1");
	assert_true(stream_wait_chunks(stream, 2));
	assert_true(stream_wait_covered(stream, control));
	assert_int_equal(stats_get(STAT_DOORBELLS) - bells, 1);
	assert_in_range(stats_get(STAT_POLLS) - polls, 0, 2);
	assert_true(sql_is(control, ARMED));
	stream_check(stream, control, since);
	stream_stop(stream);
	assert_true(wait_for_sql(control, WAIT_MS, "SELECT NOT (" ARMED ")"));
}

static bool
has_more_positions(struct stream *stream, void *arg)
{
	return stream->npositions > *(unsigned *) arg;
}

/* Reads a counter of the stream under its lock. */
static size_t
read_count(struct stream *stream, const unsigned *count)
{
	size_t		n;

	pthread_mutex_lock(&stream->lock);
	n = *count;
	pthread_mutex_unlock(&stream->lock);
	return n;
}

/* A poke at rest is answered by a position soon; many at once by few. */
static void
test_poke(void **state)
{
	struct stream *stream = stream_start("", 600000, IN_FLIGHT);
	unsigned	positions;
	int64_t		polls;

	(void) state;
	wait_armed(stream);
	nap(300);
	positions = (unsigned) read_count(stream, &stream->npositions);
	stream_poke(stream);
	assert_true(stream_wait(stream, 5000, has_more_positions, &positions));
	polls = stats_get(STAT_POLLS);
	for (int i = 0; i < 100000; i++)
		stream_poke(stream);
	positions = (unsigned) read_count(stream, &stream->npositions);
	stream_poke(stream);
	assert_true(stream_wait(stream, 5000, has_more_positions, &positions));
	assert_in_range(stats_get(STAT_POLLS) - polls, 1, 2000);

	/* A position that covers a transaction without events comes without a poke, too; not at once. */
	sql_run(control, "SELECT pg_current_xact_id()");
	stream_poke(stream);
	assert_true(stream_wait_covered(stream, control));
	stream_stop(stream);
}

/* Runs the writers for a while, doing something every now and then; then everything must be there. */
static void
check_writers(const char *disturb, unsigned every_ms, unsigned seconds)
{
	struct stream *stream = stream_start("", 1000, IN_FLIGHT);
	uint64_t	since;
	struct writers *writers;
	unsigned long committed;
	int64_t		end;

	assert_true(stream_wait_up(stream));
	since = next_xid();
	writers = writers_start("", 8);
	end = now_us() + (int64_t) seconds * 1000000;
	while (now_us() < end)
	{
		nap(every_ms);
		if (disturb != NULL)
			sql_run(control, "%s", disturb);
	}
	committed = writers_stop(writers);
	assert_true(stream_wait_up(stream));
	stream_poke(stream);
	assert_true(stream_wait_covered(stream, control));
	print_message("%lu transactions, %zu rows, %u batches, %u connections, %lld polls, %lld bells so far\n",
				  committed, stream->nchunks, stream->nbatches, stream->nups,
				  (long long) stats_get(STAT_POLLS), (long long) stats_get(STAT_DOORBELLS));
	assert_true(committed > 50);
	assert_int_equal(stream->ngaps, 0);
	if (disturb != NULL)
		assert_true(stream->nups > 1);
	stream_check(stream, control, since);
	stream_stop(stream);
}

static void
test_writers(void **state)
{
	(void) state;
	check_writers(NULL, 100, 6);
}

static void
test_writers_killed_connections(void **state)
{
	(void) state;
	check_writers("SELECT pg_terminate_backend(pid) " BACKENDS " AND random() < 0.6", 400, 8);
}

static void
test_writers_cancelled_polls(void **state)
{
	(void) state;
	check_writers("SELECT pg_cancel_backend(pid), pg_terminate_backend(CASE WHEN random() < 0.1 THEN pid ELSE 0 END) " BACKENDS, 50, 6);
}

/* Peak memory of this process in kB. */
static long
peak_memory(void)
{
	FILE	   *file = fopen("/proc/self/status", "r");
	char		line[200];
	long		kb = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = atol(line + 6);
	fclose(file);
	return kb;
}

static bool
holds_much(struct stream *stream, void *arg)
{
	(void) arg;
	return stream->held > IN_FLIGHT / 2;
}

static bool
was_up_more(struct stream *stream, void *arg)
{
	return stream->nups > *(unsigned *) arg;
}

/*
 * A transaction of 200 MB: batches are bounded, no more is read than in_flight_max allows, and losses of
 * the connection in the middle repeat nothing and let nothing come in between.
 */
static void
test_large(void **state)
{
	struct stream *stream = stream_start("", 1000, IN_FLIGHT);
	uint64_t	since = next_xid();
	long		before;
	size_t		held;

	(void) state;
	wait_armed(stream);
	sql_run(control, "CREATE TABLE source_large (id int PRIMARY KEY, pad text)");
	sql_run(control, "SELECT realtime.enable('source_large', bulk_threshold => NULL)");
	before = peak_memory();
	stream_hold(stream, true);
	sql_run(control, "INSERT INTO source_large SELECT g, repeat('z', 20000) FROM generate_series(1, 10000) g");
	assert_true(stream_wait(stream, WAIT_MS, holds_much, NULL));

	for (unsigned round = 1; round <= 4; round++)
	{
		/* A small one that is committed before the large one has been told to its end. */
		sql_run(control, "INSERT INTO source_t VALUES (7) ON CONFLICT (id) DO UPDATE SET n = source_t.n + 1");
		sql_run(control, "SELECT pg_terminate_backend(pid) " BACKENDS);
		assert_true(stream_wait(stream, WAIT_MS, was_up_more, &round));
		nap(300);				/* time to read on, were it not bounded */
		pthread_mutex_lock(&stream->lock);
		held = stream->held;
		pthread_mutex_unlock(&stream->lock);
		assert_in_range(held, IN_FLIGHT / 2, IN_FLIGHT + 8 * 1024 * 1024);
		stream_hold(stream, false);
		if (round < 4)
		{
			stream_hold(stream, true);
			assert_true(stream_wait(stream, WAIT_MS, holds_much, NULL));
		}
	}
	assert_true(stream_wait_covered(stream, control));
	assert_in_range(stream->bytes, 200000000, 230000000);
	assert_in_range(stream->batch_max, 1, 4 * 1024 * 1024);
	assert_int_equal(stream->nups, 5);
	assert_in_range(peak_memory() - before, 0, 60000);
	print_message("%zu MB in %u batches of at most %zu kB, peak memory grew by %ld kB\n",
				  stream->bytes / 1000000, stream->nbatches, stream->batch_max / 1024,
				  peak_memory() - before);
	stream_check(stream, control, since);
	stream_stop(stream);
	sql_run(control, "DROP TABLE source_large");
}

/* What committed asynchronously is told only when its WAL is flushed. */
static void
test_asynchronous_commit(void **state)
{
	struct stream *stream = stream_start("", 1000, IN_FLIGHT);
	struct sql *writer = sql_open("");
	uint64_t	since = next_xid();
	int			walwriter;

	(void) state;
	wait_armed(stream);
	walwriter = atoi(sql_value(control, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"));
	assert_int_equal(kill(walwriter, SIGSTOP), 0);
	sql_run(writer, "SET synchronous_commit = off");

	/* Without a reader nothing is flushed: else the test could not fail. */
	sql_run(writer, "CREATE TABLE IF NOT EXISTS source_quiet (a int)");
	sql_run(writer, "INSERT INTO source_quiet VALUES (1)");
	assert_true(sql_is(writer, "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()"));
	sql_run(writer, "CREATE EXTENSION IF NOT EXISTS pg_walinspect");
	for (size_t i = 1; i <= 20; i++)
	{
		char		start[30];
		char		xid[30];
		char		flushed[30];

		/* The commit record itself is looked for: others may have written WAL since. */
		snprintf(start, sizeof(start), "%s", sql_value(writer, "SELECT pg_current_wal_insert_lsn()"));
		snprintf(xid, sizeof(xid), "%s", sql_value(writer, "UPDATE source_t SET n = n + 1 WHERE id = 1"
												   " RETURNING pg_current_xact_id()::xid"));
		assert_true(stream_wait_chunks(stream, i));
		snprintf(flushed, sizeof(flushed), "%s", sql_value(writer, "SELECT pg_current_wal_flush_lsn()"));
		assert_string_equal(sql_value(writer, "SELECT count(*) FROM pg_get_wal_records_info('%s', '%s')"
									  " WHERE xid = '%s' AND record_type LIKE 'COMMIT%%'", start, flushed, xid),
							"1");
	}
	kill(walwriter, SIGCONT);
	stream_check(stream, control, since);
	stream_stop(stream);
	sql_close(writer);
}

/* An orderly restart is a pause; a crash is a new epoch. */
static void
test_restart(void **state)
{
	struct stream *stream = stream_start("", 1000, IN_FLIGHT);
	uint64_t	since;
	struct writers *writers;

	(void) state;
	assert_true(stream_wait_up(stream));
	since = next_xid();
	writers = writers_start("", 4);
	for (int i = 0; i < 3; i++)
	{
		nap(700);
		restart_server("fast");
	}
	writers_stop(writers);
	assert_true(stream_wait_up(stream));
	stream_poke(stream);
	assert_true(stream_wait_covered(stream, control));
	assert_true(stream->nups > 1);
	assert_int_equal(stream->ngaps, 0);
	stream_check(stream, control, since);

	writers = writers_start("", 4);
	nap(500);
	restart_server("immediate");
	assert_true(stream_wait_gaps(stream, 1));
	assert_string_equal(stream->gap, "epoch");
	nap(500);
	writers_stop(writers);
	end_prepared();
	since = next_xid();
	sql_run(control, "UPDATE source_t SET n = n + 1 WHERE id = 1");
	assert_true(stream_wait_covered(stream, control));
	assert_int_equal(stream->ngaps, 1);
	stream_check(stream, control, since);
	stream_stop(stream);
}

/* A new epoch without a loss of the connection. */
static void
test_new_epoch(void **state)
{
	struct stream *stream = stream_start("", 1000, IN_FLIGHT);
	uint64_t	since;

	(void) state;
	assert_true(stream_wait_up(stream));
	sql_run(control, "SELECT realtime.new_epoch()");
	assert_true(stream_wait_gaps(stream, 1));
	assert_string_equal(stream->gap, "epoch");
	since = next_xid();
	sql_run(control, "UPDATE source_t SET n = n + 1 WHERE id = 1");
	assert_true(stream_wait_covered(stream, control));
	assert_int_equal(stream->ngaps, 1);
	assert_int_equal(stream->nups, 1);
	stream_check(stream, control, since);
	stream_stop(stream);
}

/* History that is pruned while the source is away is told as a gap, and so while it is connected. */
static void
test_pruned(void **state)
{
	struct stream *stream;
	struct sql *other = sql_open("dbname=template1");
	uint64_t	since;
	char		database[100];

	(void) state;
	snprintf(database, sizeof(database), "%s", sql_value(control, "SELECT current_database()"));
	stream = stream_start("", 1000, IN_FLIGHT);
	assert_true(stream_wait_up(stream));
	sql_run(other, "ALTER DATABASE %s ALLOW_CONNECTIONS false", database);
	sql_run(control, "SELECT pg_terminate_backend(pid) " BACKENDS);
	assert_true(wait_for_sql(control, WAIT_MS, "SELECT count(*) = 0 " BACKENDS));
	sql_run(control, "SET realtime.retention = '1s'");
	for (int i = 0; i < 6; i++)
	{
		sql_run(control, "UPDATE source_t SET n = n + 1 WHERE id = 1");
		nap(1100);		/* retention */
		sql_run(control, "SELECT realtime.prune()");
	}
	sql_run(control, "RESET realtime.retention");
	assert_true(sql_is(control, "SELECT count(*) = 1 FROM realtime.log_floor"));
	sql_run(other, "ALTER DATABASE %s ALLOW_CONNECTIONS true", database);
	assert_true(stream_wait_gaps(stream, 1));
	assert_string_equal(stream->gap, "history");
	since = next_xid();
	sql_run(control, "UPDATE source_t SET n = n + 1 WHERE id = 1");
	assert_true(stream_wait_covered(stream, control));
	assert_int_equal(stream->ngaps, 1);
	stream_check(stream, control, since);
	stream_stop(stream);
	sql_close(other);
}

/* Without the extension, or without rights, the source waits for them. */
static void
test_unusable(void **state)
{
	struct sql *other;
	struct stream *stream;

	(void) state;
	sql_run(control, "DROP DATABASE IF EXISTS source_bare");
	sql_run(control, "CREATE DATABASE source_bare");
	sql_run(control, "DROP ROLE IF EXISTS source_reader");
	sql_run(control, "CREATE ROLE source_reader LOGIN");
	stream = stream_start("dbname=source_bare user=source_reader", 1000, IN_FLIGHT);
	other = sql_open("dbname=source_bare");
	nap(500);
	assert_int_equal(read_count(stream, &stream->nups), 0);
	sql_run(other, "CREATE EXTENSION realtime");
	nap(500);
	assert_int_equal(read_count(stream, &stream->nups), 0);
	sql_run(other, "GRANT realtime_notifier TO source_reader");
	assert_true(stream_wait_up(stream));
	stream_stop(stream);
	sql_close(other);
	sql_run(control, "DROP DATABASE source_bare WITH (FORCE)");
	sql_run(control, "DROP ROLE source_reader");
}

/* A writer that hangs between the doorbell and its commit holds up nobody's events. */
static void
test_stuck_writer(void **state)
{
	struct stream *stream;
	struct sql *stuck = sql_open("");
	struct sql *holder = sql_open("");
	struct sql *other = sql_open("");
	uint64_t	since = next_xid();
	int64_t		worst = 0;

	(void) state;
	/* Its events need a row type that another session has locked; it looks it up after the doorbell. */
	sql_run(control, "CREATE TABLE source_row (a int)");
	sql_run(control, "CREATE TABLE source_c (id int PRIMARY KEY, c source_row)");
	sql_run(control, "SELECT realtime.enable('source_c')");
	sql_run(stuck, "BEGIN");
	sql_run(stuck, "INSERT INTO source_c VALUES (1, ROW(1)::source_row)");
	sql_run(control, "ALTER TABLE source_row SET (fillfactor = 90)");
	sql_run(stuck, "SELECT count(*) FROM source_t");
	sql_run(holder, "BEGIN");
	sql_run(holder, "LOCK TABLE source_row IN ACCESS EXCLUSIVE MODE");
	sql_send(stuck, "COMMIT");
	assert_true(wait_for_sql(control, WAIT_MS, "SELECT count(*) = 1 FROM pg_stat_activity"
							 " WHERE query = 'COMMIT' AND wait_event_type = 'Lock'"));
	stream = stream_start("", 1000, IN_FLIGHT);
	assert_true(stream_wait_up(stream));
	for (size_t i = 1; i <= 30; i++)
	{
		int64_t		at;

		nap(50);
		sql_run(other, "UPDATE source_t SET n = n + 1 WHERE id = 1");
		at = now_us();
		assert_true(stream_wait_chunks(stream, i));
		if (now_us() - at > worst)
			worst = now_us() - at;
	}
	print_message("worst latency beside a stuck writer %lld us\n", (long long) worst);
	assert_in_range(worst, 0, 900000);	/* less than the fallback poll */
	assert_false(sql_is(control, ARMED));
	sql_run(holder, "COMMIT");
	assert_string_equal(sql_finish(stuck), "");
	assert_true(stream_wait_covered(stream, control));
	assert_true(wait_for_sql(control, WAIT_MS, ARMED));
	stream_check(stream, control, since);
	stream_stop(stream);
	sql_close(stuck);
	sql_close(holder);
	sql_close(other);
	sql_run(control, "DROP TABLE source_c, source_row");
}

/* A stopped process loses the lock although bells keep coming in; when it goes on, so does the stream. */
static void
test_stopped_process(void **state)
{
	pid_t		child = fork();
	struct sql *listener;
	int64_t		at;
	int			status;

	(void) state;
	if (child == 0)
	{
		execl(program, program, "follow", "", (char *) NULL);
		_exit(127);
	}
	assert_true(wait_for_sql(control, WAIT_MS, ARMED));
	listener = sql_open("");
	sql_run(listener, "SELECT realtime.enable('source_t', notify => 'auto')");
	kill(child, SIGSTOP);
	at = now_us();
	/* Bells of some size, more than fit into the socket's buffers. */
	while (sql_is(control, ARMED) && now_us() - at < 20000000)
		sql_run(listener, "UPDATE source_t SET n = n + 1, pad = repeat('p', 3000) WHERE id < 100");
	print_message("the lock of a stopped process was gone after %lld ms\n",
				  (long long) (now_us() - at) / 1000);
	assert_in_range(now_us() - at, 5000000, 15000000);
	kill(child, SIGCONT);
	assert_true(wait_for_sql(control, WAIT_MS, ARMED));
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	sql_close(listener);
}

/* A prepared transaction rings no bell when it commits; the poll at rest finds it. */
static void
test_prepared(void **state)
{
	struct stream *stream = stream_start("", 500, IN_FLIGHT);
	uint64_t	since = next_xid();

	(void) state;
	wait_armed(stream);
	sql_run(control, "BEGIN");
	sql_run(control, "UPDATE source_t SET n = n + 1 WHERE id = 1");
	sql_run(control, "PREPARE TRANSACTION 'source'");
	assert_true(wait_for_sql(control, WAIT_MS, ARMED));
	stream_poke(stream);
	assert_true(stream_wait_covered(stream, control));
	sql_run(control, "COMMIT PREPARED 'source'");
	assert_true(stream_wait_chunks(stream, 1));
	assert_true(stream_wait_covered(stream, control));
	stream_check(stream, control, since);
	stream_stop(stream);
}

/* The server process that holds the lock hangs: another doorbell is made, events come meanwhile. */
static void
test_silent_doorbell(void **state)
{
	struct stream *stream = stream_start("", 1000, IN_FLIGHT);
	uint64_t	since = next_xid();
	int			pid;
	size_t		n = 0;

	(void) state;
	wait_armed(stream);
	pid = atoi(sql_value(control, "SELECT pid " BACKENDS " AND application_name ~ 'doorbell'"));
	assert_int_equal(kill(pid, SIGSTOP), 0);
	do
	{
		sql_run(control, "INSERT INTO source_t VALUES (1, 'bell') ON CONFLICT (id) DO UPDATE SET n = source_t.n + 1");
		assert_true(stream_wait_chunks(stream, ++n));
		nap(100);
		assert_in_range(n, 1, 200);
	} while (!sql_is(control, "SELECT count(*) = 2 " BACKENDS " AND application_name ~ 'doorbell'"));
	kill(pid, SIGCONT);
	assert_true(wait_for_sql(control, WAIT_MS, "SELECT count(*) = 1 " BACKENDS " AND application_name ~ 'doorbell'"));
	assert_true(wait_for_sql(control, WAIT_MS, ARMED));
	assert_true(stream_wait_covered(stream, control));
	stream_check(stream, control, since);
	stream_stop(stream);
}

/* A standby is of no use until it is promoted. */
static void
test_standby(void **state)
{
	int			port = atoi(sql_value(control, "SHOW port")) + 1;
	char		conninfo[40];
	struct stream *stream;
	struct sql *standby;

	(void) state;
	shell("rm -rf $RT_PGDATA-standby && $RT_BINDIR/pg_basebackup -D $RT_PGDATA-standby -R --checkpoint=fast");
	shell("printf \"port = %d\\nlisten_addresses = ''\\n\" >>$RT_PGDATA-standby/postgresql.auto.conf", port);
	shell("env -u PGHOST -u PGPORT -u PGUSER -u PGPASSWORD $RT_BINDIR/pg_ctl -D $RT_PGDATA-standby"
		  " -l $RT_PGDATA-standby/server.log -w -s start </dev/null");
	snprintf(conninfo, sizeof(conninfo), "port=%d", port);
	standby = sql_open(conninfo);
	stream = stream_start(conninfo, 1000, IN_FLIGHT);
	assert_true(wait_for_sql(standby, WAIT_MS, "SELECT pg_is_in_recovery() AND count(*) > 0 " BACKENDS));
	nap(300);
	assert_int_equal(read_count(stream, &stream->nups), 0);
	assert_true(sql_is(standby, "SELECT pg_promote()"));
	assert_true(stream_wait_up(stream));
	sql_run(standby, "UPDATE source_t SET n = n + 1 WHERE id = 1");
	assert_true(stream_wait_chunks(stream, 1));
	assert_int_equal(read_count(stream, &stream->ngaps), 0);
	sql_close(standby);
	stream_stop(stream);
	shell("$RT_BINDIR/pg_ctl -D $RT_PGDATA-standby -m immediate -w -s stop && rm -rf $RT_PGDATA-standby");
}

static void *
poke_often(void *arg)
{
	for (int i = 0; i < 2000; i++)
		stream_poke(arg);
	return NULL;
}

/* Ended at any time, while rows come in and others poke. */
static void
test_destroyed(void **state)
{
	struct writers *writers = writers_start("", 4);

	(void) state;
	for (unsigned round = 0; round < 40; round++)
	{
		struct stream *stream = stream_start("", 1000, 20000);
		pthread_t	poker;

		pthread_create(&poker, NULL, poke_often, stream);
		if (round % 2)
			assert_true(stream_wait_up(stream));
		nap(round % 8);
		pthread_join(poker, NULL);
		stream_stop(stream);
	}
	writers_stop(writers);
}

/* Two sources on one database. */
static void
test_two(void **state)
{
	struct stream *a = stream_start("", 1000, IN_FLIGHT);
	struct stream *b = stream_start("", 1000, IN_FLIGHT);
	uint64_t	since;
	struct writers *writers;

	(void) state;
	assert_true(stream_wait_up(a));
	assert_true(stream_wait_up(b));
	since = next_xid();
	writers = writers_start("", 4);
	nap(2000);
	writers_stop(writers);
	assert_true(stream_wait_covered(a, control));
	assert_true(stream_wait_covered(b, control));
	stream_check(a, control, since);
	stream_check(b, control, since);
	stream_stop(a);
	stream_stop(b);
}

/* The process that is stopped: follows until it is ended. */
static int
follow(const char *conninfo)
{
	struct stream *stream = stream_start(conninfo, 1000, IN_FLIGHT);

	for (;;)
		pause();
	stream_stop(stream);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lone_event),
		cmocka_unit_test(test_poke),
		cmocka_unit_test(test_writers),
		cmocka_unit_test(test_writers_killed_connections),
		cmocka_unit_test(test_writers_cancelled_polls),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_asynchronous_commit),
		cmocka_unit_test(test_destroyed),
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_stuck_writer),
		cmocka_unit_test(test_stopped_process),
		cmocka_unit_test(test_prepared),
		cmocka_unit_test(test_silent_doorbell),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_new_epoch),
		cmocka_unit_test(test_pruned),
		cmocka_unit_test(test_unusable),
		cmocka_unit_test(test_restart),
	};

	program = argv[0];
	if (argc == 3 && strcmp(argv[1], "follow") == 0)
		return follow(argv[2]);
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("source", tests, setup, teardown);
}
