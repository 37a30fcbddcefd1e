/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * utf8.h
 *	  Whether bytes are UTF-8 (RFC 3629), piece by piece: a character may be cut between two pieces.
 */
#ifndef RT_UTF8_H
#define RT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Between two characters when all is zero. */
struct utf8
{
	unsigned char missing;		/* continuation bytes that must still come */
	unsigned char low;			/* bounds of the next one, for overlong forms and surrogates */
	unsigned char high;
};

/* Reads a piece; false when it cannot be UTF-8. */
bool		utf8_read(struct utf8 *utf8, const void *bytes, size_t len);

static inline bool
utf8_is_complete(const struct utf8 *utf8)
{
	return utf8->missing == 0;
}

/* Whether a whole text is UTF-8. */
bool		utf8_is_valid(const void *bytes, size_t len);

#endif
