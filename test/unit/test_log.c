/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_log.c
 *	  Log lines: fields, escapes, whole lines of several threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jsondoc.h"
#include "log.h"

static FILE *caught;			/* what stderr is meanwhile */
static int	saved_stderr;

static void
catch_stderr(void)
{
	caught = tmpfile();
	assert_non_null(caught);
	saved_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(fileno(caught), STDERR_FILENO), STDERR_FILENO);
}

/* What was written since, malloc'd. */
static char *
release_stderr(void)
{
	long		len;
	char	   *text;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	fseek(caught, 0, SEEK_END);
	len = ftell(caught);
	rewind(caught);
	text = calloc(1, (size_t) len + 1);
	assert_int_equal(fread(text, 1, (size_t) len, caught), (size_t) len);
	fclose(caught);
	return text;
}

/* The line without its time, which is checked for its form. */
static const char *
after_time(const char *line)
{
	unsigned	n[7];

	assert_int_equal(sscanf(line, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ ", n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6),
					 7);
	return line + strlen("2026-11-22T19:00:00.123Z ");
}

static void
test_text(void **state)
{
	char	   *text;

	(void) state;
	log_set_format(LOG_FORMAT_TEXT);
	catch_stderr();
	log_write(LOG_LEVEL_WARNING, "all_kinds", "a=%s b=%d c=%u d=%ld e=%lu f=%lld g=%llu h=%zu i=%.3f",
			  "word", -1, 2u, -3L, 4ul, -5LL, 6ull, (size_t) 7, 8.5);
	text = release_stderr();
	assert_string_equal(after_time(text),
						"warning all_kinds a=word b=-1 c=2 d=-3 e=4 f=-5 g=6 h=7 i=8.500\n");
	free(text);

	catch_stderr();
	log_write(LOG_LEVEL_ERROR, "strings", "a=%s b=%s c=%s d=%s e=%s", "two words", "",
			  "a\"b\\c\nd\033[31m\177", "\xc3\xa4\xff\xc2\x9b", "null");
	text = release_stderr();
	assert_string_equal(after_time(text), "error strings a=\"two words\" b=\"\" "
						"c=\"a\\\"b\\\\c\\nd\\u001b[31m\\u007f\" d=\"\xc3\xa4\\ufffd\\u009b\" e=\"null\"\n");
	free(text);

	catch_stderr();
	log_write(LOG_LEVEL_ERROR, "bare", " ");
	log_write(LOG_LEVEL_ERROR, "none", NULL);
	text = release_stderr();
	assert_non_null(strstr(text, "error bare\n"));
	assert_non_null(strstr(text, "error none\n"));
	free(text);
}

/* Every line is one JSON object, whatever the strings hold. */
static void
test_json(void **state)
{
	char		any[256 * 3 + 1];
	char		long_text[5000];
	const char *volatile null = NULL;	/* the compiler would warn of it as printf's */
	char	   *text;
	struct jsondoc *doc;
	const char *value;
	double		number;

	(void) state;
	for (int i = 0; i < 256 * 3; i++)
		any[i] = (char) (i % 255 + 1);
	any[256 * 3] = '\0';
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text + 999, "\xc3\xa4", 2);	/* the limit is inside of a character */
	long_text[sizeof(long_text) - 1] = '\0';

	log_set_format(LOG_FORMAT_JSON);
	catch_stderr();
	log_write(LOG_LEVEL_INFO, "any", "any=%s long=%s null=%s number=%d big=%.3f", any, long_text, null, -7, 1e300);
	text = release_stderr();
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	doc = jsondoc_parse(text, strlen(text));
	assert_non_null(doc);
	assert_string_equal(jsondoc_string(jsondoc_member(doc, "level")), "info");
	assert_string_equal(jsondoc_string(jsondoc_member(doc, "event")), "any");
	assert_non_null(jsondoc_string(jsondoc_member(doc, "time")));
	assert_non_null(jsondoc_member(doc, "null"));
	assert_null(jsondoc_string(jsondoc_member(doc, "null")));
	assert_true(jsondoc_number(jsondoc_member(doc, "number"), &number) && number == -7);
	value = jsondoc_string(jsondoc_member(doc, "long"));
	assert_int_equal(strlen(value), 999 + 2 + 3);
	assert_string_equal(value + 999, "\xc3\xa4\xe2\x80\xa6");
	jsondoc_free(doc);
	free(text);
}

static void
test_levels(void **state)
{
	char	   *text;

	(void) state;
	log_set_format(LOG_FORMAT_TEXT);
	catch_stderr();
	for (int limit = LOG_LEVEL_ERROR; limit <= LOG_LEVEL_DEBUG; limit++)
	{
		log_set_level((enum log_level) limit);
		for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
		{
			assert_int_equal(log_is_on((enum log_level) level), level <= limit);
			log_write((enum log_level) level, "x", NULL);
		}
	}
	text = release_stderr();
	log_set_level(LOG_LEVEL_INFO);

	int			lines = 0;

	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	assert_int_equal(lines, 1 + 2 + 3 + 4);
	free(text);
}

static void *
write_lines(void *arg)
{
	char		long_text[900];

	memset(long_text, *(char *) arg, sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	for (int i = 0; i < 200; i++)
		log_write(LOG_LEVEL_INFO, "thread", "text=%s", long_text);
	return NULL;
}

/* Lines of several threads do not mix. */
static void
test_threads(void **state)
{
	char		letters[4] = "abcd";
	pthread_t	threads[4];
	char	   *text;
	int			lines = 0;

	(void) state;
	catch_stderr();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &letters[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	text = release_stderr();
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
	{
		const char *value = strstr(line, "text=");

		assert_non_null(value);
		value += 5;
		assert_int_equal(strlen(value), 899);
		assert_int_equal(strspn(value, (char[]) {*value, '\0'}), 899);
		lines++;
	}
	assert_int_equal(lines, 800);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
