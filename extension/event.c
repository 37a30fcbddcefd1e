/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * event.c
 *	  Row changes -> events; see event.h.
 *
 * Knows entities and the JSON encoder, nothing of transactions or the log. A row is encoded once
 * per change, however many events follow from it. Unchanged out-of-line values are not fetched:
 * two equal TOAST pointers are an unchanged column, named in meta.omitted.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/memutils.h"

#include "event.h"
#include "guc.h"
#include "json.h"

/* Over this many bytes of one event, further values over 1 kB are left out: a JSON text has 1 GB. */
#define EVENT_SOFT_LIMIT (64 * 1024 * 1024)

struct RealtimeEventBuilder
{
	MemoryContext context;		/* of one change; reset at each */
	StringInfoData id;			/* of the new image */
	StringInfoData old_id;
	StringInfoData data;		/* ,"data":{…} */
	StringInfoData old;			/* ,"old":{…} */
	StringInfoData omitted;		/* ,"omitted":[…] without the bracket */
	RealtimeEvent event;
	Datum	   *old_values;
	bool	   *old_nulls;
	Datum	   *new_values;
	bool	   *new_nulls;
	bool	   *is_changed;
	bool	   *is_omitted;		/* columns that builder->omitted names */
	int			ncolumns;		/* room in the arrays */
	int			natts;			/* room in the deform arrays */
	Datum	   *deform_values;
	bool	   *deform_nulls;
};

RealtimeEventBuilder *
realtime_event_builder_new(void)
{
	RealtimeEventBuilder *builder = palloc0(sizeof(RealtimeEventBuilder));

	builder->context = AllocSetContextCreate(CurrentMemoryContext, "realtime event",
											 ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&builder->id);
	initStringInfo(&builder->old_id);
	initStringInfo(&builder->data);
	initStringInfo(&builder->old);
	initStringInfo(&builder->omitted);
	initStringInfo(&builder->event.text);
	initStringInfo(&builder->event.extra);
	return builder;
}

void
realtime_event_builder_free(RealtimeEventBuilder *builder)
{
	MemoryContextDelete(builder->context);
	pfree(builder->id.data);
	pfree(builder->old_id.data);
	pfree(builder->data.data);
	pfree(builder->old.data);
	pfree(builder->omitted.data);
	pfree(builder->event.text.data);
	pfree(builder->event.extra.data);
	if (builder->ncolumns > 0)
	{
		pfree(builder->old_values);
		pfree(builder->old_nulls);
		pfree(builder->new_values);
		pfree(builder->new_nulls);
		pfree(builder->is_changed);
		pfree(builder->is_omitted);
	}
	if (builder->natts > 0)
	{
		pfree(builder->deform_values);
		pfree(builder->deform_nulls);
	}
	pfree(builder);
}

Size
realtime_event_builder_size(const RealtimeEventBuilder *builder)
{
	return (Size) builder->id.maxlen + builder->old_id.maxlen + builder->data.maxlen
		+ builder->old.maxlen + builder->omitted.maxlen + builder->event.text.maxlen
		+ builder->event.extra.maxlen;
}

/* Grows an array to so many bytes; NULL is an empty one. */
static void *
grow(RealtimeEventBuilder *builder, void *array, Size size)
{
	return array ? repalloc(array, size)
		: MemoryContextAlloc(GetMemoryChunkContext(builder), size);
}

/*
 * Makes room for an entity's columns and a leaf's attributes. The room is noted when all of it is
 * there: a builder may be used again after an error.
 */
static void
reserve(RealtimeEventBuilder *builder, const RealtimeLeaf *leaf)
{
	int			ncolumns = leaf->entity->ncolumns;
	int			natts = leaf->tupdesc->natts;

	if (builder->ncolumns < ncolumns)
	{
		builder->old_values = grow(builder, builder->old_values, ncolumns * sizeof(Datum));
		builder->new_values = grow(builder, builder->new_values, ncolumns * sizeof(Datum));
		builder->old_nulls = grow(builder, builder->old_nulls, ncolumns);
		builder->new_nulls = grow(builder, builder->new_nulls, ncolumns);
		builder->is_changed = grow(builder, builder->is_changed, ncolumns);
		builder->is_omitted = grow(builder, builder->is_omitted, ncolumns);
		builder->ncolumns = ncolumns;
	}
	if (builder->natts < natts)
	{
		builder->deform_values = grow(builder, builder->deform_values, natts * sizeof(Datum));
		builder->deform_nulls = grow(builder, builder->deform_nulls, natts);
		builder->natts = natts;
	}
}

