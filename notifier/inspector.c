/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector.c
 *	  See inspector.h.
 */
#include "inspector.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "inspector_top.h"
#include "memory.h"
#include "session_state.h"
#include "stats.h"

#ifndef REALTIME_VERSION
#define REALTIME_VERSION "unknown"
#endif

#define NUMBER_BITS 48			/* of a session's number in a tie; above it the worker's */

/* One look, on its way. */
struct inspection
{
	struct inspection *next;	/* that waits */
	struct inspector *inspector;
	struct inspector_query query;
	unsigned	number;			/* marks what has been seen */
	unsigned	worker;			/* where it is */
	bool		is_companion;	/* in that one's second half */
	bool		has_begun;		/* there */
	struct inspector_top sessions;
	struct inspector_top views;
	uint64_t	nsessions;		/* seen */
	uint64_t	nmatching;
	uint64_t	nviews;

	/* of the loop's thread */
	struct loop *loop;
	inspector_fn fn;			/* NULL: nobody waits any more */
	void	   *arg;
};

struct inspector
{
	struct worker **workers;
	unsigned	nworkers;
	int64_t		started_us;
	pthread_mutex_t lock;		/* of what follows */
	struct inspection *first;	/* under way; the others wait */
	unsigned	count;
	unsigned	number;
};

/* A session as it was when it was seen. */
struct session_row
{
	unsigned	worker;
	uint64_t	number;
	int64_t		age_us;
	size_t		queue_bytes;
	unsigned	queue_frames;
	unsigned	nsubscriptions;
	unsigned	nbehind;		/* subscriptions that catch up or owe a gap */
	enum transport transport;
	char	   *role;			/* NULL: not known yet */
	char	   *user;
	char	   *address;
	struct buffer names;		/* of some subscriptions, as a JSON array without its brackets */
};

/* A view as it was. */
struct view_row
{
	unsigned	worker;
	unsigned	nsubscriptions;
	bool		is_evaluated;	/* by PostgreSQL */
	bool		has_policies;
	struct buffer text;			/* id, role, feature, entity, actions, filter, columns as members of JSON */
};

static void walk(void *arg);

struct inspector *
inspector_new(void)
{
	struct inspector *inspector = memory_alloc_zeroed(sizeof(*inspector));

	inspector->started_us = loop_clock_us();
	pthread_mutex_init(&inspector->lock, NULL);
	return inspector;
}

static void
free_session_row(void *item)
{
	struct session_row *row = item;

	memory_free(row->role);
	memory_free(row->user);
	memory_free(row->address);
	buffer_release(&row->names);
	memory_free(row);
}

static void
free_view_row(void *item)
{
	struct view_row *row = item;

	buffer_release(&row->text);
	memory_free(row);
}

static void
free_inspection(struct inspection *inspection)
{
	inspector_top_release(&inspection->sessions);
	inspector_top_release(&inspection->views);
	memory_free(inspection);
}

void
inspector_free(struct inspector *inspector)
{
	while (inspector->first != NULL)
	{
		struct inspection *next = inspector->first->next;

		free_inspection(inspector->first);
		inspector->first = next;
	}
	pthread_mutex_destroy(&inspector->lock);
	memory_free(inspector->workers);
	memory_free(inspector);
}

void
inspector_add_worker(struct inspector *inspector, struct worker *worker)
{
	inspector->workers = memory_resize(inspector->workers,
									   sizeof(struct worker *) * (inspector->nworkers + 1));
	inspector->workers[inspector->nworkers++] = worker;
}

static char *
copy_text(const char *text)
{
	return text ? memory_copy_string(text, strlen(text)) : NULL;
}

/* "orders.order", or with * for any, as a JSON string. */
static void
put_view_name(struct buffer *out, const struct view *view)
{
	struct buffer name;

	buffer_init(&name);
	buffer_puts(&name, view->feature ? view->feature : "*");
	buffer_puts(&name, ".");
	buffer_puts(&name, view->entity_name ? view->entity_name : "*");
	buffer_put_json(out, name.at, name.len);
	buffer_release(&name);
}

static void
add_session(struct inspection *inspection, const struct session *session, int64_t key, uint64_t tie)
{
	struct session_row *row = memory_alloc_zeroed(sizeof(*row));
	unsigned	n = 0;

	row->worker = inspection->worker;
	row->number = session->number;
	row->age_us = loop_clock_us() - session->opened_us;
	row->queue_bytes = session->queue.bytes;
	row->queue_frames = session->queue.count;
	row->nsubscriptions = session->nsubscriptions;
	row->nbehind = session->ncatchups + session->ngaps;
	row->transport = (enum transport) session->transport;
	row->role = session->identity ? copy_text(session->identity->role) : NULL;
	row->user = session->identity ? copy_text(session->identity->user) : NULL;
	row->address = copy_text(session->address);
	for (const struct subscription *s = session->subscriptions; s != NULL && n < INSPECTOR_NAMES_MAX;
		 s = s->next, n++)
	{
		buffer_puts(&row->names, n > 0 ? "," : "");
		put_view_name(&row->names, s->view);
	}
	inspector_top_add(&inspection->sessions, key, tie, row);
}

