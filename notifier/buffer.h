/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * buffer.h
 *	  Text that grows. Bytes, not a C string: may hold zeros, has no terminator.
 */
#ifndef RT_BUFFER_H
#define RT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jsonscan.h"

struct buffer
{
	char	   *at;
	size_t		len;
	size_t		room;
};

void		buffer_init(struct buffer *buffer);
void		buffer_release(struct buffer *buffer);

/* Makes room for more bytes and returns where they go; the caller adds to len. */
char	   *buffer_reserve(struct buffer *buffer, size_t more);

void		buffer_put(struct buffer *buffer, const char *text, size_t len);
void		buffer_puts(struct buffer *buffer, const char *text);
void		buffer_put_slice(struct buffer *buffer, struct slice text);
void		buffer_put_number(struct buffer *buffer, int64_t number);

/* Text as a JSON string, with quotes and escapes; invalid UTF-8 is the caller's matter. */
void		buffer_put_json(struct buffer *buffer, const char *text, size_t len);
void		buffer_puts_json(struct buffer *buffer, const char *text);	/* NULL: null */

struct slice buffer_slice(const struct buffer *buffer);

/* Takes the text over, with a terminating zero added; the buffer is empty after. */
char	   *buffer_take(struct buffer *buffer);

#endif
