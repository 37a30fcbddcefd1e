/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server_feed.c
 *	  The same frames over plain HTTP: asking for them, server-sent events, and what a long poll
 *	  (server_poll.c) has in common with them. Knows no libwebsockets.
 *
 * A stream of events ends where its connection ends.
 */
#include <stdio.h>
#include <string.h>

#include "feed.h"
#include "log.h"
#include "memory.h"
#include "peer.h"
#include "protocol.h"
#include "server_feed.h"
#include "stats.h"

/* What ends a stream, told apart from an answer over. */
static const char *
code_of(unsigned code)
{
	switch (code)
	{
		case CLOSE_UNAUTHORIZED: return CODE_UNAUTHORIZED;
		case CLOSE_EXPIRED: return CODE_EXPIRED;
		case CLOSE_SLOW: return "slow";
		case CLOSE_RATE: return CODE_RATE_LIMITED;
		case CLOSE_BAD_FRAMES: return CODE_BAD_FRAME;
		case CLOSE_RESTART:
		case CLOSE_TRY_LATER: return CODE_UNAVAILABLE;
		default: return CODE_INTERNAL;
	}
}

/* The HTTP status that says the same. */
static unsigned
status_of(unsigned code)
{
	switch (code)
	{
		case CLOSE_UNAUTHORIZED:
		case CLOSE_EXPIRED: return 401;
		case CLOSE_RATE: return 429;
		case CLOSE_BAD_FRAMES: return 400;
		default: return 503;
	}
}

static void
state_free(struct feed_state *state)
{
	for (unsigned i = 0; i < state->count; i++)
		frame_unref(state->frames[i]);
	memory_free(state->frames);
	buffer_release(&state->cors);
	buffer_release(&state->position);
	buffer_release(&state->error);
	memory_free(state);
}

void
feed_free(struct peer *peer)
{
	if (peer->feed != NULL)
		state_free(peer->feed);
	peer->feed = NULL;
}

/* The head of a stream of events. */
static void
begin_events(struct peer *peer)
{
	struct buffer out = {0};

	buffer_puts(&out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
				"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n");
	buffer_puts(&out, peer->feed->cors.at);
	buffer_puts(&out, "Connection: close\r\n\r\n");
	(void) peer_write(peer, out.at, out.len);
	buffer_release(&out);
}

/* When the peer is to be looked at next. */
static void
wait_on(struct peer *peer)
{
	const struct options *options = peer->server->options;
	int64_t		now = loop_clock_us();
	/* a deadline is up to two ticks late, but something must come at every heartbeat */
	int64_t		ms = (int64_t) options->heartbeat_s * 1000 - 2 * PEER_TICK_MS;

	if (peer->session != NULL && session_is_waiting_for_auth(peer->session))
	{
		int64_t		left = (int64_t) options->auth_timeout_s * 1000 - (now - peer->feed->opened_us) / 1000;

		if (left < ms)
			ms = left;
	}
	if (peer->state == PEER_POLL && (peer->feed->look_us - now) / 1000 < ms)
		ms = (peer->feed->look_us - now) / 1000;
	peer_wait(peer, ms > 0 ? (unsigned) ms : 0);
}

/* Makes the connection a feed. */
static void
become(struct peer *peer, bool is_poll, const char *cors, const struct feed *feed)
{
	const struct options *options = peer->server->options;
	struct feed_state *state = memory_alloc_zeroed(sizeof(*state));
	unsigned	timeout_s = options->poll_timeout_s;

	if (feed->timeout_s >= 0 && (unsigned) feed->timeout_s < timeout_s)
		timeout_s = (unsigned) feed->timeout_s;
	buffer_put(&state->cors, cors, strlen(cors) + 1);
	state->opened_us = loop_clock_us();
	state->due_us = state->look_us = state->opened_us + (int64_t) timeout_s * 1000000;
	state->fails_us = state->opened_us + (int64_t) options->poll_timeout_s * 1000000;
	state->asked = feed->count;
	state->is_first = true;
	if (feed->since.len > 0)
		buffer_put_json(&state->position, feed->since.at, feed->since.len);
	peer->state = is_poll ? PEER_POLL : PEER_EVENTS;
	peer->feed = state;
}

