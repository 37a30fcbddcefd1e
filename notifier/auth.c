/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * auth.c
 *	  See auth.h. What a token must be (RFC 7519 and 8725); keys are the business of jwks.h and keyset.h.
 *
 * Order of the checks: form, header, key, signature, claims. Nothing of the claims is looked at before the
 * signature is good. Whatever a token says about keys (jwk, jku, x5c, x5u) is ignored.
 */
#include "auth.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base64url.h"
#include "jsondoc.h"
#include "jwks.h"
#include "memory.h"

#define ROLE_MAX 63				/* bytes of a PostgreSQL name */
#define PATH_MAX_LENGTH 256		/* bytes of role_claim */
#define TIME_MAX 9007199254740992.0	/* 2^53: exact as a double, and later than any expiry */

struct auth
{
	struct jwks *jwks;
	bool		is_accepted[JWK_ALGORITHMS];
	char	   *audience;
	char	   *issuer;
	char	   *role_claim;
	char	   *default_role;
	unsigned	leeway_s;
};

/* A token taken apart; the texts are decoded and end with a null byte. */
struct token
{
	struct slice whole;
	char	   *header;
	size_t		header_len;
	char	   *claims;
	size_t		claims_len;
	size_t		signature_len;
};

struct identity *
identity_new(const char *role, const char *user, const char *claims, int64_t expires, bool is_anonymous)
{
	struct identity *identity = memory_alloc_zeroed(sizeof(*identity));

	identity->refs = 1;
	identity->role = memory_copy_string(role, strlen(role));
	identity->user = user ? memory_copy_string(user, strlen(user)) : NULL;
	identity->claims = memory_copy_string(claims, strlen(claims));
	identity->expires = expires;
	identity->is_anonymous = is_anonymous;
	return identity;
}

struct identity *
identity_ref(struct identity *identity)
{
	__atomic_fetch_add(&identity->refs, 1, __ATOMIC_RELAXED);
	return identity;
}

void
identity_unref(struct identity *identity)
{
	if (identity == NULL || __atomic_fetch_sub(&identity->refs, 1, __ATOMIC_ACQ_REL) > 1)
		return;
	memory_free(identity->role);
	memory_free(identity->user);
	memory_free(identity->claims);
	memory_free(identity);
}

/* Notes which algorithms are accepted: names separated by commas. */
static int
set_algorithms(struct auth *auth, const char *names, char *error, size_t size)
{
	const char *at = names ? names : "HS256,RS256,ES256";

	while (*at != '\0')
	{
		size_t		len = strcspn(at, ", ");
		int			algorithm = jwk_find_algorithm((struct slice) {at, len});

		if (len > 0 && algorithm < 0)
		{
			snprintf(error, size, "jwt-algorithms: \"%.*s\" is not known", len > 60 ? 60 : (int) len, at);
			return RT_UNSUPPORTED;
		}
		if (len > 0)
			auth->is_accepted[algorithm] = true;
		at += len + (at[len] != '\0');
	}
	return RT_OK;
}

/* A copy; NULL of NULL. */
static char *
copy(const char *text)
{
	return text ? memory_copy_string(text, strlen(text)) : NULL;
}

/* Whether a name can be that of a role to take on: "none" would mean the notifier's own to SET ROLE. */
static bool
is_role(const char *name)
{
	return name != NULL && *name != '\0' && strlen(name) <= ROLE_MAX && strcmp(name, "none") != 0;
}

struct auth *
auth_new(const struct auth_config *config, char *error, size_t error_size)
{
	const struct jwks_config keys = {
		.secret_file = config->secret_file,
		.source = config->jwks,
		.refresh_s = config->jwks_refresh_s,
		.early_s = config->jwks_early_s,
	};
	struct auth *auth = memory_alloc_zeroed(sizeof(*auth));

	auth->audience = copy(config->audience);
	auth->issuer = copy(config->issuer);
	auth->role_claim = copy(config->role_claim ? config->role_claim : "role");
	auth->default_role = copy(config->default_role);
	auth->leeway_s = config->leeway_s;
	if (strlen(auth->role_claim) >= PATH_MAX_LENGTH)
		snprintf(error, error_size, "jwt-role-claim: over %d bytes", PATH_MAX_LENGTH - 1);
	else if (auth->default_role != NULL && !is_role(auth->default_role))
		snprintf(error, error_size, "jwt-default-role: \"%.70s\" is no role", auth->default_role);
	else if (set_algorithms(auth, config->algorithms, error, error_size) == RT_OK)
		auth->jwks = jwks_new(&keys, error, error_size);
	if (auth->jwks != NULL)
		return auth;
	auth_free(auth);
	return NULL;
}

