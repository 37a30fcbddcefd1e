/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * httpd.c
 *	  See httpd.h. One connection at a time; a request without an answer stays open until the next one.
 */
#include "httpd.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct httpd
{
	int			listener;
	char		url[64];
	pthread_t	thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char	   *head;
	char	   *body;
	unsigned	count;
};

/* Reads one request to the end of its headers; 0 when the peer closed before. */
static int
read_request(int fd)
{
	char		text[4096] = "";
	size_t		len = 0;

	while (len < sizeof(text) - 1)
	{
		ssize_t		n = read(fd, text + len, sizeof(text) - 1 - len);

		if (n <= 0)
			return 0;
		len += (size_t) n;
		text[len] = '\0';
		if (strstr(text, "\r\n\r\n") != NULL)
			return 1;
	}
	return 0;
}

/* Sends all of a text, or as much as the peer takes. */
static void
send_text(int fd, const char *text)
{
	size_t		len = strlen(text);

	while (len > 0)
	{
		ssize_t		n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t) n;
	}
}

static void *
serve(void *arg)
{
	struct httpd *httpd = arg;
	int			open_fd = -1;
	int			fd;

	while ((fd = accept(httpd->listener, NULL, NULL)) >= 0)
	{
		char	   *answer = NULL;

		if (open_fd >= 0)
			close(open_fd);
		open_fd = -1;
		if (!read_request(fd))
		{
			close(fd);
			continue;
		}
		pthread_mutex_lock(&httpd->lock);
		if (httpd->head != NULL)
		{
			answer = malloc(strlen(httpd->head) + strlen(httpd->body) + 100);
			sprintf(answer, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", httpd->head,
					strlen(httpd->body), httpd->body);
		}
		httpd->count++;
		pthread_cond_broadcast(&httpd->changed);
		pthread_mutex_unlock(&httpd->lock);
		if (answer != NULL)
		{
			send_text(fd, answer);
			close(fd);
			free(answer);
		}
		else
			open_fd = fd;
	}
	if (open_fd >= 0)
		close(open_fd);
	return NULL;
}

struct httpd *
httpd_new(void)
{
	struct httpd *httpd = calloc(1, sizeof(*httpd));
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t	len = sizeof(address);
	int			result;

	httpd->listener = socket(AF_INET, SOCK_STREAM, 0);
	result = bind(httpd->listener, (struct sockaddr *) &address, sizeof(address));
	assert(result == 0);
	result = listen(httpd->listener, 16);
	assert(result == 0);
	result = getsockname(httpd->listener, (struct sockaddr *) &address, &len);
	assert(result == 0);
	snprintf(httpd->url, sizeof(httpd->url), "http://127.0.0.1:%u/jwks.json", ntohs(address.sin_port));
	pthread_mutex_init(&httpd->lock, NULL);
	pthread_cond_init(&httpd->changed, NULL);
	httpd_answer(httpd, "404 Not Found", "");
	result = pthread_create(&httpd->thread, NULL, serve, httpd);
	assert(result == 0);
	return httpd;
}

void
httpd_free(struct httpd *httpd)
{
	shutdown(httpd->listener, SHUT_RDWR);
	pthread_join(httpd->thread, NULL);
	close(httpd->listener);
	pthread_mutex_destroy(&httpd->lock);
	pthread_cond_destroy(&httpd->changed);
	free(httpd->head);
	free(httpd->body);
	free(httpd);
}

const char *
httpd_url(const struct httpd *httpd)
{
	return httpd->url;
}

void
httpd_answer(struct httpd *httpd, const char *head, const char *body)
{
	pthread_mutex_lock(&httpd->lock);
	free(httpd->head);
	free(httpd->body);
	httpd->head = head ? strdup(head) : NULL;
	httpd->body = strdup(body);
	pthread_mutex_unlock(&httpd->lock);
}

unsigned
httpd_count(struct httpd *httpd)
{
	unsigned	count;

	pthread_mutex_lock(&httpd->lock);
	count = httpd->count;
	pthread_mutex_unlock(&httpd->lock);
	return count;
}

void
httpd_wait(struct httpd *httpd, unsigned count)
{
	struct timespec until;
	int			result = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&httpd->lock);
	while (httpd->count < count && result == 0)
		result = pthread_cond_timedwait(&httpd->changed, &httpd->lock, &until);
	if (httpd->count < count)
	{
		fprintf(stderr, "%u requests after 10 s, waited for %u\n", httpd->count, count);
		abort();
	}
	pthread_mutex_unlock(&httpd->lock);
}
