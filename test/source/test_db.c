/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_db.c
 *	  The pool of connections, against a server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "db.h"
#include "harness.h"
#include "memory.h"
#include "stats.h"

#define OUTPUT_MAX 4096

static struct sql *control;

/* A pool in a thread of its own. */
struct pool
{
	pthread_t	thread;
	struct loop *loop;
	struct db  *db;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/* A job and what came of it. */
struct result
{
	struct pool *pool;
	struct db_job *job;
	unsigned long nrows;
	size_t		bytes;
	unsigned long pause_at;		/* the row at which to pause; 0: none */
	unsigned long cancel_at;
	char		output[OUTPUT_MAX];	/* step:field,field; */
	unsigned	ndone;
	struct db_error error;
	char		message[200];
};

static void
on_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct result *result = arg;
	size_t		len;

	pthread_mutex_lock(&result->pool->lock);
	result->nrows++;
	len = strlen(result->output);
	if (len < OUTPUT_MAX - 200)
		len += (size_t) snprintf(result->output + len, OUTPUT_MAX - len, "%u:", step);
	for (unsigned i = 0; i < nfields; i++)
	{
		result->bytes += fields[i].len;
		if (len < OUTPUT_MAX - 200)
			len += (size_t) snprintf(result->output + len, OUTPUT_MAX - len, "%s%.*s", i ? "," : "",
									 fields[i].at ? (int) (fields[i].len > 50 ? 50 : fields[i].len) : 4,
									 fields[i].at ? fields[i].at : "NULL");
	}
	if (len < OUTPUT_MAX - 200)
		snprintf(result->output + len, OUTPUT_MAX - len, ";");
	if (result->nrows == result->pause_at)
		db_pause(result->job);
	if (result->nrows == result->cancel_at)
		db_cancel(result->job);
	pthread_cond_broadcast(&result->pool->changed);
	pthread_mutex_unlock(&result->pool->lock);
}

static void
on_done(void *arg, const struct db_error *error)
{
	struct result *result = arg;

	pthread_mutex_lock(&result->pool->lock);
	result->ndone++;
	result->error = *error;
	snprintf(result->message, sizeof(result->message), "%s", error->message ? error->message : "");
	pthread_cond_broadcast(&result->pool->changed);
	pthread_mutex_unlock(&result->pool->lock);
}

static void *
run(void *arg)
{
	struct pool *pool = arg;

	loop_run(pool->loop);
	return NULL;
}

static struct pool *
pool_start_with(const char *first_sql, unsigned connections, unsigned queue, unsigned wait_ms, unsigned timeout_ms)
{
	struct pool *pool = memory_alloc_zeroed(sizeof(*pool));
	struct db_config config = {"", "test pool", connections, queue, wait_ms, timeout_ms, first_sql};

	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	pool->loop = loop_new();
	pool->db = db_new(pool->loop, &config);
	pthread_create(&pool->thread, NULL, run, pool);
	return pool;
}

static struct pool *
pool_start(unsigned connections, unsigned queue, unsigned wait_ms, unsigned timeout_ms)
{
	return pool_start_with(NULL, connections, queue, wait_ms, timeout_ms);
}

static void
stop(void *arg)
{
	struct pool *pool = arg;

	db_free(pool->db);
	loop_stop(pool->loop);
}

static void
pool_stop(struct pool *pool)
{
	loop_post(pool->loop, stop, pool);
	pthread_join(pool->thread, NULL);
	loop_free(pool->loop);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->changed);
	memory_free(pool);
	assert_int_equal(stats_get(STAT_DB_UP), 0);
	assert_int_equal(stats_get(STAT_DB_QUEUE), 0);
}

/* Submits statements without parameters; the lock keeps callbacks from seeing no job. */
static void
submit(struct pool *pool, struct result *result, unsigned n, ...)
{
	struct db_statement statements[8] = {{NULL, 0, NULL}};
	va_list		args;

	result->pool = pool;
	va_start(args, n);
	for (unsigned i = 0; i < n; i++)
		statements[i].sql = va_arg(args, const char *);
	va_end(args);
	pthread_mutex_lock(&pool->lock);
	result->job = db_submit(pool->db, DB_SHORT, statements, n, on_row, on_done, result);
	pthread_mutex_unlock(&pool->lock);
}

