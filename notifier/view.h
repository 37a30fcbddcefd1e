/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * view.h
 *	  What some sessions want alike: entity, actions, filter, columns, and what their role may read.
 *
 * Decides what an event is to a view (an edge), and writes it as the view's subscribers see it. Knows no
 * sessions. Everything runs in one worker's thread.
 */
#ifndef RT_VIEW_H
#define RT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "access.h"
#include "buffer.h"
#include "evalgroup.h"
#include "event.h"
#include "filter.h"
#include "policy.h"

struct past;
struct subscription;
struct view_pending;			/* hub.c: what the current transaction has for the view */

#define VIEW_ID_SIZE 16

/* What an event is to a view. */
enum edge
{
	EDGE_NONE,					/* not for it */
	EDGE_SAME,					/* as the event says */
	EDGE_ENTERED,
	EDGE_LEFT,
	EDGE_NEWS,					/* of a row whose old image the policies hide: without what it was */
	EDGE_OMITTED				/* cannot be told: a value that the filter needs was left out */
};

struct subscriptions
{
	struct subscription **at;
	unsigned	n;
	unsigned	room;
};

struct view
{
	UT_hash_handle hh;			/* in the hub, by key */
	char	   *key;			/* equal if and only if the views are: what was asked, and the policies */
	size_t		id_len;			/* of the key, without the policies */
	char		id[VIEW_ID_SIZE];
	struct role_access *role;
	const struct entity_access *entity; /* NULL with a wildcard; points into role */
	char	   *feature;		/* NULL: every */
	char	   *entity_name;	/* NULL: every */
	unsigned	nactions;		/* 0: every */
	char	  **actions;		/* sorted */
	struct filter filter;
	unsigned	npolicies;		/* of the entities under row-level security; sorted as role's entities */
	struct policy **policies;
	struct eval_group **groups;	/* of policies of mode evaluate, NULL for the others; NULL: none at all */
	const struct policy *policy;	/* of entity; NULL: every row may be seen */
	const struct eval_group *group;	/* of that policy */
	char	   *claims;			/* of whoever made the view: equal policies show equal rows */
	unsigned	ncolumns;		/* columns asked for; 0: all that may be read */
	char	  **columns;		/* sorted */
	bool		is_projected;	/* some captured columns are not visible */
	unsigned	nvisible;		/* when is_projected */
	struct slice *visible;		/* names as inside JSON strings; point into role */
	struct subscriptions subscriptions;
	const struct subscriptions *replayers;	/* those that a replay is for, while it plays; else NULL */
	struct past *past;			/* what it has for them (catchup_state.h) */

	/* the hub's */
	unsigned	unsettled;		/* subscriptions being made for it: keeps it alive */
	uint64_t	stamp;			/* last event looked at */
	unsigned	inspection;		/* the last that saw it (inspector.c) */
	unsigned	nindexed;		/* equalities that it is found by; 0: none */
	const struct filter_term **indexed;
	struct view_pending *pending;
};

/* What is wanted, before it is a view. Strings are borrowed; the filter is taken over. */
struct view_request
{
	struct role_access *role;
	const struct entity_access *entity;
	const char *feature;
	const char *entity_name;
	unsigned	nactions;
	const char *const *actions;
	struct filter filter;		/* normalized */
	const char *filter_text;	/* by filter_normalize() */
	unsigned	ncolumns;
	const char *const *columns;
	unsigned	npolicies;
	struct policy *const *policies;	/* references are taken */
	const char *claims;
};

/*
 * The key of a request; malloc'd. The view's id is made of its first id_len bytes, without the policies: it
 * stays what it is for a subscription whose policy changes.
 */
char	   *view_request_key(const struct view_request *request, size_t *id_len);

/* A view; takes over key and filter. id_key is random bytes that make ids unguessable (16). */
struct view *view_new(const struct view_request *request, char *key, size_t id_len,
					  const unsigned char *id_key);
void		view_free(struct view *view);

/* The key that a view would have with other policies; malloc'd. */
char	   *view_key_with(const struct view *view, struct policy *const *policies, unsigned n);

/* The same view, with its id, under another key and with other policies; takes over key. */
struct view *view_clone(const struct view *view, char *key, struct role_access *role,
						struct policy *const *policies, unsigned n, const char *claims);

/* Changes what may be read (same role, loaded anew): its columns are worked out again. */
void		view_set_access(struct view *view, struct role_access *role,
							const struct entity_access *entity);

/* For a view with wildcards: the entity that the next events are of, NULL for none; sets its columns. */
void		view_set_scope(struct view *view, const struct entity_access *entity);

/* Whether the view knows how row-level security on an entity applies to it. */
bool		view_has_policy_for(const struct view *view, const struct entity_access *entity);

/* Whether a policy of the view must be evaluated by PostgreSQL. */
bool		view_needs_evaluation(const struct view *view);

/* Joins the groups of such policies; once, before the view gets events. */
void		view_join_groups(struct view *view, struct eval_registry *registry);

/* Whether rows are looked at before they are shown. */
static inline bool
view_has_conditions(const struct view *view)
{
	return view->filter.nterms > 0 || view->policy != NULL;
}

/* Whether the view wants an action. */
bool		view_wants(const struct view *view, struct slice action);
bool		view_wants_name(const struct view *view, const char *action);

/* Whether the view wants an action of rows that a bulk summary stands for. */
bool		view_wants_replaced(const struct view *view, struct slice summary);

/* Whether a column is visible, by its name as inside a JSON string. */
bool		view_shows(const struct view *view, struct slice column);

/*
 * What an event is to a view. new_row is the new image's columns (for derived events: of the row change
 * before them; for custom events: their data), old_row the old image's; NULL when there is none. ordinal
 * numbers the event that has the images, for their verdicts.
 */
enum edge	view_edge(const struct view *view, const struct event *event, bool is_derived,
					  const struct row *new_row, const struct row *old_row, unsigned ordinal,
					  struct buffer *scratch);

/* Appends an event as the view sees it. has_row: its data is a row (a row change or derived from one). */
void		view_write_event(const struct view *view, const struct event *event, enum edge edge,
							 bool has_row, bool is_without_keys, struct buffer *out);

/*
 * Appends a row (a JSON object, as row_json writes it) with its id: {"id":…,"data":{…}}. id: the key's values
 * as text, a slice without address for null.
 */
void		view_write_row(const struct entity_access *entity, const struct slice *id,
						   struct slice data, struct buffer *out);

/* A vector of subscriptions. */
void		subscriptions_add(struct subscriptions *list, struct subscription *subscription);
void		subscriptions_remove_at(struct subscriptions *list, unsigned i);

#endif
