/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * eventline.c
 *	  See eventline.h.
 */
#include "eventline.h"

#include <string.h>

#include "event.h"

#define RESET "\x1b[0m"
#define DIM "\x1b[2m"
#define BOLD "\x1b[1m"
#define RED "\x1b[31m"
#define GREEN "\x1b[32m"
#define YELLOW "\x1b[33m"
#define CYAN "\x1b[36m"

/* A colour, if there are any. */
static void
put_colour(struct buffer *out, bool is_coloured, const char *colour)
{
	if (is_coloured)
		buffer_puts(out, colour);
}

/* Text of an event: control characters, those of C1 included, become "?". */
static void
put_safe(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
	{
		unsigned char c = (unsigned char) text.at[i];
		bool		is_c1 = c == 0xc2 && i + 1 < text.len && (text.at[i + 1] & 0xe0) == 0x80;

		if (c < 0x20 || c == 0x7f || is_c1)
		{
			buffer_puts(out, "?");
			i += is_c1 ? 1 : 0;
		}
		else
			buffer_put(out, text.at + i, 1);
	}
}

/* The colour of an action. */
static const char *
colour_of(const struct event *event)
{
	if (event->kind == EVENT_CREATED || slice_equals(event->action, "entered"))
		return GREEN;
	if (event->kind == EVENT_DELETED || event->kind == EVENT_TRUNCATED
		|| slice_equals(event->action, "left"))
		return RED;
	return event->kind == EVENT_UPDATED ? YELLOW : CYAN;
}

/* The time of day out of meta.timestamp, as written: "2026-11-22T19:00:00.123456Z". */
static void
put_time(struct buffer *out, struct slice text)
{
	struct slice meta;
	struct slice value;

	if (jsonscan_find(text, "meta", &meta) != 1 || jsonscan_find(meta, "timestamp", &value) != 1
		|| jsonscan_kind(value) != JSON_KIND_STRING)
		return;
	value = jsonscan_inside(value);
	if (value.len < 23 || value.at[10] != 'T')
		return;
	put_safe(out, (struct slice) {value.at + 11, 12});
	buffer_puts(out, " ");
}

/* An update's columns: name, old and new value. False when there are none to show. */
static bool
put_changes(struct buffer *out, const struct event *event, bool is_coloured)
{
	struct jsonscan scan;
	struct slice key;
	struct slice old;
	struct slice new;
	bool		is_first = true;

	if (event->kind != EVENT_UPDATED || jsonscan_open(&scan, event->old, '{') != RT_OK)
		return false;
	while (jsonscan_next(&scan, &key, &old) == 1)
	{
		char		name[256];

		if (key.len >= sizeof(name))
			continue;
		memcpy(name, key.at, key.len);
		name[key.len] = '\0';
		buffer_puts(out, is_first ? " " : ", ");
		put_safe(out, key);
		buffer_puts(out, " ");
		put_colour(out, is_coloured, DIM);
		put_safe(out, old);
		buffer_puts(out, " -> ");
		put_colour(out, is_coloured, RESET);
		if (jsonscan_find(event->data, name, &new) == 1)
			put_safe(out, new);
		else
			buffer_puts(out, "(left out)");
		is_first = false;
	}
	return !is_first;
}

void
eventline_put(struct buffer *out, struct slice text, bool is_coloured)
{
	struct event event;

	if (event_parse(&event, text) != RT_OK)
	{
		put_safe(out, text);
		buffer_puts(out, "\n");
		return;
	}
	put_colour(out, is_coloured, DIM);
	put_time(out, text);
	put_colour(out, is_coloured, RESET);
	put_safe(out, event.feature);
	buffer_puts(out, ".");
	put_safe(out, event.entity);
	buffer_puts(out, " ");
	put_colour(out, is_coloured, colour_of(&event));
	put_safe(out, event.action);
	put_colour(out, is_coloured, RESET);
	if (event.id.len > 0 && jsonscan_kind(event.id) != JSON_KIND_NULL)
	{
		buffer_puts(out, " ");
		put_colour(out, is_coloured, BOLD);
		put_safe(out, jsonscan_kind(event.id) == JSON_KIND_STRING ? jsonscan_inside(event.id) : event.id);
		put_colour(out, is_coloured, RESET);
	}
	if (!put_changes(out, &event, is_coloured) && event.data.len > 0
		&& jsonscan_kind(event.data) != JSON_KIND_NULL)
	{
		buffer_puts(out, " ");
		put_safe(out, event.data);
	}
	buffer_puts(out, "\n");
}