/* A filter's columns and operators. Its constants may say something about whoever subscribes: they stay here. */
static void
put_filter(struct buffer *out, const struct filter *filter)
{
	static const char *const names[] = {
		[OPERATOR_EQ] = "eq", [OPERATOR_NEQ] = "neq", [OPERATOR_LT] = "lt", [OPERATOR_LTE] = "lte",
		[OPERATOR_GT] = "gt", [OPERATOR_GTE] = "gte", [OPERATOR_IN] = "in", [OPERATOR_LIKE] = "like",
		[OPERATOR_ILIKE] = "ilike", [OPERATOR_IS_NULL] = "is", [OPERATOR_IS_TRUE] = "is",
		[OPERATOR_IS_FALSE] = "is"
	};

	for (unsigned i = 0; i < filter->nterms; i++)
	{
		const struct filter_term *term = &filter->terms[i];

		buffer_puts(out, i > 0 ? ",\"" : "\"");
		buffer_put_slice(out, term->column);	/* as inside a JSON string */
		buffer_puts(out, term->is_negated ? " not." : " ");
		buffer_puts(out, names[term->op]);
		buffer_puts(out, "\"");
	}
}

static void
add_view(struct inspection *inspection, const struct view *view, uint64_t tie)
{
	struct view_row *row = memory_alloc_zeroed(sizeof(*row));
	struct buffer *out = &row->text;

	row->worker = inspection->worker;
	row->nsubscriptions = view->subscriptions.n;
	row->is_evaluated = view_needs_evaluation(view);
	row->has_policies = view->npolicies > 0;
	buffer_puts(out, "\"id\":");
	buffer_puts_json(out, view->id);
	buffer_puts(out, ",\"role\":");
	buffer_puts_json(out, view->role->role);
	buffer_puts(out, ",\"name\":");
	put_view_name(out, view);
	buffer_puts(out, ",\"actions\":[");
	for (unsigned i = 0; i < view->nactions && i < INSPECTOR_NAMES_MAX; i++)
	{
		buffer_puts(out, i > 0 ? "," : "");
		buffer_puts_json(out, view->actions[i]);
	}
	buffer_puts(out, "],\"filter\":[");
	put_filter(out, &view->filter);
	buffer_puts(out, "],\"columns\":");
	buffer_put_number(out, view->ncolumns);
	inspector_top_add(&inspection->views, view->subscriptions.n, tie, row);
}

/* Where a view stands among those of as many subscriptions: by its id, so that it keeps its place. */
static uint64_t
view_tie(const struct inspection *inspection, const struct view *view)
{
	uint64_t	hash = UINT64_C(14695981039346656037);	/* FNV-1a */

	for (const char *p = view->id; *p != '\0'; p++)
		hash = (hash ^ (unsigned char) *p) * UINT64_C(1099511628211);
	return (hash << 9) | (uint64_t) inspection->worker << 1 | inspection->is_companion;
}

/* Looks at the views of a session; returns how many. */
static unsigned
look_at_views(struct inspection *inspection, const struct session *session)
{
	unsigned	n = 0;

	for (const struct subscription *s = session->subscriptions; s != NULL && n < INSPECTOR_SUBSCRIPTIONS_MAX;
		 s = s->next, n++)
	{
		struct view *view = s->view;
		uint64_t	tie;

		if (view->inspection == inspection->number)
			continue;
		view->inspection = inspection->number;
		inspection->nviews++;
		tie = view_tie(inspection, view);
		if (inspector_top_wants(&inspection->views, view->subscriptions.n, tie))
			add_view(inspection, view, tie);
	}
	return n;
}

/* Whether a text, NULL for none, has what is looked for. */
static bool
has_text(const char *text, const struct inspector_query *query)
{
	size_t		len = text ? strlen(text) : 0;

	for (size_t i = 0; i + query->find_len <= len; i++)
		if (memcmp(text + i, query->find, query->find_len) == 0)
			return true;
	return false;
}

static bool
is_matching(const struct session *session, const struct inspector_query *query)
{
	return query->find_len == 0 || has_text(session->address, query)
		|| (session->identity != NULL && (has_text(session->identity->user, query)
										  || has_text(session->identity->role, query)));
}

