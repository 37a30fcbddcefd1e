/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_protocol.c
 *	  Messages of a hostile client: what is taken keeps the limits, and its ref can be sent back.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "protocol.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_true)
{
	if (!is_true)
		abort();
}

static void
check_name(const char *name)
{
	check(name != NULL && strlen(name) >= 1 && strlen(name) <= PROTOCOL_NAME_MAX);
}

static void
check_term(const struct message_term *term)
{
	check(term->column != NULL);
	check(protocol_operator_name(term->op) != NULL);
	check(term->nvalues <= PROTOCOL_VALUES_MAX);
	check((term->nvalues == 0) == (term->op >= OPERATOR_IS_NULL));
	check(term->op == OPERATOR_IN || term->nvalues <= 1);
	for (unsigned i = 0; i < term->nvalues; i++)
		check(strlen(term->values[i].text) <= PROTOCOL_VALUE_MAX);
}

static void
check_subscribe(const struct message *message)
{
	check(message->nactions <= PROTOCOL_ACTIONS_MAX && message->nterms <= PROTOCOL_TERMS_MAX
		  && message->ncolumns <= PROTOCOL_COLUMNS_MAX && message->norder <= PROTOCOL_ORDER_MAX
		  && message->limit <= PROTOCOL_LIMIT_MAX);
	for (unsigned i = 0; i < message->nactions; i++)
		check_name(message->actions[i]);
	for (unsigned i = 0; i < message->ncolumns; i++)
		check_name(message->columns[i]);
	for (unsigned i = 0; i < message->norder; i++)
		check(message->order[i].column != NULL);
	for (unsigned i = 0; i < message->nterms; i++)
		check_term(&message->terms[i]);
	if (message->feature != NULL)
		check_name(message->feature);
	if (message->entity != NULL)
		check_name(message->entity);
}

/* The ref makes an answer of which it is the ref. */
static void
check_ref(struct slice ref)
{
	struct frame *pong = protocol_pong(ref);
	struct slice found;

	check(jsonscan_find(frame_payload(pong), "ref", &found) == (ref.len > 0));
	check(ref.len == 0 || slice_is_same(ref, found));
	frame_unref(pong);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message message;
	const char *code = NULL;
	const char *why = NULL;
	char	   *copy = memory_alloc(size);
	int			result;

	memcpy(copy, data, size);	/* exactly as long, so that reading beyond is seen */
	result = protocol_parse(&message, copy, size, &code, &why);
	memory_free(copy);			/* the message has its own memory */
	check_ref(message.ref);
	if (result < 0)
		check(code != NULL && why != NULL);
	else
		switch (message.op)
		{
			case MESSAGE_AUTH:
				check(message.token != NULL && strlen(message.token) <= size);
				break;
			case MESSAGE_UNSUBSCRIBE:
				check(message.view != NULL);
				break;
			case MESSAGE_SYNC:
				check(message.tx > 0 && message.tx <= INT64_MAX);
				break;
			case MESSAGE_SUBSCRIBE:
				check_subscribe(&message);
				break;
			case MESSAGE_PING:
				break;
		}
	protocol_release(&message);
	return 0;
}
