/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * log_reader.c
 *	  See log_reader.h.
 */
#include "log_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "pgconn.h"
#include "stats.h"
#include "told.h"

#define POSITION_EVERY_US 250000	/* positions without rows are told at most so often, unless asked for */
#define SLOW_RETRY_MS 5000		/* after what only a person can change */
#define FAST_RETRY_MS 200		/* after a statement that failed */
#define STALL_US 75000000		/* a poll that shows no sign of life; beyond its statement_timeout */

static const char read_sql[] = "SELECT position, gap, waited, xid, part, is_last, at, events"
	" FROM realtime.read($1, $2, $3)";

enum tag
{
	TAG_RECOVERY,
	TAG_SETUP,
	TAG_READ
};

#define SETUP_GROUPS 3

struct log_reader
{
	struct log_reader_config config;
	struct pgconn *pgconn;
	struct loop_timer *stall_timer;

	/* the connection */
	unsigned	setup;			/* groups of the set-up that were answered */
	bool		is_up;
	bool		has_failed;		/* a statement of the present group */
	bool		is_paused;
	char		sqlstate[6];	/* of the last failure that was logged */

	/* the stream */
	char	   *last;			/* the position that polls start from; NULL: from nowhere */
	const char *gap;			/* why it was dropped, until that is told */
	struct told told;			/* rows told since last */
	int64_t		told_us;		/* when a position was told */
	bool		is_untold;		/* last is newer than what was told */

	/* the present poll */
	bool		is_polling;
	bool		is_from_nowhere;	/* for a position only */
	bool		is_asked;		/* its position will be told in any case */
	bool		will_ask;		/* the same for the next one */
	bool		is_waiting;		/* the server, for a commit, as far as it has told */
	int64_t		waited_us;		/* -1: it cannot */
	int64_t		alive_us;		/* when the last sign of life came */
	char	   *next;			/* its position */
	unsigned	commits;
	struct chunk *chunks[LOG_READER_BATCH_CHUNKS];
	unsigned	nchunks;
	size_t		bytes;
};

/* The reasons of a gap as static text. */
static const char *
static_reason(struct slice reason)
{
	static const char *const reasons[] = {"history", "epoch", "future", "malformed"};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (slice_equals(reason, reasons[i]))
			return reasons[i];
	return "unknown";
}

/* A number that the server wrote. */
static uint64_t
read_number(struct slice text)
{
	return text.at ? strtoull(text.at, NULL, 10) : 0;
}

/* Forgets the rows of the present poll that have not been told. */
static void
drop_chunks(struct log_reader *reader)
{
	for (unsigned i = 0; i < reader->nchunks; i++)
		chunk_unref(reader->chunks[i]);
	reader->nchunks = 0;
	reader->bytes = 0;
}

/* Tells a batch of the rows at hand; with a position it is the last of its poll. */
static void
tell(struct log_reader *reader, const char *position)
{
	struct batch *batch;

	if (position == NULL)
		for (unsigned i = 0; i < reader->nchunks; i++)
			told_add(&reader->told, reader->chunks[i]->xid, reader->chunks[i]->part,
					 reader->chunks[i]->is_last);
	batch = batch_new(reader->chunks, reader->nchunks, position, reader->gap);
	reader->nchunks = 0;
	reader->bytes = 0;
	if (position != NULL)
	{
		told_clear(&reader->told);
		reader->gap = NULL;
		reader->is_untold = !batch->is_end;
		reader->told_us = loop_clock_us();
	}
	reader->config.on_batch(reader->config.arg, batch);
	batch_unref(batch);
}

/* The position is void: no rows come, and a poll from nowhere follows. */
static void
lose(struct log_reader *reader, const char *reason)
{
	log_write(LOG_LEVEL_WARNING, "source_gap", "reason=%s position=%s", reason, reader->last);
	reader->gap = reason;
	memory_free(reader->last);
	reader->last = NULL;
	drop_chunks(reader);
	told_clear(&reader->told);
}

