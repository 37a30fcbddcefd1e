/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * access.c
 *	  See access.h. Knows the catalogs by the two statements below.
 */
#include "access.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "memory.h"

#define CHECK_MS 1000			/* how often changes are looked for */

/*
 * Whether the role exists and the daemon's own may take it on; and what policies see of its memberships. Tokens
 * never name the daemon's own role, one that reads the log, or a superuser.
 */
static const char member_sql[] =
"SELECT pg_catalog.pg_has_role(session_user, x.oid, 'MEMBER') AND x.rolname <> session_user"
" AND NOT x.rolsuper AND NOT pg_catalog.pg_has_role(x.oid, 'realtime_notifier', 'MEMBER'),"
" (SELECT pg_catalog.string_agg(o.oid::text || pg_catalog.pg_has_role(x.oid, o.oid, 'USAGE'), ' ' ORDER BY o.oid)"
"  FROM pg_catalog.pg_roles o WHERE pg_catalog.pg_has_role(x.oid, o.oid, 'MEMBER'))"
" FROM pg_catalog.pg_roles x WHERE x.rolname = $1";

/* One row per entity and column; a topic has one row with a null column. */
static const char entities_sql[] =
"SELECT r.feature, r.entity,"
" pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS relation,"
" CASE WHEN r.relation IS NULL THEN pg_catalog.pg_has_role(x.oid, r.owner, 'USAGE') OR EXISTS ("
"   SELECT FROM realtime.topic_grant g WHERE g.feature = r.feature AND g.entity = r.entity"
"   AND g.privilege = 'subscribe' AND CASE WHEN g.role = 0 THEN true"
"    ELSE pg_catalog.pg_has_role(x.oid, g.role, 'USAGE') END)"
"  ELSE pg_catalog.has_schema_privilege(x.oid, c.relnamespace, 'USAGE')"
"   AND pg_catalog.has_any_column_privilege(x.oid, c.oid, 'SELECT') END AS can_read,"
" c.relrowsecurity AND NOT (x.rolsuper OR x.rolbypassrls OR"
"  (NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(x.oid, c.relowner, 'USAGE'))) AS has_policies,"
" r.settings ->> 'numeric' = 'string' AS numeric_as_string,"
" r.settings ->> 'status_column' AS status_column,"
" a.attname, pg_catalog.to_json(a.attname)::text AS json_name, b.typname, b.typtype = 'e' AS is_enum,"
" pg_catalog.format_type(b.oid, -1) AS type_name,"
" pg_catalog.has_column_privilege(x.oid, c.oid, a.attnum, 'SELECT') AS is_readable,"
" coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation), true),"
" (SELECT k.n FROM pg_catalog.jsonb_array_elements_text(r.settings -> 'key') WITH ORDINALITY AS k(name, n)"
"  WHERE k.name = a.attname) AS key_number, c.oid"
" FROM realtime.registration r"
" JOIN pg_catalog.pg_roles x ON x.rolname = $1"
" LEFT JOIN pg_catalog.pg_class c ON c.oid = r.relation"
" LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
" LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
"  AND (r.settings -> 'columns' IS NULL OR r.settings -> 'columns' ? a.attname::text)"
"  AND NOT coalesce(r.settings -> 'exclude' ? a.attname::text, false)"
" LEFT JOIN LATERAL (WITH RECURSIVE d(oid) AS (SELECT a.atttypid UNION ALL"
"   SELECT t.typbasetype FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid WHERE t.typtype = 'd')"
"  SELECT t.* FROM d JOIN pg_catalog.pg_type t ON t.oid = d.oid WHERE t.typtype <> 'd') b ON true"
" ORDER BY r.feature COLLATE \"C\", r.entity COLLATE \"C\", a.attnum";

