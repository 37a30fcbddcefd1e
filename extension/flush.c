/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * flush.c
 *	  Pending changes -> events in the commit log, and the bell.
 *
 * Model
 * 1. Runs before the commit, when all of the transaction's triggers have run.
 * 2. Changes are read in order. Entities that coalesce have the changes of one row merged first;
 *	  entities that changed more rows than their bulk threshold are only counted.
 * 3. Every event gets its meta object: clock time, transaction, sequence number, who.
 * 4. Events fill parts of about 256 kB, each one row of the log.
 * 5. Whether somebody waits for a bell is asked before the first row is written; the answer "no"
 *	  is a lock that arming waits for, so the order of asking and writing does not matter.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "common/jsonapi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "commit_log.h"
#include "compat.h"
#include "doorbell.h"
#include "flush.h"
#include "guc.h"

#define PART_SIZE (256 * 1024)	/* bytes; a reader holds a few at a time */
#define NOTIFY_LIMIT 7999		/* bytes of a payload, async.c's limit */
#define NOTIFY_MAX 100			/* payloads of one transaction */
#define KEPT_MAX (64 * 1024)	/* bytes of buffers that a backend keeps, each of two kinds */
#define BULK_MAX_KEYS 10000		/* ids in a bulk summary: some 100 kB */

/* The rows of one entity that are summed up. */
typedef struct Bulk
{
	const RealtimeEntity *entity;
	int64		entries;		/* changes read */
	int64		skipped;		/* of them, in the second reading so far */
	int64		changes;		/* real ones: updates that changed something */
	int64		counts[3];		/* by RealtimeOp */
	StringInfoData keys[3];
} Bulk;

/* One flush. */
typedef struct Flush
{
	RealtimePending *pending;
	RealtimeTransaction *transaction;
	RealtimeEventBuilder *builder;
	bool		may_notify;
	bool		is_bell_wanted;
	double		queue_usage;	/* of the NOTIFY queue; -1: not asked yet */
	List	   *bulks;			/* of Bulk */
	/* coalescing: all changes in order, merged; NULL when nothing coalesces */
	RealtimeChange *changes;
	RealtimeEvent *events;
	int			nchanges;
} Flush;

/*
 * What a flush builds its rows in, kept for the backend's life, because to allocate it took longer than
 * to use it; what has grown beyond KEPT_MAX goes with the flush. Flushes do not nest.
 */
static struct
{
	RealtimeEventBuilder *builder;
	StringInfoData part;		/* the log row under construction: a text datum with its header */
	StringInfoData meta;		/* ,"meta":{"timestamp":…,"tx":…,"seq": */
}			kept;

/*
 * ,"userId":…,"sessionId":…,"priority":" as it was last, for the backend's life, with what it was made
 * of: it is made anew when that differs, or when a role has been renamed.
 */
static struct
{
	bool		is_valid;
	uint64		renames;		/* heard of so far: one that comes while the text is made counts */
	Oid			role;
	char	   *user;			/* realtime.user, realtime.session, request.jwt.claims; never NULL */
	char	   *session;
	char	   *claims;
	StringInfoData text;
}			actor;

/* ------------------------------------------------------------------------------------------------
 * Who
 * ------------------------------------------------------------------------------------------------
 */

/* State of the parser that looks for the top-level member sub. */
typedef struct ClaimSearch
{
	JsonLexContext *lex;
	bool		is_next;
	char	   *sub;
} ClaimSearch;

/* JSON callback: notes that the value to come is sub's. */
static COMPAT_JSON_ACTION
claim_field(void *state, char *name, bool isnull)
{
	ClaimSearch *search = state;

	search->is_next = search->lex->lex_level == 1 && strcmp(name, "sub") == 0;
	COMPAT_JSON_ACTION_RETURN;
}

/* JSON callback: keeps the value of sub. */
static COMPAT_JSON_ACTION
claim_scalar(void *state, char *token, JsonTokenType type)
{
	ClaimSearch *search = state;

	if (search->is_next && search->lex->lex_level == 1
		&& (type == JSON_TOKEN_STRING || type == JSON_TOKEN_NUMBER))
		search->sub = pstrdup(token);
	search->is_next = false;
	COMPAT_JSON_ACTION_RETURN;
}

