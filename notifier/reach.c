/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * reach.c
 *	  See reach.h.
 */
#include "reach.h"

#include <string.h>

#include "memory.h"

struct reach_wait
{
	struct reach_wait *next;
	const struct position *position;
	reach_fn	fn;
	void	   *arg;
};

bool
reach_has(const struct reach *reach, const struct position *position)
{
	return reach->now == NULL || reach->now->epoch == NULL || position->epoch == NULL
		|| strcmp(reach->now->epoch, position->epoch) != 0 || position_is_within(position, reach->now);
}

void
reach_wait(struct reach *reach, const struct position *position, reach_fn fn, void *arg)
{
	struct reach_wait *wait = memory_alloc(sizeof(*wait));
	struct reach_wait **end = &reach->waits;

	*wait = (struct reach_wait) {NULL, position, fn, arg};
	while (*end != NULL)
		end = &(*end)->next;
	*end = wait;
	reach->begun(reach->arg);
}

void
reach_cancel(struct reach *reach, const void *arg)
{
	for (struct reach_wait **at = &reach->waits; *at != NULL;)
	{
		struct reach_wait *wait = *at;

		if (wait->arg != arg)
		{
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		memory_free(wait);
	}
}

void
reach_advance(struct reach *reach)
{
	struct reach_wait **at = &reach->waits;

	while (*at != NULL)
	{
		struct reach_wait *wait = *at;

		if (!reach_has(reach, wait->position))
		{
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		wait->fn(wait->arg);
		memory_free(wait);
		at = &reach->waits;		/* whoever was called may have come again or taken back */
	}
}

void
reach_release(struct reach *reach)
{
	while (reach->waits != NULL)
	{
		struct reach_wait *wait = reach->waits;

		reach->waits = wait->next;
		memory_free(wait);
	}
}
