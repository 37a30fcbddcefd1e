/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * pace.h
 *	  How often to poll, and whether to be armed: pure arithmetic on times and counts.
 *
 * Model
 * 1. A bucket takes in commits (and bells for nothing) and leaks PACE_RATE a second. Over PACE_BUSY it is cheaper
 *	  to poll than to be rung for; below PACE_CALM and with nothing new in PACE_EMPTY_POLLS polls, to be
 *	  armed. It holds at most PACE_FULL: a second after the last commit of a storm calm is back.
 * 2. Unarmed, the pause between polls is a quarter of the time between commits, as it was lately or as long as none
 *	  has come. Its least is the time that a poll takes, so that polling takes half of a connection's time at most, or
 *	  what the configuration says; its most PACE_PAUSE_US while it is busy and PACE_IDLE_US after (the
 *	  doorbell cannot be armed).
 * 3. Where the server waits for commits, no pause is needed; but dense ones are read in numbers, after a rest that leaves
 *	  a ninth of the time to polls: polling takes from writers what it gives to readers.
 */
#ifndef RT_PACE_H
#define RT_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_RATE 20			/* commits per second for which ringing is the better way */
#define PACE_BUSY 10
#define PACE_CALM 2
#define PACE_FULL 20
#define PACE_EMPTY_POLLS 3
#define PACE_SHARE 4			/* of the time between commits */
#define PACE_DENSE 2			/* polls that fit between two commits: fewer, and they come in numbers */
#define PACE_REST 8				/* times what a poll takes, where the server waits and commits are dense */
#define PACE_REST_MAX_US 4000
#define PACE_LEAST_US 100
#define PACE_PAUSE_US 2000
#define PACE_IDLE_US 25000

struct pace
{
	int64_t		min_us;			/* as configured */
	int64_t		least_us;		/* the least pause now */
	int64_t		pause_us;
	int64_t		gap_us;			/* between commits, lately */
	int64_t		found_us;		/* when a poll last found some */
	unsigned	empties;		/* polls without rows since the last with some */
	bool		has_rung;		/* since the last poll ended */
	double		level;			/* of the bucket, at leaked_us */
	int64_t		leaked_us;
};

void		pace_init(struct pace *pace, unsigned min_ms, int64_t now_us);

/* A bell rang; a poll ended that took so long and found so many commits. */
void		pace_rung(struct pace *pace);
void		pace_polled(struct pace *pace, int64_t now_us, int64_t took_us, unsigned commits);

/* Whether to disarm; whether to arm. */
bool		pace_is_busy(const struct pace *pace);
bool		pace_is_calm(const struct pace *pace);

/* Microseconds until the next poll when not armed; at least, whoever asks for one; and where the server waits. */
int64_t		pace_pause(const struct pace *pace);
int64_t		pace_least(const struct pace *pace);
int64_t		pace_rest(const struct pace *pace);

#endif
