/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * hub.c
 *	  See hub.h. Knows no sessions and no protocol but the form of a commit frame.
 *
 * The index: an entity (by feature and name) has its views without a filter (plain), those whose filter has
 * no equality (scanned), and for each column that an equality names a hash from the value's key to views. A
 * view stands under one equality of its filter, the one whose bucket is the smallest when it comes.
 */
#include "hub.h"

#include <string.h>

#include "memory.h"
#include "protocol.h"
#include "stats.h"
#include "subscription.h"

struct views
{
	struct view **at;
	unsigned	n;
	unsigned	room;
};

/* The views that want one value of a column. */
struct bucket
{
	UT_hash_handle hh;
	struct views views;
	size_t		len;
	char		key[];
};

/* The equalities on one column, compared as one type. */
struct column_index
{
	struct column_index *next;
	char	   *column;			/* as inside a JSON string */
	size_t		column_len;
	enum filter_type type;
	struct bucket *buckets;
	unsigned	nviews;
};

struct entity
{
	UT_hash_handle hh;
	struct views plain;
	struct views scanned;
	struct column_index *indexes;
	struct views readers;		/* of other entities, whose policies read this one */
	size_t		len;
	char		key[];			/* feature, zero, entity */
};

struct hub
{
	struct view *views;
	struct entity *entities;
	struct views wildcards;
	hub_user_fn user_of;
	struct eval_registry *registry;	/* where views join their groups; NULL: nowhere */
	uint64_t	stamp;
	struct buffer key;			/* scratch */
	struct buffer names;		/* of the event at hand, without escapes */
	struct buffer scratch;		/* keys of values */
	struct row	data;
	struct row	old;
	struct row	image;			/* old image of an update */
};

/* A piece of what a view has, once it has something for one user alone. */
struct item
{
	size_t		at;				/* of its events, in the text */
	size_t		len;
	unsigned	nevents;
	bool		is_addressed;
	size_t		user_at;		/* of the user's name, in the text */
	size_t		user_len;
	enum priority priority;
};

/* What the current transaction has for one view. */
struct view_pending
{
	struct view_pending *next;	/* in the order of first touch, or in the pool */
	struct view *view;
	struct buffer text;			/* events for all, with commas; from the first item on, items */
	struct item *items;			/* in the order of the transaction */
	unsigned	nitems;
	unsigned	items_room;
	unsigned	nevents;		/* for all, of the part at hand */
	unsigned	part;
	enum priority priority;
	const char *gap;
};

struct hub_stream
{
	struct hub *hub;
	hub_deliver_fn deliver;
	hub_deliver_all_fn deliver_all;	/* NULL: this is the live stream */
	void	   *arg;
	hub_access_fn on_access;	/* NULL: nobody */
	bool		is_inside;
	uint64_t	xid;
	struct view_pending *first;
	struct view_pending **last;
	struct view_pending *pool;

	/* The row change that derived events follow: its chunk, kept, and the event in it. */
	struct chunk *row_chunk;
	const struct event *row_event;
	unsigned	row_ordinal;
	unsigned	ordinal;		/* of the event at hand */
};

/* Appends a view to a vector. */
static void
views_add(struct views *list, struct view *view)
{
	if (list->n == list->room)
	{
		list->room = list->room ? list->room * 2 : 4;
		list->at = memory_resize(list->at, sizeof(struct view *) * list->room);
	}
	list->at[list->n++] = view;
}

/* Removes a view from a vector; false when it is not there. */
static bool
views_remove(struct views *list, const struct view *view)
{
	for (unsigned i = 0; i < list->n; i++)
		if (list->at[i] == view)
		{
			list->at[i] = list->at[--list->n];
			return true;
		}
	return false;
}

struct hub *
hub_new(hub_user_fn user_of)
{
	struct hub *hub = memory_alloc_zeroed(sizeof(*hub));

	hub->user_of = user_of;
	return hub;
}

void
hub_set_registry(struct hub *hub, struct eval_registry *registry)
{
	hub->registry = registry;
}

void
hub_free(struct hub *hub)
{
	memory_free(hub->wildcards.at);
	buffer_release(&hub->key);
	buffer_release(&hub->names);
	buffer_release(&hub->scratch);
	row_release(&hub->data);
	row_release(&hub->old);
	row_release(&hub->image);
	memory_free(hub);
}

struct view *
hub_find(struct hub *hub, const char *key)
{
	struct view *view;

	HASH_FIND_STR(hub->views, key, view);
	return view;
}

/* An entity's key, in the hub's scratch. */
static struct slice
entity_key(struct hub *hub, const char *feature, size_t feature_len, const char *entity,
		   size_t entity_len)
{
	hub->key.len = 0;
	buffer_put(&hub->key, feature, feature_len);
	buffer_put(&hub->key, "", 1);
	buffer_put(&hub->key, entity, entity_len);
	return buffer_slice(&hub->key);
}

