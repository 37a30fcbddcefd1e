/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * test_hub.c
 *	  From events to views: test/vectors/edges.json, and random views and events against a simple model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub.h"
#include "memory.h"
#include "readers.h"
#include "vectors.h"

#define META(seq) ",\"meta\":{\"timestamp\":\"2026-11-22T19:00:00.123456Z\",\"tx\":\"8123\",\"seq\":" #seq \
	",\"userId\":\"u42\",\"sessionId\":null,\"priority\":\"normal\"}}"

/*
 * The vectors
 */

/* Instants that a client writes with Z stand with their offset in rows. */
static json_t *
canonical_filter(const json_t *filter)
{
	json_t	   *copy = json_deep_copy(filter);
	json_t	   *term;
	size_t		i;

	json_array_foreach(copy, i, term)
	{
		const char *text = json_string_value(json_array_get(term, 2));
		char		instant[64];

		if (text == NULL || strlen(text) != 20 || text[19] != 'Z')
			continue;
		snprintf(instant, sizeof(instant), "%.19s+00:00", text);
		json_array_set_new(term, 2, json_string(instant));
	}
	return copy;
}

/* What a view of a case must have got. */
static void
check_view(const json_t *one, const json_t *view, const struct reader *reader, const char *how)
{
	const json_t *edges = json_object_get(view, "edges");
	const json_t *sent = json_object_get(view, "sent");
	const char *gap = json_string_value(json_object_get(view, "gap"));
	json_t	   *expected = json_array();
	json_t	   *got = json_array();
	json_t	   *item;
	size_t		i;

	json_array_foreach(edges, i, item)
		if (!json_is_null(item))
			json_array_append(expected, item);
	json_array_foreach(reader->events, i, item)
		json_array_append(got, json_object_get(item, "action"));
	if (!json_equal(expected, got))
		fail_msg("%s (%s): %s got %s", json_string_value(json_object_get(one, "name")), how,
				 json_dumps(view, 0), json_dumps(got, 0));
	if (sent != NULL && !json_equal(sent, reader->events))
		fail_msg("%s (%s): sent %s, not %s", json_string_value(json_object_get(one, "name")), how,
				 json_dumps(reader->events, 0), json_dumps(sent, 0));
	if (reader->ngaps > 1 || (gap == NULL) != (reader->gap == NULL)
		|| (gap != NULL && strcmp(gap, reader->gap) != 0))
		fail_msg("%s (%s): %s got gap %s", json_string_value(json_object_get(one, "name")), how,
				 json_dumps(view, 0), reader->gap ? reader->gap : "none");
	json_decref(expected);
	json_decref(got);
}

/* The role that may read these columns; made when it is not among the n roles. */
static struct role_access *
get_role(struct role_access **roles, unsigned *n, const json_t *one, const json_t *readable)
{
	char	   *name = json_dumps(readable, JSON_ENCODE_ANY);
	struct role_access *role = NULL;

	for (unsigned i = 0; i < *n; i++)
		if (strcmp(roles[i]->role, name) == 0)
			role = roles[i];
	if (role == NULL)
	{
		role = roles[(*n)++] = role_new(name);
		role_add(role, "orders", "order", json_object_get(one, "types"), json_object_get(one, "key"),
				 json_string_value(json_object_get(one, "status_column")), readable);
	}
	free(name);
	return role;
}

static void
check_case(const json_t *one)
{
	const json_t *views = json_object_get(one, "views");
	const json_t *events = json_object_get(one, "events");
	size_t		n = json_array_size(views);
	struct reader **readers = memory_alloc(sizeof(struct reader *) * n);
	struct role_access *roles[32];
	unsigned	nroles = 0;
	struct hub *hub = hub_new(reader_user);
	struct hub_stream *live = hub_stream_new(hub, reader_deliver, NULL);
	struct hub_stream *replay = hub_replay_new(hub, reader_deliver_all, reader_deliver_own, NULL);

	for (size_t i = 0; i < n; i++)
	{
		const json_t *view = json_array_get(views, i);
		json_t	   *filter = canonical_filter(json_object_get(view, "filter"));
		struct wish wish = {
			get_role(roles, &nroles, one, json_object_get(view, "readable")), "orders", "order", filter,
			json_object_get(view, "actions"), json_object_get(view, "columns")
		};

		readers[i] = reader_new(hub, &wish, json_string_value(json_object_get(view, "user")));
		json_decref(filter);
	}
	for (int pass = 0; pass < 4; pass++)
	{
		static const char *const names[] = {"whole", "in parts", "replayed", "replayed in parts"};

		for (size_t i = 0; i < n && pass == 2; i++)
			reader_resume(readers[i]);
		stream_events(pass < 2 ? live : replay, 8123, events, pass % 2);
		for (size_t i = 0; i < n; i++)
		{
			check_view(one, json_array_get(views, i), readers[i], names[pass]);
			reader_forget(readers[i]);
		}
	}
	hub_stream_free(live);
	hub_stream_free(replay);
	for (size_t i = 0; i < n; i++)
		reader_free(hub, readers[i]);
	assert_int_equal(hub_count_views(hub), 0);
	hub_free(hub);
	while (nroles > 0)
		role_access_unref(roles[--nroles]);
	memory_free(readers);
}

