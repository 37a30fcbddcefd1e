/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server_ws.c
 *	  A connection that speaks WebSocket: handshake, messages, frames, liveness, close. Knows no
 *	  libwebsockets.
 *
 * Frames come framed (frame_wire()) and are written as they are. A frame above PEER_WRITE_MAX goes out
 * in pieces; nothing else, no pong and no close frame, is written between its first and its last.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "peer.h"
#include "protocol.h"
#include "stats.h"
#include "websocket.h"

#define OPCODE_PING 9
#define OPCODE_PONG 10
#define CLOSE_WAIT_MS 5000		/* for the peer to answer a close frame, or to read it */

struct ws
{
	struct websocket reader;
	int64_t		opened_us;
	int64_t		pinged_us;		/* when the last ping was due */
	unsigned	close_code;		/* the close frame to be written when the large frame is through; 0: none */
	bool		is_closing;		/* a close frame was written or noted */
	bool		is_deaf;		/* after an error nothing more is read */
	bool		is_silent;		/* nothing came since the last ping */
	unsigned char pong_len;		/* a pong that waits for the large frame; 0: none */
	char		pong[2 + WEBSOCKET_CONTROL_MAX];
	char		close_reason[WEBSOCKET_REASON_MAX + 1];
};

/* What is wrong with a request for WebSocket; NULL: nothing. */
static const char *
check_upgrade(const struct http_request *request, unsigned *status)
{
	struct slice key = http_find(request, "sec-websocket-key");

	*status = 400;
	if (request->minor < 1 || !http_lists(request, "upgrade", "websocket") ||
		!http_lists(request, "connection", "upgrade"))
	{
		*status = 426;
		return "this path speaks WebSocket";
	}
	if (!slice_equals(http_find(request, "sec-websocket-version"), "13"))
	{
		*status = 426;
		return "only version 13 of WebSocket is spoken here";
	}
	if (key.len != 24 || key.at[22] != '=' || key.at[23] != '=')
		return "bad Sec-WebSocket-Key";
	if (request->has_body)
		return "a body is not expected";
	return NULL;
}

/* Reads the offered subprotocols: whether ours is among them, and the token if one carries it. */
static bool
read_subprotocols(const struct http_request *request, bool *is_ours, struct slice *token)
{
	struct slice item;
	size_t		at = 0;
	bool		is_any = false;

	*is_ours = false;
	while (http_next_item(request, "sec-websocket-protocol", &at, &item))
	{
		is_any = true;
		if (slice_equals(item, PROTOCOL_NAME))
			*is_ours = true;
		else if (item.len > 7 && memcmp(item.at, "bearer.", 7) == 0)
		{
			token->at = item.at + 7;
			token->len = item.len - 7;
		}
	}
	return !is_any || *is_ours;
}

/* Makes the connection a WebSocket: says so, and starts its time. */
static void
become(struct peer *peer, const struct http_request *request, bool has_subprotocol)
{
	char		accept[32];
	char		answer[300];
	int			len;
	struct ws  *ws = memory_alloc_zeroed(sizeof(*ws));

	websocket_init(&ws->reader, peer->server->options->max_message);
	ws->opened_us = ws->pinged_us = loop_clock_us();
	peer->state = PEER_WEBSOCKET;
	peer->ws = ws;
	peer_accept_key(http_find(request, "sec-websocket-key"), accept);
	len = snprintf(answer, sizeof(answer), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n", accept,
				   has_subprotocol ? "Sec-WebSocket-Protocol: " PROTOCOL_NAME "\r\n" : "");
	(void) peer_write(peer, answer, (size_t) len);
}

/* When the peer is to be looked at next. */
static void
wait_on(struct peer *peer)
{
	const struct options *options = peer->server->options;
	int64_t		now = loop_clock_us();
	int64_t		ms = (int64_t) options->heartbeat_s * 1000 - (now - peer->ws->pinged_us) / 1000;

	if (peer->session != NULL && session_is_waiting_for_auth(peer->session))
	{
		int64_t		left = (int64_t) options->auth_timeout_s * 1000 -
			(now - peer->ws->opened_us) / 1000;

		if (left < ms)
			ms = left;
	}
	peer_wait(peer, ms > 0 ? (unsigned) ms : 0);
}