/* The first row of a read: its position, a gap, how long the server has waited. */
static void
take_position(struct log_reader *reader, const struct slice *fields)
{
	memory_free(reader->next);
	reader->next = memory_copy_string(fields[0].at, fields[0].len);
	reader->waited_us = fields[2].at != NULL ? (int64_t) read_number(fields[2]) : -1;
	reader->is_waiting = false;
	if (!reader->is_up)
	{
		reader->is_up = true;
		log_write(LOG_LEVEL_INFO, "source_up", "position=%s", reader->next);
		reader->config.on_up(reader->config.arg);
	}
	if (fields[1].at != NULL)
		lose(reader, static_reason(fields[1]));
}

/* One row of the log. */
static void
take_row(struct log_reader *reader, const struct slice *fields)
{
	uint64_t	xid = read_number(fields[3]);
	unsigned	part = (unsigned) read_number(fields[4]);
	bool		is_last = slice_equals(fields[5], "t");
	struct chunk *chunk;

	reader->commits += is_last;
	if (told_has(&reader->told, xid, part))
		return;
	chunk = chunk_new(xid, part, is_last, (int64_t) read_number(fields[6]), fields[7].at,
					  fields[7].len);
	if (chunk->is_broken)
		log_write(LOG_LEVEL_ERROR, "source_row_broken", "xid=%llu part=%d",
				  (unsigned long long) xid, (int) part);
	reader->chunks[reader->nchunks++] = chunk;
	reader->bytes += chunk_memory(chunk);
	if (reader->bytes >= LOG_READER_BATCH_BYTES || reader->nchunks == LOG_READER_BATCH_CHUNKS)
		tell(reader, NULL);
}

/* Sends a poll, before which the server waits. */
static void
send_poll(struct log_reader *reader, unsigned wait_ms)
{
	char		first[24];
	char		wait[12];

	snprintf(first, sizeof(first), "%" PRIu64, reader->told.open_xid);
	told_restart(&reader->told);
	reader->is_polling = true;
	reader->is_from_nowhere = reader->last == NULL;
	reader->is_asked = reader->will_ask || reader->is_from_nowhere;
	reader->will_ask = false;
	reader->has_failed = false;
	reader->commits = 0;
	reader->alive_us = loop_clock_us();
	reader->waited_us = 0;
	reader->is_waiting = wait_ms > 0;
	stats_add(STAT_POLLS, 1);
	snprintf(wait, sizeof(wait), "%u", wait_ms);
	pgconn_execute(reader->pgconn, TAG_READ, "read", 3, (const char *[]) {
		reader->last, first[0] != '0' ? first : NULL, wait_ms > 0 ? wait : NULL});
	pgconn_sync(reader->pgconn);
}

/* A poll was answered to its end. */
static void
end_poll(struct log_reader *reader)
{
	bool		has_rows = reader->nchunks > 0 || reader->told.n > 0;

	reader->is_polling = false;
	if (reader->gap != NULL && !reader->is_from_nowhere)
	{
		send_poll(reader, 0);	/* the position was lost in this poll */
		return;
	}
	reader->sqlstate[0] = '\0';
	if (reader->commits == 0)
		stats_add(STAT_POLLS_EMPTY, 1);
	reader->is_untold |= reader->last == NULL || strcmp(reader->last, reader->next) != 0;
	memory_free(reader->last);
	reader->last = reader->next;
	reader->next = NULL;
	if (has_rows || reader->is_asked
		|| (reader->is_untold && loop_clock_us() - reader->told_us >= POSITION_EVERY_US))
		tell(reader, reader->last);
	reader->config.on_polled(reader->config.arg, reader->commits, reader->waited_us);
}

