/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy.c
 *	  See policy.h. Pure.
 */
#include "policy.h"

#include <string.h>

#include "memory.h"

/* The column of a term; NULL when it is not captured. */
static const struct access_column *
find_column(const struct entity_access *entity, struct slice json_name)
{
	for (unsigned i = 0; i < entity->ncolumns; i++)
		if (slice_is_same(entity->columns[i].json_name, json_name))
			return &entity->columns[i];
	return NULL;
}

static bool
read_operator(struct slice text, struct filter_term *term)
{
	term->is_negated = text.len > 4 && memcmp(text.at, "not.", 4) == 0;
	if (term->is_negated)
	{
		text.at += 4;
		text.len -= 4;
	}
	for (int op = OPERATOR_EQ; op <= OPERATOR_IS_NULL; op++)
		if (slice_equals(text, protocol_operator_name((enum operator) op)))
		{
			term->op = (enum operator) op;
			return true;
		}
	return false;
}

static void
add_key(struct filter_term *term, struct slice value, struct buffer *scratch)
{
	struct slice key = filter_value_key(term->type, value, scratch);

	term->keys = memory_resize(term->keys, sizeof(struct slice) * (term->nkeys + 1));
	term->keys[term->nkeys].at = memory_copy_string(key.at, key.len);
	term->keys[term->nkeys++].len = key.len;
}

/* The constants of a term: one, a list, or the word of "is". */
static bool
read_value(struct filter_term *term, struct slice value, struct buffer *scratch)
{
	struct jsonscan scan;
	struct slice name;
	struct slice element;

	if (term->op == OPERATOR_IS_NULL)
	{
		if (jsonscan_kind(value) == JSON_KIND_STRING)
			value = jsonscan_inside(value);
		if (slice_equals(value, "true"))
			term->op = OPERATOR_IS_TRUE;
		else if (slice_equals(value, "false"))
			term->op = OPERATOR_IS_FALSE;
		else if (!slice_equals(value, "null"))
			return false;
		return true;
	}
	if (term->op != OPERATOR_IN)
	{
		add_key(term, value, scratch);
		return jsonscan_kind(value) != JSON_KIND_NULL;
	}
	if (jsonscan_open(&scan, value, '[') < 0)
		return false;
	while (jsonscan_next(&scan, &name, &element) > 0)
		add_key(term, element, scratch);
	return true;
}

/* [column, operator, value] */
static bool
read_term(const struct entity_access *entity, struct slice text, struct filter_term *term)
{
	struct jsonscan scan;
	struct slice name;
	struct slice element[3];
	const struct access_column *column;
	struct buffer scratch;
	bool		is_good;

	if (jsonscan_open(&scan, text, '[') < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (jsonscan_next(&scan, &name, &element[i]) <= 0)
			return false;
	if (jsonscan_kind(element[0]) != JSON_KIND_STRING || jsonscan_kind(element[1]) != JSON_KIND_STRING)
		return false;
	column = find_column(entity, jsonscan_inside(element[0]));
	if (column == NULL || !read_operator(jsonscan_inside(element[1]), term))
		return false;
	term->column.at = memory_copy_string(column->json_name.at, column->json_name.len);
	term->column.len = column->json_name.len;
	term->type = column->type;
	buffer_init(&scratch);
	is_good = read_value(term, element[2], &scratch);
	buffer_release(&scratch);
	return is_good && filter_check_operator(term->op, term->type) == NULL;
}

/* One conjunction. */
static bool
read_filter(const struct entity_access *entity, struct slice text, struct filter *filter)
{
	struct jsonscan scan;
	struct slice name;
	struct slice term;
	int			result;

	if (jsonscan_open(&scan, text, '[') < 0)
		return false;
	while ((result = jsonscan_next(&scan, &name, &term)) > 0)
	{
		filter->terms = memory_resize(filter->terms,
									  sizeof(struct filter_term) * (filter->nterms + 1));
		memset(&filter->terms[filter->nterms], 0, sizeof(struct filter_term));
		if (!read_term(entity, term, &filter->terms[filter->nterms++]))
			return false;
	}
	return result == 0;
}

/* The disjunction of mode filter. */
static bool
read_filters(const struct entity_access *entity, struct slice text, struct policy *policy)
{
	struct jsonscan scan;
	struct slice name;
	struct slice filter;
	struct buffer print;
	int			result;

	if (jsonscan_open(&scan, text, '[') < 0)
		return false;
	buffer_init(&print);
	while ((result = jsonscan_next(&scan, &name, &filter)) > 0)
	{
		policy->filters = memory_resize(policy->filters,
										sizeof(struct filter) * (policy->nfilters + 1));
		memset(&policy->filters[policy->nfilters], 0, sizeof(struct filter));
		if (!read_filter(entity, filter, &policy->filters[policy->nfilters++]))
		{
			buffer_release(&print);
			return false;
		}
		buffer_puts(&print, "|");
		filter_normalize(&policy->filters[policy->nfilters - 1], &print);
	}
	policy->text = buffer_take(&print);
	return result == 0;
}

/* A member's name without escapes; malformed ones cannot be compared. */
static int
plain_name(struct slice inside, struct buffer *out)
{
	long		len;

	out->len = 0;
	len = jsonscan_unescape(inside, buffer_reserve(out, inside.len + 1));
	if (len < 0)
		return RT_MALFORMED;
	out->len = (size_t) len;
	return RT_OK;
}

/*
 * Appends a claim that a policy reads and its value. The token may write the same name with other
 * escapes than PostgreSQL: names are compared without. Fails when they cannot be.
 */
static int
print_claim(struct slice claims, struct slice name, struct buffer *out)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	struct slice found = {NULL, 0};
	struct buffer wanted;
	struct buffer have;
	int			result = jsonscan_open(&scan, claims, '{');

	buffer_init(&wanted);
	buffer_init(&have);
	if (result == RT_OK)
		result = plain_name(jsonscan_inside(name), &wanted);
	while (result >= 0 && (result = jsonscan_next(&scan, &key, &value)) > 0)
	{
		if (plain_name(key, &have) < 0)
			result = RT_MALFORMED;
		else if (slice_is_same(buffer_slice(&have), buffer_slice(&wanted)))
			found = value;
	}
	buffer_release(&wanted);
	buffer_release(&have);
	buffer_put_slice(out, name);
	if (found.at != NULL)
		buffer_put_slice(out, found);
	buffer_puts(out, ";");
	return result;
}

