/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jwk.c
 *	  See jwk.h. The one file that knows cjose.
 *
 * cjose is not trusted with decisions: it does not compare an EC key's curve with the algorithm, nor a
 * signature's length with the key, it hands any key's memory to HMAC when asked, and some malformed input
 * ends the program in an assertion. All of that is checked here before it is called. Comparison in constant
 * time is its own.
 */
#include "jwk.h"

#include <string.h>

#include <cjose/cjose.h>
#include <openssl/err.h>

#include "base64url.h"
#include "buffer.h"
#include "memory.h"

#define RSA_MIN_BITS 2048		/* RFC 7518, section 3.3 */
#define RSA_MAX_BITS 8192		/* a verification takes milliseconds beyond */
#define RSA_MAX_EXPONENT 8		/* bytes; a long one makes verification slow */
#define EC_MAX 66				/* bytes of a coordinate on P-521 */
#define SECRET_MAX 4096			/* bytes */

enum family
{
	FAMILY_SECRET,
	FAMILY_RSA,
	FAMILY_EC
};

static const struct
{
	const char *name;
	enum family family;
	size_t		ec_bits;		/* the curve's, of EC */
}			algorithms[JWK_ALGORITHMS] = {
	[JWK_HS256] = {"HS256", FAMILY_SECRET, 0},
	[JWK_HS384] = {"HS384", FAMILY_SECRET, 0},
	[JWK_HS512] = {"HS512", FAMILY_SECRET, 0},
	[JWK_RS256] = {"RS256", FAMILY_RSA, 0},
	[JWK_RS384] = {"RS384", FAMILY_RSA, 0},
	[JWK_RS512] = {"RS512", FAMILY_RSA, 0},
	[JWK_PS256] = {"PS256", FAMILY_RSA, 0},
	[JWK_PS384] = {"PS384", FAMILY_RSA, 0},
	[JWK_PS512] = {"PS512", FAMILY_RSA, 0},
	[JWK_ES256] = {"ES256", FAMILY_EC, 256},
	[JWK_ES384] = {"ES384", FAMILY_EC, 384},
	[JWK_ES512] = {"ES512", FAMILY_EC, 521},
};

struct jwk
{
	cjose_jwk_t *key;
	enum family family;
	size_t		bits;
	int			algorithm;		/* the only one, -1 for all of the family */
	char	   *kid;
};

int
jwk_find_algorithm(struct slice name)
{
	for (int i = 0; i < JWK_ALGORITHMS; i++)
		if (slice_equals(name, algorithms[i].name))
			return i;
	return -1;
}

struct jwk *
jwk_new_secret(const char *secret, size_t len)
{
	struct jwk *jwk;
	cjose_jwk_t *key = cjose_jwk_create_oct_spec((const uint8_t *) secret, len, NULL);

	if (key == NULL)
		return NULL;			/* empty */
	jwk = memory_alloc_zeroed(sizeof(*jwk));
	jwk->key = key;
	jwk->family = FAMILY_SECRET;
	jwk->bits = len * 8;
	jwk->algorithm = -1;
	return jwk;
}

/* The family of a key type, -1 for those that are not known. */
static int
find_family(const char *type)
{
	if (strcmp(type, "oct") == 0)
		return FAMILY_SECRET;
	if (strcmp(type, "RSA") == 0)
		return FAMILY_RSA;
	return strcmp(type, "EC") == 0 ? FAMILY_EC : -1;
}

/* Whether a key says that it is for something else than verifying signatures. */
static bool
is_for_other_use(const struct jsondoc *json)
{
	const struct jsondoc *use = jsondoc_member(json, "use");
	const struct jsondoc *operations = jsondoc_member(json, "key_ops");

	if (use != NULL && (jsondoc_string(use) == NULL || strcmp(jsondoc_string(use), "sig") != 0))
		return true;
	if (operations == NULL)
		return false;
	for (size_t i = 0; i < jsondoc_length(operations); i++)
	{
		const char *operation = jsondoc_string(jsondoc_element(operations, i));

		if (operation != NULL && strcmp(operation, "verify") == 0)
			return false;
	}
	return true;
}

/* Whether the size of a key is one that is used. */
static bool
is_good_size(enum family family, size_t bits)
{
	switch (family)
	{
		case FAMILY_RSA:
			return bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS;
		case FAMILY_EC:
			return bits == 256 || bits == 384 || bits == 521;
		default:
			return bits > 0;
	}
}

/* Appends a member of a key that must be base64url of 1 to max bytes. */
static int
put_number(struct buffer *out, const struct jsondoc *json, const char *name, size_t max)
{
	const char *text = jsondoc_string(jsondoc_member(json, name));
	size_t		len = text ? strlen(text) : 0;
	char	   *bytes;
	long		n;

	if (len == 0 || len > max * 4 / 3 + 2)
		return RT_MALFORMED;
	bytes = memory_alloc(len);
	n = base64url_decode((struct slice) {text, len}, bytes);
	explicit_bzero(bytes, len);
	memory_free(bytes);
	if (n < 0 || (size_t) n > max)
		return RT_MALFORMED;
	buffer_puts(out, ",");
	buffer_puts_json(out, name);
	buffer_puts(out, ":");
	buffer_puts_json(out, text);
	return RT_OK;
}

