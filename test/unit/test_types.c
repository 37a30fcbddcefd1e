/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_types.c
 *	  Names as TypeScript, what CHECK constraints say of values, and a small registry as a module.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "types_module.h"
#include "types_text.h"

static struct slice
text(const char *s)
{
	return (struct slice) {s, strlen(s)};
}

/* Fails unless a buffer has a text; empties it. */
static void
check_buffer(struct buffer *buffer, const char *expected)
{
	char	   *got = buffer_take(buffer);

	assert_string_equal(got, expected);
	memory_free(got);
}

static void
test_text(void **state)
{
	static const char *const cases[][2] = {
		{"plain", "'plain'"},
		{"", "''"},
		{"it's \\ \"x\"", "'it\\'s \\\\ \"x\"'"},
		{"a\nb\rc\td\x7f", "'a\\u000ab\\u000dc\\u0009d\\u007f'"},
		{"\xe2\x80\xa8\xe2\x80\xa9", "'\\u2028\\u2029'"},
		{"\xe2\x80\xae\xef\xbb\xbf", "'\\u202e\\ufeff'"},
		{"*/ // ${x} ` </script>", "'*/ // ${x} ` </script>'"},
		{"gr\xc3\xb6\xc3\x9f" "e \xf0\x9f\x98\x80", "'gr\xc3\xb6\xc3\x9f" "e \xf0\x9f\x98\x80'"},
		{"\xf3\xa0\x81\x81", "'\\u{e0041}'"},
		{"a\xff" "b\xc3", "'a\\ufffdb\\ufffd'"},
		{"\xc0\xaf\xed\xa0\x80", "'\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd'"},
	};
	struct buffer out;

	(void) state;
	buffer_init(&out);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		types_put_text(&out, text(cases[i][0]));
		check_buffer(&out, cases[i][1]);
	}
	types_put_text(&out, (struct slice) {"a\0b", 3});
	check_buffer(&out, "'a\\u0000b'");
}

static void
test_key(void **state)
{
	struct buffer out;

	(void) state;
	buffer_init(&out);
	types_put_key(&out, text("order_id"), false);
	types_put_key(&out, text("class"), true);
	types_put_key(&out, text("$a1"), true);
	check_buffer(&out, "order_idclass$a1");
	types_put_key(&out, text("1a"), false);
	types_put_key(&out, text("a b"), true);
	types_put_key(&out, text(""), true);
	check_buffer(&out, "'1a''a b'''");
	types_put_key(&out, text("\xc3\xb6"), true);
	check_buffer(&out, "'\xc3\xb6'");
	types_put_key(&out, text("__proto__"), false);
	types_put_key(&out, text("__proto__"), true);
	check_buffer(&out, "__proto__['__proto__']");
}

/* Fails unless an expression allows these texts, joined by commas; NULL: unless it is not understood. */
static void
check_expression(const char *column, const char *expression, const char *expected)
{
	struct texts texts;
	struct buffer joined;

	buffer_init(&joined);
	if (!types_check_read(text(expression), text(column), &texts))
	{
		if (expected != NULL)
			fail_msg("not understood: %s", expression);
		assert_int_equal(texts.n, 0);
		return;
	}
	if (expected == NULL)
		fail_msg("understood: %s", expression);
	for (unsigned i = 0; i < texts.n; i++)
	{
		buffer_puts(&joined, i > 0 ? "," : "");
		buffer_put_slice(&joined, texts.at[i]);
	}
	check_buffer(&joined, expected);
	texts_release(&texts);
}

