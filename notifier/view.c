/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * view.c
 *	  See view.h.
 */
#include "view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Sorted copies of names, without doubles. */
static char **
copy_names(const char *const *names, unsigned n, unsigned *n_out)
{
	char	  **copy = n ? memory_alloc(sizeof(char *) * n) : NULL;
	unsigned	to = 0;

	for (unsigned i = 0; i < n; i++)
		copy[i] = memory_copy_string(names[i], strlen(names[i]));
	if (n > 1)
		qsort(copy, n, sizeof(char *), compare_strings);
	for (unsigned i = 0; i < n; i++)
	{
		if (to > 0 && strcmp(copy[i], copy[to - 1]) == 0)
			memory_free(copy[i]);
		else
			copy[to++] = copy[i];
	}
	*n_out = to;
	return copy;
}

static void
free_names(char **names, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memory_free(names[i]);
	memory_free(names);
}

/* Adds names to a key, sorted. */
static void
add_names(struct buffer *key, const char *const *names, unsigned n)
{
	unsigned	count;
	char	  **sorted = copy_names(names, n, &count);

	buffer_puts(key, "[");
	for (unsigned i = 0; i < count; i++)
		buffer_puts_json(key, sorted[i]);
	buffer_puts(key, "]");
	free_names(sorted, count);
}

/* Adds what decides between rows to a key. */
static void
add_policies(struct buffer *key, struct policy *const *policies, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
	{
		buffer_puts_json(key, policies[i]->feature);
		buffer_puts_json(key, policies[i]->entity);
		buffer_puts_json(key, policies[i]->text);
	}
}

char *
view_key_with(const struct view *view, struct policy *const *policies, unsigned n)
{
	struct buffer key;

	buffer_init(&key);
	buffer_put(&key, view->key, view->id_len);
	add_policies(&key, policies, n);
	return buffer_take(&key);
}

char *
view_request_key(const struct view_request *request, size_t *id_len)
{
	struct buffer key;

	buffer_init(&key);
	buffer_puts_json(&key, request->role->role);
	buffer_puts_json(&key, request->feature);
	buffer_puts_json(&key, request->entity_name);
	add_names(&key, request->actions, request->nactions);
	add_names(&key, request->columns, request->ncolumns);
	buffer_puts(&key, request->filter_text);
	*id_len = key.len;
	add_policies(&key, request->policies, request->npolicies);
	return buffer_take(&key);
}

/* SipHash-2-4 (Aumasson and Bernstein) of a key: ids are equal for equal views, and unguessable. */
static uint64_t
siphash(const char *text, size_t len, const unsigned char *k)
{
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define ROUND \
	(v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32), v2 += v3, v3 = ROTL(v3, 16), \
	 v3 ^= v2, v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0, v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, \
	 v2 = ROTL(v2, 32))
	uint64_t	k0;
	uint64_t	k1;
	uint64_t	v0;
	uint64_t	v1;
	uint64_t	v2;
	uint64_t	v3;
	uint64_t	m;
	size_t		i;

	memcpy(&k0, k, 8);
	memcpy(&k1, k + 8, 8);
	v0 = k0 ^ 0x736f6d6570736575ULL;
	v1 = k1 ^ 0x646f72616e646f6dULL;
	v2 = k0 ^ 0x6c7967656e657261ULL;
	v3 = k1 ^ 0x7465646279746573ULL;
	for (i = 0; i + 8 <= len; i += 8)
	{
		memcpy(&m, text + i, 8);
		v3 ^= m;
		ROUND;
		ROUND;
		v0 ^= m;
	}
	m = (uint64_t) len << 56;
	for (size_t j = 0; i + j < len; j++)
		m |= (uint64_t) (unsigned char) text[i + j] << (8 * j);
	v3 ^= m;
	ROUND;
	ROUND;
	v0 ^= m;
	v2 ^= 0xff;
	ROUND;
	ROUND;
	ROUND;
	ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
#undef ROUND
#undef ROTL
}

