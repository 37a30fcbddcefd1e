/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_module.c
 *	  See types_module.h. Knows the JSON form of PostgreSQL's types, which extension/json.c makes.
 *
 * Enums and composite types are members of an interface and are named where they are used, so that a type that
 * is used a hundred times is written once, and one that holds itself can be written at all. What a composite
 * is depends on how its entity writes numbers: each has an interface of its own.
 */
#include "types_module.h"

#include <string.h>

#include "types_text.h"

/* What the database says besides an entity's own actions: at the edges of a view, and of bulk operations. */
static const char *const edge_actions[] = {"entered", "left"};
static const char *const bulk_actions[] = {"bulk_started", "bulk_progress", "bulk_completed",
	"bulk_failed", "bulk_created", "bulk_updated", "bulk_deleted"};

/* Those of operations come first; a topic has no rows that a summary would stand for. */
#define BULK_ACTIONS_OF_TOPICS 4

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Built-in types whose values are not strings, by their OIDs, which never change. The rest are, as their text. */
static const struct
{
	unsigned long oid;
	const char *type;
	const char *type_as_string;	/* with numeric => 'string'; NULL: the same */
}			known_types[] = {
	{16, "boolean", NULL},
	{21, "number", NULL},		/* int2 */
	{23, "number", NULL},		/* int4 */
	{26, "number", NULL},		/* oid */
	{20, "number | string", "string"},	/* int8 */
	{1700, "number | string", "string"},	/* numeric */
	{700, "number | 'NaN' | 'Infinity' | '-Infinity'", NULL},	/* float4 */
	{701, "number | 'NaN' | 'Infinity' | '-Infinity'", NULL},	/* float8 */
	{114, "unknown", NULL},		/* json */
	{3802, "unknown", NULL},	/* jsonb */
};

struct writer
{
	struct buffer *out;
	const struct types_registry *registry;
	bool		has_string_numbers;
	unsigned	depth;
};

static void
put(struct writer *writer, const char *text)
{
	buffer_puts(writer->out, text);
}

/* Begins a line. */
static void
line(struct writer *writer)
{
	put(writer, "\n");
	for (unsigned i = 0; i < writer->depth; i++)
		put(writer, "\t");
}

static void
open_braces(struct writer *writer, const char *brace)
{
	put(writer, brace);
	writer->depth++;
}

static void
close_braces(struct writer *writer, const char *brace)
{
	writer->depth--;
	line(writer);
	put(writer, brace);
}

/* Texts as a union; never when there is none. */
static void
put_union(struct writer *writer, const struct texts *texts)
{
	for (unsigned i = 0; i < texts->n; i++)
	{
		put(writer, i > 0 ? " | " : "");
		types_put_text(writer->out, texts->at[i]);
	}
	if (texts->n == 0)
		put(writer, "never");
}

/* A type that is written elsewhere. */
static void
put_reference(struct writer *writer, const struct types_type *type)
{
	put(writer, type->kind == 'c' && writer->has_string_numbers ? "StringTypes[" : "Types[");
	types_put_text(writer->out, type->name);
	put(writer, "]");
}

/* A type that is neither a domain nor an array. */
static void
put_plain_type(struct writer *writer, const struct types_type *type)
{
	const char *text = "string";

	if (type->kind == 'c' || (type->kind == 'e' && !type->has_json_cast))
	{
		put_reference(writer, type);
		return;
	}
	if (type->has_json_cast)
		text = "unknown";
	for (unsigned i = 0; i < LENGTH(known_types); i++)
		if (type->oid == known_types[i].oid)
			text = writer->has_string_numbers && known_types[i].type_as_string
				? known_types[i].type_as_string : known_types[i].type;
	put(writer, text);
}

/* The type that a domain stands for in the end; *is_not_null when a domain on the way says so. */
static const struct types_type *
find_base(const struct types_registry *registry, unsigned long oid, const struct texts **values,
		  unsigned *ndims, bool *is_not_null)
{
	const struct types_type *type = types_find_type(registry, oid);

	while (type != NULL && type->kind == 'd')
	{
		*is_not_null = *is_not_null || type->is_not_null;
		if (type->is_limited && *values == NULL)
			*values = &type->values;
		if (type->ndims > *ndims)
			*ndims = type->ndims;
		type = types_find_type(registry, type->base);
	}
	return type;
}

