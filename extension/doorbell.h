/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * doorbell.h
 *	  NOTIFY only when somebody waits for it; the model is in doorbell.c.
 */
#ifndef REALTIME_DOORBELL_H
#define REALTIME_DOORBELL_H

#include "storage/lock.h"

/* The keys of this extension's lock tags (LOCKTAG_ADVISORY with field4 = 3). */
typedef enum RealtimeLock
{
	REALTIME_LOCK_PRUNE = 2,
	REALTIME_LOCK_REGISTER = 3
} RealtimeLock;

/* Fills a lock tag of this extension in this database. */
extern void realtime_lock_tag(LOCKTAG *tag, RealtimeLock key);

/* Whether a notifier waits for a bell. False keeps this transaction's lock until it ends. */
extern bool realtime_doorbell_is_wanted(void);

/* Disarms this session if it is armed: what resets a session calls it. */
extern void realtime_doorbell_disarm(void);

#endif
