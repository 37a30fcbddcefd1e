/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_outqueue.c
 *	  Frames as bytes on the wire, and queues of them: order, partial sends, bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "outqueue.h"

/* The header of a payload length, as RFC 6455 has it. */
static void
check_header(size_t len, const unsigned char *header, size_t header_len)
{
	char	   *payload = memory_alloc_zeroed(len);
	struct frame *frame = frame_new(payload, len);
	struct slice wire = frame_wire(frame);

	assert_int_equal(wire.len, header_len + len);
	assert_memory_equal(wire.at, header, header_len);
	assert_ptr_equal(frame_payload(frame).at, wire.at + header_len);
	frame_unref(frame);
	memory_free(payload);
}

static void
test_headers(void **state)
{
	(void) state;
	check_header(0, (const unsigned char *) "\x81\x00", 2);
	check_header(125, (const unsigned char *) "\x81\x7d", 2);
	check_header(126, (const unsigned char *) "\x81\x7e\x00\x7e", 4);
	check_header(65535, (const unsigned char *) "\x81\x7e\xff\xff", 4);
	check_header(65536, (const unsigned char *) "\x81\x7f\0\0\0\0\0\x01\0\0", 10);
}

/*
 * Sends 1,000 frames of odd sizes in odd portions, pushing meanwhile; what arrives is what was
 * pushed. Leaks and overruns are the sanitizers' to find.
 */
static void
test_order(void **state)
{
	struct outqueue queue;
	char	   *expected = memory_alloc(1 << 20);
	char	   *got = memory_alloc(1 << 20);
	size_t		expected_len = 0;
	size_t		got_len = 0;
	unsigned	random = 12345;

	(void) state;
	outqueue_init(&queue);
	for (int i = 0; i < 1000 || !outqueue_is_empty(&queue); i++)
	{
		random = random * 1103515245 + 12345;
		if (i < 1000)
		{
			char		payload[512];
			struct frame *frame;

			memset(payload, 'a' + i % 26, sizeof(payload));
			frame = frame_new(payload, random >> 16 & 511);
			memcpy(expected + expected_len, frame_wire(frame).at, frame_wire(frame).len);
			expected_len += frame_wire(frame).len;
			assert_int_equal(outqueue_push(&queue, frame, 1 << 20), RT_OK);
			frame_unref(frame);
		}
		if (i % 3 == 0 || i >= 1000)
		{
			struct slice slices[4];
			size_t		n = outqueue_peek(&queue, slices, 4);
			size_t		budget = random >> 8 & 1023;
			size_t		sent = 0;

			for (size_t k = 0; k < n && sent < budget; k++)
			{
				size_t		part = slices[k].len < budget - sent ? slices[k].len : budget - sent;

				memcpy(got + got_len, slices[k].at, part);
				got_len += part;
				sent += part;
				if (part < slices[k].len)
					break;
			}
			outqueue_advance(&queue, sent);
		}
	}
	assert_int_equal(got_len, expected_len);
	assert_memory_equal(got, expected, got_len);
	assert_int_equal(queue.bytes, 0);
	assert_null(queue.frames);
	outqueue_release(&queue);
	memory_free(expected);
	memory_free(got);
}

static void
test_bounds(void **state)
{
	struct outqueue queue;
	struct frame *frame = frame_new("0123456789", 10);
	struct slice slice;

	(void) state;
	outqueue_init(&queue);
	assert_int_equal(outqueue_push(&queue, frame, 11), RT_TOO_LARGE);
	assert_int_equal(outqueue_push(&queue, frame, 24), RT_OK);
	assert_int_equal(outqueue_push(&queue, frame, 24), RT_OK);
	assert_int_equal(outqueue_push(&queue, frame, 24), RT_TOO_LARGE);
	outqueue_advance(&queue, 5);
	assert_int_equal(queue.bytes, 19);
	assert_int_equal(outqueue_drop(&queue), 1);
	assert_int_equal(queue.bytes, 7);
	assert_int_equal(outqueue_peek(&queue, &slice, 1), 1);
	assert_memory_equal(slice.at, "3456789", 7);
	outqueue_advance(&queue, 7);
	assert_true(outqueue_is_empty(&queue));
	assert_int_equal(outqueue_drop(&queue), 0);
	assert_int_equal(outqueue_push(&queue, frame, 24), RT_OK);
	outqueue_release(&queue);
	frame_unref(frame);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("outqueue", tests, NULL, NULL);
}
