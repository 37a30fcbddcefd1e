/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * protocol.c
 *	  See protocol.h. The one file of the daemon's message path that knows jansson.
 *
 * jansson says whether a message is JSON; its members are then read as slices of the text, so that a
 * number keeps its digits and may have any size. Strings go, unescaped, into one block of memory: an
 * unescaped string with its zero is never longer than the quoted one. Members are read twice, op and ref
 * first, so the block has room for twice the text.
 */
#include "protocol.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

/* What parsing has at hand. */
struct parser
{
	struct message *message;
	char	   *strings;		/* where the next string goes */
	char	   *arrays;			/* where the next array goes; aligned */
	const char *code;
	const char *why;
};

static const char *const operators[] = {
	[OPERATOR_EQ] = "eq",[OPERATOR_NEQ] = "neq",[OPERATOR_LT] = "lt",[OPERATOR_LTE] = "lte",
	[OPERATOR_GT] = "gt",[OPERATOR_GTE] = "gte",[OPERATOR_IN] = "in",[OPERATOR_LIKE] = "like",
	[OPERATOR_ILIKE] = "ilike",[OPERATOR_IS_NULL] = "is"
};

const char *
protocol_operator_name(enum operator op)
{
	return op >= OPERATOR_IS_NULL ? "is" : operators[op];
}

/* Notes what is wrong and fails. */
static int
fail(struct parser *parser, const char *why)
{
	parser->code = CODE_BAD_REQUEST;
	parser->why = why;
	return RT_MALFORMED;
}

/* A string value's contents, ended with zero; NULL when it is no string, too long, or holds a zero. */
static const char *
take_string(struct parser *parser, struct slice value, size_t max)
{
	char	   *text = parser->strings;
	long		len;

	if (jsonscan_kind(value) != JSON_KIND_STRING)
		return NULL;
	len = jsonscan_unescape(jsonscan_inside(value), text);
	if (len < 0 || (size_t) len > max || memchr(text, '\0', (size_t) len))
		return NULL;
	text[len] = '\0';
	parser->strings += len + 1;
	return text;
}

/* A string's inside without escapes; the text's own bytes when it has none. */
static struct slice
plain(struct parser *parser, struct slice inside)
{
	long		len;

	if (inside.len == 0 || memchr(inside.at, '\\', inside.len) == NULL)
		return inside;
	len = jsonscan_unescape(inside, parser->strings);
	inside.at = parser->strings;
	inside.len = len < 0 ? 0 : (size_t) len;
	parser->strings += inside.len;
	return inside;
}

/* Room for an array in the message's memory. */
static void *
take_array(struct parser *parser, size_t size)
{
	void	   *array = parser->arrays;

	parser->arrays += (size + 15) & ~(size_t) 15;
	return array;
}

/* How many elements an array has; -1 when it is none. */
static long
count_elements(struct slice array)
{
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	long		n = 0;
	int			result;

	if (jsonscan_open(&scan, array, '[') < 0)
		return -1;
	while ((result = jsonscan_next(&scan, &key, &value)) > 0)
		n++;
	return result < 0 ? -1 : n;
}

/* A list of names, or one name unless it must be a list. */
static int
parse_names(struct parser *parser, struct slice value, bool is_list, unsigned max, unsigned *n,
			const char ***names, const char *why)
{
	struct jsonscan scan;
	struct slice key;
	struct slice element;
	long		count;

	*n = 0;
	if (!is_list && jsonscan_kind(value) == JSON_KIND_STRING)
	{
		*names = take_array(parser, sizeof(char *));
		(*names)[0] = take_string(parser, value, PROTOCOL_NAME_MAX);
		if ((*names)[0] == NULL || (*names)[0][0] == '\0')
			return fail(parser, why);
		*n = 1;
		return RT_OK;
	}
	count = count_elements(value);
	if (count < 1 || count > (long) max || jsonscan_open(&scan, value, '[') < 0)
		return fail(parser, why);
	*names = take_array(parser, sizeof(char *) * (size_t) count);
	while (jsonscan_next(&scan, &key, &element) > 0)
	{
		const char *name = take_string(parser, element, PROTOCOL_NAME_MAX);

		if (name == NULL || name[0] == '\0')
			return fail(parser, why);
		(*names)[(*n)++] = name;
	}
	return RT_OK;
}

