/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * log_reader.h
 *	  Reads the commit log: one poll at a time, from the position where the last one ended. Knows the log's
 *	  SQL (extension/); not when to poll.
 *
 * Model
 * 1. A poll is one statement, realtime.read() (extension/log_read.c): waits for a commit if told to, locks the log
 *	  against prune, asks whether the log still has all that the last position has not seen, reads.
 * 2. It answers first with its position, that is its snapshot, then with the rows that this snapshot sees and
 *	  the last position does not cover, all durable.
 * 3. So when the first row comes, everything is known: history is whole, or why not, and all is durable. Rows
 *	  are told as they come, in batches of LOG_READER_BATCH_BYTES, and nothing is ever held back in memory.
 * 4. When a poll breaks off, the one after it repeats it from the last position: rows told already are
 *	  skipped (told.h), and the transaction that was cut comes first, so that its parts stay together.
 *	  It could have read nothing of what comes now, whatever the order in the log.
 * 5. A lost history or another epoch makes a gap: the position is dropped, and a poll from nowhere gives the
 *	  new one.
 * 6. The connection LISTENs, too; it comes back for ever.
 */
#ifndef RT_LOG_READER_H
#define RT_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "batch.h"
#include "loop.h"

#define LOG_READER_BATCH_BYTES ((size_t) 2 * 1024 * 1024)	/* of chunks, when another batch begins */
#define LOG_READER_BATCH_CHUNKS 2048
#define LOG_READER_WAIT_MAX_MS 10000	/* of the server, in one poll */

struct log_reader;

struct log_reader_config
{
	const char *conninfo;
	void	   *arg;

	/* Connected and prepared; polls can begin, and none will before log_reader_poll(). */
	void		(*on_ready) (void *arg);

	/* Lost, or of no use for now. */
	void		(*on_down) (void *arg);

	/* The first answer since on_ready: the log can be read. */
	void		(*on_up) (void *arg);
	void		(*on_notify) (void *arg, unsigned n);

	/* A batch, borrowed. */
	void		(*on_batch) (void *arg, struct batch *batch);

	/* A poll ended that saw so many transactions, after so many microseconds of waiting; -1: cannot wait. */
	void		(*on_polled) (void *arg, unsigned commits, int64_t waited_us);
};

struct log_reader *log_reader_new(struct loop *loop, const struct log_reader_config *config);
void		log_reader_free(struct log_reader *reader);
void		log_reader_start(struct log_reader *reader);

bool		log_reader_is_ready(const struct log_reader *reader);
bool		log_reader_is_polling(const struct log_reader *reader);

/*
 * Polls; ready, and no poll under way. When it is asked for, its position is told in any case (by a later poll
 * if this one breaks off); else when there are rows, or now and then when it is a new one. The server waits up
 * to wait_ms (LOG_READER_WAIT_MAX_MS at most) for a commit before it reads.
 */
void		log_reader_poll(struct log_reader *reader, bool is_asked, unsigned wait_ms);

/* The server process that waits within the present poll, as far as is known; 0: none. */
int			log_reader_waits_in(const struct log_reader *reader);

/* Stops reading the socket, within a poll if need be; goes on. */
void		log_reader_pause(struct log_reader *reader);
void		log_reader_resume(struct log_reader *reader);

#endif