static struct entity *
find_entity(struct hub *hub, struct slice key)
{
	struct entity *entity;

	HASH_FIND(hh, hub->entities, key.at, key.len, entity);
	return entity;
}

/* A view's entity. */
static struct slice
view_entity_key(struct hub *hub, const struct view *view)
{
	return entity_key(hub, view->feature, strlen(view->feature), view->entity_name,
					  strlen(view->entity_name));
}

static struct bucket *
find_bucket(struct column_index *index, struct slice key)
{
	struct bucket *bucket;

	HASH_FIND(hh, index->buckets, key.at, key.len, bucket);
	return bucket;
}

/* The index of a term's column; made when is_made. */
static struct column_index *
find_index(struct entity *entity, const struct filter_term *term, bool is_made)
{
	struct column_index *index = entity->indexes;

	while (index != NULL && (index->type != term->type || index->column_len != term->column.len
							 || memcmp(index->column, term->column.at, term->column.len) != 0))
		index = index->next;
	if (index == NULL && is_made)
	{
		index = memory_alloc_zeroed(sizeof(*index));
		index->column = memory_copy_string(term->column.at, term->column.len);
		index->column_len = term->column.len;
		index->type = term->type;
		index->next = entity->indexes;
		entity->indexes = index;
	}
	return index;
}

/* How many views stand under a term's values already; the term with the fewest is indexed. */
static unsigned
term_crowd(struct entity *entity, const struct filter_term *term)
{
	struct column_index *index = find_index(entity, term, false);
	unsigned	n = term->nkeys;

	for (unsigned i = 0; i < term->nkeys && index != NULL; i++)
	{
		struct bucket *bucket = find_bucket(index, term->keys[i]);

		n += bucket ? bucket->views.n : 0;
	}
	return n;
}

/* The equality of a filter with the smallest crowd; NULL when there is none. */
static const struct filter_term *
pick_term(struct entity *entity, const struct filter *filter, unsigned *crowd)
{
	const struct filter_term *best = NULL;

	for (unsigned i = 0; i < filter->nterms; i++)
	{
		const struct filter_term *term = &filter->terms[i];
		unsigned	one;

		if (term->is_negated || (term->op != OPERATOR_EQ && term->op != OPERATOR_IN))
			continue;
		one = term_crowd(entity, term);
		if (best == NULL || one < *crowd)
		{
			best = term;
			*crowd = one;
		}
	}
	return best;
}

/*
 * The equalities that a view is to be found by: one of its filter, or one of each alternative of its
 * policy, whichever is the less crowded. None: the view is scanned.
 */
static void
pick_terms(struct entity *entity, struct view *view)
{
	unsigned	crowd = 0;
	unsigned	sum = 0;
	const struct filter_term *of_filter = pick_term(entity, &view->filter, &crowd);
	const struct policy *policy = view->policy;
	const struct filter_term **of_policy = NULL;
	unsigned	n = policy ? policy->nfilters : 0;

	if (n > 0)
		of_policy = memory_alloc(sizeof(struct filter_term *) * n);
	for (unsigned i = 0; i < n; i++)
	{
		unsigned	one = 0;

		of_policy[i] = pick_term(entity, &policy->filters[i], &one);
		sum += one;
		if (of_policy[i] == NULL)
			n = 0;
	}
	if (n > 0 && (of_filter == NULL || sum < crowd))
	{
		view->indexed = of_policy;
		view->nindexed = n;
		return;
	}
	memory_free(of_policy);
	if (of_filter == NULL)
		return;
	view->indexed = memory_alloc(sizeof(struct filter_term *));
	view->indexed[0] = of_filter;
	view->nindexed = 1;
}

/* Puts a view under the values of an equality. */
static void
add_indexed(struct entity *entity, struct view *view, const struct filter_term *term)
{
	struct column_index *index = find_index(entity, term, true);

	index->nviews++;
	for (unsigned i = 0; i < term->nkeys; i++)
	{
		struct bucket *bucket = find_bucket(index, term->keys[i]);

		if (bucket == NULL)
		{
			bucket = memory_alloc_zeroed(sizeof(*bucket) + term->keys[i].len);
			memcpy(bucket->key, term->keys[i].at, term->keys[i].len);
			bucket->len = term->keys[i].len;
			HASH_ADD(hh, index->buckets, key, bucket->len, bucket);
		}
		views_add(&bucket->views, view);
	}
}

