/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * reader.c
 *	  A consumer of events for benchmarks, as cheap as one can be: it reads and counts.
 *
 * "log" follows realtime.commit_log as a notifier does.  Model:
 * 1. Polling: rows that the poll's snapshot sees and the last one did not. It rests eight times as long as a poll that had some took;
 *	  then a commit wakes the server's wait, at the latest after FAST_MS while rows come, SLOW_MS while none do.
 * 2. After IDLE_POLLS empty polls it asks the other connection to arm the doorbell, and polls on
 *	  while that waits (at most LOCK_TIMEOUT_MS) for writers that were told not to ring.
 * 3. Armed: one last poll, then it sleeps until the bell rings or FALLBACK_MS have passed. A ring
 *	  disarms and leads back to 1.
 * "listen CHANNEL" only receives notifications: the consumer of a trigger that calls pg_notify.
 *
 * Connects by libpq's environment. Prints "ready" when it follows, and its counts as JSON when
 * SIGTERM ends it, after a last poll. Any error ends it with status 1.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

enum
{
	REST = 8,					/* times what a poll took */
	REST_MAX_US = 4000,
	FAST_MS = 5,
	SLOW_MS = 10,
	IDLE_POLLS = 3,
	LOCK_TIMEOUT_MS = 200,
	FALLBACK_MS = 1000
};

static const char *const poll_sql = "SELECT position, xid, events, waited, gap FROM realtime.read($1, NULL, $2)";

/* What was read; printed at the end. */
struct counts
{
	long		rows;
	long		bytes;
	long		polls;
	long		empty_polls;
	long		arms;
	long		arm_timeouts;
	long		wakeups;
	long		fallbacks;
	long		notifications;
};

struct reader
{
	PGconn	   *log;			/* polls */
	PGconn	   *bell;			/* listens and arms */
	char	   *position;		/* owned; NULL: from now on */
	long		waited_us;		/* of the last poll, by the server */
	struct counts counts;
};

static volatile sig_atomic_t is_ending = 0;

/* Signal handler: the loops end at their next turn. */
static void
end_soon(int signal_number)
{
	(void) signal_number;
	is_ending = 1;
}

/* Prints why and exits: a benchmark with a broken reader is void. */
static void
die(const char *what, PGconn *connection)
{
	fprintf(stderr, "reader: %s: %s\n", what, connection ? PQerrorMessage(connection) : "");
	exit(1);
}

/* strdup that does not fail. */
static char *
copy(const char *s)
{
	char	   *result = strdup(s);

	if (result == NULL)
		die("out of memory", NULL);
	return result;
}

/* A connection by the environment's settings; never NULL. */
static PGconn *
connect_or_die(void)
{
	PGconn	   *connection = PQconnectdb("application_name=reader");

	if (PQstatus(connection) != CONNECTION_OK)
		die("cannot connect", connection);
	return connection;
}

