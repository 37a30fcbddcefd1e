/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * batch.c
 *	  See batch.h. Pure.
 */
#include "batch.h"

#include <string.h>

#include "memory.h"

/* Line breaks of JSON are outside strings (inside they are escapes): they become spaces. */
static void
replace_line_breaks(char *text, size_t len)
{
	static const char breaks[] = "\n\r";

	for (const char *b = breaks; *b != '\0'; b++)
		for (char *p = memchr(text, *b, len); p != NULL;
			 p = memchr(p, *b, len - (size_t) (p - text)))
			*p = ' ';
}

/* Takes the text apart: RT_OK, or RT_MALFORMED with whatever events were found. */
static int
parse_events(struct chunk *chunk)
{
	struct slice text = {chunk->text, chunk->len};
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	unsigned	room = 0;
	int			result = jsonscan_open(&scan, text, '[');

	if (result < 0)
		return result;
	while ((result = jsonscan_next(&scan, &key, &value)) > 0)
	{
		if (chunk->nevents == room)
		{
			room = room ? room * 2 : 1;
			chunk->events = memory_resize(chunk->events, sizeof(*chunk->events) * room);
		}
		result = event_parse(&chunk->events[chunk->nevents], value);
		if (result < 0)
			return result;
		chunk->nevents++;
	}
	for (const char *p = scan.at; result == 0 && p < text.at + text.len; p++)
		if (*p != ' ' && *p != '\t')
			return RT_MALFORMED;
	return result;
}

struct chunk *
chunk_new(uint64_t xid, unsigned part, bool is_last, int64_t commit_us, const char *text, size_t len)
{
	struct chunk *chunk = memory_alloc_zeroed(sizeof(*chunk));

	atomic_init(&chunk->refs, 1);
	chunk->xid = xid;
	chunk->part = part;
	chunk->is_last = is_last;
	chunk->commit_us = commit_us;
	chunk->text = memory_copy_string(text, len);
	chunk->len = len;
	replace_line_breaks(chunk->text, len);
	if (parse_events(chunk) < 0)
	{
		chunk->is_broken = true;
		chunk->nevents = 0;
	}
	if (chunk->nevents == 0)
	{
		memory_free(chunk->events);
		chunk->events = NULL;
	}
	else
		chunk->events = memory_resize(chunk->events, sizeof(*chunk->events) * chunk->nevents);
	return chunk;
}

struct chunk *
chunk_ref(struct chunk *chunk)
{
	atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
	return chunk;
}

void
chunk_unref(struct chunk *chunk)
{
	if (chunk == NULL || atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) != 1)
		return;
	memory_free(chunk->events);
	memory_free(chunk->text);
	memory_free(chunk);
}

size_t
chunk_memory(const struct chunk *chunk)
{
	return sizeof(*chunk) + chunk->len + 1 + chunk->nevents * sizeof(*chunk->events);
}

struct batch *
batch_new(struct chunk *const *chunks, unsigned n, const char *position_text, const char *gap)
{
	struct batch *batch = memory_alloc_zeroed(sizeof(*batch) + n * sizeof(struct chunk *));

	atomic_init(&batch->refs, 1);
	batch->gap = gap;
	batch->nchunks = n;
	if (n > 0)
		memcpy(batch->chunks, chunks, n * sizeof(struct chunk *));
	/* A position too long to be told (position.h) ends nothing: a later one will. */
	if (position_text != NULL
		&& position_parse(&batch->position, position_text, strlen(position_text)) == RT_OK)
	{
		batch->is_end = true;
		batch->position_text = memory_copy_string(position_text, strlen(position_text));
	}
	return batch;
}

struct batch *
batch_ref(struct batch *batch)
{
	atomic_fetch_add_explicit(&batch->refs, 1, memory_order_relaxed);
	return batch;
}

void
batch_unref(struct batch *batch)
{
	if (batch == NULL || atomic_fetch_sub_explicit(&batch->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < batch->nchunks; i++)
		chunk_unref(batch->chunks[i]);
	if (batch->is_end)
		position_release(&batch->position);
	memory_free(batch->position_text);
	memory_free(batch);
}

size_t
batch_memory(const struct batch *batch)
{
	size_t		size = sizeof(*batch) + batch->nchunks * sizeof(struct chunk *);

	if (batch->is_end)
		size += strlen(batch->position_text) + 1 + strlen(batch->position.epoch) + 1
			+ batch->position.nxip * sizeof(batch->position.xip[0]);
	for (unsigned i = 0; i < batch->nchunks; i++)
		size += chunk_memory(batch->chunks[i]);
	return size;
}