static void
look_at_session(struct inspection *inspection, const struct session *session)
{
	const struct inspector_query *query = &inspection->query;
	uint64_t	tie = (uint64_t) inspection->worker << NUMBER_BITS
		| (session->number & ((UINT64_C(1) << NUMBER_BITS) - 1));
	int64_t		key = 0;

	inspection->nsessions++;
	if (!is_matching(session, query))
		return;
	inspection->nmatching++;
	switch (query->sort)
	{
		case INSPECTOR_BY_QUEUE: key = (int64_t) session->queue.bytes; break;
		case INSPECTOR_BY_SUBSCRIPTIONS: key = session->nsubscriptions; break;
		case INSPECTOR_OLDEST: key = -session->opened_us; break;
		case INSPECTOR_NEWEST: key = session->opened_us; break;
	}
	if (query->has_after && !inspector_top_is_after(key, tie, query->after_key, query->after_tie))
		return;
	if (inspector_top_wants(&inspection->sessions, key, tie))
		add_session(inspection, session, key, tie);
}

static void
put_session(struct buffer *out, const struct session_row *row)
{
	static const char *const transports[] = {"websocket", "sse", "poll"};
	char		line[200];

	/* the id that its welcome told */
	snprintf(line, sizeof(line), "{\"worker\":%u,\"id\":\"%" PRIx64 "\",\"age\":%.3f,\"transport\":\"%s\","
			 "\"queue\":%zu,\"frames\":%u,\"subscriptions\":%u,\"behind\":%u,\"role\":", row->worker,
			 row->number, (double) row->age_us / 1e6, transports[row->transport], row->queue_bytes,
			 row->queue_frames, row->nsubscriptions, row->nbehind);
	buffer_puts(out, line);
	buffer_puts_json(out, row->role);
	buffer_puts(out, ",\"user\":");
	buffer_puts_json(out, row->user);
	buffer_puts(out, ",\"address\":");
	buffer_puts_json(out, row->address);
	buffer_puts(out, ",\"views\":[");
	buffer_put(out, row->names.at, row->names.len);
	buffer_puts(out, "]}");
}

static void
put_view(struct buffer *out, const struct view_row *row)
{
	char		line[120];

	snprintf(line, sizeof(line), "{\"worker\":%u,\"subscriptions\":%u,\"policies\":\"%s\",", row->worker,
			 row->nsubscriptions, row->is_evaluated ? "evaluated" : row->has_policies ? "filter" : "none");
	buffer_puts(out, line);
	buffer_put(out, row->text.at, row->text.len);
	buffer_puts(out, "}");
}

/* Counters and gauges, by their names in /metrics without the prefix. */
static void
put_stats(struct buffer *out)
{
	static const char *const names[STAT_COUNT] = {
#define STAT_NAME(id, name, type, help) [STAT_##id] = (name),
		STATS_LIST(STAT_NAME)
#undef STAT_NAME
	};
	char		line[120];

	for (unsigned i = 0; i < STAT_COUNT; i++)
	{
		int64_t		value = stats_get((enum stats_item) i);

		buffer_puts(out, i > 0 ? "," : "");
		if (i == STAT_SOURCE_LAG_US)
			snprintf(line, sizeof(line), "\"%s\":%.6f", names[i], (double) value / 1e6);
		else
			snprintf(line, sizeof(line), "\"%s\":%lld", names[i], (long long) value);
		buffer_puts(out, line);
	}
}

/* The answer. */
static void
put_answer(struct buffer *out, const struct inspection *inspection)
{
	const struct inspector *inspector = inspection->inspector;
	const struct inspector_top *sessions = &inspection->sessions;
	char		line[160];

	snprintf(line, sizeof(line), "{\"version\":\"" REALTIME_VERSION "\",\"time\":%lld,\"uptime\":%.3f,\"workers\":%u,\"stats\":{",
			 (long long) time(NULL), (double) (loop_clock_us() - inspector->started_us) / 1e6,
			 inspector->nworkers);
	buffer_puts(out, line);
	put_stats(out);
	snprintf(line, sizeof(line), "},\"sessions\":{\"seen\":%" PRIu64 ",\"matching\":%" PRIu64 ",\"next\":",
			 inspection->nsessions, inspection->nmatching);
	buffer_puts(out, line);
	if (sessions->is_cut && sessions->n > 0)
		snprintf(line, sizeof(line), "\"%" PRId64 ".%" PRIu64 "\"", sessions->at[sessions->n - 1].key,
				 sessions->at[sessions->n - 1].tie);
	else
		snprintf(line, sizeof(line), "null");
	buffer_puts(out, line);
	buffer_puts(out, ",\"list\":[");
	for (unsigned i = 0; i < sessions->n; i++)
	{
		buffer_puts(out, i > 0 ? "," : "");
		put_session(out, sessions->at[i].item);
	}
	snprintf(line, sizeof(line), "]},\"views\":{\"seen\":%" PRIu64 ",\"list\":[", inspection->nviews);
	buffer_puts(out, line);
	for (unsigned i = 0; i < inspection->views.n; i++)
	{
		buffer_puts(out, i > 0 ? "," : "");
		put_view(out, inspection->views.at[i].item);
	}
	buffer_puts(out, "]}}\n");
}

