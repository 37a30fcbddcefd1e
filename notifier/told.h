/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * told.h
 *	  Which rows of an unfinished read have been told, so that the read that repeats it skips them. Pure.
 *
 * Kept only from the first batch of a large read to its end: some 16 bytes for each row.
 */
#ifndef RT_TOLD_H
#define RT_TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct told_row
{
	uint64_t	xid;
	uint64_t	part;
};

struct told
{
	struct told_row *rows;
	size_t		n;
	size_t		room;
	size_t		nsorted;		/* told by earlier, broken reads */
	uint64_t	open_xid;		/* the transaction of which not all parts have been told; 0: none */
};

void		told_clear(struct told *told);	/* also initialises zeroed memory, and frees */
void		told_add(struct told *told, uint64_t xid, unsigned part, bool is_last);

/* A read is to be repeated. */
void		told_restart(struct told *told);

/* Whether an earlier read told the row. */
bool		told_has(const struct told *told, uint64_t xid, unsigned part);

#endif
