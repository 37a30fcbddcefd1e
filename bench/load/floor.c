/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * floor.c
 *	  The least that a WebSocket server can do on sockets: epoll, and a send of bytes framed once. It is what
 *	  the figures of real servers are held against.
 *
 *	floor PORT send|coalesce
 *
 * "send": one send() per message and connection, all connections for each message. "coalesce": one send() per
 * connection with all messages of the burst. A line "burst N BYTES" on stdin sends N messages of so many bytes. It does not read what peers say, does not wait for a full socket (it ends with an error),
 * and its handshake's key is a constant: for load.c only.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tally.h"

#define PEERS_MAX 20000
#define BURST_MAX 100
#define MESSAGE_MAX 65535

static int	peers[PEERS_MAX];
static unsigned npeers;
static bool is_coalescing;
static size_t message_len;
static char *burst;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
send_to(int fd, const char *bytes, size_t len)
{
	if (send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t) len)
		die("a peer does not read");
}

/* Frames a message: its mark, then filling. Returns the bytes with the header. */
static size_t
frame(char *to)
{
	size_t		at = message_len < 126 ? 2 : 4;

	to[0] = (char) 0x81;
	to[1] = (char) (message_len < 126 ? message_len : 126);
	to[2] = (char) (message_len >> 8);
	to[3] = (char) message_len;
	memset(to + at, 'x', message_len);
	at += (size_t) sprintf(to + at, "~T%016lld", (long long) clock_us());
	to[at] = 'x';
	return message_len + (message_len < 126 ? 2 : 4);
}

static void
publish(unsigned n)
{
	size_t		len = 0;
	size_t		one = 0;

	for (unsigned i = 0; i < n; i++)
		len += one = frame(burst + len);
	if (is_coalescing)
		for (unsigned i = 0; i < npeers; i++)
			send_to(peers[i], burst, len);
	else
		for (unsigned k = 0; k < n; k++)
			for (unsigned i = 0; i < npeers; i++)
				send_to(peers[i], burst + k * one, one);
}

static void
accept_peer(int listener, int epoll_fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int			one = 1;

	if (fd < 0)
		return;
	if (npeers == PEERS_MAX)
		exit(1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	event.data.fd = fd;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* The request, or the end. */
static void
on_peer(int fd)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	char		text[4096];
	ssize_t		n = recv(fd, text, sizeof(text), 0);

	if (n <= 0)
	{
		close(fd);
		for (unsigned i = 0; i < npeers; i++)
			if (peers[i] == fd)
				peers[i--] = peers[--npeers];
		return;
	}
	if (n < 4 || memcmp(text, "GET ", 4) != 0)
		return;
	send_to(fd, answer, sizeof(answer) - 1);
	peers[npeers++] = fd;
}

static void
on_stdin(void)
{
	char		line[256];
	unsigned	n;

	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(0);
	if (sscanf(line, "burst %u %zu", &n, &message_len) != 2 || n > BURST_MAX || message_len < 32
		|| message_len > MESSAGE_MAX)
		exit(1);
	publish(n);
}

static int
listen_on(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int			one = 1;

	address.sin_port = htons((uint16_t) atoi(port));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

int
main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.fd = 0}};
	struct rlimit files;
	int			listener;
	int			epoll_fd;

	if (argc != 3)
		return 2;
	is_coalescing = strcmp(argv[2], "coalesce") == 0;
	burst = malloc((size_t) (MESSAGE_MAX + 16) * BURST_MAX);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	setvbuf(stdin, NULL, _IONBF, 0);
	listener = listen_on(argv[1]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event);
	event.data.fd = listener;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
	for (;;)
	{
		int			n = epoll_wait(epoll_fd, &event, 1, -1);

		if (n < 1)
			continue;
		if (event.data.fd == 0)
			on_stdin();
		else if (event.data.fd == listener)
			accept_peer(listener, epoll_fd);
		else
			on_peer(event.data.fd);
	}
}
