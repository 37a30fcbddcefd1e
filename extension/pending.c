/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * pending.c
 *	  Keeping, cutting, spilling, merging the changes of a transaction; the model is in pending.h.
 *
 * Knows transactions and changes; turning them into events is event.c, writing them flush.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "compat.h"
#include "doorbell.h"
#include "flush.h"
#include "guc.h"
#include "pending.h"

/* One kept change, followed by its tuples or its event. Entries are MAXALIGNed and in one piece. */
typedef struct Entry
{
	uint32		size;			/* of the whole, header included */
	CommandId	cid;
	uint64		arrival;
	uint64		derived;
	RealtimeLeaf *old_leaf;
	RealtimeLeaf *new_leaf;
	uint32		old_len;		/* of the old tuple, or of an event's text */
	uint32		new_len;		/* of the new tuple, or of an event's extra */
	uint8		op;				/* RealtimeOp */
	bool		is_moved;		/* a DELETE that is half of a move between partitions */
	/* events only */
	int8		priority;
	int8		notify;
	bool		notify_data;
	uint32		names_len;
	uint32		id_len;
} Entry;

#define ENTRY_OLD(entry) ((char *) (entry) + MAXALIGN(sizeof(Entry)))
#define ENTRY_NEW(entry) (ENTRY_OLD(entry) + MAXALIGN((entry)->old_len))

/* Entries of never falling command id: the first file_len bytes in a file, the rest in memory. */
typedef struct Pile
{
	char	   *data;
	Size		len;
	Size		room;
	BufFile    *file;			/* NULL until the pile spilled */
	int64		file_len;
	CommandId	last_cid;
} Pile;

/* Row changes of one entity. */
typedef struct EntityCount
{
	RealtimeEntity *entity;
	int64		count;
} EntityCount;

/* Where the piles ended when a subtransaction made its first change. */
typedef struct Mark
{
	int			nest_level;
	int			npiles;
	int64	   *lengths;
	CommandId  *last_cids;
	int			nentities;
	int64	   *counts;
	int			nresyncs;
} Mark;

struct RealtimePending
{
	MemoryContext context;
	Pile	   *piles;
	int			npiles;
	int			piles_room;
	Size		memory;			/* bytes in the piles' memory */
	uint64		arrival;
	EntityCount *entities;
	int			nentities;
	int			entities_room;
	bool		may_coalesce;
	bool		needs_snapshot;
	List	   *marks;			/* of Mark, innermost last */
	List	   *resyncs;		/* Oids of the roots that have a marker already */
};

/* The transaction's state: NULL, or in TopTransactionContext, whose reset callback clears it. */
static RealtimePending *pending = NULL;
static RealtimeTransaction transaction;
static bool is_remembered = false;	/* the reset callback is registered */
static bool has_seen_end = false;	/* a transaction has ended since the library was loaded */
static bool is_flushing = false;
static int	flush_level;			/* nesting level of the flush under way */
static ProcessUtility_hook_type next_process_utility = NULL;

/*
 * The context of a transaction's first set, kept for the backend's life with its first block: most
 * transactions need no more than that and so allocate nothing. Emptied when the set is freed or the
 * transaction ends.
 */
static MemoryContext kept_context = NULL;
static bool is_kept_context_used = false;

/* ------------------------------------------------------------------------------------------------
 * Piles
 * ------------------------------------------------------------------------------------------------
 */

/* Memory-context callback: the transaction is over, however it ended. */
static void
forget(void *arg)
{
	pending = NULL;
	is_remembered = false;
	is_flushing = false;
	memset(&transaction, 0, sizeof(transaction));
	if (is_kept_context_used)
		MemoryContextReset(kept_context);
	is_kept_context_used = false;
}

/* An empty set, in a context of its own. */
static RealtimePending *
pending_new(void)
{
	MemoryContext context = kept_context;
	RealtimePending *set;

	if (is_kept_context_used)
		context = AllocSetContextCreate(TopTransactionContext, "realtime pending",
										ALLOCSET_DEFAULT_SIZES);
	else if (context == NULL)
		context = kept_context = AllocSetContextCreate(TopMemoryContext, "realtime pending",
													   0, 32 * 1024, ALLOCSET_DEFAULT_MAXSIZE);
	is_kept_context_used |= context == kept_context;
	set = MemoryContextAllocZero(context, sizeof(RealtimePending));
	set->context = context;
	return set;
}

