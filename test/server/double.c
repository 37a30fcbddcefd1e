/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * double.c
 *	  The notifier's server and listener with sessions that do as they are told, for the tests beside this
 *	  file. Takes the daemon's own options. SIGHUP reads them again, SIGTERM drains.
 *
 * Messages, as JSON objects; what is not one comes back as it came:
 *	  {"op":"echo"}							the message comes back
 *	  {"op":"auth","token":T}				"good" is a valid token
 *	  {"op":"subscribe", ...}				subscribed, with the whole message as "asked"; with "feature":"none"
 *											an error; with "snapshot":true a snapshot and a position follow
 *	  {"op":"send","count":N,"size":S}		N frames of S bytes: numbered, with a known pattern
 *	  {"op":"publish","count":N,"size":S}	the same to every other session of this worker, one at a time
 *	  {"op":"burst","count":N,"size":S}		the same, all at once
 *	  {"op":"position","text":P}			a position frame to every session
 *	  {"op":"behind","is":B}				every other session is in the past, or not
 *	  {"op":"close","code":C,"reason":R}	closes this session
 *	  {"op":"end"}							ends every other session: an error frame that says so, 4003
 *	  {"op":"stats"}						sessions open, CPU time of the worker, memory of the process
 * Tokens in the handshake: "bad" is refused with 401, "busy" with 503. Without one and without
 * --anon-role the session waits for a token.
 *
 * Links: server peer server_http server_ws server_feed server_poll listen http websocket wheel utf8 feed webfile frame log loop memory options windows inifile setting protocol stats jsonscan buffer position event
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "frame.h"
#include "listen.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "options.h"
#include "protocol.h"
#include "server.h"
#include "session.h"
#include "stats.h"

/* As in worker.h, whose struct worker is not ours. */
bool		worker_is_admin(struct worker *worker, const char *token, size_t len);

struct session
{
	struct session *next;
	struct session **link;
	struct worker *worker;
	struct peer *peer;
	struct frame **queue;
	size_t		head;
	size_t		count;
	size_t		room;
	bool		is_waiting;
	bool		is_behind;
	enum transport transport;
	char		address[64];
};

struct worker
{
	struct program *program;
	const struct options *options;	/* its thread's own view: reloads are handed over */
	unsigned	number;
	struct loop *loop;
	struct server *server;
	struct session *sessions;
	unsigned	count;
	pthread_t	thread;
};

struct program
{
	struct loop *loop;
	struct listener *listener;
	struct options *options;
	struct options *retired[10];	/* by reloads; threads may still read them */
	unsigned	nretired;
	struct worker *workers;
	unsigned	nworkers;
	unsigned	drained;
	int			argc;
	char	  **argv;
};

struct reload
{
	struct worker *worker;
	const struct options *options;
};

struct handed
{
	struct worker *worker;
	int			fd;
	bool		is_local;
	char		address[64];
};

/* An integer member; 0 when it is missing. */
static long
number(struct slice object, const char *key)
{
	struct slice value;

	return jsonscan_find(object, key, &value) == 1 ? strtol(value.at, NULL, 10) : 0;
}

/* A text member without escapes; "" when it is missing. */
static void
text_of(struct slice object, const char *key, char *out, size_t room)
{
	struct slice value;

	out[0] = 0;
	if (jsonscan_find(object, key, &value) == 1 && jsonscan_kind(value) == JSON_KIND_STRING)
	{
		value = jsonscan_inside(value);
		snprintf(out, room, "%.*s", (int) value.len, value.at);
	}
}

static void
push(struct session *session, struct frame *frame)
{
	if (session->count == session->room)
	{
		struct frame **queue = memory_alloc(sizeof(*queue) * (session->room ? session->room * 2 : 4));

		for (size_t i = 0; i < session->count; i++)
			queue[i] = session->queue[(session->head + i) % session->room];
		memory_free(session->queue);
		session->queue = queue;
		session->room = session->room ? session->room * 2 : 4;
		session->head = 0;
	}
	session->queue[(session->head + session->count++) % session->room] = frame_ref(frame);
}

/* Queues text as a frame. */
static void
say(struct session *session, enum frame_kind kind, const char *text, size_t len)
{
	struct frame *frame = frame_new(kind, text, len);

	push(session, frame);
	frame_unref(frame);
}

