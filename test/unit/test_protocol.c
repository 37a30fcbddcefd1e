/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_protocol.c
 *	  Messages of clients against test/vectors/client_messages.json, frames against doc/protocol.md.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "protocol.h"
#include "vectors.h"

/* Text or null. */
static json_t *
text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* A value of JSON text. */
static json_t *
parse(const char *text, size_t len)
{
	json_error_t error;
	json_t	   *json = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

	if (json == NULL)
		fail_msg("%.*s is no JSON: %s", (int) len, text, error.text);
	return json;
}

static json_t *
names_to_json(const char *const *names, unsigned n)
{
	json_t	   *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *
value_to_json(const struct message_value *value)
{
	if (value->kind == JSON_KIND_STRING)
		return json_string(value->text);
	return parse(value->text, strlen(value->text));
}

static json_t *
term_to_json(const struct message_term *term)
{
	json_t	   *value;

	switch (term->op)
	{
		case OPERATOR_IS_NULL:
			value = json_null();
			break;
		case OPERATOR_IS_TRUE:
		case OPERATOR_IS_FALSE:
			value = json_boolean(term->op == OPERATOR_IS_TRUE);
			break;
		case OPERATOR_IN:
			value = json_array();
			for (unsigned i = 0; i < term->nvalues; i++)
				json_array_append_new(value, value_to_json(&term->values[i]));
			break;
		default:
			assert_int_equal(term->nvalues, 1);
			value = value_to_json(&term->values[0]);
	}
	return json_pack("{s:s,s:s,s:b,s:o}", "column", term->column, "operator",
					 protocol_operator_name(term->op), "negated", term->is_negated, "value", value);
}

/* A message in the form of the vectors. */
static json_t *
message_to_json(const struct message *message)
{
	static const char *const ops[] = {"auth", "subscribe", "unsubscribe", "sync", "ping"};
	json_t	   *json = json_pack("{s:s,s:o}", "op", ops[message->op], "ref",
								 message->ref.len ? parse(message->ref.at, message->ref.len) : json_null());
	json_t	   *list;
	char		number[24];

	switch (message->op)
	{
		case MESSAGE_AUTH:
			json_object_set_new(json, "token", text_or_null(message->token));
			return json;
		case MESSAGE_UNSUBSCRIBE:
			json_object_set_new(json, "view", text_or_null(message->view));
			return json;
		case MESSAGE_SYNC:
			snprintf(number, sizeof(number), "%" PRIu64, message->tx);
			json_object_set_new(json, "tx", json_string(number));
			return json;
		case MESSAGE_PING:
			return json;
		case MESSAGE_SUBSCRIBE:
			break;
	}
	json_object_set_new(json, "feature", text_or_null(message->feature));
	json_object_set_new(json, "entity", text_or_null(message->entity));
	json_object_set_new(json, "actions", message->nactions
						? names_to_json(message->actions, message->nactions) : json_null());
	list = json_array();
	for (unsigned i = 0; i < message->nterms; i++)
		json_array_append_new(list, term_to_json(&message->terms[i]));
	json_object_set_new(json, "filter", list);
	json_object_set_new(json, "columns", message->has_columns
						? names_to_json(message->columns, message->ncolumns) : json_null());
	json_object_set_new(json, "snapshot", json_boolean(message->wants_snapshot));
	json_object_set_new(json, "limit", message->limit ? json_integer((json_int_t) message->limit) : json_null());
	list = json_array();
	for (unsigned i = 0; i < message->norder; i++)
		json_array_append_new(list, json_pack("{s:s,s:b}", "column", message->order[i].column,
											  "descending", message->order[i].is_descending));
	json_object_set_new(json, "order", list);
	json_object_set_new(json, "since", text_or_null(message->since));
	json_object_set_new(json, "window", message->window_ms >= 0 ? json_integer(message->window_ms) : json_null());
	return json;
}

/* Parses a copy that ends where the text ends, so that a read beyond it is seen. */
static int
parse_message(struct message *message, const char *text, size_t len, const char **code)
{
	char	   *copy = malloc(len ? len : 1);
	const char *why = NULL;
	int			result;

	memcpy(copy, text, len);
	*code = NULL;
	result = protocol_parse(message, copy, len, code, &why);
	free(copy);
	if (result < 0)
		assert_non_null(why);
	return result;
}

/* The text is a message with this ref (JSON; NULL: none) or is refused with this code. */
static void
check_text(const char *text, const char *code, const char *ref)
{
	struct message message;
	const char *got;
	int			result = parse_message(&message, text, strlen(text), &got);

	if ((result < 0) != (code != NULL))
		fail_msg("%.300s: %s", text, result < 0 ? got : "taken");
	if (code != NULL && strcmp(code, got) != 0)
		fail_msg("%.300s: %s, not %s", text, got, code);
	if ((ref != NULL) != (message.ref.len > 0)
		|| (ref != NULL && !slice_equals(message.ref, ref)))
		fail_msg("%.300s: ref is %.*s", text, (int) message.ref.len, message.ref.at);
	protocol_release(&message);
}

static void
test_valid(void **state)
{
	json_t	   *file = vectors_load("client_messages.json");
	json_t	   *list = json_object_get(file, "valid");
	json_t	   *one;
	size_t		i;

	(void) state;
	assert_true(json_array_size(list) > 40);
	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(json_object_get(one, "text"));
		struct message message;
		const char *code;
		json_t	   *json;

		if (parse_message(&message, text, strlen(text), &code) < 0)
			fail_msg("%s: %s", text, code);
		json = message_to_json(&message);
		if (!json_equal(json, json_object_get(one, "parsed")))
			fail_msg("%s is %s", text, json_dumps(json, 0));
		json_decref(json);
		protocol_release(&message);
	}
	json_decref(file);
}

