/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * position.h
 *	  A position in the stream: an epoch and a snapshot, <epoch>/<xmin>:<xmax>:<xip,...>.
 *
 * A transaction is covered by a position when its events came before it. Text from a peer is
 * untrusted: parsed strictly, at most POSITION_MAX_LENGTH bytes.
 */
#ifndef RT_POSITION_H
#define RT_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define POSITION_MAX_LENGTH (16 * 1024)	/* bytes; the extension accepts no more */

struct position
{
	char	   *epoch;
	uint64_t	xmin;
	uint64_t	xmax;
	uint64_t   *xip;			/* ascending, xmin <= xip < xmax */
	size_t		nxip;
};

/* Parses text of len bytes; on success the caller releases the position. */
int			position_parse(struct position *position, const char *text, size_t len) RT_MUST_CHECK;
void		position_release(struct position *position);

/* Whether the events of a transaction came before the position (of the same epoch). */
bool		position_covers(const struct position *position, uint64_t xid);

/* Whether everything a covers is covered by b, too: b is not behind a. False across epochs. */
bool		position_is_within(const struct position *a, const struct position *b);

/* The position as text, malloc'd. */
char	   *position_format(const struct position *position);

/*
 * The position with further transactions counted as not covered (held back until their WAL is
 * flushed); xids ascending. The caller releases *out.
 */
void		position_hold_back(const struct position *position, const uint64_t *xids, size_t n,
							   struct position *out);

#endif
