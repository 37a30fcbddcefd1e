/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * subscription.h
 *	  One session's share of a view.
 */
#ifndef RT_SUBSCRIPTION_H
#define RT_SUBSCRIPTION_H

#include "outqueue.h"
#include "view.h"

struct session;
struct catchup;
struct recheck;

struct subscription
{
	struct outqueue_owner owner;	/* in the session's queue */
	struct subscription *next;		/* of the session */
	struct session *session;
	struct view *view;
	unsigned	index;				/* in view->subscriptions */
	unsigned	window_ms;			/* how long commits may be held (hold.h); 0: not at all */
	struct catchup *catchup;		/* NULL: the subscription follows the live stream */
	struct recheck *recheck;		/* its rights are being looked up anew */
	bool		is_suspended;		/* nothing more until they have been */
	bool		has_missed;			/* something, while it was suspended */
	const char *gap;				/* too slow: nothing more until this gap has been told; static */
};

#endif
