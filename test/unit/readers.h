/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * readers.h
 *	  For tests of the hub: what roles may read, made by hand; views; readers that take down what they get.
 */
#ifndef RT_TEST_READERS_H
#define RT_TEST_READERS_H

#include "access.h"
#include "hub.h"
#include "subscription.h"
#include "vectors.h"

/* A role's access without entities. */
struct role_access *role_new(const char *name);

/*
 * Adds an entity; in order of feature and entity. types: names of columns and types as format_type() has
 * them; readable: names, NULL or null: all; NULL types: a topic. The entity moves when the next is added.
 */
struct entity_access *role_add(struct role_access *role, const char *feature, const char *entity,
							   const json_t *types, const json_t *key, const char *status_column,
							   const json_t *readable);

/* What a view is asked for. JSON members may be NULL or null. */
struct wish
{
	struct role_access *role;
	const char *feature;
	const char *entity;
	const json_t *filter;		/* terms as clients write them */
	const json_t *actions;
	const json_t *columns;
};

/* The hub's view of a wish, made when there is none. */
struct view *view_get(struct hub *hub, const struct wish *wish);

/* A subscription that takes down what is delivered, and checks that parts and frames are as they must be. */
struct reader
{
	struct subscription subscription;
	const char *user;
	json_t	   *events;			/* of all frames */
	json_t	   *frames;			/* of each frame: tx, number of its events */
	const char *gap;			/* the last one */
	unsigned	ngaps;
	uint64_t	own_tx;			/* of which a replay gave it something by itself, */
	bool		has_rest;		/* and what is for the others follows */
	uint64_t	open_tx;		/* of which the last part is to come */
	unsigned	part;
	enum priority priority;		/* of the last delivery */
	unsigned	order;			/* number of the last delivery among all */
};

struct reader *reader_new(struct hub *hub, const struct wish *wish, const char *user);
void		reader_forget(struct reader *reader);	/* what it got */
void		reader_free(struct hub *hub, struct reader *reader);

/* For hub_new() and hub_stream_new(). */
const char *reader_user(const struct subscription *subscription);
void		reader_deliver(void *arg, struct subscription *subscription, const struct delivery *delivery);

/* For hub_replay_new(). */
void		reader_deliver_own(void *arg, struct subscription *subscription,
							   const struct delivery *delivery);
void		reader_deliver_all(void *arg, struct view *view, const struct delivery *delivery);

/* A reader is among those that a replay is for, until its view forgets them. */
void		reader_resume(struct reader *reader);
void		view_forget_replayers(struct view *view);

/* Gives a stream a transaction of these events (a JSON array), whole or event by event. */
void		stream_events(struct hub_stream *stream, uint64_t tx, const json_t *events, bool is_split);
void		stream_text(struct hub_stream *stream, uint64_t tx, const char *text);

#endif
