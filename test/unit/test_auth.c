/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_auth.c
 *	  Tokens: the known answers of RFC 7515 and 7519, what must be refused, claims, changing keys.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth.h"
#include "httpd.h"
#include "jose.h"
#include "log.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

/* A file with a text, whose name the caller frees after unlinking it. */
static char *
make_file(const char *text)
{
	char	   *name = strdup("/tmp/test_auth.XXXXXX");
	int			fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	close(fd);
	return name;
}

/* Writes a file anew, whole. */
static void
replace_file(const char *name, const char *text)
{
	char	   *other = make_file(text);

	assert_int_equal(rename(other, name), 0);
	free(other);
}

static void
remove_file(char *name)
{
	unlink(name);
	free(name);
}

static struct auth *
make_auth(const struct auth_config *config)
{
	char		error[200] = "";
	struct auth *auth = auth_new(config, error, sizeof(error));

	if (auth == NULL)
		fail_msg("auth_new: %s", error);
	return auth;
}

/* An auth with keys in a file, which it does not need any more. */
static struct auth *
make_auth_json(struct auth_config config, const char *json)
{
	char	   *name = make_file(json);
	struct auth *auth;

	config.jwks = name;
	config.jwks_refresh_s = 3600;
	auth = make_auth(&config);
	remove_file(name);
	return auth;
}

static struct auth *
make_auth_secret(struct auth_config config, const char *secret)
{
	char	   *name = make_file(secret);
	struct auth *auth;

	config.secret_file = name;
	auth = make_auth(&config);
	remove_file(name);
	return auth;
}

/* The reason why a token is refused, "ok" when it is not. */
static const char *
check(struct auth *auth, const char *token)
{
	struct identity *identity = NULL;
	const char *why = NULL;
	int			result = auth_check(auth, token, strlen(token), &identity, &why);

	assert_true((result == RT_OK) == (identity != NULL));
	assert_true((result == RT_OK) == (why == NULL));
	identity_unref(identity);
	return why ? why : "ok";
}

/* The same for a token that is signed with SECRET here. */
static const char *
check_signed(struct auth *auth, const char *header, const char *claims)
{
	char	   *token = jose_sign_secret(SECRET, strlen(SECRET), 256, header, claims);
	const char *why = check(auth, token);

	free(token);
	return why;
}

/* RFC 7515, A.1 to A.4. Their claims expired in 2011: the greatest leeway lets them pass. */
#define RFC_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_TEXT "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"

static const struct
{
	const char *key;
	const char *token;
	const char *without_leeway;
}			known[] = {
	{"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}",
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS
	".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "expired"},
	{"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}",
		"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS
		".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
	"expired"},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
		"eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", "expired"},
};

static void
test_known_answers(void **state)
{
	struct auth_config config = {.leeway_s = UINT_MAX, .default_role = "web"};

	(void) state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		struct auth *auth = make_auth_json(config, known[i].key);
		struct auth *strict = make_auth_json((struct auth_config) {.default_role = "web"}, known[i].key);
		char	   *token = strdup(known[i].token);
		struct identity *identity;
		const char *why = NULL;

		assert_int_equal(auth_check(auth, token, strlen(token), &identity, &why), RT_OK);
		assert_string_equal(identity->claims, RFC_TEXT);
		assert_string_equal(identity->role, "web");
		assert_null(identity->user);
		assert_int_equal(identity->expires, 1300819380);
		assert_false(identity->is_anonymous);
		identity_unref(identity);
		assert_string_equal(check(strict, token), known[i].without_leeway);

		/* one bit of the claims, then of the signature */
		strchr(token, '.')[12] = 'B';
		assert_string_equal(check(auth, token), "signature");
		strcpy(token, known[i].token);
		token[strlen(token) - 10] = token[strlen(token) - 10] == 'A' ? 'B' : 'A';
		assert_string_equal(check(auth, token), "signature");
		free(token);
		auth_free(auth);
		auth_free(strict);
	}
}

