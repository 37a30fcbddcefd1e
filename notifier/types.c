/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types.c
 *	  See types.h. Knows the SQL of what is asked; what comes of it is types_registry.h's and types_module.h's.
 *
 * All is read in one transaction with one snapshot, from realtime.entities and the catalogs, which every role
 * may read: whoever may connect may print types. Names are sorted by their bytes, so that databases with the
 * same tables give the same module.
 */
#include "types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "memory.h"
#include "pgconn.h"
#include "types_module.h"

#define BY_ENTITY "r.feature COLLATE \"C\", r.entity COLLATE \"C\""

/* Columns that events have: pg_attribute a of realtime.entities r. */
#define COLUMNS \
	" FROM realtime.entities r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.relation AND a.attnum > 0" \
	" AND NOT a.attisdropped AND a.attgenerated <> 'v'" \
	" AND (r.columns IS NULL OR a.attname = ANY (r.columns))" \
	" AND NOT coalesce(a.attname = ANY (r.exclude), false)"

/* Their types and those that they are made of: pg_type p, with its schema. */
#define TYPES \
	" FROM (WITH RECURSIVE d(oid) AS (SELECT a.atttypid" COLUMNS \
	" UNION SELECT x.oid FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid CROSS JOIN LATERAL (" \
	"  SELECT t.typbasetype WHERE t.typtype = 'd'" \
	"  UNION ALL SELECT t.typelem WHERE t.typelem <> 0 AND t.typlen = -1" \
	"  UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c'" \
	"   AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) x(oid)) SELECT * FROM d) d" \
	" JOIN pg_catalog.pg_type p ON p.oid = d.oid JOIN pg_catalog.pg_namespace n ON n.oid = p.typnamespace"

/* A name as SQL would have it, whatever the version's keywords. */
#define NAME(name) \
	"CASE WHEN " name " ~ '^[a-z_][a-z0-9_]*$' THEN " name " ELSE" \
	" '\"' || pg_catalog.replace(" name ", '\"', '\"\"') || '\"' END"

#define BY_TYPE "n.nspname COLLATE \"C\", p.typname COLLATE \"C\""

/* Collations under which texts may be equal that are not the same say nothing about a value. */
#define IS_EXACT(collation) \
	" AND NOT EXISTS (SELECT FROM pg_catalog.pg_collation l WHERE l.oid = " collation \
	"  AND NOT l.collisdeterministic)"

/* A field of a row, and whether it is true. */
#define IS_TRUE(field) slice_equals(field, "t")

typedef void (*take_fn) (struct types_registry *registry, const struct slice *fields);

struct command
{
	struct loop *loop;
	struct pgconn *conn;
	struct types_registry registry;
	bool		is_complete;
	int			status;
};

static unsigned long
number_of(struct slice text)
{
	return text.at ? strtoul(text.at, NULL, 10) : 0;	/* libpq ends fields with a zero */
}

static void
take_entity(struct types_registry *registry, const struct slice *fields)
{
	struct types_entity *entity = types_add_entity(registry, fields[0], fields[1]);

	entity->has_table = IS_TRUE(fields[2]);
	entity->has_string_numbers = IS_TRUE(fields[3]);
	if (fields[4].at != NULL)
		entity->status_column = (struct slice) {memory_copy_string(fields[4].at, fields[4].len), fields[4].len};
}

static void
take_key(struct types_registry *registry, const struct slice *fields)
{
	struct types_entity *entity = types_find_entity(registry, fields[0], fields[1]);

	if (entity != NULL)
		texts_add(&entity->key, fields[2].at, fields[2].len);
}

static void
take_action(struct types_registry *registry, const struct slice *fields)
{
	struct types_entity *entity = types_find_entity(registry, fields[0], fields[1]);

	if (entity != NULL)
		types_add_action(entity, fields[2], fields[3]);
}

static void
take_column(struct types_registry *registry, const struct slice *fields)
{
	struct types_entity *entity = types_find_entity(registry, fields[0], fields[1]);
	struct types_column *column;

	if (entity == NULL)
		return;
	column = types_add_column(&entity->columns, fields[2]);
	column->type = number_of(fields[3]);
	column->ndims = (unsigned) number_of(fields[4]);
	column->is_not_null = IS_TRUE(fields[5]);
	column->is_made = IS_TRUE(fields[6]);
}

