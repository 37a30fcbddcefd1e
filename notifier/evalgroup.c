/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * evalgroup.c
 *	  See evalgroup.h. Pure.
 */
#include "evalgroup.h"

#include <string.h>

#include "memory.h"

/* Appends a name as inside a JSON string. */
static void
put_inside(struct buffer *out, const char *name)
{
	struct buffer json;

	buffer_init(&json);
	buffer_puts_json(&json, name);
	buffer_put(out, json.at + 1, json.len - 2);
	buffer_release(&json);
}

/* The entity of a group; made when there is none. Takes the key over. */
static struct eval_entity *
get_entity(struct eval_registry *registry, char *key)
{
	struct eval_entity *entity;

	HASH_FIND_STR(registry->entities, key, entity);
	if (entity != NULL)
	{
		memory_free(key);
		return entity;
	}
	entity = memory_alloc_zeroed(sizeof(*entity));
	entity->key = key;
	HASH_ADD_KEYPTR(hh, registry->entities, key, strlen(key), entity);
	return entity;
}

struct eval_group *
eval_group_join(struct eval_registry *registry, const struct entity_access *entity,
				const char *role, const char *claims, struct policy *policy)
{
	struct eval_group *group;
	struct buffer key;
	char	   *text;

	buffer_init(&key);
	put_inside(&key, entity->feature);
	buffer_puts(&key, "\n");
	put_inside(&key, entity->entity);
	text = buffer_take(&key);
	buffer_puts(&key, text);
	buffer_puts(&key, "\n");
	buffer_puts_json(&key, role);
	buffer_puts(&key, policy->text);
	HASH_FIND(hh, registry->groups, key.at, key.len, group);
	if (group != NULL)
	{
		memory_free(text);
		buffer_release(&key);
		group->refs++;
		return group;
	}
	group = memory_alloc_zeroed(sizeof(*group));
	group->refs = 1;
	group->registry = registry;
	group->role = memory_copy_string(role, strlen(role));
	group->claims = memory_copy_string(claims, strlen(claims));
	group->relation = memory_copy_string(entity->oid, strlen(entity->oid));
	group->policy = policy_ref(policy);
	group->entity = get_entity(registry, text);
	group->next = group->entity->groups;
	group->entity->groups = group;
	group->key = buffer_take(&key);
	HASH_ADD_KEYPTR(hh, registry->groups, group->key, strlen(group->key), group);
	return group;
}

/* Frees what an entity has of the sequence. */
static void
clear_entity(struct eval_entity *entity)
{
	memory_free(entity->events);
	entity->events = NULL;
	entity->nevents = entity->room = entity->nimages = 0;
	buffer_release(&entity->images);
}

void
eval_group_leave(struct eval_group *group)
{
	struct eval_group **at;

	if (group == NULL || --group->refs > 0)
		return;
	for (at = &group->entity->groups; *at != group; at = &(*at)->next)
		;
	*at = group->next;
	if (group->entity->groups == NULL)
	{
		HASH_DEL(group->registry->entities, group->entity);
		clear_entity(group->entity);
		memory_free(group->entity->key);
		memory_free(group->entity);
	}
	HASH_DEL(group->registry->groups, group);
	policy_unref(group->policy);
	memory_free(group->verdicts);
	memory_free(group->relation);
	memory_free(group->claims);
	memory_free(group->role);
	memory_free(group->key);
	memory_free(group);
}

struct eval_entity *
eval_registry_find(struct eval_registry *registry, struct slice feature, struct slice name)
{
	struct eval_entity *entity;

	if (registry->entities == NULL)
		return NULL;
	registry->key.len = 0;
	buffer_put_slice(&registry->key, feature);
	buffer_put(&registry->key, "\n", 1);
	buffer_put_slice(&registry->key, name);
	HASH_FIND(hh, registry->entities, registry->key.at, registry->key.len, entity);
	return entity;
}

enum filter_result
eval_group_match(const struct eval_group *group, unsigned ordinal, bool is_old)
{
	const struct eval_entity *entity = group->entity;
	unsigned	low = 0;
	unsigned	high = entity->nevents;
	unsigned	image = EVAL_NO_IMAGE;

	while (low < high && image == EVAL_NO_IMAGE)
	{
		unsigned	middle = low + (high - low) / 2;
		const struct eval_event *event = &entity->events[middle];

		if (event->ordinal == ordinal)
		{
			image = is_old ? event->old_image : event->new_image;
			break;
		}
		if (event->ordinal < ordinal)
			low = middle + 1;
		else
			high = middle;
	}
	if (image == EVAL_NO_IMAGE || group->verdicts == NULL || group->is_failed)
		return FILTER_NO;
	switch ((enum verdict) group->verdicts[image])
	{
		case VERDICT_YES:
			return FILTER_YES;
		case VERDICT_OMITTED:
			return FILTER_OMITTED;
		default:
			return FILTER_NO;
	}
}

void
eval_registry_release(struct eval_registry *registry)
{
	eval_registry_clear(registry);
	buffer_release(&registry->key);
}

void
eval_registry_clear(struct eval_registry *registry)
{
	struct eval_entity *entity;
	struct eval_entity *next;
	struct eval_group *group;
	struct eval_group *next_group;

	HASH_ITER(hh, registry->entities, entity, next)
		clear_entity(entity);
	HASH_ITER(hh, registry->groups, group, next_group)
	{
		memory_free(group->verdicts);
		group->verdicts = NULL;
		group->is_wanted = false;
	}
}
