/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jwk.h
 *	  One key that verifies signatures, and which algorithms it may be used with (RFC 7517, 7518).
 *
 * A key has one family, fixed when it is made: a public key can never serve as a shared secret. cjose is
 * known to jwk.c alone. Keys do not change and may be used by several threads at once.
 */
#ifndef RT_JWK_H
#define RT_JWK_H

#include <stdbool.h>
#include <stddef.h>

#include "jsondoc.h"
#include "jsonscan.h"

/* In the order of their names in jwk.c. EdDSA is missing: cjose does not know it. */
enum jwk_algorithm
{
	JWK_HS256,
	JWK_HS384,
	JWK_HS512,
	JWK_RS256,
	JWK_RS384,
	JWK_RS512,
	JWK_PS256,
	JWK_PS384,
	JWK_PS512,
	JWK_ES256,
	JWK_ES384,
	JWK_ES512,
	JWK_ALGORITHMS
};

/* The algorithm of a name, -1 when there is none ("none" is none). */
int			jwk_find_algorithm(struct slice name);

struct jwk;

/* A shared secret. */
struct jwk *jwk_new_secret(const char *secret, size_t len);

/*
 * A key as JSON. RT_UNSUPPORTED when it is well-formed but not for verifying signatures here (another
 * use, type, curve or algorithm, too short), RT_MALFORMED when it is no key. The caller frees *jwk.
 */
int			jwk_new_json(const struct jsondoc *json, struct jwk **jwk) RT_MUST_CHECK;
void		jwk_free(struct jwk *jwk);

/* The key's name, NULL when it has none. */
const char *jwk_kid(const struct jwk *jwk);

/* Whether the key is a shared secret. */
bool		jwk_is_secret(const struct jwk *jwk);

/* Whether the key may verify signatures of this algorithm: family, curve, and its own "alg" say. */
bool		jwk_fits(const struct jwk *jwk, enum jwk_algorithm algorithm);

/*
 * Verifies a token in compact form (three parts, strictly base64url) whose header names the algorithm;
 * signature_len is the signature's length in bytes.
 */
bool		jwk_verify(const struct jwk *jwk, enum jwk_algorithm algorithm, struct slice token,
					   size_t signature_len);

#endif