void
auth_free(struct auth *auth)
{
	if (auth == NULL)
		return;
	jwks_free(auth->jwks);
	memory_free(auth->audience);
	memory_free(auth->issuer);
	memory_free(auth->role_claim);
	memory_free(auth->default_role);
	memory_free(auth);
}

int
auth_reload(struct auth *auth, char *error, size_t error_size)
{
	return jwks_reload(auth->jwks, error, error_size);
}

bool
auth_has_keys(const struct auth *auth)
{
	return jwks_is_configured(auth->jwks);
}

/* Decodes one part into malloc'd text; NULL when it is not base64url. */
static char *
decode_part(struct slice part, size_t *len)
{
	char	   *text = memory_alloc(part.len + 1);
	long		n = base64url_decode(part, text);

	if (n < 0)
	{
		memory_free(text);
		return NULL;
	}
	text[n] = '\0';
	*len = (size_t) n;
	return text;
}

static void
release_token(struct token *token)
{
	memory_free(token->header);
	memory_free(token->claims);
}

/* Takes a token apart: three parts, no more (five are an encrypted one), each strictly base64url. */
static int
split_token(struct token *token, struct slice whole)
{
	const char *first = memchr(whole.at, '.', whole.len);
	const char *end = whole.at + whole.len;
	const char *second = first ? memchr(first + 1, '.', (size_t) (end - first - 1)) : NULL;
	char	   *signature;

	memset(token, 0, sizeof(*token));
	if (second == NULL)
		return RT_MALFORMED;
	token->whole = whole;
	token->header = decode_part((struct slice) {whole.at, (size_t) (first - whole.at)}, &token->header_len);
	token->claims = decode_part((struct slice) {first + 1, (size_t) (second - first - 1)},
								&token->claims_len);
	signature = decode_part((struct slice) {second + 1, (size_t) (end - second - 1)},
							&token->signature_len);
	memory_free(signature);
	return token->header != NULL && token->claims != NULL && signature != NULL ? RT_OK : RT_MALFORMED;
}

/* Reads the header: the algorithm, and the key's name, which the caller frees. NULL or why not. */
static const char *
read_header(const struct auth *auth, const struct token *token, int *algorithm, char **kid)
{
	struct jsondoc *header = jsondoc_parse(token->header, token->header_len);
	const char *alg = jsondoc_string(jsondoc_member(header, "alg"));
	const struct jsondoc *key = jsondoc_member(header, "kid");
	const char *why = NULL;

	*kid = NULL;
	*algorithm = alg ? jwk_find_algorithm((struct slice) {alg, strlen(alg)}) : -1;
	if (!jsondoc_is_object(header) || alg == NULL || (key != NULL && jsondoc_string(key) == NULL))
		why = "malformed";
	else if (jsondoc_member(header, "crit") != NULL || jsondoc_member(header, "b64") != NULL
			 || jsondoc_member(header, "enc") != NULL || jsondoc_member(header, "zip") != NULL)
		why = "critical header";
	else if (*algorithm < 0 || !auth->is_accepted[*algorithm])
		why = "algorithm";
	else if (key != NULL)
		*kid = memory_copy_string(jsondoc_string(key), strlen(jsondoc_string(key)));
	jsondoc_free(header);
	return why;
}

/* Checks the signature; NULL or why not. */
static const char *
check_signature(struct auth *auth, const struct token *token)
{
	struct keyset *keys;
	const struct jwk *jwk;
	int			algorithm;
	char	   *kid;
	const char *why = read_header(auth, token, &algorithm, &kid);

	if (why != NULL)
		return why;
	keys = jwks_keys(auth->jwks);
	jwk = keyset_find(keys, (enum jwk_algorithm) algorithm, kid);
	if (jwk == NULL)
	{
		why = keyset_is_empty(keys) ? "no keys" : "unknown key";
		jwks_want(auth->jwks);
	}
	else if (!jwk_verify(jwk, (enum jwk_algorithm) algorithm, token->whole, token->signature_len))
		why = "signature";
	keyset_unref(keys);
	memory_free(kid);
	return why;
}

/*
 * A claim that is a time, in seconds: 1, or 0 when it is missing, or RT_MALFORMED. Times that no integer
 * holds exactly are cut to the largest.
 */