static void
test_invalid(void **state)
{
	json_t	   *file = vectors_load("client_messages.json");
	json_t	   *list = json_object_get(file, "invalid");
	json_t	   *one;
	size_t		i;

	(void) state;
	assert_true(json_array_size(list) > 100);
	json_array_foreach(list, i, one)
	{
		const json_t *text = json_object_get(one, "text");
		const char *expected = json_string_value(json_object_get(one, "code"));
		struct message message;
		const char *code;

		if (parse_message(&message, json_string_value(text), json_string_length(text), &code) >= 0)
			fail_msg("%s: taken", json_string_value(json_object_get(one, "name")));
		if (strcmp(code, expected) != 0)
			fail_msg("%s: %s", json_string_value(json_object_get(one, "name")), code);
		protocol_release(&message);
	}
	json_decref(file);
}

/* Every beginning of every valid message is refused, and read no further than it goes. */
static void
test_truncated(void **state)
{
	json_t	   *file = vectors_load("client_messages.json");
	json_t	   *one;
	size_t		i;

	(void) state;
	json_array_foreach(json_object_get(file, "valid"), i, one)
	{
		const char *text = json_string_value(json_object_get(one, "text"));
		size_t		end = strlen(text);

		while (end > 0 && text[end - 1] != '}')
			end--;
		for (size_t len = 0; len < end; len += end > 500 ? 7 : 1)
		{
			struct message message;
			const char *code;

			assert_int_equal(parse_message(&message, text, len, &code), RT_MALFORMED);
			assert_string_equal(code, CODE_BAD_FRAME);
			protocol_release(&message);
		}
	}
	json_decref(file);
}

/* The ref of what is refused comes back if it could be read. */
static void
test_refs(void **state)
{
	char		text[300];
	char		ref[200];

	(void) state;
	check_text("{\"op\":\"nothing\",\"ref\":7}", CODE_BAD_REQUEST, "7");
	check_text("{\"ref\":\"x\"}", CODE_BAD_REQUEST, "\"x\"");
	check_text("{\"op\":\"auth\",\"ref\":8}", CODE_BAD_REQUEST, "8");
	check_text("{\"op\":\"subscribe\",\"filter\":5,\"ref\":9}", CODE_BAD_REQUEST, "9");
	check_text("{\"op\":\"ping\",\"ref\":-1}", CODE_BAD_REQUEST, NULL);
	check_text("{\"op\":\"ping\",\"ref\":1.0}", CODE_BAD_REQUEST, NULL);
	check_text("{\"op\":\"ping\",\"ref\":1", CODE_BAD_FRAME, NULL);
	/* 64 bytes are counted as the text is, not as it is written. */
	ref[0] = '"';
	for (int i = 0; i < 32; i++)
		memcpy(ref + 1 + i * 6, "\\u00e4", 6);
	strcpy(ref + 1 + 32 * 6, "\"");
	snprintf(text, sizeof(text), "{\"op\":\"ping\",\"ref\":%s}", ref);
	check_text(text, NULL, ref);
	strcpy(ref + 1 + 32 * 6, "x\"");
	snprintf(text, sizeof(text), "{\"op\":\"ping\",\"ref\":%s}", ref);
	check_text(text, CODE_BAD_REQUEST, NULL);
}

