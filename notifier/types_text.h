/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_text.h
 *	  Names of a database as TypeScript: string literals and keys. Pure.
 *
 * Whatever the name, what is written stays one token on one line, and a reader sees it as it is: line ends,
 * controls and characters that turn the direction of text are escaped. Bytes that are no UTF-8 become U+FFFD.
 */
#ifndef RT_TYPES_TEXT_H
#define RT_TYPES_TEXT_H

#include "buffer.h"

/* Appends a string literal in single quotes. */
void		types_put_text(struct buffer *out, struct slice text);

/*
 * Appends a key of an object or interface: as it is when it is an identifier, else as a literal. in_object:
 * of an object, where "__proto__" would be no member unless it is computed.
 */
void		types_put_key(struct buffer *out, struct slice name, bool in_object);

#endif
