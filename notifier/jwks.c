/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * jwks.c
 *	  See jwks.h. Knows files and threads; what a key is, keyset.h knows.
 *
 * Two locks: one for the set in force and the thread's orders, held for moments only; and "reading", held
 * while files are read and a set is made of both sources together - the texts they had last are kept for
 * that. Neither is held while a URL is read.
 */
#include "jwks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fetch.h"
#include "log.h"
#include "memory.h"

#define SET_MAX (256 * 1024)	/* bytes of a key set; KEYSET_MAX keys of 8192 bits take less */
#define SECRET_MAX 4096			/* bytes */
#define SECRET_SHORT 32			/* bytes; RFC 7518, section 3.2, wants as many as the hash has */
#define FETCH_S 10				/* longest reading of a URL */
#define RETRY_S 5U				/* first pause after a failure; doubled up to refresh_s */

struct jwks
{
	char	   *secret_file;
	char	   *source;
	bool		is_url;			/* the source is */
	unsigned	refresh_s;
	unsigned	early_s;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct keyset *keys;
	bool		is_wanted;		/* the thread shall read now */
	time_t		early_at;		/* monotonic: when an early read was granted last; 0: never */
	atomic_bool is_stopping;

	pthread_mutex_t reading;	/* the following */
	char	   *secret;			/* NULL: none */
	size_t		secret_len;
	char	   *text;			/* of the key set; NULL: none so far */
	size_t		text_len;
	struct stat file;			/* of the source when it was read last */

	pthread_t	thread;
	bool		has_thread;
};

/* Seconds of a clock that nobody sets. */
static time_t
monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + 1;		/* never 0 */
}

/* Forgets a text that may be a secret. */
static void
free_secret(char *text, size_t len)
{
	if (text != NULL)
		explicit_bzero(text, len);
	memory_free(text);
}

/* A whole file of 1 to max bytes, malloc'd; NULL with a message. *status is its state before. */
static char *
read_file(const char *name, size_t max, size_t *len, struct stat *status, char *error, size_t size)
{
	FILE	   *file = fopen(name, "r");
	char	   *text;

	if (file == NULL)
	{
		snprintf(error, size, "cannot open %s: %s", name, strerror(errno));
		return NULL;
	}
	if (fstat(fileno(file), status) != 0)
		memset(status, 0, sizeof(*status));
	setvbuf(file, NULL, _IONBF, 0);	/* no copy of a secret in a buffer */
	text = memory_alloc(max + 1);
	*len = fread(text, 1, max + 1, file);
	if (ferror(file) || *len == 0 || *len > max)
	{
		snprintf(error, size, "cannot read %s: %s", name,
				 ferror(file) ? strerror(errno) : *len == 0 ? "it is empty" : "it is too large");
		free_secret(text, max + 1);
		text = NULL;
	}
	fclose(file);
	return text;
}

/* Reads the secret anew; "reading" is held. */
static int
read_secret(struct jwks *jwks, char **secret, size_t *len, char *error, size_t size)
{
	struct stat status;

	*secret = NULL;
	*len = 0;
	if (jwks->secret_file == NULL)
		return RT_OK;
	*secret = read_file(jwks->secret_file, SECRET_MAX, len, &status, error, size);
	if (*secret == NULL)
		return RT_MALFORMED;
	if ((*secret)[*len - 1] == '\n')
		--*len;
	if (*len > 0 && (*secret)[*len - 1] == '\r')
		--*len;
	if (*len == 0)
	{
		free_secret(*secret, 1);
		*secret = NULL;
		snprintf(error, size, "%s holds no secret", jwks->secret_file);
		return RT_MALFORMED;
	}
	if (*len < SECRET_SHORT)
		log_write(LOG_LEVEL_WARNING, "jwt_secret_short", "bytes=%zu wanted=%u", *len,
				  (unsigned) SECRET_SHORT);
	return RT_OK;
}

/* Makes a set of a secret and the text of a key set and puts it in force; "reading" is held. */
static int
install(struct jwks *jwks, const char *secret, size_t secret_len, const char *text, size_t text_len,
		char *error, size_t size)
{
	struct keyset *set = keyset_new();
	struct keyset *old;
	unsigned	added = 0;
	int			result = RT_OK;

	if (secret != NULL)
		result = keyset_add_secret(set, secret, secret_len);
	if (result == RT_OK && text != NULL)
		result = keyset_add_json(set, text, text_len, !jwks->is_url, &added);
	if (result != RT_OK || (text != NULL && added == 0 && !jwks->is_url))
	{
		snprintf(error, size, "%s: %s", jwks->source ? jwks->source : jwks->secret_file,
				 result == RT_TOO_LARGE ? "too many keys" : result != RT_OK ? "it is no JSON Web Key Set"
				 : "it has no key that verifies signatures");
		keyset_unref(set);
		return RT_MALFORMED;
	}
	if (text != NULL)
		log_write(added > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "jwks_read", "source=%s keys=%u",
				  jwks->source, added);
	pthread_mutex_lock(&jwks->lock);
	old = jwks->keys;
	jwks->keys = set;
	pthread_mutex_unlock(&jwks->lock);
	keyset_unref(old);
	return RT_OK;
}

