/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server_poll.c
 *	  The answer of a long poll. Knows no libwebsockets.
 *
 * A poll collects frames until there is news and a position after it, or its time is over. When more comes than
 * POLL_COLLECT_MAX before that, the answer begins to be sent as it comes, so that a large snapshot is not
 * kept here, and its connection ends with it.
 *
 * No answer comes before all of its subscriptions are in the present: its position would cover what some have
 * not had, or, given too soon each time, never move. Where that takes longer, blanks show that it is under way. Who
 * has not come there when poll-timeout is over, and gets nothing, is told to try again.
 */
#include <string.h>

#include "memory.h"
#include "peer.h"
#include "protocol.h"
#include "server_feed.h"

#define POLL_COLLECT_MAX ((size_t) 256 * 1024)	/* bytes */
#define LIFE_US 2000000			/* between signs of life of a poll whose time is over */

/* Looks at a frame of a poll: what it means for the answer. */
static void
look_at(struct peer *peer, struct frame *frame)
{
	struct feed_state *state = peer->feed;
	struct slice value;

	if (frame_kind(frame) == FRAME_POSITION)
	{
		state->is_inside = false;
		if (feed_find_position(frame, &value))
		{
			state->position.len = 0;
			buffer_put_slice(&state->position, value);
			state->has_position = true;
		}
		return;
	}
	if (frame_kind(frame) != FRAME_REPLY)
	{
		state->has_news = state->is_inside = true;
		return;
	}
	if (feed_is_end(state, frame))
		return;					/* the close that follows decides about the answer */
	if (jsonscan_find(frame_payload(frame), "op", &value) != 1)
		return;
	value = jsonscan_inside(value);
	if (slice_equals(value, "subscribed"))
	{
		if (state->position.len == 0 && feed_find_position(frame, &value))
			buffer_put_slice(&state->position, value);
	}
	else if (slice_equals(value, "error"))
	{
		state->has_news = true;
		state->refused++;
	}
	else if (!slice_equals(value, "welcome") && !slice_equals(value, "authenticated"))
		state->has_news = true;
}

/* Answers a poll with what was collected. */
void
poll_answer(struct peer *peer)
{
	struct feed_state *state = peer->feed;
	struct buffer body = {0};
	struct buffer extra = {0};

	buffer_puts(&body, "{\"frames\":[");
	for (unsigned i = 0; i < state->count; i++)
	{
		if (i > 0)
			buffer_puts(&body, ",");
		buffer_put_slice(&body, frame_payload(state->frames[i]));
	}
	buffer_puts(&body, "],\"position\":");
	if (state->position.len > 0)
		buffer_put_slice(&body, buffer_slice(&state->position));
	else
		buffer_puts(&body, "null");
	buffer_puts(&body, "}\n");
	buffer_put(&extra, state->cors.at, strlen(state->cors.at));
	buffer_puts(&extra, "Cache-Control: no-store\r\n");
	buffer_put(&extra, "", 1);
	peer_end_session(peer);
	feed_free(peer);
	http_answer(peer, NULL, 200, "application/json", extra.at, buffer_slice(&body));
	buffer_release(&body);
	buffer_release(&extra);
}

/* Begins to send the answer of a poll, for there is more than is kept. */
static void
begin_poll_stream(struct peer *peer)
{
	struct feed_state *state = peer->feed;
	struct buffer out = {0};

	buffer_puts(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
				"X-Content-Type-Options: nosniff\r\n");
	buffer_puts(&out, state->cors.at);
	buffer_puts(&out, "Connection: close\r\n\r\n{\"frames\":[");
	for (unsigned i = 0; i < state->count; i++)
	{
		if (i > 0)
			buffer_puts(&out, ",");
		buffer_put_slice(&out, frame_payload(state->frames[i]));
		frame_unref(state->frames[i]);
	}
	state->is_first = state->count == 0;
	state->count = 0;
	state->is_streaming = true;
	(void) peer_write(peer, out.at, out.len);
	buffer_release(&out);
}

