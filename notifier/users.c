/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * users.c
 *	  See users.h. All are counted, limit or not: a reload may set one.
 */
#include "users.h"

#include <pthread.h>
#include <string.h>
#include <uthash.h>

#include "memory.h"

struct user
{
	UT_hash_handle hh;
	unsigned	sessions;
	char		name[];
};

struct users
{
	pthread_mutex_t lock;
	struct user *users;
};

struct users *
users_new(void)
{
	struct users *users = memory_alloc_zeroed(sizeof(*users));

	pthread_mutex_init(&users->lock, NULL);
	return users;
}

void
users_free(struct users *users)
{
	struct user *user;
	struct user *next;

	HASH_ITER(hh, users->users, user, next)
	{
		HASH_DEL(users->users, user);
		memory_free(user);
	}
	pthread_mutex_destroy(&users->lock);
	memory_free(users);
}

bool
users_enter(struct users *users, const char *name, unsigned max)
{
	struct user *user;
	bool		is_allowed;

	if (name == NULL)
		return true;
	pthread_mutex_lock(&users->lock);
	HASH_FIND_STR(users->users, name, user);
	is_allowed = max == 0 || user == NULL || user->sessions < max;
	if (is_allowed && user == NULL)
	{
		user = memory_alloc_zeroed(sizeof(*user) + strlen(name) + 1);
		memcpy(user->name, name, strlen(name) + 1);
		HASH_ADD_STR(users->users, name, user);
	}
	if (is_allowed)
		user->sessions++;
	pthread_mutex_unlock(&users->lock);
	return is_allowed;
}

void
users_leave(struct users *users, const char *name)
{
	struct user *user;

	if (name == NULL)
		return;
	pthread_mutex_lock(&users->lock);
	HASH_FIND_STR(users->users, name, user);
	if (user != NULL && --user->sessions == 0)
	{
		HASH_DEL(users->users, user);
		memory_free(user);
	}
	pthread_mutex_unlock(&users->lock);
}
