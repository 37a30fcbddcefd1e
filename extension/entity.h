/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * entity.h
 *	  What the backend knows of a registered table: its names, columns, key and defined events.
 *
 * An entity belongs to the registered (root) table; a leaf maps the columns of one member (itself,
 * a partition, an inheritance child) to it.  Both are cached for the backend's life and rebuilt
 * after a relcache invalidation; a replaced one stays valid until the transaction ends, because
 * pending changes point to it.
 */
#ifndef REALTIME_ENTITY_H
#define REALTIME_ENTITY_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"

#include "json.h"

typedef enum RealtimePriority
{
	REALTIME_PRIORITY_LOW,
	REALTIME_PRIORITY_NORMAL,
	REALTIME_PRIORITY_HIGH,
	REALTIME_PRIORITY_CRITICAL
} RealtimePriority;

typedef enum RealtimeNotify
{
	REALTIME_NOTIFY_AUTO,		/* ring when a notifier waits */
	REALTIME_NOTIFY_ALWAYS,		/* notify at every commit */
	REALTIME_NOTIFY_NEVER		/* ring an empty bell */
} RealtimeNotify;

extern const char *const realtime_priority_names[];

/* Index of a name in {low, normal, high, critical}, or -1. */
extern int	realtime_priority_from_name(const char *name);
extern int	realtime_notify_from_name(const char *name);

typedef struct RealtimeColumn
{
	char	   *name;
	char	   *prefix;			/* "name": with the colon, escaped */
	int			prefix_len;
	AttrNumber	attnum;			/* in the root */
	int16		typlen;
	bool		typbyval;
	bool		is_needed;		/* key, status, policies: written though unchanged and out of line */
	RealtimeJsonType *json;
} RealtimeColumn;

typedef struct RealtimeDerived
{
	char	   *action;
	char	   *status;			/* fires when the status becomes this; NULL: whatever it is */
	int		   *columns;		/* indexes into columns; fires when one of them changed */
	int			ncolumns;
	char	   *condition;		/* SQL text; NULL: none */
	int			priority;		/* RealtimePriority */
} RealtimeDerived;

typedef struct RealtimeEntity
{
	Oid			root;
	char	   *feature;
	char	   *entity;
	char	   *event_prefix;	/* {"event":"feature.entity.    (escaped, the action follows) */
	int			event_prefix_len;
	char	   *names;			/* ","feature":"…","entity":"…","action":"   (the action follows) */
	int			names_len;
	RealtimeColumn *columns;	/* the captured ones, keys included */
	int			ncolumns;
	int		   *keys;			/* indexes into columns, in key order */
	int			nkeys;
	int			status;			/* index into columns, or -1 */
	RealtimeDerived *derived;
	int			nderived;		/* at most 64: matches are a bit mask */
	int			priority;
	int			notify;			/* RealtimeNotify */
	bool		notify_data;	/* NOTIFY payloads may carry row data */
	int64		bulk_threshold;	/* rows; -1: never */
	bool		coalesce;
	bool		has_conditions;
	bool		needs_snapshot;	/* encoding may run functions: other types than the plain ones */
} RealtimeEntity;

typedef struct RealtimeLeaf
{
	Oid			relid;
	RealtimeEntity *entity;
	TupleDesc	tupdesc;		/* a copy */
	AttrNumber *attnums;		/* of entity->columns in this relation */
	bool		is_heap;
	/* conditions of derived events over this relation's rows, or NULL */
	EState	   *estate;
	ExprState **conditions;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	bool		is_evaluating;
} RealtimeLeaf;

/* The leaf of a relation that has the capture trigger; NULL when nothing above it is registered. */
extern RealtimeLeaf *realtime_leaf_get(Relation relation);

/* The bit mask of derived events whose condition holds (or that have none); old may be NULL. */
extern uint64 realtime_leaf_conditions(RealtimeLeaf *leaf, HeapTuple old_tuple, HeapTuple new_tuple);

/* The registered relation that a relation belongs to (itself or an ancestor), or InvalidOid. */
extern Oid	realtime_registered_root(Oid relid);

/* Raises an error unless a registration's columns and conditions fit its relation as it is now. */
extern void realtime_entity_check(Oid relid);

/* Frees replaced definitions; called when no pending change can point to one. */
extern void realtime_entity_release_retired(void);

extern void realtime_entity_init(void);

#endif
