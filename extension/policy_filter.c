/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * policy_filter.c
 *	  Filters as sets of rows: disjunctions of conjunctions of terms, united and intersected. See policy.h.
 *
 * The number of conjunctions and terms is bounded; beyond it a set becomes larger and loses exactness,
 * not truth. Results share their parts with the arguments, which are not changed.
 */
#include "postgres.h"

#include "policy.h"

static const int MaxConjunctions = 16;
static const int MaxTerms = 16;	/* of a conjunction */

/* No row. */
RealtimeFilter
realtime_filter_none(void)
{
	return (RealtimeFilter) {NIL, true};
}

/* Every row: exactly, or because nothing better can be said. */
RealtimeFilter
realtime_filter_all(bool is_exact)
{
	return (RealtimeFilter) {list_make1(NIL), is_exact};
}

/* Every row or none. */
RealtimeFilter
realtime_filter_bool(bool is_all)
{
	return is_all ? realtime_filter_all(true) : realtime_filter_none();
}

/* The rows for which a term holds. */
RealtimeFilter
realtime_filter_term(char *term)
{
	return (RealtimeFilter) {list_make1(list_make1(term)), true};
}

bool
realtime_filter_is_all(const RealtimeFilter *filter)
{
	ListCell   *cell;

	foreach(cell, filter->any)
		if (lfirst(cell) == NIL)
			return true;
	return false;
}

/* Whether a conjunction has a term. */
static bool
has_term(const List *conjunction, const char *term)
{
	ListCell   *cell;

	foreach(cell, conjunction)
		if (strcmp(lfirst(cell), term) == 0)
			return true;
	return false;
}

/* Whether all terms of a conjunction are in another. */
static bool
is_within(const List *part, const List *whole)
{
	ListCell   *cell;

	foreach(cell, part)
		if (!has_term(whole, lfirst(cell)))
			return false;
	return true;
}

/* Adds a conjunction, unless one that is there says more; those it says more than go. */
static List *
add_conjunction(List *any, List *conjunction)
{
	ListCell   *cell;

	foreach(cell, any)
		if (is_within(lfirst(cell), conjunction))
			return any;
	foreach(cell, any)
		if (is_within(conjunction, lfirst(cell)))
			any = foreach_delete_current(any, cell);
	return lappend(any, conjunction);
}

/* The rows of either set. */
RealtimeFilter
realtime_filter_union(RealtimeFilter a, RealtimeFilter b)
{
	RealtimeFilter result = {list_copy(a.any), a.is_exact && b.is_exact};
	ListCell   *cell;

	if ((a.is_exact && realtime_filter_is_all(&a)) || (b.is_exact && realtime_filter_is_all(&b)))
		return realtime_filter_all(true);
	foreach(cell, b.any)
		result.any = add_conjunction(result.any, lfirst(cell));
	if (list_length(result.any) > MaxConjunctions)
		return realtime_filter_all(false);
	return result;
}

/* Both conjunctions in one; when that has too many terms, some are left out and *is_cut is set. */
static List *
join_conjunctions(const List *a, const List *b, bool *is_cut)
{
	List	   *both = list_copy(a);
	ListCell   *cell;

	foreach(cell, b)
	{
		if (has_term(both, lfirst(cell)))
			continue;
		if (list_length(both) >= MaxTerms)
			*is_cut = true;
		else
			both = lappend(both, lfirst(cell));
	}
	return both;
}

/* The rows of both sets. */
RealtimeFilter
realtime_filter_intersection(RealtimeFilter a, RealtimeFilter b)
{
	RealtimeFilter result = {NIL, a.is_exact && b.is_exact};
	bool		is_cut = false;
	ListCell   *outer;
	ListCell   *inner;

	if (a.any == NIL || b.any == NIL)
		return realtime_filter_none();
	foreach(outer, a.any)
		foreach(inner, b.any)
			result.any = add_conjunction(result.any,
										 join_conjunctions(lfirst(outer), lfirst(inner), &is_cut));
	if (list_length(result.any) > MaxConjunctions)
	{
		result = list_length(a.any) <= list_length(b.any) ? a : b;
		is_cut = true;
	}
	if (is_cut)
		result.is_exact = false;
	return result;
}
