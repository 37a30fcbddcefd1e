/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * tally.c
 *	  See tally.h.
 *
 * The histogram has buckets of a 1/512 of their value: microseconds are exact up to 1,024.
 */
#include "tally.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define SUB_BITS 9				/* 512 buckets for each power of two */
#define SUB (1u << SUB_BITS)
#define BUCKETS (SUB * 32)		/* up to 2^39 us */

/* An arrival whose time of sending is looked up at the end. */
struct arrival
{
	uint64_t	number;
	int64_t		at;
};

struct tally
{
	uint64_t	events;
	uint64_t	early;			/* arrived before they were sent: COMMIT had not returned */
	uint64_t	buckets[BUCKETS];
	int64_t		most;
	const int64_t *times;
	size_t		ntimes;
	struct arrival *arrivals;
	size_t		narrivals;
	size_t		room;
};

int64_t
clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

struct tally *
tally_new(const char *times)
{
	struct tally *tally = calloc(1, sizeof(*tally));
	struct stat status;
	void	   *map;
	int			fd;

	if (tally == NULL)
		abort();
	if (times == NULL)
		return tally;
	fd = open(times, O_RDONLY);
	if (fd < 0 || fstat(fd, &status) < 0)
	{
		perror(times);
		exit(1);
	}
	map = mmap(NULL, (size_t) status.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
	{
		perror(times);
		exit(1);
	}
	tally->times = map;
	tally->ntimes = (size_t) status.st_size / sizeof(int64_t);
	return tally;
}

/* The bucket of a latency. */
static unsigned
bucket_of(uint64_t us)
{
	unsigned	shift = 0;

	while ((us >> shift) >= 2 * SUB)
		shift++;
	if (us < SUB)
		return (unsigned) us;
	return (shift + 1) * SUB + (unsigned) ((us >> shift) - SUB);
}

/* The latency in the middle of a bucket. */
static double
middle_of(unsigned bucket)
{
	unsigned	shift;

	if (bucket < 2 * SUB)
		return bucket;
	shift = bucket / SUB - 1;
	return ((double) (bucket % SUB + SUB) + 0.5) * (double) (UINT64_C(1) << shift);
}

static void
add_latency(struct tally *tally, int64_t us)
{
	unsigned	bucket;

	if (us < 0)
	{
		tally->early++;
		us = 0;
	}
	if (us > tally->most)
		tally->most = us;
	bucket = bucket_of((uint64_t) us);
	tally->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void
add_event(struct tally *tally, uint64_t value, int64_t now)
{
	tally->events++;
	if (tally->times == NULL)
	{
		add_latency(tally, now - (int64_t) value);
		return;
	}
	if (tally->narrivals == tally->room)
	{
		tally->room = tally->room ? tally->room * 2 : 65536;
		tally->arrivals = realloc(tally->arrivals, sizeof(struct arrival) * tally->room);
		if (tally->arrivals == NULL)
			abort();
	}
	tally->arrivals[tally->narrivals].number = value;
	tally->arrivals[tally->narrivals++].at = now;
}

unsigned
tally_scan(struct tally *tally, struct mark *mark, const char *bytes, size_t len, int64_t now)
{
	const char *end = bytes + len;
	unsigned	found = 0;

	while (bytes < end)
	{
		if (mark->at == 0)
		{
			bytes = memchr(bytes, '~', (size_t) (end - bytes));
			if (bytes == NULL)
				break;
			bytes++;
			mark->at = 1;
			mark->value = 0;
			continue;
		}
		if (mark->at == 1 ? *bytes != 'T' : *bytes < '0' || *bytes > '9')
		{
			mark->at = 0;		/* and look at this byte again */
			continue;
		}
		if (mark->at > 1)
			mark->value = mark->value * 10 + (unsigned char) (*bytes - '0');
		bytes++;
		if (mark->at++ == 1 + MARK_DIGITS)
		{
			add_event(tally, mark->value, now);
			mark->at = 0;
			found++;
		}
	}
	return found;
}

uint64_t
tally_events(const struct tally *tally)
{
	return tally->events;
}

/* Looks up when what arrived was sent. */
static void
resolve(struct tally *tally)
{
	for (size_t i = 0; i < tally->narrivals; i++)
	{
		const struct arrival *arrival = &tally->arrivals[i];

		if (arrival->number < tally->ntimes && tally->times[arrival->number] > 0)
			add_latency(tally, arrival->at - tally->times[arrival->number]);
	}
	tally->narrivals = 0;
}

/* The latency that a share of all is not above. */
static double
quantile(const struct tally *tally, uint64_t n, double share)
{
	uint64_t	seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
	{
		seen += tally->buckets[i];
		if (n > 0 && (double) seen >= share * (double) n)
			return middle_of(i);
	}
	return 0;
}

void
tally_print(struct tally *tally)
{
	uint64_t	n = 0;

	resolve(tally);
	for (unsigned i = 0; i < BUCKETS; i++)
		n += tally->buckets[i];
	printf("\"events\":%" PRIu64 ",\"early\":%" PRIu64 ",\"latency_us\":"
		   "{\"n\":%" PRIu64 ",\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f,\"p99_9\":%.0f,\"max\":%" PRId64 "}",
		   tally->events, tally->early, n, quantile(tally, n, 0.5), quantile(tally, n, 0.9),
		   quantile(tally, n, 0.99), quantile(tally, n, 0.999), tally->most);
	memset(tally->buckets, 0, sizeof(tally->buckets));
	tally->events = tally->early = 0;
	tally->most = 0;
}
