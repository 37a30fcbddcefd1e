/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * stats.h
 *	  Counters and gauges of the process, printed for Prometheus. Thread-safe; relaxed atomics.
 */
#ifndef RT_STATS_H
#define RT_STATS_H

#include <stdint.h>
#include <stdio.h>

/*
 * One line each: STATS(name in C, name in the text, type, help). What is counted in microseconds (_US)
 * is printed in seconds.
 */
#define STATS_LIST(STATS) \
	STATS(SESSIONS, "sessions", gauge, "Sessions open now") \
	STATS(SESSIONS_TOTAL, "sessions_total", counter, "Sessions opened") \
	STATS(SUBSCRIPTIONS, "subscriptions", gauge, "Subscriptions open now") \
	STATS(VIEWS, "views", gauge, "Distinct views open now, per worker") \
	STATS(COMMITS_IN, "commits_in_total", counter, "Transactions read from the source") \
	STATS(EVENTS_IN, "events_in_total", counter, "Events read from the source") \
	STATS(BYTES_IN, "bytes_in_total", counter, "Bytes of events read from the source") \
	STATS(FRAMES_BUILT, "frames_built_total", counter, "Frames built, each shared by a view's sessions") \
	STATS(FRAMES_OUT, "frames_out_total", counter, "Frames given to peers") \
	STATS(BYTES_OUT, "bytes_out_total", counter, "Bytes given to peers") \
	STATS(EVENTS_OUT, "events_out_total", counter, "Events given to peers") \
	STATS(QUEUE_BYTES, "queue_bytes", gauge, "Bytes waiting in sessions' queues") \
	STATS(SLOW_MERGES, "slow_merges_total", counter, "Queues whose updates were merged") \
	STATS(SLOW_GAPS, "slow_gaps_total", counter, "Queues dropped with a gap") \
	STATS(SLOW_CLOSES, "slow_closes_total", counter, "Sessions closed for being too slow (4008)") \
	STATS(WINDOWS, "windows_total", counter, "Windows of sessions that ended with something held") \
	STATS(COALESCED, "coalesced_events_total", counter, "Events merged away by windows, per session") \
	STATS(GAPS, "gaps_total", counter, "Gap frames sent") \
	STATS(SNAPSHOTS, "snapshots_total", counter, "Snapshots sent") \
	STATS(SNAPSHOT_ROWS, "snapshot_rows_total", counter, "Rows in snapshots sent") \
	STATS(SNAPSHOT_BYTES, "snapshot_bytes", gauge, "Bytes of snapshots in memory") \
	STATS(RESUMES_CACHE, "resumes_cache_total", counter, "Resumptions served from memory") \
	STATS(RESUMES_LOG, "resumes_log_total", counter, "Resumptions served from the commit log") \
	STATS(POLICY_ROUNDS, "policy_rounds_total", counter, "Times that PostgreSQL was asked to evaluate policies") \
	STATS(POLICY_IMAGES, "policy_images_total", counter, "Row images that it was asked about") \
	STATS(POLLS, "polls_total", counter, "Reads of the commit log") \
	STATS(POLLS_EMPTY, "polls_empty_total", counter, "Reads that found nothing") \
	STATS(DOORBELLS, "doorbells_total", counter, "Notifications received") \
	STATS(ARMED, "armed", gauge, "Whether the doorbell is armed") \
	STATS(SOURCE_UP, "source_up", gauge, "Whether the source is connected and reading") \
	STATS(SOURCE_RECONNECTS, "source_reconnects_total", counter, "Times the source's connection was made again") \
	STATS(SOURCE_LAG_US, "source_lag_seconds", gauge, "Age of the newest commit when it was delivered") \
	STATS(SOURCE_BEHIND, "source_lag_transactions", gauge, "Transactions read and not yet delivered by all workers") \
	STATS(DB_UP, "database_up", gauge, "Connections of the pool that work") \
	STATS(DB_JOBS, "database_jobs_total", counter, "Jobs run by the pool") \
	STATS(DB_QUEUE, "database_queue", gauge, "Jobs waiting for a connection") \
	STATS(DB_FAILURES, "database_failures_total", counter, "Jobs that failed")

enum stats_item
{
#define STATS_ENUM(id, name, type, help) STAT_##id,
	STATS_LIST(STATS_ENUM)
#undef STATS_ENUM
	STAT_COUNT
};

void		stats_add(enum stats_item stat, int64_t n);
void		stats_set(enum stats_item stat, int64_t value);
int64_t		stats_get(enum stats_item stat);

/* Counts a refusal, or an error told to a peer, by its code (protocol.h, a short static text). */
void		stats_refused(const char *code);

/* All of them as text/plain; version=0.0.4, names starting realtime_. malloc'd. */
char	   *stats_print(size_t *len);

#endif
