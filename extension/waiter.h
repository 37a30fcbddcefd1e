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

/*
 * Waits until a commit has logged events since the last wait of this session began to watch, a notification has come,
 * somebody calls wake(), or so many milliseconds (0 to 10000) have passed; the first does not wait. Returns the
 * microseconds it took, -1 at once where nothing can wake this session. From its end on commits are watched for.
 */
extern int64 realtime_waiter_wait(int milliseconds);

/* Has what commits from here on end this session's next wait, if it is one that waits. */
extern void realtime_waiter_watch(void);

extern void realtime_waiter_init(void);

#endif
