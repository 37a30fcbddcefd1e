/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * source_log.c
 *	  The commit log as a source: polls it, and rests on the doorbell. Knows the log's SQL (extension/).
 *
 * Model
 * 1. A poll is one group of three statements, thus one transaction in one round trip: guard, check, read.
 *	  The guard looks into the log, so that until the end of the poll prune cannot empty any part of it. The
 *	  check then asks in a new statement whether the log still has all that the last position has not seen.
 * 2. The read answers first with its position, that is its snapshot, then with the rows that this snapshot
 *	  sees and the last position does not cover. Before it answers it has flushed the WAL up to an insert
 *	  position later than its snapshot: all that it sees is durable.
 * 3. So when the first row comes, everything is known: history is whole (1), all is durable (2), and the
 *	  epoch is the last one's or not. Rows are told as they come, in batches of BATCH_BYTES, and nothing
 *	  is ever held back in memory. When too much is told and not released the socket is not read.
 * 4. When a read breaks off, the one after it repeats it from the last position: rows told already are
 *	  skipped (told.h), and the transaction that was cut comes first, so that its parts stay together.
 *	  It could have read nothing of what comes now, whatever the order in the log.
 * 5. A lost history or another epoch makes a gap: the position is dropped, and a poll from nowhere gives the
 *	  new one.
 * 6. States: polling, with pauses that follow the traffic (pace.h); after some empty polls the doorbell is
 *	  armed on its own connection (bell.h) while polling goes on; a poll that began armed and ended armed
 *	  leads to rest: a notification or poll_max_ms ends it. Notifications come in on the polling
 *	  connection; one that comes during a poll makes another follow.
 */
#include "source.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bell.h"
#include "log.h"
#include "memory.h"
#include "pace.h"
#include "pgconn.h"
#include "stats.h"
#include "told.h"

#define BATCH_BYTES (2 * 1024 * 1024)	/* of chunks, when another batch begins */
#define BATCH_CHUNKS 2048
#define POSITION_EVERY_US 250000	/* positions without rows are told at most so often, unless poked */
#define SLOW_RETRY_MS 5000		/* after what only a person can change */
#define FAST_RETRY_MS 200		/* after a statement that failed */
#define STALL_US 75000000		/* a poll that shows no sign of life; beyond its statement_timeout */

/*
 * The position and the rows that a position (xmax $1, xip $2) does not cover; order is the log's lsn or
 * an expression for it. The sub-select of the position flushes first.
 */
#define READ_SQL(lsn) \
	"SELECT r.position, r.xid, r.part, r.is_last, r.commit_us, r.events FROM (" \
	"SELECT CASE WHEN realtime.flush() IS NOT NULL THEN realtime.position() END AS position," \
	" NULL::xid8 AS xid, NULL::int AS part, NULL::boolean AS is_last, NULL::bigint AS commit_us," \
	" NULL::json AS events, NULL::pg_lsn AS lsn" \
	" UNION ALL" \
	" SELECT NULL, l.xid, l.part, lead(l.xid) OVER w IS DISTINCT FROM l.xid," \
	" (extract(epoch FROM l.at) * 1000000)::bigint, l.events, " lsn \
	" FROM realtime.commit_log l WHERE l.xid >= $1::xid8 OR l.xid = ANY ($2::xid8[])" \
	" WINDOW w AS (ORDER BY " lsn " NULLS FIRST, l.xid NULLS FIRST, l.part NULLS FIRST)" \
	") r ORDER BY r.lsn NULLS FIRST, r.xid NULLS FIRST, r.part NULLS FIRST"

const char *const source_log_guard_sql = "SELECT FROM realtime.commit_log WHERE xid = '0'";
const char *const source_log_history_sql = READ_SQL("l.lsn");

/* The same with one transaction, $3, before all others. */
static const char read_sql[] =
	READ_SQL("CASE WHEN l.xid = $3::xid8 THEN '0/1' ELSE l.lsn END");

#define XMAX_OF_NOWHERE "9223372036854775807"	/* covers everything there will ever be */