/* The columns that are shown, when not all are. */
static void
work_out_columns(struct view *view)
{
	const struct entity_access *entity = view->entity;

	memory_free(view->visible);
	view->visible = NULL;
	view->nvisible = 0;
	view->is_projected = entity != NULL && entity->is_table
		&& (view->ncolumns > 0 || !entity->is_all_readable);
	if (!view->is_projected)
		return;
	view->visible = memory_alloc(sizeof(struct slice) * entity->ncolumns);
	for (unsigned i = 0; i < entity->ncolumns; i++)
	{
		const struct access_column *column = &entity->columns[i];
		bool		is_wanted = view->ncolumns == 0;

		for (unsigned c = 0; c < view->ncolumns && !is_wanted; c++)
			is_wanted = strcmp(view->columns[c], column->name) == 0;
		for (unsigned k = 0; k < entity->nkey && !is_wanted; k++)
			is_wanted = entity->key[k] == i;
		if (is_wanted && column->is_readable)
			view->visible[view->nvisible++] = column->json_name;
	}
}

/* The policy of the view's entity; NULL when every row may be seen. */
static void
work_out_policy(struct view *view)
{
	const struct entity_access *entity = view->entity;

	view->policy = NULL;
	view->group = NULL;
	for (unsigned i = 0; entity != NULL && i < view->npolicies; i++)
		if (strcmp(view->policies[i]->feature, entity->feature) == 0
			&& strcmp(view->policies[i]->entity, entity->entity) == 0
			&& view->policies[i]->mode != POLICY_ALL)
		{
			view->policy = view->policies[i];
			view->group = view->groups ? view->groups[i] : NULL;
		}
}

bool
view_needs_evaluation(const struct view *view)
{
	for (unsigned i = 0; i < view->npolicies; i++)
		if (view->policies[i]->mode == POLICY_EVALUATE)
			return true;
	return false;
}

void
view_join_groups(struct view *view, struct eval_registry *registry)
{
	view->groups = memory_alloc_zeroed(sizeof(struct eval_group *) * view->npolicies);
	for (unsigned i = 0; i < view->npolicies; i++)
	{
		struct policy *policy = view->policies[i];
		struct slice feature = {policy->feature, strlen(policy->feature)};
		struct slice name = {policy->entity, strlen(policy->entity)};
		const struct entity_access *entity = role_access_find(view->role, feature, name);

		if (policy->mode == POLICY_EVALUATE && entity != NULL)
			view->groups[i] = eval_group_join(registry, entity, view->role->role, view->claims, policy);
	}
	work_out_policy(view);
}

bool
view_has_policy_for(const struct view *view, const struct entity_access *entity)
{
	for (unsigned i = 0; i < view->npolicies; i++)
		if (strcmp(view->policies[i]->feature, entity->feature) == 0
			&& strcmp(view->policies[i]->entity, entity->entity) == 0)
			return true;
	return false;
}

struct view *
view_new(const struct view_request *request, char *key, size_t id_len, const unsigned char *id_key)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	struct view *view = memory_alloc_zeroed(sizeof(*view));
	uint64_t	hash = siphash(key, id_len, id_key);

	view->key = key;
	view->id_len = id_len;
	for (int i = 0; i < 13; i++, hash >>= 5)
		view->id[i] = digits[hash & 31];
	view->role = role_access_ref(request->role);
	view->entity = request->entity;
	view->feature = request->feature ? memory_copy_string(request->feature, strlen(request->feature)) : NULL;
	view->entity_name = request->entity_name
		? memory_copy_string(request->entity_name, strlen(request->entity_name)) : NULL;
	view->actions = copy_names(request->actions, request->nactions, &view->nactions);
	view->columns = copy_names(request->columns, request->ncolumns, &view->ncolumns);
	view->filter = request->filter;
	view->claims = memory_copy_string(request->claims, strlen(request->claims));
	view->npolicies = request->npolicies;
	if (request->npolicies > 0)
		view->policies = memory_alloc(sizeof(struct policy *) * request->npolicies);
	for (unsigned i = 0; i < request->npolicies; i++)
		view->policies[i] = policy_ref(request->policies[i]);
	work_out_columns(view);
	work_out_policy(view);
	return view;
}

