/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk.h
 *	  Bulk operations whose progress is seen before their transaction commits; model in bulk.c.
 */
#ifndef REALTIME_BULK_H
#define REALTIME_BULK_H

extern void realtime_bulk_init(void);

/* Ends operations whose session is gone with bulk_failed in this transaction; returns how many. */
extern int	realtime_bulk_reap_dead(void);

#endif
