/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * worker.c
 *	  See worker.h.
 */
#include "worker.h"

#include <string.h>
#include <time.h>

#include "memory.h"
#include "protocol.h"
#include "recheck.h"
#include "server.h"
#include "session_state.h"
#include "stats.h"

#define TICK_MS 1000
#define GATHER_MAX (128 * 1024)	/* bytes of batches that are written together when they pile up */
#define SYNC_MS 50				/* how often the source is asked while a sync waits */

void
worker_touch(struct worker *worker, struct session *session)
{
	if (session->dirty_at > 0 && !session->is_late)
		return;
	if (session->dirty_at > 0)
		worker->late.at[session->dirty_at - 1] = NULL;
	session->is_late = false;
	if (worker->dirty.n == worker->dirty.room)
	{
		worker->dirty.room = worker->dirty.room ? worker->dirty.room * 2 : 64;
		worker->dirty.at = memory_resize(worker->dirty.at, sizeof(struct session *) * worker->dirty.room);
	}
	worker->dirty.at[worker->dirty.n++] = session;
	session->dirty_at = worker->dirty.n;
	if (!worker->is_flushing && !loop_timer_is_active(worker->flush))
		loop_timer_start(worker->flush, 0);
}

void
worker_forget(struct worker *worker, struct session *session)
{
	if (session->dirty_at > 0)
		(session->is_late ? &worker->late : &worker->dirty)->at[session->dirty_at - 1] = NULL;
	session->dirty_at = 0;
	session->is_late = false;
}

/* Asks for the memory that sessions further on in the list will need: many are in no cache. */
static void
look_ahead(const struct dirty *list, unsigned i)
{
	const struct session *far = i + 8 < list->n ? list->at[i + 8] : NULL;
	const struct session *near = i + 4 < list->n ? list->at[i + 4] : NULL;

	if (far != NULL)
	{
		__builtin_prefetch(far);
		__builtin_prefetch((const char *) far + 64);
	}
	if (near != NULL)
	{
		__builtin_prefetch(near->queue.entries);
		__builtin_prefetch(near->peer);
		__builtin_prefetch((const char *) near->peer + 64);
		__builtin_prefetch((const char *) near->peer + 128);
	}
}

/* Gives one session's peer what is ready. */
static void
flush_one(struct dirty *list, unsigned i)
{
	struct session *session = list->at[i];

	look_ahead(list, i);
	if (session == NULL)
		return;
	list->at[i] = NULL;
	session->dirty_at = 0;
	session->is_late = false;
	peer_flush(session->peer);
}

void
worker_flush(struct worker *worker)
{
	worker->is_flushing = true;
	for (unsigned i = 0; i < worker->dirty.n; i++)
		flush_one(&worker->dirty, i);
	worker->dirty.n = 0;
	worker->is_flushing = false;
	worker->gathered = 0;
}

/*
 * After a batch: when others wait behind it, they are taken in first, up to a limit that queues do not notice. So
 * each session gets all of them in one write, and a worker that is behind catches up.
 */
static void
flush_batch(struct worker *worker, const struct batch *batch)
{
	worker->gathered += batch_memory(batch);
	if (worker->gathered > GATHER_MAX || !loop_has_urgent(worker->loop))
	{
		worker_flush(worker);
		return;
	}
	worker->is_flushing = false;
	if (!loop_timer_is_active(worker->flush))
		loop_timer_start(worker->flush, 0);
}

/*
 * Outside a batch: thousands may have got an answer. They are taken out of the list, so that a batch that comes
 * between two of them goes to its own sessions first.
 */
static void
flush_soon(void *arg)
{
	struct worker *worker = arg;
	struct dirty mine = worker->dirty;

	worker->dirty = worker->late;
	worker->late = mine;
	worker->gathered = 0;
	for (unsigned i = 0; i < worker->late.n; i++)
		if (worker->late.at[i] != NULL)
			worker->late.at[i]->is_late = true;
	for (unsigned i = 0; i < worker->late.n; i++)
	{
		flush_one(&worker->late, i);
		loop_run_urgent(worker->loop);
	}
	worker->late.n = 0;
}