/* Runs a statement; the caller clears the result. */
static PGresult *
query(PGconn *connection, const char *sql)
{
	PGresult   *result = PQexec(connection, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		die(sql, connection);
	return result;
}

/* Reads what is new, waiting so long for it at most; returns how many rows that was. */
static int
poll_log(struct reader *reader, int wait_ms)
{
	char		wait[12];
	const char *values[2] = {reader->position, wait};
	PGresult   *result;
	int			rows = 0;

	snprintf(wait, sizeof(wait), "%d", wait_ms);
	result = PQexecPrepared(reader->log, "poll", 2, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		die("poll", reader->log);
	if (!PQgetisnull(result, 0, 4))
		die(PQgetvalue(result, 0, 4), NULL);	/* what it would count is not all */
	for (int i = 0; i < PQntuples(result); i++)
	{
		if (PQgetisnull(result, i, 1))
			continue;
		rows++;
		reader->counts.bytes += PQgetlength(result, i, 2);
	}
	free(reader->position);
	reader->position = copy(PQgetvalue(result, 0, 0));
	reader->waited_us = atol(PQgetvalue(result, 0, 3));
	PQclear(result);
	reader->counts.rows += rows;
	reader->counts.polls++;
	if (rows == 0)
		reader->counts.empty_polls++;
	return rows;
}

/* Takes all notifications that have arrived; returns how many. */
static int
take_notifications(struct reader *reader, PGconn *connection)
{
	PGnotify   *notification;
	int			n = 0;

	if (!PQconsumeInput(connection))
		die("connection lost", connection);
	while ((notification = PQnotifies(connection)) != NULL)
	{
		reader->counts.bytes += (long) strlen(notification->extra);
		PQfreemem(notification);
		n++;
	}
	reader->counts.notifications += n;
	return n;
}

/* Waits for input of a connection, at most so many milliseconds; a signal ends the wait. */
static void
wait_for_input(PGconn *connection, int milliseconds)
{
	struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN};

	if (poll(&fd, 1, milliseconds) < 0 && errno != EINTR)
		die("poll", NULL);
}

/* Ends a request to arm: 1 armed, 0 not in time, -1 still waiting. */
static int
take_arm_result(struct reader *reader)
{
	PGresult   *result;
	int			armed = 0;

	if (!PQconsumeInput(reader->bell))
		die("connection lost", reader->bell);
	if (PQisBusy(reader->bell))
		return -1;
	while ((result = PQgetResult(reader->bell)) != NULL)
	{
		const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

		if (PQresultStatus(result) == PGRES_TUPLES_OK)
			armed = 1;
		else if (state == NULL || strcmp(state, "55P03") != 0)	/* lock_not_available */
			die("arm", reader->bell);
		PQclear(result);
	}
	if (armed)
		reader->counts.arms++;
	else
		reader->counts.arm_timeouts++;
	return armed;
}

/* Sleeps armed until the bell rings, the fallback's time is over, or the end is near; disarms. */
static void
sleep_armed(struct reader *reader)
{
	poll_log(reader, 0);		/* what committed before the grant did not ring */
	while (!is_ending)
	{
		wait_for_input(reader->bell, FALLBACK_MS);
		if (take_notifications(reader, reader->bell) > 0)
		{
			reader->counts.wakeups++;
			break;
		}
		reader->counts.fallbacks++;
		if (poll_log(reader, 0) > 0)
			break;
	}
	PQclear(query(reader->bell, "SELECT realtime.disarm()"));
}

/* Microseconds of a clock that only goes forward. */
static long
clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Follows the log until the end. */
static void
follow_log(struct reader *reader)
{
	char		sql[64];
	int			idle = 0;
	int			wait_ms = 0;
	bool		is_arming = false;

	reader->log = connect_or_die();
	reader->bell = connect_or_die();
	PQclear(query(reader->log, "SELECT realtime.current_epoch()"));
	PQclear(query(reader->log, "SET default_transaction_isolation = 'read committed'"));
	PQclear(query(reader->log, "SET default_transaction_read_only = on"));
	PQclear(PQprepare(reader->log, "poll", poll_sql, 2, NULL));
	snprintf(sql, sizeof(sql), "SET lock_timeout = %d", LOCK_TIMEOUT_MS);
	PQclear(query(reader->bell, sql));
	PQclear(query(reader->bell, "LISTEN realtime"));
	poll_log(reader, 0);
	puts("ready");
	fflush(stdout);

	while (!is_ending)
	{
		long		began = clock_us();
		bool		is_busy = poll_log(reader, wait_ms) > 0;
		long		took = clock_us() - began - reader->waited_us;

		idle = is_busy ? 0 : idle + 1;
		take_notifications(reader, reader->bell);
		if (is_arming)
		{
			int			armed = take_arm_result(reader);

			is_arming = armed < 0;
			if (armed >= 0)
				idle = 0;
			if (armed == 1)
			{
				sleep_armed(reader);
				continue;
			}
		}
		else if (idle >= IDLE_POLLS)
		{
			if (!PQsendQuery(reader->bell, "SELECT realtime.arm()"))
				die("arm", reader->bell);
			is_arming = true;
		}
		if (is_busy)			/* not on input: bells need no poll now */
			usleep((useconds_t) (REST * took < REST_MAX_US ? REST * took : REST_MAX_US));
		wait_ms = is_busy ? FAST_MS : SLOW_MS;
	}
	poll_log(reader, 0);
	PQfinish(reader->bell);
	PQfinish(reader->log);
	free(reader->position);
}

/* Receives notifications of a channel until the end. */
static void
follow_channel(struct reader *reader, const char *channel)
{
	char	   *name;
	char		sql[256];

	reader->bell = connect_or_die();
	name = PQescapeIdentifier(reader->bell, channel, strlen(channel));
	snprintf(sql, sizeof(sql), "LISTEN %s", name);
	PQfreemem(name);
	PQclear(query(reader->bell, sql));
	puts("ready");
	fflush(stdout);
	while (!is_ending)
	{
		wait_for_input(reader->bell, FALLBACK_MS);
		take_notifications(reader, reader->bell);
	}
	PQclear(query(reader->bell, "SELECT"));	/* brings what is still on its way */
	take_notifications(reader, reader->bell);
	PQfinish(reader->bell);
}

int
main(int argc, char **argv)
{
	struct reader reader = {0};
	struct sigaction action = {.sa_handler = end_soon};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (argc == 2 && strcmp(argv[1], "log") == 0)
		follow_log(&reader);
	else if (argc == 3 && strcmp(argv[1], "listen") == 0)
		follow_channel(&reader, argv[2]);
	else
	{
		fprintf(stderr, "usage: reader log | reader listen CHANNEL\n");
		return 2;
	}
	printf("{\"rows\":%ld,\"bytes\":%ld,\"polls\":%ld,\"empty_polls\":%ld,\"arms\":%ld,"
		   "\"arm_timeouts\":%ld,\"wakeups\":%ld,\"fallbacks\":%ld,\"notifications\":%ld}\n",
		   reader.counts.rows, reader.counts.bytes, reader.counts.polls, reader.counts.empty_polls,
		   reader.counts.arms, reader.counts.arm_timeouts, reader.counts.wakeups,
		   reader.counts.fallbacks, reader.counts.notifications);
	return 0;
}
