/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * measure.c
 *	  Figures of the source: measure lone N | measure load RATE SECONDS
 *
 * lone: the time from sending an UPDATE to its batch, and from its answer to its batch, of N events
 * with pauses between. load: pgbench at a rate of commits; the age of commits (clock at pre-commit to
 * batch), polls, bells, and processor time of the source's thread and of its two server processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "memory.h"
#include "stats.h"

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
print_spread(const char *what, int64_t *us, size_t n)
{
	qsort(us, n, sizeof(*us), compare);
	if (n > 0)
		printf("%s: median %lld us, 95 %% %lld us, 99 %% %lld us, worst %lld us (n = %zu)\n", what,
			   (long long) us[n / 2], (long long) us[n * 95 / 100], (long long) us[n * 99 / 100],
			   (long long) us[n - 1], n);
}

static void
measure_lone(struct sql *sql, size_t n)
{
	struct stream *stream = stream_start("", 1000, 16 * 1024 * 1024);
	int64_t    *sent = memory_alloc(sizeof(*sent) * n);
	int64_t    *answered = memory_alloc(sizeof(*answered) * n);

	assert_true(stream_wait_up(stream));
	nap(1500);
	for (size_t i = 0; i < n; i++)
	{
		int64_t		at = now_us();
		int64_t		done;

		sql_run(sql, "UPDATE source_t SET n = n + 1 WHERE id = 1");
		done = now_us();
		assert_true(stream_wait_chunks(stream, i + 1));
		pthread_mutex_lock(&stream->lock);
		sent[i] = stream->chunks[i].arrived_us - at;
		answered[i] = stream->chunks[i].arrived_us - done;
		pthread_mutex_unlock(&stream->lock);
		nap(120);
	}
	print_spread("lone event, from sending", sent, n);
	print_spread("lone event, from the answer", answered, n);
	printf("polls %lld, bells %lld\n", (long long) stats_get(STAT_POLLS),
		   (long long) stats_get(STAT_DOORBELLS));
	stream_stop(stream);
	memory_free(sent);
	memory_free(answered);
}

/* Processor time of a process so far, in ms. */
static double
process_ms(int pid)
{
	char		path[40];
	FILE	   *file;
	unsigned long user = 0;
	unsigned long system_time = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system_time) != 2)
		user = system_time = 0;
	fclose(file);
	return (double) (user + system_time) * 1000 / (double) sysconf(_SC_CLK_TCK);
}

static double
own_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3
		+ (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static int
backend(struct sql *sql, const char *name)
{
	return atoi(sql_value(sql, "SELECT pid FROM pg_stat_activity WHERE application_name = '%s'", name));
}

static void
measure_load(struct sql *sql, int rate, int seconds)
{
	struct stream *stream = stream_start("", 1000, 64 * 1024 * 1024);
	int64_t		polls;
	int64_t		empty;
	int64_t		bells;
	int64_t		at;
	double		own;
	double		server;
	double		bell;
	double		duration;
	size_t		n;
	int64_t    *ages;
	int			pids[2];
	char		limit[40] = "";

	assert_true(stream_wait_up(stream));
	sql_run(sql, "INSERT INTO source_t SELECT g FROM generate_series(1, 10000) g ON CONFLICT DO NOTHING");
	nap(1500);
	pids[0] = backend(sql, "realtime-notifier");
	pids[1] = backend(sql, "realtime-notifier doorbell");
	polls = stats_get(STAT_POLLS);
	empty = stats_get(STAT_POLLS_EMPTY);
	bells = stats_get(STAT_DOORBELLS);
	own = own_ms();
	server = process_ms(pids[0]);
	bell = process_ms(pids[1]);
	pthread_mutex_lock(&stream->lock);
	stream->nchunks = stream->npositioned = 0;
	pthread_mutex_unlock(&stream->lock);
	at = now_us();
	if (rate > 0)
		snprintf(limit, sizeof(limit), "-R %d", rate);
	shell("printf '\\\\set i random(1, 10000)\\nUPDATE source_t SET n = n + 1 WHERE id = :i;\\n'"
		  " >$RT_PGDATA/load.sql; $RT_BINDIR/pgbench -n -M prepared -c 16 -j 2 -T %d %s"
		  " -f $RT_PGDATA/load.sql 2>&1 | grep -E 'tps|latency average'", seconds, limit);
	duration = (double) (now_us() - at) / 1e6;
	stream_poke(stream);
	assert_true(stream_wait_covered(stream, sql));
	pthread_mutex_lock(&stream->lock);
	n = stream->nchunks;
	ages = memory_alloc(sizeof(*ages) * (n + 1));
	for (size_t i = 0; i < n; i++)
		ages[i] = stream->chunks[i].age_us;
	pthread_mutex_unlock(&stream->lock);
	print_spread("age of commits at their batch", ages, n);
	polls = stats_get(STAT_POLLS) - polls;
	printf("%.0f commits/s; %.0f polls/s, %.0f of them empty; %.1f bells/s\n", (double) n / duration,
		   (double) polls / duration, (double) (stats_get(STAT_POLLS_EMPTY) - empty) / duration,
		   (double) (stats_get(STAT_DOORBELLS) - bells) / duration);
	printf("processor: source %.1f %% of a core, polling server process %.1f %%, the doorbell's %.1f %%\n",
		   (own_ms() - own) / duration / 10, (process_ms(pids[0]) - server) / duration / 10,
		   (process_ms(pids[1]) - bell) / duration / 10);
	memory_free(ages);
	stream_stop(stream);
}

int
main(int argc, char **argv)
{
	struct sql *sql = sql_open("");

	sql_run(sql, "CREATE EXTENSION IF NOT EXISTS realtime");
	sql_run(sql, "CREATE TABLE IF NOT EXISTS source_t (id int PRIMARY KEY, pad text, n int DEFAULT 0)");
	sql_run(sql, "SELECT realtime.enable('source_t')");
	sql_run(sql, "INSERT INTO source_t VALUES (1) ON CONFLICT DO NOTHING");
	if (argc == 3 && strcmp(argv[1], "lone") == 0)
		measure_lone(sql, (size_t) atoi(argv[2]));
	else if (argc == 4 && strcmp(argv[1], "load") == 0)
		measure_load(sql, atoi(argv[2]), atoi(argv[3]));
	else
		fprintf(stderr, "usage: measure lone N | measure load RATE SECONDS\n");
	sql_close(sql);
	return 0;
}
