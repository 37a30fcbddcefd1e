/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * publish.c
 *	  Commits transactions of one statement and notes when each COMMIT returned. Knows libpq.
 *
 *	publish [--times FILE] CONNECTIONS SQL BYTES
 *
 * The statement has one parameter, a text of BYTES bytes that begins with a mark (tally.h), and is a transaction
 * of its own. With --times, marks are numbers, and FILE[number] the microsecond at which the statement had
 * returned; without, marks are the time before the statement was sent. Lines on stdin:
 *	  burst N			N transactions on one connection, back to back without waiting between them
 *	  rate R SECONDS	R transactions a second on all connections: on time, or as soon as one is free
 *	  flood SECONDS		as many as the connections can
 * Each is answered by {"commits":…,"seconds":…,"late":…}; late: those that began over 10 ms too late.
 * Connection: the environment of libpq.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "tally.h"

#define CONNECTIONS_MAX 64
#define TIMES_MAX 4000000
#define LATE_US 10000

struct connection
{
	PGconn	   *pg;
	bool		is_busy;
	uint64_t	number;			/* of the transaction under way */
};

static struct connection connections[CONNECTIONS_MAX];
static unsigned nconnections;
static int64_t *times;
static uint64_t number = 1;
static char *text;
static size_t text_len;

static void
die(const char *what, PGconn *pg)
{
	fprintf(stderr, "publish: %s: %s\n", what, pg ? PQerrorMessage(pg) : strerror(errno));
	exit(1);
}

/* Writes the mark of the next transaction into the parameter. */
static void
mark(void)
{
	char		digits[32];

	sprintf(digits, "~T%016lld", times ? (long long) number : (long long) clock_us());
	memcpy(text, digits, 2 + MARK_DIGITS);
	if (++number >= TIMES_MAX && times != NULL)
		exit(1);
}

static void
send_one(struct connection *connection)
{
	const char *values[1] = {text};

	connection->number = number;
	mark();
	if (!PQsendQueryPrepared(connection->pg, "s", 1, values, NULL, NULL, 0))
		die("send", connection->pg);
	connection->is_busy = true;
}

/* Takes what came; the transaction is over when its last result is. */
static bool
take(struct connection *connection)
{
	PGresult   *result;

	if (!PQconsumeInput(connection->pg))
		die("receive", connection->pg);
	while (!PQisBusy(connection->pg))
	{
		result = PQgetResult(connection->pg);
		if (result == NULL)
		{
			if (times != NULL)
				times[connection->number] = clock_us();
			connection->is_busy = false;
			return true;
		}
		if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
			die("statement", connection->pg);
		PQclear(result);
	}
	return false;
}

static struct connection *
find_idle(void)
{
	for (unsigned i = 0; i < nconnections; i++)
		if (!connections[i].is_busy)
			return &connections[i];
	return NULL;
}

/* Waits for answers, at most so long; returns how many transactions ended. */
static unsigned
wait_for_answers(int64_t us)
{
	struct pollfd fds[CONNECTIONS_MAX];
	struct timespec timeout = {us / 1000000, us % 1000000 * 1000};
	unsigned	done = 0;

	for (unsigned i = 0; i < nconnections; i++)
	{
		fds[i].fd = connections[i].is_busy ? PQsocket(connections[i].pg) : -1;
		fds[i].events = POLLIN;
		fds[i].revents = 0;
	}
	if (ppoll(fds, nconnections, &timeout, NULL) <= 0)
		return 0;
	for (unsigned i = 0; i < nconnections; i++)
		if (fds[i].revents != 0 && take(&connections[i]))
			done++;
	return done;
}

static void
answer(uint64_t commits, int64_t began, uint64_t late)
{
	printf("{\"commits\":%llu,\"seconds\":%.3f,\"late\":%llu}\n", (unsigned long long) commits,
		   (double) (clock_us() - began) / 1e6, (unsigned long long) late);
	fflush(stdout);
}

