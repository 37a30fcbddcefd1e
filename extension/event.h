/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * event.h
 *	  From a row change to the JSON of its events.
 *
 * An event is text up to its meta object, which is added when the transaction is written: only then
 * are timestamp, tx and seq known.
 */
#ifndef REALTIME_EVENT_H
#define REALTIME_EVENT_H

#include "access/htup.h"
#include "lib/stringinfo.h"

#include "entity.h"

typedef enum RealtimeOp
{
	REALTIME_OP_INSERT,
	REALTIME_OP_UPDATE,
	REALTIME_OP_DELETE,
	REALTIME_OP_EVENT			/* already text */
} RealtimeOp;

/* One row change; tuples are borrowed. The images may come from different partitions. */
typedef struct RealtimeChange
{
	RealtimeOp	op;
	RealtimeLeaf *old_leaf;
	RealtimeLeaf *new_leaf;
	HeapTupleData old_tuple;	/* t_data NULL when there is none */
	HeapTupleData new_tuple;
	uint64		derived;		/* derived events whose condition held */
	bool		is_joined;		/* of several captures: conditions are to be evaluated anew */
} RealtimeChange;

typedef struct RealtimeEvent
{
	StringInfoData text;		/* {"event":…,"data":…,"old":…   without meta and closing brace */
	int			names_len;		/* length of text up to and excluding ,"id" */
	int			id_len;			/* length of text up to and including the id */
	StringInfoData extra;		/* further members of meta, each with a leading comma */
	int			priority;		/* RealtimePriority */
	int			notify;			/* RealtimeNotify */
	bool		notify_data;
} RealtimeEvent;

/* Receives each event in order; must copy what it keeps. */
typedef void (*RealtimeEventSink) (void *arg, const RealtimeEvent *event);

/* Reusable memory of event building, also after an error; in the context it is made in. */
typedef struct RealtimeEventBuilder RealtimeEventBuilder;
extern RealtimeEventBuilder *realtime_event_builder_new(void);
extern void realtime_event_builder_free(RealtimeEventBuilder *builder);
/* Bytes that it keeps from one change to the next. */
extern Size realtime_event_builder_size(const RealtimeEventBuilder *builder);

/* Gives the sink every event of a row change: none when nothing captured changed. */
extern void realtime_event_from_change(RealtimeEventBuilder *builder, const RealtimeChange *change,
									   RealtimeEventSink sink, void *arg);

/* Whether an update changed anything that is captured. */
extern bool realtime_event_is_change(RealtimeEventBuilder *builder, const RealtimeChange *change);

/* Appends the id (as JSON) of the old or the new image of a change. */
extern void realtime_event_append_id(RealtimeEventBuilder *builder, StringInfo out,
									 const RealtimeChange *change, bool is_old);

/* Whether the update that realtime_event_is_change() just looked at changed the key. */
extern bool realtime_event_is_key_changed(const RealtimeEventBuilder *builder,
										  const RealtimeChange *change);

/*
 * Makes an event with names (feature, entity, action) and id JSON text (NULL: null); the caller
 * appends ,"data":… to text, and sets the rest. Allocates in the current context.
 */
extern void realtime_event_init(RealtimeEvent *event, const char *feature, const char *entity,
								const char *action, const char *id_json);

#endif