/* A copy of a filter. */
static struct filter
copy_filter(const struct filter *from)
{
	struct filter filter = {from->nterms, NULL};

	if (from->nterms == 0)
		return filter;
	filter.terms = memory_alloc(sizeof(struct filter_term) * from->nterms);
	for (unsigned i = 0; i < from->nterms; i++)
	{
		const struct filter_term *term = &from->terms[i];
		struct filter_term *copy = &filter.terms[i];

		*copy = *term;
		copy->column.at = memory_copy_string(term->column.at, term->column.len);
		copy->keys = term->nkeys ? memory_alloc(sizeof(struct slice) * term->nkeys) : NULL;
		for (unsigned k = 0; k < term->nkeys; k++)
		{
			copy->keys[k].at = memory_copy_string(term->keys[k].at, term->keys[k].len);
			copy->keys[k].len = term->keys[k].len;
		}
	}
	return filter;
}

struct view *
view_clone(const struct view *view, char *key, struct role_access *role,
		   struct policy *const *policies, unsigned n, const char *claims)
{
	static const unsigned char no_key[16];
	struct slice feature = {view->feature, view->feature ? strlen(view->feature) : 0};
	struct slice name = {view->entity_name, view->entity_name ? strlen(view->entity_name) : 0};
	bool		is_single = view->feature != NULL && view->entity_name != NULL;
	const struct view_request request = {
		.role = role,
		.entity = is_single ? role_access_find(role, feature, name) : NULL,
		.feature = view->feature,
		.entity_name = view->entity_name,
		.nactions = view->nactions,
		.actions = (const char *const *) view->actions,
		.filter = copy_filter(&view->filter),
		.ncolumns = view->ncolumns,
		.columns = (const char *const *) view->columns,
		.npolicies = n,
		.policies = policies,
		.claims = claims,
	};
	struct view *clone = view_new(&request, key, view->id_len, no_key);

	memcpy(clone->id, view->id, sizeof(view->id));
	return clone;
}

void
view_free(struct view *view)
{
	filter_release(&view->filter);
	for (unsigned i = 0; i < view->npolicies; i++)
	{
		if (view->groups != NULL)
			eval_group_leave(view->groups[i]);
		policy_unref(view->policies[i]);
	}
	memory_free(view->groups);
	memory_free(view->policies);
	memory_free(view->claims);
	memory_free(view->indexed);
	free_names(view->actions, view->nactions);
	free_names(view->columns, view->ncolumns);
	memory_free(view->visible);
	memory_free(view->subscriptions.at);
	memory_free(view->feature);
	memory_free(view->entity_name);
	memory_free(view->key);
	role_access_unref(view->role);
	memory_free(view);
}

void
view_set_access(struct view *view, struct role_access *role, const struct entity_access *entity)
{
	role_access_ref(role);
	role_access_unref(view->role);
	view->role = role;
	view->entity = entity;
	work_out_columns(view);
	work_out_policy(view);
}

void
view_set_scope(struct view *view, const struct entity_access *entity)
{
	if (view->entity == entity)
		return;
	view->entity = entity;
	if (view->npolicies > 0)
		work_out_policy(view);
	if (view->is_projected || (entity != NULL && !entity->is_all_readable))
		work_out_columns(view);
}

bool
view_wants(const struct view *view, struct slice action)
{
	if (view->nactions == 0)
		return true;
	for (unsigned i = 0; i < view->nactions; i++)
		if (slice_equals(action, view->actions[i]))
			return true;
	return false;
}

bool
view_wants_name(const struct view *view, const char *action)
{
	struct slice slice = {action, strlen(action)};

	return view_wants(view, slice);
}

bool
view_shows(const struct view *view, struct slice column)
{
	if (!view->is_projected)
		return true;
	for (unsigned i = 0; i < view->nvisible; i++)
		if (slice_is_same(view->visible[i], column))
			return true;
	return false;
}

/* Whether an update changed a column that is shown. */
static bool
is_visible_change(const struct view *view, const struct event *event)
{
	struct jsonscan scan;
	struct slice name;
	struct slice value;

	if (!view->is_projected || jsonscan_open(&scan, event->old, '{') < 0)
		return true;
	while (jsonscan_next(&scan, &name, &value) > 0)
		if (view_shows(view, name))
			return true;
	/* A value that was left out may have changed. */
	if (jsonscan_find(event->meta, "omitted", &value) <= 0 || jsonscan_open(&scan, value, '[') < 0)
		return false;
	while (jsonscan_next(&scan, &name, &value) > 0)
		if (jsonscan_kind(value) == JSON_KIND_STRING && view_shows(view, jsonscan_inside(value)))
			return true;
	return false;
}