/*
 * A value's type; null only inside of arrays. Recursion goes through elements that are domains over arrays:
 * as deep as somebody has defined them.
 */
static void
put_type(struct writer *writer, unsigned long oid, unsigned ndims, const struct texts *values)
{
	bool		is_not_null = false;
	const struct types_type *type = find_base(writer->registry, oid, &values, &ndims, &is_not_null);

	if (type == NULL)
		put(writer, "unknown");
	else if (type->element != 0)
	{
		put(writer, "(");
		put_type(writer, type->element, 0, NULL);
		put(writer, " | null)");
		for (unsigned i = 0; i < (ndims > 1 ? ndims : 1); i++)
			put(writer, "[]");
	}
	else if (values != NULL)
		put_union(writer, values);
	else
		put_plain_type(writer, type);
}

static bool
may_be_null(const struct writer *writer, const struct types_column *column)
{
	bool		is_not_null = column->is_not_null;
	const struct texts *values = NULL;
	unsigned	ndims = 0;

	(void) find_base(writer->registry, column->type, &values, &ndims, &is_not_null);
	return !is_not_null;
}

static void
put_columns(struct writer *writer, const struct types_columns *columns)
{
	open_braces(writer, "{");
	for (unsigned i = 0; i < columns->n; i++)
	{
		const struct types_column *column = &columns->at[i];

		line(writer);
		put(writer, column->is_made ? "readonly " : "");
		types_put_key(writer->out, column->name, false);
		put(writer, ": ");
		put_type(writer, column->type, column->ndims, column->is_limited ? &column->values : NULL);
		put(writer, may_be_null(writer, column) ? " | null;" : ";");
	}
	close_braces(writer, "}");
}

/* The interface of enums and composite types that columns refer to. */
static void
put_types(struct writer *writer, bool has_string_numbers)
{
	bool		is_any = false;

	writer->has_string_numbers = has_string_numbers;
	put(writer, has_string_numbers ? "\n\n/** Composite types of entities that write all int8 and numeric as strings. */"
		"\nexport interface StringTypes " : "\n\n/** Enums and composite types. */\nexport interface Types ");
	open_braces(writer, "{");
	for (unsigned i = 0; i < writer->registry->ntypes; i++)
	{
		const struct types_type *type = &writer->registry->types[i];

		if (type->kind != 'c' && (type->kind != 'e' || has_string_numbers))
			continue;
		is_any = true;
		line(writer);
		types_put_key(writer->out, type->name, false);
		put(writer, ": ");
		if (type->kind == 'c')
			put_columns(writer, &type->attributes);
		else
			put_union(writer, &type->values);
		put(writer, ";");
	}
	if (is_any)
		close_braces(writer, "}");
	else
	{
		writer->depth--;
		put(writer, "}");
	}
}

/* What an id is: text for one column, an object of texts for several. */
static void
put_id(struct writer *writer, const struct types_entity *entity)
{
	if (!entity->has_table)
	{
		put(writer, "string | null");
		return;
	}
	if (entity->key.n > 1)
		put(writer, "{ ");
	for (unsigned i = 0; i < entity->key.n; i++)
	{
		const struct types_column *column = types_find_column(&entity->columns, entity->key.at[i]);

		if (entity->key.n > 1)
		{
			types_put_key(writer->out, entity->key.at[i], false);
			put(writer, ": ");
		}
		put(writer, "string");
		put(writer, column != NULL && may_be_null(writer, column) ? " | null" : "");
		put(writer, entity->key.n > 1 ? "; " : "");
	}
	put(writer, entity->key.n > 1 ? "}" : "");
}

/* Calls fn for each action that events of an entity have. */
static void
each_action(struct writer *writer, const struct types_entity *entity,
			void (*fn) (struct writer *writer, struct slice action, bool is_first))
{
	bool		is_first = true;

	for (unsigned i = 0; i < entity->nactions; i++, is_first = false)
		fn(writer, entity->actions[i].name, is_first);
	for (unsigned i = 0; entity->has_table && i < LENGTH(edge_actions); i++, is_first = false)
		fn(writer, (struct slice) {edge_actions[i], strlen(edge_actions[i])}, is_first);
	for (unsigned i = 0; i < (entity->has_table ? LENGTH(bulk_actions) : BULK_ACTIONS_OF_TOPICS);
		 i++, is_first = false)
		fn(writer, (struct slice) {bulk_actions[i], strlen(bulk_actions[i])}, is_first);
}

