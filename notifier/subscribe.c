/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * subscribe.c
 *	  From a subscribe message to a subscription: who may, what is meant, which view.
 *
 * A request goes through these steps, of which three may wait for the database: the entity (looked up anew
 * when it is unknown or unreadable: the grant may be seconds old), the constants of the filter (converted to
 * the columns' types by PostgreSQL itself), the policies of row-level security, and, when no read is under
 * way, the view. The session works on
 * nothing else meanwhile.
 */
#include "session_state.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "policies.h"
#include "recheck.h"
#include "stats.h"
#include "windows.h"

/* A constant that PostgreSQL converts. */
struct conversion
{
	unsigned	term;
	unsigned	key;
};

struct subscribing
{
	struct session *session;	/* NULL: it has ended */
	struct worker *worker;
	struct message message;
	struct position since;		/* epoch NULL: none */
	struct filter filter;
	struct conversion *conversions;
	unsigned	nconversions;
	struct role_access *role;	/* by which the request was looked at */
	struct policies_question *question;
	struct policy **policies;
	unsigned	npolicies;
	enum db_outcome outcome;
	char		sqlstate[6];
	bool		is_fresh;		/* access was asked for anew */
	const struct access *accesses[2];	/* of the worker and its companion */
	unsigned	marks[2];		/* that they had when rights were asked for */
	bool		needs_evaluation;	/* a policy must be evaluated: the session moves */
	bool		is_ready;		/* waits for the read to end */
};

static void resolve(struct subscribing *request);
static void ask_afresh(struct subscribing *request);
static void ready(struct subscribing *request);

static void
request_free(struct subscribing *request)
{
	protocol_release(&request->message);
	if (request->since.epoch != NULL)
		position_release(&request->since);
	filter_release(&request->filter);
	policies_cancel(request->question);
	role_access_unref(request->role);
	for (unsigned i = 0; i < request->npolicies; i++)
		policy_unref(request->policies[i]);
	memory_free(request->policies);
	memory_free(request->conversions);
	memory_free(request);
}

/* The request is answered: the session goes on. */
static void
request_done(struct subscribing *request)
{
	struct session *session = request->session;

	session->subscribing = NULL;
	session->is_busy = false;
	request_free(request);
	session_go_on(session);
}

static void
request_fail(struct subscribing *request, const char *code, const char *why)
{
	session_error(request->session, request->message.ref, code, why, NULL);
	request_done(request);
}

void
subscribing_cancel(struct session *session)
{
	struct subscribing *request = session->subscribing;

	if (request == NULL)
		return;
	session->subscribing = NULL;
	access_cancel(session->worker->access, request);
	access_cancel(session->worker->companion->access, request);
	if (request->nconversions > 0 && !request->is_ready)
		request->session = NULL;	/* the pool still has it */
	else
		request_free(request);
}

/* A view that stood already may have rights that were looked up before the session's: they are the view's now. */
static void
refresh_view(struct worker *worker, struct view *view, struct role_access *role,
			 const struct entity_access *entity)
{
	bool		is_changed;

	if (view->role == role || view->role->position.epoch == NULL || role->position.epoch == NULL
		|| !position_is_within(&view->role->position, &role->position))
		return;
	is_changed = entity == NULL || view->entity == NULL ? !role_access_is_same(view->role, role)
		: strcmp(view->entity->print, entity->print) != 0;
	view_set_access(view, role, entity);
	for (unsigned i = 0; i < view->subscriptions.n && is_changed; i++)
		recheck_subscription(worker, view->subscriptions.at[i], true);
}

/* The view of a request; made when there is none. */
static struct view *
get_view(struct subscribing *request, const struct entity_access *entity)
{
	const struct message *message = &request->message;
	struct worker *worker = request->worker;
	struct buffer filter_text;
	struct view_request wanted = {
		.role = request->session->role,
		.entity = entity,
		.feature = message->feature,
		.entity_name = message->entity,
		.nactions = message->nactions,
		.actions = message->actions,
		.ncolumns = message->ncolumns,
		.columns = message->columns,
		.npolicies = request->npolicies,
		.policies = request->policies,
		.claims = request->session->identity->claims,
	};
	struct view *view;
	size_t		id_len;
	char	   *key;

	buffer_init(&filter_text);
	filter_normalize(&request->filter, &filter_text);
	wanted.filter_text = buffer_take(&filter_text);
	key = view_request_key(&wanted, &id_len);
	memory_free((char *) wanted.filter_text);
	view = hub_find(worker->hub, key);
	if (view != NULL)
	{
		memory_free(key);
		refresh_view(worker, view, request->session->role, entity);
		return view;
	}
	wanted.filter = request->filter;
	memset(&request->filter, 0, sizeof(request->filter));	/* the view has it */
	view = view_new(&wanted, key, id_len, worker->shared->id_key);
	hub_add(worker->hub, view);
	return view;
}

/* Last step, between two reads: the subscription begins. */
static void
settle(struct subscribing *request)
{
	struct session *session = request->session;
	struct worker *worker = request->worker;
	const struct message *message = &request->message;
	const struct entity_access *entity = NULL;
	struct subscription *subscription;
	struct view *view;

	if (message->feature != NULL && message->entity != NULL)
	{
		struct slice feature = {message->feature, strlen(message->feature)};
		struct slice name = {message->entity, strlen(message->entity)};

		entity = role_access_find(session->role, feature, name);
		if (entity == NULL || !entity->can_read)	/* taken away meanwhile */
		{
			request_fail(request, CODE_FORBIDDEN, "the role may not read this entity");
			return;
		}
	}
	hold_end_told(session, 0);	/* it might keep the position back that this one waits for */
	view = get_view(request, entity);
	for (subscription = session->subscriptions; subscription != NULL;
		 subscription = subscription->next)
		/* Also one whose policies are being looked up anew: ids are of what was asked. */
		if (strcmp(subscription->view->id, view->id) == 0)
		{
			session_error(session, message->ref, CODE_ALREADY_SUBSCRIBED,
						  "the session has this subscription already", view->id);
			hub_release(worker->hub, view);
			request_done(request);
			return;
		}
	subscription = memory_alloc_zeroed(sizeof(*subscription));
	subscription->session = session;
	subscription->view = view;
	subscription->index = view->subscriptions.n;
	subscription->window_ms = message->window_ms >= 0 ? (unsigned) message->window_ms
		: windows_find(worker->options->windows, message->feature, message->entity);
	subscription->next = session->subscriptions;
	session->subscriptions = subscription;
	session->nsubscriptions++;
	subscriptions_add(&view->subscriptions, subscription);
	stats_add(STAT_SUBSCRIPTIONS, 1);
	session_reply(session, protocol_subscribed(message->ref, view->id,
											   message->since ? message->since : worker->position,
											   message->feature, message->entity,
											   subscription->window_ms));
	if (request->since.epoch != NULL)
	{
		catchup_resume(worker, subscription, &request->since, message);
		memset(&request->since, 0, sizeof(request->since));
	}
	else if (message->wants_snapshot)
		catchup_snapshot(worker, subscription, message);
	request_done(request);
}

/* In the worker's thread: how row-level security applies is known. */
static void
policies_arrived(void *arg, enum policies_outcome outcome, struct policy *const *policies, unsigned n)
{
	struct subscribing *request = arg;

	request->question = NULL;
	if (outcome == POLICIES_UNAVAILABLE)
	{
		request_fail(request, CODE_UNAVAILABLE, "the database cannot be asked now");
		return;
	}
	if (outcome == POLICIES_FAILED)
	{
		request_fail(request, CODE_INTERNAL, "row-level security of the table could not be worked out");
		return;
	}
	request->policies = memory_alloc(sizeof(struct policy *) * (n + 1));
	for (unsigned i = 0; i < n; i++)
	{
		request->policies[request->npolicies++] = policy_ref(policies[i]);
		request->needs_evaluation |= policies[i]->mode == POLICY_EVALUATE;
	}
	ready(request);
}

/* The filter is complete. Where row-level security applies, its policies come next. */
static void
ask_policies(struct subscribing *request)
{
	const struct message *message = &request->message;
	struct session *session = request->session;

	if (!policies_are_needed(session->role, message->feature, message->entity))
	{
		ready(request);
		return;
	}
	request->question = policies_ask(request->worker->loop, request->worker->shared->db,
									 &request->worker->reach, session->role, session->identity->claims,
									 message->feature, message->entity, policies_arrived, request);
}

/* Whether the stream has told of changed rights since they were asked for. */
static bool
is_outdated(const struct subscribing *request, const struct access *access)
{
	for (int i = 0; i < 2; i++)
		if (request->accesses[i] == access)
			return access_marks(access) != request->marks[i];
	return true;
}

/* Rights have changed since they were asked for: from the beginning. */
static void
start_over(struct subscribing *request)
{
	filter_release(&request->filter);
	for (unsigned i = 0; i < request->npolicies; i++)
		policy_unref(request->policies[i]);
	memory_free(request->policies);
	request->policies = NULL;
	request->npolicies = 0;
	request->needs_evaluation = request->is_ready = false;
	request->worker = request->session->worker;
	ask_afresh(request);
}

/* The request is complete; it waits for a read that is under way. */
static void
ready(struct subscribing *request)
{
	request->is_ready = true;
	subscribing_read_ended(request->session);
}

void
subscribing_read_ended(struct session *session)
{
	struct subscribing *request = session->subscribing;

	if (request == NULL || !request->is_ready)
		return;
	if (request->needs_evaluation && session->worker->evaluator == NULL)
		(void) session_move(session);
	if (session->told != NULL)
		return;					/* what begins before the position that was told would be taken for told, too */
	if (session->worker->is_inside
		|| (request->needs_evaluation && (session->worker->evaluator == NULL
										  || evaluator_must_wait(session->worker->evaluator))))
	{
		worker_touch(session->worker, session);	/* looked at when the read has ended */
		return;
	}
	if (request->role != session->role || is_outdated(request, session->worker->access))
	{
		start_over(request);
		return;
	}
	request->worker = session->worker;
	settle(request);
}

/* In the worker's thread: PostgreSQL has converted the constants, or has not. */
static void
conversions_arrived(void *arg)
{
	struct subscribing *request = arg;

	if (request->session == NULL)
	{
		request_free(request);
		return;
	}
	request->nconversions = 0;
	if (request->outcome == DB_DONE)
		ask_policies(request);
	else if (request->outcome == DB_FAILED && strncmp(request->sqlstate, "22", 2) == 0)
		request_fail(request, CODE_BAD_REQUEST,
					 "a filter's value cannot be converted to its column's type");
	else if (request->outcome == DB_FAILED)
		request_fail(request, CODE_INTERNAL, "a filter's value could not be converted");
	else
		request_fail(request, CODE_UNAVAILABLE, "the database cannot be asked now");
}

/* In the pool's thread: the row of converted constants, an object with members 0, 1, … */
static void
conversions_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct subscribing *request = arg;
	struct row	row = {0, 0, NULL, NULL};
	struct buffer scratch;

	(void) step;
	(void) nfields;
	buffer_init(&scratch);
	if (row_read(&row, fields[0]) && row.n == request->nconversions)
		for (unsigned i = 0; i < row.n; i++)
		{
			struct filter_term *term = &request->filter.terms[request->conversions[i].term];
			struct slice key = filter_value_key(term->type, row.values[i], &scratch);
			struct slice *to = &term->keys[request->conversions[i].key];

			memory_free((char *) to->at);
			to->at = memory_copy_string(key.at, key.len);
			to->len = key.len;
		}
	buffer_release(&scratch);
	row_release(&row);
}

