/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * feed.h
 *	  What a request for server-sent events or a long poll asks for, as messages of the protocol.
 *
 * Values pass as they were written: a number is not read and printed again, since what the database
 * makes of 0.1 must be the same over every transport. Knows no sockets.
 */
#ifndef RT_FEED_H
#define RT_FEED_H

#include <stddef.h>

#include "buffer.h"
#include "error.h"
#include "jsonscan.h"

#define FEED_SUBSCRIPTIONS_MAX 1000	/* in one request; a session's own limit is lower */

struct feed
{
	struct buffer *messages;	/* one subscribe message each */
	unsigned	count;
	struct buffer token;		/* empty: none */
	struct buffer since;		/* empty: none */
	int			timeout_s;		/* -1: not given */
};

/*
 * Reads a query or a JSON body; last_event_id (may be empty) stands in for a missing since.
 * RT_MALFORMED: *why says what is wrong (static). feed_release() in any case.
 */
int			feed_read_query(struct feed *feed, struct slice query, struct slice last_event_id,
							const char **why) RT_MUST_CHECK;
int			feed_read_body(struct feed *feed, struct slice body, struct slice last_event_id,
						   const char **why) RT_MUST_CHECK;
void		feed_release(struct feed *feed);

#endif
