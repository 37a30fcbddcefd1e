/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * merge.h
 *	  Commits of one view that wait become one: the events of a row are merged into what the row was before and
 *	  is now. Knows queues and views, no sessions.
 *
 * Model
 * 1. Of a row, what came (created, entered) stays so with the last data; updates become one with the first old
 *	  values and the last data; what went (deleted, left) stands for what was before it. A value that an update
 *	  leaves out (meta.omitted) is taken from an earlier event, unless it has changed since.
 * 2. A row stands where its last change stood. An event that stands for several has the meta of the last one, with
 *	  "merged":true.
 * 3. MERGE_STATE, for readers too slow: only the rows' state counts. Views get it that ask for nothing else. What
 *	  came and went is nothing; a truncation voids what was before.
 * 4. MERGE_WINDOW: nothing is lost that is not an earlier state of a row. What went ends what is merged of its row:
 *	  a delete is always told. All other events stay as they are, in their place between those of their row, or of
 *	  all rows if they have no id.
 */
#ifndef RT_MERGE_H
#define RT_MERGE_H

#include <stdbool.h>

#include "frame.h"
#include "outqueue.h"
#include "subscription.h"

enum merge_kind
{
	MERGE_STATE,
	MERGE_WINDOW
};

/* The last merging, for others whose queues hold the same frames. Zeroed at first. */
struct merge_memo
{
	const struct view *view;
	unsigned	nbefore;
	struct frame **before;
	unsigned	nafter;
	struct frame **after;
	unsigned	ngone;
};

/* Forgets it: at the latest before the view may end. */
void		merge_forget(struct merge_memo *memo);

/*
 * Merges the commits of a subscription among a queue's unsealed entries, from one on, if there are several: they
 * become one, in parts if it is large, in the place of the last; or nothing. Entries in the place of others have no
 * frame: outqueue_compact(). Returns whether anything was merged; *ngone, which may be NULL: how many events less.
 */
bool		merge_commits(struct outqueue *queue, struct subscription *subscription, unsigned from,
						  enum merge_kind kind, struct merge_memo *memo, unsigned *ngone);

#endif
