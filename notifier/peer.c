/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * peer.c
 *	  See peer.h: the life of a connection, whatever it speaks. Deadlines, what is put off to a turn of its
 *	  own, flushing, closing, draining. Knows no libwebsockets; server.c moves the bytes.
 */
#include "peer.h"

#include <string.h>

#include "memory.h"
#include "stats.h"

static void peer_tick(void *arg);
static void run_todo(void *arg);

void
peers_init(struct server *server)
{
	server->tick = loop_timer_new(server->loop, peer_tick, server);
	server->todo_timer = loop_timer_new(server->loop, run_todo, server);
}

void
peers_release(struct server *server)
{
	loop_timer_free(server->tick);
	loop_timer_free(server->todo_timer);
}

struct peer *
peer_new(struct server *server, const char *address, bool is_local)
{
	struct peer *peer = memory_alloc_zeroed(sizeof(*peer));

	peer->server = server;
	peer->address = memory_copy_string(address, strlen(address));
	peer->is_local = is_local;
	peer->plain_fd = -1;
	peer->next = server->peers;
	peer->link = &server->peers;
	if (peer->next != NULL)
		peer->next->link = &peer->next;
	server->peers = peer;
	server->count++;
	peer_wait(peer, server->is_draining ? 0 : server->options->handshake_timeout_s * 1000);
	return peer;
}

/* Notes that something is to be done with a peer, in a turn of its own. */
static void
add_todo(struct peer *peer)
{
	struct server *server = peer->server;

	if (peer->is_todo)
		return;
	peer->is_todo = true;
	peer->todo = server->todo;
	if (server->todo == NULL && !server->is_ending)
		loop_timer_start(server->todo_timer, 0);
	server->todo = peer;
}

void
peer_cut(struct peer *peer)
{
	peer->is_cut = true;
	add_todo(peer);
}

void
peer_end_session(struct peer *peer)
{
	if (peer->session == NULL || peer->is_session_over)
		return;
	peer->is_session_over = true;
	add_todo(peer);
}

void
peer_wait(struct peer *peer, unsigned ms)
{
	struct server *server = peer->server;

	if (server->wheel.count == 0 && !loop_timer_is_active(server->tick))
		loop_timer_start(server->tick, PEER_TICK_MS);
	wheel_set(&server->wheel, &peer->timer, (ms + PEER_TICK_MS - 1) / PEER_TICK_MS + 1);
}

void
peer_count_frames(unsigned n)
{
	stats_add(STAT_FRAMES_OUT, n);
}

bool
peer_may_speak(struct peer *peer)
{
	unsigned	limit = peer->server->options->max_messages_per_minute;
	int64_t		now = loop_clock_us();

	if (peer->bucket.filled_us == 0)
		peer->bucket.tokens = limit;
	else
		peer->bucket.tokens += (double) (now - peer->bucket.filled_us) * limit / 60e6;
	if (peer->bucket.tokens > limit)
		peer->bucket.tokens = limit;
	peer->bucket.filled_us = now;
	if (peer->bucket.tokens < 1)
		return false;
	peer->bucket.tokens -= 1;
	return true;
}

/* Takes back what the inspector was asked for. */
static void
forget_inspection(struct peer *peer)
{
	peer->server->inspector->release(peer);
	peer->state = PEER_REQUEST;
}

void
peer_finish(struct peer *peer)
{
	if (peer->state == PEER_ENDING)
		return;
	peer_end_session(peer);
	if (peer->state == PEER_WEBSOCKET)
		ws_release(peer);
	else if (peer->state == PEER_FILE)
		http_release(peer);
	else if (peer->state == PEER_INSPECTING)
		forget_inspection(peer);
	else if (peer->state != PEER_REQUEST)
		feed_free(peer);
	peer->state = PEER_ENDING;
	buffer_release(&peer->in);
	peer_wait(peer, PEER_LINGER_MS);
	peer_shut(peer);
}

/* Frees what a peer holds. Its socket is gone. */
void
peer_free(struct peer *peer)
{
	struct server *server = peer->server;
	struct session *session = peer->session;

	peer->session = NULL;
	if (session != NULL)
		session_closed(session);
	if (peer->state == PEER_WEBSOCKET)
		ws_release(peer);
	else if (peer->state == PEER_FILE)
		http_release(peer);
	else if (peer->state == PEER_EVENTS || peer->state == PEER_POLL)
		feed_free(peer);
	else if (peer->state == PEER_INSPECTING)
		forget_inspection(peer);
	wheel_remove(&server->wheel, &peer->timer);
	*peer->link = peer->next;
	if (peer->next != NULL)
		peer->next->link = peer->link;
	for (struct peer **at = &server->todo; peer->is_todo && *at != NULL; at = &(*at)->todo)
		if (*at == peer)
		{
			*at = peer->todo;
			break;
		}
	server->count--;
	if (server->gone != NULL)
		server->gone(server->gone_arg, peer->address);
	if (peer->large != NULL)
		frame_unref(peer->large);
	buffer_release(&peer->in);
	memory_free(peer->address);
	memory_free(peer->seen_address);
	memory_free(peer);
	if (server->count == 0 && server->is_draining)
		loop_timer_start(server->todo_timer, 0);
}