static void
take_check(struct types_registry *registry, const struct slice *fields)
{
	struct types_entity *entity = types_find_entity(registry, fields[0], fields[1]);
	struct types_column *column = entity ? types_find_column(&entity->columns, fields[2]) : NULL;

	if (column != NULL)
		types_limit(&column->values, &column->is_limited, fields[4], fields[3]);
}

static void
take_type(struct types_registry *registry, const struct slice *fields)
{
	struct types_type *type = types_add_type(registry, number_of(fields[0]), fields[1]);

	type->kind = fields[2].len == 1 ? *fields[2].at : 'b';
	type->base = number_of(fields[3]);
	type->element = number_of(fields[4]);
	type->ndims = (unsigned) number_of(fields[5]);
	type->is_not_null = IS_TRUE(fields[6]);
	type->has_json_cast = IS_TRUE(fields[7]);
}

static void
take_label(struct types_registry *registry, const struct slice *fields)
{
	struct types_type *type = types_find_type(registry, number_of(fields[0]));

	if (type != NULL)
		texts_add(&type->values, fields[1].at, fields[1].len);
}

static void
take_attribute(struct types_registry *registry, const struct slice *fields)
{
	struct types_type *type = types_find_type(registry, number_of(fields[0]));
	struct types_column *column;

	if (type == NULL)
		return;
	column = types_add_column(&type->attributes, fields[1]);
	column->type = number_of(fields[2]);
	column->ndims = (unsigned) number_of(fields[3]);
}

static void
take_domain_check(struct types_registry *registry, const struct slice *fields)
{
	struct types_type *type = types_find_type(registry, number_of(fields[0]));
	static const struct slice value = {"VALUE", 5};

	if (type != NULL)
		types_limit(&type->values, &type->is_limited, fields[1], value);
}

static const struct
{
	const char *sql;
	take_fn		take;
}			statements[] = {
	{"SELECT r.feature, r.entity, r.relation IS NOT NULL, r.numeric = 'string', r.status_column"
		" FROM realtime.entities r ORDER BY " BY_ENTITY, take_entity},
	{"SELECT r.feature, r.entity, k.name FROM realtime.entities r,"
		" pg_catalog.unnest(r.key) WITH ORDINALITY k(name, n) ORDER BY " BY_ENTITY ", k.n", take_key},
	{"SELECT r.feature, r.entity, k.name, (SELECT coalesce(e ->> 'priority', r.priority)"
		"  FROM pg_catalog.jsonb_array_elements(r.events) e WHERE e ->> 'action' = k.name)"
		" FROM realtime.entities r, pg_catalog.unnest(r.actions) WITH ORDINALITY k(name, n)"
		" ORDER BY " BY_ENTITY ", k.n", take_action},
	{"SELECT r.feature, r.entity, a.attname, a.atttypid, a.attndims, a.attnotnull,"
		" a.attgenerated <> '' OR a.attidentity = 'a'" COLUMNS " ORDER BY " BY_ENTITY ", a.attnum", take_column},
	{"SELECT r.feature, r.entity, a.attname, pg_catalog.quote_ident(a.attname),"
		" pg_catalog.pg_get_expr(k.conbin, k.conrelid)" COLUMNS
		" JOIN pg_catalog.pg_constraint k ON k.conrelid = r.relation AND k.contype = 'c' AND k.convalidated"
		" AND k.conkey = ARRAY[a.attnum]" IS_EXACT("a.attcollation")
		" ORDER BY " BY_ENTITY ", a.attnum, k.conname COLLATE \"C\"", take_check},
	{"SELECT p.oid, " NAME("n.nspname::text") " || '.' || " NAME("p.typname::text") ", p.typtype,"
		" p.typbasetype, CASE WHEN p.typlen = -1 THEN p.typelem ELSE 0 END, p.typndims, p.typnotnull,"
		/* a cast of one's own decides, as in row_to_json() */
		" p.oid >= 16384 AND EXISTS (SELECT FROM pg_catalog.pg_cast s WHERE s.castsource = p.oid"
		"  AND s.casttarget = 'pg_catalog.json'::pg_catalog.regtype AND s.castmethod = 'f')"
		TYPES " ORDER BY " BY_TYPE, take_type},
	{"SELECT p.oid, e.enumlabel" TYPES " JOIN pg_catalog.pg_enum e ON e.enumtypid = p.oid"
		" ORDER BY " BY_TYPE ", e.enumsortorder", take_label},
	{"SELECT p.oid, a.attname, a.atttypid, a.attndims" TYPES
		" JOIN pg_catalog.pg_attribute a ON p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0"
		" AND NOT a.attisdropped AND a.attgenerated <> 'v' ORDER BY " BY_TYPE ", a.attnum", take_attribute},
	{"SELECT p.oid, pg_catalog.pg_get_expr(k.conbin, 0)" TYPES
		" JOIN pg_catalog.pg_constraint k ON k.contypid = p.oid AND k.contype = 'c' AND k.convalidated"
		IS_EXACT("p.typcollation") " ORDER BY " BY_TYPE ", k.conname COLLATE \"C\"", take_domain_check},
};

