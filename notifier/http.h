/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * http.h
 *	  The head of an HTTP/1.x request, read strictly: what two programs could read in two ways is
 *	  refused, so nothing can be smuggled past a proxy. Knows no sockets; slices borrow the bytes.
 */
#ifndef RT_HTTP_H
#define RT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "jsonscan.h"

#define HTTP_HEAD_MAX (40 * 1024)	/* bytes: a token and a position of 16 kB each, and the rest */
#define HTTP_HEADERS_MAX 64

struct http_header
{
	struct slice name;
	struct slice value;			/* without spaces around it */
};

struct http_request
{
	struct slice method;
	struct slice path;			/* as written, with %XX; starts with '/' */
	struct slice query;			/* after '?', as written; empty when there is none */
	unsigned	minor;			/* HTTP/1.minor: 0 or 1 */
	size_t		content_length;
	bool		has_body;		/* a Content-Length other than 0 */
	bool		is_kept;		/* the connection may serve another request after this */
	unsigned	count;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/*
 * Where the head ends (after its empty line) in the first len bytes; 0: not yet. The first skip bytes
 * are known not to contain the end.
 */
size_t		http_head_end(const char *bytes, size_t len, size_t skip);

/* Reads a whole head. RT_MALFORMED: *why says what is wrong (static). */
int			http_parse(struct http_request *request, const char *head, size_t len,
					   const char **why) RT_MUST_CHECK;

/* A header's value by its name (letter case does not matter); empty when it is missing. */
struct slice http_find(const struct http_request *request, const char *name);
bool		http_has(const struct http_request *request, const char *name);

/* Whether a comma-separated header, which may come several times, has an item (letter case ignored). */
bool		http_lists(const struct http_request *request, const char *name, const char *item);

/*
 * Items of a comma-separated header one after the other: starts with *at = 0, 1 for each item.
 * Spaces around items and empty items are left out.
 */
bool		http_next_item(const struct http_request *request, const char *name, size_t *at,
						   struct slice *item);

/* Whether a slice equals text, letter case of ASCII ignored. */
bool		http_is(struct slice slice, const char *text);

/* The token of an Authorization header "Bearer <token>": false when there is none. */
bool		http_bearer(const struct http_request *request, struct slice *token);

/*
 * Decodes %XX (and '+' as a space in a query) into out, room of text.len bytes; returns the length,
 * RT_MALFORMED for a bad escape or a zero byte.
 */
long		http_decode(struct slice text, bool is_query, char *out) RT_MUST_CHECK;

/* Next name=value of a query, both as written; false at the end. *rest starts as the query. */
bool		http_next_parameter(struct slice *rest, struct slice *name, struct slice *value);

/*
 * Whether a page of an origin may use this server: origin is the header, host the request's own,
 * allowed a comma-separated list, "*" every.
 */
bool		http_origin_allowed(struct slice origin, struct slice host, const char *allowed);

#endif
