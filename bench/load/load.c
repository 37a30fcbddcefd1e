/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * load.c
 *	  Thousands of subscribers in one process: WebSocket, streamed HTTP, or sockets that say nothing, spread over
 *	  loopback source addresses. Each sends what it is told to, then counts what arrives (tally.h). Knows no server.
 *
 * Prints {"ready":n,"seconds":…,"each_ms":{…}} once every connection has seen what it waits for (each: from its
 * connect() on), then obeys lines on stdin:
 *	  expect N SECONDS	waits for N events, then reports; reports what there is when time is over
 *	  report			{"events":…,"frames":…,"bytes":…,"least":…,"most":…,"closed":…,"latency_us":{…}}
 *						of what came since the last report; least and most: events of one connection
 *	  quit
 *
 * One thread, one buffer, one read per wake-up: some hundred bytes and two microseconds per connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tally.h"

#define BUFFER (256 * 1024)
#define SAYS_MAX 16
#define CONTROL_MAX 125
#define ADDRESSES 100			/* source addresses 127.0.1.1 to 127.0.1.100 */

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum peer_state
{
	PEER_CONNECTING,
	PEER_HEAD,					/* the answer's head has not ended */
	PEER_OPEN,
	PEER_CLOSED
};

struct peer
{
	int			fd;
	unsigned	number;
	unsigned	events;			/* since the last report */
	unsigned	saying;			/* what was said so far, of the last thing that is repeated */
	uint64_t	left;			/* of a frame's payload */
	int64_t		began_us;
	struct mark mark;
	unsigned char state;		/* enum peer_state */
	unsigned char line_ends;	/* of the head, one after another */
	unsigned char head[10];		/* of a frame */
	unsigned char head_len;
	unsigned char opcode;
	unsigned char ready_at;		/* bytes of the ready text seen */
	unsigned	ready_count;
	unsigned char control_len;
	unsigned char *control;		/* payload of a ping or close frame */
};

static struct
{
	struct sockaddr_in target;
	const char *path;
	const char *subprotocol;
	const char *header;			/* a template: more lines of the request's head */
	const char *body;			/* a template: POST it */
	const char *says[SAYS_MAX];
	unsigned	nsays;
	unsigned	each;			/* the last of them is said so often */
	unsigned	burst;			/* of those, so many at a time */
	bool		is_http;
	bool		is_silent;		/* connects only */
	bool		is_binary;		/* what is said is hex */
	char	   *ready;			/* hex, too; without zero bytes */
	unsigned	ready_count;
	unsigned	n;
	unsigned	first;
	unsigned	concurrency;
	char	  **tokens;
	unsigned	ntokens;
}			options = {.path = "/", .each = 1, .burst = 100, .ready_count = 1, .n = 1, .concurrency = 100};

static int	epoll_fd;
static struct peer *peers;
static unsigned started;
static unsigned connecting;
static unsigned ready;
static unsigned closed;
static uint64_t frames;
static uint64_t bytes_in;
static struct tally *tally;
static int64_t *waits;			/* of those that are ready, in microseconds */
static char buffer[BUFFER];

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* Puts the connection's number (%n), the subscription's (%i) and the token (%t) into a template. */
static size_t
expand(char *to, size_t size, const char *template, const struct peer *peer, unsigned i)
{
	size_t		len = 0;

	for (const char *at = template; *at && len + 32 < size; at++)
	{
		if (*at != '%' || strchr("nit", at[1]) == NULL || at[1] == 0)
		{
			to[len++] = *at;
			continue;
		}
		at++;
		if (*at == 'n')
			len += (size_t) snprintf(to + len, size - len, "%u", peer->number);
		else if (*at == 'i')
			len += (size_t) snprintf(to + len, size - len, "%u", peer->number * options.each + i);
		else if (options.ntokens > 0)
			len += (size_t) snprintf(to + len, size - len, "%s",
									 options.tokens[peer->number % options.ntokens]);
		if (len >= size)
			exit(1);
	}
	return len;
}

/* Sends all, waiting if need be: what is said is small. */
static void
send_all(struct peer *peer, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0)
	{
		ssize_t		n = send(peer->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
		{
			usleep(1000);
			continue;
		}
		if (n <= 0)
			return;				/* the next read says why */
		at += n;
		len -= (size_t) n;
	}
}

