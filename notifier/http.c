/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * http.c
 *	  See http.h. Pure. RFC 9110 and 9112, without what nobody should send: bare line feeds, folded
 *	  lines, spaces before a colon, bodies without a length, lengths that differ.
 */
#define _GNU_SOURCE				/* memmem, memrchr */
#include "http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Whether a byte may stand in a method or a header's name. */
static bool
is_token_byte(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* Headers of which a second one could be read in two ways. */
static bool
is_single(struct slice name)
{
	static const char *const names[] = {"host", "content-length", "content-type", "authorization",
		"origin", "sec-websocket-key", "sec-websocket-version", "last-event-id", "if-none-match", NULL};

	for (unsigned i = 0; names[i] != NULL; i++)
		if (http_is(name, names[i]))
			return true;
	return false;
}

size_t
http_head_end(const char *bytes, size_t len, size_t skip)
{
	size_t		from = skip > 3 ? skip - 3 : 0;
	const char *end = len > from ? memmem(bytes + from, len - from, "\r\n\r\n", 4) : NULL;

	return end == NULL ? 0 : (size_t) (end - bytes) + 4;
}

bool
http_is(struct slice slice, const char *text)
{
	return strlen(text) == slice.len && strncasecmp(slice.at, text, slice.len) == 0;
}

/* Cuts spaces and tabs at both ends. */
static struct slice
trim(struct slice s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
	{
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Splits the target into path and query; takes an absolute URL as its path. */
static int
read_target(struct http_request *request, struct slice target, const char **why)
{
	const char *mark;

	*why = "bad request target";
	for (size_t i = 0; i < target.len; i++)
		if ((unsigned char) target.at[i] <= ' ' || (unsigned char) target.at[i] >= 0x7f ||
			target.at[i] == '#')
			return RT_MALFORMED;
	if (target.len > 7 && strncasecmp(target.at, "http", 4) == 0)
	{
		const char *host = memmem(target.at, target.len, "://", 3);
		const char *path;

		if (host == NULL)
			return RT_MALFORMED;
		path = memchr(host + 3, '/', (size_t) (target.at + target.len - (host + 3)));
		if (path == NULL)
			return RT_MALFORMED;
		target.len -= (size_t) (path - target.at);
		target.at = path;
	}
	if (target.len == 0 || (target.at[0] != '/' && !slice_equals(target, "*")))
		return RT_MALFORMED;
	mark = memchr(target.at, '?', target.len);
	request->path = target;
	if (mark != NULL)
	{
		request->path.len = (size_t) (mark - target.at);
		request->query.at = mark + 1;
		request->query.len = target.len - request->path.len - 1;
	}
	return RT_OK;
}

/* Reads "METHOD target HTTP/1.x". */
static int
read_request_line(struct http_request *request, struct slice line, const char **why)
{
	const char *first = memchr(line.at, ' ', line.len);
	const char *last = memrchr(line.at, ' ', line.len);
	struct slice target;
	struct slice version;

	*why = "bad request line";
	if (first == NULL || first == last || first == line.at)
		return RT_MALFORMED;
	request->method.at = line.at;
	request->method.len = (size_t) (first - line.at);
	for (size_t i = 0; i < request->method.len; i++)
		if (!is_token_byte((unsigned char) line.at[i]))
			return RT_MALFORMED;
	target.at = first + 1;
	target.len = (size_t) (last - target.at);
	version.at = last + 1;
	version.len = (size_t) (line.at + line.len - version.at);
	if (slice_equals(version, "HTTP/1.1"))
		request->minor = 1;
	else if (!slice_equals(version, "HTTP/1.0"))
	{
		*why = "only HTTP/1.0 and HTTP/1.1 are spoken here";
		return RT_MALFORMED;
	}
	return read_target(request, target, why);
}

/* Reads "Name: value". */
static int
read_header(struct http_request *request, struct slice line, const char **why)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct http_header header;

	*why = "bad header line";
	if (colon == NULL || colon == line.at)
		return RT_MALFORMED;
	header.name.at = line.at;
	header.name.len = (size_t) (colon - line.at);
	for (size_t i = 0; i < header.name.len; i++)
		if (!is_token_byte((unsigned char) line.at[i]))
			return RT_MALFORMED;
	header.value.at = colon + 1;
	header.value.len = line.len - header.name.len - 1;
	header.value = trim(header.value);
	for (size_t i = 0; i < header.value.len; i++)
	{
		unsigned char c = (unsigned char) header.value.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return RT_MALFORMED;
	}
	if (request->count == HTTP_HEADERS_MAX)
	{
		*why = "too many headers";
		return RT_MALFORMED;
	}
	if (is_single(header.name))
		for (unsigned i = 0; i < request->count; i++)
			if (request->headers[i].name.len == header.name.len &&
				strncasecmp(request->headers[i].name.at, header.name.at, header.name.len) == 0)
			{
				*why = "a header that may come once came twice";
				return RT_MALFORMED;
			}
	request->headers[request->count++] = header;
	return RT_OK;
}

/* Finds out how long the body is and whether the connection stays. */
static int
read_framing(struct http_request *request, const char **why)
{
	struct slice length = http_find(request, "content-length");

	*why = "bad Content-Length";
	if (http_has(request, "content-length") && (length.len == 0 || length.len > 15))
		return RT_MALFORMED;
	for (size_t i = 0; i < length.len; i++)
	{
		if (length.at[i] < '0' || length.at[i] > '9')
			return RT_MALFORMED;
		request->content_length = request->content_length * 10 + (size_t) (length.at[i] - '0');
	}
	request->has_body = request->content_length > 0;
	if (http_has(request, "transfer-encoding"))
	{
		*why = "Transfer-Encoding is not taken; send Content-Length";
		return RT_MALFORMED;
	}
	if (request->minor == 1 && !http_has(request, "host"))
	{
		*why = "no Host";
		return RT_MALFORMED;
	}
	request->is_kept = request->minor == 1 ? !http_lists(request, "connection", "close")
		: http_lists(request, "connection", "keep-alive");
	return RT_OK;
}

int
http_parse(struct http_request *request, const char *head, size_t len, const char **why)
{
	const char *end = head + len - 2;	/* of the lines; the empty one is left out */
	const char *at = head;

	memset(request, 0, offsetof(struct http_request, headers));
	while (at < end)
	{
		struct slice line;
		const char *cr = memchr(at, '\r', (size_t) (end - at));

		*why = "bad line end";
		if (cr == NULL || cr[1] != '\n')
			return RT_MALFORMED;
		line.at = at;
		line.len = (size_t) (cr - at);
		if (memchr(line.at, '\n', line.len) != NULL || memchr(line.at, 0, line.len) != NULL)
			return RT_MALFORMED;
		if (at == head ? read_request_line(request, line, why) != RT_OK
			: read_header(request, line, why) != RT_OK)
			return RT_MALFORMED;
		at = cr + 2;
	}
	*why = "no request line";
	if (request->method.len == 0)
		return RT_MALFORMED;
	return read_framing(request, why);
}

/* The header of a name, or NULL. */
static const struct http_header *
find(const struct http_request *request, const char *name)
{
	for (unsigned i = 0; i < request->count; i++)
		if (http_is(request->headers[i].name, name))
			return &request->headers[i];
	return NULL;
}

struct slice
http_find(const struct http_request *request, const char *name)
{
	const struct http_header *header = find(request, name);
	struct slice empty = {"", 0};

	return header ? header->value : empty;
}

bool
http_has(const struct http_request *request, const char *name)
{
	return find(request, name) != NULL;
}

/* Cuts the first item off a comma-separated list. */
static struct slice
cut_item(struct slice *list)
{
	const char *comma = list->len > 0 ? memchr(list->at, ',', list->len) : NULL;
	struct slice item = *list;

	if (comma != NULL)
	{
		item.len = (size_t) (comma - list->at);
		list->at = comma + 1;
		list->len -= item.len + 1;
	}
	else
	{
		list->at += list->len;
		list->len = 0;
	}
	return trim(item);
}

bool
http_next_item(const struct http_request *request, const char *name, size_t *at, struct slice *item)
{
	size_t		n = 0;

	for (unsigned i = 0; i < request->count; i++)
	{
		struct slice list = request->headers[i].value;

		if (!http_is(request->headers[i].name, name))
			continue;
		while (list.len > 0)
		{
			*item = cut_item(&list);
			if (item->len == 0)
				continue;
			if (n++ == *at)
			{
				(*at)++;
				return true;
			}
		}
	}
	return false;
}

bool
http_lists(const struct http_request *request, const char *name, const char *item)
{
	struct slice found;
	size_t		at = 0;

	while (http_next_item(request, name, &at, &found))
		if (http_is(found, item))
			return true;
	return false;
}

bool
http_bearer(const struct http_request *request, struct slice *token)
{
	struct slice value = http_find(request, "authorization");

	if (value.len <= 7 || strncasecmp(value.at, "Bearer ", 7) != 0)
		return false;
	token->at = value.at + 7;
	token->len = value.len - 7;
	*token = trim(*token);
	return token->len > 0;
}

/* The value of a hexadecimal digit, -1 for another byte. */
static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long
http_decode(struct slice text, bool is_query, char *out)
{
	char	   *to = out;

	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.at[i];

		if (c == '%')
		{
			int			high = i + 2 < text.len ? hex(text.at[i + 1]) : -1;
			int			low = i + 2 < text.len ? hex(text.at[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return RT_MALFORMED;
			c = (char) (high << 4 | low);
			i += 2;
		}
		else if (c == '+' && is_query)
			c = ' ';
		*to++ = c;
	}
	return to - out;
}

bool
http_next_parameter(struct slice *rest, struct slice *name, struct slice *value)
{
	const char *end;
	const char *equals;

	while (rest->len > 0 && rest->at[0] == '&')
	{
		rest->at++;
		rest->len--;
	}
	if (rest->len == 0)
		return false;
	end = memchr(rest->at, '&', rest->len);
	if (end == NULL)
		end = rest->at + rest->len;
	name->at = rest->at;
	name->len = (size_t) (end - rest->at);
	value->at = end;
	value->len = 0;
	equals = memchr(name->at, '=', name->len);
	if (equals != NULL)
	{
		value->at = equals + 1;
		value->len = (size_t) (end - value->at);
		name->len = (size_t) (equals - name->at);
	}
	rest->len -= (size_t) (end - rest->at);
	rest->at = end;
	return true;
}

/* Cuts the default port of a scheme off an authority. */
static struct slice
without_port(struct slice authority, bool is_https)
{
	const char *port = is_https ? ":443" : ":80";
	size_t		len = strlen(port);

	if (authority.len > len && memcmp(authority.at + authority.len - len, port, len) == 0)
		authority.len -= len;
	return authority;
}

bool
http_origin_allowed(struct slice origin, struct slice host, const char *allowed)
{
	struct slice list = {allowed, allowed ? strlen(allowed) : 0};
	bool		is_https = origin.len > 8 && strncasecmp(origin.at, "https://", 8) == 0;
	struct slice authority;

	while (list.len > 0)
	{
		struct slice item = cut_item(&list);

		if (slice_equals(item, "*") || (item.len == origin.len && origin.len > 0 &&
										strncasecmp(item.at, origin.at, item.len) == 0))
			return true;
	}
	if (!is_https && (origin.len <= 7 || strncasecmp(origin.at, "http://", 7) != 0))
		return false;
	authority.at = origin.at + (is_https ? 8 : 7);
	authority.len = origin.len - (is_https ? 8 : 7);
	authority = without_port(authority, is_https);
	host = without_port(host, is_https);
	return host.len > 0 && authority.len == host.len &&
		strncasecmp(authority.at, host.at, host.len) == 0;
}