static void
conversions_done(void *arg, const struct db_error *error)
{
	struct subscribing *request = arg;

	request->outcome = error->outcome;
	snprintf(request->sqlstate, sizeof(request->sqlstate), "%s",
			 error->outcome == DB_FAILED ? error->sqlstate : "");
	loop_post(request->worker->loop, conversions_arrived, request);
}

/* Asks PostgreSQL to convert the constants that need it. */
static void
convert(struct subscribing *request, const struct entity_access *entity)
{
	const char **params = memory_alloc(sizeof(char *) * request->nconversions);
	struct buffer sql;
	struct db_statement statement = {NULL, request->nconversions, params};

	buffer_init(&sql);
	buffer_puts(&sql, "SELECT realtime.row_json(r) FROM (SELECT ");
	for (unsigned i = 0; i < request->nconversions; i++)
	{
		const struct conversion *one = &request->conversions[i];
		const struct message_term *term = &request->message.terms[one->term];
		const struct access_column *column = entity_access_column(entity, term->column);
		char		text[40];

		params[i] = term->values[one->key].text;
		snprintf(text, sizeof(text), "%s$%u::", i ? ", " : "", i + 1);
		buffer_puts(&sql, text);
		buffer_puts(&sql, column->type_name);
		snprintf(text, sizeof(text), " AS \"%u\"", i);
		buffer_puts(&sql, text);
	}
	buffer_puts(&sql, ") r");
	statement.sql = buffer_take(&sql);
	db_submit(request->worker->shared->db, DB_SHORT, &statement, 1, conversions_row, conversions_done, request);
	memory_free((char *) statement.sql);
	memory_free(params);
}

