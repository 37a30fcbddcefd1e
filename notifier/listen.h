/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * listen.h
 *	  The listening sockets: accepts connections, refuses those above the limits, and hands the others to
 *	  the worker that has the fewest. Knows no protocol but a refusal.
 *
 * Limits are looked at before anything is allocated. Who was handed a connection says with
 * listener_left() when it is gone.
 */
#ifndef RT_LISTEN_H
#define RT_LISTEN_H

#include <stdbool.h>

#include "loop.h"
#include "options.h"

struct listener;

/*
 * Takes an accepted socket, non-blocking and with its options set; called in the loop's thread. address
 * is the peer's without port, "unix" for a unix socket. is_local: it is on this machine.
 */
typedef void (*listener_fn) (void *arg, unsigned worker, int fd, const char *address, bool is_local);

/*
 * Opens the sockets of options->listen, and starts accepting for so many workers. Each is told in a log
 * line "listening" with its actual address. NULL: said in the log.
 */
struct listener *listener_new(struct loop *loop, const struct options *options, unsigned workers,
							  listener_fn fn, void *arg);

/* New limits (SIGHUP); options must outlive the listener. */
void		listener_reload(struct listener *listener, const struct options *options);

/* A connection handed to a worker is gone. Thread-safe. */
void		listener_left(struct listener *listener, unsigned worker, const char *address);

/* Connections that are open now. Thread-safe. */
unsigned	listener_count(struct listener *listener);

/* Stops accepting and closes the sockets. */
void		listener_stop(struct listener *listener);
void		listener_free(struct listener *listener);

#endif