/* Frees a set and its temporary files. */
static void
pending_free(RealtimePending *set)
{
	for (int i = 0; i < set->npiles; i++)
		if (set->piles[i].file)
			BufFileClose(set->piles[i].file);
	if (set->context != kept_context)
	{
		MemoryContextDelete(set->context);
		return;
	}
	MemoryContextReset(kept_context);
	is_kept_context_used = false;
}

/*
 * Has the end of the transaction clear the state, once. When the library is loaded by a change that
 * another extension makes at pre-commit, this library's own callback was registered too late to be
 * called: the first change in a client's session that runs outside of any statement is such a one,
 * and is written at once.
 */
static void
remember_transaction(void)
{
	MemoryContextCallback *callback;

	if (is_remembered)
		return;
	memset(&transaction, 0, sizeof(transaction));
	callback = MemoryContextAlloc(TopTransactionContext, sizeof(MemoryContextCallback));
	callback->func = forget;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	is_remembered = true;
	transaction.is_flushed = !has_seen_end && ActivePortal == NULL && MyBackendType == B_BACKEND;
}

/* The set of the transaction, made at its first change. */
static RealtimePending *
get_pending(void)
{
	if (pending == NULL)
	{
		remember_transaction();
		pending = pending_new();
	}
	return pending;
}

/* Logical length of a pile. */
static inline int64
pile_length(const Pile *pile)
{
	return pile->file_len + (int64) pile->len;
}