static int
get_time(const struct jsondoc *claims, const char *name, int64_t *seconds)
{
	const struct jsondoc *claim = jsondoc_member(claims, name);
	double		number;

	if (claim == NULL)
		return 0;
	if (!jsondoc_number(claim, &number))
		return RT_MALFORMED;
	if (number > TIME_MAX)
		number = TIME_MAX;
	else if (number < -TIME_MAX)
		number = -TIME_MAX;
	*seconds = (int64_t) number;
	return 1;
}

/* Checks exp, nbf and iat; *expires is 0 without exp. NULL or why not. */
static const char *
check_times(const struct auth *auth, const struct jsondoc *claims, int64_t *expires)
{
	int64_t		now = (int64_t) time(NULL);
	int64_t		leeway = auth->leeway_s;
	int64_t		nbf = INT64_MIN;
	int64_t		iat = INT64_MIN;
	int			has_exp = get_time(claims, "exp", expires);

	if (has_exp == 0)
		*expires = 0;
	if (has_exp < 0 || get_time(claims, "nbf", &nbf) < 0 || get_time(claims, "iat", &iat) < 0)
		return "malformed";
	if (has_exp && (*expires <= 0 || now >= *expires + leeway))
		return "expired";
	if (nbf > now + leeway || iat > now + leeway)
		return "not yet valid";
	return NULL;
}

/* Whether the claim aud is, or as a list holds, the wanted text; nothing but texts may be in it. */
static bool
is_for_audience(const struct jsondoc *aud, const char *wanted)
{
	const char *single = jsondoc_string(aud);
	bool		is_in = false;

	if (single != NULL)
		return strcmp(single, wanted) == 0;
	for (size_t i = 0; i < jsondoc_length(aud); i++)
	{
		const char *one = jsondoc_string(jsondoc_element(aud, i));

		if (one == NULL)
			return false;
		is_in = is_in || strcmp(one, wanted) == 0;
	}
	return is_in;
}

/* The claim at a path with dots. A claim whose own name has dots, as URLs have, is found whole first. */
static const struct jsondoc *
find_claim(const struct jsondoc *claims, const char *path)
{
	char		name[PATH_MAX_LENGTH];
	const struct jsondoc *value = jsondoc_member(claims, path);

	if (value != NULL)
		return value;
	value = claims;
	while (value != NULL)
	{
		size_t		len = strcspn(path, ".");

		memcpy(name, path, len);	/* shorter than role_claim may be */
		name[len] = '\0';
		value = jsondoc_member(value, name);
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	return value;
}

/* Checks the claims and makes the identity of them. NULL or why not. */
static const char *
check_claims(const struct auth *auth, const struct token *token, const struct jsondoc *claims,
			 struct identity **identity)
{
	const struct jsondoc *sub = jsondoc_member(claims, "sub");
	const struct jsondoc *role = find_claim(claims, auth->role_claim);
	const char *issuer = jsondoc_string(jsondoc_member(claims, "iss"));
	const char *name = role ? jsondoc_string(role) : auth->default_role;
	const char *why;
	int64_t		expires;

	if (!jsondoc_is_object(claims) || (sub != NULL && jsondoc_string(sub) == NULL))
		return "malformed";
	why = check_times(auth, claims, &expires);
	if (why != NULL)
		return why;
	if (auth->issuer != NULL && (issuer == NULL || strcmp(issuer, auth->issuer) != 0))
		return "issuer";
	if (auth->audience != NULL && !is_for_audience(jsondoc_member(claims, "aud"), auth->audience))
		return "audience";
	if (!is_role(name))
		return "no role";
	*identity = identity_new(name, jsondoc_string(sub), token->claims, expires, false);
	return NULL;
}

int
auth_check(struct auth *auth, const char *token, size_t len, struct identity **identity,
		   const char **why)
{
	struct token parts;

	*identity = NULL;
	*why = NULL;
	if (!auth_has_keys(auth))
		*why = "no keys";
	else if (len > AUTH_TOKEN_MAX)
		*why = "too large";
	if (*why != NULL)
		return len > AUTH_TOKEN_MAX ? RT_TOO_LARGE : RT_UNSUPPORTED;
	if (split_token(&parts, (struct slice) {token, len}) != RT_OK)
		*why = "malformed";
	else
		*why = check_signature(auth, &parts);
	if (*why == NULL)
	{
		struct jsondoc *claims = jsondoc_parse(parts.claims, parts.claims_len);

		*why = check_claims(auth, &parts, claims, identity);
		jsondoc_free(claims);
	}
	release_token(&parts);
	return *why == NULL ? RT_OK : RT_MALFORMED;
}
