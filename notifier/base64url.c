/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * base64url.c
 *	  See base64url.h. Pure.
 */
#include "base64url.h"

#include <stdint.h>

/* The six bits of a character, -1 when it is not of the alphabet. */
static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

long
base64url_decode(struct slice text, char *out)
{
	uint32_t	bits = 0;
	unsigned	nbits = 0;
	long		n = 0;

	if (text.len % 4 == 1)
		return RT_MALFORMED;
	for (size_t i = 0; i < text.len; i++)
	{
		int			value = sextet(text.at[i]);

		if (value < 0)
			return RT_MALFORMED;
		bits = bits << 6 | (uint32_t) value;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			out[n++] = (char) (bits >> nbits & 0xff);
			bits &= (1U << nbits) - 1;
		}
	}
	return bits == 0 ? n : RT_MALFORMED;
}
