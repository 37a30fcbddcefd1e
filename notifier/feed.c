/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * feed.c
 *	  See feed.h. Pure.
 */
#include "feed.h"

#include <string.h>

#include "http.h"
#include "memory.h"
#include "utf8.h"

/* The parameters of a query that are members of a message, and how their text becomes JSON. */
enum form
{
	FORM_TEXT,					/* a string */
	FORM_LIST,					/* JSON, or names with commas */
	FORM_JSON,
	FORM_BOOL,
	FORM_NUMBER
};

static const struct parameter
{
	const char *name;
	enum form	form;
} parameters[] = {
	{"feature", FORM_TEXT},
	{"entity", FORM_TEXT},
	{"action", FORM_LIST},
	{"filter", FORM_JSON},
	{"columns", FORM_LIST},
	{"snapshot", FORM_BOOL},
	{"limit", FORM_NUMBER},
	{"order", FORM_LIST},
	{"window", FORM_NUMBER},
};

#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

static void
feed_init(struct feed *feed)
{
	memset(feed, 0, sizeof(*feed));
	feed->timeout_s = -1;
}

void
feed_release(struct feed *feed)
{
	for (unsigned i = 0; i < feed->count; i++)
		buffer_release(&feed->messages[i]);
	memory_free(feed->messages);
	buffer_release(&feed->token);
	buffer_release(&feed->since);
	feed_init(feed);
}

/* A new message, open for members. NULL: there are too many. */
static struct buffer *
add_message(struct feed *feed)
{
	struct buffer *message;

	if (feed->count == FEED_SUBSCRIPTIONS_MAX)
		return NULL;
	feed->messages = memory_resize(feed->messages, sizeof(*message) * (feed->count + 1));
	message = &feed->messages[feed->count++];
	buffer_init(message);
	buffer_puts(message, "{\"op\":\"subscribe\"");
	return message;
}

/* Puts ",name:value", the value being JSON. */
static void
put_member(struct buffer *message, struct slice name, struct slice value)
{
	buffer_puts(message, ",\"");
	buffer_put_slice(message, name);
	buffer_puts(message, "\":");
	buffer_put_slice(message, value);
}

/* Ends a message with what it does not have: its number as ref, and since. */
static void
end_message(struct feed *feed, struct buffer *message, bool has_ref, bool has_since)
{
	if (!has_ref)
	{
		buffer_puts(message, ",\"ref\":");
		buffer_put_number(message, (int64_t) (message - feed->messages));
	}
	if (!has_since && feed->since.len > 0)
	{
		buffer_puts(message, ",\"since\":");
		buffer_put_json(message, feed->since.at, feed->since.len);
	}
	buffer_puts(message, "}");
}

/* Turns one element of "subscribe" into a message: its own members but op. */
static int
add_element(struct feed *feed, struct slice element)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	struct buffer *message;
	bool		has_ref = false;
	bool		has_since = false;
	int			found;

	if (jsonscan_open(&scan, element, '{') != RT_OK)
		return RT_MALFORMED;
	message = add_message(feed);
	if (message == NULL)
		return RT_TOO_LARGE;
	while ((found = jsonscan_next(&scan, &key, &value)) == 1)
	{
		if (slice_equals(key, "op"))
			continue;
		if (slice_equals(key, "ref"))
			has_ref = true;
		if (slice_equals(key, "since"))
			has_since = jsonscan_kind(value) != JSON_KIND_NULL;
		if (!slice_equals(key, "since") || has_since)
			put_member(message, key, value);
	}
	end_message(feed, message, has_ref, has_since);
	return found;
}

/* Reads the array of subscriptions. */
static int
add_elements(struct feed *feed, struct slice array, const char **why)
{
	struct jsonscan scan;
	struct slice key;
	struct slice element;
	int			found;

	*why = "subscribe is not a list of subscriptions";
	if (jsonscan_open(&scan, array, '[') != RT_OK)
		return RT_MALFORMED;
	while ((found = jsonscan_next(&scan, &key, &element)) == 1)
	{
		int			result = add_element(feed, element);

		if (result == RT_TOO_LARGE)
			*why = "too many subscriptions in one request";
		if (result != RT_OK)
			return RT_MALFORMED;
	}
	return found;
}

