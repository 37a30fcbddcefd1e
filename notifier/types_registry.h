/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_registry.h
 *	  What a TypeScript module is made of: entities with their columns, actions and keys, and the types of
 *	  the columns. Built row by row as the statements of types.c deliver; knows no SQL and no TypeScript.
 *
 * Everything comes in the order in which it is written. Texts are the registry's.
 */
#ifndef RT_TYPES_REGISTRY_H
#define RT_TYPES_REGISTRY_H

#include <stdbool.h>

#include "types_check.h"

/* A column, or an attribute of a composite type. */
struct types_column
{
	struct slice name;
	unsigned long type;			/* its OID */
	unsigned	ndims;			/* as declared; 0 and 1 are the same for an array */
	bool		is_not_null;
	bool		is_made;		/* generated: the database alone gives it a value */
	bool		is_limited;		/* to the texts of values */
	struct texts values;
};

struct types_columns
{
	struct types_column *at;
	unsigned	n;
	unsigned	room;
};

struct types_action
{
	struct slice name;
	struct slice priority;		/* of a defined action; empty for those of row changes */
};

struct types_entity
{
	struct slice feature;
	struct slice entity;
	bool		has_table;
	bool		has_string_numbers;	/* numeric => 'string' */
	struct slice status_column;	/* empty: none */
	struct texts key;
	struct types_action *actions;
	unsigned	nactions;
	struct types_columns columns;
};

/* A type of the database; kind as in pg_type.typtype. */
struct types_type
{
	unsigned long oid;
	struct slice name;			/* schema.name, quoted where SQL would have to */
	char		kind;
	unsigned long base;			/* of a domain */
	unsigned long element;		/* of an array; 0: none */
	unsigned	ndims;			/* of a domain over an array */
	bool		is_not_null;	/* a domain that is */
	bool		has_json_cast;
	bool		is_limited;		/* a domain, to the texts of values */
	struct texts values;		/* or an enum's labels */
	struct types_columns attributes;
};

struct types_registry
{
	struct types_entity *entities;
	unsigned	nentities;
	struct types_type *types;
	unsigned	ntypes;
};

void		types_registry_release(struct types_registry *registry);

/* Add what comes next; strings are copied. What belongs to an entity or a type goes to the one found. */
struct types_entity *types_add_entity(struct types_registry *registry, struct slice feature,
									  struct slice entity);
struct types_type *types_add_type(struct types_registry *registry, unsigned long oid, struct slice name);
struct types_column *types_add_column(struct types_columns *columns, struct slice name);
void		types_add_action(struct types_entity *entity, struct slice name, struct slice priority);

/* NULL: there is none. */
struct types_entity *types_find_entity(const struct types_registry *registry, struct slice feature,
									   struct slice entity);
struct types_type *types_find_type(const struct types_registry *registry, unsigned long oid);
struct types_column *types_find_column(const struct types_columns *columns, struct slice name);

/* A further CHECK constraint: limits values to what all of them allow, those that are understood. */
void		types_limit(struct texts *values, bool *is_limited, struct slice expression, struct slice column);

#endif
