/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * snapshot_sql.h
 *	  The statement that reads the rows of a view, with the same meaning as its filter. Pure.
 */
#ifndef RT_SNAPSHOT_SQL_H
#define RT_SNAPSHOT_SQL_H

#include "buffer.h"
#include "protocol.h"
#include "view.h"

/*
 * Appends the statement, whose rows are the row as JSON and its key's values as text. Its parameters are the filter's constants in order, appended to *params, borrowed
 * from the view; *nparams is set, the caller frees the array.
 */
void		snapshot_sql(const struct view *view, const struct message_order *order, unsigned norder,
						 uint64_t limit, struct buffer *sql, const char ***params, unsigned *nparams);

#endif