static void
test_check(void **state)
{
	(void) state;
	check_expression("status", "(status = ANY (ARRAY['a'::text, 'b'::text]))", "a,b");
	check_expression("status", "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", "a,b");
	check_expression("status", "((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text]))", "a,b");
	check_expression("status", "(status = 'a'::text)", "a");
	check_expression("status", "((status = 'a'::text) OR (status = 'b'::text) OR (status = 'a'::text))", "a,b");
	check_expression("status", "((status IS NULL) OR (status = ANY (ARRAY['a'::text])))", "a");
	check_expression("VALUE", "(VALUE = ANY (ARRAY['x'::text, 'y'::text]))", "x,y");
	check_expression("\"St\"\"atus\"", "(\"St\"\"atus\" = 'it''s'::text)", "it's");
	check_expression("status", "(status = E'a\\\\b'::text)", "a\\b");
	check_expression("status", "(status = ''::text)", "");

	check_expression("status", "", NULL);
	check_expression("status", "(status IS NULL)", NULL);
	check_expression("status", "(status IS NOT NULL)", NULL);
	check_expression("status", "(status <> 'a'::text)", NULL);
	check_expression("status", "(status <> ALL (ARRAY['a'::text]))", NULL);
	check_expression("status", "(status = ALL (ARRAY['a'::text]))", NULL);
	check_expression("status", "(NOT (status = 'a'::text))", NULL);
	check_expression("status", "((status = 'a'::text) AND (status = 'b'::text))", NULL);
	check_expression("status", "((status = 'a'::text) OR (n > 3))", NULL);
	check_expression("status", "((status = 'a'::text) OR true)", NULL);
	check_expression("status", "(other = 'a'::text)", NULL);
	check_expression("status", "(lower(status) = 'a'::text)", NULL);
	check_expression("status", "(status = lower('A'::text))", NULL);
	check_expression("status", "(status = ('a'::text || 'b'::text))", NULL);
	check_expression("status", "((status)::character varying(1) = 'a'::text)", NULL);
	check_expression("status", "(status = 'a '::bpchar)", NULL);
	check_expression("status", "(status = 'a'::public.citext)", NULL);
	check_expression("status", "(status = 'a'::text COLLATE \"de\")", NULL);
	check_expression("status", "(status = ANY (ARRAY['a'::text, NULL::text]))", NULL);
	check_expression("status", "(status = ANY (ARRAY[]::text[]))", NULL);
	check_expression("status", "(status = ANY ('{a,b}'::text[]))", NULL);
	check_expression("status", "(status = 'a'::text) = (status = 'b'::text)", NULL);
	check_expression("status", "(status = E'a\\nb'::text)", NULL);
	check_expression("status", "(status = 'a", NULL);
	check_expression("status", "(status = \"a\")", NULL);
	check_expression("status", "status", NULL);
	check_expression("status", "status = ANY ARRAY['a'", NULL);
}

static void
test_limit(void **state)
{
	struct texts values = {0};
	bool		is_limited = false;

	(void) state;
	types_limit(&values, &is_limited, text("(n > 3)"), text("s"));
	assert_false(is_limited);
	types_limit(&values, &is_limited, text("(s = ANY (ARRAY['a'::text, 'b'::text, 'c'::text]))"), text("s"));
	assert_true(is_limited);
	assert_int_equal(values.n, 3);
	types_limit(&values, &is_limited, text("(s = ANY (ARRAY['c'::text, 'a'::text, 'z'::text]))"), text("s"));
	assert_int_equal(values.n, 2);
	assert_true(texts_has(&values, text("a")) && texts_has(&values, text("c")));
	types_limit(&values, &is_limited, text("(s = 'z'::text)"), text("s"));
	assert_int_equal(values.n, 0);
	assert_true(is_limited);
	texts_release(&values);
}

/* Fails unless the module has a text. */
static void
check_has(const char *module, const char *part)
{
	if (strstr(module, part) == NULL)
		fail_msg("no \"%s\" in\n%s", part, module);
}

static void
test_module(void **state)
{
	struct types_registry registry = {0};
	struct types_entity *entity = types_add_entity(&registry, text("f'x"), text("__proto__"));
	struct types_column *column;
	struct types_type *type;
	struct buffer out;
	char	   *module;

	(void) state;
	entity->has_table = true;
	texts_add(&entity->key, "a", 1);
	texts_add(&entity->key, "b", 1);
	types_add_action(entity, text("created"), text(""));
	types_add_action(entity, text("x-y"), text("high"));
	column = types_add_column(&entity->columns, text("a"));
	column->type = 20;
	column->is_not_null = true;
	column = types_add_column(&entity->columns, text("b"));
	column->type = 100000;
	column->ndims = 2;
	type = types_add_type(&registry, 20, text("pg_catalog.int8"));
	type->kind = 'b';
	type = types_add_type(&registry, 100000, text("public._mood"));
	type->kind = 'b';
	type->element = 100001;
	type = types_add_type(&registry, 100001, text("public.mood"));
	type->kind = 'e';
	texts_add(&type->values, "it's", 4);
	types_add_entity(&registry, text("f'x"), text("topic"));

	buffer_init(&out);
	types_write_module(&registry, &out);
	module = buffer_take(&out);
	check_has(module, "export interface Types {\n\t'public.mood': 'it\\'s';\n}");
	check_has(module, "\n\t\t\t\ta: number | string;\n\t\t\t\tb: (Types['public.mood'] | null)[][] | null;\n");
	check_has(module, "id: { a: string; b: string | null; };");
	check_has(module, "\t'f\\'x': {\n\t\t['__proto__']: { actions: ['created', 'x-y', 'entered', ");
	check_has(module, "], key: ['a', 'b'] },");
	check_has(module, "\t\t['__proto__']: {\n\t\t\t'x-y': 'high',\n\t\t},");
	check_has(module, "topic: { actions: ['*', 'bulk_started', ");
	memory_free(module);
	types_registry_release(&registry);

	types_write_module(&registry, &out);
	module = buffer_take(&out);
	check_has(module, "export interface Entities {\n}");
	check_has(module, "export const REGISTRY = {\n} as const;");
	memory_free(module);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_module),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
