/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_check.h
 *	  Which values a CHECK constraint leaves to a column of text, as far as that can be read off. Pure.
 *
 * Reads expressions as pg_get_expr() writes them. Only those that list texts are understood: the column
 * = 'a', = ANY (ARRAY['a', 'b']), IS NULL, joined by OR, with parentheses and casts to text or character
 * varying anywhere. Whatever else stands in an expression makes it one that is not understood: no set of
 * values is better than a wrong one.
 */
#ifndef RT_TYPES_CHECK_H
#define RT_TYPES_CHECK_H

#include <stdbool.h>

#include "buffer.h"

/* Texts that belong to it, in order, none twice. */
struct texts
{
	struct slice *at;
	unsigned	n;
	unsigned	room;
};

void		texts_add(struct texts *texts, const char *text, size_t len);
bool		texts_has(const struct texts *texts, struct slice text);
void		texts_release(struct texts *texts);

/*
 * The texts that an expression allows for a column, whose name is given as quote_ident() writes it (VALUE for
 * a domain). False, and no texts, when it is not understood.
 */
bool		types_check_read(struct slice expression, struct slice column, struct texts *texts);

#endif