void
feed_start(struct peer *peer, const struct http_request *request, struct slice body, bool is_poll,
		   const char *cors)
{
	struct peer_info info = {.peer = peer, .transport = is_poll ? TRANSPORT_POLL : TRANSPORT_SSE};
	struct slice last_id = http_find(request, "last-event-id");
	struct slice token = {NULL, 0};
	struct feed feed;
	const char *code = CODE_INTERNAL;
	const char *why = NULL;
	unsigned	status = 503;
	int			result;

	if (slice_equals(request->method, "POST"))
		result = feed_read_body(&feed, body, last_id, &why);
	else
		result = feed_read_query(&feed, request->query, last_id, &why);
	if (result != RT_OK)
	{
		feed_release(&feed);
		http_refuse(peer, request, 400, CODE_BAD_REQUEST, why, cors);
		return;
	}
	if (!http_bearer(request, &token) && feed.token.len > 0)
		token = buffer_slice(&feed.token);
	info.address = peer->seen_address ? peer->seen_address : peer->address;
	info.token = token.at;
	info.token_len = token.len;
	peer->session = session_open(peer->server->worker, &info, &status, &code);
	if (peer->session == NULL)
	{
		feed_release(&feed);
		http_refuse(peer, request, status, code, "the connection was refused", cors);
		return;
	}
	become(peer, is_poll, cors, &feed);
	peer->is_corked = true;
	if (!is_poll)
		begin_events(peer);
	for (unsigned i = 0; i < feed.count && !peer->is_session_over; i++)
		session_receive(peer->session, feed.messages[i].at, feed.messages[i].len);
	peer->is_corked = false;
	feed_release(&feed);
	if (peer->is_session_over)
		return;
	wait_on(peer);
	peer_flush(peer);
}

/* The position of a frame that has one, as JSON text. */
bool
feed_find_position(struct frame *frame, struct slice *position)
{
	return jsonscan_find(frame_payload(frame), "position", position) == 1;
}

/* Line ends are spaces of JSON, but would end a line of the stream: writes them as spaces. */
static void
copy_line(unsigned char *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = text[i] == '\n' || text[i] == '\r' ? ' ' : (unsigned char) text[i];
}

/*
 * What goes before and after a frame's payload: for an event "id: <position>", if it is one, and "data: ";
 * in a streamed poll a comma. before has room for a position's frame.
 */
static size_t
put_before(struct peer *peer, struct frame *frame, unsigned char *before, size_t room)
{
	struct slice position;
	size_t		len = 0;

	if (peer->state == PEER_POLL)
	{
		if (peer->feed->is_first)
			return 0;
		before[0] = ',';
		return 1;
	}
	if (frame_kind(frame) == FRAME_POSITION && feed_find_position(frame, &position))
	{
		struct slice inside = jsonscan_inside(position);

		if (inside.len + 20 < room)
		{
			memcpy(before, "id: ", 4);
			memcpy(before + 4, inside.at, inside.len);
			len = 4 + inside.len;
			before[len++] = '\n';
		}
	}
	if (len + 6 > room)
		return 0;
	memcpy(before + len, "data: ", 6);
	return len + 6;
}

/* Sends pieces of the large frame until it is through or the socket is full. */
void
feed_send_large(struct peer *peer)
{
	unsigned char *scratch = peer->server->scratch;
	struct slice payload = frame_payload(peer->large);

	while (!peer->is_blocked && peer->large_at < payload.len)
	{
		size_t		n = payload.len - peer->large_at;

		if (n > PEER_WRITE_MAX)
			n = PEER_WRITE_MAX;
		copy_line(scratch, payload.at + peer->large_at, n);
		if (!peer_write(peer, scratch, n))
			return;
		peer->large_at += n;
		if (peer->session != NULL && !peer->is_session_over)
			session_sent(peer->session, 0);
	}
	if (peer->large_at < payload.len)
		return;
	if (peer->state == PEER_EVENTS)
		(void) peer_write(peer, "\n\n", 2);
	frame_unref(peer->large);
	peer->large = NULL;
	peer_count_frames(1);
}

/* Whether a frame is the error that ends the session: keeps what it says. */
bool
feed_is_end(struct feed_state *state, struct frame *frame)
{
	struct slice payload = frame_payload(frame);
	struct slice value;

	if (frame_kind(frame) != FRAME_REPLY || jsonscan_find(payload, "op", &value) != 1 ||
		!slice_equals(jsonscan_inside(value), "error") || jsonscan_find(payload, "close", &value) != 1)
		return false;
	state->has_error = true;
	state->error.len = 0;
	if (jsonscan_find(payload, "message", &value) == 1)
	{
		struct slice inside = jsonscan_inside(value);
		long		len = jsonscan_unescape(inside, buffer_reserve(&state->error, inside.len + 1));

		state->error.len = len > 0 ? (size_t) len : 0;
	}
	buffer_put(&state->error, "", 1);
	return true;
}

/* Starts a frame that does not fit into the scratch buffer. */
void
feed_start_large(struct peer *peer, struct frame *frame)
{
	unsigned char before[64];
	size_t		len = put_before(peer, frame, before, sizeof(before));

	if (len > 0)
		(void) peer_write(peer, before, len);
	peer->feed->is_first = false;
	peer->large = frame_ref(frame);
	peer->large_at = 0;
}