/* A long job of one statement. */
static void
submit_long(struct pool *pool, struct result *result, const char *sql)
{
	struct db_statement statement = {sql, 0, NULL};

	result->pool = pool;
	pthread_mutex_lock(&pool->lock);
	result->job = db_submit(pool->db, DB_LONG, &statement, 1, on_row, on_done, result);
	pthread_mutex_unlock(&pool->lock);
}

/* Waits for the end of a job and checks how it ended. */
static void
expect(struct result *result, enum db_outcome outcome)
{
	struct pool *pool = result->pool;

	pthread_mutex_lock(&pool->lock);
	while (result->ndone == 0)
		pthread_cond_wait(&pool->changed, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	if (result->error.outcome != outcome)
		print_message("%s %s\n", result->error.sqlstate, result->message);
	assert_int_equal(result->error.outcome, outcome);
	assert_int_equal(result->ndone, 1);
}

static void
wait_rows(struct result *result, unsigned long n)
{
	pthread_mutex_lock(&result->pool->lock);
	while (result->nrows < n)
		pthread_cond_wait(&result->pool->changed, &result->pool->lock);
	pthread_mutex_unlock(&result->pool->lock);
}

static int
setup(void **state)
{
	(void) state;
	control = sql_open("");
	sql_run(control, "CREATE TABLE IF NOT EXISTS db_t (a int)");
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	sql_run(control, "DROP TABLE db_t");
	sql_close(control);
	return 0;
}

/* Several statements, parameters, nulls, a snapshot; sessions are read-only and read committed. */
static void
test_statements(void **state)
{
	struct pool *pool = pool_start(2, 100, 5000, 5000);
	struct result result = {.pool = pool};
	struct result settings = {.pool = pool};
	struct result writing = {.pool = pool};
	struct result empty = {.pool = pool};
	const char *params[] = {"it's", NULL};
	struct db_statement statements[] = {
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL},
		{"SELECT $1::text, $2::int, ''", 2, params},
		{"SELECT g FROM generate_series(1, 3) g", 0, NULL},
		{"SHOW transaction_isolation", 0, NULL},
		{"COMMIT", 0, NULL},
	};

	(void) state;
	result.job = db_submit(pool->db, DB_SHORT, statements, 5, on_row, on_done, &result);
	expect(&result, DB_DONE);
	assert_string_equal(result.output, "1:it's,NULL,;2:1;2:2;2:3;3:repeatable read;");
	submit(pool, &settings, 3, "SHOW transaction_isolation", "SHOW transaction_read_only",
		   "SHOW statement_timeout");
	expect(&settings, DB_DONE);
	assert_string_equal(settings.output, "0:read committed;1:on;2:5s;");
	submit(pool, &writing, 1, "INSERT INTO public.db_t VALUES (1)");
	expect(&writing, DB_FAILED);
	assert_string_equal(writing.error.sqlstate, "25006");
	submit(pool, &empty, 1, "");
	expect(&empty, DB_DONE);
	assert_true(db_is_up(pool->db));
	pool_stop(pool);
}

/* first_sql may write, and comes before all jobs of a connection; as long as it fails there are none. */
static void
test_first(void **state)
{
	struct pool *pool = pool_start_with("INSERT INTO public.db_t VALUES (42)", 1, 100, 5000, 5000);
	struct result result = {.pool = pool};
	struct result early = {0};
	struct result late = {0};

	(void) state;
	submit(pool, &result, 2, "SELECT count(*) FROM public.db_t WHERE a = 42", "SHOW transaction_read_only");
	expect(&result, DB_DONE);
	assert_string_equal(result.output, "0:1;1:on;");
	pool_stop(pool);

	sql_run(control, "DELETE FROM db_t");
	sql_run(control, "DROP TABLE IF EXISTS db_first");
	pool = pool_start_with("INSERT INTO public.db_first VALUES (1)", 2, 100, 300, 5000);
	submit(pool, &early, 1, "SELECT 1");
	expect(&early, DB_UNAVAILABLE);
	assert_false(db_is_up(pool->db));
	sql_run(control, "CREATE TABLE db_first (a int)");
	for (int i = 0; i < 1000 && !db_is_up(pool->db); i++)
		nap(5);
	submit(pool, &late, 1, "SELECT 1");
	expect(&late, DB_DONE);
	pool_stop(pool);
	sql_run(control, "DROP TABLE db_first");
}