void
ws_start(struct peer *peer, const struct http_request *request)
{
	struct peer_info info = {.peer = peer, .transport = TRANSPORT_WEBSOCKET};
	struct slice token = {NULL, 0};
	struct session *session;
	const char *code = CODE_INTERNAL;
	const char *why;
	unsigned	status;
	bool		is_ours;

	why = check_upgrade(request, &status);
	if (why != NULL)
	{
		http_refuse(peer, request, status, CODE_BAD_REQUEST, why, status == 426 ?
					"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : NULL);
		return;
	}
	if (!read_subprotocols(request, &is_ours, &token))
	{
		http_refuse(peer, request, 400, CODE_BAD_REQUEST,
					"none of the offered subprotocols is " PROTOCOL_NAME, NULL);
		return;
	}
	if (token.at == NULL)
		(void) http_bearer(request, &token);
	info.address = peer->seen_address ? peer->seen_address : peer->address;
	info.token = token.at;
	info.token_len = token.len;
	session = session_open(peer->server->worker, &info, &status, &code);
	if (session == NULL)
	{
		http_refuse(peer, request, status, code, "the connection was refused", NULL);
		return;
	}
	peer->session = session;
	peer->is_corked = true;
	become(peer, request, is_ours);
	wait_on(peer);
	peer->is_corked = false;
	peer_flush(peer);
}

/* Writes a control frame, unless a frame is under way in pieces. */
static bool
write_control(struct peer *peer, unsigned opcode, const void *payload, size_t len)
{
	unsigned char out[2 + WEBSOCKET_CONTROL_MAX];

	if (peer->large != NULL)
		return false;
	(void) peer_write(peer, out, websocket_control(out, opcode, payload, len));
	return true;
}

/* Answers a ping; the newest one is enough when the answer has to wait. */
static void
answer_ping(struct peer *peer, const char *payload, size_t len)
{
	struct ws  *ws = peer->ws;

	if (!write_control(peer, OPCODE_PONG, payload, len))
		ws->pong_len = (unsigned char) websocket_control((unsigned char *) ws->pong, OPCODE_PONG,
														 payload, len);
}

/* Writes the close frame that was noted. */
static void
write_close(struct peer *peer)
{
	unsigned char out[2 + WEBSOCKET_CONTROL_MAX];
	struct ws  *ws = peer->ws;

	(void) peer_write(peer, out, websocket_close_frame(out, ws->close_code, ws->close_reason));
	ws->close_code = 0;
}

void
ws_close(struct peer *peer, unsigned code, const char *reason)
{
	struct ws  *ws = peer->ws;

	if (ws->is_closing)
		return;
	ws->is_closing = true;
	ws->close_code = code;
	snprintf(ws->close_reason, sizeof(ws->close_reason), "%s", reason ? reason : "");
	peer_end_session(peer);
	peer_wait(peer, CLOSE_WAIT_MS);
	if (peer->large == NULL)
		write_close(peer);
}

/* The peer did what it must not: counted and logged by its code in the protocol, without what was sent. */
static void
fail(struct peer *peer, unsigned code, const char *why)
{
	const char *name = code == WEBSOCKET_TOO_LARGE ? CODE_TOO_LARGE : CODE_BAD_FRAME;

	stats_refused(name);
	log_write(LOG_LEVEL_WARNING, "refused", "code=%s reason=%s close=%u address=%s", name, why, code,
			  peer->address);
	peer_close(peer, code, why);
	if (peer->is_cut || peer->state != PEER_WEBSOCKET)
		return;
	peer->ws->is_deaf = true;
	if (peer->large == NULL)
		peer_finish(peer);
}

/* The peer's close frame: answers it unless it is an answer, and hangs up. */
static void
closed_by_peer(struct peer *peer, unsigned code)
{
	if (!peer->ws->is_closing)
		peer_close(peer, code, NULL);
	if (peer->large != NULL)
		peer_cut(peer);			/* there is no room for a close frame any more */
	else
		peer_finish(peer);
}

/* One message or control frame of the peer. */
static void
take(struct peer *peer, const struct websocket_result *found)
{
	bool		is_closing = peer->ws->is_closing;

	switch (found->event)
	{
		case WEBSOCKET_TEXT:
		case WEBSOCKET_PING:
			if (is_closing || peer->session == NULL || peer->is_session_over)
				break;
			if (!peer_may_speak(peer))
			{
				stats_refused(CODE_RATE_LIMITED);
				log_write(LOG_LEVEL_WARNING, "refused", "code=%s address=%s", CODE_RATE_LIMITED,
						  peer->address);
				peer_close(peer, CLOSE_RATE, CODE_RATE_LIMITED);
			}
			else if (found->event == WEBSOCKET_TEXT)
				session_receive(peer->session, found->payload, found->len);
			else
				answer_ping(peer, found->payload, found->len);
			break;
		case WEBSOCKET_CLOSE:
			closed_by_peer(peer, found->code);
			break;
		case WEBSOCKET_ERROR:
			fail(peer, found->code, found->why);
			break;
		case WEBSOCKET_PONG:
		case WEBSOCKET_NEED_MORE:
			break;
	}
}

void
ws_received(struct peer *peer, unsigned char *bytes, size_t len)
{
	peer->ws->is_silent = false;
	peer->is_corked = true;
	while (peer->state == PEER_WEBSOCKET && !peer->is_cut && !peer->ws->is_deaf)
	{
		struct websocket_result found = websocket_read(&peer->ws->reader, &bytes, &len);

		if (found.event == WEBSOCKET_NEED_MORE)
			break;
		take(peer, &found);
		if (found.event == WEBSOCKET_ERROR || found.event == WEBSOCKET_CLOSE)
			break;
	}
	peer->is_corked = false;
	if (peer->state != PEER_WEBSOCKET || peer->is_cut)
		return;
	peer_flush(peer);
}

/* Sends pieces of the large frame until it is through or the socket is full. */
static void
send_large(struct peer *peer)
{
	struct slice wire = frame_wire(peer->large);

	while (!peer->is_blocked && peer->large_at < wire.len)
	{
		size_t		n = wire.len - peer->large_at;

		if (n > PEER_WRITE_MAX)
			n = PEER_WRITE_MAX;
		if (!peer_write(peer, wire.at + peer->large_at, n))
			return;
		peer->large_at += n;
		if (peer->session != NULL && !peer->is_session_over)
			session_sent(peer->session, 0);
	}
	if (peer->large_at < wire.len)
		return;
	frame_unref(peer->large);
	peer->large = NULL;
	peer_count_frames(1);
	if (peer->ws->pong_len > 0)
		(void) peer_write(peer, peer->ws->pong, peer->ws->pong_len);
	peer->ws->pong_len = 0;
}

/* Writes the first frames of a list in one go; returns how many. */
static unsigned
send_some(struct peer *peer, struct frame **frames, unsigned n)
{
	unsigned char *scratch = peer->server->scratch;
	struct slice wire = frame_wire(frames[0]);
	size_t		len = 0;
	unsigned	packed;

	if (n == 1 || wire.len + frame_wire(frames[1]).len > PEER_WRITE_MAX)
	{
		(void) peer_write(peer, wire.at, wire.len);
		return 1;
	}
	for (packed = 0; packed < n; packed++)
	{
		wire = frame_wire(frames[packed]);
		if (wire.len > PEER_WRITE_MAX - len)
			break;
		memcpy(scratch + len, wire.at, wire.len);
		len += wire.len;
	}
	(void) peer_write(peer, scratch, len);
	return packed;
}

void
ws_flush(struct peer *peer)
{
	struct frame *frames[PEER_BATCH];

	if (peer->ws->is_closing)
		return;
	if (peer->large != NULL)
		send_large(peer);
	while (!peer->is_blocked && !peer->is_cut && peer->large == NULL)
	{
		unsigned	n = session_pending(peer->session, frames, PEER_BATCH);

		if (n == 0)
			break;
		if (frame_wire(frames[0]).len > PEER_WRITE_MAX)
		{
			peer->large = frame_ref(frames[0]);
			peer->large_at = 0;
			session_sent(peer->session, 1);
			send_large(peer);
			continue;
		}
		n = send_some(peer, frames, n);
		session_sent(peer->session, n);
		peer_count_frames(n);
	}
}

void
ws_writable(struct peer *peer)
{
	if (!peer->ws->is_closing)
	{
		peer_flush(peer);
		return;
	}
	if (peer->large != NULL)
		send_large(peer);
	if (peer->large == NULL && peer->ws->close_code != 0)
		write_close(peer);
}

void
ws_tick(struct peer *peer)
{
	struct ws  *ws = peer->ws;
	const struct options *options = peer->server->options;
	int64_t		now = loop_clock_us();

	if (ws->is_closing)
	{
		peer_cut(peer);
		return;
	}
	if (peer->session != NULL && session_is_waiting_for_auth(peer->session) &&
		now - ws->opened_us >= (int64_t) options->auth_timeout_s * 1000000)
	{
		stats_refused(CODE_UNAUTHORIZED);
		log_write(LOG_LEVEL_WARNING, "refused", "code=%s reason=%s address=%s", CODE_UNAUTHORIZED,
				  "no valid token in time", peer->address);
		peer_close(peer, CLOSE_UNAUTHORIZED, CODE_UNAUTHORIZED);
		return;
	}
	/* while output waits, whether the peer is alive is TCP's question, and the session's */
	if (!peer->is_blocked && now - ws->pinged_us >= (int64_t) options->heartbeat_s * 1000000)
	{
		if (ws->is_silent)
		{
			log_write(LOG_LEVEL_DEBUG, "peer_silent", "address=%s", peer->address);
			peer_cut(peer);
			return;
		}
		ws->is_silent = true;
		ws->pinged_us = now;
		(void) write_control(peer, OPCODE_PING, NULL, 0);
	}
	else if (peer->is_blocked)
		ws->pinged_us = now;
	wait_on(peer);
}

void
ws_release(struct peer *peer)
{
	if (peer->ws == NULL)
		return;
	websocket_release(&peer->ws->reader);
	memory_free(peer->ws);
	peer->ws = NULL;
}