/* An entity by its key; made when there is none. */
static struct entity *
get_entity(struct hub *hub, struct slice key)
{
	struct entity *entity = find_entity(hub, key);

	if (entity != NULL)
		return entity;
	entity = memory_alloc_zeroed(sizeof(*entity) + key.len);
	memcpy(entity->key, key.at, key.len);
	entity->len = key.len;
	HASH_ADD(hh, hub->entities, key, entity->len, entity);
	return entity;
}

/* Frees an entity that nobody needs. */
static void
release_entity(struct hub *hub, struct entity *entity)
{
	if (entity->plain.n > 0 || entity->scanned.n > 0 || entity->indexes != NULL
		|| entity->readers.n > 0)
		return;
	HASH_DEL(hub->entities, entity);
	memory_free(entity->plain.at);
	memory_free(entity->scanned.at);
	memory_free(entity->readers.at);
	memory_free(entity);
}

/* Calls fn for each entity that a view's policies read. */
static void
each_read(struct hub *hub, struct view *view,
		  void (*fn) (struct hub *hub, struct entity *entity, struct view *view))
{
	for (unsigned i = 0; i < view->npolicies; i++)
		for (unsigned k = 0; k < view->policies[i]->nreads; k += 2)
		{
			const char *feature = view->policies[i]->reads[k];
			const char *name = view->policies[i]->reads[k + 1];

			fn(hub, get_entity(hub, entity_key(hub, feature, strlen(feature), name, strlen(name))),
			   view);
		}
}

static void
add_reader(struct hub *hub, struct entity *entity, struct view *view)
{
	(void) hub;
	views_add(&entity->readers, view);
}

static void
remove_reader(struct hub *hub, struct entity *entity, struct view *view)
{
	views_remove(&entity->readers, view);
	release_entity(hub, entity);
}

void
hub_add(struct hub *hub, struct view *view)
{
	struct entity *entity;

	HASH_ADD_KEYPTR(hh, hub->views, view->key, strlen(view->key), view);
	stats_add(STAT_VIEWS, 1);
	if (hub->registry != NULL && view_needs_evaluation(view))
		view_join_groups(view, hub->registry);
	each_read(hub, view, add_reader);
	if (view->feature == NULL || view->entity_name == NULL)
	{
		views_add(&hub->wildcards, view);
		return;
	}
	entity = get_entity(hub, view_entity_key(hub, view));
	pick_terms(entity, view);
	if (view->nindexed == 0)
		views_add(view_has_conditions(view) ? &entity->scanned : &entity->plain, view);
	for (unsigned i = 0; i < view->nindexed; i++)
		add_indexed(entity, view, view->indexed[i]);
}

/* Takes a view out of its column's index. */
static void
remove_indexed(struct entity *entity, const struct view *view, const struct filter_term *term)
{
	struct column_index *index = find_index(entity, term, false);

	for (unsigned i = 0; i < term->nkeys; i++)
	{
		struct bucket *bucket = find_bucket(index, term->keys[i]);

		if (bucket == NULL)
			continue;			/* a value that "in" names twice */
		while (views_remove(&bucket->views, view))
			;
		if (bucket->views.n == 0)
		{
			HASH_DEL(index->buckets, bucket);
			memory_free(bucket->views.at);
			memory_free(bucket);
		}
	}
	if (--index->nviews == 0)
	{
		struct column_index **at = &entity->indexes;

		while (*at != index)
			at = &(*at)->next;
		*at = index->next;
		memory_free(index->column);
		memory_free(index);
	}
}

void
hub_release(struct hub *hub, struct view *view)
{
	struct entity *entity;

	if (view->subscriptions.n > 0 || view->unsettled > 0)
		return;
	HASH_DEL(hub->views, view);
	stats_add(STAT_VIEWS, -1);
	if (view->pending != NULL)
		view->pending->view = NULL;
	each_read(hub, view, remove_reader);
	if (view->feature == NULL || view->entity_name == NULL)
	{
		views_remove(&hub->wildcards, view);
		view_free(view);
		return;
	}
	entity = find_entity(hub, view_entity_key(hub, view));
	for (unsigned i = 0; i < view->nindexed; i++)
		remove_indexed(entity, view, view->indexed[i]);
	if (view->nindexed == 0)
		views_remove(view_has_conditions(view) ? &entity->scanned : &entity->plain, view);
	release_entity(hub, entity);
	view_free(view);
}

void
hub_each_view(struct hub *hub, void (*fn) (void *arg, struct view *view), void *arg)
{
	struct view *view;
	struct view *next;

	HASH_ITER(hh, hub->views, view, next)
		fn(arg, view);
}

unsigned
hub_count_views(const struct hub *hub)
{
	return HASH_COUNT(hub->views);
}

struct hub_stream *
hub_stream_new(struct hub *hub, hub_deliver_fn deliver, void *arg)
{
	struct hub_stream *stream = memory_alloc_zeroed(sizeof(*stream));

	stream->hub = hub;
	stream->deliver = deliver;
	stream->arg = arg;
	stream->last = &stream->first;
	return stream;
}

