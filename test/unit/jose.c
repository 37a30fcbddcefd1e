/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jose.c
 *	  See jose.h.
 */
#include "jose.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjose/cjose.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

struct jose_key
{
	cjose_jwk_t *jwk;
};

char *
jose_encode(const void *bytes, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *in = bytes;
	char	   *text = malloc(len * 4 / 3 + 3);
	size_t		n = 0;
	unsigned	bits = 0;
	unsigned	nbits = 0;

	for (size_t i = 0; i < len; i++)
	{
		bits = (bits << 8 | in[i]) & 0xffff;
		for (nbits += 8; nbits >= 6; nbits -= 6)
			text[n++] = alphabet[bits >> (nbits - 6) & 63];
	}
	if (nbits > 0)
		text[n++] = alphabet[bits << (6 - nbits) & 63];
	text[n] = '\0';
	return text;
}

char *
jose_sign_secret(const void *secret, size_t len, unsigned bits, const char *header, const char *claims)
{
	char	   *first = jose_encode(header, strlen(header));
	char	   *second = jose_encode(claims, strlen(claims));
	char	   *token = malloc(strlen(first) + strlen(second) + 200);
	const EVP_MD *hash = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned	mac_len;
	char	   *third;

	sprintf(token, "%s.%s", first, second);
	HMAC(hash, secret, (int) len, (unsigned char *) token, strlen(token), mac, &mac_len);
	third = jose_encode(mac, mac_len);
	strcat(strcat(token, "."), third);
	free(first);
	free(second);
	free(third);
	return token;
}

struct jose_key *
jose_key_new(const char *type, const char *kid)
{
	struct jose_key *key = malloc(sizeof(*key));

	if (strcmp(type, "oct") == 0)
		key->jwk = cjose_jwk_create_oct_random(512, NULL);
	else if (strcmp(type, "RSA") == 0)
		key->jwk = cjose_jwk_create_RSA_random(2048, (const uint8_t *) "\x01\x00\x01", 3, NULL);
	else
		key->jwk = cjose_jwk_create_EC_random(strcmp(type, "P-256") == 0 ? CJOSE_JWK_EC_P_256
											  : strcmp(type, "P-384") == 0 ? CJOSE_JWK_EC_P_384
											  : CJOSE_JWK_EC_P_521, NULL);
	assert(key->jwk != NULL);
	if (kid != NULL)
		cjose_jwk_set_kid(key->jwk, kid, strlen(kid), NULL);
	return key;
}

void
jose_key_free(struct jose_key *key)
{
	cjose_jwk_release(key->jwk);
	free(key);
}

char *
jose_key_json(const struct jose_key *key, const char *extra)
{
	char	   *json = cjose_jwk_to_json(key->jwk, cjose_jwk_get_kty(key->jwk, NULL) == CJOSE_JWK_KTY_OCT,
										 NULL);
	char	   *text = malloc(strlen(json) + (extra ? strlen(extra) : 0) + 2);

	strcpy(text, json);
	if (extra != NULL)
		sprintf(text + strlen(text) - 1, ",%s}", extra);
	cjose_get_dealloc()(json);
	return text;
}

char *
jose_sign(const struct jose_key *key, const char *alg, const char *kid, const char *claims)
{
	cjose_header_t *header = cjose_header_new(NULL);
	const char *text;
	cjose_jws_t *jws;
	char	   *token;

	cjose_header_set(header, CJOSE_HDR_ALG, alg, NULL);
	if (kid != NULL)
		cjose_header_set(header, CJOSE_HDR_KID, kid, NULL);
	jws = cjose_jws_sign(key->jwk, header, (const uint8_t *) claims, strlen(claims), NULL);
	assert(jws != NULL && cjose_jws_export(jws, &text, NULL));
	token = strdup(text);
	cjose_jws_release(jws);
	cjose_header_release(header);
	return token;
}