/* Reads an image's captured columns into values and nulls. */
static void
deform(RealtimeEventBuilder *builder, const RealtimeLeaf *leaf, HeapTuple tuple, Datum *values,
	   bool *nulls)
{
	heap_deform_tuple(tuple, leaf->tupdesc, builder->deform_values, builder->deform_nulls);
	for (int i = 0; i < leaf->entity->ncolumns; i++)
	{
		values[i] = builder->deform_values[leaf->attnums[i] - 1];
		nulls[i] = builder->deform_nulls[leaf->attnums[i] - 1];
	}
}

/* Whether a value is stored out of line. */
static inline bool
is_external(const RealtimeColumn *column, Datum value)
{
	return column->typlen == -1 && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value));
}

/* Whether a value's bytes are there as they are: neither out of line nor compressed. */
static inline bool
is_plain(const struct varlena *value)
{
	return !VARATT_IS_EXTERNAL(value) && !VARATT_IS_COMPRESSED(value);
}

/* Size in bytes of a value once detoasted; cheap. */
static inline Size
value_size(const RealtimeColumn *column, Datum value)
{
	const struct varlena *varlena = (const struct varlena *) DatumGetPointer(value);

	if (column->typlen != -1)
		return 0;
	return is_plain(varlena) ? VARSIZE_ANY_EXHDR(varlena) + VARHDRSZ : toast_raw_datum_size(value);
}

/* Whether two values are equal, byte for byte once detoasted. */
static bool
is_same_image(const RealtimeColumn *column, Datum a, Datum b)
{
	const struct varlena *x = (const struct varlena *) DatumGetPointer(a);
	const struct varlena *y = (const struct varlena *) DatumGetPointer(b);

	if (column->typbyval)
		return a == b;
	if (column->typlen == -1 && is_plain(x) && is_plain(y))
		return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y)
			&& memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
	return datum_image_eq(a, b, column->typbyval, column->typlen);
}

/* Whether a column differs between the images; equal TOAST pointers are equal values. */
static bool
is_column_changed(const RealtimeColumn *column, Datum old_value, bool old_null, Datum new_value,
				  bool new_null)
{
	if (old_null || new_null)
		return old_null != new_null;
	if (is_external(column, old_value) && is_external(column, new_value)
		&& memcmp(DatumGetPointer(old_value), DatumGetPointer(new_value),
				  VARSIZE_EXTERNAL(DatumGetPointer(old_value))) == 0)
		return false;
	/* Very large values are not read to compare them: rewritten is changed. */
	if (value_size(column, old_value) > (Size) realtime_max_value_size * 1024)
		return true;
	return !is_same_image(column, old_value, new_value);
}

/* Fills the builder's values and is_changed for an update; returns whether anything changed. */
static bool
compare_images(RealtimeEventBuilder *builder, const RealtimeChange *change)
{
	RealtimeEntity *entity = change->new_leaf->entity;
	bool		is_any = false;

	reserve(builder, change->old_leaf);
	reserve(builder, change->new_leaf);
	deform(builder, change->old_leaf, unconstify(HeapTupleData *, &change->old_tuple),
		   builder->old_values, builder->old_nulls);
	deform(builder, change->new_leaf, unconstify(HeapTupleData *, &change->new_tuple),
		   builder->new_values, builder->new_nulls);
	for (int i = 0; i < entity->ncolumns; i++)
	{
		builder->is_changed[i] = is_column_changed(&entity->columns[i],
												   builder->old_values[i], builder->old_nulls[i],
												   builder->new_values[i], builder->new_nulls[i]);
		is_any |= builder->is_changed[i];
	}
	return is_any;
}

bool
realtime_event_is_change(RealtimeEventBuilder *builder, const RealtimeChange *change)
{
	MemoryContext old;
	bool		is_change;

	if (change->op != REALTIME_OP_UPDATE)
		return true;
	MemoryContextReset(builder->context);
	old = MemoryContextSwitchTo(builder->context);
	is_change = compare_images(builder, change);
	MemoryContextSwitchTo(old);
	return is_change;
}

