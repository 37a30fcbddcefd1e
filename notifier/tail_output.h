/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * tail_output.h
 *	  What a command-line subscriber prints: lines for people on a terminal, else JSON, one event a line;
 *	  each event once.
 *
 * After a loss the events since the last position come again. Those that were printed are known by
 * (tx, seq) until the next position.
 */
#ifndef RT_TAIL_OUTPUT_H
#define RT_TAIL_OUTPUT_H

#include <stdbool.h>

#include "error.h"
#include "jsonscan.h"

struct seen;

struct tail_output
{
	bool		is_terminal;
	bool		is_coloured;
	struct seen *seen;			/* events printed since the last position */
	bool		is_merged;		/* a merged commit is among them */
};

/* For stdout: colours on a terminal, unless NO_COLOR is set. */
void		tail_output_init(struct tail_output *output);
void		tail_output_release(struct tail_output *output);

/* Prints a commit frame's events, or a gap; 0, or the errno of a failure to write. */
int			tail_output_commit(struct tail_output *output, struct slice frame) RT_MUST_CHECK;
int			tail_output_gap(struct tail_output *output, struct slice frame) RT_MUST_CHECK;

/* A position came: nothing before it comes again. */
void		tail_output_position(struct tail_output *output);

/*
 * The connection is lost. Merged commits do not tell which transactions they held, so all that comes again
 * is printed again.
 */
void		tail_output_lost(struct tail_output *output);

#endif
