/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector.h
 *	  Looks at the sessions and views of all workers, for /inspector. Knows workers and sessions; not HTTP.
 *
 * Model
 * 1. Nothing is kept for it: who does not look pays nothing. One look (an inspection) goes from worker to
 *	  worker, in each worker's own thread, so it reads without a lock.
 * 2. In a worker it goes through the sessions INSPECTOR_STEP at a time and lets the loop turn in between: many
 *	  sessions make a look take longer, and hold nobody up. What it keeps are copies of the first few.
 *	  worker.inspected is where it goes on; session.c moves it on when that session ends.
 * 3. One look at a time; others wait, at most INSPECTOR_WAITING_MAX.
 * 4. A look is no snapshot: sessions that begin or end meanwhile may be seen or not, none twice.
 * 5. Views are found through their subscriptions, of a session the first INSPECTOR_SUBSCRIPTIONS_MAX.
 */
#ifndef RT_INSPECTOR_H
#define RT_INSPECTOR_H

#include "buffer.h"
#include "inspector_query.h"

#define INSPECTOR_STEP 256		/* sessions in one turn: some 50 microseconds */
#define INSPECTOR_WAITING_MAX 8
#define INSPECTOR_SUBSCRIPTIONS_MAX 200
#define INSPECTOR_NAMES_MAX 20	/* subscriptions that a session's row names */

struct inspector;
struct inspection;
struct worker;
struct loop;

struct inspector *inspector_new(void);
void		inspector_free(struct inspector *inspector);

/* Before the threads start: a worker to be looked at. */
void		inspector_add_worker(struct inspector *inspector, struct worker *worker);

/*
 * Looks, and calls fn in the loop's thread with the answer as JSON, borrowed. NULL: too many wait. The inspection is
 * the inspector's; fn is its end.
 */
typedef void (*inspector_fn) (void *arg, struct slice json);
struct inspection *inspector_look(struct inspector *inspector, const struct inspector_query *query,
								  struct loop *loop, inspector_fn fn, void *arg);

/* In the loop's thread: fn will not be called. */
void		inspection_forget(struct inspection *inspection);

#endif
