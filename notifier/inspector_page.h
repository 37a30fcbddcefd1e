/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_page.h
 *	  The inspector's page: the files of notifier/inspector, which are part of the program. Static text
 *	  without data; whoever asks may have it.
 */
#ifndef RT_INSPECTOR_PAGE_H
#define RT_INSPECTOR_PAGE_H

#include "jsonscan.h"

struct inspector_file
{
	const char *path;			/* of a request */
	const char *type;			/* Content-Type */
	struct slice content;
};

/* The file of a path; false when there is none. */
bool		inspector_find_file(struct slice path, struct inspector_file *file);

#endif
