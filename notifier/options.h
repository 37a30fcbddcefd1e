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
 * No message repeats the value of --database: it may hold a password.
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
	unsigned	policy_timeout_ms;	/* of evaluating a policy on a batch; 1000 (reload) */
	unsigned	poll_min_ms;	/* 1 */
	unsigned	poll_max_ms;	/* 1000 */

	/* listening */
	char	   *listen;			/* "HOST:PORT, [::1]:PORT, unix:/path"; default "127.0.0.1:8090" */
	char	   *tls_certificate;	/* PEM files; both or none. (reload) */
	char	   *tls_key;
	unsigned	workers;		/* I/O threads; 0: one per core */
	char	   *static_dir;		/* served at /; NULL: nothing */
	char	   *allowed_origins;	/* "https://a.example, *"; NULL: the page's own host only (reload) */
	bool		has_proxy;		/* --trust-forwarded-for: the peer's address is the header's */

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
	char	   *admin_role;		/* role that may use the inspector, and read /metrics from afar; NULL: none (reload) */
	bool		has_inspector;	/* --inspector: /inspector is served (reload) */

	/* limits (all reload; what a running session or thread took along stays its own) */
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
	char	   *windows;		/* coalesce-window; checked */

	/* logging */
	enum log_level log_level;	/* (reload) */
	enum log_format log_format;	/* (reload) */

	/* what to do instead of serving: by flags only */
	bool		is_version;
	bool		is_help;
	bool		is_check;		/* --check: read the configuration, say what is wrong, exit */
	bool		is_types;		/* --types: print the registry as a TypeScript module */
	char	   *tail;			/* --tail FEATURE.ENTITY[.ACTION]: print live events of a running notifier */
	char	   *url;			/* --url: that notifier's; default from listen */
	char	   *token_file;		/* --token-file: for --tail */
	char	   *config;			/* --config FILE */
};

/*
 * Reads everything; on error prints to err and returns RT_MALFORMED. options_release() in any case. With
 * --help or --version nothing but the flags is read.
 */
int			options_read(struct options *options, int argc, char **argv, FILE *err) RT_MUST_CHECK;

/* Reads file, environment and the same flags again into a new struct. */
int			options_reread(struct options *options, int argc, char **argv, FILE *err) RT_MUST_CHECK;
void		options_release(struct options *options);

/*
 * Makes freshly read options fit a running program: those that are not marked (reload) get the running
 * values again. The names of those that differed, separated by ", ", are put into names (cut); returns
 * how many.
 */
unsigned	options_keep_fixed(struct options *options, const struct options *running,
							   char *names, size_t size);

/* The table, for people and for the check of doc/configuration.md. */
void		options_print_help(FILE *out);

/* What is in force, one "name = value" a line, as a file would have it; --database not shown. */
void		options_print(const struct options *options, FILE *out);

/*
 * Defaults and then the text of a configuration file; file_name is for messages. What options_read() does
 * first, without files and environment.
 */
int			options_read_text(struct options *options, const char *text, size_t len,
							  const char *file_name, FILE *err) RT_MUST_CHECK;

#endif
