/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_auth.c
 *	  Tokens and key sets. The first byte says what the rest is: a token as it is; a header and claims, a
 *	  line break between them, which are signed here with the right secret; or a key set.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth.h"
#include "keyset.h"
#include "log.h"
#include "memory.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER_KEYS \
	"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"

int			LLVMFuzzerInitialize(int *argc, char ***argv);
int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct auth *auth;		/* for the process's life */

/* A file with a text; it may be removed once it was read. */
static char *
make_file(const char *text)
{
	char	   *name = strdup("/tmp/fuzz_auth.XXXXXX");
	int			fd = mkstemp(name);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
		abort();
	close(fd);
	return name;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char		error[200];
	char	   *secret = make_file(SECRET);
	char	   *keys = make_file(OTHER_KEYS);
	const struct auth_config config = {
		.secret_file = secret,
		.jwks = keys,
		.jwks_refresh_s = 86400,
		.role_claim = "app.role",
		.default_role = "web",
		.leeway_s = 5,
	};

	(void) argc;
	(void) argv;
	log_set_level(LOG_LEVEL_ERROR);
	auth = auth_new(&config, error, sizeof(error));
	if (auth == NULL)
		abort();
	unlink(secret);
	unlink(keys);
	free(secret);
	free(keys);
	return 0;
}

/* base64url of len bytes at the end of a text. */
static void
append_encoded(char *text, const uint8_t *bytes, size_t len)
{
	char	   *at = text + strlen(text);
	int			n = EVP_EncodeBlock((unsigned char *) at, bytes, (int) len);

	while (n > 0 && at[n - 1] == '=')
		at[--n] = '\0';
	for (; *at != '\0'; at++)
		*at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
}

/* Checks a token; what is accepted must make sense. */
static void
check_token(const char *token, size_t len, bool is_signed)
{
	struct identity *identity;
	const char *why;
	int			result = auth_check(auth, token, len, &identity, &why);

	if ((result == RT_OK) != (why == NULL) || (result == RT_OK) != (identity != NULL))
		abort();
	if (result == RT_OK)
	{
		if (!is_signed || strlen(identity->role) == 0 || strlen(identity->role) > 63
			|| strcmp(identity->role, "none") == 0 || identity->expires < 0 || *identity->claims == '\0')
			abort();
		identity_unref(identity);
	}
}

/* Signs header and claims. */
static void
check_claims(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t		header_len = newline ? (size_t) (newline - data) : 0;
	char	   *token;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned	mac_len;

	if (newline == NULL)
		return;
	token = memory_alloc_zeroed(size * 2 + 200);
	append_encoded(token, data, header_len);
	strcat(token, ".");
	append_encoded(token, newline + 1, size - header_len - 1);
	HMAC(EVP_sha256(), SECRET, (int) strlen(SECRET), (unsigned char *) token, strlen(token), mac, &mac_len);
	strcat(token, ".");
	append_encoded(token, mac, mac_len);
	check_token(token, strlen(token), true);
	memory_free(token);
}

/* Reads a key set and looks keys up in it. */
static void
check_keys(const char *text, size_t len)
{
	struct keyset *set = keyset_new();
	unsigned	added;
	int			result = keyset_add_json(set, text, len, true, &added);

	if (added > KEYSET_MAX || (added > 0) == keyset_is_empty(set) || (result == RT_MALFORMED && added > 0))
		abort();
	for (int algorithm = 0; algorithm < JWK_ALGORITHMS; algorithm++)
	{
		const struct jwk *jwk = keyset_find(set, (enum jwk_algorithm) algorithm, "a");

		if (jwk != NULL && (!jwk_fits(jwk, (enum jwk_algorithm) algorithm)
							|| jwk_is_secret(jwk) != (algorithm <= JWK_HS512)))
			abort();
		if (jwk != NULL)
			(void) jwk_verify(jwk, (enum jwk_algorithm) algorithm,
							  (struct slice) {"eyJhbGciOiJIUzI1NiJ9.e30.AAAA", 29}, 3);
	}
	keyset_unref(set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy;

	if (size == 0)
		return 0;
	copy = memory_alloc(size);
	memcpy(copy, data, size);	/* exactly as long, so that reading beyond is seen */
	switch (*copy)
	{
		case 't':
			check_token(copy + 1, size - 1, false);
			break;
		case 'k':
			check_keys(copy + 1, size - 1);
			break;
		default:
			check_claims(data + 1, size - 1);
			break;
	}
	memory_free(copy);
	return 0;
}
