/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_snapshot_sql.c
 *	  The statement that reads a view's rows: names, parameters, order, limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "readers.h"
#include "snapshot_sql.h"
#include "vectors.h"

#define IN(name, number) "x.\"" name "\" AS c" number
#define OUT(name, number) "s.c" number " AS \"" name "\""
#define TWO(IN, a, b) IN(a, "0") ", " IN(b, "1")
#define THREE(IN, a, b, c) TWO(IN, a, b) ", " IN(c, "2")
#define ALL(IN) THREE(IN, "id", "n", "t") ", " IN("c", "3") ", " IN("f", "4") ", " IN("b", "5") ", " \
	IN("j", "6") ", " IN("jb", "7")
#define ID_N_T(IN) THREE(IN, "id", "n", "t")
#define ID_T(IN) TWO(IN, "id", "t")
#define ID_B(IN) TWO(IN, "id", "b")

/* JSON in C without escapes: ' stands for ". */
static json_t *
json(const char *text)
{
	char	   *copy = memory_copy_string(text, strlen(text));
	json_t	   *value;

	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	value = json_loads(copy, JSON_DECODE_ANY, NULL);
	if (value == NULL)
		fail_msg("no JSON: %s", copy);
	memory_free(copy);
	return value;
}

/* What a test asks for; the rest is zero. */
struct question
{
	const char *filter;
	const char *columns;
	const char *readable;
	const struct message_order *order;
	unsigned	norder;
	uint64_t	limit;
	bool		numeric_as_string;
	const char *nondeterministic;	/* a column */
};

/* The statement for a question, and its parameters with a line break after each. */
static void
check_sql(const struct question *q, const char *expected, const char *expected_params)
{
	struct role_access *role = role_new("web");
	struct hub *hub = hub_new(reader_user);
	json_t	   *types = json("{'id':'integer','n':'numeric','t':'text','c':'character(5)','f':'double precision',"
							 "'b':'boolean','j':'json','jb':'jsonb'}");
	json_t	   *key = json("['id']");
	json_t	   *readable = q->readable ? json(q->readable) : NULL;
	json_t	   *filter = q->filter ? json(q->filter) : NULL;
	json_t	   *columns = q->columns ? json(q->columns) : NULL;
	struct wish wish = {role, "orders", "order", filter, NULL, columns};
	struct entity_access *entity = role_add(role, "orders", "order", types, key, NULL, readable);
	struct reader *reader;
	struct buffer sql;
	char		text[2000] = "";
	const char **params;
	unsigned	nparams;

	entity->numeric_as_string = q->numeric_as_string;
	for (unsigned i = 0; i < entity->ncolumns; i++)
	{
		if (q->nondeterministic != NULL && strcmp(entity->columns[i].name, q->nondeterministic) == 0)
			entity->columns[i].is_deterministic = false;
		if (strcmp(entity->columns[i].name, "c") == 0)	/* as format_type(oid, -1) names it */
			strcpy(entity->columns[i].type_name, "bpchar");
	}
	reader = reader_new(hub, &wish, NULL);
	buffer_init(&sql);
	snapshot_sql(reader->subscription.view, q->order, q->norder, q->limit, &sql, &params, &nparams);
	if (!slice_equals(buffer_slice(&sql), expected))
		fail_msg("%.*s\nis not\n%s", (int) sql.len, sql.at, expected);
	for (unsigned i = 0; i < nparams; i++)
		sprintf(text + strlen(text), "%s\n", params[i]);
	assert_string_equal(text, expected_params);
	buffer_release(&sql);
	memory_free(params);
	reader_free(hub, reader);
	hub_free(hub);
	role_access_unref(role);
	json_decref(types);
	json_decref(key);
	json_decref(readable);
	json_decref(filter);
	json_decref(columns);
}

#define FROM(columns, rest) \
	", s.k0 FROM (SELECT " columns(IN) ", x.\"id\"::pg_catalog.text AS k0 FROM public.\"table\" x" rest ")" \
	" s CROSS JOIN LATERAL (SELECT " columns(OUT) ") r"
#define SELECT(columns, rest) "SELECT realtime.row_json(r.*)" FROM(columns, rest)

static void
test_plain(void **state)
{
	(void) state;
	check_sql(&(struct question) {NULL}, SELECT(ALL, " ORDER BY x.\"id\""), "");
	check_sql(&(struct question) {.limit = 1000000}, SELECT(ALL, " ORDER BY x.\"id\" LIMIT 1000000"), "");
	check_sql(&(struct question) {.numeric_as_string = true},
			  "SELECT realtime.row_json(r.*, 'string')" FROM(ALL, " ORDER BY x.\"id\""), "");
}

/* Only what the view shows is read: not what the role may not. */
static void
test_columns(void **state)
{
	(void) state;
	check_sql(&(struct question) {.columns = "['t','n']"},
			  SELECT(ID_N_T, " ORDER BY x.\"id\""), "");
	check_sql(&(struct question) {.readable = "['id','b']"},
			  SELECT(ID_B, " ORDER BY x.\"id\""), "");
	check_sql(&(struct question) {.readable = "['id','b']", .columns = "['b','n']"},
			  SELECT(ID_B, " ORDER BY x.\"id\""), "");
	/* A filter may use what is not received. */
	check_sql(&(struct question) {.columns = "['t']", .filter = "[['b','is',true]]"},
			  SELECT(ID_T, " WHERE (x.\"b\" IS TRUE) ORDER BY x.\"id\""), "");
}

