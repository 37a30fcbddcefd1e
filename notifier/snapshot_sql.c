/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * snapshot_sql.c
 *	  See snapshot_sql.h.
 *
 * Names are quoted, values are parameters, types come from the catalog. Text is ordered by collation "C"
 * where the filter compares it.
 */
#include "snapshot_sql.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"

/* A quoted name of the row's. */
static void
put_column(struct buffer *sql, const char *name)
{
	buffer_puts(sql, "x.\"");
	for (; *name != '\0'; name++)
	{
		buffer_put(sql, name, 1);
		if (*name == '"')
			buffer_put(sql, "\"", 1);
	}
	buffer_puts(sql, "\"");
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

/* The columns that the view shows. */
static void
put_columns(struct buffer *sql, const struct view *view)
{
	bool		is_first = true;

	for (unsigned i = 0; i < view->entity->ncolumns; i++)
	{
		if (!view_shows(view, view->entity->columns[i].json_name))
			continue;
		if (!is_first)
			buffer_puts(sql, ", ");
		put_column(sql, view->entity->columns[i].name);
		is_first = false;
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
	buffer_puts(sql, entity->numeric_as_string ? "SELECT realtime.row_json(r.*, 'string') FROM (SELECT "
				: "SELECT realtime.row_json(r.*) FROM (SELECT ");
	put_columns(sql, view);
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
	buffer_puts(sql, ") r");
}
