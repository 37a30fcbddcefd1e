/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fetch.c
 *	  See fetch.h. The one file that knows libcurl.
 */
#include "fetch.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "memory.h"

#ifndef REALTIME_VERSION
#define REALTIME_VERSION "unknown"
#endif

struct download
{
	char	   *text;
	size_t		len;
	size_t		max;
	bool		is_too_large;
	const atomic_bool *stop;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
init_library(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

void
fetch_init(void)
{
	pthread_once(&once, init_library);
}

bool
fetch_is_url(const char *text)
{
	return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

bool
fetch_has_password(const char *url)
{
	const char *host = strstr(url, "//");

	return host != NULL && memchr(host + 2, '@', strcspn(host + 2, "/?#")) != NULL;
}

/* libcurl has got bytes. Taking fewer than it offers ends the transfer. */
static size_t
take_bytes(char *bytes, size_t one, size_t count, void *arg)
{
	struct download *download = arg;

	(void) one;					/* is 1 */
	if (count > download->max - download->len)
	{
		download->is_too_large = true;
		return 0;
	}
	memcpy(download->text + download->len, bytes, count);
	download->len += count;
	return count;
}

/* libcurl asks about once a second whether to go on. */
static int
is_stopped(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct download *download = arg;

	(void) a;
	(void) b;
	(void) c;
	(void) d;
	return atomic_load(download->stop) ? 1 : 0;
}

/* Sets what a transfer must keep to; false when libcurl refuses any of it. */
static bool
prepare(CURL *curl, const char *url, unsigned seconds, struct download *download, char *message)
{
	return curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) seconds) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_USERAGENT, "realtime-notifier/" REALTIME_VERSION) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, (long) download->max) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_WRITEDATA, download) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped) == CURLE_OK
		&& curl_easy_setopt(curl, CURLOPT_XFERINFODATA, download) == CURLE_OK;
}

int
fetch_url(const char *url, size_t max, unsigned seconds, const atomic_bool *stop, char **text,
		  size_t *len, char *error, size_t error_size)
{
	struct download download = {.max = max, .stop = stop};
	char		message[CURL_ERROR_SIZE] = "";
	CURL	   *curl;
	CURLcode	code = CURLE_FAILED_INIT;
	long		status = 0;

	fetch_init();
	curl = curl_easy_init();
	download.text = memory_alloc(max + 1);
	if (curl != NULL && prepare(curl, url, seconds, &download, message))
		code = curl_easy_perform(curl);
	if (curl != NULL)
	{
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_cleanup(curl);
	}
	if (code == CURLE_OK && status == 200)
	{
		download.text[download.len] = '\0';
		*text = download.text;
		*len = download.len;
		return RT_OK;
	}
	memory_free(download.text);
	if (download.is_too_large || code == CURLE_FILESIZE_EXCEEDED)
	{
		snprintf(error, error_size, "the answer is over %zu bytes", max);
		return RT_TOO_LARGE;
	}
	if (code != CURLE_OK)
		snprintf(error, error_size, "%s", *message ? message : curl_easy_strerror(code));
	else
		snprintf(error, error_size, "the answer has status %ld", status);
	return RT_MALFORMED;
}