/* Every algorithm with a key of its type passes; with every other algorithm's signature it does not. */
static void
test_algorithms(void **state)
{
	static const struct
	{
		const char *alg;
		const char *type;
	}			all[] = {{"HS256", "oct"}, {"HS384", "oct"}, {"HS512", "oct"}, {"RS256", "RSA"}, {"RS384", "RSA"},
	{"RS512", "RSA"}, {"PS256", "RSA"}, {"PS384", "RSA"}, {"PS512", "RSA"}, {"ES256", "P-256"},
	{"ES384", "P-384"}, {"ES512", "P-521"}};
	static const char *const types[] = {"oct", "RSA", "P-256", "P-384", "P-521"};
	struct jose_key *keys[5];
	char		set[8192] = "{\"keys\":[";
	struct auth *auth;

	(void) state;
	for (size_t i = 0; i < 5; i++)
	{
		char	   *json;

		keys[i] = jose_key_new(types[i], types[i]);
		json = jose_key_json(keys[i], "\"use\":\"sig\"");
		strcat(strcat(set, i ? "," : ""), json);
		free(json);
	}
	strcat(set, "]}");
	auth = make_auth_json((struct auth_config) {
		.algorithms = "HS256, HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512"
	}, set);
	for (size_t i = 0; i < 12; i++)
	{
		for (size_t k = 0; k < 5; k++)
		{
			char	   *token;

			if (strcmp(all[i].type, types[k]) != 0)
				continue;
			token = jose_sign(keys[k], all[i].alg, types[k], "{\"role\":\"web\"}");
			assert_string_equal(check(auth, token), "ok");
			free(token);

			/* the only fitting key is found without kid; kid of a key of another type is not */
			token = jose_sign(keys[k], all[i].alg, NULL, "{\"role\":\"web\"}");
			assert_string_equal(check(auth, token), "ok");
			free(token);
			token = jose_sign(keys[k], all[i].alg, types[(k + 1) % 5], "{\"role\":\"web\"}");
			assert_string_equal(check(auth, token), "unknown key");
			free(token);
		}
	}
	auth_free(auth);

	/* The same set, the default algorithms. */
	auth = make_auth_json((struct auth_config) {0}, set);
	for (size_t i = 0; i < 12; i++)
	{
		for (size_t k = 0; k < 5; k++)
		{
			char	   *token;
			bool		is_default = strcmp(all[i].alg + 2, "256") == 0 && all[i].alg[0] != 'P';

			if (strcmp(all[i].type, types[k]) != 0)
				continue;
			token = jose_sign(keys[k], all[i].alg, types[k], "{\"role\":\"web\"}");
			assert_string_equal(check(auth, token), is_default ? "ok" : "algorithm");
			free(token);
		}
	}
	auth_free(auth);
	for (size_t i = 0; i < 5; i++)
		jose_key_free(keys[i]);
}

/* A public key is no secret: HS256 "signed" with whatever of it an attacker may take for one. */
static void
test_public_key_as_secret(void **state)
{
	struct jose_key *rsa = jose_key_new("RSA", "k");
	char	   *json = jose_key_json(rsa, NULL);
	struct auth *auth = make_auth_json((struct auth_config) {0}, json);
	char	   *n = strstr(json, "\"n\":\"") + 5;
	char	   *token;

	(void) state;
	token = jose_sign_secret(json, strlen(json), 256, "{\"alg\":\"HS256\",\"kid\":\"k\"}", "{\"role\":\"web\"}");
	assert_string_equal(check(auth, token), "unknown key");
	free(token);
	token = jose_sign_secret(n, strcspn(n, "\""), 256, "{\"alg\":\"HS256\",\"kid\":\"k\"}", "{\"role\":\"web\"}");
	assert_string_equal(check(auth, token), "unknown key");
	free(token);
	token = jose_sign_secret("", 0, 256, HS256, "{\"role\":\"web\"}");
	assert_string_equal(check(auth, token), "unknown key");
	free(token);
	token = jose_sign(rsa, "RS256", "k", "{\"role\":\"web\"}");
	assert_string_equal(check(auth, token), "ok");
	free(token);
	auth_free(auth);
	free(json);
	jose_key_free(rsa);
}

/* What a key says about itself binds; what is no key for signatures is no key. */
static void
test_key_marks(void **state)
{
	static const struct
	{
		const char *extra;
		const char *alg;
		const char *why;
	}			cases[] = {
		{NULL, "RS256", "ok"},
		{"\"alg\":\"RS256\"", "RS256", "ok"},
		{"\"alg\":\"PS256\"", "RS256", "unknown key"},
		{"\"use\":\"sig\"", "RS256", "ok"},
		{"\"use\":\"enc\"", "RS256", "unknown key"},
		{"\"use\":7", "RS256", "unknown key"},
		{"\"key_ops\":[\"verify\"]", "RS256", "ok"},
		{"\"key_ops\":[\"encrypt\"]", "RS256", "unknown key"},
		{"\"key_ops\":[]", "RS256", "unknown key"},
		{"\"alg\":\"RSA-OAEP\"", "RS256", "unknown key"},
		{"\"alg\":\"HS256\"", "RS256", "unknown key"},
		{"\"alg\":1", "RS256", "unknown key"},
	};
	struct jose_key *rsa = jose_key_new("RSA", "k");
	struct jose_key *other = jose_key_new("P-256", "other");
	char	   *other_json = jose_key_json(other, NULL);

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *json = jose_key_json(rsa, cases[i].extra);
		char	   *set = malloc(strlen(json) + strlen(other_json) + 100);
		char	   *token = jose_sign(rsa, cases[i].alg, "k", "{\"role\":\"web\"}");
		struct auth *auth;

		sprintf(set, "{\"keys\":[%s,{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"},{},7,%s]}", json,
				other_json);
		auth = make_auth_json((struct auth_config) {0}, set);
		if (strcmp(check(auth, token), cases[i].why) != 0)
			fail_msg("%s: %s", cases[i].extra, check(auth, token));
		auth_free(auth);
		free(token);
		free(set);
		free(json);
	}
	free(other_json);
	jose_key_free(other);
	jose_key_free(rsa);
}

