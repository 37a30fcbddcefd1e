/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * log_view.c
 *	  realtime.log_events(): the events of a log row as rows, for the view realtime.event.
 *
 * Knows only the form of events as event.c and flush.c write them: an array of objects whose members
 * are names, id, data, old and meta. One pass without building JSON trees: the view is read by people
 * and tests over logs of many megabytes, and a tree per member and event took minutes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(realtime_log_events);

/* A piece of the text. */
typedef struct Span
{
	const char *at;
	int			len;
} Span;

/* Where the reading of an array stands. */
typedef struct Reading
{
	const char *at;
	const char *end;
} Reading;

/* Raises an error: somebody else has written to the log. */
static void
fail(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a row of realtime.commit_log does not hold events")));
}

/* Skips white space: rows that realtime.forget() rewrote may have some. */
static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* The byte after a string, p being at its opening quote. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++)
	{
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			p++;
	}
	fail();
	return NULL;
}

/* The byte after a value. */
static const char *
skip_value(const char *p, const char *end)
{
	int			depth = 0;

	for (; p < end; p++)
	{
		switch (*p)
		{
			case '"':
				p = skip_string(p, end);
				if (depth == 0)
					return p;
				p--;
				break;
			case '{':
			case '[':
				depth++;
				break;
			case '}':
			case ']':
				if (depth == 0)
					return p;	/* the end of a scalar */
				if (--depth == 0)
					return p + 1;
				break;
			case ',':
				if (depth == 0)
					return p;
				break;
			default:
				break;
		}
	}
	fail();
	return NULL;
}

/* Next member of an object, p being after '{' or a value; NULL at its end. */
static const char *
next_member(const char *p, const char *end, Span *key, Span *value)
{
	p = skip_space(p, end);
	if (p < end && *p == ',')
		p = skip_space(p + 1, end);
	if (p < end && *p == '}')
		return NULL;
	if (p >= end || *p != '"')
		fail();
	key->at = p + 1;
	p = skip_string(p, end);
	key->len = (int) (p - key->at) - 1;
	p = skip_space(p, end);
	if (p >= end || *p != ':')
		fail();
	p = skip_space(p + 1, end);
	value->at = p;
	p = skip_value(p, end);
	value->len = (int) (p - value->at);
	return p;
}

/* Whether a piece is this text. */
static bool
is_text(Span span, const char *text)
{
	return span.len == (int) strlen(text) && memcmp(span.at, text, span.len) == 0;
}

/* A JSON scalar or object as text, a string without quotes and escapes; sets *isnull for null. */
static Datum
span_text(Span span, bool *isnull)
{
	*isnull = span.len == 0 || is_text(span, "null");
	if (*isnull)
		return (Datum) 0;
	if (span.at[0] != '"')
		return PointerGetDatum(cstring_to_text_with_len(span.at, span.len));
	if (memchr(span.at, '\\', span.len) == NULL)
		return PointerGetDatum(cstring_to_text_with_len(span.at + 1, span.len - 2));
	/* Escapes are rare here: let the JSON code resolve them. */
	return DirectFunctionCall2(json_array_element_text,
							   PointerGetDatum(cstring_to_text(psprintf("[%.*s]", span.len, span.at))),
							   Int32GetDatum(0));
}

/* The events' sequence number out of their meta object, -1 when missing. */
static int64
meta_seq(Span meta)
{
	const char *end = meta.at + meta.len;
	const char *p = meta.at + 1;
	Span		key;
	Span		value;

	if (meta.len == 0 || meta.at[0] != '{')
		return -1;
	while ((p = next_member(p, end, &key, &value)) != NULL)
		if (is_text(key, "seq"))
			return strtoll(value.at, NULL, 10);
	return -1;
}

/* SQL: log_events(events) -> (seq, feature, entity, action, id, event) */
Datum
realtime_log_events(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	Reading    *reading;
	static const char *const names[] = {"feature", "entity", "action", "id"};
	Span		members[4] = {{NULL, 0}};
	Span		meta = {NULL, 0};
	Span		key;
	Span		value;
	const char *from;
	const char *p;
	Datum		values[6];
	bool		nulls[6] = {false};
	int64		seq;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	desc;
		text	   *events;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "realtime: log_events must return a record");
		context->tuple_desc = BlessTupleDesc(desc);
		events = DatumGetTextPP(PG_GETARG_DATUM(0));
		reading = palloc(sizeof(Reading));
		reading->end = VARDATA_ANY(events) + VARSIZE_ANY_EXHDR(events);
		reading->at = skip_space(VARDATA_ANY(events), reading->end);
		if (reading->at >= reading->end || *reading->at != '[')
			fail();
		reading->at++;
		context->user_fctx = reading;
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	reading = context->user_fctx;
	p = skip_space(reading->at, reading->end);
	if (p < reading->end && *p == ',')
		p = skip_space(p + 1, reading->end);
	if (p < reading->end && *p == ']')
		SRF_RETURN_DONE(context);
	if (p >= reading->end || *p != '{')
		fail();
	from = p;
	reading->at = skip_value(p, reading->end);
	p++;
	while ((p = next_member(p, reading->at, &key, &value)) != NULL)
	{
		for (int i = 0; i < lengthof(names); i++)
			if (is_text(key, names[i]))
				members[i] = value;
		if (is_text(key, "meta"))
			meta = value;
	}
	seq = meta_seq(meta);
	values[0] = Int32GetDatum((int32) seq);
	nulls[0] = seq < 0;
	for (int i = 0; i < lengthof(names); i++)
		values[i + 1] = span_text(members[i], &nulls[i + 1]);
	values[5] = PointerGetDatum(cstring_to_text_with_len(from, (int) (reading->at - from)));
	SRF_RETURN_NEXT(context,
					HeapTupleGetDatum(heap_form_tuple(context->tuple_desc, values, nulls)));
}