/* Drops the oldest reads from the cache until it fits. */
static void
trim_cache(struct worker *worker)
{
	while (worker->cache_count > 0 && worker->cache_bytes > worker->options->history_cache)
	{
		bool		is_end = false;

		while (worker->cache_count > 0 && !is_end)
		{
			struct batch *batch = worker->cache[worker->cache_head];

			is_end = batch->is_end;
			worker->cache_head = (worker->cache_head + 1) & (worker->cache_room - 1);
			worker->cache_count--;
			worker->cache_bytes -= batch_memory(batch);
			if (is_end)
			{
				batch_unref(worker->cache_base);
				worker->cache_base = batch;
			}
			else
				batch_unref(batch);
		}
		if (!is_end)
		{
			/* The beginning of the read at hand is gone: the cache begins anew where that read ends. */
			batch_unref(worker->cache_base);
			worker->cache_base = NULL;
		}
	}
}

/* Keeps a batch for those who come back. A batch without transactions only moves the position. */
static void
add_to_cache(struct worker *worker, struct batch *batch)
{
	if (worker->cache_base == NULL || worker->evaluator != NULL)
		return;					/* filled from the first complete read on; the companion's serves both */
	if (batch->nchunks == 0 && worker->cache_count == 0)
	{
		batch_unref(worker->cache_base);
		worker->cache_base = batch_ref(batch);
		return;
	}
	if (worker->cache_count == worker->cache_room)
	{
		unsigned	room = worker->cache_room ? worker->cache_room * 2 : 64;
		struct batch **ring = memory_alloc(sizeof(struct batch *) * room);

		for (unsigned i = 0; i < worker->cache_count; i++)
			ring[i] = worker->cache[(worker->cache_head + i) & (worker->cache_room - 1)];
		memory_free(worker->cache);
		worker->cache = ring;
		worker->cache_room = room;
		worker->cache_head = 0;
	}
	worker->cache[(worker->cache_head + worker->cache_count++) & (worker->cache_room - 1)]
		= batch_ref(batch);
	worker->cache_bytes += batch_memory(batch);
	trim_cache(worker);
}

static void
clear_cache(struct worker *worker)
{
	for (unsigned i = 0; i < worker->cache_count; i++)
		batch_unref(worker->cache[(worker->cache_head + i) & (worker->cache_room - 1)]);
	worker->cache_count = 0;
	worker->cache_bytes = 0;
	if (worker->cache_base != NULL)
		batch_unref(worker->cache_base);
	worker->cache_base = NULL;
}

/* A complete read: its position is the stream's. */
static void
set_position(struct worker *worker, struct batch *batch)
{
	if (worker->last != NULL)
		batch_unref(worker->last);
	worker->last = batch_ref(batch);
	worker->reach.now = &worker->last->position;
	worker->position = batch->position_text;
	worker->gap_position = batch->position_text;
	if (worker->position_frame != NULL)
		frame_unref(worker->position_frame);
	worker->position_frame = protocol_position(batch->position_text);
}

/* What a session waited for to the end of the read. */
static void
end_read_of(struct session *session)
{
	if (session->has_news)
		session_push_position(session);
	subscribing_read_ended(session);
	session_go_on(session);
}

/*
 * The read has ended: positions for those who got something, and what waited for the end. After a read of
 * several batches that may be any session: those touched by the first ones have been flushed since.
 */
static void
end_read(struct worker *worker, bool had_several)
{
	struct session *next;

	worker->is_inside = false;
	catchups_advance(worker);
	for (struct session *session = had_several ? worker->sessions : NULL; session != NULL; session = next)
	{
		next = session->next;
		end_read_of(session);
	}
	for (unsigned i = 0; i < worker->dirty.n; i++)
		if (worker->dirty.at[i] != NULL)
			end_read_of(worker->dirty.at[i]);
	for (struct session **at = &worker->syncing; *at != NULL;)
	{
		struct session *session = *at;

		for (const struct session_sync *sync = session->syncs; sync != NULL; sync = sync->next)
			if (position_covers(&worker->last->position, sync->tx))
			{
				session_push_position(session);
				break;
			}
		if (session->syncs != NULL)
		{
			at = &session->next_syncing;
			continue;
		}
		session->is_syncing = false;
		*at = session->next_syncing;
	}
	reach_advance(&worker->reach);
}

