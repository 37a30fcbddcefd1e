/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * source_log.c
 *	  The commit log as a source: when to poll, when to rest on the doorbell, when to wait for consumers.
 *
 * Model
 * 1. What a poll is says log_reader.h; how often to poll unarmed, and whether to arm, pace.h; what being armed
 *	  is, bell.h.
 * 2. Polling: polls follow one another. The server waits for a commit before it reads (extension/waiter.c), so a
 *	  poll takes a rest before it only where commits come faster than polls; where the server cannot wait, we do, by
 *	  the clock. After some empty ones the doorbell is armed, on its own connection, while polling goes on.
 * 3. Rest: the last poll began armed and the bell is still armed, so whatever that poll did not see will ring.
 *	  A notification, a poke, the loss of the lock or poll_max_ms ends it. Notifications come in on the polling
 *	  connection; one that comes during a poll makes another follow, where the server does not wait.
 * 4. When more has been told than in_flight_max and not released, the socket is not read.
 * 5. Other threads call poke() and release(), which touch atomics and post the rest; whatever is posted keeps
 *	  the memory.
 */
#include "source.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "bell.h"
#include "log_reader.h"
#include "memory.h"
#include "pace.h"
#include "stats.h"

struct source
{
	struct loop *loop;
	struct source_config config;
	char	   *conninfo;
	struct log_reader *reader;
	struct bell *bell;
	struct loop_alarm *timer;	/* the next poll */
	struct pace pace;
	bool		is_up;			/* told by on_state */
	bool		has_been_up;
	bool		is_again;		/* another poll is wanted right after the present one */
	bool		is_armed;		/* since before the last poll began */
	bool		is_asked;		/* the next poll's position is to be told */
	bool		will_wait;		/* the server, in the poll that the timer starts */
	bool		cannot_wait;	/* the server has said so on this connection */
	bool		has_rung;		/* during the present poll */
	bool		was_empty;		/* the last poll */
	int64_t		started_us;		/* of the last poll */
	int64_t		ended_us;

	/* touched by other threads */
	atomic_size_t in_flight;
	atomic_bool is_paused;
	atomic_bool is_poked;		/* poked() will come */
	atomic_bool is_released;	/* released() will come */
	bool		is_destroyed;
};

/* As realtime.read() puts rows out, but for what several positions do not cover. */
const char *const source_log_history_sql =
"SELECT r.position, r.xid, r.part, r.is_last, r.commit_us, r.events FROM ("
"SELECT CASE WHEN realtime.flush() IS NOT NULL THEN realtime.position() END AS position, NULL::xid8 AS xid, NULL::int AS part, NULL::boolean AS is_last,"
" NULL::bigint AS commit_us, NULL::json AS events, NULL::pg_lsn AS lsn"
" UNION ALL"
" SELECT NULL, l.xid, l.part, lead(l.xid) OVER w IS DISTINCT FROM l.xid,"
" (extract(epoch FROM l.at) * 1000000)::bigint, l.events, l.lsn"
" FROM realtime.commit_log l WHERE l.xid >= $1::xid8 OR l.xid = ANY ($2::xid8[])"
" WINDOW w AS (ORDER BY l.lsn NULLS FIRST, l.xid NULLS FIRST, l.part NULLS FIRST)"
") r ORDER BY r.lsn NULLS FIRST, r.xid NULLS FIRST, r.part NULLS FIRST";

/* Microseconds since 1970. */
static int64_t
wall_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Starts a poll, before which the server waits. */
static void
poll_now(struct source *source, unsigned wait_ms)
{
	bool		is_asked = source->is_asked;

	loop_alarm_stop(source->timer);
	source->is_again = source->is_asked = source->will_wait = source->has_rung = false;
	source->is_armed = bell_is_armed(source->bell);
	source->started_us = loop_clock_us();
	log_reader_poll(source->reader, is_asked, wait_ms);
}

/* Polls soon: now, right after the present poll, or when the least pause is over. */
static void
poll_soon(struct source *source)
{
	int64_t		since = loop_clock_us() - source->ended_us;

	if (!log_reader_is_ready(source->reader))
		return;					/* the first poll is to come */
	if (log_reader_is_polling(source->reader))
		source->is_again = true;
	else if (since >= pace_least(&source->pace))
		poll_now(source, 0);
	else
	{
		source->will_wait = false;
		loop_alarm_start(source->timer, pace_least(&source->pace) - since);
	}
}

/*
 * The next poll, in which the server waits for a commit: armed as long as ever; else no longer than for what does
 * not wake it (prepared transactions, sessions with an older library).
 */
static void
poll_waiting(struct source *source)
{
	bool		is_at_rest = bell_is_armed(source->bell) && !source->has_rung;

	bell_check(source->bell);
	if (!is_at_rest)
		poll_now(source, PACE_IDLE_US / 1000);
	else if (source->config.poll_max_ms < LOG_READER_WAIT_MAX_MS)
		poll_now(source, source->config.poll_max_ms);
	else
		poll_now(source, LOG_READER_WAIT_MAX_MS);
}

/* Time for the next poll. */
static void
on_timer(void *arg)
{
	struct source *source = arg;

	if (source->will_wait)
	{
		poll_waiting(source);
		return;
	}
	bell_check(source->bell);
	poll_soon(source);
}

/* Ends the server's wait in the present poll, if the doorbell's connection can. */
static void
wake_reader(struct source *source)
{
	int			pid = log_reader_waits_in(source->reader);

	if (pid != 0)
		bell_wake(source->bell, pid);
}