/* A constant of a filter: text that is converted to the column's type later. */
static int
parse_value(struct parser *parser, struct slice value, struct message_value *out)
{
	out->kind = jsonscan_kind(value);
	switch (out->kind)
	{
		case JSON_KIND_STRING:
			out->text = take_string(parser, value, PROTOCOL_VALUE_MAX);
			if (out->text == NULL)
				return fail(parser, "a filter's value is too long or holds a zero");
			return RT_OK;
		case JSON_KIND_NUMBER:
		case JSON_KIND_BOOL:
			if (value.len > PROTOCOL_VALUE_MAX)
				return fail(parser, "a filter's value is too long");
			memcpy(parser->strings, value.at, value.len);
			parser->strings[value.len] = '\0';
			out->text = parser->strings;
			parser->strings += value.len + 1;
			return RT_OK;
		default:
			return fail(parser, "a filter's value must be a string, number or boolean; for null use is");
	}
}

/* The values of "is": null, true or false, as a word or a string. */
static int
parse_is(struct parser *parser, struct slice value, struct message_term *term)
{
	if (jsonscan_kind(value) == JSON_KIND_STRING)
		value = plain(parser, jsonscan_inside(value));
	if (slice_equals(value, "null"))
		term->op = OPERATOR_IS_NULL;
	else if (slice_equals(value, "true"))
		term->op = OPERATOR_IS_TRUE;
	else if (slice_equals(value, "false"))
		term->op = OPERATOR_IS_FALSE;
	else
		return fail(parser, "is takes null, true or false");
	return RT_OK;
}

/* [column, operator, value] */
static int
parse_term(struct parser *parser, struct slice text, struct message_term *term)
{
	struct jsonscan scan;
	struct slice key;
	struct slice element[3];
	struct slice op;
	struct slice value;
	int			i;

	if (count_elements(text) != 3 || jsonscan_open(&scan, text, '[') < 0)
		return fail(parser, "a filter term is [column, operator, value]");
	for (i = 0; i < 3; i++)
		if (jsonscan_next(&scan, &key, &element[i]) <= 0)
			return fail(parser, "a filter term is [column, operator, value]");
	term->column = take_string(parser, element[0], PROTOCOL_NAME_MAX);
	if (term->column == NULL || jsonscan_kind(element[1]) != JSON_KIND_STRING)
		return fail(parser, "a filter term is [column, operator, value]");
	op = plain(parser, jsonscan_inside(element[1]));
	if (op.len > 4 && memcmp(op.at, "not.", 4) == 0)
	{
		term->is_negated = true;
		op.at += 4;
		op.len -= 4;
	}
	value = element[2];
	for (i = 0; i <= OPERATOR_IS_NULL && !slice_equals(op, operators[i]); i++)
		;
	term->op = (enum operator) i;
	if (i > OPERATOR_IS_NULL)
		return fail(parser, "unknown filter operator");
	if (term->op == OPERATOR_IS_NULL)
		return parse_is(parser, value, term);
	if (term->op == OPERATOR_IN)
	{
		long		n = count_elements(value);

		if (n < 1 || n > PROTOCOL_VALUES_MAX || jsonscan_open(&scan, value, '[') < 0)
			return fail(parser, "in takes a list of 1 to 100 values");
		term->values = take_array(parser, sizeof(struct message_value) * (size_t) n);
		while (jsonscan_next(&scan, &key, &value) > 0)
			if (parse_value(parser, value, &term->values[term->nvalues++]) < 0)
				return RT_MALFORMED;
		return RT_OK;
	}
	term->values = take_array(parser, sizeof(struct message_value));
	term->nvalues = 1;
	if (parse_value(parser, value, &term->values[0]) < 0)
		return RT_MALFORMED;
	if ((term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE)
		&& term->values[0].kind != JSON_KIND_STRING)
		return fail(parser, "like and ilike take a string");
	return RT_OK;
}