/*
 * History was lost: every view gets a gap, and the stream goes on from the new position. Markers of changed
 * rights may be among what was lost: they are looked up anew.
 */
static void
start_anew(struct worker *worker, struct batch *batch)
{
	for (struct session *session = worker->sessions; session != NULL; session = session->next)
	{
		hold_end(session, 0);	/* of the history that ends; not what will not be whole */
		hold_drop(session);
	}
	hub_stream_reset(worker->live);
	clear_cache(worker);
	set_position(worker, batch);
	worker->is_inside = false;
	catchups_reset(worker);
	worker->cache_base = batch_ref(batch);
	access_mark(worker->access);
	for (struct session *session = worker->sessions; session != NULL; session = session->next)
	{
		worker->group++;
		for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		{
			struct delivery delivery = {NULL, 0, PRIORITY_NORMAL, 0, batch->gap};

			if (s->gap != NULL)
			{
				s->gap = NULL;
				session->ngaps--;
			}
			session_push(session, s, &delivery, worker->group);
		}
		if (session->subscriptions != NULL)
			session_push_position(session);
		/* Grants alone are looked up in milliseconds: events of then are not worth another gap. */
		for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
			if (s->view->npolicies > 0 || worker->evaluator != NULL)
				recheck_quietly(worker, s);
			else
				recheck_subscription(worker, s, false);
	}
	end_read(worker, true);
}

void
worker_take(struct worker *worker, struct batch *batch)
{
	worker_batch(worker, batch);
	evaluator_batch(worker->companion->evaluator, batch);
}

void
worker_batch(struct worker *worker, struct batch *batch)
{
	bool		was_inside = worker->is_inside;

	worker->is_flushing = true;	/* at the end, once */
	if (batch->gap != NULL)
		start_anew(worker, batch);
	else
	{
		worker->is_inside = true;
		worker->gap_position = batch->is_end ? batch->position_text : worker->position;
		for (unsigned i = 0; i < batch->nchunks; i++)
		{
			if (!hub_stream_is_inside(worker->live))
				worker->group++;
			worker->chunk = batch->chunks[i];
			hub_stream_chunk(worker->live, batch->chunks[i]);
		}
		worker->chunk = NULL;
		add_to_cache(worker, batch);
		if (batch->is_end)
		{
			set_position(worker, batch);
			if (worker->cache_base == NULL)
				worker->cache_base = batch_ref(batch);
			end_read(worker, was_inside);
		}
	}
	flush_batch(worker, batch);
}

static void
tick(void *arg)
{
	struct worker *worker = arg;
	struct timespec now;
	struct session *next;

	clock_gettime(CLOCK_REALTIME, &now);
	worker->ticks++;
	for (struct session *session = worker->sessions; session != NULL; session = next)
	{
		next = session->next;
		session_tick(session, now.tv_sec);
	}
	worker_flush(worker);
	loop_timer_start(worker->tick, TICK_MS);
}

/* While a sync waits: its transaction may end without ringing. The same for who waits for a position. */
static void
poke_for_syncs(void *arg)
{
	struct worker *worker = arg;

	if (worker->nsyncs == 0 && worker->reach.waits == NULL)
		return;
	worker->shared->source_class->poke(worker->shared->source);
	loop_timer_start(worker->sync_timer, SYNC_MS);
}

void
worker_read_soon(struct worker *worker)
{
	worker->shared->source_class->poke(worker->shared->source);
	if (!loop_timer_is_active(worker->sync_timer))
		loop_timer_start(worker->sync_timer, SYNC_MS);
}

/* Somebody waits for a position that the database has had already. */
static void
reach_begun(void *arg)
{
	worker_read_soon(arg);
}

/* A marker of the stream: from here on nobody gets anything of the view with the rights of before. */
static void
suspend_view(void *arg, struct view *view, uint64_t xid)
{
	struct worker *worker = arg;
	bool		is_known;

	if (view == NULL)
	{
		access_mark(worker->access);
		return;
	}
	is_known = view->role->position.epoch != NULL && position_covers(&view->role->position, xid);
	for (unsigned i = 0; i < view->npolicies; i++)
		is_known &= view->policies[i]->position.epoch != NULL
			&& position_covers(&view->policies[i]->position, xid);
	if (is_known)
		return;					/* what the view may see was looked up after that */
	for (unsigned i = 0; i < view->subscriptions.n; i++)
		recheck_subscription(worker, view->subscriptions.at[i], true);
}

