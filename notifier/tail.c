/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * tail.c
 *	  See tail.h. A client of realtime.v1 (doc/protocol.md) on libwebsockets; what is wanted is target.h's,
 *	  printing is tail_output.h's.
 *
 * Model
 * 1. Events are printed as they come; on a terminal as lines for people, else as they are, one a line.
 *	  A gap is a line, too: {"op":"gap",...}. Whatever else is to be said goes to stderr.
 * 2. The position of the last position frame is kept. After a loss the subscription is made again since
 *	  it; events that were printed after it come again and are told by (tx, seq).
 * 3. What a later attempt may cure is tried again for ever, with backoff; a refusal ends the program. So
 *	  does a first connection that nobody takes: the address is probably wrong.
 */
#include "tail.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "buffer.h"
#include "field.h"
#include "jsonscan.h"
#include "memory.h"
#include "protocol.h"
#include "tail_output.h"
#include "target.h"

#define TICK_US (250 * LWS_US_PER_MS)	/* how soon a signal is seen at the latest */
#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 10000
#define FRAME_MAX (64 * 1024 * 1024)	/* bytes; beyond any frame: parts are 256 kB, one value a few MB */
#define TOKEN_MAX (16 * 1024)	/* bytes; a notifier takes no longer one */

struct tail
{
	const struct options *options;
	struct target target;
	struct tail_output output;

	struct lws_context *context;
	struct lws *wsi;			/* NULL: no connection, nor one on its way */
	lws_sorted_usec_list_t tick;
	lws_sorted_usec_list_t retry;
	unsigned	retry_ms;
	lws_usec_t	received_at;
	unsigned	heartbeat_s;
	bool		was_connected;
	bool		was_told;		/* about the loss of this connection */

	char	   *token;
	bool		has_fresh_token;	/* no connection has begun with it, none has been told that it is good */
	bool		wants_auth;		/* messages to be sent when the socket takes them */
	bool		wants_subscribe;
	bool		has_subscribed;	/* on this connection */
	struct buffer frame;		/* being received */

	char	   *position;

	bool		is_done;
	int			status;
};

static volatile sig_atomic_t is_interrupted;

static void
interrupt(int number)
{
	(void) number;
	is_interrupted = 1;
}

/* Ends the program with a message. */
static void
fail(struct tail *tail, const char *what, const char *more)
{
	if (!tail->is_done)
		fprintf(stderr, "realtime-notifier: %s%s%s\n", what, *more != '\0' ? ": " : "", more);
	tail->is_done = true;
	tail->status = 1;
}

/* Reads the token's file into tail->token; true when there is another token than before. */
static bool
read_token(struct tail *tail)
{
	FILE	   *file;
	char		text[TOKEN_MAX + 2];
	size_t		len;
	bool		is_new;

	if (tail->options->token_file == NULL)
		return false;
	file = fopen(tail->options->token_file, "r");
	if (file == NULL)
	{
		fail(tail, "cannot open the token's file", strerror(errno));
		return false;
	}
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	if (len == 0 || len > TOKEN_MAX)
	{
		fail(tail, "the token's file holds no token", "");
		return false;
	}
	is_new = tail->token == NULL || strcmp(tail->token, text) != 0;
	if (is_new)
	{
		memory_free(tail->token);
		tail->token = memory_copy_string(text, len);
		tail->has_fresh_token = true;
	}
	explicit_bzero(text, sizeof(text));
	return is_new;
}

/* Ends the program when its output is not wanted any more: by head, say, without complaint. */
static void
check_written(struct tail *tail, int error)
{
	if (error == 0)
		return;
	if (error != EPIPE)
		fail(tail, "cannot write", strerror(error));
	tail->is_done = true;
}