/* The edge of an update whose old and new images match or do not. */
static enum edge
update_edge(const struct view *view, const struct event *event, bool was_in, bool is_in)
{
	bool		wants_updated = view_wants_name(view, "updated");

	if (was_in && is_in)
		return wants_updated && is_visible_change(view, event) ? EDGE_SAME : EDGE_NONE;
	if (is_in)
		return wants_updated || view_wants_name(view, "entered") ? EDGE_ENTERED : EDGE_NONE;
	if (was_in)
		return wants_updated || view_wants_name(view, "left") ? EDGE_LEFT : EDGE_NONE;
	return EDGE_NONE;
}

/* Whether status_changed may be told: its data has the status in words. */
static bool
shows_status(const struct view *view)
{
	const struct entity_access *entity = view->entity;
	const struct access_column *column;

	if (entity == NULL || entity->is_all_readable)
		return true;
	column = entity->status_column ? entity_access_column(entity, entity->status_column) : NULL;
	return column != NULL && column->is_readable;
}

bool
view_wants_replaced(const struct view *view, struct slice summary)
{
	static const char *const row_actions[] = {"created", "updated", "entered", "left", "deleted",
		"truncated", "status_changed", "bulk_created", "bulk_updated", "bulk_deleted",
		"bulk_started", "bulk_progress", "bulk_completed", "bulk_failed"};
	bool		is_created = slice_equals(summary, "bulk_created");
	bool		is_updated = slice_equals(summary, "bulk_updated");

	if (view->nactions == 0)
		return true;
	for (unsigned i = 0; i < view->nactions; i++)
	{
		const char *action = view->actions[i];
		bool		is_defined = true;

		for (size_t k = 0; k < sizeof(row_actions) / sizeof(row_actions[0]) && is_defined; k++)
			is_defined = strcmp(action, row_actions[k]) != 0;
		if (is_defined && (is_created || is_updated))
			return true;
		if (is_created && strcmp(action, "created") == 0)
			return true;
		if (is_updated && (strcmp(action, "updated") == 0 || strcmp(action, "entered") == 0
						   || strcmp(action, "left") == 0 || strcmp(action, "status_changed") == 0))
			return true;
		if (slice_equals(summary, "bulk_deleted") && strcmp(action, "deleted") == 0)
			return true;
	}
	return false;
}

/* Whether the policy, of which there is one, shows an image. */
static enum filter_result
match_policy(const struct view *view, const struct row *row, unsigned ordinal, bool is_old,
			 struct buffer *scratch)
{
	if (view->policy->mode == POLICY_EVALUATE)
		return view->group ? eval_group_match(view->group, ordinal, is_old) : FILTER_NO;
	return policy_match(view->policy, row, scratch);
}

/* Whether an image is in the view: its filter is true, and the policy shows it. */
static enum filter_result
match_image(const struct view *view, const struct row *row, unsigned ordinal, bool is_old,
			struct buffer *scratch)
{
	enum filter_result result;
	enum filter_result visible;

	if (row == NULL)
		return FILTER_NO;
	result = filter_match(&view->filter, row, scratch);
	if (result == FILTER_NO || view->policy == NULL)
		return result;
	visible = match_policy(view, row, ordinal, is_old, scratch);
	return visible == FILTER_YES ? result : visible;
}

/* Whether an event that follows from an update tells of an old image that the policy does not show. */
static bool
hides_old(const struct view *view, const struct event *event, const struct row *old_row,
		  unsigned ordinal, struct buffer *scratch)
{
	if (view->policy == NULL || (event->kind != EVENT_STATUS_CHANGED && event->old.len == 0))
		return false;
	return old_row == NULL || match_policy(view, old_row, ordinal, true, scratch) != FILTER_YES;
}