/* Whether two states are of one and the same file, unchanged. */
static bool
is_unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size
		&& a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Puts a key set's text, which it takes over, in force beside the secret; "reading" is held. */
static int
take_set(struct jwks *jwks, char *text, size_t len, char *error, size_t size)
{
	int			result = install(jwks, jwks->secret, jwks->secret_len, text, len, error, size);

	if (result != RT_OK)
	{
		free_secret(text, len);
		return result;
	}
	free_secret(jwks->text, jwks->text_len);
	jwks->text = text;
	jwks->text_len = len;
	return RT_OK;
}

/* Reads the URL. */
static int
refresh_url(struct jwks *jwks, char *error, size_t size)
{
	char	   *text;
	size_t		len;
	int			result = fetch_url(jwks->source, SET_MAX, FETCH_S, &jwks->is_stopping, &text, &len,
								   error, size);

	if (result != RT_OK)
		return result;
	pthread_mutex_lock(&jwks->reading);
	result = take_set(jwks, text, len, error, size);
	pthread_mutex_unlock(&jwks->reading);
	return result;
}

/* Reads the file if it has changed. One that is no good is not read again until it changes once more. */
static int
refresh_file(struct jwks *jwks, char *error, size_t size)
{
	struct stat status;
	char	   *text;
	size_t		len;
	int			result = RT_OK;

	pthread_mutex_lock(&jwks->reading);
	if (stat(jwks->source, &status) != 0 || !is_unchanged(&status, &jwks->file))
	{
		text = read_file(jwks->source, SET_MAX, &len, &jwks->file, error, size);
		result = text ? take_set(jwks, text, len, error, size) : RT_MALFORMED;
	}
	pthread_mutex_unlock(&jwks->reading);
	return result;
}

/* Reads the key set again and puts it in force; says in the log when that fails. */
static int
refresh(struct jwks *jwks)
{
	char		error[512] = "";
	int			result = jwks->is_url ? refresh_url(jwks, error, sizeof(error))
		: refresh_file(jwks, error, sizeof(error));

	if (result != RT_OK && !atomic_load(&jwks->is_stopping))
		log_write(LOG_LEVEL_WARNING, "jwks_failed", "source=%s error=%s", jwks->source, error);
	return result;
}

/* Waits until it is time, or somebody wants a read; false when the thread shall end. */
static bool
wait_for_turn(struct jwks *jwks, unsigned seconds)
{
	struct timespec until;
	bool		goes_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&jwks->lock);
	while (!jwks->is_wanted && !atomic_load(&jwks->is_stopping)
		   && pthread_cond_timedwait(&jwks->wake, &jwks->lock, &until) == 0)
		;
	jwks->is_wanted = false;
	goes_on = !atomic_load(&jwks->is_stopping);
	pthread_mutex_unlock(&jwks->lock);
	return goes_on;
}

/* Seconds to the next read after so many failures in a row. */
static unsigned
pause_after(const struct jwks *jwks, unsigned failures)
{
	unsigned	pause = failures > 10 ? jwks->refresh_s : RETRY_S << (failures - (failures > 0));

	return failures == 0 || pause > jwks->refresh_s ? jwks->refresh_s : pause;
}

/* The thread. */
static void *
keep_fresh(void *arg)
{
	struct jwks *jwks = arg;
	unsigned	failures = jwks->text == NULL ? 1 : 0;

	while (wait_for_turn(jwks, pause_after(jwks, failures)))
		failures = refresh(jwks) == RT_OK ? 0 : failures + 1;
	return NULL;
}

/* Starts the thread; all signals stay with the others. */
static void
start_thread(struct jwks *jwks)
{
	sigset_t	all;
	sigset_t	before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	jwks->has_thread = pthread_create(&jwks->thread, NULL, keep_fresh, jwks) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!jwks->has_thread)
		abort();				/* out of memory or threads at the start */
}

