/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_top.c
 *	  See inspector_top.h. An array kept in order: it is short, and most of what is offered is refused by one
 *	  comparison.
 */
#include "inspector_top.h"

#include <string.h>

#include "memory.h"

void
inspector_top_init(struct inspector_top *top, unsigned max, void (*free_item) (void *item))
{
	memset(top, 0, sizeof(*top));
	top->max = max;
	top->free_item = free_item;
	top->at = max > 0 ? memory_alloc(sizeof(*top->at) * max) : NULL;
}

void
inspector_top_release(struct inspector_top *top)
{
	for (unsigned i = 0; i < top->n; i++)
		top->free_item(top->at[i].item);
	memory_free(top->at);
	memset(top, 0, sizeof(*top));
}

bool
inspector_top_is_after(int64_t key, uint64_t tie, int64_t other_key, uint64_t other_tie)
{
	return key < other_key || (key == other_key && tie > other_tie);
}

bool
inspector_top_wants(struct inspector_top *top, int64_t key, uint64_t tie)
{
	if (top->n < top->max)
		return true;
	top->is_cut = true;
	return top->n > 0 && inspector_top_is_after(top->at[top->n - 1].key, top->at[top->n - 1].tie, key, tie);
}

void
inspector_top_add(struct inspector_top *top, int64_t key, uint64_t tie, void *item)
{
	unsigned	low = 0;
	unsigned	high = top->n;

	while (low < high)
	{
		unsigned	middle = low + (high - low) / 2;

		if (inspector_top_is_after(key, tie, top->at[middle].key, top->at[middle].tie))
			low = middle + 1;
		else
			high = middle;
	}
	if (top->n == top->max)
	{
		top->free_item(top->at[--top->n].item);
		top->is_cut = true;
	}
	memmove(&top->at[low + 1], &top->at[low], sizeof(*top->at) * (top->n - low));
	top->at[low] = (struct inspector_top_item) {key, tie, item};
	top->n++;
}