enum tag
{
	TAG_RECOVERY,
	TAG_SETUP,
	TAG_GUARD,
	TAG_CHECK,
	TAG_READ
};

#define SETUP_GROUPS 3

struct source
{
	struct loop *loop;
	struct source_config config;
	char	   *conninfo;
	struct pgconn *pgconn;
	struct bell *bell;
	struct loop_timer *timer;	/* the next poll */
	struct loop_timer *stall_timer;
	struct pace pace;

	/* the connection */
	unsigned	setup;			/* groups of the set-up that were answered */
	bool		is_up;			/* told by on_state */
	bool		has_failed;		/* a statement of the present group */
	bool		has_been_up;
	char		sqlstate[6];	/* of the last failure that was logged */

	/* the stream */
	char	   *last;			/* the position that polls start from; NULL: from nowhere */
	const char *gap;			/* why it was dropped, until that is told */
	struct told told;			/* rows told since last */
	int64_t		told_us;		/* when a position was told */
	bool		is_untold;		/* last is newer than what was told */

	/* the present poll */
	bool		is_polling;
	bool		is_again;		/* another one is wanted right after it */
	bool		is_armed;		/* since before it began */
	bool		is_from_nowhere;	/* for a position only */
	bool		is_asked;		/* its position will be told in any case */
	bool		will_ask;		/* the same for the next one */
	int64_t		started_us;
	int64_t		alive_us;
	char	   *next;			/* its position */
	unsigned	commits;
	struct chunk *chunks[BATCH_CHUNKS];
	unsigned	nchunks;
	size_t		bytes;

	/* touched by other threads */
	atomic_size_t in_flight;
	atomic_bool is_paused;
	atomic_bool is_poked;		/* poked() will come */
	atomic_bool is_released;	/* released() will come */
	bool		is_destroyed;
};

static void poll_start(struct source *source);

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

/* Microseconds since 1970. */
static int64_t
wall_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* -------------------------------------------------------------------------------------------------
 * Telling
 * ------------------------------------------------------------------------------------------------- */

/* Forgets the rows of the present poll that have not been told. */
static void
drop_chunks(struct source *source)
{
	for (unsigned i = 0; i < source->nchunks; i++)
		chunk_unref(source->chunks[i]);
	source->nchunks = 0;
	source->bytes = 0;
}

/* Stops reading while too much is under way. A release between the two looks is not missed. */
static void
limit_in_flight(struct source *source)
{
	if (atomic_load(&source->in_flight) <= source->config.in_flight_max)
		return;
	atomic_store(&source->is_paused, true);
	if (atomic_load(&source->in_flight) > source->config.in_flight_max)
		pgconn_pause(source->pgconn);
	else
		atomic_store(&source->is_paused, false);
}

/* Tells a batch of the rows at hand; with a position it is the last of its poll. */
static void
tell(struct source *source, const char *position)
{
	struct batch *batch;
	int64_t		newest_us = 0;

	for (unsigned i = 0; i < source->nchunks; i++)
	{
		struct chunk *chunk = source->chunks[i];

		stats_add(STAT_EVENTS_IN, chunk->nevents);
		stats_add(STAT_BYTES_IN, (int64_t) chunk->len);
		if (chunk->is_last)
			stats_add(STAT_COMMITS_IN, 1);
		if (chunk->commit_us > newest_us)
			newest_us = chunk->commit_us;
		if (position == NULL)
			told_add(&source->told, chunk->xid, chunk->part, chunk->is_last);
	}
	if (source->nchunks > 0)
		stats_set(STAT_SOURCE_LAG_US, wall_clock_us() - newest_us);
	batch = batch_new(source->chunks, source->nchunks, position, source->gap);
	source->nchunks = 0;
	source->bytes = 0;
	if (position != NULL)
	{
		told_clear(&source->told);
		source->gap = NULL;
		source->is_untold = !batch->is_end;
		source->told_us = loop_clock_us();
	}
	atomic_fetch_add(&source->in_flight, batch_memory(batch));
	source->config.on_batch(source->config.arg, batch);
	batch_unref(batch);
	limit_in_flight(source);
}

