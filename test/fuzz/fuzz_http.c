/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_http.c
 *	  Requests of a hostile peer, and what is read out of their queries and bodies.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "http.h"
#include "memory.h"
#include "utf8.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a feed; each of its messages must be text that a session may get. */
static void
check_feed(struct feed *feed, int result)
{
	for (unsigned i = 0; result == RT_OK && i < feed->count; i++)
		if (!utf8_is_valid(feed->messages[i].at, feed->messages[i].len))
			abort();
	feed_release(feed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request;
	struct feed feed;
	struct slice empty = {"", 0};
	struct slice item;
	const char *why;
	char	   *copy = memory_alloc(size + 1);
	size_t		head;
	size_t		at = 0;
	bool		is_ours;

	memcpy(copy, data, size);	/* exactly as long, so that reading beyond is seen */
	head = http_head_end(copy, size, 0);
	if (head > 0 && http_parse(&request, copy, head, &why) == RT_OK)
	{
		struct slice body = {copy + head, size - head};

		is_ours = http_lists(&request, "connection", "upgrade") && http_bearer(&request, &item);
		while (http_next_item(&request, "sec-websocket-protocol", &at, &item))
			is_ours = is_ours && http_is(item, "realtime.v1");
		(void) http_origin_allowed(http_find(&request, "origin"), http_find(&request, "host"),
								   is_ours ? "https://a.example" : NULL);
		check_feed(&feed, feed_read_query(&feed, request.query, empty, &why));
		check_feed(&feed, feed_read_body(&feed, body, empty, &why));
	}
	memory_free(copy);
	return 0;
}
