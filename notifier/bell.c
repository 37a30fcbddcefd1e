/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bell.c
 *	  See bell.h. Knows realtime.arm(), disarm() and is_armed().
 */
#include "bell.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "pgconn.h"
#include "stats.h"

#define PAUSE_MIN_MS 100		/* after an attempt to arm that failed; doubles */
#define PAUSE_MAX_MS 2000

enum tag
{
	TAG_ARM,
	TAG_DISARM,
	TAG_CHECK,
	TAG_WAKE
};

struct bell
{
	struct pgconn *pgconn;
	struct loop_timer *timer;	/* to say that it lives */
	loop_fn		on_change;
	void	   *arg;
	bool		is_armed;
	bool		is_arming;
	bool		is_checking;
	int64_t		checked_us;
	int64_t		pause_until_us;
	unsigned	pause_ms;
};

/* Changes the state and tells. */
static void
set_armed(struct bell *bell, bool is_armed)
{
	if (bell->is_armed == is_armed)
		return;
	bell->is_armed = is_armed;
	stats_set(STAT_ARMED, is_armed);
	bell->on_change(bell->arg);
}

/* Asks whether it is armed, which keeps the session from timing out as well. */
static void
check_now(struct bell *bell)
{
	bell->is_checking = true;
	bell->checked_us = loop_clock_us();
	pgconn_query(bell->pgconn, TAG_CHECK, bell->is_armed ? "SELECT realtime.is_armed()" : "SELECT", 0, NULL);
	pgconn_sync(bell->pgconn);
}

/* Every BELL_ALIVE_MS. No answer to the last question: the connection is no good. */
static void
on_timer(void *arg)
{
	struct bell *bell = arg;

	if (bell->is_checking)
	{
		log_write(LOG_LEVEL_WARNING, "doorbell_silent", "after_ms=%d", BELL_ALIVE_MS);
		bell->is_checking = bell->is_arming = false;
		pgconn_restart(bell->pgconn, PGCONN_RETRY_MIN_MS);
		set_armed(bell, false);
		return;
	}
	check_now(bell);
	loop_timer_start(bell->timer, BELL_ALIVE_MS);
}

static void
on_up(void *arg)
{
	struct bell *bell = arg;

	loop_timer_start(bell->timer, BELL_ALIVE_MS);
	bell->on_change(bell->arg);	/* it can be asked to wake again */
}

static void
on_down(void *arg)
{
	struct bell *bell = arg;

	loop_timer_stop(bell->timer);
	bell->is_arming = bell->is_checking = false;
	set_armed(bell, false);
}

static void
on_row(void *arg, unsigned tag, const struct slice *fields, unsigned nfields)
{
	struct bell *bell = arg;

	/* An answer from before arm() or disarm() was sent says nothing: those come in between. */
	if (tag == TAG_CHECK && nfields == 1 && slice_equals(fields[0], "f") && bell->is_armed)
	{
		log_write(LOG_LEVEL_WARNING, "doorbell_lost", "reason=%s", "the lock is not held any more");
		set_armed(bell, false);
	}
}

static void
on_end(void *arg, unsigned tag, const struct pgconn_error *error)
{
	struct bell *bell = arg;

	switch (tag)
	{
		case TAG_CHECK:
			bell->is_checking = false;
			break;
		case TAG_ARM:
			bell->is_arming = false;
			if (error == NULL)
			{
				bell->pause_ms = 0;
				set_armed(bell, true);
				return;
			}
			bell->pause_ms = bell->pause_ms ? bell->pause_ms * 2 : PAUSE_MIN_MS;
			if (bell->pause_ms > PAUSE_MAX_MS)
				bell->pause_ms = PAUSE_MAX_MS;
			bell->pause_until_us = loop_clock_us() + (int64_t) bell->pause_ms * 1000;
			if (strcmp(error->sqlstate, "55P03") == 0)
				return;			/* a writer is slow to commit */
			break;
		default:
			break;
	}
	if (error == NULL)
		return;
	log_write(LOG_LEVEL_WARNING, "doorbell_failed", "sqlstate=%s message=%s", error->sqlstate,
			  error->message);
	set_armed(bell, false);		/* an error of the session gives the lock up */
}

static void
on_sync(void *arg)
{
	(void) arg;
}

static void
on_notify(void *arg, unsigned n)
{
	(void) arg;
	(void) n;
}

struct bell *
bell_new(struct loop *loop, const char *conninfo, loop_fn on_change, void *arg)
{
	static const char *const settings[] = {
		"default_transaction_isolation", "read committed",
		"default_transaction_read_only", "on",
		"statement_timeout", "5s",
		"lock_timeout", BELL_LOCK_TIMEOUT,
		"idle_session_timeout", BELL_IDLE_TIMEOUT,
		"tcp_keepalives_idle", "5",
		"tcp_keepalives_interval", "2",
		"tcp_keepalives_count", "3",
		"tcp_user_timeout", "10s",
		"search_path", "pg_catalog",
		NULL
	};
	struct bell *bell = memory_alloc_zeroed(sizeof(*bell));
	struct pgconn_config config = {conninfo, "realtime-notifier doorbell", settings, bell,
		on_up, on_down, on_row, on_end, on_sync, on_notify};

	bell->on_change = on_change;
	bell->arg = arg;
	bell->timer = loop_timer_new(loop, on_timer, bell);
	bell->pgconn = pgconn_new(loop, &config);
	pgconn_start(bell->pgconn);
	return bell;
}

void
bell_free(struct bell *bell)
{
	if (bell == NULL)
		return;
	pgconn_free(bell->pgconn);
	loop_timer_free(bell->timer);
	memory_free(bell);
}

void
bell_arm(struct bell *bell)
{
	if (bell->is_armed || bell->is_arming || !pgconn_is_up(bell->pgconn)
		|| loop_clock_us() < bell->pause_until_us)
		return;
	bell->is_arming = true;
	pgconn_query(bell->pgconn, TAG_ARM, "SELECT realtime.arm()", 0, NULL);
	pgconn_sync(bell->pgconn);
}

void
bell_disarm(struct bell *bell)
{
	if (!bell->is_armed)
		return;
	bell->is_armed = false;
	stats_set(STAT_ARMED, 0);
	pgconn_query(bell->pgconn, TAG_DISARM, "SELECT realtime.disarm()", 0, NULL);
	pgconn_sync(bell->pgconn);
}

void
bell_wake(struct bell *bell, int pid)
{
	char		text[16];

	snprintf(text, sizeof(text), "%d", pid);
	pgconn_query(bell->pgconn, TAG_WAKE, "SELECT realtime.wake($1)", 1, (const char *[]) {text});
	pgconn_sync(bell->pgconn);
}

void
bell_check(struct bell *bell)
{
	if (bell->is_armed && !bell->is_checking
		&& loop_clock_us() - bell->checked_us >= (int64_t) BELL_CHECK_MS * 1000)
		check_now(bell);
}

bool
bell_is_armed(const struct bell *bell)
{
	return bell->is_armed;
}
