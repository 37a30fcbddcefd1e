/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_feed.c
 *	  What SSE and long polls ask for, without a request around it: the first byte says whether it is a query or a
 *	  body, the first line is Last-Event-ID. What is taken are messages that the protocol's parser can be asked of.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "memory.h"
#include "protocol.h"
#include "utf8.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed;
	struct message message;
	struct slice last_id = {"", 0};
	struct slice text;
	const char *end;
	const char *code;
	const char *why = NULL;
	char	   *copy;
	int			result;

	if (size == 0)
		return 0;
	copy = memory_alloc(size);
	memcpy(copy, data + 1, size - 1);
	end = memchr(copy, '\n', size - 1);
	text.at = end != NULL ? end + 1 : copy;
	text.len = size - 1 - (size_t) (text.at - copy);
	if (end != NULL)
	{
		last_id.at = copy;
		last_id.len = (size_t) (end - copy);
	}
	result = data[0] % 2 ? feed_read_body(&feed, text, last_id, &why) : feed_read_query(&feed, text, last_id, &why);
	if (result != RT_OK && why == NULL)
		abort();				/* refused without a word */
	for (unsigned i = 0; result == RT_OK && i < feed.count; i++)
	{
		if (!utf8_is_valid(feed.messages[i].at, feed.messages[i].len))
			abort();
		if (protocol_parse(&message, feed.messages[i].at, feed.messages[i].len, &code, &why) == RT_OK
			&& message.op != MESSAGE_SUBSCRIBE)
			abort();			/* a feed can do nothing but subscribe */
		protocol_release(&message);
	}
	feed_release(&feed);
	memory_free(copy);
	return 0;
}