/* Appends the key's values as an id. */
static void
append_id(RealtimeJsonWriter *writer, const RealtimeEntity *entity, const Datum *values,
		  const bool *nulls)
{
	StringInfo	out = writer->out;

	if (entity->nkeys > 1)
		appendStringInfoChar(out, '{');
	for (int i = 0; i < entity->nkeys; i++)
	{
		const RealtimeColumn *column = &entity->columns[entity->keys[i]];

		if (i > 0)
			appendStringInfoChar(out, ',');
		if (entity->nkeys > 1)
			appendBinaryStringInfo(out, column->prefix, column->prefix_len);
		if (nulls[entity->keys[i]])
			appendStringInfoString(out, "null");
		else
			realtime_json_append_as_text(writer, column->json, values[entity->keys[i]]);
	}
	if (entity->nkeys > 1)
		appendStringInfoChar(out, '}');
}

void
realtime_event_append_id(RealtimeEventBuilder *builder, StringInfo out,
						 const RealtimeChange *change, bool is_old)
{
	RealtimeLeaf *leaf = is_old ? change->old_leaf : change->new_leaf;
	HeapTuple	tuple = unconstify(HeapTupleData *,
								   is_old ? &change->old_tuple : &change->new_tuple);
	RealtimeEntity *entity = leaf->entity;
	RealtimeJsonWriter writer;
	MemoryContext old;

	MemoryContextReset(builder->context);
	old = MemoryContextSwitchTo(builder->context);
	realtime_json_begin(&writer, out);
	if (entity->nkeys == 1)
	{
		int			key = entity->keys[0];

		bool		isnull;
		Datum		value = heap_getattr(tuple, leaf->attnums[key], leaf->tupdesc, &isnull);

		if (isnull)
			appendStringInfoString(out, "null");
		else
			realtime_json_append_as_text(&writer, entity->columns[key].json, value);
	}
	else
	{
		reserve(builder, leaf);
		deform(builder, leaf, tuple, builder->new_values, builder->new_nulls);
		append_id(&writer, entity, builder->new_values, builder->new_nulls);
	}
	realtime_json_end(&writer);
	MemoryContextSwitchTo(old);
}

bool
realtime_event_is_key_changed(const RealtimeEventBuilder *builder, const RealtimeChange *change)
{
	const RealtimeEntity *entity = change->new_leaf->entity;

	for (int i = 0; i < entity->nkeys; i++)
		if (builder->is_changed[entity->keys[i]])
			return true;
	return false;
}

/* Names a column in meta.omitted, once. */
static void
omit(RealtimeEventBuilder *builder, const RealtimeColumn *column)
{
	StringInfo	omitted = &builder->omitted;

	appendStringInfoString(omitted, omitted->len == 0 ? ",\"omitted\":[" : ",");
	appendBinaryStringInfo(omitted, column->prefix, column->prefix_len - 1);
}

/* Whether a value is too large for the event. */
static inline bool
is_too_large(const RealtimeEventBuilder *builder, const RealtimeColumn *column, Datum value)
{
	Size		size = value_size(column, value);

	return size > (Size) realtime_max_value_size * 1024
		|| (size > 1024 && (Size) builder->data.len + builder->old.len + size > EVENT_SOFT_LIMIT);
}

/* Appends {columns} of an image to out; with is_skipped, columns that it marks are left out. */
static void
append_row(RealtimeEventBuilder *builder, RealtimeJsonWriter *writer, const RealtimeEntity *entity,
		   const Datum *values, const bool *nulls, bool has_old)
{
	StringInfo	out = writer->out;
	bool		is_first = true;

	realtime_json_append_bytes(out, "{", 1);
	for (int i = 0; i < entity->ncolumns; i++)
	{
		const RealtimeColumn *column = &entity->columns[i];

		builder->is_omitted[i] = !nulls[i]
			&& ((has_old && !builder->is_changed[i] && is_external(column, values[i])
				 && !column->is_needed)
				|| is_too_large(builder, column, values[i]));
		if (builder->is_omitted[i])
		{
			omit(builder, column);
			continue;
		}
		if (!is_first)
			realtime_json_append_bytes(out, ",", 1);
		is_first = false;
		realtime_json_append_bytes(out, column->prefix, column->prefix_len);
		if (nulls[i])
			realtime_json_append_bytes(out, "null", 4);
		else
			realtime_json_append_datum(writer, column->json, values[i]);
	}
	realtime_json_append_bytes(out, "}", 1);
}