/* The key of one constant, or a conversion to be asked for. */
static const char *
prepare_value(struct subscribing *request, unsigned t, unsigned k)
{
	struct filter_term *term = &request->filter.terms[t];
	const struct message_value *value = &request->message.terms[t].values[k];
	struct buffer key;
	int			result;

	buffer_init(&key);
	if (term->op == OPERATOR_LIKE || term->op == OPERATOR_ILIKE)
	{
		struct slice pattern = {value->text, strlen(value->text)};

		if (!filter_is_pattern(pattern))
			return "a pattern must not end with a backslash";
		buffer_put_slice(&key, pattern);
		result = 1;
	}
	else
		result = filter_constant_key(term->type, value, &key);
	if (result < 0)
	{
		buffer_release(&key);
		return "a filter's value cannot be converted to its column's type";
	}
	if (result == 0)
	{
		request->conversions = memory_resize(request->conversions, sizeof(struct conversion)
											 * (request->nconversions + 1));
		request->conversions[request->nconversions].term = t;
		request->conversions[request->nconversions++].key = k;
	}
	term->keys[k].len = key.len;
	term->keys[k].at = buffer_take(&key);
	return NULL;
}

static const char no_column[] = "there is no such column";

/* Whether all columns named exist and may be read; else the error's code and text. */
static const char *
check_column(const struct entity_access *entity, const char *name, const char **why)
{
	const struct access_column *column = entity_access_column(entity, name);

	if (column == NULL)
	{
		*why = no_column;
		return CODE_BAD_REQUEST;
	}
	*why = "the role may not read a column that is named";
	return column->is_readable ? NULL : CODE_FORBIDDEN;
}