/* Positions a pile's file for reading or writing at an offset. */
static void
pile_seek(Pile *pile, int64 offset)
{
	if (BufFileSeek(pile->file, (int) (offset / (1024 * 1024 * 1024)),
					(off_t) (offset % (1024 * 1024 * 1024)), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in the temporary file of pending events: %m")));
}

/* Moves the piles' memory to temporary files, which live as long as the transaction. */
static void
spill(RealtimePending *set)
{
	ResourceOwner owner = CurrentResourceOwner;

	for (int i = 0; i < set->npiles; i++)
	{
		Pile	   *pile = &set->piles[i];

		if (pile->len == 0)
			continue;
		if (pile->file == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(set->context);

			CurrentResourceOwner = TopTransactionResourceOwner;
			pile->file = BufFileCreateTemp(false);
			CurrentResourceOwner = owner;
			MemoryContextSwitchTo(old);
		}
		pile_seek(pile, pile->file_len);
		BufFileWrite(pile->file, pile->data, pile->len);
		pile->file_len += pile->len;
		pile->len = 0;
	}
	set->memory = 0;
}

/* The pile with the highest last command id that is not above cid; a new one when there is none. */
static Pile *
choose_pile(RealtimePending *set, CommandId cid)
{
	Pile	   *best = NULL;

	for (int i = 0; i < set->npiles; i++)
	{
		Pile	   *pile = &set->piles[i];

		if ((pile->last_cid <= cid || pile_length(pile) == 0)
			&& (best == NULL || pile->last_cid > best->last_cid))
			best = pile;
	}
	if (best)
		return best;
	if (set->npiles == set->piles_room)
	{
		set->piles_room = Max(4, set->piles_room * 2);
		set->piles = set->piles
			? repalloc(set->piles, set->piles_room * sizeof(Pile))
			: MemoryContextAlloc(set->context, set->piles_room * sizeof(Pile));
	}
	best = &set->piles[set->npiles++];
	memset(best, 0, sizeof(Pile));
	return best;
}

/* Copies into an entry, and clears the bytes up to the next aligned one: piles go to files whole. */
static void
put(char *to, const void *from, Size len)
{
	if (len > 0)
		memcpy(to, from, len);
	memset(to + len, 0, MAXALIGN(len) - len);
}

/* Room for an entry of a size at the end of a pile; zeroed header. */
static Entry *
pile_append(RealtimePending *set, Pile *pile, Size size, CommandId cid)
{
	Entry	   *entry;

	if (pile->len + size > pile->room)
	{
		Size		room = Max(pile->room * 2, 1024);

		while (room < pile->len + size)
			room *= 2;
		pile->data = pile->data
			? repalloc_huge(pile->data, room)
			: MemoryContextAllocHuge(set->context, room);
		pile->room = room;
	}
	entry = (Entry *) (pile->data + pile->len);
	memset(entry, 0, sizeof(Entry));
	entry->size = size;
	entry->cid = cid;
	pile->len += size;
	pile->last_cid = cid;
	set->memory += size;
	return entry;
}

/* ------------------------------------------------------------------------------------------------
 * Subtransactions
 * ------------------------------------------------------------------------------------------------
 */

/* Marks the piles' lengths before the first change of a (sub)transaction. */
static void
mark(RealtimePending *set)
{
	int			level = GetCurrentTransactionNestLevel();
	Mark	   *last = set->marks == NIL ? NULL : llast(set->marks);
	Mark	   *m;
	MemoryContext old;

	if (level <= 1 || (last && last->nest_level >= level))
		return;
	old = MemoryContextSwitchTo(set->context);
	m = palloc(sizeof(Mark));
	m->nest_level = level;
	m->npiles = set->npiles;
	m->lengths = palloc(sizeof(int64) * Max(set->npiles, 1));
	m->last_cids = palloc(sizeof(CommandId) * Max(set->npiles, 1));
	for (int i = 0; i < set->npiles; i++)
	{
		m->lengths[i] = pile_length(&set->piles[i]);
		m->last_cids[i] = set->piles[i].last_cid;
	}
	m->nentities = set->nentities;
	m->counts = palloc(sizeof(int64) * Max(set->nentities, 1));
	for (int i = 0; i < set->nentities; i++)
		m->counts[i] = set->entities[i].count;
	m->nresyncs = list_length(set->resyncs);
	set->marks = lappend(set->marks, m);
	MemoryContextSwitchTo(old);
}

/* Frees the innermost mark. */
static void
drop_mark(RealtimePending *set)
{
	Mark	   *m = llast(set->marks);

	set->marks = list_delete_last(set->marks);
	pfree(m->lengths);
	pfree(m->last_cids);
	pfree(m->counts);
	pfree(m);
}

/* Cuts the piles back to a mark. */
static void
cut(RealtimePending *set, const Mark *m)
{
	for (int i = 0; i < set->npiles; i++)
	{
		Pile	   *pile = &set->piles[i];
		int64		length = i < m->npiles ? m->lengths[i] : 0;
		Size		before = pile->len;

		if (length >= pile->file_len)
			pile->len = (Size) (length - pile->file_len);
		else
		{
			pile->file_len = length;
			pile->len = 0;
		}
		pile->last_cid = i < m->npiles ? m->last_cids[i] : 0;
		set->memory -= before - pile->len;
	}
	for (int i = 0; i < set->nentities; i++)
		set->entities[i].count = i < m->nentities ? m->counts[i] : 0;
	set->resyncs = list_truncate(set->resyncs, m->nresyncs);
}

/* Subtransaction callback: what rolls back vanishes, what commits belongs to the parent. */
static void
on_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	Mark	   *last;

	/* A failed flush of late changes within somebody's subtransaction ends with that. */
	if (event == SUBXACT_EVENT_ABORT_SUB && is_flushing && level <= flush_level)
		is_flushing = false;
	if (pending == NULL || pending->marks == NIL)
		return;
	last = llast(pending->marks);
	if (last->nest_level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		cut(pending, last);
		drop_mark(pending);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		Mark	   *outer = list_length(pending->marks) > 1
			? list_nth(pending->marks, list_length(pending->marks) - 2) : NULL;

		if (level - 1 <= 1 || (outer && outer->nest_level >= level - 1))
			drop_mark(pending);
		else
			last->nest_level = level - 1;
	}
}

/* ------------------------------------------------------------------------------------------------
 * Adding
 * ------------------------------------------------------------------------------------------------
 */

/* Counts one row change of an entity. */
static void
count_change(RealtimePending *set, RealtimeEntity *entity)
{
	for (int i = set->nentities - 1; i >= 0; i--)
		if (set->entities[i].entity == entity)
		{
			set->entities[i].count++;
			return;
		}
	if (set->nentities == set->entities_room)
	{
		set->entities_room = Max(4, set->entities_room * 2);
		set->entities = set->entities
			? repalloc(set->entities, set->entities_room * sizeof(EntityCount))
			: MemoryContextAlloc(set->context, set->entities_room * sizeof(EntityCount));
	}
	set->entities[set->nentities].entity = entity;
	set->entities[set->nentities].count = 1;
	set->nentities++;
	set->may_coalesce |= entity->coalesce;
}

static void flush_all(bool may_notify);

/* Spills when over the limit; writes at once what arrives after the transaction's flush. */
static void
after_add(RealtimePending *set)
{
	if (set->memory > (Size) realtime_pending_memory * 1024)
		spill(set);
	if (transaction.is_flushed && !is_flushing)
		flush_all(!transaction.is_prepared);
}

void
realtime_pending_add_change(const RealtimeChange *change, CommandId cid, bool is_moved)
{
	RealtimePending *set = get_pending();
	RealtimeEntity *entity = (change->new_leaf ? change->new_leaf : change->old_leaf)->entity;
	uint32		old_len = change->old_tuple.t_data ? change->old_tuple.t_len : 0;
	uint32		new_len = change->new_tuple.t_data ? change->new_tuple.t_len : 0;
	Size		size = MAXALIGN(sizeof(Entry)) + MAXALIGN(old_len) + MAXALIGN(new_len);
	Entry	   *entry;

	mark(set);
	entry = pile_append(set, choose_pile(set, cid), size, cid);
	entry->arrival = set->arrival++;
	entry->derived = change->derived;
	entry->old_leaf = change->old_leaf;
	entry->new_leaf = change->new_leaf;
	entry->old_len = old_len;
	entry->new_len = new_len;
	entry->op = change->op;
	entry->is_moved = is_moved;
	put(ENTRY_OLD(entry), change->old_tuple.t_data, old_len);
	put(ENTRY_NEW(entry), change->new_tuple.t_data, new_len);
	set->needs_snapshot |= entity->needs_snapshot
		|| (old_len > 0 && (change->old_tuple.t_data->t_infomask & HEAP_HASEXTERNAL))
		|| (new_len > 0 && (change->new_tuple.t_data->t_infomask & HEAP_HASEXTERNAL));
	count_change(set, entity);
	after_add(set);
}

/* Appends an event to a pile as an entry. */
static void
append_event(RealtimePending *set, Pile *pile, const RealtimeEvent *event, CommandId cid,
			 uint64 arrival)
{
	Size		size = MAXALIGN(sizeof(Entry)) + MAXALIGN(event->text.len)
		+ MAXALIGN(event->extra.len);
	Entry	   *entry = pile_append(set, pile, size, cid);

	entry->arrival = arrival;
	entry->op = REALTIME_OP_EVENT;
	entry->old_len = event->text.len;
	entry->new_len = event->extra.len;
	entry->names_len = event->names_len;
	entry->id_len = event->id_len;
	entry->priority = event->priority;
	entry->notify = event->notify;
	entry->notify_data = event->notify_data;
	put(ENTRY_OLD(entry), event->text.data, event->text.len);
	put(ENTRY_NEW(entry), event->extra.data, event->extra.len);
}

void
realtime_pending_add_event(const RealtimeEvent *event)
{
	RealtimePending *set = get_pending();
	CommandId	cid = GetCurrentCommandId(false);

	(void) GetTopFullTransactionId();	/* the event needs one, and must fail here if it cannot */
	mark(set);
	append_event(set, choose_pile(set, cid), event, cid, set->arrival++);
	after_add(set);
}

void
realtime_pending_add_resync_of(const RealtimeRegistration *registration, const char *reason)
{
	RealtimeEvent event;
	char	   *notify = realtime_settings_text(registration->settings, "notify");

	realtime_event_init(&event, registration->feature, registration->entity, "resync", NULL);
	if (notify && realtime_notify_from_name(notify) >= 0)
		event.notify = realtime_notify_from_name(notify);
	appendStringInfoString(&event.text, ",\"data\":{\"reason\":");
	realtime_json_append_string(&event.text, reason, strlen(reason));
	appendStringInfoChar(&event.text, '}');
	event.notify_data = true;
	realtime_pending_add_event(&event);
	pfree(event.text.data);
	pfree(event.extra.data);
}

void
realtime_pending_add_resync(Oid root, const char *reason)
{
	RealtimePending *set = get_pending();
	RealtimeRegistration registration;
	MemoryContext old;

	if (list_member_oid(set->resyncs, root)
		|| !realtime_registration_of_relation(root, &registration))
		return;
	mark(set);
	old = MemoryContextSwitchTo(set->context);
	set->resyncs = lappend_oid(set->resyncs, root);
	MemoryContextSwitchTo(old);
	realtime_pending_add_resync_of(&registration, reason);
}

/* ------------------------------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------------------------------
 */

/* Where the reading of one pile stands. */
typedef struct Reader
{
	int64		offset;			/* of the next entry */
	Entry	   *entry;			/* the head, or NULL at the end */
	char	   *buffer;			/* of heads that come from the file */
	Size		room;
} Reader;

struct RealtimeCursor
{
	RealtimePending *pending;	/* borrowed */
	Reader	   *readers;
	char	   *moved;			/* a copy of a moved row's DELETE while its INSERT is read */
	Size		moved_room;
};

/* Makes the next entry of a pile its reader's head. */
static void
reader_advance(RealtimePending *set, int i, Reader *reader)
{
	Pile	   *pile = &set->piles[i];
	Entry		header;

	if (reader->offset >= pile_length(pile))
	{
		reader->entry = NULL;
		return;
	}
	if (reader->offset >= pile->file_len)
	{
		reader->entry = (Entry *) (pile->data + (reader->offset - pile->file_len));
		reader->offset += reader->entry->size;
		return;
	}
	pile_seek(pile, reader->offset);
	if (BufFileRead(pile->file, &header, sizeof(Entry)) != sizeof(Entry))
		elog(ERROR, "realtime: could not read pending events back");
	if (reader->room < header.size)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		if (reader->buffer)
			pfree(reader->buffer);
		reader->room = Max(header.size, 8192);
		reader->buffer = palloc_extended(reader->room, MCXT_ALLOC_HUGE);
		MemoryContextSwitchTo(old);
	}
	memcpy(reader->buffer, &header, sizeof(Entry));
	if (BufFileRead(pile->file, reader->buffer + sizeof(Entry), header.size - sizeof(Entry))
		!= header.size - sizeof(Entry))
		elog(ERROR, "realtime: could not read pending events back");
	reader->entry = (Entry *) reader->buffer;
	reader->offset += header.size;
}