/* Appends ,"old":{changed columns} */
static void
append_old(RealtimeEventBuilder *builder, RealtimeJsonWriter *writer, const RealtimeEntity *entity)
{
	StringInfo	out = writer->out;
	bool		is_first = true;

	realtime_json_append_bytes(out, ",\"old\":{", 8);
	for (int i = 0; i < entity->ncolumns; i++)
	{
		const RealtimeColumn *column = &entity->columns[i];

		if (!builder->is_changed[i])
			continue;
		if (!builder->old_nulls[i] && is_too_large(builder, column, builder->old_values[i]))
		{
			/* The new value may be there, so the name may not. */
			if (!builder->is_omitted[i])
				omit(builder, column);
			continue;
		}
		if (!is_first)
			realtime_json_append_bytes(out, ",", 1);
		is_first = false;
		realtime_json_append_bytes(out, column->prefix, column->prefix_len);
		if (builder->old_nulls[i])
			realtime_json_append_bytes(out, "null", 4);
		else
			realtime_json_append_datum(writer, column->json, builder->old_values[i]);
	}
	realtime_json_append_bytes(out, "}", 1);
}

/* Gives the sink one event of an entity: names, id, then the given parts of text and of meta. */
static void
emit(RealtimeEventBuilder *builder, const RealtimeEntity *entity, const char *action, int priority,
	 StringInfo id, StringInfo data, StringInfo old, const char *id_member, StringInfo other_id,
	 RealtimeEventSink sink, void *arg)
{
	RealtimeEvent *event = &builder->event;
	StringInfo	text = &event->text;

	int			action_len = strlen(action);

	resetStringInfo(text);
	resetStringInfo(&event->extra);
	realtime_json_append_bytes(text, entity->event_prefix, entity->event_prefix_len);
	realtime_json_append_bytes(text, action, action_len);
	realtime_json_append_bytes(text, entity->names, entity->names_len);
	realtime_json_append_bytes(text, action, action_len);
	realtime_json_append_bytes(text, "\"", 1);
	event->names_len = text->len;
	realtime_json_append_bytes(text, ",\"id\":", 6);
	realtime_json_append_bytes(text, id->data, id->len);
	event->id_len = text->len;
	realtime_json_append_bytes(text, data->data, data->len);
	if (old)
		realtime_json_append_bytes(text, old->data, old->len);
	if (builder->omitted.len > 0 && data == &builder->data)
	{
		appendBinaryStringInfo(&event->extra, builder->omitted.data, builder->omitted.len);
		appendStringInfoChar(&event->extra, ']');
	}
	if (id_member)
	{
		appendStringInfo(&event->extra, ",\"%s\":", id_member);
		appendBinaryStringInfo(&event->extra, other_id->data, other_id->len);
	}
	event->priority = priority;
	event->notify = entity->notify;
	event->notify_data = entity->notify_data;
	sink(arg, event);
}

/* Whether the status of the new image, as text, is the given one. */
static bool
is_status(RealtimeEventBuilder *builder, const RealtimeEntity *entity, const char *status)
{
	RealtimeJsonWriter writer;
	StringInfoData is;
	StringInfoData wanted;
	bool		is_equal;

	if (builder->new_nulls[entity->status])
		return false;
	initStringInfo(&is);
	initStringInfo(&wanted);
	realtime_json_append_string(&wanted, status, strlen(status));
	realtime_json_begin(&writer, &is);
	realtime_json_append_as_text(&writer, entity->columns[entity->status].json,
								 builder->new_values[entity->status]);
	realtime_json_end(&writer);
	is_equal = strcmp(is.data, wanted.data) == 0;
	pfree(is.data);
	pfree(wanted.data);
	return is_equal;
}