/* Keys that are broken are skipped, and nothing more happens: cjose would end the program over some. */
static void
test_broken_keys(void **state)
{
	static const char *const broken[] = {
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybR=lzo0\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"A\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"n\":7,\"e\":[]}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-1\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
		"{\"kty\":\"EC\",\"crv\":7,\"x\":\"AAAA\",\"y\":\"AAAA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"===\",\"y\":\"/+\"}",
		"{\"kty\":\"oct\",\"k\":\"\"}",
		"{\"kty\":\"oct\",\"k\":\"A\"}",
		"{\"kty\":\"oct\"}",
		"{\"kty\":[]}",
		"[]",
	};
	struct jose_key *key = jose_key_new("P-256", "good");
	char	   *json = jose_key_json(key, NULL);
	char	   *token = jose_sign(key, "ES256", "good", "{\"role\":\"web\"}");

	(void) state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
	{
		char		set[2000];
		struct auth *auth;

		snprintf(set, sizeof(set), "{\"keys\":[%s,%s]}", broken[i], json);
		auth = make_auth_json((struct auth_config) {0}, set);
		assert_string_equal(check(auth, token), "ok");
		auth_free(auth);
	}
	free(token);
	free(json);
	jose_key_free(key);
}

/* A curve that is not the algorithm's, and signatures of another length, among them that of zeros. */
static void
test_curves(void **state)
{
	struct jose_key *key = jose_key_new("P-384", NULL);
	char	   *json = jose_key_json(key, NULL);
	struct auth *auth = make_auth_json((struct auth_config) {.algorithms = "ES256,ES384"}, json);
	char	   *token = jose_sign(key, "ES256", NULL, "{\"role\":\"web\"}");
	char		zeros[600];

	(void) state;
	assert_string_equal(check(auth, token), "unknown key");
	free(token);
	token = jose_sign(key, "ES384", NULL, "{\"role\":\"web\"}");
	assert_string_equal(check(auth, token), "ok");
	for (size_t n = 0; n <= 200; n += 4)
	{
		snprintf(zeros, sizeof(zeros), "%.*s", (int) (strrchr(token, '.') - token) + 1, token);
		for (size_t i = 0; i < n; i++)
			strcat(zeros, "A");
		assert_string_equal(check(auth, zeros), "signature");
	}
	token[strlen(token) - 4] = '\0';
	assert_string_equal(check(auth, token), "signature");
	free(token);
	auth_free(auth);
	free(json);
	jose_key_free(key);
}