static void
test_vectors(void **state)
{
	json_t	   *file = vectors_load("edges.json");
	const json_t *one;
	size_t		i;

	(void) state;
	assert_true(json_array_size(json_object_get(file, "cases")) >= 25);
	json_array_foreach(json_object_get(file, "cases"), i, one)
		check_case(one);
	json_decref(file);
}

/*
 * A fixture with one role and a table orders.order of id, a, b (integers), c (text).
 */
struct fixture
{
	json_t	   *types;
	json_t	   *key;
	struct role_access *role;
	struct hub *hub;
	struct hub_stream *live;
};

static struct fixture
fixture_new(void)
{
	struct fixture f;

	f.types = vectors_text("{'id':'integer','a':'integer','b':'integer','c':'text'}");
	f.key = vectors_text("['id']");
	f.role = role_new("web");
	role_add(f.role, "orders", "order", f.types, f.key, "b", NULL);
	f.hub = hub_new(reader_user);
	f.live = hub_stream_new(f.hub, reader_deliver, NULL);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	hub_stream_free(f->live);
	assert_int_equal(hub_count_views(f->hub), 0);
	hub_free(f->hub);
	role_access_unref(f->role);
	json_decref(f->types);
	json_decref(f->key);
}

/* A reader of orders.order by a filter and actions as text. */
static struct reader *
fixture_read(struct fixture *f, const char *filter, const char *actions, const char *user)
{
	json_t	   *terms = vectors_text(filter);
	json_t	   *names = vectors_text(actions);
	struct wish wish = {f->role, "orders", "order", terms, names, NULL};
	struct reader *reader = reader_new(f->hub, &wish, user);

	json_decref(terms);
	json_decref(names);
	return reader;
}

/*
 * Random views and events
 */
#define NOTHING (-1)			/* a null */
#define OMITTED (-2)
#define COLUMNS 3				/* a, b, c */
#define VALUES 6
#define VIEWS 1500
#define TERMS 3

enum { CREATED, UPDATED, DELETED, STATUS_CHANGED, APPROVED, NOTE, TRUNCATED, BULK_UPDATED, NACTIONS, ENTERED = NACTIONS, LEFT, NNAMES };
static const char *const action_names[] = {"created", "updated", "deleted", "status_changed", "approved", "note",
	"truncated", "bulk_updated", "entered", "left"};

struct term
{
	unsigned	column;
	unsigned	op;				/* of ops[] */
	bool		is_negated;
	unsigned	nvalues;
	int			values[4];
};

struct random_view
{
	struct reader *reader;
	unsigned	nterms;
	struct term terms[TERMS];
	bool		lists_all;
	bool		lists[NNAMES];
	bool		is_suspended;	/* no subscription in it now */
	int			sum;			/* of the model: expected actions in this transaction, as text */
	char		expected[2000];
	const char *gap;
};

static const char *const ops[] = {"eq", "in", "neq", "lt", "gte", "is"};

/* One term of a row of the model: 1, 0, -1 unknown, -2 cannot be told. */
static int
model_term(const struct term *term, const int *row)
{
	int			value = row[term->column];
	bool		result = false;

	if (value == OMITTED)
		return -2;
	if (strcmp(ops[term->op], "is") == 0)
		return (value == NOTHING) != term->is_negated;
	if (value == NOTHING)
		return -1;
	for (unsigned i = 0; i < term->nvalues; i++)
		switch (ops[term->op][0])
		{
			case 'e':
			case 'i':
				result |= value == term->values[i];
				break;
			case 'n':
				result = value != term->values[0];
				break;
			case 'l':
				result = value < term->values[0];
				break;
			default:
				result = value >= term->values[0];
		}
	return result != term->is_negated;
}

/* Whether a row is in a view: 1, 0, -2. A custom event's missing member makes nothing true. */
static int
model_match(const struct random_view *view, const int *row, bool is_custom)
{
	int			result = 1;

	if (row == NULL)
		return view->nterms == 0 ? 1 : 0;
	for (unsigned i = 0; i < view->nterms; i++)
	{
		int			one = model_term(&view->terms[i], row);

		if (one == 0 || one == -1 || (one == -2 && is_custom))
			return 0;
		if (one == -2)
			result = -2;
	}
	return result;
}