/* JSON may be written with escapes anywhere, and numbers may be of any size. */
static void
test_json(void **state)
{
	struct message message;
	const char *code;
	const char *text = "{\"\\u006fp\":\"subscri\\u0062e\",\"\\u0072ef\":1,\"feat\\u0075re\":\"f\",\"entity\":\"e\","
		"\"filter\":[[\"a\",\"not\\u002eeq\",1e999],[\"b\",\"is\",\"nul\\u006c\"],[\"c\",\"eq\",-0]]}";
	char		big[500];

	(void) state;
	if (parse_message(&message, text, strlen(text), &code) < 0)
		fail_msg("%s", code);
	assert_int_equal(message.op, MESSAGE_SUBSCRIBE);
	assert_true(slice_equals(message.ref, "1"));
	assert_string_equal(message.feature, "f");
	assert_int_equal(message.nterms, 3);
	assert_true(message.terms[0].is_negated);
	assert_int_equal(message.terms[0].op, OPERATOR_EQ);
	assert_string_equal(message.terms[0].values[0].text, "1e999");
	assert_int_equal(message.terms[1].op, OPERATOR_IS_NULL);
	assert_string_equal(message.terms[2].values[0].text, "-0");
	protocol_release(&message);

	memset(big, '9', sizeof(big));
	memcpy(big, "{\"op\":\"ping\",\"more\":", 20);
	strcpy(big + sizeof(big) - 2, "}");
	check_text(big, NULL, NULL);
	check_text("{\"op\":\"ping\",\"more\":[-0.5e-400,1E+9,0]}", NULL, NULL);
	check_text("{\"op\":\"ping\",\"more\":01}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":+1}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":.5}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":5.}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":1e}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":1e5e5}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":1 2}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":-}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"more\":NaN}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"op\":\"ping\"}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"o\\u0070\":\"ping\"}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"a\":\"\\u0000\"}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"a\":\"\\ud800\"}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"a\":\"\xff\"}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\",\"a\":\"\n\"}", CODE_BAD_FRAME, NULL);
	check_text("{\"op\":\"ping\"} x", CODE_BAD_FRAME, NULL);
	check_text("\xef\xbb\xbf{\"op\":\"ping\"}", CODE_BAD_FRAME, NULL);
	assert_int_equal(parse_message(&message, "{\"op\":\"ping\"}\0", 14, &code), RT_MALFORMED);
	assert_string_equal(code, CODE_BAD_FRAME);
	protocol_release(&message);
	text = "{\"op\":\"subscribe\",\"action\":[\"a\"],\"limit\":1\0}";
	assert_int_equal(parse_message(&message, text, strlen(text) + 2, &code), RT_MALFORMED);
	assert_string_equal(code, CODE_BAD_FRAME);
	protocol_release(&message);
}

/* Deep nesting costs neither the stack nor time. */
static void
test_deep(void **state)
{
	size_t		len = 64 * 1024;
	char	   *text = memory_alloc(len + 64);

	(void) state;
	memset(text, '[', len);
	text[len] = '\0';
	check_text(text, CODE_BAD_FRAME, NULL);
	memcpy(text, "{\"op\":\"ping\",\"more\":", 20);
	memset(text + 20 + len / 2, ']', len / 2);
	strcpy(text + 20 + len, "}");
	check_text(text, CODE_BAD_FRAME, NULL);
	memory_free(text);
}

/* The frame is this value, and has no line break, and its wire form ends with the payload. */
static void
check_frame(struct frame *frame, enum frame_kind kind, const char *expected)
{
	struct slice payload = frame_payload(frame);
	json_t	   *got = parse(payload.at, payload.len);
	json_t	   *wanted = parse(expected, strlen(expected));

	if (!json_equal(got, wanted))
		fail_msg("%.*s is not %s", (int) payload.len, payload.at, expected);
	assert_null(memchr(payload.at, '\n', payload.len));
	assert_int_equal(frame_kind(frame), kind);
	json_decref(got);
	json_decref(wanted);
	frame_unref(frame);
}

/* The frame is an example of the protocol's page. */
static void
check_example(struct frame *frame, enum frame_kind kind, const char *name)
{
	char		file[100];
	json_t	   *json;
	char	   *text;

	snprintf(file, sizeof(file), "examples/%s.json", name);
	json = vectors_load(file);
	text = json_dumps(json, 0);
	check_frame(frame, kind, text);
	free(text);
	json_decref(json);
}