/* The sub claim of request.jwt.claims, or NULL; text that is not JSON is no claim, not an error. */
static char *
claimed_subject(void)
{
	const char *claims = GetConfigOption("request.jwt.claims", true, false);
	ClaimSearch search = {0};
	JsonSemAction action = {0};
	char	   *copy;

	if (claims == NULL || claims[0] == '\0')
		return NULL;
	copy = pstrdup(claims);
	search.lex = compat_json_lex(copy, strlen(copy));
	action.semstate = &search;
	action.object_field_start = claim_field;
	action.scalar = claim_scalar;
	if (pg_parse_json(search.lex, &action) != JSON_SUCCESS)
		return NULL;
	return search.sub;
}

void
realtime_actor(char **user, char **session)
{
	*user = NULL;
	if (realtime_user && realtime_user[0] != '\0')
		*user = pstrdup(realtime_user);
	if (*user == NULL)
		*user = claimed_subject();
	if (*user == NULL)
		*user = GetUserNameFromId(GetUserId(), true);
	*session = realtime_session && realtime_session[0] != '\0' ? pstrdup(realtime_session) : NULL;
}

/* Syscache callback: a role may have been renamed. */
static void
forget_actor(Datum arg, int cache, uint32 hash)
{
	actor.is_valid = false;
	actor.renames++;
}

/* A setting's value; the empty text when it has none. */
static inline const char *
setting(const char *value)
{
	return value ? value : "";
}

/* Appends a string or null. */
static void
append_optional(StringInfo out, const char *s)
{
	if (s)
		realtime_json_append_string(out, s, strlen(s));
	else
		appendStringInfoString(out, "null");
}

/* Replaces one of the texts that the actor was made of. */
static void
keep_text(char **kept_text, const char *value)
{
	char	   *copy = MemoryContextStrdup(TopMemoryContext, value);

	if (*kept_text)
		pfree(*kept_text);
	*kept_text = copy;
}

/* Brings the actor's text up to date. */
static void
update_actor(void)
{
	const char *claims = setting(GetConfigOption("request.jwt.claims", true, false));
	uint64		renames = actor.renames;
	char	   *user;
	char	   *session;

	if (actor.is_valid && actor.role == GetUserId()
		&& strcmp(actor.user, setting(realtime_user)) == 0
		&& strcmp(actor.session, setting(realtime_session)) == 0
		&& strcmp(actor.claims, claims) == 0)
		return;
	if (actor.text.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&actor.text);
		MemoryContextSwitchTo(old);
	}
	actor.is_valid = false;
	keep_text(&actor.user, setting(realtime_user));
	keep_text(&actor.session, setting(realtime_session));
	keep_text(&actor.claims, claims);
	actor.role = GetUserId();
	realtime_actor(&user, &session);
	resetStringInfo(&actor.text);
	appendStringInfoString(&actor.text, ",\"userId\":");
	append_optional(&actor.text, user);
	appendStringInfoString(&actor.text, ",\"sessionId\":");
	append_optional(&actor.text, session);
	appendStringInfoString(&actor.text, ",\"priority\":\"");
	actor.is_valid = actor.renames == renames;
}

/* Prepares what all events of a flush share. */
static void
begin_meta(Flush *flush)
{
	RealtimeTransaction *transaction = flush->transaction;
	StringInfo	meta = &kept.meta;
	char		number[24];

	if (transaction->lsn == 0)
	{
		transaction->at = GetCurrentTimestamp();
		transaction->lsn = GetXLogInsertRecPtr();
	}
	resetStringInfo(meta);
	realtime_json_append_bytes(meta, ",\"meta\":{\"timestamp\":", 21);
	realtime_json_append_timestamp(meta, transaction->at);
	realtime_json_append_bytes(meta, ",\"tx\":\"", 7);
	realtime_json_append_bytes(meta, number,
							   pg_ulltoa_n(U64FromFullTransactionId(GetTopFullTransactionId()),
										   number));
	realtime_json_append_bytes(meta, "\",\"seq\":", 8);
	update_actor();
}

/* ------------------------------------------------------------------------------------------------
 * NOTIFY
 * ------------------------------------------------------------------------------------------------
 */

/* How full the queue is, 0 to 1, asked once per flush. */
static double
queue_usage(Flush *flush)
{
	if (flush->queue_usage < 0)
		flush->queue_usage = DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE));
	return flush->queue_usage;
}

/*
 * Notifies one event: whole when it fits and everybody may read it, else its header. meta is the
 * finished meta object with the event's closing brace; it ends with the event's own members, among
 * them the other key of a key change, which are data too.
 */
