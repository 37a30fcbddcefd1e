/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * peer.h
 *	  What the files of the server share about one connection. For server*.c only; others see server.h.
 *
 * server.c			sockets, TLS, writing; the only one that knows libwebsockets
 * peer.c			deadlines, what is put off, flushing, closing, draining
 * server_http.c	requests and answers
 * server_ws.c		WebSocket
 * server_feed.c	server-sent events, and what a long poll has in common with them
 * server_poll.c	long poll
 * inspector_http.c	the inspector's page and data
 *
 * Life of a peer
 * 1. It reads requests (PEER_REQUEST) until one makes it something else, and may come back from there.
 * 2. Writing never waits: what the socket does not take, libwebsockets keeps (at most PEER_WRITE_MAX of a
 *	  stream's bytes), and the peer is blocked until that is gone. A blocked peer is not read from, so one
 *	  that never reads cannot make us queue answers, and is not flushed.
 * 3. Nothing frees a peer while its code runs: peer_cut() and peer_end_session() only note what has to
 *	  be done, in a turn of its own.
 */
#ifndef RT_PEER_H
#define RT_PEER_H

#include <stdint.h>

#include "buffer.h"
#include "http.h"
#include "loop.h"
#include "options.h"
#include "server.h"
#include "session.h"
#include "wheel.h"

#define PEER_WRITE_MAX ((size_t) 64 * 1024)	/* bytes in one write, and in the scratch buffer */
#define PEER_TICK_MS 250		/* how fine deadlines are */
#define PEER_LINGER_MS 5000		/* for a peer to take its last bytes and hang up */
#define PEER_BATCH 128			/* frames looked at in one go */

enum peer_state
{
	PEER_REQUEST,
	PEER_FILE,					/* a static file is being sent */
	PEER_WEBSOCKET,
	PEER_EVENTS,
	PEER_POLL,
	PEER_INSPECTING,			/* an answer is being collected */
	PEER_ENDING					/* all is said: what comes is dropped until the peer hangs up */
};

struct lws;
struct ws;						/* of server_ws.c */
struct feed_state;				/* of server_feed.c */
struct file_state;				/* of server_http.c */
struct inspection;				/* of inspector_http.c */

/* A token bucket: so many messages per minute, all of them at once if need be. */
struct bucket
{
	int64_t		filled_us;		/* when it was filled last */
	double		tokens;
};

struct peer
{
	struct wheel_entry timer;	/* first: a deadline is a peer */
	struct server *server;
	struct peer *next;			/* all of the server's */
	struct peer **link;
	struct peer *todo;			/* next in the server's list of things to do */
	struct lws *wsi;
	struct session *session;
	union
	{
		struct ws  *ws;
		struct feed_state *feed;
		struct file_state *file;
		struct inspection *inspection;
	};
	int			plain_fd;		/* the socket, once it is known to be without TLS; else -1 */
	unsigned char state;		/* enum peer_state */
	bool		is_local;
	bool		is_blocked;		/* the socket did not take all */
	bool		is_corked;		/* flushed later, in one write */
	bool		is_flushing;
	bool		is_todo;
	bool		is_cut;
	bool		is_session_over;
	bool		is_shut;		/* our side of the connection is shut */
	bool		is_continued;	/* the request was told to send its body */
	bool		is_kept;		/* another request may follow the current one */
	char	   *address;			/* the socket's */
	char	   *seen_address;		/* what a trusted proxy says; NULL: the socket's */
	struct bucket bucket;
	struct buffer in;			/* of a request that is not complete */
	size_t		scanned;		/* bytes of it known not to hold the end of its head */
	size_t		needed;			/* bytes of head and body together, once the head was read; else 0 */
	struct frame *large;		/* a frame being sent in pieces, */
	size_t		large_at;		/* of which so many bytes are gone */
};

struct server
{
	struct loop *loop;
	struct worker *worker;
	const struct options *options;
	struct transport_context *transport;	/* libwebsockets' side, in server.c */
	unsigned char *scratch;		/* PEER_WRITE_MAX bytes: frames are put together here */
	struct peer *peers;
	unsigned	count;
	struct wheel wheel;
	struct loop_timer *tick;
	struct peer *todo;
	struct loop_timer *todo_timer;
	const struct server_inspector *inspector;
	server_gone_fn gone;
	void	   *gone_arg;
	bool		is_draining;
	bool		is_ending;		/* server_free() is at work */
	loop_fn		drained;
	void	   *drained_arg;
};

/* server.c */

/* Writes all bytes or lets them be kept; false when the peer is lost. */
bool		peer_write(struct peer *peer, const void *bytes, size_t len);

/* Shuts our side once all output is gone, so that the peer reads it to its end. */
void		peer_shut(struct peer *peer);

/* Hangs up at once, which frees the peer. From a turn of the loop's only, none of the peer's own. */
void		peer_kill(struct peer *peer);

/* Sec-WebSocket-Accept of a key: 28 characters. */
void		peer_accept_key(struct slice key, char out[32]);

/* peer.c */
void		peers_init(struct server *server);
void		peers_release(struct server *server);
struct peer *peer_new(struct server *server, const char *address, bool is_local);

/* Its socket is gone. */
void		peer_free(struct peer *peer);

/* Bytes for the part that the connection is now; and when the socket has taken all of our own. */
void		peer_received(struct peer *peer, unsigned char *bytes, size_t len);
void		peer_writable(struct peer *peer);

/* Counts frames given to the peer. */
void		peer_count_frames(unsigned n);

/* The peer's deadline, from now. */
void		peer_wait(struct peer *peer, unsigned ms);

/* Ends in good order: lets the output go, shuts our side, waits for the peer to hang up. */
void		peer_finish(struct peer *peer);

/* Hangs up, in a turn of its own. */
void		peer_cut(struct peer *peer);

/* Lets session_closed() follow in a turn of its own. */
void		peer_end_session(struct peer *peer);

/* Whether another message is within the limit. */
bool		peer_may_speak(struct peer *peer);

/* server_http.c */
void		http_received(struct peer *peer, const char *bytes, size_t len);
void		http_resume(struct peer *peer);		/* the socket takes bytes again, or an answer is complete */
void		http_release(struct peer *peer);

/* An answer. extra: more header lines, each with its line end; may be NULL. */
void		http_answer(struct peer *peer, const struct http_request *request, unsigned status,
						const char *type, const char *extra, struct slice body);
void		http_refuse(struct peer *peer, const struct http_request *request, unsigned status,
						const char *code, const char *message, const char *extra);

/* The same, for who asks what he may not: counted and logged. */
void		http_refuse_peer(struct peer *peer, const struct http_request *request, unsigned status,
							 const char *code, const char *message);

/* Whether the page that asks, if any, is of the request's own host. */
bool		http_is_own_origin(const struct http_request *request);

/* server_ws.c */
void		ws_start(struct peer *peer, const struct http_request *request);
void		ws_received(struct peer *peer, unsigned char *bytes, size_t len);
void		ws_flush(struct peer *peer);
void		ws_writable(struct peer *peer);
void		ws_tick(struct peer *peer);
void		ws_close(struct peer *peer, unsigned code, const char *reason);
void		ws_release(struct peer *peer);

/* server_feed.c; cors: header lines for a foreign page, may be empty. */
void		feed_start(struct peer *peer, const struct http_request *request, struct slice body,
					   bool is_poll, const char *cors);
void		feed_flush(struct peer *peer);
void		feed_writable(struct peer *peer);
void		feed_tick(struct peer *peer);
void		feed_close(struct peer *peer, unsigned code, const char *reason);
void		feed_free(struct peer *peer);

#endif