RealtimeCursor *
realtime_cursor_open(RealtimePending *set)
{
	RealtimeCursor *cursor = MemoryContextAllocZero(set->context, sizeof(RealtimeCursor));

	cursor->pending = set;
	cursor->readers = MemoryContextAllocZero(set->context, sizeof(Reader) * Max(set->npiles, 1));
	for (int i = 0; i < set->npiles; i++)
		reader_advance(set, i, &cursor->readers[i]);
	return cursor;
}

void
realtime_cursor_close(RealtimeCursor *cursor)
{
	for (int i = 0; i < cursor->pending->npiles; i++)
		if (cursor->readers[i].buffer)
			pfree(cursor->readers[i].buffer);
	if (cursor->moved)
		pfree(cursor->moved);
	pfree(cursor->readers);
	pfree(cursor);
}

/* Index of the reader with the first entry in order, or -1 at the end. */
static int
cursor_first(const RealtimeCursor *cursor)
{
	int			first = -1;

	for (int i = 0; i < cursor->pending->npiles; i++)
	{
		Entry	   *entry = cursor->readers[i].entry;
		Entry	   *best = first < 0 ? NULL : cursor->readers[first].entry;

		if (entry && (best == NULL || entry->cid < best->cid
					  || (entry->cid == best->cid && entry->arrival < best->arrival)))
			first = i;
	}
	return first;
}

