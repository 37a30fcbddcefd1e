/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * told.c
 *	  See told.h. Pure.
 */
#include "told.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

static int
compare(const void *a, const void *b)
{
	const struct told_row *x = a;
	const struct told_row *y = b;

	if (x->xid != y->xid)
		return x->xid < y->xid ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

void
told_clear(struct told *told)
{
	memory_free(told->rows);
	memset(told, 0, sizeof(*told));
}

void
told_add(struct told *told, uint64_t xid, unsigned part, bool is_last)
{
	if (told->n == told->room)
	{
		told->room = told->room ? told->room * 2 : 256;
		told->rows = memory_resize(told->rows, sizeof(*told->rows) * told->room);
	}
	told->rows[told->n++] = (struct told_row) {xid, part};
	told->open_xid = is_last ? 0 : xid;
}

void
told_restart(struct told *told)
{
	if (told->n > told->nsorted)
		qsort(told->rows, told->n, sizeof(*told->rows), compare);
	told->nsorted = told->n;
}

bool
told_has(const struct told *told, uint64_t xid, unsigned part)
{
	struct told_row row = {xid, part};

	return told->nsorted > 0
		&& bsearch(&row, told->rows, told->nsorted, sizeof(row), compare) != NULL;
}
