/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_options.c
 *	  Options from file, environment and flags: values, order, messages, reload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

/* What reading said, and the options it left. */
struct outcome
{
	struct options options;
	int			result;
	char	   *messages;
	size_t		len;
};

/* Reads flags, which end with NULL, after the program's name. */
static struct outcome
read_flags(char **flags)
{
	struct outcome outcome;
	FILE	   *err = open_memstream(&outcome.messages, &outcome.len);
	char	   *argv[20] = {"realtime-notifier"};
	int			argc = 1;

	while (*flags != NULL)
		argv[argc++] = *flags++;
	outcome.result = options_read(&outcome.options, argc, argv, err);
	fclose(err);
	return outcome;
}

#define READ(...) read_flags((char *[]) {__VA_ARGS__, NULL})

/* Reads the text of a file. */
static struct outcome
read_text(const char *text, size_t len)
{
	struct outcome outcome;
	FILE	   *err = open_memstream(&outcome.messages, &outcome.len);

	outcome.result = options_read_text(&outcome.options, text, len, "x.ini", err);
	fclose(err);
	return outcome;
}

static void
release(struct outcome *outcome)
{
	options_release(&outcome->options);
	free(outcome->messages);
}

/* Fails unless a file is refused with a message that begins so. */
static void
check_bad_text(const char *text, const char *message)
{
	struct outcome outcome = read_text(text, strlen(text));

	if (outcome.result != RT_MALFORMED || strncmp(outcome.messages, message, strlen(message)) != 0)
		fail_msg("%s: %d %s", text, outcome.result, outcome.messages);
	release(&outcome);
}

static void
test_defaults(void **state)
{
	struct outcome outcome = read_flags((char *[]) {NULL});
	const struct options *o = &outcome.options;

	(void) state;
	assert_int_equal(outcome.result, RT_OK);
	assert_string_equal(outcome.messages, "");
	assert_string_equal(o->database, "");
	assert_string_equal(o->listen, "127.0.0.1:8090");
	assert_string_equal(o->jwt_role_claim, "role");
	assert_null(o->anon_role);
	assert_null(o->static_dir);
	assert_null(o->tls_certificate);
	assert_int_equal(o->database_pool, 4);
	assert_int_equal(o->statement_timeout_ms, 30000);
	assert_int_equal(o->poll_min_ms, 0);
	assert_int_equal(o->poll_max_ms, 1000);
	assert_int_equal(o->workers, 0);
	assert_int_equal(o->jwks_refresh_s, 300);
	assert_int_equal(o->jwt_leeway_s, 5);
	assert_int_equal(o->max_connections, 10000);
	assert_int_equal(o->max_message, 65536);
	assert_int_equal(o->max_queue, 4 * 1024 * 1024);
	assert_int_equal(o->total_memory, 1024 * 1024 * 1024);
	assert_int_equal(o->heartbeat_s, 25);
	assert_int_equal(o->log_level, LOG_LEVEL_INFO);
	assert_int_equal(o->log_format, LOG_FORMAT_TEXT);
	assert_false(o->has_proxy);
	assert_false(o->is_help || o->is_version || o->is_check);
	release(&outcome);
}

