/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * access.h
 *	  What a role may read: every registered entity, with its columns, as PostgreSQL's grants say.
 *
 * Model
 * 1. What a role may see is loaded whole and is immutable after; the cache has one such object per role
 *	  that sessions use. It belongs to one worker's thread; the queries run in the pool.
 * 2. Once a second one statement asks whether anything that it depends on has changed (registrations,
 *	  grants, memberships, columns). If so all roles are loaded again, and on_change tells who is affected.
 * 3. What is loaded again is told when the stream has reached where it is of: before that, rights of later would be
 *	  applied to what comes of earlier.
 * 4. Entities on which row-level security applies to the role are marked (has_policies): a view on them
 *	  needs the evaluation of policies.
 */
#ifndef RT_ACCESS_H
#define RT_ACCESS_H

#include <stdbool.h>

#include "db.h"
#include "filter.h"
#include "loop.h"
#include "position.h"
#include "reach.h"

struct access;

struct access_column
{
	char	   *name;
	struct slice json_name;		/* as inside a JSON string */
	enum filter_type type;
	char	   *type_name;		/* for a cast: the base type of a domain, without modifiers */
	bool		is_readable;
	bool		is_deterministic;	/* its collation: equality is equality of bytes */
};

struct entity_access
{
	char	   *feature;
	char	   *entity;
	bool		is_table;
	bool		can_read;		/* the role may subscribe */
	bool		has_policies;
	bool		is_all_readable;	/* every captured column is */
	bool		numeric_as_string;
	char	   *relation;		/* quoted, with schema; NULL for a topic */
	char	   *oid;			/* the relation's; NULL for a topic */
	char	   *status_column;
	unsigned	nkey;
	unsigned   *key;			/* columns, by their index, in key order */
	unsigned	ncolumns;
	struct access_column *columns;
	/* all of the above as text, and what policies see of the role: equal if and only if nothing changed */
	char	   *print;
};

struct role_access
{
	unsigned	refs;			/* one thread */
	char	   *role;
	struct position position;	/* what it covers has been taken into account; epoch NULL: unknown */
	const struct access *access;	/* that loaded it */
	unsigned	marks;			/* that access had when the load began */
	bool		is_member;		/* the daemon may take on the role, for others */
	unsigned	nentities;
	struct entity_access *entities;	/* by feature, then entity */
};

/* NULL when the database cannot be asked now. Borrowed: take a reference to keep it. */
typedef void (*access_fn) (void *arg, struct role_access *role);

/* A role's access was loaded anew and differs. old and now stay valid during the call. */
typedef void (*access_change_fn) (void *arg, struct role_access *old, struct role_access *now);

struct access *access_new(struct loop *loop, struct db *db, struct reach *reach,
						  access_change_fn on_change, void *arg);

/* Requests under way end with NULL. The pool must still run, or have been freed before. */
void		access_free(struct access *access);

/* What a role may see: at once when it is known and may be used, else later in this thread. is_fresh: load it anew. */
void		access_request(struct access *access, const char *role, bool is_fresh, access_fn fn,
						   void *arg);

/*
 * Rights have changed, says the stream: what was loaded before is not current any more. Counts such marks,
 * so that who asks of rights step by step can tell whether one came between.
 */
void		access_mark(struct access *access);
unsigned	access_marks(const struct access *access);
bool		access_is_current(const struct access *access, const struct role_access *role);

/* Takes back requests with this argument: their function is not called. */
void		access_cancel(struct access *access, void *arg);

struct role_access *role_access_ref(struct role_access *role);
void		role_access_unref(struct role_access *role);

/* Whether two loads of a role say the same. */
bool		role_access_is_same(const struct role_access *a, const struct role_access *b);

const struct entity_access *role_access_find(const struct role_access *role, struct slice feature,
											 struct slice entity);
const struct access_column *entity_access_column(const struct entity_access *entity,
												 const char *name);

#endif
