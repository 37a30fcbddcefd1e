/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_event.c
 *	  Events of the log taken apart, and the two images of a row change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event.h"

#define META ",\"meta\":{\"timestamp\":\"2026-11-22T19:00:00.123456Z\",\"tx\":\"8123\",\"seq\":7," \
	"\"userId\":\"u42\",\"sessionId\":null,\"priority\":\"high\"}}"
#define HEAD(action) "{\"event\":\"orders.order." action "\",\"feature\":\"orders\",\"entity\":\"order\"," \
	"\"action\":\"" action "\",\"id\":\"17\""

static struct slice
slice_of(const char *text)
{
	return (struct slice) {text, strlen(text)};
}

/* Whether a column of an image is this JSON; NULL: not there. */
static void
check_column(const struct event *event, enum event_image image, const char *column,
			 const char *expected)
{
	struct slice value;
	int			found = event_column(event, image, column, &value);

	assert_int_equal(found, expected != NULL);
	if (expected)
		assert_true(slice_equals(value, expected));
}

static void
test_updated(void **state)
{
	struct event event;

	(void) state;
	assert_int_equal(event_parse(&event, slice_of(HEAD("updated") ",\"data\":{\"id\":17,\"n\":1e400,\"s\":\"b\"},"
						"\"old\":{\"s\":\"a\"}" META)), RT_OK);
	assert_int_equal(event.kind, EVENT_UPDATED);
	assert_int_equal(event.seq, 7);
	assert_int_equal(event.priority, PRIORITY_HIGH);
	assert_true(slice_equals(event.id, "\"17\""));
	assert_null(event.to_user.at);
	check_column(&event, EVENT_IMAGE_NEW, "s", "\"b\"");
	check_column(&event, EVENT_IMAGE_OLD, "s", "\"a\"");
	check_column(&event, EVENT_IMAGE_OLD, "n", "1e400");
	check_column(&event, EVENT_IMAGE_NEW, "missing", NULL);
}

static void
test_images(void **state)
{
	struct event event;

	(void) state;
	assert_int_equal(event_parse(&event, slice_of(HEAD("created") ",\"data\":{\"s\":\"b\"}" META)), RT_OK);
	check_column(&event, EVENT_IMAGE_NEW, "s", "\"b\"");
	check_column(&event, EVENT_IMAGE_OLD, "s", NULL);
	assert_int_equal(event_parse(&event, slice_of(HEAD("deleted") ",\"data\":{\"s\":\"b\"}" META)), RT_OK);
	check_column(&event, EVENT_IMAGE_NEW, "s", NULL);
	check_column(&event, EVENT_IMAGE_OLD, "s", "\"b\"");
	assert_int_equal(event_parse(&event, slice_of(HEAD("approved") ",\"data\":{\"s\":\"b\"}" META)), RT_OK);
	assert_int_equal(event.kind, EVENT_OTHER);
	assert_false(event_has_image(&event, EVENT_IMAGE_NEW));
}

static void
test_malformed(void **state)
{
	static const char *const texts[] = {
		"", "[]", "{}", HEAD("created") "}", HEAD("created") ",\"data\":{}}",
		HEAD("created") ",\"meta\":{}}", HEAD("created") ",\"meta\":{\"seq\":\"1\"}}",
		HEAD("created") ",\"meta\":{\"seq\":-1}}", HEAD("created") ",\"meta\":{\"seq\":1}",
		"{\"feature\":1,\"entity\":\"e\",\"action\":\"a\",\"meta\":{\"seq\":1}}"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		struct event event;

		assert_int_equal(event_parse(&event, slice_of(texts[i])), RT_MALFORMED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_updated),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