/* What can be done about an error; NULL when nothing in particular. */
static const char *
hint_of(const char *sqlstate)
{
	static const struct
	{
		const char *sqlstate;
		const char *hint;
	}			hints[] = {
		{"42883", "run CREATE EXTENSION realtime in this database, or ALTER EXTENSION realtime UPDATE"},
		{"42P01", "run CREATE EXTENSION realtime in this database"},
		{"3F000", "run CREATE EXTENSION realtime in this database"},
		{"42501", "GRANT realtime_notifier to the role of the connection"},
		{"55000", "connect to the primary"},
		{"25006", "connect to the primary"},
	};

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strcmp(sqlstate, hints[i].sqlstate) == 0)
			return hints[i].hint;
	return NULL;
}

/* The connection is gone or of no use. What was told stays told; the rest comes again. */
static void
be_down(struct log_reader *reader)
{
	drop_chunks(reader);
	reader->setup = 0;
	reader->will_ask |= reader->is_polling && reader->is_asked;
	reader->is_polling = false;
	reader->is_waiting = false;
	reader->is_paused = false;
	reader->is_up = false;
	reader->config.on_down(reader->config.arg);
}

/* Gives the connection up for a while. */
static void
retry(struct log_reader *reader, unsigned ms)
{
	be_down(reader);
	pgconn_restart(reader->pgconn, ms);
}

static void
on_down(void *arg)
{
	be_down(arg);
}

/* Connected: prepares the session. An epoch is made, if need be, before the session turns read-only. */
static void
on_up(void *arg)
{
	struct log_reader *reader = arg;
	struct pgconn *pgconn = reader->pgconn;

	reader->setup = 0;
	reader->has_failed = false;
	pgconn_query(pgconn, TAG_RECOVERY, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL);
	pgconn_sync(pgconn);
	pgconn_query(pgconn, TAG_SETUP, "SELECT realtime.current_epoch()", 0, NULL);
	pgconn_sync(pgconn);
	pgconn_query(pgconn, TAG_SETUP,
				 "SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false)", 0, NULL);
	/* A poll that waits is a transaction as long as its wait. The setting came with 17. */
	pgconn_query(pgconn, TAG_SETUP, "SELECT pg_catalog.set_config(name, '0', false)"
				 " FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'", 0, NULL);
	pgconn_prepare(pgconn, TAG_SETUP, "read", read_sql);
	pgconn_query(pgconn, TAG_SETUP, "LISTEN realtime", 0, NULL);
	pgconn_sync(pgconn);
}

static void
on_row(void *arg, unsigned tag, const struct slice *fields, unsigned nfields)
{
	struct log_reader *reader = arg;

	reader->alive_us = loop_clock_us();
	if (tag == TAG_RECOVERY && slice_equals(fields[0], "t"))
	{
		if (strcmp(reader->sqlstate, "55000") != 0)
			log_write(LOG_LEVEL_WARNING, "source_unusable", "reason=%s hint=%s",
					  "the server is a standby", hint_of("55000"));
		snprintf(reader->sqlstate, sizeof(reader->sqlstate), "55000");
		retry(reader, SLOW_RETRY_MS);
	}
	else if (tag == TAG_READ && nfields == 8 && fields[0].at != NULL)
		take_position(reader, fields);
	else if (tag == TAG_READ && nfields == 8 && reader->last != NULL)
		take_row(reader, fields);
}

static void
on_end(void *arg, unsigned tag, const struct pgconn_error *error)
{
	struct log_reader *reader = arg;

	(void) tag;
	reader->alive_us = loop_clock_us();
	if (error == NULL || reader->has_failed)
		return;
	reader->has_failed = true;
	if (strcmp(reader->sqlstate, error->sqlstate) == 0)
		;						/* said already */
	else if (hint_of(error->sqlstate) != NULL)
		log_write(LOG_LEVEL_ERROR, "source_unusable", "sqlstate=%s message=%s hint=%s",
				  error->sqlstate, error->message, hint_of(error->sqlstate));
	else
		log_write(LOG_LEVEL_WARNING, "source_poll_failed", "sqlstate=%s message=%s",
				  error->sqlstate, error->message);
	snprintf(reader->sqlstate, sizeof(reader->sqlstate), "%s", error->sqlstate);
}

