/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_types.c
 *	  Names and CHECK constraints of a hostile database. Input: a name, a line feed, an expression.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "types_check.h"
#include "types_text.h"
#include "utf8.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

/* One literal, from quote to quote, on one line. */
static void
check_text(struct slice name)
{
	struct buffer out;
	size_t		i = 1;

	buffer_init(&out);
	types_put_text(&out, name);
	check(utf8_is_valid(out.at, out.len));
	check(out.len >= 2 && out.at[0] == '\'');
	for (; i < out.len && out.at[i] != '\''; i++)
	{
		check((unsigned char) out.at[i] >= 0x20);
		check(i + 2 >= out.len || memcmp(out.at + i, "\xe2\x80\xa8", 3) != 0);
		i += out.at[i] == '\\';
	}
	check(i == out.len - 1);
	out.len = 0;
	types_put_key(&out, name, true);
	check(out.len > 0);
	buffer_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = memory_alloc(size + 1);
	const char *end;
	struct slice name = {copy, size};
	struct slice expression = {copy + size, 0};
	struct texts texts;

	memcpy(copy, data, size);
	copy[size] = '\0';
	end = memchr(copy, '\n', size);
	if (end != NULL)
	{
		name.len = (size_t) (end - copy);
		expression = (struct slice) {end + 1, size - name.len - 1};
	}
	check_text(name);
	check_text(expression);
	if (types_check_read(expression, name, &texts))
	{
		check(texts.n > 0);
		for (unsigned i = 0; i < texts.n; i++)
			check(texts.at[i].len < expression.len);
	}
	else
		check(texts.n == 0);
	texts_release(&texts);
	memory_free(copy);
	return 0;
}
