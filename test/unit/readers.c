/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * readers.c
 *	  See readers.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "readers.h"

static char *
copy(const char *text)
{
	return text ? memory_copy_string(text, strlen(text)) : NULL;
}

/* Whether a list is missing or has a text. */
static bool
has(const json_t *list, const char *text)
{
	const json_t *one;
	size_t		i;

	if (list == NULL || json_is_null(list))
		return true;
	json_array_foreach(list, i, one)
		if (strcmp(json_string_value(one), text) == 0)
			return true;
	return false;
}

struct role_access *
role_new(const char *name)
{
	struct role_access *role = memory_alloc_zeroed(sizeof(*role));

	role->refs = 1;
	role->role = copy(name);
	role->is_member = true;
	return role;
}

static void
add_column(struct entity_access *entity, const char *name, const char *type, const json_t *readable)
{
	struct access_column *column;
	struct buffer json;

	entity->columns = memory_resize(entity->columns,
									sizeof(struct access_column) * (entity->ncolumns + 1));
	column = &entity->columns[entity->ncolumns++];
	memset(column, 0, sizeof(*column));
	column->name = copy(name);
	buffer_init(&json);
	buffer_puts_json(&json, name);
	column->json_name.len = json.len - 2;
	column->json_name.at = memory_copy_string(json.at + 1, json.len - 2);
	buffer_release(&json);
	column->type = vectors_type(type, NULL, NULL);
	column->type_name = copy(type);
	column->is_readable = has(readable, name);
	column->is_deterministic = true;
	if (!column->is_readable)
		entity->is_all_readable = false;
}

struct entity_access *
role_add(struct role_access *role, const char *feature, const char *entity_name, const json_t *types,
		 const json_t *key, const char *status_column, const json_t *readable)
{
	struct entity_access *entity;
	const char *name;
	json_t	   *type;
	const json_t *one;
	size_t		i;

	role->entities = memory_resize(role->entities, sizeof(struct entity_access) * (role->nentities + 1));
	entity = &role->entities[role->nentities++];
	memset(entity, 0, sizeof(*entity));
	entity->feature = copy(feature);
	entity->entity = copy(entity_name);
	entity->is_table = types != NULL;
	entity->can_read = true;
	entity->is_all_readable = true;
	entity->relation = copy(types ? "public.\"table\"" : NULL);
	entity->status_column = copy(status_column);
	entity->print = copy("");
	json_object_foreach((json_t *) types, name, type)
		add_column(entity, name, json_string_value(type), readable);
	json_array_foreach(key, i, one)
	{
		entity->key = memory_resize(entity->key, sizeof(unsigned) * (entity->nkey + 1));
		for (unsigned c = 0; c < entity->ncolumns; c++)
			if (strcmp(entity->columns[c].name, json_string_value(one)) == 0)
				entity->key[entity->nkey] = c;
		entity->nkey++;
	}
	return entity;
}

static int
type_of(const void *arg, const char *name)
{
	const struct access_column *column = entity_access_column(arg, name);

	return column ? (int) column->type : -1;
}

/* The texts of a list; the caller frees the array. */
static const char **
texts_of(const json_t *list, unsigned *n)
{
	const char **texts = memory_alloc(sizeof(char *) * (json_array_size(list) + 1));

	*n = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		texts[(*n)++] = json_string_value(json_array_get(list, i));
	return texts;
}

struct view *
view_get(struct hub *hub, const struct wish *wish)
{
	static const unsigned char id_key[16] = "0123456789abcde";
	struct view_request request = {.role = wish->role, .feature = wish->feature, .entity_name = wish->entity,
		.claims = "{}"};
	const char **actions = texts_of(wish->actions, &request.nactions);
	const char **columns = texts_of(wish->columns, &request.ncolumns);
	struct buffer text;
	struct view *view;
	size_t		id_len;
	char	   *key;

	request.actions = actions;
	request.columns = columns;
	if (wish->feature != NULL && wish->entity != NULL)
		request.entity = role_access_find(wish->role, slice_of(wish->feature), slice_of(wish->entity));
	if (json_array_size(wish->filter) > 0)
	{
		struct message message;

		assert_int_equal(vectors_parse_filter(&message, wish->filter), RT_OK);
		assert_int_equal(vectors_make_filter(&request.filter, &message, type_of, request.entity, NULL), RT_OK);
		protocol_release(&message);
	}
	buffer_init(&text);
	filter_normalize(&request.filter, &text);
	request.filter_text = buffer_take(&text);
	key = view_request_key(&request, &id_len);
	memory_free((char *) request.filter_text);
	view = hub_find(hub, key);
	if (view == NULL)
	{
		view = view_new(&request, key, id_len, id_key);
		hub_add(hub, view);
	}
	else
	{
		memory_free(key);
		filter_release(&request.filter);
	}
	memory_free(actions);
	memory_free(columns);
	return view;
}

struct reader *
reader_new(struct hub *hub, const struct wish *wish, const char *user)
{
	struct reader *reader = memory_alloc_zeroed(sizeof(*reader));
	struct view *view = view_get(hub, wish);

	reader->subscription.view = view;
	reader->subscription.index = view->subscriptions.n;
	subscriptions_add(&view->subscriptions, &reader->subscription);
	reader->user = user;
	reader->events = json_array();
	reader->frames = json_array();
	return reader;
}