static void
test_order(void **state)
{
	static const struct message_order order[] = {{"n", true}, {"t", false}, {"id", true}};

	(void) state;
	check_sql(&(struct question) {.order = order, .norder = 3, .limit = 7},
			  SELECT(ALL, " ORDER BY x.\"n\" DESC, x.\"t\", x.\"id\" DESC, x.\"id\" LIMIT 7"), "");
}

static void
test_terms(void **state)
{
	(void) state;
	check_sql(&(struct question) {.filter = "[['id','eq',5]]"},
			  SELECT(ALL, " WHERE (x.\"id\" = $1::integer) ORDER BY x.\"id\""), "5\n");
	check_sql(&(struct question) {.filter = "[['n','not.gte','1.50']]"},
			  SELECT(ALL, " WHERE NOT (x.\"n\" >= $1::numeric) ORDER BY x.\"id\""), "1.5\n");
	check_sql(&(struct question) {.filter = "[['id','in',[3,1,2]]]"},
			  SELECT(ALL, " WHERE (x.\"id\" IN ($1::integer, $2::integer, $3::integer)) ORDER BY x.\"id\""), "1\n2\n3\n");
	check_sql(&(struct question) {.filter = "[['id','not.in',[1]]]"},
			  SELECT(ALL, " WHERE NOT (x.\"id\" IN ($1::integer)) ORDER BY x.\"id\""), "1\n");
	/* Parameters are numbered through the terms, which are sorted. */
	check_sql(&(struct question) {.filter = "[['t','neq','x'],['id','in',[2,1]],['b','is',null],['id','lt',9]]"},
			  SELECT(ALL, " WHERE (x.\"b\" IS NOT DISTINCT FROM NULL) AND (x.\"id\" < $1::integer)"
					 " AND (x.\"id\" IN ($2::integer, $3::integer)) AND (x.\"t\" <> $4::text) ORDER BY x.\"id\""),
			  "9\n1\n2\nx\n");
	check_sql(&(struct question) {.filter = "[['b','not.is',true],['b','is',false]]"},
			  SELECT(ALL, " WHERE NOT (x.\"b\" IS TRUE) AND (x.\"b\" IS FALSE) ORDER BY x.\"id\""), "");
}

/* Text is compared by code points, whatever the column's collation. */
static void
test_text(void **state)
{
	(void) state;
	check_sql(&(struct question) {.filter = "[['t','gt','x']]"},
			  SELECT(ALL, " WHERE (x.\"t\" COLLATE \"C\" > $1::text) ORDER BY x.\"id\""), "x\n");
	check_sql(&(struct question) {.filter = "[['t','eq','x']]", .nondeterministic = "t"},
			  SELECT(ALL, " WHERE (x.\"t\" COLLATE \"C\" = $1::text) ORDER BY x.\"id\""), "x\n");
	check_sql(&(struct question) {.filter = "[['t','not.in',['x','y']]]", .nondeterministic = "t"},
			  SELECT(ALL, " WHERE NOT (x.\"t\" COLLATE \"C\" IN ($1::text, $2::text)) ORDER BY x.\"id\""), "x\ny\n");
	check_sql(&(struct question) {.filter = "[['t','like','a\\\\_%']]"},
			  SELECT(ALL, " WHERE (x.\"t\" COLLATE \"C\" LIKE $1::pg_catalog.text) ORDER BY x.\"id\""), "a\\_%\n");
	check_sql(&(struct question) {.filter = "[['c','not.ilike','a ']]"},
			  SELECT(ALL, " WHERE NOT (x.\"c\" COLLATE \"C\" ILIKE $1::pg_catalog.text) ORDER BY x.\"id\""), "a \n");
	check_sql(&(struct question) {.filter = "[['c','eq','ab   ']]"},
			  SELECT(ALL, " WHERE (x.\"c\" = $1::bpchar) ORDER BY x.\"id\""), "ab\n");
	check_sql(&(struct question) {.filter = "[['c','lte','ab']]"},
			  SELECT(ALL, " WHERE (x.\"c\" COLLATE \"C\" <= $1::bpchar) ORDER BY x.\"id\""), "ab\n");
}

/* What data shows as null. */
static void
test_null(void **state)
{
	(void) state;
	check_sql(&(struct question) {.filter = "[['n','not.is',null]]"},
			  SELECT(ALL, " WHERE NOT (x.\"n\" IS NOT DISTINCT FROM NULL) ORDER BY x.\"id\""), "");
	check_sql(&(struct question) {.filter = "[['j','is',null],['jb','not.is',null]]"},
			  SELECT(ALL, " WHERE (x.\"j\" IS NOT DISTINCT FROM NULL OR pg_catalog.json_typeof(x.\"j\") = 'null')"
					 " AND NOT (x.\"jb\" IS NOT DISTINCT FROM NULL OR pg_catalog.jsonb_typeof(x.\"jb\") = 'null')"
					 " ORDER BY x.\"id\""), "");
}

