/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_policy.c
 *	  What the database says of policies: a line each for the policy, the tables that it reads, the claims, and a
 *	  row image. What is understood decides the same twice, and knows modes only that there are.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "policy.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next line of the input. */
static struct slice
next_line(struct slice *rest)
{
	const char *end = rest->len > 0 ? memchr(rest->at, '\n', rest->len) : NULL;
	struct slice line = *rest;

	line.len = end != NULL ? (size_t) (end - rest->at) : rest->len;
	rest->at += end != NULL ? line.len + 1 : line.len;
	rest->len -= end != NULL ? line.len + 1 : line.len;
	return line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char id[] = "id", owner[] = "owner", tenant[] = "tenant", int4[] = "integer", text[] = "text", uuid[] = "uuid";
	static struct access_column columns[] = {
		{id, {"id", 2}, FILTER_TYPE_INT4, int4, true, true},
		{owner, {"owner", 5}, FILTER_TYPE_TEXT, text, true, true},
		{tenant, {"tenant", 6}, FILTER_TYPE_UUID, uuid, true, true}
	};
	static char feature[] = "f", entity_name[] = "e";
	static const struct entity_access entity = {.feature = feature, .entity = entity_name, .is_table = true, .can_read = true,
		.has_policies = true, .ncolumns = 3, .columns = columns};
	char	   *copy = memory_alloc(size + 1);
	struct slice rest = {copy, size};
	struct slice json;
	struct slice reads;
	struct slice claims;
	struct row	row = {0, 0, NULL, NULL};
	struct buffer scratch = {0};
	struct policy *policy;

	memcpy(copy, data, size);
	json = next_line(&rest);
	reads = next_line(&rest);
	claims = next_line(&rest);
	policy = policy_parse(&entity, json, claims, reads);
	if (policy != NULL)
	{
		if (policy->mode > POLICY_EVALUATE || policy->text == NULL || (policy->nfilters > 0 && policy->filters == NULL))
			abort();
		if (row_read(&row, rest) && policy_match(policy, &row, &scratch) != policy_match(policy, &row, &scratch))
			abort();
		policy_unref(policy);
	}
	row_release(&row);
	buffer_release(&scratch);
	memory_free(copy);
	return 0;
}