/* Makes the filter; the error's code, or NULL. */
static const char *
prepare_filter(struct subscribing *request, const struct entity_access *entity, const char **why)
{
	const struct message *message = &request->message;

	request->filter.terms = memory_alloc_zeroed(sizeof(struct filter_term) * message->nterms);
	for (unsigned t = 0; t < message->nterms; t++)
	{
		const struct message_term *from = &message->terms[t];
		struct filter_term *term = &request->filter.terms[t];
		const char *code = check_column(entity, from->column, why);
		const struct access_column *column = entity_access_column(entity, from->column);

		if (code != NULL)
			return code;
		request->filter.nterms++;
		term->op = from->op;
		term->is_negated = from->is_negated;
		term->type = column->type;
		term->column.at = memory_copy_string(column->json_name.at, column->json_name.len);
		term->column.len = column->json_name.len;
		*why = filter_check_operator(term->op, term->type);
		if (*why != NULL)
			return CODE_BAD_REQUEST;
		term->keys = from->nvalues ? memory_alloc_zeroed(sizeof(struct slice) * from->nvalues) : NULL;
		term->nkeys = from->nvalues;
		for (unsigned k = 0; k < from->nvalues; k++)
			if ((*why = prepare_value(request, t, k)) != NULL)
				return CODE_BAD_REQUEST;
	}
	return NULL;
}

/* What the message asks of one entity; the error's code, or NULL. */
static const char *
check_entity(struct subscribing *request, const struct entity_access *entity, const char **why)
{
	const struct message *message = &request->message;
	const char *code;

	if (!entity->is_table && (message->nterms > 0 || message->has_columns || message->wants_snapshot))
	{
		*why = "filter, columns and snapshot need a table; this is a topic";
		return CODE_BAD_REQUEST;
	}
	for (unsigned i = 0; i < message->ncolumns; i++)
		if ((code = check_column(entity, message->columns[i], why)) != NULL)
			return code;
	for (unsigned i = 0; i < message->norder; i++)
		if ((code = check_column(entity, message->order[i].column, why)) != NULL)
			return code;
	return message->nterms > 0 ? prepare_filter(request, entity, why) : NULL;
}

