/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * stats.c
 *	  See stats.h. Knows the C library only.
 *
 * The counters are the process's: one array of atomics. Refusals are counted by the text of their
 * code in a small table that only grows.
 */
#include "stats.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef REALTIME_VERSION
#define REALTIME_VERSION "unknown"
#endif

#define CODES_MAX 64			/* more than the protocol has; later ones count as "other" */

static _Atomic int64_t values[STAT_COUNT];

/* A code's name is set once, under the lock, before it is counted. */
static struct
{
	_Atomic(const char *) name;
	_Atomic int64_t count;
}			refusals[CODES_MAX];
static pthread_mutex_t refusals_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct
{
	const char *name;
	const char *type;
	const char *help;
}			descriptions[STAT_COUNT] = {
#define STATS_DESCRIPTION(id, name, type, help) [STAT_##id] = {name, #type, help},
	STATS_LIST(STATS_DESCRIPTION)
#undef STATS_DESCRIPTION
};

void
stats_add(enum stats_item stat, int64_t n)
{
	atomic_fetch_add_explicit(&values[stat], n, memory_order_relaxed);
}

void
stats_set(enum stats_item stat, int64_t value)
{
	atomic_store_explicit(&values[stat], value, memory_order_relaxed);
}

int64_t
stats_get(enum stats_item stat)
{
	return atomic_load_explicit(&values[stat], memory_order_relaxed);
}

/* The place of a code, or the first free one; the last place is for all that find none. */
static unsigned
find_code(const char *code)
{
	unsigned	i;

	for (i = 0; i < CODES_MAX - 1; i++)
	{
		const char *name = atomic_load(&refusals[i].name);

		if (name == NULL || strcmp(name, code) == 0)
			break;
	}
	return i;
}

void
stats_refused(const char *code)
{
	unsigned	i = find_code(code);

	if (atomic_load(&refusals[i].name) == NULL)
	{
		pthread_mutex_lock(&refusals_lock);
		i = find_code(code);
		if (atomic_load(&refusals[i].name) == NULL)
			atomic_store(&refusals[i].name, i == CODES_MAX - 1 ? "other" : code);
		pthread_mutex_unlock(&refusals_lock);
	}
	atomic_fetch_add_explicit(&refusals[i].count, 1, memory_order_relaxed);
}

/* One metric without labels, the value already as text. */
static void
print_metric(FILE *out, const char *name, const char *type, const char *help, const char *value)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, help, name, type, name, value);
}

/* Bytes of memory that are resident, as the kernel counts them; 0 when it does not say. */
static long long
resident_bytes(void)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	long long	size;
	long long	resident = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lld %lld", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

/*
 * Bytes that are allocated; 0 when the C library does not say. What grows here without end is a leak; resident memory alone
 * also has what was freed and not given back.
 */
static long long
allocated_bytes(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
	struct mallinfo2 info = mallinfo2();

	return (long long) info.uordblks + (long long) info.hblkhd;
#else
	return 0;
#endif
}

/* Prometheus wants base units: what is counted in microseconds is printed in seconds. */
static void
format_value(enum stats_item stat, char *text, size_t size)
{
	if (stat == STAT_SOURCE_LAG_US)
		snprintf(text, size, "%.6f", (double) stats_get(stat) / 1e6);
	else
		snprintf(text, size, "%lld", (long long) stats_get(stat));
}

char *
stats_print(size_t *len)
{
	char	   *text = NULL;
	FILE	   *out = open_memstream(&text, len);
	char		name[128];
	char		value[64];

	if (out == NULL)
		abort();
	for (unsigned i = 0; i < STAT_COUNT; i++)
	{
		snprintf(name, sizeof(name), "realtime_%s", descriptions[i].name);
		format_value((enum stats_item) i, value, sizeof(value));
		print_metric(out, name, descriptions[i].type, descriptions[i].help, value);
	}
	fputs("# HELP realtime_refusals_total Refusals and errors told to peers, by code\n"
		  "# TYPE realtime_refusals_total counter\n", out);
	for (unsigned i = 0; i < CODES_MAX; i++)
	{
		const char *code = atomic_load(&refusals[i].name);

		if (code != NULL)
			fprintf(out, "realtime_refusals_total{code=\"%s\"} %lld\n", code,
					(long long) atomic_load(&refusals[i].count));
	}
	fputs("# HELP realtime_build_info The running version\n# TYPE realtime_build_info gauge\n"
		  "realtime_build_info{version=\"" REALTIME_VERSION "\"} 1\n", out);
	snprintf(value, sizeof(value), "%lld", resident_bytes());
	print_metric(out, "process_resident_memory_bytes", "gauge", "Resident memory", value);
	snprintf(value, sizeof(value), "%lld", allocated_bytes());
	print_metric(out, "realtime_allocated_bytes", "gauge", "Allocated memory, in all threads", value);
	if (fclose(out) != 0)
		abort();				/* out of memory */
	return text;
}
