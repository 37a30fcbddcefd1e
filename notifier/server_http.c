/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server_http.c
 *	  Requests and their answers: the paths of doc/protocol.md section 1. Knows no libwebsockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "peer.h"
#include "protocol.h"
#include "stats.h"
#include "webfile.h"
#include "worker.h"

#define KEPT_MS 5000			/* how long a connection may rest between two requests */
#define ORIGIN_MAX 300			/* bytes */

struct file_state
{
	int			fd;
	off_t		left;
};

/* What a request is answered with, besides what it asks for. */
struct context
{
	struct peer *peer;
	const struct http_request *request;
	struct slice body;
	char		cors[ORIGIN_MAX + 100];	/* header lines; empty for our own pages and for programs */
};

static void process(struct peer *peer);

/* The words of a status line. */
static const char *
status_text(unsigned status)
{
	switch (status)
	{
		case 200: return "OK";
		case 204: return "No Content";
		case 301: return "Moved Permanently";
		case 304: return "Not Modified";
		case 400: return "Bad Request";
		case 401: return "Unauthorized";
		case 403: return "Forbidden";
		case 404: return "Not Found";
		case 405: return "Method Not Allowed";
		case 413: return "Content Too Large";
		case 426: return "Upgrade Required";
		case 429: return "Too Many Requests";
		case 503: return "Service Unavailable";
		default: return "Error";
	}
}