/* An error in the middle ends the job; the transaction is rolled back and the connection used again. */
static void
test_error(void **state)
{
	struct pool *pool = pool_start(1, 100, 5000, 5000);
	struct result failing = {.pool = pool};
	struct result open = {.pool = pool};
	struct result after = {.pool = pool};
	struct result syntax = {.pool = pool};
	int64_t		failures = stats_get(STAT_DB_FAILURES);

	(void) state;
	submit(pool, &failing, 5, "BEGIN READ WRITE", "INSERT INTO public.db_t VALUES (1) RETURNING a",
		   "SELECT 1/(a - 1) FROM public.db_t", "SELECT 3", "COMMIT");
	submit(pool, &open, 2, "BEGIN", "SELECT set_config('search_path', 'nowhere', true)");
	submit(pool, &after, 3, "SELECT count(*) FROM public.db_t", "SELECT pg_backend_pid() > 0",
		   "SELECT current_schemas(false)::text = '{pg_catalog}'");
	submit(pool, &syntax, 2, "SELECT 1", "SELEKT");
	expect(&failing, DB_FAILED);
	assert_string_equal(failing.output, "1:1;");
	assert_string_equal(failing.error.sqlstate, "22012");
	assert_string_equal(failing.message, "division by zero");
	assert_int_equal(failing.error.step, 2);
	expect(&open, DB_DONE);
	expect(&after, DB_DONE);
	assert_string_equal(after.output, "0:0;1:t;2:t;");
	expect(&syntax, DB_FAILED);
	assert_int_equal(syntax.error.step, 1);
	assert_int_equal(stats_get(STAT_DB_FAILURES) - failures, 2);
	assert_true(sql_is(control, "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'test pool'"));
	pool_stop(pool);
}

/* What cancels a job from another thread. */
static void
cancel(void *arg)
{
	struct result *result = arg;

	db_cancel(result->job);
}

static void
resume(void *arg)
{
	struct result *result = arg;

	db_resume(result->job);
}

/* Waits until a job of the pool sleeps in the server, which sends nothing meanwhile. */
static void
wait_sleeping(void)
{
	assert_true(wait_for_sql(control, WAIT_MS, "SELECT count(*) = 1 FROM pg_stat_activity"
							 " WHERE application_name = 'test pool' AND wait_event = 'PgSleep'"));
}

/* A statement that runs is cancelled; the next ones are not hit by it. */
static void
test_cancel(void **state)
{
	struct pool *pool = pool_start(1, 100, 5000, 60000);
	struct result running = {.pool = pool};
	struct result large = {.pool = pool, .cancel_at = 1000};
	struct result after[20];
	int64_t		at = now_us();

	(void) state;
	submit(pool, &running, 2, "SELECT 1", "SELECT pg_sleep(50)");
	wait_sleeping();
	loop_post(pool->loop, cancel, &running);
	expect(&running, DB_CANCELLED);
	assert_int_equal(running.nrows, 0);
	submit(pool, &large, 1, "SELECT repeat('x', 1000) FROM generate_series(1, 10000000)");
	memset(after, 0, sizeof(after));
	for (unsigned i = 0; i < 20; i++)
		submit(pool, &after[i], 1, "SELECT pg_sleep(0.005)");
	expect(&large, DB_CANCELLED);
	assert_int_equal(large.nrows, 1000);
	for (unsigned i = 0; i < 20; i++)
		expect(&after[i], DB_DONE);
	assert_in_range(now_us() - at, 0, 20000000);
	pool_stop(pool);
}

static void
test_cancel_waiting(void **state)
{
	struct pool *pool = pool_start(1, 100, 60000, 60000);
	struct result running = {.pool = pool};
	struct result waiting = {.pool = pool};

	(void) state;
	submit(pool, &running, 2, "SELECT 1", "SELECT pg_sleep(50)");
	submit(pool, &waiting, 1, "SELECT 1");
	wait_sleeping();
	loop_post(pool->loop, cancel, &waiting);
	expect(&waiting, DB_CANCELLED);
	assert_int_equal(running.ndone, 0);
	loop_post(pool->loop, cancel, &running);
	expect(&running, DB_CANCELLED);
	pool_stop(pool);
}

