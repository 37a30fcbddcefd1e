/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * evaluator.c
 *	  See evaluator.h.
 *
 * Jobs cross to the pool's thread with copies of all they need, and come back with verdicts as text; groups
 * that end meanwhile are found missing by their key.
 */
#include "evaluator.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "recheck.h"
#include "session_state.h"
#include "stats.h"

#define ROUND_IMAGES 500		/* a round takes batches until it has so many */
#define JOB_IMAGES 500			/* of one statement */
#define JOB_GROUPS 100
#define QUEUE_BYTES (32 * 1024 * 1024)
#define RETRY_MS 200			/* when the database cannot be asked */

/* What waits: a batch, or a replay. */
struct item
{
	struct item *next;
	struct batch *batch;
	evaluator_fn chunks;
	evaluator_fn run;
	void	   *arg;
};

struct evaluator
{
	struct worker *worker;
	struct eval_registry registry;
	struct item *first;
	struct item **last;
	size_t		bytes;			/* of the batches that wait */

	/* the round */
	struct item *round;			/* its items, in order */
	struct chunk **chunks;		/* of a replay */
	unsigned	nchunks;
	unsigned	room;
	unsigned	ordinal;
	unsigned	nimages;
	unsigned	jobs;			/* under way */
	bool		is_busy;
	bool		is_starting;
	bool		has_waiting;	/* somebody waits for the round to end */
	bool		is_freed;
};

/* One statement: some groups of an entity and role, some images. */
struct job
{
	struct evaluator *evaluator;
	struct loop_timer *retry;
	unsigned	ngroups;
	char	  **keys;
	char	   *feature;
	char	   *entity;
	char	   *relation;
	char	   *role;
	char	   *claims;			/* array literal */
	char	   *images;			/* array literal */
	unsigned	first_image;
	unsigned	nimages;
	char	   *verdicts;		/* text of the answer */
	enum db_outcome outcome;
};

static void start_round(struct evaluator *evaluator);
static void submit(struct job *job);

struct evaluator *
evaluator_new(struct worker *worker)
{
	struct evaluator *evaluator = memory_alloc_zeroed(sizeof(*evaluator));

	evaluator->worker = worker;
	evaluator->last = &evaluator->first;
	return evaluator;
}

struct eval_registry *
evaluator_registry(struct evaluator *evaluator)
{
	return &evaluator->registry;
}

bool
evaluator_must_wait(struct evaluator *evaluator)
{
	evaluator->has_waiting |= evaluator->is_busy;
	return evaluator->is_busy;
}

static void
item_free(struct item *item)
{
	if (item->batch != NULL)
		batch_unref(item->batch);
	memory_free(item);
}

static void
drop_round(struct evaluator *evaluator)
{
	for (unsigned i = 0; i < evaluator->nchunks; i++)
		chunk_unref(evaluator->chunks[i]);
	evaluator->nchunks = 0;
	while (evaluator->round != NULL)
	{
		struct item *next = evaluator->round->next;

		item_free(evaluator->round);
		evaluator->round = next;
	}
}

static void
free_if_unused(struct evaluator *evaluator)
{
	if (!evaluator->is_freed || evaluator->jobs > 0)
		return;
	drop_round(evaluator);
	memory_free(evaluator->chunks);
	memory_free(evaluator);
}

void
evaluator_free(struct evaluator *evaluator)
{
	if (evaluator == NULL)
		return;
	while (evaluator->first != NULL)
	{
		struct item *next = evaluator->first->next;

		item_free(evaluator->first);
		evaluator->first = next;
	}
	eval_registry_release(&evaluator->registry);
	evaluator->is_freed = true;
	free_if_unused(evaluator);
}

/* Appends text as an element of an array literal. */
static void
put_element(struct buffer *out, struct slice text)
{
	buffer_puts(out, out->len > 0 ? ",\"" : "{\"");
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.at[i] == '"' || text.at[i] == '\\')
			buffer_put(out, "\\", 1);
		buffer_put(out, &text.at[i], 1);
	}
	buffer_puts(out, "\"");
}

