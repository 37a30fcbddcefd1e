/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * pace.c
 *	  See pace.h. Pure.
 */
#include "pace.h"

/* Lets the bucket leak up to now, then puts n in. */
static void
fill(struct pace *pace, int64_t now_us, unsigned n)
{
	pace->level -= (double) (now_us - pace->leaked_us) * PACE_RATE / 1e6;
	if (pace->level < 0)
		pace->level = 0;
	pace->leaked_us = now_us;
	pace->level += n;
	if (pace->level > PACE_FULL)
		pace->level = PACE_FULL;
}

void
pace_init(struct pace *pace, unsigned min_ms, int64_t now_us)
{
	pace->min_ms = min_ms > 0 ? min_ms : 1;
	pace->pause_ms = pace->min_ms;
	pace->empties = 0;
	pace->has_rung = false;
	pace->level = 0;
	pace->leaked_us = now_us;
}

void
pace_polled(struct pace *pace, int64_t now_us, unsigned commits)
{
	unsigned	most;

	fill(pace, now_us, commits > 0 ? commits : pace->has_rung);
	pace->has_rung = false;
	most = pace->level > PACE_CALM ? PACE_PAUSE_MS : PACE_IDLE_MS;
	if (commits > 0)
	{
		pace->empties = 0;
		pace->pause_ms /= 2;
	}
	else
	{
		pace->empties++;
		pace->pause_ms *= 2;
	}
	if (pace->pause_ms > most)
		pace->pause_ms = most;
	if (pace->pause_ms < pace->min_ms)
		pace->pause_ms = pace->min_ms;
}

void
pace_rung(struct pace *pace)
{
	pace->has_rung = true;
}

bool
pace_is_busy(const struct pace *pace)
{
	return pace->level > PACE_BUSY;
}

bool
pace_is_calm(const struct pace *pace)
{
	return pace->level < PACE_CALM && pace->empties >= PACE_EMPTY_POLLS;
}

unsigned
pace_pause(const struct pace *pace)
{
	return pace->pause_ms;
}
