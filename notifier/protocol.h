/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * protocol.h
 *	  Messages of clients as structs, and frames of the server as text: doc/protocol.md.
 *
 * Pure: text in, struct out. What a message means is the session's. A client's message is untrusted: it
 * is checked whole before anything of it is used.
 */
#ifndef RT_PROTOCOL_H
#define RT_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "error.h"
#include "event.h"
#include "frame.h"

#define PROTOCOL_NAME "realtime.v1"
#define PROTOCOL_ACTIONS_MAX 32
#define PROTOCOL_TERMS_MAX 16
#define PROTOCOL_VALUES_MAX 100			/* of an "in" */
#define PROTOCOL_COLUMNS_MAX 200
#define PROTOCOL_ORDER_MAX 8
#define PROTOCOL_NAME_MAX 256			/* bytes of a feature, entity, action or column */
#define PROTOCOL_VALUE_MAX 4096			/* bytes of a filter's value */
#define PROTOCOL_LIMIT_MAX 1000000
#define PROTOCOL_WINDOW_MAX 60000	/* milliseconds that commits may be held */
#define PROTOCOL_PART_MAX (256 * 1024)	/* bytes of a commit or snapshot frame before it is split */
#define PROTOCOL_PART_FILL (PROTOCOL_PART_MAX - 256)	/* of its events or rows */

/* Codes of errors and refusals, as peers read them. */
#define CODE_BAD_FRAME "bad_frame"
#define CODE_BAD_REQUEST "bad_request"
#define CODE_UNAUTHORIZED "unauthorized"
#define CODE_FORBIDDEN "forbidden"
#define CODE_UNKNOWN_ENTITY "unknown_entity"
#define CODE_UNKNOWN_VIEW "unknown_view"
#define CODE_ALREADY_SUBSCRIBED "already_subscribed"
#define CODE_BAD_POSITION "bad_position"
#define CODE_TOO_MANY_SUBSCRIPTIONS "too_many_subscriptions"
#define CODE_TOO_MANY_CONNECTIONS "too_many_connections"
#define CODE_TOO_LARGE "too_large"
#define CODE_RATE_LIMITED "rate_limited"
#define CODE_EXPIRED "expired"
#define CODE_UNAVAILABLE "unavailable"
#define CODE_INTERNAL "internal"

/* Close codes of our own. */
#define CLOSE_RESTART 1012
#define CLOSE_TRY_LATER 1013
#define CLOSE_BAD_FRAMES 1008
#define CLOSE_UNAUTHORIZED 4001
#define CLOSE_EXPIRED 4003
#define CLOSE_SLOW 4008
#define CLOSE_RATE 4029

enum message_op
{
	MESSAGE_AUTH,
	MESSAGE_SUBSCRIBE,
	MESSAGE_UNSUBSCRIBE,
	MESSAGE_SYNC,
	MESSAGE_PING
};

enum operator
{
	OPERATOR_EQ,
	OPERATOR_NEQ,
	OPERATOR_LT,
	OPERATOR_LTE,
	OPERATOR_GT,
	OPERATOR_GTE,
	OPERATOR_IN,
	OPERATOR_LIKE,
	OPERATOR_ILIKE,
	OPERATOR_IS_NULL,
	OPERATOR_IS_TRUE,
	OPERATOR_IS_FALSE
};

/* A constant as the client wrote it: a number's or word's text, or a string's contents. */
struct message_value
{
	enum json_kind kind;		/* string, number or bool */
	const char *text;
};

struct message_term
{
	const char *column;
	enum operator op;
	bool		is_negated;
	unsigned	nvalues;
	struct message_value *values;
};

struct message_order
{
	const char *column;
	bool		is_descending;
};

/* Strings end with zero and contain none; NULL when missing. */
struct message
{
	enum message_op op;
	struct slice ref;			/* JSON text of the ref, empty when missing */
	const char *token;			/* auth */
	const char *view;			/* unsubscribe */
	uint64_t	tx;				/* sync */

	/* subscribe */
	const char *feature;		/* NULL: every */
	const char *entity;			/* NULL: every */
	unsigned	nactions;		/* 0: every */
	const char **actions;
	unsigned	nterms;
	struct message_term *terms;
	bool		has_columns;
	unsigned	ncolumns;
	const char **columns;
	bool		wants_snapshot;
	uint64_t	limit;			/* 0: none */
	unsigned	norder;
	struct message_order *order;
	const char *since;
	int			window_ms;		/* -1: not given */

	void	   *memory;			/* what the pointers point into */
};

/*
 * Parses a message. On failure *code is the error code to answer with, *why says what is wrong (static
 * text), and message->ref is set if it could be read. Release the message in any case.
 */
int			protocol_parse(struct message *message, const char *text, size_t len, const char **code,
						   const char **why) RT_MUST_CHECK;
void		protocol_release(struct message *message);

const char *protocol_operator_name(enum operator op);

/* Frames that are answers or stand alone; the caller owns the reference. */
struct frame *protocol_welcome(const char *session, const char *epoch, unsigned heartbeat_s);
struct frame *protocol_authenticated(struct slice ref, const char *role, const char *user,
									 int64_t expires);

/* window_ms 0: none. */
struct frame *protocol_subscribed(struct slice ref, const char *view, const char *position,
								  const char *feature, const char *entity, unsigned window_ms);
struct frame *protocol_unsubscribed(struct slice ref, const char *view);
struct frame *protocol_position(const char *position);
struct frame *protocol_synced(struct slice ref, uint64_t tx, const char *position);
struct frame *protocol_gap(const char *view, const char *reason, const char *position);
struct frame *protocol_expiring(int64_t expires);
struct frame *protocol_pong(struct slice ref);

/* close 0: none; view NULL: none. */
struct frame *protocol_error(struct slice ref, const char *code, const char *message,
							 const char *view, unsigned close);

/* The beginning and end of a commit frame; events stand between, with commas. */
void		protocol_begin_commit(struct buffer *out, const char *view, uint64_t tx, unsigned part,
								  bool is_last, bool is_merged);
void		protocol_begin_snapshot(struct buffer *out, const char *view, unsigned part, bool is_last);
void		protocol_end_list(struct buffer *out);

#endif
