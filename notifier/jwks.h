/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jwks.h
 *	  Keeps the keys in force up to date: a secret in a file, and a key set in a file or at a URL.
 *
 * Model
 * 1. jwks_keys() hands out the set in force, whole; a new one replaces it at once.
 * 2. A thread of its own reads the key set again every refresh_s: a URL always, a file when it has
 *	  changed. When that fails the keys of before stay in force and it tries again sooner.
 * 3. jwks_want() asks for an early read - somebody showed a token of an unknown key - and is granted
 *	  once in early_s at most, so that strangers cannot make us bother the issuer.
 */
#ifndef RT_JWKS_H
#define RT_JWKS_H

#include <stdbool.h>

#include "error.h"
#include "keyset.h"

struct jwks_config
{
	const char *secret_file;	/* NULL: none */
	const char *source;			/* file or URL; NULL: none */
	unsigned	refresh_s;
	unsigned	early_s;		/* 0: JWKS_EARLY_S */
};

#define JWKS_EARLY_S 30			/* seconds; an issuer that rotates shows a new key long before it uses it */

struct jwks;

/*
 * Reads everything once and starts the thread. NULL with a message when a file is unusable; a URL that
 * cannot be read is no error: it is logged, and tokens are refused until it can be.
 */
struct jwks *jwks_new(const struct jwks_config *config, char *error, size_t error_size);
void		jwks_free(struct jwks *jwks);

/* Reads files again and has the thread read the URL again. On failure all keys stay as they were. */
int			jwks_reload(struct jwks *jwks, char *error, size_t error_size) RT_MUST_CHECK;

/* The set in force, with a reference for the caller. Thread-safe. */
struct keyset *jwks_keys(struct jwks *jwks);

/* Asks for an early read. Thread-safe, does not wait. */
void		jwks_want(struct jwks *jwks);

/* Whether any source of keys is configured. */
bool		jwks_is_configured(const struct jwks *jwks);

#endif