/* Ends the connection; another follows. */
static void
drop_connection(struct tail *tail)
{
	if (tail->wsi != NULL)
		lws_set_timeout(tail->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

/* The notifier refused something. Ends the program unless another attempt may be answered otherwise. */
static void
got_error(struct tail *tail, struct slice frame)
{
	static const char *const passing[] = {CODE_UNAVAILABLE, CODE_INTERNAL, CODE_RATE_LIMITED,
		CODE_TOO_MANY_CONNECTIONS};
	char	   *code = field_text(frame, "code");
	char	   *message = field_text(frame, "message");
	bool		is_passing = false;

	for (unsigned i = 0; code != NULL && i < sizeof(passing) / sizeof(passing[0]); i++)
		is_passing = is_passing || strcmp(code, passing[i]) == 0;
	if (code != NULL && strcmp(code, CODE_EXPIRED) == 0)
		is_passing = read_token(tail) || tail->has_fresh_token;
	if (is_passing)
		drop_connection(tail);
	else
		fail(tail, code ? code : "error", message ? message : "");
	memory_free(code);
	memory_free(message);
}

/* The subscription stands. */
static void
got_subscribed(struct tail *tail, struct slice frame)
{
	tail->retry_ms = RETRY_MIN_MS;
	if (tail->position == NULL)
		tail->position = field_text(frame, "position");
	if (tail->output.is_terminal && (!tail->was_connected || tail->was_told))
		fprintf(stderr, "-- %s: %s.%s, %s (Ctrl-C ends)\n",
				tail->was_connected ? "connected again" : "live events", tail->target.feature,
				tail->target.entity, strcmp(tail->target.action, "*") == 0 ? "all actions"
				: tail->target.action);
	tail->was_connected = true;
	tail->was_told = false;
}

/* The token expires soon: perhaps there is another one in the file. */
static void
got_expiring(struct tail *tail)
{
	if (read_token(tail))
	{
		tail->wants_auth = true;
		lws_callback_on_writable(tail->wsi);
	}
}

/* A whole frame. */
static void
got_frame(struct tail *tail, struct slice frame)
{
	char	   *op = field_text(frame, "op");
	const char *name = op ? op : "";

	if (strcmp(name, "welcome") == 0)
	{
		tail->heartbeat_s = (unsigned) field_number(frame, "heartbeat", 25);
		tail->has_fresh_token = false;
		tail->wants_auth = tail->token != NULL;
		tail->wants_subscribe = !tail->wants_auth;
		lws_callback_on_writable(tail->wsi);
	}
	else if (strcmp(name, "authenticated") == 0)
	{
		tail->has_fresh_token = false;
		tail->wants_subscribe = !tail->has_subscribed;
		if (tail->wants_subscribe)
			lws_callback_on_writable(tail->wsi);
	}
	else if (strcmp(name, "subscribed") == 0)
		got_subscribed(tail, frame);
	else if (strcmp(name, "commit") == 0)
		check_written(tail, tail_output_commit(&tail->output, frame));
	else if (strcmp(name, "position") == 0)
	{
		memory_free(tail->position);
		tail->position = field_text(frame, "position");
		tail_output_position(&tail->output);
	}
	else if (strcmp(name, "gap") == 0)
		check_written(tail, tail_output_gap(&tail->output, frame));
	else if (strcmp(name, "expiring") == 0)
		got_expiring(tail);
	else if (strcmp(name, "error") == 0)
		got_error(tail, frame);
	memory_free(op);
}

/* A piece of a frame from libwebsockets; false when the connection shall end. */
static bool
got_piece(struct tail *tail, const void *piece, size_t len)
{
	tail->received_at = lws_now_usecs();
	if (tail->frame.len + len > FRAME_MAX)
		return false;
	buffer_put(&tail->frame, piece, len);
	if (lws_is_final_fragment(tail->wsi) && lws_remaining_packet_payload(tail->wsi) == 0)
	{
		struct buffer frame = tail->frame;

		buffer_init(&tail->frame);
		got_frame(tail, buffer_slice(&frame));
		buffer_release(&frame);
	}
	return true;
}

/* Sends one message that is wanted. False when the connection is lost. */
static bool
send_wanted(struct tail *tail)
{
	struct buffer message;
	bool		is_sent;

	if (!tail->wants_auth && !tail->wants_subscribe)
		return true;
	buffer_init(&message);
	(void) buffer_reserve(&message, LWS_PRE);
	message.len = LWS_PRE;
	if (tail->wants_auth)
	{
		buffer_puts(&message, "{\"op\":\"auth\",\"ref\":\"tail\",\"token\":");
		buffer_puts_json(&message, tail->token);
		buffer_puts(&message, "}");
		tail->wants_auth = false;
	}
	else
	{
		tail->has_subscribed = true;
		target_put_subscribe(&message, &tail->target, tail->position);
		tail->wants_subscribe = false;
	}
	is_sent = lws_write(tail->wsi, (unsigned char *) message.at + LWS_PRE, message.len - LWS_PRE,
						LWS_WRITE_TEXT) >= 0;
	buffer_release(&message);
	return is_sent;
}

/* The notifier closes: with a code, and a reason after it. */
static void
got_close(struct tail *tail, const unsigned char *bytes, size_t len)
{
	unsigned	code = len >= 2 ? (unsigned) bytes[0] << 8 | bytes[1] : 0;
	char		reason[128];

	snprintf(reason, sizeof(reason), "%.*s", len > 2 ? (int) (len - 2) : 0, (const char *) bytes + 2);
	if (code == CLOSE_EXPIRED && !read_token(tail) && !tail->has_fresh_token)
		fail(tail, "the token expired", reason);
	else if (code == CLOSE_UNAUTHORIZED)
		fail(tail, "the notifier wants a token (--token-file)", reason);
	else if (code == 1003 || code == 1007 || code == 1009 || code == CLOSE_BAD_FRAMES)
		fail(tail, "the notifier closed the connection", reason);
}

/* A time between half and all of the pause; the pause doubles. */
static unsigned
next_pause_ms(struct tail *tail)
{
	unsigned	pause = tail->retry_ms;
	unsigned	random = 0;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
		random = (unsigned) lws_now_usecs();
	tail->retry_ms = pause * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause * 2;
	return pause / 2 + random % (pause / 2 + 1);
}

static void connect_now(lws_sorted_usec_list_t *retry);

/* The connection is lost, or did not come about. */
static void
lost(struct tail *tail, const char *why)
{
	tail->wsi = NULL;
	buffer_release(&tail->frame);
	tail_output_lost(&tail->output);
	if (tail->is_done)
		return;
	if (!tail->was_told && tail->was_connected)
		fprintf(stderr, "realtime-notifier: connection lost (%s); trying again\n", why);
	tail->was_told = true;
	lws_sul_schedule(tail->context, 0, &tail->retry, connect_now,
					 (lws_usec_t) next_pause_ms(tail) * LWS_US_PER_MS);
}

/* No connection came about. What the notifier said for good ends the program, and a wrong address. */
static void
got_no_connection(struct tail *tail, struct lws *wsi, const char *why)
{
	unsigned	status = lws_http_client_http_response(wsi);
	char		text[40];

	snprintf(text, sizeof(text), "HTTP status %u", status);
	if (status >= 400 && status < 500 && status != 429)
		fail(tail, "the notifier refused the connection", text);
	else if (status < 400 && !tail->was_connected)
		fail(tail, "cannot connect", why);
	lost(tail, status >= 400 ? text : why);
}

/* Everything from libwebsockets. Not 0 ends the connection. */
static int
handle(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct tail *tail = lws_context_user(lws_get_context(wsi));

	(void) user;
	switch (reason)
	{
		case LWS_CALLBACK_CLIENT_ESTABLISHED:
			tail->received_at = lws_now_usecs();
			tail->has_subscribed = tail->wants_auth = tail->wants_subscribe = false;
			break;
		case LWS_CALLBACK_CLIENT_RECEIVE:
			return got_piece(tail, in, len) && !tail->is_done ? 0 : -1;
		case LWS_CALLBACK_CLIENT_WRITEABLE:
			if (!send_wanted(tail))
				return -1;
			break;
		case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
			got_close(tail, in, len);
			break;
		case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
			got_no_connection(tail, wsi, in ? in : "no answer");
			break;
		case LWS_CALLBACK_CLIENT_CLOSED:
			lost(tail, "closed");
			break;
		default:
			break;
	}
	return 0;
}

/* Starts a connection. */
static void
connect_now(lws_sorted_usec_list_t *retry)
{
	struct tail *tail = lws_container_of(retry, struct tail, retry);
	const struct target *target = &tail->target;
	struct lws_client_connect_info info = {
		.context = tail->context,
		.address = target->address,
		.port = (int) target->port,
		.ssl_connection = target->has_tls ? LCCSCF_USE_SSL : 0,
		.path = target->path,
		.host = target->host,
		.protocol = PROTOCOL_NAME,
		.local_protocol_name = PROTOCOL_NAME,
		.alpn = "http/1.1",
		.ietf_version_or_minus_one = -1,
		.pwsi = &tail->wsi,
	};

	(void) read_token(tail);
	if (tail->is_done)
		return;
	/* A failure right away has been told to handle(), or else nothing was started. */
	if (lws_client_connect_via_info(&info) == NULL && tail->wsi == NULL
		&& lws_dll2_is_detached(&tail->retry.list))
	{
		if (!tail->was_connected)
			fail(tail, "cannot connect", target->address);
		lost(tail, "cannot connect");
	}
}

/* Now and then: a peer that has been silent for two heartbeats is gone. */
static void
tick(lws_sorted_usec_list_t *sul)
{
	struct tail *tail = lws_container_of(sul, struct tail, tick);
	lws_usec_t	silence = lws_now_usecs() - tail->received_at;

	if (tail->wsi != NULL && tail->heartbeat_s > 0
		&& silence > (lws_usec_t) tail->heartbeat_s * 2 * LWS_US_PER_SEC)
	{
		tail->received_at = lws_now_usecs();
		drop_connection(tail);
	}
	lws_sul_schedule(tail->context, 0, sul, tick, TICK_US);
}

/* What the command line wants; false when it cannot be understood, which is said. */
static bool
read_command(struct tail *tail)
{
	const struct options *options = tail->options;

	if (target_parse_events(&tail->target, options->tail) != RT_OK)
		fail(tail, "--tail takes FEATURE.ENTITY, FEATURE.ENTITY.ACTION or *, not", options->tail);
	else if (options->url != NULL && target_parse_url(&tail->target, options->url) != RT_OK)
		fail(tail, "--url takes ws://HOST:PORT or wss://HOST:PORT, not", options->url);
	else if (options->url == NULL
			 && target_parse_listen(&tail->target, options->listen, options->tls_certificate != NULL) != RT_OK)
		fail(tail, "cannot tell a notifier's address: give --url", "");
	else
		(void) read_token(tail);
	return !tail->is_done;
}

/* Makes the library's context; NULL for lack of memory only. */
static struct lws_context *
make_context(struct tail *tail)
{
	static const struct lws_protocols protocols[] = {
		{.name = PROTOCOL_NAME, .callback = handle, .rx_buffer_size = 64 * 1024},
		{.name = NULL},
	};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.user = tail,
		.gid = (gid_t) -1,
		.uid = (uid_t) -1,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
	};

	lws_set_log_level(0, NULL);
	return lws_create_context(&info);
}

int
tail_run(const struct options *options)
{
	const struct sigaction on_signal = {.sa_handler = interrupt};
	struct tail tail = {.options = options, .retry_ms = RETRY_MIN_MS};

	tail_output_init(&tail.output);
	buffer_init(&tail.frame);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &on_signal, NULL);
	sigaction(SIGTERM, &on_signal, NULL);
	if (read_command(&tail))
	{
		tail.context = make_context(&tail);
		if (tail.context == NULL)
			fail(&tail, "cannot start", "");
	}
	if (tail.context != NULL)
	{
		lws_sul_schedule(tail.context, 0, &tail.tick, tick, TICK_US);
		lws_sul_schedule(tail.context, 0, &tail.retry, connect_now, 1);
		while (!tail.is_done && !is_interrupted && lws_service(tail.context, 0) >= 0)
			;
		tail.is_done = true;
		lws_context_destroy(tail.context);
	}
	tail_output_release(&tail.output);
	buffer_release(&tail.frame);
	memory_free(tail.position);
	memory_free(tail.token);
	return tail.status;
}
