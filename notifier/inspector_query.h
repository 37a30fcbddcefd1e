/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_query.h
 *	  What is asked of /inspector/data, from the query of its address. Pure.
 */
#ifndef RT_INSPECTOR_QUERY_H
#define RT_INSPECTOR_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "jsonscan.h"

#define INSPECTOR_ROWS_MAX 100	/* sessions, and views, in one answer: some 50 kB */
#define INSPECTOR_FIND_MAX 100	/* bytes */

/* Which sessions come first. */
enum inspector_sort
{
	INSPECTOR_BY_QUEUE,			/* bytes that wait */
	INSPECTOR_BY_SUBSCRIPTIONS,
	INSPECTOR_OLDEST,
	INSPECTOR_NEWEST
};

struct inspector_query
{
	unsigned	sessions;		/* at most so many; 0: they are not looked at */
	unsigned	views;
	enum inspector_sort sort;
	bool		has_after;		/* what comes after this key, as an answer's "next" says */
	int64_t		after_key;
	uint64_t	after_tie;
	char		find[INSPECTOR_FIND_MAX];	/* in user, role or address; find_len 0: all */
	size_t		find_len;
};

/*
 * sessions=N, views=N, sort=queue|subscriptions|oldest|newest, after=KEY, find=TEXT; each at most once.
 * RT_MALFORMED: *why says what is wrong (static).
 */
int			inspector_query_parse(struct inspector_query *query, struct slice text,
								  const char **why) RT_MUST_CHECK;

#endif
