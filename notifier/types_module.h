/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_module.h
 *	  A registry as a TypeScript module (doc/types.md). Pure: the same registry gives the same bytes.
 */
#ifndef RT_TYPES_MODULE_H
#define RT_TYPES_MODULE_H

#include "buffer.h"
#include "types_registry.h"

void		types_write_module(const struct types_registry *registry, struct buffer *out);

#endif
