/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policies.h
 *	  Asks PostgreSQL how row-level security applies to a role with its claims.
 */
#ifndef RT_POLICIES_H
#define RT_POLICIES_H

#include "access.h"
#include "db.h"
#include "loop.h"
#include "policy.h"

/* A question under way. */
struct policies_question;

enum policies_outcome
{
	POLICIES_DONE,
	POLICIES_UNAVAILABLE,		/* the database cannot be asked now */
	POLICIES_FAILED				/* a policy cannot be worked out: said in the log */
};

/*
 * The answer, when the stream has reached where it is of: policies of later must not be applied to what comes of
 * earlier. Policies of the entities under row-level security that the names match; borrowed.
 */
typedef void (*policies_fn) (void *arg, enum policies_outcome outcome, struct policy *const *policies,
							 unsigned n);

/* feature and entity NULL: every. The answer comes later, in the loop's thread. */
struct policies_question *policies_ask(struct loop *loop, struct db *db, struct reach *reach,
									   struct role_access *role, const char *claims,
									   const char *feature, const char *entity, policies_fn fn,
									   void *arg);

/* The answer is not wanted any more. */
void		policies_cancel(struct policies_question *question);

/* Whether row-level security applies to the role on any entity that the names match. */
bool		policies_are_needed(const struct role_access *role, const char *feature,
								const char *entity);

#endif
