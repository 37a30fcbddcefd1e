/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * writers.c
 *	  See writers.h.
 */
#include "writers.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#include "memory.h"

struct writer
{
	struct writers *writers;
	pthread_t	thread;
	PGconn	   *pg;
	unsigned	number;
	unsigned	seed;
	unsigned	nprepared;
	unsigned long ncommitted;
};

struct writers
{
	const char *conninfo;
	atomic_bool is_stopping;
	unsigned	n;
	struct writer writer[];
};

/* Runs a statement; errors are part of the game. */
static bool
run(struct writer *writer, const char *format, ...)
{
	char		query[300];
	va_list		args;
	PGresult   *result;
	bool		is_good;

	va_start(args, format);
	vsnprintf(query, sizeof(query), format, args);
	va_end(args);
	result = PQexec(writer->pg, query);
	is_good = PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
	PQclear(result);
	return is_good;
}

static unsigned
dice(struct writer *writer, unsigned n)
{
	return (unsigned) rand_r(&writer->seed) % n;
}

/* Lets up to ms milliseconds go by inside a transaction. */
static void
dawdle(struct writer *writer, unsigned ms)
{
	struct timespec pause = {0, (long) dice(writer, ms * 1000 + 1) * 1000};

	nanosleep(&pause, NULL);
}

/* One change of a row that few others change: no deadlocks. */
static void
change(struct writer *writer)
{
	run(writer, "INSERT INTO source_t AS t VALUES (%u, 'w') ON CONFLICT (id) DO UPDATE"
		" SET n = t.n + 1, pad = repeat('x', %u)", writer->number * 100 + dice(writer, 100),
		dice(writer, 400));
}

/* One transaction of some kind. */
static void
transact(struct writer *writer)
{
	unsigned	kind = dice(writer, 100);

	if (kind < 60)
	{
		change(writer);
		writer->ncommitted++;
		return;
	}
	run(writer, "BEGIN");
	if (kind < 65)
		run(writer, "SET LOCAL synchronous_commit = off");
	change(writer);
	if (kind >= 70 && kind < 75)
	{
		run(writer, "SAVEPOINT s");
		change(writer);
		run(writer, "ROLLBACK TO s");
	}
	if (kind >= 75 && kind < 80)
		dawdle(writer, 300);
	if (kind >= 80 && kind < 82)
		run(writer, "INSERT INTO source_t SELECT g + %u, repeat('y', 1000) FROM generate_series(1, 600) g"
			" ON CONFLICT (id) DO UPDATE SET n = source_t.n + 1", 1000000 + writer->number * 1000);
	dawdle(writer, 3);
	if (kind >= 90)
		run(writer, "ROLLBACK");
	else if (kind >= 86)
	{
		char		name[40];
		bool		is_prepared;

		snprintf(name, sizeof(name), "w%u-%u", writer->number, writer->nprepared++);
		is_prepared = run(writer, "PREPARE TRANSACTION '%s'", name);
		/* When the answer was lost it may be prepared all the same, and would hold its locks for ever. */
		if (is_prepared)
			dawdle(writer, 100);
		else if (PQstatus(writer->pg) != CONNECTION_BAD)
			return;
		while (!run(writer, "%s PREPARED '%s'", is_prepared && kind < 89 ? "COMMIT" : "ROLLBACK", name)
			   && PQstatus(writer->pg) == CONNECTION_BAD)
		{
			dawdle(writer, 50);
			PQreset(writer->pg);
		}
	}
	else if (run(writer, "COMMIT"))
		writer->ncommitted++;
}

static void *
write_all(void *arg)
{
	struct writer *writer = arg;

	char		conninfo[1000];

	/* A transaction that a crash left prepared must not hold up the end of a test. */
	snprintf(conninfo, sizeof(conninfo), "%s options='-c lock_timeout=2000'",
			 writer->writers->conninfo);
	writer->pg = PQconnectdb(conninfo);
	while (!atomic_load(&writer->writers->is_stopping))
	{
		if (PQstatus(writer->pg) != CONNECTION_OK)
		{
			dawdle(writer, 50);
			PQreset(writer->pg);
		}
		else
			transact(writer);
	}
	PQfinish(writer->pg);
	return NULL;
}

struct writers *
writers_start(const char *conninfo, unsigned n)
{
	struct writers *writers = memory_alloc_zeroed(sizeof(*writers) + n * sizeof(writers->writer[0]));

	writers->conninfo = conninfo;
	writers->n = n;
	for (unsigned i = 0; i < n; i++)
	{
		writers->writer[i].writers = writers;
		writers->writer[i].number = i;
		writers->writer[i].seed = i + 1;
		pthread_create(&writers->writer[i].thread, NULL, write_all, &writers->writer[i]);
	}
	return writers;
}

unsigned long
writers_stop(struct writers *writers)
{
	unsigned long n = 0;

	atomic_store(&writers->is_stopping, true);
	for (unsigned i = 0; i < writers->n; i++)
	{
		pthread_join(writers->writer[i].thread, NULL);
		n += writers->writer[i].ncommitted;
	}
	memory_free(writers);
	return n;
}