static int
parse_filter(struct parser *parser, struct slice value)
{
	struct message *message = parser->message;
	struct jsonscan scan;
	struct slice key;
	struct slice element;
	long		n = count_elements(value);

	if (n < 0 || n > PROTOCOL_TERMS_MAX || jsonscan_open(&scan, value, '[') < 0)
		return fail(parser, "filter must be a list of at most 16 terms");
	message->terms = take_array(parser, sizeof(struct message_term) * (size_t) n);
	memset(message->terms, 0, sizeof(struct message_term) * (size_t) n);
	while (jsonscan_next(&scan, &key, &element) > 0)
		if (parse_term(parser, element, &message->terms[message->nterms++]) < 0)
			return RT_MALFORMED;
	return RT_OK;
}

/* "column", "column.asc" or "column.desc", or a list of them. */
static int
parse_order(struct parser *parser, struct slice value)
{
	struct message *message = parser->message;
	const char **names;

	if (parse_names(parser, value, true, PROTOCOL_ORDER_MAX, &message->norder, &names,
					"order must be a list of at most 8 columns, each with .asc or .desc") < 0)
		return RT_MALFORMED;
	message->order = take_array(parser, sizeof(struct message_order) * message->norder);
	for (unsigned i = 0; i < message->norder; i++)
	{
		size_t		len = strlen(names[i]);
		char	   *name = (char *) names[i];

		message->order[i].is_descending = len > 5 && strcmp(name + len - 5, ".desc") == 0;
		if (message->order[i].is_descending)
			name[len - 5] = '\0';
		else if (len > 4 && strcmp(name + len - 4, ".asc") == 0)
			name[len - 4] = '\0';
		message->order[i].column = name;
	}
	return RT_OK;
}

/* A whole number from 1 to max; 0 when it is none. */
static uint64_t
parse_count(struct slice value, uint64_t max)
{
	uint64_t	n = 0;

	if (value.len == 0 || value.len > 19)
		return 0;
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.at[i] < '0' || value.at[i] > '9')
			return 0;
		n = n * 10 + (uint64_t) (value.at[i] - '0');
	}
	return n > max ? 0 : n;
}

/* A name where "*" means every one, which is NULL. */
static int
parse_name(struct parser *parser, struct slice value, const char **name)
{
	*name = take_string(parser, value, PROTOCOL_NAME_MAX);
	if (*name == NULL || (*name)[0] == '\0')
		return fail(parser, "feature and entity must be strings of 1 to 256 bytes");
	if (strcmp(*name, "*") == 0)
		*name = NULL;
	return RT_OK;
}

static int
parse_subscribe_member(struct parser *parser, struct slice key, struct slice value)
{
	struct message *message = parser->message;

	if (slice_equals(value, "null"))
		return RT_OK;			/* as if it were missing */
	if (slice_equals(key, "feature"))
		return parse_name(parser, value, &message->feature);
	if (slice_equals(key, "entity"))
		return parse_name(parser, value, &message->entity);
	if (slice_equals(key, "action"))
	{
		if (parse_names(parser, value, false, PROTOCOL_ACTIONS_MAX, &message->nactions,
						&message->actions, "action must be a name or a list of 1 to 32 names") < 0)
			return RT_MALFORMED;
		for (unsigned i = 0; i < message->nactions; i++)
			if (strcmp(message->actions[i], "*") == 0)
			{
				message->nactions = 0;
				break;
			}
		return RT_OK;
	}
	if (slice_equals(key, "filter"))
		return parse_filter(parser, value);
	if (slice_equals(key, "columns"))
	{
		message->has_columns = true;
		return parse_names(parser, value, true, PROTOCOL_COLUMNS_MAX, &message->ncolumns,
						   &message->columns, "columns must be a list of 1 to 200 names");
	}
	if (slice_equals(key, "snapshot"))
	{
		if (jsonscan_kind(value) != JSON_KIND_BOOL)
			return fail(parser, "snapshot must be true or false");
		message->wants_snapshot = slice_equals(value, "true");
	}
	else if (slice_equals(key, "limit"))
	{
		message->limit = parse_count(value, PROTOCOL_LIMIT_MAX);
		if (message->limit == 0)
			return fail(parser, "limit must be a whole number from 1 to 1000000");
	}
	else if (slice_equals(key, "order"))
		return parse_order(parser, value);
	else if (slice_equals(key, "since"))
	{
		message->since = take_string(parser, value, SIZE_MAX);
		if (message->since == NULL)
			return fail(parser, "since must be a position");
	}
	else if (slice_equals(key, "window"))
	{
		message->window_ms = (int) parse_count(value, PROTOCOL_WINDOW_MAX);
		if (message->window_ms == 0 && !slice_equals(value, "0"))
			return fail(parser, "window must be a whole number from 0 to 60000");
	}
	return RT_OK;
}