/* Points a HeapTuple at a kept tuple. */
static void
set_tuple(HeapTuple tuple, char *data, uint32 len, const RealtimeLeaf *leaf)
{
	memset(tuple, 0, sizeof(HeapTupleData));
	ItemPointerSetInvalid(&tuple->t_self);
	if (len == 0)
		return;
	tuple->t_len = len;
	tuple->t_tableOid = leaf->relid;
	tuple->t_data = (HeapTupleHeader) data;
}

/*
 * When the entry is the DELETE of a row that moves to another partition, the next one in order is
 * its INSERT: makes both one UPDATE. The DELETE is copied where its memory goes with the reading.
 */
static bool
join_move(RealtimeCursor *cursor, RealtimeChange *change, const Entry *entry)
{
	int			next = cursor_first(cursor);
	Entry	   *insert = next < 0 ? NULL : cursor->readers[next].entry;

	if (insert == NULL || insert->op != REALTIME_OP_INSERT || insert->cid != entry->cid
		|| insert->new_leaf->entity->root != entry->old_leaf->entity->root)
		return false;
	change->op = REALTIME_OP_UPDATE;
	change->new_leaf = insert->new_leaf;
	change->is_joined = true;
	set_tuple(&change->new_tuple, ENTRY_NEW(insert), insert->new_len, insert->new_leaf);
	return true;
}