/* What the role may see has been loaded anew: once more. */
static void
fresh_arrived(void *arg, struct role_access *role)
{
	struct subscribing *request = arg;

	if (role == NULL)
	{
		request_fail(request, CODE_UNAVAILABLE, "the database cannot be asked now");
		return;
	}
	role_access_ref(role);
	role_access_unref(request->session->role);
	request->session->role = role;
	resolve(request);
}

/* Rights are asked for now. */
static void
note_marks(struct subscribing *request)
{
	request->accesses[0] = request->worker->access;
	request->accesses[1] = request->worker->companion->access;
	for (int i = 0; i < 2; i++)
		request->marks[i] = access_marks(request->accesses[i]);
}

/* Looks up what the role may see anew: the grant or the registration may be seconds old. */
static void
ask_afresh(struct subscribing *request)
{
	request->is_fresh = true;
	note_marks(request);
	access_request(request->worker->access, request->session->role->role, true, fresh_arrived,
				   request);
}

/* Whether anything registered has the name beside a wildcard. */
static bool
is_known(const struct role_access *role, const char *feature, const char *entity)
{
	if (feature == NULL && entity == NULL)
		return true;
	for (unsigned i = 0; i < role->nentities; i++)
		if ((feature == NULL || strcmp(role->entities[i].feature, feature) == 0)
			&& (entity == NULL || strcmp(role->entities[i].entity, entity) == 0))
			return true;
	return false;
}

/* Finds the entity and what is asked of it. */
static void
resolve(struct subscribing *request)
{
	const struct message *message = &request->message;
	struct session *session = request->session;
	struct slice feature;
	struct slice name;
	const struct entity_access *entity;
	const char *code;
	const char *why;

	role_access_unref(request->role);
	request->role = role_access_ref(session->role);
	if (message->feature == NULL || message->entity == NULL)
	{
		if (is_known(session->role, message->feature, message->entity))
			ask_policies(request);
		else if (!request->is_fresh)
			ask_afresh(request);
		else
			request_fail(request, CODE_UNKNOWN_ENTITY, "nothing of this name is registered");
		return;
	}
	feature.at = message->feature;
	feature.len = strlen(feature.at);
	name.at = message->entity;
	name.len = strlen(name.at);
	entity = role_access_find(session->role, feature, name);
	if ((entity == NULL || !entity->can_read) && !request->is_fresh)
	{
		ask_afresh(request);
		return;
	}
	if (entity == NULL)
	{
		request_fail(request, CODE_UNKNOWN_ENTITY, "no such feature and entity is registered");
		return;
	}
	if (!entity->can_read)
	{
		request_fail(request, CODE_FORBIDDEN, "the role may not read this entity");
		return;
	}
	code = check_entity(request, entity, &why);
	if (code != NULL && !request->is_fresh && (why == no_column || strcmp(code, CODE_FORBIDDEN) == 0))
	{
		filter_release(&request->filter);
		request->nconversions = 0;
		ask_afresh(request);
	}
	else if (code != NULL)
		request_fail(request, code, why);
	else if (request->nconversions > 0)
		convert(request, entity);
	else
		ask_policies(request);
}

void
session_subscribe(struct session *session, struct message *message)
{
	struct subscribing *request;

	if (session->nsubscriptions >= session->worker->options->max_subscriptions)
	{
		session_error(session, message->ref, CODE_TOO_MANY_SUBSCRIPTIONS,
					  "the session has as many subscriptions as it may", NULL);
		protocol_release(message);
		return;
	}
	request = memory_alloc_zeroed(sizeof(*request));
	request->session = session;
	request->worker = session->worker;
	request->message = *message;
	session->subscribing = request;
	session->is_busy = true;
	if (message->since != NULL
		&& position_parse(&request->since, message->since, strlen(message->since)) < 0)
	{
		memset(&request->since, 0, sizeof(request->since));
		request_fail(request, CODE_BAD_POSITION, "since is not a position");
		return;
	}
	note_marks(request);
	/* What is registered beside a wildcard must be known by now: nothing else tells that some is missing. */
	if (!access_is_current(request->worker->access, session->role) || message->feature == NULL
		|| message->entity == NULL)
	{
		ask_afresh(request);
		return;
	}
	resolve(request);
}
