/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * snapshot_sql.c
 *	  See snapshot_sql.h.
 *
 * Names are quoted, values are parameters, types come from the catalog. Text is ordered by collation "C"
 * where the filter compares it. The rows are picked first (s), then written (r): what a limit leaves out is
 * not written.
 */
#include "snapshot_sql.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"

/* A quoted name. */
static void
put_name(struct buffer *sql, const char *name)
{
	buffer_puts(sql, "\"");
	for (; *name != '\0'; name++)
	{
		buffer_put(sql, name, 1);
		if (*name == '"')
			buffer_put(sql, "\"", 1);
	}
	buffer_puts(sql, "\"");
}

/* A quoted name of the row's. */
static void
put_column(struct buffer *sql, const char *name)
{
	buffer_puts(sql, "x.");
	put_name(sql, name);
}

static bool
is_text(enum filter_type type)
{
	return type == FILTER_TYPE_TEXT || type == FILTER_TYPE_BPCHAR;
}

/* A parameter with its type. */
static void
put_param(struct buffer *sql, unsigned number, const char *type_name)
{
	char		text[24];

	snprintf(text, sizeof(text), "$%u::", number);
	buffer_puts(sql, text);
	buffer_puts(sql, type_name);
}

/* Whether data shows null: not for a composite of nulls, but for a JSON null. */
static void
put_is_null(struct buffer *sql, const struct access_column *column)
{
	put_column(sql, column->name);
	buffer_puts(sql, " IS NOT DISTINCT FROM NULL");
	if (strcmp(column->type_name, "json") == 0 || strcmp(column->type_name, "jsonb") == 0)
	{
		buffer_puts(sql, " OR pg_catalog.");
		buffer_puts(sql, column->type_name);
		buffer_puts(sql, "_typeof(");
		put_column(sql, column->name);
		buffer_puts(sql, ") = 'null'");
	}
	buffer_puts(sql, ")");
}

/* One term, parameters from *nparams on. */
static void
put_term(struct buffer *sql, const struct filter_term *term, const struct access_column *column,
		 unsigned *nparams)
{
	static const char *const signs[] = {
		[OPERATOR_EQ] = " = ",[OPERATOR_NEQ] = " <> ",[OPERATOR_LT] = " < ",[OPERATOR_LTE] = " <= ",
		[OPERATOR_GT] = " > ",[OPERATOR_GTE] = " >= ",[OPERATOR_IN] = " IN (",
		[OPERATOR_LIKE] = " LIKE ",[OPERATOR_ILIKE] = " ILIKE ",
		[OPERATOR_IS_TRUE] = " IS TRUE",[OPERATOR_IS_FALSE] = " IS FALSE"
	};
	bool		is_ordered = term->op >= OPERATOR_LT && term->op <= OPERATOR_GTE;
	bool		is_pattern = term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE;

	buffer_puts(sql, term->is_negated ? "NOT (" : "(");
	if (term->op == OPERATOR_IS_NULL)
	{
		put_is_null(sql, column);
		return;
	}
	put_column(sql, column->name);
	if (is_text(term->type) && (is_ordered || is_pattern || !column->is_deterministic))
		buffer_puts(sql, " COLLATE \"C\"");
	buffer_puts(sql, signs[term->op]);
	for (unsigned i = 0; i < term->nkeys; i++)
	{
		if (i > 0)
			buffer_puts(sql, ", ");
		put_param(sql, ++*nparams, is_pattern ? "pg_catalog.text" : column->type_name);
	}
	buffer_puts(sql, term->op == OPERATOR_IN ? "))" : ")");
}

/* The column of a filter's term. */
static const struct access_column *
column_of(const struct entity_access *entity, struct slice json_name)
{
	for (unsigned i = 0; i < entity->ncolumns; i++)
		if (slice_is_same(entity->columns[i].json_name, json_name))
			return &entity->columns[i];
	return NULL;
}