/* Headers that must be refused, each with a good signature of the secret. */
static void
test_headers(void **state)
{
	static const struct
	{
		const char *header;
		const char *why;
	}			cases[] = {
		{HS256, "ok"},
		{"{\"alg\":\"HS256\"}", "ok"},
		{" {\"alg\" : \"HS256\" , \"typ\":\"at+jwt\"}\r\n", "ok"},
		{"{\"alg\":\"HS256\",\"kid\":\"any\"}", "ok"},	/* the secret has no name: the only fitting key */
		{"{\"alg\":\"HS256\",\"kid\":7}", "malformed"},
		{"{\"alg\":\"none\"}", "algorithm"},
		{"{\"alg\":\"None\"}", "algorithm"},
		{"{\"alg\":\"NONE\"}", "algorithm"},
		{"{\"alg\":\"\"}", "algorithm"},
		{"{\"alg\":\"hs256\"}", "algorithm"},
		{"{\"alg\":\"HS256 \"}", "algorithm"},
		{"{\"alg\":\"HS512\"}", "algorithm"},
		{"{\"alg\":\"HS256\\u0000\"}", "malformed"},
		{"{\"alg\":\"RS256\"}", "unknown key"},
		{"{\"alg\":\"ES256\"}", "unknown key"},
		{"{\"alg\":[\"HS256\"]}", "malformed"},
		{"{\"alg\":null}", "malformed"},
		{"{}", "malformed"},
		{"", "malformed"},
		{"[]", "malformed"},
		{"\"HS256\"", "malformed"},
		{"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "malformed"},
		{"{\"alg\":\"none\",\"alg\":\"HS256\"}", "malformed"},
		{"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "critical header"},
		{"{\"alg\":\"HS256\",\"crit\":[]}", "critical header"},
		{"{\"alg\":\"HS256\",\"crit\":[\"alg\"]}", "critical header"},
		{"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", "critical header"},
		{"{\"alg\":\"HS256\",\"b64\":false}", "critical header"},
		{"{\"alg\":\"HS256\",\"enc\":\"A128GCM\"}", "critical header"},
		{"{\"alg\":\"dir\",\"enc\":\"A128GCM\"}", "critical header"},
		{"{\"alg\":\"HS256\",\"zip\":\"DEF\"}", "critical header"},
		{"{\"alg\":\"HS256\"} x", "malformed"},
		{"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "malformed"},
	};
	struct auth *auth = make_auth_secret((struct auth_config) {0}, SECRET);

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *why = check_signed(auth, cases[i].header, "{\"role\":\"web\"}");

		if (strcmp(why, cases[i].why) != 0)
			fail_msg("%s: %s", cases[i].header, why);
	}
	auth_free(auth);
}

/* A key that a token brings along is not used. */
static void
test_embedded_key(void **state)
{
	struct auth *auth = make_auth_secret((struct auth_config) {0}, SECRET);
	const char *own = "attackers-secret-attackers-secret";
	char	   *k = jose_encode(own, strlen(own));
	char		header[300];
	char	   *token;

	(void) state;
	snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"%s\"},"
			 "\"jku\":\"http://127.0.0.1:1/\",\"x5u\":\"http://127.0.0.1:1/\"}", k);
	token = jose_sign_secret(own, strlen(own), 256, header, "{\"role\":\"web\"}");
	assert_string_equal(check(auth, token), "signature");
	free(token);
	free(k);
	auth_free(auth);
}

/* The form of a token: three parts, each the one encoding of its bytes; bounded. */
static void
test_form(void **state)
{
	struct auth *auth = make_auth_secret((struct auth_config) {0}, SECRET);
	char	   *token = jose_sign_secret(SECRET, strlen(SECRET), 256, HS256, "{\"role\":\"web\"}");
	size_t		len = strlen(token);
	char	   *bad = malloc(AUTH_TOKEN_MAX + 100);
	struct identity *identity;
	const char *why;

	(void) state;
	assert_string_equal(check(auth, token), "ok");
	static const char *const suffixes[] = {"=", ".", ".x", ".x.y", "\n", " ", "+", "/", "A", "\xc3\xa4"};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
	{
		sprintf(bad, "%s%s", token, suffixes[i]);
		if (strcmp(check(auth, bad), "malformed") != 0 && strcmp(check(auth, bad), "signature") != 0)
			fail_msg("suffix %s: %s", suffixes[i], check(auth, bad));
		sprintf(bad, "%s%s", suffixes[i], token);
		assert_string_equal(check(auth, bad), "malformed");
	}

	/* 32 bytes in 43 characters: the last one's lower two bits must be clear */
	strcpy(bad, token);
	bad[len - 1] = (char) (bad[len - 1] + 1);
	assert_string_equal(check(auth, bad), "malformed");

	/* no signature; nothing at all */
	snprintf(bad, len + 1, "%.*s", (int) (strrchr(token, '.') - token) + 1, token);
	assert_string_equal(check(auth, bad), "signature");
	assert_string_equal(check(auth, ""), "malformed");
	assert_string_equal(check(auth, ".."), "malformed");
	assert_string_equal(check(auth, "."), "malformed");
	assert_string_equal(check(auth, "a.b"), "malformed");

	/* every prefix, with a null byte inside, and too long */
	for (size_t i = 0; i < len; i++)
	{
		snprintf(bad, len + 1, "%.*s", (int) i, token);
		assert_string_not_equal(check(auth, bad), "ok");
	}
	strcpy(bad, token);
	assert_int_not_equal(auth_check(auth, bad, len + 1, &identity, &why), RT_OK);
	assert_string_equal(why, "malformed");
	memset(bad, 'A', AUTH_TOKEN_MAX + 1);
	assert_int_equal(auth_check(auth, bad, AUTH_TOKEN_MAX + 1, &identity, &why), RT_TOO_LARGE);
	assert_string_equal(why, "too large");
	assert_int_not_equal(auth_check(auth, bad, AUTH_TOKEN_MAX, &identity, &why), RT_OK);
	assert_string_equal(why, "malformed");
	free(bad);
	free(token);
	auth_free(auth);
}

/* RFC 7519, section 6.1: a token without a signature. */
static void
test_unsecured(void **state)
{
	struct auth *auth = make_auth_secret((struct auth_config) {.leeway_s = UINT_MAX, .default_role = "web"},
										 SECRET);

	(void) state;
	assert_string_equal(check(auth, "eyJhbGciOiJub25lIn0." RFC_CLAIMS "."), "algorithm");
	assert_string_equal(check(auth, "eyJhbGciOiJub25lIn0." RFC_CLAIMS ".AAAA"), "algorithm");
	auth_free(auth);
}

static void
test_claims(void **state)
{
	static const struct
	{
		const char *claims;
		const char *why;
	}			cases[] = {
		{"{\"role\":\"web\"}", "ok"},
		{"[\"role\"]", "malformed"},
		{"\"web\"", "malformed"},
		{"7", "malformed"},
		{"null", "malformed"},
		{"", "malformed"},
		{"{\"role\":\"web\"", "malformed"},
		{"{\"role\":\"web\"}{}", "malformed"},
		{"{\"role\":\"web\",\"role\":\"admin\"}", "malformed"},
		{"{\"role\":\"web\",\"a\":{\"b\":1,\"b\":2}}", "malformed"},
		{"{\"role\":\"web\",\"r\\u006fle\":\"admin\"}", "malformed"},
		{"{\"role\":\"web\",\"sub\":7}", "malformed"},
		{"{\"role\":\"web\",\"sub\":null}", "malformed"},
		{"{\"role\":\"web\\u0000\"}", "malformed"},
		{"{\"role\":\"web\",\"n\":123456789012345678901234567890}", "ok"},
		{"{\"role\":\"web\",\"n\":1e400}", "malformed"},
		{"{}", "no role"},
		{"{\"role\":null}", "no role"},
		{"{\"role\":7}", "no role"},
		{"{\"role\":[\"web\"]}", "no role"},
		{"{\"role\":\"\"}", "no role"},
		{"{\"role\":\"none\"}", "no role"},
		{"{\"Role\":\"web\"}", "no role"},
		{"{\"role\":\"012345678901234567890123456789012345678901234567890123456789012\"}", "ok"},
		{"{\"role\":\"0123456789012345678901234567890123456789012345678901234567890123\"}", "no role"},
		{"{\"role\":\"web\",\"exp\":\"9999999999\"}", "malformed"},
		{"{\"role\":\"web\",\"exp\":null}", "malformed"},
		{"{\"role\":\"web\",\"nbf\":true}", "malformed"},
		{"{\"role\":\"web\",\"iat\":[]}", "malformed"},
		{"{\"role\":\"web\",\"exp\":0}", "expired"},
		{"{\"role\":\"web\",\"exp\":-1}", "expired"},
		{"{\"role\":\"web\",\"exp\":-1e300}", "expired"},
		{"{\"role\":\"web\",\"exp\":-9223372036854775808}", "expired"},
		{"{\"role\":\"web\",\"exp\":1300819380.5}", "expired"},
		{"{\"role\":\"web\",\"exp\":9223372036854775807}", "ok"},
		{"{\"role\":\"web\",\"exp\":18446744073709551616}", "ok"},
		{"{\"role\":\"web\",\"exp\":1e300}", "ok"},
		{"{\"role\":\"web\",\"nbf\":1e300}", "not yet valid"},
		{"{\"role\":\"web\",\"nbf\":-1e300}", "ok"},
		{"{\"role\":\"web\",\"iat\":9223372036854775807}", "not yet valid"},
	};
	struct auth *auth = make_auth_secret((struct auth_config) {.leeway_s = UINT_MAX}, SECRET);
	struct auth *strict = make_auth_secret((struct auth_config) {0}, SECRET);

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *why = check_signed(strict, HS256, cases[i].claims);

		if (strcmp(why, cases[i].why) != 0)
			fail_msg("%s: %s", cases[i].claims, why);
	}

	/* the greatest leeway does not overflow */
	assert_string_equal(check_signed(auth, HS256, "{\"role\":\"web\",\"exp\":9223372036854775807}"), "ok");
	assert_string_equal(check_signed(auth, HS256, "{\"role\":\"web\",\"exp\":-1}"), "expired");
	assert_string_equal(check_signed(auth, HS256, "{\"role\":\"web\",\"nbf\":9223372036854775807}"),
						"not yet valid");
	auth_free(auth);
	auth_free(strict);
}

