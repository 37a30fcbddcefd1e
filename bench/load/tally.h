/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * tally.h
 *	  What arrived, and how late: counts and a histogram of latencies. Knows no sockets.
 *
 * An event is recognized by a mark in its payload, "~T" and 16 digits, wherever it stands and however the
 * bytes are cut: the microsecond (CLOCK_REALTIME) at which it was sent, or with a table of times its
 * number in that table, which another process fills in (publish.c).
 */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_DIGITS 16

/* Where in a mark a stream of bytes is. Zeroed at first. */
struct mark
{
	uint64_t	value;
	unsigned char at;			/* 0: outside; 1: after "~"; 2 and more: after "~T" and at - 2 digits */
};

/* Microseconds since 1970. */
int64_t		clock_us(void);

struct tally;

/* times: a file of int64_t, shared with the publisher; NULL: marks are times themselves. */
struct tally *tally_new(const char *times);

/* Looks for marks in the next bytes of a stream, read at a time; returns how many ended. */
unsigned	tally_scan(struct tally *tally, struct mark *mark, const char *bytes, size_t len, int64_t now);

/* Events since the last print. */
uint64_t	tally_events(const struct tally *tally);

/* Prints events and latencies as members of a JSON object, without braces, and forgets them. */
void		tally_print(struct tally *tally);

#endif