bool
realtime_cursor_next(RealtimeCursor *cursor, RealtimeChange *change, RealtimeEvent *event)
{
	RealtimePending *set = cursor->pending;
	int			first = cursor_first(cursor);
	Reader	   *reader;
	Entry	   *entry;

	if (first < 0)
		return false;
	reader = &cursor->readers[first];
	entry = reader->entry;
	change->op = entry->op;
	if (entry->op == REALTIME_OP_EVENT)
	{
		memset(event, 0, sizeof(RealtimeEvent));
		event->text.data = ENTRY_OLD(entry);
		event->text.len = entry->old_len;
		event->extra.data = ENTRY_NEW(entry);
		event->extra.len = entry->new_len;
		event->names_len = entry->names_len;
		event->id_len = entry->id_len;
		event->priority = entry->priority;
		event->notify = entry->notify;
		event->notify_data = entry->notify_data;
	}
	/* A head from the file stays in its buffer until the next advance: copy it first. */
	if (!realtime_pending_is_in_memory(set))
	{
		char	   *base;

		if (cursor->moved_room < entry->size)
		{
			if (cursor->moved)
				pfree(cursor->moved);
			cursor->moved_room = Max(entry->size, 8192);
			cursor->moved = MemoryContextAllocHuge(set->context, cursor->moved_room);
		}
		base = cursor->moved;
		memcpy(base, entry, entry->size);
		entry = (Entry *) base;
		if (entry->op == REALTIME_OP_EVENT)
		{
			event->text.data = ENTRY_OLD(entry);
			event->extra.data = ENTRY_NEW(entry);
		}
	}
	reader_advance(set, first, reader);
	if (entry->op == REALTIME_OP_EVENT)
		return true;
	change->old_leaf = entry->old_leaf;
	change->new_leaf = entry->new_leaf;
	change->derived = entry->derived;
	change->is_joined = false;
	set_tuple(&change->old_tuple, ENTRY_OLD(entry), entry->old_len, entry->old_leaf);
	set_tuple(&change->new_tuple, ENTRY_NEW(entry), entry->new_len, entry->new_leaf);
	if (entry->is_moved && join_move(cursor, change, entry))
	{
		int			next = cursor_first(cursor);

		if (!realtime_pending_is_in_memory(set))
		{
			/* Both halves must outlive the advance. */
			Entry	   *insert = cursor->readers[next].entry;
			Size		offset = MAXALIGN(entry->size);

			if (cursor->moved_room < offset + insert->size)
			{
				cursor->moved_room = offset + insert->size;
				cursor->moved = repalloc_huge(cursor->moved, cursor->moved_room);
				entry = (Entry *) cursor->moved;
			}
			memcpy(cursor->moved + offset, insert, insert->size);
			insert = (Entry *) (cursor->moved + offset);
			set_tuple(&change->old_tuple, ENTRY_OLD(entry), entry->old_len, entry->old_leaf);
			set_tuple(&change->new_tuple, ENTRY_NEW(insert), insert->new_len, insert->new_leaf);
		}
		reader_advance(set, next, &cursor->readers[next]);
	}
	return true;
}

bool
realtime_pending_is_in_memory(const RealtimePending *set)
{
	for (int i = 0; i < set->npiles; i++)
		if (set->piles[i].file_len > 0)
			return false;
	return true;
}

