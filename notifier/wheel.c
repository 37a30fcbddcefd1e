/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * wheel.c
 *	  See wheel.h. Pure.
 */
#include "wheel.h"

#include <stddef.h>

/* Puts an entry first into a list. */
static void
insert(struct wheel_entry **list, struct wheel_entry *entry)
{
	entry->next = *list;
	if (entry->next != NULL)
		entry->next->link = &entry->next;
	entry->link = list;
	*list = entry;
}

/* Takes an entry out of the list it is in. */
static void
take(struct wheel_entry *entry)
{
	*entry->link = entry->next;
	if (entry->next != NULL)
		entry->next->link = entry->link;
	entry->link = NULL;
	entry->next = NULL;
}

void
wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t ticks)
{
	wheel_remove(wheel, entry);
	entry->tick = wheel->now + (ticks > 0 ? ticks : 1);
	insert(&wheel->slots[entry->tick % WHEEL_SLOTS], entry);
	wheel->count++;
}

void
wheel_remove(struct wheel *wheel, struct wheel_entry *entry)
{
	if (entry->link == NULL)
		return;
	take(entry);
	wheel->count--;
}

void
wheel_advance(struct wheel *wheel, wheel_fn fn, void *arg)
{
	struct wheel_entry **slot = &wheel->slots[++wheel->now % WHEEL_SLOTS];
	struct wheel_entry *due = NULL;

	for (struct wheel_entry *entry = *slot, *next; entry != NULL; entry = next)
	{
		next = entry->next;
		if (entry->tick <= wheel->now)
		{
			take(entry);
			insert(&due, entry);
		}
	}
	while (due != NULL)			/* fn may take any of them out */
	{
		struct wheel_entry *entry = due;

		take(entry);
		wheel->count--;
		fn(entry, arg);
	}
}