static void
test_values(void **state)
{
	struct outcome outcome = READ("--max-queue", "64kB", "--max-message=1MB", "--total-memory", "2 GB",
								  "--history-cache", "12345", "--poll-max", "2s", "--poll-min=1500",
								  "--heartbeat", "5min", "--jwks-refresh", "1d", "--trust-forwarded-for",
								  "--log-level", "debug", "--log-format=json", "--jwt-audience=");
	const struct options *o = &outcome.options;

	(void) state;
	assert_string_equal(outcome.messages, "");
	assert_int_equal(outcome.result, RT_OK);
	assert_int_equal(o->max_queue, 65536);
	assert_int_equal(o->max_message, 1024 * 1024);
	assert_int_equal(o->total_memory, 2ULL * 1024 * 1024 * 1024);
	assert_int_equal(o->history_cache, 12345);
	assert_int_equal(o->poll_max_ms, 2000);
	assert_int_equal(o->poll_min_ms, 1500);
	assert_int_equal(o->heartbeat_s, 300);
	assert_int_equal(o->jwks_refresh_s, 86400);
	assert_true(o->has_proxy);
	assert_int_equal(o->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(o->log_format, LOG_FORMAT_JSON);
	assert_null(o->jwt_audience);
	release(&outcome);

	outcome = READ("--trust-forwarded-for=off", "--check", "--tail", "*");
	assert_false(outcome.options.has_proxy);
	assert_true(outcome.options.is_check);
	assert_string_equal(outcome.options.tail, "*");
	release(&outcome);
}

static void
test_bad_values(void **state)
{
	static const struct
	{
		char	   *flag;
		const char *message;
	}			cases[] = {
		{"--workers=x", "--workers: \"x\" is no good: expected a whole number from 0 to 256\n"},
		{"--workers=257", "--workers: \"257\" is no good"},
		{"--workers=-1", "--workers: \"-1\" is no good"},
		{"--workers=+1", "--workers: "},
		{"--workers= 1", "--workers: "},
		{"--workers=1s", "--workers: "},
		{"--workers=", "--workers: "},
		{"--workers=0x1", "--workers: "},
		{"--max-queue=1", "--max-queue: \"1\" is no good: expected a whole number from 16kB to 1GB, in B, kB, MB, GB\n"},
		{"--max-queue=1TB", "--max-queue: "},
		{"--max-queue=1kb", "--max-queue: "},
		{"--max-queue=99999999999999999999", "--max-queue: "},
		{"--max-queue=18446744073709551615GB", "--max-queue: "},
		{"--heartbeat=1.5", "--heartbeat: "},
		{"--heartbeat=100ms", "--heartbeat: "},
		{"--log-level=loud", "--log-level: \"loud\" is no good: expected error or warning or info or debug\n"},
		{"--log-level=Info", "--log-level: "},
		{"--trust-forwarded-for=yes", "--trust-forwarded-for: \"yes\" is no good: expected off or on\n"},
		{"--listen=", "--listen: \"\" is no good: expected text that is not empty\n"},
		{"--database", "--database: needs a value: CONNINFO\n"},
		{"--tls-key=x", "tls-certificate and tls-key: "},
		{"--poll-min=2s", "poll-min: "},
		{"--coalesce-window=orders", "coalesce-window: "},
		{"--coalesce-window=a.b=61s", "coalesce-window: "},
		{"--nothing", "there is no option \"--nothing\"; --help lists them\n"},
		{"--max", "there is no option \"--max\""},
		{"host=db", "there is no option \"host\""},
		{"password=secret", "there is no option \"password\";"},
		{"-x", "there is no option \"-x\""},
		{"--", "there is no option \"--\""},
		{"", "there is no option \"\""},
		{"--config=/nonexistent/x.ini", "--config: cannot open /nonexistent/x.ini: No such file"},
		{"--config=/", "--config: cannot read /: "},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct outcome outcome = READ(cases[i].flag);

		if (outcome.result != RT_MALFORMED
			|| strncmp(outcome.messages, cases[i].message, strlen(cases[i].message)) != 0
			|| strchr(outcome.messages, '\n') != outcome.messages + outcome.len - 1)
			fail_msg("%s: %d %s", cases[i].flag, outcome.result, outcome.messages);
		assert_null(strstr(outcome.messages, "secret"));
		release(&outcome);
	}
}

static void
test_file(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf# a comment\n"
		"database = host=/run/x port=5432\r\n"
		"  options='-c a=b'\n"
		"\n"
		"[limits]\n"
		"max-queue=1MB ; after a blank\n"
		"anon-role : web;anon\n"
		"allowed-origins = https://a.example,\n"
		"    https://b.example,\n"
		"\t; between\n"
		"    https://c.example\n"
		"[other]\n"
		"  jwt-audience =\n"
		"log-level = debug";
	struct outcome outcome = read_text(text, strlen(text));
	const struct options *o = &outcome.options;

	(void) state;
	assert_string_equal(outcome.messages, "");
	assert_int_equal(outcome.result, RT_OK);
	assert_string_equal(o->database, "host=/run/x port=5432 options='-c a=b'");
	assert_int_equal(o->max_queue, 1024 * 1024);
	assert_string_equal(o->anon_role, "web;anon");
	assert_string_equal(o->allowed_origins, "https://a.example, https://b.example, https://c.example");
	assert_null(o->jwt_audience);
	assert_int_equal(o->log_level, LOG_LEVEL_DEBUG);
	release(&outcome);
}

static void
test_bad_files(void **state)
{
	char		text[400];

	(void) state;
	check_bad_text("workers = 2\nnothing = 1\n", "x.ini:2: there is no option \"nothing\"; --help lists them\n");
	check_bad_text("workers = x\n", "x.ini:1: workers: \"x\" is no good: ");
	check_bad_text("\n\nworkers = 1\n# c\nworkers = 2\n", "x.ini:5: workers is given twice\n");
	check_bad_text("workers = 1\n[a]\n workers = 2\n", "x.ini:3: workers is given twice\n");
	check_bad_text("workers = 1\n  2\n", "x.ini:1: workers: \"1 2\" is no good");
	check_bad_text("workers\n", "x.ini:1: the line is not \"name = value\"\n");
	check_bad_text("workers = 1\n[limits\n", "x.ini:2: the line is not \"name = value\"\n");
	check_bad_text("= 1\n", "x.ini:1: there is no name before the =\n");
	check_bad_text("help = on\n", "x.ini:1: there is no option \"help\" in a file: it is a flag\n");
	check_bad_text("tail = *\n", "x.ini:1: there is no option \"tail\" in a file: it is a flag\n");
	check_bad_text("max_queue = 1MB\n", "x.ini:1: there is no option \"max_queue\"");
	check_bad_text("--workers = 1\n", "x.ini:1: there is no option \"--workers\"");

	memset(text, 'x', sizeof(text));
	memcpy(text, "database = ", 11);
	strcpy(text + 300, "\n");
	check_bad_text(text, "x.ini:1: the line is too long: continue it on the next one, indented\n");

	struct outcome outcome = read_text("workers = 1\nlisten = a\0b\n", 25);

	assert_int_equal(outcome.result, RT_MALFORMED);
	assert_string_equal(outcome.messages, "x.ini:2: the line holds a null byte\n");
	release(&outcome);
}

/* Later ones win: file, environment, flags. */
static void
test_order(void **state)
{
	char		name[] = "/tmp/test_options.XXXXXX";
	char		config[64];
	int			fd = mkstemp(name);
	const char *text = "workers = 2\nheartbeat = 20s\ndrain = 1s\n";
	struct outcome outcome;

	(void) state;
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	close(fd);
	snprintf(config, sizeof(config), "--config=%s", name);
	setenv("REALTIME_HEARTBEAT", "30s", 1);
	setenv("REALTIME_WORKERS", "3", 1);
	setenv("REALTIME_HELP", "on", 1);	/* no option there */
	setenv("REALTIME_PORT", "tcp://10.0.0.1:80", 1);	/* as container platforms set it */
	outcome = READ(config, "--workers=4");
	assert_string_equal(outcome.messages, "");
	assert_int_equal(outcome.options.workers, 4);
	assert_int_equal(outcome.options.heartbeat_s, 30);
	assert_int_equal(outcome.options.drain_s, 1);
	assert_false(outcome.options.is_help);
	assert_string_equal(outcome.options.config, name);
	release(&outcome);

	setenv("REALTIME_WORKERS", "many", 1);
	outcome = READ(config);
	assert_int_equal(outcome.result, RT_MALFORMED);
	assert_int_equal(strncmp(outcome.messages, "REALTIME_WORKERS: \"many\" is no good: ", 37), 0);
	release(&outcome);

	/* whoever asks for help gets it */
	outcome = READ(config, "--help");
	assert_int_equal(outcome.result, RT_OK);
	assert_true(outcome.options.is_help);
	release(&outcome);
	unsetenv("REALTIME_HEARTBEAT");
	unsetenv("REALTIME_WORKERS");
	unsetenv("REALTIME_HELP");
	unsetenv("REALTIME_PORT");
	unlink(name);
}

/* At a reload, options that are fixed keep their running values, and are named. */
static void
test_keep_fixed(void **state)
{
	struct outcome running = READ("--workers=2", "--heartbeat=20s", "--static=/a", "--anon-role=a");
	struct outcome next = READ("--workers=3", "--heartbeat=30s", "--listen=[::1]:1", "--anon-role=b");
	char		names[100];
	char		few[8];

	(void) state;
	assert_int_equal(options_keep_fixed(&next.options, &running.options, names, sizeof(names)), 3);
	assert_string_equal(names, "listen, workers, static");
	assert_int_equal(next.options.workers, 2);
	assert_string_equal(next.options.listen, "127.0.0.1:8090");
	assert_string_equal(next.options.static_dir, "/a");
	assert_int_equal(next.options.heartbeat_s, 30);
	assert_string_equal(next.options.anon_role, "b");
	assert_int_equal(options_keep_fixed(&next.options, &running.options, names, sizeof(names)), 0);
	assert_string_equal(names, "");
	release(&next);

	next = READ("--workers=3", "--listen=[::1]:1");
	assert_int_equal(options_keep_fixed(&next.options, &running.options, few, sizeof(few)), 3);
	assert_string_equal(few, "listen,");
	release(&next);
	release(&running);
}

/* A password is never printed; what is printed can be read again. */
static void
test_print(void **state)
{
	struct outcome first = READ("--database=host=db password=secret", "--max-queue=1MB", "--anon-role=web");
	struct outcome again;
	char	   *text;
	size_t		len;
	FILE	   *out = open_memstream(&text, &len);

	(void) state;
	options_print(&first.options, out);
	fclose(out);
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(text, "# database = (not shown)\n"));
	assert_non_null(strstr(text, "max-queue = 1MB\n"));
	again = read_text(text, len);
	assert_int_equal(again.result, RT_OK);
	assert_int_equal(again.options.max_queue, 1024 * 1024);
	assert_string_equal(again.options.anon_role, "web");
	release(&again);
	release(&first);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_keep_fixed),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
