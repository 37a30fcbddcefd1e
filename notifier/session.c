/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * session.c
 *	  See session.h and session_state.h: messages, identity, delivery, time.
 *
 * A session works on one message at a time; what comes meanwhile waits, bounded. The states of a session:
 * without identity (only auth and ping are answered), with one whose role is being asked for (busy), with
 * both (everything).
 */
#include "session_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "memory.h"
#include "recheck.h"
#include "server.h"
#include "stats.h"

#define BAD_FRAMES_MAX 10
#define MESSAGES_MAX (256 * 1024)	/* bytes waiting; a client that sends more is closed */
#define SYNCS_MAX 1000
#define EXPIRY_NOTICE_S 60		/* before the token expires */

static const struct slice no_ref = {NULL, 0};

/* Tells of refusals that may be attacks: who, what, never the token. */
static void
log_refusal(const struct session *session, const char *code, const char *why)
{
	stats_refused(code);
	log_write(LOG_LEVEL_WARNING, "refused", "code=%s why=%s address=%s role=%s user=%s", code, why,
			  session->address, session->identity ? session->identity->role : NULL,
			  session->identity ? session->identity->user : NULL);
}

void
session_reply(struct session *session, struct frame *frame)
{
	stats_add(STAT_QUEUE_BYTES, (int64_t) frame_payload(frame).len);
	outqueue_push_reply(&session->queue, frame);
	frame_unref(frame);
	worker_touch(session->worker, session);
}

void
session_error(struct session *session, struct slice ref, const char *code, const char *message,
			  const char *view)
{
	if (strcmp(code, CODE_UNAUTHORIZED) == 0 || strcmp(code, CODE_FORBIDDEN) == 0
		|| strcmp(code, CODE_RATE_LIMITED) == 0 || strcmp(code, CODE_EXPIRED) == 0
		|| strncmp(code, "too_many", 8) == 0)
		log_refusal(session, code, message);
	else
		stats_refused(code);
	session_reply(session, protocol_error(ref, code, message, view, 0));
}

void
session_end(struct session *session, const char *code, const char *message, unsigned close)
{
	if (session->is_closing)
		return;
	log_refusal(session, code, message);
	session_reply(session, protocol_error(no_ref, code, message, NULL, close));
	session->is_closing = true;
	peer_close(session->peer, close, code);
}

const char *
session_user_of(const struct subscription *subscription)
{
	return subscription->session->identity ? subscription->session->identity->user : NULL;
}

/* Counts one more session of an identity's user; false when he has as many as he may. */
static bool
enter_user(struct worker *worker, const struct identity *identity, const struct identity *now)
{
	bool		is_same = now != NULL && now->user != NULL && identity->user != NULL
		&& strcmp(now->user, identity->user) == 0;

	return users_enter(worker->shared->users, identity->user,
					   is_same ? 0 : worker->options->max_connections_per_user);
}

/* An identity of a session ends: its user has one session less. */
static void
leave_user(struct worker *worker, struct identity *identity)
{
	if (identity == NULL)
		return;
	users_leave(worker->shared->users, identity->user);
	identity_unref(identity);
}

/* The claims are others: policies may show other rows now. */
static void
recheck_claims(struct session *session)
{
	struct subscription *next;

	for (struct subscription *s = session->subscriptions; s != NULL; s = next)
	{
		next = s->next;
		if (s->view->npolicies > 0)
			recheck_subscription(session->worker, s, false);
	}
}