/* The position is void: a poll from nowhere follows. The rows that still come are not wanted. */
static void
lose(struct source *source, const char *reason)
{
	if (source->gap != NULL)
		return;
	log_write(LOG_LEVEL_WARNING, "source_gap", "reason=%s position=%s", reason, source->last);
	source->gap = reason;
	memory_free(source->last);
	source->last = NULL;
	drop_chunks(source);
	told_clear(&source->told);
	pgconn_cancel(source->pgconn);
}

/* The first row of a read. */
static void
take_position(struct source *source, struct slice position)
{
	memory_free(source->next);
	source->next = memory_copy_string(position.at, position.len);
	if (!source->is_up)
	{
		source->is_up = true;
		stats_set(STAT_SOURCE_UP, 1);
		if (source->has_been_up)
			stats_add(STAT_SOURCE_RECONNECTS, 1);
		source->has_been_up = true;
		log_write(LOG_LEVEL_INFO, "source_up", "position=%s", source->next);
		source->config.on_state(source->config.arg, true);
	}
	if (source->last != NULL)
	{
		size_t		len = strcspn(source->last, "/") + 1;

		if (strncmp(source->last, source->next, len) != 0)
			lose(source, "epoch");
	}
}

/* One row of the log. */
static void
take_row(struct source *source, const struct slice *fields)
{
	uint64_t	xid = read_number(fields[1]);
	unsigned	part = (unsigned) read_number(fields[2]);
	bool		is_last = slice_equals(fields[3], "t");
	struct chunk *chunk;

	if (source->last == NULL)
		return;
	source->commits += is_last;
	if (told_has(&source->told, xid, part))
		return;
	chunk = chunk_new(xid, part, is_last, (int64_t) read_number(fields[4]), fields[5].at,
					  fields[5].len);
	if (chunk->is_broken)
		log_write(LOG_LEVEL_ERROR, "source_row_broken", "xid=%llu part=%d",
				  (unsigned long long) xid, (int) part);
	source->chunks[source->nchunks++] = chunk;
	source->bytes += chunk_memory(chunk);
	if (source->bytes >= BATCH_BYTES || source->nchunks == BATCH_CHUNKS)
		tell(source, NULL);
}

/* -------------------------------------------------------------------------------------------------
 * Polling
 * ------------------------------------------------------------------------------------------------- */

/* Polls soon: now, right after the present poll, or when the least pause is over. */
static void
poll_soon(struct source *source)
{
	int64_t		since = loop_clock_us() - source->started_us;

	if (source->setup < SETUP_GROUPS)
		return;					/* the first poll is to come */
	if (source->is_polling)
		source->is_again = true;
	else if (since >= (int64_t) source->pace.min_ms * 1000)
		poll_start(source);
	else
		loop_timer_start(source->timer, source->pace.min_ms);
}

/* The parts of a position as the poll's parameters: <epoch>/<xmin>:<xmax>:<xip,...>. */
struct parts
{
	char	   *check;			/* what the server is asked about */
	char	   *xmax;
	char	   *xip;			/* an array */
};

/*
 * Takes a position apart. Of one that is too long for the server to check, what it covers with all above
 * its xmin taken away is checked: older, so never a loss overlooked.
 */
static void
split_position(const char *position, struct parts *parts)
{
	const char *xmin = strchr(position, '/') + 1;
	const char *xmax = strchr(xmin, ':') + 1;
	const char *xip = strchr(xmax, ':') + 1;
	size_t		len = strlen(position);
	size_t		room = len + (size_t) (xmax - xmin) + 2;

	parts->check = memory_alloc(room);
	if (len <= POSITION_MAX_LENGTH)
		memcpy(parts->check, position, len + 1);
	else
		snprintf(parts->check, room, "%.*s%.*s", (int) (xmax - position), position,
				 (int) (xmax - xmin), xmin);
	parts->xmax = memory_copy_string(xmax, (size_t) (xip - xmax) - 1);
	room = strlen(xip) + sizeof("{}");
	parts->xip = memory_alloc(room);
	snprintf(parts->xip, room, "{%s}", xip);
}

