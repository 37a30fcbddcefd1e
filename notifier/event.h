/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * event.h
 *	  One event of the commit log, taken apart into slices of its text.
 *
 * The old image of an update is the new row with the values of "old" put over it: event_column()
 * answers for either image. Nothing is copied.
 */
#ifndef RT_EVENT_H
#define RT_EVENT_H

#include <stdbool.h>

#include "buffer.h"
#include "jsonscan.h"

enum event_kind
{
	EVENT_OTHER,				/* custom, bulk_started and their like: no row */
	EVENT_CREATED,
	EVENT_UPDATED,
	EVENT_DELETED,
	EVENT_TRUNCATED,
	EVENT_STATUS_CHANGED,
	EVENT_BULK_SUMMARY,			/* bulk_created, bulk_updated, bulk_deleted */
	EVENT_RESYNC,				/* rows changed unseen: views of the entity get gap */
	EVENT_ACCESS,				/* grants or policies of the entity changed */
	EVENT_GAP					/* a transaction's events are missing: every view gets gap */
};

enum event_image
{
	EVENT_IMAGE_NEW,
	EVENT_IMAGE_OLD
};

enum priority
{
	PRIORITY_LOW,
	PRIORITY_NORMAL,
	PRIORITY_HIGH,
	PRIORITY_CRITICAL
};

struct event
{
	struct slice text;			/* the whole object */
	struct slice feature;		/* insides of strings, escapes as written */
	struct slice entity;
	struct slice action;
	struct slice id;			/* a value: string, object or null */
	struct slice data;			/* values; empty when missing */
	struct slice old;
	struct slice meta;			/* an object */
	struct slice user;			/* who wrote; inside of a string; at is NULL when missing */
	struct slice to_user;		/* the same */
	long		seq;
	enum event_kind kind;
	enum priority priority;
};

/* Takes an event apart; RT_MALFORMED when it is not an event. The event borrows the text. */
int			event_parse(struct event *event, struct slice text) RT_MUST_CHECK;

/* Appends an event's beginning with another action than its own: {"event":…,"feature":…,…,"id":… */
void		event_write_head(const struct event *event, struct slice action, struct buffer *out);

/* Whether the event has a row in this image: created has no old one, deleted no new one. */
bool		event_has_image(const struct event *event, enum event_image image);

/* A column's value in an image: 1, 0 when the image or the column is not there (omitted). */
int			event_column(const struct event *event, enum event_image image, const char *column,
						 struct slice *value) RT_MUST_CHECK;

#endif