struct hub_stream *
hub_replay_new(struct hub *hub, hub_deliver_all_fn deliver_all, hub_deliver_fn deliver, void *arg)
{
	struct hub_stream *stream = hub_stream_new(hub, deliver, arg);

	stream->deliver_all = deliver_all;
	return stream;
}

/* Whom a view's frames go to in this stream. */
static const struct subscriptions *
targets(const struct hub_stream *stream, const struct view *view)
{
	static const struct subscriptions none = {NULL, 0, 0};

	if (stream->deliver_all == NULL)
		return &view->subscriptions;
	return view->replayers ? view->replayers : &none;
}

/* Asks for the memory that deliveries further on will look at: a long list is in no cache. */
static void
look_ahead(const struct subscriptions *list, unsigned i)
{
	if (i + 8 < list->n)
	{
		const char *session = (const char *) list->at[i + 4]->session;

		__builtin_prefetch(list->at[i + 8]);
		__builtin_prefetch(session);
		__builtin_prefetch(session + 64);
	}
}

/* Gives a frame to all of a view. */
static void
deliver_to_all(struct hub_stream *stream, struct view *view, const struct delivery *delivery)
{
	const struct subscriptions *list = &view->subscriptions;

	if (stream->deliver_all != NULL)
	{
		stream->deliver_all(stream->arg, view, delivery);
		return;
	}
	for (unsigned i = 0; i < list->n; i++)
	{
		look_ahead(list, i);
		stream->deliver(stream->arg, list->at[i], delivery);
	}
	if (delivery->frame != NULL)
		stats_add(STAT_EVENTS_OUT, (int64_t) delivery->nevents * list->n);
}

/* A frame of events. */
static struct frame *
build_frame(struct hub_stream *stream, const struct view_pending *pending, struct slice events,
			unsigned part, bool is_last)
{
	struct buffer head;
	struct frame *frame;
	char	   *to;

	buffer_init(&head);
	protocol_begin_commit(&head, pending->view->id, stream->xid, part, is_last, false);
	frame = frame_new_empty(head.len + events.len + 2);
	to = frame_payload_at(frame);
	memcpy(to, head.at, head.len);
	if (events.len > 0)
		memcpy(to + head.len, events.at, events.len);
	memcpy(to + head.len + events.len, "]}", 2);
	frame_finish(frame, FRAME_COMMIT, head.len + events.len + 2);
	buffer_release(&head);
	stats_add(STAT_FRAMES_BUILT, 1);
	return frame;
}

/* Whether an item is for a user; NULL: for everybody. */
static bool
is_for(const struct view_pending *pending, const struct item *item, const char *user)
{
	return !item->is_addressed
		|| (user != NULL && strlen(user) == item->user_len
			&& memcmp(pending->text.at + item->user_at, user, item->user_len) == 0);
}

/* The last parts of a transaction as a user gets them. */
struct parts
{
	struct delivery *at;
	unsigned	n;
	unsigned	room;
};

static void
parts_add(struct hub_stream *stream, const struct view_pending *pending, struct parts *parts,
		  struct buffer *text, unsigned nevents, bool is_last)
{
	struct delivery *one;

	if (parts->n == parts->room)
	{
		parts->room = parts->room ? parts->room * 2 : 2;
		parts->at = memory_resize(parts->at, sizeof(struct delivery) * parts->room);
	}
	one = &parts->at[parts->n];
	one->frame = build_frame(stream, pending, buffer_slice(text), pending->part + parts->n, is_last);
	one->xid = stream->xid;
	one->nevents = nevents;
	one->gap = NULL;
	parts->n++;
	text->len = 0;
}

/* Puts the items that are for a user together. */
static void
parts_build(struct hub_stream *stream, const struct view_pending *pending, const char *user,
			struct parts *parts)
{
	enum priority priority = pending->priority;
	struct buffer text;
	unsigned	nevents = 0;

	buffer_init(&text);
	for (unsigned i = 0; i < pending->nitems; i++)
	{
		const struct item *item = &pending->items[i];

		if (!is_for(pending, item, user))
			continue;
		if (text.len > 0 && text.len + 1 + item->len > PROTOCOL_PART_FILL)
		{
			parts_add(stream, pending, parts, &text, nevents, false);
			nevents = 0;
		}
		if (text.len > 0)
			buffer_put(&text, ",", 1);
		buffer_put(&text, pending->text.at + item->at, item->len);
		nevents += item->nevents;
		if (item->priority > priority)
			priority = item->priority;
	}
	if (nevents > 0)
		parts_add(stream, pending, parts, &text, nevents, true);
	for (unsigned i = 0; i < parts->n; i++)
		parts->at[i].priority = priority;
	buffer_release(&text);
}

