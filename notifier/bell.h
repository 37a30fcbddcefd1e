/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bell.h
 *	  The armed doorbell: a connection that holds the lock which makes writers ring.
 *
 * Model
 * 1. The connection only arms, disarms and says that it lives. It does not LISTEN: a stopped process does
 *	  not read, and a session that cannot send its notifications cannot time out either, so it would keep
 *	  the lock, and all writers ringing. Idle for BELL_IDLE_TIMEOUT, the server ends it, and the lock is gone.
 * 2. Arming waits for the writers that were told not to ring, BELL_LOCK_TIMEOUT at a time, then pauses: whoever
 *	  waits makes all others ring.
 * 3. on_change comes when it is armed (a poll that begins after it sees all that did not ring) and
 *	  when it is not armed any more without having been asked; also when its connection is up again.
 */
#ifndef RT_BELL_H
#define RT_BELL_H

#include <stdbool.h>

#include "loop.h"

#define BELL_IDLE_TIMEOUT "10s"	/* the server's idle_session_timeout */
#define BELL_LOCK_TIMEOUT "100ms"
#define BELL_ALIVE_MS 3000		/* how often it says that it lives; unanswered for so long: lost */
#define BELL_CHECK_MS 1000		/* bell_check() asks at most so often */

struct bell;

struct bell *bell_new(struct loop *loop, const char *conninfo, loop_fn on_change, void *arg);
void		bell_free(struct bell *bell);

/* Arms soon; does nothing when it is armed, being armed, or pausing after an attempt. */
void		bell_arm(struct bell *bell);
void		bell_disarm(struct bell *bell);

/* Has the server end the wait of another session (realtime.read()), or its next one. */
void		bell_wake(struct bell *bell, int pid);

/* Asks the server whether the lock is still held. */
void		bell_check(struct bell *bell);
bool		bell_is_armed(const struct bell *bell);

#endif
