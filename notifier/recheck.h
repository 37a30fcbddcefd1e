/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * recheck.h
 *	  Subscriptions whose right to read may have changed: grants, policies, memberships, a renewed token.
 *
 * A marker in the stream says so in order with the data: from there on a suspended subscription gets
 * nothing until what its role may see has been looked up again; then it goes on with a gap (reason
 * access), or ends. Its view keeps its id.
 */
#ifndef RT_RECHECK_H
#define RT_RECHECK_H

#include <stdbool.h>

struct subscription;
struct worker;

/*
 * Looks up anew what a subscription may see. is_suspended: it gets nothing until then, and a gap; otherwise it
 * goes on as it is, and gets a gap if something is different.
 */
void		recheck_subscription(struct worker *worker, struct subscription *subscription,
								 bool is_suspended);

/*
 * The same for one that has just been told a gap: it gets nothing until then, and another gap only if it has
 * missed something or may see something else.
 */
void		recheck_quietly(struct worker *worker, struct subscription *subscription);

/* A round of evaluation has ended, which the lookup may have waited for. */
void		recheck_round_ended(struct subscription *subscription);

/* The subscription ends. */
void		recheck_drop(struct worker *worker, struct subscription *subscription);

#endif
