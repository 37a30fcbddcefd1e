/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * wheel.h
 *	  Deadlines of very many things in coarse ticks: setting one costs a few instructions, a tick looks
 *	  at the entries of its slot only.
 *
 * An entry is embedded in what has the deadline. It knows no clock: the owner counts ticks.
 */
#ifndef RT_WHEEL_H
#define RT_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_SLOTS 256			/* deadlines farther away go around more than once */

struct wheel_entry
{
	struct wheel_entry *next;
	struct wheel_entry **link;	/* what points here; NULL: not in a wheel */
	uint64_t	tick;
};

struct wheel
{
	struct wheel_entry *slots[WHEEL_SLOTS];
	uint64_t	now;
	unsigned	count;
};

typedef void (*wheel_fn) (struct wheel_entry *entry, void *arg);

/* Sets or replaces a deadline, so many ticks from now; at least one. */
void		wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t ticks);
void		wheel_remove(struct wheel *wheel, struct wheel_entry *entry);

/*
 * Advances by one tick and calls fn for each entry that is due, which is no longer in the wheel then.
 * fn may set and remove any entry.
 */
void		wheel_advance(struct wheel *wheel, wheel_fn fn, void *arg);

#endif
