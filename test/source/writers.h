/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * writers.h
 *	  Concurrent writers: short and long transactions, savepoints, rollbacks, prepared transactions,
 *	  asynchronous commits, some of several log rows. Each in a thread with a connection of its own.
 */
#ifndef RT_TEST_WRITERS_H
#define RT_TEST_WRITERS_H

struct writers;

/* The table source_t must exist. They connect again when the server goes away. */
struct writers *writers_start(const char *conninfo, unsigned n);

/* Ends them, prepared transactions too; returns how many transactions they committed. */
unsigned long writers_stop(struct writers *writers);

#endif