/* A large result waits, unread, while its job is paused; then it comes whole. */
static void
test_pause(void **state)
{
	struct pool *pool = pool_start(2, 100, 5000, 60000);
	struct result large = {.pool = pool, .pause_at = 100};
	struct result other = {.pool = pool};
	unsigned long nrows;

	(void) state;
	submit(pool, &large, 2, "SELECT g, repeat('x', 10000) FROM generate_series(1, 20000) g", "SELECT 'end'");
	wait_rows(&large, 100);
	for (int i = 0; i < 20; i++)
	{
		memset(&other, 0, sizeof(other));
		submit(pool, &other, 1, "SELECT pg_sleep(0.01)");
		expect(&other, DB_DONE);	/* another connection is not held up */
	}
	pthread_mutex_lock(&pool->lock);
	nrows = large.nrows;
	pthread_mutex_unlock(&pool->lock);
	assert_int_equal(nrows, 100);
	assert_true(sql_is(control, "SELECT count(*) = 1 FROM pg_stat_activity"
					   " WHERE application_name = 'test pool' AND wait_event = 'ClientWrite'"));
	loop_post(pool->loop, resume, &large);
	expect(&large, DB_DONE);
	assert_int_equal(large.nrows, 20001);
	assert_true(large.bytes > 200000000);
	pool_stop(pool);
}

static void
test_timeout(void **state)
{
	struct pool *pool = pool_start(1, 100, 5000, 200);
	struct result slow = {.pool = pool};
	struct result after = {.pool = pool};

	(void) state;
	submit(pool, &slow, 2, "SELECT 1", "SELECT pg_sleep(20)");
	submit(pool, &after, 1, "SELECT 1");
	expect(&slow, DB_FAILED);
	assert_string_equal(slow.error.sqlstate, "57014");
	assert_int_equal(slow.error.step, 1);
	expect(&after, DB_DONE);
	pool_stop(pool);
}

/* A full queue, and patience that ends. */
static void
test_queue(void **state)
{
	struct pool *pool = pool_start(2, 5, 300, 60000);
	struct result results[20];
	unsigned	unavailable = 0;
	unsigned	cancelled = 0;

	(void) state;
	memset(results, 0, sizeof(results));
	for (unsigned i = 0; i < 20; i++)
		submit(pool, &results[i], 1, "SELECT pg_sleep(20)");
	for (unsigned i = 7; i < 20; i++)
	{
		/* Two run, five wait; the order in which connections come up is left open. */
		pthread_mutex_lock(&pool->lock);
		while (results[i].ndone == 0)
			pthread_cond_wait(&pool->changed, &pool->lock);
		pthread_mutex_unlock(&pool->lock);
	}
	nap(500);
	pool_stop(pool);
	for (unsigned i = 0; i < 20; i++)
	{
		assert_int_equal(results[i].ndone, 1);
		unavailable += results[i].error.outcome == DB_UNAVAILABLE;
		cancelled += results[i].error.outcome == DB_CANCELLED;
	}
	assert_int_equal(cancelled, 2);
	assert_int_equal(unavailable, 18);
}

/* Jobs wait for a server that restarts; those under way end as unavailable. */
static void
test_restart(void **state)
{
	struct pool *pool = pool_start(3, 100, 30000, 60000);
	struct result running = {.pool = pool};
	struct result waiting[10];
	bool		was_down = false;

	(void) state;
	submit(pool, &running, 2, "SELECT 1", "SELECT pg_sleep(50)");
	wait_sleeping();
	sql_close(control);
	shell("env -u PGHOST -u PGPORT -u PGUSER -u PGPASSWORD $RT_BINDIR/pg_ctl -D $RT_PGDATA -m fast -w -s stop");
	expect(&running, DB_UNAVAILABLE);
	for (int i = 0; i < 1000 && !was_down; i++)
	{
		was_down = !db_is_up(pool->db);
		nap(5);
	}
	assert_true(was_down);
	memset(waiting, 0, sizeof(waiting));
	for (unsigned i = 0; i < 10; i++)
		submit(pool, &waiting[i], 1, "SELECT 1");
	shell("env -u PGHOST -u PGPORT -u PGUSER -u PGPASSWORD $RT_BINDIR/pg_ctl -D $RT_PGDATA"
		  " -l $RT_PGDATA/server.log -w -s start </dev/null");
	control = sql_open("");
	for (unsigned i = 0; i < 10; i++)
		expect(&waiting[i], DB_DONE);
	assert_true(db_is_up(pool->db));
	pool_stop(pool);
}

