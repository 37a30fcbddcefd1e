/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_registry.c
 *	  See types_registry.h.
 */
#include "types_registry.h"

#include <string.h>

#include "memory.h"

static struct slice
copy(struct slice text)
{
	return (struct slice) {memory_copy_string(text.len > 0 ? text.at : "", text.len), text.len};
}

static void
release_text(struct slice text)
{
	memory_free((char *) (uintptr_t) text.at);
}

static void
release_columns(struct types_columns *columns)
{
	for (unsigned i = 0; i < columns->n; i++)
	{
		release_text(columns->at[i].name);
		texts_release(&columns->at[i].values);
	}
	memory_free(columns->at);
}

void
types_registry_release(struct types_registry *registry)
{
	for (unsigned i = 0; i < registry->nentities; i++)
	{
		struct types_entity *entity = &registry->entities[i];

		release_text(entity->feature);
		release_text(entity->entity);
		release_text(entity->status_column);
		texts_release(&entity->key);
		for (unsigned k = 0; k < entity->nactions; k++)
		{
			release_text(entity->actions[k].name);
			release_text(entity->actions[k].priority);
		}
		memory_free(entity->actions);
		release_columns(&entity->columns);
	}
	for (unsigned i = 0; i < registry->ntypes; i++)
	{
		release_text(registry->types[i].name);
		texts_release(&registry->types[i].values);
		release_columns(&registry->types[i].attributes);
	}
	memory_free(registry->entities);
	memory_free(registry->types);
	memset(registry, 0, sizeof(*registry));
}

struct types_entity *
types_add_entity(struct types_registry *registry, struct slice feature, struct slice entity)
{
	struct types_entity *added;

	registry->entities = memory_resize(registry->entities,
									   sizeof(*registry->entities) * (registry->nentities + 1));
	added = &registry->entities[registry->nentities++];
	memset(added, 0, sizeof(*added));
	added->feature = copy(feature);
	added->entity = copy(entity);
	return added;
}

struct types_type *
types_add_type(struct types_registry *registry, unsigned long oid, struct slice name)
{
	struct types_type *added;

	registry->types = memory_resize(registry->types, sizeof(*registry->types) * (registry->ntypes + 1));
	added = &registry->types[registry->ntypes++];
	memset(added, 0, sizeof(*added));
	added->oid = oid;
	added->name = copy(name);
	return added;
}

struct types_column *
types_add_column(struct types_columns *columns, struct slice name)
{
	struct types_column *added;

	if (columns->n == columns->room)
	{
		columns->room = columns->room ? columns->room * 2 : 16;
		columns->at = memory_resize(columns->at, sizeof(*columns->at) * columns->room);
	}
	added = &columns->at[columns->n++];
	memset(added, 0, sizeof(*added));
	added->name = copy(name);
	return added;
}

void
types_add_action(struct types_entity *entity, struct slice name, struct slice priority)
{
	struct types_action *added;

	entity->actions = memory_resize(entity->actions, sizeof(*entity->actions) * (entity->nactions + 1));
	added = &entity->actions[entity->nactions++];
	added->name = copy(name);
	added->priority = copy(priority);
}

/* From the end: what belongs to an entity comes soon after it was added. */
struct types_entity *
types_find_entity(const struct types_registry *registry, struct slice feature, struct slice entity)
{
	for (unsigned i = registry->nentities; i-- > 0;)
		if (slice_is_same(registry->entities[i].entity, entity)
			&& slice_is_same(registry->entities[i].feature, feature))
			return &registry->entities[i];
	return NULL;
}

struct types_type *
types_find_type(const struct types_registry *registry, unsigned long oid)
{
	for (unsigned i = 0; i < registry->ntypes; i++)
		if (registry->types[i].oid == oid)
			return &registry->types[i];
	return NULL;
}

struct types_column *
types_find_column(const struct types_columns *columns, struct slice name)
{
	for (unsigned i = 0; i < columns->n; i++)
		if (slice_is_same(columns->at[i].name, name))
			return &columns->at[i];
	return NULL;
}

void
types_limit(struct texts *values, bool *is_limited, struct slice expression, struct slice column)
{
	struct texts allowed;
	struct texts both = {0};

	if (!types_check_read(expression, column, &allowed))
		return;
	for (unsigned i = 0; i < allowed.n; i++)
		if (!*is_limited || texts_has(values, allowed.at[i]))
			texts_add(&both, allowed.at[i].at, allowed.at[i].len);
	texts_release(&allowed);
	texts_release(values);
	*values = both;
	*is_limited = true;
}
