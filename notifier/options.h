/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * options.h
 *	  What can be configured: one table that reads the file, the environment and the flags, prints --help,
 *	  and is checked against doc/configuration.md.
 *
 * Order: defaults, file (--config, ini), environment (REALTIME_NAME), flags; later ones win. A value that
 * is no good ends the start with a line that names it and what would be good; at SIGHUP the old ones stay.
 * Strings belong to the struct. Options marked (reload) are taken over at SIGHUP, the others at start.
 */
#ifndef RT_OPTIONS_H
#define RT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "error.h"
#include "log.h"

struct options
{
	/* database */
	char	   *database;		/* libpq connection string; default "" (libpq's environment) */
	unsigned	database_pool;	/* connections for snapshots, history and checks; 4 */
	unsigned	statement_timeout_ms;	/* of one of their statements; 30000 */
	unsigned	poll_min_ms;	/* 1 */
	unsigned	poll_max_ms;	/* 1000 */

	/* listening */
	char	   *listen;			/* "HOST:PORT, [::1]:PORT, unix:/path"; default "127.0.0.1:8090" */
	char	   *tls_certificate;	/* PEM files; both or none. (reload) */
	char	   *tls_key;
	unsigned	workers;		/* I/O threads; 0: one per core */
	char	   *static_dir;		/* served at /; NULL: nothing */
	char	   *allowed_origins;	/* "https://a.example, *"; NULL: the page's own host only (reload) */
	bool		has_proxy;		/* trust X-Forwarded-For: trust_forwarded_for */

	/* who */
	char	   *anon_role;		/* NULL: a token is required (reload) */
	char	   *jwt_secret_file;
	char	   *jwks;
	unsigned	jwks_refresh_s;	/* 300 */
	char	   *jwt_algorithms;
	char	   *jwt_audience;
	char	   *jwt_issuer;
	char	   *jwt_role_claim;	/* "role" */
	char	   *jwt_default_role;
	unsigned	jwt_leeway_s;	/* 5 */
	char	   *admin_role;		/* role that may read /metrics and the inspector from afar; NULL: loopback only */

	/* limits (all reload) */
	unsigned	max_connections;	/* 10000 */
	unsigned	max_connections_per_address;	/* 0: no limit */
	unsigned	max_connections_per_user;	/* 0: no limit */
	unsigned	max_subscriptions;	/* of one session; 100 */
	size_t		max_message;	/* bytes a client may send at once; 64 kB */
	unsigned	max_messages_per_minute;	/* of one session; 600 */
	size_t		max_queue;		/* bytes waiting for one session; 4 MB */
	size_t		max_snapshot;	/* bytes of one snapshot; 256 MB */
	unsigned	slow_timeout_s;	/* a full queue that does not move for so long: close 4008; 30 */
	unsigned	auth_timeout_s;	/* from the handshake to a valid token; 10 */
	unsigned	handshake_timeout_s;	/* 10 */
	unsigned	heartbeat_s;	/* ping, and a position at least as often; 25 */
	unsigned	drain_s;		/* SIGTERM: connections are closed spread over so long; 5 */
	size_t		history_cache;	/* bytes of recent transactions kept for resumption; 64 MB */
	size_t		total_memory;	/* bytes queued to all sessions; beyond, the largest queues get a gap; 1 GB */
	unsigned	poll_timeout_s;	/* of a long poll; 25 */

	/* logging */
	enum log_level log_level;	/* (reload) */
	enum log_format log_format;

	/* what to do instead of serving */
	bool		is_version;
	bool		is_help;
	bool		is_check;		/* --check: read the configuration, say what is wrong, exit */
	char	   *tail;			/* --tail FEATURE.ENTITY[.ACTION]: print live events of a running notifier */
	char	   *url;			/* --url: that notifier's; default from listen */
	char	   *token_file;		/* --token-file: for --tail */
	char	   *config;			/* --config FILE */
};

/* Reads everything; on error prints to err and returns RT_MALFORMED. options_release() in any case. */
int			options_read(struct options *options, int argc, char **argv, FILE *err) RT_MUST_CHECK;

/* Reads file, environment and the same flags again into a new struct. */
int			options_reread(struct options *options, int argc, char **argv, FILE *err) RT_MUST_CHECK;
void		options_release(struct options *options);
void		options_print_help(FILE *out);

#endif