/* The candidate's role is known: he is the session's identity now, or is refused. */
static void
role_arrived(void *arg, struct role_access *role)
{
	struct session *session = arg;
	struct identity *candidate = session->candidate;
	struct slice ref = {session->candidate_ref,
		session->candidate_ref ? strlen(session->candidate_ref) : 0};

	session->candidate = NULL;
	if (role == NULL)
	{
		session_error(session, ref, CODE_UNAVAILABLE, "the database cannot be asked now", NULL);
		if (session->identity == NULL)
			session_end(session, CODE_UNAVAILABLE, "the database cannot be asked now", CLOSE_TRY_LATER);
		leave_user(session->worker, candidate);
	}
	else if (!role->is_member)
	{
		leave_user(session->worker, candidate);
		if (session->candidate_ref != NULL || session->identity != NULL)
			session_error(session, ref, CODE_UNAUTHORIZED, "the role may not be used", NULL);
		if (session->identity == NULL)
			session_end(session, CODE_UNAUTHORIZED, "the role may not be used", CLOSE_UNAUTHORIZED);
	}
	else
	{
		bool		is_other = session->identity != NULL
			&& strcmp(session->identity->claims, candidate->claims) != 0;

		leave_user(session->worker, session->identity);
		role_access_unref(session->role);
		session->identity = candidate;
		session->role = role_access_ref(role);
		session->has_expiry_notice = false;
		if (!candidate->is_anonymous)
			session_reply(session, protocol_authenticated(ref, candidate->role, candidate->user,
														  candidate->expires));
		if (is_other)
			recheck_claims(session);
	}
	memory_free(session->candidate_ref);
	session->candidate_ref = NULL;
	session->is_busy = false;
	session_go_on(session);
}

/* Makes somebody the session's identity once his role is known. Takes the identity over. */
static void
start_identity(struct session *session, struct identity *identity, struct slice ref)
{
	session->candidate = identity;
	session->candidate_ref = ref.len ? memory_copy_string(ref.at, ref.len) : NULL;
	session->is_busy = true;
	access_request(session->worker->access, identity->role, false, role_arrived, session);
}

/* Puts a session into a worker's list. */
static void
link_session(struct worker *worker, struct session *session)
{
	session->worker = worker;
	session->previous = NULL;
	session->next = worker->sessions;
	if (session->next != NULL)
		session->next->previous = session;
	worker->sessions = session;
	session->progress_tick = session->told_tick = worker->ticks;
}

struct session *
session_open(struct worker *worker, const struct peer_info *info, unsigned *status,
			 const char **code)
{
	const struct options *options = worker->options;
	struct identity *identity = NULL;
	struct session *session;
	char		id[40];

	*status = 503;
	*code = CODE_UNAVAILABLE;
	if (worker->last == NULL)
	{
		stats_refused(CODE_UNAVAILABLE);
		return NULL;			/* nothing has been read yet */
	}
	if (info->token != NULL)
	{
		const char *why;

		if (auth_check(worker->shared->auth, info->token, info->token_len, &identity, &why) < 0)
		{
			stats_refused(CODE_UNAUTHORIZED);
			log_write(LOG_LEVEL_WARNING, "refused", "code=%s why=%s address=%s", CODE_UNAUTHORIZED,
					  why, info->address);
			*status = 401;
			*code = CODE_UNAUTHORIZED;
			return NULL;
		}
	}
	else if (options->anon_role != NULL)
		identity = identity_new(options->anon_role, NULL, "{}", 0, true);
	if (identity != NULL && !enter_user(worker, identity, NULL))
	{
		stats_refused(CODE_TOO_MANY_CONNECTIONS);
		log_write(LOG_LEVEL_WARNING, "refused", "code=%s address=%s user=%s",
				  CODE_TOO_MANY_CONNECTIONS, info->address, identity->user);
		identity_unref(identity);
		*status = 429;
		*code = CODE_TOO_MANY_CONNECTIONS;
		return NULL;
	}
	session = memory_alloc_zeroed(sizeof(*session));
	session->worker = worker;
	session->peer = info->peer;
	session->transport = (unsigned char) info->transport;
	session->address = memory_copy_string(info->address, strlen(info->address));
	session->number = ++worker->session_number;
	session->opened_us = loop_clock_us();
	outqueue_init(&session->queue);
	link_session(worker, session);
	stats_add(STAT_SESSIONS, 1);
	stats_add(STAT_SESSIONS_TOTAL, 1);
	snprintf(id, sizeof(id), "%" PRIx64, session->number);
	session_reply(session, protocol_welcome(id, worker->last->position.epoch, options->heartbeat_s));
	if (identity != NULL)
		start_identity(session, identity, no_ref);
	return session;
}

