/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * cppcheck.h
 *	  For cppcheck alone (make lint), which does not look into libraries' headers: macros that read like
 *	  statements.
 */
#ifndef RT_CPPCHECK_H
#define RT_CPPCHECK_H

#define HASH_ITER(hh, head, el, tmp) \
	for ((el) = (head), (tmp) = (el) ? (el)->hh.next : NULL; (el) != NULL; (el) = (tmp), (tmp) = (el) ? (el)->hh.next : NULL)

#endif