/* What tells the claims apart that a policy reads: those, or all of them when it cannot be told. */
static void
print_claims(struct slice json, struct slice claims, struct buffer *out)
{
	struct slice names;
	struct slice none;
	struct slice name;
	struct jsonscan scan;
	size_t		from = out->len;
	int			result = jsonscan_find(json, "claims", &names) > 0 ? jsonscan_open(&scan, names, '[')
		: RT_MALFORMED;

	while (result >= 0 && (result = jsonscan_next(&scan, &none, &name)) > 0)
		result = print_claim(claims, name, out);
	if (result >= 0)
		return;
	out->len = from;
	buffer_put_slice(out, claims);
}

/* Mode evaluate: necessary conditions, and what tells its groups apart. */
static bool
read_evaluate(const struct entity_access *entity, struct slice json, struct slice claims,
			  struct policy *policy)
{
	struct slice any;
	struct buffer print;

	buffer_init(&print);
	if (jsonscan_find(json, "filter", &any) > 0 && jsonscan_kind(any) == JSON_KIND_ARRAY
		&& !read_filters(entity, any, policy))
		return false;
	buffer_puts(&print, "?");
	print_claims(json, claims, &print);
	if (policy->text != NULL)
		buffer_puts(&print, policy->text);
	memory_free(policy->text);
	policy->text = buffer_take(&print);
	return true;
}

/* The tables whose changes may change what the policy shows. */
static void
read_reads(struct slice reads, struct policy *policy)
{
	struct jsonscan scan;
	struct jsonscan pair;
	struct slice none;
	struct slice element;
	struct slice name;

	if (jsonscan_kind(reads) != JSON_KIND_ARRAY || jsonscan_open(&scan, reads, '[') < 0)
		return;
	while (jsonscan_next(&scan, &none, &element) > 0)
	{
		if (jsonscan_open(&pair, element, '[') < 0)
			continue;
		while (jsonscan_next(&pair, &none, &name) > 0)
		{
			struct slice inside = jsonscan_inside(name);

			policy->reads = memory_resize(policy->reads, sizeof(char *) * (policy->nreads + 1));
			policy->reads[policy->nreads++] = memory_copy_string(inside.at, inside.len);
		}
	}
	if (policy->nreads % 2 != 0)
		memory_free(policy->reads[--policy->nreads]);
}