static void
parts_deliver(struct hub_stream *stream, const struct parts *parts, struct subscription *subscription)
{
	for (unsigned i = 0; i < parts->n; i++)
	{
		stream->deliver(stream->arg, subscription, &parts->at[i]);
		if (stream->deliver_all == NULL)
			stats_add(STAT_EVENTS_OUT, parts->at[i].nevents);
	}
}

static void
parts_release(struct parts *parts)
{
	for (unsigned i = 0; i < parts->n; i++)
		frame_unref(parts->at[i].frame);
	memory_free(parts->at);
	memset(parts, 0, sizeof(*parts));
}

/* Gives each subscription what is for all, with what is for its user alone. */
static void
deliver_items(struct hub_stream *stream, struct view_pending *pending)
{
	const struct subscriptions *list = targets(stream, pending->view);
	struct parts common = {NULL, 0, 0};

	parts_build(stream, pending, NULL, &common);
	for (unsigned i = 0; i < list->n; i++)
	{
		const char *user = stream->hub->user_of(list->at[i]);
		struct parts own = {NULL, 0, 0};
		bool		is_addressed = false;

		for (unsigned k = 0; k < pending->nitems && !is_addressed; k++)
			is_addressed = pending->items[k].is_addressed && is_for(pending, &pending->items[k], user);
		if (is_addressed)
			parts_build(stream, pending, user, &own);
		if (is_addressed || stream->deliver_all == NULL)
			parts_deliver(stream, is_addressed ? &own : &common, list->at[i]);
		parts_release(&own);
	}
	if (stream->deliver_all != NULL)
	{
		struct delivery rest = {NULL, stream->xid, PRIORITY_NORMAL, 0, NULL};

		stream->deliver_all(stream->arg, pending->view, &rest);
		for (unsigned i = 0; i < common.n; i++)
			stream->deliver_all(stream->arg, pending->view, &common.at[i]);
	}
	parts_release(&common);
}

/* Sends what was collected for a view as one part; items as the last parts. */
static void
flush_part(struct hub_stream *stream, struct view_pending *pending, bool is_last)
{
	struct delivery delivery = {NULL, stream->xid, pending->priority, pending->nevents, NULL};

	if (pending->nitems > 0)
	{
		deliver_items(stream, pending);
		return;
	}
	if (pending->nevents == 0)
		return;
	delivery.frame = build_frame(stream, pending, buffer_slice(&pending->text), pending->part, is_last);
	deliver_to_all(stream, pending->view, &delivery);
	frame_unref(delivery.frame);
	pending->part++;
	pending->nevents = 0;
	pending->text.len = 0;
}

/* Returns what was collected to the pool. */
static void
recycle(struct hub_stream *stream, struct view_pending *pending)
{
	if (pending->view != NULL)
		pending->view->pending = NULL;
	if (pending->text.room > PROTOCOL_PART_MAX)
		buffer_release(&pending->text);
	pending->next = stream->pool;
	stream->pool = pending;
}

/* The transaction is complete: everything goes out, in the order in which the views were touched. */
static void
end_transaction(struct hub_stream *stream)
{
	struct view_pending *pending = stream->first;

	while (pending != NULL)
	{
		struct view_pending *next = pending->next;

		if (pending->view != NULL)
		{
			flush_part(stream, pending, true);
			if (pending->gap != NULL)
			{
				struct delivery delivery = {NULL, stream->xid, pending->priority, 0, pending->gap};

				deliver_to_all(stream, pending->view, &delivery);
			}
		}
		recycle(stream, pending);
		pending = next;
	}
	stream->first = NULL;
	stream->last = &stream->first;
	stream->is_inside = false;
}

/* Where a view's events of this transaction are collected. */
static struct view_pending *
pending_of(struct hub_stream *stream, struct view *view)
{
	struct view_pending *pending = view->pending;

	if (pending != NULL)
		return pending;
	pending = stream->pool;
	if (pending != NULL)
		stream->pool = pending->next;
	else
		pending = memory_alloc_zeroed(sizeof(*pending));
	pending->next = NULL;
	pending->view = view;
	pending->text.len = 0;
	pending->nitems = 0;
	pending->nevents = 0;
	pending->part = 0;
	pending->priority = PRIORITY_LOW;
	pending->gap = NULL;
	view->pending = pending;
	*stream->last = pending;
	stream->last = &pending->next;
	return pending;
}

/* Adds a gap to what a view gets of this transaction. */
static void
add_gap(struct hub_stream *stream, struct view *view, const char *reason)
{
	if (targets(stream, view)->n > 0)
		pending_of(stream, view)->gap = reason;
}