int64
realtime_pending_count(const RealtimePending *set, const RealtimeEntity *entity)
{
	int64		count = 0;

	/* A definition that was rebuilt meanwhile is another pointer with the same root. */
	for (int i = 0; i < set->nentities; i++)
		if (set->entities[i].entity->root == entity->root)
			count += set->entities[i].count;
	return count;
}

bool
realtime_pending_may_sum_up(const RealtimePending *set)
{
	for (int i = 0; i < set->nentities; i++)
	{
		const RealtimeEntity *entity = set->entities[i].entity;

		if (entity->bulk_threshold >= 0
			&& realtime_pending_count(set, entity) > entity->bulk_threshold)
			return true;
	}
	return false;
}

bool
realtime_pending_needs_snapshot(const RealtimePending *set)
{
	return set->needs_snapshot;
}

MemoryContext
realtime_pending_context(const RealtimePending *set)
{
	return set->context;
}

bool
realtime_pending_may_coalesce(const RealtimePending *set)
{
	return set->may_coalesce;
}

/* ------------------------------------------------------------------------------------------------
 * Becoming text before DDL
 * ------------------------------------------------------------------------------------------------
 */

/* Where the sink of a conversion puts its events. */
typedef struct Conversion
{
	RealtimePending *set;
	Pile	   *pile;
	CommandId	cid;
	uint64		arrival;
} Conversion;

/* Event sink of convert(). */
static void
keep_event(void *arg, const RealtimeEvent *event)
{
	Conversion *conversion = arg;

	append_event(conversion->set, conversion->pile, event, conversion->cid, conversion->arrival);
}

/* Converts the entries of one pile, moving the marks that point into it. */
static void
convert_pile(RealtimePending *set, int i, RealtimeEventBuilder *builder)
{
	Pile		converted = {0};
	Reader		reader = {0};
	Conversion	conversion = {set, &converted, 0, 0};
	int64		offset = 0;
	int64		length = pile_length(&set->piles[i]);
	ListCell   *cell;

	do
	{
		Entry	   *entry;
		RealtimeChange change = {0};

		foreach(cell, set->marks)
		{
			Mark	   *m = lfirst(cell);

			if (i < m->npiles && m->lengths[i] == offset)
				m->lengths[i] = -1 - pile_length(&converted);	/* converted: told apart by sign */
		}
		reader_advance(set, i, &reader);
		entry = reader.entry;
		if (entry == NULL)
			break;
		conversion.cid = entry->cid;
		conversion.arrival = entry->arrival;
		if (entry->op == REALTIME_OP_EVENT)
		{
			Entry	   *copy = pile_append(set, &converted, entry->size, entry->cid);

			memcpy(copy, entry, entry->size);
		}
		else
		{
			change.op = entry->op;
			change.old_leaf = entry->old_leaf;
			change.new_leaf = entry->new_leaf;
			change.derived = entry->derived;
			set_tuple(&change.old_tuple, ENTRY_OLD(entry), entry->old_len, entry->old_leaf);
			set_tuple(&change.new_tuple, ENTRY_NEW(entry), entry->new_len, entry->new_leaf);
			realtime_event_from_change(builder, &change, keep_event, &conversion);
		}
		offset = reader.offset;
		if (converted.len > (Size) realtime_pending_memory * 1024)
		{
			RealtimePending one = {.context = set->context, .piles = &converted, .npiles = 1};

			spill(&one);
		}
	} while (offset <= length);
	foreach(cell, set->marks)
	{
		Mark	   *m = lfirst(cell);

		if (i < m->npiles && m->lengths[i] < 0)
			m->lengths[i] = -1 - m->lengths[i];
	}
	converted.last_cid = set->piles[i].last_cid;
	if (set->piles[i].file)
		BufFileClose(set->piles[i].file);
	if (set->piles[i].data)
		pfree(set->piles[i].data);
	if (reader.buffer)
		pfree(reader.buffer);
	set->piles[i] = converted;
}

/*
 * Turns all kept tuples into text, because a statement may drop or rewrite what they are made of.
 * Such changes are not coalesced nor summed up any more, and a move between partitions that came
 * before is shown as its two halves.
 */