/* Sends a poll. */
static void
poll_start(struct source *source)
{
	struct parts parts = {NULL, NULL, NULL};
	char		first[24];

	if (source->last != NULL)
		split_position(source->last, &parts);
	snprintf(first, sizeof(first), "%" PRIu64, source->told.open_xid);
	loop_timer_stop(source->timer);
	told_restart(&source->told);
	source->is_polling = true;
	source->is_again = false;
	source->is_armed = bell_is_armed(source->bell);
	source->is_from_nowhere = source->last == NULL;
	source->is_asked = source->will_ask || source->is_from_nowhere;
	source->will_ask = false;
	source->has_failed = false;
	source->commits = 0;
	source->started_us = source->alive_us = loop_clock_us();
	stats_add(STAT_POLLS, 1);
	pgconn_execute(source->pgconn, TAG_GUARD, "guard", 0, NULL);
	pgconn_execute(source->pgconn, TAG_CHECK, "check", 1, (const char *[]) {parts.check});
	pgconn_execute(source->pgconn, TAG_READ, "read", 3, (const char *[]) {
		parts.xmax ? parts.xmax : XMAX_OF_NOWHERE, parts.xip ? parts.xip : "{}", first});
	pgconn_sync(source->pgconn);
	memory_free(parts.check);
	memory_free(parts.xmax);
	memory_free(parts.xip);
}

/* Decides when to poll next, and whether to be armed. */
static void
poll_next(struct source *source)
{
	pace_polled(&source->pace, loop_clock_us(), source->commits);
	if (pace_is_busy(&source->pace))
		bell_disarm(source->bell);
	else if (pace_is_calm(&source->pace))
		bell_arm(source->bell);
	if (source->is_again || source->will_ask)
		poll_soon(source);
	else if (source->is_armed && bell_is_armed(source->bell))
		loop_timer_start(source->timer, source->config.poll_max_ms);
	else
		loop_timer_start(source->timer, pace_pause(&source->pace));
}

/* A poll was answered to its end. */
static void
poll_end(struct source *source)
{
	bool		has_rows = source->nchunks > 0 || source->told.n > 0;

	source->is_polling = false;
	if (source->gap != NULL && !source->is_from_nowhere)
	{
		poll_start(source);		/* the position was lost in this poll */
		return;
	}
	source->sqlstate[0] = '\0';
	if (source->commits == 0)
		stats_add(STAT_POLLS_EMPTY, 1);
	source->is_untold |= source->last == NULL || strcmp(source->last, source->next) != 0;
	memory_free(source->last);
	source->last = source->next;
	source->next = NULL;
	if (has_rows || source->is_asked
		|| (source->is_untold && loop_clock_us() - source->told_us >= POSITION_EVERY_US))
		tell(source, source->last);
	poll_next(source);
}

/* Time for the next poll. */
static void
on_timer(void *arg)
{
	struct source *source = arg;

	bell_check(source->bell);
	poll_soon(source);
}

/* The doorbell was armed: what did not ring is seen by a poll from now on. Or it is not any more. */
static void
on_bell_change(void *arg)
{
	poll_soon(arg);
}

/* -------------------------------------------------------------------------------------------------
 * The connection
 * ------------------------------------------------------------------------------------------------- */