/* Seconds around now. Time may pass during the test: each case stays on its side then. */
static void
test_leeway(void **state)
{
	static const struct
	{
		const char *name;
		int			offset;
		const char *why;
	}			cases[] = {
		{"exp", -60, "expired"},
		{"exp", -59 + 30, "ok"},
		{"exp", -61, "expired"},
		{"exp", 30, "ok"},
		{"nbf", 60, "ok"},
		{"nbf", 60 + 30, "not yet valid"},
		{"nbf", -1, "ok"},
		{"iat", 60, "ok"},
		{"iat", 60 + 30, "not yet valid"},
	};
	struct auth *auth = make_auth_secret((struct auth_config) {.leeway_s = 60}, SECRET);
	struct auth *strict = make_auth_secret((struct auth_config) {0}, SECRET);
	char		claims[100];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *why;

		snprintf(claims, sizeof(claims), "{\"role\":\"web\",\"%s\":%lld}", cases[i].name,
				 (long long) time(NULL) + cases[i].offset);
		why = check_signed(auth, HS256, claims);
		if (strcmp(why, cases[i].why) != 0)
			fail_msg("%s %d: %s", cases[i].name, cases[i].offset, why);
	}
	snprintf(claims, sizeof(claims), "{\"role\":\"web\",\"exp\":%lld}", (long long) time(NULL));
	assert_string_equal(check_signed(strict, HS256, claims), "expired");
	snprintf(claims, sizeof(claims), "{\"role\":\"web\",\"nbf\":%lld}", (long long) time(NULL));
	assert_string_equal(check_signed(strict, HS256, claims), "ok");
	auth_free(auth);
	auth_free(strict);
}