/* Writes the head of an answer; length -1: the body has none (204, 304). */
static void
put_head(struct buffer *out, unsigned status, const char *type, const char *extra, int64_t length,
		 bool is_kept)
{
	char		line[160];
	time_t		now = time(NULL);
	struct tm	tm;

	snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", status, status_text(status));
	buffer_puts(out, line);
	gmtime_r(&now, &tm);
	strftime(line, sizeof(line), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	buffer_puts(out, line);
	if (type != NULL)
	{
		buffer_puts(out, "Content-Type: ");
		buffer_puts(out, type);
		buffer_puts(out, "\r\n");
	}
	if (length >= 0)
	{
		snprintf(line, sizeof(line), "Content-Length: %lld\r\n", (long long) length);
		buffer_puts(out, line);
	}
	buffer_puts(out, "X-Content-Type-Options: nosniff\r\n");
	if (extra != NULL)
		buffer_puts(out, extra);
	buffer_puts(out, is_kept ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

/* The answer is out: waits for the next request, or ends. */
static void
end_answer(struct peer *peer)
{
	peer->state = PEER_REQUEST;
	peer->is_continued = false;
	if (peer->is_kept && !peer->server->is_draining)
		peer_wait(peer, KEPT_MS);
	else
		peer_finish(peer);
}

void
http_answer(struct peer *peer, const struct http_request *request, unsigned status,
			const char *type, const char *extra, struct slice body)
{
	struct buffer out = {0};
	bool		is_head = request != NULL && slice_equals(request->method, "HEAD");

	put_head(&out, status, type, extra, status == 204 || status == 304 ? -1 : (int64_t) body.len,
			 peer->is_kept && !peer->server->is_draining);
	if (!is_head)
		buffer_put_slice(&out, body);
	(void) peer_write(peer, out.at, out.len);
	buffer_release(&out);
	end_answer(peer);
}

void
http_refuse(struct peer *peer, const struct http_request *request, unsigned status,
			const char *code, const char *message, const char *extra)
{
	struct buffer body = {0};
	struct buffer lines = {0};

	if (extra != NULL)
		buffer_puts(&lines, extra);
	if (status == 401)
		buffer_puts(&lines, "WWW-Authenticate: Bearer\r\n");
	buffer_puts(&lines, "Cache-Control: no-store\r\n");
	buffer_put(&lines, "", 1);
	buffer_puts(&body, "{\"error\":{\"code\":");
	buffer_puts_json(&body, code);
	buffer_puts(&body, ",\"message\":");
	buffer_puts_json(&body, message);
	buffer_puts(&body, "}}\n");
	http_answer(peer, request, status, "application/json", lines.at, buffer_slice(&body));
	buffer_release(&body);
	buffer_release(&lines);
}

/* A refusal that says something about who asks: counted and logged. */
static void
refuse_peer(struct context *context, unsigned status, const char *code, const char *message)
{
	stats_refused(code);
	log_write(LOG_LEVEL_WARNING, "refused", "code=%s reason=%s address=%s", code, message,
			  context->peer->address);
	http_refuse(context->peer, context->request, status, code, message, context->cors);
}

void
http_refuse_peer(struct peer *peer, const struct http_request *request, unsigned status,
				 const char *code, const char *message)
{
	struct context context = {.peer = peer, .request = request};

	refuse_peer(&context, status, code, message);
}

bool
http_is_own_origin(const struct http_request *request)
{
	return !http_has(request, "origin")
		|| http_origin_allowed(http_find(request, "origin"), http_find(request, "host"), NULL);
}

static void
not_allowed(struct context *context, const char *methods)
{
	char		extra[sizeof(context->cors) + 60];

	snprintf(extra, sizeof(extra), "%sAllow: %s\r\n", context->cors, methods);
	http_refuse(context->peer, context->request, 405, CODE_BAD_REQUEST, "method not allowed", extra);
}

static bool
is_get(const struct http_request *request)
{
	return slice_equals(request->method, "GET") || slice_equals(request->method, "HEAD");
}

/*
 * The address that a trusted proxy saw; the nearest proxy's is the last one. A request that came through
 * any proxy is not from this machine, even if the proxy is.
 */
static void
take_forwarded(struct peer *peer, const struct http_request *request)
{
	struct slice item;
	struct slice last = {NULL, 0};
	char		text[INET6_ADDRSTRLEN];
	struct in6_addr binary;
	size_t		at = 0;

	if (!http_has(request, "x-forwarded-for") && !http_has(request, "forwarded"))
		return;
	peer->is_local = false;
	if (!peer->server->options->has_proxy)
		return;
	while (http_next_item(request, "x-forwarded-for", &at, &item))
		last = item;
	if (last.len == 0 || last.len >= sizeof(text))
		return;
	memcpy(text, last.at, last.len);
	text[last.len] = 0;
	if (inet_pton(AF_INET, text, &binary) != 1 && inet_pton(AF_INET6, text, &binary) != 1)
		return;
	memory_free(peer->seen_address);
	peer->seen_address = memory_copy_string(text, last.len);
	peer->is_local = strncmp(text, "127.", 4) == 0 || strcmp(text, "::1") == 0;
}

/* Whether a page may ask: fills cors for foreign ones that may. */
static bool
check_origin(struct context *context)
{
	const struct http_request *request = context->request;
	struct slice origin = http_find(request, "origin");
	struct slice host = http_find(request, "host");

	if (!http_has(request, "origin"))
		return true;
	if (origin.len == 0 || origin.len > ORIGIN_MAX ||
		!http_origin_allowed(origin, host, context->peer->server->options->allowed_origins))
		return false;
	snprintf(context->cors, sizeof(context->cors),
			 "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n", (int) origin.len, origin.at);
	return true;
}

/* What a browser asks before it asks. */
static void
answer_preflight(struct context *context)
{
	char		extra[sizeof(context->cors) + 250];
	struct slice empty = {"", 0};

	snprintf(extra, sizeof(extra), "%sAccess-Control-Allow-Methods: GET, POST\r\n"
			 "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n"
			 "Access-Control-Max-Age: 600\r\nAllow: GET, POST, OPTIONS\r\n", context->cors);
	http_answer(context->peer, context->request, 204, NULL, extra, empty);
}

/* /v1/events and /v1/poll */
static void
serve_feed(struct context *context, bool is_poll)
{
	const struct http_request *request = context->request;

	if (!check_origin(context))
		refuse_peer(context, 403, CODE_FORBIDDEN, "this origin is not allowed");
	else if (slice_equals(request->method, "OPTIONS"))
		answer_preflight(context);
	else if (!slice_equals(request->method, "GET") && !slice_equals(request->method, "POST"))
		not_allowed(context, "GET, POST, OPTIONS");
	else if (!peer_may_speak(context->peer))
		refuse_peer(context, 429, CODE_RATE_LIMITED, "too many requests");
	else
		feed_start(context->peer, request, context->body, is_poll, context->cors);
}

/* /v1/ws */
static void
serve_websocket(struct context *context)
{
	if (!check_origin(context))
		refuse_peer(context, 403, CODE_FORBIDDEN, "this origin is not allowed");
	else if (!slice_equals(context->request->method, "GET"))
		not_allowed(context, "GET");
	else
		ws_start(context->peer, context->request);
}

/* A line of text that no cache keeps. */
static void
answer_text(struct context *context, unsigned status, const char *text)
{
	struct slice body = {text, strlen(text)};

	http_answer(context->peer, context->request, status, "text/plain; charset=utf-8",
				"Cache-Control: no-store\r\n", body);
}

/* /readyz: whether a subscriber would be served. */
static void
serve_ready(struct context *context)
{
	bool		is_ready = stats_get(STAT_SOURCE_UP) > 0 && stats_get(STAT_DB_UP) > 0 &&
		!context->peer->server->is_draining;

	if (is_ready)
		answer_text(context, 200, "ready\n");
	else
		http_refuse(context->peer, context->request, 503, CODE_UNAVAILABLE,
					"the database is not reachable, or the source does not read", NULL);
}

/* /metrics: for neighbours on this machine, or with a token of the role for it. */
static void
serve_metrics(struct context *context)
{
	struct slice token = {NULL, 0};
	struct slice body;
	char	   *text;
	bool		has_token = http_bearer(context->request, &token);

	if (!context->peer->is_local &&
		!(has_token && worker_is_admin(context->peer->server->worker, token.at, token.len)))
	{
		refuse_peer(context, has_token ? 403 : 401, has_token ? CODE_FORBIDDEN : CODE_UNAUTHORIZED,
					"metrics are for this machine, or for the role admin_role");
		return;
	}
	text = stats_print(&body.len);
	body.at = text;
	http_answer(context->peer, context->request, 200, "text/plain; version=0.0.4; charset=utf-8",
				"Cache-Control: no-store\r\n", body);
	free(text);
}

/* Sends more of a file, until the socket takes no more. */
static void
send_file(struct peer *peer)
{
	struct file_state *file = peer->file;
	unsigned char *scratch = peer->server->scratch;

	while (!peer->is_blocked && file->left > 0)
	{
		size_t		want = (size_t) file->left < PEER_WRITE_MAX ? (size_t) file->left : PEER_WRITE_MAX;
		ssize_t		n = read(file->fd, scratch, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			peer_cut(peer);		/* the file became shorter than was promised */
			return;
		}
		file->left -= n;
		if (!peer_write(peer, scratch, (size_t) n))
			return;
	}
	if (file->left > 0)
	{
		peer_wait(peer, KEPT_MS);
		return;
	}
	http_release(peer);
	end_answer(peer);
}

void
http_release(struct peer *peer)
{
	if (peer->file == NULL)
		return;
	close(peer->file->fd);
	memory_free(peer->file);
	peer->file = NULL;
	peer->state = PEER_REQUEST;
}

/* A directory's name without its '/': says where it is. */
static void
answer_directory(struct context *context)
{
	struct slice path = context->request->path;
	struct slice empty = {"", 0};
	char		extra[1100];

	/* never "//x/", which would name another host */
	while (path.len > 1 && path.at[1] == '/')
	{
		path.at++;
		path.len--;
	}
	snprintf(extra, sizeof(extra), "Location: %.*s/\r\n", (int) path.len, path.at);
	http_answer(context->peer, context->request, 301, NULL, extra, empty);
}

/* Static files. */
static void
serve_file(struct context *context)
{
	const struct http_request *request = context->request;
	struct peer *peer = context->peer;
	const char *directory = peer->server->options->static_dir;
	struct slice empty = {"", 0};
	struct webfile file;
	struct buffer head = {0};
	char		extra[200];

	if (directory == NULL || webfile_open(&file, directory, request->path) != RT_OK)
	{
		http_refuse(peer, request, 404, CODE_BAD_REQUEST, "there is nothing here", NULL);
		return;
	}
	if (file.is_directory)
	{
		answer_directory(context);
		return;
	}
	snprintf(extra, sizeof(extra), "ETag: %s\r\nCache-Control: no-cache\r\n"
			 "Referrer-Policy: same-origin\r\nX-Frame-Options: SAMEORIGIN\r\n"
			 "Cross-Origin-Opener-Policy: same-origin\r\n", file.etag);
	if (http_lists(request, "if-none-match", file.etag))
	{
		close(file.fd);
		http_answer(peer, request, 304, NULL, extra, empty);
		return;
	}
	put_head(&head, 200, file.type, extra, file.size, peer->is_kept && !peer->server->is_draining);
	peer->state = PEER_FILE;
	peer->file = memory_alloc(sizeof(*peer->file));
	peer->file->fd = file.fd;
	peer->file->left = slice_equals(request->method, "HEAD") ? 0 : file.size;
	if (peer_write(peer, head.at, head.len))
		send_file(peer);
	buffer_release(&head);
}

/* Finds out what a request is for. */
static void
serve(struct context *context)
{
	const struct http_request *request = context->request;
	struct slice path = request->path;

	if (slice_equals(path, "/v1/ws"))
		serve_websocket(context);
	else if (slice_equals(path, "/v1/events"))
		serve_feed(context, false);
	else if (slice_equals(path, "/v1/poll"))
		serve_feed(context, true);
	else if (!is_get(request))
		not_allowed(context, "GET, HEAD");
	else if (slice_equals(path, "/healthz"))
		answer_text(context, 200, "ok\n");
	else if (slice_equals(path, "/readyz"))
		serve_ready(context);
	else if (slice_equals(path, "/metrics"))
		serve_metrics(context);
	else if (context->peer->server->inspector == NULL
			 || !context->peer->server->inspector->serve(context->peer, request))
		serve_file(context);
}

/* Refuses a request whose end cannot be known, and with it the connection. */
static void
give_up(struct peer *peer, unsigned status, const char *code, const char *why)
{
	stats_refused(code);
	log_write(LOG_LEVEL_WARNING, "refused", "code=%s reason=%s address=%s", code, why, peer->address);
	peer->is_kept = false;
	http_refuse(peer, NULL, status, code, why, NULL);
}

/* Serves the request at the start of some bytes; returns how many it takes, 0: it is not complete. */
static size_t
take_request(struct peer *peer, const char *bytes, size_t len)
{
	static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_request request;
	struct context context;
	const char *why;
	size_t		head;

	if (len < peer->needed)
		return 0;				/* the head was read, and need not be again with each piece of the body */
	peer->needed = 0;
	head = http_head_end(bytes, len, peer->scanned);
	peer->scanned = head == 0 ? len : 0;
	if (head == 0 ? len > HTTP_HEAD_MAX : head > HTTP_HEAD_MAX)
	{
		give_up(peer, 413, CODE_TOO_LARGE, "the request's head is too large");
		return 0;
	}
	if (head == 0)
		return 0;
	if (http_parse(&request, bytes, head, &why) != RT_OK)
	{
		give_up(peer, 400, CODE_BAD_REQUEST, why);
		return 0;
	}
	if (request.content_length > peer->server->options->max_message)
	{
		give_up(peer, 413, CODE_TOO_LARGE, "the request's body is too large");
		return 0;
	}
	if (len - head < request.content_length)
	{
		if (!peer->is_continued && http_lists(&request, "expect", "100-continue"))
			(void) peer_write(peer, proceed, sizeof(proceed) - 1);
		peer->is_continued = true;
		peer->needed = head + request.content_length;
		return 0;
	}
	peer->is_kept = request.is_kept;
	memset(&context, 0, sizeof(context));
	context.peer = peer;
	context.request = &request;
	context.body.at = bytes + head;
	context.body.len = request.content_length;
	take_forwarded(peer, &request);
	serve(&context);
	return head + request.content_length;
}

/* Serves the complete requests among what was received. */
static void
process(struct peer *peer)
{
	struct buffer in = peer->in;
	size_t		used = 0;

	/* what is served must not change the bytes that it reads */
	buffer_init(&peer->in);
	while (peer->state == PEER_REQUEST && peer->session == NULL && !peer->is_blocked && !peer->is_cut && used < in.len)
	{
		size_t		n = take_request(peer, in.at + used, in.len - used);

		if (n == 0)
			break;
		used += n;
	}
	if (peer->is_cut || peer->state == PEER_ENDING)
		used = in.len;
	if (peer->state == PEER_WEBSOCKET)
	{
		if (used < in.len)
			ws_received(peer, (unsigned char *) in.at + used, in.len - used);
		used = in.len;
	}
	if (used == in.len)
		buffer_release(&in);
	else if (used > 0)
	{
		memmove(in.at, in.at + used, in.len - used);
		in.len -= used;
	}
	peer->in = in;
}

void
http_received(struct peer *peer, const char *bytes, size_t len)
{
	/* more requests may wait while one is served, but not without limit */
	if (peer->state != PEER_REQUEST && peer->in.len + len > HTTP_HEAD_MAX)
	{
		peer_cut(peer);
		return;
	}
	if (peer->in.len == 0 && peer->state == PEER_REQUEST)
		peer_wait(peer, peer->server->options->handshake_timeout_s * 1000);
	buffer_put(&peer->in, bytes, len);
	if (peer->state == PEER_REQUEST)
		process(peer);
}

void
http_resume(struct peer *peer)
{
	if (peer->state == PEER_FILE)
		send_file(peer);
	if (peer->state == PEER_REQUEST && !peer->is_blocked && !peer->is_cut && peer->in.len > 0)
		process(peer);
}
