/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * catalog.h
 *	  Access to the extension's own tables, past privileges, snapshots and logical decoding.
 *
 * Columns are found by name, so that a library older or newer than the tables (an upgrade while
 * sessions are open) works on.  Reads see the newest committed rows and the transaction's own.
 * Writes are not decoded logically: a FOR ALL TABLES publication carries none of them.
 */
#ifndef REALTIME_CATALOG_H
#define REALTIME_CATALOG_H

#include "access/genam.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"

/* Opens realtime.<name>; an undefined_table error with hint when the extension is not installed. */
extern Relation realtime_table_open(const char *name, LOCKMODE mode);

/* The attribute number of a column; an internal error when there is none. */
extern AttrNumber realtime_table_attnum(Relation table, const char *column);

/* Value of a named column of a tuple; sets *isnull. Borrowed from the tuple. */
extern Datum realtime_table_get(Relation table, HeapTuple tuple, const char *column, bool *isnull);

/* A copy of a text column's value, NULL when null. */
extern char *realtime_table_get_text(Relation table, HeapTuple tuple, const char *column);

/* Inserts values given by column name (n of them) with index entries. */
typedef struct RealtimeValue
{
	const char *column;
	Datum		value;
	bool		isnull;
} RealtimeValue;
extern void realtime_table_insert(Relation table, const RealtimeValue *values, int n);
extern void realtime_table_insert_tuple(Relation table, HeapTuple tuple);
extern void realtime_table_delete(Relation table, HeapTuple tuple);

/* Scans the table with a fresh snapshot; end with realtime_table_endscan. Nothing to free between. */
typedef struct RealtimeScan
{
	Relation	table;			/* borrowed */
	struct TableScanDescData *scan;
	struct SnapshotData *snapshot;
} RealtimeScan;
extern void realtime_table_beginscan(RealtimeScan *scan, Relation table);
extern HeapTuple realtime_table_next(RealtimeScan *scan);
extern void realtime_table_endscan(RealtimeScan *scan);

/*
 * The registration of a relation, or of (feature, entity): true when there is one. Strings are
 * copied into the current context. relid is InvalidOid for topics.
 */
typedef struct RealtimeRegistration
{
	char	   *feature;
	char	   *entity;
	Oid			relid;
	Oid			owner;
	Jsonb	   *settings;
} RealtimeRegistration;
extern bool realtime_registration_of_relation(Oid relid, RealtimeRegistration *out);
extern bool realtime_registration_of_name(const char *feature, const char *entity,
										  RealtimeRegistration *out);
/* Removes a relation's registration without a permission check; false when there is none. */
extern bool realtime_registration_remove(Oid relid);
/*
 * Writes a registration without a permission check (relid InvalidOid: a topic), replacing what is
 * there for the relation or the name, and invalidates the caches of all sessions at commit.
 */
extern void realtime_registration_replace(Oid relid, const char *feature, const char *entity,
										  Oid owner, Jsonb *settings);
/* A List of the Oids of all registered relations, in the current context. */
extern struct List *realtime_registered_relations(void);

/* Raises insufficient_privilege unless the current user may emit for (feature, entity). */
extern void realtime_check_emit(const RealtimeRegistration *registration);

/* Raises invalid_parameter_value unless the text may name a feature, entity or custom action. */
extern void realtime_check_name(const char *what, const char *name);
extern void realtime_check_action_name(const char *action);

/* A text member of a settings object, copied; NULL when missing or null. */
extern char *realtime_settings_text(Jsonb *settings, const char *key);

/* Runs SQL as the extension's owner with search_path pg_catalog; no user data in the text. */
extern void realtime_execute_as_owner(const char *sql);

#endif
