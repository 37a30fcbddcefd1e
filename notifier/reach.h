/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * reach.h
 *	  Who waits until the stream has reached a position. What was asked of the database beside the stream may be of
 *	  later than what the stream has brought: it must not be applied to what comes before it.
 *
 * All calls are made in the worker's thread.
 */
#ifndef RT_REACH_H
#define RT_REACH_H

#include <stdbool.h>

#include "position.h"

typedef void (*reach_fn) (void *arg);

struct reach_wait;

/* Embedded; all zero to begin with, but for whom to tell. */
struct reach
{
	const struct position *now; /* the stream's, borrowed; NULL before its first read */
	struct reach_wait *waits;	/* in the order they came; thousands of sessions may */
	struct reach_wait **end;	/* where the next one goes, while there are some */
	void		(*begun) (void *arg);	/* somebody waits: the stream is to be read */
	void	   *arg;
};

/* Whether the stream has reached a position; true where that cannot be told: of another epoch, or of none. */
bool		reach_has(const struct reach *reach, const struct position *position);

/* Calls fn when it has. The position is borrowed until then. */
void		reach_wait(struct reach *reach, const struct position *position, reach_fn fn, void *arg);

/* Takes back waits with this argument: their function is not called. */
void		reach_cancel(struct reach *reach, const void *arg);

/* The stream has a new position: calls whoever waited for it. */
void		reach_advance(struct reach *reach);

/* The stream ends: nobody waits any more, nobody is called. */
void		reach_release(struct reach *reach);

#endif