/* A value that changes whenever one of the above can. Row versions (xmin) stand for their contents. */
static const char print_sql[] =
"SELECT pg_catalog.md5(pg_catalog.string_agg(v, ' ' ORDER BY v)) FROM ("
" SELECT 'r' || r.xmin::text || r.ctid::text AS v FROM realtime.registration r"
" UNION ALL SELECT 'g' || g.xmin::text || g.ctid::text FROM realtime.topic_grant g"
" UNION ALL SELECT 'c' || c.oid || ' ' || c.xmin::text FROM pg_catalog.pg_class c"
"  JOIN realtime.registration r ON r.relation = c.oid"
" UNION ALL SELECT 'a' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin::text"
"  FROM pg_catalog.pg_attribute a JOIN realtime.registration r ON r.relation = a.attrelid"
" UNION ALL SELECT 'p' || p.oid || ' ' || p.xmin::text FROM pg_catalog.pg_policy p"
"  JOIN realtime.registration r ON r.relation = p.polrelid"
" UNION ALL SELECT 'n' || n.oid || ' ' || n.xmin::text FROM pg_catalog.pg_namespace n"
" UNION ALL SELECT 'm' || m.roleid || ' ' || m.member || ' ' || m.xmin::text FROM pg_catalog.pg_auth_members m"
" UNION ALL SELECT 'u' || u.oid || ' ' || u.rolname || u.rolsuper || u.rolbypassrls || u.rolinherit"
"  FROM pg_catalog.pg_roles u) x";

/* Somebody waits for a role. */
struct waiter
{
	struct waiter *next;
	unsigned	load;			/* number of the load that serves it, or any later one */
	access_fn	fn;
	void	   *arg;
};

/* A role of the cache. */
struct cached_role
{
	struct cached_role *next;
	struct access *access;
	char	   *name;
	struct role_access *now;	/* NULL until it is loaded */
	char	   *print;			/* of the catalogs, taken before now was loaded */
	struct waiter *waiters;
	unsigned	loads;			/* begun; the last one is under way if is_loading */
	bool		is_loading;
	struct load *waiting;		/* loaded, of later than the stream */
};

struct access
{
	struct loop *loop;
	struct db  *db;
	struct reach *reach;
	access_change_fn on_change;
	void	   *arg;
	struct cached_role *roles;
	struct loop_timer *timer;
	unsigned	jobs;			/* under way in the pool */
	unsigned	marks;			/* see access_mark() */
	bool		is_freed;
};

/* A load on its way through the pool's thread. */
struct load
{
	struct access *access;
	struct cached_role *role;
	struct role_access *result;
	struct buffer print;		/* of the entity being read */
	char	   *catalogs;		/* print of the catalogs, taken first */
	char	   *memberships;	/* the role's, as text */
	struct position until;		/* what the result may have seen; epoch NULL: unknown */
};

/* The check on its way through the pool's thread. */
struct check
{
	struct access *access;
	char	   *print;
};

struct role_access *
role_access_ref(struct role_access *role)
{
	role->refs++;
	return role;
}

void
role_access_unref(struct role_access *role)
{
	if (role == NULL || --role->refs > 0)
		return;
	for (unsigned i = 0; i < role->nentities; i++)
	{
		struct entity_access *e = &role->entities[i];

		for (unsigned c = 0; c < e->ncolumns; c++)
		{
			memory_free(e->columns[c].name);
			memory_free((char *) e->columns[c].json_name.at);
			memory_free(e->columns[c].type_name);
		}
		memory_free(e->columns);
		memory_free(e->key);
		memory_free(e->feature);
		memory_free(e->entity);
		memory_free(e->relation);
		memory_free(e->oid);
		memory_free(e->status_column);
		memory_free(e->print);
	}
	if (role->position.epoch != NULL)
		position_release(&role->position);
	memory_free(role->entities);
	memory_free(role->role);
	memory_free(role);
}

/* As strcmp() between a C string and a slice. */
static int
compare_name(const char *name, struct slice other)
{
	size_t		len = strlen(name);
	int			result = memcmp(name, other.at, len < other.len ? len : other.len);

	return result != 0 ? result : (len > other.len) - (len < other.len);
}

