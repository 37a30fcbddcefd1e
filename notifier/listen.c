/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * listen.c
 *	  See listen.h.
 *
 * Connections are taken in turns, with a rest after each: a thousand that come at once would wake us a thousand times,
 * and leave nothing of the processors to those who are connected.
 *
 * When the process has no descriptor left, a pending connection would wake the loop for ever. One
 * descriptor is kept in reserve: it is given up to accept that connection, which is then closed.
 */
#define _GNU_SOURCE				/* accept4 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "stats.h"

#define ACCEPT_BATCH 64			/* connections of a place in one turn, for each worker, refused ones included; */
#define ADMIT_BATCH 10			/* admitted ones: half of what a worker could take */
#define REST_MS 1				/* between two such turns */
#define PAUSE_MS 100			/* without memory or descriptors in the kernel */
#define TELL_EVERY_US 100000		/* between two log lines about connections refused */
#define ADDRESS_SLOTS 4096
#define BACKLOG 4096
#define UNSENT_MAX (128 * 1024)	/* bytes that the kernel takes ahead: more would wait where nothing can
								 * be merged or dropped, for each slow reader */

/* One listening socket. */
struct place
{
	struct place *next;
	struct listener *listener;
	struct loop_watch *watch;
	int			fd;
	char	   *path;			/* of a unix socket, to be removed; else NULL */
};

/* How many connections an address has. */
struct caller
{
	struct caller *next;
	unsigned	count;
	char		address[];
};

struct listener
{
	struct loop *loop;
	const struct options *options;
	listener_fn fn;
	void	   *arg;
	struct place *places;
	struct loop_timer *pause;
	int			reserve;
	unsigned	admitted;		/* in this turn */
	int64_t		warned_us;		/* when lack of descriptors was told last */
	int64_t		refused_us;		/* when a refusal was told last, */
	unsigned	untold;			/* and how many were not told since */
	pthread_mutex_t lock;		/* protects what follows */
	unsigned	workers;
	unsigned	count;
	unsigned   *loads;			/* connections of each worker */
	struct caller *callers[ADDRESS_SLOTS];
};

static const char refusal[] =
	"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 85\r\n"
	"Retry-After: 10\r\nConnection: close\r\n\r\n"
	"{\"error\":{\"code\":\"too_many_connections\",\"message\":\"there are too many connections\"}}\n";

/* The slot of an address. */
static struct caller **
slot_of(struct listener *listener, const char *address)
{
	unsigned	hash = 2166136261u;

	for (; *address; address++)
		hash = (hash ^ (unsigned char) *address) * 16777619u;
	return &listener->callers[hash % ADDRESS_SLOTS];
}

/* An address's entry, or where one would be linked. */
static struct caller **
find_caller(struct listener *listener, const char *address)
{
	struct caller **at = slot_of(listener, address);

	while (*at != NULL && strcmp((*at)->address, address) != 0)
		at = &(*at)->next;
	return at;
}

/* Counts a connection in and picks its worker; false when a limit is reached. */
static bool
enter(struct listener *listener, const char *address, bool is_unix, unsigned *worker)
{
	const struct options *options = listener->options;
	unsigned	limit = is_unix || options->has_proxy ? 0 : options->max_connections_per_address;
	struct caller **at;
	bool		is_in = false;

	pthread_mutex_lock(&listener->lock);
	at = find_caller(listener, address);
	if (listener->count < options->max_connections && !(limit > 0 && *at && (*at)->count >= limit))
	{
		if (*at == NULL)
		{
			size_t		len = strlen(address) + 1;

			*at = memory_alloc_zeroed(sizeof(**at) + len);
			memcpy((*at)->address, address, len);
		}
		(*at)->count++;
		listener->count++;
		*worker = 0;
		for (unsigned i = 1; i < listener->workers; i++)
			if (listener->loads[i] < listener->loads[*worker])
				*worker = i;
		listener->loads[*worker]++;
		is_in = true;
	}
	pthread_mutex_unlock(&listener->lock);
	return is_in;
}

