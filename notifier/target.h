/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * target.h
 *	  What a command-line subscriber wants: which notifier, and which events of it.
 *
 * Pure: texts of the command line to parts.
 */
#ifndef RT_TARGET_H
#define RT_TARGET_H

#include <stdbool.h>

#include "buffer.h"
#include "error.h"

#define TARGET_PART_MAX 256

struct target
{
	char		address[TARGET_PART_MAX];	/* host, or "+/path" of a unix socket, as libwebsockets has it */
	char		host[TARGET_PART_MAX];	/* of the Host header */
	unsigned	port;
	char		path[TARGET_PART_MAX];
	bool		has_tls;

	char		feature[TARGET_PART_MAX];	/* "*": every */
	char		entity[TARGET_PART_MAX];
	char		action[TARGET_PART_MAX];
};

/* "FEATURE.ENTITY[.ACTION]", "FEATURE", "*"; RT_MALFORMED. */
int			target_parse_events(struct target *target, const char *text) RT_MUST_CHECK;

/* "ws://HOST[:PORT][/PATH]", wss, http and https for them, HOST in brackets if IPv6; RT_MALFORMED. */
int			target_parse_url(struct target *target, const char *url) RT_MUST_CHECK;

/*
 * The notifier of this machine that listens as --listen says, at its first TCP address, else its first
 * unix socket; RT_MALFORMED.
 */
int			target_parse_listen(struct target *target, const char *listen, bool has_tls) RT_MUST_CHECK;

/* The message that subscribes; since may be NULL. */
void		target_put_subscribe(struct buffer *out, const struct target *target, const char *since);

#endif