static bool
model_lists(const struct random_view *view, unsigned action)
{
	return view->lists_all || view->lists[action]
		|| ((action == ENTERED || action == LEFT) && view->lists[UPDATED]);
}

/* What an event is to a view of the model: adds to expected and gap. */
static void
model_event(struct random_view *view, unsigned action, unsigned seq, const int *new_row,
			const int *old_row, bool is_derived_visible)
{
	int			edge = -1;
	int			is = model_match(view, new_row, action == NOTE);
	int			was = old_row ? model_match(view, old_row, false) : 0;

	switch (action)
	{
		case UPDATED:
			if (view->nterms == 0 || (is == 1 && was == 1))
				edge = UPDATED;
			else if (is == -2 || was == -2)
			{
				if (model_lists(view, ENTERED) || model_lists(view, LEFT))
					view->gap = "omitted";
			}
			else if (is != was)
				edge = is == 1 ? ENTERED : LEFT;
			break;
		case DELETED:
			is = was;
			/* fall through */
		case CREATED:
			if (is == -2 && model_lists(view, action))
				view->gap = "omitted";
			edge = is == 1 ? (int) action : -1;
			break;
		case STATUS_CHANGED:
		case APPROVED:
			if (!is_derived_visible)
				break;
			if (is == -2 && model_lists(view, action))
				view->gap = "omitted";
			edge = is == 1 ? (int) action : -1;
			break;
		case BULK_UPDATED:
			if (model_lists(view, BULK_UPDATED) ? view->nterms > 0
				: view->lists[UPDATED] || view->lists[ENTERED] || view->lists[LEFT]
				|| view->lists[STATUS_CHANGED] || view->lists[APPROVED] || view->lists[NOTE])
				view->gap = "bulk";
			edge = BULK_UPDATED;
			break;
		default:
			edge = action == TRUNCATED || is == 1 ? (int) action : -1;
	}
	if (edge >= 0 && model_lists(view, (unsigned) edge))
		sprintf(view->expected + strlen(view->expected), "%s:%u ", action_names[edge], seq);
}

/* A value of a column as JSON. */
static void
put_value(char *out, unsigned column, int value)
{
	static const char *const texts[] = {"\"\"", "\"x\\\"y\"", "\"\\u00e4\"", "\"\xc3\xb6\"", "\"tab\\t\"", "\"zz\""};

	if (value == NOTHING)
		strcat(out, "null");
	else if (column == 2)
		strcat(out, texts[value]);
	else
		sprintf(out + strlen(out), "%d", value);
}

/* The text of a row; only: those columns whose values differ from the other row's. */
static void
put_row(char *out, const int *row, const int *other)
{
	bool		is_first = true;

	strcat(out, other ? "{" : "{\"id\":17");
	is_first = other != NULL;
	for (unsigned c = 0; c < COLUMNS; c++)
	{
		if (row[c] == OMITTED || (other != NULL && row[c] == other[c]))
			continue;
		sprintf(out + strlen(out), "%s\"%c\":", is_first ? "" : ",", 'a' + c);
		put_value(out, c, row[c]);
		is_first = false;
	}
	strcat(out, "}");
}

static void
random_view(uint64_t *random, struct random_view *view, char *filter, char *actions)
{
	static const char *const texts[] = {"\"\"", "\"x\\\"y\"", "\"\\u00e4\"", "\"\xc3\xb6\"", "\"tab\\t\"", "\"zz\""};

	memset(view, 0, sizeof(*view));
	strcpy(filter, "[");
	view->nterms = random_below(random, TERMS + 1);
	for (unsigned t = 0; t < view->nterms; t++)
	{
		struct term *term = &view->terms[t];

		term->column = random_below(random, COLUMNS);
		term->op = random_below(random, 8);
		term->op = term->op > 5 ? 0 : term->op;
		if (term->column == 2 && (term->op == 3 || term->op == 4))
			term->op = 0;		/* the model does not know the order of texts */
		term->is_negated = random_below(random, 5) == 0;
		term->nvalues = term->op == 1 ? 1 + random_below(random, 4) : 1;
		sprintf(filter + strlen(filter), "%s[\"%c\",\"%s%s\",", t ? "," : "", 'a' + term->column,
				term->is_negated ? "not." : "", ops[term->op]);
		if (term->op == 5)
			strcat(filter, "null");
		strcat(filter, term->op == 1 ? "[" : "");
		for (unsigned k = 0; k < term->nvalues && term->op != 5; k++)
		{
			term->values[k] = (int) random_below(random, VALUES);
			sprintf(filter + strlen(filter), "%s", k ? "," : "");
			if (term->column == 2)
				strcat(filter, texts[term->values[k]]);
			else
				sprintf(filter + strlen(filter), "%d", term->values[k]);
		}
		strcat(filter, term->op == 1 ? "]]" : "]");
	}
	strcat(filter, "]");
	view->lists_all = random_below(random, 3) == 0;
	strcpy(actions, view->lists_all ? "null" : "[");
	for (unsigned i = random_below(random, 4) + 1; i > 0 && !view->lists_all; i--)
	{
		unsigned	action = random_below(random, NNAMES);

		view->lists[action] = true;
		sprintf(actions + strlen(actions), "\"%s\"%s", action_names[action], i == 1 ? "]" : ",");
	}
}