#define NSTATEMENTS (sizeof(statements) / sizeof(statements[0]))

/* Ends the program without a module. The first reason counts. */
static void
fail(struct command *command, const char *what, const char *more, const char *hint)
{
	if (command->status == 0)
		fprintf(stderr, "realtime-notifier: %s: %s\n%s", what, more, hint);
	command->status = 1;
	loop_stop(command->loop);
}

static void
on_up(void *arg)
{
	struct command *command = arg;

	types_registry_release(&command->registry);
	for (unsigned i = 0; i < NSTATEMENTS; i++)
		pgconn_query(command->conn, i, statements[i].sql, 0, NULL);
	pgconn_sync(command->conn);
}

static void
on_down(void *arg)
{
	fail(arg, "the connection was lost", "no types were printed", "");
}

static void
on_unreachable(void *arg, const char *message)
{
	fail(arg, "cannot connect", message, "Give --database, or PGHOST and its like.\n");
}

static void
on_row(void *arg, unsigned tag, const struct slice *fields, unsigned nfields)
{
	struct command *command = arg;

	(void) nfields;
	statements[tag].take(&command->registry, fields);
}

static void
on_end(void *arg, unsigned tag, const struct pgconn_error *error)
{
	(void) tag;
	if (error == NULL)
		return;
	fail(arg, "cannot read the registry", error->message,
		 strcmp(error->sqlstate, "42P01") == 0 || strcmp(error->sqlstate, "3F000") == 0
		 ? "Is this the database with the extension? CREATE EXTENSION realtime makes it.\n" : "");
}

static void
on_sync(void *arg)
{
	struct command *command = arg;

	command->is_complete = true;
	loop_stop(command->loop);
}

static void
on_notify(void *arg, unsigned n)
{
	(void) arg;
	(void) n;
}

/* Writes the module, all of it. */
static void
print_module(struct command *command)
{
	struct buffer module;

	buffer_init(&module);
	types_write_module(&command->registry, &module);
	if (fwrite(module.at, 1, module.len, stdout) != module.len || fflush(stdout) != 0)
	{
		perror("realtime-notifier: cannot write the types");
		command->status = 1;
	}
	buffer_release(&module);
}

int
types_run(const struct options *options)
{
	static const char *const settings[] = {
		"default_transaction_isolation", "repeatable read",
		"default_transaction_read_only", "on",
		"client_encoding", "UTF8",
		"search_path", "pg_catalog",
		"standard_conforming_strings", "on",
		"quote_all_identifiers", "off",
		"statement_timeout", "60s",
		NULL
	};
	struct command command = {.loop = loop_new()};
	const struct pgconn_config config = {
		.conninfo = options->database,
		.name = "realtime-notifier",
		.settings = settings,
		.arg = &command,
		.on_up = on_up,
		.on_down = on_down,
		.on_row = on_row,
		.on_end = on_end,
		.on_sync = on_sync,
		.on_notify = on_notify,
	};

	command.conn = pgconn_new(command.loop, &config);
	pgconn_on_unreachable(command.conn, on_unreachable);
	pgconn_start(command.conn);
	loop_run(command.loop);
	pgconn_free(command.conn);
	loop_turn(command.loop);
	loop_free(command.loop);
	if (command.is_complete && command.status == 0)
		print_module(&command);
	else if (command.status == 0)
		command.status = 1;
	types_registry_release(&command.registry);
	return command.status;
}