static void
wait_for_all(void)
{
	for (unsigned i = 0; i < nconnections; i++)
		while (connections[i].is_busy)
			(void) wait_for_answers(1000000);
}

/* So many transactions a second; rate 0: as many as there can be. */
static void
run(double rate, double seconds)
{
	int64_t		began = clock_us();
	uint64_t	total = rate > 0 ? (uint64_t) (rate * seconds) : UINT64_MAX;
	uint64_t	sent = 0;
	uint64_t	late = 0;

	while (sent < total && (rate > 0 || clock_us() < began + (int64_t) (seconds * 1e6)))
	{
		struct connection *connection = find_idle();
		int64_t		due = rate > 0 ? began + (int64_t) ((double) sent / rate * 1e6) : 0;
		int64_t		now = clock_us();

		if (connection == NULL || now < due)
		{
			(void) wait_for_answers(connection == NULL ? 1000000 : due - now);
			continue;
		}
		if (rate > 0 && now > due + LATE_US)
			late++;
		send_one(connection);
		sent++;
	}
	wait_for_all();
	answer(sent, began, late);
}

/* Transactions on the first connection, sent without waiting for one another. */
static void
run_burst(unsigned n)
{
	PGconn	   *pg = connections[0].pg;
	int64_t		began = clock_us();
	unsigned	synced = 0;
	const char *values[1] = {text};

	if (!PQenterPipelineMode(pg))
		die("pipeline", pg);
	for (unsigned i = 0; i < n; i++)
	{
		mark();
		if (!PQsendQueryPrepared(pg, "s", 1, values, NULL, NULL, 0) || !PQpipelineSync(pg))
			die("send", pg);
	}
	while (synced < n)
	{
		PGresult   *result = PQgetResult(pg);

		if (result == NULL)
			continue;
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		{
			if (times != NULL)
				times[number - n + synced] = clock_us();
			synced++;
		}
		else if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
			die("statement", pg);
		PQclear(result);
	}
	if (!PQexitPipelineMode(pg))
		die("pipeline", pg);
	answer(n, began, 0);
}

static void
connect_all(const char *sql)
{
	for (unsigned i = 0; i < nconnections; i++)
	{
		PGconn	   *pg = PQconnectdb("application_name=publish");
		PGresult   *result;

		if (PQstatus(pg) != CONNECTION_OK)
			die("connect", pg);
		result = PQprepare(pg, "s", sql, 1, NULL);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			die("prepare", pg);
		PQclear(result);
		connections[i].pg = pg;
	}
}

static void
map_times(const char *file)
{
	int			fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void	   *map;

	if (fd < 0 || ftruncate(fd, sizeof(int64_t) * TIMES_MAX) < 0)
		die(file, NULL);
	map = mmap(NULL, sizeof(int64_t) * TIMES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die(file, NULL);
	times = map;
}

int
main(int argc, char **argv)
{
	char		line[256];
	double		rate;
	double		seconds;
	unsigned	n;

	if (argc == 6 && strcmp(argv[1], "--times") == 0)
	{
		map_times(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc != 4)
		return 2;
	nconnections = (unsigned) atoi(argv[1]);
	text_len = (size_t) atol(argv[3]);
	if (nconnections < 1 || nconnections > CONNECTIONS_MAX || text_len < 2 + MARK_DIGITS)
		return 2;
	text = malloc(text_len + 1);
	memset(text, 'x', text_len);
	text[text_len] = 0;
	connect_all(argv[2]);
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		if (sscanf(line, "burst %u", &n) == 1)
			run_burst(n);
		else if (sscanf(line, "rate %lf %lf", &rate, &seconds) == 2)
			run(rate, seconds);
		else if (sscanf(line, "flood %lf", &seconds) == 1)
			run(0, seconds);
		else
			return 1;
	}
	return 0;
}