void
listener_left(struct listener *listener, unsigned worker, const char *address)
{
	struct caller **at;

	pthread_mutex_lock(&listener->lock);
	at = find_caller(listener, address);
	if (*at != NULL && --(*at)->count == 0)
	{
		struct caller *gone = *at;

		*at = gone->next;
		memory_free(gone);
	}
	listener->count--;
	listener->loads[worker]--;
	pthread_mutex_unlock(&listener->lock);
}

unsigned
listener_count(struct listener *listener)
{
	unsigned	count;

	pthread_mutex_lock(&listener->lock);
	count = listener->count;
	pthread_mutex_unlock(&listener->lock);
	return count;
}

/* The text of a peer's address, and whether it is on this machine. */
static bool
describe(const struct sockaddr_storage *from, char *text, size_t room)
{
	if (from->ss_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) from;

		inet_ntop(AF_INET, &in->sin_addr, text, (socklen_t) room);
		return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
	}
	if (from->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) from;

		if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
		{
			inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], text, (socklen_t) room);
			return in->sin6_addr.s6_addr[12] == 127;
		}
		inet_ntop(AF_INET6, &in->sin6_addr, text, (socklen_t) room);
		return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
	}
	snprintf(text, room, "unix");
	return true;
}

/* Small frames go out at once; a peer that is gone without a word is found out. */
static void
set_options(const struct listener *listener, int fd)
{
	const struct options *options = listener->options;
	int			on = 1;
	/* the kernel counts a reader that takes nothing as gone, too: what slow means is decided before that */
	unsigned	alive_s = options->heartbeat_s * 2 > options->slow_timeout_s + 30 ? options->heartbeat_s * 2
		: options->slow_timeout_s + 30;
	unsigned	timeout_ms = alive_s * 1000;
	int			unsent = UNSENT_MAX;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

/* One line for many refusals: a flood of connections must not become one of log lines. */
static void
tell_refusal(struct listener *listener, const char *address)
{
	int64_t		now = loop_clock_us();

	if (listener->refused_us != 0 && now - listener->refused_us < TELL_EVERY_US)
	{
		listener->untold++;
		return;
	}
	log_write(LOG_LEVEL_WARNING, "refused", "code=%s address=%s untold=%u", "too_many_connections",
			  address, listener->untold);
	listener->refused_us = now;
	listener->untold = 0;
}

/* Tells a connection above the limits why, if its socket takes it at once, and closes it. */
static void
refuse(struct listener *listener, int fd, const char *address)
{
	stats_refused("too_many_connections");
	tell_refusal(listener, address);
	if (listener->options->tls_certificate == NULL)
	{
		char		dropped[4096];

		(void) !send(fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		shutdown(fd, SHUT_WR);
		/* unread bytes would make closing drop the answer */
		(void) !recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
	}
	close(fd);
}

/* Frees a descriptor to drop one pending connection with; whether there was one. */
static bool
use_reserve(struct listener *listener, int listening)
{
	int64_t		now = loop_clock_us();
	int			fd = -1;

	if (listener->warned_us == 0 || now - listener->warned_us > 1000000)
	{
		log_write(LOG_LEVEL_ERROR, "descriptors_exhausted", "connections=%u", listener_count(listener));
		listener->warned_us = now;
	}
	stats_refused("too_many_connections");
	if (listener->reserve >= 0)
	{
		close(listener->reserve);
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
	}
	listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

/* Stops looking at the sockets for a moment. */
static void
start_pause(struct listener *listener, unsigned ms)
{
	for (struct place *place = listener->places; place != NULL; place = place->next)
		loop_watch_set(place->watch, false, false);
	loop_timer_start(listener->pause, ms);
}

static void
end_pause(void *arg)
{
	struct listener *listener = arg;

	if (listener->reserve < 0)
		listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (struct place *place = listener->places; place != NULL; place = place->next)
		loop_watch_set(place->watch, true, false);
}

/* Accepts one connection; false when there is none now. */
static bool
accept_one(struct place *place)
{
	struct listener *listener = place->listener;
	struct sockaddr_storage from;
	socklen_t	len = sizeof(from);
	char		address[INET6_ADDRSTRLEN];
	unsigned	worker;
	bool		is_local;
	int			fd;

	memset(&from, 0, sizeof(from));
	fd = accept4(place->fd, (struct sockaddr *) &from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
	{
		if (errno == EMFILE || errno == ENFILE)
		{
			bool		has_dropped = use_reserve(listener, place->fd);

			if (listener->reserve >= 0)
				return has_dropped;
			start_pause(listener, PAUSE_MS);
		}
		else if (errno == ENOBUFS || errno == ENOMEM)
			start_pause(listener, PAUSE_MS);
		else if (errno == EINTR || errno == ECONNABORTED)
			return true;
		return false;
	}
	is_local = describe(&from, address, sizeof(address));
	if (!enter(listener, address, place->path != NULL, &worker))
	{
		refuse(listener, fd, address);
		return true;
	}
	if (place->path == NULL)
		set_options(listener, fd);
	listener->admitted++;
	listener->fn(listener->arg, worker, fd, address, is_local);
	return true;
}

/* Takes what waits at one place, up to its share of a turn. */
static void
accept_some(struct place *place)
{
	struct listener *listener = place->listener;

	listener->admitted = 0;
	for (unsigned i = 0; i < ACCEPT_BATCH * listener->workers
		 && listener->admitted < ADMIT_BATCH * listener->workers && accept_one(place); i++)
		;
}

/* A turn: every place has its share, whichever is ready. */
static void
on_ready(void *arg, bool is_readable, bool is_writable)
{
	struct listener *listener = ((struct place *) arg)->listener;

	(void) is_readable;
	(void) is_writable;
	for (struct place *place = listener->places; place != NULL; place = place->next)
		accept_some(place);
	if (!loop_timer_is_active(listener->pause))
		start_pause(listener, REST_MS);
}

/* Says where a socket listens: port 0 became a real one. */
static void
say_listening(int fd, const char *path)
{
	struct sockaddr_storage address;
	socklen_t	len = sizeof(address);
	char		host[INET6_ADDRSTRLEN];
	char		text[sizeof(((struct sockaddr_un *) 0)->sun_path) + 10];
	unsigned	port;

	if (path != NULL)
	{
		snprintf(text, sizeof(text), "unix:%s", path);
		log_write(LOG_LEVEL_INFO, "listening", "address=%s", text);
		return;
	}
	if (getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		return;
	describe(&address, host, sizeof(host));
	port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *) &address)->sin_port
				 : ((struct sockaddr_in6 *) &address)->sin6_port);
	snprintf(text, sizeof(text), address.ss_family == AF_INET ? "%s:%u" : "[%s]:%u", host, port);
	log_write(LOG_LEVEL_INFO, "listening", "address=%s", text);
}

/* Logs why a place cannot be listened on; errno is set. */
static int
cannot_listen(const char *where, const char *why)
{
	log_write(LOG_LEVEL_ERROR, "cannot_listen", "address=%s reason=%s", where, why);
	return RT_MALFORMED;
}

/* Takes a bound socket into the listener. */
static int
add_place(struct listener *listener, int fd, const char *path, const char *where)
{
	struct place *place;

	if (listen(fd, BACKLOG) != 0)
	{
		int			result = cannot_listen(where, strerror(errno));

		close(fd);
		return result;
	}
	place = memory_alloc_zeroed(sizeof(*place));
	place->listener = listener;
	place->fd = fd;
	if (path != NULL)
		place->path = memory_copy_string(path, strlen(path));
	place->watch = loop_watch_new(listener->loop, fd, on_ready, place);
	place->next = listener->places;
	listener->places = place;
	loop_watch_set(place->watch, true, false);
	say_listening(fd, path);
	return RT_OK;
}

/* Whether nobody listens on a unix socket's path any more. */
static bool
is_stale(const struct sockaddr_un *address)
{
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat status;
	bool		is_refused;

	if (fd < 0)
		return false;
	is_refused = connect(fd, (const struct sockaddr *) address, sizeof(*address)) != 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return is_refused && stat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode);
}

static int
open_unix(struct listener *listener, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd;

	if (strlen(path) == 0 || strlen(path) >= sizeof(address.sun_path))
		return cannot_listen(path, "the path of a unix socket has 1 to 107 bytes");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (is_stale(&address))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
	{
		int			result = cannot_listen(path, strerror(errno));

		if (fd >= 0)
			close(fd);
		return result;
	}
	return add_place(listener, fd, path, path);
}

/* Opens one address of a host. */
static int
open_address(struct listener *listener, const struct addrinfo *info, const char *where)
{
	int			on = 1;
	int			fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
	{
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (info->ai_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) != 0)
	{
		int			result = cannot_listen(where, strerror(errno));

		if (fd >= 0)
			close(fd);
		return result;
	}
	return add_place(listener, fd, NULL, where);
}

/* Opens HOST:PORT or [HOST]:PORT; the host "*" stands for every address. */
static int
open_tcp(struct listener *listener, char *where)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	char	   *colon = strrchr(where, ':');
	char	   *host = where;
	int			result;

	if (colon == NULL || colon[1] == 0 || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
		strtoul(colon + 1, NULL, 10) > 65535)
		return cannot_listen(where, "not HOST:PORT, [IPV6]:PORT or unix:/PATH");
	*colon = 0;
	if (host[0] == '[')
	{
		char	   *end = strchr(++host, ']');

		if (end == NULL || end[1] != 0)
			return cannot_listen(where, "not HOST:PORT, [IPV6]:PORT or unix:/PATH");
		*end = 0;
	}
	result = getaddrinfo(strcmp(host, "*") == 0 || host[0] == 0 ? NULL : host, colon + 1, &hints, &found);
	if (result != 0)
		return cannot_listen(where, gai_strerror(result));
	for (const struct addrinfo *info = found; info != NULL && result == 0; info = info->ai_next)
		result = open_address(listener, info, where);
	freeaddrinfo(found);
	return result;
}

