/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * vectors.h
 *	  What unit tests share: the files of test/vectors, filters made of them, random numbers.
 */
#ifndef RT_TEST_VECTORS_H
#define RT_TEST_VECTORS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "filter.h"
#include "protocol.h"

/* A file of test/vectors, parsed; the test fails when it cannot be read. */
json_t	   *vectors_load(const char *name);

/* The type of a column as format_type() names it; enums and domains may be NULL. */
enum filter_type vectors_type(const char *name, const json_t *enums, const json_t *domains);

/*
 * Parses a subscribe to orders.order with this filter, as a client sends it. Release the message in any
 * case.
 */
int			vectors_parse_filter(struct message *message, const json_t *filter) RT_MUST_CHECK;

/* The type of a message's column; negative: there is no such column. */
typedef int (*vectors_type_fn) (const void *arg, const char *column);

/*
 * Makes a filter of a message's terms as the notifier does. constants: the values as PostgreSQL writes
 * them, an object in the order of the terms; NULL: the test's own idea, of integers, numerics in plain
 * digits and text as they stand. Fails with RT_MALFORMED for what must be refused without asking
 * PostgreSQL; with constants, checks that what was not asked says what PostgreSQL says.
 */
int			vectors_make_filter(struct filter *filter, const struct message *message,
								vectors_type_fn type_of, const void *arg, const char *constants)
RT_MUST_CHECK;

/* JSON in C without escapes: ' stands for ". Owned by the caller; a text that is none fails the test. */
json_t	   *vectors_text(const char *text);

static inline struct slice
slice_of(const char *text)
{
	return (struct slice) {text, __builtin_strlen(text)};
}

/* A sequence of numbers that look random (xorshift), the same in every run. */
static inline uint32_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t) (*state >> 32);
}

static inline unsigned
random_below(uint64_t *state, unsigned n)
{
	return random_next(state) % n;
}

#endif
