/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * error.h
 *	  Results of functions that can fail, and the mark of results that must be looked at.
 */
#ifndef RT_ERROR_H
#define RT_ERROR_H

enum rt_error
{
	RT_OK = 0,
	RT_MALFORMED = -1,			/* the text does not have the form it must have */
	RT_TOO_LARGE = -2,			/* over a stated limit */
	RT_UNSUPPORTED = -3			/* well-formed, but not something this program knows */
};

#define RT_MUST_CHECK __attribute__((warn_unused_result))

#endif