/* Writes as many of the frames as fit in one go; returns how many, 0: the first one is too large. */
unsigned
feed_send_some(struct peer *peer, struct frame **frames, unsigned n)
{
	unsigned char *scratch = peer->server->scratch;
	size_t		len = 0;
	unsigned	packed;

	for (packed = 0; packed < n; packed++)
	{
		struct slice payload = frame_payload(frames[packed]);
		/* a position stands in its frame and in the id */
		size_t		most = payload.len * (frame_kind(frames[packed]) == FRAME_POSITION ? 2 : 1) + 32;

		if (most > PEER_WRITE_MAX - len)
			break;
		len += put_before(peer, frames[packed], scratch + len, PEER_WRITE_MAX - len);
		copy_line(scratch + len, payload.at, payload.len);
		len += payload.len;
		if (peer->state == PEER_EVENTS)
		{
			memcpy(scratch + len, "\n\n", 2);
			len += 2;
			(void) feed_is_end(peer->feed, frames[packed]);
		}
		peer->feed->is_first = false;
	}
	if (len > 0)
		(void) peer_write(peer, scratch, len);
	peer_count_frames(packed);
	return packed;
}

/* Ends the stream or the streamed answer. */
void
feed_end_stream(struct peer *peer)
{
	peer->feed->is_over = true;
	if (peer->large == NULL)
		peer_finish(peer);
}

/* Writes events as they are ready. */
static void
flush_events(struct peer *peer)
{
	struct frame *frames[PEER_BATCH];

	while (!peer->is_blocked && !peer->is_cut && peer->large == NULL)
	{
		unsigned	n = session_pending(peer->session, frames, PEER_BATCH);

		if (n == 0)
			break;
		n = feed_send_some(peer, frames, n);
		if (n == 0)
		{
			feed_start_large(peer, frames[0]);
			session_sent(peer->session, 1);
			feed_send_large(peer);
		}
		else
			session_sent(peer->session, n);
	}
}

void
feed_flush(struct peer *peer)
{
	if (peer->feed->is_over)
		return;
	if (peer->large != NULL)
	{
		feed_send_large(peer);
		if (peer->large != NULL)
			return;
	}
	if (peer->state == PEER_POLL)
		poll_flush(peer);
	else
		flush_events(peer);
}

void
feed_writable(struct peer *peer)
{
	if (!peer->feed->is_over)
	{
		peer_flush(peer);
		return;
	}
	if (peer->large != NULL)
		feed_send_large(peer);
	if (peer->large == NULL && peer->state == PEER_POLL)
		poll_end_stream(peer);
	else if (peer->large == NULL)
		peer_finish(peer);
}

void
feed_tick(struct peer *peer)
{
	struct feed_state *state = peer->feed;
	int64_t		now = loop_clock_us();

	if (state->is_over)
	{
		peer_cut(peer);
		return;
	}
	if (peer->session != NULL && session_is_waiting_for_auth(peer->session) &&
		now - state->opened_us >= (int64_t) peer->server->options->auth_timeout_s * 1000000)
	{
		stats_refused(CODE_UNAUTHORIZED);
		log_write(LOG_LEVEL_WARNING, "refused", "code=%s reason=%s address=%s", CODE_UNAUTHORIZED,
				  "no valid token in time", peer->address);
		peer_close(peer, CLOSE_UNAUTHORIZED, CODE_UNAUTHORIZED);
		return;
	}
	if (peer->state == PEER_POLL && now >= state->look_us && !poll_goes_on(peer, now))
		return;
	if (peer->state == PEER_EVENTS && !peer->is_blocked && peer->large == NULL)
		(void) peer_write(peer, ":\n\n", 3);
	wait_on(peer);
}

/* The frame that ends a stream of events. */
static void
write_error(struct peer *peer, unsigned code, const char *reason)
{
	struct slice ref = {NULL, 0};
	struct frame *frame = protocol_error(ref, code_of(code), reason ? reason : "", NULL, code);

	(void) feed_send_some(peer, &frame, 1);
	frame_unref(frame);
}

void
feed_close(struct peer *peer, unsigned code, const char *reason)
{
	struct feed_state *state = peer->feed;
	bool		is_whole = peer->state == PEER_POLL && poll_is_whole(peer);

	if (state->is_over)
		return;
	peer_end_session(peer);
	peer_wait(peer, PEER_LINGER_MS);
	if (peer->state == PEER_EVENTS)
	{
		if (peer->large != NULL)
		{
			peer_cut(peer);		/* in the middle of a frame nothing can be said any more */
			return;
		}
		if (!state->has_error)
			write_error(peer, code, reason);
		feed_end_stream(peer);
	}
	else if (state->is_streaming && is_whole)
		poll_end(peer);
	else if (state->is_streaming)
		peer_cut(peer);			/* without its end it is no JSON */
	else if (is_whole && (state->has_position || state->has_news || code == CLOSE_RESTART))
		poll_answer(peer);
	else
	{
		peer->feed = NULL;
		http_refuse(peer, NULL, status_of(code), code_of(code), state->has_error ? state->error.at :
					reason ? reason : "", state->cors.at);
		state_free(state);
	}
}