bool
session_is_waiting_for_auth(const struct session *session)
{
	return session->identity == NULL;
}

bool
session_is_settled(const struct session *session)
{
	return session->role != NULL && !session->is_busy && session->messages == NULL && session->ncatchups == 0
		&& session->told == NULL;
}

void
session_drop_subscription(struct session *session, struct subscription *subscription)
{
	struct view *view = subscription->view;
	struct subscription **at = &session->subscriptions;

	if (subscription->catchup != NULL)
		catchup_drop(session->worker, subscription);
	recheck_drop(session->worker, subscription);
	hold_drop_subscription(session, subscription);
	if (subscription->gap != NULL)
		session->ngaps--;
	outqueue_disown(&session->queue, &subscription->owner);
	subscriptions_remove_at(&view->subscriptions, subscription->index);
	if (subscription->index < view->subscriptions.n)
		view->subscriptions.at[subscription->index]->index = subscription->index;
	while (*at != subscription)
		at = &(*at)->next;
	*at = subscription->next;
	session->nsubscriptions--;
	stats_add(STAT_SUBSCRIPTIONS, -1);
	memory_free(subscription);
	hub_release(session->worker->hub, view);
}

/* Takes a session out of its worker's lists. */
static void
unlink_session(struct session *session)
{
	struct worker *worker = session->worker;

	for (struct session **at = &worker->syncing; *at != NULL; at = &(*at)->next_syncing)
		if (*at == session)
		{
			*at = session->next_syncing;
			break;
		}
	session->is_syncing = false;
	worker->nsyncs -= session->nsyncs;
	worker_forget(worker, session);
	if (worker->inspected == session)
		worker->inspected = session->next;
	if (session->previous != NULL)
		session->previous->next = session->next;
	else
		worker->sessions = session->next;
	if (session->next != NULL)
		session->next->previous = session->previous;
}

/* The companion's access knows the role, and tells of changes from now on; here are those until now. */
static void
role_known(void *arg, struct role_access *role)
{
	struct session *session = arg;

	if (role == NULL)
		return;
	if (!role_access_is_same(session->role, role))
		worker_role_changed(session->worker, role);
	role_access_ref(role);
	role_access_unref(session->role);
	session->role = role;
}

/* Moves one subscription's view. */
static void
move_subscription(struct subscription *subscription, struct worker *to, const struct batch *at)
{
	struct view *old = subscription->view;
	struct view *view = hub_find(to->hub, old->key);
	struct hub *hub = to->companion->hub;

	if (view == NULL)
	{
		view = view_clone(old, memory_copy_string(old->key, strlen(old->key)), old->role,
						  old->policies, old->npolicies, old->claims);
		hub_add(to->hub, view);
	}
	subscriptions_remove_at(&old->subscriptions, subscription->index);
	if (subscription->index < old->subscriptions.n)
		old->subscriptions.at[subscription->index]->index = subscription->index;
	subscription->view = view;
	subscription->index = view->subscriptions.n;
	subscriptions_add(&view->subscriptions, subscription);
	hub_release(hub, old);
	catchup_join(to, subscription, at);
}

/* A subscription that withheld the position has ended: whoever waits for it gets it now, not with the next read. */
static void
push_due_position(struct session *session)
{
	if (session->has_news || session->syncs != NULL)
		session_push_position(session);
}

/* The half that the session has moved to has come as far as the one it came from. */
static void
told_reached(void *arg)
{
	struct session *session = arg;

	batch_unref(session->told);
	session->told = NULL;
	push_due_position(session);
	subscribing_read_ended(session);
}

