/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_batch.c
 *	  Chunks and batches: what the log's text becomes, and who owns what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batch.h"
#include "memory.h"

#define EVENT(action, seq) "{\"event\":\"f.e." action "\",\"feature\":\"f\",\"entity\":\"e\",\"action\":\"" action "\"," \
	"\"id\":\"1\",\"data\":{\"a\":1,\"s\":\"x\\ny\"},\"meta\":{\"tx\":\"7\",\"seq\":" seq "}}"

/* A chunk of a text in a block of exactly its length: reading past it is caught. */
static struct chunk *
chunk_of(const char *text)
{
	size_t		len = strlen(text);
	char	   *exact = malloc(len ? len : 1);
	struct chunk *chunk;

	memcpy(exact, text, len);
	chunk = chunk_new(7, 2, true, 1234, exact, len);
	free(exact);
	return chunk;
}

static void
test_events(void **state)
{
	struct chunk *chunk = chunk_of("[" EVENT("created", "0") ",\r\n" EVENT("updated", "1") " ,\n" EVENT("sent", "2") "]\n");

	(void) state;
	assert_false(chunk->is_broken);
	assert_int_equal(chunk->xid, 7);
	assert_int_equal(chunk->part, 2);
	assert_true(chunk->is_last);
	assert_int_equal(chunk->commit_us, 1234);
	assert_int_equal(chunk->nevents, 3);
	assert_int_equal(chunk->events[0].kind, EVENT_CREATED);
	assert_int_equal(chunk->events[1].seq, 1);
	assert_true(slice_equals(chunk->events[2].action, "sent"));
	for (unsigned i = 0; i < 3; i++)
	{
		assert_true(chunk->events[i].text.at > chunk->text);
		assert_true(chunk->events[i].text.at + chunk->events[i].text.len < chunk->text + chunk->len);
	}
	assert_null(memchr(chunk->text, '\n', chunk->len));
	assert_null(memchr(chunk->text, '\r', chunk->len));
	assert_non_null(strstr(chunk->text, "x\\ny"));	/* an escape is no line break */
	assert_true(chunk_memory(chunk) >= chunk->len + 3 * sizeof(struct event));
	chunk_unref(chunk);
}

/* No events is fine; what is not an array of events is broken, and harms nothing. */
static void
test_broken(void **state)
{
	static const char *const broken[] = {
		"", " ", "{}", "null", "[", "[1]", "[null]", "[{}]", "[" EVENT("created", "0"), "[" EVENT("created", "0") ",]",
		"[" EVENT("created", "0") "] x", "[" EVENT("created", "0") ",{\"feature\":1}]", "[\"",
		"[{\"feature\":\"f\",\"entity\":\"e\",\"action\":\"a\",\"meta\":{\"seq\":-1}}]"
	};
	static const char *const empty[] = {"[]", " [ ] ", "\n[\n]\n"};

	(void) state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
	{
		struct chunk *chunk = chunk_of(broken[i]);

		if (!chunk->is_broken)
			fail_msg("not broken: %s", broken[i]);
		assert_int_equal(chunk->nevents, 0);
		chunk_unref(chunk);
	}
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
	{
		struct chunk *chunk = chunk_of(empty[i]);

		assert_false(chunk->is_broken);
		assert_int_equal(chunk->nevents, 0);
		chunk_unref(chunk);
	}
}

/* What jansson cannot hold passes as bytes. */
static void
test_odd_values(void **state)
{
	char	   *deep = malloc(300000);
	size_t		len;
	struct chunk *chunk;

	(void) state;
	len = (size_t) sprintf(deep, "[{\"feature\":\"f\",\"entity\":\"e\",\"action\":\"a\",\"data\":{\"n\":1e400,\"z\":\"\\u0000\",\"d\":");
	memset(deep + len, '[', 100000);
	memset(deep + len + 100000, ']', 100000);
	strcpy(deep + len + 200000, "},\"meta\":{\"seq\":0}}]");
	chunk = chunk_of(deep);
	assert_false(chunk->is_broken);
	assert_int_equal(chunk->nevents, 1);
	chunk_unref(chunk);
	free(deep);
}

static void
test_batches(void **state)
{
	struct chunk *chunks[2] = {chunk_of("[" EVENT("created", "0") "]"), chunk_of("[]")};
	struct chunk *kept = chunk_ref(chunks[0]);
	struct batch *batch = batch_new(chunks, 2, NULL, NULL);
	struct batch *end = batch_new(NULL, 0, "1-ab/10:20:11,12", "epoch");
	size_t		memory = batch_memory(batch);

	(void) state;
	assert_false(batch->is_end);
	assert_int_equal(batch->nchunks, 2);
	assert_true(memory > chunk_memory(chunks[0]) + chunk_memory(chunks[1]));
	assert_ptr_equal(batch_ref(batch), batch);
	batch_unref(batch);
	batch_unref(batch);
	assert_int_equal(kept->xid, 7);
	chunk_unref(kept);
	assert_true(end->is_end);
	assert_string_equal(end->position_text, "1-ab/10:20:11,12");
	assert_int_equal(end->position.nxip, 2);
	assert_string_equal(end->gap, "epoch");
	assert_true(batch_memory(end) > sizeof(struct batch));
	batch_unref(end);
	batch_unref(NULL);
	chunk_unref(NULL);
}

/* A position that is too long to be told makes no end; nor does nonsense. */
static void
test_long_position(void **state)
{
	char	   *text = malloc(40000);
	size_t		len = (size_t) sprintf(text, "1-ab/10000:99999:");
	struct batch *batch;

	(void) state;
	for (int xid = 10000; len < 30000; xid++)
		len += (size_t) sprintf(text + len, "%s%d", xid > 10000 ? "," : "", xid);
	batch = batch_new(NULL, 0, text, NULL);
	assert_false(batch->is_end);
	assert_null(batch->position_text);
	batch_unref(batch);
	free(text);
	batch = batch_new(NULL, 0, "nonsense", NULL);
	assert_false(batch->is_end);
	batch_unref(batch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_long_position),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
