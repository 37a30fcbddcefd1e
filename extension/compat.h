/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * compat.h
 *	  Every difference between PostgreSQL 14 and 18 that this extension meets, and nothing else.
 *	  Included after postgres.h.
 */
#ifndef REALTIME_COMPAT_H
#define REALTIME_COMPAT_H

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

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

/* The oldest transaction whose status is still kept; XactTruncationLock is held. */
static inline TransactionId
compat_oldest_status(void)
{
#if PG_VERSION_NUM >= 170000
	return TransamVariables->oldestClogXid;
#else
	return ShmemVariableCache->oldestClogXid;
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

/* A qualified name taken apart; 16 can be asked not to raise errors. */
#if PG_VERSION_NUM >= 160000
#define compat_qualified_name(name) stringToQualifiedNameList(name, NULL)
#else
#define compat_qualified_name(name) stringToQualifiedNameList(name)
#endif

/* Whether the session may take on a role: 16 tells membership and the right to SET ROLE apart. */
static inline bool
compat_may_set_role(Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(GetSessionUserId(), role);
#else
	return is_member_of_role(GetSessionUserId(), role);
#endif
}

/* Parses and rewrites one statement whose parser has hooks; 14 has it under another name. */
#if PG_VERSION_NUM >= 150000
#define compat_analyze_and_rewrite(parsetree, text, setup, arg) \
	pg_analyze_and_rewrite_withcb(parsetree, text, setup, arg, NULL)
#else
#define compat_analyze_and_rewrite(parsetree, text, setup, arg) \
	pg_analyze_and_rewrite_params(parsetree, text, setup, arg, NULL)
#endif

/* An expression over a relation (varno 1) with its virtual generated columns put in. */
#if PG_VERSION_NUM >= 180000
#define compat_expand_generated(node, relation) expand_generated_columns_in_expr(node, relation, 1)
#else
#define compat_expand_generated(node, relation) (node)
#endif

/*
 * Whether a collation compares bytes. utils/pg_locale.h, which says so, is not included: it includes ICU's
 * headers, which PostgreSQL's packages do not bring. 18 tells by the catalogs what up to 17 a function tells.
 */
#if PG_VERSION_NUM >= 180000
static inline bool
compat_collation_is_c(Oid collation)
{
	bool		is_default = collation == DEFAULT_COLLATION_OID;
	int			cache = is_default ? DATABASEOID : COLLOID;
	HeapTuple	tuple = SearchSysCache1(cache, ObjectIdGetDatum(is_default ? MyDatabaseId : collation));
	char		provider;
	Datum		name;
	bool		isnull;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	provider = is_default ? ((Form_pg_database) GETSTRUCT(tuple))->datlocprovider
		: ((Form_pg_collation) GETSTRUCT(tuple))->collprovider;
	name = SysCacheGetAttr(cache, tuple, is_default ? Anum_pg_database_datcollate
						   : Anum_pg_collation_collcollate, &isnull);
	result = provider == COLLPROVIDER_BUILTIN
		|| (provider == COLLPROVIDER_LIBC && !isnull
			&& (strcmp(TextDatumGetCString(name), "C") == 0
				|| strcmp(TextDatumGetCString(name), "POSIX") == 0));
	ReleaseSysCache(tuple);
	return result;
}
#else
extern bool lc_collate_is_c(Oid collation);
#define compat_collation_is_c(collation) lc_collate_is_c(collation)
#endif

/*
 * The btree strategy (1 to 5; 6: not equal) that an operator is in a family; false when it is none. 18
 * knows other index methods' orders, too, and numbers them alike.
 */
static inline bool
compat_operator_strategy(Oid operator, Oid family, int *strategy)
{
	ListCell   *cell;

#if PG_VERSION_NUM >= 180000
	foreach(cell, get_op_index_interpretation(operator))
	{
		OpIndexInterpretation *meaning = lfirst(cell);
#else
	foreach(cell, get_op_btree_interpretation(operator))
	{
		OpBtreeInterpretation *meaning = lfirst(cell);
#endif

		if (meaning->opfamily_id == family)
		{
#if PG_VERSION_NUM >= 180000
			*strategy = meaning->cmptype;
#else
			*strategy = meaning->strategy;
#endif
			return true;
		}
	}
	return false;
}

#endif