/* A frame of a client: masked with zeros, which is as good as any mask here. */
static size_t
frame(char *to, unsigned opcode, const void *payload, size_t len)
{
	size_t		at = 2;

	to[0] = (char) (0x80 | opcode);
	if (len < 126)
		to[1] = (char) (0x80 | len);
	else
	{
		to[1] = (char) (0x80 | 126);
		to[2] = (char) (len >> 8);
		to[3] = (char) len;
		at = 4;
	}
	memset(to + at, 0, 4);
	memcpy(to + at + 4, payload, len);
	return at + 4 + len;
}

/* Bytes from hex digits, in place. */
static size_t
unhex(char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
	{
		char		digits[3] = {text[i], text[i + 1], 0};

		text[i / 2] = (char) strtoul(digits, NULL, 16);
	}
	return len / 2;
}

/* Says the next things: each in a frame of its own, a burst of them in one write. */
static void
say(struct peer *peer)
{
	static char out[BUFFER];
	static char text[32 * 1024];
	unsigned	total = options.nsays ? options.nsays - 1 + options.each : 0;
	unsigned	end = peer->saying + options.burst;
	size_t		len = 0;

	for (; peer->saying < total && peer->saying < end; peer->saying++)
	{
		unsigned	which = peer->saying < options.nsays ? peer->saying : options.nsays - 1;
		size_t		n = expand(text, sizeof(text), options.says[which], peer,
							   peer->saying < options.nsays ? 0 : peer->saying - options.nsays + 1);

		if (options.is_binary)
			n = unhex(text, n);
		if (len + n + 16 > sizeof(out))
		{
			send_all(peer, out, len);
			len = 0;
		}
		len += frame(out + len, options.is_binary ? 2 : 1, text, n);
	}
	send_all(peer, out, len);
}

/* The request. */
static void
request(struct peer *peer)
{
	static char out[64 * 1024];
	static char body[32 * 1024];
	static char header[16 * 1024];
	size_t		body_len = options.body ? expand(body, sizeof(body), options.body, peer, 0) : 0;
	size_t		len;

	header[options.header ? expand(header, sizeof(header), options.header, peer, 0) : 0] = 0;
	len = (size_t) snprintf(out, sizeof(out), "%s ", options.body ? "POST" : "GET");
	len += expand(out + len, sizeof(out) - len, options.path, peer, 0);
	len += (size_t) snprintf(out + len, sizeof(out) - len, " HTTP/1.1\r\nHost: bench\r\n%s%s", header,
							 *header ? "\r\n" : "");
	if (options.is_http)
		len += (size_t) snprintf(out + len, sizeof(out) - len, "Accept: text/event-stream\r\n");
	else
		len += (size_t) snprintf(out + len, sizeof(out) - len,
								 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
								 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
	if (options.subprotocol)
		len += (size_t) snprintf(out + len, sizeof(out) - len, "Sec-WebSocket-Protocol: %s\r\n",
								 options.subprotocol);
	if (options.body)
		len += (size_t) snprintf(out + len, sizeof(out) - len,
								 "Content-Type: application/json\r\nContent-Length: %zu\r\n", body_len);
	len += (size_t) snprintf(out + len, sizeof(out) - len, "\r\n");
	send_all(peer, out, len);
	send_all(peer, body, body_len);
}

static void
start(struct peer *peer)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLOUT, .data = {.ptr = peer}};
	int			one = 1;

	peer->number = options.first + started;
	peer->began_us = clock_us();
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->fd < 0)
		die("socket");
	from.sin_addr.s_addr = htonl(0x7f000101u + peer->number % ADDRESSES);
	setsockopt(peer->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(peer->fd, (struct sockaddr *) &from, sizeof(from)) < 0)
		die("bind");
	if (connect(peer->fd, (struct sockaddr *) &options.target, sizeof(options.target)) < 0
		&& errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peer->fd, &event) < 0)
		die("epoll_ctl");
	started++;
	connecting++;
}

/* Whoever is ready lets the next one begin. */
static void
is_ready(struct peer *peer)
{
	peer->ready_count = options.ready_count;
	waits[ready++] = clock_us() - peer->began_us;
	connecting--;
}

