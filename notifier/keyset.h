/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * keyset.h
 *	  The keys that are in force at one time, and which of them a token is checked with.
 *
 * A set is filled, then shared: from the first keyset_ref() on it does not change. References are
 * counted atomically. Pure.
 */
#ifndef RT_KEYSET_H
#define RT_KEYSET_H

#include <stdbool.h>
#include <stddef.h>

#include "jwk.h"

#define KEYSET_MAX 100			/* keys; issuers publish a handful */

struct keyset;

/* An empty set with one reference. */
struct keyset *keyset_new(void);
struct keyset *keyset_ref(struct keyset *set);
void		keyset_unref(struct keyset *set);

/* Adds a shared secret; RT_MALFORMED when it is empty. */
int			keyset_add_secret(struct keyset *set, const char *secret, size_t len) RT_MUST_CHECK;

/*
 * Adds the keys of a JSON Web Key Set, or a single key. Keys that are not for verifying are skipped, and
 * shared secrets unless allowed. RT_MALFORMED when the text is no key set, RT_TOO_LARGE over KEYSET_MAX;
 * *added counts what was taken over.
 */
int			keyset_add_json(struct keyset *set, const char *text, size_t len, bool is_secret_allowed,
							unsigned *added) RT_MUST_CHECK;
bool		keyset_is_empty(const struct keyset *set);

/*
 * The key for a token: the one that its kid (NULL: it has none) names; else, if exactly one key without a
 * name fits - or, for a token without kid, exactly one key - that one. NULL when there is none.
 */
const struct jwk *keyset_find(const struct keyset *set, enum jwk_algorithm algorithm, const char *kid);

#endif
