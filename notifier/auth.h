/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * auth.h
 *	  From a token to an identity: JSON Web Tokens against configured keys. Knows no database.
 *
 * auth_check() is thread-safe and does no input or output: keys from a URL are refreshed by a thread of
 * auth's own and swapped in whole. Whether the role exists and may be taken on is asked elsewhere (access.h).
 */
#ifndef RT_AUTH_H
#define RT_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define AUTH_TOKEN_MAX (16 * 1024)	/* bytes */

/* Who a peer is. Immutable, reference-counted (atomic). */
struct identity
{
	unsigned	refs;			/* through identity_ref() and identity_unref() only */
	char	   *role;			/* the PostgreSQL role */
	char	   *user;			/* claim sub; NULL when there is none */
	char	   *claims;			/* the token's payload, JSON text; "{}" without a token */
	int64_t		expires;		/* seconds since 1970, 0: never */
	bool		is_anonymous;
};

/* A copy of everything, one reference; user may be NULL. */
struct identity *identity_new(const char *role, const char *user, const char *claims,
							  int64_t expires, bool is_anonymous);
struct identity *identity_ref(struct identity *identity);
void		identity_unref(struct identity *identity);

struct auth_config
{
	const char *secret_file;	/* key of HS256/384/512: the file's bytes without a final newline; NULL: none */
	const char *jwks;			/* file or http(s) URL of a JWK set; NULL: none */
	unsigned	jwks_refresh_s;	/* how often a URL is read again; a file when it changed */
	unsigned	jwks_early_s;	/* least time between reads for unknown keys; 0: JWKS_EARLY_S */
	const char *algorithms;		/* "HS256,RS256,ES256": what is accepted, pinned per key type; NULL: these */
	const char *audience;		/* required aud; NULL: any */
	const char *issuer;			/* required iss; NULL: any */
	const char *role_claim;		/* path with dots: "role", "app.role" */
	const char *default_role;	/* for tokens without the claim; NULL: refused */
	unsigned	leeway_s;		/* for exp, nbf, iat */
};

struct auth;

/*
 * Reads the keys; NULL with a message (cut) when they, or the other settings, are unusable. A URL is read
 * once, for at most 10 s; when that fails tokens are refused until a later read succeeds.
 */
struct auth *auth_new(const struct auth_config *config, char *error, size_t error_size);
void		auth_free(struct auth *auth);

/* Reads files again (SIGHUP). On failure the old keys stay and RT_MALFORMED is returned. */
int			auth_reload(struct auth *auth, char *error, size_t error_size) RT_MUST_CHECK;

/* Whether any key is configured. */
bool		auth_has_keys(const struct auth *auth);

/*
 * Verifies a token of len bytes. RT_OK: *identity is the caller's. Else *why is a static reason that may
 * be logged and told to the peer: "malformed", "too large", "critical header", "algorithm", "unknown key",
 * "signature", "expired", "not yet valid", "audience", "issuer", "no role", "no keys".
 */
int			auth_check(struct auth *auth, const char *token, size_t len, struct identity **identity,
					   const char **why) RT_MUST_CHECK;

#endif