/* Freed with jobs in every state: each is told once. */
static void
test_freed(void **state)
{
	(void) state;
	for (int round = 0; round < 20; round++)
	{
		struct pool *pool = pool_start(2, 100, 5000, 60000);
		struct result results[10];

		memset(results, 0, sizeof(results));
		for (unsigned i = 0; i < 10; i++)
			submit(pool, &results[i], 1, i % 2 ? "SELECT pg_sleep(20)" : "SELECT 1");
		if (round % 2)
			nap((unsigned) round);
		pool_stop(pool);
		for (unsigned i = 0; i < 10; i++)
			assert_int_equal(results[i].ndone, 1);
	}
}

/* Many jobs from many threads. */
struct load
{
	struct pool *pool;
	pthread_t	thread;
	struct result results[200];
};

static void *
submit_many(void *arg)
{
	struct load *load = arg;

	for (unsigned i = 0; i < 200; i++)
		submit(load->pool, &load->results[i], 2, "SELECT 1", i % 7 ? "SELECT 2" : "SELECT 1/0");
	return NULL;
}

static void
test_threads(void **state)
{
	struct pool *pool = pool_start(4, 100000, 60000, 60000);
	struct load *loads = memory_alloc_zeroed(sizeof(*loads) * 4);

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		loads[i].pool = pool;
		pthread_create(&loads[i].thread, NULL, submit_many, &loads[i]);
	}
	for (int i = 0; i < 4; i++)
	{
		pthread_join(loads[i].thread, NULL);
		for (unsigned j = 0; j < 200; j++)
		{
			expect(&loads[i].results[j], j % 7 ? DB_DONE : DB_FAILED);
			assert_string_equal(loads[i].results[j].output, j % 7 ? "0:1;1:2;" : "0:1;");
		}
	}
	pool_stop(pool);
	memory_free(loads);
}

/*
 * A long job that takes its time does not keep a second one waiting, but the last connection is for short ones, which
 * pass all that are long.
 */
static void
test_long(void **state)
{
	struct pool *pool = pool_start(3, 100, 20000, 20000);
	struct result slow[2] = {{.pool = pool}, {.pool = pool}};
	struct result third = {.pool = pool};
	struct result quick[5] = {{.pool = pool}};
	static const char blocked[] = "SELECT pg_catalog.pg_advisory_xact_lock_shared(77)";

	(void) state;
	sql_run(control, "SELECT pg_advisory_lock(77)");
	submit_long(pool, &slow[0], blocked);
	submit_long(pool, &slow[1], blocked);
	submit_long(pool, &third, "SELECT 3");
	while (strcmp(sql_value(control, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77"
							" AND NOT granted"), "2") != 0)
	{
		pthread_mutex_lock(&pool->lock);
		assert_int_equal(slow[0].ndone, 0);
		pthread_mutex_unlock(&pool->lock);
	}
	for (unsigned i = 0; i < 5; i++)
	{
		submit(pool, &quick[i], 1, "SELECT 1");
		expect(&quick[i], DB_DONE);
	}
	pthread_mutex_lock(&pool->lock);
	assert_int_equal(third.ndone, 0);
	pthread_mutex_unlock(&pool->lock);
	sql_run(control, "SELECT pg_advisory_unlock(77)");
	expect(&slow[0], DB_DONE);
	expect(&slow[1], DB_DONE);
	expect(&third, DB_DONE);
	pool_stop(pool);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_waiting),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_freed),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_restart),
	};

	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("db", tests, setup, teardown);
}
