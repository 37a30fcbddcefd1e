/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * memory.h
 *	  Allocation that does not fail: without memory the program ends with a line on stderr.
 */
#ifndef RT_MEMORY_H
#define RT_MEMORY_H

#include <stddef.h>

void	   *memory_alloc(size_t size);
void	   *memory_alloc_zeroed(size_t size);
void	   *memory_resize(void *old, size_t size);
char	   *memory_copy_string(const char *text, size_t len);
void		memory_free(void *memory);

#endif