static void
notify_event(Flush *flush, const RealtimeEvent *event, const char *meta, int meta_len)
{
	RealtimeTransaction *transaction = flush->transaction;
	StringInfoData payload;
	bool		is_whole = event->notify_data && event->text.len + meta_len <= NOTIFY_LIMIT;
	bool		has_id = event->notify_data && event->id_len + meta_len + 20 <= NOTIFY_LIMIT;

	if (!flush->may_notify || event->notify == REALTIME_NOTIFY_NEVER
		|| (event->notify == REALTIME_NOTIFY_AUTO && !flush->is_bell_wanted))
		return;
	if (transaction->notified >= NOTIFY_MAX)
	{
		transaction->not_notified++;
		return;
	}
	if (queue_usage(flush) > 0.25)
		return;
	transaction->notified++;
	initStringInfo(&payload);
	appendBinaryStringInfo(&payload, event->text.data,
						   is_whole ? event->text.len : has_id ? event->id_len : event->names_len);
	if (event->notify_data)
		appendBinaryStringInfo(&payload, meta, meta_len);
	else
	{
		appendBinaryStringInfo(&payload, meta, meta_len - event->extra.len - 2);
		appendBinaryStringInfo(&payload, "}}", 2);
	}
	if (!is_whole && event->notify_data)
	{
		payload.data[--payload.len] = '\0';
		appendStringInfoString(&payload, ",\"truncated\":true}");
	}
	if (payload.len <= NOTIFY_LIMIT)
		Async_Notify("realtime", payload.data);
	else
		Async_Notify("realtime", "");
	pfree(payload.data);
}

/* Rings what the events' own notifications have not rung. */
static void
ring(Flush *flush)
{
	RealtimeTransaction *transaction = flush->transaction;

	if (!flush->may_notify)
		return;
	if (transaction->not_notified > 0 && queue_usage(flush) <= 0.25)
	{
		char	   *more = psprintf("{\"more\":" INT64_FORMAT "}", transaction->not_notified);

		Async_Notify("realtime", more);
		pfree(more);
		transaction->not_notified = 0;
	}
	else if (flush->is_bell_wanted && transaction->seq > 0 && transaction->notified == 0
			 && queue_usage(flush) <= 0.5)
		Async_Notify("realtime", "");
}

/* ------------------------------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------------------------------
 */

/* Starts a part: room for the header of a text datum. */
static void
begin_part(void)
{
	resetStringInfo(&kept.part);
	kept.part.len = VARHDRSZ;
}

/* Whether the part under construction has no event yet. */
static inline bool
is_part_empty(void)
{
	return kept.part.len == VARHDRSZ;
}

/* Writes the part under construction as a row of the log. */
static void
write_part(Flush *flush)
{
	RealtimeTransaction *transaction = flush->transaction;
	StringInfo	part = &kept.part;

	if (is_part_empty())
		return;
	realtime_json_append_bytes(part, "]", 1);
	SET_VARSIZE(part->data, part->len);
	realtime_log_append(transaction->part++, transaction->at, transaction->lsn,
						(const struct varlena *) part->data);
	begin_part();
}

/* Event sink: numbers the event, adds meta, keeps it in the part, notifies it. */
static void
write_event(void *arg, const RealtimeEvent *event)
{
	Flush	   *flush = arg;
	StringInfo	part = &kept.part;
	const char *priority = realtime_priority_names[event->priority];
	char		number[24];
	int			meta_from;

	/* One event is never split; a part with room for it has no other. */
	if (!is_part_empty() && part->len + event->text.len > PART_SIZE)
		write_part(flush);
	realtime_json_append_bytes(part, is_part_empty() ? "[" : ",", 1);
	realtime_json_append_bytes(part, event->text.data, event->text.len);
	meta_from = part->len;
	realtime_json_append_bytes(part, kept.meta.data, kept.meta.len);
	realtime_json_append_bytes(part, number, pg_lltoa(flush->transaction->seq++, number));
	realtime_json_append_bytes(part, actor.text.data, actor.text.len);
	realtime_json_append_bytes(part, priority, strlen(priority));
	realtime_json_append_bytes(part, "\"", 1);
	realtime_json_append_bytes(part, event->extra.data, event->extra.len);
	realtime_json_append_bytes(part, "}}", 2);
	notify_event(flush, event, part->data + meta_from, part->len - meta_from);
}

/* ------------------------------------------------------------------------------------------------
 * Coalescing
 * ------------------------------------------------------------------------------------------------
 */

