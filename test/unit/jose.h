/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jose.h
 *	  Makes tokens and keys for tests: the signer's side.
 *
 * All texts are malloc'd.
 */
#ifndef RT_TEST_JOSE_H
#define RT_TEST_JOSE_H

#include <stddef.h>

/* base64url of len bytes. */
char	   *jose_encode(const void *bytes, size_t len);

/* header.claims signed with HMAC-SHA256/384/512 (bits), whatever the header says. */
char	   *jose_sign_secret(const void *secret, size_t len, unsigned bits, const char *header,
							 const char *claims);

/* A random key: "oct", "RSA" (2048 bits), "P-256", "P-384", "P-521"; the public part as JSON in a set. */
struct jose_key;
struct jose_key *jose_key_new(const char *type, const char *kid);
void		jose_key_free(struct jose_key *key);

/* The key as a JSON Web Key, public part only but for oct; extra ("\"use\":\"sig\"") may be NULL. */
char	   *jose_key_json(const struct jose_key *key, const char *extra);

/* Claims signed by a key with an algorithm; the header has alg, and kid unless it is NULL. */
char	   *jose_sign(const struct jose_key *key, const char *alg, const char *kid, const char *claims);

#endif