/* Takes the inside of a JSON string, escapes resolved. */
static int
take_string(struct buffer *to, struct slice value)
{
	struct slice inside;
	long		len;

	if (jsonscan_kind(value) == JSON_KIND_NULL)
		return RT_OK;
	if (jsonscan_kind(value) != JSON_KIND_STRING)
		return RT_MALFORMED;
	inside = jsonscan_inside(value);
	to->len = 0;
	len = jsonscan_unescape(inside, buffer_reserve(to, inside.len + 1));
	if (len < 0)
		return RT_MALFORMED;
	to->len = (size_t) len;
	return RT_OK;
}

/* Reads seconds: digits only. */
static int
read_seconds(struct slice text)
{
	int			seconds = 0;

	if (text.len == 0 || text.len > 6)
		return RT_MALFORMED;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.at[i] < '0' || text.at[i] > '9')
			return RT_MALFORMED;
		seconds = seconds * 10 + (text.at[i] - '0');
	}
	return seconds;
}

int
feed_read_body(struct feed *feed, struct slice body, struct slice last_event_id, const char **why)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	struct slice subscribe = {NULL, 0};
	int			found;

	feed_init(feed);
	*why = "Last-Event-ID is not UTF-8";
	if (!utf8_is_valid(last_event_id.at, last_event_id.len))
		return RT_MALFORMED;
	*why = "the body is not a JSON object in UTF-8";
	if (!utf8_is_valid(body.at, body.len) || jsonscan_open(&scan, body, '{') != RT_OK)
		return RT_MALFORMED;
	buffer_put_slice(&feed->since, last_event_id);
	while ((found = jsonscan_next(&scan, &key, &value)) == 1)
	{
		if (slice_equals(key, "subscribe"))
			subscribe = value;
		else if (slice_equals(key, "token") && take_string(&feed->token, value) != RT_OK)
		{
			*why = "token is not text";
			return RT_MALFORMED;
		}
		else if (slice_equals(key, "since") && take_string(&feed->since, value) != RT_OK)
		{
			*why = "since is not text";
			return RT_MALFORMED;
		}
		else if (slice_equals(key, "timeout"))
		{
			feed->timeout_s = read_seconds(value);
			*why = "timeout is not a number of seconds";
			if (feed->timeout_s < 0)
				return RT_MALFORMED;
			*why = "the body is not a JSON object in UTF-8";
		}
	}
	while (scan.at < scan.end && memchr(" \t\r\n", *scan.at, 4) != NULL)
		scan.at++;
	if (found != 0 || scan.at < scan.end)
		return RT_MALFORMED;
	if (subscribe.at == NULL)
	{
		*why = "nothing to subscribe to";
		return RT_MALFORMED;
	}
	return add_elements(feed, subscribe, why);
}

/* Puts "a,b" as ["a","b"], one name as "a"; JSON as it is. */
static void
put_list(struct buffer *message, struct slice text)
{
	const char *comma = memchr(text.at, ',', text.len);

	if (text.len > 0 && (text.at[0] == '[' || text.at[0] == '"'))
	{
		buffer_put_slice(message, text);
		return;
	}
	if (comma == NULL)
	{
		buffer_put_json(message, text.at, text.len);
		return;
	}
	buffer_puts(message, "[");
	while (comma != NULL)
	{
		buffer_put_json(message, text.at, (size_t) (comma - text.at));
		buffer_puts(message, ",");
		text.len -= (size_t) (comma - text.at) + 1;
		text.at = comma + 1;
		comma = memchr(text.at, ',', text.len);
	}
	buffer_put_json(message, text.at, text.len);
	buffer_puts(message, "]");
}

/* Whether text is one JSON value that can stand inside a message without changing its other members. */
static bool
is_one_value(struct slice text)
{
	struct buffer wrapped = {0};
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	bool		is_one;

	buffer_puts(&wrapped, "[");
	buffer_put_slice(&wrapped, text);
	buffer_puts(&wrapped, "]");
	is_one = jsonscan_open(&scan, buffer_slice(&wrapped), '[') == RT_OK &&
		jsonscan_next(&scan, &key, &value) == 1 && value.len > 0 &&
		jsonscan_next(&scan, &key, &value) == 0;
	buffer_release(&wrapped);
	return is_one;
}