static void
test_audience_issuer(void **state)
{
	static const struct
	{
		const char *claims;
		const char *why;
	}			cases[] = {
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":\"shop\"}", "ok"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":[\"shop\"]}", "ok"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":[\"other\",\"shop\"]}", "ok"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":[\"other\"]}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":[]}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":[\"shop\",7]}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":{\"shop\":1}}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":\"shops\"}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":\"\"}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\",\"aud\":7}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"me\"}", "audience"},
		{"{\"role\":\"web\",\"iss\":\"you\",\"aud\":\"shop\"}", "issuer"},
		{"{\"role\":\"web\",\"iss\":[\"me\"],\"aud\":\"shop\"}", "issuer"},
		{"{\"role\":\"web\",\"aud\":\"shop\"}", "issuer"},
	};
	struct auth *auth = make_auth_secret((struct auth_config) {.audience = "shop", .issuer = "me"}, SECRET);

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *why = check_signed(auth, HS256, cases[i].claims);

		if (strcmp(why, cases[i].why) != 0)
			fail_msg("%s: %s", cases[i].claims, why);
	}
	auth_free(auth);
}

/* Where the role is, and the identity that comes of it. */
static void
test_identity(void **state)
{
	static const struct
	{
		const char *path;
		const char *claims;
		const char *role;
	}			cases[] = {
		{"app.role", "{\"app\":{\"role\":\"web\"}}", "web"},
		{"app.role", "{\"app.role\":\"dotted\",\"app\":{\"role\":\"web\"}}", "dotted"},
		{"https://x.example/role", "{\"https://x.example/role\":\"url\"}", "url"},
		{"a.b.c", "{\"a\":{\"b\":{\"c\":\"deep\"}}}", "deep"},
		{"a.b.c", "{\"a\":{\"b\":\"c\"}}", "fallback"},
		{"a.b", "{\"a\":7}", "fallback"},
		{"role", "{}", "fallback"},
		{"role", "{\"role\":7}", NULL},
		{".", "{\"\":{\"\":\"odd\"}}", "odd"},
	};
	char	   *token;
	struct identity *identity;
	const char *why;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct auth *auth = make_auth_secret((struct auth_config) {
			.role_claim = cases[i].path, .default_role = "fallback"
		}, SECRET);
		int			result;

		token = jose_sign_secret(SECRET, strlen(SECRET), 256, HS256, cases[i].claims);
		result = auth_check(auth, token, strlen(token), &identity, &why);
		assert_int_equal(result == RT_OK, cases[i].role != NULL);
		if (result == RT_OK)
			assert_string_equal(identity->role, cases[i].role);
		identity_unref(identity);
		free(token);
		auth_free(auth);
	}

	struct auth *auth = make_auth_secret((struct auth_config) {0}, SECRET "\n");
	const char *claims = "{ \"sub\" : \"u\\u00e442\", \"role\":\"web\",\"exp\":4102444800,\"x\":[1e5]}";

	token = jose_sign_secret(SECRET, strlen(SECRET), 256, HS256, claims);
	assert_int_equal(auth_check(auth, token, strlen(token), &identity, &why), RT_OK);
	assert_string_equal(identity->user, "u\xc3\xa4" "42");
	assert_string_equal(identity->claims, claims);
	assert_int_equal(identity->expires, 4102444800);
	assert_ptr_equal(identity_ref(identity), identity);
	identity_unref(identity);
	assert_string_equal(identity->role, "web");
	identity_unref(identity);
	free(token);
	auth_free(auth);
}

/* Settings that are refused at the start. */
static void
test_bad_settings(void **state)
{
	char	   *empty = make_file("");
	char	   *newline = make_file("\n");
	char	   *text = make_file("no json");
	char	   *no_keys = make_file("{\"keys\":[]}");
	char	   *twice = make_file("{\"keys\":[],\"keys\":[]}");
	const struct auth_config bad[] = {
		{.secret_file = "/nonexistent/secret"},
		{.secret_file = empty},
		{.secret_file = newline},
		{.jwks = "/nonexistent/jwks"},
		{.jwks = empty},
		{.jwks = text},
		{.jwks = no_keys},
		{.jwks = twice},
		{.jwks = "https://user:password@127.0.0.1:1/"},
		{.algorithms = "HS256,none"},
		{.algorithms = "EdDSA"},
		{.default_role = "none"},
	};
	char		error[200];

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		*error = '\0';
		assert_null(auth_new(&bad[i], error, sizeof(error)));
		assert_true(*error != '\0');
		assert_null(strstr(error, "password@"));
	}
	remove_file(empty);
	remove_file(newline);
	remove_file(text);
	remove_file(no_keys);
	remove_file(twice);

	struct auth *none = make_auth(&(struct auth_config) {0});

	assert_false(auth_has_keys(none));
	assert_string_equal(check(none, "a.b.c"), "no keys");
	auth_free(none);
}

