/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_jsonscan.c
 *	  Finding members in JSON text, and what malformed text does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jsonscan.h"

/* A slice of a C string, in a heap block of exactly its length: reading past it is caught. */
static struct slice
exact(const char *text)
{
	size_t		len = strlen(text);
	char	   *copy = malloc(len ? len : 1);

	memcpy(copy, text, len);
	return (struct slice) {copy, len};
}

static void
drop(struct slice s)
{
	free((char *) (uintptr_t) s.at);
}

/* Reads all members: how many, or an error. */
static int
count_members(const char *text, char open)
{
	struct slice s = exact(text);
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	int			n = 0;
	int			result = jsonscan_open(&scan, s, open);

	while (result >= 0 && (result = jsonscan_next(&scan, &key, &value)) > 0)
		n++;
	drop(s);
	return result < 0 ? result : n;
}

static void
test_members(void **state)
{
	(void) state;
	assert_int_equal(count_members("{}", '{'), 0);
	assert_int_equal(count_members(" { } ", '{'), 0);
	assert_int_equal(count_members("{\"a\":1,\"b\":[1,2,{\"c\":\"}\"}],\"d\":null}", '{'), 3);
	assert_int_equal(count_members("[1, \"a,b\", {\"x\":[]}, -1.5e+400]", '['), 4);
	assert_int_equal(count_members("{\"a\\\"b\":\"\\\\\"}", '{'), 1);
}

static void
test_malformed(void **state)
{
	static const char *const texts[] = {
		"", "{", "{\"a\"", "{\"a\":", "{\"a\":}", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}",
		"{\"a\" 1}", "{\"a\":\"", "{\"a\":\"\\", "{\"a\":\"\\\"", "{\"a\":[1", "{,}", "{\"a\":1 \"b\":2}",
		"[1]", "1", "{\"a\":#}"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(count_members(texts[i], '{'), RT_MALFORMED);
}

static void
test_find(void **state)
{
	struct slice object = exact("{\"a\":1,\"bb\":\"x\",\"a\":[2]}");
	struct slice value;

	(void) state;
	assert_int_equal(jsonscan_find(object, "a", &value), 1);
	assert_true(slice_equals(value, "[2]"));
	assert_int_equal(jsonscan_find(object, "bb", &value), 1);
	assert_int_equal(jsonscan_kind(value), JSON_KIND_STRING);
	assert_true(slice_equals(jsonscan_inside(value), "x"));
	assert_int_equal(jsonscan_find(object, "b", &value), 0);
	drop(object);
}

static void
test_deep(void **state)
{
	enum {DEPTH = 1000000};
	char	   *text = malloc(2 * DEPTH);
	struct jsonscan scan;
	struct slice key;
	struct slice value;

	(void) state;
	memset(text, '[', DEPTH);
	memset(text + DEPTH, ']', DEPTH);
	assert_int_equal(jsonscan_open(&scan, (struct slice) {text, 2 * DEPTH}, '['), RT_OK);
	assert_int_equal(jsonscan_next(&scan, &key, &value), 1);
	assert_int_equal(value.len, 2 * DEPTH - 2);
	assert_int_equal(jsonscan_next(&scan, &key, &value), 0);
	free(text);
}

/* Unescapes into a block of exactly the promised size and compares. */
static void
check_unescape(const char *inside, const char *expected, long expected_len)
{
	struct slice s = exact(inside);
	char	   *out = malloc(s.len ? s.len : 1);
	long		len = jsonscan_unescape(s, out);

	assert_int_equal(len, expected_len);
	if (len >= 0)
		assert_memory_equal(out, expected, (size_t) len);
	free(out);
	drop(s);
}

static void
test_unescape(void **state)
{
	(void) state;
	check_unescape("plain", "plain", 5);
	check_unescape("a\\n\\t\\\"\\\\\\/", "a\n\t\"\\/", 6);
	check_unescape("\\u00e9\\u20AC", "\xc3\xa9\xe2\x82\xac", 5);
	check_unescape("\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4);
	check_unescape("\\u0000", "\0", 1);
	check_unescape("\\ud83d", NULL, RT_MALFORMED);
	check_unescape("\\ude00", NULL, RT_MALFORMED);
	check_unescape("\\x", NULL, RT_MALFORMED);
	check_unescape("\\u12g4", NULL, RT_MALFORMED);
	check_unescape("\\", NULL, RT_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_unescape),
	};

	return cmocka_run_group_tests_name("jsonscan", tests, NULL, NULL);
}