/* Rules between the members of a subscribe. */
static int
check_subscribe(struct parser *parser)
{
	const struct message *message = parser->message;
	bool		is_one = message->feature != NULL && message->entity != NULL;

	if (!is_one && (message->nterms > 0 || message->has_columns || message->wants_snapshot))
		return fail(parser, "filter, columns and snapshot need one feature and entity");
	if (!message->wants_snapshot && (message->limit > 0 || message->norder > 0))
		return fail(parser, "limit and order need snapshot");
	return RT_OK;
}

/* A member of any message; ref and op have been read. */
static int
parse_member(struct parser *parser, struct slice key, struct slice value)
{
	struct message *message = parser->message;

	switch (message->op)
	{
		case MESSAGE_AUTH:
			if (slice_equals(key, "token"))
				message->token = take_string(parser, value, SIZE_MAX);
			return RT_OK;
		case MESSAGE_SUBSCRIBE:
			return parse_subscribe_member(parser, key, value);
		case MESSAGE_UNSUBSCRIBE:
			if (slice_equals(key, "view"))
				message->view = take_string(parser, value, PROTOCOL_NAME_MAX);
			return RT_OK;
		case MESSAGE_SYNC:
			if (slice_equals(key, "tx") && jsonscan_kind(value) == JSON_KIND_STRING)
				message->tx = parse_count(jsonscan_inside(value), INT64_MAX);
			return RT_OK;
		case MESSAGE_PING:
			return RT_OK;
	}
	return RT_OK;
}

/* What each op cannot do without. */
static int
check_message(struct parser *parser)
{
	const struct message *message = parser->message;

	if (message->op == MESSAGE_AUTH && message->token == NULL)
		return fail(parser, "auth needs a token");
	if (message->op == MESSAGE_UNSUBSCRIBE && message->view == NULL)
		return fail(parser, "unsubscribe needs a view");
	if (message->op == MESSAGE_SYNC && message->tx == 0)
		return fail(parser, "sync needs tx, a transaction id as text");
	if (message->op == MESSAGE_SUBSCRIBE)
		return check_subscribe(parser);
	return RT_OK;
}

/* A ref is a whole number of at most 16 digits or a string of at most 64 bytes, escapes resolved. */
static bool
is_ref(struct parser *parser, struct slice value)
{
	if (jsonscan_kind(value) == JSON_KIND_STRING)
		return plain(parser, jsonscan_inside(value)).len <= 64;
	if (value.len == 0 || value.len > 16)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
	return value.len < 16 || memcmp(value.at, "9007199254740991", 16) <= 0;
}

/* Reads op and ref. */
static int
parse_head(struct parser *parser, struct slice object)
{
	static const char *const ops[] = {"auth", "subscribe", "unsubscribe", "sync", "ping"};
	struct message *message = parser->message;
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	struct slice ref = {NULL, 0};
	struct slice op = {NULL, 0};

	if (jsonscan_open(&scan, object, '{') < 0)
		return RT_MALFORMED;
	while (jsonscan_next(&scan, &key, &value) > 0)
	{
		key = plain(parser, key);
		if (slice_equals(key, "ref") && !slice_equals(value, "null"))
			ref = value;
		else if (slice_equals(key, "op"))
			op = value;
	}
	if (ref.len > 0 && !is_ref(parser, ref))
		return fail(parser, "ref must be a whole number or a string of at most 64 bytes");
	message->ref = ref;
	if (jsonscan_kind(op) != JSON_KIND_STRING)
		return fail(parser, "op is missing");
	op = plain(parser, jsonscan_inside(op));
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (slice_equals(op, ops[i]))
		{
			message->op = (enum message_op) i;
			return RT_OK;
		}
	return fail(parser, "unknown op");
}