static void
put_in_union(struct writer *writer, struct slice action, bool is_first)
{
	put(writer, is_first ? "" : " | ");
	types_put_text(writer->out, action);
}

static void
put_in_list(struct writer *writer, struct slice action, bool is_first)
{
	put(writer, is_first ? "" : ", ");
	types_put_text(writer->out, action);
}

/* A member of an object whose value is its name. */
static void
put_itself(struct writer *writer, struct slice name)
{
	line(writer);
	types_put_key(writer->out, name, true);
	put(writer, ": ");
	types_put_text(writer->out, name);
	put(writer, ",");
}

static void
put_in_object(struct writer *writer, struct slice action, bool is_first)
{
	(void) is_first;
	put_itself(writer, action);
}

/* The texts that the status column of an entity may have; NULL: not known. */
static const struct texts *
find_statuses(const struct types_registry *registry, const struct types_entity *entity)
{
	const struct types_column *column = types_find_column(&entity->columns, entity->status_column);
	const struct texts *values = column && column->is_limited ? &column->values : NULL;
	unsigned	ndims = 0;
	bool		is_not_null = false;
	const struct types_type *type;

	if (slice_is_empty(entity->status_column) || column == NULL)
		return NULL;
	type = find_base(registry, column->type, &values, &ndims, &is_not_null);
	if (values == NULL && type != NULL && type->kind == 'e' && !type->has_json_cast)
		values = &type->values;
	return values;
}

/* What an entity is to the compiler. */
static void
put_entity_type(struct writer *writer, const struct types_entity *entity)
{
	const struct texts *statuses = find_statuses(writer->registry, entity);

	writer->has_string_numbers = entity->has_string_numbers;
	open_braces(writer, "{");
	line(writer);
	put(writer, "row: ");
	if (entity->has_table)
		put_columns(writer, &entity->columns);
	else
		put(writer, "Record<string, unknown>");
	put(writer, ";");
	line(writer);
	put(writer, "id: ");
	put_id(writer, entity);
	put(writer, ";");
	line(writer);
	put(writer, "action: ");
	if (entity->has_table)
		each_action(writer, entity, put_in_union);
	else
		put(writer, "string");
	put(writer, ";");
	line(writer);
	put(writer, "status: ");
	if (statuses != NULL)
		put_union(writer, statuses);
	else
		put(writer, slice_is_empty(entity->status_column) ? "never" : "string");
	put(writer, ";");
	close_braces(writer, "};");
}

/* What is known of an entity when the program runs. '*', which names no action: a topic has any. */
static void
put_entity_value(struct writer *writer, const struct types_entity *entity)
{
	put(writer, entity->has_table ? "{ actions: [" : "{ actions: ['*', ");
	each_action(writer, entity, put_in_list);
	put(writer, "], key: [");
	for (unsigned i = 0; i < entity->key.n; i++)
		put_in_list(writer, entity->key.at[i], i == 0);
	put(writer, "] },");
}

static void
put_entity_name(struct writer *writer, const struct types_entity *entity)
{
	types_put_text(writer->out, entity->entity);
	put(writer, ",");
}

static void
put_entity_actions(struct writer *writer, const struct types_entity *entity)
{
	open_braces(writer, "{");
	each_action(writer, entity, put_in_object);
	close_braces(writer, "},");
}

static void
put_entity_priorities(struct writer *writer, const struct types_entity *entity)
{
	unsigned	n = 0;

	open_braces(writer, "{");
	for (unsigned i = 0; i < entity->nactions; i++)
	{
		if (slice_is_empty(entity->actions[i].priority))
			continue;
		line(writer);
		types_put_key(writer->out, entity->actions[i].name, true);
		put(writer, ": ");
		types_put_text(writer->out, entity->actions[i].priority);
		put(writer, ",");
		n++;
	}
	if (n == 0)
	{
		writer->depth--;
		put(writer, "},");
	}
	else
		close_braces(writer, "},");
}