/* Calls fn for each column that the view shows, with its number. */
static void
each_shown(struct buffer *sql, const struct view *view,
		   void (*fn) (struct buffer *sql, const struct access_column *column, unsigned number))
{
	unsigned	number = 0;

	for (unsigned i = 0; i < view->entity->ncolumns; i++)
	{
		if (!view_shows(view, view->entity->columns[i].json_name))
			continue;
		if (number > 0)
			buffer_puts(sql, ", ");
		fn(sql, &view->entity->columns[i], number++);
	}
}

/* A name with a number. */
static void
put_numbered(struct buffer *sql, const char *name, unsigned number)
{
	buffer_puts(sql, name);
	buffer_put_number(sql, number);
}

/* A column under the name c0, c1, … */
static void
put_inner(struct buffer *sql, const struct access_column *column, unsigned number)
{
	put_column(sql, column->name);
	put_numbered(sql, " AS c", number);
}

/* The same under its own name. */
static void
put_outer(struct buffer *sql, const struct access_column *column, unsigned number)
{
	put_numbered(sql, "s.c", number);
	buffer_puts(sql, " AS ");
	put_name(sql, column->name);
}

/* The key's values as text, as events have them; a cast of character would take its blanks. */
static void
put_ids(struct buffer *sql, const struct entity_access *entity)
{
	for (unsigned i = 0; i < entity->nkey; i++)
	{
		const struct access_column *column = &entity->columns[entity->key[i]];
		bool		is_bpchar = column->type == FILTER_TYPE_BPCHAR;

		buffer_puts(sql, is_bpchar ? ", pg_catalog.textin(pg_catalog.bpcharout(" : ", ");
		put_column(sql, column->name);
		buffer_puts(sql, is_bpchar ? "))" : "::pg_catalog.text");
		put_numbered(sql, " AS k", i);
	}
}

void
snapshot_sql(const struct view *view, const struct message_order *order, unsigned norder,
			 uint64_t limit, struct buffer *sql, const char ***params, unsigned *nparams)
{
	const struct entity_access *entity = view->entity;
	unsigned	room = 0;
	unsigned	number = 0;

	for (unsigned i = 0; i < view->filter.nterms; i++)
		room += view->filter.terms[i].nkeys;
	*params = memory_alloc(sizeof(char *) * (room + 1));
	*nparams = 0;
	buffer_puts(sql, entity->numeric_as_string ? "SELECT realtime.row_json(r.*, 'string')"
				: "SELECT realtime.row_json(r.*)");
	for (unsigned i = 0; i < entity->nkey; i++)
		put_numbered(sql, ", s.k", i);
	buffer_puts(sql, " FROM (SELECT ");
	each_shown(sql, view, put_inner);
	put_ids(sql, entity);
	buffer_puts(sql, " FROM ");
	buffer_puts(sql, entity->relation);
	buffer_puts(sql, " x");
	for (unsigned i = 0; i < view->filter.nterms; i++)
	{
		const struct filter_term *term = &view->filter.terms[i];

		buffer_puts(sql, i ? " AND " : " WHERE ");
		put_term(sql, term, column_of(entity, term->column), &number);
		for (unsigned k = 0; k < term->nkeys; k++)
			(*params)[(*nparams)++] = term->keys[k].at;
	}
	buffer_puts(sql, " ORDER BY ");
	for (unsigned i = 0; i < norder; i++)
	{
		put_column(sql, order[i].column);
		buffer_puts(sql, order[i].is_descending ? " DESC, " : ", ");
	}
	for (unsigned i = 0; i < entity->nkey; i++)
	{
		if (i > 0)
			buffer_puts(sql, ", ");
		put_column(sql, entity->columns[entity->key[i]].name);
	}
	if (limit > 0)
	{
		buffer_puts(sql, " LIMIT ");
		buffer_put_number(sql, (int64_t) limit);
	}
	buffer_puts(sql, ") s CROSS JOIN LATERAL (SELECT ");
	each_shown(sql, view, put_outer);
	buffer_puts(sql, ") r");
}