/* Reads what is in files, and puts it in force with what the URL had last. */
static int
read_files(struct jwks *jwks, char *error, size_t size)
{
	char	   *secret = NULL;
	char	   *text = NULL;
	size_t		secret_len = 0;
	size_t		text_len = 0;
	struct stat file = jwks->file;
	bool		is_file = jwks->source != NULL && !jwks->is_url;
	int			result = read_secret(jwks, &secret, &secret_len, error, size);

	if (result == RT_OK && is_file)
	{
		text = read_file(jwks->source, SET_MAX, &text_len, &file, error, size);
		if (text == NULL)
			result = RT_MALFORMED;
	}
	if (result == RT_OK)
		result = install(jwks, secret, secret_len, is_file ? text : jwks->text,
						 is_file ? text_len : jwks->text_len, error, size);
	if (result != RT_OK)
	{
		free_secret(secret, secret_len);
		free_secret(text, text_len);
		return result;
	}
	free_secret(jwks->secret, jwks->secret_len);
	jwks->secret = secret;
	jwks->secret_len = secret_len;
	if (is_file)
	{
		free_secret(jwks->text, jwks->text_len);
		jwks->text = text;
		jwks->text_len = text_len;
		jwks->file = file;
	}
	return RT_OK;
}

/* A struct without keys and thread. */
static struct jwks *
make(const struct jwks_config *config)
{
	struct jwks *jwks = memory_alloc_zeroed(sizeof(*jwks));
	pthread_condattr_t monotonic;

	if (config->secret_file != NULL)
		jwks->secret_file = memory_copy_string(config->secret_file, strlen(config->secret_file));
	if (config->source != NULL)
		jwks->source = memory_copy_string(config->source, strlen(config->source));
	jwks->is_url = config->source != NULL && fetch_is_url(config->source);
	jwks->refresh_s = config->refresh_s > 0 ? config->refresh_s : 1;
	jwks->early_s = config->early_s > 0 ? config->early_s : JWKS_EARLY_S;
	jwks->keys = keyset_new();
	pthread_mutex_init(&jwks->lock, NULL);
	pthread_mutex_init(&jwks->reading, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&jwks->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return jwks;
}

struct jwks *
jwks_new(const struct jwks_config *config, char *error, size_t error_size)
{
	struct jwks *jwks = make(config);

	if (jwks->is_url && fetch_has_password(jwks->source))
	{
		snprintf(error, error_size, "a URL of keys must not hold a user or password");
		jwks_free(jwks);
		return NULL;
	}
	if (read_files(jwks, error, error_size) != RT_OK)
	{
		jwks_free(jwks);
		return NULL;
	}
	if (jwks->is_url)
	{
		fetch_init();
		(void) !refresh(jwks);	/* logged; the thread tries again */
	}
	if (jwks->source != NULL)
		start_thread(jwks);
	return jwks;
}

void
jwks_free(struct jwks *jwks)
{
	if (jwks == NULL)
		return;
	pthread_mutex_lock(&jwks->lock);
	atomic_store(&jwks->is_stopping, true);
	pthread_cond_signal(&jwks->wake);
	pthread_mutex_unlock(&jwks->lock);
	if (jwks->has_thread)
		pthread_join(jwks->thread, NULL);
	keyset_unref(jwks->keys);
	free_secret(jwks->secret, jwks->secret_len);
	free_secret(jwks->text, jwks->text_len);
	memory_free(jwks->secret_file);
	memory_free(jwks->source);
	pthread_cond_destroy(&jwks->wake);
	pthread_mutex_destroy(&jwks->lock);
	pthread_mutex_destroy(&jwks->reading);
	memory_free(jwks);
}

int
jwks_reload(struct jwks *jwks, char *error, size_t error_size)
{
	int			result;

	pthread_mutex_lock(&jwks->reading);
	result = read_files(jwks, error, error_size);
	pthread_mutex_unlock(&jwks->reading);
	if (jwks->is_url)
	{
		pthread_mutex_lock(&jwks->lock);
		jwks->is_wanted = true;
		pthread_cond_signal(&jwks->wake);
		pthread_mutex_unlock(&jwks->lock);
	}
	return result;
}

struct keyset *
jwks_keys(struct jwks *jwks)
{
	struct keyset *keys;

	pthread_mutex_lock(&jwks->lock);
	keys = keyset_ref(jwks->keys);
	pthread_mutex_unlock(&jwks->lock);
	return keys;
}

void
jwks_want(struct jwks *jwks)
{
	time_t		now = monotonic_s();

	if (jwks->source == NULL)
		return;
	pthread_mutex_lock(&jwks->lock);
	if (jwks->early_at == 0 || now - jwks->early_at >= (time_t) jwks->early_s)
	{
		jwks->early_at = now;
		jwks->is_wanted = true;
		pthread_cond_signal(&jwks->wake);
	}
	pthread_mutex_unlock(&jwks->lock);
}

bool
jwks_is_configured(const struct jwks *jwks)
{
	return jwks->secret_file != NULL || jwks->source != NULL;
}
