/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_top.h
 *	  The first few of many: those with the greatest keys, in order. Pure.
 *
 * Order is key, greatest first, then tie, smallest first; no two items have both alike. Memory is that of the
 * items kept, whatever is offered.
 */
#ifndef RT_INSPECTOR_TOP_H
#define RT_INSPECTOR_TOP_H

#include <stdbool.h>
#include <stdint.h>

struct inspector_top_item
{
	int64_t		key;
	uint64_t	tie;
	void	   *item;
};

struct inspector_top
{
	struct inspector_top_item *at;
	unsigned	n;
	unsigned	max;
	bool		is_cut;			/* something was left out at the end */
	void		(*free_item) (void *item);
};

void		inspector_top_init(struct inspector_top *top, unsigned max, void (*free_item) (void *item));
void		inspector_top_release(struct inspector_top *top);

/* Whether an item would be kept; notes that there is more when it would not. Ask before it is made. */
bool		inspector_top_wants(struct inspector_top *top, int64_t key, uint64_t tie);

/* Takes over an item that is wanted; the last one may have to go. */
void		inspector_top_add(struct inspector_top *top, int64_t key, uint64_t tie, void *item);

/* Whether (key, tie) comes after another. */
bool		inspector_top_is_after(int64_t key, uint64_t tie, int64_t other_key, uint64_t other_tie);

#endif