static void access_changed(void *arg, struct role_access *old, struct role_access *now);

/* A role's access has changed. */
struct change
{
	struct role_access *now;
	struct view **lost;			/* may not be read any more */
	unsigned	nlost;
	struct view **changed;
	unsigned	nchanged;
};

/* Whether the filter of a view still stands on readable columns of the same types. */
static bool
is_filter_readable(const struct view *view, const struct entity_access *entity)
{
	for (unsigned i = 0; i < view->filter.nterms; i++)
	{
		bool		is_readable = false;

		for (unsigned c = 0; c < entity->ncolumns && !is_readable; c++)
			is_readable = slice_is_same(entity->columns[c].json_name, view->filter.terms[i].column)
				&& entity->columns[c].is_readable
				&& entity->columns[c].type == view->filter.terms[i].type;
		if (!is_readable)
			return false;
	}
	return true;
}

/* Whether the policies of a view with wildcards must be looked up anew. */
static bool
is_wildcard_changed(const struct view *view, const struct role_access *now)
{
	for (unsigned i = 0; i < now->nentities; i++)
	{
		const struct entity_access *entity = &now->entities[i];
		struct slice feature = {entity->feature, strlen(entity->feature)};
		struct slice name = {entity->entity, strlen(entity->entity)};
		const struct entity_access *old;

		if ((view->feature != NULL && strcmp(view->feature, entity->feature) != 0)
			|| (view->entity_name != NULL && strcmp(view->entity_name, entity->entity) != 0))
			continue;
		old = role_access_find(view->role, feature, name);
		if ((entity->has_policies || (old != NULL && old->has_policies))
			&& (old == NULL || strcmp(old->print, entity->print) != 0))
			return true;
	}
	return false;
}

/* What a change of access is to one view. */
static void
change_view(void *arg, struct view *view)
{
	struct change *change = arg;
	const struct entity_access *entity = NULL;
	bool		is_changed = false;

	if (strcmp(view->role->role, change->now->role) != 0)
		return;
	/* A look-up that began before the view's own does not know better; the next check does. */
	if (view->role->position.epoch != NULL && change->now->position.epoch != NULL
		&& strcmp(view->role->position.epoch, change->now->position.epoch) == 0
		&& !position_is_within(&view->role->position, &change->now->position))
		return;
	if (view->feature != NULL && view->entity_name != NULL)
	{
		struct slice feature = {view->feature, strlen(view->feature)};
		struct slice name = {view->entity_name, strlen(view->entity_name)};

		entity = role_access_find(change->now, feature, name);
		if (!change->now->is_member || entity == NULL || !entity->can_read
			|| !is_filter_readable(view, entity))
		{
			change->lost = memory_resize(change->lost, sizeof(struct view *) * (change->nlost + 1));
			change->lost[change->nlost++] = view;
			return;
		}
		is_changed = strcmp(view->entity->print, entity->print) != 0;
	}
	else
		is_changed = is_wildcard_changed(view, change->now);
	view_set_access(view, change->now, entity);
	if (is_changed)
	{
		change->changed = memory_resize(change->changed,
										sizeof(struct view *) * (change->nchanged + 1));
		change->changed[change->nchanged++] = view;
	}
}

void
worker_role_changed(struct worker *worker, struct role_access *now)
{
	access_changed(worker, NULL, now);
}

