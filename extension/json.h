/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * json.h
 *	  Datum -> JSON text, the one encoder of event values, old images and snapshot rows.
 *
 * Output does not depend on the session that writes: ISO dates, timestamptz in UTC, hex bytea,
 * shortest floats, schema-qualified reg* names.  The fast types (integers, floats, text, numeric,
 * dates, json, uuid) need no settings; the first value of any other type enters a GUC nest level,
 * left by realtime_json_end().  On error the enclosing (sub)transaction's abort leaves it.
 */
#ifndef REALTIME_JSON_H
#define REALTIME_JSON_H

#include "lib/stringinfo.h"

typedef enum RealtimeNumeric
{
	REALTIME_NUMERIC_AUTO,		/* a number while exact in a double, else a string */
	REALTIME_NUMERIC_STRING		/* int8 and numeric are always strings */
} RealtimeNumeric;

/* How to write the values of one type; opaque, lives in the context it was made in. */
typedef struct RealtimeJsonType RealtimeJsonType;

/* One writing session; on the stack of the caller. */
typedef struct RealtimeJsonWriter
{
	StringInfo	out;			/* borrowed */
	int			guc_level;		/* 0 until a value needed fixed settings */
} RealtimeJsonWriter;

/* Appends bytes; inline, because an event is made of many small pieces. */
static inline void
realtime_json_append_bytes(StringInfo out, const char *s, int len)
{
	if (len >= out->maxlen - out->len)
		enlargeStringInfo(out, len);
	memcpy(out->data + out->len, s, len);
	out->len += len;
	out->data[out->len] = '\0';
}

/* Builds the encoder of a type (domains, arrays, composites resolved) in the current context. */
extern RealtimeJsonType *realtime_json_type(Oid typid, RealtimeNumeric numeric);

extern void realtime_json_begin(RealtimeJsonWriter *writer, StringInfo out);
extern void realtime_json_end(RealtimeJsonWriter *writer);

/* Appends a non-null datum in its JSON form. May detoast. */
extern void realtime_json_append_datum(RealtimeJsonWriter *writer, const RealtimeJsonType *type,
									   Datum value);

/* Appends a non-null datum's text output as a JSON string: the form of event ids. */
extern void realtime_json_append_as_text(RealtimeJsonWriter *writer, const RealtimeJsonType *type,
										 Datum value);

/* Appends a quoted, escaped JSON string of len bytes. */
extern void realtime_json_append_string(StringInfo out, const char *s, int len);

/* Appends a timestamptz as the events' meta.timestamp: 2026-11-22T19:00:00.123456Z */
extern void realtime_json_append_timestamp(StringInfo out, int64 at);

#endif
