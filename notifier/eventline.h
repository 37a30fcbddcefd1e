/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * eventline.h
 *	  An event as one line for people: when, what, which row, and what of it changed.
 *
 * Pure. Whatever a terminal might obey is taken out: what stands in a row must not move the cursor.
 */
#ifndef RT_EVENTLINE_H
#define RT_EVENTLINE_H

#include <stdbool.h>

#include "buffer.h"
#include "jsonscan.h"

/*
 * Appends a line with its end. Text that is no event comes as it is. Colours are ANSI's.
 *	  19:00:00.123 orders.order updated 17 status "pending" -> "approved"
 */
void		eventline_put(struct buffer *out, struct slice event, bool is_coloured);

#endif