/* Appends an update's old image: its data with the old values over it. */
static void
put_old_image(struct buffer *out, const struct event *event)
{
	struct row	row = {0, 0, NULL, NULL};
	struct row	old = {0, 0, NULL, NULL};
	struct buffer json;

	buffer_init(&json);
	row_read(&row, event->data);
	if (row_read(&old, event->old))
		row_overlay(&row, &old);
	buffer_puts(&json, "{");
	for (unsigned i = 0; i < row.n; i++)
	{
		buffer_puts(&json, i ? ",\"" : "\"");
		buffer_put_slice(&json, row.names[i]);
		buffer_puts(&json, "\":");
		buffer_put_slice(&json, row.values[i]);
	}
	buffer_puts(&json, "}");
	put_element(out, buffer_slice(&json));
	buffer_release(&json);
	row_release(&row);
	row_release(&old);
}

/* Adds the images of an event. Marks the groups that may see one of them. */
static void
add_images(struct evaluator *evaluator, struct eval_entity *entity, const struct event *event)
{
	struct eval_event *to;

	if (entity->nevents == entity->room)
	{
		entity->room = entity->room ? entity->room * 2 : 16;
		entity->events = memory_resize(entity->events, sizeof(struct eval_event) * entity->room);
	}
	to = &entity->events[entity->nevents++];
	to->ordinal = evaluator->ordinal;
	to->new_image = to->old_image = EVAL_NO_IMAGE;
	if (event_has_image(event, EVENT_IMAGE_NEW))
	{
		to->new_image = entity->nimages++;
		put_element(&entity->images, event->data);
	}
	if (event->kind == EVENT_DELETED)
	{
		to->old_image = entity->nimages++;
		put_element(&entity->images, event->data);
	}
	else if (event->kind == EVENT_UPDATED)
	{
		to->old_image = entity->nimages++;
		put_old_image(&entity->images, event);
	}
	evaluator->nimages += event->kind == EVENT_UPDATED ? 2 : 1;
}

/* Marks the groups whose necessary conditions one of an event's images fulfils. */
static void
mark_groups(struct eval_entity *entity, const struct event *event)
{
	struct row	row = {0, 0, NULL, NULL};
	struct row	old = {0, 0, NULL, NULL};
	struct buffer scratch;
	bool		has_old;

	buffer_init(&scratch);
	row_read(&row, event->data);
	has_old = event->kind == EVENT_UPDATED && row_read(&old, event->old);
	if (has_old)
	{
		struct row	image = {0, 0, NULL, NULL};

		row_copy(&image, &row);
		row_overlay(&image, &old);
		row_release(&old);
		old = image;
	}
	for (struct eval_group *group = entity->groups; group != NULL; group = group->next)
		if (!group->is_wanted)
			group->is_wanted = group->policy->nfilters == 0
				|| policy_match(group->policy, &row, &scratch) != FILTER_NO
				|| (has_old && policy_match(group->policy, &old, &scratch) != FILTER_NO);
	buffer_release(&scratch);
	row_release(&row);
	row_release(&old);
}

/* Adds what an event has to be evaluated. */
static void
collect_event(struct evaluator *evaluator, const struct event *event)
{
	struct eval_entity *entity;

	if (!event_has_image(event, EVENT_IMAGE_NEW) && event->kind != EVENT_DELETED)
		return;
	entity = eval_registry_find(&evaluator->registry, event->feature, event->entity);
	if (entity == NULL)
		return;
	add_images(evaluator, entity, event);
	mark_groups(entity, event);
}

/* Adds what a chunk has to be evaluated. */
static void
collect(struct evaluator *evaluator, const struct chunk *chunk)
{
	for (unsigned i = 0; i < chunk->nevents; i++, evaluator->ordinal++)
		collect_event(evaluator, &chunk->events[i]);
}