/* The byte after the digits at p. */
static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* Length of the JSON number that begins at p; 0 when none does. */
static size_t
number_len(const char *p, const char *end)
{
	const char *from = p;
	const char *digits = p < end && *p == '-' ? p + 1 : p;
	const char *more;

	p = digits < end && *digits == '0' ? digits + 1 : skip_digits(digits, end);
	if (p == digits)
		return 0;
	if (p < end && *p == '.')
	{
		more = skip_digits(p + 1, end);
		if (more > p + 1)
			p = more;
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		digits = p + 1 < end && (p[1] == '-' || p[1] == '+') ? p + 2 : p + 1;
		more = skip_digits(digits, end);
		if (more > digits)
			p = more;
	}
	return (size_t) (p - from);
}

/* Makes every number a zero and blanks: jansson refuses those that a double cannot hold. */
static void
mask_numbers(char *text, size_t len)
{
	bool		is_inside = false;	/* of a string */

	for (size_t i = 0; i < len; i++)
	{
		size_t		n;

		if (text[i] == '"')
			is_inside = !is_inside;
		else if (is_inside && text[i] == '\\')
			i++;
		else if (!is_inside && (n = number_len(text + i, text + len)) > 0)
		{
			memset(text + i, ' ', n);
			text[i] = '0';
			i += n - 1;
		}
	}
}

/* Whether a text is one JSON object, as strictly as jansson reads it, which overlooks some zeros. */
static bool
is_json_object(const char *text, size_t len)
{
	json_error_t error;
	char	   *copy;
	json_t	   *json;
	bool		is_object;

	if (len == 0 || memchr(text, '\0', len) != NULL)
		return false;
	copy = memory_copy_string(text, len);
	mask_numbers(copy, len);
	json = json_loadb(copy, len, JSON_REJECT_DUPLICATES, &error);
	is_object = json != NULL && json_is_object(json);
	json_decref(json);
	memory_free(copy);
	return is_object;
}

int
protocol_parse(struct message *message, const char *text, size_t len, const char **code,
			   const char **why)
{
	struct parser parser = {message, NULL, NULL, NULL, NULL};
	struct slice object = {NULL, len};
	struct jsonscan scan;
	struct slice key;
	struct slice value;
	size_t		arrays = len * 16 + 256;	/* an element takes 2 bytes of text at least */
	int			result;

	memset(message, 0, sizeof(*message));
	message->window_ms = -1;
	if (!is_json_object(text, len))
	{
		*code = CODE_BAD_FRAME;
		*why = "the message is not a JSON object";
		return RT_MALFORMED;
	}
	message->memory = memory_alloc(arrays + 3 * len + 64);
	parser.arrays = message->memory;
	parser.strings = parser.arrays + arrays;
	memcpy(parser.strings, text, len);	/* the ref points into it */
	object.at = parser.strings;
	parser.strings += len;
	result = parse_head(&parser, object);
	if (result == RT_OK)
		result = jsonscan_open(&scan, object, '{');
	if (result == RT_OK)
	{
		while ((result = jsonscan_next(&scan, &key, &value)) > 0)
			if ((result = parse_member(&parser, plain(&parser, key), value)) < 0)
				break;
	}
	if (result >= 0)
		result = check_message(&parser);
	*code = parser.code ? parser.code : CODE_BAD_FRAME;
	*why = parser.why ? parser.why : "the message cannot be read";
	return result;
}

void
protocol_release(struct message *message)
{
	memory_free(message->memory);
	memset(message, 0, sizeof(*message));
}

/* Begins {"op":"…" and adds the ref if there is one. */
static void
begin(struct buffer *out, const char *op, struct slice ref)
{
	buffer_init(out);
	buffer_puts(out, "{\"op\":\"");
	buffer_puts(out, op);
	buffer_puts(out, "\"");
	if (ref.len > 0)
	{
		buffer_puts(out, ",\"ref\":");
		buffer_put_slice(out, ref);
	}
}

/* Adds ,"name":"text" (null for NULL). */
static void
add_text(struct buffer *out, const char *name, const char *text)
{
	buffer_puts(out, ",\"");
	buffer_puts(out, name);
	buffer_puts(out, "\":");
	buffer_puts_json(out, text);
}

static void
add_number(struct buffer *out, const char *name, int64_t number)
{
	buffer_puts(out, ",\"");
	buffer_puts(out, name);
	buffer_puts(out, "\":");
	buffer_put_number(out, number);
}