/* SIGHUP: files are read again; when one is no good, all keys stay. */
static void
test_reload(void **state)
{
	struct jose_key *ec = jose_key_new("P-256", "a");
	char	   *json = jose_key_json(ec, NULL);
	char	   *secret_file = make_file(SECRET);
	char	   *jwks = make_file(json);
	struct auth *auth = make_auth(&(struct auth_config) {
		.secret_file = secret_file, .jwks = jwks, .jwks_refresh_s = 3600, .default_role = "web"
	});
	char	   *by_secret = jose_sign_secret(SECRET, strlen(SECRET), 256, HS256, "{}");
	char	   *by_key = jose_sign(ec, "ES256", "a", "{}");
	char		error[200] = "";

	(void) state;
	assert_true(auth_has_keys(auth));
	assert_string_equal(check(auth, by_secret), "ok");
	assert_string_equal(check(auth, by_key), "ok");

	replace_file(jwks, "{\"keys\":[");
	replace_file(secret_file, "another secret of thirty-two byte");
	assert_int_equal(auth_reload(auth, error, sizeof(error)), RT_MALFORMED);
	assert_non_null(strstr(error, jwks));
	assert_string_equal(check(auth, by_secret), "ok");
	assert_string_equal(check(auth, by_key), "ok");

	replace_file(jwks, json);
	assert_int_equal(auth_reload(auth, error, sizeof(error)), RT_OK);
	assert_string_equal(check(auth, by_secret), "signature");
	assert_string_equal(check(auth, by_key), "ok");

	auth_free(auth);
	remove_file(secret_file);
	remove_file(jwks);
	free(by_secret);
	free(by_key);
	free(json);
	jose_key_free(ec);
}

/* Checks a token until it gets an answer, for at most 10 s. */
static void
wait_until(struct auth *auth, const char *token, const char *why)
{
	time_t		end = time(NULL) + 10;

	while (strcmp(check(auth, token), why) != 0)
	{
		if (time(NULL) > end)
			fail_msg("still \"%s\", not \"%s\"", check(auth, token), why);
		nanosleep(&(struct timespec) {0, 1000000}, NULL);
	}
}

/* A file that changes is noticed without a signal. */
static void
test_file_rotation(void **state)
{
	struct jose_key *a = jose_key_new("P-256", "a");
	struct jose_key *b = jose_key_new("P-256", "b");
	char	   *json_a = jose_key_json(a, NULL);
	char	   *json_b = jose_key_json(b, NULL);
	char	   *jwks = make_file(json_a);
	struct auth *auth = make_auth(&(struct auth_config) {.jwks = jwks, .jwks_refresh_s = 1});
	char	   *by_a = jose_sign(a, "ES256", "a", "{\"role\":\"web\"}");
	char	   *by_b = jose_sign(b, "ES256", "b", "{\"role\":\"web\"}");

	(void) state;
	assert_string_equal(check(auth, by_a), "ok");
	replace_file(jwks, json_b);
	wait_until(auth, by_b, "ok");
	assert_string_equal(check(auth, by_a), "unknown key");
	auth_free(auth);
	remove_file(jwks);
	free(json_a);
	free(json_b);
	free(by_a);
	free(by_b);
	jose_key_free(a);
	jose_key_free(b);
}

/* What tests of a URL have in common: two keys, tokens of them, a server. */
struct url_case
{
	struct jose_key *a;
	struct jose_key *b;
	char	   *set_a;
	char	   *set_b;
	char	   *by_a;
	char	   *by_b;
	struct httpd *httpd;
};

static int
set_up_url(void **state)
{
	struct url_case *c = calloc(1, sizeof(*c));
	struct jose_key *secret = jose_key_new("oct", "s");
	char	   *json_secret = jose_key_json(secret, NULL);
	char	   *json_a;
	char	   *json_b;

	c->a = jose_key_new("P-256", "a");
	c->b = jose_key_new("P-256", "b");
	json_a = jose_key_json(c->a, NULL);
	json_b = jose_key_json(c->b, NULL);
	c->set_a = malloc(2000);
	c->set_b = malloc(2000);
	snprintf(c->set_a, 2000, "{\"keys\":[%s,%s]}", json_a, json_secret);
	snprintf(c->set_b, 2000, "{\"keys\":[%s,%s]}", json_a, json_b);
	c->by_a = jose_sign(c->a, "ES256", "a", "{\"role\":\"web\"}");
	c->by_b = jose_sign(c->b, "ES256", "b", "{\"role\":\"web\"}");
	c->httpd = httpd_new();
	free(json_a);
	free(json_b);
	free(json_secret);
	jose_key_free(secret);
	*state = c;
	return 0;
}

