/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * log.h
 *	  Structured log lines on stderr: JSON or text, one per line, thread-safe.
 *
 * The fields are one format of "name=%x" words, in which x is s, d, u, ld, lu, lld, llu, zu or .3f:
 *	  log_write(LOG_LEVEL_INFO, "database_up", "attempt=%u after_ms=%u", n, ms);
 * Strings may hold anything: they are escaped and cut at 1,000 bytes; NULL prints as null. Tokens,
 * passwords and row data are never logged.
 */
#ifndef RT_LOG_H
#define RT_LOG_H

#include <stdbool.h>

enum log_level
{
	LOG_LEVEL_ERROR,			/* somebody must act */
	LOG_LEVEL_WARNING,			/* refusals, losses of connection: the security lines, too */
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

enum log_format
{
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON
};

void		log_set_level(enum log_level level);
void		log_set_format(enum log_format format);
bool		log_is_on(enum log_level level);

void		log_write(enum log_level level, const char *event, const char *fields, ...)
			__attribute__((format(printf, 3, 4)));

#endif