/* In the thread of whoever asked. */
static void
deliver(void *arg)
{
	struct inspection *inspection = arg;
	struct buffer json;

	buffer_init(&json);
	if (inspection->fn != NULL)
	{
		put_answer(&json, inspection);
		inspection->fn(inspection->arg, buffer_slice(&json));
	}
	buffer_release(&json);
	free_inspection(inspection);
}

/* Begins the look that is first in the line. */
static void
begin(struct inspection *inspection)
{
	loop_post(inspection->inspector->workers[0]->loop, walk, inspection);
}

/* The look has been everywhere: the next one begins. */
static void
end(struct inspection *inspection)
{
	struct inspector *inspector = inspection->inspector;
	struct inspection *next;

	pthread_mutex_lock(&inspector->lock);
	inspector->first = next = inspection->next;
	inspector->count--;
	pthread_mutex_unlock(&inspector->lock);
	inspection->next = NULL;
	if (next != NULL)
		begin(next);
	loop_post(inspection->loop, deliver, inspection);
}

/* Goes on to the other half of the worker, or to the next worker. */
static void
go_on(struct inspection *inspection)
{
	struct inspector *inspector = inspection->inspector;

	inspection->has_begun = false;
	inspection->worker += inspection->is_companion;
	inspection->is_companion = !inspection->is_companion;
	if (inspection->worker == inspector->nworkers)
		end(inspection);
	else
		loop_post(inspector->workers[inspection->worker]->loop, walk, inspection);
}

/* One turn of a look, in the thread of the worker where it is. */
static void
walk(void *arg)
{
	struct inspection *inspection = arg;
	struct worker *worker = inspection->inspector->workers[inspection->worker];
	unsigned	work = 0;

	if (inspection->is_companion)
		worker = worker->companion;
	if (!inspection->has_begun)
		worker->inspected = worker->sessions;
	inspection->has_begun = true;
	while (worker->inspected != NULL && work < INSPECTOR_STEP)
	{
		struct session *session = worker->inspected;

		worker->inspected = session->next;
		work++;
		if (session->inspection == inspection->number)
			continue;			/* it has moved here */
		session->inspection = inspection->number;
		if (inspection->query.sessions > 0)
			look_at_session(inspection, session);
		if (inspection->query.views > 0)
			work += look_at_views(inspection, session);
	}
	if (worker->inspected == NULL)
		go_on(inspection);
	else
		loop_post(worker->loop, walk, inspection);
}

struct inspection *
inspector_look(struct inspector *inspector, const struct inspector_query *query, struct loop *loop,
			   inspector_fn fn, void *arg)
{
	struct inspection *inspection = memory_alloc_zeroed(sizeof(*inspection));
	struct inspection **at;
	bool		is_first = false;

	inspection->inspector = inspector;
	inspection->query = *query;
	inspection->loop = loop;
	inspection->fn = fn;
	inspection->arg = arg;
	inspector_top_init(&inspection->sessions, query->sessions, free_session_row);
	inspector_top_init(&inspection->views, query->views, free_view_row);
	if (query->sessions == 0 && query->views == 0)
	{
		loop_post(loop, deliver, inspection);	/* numbers only: nobody is to be asked */
		return inspection;
	}
	pthread_mutex_lock(&inspector->lock);
	if (inspector->count == INSPECTOR_WAITING_MAX)
	{
		pthread_mutex_unlock(&inspector->lock);
		free_inspection(inspection);
		return NULL;
	}
	inspection->number = ++inspector->number;
	if (inspection->number == 0)
		inspection->number = ++inspector->number;	/* 0 is: never seen */
	for (at = &inspector->first; *at != NULL; at = &(*at)->next)
		;
	*at = inspection;
	is_first = inspector->count++ == 0;
	pthread_mutex_unlock(&inspector->lock);
	if (is_first)
		begin(inspection);
	return inspection;
}

void
inspection_forget(struct inspection *inspection)
{
	inspection->fn = NULL;
}
