/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_options.c
 *	  Configuration files. What is taken can be printed, read again, and means the same then.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "options.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The options as text, malloc'd; without the one that is not shown. */
static char *
print(const struct options *options, size_t *len)
{
	char	   *text;
	FILE	   *out = open_memstream(&text, len);

	options_print(options, out);
	fclose(out);
	if (*text == '#')
	{
		*len -= strcspn(text, "\n") + 1;
		memmove(text, strchr(text, '\n') + 1, *len + 1);
	}
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = memory_alloc(size);
	char	   *messages;
	size_t		len;
	FILE	   *err = open_memstream(&messages, &len);
	struct options options;
	struct options again;
	int			result;

	memcpy(copy, data, size);	/* exactly as long, so that reading beyond is seen */
	result = options_read_text(&options, copy, size, "file", err);
	fflush(err);
	if ((result == RT_OK) != (len == 0))
		abort();				/* refused without a word, or taken with one */
	if (result == RT_OK)
	{
		size_t		first_len;
		size_t		second_len;
		char	   *first = print(&options, &first_len);

		/* a value that was continued may be too long for one line: that is said */
		if (options_read_text(&again, first, first_len, "again", err) == RT_OK)
		{
			char	   *second = print(&again, &second_len);

			/* a value's ";" after a blank that stood at a line's beginning is a comment within a line */
			if (memchr(copy, ';', size) == NULL && strcmp(first, second) != 0)
				abort();
			free(second);
		}
		options_release(&again);
		free(first);
	}
	options_release(&options);
	fclose(err);
	free(messages);
	memory_free(copy);
	return 0;
}