enum edge
view_edge(const struct view *view, const struct event *event, bool is_derived,
		  const struct row *new_row, const struct row *old_row, unsigned ordinal,
		  struct buffer *scratch)
{
	enum filter_result is_in = FILTER_YES;
	enum filter_result was_in = FILTER_YES;

	if (view_has_conditions(view) && event->kind != EVENT_TRUNCATED
		&& event->kind != EVENT_BULK_SUMMARY)
	{
		is_in = match_image(view, new_row, ordinal, false, scratch);
		was_in = match_image(view, old_row, ordinal, true, scratch);
	}
	switch (event->kind)
	{
		case EVENT_UPDATED:
			if (is_in == FILTER_OMITTED || was_in == FILTER_OMITTED)
				return view_wants_name(view, "updated") || view_wants_name(view, "entered")
					|| view_wants_name(view, "left") ? EDGE_OMITTED : EDGE_NONE;
			return update_edge(view, event, was_in == FILTER_YES, is_in == FILTER_YES);
		case EVENT_DELETED:
			if (was_in == FILTER_OMITTED)
				return view_wants(view, event->action) ? EDGE_OMITTED : EDGE_NONE;
			return was_in == FILTER_YES && view_wants(view, event->action) ? EDGE_SAME : EDGE_NONE;
		case EVENT_CREATED:
			is_derived = true;	/* its data is a row, too */
			break;
		case EVENT_STATUS_CHANGED:
			if (!shows_status(view))
				return EDGE_NONE;
			break;
		default:
			break;
	}
	if (is_in == FILTER_NO || !view_wants(view, event->action))
		return EDGE_NONE;
	/* A custom event whose data lacks a column that the filter names is not for the view. */
	if (is_in == FILTER_OMITTED)
		return is_derived ? EDGE_OMITTED : EDGE_NONE;
	return is_derived && hides_old(view, event, old_row, ordinal, scratch) ? EDGE_NEWS : EDGE_SAME;
}

/* Appends an object's members that are shown. */
static void
write_visible(const struct view *view, struct slice object, struct buffer *out)
{
	struct jsonscan scan;
	struct slice name;
	struct slice value;
	bool		is_first = true;

	if (jsonscan_open(&scan, object, '{') < 0)
	{
		buffer_puts(out, "null");
		return;
	}
	buffer_puts(out, "{");
	while (jsonscan_next(&scan, &name, &value) > 0)
	{
		if (!view_shows(view, name))
			continue;
		buffer_puts(out, is_first ? "\"" : ",\"");
		buffer_put_slice(out, name);
		buffer_puts(out, "\":");
		buffer_put_slice(out, value);
		is_first = false;
	}
	buffer_puts(out, "}");
}

/* Appends the names of a list that are shown; nothing when none is. */
static void
write_omitted(const struct view *view, struct slice list, struct buffer *out)
{
	struct jsonscan scan;
	struct slice none;
	struct slice name;
	bool		is_first = true;

	if (jsonscan_open(&scan, list, '[') < 0)
		return;
	while (jsonscan_next(&scan, &none, &name) > 0)
	{
		if (jsonscan_kind(name) != JSON_KIND_STRING || !view_shows(view, jsonscan_inside(name)))
			continue;
		buffer_puts(out, is_first ? ",\"omitted\":[" : ",");
		buffer_put_slice(out, name);
		is_first = false;
	}
	if (!is_first)
		buffer_puts(out, "]");
}

/* Whether a key change's event names the other key, whose row the policy may hide. */
static bool
names_other_row(const struct view *view, const struct event *event)
{
	struct slice value;

	return view->policy != NULL && (event->kind == EVENT_CREATED || event->kind == EVENT_DELETED)
		&& (jsonscan_find(event->meta, "oldId", &value) > 0
			|| jsonscan_find(event->meta, "newId", &value) > 0);
}

/*
 * Appends meta. The columns that it names are left out where they are not shown, and under row-level
 * security the other key of a key change.
 */