struct session *
session_open(struct worker *worker, const struct peer_info *info, unsigned *status, const char **code)
{
	struct session *session;
	char		welcome[400];

	if (info->token_len == 3 && memcmp(info->token, "bad", 3) == 0)
	{
		*status = 401;
		*code = CODE_UNAUTHORIZED;
		return NULL;
	}
	if (info->token_len == 4 && memcmp(info->token, "busy", 4) == 0)
	{
		*status = 503;
		*code = CODE_UNAVAILABLE;
		return NULL;
	}
	session = memory_alloc_zeroed(sizeof(*session));
	session->worker = worker;
	session->peer = info->peer;
	session->transport = info->transport;
	session->is_waiting = info->token == NULL && worker->options->anon_role == NULL;
	snprintf(session->address, sizeof(session->address), "%s", info->address);
	session->next = worker->sessions;
	session->link = &worker->sessions;
	if (session->next != NULL)
		session->next->link = &session->next;
	worker->sessions = session;
	worker->count++;
	snprintf(welcome, sizeof(welcome), "{\"op\":\"welcome\",\"address\":\"%s\",\"token\":%zu}",
			 info->address, info->token_len);
	say(session, FRAME_REPLY, welcome, strlen(welcome));
	return session;
}

/* A frame of size bytes: its number, then letters that depend on number and place. */
static struct frame *
pattern(long n, long size)
{
	struct frame *frame = frame_new_empty((size_t) size + 64);
	char	   *text = frame_payload_at(frame);
	int			len = sprintf(text, "{\"op\":\"commit\",\"n\":%ld,\"x\":\"", n);

	for (; len < size - 2; len++)
		text[len] = (char) ('a' + (n * 7 + len) % 26);
	text[len++] = '"';
	text[len++] = '}';
	frame_finish(frame, FRAME_COMMIT, (size_t) len);
	return frame;
}

/* Milliseconds of CPU that this thread has used, times 1,000. */
static long
cpu_us(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
}

