/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_inspector.c
 *	  The query of a request for /inspector/data.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspector_query.h"
#include "memory.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = memory_alloc(size + 1);
	struct inspector_query query;
	struct inspector_query again;
	const char *why = NULL;
	char		text[200];

	memcpy(copy, data, size);
	if (inspector_query_parse(&query, (struct slice) {copy, size}, &why) == RT_OK)
	{
		check(query.sessions <= INSPECTOR_ROWS_MAX && query.views <= INSPECTOR_ROWS_MAX);
		check(query.sort <= INSPECTOR_NEWEST && query.find_len <= INSPECTOR_FIND_MAX);
		if (query.has_after)
		{
			snprintf(text, sizeof(text), "after=%" PRId64 ".%" PRIu64, query.after_key, query.after_tie);
			check(inspector_query_parse(&again, (struct slice) {text, strlen(text)}, &why) == RT_OK);
			check(again.after_key == query.after_key && again.after_tie == query.after_tie);
		}
	}
	else
		check(why != NULL);
	memory_free(copy);
	return 0;
}
