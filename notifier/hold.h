/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * hold.h
 *	  Windows: what the live stream has for subscriptions with a window is held for a while, then given on as
 *	  one commit for each, in which the events of a row are merged.
 *
 * Model
 * 1. A session has one hold for all its subscriptions with a window. It begins with the first transaction that is
 *	  held and ends for all of them together, so that the position that follows covers all of it. While it lasts
 *	  the session gets no position. Subscriptions without a window do not come here.
 * 2. Windows end at multiples of their length, at most their length after the first transaction: sessions with the
 *	  same view hold the same frames, which are merged once. The shortest window of what is held counts.
 * 3. It ends early before any gap, before a subscription ends or begins, before rights are looked up anew, when it
 *	  is as large as a queue may be, at the heartbeat, and when a sync asks for a transaction. If that is among what
 *	  is held, nothing of it is merged: who writes himself must see whose change each is, and which came first. While
 *	  a sync waits, nothing is held.
 *	  Parts of a transaction of which more is to come stay until it is whole, whatever ends.
 * 4. Transactions of the session's own user and of others are not merged with each other: where one follows the other what is
 *	  held so far is given on. So who writes sees whose change each is also before he can ask, where writers say who they are.
 * 5. Nothing is held while a subscription of the session catches up. What is held is lost with the session: the
 *	  client's position is before it.
 *
 * All calls are made in the worker's thread.
 */
#ifndef RT_HOLD_H
#define RT_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "merge.h"
#include "wheel.h"

#define HOLD_TICK_MS 5			/* how exact windows are */

struct delivery;
struct session;
struct subscription;
struct worker;

/* A worker's. Embedded. */
struct holds
{
	struct worker *worker;
	struct wheel wheel;			/* its now: milliseconds of the clock by HOLD_TICK_MS */
	struct loop_timer *timer;	/* while something is held */
	struct merge_memo memo;		/* while windows end */
};

void		holds_init(struct holds *holds, struct loop *loop, struct worker *worker);
void		holds_release(struct holds *holds);

/* Holds frames of a live subscription with a window; false: they are to be given on now. */
bool		hold_takes(struct session *session, struct subscription *subscription,
					   const struct delivery *delivery);

/* Whether more must not be held: queue and hold together have so many bytes. */
bool		hold_is_full(const struct session *session, size_t limit);

/*
 * Gives on what is held, if anything: merged, unless this transaction (0: none) is among it. hold_end_told() tells the
 * position, too, as soon as one may be told; the other is for who does so himself, or has a gap to tell first.
 */
void		hold_end(struct session *session, uint64_t tx);
void		hold_end_told(struct session *session, uint64_t tx);

/* A subscription ends, or the session: what is held for it goes. */
void		hold_drop_subscription(struct session *session, struct subscription *subscription);
void		hold_drop(struct session *session);

#endif