/* A group was answered: of the set-up, or a poll. */
static void
on_sync(void *arg)
{
	struct log_reader *reader = arg;

	if (reader->has_failed)
		retry(reader, hint_of(reader->sqlstate) ? SLOW_RETRY_MS : FAST_RETRY_MS);
	else if (reader->is_polling)
		end_poll(reader);
	else if (++reader->setup == SETUP_GROUPS)
		reader->config.on_ready(reader->config.arg);
}

static void
on_notify(void *arg, unsigned n)
{
	struct log_reader *reader = arg;

	if (reader->setup == SETUP_GROUPS)
		reader->config.on_notify(reader->config.arg, n);
}

/* Looks now and then whether a poll has got stuck: the server's process may be stopped. */
static void
on_stall_timer(void *arg)
{
	struct log_reader *reader = arg;

	if (reader->is_polling && !reader->is_paused && loop_clock_us() - reader->alive_us > STALL_US)
	{
		log_write(LOG_LEVEL_ERROR, "source_stalled", "after_ms=%d", STALL_US / 1000);
		retry(reader, FAST_RETRY_MS);
	}
	loop_timer_start(reader->stall_timer, STALL_US / 4000);
}

struct log_reader *
log_reader_new(struct loop *loop, const struct log_reader_config *config)
{
	static const char *const settings[] = {
		"default_transaction_isolation", "read committed",
		"default_transaction_read_only", "off",
		"default_transaction_deferrable", "off",
		"statement_timeout", "60s",
		"lock_timeout", "10s",
		"jit", "off",
		"plan_cache_mode", "force_generic_plan",
		"search_path", "pg_catalog",
		"tcp_keepalives_idle", "10",
		"tcp_keepalives_interval", "5",
		"tcp_keepalives_count", "3",
		"tcp_user_timeout", "25s",
		NULL
	};
	struct log_reader *reader = memory_alloc_zeroed(sizeof(*reader));
	struct pgconn_config pgconfig = {NULL, "realtime-notifier", settings, reader,
		on_up, on_down, on_row, on_end, on_sync, on_notify};

	reader->config = *config;
	pgconfig.conninfo = config->conninfo;
	reader->stall_timer = loop_timer_new(loop, on_stall_timer, reader);
	reader->pgconn = pgconn_new(loop, &pgconfig);
	return reader;
}

void
log_reader_free(struct log_reader *reader)
{
	if (reader == NULL)
		return;
	pgconn_free(reader->pgconn);
	loop_timer_free(reader->stall_timer);
	drop_chunks(reader);
	told_clear(&reader->told);
	memory_free(reader->last);
	memory_free(reader->next);
	memory_free(reader);
}

void
log_reader_start(struct log_reader *reader)
{
	loop_timer_start(reader->stall_timer, STALL_US / 4000);
	pgconn_start(reader->pgconn);
}

bool
log_reader_is_ready(const struct log_reader *reader)
{
	return reader->setup == SETUP_GROUPS;
}

bool
log_reader_is_polling(const struct log_reader *reader)
{
	return reader->is_polling;
}

void
log_reader_poll(struct log_reader *reader, bool is_asked, unsigned wait_ms)
{
	reader->will_ask |= is_asked;
	send_poll(reader, wait_ms);
}

int
log_reader_waits_in(const struct log_reader *reader)
{
	return reader->is_waiting ? pgconn_pid(reader->pgconn) : 0;
}

void
log_reader_pause(struct log_reader *reader)
{
	reader->is_paused = true;
	pgconn_pause(reader->pgconn);
}

void
log_reader_resume(struct log_reader *reader)
{
	reader->is_paused = false;
	reader->alive_us = loop_clock_us();
	pgconn_resume(reader->pgconn);
}