/*
 * Writes a key anew with nothing but the numbers that verify: no private ones, and none that cjose would
 * choke on - it ends the program over bad base64.
 */
static int
write_key(struct buffer *out, const struct jsondoc *json, enum family family)
{
	const char *curve = jsondoc_string(jsondoc_member(json, "crv"));
	int			result;

	switch (family)
	{
		case FAMILY_SECRET:
			buffer_puts(out, "{\"kty\":\"oct\"");
			result = put_number(out, json, "k", SECRET_MAX);
			break;
		case FAMILY_RSA:
			buffer_puts(out, "{\"kty\":\"RSA\"");
			result = put_number(out, json, "n", RSA_MAX_BITS / 8 + 1);
			if (result == RT_OK)
				result = put_number(out, json, "e", RSA_MAX_EXPONENT);
			break;
		default:
			if (curve == NULL)
				return RT_MALFORMED;
			buffer_puts(out, "{\"kty\":\"EC\",\"crv\":");
			buffer_puts_json(out, curve);
			result = put_number(out, json, "x", EC_MAX);
			if (result == RT_OK)
				result = put_number(out, json, "y", EC_MAX);
			break;
	}
	buffer_puts(out, "}");
	return result;
}

/* Makes the key of a family from its JSON. */
static int
import_key(const struct jsondoc *json, enum family family, struct jwk **jwk)
{
	const char *kid = jsondoc_string(jsondoc_member(json, "kid"));
	struct buffer text;
	cjose_jwk_t *key = NULL;
	size_t		bits;

	buffer_init(&text);
	if (write_key(&text, json, family) == RT_OK)
		key = cjose_jwk_import(text.at, text.len, NULL);
	bits = key ? cjose_jwk_get_keysize(key, NULL) : 0;
	if (text.len > 0)
		explicit_bzero(text.at, text.len);
	buffer_release(&text);
	ERR_clear_error();			/* what is left there, TLS on this thread would take for its own */
	if (key == NULL)
		return RT_MALFORMED;
	if (!is_good_size(family, bits))
	{
		cjose_jwk_release(key);
		return RT_UNSUPPORTED;
	}
	*jwk = memory_alloc_zeroed(sizeof(**jwk));
	(*jwk)->key = key;
	(*jwk)->family = family;
	(*jwk)->bits = bits;
	(*jwk)->algorithm = -1;
	(*jwk)->kid = kid ? memory_copy_string(kid, strlen(kid)) : NULL;
	return RT_OK;
}

int
jwk_new_json(const struct jsondoc *json, struct jwk **jwk)
{
	const char *type = jsondoc_string(jsondoc_member(json, "kty"));
	const struct jsondoc *alg = jsondoc_member(json, "alg");
	const struct jsondoc *kid = jsondoc_member(json, "kid");
	int			algorithm = -1;
	int			family;
	int			result;

	if (type == NULL || (alg != NULL && jsondoc_string(alg) == NULL)
		|| (kid != NULL && jsondoc_string(kid) == NULL))
		return RT_MALFORMED;
	family = find_family(type);
	if (family < 0 || is_for_other_use(json))
		return RT_UNSUPPORTED;
	if (alg != NULL)
	{
		const char *name = jsondoc_string(alg);

		algorithm = jwk_find_algorithm((struct slice) {name, strlen(name)});
		if (algorithm < 0 || (int) algorithms[algorithm].family != family)
			return RT_UNSUPPORTED;
	}
	result = import_key(json, (enum family) family, jwk);
	if (result == RT_OK)
		(*jwk)->algorithm = algorithm;
	return result;
}

void
jwk_free(struct jwk *jwk)
{
	if (jwk == NULL)
		return;
	cjose_jwk_release(jwk->key);
	memory_free(jwk->kid);
	memory_free(jwk);
}

const char *
jwk_kid(const struct jwk *jwk)
{
	return jwk->kid;
}

bool
jwk_is_secret(const struct jwk *jwk)
{
	return jwk->family == FAMILY_SECRET;
}

bool
jwk_fits(const struct jwk *jwk, enum jwk_algorithm algorithm)
{
	return algorithms[algorithm].family == jwk->family
		&& (jwk->algorithm < 0 || jwk->algorithm == (int) algorithm)
		&& (jwk->family != FAMILY_EC || jwk->bits == algorithms[algorithm].ec_bits);
}

/* Length that every signature of a key has; 0: cjose compares itself. */
static size_t
signature_length(const struct jwk *jwk)
{
	switch (jwk->family)
	{
		case FAMILY_RSA:
			return (jwk->bits + 7) / 8;
		case FAMILY_EC:
			return (jwk->bits + 7) / 8 * 2;
		default:
			return 0;
	}
}

bool
jwk_verify(const struct jwk *jwk, enum jwk_algorithm algorithm, struct slice token,
		   size_t signature_len)
{
	size_t		length = signature_length(jwk);
	cjose_jws_t *jws;
	bool		is_good;

	if (!jwk_fits(jwk, algorithm) || signature_len == 0 || (length != 0 && length != signature_len))
		return false;
	jws = cjose_jws_import(token.at, token.len, NULL);
	is_good = jws != NULL && cjose_jws_verify(jws, jwk->key, NULL);
	cjose_jws_release(jws);
	ERR_clear_error();
	return is_good;
}