/* Adds an item whose events are the text from a place on. */
static struct item *
add_item(struct view_pending *pending, size_t at, unsigned nevents)
{
	struct item *item;

	if (pending->nitems == pending->items_room)
	{
		pending->items_room = pending->items_room ? pending->items_room * 2 : 4;
		pending->items = memory_resize(pending->items, sizeof(struct item) * pending->items_room);
	}
	item = &pending->items[pending->nitems++];
	memset(item, 0, sizeof(*item));
	item->at = at;
	item->len = pending->text.len - at;
	item->nevents = nevents;
	return item;
}

/* Remembers whom an item is for: the user's name without escapes. */
static void
address_item(struct view_pending *pending, struct item *item, const struct event *event)
{
	char	   *name = buffer_reserve(&pending->text, event->to_user.len);
	long		len = jsonscan_unescape(event->to_user, name);

	item->is_addressed = true;
	item->user_at = pending->text.len;
	item->user_len = len < 0 ? 0 : (size_t) len;
	item->priority = event->priority;
	pending->text.len += item->user_len;
}

/* Adds an event to what a view gets of this transaction. */
static void
add_event(struct hub_stream *stream, struct view *view, const struct event *event, enum edge edge,
		  bool has_row)
{
	struct view_pending *pending;
	bool		is_without_keys = event->kind == EVENT_BULK_SUMMARY && view_has_conditions(view);

	if (targets(stream, view)->n == 0)
		return;
	pending = pending_of(stream, view);
	if (event->to_user.at != NULL && pending->nitems == 0 && pending->nevents > 0)
		add_item(pending, 0, pending->nevents);
	if (event->to_user.at != NULL || pending->nitems > 0)
	{
		size_t		at = pending->text.len;
		struct item *item;

		view_write_event(view, event, edge, has_row, is_without_keys, &pending->text);
		item = add_item(pending, at, 1);
		if (event->to_user.at != NULL)
		{
			address_item(pending, item, event);
			return;
		}
	}
	else
	{
		if (pending->nevents > 0 && pending->text.len + 1 + event->text.len > PROTOCOL_PART_FILL)
			flush_part(stream, pending, false);
		if (pending->nevents > 0)
			buffer_put(&pending->text, ",", 1);
		view_write_event(view, event, edge, has_row, is_without_keys, &pending->text);
	}
	pending->nevents++;
	if (event->priority > pending->priority)
		pending->priority = event->priority;
	if (is_without_keys)
		pending->gap = "bulk";
}

/* What is known of an event while its views are looked for. */
struct matching
{
	struct hub_stream *stream;
	const struct event *event;
	struct slice feature;		/* without escapes */
	struct slice entity;
	const struct row *new_row;
	const struct row *old_row;
	bool		is_derived;
	bool		has_row;
	bool		is_read;		/* the images have been read */
};

/* An event and one view. */
static void
match_view(const struct matching *m, struct view *view)
{
	struct hub *hub = m->stream->hub;
	enum edge	edge;

	if (view->stamp == hub->stamp)
		return;					/* found by the old and by the new value */
	view->stamp = hub->stamp;
	edge = view_edge(view, m->event, m->is_derived, m->new_row, m->old_row,
					 m->is_derived ? m->stream->row_ordinal : m->stream->ordinal, &hub->scratch);
	if (m->event->kind == EVENT_BULK_SUMMARY && (edge == EDGE_NONE || view_has_conditions(view))
		&& view_wants_replaced(view, m->event->action))
		add_gap(m->stream, view, "bulk");
	if (edge == EDGE_OMITTED)
		add_gap(m->stream, view, "omitted");
	else if (edge != EDGE_NONE)
		add_event(m->stream, view, m->event, edge, m->has_row);
}

static void
match_views(const struct matching *m, const struct views *list)
{
	for (unsigned i = 0; i < list->n; i++)
		match_view(m, list->at[i]);
}

/* The views that want a row's value of an indexed column; all of them when the value was left out. */
static void
match_index(const struct matching *m, struct column_index *index, const struct row *row)
{
	struct slice column = {index->column, index->column_len};
	const struct slice *value = row_find(row, column);
	struct bucket *bucket;
	struct bucket *next;

	if (value == NULL)
	{
		if (m->event->kind != EVENT_OTHER || m->is_derived)
			HASH_ITER(hh, index->buckets, bucket, next)
				match_views(m, &bucket->views);
		return;
	}
	if (jsonscan_kind(*value) == JSON_KIND_NULL)
		return;
	bucket = find_bucket(index, filter_value_key(index->type, *value, &m->stream->hub->scratch));
	if (bucket != NULL)
		match_views(m, &bucket->views);
}