/* What the policy depends on is part of what it is: a view takes on another when only that has changed. */
static void
print_dependencies(struct policy *policy)
{
	struct buffer print;

	buffer_init(&print);
	buffer_puts(&print, policy->text);
	for (unsigned i = 0; i < policy->nreads; i++)
	{
		buffer_puts(&print, "\nreads ");
		buffer_puts(&print, policy->reads[i]);
	}
	for (unsigned i = 0; i < policy->nabsent; i++)
	{
		buffer_puts(&print, "\nlacks ");
		buffer_puts(&print, policy->absent[i]);
	}
	memory_free(policy->text);
	policy->text = buffer_take(&print);
}

/*
 * The settings that must be null, of their names only what can be in SQL as it is; false when there is another.
 */
static bool
read_absent(struct slice json, struct policy *policy)
{
	struct jsonscan scan;
	struct slice list;
	struct slice none;
	struct slice name;

	if (jsonscan_find(json, "absent", &list) <= 0)
		return true;
	if (jsonscan_kind(list) != JSON_KIND_ARRAY || jsonscan_open(&scan, list, '[') < 0)
		return false;
	while (jsonscan_next(&scan, &none, &name) > 0)
	{
		struct slice inside = jsonscan_inside(name);

		for (size_t i = 0; i < inside.len; i++)
			if (memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789",
					   inside.at[i], 63) == NULL)
				return false;
		policy->absent = memory_resize(policy->absent, sizeof(char *) * (policy->nabsent + 1));
		policy->absent[policy->nabsent++] = memory_copy_string(inside.at, inside.len);
	}
	return true;
}

struct policy *
policy_parse(const struct entity_access *entity, struct slice json, struct slice claims,
			 struct slice reads)
{
	struct policy *policy = memory_alloc_zeroed(sizeof(*policy));
	struct slice mode;
	struct slice any;
	bool		is_good = jsonscan_find(json, "mode", &mode) > 0
		&& jsonscan_kind(mode) == JSON_KIND_STRING;

	policy->refs = 1;
	policy->feature = memory_copy_string(entity->feature, strlen(entity->feature));
	policy->entity = memory_copy_string(entity->entity, strlen(entity->entity));
	if (is_good && slice_equals(jsonscan_inside(mode), "all"))
		policy->mode = POLICY_ALL;
	else if (is_good && slice_equals(jsonscan_inside(mode), "none"))
		policy->mode = POLICY_NONE;
	else if (is_good && slice_equals(jsonscan_inside(mode), "filter"))
	{
		policy->mode = POLICY_FILTER;
		is_good = jsonscan_find(json, "any", &any) > 0 && read_filters(entity, any, policy);
	}
	else if (is_good && slice_equals(jsonscan_inside(mode), "evaluate"))
	{
		policy->mode = POLICY_EVALUATE;
		is_good = read_evaluate(entity, json, claims, policy);
	}
	else
		is_good = false;
	if (!is_good || !read_absent(json, policy))
	{
		policy_unref(policy);
		return NULL;
	}
	read_reads(reads, policy);
	if (policy->text == NULL)
	{
		const char *text = policy->mode == POLICY_ALL ? "all" : "none";

		policy->text = memory_copy_string(text, strlen(text));
	}
	print_dependencies(policy);
	return policy;
}

struct policy *
policy_ref(struct policy *policy)
{
	policy->refs++;
	return policy;
}

void
policy_unref(struct policy *policy)
{
	if (policy == NULL || --policy->refs > 0)
		return;
	for (unsigned i = 0; i < policy->nfilters; i++)
		filter_release(&policy->filters[i]);
	memory_free(policy->filters);
	for (unsigned i = 0; i < policy->nreads; i++)
		memory_free(policy->reads[i]);
	memory_free(policy->reads);
	for (unsigned i = 0; i < policy->nabsent; i++)
		memory_free(policy->absent[i]);
	memory_free(policy->absent);
	if (policy->position.epoch != NULL)
		position_release(&policy->position);
	memory_free(policy->text);
	memory_free(policy->feature);
	memory_free(policy->entity);
	memory_free(policy);
}

enum filter_result
policy_match(const struct policy *policy, const struct row *row, struct buffer *scratch)
{
	enum filter_result result = FILTER_NO;

	if (policy->mode == POLICY_ALL)
		return FILTER_YES;
	for (unsigned i = 0; i < policy->nfilters; i++)
	{
		enum filter_result one = filter_match(&policy->filters[i], row, scratch);

		if (one == FILTER_YES)
			return FILTER_YES;
		if (one == FILTER_OMITTED)
			result = FILTER_OMITTED;
	}
	return result;
}
