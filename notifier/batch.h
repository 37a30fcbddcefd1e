/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * batch.h
 *	  What a source delivers: transactions in order, and the position after them.
 *
 * A chunk is one part of one transaction: the text of its events and their slices. A batch is some
 * chunks and, when it is the last of what one read saw, the position that covers them (is_end). A
 * large read is delivered as several batches. Both are immutable and reference-counted (atomic): the
 * source parses once, every worker reads. A chunk's text has no line breaks outside strings (SSE).
 */
#ifndef RT_BATCH_H
#define RT_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "position.h"

struct chunk
{
	atomic_uint refs;
	uint64_t	xid;
	unsigned	part;			/* of the transaction, from 0 */
	bool		is_last;		/* of the transaction */
	bool		is_broken;		/* the text is no array of events: every view gets a gap */
	int64_t		commit_us;		/* wall clock of the commit (commit_log.at), microseconds since 1970 */
	unsigned	nevents;
	struct event *events;
	char	   *text;
	size_t		len;
};

struct batch
{
	atomic_uint refs;
	bool		is_end;			/* position is valid: it covers this batch and all before */
	char	   *position_text;	/* when is_end */
	struct position position;	/* when is_end */
	/*
	 * Set when history was lost before this batch ("epoch", "history"): whatever was known is void and
	 * the stream starts anew at this position. Such a batch has no chunks. Static text.
	 */
	const char *gap;
	unsigned	nchunks;
	struct chunk *chunks[];
};

/* A chunk of a copy of the text, parsed; text that is no array of events makes a broken chunk. */
struct chunk *chunk_new(uint64_t xid, unsigned part, bool is_last, int64_t commit_us,
						const char *text, size_t len);
struct chunk *chunk_ref(struct chunk *chunk);
void		chunk_unref(struct chunk *chunk);
size_t		chunk_memory(const struct chunk *chunk);	/* bytes it takes */

/* A batch that takes over the references to n chunks. position_text NULL: not the end of a read. */
struct batch *batch_new(struct chunk *const *chunks, unsigned n, const char *position_text,
						const char *gap);
struct batch *batch_ref(struct batch *batch);
void		batch_unref(struct batch *batch);
size_t		batch_memory(const struct batch *batch);

#endif
