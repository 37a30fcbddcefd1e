/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * tail.h
 *	  realtime-notifier --tail: a command-line subscriber of a running notifier.
 */
#ifndef RT_TAIL_H
#define RT_TAIL_H

#include "options.h"

/* Prints live events until a signal or a final error; returns the exit status. */
int			tail_run(const struct options *options);

#endif