/* The place of a row's first change, by entity and id. */
typedef struct CoalesceEntry
{
	uint32		hash;			/* of key */
	char		status;			/* of simplehash */
	char	   *key;
	int			index;			/* into Flush.changes; -1: none any more */
} CoalesceEntry;

#define SH_PREFIX coalesce
#define SH_ELEMENT_TYPE CoalesceEntry
#define SH_KEY_TYPE char *
#define SH_KEY key
#define SH_HASH_KEY(tb, key) string_hash(key, strlen(key) + 1)
#define SH_EQUAL(tb, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A hash key of one image: entity and id. Allocated in the current context. */
static char *
coalesce_key(Flush *flush, const RealtimeChange *change, bool is_old)
{
	StringInfoData key;
	RealtimeLeaf *leaf = is_old ? change->old_leaf : change->new_leaf;

	initStringInfo(&key);
	appendStringInfo(&key, "%u ", leaf->entity->root);
	realtime_event_append_id(flush->builder, &key, change, is_old);
	return key.data;
}

/* Merges a later change of a row into its first one. Returns false when nothing is left of it. */
static bool
merge_change(RealtimeChange *first, const RealtimeChange *later)
{
	bool		is_new = first->op == REALTIME_OP_INSERT;	/* not there before */

	if (is_new && later->op == REALTIME_OP_DELETE)
		return false;
	first->is_joined = true;
	if (later->op == REALTIME_OP_DELETE)
	{
		first->op = REALTIME_OP_DELETE;
		first->new_leaf = NULL;
		first->new_tuple.t_data = NULL;
		return true;
	}
	first->op = is_new ? REALTIME_OP_INSERT : REALTIME_OP_UPDATE;
	first->new_leaf = later->new_leaf;
	first->new_tuple = later->new_tuple;
	return true;
}

/* Reads all changes into an array, merging those of one row where the entity wants it. */
static void
coalesce_changes(Flush *flush)
{
	RealtimeCursor *cursor = realtime_cursor_open(flush->pending);
	coalesce_hash *rows = coalesce_create(CurrentMemoryContext, 64, NULL);
	int			room = 64;
	RealtimeChange change;
	RealtimeEvent event;

	flush->changes = palloc(sizeof(RealtimeChange) * room);
	flush->events = palloc(sizeof(RealtimeEvent) * room);
	while (realtime_cursor_next(cursor, &change, &event))
	{
		RealtimeEntity *entity = NULL;
		char	   *key = NULL;
		char	   *new_key = NULL;
		CoalesceEntry *entry = NULL;
		bool		is_found;

		CHECK_FOR_INTERRUPTS();
		if (change.op != REALTIME_OP_EVENT)
			entity = (change.new_leaf ? change.new_leaf : change.old_leaf)->entity;
		else
			coalesce_reset(rows);	/* text may stand for rows: keep both sides apart */
		if (entity && entity->coalesce)
		{
			key = coalesce_key(flush, &change, change.op != REALTIME_OP_INSERT);
			new_key = change.op == REALTIME_OP_UPDATE ? coalesce_key(flush, &change, false) : key;
			entry = coalesce_lookup(rows, key);
			if (strcmp(key, new_key) != 0)
			{
				/* A new key is a row that goes and one that comes: neither is merged. */
				if (entry)
					entry->index = -1;
				entry = coalesce_lookup(rows, new_key);
				if (entry)
					entry->index = -1;
				key = NULL;
			}
			else if (entry && entry->index >= 0)
			{
				if (!merge_change(&flush->changes[entry->index], &change))
				{
					flush->changes[entry->index].op = REALTIME_OP_EVENT;
					flush->events[entry->index].text.len = 0;	/* nothing */
					entry->index = -1;
				}
				continue;
			}
		}
		if (flush->nchanges == room)
		{
			room *= 2;
			flush->changes = repalloc_huge(flush->changes, sizeof(RealtimeChange) * room);
			flush->events = repalloc_huge(flush->events, sizeof(RealtimeEvent) * room);
		}
		flush->changes[flush->nchanges] = change;
		flush->events[flush->nchanges] = event;
		if (entity && entity->coalesce && key)
		{
			entry = coalesce_insert(rows, key, &is_found);
			entry->index = flush->nchanges;
		}
		flush->nchanges++;
	}
	realtime_cursor_close(cursor);
}

/* ------------------------------------------------------------------------------------------------
 * All changes
 * ------------------------------------------------------------------------------------------------
 */

typedef void (*ChangeVisitor) (Flush *flush, const RealtimeChange *change,
							   const RealtimeEvent *event);

