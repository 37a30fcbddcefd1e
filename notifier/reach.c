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

	*wait = (struct reach_wait) {NULL, position, fn, arg};
	if (reach->waits == NULL)
		reach->end = &reach->waits;
	*reach->end = wait;
	reach->end = &wait->next;
	reach->begun(reach->arg);
}

/* Takes out the wait that a link leads to. */
static struct reach_wait *
take_out(struct reach *reach, struct reach_wait **at)
{
	struct reach_wait *wait = *at;

	*at = wait->next;
	if (reach->end == &wait->next)
		reach->end = at;
	return wait;
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
		memory_free(take_out(reach, at));
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
		(void) take_out(reach, at);
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