static void
random_row(uint64_t *random, int *row, bool may_omit)
{
	for (unsigned c = 0; c < COLUMNS; c++)
	{
		row[c] = (int) random_below(random, VALUES + 1) - 1;
		if (may_omit && random_below(random, 12) == 0)
			row[c] = OMITTED;
	}
}

/* Appends one row change with what follows from it, or another event, to a transaction and the model. */
static unsigned
random_event(uint64_t *random, char *text, unsigned seq, struct random_view *views, unsigned n)
{
	unsigned	action = random_below(random, 12);
	int			rows[2][COLUMNS];	/* new, old */
	const int  *new_row = rows[0];
	const int  *old_row = rows[1];
	char		data[300] = "";
	char		old[300] = "";
	bool		is_row;

	action = action > BULK_UPDATED ? UPDATED : action;
	if (action == STATUS_CHANGED || action == APPROVED)
		action = CREATED;
	is_row = action <= DELETED;
	random_row(random, rows[0], is_row || action == NOTE);
	memcpy(rows[1], rows[0], sizeof(rows[0]));
	if (action == UPDATED)
		for (unsigned c = 0; c < COLUMNS; c++)
			if (rows[1][c] != OMITTED && random_below(random, 2))
				rows[1][c] = (int) random_below(random, VALUES + 1) - 1;
	if (is_row || action == NOTE)
		put_row(data, rows[0], NULL);
	else
		strcpy(data, action == TRUNCATED ? "null" : "{\"count\":2,\"keys\":[\"1\"]}");
	if (action == UPDATED)
	{
		strcpy(old, ",\"old\":");
		put_row(old, rows[1], rows[0]);
	}
	if (action == CREATED || action >= NOTE)
		old_row = NULL;
	if (action == DELETED || action > NOTE)
		new_row = NULL;
	sprintf(text + strlen(text), "%s{\"event\":\"orders.order.%s\",\"feature\":\"orders\",\"entity\":\"order\",\"action\":\"%s\","
			"\"id\":%s,\"data\":%s%s,\"meta\":{\"seq\":%u}}", seq ? ",\n" : "", action_names[action], action_names[action],
			is_row || action == NOTE ? "\"17\"" : "null", data, old, seq);
	for (unsigned i = 0; i < n; i++)
		model_event(&views[i], action, seq, new_row, old_row, false);
	seq++;
	for (unsigned derived = STATUS_CHANGED; derived <= APPROVED && action <= UPDATED; derived++)
	{
		if (random_below(random, 3))
			continue;
		sprintf(text + strlen(text), ",{\"event\":\"orders.order.%s\",\"feature\":\"orders\",\"entity\":\"order\",\"action\":\"%s\","
				"\"id\":\"17\",\"data\":%s,\"meta\":{\"seq\":%u}}", action_names[derived], action_names[derived],
				derived == APPROVED ? data : "{\"old_status\":1,\"new_status\":2}", seq);
		for (unsigned i = 0; i < n; i++)
			model_event(&views[i], derived, seq, new_row, NULL, true);
		seq++;
	}
	return seq;
}

/* What every view got is what the model says. */
static void
check_random_views(struct random_view *views, unsigned n, const char *text)
{
	for (unsigned i = 0; i < n; i++)
	{
		struct reader *reader = views[i].reader;
		char		got[2000] = "";
		const json_t *event;
		size_t		k;

		if (reader == NULL)
			continue;
		json_array_foreach(reader->events, k, event)
			sprintf(got + strlen(got), "%s:%d ", json_string_value(json_object_get(event, "action")),
					(int) json_integer_value(json_object_get(json_object_get(event, "meta"), "seq")));
		if (strcmp(got, views[i].expected) != 0)
			fail_msg("view %s got %s, not %s, of %s", reader->subscription.view->key, got, views[i].expected, text);
		/* A transaction may give more than one reason; the model and the hub tell the last. */
		if ((reader->gap == NULL) != (views[i].gap == NULL))
			fail_msg("view %s got gap %s, not %s, of %s", reader->subscription.view->key,
					 reader->gap ? reader->gap : "none", views[i].gap ? views[i].gap : "none", text);
		reader_forget(reader);
	}
}

