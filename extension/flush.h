/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * flush.h
 *	  Writes the pending changes of a transaction as events to the commit log and rings the bell.
 */
#ifndef REALTIME_FLUSH_H
#define REALTIME_FLUSH_H

#include "pending.h"

/* Writes all; may_notify is false for a transaction that is being prepared. */
extern void realtime_flush_pending(RealtimePending *pending, RealtimeTransaction *transaction,
								   bool may_notify);

/*
 * Who changes data: realtime.user, else the sub claim of request.jwt.claims, else the role; and
 * realtime.session or NULL. Allocated in the current context.
 */
extern void realtime_actor(char **user, char **session);

extern void realtime_flush_init(void);

#endif