/* The end of a streamed answer: the position to ask with next. */
void
poll_end_stream(struct peer *peer)
{
	struct feed_state *state = peer->feed;

	(void) peer_write(peer, "],\"position\":", 13);
	if (state->position.len > 0)
		(void) peer_write(peer, state->position.at, state->position.len);
	else
		(void) peer_write(peer, "null", 4);
	(void) peer_write(peer, "}\n", 2);
	feed_end_stream(peer);
}

bool
poll_is_whole(const struct peer *peer)
{
	return !peer->feed->is_inside && peer->session != NULL && session_is_settled(peer->session);
}

/* Whether the poll has what it waited for. */
static bool
is_answered(const struct peer *peer, enum frame_kind last)
{
	const struct feed_state *state = peer->feed;

	return (state->asked > 0 && state->refused >= state->asked)
		|| (state->has_news && last == FRAME_POSITION && poll_is_whole(peer));
}

/* Ends a poll with what there is. */
void
poll_end(struct peer *peer)
{
	if (!peer->feed->is_streaming)
		poll_answer(peer);
	else if (peer->large == NULL)
		poll_end_stream(peer);
	else
		peer->feed->is_over = true;	/* ended when the frame is through */
}

/* It takes longer: the answer begins, and goes on with blanks, so that who waits, and what is between, knows of it. */
static void
show_life(struct peer *peer, int64_t now)
{
	struct feed_state *state = peer->feed;

	if (now - state->due_us < LIFE_US)
		return;
	if (state->is_streaming)
		(void) peer_write(peer, " ", 1);
	else
		begin_poll_stream(peer);
}

bool
poll_goes_on(struct peer *peer, int64_t now)
{
	struct feed_state *state = peer->feed;

	if (peer->large != NULL || peer->is_blocked)
	{
		state->look_us = now + (int64_t) PEER_LINGER_MS * 1000;
		return true;
	}
	if (poll_is_whole(peer))
	{
		poll_end(peer);
		return false;
	}
	if (now >= state->fails_us && !state->has_moved)
	{
		peer_close(peer, CLOSE_TRY_LATER, "what was asked for could not be caught up with in time");
		return false;
	}
	if (now >= state->fails_us)
	{
		state->has_moved = false;
		state->fails_us = now + (int64_t) peer->server->options->poll_timeout_s * 1000000;
	}
	show_life(peer, now);
	state->look_us = now + LIFE_US < state->fails_us ? now + LIFE_US : state->fails_us;
	return true;
}

/* Takes frames for a poll's answer; each is looked at as it is taken. */
void
poll_flush(struct peer *peer)
{
	struct feed_state *state = peer->feed;
	struct frame *frame;

	while (!peer->is_cut && peer->large == NULL && session_pending(peer->session, &frame, 1) == 1)
	{
		enum frame_kind kind = frame_kind(frame);

		if (state->is_streaming && peer->is_blocked)
			return;
		look_at(peer, frame);
		if (!state->is_streaming && state->bytes + frame_payload(frame).len > POLL_COLLECT_MAX)
			begin_poll_stream(peer);
		if (!state->is_streaming)
		{
			state->frames = memory_resize(state->frames, sizeof(struct frame *) * (state->count + 1));
			state->frames[state->count++] = frame_ref(frame);
			state->bytes += frame_payload(frame).len;
			peer_count_frames(1);
		}
		else if (feed_send_some(peer, &frame, 1) == 0)
			feed_start_large(peer, frame);
		state->has_moved |= state->is_streaming;
		session_sent(peer->session, 1);
		if (peer->large != NULL)
			feed_send_large(peer);
		if (is_answered(peer, kind))
		{
			poll_end(peer);
			return;
		}
	}
	if (!peer->is_cut && peer->large == NULL && loop_clock_us() >= state->due_us && poll_is_whole(peer))
		poll_end(peer);
}
