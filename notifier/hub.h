/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * hub.h
 *	  From events to views: who wants what. One hub per worker, in its thread.
 *
 * Model
 * 1. Equal subscriptions share a view. An event is matched once per view; views with an equality in their
 *	  filter are found by a hash of the column's value in the new and the old image, so the cost follows the
 *	  matches, not the views.
 * 2. What one transaction has for a view is collected and becomes one frame (parts when large), which is
 *	  built once and given to every subscription of the view by a callback.
 * 3. A replay does the same with past transactions, for the subscriptions that wait for it
 *	  (view.replayers); what is for all of them is given once. Live transactions and replays are never mixed
 *	  within a transaction: each has a hub_stream of its own.
 */
#ifndef RT_HUB_H
#define RT_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "batch.h"
#include "frame.h"
#include "view.h"

struct hub;
struct hub_stream;

/* What is given to one subscription. Frames are borrowed. */
struct delivery
{
	struct frame *frame;
	uint64_t	xid;
	enum priority priority;
	unsigned	nevents;
	const char *gap;			/* reason, instead of a frame */
};

/* For each subscription of a view that has something, in the order of the stream. */
typedef void (*hub_deliver_fn) (void *arg, struct subscription *subscription,
								const struct delivery *delivery);

/*
 * In a replay: what all of a view's replayers get. When a transaction has something for single users, that is given
 * to them first (hub_deliver_fn), and a delivery without frame and gap follows: the frames after it are for the others
 * alone.
 */
typedef void (*hub_deliver_all_fn) (void *arg, struct view *view, const struct delivery *delivery);

/* The user that a subscription is for; NULL when there is none. */
typedef const char *(*hub_user_fn) (const struct subscription *subscription);

struct hub *hub_new(hub_user_fn user_of);

/* Views whose policies must be evaluated join their groups there. */
void		hub_set_registry(struct hub *hub, struct eval_registry *registry);
void		hub_free(struct hub *hub);		/* all views must be gone */

/* A view by its key; NULL when there is none. */
struct view *hub_find(struct hub *hub, const char *key);
void		hub_add(struct hub *hub, struct view *view);

/* Frees a view that has no subscriptions and none being made; otherwise does nothing. */
void		hub_release(struct hub *hub, struct view *view);

/* Calls fn for every view; fn must not add or release views. */
void		hub_each_view(struct hub *hub, void (*fn) (void *arg, struct view *view), void *arg);
unsigned	hub_count_views(const struct hub *hub);

/* A sequence of transactions: the live one, or one replay. */
struct hub_stream *hub_stream_new(struct hub *hub, hub_deliver_fn deliver, void *arg);
struct hub_stream *hub_replay_new(struct hub *hub, hub_deliver_all_fn deliver_all, hub_deliver_fn deliver,
								  void *arg);

/* The next chunk. What its transaction has for the views is delivered when it is complete. */
void		hub_stream_chunk(struct hub_stream *stream, struct chunk *chunk);

/* The row change that following events may belong to, while its transaction is under way; or NULL. */
const struct event *hub_stream_row(const struct hub_stream *stream);

/* Numbers the events from here on, for their verdicts: that row change, if there is one, is 0. */
void		hub_stream_renumber(struct hub_stream *stream);

/*
 * Whom to tell of markers that say that rights on a view's entity changed: once with view NULL, then for each of
 * the views concerned. Also, with the view alone, of events of an entity that its role does not know.
 */
typedef void (*hub_access_fn) (void *arg, struct view *view, uint64_t xid);
void		hub_stream_on_access(struct hub_stream *stream, hub_access_fn fn);

/* Whether a transaction has begun and not ended. */
bool		hub_stream_is_inside(const struct hub_stream *stream);

/* Drops what was collected of an incomplete transaction. */
void		hub_stream_reset(struct hub_stream *stream);
void		hub_stream_free(struct hub_stream *stream);

#endif