static void
write_meta(const struct view *view, struct slice meta, bool is_left, struct buffer *out)
{
	struct jsonscan scan;
	struct slice name;
	struct slice value;
	struct slice omitted = {NULL, 0};
	bool		is_first = true;

	if (jsonscan_open(&scan, meta, '{') < 0)
	{
		buffer_puts(out, "{}");
		return;
	}
	buffer_puts(out, "{");
	while (jsonscan_next(&scan, &name, &value) > 0)
	{
		if (slice_equals(name, "omitted"))
		{
			omitted = value;
			continue;
		}
		if (view->policy != NULL && (slice_equals(name, "oldId") || slice_equals(name, "newId")))
			continue;
		buffer_puts(out, is_first ? "\"" : ",\"");
		buffer_put_slice(out, name);
		buffer_puts(out, "\":");
		buffer_put_slice(out, value);
		is_first = false;
	}
	if (omitted.len > 0 && !is_left)
		write_omitted(view, omitted, out);
	buffer_puts(out, "}");
}

/* Appends an object with null for one of its members. */
static void
write_without(struct slice data, const char *member, struct buffer *out)
{
	struct jsonscan scan;
	struct slice name;
	struct slice value;
	bool		is_first = true;

	buffer_puts(out, "{");
	if (jsonscan_open(&scan, data, '{') == RT_OK)
		while (jsonscan_next(&scan, &name, &value) > 0)
		{
			if (slice_equals(name, member))
			{
				value.at = "null";
				value.len = 4;
			}
			buffer_puts(out, is_first ? "\"" : ",\"");
			buffer_put_slice(out, name);
			buffer_puts(out, "\":");
			buffer_put_slice(out, value);
			is_first = false;
		}
	buffer_puts(out, "}");
}

void
view_write_event(const struct view *view, const struct event *event, enum edge edge,
				 bool has_row, bool is_without_keys, struct buffer *out)
{
	struct slice action = event->action;

	if (edge == EDGE_SAME && !is_without_keys && (!view->is_projected || !has_row)
		&& !names_other_row(view, event))
	{
		buffer_put_slice(out, event->text);
		return;
	}
	if (edge == EDGE_ENTERED || edge == EDGE_LEFT)
	{
		action.at = edge == EDGE_ENTERED ? "entered" : "left";
		action.len = strlen(action.at);
	}
	event_write_head(event, action, out);
	if (edge != EDGE_LEFT && event->data.len > 0)
	{
		buffer_puts(out, ",\"data\":");
		if (is_without_keys)
			write_without(event->data, "keys", out);
		else if (edge == EDGE_NEWS && event->kind == EVENT_STATUS_CHANGED)
			write_without(event->data, "old_status", out);
		else if (view->is_projected && has_row)
			write_visible(view, event->data, out);
		else
			buffer_put_slice(out, event->data);
	}
	if (edge == EDGE_SAME && event->old.len > 0)
	{
		buffer_puts(out, ",\"old\":");
		if (view->is_projected)
			write_visible(view, event->old, out);
		else
			buffer_put_slice(out, event->old);
	}
	buffer_puts(out, ",\"meta\":");
	write_meta(view, event->meta, edge == EDGE_LEFT, out);
	buffer_puts(out, "}");
}

void
view_write_row(const struct entity_access *entity, const struct slice *id, struct slice data,
			   struct buffer *out)
{
	buffer_puts(out, entity->nkey == 1 ? "{\"id\":" : "{\"id\":{");
	for (unsigned k = 0; k < entity->nkey; k++)
	{
		if (entity->nkey > 1)
		{
			buffer_puts(out, k ? ",\"" : "\"");
			buffer_put_slice(out, entity->columns[entity->key[k]].json_name);
			buffer_puts(out, "\":");
		}
		if (id[k].at == NULL)
			buffer_puts(out, "null");
		else
			buffer_put_json(out, id[k].at, id[k].len);
	}
	buffer_puts(out, entity->nkey == 1 ? ",\"data\":" : "},\"data\":");
	buffer_put_slice(out, data);
	buffer_puts(out, "}");
}

void
subscriptions_add(struct subscriptions *list, struct subscription *subscription)
{
	if (list->n == list->room)
	{
		list->room = list->room ? list->room * 2 : 4;
		list->at = memory_resize(list->at, sizeof(struct subscription *) * list->room);
	}
	list->at[list->n++] = subscription;
}

void
subscriptions_remove_at(struct subscriptions *list, unsigned i)
{
	list->at[i] = list->at[--list->n];
}