const struct entity_access *
role_access_find(const struct role_access *role, struct slice feature, struct slice entity)
{
	unsigned	low = 0;
	unsigned	high = role->nentities;

	while (low < high)
	{
		unsigned	middle = low + (high - low) / 2;
		const struct entity_access *e = &role->entities[middle];
		int			order = compare_name(e->feature, feature);

		if (order == 0)
			order = compare_name(e->entity, entity);
		if (order == 0)
			return e;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct access_column *
entity_access_column(const struct entity_access *entity, const char *name)
{
	for (unsigned i = 0; i < entity->ncolumns; i++)
		if (strcmp(entity->columns[i].name, name) == 0)
			return &entity->columns[i];
	return NULL;
}

static char *
copy_slice(struct slice text)
{
	return text.at == NULL ? NULL : memory_copy_string(text.at, text.len);
}

/* The entity's print is complete: takes it over. */
static void
finish_entity(struct load *load)
{
	struct role_access *result = load->result;
	struct entity_access *e;

	if (result->entities == NULL)
		return;					/* it is the first one */
	e = &result->entities[result->nentities - 1];
	if (e->has_policies && load->memberships != NULL)
		buffer_puts(&load->print, load->memberships);
	e->print = buffer_take(&load->print);
}

/* Begins the entity of a row unless it is the last one still. */
static struct entity_access *
entity_of_row(struct load *load, const struct slice *fields)
{
	struct role_access *result = load->result;
	struct entity_access *e = result->nentities ? &result->entities[result->nentities - 1] : NULL;

	if (e != NULL && slice_equals(fields[0], e->feature) && slice_equals(fields[1], e->entity))
		return e;
	finish_entity(load);
	result->entities = memory_resize(result->entities,
									 sizeof(struct entity_access) * (result->nentities + 1));
	e = &result->entities[result->nentities++];
	memset(e, 0, sizeof(*e));
	e->feature = copy_slice(fields[0]);
	e->entity = copy_slice(fields[1]);
	e->relation = copy_slice(fields[2]);
	e->oid = copy_slice(fields[15]);
	e->is_table = e->relation != NULL;
	e->can_read = slice_equals(fields[3], "t");
	e->has_policies = slice_equals(fields[4], "t");
	e->numeric_as_string = slice_equals(fields[5], "t");
	e->status_column = copy_slice(fields[6]);
	e->is_all_readable = true;
	return e;
}

/* The column of a row; an unreadable key column makes the entity unreadable. */
static void
add_column(struct entity_access *e, const struct slice *fields)
{
	struct access_column *column;
	char	   *typname = copy_slice(fields[9]);
	struct slice json_name = jsonscan_inside(fields[8]);

	e->columns = memory_resize(e->columns, sizeof(struct access_column) * (e->ncolumns + 1));
	column = &e->columns[e->ncolumns];
	column->name = copy_slice(fields[7]);
	column->json_name.at = memory_copy_string(json_name.at, json_name.len);
	column->json_name.len = json_name.len;
	column->type = filter_type_of(typname ? typname : "", slice_equals(fields[10], "t"));
	column->type_name = copy_slice(fields[11]);
	column->is_readable = slice_equals(fields[12], "t");
	column->is_deterministic = slice_equals(fields[13], "t");
	if (!column->is_readable)
		e->is_all_readable = false;
	if (fields[14].at != NULL)
	{
		char	   *text = copy_slice(fields[14]);
		unsigned	number = (unsigned) strtoul(text, NULL, 10);

		if (number > e->nkey)
		{
			e->key = memory_resize(e->key, sizeof(unsigned) * number);
			memset(e->key + e->nkey, 0, sizeof(unsigned) * (number - e->nkey));
			e->nkey = number;
		}
		e->key[number - 1] = e->ncolumns;
		if (!column->is_readable)
			e->can_read = false;
		memory_free(text);
	}
	e->ncolumns++;
	memory_free(typname);
}

/* In the pool's thread: a row of print_sql (step 0), the position (1), member_sql (2), entities_sql (3), the position (4). */
static void
load_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct load *load = arg;
	struct entity_access *e;

	if (step == 1 || step == 4)
	{
		struct position *position = step == 1 ? &load->result->position : &load->until;

		if (position_parse(position, fields[0].at, fields[0].len) < 0)
			memset(position, 0, sizeof(*position));
		return;
	}
	if (step == 0)
	{
		load->catalogs = copy_slice(fields[0]);
		return;
	}
	if (step == 2)
	{
		load->result->is_member = slice_equals(fields[0], "t");
		load->memberships = copy_slice(fields[1]);
		return;
	}
	e = entity_of_row(load, fields);
	for (unsigned i = 0; i < nfields; i++)
	{
		buffer_put_slice(&load->print, fields[i]);
		buffer_puts(&load->print, fields[i].at ? "\n" : "\t");
	}
	if (fields[7].at != NULL)
		add_column(e, fields);
}

/* Frees the cache's memory when nothing is under way any more. */
static void
free_if_unused(struct access *access)
{
	if (!access->is_freed || access->jobs > 0)
		return;
	while (access->roles != NULL)
	{
		struct cached_role *role = access->roles;

		access->roles = role->next;
		role_access_unref(role->now);
		memory_free(role->print);
		memory_free(role->name);
		memory_free(role);
	}
	memory_free(access);
}

/* Tells everybody who waits for this load of a role or an earlier one. */
static void
answer(struct cached_role *role, struct role_access *now, unsigned load)
{
	struct waiter **at = &role->waiters;

	while (*at != NULL)
	{
		struct waiter *waiter = *at;

		if (waiter->load > load)
		{
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->fn(waiter->arg, now);
		memory_free(waiter);
		at = &role->waiters;	/* whoever was called may have asked again or taken back */
	}
}

bool
role_access_is_same(const struct role_access *a, const struct role_access *b)
{
	if (a->is_member != b->is_member || a->nentities != b->nentities)
		return false;
	for (unsigned i = 0; i < a->nentities; i++)
		if (strcmp(a->entities[i].print, b->entities[i].print) != 0)
			return false;
	return true;
}

static void start_load(struct cached_role *role);

static void
load_free(struct load *load)
{
	role_access_unref(load->result);
	memory_free(load->catalogs);
	if (load->until.epoch != NULL)
		position_release(&load->until);
	memory_free(load);
}

/* What was loaded is what the role may see, for the stream from here on. */
static void
load_applies(void *arg)
{
	struct load *load = arg;
	struct access *access = load->access;
	struct cached_role *role = load->role;
	struct role_access *old = role->now;
	struct role_access *now = load->result;
	unsigned	number = role->loads;

	role->waiting = NULL;
	role->is_loading = false;
	memory_free(role->print);
	role->print = load->catalogs;
	load->catalogs = NULL;
	load->result = NULL;
	load_free(load);
	if (now == NULL)
		answer(role, NULL, number);	/* print is NULL: the next check loads again */
	else
	{
		role->now = now;
		role_access_ref(now);
		if (old != NULL && !role_access_is_same(old, now))
			access->on_change(access->arg, old, now);
		role_access_unref(old);
		answer(role, now, number);
		role_access_unref(now);
	}
	if (role->waiters != NULL && !role->is_loading)
		start_load(role);		/* for those who came when this one had begun */
}

/* In the worker's thread: a load has ended. What is loaded the first time is a change of nothing. */
static void
load_arrived(void *arg)
{
	struct load *load = arg;
	struct access *access = load->access;

	access->jobs--;
	if (access->is_freed)
	{
		load_free(load);
		free_if_unused(access);
		return;
	}
	if (load->role->now == NULL || load->result == NULL || reach_has(access->reach, &load->until))
	{
		load_applies(load);
		return;
	}
	load->role->waiting = load;
	reach_wait(access->reach, &load->until, load_applies, load);
}

/* In the pool's thread: a load's statements have ended. */
static void
load_done(void *arg, const struct db_error *error)
{
	struct load *load = arg;

	finish_entity(load);
	buffer_release(&load->print);
	memory_free(load->memberships);
	load->memberships = NULL;
	if (error->outcome != DB_DONE)
	{
		if (error->outcome == DB_FAILED)
			log_write(LOG_LEVEL_ERROR, "access_failed", "sqlstate=%s message=%s", error->sqlstate,
					  error->message);
		role_access_unref(load->result);
		load->result = NULL;
		memory_free(load->catalogs);
		load->catalogs = NULL;
	}
	loop_post(load->access->loop, load_arrived, load);
}

/* Loads a role; somebody gets the answer. */
static void
start_load(struct cached_role *role)
{
	struct load *load = memory_alloc_zeroed(sizeof(*load));
	const char *params[] = {role->name};
	const struct db_statement statements[] = {
		{print_sql, 0, NULL},
		{"SELECT realtime.settled_position()", 0, NULL},
		{member_sql, 1, params},
		{entities_sql, 1, params},
		{"SELECT realtime.position()", 0, NULL},
	};

	load->access = role->access;
	load->role = role;
	load->result = memory_alloc_zeroed(sizeof(struct role_access));
	load->result->refs = 1;
	load->result->access = role->access;
	load->result->marks = role->access->marks;
	load->result->role = memory_copy_string(role->name, strlen(role->name));
	role->is_loading = true;
	role->loads++;
	role->access->jobs++;
	db_submit(role->access->db, DB_SHORT, statements, 5, load_row, load_done, load);
}

void
access_mark(struct access *access)
{
	access->marks++;
}

unsigned
access_marks(const struct access *access)
{
	return access->marks;
}

bool
access_is_current(const struct access *access, const struct role_access *role)
{
	return role->access == access && role->marks == access->marks;
}

void
access_request(struct access *access, const char *name, bool is_fresh, access_fn fn, void *arg)
{
	struct cached_role *role = access->roles;
	struct waiter *waiter;
	struct waiter **end;

	while (role != NULL && strcmp(role->name, name) != 0)
		role = role->next;
	/* One that may not be used is looked up again: the grant may be seconds old. */
	if (role != NULL && role->now != NULL && !is_fresh && role->now->is_member
		&& access_is_current(access, role->now))
	{
		fn(arg, role->now);
		return;
	}
	if (role == NULL)
	{
		role = memory_alloc_zeroed(sizeof(*role));
		role->access = access;
		role->name = memory_copy_string(name, strlen(name));
		role->next = access->roles;
		access->roles = role;
	}
	waiter = memory_alloc(sizeof(*waiter));
	waiter->next = NULL;
	waiter->fn = fn;
	waiter->arg = arg;
	/* A load under way may have looked before what this request is about happened. */
	waiter->load = role->loads + 1;
	for (end = &role->waiters; *end != NULL; end = &(*end)->next)
		;
	*end = waiter;
	if (!role->is_loading)
		start_load(role);
}

void
access_cancel(struct access *access, void *arg)
{
	for (struct cached_role *role = access->roles; role != NULL; role = role->next)
		for (struct waiter **at = &role->waiters; *at != NULL;)
		{
			struct waiter *waiter = *at;

			if (waiter->arg != arg)
			{
				at = &waiter->next;
				continue;
			}
			*at = waiter->next;
			memory_free(waiter);
		}
}

/* In the worker's thread: a check has ended. What differs is loaded. */
static void
check_arrived(void *arg)
{
	struct check *check = arg;
	struct access *access = check->access;

	access->jobs--;
	if (access->is_freed)
	{
		memory_free(check->print);
		memory_free(check);
		free_if_unused(access);
		return;
	}
	for (struct cached_role *role = access->roles; role != NULL && check->print != NULL;
		 role = role->next)
		if (!role->is_loading && (role->print == NULL || strcmp(role->print, check->print) != 0))
			start_load(role);
	memory_free(check->print);
	memory_free(check);
	loop_timer_start(access->timer, CHECK_MS);
}

static void
check_row(void *arg, unsigned step, const struct slice *fields, unsigned nfields)
{
	struct check *check = arg;

	(void) step;
	(void) nfields;
	check->print = copy_slice(fields[0]);
}

static void
check_done(void *arg, const struct db_error *error)
{
	struct check *check = arg;

	(void) error;				/* the next check tells */
	loop_post(check->access->loop, check_arrived, check);
}

/* Looks for changes; the timer starts again when the answer has come. */
static void
check_changes(void *arg)
{
	struct access *access = arg;
	const struct db_statement statement = {print_sql, 0, NULL};
	struct check *check;

	if (access->roles == NULL)
	{
		loop_timer_start(access->timer, CHECK_MS);
		return;
	}
	check = memory_alloc_zeroed(sizeof(*check));
	check->access = access;
	access->jobs++;
	db_submit(access->db, DB_SHORT, &statement, 1, check_row, check_done, check);
}

struct access *
access_new(struct loop *loop, struct db *db, struct reach *reach, access_change_fn on_change,
		   void *arg)
{
	struct access *access = memory_alloc_zeroed(sizeof(*access));

	access->loop = loop;
	access->db = db;
	access->reach = reach;
	access->on_change = on_change;
	access->arg = arg;
	access->timer = loop_timer_new(loop, check_changes, access);
	loop_timer_start(access->timer, CHECK_MS);
	return access;
}

void
access_free(struct access *access)
{
	if (access == NULL)
		return;
	loop_timer_free(access->timer);
	for (struct cached_role *role = access->roles; role != NULL; role = role->next)
	{
		answer(role, NULL, UINT_MAX);
		if (role->waiting == NULL)
			continue;
		reach_cancel(access->reach, role->waiting);
		load_free(role->waiting);
	}
	access->is_freed = true;
	free_if_unused(access);
}
