/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * webfile.c
 *	  See webfile.h.
 */
#include "webfile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http.h"

/* What browsers need to be told; the rest is bytes. */
static const char *
type_of(const char *path)
{
	static const struct
	{
		const char *suffix;
		const char *type;
	}			types[] = {
		{".html", "text/html; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".mjs", "text/javascript; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".json", "application/json"},
		{".map", "application/json"},
		{".txt", "text/plain; charset=utf-8"},
		{".md", "text/plain; charset=utf-8"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".jpg", "image/jpeg"},
		{".webp", "image/webp"},
		{".ico", "image/x-icon"},
		{".woff2", "font/woff2"},
		{".wasm", "application/wasm"},
	};
	size_t		len = strlen(path);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		size_t		n = strlen(types[i].suffix);

		if (len > n && strcmp(path + len - n, types[i].suffix) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

/* Whether a decoded path has a part that starts with a dot, which "." and ".." do, too. */
static bool
has_dots(const char *path)
{
	return strstr(path, "/.") != NULL;
}

/* Opens a regular file that lies, all links followed, below the directory. */
static int
open_below(struct webfile *file, const char *directory, const char *name, struct stat *status)
{
	char		top[PATH_MAX];
	char		real[PATH_MAX];
	size_t		len;

	if (realpath(directory, top) == NULL || realpath(name, real) == NULL)
		return RT_MALFORMED;
	len = strlen(top);
	if (strncmp(real, top, len) != 0 || (real[len] != '/' && real[len] != 0))
		return RT_MALFORMED;
	file->fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);	/* a fifo must not stop us */
	if (file->fd < 0)
		return RT_MALFORMED;
	if (fstat(file->fd, status) == 0 && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)))
		return RT_OK;
	close(file->fd);
	return RT_MALFORMED;
}

int
webfile_open(struct webfile *file, const char *directory, struct slice path)
{
	char		decoded[1024];
	char		name[PATH_MAX];
	struct stat status;
	long		len;

	memset(file, 0, sizeof(*file));
	file->fd = -1;
	if (path.len >= sizeof(decoded))
		return RT_MALFORMED;
	len = http_decode(path, false, decoded);
	if (len <= 0)
		return RT_MALFORMED;
	decoded[len] = 0;
	if (decoded[0] != '/' || has_dots(decoded))
		return RT_MALFORMED;
	if ((size_t) snprintf(name, sizeof(name), "%s%s%s", directory, decoded,
						  decoded[len - 1] == '/' ? "index.html" : "") >= sizeof(name))
		return RT_MALFORMED;
	if (open_below(file, directory, name, &status) != RT_OK)
		return RT_MALFORMED;
	if (S_ISDIR(status.st_mode))
	{
		close(file->fd);
		file->fd = -1;
		file->is_directory = true;
		return decoded[len - 1] == '/' ? RT_MALFORMED : RT_OK;
	}
	file->size = status.st_size;
	file->type = type_of(name);
	snprintf(file->etag, sizeof(file->etag), "\"%" PRIx64 "-%" PRIx64 "-%lx\"",
			 (uint64_t) status.st_size, (uint64_t) status.st_mtim.tv_sec,
			 (unsigned long) status.st_mtim.tv_nsec);
	return RT_OK;
}
