/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * memory.c
 *	  See memory.h.
 */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program when an allocation failed. */
static void *
checked(void *memory, size_t size)
{
	if (memory == NULL)
	{
		fprintf(stderr, "realtime-notifier: out of memory (%zu bytes)\n", size);
		abort();
	}
	return memory;
}

void *
memory_alloc(size_t size)
{
	return checked(malloc(size ? size : 1), size);
}

void *
memory_alloc_zeroed(size_t size)
{
	return checked(calloc(1, size ? size : 1), size);
}

void *
memory_resize(void *old, size_t size)
{
	return checked(realloc(old, size ? size : 1), size);
}

char *
memory_copy_string(const char *text, size_t len)
{
	char	   *copy = memory_alloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void
memory_free(void *memory)
{
	free(memory);
}
