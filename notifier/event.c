/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * event.c
 *	  See event.h. Pure.
 */
#include "event.h"

#include <string.h>

static const struct
{
	const char *action;
	enum event_kind kind;
}			kinds[] = {
	{"created", EVENT_CREATED},
	{"updated", EVENT_UPDATED},
	{"deleted", EVENT_DELETED},
	{"truncated", EVENT_TRUNCATED},
	{"status_changed", EVENT_STATUS_CHANGED},
	{"bulk_created", EVENT_BULK_SUMMARY},
	{"bulk_updated", EVENT_BULK_SUMMARY},
	{"bulk_deleted", EVENT_BULK_SUMMARY},
	{"resync", EVENT_RESYNC},
	{"access_changed", EVENT_ACCESS},
	{"gap", EVENT_GAP},
};

static const char *const priorities[] = {"low", "normal", "high", "critical"};

/* The inside of a string member; empty when it is something else. */
static struct slice
inside_of(struct slice value)
{
	struct slice none = {NULL, 0};

	return jsonscan_kind(value) == JSON_KIND_STRING ? jsonscan_inside(value) : none;
}

/* A number of at most 18 digits, -1 when it is something else. */
static long
read_number(struct slice value)
{
	long		n = 0;

	if (value.len == 0 || value.len > 18)
		return -1;
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.at[i] < '0' || value.at[i] > '9')
			return -1;
		n = n * 10 + (value.at[i] - '0');
	}
	return n;
}

/* Reads the members of meta that matter here. */
static int
parse_meta(struct event *event, struct slice meta)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	int			result = jsonscan_open(&scan, meta, '{');

	if (result < 0)
		return result;
	while ((result = jsonscan_next(&scan, &key, &value)) > 0)
	{
		if (slice_equals(key, "seq"))
			event->seq = read_number(value);
		else if (slice_equals(key, "userId"))
			event->user = inside_of(value);
		else if (slice_equals(key, "toUser"))
			event->to_user = inside_of(value);
		else if (slice_equals(key, "priority"))
		{
			struct slice name = inside_of(value);

			for (int i = 0; i < 4; i++)
				if (slice_equals(name, priorities[i]))
					event->priority = (enum priority) i;
		}
	}
	return result;
}

int
event_parse(struct event *event, struct slice text)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	int			result = jsonscan_open(&scan, text, '{');

	memset(event, 0, sizeof(*event));
	event->text = text;
	event->seq = -1;
	event->priority = PRIORITY_NORMAL;
	if (result < 0)
		return result;
	while ((result = jsonscan_next(&scan, &key, &value)) > 0)
	{
		if (slice_equals(key, "feature"))
			event->feature = inside_of(value);
		else if (slice_equals(key, "entity"))
			event->entity = inside_of(value);
		else if (slice_equals(key, "action"))
			event->action = inside_of(value);
		else if (slice_equals(key, "id"))
			event->id = value;
		else if (slice_equals(key, "data"))
			event->data = value;
		else if (slice_equals(key, "old"))
			event->old = value;
		else if (slice_equals(key, "meta"))
			event->meta = value;
	}
	if (result < 0 || (result = parse_meta(event, event->meta)) < 0)
		return result;
	if (event->feature.len == 0 || event->entity.len == 0 || event->action.len == 0
		|| event->seq < 0)
		return RT_MALFORMED;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_equals(event->action, kinds[i].action))
			event->kind = kinds[i].kind;
	return RT_OK;
}

bool
event_has_image(const struct event *event, enum event_image image)
{
	switch (event->kind)
	{
		case EVENT_CREATED:
			return image == EVENT_IMAGE_NEW;
		case EVENT_DELETED:
			return image == EVENT_IMAGE_OLD;
		case EVENT_UPDATED:
			return true;
		default:
			return false;
	}
}

int
event_column(const struct event *event, enum event_image image, const char *column,
			 struct slice *value)
{
	int			result = 0;

	if (!event_has_image(event, image))
		return 0;
	if (image == EVENT_IMAGE_OLD && event->kind == EVENT_UPDATED
		&& jsonscan_kind(event->old) == JSON_KIND_OBJECT)
		result = jsonscan_find(event->old, column, value);
	if (result == 0 && jsonscan_kind(event->data) == JSON_KIND_OBJECT)
		result = jsonscan_find(event->data, column, value);
	return result < 0 ? 0 : result;
}

void
event_write_head(const struct event *event, struct slice action, struct buffer *out)
{
	buffer_puts(out, "{\"event\":\"");
	buffer_put_slice(out, event->feature);
	buffer_puts(out, ".");
	buffer_put_slice(out, event->entity);
	buffer_puts(out, ".");
	buffer_put_slice(out, action);
	buffer_puts(out, "\",\"feature\":\"");
	buffer_put_slice(out, event->feature);
	buffer_puts(out, "\",\"entity\":\"");
	buffer_put_slice(out, event->entity);
	buffer_puts(out, "\",\"action\":\"");
	buffer_put_slice(out, action);
	buffer_puts(out, "\",\"id\":");
	if (event->id.len > 0)
		buffer_put_slice(out, event->id);
	else
		buffer_puts(out, "null");
}
