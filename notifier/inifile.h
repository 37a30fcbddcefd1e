/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inifile.h
 *	  The text of a configuration file as names and values.
 *
 * "name = value" lines; "; " and "#" begin comments; section lines group and mean nothing. An indented
 * line continues the value above it, joined by a space. inih is known to inifile.c alone.
 */
#ifndef RT_INIFILE_H
#define RT_INIFILE_H

#include <stddef.h>

#include "error.h"

/* One entry, valid during the call; not RT_OK ends the reading (the function has said why). */
typedef int (*inifile_fn) (void *arg, unsigned line, const char *name, const char *value);

/*
 * Reads text of len bytes. RT_OK; what fn returned; or RT_MALFORMED with the line and a static reason
 * (*why is NULL when it was fn that failed).
 */
int			inifile_parse(const char *text, size_t len, inifile_fn fn, void *arg,
						  unsigned *line, const char **why) RT_MUST_CHECK;

#endif