/* Every view of an entity, whatever its filter. */
static void
match_all(const struct matching *m, struct entity *entity)
{
	struct column_index *index;
	struct bucket *bucket;
	struct bucket *next;

	match_views(m, &entity->scanned);
	for (index = entity->indexes; index != NULL; index = index->next)
		HASH_ITER(hh, index->buckets, bucket, next)
			match_views(m, &bucket->views);
}

/* Reads the images that filters look at. */
static void
read_images(struct matching *m)
{
	struct hub *hub = m->stream->hub;
	const struct event *event = m->is_derived ? m->stream->row_event : m->event;

	if (m->is_read)
		return;
	m->is_read = true;
	if (!row_read(&hub->data, event->data))
		return;
	switch (m->event->kind)
	{
		case EVENT_DELETED:
			m->old_row = &hub->data;
			break;
		case EVENT_UPDATED:
			m->new_row = &hub->data;
			row_copy(&hub->image, &hub->data);
			if (row_read(&hub->old, event->old))
				row_overlay(&hub->image, &hub->old);
			m->old_row = &hub->image;
			break;
		default:
			m->new_row = &hub->data;
			if (m->is_derived && event->kind == EVENT_UPDATED)
			{
				row_copy(&hub->image, &hub->data);
				if (row_read(&hub->old, event->old))
					row_overlay(&hub->image, &hub->old);
				m->old_row = &hub->image;
			}
			break;
	}
}

/* Whether an event is of what a view names. */
static bool
is_named(const struct matching *m, const struct view *view)
{
	return (view->feature == NULL || slice_equals(m->feature, view->feature))
		&& (view->entity_name == NULL || slice_equals(m->entity, view->entity_name));
}

/*
 * Calls match_view() for wildcard views whose role may read the entity. What is not known at all was registered after
 * the rights were looked up: as if a marker had come.
 */
static void
match_wildcards(struct matching *m)
{
	const struct views *list = &m->stream->hub->wildcards;

	for (unsigned i = 0; i < list->n; i++)
	{
		struct view *view = list->at[i];
		const struct entity_access *access;

		if (!is_named(m, view))
			continue;
		access = role_access_find(view->role, m->feature, m->entity);
		if (access == NULL && m->stream->on_access != NULL)
			m->stream->on_access(m->stream->arg, view, m->stream->xid);
		if (access == NULL || !access->can_read
			|| (access->has_policies && !view_has_policy_for(view, access)))
			continue;
		view_set_scope(view, access);
		if (view->policy != NULL)
			read_images(m);
		match_view(m, view);
	}
}

/* Whether an event follows from the row change before it: same row, and its data if it has any. */
static bool
is_derived(const struct hub_stream *stream, const struct event *event)
{
	const struct event *row = stream->row_event;

	if (row == NULL || (event->kind != EVENT_STATUS_CHANGED && event->kind != EVENT_OTHER))
		return false;
	return slice_is_same(row->entity, event->entity) && slice_is_same(row->feature, event->feature)
		&& slice_is_same(row->id, event->id)
		&& (event->kind == EVENT_STATUS_CHANGED || slice_is_same(row->data, event->data));
}

/* Remembers a row change for the events that follow from it. */
static void
remember_row(struct hub_stream *stream, struct chunk *chunk, const struct event *event)
{
	stream->row_event = event;
	stream->row_ordinal = stream->ordinal;
	if (stream->row_chunk != chunk)
	{
		if (stream->row_chunk != NULL)
			chunk_unref(stream->row_chunk);
		stream->row_chunk = chunk_ref(chunk);
	}
}

/* Whether a role may not read what an event is of; what is not registered any more it may have read. */
static bool
is_closed(const struct matching *m, const struct view *view)
{
	const struct entity_access *access = role_access_find(view->role, m->feature, m->entity);

	return access != NULL && !access->can_read;
}

/* Markers: the views of an entity, or all of them, get a gap, or are told that rights changed. */
static void
match_marker(const struct matching *m)
{
	struct hub_stream *stream = m->stream;
	enum event_kind kind = m->event->kind;
	struct view *view;
	struct view *next;

	if (stream->on_access != NULL && kind != EVENT_GAP)
		stream->on_access(stream->arg, NULL, stream->xid);
	HASH_ITER(hh, stream->hub->views, view, next)
	{
		if (kind != EVENT_GAP && !is_named(m, view))
			continue;
		if (kind == EVENT_GAP)
			add_gap(stream, view, "error");
		else if (kind == EVENT_RESYNC && !is_closed(m, view))
			add_gap(stream, view, "resync");
		if (stream->on_access != NULL
			&& (kind == EVENT_ACCESS || (kind == EVENT_RESYNC && view->npolicies > 0)))
			stream->on_access(stream->arg, view, stream->xid);
	}
}

