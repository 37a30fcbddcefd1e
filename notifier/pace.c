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
	pace->min_us = (int64_t) min_ms * 1000;
	if (pace->min_us < PACE_LEAST_US)
		pace->min_us = PACE_LEAST_US;
	pace->least_us = pace->pause_us = pace->min_us;
	pace->gap_us = PACE_IDLE_US;
	pace->found_us = now_us;
	pace->empties = 0;
	pace->has_rung = false;
	pace->level = 0;
	pace->leaked_us = now_us;
}

/* A poll found commits: the mean time between them follows. */
static void
note_gap(struct pace *pace, int64_t now_us, unsigned commits)
{
	int64_t		gap = (now_us - pace->found_us) / commits;

	if (gap > PACE_IDLE_US)
		gap = PACE_IDLE_US;		/* a rest says nothing of what follows it */
	pace->gap_us += (gap - pace->gap_us) / 4;
	pace->found_us = now_us;
}

void
pace_polled(struct pace *pace, int64_t now_us, int64_t took_us, unsigned commits)
{
	int64_t		most;
	int64_t		gap;

	fill(pace, now_us, commits > 0 ? commits : pace->has_rung);
	pace->has_rung = false;
	most = pace->level > PACE_CALM ? PACE_PAUSE_US : PACE_IDLE_US;
	if (commits > 0)
	{
		pace->empties = 0;
		note_gap(pace, now_us, commits);
	}
	else
		pace->empties++;
	gap = now_us - pace->found_us;
	pace->pause_us = (gap > pace->gap_us ? gap : pace->gap_us) / PACE_SHARE;
	if (pace->pause_us > most)
		pace->pause_us = most;
	pace->least_us = took_us < PACE_PAUSE_US ? took_us : PACE_PAUSE_US;
	if (pace->least_us < pace->min_us)
		pace->least_us = pace->min_us;
	if (pace->pause_us < pace->least_us)
		pace->pause_us = pace->least_us;
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

int64_t
pace_pause(const struct pace *pace)
{
	return pace->pause_us;
}

int64_t
pace_rest(const struct pace *pace)
{
	int64_t		rest = PACE_REST * pace->least_us;

	if (pace->gap_us > PACE_DENSE * pace->least_us && pace->min_us <= PACE_LEAST_US)
		return 0;
	if (rest > PACE_REST_MAX_US)
		rest = PACE_REST_MAX_US;
	return rest > pace->min_us ? rest : pace->min_us;
}

int64_t
pace_least(const struct pace *pace)
{
	return pace->least_us;
}