/* Hands bytes to the part that the connection is now. */
void
peer_received(struct peer *peer, unsigned char *bytes, size_t len)
{
	switch ((enum peer_state) peer->state)
	{
		case PEER_REQUEST:
		case PEER_FILE:
			http_received(peer, (const char *) bytes, len);
			break;
		case PEER_WEBSOCKET:
			ws_received(peer, bytes, len);
			break;
		case PEER_EVENTS:
		case PEER_POLL:
		case PEER_INSPECTING:
			http_received(peer, (const char *) bytes, len);
			break;
		case PEER_ENDING:
			break;
	}
}

/* The socket took everything: goes on with what waits. */
void
peer_writable(struct peer *peer)
{
	switch ((enum peer_state) peer->state)
	{
		case PEER_REQUEST:
		case PEER_FILE:
			http_resume(peer);
			break;
		case PEER_WEBSOCKET:
			ws_writable(peer);
			break;
		case PEER_EVENTS:
		case PEER_POLL:
			feed_writable(peer);
			break;
		case PEER_INSPECTING:
			break;
		case PEER_ENDING:
			peer_shut(peer);
			break;
	}
}

/* Does what was put off: ends sessions, hangs up. */
static void
run_todo(void *arg)
{
	struct server *server = arg;

	while (server->todo != NULL)
	{
		struct peer *peer = server->todo;

		server->todo = peer->todo;
		peer->is_todo = false;
		if (peer->is_session_over)
		{
			struct session *session = peer->session;

			peer->session = NULL;
			peer->is_session_over = false;
			if (session != NULL)
				session_closed(session);
			if (!peer->is_cut)
				http_resume(peer);
		}
		if (peer->is_cut)
			peer_kill(peer);
	}
	if (server->is_draining && server->count == 0 && server->drained != NULL)
	{
		loop_fn		done = server->drained;

		server->drained = NULL;
		done(server->drained_arg);
	}
}

/* A peer's deadline is there. */
static void
peer_due(struct wheel_entry *entry, void *arg)
{
	struct peer *peer = (struct peer *) entry;

	(void) arg;
	if (peer->server->is_draining && peer->session != NULL && !peer->is_session_over)
	{
		peer_wait(peer, PEER_LINGER_MS);
		peer_close(peer, 1012, "the server restarts");
		return;
	}
	switch ((enum peer_state) peer->state)
	{
		case PEER_WEBSOCKET:
			ws_tick(peer);
			break;
		case PEER_EVENTS:
		case PEER_POLL:
			feed_tick(peer);
			break;
		case PEER_REQUEST:
		case PEER_FILE:
		case PEER_INSPECTING:
		case PEER_ENDING:
			peer_cut(peer);
			break;
	}
}

static void
peer_tick(void *arg)
{
	struct server *server = arg;

	wheel_advance(&server->wheel, peer_due, server);
	if (server->wheel.count > 0)
		loop_timer_start(server->tick, PEER_TICK_MS);
}

void
peer_flush(struct peer *peer)
{
	if (peer->session == NULL || peer->is_session_over || peer->is_blocked || peer->is_corked ||
		peer->is_flushing || peer->is_cut)
		return;
	peer->is_flushing = true;
	if (peer->state == PEER_WEBSOCKET)
		ws_flush(peer);
	else if (peer->state == PEER_EVENTS || peer->state == PEER_POLL)
		feed_flush(peer);
	peer->is_flushing = false;
}

void
peer_close(struct peer *peer, unsigned code, const char *reason)
{
	if (peer->is_cut || peer->is_session_over)
		return;
	peer->is_corked = false;
	peer_flush(peer);
	if (peer->is_cut || peer->is_session_over)
		return;
	if (peer->state == PEER_WEBSOCKET)
		ws_close(peer, code, reason);
	else if (peer->state == PEER_EVENTS || peer->state == PEER_POLL)
		feed_close(peer, code, reason);
	else
		peer_cut(peer);
}

void
server_drain(struct server *server, unsigned seconds, loop_fn done, void *arg)
{
	unsigned	i = 0;
	unsigned	count = server->count;

	server->is_draining = true;
	server->drained = done;
	server->drained_arg = arg;
	for (struct peer *peer = server->peers; peer != NULL; peer = peer->next, i++)
		if (peer->state != PEER_ENDING)
			peer_wait(peer, (unsigned) ((uint64_t) i * seconds * 1000 / count));
	if (count == 0)
		loop_timer_start(server->todo_timer, 0);
}
