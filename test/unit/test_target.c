/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_target.c
 *	  What a command-line subscriber is told: events, URLs, addresses; and how events look.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eventline.h"
#include "memory.h"
#include "target.h"

static void
test_events(void **state)
{
	static const struct
	{
		const char *text;
		const char *message;	/* NULL: refused */
	}			cases[] = {
		{"orders.order", "{\"op\":\"subscribe\",\"ref\":\"tail\",\"feature\":\"orders\",\"entity\":\"order\",\"action\":\"*\"}"},
		{"*", "{\"op\":\"subscribe\",\"ref\":\"tail\",\"feature\":\"*\",\"entity\":\"*\",\"action\":\"*\"}"},
		{"orders", "{\"op\":\"subscribe\",\"ref\":\"tail\",\"feature\":\"orders\",\"entity\":\"*\",\"action\":\"*\"}"},
		{"a.*.deleted", "{\"op\":\"subscribe\",\"ref\":\"tail\",\"feature\":\"a\",\"entity\":\"*\",\"action\":\"deleted\"}"},
		{"a\".b", "{\"op\":\"subscribe\",\"ref\":\"tail\",\"feature\":\"a\\\"\",\"entity\":\"b\",\"action\":\"*\"}"},
		{"", NULL},
		{"a.", NULL},
		{".a", NULL},
		{"a..b", NULL},
		{"a.b.", NULL},
		{"a.b.c.d", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct target target = {0};
		struct buffer buffer;
		char	   *text;

		assert_int_equal(target_parse_events(&target, cases[i].text) == RT_OK, cases[i].message != NULL);
		if (cases[i].message == NULL)
			continue;
		buffer_init(&buffer);
		target_put_subscribe(&buffer, &target, NULL);
		text = buffer_take(&buffer);
		assert_string_equal(text, cases[i].message);
		memory_free(text);
		buffer_release(&buffer);
	}
}

/* What must come of an address. */
struct address_case
{
	const char *text;
	const char *address;		/* NULL: refused */
	const char *host;
	unsigned	port;
	const char *path;
	bool		has_tls;
};

static void
check_address(const struct target *target, int result, const struct address_case *c)
{
	if ((result == RT_OK) != (c->address != NULL))
		fail_msg("%s: %d", c->text, result);
	if (c->address == NULL)
		return;
	assert_string_equal(target->address, c->address);
	assert_string_equal(target->host, c->host);
	assert_int_equal(target->port, c->port);
	assert_string_equal(target->path, c->path);
	assert_int_equal(target->has_tls, c->has_tls);
}

static void
test_urls(void **state)
{
	static const struct address_case cases[] = {
		{"ws://a.example:8090", "a.example", "a.example", 8090, "/v1/ws", false},
		{"WSS://a.example", "a.example", "a.example", 443, "/v1/ws", true},
		{"http://127.0.0.1/", "127.0.0.1", "127.0.0.1", 80, "/v1/ws", false},
		{"https://a/live/v1/ws", "a", "a", 443, "/live/v1/ws", true},
		{"ws://[::1]:8090", "::1", "[::1]", 8090, "/v1/ws", false},
		{"ws://[::1]", "::1", "[::1]", 80, "/v1/ws", false},
		{"ws://", NULL, NULL, 0, NULL, false},
		{"ws://:80", NULL, NULL, 0, NULL, false},
		{"ws://a:", NULL, NULL, 0, NULL, false},
		{"ws://a:0", NULL, NULL, 0, NULL, false},
		{"ws://a:65536", NULL, NULL, 0, NULL, false},
		{"ws://a:123456", NULL, NULL, 0, NULL, false},
		{"ws://a:8x", NULL, NULL, 0, NULL, false},
		{"ws://a:+8", NULL, NULL, 0, NULL, false},
		{"ws://[::1", NULL, NULL, 0, NULL, false},
		{"ws://[::1]x", NULL, NULL, 0, NULL, false},
		{"ws://user:secret@a", NULL, NULL, 0, NULL, false},
		{"ws://a?token=x", NULL, NULL, 0, NULL, false},
		{"ftp://a", NULL, NULL, 0, NULL, false},
		{"a:8090", NULL, NULL, 0, NULL, false},
		{"", NULL, NULL, 0, NULL, false},
	};
	char		long_url[600];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct target target = {0};

		check_address(&target, target_parse_url(&target, cases[i].text), &cases[i]);
	}
	for (size_t n = 250; n < 262; n++)
	{
		struct target target = {0};

		memset(long_url, 'a', sizeof(long_url));
		memcpy(long_url, "ws://", 5);
		long_url[5 + n] = '\0';
		assert_int_equal(target_parse_url(&target, long_url) == RT_OK, n < TARGET_PART_MAX);
	}
}

