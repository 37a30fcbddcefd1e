/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * windows.h
 *	  The windows of entities, as the configuration has them: "FEATURE.ENTITY=TIME,...". Pure.
 */
#ifndef RT_WINDOWS_H
#define RT_WINDOWS_H

#include "error.h"

/* Whether a text (NULL: none) is such a list: RT_OK, or RT_MALFORMED. */
int			windows_check(const char *text) RT_MUST_CHECK;

/*
 * The window of an entity in milliseconds, of a list that was checked; the first that names it counts. 0: none,
 * and with a wildcard (NULL) there is none.
 */
unsigned	windows_find(const char *text, const char *feature, const char *entity);

#endif
