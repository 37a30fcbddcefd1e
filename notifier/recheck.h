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

/* The subscription ends. */
void		recheck_drop(struct worker *worker, struct subscription *subscription);

#endif