/* Puts a parameter as a member of the one message of a simple query. */
static int
put_parameter(struct buffer *message, const struct parameter *parameter, struct slice text)
{
	struct buffer value = {0};
	int			result = RT_OK;

	switch (parameter->form)
	{
		case FORM_TEXT:
			buffer_put_json(&value, text.at, text.len);
			break;
		case FORM_LIST:
			/* a list of one is a list, but for the action */
			if (parameter->name[0] != 'a' && text.len > 0 && text.at[0] != '[' &&
				memchr(text.at, ',', text.len) == NULL)
			{
				buffer_puts(&value, "[");
				put_list(&value, text);
				buffer_puts(&value, "]");
			}
			else
				put_list(&value, text);
			break;
		case FORM_BOOL:
			buffer_puts(&value, slice_equals(text, "true") || slice_equals(text, "1") ? "true" : "false");
			break;
		case FORM_JSON:
		case FORM_NUMBER:
			buffer_put_slice(&value, text);
			break;
	}
	if (is_one_value(buffer_slice(&value)))
	{
		struct slice name = {parameter->name, strlen(parameter->name)};

		put_member(message, name, buffer_slice(&value));
	}
	else
		result = RT_MALFORMED;
	buffer_release(&value);
	return result;
}

/* Makes the message of a query without "subscribe". */
static int
add_simple(struct feed *feed, struct slice query)
{
	struct buffer *message = add_message(feed);
	struct buffer decoded = {0};
	struct slice rest = query;
	struct slice name;
	struct slice value;
	int			result = RT_OK;

	while (result == RT_OK && http_next_parameter(&rest, &name, &value))
		for (unsigned i = 0; i < PARAMETER_COUNT && result == RT_OK; i++)
			if (slice_equals(name, parameters[i].name))
			{
				long		len;

				decoded.len = 0;
				len = http_decode(value, true, buffer_reserve(&decoded, value.len + 1));
				if (len < 0 || !utf8_is_valid(decoded.at, (size_t) len))
					result = RT_MALFORMED;
				else
				{
					decoded.len = (size_t) len;
					result = put_parameter(message, &parameters[i], buffer_slice(&decoded));
				}
			}
	buffer_release(&decoded);
	end_message(feed, message, false, false);
	return result;
}

/* Decodes a parameter into a buffer. */
static int
take_parameter(struct buffer *to, struct slice value)
{
	long		len;

	to->len = 0;
	len = http_decode(value, true, buffer_reserve(to, value.len + 1));
	if (len < 0 || !utf8_is_valid(to->at, (size_t) len))
		return RT_MALFORMED;
	to->len = (size_t) len;
	return RT_OK;
}

int
feed_read_query(struct feed *feed, struct slice query, struct slice last_event_id, const char **why)
{
	struct slice rest = query;
	struct slice name;
	struct slice value;
	struct buffer subscribe = {0};
	bool		is_list = false;
	int			result = RT_OK;

	feed_init(feed);
	*why = "Last-Event-ID is not UTF-8";
	if (!utf8_is_valid(last_event_id.at, last_event_id.len))
		return RT_MALFORMED;
	*why = "bad query";
	buffer_put_slice(&feed->since, last_event_id);
	while (result == RT_OK && http_next_parameter(&rest, &name, &value))
	{
		if (slice_equals(name, "subscribe"))
		{
			is_list = true;
			result = take_parameter(&subscribe, value);
		}
		else if (slice_equals(name, "since"))
			result = take_parameter(&feed->since, value);
		else if (slice_equals(name, "timeout"))
		{
			feed->timeout_s = read_seconds(value);
			if (feed->timeout_s < 0)
				result = RT_MALFORMED;
		}
	}
	if (result == RT_OK)
		result = is_list ? add_elements(feed, buffer_slice(&subscribe), why) : add_simple(feed, query);
	buffer_release(&subscribe);
	return result;
}