/* Hostile values are parameters; what stands in the statement is the same whatever they are. */
static void
test_values(void **state)
{
	(void) state;
	check_sql(&(struct question) {.filter = "[['t','eq','\\u0027; DROP TABLE x; --\\\\$1\\\"']]"},
			  SELECT(ALL, " WHERE (x.\"t\" = $1::text) ORDER BY x.\"id\""), "'; DROP TABLE x; --\\$1\"\n");
	check_sql(&(struct question) {.filter = "[['t','eq','']]"},
			  SELECT(ALL, " WHERE (x.\"t\" = $1::text) ORDER BY x.\"id\""), "\n");
}

/* Hostile names are quoted, wherever they stand. */
static void
test_names(void **state)
{
	static const char *const hostile = "a\"b'; --\\ $1 \xc3\xa4";
	static const char *const quoted = "\"a\"\"b'; --\\ $1 \xc3\xa4\"";
	struct role_access *role = role_new("web");
	struct hub *hub = hub_new(reader_user);
	json_t	   *types = json_pack("{s:s,s:s,s:s}", hostile, "integer", "\"", "text", "char", "character(3)");
	json_t	   *key = json_pack("[s,s,s]", "\"", hostile, "char");
	json_t	   *filter = json_pack("[[s,s,i]]", hostile, "eq", 1);
	struct message_order order = {hostile, true};
	struct wish wish = {role, "f", "e", filter, NULL, NULL};
	struct reader *reader;
	struct buffer sql;
	char		expected[2000];
	const char **params;
	unsigned	nparams;

	(void) state;
	role_add(role, "f", "e", types, key, NULL, NULL);
	reader = reader_new(hub, &wish, NULL);
	buffer_init(&sql);
	snapshot_sql(reader->subscription.view, &order, 1, 0, &sql, &params, &nparams);
	snprintf(expected, sizeof(expected), "SELECT realtime.row_json(r.*), s.k0, s.k1, s.k2 FROM (SELECT x.%s AS c0, x.\"\"\"\" AS c1,"
			 " x.\"char\" AS c2, x.\"\"\"\"::pg_catalog.text AS k0, x.%s::pg_catalog.text AS k1,"
			 " pg_catalog.textin(pg_catalog.bpcharout(x.\"char\")) AS k2 FROM public.\"table\" x"
			 " WHERE (x.%s = $1::integer) ORDER BY x.%s DESC, x.\"\"\"\", x.%s, x.\"char\") s"
			 " CROSS JOIN LATERAL (SELECT s.c0 AS %s, s.c1 AS \"\"\"\", s.c2 AS \"char\") r",
			 quoted, quoted, quoted, quoted, quoted, quoted);
	if (!slice_equals(buffer_slice(&sql), expected))
		fail_msg("%.*s\nis not\n%s", (int) sql.len, sql.at, expected);
	buffer_release(&sql);
	memory_free(params);
	reader_free(hub, reader);
	hub_free(hub);
	role_access_unref(role);
	json_decref(types);
	json_decref(key);
	json_decref(filter);
}

/* A row of the snapshot with its id, as an event has it; the key's values are its text's lines. */
static void
check_row(const char *key_text, const char *const *values, const char *data, const char *expected)
{
	struct role_access *role = role_new("web");
	json_t	   *types = json("{'id':'bigint','w\\u0022':'text','b':'boolean'}");
	json_t	   *key = json(key_text);
	const struct entity_access *entity = role_add(role, "f", "e", types, key, NULL, NULL);
	struct slice id[2] = {{NULL, 0}, {NULL, 0}};
	struct buffer out;

	buffer_init(&out);
	for (unsigned i = 0; i < entity->nkey; i++)
		if (values[i] != NULL)
			id[i] = slice_of(values[i]);
	view_write_row(entity, id, slice_of(data), &out);
	if (!slice_equals(buffer_slice(&out), expected))
		fail_msg("%.*s is not %s", (int) out.len, out.at, expected);
	buffer_release(&out);
	role_access_unref(role);
	json_decref(types);
	json_decref(key);
}

static void
test_rows(void **state)
{
	(void) state;
	check_row("['id']", (const char *[]) {"17"}, "{\"id\":17}", "{\"id\":\"17\",\"data\":{\"id\":17}}");
	check_row("['id']", (const char *[]) {NULL}, "{\"id\":null}", "{\"id\":null,\"data\":{\"id\":null}}");
	check_row("['b']", (const char *[]) {"a\"\x01\n"}, "{}", "{\"id\":\"a\\\"\\u0001\\n\",\"data\":{}}");
	check_row("['w\\u0022','id']", (const char *[]) {"x", ""}, "{}",
			  "{\"id\":{\"w\\\"\":\"x\",\"id\":\"\"},\"data\":{}}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests_name("snapshot_sql", tests, NULL, NULL);
}
