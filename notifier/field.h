/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * field.h
 *	  Members of a frame or an event by name, as values of C. Pure.
 */
#ifndef RT_FIELD_H
#define RT_FIELD_H

#include "jsonscan.h"

/* A member that is text, malloc'd, its escapes resolved; NULL when there is none. */
char	   *field_text(struct slice object, const char *name);

/* A member that is a whole number, or a text of one; fallback when there is none. */
long long	field_number(struct slice object, const char *name, long long fallback);

#endif
