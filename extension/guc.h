/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * guc.h
 *	  The settings of the extension. Variables live for the backend's life, set by PostgreSQL alone.
 */
#ifndef REALTIME_GUC_H
#define REALTIME_GUC_H

typedef enum RealtimeOnError
{
	REALTIME_ON_ERROR_ABORT,	/* the transaction fails with the log's error */
	REALTIME_ON_ERROR_GAP		/* it commits, one gap marker replaces its events */
} RealtimeOnError;

extern bool realtime_enabled;		/* off: owners' and superusers' changes are not captured */
extern char *realtime_user;			/* who did it, or empty */
extern char *realtime_session;		/* in which session of the application, or empty */
extern bool realtime_doorbell;		/* off: no commit asks whether to ring, none rings */
extern int	realtime_retention;		/* s of history kept at least */
extern int	realtime_max_log_size;	/* MB of history kept at most, about */
extern int	realtime_on_error;		/* RealtimeOnError */
extern int	realtime_max_value_size;	/* kB; larger values are left out of events */
extern int	realtime_pending_memory;	/* kB of pending changes in memory before they spill */

extern void realtime_guc_init(void);

#endif
