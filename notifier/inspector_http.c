/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_http.c
 *	  See inspector_http.h. Knows peers and who may ask; what is looked at is inspector.h's.
 *
 * A token comes in the Authorization header only, and each request is checked anew: what has expired, or a
 * role that is not admin-role any more, gets nothing. There is no exception for this machine. Pages of other
 * origins get nothing, whatever allowed-origins says.
 */
#include "inspector_http.h"

#include <string.h>

#include "auth.h"
#include "inspector.h"
#include "inspector_page.h"
#include "peer.h"
#include "protocol.h"
#include "worker.h"

#define LOOK_MS 10000			/* for a look at all workers; it takes milliseconds */

/* Nothing but this page's own files runs, shows or is talked to. */
static const char page_headers[] =
"Cache-Control: no-cache\r\n"
"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
" img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
" require-trusted-types-for 'script'; trusted-types 'none'\r\n"
"Referrer-Policy: no-referrer\r\n"
"X-Frame-Options: DENY\r\n"
"Cross-Origin-Opener-Policy: same-origin\r\n"
"Cross-Origin-Resource-Policy: same-origin\r\n"
"Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n";

/* The answer is there. */
static void
answer(void *arg, struct slice json)
{
	struct peer *peer = arg;

	peer->inspection = NULL;
	peer->state = PEER_REQUEST;
	http_answer(peer, NULL, 200, "application/json",
				"Cache-Control: no-store\r\nCross-Origin-Resource-Policy: same-origin\r\n", json);
	if (peer->state == PEER_REQUEST)
		http_resume(peer);
}

/* Whether a request has a token of admin-role; else it is refused. */
static bool
check_token(struct peer *peer, const struct http_request *request)
{
	struct worker *worker = peer->server->worker;
	const char *admin = peer->server->options->admin_role;
	struct slice token;
	struct identity *identity;
	const char *why;
	bool		is_admin;

	if (admin == NULL)
	{
		http_refuse_peer(peer, request, 403, CODE_FORBIDDEN, "admin-role is not set");
		return false;
	}
	if (!http_bearer(request, &token))
	{
		http_refuse_peer(peer, request, 401, CODE_UNAUTHORIZED, "the inspector needs a token in the Authorization header");
		return false;
	}
	if (auth_check(worker->shared->auth, token.at, token.len, &identity, &why) < 0)
	{
		http_refuse_peer(peer, request, 401, strcmp(why, "expired") == 0 ? CODE_EXPIRED : CODE_UNAUTHORIZED, why);
		return false;
	}
	is_admin = strcmp(identity->role, admin) == 0;
	identity_unref(identity);
	if (!is_admin)
		http_refuse_peer(peer, request, 403, CODE_FORBIDDEN, "the inspector is for the role admin-role");
	return is_admin;
}

/* /inspector/data */
static void
serve_data(struct peer *peer, const struct http_request *request)
{
	struct inspector_query query;
	const char *why;

	if (!http_is_own_origin(request))
		http_refuse_peer(peer, request, 403, CODE_FORBIDDEN, "this origin is not allowed");
	else if (!slice_equals(request->method, "GET"))
		http_refuse(peer, request, 405, CODE_BAD_REQUEST, "method not allowed", "Allow: GET\r\n");
	else if (!peer_may_speak(peer))
		http_refuse_peer(peer, request, 429, CODE_RATE_LIMITED, "too many requests");
	else if (!check_token(peer, request))
		return;
	else if (inspector_query_parse(&query, request->query, &why) != RT_OK)
		http_refuse(peer, request, 400, CODE_BAD_REQUEST, why, NULL);
	else
	{
		peer->inspection = inspector_look(peer->server->worker->shared->inspector, &query, peer->server->loop,
										  answer, peer);
		if (peer->inspection == NULL)
		{
			http_refuse(peer, request, 503, CODE_UNAVAILABLE, "too many look at once", "Retry-After: 1\r\n");
			return;
		}
		peer->state = PEER_INSPECTING;
		peer_wait(peer, LOOK_MS);
	}
}

static bool
serve(struct peer *peer, const struct http_request *request)
{
	struct inspector_file file;
	struct slice empty = {"", 0};

	if (!peer->server->options->has_inspector)
		return false;
	if (slice_equals(request->path, "/inspector/data"))
		serve_data(peer, request);
	else if (slice_equals(request->path, "/inspector/"))
		http_answer(peer, request, 301, NULL, "Location: ../inspector\r\n", empty);
	else if (inspector_find_file(request->path, &file))
		http_answer(peer, request, 200, file.type, page_headers, file.content);
	else
		return false;
	return true;
}

/* The peer is gone. */
static void
release(struct peer *peer)
{
	if (peer->inspection != NULL)
		inspection_forget(peer->inspection);
	peer->inspection = NULL;
}

const struct server_inspector inspector_http = {serve, release};