/* What a role may see has changed: its views end, or go on with other columns after a gap. */
static void
access_changed(void *arg, struct role_access *old, struct role_access *now)
{
	struct change change = {.now = now};
	struct worker *worker = arg;

	(void) old;
	worker->is_flushing = true;
	for (struct session *session = worker->sessions; session != NULL; session = session->next)
		if (session->role != NULL && strcmp(session->role->role, now->role) == 0)
		{
			role_access_ref(now);
			role_access_unref(session->role);
			session->role = now;
			if (!now->is_member)
				session_end(session, CODE_FORBIDDEN, "the role may not be used any more",
							CLOSE_UNAUTHORIZED);
		}
	hub_each_view(worker->hub, change_view, &change);
	for (unsigned i = 0; i < change.nchanged; i++)
		for (unsigned k = 0; k < change.changed[i]->subscriptions.n; k++)
		{
			struct subscription *s = change.changed[i]->subscriptions.at[k];

			recheck_subscription(worker, s, true);
		}
	for (unsigned i = 0; i < change.nlost; i++)
	{
		struct view *view = change.lost[i];

		view->unsettled++;
		while (view->subscriptions.n > 0)
		{
			struct subscription *s = view->subscriptions.at[0];

			session_fail_subscription(s->session, s, CODE_FORBIDDEN,
									  "the role may not read this any more");
		}
		view->unsettled--;
		hub_release(worker->hub, view);
	}
	memory_free(change.lost);
	memory_free(change.changed);
	worker_flush(worker);
}

bool
worker_is_admin(struct worker *worker, const char *token, size_t len)
{
	const char *admin = worker->options->admin_role;
	struct identity *identity;
	const char *why;
	bool		is_admin;

	if (admin == NULL || auth_check(worker->shared->auth, token, len, &identity, &why) < 0)
		return false;
	is_admin = strcmp(identity->role, admin) == 0;
	identity_unref(identity);
	return is_admin;
}

/* A worker without connections. */
static struct worker *
new_half(struct loop *loop, const struct options *options, const struct shared *shared)
{
	struct worker *worker = memory_alloc_zeroed(sizeof(*worker));

	worker->loop = loop;
	worker->options = options;
	worker->shared = shared;
	worker->position = "";
	worker->hub = hub_new(session_user_of);
	worker->live = hub_stream_new(worker->hub, session_deliver, worker);
	hub_stream_on_access(worker->live, suspend_view);
	worker->reach.begun = reach_begun;
	worker->reach.arg = worker;
	worker->access = access_new(loop, shared->db, &worker->reach, access_changed, worker);
	worker->catchups = catchups_new(worker);
	holds_init(&worker->holds, loop, worker);
	worker->tick = loop_timer_new(loop, tick, worker);
	worker->flush = loop_timer_new(loop, flush_soon, worker);
	worker->sync_timer = loop_timer_new(loop, poke_for_syncs, worker);
	loop_timer_start(worker->tick, TICK_MS);
	return worker;
}

struct worker *
worker_new(struct loop *loop, const struct options *options, const struct shared *shared)
{
	struct worker *worker = new_half(loop, options, shared);

	worker->companion = new_half(loop, options, shared);
	worker->companion->companion = worker;
	worker->companion->evaluator = evaluator_new(worker->companion);
	hub_set_registry(worker->companion->hub, evaluator_registry(worker->companion->evaluator));
	worker->companion->group = 1u << 31;	/* groups of a session that moves are not mixed up */
	worker->server = server_new(loop, worker, options);
	if (worker->server == NULL)
	{
		worker_free(worker);
		return NULL;
	}
	return worker;
}

void
worker_reload(struct worker *worker, const struct options *options)
{
	worker->options = options;
	worker->companion->options = options;
	server_reload(worker->server, options);
	trim_cache(worker);
}

void
worker_free(struct worker *worker)
{
	if (worker->server != NULL)
		server_free(worker->server);	/* closes all sessions, the companion's, too */
	if (worker->evaluator == NULL && worker->companion != NULL)
		worker_free(worker->companion);
	evaluator_free(worker->evaluator);
	hub_stream_free(worker->live);
	catchups_free(worker->catchups);
	holds_release(&worker->holds);
	access_free(worker->access);
	reach_release(&worker->reach);
	hub_free(worker->hub);
	clear_cache(worker);
	memory_free(worker->cache);
	if (worker->last != NULL)
		batch_unref(worker->last);
	if (worker->position_frame != NULL)
		frame_unref(worker->position_frame);
	loop_timer_free(worker->tick);
	loop_timer_free(worker->flush);
	loop_timer_free(worker->sync_timer);
	memory_free(worker->dirty.at);
	memory_free(worker->late.at);
	memory_free(worker);
}