/* Visits every change in order, coalesced when that was done. */
static void
visit_changes(Flush *flush, ChangeVisitor visit)
{
	RealtimeCursor *cursor;
	RealtimeChange change;
	RealtimeEvent event;

	if (flush->changes)
	{
		for (int i = 0; i < flush->nchanges; i++)
			if (flush->changes[i].op != REALTIME_OP_EVENT || flush->events[i].text.len > 0)
				visit(flush, &flush->changes[i], &flush->events[i]);
		return;
	}
	cursor = realtime_cursor_open(flush->pending);
	while (realtime_cursor_next(cursor, &change, &event))
	{
		CHECK_FOR_INTERRUPTS();
		visit(flush, &change, &event);
	}
	realtime_cursor_close(cursor);
}

/* The sums of an entity that may be over its threshold; NULL for others. */
static Bulk *
find_bulk(Flush *flush, const RealtimeEntity *entity)
{
	ListCell   *cell;

	foreach(cell, flush->bulks)
	{
		Bulk	   *bulk = lfirst(cell);

		if (bulk->entity->root == entity->root)
			return bulk;
	}
	return NULL;
}

/* Counts one changed row and keeps its key while there are few. */
static void
sum_up(Flush *flush, Bulk *bulk, const RealtimeChange *change, RealtimeOp op, bool is_old)
{
	StringInfo	keys = &bulk->keys[op];

	if (bulk->counts[op]++ >= BULK_MAX_KEYS)
		return;
	if (keys->data == NULL)
		initStringInfo(keys);
	else
		appendStringInfoChar(keys, ',');
	realtime_event_append_id(flush->builder, keys, change, is_old);
}

/* Visitor: sums up the changes of entities that may be over their threshold. */
static void
count_bulk(Flush *flush, const RealtimeChange *change, const RealtimeEvent *event)
{
	const RealtimeEntity *entity;
	Bulk	   *bulk;

	if (change->op == REALTIME_OP_EVENT)
		return;
	entity = (change->new_leaf ? change->new_leaf : change->old_leaf)->entity;
	if (entity->bulk_threshold < 0)
		return;
	bulk = find_bulk(flush, entity);
	if (bulk == NULL)
	{
		if (realtime_pending_count(flush->pending, entity) <= entity->bulk_threshold)
			return;
		bulk = palloc0(sizeof(Bulk));
		bulk->entity = entity;
		flush->bulks = lappend(flush->bulks, bulk);
	}
	bulk->entries++;
	if (!realtime_event_is_change(flush->builder, change))
		return;
	bulk->changes++;
	if (change->op == REALTIME_OP_UPDATE && realtime_event_is_key_changed(flush->builder, change))
	{
		sum_up(flush, bulk, change, REALTIME_OP_DELETE, true);
		sum_up(flush, bulk, change, REALTIME_OP_INSERT, false);
	}
	else
		sum_up(flush, bulk, change, change->op, change->op == REALTIME_OP_DELETE);
}

/* Writes the summary of one entity: an event per kind of change. */
static void
write_bulk(Flush *flush, const Bulk *bulk)
{
	static const struct
	{
		RealtimeOp	op;
		const char *action;
	}			kinds[] = {
		{REALTIME_OP_DELETE, "bulk_deleted"},
		{REALTIME_OP_UPDATE, "bulk_updated"},
		{REALTIME_OP_INSERT, "bulk_created"},
	};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		RealtimeOp	op = kinds[i].op;
		RealtimeEvent event;

		if (bulk->counts[op] == 0)
			continue;
		realtime_event_init(&event, bulk->entity->feature, bulk->entity->entity, kinds[i].action,
							NULL);
		appendStringInfo(&event.text, ",\"data\":{\"count\":" INT64_FORMAT ",\"keys\":",
						 bulk->counts[op]);
		if (bulk->counts[op] > BULK_MAX_KEYS)
			appendStringInfoString(&event.text, "null}");
		else
		{
			appendStringInfoChar(&event.text, '[');
			appendBinaryStringInfo(&event.text, bulk->keys[op].data, bulk->keys[op].len);
			appendStringInfoString(&event.text, "]}");
		}
		event.priority = bulk->entity->priority;
		event.notify = bulk->entity->notify;
		event.notify_data = bulk->entity->notify_data;
		write_event(flush, &event);
	}
}

/*
 * Visitor: writes the events of a change. Of an entity that is summed up, the summary stands where the
 * last change stood.
 */