/* Memory of the process that is its own, in kB. */
static long
own_memory(void)
{
	char		line[200];
	long		kb = 0;
	FILE	   *file = fopen("/proc/self/status", "r");

	while (file != NULL && fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %ld", &kb) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kb;
}

static void
publish(struct session *from, struct slice message, bool is_burst)
{
	long		count = number(message, "count");
	long		size = number(message, "size");
	long		start = cpu_us();
	char		text[100];

	for (long n = 0; n < count; n++)
	{
		struct frame *frame = pattern(n, size);

		for (struct session *s = from->worker->sessions; s != NULL; s = s->next)
			if (s != from)
			{
				push(s, frame);
				if (!is_burst)
					peer_flush(s->peer);
			}
		frame_unref(frame);
	}
	if (is_burst)
		for (struct session *s = from->worker->sessions; s != NULL; s = s->next)
			if (s != from)
				peer_flush(s->peer);
	snprintf(text, sizeof(text), "{\"op\":\"published\",\"us\":%ld}", cpu_us() - start);
	say(from, FRAME_REPLY, text, strlen(text));
}

static void
subscribe(struct session *session, struct slice message)
{
	struct buffer out = {0};
	struct slice value;
	char		feature[100];

	text_of(message, "feature", feature, sizeof(feature));
	if (strcmp(feature, "none") == 0)
	{
		buffer_puts(&out, "{\"op\":\"error\",\"code\":\"unknown_entity\"}");
		say(session, FRAME_REPLY, out.at, out.len);
		buffer_release(&out);
		return;
	}
	buffer_puts(&out, "{\"op\":\"subscribed\",\"view\":\"1\",\"position\":\"e/1:1:\",\"asked\":");
	buffer_put_slice(&out, message);
	buffer_puts(&out, "}");
	say(session, FRAME_REPLY, out.at, out.len);
	buffer_release(&out);
	if (jsonscan_find(message, "snapshot", &value) == 1 && slice_equals(value, "true"))
	{
		struct frame *frame;
		long		parts = number(message, "limit");

		for (long i = 0; i < (parts ? parts : 1); i++)
		{
			frame = pattern(i, 100000);
			push(session, frame);
			frame_unref(frame);
		}
		frame = frame_new(FRAME_SNAPSHOT, "{\"op\":\"snapshot\",\n\r\"rows\":[]}", 29);
		push(session, frame);
		frame_unref(frame);
		frame = protocol_position("e/2:2:");
		push(session, frame);
		frame_unref(frame);
	}
}

static void
obey(struct session *session, struct slice message, const char *op)
{
	char		text[200];

	if (strcmp(op, "auth") == 0)
	{
		text_of(message, "token", text, sizeof(text));
		session->is_waiting = session->is_waiting && strcmp(text, "good") != 0;
		say(session, FRAME_REPLY, "{\"op\":\"authenticated\"}", 22);
	}
	else if (strcmp(op, "subscribe") == 0)
		subscribe(session, message);
	else if (strcmp(op, "send") == 0)
		for (long n = 0; n < number(message, "count"); n++)
		{
			struct frame *frame = pattern(n, number(message, "size"));

			push(session, frame);
			frame_unref(frame);
		}
	else if (strcmp(op, "publish") == 0 || strcmp(op, "burst") == 0)
		publish(session, message, op[0] == 'b');
	else if (strcmp(op, "position") == 0)
	{
		struct frame *frame;

		text_of(message, "text", text, sizeof(text));
		frame = protocol_position(text);
		for (struct session *s = session->worker->sessions; s != NULL; s = s->next)
		{
			push(s, frame);
			peer_flush(s->peer);
		}
		frame_unref(frame);
	}
	else if (strcmp(op, "behind") == 0)
	{
		struct slice is;

		for (struct session *s = session->worker->sessions; s != NULL; s = s->next)
			if (s != session)
				s->is_behind = jsonscan_find(message, "is", &is) == 1 && slice_equals(is, "true");
		say(session, FRAME_REPLY, "{\"op\":\"done\"}", 13);
	}
	else if (strcmp(op, "close") == 0)
	{
		text_of(message, "reason", text, sizeof(text));
		peer_close(session->peer, (unsigned) number(message, "code"), text);
	}
	else if (strcmp(op, "end") == 0)
	{
		struct slice ref = {NULL, 0};

		for (struct session *s = session->worker->sessions; s != NULL; s = s->next)
			if (s != session)
			{
				struct frame *frame = protocol_error(ref, CODE_EXPIRED, "the token \"has\" expired", NULL,
													 CLOSE_EXPIRED);

				push(s, frame);
				frame_unref(frame);
				peer_close(s->peer, CLOSE_EXPIRED, CODE_EXPIRED);
			}
	}
	else if (strcmp(op, "stats") == 0)
	{
		snprintf(text, sizeof(text), "{\"op\":\"stats\",\"sessions\":%u,\"cpu\":%ld,\"kb\":%ld,\"open\":%u}",
				 session->worker->count, cpu_us(), own_memory(),
				 listener_count(session->worker->program->listener));
		say(session, FRAME_REPLY, text, strlen(text));
	}
	else
		say(session, FRAME_REPLY, message.at, message.len);
}

void
session_receive(struct session *session, const char *text, size_t len)
{
	struct slice message = {text, len};
	char		op[20] = "";

	if (jsonscan_kind(message) == JSON_KIND_OBJECT)
		text_of(message, "op", op, sizeof(op));
	obey(session, message, op);
	peer_flush(session->peer);
}

unsigned
session_pending(struct session *session, struct frame **frames, unsigned max)
{
	unsigned	n = 0;

	for (; n < max && n < session->count; n++)
		frames[n] = session->queue[(session->head + n) % session->room];
	return n;
}

void
session_sent(struct session *session, unsigned n)
{
	for (; n > 0; n--)
	{
		frame_unref(session->queue[session->head]);
		session->head = (session->head + 1) % session->room;
		session->count--;
	}
	if (session->count == 0)
	{
		memory_free(session->queue);
		session->queue = NULL;
		session->room = 0;
		session->head = 0;
	}
}

void
session_closed(struct session *session)
{
	session_sent(session, (unsigned) session->count);
	*session->link = session->next;
	if (session->next != NULL)
		session->next->link = session->link;
	session->worker->count--;
	memory_free(session);
}

bool
session_is_waiting_for_auth(const struct session *session)
{
	return session->is_waiting;
}

bool
session_is_settled(const struct session *session)
{
	return !session->is_behind;
}

bool
worker_is_admin(struct worker *worker, const char *token, size_t len)
{
	(void) worker;
	return len == 5 && memcmp(token, "admin", 5) == 0;
}

static void
gone(void *arg, const char *address)
{
	struct worker *worker = arg;

	listener_left(worker->program->listener, worker->number, address);
}

static void
adopt(void *arg)
{
	struct handed *handed = arg;

	server_adopt(handed->worker->server, handed->fd, handed->address, handed->is_local);
	memory_free(handed);
}

static void
accepted(void *arg, unsigned worker, int fd, const char *address, bool is_local)
{
	struct program *program = arg;
	struct handed *handed = memory_alloc_zeroed(sizeof(*handed));

	handed->worker = &program->workers[worker];
	handed->fd = fd;
	handed->is_local = is_local;
	snprintf(handed->address, sizeof(handed->address), "%s", address);
	loop_post(handed->worker->loop, adopt, handed);
}

static void *
work(void *arg)
{
	struct worker *worker = arg;

	loop_run(worker->loop);
	server_free(worker->server);
	loop_free(worker->loop);
	return NULL;
}

static void
worker_drained(void *arg)
{
	struct program *program = arg;

	if (++program->drained == program->nworkers)
		loop_stop(program->loop);
}

static void
drained(void *arg)
{
	struct worker *worker = arg;

	loop_stop(worker->loop);
	loop_post(worker->program->loop, worker_drained, worker->program);
}

static void
drain(void *arg)
{
	struct worker *worker = arg;

	server_drain(worker->server, worker->options->drain_s, drained, worker);
}

static void
reload(void *arg)
{
	struct reload *reload_of = arg;

	reload_of->worker->options = reload_of->options;
	server_reload(reload_of->worker->server, reload_of->options);
	memory_free(reload_of);
}

static void
on_signal(void *arg, int signal)
{
	struct program *program = arg;

	if (signal == SIGHUP)
	{
		struct options *options = memory_alloc_zeroed(sizeof(*options));

		program->retired[program->nretired++ % 10] = options;
		if (options_reread(options, program->argc, program->argv, stderr) == RT_OK)
			program->options = options;
		listener_reload(program->listener, program->options);
		for (unsigned i = 0; i < program->nworkers; i++)
		{
			struct reload *of = memory_alloc_zeroed(sizeof(*of));

			of->worker = &program->workers[i];
			of->options = program->options;
			loop_post(of->worker->loop, reload, of);
		}
		log_write(LOG_LEVEL_INFO, "reloaded", "workers=%u", program->nworkers);
		return;
	}
	listener_stop(program->listener);
	for (unsigned i = 0; i < program->nworkers; i++)
		loop_post(program->workers[i].loop, drain, &program->workers[i]);
}

int
main(int argc, char **argv)
{
	struct program program = {.argc = argc, .argv = argv};
	struct options options;

	memset(&options, 0, sizeof(options));
	if (options_read(&options, argc, argv, stderr) != RT_OK)
		return 1;
	log_set_level(options.log_level);
	log_set_format(options.log_format);
	program.options = &options;
	program.nworkers = options.workers > 0 ? options.workers : 1;
	program.workers = memory_alloc_zeroed(sizeof(struct worker) * program.nworkers);
	program.loop = loop_new();
	for (unsigned i = 0; i < program.nworkers; i++)
	{
		struct worker *worker = &program.workers[i];

		worker->program = &program;
		worker->number = i;
		worker->options = &options;
		worker->loop = loop_new();
		worker->server = server_new(worker->loop, worker, &options);
		if (worker->server == NULL)
			return 1;
		server_on_gone(worker->server, gone, worker);
		pthread_create(&worker->thread, NULL, work, worker);
	}
	loop_on_signal(program.loop, SIGHUP, on_signal, &program);
	loop_on_signal(program.loop, SIGTERM, on_signal, &program);
	program.listener = listener_new(program.loop, &options, program.nworkers, accepted, &program);
	if (program.listener == NULL)
		_exit(1);
	loop_run(program.loop);
	for (unsigned i = 0; i < program.nworkers; i++)
		pthread_join(program.workers[i].thread, NULL);
	listener_free(program.listener);
	loop_free(program.loop);
	for (unsigned i = 0; i < program.nretired && i < 10; i++)
	{
		options_release(program.retired[i]);
		memory_free(program.retired[i]);
	}
	options_release(&options);
	memory_free(program.workers);
	log_write(LOG_LEVEL_INFO, "stopped", "code=%d", 0);
	return 0;
}
