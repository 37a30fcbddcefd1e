/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * webfile.h
 *	  Static files by the path of a request. Knows no sockets.
 *
 * Nothing outside the directory is served, whatever the path or symbolic links say, and nothing whose
 * name or whose directory's name starts with a dot.
 */
#ifndef RT_WEBFILE_H
#define RT_WEBFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"
#include "jsonscan.h"

struct webfile
{
	int			fd;
	off_t		size;
	char		etag[40];		/* with quotes */
	const char *type;			/* Content-Type; static */
	bool		is_directory;	/* the path lacks its final '/'; nothing is open */
};

/*
 * Opens the file of a path as written in a request (with %XX); a path that ends with '/' stands for its
 * index.html. The caller closes fd. RT_MALFORMED: there is no such file.
 */
int			webfile_open(struct webfile *file, const char *directory, struct slice path) RT_MUST_CHECK;

#endif