bool
session_move(struct session *session)
{
	struct worker *from = session->worker;
	struct worker *to = from->companion;

	if (from->is_inside || to->is_inside || to->last == NULL || session->ncatchups > 0
		|| session->ngaps > 0)
		return false;
	for (const struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		if (s->recheck != NULL)
			return false;
	hold_end_told(session, 0);
	unlink_session(session);
	link_session(to, session);
	session->last_group = 0;
	to->nsyncs += session->nsyncs;
	if (session->nsyncs > 0)
	{
		session->is_syncing = true;
		session->next_syncing = to->syncing;
		to->syncing = session;
		if (!loop_timer_is_active(to->sync_timer))
			loop_timer_start(to->sync_timer, 50);
	}
	for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		move_subscription(s, to, from->last);
	if (!reach_has(&to->reach, &from->last->position))
	{
		session->told = batch_ref(from->last);
		reach_wait(&to->reach, &session->told->position, told_reached, session);
	}
	access_request(to->access, session->role->role, false, role_known, session);
	worker_touch(to, session);
	return true;
}

void
session_closed(struct session *session)
{
	struct worker *worker = session->worker;

	access_cancel(worker->access, session);
	access_cancel(worker->companion->access, session);
	subscribing_cancel(session);
	hold_drop(session);
	if (session->told != NULL)
	{
		reach_cancel(&worker->reach, session);
		batch_unref(session->told);
	}
	while (session->subscriptions != NULL)
		session_drop_subscription(session, session->subscriptions);
	while (session->messages != NULL)
	{
		struct session_message *next = session->messages->next;

		memory_free(session->messages);
		session->messages = next;
	}
	while (session->syncs != NULL)
	{
		struct session_sync *next = session->syncs->next;

		memory_free(session->syncs->ref);
		memory_free(session->syncs);
		session->syncs = next;
	}
	stats_add(STAT_QUEUE_BYTES, -(int64_t) session->queue.bytes);
	outqueue_release(&session->queue);
	unlink_session(session);
	leave_user(worker, session->identity);
	leave_user(worker, session->candidate);
	role_access_unref(session->role);
	memory_free(session->candidate_ref);
	memory_free(session->address);
	memory_free(session);
	stats_add(STAT_SESSIONS, -1);
}

/* auth: a token in a message. */
static void
handle_auth(struct session *session, const struct message *message)
{
	struct identity *identity;
	const struct identity *now = session->identity;
	const char *why;

	if (auth_check(session->worker->shared->auth, message->token, strlen(message->token), &identity,
				   &why) < 0)
	{
		session_error(session, message->ref, CODE_UNAUTHORIZED, why, NULL);
		if (now == NULL)
		{
			session->is_closing = true;
			peer_close(session->peer, CLOSE_UNAUTHORIZED, CODE_UNAUTHORIZED);
		}
		return;
	}
	if (now != NULL && session->nsubscriptions > 0
		&& (strcmp(now->role, identity->role) != 0
			|| strcmp(now->user ? now->user : "", identity->user ? identity->user : "") != 0))
	{
		identity_unref(identity);
		session_error(session, message->ref, CODE_FORBIDDEN,
					  "a session with subscriptions keeps its role and user; connect anew", NULL);
		return;
	}
	if (!enter_user(session->worker, identity, now))
	{
		identity_unref(identity);
		session_end(session, CODE_TOO_MANY_CONNECTIONS, "the user has too many connections",
					CLOSE_RATE);
		return;
	}
	start_identity(session, identity, message->ref);
}

void
session_fail_subscription(struct session *session, struct subscription *subscription, const char *code,
						  const char *why)
{
	hold_end_told(session, 0);	/* what it has a right to comes before */
	session_error(session, (struct slice) {NULL, 0}, code, why, subscription->view->id);
	session_drop_subscription(session, subscription);
	push_due_position(session);
}

static struct subscription *
find_subscription(const struct session *session, const char *view)
{
	struct subscription *subscription = session->subscriptions;

	while (subscription != NULL && strcmp(subscription->view->id, view) != 0)
		subscription = subscription->next;
	return subscription;
}

static void
handle_unsubscribe(struct session *session, const struct message *message)
{
	struct subscription *subscription = find_subscription(session, message->view);

	if (subscription == NULL)
	{
		session_error(session, message->ref, CODE_UNKNOWN_VIEW, "no such view in this session", NULL);
		return;
	}
	hold_end_told(session, 0);	/* no position may come that covers what the view, not ended yet, has not had */
	session_drop_subscription(session, subscription);
	session_reply(session, protocol_unsubscribed(message->ref, message->view));
	push_due_position(session);
}

/* Whether positions must wait: for what is held, for one that was told, or for a subscription that is catching up. */
static bool
is_withheld(const struct session *session)
{
	if (session->hold != NULL || session->told != NULL)
		return true;
	if (session->ncatchups == 0 && session->nrechecks == 0)
		return false;			/* as nearly always; there may be thousands of subscriptions */
	for (const struct subscription *s = session->subscriptions; s != NULL; s = s->next)
		if (s->is_suspended || (s->catchup != NULL && catchup_withholds(s)))
			return true;
	return false;
}

/* Answers the syncs that the position which was just queued settles. */
static void
settle_syncs(struct session *session)
{
	struct worker *worker = session->worker;

	for (struct session_sync **at = &session->syncs; *at != NULL;)
	{
		struct session_sync *sync = *at;
		struct slice ref = {sync->ref, sync->ref ? strlen(sync->ref) : 0};

		if (!position_covers(&worker->last->position, sync->tx))
		{
			at = &sync->next;
			continue;
		}
		session_reply(session, protocol_synced(ref, sync->tx, worker->position));
		*at = sync->next;
		memory_free(sync->ref);
		memory_free(sync);
		session->nsyncs--;
		worker->nsyncs--;
	}
}

void
session_push_position(struct session *session)
{
	struct worker *worker = session->worker;

	if (worker->is_inside || session->ngaps > 0 || is_withheld(session))
		return;
	outqueue_push_position(&session->queue, worker->position_frame);
	stats_add(STAT_QUEUE_BYTES, (int64_t) frame_payload(worker->position_frame).len);
	session->told_tick = worker->ticks;
	session->has_news = false;
	if (session->syncs != NULL)
		settle_syncs(session);
	worker_touch(worker, session);
}

/* sync: answered by the first position that covers the transaction. */
static void
handle_sync(struct session *session, const struct message *message)
{
	struct worker *worker = session->worker;
	struct session_sync *sync;

	if (session->nsyncs >= SYNCS_MAX)
	{
		session_error(session, message->ref, CODE_RATE_LIMITED, "too many syncs wait", NULL);
		return;
	}
	hold_end_told(session, message->tx);
	sync = memory_alloc(sizeof(*sync));
	sync->tx = message->tx;
	sync->ref = message->ref.len ? memory_copy_string(message->ref.at, message->ref.len) : NULL;
	sync->next = session->syncs;
	session->syncs = sync;
	session->nsyncs++;
	worker->nsyncs++;
	if (!session->is_syncing)
	{
		session->is_syncing = true;
		session->next_syncing = worker->syncing;
		worker->syncing = session;
	}
	if (position_covers(&worker->last->position, sync->tx))
		session_push_position(session);
	else
		worker_read_soon(worker);
}

/* One message. */
static void
handle_message(struct session *session, const char *text, size_t len)
{
	struct message message;
	const char *code;
	const char *why;

	if (protocol_parse(&message, text, len, &code, &why) < 0)
	{
		session_error(session, message.ref, code, why, NULL);
		protocol_release(&message);
		if (strcmp(code, CODE_BAD_FRAME) == 0 && ++session->bad_frames >= BAD_FRAMES_MAX)
			session_end(session, CODE_BAD_FRAME, "too many messages that are not JSON objects",
						CLOSE_BAD_FRAMES);
		return;
	}
	if (session->identity == NULL && message.op != MESSAGE_AUTH && message.op != MESSAGE_PING)
	{
		session_error(session, message.ref, CODE_UNAUTHORIZED, "send auth with a token first", NULL);
		protocol_release(&message);
		return;
	}
	switch (message.op)
	{
		case MESSAGE_AUTH:
			handle_auth(session, &message);
			break;
		case MESSAGE_SUBSCRIBE:
			session_subscribe(session, &message);
			return;
		case MESSAGE_UNSUBSCRIBE:
			handle_unsubscribe(session, &message);
			break;
		case MESSAGE_SYNC:
			handle_sync(session, &message);
			break;
		case MESSAGE_PING:
			session_reply(session, protocol_pong(message.ref));
			break;
	}
	protocol_release(&message);
}

void
session_go_on(struct session *session)
{
	if (session->is_going_on)
		return;					/* a message ended at once: the loop below goes on */
	session->is_going_on = true;
	while (session->messages != NULL && !session->is_busy && !session->is_closing
		   && !session->worker->is_inside)
	{
		struct session_message *message = session->messages;

		session->messages = message->next;
		session->messages_bytes -= message->len;
		handle_message(session, message->text, message->len);
		memory_free(message);
	}
	session->is_going_on = false;
}

void
session_receive(struct session *session, const char *text, size_t len)
{
	struct session_message *message;
	struct session_message **end;

	if (session->is_closing)
		return;
	if (!session->is_busy && !session->worker->is_inside && session->messages == NULL)
	{
		handle_message(session, text, len);
		return;
	}
	if (session->messages_bytes + len > MESSAGES_MAX)
	{
		session_end(session, CODE_RATE_LIMITED, "too many messages wait", CLOSE_RATE);
		return;
	}
	message = memory_alloc(sizeof(*message) + len);
	message->next = NULL;
	message->len = len;
	memcpy(message->text, text, len);
	session->messages_bytes += len;
	for (end = &session->messages; *end != NULL; end = &(*end)->next)
		;
	*end = message;
	if (!session->is_busy)
		worker_touch(session->worker, session);	/* looked at when the read has ended */
}

void
session_push(struct session *session, struct subscription *subscription,
			 const struct delivery *delivery, unsigned group)
{
	struct frame *frame = delivery->frame;

	if (delivery->gap != NULL)
	{
		hold_end(session, 0);	/* what came before it */
		frame = protocol_gap(subscription->view->id, delivery->gap, session->worker->gap_position);
		stats_add(STAT_GAPS, 1);
	}
	outqueue_push(&session->queue, frame, &subscription->owner, delivery->xid, group,
				  delivery->priority);
	stats_add(STAT_QUEUE_BYTES, (int64_t) frame_payload(frame).len);
	if (delivery->gap != NULL)
		frame_unref(frame);
	session->has_news = true;
	worker_touch(session->worker, session);
}

/* How long a queue may be: when all together hold too much, the long ones are cut first. */
static size_t
queue_limit(const struct worker *worker)
{
	size_t		max = worker->options->max_queue;

	return stats_get(STAT_QUEUE_BYTES) > (int64_t) worker->options->total_memory ? max / 16 : max;
}

void
session_deliver(void *arg, struct subscription *subscription, const struct delivery *delivery)
{
	struct worker *worker = arg;
	struct session *session = subscription->session;

	if (subscription->is_suspended)
	{
		subscription->has_missed = true;
		return;					/* a gap follows */
	}
	if (subscription->catchup != NULL && catchup_takes(subscription, delivery))
		return;
	/* A transaction is never cut: the limit is looked at before the first frame of one. */
	if (session->hold != NULL && session->last_group != worker->group
		&& hold_is_full(session, queue_limit(worker)))
		hold_end(session, 0);
	if (session->last_group != worker->group && session->queue.bytes > queue_limit(worker))
	{
		hold_end(session, 0);
		session_relieve(session, queue_limit(worker));
	}
	session->last_group = worker->group;
	if (subscription->gap != NULL || session->is_closing)
		return;
	if (subscription->window_ms > 0 && hold_takes(session, subscription, delivery))
		return;
	session_push(session, subscription, delivery, worker->group);
}

/* The queue is empty again: those who lost something are told so, and the stream goes on from here. */
static void
tell_gaps(struct session *session)
{
	struct worker *worker = session->worker;

	if (worker->is_inside)
		return;
	for (struct subscription *s = session->subscriptions; s != NULL; s = s->next)
	{
		struct delivery delivery = {NULL, 0, PRIORITY_NORMAL, 0, s->gap};

		if (s->gap == NULL || s->is_suspended)
			continue;
		s->gap = NULL;
		session->ngaps--;
		session_push(session, s, &delivery, ++worker->group);
		catchup_go_on(worker, s);
	}
	session_push_position(session);
}

unsigned
session_pending(struct session *session, struct frame **frames, unsigned max)
{
	size_t		before;
	unsigned	n;

	if (session->ngaps > 0 && outqueue_is_empty(&session->queue))
		tell_gaps(session);
	if (session->ncatchups > 0)
		catchups_wake(session);
	/* positions that others follow go */
	before = session->queue.bytes;
	n = outqueue_pending(&session->queue, frames, max,
						 hub_stream_is_inside(session->worker->live) ? session->worker->group : 0);
	if (session->queue.bytes != before)
		stats_add(STAT_QUEUE_BYTES, (int64_t) session->queue.bytes - (int64_t) before);
	return n;
}

void
session_sent(struct session *session, unsigned n)
{
	size_t		before = session->queue.bytes;

	outqueue_sent(&session->queue, n);
	stats_add(STAT_QUEUE_BYTES, (int64_t) session->queue.bytes - (int64_t) before);
	session->progress_tick = session->worker->ticks;
}

/* Warns before the token expires, and ends the session when it has. */
static void
check_expiry(struct session *session, int64_t now_s)
{
	int64_t		expires = session->identity ? session->identity->expires : 0;

	if (expires == 0 || session->is_closing)
		return;
	if (now_s >= expires + (int64_t) session->worker->options->jwt_leeway_s)
		session_end(session, CODE_EXPIRED, "the token has expired", CLOSE_EXPIRED);
	else if (!session->has_expiry_notice && now_s >= expires - EXPIRY_NOTICE_S)
	{
		session->has_expiry_notice = true;
		session_reply(session, protocol_expiring(expires));
	}
}

void
session_tick(struct session *session, int64_t now_s)
{
	struct worker *worker = session->worker;

	check_expiry(session, now_s);
	subscribing_read_ended(session);
	/* A gap that cannot be told waits, too, though the queue was emptied for it. */
	if (outqueue_is_empty(&session->queue) && session->ngaps == 0)
		session->progress_tick = worker->ticks;
	else if (!session->is_closing
			 && worker->ticks - session->progress_tick > worker->options->slow_timeout_s)
	{
		stats_add(STAT_SLOW_CLOSES, 1);
		session_end(session, "slow", "nothing was read for too long", CLOSE_SLOW);
	}
	if (session->ngaps > 0 && outqueue_is_empty(&session->queue))
		worker_touch(worker, session);
	if (worker->ticks - session->told_tick + 1 >= worker->options->heartbeat_s
		&& !session->is_closing && outqueue_is_empty(&session->queue))
	{
		if (!worker->is_inside)
			hold_end(session, 0);	/* the peer hears something at each heartbeat */
		session_push_position(session);
	}
}