/* Emits status_changed: ,"data":{"old_status":…,"new_status":…} */
static void
emit_status(RealtimeEventBuilder *builder, const RealtimeEntity *entity, RealtimeEventSink sink,
			void *arg)
{
	const RealtimeColumn *column = &entity->columns[entity->status];
	StringInfoData data;
	RealtimeJsonWriter writer;

	initStringInfo(&data);
	realtime_json_begin(&writer, &data);
	appendStringInfoString(&data, ",\"data\":{\"old_status\":");
	if (builder->old_nulls[entity->status])
		appendStringInfoString(&data, "null");
	else
		realtime_json_append_datum(&writer, column->json, builder->old_values[entity->status]);
	appendStringInfoString(&data, ",\"new_status\":");
	if (builder->new_nulls[entity->status])
		appendStringInfoString(&data, "null");
	else
		realtime_json_append_datum(&writer, column->json, builder->new_values[entity->status]);
	appendStringInfoChar(&data, '}');
	realtime_json_end(&writer);
	emit(builder, entity, "status_changed", entity->priority, &builder->id, &data, NULL, NULL, NULL,
		 sink, arg);
	pfree(data.data);
}

/* A copy of a tuple for the row type of another leaf; what that has alone is null. */
static HeapTuple
map_tuple(HeapTuple tuple, const RealtimeLeaf *from, const RealtimeLeaf *to)
{
	int			natts = to->tupdesc->natts;
	Datum	   *values = palloc0(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);

	memset(nulls, true, sizeof(bool) * natts);
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(to->tupdesc, i);

		for (int j = 0; j < from->tupdesc->natts && !attr->attisdropped; j++)
		{
			Form_pg_attribute other = TupleDescAttr(from->tupdesc, j);

			if (!other->attisdropped && other->atttypid == attr->atttypid
				&& strcmp(NameStr(other->attname), NameStr(attr->attname)) == 0)
				values[i] = heap_getattr(tuple, j + 1, from->tupdesc, &nulls[i]);
		}
	}
	return heap_form_tuple(to->tupdesc, values, nulls);
}

/*
 * The derived events whose condition holds. A move between partitions and a coalesced change were
 * captured in parts, none of which had both images.
 */
static uint64
derived_mask(const RealtimeChange *change)
{
	HeapTuple	old_tuple = NULL;

	if (!change->is_joined || !change->new_leaf->entity->has_conditions)
		return change->derived;
	if (change->op == REALTIME_OP_UPDATE)
	{
		old_tuple = unconstify(HeapTupleData *, &change->old_tuple);
		if (change->old_leaf->relid != change->new_leaf->relid)
			old_tuple = map_tuple(old_tuple, change->old_leaf, change->new_leaf);
	}
	return realtime_leaf_conditions(change->new_leaf, old_tuple,
									unconstify(HeapTupleData *, &change->new_tuple));
}

/*
 * Emits the defined actions that follow a change. Status and columns ask for a change, so they hold
 * for updates only; a condition alone also for inserts.
 */
static void
emit_derived(RealtimeEventBuilder *builder, const RealtimeEntity *entity,
			 const RealtimeChange *change, RealtimeEventSink sink, void *arg)
{
	bool		is_update = change->op == REALTIME_OP_UPDATE;
	uint64		mask = entity->nderived > 0 ? derived_mask(change) : 0;

	for (int i = 0; i < entity->nderived; i++)
	{
		const RealtimeDerived *derived = &entity->derived[i];
		bool		is_match = (mask & (UINT64CONST(1) << i)) != 0;

		if (derived->status)
			is_match = is_match && is_update && entity->status >= 0
				&& builder->is_changed[entity->status]
				&& is_status(builder, entity, derived->status);
		if (derived->ncolumns > 0)
		{
			bool		is_any = false;

			for (int j = 0; is_update && j < derived->ncolumns; j++)
				is_any |= builder->is_changed[derived->columns[j]];
			is_match = is_match && is_any;
		}
		if (is_match)
			emit(builder, entity, derived->action, derived->priority, &builder->id, &builder->data,
				 is_update ? &builder->old : NULL, NULL, NULL, sink, arg);
	}
}