void
evaluator_add_chunk(struct evaluator *evaluator, struct chunk *chunk)
{
	if (evaluator->nchunks == evaluator->room)
	{
		evaluator->room = evaluator->room ? evaluator->room * 2 : 64;
		evaluator->chunks = memory_resize(evaluator->chunks,
										  sizeof(struct chunk *) * evaluator->room);
	}
	evaluator->chunks[evaluator->nchunks++] = chunk_ref(chunk);
	collect(evaluator, chunk);
}

static void
job_free(struct job *job)
{
	for (unsigned i = 0; i < job->ngroups; i++)
		memory_free(job->keys[i]);
	memory_free(job->keys);
	memory_free(job->feature);
	memory_free(job->entity);
	memory_free(job->relation);
	memory_free(job->role);
	memory_free(job->claims);
	memory_free(job->images);
	memory_free(job->verdicts);
	loop_timer_free(job->retry);
	memory_free(job);
}

static struct eval_group *
find_group(struct evaluator *evaluator, const char *key)
{
	struct eval_group *group;

	HASH_FIND_STR(evaluator->registry.groups, key, group);
	return group;
}

/* The views of a failed group end. */
static void
end_group(struct evaluator *evaluator, struct eval_group *group)
{
	for (struct session *session = evaluator->worker->sessions; session != NULL;
		 session = session->next)
	{
		struct subscription *next;

		for (struct subscription *s = session->subscriptions; s != NULL; s = next)
		{
			bool		is_of_group = false;

			next = s->next;
			for (unsigned i = 0; i < s->view->npolicies && !is_of_group; i++)
				is_of_group = s->view->groups != NULL && s->view->groups[i] == group;
			if (!is_of_group)
				continue;
			session_fail_subscription(session, s, CODE_INTERNAL,
									  "a policy of the table failed or took too long");
		}
	}
}

/* Reads the verdicts of a job: one row of booleans per group, in one or two dimensions. */
static void
read_verdicts(struct evaluator *evaluator, const struct job *job)
{
	const char *at = job->verdicts;

	for (unsigned g = 0; g < job->ngroups; g++)
	{
		struct eval_group *group = find_group(evaluator, job->keys[g]);

		if (group != NULL && group->verdicts == NULL)
			group->verdicts = memory_alloc_zeroed(group->entity->nimages + 1);
		for (unsigned i = 0; i < job->nimages; i++)
		{
			while (*at == '{' || *at == '}' || *at == ',')
				at++;
			if (group != NULL && *at != '\0')
				group->verdicts[job->first_image + i] = (unsigned char)
					(*at == 't' ? VERDICT_YES : *at == 'f' ? VERDICT_NO : VERDICT_OMITTED);
			while (*at != '\0' && *at != ',' && *at != '}')
				at++;
		}
	}
}

/* Between two rounds: who waits may join a group. */
static void
settle_waiting(struct evaluator *evaluator)
{
	struct session *next;

	if (!evaluator->has_waiting)
		return;
	evaluator->has_waiting = false;
	for (struct session *session = evaluator->worker->sessions; session != NULL; session = next)
	{
		struct subscription *following;

		next = session->next;
		for (struct subscription *s = session->subscriptions; s != NULL; s = following)
		{
			following = s->next;
			recheck_round_ended(s);
		}
		subscribing_read_ended(session);
	}
}

/* All verdicts are there: failed groups end, then the worker takes the round. */
static void
finish_round(struct evaluator *evaluator)
{
	struct worker *worker = evaluator->worker;
	struct eval_group *group;
	struct eval_group *next;
	struct item *item = evaluator->round;

	/* Ending a view may free its group: start again after each. */
	for (bool is_found = true; is_found;)
	{
		is_found = false;
		HASH_ITER(hh, evaluator->registry.groups, group, next)
			if (group->is_failed)
			{
				group->refs++;
				end_group(evaluator, group);
				group->is_failed = false;
				eval_group_leave(group);
				is_found = true;
				break;
			}
	}
	hub_stream_renumber(worker->live);
	for (; item != NULL; item = item->next)
	{
		if (item->batch != NULL)
			worker_batch(worker, item->batch);
		else
			item->run(item->arg);
	}
	drop_round(evaluator);
	eval_registry_clear(&evaluator->registry);
	evaluator->is_busy = false;
	settle_waiting(evaluator);
	worker_flush(worker);
	start_round(evaluator);
}