/* Ends the object and makes the frame. */
static struct frame *
finish(struct buffer *out, enum frame_kind kind)
{
	struct frame *frame;

	buffer_puts(out, "}");
	frame = frame_new(kind, out->at, out->len);
	buffer_release(out);
	return frame;
}

static const struct slice no_ref = {NULL, 0};

struct frame *
protocol_welcome(const char *session, const char *epoch, unsigned heartbeat_s)
{
	struct buffer out;

	begin(&out, "welcome", no_ref);
	add_text(&out, "session", session);
	add_number(&out, "protocol", 1);
	add_text(&out, "epoch", epoch);
	add_number(&out, "heartbeat", heartbeat_s);
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_authenticated(struct slice ref, const char *role, const char *user, int64_t expires)
{
	struct buffer out;

	begin(&out, "authenticated", ref);
	add_text(&out, "role", role);
	add_text(&out, "user", user);
	if (expires > 0)
		add_number(&out, "expires", expires);
	else
		buffer_puts(&out, ",\"expires\":null");
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_subscribed(struct slice ref, const char *view, const char *position, const char *feature,
					const char *entity, unsigned window_ms)
{
	struct buffer out;

	begin(&out, "subscribed", ref);
	add_text(&out, "view", view);
	add_text(&out, "position", position);
	add_text(&out, "feature", feature ? feature : "*");
	add_text(&out, "entity", entity ? entity : "*");
	if (window_ms > 0)
		add_number(&out, "window", window_ms);
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_unsubscribed(struct slice ref, const char *view)
{
	struct buffer out;

	begin(&out, "unsubscribed", ref);
	add_text(&out, "view", view);
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_position(const char *position)
{
	struct buffer out;

	begin(&out, "position", no_ref);
	add_text(&out, "position", position);
	return finish(&out, FRAME_POSITION);
}

struct frame *
protocol_synced(struct slice ref, uint64_t tx, const char *position)
{
	struct buffer out;

	begin(&out, "synced", ref);
	buffer_puts(&out, ",\"tx\":\"");
	buffer_put_number(&out, (int64_t) tx);
	buffer_puts(&out, "\"");
	add_text(&out, "position", position);
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_gap(const char *view, const char *reason, const char *position)
{
	struct buffer out;

	begin(&out, "gap", no_ref);
	add_text(&out, "view", view);
	add_text(&out, "reason", reason);
	add_text(&out, "position", position);
	return finish(&out, FRAME_GAP);
}

struct frame *
protocol_expiring(int64_t expires)
{
	struct buffer out;

	begin(&out, "expiring", no_ref);
	add_number(&out, "expires", expires);
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_pong(struct slice ref)
{
	struct buffer out;

	begin(&out, "pong", ref);
	return finish(&out, FRAME_REPLY);
}

struct frame *
protocol_error(struct slice ref, const char *code, const char *message, const char *view,
			   unsigned close)
{
	struct buffer out;

	begin(&out, "error", ref);
	add_text(&out, "code", code);
	add_text(&out, "message", message);
	if (view != NULL)
		add_text(&out, "view", view);
	if (close != 0)
		add_number(&out, "close", close);
	return finish(&out, FRAME_REPLY);
}

void
protocol_begin_commit(struct buffer *out, const char *view, uint64_t tx, unsigned part, bool is_last,
					  bool is_merged)
{
	char		head[160];
	int			len = snprintf(head, sizeof(head),
							   "{\"op\":\"commit\",\"view\":\"%s\",\"tx\":\"%" PRIu64
							   "\",\"part\":%u,\"last\":%s%s,\"events\":[",
							   view, tx, part, is_last ? "true" : "false",
							   is_merged ? ",\"merged\":true" : "");

	buffer_put(out, head, (size_t) len);
}

void
protocol_begin_snapshot(struct buffer *out, const char *view, unsigned part, bool is_last)
{
	char		head[160];
	int			len = snprintf(head, sizeof(head),
							   "{\"op\":\"snapshot\",\"view\":\"%s\",\"part\":%u,\"last\":%s,\"rows\":[",
							   view, part, is_last ? "true" : "false");

	buffer_put(out, head, (size_t) len);
}

void
protocol_end_list(struct buffer *out)
{
	buffer_put(out, "]}", 2);
}