static void
convert(RealtimePending *set)
{
	RealtimeEventBuilder *builder;
	MemoryContext old = MemoryContextSwitchTo(set->context);

	PushActiveSnapshot(GetTransactionSnapshot());
	builder = realtime_event_builder_new();
	for (int i = 0; i < set->npiles; i++)
		convert_pile(set, i, builder);
	realtime_event_builder_free(builder);
	PopActiveSnapshot();
	set->memory = 0;
	for (int i = 0; i < set->npiles; i++)
		set->memory += set->piles[i].len;
	for (int i = 0; i < set->nentities; i++)
		set->entities[i].count = 0;
	MemoryContextSwitchTo(old);
}

/* Whether a statement can change the meaning of a kept tuple or drop what it points to. */
static bool
is_threatening(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterTableStmt:
		case T_AlterDomainStmt:
		case T_AlterEnumStmt:
		case T_AlterExtensionStmt:
		case T_AlterTypeStmt:
		case T_ClusterStmt:
		case T_DropOwnedStmt:
		case T_DropRoleStmt:
		case T_DropStmt:
		case T_RenameStmt:
		case T_TruncateStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Whether all that a statement does is to drop or truncate tables that belong to no registered one,
 * as those are that a load goes through. What hangs on them by CASCADE is not looked into.
 */
static bool
is_elsewhere(const Node *statement)
{
	List	   *names = NIL;
	ListCell   *cell;
	ListCell   *member;

	if (IsA(statement, TruncateStmt) && ((const TruncateStmt *) statement)->behavior == DROP_RESTRICT)
		names = ((const TruncateStmt *) statement)->relations;
	else if (IsA(statement, DropStmt) && ((const DropStmt *) statement)->behavior == DROP_RESTRICT
			 && ((const DropStmt *) statement)->removeType == OBJECT_TABLE)
	{
		foreach(cell, ((const DropStmt *) statement)->objects)
			names = lappend(names, makeRangeVarFromNameList(lfirst_node(List, cell)));
	}
	else
		return false;
	foreach(cell, names)
	{
		Oid			relid = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);

		if (!OidIsValid(relid))
			continue;
		foreach(member, find_all_inheritors(relid, NoLock, NULL))
			if (OidIsValid(realtime_registered_root(lfirst_oid(member))))
				return false;
	}
	return true;
}

/* Utility hook: converts what is kept before such a statement. */
static void
process_utility(PlannedStmt *statement, const char *query, bool is_read_only,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	if (pending && is_threatening(statement->utilityStmt)
		&& !is_elsewhere(statement->utilityStmt))
		convert(pending);
	if (next_process_utility)
		next_process_utility(statement, query, is_read_only, context, params, environment, dest,
							 completion);
	else
		standard_ProcessUtility(statement, query, is_read_only, context, params, environment, dest,
								completion);
	if (IsA(statement->utilityStmt, DiscardStmt)
		&& ((const DiscardStmt *) statement->utilityStmt)->target == DISCARD_ALL)
		realtime_doorbell_disarm();
}

/* ------------------------------------------------------------------------------------------------
 * The end of the transaction
 * ------------------------------------------------------------------------------------------------
 */

/* Flushes until nothing is pending: output functions run by a flush may change rows themselves. */
static void
flush_all(bool may_notify)
{
	remember_transaction();		/* also when nothing is pending yet: what comes now is late */
	while (pending)
	{
		RealtimePending *set = pending;

		pending = NULL;
		is_flushing = true;
		flush_level = GetCurrentTransactionNestLevel();
		realtime_flush_pending(set, &transaction, may_notify);
		is_flushing = false;
		pending_free(set);
	}
	transaction.is_flushed = true;
	transaction.is_prepared = !may_notify;
}

/* Transaction callback. */
static void
on_transaction(XactEvent event, void *arg)
{
	has_seen_end = true;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			flush_all(true);
			break;
		case XACT_EVENT_PRE_PREPARE:
			flush_all(false);
			break;
		case XACT_EVENT_COMMIT:
			if (pending)
				ereport(WARNING,
						(errcode(ERRCODE_INTERNAL_ERROR),
						 errmsg("changes made while committing were not seen by realtime"),
						 errhint("Put realtime into session_preload_libraries.")));
			realtime_entity_release_retired();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			realtime_entity_release_retired();
			break;
		default:
			break;
	}
}

/* Registers the callbacks and the hook. */
void
realtime_pending_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
