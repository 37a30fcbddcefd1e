/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_stats.c
 *	  Counters of several threads, and what Prometheus reads of them.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stats.h"

static void *
count(void *arg)
{
	static const char *const codes[] = {"forbidden", "expired", "unauthorized"};

	(void) arg;
	for (int i = 0; i < 3000; i++)
	{
		stats_add(STAT_EVENTS_IN, 2);
		stats_add(STAT_SESSIONS, i % 2 == 0 ? 1 : -1);
		stats_refused(codes[i % 3]);
	}
	return NULL;
}

/* Fails unless the text has the line. */
static void
check_line(const char *text, const char *line)
{
	char		whole[200];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (strstr(text, whole) == NULL)
		fail_msg("no line %s in\n%s", line, text);
}

static void
test_threads(void **state)
{
	pthread_t	threads[4];
	size_t		len;
	char	   *text;

	(void) state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stats_get(STAT_EVENTS_IN), 24000);
	assert_int_equal(stats_get(STAT_SESSIONS), 0);
	text = stats_print(&len);
	assert_int_equal(len, strlen(text));
	check_line(text, "realtime_events_in_total 24000");
	check_line(text, "realtime_refusals_total{code=\"forbidden\"} 4000");
	check_line(text, "realtime_refusals_total{code=\"expired\"} 4000");
	check_line(text, "realtime_refusals_total{code=\"unauthorized\"} 4000");
	free(text);
}

/*
 * The form of the text: each metric has HELP and TYPE once and right before it, names are unique and
 * valid, counters end in _total, the last line ends.
 */
static void
test_form(void **state)
{
	size_t		len;
	char	   *text;
	char		name[100] = "";
	char		type[20] = "";
	char		last[100] = "";
	char		value[100];
	unsigned	metrics = 0;

	(void) state;
	stats_set(STAT_SOURCE_LAG_US, 1500000);
	stats_set(STAT_QUEUE_BYTES, 5000000000);
	text = stats_print(&len);
	check_line(text, "realtime_source_lag_seconds 1.500000");
	check_line(text, "realtime_queue_bytes 5000000000");
	assert_int_equal(text[len - 1], '\n');
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
	{
		if (sscanf(line, "# HELP %99s %99s", name, value) == 2)
		{
			assert_string_not_equal(name, last);
			assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		}
		else if (strncmp(line, "# TYPE", 6) == 0)
		{
			char		again[100];

			assert_int_equal(sscanf(line, "# TYPE %99s %19s", again, type), 2);
			assert_string_equal(again, name);
			assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0);
			assert_int_equal(strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0,
							 strcmp(type, "counter") == 0);
			metrics++;
		}
		else
		{
			assert_int_equal(strncmp(line, name, strlen(name)), 0);
			assert_true(line[strlen(name)] == ' ' || line[strlen(name)] == '{');
			strcpy(last, name);
		}
	}
	assert_int_equal(metrics, STAT_COUNT + 4);
	free(text);
}

/* More codes than there is room for are counted together. */
static void
test_many_codes(void **state)
{
	static char codes[100][20];
	size_t		len;
	char	   *text;
	long		total = 0;
	const char *other;

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		snprintf(codes[i], sizeof(codes[i]), "code_%d", i);
		stats_refused(codes[i]);
		stats_refused(codes[i]);
	}
	text = stats_print(&len);
	other = strstr(text, "{code=\"other\"} ");
	assert_non_null(other);
	for (const char *p = text; (p = strstr(p, "{code=\"code_")) != NULL; p++)
		total += strtol(strchr(p, '}') + 1, NULL, 10);
	assert_int_equal(total + strtol(other + 15, NULL, 10), 200);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_many_codes),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