/* Opens all places of a list. */
static int
open_places(struct listener *listener, const char *list)
{
	char	   *copy = memory_copy_string(list, strlen(list));
	char	   *rest = NULL;
	int			result = RT_OK;
	unsigned	count = 0;

	for (char *item = strtok_r(copy, ", \t", &rest); item != NULL && result == RT_OK;
		 item = strtok_r(NULL, ", \t", &rest))
	{
		count++;
		result = strncmp(item, "unix:", 5) == 0 ? open_unix(listener, item + 5)
			: open_tcp(listener, item);
	}
	memory_free(copy);
	if (count == 0)
		result = cannot_listen(list, "nothing to listen on");
	return result;
}

struct listener *
listener_new(struct loop *loop, const struct options *options, unsigned workers, listener_fn fn,
			 void *arg)
{
	struct listener *listener = memory_alloc_zeroed(sizeof(*listener));

	listener->loop = loop;
	listener->options = options;
	listener->fn = fn;
	listener->arg = arg;
	listener->workers = workers;
	listener->loads = memory_alloc_zeroed(sizeof(unsigned) * workers);
	listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listener->pause = loop_timer_new(loop, end_pause, listener);
	pthread_mutex_init(&listener->lock, NULL);
	if (open_places(listener, options->listen) == RT_OK)
		return listener;
	listener_free(listener);
	return NULL;
}

void
listener_reload(struct listener *listener, const struct options *options)
{
	pthread_mutex_lock(&listener->lock);
	listener->options = options;
	pthread_mutex_unlock(&listener->lock);
}

void
listener_stop(struct listener *listener)
{
	loop_timer_stop(listener->pause);
	while (listener->places != NULL)
	{
		struct place *place = listener->places;

		listener->places = place->next;
		loop_watch_free(place->watch);
		close(place->fd);
		if (place->path != NULL)
			unlink(place->path);
		memory_free(place->path);
		memory_free(place);
	}
}

void
listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener_stop(listener);
	for (unsigned i = 0; i < ADDRESS_SLOTS; i++)
		while (listener->callers[i] != NULL)
		{
			struct caller *next = listener->callers[i]->next;

			memory_free(listener->callers[i]);
			listener->callers[i] = next;
		}
	loop_timer_free(listener->pause);
	if (listener->reserve >= 0)
		close(listener->reserve);
	pthread_mutex_destroy(&listener->lock);
	memory_free(listener->loads);
	memory_free(listener);
}