/* A name of the event at hand without escapes; the buffer has room. */
static struct slice
plain_name(struct hub *hub, struct slice name)
{
	char	   *at = hub->names.at + hub->names.len;
	long		len;

	if (memchr(name.at, '\\', name.len) == NULL)
		return name;
	len = jsonscan_unescape(name, at);
	name.at = at;
	name.len = len < 0 ? 0 : (size_t) len;
	hub->names.len += name.len;
	return name;
}

/* Finds the views of an event. */
static void
match_event(struct hub_stream *stream, struct chunk *chunk, const struct event *event)
{
	struct hub *hub = stream->hub;
	struct matching m = {.stream = stream, .event = event, .is_derived = is_derived(stream, event)};
	struct entity *entity;

	hub->stamp++;
	hub->names.len = 0;
	buffer_reserve(&hub->names, event->feature.len + event->entity.len);
	m.feature = plain_name(hub, event->feature);
	m.entity = plain_name(hub, event->entity);
	entity = find_entity(hub, entity_key(hub, m.feature.at, m.feature.len, m.entity.at, m.entity.len));
	/* Rows of a table that a policy reads: what its views may see may be something else now. */
	if (entity != NULL && entity->readers.n > 0 && event->kind != EVENT_OTHER && event->kind != EVENT_ACCESS
		&& event->kind != EVENT_GAP && event->kind != EVENT_STATUS_CHANGED)
		for (unsigned i = 0; i < entity->readers.n; i++)
			add_gap(stream, entity->readers.at[i], "access");
	if (event->kind == EVENT_GAP || event->kind == EVENT_RESYNC || event->kind == EVENT_ACCESS)
	{
		match_marker(&m);
		return;
	}
	m.has_row = (m.is_derived && event->kind == EVENT_OTHER) || event_has_image(event, EVENT_IMAGE_NEW)
		|| event_has_image(event, EVENT_IMAGE_OLD);
	if (event_has_image(event, EVENT_IMAGE_NEW))
		remember_row(stream, chunk, event);
	else if (event->kind == EVENT_DELETED)
		stream->row_event = NULL;
	if (hub->wildcards.n > 0)
		match_wildcards(&m);
	if (entity == NULL)
		return;
	match_views(&m, &entity->plain);
	if (entity->scanned.n == 0 && entity->indexes == NULL)
		return;
	if (event->kind == EVENT_TRUNCATED || event->kind == EVENT_BULK_SUMMARY)
	{
		match_all(&m, entity);
		return;
	}
	read_images(&m);
	match_views(&m, &entity->scanned);
	for (struct column_index *index = entity->indexes; index != NULL; index = index->next)
	{
		if (m.new_row != NULL)
			match_index(&m, index, m.new_row);
		if (m.old_row != NULL)
			match_index(&m, index, m.old_row);
	}
}

void
hub_stream_chunk(struct hub_stream *stream, struct chunk *chunk)
{
	static const struct event broken = {.kind = EVENT_GAP};

	stream->xid = chunk->xid;
	stream->is_inside = true;
	if (chunk->is_broken)
		match_marker(&(struct matching) {.stream = stream, .event = &broken});
	for (unsigned i = 0; i < chunk->nevents; i++, stream->ordinal++)
		match_event(stream, chunk, &chunk->events[i]);
	if (chunk->is_last)
	{
		end_transaction(stream);
		stream->row_event = NULL;
		if (stream->row_chunk != NULL)
			chunk_unref(stream->row_chunk);
		stream->row_chunk = NULL;
	}
}

const struct event *
hub_stream_row(const struct hub_stream *stream)
{
	return stream->row_event;
}

void
hub_stream_renumber(struct hub_stream *stream)
{
	stream->row_ordinal = 0;
	stream->ordinal = stream->row_event != NULL ? 1 : 0;
}

void
hub_stream_on_access(struct hub_stream *stream, hub_access_fn fn)
{
	stream->on_access = fn;
}

bool
hub_stream_is_inside(const struct hub_stream *stream)
{
	return stream->is_inside;
}

void
hub_stream_reset(struct hub_stream *stream)
{
	while (stream->first != NULL)
	{
		struct view_pending *next = stream->first->next;

		recycle(stream, stream->first);
		stream->first = next;
	}
	stream->last = &stream->first;
	stream->is_inside = false;
	stream->row_event = NULL;
	if (stream->row_chunk != NULL)
		chunk_unref(stream->row_chunk);
	stream->row_chunk = NULL;
}

void
hub_stream_free(struct hub_stream *stream)
{
	if (stream == NULL)
		return;
	hub_stream_reset(stream);
	while (stream->pool != NULL)
	{
		struct view_pending *next = stream->pool->next;

		buffer_release(&stream->pool->text);
		memory_free(stream->pool->items);
		memory_free(stream->pool);
		stream->pool = next;
	}
	memory_free(stream);
}
