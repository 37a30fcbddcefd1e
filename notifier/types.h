/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types.h
 *	  realtime-notifier --types: what the database has registered, as a TypeScript module.
 */
#ifndef RT_TYPES_H
#define RT_TYPES_H

#include "options.h"

/*
 * Reads the registry of options->database and prints the module to stdout: all of it, or nothing and a
 * message on stderr. Returns the exit status.
 */
int			types_run(const struct options *options);

#endif