/*
 * Views of random filters and actions come and go, transactions of random events pass, whole and in
 * chunks, live and replayed; every view gets what the model says.
 */
static void
test_random(void **state)
{
	struct fixture f = fixture_new();
	struct hub_stream *replay = hub_replay_new(f.hub, reader_deliver_all, reader_deliver_own, NULL);
	struct random_view *views = memory_alloc_zeroed(sizeof(struct random_view) * VIEWS);
	char	   *text = memory_alloc(65536);
	uint64_t	random = 4711;
	unsigned	n = 0;
	unsigned	nsent = 0;
	unsigned	ngaps = 0;

	(void) state;
	for (unsigned tx = 1; tx <= 700; tx++)
	{
		bool		is_replay = random_below(&random, 4) == 0;
		unsigned	seq = 0;
		json_t	   *events;

		while (n < VIEWS && random_below(&random, 200) > 0)
		{
			char		filter[600];
			char		actions[300];

			random_view(&random, &views[n], filter, actions);
			views[n].reader = fixture_read(&f, filter, actions, NULL);
			n++;
		}
		for (int i = 0; i < 10 && n > 0; i++)
		{
			unsigned	gone = random_below(&random, n);

			reader_free(f.hub, views[gone].reader);
			views[gone] = views[--n];
		}
		for (unsigned i = 0; i < n; i++)
		{
			views[i].expected[0] = '\0';
			views[i].gap = NULL;
		}
		strcpy(text, "[");
		for (unsigned i = random_below(&random, 4) + 1; i > 0; i--)
			seq = random_event(&random, text, seq, views, n);
		strcat(text, "]");
		events = json_loads(text, 0, NULL);
		for (unsigned i = 0; i < n && is_replay; i++)
		{
			if (random_below(&random, 2))
				reader_resume(views[i].reader);
			else
			{
				views[i].expected[0] = '\0';
				views[i].gap = NULL;
			}
		}
		if (random_below(&random, 2))
			stream_text(is_replay ? replay : f.live, tx, text);
		else
			stream_events(is_replay ? replay : f.live, tx, events, true);
		for (unsigned i = 0; i < n; i++)
		{
			view_forget_replayers(views[i].reader->subscription.view);
			nsent += views[i].expected[0] != '\0';
			ngaps += views[i].gap != NULL;
		}
		check_random_views(views, n, text);
		json_decref(events);
	}
	assert_true(nsent > 10000);
	assert_true(ngaps > 1000);
	hub_stream_free(replay);
	while (n > 0)
		reader_free(f.hub, views[--n].reader);
	memory_free(views);
	memory_free(text);
	fixture_free(&f);
}

/* Views and readers end between the chunks of a transaction, and the rest goes on. */
static void
test_released_while_pending(void **state)
{
	struct fixture f = fixture_new();
	struct reader *a = fixture_read(&f, "[['a','eq',1]]", "null", NULL);
	struct reader *b = fixture_read(&f, "[['a','eq',1]]", "null", NULL);
	struct reader *c = fixture_read(&f, "[]", "null", NULL);
	struct reader *d = fixture_read(&f, "[['b','gt',0]]", "null", NULL);
	const char *text = "[{\"feature\":\"orders\",\"entity\":\"order\",\"action\":\"created\",\"id\":\"1\",\"data\":{\"id\":1,\"a\":1,\"b\":1}"
		META(0) "]";

	(void) state;
	for (unsigned part = 0; part < 3; part++)
	{
		struct chunk *chunk = chunk_new(5, part, part == 2, 0, text, strlen(text));

		hub_stream_chunk(f.live, chunk);
		chunk_unref(chunk);
		if (part == 0)
		{
			reader_free(f.hub, c);
			reader_free(f.hub, a);
		}
		if (part == 1)
		{
			reader_free(f.hub, d);
			d = fixture_read(&f, "[['b','gt',0]]", "null", NULL);
		}
	}
	assert_int_equal(json_array_size(b->events), 3);
	assert_int_equal(json_array_size(d->events), 1);
	reader_free(f.hub, b);
	reader_free(f.hub, d);
	/* A stream is dropped within a transaction. */
	a = fixture_read(&f, "[['a','eq',1]]", "null", NULL);
	{
		struct chunk *chunk = chunk_new(6, 0, false, 0, text, strlen(text));

		hub_stream_chunk(f.live, chunk);
		chunk_unref(chunk);
	}
	assert_true(hub_stream_is_inside(f.live));
	hub_stream_reset(f.live);
	assert_false(hub_stream_is_inside(f.live));
	assert_int_equal(json_array_size(a->events), 0);
	stream_text(f.live, 7, text);
	assert_int_equal(json_array_size(a->events), 1);
	reader_free(f.hub, a);
	fixture_free(&f);
}

