/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy.h
 *	  Row-level security of one entity for one role and its claims, as the extension has worked it out
 *	  (realtime.access_policy()): which row images may be seen.
 *
 * What compares columns with constants has become filters: an image may be seen when one of them is true.
 * Policies are immutable and reference-counted in one worker's thread.
 */
#ifndef RT_POLICY_H
#define RT_POLICY_H

#include <stdbool.h>

#include "access.h"
#include "filter.h"
#include "position.h"

enum policy_mode
{
	POLICY_ALL,					/* every row */
	POLICY_NONE,				/* no row */
	POLICY_FILTER,				/* rows for which one of the filters is true */
	POLICY_EVALUATE				/* PostgreSQL must be asked for each image */
};

struct policy
{
	unsigned	refs;
	enum policy_mode mode;
	unsigned	nfilters;		/* of mode evaluate: necessary conditions; 0: none known */
	struct filter *filters;
	char	   *text;			/* equal if and only if the policies are, the claims and the tables that they read */
	unsigned	nreads;			/* registered tables that the policies read: feature, entity, … */
	char	  **reads;
	unsigned	nabsent;		/* claims that the policies read as settings and the token does not have */
	char	  **absent;			/* letters, digits and _ */
	char	   *feature;
	char	   *entity;
	struct position position;	/* what it covers has been taken into account; epoch NULL: unknown */
};

/*
 * Reads what realtime.access_policy() says of these claims; NULL when it cannot be understood. reads is a
 * list of [feature, entity], or empty.
 */
struct policy *policy_parse(const struct entity_access *entity, struct slice json,
							struct slice claims, struct slice reads);
struct policy *policy_ref(struct policy *policy);
void		policy_unref(struct policy *policy);

/* Whether an image may be seen; FILTER_OMITTED when a value that decides was left out. */
enum filter_result policy_match(const struct policy *policy, const struct row *row,
								struct buffer *scratch);

#endif
