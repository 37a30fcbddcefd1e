/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fetch.h
 *	  Reads a small document from a web server, blocking: for a thread that may wait.
 *
 * Bounded in bytes and time; no redirects; only status 200 counts. libcurl is known to fetch.c alone.
 */
#ifndef RT_FETCH_H
#define RT_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* To be called once before threads start; again is harmless. */
void		fetch_init(void);

/* Whether text is a URL that can be fetched: http or https, no user or password in it. */
bool		fetch_is_url(const char *text);
bool		fetch_has_password(const char *url);

/*
 * Reads at most max bytes within so many seconds; *text is malloc'd and ends with a null byte. Ends early
 * when *stop becomes true. RT_MALFORMED, or RT_TOO_LARGE, with a message that may be logged.
 */
int			fetch_url(const char *url, size_t max, unsigned seconds, const atomic_bool *stop,
					  char **text, size_t *len, char *error, size_t error_size) RT_MUST_CHECK;

#endif