/* What can be done about an error; NULL when nothing in particular. */
static const char *
hint_of(const char *sqlstate)
{
	static const struct
	{
		const char *sqlstate;
		const char *hint;
	}			hints[] = {
		{"42883", "run CREATE EXTENSION realtime in this database"},
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
be_down(struct source *source)
{
	loop_timer_stop(source->timer);
	drop_chunks(source);
	source->setup = 0;
	source->will_ask |= source->is_polling && source->is_asked;
	source->is_polling = false;
	atomic_store(&source->is_paused, false);
	bell_disarm(source->bell);
	if (!source->is_up)
		return;
	source->is_up = false;
	stats_set(STAT_SOURCE_UP, 0);
	source->config.on_state(source->config.arg, false);
}

/* Gives the connection up for a while. */
static void
retry(struct source *source, unsigned ms)
{
	be_down(source);
	pgconn_restart(source->pgconn, ms);
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
	struct source *source = arg;
	struct pgconn *pgconn = source->pgconn;

	source->setup = 0;
	source->has_failed = false;
	pgconn_query(pgconn, TAG_RECOVERY, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL);
	pgconn_sync(pgconn);
	pgconn_query(pgconn, TAG_SETUP, "SELECT realtime.current_epoch()", 0, NULL);
	pgconn_sync(pgconn);
	pgconn_query(pgconn, TAG_SETUP,
				 "SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false)", 0, NULL);
	pgconn_prepare(pgconn, TAG_SETUP, "guard", source_log_guard_sql);
	pgconn_prepare(pgconn, TAG_SETUP, "check", "SELECT realtime.position_error($1)");
	pgconn_prepare(pgconn, TAG_SETUP, "read", read_sql);
	pgconn_query(pgconn, TAG_SETUP, "LISTEN realtime", 0, NULL);
	pgconn_sync(pgconn);
}

static void
on_row(void *arg, unsigned tag, const struct slice *fields, unsigned nfields)
{
	struct source *source = arg;

	source->alive_us = loop_clock_us();
	if (tag == TAG_RECOVERY && slice_equals(fields[0], "t"))
	{
		if (strcmp(source->sqlstate, "55000") != 0)
			log_write(LOG_LEVEL_WARNING, "source_unusable", "reason=%s hint=%s",
					  "the server is a standby", hint_of("55000"));
		snprintf(source->sqlstate, sizeof(source->sqlstate), "55000");
		retry(source, SLOW_RETRY_MS);
	}
	else if (tag == TAG_CHECK && fields[0].at != NULL)
		lose(source, static_reason(fields[0]));
	else if (tag == TAG_READ && nfields == 6 && fields[0].at != NULL)
		take_position(source, fields[0]);
	else if (tag == TAG_READ && nfields == 6)
		take_row(source, fields);
}

static void
on_end(void *arg, unsigned tag, const struct pgconn_error *error)
{
	struct source *source = arg;

	(void) tag;
	source->alive_us = loop_clock_us();
	if (error == NULL || source->has_failed)
		return;
	source->has_failed = true;
	if (strcmp(source->sqlstate, error->sqlstate) == 0 || source->gap != NULL)
		;						/* said already, or our own cancellation */
	else if (hint_of(error->sqlstate) != NULL)
		log_write(LOG_LEVEL_ERROR, "source_unusable", "sqlstate=%s message=%s hint=%s",
				  error->sqlstate, error->message, hint_of(error->sqlstate));
	else
		log_write(LOG_LEVEL_WARNING, "source_poll_failed", "sqlstate=%s message=%s",
				  error->sqlstate, error->message);
	snprintf(source->sqlstate, sizeof(source->sqlstate), "%s", error->sqlstate);
}

/* A group was answered: of the set-up, or a poll. */
static void
on_sync(void *arg)
{
	struct source *source = arg;

	if (source->has_failed && (source->gap == NULL || source->is_from_nowhere))
		retry(source, hint_of(source->sqlstate) ? SLOW_RETRY_MS : FAST_RETRY_MS);
	else if (source->is_polling)
		poll_end(source);
	else if (++source->setup == SETUP_GROUPS)
		poll_start(source);
}

/* The bell. Polling by the clock goes on as it is, unless it has become slow. */
static void
on_notify(void *arg, unsigned n)
{
	struct source *source = arg;

	stats_add(STAT_DOORBELLS, n);
	pace_rung(&source->pace);
	if (bell_is_armed(source->bell) || pace_pause(&source->pace) > PACE_PAUSE_MS)
		poll_soon(source);
}

/* Looks now and then whether a poll has got stuck: the server's process may be stopped. */
static void
on_stall_timer(void *arg)
{
	struct source *source = arg;

	if (source->is_polling && !atomic_load(&source->is_paused)
		&& loop_clock_us() - source->alive_us > STALL_US)
	{
		log_write(LOG_LEVEL_ERROR, "source_stalled", "after_ms=%d", STALL_US / 1000);
		retry(source, FAST_RETRY_MS);
	}
	loop_timer_start(source->stall_timer, STALL_US / 4000);
}

/* -------------------------------------------------------------------------------------------------
 * The source
 * ------------------------------------------------------------------------------------------------- */

static struct source *
create(struct loop *loop, const struct source_config *config)
{
	static const char *const settings[] = {
		"default_transaction_isolation", "read committed",
		"default_transaction_read_only", "off",
		"default_transaction_deferrable", "off",
		"statement_timeout", "60s",
		"lock_timeout", "10s",
		"enable_seqscan", "off",
		"jit", "off",
		"max_parallel_workers_per_gather", "0",
		"plan_cache_mode", "force_generic_plan",
		"search_path", "pg_catalog",
		"tcp_keepalives_idle", "10",
		"tcp_keepalives_interval", "5",
		"tcp_keepalives_count", "3",
		"tcp_user_timeout", "25s",
		NULL
	};
	struct source *source = memory_alloc_zeroed(sizeof(*source));
	struct pgconn_config pgconfig = {NULL, "realtime-notifier", settings, source,
		on_up, on_down, on_row, on_end, on_sync, on_notify};

	source->loop = loop;
	source->config = *config;
	source->conninfo = memory_copy_string(config->conninfo, strlen(config->conninfo));
	pgconfig.conninfo = source->conninfo;
	source->timer = loop_timer_new(loop, on_timer, source);
	source->stall_timer = loop_timer_new(loop, on_stall_timer, source);
	source->pgconn = pgconn_new(loop, &pgconfig);
	atomic_init(&source->in_flight, 0);
	atomic_init(&source->is_paused, false);
	atomic_init(&source->is_poked, false);
	atomic_init(&source->is_released, false);
	pace_init(&source->pace, config->poll_min_ms, loop_clock_us());
	return source;
}

static void
start(struct source *source)
{
	source->bell = bell_new(source->loop, source->conninfo, on_bell_change, source);
	loop_timer_start(source->stall_timer, STALL_US / 4000);
	pgconn_start(source->pgconn);
}

/* Frees the struct once nothing posted is on its way. */
static void
release_memory(struct source *source)
{
	if (atomic_load(&source->is_poked) || atomic_load(&source->is_released))
		return;
	memory_free(source->conninfo);
	memory_free(source);
}

static void
destroy(struct source *source)
{
	if (source == NULL)
		return;
	pgconn_free(source->pgconn);
	bell_free(source->bell);
	loop_timer_free(source->timer);
	loop_timer_free(source->stall_timer);
	drop_chunks(source);
	told_clear(&source->told);
	memory_free(source->last);
	memory_free(source->next);
	source->is_destroyed = true;
	release_memory(source);
}

/* The rest of poke(), in the loop's thread. */
static void
poked(void *arg)
{
	struct source *source = arg;

	atomic_store(&source->is_poked, false);
	if (source->is_destroyed)
	{
		release_memory(source);
		return;
	}
	source->will_ask = true;
	poll_soon(source);
}

static void
poke(struct source *source)
{
	if (!atomic_exchange(&source->is_poked, true))
		loop_post(source->loop, poked, source);
}

/* The rest of release(), in the loop's thread. */
static void
released(void *arg)
{
	struct source *source = arg;

	atomic_store(&source->is_released, false);
	if (source->is_destroyed)
		release_memory(source);
	else if (atomic_load(&source->is_paused)
			 && atomic_load(&source->in_flight) <= source->config.in_flight_max)
	{
		atomic_store(&source->is_paused, false);
		source->alive_us = loop_clock_us();
		pgconn_resume(source->pgconn);
	}
}

static void
release(struct source *source, size_t bytes)
{
	size_t		left = atomic_fetch_sub(&source->in_flight, bytes) - bytes;

	if (atomic_load(&source->is_paused) && left <= source->config.in_flight_max
		&& !atomic_exchange(&source->is_released, true))
		loop_post(source->loop, released, source);
}

const struct source_class source_log = {"commit log", create, start, destroy, poke, release};
