/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * users.h
 *	  How many sessions each user has, over all workers, for the limit. Thread-safe.
 */
#ifndef RT_USERS_H
#define RT_USERS_H

#include <stdbool.h>

struct users;

struct users *users_new(void);
void		users_free(struct users *users);

/* Counts a session of a user; false, and not counted, when he has max already. NULL counts for nobody. */
bool		users_enter(struct users *users, const char *name, unsigned max);

/* One of the sessions that were counted has ended. */
void		users_leave(struct users *users, const char *name);

#endif
