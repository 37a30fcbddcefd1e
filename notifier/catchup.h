/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catchup.h
 *	  How a subscription comes to the live stream: from a snapshot, or from a position in the past.
 *
 * Model
 * 1. While the content (snapshot parts, or the frames of past transactions) is fetched, commits of the live
 *	  stream are held. Then the content is fed into the session's queue as it drains, then what was held.
 * 2. The content is as of a position, the join. Commits that it covers are skipped, held or live, until the
 *	  stream has passed it (the stream's position covers the join): then the subscription is live. So are those that
 *	  since covers, which may be ahead of the stream: it came from another notifier.
 * 3. Meanwhile the session sends no position: for a resumption from the beginning (also when it becomes a
 *	  snapshot, so that a position without one says that none will come), for a snapshot from its first part on.
 *	  A snapshot that was asked for comes whole: when a gap comes before its last part it begins again.
 * 4. Work is shared: one query for all that ask for the same snapshot, one pass over the recent batches or
 *	  one read of the log for all that resume at about the same time; what it has for a view is kept once.
 * 5. What is fetched is fed in turns, so that those who are live do not notice.
 */
#ifndef RT_CATCHUP_H
#define RT_CATCHUP_H

#include <stdbool.h>
#include <stdint.h>

#include "hub.h"
#include "position.h"
#include "protocol.h"

struct catchups;				/* a worker's */
struct worker;
struct session;
struct subscription;

struct catchups *catchups_new(struct worker *worker);
void		catchups_free(struct catchups *catchups);

/* Takes a snapshot for a new subscription; order and limit are the message's. */
void		catchup_snapshot(struct worker *worker, struct subscription *subscription,
							 const struct message *message);

/*
 * Resumes a new subscription from a position (taken over). When history no longer reaches back it gets a
 * gap, then a snapshot if the message wants one.
 */
void		catchup_resume(struct worker *worker, struct subscription *subscription,
						   struct position *since, const struct message *message);

/* A delivery of the live stream for a subscription that is catching up: held, skipped, or false: pass. */
bool		catchup_takes(struct subscription *subscription, const struct delivery *delivery);

/* The session's queue has been written out, or nearly: those of its subscriptions that catch up get more, soon. */
void		catchups_wake(struct session *session);

/* Whether positions must wait for this subscription. */
bool		catchup_withholds(const struct subscription *subscription);

/* The stream has a new position: who has passed his join is live. */
void		catchups_advance(struct worker *worker);

/*
 * The stream starts anew, at the worker's new position: everything under way is void. The subscriptions are live after a
 * gap, which the worker tells; those that have not had the snapshot that they asked for, or resume and want one, then get
 * one, made after it.
 */
void		catchups_reset(struct worker *worker);

/*
 * What a subscription may see is another: what was fetched is void. A snapshot that has not come whole waits, to be begun
 * again by catchup_go_on(); one that the stream has still to pass stays, suspended by that until then, and then gets its gap;
 * any other catch-up ends. Whether a gap is due now: something was sent, or is not any more.
 */
bool		catchup_void(struct worker *worker, struct subscription *subscription);
void		catchup_go_on(struct worker *worker, struct subscription *subscription);

/* A subscription that has had all of the stream up to a position, which its new stream may not have reached. */
void		catchup_join(struct worker *worker, struct subscription *subscription,
						 const struct batch *at);

/* The subscription ends. */
void		catchup_drop(struct worker *worker, struct subscription *subscription);

#endif