static void
end(struct peer *peer)
{
	if (peer->state == PEER_CLOSED)
		return;
	if (peer->ready_count < options.ready_count)
		connecting--;
	peer->state = PEER_CLOSED;
	close(peer->fd);
	closed++;
}

/* Looks for the text that says that a subscription stands. It must not begin within itself. */
static void
look_for_ready(struct peer *peer, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && peer->ready_count < options.ready_count; i++)
	{
		if (bytes[i] != options.ready[peer->ready_at])
			peer->ready_at = 0;
		if (bytes[i] != options.ready[peer->ready_at] || options.ready[++peer->ready_at] != 0)
			continue;
		peer->ready_at = 0;
		if (++peer->ready_count == options.ready_count)
		{
			is_ready(peer);
			return;
		}
		if (peer->ready_count % options.burst == 0)
			say(peer);
	}
}

static void
take_payload(struct peer *peer, const char *bytes, size_t len, int64_t now)
{
	if (peer->ready_count < options.ready_count)
		look_for_ready(peer, bytes, len);
	peer->events += tally_scan(tally, &peer->mark, bytes, len, now);
}

/* Pings are answered; a close frame ends the connection. */
static void
take_control(struct peer *peer)
{
	char		out[16 + CONTROL_MAX];

	if (peer->opcode == 9)
		send_all(peer, out, frame(out, 10, peer->control, peer->control_len));
	else if (peer->opcode == 8)
		end(peer);
	free(peer->control);
	peer->control = NULL;
	peer->control_len = 0;
}

/* How many bytes a frame's head has, as far as it is known. */
static unsigned
head_needs(const struct peer *peer)
{
	unsigned	len = peer->head[1] & 0x7f;

	return peer->head_len < 2 ? 2 : len < 126 ? 2 : len == 126 ? 4 : 10;
}

static void
begin_frame(struct peer *peer)
{
	unsigned	needed = head_needs(peer);

	peer->opcode = peer->head[0] & 0x0f;
	peer->left = peer->head[1] & 0x7f;
	if (needed > 2)
		peer->left = 0;
	for (unsigned i = 2; i < needed; i++)
		peer->left = peer->left << 8 | peer->head[i];
	if (peer->opcode < 8)
		frames++;
	else if (peer->left <= CONTROL_MAX)
		peer->control = malloc(CONTROL_MAX);
}

/* WebSocket frames, however they are cut. */
static void
take_frames(struct peer *peer, const char *at, size_t len, int64_t now)
{
	while (peer->state == PEER_OPEN && len > 0)
	{
		size_t		n;

		if (peer->head_len < head_needs(peer))
		{
			peer->head[peer->head_len++] = (unsigned char) *at++;
			len--;
			if (peer->head_len < 2 || peer->head_len < head_needs(peer))
			{
				if (len == 0)
					return;
				continue;
			}
			begin_frame(peer);
		}
		n = len < peer->left ? len : (size_t) peer->left;
		if (peer->opcode < 8)
			take_payload(peer, at, n, now);
		else if (peer->control != NULL && peer->control_len + n <= CONTROL_MAX)
		{
			memcpy(peer->control + peer->control_len, at, n);
			peer->control_len = (unsigned char) (peer->control_len + n);
		}
		at += n;
		len -= n;
		peer->left -= n;
		if (peer->left > 0)
			return;
		peer->head_len = 0;
		if (peer->opcode >= 8)
			take_control(peer);
	}
}

/* Bytes behind the answer's head. */
static void
take_open(struct peer *peer, const char *at, size_t len, int64_t now)
{
	if (options.is_http)
		take_payload(peer, at, len, now);
	else
		take_frames(peer, at, len, now);
}

static void
open_peer(struct peer *peer)
{
	peer->state = PEER_OPEN;
	if (options.ready == NULL)
		is_ready(peer);
	if (!options.is_http)
		say(peer);
}

