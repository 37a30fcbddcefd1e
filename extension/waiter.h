/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * waiter.h
 *	  Sessions that wait in the server for the next commit with events; the model is in waiter.c.
 */
#ifndef REALTIME_WAITER_H
#define REALTIME_WAITER_H

/* This transaction appends to the log: once it has committed, sessions that wait are woken. */
extern void realtime_waiter_note_append(void);

extern void realtime_waiter_init(void);

#endif
