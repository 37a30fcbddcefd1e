/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * utf8.c
 *	  See utf8.h. Pure.
 */
#include "utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Starts a character of more than one byte; false for a byte that starts none. */
static bool
start(struct utf8 *utf8, unsigned char byte)
{
	utf8->low = 0x80;
	utf8->high = 0xbf;
	if (byte >= 0xc2 && byte <= 0xdf)
		utf8->missing = 1;
	else if (byte >= 0xe0 && byte <= 0xef)
	{
		utf8->missing = 2;
		if (byte == 0xe0)
			utf8->low = 0xa0;	/* shorter forms exist */
		else if (byte == 0xed)
			utf8->high = 0x9f;	/* surrogates */
	}
	else if (byte >= 0xf0 && byte <= 0xf4)
	{
		utf8->missing = 3;
		if (byte == 0xf0)
			utf8->low = 0x90;
		else if (byte == 0xf4)
			utf8->high = 0x8f;	/* the last is U+10FFFF */
	}
	else
		return false;
	return true;
}

bool
utf8_read(struct utf8 *utf8, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	const unsigned char *end = at + len;

	while (at < end)
	{
		uint64_t	eight;

		if (utf8->missing > 0)
		{
			if (*at < utf8->low || *at > utf8->high)
				return false;
			utf8->low = 0x80;
			utf8->high = 0xbf;
			utf8->missing--;
			at++;
			continue;
		}
		if (end - at >= 8)
		{
			memcpy(&eight, at, 8);
			if ((eight & HIGH_BITS) == 0)
			{
				at += 8;
				continue;
			}
		}
		if (*at >= 0x80 && !start(utf8, *at))
			return false;
		at++;
	}
	return true;
}

bool
utf8_is_valid(const void *bytes, size_t len)
{
	struct utf8 utf8 = {0};

	return utf8_read(&utf8, bytes, len) && utf8_is_complete(&utf8);
}