/*
 * The doorbell was armed: what did not ring is seen by a poll from now on. Or it is not any more, or its connection is
 * back: a long wait ends.
 */
static void
on_bell_change(void *arg)
{
	struct source *source = arg;

	poll_soon(source);
	if (!bell_is_armed(source->bell))
		wake_reader(source);
}

/* A poll ended: decides when the next one comes, and whether to be armed. */
static void
on_polled(void *arg, unsigned commits, int64_t waited_us)
{
	struct source *source = arg;
	int64_t		now = loop_clock_us();
	int64_t		rest;

	source->ended_us = now;
	source->was_empty = commits == 0;
	if (waited_us < 0)
		source->cannot_wait = true;
	else
		source->started_us += waited_us;
	pace_polled(&source->pace, now, now - source->started_us, commits);
	rest = pace_rest(&source->pace);
	if (pace_is_busy(&source->pace))
		bell_disarm(source->bell);
	else if (pace_is_calm(&source->pace))
		bell_arm(source->bell);
	if (source->is_again || source->is_asked)
		poll_soon(source);
	else if (!source->cannot_wait && rest > 0)
	{
		source->will_wait = true;
		loop_alarm_start(source->timer, rest);
	}
	else if (!source->cannot_wait)
		poll_waiting(source);
	else if (source->is_armed && bell_is_armed(source->bell))
		loop_alarm_start(source->timer, (int64_t) source->config.poll_max_ms * 1000);
	else
		loop_alarm_start(source->timer, pace_pause(&source->pace));
}

/* The bell. Polling by the clock goes on as it is, unless it has become slow. */
static void
on_notify(void *arg, unsigned n)
{
	struct source *source = arg;

	stats_add(STAT_DOORBELLS, n);
	pace_rung(&source->pace);
	source->has_rung = true;
	if (log_reader_is_polling(source->reader) && !source->cannot_wait)
	{
		/* The poll that follows watches for what this one has not seen; but an older library rings without waking. */
		if (source->was_empty && source->is_armed)
			wake_reader(source);
		return;
	}
	if (bell_is_armed(source->bell))
	{
		bell_check(source->bell);
		poll_soon(source);
	}
	else if (pace_pause(&source->pace) > PACE_PAUSE_US)
		poll_soon(source);
}

/* Stops reading while too much is under way. A release between the two looks is not missed. */
static void
limit_in_flight(struct source *source)
{
	if (atomic_load(&source->in_flight) <= source->config.in_flight_max)
		return;
	atomic_store(&source->is_paused, true);
	if (atomic_load(&source->in_flight) > source->config.in_flight_max)
		log_reader_pause(source->reader);
	else
		atomic_store(&source->is_paused, false);
}

/* Counts a batch and hands it on. */
static void
on_batch(void *arg, struct batch *batch)
{
	struct source *source = arg;
	int64_t		newest_us = 0;

	for (unsigned i = 0; i < batch->nchunks; i++)
	{
		const struct chunk *chunk = batch->chunks[i];

		stats_add(STAT_EVENTS_IN, chunk->nevents);
		stats_add(STAT_BYTES_IN, (int64_t) chunk->len);
		if (chunk->is_last)
			stats_add(STAT_COMMITS_IN, 1);
		if (chunk->commit_us > newest_us)
			newest_us = chunk->commit_us;
	}
	if (batch->nchunks > 0)
		stats_set(STAT_SOURCE_LAG_US, wall_clock_us() - newest_us);
	atomic_fetch_add(&source->in_flight, batch_memory(batch));
	source->config.on_batch(source->config.arg, batch);
	limit_in_flight(source);
}

static void
on_ready(void *arg)
{
	struct source *source = arg;

	source->cannot_wait = false;
	poll_now(source, 0);
}

static void
on_up(void *arg)
{
	struct source *source = arg;

	source->is_up = true;
	stats_set(STAT_SOURCE_UP, 1);
	if (source->has_been_up)
		stats_add(STAT_SOURCE_RECONNECTS, 1);
	source->has_been_up = true;
	source->config.on_state(source->config.arg, true);
}

/* Nobody would hear the bell. */
static void
on_down(void *arg)
{
	struct source *source = arg;

	loop_alarm_stop(source->timer);
	atomic_store(&source->is_paused, false);
	bell_disarm(source->bell);
	if (!source->is_up)
		return;
	source->is_up = false;
	stats_set(STAT_SOURCE_UP, 0);
	source->config.on_state(source->config.arg, false);
}

static struct source *
create(struct loop *loop, const struct source_config *config)
{
	struct source *source = memory_alloc_zeroed(sizeof(*source));
	struct log_reader_config reader = {NULL, source, on_ready, on_down, on_up, on_notify, on_batch,
		on_polled};

	source->loop = loop;
	source->config = *config;
	source->conninfo = memory_copy_string(config->conninfo, strlen(config->conninfo));
	source->config.conninfo = reader.conninfo = source->conninfo;
	source->timer = loop_alarm_new(loop, on_timer, source);
	source->reader = log_reader_new(loop, &reader);
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
	log_reader_start(source->reader);
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
	wake_reader(source);		/* else the server's process stays until its wait is over */
	log_reader_free(source->reader);
	bell_free(source->bell);
	loop_alarm_free(source->timer);
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
	source->is_asked = true;
	poll_soon(source);
	wake_reader(source);
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
		log_reader_resume(source->reader);
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