/* A job is over, one way or the other. */
static void
job_ended(struct job *job)
{
	struct evaluator *evaluator = job->evaluator;

	job_free(job);
	if (--evaluator->jobs > 0)
		return;
	if (evaluator->is_freed)
		free_if_unused(evaluator);
	else if (!evaluator->is_starting)
		finish_round(evaluator);
}

/* A job for one group of another that failed. */
static struct job *
split_job(const struct job *from, unsigned g)
{
	struct job *job = memory_alloc_zeroed(sizeof(*job));
	struct eval_group *group = find_group(from->evaluator, from->keys[g]);
	struct buffer claims;

	buffer_init(&claims);
	put_element(&claims, (struct slice) {group->claims, strlen(group->claims)});
	buffer_puts(&claims, "}");
	job->evaluator = from->evaluator;
	job->ngroups = 1;
	job->keys = memory_alloc(sizeof(char *));
	job->keys[0] = memory_copy_string(from->keys[g], strlen(from->keys[g]));
	job->feature = memory_copy_string(from->feature, strlen(from->feature));
	job->entity = memory_copy_string(from->entity, strlen(from->entity));
	job->relation = memory_copy_string(from->relation, strlen(from->relation));
	job->role = memory_copy_string(from->role, strlen(from->role));
	job->claims = buffer_take(&claims);
	job->images = memory_copy_string(from->images, strlen(from->images));
	job->first_image = from->first_image;
	job->nimages = from->nimages;
	return job;
}

static void
retry(void *arg)
{
	submit(arg);
}

/* In the worker's thread: a job's answer. */
static void
job_arrived(void *arg)
{
	struct job *job = arg;
	struct evaluator *evaluator = job->evaluator;

	if (evaluator->is_freed)
	{
		job_ended(job);
		return;
	}
	if (job->outcome == DB_DONE && job->verdicts != NULL)
		read_verdicts(evaluator, job);
	else if (job->outcome == DB_FAILED && job->ngroups > 1)
	{
		for (unsigned g = 0; g < job->ngroups; g++)
			if (find_group(evaluator, job->keys[g]) != NULL)
			{
				evaluator->jobs++;
				submit(split_job(job, g));
			}
	}
	else if (job->outcome == DB_UNAVAILABLE)
	{
		if (job->retry == NULL)
			job->retry = loop_timer_new(evaluator->worker->loop, retry, job);
		loop_timer_start(job->retry, RETRY_MS);
		return;
	}
	else
	{
		struct eval_group *group = find_group(evaluator, job->keys[0]);

		if (group != NULL)
			group->is_failed = true;
	}
	job_ended(job);
}

static void
job_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct job *job = arg;

	(void) nfields;
	if (step == 2 && fields[0].at != NULL)
		job->verdicts = memory_copy_string(fields[0].at, fields[0].len);
}

/* PostgreSQL's message may quote the row: the server's log has it, ours says which policy. */
static void
job_done(void *arg, const struct db_error *error)
{
	struct job *job = arg;

	job->outcome = error->outcome;
	if (error->outcome == DB_FAILED && job->ngroups == 1)
		log_write(LOG_LEVEL_ERROR, "policy_failed", "feature=%s entity=%s role=%s sqlstate=%s",
				  job->feature, job->entity, job->role, error->sqlstate);
	loop_post(job->evaluator->worker->loop, job_arrived, job);
}

