/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * tail_output.c
 *	  See tail_output.h. Knows stdout.
 */
#include "tail_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uthash.h>

#include "buffer.h"
#include "eventline.h"
#include "field.h"
#include "memory.h"

/* An event printed since the last position. */
struct seen
{
	struct
	{
		long long	tx;
		long long	seq;
	}			key;
	UT_hash_handle hh;
};

void
tail_output_init(struct tail_output *output)
{
	const char *terminal = getenv("TERM");

	memset(output, 0, sizeof(*output));
	output->is_terminal = isatty(STDOUT_FILENO) != 0;
	output->is_coloured = output->is_terminal && getenv("NO_COLOR") == NULL && terminal != NULL
		&& strcmp(terminal, "dumb") != 0;
}

/* Forgets what was printed since the last position. */
static void
forget_seen(struct tail_output *output)
{
	struct seen *seen;
	struct seen *next;

	HASH_ITER(hh, output->seen, seen, next)
	{
		HASH_DEL(output->seen, seen);
		memory_free(seen);
	}
	output->is_merged = false;
}

/* Notes an event as printed; false when it was already. */
static bool
note_seen(struct tail_output *output, struct slice event)
{
	struct slice meta;
	struct seen *seen;
	struct seen *found;

	if (jsonscan_find(event, "meta", &meta) != 1)
		return true;
	seen = memory_alloc_zeroed(sizeof(*seen));
	seen->key.tx = field_number(meta, "tx", -1);
	seen->key.seq = field_number(meta, "seq", -1);
	HASH_FIND(hh, output->seen, &seen->key, sizeof(seen->key), found);
	if (found != NULL || seen->key.tx < 0 || seen->key.seq < 0)
	{
		memory_free(seen);
		return found == NULL;
	}
	HASH_ADD(hh, output->seen, key, sizeof(seen->key), seen);
	return true;
}

/* JSON text as one line: line breaks can only stand between values. */
static void
put_line(struct buffer *out, struct slice text)
{
	char	   *to = buffer_reserve(out, text.len + 1);

	for (size_t i = 0; i < text.len; i++)
		to[i] = text.at[i] == '\n' || text.at[i] == '\r' ? ' ' : text.at[i];
	to[text.len] = '\n';
	out->len += text.len + 1;
}

/* Writes what was put together; 0 or errno. */
static int
print(struct buffer *out)
{
	int			error = 0;

	errno = 0;
	if (out->len > 0 && (fwrite(out->at, 1, out->len, stdout) < out->len || fflush(stdout) != 0))
		error = errno != 0 ? errno : EIO;
	buffer_release(out);
	return error;
}

int
tail_output_commit(struct tail_output *output, struct slice frame)
{
	struct buffer out;
	struct jsonscan scan;
	struct slice events;
	struct slice key;
	struct slice event;

	buffer_init(&out);
	if (jsonscan_find(frame, "merged", &key) == 1)
		output->is_merged = true;
	if (jsonscan_find(frame, "events", &events) == 1 && jsonscan_open(&scan, events, '[') == RT_OK)
		while (jsonscan_next(&scan, &key, &event) == 1)
		{
			if (!note_seen(output, event))
				continue;
			if (output->is_terminal)
				eventline_put(&out, event, output->is_coloured);
			else
				put_line(&out, event);
		}
	return print(&out);
}

int
tail_output_gap(struct tail_output *output, struct slice frame)
{
	struct buffer out;
	char	   *reason = field_text(frame, "reason");

	buffer_init(&out);
	if (output->is_terminal)
	{
		buffer_puts(&out, output->is_coloured ? "\x1b[35m" : "");
		buffer_puts(&out, "-- gap: events are missing (");
		buffer_puts(&out, reason ? reason : "unknown");
		buffer_puts(&out, ")");
		buffer_puts(&out, output->is_coloured ? "\x1b[0m\n" : "\n");
	}
	else
		put_line(&out, frame);
	memory_free(reason);
	return print(&out);
}

void
tail_output_position(struct tail_output *output)
{
	forget_seen(output);
}

void
tail_output_lost(struct tail_output *output)
{
	if (output->is_merged)
		forget_seen(output);
}

void
tail_output_release(struct tail_output *output)
{
	forget_seen(output);
}