static void
write_change(Flush *flush, const RealtimeChange *change, const RealtimeEvent *event)
{
	Bulk	   *bulk;
	const RealtimeEntity *entity;

	if (change->op == REALTIME_OP_EVENT)
	{
		write_event(flush, event);
		return;
	}
	entity = (change->new_leaf ? change->new_leaf : change->old_leaf)->entity;
	bulk = flush->bulks == NIL ? NULL : find_bulk(flush, entity);
	if (bulk && bulk->changes > entity->bulk_threshold)
	{
		if (++bulk->skipped == bulk->entries)
			write_bulk(flush, bulk);
		return;
	}
	realtime_event_from_change(flush->builder, change, write_event, flush);
}

/* Writes everything that is pending. */
static void
write_all(Flush *flush)
{
	begin_meta(flush);
	begin_part();
	if (realtime_pending_may_coalesce(flush->pending)
		&& realtime_pending_is_in_memory(flush->pending))
		coalesce_changes(flush);
	if (realtime_pending_may_sum_up(flush->pending))
		visit_changes(flush, count_bulk);
	visit_changes(flush, write_change);
	write_part(flush);
	ring(flush);
}

/* Writes one marker in place of events that could not be written. */
static void
write_gap(Flush *flush, const ErrorData *error)
{
	RealtimeEvent event;

	begin_meta(flush);
	begin_part();
	realtime_event_init(&event, "*", "*", "gap", NULL);
	appendStringInfo(&event.text, ",\"data\":{\"reason\":\"error\",\"code\":\"%s\"}",
					 unpack_sql_state(error->sqlerrcode));
	event.notify = REALTIME_NOTIFY_ALWAYS;	/* some of them may have been */
	event.notify_data = true;
	write_event(flush, &event);
	write_part(flush);
	ring(flush);
}

/* Writes everything in a subtransaction; when that fails, the marker (realtime.on_error = gap). */
static void
write_all_or_gap(Flush *flush)
{
	RealtimeTransaction before = *flush->transaction;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;	/* set within PG_TRY */

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		write_all(flush);
		PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED
		|| error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("events of this transaction could not be written: %s", error->message),
			 errdetail("realtime.on_error is gap: subscribers will be told to read again.")));
	*flush->transaction = before;
	PushActiveSnapshot(GetTransactionSnapshot());
	write_gap(flush, error);
	PopActiveSnapshot();
}

/* Makes the kept buffers that are missing. */
static void
take_buffers(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (kept.builder == NULL)
		kept.builder = realtime_event_builder_new();
	if (kept.part.data == NULL)
		initStringInfo(&kept.part);
	if (kept.meta.data == NULL)
		initStringInfo(&kept.meta);
	MemoryContextSwitchTo(old);
}

/* Frees the kept buffers that have grown large. */
static void
trim_buffers(void)
{
	if (kept.part.data && kept.part.maxlen > KEPT_MAX)
	{
		pfree(kept.part.data);
		kept.part.data = NULL;
	}
	if (kept.builder && realtime_event_builder_size(kept.builder) > KEPT_MAX)
	{
		RealtimeEventBuilder *builder = kept.builder;

		kept.builder = NULL;
		realtime_event_builder_free(builder);
	}
}

void
realtime_flush_pending(RealtimePending *pending, RealtimeTransaction *transaction, bool may_notify)
{
	Flush		flush = {0};
	MemoryContext old = MemoryContextSwitchTo(realtime_pending_context(pending));

	flush.pending = pending;
	flush.transaction = transaction;
	flush.may_notify = may_notify;
	flush.queue_usage = -1;
	trim_buffers();				/* of a flush that failed */
	take_buffers();
	flush.builder = kept.builder;
	flush.is_bell_wanted = may_notify && realtime_doorbell && realtime_doorbell_is_wanted();
	if (realtime_on_error == REALTIME_ON_ERROR_GAP)
		write_all_or_gap(&flush);
	else
	{
		bool		needs_snapshot = realtime_pending_needs_snapshot(pending);

		if (needs_snapshot)
			PushActiveSnapshot(GetTransactionSnapshot());
		write_all(&flush);
		if (needs_snapshot)
			PopActiveSnapshot();
	}
	trim_buffers();
	MemoryContextSwitchTo(old);
}

/* Listens to renamed roles. */
void
realtime_flush_init(void)
{
	CacheRegisterSyscacheCallback(AUTHOID, forget_actor, (Datum) 0);
}