static void
put_entity_statuses(struct writer *writer, const struct types_entity *entity)
{
	const struct texts *statuses = find_statuses(writer->registry, entity);

	if (statuses == NULL || statuses->n == 0)
	{
		put(writer, "{},");
		return;
	}
	open_braces(writer, "{");
	for (unsigned i = 0; i < statuses->n; i++)
		put_itself(writer, statuses->at[i]);
	close_braces(writer, "},");
}

/* A tree feature -> entity -> what fn writes; of values or of types. */
static void
put_tree(struct writer *writer, const char *head, const char *tail, bool is_object,
		 void (*fn) (struct writer *writer, const struct types_entity *entity))
{
	const struct types_registry *registry = writer->registry;

	put(writer, "\n\n");
	put(writer, head);
	open_braces(writer, "{");
	for (unsigned i = 0; i < registry->nentities; i++)
	{
		const struct types_entity *entity = &registry->entities[i];
		bool		is_last = i + 1 == registry->nentities
			|| !slice_is_same(entity->feature, registry->entities[i + 1].feature);

		if (i == 0 || !slice_is_same(entity->feature, registry->entities[i - 1].feature))
		{
			line(writer);
			types_put_key(writer->out, entity->feature, is_object);
			put(writer, ": ");
			open_braces(writer, "{");
		}
		line(writer);
		types_put_key(writer->out, entity->entity, is_object);
		put(writer, ": ");
		fn(writer, entity);
		if (is_last)
			close_braces(writer, is_object ? "}," : "};");
	}
	close_braces(writer, tail);
}

static void
put_features(struct writer *writer)
{
	const struct types_registry *registry = writer->registry;

	put(writer, "\n\n/** The features, by name. */\nexport const FEATURES = ");
	open_braces(writer, "{");
	for (unsigned i = 0; i < registry->nentities; i++)
		if (i == 0 || !slice_is_same(registry->entities[i].feature, registry->entities[i - 1].feature))
			put_itself(writer, registry->entities[i].feature);
	close_braces(writer, "} as const;");
}

void
types_write_module(const struct types_registry *registry, struct buffer *out)
{
	struct writer writer = {.out = out, .registry = registry};

	put(&writer, "// Made by realtime-notifier --types of what the database has registered. Do not edit: make it anew.");
	put_types(&writer, false);
	put_types(&writer, true);
	put_tree(&writer, "/** Every entity by feature and name: its row, id, actions and statuses. */\n"
			 "export interface Entities ", "}", false, put_entity_type);
	put_features(&writer);
	put_tree(&writer, "/** The entities of each feature, by name. */\nexport const ENTITIES = ", "} as const;",
			 true, put_entity_name);
	put_tree(&writer, "/** The actions of each entity, by name. */\nexport const ACTIONS = ", "} as const;",
			 true, put_entity_actions);
	put_tree(&writer, "/** The priority of each action that was defined. */\nexport const PRIORITIES = ",
			 "} as const;", true, put_entity_priorities);
	put_tree(&writer, "/** The statuses of each entity, where the database limits them. */\n"
			 "export const STATUSES = ", "} as const;", true, put_entity_statuses);
	put_tree(&writer, "/** What there is, for checks while a program runs. */\nexport const REGISTRY = ",
			 "} as const;", true, put_entity_value);
	put(&writer, "\n\n"
		"export type Feature = keyof Entities;\n"
		"export type Entity<F extends Feature> = keyof Entities[F];\n"
		"export type Row<F extends Feature, E extends Entity<F>> =\n"
		"\tEntities[F][E] extends { row: infer R extends object } ? R : never;\n"
		"export type Id<F extends Feature, E extends Entity<F>> = Entities[F][E] extends { id: infer I } ? I : never;\n"
		"export type Action<F extends Feature, E extends Entity<F>> =\n"
		"\tEntities[F][E] extends { action: infer A extends string } ? A : never;\n"
		"export type Status<F extends Feature, E extends Entity<F>> =\n"
		"\tEntities[F][E] extends { status: infer S extends string } ? S : never;\n");
}
