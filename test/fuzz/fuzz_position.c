/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_position.c
 *	  Positions of a hostile client: what is one is written back as it came, and covers what it says.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "position.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

static void
check_position(const struct position *position)
{
	struct position later;

	check(position->xmin >= 1 && position->xmin <= position->xmax );
	for (size_t i = 0; i < position->nxip; i++)
	{
		check(position->xip[i] >= position->xmin && position->xip[i] < position->xmax);
		check(i == 0 || position->xip[i] > position->xip[i - 1]);
		check(!position_covers(position, position->xip[i]));
	}
	check(position_covers(position, position->xmin - 1));
	check(!position_covers(position, position->xmax));
	check(position_is_within(position, position));
	if (position->xmin < position->xmax)
	{
		uint64_t	held[] = {position->xmin, position->xmax - 1};

		position_hold_back(position, held, held[0] == held[1] ? 1 : 2, &later);
		check(!position_covers(&later, held[0]) && !position_covers(&later, held[1]));
		check(position_is_within(&later, position));
		position_release(&later);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct position position;
	char	   *copy = memory_alloc(size);
	char	   *text;

	memcpy(copy, data, size);
	if (position_parse(&position, copy, size) == RT_OK)
	{
		check(size <= POSITION_MAX_LENGTH);
		text = position_format(&position);
		check(strlen(text) == size && memcmp(text, copy, size) == 0);
		memory_free(text);
		check_position(&position);
		position_release(&position);
	}
	memory_free(copy);
	return 0;
}