static void
test_listen(void **state)
{
	static const struct address_case cases[] = {
		{"127.0.0.1:8090", "127.0.0.1", "127.0.0.1", 8090, "/v1/ws", false},
		{"*:1", "127.0.0.1", "127.0.0.1", 1, "/v1/ws", false},
		{"0.0.0.0:65535", "127.0.0.1", "127.0.0.1", 65535, "/v1/ws", false},
		{"[::]:8090", "::1", "[::1]", 8090, "/v1/ws", false},
		{" unix:/run/x , [fe80::1]:2", "fe80::1", "[fe80::1]", 2, "/v1/ws", false},
		{"unix:/run/x, unix:/run/y", "+/run/x", "localhost", 0, "/v1/ws", false},
		{"", NULL, NULL, 0, NULL, false},
		{"localhost", NULL, NULL, 0, NULL, false},
		{"unix:", NULL, NULL, 0, NULL, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct target target = {0};

		check_address(&target, target_parse_listen(&target, cases[i].text, false), &cases[i]);
	}
}

#define META "\"meta\":{\"timestamp\":\"2026-11-22T19:00:00.123456Z\",\"tx\":\"8\",\"seq\":0,\"priority\":\"normal\"}"

static void
test_lines(void **state)
{
	static const struct
	{
		const char *event;
		const char *line;
	}			cases[] = {
		{"{\"event\":\"o.order.created\",\"feature\":\"o\",\"entity\":\"order\",\"action\":\"created\",\"id\":\"17\",\"data\":{\"id\":17}," META "}",
		"19:00:00.123 o.order created 17 {\"id\":17}\n"},
		{"{\"event\":\"o.order.updated\",\"feature\":\"o\",\"entity\":\"order\",\"action\":\"updated\",\"id\":\"17\",\"data\":{\"id\":17,\"s\":\"b\"},\"old\":{\"s\":\"a\",\"t\":1}," META "}",
		"19:00:00.123 o.order updated 17 s \"a\" -> \"b\", t 1 -> (left out)\n"},
		{"{\"event\":\"o.order.deleted\",\"feature\":\"o\",\"entity\":\"order\",\"action\":\"deleted\",\"id\":{\"a\":\"1\"},\"data\":{\"x\":\"\x07\xc2\x9b" "31m\x7f\xc2\xa0\"}," META "}",
		"19:00:00.123 o.order deleted {\"a\":\"1\"} {\"x\":\"??31m?\xc2\xa0\"}\n"},
		{"{\"event\":\"o.order.truncated\",\"feature\":\"o\",\"entity\":\"order\",\"action\":\"truncated\",\"id\":null,\"data\":null," META "}",
		"19:00:00.123 o.order truncated\n"},
		{"{\"not\":\x1b\"an event\"}", "{\"not\":?\"an event\"}\n"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct buffer buffer;
		char	   *text;

		buffer_init(&buffer);
		eventline_put(&buffer, (struct slice) {cases[i].event, strlen(cases[i].event)}, false);
		text = buffer_take(&buffer);
		assert_string_equal(text, cases[i].line);
		memory_free(text);
		buffer_release(&buffer);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