void
reader_forget(struct reader *reader)
{
	assert_int_equal(reader->open_tx, 0);
	json_array_clear(reader->events);
	json_array_clear(reader->frames);
	reader->gap = NULL;
	reader->ngaps = 0;
}

void
reader_free(struct hub *hub, struct reader *reader)
{
	struct view *view = reader->subscription.view;
	struct subscriptions *list = &view->subscriptions;

	view_forget_replayers(view);
	subscriptions_remove_at(list, reader->subscription.index);
	if (reader->subscription.index < list->n)
		list->at[reader->subscription.index]->index = reader->subscription.index;
	hub_release(hub, view);
	json_decref(reader->events);
	json_decref(reader->frames);
	memory_free(reader);
}

const char *
reader_user(const struct subscription *subscription)
{
	return ((const struct reader *) subscription)->user;
}

void
reader_deliver(void *arg, struct subscription *subscription, const struct delivery *delivery)
{
	static unsigned count;
	struct reader *reader = (struct reader *) subscription;
	struct slice payload;
	json_error_t error;
	json_t	   *frame;
	json_t	   *events;

	(void) arg;
	reader->priority = delivery->priority;
	reader->order = ++count;
	if (delivery->gap != NULL)
	{
		assert_null(delivery->frame);
		assert_int_equal(reader->open_tx, 0);
		reader->gap = delivery->gap;
		reader->ngaps++;
		return;
	}
	payload = frame_payload(delivery->frame);
	assert_int_equal(frame_kind(delivery->frame), FRAME_COMMIT);
	assert_null(memchr(payload.at, '\n', payload.len));
	frame = json_loadb(payload.at, payload.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (frame == NULL)
		fail_msg("%s: %.*s", error.text, (int) payload.len, payload.at);
	events = json_object_get(frame, "events");
	assert_string_equal(json_string_value(json_object_get(frame, "op")), "commit");
	assert_string_equal(json_string_value(json_object_get(frame, "view")), subscription->view->id);
	assert_int_equal(strtoull(json_string_value(json_object_get(frame, "tx")), NULL, 10), delivery->xid);
	assert_null(json_object_get(frame, "merged"));
	assert_true(json_array_size(events) > 0);
	assert_int_equal(json_array_size(events), delivery->nevents);
	assert_true(payload.len <= PROTOCOL_PART_MAX || json_array_size(events) == 1);
	/* Parts of one transaction count up, and the last says so. */
	if (reader->open_tx == 0)
		reader->part = 0;
	else
		assert_int_equal(reader->open_tx, delivery->xid);
	assert_int_equal(json_integer_value(json_object_get(frame, "part")), reader->part++);
	reader->open_tx = json_is_true(json_object_get(frame, "last")) ? 0 : delivery->xid;
	json_array_extend(reader->events, events);
	json_array_append_new(reader->frames, json_pack("[I,I]", (json_int_t) delivery->xid,
													(json_int_t) json_array_size(events)));
	json_decref(frame);
}

void
reader_deliver_own(void *arg, struct subscription *subscription, const struct delivery *delivery)
{
	struct reader *reader = (struct reader *) subscription;

	reader->own_tx = delivery->xid;
	reader->has_rest = false;
	reader_deliver(arg, subscription, delivery);
}

void
reader_deliver_all(void *arg, struct view *view, const struct delivery *delivery)
{
	for (unsigned i = 0; i < view->replayers->n; i++)
	{
		struct reader *reader = (struct reader *) view->replayers->at[i];

		if (delivery->frame == NULL && delivery->gap == NULL)
			reader->has_rest = true;
		else if (delivery->gap != NULL || !reader->has_rest || reader->own_tx != delivery->xid)
			reader_deliver(arg, view->replayers->at[i], delivery);
	}
}

void
reader_resume(struct reader *reader)
{
	struct view *view = reader->subscription.view;
	struct subscriptions *list = (struct subscriptions *) (uintptr_t) view->replayers;

	if (list == NULL)
		view->replayers = list = memory_alloc_zeroed(sizeof(*list));
	subscriptions_add(list, &reader->subscription);
}

void
view_forget_replayers(struct view *view)
{
	struct subscriptions *list = (struct subscriptions *) (uintptr_t) view->replayers;

	if (list != NULL)
		memory_free(list->at);
	memory_free(list);
	view->replayers = NULL;
}

void
stream_text(struct hub_stream *stream, uint64_t tx, const char *text)
{
	struct chunk *chunk = chunk_new(tx, 0, true, 0, text, strlen(text));

	assert_false(chunk->is_broken);
	hub_stream_chunk(stream, chunk);
	chunk_unref(chunk);
}

void
stream_events(struct hub_stream *stream, uint64_t tx, const json_t *events, bool is_split)
{
	size_t		n = is_split ? json_array_size(events) : 1;

	for (size_t i = 0; i < n; i++)
	{
		char	   *text = json_dumps(is_split ? json_array_get(events, i) : events,
									  JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ALLOW_NUL);
		struct buffer list;
		struct chunk *chunk;

		buffer_init(&list);
		buffer_puts(&list, is_split ? " [" : "");
		buffer_puts(&list, text);
		buffer_puts(&list, is_split ? "]" : "");
		chunk = chunk_new(tx, (unsigned) i, i + 1 == n, 0, list.at, list.len);
		assert_false(chunk->is_broken);
		hub_stream_chunk(stream, chunk);
		assert_int_equal(hub_stream_is_inside(stream), i + 1 < n);
		chunk_unref(chunk);
		buffer_release(&list);
		free(text);
	}
}
