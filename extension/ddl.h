/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * ddl.h
 *	  What the event triggers of ddl.c and ddl_drop.c share; the model is in ddl.c.
 */
#ifndef REALTIME_DDL_H
#define REALTIME_DDL_H

#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/pg_list.h"

/* The names that realtime.add_triggers() gives. */
#define DDL_TRIGGER_CAPTURE "realtime_capture"
#define DDL_TRIGGER_TRUNCATE "realtime_truncate"

/* The reasons of markers, as subscribers read them. */
#define DDL_REASON_COLUMNS "columns changed"
#define DDL_REASON_TYPE "type changed"
#define DDL_REASON_TRIGGERS_DISABLED "triggers disabled"
#define DDL_REASON_TRIGGERS_ENABLED "triggers enabled"
#define DDL_REASON_TRIGGERS_DROPPED "triggers dropped"
#define DDL_REASON_ATTACHED "partition attached"
#define DDL_REASON_DETACHED "partition detached"
#define DDL_REASON_PARTITION_DROPPED "partition dropped"
#define DDL_REASON_INHERITANCE "inheritance changed"
#define DDL_REASON_TABLE_DROPPED "table dropped"

/* One object of an event trigger's command. */
typedef struct RealtimeDdlObject
{
	Oid			classid;
	Oid			objid;
	int32		objsubid;
	char	   *names[3];		/* its address: schema, table, trigger; NULL where there is none */
} RealtimeDdlObject;

/* The event trigger's data; an internal error when the function is called in any other way. */
extern EventTriggerData *realtime_ddl_trigger_data(FunctionCallInfo fcinfo);

/* The registered relations; NIL also while the extension's tables are being made or dropped. */
extern List *realtime_ddl_registered(void);

/* Whether a relation exists, may hold rows and is not temporary. */
extern bool realtime_ddl_is_table(Oid relid);

/*
 * The registered relations whose rows a command on a table touches: the one it belongs to, and,
 * when the command recurses, registered ones below it.
 */
extern List *realtime_ddl_roots(Oid relid, bool recurses);

/* Logs a marker for each root; refuses the command unless each registration fits its relation. */
extern void realtime_ddl_mark(List *roots, const char *reason);
extern void realtime_ddl_check(List *roots);

/* Oids that are in both lists. */
extern List *realtime_ddl_intersection(List *a, List *b);

/* Whether a trigger's name is one that realtime.add_triggers() gives. */
extern bool realtime_ddl_is_trigger_name(const char *name);

/*
 * The objects that a query lists (classid, objid, objsubid, three names), as a List of
 * RealtimeDdlObject in the current context.
 */
extern List *realtime_ddl_list_objects(const char *query);

/* The values of a type read differently now: marks and checks registered tables that hold any. */
extern void realtime_ddl_type_changed(Oid typid);

/* A policy was dropped: tells the registered tables whose access depends on its table. */
extern void realtime_ddl_policy_dropped(const RealtimeDdlObject *policy);

/* The registered tables made OF a composite type. */
extern List *realtime_ddl_typed_tables(Oid typid);

#endif
