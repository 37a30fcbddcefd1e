/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * server.h
 *	  One worker's connections: HTTP, WebSocket, server-sent events, long poll, TLS. Moves bytes; what
 *	  they mean is the session's (session.h). libwebsockets is known to server.c alone;
 *	  the server's other files and what they share: peer.h.
 *
 * Model
 * 1. Each worker thread has one server on its loop. Listening sockets are the listener's (listen.h),
 *	  which hands accepted sockets to workers in turn.
 * 2. A peer is one connection with a session. Bytes are written from the publish path: the worker calls
 *	  peer_flush(); only after a partial write is WRITEABLE asked for. All frames that are ready go out
 *	  in as few writes as possible.
 * 3. session_*() are called in the worker's thread, never from inside peer_flush() or peer_close():
 *	  those only mark a connection that broke, and session_closed() follows in a later turn.
 */
#ifndef RT_SERVER_H
#define RT_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "loop.h"
#include "options.h"

struct server;
struct peer;
struct worker;					/* opaque here: passed on to session_open() */

/* A server on the loop (which does not run yet, or in its thread). NULL: said in the log. */
struct server *server_new(struct loop *loop, struct worker *worker, const struct options *options);

/* Takes over an accepted, non-blocking socket. address is the peer's, for logs and limits. */
void		server_adopt(struct server *server, int fd, const char *address, bool is_local);

/* New limits, origins, certificates (SIGHUP); options must outlive the server. */
void		server_reload(struct server *server, const struct options *options);

/* Called in the worker's thread for each adopted connection that is gone, with its socket's address. */
typedef void (*server_gone_fn) (void *arg, const char *address);
void		server_on_gone(struct server *server, server_gone_fn fn, void *arg);

/*
 * Who answers requests below /inspector: serve() says whether it has, or will (then the peer waits until it
 * has); release() takes that back when the peer is gone. NULL: nobody.
 */
struct http_request;
struct server_inspector
{
	bool		(*serve) (struct peer *peer, const struct http_request *request);
	void		(*release) (struct peer *peer);
};
void		server_set_inspector(struct server *server, const struct server_inspector *inspector);

/* Closes every peer with 1012, spread over seconds, then calls done. */
void		server_drain(struct server *server, unsigned seconds, loop_fn done, void *arg);

/* Frees it and all peers (session_closed() for each). The loop must not run. */
void		server_free(struct server *server);

/* Writes what the peer's session has ready. */
void		peer_flush(struct peer *peer);

/*
 * Sends what is queued if the socket takes it, then closes with a code (RFC 6455 or 4000..4999) and a
 * reason of at most 120 bytes.
 */
void		peer_close(struct peer *peer, unsigned code, const char *reason);

#endif
