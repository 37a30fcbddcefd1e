/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * keyset.c
 *	  See keyset.h.
 */
#include "keyset.h"

#include <stdatomic.h>
#include <string.h>

#include "memory.h"

struct keyset
{
	atomic_uint refs;
	unsigned	count;
	struct jwk *keys[KEYSET_MAX];
};

struct keyset *
keyset_new(void)
{
	struct keyset *set = memory_alloc_zeroed(sizeof(*set));

	atomic_init(&set->refs, 1);
	return set;
}

struct keyset *
keyset_ref(struct keyset *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void
keyset_unref(struct keyset *set)
{
	if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (unsigned i = 0; i < set->count; i++)
		jwk_free(set->keys[i]);
	memory_free(set);
}

bool
keyset_is_empty(const struct keyset *set)
{
	return set->count == 0;
}

int
keyset_add_secret(struct keyset *set, const char *secret, size_t len)
{
	struct jwk *jwk;

	if (set->count == KEYSET_MAX)
		return RT_TOO_LARGE;
	jwk = jwk_new_secret(secret, len);
	if (jwk == NULL)
		return RT_MALFORMED;
	set->keys[set->count++] = jwk;
	return RT_OK;
}

/* Adds one key if it is for us. A key that is broken hinders no other: issuers add new types. */
static int
add_key(struct keyset *set, const struct jsondoc *json, bool is_secret_allowed, unsigned *added)
{
	struct jwk *jwk;

	if (jwk_new_json(json, &jwk) != RT_OK)
		return RT_OK;
	if (jwk_is_secret(jwk) && !is_secret_allowed)
	{
		jwk_free(jwk);
		return RT_OK;
	}
	if (set->count == KEYSET_MAX)
	{
		jwk_free(jwk);
		return RT_TOO_LARGE;
	}
	set->keys[set->count++] = jwk;
	++*added;
	return RT_OK;
}

int
keyset_add_json(struct keyset *set, const char *text, size_t len, bool is_secret_allowed,
				unsigned *added)
{
	struct jsondoc *doc = jsondoc_parse(text, len);
	const struct jsondoc *keys = jsondoc_member(doc, "keys");
	int			result = RT_OK;

	*added = 0;
	if (jsondoc_is_array(keys))
	{
		for (size_t i = 0; i < jsondoc_length(keys) && result == RT_OK; i++)
			result = add_key(set, jsondoc_element(keys, i), is_secret_allowed, added);
	}
	else if (jsondoc_string(jsondoc_member(doc, "kty")) != NULL)
		result = add_key(set, doc, is_secret_allowed, added);
	else
		result = RT_MALFORMED;
	jsondoc_free(doc);
	return result;
}

const struct jwk *
keyset_find(const struct keyset *set, enum jwk_algorithm algorithm, const char *kid)
{
	const struct jwk *only = NULL;
	unsigned	count = 0;

	for (unsigned i = 0; i < set->count; i++)
	{
		const struct jwk *jwk = set->keys[i];

		if (!jwk_fits(jwk, algorithm))
			continue;
		if (kid != NULL && jwk_kid(jwk) != NULL)
		{
			if (strcmp(kid, jwk_kid(jwk)) == 0)
				return jwk;
			continue;
		}
		only = jwk;
		count++;
	}
	return count == 1 ? only : NULL;
}
