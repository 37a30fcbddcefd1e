/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * compat.h
 *	  Every difference between PostgreSQL 14 and 18 that this extension meets, and nothing else.
 *	  Included after postgres.h.
 */
#ifndef REALTIME_COMPAT_H
#define REALTIME_COMPAT_H

#include "access/xlog.h"
#include "catalog/objectaddress.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#if PG_VERSION_NUM < 140000
#error "realtime needs PostgreSQL 14 or later"
#endif

/* 14 has no function for the insertion timeline; outside recovery the process variable is it. */
static inline TimeLineID
compat_insertion_timeline(void)
{
#if PG_VERSION_NUM >= 150000
	return GetWALInsertionTimeLine();
#else
	(void) RecoveryInProgress();	/* sets it */
	return ThisTimeLineID;
#endif
}

/* How far the WAL is on disk. */
static inline XLogRecPtr
compat_flush_position(void)
{
#if PG_VERSION_NUM >= 150000
	return GetFlushRecPtr(NULL);
#else
	return GetFlushRecPtr();
#endif
}

/* Asks for a lock without waiting; a full lock table is a refusal, not an error. */
static inline LockAcquireResult
compat_lock_try(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 180000
	return LockAcquireExtended(tag, mode, false, true, false, NULL, false);
#else
	return LockAcquireExtended(tag, mode, false, true, false, NULL);
#endif
}

/* Whether this backend holds exactly this lock. */
static inline bool
compat_lock_is_held(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

/* Gives a relation a new, empty file, transactionally, keeping its persistence. */
static inline void
compat_new_relation_file(Relation relation)
{
#if PG_VERSION_NUM >= 160000
	RelationSetNewRelfilenumber(relation, relation->rd_rel->relpersistence);
#else
	RelationSetNewRelfilenode(relation, relation->rd_rel->relpersistence);
#endif
}

/* Whether a role owns a relation (superusers own everything). */
static inline bool
compat_owns_relation(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

/* Rebuilds all indexes of a relation and of its TOAST table. */
#if PG_VERSION_NUM >= 170000
#define compat_reindex_relation(relid, flags, params) reindex_relation(NULL, relid, flags, params)
#else
#define compat_reindex_relation(relid, flags, params) reindex_relation(relid, flags, params)
#endif

/* 15 reserves a prefix under a new name. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* A JSON lexer over a text of len bytes in the database's encoding, with de-escaped tokens. */
#if PG_VERSION_NUM >= 170000
#define compat_json_lex(json, len) \
	makeJsonLexContextCstringLen(NULL, json, len, GetDatabaseEncoding(), true)
#else
#define compat_json_lex(json, len) \
	makeJsonLexContextCstringLen(json, len, GetDatabaseEncoding(), true)
#endif

/* The JSON parser's callbacks return a code since 16. */
#if PG_VERSION_NUM < 160000
#define COMPAT_JSON_ACTION void
#define COMPAT_JSON_ACTION_RETURN return
#else
#define COMPAT_JSON_ACTION JsonParseErrorType
#define COMPAT_JSON_ACTION_RETURN return JSON_SUCCESS
#endif

/* The status of a backend by index, from 1; 16 has it under a new name. */
static inline LocalPgBackendStatus *
compat_backend_status(int index)
{
#if PG_VERSION_NUM >= 160000
	return pgstat_get_local_beentry_by_index(index);
#else
	return pgstat_fetch_stat_local_beentry(index);
#endif
}

/* 18 has generated columns that are not stored. */
#if PG_VERSION_NUM >= 180000
#define compat_is_virtual(attr) ((attr)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define compat_is_virtual(attr) false
#endif

/* Whether a subcommand of ALTER TABLE changes columns or values; 17 can set an expression. */
static inline bool
compat_at_changes_rows(AlterTableType subtype)
{
#if PG_VERSION_NUM >= 170000
	if (subtype == AT_SetExpression)
		return true;
#endif
	return subtype == AT_AddColumn || subtype == AT_DropColumn || subtype == AT_AlterColumnType
		|| subtype == AT_DropExpression;
}

#endif
