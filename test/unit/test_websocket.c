/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_websocket.c
 *	  The reader of WebSocket frames: what comes out must not depend on how the bytes were cut; UTF-8
 *	  against a plain decoder. What is refused with which code: test/server/websocket.test.js, over a socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "utf8.h"
#include "websocket.h"

/* Repeatable randomness. */
static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Appends a masked frame. */
static void
put_frame(struct buffer *out, unsigned first, const char *payload, size_t len)
{
	static const unsigned char mask[4] = {0x5a, 0, 0xff, 0x13};
	unsigned char header[14] = {(unsigned char) first};
	size_t		n = 2;

	if (len < 126)
		header[1] = (unsigned char) (0x80 | len);
	else
	{
		n = len < 65536 ? 4 : 10;
		header[1] = n == 4 ? 0xfe : 0xff;
		for (size_t i = 2; i < n; i++)
			header[i] = (unsigned char) ((uint64_t) len >> (8 * (n - 1 - i)));
	}
	memcpy(header + n, mask, 4);
	buffer_put(out, (char *) header, n + 4);
	for (size_t i = 0; i < len; i++)
	{
		char		c = (char) (payload[i] ^ (char) mask[i & 3]);

		buffer_put(out, &c, 1);
	}
}

/* Reads bytes cut into pieces by a seed (0: whole) and writes down all that comes out. */
static void
read_all(const struct buffer *bytes, uint32_t seed, size_t max, struct buffer *seen)
{
	struct websocket websocket;
	unsigned char *copy = memory_alloc(bytes->len + 1);
	size_t		done = 0;

	memcpy(copy, bytes->at, bytes->len);
	websocket_init(&websocket, max);
	while (done < bytes->len)
	{
		size_t		left = bytes->len - done;
		size_t		len = seed == 0 ? left : 1 + next_random(&seed) % 40;
		unsigned char *at = copy + done;
		struct websocket_result r;

		if (len > left)
			len = left;
		done += len;
		while ((r = websocket_read(&websocket, &at, &len)).event != WEBSOCKET_NEED_MORE)
		{
			char		line[80];

			snprintf(line, sizeof(line), "[%d %u %s ", (int) r.event, r.code, r.why ? r.why : "");
			buffer_puts(seen, line);
			buffer_put(seen, r.payload, r.len);
			if (r.event == WEBSOCKET_ERROR)
			{
				done = bytes->len;
				break;
			}
		}
	}
	websocket_release(&websocket);
	memory_free(copy);
}

static void
test_cuts(void **state)
{
	(void) state;
	for (uint32_t round = 1; round <= 300; round++)
	{
		struct buffer bytes = {0};
		struct buffer whole = {0};
		uint32_t	random = round;
		char		text[70000];
		bool		is_open = false;

		for (unsigned i = 0; i < 12; i++)
		{
			size_t		len = next_random(&random) % (i == 7 ? sizeof(text) : 200);
			unsigned	kind = next_random(&random) % 8;

			memset(text, 'a' + (int) (i % 26), len);
			if (kind == 0)
				put_frame(&bytes, 0x89, text, len % 126);
			else if (kind == 1)
				put_frame(&bytes, 0x8a, text, len % 126);
			else
			{
				bool		is_final = kind != 2;

				if (round % 5 == 0 && i == 9 && len > 3)
					memcpy(text + len - 3, round % 2 ? "\xe2\x82\xac" : "\xed\xa0\x80", 3);
				put_frame(&bytes, (is_final ? 0x80 : 0) | (is_open ? 0 : 1), text, len);
				is_open = !is_final;
			}
		}
		if (round % 3 == 0)
			put_frame(&bytes, 0x88, "\x03\xe8" "bye", 5);
		else if (round % 3 == 1)
			put_frame(&bytes, 0xc1, "x", 1);
		read_all(&bytes, 0, 100000, &whole);
		for (uint32_t seed = 1; seed <= 3; seed++)
		{
			struct buffer cut = {0};

			read_all(&bytes, seed * round, 100000, &cut);
			assert_int_equal(cut.len, whole.len);
			assert_memory_equal(cut.at, whole.at, whole.len);
			buffer_release(&cut);
		}
		assert_true(whole.len > 0);
		buffer_release(&bytes);
		buffer_release(&whole);
	}
}

static void
test_written_frames(void **state)
{
	unsigned char out[2 + WEBSOCKET_CONTROL_MAX];
	char		reason[200];
	size_t		len;

	(void) state;
	len = websocket_close_frame(out, 4008, "slow");
	assert_int_equal(len, 8);
	assert_memory_equal(out, "\x88\x06\x0f\xa8slow", 8);
	assert_int_equal(websocket_close_frame(out, WEBSOCKET_NO_CODE, NULL), 2);
	assert_memory_equal(out, "\x88\x00", 2);
	/* a long reason is cut between characters */
	memset(reason, 'x', 122);
	strcpy(reason + 122, "\xc3\xa9\xc3\xa9");
	len = websocket_close_frame(out, 1000, reason);
	assert_int_equal(len, 2 + 2 + 122);
	assert_true(utf8_is_valid(out + 4, len - 4));
}

/* The code point at bytes, the plain way; -1 when there is none. *used is its length. */
static long
decode(const unsigned char *at, size_t len, size_t *used)
{
	unsigned	n = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
	static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
	long		point;

	if (n == 0 || n > len)
		return -1;
	point = n == 1 ? at[0] : at[0] & (0xff >> (n + 1));
	for (unsigned i = 1; i < n; i++)
	{
		if (at[i] >> 6 != 2)
			return -1;
		point = point << 6 | (at[i] & 0x3f);
	}
	*used = n;
	if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return -1;
	return point;
}

static void
test_utf8(void **state)
{
	static const unsigned char some[] = {0, 'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
		0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
	const unsigned n = sizeof(some);

	(void) state;
	/* all sequences of four of the bytes at which something changes, with ASCII around them */
	for (unsigned i = 0; i < n * n * n * n; i++)
	{
		unsigned char text[13] = "abcdefghi";
		size_t		at = 0;
		size_t		used = 0;
		bool		is_valid = true;
		struct utf8 utf8 = {0};
		size_t		cut = 4 + i % 6;

		text[5] = some[i % n];
		text[6] = some[i / n % n];
		text[7] = some[i / n / n % n];
		text[8] = some[i / n / n / n];
		while (at < 13 && is_valid)
		{
			is_valid = decode(text + at, 13 - at, &used) >= 0;
			at += used;
		}
		assert_int_equal(utf8_is_valid(text, 13), is_valid);
		assert_int_equal(utf8_read(&utf8, text, cut) && utf8_read(&utf8, text + cut, 13 - cut) &&
						 utf8_is_complete(&utf8), is_valid);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_written_frames),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