static void
submit(struct job *job)
{
	char		timeout[16];
	const char *timeout_params[] = {timeout};
	const char *params[] = {job->relation, job->role, job->claims, job->images};
	const struct db_statement statements[] = {
		{"BEGIN READ ONLY", 0, NULL},
		{"SELECT pg_catalog.set_config('statement_timeout', $1, true)", 1, timeout_params},
		{"SELECT realtime.visible_images($1::regclass, $2::name, $3::text[], $4::json[])", 4, params},
		{"COMMIT", 0, NULL},
	};

	snprintf(timeout, sizeof(timeout), "%u", job->evaluator->worker->options->policy_timeout_ms);
	job->outcome = DB_CANCELLED;
	memory_free(job->verdicts);
	job->verdicts = NULL;
	db_submit(job->evaluator->worker->shared->db, DB_SHORT, statements, 4, job_row, job_done, job);
}

/* The images first..first+n of an entity as an array literal. */
static char *
slice_images(const struct eval_entity *entity, unsigned first, unsigned n)
{
	struct buffer out;
	const char *at = entity->images.at + 1;
	const char *end = entity->images.at + entity->images.len;
	unsigned	number = 0;

	buffer_init(&out);
	buffer_puts(&out, "{");
	while (at < end && number < first + n)
	{
		const char *from = at++;	/* at the opening quote */

		while (*at != '"')
			at += *at == '\\' ? 2 : 1;
		at++;
		if (number >= first)
		{
			if (out.len > 1)
				buffer_puts(&out, ",");
			buffer_put(&out, from, (size_t) (at - from));
		}
		at++;					/* the comma */
		number++;
	}
	buffer_puts(&out, "}");
	return buffer_take(&out);
}

/* One job per images and groups: from this group on, those of the same role, up to the limit. */
static struct eval_group *
make_jobs(struct evaluator *evaluator, struct eval_entity *entity, struct eval_group *first)
{
	struct eval_group *group = first;
	struct buffer claims;
	char	  **keys = memory_alloc(sizeof(char *) * JOB_GROUPS);
	unsigned	n = 0;
	char	   *text;

	buffer_init(&claims);
	for (; group != NULL && n < JOB_GROUPS && strcmp(group->role, first->role) == 0;
		 group = group->next)
	{
		if (!group->is_wanted)
			continue;
		put_element(&claims, (struct slice) {group->claims, strlen(group->claims)});
		keys[n++] = group->key;
	}
	buffer_puts(&claims, "}");
	text = buffer_take(&claims);
	for (unsigned image = 0; n > 0 && image < entity->nimages; image += JOB_IMAGES)
	{
		struct job *job = memory_alloc_zeroed(sizeof(*job));

		job->evaluator = evaluator;
		job->ngroups = n;
		job->keys = memory_alloc(sizeof(char *) * n);
		for (unsigned i = 0; i < n; i++)
			job->keys[i] = memory_copy_string(keys[i], strlen(keys[i]));
		job->feature = memory_copy_string(first->policy->feature, strlen(first->policy->feature));
		job->entity = memory_copy_string(first->policy->entity, strlen(first->policy->entity));
		job->relation = memory_copy_string(first->relation, strlen(first->relation));
		job->role = memory_copy_string(first->role, strlen(first->role));
		job->claims = memory_copy_string(text, strlen(text));
		job->first_image = image;
		job->nimages = entity->nimages - image < JOB_IMAGES ? entity->nimages - image : JOB_IMAGES;
		job->images = slice_images(entity, image, job->nimages);
		evaluator->jobs++;
		submit(job);
	}
	memory_free(text);
	memory_free(keys);
	return group;
}

/*
 * Views collect for one transaction at a time: while the live stream is inside one, replays go behind the next batch.
 * False: there is none.
 */
static bool
put_replays_off(struct evaluator *evaluator)
{
	struct item *replays = evaluator->first;
	struct item **end = &evaluator->first;

	if (replays == NULL || replays->batch != NULL || !hub_stream_is_inside(evaluator->worker->live))
		return true;
	while (*end != NULL && (*end)->batch == NULL)
		end = &(*end)->next;
	if (*end == NULL)
		return false;
	evaluator->first = *end;		/* the batch, the replays, the rest */
	*end = evaluator->first->next;
	evaluator->first->next = replays;
	if (evaluator->last == &evaluator->first->next || *end == NULL)
		evaluator->last = end;
	return true;
}