/* Appends an event with some bytes of data. */
static void
put_large(struct buffer *text, unsigned seq, size_t len, const char *to_user, const char *priority)
{
	char		head[400];

	snprintf(head, sizeof(head), "%s{\"event\":\"orders.order.note\",\"feature\":\"orders\",\"entity\":\"order\",\"action\":\"note\","
			 "\"id\":null,\"meta\":{\"seq\":%u,\"priority\":\"%s\"%s%s%s},\"data\":\"", seq ? "," : "[", seq, priority,
			 to_user ? ",\"toUser\":\"" : "", to_user ? to_user : "", to_user ? "\"" : "");
	buffer_puts(text, head);
	memset(buffer_reserve(text, len), 'x', len);
	text->len += len;
	buffer_puts(text, "\"}");
}

/* A reader has the events of these sequence numbers, in order. */
static void
check_seqs(const struct reader *reader, const unsigned *seqs, unsigned n)
{
	assert_int_equal(json_array_size(reader->events), n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(json_integer_value(json_object_get(json_object_get(json_array_get(reader->events, i), "meta"),
															"seq")), seqs[i]);
}

/* Large transactions come in parts; events for one user stand in their place, in parts as well. */
static void
test_parts(void **state)
{
	struct fixture f = fixture_new();
	struct reader *u1 = fixture_read(&f, "[]", "null", "u1");
	struct reader *u2 = fixture_read(&f, "[]", "null", "u2");
	struct reader *nobody = fixture_read(&f, "[]", "null", NULL);
	uint64_t	random = 3;

	(void) state;
	for (int round = 0; round < 60; round++)
	{
		unsigned	seqs[3][200];
		unsigned	n[3] = {0, 0, 0};
		unsigned	count = 1 + random_below(&random, 60);
		struct buffer text;

		buffer_init(&text);
		for (unsigned seq = 0; seq < count; seq++)
		{
			unsigned	whom = round < 20 ? 3 : random_below(&random, 8);
			size_t		len = random_below(&random, 10) == 0 ? 300000
				: random_below(&random, round % 2 ? 30000 : 300);

			put_large(&text, seq, len, whom == 0 ? "u1" : whom == 1 ? "u2" : whom == 2 ? "u3" : NULL, "normal");
			if (whom == 0 || whom > 2)
				seqs[0][n[0]++] = seq;
			if (whom == 1 || whom > 2)
				seqs[1][n[1]++] = seq;
			if (whom > 2)
				seqs[2][n[2]++] = seq;
		}
		buffer_puts(&text, "]");
		buffer_put(&text, "", 1);
		stream_text(f.live, (uint64_t) round + 1, text.at);
		check_seqs(u1, seqs[0], n[0]);
		check_seqs(u2, seqs[1], n[1]);
		check_seqs(nobody, seqs[2], n[2]);
		/* Parts are as few as they can be, nearly. */
		if (round < 20)
			assert_true(json_array_size(u1->frames) <= 2 + 2 * text.len / PROTOCOL_PART_MAX);
		reader_forget(u1);
		reader_forget(u2);
		reader_forget(nobody);
		buffer_release(&text);
	}
	reader_free(f.hub, u1);
	reader_free(f.hub, u2);
	reader_free(f.hub, nobody);
	fixture_free(&f);
}

/* Events for one user: his name may need escapes; the priority is of what he gets. */
static void
test_to_user(void **state)
{
	struct fixture f = fixture_new();
	struct reader *quoted = fixture_read(&f, "[]", "null", "a\"b\\\xc3\xa4");
	struct reader *empty = fixture_read(&f, "[]", "null", "");
	struct reader *nobody = fixture_read(&f, "[]", "null", NULL);
	struct reader *filtered = fixture_read(&f, "[['a','eq',1]]", "null", "a\"b\\\xc3\xa4");
	struct buffer text;

	(void) state;
	buffer_init(&text);
	put_large(&text, 0, 3, "a\\\"b\\\\\xc3\xa4", "critical");
	put_large(&text, 1, 3, "a\\\"b\\\\\\u00e4", "low");
	put_large(&text, 2, 3, "", "low");
	put_large(&text, 3, 3, NULL, "high");
	buffer_puts(&text, "]");
	buffer_put(&text, "", 1);
	stream_text(f.live, 1, text.at);
	check_seqs(quoted, (const unsigned[]) {0, 1, 3}, 3);
	assert_int_equal(quoted->priority, PRIORITY_CRITICAL);
	check_seqs(empty, (const unsigned[]) {2, 3}, 2);
	assert_int_equal(empty->priority, PRIORITY_HIGH);
	check_seqs(nobody, (const unsigned[]) {3}, 1);
	assert_int_equal(nobody->priority, PRIORITY_HIGH);
	check_seqs(filtered, NULL, 0);
	buffer_release(&text);
	reader_free(f.hub, quoted);
	reader_free(f.hub, empty);
	reader_free(f.hub, nobody);
	reader_free(f.hub, filtered);
	fixture_free(&f);
}

/* An event of an entity; names as inside a JSON string. */
static void
stream_one(struct hub_stream *stream, const char *feature, const char *entity, const char *action,
		   const char *data)
{
	char		text[1000];

	snprintf(text, sizeof(text), "[{\"event\":\"%s.%s.%s\",\"feature\":\"%s\",\"entity\":\"%s\",\"action\":\"%s\",\"id\":null,\"data\":%s"
			 META(0) "]", feature, entity, action, feature, entity, action, data);
	stream_text(stream, 1, text);
}

/* Names that JSON escapes: in views of one entity, of a wildcard, in markers. */
static void
test_names(void **state)
{
	static const char *const names[][2] = {
		{"a\"b\\c", "a\\\"b\\\\c"},
		{"\xc3\xa4/\x20", "\xc3\xa4/\x20"},
		{"\xc3\xb6\"", "\\u00f6\\u0022"},
		{"x\xf0\x9f\x98\x80", "x\\ud83d\\ude00"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (unsigned which = 0; which < 4; which++)
		{
			struct role_access *role = role_new("web");
			struct hub *hub = hub_new(reader_user);
			struct hub_stream *live = hub_stream_new(hub, reader_deliver, NULL);
			const char *name = names[i][0];
			const char *in_json = names[i][1];
			json_t	   *types = vectors_text("{'id':'integer'}");
			json_t	   *filter = vectors_text("[['id','eq',1]]");
			struct wish wish = {role, which & 1 ? name : NULL, which & 2 ? name : NULL,
				which == 3 ? filter : NULL, NULL, NULL};
			struct reader *reader;

			role_add(role, name, name, types, NULL, NULL, NULL);
			reader = reader_new(hub, &wish, NULL);
			stream_one(live, in_json, in_json, "created", "{\"id\":1}");
			stream_one(live, in_json, "other", "created", "{\"id\":1}");
			stream_one(live, "other", in_json, "created", "{\"id\":1}");
			assert_int_equal(json_array_size(reader->events), 1);
			assert_string_equal(json_string_value(json_object_get(json_array_get(reader->events, 0), "feature")), name);
			assert_int_equal(reader->ngaps, 0);
			stream_one(live, in_json, in_json, "resync", "null");
			assert_int_equal(reader->ngaps, 1);
			if (which != 0)
				stream_one(live, "other", "other", "resync", "null");
			assert_int_equal(reader->ngaps, 1);
			stream_one(live, "*", "*", "gap", "null");
			assert_int_equal(reader->ngaps, 2);
			reader_free(hub, reader);
			hub_stream_free(live);
			hub_free(hub);
			role_access_unref(role);
			json_decref(types);
			json_decref(filter);
		}
}

/* Wildcards: what the role may not read is left out, the rest has the columns that it may read. */
static void
test_wildcards(void **state)
{
	struct role_access *role = role_new("web");
	struct role_access *later = role_new("web");
	struct hub *hub = hub_new(reader_user);
	struct hub_stream *live = hub_stream_new(hub, reader_deliver, NULL);
	json_t	   *types = vectors_text("{'id':'integer','secret':'text','n':'integer'}");
	json_t	   *key = vectors_text("['id']");
	json_t	   *readable = vectors_text("['id','n']");
	json_t	   *deleted = vectors_text("['deleted']");
	const char *row = "{\"id\":1,\"secret\":\"s\",\"n\":2}";
	struct reader *all;
	struct reader *feature;
	struct reader *entity;
	struct reader *actions;

	(void) state;
	for (struct role_access *r = role; r != NULL; r = r == role ? later : NULL)
	{
		role_add(r, "a", "closed", types, key, NULL, NULL)->can_read = r == later;
		role_add(r, "a", "open", types, key, NULL, NULL);
		role_add(r, "a", "part", types, key, NULL, readable);
		role_add(r, "b", "open", types, key, NULL, NULL);
		role_add(r, "b", "topic", NULL, NULL, NULL, NULL);
	}
	all = reader_new(hub, &(struct wish) {role, NULL, NULL, NULL, NULL, NULL}, NULL);
	feature = reader_new(hub, &(struct wish) {role, "a", NULL, NULL, NULL, NULL}, NULL);
	entity = reader_new(hub, &(struct wish) {role, NULL, "open", NULL, NULL, NULL}, NULL);
	actions = reader_new(hub, &(struct wish) {role, NULL, NULL, NULL, deleted, NULL}, NULL);
	stream_one(live, "a", "closed", "created", row);
	stream_one(live, "a", "unknown", "created", row);
	stream_one(live, "a", "part", "created", row);
	stream_one(live, "a", "open", "created", row);
	stream_one(live, "b", "open", "created", row);
	stream_one(live, "b", "topic", "note", row);
	assert_int_equal(json_array_size(all->events), 4);
	assert_null(json_object_get(json_object_get(json_array_get(all->events, 0), "data"), "secret"));
	assert_non_null(json_object_get(json_object_get(json_array_get(all->events, 1), "data"), "secret"));
	assert_non_null(json_object_get(json_object_get(json_array_get(all->events, 3), "data"), "secret"));
	assert_int_equal(json_array_size(feature->events), 2);
	assert_int_equal(json_array_size(entity->events), 2);
	assert_int_equal(json_array_size(actions->events), 0);
	/* Markers of what may not be read tell nothing. */
	stream_one(live, "a", "closed", "resync", "null");
	assert_int_equal(all->ngaps, 0);
	stream_one(live, "a", "part", "resync", "null");
	assert_int_equal(all->ngaps, 1);
	assert_int_equal(feature->ngaps, 1);
	assert_int_equal(entity->ngaps, 0);
	assert_int_equal(actions->ngaps, 1);
	/* A later grant. */
	view_set_access(all->subscription.view, later, NULL);
	stream_one(live, "a", "closed", "created", row);
	assert_int_equal(json_array_size(all->events), 5);
	reader_free(hub, all);
	reader_free(hub, feature);
	reader_free(hub, entity);
	reader_free(hub, actions);
	hub_stream_free(live);
	hub_free(hub);
	role_access_unref(role);
	role_access_unref(later);
	json_decref(types);
	json_decref(key);
	json_decref(readable);
	json_decref(deleted);
}

/* Text that is no list of events: every view gets a gap, once, and what was collected before stays. */
static void
test_broken(void **state)
{
	struct fixture f = fixture_new();
	struct reader *reader = fixture_read(&f, "[['a','eq',1]]", "['deleted']", NULL);
	struct chunk *chunk = chunk_new(9, 0, true, 0, "[{}]", 4);

	(void) state;
	assert_true(chunk->is_broken);
	hub_stream_chunk(f.live, chunk);
	chunk_unref(chunk);
	assert_int_equal(reader->ngaps, 1);
	assert_string_equal(reader->gap, "error");
	reader_free(f.hub, reader);
	fixture_free(&f);
}

/* Equal wishes share a view, and one frame; ids are equal for equal views, and differ otherwise. */
static void
test_sharing(void **state)
{
	struct fixture f = fixture_new();
	struct reader *a = fixture_read(&f, "[['a','in',[1,2]],['c','eq','x']]", "['created','deleted']", NULL);
	struct reader *b = fixture_read(&f, "[['c','eq','x'],['a','in',['2','1']]]", "['deleted','created','created']", NULL);
	struct reader *c = fixture_read(&f, "[['c','eq','x'],['a','in',['2','1']]]", "['deleted']", NULL);

	(void) state;
	assert_ptr_equal(a->subscription.view, b->subscription.view);
	assert_ptr_not_equal(a->subscription.view, c->subscription.view);
	assert_string_not_equal(a->subscription.view->id, c->subscription.view->id);
	assert_true(strlen(a->subscription.view->id) >= 12);
	assert_int_equal(hub_count_views(f.hub), 2);
	reader_free(f.hub, a);
	assert_int_equal(hub_count_views(f.hub), 2);
	reader_free(f.hub, b);
	assert_int_equal(hub_count_views(f.hub), 1);
	reader_free(f.hub, c);
	fixture_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_released_while_pending),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_to_user),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_wildcards),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_sharing),
	};

	return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