static void
take(struct peer *peer, const char *at, size_t len, int64_t now)
{
	if (peer->state == PEER_HEAD && peer->line_ends == 0 && len > 12
		&& strncmp(at + 9, options.is_http ? "200" : "101", 3) != 0)
	{
		fprintf(stderr, "refused: %.*s\n", (int) (len < 400 ? len : 400), at);
		exit(1);
	}
	while (peer->state == PEER_HEAD && len > 0)
	{
		/* CR LF CR LF */
		if (*at == (peer->line_ends % 2 ? '\n' : '\r'))
			peer->line_ends++;
		else
			peer->line_ends = *at == '\r';
		at++;
		len--;
		if (peer->line_ends == 4)
			open_peer(peer);
	}
	if (peer->state == PEER_OPEN && len > 0)
		take_open(peer, at, len, now);
}

static void
on_event(struct peer *peer, unsigned events)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = peer}};
	ssize_t		n;

	if (peer->state == PEER_CONNECTING && (events & (EPOLLERR | EPOLLHUP)) == 0)
	{
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
		peer->state = options.is_silent ? PEER_OPEN : PEER_HEAD;
		if (options.is_silent)
			is_ready(peer);
		else
			request(peer);
		return;
	}
	do
	{
		n = recv(peer->fd, buffer, sizeof(buffer), 0);
		if (n > 0)
		{
			bytes_in += (uint64_t) n;
			take(peer, buffer, (size_t) n, clock_us());
		}
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			end(peer);
	} while (n == (ssize_t) sizeof(buffer) && peer->state != PEER_CLOSED);
}

static void
report(void)
{
	unsigned	least = UINT32_MAX;
	unsigned	most = 0;

	for (unsigned i = 0; i < options.n; i++)
	{
		if (peers[i].events < least)
			least = peers[i].events;
		if (peers[i].events > most)
			most = peers[i].events;
		peers[i].events = 0;
	}
	printf("{");
	tally_print(tally);
	printf(",\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"least\":%u,\"most\":%u,\"closed\":%u}\n",
		   frames, bytes_in, least, most, closed);
	fflush(stdout);
	frames = bytes_in = 0;
}

/* What is expected, until when. */
static uint64_t expected;
static int64_t deadline;

static void
command(const char *line)
{
	double		seconds;

	if (sscanf(line, "expect %" SCNu64 " %lf", &expected, &seconds) == 2)
		deadline = clock_us() + (int64_t) (seconds * 1e6);
	else if (strncmp(line, "report", 6) == 0)
		report();
	else
		exit(0);
}

static void
on_stdin(void)
{
	static char text[4096];
	static size_t len;
	ssize_t		n = read(0, text + len, sizeof(text) - 1 - len);
	char	   *line = text;
	char	   *next;

	if (n <= 0)
		exit(0);
	len += (size_t) n;
	text[len] = 0;
	while ((next = strchr(line, '\n')) != NULL)
	{
		*next = 0;
		command(line);
		line = next + 1;
	}
	len -= (size_t) (line - text);
	memmove(text, line, len);
}

/* One token a line. */
static void
read_tokens(const char *file)
{
	FILE	   *in = fopen(file, "r");
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;

	if (in == NULL)
		die(file);
	while ((len = getline(&line, &size, in)) > 0)
	{
		if (line[len - 1] == '\n')
			line[len - 1] = 0;
		options.tokens = realloc(options.tokens, sizeof(char *) * (options.ntokens + 1));
		if (options.tokens == NULL)
			abort();
		options.tokens[options.ntokens++] = strdup(line);
	}
	free(line);
	fclose(in);
}

static void
usage(void)
{
	fputs("usage: load --target HOST:PORT [OPTION VALUE]...\n"
		  "  --connections N      (1)    --first N          number of the first one (0)\n"
		  "  --transport ws|http|silent  (ws)   --path TEMPLATE  (/)\n"
		  "  --subprotocol NAME          --header TEMPLATE  more lines of the request's head\n"
		  "  --body TEMPLATE      POST   --say TEMPLATE     a message once open; up to 16 of them,\n"
		  "  --each N             the last of them so often (1)\n"
		  "  --burst N            of those, so many before what is ready is waited for (100)\n"
		  "  --encoding text|hex  of what is said and waited for\n"
		  "  --ready TEXT         what each answer has; without it a connection is ready when open\n"
		  "  --answers N          so many answers make a connection ready (1)\n"
		  "  --concurrency N      connections not ready yet, at most (100)\n"
		  "  --tokens FILE        a line for each connection  --times FILE  see tally.h\n"
		  "in a TEMPLATE: %n the connection's number, %i the subscription's, %t the token\n", stderr);
	exit(2);
}