static void
test_frames(void **state)
{
	static const struct slice none = {NULL, 0};
	const char *position = "1-cb72f735a96cc37e/8124:8124:";

	(void) state;
	check_example(protocol_welcome("5f0c", "1-cb72f735a96cc37e", 25), FRAME_REPLY, "welcome");
	check_example(protocol_authenticated(slice_of("1"), "web_user", "u42", 1795374000), FRAME_REPLY,
				  "authenticated");
	check_frame(protocol_authenticated(none, "r\"\\", NULL, 0), FRAME_REPLY,
				"{\"op\":\"authenticated\",\"role\":\"r\\\"\\\\\",\"user\":null,\"expires\":null}");
	check_example(protocol_subscribed(slice_of("2"), "7", "1-cb72f735a96cc37e/2792:2795:2793", "orders",
									  "order", 0), FRAME_REPLY, "subscribed");
	check_example(protocol_subscribed(slice_of("2"), "7", "1-cb72f735a96cc37e/2792:2795:2793", "orders",
									  "order", 250), FRAME_REPLY, "subscribed_window");
	check_frame(protocol_subscribed(slice_of("\"a\\u0041\""), "7", "e/1:1:", NULL, NULL, 0), FRAME_REPLY,
				"{\"op\":\"subscribed\",\"ref\":\"aA\",\"view\":\"7\",\"position\":\"e/1:1:\",\"feature\":\"*\",\"entity\":\"*\"}");
	check_frame(protocol_subscribed(none, "7", "e/1:1:", "\xc3\xa4\n\x01\x7f", "*", 0), FRAME_REPLY,
				"{\"op\":\"subscribed\",\"view\":\"7\",\"position\":\"e/1:1:\",\"feature\":\"\xc3\xa4\\n\\u0001\x7f\",\"entity\":\"*\"}");
	check_example(protocol_unsubscribed(slice_of("3"), "7"), FRAME_REPLY, "unsubscribed");
	check_example(protocol_position(position), FRAME_POSITION, "position");
	check_example(protocol_synced(slice_of("5"), 8123, position), FRAME_REPLY, "synced");
	check_frame(protocol_synced(none, INT64_MAX, position), FRAME_REPLY,
				"{\"op\":\"synced\",\"tx\":\"9223372036854775807\",\"position\":\"1-cb72f735a96cc37e/8124:8124:\"}");
	check_example(protocol_gap("7", "bulk", "1-cb72f735a96cc37e/8131:8131:"), FRAME_GAP, "gap");
	check_example(protocol_expiring(1795374000), FRAME_REPLY, "expiring");
	check_example(protocol_pong(slice_of("4")), FRAME_REPLY, "pong");
	check_frame(protocol_pong(none), FRAME_REPLY, "{\"op\":\"pong\"}");
	check_example(protocol_error(slice_of("2"), CODE_FORBIDDEN,
								 "the role may not read column \"salary\"", NULL, 0), FRAME_REPLY, "error");
	check_example(protocol_error(slice_of("6"), CODE_ALREADY_SUBSCRIBED,
								 "this session has the view already", "7", 0), FRAME_REPLY,
				  "error_already_subscribed");
	check_example(protocol_error(none, CODE_FORBIDDEN, "the role may no longer read this entity", "7", 0),
				  FRAME_REPLY, "error_view_ended");
	check_frame(protocol_error(none, CODE_EXPIRED, "the token expired", NULL, CLOSE_EXPIRED), FRAME_REPLY,
				"{\"op\":\"error\",\"code\":\"expired\",\"message\":\"the token expired\",\"close\":4003}");
}

/* Commit and snapshot frames from their beginning, contents and end. */
static void
test_lists(void **state)
{
	struct buffer out;

	(void) state;
	buffer_init(&out);
	protocol_begin_commit(&out, "7", UINT64_MAX, UINT32_MAX, false, true);
	buffer_puts(&out, "1,2");
	protocol_end_list(&out);
	check_frame(frame_new(FRAME_COMMIT, out.at, out.len), FRAME_COMMIT,
				"{\"op\":\"commit\",\"view\":\"7\",\"tx\":\"18446744073709551615\",\"part\":4294967295,\"last\":false,"
				"\"merged\":true,\"events\":[1,2]}");
	out.len = 0;
	protocol_begin_commit(&out, "0123456789abc", 8123, 0, true, false);
	protocol_end_list(&out);
	check_frame(frame_new(FRAME_COMMIT, out.at, out.len), FRAME_COMMIT,
				"{\"op\":\"commit\",\"view\":\"0123456789abc\",\"tx\":\"8123\",\"part\":0,\"last\":true,\"events\":[]}");
	out.len = 0;
	protocol_begin_snapshot(&out, "7", 3, true);
	protocol_end_list(&out);
	check_frame(frame_new(FRAME_SNAPSHOT, out.at, out.len), FRAME_SNAPSHOT,
				"{\"op\":\"snapshot\",\"view\":\"7\",\"part\":3,\"last\":true,\"rows\":[]}");
	buffer_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