static int
tear_down_url(void **state)
{
	struct url_case *c = *state;

	httpd_free(c->httpd);
	jose_key_free(c->a);
	jose_key_free(c->b);
	free(c->set_a);
	free(c->set_b);
	free(c->by_a);
	free(c->by_b);
	free(c);
	return 0;
}

/* An unknown kid brings the new keys early; the next one so soon does not. Shared secrets are skipped. */
static void
test_url_rotation(void **state)
{
	struct url_case *c = *state;
	struct auth *auth;

	httpd_answer(c->httpd, "200 OK", c->set_a);
	auth = make_auth(&(struct auth_config) {.jwks = httpd_url(c->httpd), .jwks_refresh_s = 3600});
	assert_int_equal(httpd_count(c->httpd), 1);
	assert_string_equal(check(auth, c->by_a), "ok");
	assert_string_equal(check_signed(auth, "{\"alg\":\"HS256\",\"kid\":\"s\"}", "{}"), "unknown key");
	httpd_wait(c->httpd, 2);

	/* the early read is used up for 30 s */
	httpd_answer(c->httpd, "200 OK", c->set_b);
	for (int i = 0; i < 1000; i++)
		assert_string_equal(check(auth, c->by_b), "unknown key");
	assert_int_equal(httpd_count(c->httpd), 2);
	auth_free(auth);

	auth = make_auth(&(struct auth_config) {
		.jwks = httpd_url(c->httpd), .jwks_refresh_s = 3600, .jwks_early_s = 1
	});
	assert_string_equal(check(auth, c->by_b), "ok");
	auth_free(auth);

	httpd_answer(c->httpd, "200 OK", c->set_a);
	auth = make_auth(&(struct auth_config) {.jwks = httpd_url(c->httpd), .jwks_refresh_s = 3600});
	httpd_answer(c->httpd, "200 OK", c->set_b);
	wait_until(auth, c->by_b, "ok");
	assert_string_equal(check(auth, c->by_a), "ok");
	auth_free(auth);
}

/* Whatever goes wrong with a later read, the keys of before stay. */
static void
test_url_failures(void **state)
{
	struct url_case *c = *state;
	char	   *huge = malloc(400 * 1024);
	char		redirect[200];
	struct
	{
		const char *head;
		const char *body;
	}			bad[] = {
		{"500 Internal Server Error", c->set_b},
		{"404 Not Found", c->set_b},
		{redirect, c->set_b},
		{"200 OK", "<html>"},
		{"200 OK", "[]"},
		{"200 OK", huge},
		{"204 No Content", ""},
	};
	struct auth *auth;

	sprintf(huge, "{\"keys\":[],\"x\":\"%0*d\"}", 300 * 1024, 0);
	snprintf(redirect, sizeof(redirect), "302 Found\r\nLocation: %s", httpd_url(c->httpd));
	httpd_answer(c->httpd, "200 OK", c->set_a);
	auth = make_auth(&(struct auth_config) {.jwks = httpd_url(c->httpd), .jwks_refresh_s = 3600});
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char		error[100];
		unsigned	count = httpd_count(c->httpd);

		httpd_answer(c->httpd, bad[i].head, bad[i].body);
		assert_int_equal(auth_reload(auth, error, sizeof(error)), RT_OK);
		httpd_wait(c->httpd, count + 1);
		assert_string_equal(check(auth, c->by_a), "ok");
		assert_string_equal(check(auth, c->by_b), "unknown key");
	}
	free(huge);
	auth_free(auth);
}

/* A server that is not there at the start, or accepts and says nothing, is tried again. */
static void
test_url_late(void **state)
{
	struct url_case *c = *state;
	struct auth *auth = make_auth(&(struct auth_config) {.jwks = httpd_url(c->httpd), .jwks_refresh_s = 1});

	assert_true(auth_has_keys(auth));
	assert_string_equal(check(auth, c->by_a), "no keys");
	httpd_answer(c->httpd, "200 OK", c->set_a);
	wait_until(auth, c->by_a, "ok");

	/* a reader that waits for an answer can be stopped: else the test takes 10 s more, and fails */
	httpd_answer(c->httpd, NULL, "");
	httpd_wait(c->httpd, httpd_count(c->httpd) + 1);
	time_t		start = time(NULL);

	auth_free(auth);
	assert_true(time(NULL) - start < 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_public_key_as_secret),
		cmocka_unit_test(test_key_marks),
		cmocka_unit_test(test_broken_keys),
		cmocka_unit_test(test_curves),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_embedded_key),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_unsecured),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_leeway),
		cmocka_unit_test(test_audience_issuer),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_file_rotation),
		cmocka_unit_test_setup_teardown(test_url_rotation, set_up_url, tear_down_url),
		cmocka_unit_test_setup_teardown(test_url_failures, set_up_url, tear_down_url),
		cmocka_unit_test_setup_teardown(test_url_late, set_up_url, tear_down_url),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