static void
set_target(const char *value)
{
	const char *colon = strrchr(value, ':');
	char		host[64];

	if (colon == NULL)
		usage();
	snprintf(host, sizeof(host), "%.*s", (int) (colon - value), value);
	options.target.sin_family = AF_INET;
	options.target.sin_port = htons((uint16_t) atoi(colon + 1));
	if (inet_pton(AF_INET, host, &options.target.sin_addr) != 1)
		usage();
}

static void
set_option(const char *name, const char *value)
{
	static const struct
	{
		const char *name;
		const char **text;
		unsigned   *number;
	}			table[] = {
		{"--path", &options.path, NULL}, {"--subprotocol", &options.subprotocol, NULL},
		{"--header", &options.header, NULL}, {"--body", &options.body, NULL},
		{"--answers", NULL, &options.ready_count},
		{"--connections", NULL, &options.n}, {"--first", NULL, &options.first},
		{"--each", NULL, &options.each}, {"--burst", NULL, &options.burst},
		{"--concurrency", NULL, &options.concurrency},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(name, table[i].name) == 0)
		{
			if (table[i].text != NULL)
				*table[i].text = value;
			else
				*table[i].number = (unsigned) strtoul(value, NULL, 10);
			return;
		}
	if (strcmp(name, "--target") == 0)
		set_target(value);
	else if (strcmp(name, "--transport") == 0)
	{
		options.is_http = strcmp(value, "http") == 0;
		options.is_silent = strcmp(value, "silent") == 0;
	}
	else if (strcmp(name, "--encoding") == 0)
		options.is_binary = strcmp(value, "hex") == 0;
	else if (strcmp(name, "--ready") == 0)
		options.ready = strdup(value);
	else if (strcmp(name, "--tokens") == 0)
		read_tokens(value);
	else if (strcmp(name, "--times") == 0)
		tally = tally_new(value);
	else if (strcmp(name, "--say") == 0 && options.nsays < SAYS_MAX)
		options.says[options.nsays++] = value;
	else
		usage();
}

static int
compare_waits(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* All are ready. */
static void
say_ready(int64_t began)
{
	qsort(waits, ready, sizeof(*waits), compare_waits);
	printf("{\"ready\":%u,\"seconds\":%.3f,\"each_ms\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}}\n", ready,
		   (double) (clock_us() - began) / 1e6, (double) waits[ready / 2] / 1e3,
		   (double) waits[ready * 99 / 100] / 1e3, (double) waits[ready - 1] / 1e3);
	fflush(stdout);
}

/* Starts connections, and says when all are ready. */
static void
go_on(int64_t began)
{
	static bool is_said;

	while (started < options.n && connecting < options.concurrency)
		start(&peers[started]);
	if (!is_said && ready == options.n)
	{
		say_ready(began);
		is_said = true;
	}
	if (!is_said && closed > 0)
	{
		fprintf(stderr, "a connection was closed: %u of %u were ready\n", ready, options.n);
		exit(1);
	}
	if (deadline > 0 && (tally_events(tally) >= expected || clock_us() > deadline))
	{
		deadline = 0;
		report();
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
	static struct epoll_event found[512];
	struct rlimit files;
	int64_t		began = clock_us();

	if (argc % 2 == 0)
		usage();
	for (int i = 1; i < argc; i += 2)
		set_option(argv[i], argv[i + 1]);
	if (options.target.sin_port == 0 || options.burst == 0)
		usage();
	if (options.ready != NULL && options.is_binary)
		options.ready[unhex(options.ready, strlen(options.ready))] = 0;
	if (tally == NULL)
		tally = tally_new(NULL);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	peers = calloc(options.n, sizeof(struct peer));
	waits = calloc(options.n + 1, sizeof(*waits));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (peers == NULL || waits == NULL || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event) < 0)
		die("load");
	for (;;)
	{
		int			n;

		go_on(began);
		n = epoll_wait(epoll_fd, found, 512, deadline > 0 ? 10 : -1);
		for (int i = 0; i < n; i++)
			if (found[i].data.ptr == NULL)
				on_stdin();
			else
				on_event(found[i].data.ptr, found[i].events);
	}
}