/* Takes what waits, up to a bound, and asks. */
static void
start_round(struct evaluator *evaluator)
{
	struct item **end = &evaluator->round;
	const struct event *row;
	struct eval_entity *entity;
	struct eval_entity *next;

	if (evaluator->is_busy || evaluator->first == NULL || !put_replays_off(evaluator))
		return;
	evaluator->is_busy = true;
	evaluator->is_starting = true;
	evaluator->ordinal = 0;
	evaluator->nimages = 0;
	/* What follows from a row change of the round before comes in this one. */
	row = evaluator->first->batch != NULL ? hub_stream_row(evaluator->worker->live) : NULL;
	if (row != NULL)
	{
		collect_event(evaluator, row);
		evaluator->ordinal++;
	}
	while (evaluator->first != NULL && evaluator->nimages < ROUND_IMAGES)
	{
		struct item *item = evaluator->first;

		if (item->batch == NULL && evaluator->round != NULL)
			break;				/* a replay is a round of its own */
		evaluator->first = item->next;
		if (evaluator->first == NULL)
			evaluator->last = &evaluator->first;
		item->next = NULL;
		*end = item;
		end = &item->next;
		if (item->batch == NULL)
		{
			item->chunks(item->arg);
			break;
		}
		evaluator->bytes -= batch_memory(item->batch);
		for (unsigned i = 0; i < item->batch->nchunks; i++)
			collect(evaluator, item->batch->chunks[i]);
		if (item->batch->is_end && evaluator->has_waiting)
			break;				/* a subscription begins between reads */
	}
	HASH_ITER(hh, evaluator->registry.entities, entity, next)
	{
		struct eval_group *group = entity->groups;

		if (entity->nimages == 0)
			continue;
		while (group != NULL)
			group = make_jobs(evaluator, entity, group);
	}
	evaluator->is_starting = false;
	if (evaluator->jobs == 0)
	{
		finish_round(evaluator);
		return;
	}
	stats_add(STAT_POLICY_ROUNDS, 1);
	stats_add(STAT_POLICY_IMAGES, evaluator->nimages);
}

/* Adds to the queue, and starts when nothing is under way. */
static void
enqueue(struct evaluator *evaluator, struct item *item)
{
	*evaluator->last = item;
	evaluator->last = &item->next;
	if (!evaluator->is_busy)
		start_round(evaluator);
}

/* Too much waits: batches are dropped, and the stream starts anew behind them. Replays stay. */
static struct batch *
drop_waiting(struct evaluator *evaluator, struct batch *batch)
{
	struct item **end = &evaluator->first;

	log_write(LOG_LEVEL_WARNING, "evaluator_behind", "bytes=%zu", evaluator->bytes);
	while (*end != NULL)
	{
		struct item *item = *end;

		if (item->batch == NULL)
		{
			end = &item->next;
			continue;
		}
		*end = item->next;
		item_free(item);
	}
	evaluator->last = end;
	evaluator->bytes = 0;
	return batch_new(NULL, 0, batch->position_text, "slow");
}

void
evaluator_batch(struct evaluator *evaluator, struct batch *batch)
{
	struct item *item = memory_alloc_zeroed(sizeof(*item));

	if (evaluator->bytes > QUEUE_BYTES && batch->is_end)
		item->batch = drop_waiting(evaluator, batch);
	else
		item->batch = batch_ref(batch);
	evaluator->bytes += batch_memory(item->batch);
	enqueue(evaluator, item);
}

void
evaluator_replay(struct evaluator *evaluator, evaluator_fn chunks, evaluator_fn run,
				 void *arg)
{
	struct item *item = memory_alloc_zeroed(sizeof(*item));

	item->chunks = chunks;
	item->run = run;
	item->arg = arg;
	enqueue(evaluator, item);
}