/* An update, or what a change of the key makes of it: deleted here, created there. */
static void
emit_update(RealtimeEventBuilder *builder, RealtimeJsonWriter *writer, const RealtimeChange *change,
			RealtimeEventSink sink, void *arg)
{
	RealtimeEntity *entity = change->new_leaf->entity;
	bool		is_key_changed = false;

	if (!compare_images(builder, change))
		return;
	for (int i = 0; i < entity->nkeys; i++)
		is_key_changed |= builder->is_changed[entity->keys[i]];
	writer->out = &builder->id;
	append_id(writer, entity, builder->new_values, builder->new_nulls);
	if (is_key_changed)
	{
		writer->out = &builder->old_id;
		append_id(writer, entity, builder->old_values, builder->old_nulls);
		writer->out = &builder->data;
		realtime_json_append_bytes(&builder->data, ",\"data\":", 8);
		append_row(builder, writer, entity, builder->old_values, builder->old_nulls, true);
		emit(builder, entity, "deleted", entity->priority, &builder->old_id, &builder->data, NULL,
			 "newId", &builder->id, sink, arg);
		resetStringInfo(&builder->data);
		resetStringInfo(&builder->omitted);
	}
	writer->out = &builder->data;
	realtime_json_append_bytes(&builder->data, ",\"data\":", 8);
	append_row(builder, writer, entity, builder->new_values, builder->new_nulls, true);
	writer->out = &builder->old;
	append_old(builder, writer, entity);
	if (is_key_changed)
		emit(builder, entity, "created", entity->priority, &builder->id, &builder->data, NULL,
			 "oldId", &builder->old_id, sink, arg);
	else
		emit(builder, entity, "updated", entity->priority, &builder->id, &builder->data,
			 &builder->old, NULL, NULL, sink, arg);
	if (entity->status >= 0 && builder->is_changed[entity->status])
		emit_status(builder, entity, sink, arg);
	emit_derived(builder, entity, change, sink, arg);
}

void
realtime_event_from_change(RealtimeEventBuilder *builder, const RealtimeChange *change,
						   RealtimeEventSink sink, void *arg)
{
	bool		is_delete = change->op == REALTIME_OP_DELETE;
	RealtimeLeaf *leaf = is_delete ? change->old_leaf : change->new_leaf;
	HeapTuple	tuple = unconstify(HeapTupleData *,
								   is_delete ? &change->old_tuple : &change->new_tuple);
	RealtimeJsonWriter writer;
	MemoryContext old;

	MemoryContextReset(builder->context);
	old = MemoryContextSwitchTo(builder->context);
	resetStringInfo(&builder->id);
	resetStringInfo(&builder->old_id);
	resetStringInfo(&builder->data);
	resetStringInfo(&builder->old);
	resetStringInfo(&builder->omitted);
	realtime_json_begin(&writer, &builder->data);
	if (change->op == REALTIME_OP_UPDATE)
		emit_update(builder, &writer, change, sink, arg);
	else
	{
		reserve(builder, leaf);
		deform(builder, leaf, tuple, builder->new_values, builder->new_nulls);
		writer.out = &builder->id;
		append_id(&writer, leaf->entity, builder->new_values, builder->new_nulls);
		writer.out = &builder->data;
		realtime_json_append_bytes(&builder->data, ",\"data\":", 8);
		append_row(builder, &writer, leaf->entity, builder->new_values, builder->new_nulls, false);
		emit(builder, leaf->entity, is_delete ? "deleted" : "created", leaf->entity->priority,
			 &builder->id, &builder->data, NULL, NULL, NULL, sink, arg);
		if (!is_delete)
			emit_derived(builder, leaf->entity, change, sink, arg);
	}
	realtime_json_end(&writer);
	MemoryContextSwitchTo(old);
}

void
realtime_event_init(RealtimeEvent *event, const char *feature, const char *entity,
					const char *action, const char *id_json)
{
	StringInfo	text = &event->text;
	char	   *name = psprintf("%s.%s.%s", feature, entity, action);

	memset(event, 0, sizeof(RealtimeEvent));
	initStringInfo(text);
	initStringInfo(&event->extra);
	appendStringInfoString(text, "{\"event\":");
	realtime_json_append_string(text, name, strlen(name));
	appendStringInfoString(text, ",\"feature\":");
	realtime_json_append_string(text, feature, strlen(feature));
	appendStringInfoString(text, ",\"entity\":");
	realtime_json_append_string(text, entity, strlen(entity));
	appendStringInfoString(text, ",\"action\":");
	realtime_json_append_string(text, action, strlen(action));
	event->names_len = text->len;
	appendStringInfo(text, ",\"id\":%s", id_json ? id_json : "null");
	event->id_len = text->len;
	event->priority = REALTIME_PRIORITY_NORMAL;
	event->notify = REALTIME_NOTIFY_AUTO;
	pfree(name);
}
