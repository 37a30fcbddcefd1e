/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_websocket.c
 *	  Frames of a hostile peer. The first byte says how the rest is cut.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "utf8.h"
#include "websocket.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct websocket websocket;
	unsigned char *copy;
	size_t		piece;
	size_t		done = 0;

	if (size < 2)
		return 0;
	piece = 1 + data[0];
	data++;
	size--;
	copy = memory_alloc(size);
	memcpy(copy, data, size);
	websocket_init(&websocket, 1000);
	while (done < size)
	{
		unsigned char *at = copy + done;
		size_t		len = size - done < piece ? size - done : piece;
		struct websocket_result r;

		done += len;
		while ((r = websocket_read(&websocket, &at, &len)).event != WEBSOCKET_NEED_MORE)
		{
			if (r.event == WEBSOCKET_TEXT && (r.len > 1000 || !utf8_is_valid(r.payload, r.len)))
				abort();
			if (r.event == WEBSOCKET_ERROR)
			{
				done = size;
				break;
			}
		}
	}
	websocket_release(&websocket);
	memory_free(copy);
	return 0;
}
